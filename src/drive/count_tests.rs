use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::{Value, json};

use super::*;
use crate::agent::config::AgentConfig;
use crate::error::Code;
use crate::http::Request;
use crate::sim::{Answer, Era, Peer, ScriptedMcp, SimPlatform, Step, ToolKind};
use crate::time::Millis;

const MODEL: &str = "https://model.test";
const CALC: &str = "https://calc.test";

#[derive(Default)]
struct World {
    /// Path and body of each request.
    asked: RefCell<Vec<(String, Value)>>,
    /// What the counting endpoint answers with.
    status: Cell<u16>,
}

fn world() -> (SimPlatform, Rc<World>) {
    let sim = SimPlatform::new(3);
    let world = Rc::new(World::default());
    world.status.set(200);
    let peer = world.clone();
    sim.host(MODEL, move |request: &Request, _: &mut Peer<'_>| {
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let counts = request.url.ends_with("/count_tokens");
        // A token for three characters.
        let tokens =
            body["messages"].to_string().len() + body["system"].to_string().len() + body["tools"].to_string().len();
        peer.asked.borrow_mut().push((request.url[MODEL.len()..].to_owned(), body));
        if counts {
            let counted = json!({ "input_tokens": tokens / 3 }).to_string();
            return Answer::text(peer.status.get(), "application/json", counted).after(Millis(50));
        }
        let mut bytes = Vec::new();
        let mut event = |data: Value| {
            bytes.extend(format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()).into_bytes());
        };
        let usage = json!({ "input_tokens": tokens / 3, "output_tokens": 1 });
        event(json!({ "type": "message_start", "message": { "role": "assistant", "content": [], "usage": usage } }));
        event(
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "Yes." } }),
        );
        event(json!({ "type": "content_block_stop", "index": 0 }));
        event(json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" } }));
        event(json!({ "type": "message_stop" }));
        Answer::events(vec![Step::Bytes(bytes)])
    });
    sim.host(CALC, ScriptedMcp::new(Era::Modern, &[ToolKind::Add, ToolKind::Echo]));
    (sim, world)
}

