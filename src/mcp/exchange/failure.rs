//! The server's own refusals as errors: HTTP statuses and JSON-RPC error objects.

use serde_json::Value;

use crate::error::{Code, Error, Retry};
use crate::http::{Head, retry_after};
use crate::jsonrpc::{self, ErrorObject};
use crate::mcp::text::{MAX_QUOTE, clean};

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// For the caller.
    pub error: Error,
    /// The JSON-RPC error that the server gave as reason.
    pub rpc: Option<Box<ErrorObject>>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, rpc: None }
    }
}

/// The failure of an HTTP status outside 200 to 299. `advice` is what to say where only the caller knows.
pub(super) fn refused(what: &str, advice: Retry, head: &Head, body: &[u8]) -> Failure {
    let rpc = match jsonrpc::parse(body) {
        Ok(jsonrpc::Message::Response { outcome: Err(error), .. }) => Some(Box::new(error)),
        _ => None,
    };
    let named = retry_after(&head.headers).map(Retry::After);
    let (code, retry, words) = match head.status {
        401 => (Code::AuthRequired, Retry::Never, ": the server wants credentials ("),
        403 => (Code::AuthRequired, Retry::Never, ": the server refuses these credentials ("),
        // Turned away at the door: not even a tool call was executed.
        429 => (Code::RateLimited, named.unwrap_or(Retry::Backoff), ": the server asks to slow down ("),
        // Without a time, it may as well be a gateway that lost its server in the midst of the work.
        503 | 529 => (Code::Overloaded, named.unwrap_or(advice), ": the server is overloaded ("),
        _ if rpc.is_some() => (Code::Protocol, Retry::Never, ": refused ("),
        500.. => (Code::Http, advice, ": the server failed ("),
        _ => (Code::Http, Retry::Never, ": refused ("),
    };
    let mut message = [what, words, &head.status.to_string(), ")"].concat();
    if let Some(rpc) = &rpc {
        message.push_str(&describe(rpc));
    }
    let mut error = Error::new(code, message).status(head.status).retry(retry);
    error.rpc_code = rpc.as_ref().map(|rpc| rpc.code);
    Failure { error, rpc }
}

/// The failure of a JSON-RPC error that came with a success status.
pub(super) fn answered(what: &str, rpc: ErrorObject) -> Failure {
    let mut error = Error::new(Code::Protocol, [what, ": the server answers", &describe(&rpc)].concat());
    error.rpc_code = Some(rpc.code);
    Failure { error, rpc: Some(Box::new(rpc)) }
}

fn describe(rpc: &ErrorObject) -> String {
    let code = rpc.code.to_string();
    let mut words = match clean(&rpc.message, MAX_QUOTE).as_str() {
        "" => [" with error ", &code].concat(),
        message => [" with error ", &code, ": ", message].concat(),
    };
    let data = rpc.data.as_ref().filter(|_| rpc.code == MISSING_CAPABILITY);
    if let Some(Value::Object(required)) = data.and_then(|data| data.get("requiredCapabilities")) {
        let mut names = Vec::new();
        for (name, parts) in required {
            match parts.as_object().filter(|parts| !parts.is_empty()) {
                Some(parts) => names.extend(parts.keys().map(|part| [name, ".", part].concat())),
                None => names.push(name.clone()),
            }
        }
        words.push_str("; it wants a client that can do: ");
        words.push_str(&clean(&names.join(", "), MAX_QUOTE));
    }
    words
}

/// MissingRequiredClientCapability ([MCP 2026-07-28, "MissingRequiredClientCapabilityError"]).
const MISSING_CAPABILITY: i64 = -32021;
