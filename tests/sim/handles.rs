//! Big results: kept under handles, read on, passed to other tools, and gone.

use std::cell::RefCell;
use std::rc::Rc;

use edgewise::agent::config::{AgentConfig, RunOptions};
use edgewise::drive::agent::Agent;
use edgewise::drive::wait::Cancel;
use edgewise::options::FunctionId;
use edgewise::platform::{Platform, Space, Write};
use edgewise::sim::{AppAnswer, SimPlatform};
use edgewise::time::Millis;
use serde_json::{Value, json};

use crate::laws::{broken, kind};
use crate::model::{self, offered, results};

/// 300 kB that no model should have to read.
fn rows() -> Value {
    (0..5_000).map(|id| json!({ "id": id, "name": format!("row {id}"), "note": "x".repeat(30) })).collect()
}

type Taken = Rc<RefCell<Vec<Value>>>;

/// An agent with a tool that gives `rows`, and one that takes whatever it gets; what the latter got.
fn agent(sim: &SimPlatform, limits: Value) -> (Agent<SimPlatform>, Taken) {
    agent_with(sim, limits, false)
}

/// The same, with `run_plan` or without.
fn agent_with(sim: &SimPlatform, limits: Value, plans: bool) -> (Agent<SimPlatform>, Taken) {
    sim.function(FunctionId(0), |_, _| AppAnswer::value(Millis(5), rows()));
    let taken = Taken::default();
    let got = taken.clone();
    sim.function(FunctionId(1), move |argument, _| {
        got.borrow_mut().push(argument.clone());
        AppAnswer::value(Millis(5), json!("taken"))
    });
    let take = json!({ "type": "object", "properties": { "rows": { "type": "array" }, "text": { "type": "string" } } });
    let reads = json!({ "readOnlyHint": true });
    let options = json!({
        "model": model::options(),
        "tools": [
            { "name": "rows", "annotations": reads, "execute": { "$function": 0 } },
            { "name": "take", "annotations": reads, "inputSchema": take, "execute": { "$function": 1 } },
        ],
        "limits": limits,
        "plans": plans,
    });
    (Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap()), taken)
}

fn run(sim: &SimPlatform, agent: &Agent<SimPlatform>, messages: Value) -> Vec<Value> {
    let (handle, driver) = agent.run("go".into(), RunOptions::read(&json!({ "messages": messages })).unwrap());
    sim.spawn("driver", driver);
    let read = async move { handle.all_events().await };
    let events = sim.block_on(read).unwrap();
    assert_eq!(broken(&events), [""; 0], "{}", sim.report());
    events
}

/// The handle that a text tells of.
fn handle_in(text: &str) -> String {
    let at = text.find("result:").expect("no handle");
    text[at..at + "result:".len() + 20].to_owned()
}

fn calls(all: &[(&str, Value)]) -> Vec<(String, Value)> {
    all.iter().map(|(name, input)| ((*name).to_owned(), input.clone())).collect()
}

