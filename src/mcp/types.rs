//! Tools, results and server descriptions of MCP, as far as the agent reads them.

use serde_json::{Map, Value};

use crate::mcp::lists::Age;
use crate::mcp::trust::Change;

/// What a server says about a tool's effects ([MCP 2026-07-28, Tools, "ToolAnnotations"]). Hints, not proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Annotations {
    /// The tool changes nothing. Default false.
    pub read_only: bool,
    /// The tool may delete or overwrite. Default true; matters only when not read-only.
    pub destructive: bool,
    /// Calling it twice does no more than once. Default false.
    pub idempotent: bool,
    /// The tool reaches beyond its server. Default true.
    pub open_world: bool,
}

impl Default for Annotations {
    fn default() -> Annotations {
        Annotations { read_only: false, destructive: true, idempotent: false, open_world: true }
    }
}

impl Annotations {
    /// Reads `annotations` of a tool; a hint that is missing or no boolean keeps its default.
    pub fn read(value: Option<&Value>) -> Annotations {
        let hint = |name: &str, default: bool| {
            value.and_then(|value| value.get(name)).and_then(Value::as_bool).unwrap_or(default)
        };
        Annotations {
            read_only: hint("readOnlyHint", false),
            destructive: hint("destructiveHint", true),
            idempotent: hint("idempotentHint", false),
            open_world: hint("openWorldHint", true),
        }
    }
}

/// A tool of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// Name on its server.
    pub name: String,
    /// Name for people, without characters that nobody sees.
    pub title: Option<String>,
    /// What it does, without characters that nobody sees; may be empty.
    pub description: String,
    /// JSON Schema of the arguments, every keyword kept as it came.
    pub input_schema: Value,
    /// JSON Schema of `structuredContent`.
    pub output_schema: Option<Value>,
    /// Hints on its effects.
    pub annotations: Annotations,
    /// Servers of 2025-11-25 want it called as a task (`execution.taskSupport`).
    pub task: bool,
    /// Fingerprint of the definition as the server sent it, see [`crate::mcp::trust`].
    pub fingerprint: String,
    /// The definition is not the one that was seen first or approved.
    pub changed: Option<Change>,
}

/// What a tool gave ([MCP 2026-07-28, "CallToolResult"]).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallToolResult {
    /// Content blocks as they came: `text`, `image`, `audio`, `resource`, `resource_link`.
    pub content: Vec<Value>,
    /// The same as data; any JSON value.
    pub structured_content: Option<Value>,
    /// The tool says that it failed.
    pub is_error: bool,
    /// `_meta` of the result.
    pub meta: Option<Map<String, Value>>,
    /// It was not called for this: how old what it gave is.
    pub cached: Option<Age>,
}

/// A notice that a long call is still going on.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// How far it is; grows with every notice.
    pub progress: f64,
    /// How far it has to go, when known.
    pub total: Option<f64>,
    /// For people.
    pub message: Option<String>,
}
