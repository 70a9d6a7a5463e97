//! Builds the HTTP request of any MCP method, modern era.
//!
//! One request is one POST that says everything: revision, client and capabilities travel in `params._meta`, and
//! what gateways route by is mirrored into headers ([MCP 2026-07-28, Streamable HTTP, "Request Metadata"]).
//!
//! ```
//! # use edgewise::mcp::config::ServerConfig;
//! # use edgewise::mcp::request::{self, Call};
//! # let options = serde_json::json!({ "name": "weather", "url": "https://a.test/mcp" });
//! # let config = ServerConfig::read(&options, "servers[0]").unwrap();
//! let name = serde_json::json!("get_weather");
//! let params = [("name", &name)];
//! let call = Call::new("tools/call", &params);
//! let post = request::modern(&call, 1, request::MODERN[0], &config, None);
//! assert_eq!(post.headers.get("mcp-protocol-version"), Some("2026-07-28"));
//! assert_eq!(post.headers.get("mcp-method"), Some("tools/call"));
//! assert_eq!(post.headers.get("mcp-name"), Some("get_weather"));
//! assert!(post.body.unwrap().starts_with(
//!     r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_weather","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#
//! ));
//! ```
//!
//! [MCP 2026-07-28, Streamable HTTP, "Request Metadata"]: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http#request-metadata

use serde_json::Value;

use crate::http::{Headers, Method, Request};
use crate::jsonrpc;
use crate::mcp::config::ServerConfig;
use crate::mcp::era::Era;
use crate::mcp::header_value;
use crate::mcp::text::clean;
use crate::secret::Secret;

/// Revisions of the modern era that this client speaks, the best first.
pub const MODERN: [&str; 1] = ["2026-07-28"];

/// What this client is called, as JSON: `clientInfo` of both eras.
pub(crate) const CLIENT_INFO: &str = concat!(r#"{"name":"edgewise","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// One method call, independent of the era and of the id it will get.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Method, such as `tools/call`.
    pub method: &'a str,
    /// Parameters by name, without `_meta`.
    pub params: &'a [(&'a str, &'a Value)],
    /// Further members of `_meta`, such as `traceparent`.
    pub meta: &'a [(&'a str, &'a Value)],
    /// Asks for progress notices; its token is the request's id.
    pub progress: bool,
    /// Asks for a task; only revision 2025-11-25 has that, later ones leave it to the server.
    pub task: bool,
    /// `Mcp-Param-*` headers, encoded; only the modern era sends them.
    pub param_headers: Vec<(String, String)>,
}

impl<'a> Call<'a> {
    /// A call without extras.
    pub const fn new(method: &'a str, params: &'a [(&'a str, &'a Value)]) -> Call<'a> {
        Call { method, params, meta: &[], progress: false, task: false, param_headers: Vec::new() }
    }

    /// What the call is about: the tool, prompt, resource or task; mirrored into `Mcp-Name`.
    pub fn subject(&self) -> Option<&'a str> {
        let wanted = match self.method {
            "tools/call" | "prompts/get" => "name",
            "resources/read" => "uri",
            "tasks/get" | "tasks/update" | "tasks/result" | "tasks/cancel" => "taskId",
            _ => return None,
        };
        let (_, value) = self.params.iter().find(|(name, _)| *name == wanted)?;
        value.as_str()
    }

    /// How messages for people call it: `tools/call get_weather on weather`.
    pub fn label(&self, server: &str) -> String {
        let subject = self.subject().map(|subject| clean(subject, 80));
        match subject {
            Some(subject) => [self.method, " ", &subject, " on ", server].concat(),
            None => [self.method, " on ", server].concat(),
        }
    }

    /// True when the method changes nothing, so that sending it twice does no harm.
    pub fn is_safe(&self) -> bool {
        self.method != "tools/call"
    }
}

/// Builds the request of a modern call.
///
/// The app's own headers go along, but cannot replace those that the protocol defines. `token` wins over an
/// `Authorization` among the app's headers.
pub fn modern(call: &Call<'_>, id: u64, version: &str, config: &ServerConfig, token: Option<&Secret>) -> Request {
    let body = jsonrpc::request(id, call.method, call.params, &modern_meta(call, id, version, config));
    let mut request = post(config, token, body);
    request.headers.set("MCP-Protocol-Version", version);
    request.headers.set("Mcp-Method", call.method);
    if let Some(subject) = call.subject() {
        request.headers.set("Mcp-Name", header_value::encode(subject));
    }
    for (name, value) in &call.param_headers {
        request.headers.set(name, value.as_str());
    }
    request
}

