//! The rounds of one modern request: asked for input, answered, sent again ([MCP 2026-07-28, Multi Round-Trip Requests]).
//!
//! ```
//! # use edgewise::mcp::input::{Ask, Answerers, Roots, rounds::Rounds};
//! # use serde_json::json;
//! let answerers = Answerers { roots: Some(Roots::Fixed(json!([]))), ..Answerers::default() };
//! let mut rounds = Rounds::new("tools/call", "tools/call index on files");
//! let requests = json!({ "r": { "method": "roots/list" } }).as_object().unwrap().clone();
//! assert_eq!(rounds.turn(requests, Some("s1".into()), &answerers).unwrap(), [("r".to_owned(), Ask::Roots)]);
//! rounds.answer("r", json!({ "roots": [] }));
//! let extras: Vec<_> = rounds.extras().map(|(name, value)| (name, value.to_string())).collect();
//! assert_eq!(extras, [("inputResponses", r#"{"r":{"roots":[]}}"#.to_owned()), ("requestState", r#""s1""#.to_owned())]);
//! ```
//!
//! [MCP 2026-07-28, Multi Round-Trip Requests]: https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr

use serde_json::{Map, Value};

use super::{Answerers, Ask};
use crate::error::{Code, Error, Result};
use crate::mcp::text::clean;

/// The rounds of one request.
#[derive(Clone, Debug)]
pub struct Rounds {
    allowed: bool,
    what: String,
    turned: u32,
    responses: Option<Value>,
    state: Option<Value>,
}

impl Rounds {
    /// Most times that a server may ask before it answers: 10.
    pub const MAX: u32 = 10;

    /// Before the first answer to a request of that method. `what` names the request in errors.
    pub fn new(method: &str, what: impl Into<String>) -> Rounds {
        let allowed = matches!(method, "tools/call" | "prompts/get" | "resources/read");
        Rounds { allowed, what: what.into(), turned: 0, responses: None, state: None }
    }

    /// What the next try of the request carries besides its own parameters. Nothing before the first round; it belongs to
    /// this request alone.
    pub fn extras(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let responses = self.responses.iter().map(|responses| ("inputResponses", responses));
        responses.chain(self.state.iter().map(|state| ("requestState", state)))
    }

    /// True once the server has asked: then the parameters of the two names are ours.
    pub fn has_begun(&self) -> bool {
        self.turned > 0
    }

    /// Takes an answer that asks for input: gives what is asked, by the server's keys. Answer each with
    /// [`answer`](Rounds::answer), then send the request again; at once when nothing is asked.
    ///
    /// # Errors
    ///
    /// `protocol` for a method whose requests may not be answered so, and for an ask that makes no sense or that the client did
    /// not declare; `limit` past [`Rounds::MAX`] rounds.
    pub fn turn(
        &mut self,
        requests: Map<String, Value>,
        state: Option<String>,
        answerers: &Answerers,
    ) -> Result<Vec<(String, Ask)>> {
        if !self.allowed {
            return Err(self.error(Code::Protocol, "the server asks for input, which this method does not allow"));
        }
        if self.turned == Rounds::MAX {
            return Err(self.error(Code::Limit, "the server still asks for input after 10 rounds"));
        }
        self.turned += 1;
        let asks = read_asks(requests, answerers, &self.what)?;
        self.responses = (!asks.is_empty()).then(|| Value::Object(Map::new()));
        self.state = state.map(Value::String);
        Ok(asks)
    }

    /// Notes the result for the ask of that key.
    pub fn answer(&mut self, key: &str, result: Value) {
        if let Some(Value::Object(responses)) = &mut self.responses {
            responses.insert(key.to_owned(), result);
        }
    }

    fn error(&self, code: Code, words: &str) -> Error {
        Error::new(code, [&self.what, ": ", words].concat())
    }
}

