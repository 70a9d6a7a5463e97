//! Sources that changed after the model was shown them: told to the app at once, and to the model behind what it has read.

use serde_json::{Value, json};

use super::{Phase, Run};
use crate::agent::event::Event;
use crate::llm::types::{Block, Role};

impl Run {
    /// A source has changed: `{ server, uri, version, difference, added, removed, cited, same, note, readAt }`. What was noted of
    /// it and not shown yet is outdated.
    pub(super) fn take_change(&mut self, change: Value) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        let text = |name: &str| change.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let number = |name: &str| change.get(name).and_then(Value::as_u64);
        let is = |name: &str| change.get(name) == Some(&Value::Bool(true));
        let (server, uri) = (text("server"), text("uri"));
        self.events.push(Event::ContextChanged {
            difference: text("difference"),
            added: number("added").unwrap_or(0),
            removed: number("removed").unwrap_or(0),
            cited: is("cited"),
            same: is("same"),
            read_at: number("readAt"),
            server,
            uri,
        });
        self.notes.retain(|note| note.get("server") != change.get("server") || note.get("uri") != change.get("uri"));
        if !text("note").is_empty() {
            self.notes.push(change);
        }
    }

    /// Shows the model what has changed, before a turn: behind everything that it was sent, so that a provider's prompt cache
    /// holds.
    pub(super) fn show_changes(&mut self) {
        let first = self.turn == 1;
        // What the model has seen stays as it is.
        let Some(last) = self.messages[self.seen..].last_mut().filter(|last| last.role == Role::User) else { return };
        for note in std::mem::take(&mut self.notes) {
            let text = note.get("note").and_then(Value::as_str).unwrap_or("").to_owned();
            // What the user says is the last word of a prompt.
            let place = if first { 0 } else { last.content.len() };
            last.content.insert(place, Block::Text { text });
            self.noted.push(json!({ "server": note["server"], "uri": note["uri"], "version": note["version"] }));
        }
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
