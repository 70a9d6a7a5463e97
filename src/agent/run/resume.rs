//! Runs that are put away and taken up again.
//!
//! A log brings a run to where it stood. What was in flight then is not any more: its servers are connected, its tools
//! listed, and then it goes on.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Phase, Run};
use crate::agent::catalog::ToolEntry;
use crate::agent::config::Approval;
use crate::agent::event::Event;
use crate::agent::fact::Decision;
use crate::llm::types::{Block, Message};
use crate::time::UnixMillis;

/// Where a run stood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Parked {
    pub(super) phase: Phase,
    decisions: Vec<Decision>,
}

impl Run {
    /// The run has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// What the servers have on the prompt was put before it already, or comes too late.
    pub fn has_context(&self) -> bool {
        self.parked.is_some()
    }

    /// The calls of a run that is taken up of which the user has said that they are allowed for good: tools and arguments.
    pub fn decided_for_good(&self) -> Vec<(&str, &Value)> {
        let Some(parked) = &self.parked else { return Vec::new() };
        let round = match &parked.phase {
            Phase::Calling { round, .. } => round,
            _ => &self.early,
        };
        let for_good = |id: &str| {
            parked
                .decisions
                .iter()
                .any(|decision| decision.id == id && decision.approve && decision.always == Some(true))
        };
        round.waiting_calls().filter(|(id, ..)| for_good(id)).map(|(_, name, input)| (name, input)).collect()
    }

    /// Ends this telling of the run; another one begins with its log.
    pub(super) fn suspend(&mut self, snapshot: String) {
        let Phase::Calling { round, .. } = &self.phase else { return };
        let waiting = round.waiting_calls().map(|(id, name, input)| {
            let mut call = Map::new();
            call.insert("id".into(), id.into());
            call.insert("name".into(), name.into());
            call.insert("input".into(), input.clone());
            Value::Object(call)
        });
        self.events.push(Event::Suspended {
            run_id: self.id.clone(),
            snapshot,
            waiting_for: waiting.collect(),
            messages: self.told(),
            usage: self.usage,
        });
        self.phase = Phase::Ended;
    }

    /// The run goes on somewhere: first it looks for its servers.
    pub(super) fn park(&mut self, approval: Approval, decisions: Vec<Decision>) {
        if self.is_over() {
            return;
        }
        self.events.push(Event::RunStart { run_id: self.id.clone(), resumed: true });
        (self.approval, self.listening, self.suspends) = (approval, false, (false, false));
        self.inputs.clear();
        self.replies.clear();
        let phase = std::mem::replace(&mut self.phase, Phase::Starting);
        match &mut self.parked {
            Some(parked) => parked.decisions = decisions,
            None if matches!(phase, Phase::Starting | Phase::Gathering | Phase::Offering { .. }) => {}
            None => self.parked = Some(Box::new(Parked { phase, decisions })),
        }
    }

    /// The tools are known again: the open turn is told again and goes on. False for a run that was not resumed.
    pub(super) fn unpark(&mut self, tools: &[ToolEntry], now: UnixMillis) -> bool {
        let Some(parked) = self.parked.take() else { return false };
        let Parked { phase, decisions } = *parked;
        self.phase = phase;
        self.retell();
        let before = std::mem::replace(&mut self.tools, tools.to_vec());
        let mut rules = std::mem::take(&mut self.rules);
        let now_called = |name: &str| tools.iter().find(|tool| tool.name == name);
        // What came of calls then may be of a server that is private now.
        self.calls().settled_tools().filter_map(now_called).for_each(|tool| rules.hold_of(tool));
        for decision in decisions.iter().filter(|decision| decision.approve) {
            let waiting = self.calls().waiting_calls().find(|(id, ..)| *id == decision.id);
            if let (Some((_, name, input)), Some(always)) = (waiting, decision.always)
                && let Some(tool) = now_called(name)
            {
                rules.allow(tool, input, always);
            }
        }
        self.rules = rules;
        let (approval, rules, state) = (self.approval, &self.rules, (self.listening, now));
        let rules = (
            |tool: &ToolEntry, input: &Value| rules.verdict(approval, tool, input),
            |tool: &ToolEntry, input: &Value| rules.remembers(tool, input),
        );
        match &mut self.phase {
            Phase::Asking { turn, .. } => {
                let mut turn = std::mem::take(turn);
                self.early.resume((&before, &mut self.tools), &decisions, rules, state, &mut self.events);
                if self.recovery.interrupted((&mut turn, !self.early.is_empty())) {
                    self.complete(turn);
                } else {
                    self.ask(turn);
                }
            }
            // Looked at anew: with other tools it may fit.
            Phase::Compacting { turn, .. } => {
                let turn = std::mem::take(turn);
                self.ask(turn);
            }
            Phase::Resting { started, .. } => *started = false,
            Phase::Checking { asked, .. } => *asked = false,
            Phase::Calling { round, .. } => {
                round.resume((&before, &mut self.tools), &decisions, rules, state, &mut self.events);
                if round.is_complete() {
                    self.close_turn();
                }
            }
            Phase::Starting | Phase::Gathering | Phase::Offering { .. } | Phase::Ended => {}
        }
        true
    }

    /// Tells the open turn again, as far as it has come.
    pub(super) fn retell(&mut self) {
        let said = match &self.phase {
            Phase::Asking { turn, .. } | Phase::Resting { turn, .. } | Phase::Compacting { turn, .. } => {
                turn.clone().partial()
            }
            Phase::Calling { message, .. } => Some(message.clone()),
            _ => return,
        };
        self.events.push(Event::TurnStart { turn: self.turn });
        for block in said.map_or_else(Vec::new, |message: Message| message.content) {
            match block {
                Block::Text { text } => self.events.push(Event::TextDelta { text }),
                Block::Thinking { text, .. } if !text.is_empty() => self.events.push(Event::ThinkingDelta { text }),
                _ => {}
            }
        }
        let round = match &self.phase {
            Phase::Calling { round, .. } => round,
            _ => &self.early,
        };
        round.retell(&self.tools, &mut self.events);
    }
}
