//! The two ends of a run: what the app holds, and what its driver holds.
//!
//! Events cross as JSON text, many at a time: one boundary crossing for each batch, not for each event.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use serde_json::Value;

use crate::agent::event::Event;
use crate::agent::fact::Fact;
use crate::error::{Code, Error, Result};
use crate::mcp::input::{Ask, Wrong};

/// Bytes of unread events past which the model's stream is not read on.
const HIGH_WATER: usize = 256 * 1024;

/// The app's end of a run. Clones share it.
#[derive(Clone, Default)]
pub struct RunHandle(Rc<Shared>);

#[derive(Default)]
struct Shared {
    /// JSON array, still open, of the events that nobody has taken. Bytes, since that is what serde_json writes.
    unread: RefCell<Vec<u8>>,
    /// JSON text of the terminal event.
    terminal: RefCell<Option<Rc<str>>>,
    /// Ids of the calls that wait for an answer of the user.
    waiting: RefCell<Vec<String>>,
    /// Somebody takes events, so that the driver has to wait for them.
    read: Cell<bool>,
    /// Somebody waits for the last one.
    awaited: Cell<bool>,
    /// What servers want of the user, as long as it is not answered: by id, with the id of the call.
    asked: RefCell<Vec<(String, String, Ask)>>,
    facts: RefCell<VecDeque<Fact>>,
    cancelled: Cell<bool>,
    /// The driver has begun, and whether it records the run.
    begun: Cell<bool>,
    recorded: Cell<bool>,
    /// The run has ended; its last events may still wait for what is stored before them.
    over: Cell<bool>,
    log: RefCell<Option<Rc<str>>>,
    wakers: RefCell<Vec<Waker>>,
}

impl RunHandle {
    /// JSON array of every event since the last call; waits for the first. `None` once the terminal event was taken.
    ///
    /// From the first call on the run is paced by its reader: it reads the model's stream no further than
    /// 256 KiB of events ahead.
    pub async fn next_events(&self) -> Option<String> {
        self.0.read.set(true);
        let batch = poll_fn(|context| {
            let batch = self.0.unread.take();
            if !batch.is_empty() {
                return Poll::Ready(Some(batch));
            }
            if self.0.terminal.borrow().is_some() {
                return Poll::Ready(None);
            }
            self.wait(context.waker());
            Poll::Pending
        })
        .await?;
        self.wake();
        Some(closed(batch))
    }

    /// JSON of the terminal event; waits for it. Takes no events and does not pace the run. Where nobody takes any, those that
    /// come from now on are kept up to 256 KiB: whoever takes them later misses what came before.
    pub async fn terminal(&self) -> Rc<str> {
        self.0.awaited.set(true);
        poll_fn(|context| match &*self.0.terminal.borrow() {
            Some(terminal) => Poll::Ready(terminal.clone()),
            None => {
                self.wait(context.waker());
                Poll::Pending
            }
        })
        .await
    }

    /// Says whether somebody is there who can answer approval requests. Until somebody is, calls that need an
    /// approval are denied.
    pub fn set_answerable(&self, answerable: bool) {
        self.push(Fact::Listening(answerable));
    }

    /// Lets the waiting call be made.
    ///
    /// # Errors
    ///
    /// `misuse` when no call of that id waits for an approval.
    pub fn approve(&self, id: &str) -> Result<()> {
        self.answered("approve", id)?;
        self.push(Fact::Approved { id: id.to_owned() });
        Ok(())
    }

    /// The same, and all calls that are alike are not asked for any more: `always` those with the same arguments, also in
    /// other runs; else all of this tool in this run.
    ///
    /// # Errors
    ///
    /// As [`RunHandle::approve`].
    pub fn approve_alike(&self, id: &str, always: bool) -> Result<()> {
        self.answered("approve", id)?;
        self.push(Fact::Remember { id: id.to_owned(), always });
        self.push(Fact::Approved { id: id.to_owned() });
        Ok(())
    }

    /// Refuses the waiting call; the model is told why.
    ///
    /// # Errors
    ///
    /// `misuse` when no call of that id waits for an approval.
    pub fn deny(&self, id: &str, why: Option<&str>) -> Result<()> {
        self.answered("deny", id)?;
        self.push(Fact::Denied { id: id.to_owned(), why: why.map(str::to_owned) });
        Ok(())
    }

