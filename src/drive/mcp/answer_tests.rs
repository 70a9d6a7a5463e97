//! What servers ask, against scripted servers of both eras.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use serde_json::{Value, json};

use super::*;
use crate::http::{Method, Request};
use crate::mcp::tools::read_tools;
use crate::mcp::types::CallToolResult;
use crate::options::FunctionId;
use crate::sim::{Answer as Http, AppAnswer, Peer, Server, SimPlatform, Step as Bytes};

const ORIGIN: &str = "https://calc.test";

/// A server that answers `tools/call` by the script.
struct Script {
    era: Era,
    /// Modern: result or error of each call, one after the other; the last one stays.
    results: Vec<Value>,
    /// Legacy: what comes on the stream of a call before its answer.
    before: Vec<Bytes>,
    /// Bodies of the calls.
    calls: Vec<Value>,
    /// Answers of the client, with the time of their arrival.
    replies: Vec<(u64, Value)>,
    /// Capabilities that the client declared with each request.
    declared: Vec<Value>,
    cancelled: u32,
    aborted: u32,
    roots_changed: u32,
}

impl Server for Script {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Http {
        if request.method != Method::Post {
            return Http::text(405, "", "");
        }
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let method = body["method"].as_str().unwrap_or("response");
        let result = |result: Value| Http::json(&json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }));
        match (method, self.era) {
            ("server/discover", Era::Modern) => result(json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} }
            })),
            ("server/discover", Era::Legacy) => Http::text(400, "", ""),
            ("initialize", _) => {
                self.declared.push(body["params"]["capabilities"].clone());
                result(json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} } }))
                    .header("mcp-session-id", "s1")
            }
            ("notifications/roots/list_changed", era) => {
                if era == Era::Modern || request.headers.get("mcp-session-id") != Some("s1") {
                    peer.violation("a notice of roots where there is no session");
                }
                self.roots_changed += 1;
                Http::text(202, "", "")
            }
            ("notifications/cancelled", _) => {
                self.cancelled += 1;
                Http::text(202, "", "")
            }
            ("response", _) => {
                if request.headers.get("mcp-session-id") != Some("s1") {
                    peer.violation("an answer outside of the session");
                }
                self.replies.push((peer.now.0, body.clone()));
                Http::text(202, "", "")
            }
            ("tools/call", era) => {
                if self.calls.iter().any(|call| call["id"] == body["id"]) {
                    peer.violation("an id came twice");
                }
                self.calls.push(body.clone());
                let next = if self.results.len() > 1 { self.results.remove(0) } else { self.results[0].clone() };
                let key = if next.get("code").is_some() { "error" } else { "result" };
                let answer = json!({ "jsonrpc": "2.0", "id": body["id"], key: next });
                if era == Era::Modern {
                    let meta = &body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
                    self.declared.push(meta.clone());
                    return Http::json(&answer);
                }
                let mut steps = self.before.clone();
                steps.push(event(&answer));
                steps.push(Bytes::Hang);
                Http::events(steps)
            }
            _ => Http::text(202, "", ""),
        }
    }

    fn aborted(&mut self, _: u64) {
        self.aborted += 1;
    }
}

fn event(message: &Value) -> Bytes {
    Bytes::Bytes(format!("data: {message}\n\n").into_bytes())
}

