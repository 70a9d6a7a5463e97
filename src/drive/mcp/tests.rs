//! Connections against scripted servers in the simulator.

mod hostile;

use std::cell::Cell;

use futures_util::future::LocalBoxFuture;
use futures_util::future::{join, join_all, select};
use serde_json::{Map, Value, json};

use super::*;
use crate::http::{Method, Request};
use crate::mcp::call_options::CallOptions;
use crate::mcp::lists::List;
use crate::mcp::tools::read_tools;
use crate::mcp::types::{CallToolResult, Progress};
use crate::options::FunctionId;
use crate::platform::{Space, Write};
use crate::sim::{Answer as Http, AppAnswer, Peer, Server, SimPlatform, Step as Bytes};

const ORIGIN: &str = "https://calc.test";

/// An MCP server of either era, with everything that a test may want to be different.
struct Script {
    era: Era,
    /// Sessions are handed out and insisted on.
    sessions: bool,
    /// Number of the current session.
    session: u32,
    /// How the legacy server refuses an unknown session.
    lost: u16,
    /// Answers as event streams, with so many progress notices, so far apart.
    progress: Option<(u32, Millis)>,
    /// Asks `ping` before it answers a call, and answers only once it got the pong.
    ping: bool,
    delay: Millis,
    /// Answers the method so, this one time.
    instead: Vec<(&'static str, Http)>,
    /// Methods in order; DELETE as such, answers of the client as `response`.
    seen: Vec<String>,
    bodies: Vec<Value>,
    tokens: Vec<String>,
    aborted: u32,
}

impl Script {
    fn new(era: Era) -> Script {
        Script {
            era,
            sessions: era == Era::Legacy,
            session: 0,
            lost: 404,
            progress: None,
            ping: false,
            delay: Millis(5),
            instead: Vec::new(),
            seen: Vec::new(),
            bodies: Vec::new(),
            tokens: Vec::new(),
            aborted: 0,
        }
    }

    fn count(&self, method: &str) -> usize {
        self.seen.iter().filter(|seen| *seen == method).count()
    }

    fn last(&self, method: &str) -> &Value {
        let at = self.seen.iter().rposition(|seen| seen == method).expect(method);
        &self.bodies[at]
    }

    fn session_id(&self) -> String {
        format!("session-{}", self.session)
    }

    fn result(&self, method: &str, body: &Value) -> Option<Value> {
        let call = &body["params"];
        Some(match method {
            "server/discover" => json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
                "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "calc", "version": "1" } }
            }),
            "initialize" => json!({
                "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
                "serverInfo": { "name": "calc", "version": "0" }
            }),
            "tools/list" => match call["cursor"].as_str() {
                None => json!({ "tools": [{ "name": "add", "inputSchema": { "type": "object" } }], "nextCursor": "" }),
                Some("") => json!({ "tools": [{ "name": "echo" }, { "title": "nameless" }] }),
                Some(_) => return None,
            },
            "tools/call" => json!({ "content": [{ "type": "text", "text": call["arguments"].to_string() }] }),
            _ => return None,
        })
    }

    /// Laws that every request has to keep.
    fn check(&self, request: &Request, method: &str, body: &Value, peer: &mut Peer<'_>) {
        let header = |name: &str| request.headers.get(name);
        let mut law = |kept: bool, text: &str| {
            if !kept {
                peer.violation(format!("{method}: {text}"));
            }
        };
        law(header("accept") == Some("application/json, text/event-stream"), "accept");
        law(header("content-type") == Some("application/json"), "content type");
        if header("mcp-method").is_some() {
            let version = &body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
            law(version.as_str() == header("mcp-protocol-version"), "revision in header and body");
            law(header("mcp-method") == Some(method), "method in header and body");
            law(header("mcp-session-id").is_none(), "a modern request carries no session");
        } else if method != "initialize" && self.era == Era::Legacy {
            law(header("mcp-protocol-version") == Some("2025-06-18"), "negotiated revision");
        }
        let id = &body["id"];
        let repeated =
            id.is_u64() && self.bodies.iter().any(|earlier| earlier["id"] == *id && earlier.get("method").is_some());
        law(method == "response" || !repeated, "an id must not come twice");
    }
}

