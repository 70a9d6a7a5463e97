//! The Google Gemini wire: `POST {baseUrl}/v1beta/models/{id}:streamGenerateContent?alt=sse`.
//!
//! In scope: text, thoughts, function calls, images in their results, thought signatures (kept and returned in their
//! place). Out of scope: the provider's own tools, generated media; parts of unknown kind are passed over.

use serde_json::Value;

use super::content::{Part, part};
use super::decoder;
use super::failure::{Fault, Report, told};
use super::json;
use super::openai_calls::split_signature;
use super::types::{Block, Delta, Message, Role, StopReason, Usage};
use super::wire::{MAX_CALLS, TOO_MANY_CALLS, invalid_input, made_up_id};

/// What Gemini 3 takes for the signature of a call that it did not make, such as one of another model before it:
/// docs, "Thought signatures", FAQ. Without any it refuses the request.
pub(super) const FOREIGN: &str = "skip_thought_signature_validator";

/// Writes the messages of one conversation.
#[derive(Debug)]
pub(super) struct Writer {
    /// Whose message is still open: messages of one role become one, since the API counts the results of a turn.
    open: Option<Role>,
    /// Ids and names of the last turn's calls. A result has to name its function.
    calls: Vec<(String, String)>,
    signs: bool,
}

impl Writer {
    /// For a model of this id.
    pub(super) fn new(id: &str) -> Writer {
        Writer { open: None, calls: Vec::new(), signs: id.contains("gemini-3") }
    }

    /// Appends the message; nothing when it has nothing to say.
    pub(super) fn message(&mut self, out: &mut String, message: &Message) {
        let mut parts = String::new();
        match message.role {
            Role::User => self.user(&mut parts, message),
            Role::Assistant => self.model(&mut parts, message),
        }
        if parts.is_empty() {
            return;
        }
        if self.open == Some(message.role) {
            out.push(',');
        } else {
            self.close(out);
            json::comma(out);
            out.push_str(match message.role {
                Role::User => r#"{"role":"user","parts":["#,
                Role::Assistant => r#"{"role":"model","parts":["#,
            });
            self.open = Some(message.role);
        }
        out.push_str(&parts);
    }

    /// Closes the last message.
    pub(super) fn close(&self, out: &mut String) {
        if self.open.is_some() {
            out.push_str("]}");
        }
    }

    fn user(&self, parts: &mut String, message: &Message) {
        let mut images = String::new();
        for block in &message.content {
            if let Block::ToolResult { tool_use_id, content, is_error } = block {
                self.result(parts, &mut images, tool_use_id, content, *is_error);
            }
        }
        // Inside of a result only the newest models take images, beside it all do.
        if !images.is_empty() {
            json::comma(parts);
            parts.push_str(&images);
        }
        for block in &message.content {
            if let Block::Image { data, mime_type } | Block::Audio { data, mime_type } = block {
                json::comma(parts);
                inline(parts, mime_type, data);
            }
        }
        text_part(parts, &message.text());
    }

