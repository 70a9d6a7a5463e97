//! Histories that outgrow the model's window: what is sent always fits, and what was said is all there.

use std::cell::RefCell;
use std::rc::Rc;

use edgewise::agent::config::{AgentConfig, RunOptions};
use edgewise::drive::agent::Agent;
use edgewise::drive::wait::Cancel;
use edgewise::http::Request;
use edgewise::options::FunctionId;
use edgewise::sim::{Answer, AppAnswer, Peer, Rng, SimPlatform, Step};
use edgewise::time::Millis;
use serde_json::{Value, json};

use crate::laws::{broken, kind, texts};

const MODEL: &str = "https://model.test";
const WINDOW: usize = 6_000;
const ANSWER: usize = 300;

/// What the model was asked, and what it is like.
#[derive(Default)]
pub struct World {
    /// Characters of each request that was no summary.
    pub sent: Vec<usize>,
    summaries: usize,
    /// In 1,000 cases no summary can be had.
    fails: u32,
    /// Turns until the model is done.
    turns: u64,
    left: u64,
    /// A run was cancelled: what the user says next may stand behind results.
    cancelled: bool,
    /// The messages of the last request.
    last: Vec<Value>,
    /// What is said of a request that does not fit, where that is not known before; and how often it was.
    refuses: Option<&'static str>,
    refused: usize,
}

impl World {
    /// A model that calls a tool once for each thing that it is told.
    pub fn looking() -> World {
        World { turns: 1, left: 1, ..World::default() }
    }
}

/// What breaks a law of the wire in a history.
fn wrong(messages: &[Value], cancelled: bool) -> Option<&'static str> {
    let ids = |message: &Value, kind: &str, field: &str| {
        let blocks = message["content"].as_array().into_iter().flatten().filter(|block| block["type"] == kind);
        blocks.map(|block| block[field].clone()).collect::<Vec<Value>>()
    };
    if messages.first().is_none_or(|first| first["role"] != "user") {
        return Some("does not begin with the user");
    }
    for pair in messages.windows(2) {
        if pair[0]["role"] == pair[1]["role"] && !cancelled {
            return Some("two of one role in a row");
        }
        if ids(&pair[0], "tool_use", "id") != ids(&pair[1], "tool_result", "tool_use_id") {
            return Some("calls and results do not match");
        }
    }
    (!ids(&messages[0], "tool_result", "tool_use_id").is_empty()).then_some("begins with results")
}

/// An answer of that text and those calls, to a request of so many tokens.
fn say(turn: usize, text: &str, calls: &[(String, Value)], tokens: usize) -> Answer {
    let mut bytes = Vec::new();
    let mut event = |data: Value| {
        bytes.extend(format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()).into_bytes());
    };
    let usage = json!({ "input_tokens": tokens, "output_tokens": 1 });
    event(json!({ "type": "message_start", "message": { "role": "assistant", "content": [], "usage": usage } }));
    let said = json!({ "type": "text_delta", "text": text });
    let mut blocks = vec![(json!({ "type": "text", "text": "" }), said)];
    blocks.retain(|_| !text.is_empty());
    for (index, (name, input)) in calls.iter().enumerate() {
        let start = json!({ "type": "tool_use", "id": format!("toolu_{turn}_{index}"), "name": name, "input": {} });
        blocks.push((start, json!({ "type": "input_json_delta", "partial_json": input.to_string() })));
    }
    for (index, (start, delta)) in blocks.into_iter().enumerate() {
        event(json!({ "type": "content_block_start", "index": index, "content_block": start }));
        event(json!({ "type": "content_block_delta", "index": index, "delta": delta }));
        event(json!({ "type": "content_block_stop", "index": index }));
    }
    let stop = if calls.is_empty() { "end_turn" } else { "tool_use" };
    event(json!({ "type": "message_delta", "delta": { "stop_reason": stop } }));
    event(json!({ "type": "message_stop" }));
    Answer::events(vec![Step::Bytes(bytes)])
}

