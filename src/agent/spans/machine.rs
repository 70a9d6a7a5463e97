//! From notes to spans.

use serde_json::{Map, Value, json};

use super::attributes::{chat_attributes, finish_reason, provider_name, tool_attributes, usage_attributes};
use super::content;
use super::{Header, span_id};

/// Most bytes of messages that a `chat` has as its input, about.
const MOST_CONTENT: usize = 128 * 1024;

/// The open spans of one run. Every span is given once, when it has ended; that of the run is the last.
#[derive(Clone, Debug)]
pub struct Spans {
    header: Header,
    /// The same with the model that is asked now.
    asked: Header,
    /// Number of the last id that was made up.
    last: u64,
    root: String,
    start: Option<u64>,
    /// The run looks for tools since; and some server had to be connected for that.
    gathering: Option<u64>,
    connecting: bool,
    /// The history is being made less of since.
    compacting: Option<u64>,
    chat: Option<Chat>,
    calls: Vec<Call>,
    turns: u64,
    /// What the model has been shown, as the conventions write it; only with content.
    history: Vec<Value>,
    /// Results of this turn's tools: what the next turn is shown besides.
    fresh: Vec<Value>,
}

#[derive(Clone, Debug)]
struct Chat {
    id: String,
    turn: u64,
    start: u64,
    first: Option<u64>,
    end: Option<u64>,
    tries: u64,
    events: Vec<Value>,
    /// A wait before the next try: since when, and for what.
    waiting: Option<(u64, String)>,
}

#[derive(Clone, Debug)]
struct Call {
    id: String,
    name: String,
    server: Option<String>,
    input: Value,
    /// The span that it is within.
    parent: String,
    asked: Option<u64>,
    called: Option<(u64, String)>,
    /// The call is made again.
    events: Vec<Value>,
    /// A wait before that: since when, and for what.
    waiting: Option<(u64, String)>,
    /// What its server wants of the user: id and since when.
    questions: Vec<(String, u64)>,
}

