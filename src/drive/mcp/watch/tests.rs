//! Watches against scripted servers of both eras.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use crate::cache::CacheConfig;
use crate::drive::cache::Cache;
use crate::drive::mcp::Connection;
use crate::drive::server::Server as AgentServer;
use crate::drive::wait::Cancel;
use crate::error::{Code, Result};
use crate::http::{Method, Request};
use crate::mcp::call_options::CallOptions;
use crate::mcp::config::ServerConfig;
use crate::mcp::era::Era;
use crate::mcp::listen::{Change, Filter};
use crate::mcp::lists::List;
use crate::platform::Platform;
use crate::sim::{Answer as Http, Clock, Peer, Server, SimPlatform, Step};
use crate::time::Millis;

pub(super) const ORIGIN: &str = "https://calc.test";

/// What comes on one stream, after its acknowledgement; `$ID` becomes the id of the subscription.
pub(super) type Script = Vec<Step>;

pub(super) struct Told {
    pub(super) era: Era,
    capabilities: Value,
    /// One for each stream that is opened; then streams that stay silent.
    pub(super) streams: Vec<Script>,
    /// Answers instead of a stream, first ones first.
    instead: Vec<Http>,
    session: u32,
    /// Sessions before this one are unknown.
    valid_from: u32,
    /// When each stream was opened, and with what: the filter, or `Last-Event-ID`.
    pub(super) opened: Vec<(u64, Value)>,
    /// Every list of tools changes then, in order; whoever has a stream is told.
    pub(super) changes: Vec<u64>,
    /// Methods of other requests, with the URI that they name.
    pub(super) seen: Vec<String>,
    pub(super) aborted: u32,
    tools: Vec<&'static str>,
    /// How long its answers are fresh, as it says.
    ttl: Option<u64>,
}

impl Told {
    pub(super) fn new(era: Era, streams: Vec<Script>) -> Told {
        let capabilities = json!({
            "tools": { "listChanged": true }, "prompts": {}, "resources": { "subscribe": true, "listChanged": true }
        });
        Told {
            era,
            capabilities,
            streams,
            instead: vec![],
            session: 0,
            valid_from: 0,
            opened: vec![],
            changes: vec![],
            seen: vec![],
            aborted: 0,
            tools: vec!["add"],
            ttl: None,
        }
    }

    /// What is still to come, for a stream that is there from then on.
    fn changes_from(&self, now: u64) -> Script {
        let mut at = now;
        let mut steps = Vec::new();
        for change in self.changes.iter().filter(|change| **change > now) {
            steps.extend([wait(change - at), changed("tools")]);
            at = *change;
        }
        steps.push(Step::Hang);
        steps
    }

    fn stream(&mut self, id: &Value, honoured: Option<&Value>, now: u64, with: Value) -> Http {
        self.opened.push((now, with));
        if !self.instead.is_empty() {
            return self.instead.remove(0);
        }
        let mut steps = match honoured {
            Some(honoured) => {
                let mut honoured = honoured.clone();
                honoured.as_object_mut().unwrap().remove("promptsListChanged");
                let params =
                    json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": id }, "notifications": honoured });
                vec![Step::Wait(Millis(10)), notice("notifications/subscriptions/acknowledged", params)]
            }
            None => vec![],
        };
        let script = match self.streams.is_empty() {
            false => self.streams.remove(0),
            true => self.changes_from(if honoured.is_some() { now + 10 } else { now }),
        };
        steps.extend(script.into_iter().map(|step| match step {
            Step::Bytes(bytes) => {
                let text = String::from_utf8(bytes).unwrap().replace("\"$ID\"", &id.to_string());
                Step::Bytes(text.into_bytes())
            }
            step => step,
        }));
        Http::events(steps)
    }
}

