//! All tools of an agent under names that a model may use, in one canonical order.
//!
//! Order: the app's own tools as given, then server by server in the app's order, each server's tools by name. The
//! order depends on nothing else, so that a provider's prompt cache survives a server that lists its tools
//! differently each time. Wire names lead back to tools by this table, never by splitting them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agent::config::{AppTool, Approval};
use crate::agent::policy::asks;
use crate::agent::selection::Candidate;
use crate::json::{self, Names};
use crate::llm::types::ToolDefinition;
use crate::mcp::config::Labels;
use crate::mcp::trust::{self, Change};
use crate::mcp::types::{Annotations, Tool};
use crate::options::FunctionId;

/// What a run needs to know of a tool to decide on its calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolEntry {
    /// Name that the model uses.
    pub wire_name: String,
    /// Name that the app sees: `server.tool`, or the plain name of an app tool.
    pub name: String,
    /// Server, for MCP tools.
    pub server: Option<String>,
    /// The tool is known to change nothing.
    pub read_only: bool,
    /// Calling it twice does no more than calling it once.
    #[serde(default)]
    pub idempotent: bool,
    /// Its definition is not the one that was seen first or approved.
    #[serde(default)]
    pub changed: Option<Change>,
    /// Set for a tool of the agent itself. It does nothing that would have to be approved.
    #[serde(default)]
    pub builtin: Option<Builtin>,
    /// Most calls of its server's tools at work at once.
    #[serde(default)]
    pub limit: Option<u32>,
    /// What it gives is private, see `agent::flow`.
    #[serde(default)]
    pub private: bool,
    /// What it is given may end up anywhere.
    #[serde(default)]
    pub outside: bool,
}

/// A tool that the agent itself has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Builtin {
    /// `run_plan`: makes many calls in one.
    Plan,
    /// `end_goal`: ends the goal that a run pursues.
    Goal,
    /// `read_result`: reads what was too long to be shown.
    Read,
    /// `find_tools`: finds tools that are not offered yet.
    Find,
}

impl Builtin {
    /// The tool of that name in a log.
    pub(crate) fn read(name: &str) -> Option<Builtin> {
        match name {
            "plan" => Some(Builtin::Plan),
            "goal" => Some(Builtin::Goal),
            "read" => Some(Builtin::Read),
            "find" => Some(Builtin::Find),
            _ => None,
        }
    }
}

impl ToolEntry {
    /// A tool of the agent itself, under a name that none of `others` has.
    pub fn builtin(builtin: Builtin, others: &[ToolEntry]) -> ToolEntry {
        let mut name = match builtin {
            Builtin::Plan => "run_plan".to_owned(),
            Builtin::Goal => "end_goal".to_owned(),
            Builtin::Read => "read_result".to_owned(),
            Builtin::Find => "find_tools".to_owned(),
        };
        while others.iter().any(|other| other.wire_name == name || other.name == name) {
            name.push('_');
        }
        ToolEntry { wire_name: name.clone(), name, read_only: true, builtin: Some(builtin), ..ToolEntry::default() }
    }
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a tool of an MCP server.
    Server {
        /// Name of the server.
        server: String,
        /// Name of the tool on it.
        tool: String,
    },
    /// To a function of the app.
    App(FunctionId),
}

/// One tool with everything known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogTool {
    /// The part that runs decide on.
    pub entry: ToolEntry,
    /// Where a call goes.
    pub target: Target,
    /// Name for people.
    pub title: Option<String>,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub input_schema: Value,
    /// JSON Schema of its structured result.
    pub output_schema: Option<Value>,
    /// Hints on its effects.
    pub annotations: Annotations,
    /// About the bytes of its definition.
    pub bytes: usize,
    /// What it gives is private, or may be.
    pub private: bool,
}

/// All tools in canonical order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    tools: Vec<CatalogTool>,
}

/// Bytes of a definition beside its words and its schema.
const FRAME: usize = 60;

/// Longest wire name that all providers take.
const MAX_NAME: usize = 64;

