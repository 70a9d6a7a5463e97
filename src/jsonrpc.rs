//! JSON-RPC 2.0 messages, as far as MCP uses them.
//!
//! Writing goes straight to text: parameters are borrowed and serialised once. Reading is tolerant where real
//! servers differ (an id echoed as text, an error without an id) and strict where a wrong guess would do harm.
//!
//! ```
//! use edgewise::jsonrpc::{self, Message};
//!
//! let text = jsonrpc::request(7, "tools/list", &[], "");
//! assert_eq!(text, r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#);
//!
//! let answer = br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Server not initialized"}}"#;
//! let Ok(Message::Response { id: None, outcome: Err(error) }) = jsonrpc::parse(answer) else { panic!() };
//! assert_eq!(error.code, -32000);
//! ```

use std::fmt;

use serde_json::{Map, Value};

use crate::json;

/// Id of a request: text or a number, kept as it came so that an answer can echo it exactly.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestId(Value);

impl RequestId {
    fn read(value: Value) -> Option<RequestId> {
        matches!(value, Value::String(_) | Value::Number(_)).then_some(RequestId(value))
    }

    /// As it came.
    pub(crate) fn to_value(&self) -> Value {
        self.0.clone()
    }

    /// True when `value` is this id, as it came.
    pub(crate) fn equals(&self, value: &Value) -> bool {
        self.0 == *value
    }

    /// True when this is the id `ours`; `7`, `7.0` and `"7"` all are 7, since some servers turn ids into text.
    pub fn is(&self, ours: u64) -> bool {
        same_number(&self.0, ours)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&json::text(&self.0))
    }
}

/// True when `value` is the whole number `ours`, also as text or as `7.0`.
pub(crate) fn same_number(value: &Value, ours: u64) -> bool {
    match value {
        Value::String(text) => text.parse() == Ok(ours),
        value => value.as_u64() == Some(ours) || value.as_f64() == Some(ours as f64),
    }
}

/// An error answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorObject {
    /// What kind; MCP gives a meaning to some.
    pub code: i64,
    /// One sentence, written by the peer: never trust its length or its characters.
    pub message: String,
    /// Details by kind.
    pub data: Option<Value>,
}

/// One message of a peer.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Wants an answer.
    Request {
        /// To be echoed in the answer.
        id: RequestId,
        /// What is wanted.
        method: String,
        /// Its parameters.
        params: Option<Value>,
    },
    /// Wants no answer.
    Notification {
        /// What happened.
        method: String,
        /// Details.
        params: Option<Value>,
    },
    /// Answers a request of ours.
    Response {
        /// Id of the request; `None` when the peer could not read it (`null` or absent).
        id: Option<RequestId>,
        /// The result, or why there is none.
        outcome: Result<Value, ErrorObject>,
    },
}

impl Message {
    /// The message as it may be handed on; [`parse`] reads it again.
    pub(crate) fn to_value(&self) -> Value {
        let mut map = Map::from_iter([("jsonrpc".to_owned(), Value::from("2.0"))]);
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        let (id, called) = match self {
            Message::Request { id, method, params } => (Some(id), Some((method, params))),
            Message::Notification { method, params } => (None, Some((method, params))),
            Message::Response { id, .. } => (id.as_ref(), None),
        };
        if let Some(id) = id {
            put("id", id.to_value());
        }
        if let Some((method, params)) = called {
            put("method", method.as_str().into());
            if let Some(params) = params {
                put("params", params.clone());
            }
        }
        match self {
            Message::Response { outcome: Ok(result), .. } => drop(put("result", result.clone())),
            Message::Response { outcome: Err(error), .. } => {
                let ErrorObject { code, message, data } = error;
                put("error", serde_json::json!({ "code": code, "message": message, "data": data }));
            }
            _ => {}
        }
        Value::Object(map)
    }
}

/// Bytes that are no JSON-RPC message. Carries nothing of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The JSON text ends too early.
    Truncated,
    /// Not JSON; where it goes wrong.
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// JSON, but an array where one message is due.
    Batch,
    /// JSON, but no JSON-RPC message.
    NotAMessage,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Truncated => f.write_str("JSON that ends too early"),
            Malformed::NotJson { line, column } => write!(f, "malformed JSON (line {line}, column {column})"),
            Malformed::Batch => f.write_str("a JSON array"),
            Malformed::NotAMessage => f.write_str("JSON that is no JSON-RPC message"),
        }
    }
}

/// Reads one message.
///
/// Nesting deeper than 128 levels counts as malformed, so no input can exhaust the stack.
///
/// # Errors
///
/// [`Malformed`] says in which way; an array is [`Malformed::Batch`].
pub fn parse(bytes: &[u8]) -> Result<Message, Malformed> {
    match json(bytes)? {
        Value::Object(map) => read(map),
        Value::Array(_) => Err(Malformed::Batch),
        _ => Err(Malformed::NotAMessage),
    }
}

