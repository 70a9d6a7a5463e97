//! Plans of tool calls: a thousand drawn by seed, with faults, denials and cancels, and a few by hand.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use edgewise::agent::config::{AgentConfig, RunOptions};
use edgewise::drive::agent::Agent;
use edgewise::drive::handle::RunHandle;
use edgewise::drive::wait::Cancel;
use edgewise::http::Request;
use edgewise::platform::Platform;
use edgewise::sim::{Answer, Clock, Era, Faults, Peer, Rng, ScriptedMcp, SimPlatform, Step, ToolKind};
use edgewise::time::Millis;
use serde_json::{Value, json};

use crate::laws::{broken, kind};

const SERVER: &str = "https://s.test";
const MODEL: &str = "https://model.test";

fn agent(sim: &SimPlatform, more: Value) -> Agent<SimPlatform> {
    let mut options = json!({
        "model": { "provider": "offline" },
        "servers": [{ "name": "s", "url": format!("{SERVER}/mcp"), "timeoutMs": 5_000 }],
    });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap())
}

/// A plan of up to eight steps, and what each waits for.
fn draw(rng: &mut Rng) -> (Value, BTreeMap<String, Vec<String>>) {
    let count = rng.within(1..=8) as usize;
    let (mut steps, mut waits) = (Vec::new(), BTreeMap::new());
    for place in 0..count {
        let id = format!("p{place}");
        let mut after: BTreeSet<String> = BTreeSet::new();
        let earlier = |rng: &mut Rng| (place > 0).then(|| format!("p{}", rng.below(place)));
        let text = match earlier(rng) {
            Some(from) if rng.chance(600) => {
                after.insert(from.clone());
                if rng.chance(500) {
                    json!(format!("after {{{{{from}}}}}"))
                } else {
                    json!({ "$from": from, "default": "none" })
                }
            }
            _ => json!("x"),
        };
        let kind = rng.pick(&[
            ToolKind::Echo,
            ToolKind::Echo,
            ToolKind::Note,
            ToolKind::Put,
            ToolKind::Slow,
            ToolKind::Fail,
            ToolKind::Add,
        ]);
        let each = kind != ToolKind::Slow && rng.chance(250);
        let key = if each { format!("{id}-{{{{item}}}}") } else { id.clone() };
        let input = match kind {
            ToolKind::Echo => json!({ "text": format!("t {}", text.as_str().unwrap_or("")) }),
            ToolKind::Add => json!({ "a": place, "b": 1 }),
            ToolKind::Slow => json!({ "steps": 2 }),
            ToolKind::Fail => json!({}),
            _ => json!({ "key": key, "text": text }),
        };
        if kind == ToolKind::Echo && !text.is_string()
            || !matches!(kind, ToolKind::Echo | ToolKind::Note | ToolKind::Put)
        {
            after.clear();
        }
        let mut step = json!({ "id": id, "tool": format!("s.{}", kind.name()), "input": input });
        if each {
            step["forEach"] = json!([1, 2, 3]);
        }
        if let Some(from) = earlier(rng).filter(|_| rng.chance(300)) {
            step["dependsOn"] = json!([from]);
            after.insert(from);
        }
        if let Some(from) = earlier(rng).filter(|_| rng.chance(200)) {
            step["when"] = json!({ "value": { "$from": from }, "exists": true });
            after.insert(from);
        }
        if kind != ToolKind::Note && rng.chance(300) {
            step["retry"] = json!({ "attempts": 3, "delayMs": 200 });
        }
        let on_error = [json!("fail"), json!("skip"), json!({ "default": "instead" })];
        step["onError"] = on_error[rng.below(3)].clone();
        steps.push(step);
        waits.insert(id, after.into_iter().collect());
    }
    // What comes first in the document need not come first.
    for place in (1..steps.len()).rev() {
        steps.swap(place, rng.below(place + 1));
    }
    (json!({ "steps": steps }), waits)
}

struct Story {
    sim: SimPlatform,
    wrong: Vec<String>,
    end: Value,
}