impl Catalog {
    /// Gathers the tools of the app and of each server, given as name and tools in the app's order.
    pub fn build<'a>(app: &[AppTool], servers: impl IntoIterator<Item = (&'a str, &'a [Tool])>) -> Catalog {
        let mut names = Names::default();
        let mut tools = Vec::new();
        for tool in app {
            tools.push(CatalogTool {
                entry: ToolEntry {
                    wire_name: unique(&tool.name, &mut names),
                    name: tool.name.clone(),
                    server: None,
                    read_only: tool.annotations.read_only,
                    idempotent: tool.annotations.idempotent,
                    changed: None,
                    builtin: None,
                    limit: None,
                    private: false,
                    outside: tool.open_world,
                },
                target: Target::App(tool.execute),
                title: None,
                description: tool.description.clone(),
                input_schema: tool.input_schema.clone(),
                output_schema: None,
                annotations: tool.annotations,
                bytes: 0,
                private: false,
            });
        }
        for (server, listed) in servers {
            let mut sorted: Vec<&Tool> = listed.iter().collect();
            sorted.sort_by(|a, b| a.name.cmp(&b.name));
            // A server that lists a name twice has one tool of that name: `tools/call` could not tell them apart.
            sorted.dedup_by(|a, b| a.name == b.name);
            for tool in sorted {
                // What people and models get to see; the server is called by the name that it gave.
                let name = trust::visible(&tool.name).unwrap_or_else(|| tool.name.clone());
                let (mut input_schema, mut output_schema) = (tool.input_schema.clone(), tool.output_schema.clone());
                trust::free(&mut input_schema);
                output_schema.iter_mut().for_each(trust::free);
                tools.push(CatalogTool {
                    entry: ToolEntry {
                        wire_name: unique(&[server, "__", &name].concat(), &mut names),
                        name: [server, ".", &name].concat(),
                        server: Some(server.to_owned()),
                        read_only: tool.annotations.read_only,
                        idempotent: tool.annotations.idempotent,
                        changed: tool.changed.clone(),
                        builtin: None,
                        limit: None,
                        private: false,
                        outside: tool.annotations.open_world,
                    },
                    target: Target::Server { server: server.to_owned(), tool: tool.name.clone() },
                    title: tool.title.clone(),
                    description: tool.description.clone(),
                    input_schema,
                    output_schema,
                    annotations: tool.annotations,
                    bytes: 0,
                    private: false,
                });
            }
        }
        for tool in &mut tools {
            let words = tool.entry.wire_name.len() + tool.description.len();
            tool.bytes = words + json::size(&tool.input_schema) + FRAME;
        }
        Catalog { tools }
    }

    /// Takes over what the app says of a server.
    pub fn mark(&mut self, server: &str, limit: Option<u32>, labels: &Labels) {
        let of_it = |tool: &&mut CatalogTool| tool.entry.server.as_deref() == Some(server);
        for tool in self.tools.iter_mut().filter(of_it) {
            tool.entry.limit = limit;
            tool.entry.private = labels.private;
            tool.private = labels.private || !labels.private_resources.is_empty();
            tool.entry.outside |= labels.untrusted;
        }
    }

    /// Every tool in canonical order.
    pub fn tools(&self) -> &[CatalogTool] {
        &self.tools
    }

    /// The tool that the app calls `name`, or that a model calls so.
    pub fn find(&self, name: &str) -> Option<&CatalogTool> {
        let by_name = self.tools.iter().find(|tool| tool.entry.name == name);
        by_name.or_else(|| self.tools.iter().find(|tool| tool.entry.wire_name == name))
    }

    /// What runs decide on.
    pub fn entries(&self) -> Vec<ToolEntry> {
        self.tools.iter().map(|tool| tool.entry.clone()).collect()
    }

    /// What the model is told.
    pub fn definitions(&self) -> Vec<ToolDefinition> {
        self.tools.iter().map(CatalogTool::definition).collect()
    }

    /// About the bytes of all definitions.
    pub fn bytes(&self) -> usize {
        self.tools.iter().map(|tool| tool.bytes).sum()
    }

    /// The tools as they are chosen from.
    pub fn candidates(&self) -> Vec<Candidate<'_>> {
        let candidate = |tool| {
            let CatalogTool { entry, bytes, .. }: &CatalogTool = tool;
            let (name, wire_name) = (&*entry.name, &*entry.wire_name);
            Candidate { name, wire_name, bytes: *bytes, own: entry.server.is_none() }
        };
        self.tools.iter().map(candidate).collect()
    }

    /// What the app is told: an array of `ToolInfo`. `approval` says which calls would be asked for.
    pub fn to_json(&self, approval: Approval) -> Value {
        self.tools.iter().map(|tool| tool.to_json(approval)).collect()
    }
}

