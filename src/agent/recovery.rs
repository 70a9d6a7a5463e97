//! What becomes of a model call that failed: the same again, its second half, the next model, or the end.
//!
//! Only words are gone on with. Tool uses whose arguments were complete are called, and the answer counts as ended with
//! them: the model sees the results and asks for the rest. Others are dropped, and the model is asked anew.

use serde::{Deserialize, Serialize};

use crate::agent::catalog::ToolEntry;
use crate::agent::config::Limits;
use crate::agent::policy::retry_delay;
use crate::agent::seam::{Seam, anchor};
use crate::error::{Code, Error, Retry};
use crate::llm::structured::Takes;
use crate::llm::turn::Turn;
use crate::llm::types::{Block, Delta, Message, Role};
use crate::time::Millis;

/// Fewest bytes of an answer that a wire goes on with right behind them: of less, a repetition cannot be told from
/// new text.
const LEAST_PREFILL: usize = 40;

/// A model that a run may ask: the agent's own, then its fallbacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// What events call it.
    pub id: String,
    /// Its wire goes on with the beginning of an answer.
    pub prefill: bool,
    /// How many tokens a request may be, where the model's window is known.
    #[serde(default)]
    pub room: Option<u64>,
    /// When its provider holds the run's final answer to the schema.
    #[serde(default)]
    pub schema: Takes,
}

/// How the model is to be asked. The default is: the first one, with the history as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Which model: 0 is the agent's own.
    pub model: usize,
    /// What it has said of this answer.
    pub said: Option<String>,
    /// It is to go on right behind `said`.
    pub prefill: bool,
    /// Words for the model that do not stay in the history.
    pub note: Option<String>,
    /// The provider is not to hold the answer to the schema: it refused to.
    #[serde(default)]
    pub loose: bool,
}

impl Ask {
    /// What the model is shown in place of the history's end: how many messages of `history` stand, and what follows
    /// them. A prefilled beginning is not among them.
    pub fn messages(&self, history: &[Message]) -> (usize, Vec<Message>) {
        match (&self.said, history.last()) {
            (Some(said), _) if !self.prefill => {
                let words = Message::user(self.note.clone().unwrap_or_default());
                (history.len(), vec![Message::assistant(said.clone()), words])
            }
            // Not a message of its own: some templates demand that the roles alternate.
            (_, Some(last)) if self.note.is_some() && last.role == Role::User => {
                let mut last = last.clone();
                let follows = last.content.iter().any(|block| matches!(block, Block::Text { .. }));
                let gap = if follows { "\n\n" } else { "" };
                last.content.extend(self.note.iter().map(|note| Block::Text { text: [gap, note].concat() }));
                (history.len() - 1, vec![last])
            }
            _ => (history.len(), Vec::new()),
        }
    }
}

/// What is to be done about a failure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mend {
    /// Ask again after that wait; it is the try of that number.
    Again { attempt: u32, delay: Millis },
    /// The answer counts as complete as it is.
    Complete,
    /// Nothing helps.
    No,
}

/// Knows what was tried, and how the model is asked next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recovery {
    candidates: Vec<Candidate>,
    /// Tries of this turn.
    tries: u32,
    /// Tries of this turn with this model.
    attempt: u32,
    /// Model and tool calls of this run that were made again.
    retries: u32,
    ask: Ask,
    /// The wire of this model refused a prefilled beginning.
    refused_prefill: bool,
    /// This model failed when it was to be held to the schema.
    #[serde(default)]
    refused_schema: bool,
    /// What providers have told of their windows.
    #[serde(default)]
    rooms: Vec<Option<u64>>,
    text: Option<Seam>,
    thinking: Option<Seam>,
}

impl Recovery {
    pub(crate) fn new(candidates: Vec<Candidate>) -> Recovery {
        Recovery { candidates, tries: 1, attempt: 1, ..Recovery::default() }
    }

    /// How the model is to be asked now.
    pub(crate) fn ask(&self) -> Ask {
        self.ask.clone()
    }

    /// Nothing of the answer that is asked for has come: with the model that is asked, and what its window leaves.
    pub(crate) fn room(&self) -> Option<(usize, u64)> {
        let model = self.candidates.get(self.ask.model).filter(|_| self.ask.said.is_none())?;
        Some((self.ask.model, model.room?))
    }

    /// The model that is asked now.
    pub(crate) fn asked(&self) -> usize {
        self.ask.model
    }

