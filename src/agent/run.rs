//! The decision machine of a run, from the prompt to its terminal event.
//!
//! ```text
//!            Gather          OfferTools         CallModel
//!  Starting --------> Gathering -------> Offering -------> Asking --- no tool uses ---> Ended
//!                                                     ^  ^   |  \
//!                                           Sleep     |  |   |   tool uses
//!                                        Resting <----+--|---+    |
//!                                           |  retry     |        v
//!                                           +------------+---- Calling
//!                                                          all results in
//! ```
//!
//! The driver asks [`Run::next`] until it says [`Step::Wait`] or [`Step::Done`], starts what it is told, and reports
//! with [`Run::apply`]. Facts that come too late (a result after a cancel, a second approval) change nothing. The
//! whole run is serialisable between any two calls; it holds the conversation, but never a key.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::catalog::ToolEntry;
use crate::agent::config::{Approval, Limits};
use crate::agent::event::{Event, Outcome, RetryOf};
use crate::agent::fact::{Fact, Step, ToolOutput};
use crate::agent::policy::{retry_delay, verdict};
use crate::agent::round::Round;
use crate::error::{Code, Error, Result};
use crate::llm::turn::Turn;
use crate::llm::types::{Block, Delta, Message, Role, StopReason, Usage};
use crate::time::{Millis, UnixMillis};

/// A run: prompt to terminal event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    id: String,
    limits: Limits,
    approval: Approval,
    random: u64,
    listening: bool,
    messages: Vec<Message>,
    /// Ids of every tool use of the history: an id names one call of a conversation.
    ids: Vec<String>,
    tools: Vec<ToolEntry>,
    usage: Usage,
    turn: u32,
    attempt: u32,
    phase: Phase,
    /// What servers want of the user, as long as it is not answered.
    #[serde(default)]
    inputs: Vec<Input>,
    /// Answers to be given to servers.
    #[serde(default)]
    replies: Vec<(String, Value)>,
    /// Not part of a snapshot: whoever takes one has taken the events before.
    #[serde(skip)]
    events: Vec<Event>,
}

/// Something that a server wants of the user.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Input {
    id: String,
    /// Id of the tool call.
    call: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Phase {
    Starting,
    Gathering,
    Offering { asked: bool },
    Asking { asked: bool, turn: Turn, shown: bool },
    Resting { delay: Millis, started: bool },
    Calling { stop_reason: StopReason, usage: Usage, message: Message, round: Round },
    Ended,
}

impl Run {
    /// A run that goes on from `messages` with `prompt`. `random` seeds the jitter of retries; the same seed and
    /// facts give the same events.
    pub fn new(
        id: String,
        prompt: String,
        mut messages: Vec<Message>,
        limits: Limits,
        approval: Approval,
        random: u64,
    ) -> Run {
        let blocks = messages.iter().flat_map(|message| &message.content);
        let ids = blocks.filter_map(|block| match block {
            Block::ToolUse { id, .. } => Some(id.clone()),
            _ => None,
        });
        let ids = ids.collect();
        messages.push(Message::user(prompt));
        Run {
            events: vec![Event::RunStart { run_id: id.clone() }],
            id,
            limits,
            approval,
            random,
            listening: false,
            messages,
            ids,
            tools: Vec::new(),
            usage: Usage::default(),
            turn: 0,
            attempt: 1,
            phase: Phase::Starting,
            inputs: Vec::new(),
            replies: Vec::new(),
        }
    }

    /// Unique id of the run.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The history so far. It only grows.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Takes the events that came up since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What to start now. Ask again until it says [`Step::Wait`] or [`Step::Done`].
    pub fn next(&mut self, now: UnixMillis) -> Step {
        if !self.replies.is_empty() {
            let (id, answer) = self.replies.remove(0);
            return Step::Reply(id, answer);
        }
        match &mut self.phase {
            Phase::Starting => {
                self.phase = Phase::Gathering;
                Step::Gather
            }
            Phase::Gathering => Step::Wait,
            Phase::Offering { asked } if !*asked => {
                *asked = true;
                Step::OfferTools
            }
            Phase::Asking { asked, .. } if !*asked => {
                *asked = true;
                Step::CallModel
            }
            Phase::Resting { started, delay } if !*started => {
                *started = true;
                Step::Sleep(*delay)
            }
            Phase::Offering { .. } | Phase::Asking { .. } | Phase::Resting { .. } => Step::Wait,
            Phase::Calling { round, .. } => round.next(&self.tools, self.limits.max_parallel_tools, now),
            Phase::Ended => Step::Done,
        }
    }

