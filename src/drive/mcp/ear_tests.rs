//! The stream of an older session, where nobody watches.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use futures_util::future::{join, join3};
use serde_json::{Map, Value, json};

use super::*;
use crate::agent::config::{AgentConfig, RunOptions};
use crate::drive::agent::Agent;
use crate::http::{Method, Request};
use crate::mcp::call_options::CallOptions;
use crate::mcp::listen::Filter;
use crate::options::FunctionId;
use crate::sim::{Answer as Http, AppAnswer, Peer, Server, SimPlatform, Step};

const ORIGIN: &str = "https://calc.test";

/// An older server, or a modern one, that says something on its stream.
struct Asking {
    era: Era,
    /// What comes on each stream; then streams that stay silent.
    streams: Vec<Vec<Step>>,
    /// Instead of a stream.
    refusal: Option<u16>,
    /// When each stream was asked for.
    gets: Vec<u64>,
    /// After which event.
    after: Vec<Option<String>>,
    /// Streams that are open now, and the most that ever were.
    open: (u32, u32),
    /// Answers to what it asked.
    replies: Vec<Value>,
    session: u32,
    valid_from: u32,
}

impl Server for Asking {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Http {
        let session = request.headers.get("mcp-session-id").map_or(0, |id| id.parse::<u32>().unwrap());
        let lost = session > 0 && session < self.valid_from;
        match request.method {
            Method::Post => {}
            Method::Get => {
                self.gets.push(peer.now.0);
                self.after.push(request.headers.get("last-event-id").map(str::to_owned));
                if let Some(status) = self.refusal.or(lost.then_some(404)) {
                    return Http::text(status, "", "");
                }
                self.open = (self.open.0 + 1, self.open.1.max(self.open.0 + 1));
                let steps = if self.streams.is_empty() { vec![Step::Hang] } else { self.streams.remove(0) };
                if !matches!(steps.last(), Some(Step::Hang)) {
                    self.open.0 -= 1;
                }
                return Http::events(steps);
            }
            _ => return Http::text(200, "", ""),
        }
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let Some(method) = body["method"].as_str() else {
            self.replies.push(body);
            return Http::text(202, "", "");
        };
        let answer = |result: Value| Http::json(&json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }));
        let capabilities = json!({ "tools": { "listChanged": true } });
        match (method, self.era) {
            ("server/discover", Era::Modern) => answer(json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": capabilities
            })),
            ("server/discover", Era::Legacy) => Http::text(400, "", ""),
            ("initialize", _) => {
                self.session += 1;
                answer(json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities }))
                    .header("mcp-session-id", self.session.to_string())
            }
            ("notifications/initialized", _) => Http::text(202, "", ""),
            _ if lost => Http::text(404, "", ""),
            ("tools/list", _) => {
                let number = json!({ "type": "number" });
                let schema = json!({ "type": "object", "properties": { "a": number, "b": number } });
                answer(json!({ "tools": [{ "name": "add", "description": "Adds.", "inputSchema": schema }] }))
            }
            ("tools/call", _) => answer(json!({ "content": [{ "type": "text", "text": "42" }] })).after(Millis(2_000)),
            _ => answer(json!({ "resultType": "complete" })),
        }
    }

    fn aborted(&mut self, _: u64) {
        self.open.0 = self.open.0.saturating_sub(1);
    }
}

fn message(message: Value) -> Step {
    Step::Bytes(format!("data: {message}\n\n").into_bytes())
}

/// Says everything that a server may, without being asked anything.
fn talk() -> Vec<Step> {
    vec![
        Step::Wait(Millis(500)),
        message(json!({ "jsonrpc": "2.0", "id": "r1", "method": "roots/list" })),
        message(json!({ "jsonrpc": "2.0", "id": 7, "method": "ping" })),
        message(
            json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": 1 } }),
        ),
        Step::Hang,
    ]
}

struct World {
    sim: SimPlatform,
    server: Rc<RefCell<Asking>>,
    connection: Connection<SimPlatform>,
    logged: Rc<Cell<u32>>,
}

