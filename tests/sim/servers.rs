//! The scripted servers find what they are there to find: a wrong client is caught, a right one is not.

use edgewise::drive::wait::{Cancel, within};
use edgewise::http::{Headers, Method, Request};
use edgewise::platform::{Body, Platform};
use edgewise::sim::{Era, ScriptedMcp, ScriptedModel, SimPlatform, ToolKind, Wire};
use edgewise::time::Millis;
use serde_json::{Value, json};

const MODEL: &str = "https://model.test";
const MCP: &str = "https://mcp.test";

fn post(url: String, headers: &[(&str, &str)], body: &Value) -> Request {
    let mut fields = Headers::new();
    for (name, value) in headers {
        fields.set(name, *value);
    }
    Request { method: Method::Post, url, headers: fields, body: Some(body.to_string()) }
}

/// Status and text of the answer. Some bodies never end: reads until a minute of silence.
fn ask(sim: &SimPlatform, request: Request) -> (u16, String) {
    let answer = sim.block_on(async {
        let mut answer = sim.fetch(request).await.unwrap();
        let mut bytes = Vec::new();
        let minute = Millis::from_secs(60);
        while let Ok(Some(chunk)) = within(sim, minute, &Cancel::new(), answer.body.chunk()).await {
            bytes.extend(chunk.unwrap());
        }
        (answer.head.status, String::from_utf8(bytes).unwrap())
    });
    assert_eq!(sim.leftovers(), "");
    answer.unwrap()
}

fn anthropic(messages: Value) -> Request {
    let tool = ToolKind::Add.definition();
    let tool = json!({ "name": "add", "description": tool["description"], "input_schema": tool["inputSchema"] });
    let body = json!({ "model": "m", "max_tokens": 100, "stream": true, "messages": messages, "tools": [tool] });
    post(format!("{MODEL}/v1/messages"), &[("x-api-key", "sk"), ("anthropic-version", "2023-06-01")], &body)
}

/// What the model finds wrong with a second request, whose history is made from what it said in the first.
fn second_request(history: impl Fn(Value, &[(String, String)]) -> Value) -> Vec<String> {
    let sim = SimPlatform::new(3);
    let model = sim.host(MODEL, ScriptedModel { talk: 1000, ..ScriptedModel::new(Wire::Anthropic, "sk") });
    // Asks until an answer has two good calls.
    for _ in 0..200 {
        model.borrow_mut().forget();
        ask(&sim, anthropic(json!([{ "role": "user", "content": "go" }])));
        let spoken = model.borrow().spoken[&("go".to_owned(), 0)].clone();
        let good = |call: &edgewise::sim::SpokenCall| call.kind.is_some() && call.input.is_some();
        if spoken.calls.len() < 2 || !spoken.calls.iter().all(good) {
            continue;
        }
        let mut content = Vec::new();
        if !spoken.text().is_empty() {
            content.push(json!({ "type": "text", "text": spoken.text() }));
        }
        let mut results = Vec::new();
        for call in &spoken.calls {
            content.push(json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": call.input }));
            let result = ToolKind::Add.result(call.input.as_ref().unwrap()).unwrap();
            results.push((call.id.clone(), result));
        }
        assert_eq!(sim.violations(), [""; 0], "{}", sim.report());
        ask(&sim, anthropic(history(json!({ "role": "assistant", "content": content }), &results)));
        return sim.violations();
    }
    panic!("two hundred answers without two good calls");
}

fn results(results: &[(String, String)]) -> Value {
    let block = |(id, text): &(String, String)| json!({ "type": "tool_result", "tool_use_id": id, "content": text });
    json!({ "role": "user", "content": results.iter().map(block).collect::<Vec<_>>() })
}

#[test]
fn a_right_history_is_accepted() {
    let user = json!({ "role": "user", "content": "go" });
    assert_eq!(second_request(|answer, all| json!([user, answer, results(all)])), [""; 0]);
}

#[test]
fn a_wrong_history_is_found() {
    let user = json!({ "role": "user", "content": "go" });
    let found = |what: &str, violations: Vec<String>| {
        assert!(violations.iter().any(|violation| violation.contains(what)), "{what}: {violations:?}");
    };
    found("results for", second_request(|answer, all| json!([user, answer, results(&all[1..])])));
    found("results for", second_request(|answer, all| json!([user, answer, results(&[all, &all[..1]].concat())])));
    found("history ends with", second_request(|answer, _| json!([user, answer])));
    found("two user messages", second_request(|_, _| json!([user, user])));
    found("an answer of the model after", second_request(|answer, all| json!([answer, results(all)])));
    found("a call without result", second_request(|answer, _| json!([user, answer, user])));
    found(
        "in the place of its call",
        second_request(|answer, all| {
            let mut all = all.to_vec();
            all.swap(0, 1);
            json!([user, answer, results(&all)])
        }),
    );
    found(
        "not the one of its call",
        second_request(|answer, all| {
            let mut all = all.to_vec();
            all[0].1 = "wrong".to_owned();
            json!([user, answer, results(&all)])
        }),
    );
    found(
        "arguments of add changed",
        second_request(|mut answer, all| {
            let last = answer["content"].as_array().unwrap().len() - 1;
            answer["content"][last]["input"]["a"] = json!(-1);
            json!([user, answer, results(all)])
        }),
    );
    found(
        "text of the history",
        second_request(|mut answer, all| {
            answer["content"].as_array_mut().unwrap().insert(0, json!({ "type": "text", "text": "more" }));
            json!([user, answer, results(all)])
        }),
    );
}

fn modern(id: u32, method: &str, params: Value, change: impl FnOnce(&mut Request)) -> Request {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
    });
    let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
    ];
    let mut request = post(format!("{MCP}/mcp"), &headers, &body);
    if let Some(name) = params["name"].as_str() {
        request.headers.set("mcp-name", name);
    }
    change(&mut request);
    request
}

