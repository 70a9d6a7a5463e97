//! A scripted authorization server, and a door that lets only its tokens through.
//!
//! Written from the specifications, not from this crate's client: the two check each other. Whatever no correct
//! client sends is a violation.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};

use super::net::{Answer, Peer, Server};
use crate::http::{Method, Request};
use crate::mcp::oauth::{base64url, sha256};
use crate::time::Millis;

/// What a code, an access token or a refresh token stands for.
#[derive(Clone, Debug)]
struct Right {
    client: String,
    resource: String,
    scopes: Vec<String>,
    challenge: String,
    redirect: String,
    until: Millis,
}

/// An authorization server. Public fields are the script; host it at its issuer's origin.
pub struct ScriptedOauth {
    /// Its issuer identifier, an origin.
    pub issuer: String,
    /// How long access tokens live; it always says so.
    pub lifetime: Millis,
    /// It gives refresh tokens, and a new one each time; an old one that comes again is a violation.
    pub refreshes: bool,
    /// It says `iss` in redirects.
    pub says_issuer: bool,
    /// It never grants these scopes.
    pub withheld: Vec<String>,
    /// Longest delay before an answer.
    pub latency: Millis,
    /// Status of the next answers of its token endpoint, instead of what it would say.
    pub outages: Vec<u16>,
    /// Clients that registered.
    pub registered: u32,
    /// Scopes of each authorization request, in order.
    pub asked: Vec<String>,
    /// Grant type of each token request, in order.
    pub grants: Vec<String>,
    codes: BTreeMap<String, Right>,
    access: BTreeMap<String, Right>,
    refresh: BTreeMap<String, Right>,
    spent: Vec<String>,
    serial: u32,
}

impl ScriptedOauth {
    /// A server that registers clients, signs every user in and gives refresh tokens.
    pub fn new(issuer: &str) -> ScriptedOauth {
        ScriptedOauth {
            issuer: issuer.to_owned(),
            lifetime: Millis::from_secs(3600),
            refreshes: true,
            says_issuer: true,
            withheld: Vec::new(),
            latency: Millis(10),
            outages: Vec::new(),
            registered: 0,
            asked: Vec::new(),
            grants: Vec::new(),
            codes: BTreeMap::new(),
            access: BTreeMap::new(),
            refresh: BTreeMap::new(),
            spent: Vec::new(),
            serial: 0,
        }
    }

    /// What the user's browser does with an authorization URL: signs in and gives the URL of the redirect.
    ///
    /// # Panics
    ///
    /// When the URL is not one that a correct client makes.
    pub fn sign_in(&mut self, url: &str) -> String {
        let (endpoint, query) = url.split_once('?').expect("a query");
        assert_eq!(endpoint, [self.issuer.as_str(), "/authorize"].concat());
        let query = form(query);
        let get = |name: &str| query.get(name).cloned().unwrap_or_default();
        assert_eq!((get("response_type"), get("code_challenge_method")), ("code".to_owned(), "S256".to_owned()));
        assert!(get("state").len() >= 16 && get("code_challenge").len() == 43 && !get("resource").is_empty());
        self.asked.push(get("scope"));
        let scopes =
            get("scope").split_whitespace().map(str::to_owned).filter(|s| !self.withheld.contains(s)).collect();
        let (client, resource) = (get("client_id"), get("resource"));
        let right = Right {
            client,
            resource,
            scopes,
            challenge: get("code_challenge"),
            redirect: get("redirect_uri"),
            until: Millis(u64::MAX),
        };
        let code = self.secret("code");
        let issuer = if self.says_issuer { ["&iss=", &self.issuer].concat() } else { String::new() };
        let back = [&right.redirect, "?code=", &code, "&state=", &get("state"), &issuer].concat();
        self.codes.insert(code, right);
        back
    }

    /// Takes every access token back, as an operator would.
    pub fn revoke(&mut self) {
        self.access.clear();
    }

    /// Takes every refresh token back.
    pub fn revoke_refresh(&mut self) {
        self.refresh.clear();
    }

    fn secret(&mut self, kind: &str) -> String {
        self.serial += 1;
        format!("s3cret-{kind}-{}", self.serial)
    }

    fn metadata(&self) -> Answer {
        let issuer = &self.issuer;
        Answer::json(&json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"), "registration_endpoint": format!("{issuer}/register"),
            "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": self.says_issuer,
        }))
    }

    fn register(&mut self) -> Answer {
        self.registered += 1;
        let id = format!("client-{}-of-{}", self.registered, self.issuer);
        Answer::text(201, "application/json", json!({ "client_id": id }).to_string())
    }

    fn token(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
        let body = form(request.body.as_deref().unwrap_or(""));
        let get = |name: &str| body.get(name).cloned().unwrap_or_default();
        self.grants.push(get("grant_type"));
        if !self.outages.is_empty() {
            return Answer::text(self.outages.remove(0), "text/html", "<html>");
        }
        let right = match get("grant_type").as_str() {
            "authorization_code" => self.codes.remove(&get("code")).filter(|right| {
                let proven = base64url(&sha256(get("code_verifier").as_bytes())) == right.challenge;
                if !proven || get("redirect_uri") != right.redirect {
                    peer.violation("a code without its verifier or redirect URI");
                }
                proven
            }),
            "refresh_token" => {
                let token = get("refresh_token");
                if self.spent.contains(&token) {
                    peer.violation("a refresh token was used twice");
                }
                let right = self.refresh.remove(&token);
                self.spent.push(token);
                right
            }
            _ => None,
        };
        let Some(right) = right else {
            return Answer::text(400, "application/json", json!({ "error": "invalid_grant" }).to_string());
        };
        if get("resource") != right.resource || get("client_id") != right.client {
            peer.violation("a token request for another resource or client than the authorization");
        }
        let mut answer = json!({
            "access_token": self.secret("access"), "token_type": "Bearer", "expires_in": self.lifetime.0 / 1000,
            "scope": right.scopes.join(" "),
        });
        let until = Millis(peer.now.0 + self.lifetime.0);
        let access = answer["access_token"].as_str().unwrap_or("").to_owned();
        self.access.insert(access, Right { until, ..right.clone() });
        if self.refreshes {
            let refresh = self.secret("refresh");
            answer["refresh_token"] = refresh.as_str().into();
            self.refresh.insert(refresh, right);
        }
        Answer::json(&answer)
    }
}

