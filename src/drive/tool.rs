//! One tool call: to an MCP server or to a function of the app.

use serde_json::{Value, json};

use crate::agent::event::Outcome;
use crate::agent::fact::ToolOutput;
use crate::drive::wait::{Cancel, Stop, within};
use crate::error::{Code, Error, Result, Retry};
use crate::mcp::types::CallToolResult;
use crate::options::FunctionId;
use crate::platform::{AppCall, Platform};
use crate::time::Millis;

/// Calls a tool of the app.
///
/// # Errors
///
/// `timeout` and `cancelled`. A function that throws has failed as a tool: that is a result.
pub(crate) async fn call_app<P: Platform>(
    platform: &P,
    function: FunctionId,
    name: &str,
    input: Value,
    timeout: Millis,
    cancel: &Cancel,
) -> Result<CallToolResult> {
    let call = AppCall { function, argument: input };
    match within(platform, timeout, cancel, platform.call_app(call)).await {
        Ok(Ok(value)) => Ok(result_of(value)),
        Ok(Err(thrown)) => Ok(CallToolResult { content: vec![text(thrown)], is_error: true, ..Default::default() }),
        Err(Stop::Cancelled) => Err(Error::cancelled(name)),
        Err(Stop::TimedOut) => {
            let message = format!("{name}: the app's function did not return within {} ms", timeout.0);
            Err(Error::new(Code::Timeout, message).retry(Retry::Never))
        }
    }
}

/// Reads what a function of the app returned: a whole `CallToolResult`, a text, or any other JSON value.
fn result_of(value: Value) -> CallToolResult {
    match value {
        Value::Null => CallToolResult { content: vec![text("(no result)".into())], ..Default::default() },
        Value::String(string) => CallToolResult { content: vec![text(string)], ..Default::default() },
        Value::Object(mut map) if map.get("content").is_some_and(is_content) => {
            let content = match map.remove("content") {
                Some(Value::Array(content)) => content,
                _ => Vec::new(),
            };
            CallToolResult {
                content,
                structured_content: map.remove("structuredContent"),
                is_error: map.get("isError").and_then(Value::as_bool).unwrap_or(false),
                ..Default::default()
            }
        }
        other => CallToolResult {
            content: vec![text(crate::json::text(&other))],
            structured_content: Some(other),
            ..Default::default()
        },
    }
}

/// An array of content blocks, each with a `type`; a field `content` of the app's own data is something else.
fn is_content(value: &Value) -> bool {
    let is_block = |block: &Value| block.get("type").is_some_and(Value::is_string);
    value.as_array().is_some_and(|blocks| blocks.iter().all(is_block))
}

fn text(text: String) -> Value {
    json!({ "type": "text", "text": text })
}

/// What the run is told of a call that ended.
pub(crate) fn output_of(result: CallToolResult) -> ToolOutput {
    ToolOutput {
        content: result.content,
        structured_content: result.structured_content,
        is_error: result.is_error,
        outcome: match result.cached {
            _ if result.is_error => Outcome::Failed,
            Some(_) => Outcome::Cached,
            None => Outcome::Ok,
        },
        cached: result.cached,
        handle: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_functions_return_becomes_content() {
        assert_eq!(result_of(json!("hi")).content, [json!({ "type": "text", "text": "hi" })]);
        let data = result_of(json!({ "b": 1, "a": [2] }));
        assert_eq!(data.content, [json!({ "type": "text", "text": r#"{"b":1,"a":[2]}"# })]);
        assert_eq!(data.structured_content, Some(json!({ "b": 1, "a": [2] })));
        let whole = result_of(json!({ "content": [{ "type": "text", "text": "no" }], "isError": true }));
        assert!(whole.is_error && whole.structured_content.is_none());
        let own = result_of(json!({ "content": "mine" }));
        assert_eq!(own.structured_content, Some(json!({ "content": "mine" })));
    }
}
