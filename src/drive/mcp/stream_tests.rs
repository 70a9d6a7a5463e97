//! Streams of older servers that end early, against a scripted server.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use futures_util::future::join;
use serde_json::{Value, json};

use super::*;
use crate::http::{Method, Request};
use crate::mcp::tools::read_tools;
use crate::mcp::types::Progress;
use crate::sim::{Answer as Http, Clock, Peer, Server, SimPlatform, Step as Bytes};

const ORIGIN: &str = "https://calc.test";

/// A legacy server whose streams are scripted.
struct Script {
    version: &'static str,
    /// Answers to `tools/call`, one after the other; `$ID` in them becomes the id of the call.
    calls: Vec<Http>,
    /// Answers to GET, one after the other, then 405.
    gets: Vec<Http>,
    /// Ids of the calls.
    ids: Vec<Value>,
    /// When each GET came, and its `Last-Event-ID`.
    asked: Vec<(u64, String)>,
    methods: Vec<String>,
}

impl Script {
    fn new(calls: Vec<Http>, gets: Vec<Http>) -> Script {
        Script { version: "2025-11-25", calls, gets, ids: Vec::new(), asked: Vec::new(), methods: Vec::new() }
    }

    fn next(answers: &mut Vec<Http>, ids: &[Value]) -> Http {
        if answers.is_empty() {
            return Http::text(405, "", "");
        }
        let mut answer = answers.remove(0);
        if let Http::Head { body, .. } = &mut answer {
            for step in body {
                if let Bytes::Bytes(bytes) = step {
                    let mut text = String::from_utf8(bytes.clone()).unwrap();
                    for (at, id) in ids.iter().enumerate() {
                        text = text.replace(&format!("$ID{at}"), &id.to_string());
                    }
                    *bytes = text.into_bytes();
                }
            }
        }
        answer
    }
}

impl Server for Script {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Http {
        let header = |name: &str| request.headers.get(name);
        if request.method != Method::Post {
            if header("mcp-session-id") != Some("s1") || header("accept") != Some("text/event-stream") {
                peer.violation("GET without session or accept");
            }
            if header("mcp-protocol-version").is_some() != (self.version >= "2025-06-18") {
                peer.violation("GET with the wrong revision header");
            }
            if request.method == Method::Delete {
                return Http::text(200, "", "");
            }
            self.asked.push((peer.now.0, header("last-event-id").unwrap_or("").to_owned()));
            return Script::next(&mut self.gets, &self.ids);
        }
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let method = body["method"].as_str().unwrap_or("response").to_owned();
        self.methods.push(method.clone());
        match method.as_str() {
            "server/discover" => Http::text(400, "", ""),
            "initialize" => {
                let result = json!({ "protocolVersion": self.version, "capabilities": {} });
                Http::json(&json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }))
                    .header("mcp-session-id", "s1")
            }
            "tools/call" => {
                self.ids.push(body["id"].clone());
                Script::next(&mut self.calls, &self.ids)
            }
            _ => Http::text(202, "", ""),
        }
    }
}

fn bytes(text: impl Into<String>) -> Bytes {
    Bytes::Bytes(text.into().into_bytes())
}

/// An event with the answer to the call of that number.
fn answer(call: usize, event: &str, text: &str) -> Bytes {
    let result = json!({ "content": [{ "type": "text", "text": text }] });
    bytes(format!("id: {event}\ndata: {{\"jsonrpc\":\"2.0\",\"id\":$ID{call},\"result\":{result}}}\n\n"))
}

fn progress(event: &str, n: u32) -> Bytes {
    let method = "notifications/progress";
    let params = format!("{{\"progressToken\":$ID0,\"progress\":{n}}}");
    bytes(format!("id: {event}\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"{method}\",\"params\":{params}}}\n\n"))
}

struct World {
    sim: SimPlatform,
    server: Rc<RefCell<Script>>,
    connection: Connection<SimPlatform>,
}

impl World {
    fn new(seed: u64, script: Script) -> World {
        let sim = SimPlatform::new(seed);
        let server = sim.host(ORIGIN, script);
        let options = json!({ "name": "calc", "url": "https://calc.test/mcp" });
        let config = ServerConfig::read(&options, "servers[0]").unwrap();
        World { connection: Connection::new(Rc::new(sim.clone()), config), sim, server }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.sim.run(future)
    }

    /// What the call gives, and the progress that it told of.
    async fn call(&self, timeout: u64) -> (Result<String>, Vec<f64>) {
        let tool = json!({ "name": "add", "inputSchema": { "type": "object" } });
        let (mut tools, mut warnings) = (Vec::new(), Vec::new());
        read_tools(vec![tool], Era::Legacy, &mut tools, &mut warnings);
        let mut heard = Vec::new();
        let mut on_progress = |progress: Progress| heard.push(progress.progress);
        let (input, cancel) = (json!({}), Cancel::new());
        let called = self.connection.call_tool(&tools[0], &input, Millis(timeout), &cancel, &mut on_progress);
        let text = called.await.map(|result| result.content[0]["text"].as_str().unwrap().to_owned());
        (text, heard)
    }

    /// Waits between the GETs.
    fn waits(&self) -> Vec<u64> {
        self.server.borrow().asked.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
    }

    fn calls(&self) -> usize {
        self.server.borrow().methods.iter().filter(|method| *method == "tools/call").count()
    }
}

