//! Where tokens are kept.

use std::cell::RefCell;
use std::collections::BTreeMap;

use futures_util::future::{FutureExt, LocalBoxFuture, ready};

use crate::secret::Secret;

/// Keeps tokens, client secrets and begun sign-ins. Apart from the platform's store, which keeps things in clear.
///
/// Best effort, as any store: what cannot be kept only costs a new sign-in.
pub trait TokenStore {
    /// What was last saved under that key.
    fn load(&self, key: String) -> LocalBoxFuture<'_, Option<Secret>>;

    /// Keeps a value, or removes it with `None`.
    fn save(&self, key: String, value: Option<Secret>) -> LocalBoxFuture<'_, ()>;
}

/// Keeps them as long as the page or the isolate lives.
#[derive(Default)]
pub struct MemoryStore(RefCell<BTreeMap<String, Secret>>);

impl TokenStore for MemoryStore {
    fn load(&self, key: String) -> LocalBoxFuture<'_, Option<Secret>> {
        ready(self.0.borrow().get(&key).cloned()).boxed_local()
    }

    fn save(&self, key: String, value: Option<Secret>) -> LocalBoxFuture<'_, ()> {
        match value {
            Some(value) => self.0.borrow_mut().insert(key, value),
            None => self.0.borrow_mut().remove(&key),
        };
        ready(()).boxed_local()
    }
}
