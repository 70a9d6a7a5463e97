//! The spans of a run, as the OpenTelemetry conventions for generative AI have them: `invoke_agent` for the run, `chat`
//! for a turn of the model with all its tries, `execute_tool` for a call, and `wait ...` for what kept it waiting.
//!
//! A [machine](Spans) over what the driver [noted](Note): events and facts with the time at which they came. The spans have no
//! content (prompts, answers, arguments, results) unless the app asks for it.
//!
//! The core reaches it through [`Part::Spans`](crate::platform::Part::Spans); what follows the notes is in the parts, so
//! that who wants no spans does not load it.
//!
//! The names are those of the [GenAI conventions] as of their release 0.1.0; what they do not name is below `edgewise.`.
//!
//! [GenAI conventions]: https://github.com/open-telemetry/semantic-conventions-genai

mod trace_context;

#[cfg(feature = "parts")]
mod attributes;
#[cfg(feature = "parts")]
mod content;
#[cfg(feature = "parts")]
mod machine;
#[cfg(all(test, feature = "parts"))]
mod tests;

pub use trace_context::TraceParent;

#[cfg(feature = "parts")]
pub use machine::Spans;

use serde_json::Value;

use crate::agent::event::Event;
use crate::agent::fact::{Compacted, Fact};
use crate::json;
use crate::time::UnixMillis;

/// Which run the notes are of, and in which trace it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// Id of the run.
    pub run: String,
    /// Id of the conversation that it is in.
    pub conversation: Option<String>,
    /// Id of the trace: 32 hexadecimal digits.
    pub trace: String,
    /// Id of the span that the run is part of.
    pub parent: Option<String>,
    /// The flags of the trace: two hexadecimal digits.
    pub flags: String,
    /// `tracestate` of the trace.
    pub state: Option<String>,
    /// What the ids of the spans are made of.
    pub seed: u64,
    /// Which wire the model speaks.
    pub provider: String,
    /// The model.
    pub model: String,
    /// Where it is asked; empty for one that is not on the network.
    pub base_url: String,
    /// Models that may take over: wire, model and address of each.
    pub fallbacks: Vec<[String; 3]>,
    /// The spans are to have content.
    pub content: bool,
}

impl Header {
    /// As JSON, for the part.
    pub fn to_json(&self) -> Value {
        let mut fields = serde_json::Map::new();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        let texts = [
            ("run", &self.run),
            ("trace", &self.trace),
            ("flags", &self.flags),
            ("provider", &self.provider),
            ("model", &self.model),
            ("baseUrl", &self.base_url),
        ];
        for (name, text) in texts {
            put(name, text.as_str().into());
        }
        for (name, text) in [("parent", &self.parent), ("state", &self.state), ("conversation", &self.conversation)] {
            put(name, text.as_deref().map_or(Value::Null, Value::from));
        }
        put("seed", self.seed.into());
        put("content", self.content.into());
        let fallbacks =
            self.fallbacks.iter().map(|model| model.iter().map(|text| Value::from(text.as_str())).collect());
        put("fallbacks", Value::Array(fallbacks.collect()));
        Value::Object(fields)
    }
}

/// Something that happened, as far as spans want to know it.
#[derive(Debug)]
pub enum Note<'a> {
    /// The run told the app.
    Event(&'a Event),
    /// The run was told.
    Fact(&'a Fact),
    /// A tool is called now; the number is the id of its span, which its server is told.
    Called(&'a str, u64),
    /// The history is made less of from now on.
    Compacting,
}

impl Note<'_> {
    /// Appends the note as JSON, with a comma before it unless it is the first; nothing for what spans need not know.
    pub fn write(&self, now: UnixMillis, out: &mut Vec<u8>) {
        let (name, id) = match self {
            // Text may be long, and of many pieces; the end of the turn has it whole.
            Note::Event(
                Event::TextDelta { .. }
                | Event::ThinkingDelta { .. }
                | Event::ToolProgress { .. }
                | Event::ServerStatus { .. }
                | Event::Warning { .. },
            ) => return,
            Note::Event(event) => {
                open(now, out);
                out.extend_from_slice(br#","event":"#);
                serde_json::to_writer(&mut *out, event).expect("events have string keys, and a Vec takes all bytes");
                out.push(b'}');
                return;
            }
            Note::Fact(Fact::Deltas(_)) => ("deltas", ""),
            Note::Fact(Fact::ModelEnded) => ("modelEnded", ""),
            Note::Fact(Fact::ModelFailed(_) | Fact::TooLong { .. }) => ("modelFailed", ""),
            Note::Fact(Fact::Slept) => ("slept", ""),
            Note::Fact(Fact::Server { .. }) => ("server", ""),
            Note::Fact(Fact::Rested { id }) => ("rested", id.as_str()),
            Note::Fact(Fact::Approved { id }) => ("approved", id.as_str()),
            Note::Fact(Fact::Answered { id, .. }) => ("answered", id.as_str()),
            Note::Fact(Fact::Compacted(_)) => ("compacted", ""),
            Note::Fact(_) => return,
            Note::Called(id, _) => ("called", *id),
            Note::Compacting => ("compacting", ""),
        };
        open(now, out);
        let id = json::text(&Value::from(id));
        let span = match self {
            Note::Called(_, span) => *span,
            _ => 0,
        };
        for piece in [r#","fact":""#, name, r#"","id":"#, &id, r#","span":"#, &span.to_string()] {
            out.extend_from_slice(piece.as_bytes());
        }
        if let Note::Fact(Fact::Compacted(Compacted { usage, .. })) = self {
            out.extend_from_slice([r#","usage":"#, &json::text(&json::tree(usage))].concat().as_bytes());
        }
        out.push(b'}');
    }
}

fn open(now: UnixMillis, out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b',');
    }
    out.extend_from_slice(br#"{"at":"#);
    out.extend_from_slice(now.0.to_string().as_bytes());
}

/// A number as the id of a span: 16 hexadecimal digits, never all zero.
pub fn span_id(number: u64) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let number = number.max(1);
    (0..16).rev().map(|place| DIGITS[(number >> (4 * place) & 15) as usize] as char).collect()
}
