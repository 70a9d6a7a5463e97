use super::*;
use crate::error::{Code, Result};
use crate::http::{Head, Headers};
use crate::llm::types::{Message, ToolDefinition};
use crate::llm::wire::{Decoder, Encoder};
use crate::options::FunctionId;
use serde_json::json;

fn config(provider: Provider, base_url: &str) -> ModelConfig {
    let (base_url, id) = (base_url.to_owned(), "m1".to_owned());
    ModelConfig { provider, base_url, id, max_tokens: Some(7), temperature: Some(0.5), ..ModelConfig::offline() }
}

fn asked(config: &ModelConfig) -> Request {
    let tool =
        ToolDefinition { name: "add".into(), description: "adds".into(), input_schema: json!({ "type": "object" }) };
    let schema = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    let mut encoder = Encoder::demanding(config, Some("be kind"), &[tool], Some(&schema));
    encoder.push(&Message::user("hi"));
    encoder.request()
}

fn body(request: &Request) -> Value {
    serde_json::from_str(request.body.as_deref().unwrap()).unwrap()
}

#[test]
fn of_what_the_app_adds_only_what_is_input_is_counted() {
    let fields = json!({ "thinking": { "type": "adaptive" }, "service_tier": "auto" });
    let config =
        ModelConfig { body: fields.as_object().unwrap().clone(), ..config(Provider::Anthropic, "https://a.test") };
    let asked = asked(&config);
    let counted = body(&request(&config, asked.clone()).unwrap());
    assert_eq!((&counted["thinking"], counted.get("service_tier")), (&fields["thinking"], None));
    assert_eq!(body(&asked)["service_tier"], "auto");
}

#[test]
fn each_wire_is_asked_where_it_counts_with_all_of_the_input_and_nothing_else() {
    let endpoints = [
        (Provider::Anthropic, "https://a.test", "https://a.test/v1/messages/count_tokens"),
        (Provider::OpenAiResponses, "https://a.test/v1", "https://a.test/v1/responses/input_tokens"),
        (Provider::OpenAi, "http://localhost:8080/v1", "http://localhost:8080/v1/chat/completions/input_tokens"),
    ];
    for (provider, base, url) in endpoints {
        let config = config(provider, base);
        let asked = asked(&config);
        let counts = request(&config, asked.clone()).unwrap();
        assert_eq!((counts.url.as_str(), counts.method, &counts.headers), (url, asked.method, &asked.headers));
        let (before, after) = (body(&asked), body(&counts));
        let left_out: Vec<&String> =
            before.as_object().unwrap().keys().filter(|name| after.get(name).is_none()).collect();
        for name in left_out {
            assert!(NO_INPUT.contains(&name.as_str()), "{provider:?} leaves out {name}");
        }
        for (name, value) in after.as_object().unwrap() {
            assert!(!NO_INPUT.contains(&name.as_str()), "{provider:?} demands {name}");
            assert_eq!(&before[name], value);
        }
        assert!(after["tools"].is_array() && after["model"] == "m1", "{after}");
    }
}

#[test]
fn gemini_is_asked_with_the_whole_request_inside() {
    for (id, folder, name) in [("m1", "models/m1", "models/m1"), ("tunedModels/t1", "tunedModels/t1", "tunedModels/t1")]
    {
        let config = ModelConfig { id: id.into(), ..config(Provider::Gemini, "https://g.test") };
        let asked = asked(&config);
        let counts = request(&config, asked.clone()).unwrap();
        assert_eq!(counts.url, format!("https://g.test/v1beta/{folder}:countTokens"));
        let (mut within, before) = (body(&counts), body(&asked));
        let within = within["generateContentRequest"].as_object_mut().unwrap();
        assert_eq!(within.remove("model"), Some(json!(name)));
        assert_eq!(Value::Object(within.clone()), before);
    }
}

#[test]
fn nobody_else_is_asked() {
    let hosts = [
        (Provider::OpenAi, "https://api.openai.com/v1"),
        (Provider::OpenAi, "/llm/v1"),
        (Provider::WorkersAi, "https://transport.invalid/1"),
        (Provider::App, "https://transport.invalid/1"),
    ];
    for (provider, base) in hosts {
        let config = config(provider, base);
        assert!(request(&config, asked(&config)).is_none(), "{provider:?} {base}");
    }
    let app = ModelConfig { count_tokens: Some(FunctionId(7)), ..config(Provider::App, "transport:1") };
    let (sent, counts) = (asked(&app), request(&app, asked(&app)).unwrap());
    assert_eq!((counts.url.as_str(), counts.body), ("transport:7", sent.body));
    let browser = config(Provider::Browser, "https://transport.invalid/1");
    let words = Request { body: Some(r#"{"prompt":"hi"}"#.into()), ..asked(&browser) };
    let counts = request(&browser, words).unwrap();
    assert_eq!((body(&counts), counts.url.as_str()), (json!({ "prompt": "hi", "count": true }), &*browser.base_url));
}

fn answer(status: u16, media_type: &str, text: &str, size: usize) -> Result<Option<u64>> {
    let mut headers = Headers::new();
    headers.set("content-type", media_type);
    let config = config(Provider::Anthropic, "https://a.test");
    let mut decoder = Decoder::counting(&config, &Head { status, headers }, "POST a.test/v1/messages/count_tokens");
    let mut deltas = Vec::new();
    for chunk in text.as_bytes().chunks(size) {
        decoder.feed(chunk, &mut deltas)?;
    }
    decoder.finish(&mut deltas)?;
    Ok(deltas.iter().find_map(|delta| match delta {
        Delta::Usage(usage) => Some(usage.input_tokens),
        _ => None,
    }))
}

#[test]
fn each_answer_is_read_however_it_is_cut() {
    const JSON: &str = "application/json; charset=utf-8";
    for size in 1..80 {
        let read = |media_type, text| answer(200, media_type, text, size).unwrap();
        assert_eq!(read(JSON, r#"{"input_tokens":14}"#), Some(14));
        assert_eq!(read(JSON, r#"{"object":"response.input_tokens","input_tokens":0}"#), Some(0));
        assert_eq!(read(JSON, "{\n  \"totalTokens\": 31,\n \"promptTokensDetails\": [{\"tokenCount\": 3}]}"), Some(31));
        let events = "data: {\"type\":\"usage\",\"inputTokens\":5}\n\n";
        assert_eq!(read("text/event-stream", events), Some(5));
        // Whatever this is, it is no count.
        assert_eq!(read(JSON, r#"{"choices":[]}"#), None);
        assert_eq!(read("text/event-stream", "data: {}\n\n"), None);
        let refused = answer(401, JSON, r#"{"error":{"type":"authentication_error","message":"no key"}}"#, size);
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, Code::AuthRequired);
        assert!(refused.message.starts_with("POST a.test/v1/messages/count_tokens: 401"), "{refused}");
        assert!(answer(200, JSON, r#"{"error":"Unexpected endpoint"}"#, size).is_err());
    }
}
