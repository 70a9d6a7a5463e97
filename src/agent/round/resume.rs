//! Calls of a run that goes on after its driver was gone: what was in flight then is not any more.

use serde_json::Value;

use super::{Round, Slot, State, UNKNOWN};
use crate::agent::catalog::ToolEntry;
use crate::agent::event::{Event, Outcome};
use crate::agent::fact::{Decision, ToolOutput};
use crate::agent::policy::Verdict;
use crate::time::{Millis, UnixMillis};

impl Round {
    /// Nothing is at work, and all that is left waits for the user.
    pub(crate) fn waits_for_approval(&self, tools: &[ToolEntry]) -> bool {
        // A plan only waits for its calls.
        let own = |slot: &Slot| slot.tool.and_then(|place| tools.get(place)).is_some_and(|tool| tool.builtin.is_some());
        let mut open =
            self.calls.iter().filter(|slot| !matches!(slot.state, State::Settled(_)) && !own(slot)).peekable();
        open.peek().is_some() && open.all(|slot| matches!(slot.state, State::Waiting))
    }

    /// The calls that wait for the user.
    pub(crate) fn waiting_calls(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let waiting = self.calls.iter().filter(|slot| matches!(slot.state, State::Waiting));
        waiting.map(|slot| (slot.id.as_str(), slot.name.as_str(), &slot.input))
    }

    /// Names of the tools whose calls have their results.
    pub(crate) fn settled_tools(&self) -> impl Iterator<Item = &str> {
        let settled = self.calls.iter().filter(|slot| matches!(slot.state, State::Settled(_)));
        settled.map(|slot| slot.name.as_str())
    }

    /// Tells again of every call, and of the results that are there.
    pub(crate) fn retell(&self, tools: &[ToolEntry], events: &mut Vec<Event>) {
        for slot in &self.calls {
            events.push(Event::ToolCall {
                id: slot.id.clone(),
                name: slot.name.clone(),
                server: slot.tool.and_then(|place| tools.get(place)?.server.clone()),
                input: slot.input.clone(),
                call_id: slot.plan.as_ref().map(|of| of.call.clone()),
                step: slot.plan.as_ref().map(|of| of.step.clone()),
            });
        }
        for slot in &self.calls {
            if let State::Settled(output) = &slot.state {
                events.push(slot.result(output, Millis(0)));
            }
        }
    }

    /// Goes on: calls that were at work are made again where twice is once, else nobody knows, but for those that their servers
    /// have tasks of; the user is asked again about those that wait, unless there is a decision on them or on all that are
    /// alike. `before` are the tools as they were, `tools` as they are now; `rules` are the policy and what was allowed.
    pub(crate) fn resume(
        &mut self,
        (before, tools): (&[ToolEntry], &mut [ToolEntry]),
        decisions: &[Decision],
        rules: (impl Fn(&ToolEntry, &Value) -> Verdict, impl Fn(&ToolEntry, &Value) -> bool),
        (listening, now): (bool, UnixMillis),
        events: &mut Vec<Event>,
    ) {
        let (policy, allowed) = rules;
        for slot in &mut self.calls {
            let Some(old) = slot.tool.and_then(|place| before.get(place)) else { continue };
            slot.tool = tools.iter().position(|tool| tool.name == old.name && tool.builtin == old.builtin);
            if matches!(slot.state, State::Settled(_)) {
                continue;
            }
            let Some(tool) = slot.tool.and_then(|place| tools.get_mut(place)) else {
                const GONE: &str = "there is no such tool any more";
                match slot.state {
                    // It may have done its work before it went.
                    State::Running(since) if old.builtin.is_none() && !old.read_only => {
                        let words = [GONE, ", and the run was interrupted while it was at work", UNKNOWN].concat();
                        slot.settle(ToolOutput::failed(Outcome::Unknown, words), now.since(since), events);
                    }
                    _ => slot.fail(GONE.into(), events),
                }
                continue;
            };
            // Who approved it has not seen what it is now.
            let print = |tool: &ToolEntry| tool.changed.as_ref().map(|change| change.fingerprint.clone());
            let other = tool.changed.as_ref().is_some_and(|change| change.asks) && print(tool) != print(old);
            let harmless = tool.read_only || tool.idempotent;
            match slot.state {
                State::Running(since) if tool.builtin.is_some() => slot.state = State::Again(since),
                State::Running(since) if slot.task.is_some() => {
                    slot.state = State::Again(since);
                    slot.task.iter_mut().for_each(|task| task.followed = true);
                }
                State::Running(since) if !harmless => {
                    let words = ["the run was interrupted while the tool was at work", UNKNOWN].concat();
                    slot.settle(ToolOutput::failed(Outcome::Unknown, words), now.since(since), events);
                }
                State::Waiting => match decisions.iter().find(|decision| decision.id == slot.id).filter(|_| !other) {
                    Some(decision) if decision.approve => {
                        (slot.state, slot.approved) = (State::Ready, Some(true));
                        if let Some(change) = &mut tool.changed {
                            change.asks = false;
                        }
                    }
                    Some(decision) => slot.deny(decision.why.as_deref(), events),
                    None if allowed(tool, &slot.input) => (slot.state, slot.approved) = (State::Ready, Some(false)),
                    None => slot.ask_again(policy(tool, &slot.input), listening, events),
                },
                State::Judging { .. } => {
                    slot.state = State::Ready;
                    slot.judge(policy(tool, &slot.input), listening, events);
                }
                _ if other => slot.ask_again(policy(tool, &slot.input), listening, events),
                State::Running(since) => slot.state = State::Again(since),
                State::Resting { delay, since, .. } => slot.state = State::Resting { delay, started: false, since },
                State::Ready | State::Again(_) | State::Settled(_) => {}
            }
        }
    }
}

impl Slot {
    fn ask_again(&mut self, verdict: Verdict, listening: bool, events: &mut Vec<Event>) {
        let reason = match verdict {
            Verdict::Ask(reason) => reason,
            _ => "this call is to be approved".into(),
        };
        self.ask(reason, listening, events);
    }
}
