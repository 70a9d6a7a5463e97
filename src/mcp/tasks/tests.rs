//! Polling, fact by fact.

use super::*;
use serde_json::json;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn answerers() -> Answerers {
    Answerers { attended: true, ..Answerers::default() }
}

fn modern(announced: Value) -> Polling {
    Polling::new(Era::Modern, "tools/call add on calc", &object(announced)).unwrap()
}

fn working() -> Value {
    json!({ "resultType": "task", "taskId": "t1", "status": "working", "ttlMs": null, "pollIntervalMs": 5_000 })
}

fn asks(keys: &[&str]) -> Value {
    let ask = json!({ "method": "elicitation/create", "params": { "message": "?", "requestedSchema": { "type": "object" } } });
    let requests: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), ask.clone())).collect();
    json!({ "taskId": "t1", "status": "input_required", "ttlMs": null, "pollIntervalMs": 500, "inputRequests": requests })
}

fn keys(step: Step) -> Vec<String> {
    let Step::Ask(asks) = step else { panic!("{step:?}") };
    asks.into_iter().map(|(key, _)| key).collect()
}

fn down() -> Failure {
    Error::new(Code::Network, "down").retry(Retry::Backoff).into()
}

#[test]
fn polls_as_often_as_the_server_suggests_and_never_sooner() {
    let mut polling = modern(working());
    for random in [0, 7, u64::MAX] {
        let Step::Wait(wait) = polling.next(random) else { panic!() };
        assert!((5_000..=5_500).contains(&wait.0), "{wait:?}");
        assert_eq!(polling.next(random), Step::Get);
        polling.got(Ok(object(working())), &answerers());
    }
    for (suggested, waits) in [(json!(0), 250), (json!(1e15), 3_600_000), (json!("soon"), 2_500), (json!(-5), 2_500)] {
        let mut task = working();
        task["pollIntervalMs"] = suggested;
        let mut polling = modern(task.clone());
        for _ in 0..3 {
            polling.got(Ok(object(task.clone())), &answerers());
        }
        assert_eq!(polling.next(0), Step::Wait(Millis(waits)), "{task}");
    }
    polling.got(Ok(object(json!({ "status": "completed", "result": { "content": [] } }))), &answerers());
    assert_eq!(polling.next(0), Step::Done(object(json!({ "content": [] }))));
    assert_eq!(polling.next(0), Step::Done(object(json!({ "content": [] }))), "for good");
}

#[test]
fn nothing_is_asked_twice_and_answers_go_in_one_update() {
    let mut polling = modern(working());
    polling.got(Ok(object(asks(&["a", "b"]))), &answerers());
    assert_eq!(keys(polling.next(0)), ["a", "b"]);
    assert_eq!(polling.next(0), Step::Wait(Millis(500)), "the polling goes on");
    polling.got(Ok(object(asks(&["a", "b", "c"]))), &answerers());
    assert_eq!(keys(polling.next(0)), ["c"]);
    polling.answered("a", json!({ "action": "decline" }));
    polling.answered("c", json!({ "action": "cancel" }));
    let update = Step::Update(json!({ "a": { "action": "decline" }, "c": { "action": "cancel" } }));
    assert_eq!(polling.next(0), update);
    let Step::Update(sent) = update else { unreachable!() };
    polling.updated(sent, Ok(()));
    polling.got(Ok(object(asks(&["a", "b"]))), &answerers());
    assert!(matches!(polling.next(0), Step::Wait(_)));
}

#[test]
fn an_update_that_fails_is_sent_again_after_a_wait() {
    let mut polling = modern(working());
    polling.got(Ok(object(asks(&["a"]))), &answerers());
    assert_eq!(keys(polling.next(0)), ["a"]);
    polling.answered("a", json!({ "action": "decline" }));
    let Step::Update(sent) = polling.next(0) else { panic!() };
    polling.updated(sent.clone(), Err(down()));
    assert_eq!(polling.next(0), Step::Wait(Millis(2_000)));
    assert_eq!(polling.next(0), Step::Update(sent));
}

