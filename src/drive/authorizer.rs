//! The authorization of one MCP server, as its connection sees it. What OAuth demands is done by the part of that name,
//! which is loaded when the first server with the option `oauth` is asked; here is what every request needs.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use crate::error::{Code, Error, Result, Retry};
use crate::http::{Head, Request};
use crate::jsonrpc::{push_members, push_text};
use crate::mcp::config::ServerConfig;
use crate::platform::{Part, Platform};
use crate::secret::Secret;
use crate::time::UnixMillis;

/// The authorization of one MCP server.
pub(crate) struct Authorizer<P: Platform> {
    platform: Rc<P>,
    name: String,
    /// Who it is and what for, as the part is told with each request: the members of a JSON object. Holds the secrets of
    /// the options.
    setup: Secret,
    kept: RefCell<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The part has been asked; before, nobody knows whether there is a token.
    asked: bool,
    access: Option<Secret>,
    /// When it has to be refreshed; `None` where it cannot be.
    stale_at: Option<UnixMillis>,
    /// It is bound to a key, so that each request needs a proof.
    bound: bool,
    /// What the server wants in the next proof.
    nonce: Option<String>,
}

/// How a server refused a request.
#[derive(Debug, PartialEq)]
pub(crate) struct Refused {
    status: u16,
    challenges: String,
    nonce: Option<String>,
}

impl Refused {
    /// Keeps what is needed of a refusal; `None` for any other answer.
    pub(crate) fn read(head: &Head) -> Option<Refused> {
        if head.status != 401 && head.status != 403 {
            return None;
        }
        let fields = head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
        let fields: Vec<&str> = fields.map(|(_, value)| value).collect();
        let nonce = head.headers.get("dpop-nonce").map(str::to_owned);
        Some(Refused { status: head.status, challenges: fields.join(", "), nonce })
    }
}

/// Why a refused request stays refused.
#[derive(Debug)]
pub(crate) enum Hopeless {
    /// Nothing was tried; the refusal stands, and these words say why it is final.
    Refused(String),
    /// What was tried failed.
    Failed(Error),
}

