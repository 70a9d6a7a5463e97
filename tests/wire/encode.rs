//! Requests, byte for byte.

use edgewise::http::{Method, Request};
use edgewise::llm::config::{ModelConfig, Provider};
use edgewise::llm::types::{Block, Message, Role, ToolDefinition};
use edgewise::llm::wire::Encoder;
use edgewise::secret::Secret;
use serde_json::{Value, json};

use crate::support::config;

fn request(config: &ModelConfig, system: Option<&str>, tools: &[ToolDefinition], messages: &[Message]) -> Request {
    let mut encoder = Encoder::new(config, system, tools);
    for message in messages {
        encoder.push(message);
    }
    assert_eq!(encoder.messages(), messages.len());
    encoder.request()
}

fn body(config: &ModelConfig, messages: &[Message]) -> String {
    request(config, None, &[], messages).body.unwrap()
}

fn headers(request: &Request) -> Vec<(&str, &str)> {
    request.headers.iter().collect()
}

fn assistant(content: Vec<Block>) -> Message {
    Message { role: Role::Assistant, content }
}

fn user(content: Vec<Block>) -> Message {
    Message { role: Role::User, content }
}

fn text(text: &str) -> Block {
    Block::Text { text: text.into() }
}

fn tool_use(id: &str, input: Value, invalid_input: Option<&str>) -> Block {
    Block::ToolUse { id: id.into(), name: "add".into(), input, invalid_input: invalid_input.map(str::to_owned) }
}

fn result(id: &str, content: Vec<Value>, is_error: bool) -> Block {
    Block::ToolResult { tool_use_id: id.into(), content, is_error }
}

fn thinking(text: &str, signature: Option<&str>) -> Block {
    Block::Thinking { text: text.into(), signature: signature.map(str::to_owned) }
}

fn said(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn image() -> Value {
    json!({ "type": "image", "data": "iVBO", "mimeType": "image/png" })
}

fn add() -> ToolDefinition {
    let input_schema = json!({ "type": "object", "properties": { "b": { "type": "number" }, "a": {} } });
    ToolDefinition { name: "add".into(), description: "Adds \"two\".".into(), input_schema }
}

/// A conversation with everything in it.
fn history() -> Vec<Message> {
    vec![
        Message::user("17 + 25?\n\u{1}"),
        assistant(vec![
            thinking("hm", Some("c2ln")),
            Block::RedactedThinking { data: "c2VhbGVk".into() },
            text("I add."),
            tool_use("t:1", json!({ "b": 25, "a": 17 }), None),
            tool_use("t2", json!({}), Some("{\"a\":")),
        ]),
        user(vec![
            text("Go on."),
            result(
                "t:1",
                vec![said("42"), image(), json!({ "type": "resource_link", "uri": "f:a", "name": "a" })],
                false,
            ),
            result("t2", vec![], true),
        ]),
        assistant(vec![text("42.")]),
    ]
}

#[test]
fn anthropic_request() {
    let request = request(&config(Provider::Anthropic), Some("Be brief."), &[add()], &history());
    assert_eq!((request.method, request.url.as_str()), (Method::Post, "https://user:pw@llm.test/base/v1/messages"));
    assert_eq!(
        headers(&request),
        [
            ("content-type", "application/json"),
            ("anthropic-version", "2023-06-01"),
            ("anthropic-dangerous-direct-browser-access", "true"),
            ("x-api-key", "sk-test-0123456789"),
        ]
    );
    let expected = concat!(
        r#"{"model":"m1","system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}}],"#,
        r#""max_tokens":8192,"stream":true,"tools":[{"name":"add","description":"Adds \"two\".","#,
        r#""input_schema":{"type":"object","properties":{"b":{"type":"number"},"a":{}}},"#,
        r#""cache_control":{"type":"ephemeral"}}],"messages":["#,
        r#"{"role":"user","content":[{"type":"text","text":"17 + 25?\n\u0001","#,
        r#""cache_control":{"type":"ephemeral"}}]},"#,
        r#"{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},"#,
        r#"{"type":"redacted_thinking","data":"c2VhbGVk"},{"type":"text","text":"I add."},"#,
        r#"{"type":"tool_use","id":"t_1","name":"add","input":{"b":25,"a":17}},"#,
        r#"{"type":"tool_use","id":"t2","name":"add","input":{"invalid_json":"{\"a\":"}}]},"#,
        r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t_1","content":[{"type":"text","text":"42"},"#,
        r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}},"#,
        r#"{"type":"text","text":"{\"type\":\"resource_link\",\"uri\":\"f:a\",\"name\":\"a\"}"}]},"#,
        r#"{"type":"tool_result","tool_use_id":"t2","content":[{"type":"text","text":"The tool failed and said nothing."}],"#,
        r#""is_error":true},{"type":"text","text":"Go on.","cache_control":{"type":"ephemeral"}}]},"#,
        r#"{"role":"assistant","content":[{"type":"text","text":"42."}]}]}"#,
    );
    assert_eq!(request.body.as_deref(), Some(expected));
}

