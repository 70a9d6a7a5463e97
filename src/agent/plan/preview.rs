//! What would be asked for before the steps of a plan, as far as that can be said before anything runs.

use super::read::{Plan, Tool};
use super::template::Scope;
use super::{machine, types};
use crate::agent::catalog::ToolEntry;
use crate::agent::flow::{Rules, digest_of};

/// Why the user would be asked before the step at `place`; `None` for one that would not be asked for.
pub(super) fn asks(plan: &Plan, place: usize, tools: &[Tool]) -> Option<String> {
    let find = |place: usize| tools.iter().find(|tool| tool.name == plan.steps[place].tool);
    let tool = find(place)?;
    let mut rules = Rules::default();
    // Whatever does not wait for this step may have been read by then.
    for other in (0..plan.steps.len()).filter(|other| *other != place && !waits_for(plan, *other, place)) {
        if let Some(Tool { private: true, server: Some(server), .. }) = find(other) {
            rules.hold(server);
        }
    }
    let (name, server) = (tool.name.clone(), tool.server.clone());
    let entry = ToolEntry { name, server, outside: tool.outside, ..ToolEntry::default() };
    let objection = rules.objection(&entry);
    // What was allowed before was so without knowing what this plan reads.
    let usual = || tool.asks.clone().filter(|_| !is_allowed(plan, place, tool));
    objection.or_else(usual)
}

/// Whether a step starts only when another one is over.
fn waits_for(plan: &Plan, step: usize, other: usize) -> bool {
    let mut seen = vec![false; plan.steps.len()];
    let mut open = vec![step];
    while let Some(at) = open.pop() {
        for before in &plan.steps[at].after {
            if *before == other {
                return true;
            }
            if !std::mem::replace(&mut seen[*before], true) {
                open.push(*before);
            }
        }
    }
    false
}

/// Whether calls of that tool with the arguments of this step were allowed for good; those of others are not known yet.
fn is_allowed(plan: &Plan, place: usize, tool: &Tool) -> bool {
    let step = &plan.steps[place];
    if tool.allowed.is_empty() || !machine::is_plain(&step.input) {
        return false;
    }
    let input = step.input.fill(Scope { results: &[], ids: &[], item: None });
    input.is_ok_and(|mut input| {
        types::adapt(&mut input, &tool.input);
        tool.allowed.contains(&digest_of(&input))
    })
}
