//! Plans within a run, and runs that consist of a plan: the app's own, which no model has a part in.

use serde_json::Value;

use crate::agent::catalog::{Builtin, ToolEntry};
use crate::agent::event::{Event, Outcome};
use crate::agent::fact::{PlanStep, PlannedCall, ToolOutput};
use crate::agent::run::early::note_id;
use crate::agent::run::{Phase, Run, Setup};
use crate::error::{Error, Result};
use crate::llm::turn::Answer;
use crate::llm::types::{Block, Message, Role, StopReason, Usage};
use crate::time::UnixMillis;

/// Id of the one call of a run that consists of a plan.
pub(super) const PLAN_CALL: &str = "plan";

impl Run {
    /// A run of one turn that makes the calls of `plan`, as if a model had asked for it.
    pub fn of_plan(setup: Setup, plan: Value) -> Run {
        Run { plan: Some(plan), ..Run::new(setup) }
    }

    /// Whether the run consists of a plan of the app.
    pub fn is_plan(&self) -> bool {
        self.plan.is_some()
    }

    /// Begins the one turn of such a run. False for any other.
    pub(super) fn start_plan(&mut self) -> bool {
        let Some(plan) = self.plan.clone() else { return false };
        let own = self.tools.iter().find(|tool| tool.builtin == Some(Builtin::Plan));
        let name = own.map_or_else(String::new, |tool| tool.wire_name.clone());
        self.turn += 1;
        self.events.push(Event::TurnStart { turn: self.turn });
        note_id(&mut self.ids, PLAN_CALL);
        let call = Block::ToolUse { id: PLAN_CALL.to_owned(), name, input: plan, invalid_input: None };
        let message = Message { role: Role::Assistant, content: vec![call] };
        self.open_round(Answer { message, stop_reason: StopReason::ToolUse, usage: Usage::default() });
        true
    }

    /// A plan asks for calls.
    pub(super) fn plan_calls(&mut self, call: &str, calls: Vec<PlannedCall>) -> Result<()> {
        let approval = self.approval;
        let tools = std::mem::take(&mut self.tools);
        let rules = std::mem::take(&mut self.rules);
        let planned = self.in_round(|round, events, listening| {
            let policy = |tool: &ToolEntry, input: &Value| rules.verdict(approval, tool, input);
            round.plan(call, calls, &tools, policy, listening, events);
            Ok(())
        });
        self.tools = tools;
        self.rules = rules;
        planned
    }

    /// A step has another state.
    pub(super) fn note_step(&mut self, step: PlanStep) {
        let PlanStep { call, id, state, items, attempt, reason } = step;
        if self.is_running(&call) {
            self.events.push(Event::PlanStep { id, call_id: call, state, items, attempt, reason });
        }
    }

    /// The app's plan cannot be run.
    pub(super) fn refuse_plan(&mut self, error: Error, now: UnixMillis) {
        let Phase::Calling { round, .. } = &mut self.phase else { return };
        round.settle_all(&ToolOutput::failed(Outcome::Failed, error.message.clone()), now, &mut self.events);
        self.end_turn();
        self.end_with(error);
    }

    /// The plan of the app is over.
    pub(super) fn end_plan(&mut self, plan: Value) {
        let result = self.messages.last().and_then(|message| message.content.first());
        let text = match result {
            Some(Block::ToolResult { content, .. }) => {
                content.iter().filter_map(|block| block.get("text")?.as_str()).collect()
            }
            _ => String::new(),
        };
        self.events.push(Event::Done {
            run_id: self.id.clone(),
            text,
            output: None,
            messages: self.told(),
            usage: self.usage,
            plan: Some(plan),
            goal: None,
        });
        self.phase = Phase::Ended;
    }
}
