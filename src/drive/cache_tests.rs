//! Calls by way of the cache, against a model that remembers everything.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::agent::config::{AgentConfig, RunOptions};
use crate::cache::Mode;
use crate::drive::agent::Agent;
use crate::drive::client::Client;
use crate::drive::wait::Cancel;
use crate::error::Code;
use crate::http::Request;
use crate::mcp::call_options::CallOptions;
use crate::mcp::config::ServerConfig;
use crate::mcp::lists::List;
use crate::mcp::types::CallToolResult;
use crate::platform::Platform;
use crate::sim::{Answer, AppAnswer, Clock, Peer, Rng, SimPlatform};
use crate::time::Millis;

const URL: &str = "https://notes.test";
const TTL: u64 = 5_000;

/// A server that keeps a number for each principal and name, and counts what it is asked.
#[derive(Default)]
struct Notes {
    /// Principal, name, number, and since when.
    history: Vec<(String, String, u64, u64)>,
    calls: Vec<String>,
    down: bool,
    latency: u64,
    /// How long it takes to carry out what changes something; whoever asked for it need not wait for that.
    slow: u64,
    ttl: Option<Value>,
    scope: Option<&'static str>,
}

impl Notes {
    fn number(&self, who: &str, name: &str, at: u64) -> u64 {
        let of = self.history.iter().rev().find(|(by, of, _, since)| by == who && of == name && *since <= at);
        of.map_or(0, |(_, _, number, _)| *number)
    }

    fn change(&mut self, who: &str, name: &str, now: u64) {
        let number = self.number(who, name, now) + 1;
        self.history.push((who.to_owned(), name.to_owned(), number, now));
    }

    fn answer(&mut self, request: &Request, now: u64) -> Answer {
        if self.down {
            return Answer::Broken { after: Millis(10), message: "down".to_owned() };
        }
        let message: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let who = request.headers.get("authorization").unwrap_or("nobody").trim_start_matches("Bearer ").to_owned();
        let method = message["method"].as_str().unwrap();
        let params = &message["params"];
        let name = params["arguments"]["name"].as_str().unwrap_or("");
        let tool = |name: &str, annotations: Value| json!({ "name": name, "inputSchema": { "type": "object" }, "annotations": annotations });
        let text = |text: String| json!({ "content": [{ "type": "text", "text": text }] });
        let mut lasts = 0;
        let mut result = match method {
            "server/discover" => {
                json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {}, "resources": {} } })
            }
            "tools/list" => json!({ "tools": [
                json!({
                    "name": "add", "description": "add: adds a and b",
                    "annotations": { "readOnlyHint": true, "openWorldHint": false },
                    "inputSchema": { "type": "object", "required": ["a", "b"],
                        "properties": { "a": { "type": "number" }, "b": { "type": "number" } } },
                }),
                tool("get", json!({ "readOnlyHint": true, "openWorldHint": false })),
                tool("set", json!({ "openWorldHint": false })),
                tool("reset", json!({ "idempotentHint": true, "openWorldHint": false })),
                tool("world", json!({ "readOnlyHint": true })),
                tool("ask", json!({ "readOnlyHint": true, "openWorldHint": false })),
                tool("fail", json!({ "readOnlyHint": true, "openWorldHint": false })),
            ] }),
            "tools/call" => match params["name"].as_str().unwrap() {
                "add" => text("42".into()),
                "get" | "world" => text(format!("{who} {name} {}", self.number(&who, name, now))),
                "ask" if params.get("inputResponses").is_none() => {
                    let form = json!({ "method": "elicitation/create", "params": { "mode": "form", "message": "?", "requestedSchema": { "type": "object", "properties": {} } } });
                    json!({ "resultType": "input_required", "inputRequests": { "q": form } })
                }
                "ask" => text("answered".into()),
                "fail" => json!({ "content": [], "isError": true }),
                _ => {
                    self.change(&who, name, now + self.slow);
                    lasts = self.slow;
                    text("done".into())
                }
            },
            "resources/list" => json!({ "resources": [{ "uri": format!("n:{}", self.calls.len()), "name": "n" }] }),
            "resources/read" => {
                json!({ "contents": [{ "uri": params["uri"], "text": format!("{who} {}", self.calls.len()) }] })
            }
            other => panic!("{other}"),
        };
        if let (true, Some(ttl)) = (matches!(method, "resources/list" | "resources/read" | "tools/call"), &self.ttl) {
            result["ttlMs"] = ttl.clone();
        }
        if let Some(scope) = self.scope {
            result["cacheScope"] = scope.into();
        }
        let subject = params["name"].as_str().map_or_else(String::new, |name| format!(" {name}"));
        self.calls.push(format!("{method}{subject}"));
        let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
        match Answer::text(200, "application/json", answer.to_string()) {
            Answer::Head { head, body, .. } => Answer::Head { after: Millis(self.latency + lasts), head, body },
            other => other,
        }
    }
}

