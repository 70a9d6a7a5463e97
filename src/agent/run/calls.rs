//! The tools' side of a turn: the round of its calls, and what comes of each.

use serde_json::Value;

use crate::agent::catalog::ToolEntry;
use crate::agent::event::Event;
use crate::agent::fact::ToolOutput;
use crate::agent::round::Round;
use crate::agent::run::answer::next_random;
use crate::agent::run::{Input, Phase, Run};
use crate::error::{Code, Error, Result};
use crate::llm::turn::Answer;
use crate::llm::types::Block;
use crate::time::UnixMillis;

impl Run {
    /// The tools are known: the first turn begins.
    pub(super) fn take_tools(&mut self, tools: Vec<ToolEntry>, now: UnixMillis) {
        if matches!(self.phase, Phase::Offering { .. }) && !self.unpark(&tools, now) {
            self.events.extend(tools.iter().filter_map(changed));
            self.tools = tools;
            self.hear();
            if !self.start_plan() {
                self.announce_last();
                self.start_turn();
            }
        }
    }

    /// Some of the tools are offered: the prompt says which, for whoever goes on from it.
    pub(super) fn note_offered(&mut self, names: Vec<String>, anew: bool) {
        if let (Phase::Offering { .. }, Some(prompt)) = (&self.phase, self.messages.get_mut(self.begun_with)) {
            // What the user says besides joins the last text.
            prompt.content.insert(0, Block::Tools { names, anew });
        }
    }

    /// The calls of this turn: of the complete answer, or of the part of it that has begun.
    pub(super) fn calls(&self) -> &Round {
        match &self.phase {
            Phase::Calling { round, .. } => round,
            _ => &self.early,
        }
    }

    /// The user will have said yes to a call, and to all that are alike.
    pub(super) fn allow(&mut self, id: &str, same: bool) {
        let round = match &self.phase {
            Phase::Calling { round, .. } => round,
            _ => &self.early,
        };
        if let Some((place, input)) = round.asked(id)
            && let Some(tool) = self.tools.get(place)
        {
            self.rules.allow(tool, input, same);
        }
    }

    /// The tool and the arguments of a call that waits for the user.
    pub fn asked(&self, id: &str) -> Option<(&ToolEntry, &Value)> {
        let (place, input) = self.calls().asked(id)?;
        Some((self.tools.get(place)?, input))
    }

    /// Judges the calls that a complete answer asks for.
    pub(super) fn open_round(&mut self, answer: Answer) {
        let approval = self.approval;
        let rules = &self.rules;
        let policy = |tool: &ToolEntry, input: &Value| rules.verdict(approval, tool, input);
        let begun = std::mem::take(&mut self.early);
        let mut round = Round::open(begun, &answer.message, &self.tools, policy, self.listening, &mut self.events);
        if let Some(goal) = &mut self.goal {
            Run::take_goal(goal, &mut round, &self.tools, &mut self.events);
        }
        let complete = round.is_complete();
        let Answer { message, stop_reason, usage } = answer;
        self.phase = Phase::Calling { stop_reason, usage, message, round };
        if complete {
            self.close_turn();
        }
    }

    /// The user said yes to a call.
    pub(super) fn approve(&mut self, id: &str) -> Result<()> {
        let mut approved = None;
        self.in_round(|round, _, _| {
            approved = round.approved(id)?;
            Ok(())
        })?;
        // Asked once for each change. It stays noted, so that the driver knows which definition was approved.
        let tool = approved.and_then(|place: usize| self.tools.get_mut(place));
        if let Some(change) = tool.and_then(|tool| tool.changed.as_mut()) {
            change.asks = false;
        }
        let allowed = |tool: &ToolEntry, input: &Value| self.rules.remembers(tool, input);
        let round = match &mut self.phase {
            Phase::Calling { round, .. } => round,
            _ => &mut self.early,
        };
        round.release(&self.tools, allowed, &mut self.events);
        Ok(())
    }

    /// The call of that id is at work.
    pub(super) fn is_running(&self, id: &str) -> bool {
        self.early.is_running(id) || matches!(&self.phase, Phase::Calling { round, .. } if round.is_running(id))
    }

    /// The server made a task of a call.
    pub(super) fn note_task(&mut self, id: String, task_id: String) {
        let tools = std::mem::take(&mut self.tools);
        let server = self.round().and_then(|(round, _)| round.note_task(&id, &task_id, &tools));
        self.tools = tools;
        if let Some(server) = server {
            self.events.push(Event::ToolTask { id, server, task_id });
        }
    }

    /// A server wants something of the user; `asked` is the event that says so.
    pub(super) fn ask_user(&mut self, id: String, call: String, asked: Event) {
        if !self.is_running(&call) {
            return;
        }
        if !self.listening {
            // Nobody would ever answer.
            self.replies.push((id, Value::Null));
            return;
        }
        self.inputs.push(Input { id, call });
        self.events.push(asked);
    }

    /// The user answered a server.
    pub(super) fn answer_server(&mut self, id: String, answer: Value) -> Result<()> {
        let Some(place) = self.inputs.iter().position(|input| input.id == id) else {
            return Err(Error::new(Code::Misuse, ["answer(", &id, "): nothing of that id is asked"].concat()));
        };
        self.inputs.remove(place);
        self.replies.push((id, answer));
        Ok(())
    }

    /// What a call that is at work gives goes before the model.
    fn hold_of(&mut self, id: &str) {
        if let Some(tool) = self.calls().at_work(id).and_then(|place| self.tools.get(place)) {
            self.rules.hold_of(tool);
        }
    }

    /// A call ended.
    pub(super) fn end_call(&mut self, id: &str, output: ToolOutput, now: UnixMillis) -> Result<()> {
        self.inputs.retain(|input| input.call != id);
        self.hold_of(id);
        self.in_round(|round, events, _| {
            round.ended(id, output, now, events);
            Ok(())
        })
    }

    /// A call failed on the way: it is made again, or the model is told.
    pub(super) fn fail_call(&mut self, id: &str, error: Error, now: UnixMillis) {
        self.inputs.retain(|input| input.call != id);
        // Its server may have said why.
        self.hold_of(id);
        let random = next_random(&mut self.random);
        let round = match &mut self.phase {
            Phase::Calling { round, .. } => round,
            _ => &mut self.early,
        };
        let may = &mut || self.recovery.spend(&self.limits);
        round.failed(id, error, &self.tools, (random, may), now, &mut self.events);
        self.close_complete_turn();
    }

    /// Lets `act` work on the open round, if there is one, and closes the turn when every result is in.
    pub(super) fn in_round(&mut self, act: impl FnOnce(&mut Round, &mut Vec<Event>, bool) -> Result<()>) -> Result<()> {
        let listening = self.listening;
        let Some((round, events)) = self.round() else { return Ok(()) };
        let acted = act(round, events, listening);
        self.close_complete_turn();
        acted
    }

    /// Closes the turn if its answer and every result are there.
    fn close_complete_turn(&mut self) {
        if matches!(&self.phase, Phase::Calling { round, .. } if round.is_complete()) {
            self.close_turn();
        }
    }
}

/// The event for a tool whose definition has changed.
fn changed(tool: &ToolEntry) -> Option<Event> {
    let change = tool.changed.as_ref()?;
    Some(Event::ToolChanged {
        server: tool.server.clone()?,
        name: tool.name.clone(),
        parts: change.parts.clone(),
        needs_approval: change.asks,
    })
}

#[cfg(test)]
#[path = "approve_tests.rs"]
mod tests;
