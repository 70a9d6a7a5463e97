//! The dialects of Chat Completions, host by host: what is sent to each, and an answer of each.
//!
//! What a host refuses or demands is by its documentation and the bug reports against it; the answers are those of
//! `recordings/` (llama.cpp) and `made/` (all others), read in every way of cutting them.

use std::path::Path;

use edgewise::llm::config::{ModelConfig, Provider};
use edgewise::llm::types::{Block, Message, Role, ToolDefinition};
use edgewise::llm::wire::{Encoder, goes_on};
use serde_json::{Value, json};

use crate::support::{answer, config, every_way, head};

/// What is special about a host.
#[derive(Default)]
struct Host {
    name: &'static str,
    base_url: &'static str,
    id: &'static str,
    /// Refuses `max_tokens`.
    wants_successor: bool,
    /// Refuses `stream_options`.
    no_stream_options: bool,
    /// Refuses `content: null` beside calls.
    no_null: bool,
    /// Refuses calls without their reasoning.
    wants_reasoning: bool,
    /// Refuses the user right behind results.
    wants_bridge: bool,
    /// Goes on with the beginning of an answer; the field that says so, if any.
    prefill: Option<&'static str>,
    /// Holds an answer to a schema in requests without tools, and with them.
    schema: (bool, bool),
    /// Answers, and the tools that each calls.
    answers: &'static [(&'static str, &'static [&'static str])],
}

fn hosts() -> Vec<Host> {
    let common = || Host { id: "m", schema: (true, false), ..Host::default() };
    vec![
        Host {
            name: "OpenAI",
            base_url: "https://api.openai.com/v1",
            wants_successor: true,
            schema: (true, true),
            answers: &[
                ("made/openai-parallel-tools", &["get_weather", "get_weather"]),
                ("made/openai-interleaved-fragments", &["x", "y"]),
            ],
            ..common()
        },
        Host {
            name: "Azure OpenAI",
            base_url: "https://me.openai.azure.com/openai/v1",
            wants_successor: true,
            schema: (true, true),
            answers: &[("made/openai-azure-content-filter", &[])],
            ..common()
        },
        Host {
            name: "OpenRouter",
            base_url: "https://openrouter.ai/api/v1",
            prefill: Some(""),
            answers: &[("made/openai-openrouter", &[]), ("made/openai-openrouter-details", &["add"])],
            ..common()
        },
        Host {
            name: "Ollama",
            base_url: "http://localhost:11434/v1",
            prefill: Some(""),
            answers: &[("made/openai-ollama", &["add", "add"])],
            ..common()
        },
        Host {
            name: "llama.cpp",
            base_url: "http://127.0.0.1:8080/v1",
            prefill: Some(""),
            answers: &[("recordings/openai-llama-cpp", &["list_issues"])],
            ..common()
        },
        Host {
            name: "vLLM",
            base_url: "https://vllm.test/v1",
            answers: &[("made/openai-vllm-reasoning-tool", &["get_weather"])],
            ..common()
        },
        Host {
            name: "Groq",
            base_url: "https://api.groq.com/openai/v1",
            schema: (false, false),
            answers: &[("made/openai-groq", &["add"])],
            ..common()
        },
        Host {
            name: "Mistral",
            base_url: "https://api.mistral.ai/v1",
            no_stream_options: true,
            wants_bridge: true,
            prefill: Some("prefix"),
            answers: &[("made/openai-mistral", &["add", "add"]), ("made/openai-mistral-thinking", &[])],
            ..common()
        },
        Host {
            name: "Gemini's compatible endpoint",
            base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
            answers: &[
                ("made/openai-gemini", &["get_weather", "get_weather"]),
                ("made/openai-gemini-no-arguments", &["now", "now"]),
            ],
            ..common()
        },
        Host {
            name: "Workers AI",
            base_url: "https://api.cloudflare.com/client/v4/accounts/a/ai/v1",
            no_null: true,
            schema: (false, false),
            answers: &[
                ("made/openai-workers-ai", &["add", "now", "now"]),
                ("made/openai-workers-ai-old", &["add", "now"]),
            ],
            ..common()
        },
        Host {
            name: "DeepSeek",
            base_url: "https://api.deepseek.com",
            wants_reasoning: true,
            schema: (false, false),
            answers: &[("made/openai-deepseek", &[])],
            ..common()
        },
        Host {
            name: "Moonshot",
            base_url: "https://api.moonshot.ai/v1",
            wants_reasoning: true,
            prefill: Some("partial"),
            schema: (false, false),
            ..common()
        },
        // Behind a proxy of the app's own the name of the model has to do.
        Host {
            name: "a proxy of OpenAI",
            base_url: "/llm",
            id: "gpt-5",
            wants_successor: true,
            schema: (true, true),
            ..common()
        },
        Host {
            name: "a proxy of Mistral",
            base_url: "/llm",
            id: "mistral-large",
            no_stream_options: true,
            wants_bridge: true,
            ..common()
        },
        // Whoever serves them, the format of these models is strict.
        Host {
            name: "Mistral at OpenRouter",
            base_url: "https://openrouter.ai/api/v1",
            id: "mistralai/devstral-small",
            wants_bridge: true,
            prefill: Some(""),
            ..common()
        },
        Host {
            name: "Mistral at vLLM",
            base_url: "https://vllm.test/v1",
            id: "mistralai/Mistral-Small-4",
            wants_bridge: true,
            ..common()
        },
    ]
}

