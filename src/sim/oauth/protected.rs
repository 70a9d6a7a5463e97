//! A door before an MCP server.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};

use super::ScriptedOauth;
use crate::http::{Method, Request};
use crate::sim::net::{Answer, Peer, Server};

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
    /// Nonce that it demands of proofs.
    pub nonce: Option<String>,
    /// Several clients call, each with ids of its own.
    pub many: bool,
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
        Protected {
            inner,
            authority,
            needs,
            explains,
            describes,
            nonce: None,
            many: false,
            passed,
            refused,
            resource,
            ids,
        }
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

    /// Scopes of a good token; `None` for another, an error for a proof without the nonce.
    fn scopes(&self, request: &Request, peer: &mut Peer<'_>) -> Option<Result<Vec<String>, ()>> {
        let (scheme, token) = request.headers.get("authorization")?.split_once(' ')?;
        let mut authority = self.authority.borrow_mut();
        let right = authority.access.get(token)?.clone();
        if right.bound != (scheme == "DPoP") {
            peer.violation("a token under another scheme than its own");
        }
        let proof = if right.bound { Some(authority.proof(request, Some(token), peer)?) } else { None };
        let said = proof.as_ref().and_then(|proof| proof.get("nonce")?.as_str());
        if right.bound && said != self.nonce.as_deref() {
            return Some(Err(()));
        }
        if right.resource != self.resource {
            peer.violation("a token that was made for another resource");
        }
        (peer.now < right.until).then_some(Ok(right.scopes))
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
            if !self.many && self.ids.contains(&id.to_string()) {
                peer.violation("an id came twice");
            }
            self.ids.push(id.to_string());
            let needed = self.needs.iter().find(|(prefix, _)| method.starts_with(prefix)).map(|(_, scope)| *scope);
            let scope = needed.map_or(String::new(), |scope| format!(", scope=\"{scope}\""));
            match self.scopes(request, peer) {
                None => return self.refuse(401, &scope),
                Some(Err(())) => {
                    let answer = self.refuse(401, "").header("DPoP-Nonce", self.nonce.clone().unwrap_or_default());
                    return answer.header("WWW-Authenticate", "DPoP error=\"use_dpop_nonce\"");
                }
                Some(Ok(scopes)) if needed.is_some_and(|needed| !scopes.iter().any(|scope| scope == needed)) => {
                    return self.refuse(403, &format!(", error=\"insufficient_scope\"{scope}"));
                }
                Some(Ok(_)) => {}
            }
        }
        self.passed += 1;
        self.inner.answer(request, peer)
    }

    fn aborted(&mut self, exchange: u64) {
        self.inner.aborted(exchange);
    }
}