impl Server for ScriptedOauth {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
        let path = request.url.strip_prefix(&self.issuer).unwrap_or("");
        if request.headers.get("authorization").is_some() {
            peer.violation("credentials for somebody else at the authorization server");
        }
        let answer = match (request.method, path) {
            (Method::Get, "/.well-known/oauth-authorization-server") => self.metadata(),
            (Method::Post, "/register") => self.register(),
            (Method::Post, "/token") => self.token(request, peer),
            _ => Answer::text(404, "", ""),
        };
        let delay = Millis(peer.rng.within(0..=self.latency.0));
        answer.after(delay)
    }
}

/// An MCP server behind a door that asks for tokens.
pub struct Protected<S> {
    /// The server behind it.
    pub inner: S,
    /// Who makes the tokens; may be changed.
    pub authority: Rc<RefCell<ScriptedOauth>>,
    /// Scope that each method needs: the first whose method is a prefix of it.
    pub needs: Vec<(&'static str, &'static str)>,
    /// Its refusals say where the metadata is, and what scopes are needed. In pages they mostly cannot be read.
    pub explains: bool,
    /// It has metadata at all.
    pub describes: bool,
    /// Requests that were let through.
    pub passed: u32,
    /// Requests that were refused.
    pub refused: u32,
    resource: String,
    ids: Vec<String>,
}

impl<S> Protected<S> {
    /// A door before `inner` at the URL `resource`.
    pub fn new(inner: S, resource: &str, authority: Rc<RefCell<ScriptedOauth>>) -> Protected<S> {
        let (resource, ids, needs) = (resource.to_owned(), Vec::new(), Vec::new());
        let (explains, describes, passed, refused) = (true, true, 0, 0);
        Protected { inner, authority, needs, explains, describes, passed, refused, resource, ids }
    }

    /// Origin, and where the metadata is.
    fn places(&self) -> (String, String) {
        let path = self.resource.find('/').and_then(|at| self.resource[at + 2..].find('/').map(|more| at + 2 + more));
        let (origin, path) = self.resource.split_at(path.unwrap_or(self.resource.len()));
        (origin.to_owned(), [origin, "/.well-known/oauth-protected-resource", path].concat())
    }

    fn refuse(&mut self, status: u16, words: &str) -> Answer {
        self.refused += 1;
        let (_, metadata) = self.places();
        let answer = Answer::text(status, "text/plain", "no");
        let field = format!("Bearer resource_metadata=\"{metadata}\"{words}");
        if self.explains { answer.header("WWW-Authenticate", field) } else { answer }
    }

    /// Scopes of a good token; `None` for another.
    fn scopes(&self, request: &Request, peer: &mut Peer<'_>) -> Option<Vec<String>> {
        let token = request.headers.get("authorization")?.strip_prefix("Bearer ")?;
        let authority = self.authority.borrow();
        let right = authority.access.get(token)?;
        if right.resource != self.resource {
            peer.violation("a token that was made for another resource");
        }
        (peer.now < right.until).then(|| right.scopes.clone())
    }
}

impl<S: Server> Server for Protected<S> {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
        let (_, metadata) = self.places();
        if request.method == Method::Get && request.url == metadata && self.describes {
            let issuer = self.authority.borrow().issuer.clone();
            return Answer::json(&json!({ "resource": self.resource, "authorization_servers": [issuer] }));
        }
        if request.url != self.resource {
            return Answer::text(404, "", "");
        }
        if let Ok(body) = serde_json::from_str::<Value>(request.body.as_deref().unwrap_or(""))
            && let (Some(id), Some(method)) = (body.get("id"), body.get("method").and_then(Value::as_str))
        {
            if self.ids.contains(&id.to_string()) {
                peer.violation("an id came twice");
            }
            self.ids.push(id.to_string());
            let needed = self.needs.iter().find(|(prefix, _)| method.starts_with(prefix)).map(|(_, scope)| *scope);
            let scope = needed.map_or(String::new(), |scope| format!(", scope=\"{scope}\""));
            match self.scopes(request, peer) {
                None => return self.refuse(401, &scope),
                Some(scopes) if needed.is_some_and(|needed| !scopes.iter().any(|scope| scope == needed)) => {
                    return self.refuse(403, &format!(", error=\"insufficient_scope\"{scope}"));
                }
                Some(_) => {}
            }
        }
        self.passed += 1;
        self.inner.answer(request, peer)
    }

    fn aborted(&mut self, exchange: u64) {
        self.inner.aborted(exchange);
    }
}

/// A form by name; a name that comes twice counts as absent, so that whoever sends it gets nothing.
fn form(text: &str) -> BTreeMap<String, String> {
    let mut pairs: BTreeMap<String, String> = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (unescape(name), unescape(value));
        match pairs.contains_key(&name) {
            true => drop(pairs.insert(name, String::new())),
            false => drop(pairs.insert(name, value)),
        }
    }
    pairs
}

fn unescape(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).unwrap_or(b'?'));
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
