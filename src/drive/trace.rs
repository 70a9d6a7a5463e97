//! The spans of a run, for an app that wants them: notes what happens, has the part make spans of it, and gives them to
//! the app. Without such an app, nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::lock::Mutex;
use serde_json::{Map, Value};

use crate::agent::config::AgentConfig;
use crate::agent::event::Event;
use crate::agent::fact::Fact;
use crate::agent::run::Run;
use crate::agent::spans::{Header, Note, TraceParent, span_id};
use crate::drive::wait::{Cancel, within};
use crate::json;
use crate::llm::config::ModelConfig;
use crate::options::FunctionId;
use crate::platform::{AppCall, Part, Platform};
use crate::time::{Millis, UnixMillis};

/// How long spans may hold up the end of a run: nearly all of it is the time to load the part that makes them, once.
const PATIENCE: Millis = Millis::from_secs(5);

/// What follows one run, if anybody wants it to be followed.
pub(crate) struct Trace(Option<Inner>);

struct Inner {
    function: FunctionId,
    trace: String,
    flags: String,
    header: Value,
    /// What the run began with, until it was sent.
    begin: Cell<Value>,
    /// JSON array without its brackets.
    notes: RefCell<Vec<u8>>,
    /// The spans of the calls that were made: one that is made again is the same.
    called: RefCell<Vec<(String, u64)>>,
    /// Whether the model has begun to answer.
    answering: Cell<bool>,
    turn: Mutex<()>,
}

impl Trace {
    /// Follows nothing.
    pub(crate) fn none() -> Trace {
        Trace(None)
    }

    /// What follows the run as its agent's options want it. `meta` may hold the context of the trace that it is part of.
    pub(crate) fn new<P: Platform>(
        platform: &P,
        config: &AgentConfig,
        run: &Run,
        conversation: Option<String>,
        meta: &mut Map<String, Value>,
    ) -> Trace {
        let Some(function) = config.on_span else { return Trace(None) };
        let given = meta.get("traceparent").and_then(Value::as_str).unwrap_or("");
        let parent = TraceParent::read(given);
        let random = || span_id(platform.random());
        let (trace, flags) = match parent {
            Some(parent) => (parent.trace.to_owned(), parent.flags.to_owned()),
            None => ([random(), random()].concat(), "01".to_owned()),
        };
        let named =
            |model: &ModelConfig| [model.provider.as_str().to_owned(), model.id.clone(), model.base_url.clone()];
        let header = Header {
            run: run.id().to_owned(),
            conversation,
            trace: trace.clone(),
            parent: parent.map(|parent| parent.span.to_owned()),
            flags: flags.clone(),
            state: parent.and(meta.get("tracestate")).and_then(Value::as_str).map(str::to_owned),
            seed: platform.random(),
            provider: config.model.provider.as_str().to_owned(),
            model: config.model.id.clone(),
            base_url: config.model.base_url.clone(),
            fallbacks: config.model.fallbacks.iter().map(named).collect(),
            content: config.span_content,
        };
        if parent.is_none() {
            // The state belongs to a trace that there is not.
            meta.remove("tracestate");
        }
        let begin = if config.span_content { json::tree(&run.messages()) } else { Value::Null };
        Trace(Some(Inner {
            function,
            trace,
            flags,
            header: header.to_json(),
            begin: Cell::new(begin),
            notes: RefCell::default(),
            called: RefCell::default(),
            answering: Cell::new(false),
            turn: Mutex::new(()),
        }))
    }

    /// Whether somebody wants spans.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// The run is about to be told that.
    pub(crate) fn fact(&self, fact: &Fact, now: UnixMillis) {
        let Some(inner) = &self.0 else { return };
        let more = matches!(fact, Fact::Deltas(_)) && inner.answering.replace(true);
        if !more {
            Note::Fact(fact).write(now, &mut inner.notes.borrow_mut());
        }
    }

    /// The run told that. True when there are notes to be sent.
    pub(crate) fn events(&self, events: &[Event], now: UnixMillis) -> bool {
        let Some(inner) = &self.0 else { return false };
        let mut notes = inner.notes.borrow_mut();
        for event in events {
            match event {
                Event::Retry { .. } => inner.answering.set(false),
                // Ids are unique within a turn.
                Event::TurnStart { .. } => {
                    inner.answering.set(false);
                    inner.called.borrow_mut().clear();
                }
                _ => {}
            }
            Note::Event(event).write(now, &mut notes);
        }
        !notes.is_empty()
    }

    /// The history is made less of now.
    pub(crate) fn compacting(&self, now: UnixMillis) {
        if let Some(inner) = &self.0 {
            Note::Compacting.write(now, &mut inner.notes.borrow_mut());
        }
    }

    /// What the requests of that call, which is made now, carry in `_meta`: its span is the parent of what they cause.
    pub(crate) fn called<P: Platform>(
        &self,
        platform: &P,
        call: &str,
        meta: &Rc<Map<String, Value>>,
    ) -> Rc<Map<String, Value>> {
        let Some(inner) = &self.0 else { return meta.clone() };
        let mut known = inner.called.borrow_mut();
        let span = match known.iter().find(|(id, _)| id == call) {
            Some((_, span)) => *span,
            None => {
                let span = platform.random().max(1);
                known.push((call.to_owned(), span));
                span
            }
        };
        Note::Called(call, span).write(platform.now(), &mut inner.notes.borrow_mut());
        let mut meta = Map::clone(meta);
        let parent = ["00-", &inner.trace, "-", &span_id(span), "-", &inner.flags].concat();
        meta.insert("traceparent".to_owned(), parent.into());
        Rc::new(meta)
    }

    /// Sends the notes, and gives the app the spans that ended. One at a time, so that they come in order.
    pub(crate) async fn tell<P: Platform>(&self, platform: &P) {
        let Some(inner) = &self.0 else { return };
        let _turn = inner.turn.lock().await;
        let notes = inner.notes.take();
        if notes.is_empty() {
            return;
        }
        let begin = json::text(&inner.begin.take());
        let pieces = [r#"{"header":"#, &json::text(&inner.header), r#","begin":"#, &begin, r#","notes":["#];
        let request = [&pieces.concat(), &*String::from_utf8_lossy(&notes), "]}"].concat();
        // Spans that cannot be had are no reason to trouble a run.
        let Ok(answer) = platform.call_part(Part::Spans, request).await else { return };
        if let Ok(Value::Array(spans)) = serde_json::from_slice(answer.as_bytes()) {
            for argument in spans {
                platform.tell_app(AppCall { function: inner.function, argument });
            }
        }
    }

    /// The same at the end of the run, which waits for it for a while.
    pub(crate) async fn finish<P: Platform>(&self, platform: &P) {
        let _ = within(platform, PATIENCE, &Cancel::new(), self.tell(platform)).await;
    }
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
