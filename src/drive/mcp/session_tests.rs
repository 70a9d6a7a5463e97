//! Several tabs of one browser in one session of an older server.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use super::*;
use crate::http::{Method, Request};
use crate::mcp::listen::{Change, Filter};
use crate::options::FunctionId;
use crate::sim::{Answer as Http, AppAnswer, Peer, Server, SimPlatform, Step};

pub(super) const ORIGIN: &str = "https://calc.test";
const LATENCY: u64 = 40;

/// What the server knows of one session.
#[derive(Default)]
pub(super) struct Opened {
    ready: bool,
    /// The server has forgotten it, or was told that it is over.
    lost: bool,
    ended: bool,
    ids: Vec<u64>,
    last_call: u64,
    /// Exchanges of the streams that are open.
    streams: Vec<u64>,
    watched: Vec<String>,
}

/// A server with sessions that checks what several tabs send.
#[derive(Default)]
pub(super) struct Strict {
    pub(super) sessions: Vec<Opened>,
    /// It forgets all its sessions then.
    pub(super) restarts: Vec<u64>,
    /// A resource changes then.
    pub(super) changes: Vec<u64>,
    lost_is_400: bool,
    deletes: usize,
    /// It hands out no sessions.
    stateless: bool,
    /// Its clients share nothing.
    pub(super) apart: bool,
    /// It asks something on its streams then, and logs something of that level.
    pub(super) asks: Vec<u64>,
    pub(super) logs: Vec<(u64, &'static str)>,
    /// What was answered to what it asked, by the number of the question.
    pub(super) replies: Vec<(usize, Value)>,
    pub(super) levels: Vec<Value>,
}

impl Strict {
    /// What still happens to a stream that is opened now: changes are told, and questions asked, until a restart.
    fn stream(&self, now: u64) -> Vec<Step> {
        let end = self.restarts.iter().copied().find(|at| *at > now);
        let mut all: Vec<(u64, Value)> = Vec::new();
        for at in &self.changes {
            all.push((
                *at,
                json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": "r:1" } }),
            ));
        }
        for (number, at) in self.asks.iter().enumerate() {
            let form = json!({ "type": "object", "properties": { "tab": { "type": "integer" } } });
            let params = json!({ "message": "Which?", "requestedSchema": form });
            all.push((
                *at,
                json!({ "jsonrpc": "2.0", "id": number, "method": "elicitation/create", "params": params }),
            ));
        }
        for (at, level) in &self.logs {
            let params = json!({ "level": level, "data": "said" });
            all.push((*at, json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params })));
        }
        all.sort_by_key(|(at, _)| *at);
        let mut at = now;
        let mut steps = vec![Step::Bytes(b": hello\n\n".to_vec())];
        for (when, message) in all.into_iter().filter(|(when, _)| *when > now && end.is_none_or(|end| *when < end)) {
            steps.extend([Step::Wait(Millis(when - at)), Step::Bytes(format!("data: {message}\n\n").into_bytes())]);
            at = when;
        }
        match end {
            Some(end) => steps.push(Step::Wait(Millis(end - at))),
            None => steps.push(Step::Hang),
        }
        steps
    }

    /// Sessions that it still keeps.
    fn alive(&self) -> usize {
        self.sessions.iter().filter(|session| session.last_call > 0 && !session.lost && !session.ended).count()
    }
}