fn model(host: &Host) -> ModelConfig {
    let (base_url, id) = (host.base_url.into(), host.id.into());
    ModelConfig { base_url, id, max_tokens: Some(50), ..config(Provider::OpenAi) }
}

fn add() -> ToolDefinition {
    ToolDefinition { name: "add".into(), description: "Adds.".into(), input_schema: json!({ "type": "object" }) }
}

/// A call that was thought about, answered with a text and a picture.
fn history() -> Vec<Message> {
    let call =
        Block::ToolUse { id: "call00000".into(), name: "add".into(), input: json!({ "a": 1 }), invalid_input: None };
    let thought = Block::Thinking { text: "hm".into(), signature: None };
    let shown = vec![
        json!({ "type": "text", "text": "2" }),
        json!({ "type": "image", "data": "iVBO", "mimeType": "image/png" }),
    ];
    let result = Block::ToolResult { tool_use_id: "call00000".into(), content: shown, is_error: false };
    vec![
        Message::user("add"),
        Message { role: Role::Assistant, content: vec![thought, call] },
        Message { role: Role::User, content: vec![result] },
    ]
}

fn body(encoder: &Encoder) -> Value {
    serde_json::from_str(&encoder.request().body.unwrap()).unwrap()
}

#[test]
fn each_host_is_sent_what_it_takes() {
    for host in hosts() {
        let (name, config) = (host.name, model(&host));
        let mut encoder = Encoder::new(&config, Some("Be brief."), &[add()]);
        history().iter().for_each(|message| encoder.push(message));
        let sent = body(&encoder);
        let (limit, other) = match host.wants_successor {
            true => ("max_completion_tokens", "max_tokens"),
            false => ("max_tokens", "max_completion_tokens"),
        };
        assert_eq!((&sent[limit], sent.get(other)), (&json!(50), None), "{name}");
        assert_eq!(sent["stream"], true, "{name}");
        assert_eq!(sent.get("stream_options").is_none(), host.no_stream_options, "{name}");
        // Nobody is sent a field that only others know.
        let known = ["model", "messages", "tools", "stream", "stream_options", limit];
        let unknown: Vec<&String> =
            sent.as_object().unwrap().keys().filter(|key| !known.contains(&key.as_str())).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        let mut messages = sent["messages"].as_array().unwrap().clone();
        let roles: Vec<&str> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
        let bridge: &[&str] = if host.wants_bridge { &["assistant"] } else { &[] };
        assert_eq!(roles, [&["system", "user", "assistant", "tool"], bridge, &["user"]].concat(), "{name}");
        messages.drain(4..4 + bridge.len());
        assert_eq!(messages[2]["content"].is_null(), !host.no_null, "{name}");
        assert_eq!(messages[2].get("reasoning_content").is_some(), host.wants_reasoning, "{name}");
        // Arguments are a text, and the text is JSON: llama.cpp and vLLM parse it for their templates.
        let arguments = messages[2]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(arguments).unwrap(), json!({ "a": 1 }), "{name}");
        // A result is a text everywhere; the picture follows in the user's name.
        assert_eq!(messages[3]["content"], "2\n(an image, shown below)", "{name}");
        assert_eq!(messages[4]["content"][1]["image_url"]["url"], "data:image/png;base64,iVBO", "{name}");
    }
}

#[test]
fn each_host_goes_on_and_keeps_to_a_schema_as_it_can() {
    let schema = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    for host in hosts() {
        let (name, config) = (host.name, model(&host));
        assert_eq!(goes_on(&config), host.prefill.is_some(), "{name}");
        if let Some(field) = host.prefill {
            let mut encoder = Encoder::new(&config, None, &[]);
            encoder.push(&Message::user("hi"));
            encoder.push_said("It will");
            let mut last = json!({ "role": "assistant", "content": "It will" });
            if !field.is_empty() {
                last[field] = json!(true);
            }
            assert_eq!(body(&encoder)["messages"][1], last, "{name}");
        }
        let held = |tools: &[ToolDefinition]| {
            body(&Encoder::demanding(&config, None, tools, Some(&schema))).get("response_format").is_some()
        };
        assert_eq!((held(&[]), held(&[add()])), host.schema, "{name}");
    }
}

#[test]
fn each_hosts_answer_is_read_wherever_it_is_cut() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    for host in hosts() {
        for (file, tools) in host.answers {
            let bytes = std::fs::read(root.join(file).with_extension("sse")).unwrap();
            let outcome = every_way(Provider::OpenAi, &head(200, "text/event-stream"), &bytes);
            assert_eq!(outcome.end, Ok(()), "{}: {file}", host.name);
            let answer = answer(&outcome.deltas);
            let called: Vec<&str> = answer
                .message
                .content
                .iter()
                .filter_map(|block| match block {
                    Block::ToolUse { name, .. } => Some(name.as_str()),
                    _ => None,
                })
                .collect();
            assert_eq!(called, *tools, "{}: {file}", host.name);
        }
    }
}

