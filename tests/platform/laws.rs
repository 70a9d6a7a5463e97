//! The laws of `Platform`, as functions that any implementation must pass: included by the native suite for
//! `SimPlatform` and by the browser suite for `WebPlatform`.
//!
//! Each suite starts a server for [`LawEnv::base`] that answers, with CORS open to everybody:
//!
//! | request | answer |
//! |---|---|
//! | `POST /echo` | JSON `{"method","body","header"}`; `header` is the value of the request's `x-law` |
//! | `GET /chunks?count=N&gap=MS` | head, then N lines `0\n` .. `N-1\n`, MS between them, then the end |
//! | `GET /empty` | status 204 without a body |
//! | `GET /silent?id=X` | nothing, ever |
//! | `GET /drip?id=X` | head, then a line `drip\n` every 20 ms for ever |
//! | `GET /reset` | head, the line `partial\n`, then the connection breaks |
//! | `GET /refuse` | status 429 with `retry-after: 2` and the text `slow down` |
//! | `GET /open?id=X` | JSON number: how many `/silent` and `/drip` exchanges with that id are still open |
//!
//! and three functions: one returns its argument after 5 ms, one throws an error with the message `no luck`, one
//! never settles.

use std::future::Future;
use std::pin::pin;

use edgewise::http::{Headers, Method, Request};
use edgewise::options::FunctionId;
use edgewise::platform::{AppCall, Body, Circle, Platform, Space, Write};
use edgewise::secret::Secret;
use edgewise::time::Millis;
use futures_util::future::{Either, select};
use serde_json::{Value, json};

/// What a suite provides beside its platform.
pub struct LawEnv {
    /// URL prefix of the server, without a slash at the end.
    pub base: String,
    /// A URL where nobody listens.
    pub nobody: String,
    /// Function that returns its argument after 5 ms.
    pub echo: FunctionId,
    /// Function that throws `no luck`.
    pub throws: FunctionId,
    /// Function that never settles.
    pub hangs: FunctionId,
}

impl LawEnv {
    fn get(&self, path: &str) -> Request {
        Request { method: Method::Get, url: format!("{}{path}", self.base), headers: Headers::new(), body: None }
    }
}

async fn read_all<P: Platform>(p: &P, request: Request) -> (u16, String) {
    let mut answer = p.fetch(request).await.expect("an answer");
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.body.chunk().await {
        bytes.extend(chunk.expect("a whole body"));
    }
    (answer.head.status, String::from_utf8(bytes).expect("UTF-8"))
}

/// The future, if it is done within `limit`; else it is dropped.
async fn within<P: Platform, T>(p: &P, limit: u64, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(p.sleep(Millis(limit)))).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}

/// How many exchanges of that id the server holds open; waits up to two seconds for `wanted`.
async fn open_at_server<P: Platform>(p: &P, env: &LawEnv, id: &str, wanted: u64) -> u64 {
    let mut open = 0;
    for _ in 0..40 {
        let (_, text) = read_all(p, env.get(&format!("/open?id={id}"))).await;
        open = text.parse().expect("a number");
        if open == wanted {
            break;
        }
        p.sleep(Millis(50)).await;
    }
    open
}

/// Method, headers and body reach the server as given; the answer comes with status and headers.
pub async fn law_a_request_arrives_as_it_was_made<P: Platform>(p: &P, env: &LawEnv) {
    let mut request = env.get("/echo");
    request.method = Method::Post;
    request.headers.set("content-type", "application/json");
    request.headers.set("x-law", "one");
    request.body = Some("{\"text\":\"h\u{e9}llo \u{2713}\"}".to_owned());
    let (status, text) = read_all(p, request).await;
    let echo: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status, 200);
    assert_eq!(echo, json!({ "method": "POST", "body": "{\"text\":\"h\u{e9}llo \u{2713}\"}", "header": "one" }));
}

/// A status of 400 or more is an answer, with its headers and body.
pub async fn law_a_bad_status_is_an_answer<P: Platform>(p: &P, env: &LawEnv) {
    let mut answer = p.fetch(env.get("/refuse")).await.expect("an answer");
    assert_eq!(answer.head.status, 429);
    assert_eq!(answer.head.headers.get("Retry-After"), Some("2"));
    let chunk = answer.body.chunk().await.expect("a body").expect("bytes");
    assert_eq!(chunk, b"slow down");
}

/// Where nobody listens there is an error, in bounded time, and no answer.
pub async fn law_nobody_there_is_an_error<P: Platform>(p: &P, env: &LawEnv) {
    let mut request = env.get("");
    request.url = env.nobody.clone();
    let outcome = within(p, 10_000, p.fetch(request)).await.expect("an outcome in time");
    let error = outcome.err().expect("an error");
    assert!(!error.message.is_empty());
}

