//! What is known of a server, as data.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::mcp::era::Era;
use crate::mcp::exchange::Failure;
use crate::mcp::legacy::{self, Session};
use crate::mcp::text::{MAX_QUOTE, clean};

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has asked for it yet.
    Idle,
    /// The first exchange is under way.
    Connecting,
    /// Requests can be sent.
    Ready,
    /// The last attempt failed; the next request tries anew.
    Failed,
    /// As failed, and all that is missing is a user who signs in at the address in the error.
    AuthRequired,
    /// Closed by the app.
    Closed,
}

impl State {
    /// Where an attempt that failed so leaves a server.
    pub fn after(error: &Error) -> State {
        if error.authorization_url.is_some() { State::AuthRequired } else { State::Failed }
    }

    /// Name as JavaScript sees it.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Connecting => "connecting",
            State::Ready => "ready",
            State::Failed => "failed",
            State::AuthRequired => "auth_required",
            State::Closed => "closed",
        }
    }
}

/// What a server calls itself; for display only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Implementation {
    /// Program name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Name for people.
    pub title: Option<String>,
}

impl Implementation {
    /// Reads it out of a server's description of itself; `None` without a name.
    pub fn read(value: Option<&Value>) -> Option<Implementation> {
        let text = |name: &str| value?.get(name)?.as_str().map(|text| clean(text, MAX_QUOTE));
        Some(Implementation { name: text("name")?, version: text("version").unwrap_or_default(), title: text("title") })
    }
}

/// An established relation to a server: what every later request builds on.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Era of the server.
    pub era: Era,
    /// Revision, and in the legacy era the session.
    pub session: Session,
    /// Capabilities that the server declared.
    pub capabilities: Map<String, Value>,
    /// What the server calls itself.
    pub server_info: Option<Implementation>,
    /// The server's advice to the model on how to use it. Written by the server: not to be trusted.
    pub instructions: Option<String>,
}

impl Link {
    pub(crate) fn new(era: Era, session: Session, result: &mut Map<String, Value>) -> Link {
        let server_info = match era {
            Era::Modern => result.get("_meta").and_then(|meta| meta.get("io.modelcontextprotocol/serverInfo")),
            Era::Legacy => result.get("serverInfo"),
        };
        let server_info = Implementation::read(server_info);
        let capabilities = match result.remove("capabilities") {
            Some(Value::Object(capabilities)) => capabilities,
            _ => Map::new(),
        };
        let instructions = match result.remove("instructions") {
            Some(Value::String(instructions)) if !instructions.trim().is_empty() => Some(instructions),
            _ => None,
        };
        Link { era, session, capabilities, server_info, instructions }
    }

    /// True when a request was refused in a way that shows that this link no longer holds: the session is lost,
    /// or the server behind the address now speaks the other era. The server did not execute the request.
    pub fn is_refuted_by(&self, failure: &Failure) -> bool {
        let code = failure.rpc.as_ref().map(|rpc| rpc.code);
        match self.era {
            Era::Legacy => legacy::session_lost(failure, &self.session) || matches!(code, Some(-32022..=-32020)),
            Era::Modern => match (failure.error.status, code) {
                (Some(400), Some(_)) => legacy::session_lost(failure, &self.session),
                (Some(400 | 404 | 405 | 406 | 415 | 422), None) => true,
                _ => false,
            },
        }
    }
}

/// What is known of a server, for people and for JavaScript.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerInfo {
    /// Name that the app chose.
    pub name: String,
    /// Its MCP endpoint; empty where a transport stands in its place.
    pub url: String,
    /// Where the connection stands.
    pub state: State,
    /// Era, revision and the server's own words, once connected.
    pub link: Option<Link>,
    /// Parts of the server's answers that had to be left out, such as a tool without a name.
    pub warnings: Vec<String>,
    /// How many tools the last listing gave.
    pub tools: usize,
    /// Why the last attempt failed.
    pub error: Option<Error>,
}