impl Server for Script {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Http {
        if request.method == Method::Delete {
            self.seen.push("DELETE".into());
            self.bodies.push(Value::Null);
            return Http::text(405, "", "");
        }
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let method = body["method"].as_str().unwrap_or("response").to_owned();
        self.check(request, &method, &body, peer);
        self.seen.push(method.clone());
        self.bodies.push(body.clone());
        self.tokens.push(request.headers.get("authorization").unwrap_or("").to_owned());
        if let Some(at) = self.instead.iter().position(|(wanted, _)| *wanted == method) {
            return self.instead.remove(at).1;
        }
        let modern = request.headers.get("mcp-method").is_some();
        if modern != (self.era == Era::Modern) {
            let (code, words) = if modern { (-32000, "Bad Request: Server not initialized") } else { (-32022, "no") };
            let data = json!({ "supported": ["2026-07-28"] });
            return refuse(400, &Value::Null, code, words, data);
        }
        if method == "initialize" {
            self.session += 1;
        } else if self.sessions && request.headers.get("mcp-session-id") != Some(&self.session_id()) {
            let code = if self.lost == 400 { -32000 } else { -32001 };
            return refuse(self.lost, &Value::Null, code, "Bad Request: No valid session ID provided", Value::Null);
        }
        if method.starts_with("notifications/") || method == "response" {
            return Http::text(202, "", "");
        }
        let Some(result) = self.result(&method, &body) else {
            let status = if self.era == Era::Modern { 404 } else { 200 };
            return refuse(status, &body["id"], -32601, "Method not found", Value::Null);
        };
        let answer = json!({ "jsonrpc": "2.0", "id": body["id"], "result": result });
        let reply = match self.progress.filter(|_| method == "tools/call") {
            Some((times, apart)) => {
                let mut steps = vec![event(&json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }))];
                if self.ping {
                    steps.push(event(&json!({ "jsonrpc": "2.0", "id": "p1", "method": "ping" })));
                    steps.push(event(&json!({ "jsonrpc": "2.0", "id": 7, "method": "roots/list" })));
                }
                for progress in 1..=times {
                    steps.push(Bytes::Wait(apart));
                    steps.push(Bytes::Bytes(b": still here\n\n".to_vec()));
                    let params =
                        json!({ "progressToken": body["params"]["_meta"]["progressToken"], "progress": progress });
                    steps.push(event(
                        &json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params }),
                    ));
                }
                steps.push(event(&answer));
                // Nothing more needs to be read, so nobody may wait for this.
                steps.push(Bytes::Hang);
                Http::events(steps)
            }
            None => Http::json(&answer),
        };
        let reply = if method == "initialize" && self.sessions {
            reply.header("mcp-session-id", self.session_id())
        } else {
            reply
        };
        reply.after(self.delay)
    }

    fn aborted(&mut self, _: u64) {
        self.aborted += 1;
    }
}

fn refuse(status: u16, id: &Value, code: i64, message: &str, data: Value) -> Http {
    let error = json!({ "code": code, "message": message, "data": data });
    Http::text(status, "application/json", json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string())
}

fn event(message: &Value) -> Bytes {
    Bytes::Bytes(format!("event: message\r\ndata: {message}\r\n\r\n").into_bytes())
}

struct World {
    sim: SimPlatform,
    server: Rc<RefCell<Script>>,
    connection: Connection<SimPlatform>,
}

impl World {
    fn new(seed: u64, script: Script) -> World {
        World::with(seed, script, json!({}))
    }

    fn with(seed: u64, script: Script, options: Value) -> World {
        let sim = SimPlatform::new(seed);
        let server = sim.host(ORIGIN, script);
        let connection = connection(&sim, options);
        World { sim, server, connection }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.sim.run(future)
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.server.borrow_mut().seen)
    }

    fn add(&self) -> Result<CallToolResult> {
        self.run(call(&self.connection, &Cancel::new(), &mut |_| {}))
    }
}

