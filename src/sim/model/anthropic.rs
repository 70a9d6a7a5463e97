//! The Anthropic Messages wire, server side.

use serde_json::{Value, json};

use super::script::{Ending, Offered, Spoken, pieces};
use super::{Asked, Said};
use crate::http::Request;
use crate::sim::net::{Answer, Peer};
use crate::sim::rng::Rng;
use crate::sim::stream::EventStream;
use crate::time::Millis;

/// Reads the request; what is wrong with it goes to `peer`.
pub(super) fn read(request: &Request, body: &Value, peer: &mut Peer<'_>) -> Asked {
    if !request.url.ends_with("/v1/messages") {
        peer.violation("not posted to /v1/messages");
    }
    if request.headers.get("anthropic-version").is_none() {
        peer.violation("no anthropic-version");
    }
    if !body["max_tokens"].is_u64() {
        peer.violation("max_tokens is required");
    }
    let mut said = Vec::new();
    for message in list(&body["messages"]) {
        let role = message["role"].as_str().unwrap_or("");
        let blocks = match &message["content"] {
            Value::String(text) => vec![json!({ "type": "text", "text": text })],
            content => list(content),
        };
        if blocks.is_empty() {
            peer.violation(format!("a message of {role} without content"));
        }
        read_message(role, &blocks, &mut said, peer);
    }
    let tools = list(&body["tools"]);
    let tools = tools.iter().map(|tool| Offered {
        name: tool["name"].as_str().unwrap_or("").to_owned(),
        description: tool["description"].as_str().unwrap_or("").to_owned(),
        schema: tool["input_schema"].clone(),
    });
    Asked { key: request.headers.get("x-api-key").map(str::to_owned), said, tools: tools.collect() }
}

fn read_message(role: &str, blocks: &[Value], said: &mut Vec<Said>, peer: &mut Peer<'_>) {
    let (mut text, mut calls, mut results) = (String::new(), Vec::new(), Vec::new());
    for block in blocks {
        let string = |name: &str| block[name].as_str().unwrap_or("").to_owned();
        match (role, block["type"].as_str().unwrap_or("")) {
            (_, "text") => {
                if string("text").trim().is_empty() {
                    peer.violation("a text block of nothing but white space: the provider refuses it");
                }
                text += &string("text");
            }
            ("assistant", "tool_use") => {
                if !block["input"].is_object() {
                    peer.violation("tool_use.input must be an object");
                }
                calls.push((string("id"), string("name"), block["input"].clone()));
            }
            ("user", "tool_result") => {
                if !text.is_empty() {
                    peer.violation("tool results come first in a user message");
                }
                let is_error = block["is_error"].as_bool().unwrap_or(false);
                results.push((string("tool_use_id"), content_text(&block["content"]), is_error));
            }
            ("assistant", "thinking" | "redacted_thinking") => {}
            (role, kind) => peer.violation(format!("{kind} in a message of {role}")),
        }
    }
    match role {
        "assistant" => said.push(Said::Model { text, calls }),
        "user" => {
            if !results.is_empty() {
                said.push(Said::Results(results));
            }
            if !text.is_empty() {
                said.push(Said::User(text));
            }
        }
        other => peer.violation(format!("unknown role {other}")),
    }
}

/// Text of a tool result: a string, or the texts of its blocks.
fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        content => list(content).iter().filter_map(|block| block["text"].as_str()).collect(),
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn stop_reason(ending: Ending) -> &'static str {
    match ending {
        Ending::End => "end_turn",
        Ending::Tools => "tool_use",
        Ending::Length => "max_tokens",
        Ending::Refusal => "refusal",
    }
}

/// The whole answer as one JSON object, as a proxy that cannot stream gives it.
pub(super) fn whole(spoken: &Spoken) -> Answer {
    let mut content = Vec::new();
    if !spoken.text().is_empty() {
        content.push(json!({ "type": "text", "text": spoken.text() }));
    }
    for call in &spoken.calls {
        content.push(json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": call.input }));
    }
    Answer::json(&json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "scripted", "content": content,
        "stop_reason": stop_reason(spoken.ending), "stop_sequence": null,
        "usage": { "input_tokens": 10, "output_tokens": 5 },
    }))
}

/// The answer as an event stream.
pub(super) fn stream(spoken: &Spoken, rng: &mut Rng) -> Answer {
    let mut writer = Writer { stream: EventStream::new(rng), index: 0 };
    let usage = json!({ "input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 1 });
    let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "scripted",
        "content": [], "stop_reason": null, "usage": usage });
    writer.event(json!({ "type": "message_start", "message": message }), rng);
    if !spoken.thinking.is_empty() {
        let deltas = spoken.thinking.iter().map(|text| json!({ "type": "thinking_delta", "thinking": text }));
        let signature = json!({ "type": "signature_delta", "signature": "c2lnbmVk" });
        let start = json!({ "type": "thinking", "thinking": "", "signature": "" });
        writer.block(start, deltas.chain([signature]).collect(), rng);
    }
    if !spoken.text.is_empty() {
        let deltas = spoken.text.iter().map(|text| json!({ "type": "text_delta", "text": text })).collect();
        writer.block(json!({ "type": "text", "text": "" }), deltas, rng);
    }
    for (index, call) in spoken.calls.iter().enumerate() {
        if spoken.fails && index + 1 == spoken.calls.len() {
            break;
        }
        let pieces = pieces(&call.json, rng);
        let deltas = pieces.iter().map(|json| json!({ "type": "input_json_delta", "partial_json": json }));
        let start = json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": {} });
        writer.block(start, deltas.collect(), rng);
    }
    if spoken.fails {
        writer.event(json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } }), rng);
    } else {
        let delta = json!({ "stop_reason": stop_reason(spoken.ending), "stop_sequence": null });
        let usage = json!({ "output_tokens": 25 });
        writer.event(json!({ "type": "message_delta", "delta": delta, "usage": usage }), rng);
        writer.event(json!({ "type": "message_stop" }), rng);
    }
    Answer::events(writer.stream.finish(!spoken.fails, rng))
}

struct Writer {
    stream: EventStream,
    index: u32,
}

impl Writer {
    fn event(&mut self, data: Value, rng: &mut Rng) {
        if rng.chance(100) {
            self.stream.wait(Millis(rng.within(1..=800)));
        }
        if rng.chance(30) {
            self.stream.event(Some("ping"), r#"{"type":"ping"}"#, rng);
        }
        if rng.chance(15) {
            self.stream.event(Some("of_tomorrow"), r#"{"type":"of_tomorrow","delta":{"text":"no"}}"#, rng);
        }
        let name = data["type"].as_str().map(str::to_owned);
        self.stream.event(name.as_deref(), &data.to_string(), rng);
    }

    fn block(&mut self, start: Value, deltas: Vec<Value>, rng: &mut Rng) {
        let index = self.index;
        self.index += 1;
        self.event(json!({ "type": "content_block_start", "index": index, "content_block": start }), rng);
        for delta in deltas {
            self.event(json!({ "type": "content_block_delta", "index": index, "delta": delta }), rng);
        }
        self.event(json!({ "type": "content_block_stop", "index": index }), rng);
    }
}
