//! What bounds a context: windows that are known or learned, and patience.

use super::*;
use crate::agent::view::Rate;
use crate::llm::types::Role;
use crate::sim::Step;

fn agent_of(sim: &SimPlatform, window: Value, docs: Docs) -> (Agent<SimPlatform>, Rc<RefCell<Docs>>) {
    let docs = sim.host("https://docs.test", docs);
    let options = json!({
        "model": { "provider": "offline", "contextWindow": window }, "context": { "embed": false },
        "servers": [{ "name": "docs", "url": "https://docs.test/mcp" }],
    });
    (Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap()), docs)
}

fn long(count: usize) -> Docs {
    let resources = (0..count).map(|number| resource(&format!("docs://{number}"), "rain")).collect();
    Docs { resources, words: "It rains here and there. ".repeat(60), ..weather() }
}

fn context_of(events: &[Value]) -> &Value {
    events.iter().find(|event| event["type"] == "context").unwrap()
}

fn tokens_of(context: &Value) -> u64 {
    context["tokens"].as_u64().unwrap()
}

fn messages_of(events: &[Value]) -> Vec<Message> {
    let options = json!({ "messages": events.last().unwrap()["messages"] });
    RunOptions::read(&options).unwrap().messages
}

#[test]
fn a_window_that_was_learned_bounds_the_context() {
    let sim = SimPlatform::new(1);
    let (agent, _) = agent_of(&sim, Value::Null, long(8));
    assert!(tokens_of(context_of(&run(&sim, &agent, "Does it rain?"))) > 2_000, "no window is known");
    agent.note_rooms(&[Some(1_000)]);
    let tokens = tokens_of(context_of(&run(&sim, &agent, "Does it rain?")));
    assert!((300..800).contains(&tokens), "{tokens}");
}

#[test]
fn what_tokens_really_are_bounds_the_context() {
    let sim = SimPlatform::new(2);
    let (agent, _) = agent_of(&sim, json!(8_000), long(8));
    // The provider counts a token for each character.
    agent.note_rate(Rate::of(1, 1));
    let events = run(&sim, &agent, "Does it rain?");
    let text = events.last().unwrap()["messages"][0]["content"][0]["text"].as_str().unwrap().chars().count();
    assert!((2_000..=4_800).contains(&text), "{text}");
}

#[test]
fn context_without_a_run_leaves_room_too() {
    let sim = SimPlatform::new(3);
    for (window, range) in [(json!(2_000), 500..1_200), (json!(60), 0..1), (Value::Null, 2_000..9_000)] {
        let (agent, _) = agent_of(&sim, window, long(8));
        let tokens = tokens_of(&build(&sim, &agent, "Does it rain?"));
        assert!(range.contains(&tokens), "{tokens}");
    }
}

#[test]
fn what_was_summarised_takes_no_room_and_may_be_read_again() {
    let sim = SimPlatform::new(4);
    let (agent, _) = agent_of(&sim, json!(8_000), weather());
    let first = run(&sim, &agent, "Does it rain?");
    assert_eq!(uris(context_of(&first)), ["docs://rain"]);
    let mut messages = messages_of(&first);
    messages.extend([Message::user("So far. ".repeat(10_000)), Message::assistant("Yes.")]);
    let again = |messages: Vec<Message>| {
        let options = RunOptions { messages, ..RunOptions::default() };
        let events = run_on(&sim, &agent, "Does it rain?", options);
        uris(context_of(&events)).len()
    };
    assert_eq!(again(messages.clone()), 0, "there is no room");
    let mark = Block::Compaction { keeps: 0, summary: Some("We spoke.".into()), results: Map::new() };
    messages.push(Message { role: Role::User, content: vec![mark] });
    assert_eq!(again(messages), 1, "there is, and the model does not have it any more");
}

#[test]
fn what_is_over_is_told_as_such() {
    let sim = SimPlatform::new(5);
    let (agent, docs) = agent_of(&sim, Value::Null, Docs { templates: vec![], ..weather() });
    let context = build(&sim, &agent, "Does it rain?");
    assert_eq!((uris(&context), context["sources"][0].get("stale")), (vec!["docs://rain"], None));
    sim.block_on(sim.sleep(Millis(2_000))).unwrap();
    docs.borrow_mut().down = true;
    let context = build(&sim, &agent, "Does it rain?");
    assert_eq!((uris(&context), &context["sources"][0]["stale"]), (vec!["docs://rain"], &json!(true)), "{context}");
}