    /// Answers what a server wants of the user: `{ action: "accept" | "decline" | "cancel", content? }`, null for cancel.
    /// Fields of a form that `content` leaves out get their defaults.
    ///
    /// # Errors
    ///
    /// `misuse` when nothing of that id is asked; `config`, with the path below `value`, when the answer does not fit. It
    /// can then be given again.
    pub fn answer(&self, id: &str, value: Value) -> Result<()> {
        let mut asked = self.0.asked.borrow_mut();
        let Some(place) = asked.iter().position(|(known, ..)| known == id) else {
            return Err(Error::new(Code::Misuse, ["answer: nothing of the id `", id, "` is asked"].concat()));
        };
        if let Err(Wrong { path, words }) = asked[place].2.result(value.clone()) {
            let path = if path.is_empty() { "value".to_owned() } else { ["value.", &path].concat() };
            return Err(Error::config(path, &words));
        }
        asked.remove(place);
        drop(asked);
        self.push(Fact::Answered { id: id.to_owned(), answer: value });
        Ok(())
    }

    /// Says something while the run is under way: it joins at the next turn, or with `follow_up` once the model has no
    /// more to say.
    ///
    /// # Errors
    ///
    /// `misuse` when the run has ended.
    pub fn steer(&self, text: String, follow_up: bool) -> Result<()> {
        if self.0.over.get() || self.0.terminal.borrow().is_some() {
            let action = if follow_up { "followUp" } else { "steer" };
            return Err(Error::new(Code::Misuse, [action, ": the run has ended; start another one"].concat()));
        }
        // Before what came in and was not looked at yet: the end of the run might be in it.
        let mut facts = self.0.facts.borrow_mut();
        let place = facts.iter().take_while(|fact| matches!(fact, Fact::Steered { .. })).count();
        facts.insert(place, Fact::Steered { text, follow_up });
        drop(facts);
        self.wake();
        Ok(())
    }

    /// Has the run put away when it waits for approvals alone: its last event is `suspended` then.
    ///
    /// # Errors
    ///
    /// `misuse` when the run has begun and is not recorded: call it right after the run was started.
    pub fn suspend(&self) -> Result<()> {
        if self.0.begun.get() && !self.0.recorded.get() {
            let words = "onSuspend: the run has begun and is not recorded; call it right after run(), or set `journal`";
            return Err(Error::new(Code::Misuse, words));
        }
        self.set_recorded();
        self.push(Fact::Suspending);
        Ok(())
    }

    /// The log of a run that has ended; `None` before, and for one that is not recorded.
    pub fn log(&self) -> Option<Rc<str>> {
        self.0.log.borrow().clone()
    }

    /// Lets go of what is kept of a run that has ended, and gives the events that nobody took: [`RunHandle::terminal`] and
    /// [`RunHandle::log`] have nothing any more.
    pub fn let_go(&self) -> Option<String> {
        self.0.terminal.borrow().as_ref()?;
        *self.0.terminal.borrow_mut() = Some("null".into());
        self.0.log.take();
        let unread = self.0.unread.take();
        if unread.is_empty() { None } else { Some(closed(unread)) }
    }

    pub(crate) fn set_log(&self, log: Option<String>) {
        *self.0.log.borrow_mut() = log.map(Rc::from);
    }

    /// The run has ended: it takes nothing in any more.
    pub(crate) fn set_over(&self) {
        self.0.over.set(true);
        self.0.waiting.borrow_mut().clear();
    }

    /// The run is to be recorded.
    pub(crate) fn set_recorded(&self) {
        self.0.recorded.set(true);
    }

    /// The driver begins: whether the run is to be recorded.
    pub(crate) fn begin(&self) -> bool {
        self.0.begun.set(true);
        self.0.recorded.get()
    }

    fn answered(&self, action: &str, id: &str) -> Result<()> {
        let mut waiting = self.0.waiting.borrow_mut();
        match waiting.iter().position(|known| known == id) {
            Some(place) => {
                waiting.remove(place);
                Ok(())
            }
            None => Err(Error::new(Code::Misuse, format!("{action}: no call `{id}` waits for an approval"))),
        }
    }