#[test]
fn polls_that_fail_back_off_and_end_when_there_is_no_hope() {
    let mut polling = modern(working());
    let mut waits = Vec::new();
    for _ in 0..MOST_FAILURES - 1 {
        polling.got(Err(down()), &answerers());
        let Step::Wait(wait) = polling.next(0) else { panic!() };
        waits.push(wait.0);
    }
    assert_eq!(waits, [5_000, 5_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000]);
    polling.got(Err(down()), &answerers());
    let Step::Failed(error) = polling.next(0) else { panic!() };
    assert!(error.message.ends_with("resume it by its id"), "{error}");
    let mut polling = modern(working());
    polling.got(Err(Error::new(Code::Protocol, "Task not found").into()), &answerers());
    assert!(matches!(polling.next(0), Step::Failed(error) if error.message == "Task not found"));
    let mut polling = modern(working());
    let slow = Error::new(Code::RateLimited, "slow").retry(Retry::After(Millis(9_000)));
    polling.got(Err(slow.into()), &answerers());
    assert_eq!(polling.next(0), Step::Wait(Millis(9_000)));
    polling.got(Ok(object(working())), &answerers());
    assert_eq!(polling.next(0), Step::Wait(Millis(5_000)), "forgotten");
}

#[test]
fn a_task_is_not_polled_for_ever() {
    let mut task = working();
    task["ttlMs"] = json!(600_000);
    let mut polling = modern(task.clone());
    let mut polls = 0;
    let error = loop {
        match polling.next(0) {
            Step::Get => polling.got(Ok(object(task.clone())), &answerers()),
            Step::Wait(_) => polls += 1,
            Step::Failed(error) => break error,
            step => panic!("{step:?}"),
        }
        assert!(polls < 1_000);
    };
    assert_eq!((error.code, polls), (Code::Timeout, 133));
}

#[test]
fn ends_that_are_no_results() {
    let end = |task: Value| {
        let mut polling = modern(working());
        polling.got(Ok(object(task)), &answerers());
        match polling.next(0) {
            Step::Failed(error) => {
                (error.message.strip_prefix("tools/call add on calc: ").unwrap().to_owned(), error.rpc_code)
            }
            step => panic!("{step:?}"),
        }
    };
    let error = json!({ "code": -32603, "message": "rate\u{202E} limit" });
    assert_eq!(
        end(json!({ "status": "failed", "error": error })),
        ("the task failed: rate limit".into(), Some(-32603))
    );
    assert_eq!(end(json!({ "status": "cancelled" })).0, "the server cancelled the task");
    for odd in [
        json!({}),
        json!({ "status": "paused" }),
        json!({ "status": "completed" }),
        json!({ "status": "completed", "result": 7 }),
        json!({ "status": "input_required" }),
    ] {
        end(odd);
    }
    let mut roots = asks(&[]);
    roots["inputRequests"] = json!({ "r": { "method": "roots/list" } });
    assert!(end(roots).0.ends_with("did not declare"));
    for announced in [json!({ "status": "working" }), json!({ "taskId": "" }), json!({ "taskId": 7 })] {
        assert!(Polling::new(Era::Modern, "x", &object(announced)).is_err());
    }
}

#[test]
fn tasks_of_2025_fetch_their_result() {
    let task =
        json!({ "taskId": "t1", "status": "working", "ttl": 60_000, "pollInterval": 700, "statusMessage": "Reading" });
    let mut polling = Polling::new(Era::Legacy, "x", &object(json!({ "task": task }))).unwrap();
    assert_eq!(polling.id(), "t1");
    assert_eq!(polling.take_message().as_deref(), Some("Reading"));
    assert_eq!(polling.next(0), Step::Wait(Millis(700)));
    assert_eq!(polling.next(0), Step::Get);
    polling.got(Ok(object(json!({ "taskId": "t1", "status": "input_required" }))), &answerers());
    assert_eq!(polling.next(0), Step::Result, "the server asks on its stream");
    polling.resulted(Err(down()));
    assert!(matches!(polling.next(0), Step::Wait(_)));
    assert_eq!(polling.next(0), Step::Get);
    polling.got(Ok(object(json!({ "taskId": "t1", "status": "failed" }))), &answerers());
    assert_eq!(polling.next(0), Step::Result);
    polling.resulted(Ok(object(json!({ "isError": true }))));
    assert!(matches!(polling.next(0), Step::Done(_)));
}

#[test]
fn a_task_that_is_resumed_is_looked_at_first() {
    assert_eq!(Polling::resume(Era::Modern, "x", "t1").next(0), Step::Get);
    let done = json!({ "taskId": "t1", "status": "completed" });
    assert_eq!(modern(done).next(0), Step::Get);
}