    /// How many tokens a request to each model may be, as far as their providers have told.
    pub(crate) fn rooms(&self) -> &[Option<u64>] {
        &self.rooms
    }

    /// The request was too long: it may be of `room` tokens, else of `guess`. The number of the coming try; `None` when there are
    /// to be no more.
    pub(crate) fn too_long(&mut self, room: Option<u64>, guess: u64, limits: &Limits) -> Option<u32> {
        let place = self.ask.model;
        let known = self.candidates.get(place)?.room;
        if self.attempt >= limits.max_attempts.max(2) || !self.spend(limits) {
            return None;
        }
        let told = room.unwrap_or(guess);
        self.candidates[place].room = Some(known.map_or(told, |known| known.min(told)));
        if room.is_some() {
            self.rooms.resize(self.rooms.len().max(place + 1), None);
            self.rooms[place] = room;
        }
        self.attempt += 1;
        self.tries += 1;
        Some(self.tries)
    }

    /// The turn was asked for once.
    pub(crate) fn is_first_try(&self) -> bool {
        self.tries == 1
    }

    /// A turn begins. The model stays the one that answered last.
    pub(crate) fn start_turn(&mut self) {
        (self.tries, self.attempt) = (1, 1);
        self.ask = Ask { model: self.ask.model, loose: self.refused_schema, ..Ask::default() };
        (self.text, self.thinking) = (None, None);
    }

    /// The name of the model that is asked next, where there are several.
    pub(crate) fn model(&self) -> Option<String> {
        self.candidates.get(self.ask.model).filter(|_| self.candidates.len() > 1).map(|model| model.id.clone())
    }

    /// Takes one of the calls that a run may make again, if there is one left.
    pub(crate) fn spend(&mut self, limits: &Limits) -> bool {
        let left = self.retries < limits.max_retries;
        self.retries += u32::from(left);
        left
    }

    /// A model call failed after `turn` had come, of which calls have begun or not.
    pub(crate) fn failed(
        &mut self,
        error: &Error,
        (turn, begun): (&mut Turn, bool),
        tools: &[ToolEntry],
        limits: &Limits,
        random: u64,
    ) -> Mend {
        let refused_prefill = self.ask.prefill && error.code == Code::Provider && error.retry == Retry::Never;
        let more = self.ask.model + 1 < self.candidates.len();
        if begun || turn.has_complete_call() && error.retry != Retry::Never {
            turn.drop_open_calls();
            return Mend::Complete;
        }
        // With another model at hand one is not asked for long.
        let most = if more { limits.max_attempts.min(2) } else { limits.max_attempts };
        // Words before the failure prove that the schema was taken.
        let held = self.is_held(tools) && error.code == Code::Provider && turn.text().is_empty();
        let refused = refused_prefill || (held && error.retry == Retry::Never);
        let delay = match retry_delay(error, self.attempt + 1, most, random) {
            _ if refused => Some(Millis(0)),
            Some(delay) if !more || delay <= Millis(10_000) => Some(delay),
            _ => None,
        };
        let delay = match delay {
            Some(delay) => {
                self.attempt += 1;
                delay
            }
            None if more && is_of_the_model(error) => {
                self.next_model();
                Millis(0)
            }
            None => return Mend::No,
        };
        if !self.spend(limits) {
            return Mend::No;
        }
        self.refused_prefill |= refused_prefill;
        self.refused_schema |= held;
        self.tries += 1;
        // A model that makes up a tool's name fails the server that checks it (llama.cpp), with an error of its own.
        let spell = error.code == Code::Provider && !tools.is_empty() && !refused;
        self.go_on(turn, !spell);
        if spell {
            let names: Vec<&str> = tools.iter().take(100).map(|tool| tool.wire_name.as_str()).collect();
            let words = ["(Call only these tools, by exactly these names: ", &names.join(", "), ".)"].concat();
            self.ask.note = Some(match self.ask.note.take() {
                Some(note) => [&note, " ", &words].concat(),
                None => words,
            });
        }
        Mend::Again { attempt: self.tries, delay }
    }

    /// Whoever listened to the model was gone after `turn` had come, of which calls have begun or not. True when the answer
    /// counts as complete; else it is gone on with, as no fault of the model's.
    pub(crate) fn interrupted(&mut self, (turn, begun): (&mut Turn, bool)) -> bool {
        if begun || turn.has_complete_call() {
            turn.drop_open_calls();
            return true;
        }
        self.tries += 1;
        self.go_on(turn, true);
        false
    }

