//! The wire of models that the app brings itself: a function in place of a network, canonical messages in, deltas out.
//!
//! ```text
//! {"model":"mine","system":"...","tools":[{"name":...,"description":...,"inputSchema":...}],"messages":[...]}
//! data: {"type":"text","text":"It is "}
//! data: {"type":"tool_call","name":"add","input":{"a":1}}
//! ```
//!
//! The browser's own model is one: what it writes under a constraint comes as pieces of one JSON text (`json`), whose
//! member `say` is shown as it comes.

use std::borrow::Cow;

use serde_json::Value;

use super::decoder;
use super::failure::{Fault, told};
use super::json;
use super::types::{Block, Delta, Message, StopReason, ToolDefinition, Usage};
use super::wire::{MAX_CALLS, TOO_MANY_CALLS, made_up_id};

/// Appends the system prompt and the tools.
pub(super) fn head(out: &mut String, system: Option<&str>, tools: &[ToolDefinition]) {
    if let Some(system) = system {
        json::field(out, "system", system);
    }
    json::key(out, "tools");
    out.push('[');
    for (at, tool) in tools.iter().enumerate() {
        out.push_str(if at == 0 { "{" } else { ",{" });
        json::field(out, "name", &tool.name);
        json::field(out, "description", &tool.description);
        json::key(out, "inputSchema");
        out.push_str(&crate::json::text(&tool.input_schema));
        out.push('}');
    }
    out.push(']');
}

/// Appends the message as it is, but for what no model is shown.
pub(super) fn message(out: &mut String, message: &Message) {
    json::comma(out);
    let mut shown = Cow::Borrowed(message);
    if message.content.iter().any(|block| matches!(block, Block::Tools { .. })) {
        shown.to_mut().content.retain(|block| !matches!(block, Block::Tools { .. }));
    }
    // Messages have string keys only, so writing them cannot fail.
    out.push_str(&serde_json::to_string(&*shown).unwrap_or_default());
}

/// Reads the deltas of one answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    calls: u32,
    stop: Option<StopReason>,
    usage: Usage,
    constrained: String,
    /// How much of `say` was shown, in bytes.
    shown: usize,
    done: bool,
}

impl decoder::Stream for Stream {
    fn plain(&mut self, _: &str, _: &str, _: &mut Vec<Delta>) -> bool {
        false
    }

    fn event(&mut self, name: &str, value: Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let mut value = told(name, value)?;
        let text = json::take(&mut value, "text");
        match value.get("type").and_then(Value::as_str).unwrap_or("") {
            "text" => out.extend(text.map(Delta::Text)),
            "thinking" => out.extend(text.map(Delta::Thinking)),
            "json" => {
                self.constrained.push_str(&text.unwrap_or_default());
                self.say(out);
            }
            "tool_call" => self.call(&mut value, out)?,
            "usage" => {
                self.usage = Usage {
                    input_tokens: json::count(&value, "inputTokens"),
                    output_tokens: json::count(&value, "outputTokens"),
                    cache_read_tokens: json::count(&value, "cacheReadTokens"),
                    cache_write_tokens: json::count(&value, "cacheWriteTokens"),
                    reasoning_tokens: json::count(&value, "reasoningTokens"),
                    cost: 0,
                };
                out.push(Delta::Usage(self.usage));
            }
            "stop" => {
                self.stop = Some(match value.get("reason").and_then(Value::as_str).unwrap_or("") {
                    "end_turn" => StopReason::EndTurn,
                    "tool_use" => StopReason::ToolUse,
                    "max_tokens" => StopReason::MaxTokens,
                    "stop_sequence" => StopReason::StopSequence,
                    "refusal" => StopReason::Refusal,
                    _ => StopReason::Other,
                });
            }
            // Of tomorrow.
            _ => {}
        }
        Ok(())
    }

    fn whole(&mut self, _: Value, _: &mut Vec<Delta>) -> Result<(), Fault> {
        Err(Fault::Malformed("an answer that is no stream"))
    }

