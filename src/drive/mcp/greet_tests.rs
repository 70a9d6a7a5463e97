//! A modern server that vouches for what it says of itself is not asked for it by each page.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::agent::config::AgentConfig;
use crate::drive::agent::Agent;
use crate::drive::wait::Cancel;
use crate::http::Request;
use crate::sim::{Answer, Peer, SimPlatform};
use crate::time::Millis;

/// A server that says who asked, and may be replaced by one of the older era.
#[derive(Default)]
struct Host {
    ttl: Value,
    scope: Value,
    legacy: bool,
    seen: Vec<String>,
}

impl Host {
    fn answer(&mut self, request: &Request) -> Answer {
        let message: Value = serde_json::from_str(request.body.as_deref().unwrap_or("{}")).unwrap();
        let method = message["method"].as_str().unwrap_or("").to_owned();
        self.seen.push(method.clone());
        let who = request.headers.get("authorization").unwrap_or("nobody").to_owned();
        let result = match (method.as_str(), self.legacy) {
            ("server/discover", false) => json!({
                "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} }, "instructions": who,
                "ttlMs": self.ttl, "cacheScope": self.scope,
            }),
            ("initialize", true) => json!({
                "protocolVersion": "2025-06-18", "capabilities": { "tools": {} }, "serverInfo": { "name": "old", "version": "1" },
            }),
            ("notifications/initialized", true) => return Answer::text(202, "", ""),
            ("tools/list", legacy) if legacy == request.headers.get("mcp-method").is_none() => json!({ "tools": [] }),
            _ => return Answer::text(400, "text/plain", "what?"),
        };
        Answer::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })).after(Millis(20))
    }
}

struct World {
    sim: SimPlatform,
    host: Rc<RefCell<Host>>,
}

impl World {
    fn new(ttl: Value, scope: Value) -> World {
        let sim = SimPlatform::new(1);
        let host = Rc::new(RefCell::new(Host { ttl, scope, ..Host::default() }));
        let server = host.clone();
        sim.host("https://a.test", move |request: &Request, _: &mut Peer<'_>| server.borrow_mut().answer(request));
        World { sim, host }
    }

    /// A new page of that user connects; what it was told, and what the server was asked.
    fn page(&self, token: &str, cache: Value) -> (Value, Vec<String>) {
        let server = json!({ "name": "a", "url": "https://a.test/mcp", "token": token });
        let options = json!({ "model": { "provider": "offline" }, "servers": [server], "cache": cache });
        let agent = Agent::new(Rc::new(self.sim.tab()), AgentConfig::read(&options).unwrap());
        let before = self.host.borrow().seen.len();
        self.sim.block_on(agent.connect(&Cancel::new())).unwrap().unwrap();
        let info = agent.servers()[0].clone();
        assert_eq!(info["state"], "ready", "{info}");
        self.sim.run(agent.close());
        (info["instructions"].clone(), self.host.borrow().seen[before..].to_vec())
    }
}

#[test]
fn a_page_does_not_ask_what_the_server_vouched_for_to_another_one() {
    let world = World::new(json!(60_000), Value::Null);
    let all = (json!("Bearer x"), vec!["server/discover".to_owned(), "tools/list".to_owned()]);
    assert_eq!(world.page("x", json!(true)), all);
    assert_eq!(world.page("x", json!(true)), (json!("Bearer x"), vec!["tools/list".to_owned()]));
    // What it said to somebody else is nobody's business.
    assert_eq!(world.page("y", json!(true)).0, "Bearer y");
    assert_eq!(world.page("x", json!(false)).1.len(), 2, "no cache");
    world.sim.block_on(crate::platform::Platform::sleep(&world.sim, Millis(60_000))).unwrap();
    assert_eq!(world.page("x", json!(true)), all);
}

#[test]
fn what_is_for_everybody_is_kept_for_everybody_and_what_is_not_vouched_for_is_not() {
    let world = World::new(json!(60_000), json!("public"));
    world.page("x", json!(true));
    assert_eq!(world.page("y", json!(true)), (json!("Bearer x"), vec!["tools/list".to_owned()]));
    for ttl in [Value::Null, json!(0), json!(-5)] {
        let world = World::new(ttl, json!("public"));
        world.page("x", json!(true));
        assert_eq!(world.page("x", json!(true)).1.len(), 2);
        assert!(!world.sim.stored().keys().any(|key| key.contains("discover")));
    }
}

#[test]
fn a_server_that_is_another_one_since_is_found_out() {
    let world = World::new(json!(60_000), Value::Null);
    world.page("x", json!(true));
    world.host.borrow_mut().legacy = true;
    let (_, seen) = world.page("x", json!(true));
    assert_eq!(seen.first().map(String::as_str), Some("tools/list"), "believed at first");
    assert!(seen.contains(&"initialize".to_owned()) && seen.contains(&"server/discover".to_owned()), "{seen:?}");
}
