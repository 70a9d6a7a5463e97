//! Calls that servers make tasks of, against scripted servers of both kinds.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::*;
use crate::http::{Method, Request};
use crate::mcp::input::Ask;
use crate::mcp::tools::read_tools;
use crate::mcp::types::{CallToolResult, Progress};
use crate::options::FunctionId;
use crate::sim::{Answer as Http, AppAnswer, Peer, Server, SimPlatform, Step as Bytes};

const ORIGIN: &str = "https://calc.test";
const KEY: &str = "servers/https:%2F%2Fcalc.test%2Fmcp/tasks";

/// A server that makes a task of every call, in the states that the script says.
struct Script {
    era: Era,
    /// Answers to `tasks/get`, one after the other; the last one stays. `null` breaks the connection.
    states: Vec<Value>,
    /// Legacy: what `tasks/result` asks before it answers.
    asks: Vec<Bytes>,
    /// Method, parameters without `_meta`, and time of each request about tasks and calls.
    seen: Vec<(String, Value, u64)>,
    replies: Vec<Value>,
}

impl Server for Script {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Http {
        if request.method != Method::Post {
            return Http::text(405, "", "");
        }
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let method = body["method"].as_str().unwrap_or("response").to_owned();
        let message = |result: Value| json!({ "jsonrpc": "2.0", "id": body["id"], "result": result });
        let mut params = body["params"].clone();
        if let Some(params) = params.as_object_mut() {
            params.shift_remove("_meta");
        }
        if method.starts_with("tasks/") || method == "tools/call" {
            let id = body["params"]["taskId"].as_str();
            if self.era == Era::Modern && method != "tools/call" && request.headers.get("mcp-name") != id {
                peer.violation("Mcp-Name is not the id of the task");
            }
            self.seen.push((method.clone(), params, peer.now.0));
        }
        let task = json!({ "taskId": "t1", "status": "working", "createdAt": "x", "lastUpdatedAt": "x" });
        match (method.as_str(), self.era) {
            ("server/discover", Era::Modern) => Http::json(&message(json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}
            }))),
            ("server/discover", Era::Legacy) => Http::text(400, "", ""),
            ("initialize", _) => Http::json(&message(json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tasks": { "requests": { "tools": { "call": {} } } } }
            }))),
            ("tools/call", Era::Modern) => {
                let mut task = task;
                task["resultType"] = json!("task");
                task["ttlMs"] = json!(600_000);
                task["pollIntervalMs"] = json!(1_000);
                Http::json(&message(task))
            }
            ("tools/call", Era::Legacy) => Http::json(&message(json!({ "task": task }))),
            ("tasks/get", _) => {
                let state = if self.states.len() > 1 { self.states.remove(0) } else { self.states[0].clone() };
                match state {
                    Value::Null => Http::Broken { after: Millis(3), message: "down".into() },
                    state if state.get("code").is_some() => {
                        Http::json(&json!({ "jsonrpc": "2.0", "id": body["id"], "error": state }))
                    }
                    state => Http::json(&message(state)),
                }
            }
            ("tasks/result", _) => {
                let mut steps = self.asks.clone();
                let text = message(json!({ "content": [{ "type": "text", "text": "found" }] })).to_string();
                steps.push(Bytes::Bytes(format!("data: {text}\n\n").into_bytes()));
                Http::events(steps)
            }
            ("tasks/update" | "tasks/cancel", _) => Http::json(&message(json!({ "resultType": "complete" }))),
            ("response", _) => {
                self.replies.push(body.clone());
                Http::text(202, "", "")
            }
            _ => Http::text(202, "", ""),
        }
    }
}

fn state(status: &str, more: Value) -> Value {
    let mut state = json!({ "resultType": "complete", "taskId": "t1", "status": status, "ttlMs": 600_000, "pollIntervalMs": 1_000 });
    state.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    state
}

fn completed() -> Value {
    state("completed", json!({ "result": { "content": [{ "type": "text", "text": "found" }] } }))
}

fn asking(keys: &[&str]) -> Value {
    let ask = json!({ "method": "elicitation/create", "params": { "message": "?", "requestedSchema": { "type": "object" } } });
    let requests: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), ask.clone())).collect();
    state("input_required", json!({ "inputRequests": requests }))
}

/// Notes the ids of tasks.
struct Ids(RefCell<Vec<String>>, Map<String, Value>);

impl Attendant for Ids {
    fn ask<'a>(&'a self, _: &'a str, _: &'a Ask) -> Pin<Box<dyn Future<Output = Option<Value>> + 'a>> {
        Box::pin(async { None })
    }

    fn task(&self, id: &str) {
        self.0.borrow_mut().push(id.to_owned());
    }

    fn is_asked(&self) -> bool {
        false
    }

    fn meta(&self) -> &Map<String, Value> {
        &self.1
    }
}

