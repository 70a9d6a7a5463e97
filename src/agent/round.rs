//! The tool calls of one turn: judged in order, called at once within a limit, recorded in call order.

mod planned;
mod resume;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::catalog::{Builtin, ToolEntry};
use crate::agent::event::{Event, Outcome, RetryOf};
use crate::agent::fact::{Call, Step, ToolOutput};
use crate::agent::policy::{Failed, Verdict, failed_call};
use crate::error::{Code, Error, Result};
use crate::llm::types::{Block, Message, Role};
use crate::options::FunctionId;
use crate::time::{Millis, UnixMillis};

use planned::OfPlan;

/// The tool calls of one turn.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Round {
    calls: Vec<Slot>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Slot {
    id: String,
    /// Place in the run's table of tools; `None` for a tool that there is not.
    tool: Option<usize>,
    name: String,
    input: Value,
    /// Number of the try, from 1.
    #[serde(default)]
    attempt: u32,
    state: State,
    /// Set for a call that a plan asks for.
    #[serde(default)]
    plan: Option<OfPlan>,
    /// It waited for the user and may be made: true when the user said so of it, false when one like it was allowed.
    #[serde(default)]
    approved: Option<bool>,
    /// What the server made of it.
    #[serde(default)]
    task: Option<Task>,
}

/// A task that a server made of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Task {
    id: String,
    /// It was taken up after the run's driver was gone.
    followed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum State {
    /// The app's approval function is to be asked, or has been.
    Judging { function: FunctionId, asked: bool },
    /// The user is asked.
    Waiting,
    /// May be called as soon as there is room.
    Ready,
    /// As ready, for another try; at work since.
    Again(UnixMillis),
    /// At work since.
    Running(UnixMillis),
    /// Failed, and is made again after the wait; at work since.
    Resting { delay: Millis, started: bool, since: UnixMillis },
    /// Has its result.
    Settled(ToolOutput),
}

impl Round {
    /// Reads the tool uses of an answer, announces each, and asks `policy` about it; `begun` are those of it that have
    /// begun, the first ones. Calls of tools that there are not, and calls whose arguments are no JSON object, are settled
    /// at once: the model learns why and nothing is called.
    pub(crate) fn open(
        begun: Round,
        answer: &Message,
        tools: &[ToolEntry],
        policy: impl Fn(&ToolEntry, &Value) -> Verdict,
        listening: bool,
        events: &mut Vec<Event>,
    ) -> Round {
        let mut round = begun;
        let uses = answer.content.iter().filter(|block| matches!(block, Block::ToolUse { .. }));
        for block in uses.skip(round.asked_for()) {
            round.begin(block, tools, &policy, listening, events);
        }
        round
    }

    /// Announces one tool use and asks `policy` about it.
    pub(crate) fn begin(
        &mut self,
        block: &Block,
        tools: &[ToolEntry],
        policy: impl Fn(&ToolEntry, &Value) -> Verdict,
        listening: bool,
        events: &mut Vec<Event>,
    ) {
        let Block::ToolUse { id, name: wire_name, input, invalid_input } = block else { return };
        let place = tools.iter().position(|tool| tool.wire_name == *wire_name);
        let tool = place.map(|place| &tools[place]);
        let name = tool.map_or(wire_name, |tool| &tool.name);
        events.push(Event::ToolCall {
            id: id.clone(),
            name: name.clone(),
            server: tool.and_then(|tool| tool.server.clone()),
            input: input.clone(),
            call_id: None,
            step: None,
        });
        let mut slot = Slot::new(id.clone(), place, name.clone(), input.clone());
        match (tool, invalid_input) {
            (None, _) => slot.fail(unknown_tool(wire_name, tools), events),
            (Some(_), Some(_)) => slot.fail(INVALID_INPUT.into(), events),
            (Some(tool), None) => slot.judge(policy(tool, input), listening, events),
        }
        self.calls.push(slot);
    }

    /// How many calls of the model there are; those that plans ask for are not among them.
    pub(crate) fn asked_for(&self) -> usize {
        self.calls.iter().filter(|slot| slot.plan.is_none()).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.calls.iter().all(|slot| matches!(slot.state, State::Settled(_)))
    }

    pub(crate) fn is_running(&self, id: &str) -> bool {
        self.calls.iter().any(|slot| slot.id == id && matches!(slot.state, State::Running(_)))
    }

    /// The tool of a call that waits for the user, and its arguments.
    pub(crate) fn asked(&self, id: &str) -> Option<(usize, &Value)> {
        let slot = self.calls.iter().find(|slot| slot.id == id && matches!(slot.state, State::Waiting))?;
        Some((slot.tool?, &slot.input))
    }

