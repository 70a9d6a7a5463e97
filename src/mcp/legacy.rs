//! The handshake era of MCP: revisions 2025-03-26 to 2025-11-25 over Streamable HTTP.
//!
//! Everything that exists only there stands here: `initialize`, sessions, answers to a server's own requests,
//! cancel by notification, and streams that are taken up again ([`resume`]). The modern path never calls into this
//! module beyond the era decision.

pub mod endpoint;
pub mod resume;

use serde_json::{Map, Value, json};

use crate::http::{Head, Method, Request};
use crate::jsonrpc::{self, RequestId};
use crate::mcp::config::ServerConfig;
use crate::mcp::era::Era;
use crate::mcp::exchange::Failure;
use crate::mcp::request::{CLIENT_INFO, Call, base_headers, post};
use crate::secret::Secret;
use crate::time::Millis;

/// Revisions that this client accepts from `initialize`, the one it offers first.
///
/// 2024-11-05 had another transport ([`endpoint`]), but servers that copied its number into a Streamable HTTP endpoint
/// are common; they behave like 2025-03-26.
pub const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// How long a task is to be kept; servers may decide otherwise.
const TASK_TTL: Millis = Millis::from_secs(3_600);

/// What a legacy server has to be told with each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Negotiated revision; empty before `initialize` was answered.
    pub version: String,
    /// Session id, if the server gave one and CORS lets us see it.
    pub id: Option<String>,
    /// Where messages go, on a server of the transport of 2024-11-05; else they go to the server's URL.
    pub endpoint: Option<String>,
}

/// Reads the session id that came with the answer to `initialize`; one with other than visible ASCII is none.
pub fn session_id(head: &Head) -> Option<String> {
    let id = head.headers.get("mcp-session-id")?;
    (!id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic())).then(|| id.to_owned())
}

/// Builds the request of a call.
pub fn request(call: &Call<'_>, id: u64, session: &Session, config: &ServerConfig, token: Option<&Secret>) -> Request {
    let mut meta = String::new();
    if call.progress || !call.meta.is_empty() {
        meta.push('{');
        jsonrpc::push_members(&mut meta, call.meta);
        if call.progress {
            meta.push_str(if call.meta.is_empty() { "" } else { "," });
            meta.push_str(r#""progressToken":"#);
            meta.push_str(&id.to_string());
        }
        meta.push('}');
    }
    let wish = json!({ "ttl": TASK_TTL.0 });
    let mut params = call.params.to_vec();
    if call.task {
        params.push(("task", &wish));
    }
    send(jsonrpc::request(id, call.method, &params, &meta), session, config, token)
}

/// Builds the POST of a message that expects no result: a notification, or an answer to the server.
pub fn send(message: String, session: &Session, config: &ServerConfig, token: Option<&Secret>) -> Request {
    let mut request = post(config, token, message);
    mark(&mut request, session);
    request
}

/// Builds the `initialize` request ([MCP 2025-11-25, Lifecycle, "Initialization"]).
///
/// [MCP 2025-11-25, Lifecycle, "Initialization"]: https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#initialization
pub fn initialize(id: u64, config: &ServerConfig, token: Option<&Secret>) -> Request {
    let body = [
        r#"{"jsonrpc":"2.0","id":"#,
        &id.to_string(),
        r#","method":"initialize","params":{"protocolVersion":""#,
        VERSIONS[0],
        r#"","capabilities":"#,
        &config.answerers.capabilities(Era::Legacy),
        r#","clientInfo":"#,
        CLIENT_INFO,
        "}}",
    ];
    post(config, token, body.concat())
}

/// Builds the DELETE that ends a session; `None` when there is none to end.
pub fn end(session: &Session, config: &ServerConfig, token: Option<&Secret>) -> Option<Request> {
    session.id.as_ref()?;
    let headers = base_headers(config, token);
    let mut request = Request { method: Method::Delete, url: config.url.clone(), headers, body: None };
    mark(&mut request, session);
    Some(request)
}

pub(crate) fn mark(request: &mut Request, session: &Session) {
    if let Some(endpoint) = &session.endpoint {
        request.url.clone_from(endpoint);
    }
    // The header exists since 2025-06-18, for the transport of then; revisions are dates, so text order is time order.
    if session.version.as_str() >= "2025-06-18" && session.endpoint.is_none() {
        request.headers.set("MCP-Protocol-Version", session.version.as_str());
    }
    if let Some(id) = &session.id {
        request.headers.set("Mcp-Session-Id", id.as_str());
    }
}

/// The revision out of an `initialize` result, if we speak it; otherwise what the server said.
///
/// # Errors
///
/// The revision that the server insists on, empty when it names none.
pub fn negotiated(result: &Map<String, Value>) -> Result<&'static str, String> {
    let named = result.get("protocolVersion").and_then(Value::as_str).unwrap_or("");
    VERSIONS.into_iter().find(|version| *version == named).ok_or_else(|| named.to_owned())
}

/// Answers a request of the server that nobody has to be asked about: `ping` with an empty result, anything else as
/// unknown, since this client did not declare it.
pub fn reply(id: &RequestId, method: &str) -> String {
    match method {
        "ping" => jsonrpc::result(id, &json!({})),
        _ => jsonrpc::error(id, -32601, "Method not found"),
    }
}

/// Tells the server that the answer to `id` is no longer wanted.
pub fn cancelled(id: u64, reason: &str) -> String {
    let (id, reason) = (Value::from(id), Value::from(reason));
    jsonrpc::notification("notifications/cancelled", &[("requestId", &id), ("reason", &reason)])
}

