//! The legacy era, revision 2025-06-18: `initialize`, then requests of a session.

use serde_json::{Value, json};

use super::{ScriptedMcp, Session, rpc_error};
use crate::http::Request;
use crate::sim::net::{Answer, Peer, Step};
use crate::time::Millis;

const VERSION: &str = "2025-06-18";

impl ScriptedMcp {
    pub(super) fn legacy_post(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
        let Some(message) = self.check_post(request, peer) else { return Answer::text(400, "", "") };
        let id = message.get("id").cloned().unwrap_or(Value::Null);
        let method = message.get("method").and_then(Value::as_str).unwrap_or("");
        let params = message.get("params").cloned().unwrap_or(Value::Null);
        if method == "initialize" {
            return self.initialize(request, &id, &params, peer);
        }
        let modern = request.headers.get("mcp-method").is_some();
        if modern && method == "server/discover" {
            // Measured on servers built with version 1 of the TypeScript SDK.
            return rpc_error(400, &Value::Null, -32000, "Bad Request: Server not initialized");
        }
        if modern {
            if self.reliable {
                peer.violation(format!("{method} in the modern manner, after the probe said legacy"));
            }
            return rpc_error(400, &Value::Null, -32000, "Bad Request: Server not initialized");
        }
        let may_forget = self.sessions && !self.open_sessions.is_empty() && self.forgotten < self.forgets_at_most;
        if may_forget && peer.rng.chance(self.forgets) {
            self.open_sessions.clear();
            self.forgotten += 1;
        }
        if let Err(answer) = self.check_session(request, method, peer) {
            return answer;
        }
        if request.headers.get("mcp-protocol-version") != Some(VERSION) {
            peer.violation(format!("{method} without the negotiated MCP-Protocol-Version"));
        }
        if method.is_empty() {
            // The client answers a request of ours.
            let (id, result) = (id.as_str().unwrap_or(""), message.get("result"));
            let action = result.and_then(|result| result["action"].as_str());
            if id.starts_with("ping-") && result.is_some() {
                self.pings.1 += 1;
            } else if id.starts_with("ask-") && matches!(action, Some("accept" | "decline" | "cancel")) {
                self.asks.1 += 1;
            } else {
                peer.violation("an answer to no request, or without a result");
            }
            return Answer::text(202, "", "");
        }
        if id.is_null() {
            if method == "notifications/initialized"
                && let Some(session) = self.session_state(request)
            {
                session.ready = true;
            }
            return Answer::text(202, "", "").after(Millis(peer.rng.within(0..=self.latency.0)));
        }
        let outcome = match method {
            "tools/list" => Ok((self.list(&params, peer), 0)),
            "tools/call" => self.call(&params, peer),
            "ping" => Ok((json!({}), 0)),
            _ => Err(json!({ "code": -32601, "message": "Method not found" })),
        };
        self.answer_rpc(&id, &params, outcome, peer)
    }

    fn initialize(&mut self, request: &Request, id: &Value, params: &Value, peer: &mut Peer<'_>) -> Answer {
        if request.headers.get("mcp-session-id").is_some() {
            peer.violation("initialize with the id of a session");
        }
        if !params.get("protocolVersion").is_some_and(Value::is_string)
            || !params.get("capabilities").is_some_and(Value::is_object)
            || !params.get("clientInfo").is_some_and(Value::is_object)
        {
            peer.violation("initialize lacks protocolVersion, capabilities or clientInfo");
        }
        self.initialized += 1;
        self.next_session += 1;
        let session = if self.sessions { format!("session-{}", self.next_session) } else { String::new() };
        self.open_sessions.insert(session.clone(), Session::default());
        let result = json!({
            "protocolVersion": VERSION,
            "capabilities": { "tools": { "listChanged": true } },
            "serverInfo": { "name": "scripted", "version": "1", "title": "Scripted" },
        });
        let answer = self.answer_rpc(id, params, Ok((result, 0)), peer);
        if self.sessions { answer.header("mcp-session-id", session) } else { answer }
    }

    fn session_state(&mut self, request: &Request) -> Option<&mut Session> {
        let key = if self.sessions { request.headers.get("mcp-session-id")? } else { "" };
        self.open_sessions.get_mut(key)
    }

    /// Every message but the first belongs to a session, and no request comes before `initialized`.
    fn check_session(&mut self, request: &Request, method: &str, peer: &mut Peer<'_>) -> Result<(), Answer> {
        let named = request.headers.get("mcp-session-id").is_some();
        if named != self.sessions {
            peer.violation(format!("{method}: session id sent {named}, demanded {}", self.sessions));
        }
        let lost_is_400 = self.lost_is_400;
        match self.session_state(request) {
            Some(session) => {
                let request = !method.is_empty() && !method.starts_with("notifications/");
                if request && !session.ready {
                    peer.violation(format!("{method} before notifications/initialized"));
                }
                session.used |= request;
                Ok(())
            }
            None if lost_is_400 => {
                Err(rpc_error(400, &Value::Null, -32000, "Bad Request: No valid session ID provided"))
            }
            None => Err(rpc_error(404, &Value::Null, -32001, "Session not found")),
        }
    }

    pub(super) fn legacy_get(&mut self, request: &Request) -> Answer {
        if !self.get_stream {
            return Answer::text(405, "", "");
        }
        match self.session_state(request) {
            Some(_) => Answer::events(vec![Step::Bytes(b": hello\n\n".to_vec()), Step::Hang]),
            None => rpc_error(404, &Value::Null, -32001, "Session not found"),
        }
    }

    pub(super) fn legacy_delete(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
        match request.headers.get("mcp-session-id") {
            Some(session) if self.open_sessions.remove(session).is_some() => {
                Answer::text(200, "", "").after(Millis(peer.rng.within(0..=self.latency.0)))
            }
            Some(_) => rpc_error(404, &Value::Null, -32001, "Session not found"),
            None => {
                peer.violation("DELETE without a session");
                Answer::text(400, "", "")
            }
        }
    }
}