fn connection(sim: &SimPlatform, options: Value) -> Connection<SimPlatform> {
    let mut all = json!({ "name": "calc", "url": "https://calc.test/mcp?key=1" });
    for (name, value) in options.as_object().unwrap() {
        all[name] = value.clone();
    }
    Connection::new(Rc::new(sim.clone()), ServerConfig::read(&all, "servers[0]").unwrap())
}

fn tool(name: &str) -> Tool {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "integer", "x-mcp-header": "A" } } });
    let (mut tools, mut warnings) = (Vec::new(), Vec::new());
    read_tools(vec![json!({ "name": name, "inputSchema": schema })], Era::Modern, &mut tools, &mut warnings);
    tools.remove(0)
}

async fn call(
    connection: &Connection<SimPlatform>,
    cancel: &Cancel,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<CallToolResult> {
    connection.call_tool(&tool("add"), &json!({ "a": 1 }), Millis(1_000), cancel, on_progress).await
}

#[test]
fn a_modern_server_needs_one_probe_and_no_session() {
    let world = World::new(1, Script::new(Era::Modern));
    assert_eq!(world.connection.info().state, State::Idle);
    let result = world.add().unwrap();
    assert_eq!(result.content, [json!({ "type": "text", "text": "{\"a\":1}" })]);
    assert_eq!(world.seen(), ["server/discover", "tools/call"]);
    let info = world.connection.info();
    let link = info.link.unwrap();
    assert_eq!((info.state, link.era, link.session.version.as_str()), (State::Ready, Era::Modern, "2026-07-28"));
    assert_eq!(world.sim.stored(), [("servers/https:%2F%2Fcalc.test%2Fmcp/era".to_owned(), b"modern".to_vec())].into());
    world.run(world.connection.close());
    assert_eq!(world.seen(), [""; 0], "nothing to end");
}

#[test]
fn a_legacy_server_is_greeted_with_its_own_handshake() {
    let world = World::new(1, Script::new(Era::Legacy));
    world.add().unwrap();
    assert_eq!(world.seen(), ["server/discover", "initialize", "notifications/initialized", "tools/call"]);
    let link = world.connection.info().link.unwrap();
    assert_eq!((link.era, link.session.id.as_deref()), (Era::Legacy, Some("session-1")));
    world.add().unwrap();
    assert_eq!(world.seen(), ["tools/call"]);
    world.run(world.connection.close());
    assert_eq!(world.seen(), ["DELETE"]);
    assert_eq!(world.connection.info().state, State::Closed);
    assert_eq!(world.add().unwrap_err().code, Code::Misuse);
    world.run(world.connection.close());
    assert_eq!(world.seen(), [""; 0]);
}

#[test]
fn all_pages_of_tools() {
    for era in [Era::Modern, Era::Legacy] {
        let world = World::new(3, Script::new(era));
        let tools = world.run(world.connection.list_tools(&Cancel::new())).unwrap();
        assert_eq!(tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["add", "echo"]);
        assert_eq!(world.server.borrow().count("tools/list"), 2);
        assert_eq!(world.connection.info().warnings, ["tool without a name left out: it has no name"]);
    }
}

#[test]
fn any_method_is_one_line() {
    let world = World::new(3, Script::new(Era::Modern));
    let (options, cancel, params) = (CallOptions::default(), Cancel::new(), Map::new());
    let ignore = &mut |_| {};
    let error = world.run(world.connection.ask("own/method", &params, &options, &cancel, ignore)).unwrap_err();
    assert_eq!(error.rpc_code, Some(-32601));
    assert_eq!(world.seen(), ["server/discover", "own/method"], "an unknown method refutes nothing");
    let listing = world.run(world.connection.list(List::Prompts, &options, &cancel)).unwrap();
    assert_eq!(listing.into_value(), json!({ "prompts": [] }), "what is neither declared nor known is empty");
    world
        .server
        .borrow_mut()
        .instead
        .push(("tools/list", refuse(404, &json!(4), -32601, "Method not found", Value::Null)));
    let error = world.run(world.connection.list(List::Tools, &options, &cancel)).unwrap_err();
    assert_eq!(error.rpc_code, Some(-32601), "what is declared has to be there");
}

#[test]
fn any_number_of_callers_share_one_attempt() {
    for seed in 0..50 {
        let world = World::new(seed, Script::new(Era::Legacy));
        let cancel = Cancel::new();
        let callers = (0..8).map(|_| world.connection.connect(&cancel));
        let outcomes = world.run(join_all(callers));
        assert!(outcomes.iter().all(|outcome| outcome.is_ok()), "{}", world.sim.report());
        assert_eq!(world.server.borrow().count("initialize"), 1);
    }
}

#[test]
fn a_caller_that_leaves_does_not_take_the_attempt_along() {
    for seed in 0..100 {
        let world = World::new(seed, Script::new(Era::Legacy));
        let impatient = Cancel::new();
        let leave = async {
            world.sim.sleep(Millis(seed % 20)).await;
            impatient.cancel();
        };
        let patient = async {
            world.sim.sleep(Millis(1)).await;
            world.connection.connect(&Cancel::new()).await
        };
        let first = async {
            // Dropped at some point instead of cancelled, as `select` does.
            let left = pin(world.sim.sleep(Millis(seed % 17)));
            select(pin(world.connection.connect(&Cancel::new())), left).await;
        };
        let all = join(join(first, world.connection.connect(&impatient)), join(leave, patient));
        let ((_, cancelled), (_, outcome)) = world.run(all);
        assert_eq!(outcome, Ok(()), "{}", world.sim.report());
        assert!(cancelled.is_ok() || cancelled.is_err_and(|error| error.code == Code::Cancelled));
        // Unless both had left before the patient one came, it is one attempt from beginning to end.
        let gap = seed % 20 <= 1 && seed % 17 <= 1;
        if !gap {
            let seen = world.seen();
            assert_eq!(seen, ["server/discover", "initialize", "notifications/initialized"], "{}", world.sim.report());
        }
        assert_eq!(world.connection.info().state, State::Ready);
    }
}

fn pin<'a, T>(future: impl Future<Output = T> + 'a) -> LocalBoxFuture<'a, T> {
    Box::pin(future)
}

