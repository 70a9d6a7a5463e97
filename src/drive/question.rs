//! What servers ask of the user within a run: told to the run as a fact, answered by a step of it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use serde_json::{Map, Value};

use crate::agent::fact::Fact;
use crate::drive::handle::RunHandle;
use crate::drive::mcp::Attendant;
use crate::mcp::input::Ask;

/// The questions of a run that wait for their answers. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Questions(Rc<Open>);

#[derive(Default)]
struct Open {
    asked: Cell<u32>,
    waiting: RefCell<Vec<Waiting>>,
}

struct Waiting {
    id: String,
    answer: Option<Value>,
    waker: Option<Waker>,
}

impl Questions {
    /// Hands out an answer; one that nobody waits for any more is dropped.
    pub(crate) fn answer(&self, id: &str, answer: Value) {
        let mut waiting = self.0.waiting.borrow_mut();
        let Some(found) = waiting.iter_mut().find(|waiting| waiting.id == id) else { return };
        found.answer = Some(answer);
        let waker = found.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// A new question of that call.
    fn open(&self, call: &str) -> Question<'_> {
        self.0.asked.set(self.0.asked.get() + 1);
        let id = [call, "/", &self.0.asked.get().to_string()].concat();
        self.0.waiting.borrow_mut().push(Waiting { id: id.clone(), answer: None, waker: None });
        Question { questions: self, id }
    }
}

/// A question that waits; forgotten when dropped.
struct Question<'a> {
    questions: &'a Questions,
    id: String,
}

impl Question<'_> {
    async fn answer(&self) -> Value {
        poll_fn(|context| {
            let mut waiting = self.questions.0.waiting.borrow_mut();
            let Some(ours) = waiting.iter_mut().find(|waiting| waiting.id == self.id) else { return Poll::Pending };
            if let Some(answer) = ours.answer.take() {
                return Poll::Ready(answer);
            }
            ours.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.questions.0.waiting.borrow_mut().retain(|waiting| waiting.id != self.id);
    }
}

/// Stands by one call of a run.
pub(crate) struct StandingBy {
    pub(crate) handle: RunHandle,
    pub(crate) questions: Questions,
    /// Id of the call.
    pub(crate) call: String,
    /// What its requests carry in `_meta` besides.
    pub(crate) meta: Rc<Map<String, Value>>,
}

impl Attendant for StandingBy {
    fn is_asked(&self) -> bool {
        true
    }

    fn meta(&self) -> &Map<String, Value> {
        &self.meta
    }

    fn task(&self, id: &str) {
        self.handle.push(Fact::ToolTask { id: self.call.clone(), task: id.to_owned() });
    }

    fn ask<'a>(&'a self, server: &'a str, ask: &'a Ask) -> Pin<Box<dyn Future<Output = Option<Value>> + 'a>> {
        let (message, schema, url) = match ask {
            Ask::Form { message, schema } => (message, Some(schema.clone()), None),
            Ask::Url { message, url } => (message, None, Some(url.clone())),
            // These are not the user's to answer.
            Ask::Sampling(_) | Ask::Roots => return Box::pin(async { None }),
        };
        Box::pin(async move {
            let question = self.questions.open(&self.call);
            self.handle.push(Fact::InputAsked {
                id: question.id.clone(),
                call: self.call.clone(),
                server: server.to_owned(),
                message: message.clone(),
                schema,
                url,
            });
            Some(question.answer().await)
        })
    }
}