#[test]
fn openai_request() {
    let request = request(&config(Provider::OpenAi), Some("Be brief."), &[add()], &history());
    assert_eq!(request.url, "https://user:pw@llm.test/base/chat/completions");
    assert_eq!(
        headers(&request),
        [("content-type", "application/json"), ("authorization", "Bearer sk-test-0123456789")]
    );
    let expected = concat!(
        r#"{"model":"m1","stream":true,"stream_options":{"include_usage":true},"#,
        r#""tools":[{"type":"function","function":{"name":"add","description":"Adds \"two\".","#,
        r#""parameters":{"type":"object","properties":{"b":{"type":"number"},"a":{}}}}}],"messages":["#,
        r#"{"role":"system","content":"Be brief."},"#,
        r#"{"role":"user","content":"17 + 25?\n\u0001"},"#,
        r#"{"role":"assistant","content":"I add.","tool_calls":["#,
        r#"{"id":"t:1","type":"function","function":{"name":"add","arguments":"{\"b\":25,\"a\":17}"}},"#,
        r#"{"id":"t2","type":"function","function":{"name":"add","arguments":"{\"invalid_json\":\"{\\\"a\\\":\"}"}}]},"#,
        r#"{"role":"tool","tool_call_id":"t:1","content":"42\n(an image, shown below)\n"#,
        r#"{\"type\":\"resource_link\",\"uri\":\"f:a\",\"name\":\"a\"}"},"#,
        r#"{"role":"tool","tool_call_id":"t2","content":"Error: (the tool returned nothing)"},"#,
        r#"{"role":"user","content":[{"type":"text","text":"Images from the tool results:"},"#,
        r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBO"}}]},"#,
        r#"{"role":"user","content":"Go on."},"#,
        r#"{"role":"assistant","content":"42."}]}"#,
    );
    assert_eq!(request.body.as_deref(), Some(expected));
}

#[test]
fn responses_request() {
    let mut history = history();
    // Reasoning of this wire, in front of what followed it; and some that nothing follows, which the API refuses.
    history[1].content.insert(2, thinking("I see.", Some("openai:rs_1:gAAA=")));
    history[3].content.push(thinking("cut", Some("openai:rs_2:gBBB")));
    let request = request(&config(Provider::OpenAiResponses), Some("Be brief."), &[add()], &history);
    assert_eq!(request.url, "https://user:pw@llm.test/base/responses");
    assert_eq!(
        headers(&request),
        [("content-type", "application/json"), ("authorization", "Bearer sk-test-0123456789")]
    );
    let expected = concat!(
        r#"{"model":"m1","instructions":"Be brief.","stream":true,"store":false,"#,
        r#""include":["reasoning.encrypted_content"],"#,
        r#""tools":[{"name":"add","description":"Adds \"two\".","type":"function","#,
        r#""parameters":{"type":"object","properties":{"b":{"type":"number"},"a":{}}},"strict":false}],"input":["#,
        r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"17 + 25?\n\u0001"}]},"#,
        r#"{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"I see."}],"#,
        r#""encrypted_content":"gAAA="},"#,
        r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"I add."}]},"#,
        r#"{"type":"function_call","call_id":"t:1","name":"add","arguments":"{\"b\":25,\"a\":17}"},"#,
        r#"{"type":"function_call","call_id":"t2","name":"add","arguments":"{\"invalid_json\":\"{\\\"a\\\":\"}"},"#,
        r#"{"type":"function_call_output","call_id":"t:1","output":[{"type":"input_text","#,
        r#""text":"42\n{\"type\":\"resource_link\",\"uri\":\"f:a\",\"name\":\"a\"}"},"#,
        r#"{"type":"input_image","image_url":"data:image/png;base64,iVBO"}]},"#,
        r#"{"type":"function_call_output","call_id":"t2","output":"Error: (the tool returned nothing)"},"#,
        r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"Go on."}]},"#,
        r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"42."}]}]}"#,
    );
    assert_eq!(request.body.as_deref(), Some(expected));
}

