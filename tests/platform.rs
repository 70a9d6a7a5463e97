//! `SimPlatform` passes the laws of `Platform`, with every clock and many seeds; and keeps honest books.

#[path = "platform/laws.rs"]
mod laws;
#[path = "platform/store_laws.rs"]
mod store_laws;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use edgewise::drive::wait::{Cancel, Stop, within};
use edgewise::http::{Headers, Method, Request};
use edgewise::options::FunctionId;
use edgewise::platform::{Body, Platform, Space, StoreFailure, Write};
use edgewise::sim::{Answer, AppAnswer, Clock, Peer, Server, SimPlatform, Step, Why};
use edgewise::time::Millis;
use laws::LawEnv;
use serde_json::json;

const BASE: &str = "https://laws.test";

#[derive(Default)]
struct LawServer {
    open: BTreeMap<u64, String>,
}

impl Server for LawServer {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
        let (path, query) = request.url[BASE.len()..].split_once('?').unwrap_or((&request.url[BASE.len()..], ""));
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map_or("", |(_, value)| value)
        };
        match path {
            "/echo" => Answer::json(&json!({
                "method": request.method.as_str(),
                "body": request.body,
                "header": request.headers.get("x-law"),
            })),
            "/chunks" => {
                let gap = Millis(value("gap").parse().unwrap());
                let count: u32 = value("count").parse().unwrap();
                let lines = (0..count).flat_map(|n| [Step::Bytes(format!("{n}\n").into_bytes()), Step::Wait(gap)]);
                Answer::events(lines.collect())
            }
            "/empty" => Answer::text(204, "", ""),
            "/silent" => {
                self.open.insert(peer.exchange, value("id").to_owned());
                Answer::Never
            }
            "/drip" => {
                self.open.insert(peer.exchange, value("id").to_owned());
                let drips = (0..1000).flat_map(|_| [Step::Bytes(b"drip\n".to_vec()), Step::Wait(Millis(20))]);
                Answer::events(drips.chain([Step::Hang]).collect())
            }
            "/reset" => Answer::events(vec![Step::Bytes(b"partial\n".to_vec()), Step::Reset]),
            "/refuse" => Answer::text(429, "text/plain", "slow down").header("retry-after", "2"),
            "/open" => Answer::json(&json!(self.open.values().filter(|id| *id == value("id")).count())),
            other => panic!("the laws do not ask for {other}"),
        }
    }

    fn aborted(&mut self, exchange: u64) {
        self.open.remove(&exchange);
    }
}

fn world(seed: u64, clock: Clock) -> (SimPlatform, LawEnv) {
    let sim = SimPlatform::new(seed);
    sim.set_clock(clock);
    // The laws count chunks as the server sent them; cutting is tested on its own.
    sim.set_recut(false);
    sim.host(BASE, LawServer::default());
    sim.function(FunctionId(0), |argument, _| AppAnswer::value(Millis(5), argument.clone()));
    sim.function(FunctionId(1), |_, _| AppAnswer::throws(Millis(0), "Error: no luck"));
    sim.function(FunctionId(2), |_, _| AppAnswer::never());
    let env = LawEnv {
        base: BASE.to_owned(),
        nobody: "https://nobody.test/".to_owned(),
        echo: FunctionId(0),
        throws: FunctionId(1),
        hangs: FunctionId(2),
    };
    (sim, env)
}

macro_rules! law {
    ($law:ident) => {
        #[test]
        fn $law() {
            for clock in [Clock::Normal, Clock::Still, Clock::Jumping] {
                for seed in 0..20 {
                    let (sim, env) = world(seed, clock);
                    sim.block_on(laws::$law(&sim, &env)).unwrap();
                    assert_eq!(sim.leftovers(), "", "{clock:?} {}", sim.report());
                    assert_eq!(sim.violations(), [""; 0]);
                }
            }
        }
    };
}

for_every_platform_law!(law);

macro_rules! store_law {
    ($law:ident) => {
        #[test]
        fn $law() {
            for clock in [Clock::Normal, Clock::Still, Clock::Jumping] {
                for seed in 0..10 {
                    let (sim, _) = world(seed, clock);
                    sim.block_on(store_laws::$law(&sim)).unwrap();
                    assert_eq!(sim.leftovers(), "", "{clock:?} {}", sim.report());
                    assert_eq!(sim.violations(), [""; 0]);
                }
            }
        }
    };
}

for_every_store_law!(store_law);

fn get(url: &str) -> Request {
    Request { method: Method::Get, url: url.to_owned(), headers: Headers::new(), body: None }
}

