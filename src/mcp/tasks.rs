//! A call that a server made a task of: what to ask of it next, and when.
//!
//! Two kinds. In the modern era the server decides, and everything comes with `tasks/get` ([MCP Tasks extension]). In
//! revision 2025-11-25 the client asks for a task, and the result is fetched with `tasks/result`, on whose stream the
//! server asks for input ([MCP 2025-11-25, Tasks]).
//!
//! ```text
//!            ┌──────────────── working ───────────────┐
//!            v                                        │
//! Wait ──> Get ──> input_required ──> Ask ──> Update ─┤   modern
//!            │                    └─> Result ─────────┘   2025-11-25
//!            └──> completed, failed, cancelled ──> Done | Failed   (2025-11-25: by way of Result)
//! ```
//!
//! # Out of scope
//!
//! - Waiting, and asking anybody. Time is counted in the waits that were asked for: a clock may stand still.
//!
//! [MCP Tasks extension]: https://github.com/modelcontextprotocol/ext-tasks
//! [MCP 2025-11-25, Tasks]: https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/tasks

use serde_json::{Map, Value};

use crate::error::{Code, Error, Retry};
use crate::json::Names;
use crate::mcp::era::Era;
use crate::mcp::exchange::Failure;
use crate::mcp::input::rounds::read_asks;
use crate::mcp::input::{Answerers, Ask};
use crate::mcp::text::{MAX_QUOTE, clean, legible};
use crate::time::Millis;

/// Between two polls at least.
const SHORTEST: Millis = Millis(250);
/// Between two polls at most, whatever the server suggests.
const LONGEST: Millis = Millis::from_secs(3_600);
/// Between two polls at first where the server suggests nothing; grows to [`SLOWEST`].
const FIRST: Millis = Millis(1_000);
const SLOWEST: Millis = Millis::from_secs(30);
/// Longest wait after a poll that failed.
const LONGEST_BACKOFF: Millis = Millis::from_secs(60);
/// Polls in a row that may fail.
const MOST_FAILURES: u32 = 10;
/// How much longer than its time to live a task is polled.
const GRACE: Millis = Millis::from_secs(60);

/// What to do next about a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Wait that long, or until something was answered.
    Wait(Millis),
    /// Send `tasks/get`; report with [`Polling::got`].
    Get,
    /// Have these answered, while the polling goes on; report each with [`Polling::answered`].
    Ask(Vec<(String, Ask)>),
    /// Send `tasks/update` with these `inputResponses`; report with [`Polling::updated`].
    Update(Value),
    /// Send `tasks/result`; report with [`Polling::resulted`].
    Result,
    /// The result of the call.
    Done(Map<String, Value>),
    /// There will be none.
    Failed(Box<Error>),
}

#[derive(Clone, Debug, PartialEq)]
enum Next {
    Wait,
    Get,
    Result,
    Ended(Box<Step>),
}

/// The polling of one task.
#[derive(Clone, Debug)]
pub struct Polling {
    era: Era,
    what: String,
    id: String,
    next: Next,
    /// What the server suggests.
    interval: Option<Millis>,
    polls: u32,
    failures: u32,
    /// A wait that an error asks for.
    after: Millis,
    ttl: Option<Millis>,
    waited: Millis,
    /// Keys that were asked, so that nothing is asked twice.
    known: Names,
    asks: Vec<(String, Ask)>,
    responses: Map<String, Value>,
    message: Option<String>,
}

impl Polling {
    /// Begins to follow the task that an answer announced: the result itself in the modern era, its member `task` before.
    /// `what` names the call in errors.
    ///
    /// # Errors
    ///
    /// `protocol` for an announcement without an id.
    pub fn new(era: Era, what: &str, announced: &Map<String, Value>) -> Result<Polling, Error> {
        let task = match era {
            Era::Modern => Some(announced),
            Era::Legacy => announced.get("task").and_then(Value::as_object),
        };
        let id = task.and_then(|task| task.get("taskId")).and_then(Value::as_str).filter(|id| !id.is_empty());
        let (Some(task), Some(id)) = (task, id) else {
            return Err(Error::new(Code::Protocol, [what, ": the server made a task of it that has no id"].concat()));
        };
        let mut polling = Polling::resume(era, what, id);
        polling.note(task);
        // Its end does not come with the announcement.
        if matches!(task.get("status").and_then(Value::as_str), Some("working") | None) {
            polling.next = Next::Wait;
        }
        Ok(polling)
    }

    /// Takes up a task of which only the id is known.
    pub fn resume(era: Era, what: &str, id: &str) -> Polling {
        Polling {
            era,
            what: what.to_owned(),
            id: id.to_owned(),
            next: Next::Get,
            interval: None,
            polls: 0,
            failures: 0,
            after: Millis(0),
            ttl: None,
            waited: Millis(0),
            known: Names::default(),
            asks: Vec::new(),
            responses: Map::new(),
            message: None,
        }
    }

    /// Id of the task.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the server says of the state, once after each change.
    pub fn take_message(&mut self) -> Option<String> {
        self.message.take()
    }

    /// Number of polls so far; grows with each.
    pub fn polls(&self) -> u32 {
        self.polls
    }