#[test]
fn sealed_reasoning_is_asked_for_where_there_may_be_any() {
    let asks = |id: &str| {
        let config = ModelConfig { id: id.into(), max_tokens: Some(9), ..config(Provider::OpenAiResponses) };
        let body = body(&config, &[assistant(vec![thinking("", Some("openai:rs_1:gA")), text("a")])]);
        assert!(body.starts_with(&format!(r#"{{"model":"{id}","max_output_tokens":9,"stream":true,"store":false"#)));
        let asks = body.contains(r#""include":["reasoning.encrypted_content"]"#);
        // Who is not asked for it does not get that of another model either.
        assert_eq!(
            body.contains(r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gA"},"#),
            asks,
            "{body}"
        );
        asks
    };
    assert!(["gpt-5", "o3", "openai/gpt-5-mini", "grok-4", "qwen3"].into_iter().all(asks));
    assert!(
        !["gpt-4o", "openai/gpt-4.1", "gpt-5-chat-latest", "gpt-3.5-turbo", "chatgpt-4o-latest"].into_iter().any(asks)
    );
}

#[test]
fn gemini_request() {
    let mut history = history();
    history[1].content.insert(3, thinking("", Some("google:c2ln")));
    history[3].content.push(thinking("", Some("google:ZW5k")));
    let config = ModelConfig { max_tokens: Some(9), temperature: Some(0.5), ..config(Provider::Gemini) };
    let request = request(&config, Some("Be brief."), &[add()], &history);
    assert_eq!(request.url, "https://user:pw@llm.test/base/v1beta/models/m1:streamGenerateContent?alt=sse");
    assert_eq!(headers(&request), [("content-type", "application/json"), ("x-goog-api-key", "sk-test-0123456789")]);
    let expected = concat!(
        r#"{"systemInstruction":{"parts":[{"text":"Be brief."}]},"#,
        r#""generationConfig":{"maxOutputTokens":9,"temperature":0.5},"#,
        r#""tools":[{"functionDeclarations":[{"name":"add","description":"Adds \"two\".","#,
        r#""parametersJsonSchema":{"type":"object","properties":{"b":{"type":"number"},"a":{}}}}]}],"contents":["#,
        r#"{"role":"user","parts":[{"text":"17 + 25?\n\u0001"}]},"#,
        r#"{"role":"model","parts":[{"text":"I add."},"#,
        r#"{"functionCall":{"id":"t:1","name":"add","args":{"b":25,"a":17}},"thoughtSignature":"c2ln"},"#,
        r#"{"functionCall":{"id":"t2","name":"add","args":{"invalid_json":"{\"a\":"}}}]},"#,
        r#"{"role":"user","parts":[{"functionResponse":{"id":"t:1","name":"add","response":{"output":"#,
        r#""42\n(an image, shown below)\n{\"type\":\"resource_link\",\"uri\":\"f:a\",\"name\":\"a\"}"}}},"#,
        r#"{"functionResponse":{"id":"t2","name":"add","response":{"error":""}}},"#,
        r#"{"inlineData":{"mimeType":"image/png","data":"iVBO"}},{"text":"Go on."}]},"#,
        r#"{"role":"model","parts":[{"text":"42."},{"text":"","thoughtSignature":"ZW5k"}]}]}"#,
    );
    assert_eq!(request.body.as_deref(), Some(expected));
    let tuned = ModelConfig { id: "tunedModels/x".into(), ..config };
    let url = Encoder::new(&tuned, None, &[]).request().url;
    assert!(url.ends_with("/v1beta/tunedModels/x:streamGenerateContent?alt=sse"), "{url}");
}

#[test]
fn gemini_counts_the_results_of_a_turn_so_messages_of_one_role_are_one() {
    let calls = assistant(vec![tool_use("a", json!({}), None), tool_use("b", json!({}), None)]);
    let messages = [
        Message::user("go"),
        calls,
        user(vec![result("a", vec![said("1")], false)]),
        assistant(vec![text("")]),
        user(vec![result("b", vec![said("2")], false)]),
        Message::user("and?"),
    ];
    let body = |id: &str| body(&ModelConfig { id: id.into(), ..config(Provider::Gemini) }, &messages);
    let expected = |signature: &str| {
        [
            r#"{"contents":[{"role":"user","parts":[{"text":"go"}]},{"role":"model","parts":["#,
            r#"{"functionCall":{"id":"a","name":"add","args":{}}"#,
            signature,
            r#"},{"functionCall":{"id":"b","name":"add","args":{}}}]},{"role":"user","parts":["#,
            r#"{"functionResponse":{"id":"a","name":"add","response":{"output":"1"}}},"#,
            r#"{"functionResponse":{"id":"b","name":"add","response":{"output":"2"}}},{"text":"and?"}]}]}"#,
        ]
        .concat()
    };
    assert_eq!(body("gemini-2.5-pro"), expected(""));
    // Calls that another model made have no signature, without which Gemini 3 takes none.
    assert_eq!(body("gemini-3-pro"), expected(r#","thoughtSignature":"skip_thought_signature_validator""#));
}

#[test]
fn every_body_is_json_and_begins_like_the_one_before() {
    for provider in [Provider::Anthropic, Provider::OpenAi, Provider::OpenAiResponses, Provider::Gemini] {
        let mut encoder = Encoder::new(&config(provider), Some("s"), &[add()]);
        let mut before = String::new();
        for message in history() {
            encoder.push(&message);
            let body = encoder.request().body.unwrap();
            serde_json::from_str::<Value>(&body).unwrap();
            let body = body.replace(BREAKPOINT, "");
            assert!(body.starts_with(before.trim_end_matches("]}")), "{before}\n{body}");
            before = body;
        }
    }
}

const BREAKPOINT: &str = r#","cache_control":{"type":"ephemeral"}"#;

#[test]
fn breakpoints_move_on_with_the_conversation_and_are_never_more_than_four() {
    let config = config(Provider::Anthropic);
    let calls =
        |turn: usize| assistant(vec![thinking("hm", Some("c2ln")), tool_use(&format!("t{turn}"), json!({}), None)]);
    let mut encoder = Encoder::new(&config, Some("Be brief."), &[add(), add()]);
    encoder.push(&Message::user("go"));
    let mut marked_before = vec![0];
    for turn in 0..5 {
        let body: Value = serde_json::from_str(&encoder.request().body.unwrap()).unwrap();
        assert_eq!(body.to_string().matches(BREAKPOINT).count(), 2 + marked_before.len().min(2));
        let mark = json!({ "type": "ephemeral" });
        assert_eq!(body["system"][0]["cache_control"], mark);
        assert_eq!((body["tools"][0].get("cache_control"), &body["tools"][1]["cache_control"]), (None, &mark));
        let messages = body["messages"].as_array().unwrap();
        let marked: Vec<usize> = (0..messages.len())
            .filter(|at| messages[*at]["content"].as_array().unwrap().last().unwrap().get("cache_control").is_some())
            .collect();
        // Where the last request ended, and where this one does.
        assert_eq!(marked, marked_before);
        marked_before = vec![*marked.last().unwrap(), messages.len() + 1];
        encoder.push(&calls(turn));
        encoder.push(&user(vec![result(&format!("t{turn}"), vec![said("1"), image()], false)]));
    }
}

#[test]
fn what_cannot_be_cached_is_not_marked() {
    let bare = |system: Option<&str>, tools: &[ToolDefinition], messages: &[Message]| {
        request(&config(Provider::Anthropic), system, tools, messages).body.unwrap()
    };
    let empty = r#"{"model":"m1","max_tokens":8192,"stream":true,"messages":[]}"#;
    assert_eq!(bare(None, &[], &[]), empty);
    assert_eq!(bare(Some(" \n"), &[], &[Message::user(" "), assistant(vec![text("")])]), empty);
    assert!(!bare(None, &[], &[assistant(vec![text("a")])]).contains(BREAKPOINT));
}

#[test]
fn nothing_stands_between_the_results_of_one_turn_even_in_messages_of_their_own() {
    let calls = assistant(vec![tool_use("a", json!({}), None), tool_use("b", json!({}), None)]);
    let results = [user(vec![result("a", vec![image()], false)]), user(vec![result("b", vec![said("x")], false)])];
    let messages = [vec![Message::user("go"), calls], results.to_vec()].concat();
    let body: Value = serde_json::from_str(&body(&config(Provider::OpenAi), &messages)).unwrap();
    let roles: Vec<_> = body["messages"].as_array().unwrap().iter().map(|message| message["role"].as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "user"].map(Some));
}

#[test]
fn what_the_api_refuses_is_not_sent() {
    let config = config(Provider::Anthropic);
    let messages = [
        Message::user("go"),
        assistant(vec![thinking("unsigned", None), thinking("of google", Some("google:x")), text(" \n")]),
        assistant(vec![thinking("", Some("c2ln")), text("a")]),
        user(vec![result("a", vec![image(), said("")], true)]),
    ];
    let expected = concat!(
        r#"{"model":"m1","max_tokens":8192,"stream":true,"messages":["#,
        r#"{"role":"user","content":[{"type":"text","text":"go","cache_control":{"type":"ephemeral"}}]},"#,
        r#"{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"c2ln"},{"type":"text","text":"a"}]},"#,
        r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"#,
        r#"[{"type":"text","text":"(left out: an image)"}],"is_error":true,"cache_control":{"type":"ephemeral"}}]}]}"#,
    );
    assert_eq!(body(&config, &messages), expected);
}

#[test]
fn options_and_their_names_by_dialect() {
    let start = |base_url: &str, id: &str, provider| {
        let config = ModelConfig {
            base_url: base_url.into(),
            id: id.into(),
            max_tokens: Some(50),
            temperature: Some(0.5),
            ..config(provider)
        };
        let body = body(&config, &[]);
        body[..body.find(r#","messages""#).unwrap()].to_owned()
    };
    let usage = r#""stream_options":{"include_usage":true}"#;
    let common = start("http://localhost:11434/v1", "m", Provider::OpenAi);
    assert_eq!(common, [r#"{"model":"m","max_tokens":50,"temperature":0.5,"stream":true,"#, usage].concat());
    let openai = start("https://api.openai.com/v1", "m", Provider::OpenAi);
    assert_eq!(openai, [r#"{"model":"m","max_completion_tokens":50,"temperature":0.5,"stream":true,"#, usage].concat());
    let mistral = start("https://api.mistral.ai/v1", "m", Provider::OpenAi);
    assert_eq!(mistral, r#"{"model":"m","max_tokens":50,"temperature":0.5,"stream":true"#);
    let anthropic = start("/llm", "m", Provider::Anthropic);
    assert_eq!(anthropic, r#"{"model":"m","max_tokens":50,"temperature":0.5,"stream":true"#);
}

#[test]
fn reasoning_goes_back_only_to_those_who_demand_it() {
    let call = || tool_use("a", json!({}), None);
    let messages = [
        assistant(vec![thinking("hm", None), text("a"), call()]),
        assistant(vec![call()]),
        assistant(vec![thinking("hm", None), text("b")]),
    ];
    let fields = |base_url: &str| -> Vec<Option<String>> {
        let config = ModelConfig { base_url: base_url.into(), ..config(Provider::OpenAi) };
        let body: Value = serde_json::from_str(&body(&config, &messages)).unwrap();
        let messages = body["messages"].as_array().unwrap().iter();
        messages.map(|message| message.get("reasoning_content").map(Value::to_string)).collect()
    };
    assert_eq!(fields("https://api.deepseek.com"), [Some("\"hm\"".into()), Some("\"\"".into()), None]);
    assert_eq!(fields("https://api.mistral.ai/v1"), [None, None, None]);
}

#[test]
fn geminis_signature_goes_back_on_the_call_it_came_with() {
    let call = |id| tool_use(id, json!({}), None);
    let messages = [assistant(vec![thinking("hm", Some("google:c2ln")), call("a"), call("b")])];
    let body: Value = serde_json::from_str(&body(&config(Provider::OpenAi), &messages)).unwrap();
    let calls = &body["messages"][0]["tool_calls"];
    assert_eq!(calls[0]["extra_content"], json!({ "google": { "thought_signature": "c2ln" } }));
    assert_eq!(calls[1].get("extra_content"), None);
}

#[test]
fn headers_of_the_app_win_and_no_key_means_no_header() {
    let config = ModelConfig {
        api_key: None,
        headers: vec![("Anthropic-Version".into(), Secret::new("x")), ("x-title".into(), Secret::new("y"))],
        ..config(Provider::Anthropic)
    };
    let request = request(&config, None, &[], &[]);
    assert_eq!(request.headers.get("anthropic-version"), Some("x"));
    assert_eq!(request.headers.get("x-title"), Some("y"));
    assert_eq!(request.headers.get("x-api-key"), None);
}

#[test]
fn what_goes_with_a_prompt_is_sent_as_the_wire_wants_it() {
    let picture = Block::Image { data: "iVBO".into(), mime_type: "image/png".into() };
    let sound = Block::Audio { data: "UklG".into(), mime_type: "audio/wav".into() };
    let message = user(vec![picture, sound, text("What?")]);
    let sent = |provider| {
        let body: Value = serde_json::from_str(&body(&config(provider), std::slice::from_ref(&message))).unwrap();
        let list = ["messages", "input", "contents"].into_iter().find_map(|name| body.get(name)).unwrap()[0].clone();
        list.get("content").or(list.get("parts")).unwrap().clone()
    };
    assert_eq!(
        sent(Provider::OpenAi),
        json!([
            { "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBO" } },
            { "type": "input_audio", "input_audio": { "data": "UklG", "format": "wav" } },
            { "type": "text", "text": "What?" },
        ])
    );
    assert_eq!(
        sent(Provider::Gemini),
        json!([
            { "inlineData": { "mimeType": "image/png", "data": "iVBO" } },
            { "inlineData": { "mimeType": "audio/wav", "data": "UklG" } },
            { "text": "What?" },
        ])
    );
    let unheard = "(left out: a recording, which this model cannot hear)";
    assert_eq!(
        sent(Provider::OpenAiResponses),
        json!([
            { "type": "input_image", "image_url": "data:image/png;base64,iVBO" },
            { "type": "input_text", "text": unheard },
            { "type": "input_text", "text": "What?" },
        ])
    );
    let source = json!({ "type": "base64", "media_type": "image/png", "data": "iVBO" });
    let marked = json!({ "type": "text", "text": "What?", "cache_control": { "type": "ephemeral" } });
    let blocks = json!([{ "type": "image", "source": source }, { "type": "text", "text": unheard }, marked]);
    assert_eq!(sent(Provider::Anthropic), blocks);
    assert_eq!(sent(Provider::App), serde_json::to_value(&message.content).unwrap());
}

#[test]
fn the_beginning_of_an_answer_stands_last_and_is_marked_where_it_must_be() {
    for (base, mark) in [("https://api.mistral.ai/v1", Some("prefix")), ("http://localhost:1/v1", None)] {
        let config = ModelConfig { base_url: base.into(), ..config(Provider::OpenAi) };
        let mut encoder = Encoder::new(&config, Some("Be brief."), &[]).anew(&config);
        encoder.push(&user(vec![text("hi")]));
        encoder.push_said("It will");
        let body: Value = serde_json::from_str(&encoder.request().body.unwrap()).unwrap();
        let mut last = json!({ "role": "assistant", "content": "It will" });
        if let Some(mark) = mark {
            last[mark] = json!(true);
        }
        assert_eq!((body["messages"].as_array().unwrap().len(), &body["messages"][2]), (3, &last));
    }
}

#[test]
fn a_schema_is_demanded_in_the_words_of_each_wire() {
    let closed = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"], "additionalProperties": false });
    let open = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    let sent = |provider, base_url: &str, id: &str, tools: &[ToolDefinition], schema: &Value| {
        let config = ModelConfig { base_url: base_url.into(), id: id.into(), ..config(provider) };
        let body = Encoder::demanding(&config, None, tools, Some(schema)).request().body.unwrap();
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let (api, home) = ("https://api.openai.com/v1", "http://127.0.0.1:8080/v1");
    let named = json!({ "name": "answer", "strict": true, "schema": closed });
    let asked = sent(Provider::OpenAi, api, "gpt-5", &[add()], &closed);
    assert_eq!(asked["response_format"], json!({ "type": "json_schema", "json_schema": named }));
    let asked = sent(Provider::OpenAi, api, "gpt-5", &[], &open);
    assert_eq!(asked["response_format"]["json_schema"], json!({ "name": "answer", "schema": open }));
    assert_eq!(sent(Provider::OpenAi, home, "qwen", &[], &closed)["response_format"]["json_schema"], named);
    assert!(sent(Provider::OpenAi, home, "qwen", &[add()], &closed).get("response_format").is_none());

    let asked = sent(Provider::OpenAiResponses, api, "gpt-5", &[add()], &closed);
    let format = json!({ "type": "json_schema", "name": "answer", "strict": true, "schema": closed });
    assert_eq!(asked["text"], json!({ "format": format }));

    let asked = sent(Provider::Anthropic, "https://api.anthropic.com", "claude-opus-4-6", &[add()], &closed);
    assert_eq!(asked["output_config"], json!({ "format": { "type": "json_schema", "schema": closed } }));
    assert!(sent(Provider::Anthropic, "", "claude-opus-4-6", &[], &open).get("output_config").is_none());

    let asked = sent(Provider::Gemini, "", "gemini-2.5-flash", &[], &closed);
    let generation = &asked["generationConfig"];
    assert_eq!(generation["responseMimeType"], "application/json");
    assert_eq!(generation["responseJsonSchema"]["required"], json!(["a"]));
    assert!(sent(Provider::Gemini, "", "gemini-2.5-flash", &[add()], &closed).get("generationConfig").is_none());

    // The app's own model is told, whatever the schema, and also beside tools.
    let list = json!({ "type": "array" });
    assert_eq!(sent(Provider::App, "transport:1", "mine", &[add()], &list)["output"], list);
}

#[test]
fn further_fields_of_the_app_win_and_leave_the_rest_as_it_is() {
    for (provider, fields, path, given) in [
        (
            Provider::Anthropic,
            json!({ "thinking": { "type": "adaptive" }, "max_tokens": 77777 }),
            "/thinking/type",
            "adaptive",
        ),
        (Provider::OpenAi, json!({ "reasoning_effort": "low", "max_tokens": 77777 }), "/reasoning_effort", "low"),
        (
            Provider::OpenAiResponses,
            json!({ "reasoning": { "effort": "low" }, "max_output_tokens": 77777 }),
            "/reasoning/effort",
            "low",
        ),
        (
            Provider::Gemini,
            json!({ "generationConfig": { "thinkingConfig": { "thinkingLevel": "LOW" }, "maxOutputTokens": 77777 } }),
            "/generationConfig/thinkingConfig/thinkingLevel",
            "LOW",
        ),
    ] {
        let plain = ModelConfig { max_tokens: Some(5), temperature: Some(0.5), ..config(provider) };
        let more = ModelConfig { body: fields.as_object().unwrap().clone(), ..plain.clone() };
        let written = |config: &ModelConfig| {
            let body = request(config, Some("Be brief."), &[add()], &history()).body.unwrap();
            (serde_json::from_str::<Value>(&body).unwrap(), body)
        };
        let ((with, text), (mut without, before)) = (written(&more), written(&plain));
        assert_eq!(with.pointer(path), Some(&json!(given)), "{text}");
        assert_eq!(text.matches("\"temperature\":0.5").count(), 1, "{text}");
        // What was said is the same to the byte, and so is all that the app did not name.
        let list =
            ["\"messages\":[", "\"input\":[", "\"contents\":["].into_iter().find(|list| before.contains(list)).unwrap();
        assert_eq!(text[text.find(list).unwrap()..], before[before.find(list).unwrap()..]);
        for (name, value) in with.as_object().unwrap() {
            without[name.as_str()] = value.clone();
        }
        assert_eq!((without, text.matches(":77777").count()), (with, 1), "{text}");
    }
}