impl ServerInfo {
    /// The TypeScript type `ServerInfo`. Never holds the session id.
    pub fn to_value(&self) -> Value {
        let mut value = json!({ "name": self.name, "url": self.url, "state": self.state.as_str() });
        if let (true, Some(fields)) = (self.url.is_empty(), value.as_object_mut()) {
            fields.remove("url");
        }
        value["tools"] = self.tools.into();
        if let Some(link) = &self.link {
            value["era"] = link.era.as_str().into();
            value["protocolVersion"] = link.session.version.as_str().into();
            value["capabilities"] = Value::Object(link.capabilities.clone());
            if let Some(info) = &link.server_info {
                let mut shown = json!({ "name": info.name, "version": info.version });
                if let Some(title) = &info.title {
                    shown["title"] = title.as_str().into();
                }
                value["serverInfo"] = shown;
            }
            if let Some(instructions) = &link.instructions {
                value["instructions"] = instructions.as_str().into();
            }
        }
        if !self.warnings.is_empty() {
            value["warnings"] = self.warnings.clone().into();
        }
        if let Some(error) = &self.error {
            value["error"] = crate::json::tree(error);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::jsonrpc::ErrorObject;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn modern(mut result: Value) -> Link {
        let session = Session { version: "2026-07-28".into(), id: None, endpoint: None };
        Link::new(Era::Modern, session, result.as_object_mut().unwrap())
    }

    #[test]
    fn a_link_keeps_what_the_server_says_of_itself() {
        let link = modern(json!({
            "capabilities": { "tools": {} }, "instructions": "Ask first.",
            "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "calc\n", "version": "1", "title": "Calculator" } }
        }));
        let info = Implementation { name: "calc".into(), version: "1".into(), title: Some("Calculator".into()) };
        assert_eq!(link.server_info, Some(info));
        assert_eq!(link.instructions.as_deref(), Some("Ask first."));
        assert!(link.capabilities.contains_key("tools"));
        let odd = modern(json!({ "capabilities": [], "instructions": 7, "_meta": "x" }));
        assert_eq!((odd.server_info, odd.instructions, odd.capabilities), (None, None, Map::new()));
    }

    #[test]
    fn info_as_javascript_sees_it() {
        let mut info = ServerInfo {
            name: "calc".into(),
            url: "/mcp".into(),
            state: State::Idle,
            link: None,
            warnings: Vec::new(),
            tools: 2,
            error: None,
        };
        assert_eq!(info.to_value(), json!({ "name": "calc", "url": "/mcp", "state": "idle", "tools": 2 }));
        let session = Session { version: "2025-06-18".into(), id: Some("s3cret".into()), endpoint: None };
        let result = json!({ "serverInfo": { "name": "c" } });
        info.link = Some(Link::new(Era::Legacy, session, &mut object(result)));
        info.error = Some(Error::new(Code::Network, "gone"));
        let value = info.to_value();
        assert_eq!((&value["era"], &value["protocolVersion"]), (&json!("legacy"), &json!("2025-06-18")));
        assert_eq!(value["serverInfo"], json!({ "name": "c", "version": "" }));
        assert_eq!(value["error"]["code"], "network");
        assert!(!value.to_string().contains("s3cret"));
    }

    #[test]
    fn what_refutes_a_modern_link() {
        let link = modern(json!({}));
        let refuted = |status: u16, rpc: Option<(i64, &str)>| {
            let rpc = rpc.map(|(code, message)| Box::new(ErrorObject { code, message: message.into(), data: None }));
            link.is_refuted_by(&Failure { error: Error::new(Code::Http, "").status(status), rpc })
        };
        assert!(refuted(400, Some((-32000, "Bad Request: Server not initialized"))));
        assert!(refuted(405, None));
        assert!(!refuted(400, Some((-32602, "Unknown tool"))));
        assert!(!refuted(404, Some((-32601, "Method not found"))));
        assert!(!refuted(401, None));
        assert!(!refuted(502, None));
    }
}
