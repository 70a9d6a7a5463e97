//! Which tools a model is offered, which calls are asked for, and where data may go.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use edgewise::agent::config::{AgentConfig, RunOptions};
use edgewise::drive::agent::Agent;
use edgewise::drive::handle::RunHandle;
use edgewise::options::FunctionId;
use edgewise::sim::{AppAnswer, Era, Rng, ScriptedMcp, SimPlatform, ToolKind};
use edgewise::time::Millis;
use serde_json::{Value, json};

use crate::laws::{broken, kind};
use crate::model::{self, offered, results};

fn agent(sim: &SimPlatform, options: Value) -> Agent<SimPlatform> {
    let mut all = json!({ "model": model::options() });
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    Agent::new(Rc::new(sim.clone()), AgentConfig::read(&all).unwrap())
}

/// The events of a run; `answer` is asked what becomes of each call that waits.
fn run(
    sim: &SimPlatform,
    agent: &Agent<SimPlatform>,
    prompt: &str,
    messages: Value,
    mut answer: impl FnMut(&RunHandle, &Value) + 'static,
) -> Vec<Value> {
    let options = RunOptions::read(&json!({ "messages": messages })).unwrap();
    let (handle, driver) = agent.run(prompt.into(), options);
    handle.set_answerable(true);
    sim.spawn("driver", driver);
    let read = async move {
        let mut events = Vec::new();
        while let Some(batch) = handle.next_events().await {
            for event in serde_json::from_str::<Vec<Value>>(&batch).unwrap() {
                if kind(&event) == "approval_request" {
                    answer(&handle, &event);
                }
                events.push(event);
            }
        }
        events
    };
    let events = sim.block_on(read).unwrap();
    assert_eq!(broken(&events), [""; 0], "{}", sim.report());
    events
}

fn calls(all: &[(&str, Value)]) -> Vec<(String, Value)> {
    all.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect()
}

fn messages(events: &[Value]) -> Value {
    events.last().unwrap()["messages"].clone()
}

fn outcomes(events: &[Value]) -> Vec<&str> {
    let results = events.iter().filter(|event| kind(event) == "tool_result");
    results.map(|event| event["outcome"].as_str().unwrap()).collect()
}

/// Forty tools that have nothing to do with each other, of some 170 bytes each.
fn many() -> Value {
    let named = [
        ("weather", "Tells the weather of a city: rain, wind, temperature"),
        ("send_mail", "Sends an email to a person"),
    ];
    let other =
        (0..38).map(|at| (format!("tool_{at}"), format!("Does number {at} of the things that nobody asks for here")));
    let all = named.map(|(name, words)| (name.to_owned(), words.to_owned())).into_iter().chain(other);
    let schema = json!({ "type": "object", "properties": { "value": { "type": "string" } } });
    let reads = json!({ "readOnlyHint": true });
    all.map(|(name, words)| {
        json!({ "name": name, "description": words, "inputSchema": schema, "annotations": reads, "execute": { "$function": 0 } })
    })
    .collect()
}

#[test]
fn of_many_tools_those_that_fit_are_offered_and_others_are_found_behind_them() {
    let sim = SimPlatform::new(1);
    sim.function(FunctionId(0), |_, _| AppAnswer::value(Millis(5), json!("done")));
    let agent = agent(&sim, json!({ "tools": many(), "limits": { "maxToolTokens": 400 } }));
    let asked = model::host(&sim, |turn, _| match turn {
        0 => calls(&[("find_tools", json!({ "query": "send an email" })), ("send_mial", json!({}))]),
        1 => calls(&[("send_mail", json!({ "value": "hi" }))]),
        _ => Vec::new(),
    });
    let events = run(&sim, &agent, "What will the weather be in Oslo?", json!([]), |_, _| ());
    let first = offered(&asked.borrow()[0]);
    assert!(first.len() < 12 && first.contains(&"weather".to_owned()), "{first:?}");
    assert_eq!(first.last().unwrap(), "find_tools");
    let then = offered(&asked.borrow()[1]);
    assert_eq!(
        (&then[..first.len()], then.contains(&"send_mail".to_owned())),
        (&first[..], true),
        "the beginning stays"
    );
    let told = results(&asked.borrow()[1]);
    assert!(
        told[0].starts_with("These tools can be called from now on:\n- send_mail: Sends an email to a person\n"),
        "{told:?}"
    );
    assert_eq!(told[1], "there is no tool `send_mial`; did you mean `send_mail`?");
    assert_eq!((outcomes(&events), offered(&asked.borrow()[2])), (vec!["failed", "ok", "ok"], then.clone()));
    // The next run goes on with what was offered, so that the provider's cache holds; and what was used is there.
    run(&sim, &agent, "And tomorrow?", messages(&events), |_, _| ());
    let next = offered(&asked.borrow()[3]);
    let before: Vec<&String> = then.iter().filter(|name| *name != "find_tools").collect();
    assert_eq!(next.iter().take(before.len()).collect::<Vec<_>>(), before);
}