fn ask(id: Value, method: &str, params: Value) -> Bytes {
    event(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
}

fn form(message: &str) -> Value {
    let days = json!({ "type": "integer", "default": 3 });
    json!({ "message": message, "requestedSchema": { "type": "object", "properties": { "days": days } } })
}

fn elicit(message: &str) -> Value {
    json!({ "method": "elicitation/create", "params": form(message) })
}

fn input(requests: Value, state: Value) -> Value {
    json!({ "resultType": "input_required", "inputRequests": requests, "requestState": state })
}

fn done() -> Value {
    json!({ "resultType": "complete", "content": [{ "type": "text", "text": "done" }] })
}

struct World {
    sim: SimPlatform,
    server: Rc<RefCell<Script>>,
    connection: Connection<SimPlatform>,
}

impl World {
    fn new(era: Era, results: Vec<Value>, before: Vec<Bytes>) -> World {
        let roots = json!([{ "uri": "file:///a", "name": "A" }]);
        let functions = json!({
            "onInput": { "$function": 1 }, "onSampling": { "$function": 2 }, "roots": roots, "timeoutMs": 1_000
        });
        World::with(era, results, before, functions)
    }

    fn with(era: Era, results: Vec<Value>, before: Vec<Bytes>, more: Value) -> World {
        let sim = SimPlatform::new(7);
        sim.set_time_limit(Millis::from_secs(20_000));
        let (calls, replies, declared) = (Vec::new(), Vec::new(), Vec::new());
        let script =
            Script { era, results, before, calls, replies, declared, cancelled: 0, aborted: 0, roots_changed: 0 };
        let server = sim.host(ORIGIN, script);
        let mut options = json!({ "name": "calc", "url": "https://calc.test/mcp" });
        for (name, value) in more.as_object().unwrap() {
            options[name] = value.clone();
        }
        let config = ServerConfig::read(&options, "servers[0]").unwrap();
        World { connection: Connection::new(Rc::new(sim.clone()), config), sim, server }
    }

    /// Function 1 answers forms and URLs so, after that long.
    fn answers(&self, after: u64, answer: Value) {
        self.sim.function(FunctionId(1), move |_, _| AppAnswer::value(Millis(after), answer.clone()));
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.sim.run(future)
    }

    fn call(&self) -> Result<CallToolResult> {
        self.run(self.calling(&Cancel::new()))
    }

    async fn calling(&self, cancel: &Cancel) -> Result<CallToolResult> {
        let definition = json!({ "name": "add", "inputSchema": { "type": "object" } });
        let (mut tools, mut warnings) = (Vec::new(), Vec::new());
        read_tools(vec![definition], Era::Legacy, &mut tools, &mut warnings);
        self.connection.call_tool(&tools[0], &json!({ "a": 1 }), Millis(1_000), cancel, &mut |_| {}).await
    }

    /// Parameters of the calls, without `_meta`.
    fn params(&self) -> Vec<Value> {
        let calls = self.server.borrow().calls.clone();
        let strip = |call: Value| {
            let mut params = call["params"].as_object().unwrap().clone();
            params.shift_remove("_meta");
            Value::Object(params)
        };
        calls.into_iter().map(strip).collect()
    }
}

#[test]
fn a_modern_request_goes_round_until_it_is_complete() {
    let state = "{\"n\": 1}\u{FEFF} \\u0041\n";
    let first = input(json!({ "b": elicit("B?"), "r": { "method": "roots/list" } }), json!(state));
    let second = json!({ "resultType": "input_required", "inputRequests": { "s": {
        "method": "sampling/createMessage", "params": { "messages": [], "maxTokens": 5 } } } });
    let third = json!({ "resultType": "input_required", "requestState": "" });
    let world = World::new(Era::Modern, vec![first, second, third, done()], Vec::new());
    // Much longer than any timeout: nobody is hurried.
    world.answers(3_600_000, json!({ "action": "accept" }));
    let answer = json!({ "content": { "type": "text", "text": "Paris" }, "model": "m" });
    world.sim.function(FunctionId(2), move |params, _| {
        assert_eq!(params, &json!({ "messages": [], "maxTokens": 5 }));
        AppAnswer::value(Millis(50), answer.clone())
    });
    assert_eq!(world.call().unwrap().content, [json!({ "type": "text", "text": "done" })]);
    let own = json!({ "name": "add", "arguments": { "a": 1 } });
    let with = |extras: Value| {
        let mut all = own.clone();
        all.as_object_mut().unwrap().extend(extras.as_object().unwrap().clone());
        all
    };
    let accepted = json!({ "action": "accept", "content": { "days": 3 } });
    let roots = json!({ "roots": [{ "uri": "file:///a", "name": "A" }] });
    let sampled = json!({ "content": { "type": "text", "text": "Paris" }, "model": "m", "role": "assistant" });
    assert_eq!(
        world.params(),
        [
            own.clone(),
            with(json!({ "inputResponses": { "b": accepted, "r": roots }, "requestState": state })),
            with(json!({ "inputResponses": { "s": sampled } })),
            with(json!({ "requestState": "" })),
        ]
    );
    let all = json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": {},
        "extensions": { "io.modelcontextprotocol/tasks": {} } });
    assert_eq!(world.server.borrow().declared, vec![all; 4]);
}