#[test]
fn a_wait_for_what_never_comes_is_a_deadlock_and_names_the_tasks() {
    let sim = SimPlatform::new(1);
    sim.spawn("forgotten", std::future::pending());
    let nobody = sim.block_on(async { sim.fetch(get("https://a.test/")).await.map(drop) });
    assert!(nobody.unwrap().is_err());
    sim.host("https://a.test", |_: &Request, _: &mut Peer<'_>| Answer::Never);
    let stuck = sim.block_on(async { sim.fetch(get("https://a.test/")).await.map(drop) }).unwrap_err();
    assert_eq!((stuck.why, stuck.tasks), (Why::Deadlock, vec!["forgotten".to_owned()]));
    assert_eq!(sim.leftovers(), "1 tasks");
    sim.drop_tasks();
    assert_eq!(sim.leftovers(), "");
}

#[test]
fn a_lost_wake_up_is_a_deadlock() {
    let sim = SimPlatform::new(1);
    let flag = Rc::new(Cell::new(false));
    let setter = flag.clone();
    let sleeper = sim.clone();
    sim.spawn("setter", async move {
        sleeper.sleep(Millis(5)).await;
        setter.set(true);
    });
    let waiter =
        std::future::poll_fn(|_| if flag.get() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending });
    assert_eq!(sim.block_on(waiter).unwrap_err().why, Why::Deadlock);
}

#[test]
fn spinning_and_endless_waiting_are_found() {
    let sim = SimPlatform::new(1);
    let spin = std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        std::task::Poll::<()>::Pending
    });
    assert_eq!(sim.block_on(spin).unwrap_err().why, Why::Livelock);
    sim.set_time_limit(Millis(1000));
    let endless = async {
        loop {
            sim.sleep(Millis(10)).await;
        }
    };
    let stuck: Result<(), _> = sim.block_on(endless);
    assert_eq!(stuck.unwrap_err().why, Why::TooLong);
}

#[test]
fn a_body_that_is_read_on_after_a_dropped_read_is_a_violation() {
    let (sim, env) = world(1, Clock::Normal);
    sim.block_on(async {
        let mut answer = sim.fetch(get(&format!("{}/chunks?count=2&gap=500", env.base))).await.unwrap();
        answer.body.chunk().await;
        let cancel = Cancel::new();
        let stopped = within(&sim, Millis(10), &cancel, answer.body.chunk()).await;
        assert_eq!(stopped.unwrap_err(), Stop::TimedOut);
        answer.body.chunk().await;
    })
    .unwrap();
    assert_eq!(sim.violations().len(), 1);
}

#[test]
fn the_interleaving_varies_with_the_seed_and_only_with_it() {
    let order = |seed| {
        let sim = SimPlatform::new(seed);
        let order = Rc::new(RefCell::new(String::new()));
        for name in ["a", "b", "c"] {
            let (sim2, order) = (sim.clone(), order.clone());
            sim.spawn(name, async move {
                for _ in 0..3 {
                    sim2.sleep(Millis(10)).await;
                    order.borrow_mut().push_str(name);
                }
            });
        }
        sim.block_on(sim.sleep(Millis(100))).unwrap();
        order.take()
    };
    let orders: std::collections::BTreeSet<String> = (0..20).map(order).collect();
    assert!(orders.len() > 5, "{orders:?}");
    assert_eq!(order(3), order(3));
}

#[test]
fn a_hook_runs_between_two_polls_and_a_jumping_clock_runs_both_ways() {
    let sim = SimPlatform::new(5);
    sim.set_clock(Clock::Jumping);
    let hit = Rc::new(Cell::new(0));
    let (seen, at) = (hit.clone(), sim.clone());
    sim.at_poll(4, move || seen.set(at.elapsed().0));
    let (mut back, mut ahead) = (false, false);
    sim.block_on(async {
        for _ in 0..200 {
            let before = sim.now();
            sim.sleep(Millis(10)).await;
            back |= sim.now() < before;
            ahead |= sim.now().0 > before.0 + 10;
        }
    })
    .unwrap();
    assert!(back && ahead);
    assert_eq!(hit.get(), 30);
    assert_eq!(sim.elapsed(), Millis(2000));
}

#[test]
fn a_full_store_fails_nobody_and_is_made_up_for() {
    let sim = SimPlatform::new(1);
    sim.block_on(async {
        let put = |value: &str| vec![Write::put(Space::Servers, "k", value)];
        sim.write(put("1")).await.unwrap();
        sim.set_store_full(true);
        assert_eq!(sim.write(put("2")).await, Err(StoreFailure::Full));
        assert_eq!(sim.load(Space::Servers, "k").await.as_deref(), Some(&b"2"[..]), "in memory");
        assert_eq!(sim.tab().load(Space::Servers, "k").await.as_deref(), Some(&b"1"[..]));
        sim.set_store_full(false);
        sim.write(Vec::new()).await.unwrap();
        assert_eq!(sim.tab().load(Space::Servers, "k").await.as_deref(), Some(&b"2"[..]));
    })
    .unwrap();
}
