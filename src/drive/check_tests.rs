//! Calls of models that write their arguments wrong, and tools that do not keep what they promise.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::*;
use crate::agent::catalog::ToolEntry;
use crate::agent::config::AgentConfig;
use crate::http::Request;
use crate::sim::{Answer, Peer, SimPlatform};

struct World {
    sim: SimPlatform,
    agent: Agent<SimPlatform>,
    calls: Rc<Cell<usize>>,
}

/// A server whose tool gives `structured` back, without other content.
fn world(output: Value, structured: Value, more: Value) -> World {
    let sim = SimPlatform::new(1);
    let calls = Rc::new(Cell::new(0));
    let tool = json!({
        "name": "weather", "annotations": { "readOnlyHint": true }, "outputSchema": output,
        "inputSchema": {
            "type": "object", "required": ["city"], "additionalProperties": false,
            "properties": { "city": { "type": "string" }, "day": { "pattern": "(?<=x)y", "$ref": "https://evil.test/day" } },
        },
    });
    let (counted, tool) = (calls.clone(), RefCell::new(tool));
    sim.host("https://w.test", move |request: &Request, _: &mut Peer<'_>| {
        let message: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
        let result = match message["method"].as_str().unwrap() {
            "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
            "tools/list" => json!({ "tools": [*tool.borrow()] }),
            _ => {
                counted.set(counted.get() + 1);
                json!({ "content": [], "structuredContent": structured })
            }
        };
        let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
        Answer::text(200, "application/json", answer.to_string())
    });
    let mut server = json!({ "name": "w", "url": "https://w.test/mcp" });
    if let (Some(server), Some(more)) = (server.as_object_mut(), more.as_object()) {
        server.extend(more.clone());
    }
    let options = json!({ "model": { "provider": "offline" }, "servers": [server] });
    let agent = Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap());
    sim.block_on(agent.connect(&Cancel::new())).unwrap().unwrap();
    World { sim, agent, calls }
}

impl World {
    fn call(&self, input: Value) -> (bool, String) {
        let (name, server) = ("w.weather".to_owned(), Some("w".to_owned()));
        let tool = ToolEntry { wire_name: "w__weather".into(), name, server, read_only: true, ..ToolEntry::default() };
        let call = Call { id: "1".into(), tool, input, planned: false, task: None };
        let output = self.sim.block_on(self.agent.call_checked(&call, &Cancel::new(), &mut |_| (), None)).unwrap();
        let output = crate::drive::tool::output_of(output.unwrap());
        let texts = output.into_model_content();
        let texts: Vec<&str> = texts.iter().filter_map(|block| block["text"].as_str()).collect();
        (self.calls.take() > 0, texts.join("\n"))
    }
}

#[test]
fn wrong_arguments_go_nowhere_and_the_model_learns_why() {
    let world = world(json!({}), json!({ "t": 1 }), json!({}));
    let told = "not called: the arguments are not what the tool takes:\n- `city` is missing; is it what you called `citty`?\n- `citty` is unknown; did you mean `city`?";
    assert_eq!(world.call(json!({ "citty": "Oslo" })), (false, told.into()));
    assert_eq!(world.call(json!({ "city": "Oslo" })), (true, "{\"t\":1}".into()));
    assert_eq!(world.sim.leftovers(), "");
}

#[test]
fn what_cannot_be_checked_is_called_and_noted() {
    let world = world(json!({}), json!({ "t": 1 }), json!({}));
    assert!(world.call(json!({ "city": "Oslo", "day": "Monday" })).0);
    let warnings = || world.agent.servers()[0]["warnings"].clone();
    let known = warnings();
    assert_eq!(known[0], "tool weather: the reference https://evil.test/day leads nowhere, and none is fetched");
    assert!(!world.sim.log().iter().any(|line| line.contains("evil.test")));
    world.sim.set_parts_missing(true);
    assert!(world.call(json!({ "city": "Oslo" })).0);
    assert_eq!(warnings(), known, "what plainly fits needs no part");
    assert!(world.call(json!({ "citty": "Oslo" })).0, "without the part nothing is checked");
}

#[test]
fn a_broken_promise_is_noted_beside_the_data() {
    let output = json!({ "type": "object", "properties": { "t": { "type": "number" } }, "required": ["t"] });
    let promised = world(output.clone(), json!({ "t": 1 }), json!({}));
    assert_eq!(promised.call(json!({ "city": "Oslo" })).1, "{\"t\":1}");
    let broken = world(output.clone(), json!({ "t": "1" }), json!({}));
    let note = "{\"t\":\"1\"}\nNote: the structured content is not what the tool promised in its outputSchema:\n- t: must be a number, not a string";
    assert_eq!(broken.call(json!({ "city": "Oslo" })).1, note);
    let off = world(output, json!({ "t": "1" }), json!({ "validate": false }));
    assert_eq!(off.call(json!({ "citty": "Oslo" })), (true, "{\"t\":\"1\"}".into()));
}

#[test]
fn a_broken_promise_is_an_error_for_a_client() {
    let output = json!({ "type": "object", "properties": { "t": { "type": "number" } }, "required": ["t"] });
    let call = |structured: Value, more: Value| {
        let world = world(output.clone(), structured, json!({}));
        let mut server = json!({ "name": "w", "url": "https://w.test/mcp" });
        server.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config = crate::mcp::config::ServerConfig::read(&server, "").unwrap();
        let connection = Connection::new(Rc::new(world.sim.clone()), config);
        world.sim.block_on(async {
            let never = Cancel::new();
            connection.list(crate::mcp::lists::List::Tools, &Default::default(), &never).await.unwrap();
            let params = json!({ "name": "weather", "arguments": { "city": "Oslo" } });
            let params = params.as_object().unwrap();
            let result = connection.ask("tools/call", params, &Default::default(), &never, &mut |_| ()).await.unwrap();
            connection.keeps_promise(params, &result, &never).await
        })
    };
    assert_eq!(call(json!({ "t": 1 }), json!({})).unwrap(), Ok(()));
    let error = call(json!({ "t": "s3cret" }), json!({})).unwrap().unwrap_err();
    let words =
        "tools/call weather: structuredContent is not what outputSchema says: t: must be a number, not a string";
    assert_eq!((error.code, error.message.as_str()), (Code::Protocol, words));
    assert_eq!(call(json!({ "t": "1" }), json!({ "validate": false })).unwrap(), Ok(()));
}