#[test]
fn what_nobody_can_answer_is_not_declared() {
    let world = World::with(Era::Modern, vec![done()], Vec::new(), json!({}));
    world.call().unwrap();
    assert_eq!(world.server.borrow().declared, [json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } })]);
    let asked = input(json!({ "k": elicit("K?") }), Value::Null);
    let mut asked = asked;
    asked.as_object_mut().unwrap().shift_remove("requestState");
    let world = World::with(Era::Modern, vec![asked, done()], Vec::new(), json!({}));
    let error = world.call().unwrap_err();
    assert_eq!((error.code, error.message.contains("did not declare")), (Code::Protocol, true), "{error}");
    assert_eq!(world.server.borrow().calls.len(), 1);
    let legacy = World::with(Era::Legacy, vec![done()], Vec::new(), json!({}));
    legacy.call().unwrap();
    assert_eq!(legacy.server.borrow().declared, [json!({})]);
}

#[test]
fn a_server_that_never_has_enough_is_given_up_after_ten_rounds() {
    let world = World::new(Era::Modern, vec![input(json!({ "k": elicit("again?") }), json!("s"))], Vec::new());
    world.answers(1, json!({ "action": "decline" }));
    let error = world.call().unwrap_err();
    assert_eq!(error.code, Code::Limit, "{error}");
    assert_eq!(world.server.borrow().calls.len(), 11);
}

#[test]
fn what_belongs_to_one_request_never_reaches_another() {
    let world = World::new(Era::Modern, vec![input(json!({ "k": elicit("K?") }), json!("s1")), done()], Vec::new());
    world.answers(500, json!({ "action": "cancel" }));
    let (cancel, other) = (Cancel::new(), async {
        world.sim.sleep(Millis(300)).await;
        world.calling(&Cancel::new()).await
    });
    let (first, second) = world.run(futures_util::future::join(world.calling(&cancel), other));
    assert!(first.is_ok() && second.is_ok());
    let params = world.params();
    assert_eq!((params[1].get("requestState"), params[1].get("inputResponses")), (None, None));
    assert_eq!(params[2]["requestState"], "s1");
}

#[test]
fn functions_that_fail_or_answer_wrongly_fail_the_call_and_nothing_is_sent() {
    let asked = || vec![input(json!({ "k": elicit("K?") }), json!("s")), done()];
    for (answer, words) in [
        (AppAnswer::throws(Millis(1), "no screen"), "onInput failed: no screen"),
        (AppAnswer::value(Millis(1), json!("yes")), "onInput answered wrongly: expected { action, content }"),
        (
            AppAnswer::value(Millis(1), json!({ "action": "accept", "content": { "days": 1.5 } })),
            "onInput answered wrongly: `content.days`: expected a whole number",
        ),
    ] {
        let world = World::new(Era::Modern, asked(), Vec::new());
        let mut answer = Some(answer);
        world.sim.function(FunctionId(1), move |_, _| answer.take().unwrap());
        let error = world.call().unwrap_err();
        assert_eq!(error.message, format!("tools/call add on calc: {words}"));
        assert_eq!(world.server.borrow().calls.len(), 1);
    }
}

#[test]
fn a_cancel_while_somebody_thinks_ends_the_call_at_once() {
    for era in [Era::Modern, Era::Legacy] {
        let asks = vec![ask(json!(1), "elicitation/create", form("K?")), Bytes::Hang];
        let world = World::new(era, vec![input(json!({ "k": elicit("K?") }), json!("s"))], asks);
        world.sim.function(FunctionId(1), |_, _| AppAnswer::never());
        let cancel = Cancel::new();
        let stop = async {
            world.sim.sleep(Millis(20_000)).await;
            cancel.cancel();
        };
        let (outcome, ()) = world.run(futures_util::future::join(world.calling(&cancel), stop));
        assert_eq!(outcome.unwrap_err().code, Code::Cancelled);
        assert!((20_000..23_000).contains(&world.sim.elapsed().0), "{:?}", world.sim.elapsed());
        assert_eq!(world.sim.open_app_calls(), 0);
    }
}

