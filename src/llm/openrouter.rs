//! Reasoning as OpenRouter tells it (`reasoning_details`), which it demands back beside calls: Gemini 3 refuses a history
//! without its thought signatures, Claude one whose thoughts are not those that it signed ([Reasoning tokens], "Preserving
//! reasoning blocks").
//!
//! ```text
//! "delta":{"reasoning_details":[{"type":"reasoning.text","text":"Let","index":0,"format":"anthropic-claude-v1"}]}
//! "delta":{"reasoning_details":[{"type":"reasoning.text","signature":"Et8B...","index":0}]}
//! "delta":{"reasoning_details":[{"type":"reasoning.encrypted","data":"CiIB...","id":"call_1"}]}
//! ```
//!
//! A thought comes in pieces, of which each is an element; it goes back as one. Numbers do not tell which belong together (they
//! are all 0 for some models): neighbours of one type do, until one is signed. Sealed ones come whole.
//!
//! [Reasoning tokens]: https://openrouter.ai/docs/guides/best-practices/reasoning-tokens

use serde_json::{Map, Value};

use super::json;

/// What signatures of this kind begin with. A JSON array follows.
const VENDOR: &str = "openrouter:";

/// The fields of a thought that come in pieces, by its type.
const PIECES: [(&str, &str); 2] = [("reasoning.text", "text"), ("reasoning.summary", "summary")];

/// The thoughts of one answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Details(Vec<Map<String, Value>>);

impl Details {
    /// Takes the elements of one chunk.
    pub(super) fn take(&mut self, elements: &mut [Value]) {
        for element in elements {
            let Value::Object(element) = element.take() else { continue };
            let kind = element.get("type").and_then(Value::as_str);
            let piece = PIECES.iter().find(|(known, _)| kind == Some(known)).map(|(_, field)| *field);
            let same = |last: &&mut Map<String, Value>| {
                let is_same = |name: &str| match (last.get(name), element.get(name)) {
                    (Some(one), Some(other)) => one == other || one.is_null() || other.is_null(),
                    _ => true,
                };
                last.get("type") == element.get("type")
                    && is_same("id")
                    && is_same("index")
                    && !last.get("signature").is_some_and(Value::is_string)
            };
            match (piece, self.0.last_mut().filter(same)) {
                (Some(piece), Some(last)) => join(last, element, piece),
                _ => self.0.push(element),
            }
        }
    }

    /// The signature that has them all; `None` where there are none.
    pub(super) fn sign(&mut self) -> Option<String> {
        let all: Vec<Value> = std::mem::take(&mut self.0).into_iter().map(Value::Object).collect();
        (!all.is_empty()).then(|| [VENDOR, &crate::json::text(&Value::Array(all))].concat())
    }
}

fn join(last: &mut Map<String, Value>, element: Map<String, Value>, piece: &str) {
    for (name, value) in element {
        match (last.get_mut(&name), value) {
            (_, Value::Null) => {}
            (Some(Value::String(text)), Value::String(more)) if name == piece => text.push_str(&more),
            (_, value) => drop(last.insert(name, value)),
        }
    }
}

/// Appends the field of an answer that hands them back. An app may have changed the history, so it is looked at.
pub(super) fn write(out: &mut String, signature: &str) {
    let all = signature.strip_prefix(VENDOR).and_then(|text| serde_json::from_slice::<Value>(text.as_bytes()).ok());
    if let Some(all @ Value::Array(_)) = all {
        json::key(out, "reasoning_details");
        out.push_str(&crate::json::text(&all));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn joined(chunks: Value) -> Value {
        let mut details = Details::default();
        for chunk in chunks.as_array().unwrap() {
            details.take(&mut [chunk.clone()]);
        }
        let mut out = String::from("{");
        details.sign().iter().for_each(|signature| write(&mut out, signature));
        out.push('}');
        let value: Value = serde_json::from_str(&out).unwrap();
        value.get("reasoning_details").cloned().unwrap_or_default()
    }

    #[test]
    fn pieces_of_a_thought_become_one_and_what_is_sealed_stays_apart() {
        let text = |text: &str, index: u32| json!({ "type": "reasoning.text", "text": text, "index": index });
        let signed = json!({ "type": "reasoning.text", "text": null, "signature": "Et8B", "format": "anthropic-claude-v1", "index": 0 });
        let sealed = |id: &str| json!({ "type": "reasoning.encrypted", "data": "Ci", "id": id, "index": 0 });
        assert_eq!(
            joined(json!([text("Let", 0), text(" me", 0), signed, text("Then", 0), text("?", 1)])),
            json!([
                { "type": "reasoning.text", "text": "Let me", "index": 0, "signature": "Et8B", "format": "anthropic-claude-v1" },
                text("Then", 0),
                text("?", 1),
            ])
        );
        let summary = |text: &str| json!({ "type": "reasoning.summary", "summary": text, "index": 0 });
        assert_eq!(
            joined(json!([summary("a"), summary("b"), sealed("c1"), sealed("c2"), summary("c"), 7, "odd"])),
            json!([summary("ab"), sealed("c1"), sealed("c2"), summary("c")])
        );
        // One that is signed without a word, as it comes for some.
        let bare = json!({ "type": "reasoning.text", "signature": "s" });
        assert_eq!(joined(json!([bare])), json!([bare]));
        assert_eq!(joined(json!([])), Value::Null);
    }

    #[test]
    fn what_is_none_of_these_is_not_sent() {
        for signature in ["openrouter:[", "openrouter:{}", "google:c2ln", "openai:id:x", ""] {
            let mut out = String::new();
            write(&mut out, signature);
            assert_eq!(out, "", "{signature}");
        }
    }
}