impl Server for Strict {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Http {
        let now = peer.now.0;
        if self.restarts.first().is_some_and(|at| *at <= now) {
            self.restarts.remove(0);
            self.sessions.iter_mut().for_each(|session| (session.lost, session.streams) = (true, Vec::new()));
        }
        let late = Millis(peer.rng.within(0..=LATENCY));
        let body: Value = request.body.as_deref().map_or(Value::Null, |body| serde_json::from_str(body).unwrap());
        let method = body["method"].as_str().unwrap_or("");
        let answer = |result: Value| Http::json(&json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }));
        if method == "server/discover" {
            return Http::text(400, "", "").after(late);
        }
        if method == "initialize" {
            let session = Opened { ids: vec![body["id"].as_u64().unwrap()], ..Opened::default() };
            self.sessions.push(session);
            let capabilities = json!({ "tools": {}, "resources": { "subscribe": true }, "logging": {} });
            let hello =
                answer(json!({ "protocolVersion": "2025-06-18", "capabilities": capabilities, "instructions": "Hi" }));
            let hello = if self.stateless {
                hello
            } else {
                hello.header("mcp-session-id", (self.sessions.len() - 1).to_string())
            };
            return hello.after(late);
        }
        let Some(number) = request.headers.get("mcp-session-id") else {
            return if self.stateless && method == "tools/call" {
                answer(json!({ "content": [] }))
            } else {
                Http::text(202, "", "")
            };
        };
        let number: usize = number.parse().unwrap();
        let others = self
            .sessions
            .iter()
            .enumerate()
            .filter(|(other, session)| *other != number && !session.lost && !session.ended);
        let newest = others.map(|(_, session)| session.last_call).max().unwrap_or(0);
        let session = &mut self.sessions[number];
        if session.ended {
            peer.violation(format!("{method} in session {number}, which has ended"));
        }
        if session.lost || session.ended {
            return match self.lost_is_400 {
                true => Http::text(
                    400,
                    "application/json",
                    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#,
                ),
                false => Http::text(404, "", ""),
            };
        }
        match request.method {
            Method::Delete => {
                session.ended = true;
                self.deletes += 1;
                return Http::text(200, "", "");
            }
            Method::Get | Method::Knock => {
                if !session.streams.is_empty() {
                    peer.violation(format!("a second stream of session {number}"));
                }
                session.streams.push(peer.exchange);
                return Http::events(self.stream(now));
            }
            Method::Post => {}
        }
        if method == "notifications/initialized" {
            session.ready = true;
            return Http::text(202, "", "").after(late);
        }
        let Some(id) = body["id"].as_u64() else { return Http::text(202, "", "") };
        if method.is_empty() {
            if self.replies.iter().any(|(known, _)| *known == id as usize) {
                peer.violation(format!("question {id} is answered twice"));
            }
            self.replies.push((id as usize, body["result"].clone()));
            return Http::text(202, "", "");
        }
        if !session.ready {
            peer.violation(format!("{method} before initialized"));
        }
        if session.ids.contains(&id) {
            peer.violation(format!("{method}: id {id} was used before in session {number}"));
        }
        if !self.apart && newest > session.last_call && session.last_call > 0 {
            peer.violation(format!("{method} in session {number} after calls in another that both know"));
        }
        session.ids.push(id);
        session.last_call = now.max(1);
        let uri = body["params"]["uri"].as_str().unwrap_or("").to_owned();
        match method {
            "tools/call" => {
                let said = &body["params"]["arguments"]["say"];
                let wait = body["params"]["arguments"]["wait"].as_u64().unwrap_or_else(|| peer.rng.within(0..=400));
                answer(json!({ "content": [{ "type": "text", "text": said }] })).after(Millis(wait))
            }
            "logging/setLevel" => {
                self.levels.push(body["params"]["level"].clone());
                answer(json!({})).after(late)
            }
            "resources/subscribe" => {
                session.watched.push(uri);
                answer(json!({})).after(late)
            }
            "resources/unsubscribe" => {
                session.watched.retain(|known| *known != uri);
                answer(json!({})).after(late)
            }
            _ => answer(json!({})).after(late),
        }
    }

    fn aborted(&mut self, exchange: u64) {
        self.sessions.iter_mut().for_each(|session| session.streams.retain(|stream| *stream != exchange));
    }
}

/// How a tab ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Closes,
    Dies,
}

/// What a tab does: calls now and then from one instant to another, or waits for changes meanwhile as well.
#[derive(Clone, Copy, Debug)]
struct Plan {
    from: u64,
    to: u64,
    pause: u64,
    watches: bool,
    end: End,
}

const fn plan(from: u64, to: u64, end: End) -> Plan {
    Plan { from, to, pause: 700, watches: false, end }
}

struct Browser {
    sim: SimPlatform,
    server: Rc<RefCell<Strict>>,
    more: Value,
}

/// What a tab was told of changes, and when.
type Log = Vec<(u64, String)>;

