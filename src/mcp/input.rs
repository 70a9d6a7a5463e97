//! What servers ask of the client, in both eras: input of the user, answers of a model, roots.
//!
//! ```text
//! modern   result "input_required" ──> Rounds ──> asks ──> answers ──> the same request again, with the answers
//! legacy   request of the server ────> Ask::read ──────> answer ────> POST of a response
//! ```
//!
//! # In scope
//!
//! - Reading what is asked, and the results that go back: [`Ask`], [`Answerers`].
//! - Forms: defaults, and whether what the user gave fits ([`form`]).
//! - The rounds of one modern request ([`rounds`]).
//!
//! # Out of scope
//!
//! - Asking anybody, and waiting.

mod answerers;
pub mod form;
pub mod rounds;

use serde_json::{Map, Value, json};

use crate::jsonrpc::ErrorObject;
use crate::mcp::text::legible;

pub use answerers::{Answerers, Roots};
pub use form::Wrong;

/// Longest message of a server that is put before a user, in characters.
const MAX_MESSAGE: usize = 10_000;

/// Something that a server asks of the client.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// The user is to fill in a form ([MCP 2026-07-28, Elicitation, "Form Mode"]).
    ///
    /// [MCP 2026-07-28, Elicitation, "Form Mode"]: https://modelcontextprotocol.io/specification/2026-07-28/client/elicitation#form-mode-elicitation-requests
    Form {
        /// Why, for the user.
        message: String,
        /// JSON Schema of the fields: an object whose properties are strings, numbers, booleans or choices.
        schema: Value,
    },
    /// The user is to open a page ([MCP 2026-07-28, Elicitation, "URL Mode"]). It is never fetched here.
    ///
    /// [MCP 2026-07-28, Elicitation, "URL Mode"]: https://modelcontextprotocol.io/specification/2026-07-28/client/elicitation#url-mode-elicitation-requests
    Url {
        /// Why, for the user.
        message: String,
        /// An `https:` or `http:` URL.
        url: String,
    },
    /// The app's model is to answer; the parameters of `sampling/createMessage`.
    Sampling(Map<String, Value>),
    /// Which roots there are.
    Roots,
}

/// Why a request of a server is refused, as a JSON-RPC error tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// `-32601` for a method that is unknown or was not declared, `-32602` for parameters that make no sense.
    pub code: i64,
    /// What is wrong, in words of ours.
    pub words: &'static str,
}

impl Ask {
    /// Reads a request of a server.
    ///
    /// # Errors
    ///
    /// [`Unfit`] for anything but the three methods, and for a form or URL that cannot be shown.
    pub fn read(method: &str, params: Option<Value>) -> Result<Ask, Unfit> {
        let invalid = |words| Unfit { code: -32602, words };
        let mut params = match params {
            Some(Value::Object(params)) => params,
            None => Map::new(),
            Some(_) => return Err(invalid("params is no object")),
        };
        match method {
            "roots/list" => Ok(Ask::Roots),
            "sampling/createMessage" => match params.get("messages") {
                Some(Value::Array(_)) => Ok(Ask::Sampling(params)),
                _ => Err(invalid("messages is no array")),
            },
            "elicitation/create" => {
                let Some(message) = params.get("message").and_then(Value::as_str) else {
                    return Err(invalid("message is no string"));
                };
                let message = legible(message, MAX_MESSAGE);
                // Without a mode it is a form.
                match params.get("mode").map_or(Some("form"), Value::as_str) {
                    Some("form") => {
                        let schema = params.remove("requestedSchema").unwrap_or(Value::Null);
                        form::check_schema(&schema).map_err(invalid)?;
                        Ok(Ask::Form { message, schema })
                    }
                    Some("url") => match params.remove("url") {
                        Some(Value::String(url)) if is_web_url(&url) => Ok(Ask::Url { message, url }),
                        _ => Err(invalid("url is no http or https URL")),
                    },
                    _ => Err(invalid("unknown mode")),
                }
            }
            _ => Err(Unfit { code: -32601, words: "Method not found" }),
        }
    }

