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
    let text = |key: &str| block.get(key).and_then(Value::as_str);
    match (text("type"), text("text"), text("data"), text("mimeType")) {
        (Some("text"), Some(text), ..) => Part::Text(Cow::Borrowed(text)),
        (
            Some("image"),
            _,
            Some(data),
            Some(media_type @ ("image/png" | "image/jpeg" | "image/gif" | "image/webp")),
        ) => Part::Image { media_type, data },
        (Some("audio"), _, Some(data), Some(media_type)) if hears => Part::Audio { media_type, data },
        _ => Part::Text(Cow::Owned(crate::json::text(&without_binary(block)))),
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
        assert!(text(json!({ "type": "image", "data": "AAAA", "mimeType": "image/tiff" })).contains("left out"));
    }
}
