//! Requests, from canonical messages.

use serde_json::Number;

use super::config::{ModelConfig, Provider};
use super::dialect::Dialect;
use super::tools::tool_definitions;
use super::types::{Message, ToolDefinition};
use super::wire::url;
use super::{anthropic, json, openai_chat, openai_responses};
use crate::http::{Headers, Method, Request};
use crate::secret::Secret;

/// Writes the requests of one run.
///
/// The history only grows, so every message is serialised once; each request is the same text with more at its end,
/// which is also what the providers' prompt caches want.
pub struct Encoder {
    url: String,
    headers: Headers,
    /// The body up to and including the bracket that opens the messages.
    head: String,
    messages: String,
    pushed: usize,
    writer: Writer,
}

enum Writer {
    Anthropic,
    OpenAi(openai_chat::Writer),
    Responses,
}

impl Encoder {
    /// An encoder of an empty conversation. `system` and `tools` stay the same for the whole run.
    ///
    /// The offline model has no wire. Given its configuration, this writes the OpenAI format to nowhere.
    pub fn new(config: &ModelConfig, system: Option<&str>, tools: &[ToolDefinition]) -> Encoder {
        let mut headers = Headers::new();
        headers.set("content-type", "application/json");
        let key = config.api_key.as_ref().map(Secret::reveal);
        let mut head = String::from("{");
        json::field(&mut head, "model", &config.id);
        let mut messages = String::new();
        let dialect = Dialect::of(config);
        let (limit, writer) = match config.provider {
            Provider::Anthropic => {
                headers.set("anthropic-version", "2023-06-01");
                // Without it the API refuses requests that a page sends (they carry an `Origin`), as a reminder that
                // a key in a page is public. Whether to put one there is for the app to decide; elsewhere the field
                // changes nothing.
                headers.set("anthropic-dangerous-direct-browser-access", "true");
                if let Some(key) = key {
                    headers.set("x-api-key", key);
                }
                if let Some(system) = system {
                    json::field(&mut head, "system", system);
                }
                let limit = config.max_tokens.unwrap_or(anthropic::DEFAULT_MAX_TOKENS);
                (Some(("max_tokens", limit)), Writer::Anthropic)
            }
            Provider::OpenAiResponses => {
                if let Some(key) = key {
                    headers.set("authorization", ["Bearer ", key].concat());
                }
                if let Some(system) = system {
                    json::field(&mut head, "instructions", system);
                }
                (config.max_tokens.map(|limit| ("max_output_tokens", limit)), Writer::Responses)
            }
            _ => {
                if let Some(key) = key {
                    headers.set("authorization", ["Bearer ", key].concat());
                }
                if let Some(system) = system {
                    openai_chat::system(&mut messages, system);
                }
                let name = if dialect == Dialect::OpenAi { "max_completion_tokens" } else { "max_tokens" };
                (config.max_tokens.map(|limit| (name, limit)), Writer::OpenAi(openai_chat::Writer::new(dialect)))
            }
        };
        for (name, value) in &config.headers {
            headers.set(name, value.reveal());
        }
        if let Some((name, limit)) = limit {
            json::key(&mut head, name);
            head.push_str(&limit.to_string());
        }
        if let Some(temperature) = config.temperature.and_then(Number::from_f64) {
            json::key(&mut head, "temperature");
            head.push_str(&temperature.to_string());
        }
        head.push_str(r#","stream":true"#);
        if matches!(writer, Writer::OpenAi(_)) && dialect != Dialect::Mistral {
            head.push_str(r#","stream_options":{"include_usage":true}"#);
        }
        if matches!(writer, Writer::Responses) {
            head.push_str(r#","store":false"#);
            if openai_responses::thinks(&config.id) {
                head.push_str(r#","include":["reasoning.encrypted_content"]"#);
            }
        }
        if !tools.is_empty() {
            json::key(&mut head, "tools");
            head.push_str(&tool_definitions(config.provider, tools).to_string());
        }
        json::key(&mut head, if matches!(writer, Writer::Responses) { "input" } else { "messages" });
        head.push('[');
        Encoder { url: url(config), headers, head, messages, pushed: 0, writer }
    }

    /// Adds the next message of the history. One with nothing to say is counted, but not sent.
    pub fn push(&mut self, message: &Message) {
        self.pushed += 1;
        match &mut self.writer {
            Writer::Anthropic => anthropic::message(&mut self.messages, message),
            Writer::OpenAi(writer) => writer.message(&mut self.messages, message),
            Writer::Responses => openai_responses::message(&mut self.messages, message),
        }
    }

    /// How many messages were pushed; the next to push is `history[messages()]`.
    pub fn messages(&self) -> usize {
        self.pushed
    }

    /// The request that asks the model to go on from what was pushed.
    pub fn request(&self) -> Request {
        let mut body = String::with_capacity(self.head.len() + self.messages.len() + 2);
        body.push_str(&self.head);
        body.push_str(&self.messages);
        if let Writer::OpenAi(writer) = &self.writer {
            writer.pending(&mut body);
        }
        body.push_str("]}");
        Request { method: Method::Post, url: self.url.clone(), headers: self.headers.clone(), body: Some(body) }
    }
}
