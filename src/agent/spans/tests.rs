use serde_json::{Value, json};

use super::{Header, Spans, span_id};

fn header(content: bool) -> Value {
    Header {
        run: "run_1".into(),
        conversation: None,
        trace: "0af7651916cd43dd8448eb211c80319c".into(),
        parent: Some("b7ad6b7169203331".into()),
        flags: "01".into(),
        state: Some("a=b".into()),
        seed: 7,
        provider: "openai".into(),
        model: "gpt-x".into(),
        base_url: "https://api.openai.com/v1".into(),
        fallbacks: vec![["anthropic".into(), "other".into(), "https://api.anthropic.com".into()]],
        content,
    }
    .to_json()
}

fn event(at: u64, event: Value) -> Value {
    json!({ "at": at, "event": event })
}

fn fact(at: u64, name: &str, id: &str) -> Value {
    json!({ "at": at, "fact": name, "id": id, "span": 0xabc })
}

fn usage(input: u64, output: u64) -> Value {
    json!({ "inputTokens": input, "outputTokens": output, "cacheReadTokens": 3, "cacheWriteTokens": 0, "reasoningTokens": 0 })
}

/// Two turns: a retried one that asks for an approved and a denied call, and the answer.
fn story() -> Vec<Value> {
    let said = json!({ "role": "assistant", "content": [{ "type": "text", "text": "secret answer" }] });
    let asked = json!({ "role": "assistant", "content": [
        { "type": "tool_use", "id": "t1", "name": "calc_add", "input": { "a": "secret argument" } }] });
    vec![
        event(100, json!({ "type": "run_start", "runId": "run_1" })),
        fact(101, "server", ""),
        event(140, json!({ "type": "turn_start", "turn": 1 })),
        fact(150, "modelFailed", ""),
        event(150, json!({ "type": "retry", "of": "model", "attempt": 2, "delayMs": 50, "code": "overloaded" })),
        fact(201, "slept", ""),
        fact(260, "deltas", ""),
        fact(300, "modelEnded", ""),
        event(
            300,
            json!({ "type": "tool_call", "id": "t1", "name": "calc.add", "server": "calc", "input": { "a": "secret argument" } }),
        ),
        event(300, json!({ "type": "tool_call", "id": "t2", "name": "shout", "input": {} })),
        event(301, json!({ "type": "approval_request", "id": "t1", "name": "calc.add", "input": {}, "reason": "w" })),
        event(301, json!({ "type": "approval_request", "id": "t2", "name": "shout", "input": {}, "reason": "w" })),
        fact(900, "approved", "t1"),
        fact(901, "called", "t1"),
        event(950, json!({ "type": "input_request", "id": "t1/1", "callId": "t1", "server": "calc", "message": "?" })),
        event(
            960,
            json!({ "type": "tool_result", "id": "t2", "content": [], "isError": true, "outcome": "denied", "durationMs": 0 }),
        ),
        fact(990, "answered", "t1/1"),
        event(
            1000,
            json!({ "type": "tool_result", "id": "t1", "content": [{ "type": "text", "text": "secret result" }],
            "isError": false, "outcome": "ok", "durationMs": 99 }),
        ),
        event(1000, json!({ "type": "turn_end", "stopReason": "tool_use", "usage": usage(10, 5), "message": asked })),
        event(1001, json!({ "type": "turn_start", "turn": 2 })),
        fact(1100, "deltas", ""),
        fact(1200, "modelEnded", ""),
        event(1200, json!({ "type": "turn_end", "stopReason": "end_turn", "usage": usage(20, 6), "message": said })),
        event(
            1200,
            json!({ "type": "done", "runId": "run_1", "text": "secret answer", "messages": [], "usage": usage(30, 11) }),
        ),
    ]
}

fn spans(notes: &[Value], content: bool) -> Vec<Value> {
    let mut spans = Spans::new(&header(content));
    spans.begin_with(&json!([{ "role": "user", "content": [{ "type": "text", "text": "secret prompt" }] }]));
    let mut out = Vec::new();
    for (place, note) in notes.iter().enumerate() {
        let over = spans.apply(note, &mut out);
        assert_eq!(over, place == notes.len() - 1 && note["event"]["type"] != "turn_end", "{note}");
    }
    out
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let mut found = spans.iter().filter(|span| span["name"] == name);
    let (Some(span), None) = (found.next(), found.next()) else { panic!("not one `{name}` in {spans:#?}") };
    span
}

fn times(span: &Value) -> (u64, u64) {
    (span["startTimeMs"].as_u64().unwrap(), span["endTimeMs"].as_u64().unwrap())
}

