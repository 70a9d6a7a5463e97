//! Requests to a token endpoint, and what they give.

use serde_json::{Value, json};

use super::client::{AuthMethod, Client};
use super::metadata;
use super::scope;
use super::url::{push_encoded, push_pair};
use crate::http::{Headers, Method, Request, thousandths};
use crate::mcp::header_value::base64;
use crate::secret::Secret;
use crate::time::{Millis, UnixMillis};

/// Tokens, and everything that they are bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Who made them; they are refreshed nowhere else.
    pub issuer: String,
    /// Its token endpoint.
    pub token_endpoint: String,
    /// For which resource; they are sent nowhere else.
    pub resource: String,
    /// For which client.
    pub client: Client,
    /// Access token.
    pub access: Secret,
    /// Refresh token.
    pub refresh: Option<Secret>,
    /// From when on a new one should be fetched, somewhat before the old one ends.
    pub stale_at: Option<UnixMillis>,
    /// Scopes that it has.
    pub scopes: Vec<String>,
    /// Scopes that were asked for.
    pub requested: Vec<String>,
    /// It is bound to the app's key: each use needs a proof.
    pub dpop: bool,
}

impl Tokens {
    /// True when the access token has ended, or nearly so.
    pub fn is_stale(&self, now: UnixMillis) -> bool {
        self.stale_at.is_some_and(|at| now >= at)
    }

    /// For the store; holds the tokens in clear.
    pub fn to_value(&self) -> Value {
        json!({
            "issuer": self.issuer, "tokenEndpoint": self.token_endpoint, "resource": self.resource,
            "client": self.client.to_value(), "access": self.access.reveal(),
            "refresh": self.refresh.as_ref().map(Secret::reveal), "staleAt": self.stale_at.map(|at| at.0),
            "scopes": self.scopes.join(" "), "requested": self.requested.join(" "),
            "dpop": self.dpop,
        })
    }

    /// Back from the store; `None` for what is not ours.
    pub fn from_value(value: &Value) -> Option<Tokens> {
        let text = |name: &str| value.get(name)?.as_str();
        let owned = |name: &str| text(name).map(str::to_owned);
        Some(Tokens {
            issuer: owned("issuer")?,
            token_endpoint: owned("tokenEndpoint")?,
            resource: owned("resource")?,
            client: Client::from_value(value.get("client")?)?,
            access: Secret::new(text("access")?),
            refresh: text("refresh").map(Secret::new),
            stale_at: value.get("staleAt").and_then(Value::as_u64).map(UnixMillis),
            scopes: scope::split(text("scopes")?),
            requested: scope::split(text("requested")?),
            dpop: value.get("dpop") == Some(&Value::Bool(true)),
        })
    }
}

/// A form for a token endpoint, without what authenticates the client.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Form(String);

impl Form {
    pub(crate) fn new(grant_type: &str) -> Form {
        Form::default().with("grant_type", grant_type)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Form {
        push_pair(&mut self.0, name, value);
        self
    }

    pub(crate) fn with_scopes(self, scopes: &[String]) -> Form {
        if scopes.is_empty() { self } else { self.with("scope", &scopes.join(" ")) }
    }

    /// The request of that client. `assertion` is its signed statement, if it authenticates so.
    pub(crate) fn request(mut self, endpoint: &str, client: &Client, assertion: Option<&str>) -> Request {
        let mut headers = Headers::new();
        headers.set("Content-Type", "application/x-www-form-urlencoded");
        headers.set("Accept", "application/json");
        let secret = client.secret.as_ref().map_or("", Secret::reveal);
        match client.method {
            AuthMethod::Basic => {
                // Each part is encoded as in a form before both are joined (RFC 6749, section 2.3.1).
                let mut pair = String::new();
                push_encoded(&mut pair, &client.id);
                pair.push(':');
                push_encoded(&mut pair, secret);
                headers.set("Authorization", ["Basic ", &base64(pair.as_bytes())].concat());
            }
            AuthMethod::Post => self = self.with("client_id", &client.id).with("client_secret", secret),
            AuthMethod::None => self = self.with("client_id", &client.id),
            AuthMethod::PrivateKeyJwt => {
                self = self
                    .with("client_id", &client.id)
                    .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                    .with("client_assertion", assertion.unwrap_or(""));
            }
        }
        Request { method: Method::Post, url: endpoint.to_owned(), headers, body: Some(self.0) }
    }
}

/// What a token endpoint gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
    pub(crate) lifetime: Option<Millis>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) dpop: bool,
}