/// A model that counts three characters a token and refuses what does not fit.
pub fn host(sim: &SimPlatform, world: &Rc<RefCell<World>>) {
    let world = world.clone();
    sim.host(MODEL, move |request: &Request, peer: &mut Peer<'_>| {
        let body = request.body.as_deref().unwrap();
        let asked: Value = serde_json::from_str(body).unwrap();
        let tokens = body.chars().count() / 3;
        let mut world = world.borrow_mut();
        if let (true, Some(words)) = (tokens + ANSWER > WINDOW, world.refuses) {
            world.refused += 1;
            let message = words.replace("TOKENS", &tokens.to_string()).replace("WINDOW", &WINDOW.to_string());
            let error = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": message } });
            return Answer::text(400, "application/json", error.to_string());
        }
        if tokens + ANSWER > WINDOW {
            peer.violation(format!("a request of {tokens} tokens"));
        }
        let messages = asked["messages"].as_array().unwrap();
        if let Some(wrong) = wrong(messages, world.cancelled) {
            peer.violation(wrong);
        }
        if !body.contains("remember: ") {
            peer.violation("what the user said last is gone");
        }
        let number = peer.exchange as usize;
        if texts(messages.last().unwrap(), "text").contains("Summarise our conversation") {
            world.summaries += 1;
            if peer.rng.chance(world.fails) {
                return if peer.rng.chance(500) { Answer::text(500, "", "") } else { say(number, " ", &[], tokens) };
            }
            return say(number, &"summed up ".repeat(peer.rng.below(40) + 1), &[], tokens);
        }
        world.sent.push(body.len());
        world.last.clone_from(messages);
        if world.left == 0 {
            world.left = world.turns;
            return say(number, &"so it is. ".repeat(peer.rng.below(60) + 1), &[], tokens);
        }
        world.left -= 1;
        let calls = vec![("look".to_owned(), json!({ "where": number })); peer.rng.below(3) + 1];
        say(number, ["", "I look."][peer.rng.below(2)], &calls, tokens)
    });
}

pub fn agent(sim: &SimPlatform, most: u64) -> Agent<SimPlatform> {
    agent_with(sim, most, json!(WINDOW))
}

/// The same with a model of which that window is known.
fn agent_with(sim: &SimPlatform, most: u64, window: Value) -> Agent<SimPlatform> {
    sim.function(FunctionId(0), move |_, rng| {
        AppAnswer::value(Millis(5), json!("seen ".repeat(rng.within(0..=most) as usize)))
    });
    let model = json!({
        "provider": "anthropic", "id": "m", "baseUrl": MODEL, "contextWindow": window, "maxTokens": ANSWER,
    });
    let look = json!({ "name": "look", "annotations": { "readOnlyHint": true }, "execute": { "$function": 0 } });
    let options = json!({ "model": model, "tools": [look], "limits": { "maxTurns": 2_000 } });
    Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap())
}

/// A run from that history; its events.
fn run(
    sim: &SimPlatform,
    agent: &Agent<SimPlatform>,
    history: &Value,
    number: usize,
    cancel: Option<u64>,
) -> Vec<Value> {
    let options = RunOptions::read(&json!({ "messages": history })).unwrap();
    let (handle, driver) = agent.run(format!("remember: {number}"), options);
    sim.spawn("driver", driver);
    if let Some(poll) = cancel {
        let handle = handle.clone();
        sim.at_poll(sim.polls() + poll, move || handle.cancel());
    }
    let read = async move { handle.all_events().await };
    let events = sim.block_on(read).unwrap_or_else(|stuck| panic!("{stuck:?}\n{}", sim.report()));
    // A summary that came to nothing costs tokens, too, and no event tells of it.
    let paid = |wrong: &String| wrong != "done.usage is not the sum of the turns";
    assert_eq!(broken(&events).into_iter().filter(paid).collect::<Vec<_>>(), [""; 0], "{}", sim.report());
    assert_eq!(sim.violations(), [""; 0], "seed {}", sim.seed());
    events
}

fn is_mark(message: &Value) -> bool {
    message["content"][0]["type"] == "compaction"
}

/// The text of a result in a history.
fn result_of<'a>(messages: &'a [Value], id: &str) -> &'a str {
    let blocks = messages.iter().flat_map(|message| message["content"].as_array().unwrap());
    let result = |block: &&Value| block["type"] == "tool_result" && block["toolUseId"] == id;
    blocks.filter(result).find_map(|block| block["content"][0]["text"].as_str()).expect("a result of that id")
}

/// Whatever was taken out can be had by the handle that stands in its place.
fn compare_kept(sim: &SimPlatform, agent: &Agent<SimPlatform>, messages: &[Value], seed: u64) {
    for mark in messages.iter().filter(|message| is_mark(message)) {
        for (id, told) in mark["content"][0]["results"].as_object().into_iter().flatten() {
            let told = told.as_str().unwrap();
            let at = told.find("result:").unwrap_or_else(|| panic!("seed {seed}: no handle in {told}"));
            let whole = sim.run(agent.kept_result(&told[at..at + 27], &Cancel::new())).unwrap();
            assert_eq!(whole["content"][0]["text"], result_of(messages, id), "seed {seed}");
            assert!(told.len() < 1_900, "seed {seed}: {told}");
        }
    }
}