struct World {
    sim: SimPlatform,
    server: Rc<RefCell<Script>>,
    connection: Connection<SimPlatform>,
}

impl World {
    fn new(era: Era, states: Vec<Value>) -> World {
        let sim = SimPlatform::new(5);
        sim.set_time_limit(Millis::from_secs(2_000));
        let (asks, seen, replies) = (Vec::new(), Vec::new(), Vec::new());
        let server = sim.host(ORIGIN, Script { era, states, asks, seen, replies });
        let connection = World::connect(&sim);
        World { sim, server, connection }
    }

    fn connect(sim: &SimPlatform) -> Connection<SimPlatform> {
        let options = json!({ "name": "calc", "url": "https://calc.test/mcp?key=1", "onInput": { "$function": 1 } });
        Connection::new(Rc::new(sim.clone()), ServerConfig::read(&options, "servers[0]").unwrap())
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.sim.run(future)
    }

    async fn calling(&self, cancel: &Cancel, progress: &mut Vec<String>) -> Result<CallToolResult> {
        let definition = json!({ "name": "dig", "inputSchema": {}, "execution": { "taskSupport": "required" } });
        let (mut tools, mut warnings) = (Vec::new(), Vec::new());
        read_tools(vec![definition], Era::Legacy, &mut tools, &mut warnings);
        let mut on_progress = |notice: Progress| progress.extend(notice.message);
        self.connection.call_tool(&tools[0], &json!({}), Millis(1_000), cancel, &mut on_progress).await
    }

    fn call(&self) -> Result<CallToolResult> {
        self.run(self.calling(&Cancel::new(), &mut Vec::new()))
    }

    fn methods(&self) -> Vec<String> {
        self.server.borrow().seen.iter().map(|(method, ..)| method.clone()).collect()
    }

