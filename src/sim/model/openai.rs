//! The OpenAI Chat Completions wire and its dialects, server side.

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
    if !request.url.ends_with("/chat/completions") {
        peer.violation("not posted to /chat/completions");
    }
    let mut said: Vec<Said> = Vec::new();
    for (index, message) in list(&body["messages"]).iter().enumerate() {
        let string = |name: &str| message[name].as_str().unwrap_or("").to_owned();
        match string("role").as_str() {
            "system" | "developer" if index == 0 => {}
            "user" => said.push(Said::User(content_text(&message["content"]))),
            "assistant" => {
                let calls = list(&message["tool_calls"]);
                let calls = calls.iter().map(|call| read_call(call, peer)).collect();
                said.push(Said::Model { text: content_text(&message["content"]), calls });
            }
            "tool" => {
                let text = content_text(&message["content"]);
                let result = (string("tool_call_id"), text, false);
                match said.last_mut() {
                    Some(Said::Results(results)) => results.push(result),
                    _ => said.push(Said::Results(vec![result])),
                }
            }
            role => peer.violation(format!("message {index} has the role {role}")),
        }
    }
    let tools = list(&body["tools"]).into_iter().map(|tool| {
        let function = &tool["function"];
        if tool["type"] != "function" {
            peer.violation("a tool must have the type function");
        }
        Offered {
            name: function["name"].as_str().unwrap_or("").to_owned(),
            description: function["description"].as_str().unwrap_or("").to_owned(),
            schema: function["parameters"].clone(),
        }
    });
    let tools = tools.collect();
    let key = request.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
    Asked { key: key.map(str::to_owned), said, tools }
}

fn read_call(call: &Value, peer: &mut Peer<'_>) -> (String, String, Value) {
    let function = &call["function"];
    let arguments = function["arguments"].as_str();
    if call["type"] != "function" || arguments.is_none() {
        peer.violation("a tool call needs the type function and arguments as a string");
    }
    let input = arguments.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
    let string = |value: &Value| value.as_str().unwrap_or("").to_owned();
    (string(&call["id"]), string(&function["name"]), input)
}

fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        content => list(content).iter().filter_map(|part| part["text"].as_str()).collect(),
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn finish_reason(ending: Ending) -> &'static str {
    match ending {
        Ending::End => "stop",
        Ending::Tools => "tool_calls",
        Ending::Length => "length",
        Ending::Refusal => "content_filter",
    }
}

/// The whole answer as one JSON object, as a server that ignores `stream` gives it.
pub(super) fn whole(spoken: &Spoken) -> Answer {
    let call = |call: &super::SpokenCall| json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": call.json } });
    let text = spoken.text();
    let mut message =
        json!({ "role": "assistant", "content": if text.is_empty() { Value::Null } else { json!(text) } });
    if !spoken.calls.is_empty() {
        message["tool_calls"] = spoken.calls.iter().map(call).collect();
    }
    let choice = json!({ "index": 0, "message": message, "finish_reason": finish_reason(spoken.ending) });
    Answer::json(&json!({ "id": "c", "object": "chat.completion", "choices": [choice], "usage": usage() }))
}

fn usage() -> Value {
    json!({ "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 })
}

/// How this server's stream differs from the reference; drawn per answer.
struct Dialect {
    /// Tool calls carry no `index`; each comes in one piece.
    no_index: bool,
    /// `arguments` is an object, not its text; each call comes in one piece.
    object_arguments: bool,
    /// No `[DONE]` at the end.
    no_done: bool,
    /// `finish_reason` is `stop` although tools were asked for.
    always_stop: bool,
    /// Every chunk repeats id and name of the call.
    repeats: bool,
    /// `content` is null beside tool calls and in the last chunk, not absent.
    null_content: bool,
}

/// The answer as an event stream.
pub(super) fn stream(spoken: &Spoken, dialects: bool, rng: &mut Rng) -> Answer {
    let mut quirk = |permille| rng.chance(permille) && dialects;
    let dialect = Dialect {
        no_index: quirk(150),
        object_arguments: quirk(150),
        no_done: quirk(150),
        always_stop: quirk(150),
        repeats: quirk(150),
        null_content: quirk(300),
    };
    let mut stream = EventStream::new(rng);
    let mut send = |delta: Value, finish: Value, rng: &mut Rng| {
        if rng.chance(100) {
            stream.wait(Millis(rng.within(1..=800)));
        }
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish, "logprobs": null });
        let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "model": "scripted", "choices": [choice] });
        stream.event(None, &chunk.to_string(), rng);
    };
    send(json!({ "role": "assistant", "content": "" }), Value::Null, rng);
    for text in &spoken.thinking {
        send(json!({ "reasoning_content": text }), Value::Null, rng);
    }
    for text in &spoken.text {
        send(json!({ "content": text }), Value::Null, rng);
    }
    for (index, call) in spoken.calls.iter().enumerate() {
        if spoken.fails && index + 1 == spoken.calls.len() {
            break;
        }
        for mut call in call_chunks(index, call, &dialect, rng) {
            if dialect.no_index {
                call.as_object_mut().map(|call| call.remove("index"));
            }
            let mut delta = json!({ "tool_calls": [call] });
            if dialect.null_content {
                delta["content"] = Value::Null;
            }
            send(delta, Value::Null, rng);
        }
    }
    if spoken.fails {
        stream.event(None, r#"{"error":{"message":"The server had an error","type":"server_error"}}"#, rng);
        return Answer::events(stream.finish(false, rng));
    }
    let finish = if dialect.always_stop { "stop" } else { finish_reason(spoken.ending) };
    let last = if dialect.null_content { json!({ "content": null }) } else { json!({}) };
    send(last, json!(finish), rng);
    let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "choices": [], "usage": usage() });
    stream.event(None, &chunk.to_string(), rng);
    if !dialect.no_done {
        stream.event(None, "[DONE]", rng);
    }
    Answer::events(stream.finish(!dialect.no_done, rng))
}

/// The chunks of one tool call.
fn call_chunks(index: usize, call: &super::SpokenCall, dialect: &Dialect, rng: &mut Rng) -> Vec<Value> {
    if let Some(input) = call.input.as_ref().filter(|_| dialect.object_arguments) {
        let function = json!({ "name": call.name, "arguments": input });
        return vec![json!({ "index": index, "id": call.id, "type": "function", "function": function })];
    }
    if dialect.no_index {
        let function = json!({ "name": call.name, "arguments": call.json });
        return vec![json!({ "index": index, "id": call.id, "type": "function", "function": function })];
    }
    let first = json!({ "index": index, "id": call.id, "type": "function",
        "function": { "name": call.name, "arguments": "" } });
    let rest = pieces(&call.json, rng).into_iter().map(|piece| match dialect.repeats {
        true => json!({ "index": index, "id": call.id, "function": { "name": call.name, "arguments": piece } }),
        false => json!({ "index": index, "function": { "arguments": piece } }),
    });
    [first].into_iter().chain(rest).collect()
}