#[test]
fn the_spans_of_a_run() {
    let spans = spans(&story(), false);
    let names: Vec<&str> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    let wanted = [
        "wait servers",
        "wait retry",
        "wait approval",
        "wait approval",
        "execute_tool shout",
        "wait input",
        "execute_tool add",
        "chat gpt-x",
        "chat gpt-x",
        "invoke_agent",
    ];
    assert_eq!(names, wanted);
    let root = named(&spans, "invoke_agent");
    assert_eq!(times(root), (100, 1200));
    assert_eq!((&root["parentSpanId"], &root["traceState"]), (&json!("b7ad6b7169203331"), &json!("a=b")));
    assert_eq!(root["attributes"]["gen_ai.operation.name"], "invoke_agent");
    assert_eq!(root["attributes"]["gen_ai.usage.input_tokens"], 30);
    assert_eq!(root["status"], json!({ "code": "unset" }));
    for span in &spans {
        assert_eq!(span["traceId"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span["attributes"]["edgewise.run.id"], "run_1");
    }
    assert_eq!(times(named(&spans, "wait servers")), (100, 140));
}

#[test]
fn servers_that_are_ready_are_not_waited_for() {
    let story: Vec<Value> = story().into_iter().filter(|note| note["fact"] != "server").collect();
    assert!(spans(&story, false).iter().all(|span| span["name"] != "wait servers"));
}

#[test]
fn a_chat_covers_its_tries_and_says_what_it_took() {
    let spans = spans(&story(), false);
    let chat = &spans[7];
    assert_eq!(times(chat), (140, 300), "it ends with the model and not with the turn's tools");
    assert_eq!(
        chat["attributes"],
        json!({
            "edgewise.run.id": "run_1",
            "edgewise.tries": 2,
            "edgewise.turn": 1,
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-x",
            "gen_ai.request.stream": true,
            "gen_ai.response.finish_reasons": ["tool_call"],
            "gen_ai.response.time_to_first_chunk": 0.12,
            "gen_ai.usage.cache_read.input_tokens": 3,
            "gen_ai.usage.input_tokens": 10,
            "gen_ai.usage.output_tokens": 5,
            "server.address": "api.openai.com",
            "server.port": 443,
        })
    );
    assert_eq!(chat["events"][0]["name"], "edgewise.retry");
    assert_eq!(chat["events"][0]["attributes"]["error.type"], "overloaded");
    let wait = named(&spans, "wait retry");
    assert_eq!((times(wait), &wait["parentSpanId"]), ((150, 201), &chat["spanId"]));
}

#[test]
fn a_model_that_takes_over_is_named() {
    let mut notes = story();
    notes[4]["event"]["model"] = "other".into();
    let spans = spans(&notes, false);
    for chat in spans.iter().filter(|span| span["attributes"]["gen_ai.operation.name"] == "chat") {
        assert_eq!(chat["name"], "chat other");
        assert_eq!(chat["attributes"]["gen_ai.provider.name"], "anthropic");
        assert_eq!(chat["attributes"]["server.address"], "api.anthropic.com");
    }
    assert_eq!(named(&spans, "invoke_agent")["attributes"]["gen_ai.request.model"], "gpt-x");
}

#[test]
fn a_tool_that_is_called_again_is_one_span() {
    let mut notes = story();
    let place = notes.iter().position(|note| note["fact"] == "called").unwrap();
    let retry = json!({ "type": "retry", "of": "tool", "id": "t1", "attempt": 2, "delayMs": 20, "code": "network" });
    let again = [event(910, retry), fact(930, "rested", "t1"), fact(931, "called", "t1")];
    notes.splice(place + 1..place + 1, again);
    let spans = spans(&notes, false);
    let add = named(&spans, "execute_tool add");
    assert_eq!((times(add), &add["events"][0]["name"]), ((901, 1000), &json!("edgewise.retry")));
    let rest = spans.iter().find(|span| span["name"] == "wait retry" && span["parentSpanId"] == add["spanId"]).unwrap();
    assert_eq!((times(rest), &rest["attributes"]["error.type"]), ((910, 930), &json!("network")));
}

#[test]
fn a_tool_is_executed_from_when_it_is_called() {
    let spans = spans(&story(), false);
    let add = named(&spans, "execute_tool add");
    assert_eq!((times(add), &add["spanId"], &add["kind"]), ((901, 1000), &json!(span_id(0xabc)), &json!("client")));
    assert_eq!(add["attributes"]["gen_ai.tool.name"], "add");
    assert_eq!(add["attributes"]["mcp.method.name"], "tools/call");
    assert_eq!(add["attributes"]["edgewise.server"], "calc");
    let asked = named(&spans, "wait input");
    assert_eq!((times(asked), &asked["parentSpanId"]), ((950, 990), &add["spanId"]));
    let shout = named(&spans, "execute_tool shout");
    assert_eq!((times(shout), &shout["attributes"]["error.type"]), ((960, 960), &json!("denied")));
    assert_eq!(shout["status"]["code"], "error");
    assert_eq!(shout["attributes"]["gen_ai.tool.type"], "function");
    let approvals: Vec<(&Value, (u64, u64))> = spans
        .iter()
        .filter(|span| span["name"] == "wait approval")
        .map(|span| (&span["attributes"]["edgewise.approval"], times(span)))
        .collect();
    assert_eq!(approvals, [(&json!("approved"), (301, 900)), (&json!("denied"), (301, 960))]);
}

#[test]
fn calls_of_a_plan_are_within_it() {
    let usage = usage(1, 1);
    let result = |at: u64, id: &str| {
        event(
            at,
            json!({ "type": "tool_result", "id": id, "content": [], "isError": false, "outcome": "ok", "durationMs": 1 }),
        )
    };
    let notes = [
        event(1, json!({ "type": "run_start", "runId": "run_1" })),
        event(2, json!({ "type": "turn_start", "turn": 1 })),
        event(3, json!({ "type": "tool_call", "id": "p", "name": "run_plan", "input": {} })),
        fact(4, "called", "p"),
        event(
            5,
            json!({ "type": "tool_call", "id": "p/a", "name": "calc.add", "server": "calc", "input": {}, "callId": "p", "step": "a" }),
        ),
        json!({ "at": 6, "fact": "called", "id": "p/a", "span": 0xdef }),
        event(6, json!({ "type": "approval_request", "id": "p/a", "name": "calc.add", "input": {}, "reason": "w" })),
        result(9, "p/a"),
        result(10, "p"),
        event(11, json!({ "type": "done", "runId": "run_1", "text": "", "messages": [], "usage": usage })),
    ];
    let spans = spans(&notes, false);
    let (plan, add) = (named(&spans, "execute_tool run_plan"), named(&spans, "execute_tool add"));
    assert_eq!((times(plan), times(add)), ((4, 10), (6, 9)));
    assert_eq!(add["parentSpanId"], plan["spanId"]);
    assert_eq!(named(&spans, "wait approval")["parentSpanId"], plan["spanId"]);
    assert_eq!(plan["parentSpanId"], named(&spans, "invoke_agent")["spanId"]);
}

#[test]
fn a_summary_is_a_chat_of_its_own_and_the_turn_is_asked_for_after_it() {
    let mut notes = story();
    let compacted =
        json!({ "type": "compacted", "tokensBefore": 9, "tokensAfter": 3, "results": 0, "summary": "secret" });
    let summed = json!({ "at": 130, "fact": "compacted", "id": "", "span": 0, "usage": usage(500, 40) });
    // Between the beginning of the turn and its first failure.
    notes.splice(3..3, [fact(141, "compacting", ""), summed, event(145, compacted)]);
    notes[4]["at"] = 145.into();
    let spans = spans(&notes, false);
    let (summary, chat) = (&spans[1], &spans[8]);
    assert_eq!((summary["name"].clone(), times(summary)), (json!("chat gpt-x"), (141, 145)));
    let attributes = &summary["attributes"];
    assert_eq!(
        (&attributes["edgewise.compaction"], &attributes["gen_ai.usage.input_tokens"]),
        (&json!(true), &json!(500))
    );
    assert_eq!((chat["name"].clone(), times(chat)), (json!("chat gpt-x"), (145, 300)));
    // One that only takes results out asks no model.
    notes[4]["usage"] = usage_of_nothing();
    assert_eq!(self::spans(&notes, false).iter().filter(|span| span["name"] == "chat gpt-x").count(), 2);
}

fn usage_of_nothing() -> Value {
    json!({ "inputTokens": 0, "outputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "reasoningTokens": 0 })
}

#[test]
fn the_conversation_is_named() {
    let mut header = header(false);
    header["conversation"] = "c/1".into();
    let (mut spans, mut out) = (Spans::new(&header), Vec::new());
    for note in story() {
        spans.apply(&note, &mut out);
    }
    assert!(out.iter().all(|span| span["attributes"]["gen_ai.conversation.id"] == "c/1"), "{out:?}");
    assert!(!Value::from(self::spans(&story(), false)).to_string().contains("conversation.id"));
}

#[test]
fn ids_differ_and_are_the_same_again() {
    let once = spans(&story(), false);
    let mut ids: Vec<&str> = once.iter().map(|span| span["spanId"].as_str().unwrap()).collect();
    assert!(ids.iter().all(|id| id.len() == 16));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), once.len());
    assert_eq!(once, spans(&story(), false));
}

#[test]
fn no_content_unless_it_is_asked_for() {
    let text = Value::from(spans(&story(), false)).to_string();
    assert!(!text.contains("secret"), "{text}");
    let spans = spans(&story(), true);
    let attributes = |name: &str| named(&spans, name)["attributes"].clone();
    assert_eq!(attributes("execute_tool add")["gen_ai.tool.call.arguments"], json!({ "a": "secret argument" }));
    assert_eq!(attributes("execute_tool add")["gen_ai.tool.call.result"][0]["text"], "secret result");
    let prompt = json!({ "role": "user", "parts": [{ "type": "text", "content": "secret prompt" }] });
    assert_eq!(attributes("invoke_agent")["gen_ai.input.messages"], json!([prompt]));
    assert_eq!(attributes("invoke_agent")["gen_ai.output.messages"][0]["parts"][0]["content"], "secret answer");
    let (first, second) = (&spans[7]["attributes"], &spans[8]["attributes"]);
    assert_eq!(first["gen_ai.input.messages"], json!([prompt]));
    assert_eq!(first["gen_ai.output.messages"][0]["parts"][0]["type"], "tool_call");
    let shown: Vec<&Value> = second["gen_ai.input.messages"].as_array().unwrap().iter().map(|m| &m["role"]).collect();
    assert_eq!(shown, ["user", "assistant", "tool", "tool"]);
    assert_eq!(second["gen_ai.output.messages"][0]["finish_reason"], "stop");
}

#[test]
fn the_content_of_a_long_run_is_bounded() {
    let mut spans = Spans::new(&header(true));
    let (mut out, mut sizes) = (Vec::new(), Vec::new());
    for turn in 1..100_u64 {
        let text = format!("{turn}: {}", "word ".repeat(2_000));
        let said = json!({ "role": "assistant", "content": [{ "type": "text", "text": text }] });
        spans.apply(&event(2 * turn, json!({ "type": "turn_start", "turn": turn })), &mut out);
        let end = json!({ "type": "turn_end", "stopReason": "end_turn", "usage": usage(1, 1), "message": said });
        spans.apply(&event(2 * turn + 1, end), &mut out);
        let chat = out.pop().unwrap();
        sizes.push(chat.to_string().len());
        let input = chat["attributes"]["gen_ai.input.messages"].to_string();
        assert!(turn == 1 || input.contains(&format!("{}: word", turn - 1)), "the latest are there");
    }
    assert!(sizes.iter().all(|size| *size < 200_000), "{sizes:?}");
}

#[test]
fn a_run_that_breaks_off_leaves_no_span_open() {
    let story = story();
    let end = json!({ "type": "error", "runId": "run_1", "error": { "code": "cancelled" }, "messages": [], "usage": usage(1, 1) });
    for cut in 0..story.len() - 1 {
        let mut notes = story[..cut].to_vec();
        notes.push(event(2000, end.clone()));
        let spans = spans(&notes, false);
        let begun = |kind: &str| notes.iter().filter(|note| note["event"]["type"] == kind).count();
        let ended = |start: &str| spans.iter().filter(|span| span["name"].as_str().unwrap().starts_with(start)).count();
        assert_eq!(ended("chat"), begun("turn_start"), "cut at {cut}");
        assert_eq!(ended("execute_tool"), begun("tool_call"), "cut at {cut}");
        assert_eq!(ended("wait approval"), begun("approval_request"), "cut at {cut}");
        assert_eq!(ended("wait retry"), begun("retry"), "cut at {cut}");
        let root = spans.last().unwrap();
        assert_eq!((&root["name"], &root["attributes"]["error.type"]), (&json!("invoke_agent"), &json!("cancelled")));
    }
}

#[test]
fn a_clock_that_jumps_back_makes_no_negative_span() {
    let mut notes = story();
    for (place, note) in notes.iter_mut().enumerate() {
        note["at"] = (5_000 - 100 * place as u64).into();
    }
    for span in spans(&notes, false) {
        let (start, end) = times(&span);
        assert!(start <= end, "{span}");
    }
}

#[test]
fn notes_that_make_no_sense_do_no_harm() {
    let notes = [
        json!(null),
        json!({ "at": "x", "event": 7 }),
        fact(1, "slept", ""),
        fact(1, "approved", "nobody"),
        event(1, json!({ "type": "tool_result", "id": "nobody" })),
        event(1, json!({ "type": "turn_end" })),
    ];
    let mut spans = Spans::new(&json!(null));
    let mut out = Vec::new();
    for note in &notes {
        assert!(!spans.apply(note, &mut out));
    }
    assert_eq!(out, [Value::Null; 0]);
}
