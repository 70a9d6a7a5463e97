//! What the servers have on a prompt, put before the model.

use serde_json::{Value, json};

use super::{Phase, Run};
use crate::agent::event::Event;
use crate::error::Error;
use crate::llm::types::Block;

impl Run {
    /// Puts a block of context before the prompt. It stays in the history, so that what was sent once is a prefix of all that
    /// is sent later.
    pub(super) fn take_context(&mut self, context: Result<Value, Error>) {
        if !matches!(self.phase, Phase::Offering { .. }) {
            return;
        }
        let (mut context, reason) = match context {
            Ok(context) => (context, None),
            Err(error) => (json!({ "sources": [], "dropped": [] }), Some(error)),
        };
        let mut take = |name: &str| context.get_mut(name).map(Value::take).unwrap_or_default();
        if let (Value::String(text), Some(prompt)) = (take("text"), self.messages.last_mut())
            && !text.is_empty()
        {
            prompt.content.insert(0, Block::Text { text });
        }
        let (tokens, meaning) = (take("tokens").as_u64().unwrap_or(0), take("meaning") == Value::Bool(true));
        let meaning_error = take("meaningError").as_str().map(str::to_owned);
        self.events.push(Event::Context {
            sources: take("sources"),
            tokens,
            dropped: take("dropped"),
            omitted: take("omitted").as_u64().unwrap_or(0),
            meaning,
            meaning_error,
            reason,
        });
    }
}