impl Server for Told {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Http {
        let session = request.headers.get("mcp-session-id").map(|id| id.parse::<u32>().unwrap());
        let lost = session.is_some_and(|session| session < self.valid_from);
        match request.method {
            Method::Get if lost => return Http::text(404, "", ""),
            Method::Get | Method::Knock => {
                let last = request.headers.get("last-event-id").map_or(Value::Null, Value::from);
                return self.stream(&Value::Null, None, peer.now.0, last);
            }
            Method::Delete => return Http::text(200, "", ""),
            Method::Post => {}
        }
        let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let method = body["method"].as_str().unwrap_or("response");
        let params = &body["params"];
        let result = match (method, self.era) {
            ("server/discover", Era::Modern) => {
                json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": self.capabilities })
            }
            ("subscriptions/listen", Era::Modern) => {
                return self.stream(
                    &body["id"],
                    Some(&params["notifications"]),
                    peer.now.0,
                    params["notifications"].clone(),
                );
            }
            ("server/discover", Era::Legacy) => return Http::text(400, "", ""),
            ("initialize", Era::Legacy) => {
                self.session += 1;
                let result = json!({ "protocolVersion": "2025-11-25", "capabilities": self.capabilities });
                return Http::json(&json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }))
                    .header("mcp-session-id", self.session.to_string());
            }
            ("notifications/initialized", _) => return Http::text(202, "", ""),
            _ if lost => return Http::text(404, "", ""),
            ("tools/list", _) => {
                let tool = |name: &&str| json!({ "name": name, "inputSchema": { "type": "object" } });
                json!({ "tools": self.tools.iter().map(tool).collect::<Vec<_>>() })
            }
            ("resources/list", _) => json!({ "resources": [] }),
            _ => json!({}),
        };
        let result = match (result, self.ttl) {
            (Value::Object(mut result), Some(ttl)) => {
                result.insert("ttlMs".to_owned(), ttl.into());
                Value::Object(result)
            }
            (result, _) => result,
        };
        let uri = params["uri"].as_str().unwrap_or("");
        self.seen.push([method, uri].join(" ").trim().to_owned());
        if uri == "r:bad" {
            return Http::json(
                &json!({ "jsonrpc": "2.0", "id": body["id"], "error": { "code": -32002, "message": "no" } }),
            );
        }
        Http::json(&json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }))
    }

    fn aborted(&mut self, _: u64) {
        self.aborted += 1;
    }
}

fn notice(method: &str, params: Value) -> Step {
    let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
    Step::Bytes(format!("data: {message}\n\n").into_bytes())
}

pub(super) fn changed(what: &str) -> Step {
    let params = json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": "$ID" } });
    notice(&format!("notifications/{what}/list_changed"), params)
}

fn updated(uri: &str) -> Step {
    notice("notifications/resources/updated", json!({ "uri": uri }))
}

pub(super) fn wait(ms: u64) -> Step {
    Step::Wait(Millis(ms))
}

pub(super) fn filter(value: Value) -> Filter {
    Filter::read(&value, "filter").unwrap()
}

struct World {
    sim: SimPlatform,
    server: Rc<RefCell<Told>>,
    connection: Connection<SimPlatform>,
}

impl World {
    fn new(seed: u64, server: Told) -> World {
        let sim = SimPlatform::new(seed);
        let server = sim.host(ORIGIN, server);
        let options = json!({ "name": "calc", "url": "https://calc.test/mcp" });
        let config = ServerConfig::read(&options, "servers[0]").unwrap();
        World { connection: Connection::new(Rc::new(sim.clone()), config), sim, server }
    }

    fn cache(&self) -> Rc<Cache<SimPlatform>> {
        Rc::new(Cache::new(Rc::new(self.sim.clone()), CacheConfig::default()))
    }

    fn server(&self, config: ServerConfig) -> AgentServer<SimPlatform> {
        AgentServer::new(Rc::new(self.sim.clone()), config, self.cache())
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.sim.run(future)
    }

    /// What a watch is told from one instant to another, and how it ends.
    async fn told(&self, wanted: Value, from: u64, to: u64) -> (Vec<String>, Result<()>) {
        self.sim.sleep(Millis(from)).await;
        let cancel = Cancel::new();
        let told = RefCell::new(Vec::new());
        let mut on_change = |change: Change| told.borrow_mut().push(short(&change));
        let end = async {
            self.sim.sleep(Millis(to - from)).await;
            cancel.cancel();
        };
        let (outcome, ()) = join(self.connection.watch(filter(wanted), &cancel, &mut on_change), end).await;
        (told.into_inner(), outcome)
    }

    fn watch(&self, wanted: Value, to: u64) -> Vec<String> {
        let (told, outcome) = self.run(self.told(wanted, 0, to));
        assert_eq!(outcome.unwrap_err().code, Code::Cancelled, "{}", self.sim.report());
        told
    }

    fn opened(&self) -> Vec<Value> {
        self.server.borrow().opened.iter().map(|(_, with)| with.clone()).collect()
    }
}

pub(super) fn short(change: &Change) -> String {
    match change {
        Change::Watching(filter) => format!("watching {}", filter.to_params()),
        Change::Resource(uri) => uri.clone(),
        change => change.to_value()["type"].as_str().unwrap().to_owned(),
    }
}

