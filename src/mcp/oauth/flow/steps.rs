//! What each fact leads to.

use super::super::client::Choice;
use super::super::config::Idp;
use super::super::metadata::{Resource, Unfit, server_urls};
use super::super::redirect;
use super::super::scope::Sources;
use super::super::token::{Granted, ID_JAG, Kind, Refused};
use super::*;

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

impl Flow {
    /// Takes what happened. A fact that does not answer [`next`](Flow::next) changes nothing.
    pub fn apply(&mut self, fact: Fact<'_>, now: UnixMillis) {
        if let Fact::NoAnswer { maybe_cors } = fact {
            self.silent = true;
            self.maybe_cors |= maybe_cors;
        }
        match (&self.step, fact) {
            (Step::Fetch(_), Fact::Answer { status, body, nonce }) => {
                let asked = std::mem::replace(&mut self.nonce, nonce.map(str::to_owned));
                // Servers say it only when it changes.
                self.nonce = self.nonce.take().or(asked);
                self.answered(Some((status, body)), now);
            }
            (Step::Fetch(_), Fact::NoAnswer { .. }) => self.answered(None, now),
            (Step::Authorize { .. }, Fact::Redirected(answer)) => self.redirected(answer, now),
            (Step::Authorize { .. }, Fact::Declined) => self.fail(Code::AuthRequired, "the user did not sign in"),
            (Step::Ask(_) | Step::Sign { .. }, Fact::Told(secret)) => self.told(secret, now),
            (Step::Ask(Ask::Assertion { .. }), Fact::Declined) => {
                self.fail(Code::AuthRequired, "the app's `assertion` gave none");
            }
            (Step::Ask(Ask::IdToken), Fact::Declined) => self.fail(Code::AuthRequired, "the app's `idToken` gave none"),
            (Step::Sign { .. }, Fact::Declined) => self.fail(Code::AuthRequired, "the app's `sign` gave no signature"),
            _ => {}
        }
    }

    fn answered(&mut self, answer: Option<(u16, &[u8])>, now: UnixMillis) {
        match std::mem::replace(&mut self.stage, Stage::End) {
            Stage::Resource(urls) => {
                self.stage = Stage::Resource(urls);
                self.resource_answered(answer);
            }
            Stage::Authority { urls, issuer, derived, mismatch } => {
                self.authority_answered(answer, urls, issuer, derived, mismatch, now);
            }
            Stage::Register => self.registered(answer, now),
            Stage::Exchange => {
                if let Some(granted) = self.granted("the identity provider", answer, Kind::IdJag) {
                    self.send_assertion(&granted.access, now);
                }
            }
            Stage::Token(ask) => self.token_answered(answer, *ask, now),
            stage => self.stage = stage,
        }
    }

    fn token_answered(&mut self, answer: Option<(u16, &[u8])>, ask: TokenAsk, now: UnixMillis) {
        // RFC 9449, section 8. A proof counts once, and so does a statement about the client.
        if let Some((status, body)) = answer
            && Granted::read(status, body, Kind::Access) == Err(Refused::Error("use_dpop_nonce".to_owned()))
            && self.config.dpop.is_some()
            && self.nonce.is_some()
            && !ask.nonced
        {
            return self.send(TokenAsk { assertion: None, proof: None, nonced: true, ..ask }, now);
        }
        let Some(granted) = self.granted("the authorization server", answer, Kind::Access) else { return };
        if granted.dpop && self.config.dpop.is_none() {
            return self.fail(Code::Protocol, "the authorization server gave a token that is bound to a key");
        }
        self.done(granted, ask.before, now);
    }

    pub(super) fn look_for_resource(&mut self) {
        let Stage::Resource(urls) = &mut self.stage else { return };
        match urls.pop_front() {
            Some(url) => self.step = Flow::get(url),
            // A server of 2025-03-26 is its own authorization server.
            None => self.look_for_authority(None),
        }
    }

    fn resource_answered(&mut self, answer: Option<(u16, &[u8])>) {
        let Some((status, body)) = answer else { return self.look_for_resource() };
        if is_outage(status) {
            return self.outage("the server's resource metadata cannot be read", status);
        }
        match Resource::read(body, &self.server) {
            Ok(resource) if is_success(status) => {
                let preferred = self.preferred_issuer().filter(|issuer| resource.servers.iter().any(|s| s == issuer));
                let issuer = preferred.map(str::to_owned).or_else(|| resource.servers.first().cloned());
                self.resource = resource.resource;
                self.resource_scopes = resource.scopes;
                self.look_for_authority(issuer);
            }
            Err(Unfit::Mismatch) if is_success(status) => {
                self.fail(Code::Protocol, "the resource metadata is that of another server");
            }
            _ => self.look_for_resource(),
        }
    }