#[test]
fn what_is_taken_out_is_read_on_by_its_handle_in_this_run_and_the_next() {
    let sim = SimPlatform::new(1);
    let asked = Rc::new(RefCell::new(Vec::<Value>::new()));
    let seen = asked.clone();
    sim.host(MODEL, move |request: &Request, _: &mut Peer<'_>| {
        let body = request.body.as_deref().unwrap();
        let request: Value = serde_json::from_str(body).unwrap();
        let turn = seen.borrow().len();
        let calls = match (turn, body.find("kept under the handle result:")) {
            (0..5, _) => vec![("look".to_owned(), json!({ "where": turn }))],
            (5 | 7, Some(at)) => {
                let at = at + "kept under the handle ".len();
                let read = json!({ "handle": body[at..at + 27], "lines": [2, 2] });
                vec![("read_result".to_owned(), read)]
            }
            _ => Vec::new(),
        };
        seen.borrow_mut().push(request);
        say(turn, if calls.is_empty() { "so it is" } else { "" }, &calls, body.len() / 3)
    });
    let agent = agent(&sim, 1);
    let looked = RefCell::new(0);
    sim.function(FunctionId(0), move |_, _| {
        *looked.borrow_mut() += 1;
        let look = looked.borrow();
        AppAnswer::value(Millis(5), json!(format!("first line {look}\nsecond line {look}\n{}", "more ".repeat(700))))
    });
    let events = run(&sim, &agent, &json!([]), 0, None);
    let tools = |turn: usize| -> Vec<Value> {
        asked.borrow()[turn]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect()
    };
    let end = events.last().unwrap();
    assert_eq!(tools(5), ["look", "read_result"], "{}", sim.report());
    compare_kept(&sim, &agent, end["messages"].as_array().unwrap(), 1);
    assert!(asked.borrow()[6]["messages"].to_string().contains("lines 2 to 2 of"), "{}", asked.borrow()[6]);
    // The history has whole results, and only what is shown of it has handles.
    assert!(events.iter().any(|event| kind(event) == "compacted" && event["results"].as_u64() > Some(0)));
    run(&sim, &agent, &end["messages"], 1, None);
    assert_eq!(tools(7), ["look", "read_result"]);
    assert!(asked.borrow()[8]["messages"].to_string().contains("second line 1"), "{}", asked.borrow()[8]);
}

#[test]
fn whatever_comes_what_is_sent_fits_and_everything_stays_in_the_history() {
    let (mut compacted, mut kept, mut cut, mut unsummed) = (0, 0, 0, 0);
    for seed in 0..150 {
        let mut rng = Rng::new(seed);
        let sim = SimPlatform::new(seed);
        let turns = rng.within(0..=25);
        let fails = rng.pick(&[0, 0, 300, 1_000]);
        let world = Rc::new(RefCell::new(World { turns, left: turns, fails, ..World::default() }));
        host(&sim, &world);
        let agent = agent(&sim, rng.pick(&[20, 200, 800]));
        let (mut history, mut said) = (json!([]), 0);
        for number in 0..rng.within(1..=8) as usize {
            let cancel = rng.chance(200).then(|| rng.within(1..=400));
            let events = run(&sim, &agent, &history, number, cancel);
            world.borrow_mut().cancelled |= cancel.is_some();
            let end = events.last().unwrap();
            // A cancelled answer is in the history as far as it came.
            assert!(kind(end) == "done" || end["error"]["code"] == "cancelled", "seed {seed}: {end}");
            said += 1 + events.iter().filter(|event| kind(event) == "turn_end").count();
            let marks = events.iter().filter(|event| kind(event) == "compacted").count();
            for event in events.iter().filter(|event| kind(event) == "compacted") {
                assert!(event["tokensAfter"].as_u64() < event["tokensBefore"].as_u64(), "seed {seed}: {event}");
                kept += event["results"].as_u64().unwrap();
                cut += usize::from(event["summary"].is_string());
                unsummed += usize::from(event["summary"].as_str().is_some_and(|text| text.contains("no summary")));
            }
            compacted += marks;
            compare_kept(&sim, &agent, end["messages"].as_array().unwrap(), seed);
            let messages = end["messages"].as_array().unwrap();
            let old = history.as_array().unwrap();
            assert_eq!(&messages[..old.len()], &old[..], "seed {seed}: the history was changed");
            let new = &messages[old.len()..];
            assert_eq!(new.iter().filter(|message| is_mark(message)).count(), marks, "seed {seed}");
            let spoken = messages.iter().filter(|message| {
                let results = message["content"].as_array().unwrap().iter().any(|block| kind(block) == "tool_result");
                !results && !is_mark(message)
            });
            assert!(spoken.count() >= said, "seed {seed}: something that was said is missing");
            history = end["messages"].clone();
        }
    }
    assert!(compacted > 100 && kept > 50 && cut > 50 && unsummed > 5, "{compacted} {kept} {cut} {unsummed}");
}