#[test]
fn a_stream_that_the_server_closed_is_taken_up_when_it_said() {
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        for seed in 0..20 {
            let first = vec![Bytes::Wait(Millis(30)), bytes("id: e1\nretry: 500\ndata: \n\n"), progress("e2", 1)];
            let again = vec![progress("e3", 2), answer(0, "e4", "3"), answer(0, "e5", "twice"), Bytes::Hang];
            let mut script = Script::new(vec![Http::events(first)], vec![Http::events(again)]);
            script.version = version;
            let world = World::new(seed, script);
            world.sim.set_recut(seed > 0);
            world.run(world.connection.connect(&Cancel::new())).unwrap();
            let before = world.sim.elapsed().0;
            let (text, heard) = world.run(world.call(60_000));
            assert_eq!((text, heard), (Ok("3".to_owned()), vec![1.0, 2.0]), "{}", world.sim.report());
            let asked = world.server.borrow().asked.clone();
            assert_eq!(asked.len(), 1, "nothing after the answer");
            assert_eq!(asked[0].1, "e2");
            if seed == 0 {
                assert_eq!(asked[0].0 - before, 530, "{}", world.sim.report());
            }
            assert_eq!(world.calls(), 1);
        }
    }
}

#[test]
fn a_priming_event_alone_is_enough_also_when_the_connection_breaks() {
    for end in [None, Some(Bytes::Reset)] {
        let mut first = vec![bytes("id: p\ndata:\n\n"), bytes("id: cut\ndata: {\"jsonrpc\"")];
        first.extend(end);
        let script = Script::new(
            vec![Http::events(first)],
            vec![
                Http::Broken { after: Millis(5), message: "down".into() },
                Http::text(503, "", "").header("retry-after", "4"),
                Http::events(vec![]),
                Http::events(vec![answer(0, "e", "3")]),
            ],
        );
        let world = World::new(3, script);
        assert_eq!(world.run(world.call(60_000)).0, Ok("3".to_owned()), "{}", world.sim.report());
        let asked = world.server.borrow().asked.clone();
        assert!(asked.iter().all(|(_, id)| id == "p"), "{asked:?}");
        assert!(world.waits()[1] >= 4_000);
        assert_eq!(world.calls(), 1);
    }
}

#[test]
fn what_cannot_be_taken_up_is_truncated_and_never_sent_twice() {
    let cut = || Http::events(vec![bytes("id: p\nretry: 5\ndata:\n\n"), Bytes::Reset]);
    for (gets, asked) in [
        (vec![], 1),
        (vec![Http::text(404, "", "")], 1),
        (vec![Http::text(200, "text/html", "<html>")], 1),
        (vec![Http::text(503, "", ""); 9], 5),
    ] {
        let world = World::new(1, Script::new(vec![cut()], gets));
        let error = world.run(world.call(600_000)).0.unwrap_err();
        assert_eq!(error.code, Code::Truncated);
        assert_eq!((world.server.borrow().asked.len(), world.calls()), (asked, 1));
    }
    let no_id = Http::events(vec![bytes(": hi\n\nretry: 5\ndata:\n\n")]);
    let world = World::new(1, Script::new(vec![no_id], vec![]));
    assert_eq!(world.run(world.call(60_000)).0.unwrap_err().code, Code::Truncated);
    assert_eq!(world.server.borrow().asked, []);
}

#[test]
fn a_server_that_closes_at_once_is_not_stormed() {
    for clock in [Clock::Normal, Clock::Still] {
        let prime = |n: u32| Http::events(vec![bytes(format!("id: {n}\nretry: 0\ndata:\n\n"))]);
        let world = World::new(1, Script::new(vec![prime(0)], (1..1_000).map(prime).collect()));
        world.sim.set_clock(clock);
        let error = world.run(world.call(120_000)).0.unwrap_err();
        assert_eq!(error.code, Code::Timeout);
        let asked = &world.server.borrow().asked;
        let count = |minute: u64| asked.iter().filter(|(at, _)| at / 60_000 == minute).count();
        assert!(count(0) <= 8, "{asked:?}");
        assert!((1..20).all(|minute| count(minute) <= 3), "{asked:?}");
        assert!(asked.len() > 10, "{asked:?}");
    }
}

#[test]
fn a_wait_that_the_server_asks_for_is_no_silence() {
    let first = vec![bytes("id: p\nretry: 5000\ndata:\n\n")];
    let script = Script::new(vec![Http::events(first)], vec![Http::events(vec![answer(0, "e", "3")])]);
    let world = World::new(1, script);
    assert_eq!(world.run(world.call(1_000)).0, Ok("3".to_owned()));
}

#[test]
fn answers_replayed_on_the_wrong_stream_find_their_calls() {
    for seed in 0..30 {
        // Both streams end early; the first to come back gets both answers, in the other order, and one twice.
        let cut = |id: &str| Http::events(vec![bytes(format!("id: {id}\nretry: 100\ndata:\n\n"))]);
        let all = vec![answer(1, "r1", "second"), answer(1, "r2", "again"), answer(0, "r3", "first"), Bytes::Hang];
        let script = Script::new(vec![cut("a"), cut("b")], vec![Http::events(all), Http::events(vec![Bytes::Hang])]);
        let world = World::new(seed, script);
        world.run(world.connection.connect(&Cancel::new())).unwrap();
        let later = async {
            world.sim.sleep(Millis(40)).await;
            world.call(5_000).await.0
        };
        let ((first, _), second) = world.run(join(world.call(5_000), later));
        assert_eq!((first, second), (Ok("first".to_owned()), Ok("second".to_owned())), "{}", world.sim.report());
        assert_eq!(world.calls(), 2);
    }
}