#[test]
fn an_attempt_that_nobody_waits_for_is_aborted() {
    let mut script = Script::new(Era::Modern);
    script.instead.push(("server/discover", Http::Never));
    let world = World::new(1, script);
    let cancel = Cancel::new();
    let leave = async {
        world.sim.sleep(Millis(50)).await;
        assert_eq!(world.connection.info().state, State::Connecting);
        cancel.cancel();
    };
    let (outcome, ()) = world.run(join(world.connection.connect(&cancel), leave));
    assert_eq!(outcome.unwrap_err().message, "connecting to calc: cancelled");
    assert_eq!((world.server.borrow().aborted, world.connection.info().state), (1, State::Idle));
    world.add().unwrap();
}

#[test]
fn a_failed_attempt_is_shown_and_the_next_one_may_succeed() {
    let mut script = Script::new(Era::Modern);
    script.instead.push(("server/discover", Http::text(503, "text/plain", "later").header("retry-after", "3")));
    script.instead.push(("server/discover", Http::Never));
    script.instead.push(("server/discover", Http::text(200, "text/html", "<html>")));
    script.instead.push(("server/discover", Http::text(401, "", "")));
    let world = World::with(1, script, json!({ "timeoutMs": 400 }));
    let messages = [
        "server/discover on calc: the server is overloaded (503)",
        "server/discover on calc: nothing came for 400 ms",
        "server/discover on calc: expected application/json or text/event-stream, got text/html (200)",
        "server/discover on calc: the server wants credentials (401)",
    ];
    for message in messages {
        let error = world.run(world.connection.connect(&Cancel::new())).unwrap_err();
        assert_eq!(error.message, message);
        let info = world.connection.info();
        assert_eq!((info.state, info.error), (State::Failed, Some(error)));
    }
    assert_eq!(world.server.borrow().count("initialize"), 0, "none of this is evidence for an older server");
    world.add().unwrap();
    assert_eq!(world.connection.info().error, None);
}

