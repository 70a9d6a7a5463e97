//! Runs whose page is gone at any instant, taken up again by another one over the same store.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::FutureExt;
use serde_json::json;

use super::*;
use crate::agent::config::{AgentConfig, RunOptions};
use crate::options::FunctionId;
use crate::sim::{AppAnswer, SimPlatform};
use crate::time::Millis;

const NOTE: FunctionId = FunctionId(4);
const READ: FunctionId = FunctionId(5);

/// What the functions of the app have done, across all pages.
#[derive(Clone, Default)]
struct Done(Rc<RefCell<Vec<String>>>);

/// A browser: its pages share the store and what the app does.
fn world(seed: u64, done: &Done) -> SimPlatform {
    let sim = SimPlatform::new(seed);
    for (function, takes) in [(NOTE, 40), (READ, 25)] {
        let done = done.clone();
        sim.function(function, move |input, _| {
            done.0.borrow_mut().push(format!("{}: {}", function.0, input["text"].as_str().unwrap_or("")));
            AppAnswer::value(Millis(takes), json!({ "done": input["text"] }))
        });
    }
    sim
}

fn agent(sim: &SimPlatform, more: Value) -> Agent<SimPlatform> {
    let schema = json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] });
    let tool = |name: &str, words: &str, function: FunctionId, read_only: bool| {
        json!({
            "name": name, "description": words, "execute": { "$function": function.0 }, "inputSchema": schema,
            "annotations": { "readOnlyHint": read_only },
        })
    };
    let mut options = json!({
        "model": { "provider": "offline" }, "approval": "never", "journal": true,
        "tools": [tool("shout", "Shout a text", NOTE, false), tool("whisper", "Whisper a text", READ, true)],
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap())
}

/// Reads a run to its end, as a page does.
async fn read(handle: RunHandle) -> Vec<Value> {
    handle.all_events().await
}

async fn finish(run: (RunHandle, impl Future<Output = ()>)) -> Vec<Value> {
    run.0.set_answerable(true);
    futures_util::future::join(run.1, read(run.0)).await.1
}

fn open(sim: &SimPlatform) -> Vec<String> {
    let runs = sim.block_on(agent(&sim.tab(), json!({})).open_runs()).unwrap();
    runs.as_array().unwrap().iter().map(|run| run["runId"].as_str().unwrap().to_owned()).collect()
}

/// A page with that run, which is gone before the poll of that number.
fn page_until(sim: &SimPlatform, kill: u64, handle: RunHandle, driven: impl Future<Output = ()> + 'static) {
    handle.set_answerable(true);
    let killed = Rc::new(std::cell::Cell::new(false));
    let also = killed.clone();
    sim.at_poll(kill, move || also.set(true));
    sim.spawn("page", async move {
        let mut page = Box::pin(futures_util::future::join(driven, read(handle)));
        poll_fn(|task| if killed.get() { Poll::Ready(()) } else { page.as_mut().poll(task).map(drop) }).await;
    });
    sim.block_on(sim.sleep(Millis(20_000))).unwrap();
    sim.drop_tasks();
}

const PROMPT: &str = "shout \"one\" and whisper \"two\"";