    /// The function has no more to give: that is the end.
    fn close(&mut self, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if !self.constrained.is_empty() {
            let Ok(mut value) = serde_json::from_slice::<Value>(self.constrained.as_bytes()) else {
                // Cut short; the run asks again.
                return Ok(());
            };
            if let Some(Value::Array(calls)) = value.get_mut("calls") {
                calls.iter_mut().try_for_each(|call| self.call(call, out))?;
            }
        }
        out.push(Delta::Stop(self.stop.unwrap_or(StopReason::EndTurn)));
        self.done = true;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

impl Stream {
    fn call(&mut self, call: &mut Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let index = self.calls;
        if index >= MAX_CALLS {
            return Err(Fault::TooMany(TOO_MANY_CALLS));
        }
        let Some(name) = json::take(call, "name") else { return Err(Fault::Malformed("a tool call without a name")) };
        self.calls += 1;
        let id = json::take(call, "id").unwrap_or_else(|| made_up_id(index));
        let json = match call.get("input") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(input) => crate::json::text(input),
        };
        out.push(Delta::ToolStart { index, id, name });
        if !json.is_empty() {
            out.push(Delta::ToolInput { index, json });
        }
        out.push(Delta::ToolEnd { index });
        Ok(())
    }

    /// Shows what has come of the member `say`, which is the first one.
    fn say(&mut self, out: &mut Vec<Delta>) {
        let Some((before, rest)) = self.constrained.split_once("\"say\"") else { return };
        let Some(from) = rest.trim_start().strip_prefix(':').and_then(|rest| rest.trim_start().strip_prefix('"'))
        else {
            return;
        };
        if before.contains('"') {
            return;
        }
        // Up to the closing quote, or to the last place that no escape goes across.
        let (mut end, mut escape) = (0, 0);
        for (at, char) in from.char_indices() {
            match char {
                _ if escape > 0 => escape -= if escape == 5 && char != 'u' { 5 } else { 1 },
                '"' => break,
                '\\' => escape = 5,
                _ => {}
            }
            if escape == 0 {
                end = at + char.len_utf8();
            }
        }
        let mut quoted = String::from("\"");
        quoted.push_str(&from[..end]);
        quoted.push('"');
        // Half of a surrogate pair is none yet.
        let Ok(Value::String(text)) = serde_json::from_slice(quoted.as_bytes()) else { return };
        if let Some(new) = text.get(self.shown..).filter(|new| !new.is_empty()) {
            out.push(Delta::Text(new.to_owned()));
            self.shown = text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::decoder::Stream as _;
    use super::*;
    use serde_json::json;

    fn read(events: &[Value]) -> Vec<Delta> {
        let (mut stream, mut out) = (Stream::default(), Vec::new());
        for event in events {
            stream.event("", event.clone(), &mut out).unwrap();
        }
        stream.close(&mut out).unwrap();
        assert!(stream.is_done());
        out
    }

    #[test]
    fn what_a_function_gives_becomes_deltas() {
        let deltas = read(&[
            json!({ "type": "thinking", "text": "hm" }),
            json!({ "type": "text", "text": "It is " }),
            json!({ "type": "of_tomorrow" }),
            json!({ "type": "tool_call", "name": "add", "input": { "a": 1 } }),
            json!({ "type": "tool_call", "id": "x", "name": "now" }),
            json!({ "type": "usage", "inputTokens": 3, "outputTokens": 2.0 }),
            json!({ "type": "stop", "reason": "max_tokens" }),
        ]);
        let call = |index, id: &str, name: &str| Delta::ToolStart { index, id: id.into(), name: name.into() };
        assert_eq!(
            deltas,
            [
                Delta::Thinking("hm".into()),
                Delta::Text("It is ".into()),
                call(0, "call00000", "add"),
                Delta::ToolInput { index: 0, json: r#"{"a":1}"#.into() },
                Delta::ToolEnd { index: 0 },
                call(1, "x", "now"),
                Delta::ToolEnd { index: 1 },
                Delta::Usage(Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() }),
                Delta::Stop(StopReason::MaxTokens),
            ]
        );
    }

    #[test]
    fn a_constrained_answer_is_shown_as_it_comes_wherever_it_is_cut() {
        let answer = json!({ "say": "It's \"hé🙂\n\\\u{1}.", "calls": [{ "name": "add", "input": { "say": "no" } }] });
        let mut escaped = answer.to_string();
        for (plain, written) in [("🙂", "\\ud83d\\ude42"), ("é", "\\u00e9")] {
            escaped = escaped.replace(plain, written);
        }
        for whole in [answer.to_string(), format!("{answer:#}"), escaped] {
            for size in [1, 2, 3, 5, 1000] {
                let chars: Vec<char> = whole.chars().collect();
                let pieces = chars.chunks(size).map(|piece| piece.iter().collect::<String>());
                let deltas = read(&pieces.map(|text| json!({ "type": "json", "text": text })).collect::<Vec<_>>());
                let said = deltas.iter().filter_map(|delta| match delta {
                    Delta::Text(text) => Some(text.as_str()),
                    _ => None,
                });
                assert_eq!(said.collect::<String>(), answer["say"].as_str().unwrap(), "{whole}");
                let calls =
                    deltas.iter().filter(|delta| matches!(delta, Delta::ToolStart { name, .. } if name == "add"));
                assert_eq!(calls.count(), 1);
            }
        }
    }

    #[test]
    fn a_constrained_answer_that_is_cut_is_no_answer() {
        let (mut stream, mut out) = (Stream::default(), Vec::new());
        stream.event("", json!({ "type": "json", "text": "{\"say\": \"It" }), &mut out).unwrap();
        stream.close(&mut out).unwrap();
        assert!(!stream.is_done() && out == [Delta::Text("It".into())], "{out:?}");
        let error = json!({ "error": { "message": "the app's model failed" } });
        assert!(matches!(stream.event("", error, &mut out), Err(Fault::Reported(_))));
        let nameless = json!({ "type": "tool_call" });
        assert!(matches!(stream.event("", nameless, &mut out), Err(Fault::Malformed(_))));
    }
}
