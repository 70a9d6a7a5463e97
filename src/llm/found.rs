//! Tools that are found while a conversation goes on, told of where they were found instead of in front of it all: so what was
//! sent before stays what it was, and the provider's prompt cache holds.
//!
//! ```text
//! anthropic          in "tools", behind the others: "defer_loading":true
//!                    in the result:                 {"type":"tool_reference","tool_name":"send_mail"}
//! openai-responses   behind the results:            {"type":"additional_tools","role":"developer","tools":[...]}
//! ```
//!
//! Anthropic leaves deferred tools out of the prompt and puts each definition where it is referred to. It refuses references
//! beside other content in one result, a reference to a tool that is not in `tools`, a cache breakpoint on a deferred tool, and
//! a request with no other tools ([Tool search], "Custom tool search implementation", of May 2026; no beta header). OpenAI's
//! item makes tools callable from its place on ([Tool search, OpenAI], "Add tools at a specific point in the input").
//!
//! Anthropic's prompt is another one as soon as any tool is deferred, as others have measured. So where more may be found, one that is not offered is sent as
//! a deferred tool from the first request on: nobody refers to it, and the first that is found changes nothing in front.
//!
//! The history says in a mark on a result which tools were found there, and in one on a prompt which it adds, so that it is
//! written the same again by whoever takes it up. OpenAI's item can stand before a prompt; Anthropic's references cannot. Other
//! wires, and hosts that are not the provider's own, pass over the marks and are told of all tools in front: some hosts
//! fail at a kind of content that they do not know, and some leave it out, with what it tells. A tool whose result is not shown
//! any more, as after a compaction, stands in front as well. A provider that refuses is asked again in the old way.
//!
//! [Tool search]: https://platform.claude.com/docs/en/agents-and-tools/tool-use/tool-search-tool
//! [Tool search, OpenAI]: https://developers.openai.com/api/docs/guides/tools-tool-search

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::config::{ModelConfig, Provider};
use super::dialect::host;
use super::types::{Block, Message, ToolDefinition};
use crate::error::{Code, Error, Retry};
use crate::http::Request;

/// The field of a content block's `_meta` that names the tools found.
const MARK: &str = "edgewise/tools";

/// Tools that are told of behind results and before prompts: the id of each call, or the key of a prompt, and what was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found(Vec<(String, Vec<ToolDefinition>)>);

/// A content block of a result that tells of tools which were found.
pub fn block(text: String, names: Vec<String>) -> Value {
    let mut block = Map::new();
    block.insert("type".into(), "text".into());
    block.insert("text".into(), text.into());
    if !names.is_empty() {
        let mut meta = Map::new();
        meta.insert(MARK.into(), names.into());
        block.insert("_meta".into(), Value::Object(meta));
    }
    Value::Object(block)
}

/// The wire names of the tools that a content block says were found.
pub fn names(block: &Value) -> impl Iterator<Item = &str> {
    let named = block.get("_meta").and_then(|meta| meta.get(MARK)?.as_array());
    named.into_iter().flatten().filter_map(Value::as_str)
}