#[test]
fn three_hundred_kilobytes_go_from_one_tool_to_another_without_the_model() {
    let sim = SimPlatform::new(1);
    let (agent, taken) = agent(&sim, json!({}));
    let asked = model::host(&sim, |turn, request| match turn {
        0 => calls(&[("rows", json!({}))]),
        1 => {
            let handle = handle_in(&results(request)[0]);
            let part = format!("{handle}#/4999/name");
            calls(&[
                ("take", json!({ "rows": handle, "text": part })),
                ("read_result", json!({ "handle": handle, "path": "/17" })),
                ("read_result", json!({ "handle": handle, "grep": "row 42\\b" })),
            ])
        }
        _ => Vec::new(),
    });
    let events = run(&sim, &agent, json!([]));
    assert_eq!(*taken.borrow(), [json!({ "rows": rows(), "text": "row 4999" })]);
    let asked = asked.borrow();
    assert_eq!(offered(&asked[0]), ["rows", "take", "read_result"]);
    let told = results(&asked[1]).remove(0);
    assert!(told.contains("Shape: [5000 × { id: number, name: string, note: string }]"), "{told}");
    let later = results(&asked[2]);
    assert_eq!(later[0], "taken");
    assert!(later[1].contains("\"name\": \"row 17\"") && later[2].contains("\"name\": \"row 42\""), "{later:?}");
    // In all, what the model read is a thousandth of what went between the tools and back.
    let read: usize = asked.iter().map(|request| request.to_string().len()).sum();
    assert!(rows().to_string().len() > 300_000 && read < 40_000, "{read}");
    let handle = handle_in(&told);
    let ended: Vec<&Value> = events.iter().filter(|event| kind(event) == "tool_result").collect();
    assert_eq!((&ended[0]["handle"], ended[0].get("structuredContent")), (&json!(handle), None));
    assert!(ended[1..].iter().all(|event| event.get("handle").is_none()));
    // The arguments that are shown, approved and remembered are those of the model.
    let call = events.iter().find(|event| kind(event) == "tool_call" && event["name"] == "take").unwrap();
    assert_eq!(call["input"]["rows"], json!(handle));
    let whole = sim.run(agent.kept_result(&handle, &Cancel::new())).unwrap();
    assert_eq!(whole["structuredContent"], rows());
}

#[test]
fn the_next_run_reads_on_from_the_start_and_a_stale_handle_says_so() {
    let sim = SimPlatform::new(1);
    let (agent, taken) = agent(&sim, json!({}));
    let asked = model::host(&sim, |turn, request| match turn {
        0 => calls(&[("rows", json!({}))]),
        2 | 4 => {
            let handle = handle_in(&request["messages"].to_string());
            calls(&[("take", json!({ "rows": handle })), ("read_result", json!({ "handle": handle, "path": "/0/id" }))])
        }
        _ => Vec::new(),
    });
    let events = run(&sim, &agent, json!([]));
    let history = |events: &[Value]| events.last().unwrap()["messages"].clone();
    let events = run(&sim, &agent, history(&events));
    assert_eq!(offered(&asked.borrow()[2]), ["rows", "take", "read_result"]);
    assert_eq!(results(&asked.borrow()[3]), ["taken", "0"]);
    // Evicted, over, or of another device.
    sim.run(sim.write(vec![Write::remove_prefix(Space::Handles, "")])).unwrap();
    let events = run(&sim, &agent, history(&events));
    let told = results(&asked.borrow()[5]);
    for told in &told {
        assert!(told.contains(" is not kept any more, or was never") && told.contains("Call the tool again"), "{told}");
    }
    assert_eq!((told.len(), taken.borrow().len()), (2, 1), "a stale handle went to a tool");
    let outcomes: Vec<&Value> =
        events.iter().filter(|event| kind(event) == "tool_result").map(|event| &event["outcome"]).collect();
    assert_eq!(outcomes, ["failed", "failed"]);
    assert_eq!(asked.borrow().len(), 6);
}

#[test]
fn data_beside_a_short_text_are_long_as_well() {
    let sim = SimPlatform::new(1);
    let (agent, taken) = agent(&sim, json!({}));
    sim.function(FunctionId(0), |_, _| {
        let content = json!([{ "type": "text", "text": "Found 5,000 rows." }]);
        AppAnswer::value(Millis(5), json!({ "content": content, "structuredContent": { "rows": rows() } }))
    });
    let asked = model::host(&sim, |turn, request| match turn {
        0 => calls(&[("rows", json!({}))]),
        1 => calls(&[("take", json!({ "rows": format!("{}#/rows", handle_in(&results(request)[0])) }))]),
        _ => Vec::new(),
    });
    let events = run(&sim, &agent, json!([]));
    let read: usize = asked.borrow().iter().map(|request| request.to_string().len()).sum();
    assert!(read < 30_000, "the model read {read} bytes");
    assert_eq!(*taken.borrow(), [json!({ "rows": rows() })]);
    let told = results(&asked.borrow()[1]).remove(0);
    assert!(told.contains("It begins:\nFound 5,000 rows.\n") && told.contains("Shape: { rows: [5000 × "), "{told}");
    let ended = events.iter().find(|event| kind(event) == "tool_result").unwrap();
    assert_eq!((ended["handle"].clone(), ended.get("structuredContent")), (json!(handle_in(&told)), None));
}