    /// `None`: nobody names an issuer.
    fn look_for_authority(&mut self, named: Option<String>) {
        self.silent = false;
        let derived = named.is_none();
        let issuer = named.unwrap_or_else(|| self.server.origin().to_owned());
        match server_urls(&issuer) {
            Some(urls) => {
                let mut urls = VecDeque::from(urls);
                // There is at least one.
                let first = urls.pop_front().unwrap_or_default();
                self.stage = Stage::Authority { urls, issuer, derived, mismatch: false };
                self.step = Flow::get(first);
            }
            None => self.fail(Code::Protocol, "its authorization server has no usable https address"),
        }
    }

    fn authority_answered(
        &mut self,
        answer: Option<(u16, &[u8])>,
        mut urls: VecDeque<String>,
        issuer: String,
        derived: bool,
        mut mismatch: bool,
        now: UnixMillis,
    ) {
        if let Some((status, body)) = answer {
            if is_outage(status) {
                return self.outage("the authorization server's metadata cannot be read", status);
            }
            if is_success(status) {
                match AuthorizationServer::read(body, &issuer, derived) {
                    Ok(authority) => return self.authority_found(authority, now),
                    Err(unfit) => mismatch |= unfit == Unfit::Mismatch,
                }
            }
        }
        if let Some(url) = urls.pop_front() {
            self.stage = Stage::Authority { urls, issuer, derived, mismatch };
            self.step = Flow::get(url);
        } else if mismatch {
            self.fail(Code::Protocol, "the authorization server's metadata is that of another issuer");
        } else if self.silent {
            let words = "the authorization server's metadata cannot be read: no answer";
            self.fail_with(Code::Network, words, Retry::Backoff);
        } else if derived {
            self.authority_found(AuthorizationServer::fallback(&issuer), now);
        } else {
            self.fail(Code::Protocol, "the authorization server publishes no usable metadata");
        }
    }

    fn authority_found(&mut self, authority: AuthorizationServer, now: UnixMillis) {
        self.authority = authority;
        if self.is_user() {
            if self.authority.authorization_endpoint.is_none() {
                return self.fail(Code::Protocol, "the authorization server has no page where users sign in");
            }
            if !self.authority.pkce {
                return self.fail(Code::Protocol, "the authorization server does not say that it supports PKCE (S256)");
            }
        }
        match Client::choose(&self.config, &self.authority, self.known.client.as_ref(), now) {
            Choice::Use(client) => self.begin(client, now),
            Choice::Register(request) => {
                self.stage = Stage::Register;
                self.step = Step::Fetch(request);
            }
            Choice::Stuck(words) => self.fail(Code::AuthRequired, words),
        }
    }

    fn registered(&mut self, answer: Option<(u16, &[u8])>, now: UnixMillis) {
        let (Some((status, body)), Grant::Code { redirect_url, .. }) = (answer, &self.config.grant) else {
            return self.fail_with(Code::Network, "no answer to the registration of this client", Retry::Backoff);
        };
        match Client::registered(status, body, &self.authority, redirect_url) {
            Ok(client) => self.begin(client, now),
            Err(words) => self.fail(Code::AuthRequired, &words),
        }
    }

    fn begin(&mut self, client: Client, now: UnixMillis) {
        // Whether a server wants it is for it to say anew each time.
        let mut previous = std::mem::take(&mut self.known.requested);
        previous.retain(|scope| scope != scope::OFFLINE);
        let sources = Sources {
            challenge: self.refusal.scopes.as_deref(),
            app: &self.config.scopes,
            resource: self.resource_scopes.as_deref(),
            previous: &previous,
            server: &self.authority.scopes,
            offline: self.is_user(),
        };
        self.scopes = sources.select();
        self.client = Some(client);
        match self.config.grant.clone() {
            Grant::Code { redirect_url, .. } => self.send_user(&redirect_url),
            Grant::ClientCredentials => {
                let form = Form::new("client_credentials").with("resource", &self.resource);
                self.ask_for_token(form.with_scopes(&self.scopes), now);
            }
            Grant::Assertion(_) => {
                self.stage = Stage::Assertion;
                self.step = Step::Ask(Ask::Assertion { issuer: self.authority.issuer.clone() });
            }
            Grant::Enterprise(_) => {
                self.stage = Stage::IdToken;
                self.step = Step::Ask(Ask::IdToken);
            }
        }
    }

    fn send_user(&mut self, redirect_url: &str) {
        let pending = Pending::new(&self.random);
        let url = pending.url(&redirect::Request {
            endpoint: self.authority.authorization_endpoint.as_deref().unwrap_or(""),
            client_id: self.client.as_ref().map_or("", |client| &client.id),
            redirect_url,
            resource: &self.resource,
            scopes: &self.scopes,
        });
        self.step = Step::Authorize { url, state: pending.state.clone() };
        self.stage = Stage::Authorize(pending);
    }

