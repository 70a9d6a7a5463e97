//! Answers that no honest server gives: each has a typed error, and the next call is as good as ever.

use super::*;

/// An event stream of these steps, then the end.
fn stream(steps: Vec<Bytes>) -> Http {
    Http::events(steps)
}

fn bytes(text: impl Into<Vec<u8>>) -> Bytes {
    Bytes::Bytes(text.into())
}

fn answer(id: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [{ "type": "text", "text": "late" }] } })
}

/// 100 MB that never become a message, in pieces of a megabyte.
fn flood(head: &str) -> Vec<Bytes> {
    let piece = vec![b'x'; 1 << 20];
    std::iter::once(bytes(head)).chain((0..100).map(|_| bytes(piece.clone()))).collect()
}

/// One byte every 900 ms: never silent for the timeout of a second, and never done.
fn loris(text: &str) -> Vec<Bytes> {
    text.bytes().flat_map(|byte| [bytes([byte]), Bytes::Wait(Millis(900))]).collect()
}

/// What is answered to a tool call of that id, and what becomes of it.
fn answers(era: Era, id: &Value) -> Vec<(&'static str, Http, Code)> {
    let text = |status, media, body: &str| Http::text(status, media, body.as_bytes());
    let json = |value: &Value| Http::json(value);
    let other = json!({ "jsonrpc": "2.0", "id": "nobody's", "result": { "content": [] } });
    let failed = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32603, "message": "no" } });
    let notice = json!({ "jsonrpc": "2.0", "method": "notifications/from/the/future", "params": [1] });
    let many = (0..5_000).map(|_| event(&notice)).collect();
    let mut all = vec![
        ("HTML", text(200, "text/html", "<html>sign in</html>"), Code::Protocol),
        ("no content type", text(200, "", "{}"), Code::Protocol),
        ("an empty success", text(200, "application/json", ""), Code::Protocol),
        ("a success without a body", text(204, "", ""), Code::Protocol),
        ("no JSON", text(200, "application/json", "yes"), Code::Protocol),
        ("half a message", text(200, "application/json", "{\"jsonrpc\":\"2.0\",\"id\""), Code::Truncated),
        ("deep JSON", text(200, "application/json", &"[".repeat(100_000)), Code::Protocol),
        ("another id", json(&other), Code::Protocol),
        ("another id on a stream", stream(vec![event(&other)]), Code::Protocol),
        ("an error for nobody", json(&failed), Code::Protocol),
        ("no result object", json(&json!({ "jsonrpc": "2.0", "id": id, "result": [1] })), Code::Protocol),
        ("no content", json(&json!({ "jsonrpc": "2.0", "id": id, "result": { "content": 7 } })), Code::Protocol),
        ("notices and no answer", stream(many), Code::Truncated),
        ("a redirect", text(302, "", "").header("location", "https://elsewhere.test/mcp"), Code::Http),
        ("too many requests", text(429, "", ""), Code::RateLimited),
        ("an outage", text(503, "text/html", "<html>"), Code::Overloaded),
        ("no entry", text(401, "", ""), Code::AuthRequired),
        ("100 MB announced", text(200, "application/json", "{").header("content-length", "104857600"), Code::Limit),
        ("100 MB in one event", stream(flood("data: ")), Code::Limit),
        ("a slow loris", stream(loris(&"data: ".repeat(60))), Code::Timeout),
        ("a connection that breaks", stream(vec![bytes("data: {"), Bytes::Reset]), Code::Truncated),
        ("silence", stream(vec![Bytes::Hang]), Code::Timeout),
    ];
    if era == Era::Modern {
        let kind = |kind: &str| json!({ "jsonrpc": "2.0", "id": id, "result": { "resultType": kind } });
        all.push(("an unknown result type", json(&kind("surprise")), Code::Protocol));
        all.push(("a batch", json(&json!([answer(id)])), Code::Protocol));
    }
    all
}

#[test]
fn every_malformed_answer_is_a_typed_error_and_the_next_call_works() {
    for era in [Era::Modern, Era::Legacy] {
        let known = Value::from(0);
        for at in 0..answers(era, &known).len() {
            let world = World::new(7, Script::new(era));
            world.sim.set_recut(false);
            world.add().unwrap();
            let last = world.server.borrow().bodies.iter().filter_map(|body| body["id"].as_u64()).max().unwrap();
            let (name, http, code) = answers(era, &Value::from(last + 1)).swap_remove(at);
            world.server.borrow_mut().instead.push(("tools/call", http));
            let error = world.add().expect_err(name);
            assert_eq!(error.code, code, "{name}, {era:?}: {error}");
            assert!(error.message.starts_with("tools/call add on calc: "), "{name}: {error}");
            assert!(error.message.len() < 1_000 && !error.message.contains("key=1"), "{name}: {error}");
            assert_eq!(world.server.borrow().count("tools/call"), 2, "{name}: sent once");
            world.add().unwrap_or_else(|error| panic!("after {name}, {era:?}: {error}"));
            assert_eq!(world.connection.info().state, State::Ready, "{name}");
            world.run(world.connection.close());
        }
    }
}

#[test]
fn the_same_before_a_connection_stands_leaves_it_to_be_tried_again() {
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "result": { "resultType": "surprise" } });
    let answers = || {
        vec![
            ("HTML", Http::text(200, "text/html", "<html>")),
            ("an empty success", Http::text(200, "application/json", "")),
            ("an outage", Http::text(502, "text/html", "<html>")),
            ("no entry", Http::text(403, "", "")),
            ("an unknown result type", Http::json(&hello)),
            ("a slow loris", stream(loris(&"data: ".repeat(200)))),
            ("silence", Http::Never),
            ("nobody there", Http::Broken { after: Millis(1), message: "refused".into() }),
        ]
    };
    for at in 0..answers().len() {
        let world = World::with(7, Script::new(Era::Modern), json!({ "timeoutMs": 1_000 }));
        let (name, http) = answers().swap_remove(at);
        world.server.borrow_mut().instead.push(("server/discover", http));
        let error = world.add().expect_err(name);
        assert_eq!(world.connection.info().state, State::Failed, "{name}: {error}");
        assert_eq!(world.server.borrow().count("initialize"), 0, "{name} proves no era");
        world.add().unwrap_or_else(|error| panic!("after {name}: {error}"));
    }
}
