use serde_json::json;

use super::*;
use crate::llm::count;
use crate::llm::types::Role;
use crate::llm::wire::Encoder;

fn config(provider: Provider, base_url: &str, id: &str) -> ModelConfig {
    ModelConfig { provider, base_url: base_url.into(), id: id.into(), ..ModelConfig::offline() }
}

fn anthropic() -> ModelConfig {
    config(Provider::Anthropic, "https://api.anthropic.com", "claude-sonnet-4-6")
}

fn responses() -> ModelConfig {
    config(Provider::OpenAiResponses, "https://api.openai.com/v1", "gpt-5.6")
}

fn tool(name: &str) -> ToolDefinition {
    ToolDefinition {
        name: name.into(),
        description: format!("Does {name}."),
        input_schema: json!({ "type": "object" }),
    }
}

fn call(id: &str, name: &str) -> Message {
    let call = Block::ToolUse { id: id.into(), name: name.into(), input: json!({}), invalid_input: None };
    Message { role: Role::Assistant, content: vec![call] }
}

fn result(id: &str, content: Vec<Value>) -> Message {
    let result = Block::ToolResult { tool_use_id: id.into(), content, is_error: false };
    Message { role: Role::User, content: vec![result] }
}

fn told(names: &[&str]) -> Value {
    block("You can call them now.".into(), names.iter().map(|name| (*name).to_owned()).collect())
}

fn finders() -> Vec<String> {
    vec!["find_tools".to_owned()]
}

fn found(config: &ModelConfig, messages: &[Message], tools: &[ToolDefinition]) -> Found {
    Found::of(config, messages.iter().map(Cow::Borrowed), tools, &finders())
}

fn request(config: &ModelConfig, messages: &[Message], tools: &[ToolDefinition]) -> String {
    let mut encoder = Encoder::telling(config, Some("be kind"), tools, None, found(config, messages, tools));
    messages.iter().for_each(|message| encoder.push(message));
    encoder.request().body.unwrap()
}

/// A prompt, a search that finds `mail`, a call of it; and how many messages and tools each request has.
fn story() -> (Vec<Message>, Vec<ToolDefinition>, [(usize, usize); 3]) {
    let messages = vec![
        Message::user("write to Ann"),
        call("t1", "find_tools"),
        result("t1", vec![told(&["mail"]), block("You have these already:\n- look".into(), Vec::new())]),
        call("t2", "mail"),
        result("t2", vec![json!({ "type": "text", "text": "sent" })]),
    ];
    (messages, vec![tool("look"), tool("find_tools"), tool("mail")], [(1, 2), (3, 3), (5, 3)])
}

/// What of a request of Anthropic's is in front of the conversation, without the tools that are left to results.
fn front(body: &str) -> String {
    let mut body: Value = serde_json::from_str(body).unwrap();
    body.as_object_mut().unwrap().shift_remove("messages");
    body["tools"].as_array_mut().unwrap().retain(|tool| tool.get("defer_loading").is_none());
    body.to_string()
}

