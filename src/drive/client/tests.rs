//! The client against scripted servers in the simulator.

use std::cell::RefCell;

use serde_json::json;

use super::*;
use crate::agent::config::{AgentConfig, RunOptions};
use crate::drive::agent::Agent;
use crate::error::Code;
use crate::http::{Method, Request};
use crate::options::FunctionId;
use crate::sim::{Answer, AppAnswer, Peer, Server, SimPlatform, Step};
use crate::time::Millis;

const ORIGIN: &str = "https://docs.test";

/// A server with pages of everything; keeps what it was asked.
struct Script {
    modern: bool,
    /// Lists a tool that is refused without its header.
    picky: bool,
    seen: Vec<(String, Value, Vec<String>)>,
}

impl Script {
    fn result(&self, method: &str, params: &Value) -> Option<Value> {
        let capabilities = json!({ "tools": {}, "resources": {}, "logging": {}, "x": { "y": 1 } });
        let cursor = params["cursor"].as_str();
        let schema = json!({ "type": "object", "properties": { "a": { "type": "string", "x-mcp-header": "A" } } });
        let bad = json!({ "type": "object", "properties": { "a": { "type": "number", "x-mcp-header": "A" } } });
        Some(match (method, cursor) {
            ("server/discover", _) => {
                json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": capabilities })
            }
            ("initialize", _) => json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities }),
            ("tools/list", None) => json!({
                "tools": [{ "name": "b", "inputSchema": schema, "own": [1, { "deep": null }], "icons": [] }, { "name": "bad", "inputSchema": bad }],
                "nextCursor": "", "ttlMs": 9000, "cacheScope": "public"
            }),
            ("tools/list", Some("")) if self.picky => {
                let schema = json!({ "properties": { "p": { "type": "string", "x-mcp-header": "P" } } });
                json!({ "tools": [{ "name": "picky", "inputSchema": schema }] })
            }
            ("tools/list", Some("")) => json!({ "tools": [{ "name": "a" }], "ttlMs": 4000, "cacheScope": "public" }),
            ("resources/list", None) => json!({
                "resources": [{ "uri": "doc://1", "name": "1", "_meta": { "k": "v" } }, "odd"],
                "nextCursor": "n", "ttlMs": 9000, "cacheScope": "private"
            }),
            ("resources/list", Some("n")) => json!({ "resources": [], "cacheScope": "public" }),
            ("tools/call", _) => match params["name"].as_str() {
                Some("empty") => json!({ "isError": false }),
                _ => {
                    json!({ "content": [{ "type": "text", "text": "x", "own": 1 }], "resultType": "complete", "more": [2] })
                }
            },
            ("resources/read" | "ping" | "own/method" | "logging/setLevel", _) => {
                json!({ "contents": [], "echo": params })
            }
            _ => return None,
        })
    }
}

impl Server for Script {
    fn answer(&mut self, request: &Request, _: &mut Peer<'_>) -> Answer {
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap_or("{}")).unwrap();
        let method = body["method"].as_str().unwrap_or_default().to_owned();
        let modern = request.headers.get("mcp-method").is_some();
        if request.method == Method::Get {
            self.seen.push(("GET".into(), Value::Null, Vec::new()));
            let form = json!({ "type": "object", "properties": { "city": { "type": "string", "default": "Oslo" } } });
            let params = json!({ "message": "Where?", "requestedSchema": form });
            let asked = json!({ "jsonrpc": "2.0", "id": "e1", "method": "elicitation/create", "params": params });
            let asked = Step::Bytes(format!("data: {asked}\n\n").into_bytes());
            return Answer::events(vec![Step::Wait(Millis(50)), asked, Step::Hang]);
        }
        let headers = request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let content = if method.is_empty() { &body["result"] } else { &body["params"] };
        self.seen.push((method.clone(), content.clone(), headers));
        if method.is_empty() {
            return Answer::text(202, "", "");
        }
        let error = |status: u16, code: i64| {
            let error = json!({ "jsonrpc": "2.0", "id": body["id"], "error": { "code": code, "message": "no" } });
            Answer::text(status, "application/json", error.to_string())
        };
        if modern != self.modern {
            return error(400, -32000);
        }
        if body["params"]["name"] == "picky" && request.headers.get("mcp-param-p").is_none() {
            return error(400, -32020);
        }
        if method == "own/log" {
            let entry = json!({ "level": "warning", "data": { "own": 1 } });
            let messages = [
                json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": entry }),
                json!({ "jsonrpc": "2.0", "id": body["id"], "result": {} }),
            ];
            let text = messages.map(|message| format!("data: {message}\n\n")).concat();
            return Answer::events(vec![Step::Bytes(text.into_bytes())]);
        }
        if method.starts_with("notifications/") {
            return Answer::text(202, "", "");
        }
        match self.result(&method, &body["params"]) {
            Some(result) => {
                let slow = if method == "own/method" { Millis(200) } else { Millis(0) };
                Answer::json(&json!({ "jsonrpc": "2.0", "id": body["id"], "result": result })).after(slow)
            }
            None => error(if modern { 404 } else { 200 }, -32601),
        }
    }
}

