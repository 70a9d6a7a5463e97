//! A connection to one MCP server: connects when first needed, shares the attempt, and renews a lost session.
//!
//! Everything that is decided is decided in [`crate::mcp`]; here it is waited for.

mod answers;
mod ear;
mod greet;
mod inbox;
mod log;
mod methods;
mod session;
mod single;
mod stream;
mod tasks;
mod transfer;
mod watch;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::lock::Mutex;

use crate::cache;
use crate::drive::authorizer::Authorizer;
use crate::drive::cache::Cache;
use crate::drive::share::{Share, WeakShare};
use crate::drive::wait::{Cancel, unless_cancelled, within};
use crate::error::{Code, Error, Result};
use crate::mcp::config::ServerConfig;
use crate::mcp::era::Era;
use crate::mcp::exchange::{Answer, Failure, Message};
use crate::mcp::legacy::{self, Session};
use crate::mcp::request::{self, Call};
use crate::mcp::server::{Link, ServerInfo, State};
use crate::mcp::types::Tool;
use crate::platform::Platform;
use crate::secret::Secret;
use crate::time::Millis;

pub use answers::Attendant;
use inbox::Inbox;
use log::Logging;
use single::Single;
use transfer::Job;
use watch::Hub;

/// How long a courtesy to a server may take: to say that an answer is no longer wanted, or that a session ends.
const COURTESY: Millis = Millis::from_secs(2);

/// How many sessions are taken for one request, where other tabs began them and the server does not know them any more.
const MOST_RENEWED: u32 = 4;

/// A connection to one MCP server. Clones share it.
pub struct Connection<P: Platform>(Rc<Inner<P>>, Option<Rc<dyn Attendant>>);

struct Inner<P: Platform> {
    platform: Rc<P>,
    config: ServerConfig,
    /// What the server said before, where it is kept.
    cache: Option<Rc<Cache<P>>>,
    authorizer: Option<Authorizer<P>>,
    next_id: Cell<u64>,
    /// In a session that tabs share.
    part: RefCell<Option<session::Part<P>>>,
    status: RefCell<Status>,
    /// Requests of a legacy server that wait for their answers.
    inbox: Inbox,
    /// Who wants to be told of changes.
    hub: Hub,
    /// The one stream of a server of 2024-11-05.
    single: Single,
    /// A session that was begun and is of no use.
    orphan: RefCell<Option<Session>>,
    logging: RefCell<Logging>,
    closed: Cancel,
    /// How often a server has asked something back.
    asked: Cell<u64>,
    /// Held while the stored list of tasks is changed.
    ledger: Mutex<()>,
}

#[derive(Default)]
struct Status {
    link: Option<Rc<Link>>,
    /// What the last successful attempt found out.
    era: Option<Era>,
    error: Option<Error>,
    warnings: Vec<String>,
    /// The tools of the last listing.
    tools: Rc<[Tool]>,
    /// The attempt that is under way. Weak: it lives as long as somebody waits for it.
    attempt: Option<WeakShare<Attempt>>,
}

/// What an attempt comes to: any number of callers hold a share of it, and whoever is left drives it on.
type Attempt = Result<Rc<Link>>;

impl<P: Platform> Clone for Connection<P> {
    fn clone(&self) -> Connection<P> {
        Connection(self.0.clone(), self.1.clone())
    }
}

impl<P: Platform> Connection<P> {
    /// A connection that nobody has asked for anything yet; no request is sent.
    pub fn new(platform: Rc<P>, config: ServerConfig) -> Connection<P> {
        Connection::over(platform, config, None)
    }

    /// The same, by way of what is kept of what the server said before.
    pub(super) fn over(platform: Rc<P>, config: ServerConfig, cache: Option<Rc<Cache<P>>>) -> Connection<P> {
        let logging = RefCell::new(Logging::new(config.log));
        let inner = Inner {
            authorizer: Authorizer::new(platform.clone(), &config),
            platform,
            config,
            cache,
            next_id: Cell::new(1),
            part: RefCell::default(),
            status: RefCell::default(),
            inbox: Inbox::default(),
            hub: Hub::default(),
            single: Single::default(),
            orphan: RefCell::default(),
            logging,
            closed: Cancel::new(),
            asked: Cell::new(0),
            ledger: Mutex::new(()),
        };
        Connection(Rc::new(inner), None)
    }

    /// Name, state and what the server said of itself.
    pub fn info(&self) -> ServerInfo {
        let status = self.0.status.borrow();
        let attempt = status.attempt.as_ref().and_then(WeakShare::upgrade);
        let state = match &status.link {
            _ if self.0.closed.is_cancelled() => State::Closed,
            Some(_) => State::Ready,
            None if attempt.is_some() => State::Connecting,
            None => status.error.as_ref().map_or(State::Idle, State::after),
        };
        ServerInfo {
            name: self.0.config.name.clone(),
            url: if self.0.config.is_transport() { String::new() } else { self.0.config.url.clone() },
            state,
            link: status.link.as_deref().cloned(),
            warnings: status.warnings.clone(),
            tools: status.tools.len(),
            error: status.error.clone(),
        }
    }

