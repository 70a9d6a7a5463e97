//! A scripted MCP server, of either era, that checks what the client sends.
//!
//! Written from the specification and from what real servers do, not from this crate's client: the two check each
//! other. Whatever no correct client sends is a violation; a call of a tool leaves a mark in the books.

mod legacy;
mod modern;
mod tools;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub use tools::ToolKind;

use super::net::{Answer, Peer, Server};
use super::rng::Rng;
use super::stream::EventStream;
use crate::http::{Method, Request};
use crate::time::Millis;

/// Which revision of the protocol the server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// 2026-07-28, stateless.
    Modern,
    /// 2025-06-18 with `initialize` and, if the server wants, sessions.
    Legacy,
}

/// A call of a tool as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which tool.
    pub tool: ToolKind,
    /// Its arguments.
    pub arguments: Value,
    /// Number of the exchange.
    pub exchange: u64,
    /// Virtual time of arrival.
    pub at: Millis,
}

/// A scripted MCP server. Public fields are the script; set them before the first request.
pub struct ScriptedMcp {
    /// Revision it speaks.
    pub era: Era,
    /// Tools it offers, in this order.
    pub tools: Vec<ToolKind>,
    /// Tools per page of `tools/list`; the second page has the empty string as its cursor.
    pub page: usize,
    /// Bearer token it demands.
    pub token: Option<String>,
    /// Legacy only: it hands out sessions and demands them.
    pub sessions: bool,
    /// Legacy only: chance in 1,000 requests that it forgets all sessions first.
    pub forgets: u32,
    /// Legacy only: how often it forgets at most.
    pub forgets_at_most: u32,
    /// Legacy only: answers a lost session with 400, as some real servers do, not with 404.
    pub lost_is_400: bool,
    /// Legacy only: answers GET with a stream that never says anything, not with 405.
    pub get_stream: bool,
    /// Longest delay before an answer.
    pub latency: Millis,
    /// The way to this server has no faults: a client that takes it for another era is wrong.
    pub reliable: bool,
    /// Calls that arrived, in order.
    pub calls: Vec<Call>,
    /// Several clients come, one after the other; each counts its request ids for itself.
    pub several_clients: bool,
    /// Exchanges that the client aborted.
    pub aborted: Vec<u64>,
    /// Times `initialize` was answered.
    pub initialized: u32,
    /// Times a session was forgotten.
    pub forgotten: u32,
    /// Legacy only: requests that it made of the client, and how many of them the client answered.
    pub pings: (u32, u32),
    /// Legacy only: forms that it put to the client, and how many of them the client answered.
    pub asks: (u32, u32),
    /// Modern only: states that it handed out and that have not come back, with the rounds to go.
    states: BTreeMap<String, u64>,
    open_sessions: BTreeMap<String, Session>,
    ids: BTreeMap<String, u64>,
    writes: BTreeMap<String, u32>,
    next_session: u32,
}

/// What the tool `ask` asks.
fn form() -> Value {
    let days = json!({ "type": "integer", "minimum": 1, "default": 3 });
    json!({ "message": "How many days?", "requestedSchema": { "type": "object", "properties": { "days": days } } })
}

impl ScriptedMcp {
    /// A server of that era with those tools, quick and without quirks.
    pub fn new(era: Era, tools: &[ToolKind]) -> ScriptedMcp {
        ScriptedMcp {
            era,
            tools: tools.to_vec(),
            page: 100,
            token: None,
            sessions: true,
            forgets: 0,
            forgets_at_most: u32::MAX,
            lost_is_400: false,
            get_stream: false,
            latency: Millis(20),
            reliable: false,
            calls: Vec::new(),
            several_clients: false,
            aborted: Vec::new(),
            initialized: 0,
            forgotten: 0,
            pings: (0, 0),
            asks: (0, 0),
            states: BTreeMap::new(),
            open_sessions: BTreeMap::new(),
            ids: BTreeMap::new(),
            writes: BTreeMap::new(),
            next_session: 0,
        }
    }

    /// A server with quirks and tools by seed.
    pub fn random(rng: &mut Rng) -> ScriptedMcp {
        let era = rng.pick(&[Era::Modern, Era::Legacy]);
        let mut tools: Vec<ToolKind> = ToolKind::ALL.into_iter().filter(|_| rng.chance(700)).collect();
        for index in (1..tools.len()).rev() {
            tools.swap(index, rng.below(index + 1));
        }
        ScriptedMcp {
            page: rng.pick(&[100, 100, 3, 1]),
            sessions: rng.chance(800),
            forgets: rng.pick(&[0, 0, 100]),
            lost_is_400: rng.chance(300),
            get_stream: rng.chance(300),
            latency: Millis(rng.pick(&[0, 50, 3_000])),
            ..ScriptedMcp::new(era, &tools)
        }
    }

    /// Sessions in which a request was made, and that were neither deleted nor forgotten.
    pub fn open_sessions(&self) -> usize {
        self.open_sessions.iter().filter(|(id, session)| !id.is_empty() && session.used).count()
    }

