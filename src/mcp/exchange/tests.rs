use super::*;
use crate::http::Headers;
use serde_json::json;

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream; charset=utf-8";

fn head(status: u16, media: &str) -> Head {
    let mut headers = Headers::new();
    if !media.is_empty() {
        headers.set("Content-Type", media);
    }
    Head { status, headers }
}

fn exchange(era: Era) -> Exchange {
    Exchange::new(era, "tools/call add on calc", Some(3))
}

fn run_with(mut exchange: Exchange, head: &Head, chunks: &[&[u8]]) -> (Vec<Message>, Result<(), Failure>) {
    let mut out = Vec::new();
    let mut read = || {
        exchange.head(head)?;
        for chunk in chunks {
            exchange.feed(chunk, &mut out)?;
        }
        exchange.finish(&mut out)
    };
    let outcome = read();
    assert!(exchange.is_done());
    (out, outcome)
}

fn run(era: Era, status: u16, media: &str, body: &str) -> Result<Vec<Message>, Failure> {
    let head = head(status, media);
    let (out, outcome) = run_with(exchange(era), &head, &[body.as_bytes()]);
    // The same bytes one by one give the same.
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    assert_eq!(run_with(exchange(era), &head, &bytes), (out.clone(), outcome.clone()));
    outcome.map(|()| out)
}

fn refusal(era: Era, status: u16, media: &str, body: &str) -> Error {
    run(era, status, media, body).unwrap_err().error
}

fn complete(result: Value) -> Message {
    let Value::Object(map) = result else { panic!() };
    Message::Answer(Answer::Complete(map))
}

#[test]
fn a_json_answer() {
    let body = r#"{"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","content":[]}}"#;
    let result = json!({ "resultType": "complete", "content": [] });
    assert_eq!(run(Era::Modern, 200, JSON, body).unwrap(), [complete(result)]);
    let body = r#" {"jsonrpc":"2.0","id":"3","result":{}} "#;
    assert_eq!(run(Era::Modern, 200, "application/json; charset=utf-8", body).unwrap(), [complete(json!({}))]);
}

#[test]
fn an_event_stream_with_progress_and_other_notices() {
    let body = concat!(
        "id: p1\nretry: 500\ndata:\n\n",
        ": keep-alive\n\n",
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":3,\"progress\":1,\"total\":4,\"message\":\"one\"}}\n\n",
        "event: ping\ndata: not for us\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":9,\"progress\":1}}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\ndata: \"id\":3,\"result\":{}}\n\n",
        "data: whatever comes after the answer\n\n",
    );
    let messages = run(Era::Modern, 200, EVENTS, body).unwrap();
    let foreign = json!({ "progressToken": 9, "progress": 1 });
    assert_eq!(
        messages,
        [
            Message::Progress(Progress { progress: 1.0, total: Some(4.0), message: Some("one".into()) }),
            Message::Notification { method: "notifications/progress".into(), params: Some(foreign) },
            Message::Notification { method: "notifications/tools/list_changed".into(), params: None },
            complete(json!({})),
        ]
    );
}

#[test]
fn result_types() {
    let with = |result: Value| {
        let body = json!({ "jsonrpc": "2.0", "id": 3, "result": result }).to_string();
        run(Era::Modern, 200, JSON, &body)
            .map(|mut out| out.pop().unwrap())
            .map_err(|failure| failure.error.message.clone())
    };
    let ask = json!({ "resultType": "input_required", "inputRequests": { "a": { "method": "elicitation/create" } }, "requestState": "s==" });
    let Ok(Message::Answer(Answer::InputRequired { requests, state })) = with(ask) else { panic!() };
    assert_eq!((requests.len(), state.as_deref()), (1, Some("s==")));
    let task = json!({ "resultType": "task", "taskId": "t", "status": "working" });
    assert!(matches!(with(task), Ok(Message::Answer(Answer::Task(fields))) if fields["taskId"] == "t"));
    for (result, words) in [
        (json!({ "resultType": "input_required" }), "asks for input without saying which"),
        (json!({ "resultType": "input_required", "requestState": 7 }), "requestState is no string"),
        (json!({ "resultType": "brand_new\n" }), "unknown resultType brand_new"),
        (json!({ "resultType": null }), "resultType is no string"),
        (json!([]), "the result is no object"),
    ] {
        assert_eq!(with(result), Err(format!("tools/call add on calc: {words} (200)")));
    }
    let body = r#"{"jsonrpc":"2.0","id":3,"result":{"resultType":"mine"}}"#;
    assert!(run(Era::Legacy, 200, JSON, body).is_ok(), "no such field in the legacy era");
}

