//! The model's side of a turn: asking, what it says, and what is done when the asking fails.

use std::borrow::Cow;

use crate::agent::catalog::ToolEntry;
use crate::agent::event::{Event, RetryOf};
use crate::agent::recovery::Mend;
use crate::agent::run::early::make_unique;
use crate::agent::run::{Phase, Run};
use crate::agent::selection::Before;
use crate::error::{Code, Error};
use crate::llm::turn::{Answer, Turn};
use crate::llm::types::{Block, Delta, Message};
use crate::time::Millis;

impl Run {
    /// Begins the next turn.
    pub(super) fn start_turn(&mut self) {
        self.turn += 1;
        self.recovery.start_turn();
        self.show_changes();
        self.events.push(Event::TurnStart { turn: self.turn });
        self.ask(Turn::default());
    }

    /// Has the model asked. `turn` is what it has said of this answer already.
    pub(super) fn ask(&mut self, turn: Turn) {
        if let Some(squeeze) = self.overfull() {
            self.phase = Phase::Compacting { step: Some(squeeze), tokens: squeeze.tokens, turn };
            return;
        }
        self.seen = self.messages.len();
        self.phase = Phase::Asking { asked: false, turn };
    }

    /// More of the answer, shown as it comes.
    pub(super) fn take_deltas(&mut self, deltas: Vec<Delta>) {
        let mut fresh = Vec::new();
        for delta in deltas {
            let Phase::Asking { turn, .. } = &mut self.phase else { return };
            let ends_call = matches!(delta, Delta::ToolEnd { .. });
            self.recovery.fresh(delta, turn, &mut fresh);
            show(&mut fresh, turn, &mut self.events);
            if ends_call {
                self.start_early();
            }
        }
    }

    /// The answer is complete: its calls are next, if there are any. Where the model declined, the next one is asked.
    pub(super) fn end_answer(&mut self) {
        let Phase::Asking { turn, .. } = &mut self.phase else { return };
        let mut rest = Vec::new();
        self.recovery.settle(turn, &mut rest);
        show(&mut rest, turn, &mut self.events);
        if turn.is_refusal()
            && let Some(attempt) = self.recovery.declined(turn, &self.limits)
        {
            if !turn.text().is_empty() {
                show(&mut vec![Delta::Text("\n\n".to_owned())], turn, &mut self.events);
            }
            let turn = std::mem::take(turn);
            return self.rest(turn, attempt, Millis(0), Code::Provider);
        }
        let answer = std::mem::take(turn);
        self.complete(answer);
    }

    pub(super) fn complete(&mut self, turn: Turn) {
        let answer = self.finish(turn);
        self.open_round(answer);
    }

    /// The answer, its tokens counted and its calls with ids of their own.
    pub(super) fn finish(&mut self, turn: Turn) -> Answer {
        let mut answer = turn.finish();
        self.usage += answer.usage;
        if self.recovery.is_first_try() {
            self.meter.learn(answer.usage.input_tokens);
        }
        let blocks = answer.message.content.iter_mut();
        let calls = blocks.filter_map(|block| if let Block::ToolUse { id, .. } = block { Some(id) } else { None });
        calls.skip(self.early.asked_for()).for_each(|id| make_unique(id, &mut self.ids, self.turn));
        answer
    }

    /// The model call failed: it is made again, or the run ends with what was said so far.
    pub(super) fn fail_answer(&mut self, error: Error) {
        let Phase::Asking { turn, .. } = &mut self.phase else { return };
        let random = next_random(&mut self.random);
        self.recovery.abandon();
        let offered = offered(&self.messages, &self.tools);
        let mend = self.recovery.failed(&error, (turn, !self.early.is_empty()), &offered, &self.limits, random);
        let turn = std::mem::take(turn);
        match mend {
            Mend::Again { attempt, delay } => self.rest(turn, attempt, delay, error.code),
            Mend::Complete => self.complete(turn),
            Mend::No => {
                self.keep_partial(turn);
                self.end_with(error);
            }
        }
    }

    /// Waits, then asks again.
    fn rest(&mut self, turn: Turn, attempt: u32, delay: Millis, code: Code) {
        let model = self.recovery.model();
        self.events.push(Event::Retry { of: RetryOf::Model, id: None, model, attempt, delay_ms: delay, code });
        self.phase = Phase::Resting { delay, started: false, turn };
    }

    /// Keeps the text of an answer that broke off. Tool uses are dropped: they may be incomplete, and a history in
    /// which one has no result is refused by every provider.
    pub(super) fn keep_partial(&mut self, turn: Turn) {
        self.usage += turn.usage();
        self.messages.extend(turn.partial());
    }
}

/// Those of the tools that the model is offered.
fn offered<'t>(messages: &[Message], tools: &'t [ToolEntry]) -> Cow<'t, [ToolEntry]> {
    let before = Before::of(messages);
    if before.front.is_empty() {
        return Cow::Borrowed(tools);
    }
    let named = |tool: &&ToolEntry| before.front.iter().chain(&before.more).any(|name| *name == tool.wire_name);
    tools.iter().filter(|tool| tool.builtin.is_some() || named(tool)).cloned().collect()
}

/// Adds what is new to the answer and tells of it.
fn show(fresh: &mut Vec<Delta>, turn: &mut Turn, events: &mut Vec<Event>) {
    for delta in fresh.drain(..) {
        turn.apply(&delta);
        match delta {
            Delta::Text(text) if !text.is_empty() => events.push(Event::TextDelta { text }),
            Delta::Thinking(text) if !text.is_empty() => events.push(Event::ThinkingDelta { text }),
            _ => {}
        }
    }
}

/// SplitMix64: enough for jitter, eight bytes of state.
pub(super) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