struct World {
    sim: SimPlatform,
    server: Rc<RefCell<Script>>,
    client: Client<SimPlatform>,
}

impl World {
    fn new(modern: bool) -> World {
        World::with(modern, json!({ "url": "https://docs.test/mcp" }))
    }

    fn with(modern: bool, options: Value) -> World {
        let sim = SimPlatform::new(7);
        let server = sim.host(ORIGIN, Script { modern, picky: false, seen: Vec::new() });
        let config = ServerConfig::read_alone(&options).unwrap();
        World { client: Client::new(Rc::new(sim.clone()), config), sim, server }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.sim.run(future)
    }

    fn list(&self, list: List) -> Result<Value> {
        self.run(self.client.list(list, &CallOptions::default(), &Cancel::new())).map(Listing::into_value)
    }

    fn ask(&self, method: &str, params: Value, options: Value) -> Result<Value> {
        let params = params.as_object().unwrap().clone();
        let options = CallOptions::read(&options).unwrap();
        self.run(self.client.ask(method, &params, &options, &Cancel::new(), &mut |_| ())).map(Value::Object)
    }

    /// The last request: its parameters and headers.
    fn last(&self) -> (Value, Vec<String>) {
        let (_, params, headers) = self.server.borrow().seen.last().cloned().unwrap();
        (params, headers)
    }
}

#[test]
fn lists_come_whole_and_as_they_were_sent() {
    let world = World::new(true);
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string", "x-mcp-header": "A" } } });
    let tools =
        json!([{ "name": "b", "inputSchema": schema, "own": [1, { "deep": null }], "icons": [] }, { "name": "a" }]);
    let listed = world.list(List::Tools).unwrap();
    assert_eq!(listed, json!({ "tools": tools, "ttlMs": 4000, "cacheScope": "public" }));
    let info = world.client.info();
    assert_eq!((&info["tools"], &info["name"]), (&json!(2), &json!("docs.test")));
    assert_eq!(info["capabilities"]["x"], json!({ "y": 1 }));
    let warnings = json!(["tool bad left out: x-mcp-header on what is no integer, string or boolean"]);
    assert_eq!(info["warnings"], warnings);
    let resources = json!([{ "uri": "doc://1", "name": "1", "_meta": { "k": "v" } }, "odd"]);
    let expected = json!({ "resources": resources, "ttlMs": 0, "cacheScope": "private" });
    assert_eq!(world.list(List::Resources).unwrap(), expected, "a page without a time is stale at once");
    assert_eq!(world.list(List::Prompts).unwrap(), json!({ "prompts": [] }), "not declared and not known");
    let error = world.list(List::ResourceTemplates).unwrap_err();
    assert_eq!(error.rpc_code, Some(-32601), "declared, so it has to be there");
}

#[test]
fn an_older_server_says_nothing_of_freshness_and_keeps_its_odd_annotations() {
    let world = World::new(false);
    let listed = world.list(List::Tools).unwrap();
    assert_eq!(listed["tools"].as_array().unwrap().len(), 3);
    assert_eq!((listed.get("ttlMs"), listed.get("cacheScope")), (None, None));
    world.ask("tools/call", json!({ "name": "b", "arguments": { "a": "x" } }), Value::Null).unwrap();
    assert!(!world.last().1.iter().any(|header| header.starts_with("Mcp-Param")), "only the modern era mirrors");
}

#[test]
fn a_listed_tool_is_called_with_its_headers_and_gives_what_was_sent() {
    let world = World::new(true);
    let call = || world.ask("tools/call", json!({ "name": "b", "arguments": { "a": "x" } }), Value::Null).unwrap();
    let result =
        json!({ "content": [{ "type": "text", "text": "x", "own": 1 }], "resultType": "complete", "more": [2] });
    assert_eq!(call(), result);
    assert!(!world.last().1.contains(&"Mcp-Param-A: x".to_owned()), "not listed yet");
    world.list(List::Tools).unwrap();
    call();
    assert!(world.last().1.contains(&"Mcp-Param-A: x".to_owned()));
    let error = world.ask("tools/call", json!({ "name": "empty" }), Value::Null).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (Code::Protocol, "tools/call empty on docs.test: the result has no array content")
    );
}