fn play(seed: u64, stored: bool) -> Story {
    let mut rng = Rng::new(seed).fork("plans");
    let sim = SimPlatform::new(seed);
    sim.set_clock(rng.pick(&[Clock::Normal, Clock::Still, Clock::Jumping]));
    let calm = rng.chance(300);
    let mut server = ScriptedMcp::new(rng.pick(&[Era::Modern, Era::Legacy]), &ToolKind::ALL);
    server.latency = Millis(300);
    let server = sim.host(SERVER, server);
    if !calm {
        sim.faults(SERVER, Faults { lost_answer: 60, reset: 60, refused: 60, ..Faults::default() });
    }
    let (plan, waits) = draw(&mut rng);
    let parallel = rng.within(1..=4);
    let approval = rng.pick(&["never", "writes", "always"]);
    let agent = agent(&sim, json!({ "approval": approval, "limits": { "maxParallelTools": parallel } }));
    if stored {
        agent.set_checkpoint(|run| serde_json::from_str(&serde_json::to_string(&run).unwrap()).unwrap());
    }
    let (handle, driver) = agent.run_plan(None, plan.clone(), RunOptions::default()).unwrap();
    handle.set_answerable(true);
    sim.spawn("driver", driver);
    let cancels = !calm && rng.chance(300);
    if cancels {
        let cancelled = handle.clone();
        sim.at_poll(rng.within(1..=300), move || cancelled.cancel());
    }
    let denies = !calm && rng.chance(300);
    let approved = Rc::new(RefCell::new(BTreeSet::new()));
    let reader = read(sim.clone(), handle.clone(), denies, approved.clone(), rng.fork("user"));
    let mut wrong = Vec::new();
    let events = sim.block_on(reader).unwrap_or_else(|stuck| {
        wrong.push(format!("stuck: {stuck}"));
        Vec::new()
    });
    let closed = sim.block_on(async {
        agent.close().await;
        sim.sleep(Millis(20_000)).await;
    });
    if let Err(stuck) = closed {
        wrong.push(format!("stuck while closing: {stuck}"));
    }
    wrong.extend(broken(&events));
    wrong.extend(judge(&events, &waits, approval, &approved.borrow()));
    let failed = |line: &&String| line.contains("\"type\":\"plan_step\"") && line.contains("\"state\":\"failed\"");
    let failed_at = sim.log().iter().find(failed).and_then(|line| line.split_whitespace().next()?.parse().ok());
    // What only reads and was at work by then may be sent again, after a lost answer.
    let after = |at: u64| server.borrow().calls.iter().any(|call| call.tool == ToolKind::Note && call.at.0 > at);
    if failed_at.is_some_and(after) {
        wrong.push("a call is made after the plan has failed".to_owned());
    }
    wrong.extend(server.borrow().written_twice().iter().map(|key| format!("the write {key} was made twice")));
    wrong.extend(sim.violations());
    if sim.open_plans() > 0 {
        wrong.push("the part goes on with a plan that is over".to_owned());
    }
    if !sim.leftovers().is_empty() {
        wrong.push(format!("left after the end: {}", sim.leftovers()));
    }
    let end = events.last().cloned().unwrap_or_default();
    let unknown = !calm && end["error"]["code"] == "config" && agent_has_no_tools(&events);
    if !cancels && !unknown && kind(&end) != "done" {
        wrong.push(format!("ended with {end}"));
    }
    wrong.iter_mut().for_each(|line| line.push_str(&format!("\n{plan}")));
    Story { sim, wrong, end }
}

/// The server could not be reached, so that a plan has nothing to call.
fn agent_has_no_tools(events: &[Value]) -> bool {
    events.iter().any(|event| kind(event) == "server_status" && event["state"] == "failed")
}

