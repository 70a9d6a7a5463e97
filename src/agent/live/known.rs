//! What is known of a followed source, as it is stored beside its conversation.

use serde_json::{Map, Value, json};

use crate::context::difference::{Before, line_hash};
use crate::json;
use crate::rank::content_hash;

/// Longest text that is kept as it is, in bytes.
const MOST_BYTES: usize = 64 << 10;

/// Longest text of which the lines' hashes are kept, in bytes and in lines; of longer ones it is known only whether they changed.
const MOST_COMPARED: usize = 2 << 20;
const MOST_LINES: usize = 50_000;

/// Most bytes that are kept of what the model was shown of one source.
const MOST_SHOWN: usize = 64 << 10;

/// One content of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Tells it from others.
    pub hash: u64,
    /// The text, unless it is too long to be kept.
    pub text: Option<String>,
    /// Hashes of the lines of a text that is too long to be kept, unless there are too many.
    pub lines: Vec<u32>,
}

impl Content {
    /// The content that this text is.
    pub fn of(text: &str) -> Content {
        let kept = text.len() <= MOST_BYTES;
        let lines: Vec<u32> = match !kept && text.len() <= MOST_COMPARED {
            true => text.lines().take(MOST_LINES + 1).map(line_hash).collect(),
            false => Vec::new(),
        };
        let lines = if lines.len() > MOST_LINES { Vec::new() } else { lines };
        Content { hash: content_hash([text]), text: kept.then(|| text.to_owned()), lines }
    }

    /// What a later text can be compared with; `None` when nothing is known of this one.
    pub fn before(&self) -> Option<Before<'_>> {
        match &self.text {
            Some(text) => Some(Before::Text(text)),
            None => (!self.lines.is_empty()).then_some(Before::Lines(&self.lines)),
        }
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
            base: Content { hash, text: text("text"), lines: text("lines").map_or_else(Vec::new, |hex| numbers(&hex)) },
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
        if !self.base.lines.is_empty() {
            fields.insert("lines".to_owned(), hex(&self.base.lines).into());
        }
        json::text(&Value::Object(fields)).into_bytes()
    }

    /// What an app is told of it.
    pub fn told(&self) -> Value {
        json!({ "server": self.server, "uri": self.uri, "asked": self.asked })
    }
}

/// Numbers as text, eight digits each.
fn hex(numbers: &[u32]) -> String {
    let digit = |number: u32, place: u32| char::from(b"0123456789abcdef"[(number >> (28 - 4 * place)) as usize & 15]);
    numbers.iter().flat_map(|number| (0..8).map(move |place| digit(*number, place))).collect()
}

/// The numbers that [`hex`] wrote; none where that is no such text.
fn numbers(hex: &str) -> Vec<u32> {
    let number = |digits: &[u8]| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    hex.as_bytes().chunks(8).map(number).collect::<Option<_>>().unwrap_or_default()
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
        assert_eq!(Known::read(&known.to_bytes()), Some(known.clone()));
        known.base = Content::of(&"a line\nanother one\n".repeat(4_000));
        assert_eq!((known.base.text.is_none(), known.base.lines.len()), (true, 8_000));
        assert_eq!(Known::read(&known.to_bytes()), Some(known.clone()));
        assert!(known.to_bytes().len() < 200_000);
        for long in ["x".repeat(MOST_COMPARED + 1), "a\n".repeat(MOST_LINES + 1)] {
            assert!(Content::of(&long).before().is_none());
        }
        assert_eq!(
            (numbers(&hex(&[0, 7, u32::MAX])), numbers("g"), numbers("é")),
            (vec![0, 7, u32::MAX], vec![], vec![])
        );
        for bad in ["", "{}", r#"{"server":"s","uri":"u","hash":7}"#] {
            assert_eq!(Known::read(bad.as_bytes()), None);
        }
    }
}
