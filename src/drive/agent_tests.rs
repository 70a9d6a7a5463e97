//! Whole agents in the simulator.

use serde_json::json;

use super::*;
use crate::agent::config::RunOptions;
use crate::options::FunctionId;
use crate::sim::Era;
use crate::sim::{Answer, AppAnswer, Peer, ScriptedMcp, SimPlatform, ToolKind};
use crate::time::Millis;

const ADD: &str = "https://add.test";
const DEAD: &str = "https://dead.test";

/// A world with a server that adds, and one that takes every request and never answers.
fn world() -> SimPlatform {
    let sim = SimPlatform::new(1);
    sim.host(ADD, ScriptedMcp::new(Era::Modern, &[ToolKind::Add, ToolKind::Echo]));
    sim.host(DEAD, |_: &crate::http::Request, _: &mut Peer<'_>| Answer::Never);
    sim
}

fn agent(sim: &SimPlatform, options: Value) -> Agent<SimPlatform> {
    Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap())
}

fn server(name: &str, origin: &str) -> Value {
    json!({ "name": name, "url": format!("{origin}/mcp"), "timeoutMs": 30_000 })
}

fn offline(servers: Value) -> Value {
    json!({ "model": { "provider": "offline" }, "servers": servers })
}

/// Runs the prompt to its end and gives every event.
async fn events(agent: &Agent<SimPlatform>, prompt: &str) -> Vec<Value> {
    let (handle, driven) = agent.run(prompt.into(), RunOptions::default());
    handle.set_answerable(true);
    futures_util::future::join(driven, handle.all_events()).await.1
}

fn of_type<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

#[test]
fn the_embedded_model_calls_a_tool_of_a_server_and_answers() {
    let sim = world();
    let agent = agent(&sim, offline(json!([server("calc", ADD)])));
    let events = sim.block_on(events(&agent, "What is 17 + 25?")).unwrap();
    let [call] = of_type(&events, "tool_call")[..] else { panic!("{events:?}") };
    assert_eq!((&call["name"], &call["input"]), (&json!("calc.add"), &json!({ "a": 17, "b": 25 })));
    let last = events.last().unwrap();
    assert_eq!(last["type"], "done");
    assert!(last["text"].as_str().unwrap().contains("42"), "{last}");
    assert_eq!(sim.violations(), [""; 0]);
}

#[test]
fn a_dead_server_delays_the_first_run_by_the_limit_and_later_ones_less() {
    let sim = world();
    let agent = agent(&sim, offline(json!([server("dead", DEAD), server("calc", ADD)])));
    let first = sim.block_on(events(&agent, "What is 17 + 25?")).unwrap();
    assert_eq!(first.last().unwrap()["type"], "done");
    assert!((10_000..11_000).contains(&sim.elapsed().0), "{:?}", sim.elapsed());
    for state in ["idle", "failed"] {
        assert_eq!(agent.servers()[0]["state"], state);
        let before = sim.elapsed();
        sim.block_on(events(&agent, "What is 1 + 2?")).unwrap();
        assert!((1_000..2_000).contains(&sim.elapsed().0.saturating_sub(before.0)), "{:?}", sim.elapsed());
        sim.block_on(agent.connect(&Cancel::new())).unwrap().unwrap();
    }
}

#[test]
fn those_who_wait_for_one_server_share_its_failure() {
    let sim = world();
    let agent = agent(&sim, offline(json!([server("dead", DEAD)])));
    let all = futures_util::future::join_all((0..5).map(|_| {
        let agent = agent.clone();
        async move { agent.connect(&Cancel::new()).await }
    }));
    sim.block_on(all).unwrap();
    assert_eq!(agent.servers()[0]["error"]["code"], "timeout");
    assert!((30_000..31_000).contains(&sim.elapsed().0), "{:?}", sim.elapsed());
}

#[test]
fn tools_of_the_app_are_called_like_any_other() {
    let sim = world();
    sim.function(FunctionId(4), |input, _| AppAnswer::value(Millis(3), json!({ "said": input["argument"] })));
    let tool = json!({
        "name": "shout", "description": "Shout a text", "execute": { "$function": 4 },
        "inputSchema": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
    });
    let agent = agent(&sim, json!({ "model": { "provider": "offline" }, "tools": [tool], "approval": "never" }));
    let events = sim.block_on(events(&agent, "shout \"hello\"")).unwrap();
    let [result] = of_type(&events, "tool_result")[..] else { panic!("{events:?}") };
    assert_eq!((&result["outcome"], &result["durationMs"]), (&json!("ok"), &json!(3)));
}