    /// Keys that the tool `note` wrote more than once: a call with unknown outcome was repeated.
    pub fn written_twice(&self) -> Vec<String> {
        self.writes.iter().filter(|(_, times)| **times > 1).map(|(key, _)| key.clone()).collect()
    }

    /// `tools/list`: one page, by the cursor of the request.
    fn list(&self, params: &Value, peer: &mut Peer<'_>) -> Value {
        let cursor = params.get("cursor").and_then(Value::as_str);
        let start = match cursor {
            None => 0,
            // An empty cursor is a cursor ([MCP, Pagination]).
            Some("") => self.page,
            Some(cursor) => match cursor.strip_prefix("from-").and_then(|start| start.parse().ok()) {
                Some(start) => start,
                None => {
                    peer.violation("a cursor came back changed");
                    0
                }
            },
        };
        let end = (start + self.page).min(self.tools.len());
        let shown: Vec<Value> = self.tools[start.min(end)..end].iter().map(|tool| tool.definition()).collect();
        let mut result = json!({ "tools": shown });
        if end < self.tools.len() {
            let next = if start == 0 { String::new() } else { format!("from-{end}") };
            result["nextCursor"] = json!(next);
        }
        result
    }

    /// `tools/call`: the outcome, and how many progress notices come before it.
    fn call(&mut self, params: &Value, peer: &mut Peer<'_>) -> Result<(Value, u64), Value> {
        let name = params.get("name").and_then(Value::as_str).unwrap_or("");
        let Some(tool) = ToolKind::named(name).filter(|tool| self.tools.contains(tool)) else {
            peer.violation("tools/call of a tool that was never listed");
            return Err(json!({ "code": -32602, "message": "Unknown tool" }));
        };
        let empty = json!({});
        let arguments = params.get("arguments").unwrap_or(&empty);
        if !arguments.is_object() {
            peer.violation("arguments are no object");
        }
        let extras = params.get("inputResponses").is_some() || params.get("requestState").is_some();
        if extras && (tool != ToolKind::Ask || self.era == Era::Legacy) {
            peer.violation("answers or a state on a call that did not ask");
        }
        if tool == ToolKind::Ask
            && self.era == Era::Modern
            && let Some(round) = self.ask(params, peer)
        {
            return Ok((round, 0));
        }
        self.calls.push(Call { tool, arguments: arguments.clone(), exchange: peer.exchange, at: peer.now });
        if tool == ToolKind::Note
            && let Some(key) = arguments.get("key").and_then(Value::as_str)
        {
            *self.writes.entry(key.to_owned()).or_default() += 1;
        }
        if tool == ToolKind::Broken {
            return Err(json!({ "code": -32603, "message": "it broke", "data": { "why": [1, 2] } }));
        }
        let notices = if tool == ToolKind::Slow { tools::steps(arguments) } else { 0 };
        let result = match tool.result(arguments) {
            Some(text) if tool == ToolKind::Add => json!({
                "content": [{ "type": "text", "text": text }],
                "structuredContent": { "sum": text.parse::<f64>().unwrap_or(0.0) },
            }),
            Some(text) => json!({ "content": [{ "type": "text", "text": text }], "isError": false }),
            None => json!({ "content": [{ "type": "text", "text": "it failed" }], "isError": true }),
        };
        Ok((result, notices))
    }

    /// The next round of a call that asks; `None` when it has asked enough.
    fn ask(&mut self, params: &Value, peer: &mut Peer<'_>) -> Option<Value> {
        let left = match (params.get("requestState"), params.get("inputResponses")) {
            (None, None) => peer.rng.within(0..=3),
            (Some(Value::String(state)), responses) => match self.states.remove(state) {
                Some(left) => {
                    let action = responses.and_then(|responses| responses["form"]["action"].as_str());
                    if !matches!(action, Some("accept" | "decline" | "cancel")) {
                        peer.violation("an ask that was not answered");
                    }
                    left
                }
                None => {
                    peer.violation(format!("a state that was not handed out, or came back before: {state:?}"));
                    0
                }
            },
            _ => {
                peer.violation("answers without the state that came with the ask");
                0
            }
        };
        if left == 0 {
            return None;
        }
        // Bytes that whoever tidies them changes.
        let state = format!(" {{\"call\": {}}}\u{feff}\n", peer.exchange);
        self.states.insert(state.clone(), left - 1);
        let request = json!({ "method": "elicitation/create", "params": form() });
        Some(json!({ "resultType": "input_required", "inputRequests": { "form": request }, "requestState": state }))
    }