    /// Finds out which era the server speaks and greets it accordingly. At once when that is done already.
    ///
    /// Any number of callers share one attempt. A caller that cancels leaves it to the others; when the last
    /// one has left, the attempt is aborted. Each step may take as long as the server's `timeoutMs`. The era is
    /// remembered in the platform's store, so that later attempts need no probe; a verdict that no longer holds
    /// is replaced.
    ///
    /// # Errors
    ///
    /// Why the server cannot be used, `cancelled`, or `misuse` after [`close`](Connection::close).
    pub async fn connect(&self, cancel: &Cancel) -> Result<()> {
        self.link(cancel).await.map(|_| ())
    }

    /// Takes up a sign-in that was begun, in this page or in one that was left since, with the URL that the user came
    /// back to.
    ///
    /// # Errors
    ///
    /// `misuse` when no sign-in was begun for this server, `protocol` for a redirect that does not belong to it, and
    /// whatever the authorization server says.
    pub async fn finish_authorization(&self, callback: &str, cancel: &Cancel) -> Result<()> {
        let name = &self.0.config.name;
        let Some(authorizer) = &self.0.authorizer else {
            return Err(Error::new(Code::Misuse, ["authorization for ", name, ": it has no option `oauth`"].concat()));
        };
        let finished = unless_cancelled(cancel, authorizer.finish(callback)).await;
        finished.unwrap_or_else(|_| Err(Error::cancelled(&["authorization for ", name].concat())))
    }

    /// Sends a request once, or twice when the server had forgotten us; see [`request`](Connection::request).
    async fn once(
        &self,
        call: &Call<'_>,
        timeout: Millis,
        cancel: &Cancel,
        on_message: &mut dyn FnMut(Message),
    ) -> std::result::Result<Answer, Failure> {
        let mut link = self.link(cancel).await?;
        let mut meta = call.meta.to_vec();
        if let Some(attendant) = &self.1 {
            let new = attendant.meta().iter().filter(|(name, _)| !call.meta.iter().any(|(own, _)| own == name));
            meta.extend(new.map(|(name, value)| (name.as_str(), value)));
        }
        let call = &Call { meta: &meta, ..call.clone() };
        let mut renewed = 0;
        loop {
            let sent = self.0.send(&link, call, timeout, cancel, self.1.as_deref(), on_message);
            let failure = match self.listening(&link, sent).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            // Once; but the session of another tab may be as lost as ours was.
            let again = renewed == 0 || renewed < MOST_RENEWED && self.0.has_joined(&link);
            if !again || !link.is_refuted_by(&failure) {
                return Err(explain(failure, &link));
            }
            self.0.forget(&link);
            let new = self.link(cancel).await.map_err(|error| error.cause(failure.error.clone()))?;
            // If it is still modern, then it refused this request, not its era.
            if new.era == Era::Modern && link.era == Era::Modern {
                return Err(explain(failure, &link));
            }
            (link, renewed) = (new, renewed + 1);
        }
    }

    /// The `outputSchema` of a tool that was listed; `None` where results are not to be checked.
    pub(crate) fn promise(&self, tool: &str) -> Option<serde_json::Value> {
        let status = self.0.status.borrow();
        let tool = status.tools.iter().find(|known| known.name == tool).filter(|_| self.0.config.validate)?;
        tool.output_schema.clone()
    }

    /// The tools of the last listing that a client asked for.
    pub(crate) fn listed(&self) -> Rc<[Tool]> {
        self.0.status.borrow().tools.clone()
    }

    pub(crate) fn set_listed(&self, tools: Rc<[Tool]>) {
        self.0.status.borrow_mut().tools = tools;
    }

    pub(crate) fn config(&self) -> &ServerConfig {
        &self.0.config
    }

    /// How often the server has asked something back. What it gave then depends on more than the request.
    pub(crate) fn asked(&self) -> u64 {
        self.0.asked.get()
    }

    /// Who asks, as far as the server can tell; see [`cache::principal`].
    ///
    /// # Errors
    ///
    /// The app's function for the token failed.
    pub(crate) async fn principal(&self) -> Result<String> {
        let token = self.0.token().await.map_err(|words| Error::new(Code::AuthRequired, words))?;
        let token = token.as_ref().map(|token| ("authorization", token.reveal()));
        let headers = self.0.config.headers.iter().map(|(name, value)| (name.as_str(), value.reveal()));
        // A query may be a credential.
        let query = self.0.config.url.split_once('?').map(|(_, query)| ("?", query));
        Ok(cache::principal(headers.chain(token).chain(query)))
    }

    pub(crate) fn platform(&self) -> &P {
        &self.0.platform
    }

