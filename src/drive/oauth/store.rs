//! What is kept of an authorization: tokens and client under one key, sign-ins that were begun under another.
//!
//! In the app's own store if it has one, else where the platform keeps secrets. Both may be shared with other tabs, so
//! what lies there is read anew before anything is done that the others would have to know of.

use super::*;
use crate::json;

/// Most sign-ins of one server that may be open at a time, each begun in a page of its own.
const MAX_BEGUN: usize = 8;

impl<P: Platform> Inner<P> {
    /// Reads the store once.
    pub(super) async fn load(&self) {
        if !self.state.borrow().loaded {
            self.reload().await;
        }
    }

    /// Reads the store; what another tab has kept since takes the place of ours.
    pub(super) async fn reload(&self) {
        let value = self.read(&self.key()).await;
        let turn = value.get("turn").and_then(Value::as_u64).unwrap_or(0);
        let mut state = self.state.borrow_mut();
        // Where saving fails, the store holds something older.
        if std::mem::replace(&mut state.loaded, true) && turn <= state.turn {
            return;
        }
        state.turn = turn;
        state.client = value.get("client").and_then(Client::from_value);
        // Whatever the store says: a token goes to the resource that it was made for, and comes from whom the app
        // names now, which may have changed since.
        let ours = |tokens: &Tokens| {
            let named = |name: &Option<String>, is: &str| name.as_ref().is_none_or(|name| name == is);
            Url::parse(&tokens.resource).is_some_and(|url| url.covers(&self.server))
                && named(&self.config.issuer, &tokens.issuer)
                && named(&self.config.client_id, &tokens.client.id)
        };
        state.tokens = value.get("tokens").and_then(Tokens::from_value).filter(ours);
    }

    pub(super) async fn persist(&self) {
        let value = {
            let mut state = self.state.borrow_mut();
            state.turn += 1;
            let client = state.client.as_ref().map(Client::to_value);
            json!({ "turn": state.turn, "client": client, "tokens": state.tokens.as_ref().map(Tokens::to_value) })
        };
        self.write(&self.key(), Some(value)).await;
    }

    /// Keeps a sign-in that is about to begin, beside those that other pages have begun.
    pub(super) async fn begin(&self, snapshot: Value) {
        let mut begun = self.begun().await;
        let excess = (begun.len() + 1).saturating_sub(MAX_BEGUN);
        begun.drain(..excess);
        begun.push(snapshot);
        self.write(&self.begun_key(), Some(Value::Array(begun))).await;
    }

    /// Takes the sign-in with that state out of the store: it counts once, whatever becomes of it.
    pub(super) async fn take_begun(&self, state: &str) -> Option<Value> {
        let mut begun = self.begun().await;
        let at = begun.iter().position(|snapshot| snapshot.get("state").and_then(Value::as_str) == Some(state))?;
        let snapshot = begun.remove(at);
        let left = (!begun.is_empty()).then_some(Value::Array(begun));
        self.write(&self.begun_key(), left).await;
        Some(snapshot)
    }

    async fn begun(&self) -> Vec<Value> {
        match self.read(&self.begun_key()).await {
            Value::Array(begun) => begun,
            _ => Vec::new(),
        }
    }

    /// Null for what is absent or cannot be read. An app's store may take as long as an authorization server.
    async fn read(&self, key: &str) -> Value {
        let read = async {
            match &self.config.store {
                Some(store) => self.call(store.load, key.into()).await,
                None => self.platform.load_secret(key).await,
            }
        };
        let text = within(&*self.platform, self.timeout, &Cancel::new(), read).await.ok().flatten();
        text.and_then(|text| json::read(text.reveal())).unwrap_or(Value::Null)
    }

    async fn write(&self, key: &str, value: Option<Value>) {
        let text = value.map(|value| crate::json::text(&value));
        let write = async {
            match &self.config.store {
                Some(store) => {
                    let argument = json!({ "key": key, "text": text });
                    let _ = self.platform.call_app(AppCall { function: store.save, argument }).await;
                }
                None => self.platform.save_secret(key, text.map(Secret::new).as_ref()).await,
            }
        };
        // Best effort: what is not kept only costs a new sign-in.
        let _ = within(&*self.platform, self.timeout, &Cancel::new(), write).await;
    }

    /// By resource, and by issuer where the app names one. Else the issuer is in the record, since nobody knows it
    /// before the server was asked.
    pub(super) fn key(&self) -> String {
        self.named("oauth/")
    }

    fn begun_key(&self) -> String {
        self.named("oauth-begun/")
    }

    fn named(&self, kind: &str) -> String {
        let issuer = self.config.issuer.as_deref();
        [kind, &self.server.resource(), if issuer.is_some() { " " } else { "" }, issuer.unwrap_or("")].concat()
    }
}
