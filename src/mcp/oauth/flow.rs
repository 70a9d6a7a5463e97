//! The decisions of getting a token.
//!
//! ```text
//!  refusal ─> resource metadata ─> server metadata ─> client ─┬─> user signs in ──────┐
//!                    │                                        ├─> client credentials ─┼─> token ─> Done
//!                    └─ none: the MCP server's own origin     ├─> app's assertion ────┤
//!                       (2025-03-26)                          └─> ID token, exchange ─┘
//!  refresh token ────────────────────────────────────────────────────────────────────> token
//! ```
//!
//! Ask [`next`](Flow::next), do it, report with [`apply`](Flow::apply). While a user signs in, the flow can be
//! stored with [`snapshot`](Flow::snapshot) and taken up in another page with [`resume`](Flow::resume).
//!
//! # Out of scope
//!
//! - Waiting, storing, deciding when a token is needed, and the signature itself.

mod steps;

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::challenge::Refusal;
use super::client::{AuthMethod, Client, Origin};
use super::config::{Grant, OauthConfig};
use super::jwt;
use super::metadata::{self, AuthorizationServer};
use super::redirect::Pending;
use super::scope;
use super::token::{Form, Tokens};
use super::url::Url;
use crate::error::{Code, Error, Retry};
use crate::http::{Headers, Method, Request};
use crate::mcp::sha256::{base64url, sha256};
use crate::secret::Secret;
use crate::time::UnixMillis;

/// What to do next to get a token.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send this; report [`Fact::Answer`] or [`Fact::NoAnswer`].
    Fetch(Request),
    /// Let the user open this URL; report [`Fact::Redirected`] with where the user came back to.
    Authorize {
        /// To be opened.
        url: String,
        /// Comes back with the user; tells which flow an answer belongs to.
        state: String,
    },
    /// Ask the app; report [`Fact::Told`].
    Ask(Ask),
    /// Sign the text with a key of the app's; report [`Fact::Told`] with the signature in base64url.
    Sign {
        /// Which of its keys.
        key: Key,
        /// JOSE name of the algorithm.
        algorithm: String,
        /// ASCII text.
        input: String,
    },
    /// Done.
    Done(Box<Tokens>),
    /// Given up.
    Failed(Box<Error>),
}

/// A key of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The one that it authenticates with.
    Client,
    /// The one that tokens are bound to.
    Dpop,
}

/// What the app is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A statement of the app's platform, for this issuer.
    Assertion {
        /// Issuer that it is meant for.
        issuer: String,
    },
    /// The ID token of the user.
    IdToken,
}

/// What happened. Holds codes and tokens, so that it cannot be shown.
#[derive(Clone, PartialEq)]
pub enum Fact<'a> {
    /// An answer came, whatever its status.
    Answer {
        /// HTTP status.
        status: u16,
        /// Its body, or as much of it as was read.
        body: &'a [u8],
        /// Its header `DPoP-Nonce`.
        nonce: Option<&'a str>,
    },
    /// No answer came.
    NoAnswer {
        /// It may be for CORS.
        maybe_cors: bool,
    },
    /// Where the user came back to: the URL, or its query.
    Redirected(&'a str),
    /// What the app was asked for.
    Told(Secret),
    /// The app's function failed, or returned nothing that could be it.
    Declined,
}

/// What earlier flows left.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// Client that was used with this server before.
    pub client: Option<Client>,
    /// Scopes that were asked for before.
    pub requested: Vec<String>,
}

/// The decisions of getting a token for one MCP server.
pub struct Flow {
    config: OauthConfig,
    name: String,
    server: Url,
    refusal: Refusal,
    known: Known,
    random: [u8; 48],
    signed: u8,
    stage: Stage,
    step: Step,
    /// Some address did not answer at all.
    silent: bool,
    maybe_cors: bool,
    resource: String,
    resource_scopes: Option<Vec<String>>,
    authority: AuthorizationServer,
    client: Option<Client>,
    rejected: bool,
    scopes: Vec<String>,
    /// What the token endpoint wants in the next proof.
    nonce: Option<String>,
}

enum Stage {
    Resource(VecDeque<String>),
    Authority { urls: VecDeque<String>, issuer: String, derived: bool, mismatch: bool },
    Register,
    Authorize(Pending),
    Assertion,
    IdToken,
    Exchange,
    Sign { key: Key, input: String, ask: Box<TokenAsk> },
    Token(Box<TokenAsk>),
    End,
}

