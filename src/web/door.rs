//! The one door between wasm and the JavaScript shell: tasks, waits, and nothing else.
//!
//! Every entry into wasm goes through the shell's guard (`pkg/host.js`), and everything that wasm waits for is known to
//! the shell by number. That is what makes a crash survivable: a panic under `panic = "abort"` ends as an exception in
//! the guard, never as an uncaught one (which would end a Node process); the shell then settles every open promise,
//! clears every timer, aborts every request, and lets no late callback reach the instance that replaces the dead one.
//! Closures and promises made by wasm-bindgen offer no such place, hence a small executor of our own.
//!
//! ```text
//! shell  -- exported call, wake(), settle(id, ..) -->  wasm
//! wasm   -- schedule(), wait(id, promise), timer(id, ms), records(id, ..), call(id, ..), forget(id) -->  shell
//! ```
//!
//! Numbers are never used twice within an instance (they wrap after 2^32).

use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

#[wasm_bindgen]
extern "C" {
    /// What the shell offers to one instance; `pkg/host.js` implements it.
    #[derive(Clone, Debug)]
    pub type Host;

    /// Calls [`wake`] soon, from a clean stack.
    #[wasm_bindgen(method)]
    fn schedule(this: &Host);

    /// Calls [`settle`] once the promise has settled.
    #[wasm_bindgen(method)]
    fn wait(this: &Host, id: u32, promise: &JsValue);

    /// Calls [`settle`] after that many milliseconds.
    #[wasm_bindgen(method)]
    fn timer(this: &Host, id: u32, ms: f64);

    /// Calls a function of the app and [`settle`] with its result as JSON text, or the text of what it threw.
    #[wasm_bindgen(method)]
    fn call(this: &Host, id: u32, table: u32, function: u32, argument: &str);

    /// Asks a part in the other wasm, which is loaded for the first one, and calls [`settle`] with its text, or with
    /// words for people.
    #[cfg(not(feature = "parts"))]
    #[wasm_bindgen(method)]
    fn part(this: &Host, id: u32, name: &str, table: u32, request: &str);

    /// Loads what is loaded when first wanted, into this instance, and calls [`settle`], or with words for people.
    #[cfg(feature = "split")]
    #[wasm_bindgen(method)]
    fn rest(this: &Host, id: u32);

    /// Reads, lists or changes the records of the agent with that table, and calls [`settle`] with an array, or with
    /// `full` or other words.
    #[wasm_bindgen(method)]
    fn records(this: &Host, id: u32, table: u32, what: &str, given: &js_sys::Array);

    /// Calls [`settle`] with the bytes of a file of the package, or undefined.
    #[cfg(feature = "parts")]
    #[wasm_bindgen(method)]
    fn asset(this: &Host, id: u32, name: &str);

    /// Calls [`settle`] with a secret of the agent with that table, or undefined.
    #[wasm_bindgen(method, js_name = loadSecret)]
    fn load_secret(this: &Host, id: u32, table: u32, key: &str);

    /// Keeps a secret, or removes it, and calls [`settle`].
    #[wasm_bindgen(method, js_name = saveSecret)]
    fn save_secret(this: &Host, id: u32, table: u32, key: &str, value: Option<&str>);

    /// Calls [`settle`] once the lock is held; the signal's abort gives it up.
    #[wasm_bindgen(method)]
    fn lock(this: &Host, id: u32, name: &str, until: &AbortSignal);

    /// Calls [`settle`] with whether a lock is held whose name begins so, other than that one; undefined where tabs share
    /// nothing.
    #[wasm_bindgen(method, js_name = isHeld)]
    fn is_held(this: &Host, id: u32, prefix: &str, but: &str);

    /// Joins the circle of tabs of that name until the signal aborts; nothing where tabs share nothing.
    #[wasm_bindgen(method)]
    fn circle(this: &Host, name: &str, until: &AbortSignal) -> Option<Place>;

    /// A place in a circle of tabs.
    #[derive(Clone, Debug)]
    pub(crate) type Place;

    /// Tells everybody else.
    #[wasm_bindgen(method)]
    pub(crate) fn say(this: &Place, text: &str);

    /// A promise of the next words of somebody else.
    #[wasm_bindgen(method)]
    pub(crate) fn hear(this: &Place) -> JsValue;

    /// Calls a function of the app soon; nobody waits for it.
    #[wasm_bindgen(method)]
    fn tell(this: &Host, table: u32, function: u32, argument: &str);

    /// What a function of the app that stands for `fetch` answers: a promise.
    #[wasm_bindgen(method)]
    fn through(this: &Host, table: u32, function: u32, init: &web_sys::RequestInit) -> JsValue;

    /// A signal that `forget` aborts.
    #[wasm_bindgen(method)]
    fn signal(this: &Host, id: u32) -> AbortSignal;

    /// Nobody waits for this any more: clears the timer, aborts the signal.
    #[wasm_bindgen(method)]
    fn forget(this: &Host, id: u32);

    /// Cancels a stream through its reader and swallows the outcome.
    #[wasm_bindgen(method)]
    fn cancel(this: &Host, reader: &JsValue);

    /// Settles a promise that the shell made: JSON text of the result, or of the error.
    #[wasm_bindgen(method)]
    fn answer(this: &Host, ticket: u32, ok: bool, json: &str);

    /// Reports progress on a promise that the shell made, as JSON text.
    #[wasm_bindgen(method)]
    fn progress(this: &Host, ticket: u32, json: &str);

    /// The message of a panic; the trap follows.
    #[cfg(debug_assertions)]
    #[wasm_bindgen(method)]
    fn panicked(this: &Host, message: &str);
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

enum Slot {
    Waiting(Option<Waker>),
    Settled(Result<JsValue, JsValue>),
}

#[derive(Default)]
struct Door {
    host: OnceCell<Host>,
    next: Cell<u32>,
    // Few are open at a time, so a scan beats a map, in bytes and in time.
    tasks: RefCell<Vec<(u32, Option<Task>)>>,
    ready: RefCell<Vec<u32>>,
    scheduled: Cell<bool>,
    waits: RefCell<Vec<(u32, Slot)>>,
}

thread_local! {
    // It lives as long as the instance.
    static DOOR: &'static Door = Box::leak(Box::default());
}

fn door() -> &'static Door {
    DOOR.with(|door| *door)
}