#[test]
fn any_request_carries_what_the_app_says_beside_what_the_protocol_demands() {
    let world = World::new(true);
    let options = json!({ "meta": { "traceparent": "00-1", "own": 1 }, "progress": true });
    let result =
        world.ask("resources/read", json!({ "uri": "doc://1", "_meta": { "own": 2, "more": 3 } }), options).unwrap();
    let meta = &result["echo"]["_meta"];
    assert_eq!((&meta["traceparent"], &meta["own"], &meta["more"]), (&json!("00-1"), &json!(1), &json!(3)));
    assert!(meta["progressToken"].is_u64());
    assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    assert!(world.last().1.contains(&"Mcp-Name: doc://1".to_owned()));
    let forged = json!({ "_meta": { "io.modelcontextprotocol/clientInfo": {} } });
    let error = world.ask("own/method", forged, Value::Null).unwrap_err();
    assert_eq!(error.path.as_deref(), Some("_meta.io.modelcontextprotocol/clientInfo"));
}

#[test]
fn a_tool_that_was_never_listed_is_looked_up_when_its_headers_are_missed() {
    let world = World::new(true);
    world.server.borrow_mut().picky = true;
    let call = || world.ask("tools/call", json!({ "name": "picky", "arguments": { "p": "x" } }), Value::Null).unwrap();
    call();
    assert!(world.last().1.contains(&"Mcp-Param-P: x".to_owned()));
    let calls = || world.server.borrow().seen.iter().filter(|(method, ..)| method == "tools/call").count();
    assert_eq!(calls(), 2, "it was refused once, and so not executed");
    call();
    assert_eq!(calls(), 3, "from now on it is known");
}

#[test]
fn what_a_server_logs_reaches_whoever_listens() {
    for modern in [true, false] {
        let options = json!({ "url": "https://docs.test/mcp", "onLog": { "$function": 5 }, "logLevel": "warning" });
        let world = World::with(modern, options);
        let heard = Rc::new(RefCell::new(Vec::new()));
        let listener = heard.clone();
        world.sim.function(FunctionId(5), move |entry, _| {
            listener.borrow_mut().push(entry.clone());
            AppAnswer::value(Millis(0), Value::Null)
        });
        world.ask("own/log", json!({}), Value::Null).unwrap();
        let entry = json!({ "server": "docs.test", "level": "warning", "data": { "own": 1 } });
        assert_eq!(*heard.borrow(), [entry]);
        let meta = world.last().0["_meta"]["io.modelcontextprotocol/logLevel"].clone();
        let levels = || {
            let seen = &world.server.borrow().seen;
            let told = seen.iter().filter(|(method, ..)| method == "logging/setLevel");
            told.map(|(_, params, _)| params["level"].clone()).collect::<Vec<_>>()
        };
        if modern {
            assert_eq!(meta, "warning");
        } else {
            assert_eq!((meta, levels()), (Value::Null, vec![json!("warning")]));
        }
        world.ask("own/method", json!({}), Value::Null).unwrap();
        world.run(world.client.set_log_level("debug", &Cancel::new())).unwrap();
        world.ask("own/method", json!({}), Value::Null).unwrap();
        if modern {
            assert_eq!(world.last().0["_meta"]["io.modelcontextprotocol/logLevel"], "debug");
        } else {
            assert_eq!(levels(), [json!("warning"), json!("debug")], "once for each level");
        }
        let error = world.run(world.client.set_log_level("loud", &Cancel::new())).unwrap_err();
        assert_eq!(error.path.as_deref(), Some("level"));
    }
    let world = World::new(true);
    let error = world.run(world.client.set_log_level("debug", &Cancel::new())).unwrap_err();
    assert_eq!(error.code, Code::Misuse);
    world.ask("own/method", json!({}), Value::Null).unwrap();
    assert_eq!(world.last().0["_meta"].get("io.modelcontextprotocol/logLevel"), None, "nobody listens");
}