    /// Wraps an outcome as the answer to the request `id`: JSON, or an event stream with the notices before it.
    fn answer_rpc(
        &mut self,
        id: &Value,
        params: &Value,
        outcome: Result<(Value, u64), Value>,
        peer: &mut Peer<'_>,
    ) -> Answer {
        let (message, notices) = match outcome {
            Ok((result, notices)) => (json!({ "jsonrpc": "2.0", "id": id, "result": result }), notices),
            Err(error) => (json!({ "jsonrpc": "2.0", "id": id, "error": error }), 0),
        };
        let after = Millis(peer.rng.within(0..=self.latency.0));
        let asks = self.era == Era::Legacy
            && message.get("result").is_some()
            && params.get("name").and_then(Value::as_str) == Some(ToolKind::Ask.name());
        if notices == 0 && !asks && peer.rng.chance(500) {
            return Answer::json(&message).after(after);
        }
        let mut stream = EventStream::new(peer.rng);
        let token = params.get("_meta").and_then(|meta| meta.get("progressToken"));
        for step in 1..=notices {
            stream.wait(Millis(peer.rng.within(0..=2_000)));
            let mut params = json!({ "progress": step, "total": notices, "message": format!("step {step}") });
            if let Some(token) = token {
                params["progressToken"] = token.clone();
                let notice = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params });
                stream.event(Some("message"), &notice.to_string(), peer.rng);
            }
        }
        if self.era == Era::Legacy && peer.rng.chance(150) && self.open_sessions.values().any(|session| session.ready) {
            self.pings.0 += 1;
            let ping = json!({ "jsonrpc": "2.0", "id": format!("ping-{}", self.pings.0), "method": "ping" });
            stream.event(None, &ping.to_string(), peer.rng);
        }
        if asks {
            self.asks.0 += 1;
            let id = format!("ask-{}", self.asks.0);
            let ask = json!({ "jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": form() });
            stream.event(None, &ask.to_string(), peer.rng);
            // Whether it is answered in time or not.
            stream.wait(Millis(peer.rng.within(0..=4_000)));
        }
        if peer.rng.chance(100) {
            let other = json!({ "jsonrpc": "2.0", "method": "notifications/of_tomorrow", "params": {} });
            stream.event(None, &other.to_string(), peer.rng);
        }
        stream.wait(Millis(peer.rng.within(0..=self.latency.0)));
        let name = peer.rng.pick(&[Some("message"), Some("message"), None]);
        let text = match peer.rng.chance(200) {
            // Line breaks between tokens make several `data:` lines of one message.
            true => format!("{message:#}"),
            false => message.to_string(),
        };
        stream.event(name, &text, peer.rng);
        Answer::events(stream.finish(true, peer.rng)).after(after)
    }

    /// What both eras demand of a POST; gives the parsed message.
    fn check_post(&mut self, request: &Request, peer: &mut Peer<'_>) -> Option<Value> {
        let header = |name: &str| request.headers.get(name).unwrap_or("");
        if header("content-type").split(';').next() != Some("application/json") {
            peer.violation("POST without content-type application/json");
        }
        let accept = header("accept");
        if !accept.contains("application/json") || !accept.contains("text/event-stream") {
            peer.violation("POST does not accept both media types");
        }
        let message: Option<Value> = request.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
        let Some(message) = message.filter(Value::is_object) else {
            peer.violation("the body is no JSON object");
            return None;
        };
        if message.get("jsonrpc") != Some(&json!("2.0")) {
            peer.violation("not JSON-RPC 2.0");
        }
        if let Some(id) = message.get("id").filter(|_| message.get("method").is_some()) {
            if !id.is_string() && !id.is_i64() && !id.is_u64() {
                peer.violation("a request id must be a string or an integer");
            }
            if let Some(earlier) = self.ids.insert(id.to_string(), peer.exchange)
                && !self.several_clients
            {
                peer.violation(format!("request id {id} was used before, in #{earlier}"));
            }
        }
        Some(message)
    }

    fn authorised(&self, request: &Request) -> bool {
        let Some(token) = &self.token else { return true };
        request.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer ")) == Some(token)
    }
}

/// A session of the legacy era.
#[derive(Default)]
struct Session {
    /// The client has sent `notifications/initialized`.
    ready: bool,
    /// A request was made in it.
    used: bool,
}

fn rpc_error(status: u16, id: &Value, code: i64, message: &str) -> Answer {
    let body = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } });
    Answer::text(status, "application/json", body.to_string())
}

impl Server for ScriptedMcp {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
        if !self.authorised(request) {
            peer.violation("request without the token that this server was configured with");
            return Answer::text(401, "application/json", "{}").header("www-authenticate", "Bearer");
        }
        if request.url.contains("token") || request.url.contains("Bearer") {
            peer.violation("credentials in the URL");
        }
        match (self.era, request.method) {
            (Era::Modern, Method::Post) => self.modern(request, peer),
            (Era::Legacy, Method::Post) => self.legacy_post(request, peer),
            (Era::Legacy, Method::Get | Method::Knock) => self.legacy_get(request),
            (Era::Legacy, Method::Delete) => self.legacy_delete(request, peer),
            (Era::Modern, Method::Get | Method::Delete | Method::Knock) => {
                if self.reliable {
                    peer.violation("the modern era knows POST only");
                }
                Answer::text(405, "", "")
            }
        }
    }

    fn aborted(&mut self, exchange: u64) {
        self.aborted.push(exchange);
    }
}