#[test]
fn a_call_by_hand_connects_first_and_names_what_is_not_there() {
    let sim = world();
    let agent = agent(&sim, offline(json!([server("calc", ADD)])));
    let call = |name: &'static str| {
        let agent = agent.clone();
        async move { agent.call_tool(name, json!({ "a": 1, "b": 2 }), &Cancel::new(), &mut |_| ()).await }
    };
    let result = sim.block_on(call("calc.add")).unwrap().unwrap();
    assert!(!result.is_error);
    let error = sim.block_on(call("calc.gone")).unwrap().unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (Code::Misuse, "there is no tool `calc.gone`; tools() lists them")
    );
    sim.block_on(agent.close()).unwrap();
    assert_eq!(sim.block_on(call("calc.add")).unwrap().unwrap_err().code, Code::Misuse);
}

/// A server that makes a task of each call; notes each method with the `_meta` that came.
fn traced(seen: Rc<RefCell<Vec<(String, Value)>>>) -> impl crate::sim::Server {
    move |request: &crate::http::Request, _: &mut Peer<'_>| {
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let method = body["method"].as_str().unwrap().to_owned();
        let schema =
            json!({ "type": "object", "properties": { "a": { "type": "number" }, "b": { "type": "number" } } });
        let task = |kind: &str, status: &str| {
            json!({ "resultType": kind, "taskId": "t", "status": status, "ttlMs": 60_000, "pollIntervalMs": 1_000,
                "result": { "content": [{ "type": "text", "text": "42" }] } })
        };
        let capabilities = json!({ "tools": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } });
        let result = match method.as_str() {
            "server/discover" => {
                json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": capabilities })
            }
            "tools/list" => json!({ "resultType": "complete",
                "tools": [{ "name": "add", "description": "Adds two numbers.", "inputSchema": schema }] }),
            "tools/call" => task("task", "working"),
            _ => task("complete", "completed"),
        };
        seen.borrow_mut().push((method, body["params"]["_meta"].clone()));
        Answer::json(&json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }))
    }
}

#[test]
fn a_trace_goes_along_with_every_request_of_a_tool_call() {
    let sim = SimPlatform::new(1);
    let seen = Rc::new(RefCell::new(Vec::new()));
    sim.host(ADD, traced(seen.clone()));
    let agent = agent(
        &sim,
        json!({ "model": { "provider": "offline" }, "servers": [server("calc", ADD)], "approval": "never" }),
    );
    let meta = json!({ "traceparent": "00-1", "baggage": "a=b" });
    let (handle, driven) = agent.run("What is 17 + 25?".into(), RunOptions::read(&json!({ "meta": meta })).unwrap());
    let (_, end) = sim.block_on(futures_util::future::join(driven, handle.terminal())).unwrap();
    assert!(end.contains("42"), "{end}");
    let carried: Vec<(String, bool)> = seen
        .take()
        .into_iter()
        .map(|(method, sent)| {
            let all = meta.as_object().unwrap().iter().all(|(name, value)| sent.get(name) == Some(value));
            assert!(sent.get("io.modelcontextprotocol/protocolVersion").is_some());
            (method, all)
        })
        .collect();
    let expected = [("server/discover", false), ("tools/list", false), ("tools/call", true), ("tasks/get", true)];
    assert_eq!(carried, expected.map(|(method, traced)| (method.to_owned(), traced)));
    assert_eq!(sim.leftovers(), "");
}

#[test]
fn servers_come_and_go() {
    let sim = world();
    let agent = agent(&sim, offline(json!([])));
    let config = ServerConfig::read(&server("calc", ADD), "server").unwrap();
    agent.add_server(config.clone()).unwrap();
    assert_eq!(agent.add_server(config).unwrap_err().code, Code::Config);
    sim.block_on(agent.connect(&Cancel::new())).unwrap().unwrap();
    assert_eq!(agent.tools().as_array().unwrap().len(), 2);
    sim.block_on(agent.remove_server("calc")).unwrap().unwrap();
    assert_eq!(agent.tools().as_array().unwrap().len(), 0);
    assert_eq!(sim.block_on(agent.remove_server("calc")).unwrap().unwrap_err().code, Code::Misuse);
}

#[test]
fn an_offline_model_that_cannot_be_loaded_is_tried_again_and_then_reported() {
    let sim = SimPlatform::new(1);
    sim.set_parts_missing(true);
    let agent = agent(&sim, offline(json!([])));
    let events = sim.block_on(events(&agent, "hello")).unwrap();
    let last = &events.last().unwrap()["error"];
    assert_eq!((of_type(&events, "retry").len(), &last["code"]), (3, &json!("network")));
    assert_eq!(last["message"], "the offline model: could not be loaded");
}
