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
//! The file `answer` has the model's side of a turn, `calls` that of the tools, `early` calls that begin before the answer
//! ends, `end` how turns and runs end, `steer` what keeps one going.
//!
//! The driver asks [`Run::next`] until it says [`Step::Wait`] or [`Step::Done`], starts what it is told, and reports
//! with [`Run::apply`]. Facts that come too late (a result after a cancel, a second approval) change nothing. The
//! whole run is serialisable between any two calls; it holds the conversation, but never a key.

mod answer;
mod calls;
mod compact;
mod context;
mod early;
mod end;
mod live;
pub mod output;
mod planned;
mod resume;
mod steer;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::catalog::ToolEntry;
use crate::agent::config::{Approval, Limits};
use crate::agent::event::Event;
use crate::agent::fact::{Fact, Squeeze, Step};
use crate::agent::flow::Rules;
use crate::agent::goal::Goal;
use crate::agent::recovery::{Candidate, Recovery};
use crate::agent::round::Round;
use crate::agent::run::early::note_id;
use crate::agent::run::output::Wanted;
use crate::agent::run::resume::Parked;
use crate::agent::view::{Meter, Rate, View};
use crate::error::Result;
use crate::llm::turn::Turn;
use crate::llm::types::{Block, Message, StopReason, Usage};
use crate::time::{Millis, UnixMillis};

/// What a run begins with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Unique id of the run.
    pub id: String,
    /// What the user says.
    pub prompt: Message,
    /// What was said before; empty for a new conversation.
    pub messages: Vec<Message>,
    /// Bounds.
    pub limits: Limits,
    /// When the user is asked.
    pub approval: Approval,
    /// The models to ask: the agent's own, then its fallbacks. Empty is like one that is not to be told from others.
    pub models: Vec<Candidate>,
    /// JSON Schema that the final answer has to satisfy.
    pub output: Option<Value>,
    /// Seeds the jitter of retries; the same seed and facts give the same events.
    pub random: u64,
    /// The run goes on until the model says that the prompt's goal is met, see [`crate::agent::goal`].
    pub goal: bool,
    /// Whoever reads the events has the history: the last one tells of this run's own messages only.
    pub conversation: bool,
    /// How many characters are how many tokens, as far as the agent knows.
    pub rate: Rate,
}

/// A run: prompt to terminal event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    id: String,
    limits: Limits,
    approval: Approval,
    /// What the conversation holds, and what was allowed.
    #[serde(default)]
    rules: Rules,
    random: u64,
    listening: bool,
    messages: Vec<Message>,
    /// How many of them the model has been asked with.
    #[serde(default)]
    seen: usize,
    /// How many of them there were before the prompt.
    #[serde(default)]
    begun_with: usize,
    /// How many of them the last event does not tell.
    #[serde(default)]
    untold: usize,
    /// Ids of every tool use of the history, in order: an id names one call of a conversation.
    ids: Vec<String>,
    tools: Vec<ToolEntry>,
    /// How the model sees them.
    #[serde(default)]
    view: View,
    #[serde(default)]
    meter: Meter,
    /// The history of that length was made less of for that model, as far as possible.
    #[serde(default)]
    squeezed: Option<(usize, usize)>,
    usage: Usage,
    turn: u32,
    /// How many turns there were before what the user said last, once the model was done with what was said before.
    #[serde(default)]
    since: u32,
    recovery: Recovery,
    /// What is demanded of the final answer.
    #[serde(default)]
    wanted: Option<Wanted>,
    phase: Phase,
    /// Calls of an answer that is still coming.
    #[serde(default)]
    early: Round,
    /// What servers want of the user, as long as it is not answered.
    #[serde(default)]
    inputs: Vec<Input>,
    /// Answers to be given to servers.
    #[serde(default)]
    replies: Vec<(String, Value)>,
    /// Set for a run that runs a plan of the app and asks no model.
    #[serde(default)]
    plan: Option<Value>,
    /// What the user said meanwhile: it joins at the next turn.
    #[serde(default)]
    steers: Vec<String>,
    /// What the user wants to be said once the model is done.
    #[serde(default)]
    follow_ups: Vec<String>,
    #[serde(default)]
    goal: Option<Goal>,
    /// Changes of sources that the model is to be shown before its next turn.
    #[serde(default)]
    notes: Vec<Value>,
    /// What it is shown of them, to be told to whoever watches.
    #[serde(default)]
    noted: Vec<Value>,
    /// Where the run stood before it was resumed, until its tools are known again.
    #[serde(default)]
    parked: Option<Box<Parked>>,
    /// Put away when it waits for approvals alone: wanted, and asked for.
    #[serde(default)]
    suspends: (bool, bool),
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
    Offering {
        asked: bool,
    },
    /// The history fills the window of the model that is to be asked.
    Compacting {
        step: Option<Squeeze>,
        tokens: u64,
        turn: Turn,
    },
    Asking {
        asked: bool,
        turn: Turn,
    },
    /// Waits before the model is asked again for the rest of an answer.
    Resting {
        delay: Millis,
        started: bool,
        turn: Turn,
    },
    Calling {
        stop_reason: StopReason,
        usage: Usage,
        message: Message,
        round: Round,
    },
    /// The last answer is looked at.
    Checking {
        asked: bool,
        value: Value,
    },
    Ended,
}