fn host(sim: &SimPlatform, era: Era, streams: Vec<Vec<Step>>) -> (Rc<RefCell<Asking>>, Rc<Cell<u32>>) {
    let (gets, after, replies) = (Vec::new(), Vec::new(), Vec::new());
    let server = Asking { era, streams, refusal: None, gets, after, open: (0, 0), replies, session: 0, valid_from: 0 };
    let logged = Rc::new(Cell::new(0));
    let counter = logged.clone();
    sim.function(FunctionId(1), move |_, _| {
        counter.set(counter.get() + 1);
        AppAnswer::value(Millis(0), Value::Null)
    });
    (sim.host(ORIGIN, server), logged)
}

fn roots() -> Value {
    json!({ "roots": [{ "uri": "file:///a" }] })
}

impl World {
    fn new(era: Era, streams: Vec<Vec<Step>>, more: Value) -> World {
        let sim = SimPlatform::new(3);
        let (server, logged) = host(&sim, era, streams);
        let mut options = json!({ "name": "calc", "url": "https://calc.test/mcp" });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config = ServerConfig::read(&options, "servers[0]").unwrap();
        World { connection: Connection::new(Rc::new(sim.clone()), config), sim, server, logged }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.sim.run(future)
    }

    /// Stands by from the connect to the close, that many milliseconds later.
    async fn stand_by(&self, ms: u64) {
        self.connection.connect(&Cancel::new()).await.unwrap();
        let closing = async {
            self.sim.sleep(Millis(ms)).await;
            self.connection.close().await;
        };
        join(self.connection.stand_by(), closing).await;
    }

    async fn ask(&self) {
        let (params, options, cancel) = (Map::new(), CallOptions::default(), Cancel::new());
        self.connection.ask("x/own", &params, &options, &cancel, &mut |_| {}).await.unwrap();
    }

    fn gets(&self) -> Vec<u64> {
        self.server.borrow().gets.clone()
    }
}

#[test]
fn an_older_server_may_ask_and_log_while_no_request_is_open() {
    let world = World::new(Era::Legacy, vec![talk()], roots());
    world.run(world.stand_by(3_600_000));
    let replies = world.server.borrow().replies.clone();
    let answered = json!({ "jsonrpc": "2.0", "id": "r1", "result": { "roots": [{ "uri": "file:///a" }] } });
    assert!(replies.contains(&answered), "{replies:?}");
    assert!(replies.contains(&json!({ "jsonrpc": "2.0", "id": 7, "result": {} })), "{replies:?}");
    assert_eq!((world.gets().len(), world.logged.get()), (1, 0), "nobody listens to the log");
    assert_eq!(world.server.borrow().open, (0, 1), "the close ends it");
    let world = World::new(Era::Legacy, vec![talk()], json!({ "onLog": { "$function": 1 } }));
    world.run(world.stand_by(5_000));
    assert_eq!(world.logged.get(), 1);
}

#[test]
fn a_session_has_one_stream_whoever_wants_it() {
    let world = World::new(Era::Legacy, vec![], roots());
    let cancel = Cancel::new();
    world.run(async {
        world.ask().await;
        assert_eq!(world.server.borrow().open, (0, 1), "it ends with the request where nobody stands by");
        let more = async {
            let filter = Filter { tools: true, ..Filter::default() };
            let _ = join(world.connection.watch(filter, &cancel, &mut |_| {}), async {
                world.sim.sleep(Millis(5_000)).await;
                cancel.cancel();
            })
            .await;
            world.ask().await;
        };
        let requests = async {
            for _ in 0..10 {
                world.ask().await;
                world.sim.sleep(Millis(300)).await;
            }
        };
        join3(world.stand_by(60_000), more, requests).await;
    });
    assert_eq!((world.gets().len(), world.server.borrow().open), (2, (0, 1)), "{}", world.sim.report());
}

#[test]
fn whoever_refuses_the_stream_is_not_asked_for_it_again() {
    for status in [405, 404, 401, 403, 501] {
        let world = World::new(Era::Legacy, vec![], roots());
        world.server.borrow_mut().refusal = Some(status);
        world.run(async {
            let requests = async {
                for _ in 0..5 {
                    world.ask().await;
                    world.connection.stand_by().await;
                }
            };
            join(requests, world.stand_by(100_000)).await;
        });
        assert_eq!(world.gets().len(), 1, "{status}\n{}", world.sim.report());
    }
}

