//! Records as the shell keeps them for an agent (`pkg/store.js`): in IndexedDB, a Durable Object, the app's own store, or
//! memory.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

use super::door;
use crate::platform::StoreFailure;
use crate::store::{Backing, Change};
use crate::time::UnixMillis;

/// The records of the agent with that table.
#[derive(Debug)]
pub(super) struct Records(pub(super) u32);

impl Records {
    async fn ask(&self, what: &str, given: Array) -> Result<Array, StoreFailure> {
        match door::records(self.0, what, &given).await {
            Ok(answer) => Ok(answer.dyn_into().unwrap_or_default()),
            Err(thrown) if thrown.as_string().as_deref() == Some("full") => Err(StoreFailure::Full),
            Err(_) => Err(StoreFailure::Absent),
        }
    }
}

impl Backing for Records {
    fn now(&self) -> UnixMillis {
        super::platform::now()
    }

    async fn read(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, StoreFailure> {
        let answer = self.ask("read", keys.into_iter().map(JsValue::from).collect()).await?;
        Ok(answer.iter().map(|record| bytes(&record)).collect())
    }

    async fn list(&self, prefix: String) -> Result<Vec<(String, Vec<u8>)>, StoreFailure> {
        let answer = self.ask("list", Array::of1(&prefix.into())).await?;
        // Key, record, key, record: an array for each pair would cost more than the pair.
        let pair = |at: u32| Some((answer.get(at).as_string()?, bytes(&answer.get(at + 1))?));
        Ok((0..answer.length()).step_by(2).filter_map(pair).collect())
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreFailure> {
        let given = Array::new();
        for change in changes {
            // A record, nothing for its removal, and null for all that begin so.
            let (key, record) = match change {
                Change::Put(key, record) => (key, Uint8Array::from(&record[..]).into()),
                Change::Remove(key) => (key, JsValue::UNDEFINED),
                Change::RemovePrefix(key) => (key, JsValue::NULL),
            };
            given.push(&key.into());
            given.push(&record);
        }
        self.ask("write", given).await.map(|_| ())
    }
}

fn bytes(record: &JsValue) -> Option<Vec<u8>> {
    record.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec)
}