#[test]
fn a_run_whose_page_is_gone_at_any_instant_goes_on_and_repeats_no_call() {
    let whole = {
        let sim = world(7, &Done::default());
        let agent = agent(&sim, json!({}));
        let run = agent.send(Some("c"), PROMPT.into(), RunOptions::default()).unwrap();
        sim.run(finish(run));
        assert_eq!(open(&sim), [""; 0], "the log of a run that has ended is gone");
        sim.polls()
    };
    let (mut unknown, mut resumed) = (0, 0);
    for kill in 1..whole {
        let done = Done::default();
        let sim = world(7, &done);
        let here = agent(&sim, json!({}));
        let (handle, driven) = here.send(Some("c"), PROMPT.into(), RunOptions::default()).unwrap();
        page_until(&sim, kill, handle, driven);
        let made = done.0.borrow().clone();
        let there = agent(&sim.tab(), json!({}));
        if let [id] = &open(&sim)[..] {
            resumed += 1;
            let events = sim.block_on(finish(there.resume(id.clone(), Vec::new()))).unwrap();
            let last = events.last().unwrap();
            assert_eq!(last["type"], "done", "killed before poll {kill}: {last}");
            assert_eq!((&events[0]["type"], &events[0]["resumed"]), (&json!("run_start"), &json!(true)));
            let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
            assert_eq!(of("tool_call"), of("tool_result"), "{events:?}");
            unknown += usize::from(events.iter().any(|event| event["outcome"] == "unknown"));
            // Deltas of a turn join to its text, also where a part was told again.
            let mut text = String::new();
            for event in &events {
                match event["type"].as_str().unwrap() {
                    "turn_start" => text.clear(),
                    "text_delta" => text.push_str(event["text"].as_str().unwrap()),
                    "turn_end" => {
                        let content = event["message"]["content"].as_array().unwrap();
                        let said: String = content.iter().filter_map(|block| block["text"].as_str()).collect();
                        assert_eq!(text, said, "killed before poll {kill}");
                    }
                    _ => {}
                }
            }
            assert_eq!(open(&sim), [""; 0]);
        }
        let calls = done.0.borrow();
        let shouts = calls.iter().filter(|call| call.starts_with("4:")).count();
        assert!(shouts <= 1, "killed before poll {kill}: {calls:?} (made before: {made:?})");
        // What the conversation has can be gone on from, and has nothing twice.
        let messages = sim.block_on(there.messages("c")).unwrap().unwrap();
        let prompts = messages.iter().filter(|message| message.text() == PROMPT).count();
        assert!(prompts <= 1, "killed before poll {kill}: {messages:?}");
    }
    assert!(resumed > 10 && unknown > 2, "{resumed} of {whole} were resumed, {unknown} with a call of unknown outcome");
}

/// Removes that as the shell does: first the part, then what the agent holds in memory.
async fn remove(agent: Agent<SimPlatform>, what: Value) {
    let mut request = what.clone();
    request["do"] = "remove".into();
    agent.platform().call_part(crate::platform::Part::Archive, request.to_string()).await.unwrap();
    let spaces = what["spaces"].as_array().map(|names| names.iter().filter_map(Value::as_str).collect::<Vec<_>>());
    agent.forget_kept(what["conversation"].as_str(), spaces.as_deref()).await;
}

#[test]
fn what_is_removed_at_any_instant_leaves_no_log_behind_that_cannot_be_gone_on_with() {
    let (mut without, mut begun_after) = (0, 0);
    for what in [json!({ "conversation": "c" }), json!({ "spaces": ["journal"] }), json!({})] {
        for (poll, slow) in (1..45).flat_map(|poll| [(poll, 0), (poll, 3)]) {
            let sim = world(7, &Done::default());
            let here = agent(&sim, json!({}));
            sim.set_store_slow(Millis(slow));
            let (removing, world, what) = (here.clone(), sim.clone(), what.clone());
            let words = format!("{what} at {poll}, {slow} ms");
            sim.at_poll(poll, move || {
                let there = world.clone();
                let removal = async move {
                    remove(removing, what).await;
                    there.note("removed");
                };
                world.spawn("removal", removal);
            });
            let (handle, driven) = here.send(Some("c"), PROMPT.into(), RunOptions::default()).unwrap();
            handle.set_answerable(true);
            sim.spawn("page", futures_util::future::join(driven, read(handle)).map(drop));
            while !sim.log().iter().any(|line| line.ends_with("removed")) {
                sim.block_on(sim.sleep(Millis(1))).unwrap();
            }
            let under_way = sim.tasks().iter().any(|task| task == "page");
            // The page is gone a little later.
            sim.block_on(sim.sleep(Millis(8))).unwrap();
            sim.drop_tasks();
            match &open(&sim)[..] {
                [] => {
                    without += usize::from(under_way);
                    let stored: Vec<String> = sim.stored().into_keys().collect();
                    assert!(!stored.iter().any(|key| key.starts_with("journal/")), "{words}: {stored:?}");
                }
                [id] => {
                    begun_after += 1;
                    let there = agent(&sim.tab(), json!({}));
                    let events = sim.block_on(finish(there.resume(id.clone(), Vec::new()))).unwrap();
                    assert_eq!(events.last().unwrap()["type"], "done", "{words}: {:?}", events.last());
                }
                more => panic!("{words}: {more:?}"),
            }
        }
    }
    assert!(without > 20 && begun_after > 0, "{without} {begun_after}");
}