#[test]
fn a_modern_server_tells_what_it_acknowledged() {
    for seed in 0..30 {
        let script = vec![wait(5), changed("tools"), changed("prompts"), updated("r:1"), updated("r:2"), Step::Hang];
        let world = World::new(seed, Told::new(Era::Modern, vec![script]));
        let told = world.watch(json!({ "tools": true, "prompts": true, "uris": ["r:1"] }), 86_400_000);
        let watching = r#"watching {"resourceSubscriptions":["r:1"],"toolsListChanged":true}"#;
        // What it did not acknowledge it tells all the same; that does no harm.
        assert_eq!(told[1..], ["tools_changed", "prompts_changed", "r:1"], "{}", world.sim.report());
        let told: Value = serde_json::from_str(told[0].strip_prefix("watching ").unwrap()).unwrap();
        let expected: Value = serde_json::from_str(watching.strip_prefix("watching ").unwrap()).unwrap();
        assert_eq!(told, expected);
        assert_eq!(world.opened().len(), 1, "a day of silence is no death");
        assert_eq!(world.server.borrow().aborted, 1, "a cancel aborts");
    }
}

#[test]
fn streams_that_end_are_opened_again_with_a_gap() {
    for era in [Era::Modern, Era::Legacy] {
        for end in [vec![], vec![Step::Reset]] {
            let mut first = vec![wait(30_000), changed("tools")];
            first.extend(end);
            let world = World::new(1, Told::new(era, vec![first, vec![wait(50), changed("tools"), Step::Hang]]));
            let told = world.watch(json!({ "tools": true }), 60_000);
            assert_eq!(told[1..], ["tools_changed", "gap", "tools_changed"], "{}", world.sim.report());
            assert_eq!(world.opened().len(), 2);
        }
    }
}

#[test]
fn a_graceful_end_is_followed_by_another_stream() {
    let result = json!({ "jsonrpc": "2.0", "id": "$ID", "result": { "resultType": "complete" } });
    let end = Step::Bytes(format!("data: {result}\n\n").into_bytes());
    let world = World::new(1, Told::new(Era::Modern, vec![vec![wait(100), end, Step::Hang]]));
    assert_eq!(world.watch(json!({ "tools": true }), 60_000)[1..], ["gap"]);
    assert_eq!(world.opened().len(), 2);
}

#[test]
fn no_server_is_stormed() {
    for era in [Era::Modern, Era::Legacy] {
        for clock in [Clock::Normal, Clock::Still, Clock::Jumping] {
            for script in [vec![], vec![changed("tools")], vec![Step::Bytes(b"retry: 0\nid: 1\ndata:\n\n".to_vec())]] {
                let world = World::new(7, Told::new(era, vec![script; 10_000]));
                world.sim.set_clock(clock);
                world.watch(json!({ "tools": true }), 1_800_000);
                let opened = world.server.borrow().opened.clone();
                let count = |minute: u64| opened.iter().filter(|(at, _)| at / 60_000 == minute).count();
                assert!(count(0) <= 9, "{era:?} {clock:?}: {opened:?}");
                assert!((1..30).all(|minute| (1..=3).contains(&count(minute))), "{era:?} {clock:?}: {opened:?}");
            }
        }
    }
}

#[test]
fn outages_pass_and_refusals_end_the_watch() {
    let world = World::new(1, Told::new(Era::Modern, vec![vec![Step::Reset]]));
    let broken = Http::Broken { after: Millis(5), message: "down".into() };
    let later = Http::text(503, "", "").header("retry-after", "100");
    let (told, _) = world.run(async {
        let (told, ()) = join(world.told(json!({ "tools": true }), 0, 300_000), async {
            world.sim.sleep(Millis(300)).await;
            world.server.borrow_mut().instead = vec![broken, later];
        })
        .await;
        told
    });
    assert_eq!(told[1..], ["gap"], "{}", world.sim.report());
    let opened = world.server.borrow().opened.clone();
    assert_eq!(opened.len(), 4);
    assert!(opened[3].0 - opened[2].0 >= 100_000, "{opened:?}");

    for (answer, code) in [
        (Http::text(401, "", ""), Code::AuthRequired),
        (
            Http::json(&json!({ "jsonrpc": "2.0", "id": 2, "error": { "code": -32601, "message": "no" } })),
            Code::Protocol,
        ),
        (Http::text(200, "text/html", "<html>"), Code::Protocol),
    ] {
        let mut server = Told::new(Era::Modern, vec![]);
        server.instead = vec![answer];
        let world = World::new(1, server);
        let (told, outcome) = world.run(world.told(json!({ "tools": true }), 0, 5_000));
        assert_eq!((told.len(), outcome.unwrap_err().code), (0, code), "{}", world.sim.report());
    }
}

