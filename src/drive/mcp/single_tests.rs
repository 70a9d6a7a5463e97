//! Servers of 2024-11-05, against a scripted one.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use super::*;
use crate::http::{Method, Request};
use crate::mcp::listen::{Change, Filter};
use crate::sim::{Answer as Http, Peer, Server, SimPlatform, Step as Bytes};

const ORIGIN: &str = "https://old.test";

/// A stream cannot be written to once it was handed over here, so each of its messages is announced beforehand: the
/// script of the whole stream follows from what the client is known to send.
struct Oldest {
    endpoint: &'static str,
    /// What comes on each stream after the endpoint.
    streams: Vec<Vec<Bytes>>,
    /// How `initialize` is refused at the server's own URL.
    refusal: u16,
    seen: Vec<String>,
    aborted: u32,
}

impl Server for Oldest {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Http {
        for name in ["mcp-session-id", "mcp-protocol-version", "last-event-id"] {
            if request.headers.get(name).is_some() && request.headers.get("mcp-method").is_none() {
                peer.violation(format!("{name} is of a later transport"));
            }
        }
        if request.method == Method::Get {
            self.seen.push("GET".into());
            if self.streams.is_empty() {
                return Http::text(405, "", "");
            }
            let mut steps = vec![text(&format!(": hi\n\nevent: endpoint\ndata: {}\n\n", self.endpoint))];
            steps.extend(self.streams.remove(0));
            return Http::events(steps);
        }
        if request.url == "https://old.test/sse" {
            return Http::text(self.refusal, "text/html", "Cannot POST /sse");
        }
        if request.url != "https://old.test/messages?s=1" {
            peer.violation(format!("POST {}", request.url));
        }
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        self.seen.push(body["method"].as_str().unwrap_or("response").to_owned());
        if body["method"] == "resources/list" {
            return Http::text(404, "", "");
        }
        Http::text(202, "text/plain", "Accepted")
    }

    fn aborted(&mut self, _: u64) {
        self.aborted += 1;
    }
}

fn text(text: &str) -> Bytes {
    Bytes::Bytes(text.as_bytes().to_vec())
}

fn message(message: Value) -> Bytes {
    text(&format!("event: message\ndata: {message}\n\n"))
}

