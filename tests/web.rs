//! `WebPlatform` in a real browser: the laws of `Platform`, and what only a browser can show.
#![cfg(target_arch = "wasm32")]

#[path = "platform/laws.rs"]
mod laws;
#[path = "platform/store_laws.rs"]
mod store_laws;

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;

use edgewise::http::{Headers, Method, Request};
use edgewise::options::FunctionId;
use edgewise::platform::{AppCall, Body, Platform, Space, StoreFailure, Write};
use edgewise::time::Millis;
use edgewise::web::{WebPlatform, door};
use futures_util::future::{join, select};
use js_sys::{Function, Object, Promise, Reflect, Uint8Array, global};
use laws::LawEnv;
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen(module = "/tests/web/support.js")]
extern "C" {
    fn connect(wake: &Closure<dyn Fn()>, settle: &Closure<dyn Fn(u32, bool, JsValue)>) -> door::Host;
    #[wasm_bindgen(js_name = tableOn)]
    fn table_on(name: &str) -> u32;
    #[wasm_bindgen(js_name = tableInMemory)]
    fn table_in_memory() -> u32;
    #[wasm_bindgen(js_name = tableByDefault)]
    fn table_by_default() -> u32;
    fn replace(name: &str, value: &JsValue) -> Function;
    #[wasm_bindgen(variadic)]
    fn answering(chunks: Vec<JsValue>) -> JsValue;
    fn upgrade(name: &str) -> Promise;
    fn occupy(name: &str) -> Promise;
    fn vacate();
}

thread_local! {
    static STARTED: Cell<bool> = const { Cell::new(false) };
}

/// The shell's own host, over the entries of this test.
fn start() {
    if !STARTED.replace(true) {
        let wake = Closure::<dyn Fn()>::new(door::wake);
        let settle = Closure::<dyn Fn(u32, bool, JsValue)>::new(door::settle);
        door::connect(connect(&wake, &settle));
        wake.forget();
        settle.forget();
    }
}

/// A platform on the shell's own host, with a database of that name.
fn platform_on(database: &str) -> WebPlatform {
    start();
    WebPlatform::new(table_on(database))
}

fn new_name() -> String {
    format!("test-{}", js_sys::Math::random())
}

fn platform() -> WebPlatform {
    platform_on(&new_name())
}

fn get(url: &str) -> Request {
    Request { method: Method::Get, url: url.to_owned(), headers: Headers::new(), body: None }
}

async fn law_env(platform: &WebPlatform) -> LawEnv {
    // Written by whoever started the server; the test runner serves the repository's files.
    let mut answer = platform.fetch(get("/test-artefacts/laws.json")).await.expect("the runner answers");
    assert_eq!(answer.head.status, 200, "the server of the laws is not running");
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.body.chunk().await {
        bytes.extend(chunk.expect("bytes"));
    }
    let urls: Value = serde_json::from_slice(&bytes).expect("JSON");
    let url = |name: &str| urls[name].as_str().expect("a URL").to_owned();
    LawEnv {
        base: url("base"),
        nobody: url("nobody"),
        echo: FunctionId(0),
        throws: FunctionId(1),
        hangs: FunctionId(2),
    }
}

macro_rules! law {
    ($law:ident) => {
        #[wasm_bindgen_test]
        async fn $law() {
            let platform = platform();
            let env = law_env(&platform).await;
            laws::$law(&platform, &env).await;
        }
    };
}
for_every_platform_law!(law);

macro_rules! store_law {
    ($law:ident) => {
        #[wasm_bindgen_test]
        async fn $law() {
            store_laws::$law(&platform()).await;
            store_laws::$law(&WebPlatform::new(table_in_memory())).await;
        }
    };
}
for_every_store_law!(store_law);

/// Runs `test` with another value for a global.
async fn with_global<T>(name: &str, value: &JsValue, test: impl Future<Output = T>) -> T {
    let restore = replace(name, value);
    let outcome = test.await;
    restore.call0(&JsValue::NULL).expect("restores");
    outcome
}

#[wasm_bindgen_test]
async fn a_failure_may_be_cors_on_another_origin_only() {
    let platform = platform();
    let env = law_env(&platform).await;
    let error = platform.fetch(get(&format!("{}/mcp?key=secret", env.nobody))).await.expect_err("nobody listens");
    assert_eq!(error.message, "TypeError: Failed to fetch");
    assert!(error.maybe_cors);
    let refusing = Function::new_no_args("return Promise.reject(new TypeError('Failed to fetch'))");
    let error = with_global("fetch", &refusing, platform.fetch(get("/mcp"))).await.expect_err("it refuses");
    assert!(!error.maybe_cors);
}

#[wasm_bindgen_test]
async fn neither_a_query_nor_the_value_of_a_header_gets_into_a_message() {
    let platform = platform();
    let error = platform.fetch(get("http://[bad/mcp?key=secret")).await.expect_err("no URL");
    assert!(!error.message.contains("secret"), "{}", error.message);
    let mut request = get("/");
    request.headers.set("authorization", "Bearer sec\nret");
    let error = platform.fetch(request).await.expect_err("no header");
    assert!(error.message.contains("`authorization`") && !error.message.contains("sec"), "{}", error.message);
}

#[wasm_bindgen_test]
async fn a_patched_fetch_may_answer_with_a_class_of_its_own_and_with_empty_chunks() {
    let platform = platform();
    let bytes = |bytes: &[u8]| JsValue::from(Uint8Array::from(bytes));
    let fetch = answering(vec![bytes(b""), bytes(b"a"), bytes(b""), bytes(b"b")]);
    let mut answer = with_global("fetch", &fetch, platform.fetch(get("/"))).await.expect("an answer");
    assert_eq!(answer.head.headers.get("x-own"), Some("1"));
    assert_eq!(answer.body.chunk().await.unwrap().unwrap(), b"a");
    assert_eq!(answer.body.chunk().await.unwrap().unwrap(), b"b");
    assert!(answer.body.chunk().await.is_none());
    assert!(answer.body.chunk().await.is_none());
}