/// A request for a token, with the signatures that it has so far.
#[derive(Clone)]
struct TokenAsk {
    form: Form,
    assertion: Option<String>,
    proof: Option<String>,
    /// The server asked for a nonce once already.
    nonced: bool,
    /// What is refreshed.
    before: Option<Tokens>,
}

impl Flow {
    /// Begins after a refusal. `name` is the server's, for errors; `random` has to be unpredictable.
    pub fn new(
        config: &OauthConfig,
        name: &str,
        server: &Url,
        refusal: &Refusal,
        known: Known,
        random: [u8; 48],
    ) -> Flow {
        let mut flow = Flow::empty(config, name, server, random);
        let urls = metadata::resource_urls(server, refusal.resource_metadata.as_deref());
        flow.refusal = refusal.clone();
        flow.known = known;
        flow.stage = Stage::Resource(urls.into());
        flow.look_for_resource();
        flow
    }

    /// Begins with a refresh token. Fails with `auth_required` when that is not good any more.
    pub fn refresh(
        config: &OauthConfig,
        name: &str,
        server: &Url,
        tokens: &Tokens,
        random: [u8; 48],
        now: UnixMillis,
    ) -> Flow {
        let mut flow = Flow::empty(config, name, server, random);
        flow.resource = tokens.resource.clone();
        flow.authority.issuer = tokens.issuer.clone();
        flow.authority.token_endpoint = tokens.token_endpoint.clone();
        flow.client = Some(tokens.client.clone());
        flow.scopes = tokens.requested.clone();
        match &tokens.refresh {
            Some(refresh) => {
                let form = Form::new("refresh_token").with("refresh_token", refresh.reveal());
                let form = form.with("resource", &tokens.resource);
                let (assertion, proof, nonced, before) = (None, None, false, Some(tokens.clone()));
                flow.send(TokenAsk { form, assertion, proof, nonced, before }, now);
            }
            None => flow.fail(Code::AuthRequired, "there is no refresh token"),
        }
        flow
    }

    fn empty(config: &OauthConfig, name: &str, server: &Url, random: [u8; 48]) -> Flow {
        Flow {
            config: config.clone(),
            name: name.to_owned(),
            server: server.clone(),
            refusal: Refusal::default(),
            known: Known::default(),
            random,
            signed: 0,
            stage: Stage::End,
            step: Step::Failed(Box::new(Error::new(Code::Misuse, "a flow that was never begun"))),
            silent: false,
            maybe_cors: false,
            resource: server.resource(),
            resource_scopes: None,
            authority: AuthorizationServer::default(),
            client: None,
            rejected: false,
            scopes: Vec::new(),
            nonce: None,
        }
    }

    /// What to do next. Stays the same until a fact changes it.
    pub fn next(&self) -> &Step {
        &self.step
    }

    /// The client as it is known so far; worth keeping even when the user never comes back.
    pub fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    /// True when the authorization server does not know the client any more, so that a stored one has to go.
    pub fn is_client_rejected(&self) -> bool {
        self.rejected
    }

    /// The flow while a user signs in, for [`resume`](Flow::resume). Holds secrets: keep it where tokens are kept,
    /// and nowhere else. `None` at any other step.
    pub fn snapshot(&self) -> Option<Value> {
        let (Stage::Authorize(pending), Some(client)) = (&self.stage, &self.client) else { return None };
        Some(json!({
            "server": self.server.resource(), "resource": self.resource, "scopes": self.scopes.join(" "),
            "issuer": self.authority.issuer, "saysIssuer": self.authority.says_issuer,
            "tokenEndpoint": self.authority.token_endpoint, "client": client.to_value(),
            "verifier": pending.verifier, "state": pending.state,
        }))
    }

