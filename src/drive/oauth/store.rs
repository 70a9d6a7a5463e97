//! Where tokens are kept.

use std::cell::RefCell;

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
pub struct MemoryStore(RefCell<Vec<(String, Secret)>>);

impl TokenStore for MemoryStore {
    fn load(&self, key: String) -> LocalBoxFuture<'_, Option<Secret>> {
        let found = self.0.borrow().iter().find(|(known, _)| *known == key).map(|(_, value)| value.clone());
        ready(found).boxed_local()
    }

    fn save(&self, key: String, value: Option<Secret>) -> LocalBoxFuture<'_, ()> {
        let mut kept = self.0.borrow_mut();
        kept.retain(|(known, _)| *known != key);
        kept.extend(value.map(|value| (key, value)));
        ready(()).boxed_local()
    }
}