#[wasm_bindgen_test]
async fn a_fetch_that_misbehaves_is_an_error_and_no_crash() {
    let platform = platform();
    let fetches = [
        "return undefined",
        "return 7",
        "return {}",
        "throw 'now'",
        "return Promise.reject()",
        "return Promise.reject(Symbol())",
        "return Promise.resolve({ status: 200, headers: new Headers(), body: {} })",
    ];
    for code in fetches {
        let fetch = Function::new_no_args(code);
        let outcome = with_global("fetch", &fetch, platform.fetch(get("/"))).await;
        assert!(!outcome.expect_err(code).message.is_empty());
    }
    let fetch = answering(vec!["text".into()]);
    let mut answer = with_global("fetch", &fetch, platform.fetch(get("/"))).await.expect("an answer");
    assert!(answer.body.chunk().await.expect("an outcome").is_err());
    assert!(answer.body.chunk().await.is_none());
}

#[wasm_bindgen_test]
async fn a_function_that_nobody_waits_for_sees_its_signal_abort() {
    let platform = platform();
    let call = AppCall { function: FunctionId(3), argument: json!("mine") };
    drop(select(Box::pin(platform.call_app(call)), Box::pin(platform.sleep(Millis(20)))).await);
    platform.sleep(Millis(20)).await;
    assert_eq!(Reflect::get(&global(), &"aborted".into()).unwrap().as_string().as_deref(), Some("mine"));
}

#[wasm_bindgen_test]
async fn what_json_cannot_carry_becomes_null_or_an_error() {
    let platform = platform();
    let call = |function| platform.call_app(AppCall { function: FunctionId(function), argument: Value::Null });
    assert_eq!(call(4).await, Ok(Value::Null));
    assert!(call(5).await.is_err());
    assert!(call(99).await.is_err());
}

async fn put(platform: &WebPlatform, value: &str) -> Result<(), StoreFailure> {
    platform.write(vec![Write::put(Space::Servers, "key", value)]).await
}

async fn read(platform: &WebPlatform) -> Option<String> {
    platform.load(Space::Servers, "key").await.map(|value| String::from_utf8(value).unwrap())
}

#[wasm_bindgen_test]
async fn values_are_there_after_a_reload() {
    let name = new_name();
    put(&platform_on(&name), "value").await.unwrap();
    // Another platform has another connection, as after a reload; callers at the same time share one opening.
    let after = platform_on(&name);
    let (one, two) = join(read(&after), after.load(Space::Servers, "none")).await;
    assert_eq!((one.as_deref(), two), (Some("value"), None));
}

#[wasm_bindgen_test]
async fn a_database_makes_way_for_a_newer_version_and_memory_takes_over() {
    let name = new_name();
    let ours = platform_on(&name);
    put(&ours, "old").await.unwrap();
    let type_ = JsFuture::from(upgrade(&name)).await.unwrap();
    assert_eq!(type_.as_string().as_deref(), Some("success"), "nothing of ours blocks it");
    assert_eq!(put(&ours, "new").await, Err(StoreFailure::Absent));
    assert_eq!(read(&ours).await.as_deref(), Some("new"));
}

#[wasm_bindgen_test]
async fn a_database_that_does_not_open_holds_nothing_up() {
    let name = new_name();
    let ours = platform_on(&name);
    JsFuture::from(occupy(&name)).await.unwrap();
    let begun = js_sys::Date::now();
    assert_eq!(put(&ours, "one").await, Err(StoreFailure::Absent));
    for _ in 0..10 {
        assert_eq!(read(&ours).await.as_deref(), Some("one"), "kept in memory");
        assert_eq!(ours.load(Space::Servers, "other").await, None);
    }
    assert!(js_sys::Date::now() - begun < 5_000.0, "only the first one waits");
    vacate();
    ours.sleep(Millis(200)).await;
    assert_eq!(read(&ours).await.as_deref(), Some("one"), "memory holds what is newer");
    put(&ours, "two").await.expect("the database is used again");
    assert_eq!(read(&platform_on(&name)).await.as_deref(), Some("two"));
}

#[wasm_bindgen_test]
async fn without_indexeddb_memory_has_to_do() {
    start();
    let throwing = Function::new_no_args("throw new DOMException('no', 'SecurityError')");
    let refusing = Object::new();
    Reflect::set(&refusing, &"open".into(), &throwing).unwrap();
    for factory in [JsValue::UNDEFINED, JsValue::NULL, refusing.into()] {
        with_global("indexedDB", &factory, async {
            let platform = WebPlatform::new(table_by_default());
            put(&platform, "value").await.expect("memory is what this agent has");
            assert_eq!(read(&platform).await.as_deref(), Some("value"));
            platform.write(vec![Write::remove(Space::Servers, "key")]).await.unwrap();
            assert_eq!(read(&platform).await, None);
            assert_eq!(read(&WebPlatform::new(table_by_default())).await, None, "each agent has its own");
        })
        .await;
    }
}

#[wasm_bindgen_test]
async fn tasks_run_to_their_end_on_the_doors_own_executor() {
    let platform = Rc::new(platform());
    let count = Rc::new(Cell::new(0));
    for ms in [30, 5, 15] {
        let (platform, count) = (platform.clone(), count.clone());
        door::spawn(async move {
            platform.sleep(Millis(ms)).await;
            count.set(count.get() + 1);
        });
    }
    platform.sleep(Millis(200)).await;
    assert_eq!(count.get(), 3);
}