#[test]
fn whoever_tries_again_at_once_gets_a_new_attempt() {
    let mut script = Script::new(Era::Modern);
    script.instead.push(("server/discover", Http::text(503, "", "")));
    let world = World::new(1, script);
    let cancel = Cancel::new();
    let again = async {
        world.connection.connect(&cancel).await.unwrap_err();
        // The other caller still holds its share of the attempt that failed.
        world.connection.connect(&cancel).await
    };
    let (again, other) = world.run(join(again, world.connection.connect(&cancel)));
    assert_eq!(other.unwrap_err().code, Code::Overloaded);
    assert_eq!(again, Ok(()));
}

#[test]
fn a_refused_preflight_counts_as_an_older_server() {
    let refused = Http::Broken { after: Millis(1), message: "CORS".into() };
    let mut script = Script::new(Era::Legacy);
    script.instead.push(("server/discover", refused.clone()));
    let world = World::new(1, script);
    world.sim.set_cors(true);
    world.add().unwrap();
    assert_eq!(world.connection.info().link.unwrap().era, Era::Legacy);

    let mut script = Script::new(Era::Modern);
    script.instead.push(("server/discover", refused));
    let world = World::new(1, script);
    world.sim.set_cors(false);
    assert_eq!(world.run(world.connection.connect(&Cancel::new())).unwrap_err().code, Code::Network);
    assert_eq!(world.server.borrow().count("initialize"), 0, "here the platform knows that it is no CORS");
}

#[test]
fn the_era_is_remembered_and_a_stale_verdict_heals() {
    for (stored, era, expected) in [
        ("legacy", Era::Legacy, ["initialize", "notifications/initialized", "tools/call"].as_slice()),
        ("legacy", Era::Modern, &["initialize", "server/discover", "tools/call"]),
        ("modern", Era::Legacy, &["server/discover", "initialize", "notifications/initialized", "tools/call"]),
        ("garbage", Era::Modern, &["server/discover", "tools/call"]),
    ] {
        let world = World::new(1, Script::new(era));
        let key = "https:%2F%2Fcalc.test%2Fmcp/era";
        world.run(world.sim.write(vec![Write::put(Space::Servers, key, stored)])).unwrap();
        world.add().unwrap();
        assert_eq!(world.seen(), expected, "{stored}");
        assert_eq!(world.sim.stored()[&format!("servers/{key}")], era.as_str().as_bytes());
    }
}

#[test]
fn a_server_that_changes_its_era_while_connected() {
    for (before, after) in [(Era::Modern, Era::Legacy), (Era::Legacy, Era::Modern)] {
        let world = World::new(1, Script::new(before));
        world.add().unwrap();
        *world.server.borrow_mut() = Script::new(after);
        world.add().unwrap();
        assert_eq!(world.connection.info().link.unwrap().era, after);
        assert_eq!(world.server.borrow().count("tools/call"), 2);
    }
}

#[test]
fn a_network_failure_demotes_nobody() {
    let world = World::new(1, Script::new(Era::Modern));
    world.sim.set_cors(true);
    world.add().unwrap();
    let refused = Http::Broken { after: Millis(1), message: "gone".into() };
    world.server.borrow_mut().instead.push(("tools/call", refused));
    let error = world.add().unwrap_err();
    assert_eq!((error.code, error.maybe_cors, error.retry), (Code::Network, true, crate::error::Retry::Never));
    world.add().unwrap();
    assert_eq!(world.server.borrow().count("initialize"), 0);
    assert_eq!(world.server.borrow().count("server/discover"), 1);
}

#[test]
fn a_lost_session_is_made_anew_once_for_all_calls() {
    for lost in [404, 400] {
        for seed in 0..20 {
            let mut script = Script::new(Era::Legacy);
            script.lost = lost;
            let world = World::new(seed, script);
            world.add().unwrap();
            world.server.borrow_mut().session = 41;
            world.seen();
            let cancel = Cancel::new();
            let calls = (0..5).map(|_| async { call(&world.connection, &cancel, &mut |_| {}).await });
            let results = world.run(join_all(calls));
            assert!(results.iter().all(|result| result.is_ok()), "{results:?}\n{}", world.sim.report());
            let server = world.server.borrow();
            assert_eq!((server.count("initialize"), server.count("tools/call")), (1, 10));
            assert_eq!(world.connection.info().link.unwrap().session.id.as_deref(), Some("session-42"));
        }
    }
}

