//! The OpenAI Responses wire: `POST {baseUrl}/responses`. Reading is in `responses_stream`.
//!
//! In scope: text, refusals, function calls, images in their results, reasoning (its summary shown, its sealed text
//! returned). Nothing is stored at the provider (`store: false`), so each request holds the whole history.
//! Out of scope: the provider's own tools; items and events of unknown kind are passed over.

use serde_json::Value;

use super::config::Provider;
use super::content::{Part, UNHEARD, part};
use super::found::{self, Found};
use super::json;
use super::tools::tool_definitions;
use super::types::{Block, Message, Role, ToolDefinition};
use super::wire::invalid_input;

/// What signatures of this wire begin with. `id:` and the sealed text follow.
pub(super) const VENDOR: &str = "openai:";

/// Whether the model may think, so that its sealed reasoning can be asked for.
///
/// Models that do not are known by name; for these OpenAI refuses the question ("Encrypted content is not supported
/// with this model"). Other servers pass over it.
pub(super) fn thinks(id: &str) -> bool {
    let name = id.rsplit('/').next().unwrap_or(id);
    !["gpt-3", "gpt-4", "chatgpt"].iter().any(|plain| name.starts_with(plain)) && !name.contains("-chat")
}

/// Appends the items that the message becomes. A model that does not think takes no `reasoning` of another.
pub(super) fn message(out: &mut String, message: &Message, reasoning: bool, found: &Found) {
    if message.role == Role::Assistant {
        return assistant(out, message, reasoning);
    }
    for block in &message.content {
        if let Block::ToolResult { tool_use_id, content, is_error } = block {
            result(out, tool_use_id, content, *is_error);
        }
    }
    for block in &message.content {
        if let Block::ToolResult { tool_use_id, .. } = block {
            added(out, found.by(tool_use_id));
        }
    }
    let mut media = String::new();
    for block in &message.content {
        match block {
            Block::Tools { names, anew: false } => added(out, found.by(&found::key(names))),
            Block::Image { data, mime_type } => {
                json::comma(&mut media);
                image(&mut media, mime_type, data);
            }
            Block::Audio { .. } => {
                json::comma(&mut media);
                media.push_str(r#"{"type":"input_text""#);
                json::field(&mut media, "text", UNHEARD);
                media.push('}');
            }
            _ => {}
        }
    }
    let text = message.text();
    if !media.is_empty() {
        json::comma(out);
        out.push_str(r#"{"type":"message","role":"user","content":["#);
        out.push_str(&media);
        if !text.is_empty() {
            out.push_str(r#",{"type":"input_text""#);
            json::field(out, "text", &text);
            out.push('}');
        }
        out.push_str("]}");
    } else if !text.is_empty() {
        spoken(out, r#"{"type":"message","role":"user","content":[{"type":"input_text""#, &text);
    }
}

fn image(out: &mut String, media_type: &str, data: &str) {
    out.push_str(r#"{"type":"input_image""#);
    json::field(out, "image_url", &["data:", media_type, ";base64,", data].concat());
    out.push('}');
}

fn spoken(out: &mut String, start: &str, text: &str) {
    json::comma(out);
    out.push_str(start);
    json::field(out, "text", text);
    out.push_str("}]}");
}

fn assistant(out: &mut String, message: &Message, reasoning: bool) {
    // The API refuses reasoning that nothing follows, as in an answer that was cut.
    let mut held = String::new();
    let flush = |out: &mut String, held: &mut String| {
        if !held.is_empty() {
            json::comma(out);
            out.push_str(&std::mem::take(held));
        }
    };
    for block in &message.content {
        match block {
            Block::Thinking { text, signature: Some(signature) } if reasoning => {
                let proof = signature.strip_prefix(VENDOR).and_then(|proof| proof.split_once(':'));
                let Some((id, sealed)) = proof else { continue };
                json::comma(&mut held);
                held.push_str(r#"{"type":"reasoning""#);
                if !id.is_empty() {
                    json::field(&mut held, "id", id);
                }
                held.push_str(r#","summary":["#);
                if !text.is_empty() {
                    held.push_str(r#"{"type":"summary_text""#);
                    json::field(&mut held, "text", text);
                    held.push('}');
                }
                held.push(']');
                json::field(&mut held, "encrypted_content", sealed);
                held.push('}');
            }
            Block::Text { text } if !text.is_empty() => {
                flush(out, &mut held);
                spoken(out, r#"{"type":"message","role":"assistant","content":[{"type":"output_text""#, text);
            }
            Block::ToolUse { id, name, input, invalid_input: invalid } => {
                flush(out, &mut held);
                json::comma(out);
                out.push_str(r#"{"type":"function_call""#);
                json::field(out, "call_id", id);
                json::field(out, "name", name);
                let arguments = invalid.as_deref().map_or_else(|| crate::json::text(input), invalid_input);
                json::field(out, "arguments", &arguments);
                out.push('}');
            }
            _ => {}
        }
    }
}

/// Appends the item that adds tools where it stands.
fn added(out: &mut String, tools: &[ToolDefinition]) {
    if !tools.is_empty() {
        json::comma(out);
        out.push_str(r#"{"type":"additional_tools","role":"developer","tools":"#);
        out.push_str(&crate::json::text(&tool_definitions(Provider::OpenAiResponses, tools)));
        out.push('}');
    }
}

fn result(out: &mut String, id: &str, content: &[Value], is_error: bool) {
    json::comma(out);
    out.push_str(r#"{"type":"function_call_output""#);
    json::field(out, "call_id", id);
    json::key(out, "output");
    // The wire has no field for failure, so the text must say it.
    let mut text = String::from(if is_error { "Error: " } else { "" });
    let bare = text.len();
    let mut images = String::new();
    for item in content {
        match part(item, false) {
            Part::Text(part) => {
                if text.len() > bare {
                    text.push('\n');
                }
                text.push_str(&part);
            }
            Part::Image { media_type, data } => {
                images.push(',');
                image(&mut images, media_type, data);
            }
            Part::Audio { .. } => text.push_str(UNHEARD),
        }
    }
    if text.len() == bare {
        text.push_str(if images.is_empty() { "(the tool returned nothing)" } else { "(an image)" });
    }
    if images.is_empty() {
        json::string(out, &text);
    } else {
        out.push_str(r#"[{"type":"input_text""#);
        json::field(out, "text", &text);
        out.push('}');
        out.push_str(&images);
        out.push(']');
    }
    out.push('}');
}
