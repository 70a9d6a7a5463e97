//! Lists by way of the cache: each page as long as it is fresh, and an agent's tools as long as their list is.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::{Value, json};

use crate::agent::config::{AgentConfig, RunOptions};
use crate::cache::Mode;
use crate::drive::agent::Agent;
use crate::drive::client::Client;
use crate::drive::wait::Cancel;
use crate::error::{Code, Result};
use crate::http::Request;
use crate::mcp::call_options::CallOptions;
use crate::mcp::config::ServerConfig;
use crate::mcp::lists::List;
use crate::platform::Platform;
use crate::sim::{Answer, Peer, SimPlatform};
use crate::time::Millis;

const URL: &str = "https://shelf.test";

/// A server whose resources come in two pages.
struct Shelf {
    /// Time of each page, and of the list of tools.
    ttls: [Option<u64>; 3],
    tools: Vec<&'static str>,
    /// Counts what has changed; cursors of before are not known after.
    edition: u32,
    calls: Vec<String>,
    /// How long the server takes.
    latency: u64,
    down: bool,
}

impl Shelf {
    fn answer(&mut self, request: &Request) -> Answer {
        if self.down {
            return Answer::Broken { after: Millis(10), message: "down".to_owned() };
        }
        let message: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let (method, params) = (message["method"].as_str().unwrap(), &message["params"]);
        let edition = self.edition;
        self.calls.push([method, params["cursor"].as_str().unwrap_or("")].join(" ").trim().to_owned());
        let tool = |name: &&str| {
            let annotations = json!({ "readOnlyHint": true, "openWorldHint": false });
            json!({ "name": name, "description": name, "inputSchema": { "type": "object" }, "annotations": annotations })
        };
        let (mut result, ttl) = match (method, params["cursor"].as_str()) {
            ("server/discover", _) => {
                let capabilities = json!({ "tools": {}, "resources": {} });
                (json!({ "supportedVersions": ["2026-07-28"], "capabilities": capabilities }), None)
            }
            ("tools/list", _) => (json!({ "tools": self.tools.iter().map(tool).collect::<Vec<_>>() }), self.ttls[2]),
            ("resources/list", None) => {
                let resource = json!({ "uri": format!("a:{edition}"), "name": "a" });
                (json!({ "resources": [resource], "nextCursor": format!("{edition}") }), self.ttls[0])
            }
            ("resources/list", Some(cursor)) if cursor != edition.to_string() => {
                let error = json!({ "code": -32602, "message": "no such page" });
                return Answer::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }));
            }
            ("resources/list", Some(_)) => {
                (json!({ "resources": [{ "uri": format!("b:{edition}"), "name": "b" }] }), self.ttls[1])
            }
            ("resources/templates/list", _) => (json!({ "resourceTemplates": [] }), self.ttls[0]),
            ("resources/read", _) => {
                (json!({ "contents": [{ "uri": params["uri"], "text": edition.to_string() }] }), None)
            }
            ("tools/call", _) => (json!({ "content": [{ "type": "text", "text": edition.to_string() }] }), None),
            other => panic!("{other:?}"),
        };
        if let Some(ttl) = ttl {
            result["ttlMs"] = ttl.into();
        }
        match Answer::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })) {
            Answer::Head { head, body, .. } => Answer::Head { after: Millis(self.latency), head, body },
            other => other,
        }
    }
}

struct World {
    sim: SimPlatform,
    shelf: Rc<RefCell<Shelf>>,
}