    /// A model declined to answer: the next one is asked, as the try of that number. `None` when there is none.
    pub(crate) fn declined(&mut self, turn: &mut Turn, limits: &Limits) -> Option<u32> {
        if self.ask.model + 1 >= self.candidates.len() || turn.has_complete_call() || !self.spend(limits) {
            return None;
        }
        self.next_model();
        self.tries += 1;
        // What it said is no beginning of an answer.
        turn.reopen();
        let said = turn.text();
        self.text = (!said.is_empty()).then(|| Seam::new(said, true));
        self.thinking = None;
        Some(self.tries)
    }

    fn next_model(&mut self) {
        self.ask = Ask { model: self.ask.model + 1, ..Ask::default() };
        self.attempt = 1;
        (self.refused_prefill, self.refused_schema) = (false, false);
    }

    /// Whether the provider was to hold the answer to the schema.
    fn is_held(&self, tools: &[ToolEntry]) -> bool {
        let takes = self.candidates.get(self.ask.model).is_some_and(|model| model.schema.holds(!tools.is_empty()));
        takes && !self.ask.loose && self.ask.said.is_none()
    }

    /// Sees to it that what was shown is gone on with.
    fn go_on(&mut self, turn: &mut Turn, may_prefill: bool) {
        let thought = turn.reopen();
        let said = turn.text();
        self.ask = Ask { model: self.ask.model, loose: self.refused_schema, ..Ask::default() };
        self.thinking = (!thought.is_empty()).then(|| Seam::new(thought, true));
        self.text = (!said.is_empty()).then(|| Seam::new(said.clone(), false));
        if said.trim().is_empty() {
            return;
        }
        let knows = self.candidates.get(self.ask.model).is_some_and(|model| model.prefill) && !self.refused_prefill;
        self.ask.prefill = may_prefill && knows && said.len() >= LEAST_PREFILL;
        if !self.ask.prefill {
            self.ask.note = Some(
                [
                    "(The connection broke while you were answering. Your answer so far is above and has been shown. \
                     Continue it: begin by repeating exactly its last words, \"",
                    anchor(&said),
                    "\", and go on from there. Do not start over, and do not mention the interruption.)",
                ]
                .concat(),
            );
        }
        self.text = Some(Seam::new(said.clone(), self.ask.prefill));
        self.ask.said = Some(said);
    }

    /// What of a delta is new. `turn` is the answer so far.
    pub(crate) fn fresh(&mut self, delta: Delta, turn: &mut Turn, out: &mut Vec<Delta>) {
        match (delta, &mut self.text, &mut self.thinking) {
            (Delta::Text(piece), Some(seam), _) => {
                let new = seam.feed(&piece);
                self.settle_thinking(turn, out);
                out.push(Delta::Text(new));
            }
            (Delta::Thinking(piece), _, Some(seam)) => {
                let new = seam.feed(&piece);
                if seam.repeated() {
                    turn.rejoin();
                }
                out.push(Delta::Thinking(new));
            }
            (delta @ (Delta::Usage(_) | Delta::Thinking(_)), ..) => out.push(delta),
            (delta @ (Delta::Signature(_) | Delta::RedactedThinking(_)), ..) => {
                self.settle_thinking(turn, out);
                out.push(delta);
            }
            (delta, ..) => {
                self.settle(turn, out);
                out.push(delta);
            }
        }
    }

    /// The answer has ended, or something else than words comes: what was held back is decided.
    pub(crate) fn settle(&mut self, turn: &mut Turn, out: &mut Vec<Delta>) {
        self.settle_thinking(turn, out);
        if let Some(mut seam) = self.text.take() {
            out.push(Delta::Text(seam.end()));
        }
    }

    /// The answer broke off again: what was held back may be the beginning of a repetition, so it is not shown. The model
    /// is asked for all that comes behind what was.
    pub(crate) fn abandon(&mut self) {
        (self.text, self.thinking) = (None, None);
    }

    fn settle_thinking(&mut self, turn: &mut Turn, out: &mut Vec<Delta>) {
        if let Some(mut seam) = self.thinking.take() {
            let new = seam.end();
            if seam.repeated() {
                turn.rejoin();
            }
            out.push(Delta::Thinking(new));
        }
    }
}

/// Another model may do better: the failure is not one of the request's maker.
fn is_of_the_model(error: &Error) -> bool {
    !matches!(error.code, Code::Cancelled | Code::Config | Code::Misuse | Code::Crashed)
}