impl Browser {
    fn new(seed: u64) -> Browser {
        let sim = SimPlatform::new(seed);
        let server = sim.host(ORIGIN, Strict::default());
        Browser { sim, server, more: json!({}) }
    }

    /// Its clients have a function for what the server asks.
    fn asked(mut self, asked: bool) -> Browser {
        self.sim.function(FunctionId(1), |_, rng| {
            let answer = json!({ "action": "accept", "content": { "tab": 0 } });
            AppAnswer::value(Millis(rng.within(0..=900)), answer)
        });
        if asked {
            self.more = json!({ "onInput": { "$function": 1 } });
        }
        self
    }

    async fn tab(&self, plan: Plan) -> Log {
        let never = Cell::new(false);
        self.tab_until(plan, &never).await
    }

    /// A tab that lives its plan, or is killed as soon as somebody says so.
    async fn tab_until(&self, plan: Plan, killed: &Cell<bool>) -> Log {
        let tab = self.sim.tab();
        let mut options = json!({ "name": "calc", "url": "https://calc.test/mcp" });
        options.as_object_mut().unwrap().extend(self.more.as_object().unwrap().clone());
        let connection = Connection::new(Rc::new(tab.clone()), ServerConfig::read(&options, "servers[0]").unwrap());
        let log = RefCell::new(Log::new());
        let life = async {
            self.sim.sleep(Millis(plan.from + 1)).await;
            let (cancel, filter) = (Cancel::new(), Filter { uris: vec!["r:1".into()], ..Filter::default() });
            let calls = async {
                while self.sim.elapsed().0 < plan.to {
                    self.call(&connection, self.sim.random()).await;
                    self.sim.sleep(Millis(plan.pause / 2 + self.sim.random() % plan.pause)).await;
                }
                cancel.cancel();
            };
            let watch = async {
                if plan.watches {
                    let mut told = |change: Change| {
                        let name = match change {
                            Change::Watching(_) => "watching",
                            Change::Gap => "gap",
                            _ => "changed",
                        };
                        log.borrow_mut().push((self.sim.elapsed().0, name.to_owned()));
                    };
                    connection.watch(filter, &cancel, &mut told).await.unwrap_err();
                }
            };
            join(calls, watch).await;
            if plan.end == End::Closes {
                connection.close().await;
            }
        };
        let mut life: Pin<Box<dyn Future<Output = ()>>> = Box::pin(life);
        poll_fn(|context| if killed.get() { Poll::Ready(()) } else { life.as_mut().poll(context) }).await;
        if killed.get() || plan.end == End::Dies {
            tab.kill();
        }
        drop(life);
        log.into_inner()
    }

    async fn call(&self, connection: &Connection<SimPlatform>, say: u64) {
        let arguments = json!({ "say": say.to_string() });
        let name = json!("echo");
        let params = [("name", &name), ("arguments", &arguments)];
        let call = Call::new("tools/call", &params);
        let answer = connection.request(&call, Millis(60_000), &Cancel::new(), &mut |_| {}).await;
        let Ok(Answer::Complete(result)) = answer else { panic!("{answer:?}\n{}", self.sim.report()) };
        assert_eq!(result["content"][0]["text"], say.to_string(), "{}", self.sim.report());
    }

    fn sessions(&self) -> usize {
        self.server.borrow().sessions.len()
    }
}

#[test]
fn tabs_have_one_session_and_the_last_one_ends_it() {
    let browser = Browser::new(1);
    let plans = [plan(0, 9_000, End::Closes), plan(0, 6_000, End::Closes), plan(3_000, 12_000, End::Closes)];
    browser.sim.run(async {
        join_all(plans.map(|plan| browser.tab(plan))).await;
    });
    let server = browser.server.borrow();
    assert_eq!((server.sessions.len(), server.deletes, server.alive()), (1, 1, 0), "{}", browser.sim.report());
    let ids = &server.sessions[0].ids;
    assert!(ids.len() > 20 && ids.iter().any(|id| *id < 100) && ids.iter().all(|id| *id < 1 << 31), "{ids:?}");
}

