//! Conversations that the provider holds, and may forget at any moment: the model is always asked with the same as without them.

use std::cell::RefCell;
use std::rc::Rc;

use edgewise::agent::config::{AgentConfig, RunOptions};
use edgewise::drive::agent::Agent;
use edgewise::http::Request;
use edgewise::options::FunctionId;
use edgewise::sim::{Answer, AppAnswer, Peer, Rng, SimPlatform, Step};
use edgewise::time::Millis;
use serde_json::{Value, json};

const MAIN: &str = "https://model.test";
const SPARE: &str = "https://spare.test";

/// How providers treat threads.
#[derive(Clone, Copy, Default)]
struct Habits {
    responses: bool,
    threads: bool,
    /// In so many of 1,000 cases a thread that is to be gone on with is gone.
    forgets: u32,
    /// Threads are unknown, and refused.
    unknown: bool,
    /// Threads are unknown, and passed over.
    ignores: bool,
    window: Option<u64>,
}

#[derive(Default)]
struct World {
    /// What is held: the provider's id, and all that was said.
    held: Vec<(String, Vec<Value>)>,
    /// Each conversation that a model answered to.
    asked: Vec<String>,
    /// Conversations that were answered to with a failure, once each.
    failed: Vec<String>,
    continued: usize,
    forgotten: usize,
    bytes: usize,
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

/// What a model reads of messages or items, without what is for the cache alone.
fn reads(said: &[Value]) -> String {
    let mut said = said.to_vec();
    for block in said.iter_mut().filter_map(|message| message.get_mut("content")?.as_array_mut()).flatten() {
        if let Some(block) = block.as_object_mut() {
            block.remove("cache_control");
        }
    }
    Value::Array(said).to_string()
}

/// The answer to that conversation: a few calls, then words. As it streams, and as it is sent back.
fn answer(read: &str, responses: bool, id: &str) -> (Vec<u8>, Vec<Value>) {
    let number = hash(read);
    // Only of what was said since the user's last words.
    let since = read.rsplit("question").next().unwrap_or_default();
    let looked = since.matches("call_").count();
    let calls = if looked >= 6 || number.is_multiple_of(4) { 0 } else { number % 3 };
    let words = format!("In short, {} is what there is to say of it.", number % 1000);
    let call = |at: u64| (format!("call_{}_{at}", number % 1_000_000), json!({ "where": at }));
    let tokens = read.len() / 3;
    let mut bytes = Vec::new();
    let mut event = |data: Value| {
        bytes.extend(format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()).into_bytes());
    };
    let usage = json!({ "input_tokens": tokens, "output_tokens": 1 });
    if responses {
        let text = json!({ "type": "output_text", "text": words });
        let mut items = vec![json!({ "type": "message", "role": "assistant", "content": [text] })];
        for (id, input) in (0..calls).map(call) {
            let arguments = input.to_string();
            items.push(json!({ "type": "function_call", "call_id": id, "name": "look", "arguments": arguments }));
        }
        let response = json!({ "id": id, "status": "completed", "output": items, "usage": usage });
        event(json!({ "type": "response.completed", "response": response }));
        return (bytes, items);
    }
    let message = json!({ "id": id, "role": "assistant", "content": [], "usage": usage });
    event(json!({ "type": "message_start", "message": message }));
    let mut blocks = vec![json!({ "type": "text", "text": words })];
    event(json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }));
    for piece in [&words[..9], &words[9..]] {
        let delta = json!({ "type": "text_delta", "text": piece });
        event(json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
    }
    event(json!({ "type": "content_block_stop", "index": 0 }));
    for (index, (id, input)) in (0..calls).map(call).enumerate() {
        let block = json!({ "type": "tool_use", "id": id, "name": "look", "input": {} });
        event(json!({ "type": "content_block_start", "index": index + 1, "content_block": block }));
        let delta = json!({ "type": "input_json_delta", "partial_json": input.to_string() });
        event(json!({ "type": "content_block_delta", "index": index + 1, "delta": delta }));
        event(json!({ "type": "content_block_stop", "index": index + 1 }));
        blocks.push(json!({ "type": "tool_use", "id": id, "name": "look", "input": input }));
    }
    let stop = if calls == 0 { "end_turn" } else { "tool_use" };
    event(json!({ "type": "message_delta", "delta": { "stop_reason": stop } }));
    event(json!({ "type": "message_stop" }));
    (bytes, vec![json!({ "role": "assistant", "content": blocks })])
}

fn refuse(status: u16, words: &str) -> Answer {
    let error = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": words } });
    Answer::text(status, "application/json", error.to_string())
}

