//! The modern era, revision 2026-07-28: every request stands alone.

use serde_json::{Value, json};

use super::{ScriptedMcp, rpc_error};
use crate::http::Request;
use crate::sim::net::{Answer, Peer};

const VERSION: &str = "2026-07-28";

impl ScriptedMcp {
    pub(super) fn modern(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
        let Some(message) = self.check_post(request, peer) else { return Answer::text(400, "", "") };
        let id = message.get("id").cloned().unwrap_or(Value::Null);
        let method = message.get("method").and_then(Value::as_str).unwrap_or("");
        let header = |name: &str| request.headers.get(name);
        if header("mcp-protocol-version") != Some(VERSION) {
            if self.reliable {
                peer.violation(format!("{method} without MCP-Protocol-Version: {VERSION}"));
            }
            let body = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32022,
                "message": "Unsupported protocol version", "data": { "supported": [VERSION], "requested": "" } } });
            return Answer::text(400, "application/json", body.to_string());
        }
        let params = message.get("params").cloned().unwrap_or(Value::Null);
        if let Some(text) = broken_rule(request, method, &params) {
            peer.violation(format!("{method}: {text}"));
            return rpc_error(400, &id, -32020, "Header mismatch");
        }
        if id.is_null() {
            peer.violation("the modern era has no client notifications over HTTP");
            return Answer::text(202, "", "");
        }
        let outcome = match method {
            "server/discover" => Ok((discover(), 0)),
            "tools/list" => Ok((self.list(&params, peer), 0)),
            "tools/call" => self.call(&params, peer),
            _ => return rpc_error(404, &id, -32601, "Method not found"),
        };
        let outcome = outcome.map(|(mut result, notices)| {
            if result.get("resultType").is_none() {
                result["resultType"] = json!("complete");
            }
            if method != "tools/call" {
                result["ttlMs"] = json!(0);
                result["cacheScope"] = json!("private");
            }
            (result, notices)
        });
        self.answer_rpc(&id, &params, outcome, peer)
    }
}

fn discover() -> Value {
    json!({
        "supportedVersions": [VERSION],
        "capabilities": { "tools": {} },
        "instructions": "Be kind.",
        "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "scripted", "version": "1" } },
    })
}

/// The rules of [MCP 2026-07-28, Streamable HTTP, "Protocol headers"] and of `_meta`; the first that is broken.
fn broken_rule(request: &Request, method: &str, params: &Value) -> Option<String> {
    let header = |name: &str| request.headers.get(name);
    if header("mcp-session-id").is_some() || header("last-event-id").is_some() {
        return Some("a header of the legacy era".to_owned());
    }
    if header("mcp-method") != Some(method) {
        return Some(format!("Mcp-Method is {:?}", header("mcp-method")));
    }
    let name = params.get("name").and_then(Value::as_str).filter(|_| method == "tools/call");
    if header("mcp-name") != name {
        return Some(format!("Mcp-Name is {:?}", header("mcp-name")));
    }
    let meta = |name: &str| params.get("_meta").and_then(|meta| meta.get(format!("io.modelcontextprotocol/{name}")));
    if meta("protocolVersion") != Some(&json!(VERSION)) {
        return Some("_meta has another protocolVersion than the header".to_owned());
    }
    if !meta("clientCapabilities").is_some_and(Value::is_object) {
        return Some("_meta has no clientCapabilities".to_owned());
    }
    if !meta("clientInfo").and_then(|info| info.get("name")).is_some_and(Value::is_string) {
        return Some("_meta has no clientInfo".to_owned());
    }
    None
}
