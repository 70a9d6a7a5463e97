//! Which tools a model is offered, and which calls are asked for.

use std::cell::RefCell;
use std::rc::Rc;

use edgewise::agent::config::{AgentConfig, RunOptions};
use edgewise::drive::agent::Agent;
use edgewise::drive::handle::RunHandle;
use edgewise::options::FunctionId;
use edgewise::sim::{AppAnswer, SimPlatform};
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
    assert_eq!(next, then);
}

#[test]
fn few_tools_are_all_offered_and_without_the_part_many_are_too() {
    let sim = SimPlatform::new(1);
    let asked = model::host(&sim, |_, _| Vec::new());
    run(&sim, &agent(&sim, json!({ "tools": many() })), "go", json!([]), |_, _| ());
    sim.set_parts_missing(true);
    run(&sim, &agent(&sim, json!({ "tools": many(), "limits": { "maxToolTokens": 400 } })), "go", json!([]), |_, _| ());
    for request in &*asked.borrow() {
        assert_eq!(offered(request).len(), 41, "all of them, and what reads results");
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
