//! What an agent holds in memory of what is kept: whoever removes or takes along what is kept asks here first.

use serde_json::{Map, Value};

use crate::drive::agent::Agent;
use crate::mcp::header_value::base64;
use crate::platform::{Platform, Space, Write, key};

impl<P: Platform> Agent<P> {
    /// Forgets all that is kept in these spaces, or of that conversation, or of everything: in the store, and in memory. A run
    /// that goes on in such a conversation goes on, and nothing that it says is kept. What is in memory of others is read anew.
    pub async fn forget_kept(&self, conversation: Option<&str>, spaces: Option<&[&str]>) {
        let is_meant = |space: &Space| spaces.is_none_or(|names| names.contains(&space.as_str()));
        let writes: Vec<Write> = match conversation {
            Some(id) => vec![Write::remove_prefix(Space::Conversations, key(&[id, ""]))],
            None => Space::ALL.into_iter().filter(is_meant).map(|space| Write::remove_prefix(space, "")).collect(),
        };
        let removed = conversation.is_some() || is_meant(&Space::Conversations);
        if conversation.is_none() && is_meant(&Space::Journal) {
            let removals = &self.conversations().removals;
            removals.set(removals.get() + 1);
        }
        self.conversations().forget(conversation, removed);
        if removed {
            self.watchers().forget(conversation);
        }
        *self.approved().borrow_mut() = None;
        // What could not be stored goes as well.
        if !writes.is_empty() {
            let _ = self.platform().write(writes).await;
            // Who entered meanwhile has read what is gone.
            self.conversations().forget(conversation, removed);
        }
        if conversation.is_none() && is_meant(&Space::Cache) {
            // An answer that is on its way is not kept either.
            let _ = self.clear_cache(None).await;
        }
    }

    /// What is in memory because it could not be stored, now that it was tried again: changes in their order, `{ space, key,
    /// base64, expires? }`, `{ space, key }` for a removal, `{ space, prefix }` for one of all that begin so.
    pub async fn waiting_writes(&self) -> Value {
        let platform = self.platform();
        if !platform.waiting_writes().is_empty() {
            let _ = platform.write(Vec::new()).await;
        }
        platform.waiting_writes().into_iter().map(row).collect()
    }
}

fn row(write: Write) -> Value {
    let (space, name, text, value) = match write {
        Write::Put { space, key, value, expires } => (space, "key", key, Some((value, expires))),
        Write::Remove { space, key } => (space, "key", key, None),
        Write::RemovePrefix { space, prefix } => (space, "prefix", prefix, None),
    };
    let mut row = Map::new();
    row.insert("space".to_owned(), space.as_str().into());
    row.insert(name.to_owned(), text.into());
    if let Some((value, expires)) = value {
        row.insert("base64".to_owned(), base64(&value).into());
        if let Some(at) = expires {
            row.insert("expires".to_owned(), at.0.into());
        }
    }
    Value::Object(row)
}