#[test]
fn a_right_modern_client_is_served_and_its_writes_are_counted() {
    let sim = SimPlatform::new(1);
    let tools = [ToolKind::Note, ToolKind::Add, ToolKind::Slow];
    let mut server = ScriptedMcp::new(Era::Modern, &tools);
    (server.reliable, server.page) = (true, 1);
    let server = sim.host(MCP, server);
    let mut names = String::new();
    let mut params = json!({});
    for id in 0..3 {
        let (_, text) = ask(&sim, modern(id, "tools/list", params.clone(), |_| ()));
        names += &text;
        params = match id {
            0 => json!({ "cursor": "" }),
            _ => json!({ "cursor": "from-2" }),
        };
    }
    assert!(tools.iter().all(|tool| names.contains(tool.name())), "{names}");
    for id in 10..12 {
        let call = json!({ "name": "note", "arguments": { "key": "k" } });
        let (status, text) = ask(&sim, modern(id, "tools/call", call, |_| ()));
        assert!(status == 200 && text.contains("noted k"), "{text}");
    }
    assert_eq!(server.borrow().written_twice(), ["k"]);
    assert_eq!(server.borrow().calls.len(), 2);
    assert_eq!(sim.violations(), [""; 0]);
}

#[test]
fn a_wrong_modern_client_is_found() {
    let found = |what: &str, change: &dyn Fn(&mut Request)| {
        let sim = SimPlatform::new(1);
        let mut server = ScriptedMcp::new(Era::Modern, &[ToolKind::Add]);
        server.reliable = true;
        sim.host(MCP, server);
        ask(&sim, modern(1, "tools/call", json!({ "name": "add", "arguments": { "a": 1, "b": 2 } }), change));
        let violations = sim.violations();
        assert!(violations.iter().any(|violation| violation.contains(what)), "{what}: {violations:?}");
    };
    found("Mcp-Method", &|request| request.headers.set("mcp-method", "tools/list"));
    found("Mcp-Name", &|request| request.headers.set("mcp-name", "other"));
    found("MCP-Protocol-Version", &|request| request.headers.set("mcp-protocol-version", "2025-06-18"));
    found("legacy era", &|request| request.headers.set("mcp-session-id", "s"));
    found("both media types", &|request| request.headers.set("accept", "application/json"));
    found("never listed", &|request| {
        request.headers.set("mcp-name", "put");
        request.body = request.body.take().map(|body| body.replace("\"add\"", "\"put\""));
    });
    found("no clientInfo", &|request| {
        request.body = request.body.take().map(|body| body.replace("/clientInfo", "/clientinfo"));
    });
    found("POST only", &|request| request.method = Method::Get);
}

#[test]
fn a_legacy_server_demands_the_handshake_and_loses_sessions() {
    let sim = SimPlatform::new(1);
    let server = sim.host(MCP, ScriptedMcp::new(Era::Legacy, &[ToolKind::Add]));
    let base = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
    let send = |session: Option<&str>, body: Value| {
        let mut request = post(format!("{MCP}/mcp"), &base, &body);
        request.headers.set("mcp-protocol-version", "2025-06-18");
        if let Some(session) = session {
            request.headers.set("mcp-session-id", session);
        }
        ask(&sim, request)
    };
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {} });
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    assert!(send(None, hello).1.contains("2025-06-18"));
    let list = |id: u32| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list", "params": {} });
    send(Some("session-1"), list(2));
    assert!(sim.violations()[0].contains("before notifications/initialized"), "{:?}", sim.violations());
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(send(Some("session-1"), ready).0, 202);
    assert_eq!(send(Some("session-1"), list(3)).0, 200);
    send(Some("session-1"), list(3));
    assert!(sim.violations()[1].contains("used before"), "{:?}", sim.violations());
    assert_eq!(sim.violations().len(), 2);
    server.borrow_mut().forgets = 1000;
    assert_eq!(send(Some("session-1"), list(4)).0, 404);
    server.borrow_mut().lost_is_400 = true;
    assert_eq!(send(Some("session-1"), list(5)).0, 400);
    let (status, text) = ask(&sim, modern(9, "server/discover", json!({}), |_| ()));
    assert!(status == 400 && text.contains("Server not initialized"), "{text}");
}