#[test]
fn a_session_that_is_always_lost_makes_no_storm() {
    let mut script = Script::new(Era::Legacy);
    for _ in 0..100 {
        script.instead.push(("tools/call", Http::text(404, "", "")));
    }
    let world = World::new(1, script);
    let error = world.add().unwrap_err();
    assert_eq!(error.message, "tools/call add on calc: refused (404)");
    let server = world.server.borrow();
    assert_eq!((server.count("initialize"), server.count("tools/call")), (2, 2));
}

#[test]
fn a_modern_server_that_refuses_is_asked_for_its_era_but_not_called_again() {
    let mut script = Script::new(Era::Modern);
    script.instead.push(("tools/call", Http::text(405, "", "")));
    let world = World::new(1, script);
    let error = world.add().unwrap_err();
    assert_eq!(error.message, "tools/call add on calc: refused (405)");
    assert_eq!(world.seen(), ["server/discover", "tools/call", "server/discover"]);
}

#[test]
fn a_session_that_cors_hides_is_explained() {
    let mut script = Script::new(Era::Legacy);
    script.sessions = false;
    for _ in 0..2 {
        script.instead.push((
            "tools/call",
            refuse(400, &Value::Null, -32000, "Bad Request: No valid session ID provided", Value::Null),
        ));
    }
    let world = World::new(1, script);
    let error = world.add().unwrap_err();
    assert!(error.message.ends_with("Access-Control-Expose-Headers: Mcp-Session-Id"), "{error}");
    assert!(error.maybe_cors);
}

#[test]
fn progress_restarts_the_timeout_but_not_for_ever() {
    for era in [Era::Modern, Era::Legacy] {
        for seed in 0..20 {
            let mut script = Script::new(era);
            script.progress = Some((9, Millis(900)));
            let world = World::new(seed, script);
            let mut heard = Vec::new();
            let result =
                world.run(call(&world.connection, &Cancel::new(), &mut |progress| heard.push(progress.progress)));
            assert!(result.is_ok(), "{result:?}\n{}", world.sim.report());
            assert_eq!(heard, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);

            world.server.borrow_mut().progress = Some((20, Millis(900)));
            let error = world.add().unwrap_err();
            assert_eq!(error.message, "tools/call add on calc: still not done after 10000 ms");

            world.server.borrow_mut().progress = Some((1, Millis(1_100)));
            let error = world.add().unwrap_err();
            assert_eq!(
                (error.code, error.message.as_str()),
                (Code::Timeout, "tools/call add on calc: nothing came for 1000 ms")
            );
            let told = world.server.borrow().count("notifications/cancelled");
            assert_eq!(told, if era == Era::Legacy { 2 } else { 0 });
        }
    }
}

#[test]
fn comments_do_not_keep_a_silent_call_alive() {
    let mut script = Script::new(Era::Modern);
    let mut steps = Vec::new();
    for _ in 0..100 {
        steps.extend([Bytes::Wait(Millis(100)), Bytes::Bytes(b": still here\n\n".to_vec())]);
    }
    script.instead.push(("tools/call", Http::events(steps)));
    let world = World::new(1, script);
    world.sim.set_recut(false);
    let error = world.add().unwrap_err();
    assert_eq!(error.message, "tools/call add on calc: nothing came for 1000 ms");
}