impl CatalogTool {
    /// What the model is told of it.
    pub fn definition(&self) -> ToolDefinition {
        ToolDefinition {
            name: self.entry.wire_name.clone(),
            description: self.description.clone(),
            input_schema: self.input_schema.clone(),
        }
    }

    fn to_json(&self, approval: Approval) -> Value {
        let mut info = json!({
            "name": self.entry.name,
            "description": self.description,
            "inputSchema": self.input_schema,
            "annotations": {
                "readOnly": self.annotations.read_only,
                "destructive": self.annotations.destructive,
                "idempotent": self.annotations.idempotent,
                "openWorld": self.annotations.open_world,
            },
        });
        if let Some(server) = &self.entry.server {
            info["server"] = json!(server);
        }
        if let Some(title) = &self.title {
            info["title"] = json!(title);
        }
        if let Some(schema) = &self.output_schema {
            info["outputSchema"] = schema.clone();
        }
        if let Some(why) = asks(approval, &self.entry) {
            info["asks"] = why.into();
        }
        if self.private {
            info["private"] = true.into();
        }
        info
    }
}

/// How the wire name of every tool of that server begins, as far as a long name leaves room for it.
pub(crate) fn wire_prefix(server: &str) -> String {
    let mut prefix = clean(&[server, "__"].concat());
    // What follows may make a name unique.
    prefix.truncate(MAX_NAME - 5);
    prefix
}

/// `wanted` with every character that a provider might refuse replaced, cut to 64.
fn clean(wanted: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    // Gemini wants a letter or an underscore first.
    let first = if wanted.starts_with(|c: char| c.is_ascii_digit() || c == '-') { "_" } else { "" };
    first.chars().chain(wanted.chars().map(allowed)).take(MAX_NAME).collect()
}

/// The same, made unique.
fn unique(wanted: &str, taken: &mut Names) -> String {
    let clean = clean(wanted);
    let mut name = clean.clone();
    let mut count = 1;
    while !taken.insert(&name) {
        count += 1;
        let suffix = ["_", &count.to_string()].concat();
        // All ASCII by now, so cutting by bytes is safe.
        name = [&clean[..clean.len().min(MAX_NAME - suffix.len())], suffix.as_str()].concat();
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn tool(name: &str) -> Tool {
        Tool {
            name: name.into(),
            title: None,
            description: String::new(),
            input_schema: json!({ "type": "object" }),
            output_schema: None,
            annotations: Annotations::default(),
            task: false,
            fingerprint: String::new(),
            changed: None,
        }
    }

    #[test]
    fn wire_names_are_clean_unique_and_lead_back() {
        let long = "x".repeat(100);
        let weather = [tool("get.forecast"), tool("get/forecast"), tool("get forecast"), tool(&long), tool("日本")];
        let other = [tool("get_forecast")];
        let odd = [tool("forecast")];
        let servers = [("weather", &weather[..]), ("weather__get", &other[..]), ("3d", &odd[..]), ("-", &odd[..])];
        let catalog = Catalog::build(&[], servers);
        let names: BTreeSet<&str> = catalog.tools().iter().map(|tool| tool.entry.wire_name.as_str()).collect();
        assert_eq!(names.len(), 8);
        for tool in catalog.tools() {
            let name = &tool.entry.wire_name;
            assert!((1..=64).contains(&name.len()), "{name}");
            assert!(name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'), "{name}");
            assert_eq!(catalog.find(name).unwrap().target, tool.target);
            assert_eq!(catalog.find(&tool.entry.name).unwrap().target, tool.target);
        }
    }

    #[test]
    fn the_order_does_not_depend_on_how_a_server_lists() {
        let (a, b) = (tool("a"), tool("b"));
        let one = Catalog::build(&[], [("s", &[a.clone(), b.clone()][..])]);
        let two = Catalog::build(&[], [("s", &[b, a.clone(), a][..])]);
        assert_eq!(one, two);
    }
}
