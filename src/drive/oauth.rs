//! Authorization of one MCP server: does what the machine in [`crate::mcp::oauth`] asks for, once for everybody.
//!
//! Any number of requests may be refused at the same time; one flow is under way, and all wait for it.

mod io;
mod store;

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::drive::authorizer::Hopeless;
use crate::drive::share::{Share, WeakShare};
use crate::drive::wait::{Cancel, within};
use crate::error::{Code, Error, Result};
use crate::http::{Headers, Request};
use crate::mcp::oauth::{
    Ask, Client, Fact, Flow, Grant, Key, Known, OauthConfig, Origin, Refusal, Remedy, Step, Tokens, Tries, Url,
    base64url, dpop_proof, is_signature, state_of,
};
use crate::options::FunctionId;
use crate::platform::{AppCall, Body, Platform};
use crate::secret::Secret;
use crate::time::Millis;

/// Longest answer of an authorization server that is read.
const MAX_BODY: usize = 1 << 20;

/// The authorization of one MCP server. Clones share it.
pub(crate) struct Authorizer<P: Platform>(Rc<Inner<P>>);

struct Inner<P: Platform> {
    platform: Rc<P>,
    config: OauthConfig,
    name: String,
    server: Url,
    /// Longest wait for one answer of an authorization server. Users may take as long as they like.
    timeout: Millis,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    loaded: bool,
    /// Grows with each thing that is kept, in whatever tab.
    turn: u64,
    client: Option<Client>,
    tokens: Option<Tokens>,
    /// What the MCP server wants in the next proof.
    nonce: Option<String>,
    /// Challenges that a step up did not help against.
    in_vain: Vec<Vec<String>>,
    /// The flow that is under way. Weak: it lives as long as somebody waits for it.
    work: Option<(Kind, WeakShare<Work>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Refresh,
    Authorize,
}

/// What a flow comes to; everybody who waits holds a share of it.
type Work = Result<()>;

impl<P: Platform> Clone for Authorizer<P> {
    fn clone(&self) -> Authorizer<P> {
        Authorizer(self.0.clone())
    }
}

impl<P: Platform> Authorizer<P> {
    /// Nothing is asked of anybody yet.
    pub(crate) fn new(platform: Rc<P>, config: OauthConfig, name: &str, server: Url, timeout: Millis) -> Authorizer<P> {
        let (name, state) = (name.to_owned(), RefCell::default());
        Authorizer(Rc::new(Inner { platform, config, name, server, timeout, state }))
    }

    /// The access token in memory, whether or not it still holds; for courtesies that are not worth a wait.
    pub(crate) fn current(&self) -> Option<Secret> {
        self.0.state.borrow().tokens.as_ref().map(|tokens| tokens.access.clone())
    }

    /// What a connection keeps of the token: `{ access, staleAt?, dpop }`, null when there is none. `staleAt` is when it
    /// is worth to come back for another.
    pub(crate) fn held(&self) -> Value {
        let state = self.0.state.borrow();
        state.tokens.as_ref().map_or(Value::Null, |tokens| {
            let stale_at = tokens.refresh.as_ref().and(tokens.stale_at).map(|at| at.0);
            json!({ "access": tokens.access.reveal(), "staleAt": stale_at, "dpop": tokens.dpop })
        })
    }

    /// The access token for the next request; refreshed before it ends. `None` when there is none: the server's
    /// refusal tells better than anything else what it wants.
    pub(crate) async fn token(&self) -> Option<Secret> {
        self.0.load().await;
        let stale = {
            let state = self.0.state.borrow();
            let tokens = state.tokens.as_ref();
            tokens.is_some_and(|tokens| tokens.refresh.is_some() && tokens.is_stale(self.0.platform.now()))
        };
        if stale {
            let work = self.underway().map_or_else(|| self.start(Kind::Refresh, None), |(_, work)| work);
            // If it failed, the server may still take the old one; if not, the refusal leads on from here.
            let _ = work.await;
        }
        self.current()
    }

    /// Does what may help a refused request; `Ok` means that it should be sent again.
    ///
    /// # Errors
    ///
    /// Why nothing helped, or `None` when nothing can: then the refusal itself is the reason, with these words.
    pub(crate) async fn remedy(
        &self,
        refusal: &Refusal,
        used: Option<&Secret>,
        tries: &mut Tries,
    ) -> std::result::Result<(), Hopeless> {
        self.0.load().await;
        if let Some((kind, work)) = self.underway() {
            match work.await {
                // Who asked for it first was told the reason; so is everybody else. Only a refresh leaves another way.
                Err(error) if kind == Kind::Authorize => return Err(Hopeless::Failed(error)),
                _ => {}
            }
        }
        if used == self.current().as_ref() {
            // Another tab may have come by a better one.
            self.0.reload().await;
        }
        loop {
            let remedy = {
                let state = self.0.state.borrow();
                Remedy::choose(refusal, used, state.tokens.as_ref(), *tries, &state.in_vain)
            };
            match remedy {
                Remedy::Nothing(words) => return Err(Hopeless::Refused(words.to_owned())),
                Remedy::Again => {
                    tries.again += 1;
                    return Ok(());
                }
                Remedy::Refresh => {
                    tries.refreshed = true;
                    match self.join_or_start(Kind::Refresh, refusal).await {
                        // Not good any more: from the start, then.
                        Err(error) if error.code == Code::AuthRequired => {}
                        outcome => return outcome.map_err(Hopeless::Failed),
                    }
                }
                Remedy::Authorize => {
                    tries.authorized += 1;
                    let outcome = self.join_or_start(Kind::Authorize, refusal).await;
                    if outcome.is_ok() && refusal.is_insufficient_scope() {
                        self.0.note_in_vain(refusal);
                    }
                    return outcome.map_err(Hopeless::Failed);
                }
            }
        }
    }