impl Door {
    fn number(&self) -> u32 {
        self.next.replace(self.next.get().wrapping_add(1))
    }

    fn make_ready(&self, task: u32) {
        let mut ready = self.ready.borrow_mut();
        if !ready.contains(&task) {
            ready.push(task);
        }
        drop(ready);
        if !self.scheduled.replace(true)
            && let Some(host) = self.host.get()
        {
            host.schedule();
        }
    }
}

/// Hands the instance its shell, once, before anything else; a dev build reports the words of panics to it from then on.
#[wasm_bindgen]
pub fn start(host: Host) {
    connect(host);
    // A release build has no words to report: there a panic is nothing but the trap that the shell sees anyway.
    #[cfg(debug_assertions)]
    std::panic::set_hook(Box::new(|info| with_host(|host| host.panicked(&info.to_string()))));
}

/// [`start`] for a program that reports its panics itself, such as a test.
pub fn connect(host: Host) {
    // A second one is a mistake of the shell; the first one stays.
    let _ = door().host.set(host);
}

/// Polls every task that can go on. Only the shell calls it, after `schedule`.
#[wasm_bindgen]
pub fn wake() {
    let door = door();
    door.scheduled.set(false);
    // Tasks that become ready meanwhile have their turn in the next round.
    for id in door.ready.take() {
        let slot = door.tasks.borrow_mut().iter_mut().find(|(known, _)| *known == id).map(|(_, task)| task.take());
        let Some(mut task) = slot.flatten() else { continue };
        let waker = Waker::from(Arc::new(TaskWaker(id)));
        let ended = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = door.tasks.borrow_mut();
        if ended {
            tasks.retain(|(known, _)| *known != id);
        } else if let Some((_, slot)) = tasks.iter_mut().find(|(known, _)| *known == id) {
            *slot = Some(task);
            continue;
        }
        // The task, and what it owns, goes only after the list is free again: its drop may come back here.
        drop(tasks);
    }
}

/// Delivers what a wait was for. Only the shell calls it.
#[wasm_bindgen]
pub fn settle(id: u32, ok: bool, value: JsValue) {
    let result = if ok { Ok(value) } else { Err(value) };
    let mut waits = door().waits.borrow_mut();
    let slot = waits.iter_mut().find(|(known, _)| *known == id);
    let before = slot.map(|(_, slot)| std::mem::replace(slot, Slot::Settled(result)));
    drop(waits);
    if let Some(Slot::Waiting(Some(waker))) = before {
        waker.wake();
    }
}

struct TaskWaker(u32);

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        door().make_ready(self.0);
    }
}

/// Lets a future run on its own until it ends.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    spawn_boxed(Box::pin(future));
}

fn spawn_boxed(task: Task) {
    let door = door();
    let id = door.number();
    door.tasks.borrow_mut().push((id, Some(task)));
    door.make_ready(id);
}

fn with_host(ask: impl FnOnce(&Host)) {
    door().host.get().map(ask);
}

/// Something that the shell was asked for and will [`settle`]. Dropping it makes the shell forget the request.
#[derive(Debug)]
pub(crate) struct Wait {
    id: u32,
}

impl Wait {
    fn new(ask: impl FnOnce(&Host, u32)) -> Wait {
        let id = door().number();
        door().waits.borrow_mut().push((id, Slot::Waiting(None)));
        with_host(|host| ask(host, id));
        Wait { id }
    }
}