#[test]
fn a_window_that_nobody_knew_is_learned_from_the_refusal() {
    for (words, most) in [
        ("prompt is too long: TOKENS tokens > WINDOW maximum", 1),
        ("input length and `max_tokens` exceed context limit: TOKENS + 300 > WINDOW, decrease input length", 2),
        ("Your input exceeds the context window of this model.", 3),
    ] {
        for seed in 0..15 {
            let sim = SimPlatform::new(seed);
            let world = World { turns: 25, left: 25, refuses: Some(words), ..World::default() };
            let world = Rc::new(RefCell::new(world));
            host(&sim, &world);
            let agent = agent_with(&sim, 800, Value::Null);
            let events = run(&sim, &agent, &json!([]), 0, None);
            let end = events.last().unwrap();
            assert_eq!(kind(end), "done", "seed {seed}: {end}");
            let compacted = |events: &[Value]| events.iter().filter(|event| kind(event) == "compacted").count();
            let refused = world.borrow().refused;
            assert!((1..=most).contains(&refused) && compacted(&events) > 0, "seed {seed}, {words}: {refused}");
            // The next run of the agent knows it.
            world.borrow_mut().left = 25;
            let events = run(&sim, &agent, &end["messages"], 1, None);
            assert_eq!(kind(events.last().unwrap()), "done", "seed {seed}");
            assert!(most > 1 || world.borrow().refused == refused, "seed {seed}: {}", world.borrow().refused);
        }
    }
    // One prompt that is too long by itself cannot be helped.
    let sim = SimPlatform::new(1);
    let refuses = Some("prompt is too long: TOKENS tokens > WINDOW maximum");
    let world = Rc::new(RefCell::new(World { refuses, ..World::default() }));
    host(&sim, &world);
    let agent = agent_with(&sim, 1, Value::Null);
    let (handle, driver) = agent.run("word ".repeat(20_000), RunOptions::default());
    sim.spawn("driver", driver);
    let end: Value = serde_json::from_str(&sim.block_on(async move { handle.terminal().await }).unwrap()).unwrap();
    assert_eq!((&end["error"]["code"], &end["error"]["status"]), (&json!("provider"), &json!(400)), "{end}");
    assert!(world.borrow().refused <= 3, "{}", world.borrow().refused);
}

#[test]
fn a_thousand_turns_cost_no_more_at_the_end_than_at_the_beginning() {
    let sim = SimPlatform::new(1);
    let world = Rc::new(RefCell::new(World { turns: 1_000, left: 1_000, ..World::default() }));
    host(&sim, &world);
    let agent = agent(&sim, 300);
    let events = run(&sim, &agent, &json!([]), 0, None);
    assert_eq!(kind(events.last().unwrap()), "done");
    let world = world.borrow();
    let (first, second) = world.sent.split_at(world.sent.len() / 2);
    let sum = |sent: &[usize]| sent.iter().sum::<usize>();
    assert_eq!(world.sent.len(), 1_001);
    assert!(sum(second) < sum(first) * 11 / 10, "{} and then {}", sum(first), sum(second));
    assert!(*world.sent.iter().max().unwrap() < WINDOW * 4);
    // Each is one model call for many turns.
    assert!((5..200).contains(&world.summaries), "{}", world.summaries);
}

#[test]
fn the_next_run_goes_on_from_what_was_shown_and_without_the_part_nothing_is_lost() {
    let text = |message: &Value| message["content"].as_array().unwrap()[0]["text"].clone();
    let mut same = 0;
    for seed in 0..20 {
        let sim = SimPlatform::new(seed);
        let world = Rc::new(RefCell::new(World { turns: 30, left: 30, ..World::default() }));
        host(&sim, &world);
        let agent = self::agent(&sim, 400);
        let events = run(&sim, &agent, &json!([]), 0, None);
        let (last, summaries) = (world.borrow().last.clone(), world.borrow().summaries);
        assert!(summaries > 0);
        world.borrow_mut().left = 0;
        let events = run(&sim, &agent, &events.last().unwrap()["messages"], 1, None);
        if events.iter().all(|event| kind(event) != "compacted") {
            let world = world.borrow();
            assert_eq!((world.summaries, world.last.len()), (summaries, last.len() + 2), "seed {seed}");
            assert_eq!(text(&world.last[0]), text(&last[0]), "seed {seed}");
            same += 1;
        }
    }
    assert!(same > 3, "{same}");

    let sim = SimPlatform::new(3);
    sim.set_parts_missing(true);
    let world = Rc::new(RefCell::new(World { turns: 3, left: 3, ..World::default() }));
    host(&sim, &world);
    let agent = self::agent(&sim, 400);
    let events = run(&sim, &agent, &json!([]), 0, None);
    assert!(events.iter().all(|event| kind(event) != "compacted"));
}
