//! The tools of [`ScriptedMcp`](super::ScriptedMcp): what they take, what they give, what they change.

use serde_json::{Value, json};

/// A tool that the scripted server may offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ToolKind {
    /// Adds two numbers; reads only.
    Add,
    /// Gives its text back; reads only.
    Echo,
    /// Writes down a line; twice is twice.
    Note,
    /// Sets a value; twice is once.
    Put,
    /// Takes its time and tells its progress; reads only.
    Slow,
    /// Says that it failed.
    Fail,
    /// Answers with a JSON-RPC error.
    Broken,
    /// Asks the user before it answers, if need be several times.
    Ask,
}

impl ToolKind {
    /// All of them.
    pub const ALL: [ToolKind; 8] = [
        ToolKind::Add,
        ToolKind::Echo,
        ToolKind::Note,
        ToolKind::Put,
        ToolKind::Slow,
        ToolKind::Fail,
        ToolKind::Broken,
        ToolKind::Ask,
    ];

    /// Name on the server.
    pub fn name(self) -> &'static str {
        match self {
            ToolKind::Add => "add",
            ToolKind::Echo => "echo.text",
            ToolKind::Note => "note",
            ToolKind::Put => "put",
            ToolKind::Slow => "slow",
            ToolKind::Fail => "fail",
            ToolKind::Broken => "broken",
            ToolKind::Ask => "ask",
        }
    }

    /// The tool of that name.
    pub fn named(name: &str) -> Option<ToolKind> {
        ToolKind::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// The tool that a description belongs to: each begins with the name and a colon.
    pub fn described(description: &str) -> Option<ToolKind> {
        ToolKind::named(description.split_once(": ")?.0)
    }

    /// The tool changes something.
    pub fn writes(self) -> bool {
        matches!(self, ToolKind::Note | ToolKind::Put)
    }

    /// The tool never gives a good result.
    pub fn fails(self) -> bool {
        matches!(self, ToolKind::Fail | ToolKind::Broken)
    }

    /// The tool as `tools/list` shows it.
    pub fn definition(self) -> Value {
        let text = json!({ "type": "string" });
        let number = json!({ "type": "number" });
        let (what, properties, required) = match self {
            ToolKind::Add => ("adds a and b", json!({ "a": number, "b": number }), json!(["a", "b"])),
            ToolKind::Echo => ("gives the text back", json!({ "text": text }), json!(["text"])),
            ToolKind::Note => ("writes down a line", json!({ "key": text, "text": text }), json!(["key"])),
            ToolKind::Put => ("sets a value", json!({ "key": text, "value": {} }), json!(["key"])),
            ToolKind::Slow => ("takes its time", json!({ "steps": { "type": "integer" } }), json!([])),
            ToolKind::Fail => ("always fails", json!({}), json!([])),
            ToolKind::Broken => ("always breaks", json!({}), json!([])),
            ToolKind::Ask => ("asks before it answers", json!({}), json!([])),
        };
        let mut definition = json!({
            "name": self.name(),
            "description": format!("{}: {what}", self.name()),
            "inputSchema": { "type": "object", "properties": properties, "required": required },
        });
        if !self.writes() {
            definition["annotations"] = json!({ "readOnlyHint": true, "openWorldHint": false });
        } else if self == ToolKind::Put {
            definition["annotations"] = json!({ "readOnlyHint": false, "idempotentHint": true });
        }
        definition
    }

    /// The text a call with these arguments gives; `None` when it fails.
    pub fn result(self, arguments: &Value) -> Option<String> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str);
        let number = |name: &str| arguments.get(name).and_then(Value::as_f64);
        match self {
            ToolKind::Add => Some((number("a")? + number("b")?).to_string()),
            ToolKind::Echo => text("text").map(str::to_owned),
            ToolKind::Note => Some(format!("noted {}", text("key")?)),
            ToolKind::Put => Some(format!("put {}", text("key")?)),
            ToolKind::Slow => Some(format!("took {} steps", steps(arguments))),
            ToolKind::Ask => Some("asked".to_owned()),
            ToolKind::Fail | ToolKind::Broken => None,
        }
    }
}

/// How many steps [`ToolKind::Slow`] takes.
pub(super) fn steps(arguments: &Value) -> u64 {
    arguments.get("steps").and_then(Value::as_u64).unwrap_or(3).min(20)
}
