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
}

/// Sorts one MCP content block.
///
/// Text and images go as such; anything else becomes its JSON text. Binary data that no model can read (audio,
/// blobs, exotic images) is left out of that text, and the text says so: it would only fill the context.
pub(super) fn part(block: &Value) -> Part<'_> {
    let text = |key: &str| block.get(key).and_then(Value::as_str);
    match (text("type"), text("text"), text("data"), text("mimeType")) {
        (Some("text"), Some(text), ..) => Part::Text(Cow::Borrowed(text)),
        (
            Some("image"),
            _,
            Some(data),
            Some(media_type @ ("image/png" | "image/jpeg" | "image/gif" | "image/webp")),
        ) => Part::Image { media_type, data },
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
        match part(&block) {
            Part::Text(text) => text.into_owned(),
            Part::Image { .. } => "an image".into(),
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
        assert_eq!(text(json!("odd")), "\"odd\"");
        assert!(text(json!({ "type": "image", "data": "AAAA", "mimeType": "image/tiff" })).contains("left out"));
    }
}