/// What no store has room for.
#[test]
fn a_result_that_cannot_be_kept_is_given_whole() {
    let sim = SimPlatform::new(1);
    sim.set_store_full(true);
    let (agent, _) = agent(&sim, json!({}));
    let asked = model::host(&sim, |turn, _| if turn == 0 { calls(&[("rows", json!({}))]) } else { Vec::new() });
    let events = run(&sim, &agent, json!([]));
    assert_eq!(results(&asked.borrow()[1]), [rows().to_string()]);
    assert!(events.iter().all(|event| event.get("handle").is_none()));

    // A store that is not there keeps it in memory.
    let sim = SimPlatform::new(1);
    sim.set_store_gone(true);
    let (agent, taken) = self::agent(&sim, json!({}));
    model::host(&sim, |turn, request| match turn {
        0 => calls(&[("rows", json!({}))]),
        1 => calls(&[("take", json!({ "rows": handle_in(&results(request)[0]) }))]),
        _ => Vec::new(),
    });
    run(&sim, &agent, json!([]));
    assert_eq!(*taken.borrow(), [json!({ "rows": rows() })]);
}

#[test]
fn what_is_short_enough_is_shown_and_nothing_is_cut_where_it_cannot_be_kept() {
    let sim = SimPlatform::new(1);
    let (agent, _) = agent(&sim, json!({ "maxResultTokens": 1_000_000 }));
    let asked = model::host(&sim, |turn, _| if turn == 0 { calls(&[("rows", json!({}))]) } else { Vec::new() });
    let events = run(&sim, &agent, json!([]));
    assert_eq!(results(&asked.borrow()[1]), [rows().to_string()]);
    assert!(events.iter().all(|event| event.get("handle").is_none()));

    let sim = SimPlatform::new(1);
    sim.set_parts_missing(true);
    let (agent, _) = self::agent(&sim, json!({}));
    let asked = model::host(&sim, |turn, _| if turn == 0 { calls(&[("rows", json!({}))]) } else { Vec::new() });
    run(&sim, &agent, json!([]));
    assert_eq!(results(&asked.borrow()[1]), [rows().to_string()]);
}

#[test]
fn a_plan_gets_whole_results_and_only_its_own_is_kept() {
    let sim = SimPlatform::new(1);
    let (agent, taken) = agent(&sim, json!({}));
    let steps = json!([{ "id": "all", "tool": "rows" }, { "id": "in", "tool": "take", "input": { "rows": { "$from": "all" } } }]);
    let plan = json!({ "steps": steps, "return": { "$from": "all" } });
    let (handle, driver) = agent.run_plan(None, plan, RunOptions::default()).unwrap();
    sim.spawn("driver", driver);
    let end: Value = serde_json::from_str(&sim.block_on(async move { handle.terminal().await }).unwrap()).unwrap();
    assert_eq!((&end["plan"]["value"], &taken.borrow()[0]["rows"]), (&rows(), &rows()));
}

