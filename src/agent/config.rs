//! Everything an agent is told when it is made.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::agent::context::ContextConfig;
use crate::cache::CacheConfig;
use crate::error::{Error, Result};
use crate::llm::config::ModelConfig;
use crate::llm::types::{Block, Message};
use crate::mcp::call_options::read_meta;
use crate::mcp::config::ServerConfig;
use crate::mcp::types::Annotations;
use crate::options::{Fields, FunctionId, expected};
use crate::secret::Secret;
use crate::time::Millis;

/// When the user is asked before a tool is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// Never.
    Never,
    /// For every tool whose annotations do not say that it only reads.
    #[default]
    Writes,
    /// For every call.
    Always,
    /// The app's function decides: true asks the user.
    Function(FunctionId),
}

/// A tool that the app itself provides.
#[derive(Clone, Debug, PartialEq)]
pub struct AppTool {
    /// Name: 1 to 64 of `[A-Za-z0-9_-]`, unique among the app's tools.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub input_schema: Value,
    /// Hints on its effects.
    pub annotations: Annotations,
    /// It says itself that it reaches beyond the app.
    pub open_world: bool,
    /// The function to call.
    pub execute: FunctionId,
}

/// Bounds of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most turns of a run; default 10.
    pub max_turns: u32,
    /// Longest silence of the model, in milliseconds, before the turn fails; default 120,000.
    pub turn_timeout: Millis,
    /// Longest silence of a tool before its call fails; default that of its server, 60,000. Progress starts it anew.
    pub tool_timeout: Option<Millis>,
    /// Most tool calls at work at once; default 8.
    pub max_parallel_tools: u32,
    /// Most tries of one model call, the first included; default 4.
    pub max_attempts: u32,
    /// Most model and tool calls of a run that are made again; default 16.
    pub max_retries: u32,
    /// About the most tokens of one tool result that the model is shown; the rest is kept under a handle; default 10,000.
    #[serde(default = "max_result_tokens")]
    pub max_result_tokens: u32,
    /// About the most tokens of tool definitions that the model is offered at first; default 20,000. Where all take more, those
    /// are offered that fit the prompt, and `find_tools`.
    #[serde(default = "max_tool_tokens")]
    pub max_tool_tokens: u32,
    /// Longest answer of the model, in milliseconds, however much of it comes; default 1,800,000.
    pub turn_max: Millis,
}

fn max_result_tokens() -> u32 {
    10_000
}

fn max_tool_tokens() -> u32 {
    20_000
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_turns: 10,
            turn_timeout: Millis::from_secs(120),
            tool_timeout: None,
            max_parallel_tools: 8,
            max_attempts: 4,
            max_retries: 16,
            max_result_tokens: max_result_tokens(),
            max_tool_tokens: max_tool_tokens(),
            turn_max: Millis::from_secs(1800),
        }
    }
}

impl Limits {
    fn read(value: &Value, path: &str) -> Result<Limits> {
        let mut fields = Fields::open(value, path)?;
        let default = Limits::default();
        let count = |number: Option<u64>, default: u32| number.map_or(default, |number| number as u32);
        let limits = Limits {
            max_turns: count(fields.whole("maxTurns", 1..=1_000_000)?, default.max_turns),
            turn_timeout: fields.whole("turnTimeoutMs", 1..=Millis::MAX_TIMER.0)?.map_or(default.turn_timeout, Millis),
            tool_timeout: fields.whole("toolTimeoutMs", 1..=Millis::MAX_TIMER.0)?.map(Millis),
            max_parallel_tools: count(fields.whole("maxParallelTools", 1..=1000)?, default.max_parallel_tools),
            max_attempts: count(fields.whole("maxAttempts", 1..=100)?, default.max_attempts),
            max_retries: count(fields.whole("maxRetries", 0..=10_000)?, default.max_retries),
            max_result_tokens: count(fields.whole("maxResultTokens", 100..=1_000_000_000)?, default.max_result_tokens),
            max_tool_tokens: count(fields.whole("maxToolTokens", 100..=1_000_000_000)?, default.max_tool_tokens),
            turn_max: fields.whole("turnMaxMs", 1..=Millis::MAX_TIMER.0)?.map_or(default.turn_max, Millis),
        };
        fields.finish()?;
        Ok(limits)
    }
}