fn agent(sim: &SimPlatform, more: Value) -> Agent<SimPlatform> {
    let mut options = json!({
        "model": { "provider": "anthropic", "id": "m", "baseUrl": MODEL, "apiKey": "k" },
        "servers": [{ "name": "calc", "url": format!("{CALC}/mcp") }],
        "system": "Be kind.",
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap())
}

async fn say(agent: &Agent<SimPlatform>, conversation: Option<&str>, prompt: &str) -> Value {
    let (handle, driven) = agent.send(conversation, prompt.into(), RunOptions::default()).unwrap();
    driven.await;
    serde_json::from_str(&handle.terminal().await).unwrap()
}

async fn count(agent: &Agent<SimPlatform>, conversation: Option<&str>, prompt: &str) -> Result<Value> {
    agent.count_tokens(conversation, prompt.into(), RunOptions::default(), &Cancel::new()).await
}

#[test]
fn what_is_counted_is_what_a_run_then_sends() {
    let (sim, world) = world();
    let agent = agent(&sim, json!({}));
    sim.block_on(async {
        for (at, conversation) in [None, Some("c"), Some("c"), Some("c")].into_iter().enumerate() {
            let prompt = format!("question {at}");
            let counted = count(&agent, conversation, &prompt).await.unwrap();
            let end = say(&agent, conversation, &prompt).await;
            assert_eq!(end["type"], "done", "{end}");
            assert_eq!(counted, json!({ "inputTokens": end["usage"]["inputTokens"], "estimated": false }));
            let asked = world.asked.take();
            let [(path, counted), (_, sent)] = &asked[..] else { panic!("{asked:?}") };
            assert_eq!(path, "/v1/messages/count_tokens");
            for part in ["model", "system", "tools", "messages"] {
                assert_eq!(counted[part], sent[part], "{part}");
            }
            assert_eq!(sent["tools"].as_array().unwrap().len(), 3);
        }
        // What was only counted is none of the conversation.
        assert_eq!(agent.messages("c").await.unwrap().len(), 6);
    })
    .unwrap();
    assert_eq!(sim.violations(), [""; 0]);
}

#[test]
fn where_nobody_counts_it_is_estimated_at_the_rate_that_the_provider_last_counted_at() {
    let (sim, world) = world();
    let model = json!({ "provider": "anthropic", "id": "m", "baseUrl": MODEL, "contextWindow": 100_000 });
    let agent = agent(&sim, json!({ "model": model }));
    world.status.set(404);
    sim.block_on(async {
        let prompt = "a prompt ".repeat(400);
        let guess = count(&agent, None, &prompt).await.unwrap();
        assert_eq!(guess["estimated"], true);
        let sent = say(&agent, None, &prompt).await["usage"]["inputTokens"].as_u64().unwrap();
        // Four characters are a token for us, until we hear that they are three.
        let guess = guess["inputTokens"].as_u64().unwrap();
        assert!(guess < sent * 9 / 10, "{guess} {sent}");
        let guess = count(&agent, None, &prompt).await.unwrap()["inputTokens"].as_u64().unwrap();
        assert!(guess.abs_diff(sent) < sent / 20, "{guess} {sent}");
    })
    .unwrap();
}

#[test]
fn a_count_teaches_the_rate_at_which_is_estimated() {
    let (sim, world) = world();
    let agent = agent(&sim, json!({}));
    sim.block_on(async {
        let prompt = "a prompt ".repeat(400);
        let exact = count(&agent, None, &prompt).await.unwrap()["inputTokens"].as_u64().unwrap();
        world.status.set(404);
        let guess = count(&agent, None, &prompt).await.unwrap()["inputTokens"].as_u64().unwrap();
        assert!(guess.abs_diff(exact) < exact / 50, "{guess} {exact}");
    })
    .unwrap();
}

#[test]
fn a_history_past_the_window_is_counted_as_it_is_and_not_summed_up() {
    let (sim, world) = world();
    let model = json!({ "provider": "anthropic", "id": "m", "baseUrl": MODEL, "contextWindow": 500, "maxTokens": 100 });
    let agent = agent(&sim, json!({ "model": model }));
    sim.block_on(async {
        let counted = count(&agent, None, &"word ".repeat(1000)).await.unwrap();
        assert!(counted["inputTokens"].as_u64().unwrap() > 1500, "{counted}");
        assert_eq!(world.asked.borrow().len(), 1);
    })
    .unwrap();
}

#[test]
fn the_embedded_model_is_estimated_without_a_request() {
    let (sim, world) = world();
    let agent = agent(&sim, json!({ "model": { "provider": "offline" }, "servers": [] }));
    let counted = sim.block_on(count(&agent, None, &"word ".repeat(80))).unwrap().unwrap();
    assert_eq!((&counted["estimated"], world.asked.borrow().len()), (&json!(true), 0));
    assert!((95..130).contains(&counted["inputTokens"].as_u64().unwrap()), "{counted}");
}

#[test]
fn what_goes_wrong_is_told_and_a_cancel_ends_it_at_any_moment() {
    let (sim, world) = world();
    let asking = agent(&sim, json!({}));
    world.status.set(401);
    let error = sim.block_on(count(&asking, None, "hi")).unwrap().unwrap_err();
    assert_eq!(error.code, Code::AuthRequired);
    assert!(error.message.contains("model.test/v1/messages/count_tokens"), "{error}");
    world.status.set(200);
    for after in 0..60 {
        let asking = agent(&sim, json!({ "servers": [] }));
        let cancel = Cancel::new();
        let outcome = sim.block_on(async {
            let stop = async {
                sim.sleep(Millis(after * 5)).await;
                cancel.cancel();
            };
            let counted = asking.count_tokens(Some("c"), "hi".into(), RunOptions::default(), &cancel);
            futures_util::future::join(counted, stop).await.0
        });
        match outcome.unwrap() {
            Ok(counted) => assert_eq!(counted["estimated"], false),
            Err(error) => assert_eq!(error.code, Code::Cancelled),
        }
        // The conversation is free again.
        let end = sim.block_on(say(&asking, Some("c"), "and now?")).unwrap();
        assert_eq!(end["type"], "done", "{end}");
    }
    sim.block_on(asking.close()).unwrap();
    assert_eq!(sim.block_on(count(&asking, None, "hi")).unwrap().unwrap_err().code, Code::Misuse);
    assert_eq!(sim.violations(), [""; 0]);
}