#[test]
fn handles_stand_for_results_in_plans_too() {
    let sim = SimPlatform::new(1);
    let (agent, taken) = agent_with(&sim, json!({}), true);
    sim.function(FunctionId(0), |_, _| AppAnswer::value(Millis(5), json!({ "rows": rows(), "few": [7, 8] })));
    let asked = model::host(&sim, |turn, request| match turn {
        0 => calls(&[("rows", json!({}))]),
        1 => {
            let handle = handle_in(&results(request)[0]);
            let (whole, few) = (format!("{handle}#/rows"), format!("{handle}#/few"));
            let text = format!("{{{{item}}}} of {{{{{handle}#/rows/17/name}}}}");
            let take = json!({ "id": "in", "tool": "take", "forEach": few, "input": { "rows": whole, "text": text } });
            let each = json!({ "id": "each", "tool": "take", "forEach": [whole], "input": { "rows": "{{item}}" } });
            calls(&[("run_plan", json!({ "steps": [take, each] }))])
        }
        2 => {
            let stale = "result:00000000000000000000";
            let step = json!({ "id": "in", "tool": "take", "forEach": stale, "input": {} });
            calls(&[("run_plan", json!({ "steps": [step] }))])
        }
        _ => Vec::new(),
    });
    run(&sim, &agent, json!([]));
    let said = |text: &str| json!({ "rows": rows(), "text": text });
    let wanted = [said("7 of row 17"), said("8 of row 17"), json!({ "rows": rows() })];
    assert_eq!(*taken.borrow(), wanted, "{}", results(&asked.borrow()[2])[0]);
    let why = &results(&asked.borrow()[3])[0];
    assert!(why.contains("step `in`: forEach: result:00000000000000000000 is not kept any more"), "{why}");
    let read: usize = asked.borrow().iter().map(|request| request.to_string().len()).sum();
    assert!(read < 60_000, "{read}");
}

#[test]
fn what_reads_results_is_offered_from_the_first_request_on_so_that_the_tools_of_all_requests_are_the_same() {
    for (url, provider, path) in [
        ("https://api.anthropic.com", "anthropic", ""),
        ("https://api.openai.com", "openai", "/v1"),
        ("https://api.openai.com", "openai-responses", "/v1"),
        (model::MODEL, "openai", "/v1"),
    ] {
        let sim = SimPlatform::new(1);
        sim.function(FunctionId(0), |_, _| AppAnswer::value(Millis(5), rows()));
        let turns = [Some("rows"), None, None, Some("rows"), None];
        let asked = model::host_at(&sim, url, move |turn, _| {
            Ok(turns[turn].map_or_else(Vec::new, |name| calls(&[(name, json!({}))])))
        });
        let start = |sim: &SimPlatform, tools: Value| {
            let model = json!({ "provider": provider, "id": "gpt-5.6", "baseUrl": format!("{url}{path}") });
            let options = json!({ "model": model, "tools": tools });
            Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap())
        };
        let tools = json!([{ "name": "rows", "annotations": { "readOnlyHint": true }, "execute": { "$function": 0 } }]);
        let send = |sim: &SimPlatform, agent: &Agent<SimPlatform>| {
            let (handle, driver) = agent.send(Some("c"), "go".into(), RunOptions::default()).unwrap();
            sim.spawn("driver", driver);
            let events = sim.block_on(async move { handle.all_events().await }).unwrap();
            assert_eq!(kind(events.last().unwrap()), "done", "{provider} {}", sim.report());
        };
        // A turn with a long result, a run that goes on from it, and one in another tab.
        let here = start(&sim, tools.clone());
        send(&sim, &here);
        send(&sim, &here);
        let tab = sim.tab();
        send(&tab, &start(&tab, tools));
        let asked_for = asked.borrow();
        assert_eq!((asked_for.len(), offered(&asked_for[0])), (5, vec!["rows".to_owned(), "read_result".to_owned()]));
        for request in &*asked_for {
            // Byte for byte, as the provider's cache compares it.
            assert_eq!(request["tools"].to_string(), asked_for[0]["tools"].to_string(), "{provider}");
        }
        let definition = asked_for[0]["tools"][1].to_string();
        assert!(definition.len() < 560, "{} bytes in every request: {definition}", definition.len());
        drop(asked_for);
        // Whoever has no tools has no results.
        let sim = SimPlatform::new(1);
        let asked = model::host_at(&sim, url, |_, _| Ok(Vec::new()));
        send(&sim, &start(&sim, json!([])));
        assert_eq!(offered(&asked.borrow()[0]), [""; 0]);
    }
}
