//! How a turn ends, and how a run does.

use crate::agent::event::{Event, Outcome};
use crate::agent::fact::ToolOutput;
use crate::agent::goal::GoalEnd;
use crate::agent::run::output::Wanted;
use crate::agent::run::planned::PLAN_CALL;
use crate::agent::run::{Phase, Run};
use crate::error::{Code, Error};
use crate::llm::turn::Answer;
use crate::llm::types::{Message, Role, StopReason};
use crate::time::UnixMillis;

impl Run {
    /// Every result of the turn is in: ends it, then the next one begins or the run ends.
    pub(super) fn close_turn(&mut self) {
        let Phase::Calling { stop_reason, round, .. } = &self.phase else { return };
        let (called, stop_reason) = (!round.is_empty(), *stop_reason);
        let plan = self.plan.as_ref().and_then(|_| round.planned(PLAN_CALL).cloned());
        self.end_turn();
        if self.plan.is_some() {
            return self.end_plan(plan.unwrap_or_default());
        }
        if stop_reason == StopReason::PauseTurn && !called {
            return self.go_on();
        }
        if let Some(goal) = self.goal.as_mut().filter(|_| called) {
            goal.idle = 0;
        }
        // What the user wants by now comes before what the model makes of what was wanted before.
        let ended = self.goal.as_ref().is_some_and(|goal| goal.last || goal.end.is_some());
        let heard = self.hear();
        if heard && (ended || !called && self.goal.is_none()) {
            self.begin_anew();
        }
        let done = !heard && if called { ended && !self.lacks_output() } else { ended || !self.pursue() };
        if !done || self.follow_up() {
            self.go_on();
        } else if !self.must_check() {
            self.end_well();
        }
    }

    /// Begins another turn, unless there were too many. A goal ends then with what was said.
    pub(super) fn go_on(&mut self) {
        if self.turns_left() > 0 {
            self.announce_last();
            return self.start_turn();
        }
        if self.goal.is_some() {
            return self.end_well();
        }
        let message = format!("the model was not done after {} turns (maxTurns)", self.turn - self.since);
        self.end_with(Error::new(Code::Limit, message));
    }

    /// The app or the user wants no more: ends the turn as it stands, then the run.
    pub(super) fn cancel(&mut self, now: UnixMillis) {
        self.inputs.clear();
        self.replies.clear();
        if let Some(parked) = self.parked.take() {
            self.phase = parked.phase;
            self.retell();
        }
        match &mut self.phase {
            Phase::Ended => return,
            Phase::Asking { turn, .. } if !self.early.is_empty() => {
                let mut turn = std::mem::take(turn);
                turn.keep_calls(self.early.asked_for());
                let Answer { message, stop_reason, usage } = self.finish(turn);
                let round = std::mem::take(&mut self.early);
                self.phase = Phase::Calling { stop_reason, usage, message, round };
                self.end_cancelled(now);
            }
            Phase::Asking { turn, .. } | Phase::Resting { turn, .. } | Phase::Compacting { turn, .. } => {
                let partial = std::mem::take(turn);
                self.keep_partial(partial);
            }
            Phase::Calling { .. } => self.end_cancelled(now),
            Phase::Starting | Phase::Gathering | Phase::Offering { .. } | Phase::Checking { .. } => {}
        }
        self.end_with(Error::cancelled("run"));
    }

    /// Ends a turn whose calls are not wanted any more.
    fn end_cancelled(&mut self, now: UnixMillis) {
        let Phase::Calling { round, .. } = &mut self.phase else { return };
        let output = ToolOutput::failed(Outcome::Cancelled, "the run was cancelled before the tool was done");
        round.settle_all(&output, now, &mut self.events);
        self.end_turn();
    }

    /// Moves the answer and its results into the history.
    pub(super) fn end_turn(&mut self) {
        let ended = std::mem::replace(&mut self.phase, Phase::Ended);
        let Phase::Calling { stop_reason, usage, message, round } = ended else { return };
        if !message.content.is_empty() {
            self.messages.push(message.clone());
        }
        if let Some(results) = round.into_message() {
            self.messages.push(results);
        }
        self.events.push(Event::TurnEnd { stop_reason, usage, message });
    }

    /// The answer that the run ends with. One without content is not in the history; then the last message is the user's.
    /// Behind one that ends its goal come the results of its calls.
    pub(super) fn last_answer(&self) -> Option<&Message> {
        let results = usize::from(self.goal.is_some() && self.messages.last().is_some_and(Message::has_results));
        self.messages.iter().rev().nth(results).filter(|message| message.role == Role::Assistant)
    }

    /// The model has said what it wanted to say.
    pub(super) fn end_well(&mut self) {
        let text = self.last_answer().map(Message::text).unwrap_or_default();
        let output = self.wanted.as_ref().and_then(Wanted::value);
        let goal = self.goal.take().map(|goal| {
            goal.end.unwrap_or_else(|| {
                let left = Some(text.clone()).filter(|text| !text.is_empty() && output.is_none());
                GoalEnd { left, ..GoalEnd::default() }
            })
        });
        self.events.push(Event::Done {
            run_id: self.id.clone(),
            text,
            output,
            messages: self.told(),
            usage: self.usage,
            plan: None,
            goal,
        });
        self.phase = Phase::Ended;
    }

    /// The run cannot go on.
    pub(super) fn end_with(&mut self, error: Error) {
        self.events.push(Event::Error { run_id: self.id.clone(), error, messages: self.told(), usage: self.usage });
        self.phase = Phase::Ended;
    }
}