    /// The place of the tool that is at work on the call of that id.
    pub(crate) fn at_work(&self, id: &str) -> Option<usize> {
        self.calls.iter().find(|slot| slot.id == id && matches!(slot.state, State::Running(_)))?.tool
    }

    /// The server made a task of the call of that id, which is at work. Gives the server.
    pub(crate) fn note_task(&mut self, id: &str, task: &str, tools: &[ToolEntry]) -> Option<String> {
        let slot = self.calls.iter_mut().find(|slot| slot.id == id && matches!(slot.state, State::Running(_)))?;
        let server = tools.get(slot.tool?)?.server.clone()?;
        slot.task.get_or_insert(Task { id: task.to_owned(), followed: false });
        Some(server)
    }

    /// The next call to start, or to ask the app's approval function about.
    pub(crate) fn next(&mut self, tools: &[ToolEntry], max_parallel: u32, now: UnixMillis) -> Step {
        if let Some(step) = self.hand_back() {
            return step;
        }
        // A plan only waits for its calls, so that it takes no room.
        let own = |slot: &Slot| slot.tool.and_then(|place| tools.get(place)).is_some_and(|tool| tool.builtin.is_some());
        let running = |slot: &&Slot| matches!(slot.state, State::Running(_)) && !own(slot);
        let at_work: Vec<usize> = self.calls.iter().filter(running).filter_map(|slot| slot.tool).collect();
        let running = at_work.len();
        // A server that takes only so many calls at once.
        let has_room = |tool: &ToolEntry| {
            let same = |place: &&usize| tools.get(**place).is_some_and(|other| other.server == tool.server);
            tool.limit.is_none_or(|limit| at_work.iter().filter(same).count() < limit as usize)
        };
        for slot in &mut self.calls {
            let Some(tool) = slot.tool.and_then(|place| tools.get(place)) else { continue };
            let call = || Call {
                id: slot.id.clone(),
                tool: tool.clone(),
                input: slot.input.clone(),
                planned: slot.plan.is_some(),
                task: slot.task.as_ref().map(|task| task.id.clone()),
            };
            match slot.state {
                State::Judging { function, asked: false } => {
                    let step = Step::Judge(function, call());
                    slot.state = State::Judging { function, asked: true };
                    return step;
                }
                State::Resting { delay, started: false, since } => {
                    slot.state = State::Resting { delay, started: true, since };
                    return Step::Rest(slot.id.clone(), delay);
                }
                State::Ready if running < max_parallel as usize && has_room(tool) || tool.builtin.is_some() => {
                    let step = Step::CallTool(call());
                    slot.state = State::Running(now);
                    return step;
                }
                State::Again(since) if running < max_parallel as usize && has_room(tool) => {
                    let step = Step::CallTool(call());
                    slot.state = State::Running(since);
                    return step;
                }
                _ => {}
            }
        }
        Step::Wait
    }

    /// Takes in what the app's approval function said.
    pub(crate) fn judged(
        &mut self,
        id: &str,
        ask: std::result::Result<bool, String>,
        listening: bool,
        events: &mut Vec<Event>,
    ) {
        let Some(slot) = self.calls.iter_mut().find(|slot| slot.id == id) else { return };
        if !matches!(slot.state, State::Judging { .. }) {
            return;
        }
        match ask {
            Ok(true) => slot.ask("the app wants this call to be approved".into(), listening, events),
            Ok(false) => slot.state = State::Ready,
            Err(thrown) => {
                slot.fail(["not called: the app's approval function failed: ", &thrown].concat(), events);
            }
        }
    }

    /// The user said yes. Gives the place of the tool.
    pub(crate) fn approved(&mut self, id: &str) -> Result<Option<usize>> {
        let slot = self.waiting(id, "approve")?;
        (slot.state, slot.approved) = (State::Ready, Some(true));
        Ok(slot.tool)
    }

    /// Those of the calls that wait for the user wait no longer of which somebody has allowed all that are alike.
    pub(crate) fn release(
        &mut self,
        tools: &[ToolEntry],
        allowed: impl Fn(&ToolEntry, &Value) -> bool,
        events: &mut Vec<Event>,
    ) {
        for slot in self.calls.iter_mut().filter(|slot| matches!(slot.state, State::Waiting)) {
            let tool = slot.tool.and_then(|place| tools.get(place));
            if tool.is_some_and(|tool| allowed(tool, &slot.input)) {
                (slot.state, slot.approved) = (State::Ready, Some(false));
                events.push(Event::Approved { id: slot.id.clone() });
            }
        }
    }