    /// Ids of the tasks that are remembered.
    fn stored(&self) -> Vec<String> {
        let stored = self.sim.stored().get(KEY).map(|text| serde_json::from_slice::<Value>(text).unwrap());
        let tasks = stored.and_then(|tasks| tasks.as_array().cloned()).unwrap_or_default();
        tasks.iter().map(|task| task["taskId"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_task_is_polled_to_its_result_and_remembered_until_then() {
    let states = vec![state("working", json!({ "statusMessage": "Reading" })), Value::Null, completed()];
    let world = World::new(Era::Modern, states);
    let ids = Rc::new(Ids(RefCell::default(), Map::new()));
    let mut progress = Vec::new();
    let remembered = RefCell::new(Vec::new());
    let result = world.run(async {
        let attended = World {
            sim: world.sim.clone(),
            server: world.server.clone(),
            connection: world.connection.attended(Some(ids.clone())),
        };
        let cancel = Cancel::new();
        let look = async {
            world.sim.sleep(Millis(2_000)).await;
            *remembered.borrow_mut() = world.stored();
        };
        futures_util::future::join(attended.calling(&cancel, &mut progress), look).await.0
    });
    assert_eq!(result.unwrap().content, [json!({ "type": "text", "text": "found" })]);
    assert_eq!(*ids.0.borrow(), ["t1"]);
    assert_eq!(progress, ["Reading"]);
    assert_eq!((remembered.into_inner(), world.stored()), (vec!["t1".to_owned()], vec![]));
    let server = world.server.borrow();
    let polls: Vec<u64> = server.seen.iter().skip(1).map(|(_, _, at)| *at).collect();
    assert_eq!(server.seen[1].1, json!({ "taskId": "t1" }));
    assert!(polls[0] >= 1_000 && polls[1] - polls[0] >= 1_000, "{polls:?}");
    assert!(polls[2] - polls[1] >= 2_000, "{polls:?}");
}

#[test]
fn what_a_task_asks_is_asked_once_while_it_is_polled() {
    let states = vec![asking(&["a"]), asking(&["a"]), asking(&["a", "b"]), asking(&["a", "b"]), completed()];
    let world = World::new(Era::Modern, states);
    let asked = Rc::new(RefCell::new(0));
    let count = asked.clone();
    world.sim.function(FunctionId(1), move |_, _| {
        *count.borrow_mut() += 1;
        AppAnswer::value(Millis(2_500), json!({ "action": "accept" }))
    });
    world.call().unwrap();
    assert_eq!(*asked.borrow(), 2);
    let server = world.server.borrow();
    let updates: Vec<&Value> =
        server.seen.iter().filter(|(method, ..)| method == "tasks/update").map(|(_, params, _)| params).collect();
    let accepted = json!({ "action": "accept", "content": {} });
    assert_eq!(updates[0], &json!({ "taskId": "t1", "inputResponses": { "a": accepted } }), "{}", world.sim.report());
}

#[test]
fn a_task_that_ends_takes_its_questions_along() {
    let world = World::new(Era::Modern, vec![asking(&["a"]), state("cancelled", json!({}))]);
    world.sim.function(FunctionId(1), |_, _| AppAnswer::never());
    assert!(world.call().unwrap_err().message.ends_with("the server cancelled the task"));
    assert_eq!((world.sim.open_app_calls(), world.stored().len()), (0, 0));
}

#[test]
fn a_cancel_cancels_the_task_and_a_close_leaves_it_for_later() {
    for closes in [false, true] {
        let world = World::new(Era::Modern, vec![state("working", json!({}))]);
        let cancel = Cancel::new();
        let stop = async {
            world.sim.sleep(Millis(10_000)).await;
            if closes { world.connection.close().await } else { cancel.cancel() }
        };
        let mut progress = Vec::new();
        let (outcome, ()) = world.run(futures_util::future::join(world.calling(&cancel, &mut progress), stop));
        assert_eq!(outcome.unwrap_err().code, Code::Cancelled);
        assert_eq!(world.methods().last().unwrap() == "tasks/cancel", !closes);
        assert_eq!(world.stored().len(), usize::from(closes));
        if closes {
            // As after a reload.
            world.server.borrow_mut().states = vec![completed()];
            let later = World::connect(&world.sim);
            let tasks = world.run(later.tasks());
            assert_eq!((&tasks[0]["taskId"], &tasks[0]["tool"]), (&json!("t1"), &json!("dig")));
            let result = world.run(later.resume_task("t1", None, &Cancel::new(), &mut |_| {})).unwrap();
            assert_eq!(result["content"][0]["text"], "found");
            assert_eq!(world.stored(), [""; 0]);
        }
    }
}

#[test]
fn a_task_that_is_not_known_any_more_is_forgotten_and_a_lost_server_is_not() {
    let gone = json!({ "code": -32602, "message": "Task not found" });
    let world = World::new(Era::Modern, vec![gone]);
    let error = world.call().unwrap_err();
    assert_eq!((error.rpc_code, world.stored().len(), world.methods().len()), (Some(-32602), 0, 2));
    let world = World::new(Era::Modern, vec![Value::Null]);
    let error = world.call().unwrap_err();
    assert!(error.message.ends_with("resume it by its id"), "{error}");
    assert_eq!((error.code, world.stored()), (Code::Network, vec!["t1".to_owned()]));
    assert_eq!(world.methods().len(), 11);
}

#[test]
fn a_function_that_fails_ends_the_task() {
    let world = World::new(Era::Modern, vec![asking(&["a"])]);
    world.sim.function(FunctionId(1), |_, _| AppAnswer::throws(Millis(5), "no screen"));
    assert_eq!(world.call().unwrap_err().code, Code::Misuse);
    assert_eq!(world.methods().last().unwrap(), "tasks/cancel");
}

#[test]
fn a_server_that_never_ends_a_task_is_given_up_after_its_time_to_live() {
    let world = World::new(Era::Modern, vec![state("working", json!({}))]);
    assert_eq!(world.call().unwrap_err().code, Code::Timeout);
    assert!((600_000..800_000).contains(&world.sim.elapsed().0), "{:?}", world.sim.elapsed());
}

#[test]
fn tasks_of_2025_are_asked_for_and_ask_on_the_stream_of_their_result() {
    let working = json!({ "taskId": "t1", "status": "working", "ttl": 60_000, "pollInterval": 500 });
    let waiting = json!({ "taskId": "t1", "status": "input_required", "ttl": 60_000, "pollInterval": 500 });
    let world = World::new(Era::Legacy, vec![working, waiting]);
    let params = json!({ "message": "Which?", "requestedSchema": { "type": "object" } });
    let ask = json!({ "jsonrpc": "2.0", "id": "e1", "method": "elicitation/create", "params": params });
    world.server.borrow_mut().asks =
        vec![Bytes::Bytes(format!("data: {ask}\n\n").into_bytes()), Bytes::Wait(Millis(30_100))];
    world.sim.function(FunctionId(1), |_, _| AppAnswer::value(Millis(30_000), json!({ "action": "decline" })));
    assert_eq!(world.call().unwrap().content[0]["text"], "found");
    assert_eq!(world.methods(), ["tools/call", "tasks/get", "tasks/get", "tasks/result"]);
    let server = world.server.borrow();
    assert_eq!(server.seen[0].1["task"], json!({ "ttl": 3_600_000 }));
    assert_eq!(server.replies[0]["result"], json!({ "action": "decline" }));
}
