//! [`Platform`] for every JavaScript runtime: pages, workers, Node, Cloudflare Workers.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;

use js_sys::Uint8Array;
use serde_json::Value;
use wasm_bindgen::prelude::*;

use super::door::{self, Aborter};
use super::fetch::{WebBody, fetch};
use super::store::Records;
use crate::http::Request;
use crate::platform::{
    AppCall, AppResult, Asset, Circle, NetworkError, Part, PartResult, Platform, Response, Space, StoreCounts,
    StoreFailure, Stored, Write,
};
use crate::secret::Secret;
use crate::store::Store;
use crate::time::{Millis, UnixMillis};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill_random(bytes: &Uint8Array);
}

/// Most bytes that are kept of what may be evicted.
const STORE_LIMIT: u64 = 64 * 1024 * 1024;

/// The world as JavaScript shows it; one per agent.
pub struct WebPlatform {
    /// The shell's number for the functions that this agent's options hold.
    table: u32,
    store: Store<Records>,
}

impl WebPlatform {
    /// The platform of the agent whose functions the shell keeps under that number.
    pub fn new(table: u32) -> WebPlatform {
        WebPlatform { table, store: Store::new(Records(table), STORE_LIMIT) }
    }
}

pub(super) fn now() -> UnixMillis {
    // A float-to-integer cast saturates: a clock before 1970 gives 0.
    UnixMillis(js_sys::Date::now() as u64)
}

/// A lock among the tabs of one origin; dropping it gives it up.
#[derive(Debug)]
pub struct WebLock {
    _held: Option<Aborter>,
}

/// A place in a circle of tabs; dropping it leaves.
#[derive(Debug)]
pub struct WebCircle {
    place: door::Place,
    _joined: Aborter,
    next: RefCell<Option<door::Wait>>,
}

impl Circle for WebCircle {
    fn say(&self, text: &str) {
        self.place.say(text);
    }

    async fn hear(&self) -> String {
        let heard = poll_fn(|context| {
            // Kept where this future is dropped: what it will give belongs to the next one.
            let mut next = self.next.borrow_mut();
            let heard = Pin::new(next.get_or_insert_with(|| door::promise(&self.place.hear()))).poll(context);
            if heard.is_ready() {
                *next = None;
            }
            heard
        });
        heard.await.ok().and_then(|text| text.as_string()).unwrap_or_default()
    }
}

impl Platform for WebPlatform {
    type Body = WebBody;
    type Lock = WebLock;
    type Circle = WebCircle;

    fn now(&self) -> UnixMillis {
        now()
    }

    fn random(&self) -> u64 {
        // Not a slice of ours: wasm-bindgen hands one over by a pointer that the optimiser believes to be read only, and
        // at some levels the numbers were all zero.
        let drawn = Uint8Array::new_with_length(8);
        fill_random(&drawn);
        drawn.to_vec().iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }

    async fn sleep(&self, duration: Millis) {
        // Timers may fire up to a millisecond early, measured by `Date.now`, so one is added.
        let ms = duration.min(Millis(Millis::MAX_TIMER.0 - 1)).0 as f64 + 1.0;
        let _ = door::timer(ms).await;
    }

    async fn fetch(&self, request: Request) -> Result<Response<WebBody>, NetworkError> {
        fetch(request, self.table).await
    }

    async fn load(&self, space: Space, key: &str) -> Option<Vec<u8>> {
        self.store.load(space, key).await
    }

    async fn list(&self, space: Space, prefix: &str) -> Vec<Stored> {
        self.store.list(space, prefix).await
    }

    async fn write(&self, batch: Vec<Write>) -> Result<(), StoreFailure> {
        self.store.write(batch).await
    }

    async fn write_now(&self, batch: &[Write]) -> Result<(), StoreFailure> {
        self.store.write_now(batch).await
    }

    fn store_counts(&self) -> StoreCounts {
        self.store.counts()
    }

    fn waiting_writes(&self) -> Vec<Write> {
        self.store.waiting_writes()
    }

    async fn load_secret(&self, key: &str) -> Option<Secret> {
        door::load_secret(self.table, key).await.ok()?.as_string().map(Secret::new)
    }

    async fn save_secret(&self, key: &str, value: Option<&Secret>) {
        let _ = door::save_secret(self.table, key, value.map(Secret::reveal)).await;
    }

    async fn lock(&self, name: &str) -> WebLock {
        let held = Aborter::new();
        if let Some(held) = &held {
            // It never fails: where there are no locks, it is given at once.
            let _ = door::lock(name, held).await;
        }
        WebLock { _held: held }
    }

    async fn is_held(&self, prefix: &str, but: &str) -> Option<bool> {
        door::is_held(prefix, but).await.ok()?.as_bool()
    }

    fn circle(&self, name: &str) -> Option<WebCircle> {
        let joined = Aborter::new()?;
        let place = door::circle(name, &joined)?;
        Some(WebCircle { place, _joined: joined, next: RefCell::default() })
    }

    fn tell_app(&self, call: AppCall) {
        door::tell(self.table, call.function.0, &crate::json::text(&call.argument));
    }

    async fn call_app(&self, call: AppCall) -> AppResult {
        let text = |value: JsValue| value.as_string().unwrap_or_default();
        match door::call(self.table, call.function.0, &crate::json::text(&call.argument)).await {
            Ok(json) => serde_json::from_slice::<Value>(text(json).as_bytes()).map_err(|_| "gave no JSON".to_owned()),
            Err(thrown) => Err(text(thrown)),
        }
    }

    #[cfg(feature = "parts")]
    async fn call_part(&self, part: Part, request: String) -> PartResult {
        super::part::answer(self.table, part, &request).await
    }

    #[cfg(feature = "parts")]
    async fn asset(&self, asset: Asset) -> Option<Vec<u8>> {
        let bytes = door::asset(asset.as_str()).await.ok()?.dyn_into::<Uint8Array>().ok()?;
        Some(bytes.to_vec())
    }

    /// Only the parts need one.
    #[cfg(not(feature = "parts"))]
    async fn asset(&self, _asset: Asset) -> Option<Vec<u8>> {
        None
    }

    #[cfg(not(feature = "parts"))]
    async fn call_part(&self, part: Part, request: String) -> PartResult {
        let text = |value: JsValue| value.as_string().unwrap_or_default();
        door::part(part.as_str(), self.table, &request).await.map(text).map_err(text)
    }
}
