//! A history that fills the model's window is made less of before the model is asked.

use serde_json::Map;

use crate::agent::event::Event;
use crate::agent::fact::{Compacted, Squeeze};
use crate::agent::run::{Phase, Run};
use crate::llm::types::{Block, Message, Role};

impl Run {
    /// What is to be done before the model can be asked; nothing where its window is not known or holds it all.
    pub(super) fn overfull(&mut self) -> Option<Squeeze> {
        let (model, room) = self.recovery.room()?;
        let tokens = self.meter.count(&self.view, &self.messages);
        // Some of the room is left for what a guess is wrong by.
        let fits = tokens <= room / 10 * 8 || self.squeezed == Some((self.messages.len(), model));
        (!fits).then_some(Squeeze { model, tokens, room, rate: self.meter.rate, unseen: self.seen })
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
