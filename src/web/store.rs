//! Values by key: in IndexedDB where there is one, else in memory.
//!
//! Node and Cloudflare Workers have no IndexedDB; private windows and sandboxed frames may refuse it. None of that is an
//! error: what cannot be stored is kept for the life of the agent.
//!
//! Awaiting anything but IndexedDB inside a transaction commits it, so each transaction here has one request.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{IdbDatabase, IdbFactory, IdbOpenDbRequest, IdbRequest, IdbTransaction, IdbTransactionMode};
use web_sys::{IdbObjectStore, IdbVersionChangeEvent};

use super::door;

/// Version of the schema. A new one adds its step to [`upgrade`]; earlier steps never change.
const VERSION: u32 = 1;
const KV: &str = "kv";
/// How long an opening may take before callers go on without it.
const PATIENCE_MS: f64 = 2000.0;

fn upgrade(database: &IdbDatabase, from: f64) {
    if from < 1.0 {
        // Fails only when the store is there already, and then it is what we want.
        let _ = database.create_object_store(KV);
    }
}

#[derive(Debug)]
pub(super) struct Store {
    name: String,
    shared: Rc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    database: RefCell<Connection>,
    /// What could not be stored. Wins over the database, which then holds something older.
    memory: RefCell<Vec<(String, Option<Vec<u8>>)>>,
}

#[derive(Debug, Default)]
enum Connection {
    #[default]
    Unopened,
    /// Being opened, by a task of its own: a caller that goes away leaves no half-open database behind.
    Opening(Vec<Waker>),
    Open(IdbDatabase),
    Absent,
}

impl Store {
    pub(super) fn new(name: &str) -> Store {
        Store { name: name.to_owned(), shared: Rc::default() }
    }

    pub(super) async fn load(&self, key: &str) -> Option<Vec<u8>> {
        if let Some((_, value)) = self.shared.memory.borrow().iter().find(|(known, _)| known == key) {
            return value.clone();
        }
        let (_, store) = self.transaction(IdbTransactionMode::Readonly).await?;
        let request = store.get(&key.into()).ok()?;
        let value = outcome(&request).await?;
        value.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec)
    }

    pub(super) async fn save(&self, key: &str, value: Option<&[u8]>) {
        let stored = self.store(key, value).await.is_some();
        let mut memory = self.shared.memory.borrow_mut();
        memory.retain(|(known, _)| known != key);
        if !stored {
            memory.push((key.to_owned(), value.map(<[u8]>::to_vec)));
        }
    }

    /// `None` when it could not be stored for good.
    async fn store(&self, key: &str, value: Option<&[u8]>) -> Option<()> {
        let (transaction, store) = self.transaction(IdbTransactionMode::Readwrite).await?;
        let request = match value {
            Some(value) => store.put_with_key(&Uint8Array::from(value), &key.into()),
            None => store.delete(&key.into()),
        };
        request.ok()?;
        let event = door::event(&transaction, "complete abort error").await.ok()?;
        (kind(&event) == "complete").then_some(())
    }

    async fn transaction(&self, mode: IdbTransactionMode) -> Option<(IdbTransaction, IdbObjectStore)> {
        self.open().await;
        let transaction = match &*self.shared.database.borrow() {
            Connection::Open(database) => database.transaction_with_str_and_mode(KV, mode),
            _ => return None,
        };
        let Ok(transaction) = transaction else {
            // The connection is closing; the next use opens a new one.
            self.shared.turn(Connection::Unopened);
            return None;
        };
        let store = transaction.object_store(KV).ok()?;
        Some((transaction, store))
    }

    async fn open(&self) {
        if matches!(&*self.shared.database.borrow(), Connection::Unopened) {
            let factory = Reflect::get(&js_sys::global(), &"indexedDB".into()).ok().filter(JsValue::is_object);
            let factory = factory.map(JsCast::unchecked_into::<IdbFactory>);
            match factory.map(|factory| factory.open_with_u32(&self.name, VERSION)) {
                Some(Ok(request)) => {
                    self.shared.turn(Connection::Opening(Vec::new()));
                    door::spawn(self.shared.clone().follow(request));
                }
                _ => self.shared.turn(Connection::Absent),
            }
        }
        let opened = poll_fn(|context| match &mut *self.shared.database.borrow_mut() {
            Connection::Opening(waiting) => {
                waiting.push(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        });
        let mut timer = pin!(door::timer(PATIENCE_MS));
        let mut opened = pin!(opened);
        let in_time = poll_fn(|context| match opened.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => timer.as_mut().poll(context).map(|_| false),
        });
        if !in_time.await {
            // Such as a deletion that another tab holds up: memory has to do until it opens.
            self.shared.turn(Connection::Absent);
        }
    }
}

impl Shared {
    /// Follows an open request to its end.
    async fn follow(self: Rc<Shared>, request: IdbOpenDbRequest) {
        loop {
            let event = door::event(&request, "upgradeneeded success error blocked").await.unwrap_or_default();
            let database = || request.result().ok().map(JsCast::unchecked_into::<IdbDatabase>);
            match (kind(&event).as_str(), database()) {
                // The transaction of an upgrade lives until its event is handled, microtasks included.
                ("upgradeneeded", Some(database)) => {
                    upgrade(&database, event.unchecked_into::<IdbVersionChangeEvent>().old_version());
                }
                ("success", Some(database)) => return self.connected(database),
                // Another tab holds an older version open: memory has to do until it lets go.
                ("blocked", _) => self.turn(Connection::Absent),
                _ => return self.turn(Connection::Absent),
            }
        }
    }

    fn turn(&self, next: Connection) {
        if let Connection::Opening(waiting) = self.database.replace(next) {
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    fn connected(self: Rc<Shared>, database: IdbDatabase) {
        let weak = Rc::downgrade(&self);
        let ours = database.clone();
        // Another tab wants to upgrade, or the user cleared the site's data: make way.
        door::spawn(async move {
            let _ = door::event(&ours, "versionchange close").await;
            ours.close();
            if let Some(shared) = weak.upgrade() {
                shared.turn(Connection::Unopened);
            }
        });
        self.turn(Connection::Open(database));
    }
}

async fn outcome(request: &IdbRequest) -> Option<JsValue> {
    let event = door::event(request, "success error").await.ok()?;
    if kind(&event) == "success" { request.result().ok() } else { None }
}

fn kind(event: &JsValue) -> String {
    Reflect::get(event, &"type".into()).ok().and_then(|kind| kind.as_string()).unwrap_or_default()
}
