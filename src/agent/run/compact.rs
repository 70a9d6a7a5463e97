//! A history that fills the model's window is made less of before the model is asked.

use serde_json::Map;

use crate::agent::event::{Event, RetryOf};
use crate::agent::fact::{Compacted, Squeeze};
use crate::agent::run::{Phase, Run};
use crate::agent::view::{answered, is_context};
use crate::error::Error;
use crate::llm::types::{Block, Message, Role};
use crate::time::Millis;

impl Run {
    /// What is to be done before the model can be asked; nothing where its window is not known or holds it all.
    pub(super) fn overfull(&mut self) -> Option<Squeeze> {
        let (model, room) = self.recovery.room()?;
        let tokens = self.meter.count(&self.view, &self.messages);
        // Some of the room is left for what a guess is wrong by.
        let fits = tokens <= room / 10 * 8 || self.squeezed == Some((self.messages.len(), model));
        (!fits).then_some(Squeeze { model, tokens, room, rate: self.meter.rate, unseen: self.seen })
    }

    /// The provider says that the request does not fit the model's window, which nobody knew, or not so: the history is made
    /// less of, and the model is asked again. Where that was done already, or the model has begun to answer, the call has
    /// failed like any other.
    pub(super) fn shrink(&mut self, error: Error, room: Option<u64>, tokens: Option<u64>) {
        let Phase::Asking { turn, .. } = &self.phase else { return };
        let model = self.recovery.asked();
        let squeezed = self.squeezed == Some((self.messages.len(), model));
        if !turn.is_empty() || !self.early.is_empty() || squeezed {
            return self.fail_answer(error);
        }
        let counted = self.meter.count(&self.view, &self.messages);
        // What was counted as less than the window was counted wrongly.
        let least = room.map(|room| room + 1).filter(|least| counted < *least);
        if let Some(tokens) = tokens.or(least) {
            self.meter.learn(tokens);
        }
        // Nobody knows the window: without the context that is new, it may do.
        let new = self.messages[answered(&self.messages)..].iter().flat_map(|message| &message.content);
        let context = new.map(|block| match block {
            Block::Text { text } if is_context(text) => text.chars().count() as u64,
            _ => 0,
        });
        let others = counted.saturating_sub(self.meter.rate.tokens(context.sum()));
        let guess = (counted / 4 * 3).min(others / 7 * 10 + 100);
        let Some(attempt) = self.recovery.too_long(room, guess, &self.limits) else {
            return self.fail_answer(error);
        };
        let Phase::Asking { turn, .. } = &mut self.phase else { return };
        let turn = std::mem::take(turn);
        let model = self.recovery.model();
        let (of, delay_ms, code) = (RetryOf::Model, Millis(0), error.code);
        self.events.push(Event::Retry { of, id: None, model, attempt, delay_ms, code });
        self.ask(turn);
    }

    /// The history was made less of, as far as possible: the model is asked.
    pub(super) fn take_compacted(&mut self, compacted: Compacted) {
        let Phase::Compacting { tokens, turn, .. } = &mut self.phase else { return };
        let (before, turn) = (*tokens, std::mem::take(turn));
        let Compacted { keeps, summary, results, usage } = compacted;
        self.usage += usage;
        if summary.is_some() || !results.is_empty() {
            let count = results.len();
            let results: Map<_, _> = results.into_iter().map(|(id, text)| (id, text.into())).collect();
            let content = vec![Block::Compaction { keeps, summary: summary.clone(), results }];
            let mark = Message { role: Role::User, content };
            self.view.note(self.messages.len(), &mark);
            self.messages.push(mark);
            self.view.prune(&self.messages);
            self.events.push(Event::Compacted {
                tokens_before: before,
                tokens_after: self.meter.count(&self.view, &self.messages),
                results: count,
                summary,
            });
        }
        self.squeezed = self.recovery.room().map(|(model, _)| (self.messages.len(), model));
        self.ask(turn);
    }
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