fn host(sim: &SimPlatform, origin: &str, world: &Rc<RefCell<World>>, habits: Habits) {
    let (world, main) = (world.clone(), origin == MAIN);
    sim.host(origin, move |request: &Request, peer: &mut Peer<'_>| {
        let text = request.body.as_deref().unwrap();
        let body: Value = serde_json::from_str(text).unwrap();
        let world = &mut *world.borrow_mut();
        world.bytes += text.len();
        let ignored = Value::Null;
        let previous = match &body["thread"]["previous_message_id"] {
            Value::Null => &body["previous_response_id"],
            id => id,
        };
        let previous = if habits.ignores { &ignored } else { previous };
        let in_thread = if habits.responses { body["store"] == true } else { !body["thread"].is_null() };
        if in_thread && !habits.threads {
            peer.violation("a thread that nobody wanted");
        }
        if habits.unknown && (!body["thread"].is_null() || !previous.is_null()) {
            return refuse(400, "thread: Extra inputs are not permitted");
        }
        let beta = request.headers.get("anthropic-beta").is_some_and(|beta| beta.contains("message-threads"));
        if beta == body["thread"].is_null() {
            peer.violation("a thread without its header, or the header without a thread");
        }
        let mut said = Vec::new();
        if let Some(previous) = previous.as_str() {
            let place = world.held.iter().position(|(id, _)| id == previous);
            let Some(place) = place.filter(|_| !peer.rng.chance(habits.forgets)) else {
                world.forgotten += usize::from(place.is_some());
                let status = peer.rng.pick(&[400, 404, 409]);
                return refuse(status, "thread_not_found: there is no previous answer of that id");
            };
            // Anthropic's go on once.
            said = if habits.responses { world.held[place].1.clone() } else { world.held.remove(place).1 };
            world.continued += 1;
            let said_again = !body["system"].is_null() || !body["tools"].is_null();
            if !habits.responses && said_again {
                peer.violation("the thread has the system prompt and the tools");
            }
        } else if body["tools"].is_null() || (body["system"].is_null() && body["instructions"].is_null()) {
            peer.violation("a request without its tools or its system prompt");
        }
        said.extend(body[if habits.responses { "input" } else { "messages" }].as_array().unwrap().iter().cloned());
        let read = reads(&said);
        if !read.contains("question") {
            peer.violation("the model does not know what it was asked");
        }
        let key = format!("{} {read}", body["model"]);
        let luck = hash(&read) % 11;
        let tries = world.failed.iter().filter(|failed| **failed == key).count();
        world.failed.push(key.clone());
        // The main model is down for some conversations, and hangs up in the middle of some answers.
        if main && luck == 0 {
            return Answer::text(503, "", "");
        }
        world.asked.push(key);
        let id = format!("id_{}", peer.exchange);
        let (bytes, items) = answer(&read, habits.responses, &id);
        if luck == 1 && tries == 0 && !habits.responses {
            let cut = bytes.len() / 2;
            return Answer::events(vec![Step::Bytes(bytes[..cut].to_vec()), Step::Reset]);
        }
        if in_thread && !peer.rng.chance(100) {
            said.extend(items);
            world.held.push((id, said));
        }
        Answer::events(vec![Step::Bytes(bytes)])
    });
}

/// Five prompts in one conversation; what came of each.
fn play(seed: u64, habits: Habits) -> (Vec<Value>, World) {
    let sim = SimPlatform::new(seed);
    let world = Rc::new(RefCell::new(World::default()));
    host(&sim, MAIN, &world, habits);
    host(&sim, SPARE, &world, habits);
    sim.function(FunctionId(0), |_, _| AppAnswer::value(Millis(5), json!("seen ".repeat(60))));
    let provider = if habits.responses { "openai-responses" } else { "anthropic" };
    let model = |id: &str, origin: &str| {
        let mut model = json!({ "provider": provider, "id": id, "baseUrl": origin, "threads": habits.threads });
        if let Some(window) = habits.window {
            model["contextWindow"] = json!(window);
            model["maxTokens"] = json!(100);
        }
        model
    };
    let mut main = model("gpt-4-main", MAIN);
    main["fallbacks"] = json!([model("gpt-4-spare", SPARE)]);
    let look = json!({ "name": "look", "annotations": { "readOnlyHint": true }, "execute": { "$function": 0 } });
    let options = json!({ "model": main, "tools": [look], "system": "Be kind.", "limits": { "maxTurns": 20 } });
    let agent = Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap());
    let ends = (0..5).map(|number| {
        let prompt = format!("question {seed}.{number}");
        let (handle, driven) = agent.send(Some("c"), prompt, RunOptions::default()).unwrap();
        sim.spawn("driver", driven);
        let end = sim.block_on(async move { handle.terminal().await }).unwrap();
        let end: Value = serde_json::from_str(&end).unwrap();
        json!({ "type": end["type"], "text": end["text"], "messages": end["messages"], "code": end["error"]["code"] })
    });
    let ends = ends.collect();
    assert_eq!(sim.violations(), [""; 0], "seed {seed}\n{}", sim.report());
    drop(agent);
    (ends, world.take())
}

#[test]
fn a_thread_may_be_forgotten_at_any_turn_and_nothing_is_otherwise_than_without() {
    let (mut continued, mut forgotten, mut saved, mut done) = (0, 0, 0, 0);
    for seed in 0..120 {
        let mut rng = Rng::new(seed);
        let plain =
            Habits { responses: rng.chance(400), window: rng.chance(250).then_some(2_000), ..Habits::default() };
        let habits = Habits {
            threads: true,
            forgets: rng.pick(&[0, 0, 300, 1_000]),
            unknown: rng.chance(100),
            ignores: rng.chance(100),
            ..plain
        };
        let (expected, without) = play(seed, plain);
        let (ends, with) = play(seed, habits);
        assert_eq!(ends, expected, "seed {seed}");
        assert_eq!(with.asked, without.asked, "seed {seed}: a model was asked with something else");
        continued += with.continued;
        forgotten += with.forgotten;
        saved += usize::from(with.bytes < without.bytes);
        done += ends.iter().filter(|end| end["type"] == "done").count();
        if habits.unknown || habits.ignores {
            assert_eq!(with.continued, 0);
        }
    }
    assert!(continued > 300 && forgotten > 50 && saved > 30 && done > 500, "{continued} {forgotten} {saved} {done}");
}

#[test]
fn with_threads_long_runs_send_each_message_once() {
    for responses in [false, true] {
        let mut continued = 0;
        for seed in 0..10 {
            let habits = Habits { responses, threads: true, ..Habits::default() };
            let (_, with) = play(seed, habits);
            let (_, without) = play(seed, Habits { threads: false, ..habits });
            continued += with.continued;
            assert!(with.continued == 0 || with.bytes < without.bytes, "seed {seed}: {} {}", with.bytes, without.bytes);
        }
        assert!(continued > 30, "{continued}");
    }
}