impl<P: Platform> Authorizer<P> {
    /// The authorization of a server that has the option `oauth`. Nothing is asked of anybody yet.
    pub(crate) fn new(platform: Rc<P>, config: &ServerConfig) -> Option<Authorizer<P>> {
        let options = config.oauth.as_ref()?;
        // Its own, since other pages and crashed instances may have asked the same part.
        let id = format!("{:016x}{:016x}", platform.random(), platform.random());
        let mut setup = String::from(r#""id":"#);
        push_text(&mut setup, &id);
        let (name, url) = (Value::from(config.name.as_str()), Value::from(config.url.as_str()));
        setup.push(',');
        push_members(&mut setup, &[("server", &name), ("url", &url), ("timeoutMs", &json!(config.timeout.0))]);
        setup.push_str(r#","options":"#);
        setup.push_str(options.reveal());
        let (name, kept) = (config.name.clone(), RefCell::default());
        Some(Authorizer { platform, name, setup: Secret::new(setup), kept })
    }

    /// The access token in memory, whether or not it still holds; for courtesies that are not worth a wait.
    pub(crate) fn current(&self) -> Option<Secret> {
        self.kept.borrow().access.clone()
    }

    /// The access token for the next request; refreshed before it ends. `None` when there is none: the server's
    /// refusal tells better than anything else what it wants.
    ///
    /// # Errors
    ///
    /// When the part cannot be loaded.
    pub(crate) async fn token(&self) -> Result<Option<Secret>> {
        let good = {
            let kept = self.kept.borrow();
            kept.asked && kept.stale_at.is_none_or(|at| self.platform.now() < at)
        };
        if !good {
            self.ask("token", &[]).await?;
        }
        Ok(self.current())
    }

    /// Does what may help a refused request; `Ok` means that it should be sent again. `tries` is null for the first
    /// refusal of a request, and belongs to the part.
    pub(crate) async fn remedy(
        &self,
        refused: &Refused,
        used: Option<&Secret>,
        tries: &mut Value,
    ) -> std::result::Result<(), Hopeless> {
        let refusal = json!({ "status": refused.status, "challenges": refused.challenges, "nonce": refused.nonce });
        let used = json!(used.map(Secret::reveal));
        let members = [("refusal", &refusal), ("used", &used), ("tries", &*tries)];
        let mut answer = self.ask("remedy", &members).await.map_err(Hopeless::Failed)?;
        *tries = answer.remove("tries").unwrap_or_default();
        match answer.remove("refused") {
            Some(Value::String(words)) => Err(Hopeless::Refused(words)),
            _ => Ok(()),
        }
    }

    /// Notes what the server wants in the next proof; servers may say it with any answer.
    pub(crate) fn note_nonce(&self, head: &Head) {
        if let Some(nonce) = head.headers.get("dpop-nonce") {
            self.kept.borrow_mut().nonce = Some(nonce.to_owned());
        }
    }

    /// Adds the proof to a request whose token is bound to a key; leaves any other as it is.
    ///
    /// # Errors
    ///
    /// When the app gives no signature, or the part cannot be loaded, in words.
    pub(crate) async fn prove(&self, request: &mut Request, token: &Secret) -> std::result::Result<(), String> {
        let nonce = {
            let kept = self.kept.borrow();
            if !kept.bound || kept.access.as_ref() != Some(token) {
                return Ok(());
            }
            json!(kept.nonce)
        };
        let (method, url) = (json!(request.method.as_str()), json!(request.url));
        let token = json!(token.reveal());
        let members = [("method", &method), ("url", &url), ("token", &token), ("nonce", &nonce)];
        let answer = self.ask("prove", &members).await.map_err(|error| error.into_message())?;
        for (header, member) in [("Authorization", "authorization"), ("DPoP", "proof")] {
            if let Some(value) = answer.get(member).and_then(Value::as_str) {
                request.headers.set(header, value);
            }
        }
        Ok(())
    }

    /// Takes up a sign-in that was begun, with the URL that the user came back to.
    ///
    /// # Errors
    ///
    /// `misuse` when none was begun, and whatever the flow says.
    pub(crate) async fn finish(&self, callback: &str) -> Result<()> {
        self.ask("finish", &[("callback", &callback.into())]).await.map(|_| ())
    }

    /// Asks the part, and keeps what it says of the token.
    async fn ask(&self, what: &str, members: &[(&str, &Value)]) -> Result<Map<String, Value>> {
        let mut request = String::from("{");
        push_members(&mut request, &[("do", &what.into())]);
        request.push(',');
        request.push_str(self.setup.reveal());
        if !members.is_empty() {
            request.push(',');
            push_members(&mut request, members);
        }
        request.push('}');
        let failed = |code, words: &str| Error::new(code, ["authorization for ", &self.name, ": ", words].concat());
        let answer = self.platform.call_part(Part::Oauth, request).await;
        // It could not be loaded: as good as an authorization server that does not answer.
        let text = answer.map_err(|words| failed(Code::Network, &words).retry(Retry::Backoff))?;
        let Ok(Value::Object(mut answer)) = serde_json::from_slice(text.as_bytes()) else {
            return Err(failed(Code::Protocol, "no answer"));
        };
        if let Some(held) = answer.remove("held") {
            let mut kept = self.kept.borrow_mut();
            kept.asked = true;
            kept.access = held.get("access").and_then(Value::as_str).map(Secret::new);
            kept.stale_at = held.get("staleAt").and_then(Value::as_u64).map(UnixMillis);
            kept.bound = held.get("dpop").and_then(Value::as_bool).unwrap_or(false);
        }
        match answer.get("failed") {
            None => Ok(answer),
            Some(error) => Err(Error::read(error).unwrap_or_else(|| failed(Code::Protocol, "failed without a reason"))),
        }
    }
}
