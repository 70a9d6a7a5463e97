//! Requests, from canonical messages.

use std::rc::Rc;

use serde_json::{Map, Number, Value};

use super::config::{ModelConfig, Provider};
use super::dialect::{Dialect, prefill};
use super::found::Found;
use super::thread::{Asked, BETA, Place, Threads, Track, Way, wanted};
use super::tools::tool_definitions;
use super::types::{Message, ToolDefinition};
use super::wire::url;
use super::{anthropic, app_stream, gemini, json, openai_chat, openai_responses, structured};
use crate::http::{Headers, Method, Request};
use crate::secret::Secret;

/// Writes the requests of one run.
///
/// The history only grows, so every message is serialised once; each request is the same text with more at its end,
/// which is also what the providers' prompt caches want. Anthropic's wants to be told where to cache, too.
pub struct Encoder {
    url: String,
    headers: Headers,
    /// The body up to and including the bracket that opens the messages.
    head: String,
    messages: String,
    /// Where the messages begin that were pushed: before them is the system prompt of some wires.
    beginning: usize,
    pushed: usize,
    writer: Writer,
    /// What to say beside a beginning of an answer that is to be gone on with.
    prefill: Option<&'static str>,
    /// Where the conversation stands, if it is to be held by the provider.
    track: Option<Track>,
    /// Tools that are told of behind the results that found them.
    found: Rc<Found>,
}

enum Writer {
    Anthropic(anthropic::Writer),
    OpenAi(openai_chat::Writer),
    Responses { reasoning: bool },
    Gemini(gemini::Writer),
    App,
}

impl Writer {
    fn new(config: &ModelConfig) -> Writer {
        match config.provider {
            Provider::Anthropic => Writer::Anthropic(anthropic::Writer::default()),
            Provider::OpenAiResponses => Writer::Responses { reasoning: openai_responses::thinks(&config.id) },
            Provider::Gemini => Writer::Gemini(gemini::Writer::new(&config.id)),
            Provider::App | Provider::Browser => Writer::App,
            Provider::OpenAi | Provider::Offline | Provider::WorkersAi => {
                Writer::OpenAi(openai_chat::Writer::new(config))
            }
        }
    }
}

impl Encoder {
    /// Bytes of what it has written: of the system prompt, the tools and the messages.
    pub fn bytes(&self) -> usize {
        self.head.len() + self.messages.len()
    }

    /// An encoder of an empty conversation. `system` and `tools` stay the same for the whole run.
    ///
    /// The offline model has no wire. Given its configuration, this writes the OpenAI format to nowhere.
    pub fn new(config: &ModelConfig, system: Option<&str>, tools: &[ToolDefinition]) -> Encoder {
        Encoder::demanding(config, system, tools, None)
    }

    /// The same, with a JSON Schema that the provider is to hold answers to, where
    /// [`takes`](structured::takes) says that it does. Functions of the app are always told of it.
    pub fn demanding(
        config: &ModelConfig,
        system: Option<&str>,
        tools: &[ToolDefinition],
        output: Option<&Value>,
    ) -> Encoder {
        Encoder::telling(config, system, tools, output, Found::default())
    }