    /// Notes what the server wants in the next proof; servers may say it with any answer.
    pub(crate) fn note_nonce(&self, headers: &Headers) {
        if let Some(nonce) = headers.get("dpop-nonce") {
            self.0.state.borrow_mut().nonce = Some(nonce.to_owned());
        }
    }

    /// Adds the proof to a request whose token is bound to a key ([RFC 9449, section 7]); leaves any other as it is.
    ///
    /// # Errors
    ///
    /// When the app gives no signature, in words.
    ///
    /// [RFC 9449, section 7]: https://www.rfc-editor.org/rfc/rfc9449#section-7
    pub(crate) async fn prove(&self, request: &mut Request, token: &Secret) -> std::result::Result<(), &'static str> {
        let inner = &self.0;
        let Some(dpop) = &inner.config.dpop else { return Ok(()) };
        let (bound, nonce) = {
            let state = inner.state.borrow();
            let bound = state.tokens.as_ref().is_some_and(|tokens| tokens.dpop && tokens.access == *token);
            (bound, state.nonce.clone())
        };
        if !bound {
            return Ok(());
        }
        let id = base64url(&inner.random()[..16]);
        let token = token.reveal();
        let input = dpop_proof(dpop, request, Some(token), nonce.as_deref(), &id, inner.platform.now());
        let argument = json!({ "server": inner.name, "algorithm": dpop.algorithm, "input": input });
        let signature = inner.call(dpop.sign, argument).await.filter(|signature| is_signature(signature.reveal()));
        let signature = signature.ok_or("the app's `sign` gave no signature in base64url")?;
        request.headers.set("Authorization", ["DPoP ", token].concat());
        request.headers.set("DPoP", [&input, ".", signature.reveal()].concat());
        Ok(())
    }

    /// Takes up the sign-in that was begun in another page, with the URL that the user came back to.
    ///
    /// # Errors
    ///
    /// `misuse` when none was begun, and whatever the flow says.
    pub(crate) async fn finish(&self, callback: &str) -> Result<()> {
        self.0.load().await;
        let inner = &self.0;
        let state = state_of(callback).unwrap_or_default();
        let snapshot = inner.take_begun(&state).await.unwrap_or(Value::Null);
        let mut flow = Flow::resume(&inner.config, &inner.name, &inner.server, &snapshot, inner.random())?;
        flow.apply(Fact::Redirected(callback), inner.platform.now());
        let work = Share::new(inner.clone().drive(flow, Kind::Authorize));
        inner.state.borrow_mut().work = Some((Kind::Authorize, work.downgrade()));
        work.await
    }

    fn underway(&self) -> Option<(Kind, Share<Work>)> {
        let state = self.0.state.borrow();
        let (kind, work) = state.work.as_ref()?;
        let work = work.upgrade()?;
        // Once its outcome is known it is over, even while others still hold it.
        (!work.is_over()).then_some((*kind, work))
    }

    async fn join_or_start(&self, kind: Kind, refusal: &Refusal) -> Result<()> {
        let work = match self.underway() {
            Some((_, work)) => work,
            None => self.start(kind, Some(refusal)),
        };
        work.await
    }

    fn start(&self, kind: Kind, refusal: Option<&Refusal>) -> Share<Work> {
        let inner = self.0.clone();
        let work = match kind {
            Kind::Refresh => Share::new(inner.renew()),
            Kind::Authorize => {
                let flow = inner.flow(kind, refusal);
                Share::new(inner.drive(flow, kind))
            }
        };
        self.0.state.borrow_mut().work = Some((kind, work.downgrade()));
        work
    }
}

impl<P: Platform> Inner<P> {
    fn flow(&self, kind: Kind, refusal: Option<&Refusal>) -> Flow {
        let state = self.state.borrow();
        let (config, name, server) = (&self.config, &self.name, &self.server);
        match (&state.tokens, kind) {
            (Some(tokens), Kind::Refresh) => {
                Flow::refresh(config, name, server, tokens, self.random(), self.platform.now())
            }
            (tokens, _) => {
                let requested = tokens.as_ref().map(|tokens| tokens.requested.clone()).unwrap_or_default();
                let known = Known { client: state.client.clone(), requested };
                let refusal = refusal.cloned().unwrap_or_default();
                Flow::new(config, name, server, &refusal, known, self.random())
            }
        }
    }

