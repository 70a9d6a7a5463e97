//! Which era of MCP a server speaks, judged by its first answer.

use serde_json::{Map, Value};

use crate::jsonrpc::{self, ErrorObject, Message};
use crate::mcp::legacy;
use crate::mcp::request::MODERN;

/// Family of protocol revisions ([MCP 2026-07-28, Versioning, "Terminology"]).
///
/// [MCP 2026-07-28, Versioning, "Terminology"]: https://modelcontextprotocol.io/specification/2026-07-28/basic/versioning#terminology
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// Stateless requests: 2026-07-28.
    Modern,
    /// Handshake and session: 2025-03-26 to 2025-11-25.
    Legacy,
}

impl Era {
    /// `modern` or `legacy`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Era::Modern => "modern",
            Era::Legacy => "legacy",
        }
    }

    /// The era of that name.
    pub fn parse(name: &str) -> Option<Era> {
        [Era::Modern, Era::Legacy].into_iter().find(|era| era.as_str() == name)
    }
}

/// JSON-RPC codes that only modern servers send.
pub mod codes {
    /// Headers and body disagree, or a required header is missing.
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The request needs a capability that the client did not declare.
    pub const MISSING_CAPABILITY: i64 = -32021;
    /// The server does not implement the revision of the request.
    pub const UNSUPPORTED_VERSION: i64 = -32022;
}

/// What came back from the first request to a server, a modern `server/discover`.
#[derive(Clone, Debug)]
pub enum FirstAnswer<'a> {
    /// An HTTP answer with its raw body.
    Http {
        /// Status code.
        status: u16,
        /// The whole body.
        body: &'a [u8],
    },
    /// A JSON-RPC result, out of a JSON body or an event stream.
    Result(&'a Map<String, Value>),
    /// A JSON-RPC error, out of a JSON body or an event stream.
    Error {
        /// Status code of the answer that carried it.
        status: u16,
        /// The error.
        error: &'a ErrorObject,
    },
    /// No answer.
    Network {
        /// The platform hides why, and a refused preflight is possible.
        maybe_cors: bool,
    },
}

/// What a first answer proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server is modern; go on with this revision.
    Modern(String),
    /// The server is modern but wants this other revision, which we speak.
    RetryWith(String),
    /// The server is not modern: try `initialize`.
    Legacy,
    /// The server speaks MCP, but no revision of ours; what it offers, for people.
    NoCommonVersion(String),
    /// Proves nothing: a gateway, an outage, a page that is no MCP endpoint. Report it, decide nothing.
    Unclear,
}

/// Decides from a server's first answer whether it speaks a modern or a legacy MCP revision.
///
/// A `400` alone proves nothing, modern servers send it too. Only a recognised modern JSON-RPC error in
/// the body does ([MCP 2026-07-28, Streamable HTTP, "Backward Compatibility"]); anything else means
/// legacy. Credentials wanted (401, 403), overload (429), a broken server (5xx) and a success that is no
/// JSON-RPC prove neither. A refused preflight counts as legacy, since servers older than `Mcp-Method` do not
/// allow that header; whoever asks must not take it so twice.
///
/// Ask once per server and keep the verdict: an established modern server is never demoted by a later failure.
///
/// Pure and total: equal answers give equal verdicts, and no body can make it panic.
///
/// # Examples
///
/// ```
/// # use edgewise::mcp::era::{classify, FirstAnswer, Verdict};
/// let empty = FirstAnswer::Http { status: 400, body: b"" };
/// assert_eq!(classify(&empty), Verdict::Legacy);
///
/// let body = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no","data":{"supported":["2026-07-28"]}}}"#;
/// let named = FirstAnswer::Http { status: 400, body };
/// assert_eq!(classify(&named), Verdict::RetryWith("2026-07-28".into()));
/// ```
///
/// [MCP 2026-07-28, Streamable HTTP, "Backward Compatibility"]: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http#backward-compatibility
pub fn classify(answer: &FirstAnswer<'_>) -> Verdict {
    match answer {
        FirstAnswer::Network { maybe_cors: true } => Verdict::Legacy,
        FirstAnswer::Network { maybe_cors: false } => Verdict::Unclear,
        FirstAnswer::Result(result) => by_result(result),
        FirstAnswer::Error { status, error } => by_error(*status, error),
        FirstAnswer::Http { status, body } => match jsonrpc::parse(body) {
            Ok(Message::Response { outcome: Err(error), .. }) => by_error(*status, &error),
            Ok(Message::Response { outcome: Ok(Value::Object(result)), .. }) if *status < 300 => by_result(&result),
            _ => by_status(*status),
        },
    }
}

fn by_status(status: u16) -> Verdict {
    match status {
        401 | 403 | 407 | 408 | 425 | 429 => Verdict::Unclear,
        400..=499 => Verdict::Legacy,
        _ => Verdict::Unclear,
    }
}