/// Reads the events; answers approvals after a while.
async fn read(
    sim: SimPlatform,
    handle: RunHandle,
    denies: bool,
    approved: Rc<RefCell<BTreeSet<String>>>,
    mut rng: Rng,
) -> Vec<Value> {
    let mut events = Vec::new();
    while let Some(batch) = handle.next_events().await {
        for event in serde_json::from_str::<Vec<Value>>(&batch).unwrap() {
            sim.note(event.to_string());
            if kind(&event) == "approval_request" {
                let (sim, handle, id) = (sim.clone(), handle.clone(), event["id"].as_str().unwrap().to_owned());
                let (delay, deny) = (Millis(rng.within(0..=2_000)), denies && rng.chance(400));
                if !deny {
                    approved.borrow_mut().insert(id.clone());
                }
                sim.clone().spawn("user", async move {
                    sim.sleep(delay).await;
                    // Too late is misuse, and harmless.
                    let _ = if deny { handle.deny(&id, Some("not today")) } else { handle.approve(&id) };
                });
            }
            events.push(event);
        }
    }
    events
}

/// What must hold of every plan, whatever happened.
fn judge(
    events: &[Value],
    waits: &BTreeMap<String, Vec<String>>,
    approval: &str,
    approved: &BTreeSet<String>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut over, mut failed): (BTreeSet<&str>, Option<&str>) = (BTreeSet::new(), None);
    for event in events {
        let id = event["id"].as_str().unwrap_or("");
        match kind(event) {
            "plan_step" => {
                let state = event["state"].as_str().unwrap_or("");
                if over.contains(id) {
                    wrong.push(format!("step {id} is {state} after its end"));
                }
                if !["running", "retrying"].contains(&state) {
                    over.insert(id);
                }
                if state == "failed" {
                    failed = Some(id);
                }
            }
            "tool_call" if event["callId"].is_string() => {
                let step = event["step"].as_str().unwrap_or("");
                for before in &waits[step] {
                    if !over.contains(before.as_str()) {
                        wrong.push(format!("{step} is called before {before} is over"));
                    }
                }
                if failed.is_some() {
                    wrong.push(format!("{step} is called after the plan has failed"));
                }
            }
            "tool_result" if event["outcome"] == "ok" && id != "plan" => {
                let call = events.iter().find(|call| kind(call) == "tool_call" && call["id"] == id);
                let name = call.and_then(|call| call["name"].as_str()).unwrap_or("");
                let writes = ["s.note", "s.put"].contains(&name);
                // Who has approved of a call has approved of its further tries, which have its arguments.
                let first = id.rsplit_once('~').map_or(id, |(first, _)| first);
                let known =
                    |of: &String| of.strip_prefix(first).is_some_and(|rest| rest.is_empty() || rest.starts_with('~'));
                if (approval == "always" || approval == "writes" && writes) && !approved.iter().any(known) {
                    wrong.push(format!("{id} was called without an approval"));
                }
            }
            "done" => {
                let rows = event["plan"]["steps"].as_array().cloned().unwrap_or_default();
                let states: Vec<&str> = rows.iter().map(|row| row["state"].as_str().unwrap_or("")).collect();
                if states.contains(&"running")
                    || (event["plan"]["ok"] == true) == states.iter().any(|state| ["failed", "not_run"].contains(state))
                {
                    wrong.push(format!("a plan that is over has the steps {states:?}"));
                }
            }
            _ => {}
        }
    }
    wrong
}