#[test]
fn a_stream_that_ends_is_opened_again_without_a_storm() {
    // Where there are ids, each is asked for what was missed and then opened.
    for (script, each) in [(vec![], 1), (talk()[..2].to_vec(), 1), (vec![primed("1")], 2)] {
        let world = World::new(Era::Legacy, vec![script; 1_000], roots());
        world.run(world.stand_by(1_800_000));
        let gets = world.gets();
        let count = |minute: u64| gets.iter().filter(|at| **at / 60_000 == minute).count();
        assert!((2..=9 * each).contains(&count(0)), "{gets:?}");
        assert!((1..29).all(|minute| (1..=3 * each).contains(&count(minute))), "{gets:?}");
    }
}

fn primed(id: &str) -> Step {
    Step::Bytes(format!("id: {id}\ndata:\n\n").into_bytes())
}

#[test]
fn what_was_asked_while_the_stream_was_broken_is_answered_and_the_stream_is_a_new_one() {
    let form = json!({ "type": "object", "properties": {} });
    let question = json!({
        "jsonrpc": "2.0", "id": "e1", "method": "elicitation/create",
        "params": { "message": "Where?", "requestedSchema": form }
    });
    // A server that says nothing any more on a stream that was taken up.
    let missed = vec![Step::Bytes(format!("id: 2\ndata: {question}\n\n").into_bytes()), Step::Hang];
    let ping = message(json!({ "jsonrpc": "2.0", "id": 7, "method": "ping" }));
    let later = vec![Step::Wait(Millis(500)), ping, Step::Wait(Millis(60_000))];
    let scripts = vec![vec![primed("1"), Step::Wait(Millis(5_000))], missed, later];
    let world = World::new(Era::Legacy, scripts, json!({ "onInput": { "$function": 2 } }));
    world
        .sim
        .function(FunctionId(2), |_, _| AppAnswer::value(Millis(15_000), json!({ "action": "accept", "content": {} })));
    world.run(world.stand_by(120_000));
    let server = world.server.borrow();
    let answered = json!({ "jsonrpc": "2.0", "id": "e1", "result": { "action": "accept", "content": {} } });
    assert_eq!(server.replies, [answered, json!({ "jsonrpc": "2.0", "id": 7, "result": {} })]);
    let after: Vec<Option<&str>> = server.after.iter().map(Option::as_deref).collect();
    assert_eq!(after, [None, Some("1"), None, Some("2"), None], "{}", world.sim.report());
    assert_eq!(server.open, (0, 1), "one at a time");
}

#[test]
fn what_somebody_thinks_about_when_the_stream_breaks_is_asked_again() {
    let form = json!({ "type": "object", "properties": {} });
    let question = |id: &str| {
        message(json!({
            "jsonrpc": "2.0", "id": id, "method": "elicitation/create",
            "params": { "message": "Where?", "requestedSchema": form }
        }))
    };
    for forgotten in [false, true] {
        let first = vec![question("e1"), Step::Wait(Millis(5_000))];
        let second = vec![Step::Wait(Millis(50)), question("e2"), Step::Hang];
        let mut scripts = vec![first, second];
        if forgotten {
            // For the request that begins a session anew.
            scripts.insert(1, vec![Step::Hang]);
        }
        let world = World::new(Era::Legacy, scripts, json!({ "onInput": { "$function": 2 } }));
        let asked = Rc::new(Cell::new(0));
        let count = asked.clone();
        world.sim.function(FunctionId(2), move |_, _| {
            count.set(count.get() + 1);
            AppAnswer::value(Millis(15_000), json!({ "action": "accept", "content": {} }))
        });
        let ending = async {
            world.sim.sleep(Millis(1_000)).await;
            if forgotten {
                world.server.borrow_mut().valid_from = 2;
                world.sim.sleep(Millis(10_000)).await;
                world.ask().await;
                world.connection.stand_by().await;
            }
        };
        world.run(join(world.stand_by(120_000), ending));
        let replies: Vec<Value> = world.server.borrow().replies.iter().map(|reply| reply["id"].clone()).collect();
        let (expected, times) = if forgotten { (vec![json!("e2")], 2) } else { (vec![json!("e1"), json!("e2")], 3) };
        assert_eq!((replies, asked.get()), (expected, times), "{}", world.sim.report());
    }
}

