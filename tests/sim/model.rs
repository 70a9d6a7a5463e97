//! A model that says what a test wants it to say, and remembers what it was asked.

use std::cell::RefCell;
use std::rc::Rc;

use edgewise::http::Request;
use edgewise::sim::{Answer, Peer, SimPlatform, Step};
use serde_json::{Value, json};

pub const MODEL: &str = "https://model.test";

/// The options of an agent that asks it.
pub fn options() -> Value {
    json!({ "provider": "anthropic", "id": "m", "baseUrl": MODEL })
}

/// A model that is asked for the tools to call: with the number of the turn, from 0, and the request. None ends with a text.
/// Gives the requests.
pub fn host(
    sim: &SimPlatform,
    mut script: impl FnMut(usize, &Value) -> Vec<(String, Value)> + 'static,
) -> Rc<RefCell<Vec<Value>>> {
    host_at(sim, MODEL, move |turn, request| Ok(script(turn, request)))
}

/// The same at another place; it may also answer otherwise.
pub fn host_at(
    sim: &SimPlatform,
    origin: &str,
    mut script: impl FnMut(usize, &Value) -> Result<Vec<(String, Value)>, Answer> + 'static,
) -> Rc<RefCell<Vec<Value>>> {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let seen = asked.clone();
    sim.host(origin, move |request: &Request, _: &mut Peer<'_>| {
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let turn = seen.borrow().len();
        let calls = script(turn, &body);
        seen.borrow_mut().push(body);
        calls.map_or_else(
            |other| other,
            |calls| match request.url.rsplit('/').next() {
                Some("completions") => chat_answer(turn, &calls),
                Some("responses") => responses_answer(turn, &calls),
                _ => answer(turn, &calls),
            },
        )
    });
    asked
}

fn event(data: Value) -> Vec<u8> {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()).into_bytes()
}

fn answer(turn: usize, calls: &[(String, Value)]) -> Answer {
    let message = json!({ "role": "assistant", "content": [], "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let mut bytes = event(json!({ "type": "message_start", "message": message }));
    let mut block = |index: usize, start: Value, delta: Value| {
        bytes.extend(event(json!({ "type": "content_block_start", "index": index, "content_block": start })));
        bytes.extend(event(json!({ "type": "content_block_delta", "index": index, "delta": delta })));
        bytes.extend(event(json!({ "type": "content_block_stop", "index": index })));
    };
    for (index, (name, input)) in calls.iter().enumerate() {
        let id = format!("toolu_{turn}_{index}");
        let start = json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
        block(index, start, json!({ "type": "input_json_delta", "partial_json": input.to_string() }));
    }
    if calls.is_empty() {
        block(0, json!({ "type": "text", "text": "" }), json!({ "type": "text_delta", "text": "Done." }));
    }
    let stop = if calls.is_empty() { "end_turn" } else { "tool_use" };
    bytes.extend(event(json!({ "type": "message_delta", "delta": { "stop_reason": stop } })));
    bytes.extend(event(json!({ "type": "message_stop" })));
    Answer::events(vec![Step::Bytes(bytes)])
}

/// The same as Chat Completions.
fn chat_answer(turn: usize, calls: &[(String, Value)]) -> Answer {
    let chunk = |delta: Value, reason: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        format!("data: {}\n\n", json!({ "choices": [choice] })).into_bytes()
    };
    let mut bytes = Vec::new();
    for (index, (name, input)) in calls.iter().enumerate() {
        let function = json!({ "name": name, "arguments": input.to_string() });
        let call =
            json!({ "index": index, "id": format!("call_{turn}_{index}"), "type": "function", "function": function });
        bytes.extend(chunk(json!({ "tool_calls": [call] }), Value::Null));
    }
    if calls.is_empty() {
        bytes.extend(chunk(json!({ "content": "Done." }), Value::Null));
    }
    bytes.extend(chunk(json!({}), json!(if calls.is_empty() { "stop" } else { "tool_calls" })));
    bytes.extend(b"data: [DONE]\n\n");
    Answer::events(vec![Step::Bytes(bytes)])
}

/// The same as Responses.
fn responses_answer(turn: usize, calls: &[(String, Value)]) -> Answer {
    let mut bytes = Vec::new();
    for (at, (name, input)) in calls.iter().enumerate() {
        let item = json!({ "type": "function_call", "id": format!("fc_{turn}_{at}"), "call_id": format!("call_{turn}_{at}"), "name": name, "arguments": input.to_string() });
        let mut begun = item.clone();
        begun["arguments"] = json!("");
        bytes.extend(event(json!({ "type": "response.output_item.added", "output_index": at, "item": begun })));
        bytes.extend(event(json!({ "type": "response.output_item.done", "output_index": at, "item": item })));
    }
    if calls.is_empty() {
        bytes.extend(event(
            json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Done." }),
        ));
    }
    bytes.extend(event(json!({ "type": "response.completed", "response": { "id": format!("resp_{turn}"), "status": "completed", "output": [], "usage": { "input_tokens": 1, "output_tokens": 1 } } })));
    Answer::events(vec![Step::Bytes(bytes)])
}

/// The text of the results that the last message of a request carries, call by call.
pub fn results(request: &Value) -> Vec<String> {
    let last = request["messages"].as_array().unwrap().last().unwrap();
    let blocks = last["content"].as_array().unwrap().iter().filter(|block| block["type"] == "tool_result");
    blocks
        .map(|block| {
            block["content"].as_array().map_or_else(
                || block["content"].as_str().unwrap_or("").to_owned(),
                |content| content.iter().filter_map(|part| part["text"].as_str()).collect(),
            )
        })
        .collect()
}

/// The names of the tools that a request offers.
pub fn offered(request: &Value) -> Vec<String> {
    let tools = request["tools"].as_array().map_or(&[][..], Vec::as_slice);
    tools.iter().map(|tool| tool["name"].as_str().or(tool["function"]["name"].as_str()).unwrap().to_owned()).collect()
}