/// Chunks come in order and never empty, then `None` for ever; the head does not wait for the body.
pub async fn law_a_body_comes_in_order_and_ends_for_ever<P: Platform>(p: &P, env: &LawEnv) {
    let mut answer = p.fetch(env.get("/chunks?count=20&gap=5")).await.expect("an answer");
    let mut text = Vec::new();
    while let Some(chunk) = answer.body.chunk().await {
        let chunk = chunk.expect("bytes");
        assert!(!chunk.is_empty());
        text.extend(chunk);
    }
    let expected: String = (0..20).map(|n| format!("{n}\n")).collect();
    assert_eq!(String::from_utf8(text).expect("UTF-8"), expected);
    assert!(answer.body.chunk().await.is_none());
    assert!(answer.body.chunk().await.is_none());

    let mut empty = p.fetch(env.get("/empty")).await.expect("an answer");
    assert_eq!(empty.head.status, 204);
    assert!(empty.body.chunk().await.is_none());
}

/// What comes before the connection breaks is delivered, then one error, then `None` for ever.
pub async fn law_a_broken_body_gives_one_error<P: Platform>(p: &P, env: &LawEnv) {
    let mut answer = p.fetch(env.get("/reset")).await.expect("an answer");
    let mut text = Vec::new();
    let mut errors = 0;
    while let Some(chunk) = answer.body.chunk().await {
        match chunk {
            Ok(bytes) => text.extend(bytes),
            Err(_) => errors += 1,
        }
    }
    assert_eq!((text.as_slice(), errors), (&b"partial\n"[..], 1));
    assert!(answer.body.chunk().await.is_none());
}

/// A body whose end is far away still gives its first bytes at once.
pub async fn law_the_first_chunk_does_not_wait_for_the_last<P: Platform>(p: &P, env: &LawEnv) {
    let mut answer = p.fetch(env.get("/drip?id=first")).await.expect("an answer");
    let chunk = within(p, 5_000, answer.body.chunk()).await.expect("in time");
    assert!(chunk.expect("a chunk").expect("bytes").starts_with(b"drip\n"));
}

/// Dropping a fetch that waits for its head aborts the request: the server sees the client go.
pub async fn law_dropping_a_fetch_aborts_it<P: Platform>(p: &P, env: &LawEnv) {
    let outcome = within(p, 200, p.fetch(env.get("/silent?id=fetch"))).await;
    assert!(outcome.is_none(), "the server never answers");
    assert_eq!(open_at_server(p, env, "fetch", 0).await, 0);
}

/// Dropping a body aborts the request: the server sees the client go.
pub async fn law_dropping_a_body_aborts_it<P: Platform>(p: &P, env: &LawEnv) {
    let mut answer = p.fetch(env.get("/drip?id=body")).await.expect("an answer");
    answer.body.chunk().await.expect("a chunk").expect("bytes");
    assert_eq!(open_at_server(p, env, "body", 1).await, 1);
    drop(answer);
    assert_eq!(open_at_server(p, env, "body", 0).await, 0);
}

/// Dropping a body while a read of it waits aborts as well.
pub async fn law_dropping_a_pending_read_and_its_body_aborts<P: Platform>(p: &P, env: &LawEnv) {
    let mut answer = p.fetch(env.get("/chunks?count=2&gap=5000")).await.expect("an answer");
    answer.body.chunk().await.expect("a chunk").expect("bytes");
    assert!(within(p, 100, answer.body.chunk()).await.is_none());
    drop(answer);
    let (status, _) = read_all(p, env.get("/chunks?count=1&gap=0")).await;
    assert_eq!(status, 200);
}

/// A sleep ends, in the order of the durations, and a dropped one disturbs nobody.
pub async fn law_sleeps_end_in_order<P: Platform>(p: &P, _: &LawEnv) {
    p.sleep(Millis(0)).await;
    let (short, long) = (pin!(p.sleep(Millis(10))), pin!(p.sleep(Millis(120))));
    match select(long, short).await {
        Either::Left(_) => panic!("the longer sleep ended first"),
        Either::Right(((), long)) => long.await,
    }
    drop(p.sleep(Millis::MAX_TIMER));
    assert!(within(p, 5, p.sleep(Millis(3_600_000))).await.is_none());
    assert!(within(p, 5, p.sleep(Millis(u64::MAX))).await.is_none(), "a long wait is cut, not wrapped to nothing");
}

/// Random numbers do not repeat and use all their bits.
pub async fn law_random_numbers_differ<P: Platform>(p: &P, _: &LawEnv) {
    let drawn: Vec<u64> = (0..64).map(|_| p.random()).collect();
    for (index, number) in drawn.iter().enumerate() {
        assert!(!drawn[..index].contains(number), "{number} twice");
    }
    assert_eq!(drawn.iter().fold(0, |bits, number| bits | number), u64::MAX);
    assert_eq!(drawn.iter().fold(u64::MAX, |bits, number| bits & number), 0);
}

/// The clock shows a time between 2020 and 2100, whatever else it does.
pub async fn law_now_is_a_wall_clock<P: Platform>(p: &P, _: &LawEnv) {
    let now = p.now().0;
    assert!((1_577_836_800_000..4_102_444_800_000).contains(&now), "{now}");
}