#[test]
fn a_stream_that_lost_its_pulse_is_given_up() {
    let pulse = || Step::Bytes(b": ping\n\n".to_vec());
    let mut dead = Vec::new();
    for _ in 0..20 {
        dead.extend([wait(15_000), pulse()]);
    }
    dead.push(Step::Hang);
    let world = World::new(1, Told::new(Era::Modern, vec![dead]));
    world.sim.set_recut(false);
    let told = world.watch(json!({ "tools": true }), 600_000);
    assert_eq!(told[1..], ["gap"], "{}", world.sim.report());
    let second = world.server.borrow().opened[1].0;
    assert!((359_000..363_000).contains(&second), "{second}");
}

#[test]
fn a_server_that_never_acknowledges_is_asked_again() {
    let mut server = Told::new(Era::Modern, vec![]);
    server.instead = vec![Http::events(vec![changed("tools"), Step::Hang])];
    let world = World::new(1, server);
    let told = world.watch(json!({ "tools": true }), 70_000);
    assert_eq!(told.len(), 1, "nothing counts before it: {told:?}");
    assert_eq!(world.opened().len(), 2);
}

#[test]
fn watches_share_one_stream_and_grow_it_without_a_gap() {
    for era in [Era::Modern, Era::Legacy] {
        for seed in 0..20 {
            let world = World::new(seed, Told::new(era, vec![]));
            let all = world.run(join_all([
                world.told(json!({ "tools": true }), 0, 9_000),
                world.told(json!({ "uris": ["r:1"] }), 0, 8_000),
                world.told(json!({ "uris": ["r:1", "r:2"] }), 2_000, 6_000),
                world.told(json!({ "tools": true }), 3_000, 4_000),
            ]));
            for (told, _) in &all {
                assert_eq!(told.len(), 1, "{all:?}\n{}", world.sim.report());
                assert!(told[0].starts_with("watching {\""), "{told:?}");
            }
            let server = world.server.borrow();
            assert_eq!(server.opened.len(), if era == Era::Modern { 2 } else { 1 }, "{}", world.sim.report());
            if era == Era::Modern {
                assert_eq!(
                    server.opened[1].1,
                    json!({ "toolsListChanged": true, "resourceSubscriptions": ["r:1", "r:2"] })
                );
            } else {
                let expected = [
                    "resources/subscribe r:1",
                    "resources/subscribe r:2",
                    "resources/unsubscribe r:2",
                    "resources/unsubscribe r:1",
                ];
                assert_eq!(server.seen, expected, "{}", world.sim.report());
            }
        }
    }
}

