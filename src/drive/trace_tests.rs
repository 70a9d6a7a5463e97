//! Spans of whole runs in the simulator.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::agent::config::{AgentConfig, RunOptions};
use crate::drive::agent::Agent;
use crate::options::FunctionId;
use crate::sim::{Answer, AppAnswer, Era, Peer, ScriptedMcp, SimPlatform, ToolKind};
use crate::time::Millis;

const ADD: &str = "https://add.test";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Spans that the app was given.
type Given = Rc<RefCell<Vec<Value>>>;

fn agent(sim: &SimPlatform, mut options: Value) -> (Agent<SimPlatform>, Given) {
    let given = Given::default();
    let taken = given.clone();
    sim.function(FunctionId(9), move |span, _| {
        taken.borrow_mut().push(span.clone());
        AppAnswer::value(Millis(0), Value::Null)
    });
    options["model"] = json!({ "provider": "offline" });
    options["onSpan"] = json!({ "$function": 9 });
    (Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap()), given)
}

fn calculator() -> Value {
    json!([{ "name": "calc", "url": format!("{ADD}/mcp") }])
}

/// Runs the prompt with those options and gives the terminal event; the spans are all there when it is.
fn run(sim: &SimPlatform, agent: &Agent<SimPlatform>, options: Value, given: &Given) -> Value {
    let options = RunOptions::read(&options).unwrap();
    let (handle, driven) = agent.run("What is 17 + 25?".into(), options);
    let at_end = async {
        let terminal = handle.terminal().await;
        assert_eq!(given.borrow().last().map(|span| span["name"].clone()), Some(json!("invoke_agent")));
        serde_json::from_str(&terminal).unwrap()
    };
    sim.block_on(futures_util::future::join(driven, at_end)).unwrap().1
}

fn names(spans: &[Value]) -> Vec<&str> {
    spans.iter().map(|span| span["name"].as_str().unwrap()).collect()
}

#[test]
fn a_run_tells_its_spans_before_its_end() {
    let sim = SimPlatform::new(1);
    sim.host(ADD, ScriptedMcp::new(Era::Modern, &[ToolKind::Add]));
    let (agent, given) = agent(&sim, json!({ "servers": calculator() }));
    let end = run(&sim, &agent, json!({}), &given);
    let spans = given.take();
    let wanted = ["wait servers", "execute_tool add", "chat offline", "chat offline", "invoke_agent"];
    assert_eq!(names(&spans), wanted);
    let root = &spans[4];
    assert_eq!(root["attributes"]["edgewise.run.id"], end["runId"]);
    assert!(root.get("parentSpanId").is_none());
    assert!(spans[..4].iter().all(|span| span["parentSpanId"] == root["spanId"] && span["traceId"] == root["traceId"]));
    assert_eq!(root["traceId"].as_str().unwrap().len(), 32);
    let text = Value::from(spans).to_string();
    assert!(!["messages", "arguments", "tool.call.result"].iter().any(|word| text.contains(word)), "{text}");
    // The part keeps nothing of a run that is over: another run's spans are its own.
    run(&sim, &agent, json!({}), &given);
    assert_eq!(names(&given.take()), ["execute_tool add", "chat offline", "chat offline", "invoke_agent"]);
    assert_eq!((sim.leftovers(), sim.violations()), (String::new(), Vec::new()));
}

#[test]
fn a_server_is_told_the_span_of_its_call() {
    let sim = SimPlatform::new(1);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = seen.clone();
    let mut real = ScriptedMcp::new(Era::Modern, &[ToolKind::Add]);
    sim.host(ADD, move |request: &crate::http::Request, peer: &mut Peer<'_>| -> Answer {
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap_or("null")).unwrap();
        noted.borrow_mut().push((body["method"].clone(), body["params"]["_meta"].clone()));
        crate::sim::Server::answer(&mut real, request, peer)
    });
    let (agent, given) = agent(&sim, json!({ "servers": calculator() }));
    let meta =
        json!({ "traceparent": format!("00-{TRACE}-b7ad6b7169203331-00"), "tracestate": "v=1", "baggage": "a=b" });
    run(&sim, &agent, json!({ "meta": meta }), &given);
    let spans = given.take();
    let call = spans.iter().find(|span| span["name"] == "execute_tool add").unwrap();
    let root = spans.last().unwrap();
    assert_eq!((&root["traceId"], &root["parentSpanId"]), (&json!(TRACE), &json!("b7ad6b7169203331")));
    assert_eq!((&root["traceFlags"], &root["traceState"]), (&json!(0), &json!("v=1")));
    let seen = seen.take();
    let (_, sent) = seen.iter().find(|(method, _)| method == "tools/call").unwrap();
    let wanted = format!("00-{TRACE}-{}-00", call["spanId"].as_str().unwrap());
    assert_eq!(sent["traceparent"], wanted);
    assert_eq!((&sent["tracestate"], &sent["baggage"]), (&json!("v=1"), &json!("a=b")));
}

#[test]
fn a_context_that_is_none_begins_a_trace() {
    let sim = SimPlatform::new(1);
    let (agent, given) = agent(&sim, json!({}));
    run(&sim, &agent, json!({ "meta": { "traceparent": "00-1", "tracestate": "v=1" } }), &given);
    let root = given.take().pop().unwrap();
    assert!(root.get("parentSpanId").is_none() && root.get("traceState").is_none(), "{root}");
}

#[test]
fn content_is_told_when_it_is_asked_for() {
    let sim = SimPlatform::new(1);
    sim.host(ADD, ScriptedMcp::new(Era::Modern, &[ToolKind::Add]));
    let (agent, given) = agent(&sim, json!({ "servers": calculator(), "spanContent": true }));
    run(&sim, &agent, json!({}), &given);
    let spans = given.take();
    let call = spans.iter().find(|span| span["name"] == "execute_tool add").unwrap();
    assert_eq!(call["attributes"]["gen_ai.tool.call.arguments"], json!({ "a": 17, "b": 25 }));
    let asked = &spans.last().unwrap()["attributes"]["gen_ai.input.messages"][0]["parts"][0]["content"];
    assert_eq!(asked, "What is 17 + 25?");
}

#[test]
fn a_run_does_not_suffer_where_spans_cannot_be_had() {
    let sim = SimPlatform::new(1);
    sim.set_parts_missing(true);
    let (agent, given) = agent(&sim, json!({}));
    let (handle, driven) = agent.run("hello".into(), RunOptions::default());
    let (_, end) = sim.block_on(futures_util::future::join(driven, handle.terminal())).unwrap();
    // The model cannot be had either.
    assert!(end.contains("network"), "{end}");
    assert_eq!(given.take(), Vec::<Value>::new());
}
