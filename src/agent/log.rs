//! The log of a run: what it began with, and every fact that it was told, as lines of JSON. The same log, told to a
//! [`Run`] again, gives the same events and the same run, here or elsewhere.
//!
//! ```text
//! {"edgewise":1,"at":1767225600000,"id":"run_...","random":"12...","prompt":{...},"messages":[...],"limits":[...],...}
//! [1767225600010,["gathered"]]
//! [1767225600010,["tools",[["s__add","s.add","s",true,false,null,null,null,false,false]]]]
//! [1767225601200,["deltas",["text","It is 42."]],["model_ended"]]
//! ```
//!
//! A line is what the run was told before it was asked for its next steps. Facts that change nothing of a run, such as the
//! progress of a tool, are not in there, and neither are keys, options of the model, or schemas.

mod facts;
mod header;
pub mod seal;

use serde_json::Value;

use crate::agent::fact::{Fact, Step};
use crate::agent::run::Run;
use crate::error::{Code, Error, Result};
use crate::json;
use crate::llm::types::{Delta, Message};
use crate::time::UnixMillis;

pub use header::{Header, Told};

/// Writes the log of one run.
#[derive(Debug, Default)]
pub struct Log {
    /// Whole lines.
    text: String,
    /// The line that is being written.
    line: Vec<Value>,
    /// Pieces of an answer that is not settled, as one.
    deltas: Vec<Delta>,
    /// Bytes of them.
    weight: usize,
    /// When the last of them came.
    at: UnixMillis,
    /// A call that they ask for may start.
    starts: bool,
}

impl Log {
    /// A log of what is in `text` already: whole lines.
    pub fn new(text: String) -> Log {
        Log { text, ..Log::default() }
    }

    /// Notes a fact, about to be told.
    pub fn note(&mut self, fact: &Fact, now: UnixMillis) {
        if let Fact::Deltas(deltas) = fact {
            for delta in deltas {
                self.weight += weight(delta);
                self.starts |= matches!(delta, Delta::ToolEnd { .. });
                join(&mut self.deltas, delta);
            }
            self.at = now;
            return;
        }
        if let Some(fact) = facts::write(fact) {
            self.settle(now);
            self.push(fact, now);
        }
    }

    fn push(&mut self, fact: Value, now: UnixMillis) {
        if self.line.is_empty() {
            self.line.push(now.0.into());
        }
        self.line.push(fact);
    }

    /// The run is asked for its next steps. True when there are new lines.
    pub fn end_line(&mut self) -> bool {
        if self.starts {
            self.settle(self.at);
        }
        if self.line.is_empty() {
            return false;
        }
        let line = std::mem::take(&mut self.line);
        self.text.push_str(&json::text(&Value::Array(line)));
        self.text.push('\n');
        true
    }

    /// The answer so far goes into the line.
    fn settle(&mut self, now: UnixMillis) {
        if !self.deltas.is_empty() {
            let fact = facts::deltas(&std::mem::take(&mut self.deltas));
            (self.weight, self.starts) = (0, false);
            self.push(fact, now);
        }
    }

    /// Bytes of the answer that is coming, about.
    pub fn open_bytes(&self) -> usize {
        self.weight
    }

    /// Every line, without the answer that is coming.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The answer that is coming, as it would be a line now.
    pub fn open_line(&self) -> String {
        if self.deltas.is_empty() {
            return String::new();
        }
        let line = Value::Array(vec![self.at.0.into(), facts::deltas(&self.deltas)]);
        [&json::text(&line), "\n"].concat()
    }
}

/// Adds a delta to others: pieces of one thing become one piece.
fn join(open: &mut Vec<Delta>, delta: &Delta) {
    match (open.last_mut(), delta) {
        (Some(Delta::Text(text)), Delta::Text(piece)) | (Some(Delta::Thinking(text)), Delta::Thinking(piece)) => {
            text.push_str(piece);
        }
        (Some(Delta::ToolInput { index, json }), Delta::ToolInput { index: same, json: piece }) if index == same => {
            json.push_str(piece);
        }
        _ => open.push(delta.clone()),
    }
}

fn weight(delta: &Delta) -> usize {
    match delta {
        Delta::Text(text) | Delta::Thinking(text) | Delta::Signature(text) | Delta::RedactedThinking(text) => {
            text.len()
        }
        Delta::ToolInput { json, .. } => json.len(),
        _ => 16,
    }
}

/// A log that is read.
#[derive(Debug)]
pub struct Replay {
    /// What the run began with.
    pub header: Header,
    text: String,
    lines: Vec<(UnixMillis, Vec<Fact>)>,
}

impl Replay {
    /// Reads a log. A last line that was cut is none.
    ///
    /// # Errors
    ///
    /// `protocol` for what is no log, with the number of the line, or is one of a newer version.
    pub fn read(text: &str) -> Result<Replay> {
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let (first, rest) = text[..whole].split_once('\n').unwrap_or_default();
        let lines = rest.lines();
        let header = Some(first).and_then(json::read);
        let header = Header::read(header.as_ref().unwrap_or(&Value::Null)).ok_or_else(|| no_log(1))?;
        let mut all = Vec::new();
        for (number, line) in (2..).zip(lines) {
            all.push(read_line(line).ok_or_else(|| no_log(number))?);
        }
        Ok(Replay { header, text: rest.to_owned(), lines: all })
    }

    /// Its lines, without the header.
    pub fn lines(&self) -> &str {
        &self.text
    }

    /// Tells a run that begins so all that is in the log. `messages` is the history that it goes on from, where the log does
    /// not have it.
    pub fn run(self, messages: Option<Vec<Message>>) -> Run {
        let began = self.header.at;
        let mut run = self.header.run(messages);
        pump(&mut run, began);
        for (at, facts) in self.lines {
            for fact in facts {
                // What came too late then comes too late now.
                let _ = run.apply(fact, at);
            }
            pump(&mut run, at);
        }
        run
    }
}

/// Takes the steps of a run as its driver does, and does nothing about them.
fn pump(run: &mut Run, now: UnixMillis) {
    while !matches!(run.next(now), Step::Wait | Step::Done) {}
}

fn read_line(line: &str) -> Option<(UnixMillis, Vec<Fact>)> {
    let line: Value = json::read(line)?;
    let (at, facts) = line.as_array()?.split_first()?;
    Some((UnixMillis(at.as_u64()?), facts.iter().map(facts::read).collect::<Option<_>>()?))
}

fn no_log(line: usize) -> Error {
    let line = line.to_string();
    Error::new(Code::Protocol, ["resume: line ", &line, " is none of a log that this version knows"].concat())
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