/// Reads one message or an array of them, which MCP 2025-03-26 allowed and later revisions do not.
///
/// # Errors
///
/// [`Malformed`] when any of them is.
pub fn parse_batch(bytes: &[u8]) -> Result<Vec<Message>, Malformed> {
    let values = match json(bytes)? {
        Value::Array(values) => values,
        value => vec![value],
    };
    let read = |value| match value {
        Value::Object(map) => read(map),
        _ => Err(Malformed::NotAMessage),
    };
    values.into_iter().map(read).collect()
}

fn json(bytes: &[u8]) -> Result<Value, Malformed> {
    serde_json::from_slice(bytes).map_err(|error| match error.is_eof() {
        true => Malformed::Truncated,
        false => Malformed::NotJson { line: error.line(), column: error.column() },
    })
}

fn read(mut map: Map<String, Value>) -> Result<Message, Malformed> {
    if map.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(Malformed::NotAMessage);
    }
    let id = map.remove("id").and_then(RequestId::read);
    if let Some(Value::String(method)) = map.remove("method") {
        let params = map.remove("params");
        return Ok(match id {
            Some(id) => Message::Request { id, method, params },
            None => Message::Notification { method, params },
        });
    }
    if let Some(error) = map.remove("error").filter(|error| !error.is_null()) {
        let outcome = Err(read_error(error).ok_or(Malformed::NotAMessage)?);
        return Ok(Message::Response { id, outcome });
    }
    let result = map.remove("result").ok_or(Malformed::NotAMessage)?;
    Ok(Message::Response { id, outcome: Ok(result) })
}

fn read_error(error: Value) -> Option<ErrorObject> {
    let Value::Object(mut map) = error else { return None };
    let code = map.get("code")?;
    let code = code.as_i64().or_else(|| code.as_f64().map(|code| code as i64))?;
    let message = match map.remove("message") {
        Some(Value::String(message)) => message,
        _ => String::new(),
    };
    Some(ErrorObject { code, message, data: map.remove("data") })
}