#[test]
fn a_tab_that_joins_knows_what_initialize_answered_and_asks_nothing() {
    let browser = Browser::new(2);
    let config = || ServerConfig::read(&json!({ "name": "calc", "url": "https://calc.test/mcp" }), "s").unwrap();
    let (one, two) = [(); 2].map(|()| Connection::new(Rc::new(browser.sim.tab()), config())).into();
    browser.sim.run(async {
        one.connect(&Cancel::new()).await.unwrap();
        let before = browser.sim.exchanges();
        two.connect(&Cancel::new()).await.unwrap();
        assert_eq!(browser.sim.exchanges(), before);
        let (one, two) = (one.info().link.unwrap(), two.info().link.unwrap());
        assert_eq!((one.instructions.as_deref(), &one), (Some("Hi"), &two));
        browser.call(&two_of(&browser, &config), 7).await;
    });
    drop((one, two));
}

/// A third one, which is dropped without a word.
fn two_of(browser: &Browser, config: &dyn Fn() -> ServerConfig) -> Connection<SimPlatform> {
    Connection::new(Rc::new(browser.sim.tab()), config())
}

#[test]
fn a_session_that_is_lost_is_begun_anew_once_for_all() {
    for lost_is_400 in [false, true] {
        let browser = Browser::new(3);
        (browser.server.borrow_mut().restarts, browser.server.borrow_mut().lost_is_400) =
            (vec![5_000, 9_000], lost_is_400);
        let watching = Plan { watches: true, ..plan(0, 14_000, End::Closes) };
        browser.sim.run(join_all([watching, plan(100, 14_000, End::Closes), watching].map(|plan| browser.tab(plan))));
        let server = browser.server.borrow();
        assert_eq!((server.sessions.len(), server.deletes), (3, 1), "{}", browser.sim.report());
    }
}

#[test]
fn who_wants_a_session_of_its_own_has_one_and_so_have_tabs_that_say_something_else() {
    let browser = Browser { more: json!({ "session": "own" }), ..Browser::new(4) };
    browser.server.borrow_mut().apart = true;
    browser.sim.run(join(browser.tab(plan(0, 5_000, End::Closes)), browser.tab(plan(900, 5_000, End::Closes))));
    assert_eq!((browser.sessions(), browser.server.borrow().deletes), (2, 2));
    // Where tabs cannot hear each other, each is alone.
    let browser = Browser::new(5);
    browser.server.borrow_mut().apart = true;
    browser.sim.set_alone(true);
    browser.sim.run(join(browser.tab(plan(0, 5_000, End::Closes)), browser.tab(plan(900, 5_000, End::Closes))));
    assert_eq!((browser.sessions(), browser.server.borrow().deletes), (2, 2));
    // Servers without sessions have none to share.
    let browser = Browser::new(6);
    browser.server.borrow_mut().stateless = true;
    let two = [(); 2].map(|()| async {
        let connection = two_of(&browser, &|| {
            ServerConfig::read(&json!({ "name": "c", "url": "https://calc.test/mcp" }), "s").unwrap()
        });
        connection.connect(&Cancel::new()).await.unwrap();
        connection.close().await;
    });
    browser.sim.run(join_all(two));
    assert_eq!(browser.sessions(), 2);
}

#[test]
fn ids_that_are_used_up_are_followed_by_others() {
    let browser = Browser::new(7);
    let config = ServerConfig::read(&json!({ "name": "calc", "url": "https://calc.test/mcp" }), "s").unwrap();
    let (one, two) = [(); 2].map(|()| Connection::new(Rc::new(browser.sim.tab()), config.clone())).into();
    browser.sim.run(async {
        browser.call(&one, 1).await;
        browser.call(&two, 2).await;
        one.0.next_id.set(one.0.part.borrow().as_ref().unwrap().limit - 1);
        for say in 3..6 {
            browser.call(&one, say).await;
        }
        join(one.close(), two.close()).await;
    });
    assert_eq!((browser.sessions(), browser.server.borrow().deletes), (1, 1), "{}", browser.sim.report());
}

#[test]
fn a_watch_that_ends_leaves_what_other_tabs_watch() {
    let browser = Browser::new(8);
    browser.server.borrow_mut().changes = vec![9_000];
    let first = Plan { watches: true, ..plan(0, 5_000, End::Closes) };
    let second = Plan { watches: true, ..plan(1_000, 12_000, End::Closes) };
    let (_, log) = browser.sim.run(join(browser.tab(first), browser.tab(second)));
    let names: Vec<&str> = log.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(names, ["watching", "gap", "changed"], "{}", browser.sim.report());
    assert_eq!(browser.server.borrow().sessions[0].watched, [""; 0], "the last one that watches unsubscribes");
}