#[test]
fn few_tools_are_all_offered_and_without_the_part_many_are_too() {
    let sim = SimPlatform::new(1);
    let asked = model::host(&sim, |_, _| Vec::new());
    run(&sim, &agent(&sim, json!({ "tools": many() })), "go", json!([]), |_, _| ());
    sim.set_parts_missing(true);
    run(&sim, &agent(&sim, json!({ "tools": many(), "limits": { "maxToolTokens": 400 } })), "go", json!([]), |_, _| ());
    for request in &*asked.borrow() {
        assert_eq!(offered(request).len(), 40);
    }
}

#[test]
fn what_was_allowed_for_good_is_not_asked_for_again_until_it_is_forgotten() {
    let sim = SimPlatform::new(1);
    sim.function(FunctionId(0), |_, _| AppAnswer::value(Millis(5), json!("done")));
    let tools = json!([{ "name": "note", "execute": { "$function": 0 } }]);
    let new = || agent(&sim, json!({ "tools": tools }));
    model::host(&sim, |turn, request| match turn % 2 {
        0 => {
            let prompt = request["messages"].as_array().unwrap().last().unwrap()["content"][0]["text"].clone();
            calls(&[("note", json!({ "text": prompt, "to": [1] }))])
        }
        _ => Vec::new(),
    });
    let asked = Rc::new(RefCell::new(0));
    let go = |agent: &Agent<SimPlatform>, prompt: &str, remember: Option<bool>| {
        let count = asked.clone();
        let events = run(&sim, agent, prompt, json!([]), move |handle, event| {
            *count.borrow_mut() += 1;
            let id = event["id"].as_str().unwrap();
            match remember {
                Some(always) => handle.approve_alike(id, always).unwrap(),
                None => handle.approve(id).unwrap(),
            }
        });
        assert_eq!(outcomes(&events), ["ok"]);
        asked.take()
    };
    let first = new();
    assert_eq!([go(&first, "a", None), go(&first, "a", Some(true)), go(&first, "a", None)], [1, 1, 0]);
    assert_eq!(go(&first, "b", Some(false)), 1, "other arguments are another call");
    assert_eq!(go(&first, "b", None), 1, "what was said for one run holds for it alone");
    let second = new();
    assert_eq!([go(&second, "a", None), go(&second, "b", None)], [0, 1], "kept in the store");
    sim.run(second.forget_approvals());
    assert_eq!([go(&second, "a", None), go(&new(), "a", None)], [1, 1]);
}

/// Names of the servers, and what they are labelled.
const SERVERS: [(&str, &[&str]); 4] =
    [("mail", &["private"]), ("health", &["private"]), ("web", &["untrusted"]), ("plain", &[])];