#[test]
fn what_has_lost_its_beginning_is_no_log() {
    let sim = world(7, &Done::default());
    let put = |key: &str| Write::put(Space::Journal, key, "{}\n");
    let batch = ["run_1/000001", "run_2/000000", "run_2/000001", "run_3/000002", "run_3/000003"].map(put);
    sim.block_on(sim.write(batch.into())).unwrap().unwrap();
    assert_eq!(open(&sim), ["run_2"]);
    let left: Vec<String> = sim.stored().into_keys().collect();
    assert_eq!(left, ["journal/run_2/000000", "journal/run_2/000001"]);
}

#[test]
fn a_run_is_put_away_for_an_approval_and_goes_on_elsewhere() {
    let done = Done::default();
    let sim = world(7, &done);
    let options = json!({ "approval": "writes", "journal": false, "snapshotSecret": "of the app" });
    let here = agent(&sim, options.clone());
    let (handle, driven) = here.run(PROMPT.into(), RunOptions::default());
    handle.suspend().unwrap();
    let events = sim.run(finish((handle.clone(), driven)));
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["waitingFor"][0]["name"]), (&json!("suspended"), &json!("shout")));
    assert_eq!(*done.0.borrow(), ["5: two"], "what needs no approval is done");
    let snapshot = last["snapshot"].as_str().unwrap().to_owned();
    assert!(!snapshot.contains("of the app"));
    let id = last["waitingFor"][0]["id"].as_str().unwrap().to_owned();
    let decide = |decision: Value| read_decisions(&json!({ &id: decision })).unwrap();

    // Somewhere else, with a store of its own.
    let far = Done::default();
    let elsewhere = world(8, &far);
    let there = agent(&elsewhere, options.clone());
    let events = elsewhere.run(finish(there.resume(snapshot.clone(), decide(json!(true)))));
    assert_eq!(events.last().unwrap()["type"], "done");
    assert_eq!(*far.0.borrow(), ["4: one"], "only what was waiting");
    let told: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).take(5).collect();
    assert_eq!(told, ["run_start", "turn_start", "tool_call", "tool_call", "tool_result"]);

    let events = elsewhere.run(finish(there.resume(snapshot.clone(), decide(json!("not today")))));
    let denied = events.iter().find(|event| event["outcome"] == "denied").unwrap();
    assert!(denied["content"][0]["text"].as_str().unwrap().contains("not today"));

    // Nobody has decided, and nobody is there.
    let (handle, driven) = there.resume(snapshot.clone(), Vec::new());
    let events = elsewhere.run(futures_util::future::join(driven, read(handle))).1;
    assert!(events.iter().any(|event| event["outcome"] == "denied"), "{events:?}");

    // It may be put away again.
    let (handle, driven) = there.resume(snapshot.clone(), Vec::new());
    handle.suspend().unwrap();
    let events = elsewhere.run(futures_util::future::join(driven, read(handle))).1;
    assert_eq!(events.last().unwrap()["type"], "suspended", "{events:?}");
    let again = events.last().unwrap()["snapshot"].as_str().unwrap().to_owned();
    let events = elsewhere.run(finish(there.resume(again, decide(json!(true)))));
    assert_eq!(events.last().unwrap()["type"], "done");

    // What the client has changed is not resumed.
    let forged = snapshot.replace("one", "two");
    let events = elsewhere.run(finish(there.resume(forged, decide(json!(true)))));
    assert_eq!(events.last().unwrap()["error"]["code"], "protocol");
    assert_eq!(*far.0.borrow(), ["4: one", "4: one"]);
}