/// Everything an agent is told when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentConfig {
    /// The model.
    pub model: ModelConfig,
    /// The MCP servers, in the app's order.
    pub servers: Vec<ServerConfig>,
    /// The app's own tools.
    pub tools: Vec<AppTool>,
    /// System prompt.
    pub system: Option<String>,
    /// When the user is asked.
    pub approval: Approval,
    /// Bounds of a run.
    pub limits: Limits,
    /// Asked for what servers want of the user, instead of an event; for every server that has no function of its own.
    pub on_input: Option<FunctionId>,
    /// What goes before the model by itself; `None` for nothing.
    pub context: Option<ContextConfig>,
    /// Given every span of the runs, when it has ended.
    pub on_span: Option<FunctionId>,
    /// The spans hold prompts, answers, arguments and results; default false.
    pub span_content: bool,
    /// Arguments and structured results are checked against the schemas of the tools; default true.
    pub validate: bool,
    /// Models are offered `run_plan`; default false.
    pub plans: bool,
    /// What may be answered from what was said before.
    pub cache: CacheConfig,
    /// The logs of runs are stored until they have ended, so that they can be resumed; default false.
    pub journal: bool,
    /// Seals the snapshots of runs that are put away, and only such are resumed.
    pub snapshot_secret: Option<Secret>,
}

impl AgentConfig {
    /// Reads the argument of `new Agent(...)`.
    ///
    /// # Errors
    ///
    /// `config` with the path of the first field that is wrong; also for two servers, or two tools, of one name.
    pub fn read(value: &Value) -> Result<AgentConfig> {
        let mut fields = Fields::open(value, "")?;
        let model = match fields.value("model") {
            Some(model) => ModelConfig::read(model, "model")?,
            None => return Err(Error::config("model", "is required (an object)")),
        };
        let mut servers: Vec<ServerConfig> = Vec::new();
        for (path, item) in fields.array("servers")? {
            let server = ServerConfig::read(item, &path)?;
            if servers.iter().any(|known| known.name == server.name) {
                let message = ["another server is named `", &server.name, "` already"].concat();
                return Err(Error::config([&path, ".name"].concat(), &message));
            }
            servers.push(server);
        }
        let mut tools: Vec<AppTool> = Vec::new();
        for (path, item) in fields.array("tools")? {
            let tool = read_tool(item, &path)?;
            if tools.iter().any(|known| known.name == tool.name) {
                let message = ["another tool is named `", &tool.name, "` already"].concat();
                return Err(Error::config([&path, ".name"].concat(), &message));
            }
            tools.push(tool);
        }
        let config = AgentConfig {
            model,
            servers,
            tools,
            system: fields.string("system")?.map(str::to_owned),
            approval: read_approval(fields.value("approval"))?,
            context: fields.value("context").map(|value| ContextConfig::read(value, "context")).transpose()?,
            validate: fields.boolean("validate")?.unwrap_or(true),
            plans: fields.boolean("plans")?.unwrap_or(false),
            limits: fields.value("limits").map_or(Ok(Limits::default()), |value| Limits::read(value, "limits"))?,
            on_input: fields.function("onInput")?,
            on_span: fields.function("onSpan")?,
            span_content: fields.boolean("spanContent")?.unwrap_or(false),
            cache: CacheConfig::read(fields.value("cache"))?,
            journal: fields.boolean("journal")?.unwrap_or(false),
            snapshot_secret: fields.string("snapshotSecret")?.map(Secret::new),
        };
        fields.finish()?;
        Ok(config)
    }
}

fn read_approval(value: Option<&Value>) -> Result<Approval> {
    let Some(value) = value else { return Ok(Approval::default()) };
    match value.as_str() {
        Some("never") => Ok(Approval::Never),
        Some("writes") => Ok(Approval::Writes),
        Some("always") => Ok(Approval::Always),
        _ => match FunctionId::from_marker(value) {
            Some(function) => Ok(Approval::Function(function)),
            None => Err(expected("approval", "\"never\", \"writes\", \"always\" or a function", value)),
        },
    }
}

fn read_tool(value: &Value, path: &str) -> Result<AppTool> {
    let mut fields = Fields::open(value, path)?;
    let name = fields.required("name")?;
    if name.len() > 64 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        return Err(Error::config(fields.path("name"), "must be 1 to 64 letters, digits, `_` or `-`"));
    }
    let input_schema = match fields.value("inputSchema") {
        None => json!({ "type": "object" }),
        Some(schema @ Value::Object(_)) => schema.clone(),
        Some(other) => return Err(expected(&fields.path("inputSchema"), "a JSON Schema object", other)),
    };
    let annotations = fields.value("annotations");
    if let Some(value) = annotations {
        let mut hints = Fields::open(value, &fields.path("annotations"))?;
        hints.string("title")?;
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            hints.boolean(hint)?;
        }
        hints.finish()?;
    }
    let tool = AppTool {
        name: name.to_owned(),
        description: fields.string("description")?.unwrap_or("").to_owned(),
        input_schema,
        annotations: Annotations::read(annotations),
        open_world: annotations.and_then(|hints| hints.get("openWorldHint")) == Some(&Value::Bool(true)),
        execute: match fields.function("execute")? {
            Some(function) => function,
            None => return Err(Error::config(fields.path("execute"), "is required (a function)")),
        },
    };
    fields.finish()?;
    Ok(tool)
}