    /// Its method on the wire.
    pub fn method(&self) -> &'static str {
        match self {
            Ask::Form { .. } | Ask::Url { .. } => "elicitation/create",
            Ask::Sampling(_) => "sampling/createMessage",
            Ask::Roots => "roots/list",
        }
    }

    /// What the app is shown: `server` with `message` and `schema`, or `message` and `url`; for sampling the server's
    /// parameters.
    pub fn to_value(&self, server: &str) -> Value {
        match self {
            Ask::Form { message, schema } => json!({ "server": server, "message": message, "schema": schema }),
            Ask::Url { message, url } => json!({ "server": server, "message": message, "url": url }),
            Ask::Sampling(params) => Value::Object(params.clone()),
            Ask::Roots => json!({ "server": server }),
        }
    }

    /// The result that the server gets for what the app answered.
    ///
    /// Elicitations take `{ action: "accept" | "decline" | "cancel", content? }`, and null for cancel. The fields of an
    /// accepted form that are not given get their defaults (SEP-1034); one that is given as null stays empty.
    ///
    /// # Errors
    ///
    /// [`Wrong`] with the path and the words, for an answer that does not fit what was asked.
    pub fn result(&self, answer: Value) -> Result<Value, Wrong> {
        match self {
            Ask::Form { schema, .. } => elicited(answer, Some(schema)),
            Ask::Url { .. } => elicited(answer, None),
            Ask::Sampling(_) => sampled(answer),
            Ask::Roots => answerers::listed(answer),
        }
    }
}

/// The pages that a user is to visit before a request can be executed, out of an error of a server of 2025-11-25
/// ([MCP 2025-11-25, Elicitation, "URL Elicitation Required Error"]). `None` for any other error, and for one that makes no sense.
///
/// [MCP 2025-11-25, Elicitation, "URL Elicitation Required Error"]: https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation#url-elicitation-required-error
pub fn required_urls(error: &ErrorObject) -> Option<Vec<(String, Ask)>> {
    let asked = error.data.as_ref().filter(|_| error.code == -32042)?.get("elicitations")?.as_array()?;
    let read = |(at, params): (usize, &Value)| match Ask::read("elicitation/create", Some(params.clone())) {
        Ok(ask @ Ask::Url { .. }) => Some((at.to_string(), ask)),
        _ => None,
    };
    asked.iter().enumerate().map(read).collect()
}

/// What a server gets when nobody is there to be asked.
pub fn cancelled() -> Value {
    json!({ "action": "cancel" })
}

fn elicited(answer: Value, schema: Option<&Value>) -> Result<Value, Wrong> {
    let mut answer = match answer {
        Value::Null => return Ok(cancelled()),
        Value::Object(answer) => answer,
        _ => return Err(Wrong::at("", "expected { action, content }")),
    };
    let content = answer.remove("content");
    match (answer.get("action").and_then(Value::as_str), schema) {
        (Some("accept"), Some(schema)) => {
            let content = form::complete(schema, content)?;
            Ok(json!({ "action": "accept", "content": content }))
        }
        (Some(action @ ("accept" | "decline" | "cancel")), _) => Ok(json!({ "action": action })),
        _ => Err(Wrong::at("action", "expected \"accept\", \"decline\" or \"cancel\"")),
    }
}

fn sampled(answer: Value) -> Result<Value, Wrong> {
    let Value::Object(mut answer) = answer else {
        return Err(Wrong::at("", "expected { role, content, model }"));
    };
    if !answer.get("content").is_some_and(|content| content.is_object() || content.is_array()) {
        return Err(Wrong::at("content", "expected a content block, or an array of them"));
    }
    if !answer.get("model").is_some_and(Value::is_string) {
        return Err(Wrong::at("model", "expected a string: the name of the model that answered"));
    }
    if !answer.get("role").is_some_and(Value::is_string) {
        answer.insert("role".to_owned(), "assistant".into());
    }
    Ok(Value::Object(answer))
}