    /// The same; those of `found` are told of behind the results that found them, in place of in front of all messages.
    pub fn telling(
        config: &ModelConfig,
        system: Option<&str>,
        tools: &[ToolDefinition],
        output: Option<&Value>,
        found: Found,
    ) -> Encoder {
        let all = found.with_other(tools);
        let tools = &*all;
        let mut headers = Headers::new();
        headers.set("content-type", "application/json");
        let dialect = Dialect::of(config);
        let writer = Writer::new(config);
        let held = |schema: &&Value| {
            matches!(writer, Writer::App) || structured::takes(config, schema).holds(!tools.is_empty())
        };
        let output = output.filter(held);
        if let Writer::Anthropic(_) = writer {
            headers.set("anthropic-version", "2023-06-01");
            // Without it the API refuses requests that a page sends (they carry an `Origin`), as a reminder that a key
            // in a page is public. Whether to put one there is for the app to decide; elsewhere the field changes
            // nothing.
            headers.set("anthropic-dangerous-direct-browser-access", "true");
        }
        if let Some(key) = config.api_key.as_ref().map(Secret::reveal) {
            match writer {
                Writer::Anthropic(_) => headers.set("x-api-key", key),
                Writer::Gemini(_) => headers.set("x-goog-api-key", key),
                _ => headers.set("authorization", ["Bearer ", key].concat()),
            }
        }
        for (name, value) in &config.headers {
            headers.set(name, value.reveal());
        }

        let mut head = String::from("{");
        let mut messages = String::new();
        if !matches!(writer, Writer::Gemini(_)) {
            json::field(&mut head, "model", &config.id);
        }
        if let Some(system) = system {
            match writer {
                Writer::App => {}
                Writer::Anthropic(_) => anthropic::system(&mut head, system),
                Writer::OpenAi(_) => openai_chat::system(&mut messages, system),
                Writer::Responses { .. } => json::field(&mut head, "instructions", system),
                Writer::Gemini(_) => {
                    head.push_str(r#""systemInstruction":{"parts":[{"#);
                    json::field(&mut head, "text", system);
                    head.push_str("}]}");
                }
            }
        }
        match writer {
            Writer::Anthropic(_) => {
                let limit = config.max_tokens.unwrap_or(anthropic::DEFAULT_MAX_TOKENS);
                options(&mut head, "max_tokens", Some(limit), config.temperature);
                head.push_str(r#","stream":true"#);
            }
            Writer::OpenAi(_) => {
                let name = if dialect == Dialect::OpenAi { "max_completion_tokens" } else { "max_tokens" };
                options(&mut head, name, config.max_tokens, config.temperature);
                head.push_str(r#","stream":true"#);
                if dialect != Dialect::Mistral {
                    head.push_str(r#","stream_options":{"include_usage":true}"#);
                }
            }
            Writer::Responses { reasoning } => {
                options(&mut head, "max_output_tokens", config.max_tokens, config.temperature);
                head.push_str(r#","stream":true,"store":"#);
                head.push_str(if config.threads { "true" } else { "false" });
                if reasoning {
                    head.push_str(r#","include":["reasoning.encrypted_content"]"#);
                }
            }
            Writer::App => {
                options(&mut head, "maxTokens", config.max_tokens, config.temperature);
                app_stream::head(&mut head, system, tools);
            }
            Writer::Gemini(_) => {
                if config.max_tokens.is_some() || config.temperature.is_some() || output.is_some() {
                    json::key(&mut head, "generationConfig");
                    head.push('{');
                    options(&mut head, "maxOutputTokens", config.max_tokens, config.temperature);
                    if let Some(schema) = output {
                        structured::demand(&mut head, config, schema);
                    }
                    head.push('}');
                }
            }
        }
        if let (Some(schema), false) = (output, matches!(writer, Writer::Gemini(_))) {
            structured::demand(&mut head, config, schema);
        }
        if !tools.is_empty() && !matches!(writer, Writer::App) {
            if let Writer::Anthropic(_) = writer {
                anthropic::tools(&mut head, tools, &found);
            } else {
                let late = |tool: &&ToolDefinition| found.tools().any(|late| late.name == tool.name);
                json::key(&mut head, "tools");
                let first = tools.iter().filter(|tool| !late(tool));
                head.push_str(&crate::json::text(&tool_definitions(config.provider, first)));
            }
        }
        merge_in(&mut head, &config.body);
        let list = match writer {
            Writer::Anthropic(_) | Writer::OpenAi(_) | Writer::App => "messages",
            Writer::Responses { .. } => "input",
            Writer::Gemini(_) => "contents",
        };
        json::key(&mut head, list);
        head.push('[');
        let (beginning, prefill, url) = (messages.len(), prefill(config), url(config));
        let track = wanted(config).then(|| {
            let short = match writer {
                // The thread has the system prompt and the tools.
                Writer::Anthropic(_) => {
                    let config = ModelConfig { threads: false, ..config.clone() };
                    Encoder::demanding(&config, None, &[], output).head
                }
                _ => head.clone(),
            };
            Track::new(short, Place::beginning(&[&url, &head]))
        });
        let found = Rc::new(found);
        Encoder { url, headers, head, messages, beginning, pushed: 0, writer, prefill, track, found }
    }

    /// An encoder for the same model and tools, of an empty conversation again. What it writes is part of no thread.
    pub fn anew(&self, config: &ModelConfig) -> Encoder {
        Encoder {
            url: self.url.clone(),
            headers: self.headers.clone(),
            head: self.head.clone(),
            messages: self.messages[..self.beginning].to_owned(),
            beginning: self.beginning,
            pushed: 0,
            writer: Writer::new(config),
            prefill: self.prefill,
            track: None,
            found: self.found.clone(),
        }
    }

    /// Ends the messages with the beginning of an answer that the model is to go on with. Only where
    /// [`goes_on`](super::wire::goes_on) says that the wire can.
    pub fn push_said(&mut self, text: &str) {
        self.push(&Message::assistant(text));
        if let (Some(field), Some('}')) = (self.prefill, self.messages.pop()) {
            self.messages.push_str(field);
        }
        self.messages.push('}');
    }

    /// Adds the next message of the history. One with nothing to say is counted, but not sent.
    pub fn push(&mut self, message: &Message) {
        self.pushed += 1;
        let before = self.messages.len();
        match &mut self.writer {
            Writer::Anthropic(writer) => writer.message(&mut self.messages, message, &self.found),
            Writer::OpenAi(writer) => writer.message(&mut self.messages, message),
            Writer::Responses { reasoning } => {
                openai_responses::message(&mut self.messages, message, *reasoning, &self.found);
            }
            Writer::Gemini(writer) => writer.message(&mut self.messages, message),
            Writer::App => app_stream::message(&mut self.messages, message),
        }
        if let Some(track) = &mut self.track {
            track.push(message.role, &self.messages[before..]);
        }
    }

    /// Begins a request of a thread; `None` where there is none. What it says goes to [`Encoder::request_in`].
    pub fn ask(&self, threads: &mut Threads, config: &ModelConfig) -> Option<Asked> {
        let track = self.track.as_ref()?;
        threads.ask(config, track.answered(), track.end)
    }

    /// The request of that thread: all that was pushed, or what the thread does not hold. `None` when something else was pushed
    /// meanwhile.
    pub fn request_in(&self, asked: &Asked) -> Option<Request> {
        let track = self.track.as_ref().filter(|track| track.end == asked.end)?;
        let anthropic = matches!(self.writer, Writer::Anthropic(_));
        let mut request = match asked.way {
            // Behind the comma.
            Way::GoOn(_) => self.written(&track.head, track.answered()?.bytes + 1),
            _ => self.request(),
        };
        let previous = match &asked.way {
            Way::GoOn(id) => Some(id.as_str()),
            Way::Probe => Some(if anthropic { "msg_0" } else { "resp_0" }),
            Way::Begin if anthropic => None,
            Way::Begin | Way::Alone => return Some(request),
        };
        let body = request.body.as_mut()?;
        body.pop();
        match previous {
            Some(id) if anthropic => {
                body.push_str(r#","thread":{"type":"continue""#);
                json::field(body, "previous_message_id", id);
                body.push('}');
            }
            Some(id) => json::field(body, "previous_response_id", id),
            None => body.push_str(r#","thread":{"type":"create"}"#),
        }
        body.push('}');
        if anthropic {
            let betas = match request.headers.get("anthropic-beta") {
                Some(others) => [others, ",", BETA].concat(),
                None => BETA.to_owned(),
            };
            request.headers.set("anthropic-beta", betas);
        }
        Some(request)
    }

    /// The tools that are told of behind results.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// How many messages were pushed; the next to push is `history[messages()]`.
    pub fn messages(&self) -> usize {
        self.pushed
    }

    /// The request that asks the model to go on from what was pushed.
    pub fn request(&self) -> Request {
        self.written(&self.head, 0)
    }

    /// The same with that beginning, and only the messages from that byte on.
    fn written(&self, head: &str, from: usize) -> Request {
        let mut body = String::with_capacity(head.len() + self.messages.len() - from + 200);
        body.push_str(head);
        if let Writer::Anthropic(writer) = &self.writer {
            writer.marked(&mut body, &self.messages, from);
        } else {
            body.push_str(&self.messages[from..]);
        }
        match &self.writer {
            Writer::OpenAi(writer) => writer.pending(&mut body),
            Writer::Gemini(writer) => writer.close(&mut body),
            Writer::Anthropic(_) | Writer::Responses { .. } | Writer::App => {}
        }
        body.push_str("]}");
        Request { method: Method::Post, url: self.url.clone(), headers: self.headers.clone(), body: Some(body) }
    }
}

/// Puts further fields into an object that is not closed yet, in place of those that are there; objects are merged.
fn merge_in(head: &mut String, body: &Map<String, Value>) {
    if body.is_empty() {
        return;
    }
    head.push('}');
    let mut whole = crate::json::read(head).unwrap_or_default();
    merge(&mut whole, body);
    *head = crate::json::text(&whole);
    head.pop();
}

fn merge(into: &mut Value, fields: &Map<String, Value>) {
    for (name, value) in fields {
        match (into.get_mut(name), value) {
            (Some(known @ Value::Object(_)), Value::Object(more)) => merge(known, more),
            (_, value) => into[name.as_str()] = value.clone(),
        }
    }
}

fn options(out: &mut String, limit_name: &str, limit: Option<u64>, temperature: Option<f64>) {
    if let Some(limit) = limit {
        json::key(out, limit_name);
        out.push_str(&limit.to_string());
    }
    if let Some(temperature) = temperature.and_then(Number::from_f64) {
        json::key(out, "temperature");
        out.push_str(&temperature.to_string());
    }
}