/// `load_secret` gives what the last finished `save_secret` kept; secrets and plain values do not touch each other.
pub async fn law_secrets_are_kept_apart<P: Platform>(p: &P, _: &LawEnv) {
    let key = format!("law-{:x} \u{2713}", p.random());
    assert_eq!(p.load_secret(&key).await, None);
    p.save_secret(&key, Some(&Secret::new("one \u{2713}"))).await;
    p.write(vec![Write::put(Space::Servers, &key, b"plain")]).await.expect("there is room");
    p.save_secret(&key, Some(&Secret::new("two"))).await;
    assert_eq!(p.load_secret(&key).await, Some(Secret::new("two")));
    p.save_secret(&key, None).await;
    p.save_secret(&key, None).await;
    assert_eq!(p.load_secret(&key).await, None);
    assert_eq!(p.load(Space::Servers, &key).await.as_deref(), Some(&b"plain"[..]));
    p.write(vec![Write::remove(Space::Servers, &key)]).await.expect("it is removed");
}

/// A lock is held by one at a time, in the order of asking; whoever goes away lets the next one in, held or not.
pub async fn law_a_lock_is_held_by_one<P: Platform>(p: &P, _: &LawEnv) {
    let (name, other) = (format!("law-{:x}", p.random()), format!("law-{:x}", p.random()));
    let first = p.lock(&name).await;
    let elsewhere = within(p, 5_000, p.lock(&other)).await;
    assert!(elsewhere.is_some(), "locks of other names are free");
    let start = &name[..name.len() - 1];
    assert_eq!(p.is_held(start, "").await, Some(true));
    assert_eq!((p.is_held(start, &name).await, p.is_held("law-none", "").await), (Some(false), Some(false)));
    let mut waits = pin!(p.lock(&name));
    assert!(within(p, 50, waits.as_mut()).await.is_none(), "it is held");
    assert!(within(p, 20, p.lock(&name)).await.is_none(), "it is held, and this one gives up");
    drop(first);
    let second = within(p, 5_000, waits).await.expect("it is free");
    assert!(within(p, 20, p.lock(&name)).await.is_none());
    drop(second);
    drop(within(p, 5_000, p.lock(&name)).await.expect("nobody is left"));
}

/// Whoever is in a circle hears the others, in order, once, and never itself; other circles hear nothing.
pub async fn law_a_circle_hears_the_others<P: Platform>(p: &P, _: &LawEnv) {
    let name = format!("law-{:x}", p.random());
    let join = |name: &str| p.circle(name).expect("there are circles here");
    let (first, second, other) = (join(&name), join(&name), join(&format!("{name}-other")));
    assert!(within(p, 30, second.hear()).await.is_none(), "nothing was said, and the one who heard gave up");
    first.say("one");
    first.say("two \u{e9}");
    let late = join(&name);
    for word in ["one", "two \u{e9}"] {
        assert_eq!(within(p, 5_000, second.hear()).await.as_deref(), Some(word));
    }
    second.say("three");
    for circle in [&first, &late] {
        assert_eq!(within(p, 5_000, circle.hear()).await.as_deref(), Some("three"));
    }
    drop(first);
    late.say("four");
    assert_eq!(within(p, 5_000, second.hear()).await.as_deref(), Some("four"));
    for circle in [&second, &late, &other] {
        assert!(within(p, 50, circle.hear()).await.is_none(), "there is nothing more to be heard");
    }
}

/// A function of the app gets its argument; what it returns or throws comes back; one that hangs can be dropped.
pub async fn law_app_functions_return_or_throw<P: Platform>(p: &P, env: &LawEnv) {
    let call = |function, argument| AppCall { function, argument };
    let argument = json!({ "a": [1, null, "h\u{e9}"], "b": { "c": 1.5 } });
    assert_eq!(p.call_app(call(env.echo, argument.clone())).await, Ok(argument));
    let thrown = p.call_app(call(env.throws, Value::Null)).await.expect_err("it throws");
    assert!(thrown.contains("no luck"), "{thrown}");
    assert!(within(p, 50, p.call_app(call(env.hangs, Value::Null))).await.is_none());
}

/// Calls `$with!(law_name)` for every law.
#[macro_export]
macro_rules! for_every_platform_law {
    ($with:ident) => {
        $with!(law_a_request_arrives_as_it_was_made);
        $with!(law_a_bad_status_is_an_answer);
        $with!(law_nobody_there_is_an_error);
        $with!(law_a_body_comes_in_order_and_ends_for_ever);
        $with!(law_a_broken_body_gives_one_error);
        $with!(law_the_first_chunk_does_not_wait_for_the_last);
        $with!(law_dropping_a_fetch_aborts_it);
        $with!(law_dropping_a_body_aborts_it);
        $with!(law_dropping_a_pending_read_and_its_body_aborts);
        $with!(law_sleeps_end_in_order);
        $with!(law_random_numbers_differ);
        $with!(law_now_is_a_wall_clock);
        $with!(law_secrets_are_kept_apart);
        $with!(law_a_lock_is_held_by_one);
        $with!(law_a_circle_hears_the_others);
        $with!(law_app_functions_return_or_throw);
    };
}