/// What one run is told beyond its agent's configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunOptions {
    /// History to go on from, as `done.messages` of an earlier run gave it.
    pub messages: Vec<Message>,
    /// The run goes on until the model says that the prompt's goal is met, see [`crate::agent::goal`].
    pub goal: bool,
    /// Most turns of this run, instead of the agent's.
    pub max_turns: Option<u32>,
    /// Images and recordings that go with the prompt.
    pub attachments: Vec<Block>,
    /// JSON Schema that the final answer has to satisfy.
    pub output: Option<Value>,
    /// What the MCP requests of its tool calls carry in `_meta` besides, such as `traceparent`.
    pub meta: Map<String, Value>,
}

impl RunOptions {
    /// Reads the second argument of `agent.run(...)`; null means none.
    ///
    /// # Errors
    ///
    /// `config` with the path of the first field that is wrong.
    pub fn read(value: &Value) -> Result<RunOptions> {
        if value.is_null() {
            return Ok(RunOptions::default());
        }
        let mut fields = Fields::open(value, "")?;
        let max_turns = fields.whole("maxTurns", 1..=1_000_000)?.map(|turns| turns as u32);
        let mut messages = Vec::new();
        for (path, item) in fields.array("messages")? {
            let message = Message::read(item);
            messages.push(message.ok_or_else(|| Error::config(path, "is not a message: `{ role, content: [...] }`"))?);
        }
        let mut attachments = Vec::new();
        for (path, item) in fields.array("attachments")? {
            match item.as_object().and_then(|block| Block::read(block.clone())) {
                Some(block @ (Block::Image { .. } | Block::Audio { .. } | Block::Text { .. })) => {
                    attachments.push(block)
                }
                _ => {
                    let words =
                        "is none: `{ type: \"image\" | \"audio\", data, mimeType }` or `{ type: \"text\", text }`";
                    return Err(Error::config(path, words));
                }
            }
        }
        let output = match fields.value("output") {
            None => None,
            Some(schema @ Value::Object(_)) => Some(schema.clone()),
            Some(other) => return Err(expected("output", "a JSON Schema object", other)),
        };
        let meta = read_meta(&mut fields)?;
        let goal = match fields.value("mode").map(|mode| (mode, mode.as_str())) {
            None | Some((_, Some("chat"))) => false,
            Some((_, Some("goal"))) => true,
            Some((mode, _)) => return Err(expected("mode", "\"chat\" or \"goal\"", mode)),
        };
        fields.finish()?;
        Ok(RunOptions { messages, goal, max_turns, attachments, output, meta })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(value: Value) -> String {
        AgentConfig::read(&value).unwrap_err().message.clone()
    }

    #[test]
    fn the_smallest_agent() {
        let config = AgentConfig::read(&json!({ "model": { "provider": "offline" } })).unwrap();
        assert_eq!(config.approval, Approval::Writes);
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn names_what_is_wrong() {
        let model = json!({ "provider": "offline" });
        let server = json!({ "name": "a", "url": "https://a.test/mcp" });
        assert_eq!(message(json!({})), "model: is required (an object)");
        assert_eq!(message(json!(7)), "options: expected an object, got 7");
        assert_eq!(
            message(json!({ "model": model, "servers": [server, server] })),
            "servers[1].name: another server is named `a` already"
        );
        assert_eq!(
            message(json!({ "model": model, "limits": { "maxTurns": 0 } })),
            "limits.maxTurns: expected a whole number from 1 to 1000000, got 0"
        );
        assert_eq!(
            message(json!({ "model": model, "tools": [{ "name": "t" }] })),
            "tools[0].execute: is required (a function)"
        );
        assert_eq!(
            message(json!({ "model": model, "approval": "sometimes" })),
            "approval: expected \"never\", \"writes\", \"always\" or a function, got a string"
        );
        assert!(message(json!({ "model": model, "server": [] })).contains("did you mean `servers`?"));
    }

    #[test]
    fn a_history_is_checked_message_by_message() {
        let good = json!({ "role": "user", "content": [{ "type": "text", "text": "hi" }] });
        let options = RunOptions::read(&json!({ "messages": [good] })).unwrap();
        assert_eq!(options.messages, [Message::user("hi")]);
        let error = RunOptions::read(&json!({ "messages": [good, { "role": "user" }] })).unwrap_err();
        assert_eq!(error.path.as_deref(), Some("messages[1]"));
        let options = RunOptions::read(&json!({ "meta": { "traceparent": "00-1", "own": [1] } })).unwrap();
        assert_eq!((options.meta.len(), &options.meta["own"]), (2, &json!([1])));
        for name in ["progressToken", "io.modelcontextprotocol/clientInfo"] {
            let error = RunOptions::read(&json!({ "meta": { name: 1 } })).unwrap_err();
            assert_eq!(error.path, Some(["meta.", name].concat()));
        }
    }
}