impl Found {
    /// Of `tools`, those that the history which is shown says were found by a tool in `finders`, for a provider that takes
    /// them so.
    pub fn of<'m>(
        config: &ModelConfig,
        shown: impl Iterator<Item = Cow<'m, Message>>,
        tools: &[ToolDefinition],
        finders: &[String],
    ) -> Found {
        let mut found = Found::default();
        if !takes(config) || finders.is_empty() {
            return found;
        }
        // What was called before it was found is not told of for the first time by the result.
        let (mut calls, mut known): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for message in shown {
            for block in &message.content {
                match block {
                    Block::ToolUse { id, name, .. } if finders.contains(name) => calls.push(id.clone()),
                    Block::ToolUse { name, .. } if !known.contains(name) => known.push(name.clone()),
                    Block::ToolResult { tool_use_id, content, is_error: false } if calls.contains(tool_use_id) => {
                        let mut here = Vec::new();
                        for name in content.iter().flat_map(names) {
                            let tool = tools.iter().find(|tool| tool.name == name && !finders.contains(&tool.name));
                            if let (Some(tool), false) = (tool, known.iter().any(|known| known == name)) {
                                known.push(name.to_owned());
                                here.push(tool.clone());
                            }
                        }
                        if !here.is_empty() {
                            found.0.push((tool_use_id.clone(), here));
                        }
                    }
                    Block::Tools { names, anew: false } if !only_in_results(config) => {
                        let is_new = |name: &&String| !known.contains(name);
                        let named = |name: &String| tools.iter().find(|tool| tool.name == *name).cloned();
                        let here: Vec<ToolDefinition> = names.iter().filter(is_new).filter_map(named).collect();
                        known.extend(here.iter().map(|tool| tool.name.clone()));
                        if !here.is_empty() {
                            found.0.push((key(names), here));
                        }
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// The same with a tool that is not offered, for a provider whose prompt is another one once there is one to be found.
    #[must_use]
    pub fn beside(mut self, config: &ModelConfig, other: Option<&ToolDefinition>) -> Found {
        if let Some(other) = other.filter(|_| takes(config) && only_in_results(config)) {
            self.0.insert(0, (String::new(), vec![other.clone()]));
        }
        self
    }

    /// `tools`, and before them the one that is not offered. It stays there when it is found.
    pub(super) fn with_other<'t>(&self, tools: &'t [ToolDefinition]) -> Cow<'t, [ToolDefinition]> {
        let Some((_, other)) = self.0.first().filter(|(id, _)| id.is_empty()) else { return Cow::Borrowed(tools) };
        let is_other = |tool: &&ToolDefinition| other.iter().any(|other| other.name == tool.name);
        other.iter().chain(tools.iter().filter(|tool| !is_other(tool))).cloned().collect()
    }

    /// Every tool is told of in front.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order in which they were found.
    pub(super) fn tools(&self) -> impl Iterator<Item = &ToolDefinition> {
        self.0.iter().flat_map(|(_, tools)| tools)
    }

    /// What the call of that id has found.
    pub(super) fn by(&self, id: &str) -> &[ToolDefinition] {
        self.0.iter().find(|(call, _)| call == id).map_or(&[], |(_, tools)| tools)
    }
}

/// Under which the tools stand that a prompt adds.
pub(super) fn key(names: &[String]) -> String {
    names.join("\n")
}

/// Whether the wire tells of tools late only in results of those that find them.
pub fn only_in_results(config: &ModelConfig) -> bool {
    config.provider == Provider::Anthropic && takes(config)
}

/// Whether the provider takes tools behind results, as far as its host and the model's name tell.
fn takes(config: &ModelConfig) -> bool {
    let id = &config.id;
    match (config.provider, host(&config.base_url)) {
        (Provider::Anthropic, Some("api.anthropic.com")) => !id.starts_with("claude-3"),
        (Provider::OpenAiResponses, Some("api.openai.com")) => id.strip_prefix("gpt-").is_some_and(|version| {
            let mut numbers = version.split(['.', '-']).map(|part| part.parse::<u8>().unwrap_or(0));
            (numbers.next(), numbers.next()) >= (Some(5), Some(6)) && !id.contains("-chat")
        }),
        _ => false,
    }
}

/// Whether a refusal may be one of tools behind results: the request is at fault. Where it may as well be one of something
/// else, only if it says so.
pub fn refused(error: &Error, or_else: bool) -> bool {
    let at_fault =
        error.code == Code::Provider && error.retry == Retry::Never && matches!(error.status, Some(400 | 422));
    let words = error.message.to_ascii_lowercase();
    let named = ["defer_loading", "tool_reference", "tool reference", "additional_tools"];
    at_fault && (!or_else || named.iter().any(|name| words.contains(name)))
}

/// The same request with all tools in front.
pub fn in_front(mut request: Request) -> Option<Request> {
    let mut body: Value = serde_json::from_slice(request.body.as_deref()?.as_bytes()).ok()?;
    if let Some(Value::Array(items)) = body.get_mut("input") {
        let mut tools = Vec::new();
        items.retain_mut(|item| {
            let adds = item.get("type").and_then(Value::as_str) == Some("additional_tools");
            if let (true, Some(Value::Array(more))) = (adds, item.get_mut("tools")) {
                tools.append(more);
            }
            !adds
        });
        if let Some(Value::Array(all)) = body.get_mut("tools") {
            all.append(&mut tools);
        }
    }
    for tool in arrays(&mut body, "tools") {
        if let Some(tool) = tool.as_object_mut() {
            tool.shift_remove("defer_loading");
        }
    }
    for block in arrays(&mut body, "messages").flat_map(|message| arrays(message, "content")) {
        for item in arrays(block, "content") {
            if let Some(name) = item.get("tool_name").and_then(Value::as_str) {
                let text = ["The tool ", name, " can be called from now on."].concat();
                *item = self::block(text, Vec::new());
            }
        }
    }
    request.body = Some(crate::json::text(&body));
    Some(request)
}

fn arrays<'v>(value: &'v mut Value, field: &str) -> impl Iterator<Item = &'v mut Value> {
    value.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
#[path = "found_tests.rs"]
mod tests;