#[test]
fn a_legacy_server_is_answered_while_its_stream_goes_on() {
    let sampling = json!({ "messages": [{ "role": "user" }], "maxTokens": 5 });
    let before = vec![
        ask(json!("p"), "ping", json!({})),
        ask(json!(1), "elicitation/create", form("Days?")),
        ask(json!(1), "elicitation/create", form("Days, replayed?")),
        ask(json!("s"), "sampling/createMessage", sampling),
        ask(json!("r"), "roots/list", json!({})),
        ask(json!("x"), "tools/list", json!({})),
        ask(json!("bad"), "elicitation/create", json!({ "message": 7 })),
        // The timeout of the call is one second.
        Bytes::Wait(Millis(5_000)),
    ];
    let world = World::new(Era::Legacy, vec![done()], before);
    world.answers(4_500, json!({ "action": "accept", "content": {} }));
    world.sim.function(FunctionId(2), |_, _| AppAnswer::throws(Millis(100), "no model, secret-key"));
    world.call().unwrap();
    let server = world.server.borrow();
    let reply = |id: Value| {
        let found = server.replies.iter().filter(|(_, body)| body["id"] == id).collect::<Vec<_>>();
        assert_eq!(found.len(), 1, "{id}: {:?}", server.replies);
        found[0].clone()
    };
    assert_eq!(reply(json!("p")).1["result"], json!({}));
    let (at, accepted) = reply(json!(1));
    assert_eq!(accepted["result"], json!({ "action": "accept", "content": { "days": 3 } }));
    assert!(at >= 4_500);
    assert_eq!(reply(json!("r")).1["result"]["roots"][0]["uri"], "file:///a");
    assert!(reply(json!("r")).0 < 1_000, "one does not wait for the other");
    assert_eq!(reply(json!("x")).1["error"]["code"], -32601);
    assert_eq!(reply(json!("bad")).1["error"]["code"], -32602);
    let failed = reply(json!("s")).1;
    assert_eq!(failed["error"]["code"], -32603);
    assert!(!failed.to_string().contains("secret"));
    let all = json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {}, "roots": { "listChanged": true } });
    assert_eq!(server.declared, [all]);
}

#[test]
fn the_clock_goes_on_when_the_answer_was_given() {
    // After the answer nothing comes for longer than the timeout.
    let before = vec![ask(json!(1), "elicitation/create", form("Days?")), Bytes::Wait(Millis(30_000))];
    let world = World::new(Era::Legacy, vec![done()], before);
    world.answers(20_000, Value::Null);
    let error = world.call().unwrap_err();
    assert_eq!(error.code, Code::Timeout);
    assert!((21_000..24_000).contains(&world.sim.elapsed().0), "{:?}", world.sim.elapsed());
    assert_eq!(world.server.borrow().replies[0].1["result"], json!({ "action": "cancel" }));
    assert_eq!(world.server.borrow().cancelled, 1);
}

#[test]
fn what_the_server_withdraws_or_answers_without_is_dropped() {
    let withdrawn = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    let asked = ask(json!(1), "elicitation/create", form("Days?"));
    for before in [vec![asked.clone(), event(&withdrawn), Bytes::Wait(Millis(900))], vec![asked]] {
        let world = World::new(Era::Legacy, vec![done()], before);
        world.sim.function(FunctionId(1), |_, _| AppAnswer::never());
        world.call().unwrap();
        assert_eq!(world.server.borrow().replies, []);
        assert_eq!(world.sim.open_app_calls(), 0);
    }
}

#[test]
fn a_flood_of_requests_is_refused_but_for_some() {
    let mut flood = Vec::new();
    for id in 0..100 {
        let Bytes::Bytes(bytes) = ask(json!(id), "elicitation/create", form("?")) else { unreachable!() };
        flood.extend(bytes);
    }
    let world = World::new(Era::Legacy, vec![done()], vec![Bytes::Bytes(flood), Bytes::Wait(Millis(500))]);
    world.sim.set_recut(false);
    world.answers(100, Value::Null);
    world.call().unwrap();
    let replies = &world.server.borrow().replies;
    let refused = replies.iter().filter(|(_, body)| body["error"]["code"] == -32603).count();
    assert_eq!((replies.len(), refused), (100, 68));
}