    /// Cancels the run; again, or after its end, does nothing.
    pub fn cancel(&self) {
        if !self.0.cancelled.replace(true) {
            self.push(Fact::Cancelled);
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.cancelled.get()
    }

    pub(crate) fn push(&self, fact: Fact) {
        self.0.facts.borrow_mut().push_back(fact);
        self.wake();
    }

    pub(crate) fn take_fact(&self) -> Option<Fact> {
        self.0.facts.borrow_mut().pop_front()
    }

    pub(crate) fn has_facts(&self) -> bool {
        !self.0.facts.borrow().is_empty()
    }

    /// Puts events out for the reader.
    pub(crate) fn publish(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut unread = self.0.unread.borrow_mut();
        for event in events {
            if unread.len() > HIGH_WATER && self.0.awaited.get() && !self.0.read.get() {
                // Nobody reads, and a run may be long.
                unread.clear();
            }
            match &event {
                Event::ApprovalRequest { id, .. } => self.0.waiting.borrow_mut().push(id.clone()),
                Event::Approved { id } => self.0.waiting.borrow_mut().retain(|known| known != id),
                Event::ToolResult { id, .. } => {
                    self.0.waiting.borrow_mut().retain(|known| known != id);
                    self.0.asked.borrow_mut().retain(|(_, call, _)| call != id);
                }
                Event::InputRequest { id, call_id, message, schema, url, .. } => {
                    let message = message.clone();
                    let ask = match (schema, url) {
                        (_, Some(url)) => Ask::Url { message, url: url.clone() },
                        (schema, None) => Ask::Form { message, schema: schema.clone().unwrap_or_default() },
                    };
                    self.0.asked.borrow_mut().push((id.clone(), call_id.clone(), ask));
                }
                _ => {}
            }
            let opening = if unread.is_empty() { b'[' } else { b',' };
            unread.push(opening);
            let start = unread.len();
            serde_json::to_writer(&mut *unread, &event).expect("events have string keys, and a Vec takes all bytes");
            if event.is_terminal() {
                self.0.waiting.borrow_mut().clear();
                let text = String::from_utf8_lossy(&unread[start..]);
                *self.0.terminal.borrow_mut() = Some(text.into());
            }
        }
        drop(unread);
        self.wake();
    }

    /// Waits until the reader has caught up; at once when nobody reads.
    pub(crate) async fn ready(&self) {
        poll_fn(|context| {
            if !self.0.read.get() || self.0.unread.borrow().len() < HIGH_WATER {
                return Poll::Ready(());
            }
            self.wait(context.waker());
            Poll::Pending
        })
        .await;
    }

    /// Asks to be woken at the next change of any kind.
    pub(crate) fn wait(&self, waker: &Waker) {
        let mut wakers = self.0.wakers.borrow_mut();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    fn wake(&self) {
        for waker in self.0.wakers.take() {
            waker.wake();
        }
    }
}

/// The text of an array that is still open.
fn closed(mut events: Vec<u8>) -> String {
    events.push(b']');
    String::from_utf8(events).expect("serde_json writes UTF-8")
}

#[cfg(not(target_arch = "wasm32"))]
impl RunHandle {
    /// Reads a run to its end, as a loop of the app does; for tests.
    ///
    /// # Panics
    ///
    /// Never: the batches are JSON arrays.
    pub async fn all_events(&self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(batch) = self.next_events().await {
            events.extend(serde_json::from_str::<Vec<Value>>(&batch).expect("a JSON array"));
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::llm::types::Usage;
    use futures_util::FutureExt;
    use serde_json::json;

    fn delta(text: &str) -> Event {
        Event::TextDelta { text: text.into() }
    }

    #[test]
    fn events_come_in_batches_and_end_after_the_terminal_one() {
        let handle = RunHandle::default();
        assert!(handle.next_events().now_or_never().is_none());
        handle.publish(vec![delta("a"), delta("b")]);
        handle.publish(vec![delta("c")]);
        let batch: Value = serde_json::from_str(&handle.next_events().now_or_never().unwrap().unwrap()).unwrap();
        assert_eq!(batch.as_array().unwrap().len(), 3);
        let error = Error::new(Code::Limit, "enough");
        handle.publish(vec![Event::Error { run_id: "r".into(), error, messages: vec![], usage: Usage::default() }]);
        assert!(handle.next_events().now_or_never().unwrap().is_some());
        assert_eq!(handle.next_events().now_or_never(), Some(None));
        assert!(handle.terminal().now_or_never().unwrap().contains("enough"));
    }

    #[test]
    fn a_run_that_has_ended_takes_nothing_in_while_its_last_events_wait() {
        let handle = RunHandle::default();
        let (id, name, reason) = ("t1".to_owned(), "s.t".to_owned(), String::new());
        handle.publish(vec![Event::ApprovalRequest { id, name, input: json!({}), reason }]);
        handle.steer("also that".into(), false).unwrap();
        assert_eq!(handle.take_fact(), Some(Fact::Steered { text: "also that".into(), follow_up: false }));
        handle.set_over();
        assert_eq!(handle.steer("and that".into(), true).unwrap_err().code, Code::Misuse);
        assert_eq!(handle.approve("t1").unwrap_err().code, Code::Misuse);
        assert!(!handle.has_facts());
    }

    #[test]
    fn a_slow_reader_holds_the_driver_and_no_reader_does_not() {
        let handle = RunHandle::default();
        handle.publish(vec![delta(&"x".repeat(HIGH_WATER))]);
        assert!(handle.ready().now_or_never().is_some());
        handle.next_events().now_or_never().unwrap();
        handle.publish(vec![delta(&"x".repeat(HIGH_WATER))]);
        assert!(handle.ready().now_or_never().is_none());
        handle.next_events().now_or_never().unwrap();
        assert!(handle.ready().now_or_never().is_some());
    }

    #[test]
    fn what_nobody_reads_is_kept_only_so_long_as_nobody_waits_for_the_end_alone() {
        let long = || vec![delta(&"x".repeat(HIGH_WATER))];
        let error = Error::new(Code::Limit, "enough");
        let end = || {
            vec![Event::Error { run_id: "r".into(), error: error.clone(), messages: vec![], usage: Usage::default() }]
        };
        let handle = RunHandle::default();
        (0..3).for_each(|_| handle.publish(long()));
        handle.publish(end());
        let all: Vec<Value> = serde_json::from_str(&handle.next_events().now_or_never().unwrap().unwrap()).unwrap();
        assert_eq!(all.len(), 4);
        let handle = RunHandle::default();
        assert!(handle.terminal().now_or_never().is_none());
        (0..30).for_each(|_| handle.publish(long()));
        assert!(handle.0.unread.borrow().len() < 3 * HIGH_WATER);
        handle.publish(end());
        assert!(handle.terminal().now_or_never().is_some());
        let rest: Vec<Value> = serde_json::from_str(&handle.next_events().now_or_never().unwrap().unwrap()).unwrap();
        assert_eq!(rest.last().unwrap()["type"], "error");
        // Whoever reads as well misses nothing.
        let handle = RunHandle::default();
        assert!(handle.next_events().now_or_never().is_none() && handle.terminal().now_or_never().is_none());
        (0..3).for_each(|_| handle.publish(long()));
        let all: Vec<Value> = serde_json::from_str(&handle.next_events().now_or_never().unwrap().unwrap()).unwrap();
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn an_answer_has_to_fit_what_is_asked() {
        let handle = RunHandle::default();
        let schema = json!({ "required": ["days"], "properties": { "days": { "type": "integer" }, "city": { "type": "string", "default": "Oslo" } } });
        let request = Event::InputRequest {
            id: "t1/1".into(),
            call_id: "t1".into(),
            server: "s".into(),
            message: "m".into(),
            schema: Some(schema),
            url: None,
        };
        handle.publish(vec![request.clone()]);
        let path = |value: Value| handle.answer("t1/1", value).unwrap_err().path.clone();
        assert_eq!(path(json!({ "action": "accept", "content": {} })).as_deref(), Some("value.content.days"));
        assert_eq!(path(json!("yes")).as_deref(), Some("value"));
        let answer = json!({ "action": "accept", "content": { "days": 3 } });
        handle.answer("t1/1", answer.clone()).unwrap();
        assert_eq!(handle.take_fact(), Some(Fact::Answered { id: "t1/1".into(), answer }));
        assert_eq!(handle.answer("t1/1", Value::Null).unwrap_err().code, Code::Misuse);
        handle.publish(vec![request]);
        let content = Vec::new();
        let (structured_content, outcome) = (None, crate::agent::event::Outcome::Ok);
        let duration_ms = crate::time::Millis(0);
        handle.publish(vec![Event::ToolResult {
            id: "t1".into(),
            content,
            structured_content,
            is_error: false,
            outcome,
            duration_ms,
            cached: None,
            handle: None,
        }]);
        assert_eq!(handle.answer("t1/1", Value::Null).unwrap_err().code, Code::Misuse, "the call is over");
    }

    #[test]
    fn what_the_user_says_comes_before_an_end_that_nobody_has_seen_and_never_after_it() {
        let handle = RunHandle::default();
        handle.push(Fact::ModelEnded);
        handle.steer("one".into(), false).unwrap();
        handle.steer("two".into(), true).unwrap();
        let facts: Vec<Fact> = std::iter::from_fn(|| handle.take_fact()).collect();
        let said = |text: &str, follow_up| Fact::Steered { text: text.into(), follow_up };
        assert_eq!(facts, [said("one", false), said("two", true), Fact::ModelEnded]);
        let error = Error::new(Code::Limit, "enough");
        handle.publish(vec![Event::Error { run_id: "r".into(), error, messages: vec![], usage: Usage::default() }]);
        assert_eq!(handle.steer("late".into(), false).unwrap_err().code, Code::Misuse);
    }

    #[test]
    fn answers_to_nothing_are_misuse() {
        let handle = RunHandle::default();
        assert_eq!(handle.approve("t1").unwrap_err().code, Code::Misuse);
        let request =
            Event::ApprovalRequest { id: "t1".into(), name: "s.t".into(), input: json!({}), reason: "writes".into() };
        handle.publish(vec![request]);
        handle.approve("t1").unwrap();
        assert_eq!(handle.deny("t1", None).unwrap_err().code, Code::Misuse);
    }
}
