//! What is known of a followed source, as it is stored beside its conversation.

use serde_json::{Map, Value, json};

use crate::json;
use crate::rank::content_hash;

/// Longest text that is kept to be compared line by line, in bytes; of longer ones it is known only whether they changed.
const MOST_BYTES: usize = 64 << 10;

/// Most bytes that are kept of what the model was shown of one source.
const MOST_SHOWN: usize = 64 << 10;

/// One content of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Tells it from others.
    pub hash: u64,
    /// The text, unless it is too long to be kept.
    pub text: Option<String>,
}

impl Content {
    /// The content that this text is.
    pub fn of(text: &str) -> Content {
        let kept = text.len() <= MOST_BYTES;
        Content { hash: content_hash([text]), text: kept.then(|| text.to_owned()) }
    }
}

/// A source that is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Name of its server.
    pub server: String,
    /// Its URI.
    pub uri: String,
    /// The app has subscribed to it; else it was put before the model.
    pub asked: bool,
    /// What the model was shown last, or what was read first.
    pub base: Content,
    /// The words that the model was shown of it; empty when it was shown none.
    pub shown: String,
}

impl Known {
    /// The same source.
    pub fn is(&self, server: &str, uri: &str) -> bool {
        self.server == server && self.uri == uri
    }

    /// Notes that the model was shown these words.
    pub fn show(&mut self, words: &str) {
        self.shown.push_str(words);
        self.shown.push('\n');
        let over = self.shown.len().saturating_sub(MOST_SHOWN);
        if let Some((at, _)) = self.shown.char_indices().find(|(at, _)| *at >= over).filter(|_| over > 0) {
            self.shown.drain(..at);
        }
    }

    /// Reads what [`Known::to_bytes`] wrote; `None` when it is none.
    pub fn read(bytes: &[u8]) -> Option<Known> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let hash = text("hash")?.parse().ok()?;
        Some(Known {
            server: text("server")?,
            uri: text("uri")?,
            asked: value.get("asked").and_then(Value::as_bool).unwrap_or(false),
            base: Content { hash, text: text("text") },
            shown: text("shown").unwrap_or_default(),
        })
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = Map::new();
        for (name, value) in [
            ("server", Value::from(self.server.as_str())),
            ("uri", self.uri.as_str().into()),
            ("asked", self.asked.into()),
            // Numbers of 64 bits are not safe in JSON.
            ("hash", self.base.hash.to_string().into()),
            ("shown", self.shown.as_str().into()),
        ] {
            fields.insert(name.to_owned(), value);
        }
        if let Some(text) = &self.base.text {
            fields.insert("text".to_owned(), text.as_str().into());
        }
        json::text(&Value::Object(fields)).into_bytes()
    }

    /// What an app is told of it.
    pub fn told(&self) -> Value {
        json!({ "server": self.server, "uri": self.uri, "asked": self.asked })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again() {
        let mut known = Known { server: "s".into(), uri: "a://b".into(), asked: true, ..Known::default() };
        known.base = Content::of("rain\n");
        known.show("rain");
        assert_eq!(Known::read(&known.to_bytes()), Some(known.clone()));
        known.base = Content::of(&"x".repeat(MOST_BYTES + 1));
        known.show(&"é".repeat(MOST_SHOWN));
        assert_eq!((known.base.text.is_none(), known.shown.len() <= MOST_SHOWN + 1), (true, true));
        assert_eq!(Known::read(&known.to_bytes()), Some(known));
        for bad in ["", "{}", r#"{"server":"s","uri":"u","hash":7}"#] {
            assert_eq!(Known::read(bad.as_bytes()), None);
        }
    }
}