struct World {
    sim: SimPlatform,
    notes: Rc<RefCell<Notes>>,
}

impl World {
    fn new(seed: u64) -> World {
        let sim = SimPlatform::new(seed);
        let notes = Rc::new(RefCell::new(Notes { latency: 20, ..Notes::default() }));
        let server = notes.clone();
        sim.host(URL, move |request: &Request, peer: &mut Peer<'_>| server.borrow_mut().answer(request, peer.now.0));
        World { sim, notes }
    }

    fn agent(&self, tab: &SimPlatform, token: Value, cache: Value) -> Agent<SimPlatform> {
        let server = json!({ "name": "notes", "url": format!("{URL}/mcp"), "token": token });
        let options =
            json!({ "model": { "provider": "offline" }, "servers": [server], "cache": cache, "approval": "never" });
        Agent::new(Rc::new(tab.clone()), AgentConfig::read(&options).unwrap())
    }

    fn of(&self, token: &str) -> Agent<SimPlatform> {
        self.agent(&self.sim.tab(), token.into(), json!({ "ttlMs": TTL }))
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let done = self.sim.block_on(future).unwrap_or_else(|stuck| panic!("{stuck:?}\n{}", self.sim.report()));
        assert_eq!(self.sim.leftovers(), "");
        done
    }

    fn call(
        &self,
        agent: &Agent<SimPlatform>,
        tool: &str,
        name: &str,
        mode: Mode,
    ) -> crate::error::Result<CallToolResult> {
        self.run(call(agent, tool, name, mode))
    }

    /// How many calls of that tool the server has seen.
    fn seen(&self, tool: &str) -> usize {
        let wanted = format!("tools/call {tool}");
        self.notes.borrow().calls.iter().filter(|call| **call == wanted).count()
    }

    fn wait(&self, ms: u64) {
        self.run(self.sim.sleep(Millis(ms)));
    }
}

async fn call(agent: &Agent<SimPlatform>, tool: &str, name: &str, mode: Mode) -> crate::error::Result<CallToolResult> {
    let input = json!({ "name": name });
    agent.call_cached(&format!("notes.{tool}"), input, mode, &Cancel::new(), &mut |_| {}, None).await
}

fn text(result: &CallToolResult) -> &str {
    result.content[0]["text"].as_str().unwrap()
}

#[test]
fn never_over_unless_marked_never_of_another_principal_and_never_from_before_a_write() {
    for seed in 0..150 {
        let world = World::new(seed);
        let mut rng = Rng::new(seed).fork("cache");
        if seed % 3 == 1 {
            world.sim.set_store_room(6_000);
        }
        // Two tabs of one user, and somebody else at the same computer.
        let agents = ["a", "a", "b"].map(|token| (token, world.of(token)));
        agents.iter().for_each(|(_, agent)| world.run(agent.connect(&Cancel::new())).unwrap());
        let names = ["x", "y", "z"];
        // What a principal has written with the server's knowledge: from then on nothing older is right.
        let mut wrote: Vec<(&str, u64)> = Vec::new();
        for _ in 0..60 {
            let (who, agent) = &agents[rng.within(0..=2) as usize];
            let name = names[rng.within(0..=2) as usize];
            let down = world.notes.borrow().down;
            match rng.within(0..=9) {
                0 => world.wait(rng.within(1..=2 * TTL)),
                1 => world.notes.borrow_mut().down = !down && rng.chance(500),
                2 => {
                    let now = world.sim.elapsed().0;
                    world.notes.borrow_mut().change(who, name, now);
                }
                3 if !down => {
                    world.call(agent, "set", name, Mode::Default).unwrap();
                    wrote.push((who, world.sim.elapsed().0));
                }
                _ => {
                    let mode = [Mode::Default, Mode::Default, Mode::Reload, Mode::OnlyIfCached, Mode::NoStore]
                        [rng.within(0..=4) as usize];
                    let calls = world.seen("get");
                    let begun = world.sim.elapsed().0;
                    let got = world.call(agent, "get", name, mode);
                    let asked = world.seen("get") - calls;
                    let Ok(result) = got else {
                        assert!(down || mode == Mode::OnlyIfCached, "seed {seed}: {got:?}");
                        assert_eq!(asked, 0);
                        continue;
                    };
                    let words: Vec<&str> = text(&result).split(' ').collect();
                    assert_eq!(words[..2], [*who, name], "seed {seed}: another principal's, or another call's");
                    let number: u64 = words[2].parse().unwrap();
                    let notes = world.notes.borrow();
                    match result.cached {
                        None => {
                            assert_eq!(
                                (number, asked),
                                (notes.number(who, name, world.sim.elapsed().0), 1),
                                "seed {seed}"
                            );
                        }
                        Some(age) => {
                            assert_eq!(asked, 0, "seed {seed}");
                            assert!(matches!(mode, Mode::Default | Mode::OnlyIfCached) || (down && age.stale));
                            assert!(
                                !age.stale || down || mode == Mode::OnlyIfCached,
                                "seed {seed}: over, and not for need"
                            );
                            let oldest = if age.stale { 0 } else { begun.saturating_sub(TTL) };
                            let written = wrote.iter().rev().find(|(by, _)| by == who).map_or(0, |(_, at)| *at);
                            let floor = notes.number(who, name, oldest.max(written));
                            assert!(number >= floor, "seed {seed}: {number} < {floor}, {age:?}");
                        }
                    }
                }
            }
        }
        assert_eq!(world.sim.violations(), [""; 0]);
    }
}

#[test]
fn equal_calls_at_once_are_one_request_and_the_next_one_none() {
    let world = World::new(1);
    let agent = world.of("a");
    let results = world.run(async {
        agent.connect(&Cancel::new()).await.unwrap();
        join_all((0..5).map(|_| call(&agent, "get", "x", Mode::Default))).await
    });
    let cached = results.iter().filter(|result| result.as_ref().unwrap().cached.is_some()).count();
    assert_eq!((world.seen("get"), cached), (1, 4));
    world.wait(1_000);
    let again = world.call(&agent, "get", "x", Mode::Default).unwrap();
    let age = again.cached.unwrap();
    assert!(!age.stale && (1_000..1_100).contains(&age.age_ms.0), "{age:?}");
    // Whoever leaves while it is asked leaves it to the next one.
    world.run(async {
        let cancel = Cancel::new();
        let input = json!({ "name": "y" });
        let mut ignore = |_| {};
        let first = agent.call_cached("notes.get", input, Mode::Default, &cancel, &mut ignore, None);
        let cancelling = async {
            world.sim.sleep(Millis(5)).await;
            cancel.cancel();
        };
        let (first, _, second) =
            futures_util::future::join3(first, cancelling, call(&agent, "get", "y", Mode::Default)).await;
        assert_eq!(first.unwrap_err().code, Code::Cancelled);
        assert_eq!(second.unwrap().cached, None);
    });
}

#[test]
fn what_is_never_kept() {
    let world = World::new(1);
    world.sim.function(crate::options::FunctionId(9), |_, _| {
        AppAnswer::value(Millis(1), json!({ "action": "accept", "content": {} }))
    });
    let server = json!({ "name": "notes", "url": format!("{URL}/mcp"), "onInput": { "$function": 9 } });
    let options = json!({ "model": { "provider": "offline" }, "servers": [server] });
    let agent = Agent::new(Rc::new(world.sim.clone()), AgentConfig::read(&options).unwrap());
    for (tool, requests) in [("set", 1), ("world", 1), ("ask", 2), ("fail", 1)] {
        for round in 1..=2 {
            let result = world.call(&agent, tool, "x", Mode::Default).unwrap();
            assert_eq!((result.cached, world.seen(tool)), (None, round * requests), "{tool}");
        }
    }
    // An idempotent write is kept beside what it made worthless.
    assert_eq!(world.call(&agent, "get", "x", Mode::Default).unwrap().cached, None);
    assert_eq!(world.call(&agent, "reset", "x", Mode::Default).unwrap().cached, None);
    assert!(world.call(&agent, "reset", "x", Mode::Default).unwrap().cached.is_some());
    assert_eq!(world.call(&agent, "get", "x", Mode::Default).unwrap().cached, None);
    let off = world.agent(&world.sim, Value::Null, json!(false));
    assert_eq!(world.call(&off, "get", "x", Mode::Default).unwrap().cached, None);
    assert_eq!(world.call(&off, "get", "x", Mode::OnlyIfCached).unwrap_err().code, Code::Network);
}

#[test]
fn an_answer_that_was_asked_for_before_a_write_is_not_kept_after_it() {
    let world = World::new(1);
    let agent = world.of("a");
    world.run(agent.connect(&Cancel::new())).unwrap();
    world.run(async {
        let slow = async {
            world.notes.borrow_mut().latency = 500;
            call(&agent, "get", "x", Mode::Default).await
        };
        let write = async {
            world.sim.sleep(Millis(100)).await;
            world.notes.borrow_mut().latency = 20;
            call(&agent, "set", "x", Mode::Default).await
        };
        let (got, set) = futures_util::future::join(slow, write).await;
        assert!(got.is_ok() && set.is_ok());
    });
    let after = world.call(&agent, "get", "x", Mode::Default).unwrap();
    assert_eq!((after.cached, text(&after)), (None, "a x 1"));
}

#[test]
fn nor_does_another_tab_keep_it() {
    let world = World::new(1);
    let tabs = [world.of("a"), world.of("a")];
    tabs.iter().for_each(|tab| world.run(tab.connect(&Cancel::new())).unwrap());
    world.run(async {
        let slow = async {
            world.notes.borrow_mut().latency = 500;
            call(&tabs[1], "get", "x", Mode::Default).await
        };
        let write = async {
            world.sim.sleep(Millis(100)).await;
            world.notes.borrow_mut().latency = 20;
            call(&tabs[0], "set", "x", Mode::Default).await
        };
        let (got, set) = futures_util::future::join(slow, write).await;
        assert!(got.is_ok() && set.is_ok());
    });
    let after = world.call(&tabs[0], "get", "x", Mode::Default).unwrap();
    assert_eq!((after.cached, text(&after)), (None, "a x 1"));
    let after = world.call(&tabs[1], "get", "x", Mode::Default).unwrap();
    assert_eq!((after.cached.is_some(), text(&after)), (true, "a x 1"));
    let stats = world.run(tabs[0].cache_stats());
    assert_eq!(stats["entries"], stats["servers"][0]["entries"], "what the tabs tell each other is no answer");
}

#[test]
fn a_write_counts_also_where_nobody_is_left_to_see_its_end() {
    let world = World::new(1);
    let agent = world.of("a");
    world.run(agent.connect(&Cancel::new())).unwrap();
    assert_eq!(text(&world.call(&agent, "get", "x", Mode::Default).unwrap()), "a x 0");
    world.notes.borrow_mut().latency = 500;
    world.run(async {
        let written = Box::pin(call(&agent, "set", "x", Mode::Default));
        // The tab is closed while the server writes.
        let first = futures_util::future::select(written, Box::pin(world.sim.sleep(Millis(100)))).await;
        assert!(matches!(first, futures_util::future::Either::Right(_)));
    });
    let next = world.of("a");
    let after = world.call(&next, "get", "x", Mode::Default).unwrap();
    assert_eq!((after.cached, text(&after)), (None, "a x 1"));
}

#[test]
fn what_is_read_while_a_write_may_still_be_carried_out_is_not_trusted() {
    for cancelled in [true, false] {
        let world = World::new(1);
        let (tab, next) = (world.of("a"), world.of("a"));
        [&tab, &next].iter().for_each(|tab| world.run(tab.connect(&Cancel::new())).unwrap());
        world.notes.borrow_mut().slow = 3_000;
        world.run(async {
            let (cancel, mut ignore) = (Cancel::new(), |_| {});
            let input = json!({ "name": "x" });
            let written = tab.call_cached("notes.set", input, Mode::Default, &cancel, &mut ignore, None);
            let leave = async {
                world.sim.sleep(Millis(100)).await;
                if cancelled {
                    cancel.cancel();
                    std::future::pending::<()>().await;
                }
                // The tab is closed.
            };
            let first = futures_util::future::select(Box::pin(written), Box::pin(leave)).await;
            assert_eq!(matches!(first, futures_util::future::Either::Left((Err(_), _))), cancelled);
        });
        let get = |tab| {
            let got = world.call(tab, "get", "x", Mode::Default).unwrap();
            (text(&got).to_owned(), got.cached.map(|age| age.stale))
        };
        let (old, new) = (("a x 0".to_owned(), None), ("a x 1".to_owned(), None));
        for tab in [&tab, &next, &tab, &next] {
            assert_eq!(get(tab), old, "cancelled: {cancelled}");
        }
        world.wait(3_000);
        for tab in [&next, &tab] {
            assert_eq!(get(tab), new, "cancelled: {cancelled}");
        }
        world.notes.borrow_mut().down = true;
        assert_eq!(get(&next), ("a x 1".to_owned(), Some(true)), "better than nothing");
        world.notes.borrow_mut().down = false;
        world.wait(300_000);
        assert_eq!((get(&tab), get(&next)), (new, ("a x 1".to_owned(), Some(false))));
    }
}

#[test]
fn a_write_of_a_client_counts_where_it_shares_the_cache() {
    let world = World::new(1);
    let agent = world.of("a");
    let server = json!({ "name": "raw", "url": format!("{URL}/mcp"), "token": "a" });
    let config = ServerConfig::read(&server, "s").unwrap();
    let client = Client::caching(Rc::new(world.sim.tab()), config);
    let write = |tool: &str| {
        let (params, options, cancel) =
            (json!({ "name": tool, "arguments": { "name": "x" } }), CallOptions::default(), Cancel::new());
        world.run(client.ask("tools/call", params.as_object().unwrap(), &options, &cancel, &mut |_| {})).unwrap();
    };
    let get = || {
        let got = world.call(&agent, "get", "x", Mode::Default).unwrap();
        (text(&got).to_owned(), got.cached.is_some())
    };
    assert_eq!(get(), ("a x 0".to_owned(), false));
    write("set");
    assert_eq!(get(), ("a x 1".to_owned(), false));
    world.run(client.list(List::Tools, &CallOptions::default(), &Cancel::new())).unwrap();
    write("get");
    assert_eq!(get(), ("a x 1".to_owned(), true), "one that only reads, as was listed");
    write("set");
    assert_eq!(get(), ("a x 2".to_owned(), false));
}

#[test]
fn everybody_gets_what_the_server_says_is_for_everybody() {
    for (scope, requests) in [(Some("public"), 1), (Some("private"), 2), (None, 2)] {
        let world = World::new(1);
        world.notes.borrow_mut().scope = scope;
        world.notes.borrow_mut().ttl = Some(60_000.into());
        for token in ["a", "b"] {
            let agent = world.of(token);
            let params = json!({ "uri": "n:1" });
            let (options, cancel, mut ignore) = (CallOptions::default(), Cancel::new(), |_| {});
            let params = params.as_object().unwrap();
            world.run(agent.ask("notes", "resources/read", params, &options, &cancel, &mut ignore)).unwrap();
        }
        let reads = world.notes.borrow().calls.iter().filter(|call| *call == "resources/read").count();
        assert_eq!(reads, requests, "{scope:?}");
    }
}

#[test]
fn lists_are_fresh_as_long_as_the_server_says_and_answer_when_it_is_gone() {
    let world = World::new(1);
    let agent = world.of("a");
    let list = || world.run(agent.list(List::Resources, Mode::Default, &Cancel::new())).unwrap()[0]["uri"].clone();
    let (one, two) = (list(), list());
    assert_ne!(one, two, "without a word of the server nothing is fresh");
    world.notes.borrow_mut().down = true;
    assert_eq!(list(), two);
    world.notes.borrow_mut().down = false;
    world.notes.borrow_mut().ttl = Some(10_000.into());
    let three = list();
    assert_eq!(list(), three);
    world.run(agent.forget_cached("notes", "resources/list"));
    let four = list();
    assert_ne!(three, four);
    world.wait(10_001);
    assert_ne!(list(), four);
}

#[test]
fn statistics_count_and_clear_forgets() {
    let world = World::new(1);
    let agent = world.of("a");
    for name in ["x", "y", "x"] {
        world.call(&agent, "get", name, Mode::Default).unwrap();
    }
    world.wait(TTL);
    world.notes.borrow_mut().down = true;
    assert!(world.call(&agent, "get", "x", Mode::Default).unwrap().cached.unwrap().stale);
    let stats = world.run(agent.cache_stats());
    let numbers = ["entries", "hits", "misses", "stale", "evictions"].map(|name| stats[name].as_u64().unwrap());
    assert_eq!(numbers, [3, 1, 3, 1, 0], "two calls and the list of tools");
    assert_eq!(stats["servers"][0]["server"], "notes");
    assert_eq!(stats["servers"][0]["bytes"], stats["bytes"]);
    assert!(world.run(agent.clear_cache(Some("other"))).is_err());
    world.run(agent.clear_cache(Some("notes"))).unwrap();
    assert_eq!(world.run(agent.cache_stats())["entries"], 0);
    assert!(world.call(&agent, "get", "x", Mode::Default).is_err());
}

#[test]
fn a_run_says_what_came_from_the_cache_and_how_old_it_is() {
    let world = World::new(1);
    let agent = world.of("a");
    world.sim.set_clock(Clock::Normal);
    let events = |prompt: &str| {
        let (handle, driven) = agent.run(prompt.into(), RunOptions::default());
        let events = world.run(async { futures_util::future::join(driven, handle.all_events()).await.1 });
        events.into_iter().find(|event| event["type"] == "tool_result").unwrap_or_default()
    };
    let first = events("What is 17 + 25?");
    assert_eq!((first["outcome"].as_str(), first.get("ageMs")), (Some("ok"), None), "{first}");
    world.wait(2_000);
    let second = events("What is 17 + 25?");
    assert_eq!((second["outcome"].as_str(), second["stale"].as_bool()), (Some("cached"), Some(false)), "{second}");
    assert!(second["ageMs"].as_u64().unwrap() >= 2_000);
}
