//! The one error type, its stable codes, and whether to try again.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::Millis;

/// Stable name of what went wrong; the same strings are `EdgewiseError.code` in JavaScript.
///
/// New codes are added only with a minor version; readers should treat an unknown one like [`Code::Provider`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// An option is missing, unknown, or of the wrong type; [`Detail::path`] names the field.
    Config,
    /// The peer wants credentials, or refused those it got (HTTP 401, 403).
    AuthRequired,
    /// No answer at all: refused, reset, DNS, or blocked by CORS (the platform does not say which).
    Network,
    /// An answer did not come, or did not go on, in time.
    Timeout,
    /// An HTTP status that none of the other codes stands for.
    Http,
    /// The peer asks to slow down (HTTP 429).
    RateLimited,
    /// The peer is temporarily unable to serve (HTTP 503, 529).
    Overloaded,
    /// The model provider refused the request or failed inside a stream.
    Provider,
    /// The peer's bytes are not what the protocol demands.
    Protocol,
    /// The stream ended before its own end mark.
    Truncated,
    /// A limit of ours was reached: turns, bytes, events.
    Limit,
    /// The app or the user cancelled.
    Cancelled,
    /// The API was used in an order that makes no sense.
    Misuse,
    /// The wasm instance panicked; a new one serves the next call.
    Crashed,
}

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: [Code; 14] = [
        Code::Config,
        Code::AuthRequired,
        Code::Network,
        Code::Timeout,
        Code::Http,
        Code::RateLimited,
        Code::Overloaded,
        Code::Provider,
        Code::Protocol,
        Code::Truncated,
        Code::Limit,
        Code::Cancelled,
        Code::Misuse,
        Code::Crashed,
    ];

    /// The stable string, as JavaScript sees it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::Config => "config",
            Code::AuthRequired => "auth_required",
            Code::Network => "network",
            Code::Timeout => "timeout",
            Code::Http => "http",
            Code::RateLimited => "rate_limited",
            Code::Overloaded => "overloaded",
            Code::Provider => "provider",
            Code::Protocol => "protocol",
            Code::Truncated => "truncated",
            Code::Limit => "limit",
            Code::Cancelled => "cancelled",
            Code::Misuse => "misuse",
            Code::Crashed => "crashed",
        }
    }

    /// The code of that name, or `None` for a string that is none of ours.
    pub fn parse(name: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the same request may be sent again; decided where the evidence is, not where the retry happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Sending it again would fail the same way, or could do harm.
    #[default]
    Never,
    /// It may be sent again; when is left to the backoff of whoever retries.
    Backoff,
    /// The peer named the earliest moment, counted from the answer.
    After(Millis),
}

/// What went wrong, in a form that people can read and programs can match.
///
/// `message` names what was being done, to whom, and what arrived. It never holds a key, a token, or content. All fields
/// are those of [`Detail`].
// One pointer: every function on the way of an error moves it on, and most of the wasm is such functions.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Error(Box<Detail>);

/// The fields of an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// Stable code.
    pub code: Code,
    /// One sentence for people.
    pub message: String,
    /// Whether the same request may be sent again.
    #[serde(default)]
    pub retry: Retry,
    /// HTTP status, when an answer with a status was the evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Path of the offending option, such as `servers[1].url`; only with [`Code::Config`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The failure may be a CORS refusal: browsers report those without any detail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub maybe_cors: bool,
    /// JSON-RPC error code, when the peer answered with a JSON-RPC error object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc_code: Option<i64>,
    /// Where a user has to sign in; only with [`Code::AuthRequired`], from a server whose option `oauth` names no
    /// `authorize`. Holds no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_url: Option<Box<str>>,
    /// What led to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Error>,
}

impl Deref for Error {
    type Target = Detail;

    fn deref(&self) -> &Detail {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Detail {
        &mut self.0
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error {
    /// An error that is not to be retried.
    pub fn new(code: Code, message: impl Into<String>) -> Error {
        let message = message.into();
        Error(Box::new(Detail {
            code,
            message,
            retry: Retry::Never,
            status: None,
            path: None,
            maybe_cors: false,
            rpc_code: None,
            authorization_url: None,
            cause: None,
        }))
    }

    /// A mistake in the options: `path` is the field, `message` what is wrong with it.
    pub fn config(path: impl Into<String>, message: &str) -> Error {
        let path = path.into();
        let mut error = Error::new(Code::Config, [path.as_str(), ": ", message].concat());
        error.path = Some(path);
        error
    }

    /// The same error with another retry advice.
    pub fn retry(mut self, retry: Retry) -> Error {
        self.retry = retry;
        self
    }

    /// The same error with the HTTP status that was its evidence.
    pub fn status(mut self, status: u16) -> Error {
        self.status = Some(status);
        self
    }

    /// The same error with what led to it.
    pub fn cause(mut self, cause: Error) -> Error {
        self.cause = Some(cause);
        self
    }

    /// Reads an error of ours that went over JSON; `None` when it is none. What a request that nobody repeats had to
    /// say of options and JSON-RPC is not read.
    // By hand, because serde's derived readers bring kilobytes of wasm.
    pub(crate) fn read(value: &Value) -> Option<Error> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let mut error = Error::new(Code::parse(text("code")?)?, text("message")?);
        error.retry = match value.get("retry") {
            Some(Value::String(retry)) if retry == "backoff" => Retry::Backoff,
            Some(retry) => {
                retry.get("after").and_then(Value::as_u64).map_or(Retry::Never, |ms| Retry::After(Millis(ms)))
            }
            None => Retry::Never,
        };
        error.status = value.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
        error.maybe_cors = value.get("maybeCors").and_then(Value::as_bool).unwrap_or(false);
        error.authorization_url = text("authorizationUrl").map(Box::from);
        error.cause = value.get("cause").and_then(Error::read);
        Some(error)
    }

    /// Its message alone.
    pub fn into_message(self) -> String {
        self.0.message
    }

    /// Cancelled by the app or the user, while `doing`.
    pub fn cancelled(doing: &str) -> Error {
        Error::new(Code::Cancelled, [doing, ": cancelled"].concat())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.as_str())?;
        f.write_str(": ")?;
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

/// Shorthand used throughout the crate.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_name_that_leads_back_to_it() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(code));
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.as_str()));
        }
        assert_eq!(Code::parse("Config"), None);
    }

    #[test]
    fn a_config_error_names_the_field() {
        let error = Error::config("servers[1].url", "expected a string, got a number");
        assert_eq!(error.path.as_deref(), Some("servers[1].url"));
        assert_eq!(error.to_string(), "config: servers[1].url: expected a string, got a number");
    }

    #[test]
    fn an_error_survives_the_way_through_json() {
        let mut cause = Error::new(Code::Network, "gone").retry(Retry::Backoff);
        cause.maybe_cors = true;
        let mut error =
            Error::new(Code::AuthRequired, "sign in").status(401).retry(Retry::After(Millis(7))).cause(cause);
        error.authorization_url = Some("https://as.test/".into());
        assert_eq!(Error::read(&serde_json::to_value(&error).unwrap()), Some(error));
        assert_eq!(Error::read(&serde_json::json!({ "code": "odd", "message": "m" })), None);
    }

    #[test]
    fn an_error_survives_being_stored() {
        let error = Error::new(Code::Overloaded, "POST /v1/messages: 529")
            .status(529)
            .retry(Retry::After(Millis(1500)))
            .cause(Error::new(Code::Network, "reset"));
        let text = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<Error>(&text).unwrap(), error);
    }
}