/// Why a token endpoint gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It names an error of OAuth, such as `invalid_grant`. Its further words are not read: they may repeat what
    /// was sent.
    Error(String),
    /// Anything else, in words.
    Malformed(&'static str),
}

/// What token is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One to be sent as `Bearer`.
    Access,
    /// An identity assertion for another server's token endpoint (ID-JAG).
    IdJag,
}

/// Name of an ID-JAG in a token exchange.
pub(crate) const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

impl Granted {
    /// Reads an answer (RFC 6749, section 5).
    pub(crate) fn read(status: u16, body: &[u8], kind: Kind) -> Result<Granted, Refused> {
        let map = metadata::object(body).map_err(|_| Refused::Malformed("it did not answer with a JSON object"))?;
        let text = |name: &str| map.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        // Some answer 200 to everything.
        if let Some(error) = text("error").filter(|_| status != 200 || text("access_token").is_none()) {
            let known = error.len() <= 60 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            return Err(Refused::Error(if known { error.to_owned() } else { "an unknown error".to_owned() }));
        }
        if !(200..300).contains(&status) {
            return Err(Refused::Malformed("it refused without naming an error"));
        }
        let is_token = |text: &&str| text.bytes().all(|b| b.is_ascii_graphic());
        let access = text("access_token").filter(is_token);
        let access = access.ok_or(Refused::Malformed("it answered without a usable access token"))?;
        let dpop = text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("dpop"));
        let kind_fits = match kind {
            // Whoever forgets the type means the only common one.
            Kind::Access => dpop || text("token_type").is_none_or(|kind| kind.eq_ignore_ascii_case("bearer")),
            Kind::IdJag => text("issued_token_type") == Some(ID_JAG),
        };
        if !kind_fits {
            return Err(Refused::Malformed("it gave a token of another type"));
        }
        let lifetime = map.get("expires_in").and_then(|value| match value {
            Value::String(text) => thousandths(text),
            value => value.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| (seconds * 1000.0) as u64),
        });
        Ok(Granted {
            access: Secret::new(access),
            refresh: text("refresh_token").filter(is_token).map(Secret::new),
            lifetime: lifetime.map(Millis),
            scopes: text("scope").map(scope::split),
            dpop,
        })
    }

    /// When to fetch the next one: half a minute before the end, but not before three quarters of the time.
    pub(crate) fn stale_at(&self, now: UnixMillis) -> Option<UnixMillis> {
        let lifetime = self.lifetime?;
        Some(now + Millis(lifetime.0 - (lifetime.0 / 4).min(30_000)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Origin;
    use super::super::url::pairs;
    use super::*;

    fn client(method: AuthMethod) -> Client {
        let secret = Some(Secret::new("s:e/cret"));
        let issuer = "https://as.test".to_owned();
        Client {
            issuer,
            id: "my id".into(),
            secret,
            method,
            origin: Origin::Given,
            redirect_url: None,
            expires_at: None,
        }
    }

    fn sent(method: AuthMethod) -> (Option<String>, Vec<(String, String)>) {
        let form = Form::new("refresh_token").with("refresh_token", "r&1").with_scopes(&[]);
        let request = form.request("https://as.test/token", &client(method), Some("a.b.c"));
        assert_eq!(request.headers.get("content-type"), Some("application/x-www-form-urlencoded"));
        let names = pairs(&request.body.unwrap());
        (request.headers.get("authorization").map(str::to_owned), names)
    }

    fn names(pairs: &[(String, String)]) -> Vec<&str> {
        pairs.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn each_method_sends_the_credentials_in_its_own_place_only() {
        let (header, body) = sent(AuthMethod::Basic);
        assert_eq!(header.unwrap(), ["Basic ", &base64(b"my%20id:s%3Ae%2Fcret")].concat());
        assert_eq!(names(&body), ["grant_type", "refresh_token"]);
        let (header, body) = sent(AuthMethod::Post);
        assert_eq!((header, names(&body)), (None, vec!["grant_type", "refresh_token", "client_id", "client_secret"]));
        assert_eq!(body[3].1, "s:e/cret");
        let (header, body) = sent(AuthMethod::None);
        assert_eq!((header, names(&body)), (None, vec!["grant_type", "refresh_token", "client_id"]));
        let (header, body) = sent(AuthMethod::PrivateKeyJwt);
        assert_eq!((header, body[4].1.as_str()), (None, "a.b.c"));
        assert!(!names(&body).contains(&"client_secret"));
    }

    fn read(status: u16, value: Value) -> Result<Granted, Refused> {
        Granted::read(status, value.to_string().as_bytes(), Kind::Access)
    }

    #[test]
    fn reads_a_grant() {
        let value = json!({
            "access_token": "t1", "token_type": "bearer", "expires_in": 3600, "refresh_token": "r1", "scope": "a b"
        });
        let granted = read(200, value).unwrap();
        assert_eq!((granted.access.reveal(), granted.refresh.as_ref().unwrap().reveal()), ("t1", "r1"));
        assert_eq!(granted.scopes.as_ref().unwrap(), &["a", "b"]);
        assert_eq!(granted.stale_at(UnixMillis(1_000)), Some(UnixMillis(1_000 + 3_570_000)));
        let short = read(200, json!({ "access_token": "t", "expires_in": "8" })).unwrap();
        assert_eq!(short.stale_at(UnixMillis(0)), Some(UnixMillis(6_000)));
        let unknown = read(200, json!({ "access_token": "t", "token_type": "Bearer", "expires_in": -1 })).unwrap();
        assert_eq!((unknown.stale_at(UnixMillis(0)), unknown.refresh), (None, None));
    }

    #[test]
    fn refusals_never_repeat_the_servers_words() {
        let error = |name: &str| Err(Refused::Error(name.to_owned()));
        let refused = json!({ "error": "invalid_grant", "error_description": "code c0de is unknown" });
        assert_eq!(read(400, refused), error("invalid_grant"));
        assert_eq!(read(200, json!({ "error": "slow_down" })), error("slow_down"));
        assert_eq!(read(400, json!({ "error": "s3cret came back" })), error("an unknown error"));
        for (status, body) in [
            (500, json!({})),
            (200, json!({ "access_token": "" })),
            (200, json!({ "access_token": "a b" })),
            (200, json!({ "access_token": "a", "token_type": "mac" })),
        ] {
            assert!(matches!(read(status, body), Err(Refused::Malformed(_))));
        }
        assert!(matches!(Granted::read(200, b"<html>", Kind::Access), Err(Refused::Malformed(_))));
    }

    #[test]
    fn an_exchange_has_to_give_what_was_asked_for() {
        let value = json!({ "access_token": "j", "issued_token_type": ID_JAG, "token_type": "N_A" }).to_string();
        assert!(Granted::read(200, value.as_bytes(), Kind::IdJag).is_ok());
        let other = json!({ "access_token": "j", "token_type": "Bearer" }).to_string();
        assert!(Granted::read(200, other.as_bytes(), Kind::IdJag).is_err());
    }

    #[test]
    fn tokens_survive_being_stored_and_do_not_show_themselves() {
        let tokens = Tokens {
            issuer: "https://as.test".into(),
            token_endpoint: "https://as.test/token".into(),
            resource: "https://a.test/mcp".into(),
            client: client(AuthMethod::Basic),
            access: Secret::new("acc3ss"),
            refresh: Some(Secret::new("r3fresh")),
            stale_at: Some(UnixMillis(5)),
            scopes: vec!["a".into()],
            requested: vec!["a".into(), "b".into()],
            dpop: true,
        };
        assert_eq!(Tokens::from_value(&tokens.to_value()), Some(tokens.clone()));
        assert!(tokens.is_stale(UnixMillis(5)) && !tokens.is_stale(UnixMillis(4)));
        let shown = format!("{tokens:?}");
        assert!(!shown.contains("acc3ss") && !shown.contains("r3fresh") && !shown.contains("e/cret"), "{shown}");
        assert_eq!(Tokens::from_value(&json!({})), None);
    }
}