#[test]
fn nothing_is_opened_where_there_is_nothing_to_hear() {
    for (era, options) in [(Era::Modern, roots()), (Era::Legacy, json!({}))] {
        let world = World::new(era, vec![], options);
        world.run(async {
            world.connection.stand_by().await;
            world.ask().await;
            world.connection.stand_by().await;
        });
        assert_eq!(world.gets(), [0; 0]);
    }
}

#[test]
fn a_lost_session_is_made_anew_by_whoever_asks_and_not_by_the_ear() {
    let world = World::new(Era::Legacy, vec![vec![Step::Wait(Millis(30_000))]], roots());
    world.run(async {
        world.connection.connect(&Cancel::new()).await.unwrap();
        join(world.connection.stand_by(), async {
            world.sim.sleep(Millis(10_000)).await;
            world.server.borrow_mut().valid_from = 2;
        })
        .await;
        world.sim.sleep(Millis(600_000)).await;
        assert_eq!((world.server.borrow().session, world.gets().len()), (1, 2), "{}", world.sim.report());
        world.ask().await;
        world.stand_by(1_000).await;
    });
    assert_eq!((world.server.borrow().session, world.server.borrow().open.1), (2, 1), "{}", world.sim.report());
}

#[test]
fn an_agent_listens_while_a_run_goes_on() {
    let sim = SimPlatform::new(3);
    let (server, logged) = host(&sim, Era::Legacy, vec![talk()]);
    let options = json!({
        "model": { "provider": "offline" }, "approval": "never",
        "servers": [{ "name": "calc", "url": "https://calc.test/mcp", "onLog": { "$function": 1 } }]
    });
    let agent = Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap());
    let (handle, driven) = agent.run("What is 17 + 25?".into(), RunOptions::default());
    let (_, end) = sim.block_on(join(driven, handle.terminal())).unwrap();
    assert!(end.contains("42"), "{end}");
    assert_eq!((logged.get(), server.borrow().open), (1, (0, 1)), "{}", sim.report());
    assert_eq!(sim.leftovers(), "", "{}", sim.report());
}

#[test]
fn what_is_asked_on_the_stream_during_a_run_is_put_to_its_reader() {
    let sim = SimPlatform::new(3);
    let form = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let asked = message(json!({
        "jsonrpc": "2.0", "id": "e1", "method": "elicitation/create",
        "params": { "message": "Where?", "requestedSchema": form }
    }));
    let (server, _) = host(&sim, Era::Legacy, vec![vec![Step::Wait(Millis(500)), asked, Step::Hang]]);
    let options = json!({
        "model": { "provider": "offline" }, "approval": "never",
        "servers": [{ "name": "calc", "url": "https://calc.test/mcp" }]
    });
    let agent = Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap());
    let (handle, driven) = agent.run("What is 17 + 25?".into(), RunOptions::default());
    handle.set_answerable(true);
    let mut questions = 0;
    let read = async {
        while let Some(batch) = handle.next_events().await {
            for event in serde_json::from_str::<Vec<Value>>(&batch).unwrap() {
                if event["type"] == "input_request" {
                    questions += 1;
                    let answer = json!({ "action": "accept", "content": { "city": "Oslo" } });
                    handle.answer(event["id"].as_str().unwrap(), answer).unwrap();
                }
            }
        }
    };
    sim.block_on(join(driven, read)).unwrap();
    let result = json!({ "action": "accept", "content": { "city": "Oslo" } });
    assert_eq!(server.borrow().replies, [json!({ "jsonrpc": "2.0", "id": "e1", "result": result })]);
    assert_eq!((questions, server.borrow().open), (1, (0, 1)), "{}", sim.report());
    assert_eq!(sim.leftovers(), "", "{}", sim.report());
}