    fn result(&self, parts: &mut String, images: &mut String, id: &str, content: &[Value], is_error: bool) {
        json::comma(parts);
        parts.push_str(r#"{"functionResponse":{"#);
        json::field(parts, "id", id);
        let known = self.calls.iter().find(|(call, _)| call == id);
        json::field(parts, "name", known.map_or("unknown", |(_, name)| name));
        let mut text = String::new();
        for item in content {
            if !text.is_empty() {
                text.push('\n');
            }
            match part(item, true) {
                Part::Text(part) => text.push_str(&part),
                Part::Image { media_type, data } => {
                    text.push_str("(an image, shown below)");
                    json::comma(images);
                    inline(images, media_type, data);
                }
                Part::Audio { media_type, data } => {
                    text.push_str("(a recording, played below)");
                    json::comma(images);
                    inline(images, media_type, data);
                }
            }
        }
        parts.push_str(r#","response":{"#);
        json::field(parts, if is_error { "error" } else { "output" }, &text);
        parts.push_str("}}}");
    }

    fn model(&mut self, parts: &mut String, message: &Message) {
        let mut calls = Vec::new();
        let mut proof: Option<&str> = None;
        for block in &message.content {
            match block {
                Block::Thinking { signature, .. } => {
                    sign(parts, proof.take());
                    proof = signature.as_deref().and_then(split_signature).map(|(_, proof)| proof);
                }
                Block::Text { text } => {
                    sign(parts, proof.take());
                    text_part(parts, text);
                }
                Block::ToolUse { id, name, input, invalid_input: invalid } => {
                    let foreign = Some(FOREIGN).filter(|_| self.signs && calls.is_empty());
                    json::comma(parts);
                    parts.push_str(r#"{"functionCall":{"#);
                    json::field(parts, "id", id);
                    json::field(parts, "name", name);
                    json::key(parts, "args");
                    parts.push_str(&invalid.as_deref().map_or_else(|| crate::json::text(input), invalid_input));
                    parts.push('}');
                    if let Some(proof) = proof.take().or(foreign) {
                        json::field(parts, "thoughtSignature", proof);
                    }
                    parts.push('}');
                    calls.push((id.clone(), name.clone()));
                }
                _ => {}
            }
        }
        sign(parts, proof);
        if !calls.is_empty() {
            self.calls = calls;
        }
    }
}

fn inline(out: &mut String, media_type: &str, data: &str) {
    out.push_str(r#"{"inlineData":{"#);
    json::field(out, "mimeType", media_type);
    json::field(out, "data", data);
    out.push_str("}}");
}

/// A signature that no call follows: the last part of an answer, its text empty, is how the API itself sends it.
fn sign(parts: &mut String, proof: Option<&str>) {
    if let Some(proof) = proof {
        json::comma(parts);
        parts.push_str(r#"{"text":"""#);
        json::field(parts, "thoughtSignature", proof);
        parts.push('}');
    }
}

/// The API refuses empty parts.
fn text_part(parts: &mut String, text: &str) {
    if !text.is_empty() {
        json::comma(parts);
        parts.push('{');
        json::field(parts, "text", text);
        parts.push('}');
    }
}

/// Reads the chunks of one answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    calls: u32,
    usage: Usage,
    finish: Option<StopReason>,
    done: bool,
}

impl decoder::Stream for Stream {
    /// Chunks are few, large, and each with its usage.
    fn plain(&mut self, _: &str, _: &str, _: &mut Vec<Delta>) -> bool {
        false
    }

    fn event(&mut self, name: &str, value: Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let mut value = told(name, value)?;
        self.count(value.get("usageMetadata"), out);
        if value.get("promptFeedback").and_then(|feedback| feedback.get("blockReason")).is_some_and(Value::is_string) {
            self.finish = Some(StopReason::Refusal);
        }
        let Some(Value::Array(candidates)) = value.get_mut("candidates") else { return Ok(()) };
        // Only one answer was asked for; others are not ours.
        let Some(candidate) = candidates.iter_mut().find(|candidate| json::count(candidate, "index") == 0) else {
            return Ok(());
        };
        if let Some(Value::Array(parts)) = candidate.get_mut("content").and_then(|content| content.get_mut("parts")) {
            parts.iter_mut().try_for_each(|part| self.part(part, out))?;
        }
        self.reason(candidate)
    }

    /// One object, or all chunks in an array, as servers send them that pass over `alt=sse`.
    fn whole(&mut self, value: Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let chunks = match value {
            Value::Array(chunks) => chunks,
            value => vec![value],
        };
        for mut chunk in chunks {
            if let Some(report) = Report::find(&mut chunk) {
                return Err(Fault::Reported(report));
            }
            if chunk.is_object() {
                self.event("", chunk, out)?;
            }
        }
        if self.finish.is_none() {
            return Err(Fault::Malformed("a JSON answer without `candidates` that finished"));
        }
        self.close(out)
    }

    fn done(&mut self, out: &mut Vec<Delta>) -> Result<(), Fault> {
        self.close(out)
    }

    /// There is no end mark; the answer is complete if a finish reason came.
    fn close(&mut self, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if let Some(reason) = self.finish {
            out.push(Delta::Stop(reason));
            self.done = true;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

impl Stream {
    fn part(&mut self, part: &mut Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        // The vendor's name marks whose it is, as on the compatible endpoint.
        let signature =
            json::take(part, "thoughtSignature").map(|proof| Delta::Signature(["google:", &proof].concat()));
        if let Some(call @ Value::Object(_)) = part.get_mut("functionCall") {
            let index = self.calls;
            if index >= MAX_CALLS {
                return Err(Fault::TooMany(TOO_MANY_CALLS));
            }
            let Some(name) = json::take(call, "name") else {
                return Err(Fault::Malformed("a function call without a name"));
            };
            self.calls += 1;
            out.extend(signature);
            let id = json::take(call, "id").unwrap_or_else(|| made_up_id(index));
            out.push(Delta::ToolStart { index, id, name });
            if let Some(args) = call.get("args").filter(|args| !args.is_null()) {
                out.push(Delta::ToolInput { index, json: crate::json::text(args) });
            }
            out.push(Delta::ToolEnd { index });
            return Ok(());
        }
        let thought = part.get("thought").and_then(Value::as_bool) == Some(true);
        out.extend(json::take(part, "text").map(if thought { Delta::Thinking } else { Delta::Text }));
        out.extend(signature);
        Ok(())
    }

    fn reason(&mut self, candidate: &mut Value) -> Result<(), Fault> {
        let Some(reason) = json::take(candidate, "finishReason") else { return Ok(()) };
        self.finish = Some(match reason.as_str() {
            "FINISH_REASON_UNSPECIFIED" => return Ok(()),
            "STOP" => StopReason::EndTurn,
            "MAX_TOKENS" => StopReason::MaxTokens,
            "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "LANGUAGE"
            | "MODEL_ARMOR"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION" => StopReason::Refusal,
            // The model wrote something that the provider cannot read as a call. Asked again, it mostly does better.
            "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "MALFORMED_RESPONSE" => {
                // `finishMessage` repeats what it wrote, which is nothing for an error message.
                return Err(Fault::Reported(Report { kind: reason, ..Report::default() }));
            }
            _ => StopReason::Other,
        });
        Ok(())
    }

    fn count(&mut self, usage: Option<&Value>, out: &mut Vec<Delta>) {
        let Some(usage) = usage.filter(|usage| usage.is_object()) else { return };
        let thoughts = json::count(usage, "thoughtsTokenCount");
        let prompt = json::count(usage, "promptTokenCount");
        let usage = Usage {
            input_tokens: prompt.saturating_add(json::count(usage, "toolUsePromptTokenCount")),
            output_tokens: json::count(usage, "candidatesTokenCount").saturating_add(thoughts),
            cache_read_tokens: json::count(usage, "cachedContentTokenCount"),
            cache_write_tokens: 0,
            reasoning_tokens: thoughts,
            cost: 0,
        };
        if usage != self.usage {
            self.usage = usage;
            out.push(Delta::Usage(usage));
        }
    }
}