#[test]
fn mistrals_models_are_not_sent_what_their_format_refuses() {
    let call = |id: &str| Block::ToolUse { id: id.into(), name: "add".into(), input: json!({}), invalid_input: None };
    let result = |id: &str| Block::ToolResult { tool_use_id: id.into(), content: Vec::new(), is_error: false };
    // Of Claude, which was asked before, of OpenAI, and its own.
    let ids = ["toolu_01A09q90qw90lq917835lq9", "toolu_01A09q90qw90lq917835lq8", "call_a", "D681PevKs"];
    let mut with_words: Vec<Block> = ids.iter().map(|id| result(id)).collect();
    with_words.push(Block::Text { text: "and hurry".into() });
    let messages = [
        Message::user("add"),
        Message { role: Role::Assistant, content: ids.iter().map(|id| call(id)).collect() },
        Message { role: Role::User, content: with_words },
        Message::assistant("I do."),
        Message::user("thanks"),
    ];
    let config =
        ModelConfig { base_url: "https://api.mistral.ai/v1".into(), id: "m".into(), ..config(Provider::OpenAi) };
    let mut encoder = Encoder::new(&config, None, &[add()]);
    let mut before = String::from("{");
    for message in &messages {
        encoder.push(message);
        let text = encoder.request().body.unwrap();
        assert!(text.starts_with(before.trim_end_matches("]}")), "{before}\n{text}");
        before = text;
    }
    let sent = body(&encoder)["messages"].clone();
    let roles: Vec<&str> = sent.as_array().unwrap().iter().map(|message| message["role"].as_str().unwrap()).collect();
    let tools = ["tool"; 4];
    assert_eq!(roles, [&["user", "assistant"], &tools[..], &["assistant", "user", "assistant", "user"]].concat());
    let called: Vec<&str> =
        sent[1]["tool_calls"].as_array().unwrap().iter().map(|call| call["id"].as_str().unwrap()).collect();
    let answered: Vec<&str> = (2..6).map(|at| sent[at]["tool_call_id"].as_str().unwrap()).collect();
    assert_eq!(called, answered);
    assert_eq!(called[3], "D681PevKs", "its own stay");
    for (at, id) in called.iter().enumerate() {
        assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        assert!(!called[..at].contains(id), "{called:?}");
    }
}

#[test]
fn openrouter_gets_back_the_reasoning_that_came_with_a_call() {
    let bytes =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/made/openai-openrouter-details.sse"));
    let outcome = every_way(Provider::OpenAi, &head(200, "text/event-stream"), &bytes.unwrap());
    let said = answer(&outcome.deltas).message;
    let sent = |base_url: &str, id: &str| {
        let config = ModelConfig { base_url: base_url.into(), id: id.into(), ..config(Provider::OpenAi) };
        let mut encoder = Encoder::new(&config, None, &[add()]);
        encoder.push(&Message::user("add"));
        encoder.push(&said);
        body(&encoder)["messages"][1].clone()
    };
    let details = json!([
        { "type": "reasoning.text", "text": "Let me see.", "format": "anthropic-claude-v1", "index": 0, "signature": "Et8BCmUI" },
        { "type": "reasoning.encrypted", "data": "CiIBjz1r", "format": "google-gemini-v1", "id": "toolu_1", "index": 0 },
    ]);
    assert_eq!(sent("https://openrouter.ai/api/v1", "google/gemini-3-pro")["reasoning_details"], details);
    assert_eq!(sent("/llm", "google/gemini-3-pro")["reasoning_details"], details);
    for (base_url, id) in [("https://api.openai.com/v1", "gpt-5"), ("/llm", "gpt-5"), ("http://localhost:1234/v1", "m")]
    {
        assert_eq!(sent(base_url, id).get("reasoning_details"), None, "{base_url}");
    }
}

#[test]
fn gemini_takes_calls_of_others_by_its_compatible_endpoint_too() {
    let sent = |base_url: &str, id: &str| {
        let config = ModelConfig { base_url: base_url.into(), id: id.into(), ..config(Provider::OpenAi) };
        let mut encoder = Encoder::new(&config, None, &[add()]);
        history().iter().for_each(|message| encoder.push(message));
        body(&encoder)["messages"][1]["tool_calls"][0].get("extra_content").cloned()
    };
    let skips = json!({ "google": { "thought_signature": "skip_thought_signature_validator" } });
    let google = "https://generativelanguage.googleapis.com/v1beta/openai";
    assert_eq!(sent(google, "gemini-3-pro"), Some(skips));
    assert_eq!((sent(google, "gemini-2.5-flash"), sent("https://api.openai.com/v1", "gpt-5")), (None, None));
}