/// True when the server refused a request because it does not know our session (any more).
///
/// `404` is what the specification demands ([MCP 2025-11-25, Transports, "Session Management"]); servers built
/// on the TypeScript SDK answer `400` with `-32000` and words about the session instead. Either way nothing was
/// executed, so the request may be sent again in a new session.
///
/// [MCP 2025-11-25, Transports, "Session Management"]: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management
pub fn session_lost(failure: &Failure, session: &Session) -> bool {
    match failure.error.status {
        Some(404) => session.id.is_some() || session.endpoint.is_some(),
        Some(400) => failure.rpc.as_ref().is_some_and(|rpc| {
            let words = rpc.message.to_ascii_lowercase();
            matches!(rpc.code, -32019..=-32000) && (words.contains("session") || words.contains("not initialized"))
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Error};
    use crate::http::Headers;
    use crate::jsonrpc::ErrorObject;

    fn config() -> ServerConfig {
        ServerConfig::read(&json!({ "name": "calc", "url": "https://a.test/mcp" }), "servers[0]").unwrap()
    }

    #[test]
    fn initialize_offers_the_newest_revision_and_no_headers_of_later_steps() {
        let request = initialize(1, &config(), None);
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        assert_eq!(
            body,
            json!({
                "jsonrpc": "2.0", "id": 1, "method": "initialize",
                "params": {
                    "protocolVersion": "2025-11-25", "capabilities": {},
                    "clientInfo": { "name": "edgewise", "version": env!("CARGO_PKG_VERSION") }
                }
            })
        );
        for name in ["mcp-protocol-version", "mcp-method", "mcp-session-id"] {
            assert_eq!(request.headers.get(name), None, "{name}");
        }
        assert_eq!(request.headers.get("accept"), Some("application/json, text/event-stream"));
    }

    #[test]
    fn requests_carry_the_session_and_the_revision_where_it_exists() {
        let name = json!("add");
        let params = [("name", &name)];
        let call = Call { progress: true, ..Call::new("tools/call", &params) };
        let mut session = Session { version: "2025-06-18".into(), id: Some("s1".into()), endpoint: None };
        let post = request(&call, 4, &session, &config(), Some(&Secret::new("t")));
        assert_eq!(post.headers.get("mcp-protocol-version"), Some("2025-06-18"));
        assert_eq!(post.headers.get("mcp-session-id"), Some("s1"));
        assert_eq!(post.headers.get("authorization"), Some("Bearer t"));
        assert_eq!(post.headers.get("mcp-method"), None);
        assert_eq!(
            post.body.as_deref(),
            Some(
                r#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"add","_meta":{"progressToken":4}}}"#
            )
        );
        session.version = "2025-03-26".into();
        let delete = end(&session, &config(), None).unwrap();
        assert_eq!((delete.method, delete.headers.get("mcp-session-id")), (Method::Delete, Some("s1")));
        assert_eq!(delete.headers.get("mcp-protocol-version"), None);
        session.id = None;
        assert_eq!(end(&session, &config(), None), None);
    }

    #[test]
    fn revisions_are_negotiated() {
        let named = |version: Value| negotiated(json!({ "protocolVersion": version }).as_object().unwrap());
        assert_eq!(named(json!("2025-03-26")), Ok("2025-03-26"));
        assert_eq!(named(json!("1999-01-01")), Err("1999-01-01".into()));
        assert_eq!(named(Value::Null), Err(String::new()));
    }

    #[test]
    fn session_ids_are_visible_ascii() {
        let id = |value: &str| {
            let mut headers = Headers::new();
            headers.set("MCP-Session-Id", value);
            session_id(&Head { status: 200, headers })
        };
        assert_eq!(id("1868a90c-x"), Some("1868a90c-x".into()));
        assert_eq!(id(""), None);
        assert_eq!(id("a\r\nb"), None);
        assert_eq!(session_id(&Head::default()), None);
    }

    #[test]
    fn the_server_gets_its_answers() {
        let Ok(jsonrpc::Message::Request { id, .. }) = jsonrpc::parse(br#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#)
        else {
            panic!()
        };
        assert_eq!(reply(&id, "ping"), r#"{"jsonrpc":"2.0","id":"p","result":{}}"#);
        assert_eq!(
            reply(&id, "roots/list"),
            r#"{"jsonrpc":"2.0","id":"p","error":{"code":-32601,"message":"Method not found"}}"#
        );
        assert_eq!(
            cancelled(4, "timeout"),
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4,"reason":"timeout"}}"#
        );
    }

    #[test]
    fn lost_sessions_are_recognised() {
        let lost = |status: u16, rpc: Option<(i64, &str)>, id: Option<&str>| {
            let rpc = rpc.map(|(code, message)| Box::new(ErrorObject { code, message: message.into(), data: None }));
            let failure = Failure { error: Error::new(Code::Http, "").status(status), rpc };
            session_lost(&failure, &Session { version: "2025-06-18".into(), id: id.map(str::to_owned), endpoint: None })
        };
        assert!(lost(404, None, Some("s")));
        assert!(lost(404, Some((-32001, "Session not found")), Some("s")));
        assert!(!lost(404, None, None), "without a session a 404 is a wrong address");
        assert!(lost(400, Some((-32000, "Bad Request: No valid session ID provided")), Some("s")));
        assert!(lost(400, Some((-32000, "Bad Request: Server not initialized")), Some("s")));
        assert!(!lost(400, Some((-32602, "session is no such argument")), Some("s")));
        assert!(!lost(400, None, Some("s")));
        assert!(!lost(500, Some((-32000, "session store down")), Some("s")));
    }
}