#[test]
fn plans_keep_their_order_and_the_policy_whatever_happens() {
    let mut seen = BTreeMap::new();
    let seeds = std::env::var("SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300_u64);
    for seed in 0..seeds {
        let story = play(seed, false);
        assert!(story.wrong.is_empty(), "{}\n{}", story.sim.report(), story.wrong.join("\n"));
        let log = story.sim.log();
        assert_eq!(play(seed, true).sim.log(), log, "stored and loaded, seed {seed} is another story");
        for word in [
            "\"state\":\"ok\"",
            "\"state\":\"failed\"",
            "\"state\":\"skipped\"",
            "\"state\":\"defaulted\"",
            "\"state\":\"retrying\"",
            "\"state\":\"not_run\"",
            "\"items\":3",
            "\"outcome\":\"denied\"",
            "\"outcome\":\"cancelled\"",
            "\"ok\":true",
            "\"ok\":false",
            "the plan has failed",
            "\"code\":\"cancelled\"",
        ] {
            *seen.entry(word).or_insert(0) += u32::from(log.iter().any(|line| line.contains(word)));
        }
        assert!(story.end.is_object());
    }
    assert!(seen.values().all(|count| *count >= 5), "hardly ever seen: {seen:?}");
}

fn ran(sim: &SimPlatform, agent: &Agent<SimPlatform>, plan: Value) -> Vec<Value> {
    let (handle, driver) = agent.run_plan(None, plan, RunOptions::default()).unwrap();
    handle.set_answerable(true);
    sim.spawn("driver", driver);
    let read = read(sim.clone(), handle, false, Rc::default(), Rng::new(1));
    sim.block_on(read).unwrap()
}

#[test]
fn a_plan_that_cannot_be_run_says_all_that_is_wrong_and_calls_nothing() {
    let sim = SimPlatform::new(1);
    let server = sim.host(SERVER, ScriptedMcp::new(Era::Modern, &[ToolKind::Add]));
    let agent = agent(&sim, json!({}));
    let plan =
        json!({ "steps": [{ "id": "a", "tool": "s.add", "input": { "a": "1" } }, { "id": "b", "tool": "s.ad" }] });
    let events = ran(&sim, &agent, plan.clone());
    let end = events.last().unwrap();
    let told = "the plan cannot be run:\n- step `b`: tool: there is no tool `s.ad`; did you mean `s.add`?";
    assert_eq!((&end["error"]["code"], &end["error"]["message"]), (&json!("config"), &json!(told)));
    assert_eq!(broken(&events), [""; 0]);
    assert!(server.borrow().calls.is_empty());
    let preview = sim.block_on(agent.preview_plan(&plan, &Cancel::new())).unwrap().unwrap();
    assert_eq!((&preview["ok"], preview["problems"].as_array().unwrap().len()), (&json!(false), 1));
    let plan = json!({ "steps": [{ "id": "a", "tool": "s.add", "input": { "a": 1 } }] });
    let preview = sim.block_on(agent.preview_plan(&plan, &Cancel::new())).unwrap().unwrap();
    assert_eq!(preview["problems"], json!(["step `a`: input: `b` is missing"]));
    assert!(server.borrow().calls.is_empty());
}

#[test]
fn a_preview_says_what_would_be_asked_for() {
    let sim = SimPlatform::new(1);
    sim.host(SERVER, ScriptedMcp::new(Era::Modern, &[ToolKind::Echo, ToolKind::Note]));
    let agent = agent(&sim, json!({}));
    let plan = json!({ "steps": [
        { "id": "b", "tool": "s.note", "input": { "key": "k", "text": "{{a}}" } },
        { "id": "a", "tool": "s.echo.text", "input": { "text": "hi" } },
    ] });
    let preview = sim.block_on(agent.preview_plan(&plan, &Cancel::new())).unwrap().unwrap();
    let steps = json!([
        { "id": "b", "tool": "s.note", "dependsOn": ["a"], "server": "s", "approval": "s.note may change something: it is not marked as read-only" },
        { "id": "a", "tool": "s.echo.text", "dependsOn": [], "server": "s", "input": { "text": "hi" } },
    ]);
    assert_eq!(preview, json!({ "ok": true, "problems": [], "waves": [["a"], ["b"]], "steps": steps }));
}

#[test]
fn a_preview_knows_of_private_data_and_of_what_was_allowed_for_good() {
    let sim = SimPlatform::new(1);
    sim.host(SERVER, ScriptedMcp::new(Era::Modern, &[ToolKind::Echo]));
    sim.host("https://web.test", ScriptedMcp::new(Era::Modern, &[ToolKind::Add, ToolKind::Note]));
    let web = json!({ "name": "web", "url": "https://web.test/mcp", "labels": ["untrusted"] });
    let mail = json!({ "name": "s", "url": format!("{SERVER}/mcp"), "labels": ["private"] });
    let agent = agent(&sim, json!({ "servers": [mail, web] }));
    let note = |text: &str| json!({ "id": "note", "tool": "web.note", "input": { "key": "k", "text": text } });
    let approvals = |plan: Value| -> Vec<Value> {
        let preview = sim.block_on(agent.preview_plan(&plan, &Cancel::new())).unwrap().unwrap();
        assert_eq!(preview["ok"], true, "{preview}");
        preview["steps"].as_array().unwrap().iter().map(|step| step["approval"].clone()).collect()
    };
    let mails = json!({ "id": "mails", "tool": "s.echo.text", "input": { "text": "{{sum.sum}}" } });
    let sum = json!({ "id": "sum", "tool": "web.add", "input": { "a": 1, "b": 2 } });
    let after = json!({ "id": "after", "tool": "web.add", "dependsOn": ["mails"], "input": { "a": 1, "b": 2 } });
    let asked = approvals(json!({ "steps": [mails, sum, after] }));
    let leaves =
        "private data of s may leave through web.add: it belongs to an untrusted server or reaches beyond its own";
    // What is over before anything private was read takes nothing along.
    assert_eq!(asked, [Value::Null, Value::Null, json!(leaves)]);
    let asked = approvals(json!({ "steps": [note("hi")] }));
    assert_eq!(asked, ["web.note may change something: it is not marked as read-only"]);
    let (handle, driver) = agent.run_plan(None, json!({ "steps": [note("hi")] }), RunOptions::default()).unwrap();
    handle.set_answerable(true);
    sim.spawn("driver", driver);
    sim.block_on(async {
        while let Some(batch) = handle.next_events().await {
            for event in serde_json::from_str::<Vec<Value>>(&batch).unwrap() {
                if kind(&event) == "approval_request" {
                    handle.approve_alike(event["id"].as_str().unwrap(), true).unwrap();
                }
            }
        }
    })
    .unwrap();
    assert_eq!(approvals(json!({ "steps": [note("hi")] })), [Value::Null]);
    let other = approvals(json!({ "steps": [note("others")] }));
    assert_eq!(other, ["web.note may change something: it is not marked as read-only"]);
    // What was allowed before is asked for where private data may go along.
    let mut note = note("hi");
    note["dependsOn"] = json!(["mails"]);
    let mails = json!({ "id": "mails", "tool": "s.echo.text", "input": { "text": "hi" } });
    let asked = approvals(json!({ "steps": [mails, note] }));
    assert!(asked[1].as_str().is_some_and(|why| why.starts_with("private data of s may leave")), "{asked:?}");
}

fn event(data: Value) -> Vec<u8> {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()).into_bytes()
}