#[test]
fn a_run_in_a_conversation_that_was_made_less_of_goes_on() {
    let done = Done::default();
    let sim = world(7, &done);
    let mark = json!({ "role": "user", "content": [{ "type": "compaction", "keeps": 1, "summary": "They met.", "results": {} }] });
    let said = |role: &str, text: &str| json!({ "role": role, "content": [{ "type": "text", "text": text }] });
    let messages =
        [said("user", "hi"), said("assistant", "hello"), said("user", "well"), mark, said("assistant", "yes")];
    let mut writes = vec![Write::put(Space::Conversations, "c/head", "{\"count\":5,\"epoch\":\"1\"}")];
    writes.extend(
        messages
            .iter()
            .enumerate()
            .map(|(number, message)| Write::put(Space::Conversations, format!("c/{number:06}"), message.to_string())),
    );
    sim.block_on(sim.write(writes)).unwrap().unwrap();
    let options = json!({ "approval": "writes", "snapshotSecret": "of the app" });
    let here = agent(&sim, options.clone());
    let (handle, driven) = here.send(Some("c"), PROMPT.into(), RunOptions::default()).unwrap();
    handle.suspend().unwrap();
    let events = sim.run(finish((handle, driven)));
    let last = events.last().unwrap();
    assert_eq!(last["type"], "suspended");
    let (snapshot, id) = (last["snapshot"].as_str().unwrap().to_owned(), last["waitingFor"][0]["id"].clone());
    let decisions = read_decisions(&json!({ id.as_str().unwrap(): true })).unwrap();
    // Elsewhere the conversation is what the run knows of it, and can be put away again.
    let elsewhere = world(8, &Done::default());
    let there = agent(&elsewhere, options);
    let (handle, driven) = there.resume(snapshot.clone(), Vec::new());
    handle.suspend().unwrap();
    let events = elsewhere.run(finish((handle, driven)));
    let again = events.last().unwrap()["snapshot"].as_str().unwrap().to_owned();
    let events = elsewhere.run(finish(there.resume(again, decisions.clone())));
    assert_eq!(events.last().unwrap()["type"], "done", "{:?}", events.last());
    let there = elsewhere.block_on(there.messages("c")).unwrap().unwrap();
    // Here it is what it was, and more: from the store, and from the snapshot.
    let stored = open(&sim).remove(0);
    let events = sim.run(finish(here.resume(stored, decisions)));
    assert_eq!(events.last().unwrap()["type"], "done", "{:?}", events.last());
    let here = sim.block_on(here.messages("c")).unwrap().unwrap();
    assert_eq!(here.len(), 5 + (there.len() - 3));
    assert_eq!((here[1].text(), there[0].text()), ("hello".into(), "well".into()));
    assert_eq!(here[5].text(), PROMPT);
    assert_eq!(here[2..], there[..]);
}

#[test]
fn what_cannot_be_resumed_says_why() {
    let sim = world(7, &Done::default());
    let agent = agent(&sim, json!({}));
    let why = |from: &str| {
        let events = sim.run(finish(agent.resume(from.into(), Vec::new())));
        assert_eq!(events.len(), 2);
        let error = &events[1]["error"];
        (error["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned())
    };
    assert_eq!(why("run_1"), ("misuse".into(), "resume: no run of that id is stored".into()));
    assert_eq!(why("nonsense").0, "protocol");
    let (handle, driven) = agent.send(Some("c"), PROMPT.into(), RunOptions::default()).unwrap();
    sim.run(finish((handle.clone(), driven)));
    let log = handle.log().unwrap();
    assert_eq!(why(&log), ("misuse".into(), "resume: the run has ended".into()));
    let cut = log.rfind("[\"model_ended\"]").unwrap();
    let half = &log[..log[..cut].rfind('\n').unwrap() + 1];
    sim.run(async { finish(agent.send(Some("c"), "hello".into(), RunOptions::default()).unwrap()).await });
    assert_eq!(why(half), ("misuse".into(), "resume: its conversation has gone on without it".into()));
    // Another tab has it, and the user does not want to wait.
    let (first, driven) = agent.send(Some("d"), PROMPT.into(), RunOptions::default()).unwrap();
    sim.spawn("page", driven);
    sim.block_on(sim.sleep(Millis(1))).unwrap();
    let (handle, driven) = agent.resume(open(&sim)[0].clone(), Vec::new());
    let user = async {
        sim.sleep(Millis(1)).await;
        handle.cancel();
    };
    let events = sim.block_on(futures_util::future::join3(driven, read(handle.clone()), user)).unwrap().1;
    assert_eq!(events[1]["error"]["code"], "cancelled");
    sim.block_on(first.terminal()).unwrap();
    let handle = RunHandle::default();
    handle.begin();
    assert_eq!(handle.suspend().unwrap_err().code, Code::Misuse);
    for (wrong, path) in [
        (json!(7), "decisions.a"),
        (json!({ "approve": true, "remember": "never" }), "decisions.a.remember"),
        (json!({ "approve": true }), "decisions.a.remember"),
        (json!({ "approve": false, "remember": "run" }), "decisions.a.approve"),
        (json!({ "approve": true, "remember": "run", "why": "" }), "decisions.a.why"),
    ] {
        assert_eq!(read_decisions(&json!({ "a": wrong })).unwrap_err().path.as_deref(), Some(path));
    }
}

/// A server whose tool writes and takes its time: a task is made of the call, and done when ten seconds have passed; `forgets`
/// then. Notes the methods about calls.
fn slow(seen: Rc<RefCell<Vec<String>>>, forgets: bool) -> impl crate::sim::Server {
    move |request: &crate::http::Request, peer: &mut crate::sim::Peer<'_>| {
        let Some(body) = &request.body else { return crate::sim::Answer::text(405, "", "") };
        let body: Value = serde_json::from_str(body).unwrap();
        let method = body["method"].as_str().unwrap_or("").to_owned();
        let over = peer.now.0 % 100_000 >= 10_000;
        let task = |kind: &str, status: &str| {
            json!({ "resultType": kind, "taskId": "t", "status": status, "ttlMs": 600_000, "pollIntervalMs": 1_000,
                "result": { "content": [{ "type": "text", "text": "stored" }] } })
        };
        let schema = json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] });
        let capabilities = json!({ "tools": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } });
        let result = match method.as_str() {
            "server/discover" => {
                json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": capabilities })
            }
            "tools/list" => json!({ "resultType": "complete",
                "tools": [{ "name": "engrave", "description": "Engraves a text", "inputSchema": schema }] }),
            "tools/call" => task("task", "working"),
            _ if over && forgets => {
                seen.borrow_mut().push("forgotten".into());
                let error = json!({ "code": -32602, "message": "no such task" });
                return crate::sim::Answer::json(&json!({ "jsonrpc": "2.0", "id": body["id"], "error": error }));
            }
            _ => task("complete", if over { "completed" } else { "working" }),
        };
        if method.starts_with("ta") || method == "tools/call" {
            seen.borrow_mut().push(method);
        }
        crate::sim::Answer::json(&json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }))
    }
}

