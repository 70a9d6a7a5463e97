//! The Anthropic Messages wire: `POST {baseUrl}/v1/messages`.
//!
//! In scope: text, images in tool results, tool use, reasoning (kept and returned in order, with its signatures),
//! prompt-cache breakpoints. Out of scope: server tools, citations; blocks and events of unknown kind are passed
//! over, as the API's versioning policy asks of clients.

use std::borrow::Cow;

use serde_json::Value;

use super::config::Provider;
use super::content::{Part, UNHEARD, part};
use super::decoder;
use super::failure::{Fault, Report};
use super::found::{self, Found};
use super::json;
use super::scan::Scan;
use super::tools::tool_definitions;
use super::types::{Block, Delta, Message, Role, StopReason, ToolDefinition, Usage};
use super::wire::{MAX_CALLS, TOO_MANY_CALLS, invalid_input, made_up_id};

/// What the API takes when the app names no limit; it demands one.
pub(super) const DEFAULT_MAX_TOKENS: u64 = 8192;

/// A prompt-cache breakpoint, as the last field of a block or tool.
pub(super) const BREAKPOINT: &str = r#","cache_control":{"type":"ephemeral"}"#;

/// Writes the messages of one conversation.
///
/// The provider caches the prompt up to each breakpoint, at most four. Tools and system prompt have one each, which
/// last; the other two end the last two user messages, and so move on from turn to turn. A marked block is the same
/// to the cache as an unmarked one. The older of the two is where the request before had its last: from a
/// breakpoint the provider looks back for what it knows, but only over 20 blocks, and parallel calls are more.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Where the breakpoints belong in the text of the messages; the last two places, the older one first.
    marks: [Option<usize>; 2],
}

impl Writer {
    /// Appends the message, as [`message`] does.
    pub(super) fn message(&mut self, out: &mut String, message: &Message, found: &Found) {
        let before = out.len();
        self::message(out, message, found);
        // Not in answers: their last block may be reasoning, which takes no breakpoint.
        if message.role == Role::User && out.len() > before {
            self.marks = [self.marks[1], Some(out.len() - "}]}".len())];
        }
    }

    /// Appends the messages from that byte on, with the breakpoints in their places.
    pub(super) fn marked(&self, out: &mut String, messages: &str, begin: usize) {
        let mut from = begin;
        for at in self.marks.into_iter().flatten().filter(|at| *at >= begin) {
            out.push_str(&messages[from..at]);
            out.push_str(BREAKPOINT);
            from = at;
        }
        out.push_str(&messages[from..]);
    }
}