    /// Ends the connection: aborts every request, and tells a legacy server that its session is over, for at most
    /// two seconds. Again does nothing.
    pub async fn close(&self) {
        self.0.closed.cancel();
        self.0.single.take();
        let link = self.0.status.borrow_mut().link.take();
        let part = self.0.part.take();
        match (part, link) {
            (Some(part), _) => self.0.leave(part).await,
            (None, Some(link)) => self.0.end(&link.session).await,
            (None, None) => {}
        }
        self.0.bury().await;
    }

    /// The link in force, or the one that an attempt of ours or of somebody else gives.
    async fn link(&self, cancel: &Cancel) -> Result<Rc<Link>> {
        let attempt = match self.0.enter()? {
            Enter::Ready(link) => return Ok(link),
            Enter::Join(attempt) => attempt,
            Enter::Start => {
                let inner = self.0.clone();
                let attempt = Share::new(async move { inner.attempt().await });
                self.0.status.borrow_mut().attempt = Some(attempt.downgrade());
                attempt
            }
        };
        match unless_cancelled(cancel, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => {
                // If nobody else waited for it, the attempt is over.
                self.0.bury().await;
                Err(Error::cancelled(&["connecting to ", &self.0.config.name].concat()))
            }
        }
    }
}

enum Enter {
    Ready(Rc<Link>),
    Join(Share<Attempt>),
    Start,
}

impl<P: Platform> Inner<P> {
    fn enter(&self) -> Result<Enter> {
        if self.closed.is_cancelled() {
            let message = ["the connection to ", &self.config.name, " is closed"].concat();
            return Err(Error::new(Code::Misuse, message));
        }
        let status = self.status.borrow();
        if let Some(link) = status.link.as_ref().filter(|_| !self.is_spent()) {
            return Ok(Enter::Ready(link.clone()));
        }
        Ok(status.attempt.as_ref().and_then(WeakShare::upgrade).map_or(Enter::Start, Enter::Join))
    }

    async fn send(
        &self,
        link: &Link,
        call: &Call<'_>,
        timeout: Millis,
        cancel: &Cancel,
        attendant: Option<&dyn Attendant>,
        on_message: &mut dyn FnMut(Message),
    ) -> std::result::Result<Answer, Failure> {
        let session = &link.session;
        let build = |id: u64, token: Option<&Secret>| match link.era {
            Era::Modern => request::modern(call, id, &session.version, &self.config, token),
            Era::Legacy => legacy::request(call, id, session, &self.config, token),
        };
        let job = Job {
            era: link.era,
            what: call.label(&self.config.name),
            expects: true,
            safe: call.is_safe(),
            session: (link.era == Era::Legacy).then_some(session),
            build: &build,
            attendant,
            thinking: Cell::new(false),
            timeout,
            cancel,
            track: None,
        };
        self.run(&job, on_message).await.map(|reply| reply.answer)
    }

    /// Tells a legacy server that a session is over, for two seconds at most.
    async fn end(&self, session: &Session) {
        if session.id.is_none() {
            return;
        }
        let farewell = async {
            let token = self.token().await.ok()?;
            let mut request = legacy::end(session, &self.config, token.as_ref())?;
            self.prove(&mut request, token.as_ref()).await.ok()?;
            self.platform.fetch(request).await.ok()
        };
        // 405 means that the server ends sessions by itself; nothing else matters any more either.
        let _ = within(&*self.platform, COURTESY, &Cancel::new(), farewell).await;
    }

    /// Ends the session of an attempt that came to nothing.
    async fn bury(&self) {
        let orphan = self.orphan.take();
        if let Some(session) = orphan {
            self.end(&session).await;
        }
    }

    /// Forgets a link that no longer holds, unless somebody else has renewed it meanwhile.
    fn forget(&self, link: &Rc<Link>) {
        let mut status = self.status.borrow_mut();
        if status.link.as_ref().is_some_and(|current| Rc::ptr_eq(current, link)) {
            status.link = None;
            self.lose(&link.session);
        }
    }

    /// The id of the next request; never given twice.
    fn take_id(&self) -> u64 {
        self.next_id.replace(self.next_id.get() + 1)
    }
}

/// A server that insists on a session which we never saw most likely hides it from pages.
fn explain(mut failure: Failure, link: &Link) -> Failure {
    let hidden = link.era == Era::Legacy && link.session.id.is_none() && legacy::session_lost(&failure, &link.session);
    if hidden {
        failure.error.message.push_str(
            "; a page can only keep a session that the server exposes: Access-Control-Expose-Headers: Mcp-Session-Id",
        );
        failure.error.maybe_cors = true;
    }
    failure
}

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod ear_tests;
#[cfg(test)]
mod session_ear_tests;
#[cfg(test)]
mod session_tests;
#[cfg(test)]
mod single_tests;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod task_tests;
#[cfg(test)]
mod tests;