#[test]
fn the_task_of_a_call_is_followed_and_the_call_not_made_again() {
    for forgets in [false, true] {
        let (sim, seen) = (world(7, &Done::default()), Rc::new(RefCell::new(Vec::new())));
        sim.host("https://slow.test", slow(seen.clone(), forgets));
        let servers = json!({ "servers": [{ "name": "slow", "url": "https://slow.test/mcp" }] });
        let here = agent(&sim, servers.clone());
        let (handle, driven) = here.run("engrave \"for Ada\"".into(), RunOptions::default());
        handle.set_answerable(true);
        sim.spawn("page", async { drop(futures_util::future::join(driven, read(handle)).await) });
        sim.block_on(sim.sleep(Millis(4_000))).unwrap();
        sim.drop_tasks();
        assert_eq!(seen.borrow().iter().filter(|method| *method == "tools/call").count(), 1);
        sim.block_on(sim.sleep(Millis(10_000))).unwrap();
        seen.borrow_mut().clear();
        let there = agent(&sim.tab(), servers);
        let events = sim.block_on(finish(there.resume(open(&sim)[0].clone(), Vec::new()))).unwrap();
        assert_eq!(events.last().unwrap()["type"], "done", "{:?}", events.last());
        let result = events.iter().find(|event| event["type"] == "tool_result").unwrap();
        let seen = seen.borrow();
        assert!(!seen.iter().any(|method| method == "tools/call"), "{seen:?}");
        match forgets {
            false => {
                assert_eq!((&result["outcome"], &result["content"][0]["text"]), (&json!("ok"), &json!("stored")));
            }
            true => {
                assert!(seen.contains(&"forgotten".to_owned()), "{seen:?}");
                assert_eq!(result["outcome"], "unknown", "{result}");
            }
        }
    }
}

#[test]
fn a_plan_whose_page_is_gone_at_any_instant_goes_on_and_repeats_no_call() {
    let plan = json!({ "steps": [
        { "id": "one", "tool": "shout", "input": { "text": "one" } },
        { "id": "all", "tool": "shout", "forEach": ["two", "three"], "input": { "text": "{{item}} {{one.done}}" } },
    ] });
    let whole = {
        let sim = world(7, &Done::default());
        let agent = agent(&sim, json!({}));
        let events = sim.run(finish(agent.run_plan(Some("c"), plan.clone(), RunOptions::default()).unwrap()));
        assert_eq!(events.last().unwrap()["plan"]["ok"], true, "{:?}", events.last());
        assert_eq!(open(&sim), [""; 0]);
        sim.polls()
    };
    let (mut unknown, mut resumed) = (0, 0);
    for kill in 1..whole {
        let done = Done::default();
        let sim = world(7, &done);
        let here = agent(&sim, json!({}));
        let (handle, driven) = here.run_plan(Some("c"), plan.clone(), RunOptions::default()).unwrap();
        page_until(&sim, kill, handle, driven);
        let there = agent(&sim.tab(), json!({}));
        let [id] = &open(&sim)[..] else { continue };
        resumed += 1;
        let events = sim.block_on(finish(there.resume(id.clone(), Vec::new()))).unwrap();
        let last = events.last().unwrap();
        assert_eq!(last["type"], "done", "killed before poll {kill}: {last}");
        unknown += usize::from(events.iter().any(|event| event["outcome"] == "unknown"));
        let mut made = done.0.borrow().clone();
        let all = made.len();
        made.sort();
        made.dedup();
        assert_eq!(made.len(), all, "killed before poll {kill}: a call was made twice: {made:?}");
        assert_eq!(open(&sim), [""; 0]);
        let said = sim.block_on(there.messages("c")).unwrap().unwrap();
        assert_eq!(said.len(), 3, "prompt, plan and what came of it");
    }
    assert!(resumed > 10 && unknown > 0, "{resumed} resumed, {unknown} unknown");
}