    /// Takes up a stored flow; it waits for [`Fact::Redirected`].
    ///
    /// # Errors
    ///
    /// `misuse` when it is no snapshot, or one for another server.
    pub fn resume(
        config: &OauthConfig,
        name: &str,
        server: &Url,
        snapshot: &Value,
        random: [u8; 48],
    ) -> Result<Flow, Error> {
        let mut flow = Flow::empty(config, name, server, random);
        let text = |name: &str| snapshot.get(name)?.as_str().map(str::to_owned);
        let restored = (|| {
            let pending = Pending { verifier: text("verifier")?, state: text("state")? };
            let client = Client::from_value(snapshot.get("client")?)?;
            flow.resource = text("resource").filter(|_| text("server").as_ref() == Some(&server.resource()))?;
            flow.scopes = scope::split(&text("scopes")?);
            flow.authority.issuer = text("issuer")?;
            flow.authority.says_issuer = snapshot.get("saysIssuer")?.as_bool()?;
            flow.authority.token_endpoint = text("tokenEndpoint")?;
            flow.client = Some(client);
            flow.step = Step::Authorize { url: String::new(), state: pending.state.clone() };
            flow.stage = Stage::Authorize(pending);
            Some(())
        })();
        match restored {
            Some(()) => Ok(flow),
            None => {
                let message = ["authorization for ", name, ": no sign-in was begun that could be taken up"].concat();
                Err(Error::new(Code::Misuse, message))
            }
        }
    }

    fn fail(&mut self, code: Code, words: &str) {
        self.fail_with(code, words, Retry::Never);
    }

    fn fail_with(&mut self, code: Code, words: &str, retry: Retry) {
        let message = ["authorization for ", &self.name, ": ", words].concat();
        let mut error = Error::new(code, message).retry(retry);
        error.maybe_cors = self.maybe_cors && code == Code::Network;
        self.stage = Stage::End;
        self.step = Step::Failed(Box::new(error));
    }

    fn get(url: String) -> Step {
        // A header that needs a preflight would make pages fail where they need not.
        let mut headers = Headers::new();
        headers.set("Accept", "application/json");
        Step::Fetch(Request { method: Method::Get, url, headers, body: None })
    }

    /// An id for a signed statement that nobody can guess and that does not tell what it is made of.
    fn fresh_id(&mut self) -> String {
        self.signed = self.signed.wrapping_add(1);
        let mut seed = self.random.to_vec();
        seed.push(self.signed);
        base64url(&sha256(&seed)[..16])
    }

    /// Asks the token endpoint for a first token.
    fn ask_for_token(&mut self, form: Form, now: UnixMillis) {
        self.send(TokenAsk { form, assertion: None, proof: None, nonced: false, before: None }, now);
    }

    /// Asks the token endpoint, once everything is signed that has to be.
    fn send(&mut self, ask: TokenAsk, now: UnixMillis) {
        let Some(client) = self.client.clone() else { return };
        if client.method == AuthMethod::PrivateKeyJwt
            && ask.assertion.is_none()
            && let Some(signer) = self.config.signer.clone()
        {
            let id = self.fresh_id();
            let input = jwt::client_assertion(&signer, &client.id, &self.authority.issuer, &id, now);
            return self.ask_for_signature(Key::Client, signer.algorithm, input, ask);
        }
        let endpoint = &self.authority.token_endpoint;
        let mut request = ask.form.clone().request(endpoint, &client, ask.assertion.as_deref());
        if let Some(dpop) = self.config.dpop.clone() {
            let Some(proof) = &ask.proof else {
                let id = self.fresh_id();
                let input = jwt::dpop_proof(&dpop, &request, None, self.nonce.as_deref(), &id, now);
                return self.ask_for_signature(Key::Dpop, dpop.algorithm, input, ask);
            };
            request.headers.set("DPoP", proof.as_str());
        }
        self.step = Step::Fetch(request);
        self.stage = Stage::Token(Box::new(ask));
    }

    fn ask_for_signature(&mut self, key: Key, algorithm: String, input: String, ask: TokenAsk) {
        self.step = Step::Sign { key, algorithm, input: input.clone() };
        self.stage = Stage::Sign { key, input, ask: Box::new(ask) };
    }

    fn is_user(&self) -> bool {
        matches!(self.config.grant, Grant::Code { .. })
    }

    /// Where the client was used before; with several authorization servers to choose from, it is stayed with.
    fn preferred_issuer(&self) -> Option<&str> {
        let client = self.known.client.as_ref().filter(|client| client.origin != Origin::Document);
        self.config.issuer.as_deref().or(client.map(|client| client.issuer.as_str()))
    }
}

#[cfg(test)]
mod tests;