fn modern_meta(call: &Call<'_>, id: u64, version: &str, config: &ServerConfig) -> String {
    let mut meta = String::from(r#"{"io.modelcontextprotocol/protocolVersion":"#);
    jsonrpc::push_text(&mut meta, version);
    meta.push_str(r#","io.modelcontextprotocol/clientCapabilities":"#);
    meta.push_str(&config.answerers.capabilities(Era::Modern));
    meta.push_str(r#","io.modelcontextprotocol/clientInfo":"#);
    meta.push_str(CLIENT_INFO);
    if call.progress {
        meta.push_str(r#","progressToken":"#);
        meta.push_str(&id.to_string());
    }
    if !call.meta.is_empty() {
        meta.push(',');
        jsonrpc::push_members(&mut meta, call.meta);
    }
    meta.push('}');
    meta
}

/// A POST with what both eras have in common.
pub(crate) fn post(config: &ServerConfig, token: Option<&Secret>, body: String) -> Request {
    let mut headers = base_headers(config, token);
    headers.set("Content-Type", "application/json");
    headers.set("Accept", "application/json, text/event-stream");
    Request { method: Method::Post, url: config.url.clone(), headers, body: Some(body) }
}

/// The app's headers and the credentials.
pub(crate) fn base_headers(config: &ServerConfig, token: Option<&Secret>) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in &config.headers {
        headers.set(name, value.reveal());
    }
    if let Some(token) = token {
        headers.set("Authorization", ["Bearer ", token.reveal()].concat());
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(options: Value) -> ServerConfig {
        ServerConfig::read(&options, "servers[0]").unwrap()
    }

    #[test]
    fn a_tool_call_field_by_field() {
        let config = config(json!({
            "name": "weather", "url": "https://a.test/mcp",
            "headers": { "X-Team": "blue", "mcp-method": "forged", "authorization": "Basic x" }
        }));
        let name = json!("wetter_für");
        let arguments = json!({ "city": "Oslo" });
        let trace = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let params = [("name", &name), ("arguments", &arguments)];
        let call = Call {
            progress: true,
            meta: &[("traceparent", &trace)],
            param_headers: vec![("Mcp-Param-City".into(), "Oslo".into())],
            ..Call::new("tools/call", &params)
        };
        let token = Secret::new("t0ken");
        let request = modern(&call, 12, "2026-07-28", &config, Some(&token));
        assert_eq!((request.method, request.url.as_str()), (Method::Post, "https://a.test/mcp"));
        let mut headers: Vec<_> = request.headers.iter().collect();
        headers.sort_unstable();
        assert_eq!(
            headers,
            [
                ("Accept", "application/json, text/event-stream"),
                ("Authorization", "Bearer t0ken"),
                ("Content-Type", "application/json"),
                ("MCP-Protocol-Version", "2026-07-28"),
                ("Mcp-Method", "tools/call"),
                ("Mcp-Name", "=?base64?d2V0dGVyX2bDvHI=?="),
                ("Mcp-Param-City", "Oslo"),
                ("X-Team", "blue"),
            ]
        );
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        assert_eq!(
            body,
            json!({
                "jsonrpc": "2.0", "id": 12, "method": "tools/call",
                "params": {
                    "name": "wetter_für",
                    "arguments": { "city": "Oslo" },
                    "_meta": {
                        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                        "io.modelcontextprotocol/clientCapabilities": {
                            "extensions": { "io.modelcontextprotocol/tasks": {} }
                        },
                        "io.modelcontextprotocol/clientInfo": { "name": "edgewise", "version": env!("CARGO_PKG_VERSION") },
                        "progressToken": 12,
                        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
                    }
                }
            })
        );
    }

    #[test]
    fn the_subject_follows_the_method() {
        let (uri, name) = (json!("file:///a b"), json!("n"));
        let params = [("uri", &uri), ("name", &name), ("taskId", &name)];
        let subject = |method| Call::new(method, &params).subject();
        assert_eq!(subject("resources/read"), Some("file:///a b"));
        assert_eq!(subject("prompts/get"), Some("n"));
        assert_eq!(subject("tasks/cancel"), Some("n"));
        assert_eq!(subject("tools/list"), None);
        assert_eq!(Call::new("tools/call", &[]).subject(), None);
    }

    #[test]
    fn labels_do_not_carry_control_characters() {
        let name = json!("a\nb\u{202E}");
        assert_eq!(Call::new("tools/call", &[("name", &name)]).label("weather"), "tools/call a b on weather");
        assert_eq!(Call::new("server/discover", &[]).label("weather"), "server/discover on weather");
    }
}
