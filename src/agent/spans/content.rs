//! Messages in the form of the conventions: `{ role, parts: [...] }`. Only for apps that ask for content.

use serde_json::{Value, json};

/// A message of the history.
pub(super) fn message(message: &Value) -> Value {
    let blocks = message.get("content").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let only_results = !blocks.is_empty() && blocks.iter().all(|block| block["type"] == "tool_result");
    let role = if only_results { "tool" } else { message.get("role").and_then(Value::as_str).unwrap_or("user") };
    // Nothing that was said.
    let said = blocks.iter().filter(|block| block["type"] != "tools");
    json!({ "role": role, "parts": said.map(part).collect::<Vec<_>>() })
}

fn part(block: &Value) -> Value {
    match block["type"].as_str().unwrap_or("") {
        "text" => json!({ "type": "text", "content": block["text"] }),
        "thinking" => json!({ "type": "reasoning", "content": block["text"] }),
        "tool_use" => {
            json!({ "type": "tool_call", "id": block["id"], "name": block["name"], "arguments": block["input"] })
        }
        "tool_result" => {
            json!({ "type": "tool_call_response", "id": block["toolUseId"], "response": block["content"] })
        }
        // The conventions let parts of other kinds stand as they are.
        _ => block.clone(),
    }
}

/// The result of a tool that has just been called.
pub(super) fn tool_result(id: &str, content: &Value) -> Value {
    json!({ "role": "tool", "parts": [{ "type": "tool_call_response", "id": id, "response": content }] })
}

/// The answer of a run.
pub(super) fn said(text: &str) -> Value {
    json!({ "role": "assistant", "parts": [{ "type": "text", "content": text }], "finish_reason": "stop" })
}