/// Plays a conversation of two runs with calls at random; gives how often each law had something to say.
fn play(seed: u64) -> BTreeMap<&'static str, u32> {
    let rng = Rng::new(seed);
    let sim = SimPlatform::new(seed);
    let origin = |name: &str| format!("https://{name}.test");
    let hosted: Vec<_> = SERVERS
        .map(|(name, _)| {
            sim.host(&origin(name), ScriptedMcp::new(Era::Modern, &[ToolKind::Echo, ToolKind::Fail, ToolKind::Note]))
        })
        .to_vec();
    let servers =
        SERVERS.map(|(name, labels)| json!({ "name": name, "url": format!("{}/mcp", origin(name)), "labels": labels }));
    let mut draw = rng.fork("model");
    model::host(&sim, move |_, _| {
        let call = |draw: &mut Rng| {
            let (server, _) = SERVERS[draw.below(4)];
            let tool = draw.pick(&["fail", "echo_text", "note", "note"]);
            let input =
                if tool == "fail" { json!({}) } else { json!({ "text": draw.below(3).to_string(), "key": "k" }) };
            (format!("{server}__{tool}"), input)
        };
        let count = draw.below(4);
        (0..count).map(|_| call(&mut draw)).collect()
    });
    let agent = agent(&sim, json!({ "servers": servers, "approval": "never", "cache": false }));
    let (mut seen, mut history, mut allowed) = (BTreeMap::new(), json!([]), 0);
    // What the conversation holds: recomputed from the events alone.
    let mut held: Vec<String> = Vec::new();
    let is_private = |server: &String| ["mail", "health"].contains(&server.as_str());
    for _ in 0..2 {
        let said = Rc::new(RefCell::new(BTreeMap::new()));
        let (note, mut draw) = (said.clone(), rng.fork("user"));
        let events = run(&sim, &agent, "go", history, move |handle, event| {
            let id = event["id"].as_str().unwrap();
            let reason = event["reason"].as_str().unwrap();
            assert!(reason.contains("private data of "), "{reason}");
            let yes = draw.chance(500);
            note.borrow_mut().insert(id.to_owned(), (yes, reason.to_owned()));
            let _ = if yes { handle.approve(id) } else { handle.deny(id, Some("not today")) };
        });
        history = messages(&events);
        let mut servers = BTreeMap::new();
        for event in &events {
            let id = || event["id"].as_str().unwrap().to_owned();
            if kind(event) == "tool_call" {
                let server = event["server"].as_str().unwrap().to_owned();
                // Notes reach beyond their server, what echoes or fails does not.
                let outside = server == "web" || event["name"].as_str().unwrap().ends_with(".note");
                let foreign = held.iter().filter(|held| outside && **held != server).cloned().collect::<Vec<_>>();
                servers.insert(id(), (server, foreign));
            } else if kind(event) == "tool_result" {
                let (server, foreign) = servers[&id()].clone();
                let called = event["outcome"] != "denied";
                allowed += u32::from(called);
                let said = said.borrow().get(&id()).cloned();
                match (foreign.is_empty(), called, said) {
                    (true, true, None) => *seen.entry("free").or_insert(0) += 1,
                    (false, true, Some((true, why))) if foreign.iter().all(|held| why.contains(held.as_str())) => {
                        *seen.entry("allowed").or_insert(0) += 1
                    }
                    (false, false, Some((false, _))) => *seen.entry("denied").or_insert(0) += 1,
                    case => panic!("{event} to {server}, while {held:?} is held: {case:?}\n{}", sim.report()),
                }
                if called && is_private(&server) && !held.contains(&server) {
                    held.push(server);
                }
            }
        }
        // A history does not tell calls that were denied from others.
        held = held.into_iter().chain(servers.into_values().map(|(server, _)| server).filter(is_private)).collect();
    }
    let made: usize = hosted.iter().map(|server| server.borrow().calls.len()).sum();
    assert_eq!(made, allowed as usize, "a call went out that the events do not tell of\n{}", sim.report());
    seen
}

#[test]
fn no_private_data_leave_without_an_approval_that_says_so() {
    let mut seen = BTreeMap::new();
    for seed in 0..150 {
        for (law, count) in play(seed) {
            *seen.entry(law).or_insert(0) += count;
        }
    }
    assert!(seen.len() == 3 && seen.values().all(|count| *count > 50), "hardly ever seen: {seen:?}");
}