impl Run {
    /// A run that begins with `setup.prompt`.
    pub fn new(setup: Setup) -> Run {
        let Setup { id, prompt, mut messages, limits, approval, models, output, random, .. } = setup;
        let Setup { goal, conversation, rate, .. } = setup;
        let blocks = messages.iter().flat_map(|message| &message.content);
        let mut ids = Vec::new();
        for block in blocks {
            if let Block::ToolUse { id, .. } = block {
                note_id(&mut ids, id);
            }
        }
        let (begun_with, view) = (messages.len(), View::of(&messages));
        messages.push(prompt);
        Run {
            events: vec![Event::RunStart { run_id: id.clone(), resumed: false }],
            id,
            limits,
            approval,
            rules: Rules::default(),
            random,
            listening: false,
            messages,
            seen: begun_with,
            begun_with,
            untold: if conversation { begun_with } else { 0 },
            view,
            meter: Meter::at(rate),
            squeezed: None,
            ids,
            tools: Vec::new(),
            usage: Usage::default(),
            turn: 0,
            since: 0,
            recovery: Recovery::new(models),
            wanted: output.map(Wanted::new),
            phase: Phase::Starting,
            early: Round::default(),
            inputs: Vec::new(),
            replies: Vec::new(),
            plan: None,
            steers: Vec::new(),
            follow_ups: Vec::new(),
            goal: goal.then(Goal::default),
            notes: Vec::new(),
            noted: Vec::new(),
            parked: None,
            suspends: (false, false),
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

    /// The run pursues a goal, so that the model needs the tool that ends it.
    pub fn has_goal(&self) -> bool {
        self.goal.is_some()
    }

    /// How many messages of the history are older than this run.
    pub fn begun_with(&self) -> usize {
        self.begun_with
    }

    /// The messages that the last event tells of.
    fn told(&self) -> Vec<Message> {
        self.messages[self.untold..].to_vec()
    }

    /// Servers whose private data the conversation holds.
    pub fn held(&self) -> &[String] {
        self.rules.held()
    }

    /// How the model sees the history.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// How many characters are how many tokens, as far as the run knows by now.
    pub fn rate(&self) -> Rate {
        self.meter.rate
    }

    /// How many tokens a request to each model may be, as far as their providers have told.
    pub fn rooms(&self) -> &[Option<u64>] {
        self.recovery.rooms()
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
        if !self.noted.is_empty() {
            return Step::Noted(Value::Array(std::mem::take(&mut self.noted)));
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
                Step::CallModel(self.recovery.ask())
            }
            Phase::Resting { started, delay, .. } if !*started => {
                *started = true;
                Step::Sleep(*delay)
            }
            Phase::Compacting { step, .. } => step.take().map_or(Step::Wait, Step::Compact),
            Phase::Checking { asked, value } if !*asked => {
                *asked = true;
                let schema = self.wanted.as_ref().map(|wanted| wanted.schema().clone());
                Step::Check(schema.unwrap_or_default(), value.clone())
            }
            Phase::Checking { .. } => Step::Wait,
            Phase::Asking { .. } if !self.early.is_empty() => {
                self.early.next(&self.tools, self.limits.max_parallel_tools, now)
            }
            Phase::Offering { .. } | Phase::Asking { .. } | Phase::Resting { .. } => Step::Wait,
            Phase::Calling { round, .. } => {
                let step = round.next(&self.tools, self.limits.max_parallel_tools, now);
                if step == Step::Wait && self.suspends == (true, false) && round.waits_for_approval(&self.tools) {
                    self.suspends.1 = true;
                    return Step::Suspend;
                }
                step
            }
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
            Fact::Context(context) => self.take_context(context),
            Fact::SourceChanged(change) => self.take_change(change),
            Fact::Tools(tools) => self.take_tools(tools, now),
            Fact::Offered { names, anew } => self.note_offered(names, anew),
            Fact::Fixed(chars) => self.meter.fixed = chars,
            Fact::Compacted(compacted) => self.take_compacted(compacted),
            Fact::Deltas(deltas) => self.take_deltas(deltas),
            Fact::ModelEnded => self.end_answer(),
            Fact::ModelFailed(error) => self.fail_answer(error),
            Fact::TooLong { error, room, tokens } => self.shrink(error, room, tokens),
            Fact::Slept => {
                if let Phase::Resting { turn, .. } = &mut self.phase {
                    let turn = std::mem::take(turn);
                    self.ask(turn);
                }
            }
            Fact::Checked(problems) => self.take_check(&problems),
            Fact::Steered { text, follow_up } => self.note_steer(text, follow_up),
            Fact::Listening(listening) => self.listening = listening,
            Fact::Suspending => (self.listening, self.suspends.0) = (true, true),
            Fact::Suspended(snapshot) => self.suspend(snapshot),
            Fact::Resumed { approval, decisions } => self.park(approval, decisions),
            Fact::Cancelled => self.cancel(now),
            Fact::Judged { id, ask } => self.in_round(|round, events, listening| {
                round.judged(&id, ask, listening, events);
                Ok(())
            })?,
            Fact::Private(servers) => servers.iter().for_each(|server| self.rules.hold(server)),
            Fact::Remembered(known) => known.into_iter().for_each(|(tool, input)| self.rules.recall(tool, input)),
            Fact::Remember { id, always } => self.allow(&id, always),
            Fact::Approved { id } => self.approve(&id)?,
            Fact::Denied { id, why } => self.in_round(|round, events, _| round.denied(&id, why, events))?,
            Fact::ToolProgress { id, progress, total, message } => {
                if self.is_running(&id) {
                    self.events.push(Event::ToolProgress { id, progress, total, message });
                }
            }
            Fact::ToolTask { id, task } => self.note_task(id, task),
            Fact::InputAsked { id, call, server, message, schema, url } => {
                let (request, call_id) = (id.clone(), call.clone());
                self.ask_user(
                    request,
                    call_id,
                    Event::InputRequest { id, call_id: call, server, message, schema, url },
                );
            }
            Fact::Answered { id, answer } => self.answer_server(id, answer)?,
            Fact::ToolEnded { id, output } => self.end_call(&id, output, now)?,
            Fact::ToolFailed { id, error } => self.fail_call(&id, error, now),
            Fact::Rested { id } => self.in_round(|round, _, _| {
                round.rested(&id);
                Ok(())
            })?,
            Fact::Planned { call, calls } => self.plan_calls(&call, calls)?,
            Fact::PlanStep(step) => self.note_step(step),
            Fact::Withdrawn { call } => self.in_round(|round, events, _| {
                round.withdraw(&call, events);
                Ok(())
            })?,
            Fact::PlanRefused(error) => self.refuse_plan(error, now),
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "early_tests.rs"]
mod early_tests;

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod recovery_tests;