/// Appends the system prompt, as a block because only blocks take a breakpoint.
pub(super) fn system(out: &mut String, system: &str) {
    // An empty block is refused.
    if system.trim().is_empty() {
        return;
    }
    json::key(out, "system");
    out.push_str(r#"[{"type":"text""#);
    json::field(out, "text", system);
    out.push_str(BREAKPOINT);
    out.push_str("}]");
}

/// Appends the tools: those of `found` behind the others, and left to the results that tell of them.
pub(super) fn tools(out: &mut String, tools: &[ToolDefinition], found: &Found) {
    let is_late = |tool: &&ToolDefinition| found.tools().any(|late| late.name == tool.name);
    let (late, first): (Vec<&ToolDefinition>, Vec<&ToolDefinition>) = tools.iter().partition(is_late);
    json::key(out, "tools");
    out.push_str(&crate::json::text(&tool_definitions(Provider::Anthropic, first)));
    // Tools that are left to results take none.
    out.insert_str(out.len() - "}]".len(), BREAKPOINT);
    out.pop();
    for tool in late {
        let definition = crate::json::text(&tool_definitions(Provider::Anthropic, [tool]));
        out.push(',');
        out.push_str(&definition[1..definition.len() - "}]".len()]);
        out.push_str(r#","defer_loading":true}"#);
    }
    out.push(']');
}

/// Appends the message as a JSON object; nothing when it has nothing to say.
pub(super) fn message(out: &mut String, message: &Message, found: &Found) {
    let start = out.len();
    json::comma(out);
    out.push_str(match message.role {
        Role::User => r#"{"role":"user","content":["#,
        Role::Assistant => r#"{"role":"assistant","content":["#,
    });
    let body = out.len();
    let is_result = |block: &&Block| matches!(block, Block::ToolResult { .. });
    // "Tool result blocks must come first in the content array; any text after": docs, "Handling tool results".
    message.content.iter().filter(is_result).for_each(|result| block(out, result, found));
    message.content.iter().filter(is_result).for_each(|result| beside(out, result, found));
    message.content.iter().filter(|item| !is_result(item)).for_each(|other| block(out, other, found));
    if out.len() == body {
        out.truncate(start);
    } else {
        out.push_str("]}");
    }
}

/// What a result says beside the tools that it has found, which it cannot hold itself.
fn beside(out: &mut String, block: &Block, found: &Found) {
    if let Block::ToolResult { tool_use_id, content, .. } = block
        && !found.by(tool_use_id).is_empty()
    {
        let others = content.iter().filter(|item| found::names(item).next().is_none());
        others.filter_map(|item| item.get("text")?.as_str()).for_each(|text| text_block(out, text));
    }
}

fn block(out: &mut String, block: &Block, found: &Found) {
    match block {
        Block::Text { text } => text_block(out, text),
        // Unsigned reasoning is refused, and so is that of other providers.
        Block::Thinking { text, signature: Some(signature) } if !signature.contains(':') => {
            json::comma(out);
            out.push_str(r#"{"type":"thinking""#);
            json::field(out, "thinking", text);
            json::field(out, "signature", signature);
            out.push('}');
        }
        Block::Thinking { .. } | Block::Compaction { .. } | Block::Tools { .. } => {}
        Block::Image { data, mime_type } => image_block(out, mime_type, data),
        Block::Audio { .. } => text_block(out, UNHEARD),
        Block::RedactedThinking { data } => {
            json::comma(out);
            out.push_str(r#"{"type":"redacted_thinking""#);
            json::field(out, "data", data);
            out.push('}');
        }
        Block::ToolUse { id, name, input, invalid_input: invalid } => {
            json::comma(out);
            out.push_str(r#"{"type":"tool_use""#);
            json::field(out, "id", &plain_id(id));
            json::field(out, "name", name);
            json::key(out, "input");
            out.push_str(&invalid.as_deref().map_or_else(|| crate::json::text(input), invalid_input));
            out.push('}');
        }
        Block::ToolResult { tool_use_id, content, is_error } => {
            json::comma(out);
            out.push_str(r#"{"type":"tool_result""#);
            json::field(out, "tool_use_id", &plain_id(tool_use_id));
            json::key(out, "content");
            out.push('[');
            let body = out.len();
            let late = found.by(tool_use_id);
            for tool in late {
                json::comma(out);
                out.push_str(r#"{"type":"tool_reference""#);
                json::field(out, "tool_name", &tool.name);
                out.push('}');
            }
            for item in content.iter().filter(|_| late.is_empty()) {
                match part(item, false) {
                    Part::Text(text) => text_block(out, &text),
                    // The API refuses anything but text in the result of a failed tool.
                    Part::Image { .. } if *is_error => text_block(out, "(left out: an image)"),
                    Part::Image { media_type, data } => image_block(out, media_type, data),
                    Part::Audio { .. } => text_block(out, UNHEARD),
                }
            }
            // It also refuses a failed tool that says nothing.
            if *is_error && out.len() == body {
                text_block(out, "The tool failed and said nothing.");
            }
            out.push(']');
            if *is_error {
                out.push_str(r#","is_error":true"#);
            }
            out.push('}');
        }
    }
}

/// "Text content blocks must contain non-whitespace text", says the API, so others are left out.
fn text_block(out: &mut String, text: &str) {
    if !text.trim().is_empty() {
        json::comma(out);
        out.push_str(r#"{"type":"text""#);
        json::field(out, "text", text);
        out.push('}');
    }
}

fn image_block(out: &mut String, media_type: &str, data: &str) {
    json::comma(out);
    out.push_str(r#"{"type":"image","source":{"type":"base64""#);
    json::field(out, "media_type", media_type);
    json::field(out, "data", data);
    out.push_str("}}");
}

/// Ids must match `[a-zA-Z0-9_-]+`; those of other providers, in a history, do not always.
fn plain_id(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    id.chars().map(plain).collect()
}

/// Reads the events of one answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    open: Vec<(u64, Kind)>,
    calls: u32,
    usage: Usage,
    input_tokens: u64,
    stop: Option<StopReason>,
    done: bool,
    id: Option<String>,
}

#[derive(Clone, Debug)]
enum Kind {
    Thinking {
        signature: String,
    },
    Tool(u32),
    /// Text, or something that this version does not know.
    Other,
}

impl decoder::Stream for Stream {
    fn plain(&mut self, _: &str, data: &str, out: &mut Vec<Delta>) -> bool {
        let Some((index, kind, piece)) = plain(data) else { return false };
        let piece = piece.into_owned();
        out.push(match kind {
            Piece::Text => Delta::Text(piece),
            Piece::Thinking => Delta::Thinking(piece),
            Piece::Input => match self.open.iter().rev().find(|(open, _)| Some(*open) == index) {
                Some((_, Kind::Tool(call))) => Delta::ToolInput { index: *call, json: piece },
                _ => return false,
            },
        });
        true
    }

    fn event(&mut self, name: &str, mut value: Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if let Some(report) = Report::find(&mut value) {
            return Err(Fault::Reported(report));
        }
        let kind = json::take(&mut value, "type");
        let index = value.get("index").and_then(Value::as_u64);
        match kind.as_deref().unwrap_or(name) {
            "content_block_delta" => self.delta(index, value.get_mut("delta").unwrap_or(&mut Value::Null), out)?,
            "content_block_start" => {
                let index = index.unwrap_or(u64::from(self.calls));
                self.stop_block(index, out);
                self.start(index, value.get_mut("content_block").unwrap_or(&mut Value::Null), out)?;
            }
            "content_block_stop" => {
                if let Some(index) = index.or(self.open.last().map(|(index, _)| *index)) {
                    self.stop_block(index, out);
                }
            }
            "message_start" => {
                self.id = value.get_mut("message").and_then(|message| json::take(message, "id"));
                self.count(value.get("message").and_then(|message| message.get("usage")), out);
            }
            "message_delta" => {
                self.count(value.get("usage"), out);
                if let Some(delta) = value.get("delta") {
                    self.reason(delta);
                }
            }
            "message_stop" => self.end(out),
            "error" => return Err(Fault::Reported(Report::find_any(value))),
            "ping" => {}
            _ if value.is_object() => {}
            _ => return Err(Fault::Malformed("an event that is no object")),
        }
        Ok(())
    }

    fn whole(&mut self, mut value: Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if let Some(report) = Report::find(&mut value) {
            return Err(Fault::Reported(report));
        }
        self.id = json::take(&mut value, "id");
        let Some(Value::Array(blocks)) = value.get_mut("content") else {
            return Err(Fault::Malformed("a JSON answer without `content`"));
        };
        for (index, block) in std::mem::take(blocks).iter_mut().enumerate() {
            self.start(index as u64, block, out)?;
            self.stop_block(index as u64, out);
        }
        self.count(value.get("usage"), out);
        self.reason(&value);
        self.end(out);
        Ok(())
    }

    fn id(&mut self) -> Option<String> {
        self.id.take()
    }

    /// True once `message_stop` came.
    fn is_done(&self) -> bool {
        self.done
    }
}

#[derive(Clone, Copy)]
enum Piece {
    Text,
    Thinking,
    Input,
}

/// Block index and piece of a `content_block_delta` that has no more than that.
fn plain(data: &str) -> Option<(Option<u64>, Piece, Cow<'_, str>)> {
    let mut index = None;
    let mut piece = None;
    let [mut outer, mut inner] = [const { Cow::Borrowed("") }; 2];
    Scan::fields(data, &mut |scan, key| {
        match key {
            "type" => outer = scan.string()?,
            "index" => index = Some(scan.count()?),
            "delta" if piece.is_none() => scan.object(&mut |scan, key| {
                let kind = match key {
                    "type" => {
                        inner = scan.string()?;
                        return Some(());
                    }
                    "text" => Piece::Text,
                    "thinking" => Piece::Thinking,
                    "partial_json" => Piece::Input,
                    _ => return scan.skip(),
                };
                piece.replace((kind, scan.string()?)).is_none().then_some(())
            })?,
            "delta" | "error" | "object" => return None,
            _ => scan.skip()?,
        }
        Some(())
    })?;
    let (kind, text) = piece.filter(|(_, text)| !text.is_empty() && outer == "content_block_delta")?;
    let expected = match kind {
        Piece::Text => "text_delta",
        Piece::Thinking => "thinking_delta",
        Piece::Input => "input_json_delta",
    };
    (inner == expected).then_some((index, kind, text))
}

impl Stream {
    fn start(&mut self, index: u64, block: &mut Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let kind = match json::take(block, "type").as_deref() {
            Some("text") => {
                out.extend(json::take(block, "text").map(Delta::Text));
                Kind::Other
            }
            Some("thinking") => {
                out.extend(json::take(block, "thinking").map(Delta::Thinking));
                Kind::Thinking { signature: json::take(block, "signature").unwrap_or_default() }
            }
            Some("redacted_thinking") => {
                out.extend(json::take(block, "data").map(Delta::RedactedThinking));
                Kind::Other
            }
            Some("tool_use") => {
                let call = self.calls;
                if call >= MAX_CALLS {
                    return Err(Fault::TooMany(TOO_MANY_CALLS));
                }
                self.calls += 1;
                let id = json::take(block, "id").unwrap_or_else(|| made_up_id(call));
                let Some(name) = json::take(block, "name") else {
                    return Err(Fault::Malformed("a tool use without a name"));
                };
                out.push(Delta::ToolStart { index: call, id, name });
                // A stream begins with `{}` and sends the arguments in pieces; only whole answers have them here.
                if let Some(input) =
                    block.get("input").filter(|input| input.as_object().is_some_and(|map| !map.is_empty()))
                {
                    out.push(Delta::ToolInput { index: call, json: crate::json::text(input) });
                }
                Kind::Tool(call)
            }
            _ => Kind::Other,
        };
        if self.open.len() >= MAX_CALLS as usize {
            return Err(Fault::TooMany("content blocks that never end"));
        }
        self.open.push((index, kind));
        Ok(())
    }

    fn delta(&mut self, index: Option<u64>, delta: &mut Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let open = match index {
            Some(index) => self.open.iter_mut().rev().find(|(open, _)| *open == index),
            None => self.open.last_mut(),
        };
        match json::take(delta, "type").as_deref() {
            Some("text_delta") => out.extend(json::take(delta, "text").map(Delta::Text)),
            Some("thinking_delta") => out.extend(json::take(delta, "thinking").map(Delta::Thinking)),
            Some("signature_delta") => {
                if let (Some((_, Kind::Thinking { signature })), Some(piece)) = (open, json::take(delta, "signature")) {
                    signature.push_str(&piece);
                }
            }
            Some("input_json_delta") => match (open, json::take(delta, "partial_json")) {
                (Some((_, Kind::Tool(index))), Some(json)) => out.push(Delta::ToolInput { index: *index, json }),
                (None, Some(_)) => return Err(Fault::Malformed("tool input outside of any content block")),
                // Of a block of unknown kind, such as a server tool, or an empty first piece.
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn stop_block(&mut self, index: u64, out: &mut Vec<Delta>) {
        let Some(at) = self.open.iter().rposition(|(open, _)| *open == index) else { return };
        match self.open.remove(at).1 {
            Kind::Thinking { signature } if !signature.is_empty() => out.push(Delta::Signature(signature)),
            Kind::Tool(index) => out.push(Delta::ToolEnd { index }),
            _ => {}
        }
    }

    /// Counts are cumulative and later events may leave some out, so the largest of each counts.
    fn count(&mut self, usage: Option<&Value>, out: &mut Vec<Delta>) {
        let Some(usage) = usage.filter(|usage| usage.is_object()) else { return };
        let before = self.usage;
        let raise = |known: &mut u64, key: &str| *known = (*known).max(json::count(usage, key));
        if let Some(details) = usage.get("output_tokens_details") {
            let thought = json::count(details, "thinking_tokens");
            self.usage.reasoning_tokens = self.usage.reasoning_tokens.max(thought);
        }
        raise(&mut self.input_tokens, "input_tokens");
        raise(&mut self.usage.output_tokens, "output_tokens");
        raise(&mut self.usage.cache_read_tokens, "cache_read_input_tokens");
        raise(&mut self.usage.cache_write_tokens, "cache_creation_input_tokens");
        let cached = self.usage.cache_read_tokens.saturating_add(self.usage.cache_write_tokens);
        self.usage.input_tokens = self.input_tokens.saturating_add(cached);
        if self.usage != before {
            out.push(Delta::Usage(self.usage));
        }
    }

    fn reason(&mut self, delta: &Value) {
        let Some(reason) = delta.get("stop_reason").and_then(Value::as_str) else { return };
        self.stop = Some(match reason {
            "end_turn" => StopReason::EndTurn,
            "tool_use" => StopReason::ToolUse,
            "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
            "stop_sequence" => StopReason::StopSequence,
            "refusal" => StopReason::Refusal,
            "pause_turn" => StopReason::PauseTurn,
            _ => StopReason::Other,
        });
    }

    fn end(&mut self, out: &mut Vec<Delta>) {
        while let Some((index, _)) = self.open.first() {
            self.stop_block(*index, out);
        }
        out.push(Delta::Stop(self.stop.unwrap_or(StopReason::Other)));
        self.done = true;
    }
}