/// The tab that begins the session, and then the one that listens, is killed before each of its polls.
#[test]
fn a_tab_may_be_killed_at_any_instant() {
    let stories = [
        [plan(0, 4_000, End::Closes), plan(5, 4_000, End::Closes), plan(40, 4_000, End::Closes)],
        [true; 3].map(|watches| Plan { watches, pause: 1_500, ..plan(0, 4_000, End::Closes) }),
    ];
    for (story, plans) in stories.into_iter().enumerate() {
        let mut poll = 1;
        loop {
            let browser = Browser::new(poll).asked(poll % 2 == 0);
            browser.server.borrow_mut().changes = vec![3_000];
            let killed = Rc::new(Cell::new(false));
            let kill = killed.clone();
            browser.sim.at_poll(poll, move || kill.set(true));
            let never = Cell::new(false);
            let logs = browser.sim.run(join_all(
                plans
                    .iter()
                    .enumerate()
                    .map(|(at, plan)| browser.tab_until(*plan, if at == 0 { &killed } else { &never })),
            ));
            let server = browser.server.borrow();
            assert!(server.sessions.len() <= 2, "story {story}, poll {poll}\n{}", browser.sim.report());
            assert_eq!(server.alive(), 0, "story {story}, poll {poll}\n{}", browser.sim.report());
            for log in &logs[1..] {
                let told = log.iter().any(|(at, _)| *at >= 3_000);
                assert_eq!(told, plans[1].watches, "story {story}, poll {poll}: {log:?}\n{}", browser.sim.report());
            }
            if !killed.get() {
                break;
            }
            poll += 1;
        }
        assert!(poll > 50, "{poll}");
    }
}

/// Tabs come, go and are killed at random, and the server forgets its sessions: no change is lost, no call answered wrongly,
/// no id used twice, and no two sessions are used side by side.
#[test]
fn whoever_comes_and_goes_there_is_one_session() {
    const END: u64 = 40_000;
    for seed in 0..250 {
        let browser = Browser::new(seed).asked(seed % 2 == 0);
        let draw = |most: u64| browser.sim.random() % most;
        // A request is sent anew once: not a second time within the same second.
        let restarts: Vec<u64> = (0..draw(4)).map(|n| 1_000 + n * 10_000 + draw(8_000)).collect();
        let changes: Vec<u64> = (1..10).map(|n| n * 4_000 + 7).collect();
        let plans: Vec<Plan> = (0..2 + draw(4))
            .map(|_| {
                let from = draw(END / 2);
                let end = [End::Closes, End::Closes, End::Dies][draw(3) as usize];
                Plan { from, to: from + 1 + draw(END - from), pause: 100 + draw(3_000), watches: draw(2) > 0, end }
            })
            .collect();
        {
            let mut server = browser.server.borrow_mut();
            (server.restarts, server.changes, server.lost_is_400) = (restarts.clone(), changes.clone(), draw(3) == 0);
            server.asks = (1..12).map(|n| n * 3_300).collect();
        }
        let logs = browser.sim.run(join_all(plans.iter().map(|plan| browser.tab(*plan))));
        for (plan, log) in plans.iter().zip(&logs).filter(|(plan, _)| plan.watches) {
            for change in &changes {
                // A server that has restarted is asked for a stream ever more rarely.
                let soon = change + if restarts.is_empty() { 3_900 } else { 12_000 };
                if log.first().is_some_and(|(begun, _)| begun < change) && soon < plan.to {
                    let told = log.iter().any(|(at, _)| (*change..=soon).contains(at));
                    assert!(told, "seed {seed}: {plan:?} was not told of {change}: {log:?}\n{}", browser.sim.report());
                }
            }
        }
        let server = browser.server.borrow();
        if plans.iter().all(|plan| plan.end == End::Closes) {
            assert_eq!(server.alive(), 0, "seed {seed}\n{}", browser.sim.report());
        }
    }
}