/// Writes a request. `meta` is the text of a JSON object for `params._meta`, or empty for none.
pub fn request(id: u64, method: &str, params: &[(&str, &Value)], meta: &str) -> String {
    let mut out = String::from(r#"{"jsonrpc":"2.0","id":"#);
    out.push_str(&id.to_string());
    write_call(out, method, params, meta)
}

/// Writes a notification.
pub fn notification(method: &str, params: &[(&str, &Value)]) -> String {
    write_call(String::from(r#"{"jsonrpc":"2.0""#), method, params, "")
}

/// Writes the answer to a request of the peer.
pub fn result(id: &RequestId, result: &Value) -> String {
    let mut out = String::from(r#"{"jsonrpc":"2.0","id":"#);
    push(&mut out, &id.0);
    out.push_str(r#","result":"#);
    push(&mut out, result);
    out.push('}');
    out
}

/// Writes the refusal of a request of the peer.
pub fn error(id: &RequestId, code: i64, message: &str) -> String {
    let mut out = String::from(r#"{"jsonrpc":"2.0","id":"#);
    push(&mut out, &id.0);
    out.push_str(r#","error":{"code":"#);
    out.push_str(&code.to_string());
    out.push_str(r#","message":"#);
    push_text(&mut out, message);
    out.push_str("}}");
    out
}

/// Finishes a message that has its first members, so a comma comes first.
fn write_call(mut out: String, method: &str, params: &[(&str, &Value)], meta: &str) -> String {
    out.push_str(r#","method":"#);
    push_text(&mut out, method);
    if !params.is_empty() || !meta.is_empty() {
        out.push_str(r#","params":{"#);
        push_members(&mut out, params);
        if !meta.is_empty() {
            if !params.is_empty() {
                out.push(',');
            }
            out.push_str(r#""_meta":"#);
            out.push_str(meta);
        }
        out.push('}');
    }
    out.push('}');
    out
}

/// Appends `"name":value` pairs with commas between them.
pub(crate) fn push_members(out: &mut String, members: &[(&str, &Value)]) {
    for (at, (name, value)) in members.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_text(out, name);
        out.push(':');
        push(out, value);
    }
}

/// Appends a JSON string literal.
pub(crate) fn push_text(out: &mut String, text: &str) {
    push(out, &Value::from(text));
}

fn push(out: &mut String, value: &Value) {
    out.push_str(&json::text(value));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writes_a_request_with_parameters_and_meta() {
        let name = json!("add");
        let arguments = json!({ "a": 1 });
        let params = [("name", &name), ("arguments", &arguments)];
        assert_eq!(
            request(3, "tools/call", &params, r#"{"progressToken":3}"#),
            r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"add","arguments":{"a":1},"_meta":{"progressToken":3}}}"#
        );
        assert_eq!(
            request(1, "ping", &[], r#"{"x":1}"#),
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"x":1}}}"#
        );
        assert_eq!(
            notification("notifications/initialized", &[]),
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#
        );
    }

    #[test]
    fn a_message_that_is_handed_on_is_the_same() {
        for text in [
            r#"{"jsonrpc":"2.0","id":"a","method":"roots/list"}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":[1]}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#,
            r#"{"jsonrpc":"2.0","id":3,"result":{"a":null}}"#,
            r#"{"jsonrpc":"2.0","id":3,"error":{"code":-1,"message":"m","data":[1]}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"m"}}"#,
        ] {
            let message = parse(text.as_bytes()).unwrap();
            let again = parse(json::text(&message.to_value()).as_bytes()).unwrap();
            match (&message, &again) {
                // A detail that is null is none.
                (Message::Response { outcome: Err(one), .. }, Message::Response { outcome: Err(two), .. }) => {
                    let detail = |error: &ErrorObject| error.data.clone().unwrap_or_default();
                    assert_eq!((one.code, &one.message, detail(one)), (two.code, &two.message, detail(two)));
                }
                _ => assert_eq!(message, again),
            }
        }
    }

    #[test]
    fn echoes_ids_exactly() {
        for (id, text) in [(json!("a\"b"), r#""a\"b""#), (json!(18446744073709551615u64), "18446744073709551615")] {
            let message = parse(format!(r#"{{"jsonrpc":"2.0","id":{text},"method":"ping"}}"#).as_bytes()).unwrap();
            let Message::Request { id: read, method, params: None } = message else { panic!("{message:?}") };
            assert_eq!((&read, method.as_str()), (&RequestId(id), "ping"));
            assert_eq!(result(&read, &json!({})), format!(r#"{{"jsonrpc":"2.0","id":{text},"result":{{}}}}"#));
            assert_eq!(
                error(&read, -32601, "no"),
                format!(r#"{{"jsonrpc":"2.0","id":{text},"error":{{"code":-32601,"message":"no"}}}}"#)
            );
        }
    }

    #[test]
    fn ids_match_whatever_the_server_made_of_them() {
        for same in [json!(7), json!(7.0), json!("7")] {
            assert!(RequestId(same.clone()).is(7), "{same}");
        }
        for other in [json!(8), json!(-7), json!("7a"), json!(7.5)] {
            assert!(!RequestId(other.clone()).is(7), "{other}");
        }
    }

    #[test]
    fn reads_responses_and_notifications() {
        let response = |text: &str| match parse(text.as_bytes()).unwrap() {
            Message::Response { id, outcome } => (id.map(|id| id.to_string()), outcome),
            other => panic!("{other:?}"),
        };
        assert_eq!(response(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), (Some("1".into()), Ok(json!({}))));
        assert_eq!(response(r#"{"jsonrpc":"2.0","id":"a","result":null}"#), (Some("\"a\"".into()), Ok(Value::Null)));
        let refusal = ErrorObject { code: -32601, message: String::new(), data: Some(json!([1])) };
        assert_eq!(response(r#"{"jsonrpc":"2.0","error":{"code":-32601.0,"data":[1]}}"#), (None, Err(refusal)));
        assert_eq!(
            parse(br#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#),
            Ok(Message::Notification {
                method: "notifications/message".into(),
                params: Some(json!({ "level": "info" }))
            })
        );
    }

    #[test]
    fn arrays_are_read_only_where_asked_for() {
        let batch = br#"[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","id":1,"result":{}}]"#;
        assert_eq!(parse(batch), Err(Malformed::Batch));
        assert_eq!(parse_batch(batch).unwrap().len(), 2);
        assert_eq!(parse_batch(br#"{"jsonrpc":"2.0","method":"a"}"#).unwrap().len(), 1);
        assert_eq!(parse_batch(b"[7]"), Err(Malformed::NotAMessage));
    }

    #[test]
    fn malformed_bytes_say_in_which_way() {
        assert_eq!(parse(br#"{"jsonrpc":"2.0","id":1,"res"#), Err(Malformed::Truncated));
        assert_eq!(parse(b""), Err(Malformed::Truncated));
        assert_eq!(parse(b"<html>"), Err(Malformed::NotJson { line: 1, column: 1 }));
        assert!(matches!(parse(b"\"x\xFF\""), Err(Malformed::NotJson { line: 1, .. })));
        for text in [
            "7",
            "{}",
            r#"{"id":1,"result":{}}"#,
            r#"{"jsonrpc":"1.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"message":"no"}}"#,
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Malformed::NotAMessage), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(parse(deep.as_bytes()), Err(Malformed::NotJson { .. })));
    }
}