    /// Takes in what happened at `now`.
    ///
    /// # Errors
    ///
    /// `misuse` when an answer of the app names a call or request that does not wait for one. Everything else that does not fit
    /// the state came too late and is ignored.
    pub fn apply(&mut self, fact: Fact, now: UnixMillis) -> Result<()> {
        match fact {
            Fact::Server { server, state, reason } => {
                if !matches!(self.phase, Phase::Ended) {
                    self.events.push(Event::ServerStatus { server, state, reason });
                }
            }
            Fact::Warning { server, message } => {
                if !matches!(self.phase, Phase::Ended) {
                    self.events.push(Event::Warning { server, message });
                }
            }
            Fact::Gathered => {
                if matches!(self.phase, Phase::Gathering) {
                    self.phase = Phase::Offering { asked: false };
                }
            }
            Fact::Tools(tools) => {
                if matches!(self.phase, Phase::Offering { .. }) {
                    self.events.extend(tools.iter().filter_map(changed));
                    self.tools = tools;
                    self.start_turn();
                }
            }
            Fact::Deltas(deltas) => self.take_deltas(deltas),
            Fact::ModelEnded => self.end_answer(),
            Fact::ModelFailed(error) => self.fail_answer(error),
            Fact::Slept => {
                if matches!(self.phase, Phase::Resting { .. }) {
                    self.ask();
                }
            }
            Fact::Listening(listening) => self.listening = listening,
            Fact::Cancelled => self.cancel(now),
            Fact::Judged { id, ask } => self.in_round(|round, events, listening| {
                round.judged(&id, ask, listening, events);
                Ok(())
            })?,
            Fact::Approved { id } => {
                let mut approved = None;
                self.in_round(|round, _, _| {
                    approved = round.approved(&id)?;
                    Ok(())
                })?;
                // Asked once for each change. It stays noted, so that the driver knows which definition was approved.
                let tool = approved.and_then(|place: usize| self.tools.get_mut(place));
                if let Some(change) = tool.and_then(|tool| tool.changed.as_mut()) {
                    change.asks = false;
                }
            }
            Fact::Denied { id, why } => self.in_round(|round, events, _| round.denied(&id, why, events))?,
            Fact::ToolProgress { id, progress, total, message } => {
                if let Phase::Calling { round, .. } = &self.phase
                    && round.is_running(&id)
                {
                    self.events.push(Event::ToolProgress { id, progress, total, message });
                }
            }
            Fact::ToolTask { id, task } => {
                let Phase::Calling { round, .. } = &self.phase else { return Ok(()) };
                if let Some(server) = round.running_on(&id, &self.tools) {
                    self.events.push(Event::ToolTask { id, server, task_id: task });
                }
            }
            Fact::InputAsked { id, call, server, message, schema, url } => {
                let Phase::Calling { round, .. } = &self.phase else { return Ok(()) };
                if !round.is_running(&call) {
                    return Ok(());
                }
                if !self.listening {
                    // Nobody would ever answer.
                    self.replies.push((id, Value::Null));
                    return Ok(());
                }
                self.inputs.push(Input { id: id.clone(), call: call.clone() });
                self.events.push(Event::InputRequest { id, call_id: call, server, message, schema, url });
            }
            Fact::Answered { id, answer } => match self.inputs.iter().position(|input| input.id == id) {
                Some(place) => {
                    self.inputs.remove(place);
                    self.replies.push((id, answer));
                }
                None => {
                    return Err(Error::new(Code::Misuse, ["answer(", &id, "): nothing of that id is asked"].concat()));
                }
            },
            Fact::ToolEnded { id, output } => {
                self.inputs.retain(|input| input.call != id);
                self.in_round(|round, events, _| {
                    round.ended(&id, output, now, events);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Lets `act` work on the open round, if there is one, and closes the turn when every result is in.
    fn in_round(&mut self, act: impl FnOnce(&mut Round, &mut Vec<Event>, bool) -> Result<()>) -> Result<()> {
        let Phase::Calling { round, .. } = &mut self.phase else {
            return Ok(());
        };
        let acted = act(round, &mut self.events, self.listening);
        if round.is_complete() {
            self.end_turn();
            self.go_on();
        }
        acted
    }

    fn go_on(&mut self) {
        if self.turn < self.limits.max_turns {
            return self.start_turn();
        }
        let message = format!("the model was not done after {} turns (maxTurns)", self.turn);
        self.end_with(Error::new(Code::Limit, message));
    }

    fn start_turn(&mut self) {
        self.turn += 1;
        self.attempt = 1;
        self.events.push(Event::TurnStart { turn: self.turn });
        self.ask();
    }

    fn ask(&mut self) {
        self.phase = Phase::Asking { asked: false, turn: Turn::default(), shown: false };
    }

    fn take_deltas(&mut self, deltas: Vec<Delta>) {
        let Phase::Asking { turn, shown, .. } = &mut self.phase else { return };
        for delta in deltas {
            turn.apply(&delta);
            match delta {
                Delta::Text(text) if !text.is_empty() => self.events.push(Event::TextDelta { text }),
                Delta::Thinking(text) if !text.is_empty() => self.events.push(Event::ThinkingDelta { text }),
                _ => continue,
            }
            *shown = true;
        }
    }

    fn end_answer(&mut self) {
        let Phase::Asking { turn, .. } = &mut self.phase else { return };
        let mut answer = std::mem::take(turn).finish();
        self.usage += answer.usage;
        for block in &mut answer.message.content {
            if let Block::ToolUse { id, .. } = block {
                while self.ids.contains(id) {
                    // Some providers count their calls anew in each answer.
                    id.push_str(&["_", &self.turn.to_string()].concat());
                }
                self.ids.push(id.clone());
            }
        }
        let approval = self.approval;
        let policy = |tool: &ToolEntry| verdict(approval, tool);
        let round = Round::open(&answer.message, &self.tools, policy, self.listening, &mut self.events);
        let called = !round.is_empty();
        let complete = round.is_complete();
        let stop_reason = answer.stop_reason;
        self.phase = Phase::Calling { stop_reason, usage: answer.usage, message: answer.message, round };
        if complete {
            self.end_turn();
            if called || stop_reason == StopReason::PauseTurn {
                self.go_on();
            } else {
                self.end_well();
            }
        }
    }

    fn fail_answer(&mut self, error: Error) {
        let Phase::Asking { turn, shown, .. } = &mut self.phase else { return };
        let random = next_random(&mut self.random);
        // Once something was shown, asking again would show it twice.
        let delay = if *shown { None } else { retry_delay(&error, self.attempt + 1, self.limits.max_attempts, random) };
        if let Some(delay) = delay {
            self.attempt += 1;
            self.events.push(Event::Retry {
                of: RetryOf::Model,
                attempt: self.attempt,
                delay_ms: delay,
                code: error.code,
            });
            self.phase = Phase::Resting { delay, started: false };
            return;
        }
        let partial = std::mem::take(turn);
        self.keep_partial(partial);
        self.end_with(error);
    }

    /// Keeps the text of an answer that broke off. Tool uses are dropped: they may be incomplete, and a history in
    /// which one has no result is refused by every provider.
    fn keep_partial(&mut self, turn: Turn) {
        self.usage += turn.usage();
        self.messages.extend(turn.partial());
    }

    fn cancel(&mut self, now: UnixMillis) {
        self.inputs.clear();
        self.replies.clear();
        match &mut self.phase {
            Phase::Ended => return,
            Phase::Asking { turn, .. } => {
                let partial = std::mem::take(turn);
                self.keep_partial(partial);
            }
            Phase::Calling { round, .. } => {
                let output = ToolOutput::failed(Outcome::Cancelled, "the run was cancelled before the tool was done");
                round.settle_all(&output, now, &mut self.events);
                self.end_turn();
            }
            Phase::Starting | Phase::Gathering | Phase::Offering { .. } | Phase::Resting { .. } => {}
        }
        self.end_with(Error::cancelled("run"));
    }

    /// Moves the answer and its results into the history.
    fn end_turn(&mut self) {
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

    fn end_well(&mut self) {
        // An answer without content is not in the history; then the last message is the user's.
        let last = self.messages.last().filter(|message| message.role == Role::Assistant);
        self.events.push(Event::Done {
            run_id: self.id.clone(),
            text: last.map(Message::text).unwrap_or_default(),
            messages: self.messages.clone(),
            usage: self.usage,
        });
        self.phase = Phase::Ended;
    }

    fn end_with(&mut self, error: Error) {
        self.events.push(Event::Error {
            run_id: self.id.clone(),
            error,
            messages: self.messages.clone(),
            usage: self.usage,
        });
        self.phase = Phase::Ended;
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

/// SplitMix64: enough for jitter, eight bytes of state.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