#[test]
fn what_is_not_json_rpc() {
    for (status, media, body, code, words) in [
        (
            200,
            "text/html",
            "<html>",
            Code::Protocol,
            "expected application/json or text/event-stream, got text/html (200)",
        ),
        (
            200,
            "",
            "<html>",
            Code::Protocol,
            "expected application/json or text/event-stream, got no content type (200)",
        ),
        (200, JSON, "<html>", Code::Protocol, "got malformed JSON (line 1, column 1) (200)"),
        (200, JSON, "", Code::Protocol, "an empty answer (200)"),
        (204, "", "", Code::Protocol, "an empty answer (204)"),
        (200, JSON, "{}", Code::Protocol, "got JSON that is no JSON-RPC message (200)"),
        (200, JSON, "[]", Code::Protocol, "got a JSON array (200)"),
        (200, JSON, r#"{"jsonrpc":"2.0","#, Code::Truncated, "got JSON that ends too early (200)"),
        (
            200,
            JSON,
            r#"{"jsonrpc":"2.0","id":4,"result":{}}"#,
            Code::Protocol,
            "the answer carries id 4, expected 3 (200)",
        ),
        (200, JSON, r#"{"jsonrpc":"2.0","result":{}}"#, Code::Protocol, "the answer carries id null, expected 3 (200)"),
        (200, JSON, r#"{"jsonrpc":"2.0","method":"a"}"#, Code::Protocol, "no answer in the body (200)"),
        (200, EVENTS, "data: {", Code::Truncated, "the stream ended before the answer (200)"),
        (200, EVENTS, "", Code::Truncated, "the stream ended before the answer (200)"),
        (200, EVENTS, "data: <html>\n\n", Code::Protocol, "got malformed JSON (line 1, column 1) (200)"),
        (
            200,
            EVENTS,
            "data: {\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{}}\n\n",
            Code::Protocol,
            "the answer carries id \"x\", expected 3 (200)",
        ),
    ] {
        let error = refusal(Era::Modern, status, media, body);
        assert_eq!((error.code, error.message.clone()), (code, format!("tools/call add on calc: {words}")), "{body}");
        assert_eq!(error.status, Some(status));
        assert_eq!(error.retry, Retry::Never, "a tool call must not be repeated");
    }
}

#[test]
fn errors_of_the_server() {
    let body = r#"{"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"Unknown tool:\n\u001b[31madd"}}"#;
    for (media, body) in [(JSON, body.to_owned()), (EVENTS, format!("data: {body}\n\n"))] {
        let failure = run(Era::Modern, 200, media, &body).unwrap_err();
        let message = "tools/call add on calc: the server answers with error -32602: Unknown tool: [31madd";
        assert_eq!(failure.error.message, message);
        assert_eq!((failure.error.code, failure.error.rpc_code), (Code::Protocol, Some(-32602)));
        assert_eq!(failure.rpc.unwrap().code, -32602);
    }
    let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: Server not initialized"}}"#;
    let failure = run(Era::Modern, 400, JSON, body).unwrap_err();
    assert_eq!(
        failure.error.message,
        "tools/call add on calc: refused (400) with error -32000: Bad Request: Server not initialized"
    );
    assert_eq!((failure.error.status, failure.error.rpc_code), (Some(400), Some(-32000)));
    assert_eq!(refusal(Era::Modern, 200, JSON, body).rpc_code, Some(-32000));
}

#[test]
fn statuses_have_their_codes() {
    let with = |status: u16, field: Option<(&str, &str)>| {
        let mut head = head(status, "text/html");
        if let Some((name, value)) = field {
            head.headers.set(name, value);
        }
        let error = run_with(exchange(Era::Modern), &head, &[b"<html>sorry"]).1.unwrap_err().error;
        assert_eq!(error.status, Some(status));
        (error.code, error.retry)
    };
    assert_eq!(with(401, None), (Code::AuthRequired, Retry::Never));
    assert_eq!(with(403, None), (Code::AuthRequired, Retry::Never));
    assert_eq!(with(404, None), (Code::Http, Retry::Never));
    assert_eq!(with(429, Some(("Retry-After", "3"))), (Code::RateLimited, Retry::After(crate::time::Millis(3000))));
    assert_eq!(with(429, None), (Code::RateLimited, Retry::Backoff));
    assert_eq!(with(503, None), (Code::Overloaded, Retry::Never));
    assert_eq!(with(529, Some(("Retry-After", "1"))), (Code::Overloaded, Retry::After(crate::time::Millis(1000))));
    assert_eq!(with(502, None), (Code::Http, Retry::Never));
    let safe = exchange(Era::Modern).safe(true);
    assert_eq!(run_with(safe, &head(502, ""), &[]).1.unwrap_err().error.retry, Retry::Backoff);
}

#[test]
fn giant_answers_hit_the_limit() {
    let small = || exchange(Era::Modern).limit(100);
    let big = "x".repeat(101);
    let events = format!("data: {big}\n\n");
    for (media, body) in [(JSON, &big), (EVENTS, &events)] {
        let error = run_with(small(), &head(200, media), &[body.as_bytes()]).1.unwrap_err().error;
        assert_eq!(error.message, "tools/call add on calc: the answer is longer than 100 bytes (200)");
        assert_eq!(error.code, Code::Limit);
    }
    let mut announced = head(200, JSON);
    announced.headers.set("content-length", "101");
    assert_eq!(small().head(&announced).unwrap_err().error.code, Code::Limit);
    let long = "x".repeat(1 << 20);
    let error = refusal(Era::Modern, 500, "text/plain", &long);
    assert!(error.message.len() < 100, "{}", error.message);
}

#[test]
fn a_long_stream_of_short_events_is_no_giant() {
    let notice = "data: {\"jsonrpc\":\"2.0\",\"method\":\"n\"}\n\n";
    let body = [notice.repeat(100).as_str(), "data: {\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}\n\n"].concat();
    let (messages, outcome) = run_with(exchange(Era::Modern).limit(100), &head(200, EVENTS), &[body.as_bytes()]);
    assert_eq!((messages.len(), outcome), (101, Ok(())));
}

#[test]
fn what_only_the_legacy_era_has() {
    let batch = r#"[{"jsonrpc":"2.0","id":9,"method":"ping"},{"jsonrpc":"2.0","id":3,"result":{}}]"#;
    let messages = run(Era::Legacy, 200, JSON, batch).unwrap();
    assert!(matches!(&messages[0], Message::Request { method, .. } if method == "ping"));
    assert_eq!(messages[1], complete(json!({})));
    let asked = "data: {\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}\n\n";
    assert_eq!(run(Era::Modern, 200, EVENTS, asked).unwrap(), [complete(json!({}))]);
    assert_eq!(run(Era::Legacy, 200, EVENTS, asked).unwrap().len(), 2);
}

#[test]
fn a_notification_is_accepted() {
    let accepted = [Message::Answer(Answer::Accepted)];
    for (status, media, body) in [(202, "", ""), (202, "text/plain", "Accepted"), (200, JSON, ""), (204, "", "")] {
        let notice = Exchange::new(Era::Legacy, "notifications/initialized on calc", None);
        let (out, outcome) = run_with(notice, &head(status, media), &[body.as_bytes()]);
        assert_eq!((out.as_slice(), outcome), (accepted.as_slice(), Ok(())), "{status} {media}");
    }
    assert_eq!(run(Era::Modern, 202, "", "").unwrap(), accepted, "the caller decides what that means");
}

#[test]
fn a_broken_connection_says_how_far_it_came() {
    let mut early = exchange(Era::Modern).safe(true);
    let error = early.broken("TypeError: Failed to fetch", true).error;
    assert_eq!(error.message, "tools/call add on calc: TypeError: Failed to fetch");
    assert_eq!((error.code, error.maybe_cors, error.retry), (Code::Network, true, Retry::Backoff));
    let mut late = exchange(Era::Modern);
    late.head(&head(200, EVENTS)).unwrap();
    let error = late.broken("reset", true).error;
    assert_eq!((error.code, error.maybe_cors, error.retry), (Code::Truncated, false, Retry::Never));
}

/// Damages valid answers at random places: never a panic, and the same verdict whole as byte by byte.
#[test]
fn damaged_answers_are_judged_alike_however_they_arrive() {
    let valid = [
        r#"{"jsonrpc":"2.0","id":3,"result":{"resultType":"complete","content":[{"type":"text","text":"é\n"}]}}"#,
        r#"{"jsonrpc":"2.0","id":3,"result":{"resultType":"input_required","inputRequests":{"a":{}},"requestState":"s"}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"no","data":{"supported":["2026-07-28"]}}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":3,"progress":0.5,"total":1}}"#,
    ];
    let mut rng = crate::sim::Rng::new(2);
    for round in 0..4_000 {
        let mut body = Vec::new();
        let events = rng.chance(500);
        for _ in 0..if events { 1 + rng.below(3) } else { 1 } {
            let message = valid[rng.below(valid.len())];
            let line = if events { format!("event: message\r\ndata: {message}\r\n\r\n") } else { message.to_owned() };
            body.extend_from_slice(line.as_bytes());
        }
        for _ in 0..rng.below(4) {
            let at = rng.below(body.len().max(1));
            match rng.below(3) {
                _ if body.is_empty() => {}
                0 => body[at] = rng.below(256) as u8,
                1 => drop(body.remove(at)),
                _ => body.truncate(at + 1),
            }
        }
        let era = if rng.chance(500) { Era::Modern } else { Era::Legacy };
        let head = head(rng.pick(&[200, 200, 200, 202, 400, 404, 500]), if events { EVENTS } else { JSON });
        let whole = run_with(exchange(era), &head, &[&body]);
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(run_with(exchange(era), &head, &bytes), whole, "round {round}");
        let answers = whole.0.iter().filter(|message| matches!(message, Message::Answer(_))).count();
        assert_eq!(answers, usize::from(whole.1.is_ok()), "round {round}: an answer or a failure, never both or none");
    }
}
