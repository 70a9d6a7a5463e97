//! Content blocks of tool results, as model wires can carry them.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// A part of a tool result.
pub(super) enum Part<'a> {
    /// Text for the model.
    Text(Cow<'a, str>),
    /// An image of a type that models read.
    Image {
        /// Such as `image/png`.
        media_type: &'a str,
        /// In base64.
        data: &'a str,
    },
    /// A recording of a type that models hear.
    Audio {
        /// Such as `audio/wav`.
        media_type: &'a str,
        /// In base64.
        data: &'a str,
    },
}

/// Stands for a recording where the wire or the model takes none.
pub(super) const UNHEARD: &str = "(left out: a recording, which this model cannot hear)";

/// Whether a model of that id hears what tools give, as far as the name tells. One that does not refuses the request.
pub(super) fn hears(id: &str) -> bool {
    ["audio", "omni", "voxtral", "gemini"].iter().any(|word| id.contains(word))
}

/// What the OpenAI formats call a recording's type.
pub(super) fn audio_format(media_type: &str) -> &str {
    match media_type.strip_prefix("audio/").unwrap_or(media_type) {
        "mpeg" => "mp3",
        "x-wav" | "wave" | "vnd.wave" => "wav",
        other => other,
    }
}

/// Sorts one MCP content block.
///
/// Text and images go as such; anything else becomes its JSON text. Binary data that no model can read (audio,
/// blobs, exotic images) is left out of that text, and the text says so: it would only fill the context.
pub(super) fn part(block: &Value, hears: bool) -> Part<'_> {
    let kind = block.get("type").and_then(Value::as_str);
    // A file that is a picture is one to the model.
    let (inner, binary) = match block.get("resource") {
        Some(resource) if kind == Some("resource") => (resource, "blob"),
        _ => (block, "data"),
    };
    let text = |key: &str| inner.get(key).and_then(Value::as_str);
    match (kind, text("text"), text(binary), text("mimeType")) {
        (Some("text"), Some(text), ..) => Part::Text(Cow::Borrowed(text)),
        (Some("image" | "resource"), _, Some(data), Some(media_type)) if picture(media_type).is_some() => {
            Part::Image { media_type: picture(media_type).unwrap_or(media_type), data }
        }
        (Some("audio"), _, Some(data), Some(media_type)) if hears => Part::Audio { media_type, data },
        (Some("resource"), _, Some(data), Some(media_type)) if hears && media_type.starts_with("audio/") => {
            Part::Audio { media_type, data }
        }
        _ => Part::Text(Cow::Owned(crate::json::text(&without_binary(block)))),
    }
}

/// The type of a picture that models see, by its right name.
fn picture(media_type: &str) -> Option<&str> {
    match media_type {
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" => Some(media_type),
        "image/jpg" => Some("image/jpeg"),
        _ => None,
    }
}

fn without_binary(value: &Value) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let mut out = Map::new();
    for (key, value) in fields {
        let value = match (key.as_str(), value) {
            ("data" | "blob", Value::String(data)) => {
                Value::String(["(left out: ", &data.len().to_string(), " bytes of base64)"].concat())
            }
            ("resource", Value::Object(_)) => without_binary(value),
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(block: Value) -> String {
        match part(&block, false) {
            Part::Text(text) => text.into_owned(),
            Part::Image { .. } => "an image".into(),
            Part::Audio { .. } => "a recording".into(),
        }
    }

    #[test]
    fn blocks_become_text_or_images() {
        assert_eq!(text(json!({ "type": "text", "text": "a" })), "a");
        assert_eq!(text(json!({ "type": "image", "data": "AA==", "mimeType": "image/png" })), "an image");
        assert_eq!(
            text(json!({ "type": "audio", "data": "AAAA", "mimeType": "audio/wav" })),
            r#"{"type":"audio","data":"(left out: 4 bytes of base64)","mimeType":"audio/wav"}"#
        );
        assert_eq!(
            text(json!({ "type": "resource", "resource": { "uri": "f:a", "blob": "AAAA" } })),
            r#"{"type":"resource","resource":{"uri":"f:a","blob":"(left out: 4 bytes of base64)"}}"#
        );
        let link = json!({ "type": "resource_link", "uri": "f:a", "name": "a" });
        assert_eq!(text(link.clone()), link.to_string());
        let audio = json!({ "type": "audio", "data": "AAAA", "mimeType": "audio/mpeg" });
        assert!(matches!(part(&audio, true), Part::Audio { media_type: "audio/mpeg", data: "AAAA" }));
        assert_eq!(["audio/mpeg", "audio/x-wav", "audio/ogg"].map(audio_format), ["mp3", "wav", "ogg"]);
        assert_eq!(text(json!("odd")), "\"odd\"");
        let file = |media_type: &str| json!({ "type": "resource", "resource": { "uri": "f:a", "mimeType": media_type, "blob": "AAAA" } });
        assert!(matches!(part(&file("image/png"), false), Part::Image { media_type: "image/png", data: "AAAA" }));
        assert!(matches!(part(&file("image/jpg"), false), Part::Image { media_type: "image/jpeg", .. }));
        assert!(matches!(part(&file("audio/wav"), true), Part::Audio { media_type: "audio/wav", data: "AAAA" }));
        assert!(text(file("audio/wav")).contains("left out") && text(file("application/pdf")).contains("left out"));
        // Of a block that is none, `blob` is data like any other.
        assert!(text(json!({ "type": "image", "mimeType": "image/png", "blob": "AAAA" })).contains("left out"));
        assert!(text(json!({ "type": "image", "data": "AAAA", "mimeType": "image/tiff" })).contains("left out"));
    }
}
