//! One attempt to connect: does what the machine in [`crate::mcp::connect`] asks for.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::transfer::{Build, Job, Reply};
use super::{Connection, Inner};
use crate::drive::wait::Cancel;
use crate::error::{Code, Error, Result};
use crate::jsonrpc;
use crate::mcp::connect::{Connect, Step};
use crate::mcp::era::Era;
use crate::mcp::exchange::{Answer, Failure};
use crate::mcp::legacy::{self, Session};
use crate::mcp::request::{self, Call};
use crate::mcp::server::Link;
use crate::platform::{self, Platform, Space, Write};
use crate::secret::Secret;

impl<P: Platform> Inner<P> {
    /// One attempt to connect, from what is remembered to the new link or the error; both are noted.
    pub(super) async fn attempt(self: &Rc<Inner<P>>) -> Result<Rc<Link>> {
        let key = platform::key(&[&self.config.identity(), "era"]);
        let known = self.status.borrow().era;
        let remembered = match known {
            Some(era) => Some(era),
            None => {
                let stored = self.platform.load(Space::Servers, &key).await;
                stored.and_then(|name| Era::parse(std::str::from_utf8(&name).ok()?))
            }
        };
        // Once: if what it said does not hold any more, it is asked.
        let recalls = known.is_none() && remembered == Some(Era::Modern);
        let outcome = self.greet(remembered, recalls).await;
        if let Ok(link) = &outcome
            && remembered != Some(link.era)
        {
            // Best effort: else the next one asks again.
            let _ = self.platform.write(vec![Write::put(Space::Servers, key, link.era.as_str())]).await;
        }
        self.bury().await;
        let mut status = self.status.borrow_mut();
        status.attempt = None;
        status.error = outcome.as_ref().err().cloned();
        if let Ok(link) = &outcome {
            status.era = Some(link.era);
            // Closed meanwhile: whoever still waits gets the link, but nobody will use it.
            status.link = (!self.closed.is_cancelled()).then(|| link.clone());
            self.hub.wake();
        }
        outcome
    }

    async fn greet(self: &Rc<Inner<P>>, remembered: Option<Era>, recalls: bool) -> Result<Rc<Link>> {
        let itself = Connection(self.clone(), None);
        let cache = self.cache.as_ref();
        let mut said = match cache.filter(|_| recalls) {
            Some(cache) => cache.greeting(&itself).await,
            None => None,
        };
        let mut connect = Connect::new(&self.config.name, remembered).sharing();
        let mut gate = None;
        let mut joined = false;
        let mut unfinished = Unfinished { inner: self, session: None, done: false };
        // What the attempt before this one has left open.
        self.single.take();
        loop {
            match connect.next().clone() {
                Step::Discover(_) if said.is_some() => connect.discovered(Ok(said.take().unwrap_or_default())),
                Step::Discover(version) => {
                    let call = Call::new("server/discover", &[]);
                    let build = |id, token: Option<&Secret>| request::modern(&call, id, version, &self.config, token);
                    let asks = if cache.is_some() { itself.principal().await.ok() } else { None };
                    let reply = self.greeting(Era::Modern, &call, true, &build).await;
                    let answer = reply.and_then(|reply| result(reply.answer, &call));
                    let told = answer.as_ref().ok().filter(|_| asks.is_some()).cloned();
                    connect.discovered(answer);
                    if let (Step::Ready(_), Some(cache), Some(asks), Some(told)) = (connect.next(), cache, asks, told) {
                        cache.keep_greeting(&itself, &asks, &told).await;
                    }
                }
                Step::Adopt => {
                    gate = self.gate().await;
                    let link = match &gate {
                        Some(gate) => self.join(gate).await,
                        None => None,
                    };
                    joined = link.is_some();
                    connect.adopted(link);
                }
                Step::Initialize => {
                    let call = Call::new("initialize", &[]);
                    let endpoint = connect.endpoint().map(str::to_owned);
                    let build = |id, token: Option<&Secret>| {
                        let mut request = legacy::initialize(id, &self.config, token);
                        request.url = endpoint.clone().unwrap_or(request.url);
                        request
                    };
                    match self.greeting(Era::Legacy, &call, true, &build).await {
                        Ok(reply) => connect.initialized(result(reply.answer, &call), reply.session),
                        Err(failure) => connect.initialized(Err(failure), None),
                    }
                }
                Step::FindEndpoint => connect.found(self.find_endpoint().await),
                Step::Announce(link) => {
                    unfinished.session = Some(link.session.clone());
                    let call = Call::new("notifications/initialized", &[]);
                    let build = |_, token: Option<&Secret>| {
                        let message = jsonrpc::notification(call.method, &[]);
                        legacy::send(message, &link.session, &self.config, token)
                    };
                    let reply = self.greeting(Era::Legacy, &call, false, &build).await;
                    connect.announced(reply.map(|_| ()));
                }
                Step::Ready(link) => {
                    match &gate {
                        Some(_) if joined => {}
                        Some(gate) => self.share(gate, &link).await,
                        None => drop(self.part.take()),
                    }
                    unfinished.done = true;
                    return Ok(Rc::from(link));
                }
                Step::Failed(error) => return Err(*error),
            }
        }
    }

    async fn greeting(
        &self,
        era: Era,
        call: &Call<'_>,
        expects: bool,
        build: Build<'_>,
    ) -> std::result::Result<Reply, Failure> {
        let what = call.label(&self.config.name);
        // Nobody cancels an attempt; it ends when nobody waits for it any more.
        let (timeout, cancel) = (self.config.timeout, &Cancel::new());
        let (attendant, thinking) = (None, Default::default());
        let (session, track) = (None, None);
        let job = Job { era, what, expects, safe: true, session, build, attendant, thinking, timeout, cancel, track };
        self.run(&job, &mut |_| {}).await
    }
}

/// An attempt that is under way. If it comes to nothing, also by being dropped, no stream of it stays open, and the
/// session that the server made is kept in mind to be ended.
struct Unfinished<'a, P: Platform> {
    inner: &'a Inner<P>,
    session: Option<Session>,
    done: bool,
}

impl<P: Platform> Drop for Unfinished<'_, P> {
    fn drop(&mut self) {
        if !self.done {
            self.inner.single.take();
            if let Some(session) = self.session.take() {
                self.inner.orphan.replace(Some(session));
            }
        }
    }
}

/// The result of a greeting, which cannot be anything but complete.
fn result(answer: Answer, call: &Call<'_>) -> std::result::Result<Map<String, Value>, Failure> {
    match answer {
        Answer::Complete(result) => Ok(result),
        _ => Err(Error::new(Code::Protocol, [call.method, ": answered without a result"].concat()).into()),
    }
}

#[cfg(test)]
#[path = "greet_tests.rs"]
mod tests;