#[test]
fn pages_to_visit_come_first() {
    let url = json!({ "mode": "url", "message": "Sign in", "url": "https://a.test/", "elicitationId": "1" });
    let wanted = json!({ "code": -32042, "message": "Sign in first", "data": { "elicitations": [url] } });
    for (answer, sent, ok) in [("accept", 2, true), ("decline", 1, false)] {
        let world = World::new(Era::Legacy, vec![wanted.clone(), done()], Vec::new());
        world.sim.function(FunctionId(1), move |asked, _| {
            assert_eq!(asked, &json!({ "server": "calc", "message": "Sign in", "url": "https://a.test/" }));
            AppAnswer::value(Millis(60_000), json!({ "action": answer }))
        });
        let outcome = world.call();
        assert_eq!(outcome.as_ref().map_err(|error| error.rpc_code).is_ok(), ok, "{outcome:?}");
        assert_eq!(world.server.borrow().calls.len(), sent);
    }
    let world = World::new(Era::Legacy, vec![wanted.clone()], Vec::new());
    world.answers(1, json!({ "action": "accept" }));
    assert_eq!(world.call().unwrap_err().rpc_code, Some(-32042), "for ever");
    assert_eq!(world.server.borrow().calls.len(), 11);
    let world = World::with(Era::Legacy, vec![wanted], Vec::new(), json!({}));
    assert_eq!(world.call().unwrap_err().rpc_code, Some(-32042), "nobody can be asked");
}

#[test]
fn a_missing_capability_is_named() {
    let required = json!({ "elicitation": { "url": {} }, "sampling": {} });
    let error = json!({ "code": -32021, "message": "no", "data": { "requiredCapabilities": required } });
    let world = World::with(Era::Modern, vec![error], Vec::new(), json!({}));
    let error = world.call().unwrap_err();
    assert_eq!(error.rpc_code, Some(-32021));
    assert!(error.message.ends_with("it wants a client that can do: elicitation.url, sampling"), "{error}");
}

#[test]
fn headers_that_do_not_match_are_made_anew_from_a_new_list() {
    let sim = SimPlatform::new(3);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let note = seen.clone();
    // The server wants the argument as another header than it said before.
    let tool = |header: &str| {
        let a = json!({ "type": "integer", "x-mcp-header": header });
        json!({ "name": "add", "inputSchema": { "type": "object", "properties": { "a": a } } })
    };
    sim.host(ORIGIN, move |request: &Request, _: &mut Peer<'_>| {
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let method = body["method"].as_str().unwrap().to_owned();
        note.borrow_mut().push(method.clone());
        let result = match method.as_str() {
            "server/discover" => {
                json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } })
            }
            "tools/list" => json!({ "resultType": "complete", "tools": [tool("New")] }),
            _ if request.headers.get("mcp-param-new") == Some("1") => done(),
            _ => {
                let error = json!({ "code": -32020, "message": "Header mismatch" });
                let message = json!({ "jsonrpc": "2.0", "id": body["id"], "error": error });
                return Http::text(400, "application/json", message.to_string());
            }
        };
        Http::json(&json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }))
    });
    let options = json!({ "name": "calc", "url": "https://calc.test/mcp" });
    let config = ServerConfig::read(&options, "servers[0]").unwrap();
    let connection = Connection::new(Rc::new(sim.clone()), config);
    let (mut tools, mut warnings) = (Vec::new(), Vec::new());
    read_tools(vec![tool("Old")], Era::Modern, &mut tools, &mut warnings);
    let (input, cancel) = (json!({ "a": 1 }), Cancel::new());
    let mut ignore = |_| {};
    let call = connection.call_tool(&tools[0], &input, Millis(1_000), &cancel, &mut ignore);
    sim.block_on(call).unwrap().unwrap();
    assert_eq!(*seen.borrow(), ["server/discover", "tools/call", "tools/list", "tools/call"]);
}

#[test]
fn older_servers_are_told_that_the_roots_are_others_now() {
    for (era, told) in [(Era::Modern, 0), (Era::Legacy, 1)] {
        let world = World::new(era, vec![done()], Vec::new());
        world.run(world.connection.roots_changed());
        world.call().unwrap();
        world.run(world.connection.roots_changed());
        assert_eq!(world.server.borrow().roots_changed, told, "only where there is a session");
    }
    let world = World::with(Era::Legacy, vec![done()], Vec::new(), json!({}));
    world.call().unwrap();
    world.run(world.connection.roots_changed());
    assert_eq!(world.server.borrow().roots_changed, 0, "none were declared");
}
