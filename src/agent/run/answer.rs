//! The model's side of a turn: asking, what it says, and what is done when the asking fails.

use crate::agent::event::{Event, RetryOf};
use crate::agent::policy::retry_delay;
use crate::agent::run::{Phase, Run};
use crate::error::Error;
use crate::llm::turn::Turn;
use crate::llm::types::{Block, Delta};

impl Run {
    /// Begins the next turn.
    pub(super) fn start_turn(&mut self) {
        self.turn += 1;
        self.attempt = 1;
        self.events.push(Event::TurnStart { turn: self.turn });
        self.ask();
    }

    /// Has the model asked with the history as it is.
    pub(super) fn ask(&mut self) {
        self.phase = Phase::Asking { asked: false, turn: Turn::default(), shown: false };
    }

    /// More of the answer, shown as it comes.
    pub(super) fn take_deltas(&mut self, deltas: Vec<Delta>) {
        let Phase::Asking { turn, shown, .. } = &mut self.phase else { return };
        for delta in deltas {
            turn.apply(&delta);
            match delta {
                Delta::Text(text) if !text.is_empty() => self.events.push(Event::TextDelta { text }),
                Delta::Thinking(text) if !text.is_empty() => self.events.push(Event::ThinkingDelta { text }),
                _ => continue,
            }
            *shown = true;
        }
    }

    /// The answer is complete: its calls are next, if there are any.
    pub(super) fn end_answer(&mut self) {
        let Phase::Asking { turn, .. } = &mut self.phase else { return };
        let mut answer = std::mem::take(turn).finish();
        self.usage += answer.usage;
        for block in &mut answer.message.content {
            if let Block::ToolUse { id, .. } = block {
                while self.ids.contains(id) {
                    // Some providers count their calls anew in each answer.
                    id.push_str(&["_", &self.turn.to_string()].concat());
                }
                self.ids.push(id.clone());
            }
        }
        self.open_round(answer);
    }

    /// The model call failed: it is made again, or the run ends with what was said so far.
    pub(super) fn fail_answer(&mut self, error: Error) {
        let Phase::Asking { turn, shown, .. } = &mut self.phase else { return };
        let random = next_random(&mut self.random);
        // Once something was shown, asking again would show it twice.
        let delay = if *shown { None } else { retry_delay(&error, self.attempt + 1, self.limits.max_attempts, random) };
        if let Some(delay) = delay {
            self.attempt += 1;
            self.events.push(Event::Retry {
                of: RetryOf::Model,
                attempt: self.attempt,
                delay_ms: delay,
                code: error.code,
            });
            self.phase = Phase::Resting { delay, started: false };
            return;
        }
        let partial = std::mem::take(turn);
        self.keep_partial(partial);
        self.end_with(error);
    }

    /// Keeps the text of an answer that broke off. Tool uses are dropped: they may be incomplete, and a history in
    /// which one has no result is refused by every provider.
    pub(super) fn keep_partial(&mut self, turn: Turn) {
        self.usage += turn.usage();
        self.messages.extend(turn.partial());
    }
}

/// SplitMix64: enough for jitter, eight bytes of state.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
