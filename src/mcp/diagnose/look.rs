//! Looks at one answer.

use serde_json::{Map, Value};

/// What came of a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a>(&'a Value);

/// What an answer is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A JSON-RPC result with the field that was looked for.
    Result(Map<String, Value>),
    /// A JSON-RPC error: code and message.
    Error(i64, String),
    /// JSON that is none of MCP's answers.
    OtherJson,
    /// A page for people.
    Html,
    /// Nothing at all.
    Empty,
    /// Anything else, by its media type.
    Other(String),
}

impl<'a> Seen<'a> {
    pub(super) fn of(answer: &'a Value) -> Seen<'a> {
        Seen(answer)
    }

    /// Why no answer came.
    pub(super) fn failure(&self) -> Option<String> {
        self.0.get("error").and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn maybe_cors(&self) -> bool {
        self.0.get("maybeCors").and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn status(&self) -> u16 {
        self.0.get("status").and_then(Value::as_u64).unwrap_or(0) as u16
    }

    /// A browser hides where it leads to, and the status too.
    pub(super) fn is_redirect(&self) -> bool {
        self.failure().is_none() && matches!(self.status(), 0 | 301..=303 | 307 | 308)
    }

    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        self.0.get("headers")?.get(name)?.as_str()
    }

    pub(super) fn media_type(&self) -> String {
        self.header("content-type").unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase()
    }

    pub(super) fn body(&self) -> &'a str {
        self.0.get("body").and_then(Value::as_str).unwrap_or("")
    }
}

/// What the answer is; a result counts only with that field.
pub(super) fn look(seen: &Seen<'_>, field: &str) -> Kind {
    let body = seen.body().trim();
    if body.is_empty() {
        return Kind::Empty;
    }
    let text = if seen.media_type() == "text/event-stream" { last_message(body) } else { body.to_owned() };
    match serde_json::from_slice::<Value>(text.as_bytes()) {
        Ok(Value::Object(mut message)) => {
            if let Some(Value::Object(result)) = message.remove("result")
                && result.contains_key(field)
            {
                return Kind::Result(result);
            }
            let error = message.get("error").filter(|error| error.is_object());
            match error.and_then(|error| error.get("code")).and_then(Value::as_i64) {
                Some(code) => {
                    let words = error.and_then(|error| error.get("message")).and_then(Value::as_str);
                    Kind::Error(code, words.unwrap_or_default().to_owned())
                }
                None => Kind::OtherJson,
            }
        }
        Ok(_) => Kind::OtherJson,
        Err(_) if seen.media_type() == "text/html" || body.starts_with('<') => Kind::Html,
        Err(_) => Kind::Other(seen.media_type()),
    }
}

/// The data of the last event of a stream that carries an answer.
fn last_message(body: &str) -> String {
    let mut last = String::new();
    for event in body.replace("\r\n", "\n").split("\n\n") {
        let data = event
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|data| data.strip_prefix(' ').unwrap_or(data));
        let data = data.collect::<Vec<_>>().join("\n");
        if data.contains("\"result\"") || data.contains("\"error\"") {
            last = data;
        }
    }
    last
}
