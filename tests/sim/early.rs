//! Calls that begin while the answer that asks for them still streams: what it saves, and what it must never cost.

use std::cell::RefCell;
use std::rc::Rc;

use edgewise::agent::config::{AgentConfig, RunOptions};
use edgewise::drive::agent::Agent;
use edgewise::drive::handle::RunHandle;
use edgewise::http::Request;
use edgewise::options::FunctionId;
use edgewise::platform::Platform;
use edgewise::sim::{Answer, AppAnswer, Peer, SimPlatform, Step};
use edgewise::time::Millis;
use serde_json::{Value, json};

const MODEL: &str = "https://model.test";
const WORK: FunctionId = FunctionId(7);
/// How long the tool works.
const WORKS: Millis = Millis(2_000);
/// How long the model speaks on behind each of its calls.
const SPEAKS: Millis = Millis(3_000);

fn chunk(choice: Value) -> Step {
    Step::Bytes(format!("data: {}\n\n", json!({ "choices": [choice] })).into_bytes())
}

/// Two calls, some silence behind each, and how the answer ends.
fn calling(ends: bool) -> Vec<Step> {
    let call = |index: u64| {
        let function = json!({ "name": "work", "arguments": json!({ "n": index }).to_string() });
        chunk(
            json!({ "delta": { "tool_calls": [{ "index": index, "id": format!("c{index}"), "function": function }] } }),
        )
    };
    let mut steps = vec![call(0), Step::Wait(Millis(10)), call(1), Step::Wait(SPEAKS)];
    if ends {
        steps.push(chunk(json!({ "delta": {}, "finish_reason": "tool_calls" })));
        steps.push(Step::Bytes(b"data: [DONE]\n\n".to_vec()));
    } else {
        steps.push(Step::Reset);
    }
    steps
}

fn done() -> Vec<Step> {
    let said = chunk(json!({ "delta": { "content": "Done." }, "finish_reason": "stop" }));
    vec![said, Step::Bytes(b"data: [DONE]\n\n".to_vec())]
}

/// Calls of the tool: `n` and when.
type Calls = Rc<RefCell<Vec<(u64, Millis)>>>;

/// A model that says these answers one after the other, and a tool that writes.
fn stage(answers: Vec<Vec<Step>>) -> (SimPlatform, RunHandle, Calls, Rc<RefCell<Vec<Value>>>) {
    stage_on("openai", answers)
}

fn stage_on(wire: &str, answers: Vec<Vec<Step>>) -> (SimPlatform, RunHandle, Calls, Rc<RefCell<Vec<Value>>>) {
    let sim = SimPlatform::new(1);
    sim.set_recut(false);
    let (calls, asked) = (Calls::default(), Rc::new(RefCell::new(Vec::new())));
    let (record, mut answers) = (asked.clone(), answers.into_iter());
    sim.host(MODEL, move |request: &Request, _: &mut Peer<'_>| {
        let body = serde_json::from_str(request.body.as_deref().unwrap_or("")).unwrap();
        RefCell::borrow_mut(&record).push(body);
        Answer::events(answers.next().expect("not asked more often than the script is long"))
    });
    let (noted, clock) = (calls.clone(), sim.clone());
    sim.function(WORK, move |argument, _| {
        noted.borrow_mut().push((argument["n"].as_u64().unwrap(), clock.elapsed()));
        AppAnswer::value(WORKS, json!("worked"))
    });
    let model = json!({ "provider": wire, "id": "m", "baseUrl": MODEL });
    let tool = json!({ "name": "work", "execute": { "$function": WORK.0 } });
    let config = json!({ "model": model, "tools": [tool], "approval": "never" });
    let agent = Agent::new(Rc::new(sim.clone()), AgentConfig::read(&config).unwrap());
    let (handle, driver) = agent.run("go".into(), RunOptions::default());
    sim.spawn("driver", driver);
    (sim, handle, calls, asked)
}

fn terminal(sim: &SimPlatform, handle: &RunHandle) -> Value {
    let text = sim.block_on(handle.terminal()).unwrap_or_else(|stuck| panic!("{stuck}\n{}", sim.report()));
    serde_json::from_str(&text).unwrap()
}