    /// The user said no.
    pub(crate) fn denied(&mut self, id: &str, why: Option<String>, events: &mut Vec<Event>) -> Result<()> {
        // Said before it was known that one like it was allowed.
        let released = |slot: &&mut Slot| matches!(slot.state, State::Ready) && slot.approved == Some(false);
        let slot = match self.calls.iter_mut().find(|slot| slot.id == id).filter(released) {
            Some(slot) => slot,
            None => self.waiting(id, "deny")?,
        };
        slot.deny(why.as_deref(), events);
        Ok(())
    }

    fn waiting(&mut self, id: &str, action: &str) -> Result<&mut Slot> {
        let mut waiting = self.calls.iter_mut().filter(|slot| matches!(slot.state, State::Waiting));
        waiting.find(|slot| slot.id == id).ok_or_else(|| no_such_request(action, id))
    }

    /// A call ended. Ignored when it was settled before, as after a cancel.
    pub(crate) fn ended(&mut self, id: &str, output: ToolOutput, now: UnixMillis, events: &mut Vec<Event>) {
        let Some(slot) = self.calls.iter_mut().find(|slot| slot.id == id) else { return };
        if let State::Running(since) = slot.state {
            slot.settle(output, now.since(since), events);
        }
    }

    /// A call failed on the way: says what is done about it. `may` says whether the run may make calls again.
    pub(crate) fn failed(
        &mut self,
        id: &str,
        error: Error,
        tools: &[ToolEntry],
        (random, may): (u64, &mut dyn FnMut() -> bool),
        now: UnixMillis,
        events: &mut Vec<Event>,
    ) {
        let Some(slot) = self.calls.iter_mut().find(|slot| slot.id == id) else { return };
        let (State::Running(since), Some(tool)) = (&slot.state, slot.tool.and_then(|place| tools.get(place))) else {
            return;
        };
        let since = *since;
        // The next try is a call of its own.
        let forgotten = slot.task.take().is_some_and(|task| task.followed) && error.code == Code::Protocol;
        let outcome = match failed_call(&error, tool, slot.attempt, random) {
            _ if error.code == Code::Cancelled => Outcome::Cancelled,
            Failed::Again(delay) if may() => {
                slot.attempt += 1;
                events.push(Event::Retry {
                    of: RetryOf::Tool,
                    id: Some(slot.id.clone()),
                    model: None,
                    attempt: slot.attempt,
                    delay_ms: delay,
                    code: error.code,
                });
                slot.state = State::Resting { delay, started: false, since };
                return;
            }
            Failed::Unknown => Outcome::Unknown,
            // Its server does not say any more what came of it.
            Failed::Told if forgotten => Outcome::Unknown,
            Failed::Again(_) | Failed::Told => Outcome::Failed,
        };
        let words = match outcome {
            Outcome::Unknown => [&error.message, UNKNOWN].concat(),
            _ => error.message.clone(),
        };
        slot.settle(ToolOutput::failed(outcome, words), now.since(since), events);
    }

    /// The wait before a call is over.
    pub(crate) fn rested(&mut self, id: &str) {
        let Some(slot) = self.calls.iter_mut().find(|slot| slot.id == id) else { return };
        if let State::Resting { since, .. } = slot.state {
            slot.state = State::Again(since);
        }
    }

    /// Answers every call of a tool of our own; gives the arguments of the last one.
    pub(crate) fn answer(
        &mut self,
        builtin: Builtin,
        words: &str,
        tools: &[ToolEntry],
        events: &mut Vec<Event>,
    ) -> Option<Value> {
        let mut input = None;
        for slot in &mut self.calls {
            let tool = slot.tool.and_then(|place| tools.get(place));
            let ours = tool.is_some_and(|tool| tool.builtin == Some(builtin));
            if ours && !matches!(slot.state, State::Settled(_)) {
                slot.settle(ToolOutput::text(words), Millis(0), events);
                input = Some(slot.input.clone());
            }
        }
        input
    }

    /// Gives every call that has no result this one.
    pub(crate) fn settle_all(&mut self, output: &ToolOutput, now: UnixMillis, events: &mut Vec<Event>) {
        for slot in &mut self.calls {
            let duration = match slot.state {
                State::Settled(_) => continue,
                State::Running(since) | State::Again(since) | State::Resting { since, .. } => now.since(since),
                _ => Millis(0),
            };
            slot.settle(output.clone(), duration, events);
        }
    }

    /// The message that answers the model, results in call order; `None` when nothing was called.
    pub(crate) fn into_message(self) -> Option<Message> {
        let result = |slot: Slot| match slot.state {
            State::Settled(output) => Some(Block::ToolResult {
                tool_use_id: slot.id,
                is_error: output.is_error,
                content: output.into_model_content(),
            }),
            _ => None,
        };
        let asked = self.calls.into_iter().filter(|slot| slot.plan.is_none());
        let content: Vec<Block> = asked.filter_map(result).collect();
        (!content.is_empty()).then_some(Message { role: Role::User, content })
    }
}