#[test]
fn a_legacy_server_is_subscribed_to_what_it_declares() {
    let id = |n: u32| Step::Bytes(format!("id: {n}\nretry: 700\ndata:\n\n").into_bytes());
    let streams = vec![vec![id(1), updated("r:1"), wait(30_000)], vec![updated("r:1/x"), Step::Hang]];
    let world = World::new(1, Told::new(Era::Legacy, streams));
    let told = world.watch(json!({ "prompts": true, "uris": ["r:1", "r:bad"] }), 60_000);
    // What comes while the session is told anew what to watch comes before the gap is over.
    assert_eq!(told[1..], ["r:1", "r:1/x", "gap"], "{}", world.sim.report());
    assert_eq!(told[0], r#"watching {"resourceSubscriptions":["r:1"]}"#);
    assert_eq!(world.opened(), [Value::Null, Value::Null], "a gap tells of all that was missed");
    let server = world.server.borrow();
    assert_eq!(server.opened[1].0 - server.opened[0].0, 30_700);
    assert_eq!(
        server.seen,
        [
            "resources/subscribe r:1",
            "resources/subscribe r:bad",
            "resources/subscribe r:bad",
            "resources/unsubscribe r:1"
        ]
    );
}

#[test]
fn where_a_broken_stream_is_taken_for_the_one_that_there_may_be_it_is_taken_up() {
    let id = |n: u32| Step::Bytes(format!("id: {n}\ndata:\n\n").into_bytes());
    let streams = vec![vec![id(1), wait(30_000)], vec![Step::Hang], vec![updated("r:1"), Step::Hang]];
    let world = World::new(1, Told::new(Era::Legacy, streams));
    let (told, _) = world.run(async {
        let stale = async {
            world.sim.sleep(Millis(10_000)).await;
            world.server.borrow_mut().instead = vec![Http::text(409, "", "")];
        };
        join(world.told(json!({ "uris": ["r:1"] }), 0, 60_000), stale).await.0
    });
    assert_eq!(world.opened(), [Value::Null, Value::Null, json!("1"), Value::Null], "{}", world.sim.report());
    assert_eq!(told[1..], ["gap", "r:1"], "{}", world.sim.report());
}

#[test]
fn an_agents_tools_follow_the_server() {
    for era in [Era::Modern, Era::Legacy] {
        let world = World::new(1, Told::new(era, vec![vec![wait(1_000), changed("tools"), Step::Hang]]));
        let options = json!({ "name": "calc", "url": "https://calc.test/mcp" });
        let config = ServerConfig::read(&options, "servers[0]").unwrap();
        let server = world.server(config);
        let names = || server.tools().iter().map(|tool| tool.name.clone()).collect::<Vec<_>>();
        let told = Cell::new(0);
        world.run(server.ensure(&Cancel::new(), &mut |_, _| ())).unwrap();
        world.server.borrow_mut().tools.push("mul");
        let run = |until: u64| {
            let (cancel, world, server, told) = (Cancel::new(), &world, &server, &told);
            async move {
                let end = async {
                    world.sim.sleep(Millis(until)).await;
                    cancel.cancel();
                };
                join(server.follow(&cancel, &|| told.set(told.get() + 1)), end).await;
            }
        };
        world.run(run(900));
        assert_eq!((names(), told.get()), (vec!["add".to_owned()], 0), "just listed, and told of nothing");
        world.server.borrow_mut().streams.push(vec![wait(1_000), changed("tools"), Step::Hang]);
        world.run(run(900));
        assert_eq!((names().len(), told.get()), (2, 1), "nobody watched between the two");
        world.server.borrow_mut().tools.push("sub");
        world.server.borrow_mut().streams.push(vec![wait(1_000), changed("tools"), Step::Hang]);
        world.run(run(2_000));
        assert_eq!(names(), ["add", "mul", "sub"]);
        assert!(told.get() >= 2);
        world.run(server.close());
    }
    let mut silent = Told::new(Era::Modern, vec![]);
    silent.capabilities = json!({ "tools": {} });
    let world = World::new(1, silent);
    let options = json!({ "name": "calc", "url": "https://calc.test/mcp" });
    let server = world.server(ServerConfig::read(&options, "servers[0]").unwrap());
    world.run(server.ensure(&Cancel::new(), &mut |_, _| ())).unwrap();
    world.run(server.follow(&Cancel::new(), &|| ()));
    assert!(world.opened().is_empty());
}

#[test]
fn nothing_is_opened_to_a_server_that_tells_nothing() {
    let mut server = Told::new(Era::Legacy, vec![]);
    server.capabilities = json!({ "tools": {} });
    let world = World::new(1, server);
    assert_eq!(world.watch(json!({ "tools": true, "uris": ["r:1"] }), 60_000), ["watching {}"]);
    assert!(world.opened().is_empty() && world.server.borrow().seen.is_empty());
}

#[test]
fn a_legacy_server_without_a_stream_is_left_alone() {
    for refusal in
        [Http::text(405, "", ""), Http::text(404, "", ""), Http::text(200, "text/html", "hi"), Http::text(400, "", "")]
    {
        let mut server = Told::new(Era::Legacy, vec![]);
        server.instead = vec![refusal];
        let world = World::new(1, server);
        assert_eq!(world.watch(json!({ "tools": true }), 600_000), ["watching {}"], "{}", world.sim.report());
        assert_eq!(world.opened().len(), 1);
    }
}

#[test]
fn a_lost_session_takes_its_subscriptions_along() {
    for by_call in [false, true] {
        let first = if by_call { vec![Step::Hang] } else { vec![wait(30_000)] };
        let world = World::new(1, Told::new(Era::Legacy, vec![first]));
        let forget = async {
            world.sim.sleep(Millis(10_000)).await;
            world.server.borrow_mut().valid_from = 2;
            if by_call {
                let call = crate::mcp::request::Call::new("ping", &[]);
                world.connection.request(&call, Millis(1_000), &Cancel::new(), &mut |_| {}).await.unwrap();
            }
        };
        let ((told, _), ()) = world.run(join(world.told(json!({ "uris": ["r:1"] }), 0, 60_000), forget));
        assert_eq!(told[1..], ["gap"], "{}", world.sim.report());
        let server = world.server.borrow();
        let subscribed = server.seen.iter().filter(|seen| *seen == "resources/subscribe r:1").count();
        assert_eq!((server.session, subscribed), (2, 2), "{}", world.sim.report());
    }
}

#[test]
fn closing_ends_every_watch() {
    for era in [Era::Modern, Era::Legacy] {
        let world = World::new(1, Told::new(era, vec![]));
        let close = async {
            world.sim.sleep(Millis(500)).await;
            world.connection.close().await;
        };
        let ((_, outcome), ()) = world.run(join(world.told(json!({ "tools": true }), 0, 1_000), close));
        let error = outcome.unwrap_err();
        assert_eq!(error.code, Code::Cancelled);
        assert!(error.message.ends_with(" calc: the connection was closed"), "{error}");
    }
}

#[test]
fn whatever_the_network_does_nothing_is_left_behind() {
    for seed in 0..200 {
        let era = if seed % 2 == 0 { Era::Modern } else { Era::Legacy };
        let script = vec![wait(100), changed("tools"), wait(2_000), updated("r:1"), wait(40_000)];
        let world = World::new(seed, Told::new(era, vec![script; 9]));
        world.sim.faults(ORIGIN, crate::sim::Faults::some());
        world.sim.set_clock([Clock::Normal, Clock::Still, Clock::Jumping][seed as usize % 3]);
        let told = Cell::new(0);
        let watches = (1..4).map(|n| {
            let wanted = json!({ "tools": true, "uris": [format!("r:{n}")] });
            let (world, told) = (&world, &told);
            async move {
                let (changes, outcome) = world.told(wanted, n * 700, n * 50_000).await;
                told.set(told.get() + changes.len());
                outcome.unwrap_err()
            }
        });
        world.run(join_all(watches));
        world.run(world.connection.close());
    }
}

#[test]
fn what_is_cached_goes_when_the_server_says_that_it_has_changed() {
    let script = vec![wait(1_000), updated("r:1/part"), wait(1_000), changed("resources"), wait(1_000)];
    let mut server = Told::new(Era::Modern, vec![script]);
    server.ttl = Some(3_600_000);
    let world = World::new(1, server);
    let config = world.connection.config().clone();
    let connection = Connection::over(Rc::new(world.sim.clone()), config, Some(world.cache()));
    let (cancel, stop) = (Cancel::new(), Cancel::new());
    // What the server was asked for by asking for all that it has.
    let ask = async || {
        world.server.borrow_mut().seen.clear();
        for uri in ["r:1", "r:2"] {
            let params = json!({ "uri": uri });
            let params = params.as_object().unwrap();
            connection.ask_kept("resources/read", params, &CallOptions::default(), &cancel, &mut |_| ()).await.unwrap();
        }
        for list in [List::Resources, List::Tools] {
            connection.list(list, &CallOptions::default(), &cancel).await.unwrap();
        }
        let seen = &world.server.borrow().seen;
        seen.iter().filter(|seen| *seen != "server/discover").cloned().collect::<Vec<_>>().join(", ")
    };
    let all = "resources/read r:1, resources/read r:2, resources/list, tools/list";
    assert_eq!(world.run(ask()), all);
    assert_eq!(world.run(ask()), "");
    let asked = RefCell::new(Vec::new());
    let told = Cell::new(0);
    let mut on_change = |_| told.set(told.get() + 1);
    let wanted = filter(json!({ "tools": true, "resources": true, "uris": ["r:1", "r:2"] }));
    let watch = connection.watch(wanted, &stop, &mut on_change);
    let look = async {
        for at in [1_500, 1_000, 10_000] {
            world.sim.sleep(Millis(at)).await;
            let now = ask().await;
            asked.borrow_mut().push(now);
        }
        stop.cancel();
    };
    assert_eq!(world.run(join(watch, look)).0.unwrap_err().code, Code::Cancelled);
    assert_eq!(told.get(), 4, "watching, the resource, the list, and a gap");
    // A resource that was not told of is as fresh as before; after a gap, nothing is known to be.
    assert_eq!(asked.into_inner(), ["resources/read r:1", "resources/list", all], "{}", world.sim.report());
}