impl World {
    fn new(ttls: [Option<u64>; 3]) -> World {
        let sim = SimPlatform::new(1);
        let tools = vec!["look"];
        let shelf = Shelf { ttls, tools, edition: 1, calls: Vec::new(), latency: 20, down: false };
        let shelf = Rc::new(RefCell::new(shelf));
        let server = shelf.clone();
        sim.host(URL, move |request: &Request, _: &mut Peer<'_>| server.borrow_mut().answer(request));
        World { sim, shelf }
    }

    /// A new agent in a tab of its own, over the same store.
    fn agent(&self) -> Agent<SimPlatform> {
        let options = json!({ "model": { "provider": "offline" }, "servers": [{ "name": "shelf", "url": format!("{URL}/mcp") }] });
        Agent::new(Rc::new(self.sim.tab()), AgentConfig::read(&options).unwrap())
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let done = self.sim.block_on(future).unwrap_or_else(|stuck| panic!("{stuck:?}\n{}", self.sim.report()));
        assert_eq!(self.sim.leftovers(), "");
        done
    }

    fn wait(&self, ms: u64) {
        self.run(self.sim.sleep(Millis(ms)));
    }

    /// The URIs that are listed, those of a list that is over with a mark; and what the server was asked for.
    fn list(&self, agent: &Agent<SimPlatform>, mode: Mode) -> (Result<Vec<String>>, Vec<String>) {
        self.shelf.borrow_mut().calls.clear();
        let listed = self.run(agent.list(List::Resources, mode, &Cancel::new())).map(|listed| {
            let uri = |element: &Value| {
                let mark = if element["stale"] == true { "!" } else { "" };
                [element["uri"].as_str().unwrap(), mark].concat()
            };
            listed.as_array().unwrap().iter().map(uri).collect()
        });
        let calls = &self.shelf.borrow().calls;
        let calls = calls.iter().filter(|call| call.starts_with("resources/list")).cloned().collect();
        (listed, calls)
    }

    /// What the server is asked for by a run.
    fn asked_by_run(&self, agent: &Agent<SimPlatform>) -> Vec<String> {
        self.shelf.borrow_mut().calls.clear();
        let (_, driven) = agent.run("hello".into(), RunOptions::default());
        self.run(driven);
        self.shelf.borrow().calls.clone()
    }
}

fn names(agent: &Agent<SimPlatform>) -> Vec<String> {
    let tools = agent.tools();
    tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_page_is_fresh_as_long_as_it_says() {
    let world = World::new([Some(60_000), Some(10_000), Some(600_000)]);
    let agent = world.agent();
    let both = ["a:1", "b:1"].map(str::to_owned).to_vec();
    assert_eq!(
        world.list(&agent, Mode::Default),
        (Ok(both.clone()), vec!["resources/list".into(), "resources/list 1".into()])
    );
    world.wait(9_000);
    assert_eq!(world.list(&agent, Mode::Default), (Ok(both.clone()), vec![]));
    world.wait(2_000);
    assert_eq!(world.list(&agent, Mode::Default), (Ok(both.clone()), vec!["resources/list 1".into()]));
    assert_eq!(world.list(&world.agent(), Mode::Default).1, [""; 0], "another tab");
    // The page that is fresh leads to one that there is no more.
    world.shelf.borrow_mut().edition = 2;
    world.wait(11_000);
    let all = ["resources/list 1", "resources/list", "resources/list 2"].map(str::to_owned).to_vec();
    assert_eq!(world.list(&agent, Mode::Default), (Ok(vec!["a:2".into(), "b:2".into()]), all));
}

#[test]
fn a_list_is_asked_for_as_fetch_would_and_what_is_over_is_marked() {
    let world = World::new([Some(60_000), Some(10_000), Some(600_000)]);
    let fresh = world.agent();
    assert_eq!(world.list(&fresh, Mode::OnlyIfCached).0.unwrap_err().code, Code::Network);
    assert_eq!(fresh.servers()[0]["state"], "idle", "it was not asked for anything");
    let agent = world.agent();
    assert_eq!(world.list(&agent, Mode::NoStore).1.len(), 2);
    assert_eq!(world.list(&agent, Mode::Default).1.len(), 2, "nothing was kept");
    assert_eq!(world.list(&agent, Mode::Reload).1.len(), 2);
    world.wait(20_000);
    let over = Ok(vec!["a:1!".to_owned(), "b:1!".to_owned()]);
    assert_eq!(world.list(&fresh, Mode::OnlyIfCached), (over.clone(), vec![]));
    world.shelf.borrow_mut().down = true;
    assert_eq!(world.list(&agent, Mode::Default), (over.clone(), vec![]));
    assert!(world.list(&agent, Mode::Reload).0.is_err());
    assert_eq!(world.list(&world.agent(), Mode::Default), (over, vec![]), "an agent that was never connected");
}

#[test]
fn tools_are_listed_anew_by_the_next_run_when_their_list_is_over() {
    for (ttl, wait, again) in [
        (Some(0), 0, true),
        (Some(5_000), 4_000, false),
        (Some(5_000), 6_000, true),
        (None, 50_000, false),
        (None, 61_000, true),
    ] {
        let world = World::new([None, None, ttl]);
        let agent = world.agent();
        assert_eq!(world.asked_by_run(&agent), ["server/discover", "tools/list"], "{ttl:?}");
        world.shelf.borrow_mut().tools.push("new");
        world.wait(wait);
        let asked = world.asked_by_run(&agent);
        assert_eq!((asked.len(), names(&agent).len()), (usize::from(again), 1 + usize::from(again)), "{ttl:?} {wait}");
        world.shelf.borrow_mut().tools.clear();
        let before = world.shelf.borrow().calls.len();
        world.run(agent.connect(&Cancel::new())).unwrap();
        assert_eq!(world.shelf.borrow().calls.len() - before, usize::from(ttl == Some(0)), "{ttl:?} {wait}");
    }
}

#[test]
fn a_list_that_cannot_be_had_anew_holds_no_run_up_for_long() {
    let world = World::new([None, None, Some(0)]);
    let agent = world.agent();
    world.run(agent.connect(&Cancel::new())).unwrap();
    world.shelf.borrow_mut().latency = 30_000;
    let before = world.sim.elapsed();
    world.asked_by_run(&agent);
    let took = world.sim.elapsed().0 - before.0;
    assert!((1_000..1_200).contains(&took), "{took}");
    assert_eq!((names(&agent).len(), &agent.servers()[0]["state"]), (1, &json!("ready")));
    assert_eq!(world.asked_by_run(&agent), [""; 0], "not the next one either");
}

#[test]
fn two_runs_at_once_list_once() {
    let world = World::new([None, None, Some(0)]);
    let agent = world.agent();
    world.run(agent.connect(&Cancel::new())).unwrap();
    world.shelf.borrow_mut().calls.clear();
    let runs = [(); 3].map(|()| agent.run("hello".into(), RunOptions::default()).1);
    world.run(futures_util::future::join_all(runs));
    assert_eq!(world.shelf.borrow().calls, ["tools/list"]);
}

#[test]
fn a_new_agent_takes_the_list_of_tools_that_is_fresh() {
    let world = World::new([None, None, Some(60_000)]);
    world.asked_by_run(&world.agent());
    let agent = world.agent();
    assert_eq!(world.asked_by_run(&agent), ["server/discover"]);
    assert_eq!(names(&agent), ["shelf.look"]);
    // What is left of the time counts, not the whole of it.
    world.wait(61_000);
    assert_eq!(world.asked_by_run(&agent), ["tools/list"]);
}

#[test]
fn offline_what_is_cached_answers_an_agent_that_was_never_connected() {
    let world = World::new([None, None, Some(60_000)]);
    let call = |agent: &Agent<SimPlatform>, mode: Mode| {
        let (input, cancel) = (json!({}), Cancel::new());
        world.run(agent.call_cached("shelf.look", input, mode, &cancel, &mut |_| {}, None))
    };
    let read = |agent: &Agent<SimPlatform>, cache: Mode| {
        let params = json!({ "uri": "a:1" });
        let options = CallOptions { cache, ..CallOptions::default() };
        let (params, cancel) = (params.as_object().unwrap(), Cancel::new());
        world.run(agent.ask("shelf", "resources/read", params, &options, &cancel, &mut |_| {}))
    };
    let first = world.agent();
    assert_eq!(call(&first, Mode::Default).unwrap().cached, None);
    assert_eq!(read(&first, Mode::Default).unwrap().get("cached"), None);
    world.shelf.borrow_mut().edition = 2;
    world.shelf.borrow_mut().calls.clear();
    for down in [false, true] {
        world.shelf.borrow_mut().down = down;
        let agent = world.agent();
        let age = call(&agent, Mode::OnlyIfCached).unwrap().cached.unwrap();
        assert!(!age.stale);
        assert_eq!(read(&agent, Mode::OnlyIfCached).unwrap()["cached"]["stale"], true);
    }
    assert!(world.shelf.borrow().calls.is_empty());
    world.wait(61_000);
    let agent = world.agent();
    assert!(call(&agent, Mode::Default).unwrap().cached.unwrap().stale);
    assert_eq!(agent.servers()[0]["state"], "failed");
    assert_eq!(read(&agent, Mode::Default).unwrap()["contents"][0]["text"], "1");
    assert_eq!(call(&agent, Mode::Reload).unwrap_err().code, Code::Network);
    // When it is back, it is asked again.
    world.shelf.borrow_mut().down = false;
    let called = call(&agent, Mode::Default).unwrap();
    assert_eq!((called.cached, called.content[0]["text"].as_str()), (None, Some("2")));
    assert_eq!(agent.servers()[0]["state"], "ready");
}

#[test]
fn context_lists_by_way_of_the_cache_and_says_when_it_was_read() {
    let world = World::new([Some(60_000), Some(60_000), Some(60_000)]);
    let first = world.agent();
    let read_at = Cell::new(0);
    let build = |agent: &Agent<SimPlatform>| {
        let config = agent.context_config();
        world.shelf.borrow_mut().calls.clear();
        let context = world.run(agent.build_context("1", &config, &Cancel::new())).unwrap();
        read_at.set(context["sources"][0]["readAt"].as_u64().unwrap_or_default());
        world.shelf.borrow().calls.iter().filter(|call| call.starts_with("resources/list")).count()
    };
    assert_eq!(build(&first), 2);
    let at = read_at.get();
    assert_eq!(build(&first), 0);
    assert_eq!(build(&world.agent()), 0, "another tab");
    world.run(first.forget_cached("shelf", "resources/list"));
    assert_eq!(build(&first), 2, "it was told of a change");
    world.shelf.borrow_mut().down = true;
    world.wait(5_000);
    build(&first);
    let (read, now) = (read_at.get(), world.sim.now().0);
    assert!(at > 0 && read > 0 && read < now - 5_000, "as old as what was kept: {at} {read} {now}");
}

#[test]
fn a_client_keeps_lists_and_resources_where_it_is_to() {
    let world = World::new([Some(60_000), Some(60_000), None]);
    let config = || ServerConfig::read_alone(&json!({ "url": format!("{URL}/mcp") })).unwrap();
    let platform = || Rc::new(world.sim.tab());
    let (options, cancel) = (CallOptions::default(), Cancel::new());
    let asked = |client: &Client<SimPlatform>| {
        world.shelf.borrow_mut().calls.clear();
        world.run(client.list(List::Resources, &options, &cancel)).unwrap();
        let params = json!({ "uri": "a:1" });
        let read = world.run(client.ask("resources/read", params.as_object().unwrap(), &options, &cancel, &mut |_| ()));
        assert!(read.is_ok_and(|read| read.get("cached").is_none()), "it has no time");
        world.shelf.borrow().calls.iter().filter(|call| *call != "server/discover").count()
    };
    let plain = Client::new(platform(), config());
    assert_eq!((asked(&plain), asked(&plain)), (3, 3));
    assert_eq!(world.run(plain.cache_stats()), Value::Null);
    let client = Client::caching(platform(), config());
    assert_eq!((asked(&client), asked(&client), asked(&Client::caching(platform(), config()))), (3, 1, 1));
    assert_eq!(world.run(client.cache_stats())["entries"], 3);
    world.shelf.borrow_mut().down = true;
    let params = json!({ "uri": "a:1" });
    let read = world.run(client.ask("resources/read", params.as_object().unwrap(), &options, &cancel, &mut |_| ()));
    assert_eq!(read.unwrap()["cached"]["stale"], true);
    world.run(client.clear_cache());
    assert_eq!(world.run(client.cache_stats())["entries"], 0);
}

#[test]
fn what_had_to_go_is_counted_at_its_server() {
    let world = World::new([None, None, Some(60_000)]);
    world.sim.set_store_room(4_000);
    let agent = world.agent();
    for number in 0..40 {
        let input = json!({ "number": number });
        world.run(agent.call_tool("shelf.look", input, &Cancel::new(), &mut |_| {})).unwrap();
    }
    let stats = world.run(agent.cache_stats());
    assert!(stats["evictions"].as_u64().unwrap() > 10, "{stats}");
    assert_eq!(stats["servers"][0]["evictions"], stats["evictions"], "there is only one");
}