#[test]
fn what_a_user_is_asked_is_stored_before() {
    let sim = world(7, &Done::default());
    let here = agent(&sim, json!({ "approval": "writes" }));
    let (handle, driven) = here.run(PROMPT.into(), RunOptions::default());
    handle.set_answerable(true);
    sim.spawn("page", driven);
    sim.set_store_slow(Millis(30));
    let asked = sim.block_on(async {
        loop {
            let batch = handle.next_events().await.unwrap();
            let events: Vec<Value> = serde_json::from_str(&batch).unwrap();
            if let Some(asked) = events.into_iter().find(|event| event["type"] == "approval_request") {
                return asked;
            }
        }
    });
    // This very instant the page is gone.
    let asked = asked.unwrap();
    sim.drop_tasks();
    let there = agent(&sim.tab(), json!({ "approval": "writes" }));
    let (handle, driven) = there.resume(open(&sim).remove(0), Vec::new());
    handle.set_answerable(true);
    let reader = handle.clone();
    sim.spawn("other page", driven);
    sim.block_on(async {
        loop {
            let batch = reader.next_events().await.expect("the same is asked again");
            let events: Vec<Value> = serde_json::from_str(&batch).unwrap();
            if events.iter().any(|event| event["type"] == "approval_request" && event["id"] == asked["id"]) {
                break;
            }
        }
    })
    .unwrap();
}

#[test]
fn what_is_allowed_for_all_calls_that_are_alike_is_not_asked_for_again() {
    let (done, options) = (Done::default(), json!({ "approval": "writes" }));
    let sim = world(7, &done);
    let here = agent(&sim, options.clone());
    let (handle, driven) = here.run("shout \"one\" and shout \"one\" and shout \"two\"".into(), RunOptions::default());
    handle.suspend().unwrap();
    let events = sim.run(finish((handle, driven)));
    let last = events.last().unwrap();
    let (snapshot, waiting) = (last["snapshot"].as_str().unwrap(), last["waitingFor"].as_array().unwrap());
    assert_eq!(waiting.len(), 3, "{last}");
    let id = waiting[0]["id"].as_str().unwrap();
    // Asks nobody: what is not allowed is denied.
    let goes_on = |sim: &SimPlatform, remember: &str| {
        let decisions = read_decisions(&json!({ id: { "approve": true, "remember": remember } })).unwrap();
        let (handle, driven) = agent(sim, options.clone()).resume(snapshot.to_owned(), decisions);
        let events = sim.run(futures_util::future::join(driven, read(handle))).1;
        events.iter().filter(|event| event["outcome"] == "denied").count()
    };
    let same = SimPlatform::tab(&sim);
    assert_eq!(goes_on(&same, "always"), 1, "the one with other arguments");
    assert_eq!(*done.0.borrow(), ["4: one", "4: one"]);
    // Later runs know of it.
    let events = sim.run(finish(agent(&sim.tab(), options.clone()).run("shout \"one\"".into(), RunOptions::default())));
    assert!(!events.iter().any(|event| event["type"] == "approval_request"), "{events:?}");
    let events = {
        let (handle, driven) = agent(&sim.tab(), options.clone()).run("shout \"two\"".into(), RunOptions::default());
        sim.run(futures_util::future::join(driven, read(handle))).1
    };
    assert!(events.iter().any(|event| event["outcome"] == "denied"), "{events:?}");

    let other = Done::default();
    assert_eq!(goes_on(&world(8, &other), "run"), 0, "all of the tool, in this run");
    assert_eq!(other.0.borrow().len(), 3);
}