#[test]
fn cancel_aborts_and_tells_a_legacy_server() {
    for era in [Era::Modern, Era::Legacy] {
        for seed in 0..60 {
            let mut script = Script::new(era);
            script.progress = Some((5, Millis(30)));
            let world = World::new(seed, script);
            world.run(world.connection.connect(&Cancel::new())).unwrap();
            let cancel = Cancel::new();
            let late = async {
                world.sim.sleep(Millis(seed * 3)).await;
                cancel.cancel();
            };
            let heard = Cell::new(0);
            let mut count = |_| heard.set(heard.get() + 1);
            let (outcome, ()) = world.run(join(call(&world.connection, &cancel, &mut count), late));
            match outcome {
                Ok(_) => assert_eq!(heard.get(), 5),
                Err(error) => {
                    assert_eq!(error.message, "tools/call add on calc: cancelled");
                    let server = world.server.borrow();
                    assert_eq!(server.count("notifications/cancelled"), usize::from(era == Era::Legacy));
                    if era == Era::Legacy {
                        let id = &server.last("tools/call")["id"];
                        assert_eq!(&server.last("notifications/cancelled")["params"]["requestId"], id);
                    }
                }
            }
            world.run(world.connection.connect(&Cancel::new())).unwrap();
        }
    }
}

#[test]
fn a_session_that_was_begun_for_nothing_is_ended() {
    let stalled = || {
        let mut script = Script::new(Era::Legacy);
        script.instead.push(("notifications/initialized", Http::Never));
        World::new(1, script)
    };
    let begun = ["server/discover", "initialize", "notifications/initialized"];
    let world = stalled();
    let cancel = Cancel::new();
    let leave = async {
        world.sim.sleep(Millis(50)).await;
        cancel.cancel();
    };
    let (outcome, ()) = world.run(join(world.connection.connect(&cancel), leave));
    assert_eq!(outcome.unwrap_err().code, Code::Cancelled);
    assert_eq!(world.seen()[..], [&begun[..], &["DELETE"]].concat());

    // Dropped, nobody is there who could wait: it is ended with whatever comes next.
    let world = stalled();
    world.run(async {
        let left = pin(world.sim.sleep(Millis(50)));
        select(pin(world.connection.connect(&Cancel::new())), left).await;
    });
    assert_eq!(world.seen(), begun);
    world.run(world.connection.close());
    assert_eq!(world.seen(), ["DELETE"]);

    let mut script = Script::new(Era::Legacy);
    script.instead.push(("notifications/initialized", Http::text(401, "", "")));
    let world = World::new(1, script);
    assert_eq!(world.run(world.connection.connect(&Cancel::new())).unwrap_err().code, Code::AuthRequired);
    assert_eq!(world.seen()[..], [&begun[..], &["DELETE"]].concat());
}

#[test]
fn telling_of_a_cancel_takes_two_seconds_at_most() {
    let mut script = Script::new(Era::Legacy);
    script.instead.push(("tools/call", Http::Never));
    script.instead.push(("notifications/cancelled", Http::Never));
    let world = World::new(1, script);
    let before = world.sim.elapsed();
    assert_eq!(world.add().unwrap_err().code, Code::Timeout);
    let took = world.sim.elapsed().0 - before.0;
    assert!((3_000..3_100).contains(&took), "{took}");
}

#[test]
fn a_legacy_server_gets_answers_to_its_requests() {
    let mut script = Script::new(Era::Legacy);
    script.progress = Some((1, Millis(10)));
    script.ping = true;
    let world = World::new(1, script);
    world.add().unwrap();
    let server = world.server.borrow();
    let replies: Vec<&Value> = server.bodies.iter().filter(|body| body.get("method").is_none()).collect();
    assert_eq!(
        replies,
        [
            &json!({ "jsonrpc": "2.0", "id": "p1", "result": {} }),
            &json!({ "jsonrpc": "2.0", "id": 7, "error": { "code": -32601, "message": "Method not found" } }),
        ]
    );
}

#[test]
fn closing_aborts_what_is_open() {
    for era in [Era::Modern, Era::Legacy] {
        let mut script = Script::new(era);
        script.progress = Some((5, Millis(300)));
        let world = World::new(1, script);
        let close = async {
            world.sim.sleep(Millis(400)).await;
            world.connection.close().await;
        };
        let (outcome, ()) = world.run(join(call(&world.connection, &Cancel::new(), &mut |_| {}), close));
        let error = outcome.unwrap_err();
        assert_eq!(error.message, "tools/call add on calc: the connection was closed");
        assert_eq!(world.server.borrow().count("DELETE"), usize::from(era == Era::Legacy));
    }
    let mut script = Script::new(Era::Modern);
    script.instead.push(("server/discover", Http::Never));
    let world = World::new(1, script);
    let close = async {
        world.sim.sleep(Millis(400)).await;
        world.connection.close().await;
    };
    let (outcome, ()) = world.run(join(world.connection.connect(&Cancel::new()), close));
    assert_eq!(outcome.unwrap_err().code, Code::Cancelled);
    assert_eq!(world.connection.info().state, State::Closed);
}