impl Slot {
    fn new(id: String, tool: Option<usize>, name: String, input: Value) -> Slot {
        Slot { id, tool, name, input, attempt: 1, state: State::Ready, plan: None, approved: None, task: None }
    }

    fn judge(&mut self, verdict: Verdict, listening: bool, events: &mut Vec<Event>) {
        match verdict {
            Verdict::Allow => {}
            Verdict::Ask(reason) => self.ask(reason, listening, events),
            Verdict::Function(function) => self.state = State::Judging { function, asked: false },
        }
    }

    fn ask(&mut self, reason: String, listening: bool, events: &mut Vec<Event>) {
        if listening {
            events.push(Event::ApprovalRequest {
                id: self.id.clone(),
                name: self.name.clone(),
                input: self.input.clone(),
                reason,
            });
            self.state = State::Waiting;
            return;
        }
        let why = ["not called: ", &reason, ", and nobody is there to approve it"].concat();
        self.settle(ToolOutput::failed(Outcome::Denied, why), Millis(0), events);
    }

    fn fail(&mut self, why: String, events: &mut Vec<Event>) {
        self.settle(ToolOutput::failed(Outcome::Failed, why), Millis(0), events);
    }

    fn deny(&mut self, why: Option<&str>, events: &mut Vec<Event>) {
        let why = match why {
            Some(why) => ["the user denied this call: ", why].concat(),
            None => "the user denied this call".into(),
        };
        self.settle(ToolOutput::failed(Outcome::Denied, why), Millis(0), events);
    }

    fn settle(&mut self, output: ToolOutput, duration: Millis, events: &mut Vec<Event>) {
        events.push(self.result(&output, duration));
        self.state = State::Settled(output);
    }

    fn result(&self, output: &ToolOutput, duration_ms: Millis) -> Event {
        Event::ToolResult {
            id: self.id.clone(),
            content: output.content.clone(),
            structured_content: output.structured_content.clone(),
            is_error: output.is_error,
            outcome: output.outcome,
            duration_ms,
            cached: output.cached,
            handle: output.handle.clone(),
        }
    }
}

const INVALID_INPUT: &str =
    "the arguments are not a JSON object, so the tool was not called; call it again with valid JSON";

const UNKNOWN: &str = ". The outcome is unknown: the tool may or may not have done its work. Find out before you call it \
                       again, or ask the user.";

/// Most tool names that a model is reminded of.
const MAX_NAMES: usize = 30;

fn unknown_tool(name: &str, tools: &[ToolEntry]) -> String {
    if tools.is_empty() {
        return format!("there is no tool `{name}`; there are no tools at all");
    }
    if let Some(meant) = meant(name, tools) {
        return ["there is no tool `", name, "`; did you mean `", meant, "`?"].concat();
    }
    if let Some(find) = tools.iter().find(|tool| tool.builtin == Some(Builtin::Find)) {
        return ["there is no tool `", name, "`; find tools with `", &find.wire_name, "`"].concat();
    }
    let names: Vec<&str> = tools.iter().take(MAX_NAMES).map(|tool| tool.wire_name.as_str()).collect();
    let more = if tools.len() > MAX_NAMES { ", and more" } else { "" };
    format!("there is no tool `{name}`; call one of: {}{more}", names.join(", "))
}

/// The one tool that is called nearly so: by the server's own name for it, or misspelt in one place.
fn meant<'t>(name: &str, tools: &'t [ToolEntry]) -> Option<&'t str> {
    let plain = |name: &str| name.rsplit(['.', '/', ':']).next().unwrap_or(name).to_ascii_lowercase().replace('-', "_");
    let wanted = plain(name);
    let is_it = |tool: &&ToolEntry| {
        let known = plain(&tool.wire_name);
        let own = known.rsplit_once("__").map_or(&*known, |(_, own)| own);
        let tail = wanted.rsplit_once("__").map_or(&*wanted, |(_, tail)| tail);
        tool.name.eq_ignore_ascii_case(name) || own == tail || near(&known, &wanted) || near(own, tail)
    };
    let mut found = tools.iter().filter(is_it);
    // Of several, nobody knows.
    found.next().filter(|_| found.next().is_none()).map(|tool| tool.wire_name.as_str())
}

/// Alike but for one place of at most two letters.
fn near(a: &str, b: &str) -> bool {
    let longest = a.len().max(b.len());
    let front = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let back = a.bytes().rev().zip(b.bytes().rev()).take_while(|(a, b)| a == b).count();
    longest >= 4 && front.saturating_add(back) + 2 >= longest && a.len().abs_diff(b.len()) <= 2
}

fn no_such_request(action: &str, id: &str) -> Error {
    Error::new(Code::Misuse, format!("{action}({id}): no call of that id waits for approval"))
}
