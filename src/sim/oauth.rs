//! A scripted authorization server, and a door that lets only its tokens through.
//!
//! Written from the specifications, not from this crate's client: the two check each other. Whatever no correct
//! client sends is a violation.

mod protected;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub use protected::Protected;

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
    /// Of no use without a proof.
    bound: bool,
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
    /// Nonce that it demands of proofs.
    pub nonce: Option<String>,
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
    /// Ids of proofs.
    proofs: Vec<String>,
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
            nonce: None,
            registered: 0,
            asked: Vec::new(),
            grants: Vec::new(),
            codes: BTreeMap::new(),
            access: BTreeMap::new(),
            refresh: BTreeMap::new(),
            spent: Vec::new(),
            proofs: Vec::new(),
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
            bound: false,
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

    /// The claims of a request's proof. In the simulator, a signature is the digest of what it signs.
    fn proof(&mut self, request: &Request, token: Option<&str>, peer: &mut Peer<'_>) -> Option<Value> {
        let (input, signature) = request.headers.get("dpop")?.rsplit_once('.')?;
        let parts: Vec<Value> =
            input.split('.').filter_map(|part| serde_json::from_slice(&decode(part)).ok()).collect();
        let [header, claims] = &parts[..] else {
            peer.violation("a proof that cannot be read");
            return None;
        };
        let url = request.url.split('?').next();
        let ath = token.map(|token| base64url(&sha256(token.as_bytes())));
        let jti = claims["jti"].as_str().unwrap_or("").to_owned();
        let laws = [
            (signature == base64url(&sha256(input.as_bytes())), "signature"),
            (header["typ"] == "dpop+jwt" && header["jwk"]["kty"] == "EC", "header"),
            (claims["htm"].as_str() == Some(request.method.as_str()) && claims["htu"].as_str() == url, "request"),
            (claims.get("ath").and_then(Value::as_str) == ath.as_deref(), "token"),
            (jti.len() >= 16 && !self.proofs.contains(&jti), "id"),
        ];
        for (_, law) in laws.iter().filter(|(kept, _)| !kept) {
            peer.violation(format!("the {law} of a proof"));
        }
        self.proofs.push(jti);
        Some(claims.clone())
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
        let proof = self.proof(request, None, peer);
        let bound = proof.is_some();
        if let (Some(proof), Some(nonce)) = (&proof, self.nonce.clone())
            && proof.get("nonce").and_then(Value::as_str) != Some(&nonce)
        {
            let body = json!({ "error": "use_dpop_nonce" }).to_string();
            return Answer::text(400, "application/json", body).header("DPoP-Nonce", nonce);
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
            "access_token": self.secret("access"), "token_type": if bound { "DPoP" } else { "Bearer" }, "expires_in": self.lifetime.0 / 1000,
            "scope": right.scopes.join(" "),
        });
        let until = Millis(peer.now.0 + self.lifetime.0);
        let access = answer["access_token"].as_str().unwrap_or("").to_owned();
        self.access.insert(access, Right { until, bound, ..right.clone() });
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

/// Base64url without padding; what is none gives nothing.
fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.chars().filter_map(|c| ALPHABET.find(c)) {
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
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