#[test]
fn the_token_is_asked_for_before_each_request_and_never_told() {
    let world = World::with(1, Script::new(Era::Modern), json!({ "token": { "$function": 4 } }));
    let calls = Rc::new(Cell::new(0));
    let counter = calls.clone();
    world.sim.function(FunctionId(4), move |argument, _| {
        assert_eq!(argument, &json!({ "server": "calc" }));
        counter.set(counter.get() + 1);
        match counter.get() {
            1 | 2 => AppAnswer::value(Millis(3), json!(format!("t{}", counter.get()))),
            3 => AppAnswer::throws(Millis(3), "s3cret expired"),
            4 => AppAnswer::value(Millis(0), json!("s3cret\n")),
            5 => AppAnswer::value(Millis(0), json!({ "token": "s3cret" })),
            6 => AppAnswer::never(),
            _ => AppAnswer::value(Millis(0), Value::Null),
        }
    });
    world.add().unwrap();
    assert_eq!(world.server.borrow().tokens, ["Bearer t1", "Bearer t2"]);
    let messages = ["the token callback failed", "the token callback returned no usable token"];
    for message in [messages[0], messages[1], messages[1]] {
        let error = world.add().unwrap_err();
        assert_eq!(
            (error.code, error.message.clone()),
            (Code::AuthRequired, format!("tools/call add on calc: {message}"))
        );
    }
    assert_eq!(world.add().unwrap_err().code, Code::Timeout);
    world.add().unwrap();
    assert_eq!(world.server.borrow().tokens.last().unwrap(), "");

    let fixed = World::with(1, Script::new(Era::Legacy), json!({ "token": "t0ken" }));
    fixed.add().unwrap();
    fixed.run(fixed.connection.close());
    assert!(fixed.server.borrow().tokens.iter().all(|token| token == "Bearer t0ken"));
}

#[test]
fn mirrored_arguments_go_to_modern_servers_only() {
    for (era, expected) in [(Era::Modern, Some("1")), (Era::Legacy, None)] {
        let sim = SimPlatform::new(1);
        let mut script = Script::new(era);
        let seen = Rc::new(RefCell::new(None));
        let note = seen.clone();
        sim.host(ORIGIN, move |request: &Request, peer: &mut Peer<'_>| {
            *note.borrow_mut() = request.headers.get("mcp-param-a").map(str::to_owned);
            script.answer(request, peer)
        });
        let connection = connection(&sim, json!({}));
        sim.block_on(call(&connection, &Cancel::new(), &mut |_| {})).unwrap().unwrap();
        assert_eq!(seen.borrow().as_deref(), expected);
    }
}

#[test]
fn whatever_the_network_does_nothing_is_left_behind() {
    for seed in 0..400 {
        let era = if seed % 2 == 0 { Era::Modern } else { Era::Legacy };
        let mut script = Script::new(era);
        script.progress = (seed % 3 == 0).then_some((3, Millis(200)));
        script.ping = seed % 5 == 0;
        let world = World::with(seed, script, json!({ "timeoutMs": 2_000 }));
        world.sim.faults(ORIGIN, crate::sim::Faults::some());
        world.sim.set_cors(seed % 7 == 0);
        let cancel = Cancel::new();
        let early = async {
            world.sim.sleep(Millis(seed * 13 % 3_000)).await;
            if seed % 4 == 0 {
                cancel.cancel();
            }
        };
        let calls = (0..3).map(|_| async { call(&world.connection, &cancel, &mut |_| {}).await });
        let (results, ()) = world.run(join(join_all(calls), early));
        for error in results.into_iter().filter_map(Result::err) {
            assert_ne!(error.code, Code::Misuse, "{}", world.sim.report());
        }
        world.run(world.connection.close());
    }
}