    /// What to do next. `random` spreads the polls of many clients; a server is never asked sooner than it wishes.
    pub fn next(&mut self, random: u64) -> Step {
        if let Next::Ended(step) = &self.next {
            return (**step).clone();
        }
        // After an update that failed comes its wait.
        if !self.responses.is_empty() && (self.failures == 0 || self.next != Next::Wait) {
            return Step::Update(Value::Object(std::mem::take(&mut self.responses)));
        }
        if !self.asks.is_empty() {
            return Step::Ask(std::mem::take(&mut self.asks));
        }
        match self.next {
            Next::Wait => {
                if self.ttl.is_some_and(|ttl| self.waited.0 > ttl.0.saturating_add(GRACE.0)) {
                    return self.end(self.error(Code::Timeout, "the task is still not done after its time to live"));
                }
                let grown = Millis(FIRST.0 + FIRST.0 / 2 * u64::from(self.polls)).min(SLOWEST);
                let interval = self.interval.unwrap_or(grown);
                let delay = interval.clamp(SHORTEST, LONGEST).max(self.after);
                let delay = Millis(delay.0 + random % (delay.0 / 10 + 1));
                self.waited = Millis(self.waited.0.saturating_add(delay.0));
                self.next = Next::Get;
                Step::Wait(delay)
            }
            Next::Get => {
                self.next = Next::Wait;
                Step::Get
            }
            Next::Result => {
                self.next = Next::Wait;
                Step::Result
            }
            Next::Ended(_) => Step::Wait(LONGEST),
        }
    }

    /// Reports the answer to `tasks/get`.
    pub fn got(&mut self, outcome: Result<Map<String, Value>, Failure>, answerers: &Answerers) {
        self.polls = self.polls.saturating_add(1);
        let mut task = match outcome {
            Ok(task) => task,
            Err(failure) => return self.failed(failure),
        };
        self.failures = 0;
        self.after = Millis(0);
        self.next = Next::Wait;
        self.note(&task);
        match (task.get("status").and_then(Value::as_str), self.era) {
            (Some("working"), _) => {}
            (Some("input_required"), Era::Modern) => {
                let Some(Value::Object(mut requests)) = task.remove("inputRequests") else {
                    self.end(self.error(Code::Protocol, "the task asks for input without saying which"));
                    return;
                };
                requests.retain(|key, _| self.known.insert(key));
                match read_asks(requests, answerers, &self.what) {
                    Ok(asks) => self.asks.extend(asks),
                    Err(error) => {
                        self.end(error);
                    }
                }
            }
            (Some("input_required" | "completed" | "failed"), Era::Legacy) => self.next = Next::Result,
            (Some("completed"), Era::Modern) => match task.remove("result") {
                Some(Value::Object(result)) => self.next = Next::Ended(Box::new(Step::Done(result))),
                _ => {
                    self.end(self.error(Code::Protocol, "the task is completed but has no result"));
                }
            },
            (Some("failed"), Era::Modern) => {
                let error = task.get("error");
                let code = error.and_then(|error| error.get("code")).and_then(Value::as_i64);
                let words = error.and_then(|error| error.get("message")).or(task.get("statusMessage"));
                let words = clean(words.and_then(Value::as_str).unwrap_or("no reason given"), MAX_QUOTE);
                let mut error = self.error(Code::Protocol, &["the task failed: ", &words].concat());
                error.rpc_code = code;
                self.end(error);
            }
            (Some("cancelled"), _) => {
                self.end(self.error(Code::Protocol, "the server cancelled the task"));
            }
            _ => {
                self.end(self.error(Code::Protocol, "the task has no status that is known"));
            }
        }
    }

    /// Reports what was answered to the ask of that key.
    pub fn answered(&mut self, key: &str, result: Value) {
        self.responses.insert(key.to_owned(), result);
    }

    /// Reports how `tasks/update` was taken. Answers that did not arrive are sent again with the next poll.
    pub fn updated(&mut self, sent: Value, outcome: Result<(), Failure>) {
        match (outcome, sent) {
            (Err(failure), Value::Object(sent)) => {
                self.failed(failure);
                for (key, value) in sent {
                    self.responses.entry(key).or_insert(value);
                }
            }
            _ => {
                self.failures = 0;
                self.after = Millis(0);
            }
        }
    }

    /// Reports the answer to `tasks/result`.
    pub fn resulted(&mut self, outcome: Result<Map<String, Value>, Failure>) {
        match outcome {
            Ok(result) => self.next = Next::Ended(Box::new(Step::Done(result))),
            Err(failure) => self.failed(failure),
        }
    }

    /// Notes what every form of a task carries.
    fn note(&mut self, task: &Map<String, Value>) {
        let (interval, ttl) = match self.era {
            Era::Modern => ("pollIntervalMs", "ttlMs"),
            Era::Legacy => ("pollInterval", "ttl"),
        };
        let number =
            |name: &str| task.get(name).and_then(Value::as_f64).filter(|ms| *ms >= 0.0).map(|ms| Millis(ms as u64));
        self.interval = number(interval);
        self.ttl = number(ttl);
        self.message = task.get("statusMessage").and_then(Value::as_str).map(|text| legible(text, 1_000));
    }

    /// A poll that failed: tried again, unless the server itself refuses or it has failed too often.
    fn failed(&mut self, failure: Failure) {
        let mut error = failure.error;
        let passing = error.retry != Retry::Never;
        self.failures += 1;
        if !passing || self.failures >= MOST_FAILURES {
            if passing {
                error.message.push_str("; the task may still go on: resume it by its id");
            }
            self.end(error);
            return;
        }
        let doubled = FIRST.0 << self.failures.min(16);
        self.after = match error.retry {
            Retry::After(delay) => delay.min(LONGEST),
            _ => Millis(doubled).min(LONGEST_BACKOFF),
        };
        self.next = Next::Wait;
    }

    fn error(&self, code: Code, words: &str) -> Error {
        Error::new(code, [&self.what, ": ", words].concat())
    }

    fn end(&mut self, error: Error) -> Step {
        let step = Step::Failed(Box::new(error));
        self.next = Next::Ended(Box::new(step.clone()));
        step
    }
}

#[cfg(test)]
mod tests;
