//! Calls that a plan asks for: in the round like those of the model, so that the same policy and limits hold, but their
//! results go back to the plan and not to the model.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Round, Slot, State};
use crate::agent::catalog::ToolEntry;
use crate::agent::event::{Event, Outcome};
use crate::agent::fact::{PlannedCall, Step, ToolOutput};
use crate::agent::policy::Verdict;
use crate::time::Millis;

/// Whose call it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OfPlan {
    /// Id of the call of `run_plan`.
    pub(super) call: String,
    /// Id of the step.
    #[serde(default)]
    pub(super) step: String,
    /// The plan has its result.
    told: bool,
}

impl Round {
    /// Announces the calls of a plan, and asks `policy` about each. Ignored when the plan is not at work any more.
    ///
    /// One that is there already, as when a plan is run anew after its driver was gone, is not made again: the plan gets
    /// the result that it had.
    pub(crate) fn plan(
        &mut self,
        call: &str,
        planned: Vec<PlannedCall>,
        tools: &[ToolEntry],
        policy: impl Fn(&ToolEntry, &Value) -> Verdict,
        listening: bool,
        events: &mut Vec<Event>,
    ) {
        if !self.is_running(call) {
            return;
        }
        for PlannedCall { id, tool: name, input, step } in planned {
            if let Some(known) = self.calls.iter_mut().find(|slot| slot.id == id) {
                if let Some(of) = &mut known.plan {
                    of.told = false;
                }
                continue;
            }
            let place = tools.iter().position(|tool| tool.name == name && tool.builtin.is_none());
            let tool = place.map(|place| &tools[place]);
            events.push(Event::ToolCall {
                id: id.clone(),
                name: name.clone(),
                server: tool.and_then(|tool| tool.server.clone()),
                input: input.clone(),
                call_id: Some(call.to_owned()),
                step: Some(step.clone()),
            });
            let of = OfPlan { call: call.to_owned(), step, told: false };
            let mut slot = Slot::new(id, place, name, input);
            slot.plan = Some(of);
            slot.approved = self.approved_before(&slot);
            match tool {
                // Who approved of the call has approved of a further try of it.
                Some(tool) if slot.approved.is_some() && tool.changed.as_ref().is_none_or(|change| !change.asks) => {}
                None => slot.fail("there is no such tool any more".into(), events),
                Some(tool) => slot.judge(policy(tool, &slot.input), listening, events),
            }
            self.calls.push(slot);
        }
    }

    /// Whether the user has allowed an earlier try of this call, to the letter.
    fn approved_before(&self, slot: &Slot) -> Option<bool> {
        let (first, _) = slot.id.rsplit_once('~')?;
        let is_try = |id: &str| id.strip_prefix(first).is_some_and(|rest| rest.is_empty() || rest.starts_with('~'));
        let same = |earlier: &&Slot| {
            is_try(&earlier.id) && (earlier.tool, &earlier.name, &earlier.input) == (slot.tool, &slot.name, &slot.input)
        };
        self.calls.iter().filter(same).find_map(|earlier| earlier.approved)
    }

    /// The next result that a plan is to be told.
    pub(super) fn hand_back(&mut self) -> Option<Step> {
        self.calls.iter_mut().find_map(|slot| {
            let of = slot.plan.as_mut().filter(|of| !of.told)?;
            let State::Settled(output) = &slot.state else { return None };
            of.told = true;
            Some(Step::HandBack { call: of.call.clone(), id: slot.id.clone(), output: output.clone() })
        })
    }

    /// A plan wants none of its calls that have not begun.
    pub(crate) fn withdraw(&mut self, call: &str, events: &mut Vec<Event>) {
        let output = ToolOutput::failed(Outcome::Cancelled, "not called: the plan has failed");
        for slot in &mut self.calls {
            let of_it = slot.plan.as_ref().is_some_and(|of| of.call == call);
            let idle = !matches!(slot.state, State::Running(_) | State::Settled(_));
            if of_it && idle {
                slot.settle(output.clone(), Millis(0), events);
            }
        }
    }

    /// What the plan of that call gave as data.
    pub(crate) fn planned(&self, call: &str) -> Option<&Value> {
        let slot = self.calls.iter().find(|slot| slot.id == call)?;
        match &slot.state {
            State::Settled(output) => output.structured_content.as_ref(),
            _ => None,
        }
    }
}