fn by_error(status: u16, error: &ErrorObject) -> Verdict {
    match error.code {
        codes::UNSUPPORTED_VERSION => {
            let supported = error.data.as_ref().and_then(|data| data.get("supported"));
            match common_version(supported) {
                Verdict::Modern(version) => Verdict::RetryWith(version),
                other => other,
            }
        }
        codes::HEADER_MISMATCH | codes::MISSING_CAPABILITY => Verdict::Modern(MODERN[0].to_owned()),
        // A success status around a JSON-RPC error: the server understands JSON-RPC but not this method. So do gateways
        // that put every error of an older server into the status that the modern revision has for it (404 for -32601).
        _ if status < 300 => Verdict::Legacy,
        _ => by_status(status),
    }
}

fn by_result(result: &Map<String, Value>) -> Verdict {
    match result.get("supportedVersions") {
        Some(versions) => common_version(Some(versions)),
        // Only modern servers name a result type. Without it, this is a server that says yes to everything.
        None if result.contains_key("resultType") => Verdict::Modern(MODERN[0].to_owned()),
        None => Verdict::Legacy,
    }
}

fn common_version(offered: Option<&Value>) -> Verdict {
    let offered: Vec<&str> =
        offered.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if let Some(version) = MODERN.iter().find(|version| offered.contains(version)) {
        return Verdict::Modern((*version).to_owned());
    }
    if legacy::VERSIONS.iter().any(|version| offered.contains(version)) {
        return Verdict::Legacy;
    }
    Verdict::NoCommonVersion(offered.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn http(status: u16, body: &str) -> Verdict {
        classify(&FirstAnswer::Http { status, body: body.as_bytes() })
    }

    fn error(status: u16, code: i64, data: Value) -> Verdict {
        http(
            status,
            &json!({ "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": "m", "data": data } })
                .to_string(),
        )
    }

    fn modern() -> Verdict {
        Verdict::Modern("2026-07-28".into())
    }

    #[test]
    fn a_discovery_result_is_modern() {
        let body = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","supportedVersions":["2025-11-25","2026-07-28"]}}"#;
        assert_eq!(http(200, body), modern());
        assert_eq!(http(200, r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete"}}"#), modern());
    }

    #[test]
    fn a_discovery_result_without_a_common_revision_is_not() {
        let body = |versions: Value| {
            json!({ "jsonrpc": "2.0", "id": 1, "result": { "supportedVersions": versions } }).to_string()
        };
        assert_eq!(http(200, &body(json!(["2025-06-18"]))), Verdict::Legacy);
        assert_eq!(http(200, &body(json!(["2031-01-01", 7]))), Verdict::NoCommonVersion("2031-01-01".into()));
        assert_eq!(http(200, &body(json!("2026-07-28"))), Verdict::NoCommonVersion(String::new()));
    }

    #[test]
    fn recognised_modern_errors_are_modern() {
        assert_eq!(error(400, -32020, Value::Null), modern());
        assert_eq!(error(400, -32021, json!({ "requiredCapabilities": { "roots": {} } })), modern());
        assert_eq!(error(400, -32022, json!({ "supported": ["2026-07-28"] })), Verdict::RetryWith("2026-07-28".into()));
        assert_eq!(error(200, -32022, json!({ "supported": ["2026-07-28"] })), Verdict::RetryWith("2026-07-28".into()));
        assert_eq!(error(400, -32022, json!({ "supported": ["2025-11-25"] })), Verdict::Legacy);
        assert_eq!(
            error(400, -32022, json!({ "supported": ["2099-01-01"] })),
            Verdict::NoCommonVersion("2099-01-01".into())
        );
        assert_eq!(error(400, -32022, Value::Null), Verdict::NoCommonVersion(String::new()));
    }

    #[test]
    fn what_older_servers_say_is_legacy() {
        assert_eq!(error(400, -32000, Value::Null), Verdict::Legacy);
        assert_eq!(error(200, -32601, Value::Null), Verdict::Legacy);
        // supergateway in front of a server of 2025: every modern server has to know `server/discover`.
        assert_eq!(error(404, -32601, Value::Null), Verdict::Legacy);
        assert_eq!(error(200, -32602, Value::Null), Verdict::Legacy);
        for status in [400, 404, 405, 406, 410, 415, 422] {
            assert_eq!(http(status, ""), Verdict::Legacy, "{status}");
            assert_eq!(http(status, "<html>"), Verdict::Legacy, "{status}");
        }
        assert_eq!(http(200, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), Verdict::Legacy);
        assert_eq!(classify(&FirstAnswer::Network { maybe_cors: true }), Verdict::Legacy);
    }

    #[test]
    fn gateways_and_outages_prove_nothing() {
        for status in [401, 403, 429, 500, 502, 503, 504, 529] {
            assert_eq!(http(status, ""), Verdict::Unclear, "{status}");
            assert_eq!(error(status, -32000, Value::Null), Verdict::Unclear, "{status}");
        }
        for body in ["", "<html>", "{}", "[]", r#"{"jsonrpc":"2.0","id":1,"result":7}"#] {
            assert_eq!(http(200, body), Verdict::Unclear, "{body}");
        }
        assert_eq!(http(202, ""), Verdict::Unclear);
        assert_eq!(classify(&FirstAnswer::Network { maybe_cors: false }), Verdict::Unclear);
    }
}