fn fallback(value: &Value) -> [String; 3] {
    [0, 1, 2].map(|place| value.get(place).and_then(Value::as_str).unwrap_or("").to_owned())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

impl Spans {
    /// The spans of the run that the header, as [`Header::to_json`] gives it, is of.
    pub fn new(header: &Value) -> Spans {
        let own = |name: &str| text(header, name).to_owned();
        let maybe = |name: &str| header.get(name).and_then(Value::as_str).map(str::to_owned);
        let header = Header {
            run: own("run"),
            conversation: maybe("conversation"),
            trace: own("trace"),
            parent: maybe("parent"),
            flags: own("flags"),
            state: maybe("state"),
            seed: header.get("seed").and_then(Value::as_u64).unwrap_or(0),
            provider: own("provider"),
            model: own("model"),
            base_url: own("baseUrl"),
            fallbacks: header.get("fallbacks").and_then(Value::as_array).into_iter().flatten().map(fallback).collect(),
            content: header.get("content") == Some(&Value::Bool(true)),
        };
        let mut spans = Spans {
            asked: header.clone(),
            header,
            last: 0,
            root: String::new(),
            start: None,
            gathering: None,
            connecting: false,
            compacting: None,
            chat: None,
            calls: Vec::new(),
            turns: 0,
            history: Vec::new(),
            fresh: Vec::new(),
        };
        spans.root = spans.new_id();
        spans
    }

    /// Takes the messages that the run begins with, its prompt included; for content.
    pub fn begin_with(&mut self, messages: &Value) {
        if self.header.content {
            self.history = messages.as_array().into_iter().flatten().map(content::message).collect();
        }
    }

    /// Takes a note and appends the spans that end with it. True once the run is over.
    pub fn apply(&mut self, note: &Value, out: &mut Vec<Value>) -> bool {
        let at = note.get("at").and_then(Value::as_u64).unwrap_or(0);
        self.start.get_or_insert(at);
        match note.get("event") {
            Some(event) => self.event(event, at, out),
            None => {
                self.fact(note, at, out);
                false
            }
        }
    }

    fn fact(&mut self, note: &Value, at: u64, out: &mut Vec<Value>) {
        let id = text(note, "id");
        match (text(note, "fact"), &mut self.chat) {
            ("deltas", Some(chat)) => {
                chat.first.get_or_insert(at);
            }
            ("modelEnded" | "modelFailed", Some(chat)) => chat.end = Some(at),
            ("server", _) => self.connecting = true,
            ("compacting", _) => self.compacting = Some(at),
            ("compacted", _) => self.end_summary(note.get("usage"), None, at, out),
            ("slept", _) => self.end_retry(at, out),
            ("rested", _) => self.end_rest(id, at, out),
            ("approved", _) => self.end_approval(id, at, "approved", out),
            ("answered", _) => self.end_questions(at, out, &|question| question == id),
            ("called", _) => {
                let span = span_id(note.get("span").and_then(Value::as_u64).unwrap_or(0));
                if let Some(call) = self.calls.iter_mut().find(|call| call.id == id) {
                    // One that is made again began with its first try, and is the same span.
                    call.called.get_or_insert((at, span));
                }
            }
            _ => {}
        }
    }

    fn event(&mut self, event: &Value, at: u64, out: &mut Vec<Value>) -> bool {
        match text(event, "type") {
            "run_start" => self.gathering = Some(at),
            "turn_start" => {
                if let Some(start) = self.gathering.take().filter(|start| self.connecting && *start < at) {
                    let root = self.root.clone();
                    self.wait("servers", (start, at), &root, Map::new(), out);
                }
                let turn = event.get("turn").and_then(Value::as_u64).unwrap_or(self.turns + 1);
                self.turns = self.turns.max(turn);
                let id = self.new_id();
                let (first, end, waiting, events) = (None, None, None, Vec::new());
                self.chat = Some(Chat { id, turn, start: at, first, end, tries: 1, events, waiting });
            }
            "retry" => self.retry(event, at),
            "tool_call" => {
                let plan = text(event, "callId");
                let plan = self.calls.iter().find(|call| call.id == plan).and_then(|call| call.called.as_ref());
                let parent = plan.map_or(&self.root, |(_, span)| span).clone();
                self.calls.push(Call {
                    parent,
                    id: text(event, "id").to_owned(),
                    name: text(event, "name").to_owned(),
                    server: event.get("server").and_then(Value::as_str).map(str::to_owned),
                    input: event.get("input").cloned().unwrap_or_default(),
                    asked: None,
                    called: None,
                    events: Vec::new(),
                    waiting: None,
                    questions: Vec::new(),
                });
            }
            "compacted" => {
                // The turn's own call comes after it.
                if let Some(chat) = self.chat.as_mut().filter(|chat| chat.first.is_none() && chat.tries == 1) {
                    chat.start = at;
                }
            }
            "approval_request" => {
                if let Some(call) = self.call(text(event, "id")) {
                    call.asked = Some(at);
                }
            }
            "approved" => self.end_approval(text(event, "id"), at, "approved", out),
            "input_request" => {
                let question = (text(event, "id").to_owned(), at);
                if let Some(call) = self.call(text(event, "callId")) {
                    call.questions.push(question);
                }
            }
            "tool_result" => self.end_call(event, at, out),
            "turn_end" => self.end_chat(Some(event), None, at, out),
            "done" | "suspended" => {
                self.end_run(event, None, at, out);
                return true;
            }
            "error" => {
                let code = event.get("error").map_or("", |error| text(error, "code")).to_owned();
                self.end_run(event, Some(&code), at, out);
                return true;
            }
            _ => {}
        }
        false
    }

    fn call(&mut self, id: &str) -> Option<&mut Call> {
        self.calls.iter_mut().find(|call| call.id == id)
    }

    /// A call of the model or of a tool will be made again.
    fn retry(&mut self, event: &Value, at: u64) {
        let code = text(event, "code").to_owned();
        let attributes = json!({
            "error.type": code,
            "edgewise.retry.attempt": event.get("attempt"),
            "edgewise.retry.delay_ms": event.get("delayMs"),
        });
        let told = json!({ "name": "edgewise.retry", "timeMs": at, "attributes": attributes });
        if text(event, "of") == "tool" {
            if let Some(call) = self.call(text(event, "id")) {
                call.events.push(told);
                call.waiting = Some((at, code));
            }
            return;
        }
        if let Some([provider, model, base_url]) =
            self.header.fallbacks.iter().find(|[_, model, _]| Some(model.as_str()) == event["model"].as_str())
        {
            self.asked.provider.clone_from(provider);
            self.asked.model.clone_from(model);
            self.asked.base_url.clone_from(base_url);
        }
        if let Some(chat) = &mut self.chat {
            chat.events.push(told);
            chat.tries += 1;
            chat.end = None;
            chat.waiting = Some((at, code));
        }
    }

    /// The wait before a further try of a tool is over.
    fn end_rest(&mut self, id: &str, at: u64, out: &mut Vec<Value>) {
        let waited = self.call(id).and_then(|call| Some((call.waiting.take()?, call.called.as_ref()?.1.clone())));
        if let Some(((start, code), parent)) = waited {
            let mut attributes = Map::new();
            attributes.insert("error.type".into(), code.into());
            self.wait("retry", (start, at), &parent, attributes, out);
        }
    }

    /// The wait before a try of the model is over.
    fn end_retry(&mut self, at: u64, out: &mut Vec<Value>) {
        let waited = self.chat.as_mut().and_then(|chat| Some((chat.waiting.take()?, chat.id.clone())));
        if let Some(((start, code), parent)) = waited {
            let mut attributes = Map::new();
            attributes.insert("error.type".into(), code.into());
            self.wait("retry", (start, at), &parent, attributes, out);
        }
    }

    fn end_approval(&mut self, id: &str, at: u64, answer: &str, out: &mut Vec<Value>) {
        let asked = self.call(id).and_then(|call| Some((call.asked.take()?, call.parent.clone())));
        let Some((start, parent)) = asked else { return };
        let mut attributes = Map::new();
        attributes.insert("gen_ai.tool.call.id".into(), id.into());
        attributes.insert("edgewise.approval".into(), answer.into());
        self.wait("approval", (start, at), &parent, attributes, out);
    }

    fn end_questions(&mut self, at: u64, out: &mut Vec<Value>, which: &dyn Fn(&str) -> bool) {
        let mut ended = Vec::new();
        for call in &mut self.calls {
            let parent = call.called.as_ref().map(|(_, span)| span.clone());
            let (over, open) = std::mem::take(&mut call.questions).into_iter().partition(|(id, _)| which(id));
            call.questions = open;
            ended
                .extend(Vec::into_iter(over).map(|(_, start): (String, u64)| (start, parent.clone(), call.id.clone())));
        }
        for (start, parent, call) in ended {
            let mut attributes = Map::new();
            attributes.insert("gen_ai.tool.call.id".into(), call.into());
            let parent = parent.unwrap_or_else(|| self.root.clone());
            self.wait("input", (start, at), &parent, attributes, out);
        }
    }

    fn end_call(&mut self, event: &Value, at: u64, out: &mut Vec<Value>) {
        let id = text(event, "id");
        let Some(place) = self.calls.iter().position(|call| call.id == id) else { return };
        let outcome = text(event, "outcome");
        let answer = if outcome == "denied" { "denied" } else { "none" };
        self.end_approval(id, at, answer, out);
        self.end_rest(id, at, out);
        let asked: Vec<String> = self.calls[place].questions.iter().map(|(id, _)| id.clone()).collect();
        self.end_questions(at, out, &|question| asked.iter().any(|id| id == question));
        let call = self.calls.remove(place);
        let failed = event.get("isError") == Some(&Value::Bool(true));
        let error = match outcome {
            "denied" | "cancelled" | "unknown" => Some(outcome),
            "failed" => Some("tool_error"),
            _ => failed.then_some("tool_error"),
        };
        let (name, mut attributes) = tool_attributes(&call.name, call.server.as_deref(), id, outcome);
        if let Some(age) = event.get("ageMs").filter(|_| outcome == "cached") {
            attributes.insert("edgewise.cache.age_ms".into(), age.clone());
        }
        if self.header.content {
            let result = event.get("structuredContent").or(event.get("content")).cloned().unwrap_or_default();
            attributes.insert("gen_ai.tool.call.arguments".into(), call.input.clone());
            attributes.insert("gen_ai.tool.call.result".into(), result);
            self.fresh.push(content::tool_result(id, event.get("content").unwrap_or(&Value::Null)));
        }
        // What was never called took no time.
        let (start, span) = call.called.unwrap_or_else(|| (at, self.new_id()));
        let kind = if call.server.is_some() { "client" } else { "internal" };
        let name = ["execute_tool ", &name].concat();
        let mut span = self.span((&span, Some(&call.parent)), &name, kind, (start, at), attributes, error);
        span["events"] = call.events.into();
        out.push(span);
    }

    /// A history was made less of: a call of the model, where it took tokens.
    fn end_summary(&mut self, usage: Option<&Value>, error: Option<&str>, at: u64, out: &mut Vec<Value>) {
        let Some(start) = self.compacting.take() else { return };
        let tokens = |name: &str| usage.and_then(|usage| usage.get(name)?.as_u64()).unwrap_or(0);
        if error.is_none() && tokens("inputTokens") + tokens("outputTokens") == 0 {
            return;
        }
        let mut attributes = chat_attributes(&self.asked);
        attributes.insert("edgewise.compaction".into(), true.into());
        usage_attributes(usage, &mut attributes);
        let name = ["chat ", &self.asked.model].concat();
        let kind = if self.asked.base_url.is_empty() { "internal" } else { "client" };
        let (id, root) = (self.new_id(), self.root.clone());
        out.push(self.span((&id, Some(&root)), name.trim_end(), kind, (start, at), attributes, error));
    }

    /// The turn's model call is over: well, with its `turn_end`, or with an error of the run.
    fn end_chat(&mut self, event: Option<&Value>, error: Option<&str>, at: u64, out: &mut Vec<Value>) {
        self.end_retry(at, out);
        let Some(chat) = self.chat.take() else { return };
        let mut attributes = chat_attributes(&self.asked);
        attributes.insert("edgewise.turn".into(), chat.turn.into());
        if chat.tries > 1 {
            attributes.insert("edgewise.tries".into(), chat.tries.into());
        }
        if let Some(first) = chat.first {
            let seconds = first.saturating_sub(chat.start) as f64 / 1000.0;
            attributes.insert("gen_ai.response.time_to_first_chunk".into(), seconds.into());
        }
        if let Some(event) = event {
            let reason = finish_reason(text(event, "stopReason"));
            attributes.insert("gen_ai.response.finish_reasons".into(), json!([reason]));
            usage_attributes(event.get("usage"), &mut attributes);
            if self.header.content {
                let mut message = content::message(event.get("message").unwrap_or(&Value::Null));
                attributes.insert("gen_ai.input.messages".into(), self.history.clone().into());
                self.history.push(message.clone());
                self.history.append(&mut self.fresh);
                self.forget();
                message["finish_reason"] = reason.into();
                attributes.insert("gen_ai.output.messages".into(), json!([message]));
            }
        }
        let name = ["chat ", &self.asked.model].concat();
        let end = if error.is_some() { at } else { chat.end.unwrap_or(at) };
        let kind = if self.asked.base_url.is_empty() { "internal" } else { "client" };
        let root = self.root.clone();
        let mut span = self.span((&chat.id, Some(&root)), name.trim_end(), kind, (chat.start, end), attributes, error);
        span["events"] = chat.events.into();
        out.push(span);
    }

    /// Forgets the oldest messages beyond what a span is to carry: each `chat` has all of them, and a run may be long.
    fn forget(&mut self) {
        let mut room = MOST_CONTENT;
        let size = |message: &Value| crate::json::text(message).len();
        let stays = |message: &&Value| {
            let left = room.checked_sub(size(message));
            room = left.unwrap_or(0);
            left.is_some()
        };
        let kept = self.history.iter().rev().take_while(stays).count().max(1);
        self.history.drain(..self.history.len() - kept.min(self.history.len()));
    }

    fn end_run(&mut self, event: &Value, error: Option<&str>, at: u64, out: &mut Vec<Value>) {
        self.compacting = None;
        self.end_chat(None, error.or(Some("cancelled")), at, out);
        for id in self.calls.iter().map(|call| call.id.clone()).collect::<Vec<_>>() {
            self.end_call(&json!({ "id": id, "outcome": "cancelled" }), at, out);
        }
        let mut attributes = Map::new();
        let mut put = |name: &str, value: Value| attributes.insert(name.to_owned(), value);
        put("gen_ai.operation.name", "invoke_agent".into());
        put("gen_ai.provider.name", provider_name(&self.header).into());
        put("gen_ai.request.model", self.header.model.as_str().into());
        put("edgewise.turns", self.turns.into());
        usage_attributes(event.get("usage"), &mut attributes);
        if self.header.content {
            let text = event.get("text").and_then(Value::as_str);
            let asked = self.history.iter().rfind(|message| message["role"] == "user").cloned();
            attributes.insert("gen_ai.input.messages".into(), asked.into_iter().collect());
            if let Some(text) = text {
                attributes.insert("gen_ai.output.messages".into(), json!([content::said(text)]));
            }
        }
        let (id, parent) = (self.root.clone(), self.header.parent.clone());
        let start = self.start.unwrap_or(at);
        out.push(self.span((&id, parent.as_deref()), "invoke_agent", "internal", (start, at), attributes, error));
    }

    fn wait(
        &mut self,
        what: &str,
        times: (u64, u64),
        parent: &str,
        mut attributes: Map<String, Value>,
        out: &mut Vec<Value>,
    ) {
        attributes.insert("edgewise.wait".into(), what.into());
        let (id, name) = (self.new_id(), ["wait ", what].concat());
        out.push(self.span((&id, Some(parent)), &name, "internal", times, attributes, None));
    }

    /// A span: its id and that of its parent, its start and end.
    fn span(
        &self,
        (id, parent): (&str, Option<&str>),
        name: &str,
        kind: &str,
        (start, end): (u64, u64),
        mut attributes: Map<String, Value>,
        error: Option<&str>,
    ) -> Value {
        attributes.insert("edgewise.run.id".into(), self.header.run.as_str().into());
        if let Some(conversation) = &self.header.conversation {
            attributes.insert("gen_ai.conversation.id".into(), conversation.as_str().into());
        }
        let mut status = json!({ "code": "unset" });
        if let Some(error) = error {
            attributes.insert("error.type".into(), error.into());
            status = json!({ "code": "error" });
        }
        let mut span = json!({
            "traceId": self.header.trace,
            "spanId": id,
            "traceFlags": u8::from_str_radix(&self.header.flags, 16).unwrap_or(1),
            "name": name,
            "kind": kind,
            "startTimeMs": start,
            // A clock that jumps back makes no span end before it begins.
            "endTimeMs": end.max(start),
            "attributes": attributes,
            "events": [],
            "status": status,
        });
        if let Some(parent) = parent {
            span["parentSpanId"] = parent.into();
        }
        if let Some(state) = &self.header.state {
            span["traceState"] = state.as_str().into();
        }
        span
    }

    fn new_id(&mut self) -> String {
        self.last += 1;
        span_id(mix(self.header.seed.wrapping_add(self.last.wrapping_mul(0x9E37_79B9_7F4A_7C15))))
    }
}

/// Spreads a number over all 64 bits, one to one (the finisher of SplitMix64).
fn mix(mut number: u64) -> u64 {
    number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}