/// A cheap check against URLs that are none or would run a script; the app shows the whole URL before it opens it.
fn is_web_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or("");
    !host.is_empty() && !host.contains('@') && legible(url, usize::MAX) == url && !url.contains([' ', '\n', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, params: Value) -> Result<Ask, Unfit> {
        Ask::read(method, Some(params))
    }

    #[test]
    fn reads_what_servers_ask() {
        let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
        let form = json!({ "message": "Your\u{202E} name?\nPlease", "requestedSchema": schema });
        let ask = read("elicitation/create", form.clone()).unwrap();
        assert_eq!(ask, Ask::Form { message: "Your name?\nPlease".into(), schema: schema.clone() });
        assert_eq!(
            ask.to_value("calc"),
            json!({ "server": "calc", "message": "Your name?\nPlease", "schema": schema })
        );
        let mut named = form;
        named["mode"] = json!("form");
        assert_eq!(read("elicitation/create", named), Ok(ask));
        let url = json!({ "mode": "url", "message": "Sign in", "url": "https://a.test/x?y=1#z", "elicitationId": "e" });
        let ask = read("elicitation/create", url).unwrap();
        assert_eq!(ask, Ask::Url { message: "Sign in".into(), url: "https://a.test/x?y=1#z".into() });
        assert_eq!(Ask::read("roots/list", None), Ok(Ask::Roots));
        let sampling = json!({ "messages": [], "maxTokens": 5 });
        assert_eq!(
            read("sampling/createMessage", sampling.clone()).unwrap().to_value("calc"),
            sampling,
            "the parameters, as they came"
        );
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let code = |method, params| read(method, params).unwrap_err().code;
        assert_eq!(code("tools/list", json!({})), -32601);
        for url in
            ["javascript:alert(1)", "https://", "https://u@a.test", "http://a b", "data:,x", "https://a.t/\u{202E}"]
        {
            let ask = json!({ "mode": "url", "message": "m", "url": url });
            assert_eq!(code("elicitation/create", ask), -32602, "{url}");
        }
        for params in [
            json!([]),
            json!({}),
            json!({ "message": "m" }),
            json!({ "message": "m", "mode": "voice" }),
            json!({ "message": "m", "mode": 7 }),
            json!({ "message": 7, "requestedSchema": { "type": "object", "properties": {} } }),
            json!({ "message": "m", "requestedSchema": { "properties": { "a": { "type": "object" } } } }),
        ] {
            assert_eq!(code("elicitation/create", params.clone()), -32602, "{params}");
        }
        assert_eq!(code("sampling/createMessage", json!({ "messages": "hi" })), -32602);
    }

    #[test]
    fn answers_of_the_app_become_results() {
        let url = Ask::Url { message: String::new(), url: String::new() };
        let result = |answer| url.result(answer);
        assert_eq!(result(json!({ "action": "accept", "content": { "x": 1 } })), Ok(json!({ "action": "accept" })));
        assert_eq!(result(json!({ "action": "decline" })), Ok(json!({ "action": "decline" })));
        assert_eq!(result(Value::Null), Ok(json!({ "action": "cancel" })));
        assert_eq!(result(json!({ "action": "yes" })).unwrap_err().path, "action");
        assert_eq!(result(json!("accept")).unwrap_err().path, "");
        let form = Ask::Form { message: String::new(), schema: json!({ "properties": { "a": { "type": "string" } } }) };
        let content = json!({ "a": "x" });
        assert_eq!(
            form.result(json!({ "action": "accept", "content": content })),
            Ok(json!({ "action": "accept", "content": content }))
        );
        assert_eq!(form.result(json!({ "action": "decline", "content": 7 })), Ok(json!({ "action": "decline" })));
    }

    #[test]
    fn pages_to_visit_first() {
        let urls = |code, data| required_urls(&ErrorObject { code, message: String::new(), data });
        let url = json!({ "mode": "url", "message": "Sign in", "url": "https://a.test/", "elicitationId": "1" });
        let data = json!({ "elicitations": [url] });
        let ask = Ask::Url { message: "Sign in".into(), url: "https://a.test/".into() };
        assert_eq!(urls(-32042, Some(data.clone())), Some(vec![("0".to_owned(), ask)]));
        assert_eq!(urls(-32041, Some(data)), None);
        assert_eq!(urls(-32042, None), None);
        let form = json!({ "message": "m", "requestedSchema": { "type": "object" } });
        assert_eq!(urls(-32042, Some(json!({ "elicitations": [url, form] }))), None);
    }

    #[test]
    fn answers_of_a_model() {
        let ask = Ask::Sampling(Map::new());
        let content = json!({ "type": "text", "text": "Paris" });
        let result = ask.result(json!({ "content": content, "model": "m" })).unwrap();
        assert_eq!(result, json!({ "content": content, "model": "m", "role": "assistant" }));
        assert_eq!(ask.result(json!({ "content": "Paris", "model": "m" })).unwrap_err().path, "content");
        assert_eq!(ask.result(json!({ "content": content })).unwrap_err().path, "model");
        assert_eq!(ask.result(json!("Paris")).unwrap_err().path, "");
    }
}