fn result(id: u64, result: Value) -> Bytes {
    message(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

/// The answer to `initialize`, which is the second request after the probe, or that with another id.
fn hello(id: u64) -> Bytes {
    let capabilities = json!({ "tools": { "listChanged": true } });
    result(id, json!({ "protocolVersion": "2024-11-05", "capabilities": capabilities }))
}

fn said(id: u64, text: &str) -> Bytes {
    result(id, json!({ "content": [{ "type": "text", "text": text }] }))
}

struct World {
    sim: SimPlatform,
    server: Rc<RefCell<Oldest>>,
    connection: Connection<SimPlatform>,
}

impl World {
    fn new(seed: u64, endpoint: &'static str, streams: Vec<Vec<Bytes>>) -> World {
        let sim = SimPlatform::new(seed);
        let server = Oldest { endpoint, streams, refusal: 404, seen: vec![], aborted: 0 };
        let server = sim.host(ORIGIN, server);
        let options = json!({ "name": "old", "url": "https://old.test/sse" });
        let config = ServerConfig::read(&options, "servers[0]").unwrap();
        World { connection: Connection::new(Rc::new(sim.clone()), config), sim, server }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let done = self.sim.block_on(future).unwrap_or_else(|stuck| panic!("{stuck:?}\n{}", self.sim.report()));
        assert_eq!(self.sim.violations(), [""; 0], "{}", self.sim.report());
        done
    }

    fn close(self) {
        self.run(self.connection.close());
        assert_eq!(self.sim.leftovers(), "", "{}", self.sim.report());
    }

    async fn ping(&self) -> Result<Answer> {
        self.connection.request(&Call::new("ping", &[]), Millis(5_000), &Cancel::new(), &mut |_| {}).await
    }
}

#[test]
fn all_answers_come_on_the_one_stream() {
    for endpoint in ["/messages?s=1", "messages?s=1", "https://old.test/messages?s=1"] {
        for seed in 0..20 {
            // In another order than asked, with a request of the server's between them.
            let stream = vec![
                Bytes::Wait(Millis(30)),
                hello(3),
                Bytes::Wait(Millis(50)),
                message(json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" })),
                said(5, "second"),
                said(4, "first"),
                Bytes::Hang,
            ];
            let world = World::new(seed, endpoint, vec![stream]);
            let outcomes = world.run(async {
                world.connection.connect(&Cancel::new()).await.unwrap();
                join_all([world.ping(), world.ping()]).await
            });
            for (outcome, expected) in outcomes.into_iter().zip(["first", "second"]) {
                let Ok(Answer::Complete(result)) = outcome else { panic!("{outcome:?}\n{}", world.sim.report()) };
                assert_eq!(result["content"][0]["text"], expected, "{}", world.sim.report());
            }
            let link = world.connection.info().link.unwrap();
            assert_eq!((link.era, link.session.version.as_str()), (Era::Legacy, "2024-11-05"));
            assert_eq!(
                world.server.borrow().seen,
                ["GET", "initialize", "notifications/initialized", "ping", "ping", "response"],
                "{}",
                world.sim.report()
            );
            world.close();
        }
    }
}

#[test]
fn the_stream_is_the_session() {
    for end in [None, Some(Bytes::Reset)] {
        let mut first = vec![hello(3), Bytes::Wait(Millis(1_000))];
        first.extend(end);
        let again = vec![hello(6), said(7, "again"), Bytes::Hang];
        let world = World::new(1, "/messages?s=1", vec![first, again]);
        let error = world.run(world.ping()).unwrap_err();
        assert_eq!(error.code, Code::Truncated, "{error}");
        assert_eq!(world.connection.info().state, State::Idle);
        world.run(world.ping()).unwrap();
        assert_eq!(world.server.borrow().seen.iter().filter(|seen| *seen == "GET").count(), 2);
        world.close();
    }
}

#[test]
fn an_endpoint_elsewhere_is_refused() {
    for endpoint in ["https://evil.test/messages", "//evil.test/m", ""] {
        let world = World::new(1, endpoint, vec![vec![Bytes::Hang]]);
        let evil = Rc::new(Cell::new(0));
        let count = evil.clone();
        world.sim.host("https://evil.test", move |_: &Request, _: &mut Peer<'_>| {
            count.set(count.get() + 1);
            Http::text(200, "", "")
        });
        let error = world.run(world.connection.connect(&Cancel::new())).unwrap_err();
        assert_eq!(error.status, Some(404), "what the server said to initialize: {error}");
        assert_eq!(evil.get(), 0);
        assert_eq!(world.sim.leftovers(), "", "no stream is left open");
    }
}

#[test]
fn only_refusals_of_the_first_transport_lead_there() {
    for (refusal, looked) in
        [(400, true), (404, true), (405, true), (401, false), (403, false), (500, false), (410, false)]
    {
        let world = World::new(1, "/messages?s=1", vec![]);
        world.server.borrow_mut().refusal = refusal;
        let error = world.run(world.connection.connect(&Cancel::new())).unwrap_err();
        assert_eq!(error.status, Some(refusal));
        assert_eq!(world.server.borrow().seen.contains(&"GET".to_owned()), looked, "{refusal}");
    }
}

#[test]
fn a_stream_that_names_no_endpoint_is_given_up() {
    for stream in [vec![], vec![Bytes::Hang]] {
        let sim = SimPlatform::new(1);
        sim.host(ORIGIN, move |request: &Request, _: &mut Peer<'_>| match request.method {
            Method::Get => Http::events(stream.clone()),
            _ => Http::text(405, "", ""),
        });
        let options = json!({ "name": "old", "url": "https://old.test/sse", "timeoutMs": 3_000 });
        let config = ServerConfig::read(&options, "servers[0]").unwrap();
        let connection = Connection::new(Rc::new(sim.clone()), config);
        let error = sim.block_on(connection.connect(&Cancel::new())).unwrap().unwrap_err();
        assert_eq!(error.status, Some(405));
        assert!(sim.elapsed() <= Millis(3_100));
        assert_eq!(sim.leftovers(), "");
    }
}

#[test]
fn changes_come_on_it_as_well() {
    let changed = message(json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }));
    let first = vec![hello(3), Bytes::Wait(Millis(100)), changed, Bytes::Wait(Millis(30_000))];
    let world = World::new(1, "/messages?s=1", vec![first, vec![hello(5), Bytes::Hang]]);
    let cancel = Cancel::new();
    let told = RefCell::new(Vec::new());
    let mut on_change = |change: Change| told.borrow_mut().push(change);
    let stop = async {
        world.sim.sleep(Millis(60_000)).await;
        cancel.cancel();
    };
    let filter = Filter { tools: true, ..Filter::default() };
    let _ = world.run(join(world.connection.watch(filter.clone(), &cancel, &mut on_change), stop));
    assert_eq!(told.into_inner(), [Change::Watching(filter), Change::Tools, Change::Gap], "{}", world.sim.report());
    world.close();
}

#[test]
fn a_connection_that_is_dropped_leaves_no_stream() {
    let world = World::new(1, "/messages?s=1", vec![vec![hello(3), Bytes::Hang]]);
    world.run(world.connection.connect(&Cancel::new())).unwrap();
    assert_eq!(world.sim.leftovers(), "1 open bodies");
    let World { sim, server, connection } = world;
    drop(connection);
    assert_eq!(sim.leftovers(), "");
    assert!(server.borrow().aborted >= 1);
}
