//! What the run and the embedded model say to each other: one JSON text each way, since the model lies in a wasm of its
//! own that is loaded when first used.
//!
//! ```text
//! {"system":null,"tools":[{"name":...,"description":...,"inputSchema":...}],"messages":[...]}
//! [{"text":"It is "},{"text":"42."},{"usage":{...}},{"stop":"end_turn"}]
//! ```

use serde_json::Value;

use super::json;
use super::types::{Delta, Message, StopReason, ToolDefinition, Usage};

/// What the model is asked, as text.
pub fn request(system: Option<&str>, messages: &[Message], tools: &[ToolDefinition]) -> String {
    let mut out = String::from("{");
    if let Some(system) = system {
        json::field(&mut out, "system", system);
    }
    json::key(&mut out, "tools");
    out.push('[');
    for (at, tool) in tools.iter().enumerate() {
        out.push_str(if at == 0 { "{" } else { ",{" });
        json::field(&mut out, "name", &tool.name);
        json::field(&mut out, "description", &tool.description);
        json::key(&mut out, "inputSchema");
        out.push_str(&crate::json::text(&tool.input_schema));
        out.push('}');
    }
    out.push_str(r#"],"messages":"#);
    // Messages have string keys only, so writing them cannot fail.
    out.push_str(&serde_json::to_string(messages).unwrap_or_default());
    out.push('}');
    out
}

/// Reads the model's answer; `None` when it is none.
pub fn deltas(text: &str) -> Option<Vec<Delta>> {
    let Ok(Value::Array(deltas)) = serde_json::from_slice(text.as_bytes()) else { return None };
    deltas.iter().map(delta).collect()
}

fn delta(value: &Value) -> Option<Delta> {
    let (kind, content) = value.as_object()?.iter().next()?;
    let text = |name: &str| Some(content.get(name)?.as_str()?.to_owned());
    let number = |name: &str| content.get(name).and_then(Value::as_u64);
    let index = || number("index").and_then(|index| u32::try_from(index).ok());
    Some(match kind.as_str() {
        "text" => Delta::Text(content.as_str()?.to_owned()),
        "tool_start" => Delta::ToolStart { index: index()?, id: text("id")?, name: text("name")? },
        "tool_input" => Delta::ToolInput { index: index()?, json: text("json")? },
        "tool_end" => Delta::ToolEnd { index: index()? },
        "usage" => {
            let (input_tokens, output_tokens) = (number("inputTokens")?, number("outputTokens")?);
            Delta::Usage(Usage { input_tokens, output_tokens, ..Usage::default() })
        }
        "stop" => Delta::Stop(match content.as_str()? {
            "tool_use" => StopReason::ToolUse,
            _ => StopReason::EndTurn,
        }),
        _ => return None,
    })
}

/// Answers a [`request`], on the model's side.
///
/// # Errors
///
/// Words, when the text is no request.
#[cfg(feature = "parts")]
pub fn answer(request: &str) -> Result<String, String> {
    use super::offline::{self, OfflineRequest};

    let request: Value = serde_json::from_slice(request.as_bytes()).unwrap_or_default();
    let list = |name: &str| request.get(name).and_then(Value::as_array);
    let messages: Option<Vec<Message>> = list("messages").and_then(|list| list.iter().map(Message::read).collect());
    let tools: Option<Vec<ToolDefinition>> = list("tools").and_then(|list| list.iter().map(tool).collect());
    let (Some(messages), Some(tools)) = (messages, tools) else { return Err("the request cannot be read".to_owned()) };
    let system = request.get("system").and_then(Value::as_str);
    let deltas = offline::answer(OfflineRequest { system, messages: &messages, tools: &tools });
    serde_json::to_string(&deltas).map_err(|_| "the answer cannot be written".to_owned())
}

#[cfg(feature = "parts")]
fn tool(value: &Value) -> Option<ToolDefinition> {
    let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
    let input_schema = value.get("inputSchema")?.clone();
    Some(ToolDefinition { name: text("name")?, description: text("description")?, input_schema })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::offline::{self, OfflineRequest};
    use crate::llm::types::{Block, Role};
    use serde_json::json;

    fn sum() -> ToolDefinition {
        let numbers = json!({ "a": { "type": "number" }, "b": { "type": "number" } });
        let input_schema = json!({ "type": "object", "properties": numbers, "required": ["a", "b"] });
        ToolDefinition { name: "get-sum".into(), description: "Adds \"two\" numbers".into(), input_schema }
    }

    #[test]
    fn the_way_over_text_changes_nothing() {
        let ask = Message::user("What is 17 + 25?\n");
        let call =
            Block::ToolUse { id: "off_1_0".into(), name: "get-sum".into(), input: json!({}), invalid_input: None };
        let content = vec![json!({ "type": "text", "text": "42" })];
        let given = Block::ToolResult { tool_use_id: "off_1_0".into(), content, is_error: false };
        let called = Message { role: Role::Assistant, content: vec![call] };
        let result = Message { role: Role::User, content: vec![given] };
        let tools = [sum()];
        for messages in [vec![], vec![ask.clone()], vec![ask, called, result]] {
            for (system, tools) in [(None, &tools[..]), (Some("Be \u{1F600} kind."), &tools), (None, &[])] {
                let text = answer(&request(system, &messages, tools)).unwrap();
                let direct = offline::answer(OfflineRequest { system, messages: &messages, tools });
                assert_eq!(deltas(&text).unwrap(), direct);
            }
        }
    }

    #[test]
    fn what_is_neither_request_nor_answer_is_refused() {
        for text in ["", "null", "{}", r#"{"tools":[],"messages":[{}]}"#, r#"{"tools":[7],"messages":[]}"#] {
            assert!(answer(text).is_err(), "{text}");
        }
        for text in ["", "{}", "[7]", "[{}]", r#"[{"tool_end":{}}]"#, r#"[{"video":1}]"#] {
            assert_eq!(deltas(text), None, "{text}");
        }
    }
}
