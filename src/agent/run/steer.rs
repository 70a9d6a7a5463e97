//! What the user says while a run is under way, and what keeps a run going that pursues a goal.

use crate::agent::catalog::{Builtin, ToolEntry};
use crate::agent::event::{Event, Outcome};
use crate::agent::fact::ToolOutput;
use crate::agent::goal::{self, Goal, GoalEnd};
use crate::agent::round::Round;
use crate::agent::run::Run;
use crate::llm::types::{Block, Message, NO_ANSWER, Role};
use crate::time::UnixMillis;

impl Run {
    /// The user said something more.
    pub(super) fn note_steer(&mut self, text: String, follow_up: bool) {
        if follow_up { self.follow_ups.push(text) } else { self.steers.push(text) }
    }

    /// Puts what the user said meanwhile into the history; false when that is nothing.
    pub(super) fn hear(&mut self) -> bool {
        let steers = std::mem::take(&mut self.steers);
        let heard = !steers.is_empty();
        steers.into_iter().for_each(|text| self.say(text));
        heard
    }

    /// The same for the first of what the user wants to be said once the model is done.
    pub(super) fn follow_up(&mut self) -> bool {
        if self.follow_ups.is_empty() {
            return false;
        }
        let text = self.follow_ups.remove(0);
        self.say(text);
        self.begin_anew();
        true
    }

    /// The model was done, and the user has said something more: that has turns of its own.
    pub(super) fn begin_anew(&mut self) {
        self.since = self.turn;
        if let Some(goal) = &mut self.goal {
            goal.last = false;
        }
        if let Some(wanted) = &mut self.wanted {
            wanted.begin_anew();
        }
    }

    /// How many turns may still begin.
    pub(super) fn turns_left(&self) -> u32 {
        self.limits.max_turns.saturating_sub(self.turn - self.since)
    }

    fn say(&mut self, text: String) {
        if let Some(goal) = &mut self.goal {
            (goal.end, goal.idle) = (None, 0);
        }
        self.events.push(Event::Steered { text: text.clone() });
        self.add_words(text);
    }

    /// Puts a text of the user's side into the history: behind the results that wait there, since some providers refuse
    /// two messages of the user in a row. What the model has seen stays as it is.
    pub(super) fn add_words(&mut self, text: impl Into<String>) {
        let text = text.into();
        match self.messages[self.seen..].last_mut() {
            Some(last) if last.role == Role::User => match last.content.last_mut() {
                Some(Block::Text { text: before }) => before.push_str(&["\n\n", &text].concat()),
                _ => last.content.push(Block::Text { text }),
            },
            _ => {
                self.mark_silence();
                self.messages.push(Message::user(text));
            }
        }
    }

    /// Takes out of a round what concerns the goal.
    pub(super) fn take_goal(goal: &mut Goal, round: &mut Round, tools: &[ToolEntry], events: &mut Vec<Event>) {
        if let Some(input) = round.answer(Builtin::Goal, "noted", tools, events) {
            goal.end = Some(GoalEnd::read(&input));
        }
        if goal.last {
            // None of them has begun, so none has lasted.
            round.settle_all(&ToolOutput::failed(Outcome::Failed, goal::TOO_LATE), UnixMillis(0), events);
        }
    }

    /// Puts something in the place of an answer of nothing: empty ones are refused, and blank ones are not sent.
    fn mark_silence(&mut self) {
        let silence = || Block::Text { text: NO_ANSWER.into() };
        match self.messages.last_mut() {
            Some(last) if last.role == Role::Assistant => {
                let uses = last.content.iter().any(|block| matches!(block, Block::ToolUse { .. }));
                if !uses && last.text().trim().is_empty() {
                    last.content.retain(|block| !matches!(block, Block::Text { .. }));
                    last.content.push(silence());
                }
            }
            _ => self.messages.push(Message { role: Role::Assistant, content: vec![silence()] }),
        }
    }

    /// The model called nothing and has no more to say: false when the run is over, be it for want of a goal.
    pub(super) fn pursue(&mut self) -> bool {
        let left = self.turns_left();
        let Some(goal) = &mut self.goal else { return false };
        goal.idle += 1;
        if goal.last || goal.idle >= goal::MOST_IDLE || left == 0 {
            return false;
        }
        if left > 1 {
            self.add_words(goal::GO_ON);
        }
        true
    }

    /// Announces the last turn to a model that pursues a goal.
    pub(super) fn announce_last(&mut self) {
        let is_last = self.turns_left() == 1;
        if let Some(goal) = self.goal.as_mut().filter(|_| is_last) {
            goal.last = true;
            self.add_words(if self.wanted.is_some() { goal::REPORT_AS_DATA } else { goal::REPORT });
        }
    }
}

#[cfg(test)]
#[path = "steer_tests.rs"]
mod tests;