/// Reads the members of `inputRequests`, of an answer or of a task.
///
/// # Errors
///
/// `protocol` for an ask that makes no sense or was not declared; `what` names the request.
pub(crate) fn read_asks(requests: Map<String, Value>, answerers: &Answerers, what: &str) -> Result<Vec<(String, Ask)>> {
    let mut asks = Vec::new();
    for (key, mut request) in requests {
        let params = request.get_mut("params").map(Value::take);
        let method = request.get("method").and_then(Value::as_str).unwrap_or("");
        let words = match Ask::read(method, params) {
            Ok(ask) if answerers.declares(method) => {
                asks.push((key, ask));
                continue;
            }
            Ok(_) => "which this client did not declare",
            Err(unfit) => unfit.words,
        };
        let message = [what, ": the server asks for `", &clean(method, 60), "`: ", words];
        return Err(Error::new(Code::Protocol, message.concat()));
    }
    Ok(asks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::input::Roots;
    use serde_json::json;

    fn answerers() -> Answerers {
        Answerers { attended: true, roots: Some(Roots::Fixed(json!([]))), ..Answerers::default() }
    }

    fn rounds() -> Rounds {
        Rounds::new("tools/call", "tools/call add on calc")
    }

    fn form(message: &str) -> Value {
        json!({ "method": "elicitation/create", "params": { "message": message, "requestedSchema": { "type": "object" } } })
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn extras(rounds: &Rounds) -> Value {
        Value::Object(rounds.extras().map(|(name, value)| (name.to_owned(), value.clone())).collect())
    }

    #[test]
    fn the_state_goes_back_exactly_and_only_when_there_is_one() {
        let mut rounds = rounds();
        assert_eq!(extras(&rounds), json!({}));
        let state = " {\"a\": 1}\u{FEFF}\n\\u0041 ";
        let asks = rounds.turn(object(json!({ "b": form("B?"), "a": form("A?") })), Some(state.into()), &answerers());
        assert_eq!(asks.unwrap().len(), 2);
        rounds.answer("a", json!({ "action": "accept", "content": {} }));
        rounds.answer("b", json!({ "action": "decline" }));
        let responses = json!({ "a": { "action": "accept", "content": {} }, "b": { "action": "decline" } });
        assert_eq!(extras(&rounds), json!({ "inputResponses": responses, "requestState": state }));
        rounds.turn(object(json!({ "c": form("C?") })), None, &answerers()).unwrap();
        rounds.answer("c", json!({ "action": "cancel" }));
        assert_eq!(extras(&rounds), json!({ "inputResponses": { "c": { "action": "cancel" } } }), "nothing of before");
        assert!(rounds.turn(Map::new(), Some(String::new()), &answerers()).unwrap().is_empty());
        assert_eq!(extras(&rounds), json!({ "requestState": "" }));
    }

    #[test]
    fn ten_rounds_and_no_more() {
        let mut rounds = rounds();
        for _ in 0..Rounds::MAX {
            rounds.turn(Map::new(), Some("s".into()), &answerers()).unwrap();
        }
        let error = rounds.turn(Map::new(), Some("s".into()), &answerers()).unwrap_err();
        assert_eq!((error.code, error.message.contains("10 rounds")), (Code::Limit, true));
    }

    #[test]
    fn only_where_it_is_allowed() {
        for (method, allowed) in [
            ("tools/call", true),
            ("prompts/get", true),
            ("resources/read", true),
            ("tools/list", false),
            ("tasks/get", false),
        ] {
            let turned = Rounds::new(method, method).turn(Map::new(), Some("s".into()), &answerers());
            assert_eq!(turned.is_ok(), allowed, "{method}");
        }
    }

    #[test]
    fn what_was_not_declared_or_makes_no_sense_is_an_error() {
        let message = |request: Value| {
            let error = rounds().turn(object(json!({ "k": request })), None, &answerers()).unwrap_err();
            assert_eq!(error.code, Code::Protocol);
            error.message.clone()
        };
        let sampling = json!({ "method": "sampling/createMessage", "params": { "messages": [] } });
        assert_eq!(
            message(sampling),
            "tools/call add on calc: the server asks for `sampling/createMessage`: which this client did not declare"
        );
        assert!(
            message(json!({ "method": "tools/call\u{202E}" })).ends_with("asks for `tools/call`: Method not found")
        );
        assert!(message(json!("roots/list")).ends_with("asks for ``: Method not found"));
        assert!(message(json!({ "method": "elicitation/create" })).ends_with("message is no string"));
    }
}