#[test]
fn a_function_that_never_answers_keeps_no_run_from_going_on() {
    let sim = SimPlatform::new(6);
    sim.function(FunctionId(1), |_, _| AppAnswer::never());
    let (agent, _) = agent(&sim, weather(), json!({ "embed": { "$function": 1 } }));
    let events = run(&sim, &agent, "Does it rain?");
    let context = context_of(&events);
    assert_eq!((uris(context), &context["meaning"]), (vec!["docs://rain"], &json!(false)));
    assert!(context["meaningError"].as_str().unwrap().contains("30 s"), "{context}");
    assert!(sim.elapsed().0 < 40_000 && events.last().unwrap()["type"] == "done");
    sim.block_on(agent.close()).unwrap();
    assert_eq!(sim.leftovers(), "");
}

#[test]
fn a_slow_server_keeps_a_run_waiting_for_so_long_and_no_longer() {
    let sim = SimPlatform::new(7);
    let template = json!({ "uriTemplate": "docs://w/{a}/{b}/{c}/{d}/{e}/{f}", "name": "weather" });
    let docs = Docs { templates: vec![template], completing: Millis(9_000), ..weather() };
    let (agent, docs) = agent(&sim, docs, json!({ "embed": false }));
    let events = run(&sim, &agent, "The weather in Oslo when it rains");
    let context = context_of(&events);
    assert_eq!(uris(context), ["docs://rain"]);
    let failed = context["dropped"].as_array().unwrap().iter().any(|one| one["reason"] == "failed");
    assert!(failed && sim.elapsed().0 < 30_000, "{} ms, {context}", sim.elapsed().0);
    assert!(count(&docs, "completion/complete") < 6);
}

/// A model that refuses what is more than so many tokens, in those words, counting three characters for one.
fn strict(sim: &SimPlatform, window: usize, words: &'static str) -> Rc<Cell<usize>> {
    let refused = Rc::new(Cell::new(0));
    let counted = refused.clone();
    sim.host("https://llm.test", move |request: &Request, _: &mut Peer<'_>| {
        let tokens = request.body.as_deref().unwrap_or("").chars().count() / 3;
        if tokens > window {
            counted.set(counted.get() + 1);
            let message = words.replace("TOKENS", &tokens.to_string()).replace("WINDOW", &window.to_string());
            let error = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": message } });
            return Answer::text(400, "application/json", error.to_string());
        }
        let events = [
            json!({ "type": "message_start", "message": { "role": "assistant", "content": [], "usage": { "input_tokens": tokens } } }),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "Yes." } }),
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" } }),
            json!({ "type": "message_stop" }),
        ];
        let bytes = events.iter().flat_map(|data| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()).into_bytes());
        Answer::events(vec![Step::Bytes(bytes.collect())])
    });
    refused
}

#[test]
fn context_that_does_not_fit_a_window_that_nobody_knew_stops_no_run() {
    for (words, sources) in [
        ("prompt is too long: TOKENS tokens > WINDOW maximum", true),
        ("Your input exceeds the context window of this model.", false),
    ] {
        let sim = SimPlatform::new(8);
        let refused = strict(&sim, 3_000, words);
        sim.host("https://docs.test", long(12));
        let model = json!({ "provider": "anthropic", "id": "m", "baseUrl": "https://llm.test", "maxTokens": 500 });
        let options = json!({
            "model": model, "context": { "embed": false }, "servers": [{ "name": "docs", "url": "https://docs.test/mcp" }],
        });
        let agent = Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap());
        let events = run(&sim, &agent, "Does it rain?");
        let end = events.last().unwrap();
        assert_eq!((&end["type"], refused.get()), (&json!("done"), 1), "{words}: {end}");
        let compacted = events.iter().find(|event| event["type"] == "compacted").unwrap();
        assert_eq!((&compacted["results"], compacted.get("summary")), (&json!(1), None));
        // The history keeps all of it, and is gone on with.
        assert!(end["messages"][0]["content"][0]["text"].as_str().unwrap().matches("<source ").count() == 12);
        let messages = messages_of(&events);
        let view = View::of(&messages);
        let shown: String = view.shown(&messages).map(|(_, message)| message.text()).collect();
        assert_eq!(shown.contains("<source "), sources, "{shown}");
        let options = RunOptions { messages, ..RunOptions::default() };
        let events = run_on(&sim, &agent, "And tomorrow?", options);
        assert_eq!(events.last().unwrap()["type"], "done", "{words}");
    }
}