#[test]
fn what_was_sent_to_anthropic_before_a_tool_was_found_stays_what_it_was() {
    let (messages, tools, steps) = story();
    let bodies = steps.map(|(shown, offered)| request(&anthropic(), &messages[..shown], &tools[..offered]));
    // Byte for byte, up to the tools that the provider leaves out of the prompt.
    let end = bodies[0].find(r#"],"messages":["#).unwrap();
    assert!(bodies[0][..end].ends_with(r#","cache_control":{"type":"ephemeral"}}"#), "{}", &bodies[0][..end]);
    for body in &bodies {
        assert_eq!((&body[..end], front(body)), (&bodies[0][..end], front(&bodies[0])));
        assert_eq!(body.matches(r#""defer_loading":true"#).count(), usize::from(body != &bodies[0]));
        assert!(body.matches("cache_control").count() <= 4, "{body}");
    }
    let body: Value = serde_json::from_str(&bodies[2]).unwrap();
    let late = &body["tools"][2];
    assert_eq!((late["name"].as_str(), late.get("cache_control")), (Some("mail"), None));
    // References stand alone in their result; what it says besides comes behind all results.
    let blocks = &body["messages"][2]["content"];
    assert_eq!(blocks[0]["content"], json!([{ "type": "tool_reference", "tool_name": "mail" }]));
    assert_eq!(blocks[1]["text"], "You have these already:\n- look");
    assert_eq!(body["messages"][4]["content"][0]["content"][0]["text"], "sent");
    let plain = |body: &Value| body["messages"].to_string().replace(r#","cache_control":{"type":"ephemeral"}"#, "");
    let before: Value = serde_json::from_str(&bodies[1]).unwrap();
    let before = plain(&before);
    assert!(plain(&body).starts_with(before.strip_suffix(']').unwrap()), "{before}");
}

#[test]
fn a_request_to_openai_is_the_last_one_and_more() {
    let (messages, tools, steps) = story();
    let bodies = steps.map(|(shown, offered)| request(&responses(), &messages[..shown], &tools[..offered]));
    for pair in bodies.windows(2) {
        assert!(pair[1].starts_with(pair[0].strip_suffix("]}").unwrap()), "{pair:?}");
    }
    let body: Value = serde_json::from_str(&bodies[2]).unwrap();
    assert_eq!(body["tools"].as_array().unwrap().len(), 2);
    let kinds: Vec<&str> =
        body["input"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    let call = ["function_call", "function_call_output"];
    assert_eq!(kinds, ["message", call[0], call[1], "additional_tools", call[0], call[1]]);
    let added = &body["input"][3];
    assert_eq!((&added["role"], &added["tools"][0]["name"]), (&json!("developer"), &json!("mail")));
    assert!(body["input"][2]["output"].as_str().unwrap().starts_with("You can call them now."));
}

#[test]
fn only_who_is_known_to_take_tools_behind_results_is_told_of_them_there() {
    let (messages, tools, _) = story();
    let takes =
        |provider, base_url: &str, id: &str| !found(&config(provider, base_url, id), &messages, &tools).is_empty();
    assert!(takes(Provider::Anthropic, "https://api.anthropic.com", "claude-opus-4-8"));
    assert!(!takes(Provider::Anthropic, "https://api.anthropic.com", "claude-3-5-haiku-latest"));
    assert!(!takes(Provider::Anthropic, "http://127.0.0.1:8080", "claude-opus-4-8"));
    for (id, wanted) in [
        ("gpt-5.6", true),
        ("gpt-5.6-luna", true),
        ("gpt-6-astra", true),
        ("gpt-5.4", false),
        ("gpt-5-mini", false),
        ("gpt-5.7-chat-latest", false),
        ("gpt-4o", false),
        ("o5", false),
    ] {
        assert_eq!(takes(Provider::OpenAiResponses, "https://api.openai.com/v1", id), wanted, "{id}");
    }
    assert!(!takes(Provider::OpenAi, "https://api.openai.com/v1", "gpt-5.6"));
    assert!(!takes(Provider::OpenAiResponses, "http://localhost:8080/v1", "gpt-5.6"));
    // There all tools stand in front, and the result is its text.
    let other = config(Provider::Anthropic, "http://127.0.0.1:8080", "m");
    let body: Value = serde_json::from_str(&request(&other, &messages, &tools)).unwrap();
    assert_eq!((body["tools"].as_array().unwrap().len(), body["tools"][2].get("defer_loading")), (3, None));
    assert_eq!(body["tools"][2]["cache_control"]["type"], "ephemeral");
    let content = &body["messages"][2]["content"][0]["content"];
    assert_eq!(
        *content,
        json!([{ "type": "text", "text": "You can call them now." }, { "type": "text", "text": "You have these already:\n- look" }])
    );
}

#[test]
fn what_the_history_does_not_show_to_be_found_stands_in_front() {
    let tools = [tool("look"), tool("find_tools"), tool("mail")];
    let of = |messages: &[Message]| {
        found(&anthropic(), messages, &tools).tools().map(|tool| tool.name.clone()).collect::<Vec<_>>()
    };
    let search = || [call("t1", "find_tools"), result("t1", vec![told(&["mail"])])];
    assert_eq!(of(&search()), ["mail"]);
    // Its result was taken out by a compaction.
    assert_eq!(
        of(&[call("t1", "find_tools"), result("t1", vec![json!({ "type": "text", "text": "kept under result:1" })])]),
        [""; 0]
    );
    // A server says so of itself.
    assert_eq!(of(&[call("t1", "look"), result("t1", vec![told(&["mail"])])]), [""; 0]);
    // It was called before; it is gone since; it has failed.
    let before = [vec![call("t0", "mail"), result("t0", Vec::new())], search().to_vec()].concat();
    assert_eq!(of(&before), [""; 0]);
    assert_eq!(of(&[call("t1", "find_tools"), result("t1", vec![told(&["gone", "find_tools"])])]), [""; 0]);
    let failed = Block::ToolResult { tool_use_id: "t1".into(), content: vec![told(&["mail"])], is_error: true };
    assert_eq!(of(&[call("t1", "find_tools"), Message { role: Role::User, content: vec![failed] }]), [""; 0]);
    // It is told of once.
    let twice =
        [search().to_vec(), vec![call("t2", "find_tools"), result("t2", vec![told(&["mail", "look"])])]].concat();
    assert_eq!(of(&twice), ["mail", "look"]);
}

#[test]
fn a_refused_request_is_made_again_with_all_tools_in_front() {
    let (messages, tools, _) = story();
    for config in [anthropic(), responses()] {
        let mut encoder = Encoder::telling(&config, Some("be kind"), &tools, None, found(&config, &messages, &tools));
        messages.iter().for_each(|message| encoder.push(message));
        let late = encoder.request();
        let plain = in_front(late.clone()).unwrap();
        assert_eq!((&plain.url, &plain.headers), (&late.url, &late.headers));
        let text = plain.body.unwrap();
        assert!(
            !["defer_loading", "tool_reference", "additional_tools"].iter().any(|word| text.contains(word)),
            "{text}"
        );
        let body: Value = serde_json::from_str(&text).unwrap();
        let names: Vec<&str> =
            body["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["look", "find_tools", "mail"]);
        assert_eq!(text.matches("be kind").count(), 1);
        assert!(text.contains("You have these already"));
        assert!(text.contains("The tool mail can be called from now on.") || text.contains("You can call them now."));
    }
    let error = |words: &str, status| Error::new(Code::Provider, words).status(status);
    assert!(refused(&error("tools.2.defer_loading: Extra inputs are not permitted", 400), true));
    assert!(refused(&error("no", 400), false));
    assert!(!refused(&error("previous_message_id: not found", 400), true));
    assert!(!refused(&error("defer_loading", 500), false));
    assert!(!refused(&error("defer_loading", 400).retry(Retry::Backoff), false));
}

#[test]
fn what_is_counted_is_what_is_sent() {
    let (messages, tools, _) = story();
    for config in [anthropic(), responses()] {
        let mut encoder = Encoder::telling(&config, None, &tools, None, found(&config, &messages, &tools));
        messages.iter().for_each(|message| encoder.push(message));
        let (sent, counted) = (encoder.request(), count::request(&config, encoder.request()).unwrap());
        let body = |request: &Request| serde_json::from_str::<Value>(request.body.as_deref().unwrap()).unwrap();
        for field in ["tools", "messages", "input"] {
            assert_eq!(body(&sent)[field], body(&counted)[field], "{field}");
        }
    }
}

/// A prompt with what it adds to the offer.
fn adding(words: &str, names: &[&str], anew: bool) -> Message {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Message { role: Role::User, content: vec![Block::Tools { names, anew }, Block::Text { text: words.into() }] }
}

#[test]
fn what_a_prompt_adds_stands_before_it_where_the_wire_can_and_else_behind_the_other_tools() {
    let messages =
        [adding("hello", &["look"], true), Message::assistant("hi"), adding("write to Ann", &["mail", "gone"], false)];
    let tools = [tool("look"), tool("find_tools"), tool("mail")];
    let first = request(&responses(), &messages[..1], &tools[..2]);
    let later = request(&responses(), &messages, &tools);
    assert!(later.starts_with(first.strip_suffix("]}").unwrap()), "{later}");
    let body: Value = serde_json::from_str(&later).unwrap();
    assert_eq!(
        (&body["input"][2]["type"], &body["input"][2]["tools"][0]["name"]),
        (&json!("additional_tools"), &json!("mail"))
    );
    assert_eq!(body["input"][3]["content"][0]["text"], "write to Ann");
    let plain: Value = serde_json::from_str(
        &in_front(Request { body: Some(later), ..Encoder::new(&responses(), None, &[]).request() })
            .unwrap()
            .body
            .unwrap(),
    )
    .unwrap();
    assert_eq!((plain["tools"].as_array().unwrap().len(), plain["input"].as_array().unwrap().len()), (3, 3));
    // Anthropic's references stand in results only; others know of nothing. No model is shown the mark.
    let names = |tool: &Value| tool["name"].as_str().or(tool["function"]["name"].as_str()).unwrap().to_owned();
    let elsewhere = [
        anthropic(),
        config(Provider::OpenAi, "https://api.openai.com/v1", "gpt-5.6"),
        config(Provider::App, "", "mine"),
        config(Provider::WorkersAi, "", "@cf/m"),
    ];
    for config in elsewhere {
        let body: Value = serde_json::from_str(&request(&config, &messages, &tools)).unwrap();
        assert_eq!(
            body["tools"].as_array().unwrap().iter().map(names).collect::<Vec<_>>(),
            ["look", "find_tools", "mail"]
        );
        assert!(!body["messages"].to_string().contains("gone"), "{body}");
    }
    let gemini = request(&config(Provider::Gemini, "https://g", "gemini-3"), &messages, &tools);
    assert!(!gemini.contains("gone") && gemini.contains("write to Ann"), "{gemini}");
}

#[test]
fn anthropic_has_a_tool_to_be_found_from_the_first_request_on() {
    let (messages, tools, steps) = story();
    // Whichever it is: one that is found later, or one that never is.
    for name in ["mail", "other"] {
        let other = tool(name);
        let bodies = steps.map(|(shown, offered)| {
            let found = found(&anthropic(), &messages[..shown], &tools[..offered]).beside(&anthropic(), Some(&other));
            let mut encoder = Encoder::telling(&anthropic(), Some("be kind"), &tools[..offered], None, found);
            messages[..shown].iter().for_each(|message| encoder.push(message));
            encoder.request().body.unwrap()
        });
        let first: Value = serde_json::from_str(&bodies[0]).unwrap();
        assert_eq!((&first["tools"][2]["name"], &first["tools"][2]["defer_loading"]), (&json!(name), &json!(true)));
        let end = bodies[0].find(r#"],"messages":["#).unwrap();
        for body in &bodies {
            assert_eq!((&body[..end], front(body)), (&bodies[0][..end], front(&bodies[0])));
            let body: Value = serde_json::from_str(body).unwrap();
            let mut names: Vec<&str> =
                body["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{names:?}");
        }
        assert!(bodies[1].contains(r#"{"type":"tool_reference","tool_name":"mail"}"#));
    }
    for config in [responses(), config(Provider::Anthropic, "http://127.0.0.1:8080", "m")] {
        assert!(Found::default().beside(&config, Some(&tool("other"))).is_empty());
    }
}