/// The first call is over before the answer is: its two seconds are none of the run's.
#[test]
fn a_call_works_while_the_answer_goes_on() {
    let (sim, handle, calls, asked) = stage(vec![calling(true), done()]);
    assert_eq!(terminal(&sim, &handle)["type"], "done");
    let calls = calls.borrow();
    assert_eq!(calls.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [0, 1]);
    assert!(calls[0].1 < Millis(100), "{calls:?}");
    // A Chat Completions stream does not say before its end that the last call is complete.
    assert!(calls[1].1 >= SPEAKS, "{calls:?}");
    let results = asked.borrow()[1]["messages"].as_array().unwrap()[2..].to_vec();
    assert_eq!(results.iter().map(|result| result["tool_call_id"].as_str().unwrap()).collect::<Vec<_>>(), ["c0", "c1"]);
}

/// A stream that says of each call that it is complete (Messages, Responses, Gemini): the run lasts as long as the answers,
/// 3.0 s, and not 5.0 s as when the tool waits for the end of the answer.
#[test]
fn the_time_of_a_tool_is_hidden_behind_the_rest_of_the_answer() {
    let event =
        |data: Value| Step::Bytes(format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()).into_bytes());
    let block = |index: u64, block: Value| {
        event(json!({ "type": "content_block_start", "index": index, "content_block": block }))
    };
    let delta =
        |index: u64, delta: Value| event(json!({ "type": "content_block_delta", "index": index, "delta": delta }));
    let stop = |index: u64| event(json!({ "type": "content_block_stop", "index": index }));
    let end = |reason: &str| {
        let end = event(json!({ "type": "message_delta", "delta": { "stop_reason": reason } }));
        vec![end, event(json!({ "type": "message_stop" }))]
    };
    let call = json!({ "type": "tool_use", "id": "c0", "name": "work", "input": {} });
    let mut calling = vec![
        block(0, call),
        delta(0, json!({ "type": "input_json_delta", "partial_json": "{\"n\":0}" })),
        stop(0),
        Step::Wait(SPEAKS),
        block(1, json!({ "type": "text", "text": "" })),
        delta(1, json!({ "type": "text_delta", "text": "I look." })),
        stop(1),
    ];
    calling.extend(end("tool_use"));
    let mut done = vec![
        block(0, json!({ "type": "text", "text": "" })),
        delta(0, json!({ "type": "text_delta", "text": "Done." })),
    ];
    done.extend(end("end_turn"));
    let (sim, handle, calls, _) = stage_on("anthropic", vec![calling, done]);
    let end = terminal(&sim, &handle);
    assert_eq!((&end["type"], calls.borrow().len()), (&json!("done"), 1), "{end}");
    let took = sim.elapsed();
    assert!(took >= SPEAKS && took < Millis(SPEAKS.0 + 500), "{took:?}");
}

/// The answer breaks off when the first call has begun: it is not made again, and the model learns what came of it.
#[test]
fn an_answer_that_breaks_off_behind_a_call_that_has_begun_is_not_asked_for_again() {
    let (sim, handle, calls, asked) = stage(vec![calling(false), done()]);
    assert_eq!(terminal(&sim, &handle)["type"], "done");
    assert_eq!(calls.borrow().len(), 1, "{}", sim.report());
    let messages = asked.borrow()[1]["messages"].clone();
    assert_eq!(messages[1]["tool_calls"].as_array().unwrap().len(), 1, "{messages}");
    assert_eq!((&messages[2]["role"], &messages[2]["content"]), (&json!("tool"), &json!("worked")));
}

/// A cancel while the answer streams and the call works leaves a history that can be gone on with, and nothing open.
#[test]
fn a_cancel_in_the_middle_leaves_calls_with_results() {
    let (sim, handle, ..) = stage(vec![calling(true)]);
    let (clock, canceller) = (sim.clone(), handle.clone());
    sim.spawn("canceller", async move {
        clock.sleep(Millis(1_000)).await;
        canceller.cancel();
    });
    let end = terminal(&sim, &handle);
    assert_eq!(end["error"]["code"], "cancelled");
    let kinds: Vec<_> = end["messages"].as_array().unwrap().iter().map(|m| m["content"][0]["type"].clone()).collect();
    assert_eq!(kinds, ["text", "tool_use", "tool_result"]);
    sim.block_on(sim.sleep(Millis(5_000))).unwrap();
    assert_eq!(sim.leftovers(), "", "{}", sim.report());
}