impl Future for Wait {
    type Output = Result<JsValue, JsValue>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut waits = door().waits.borrow_mut();
        match waits.iter_mut().find(|(known, _)| *known == self.id) {
            Some((_, Slot::Settled(result))) => Poll::Ready(result.clone()),
            Some((_, Slot::Waiting(waker))) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waits = door().waits.borrow_mut();
        let at = waits.iter().position(|(known, _)| *known == self.id);
        let slot = at.map(|at| waits.swap_remove(at));
        drop(waits);
        if let Some((_, Slot::Waiting(_))) = slot {
            with_host(|host| host.forget(self.id));
        }
    }
}

/// Waits for a promise.
pub(crate) fn promise(promise: &JsValue) -> Wait {
    Wait::new(|host, id| host.wait(id, promise))
}

/// Waits that many milliseconds.
pub(crate) fn timer(ms: f64) -> Wait {
    Wait::new(|host, id| host.timer(id, ms))
}

/// Calls a function of the app; its table is the number that the shell gave the agent.
pub(crate) fn call(table: u32, function: u32, argument: &str) -> Wait {
    Wait::new(|host, id| host.call(id, table, function, argument))
}

/// Asks a part in the other wasm.
#[cfg(not(feature = "parts"))]
pub(crate) fn part(name: &str, table: u32, request: &str) -> Wait {
    Wait::new(|host, id| host.part(id, name, table, request))
}

/// Waits until what is loaded when first wanted is there.
#[cfg(feature = "split")]
pub(crate) async fn rest() -> Result<(), JsValue> {
    Wait::new(|host, id| host.rest(id)).await.map(drop)
}

/// Reads, lists or changes records; `given` and the answer are as in `pkg/store.js`.
pub(crate) fn records(table: u32, what: &str, given: &js_sys::Array) -> Wait {
    Wait::new(|host, id| host.records(id, table, what, given))
}

/// Reads a file of the package: an `Uint8Array`, or undefined.
#[cfg(feature = "parts")]
pub(crate) fn asset(name: &str) -> Wait {
    Wait::new(|host, id| host.asset(id, name))
}

/// Reads a secret of the agent with that table: text, or undefined.
pub(crate) fn load_secret(table: u32, key: &str) -> Wait {
    Wait::new(|host, id| host.load_secret(id, table, key))
}

/// Keeps a secret of the agent with that table, or removes it.
pub(crate) fn save_secret(table: u32, key: &str, value: Option<&str>) -> Wait {
    Wait::new(|host, id| host.save_secret(id, table, key, value))
}

/// Waits for a lock; it is held until `until` is dropped, even before it was given.
pub(crate) fn lock(name: &str, until: &Aborter) -> Wait {
    Wait::new(|host, id| host.lock(id, name, &until.signal))
}

/// Asks whether a lock is held whose name begins so, other than that one: a boolean, or undefined where tabs share nothing.
pub(crate) fn is_held(prefix: &str, but: &str) -> Wait {
    Wait::new(|host, id| host.is_held(id, prefix, but))
}

/// Joins a circle of tabs, until `until` is dropped.
pub(crate) fn circle(name: &str, until: &Aborter) -> Option<Place> {
    door().host.get()?.circle(name, &until.signal)
}

/// Calls a function of the app soon; whatever comes of it is ignored.
pub(crate) fn tell(table: u32, function: u32, argument: &str) {
    with_host(|host| host.tell(table, function, argument));
}

/// The promise of what a function of the app that stands for `fetch` answers; `None` before [`start`].
pub(crate) fn through(table: u32, function: u32, init: &web_sys::RequestInit) -> Option<JsValue> {
    door().host.get().map(|host| host.through(table, function, init))
}

/// An `AbortSignal` that is aborted when this is dropped.
#[derive(Debug)]
pub(crate) struct Aborter {
    id: u32,
    signal: AbortSignal,
}

impl Aborter {
    /// A signal of its own; `None` before [`start`].
    pub(crate) fn new() -> Option<Aborter> {
        let id = door().number();
        door().host.get().map(|host| Aborter { id, signal: host.signal(id) })
    }

    pub(crate) fn signal(&self) -> &AbortSignal {
        &self.signal
    }
}

impl Drop for Aborter {
    fn drop(&mut self) {
        with_host(|host| host.forget(self.id));
    }
}

/// Cancels a stream through its reader; whatever comes of it is ignored.
pub(crate) fn cancel(reader: &JsValue) {
    with_host(|host| host.cancel(reader));
}

/// Settles a promise of the shell with JSON text.
pub(crate) fn answer(ticket: u32, result: Result<String, String>) {
    with_host(|host| match &result {
        Ok(json) => host.answer(ticket, true, json),
        Err(json) => host.answer(ticket, false, json),
    });
}

/// Reports progress on a promise of the shell, as JSON text.
#[cfg(feature = "face")]
pub(crate) fn progress(ticket: u32, json: &str) {
    with_host(|host| host.progress(ticket, json));
}