#[test]
fn an_older_server_may_ask_on_the_stream_of_its_session() {
    let options = json!({ "url": "https://docs.test/mcp", "onInput": { "$function": 5 } });
    let world = World::with(false, options);
    world.sim.function(FunctionId(5), |_, _| AppAnswer::value(Millis(0), json!({ "action": "accept", "content": {} })));
    world.ask("own/method", json!({}), Value::Null).unwrap();
    let seen = world.server.borrow().seen.clone();
    let order: Vec<&str> = seen.iter().map(|(method, ..)| method.as_str()).skip(3).collect();
    assert_eq!(order, ["GET", "own/method", ""], "the stream first, so that nothing is missed");
    assert_eq!(seen.last().unwrap().1, json!({ "action": "accept", "content": { "city": "Oslo" } }));
    let quiet = World::new(false);
    quiet.ask("own/method", json!({}), Value::Null).unwrap();
    assert!(!quiet.server.borrow().seen.iter().any(|(method, ..)| method == "GET"), "nobody could answer");
}

#[test]
fn a_sign_of_life_in_either_era() {
    for (modern, method) in [(true, "server/discover"), (false, "ping")] {
        let world = World::new(modern);
        world.run(world.client.ping(&CallOptions::default(), &Cancel::new())).unwrap();
        assert_eq!(world.server.borrow().seen.last().unwrap().0, method);
    }
}

#[test]
fn a_closed_client_says_so() {
    let world = World::new(true);
    assert_eq!(world.run(world.client.connect(&Cancel::new())).unwrap()["state"], "ready");
    world.run(world.client.close());
    assert_eq!(world.client.info()["state"], "closed");
    assert_eq!(world.list(List::Tools).unwrap_err().code, Code::Misuse);
}

/// An agent on two such servers and one that is not there.
fn agent(sim: &SimPlatform) -> Agent<SimPlatform> {
    for origin in [ORIGIN, "https://old.test"] {
        sim.host(origin, Script { modern: origin == ORIGIN, picky: false, seen: Vec::new() });
    }
    let server = |name: &str| json!({ "name": name, "url": format!("https://{name}.test/mcp") });
    let servers = json!([server("gone"), server("old"), server("docs")]);
    let options = json!({ "model": { "provider": "offline" }, "servers": servers });
    Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap())
}

#[test]
fn an_agent_lists_over_all_servers_that_can_be_asked() {
    let sim = SimPlatform::new(3);
    let agent = agent(&sim);
    let list = |list| sim.block_on(agent.list(list, Default::default(), &Cancel::new())).unwrap();
    let resource = |server: &str| json!({ "uri": "doc://1", "name": "1", "_meta": { "k": "v" }, "server": server });
    let resources = json!([resource("old"), "odd", resource("docs"), "odd"]);
    assert_eq!(list(List::Resources).unwrap(), resources, "in the order of the servers, whatever answers first");
    assert_eq!(list(List::Prompts).unwrap(), json!([]), "nobody declares prompts");
    let error = list(List::ResourceTemplates).unwrap_err();
    assert_eq!(error.code, Code::Network, "nobody could be asked: the first error");
    let servers = agent.servers();
    assert_eq!((&servers[0]["state"], &servers[0]["error"]["code"]), (&json!("failed"), &json!("network")));
    assert_eq!((&servers[2]["state"], &servers[2]["error"]["rpcCode"]), (&json!("ready"), &json!(-32601)));
    let params = json!({ "uri": "doc://1" }).as_object().unwrap().clone();
    let ask = |server: &str| {
        let (options, cancel) = (CallOptions::default(), Cancel::new());
        sim.block_on(async { agent.ask(server, "resources/read", &params, &options, &cancel, &mut |_| ()).await })
            .unwrap()
    };
    assert_eq!(ask("docs").unwrap()["echo"]["uri"], "doc://1");
    assert_eq!(ask("nobody").unwrap_err().code, Code::Misuse);
    assert_eq!(ask("gone").unwrap_err().code, Code::Network);
}

#[test]
fn a_run_is_told_what_had_to_be_left_out() {
    let sim = SimPlatform::new(3);
    let agent = agent(&sim);
    let (handle, driven) = agent.run("hello".into(), RunOptions::default());
    let events = sim.block_on(futures_util::future::join(driven, handle.all_events())).unwrap().1;
    let warnings: Vec<&Value> = events.iter().filter(|event| event["type"] == "warning").collect();
    let message = "tool bad left out: x-mcp-header on what is no integer, string or boolean";
    assert_eq!(warnings, [&json!({ "type": "warning", "server": "docs", "message": message })]);
}