    /// Refreshes, unless another tab has done it: a refresh token counts once, so that only one may use it, and whoever
    /// comes second has to wait for what the first one gets.
    async fn renew(self: Rc<Self>) -> Result<()> {
        let access = |inner: &Self| inner.state.borrow().tokens.as_ref().map(|tokens| tokens.access.clone());
        let before = access(&self);
        let name = self.key();
        // Whoever holds it may hang; then we go on without.
        let _held = within(&*self.platform, self.timeout, &Cancel::new(), self.platform.lock(&name)).await;
        self.reload().await;
        if access(&self).is_some_and(|now| before != Some(now)) {
            return Ok(());
        }
        if access(&self).is_none() {
            return Err(Error::new(Code::AuthRequired, "another tab has given the tokens up"));
        }
        let flow = self.flow(Kind::Refresh, None);
        self.drive(flow, Kind::Refresh).await
    }

    async fn drive(self: Rc<Self>, mut flow: Flow, kind: Kind) -> Result<()> {
        loop {
            match flow.next().clone() {
                Step::Fetch(request) => {
                    let answer = self.fetch(request).await;
                    let fact = match &answer {
                        Ok((status, body, nonce)) => Fact::Answer { status: *status, body, nonce: nonce.as_deref() },
                        Err(maybe_cors) => Fact::NoAnswer { maybe_cors: *maybe_cors },
                    };
                    flow.apply(fact, self.platform.now());
                }
                Step::Authorize { url, state } => {
                    if let Some(snapshot) = flow.snapshot() {
                        self.begin(snapshot).await;
                    }
                    let Grant::Code { authorize: Some(function), .. } = &self.config.grant else {
                        return Err(self.needs_user(url));
                    };
                    let answer = self.call(*function, url.into()).await;
                    let fact = answer.as_ref().map_or(Fact::Declined, |url| Fact::Redirected(url.reveal()));
                    flow.apply(fact, self.platform.now());
                    self.take_begun(&state).await;
                }
                Step::Ask(ask) => {
                    let (function, argument) = self.question(ask);
                    self.tell(&mut flow, function, argument).await;
                }
                Step::Sign { key, algorithm, input } => {
                    let function = match key {
                        Key::Client => self.config.signer.as_ref().map(|signer| signer.sign),
                        Key::Dpop => self.config.dpop.as_ref().map(|dpop| dpop.sign),
                    };
                    let argument = json!({ "server": self.name, "algorithm": algorithm, "input": input });
                    self.tell(&mut flow, function, argument).await;
                }
                Step::Done(tokens) => {
                    {
                        let mut state = self.state.borrow_mut();
                        state.client = Some(tokens.client.clone());
                        state.tokens = Some(*tokens);
                    }
                    self.persist().await;
                    return Ok(());
                }
                Step::Failed(error) => {
                    self.forget_what_failed(&flow, kind, &error).await;
                    return Err(*error);
                }
            }
            self.keep_client(&flow).await;
        }
    }

    /// The app has to send a user there; the sign-in goes on when it says where the user came back to.
    fn needs_user(&self, url: String) -> Error {
        let message = ["authorization for ", &self.name, ": a user has to sign in"].concat();
        let mut error = Error::new(Code::AuthRequired, message);
        error.authorization_url = Some(url.into());
        error
    }

    /// A registration is kept at once: the user may never come back from the sign-in.
    async fn keep_client(&self, flow: &Flow) {
        let new = flow.client().filter(|client| self.state.borrow().client.as_ref() != Some(client)).cloned();
        if new.is_some() {
            // Whatever another tab has kept meanwhile stays.
            self.reload().await;
            self.state.borrow_mut().client = new;
            self.persist().await;
        }
    }

    async fn forget_what_failed(&self, flow: &Flow, kind: Kind, error: &Error) {
        let mut changed = false;
        {
            let mut state = self.state.borrow_mut();
            let registered = state.client.as_ref().is_some_and(|client| client.origin == Origin::Registered);
            if flow.is_client_rejected() && registered {
                state.client = None;
                changed = true;
            }
            // A refresh token that was refused is used up; one that could not be sent is not.
            if kind == Kind::Refresh
                && error.code == Code::AuthRequired
                && let Some(tokens) = &mut state.tokens
            {
                tokens.refresh = None;
                changed = true;
            }
        }
        if changed {
            self.persist().await;
        }
    }

    fn note_in_vain(&self, refusal: &Refusal) {
        let mut state = self.state.borrow_mut();
        let Some(wanted) = &refusal.scopes else { return };
        let granted = state.tokens.as_ref().is_some_and(|tokens| wanted.iter().all(|s| tokens.scopes.contains(s)));
        if !granted && !state.in_vain.contains(wanted) {
            state.in_vain.push(wanted.clone());
        }
    }
}

#[cfg(test)]
mod tests;