/// An answer of a model: a call of `run_plan` with those arguments, or a text.
fn answer(plan: Option<&Value>) -> Answer {
    let message = json!({ "role": "assistant", "content": [], "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let mut bytes = event(json!({ "type": "message_start", "message": message }));
    let (block, delta, stop) = match plan {
        Some(plan) => (
            json!({ "type": "tool_use", "id": "toolu_1", "name": "run_plan", "input": {} }),
            json!({ "type": "input_json_delta", "partial_json": plan.to_string() }),
            "tool_use",
        ),
        None => (json!({ "type": "text", "text": "" }), json!({ "type": "text_delta", "text": "Done." }), "end_turn"),
    };
    bytes.extend(event(json!({ "type": "content_block_start", "index": 0, "content_block": block })));
    bytes.extend(event(json!({ "type": "content_block_delta", "index": 0, "delta": delta })));
    bytes.extend(event(json!({ "type": "content_block_stop", "index": 0 })));
    bytes.extend(event(json!({ "type": "message_delta", "delta": { "stop_reason": stop } })));
    bytes.extend(event(json!({ "type": "message_stop" })));
    Answer::events(vec![Step::Bytes(bytes)])
}

/// What one model call was sent, turn by turn, and the events of the run.
fn with_model(plan: Value, options: Value) -> (Vec<Value>, Vec<Value>, Vec<String>) {
    let sim = SimPlatform::new(1);
    let server = sim.host(SERVER, ScriptedMcp::new(Era::Modern, &[ToolKind::Add, ToolKind::Echo]));
    let asked = Rc::new(RefCell::new(Vec::new()));
    let seen = asked.clone();
    sim.host(MODEL, move |request: &Request, _: &mut Peer<'_>| {
        seen.borrow_mut().push(serde_json::from_str::<Value>(request.body.as_deref().unwrap()).unwrap());
        answer((seen.borrow().len() == 1).then_some(&plan))
    });
    let mut all = json!({ "model": { "provider": "anthropic", "id": "m", "baseUrl": MODEL }, "plans": true, "limits": { "maxParallelTools": 1 } });
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    let agent = agent(&sim, all);
    let (handle, driver) = agent.run("go".into(), RunOptions::default());
    sim.spawn("driver", driver);
    let events = sim.block_on(read(sim.clone(), handle, false, Rc::default(), Rng::new(1))).unwrap();
    assert_eq!(broken(&events), [""; 0], "{}", sim.report());
    let calls = server.borrow().calls.iter().map(|call| call.arguments.to_string()).collect();
    let asked = asked.borrow().clone();
    (asked, events, calls)
}

#[test]
fn a_model_makes_many_calls_in_one_round_trip() {
    let plan = json!({ "steps": [
        { "id": "one", "tool": "s__add", "input": { "a": 1, "b": 2 } },
        { "id": "two", "tool": "s.add", "input": { "a": { "$from": "one", "path": "/sum" }, "b": "{{one.content.0.text}}" } },
        { "id": "say", "tool": "s.echo.text", "forEach": ["{{one.sum}}", "{{two.sum}}"], "input": { "text": "it is {{item}}" } },
    ] });
    let (asked, events, calls) = with_model(plan, json!({}));
    let tools: Vec<&str> =
        asked[0]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(tools, ["s__add", "s__echo_text", "run_plan", "read_result"]);
    assert_eq!(asked[0]["tools"], asked[1]["tools"]);
    let said = |text: &str| json!({ "text": text }).to_string();
    let made = [
        json!({ "a": 1, "b": 2 }).to_string(),
        json!({ "a": 3.0, "b": 3 }).to_string(),
        said("it is 3"),
        said("it is 6"),
    ];
    assert_eq!(calls, made);
    let told = &asked[1]["messages"][2]["content"][0];
    assert_eq!((asked.len(), &told["tool_use_id"]), (2, &json!("toolu_1")), "{told}");
    assert!(told["content"].to_string().contains("it is 6"), "{told}");
    assert_eq!(events.iter().filter(|event| kind(event) == "plan_step").count(), 6);
}

#[test]
fn the_model_is_told_everything_that_is_wrong_with_its_plan() {
    let plan = json!({ "steps": [{ "id": "a", "tool": "add", "inputs": {} }] });
    let (asked, _, calls) = with_model(plan, json!({}));
    let told = asked[1]["messages"][2]["content"][0].clone();
    assert_eq!((calls.len(), &told["is_error"]), (0, &json!(true)));
    for words in ["step `a`: `inputs` is unknown; did you mean `input`?", "step `a`: tool: there is no tool `add`"] {
        assert!(told["content"].to_string().contains(words), "{told}");
    }
}

#[test]
fn without_the_option_no_plan_is_offered() {
    let (asked, events, _) = with_model(json!({ "steps": [] }), json!({ "plans": false }));
    assert_eq!(asked[0]["tools"].as_array().unwrap().len(), 3, "{}", asked[0]["tools"]);
    let result = events.iter().find(|event| kind(event) == "tool_result").unwrap();
    assert!(result["content"][0]["text"].as_str().unwrap().starts_with("there is no tool `run_plan`"));
}
