//! Calls that start while the answer that asks for them is still coming.
//!
//! A call is begun as soon as its arguments are complete and all calls before it have begun, so that they are announced
//! in their order. Only what cannot be asked for a second time is begun: from the first one on no failure has the model
//! asked again for this answer; it ends with the calls that are complete. A call of a tool that there is not, or whose
//! arguments are no JSON object, waits for the end of the answer: many a server breaks such an answer off, and the model
//! is then asked anew with the names spelled out.

use serde_json::Value;

use crate::agent::catalog::{Builtin, ToolEntry};
use crate::agent::event::Event;
use crate::agent::round::Round;
use crate::agent::run::{Phase, Run};
use crate::llm::types::Block;

impl Run {
    /// The round of this turn: of the complete answer, or of the part of it that has begun.
    pub(super) fn round(&mut self) -> Option<(&mut Round, &mut Vec<Event>)> {
        match &mut self.phase {
            Phase::Calling { round, .. } => Some((round, &mut self.events)),
            Phase::Asking { .. } if !self.early.is_empty() => Some((&mut self.early, &mut self.events)),
            _ => None,
        }
    }

    /// Begins every call of the unfinished answer that may begin.
    pub(super) fn start_early(&mut self) {
        let Phase::Asking { turn, .. } = &mut self.phase else { return };
        while let Some(block) = turn.complete_call(self.early.asked_for()) {
            let Block::ToolUse { id, name, invalid_input: None, .. } = block else { return };
            // What a run itself answers is looked at when all of the answer is there.
            let may = |tool: &ToolEntry| tool.wire_name == *name && tool.builtin != Some(Builtin::Goal);
            if self.goal.as_ref().is_some_and(|goal| goal.last) || !self.tools.iter().any(may) {
                return;
            }
            make_unique(id, &mut self.ids, self.turn);
            let approval = self.approval;
            let rules = &self.rules;
            let policy = |tool: &ToolEntry, input: &Value| rules.verdict(approval, tool, input);
            self.early.begin(block, &self.tools, policy, self.listening, &mut self.events);
        }
    }
}

/// Makes the id differ from those of all calls before: some providers count their calls anew in each answer.
pub(super) fn make_unique(id: &mut String, ids: &mut Vec<String>, turn: u32) {
    while !note_id(ids, id) {
        id.push_str(&["_", &turn.to_string()].concat());
    }
}

/// Notes an id among those that are taken, which are in order. False for one that is there already.
pub(super) fn note_id(ids: &mut Vec<String>, id: &str) -> bool {
    match ids.binary_search_by(|known| known.as_str().cmp(id)) {
        Ok(_) => false,
        Err(place) => {
            ids.insert(place, id.to_owned());
            true
        }
    }
}