    fn redirected(&mut self, answer: &str, now: UnixMillis) {
        let (Stage::Authorize(pending), Grant::Code { redirect_url, .. }) = (&self.stage, &self.config.grant) else {
            return;
        };
        match pending.check(answer, &self.authority) {
            Ok(code) => {
                let form = Form::new("authorization_code")
                    .with("code", &code)
                    .with("code_verifier", &pending.verifier)
                    .with("redirect_uri", redirect_url)
                    .with("resource", &self.resource);
                self.ask_for_token(form, now);
            }
            Err((code, words)) => self.fail(code, &words),
        }
    }

    fn told(&mut self, secret: Secret, now: UnixMillis) {
        match std::mem::replace(&mut self.stage, Stage::End) {
            Stage::Assertion => self.send_assertion(&secret, now),
            Stage::IdToken => match self.config.grant.clone() {
                Grant::Enterprise(idp) => self.exchange(&idp, &secret),
                _ => self.fail(Code::Misuse, "an ID token without an identity provider"),
            },
            Stage::Sign { key, input, mut ask } if jwt::is_signature(secret.reveal()) => {
                let signed = Some([&input, ".", secret.reveal()].concat());
                match key {
                    Key::Client => ask.assertion = signed,
                    Key::Dpop => ask.proof = signed,
                }
                self.send(*ask, now);
            }
            _ => self.fail(Code::AuthRequired, "the app's `sign` gave no signature in base64url"),
        }
    }

    /// The user's ID token for a statement that the authorization server understands.
    fn exchange(&mut self, idp: &Idp, id_token: &Secret) {
        let form = Form::new("urn:ietf:params:oauth:grant-type:token-exchange")
            .with("requested_token_type", ID_JAG)
            .with("audience", &self.authority.issuer)
            .with("resource", &self.resource)
            .with("subject_token", id_token.reveal())
            .with("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")
            .with_scopes(&self.scopes);
        let client = Client {
            issuer: idp.token_endpoint.clone(),
            id: idp.client_id.clone(),
            secret: idp.client_secret.clone(),
            method: if idp.client_secret.is_some() { AuthMethod::Post } else { AuthMethod::None },
            origin: Origin::Given,
            redirect_url: None,
            expires_at: None,
        };
        self.step = Step::Fetch(form.request(&idp.token_endpoint, &client, None));
        self.stage = Stage::Exchange;
    }

    fn send_assertion(&mut self, assertion: &Secret, now: UnixMillis) {
        let form = Form::new(JWT_BEARER).with("assertion", assertion.reveal()).with("resource", &self.resource);
        self.ask_for_token(form.with_scopes(&self.scopes), now);
    }

    /// What a token endpoint gave; `None` after a failure.
    fn granted(&mut self, who: &str, answer: Option<(u16, &[u8])>, kind: Kind) -> Option<Granted> {
        let Some((status, body)) = answer else {
            let words = ["no answer to the token request by ", who].concat();
            self.fail_with(Code::Network, &words, Retry::Backoff);
            return None;
        };
        match Granted::read(status, body, kind) {
            Ok(granted) => return Some(granted),
            Err(Refused::Error(error)) => {
                self.rejected =
                    kind == Kind::Access && matches!(error.as_str(), "invalid_client" | "unauthorized_client");
                self.fail(Code::AuthRequired, &[who, " gave no token: ", &error].concat());
            }
            Err(Refused::Malformed(_)) if is_outage(status) => {
                self.outage(&[who, " gave no token"].concat(), status);
            }
            Err(Refused::Malformed(words)) => {
                self.fail(Code::Protocol, &[who, " gave no token: ", words].concat());
            }
        }
        None
    }

    fn done(&mut self, granted: Granted, before: Option<Tokens>, now: UnixMillis) {
        let Some(client) = self.client.clone() else { return };
        let stale_at = granted.stale_at(now);
        let (refresh, scopes) = match before {
            // What is not said again stays as it was.
            Some(before) => (before.refresh, before.scopes),
            None => (None, self.scopes.clone()),
        };
        let tokens = Tokens {
            issuer: self.authority.issuer.clone(),
            token_endpoint: self.authority.token_endpoint.clone(),
            resource: self.resource.clone(),
            client,
            access: granted.access,
            refresh: granted.refresh.or(refresh),
            stale_at,
            scopes: granted.scopes.unwrap_or(scopes),
            requested: self.scopes.clone(),
            dpop: granted.dpop,
        };
        self.step = Step::Done(Box::new(tokens));
    }

    fn outage(&mut self, words: &str, status: u16) {
        let words = [words, " (", &status.to_string(), ")"].concat();
        let code = if status == 429 { Code::RateLimited } else { Code::Http };
        self.fail_with(code, &words, Retry::Backoff);
        if let Step::Failed(error) = &mut self.step {
            error.status = Some(status);
        }
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Says nothing about what is there.
fn is_outage(status: u16) -> bool {
    status == 429 || status >= 500
}
