//! The OpenAI Chat Completions wire and its dialects: `POST {baseUrl}/chat/completions`.
//!
//! Dozens of servers speak it and each in its own way. Reading accepts every deviation known to us; each has a
//! recorded or reconstructed stream among the tests. What cannot be both ways is in `dialect`.

use std::borrow::Cow;

use serde_json::Value;

use super::config::ModelConfig;
use super::content::{Part, audio_format, hears, part};
use super::decoder;
use super::dialect::{Dialect, Proof, is_strict};
use super::failure::{Fault, Report, told};
use super::gemini::FOREIGN;
use super::json;
use super::openai_calls::{Calls, split_signature};
use super::openrouter::{self, Details};
use super::scan::Scan;
use super::types::{Block, Delta, Message, Role, StopReason, Usage};
use super::wire::invalid_input;

/// How long the ids of calls are for strict models.
const STRICT_ID: usize = 9;

/// Appends the system prompt.
pub(super) fn system(out: &mut String, system: &str) {
    json::comma(out);
    out.push_str(r#"{"role":"system""#);
    json::field(out, "content", system);
    out.push('}');
}

/// Writes the messages of one conversation.
#[derive(Debug)]
pub(super) struct Writer {
    dialect: Dialect,
    /// Images of tool results. A `tool` message holds only text, so they follow in a user message; but not before
    /// every result is there, because nothing may stand between the results of one turn.
    images: String,
    /// The model hears what tools give.
    hears: bool,
    /// Between results and the user something has to be said, and ids are nine letters and digits.
    strict: bool,
    /// The last message is a result.
    answered: bool,
    proof: Proof,
}

/// What the model says between results and the user, where it must.
const BRIDGE: &str = r#"{"role":"assistant","content":"I have the results."}"#;

impl Writer {
    pub(super) fn new(config: &ModelConfig) -> Writer {
        Writer {
            dialect: Dialect::of(config),
            images: String::new(),
            hears: hears(&config.id),
            strict: is_strict(config),
            answered: false,
            proof: Proof::of(config),
        }
    }

    /// The id of a call as it is sent: what a strict model refuses becomes its hash.
    fn id<'i>(&self, id: &'i str) -> Cow<'i, str> {
        if !self.strict || id.len() == STRICT_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Cow::Borrowed(id);
        }
        // FNV-1a: ids of one conversation have to differ, nobody tries to make them collide.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        let letter = |at: usize| char::from(b"abcdefghijklmnopqrstuvwxyz012345"[(hash >> (7 * at)) as usize & 31]);
        Cow::Owned((0..STRICT_ID).map(letter).collect())
    }

    /// Appends what has to stand between results and the user.
    fn bridge(&self, out: &mut String) {
        if self.strict && self.answered {
            json::comma(out);
            out.push_str(BRIDGE);
        }
    }

    /// Appends what the message becomes: any number of JSON objects.
    pub(super) fn message(&mut self, out: &mut String, message: &Message) {
        if message.role == Role::Assistant {
            self.flush(out);
            return self.assistant(out, message);
        }
        for block in &message.content {
            if let Block::ToolResult { tool_use_id, content, is_error } = block {
                self.result(out, tool_use_id, content, *is_error);
            }
        }
        let mut media = String::new();
        for block in &message.content {
            match block {
                Block::Image { data, mime_type } => image(&mut media, mime_type, data),
                Block::Audio { data, mime_type } => audio(&mut media, mime_type, data),
                _ => {}
            }
        }
        let text = message.text();
        if text.is_empty() && media.is_empty() {
            return;
        }
        self.flush(out);
        self.bridge(out);
        self.answered = false;
        json::comma(out);
        out.push_str(r#"{"role":"user""#);
        if media.is_empty() {
            json::field(out, "content", &text);
        } else {
            out.push_str(r#","content":["#);
            out.push_str(&media);
            if !text.is_empty() {
                out.push_str(r#",{"type":"text""#);
                json::field(out, "text", &text);
                out.push('}');
            }
            out.push(']');
        }
        out.push('}');
    }

    /// Appends the images that still wait for their message.
    pub(super) fn pending(&self, out: &mut String) {
        if !self.images.is_empty() {
            self.bridge(out);
            json::comma(out);
            out.push_str(r#"{"role":"user","content":[{"type":"text","text":"Images from the tool results:"},"#);
            out.push_str(&self.images);
            out.push_str("]}");
        }
    }

    fn flush(&mut self, out: &mut String) {
        self.pending(out);
        self.answered &= self.images.is_empty();
        self.images.clear();
    }

    fn assistant(&mut self, out: &mut String, message: &Message) {
        let text = message.text();
        let mut calls = String::new();
        let mut details = String::new();
        let mut reasoning = String::new();
        let mut proof = None;
        for block in &message.content {
            match block {
                Block::Thinking { text, signature } => {
                    reasoning.push_str(text);
                    proof = signature.as_deref().and_then(split_signature);
                    if self.proof == Proof::Details && details.is_empty() {
                        signature.iter().for_each(|signature| openrouter::write(&mut details, signature));
                    }
                }
                Block::ToolUse { id, name, input, invalid_input: invalid } => {
                    let foreign = self.proof == Proof::Demanded && calls.is_empty();
                    json::comma(&mut calls);
                    calls.push('{');
                    json::field(&mut calls, "id", &self.id(id));
                    calls.push_str(r#","type":"function","function":{"#);
                    json::field(&mut calls, "name", name);
                    let arguments = invalid.as_deref().map_or_else(|| crate::json::text(input), invalid_input);
                    json::field(&mut calls, "arguments", &arguments);
                    calls.push('}');
                    if let Some((vendor, signature)) = proof.take().or(foreign.then_some(("google", FOREIGN))) {
                        calls.push_str(r#","extra_content":{"#);
                        json::key(&mut calls, vendor);
                        calls.push('{');
                        json::field(&mut calls, "thought_signature", signature);
                        calls.push_str("}}");
                    }
                    calls.push('}');
                }
                _ => {}
            }
        }
        if text.is_empty() && calls.is_empty() {
            return;
        }
        self.answered = false;
        json::comma(out);
        out.push_str(r#"{"role":"assistant","content":"#);
        if text.is_empty() && self.dialect != Dialect::WorkersAi {
            out.push_str("null");
        } else {
            json::string(out, &text);
        }
        if !calls.is_empty() {
            if self.dialect == Dialect::Reasoning {
                json::field(out, "reasoning_content", &reasoning);
            }
            out.push_str(&details);
            out.push_str(r#","tool_calls":["#);
            out.push_str(&calls);
            out.push(']');
        }
        out.push('}');
    }

    fn result(&mut self, out: &mut String, id: &str, content: &[Value], is_error: bool) {
        self.answered = true;
        json::comma(out);
        out.push_str(r#"{"role":"tool""#);
        json::field(out, "tool_call_id", &self.id(id));
        // The wire has no field for failure, so the text must say it.
        let mut text = String::from(if is_error { "Error: " } else { "" });
        let bare = text.len();
        for item in content {
            if text.len() > bare {
                text.push('\n');
            }
            match part(item, self.hears) {
                Part::Text(part) => text.push_str(&part),
                Part::Image { media_type, data } => {
                    text.push_str("(an image, shown below)");
                    image(&mut self.images, media_type, data);
                }
                Part::Audio { media_type, data } => {
                    text.push_str("(a recording, played below)");
                    audio(&mut self.images, media_type, data);
                }
            }
        }
        if text.len() == bare {
            // Some servers refuse an empty message.
            text.push_str("(the tool returned nothing)");
        }
        json::field(out, "content", &text);
        out.push('}');
    }
}

fn image(out: &mut String, media_type: &str, data: &str) {
    json::comma(out);
    out.push_str(r#"{"type":"image_url","image_url":{"#);
    json::field(out, "url", &["data:", media_type, ";base64,", data].concat());
    out.push_str("}}");
}

fn audio(out: &mut String, media_type: &str, data: &str) {
    json::comma(out);
    out.push_str(r#"{"type":"input_audio","input_audio":{"#);
    json::field(out, "data", data);
    json::field(out, "format", audio_format(media_type));
    out.push_str("}}");
}

/// Reads the chunks of one answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    calls: Calls,
    details: Details,
    usage: Usage,
    finish: Option<StopReason>,
    refused: bool,
    done: bool,
}

impl decoder::Stream for Stream {
    fn plain(&mut self, name: &str, data: &str, out: &mut Vec<Delta>) -> bool {
        if name == "error" {
            return false;
        }
        let Some((reasoning, text)) = plain(data) else { return false };
        let piece = |text: Cow<'_, str>| (!text.is_empty()).then(|| text.into_owned());
        out.extend(piece(reasoning).map(Delta::Thinking));
        out.extend(piece(text).map(Delta::Text));
        true
    }

    /// Reads one chunk. An SSE event named `error` is one, whatever its shape.
    fn event(&mut self, name: &str, value: Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let mut value = told(name, value)?;
        self.count(value.get("usage").or_else(|| value.get("x_groq")?.get("usage")), out);
        let Some(Value::Array(choices)) = value.get_mut("choices") else {
            // Workers AI's own form, of its older models.
            out.extend(json::take(&mut value, "response").map(Delta::Text));
            if let Some(Value::Array(calls)) = value.get_mut("tool_calls") {
                self.calls.fragments(calls, out)?;
            }
            return Ok(());
        };
        // Only one answer was asked for; others are not ours.
        let first = |choice: &&mut Value| json::count(choice, "index") == 0;
        for choice in choices.iter_mut().filter(first) {
            self.choice(choice, out)?;
        }
        Ok(())
    }

    fn whole(&mut self, value: Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let answers = value.get("choices").and_then(Value::as_array).is_some_and(|choices| !choices.is_empty())
            || value.get("response").is_some();
        if value.is_object() {
            self.event("", value, out)?;
        }
        if !answers {
            return Err(Fault::Malformed("a JSON answer without `choices`"));
        }
        self.done(out)
    }

    fn done(&mut self, out: &mut Vec<Delta>) -> Result<(), Fault> {
        self.calls.end(out)?;
        if self.calls.any() {
            // Nobody demands back what stood before words alone.
            out.extend(self.details.sign().map(Delta::Signature));
        }
        let reason = if self.refused { Some(StopReason::Refusal) } else { self.finish };
        out.push(Delta::Stop(reason.unwrap_or(StopReason::Other)));
        self.done = true;
        Ok(())
    }

    /// Without `[DONE]` the answer is complete if a finish reason came.
    fn close(&mut self, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if self.finish.is_some() { self.done(out) } else { Ok(()) }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

/// Reasoning and text of a chunk that has at most these, and nothing else that means anything to us.
fn plain(data: &str) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    let [mut reasoning, mut alias, mut text] = [const { Cow::Borrowed("") }; 3];
    // Of a key that comes twice the tolerant way reads one.
    let (mut lists, mut choices, mut deltas) = (0, 0, 0);
    Scan::fields(data, &mut |scan, key| match key {
        "choices" => {
            lists += 1;
            scan.array(&mut |scan| {
                choices += 1;
                scan.object(&mut |scan, key| match key {
                    "delta" => {
                        deltas += 1;
                        scan.object(&mut |scan, key| {
                            match key {
                                "content" => text = scan.string_or_null()?,
                                "reasoning_content" => reasoning = scan.string_or_null()?,
                                "reasoning" => alias = scan.string_or_null()?,
                                "tool_calls" | "function_call" | "refusal" | "reasoning_details" => scan.null()?,
                                _ => scan.skip()?,
                            }
                            Some(())
                        })
                    }
                    "index" => (scan.count()? == 0).then_some(()),
                    "finish_reason" => scan.null(),
                    "message" => None,
                    _ => scan.skip(),
                })
            })
        }
        "usage" | "error" => scan.null(),
        "object" => (scan.string()? == "chat.completion.chunk").then_some(()),
        "type" | "x_groq" | "response" | "tool_calls" => None,
        _ => scan.skip(),
    })?;
    let reasoning = if reasoning.is_empty() { alias } else { reasoning };
    (lists <= 1 && choices <= 1 && deltas <= 1).then_some((reasoning, text))
}

impl Stream {
    fn choice(&mut self, choice: &mut Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if let Some(reason) = choice.get("finish_reason").and_then(Value::as_str).filter(|reason| !reason.is_empty()) {
            self.finish = Some(match reason.to_ascii_lowercase().as_str() {
                // OpenRouter, where it does not say which: a call that could not be read (Gemini's `MALFORMED_FUNCTION_CALL`).
                "error" => {
                    let kind = json::take(choice, "native_finish_reason").unwrap_or_default();
                    let message = "the answer ended with an error".to_owned();
                    return Err(Fault::Reported(Report { kind, message, status: None }));
                }
                "stop" | "end_turn" | "eos" => StopReason::EndTurn,
                "tool_calls" | "function_call" | "tool_use" => StopReason::ToolUse,
                "length" | "max_tokens" | "model_length" => StopReason::MaxTokens,
                "content_filter" | "refusal" | "safety" => StopReason::Refusal,
                _ => StopReason::Other,
            });
        }
        // A stream that repeats the whole `message` beside each `delta` (Perplexity) means the delta.
        let key = if choice.get("delta").is_some_and(Value::is_object) { "delta" } else { "message" };
        let Some(delta) = choice.get_mut(key) else { return Ok(()) };
        if let Some(Value::Array(details)) = delta.get_mut("reasoning_details") {
            self.details.take(details);
        }
        // OpenRouter has `reasoning`, DeepSeek and vLLM `reasoning_content`; some send both with one content.
        let reasoning = json::take(delta, "reasoning_content").or_else(|| json::take(delta, "reasoning"));
        out.extend(reasoning.map(Delta::Thinking));
        match delta.get_mut("content") {
            Some(Value::String(text)) if !text.is_empty() => out.push(Delta::Text(std::mem::take(text))),
            Some(Value::Array(parts)) => parts.iter_mut().for_each(|part| content_part(part, out)),
            _ => {}
        }
        if let Some(text) = json::take(delta, "refusal") {
            self.refused = true;
            out.push(Delta::Text(text));
        }
        if let Some(Value::Array(fragments)) = delta.get_mut("tool_calls") {
            self.calls.fragments(fragments, out)?;
        } else if let Some(function @ Value::Object(_)) = delta.get_mut("function_call") {
            // The form before tools: one call, without id and index.
            self.calls.fragments(&mut [function.take()], out)?;
        }
        Ok(())
    }

    fn count(&mut self, usage: Option<&Value>, out: &mut Vec<Delta>) {
        let Some(usage) = usage.filter(|usage| usage.is_object()) else { return };
        let detail = |of: &str, key: &str| usage.get(of).map_or(0, |details| json::count(details, key));
        let cached = detail("prompt_tokens_details", "cached_tokens");
        let usage = Usage {
            input_tokens: json::count(usage, "prompt_tokens"),
            output_tokens: json::count(usage, "completion_tokens"),
            cache_read_tokens: cached.max(json::count(usage, "prompt_cache_hit_tokens")),
            cache_write_tokens: detail("prompt_tokens_details", "cache_write_tokens"),
            reasoning_tokens: detail("completion_tokens_details", "reasoning_tokens"),
            cost: 0,
        };
        if usage != self.usage {
            self.usage = usage;
            out.push(Delta::Usage(usage));
        }
    }
}

/// A part of a content array, as Mistral's reasoning models stream it: text, or thinking that is an array again.
fn content_part(part: &mut Value, out: &mut Vec<Delta>) {
    out.extend(json::take(part, "text").map(Delta::Text));
    match part.get_mut("thinking") {
        Some(Value::Array(parts)) => {
            out.extend(parts.iter_mut().filter_map(|part| json::take(part, "text")).map(Delta::Thinking));
        }
        Some(Value::String(text)) => out.push(Delta::Thinking(std::mem::take(text))),
        _ => {}
    }
}
