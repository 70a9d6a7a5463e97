//! Follows calls that a server made tasks of, to their results; remembers them, so that they can be taken up again.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use serde_json::{Map, Value, json};

use super::{COURTESY, Connection};
use crate::drive::wait::{Cancel, Jobs, unless_cancelled, within};
use crate::error::{Code, Error, Result};
use crate::mcp::exchange::{Answer, Failure, Message};
use crate::mcp::request::Call;
use crate::mcp::tasks::{Polling, Step};
use crate::mcp::types::Progress;
use crate::platform::{self, Platform, Space, Write};
use crate::time::Millis;

/// Tasks of one server that are remembered at most; then the oldest is forgotten.
const MOST_REMEMBERED: usize = 100;

impl<P: Platform> Connection<P> {
    /// Follows a task to the result of its call. It is remembered in the platform's store until it ends; a cancel cancels
    /// it, the close of the connection does not.
    ///
    /// # Errors
    ///
    /// `cancelled`, and what [`Polling`] says.
    pub(super) async fn follow(
        &self,
        mut polling: Polling,
        tool: &str,
        timeout: Millis,
        cancel: &Cancel,
        on_message: &mut dyn FnMut(Message),
    ) -> Result<Map<String, Value>> {
        // Whoever is told of a task may look for it at once.
        self.remember(polling.id(), Some(tool)).await;
        if let Some(attendant) = &self.1 {
            attendant.task(polling.id());
        }
        let outcome = self.poll(&mut polling, timeout, cancel, on_message).await;
        let failed = outcome.as_ref().err();
        if cancel.is_cancelled() || failed.is_some_and(|error| error.code == Code::Misuse) {
            // Nobody will fetch the result, or answer what the task waits for.
            let (closed, mut ignore) = (&self.0.closed, |_| {});
            let farewell = self.task_request("tasks/cancel", polling.id(), None, COURTESY, closed, &mut ignore);
            let _ = within(&*self.0.platform, COURTESY, &self.0.closed, farewell).await;
            self.remember(polling.id(), None).await;
        } else if failed.is_none_or(|error| error.code == Code::Protocol) {
            self.remember(polling.id(), None).await;
        }
        outcome
    }

    async fn poll(
        &self,
        polling: &mut Polling,
        timeout: Millis,
        cancel: &Cancel,
        on_message: &mut dyn FnMut(Message),
    ) -> Result<Map<String, Value>> {
        let answers = RefCell::new(Vec::<(String, Value)>::new());
        let failed = RefCell::new(None);
        let mut jobs = Jobs::default();
        loop {
            for (key, result) in answers.take() {
                polling.answered(&key, result);
            }
            if let Some(error) = failed.take() {
                return Err(error);
            }
            match polling.next(self.0.platform.random()) {
                Step::Wait(delay) => {
                    let mut slept = pin!(self.0.platform.sleep(delay));
                    let wait = poll_fn(|context| {
                        let _ = jobs.poll(context);
                        if !answers.borrow().is_empty() || failed.borrow().is_some() {
                            return Poll::Ready(());
                        }
                        slept.as_mut().poll(context)
                    });
                    match unless_cancelled(cancel, unless_cancelled(&self.0.closed, wait)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => {
                            let words = ["task ", polling.id(), ": the connection was closed"].concat();
                            return Err(Error::new(Code::Cancelled, words));
                        }
                        Err(_) => return Err(Error::cancelled(&["task ", polling.id()].concat())),
                    }
                }
                Step::Ask(asks) => {
                    for (key, ask) in asks {
                        let (answers, failed) = (&answers, &failed);
                        jobs.push(async move {
                            match self.answer_all("tasks/update", vec![(key, ask)], cancel).await {
                                Ok(answer) => answers.borrow_mut().extend(answer),
                                Err(error) => *failed.borrow_mut() = Some(error),
                            }
                        });
                    }
                }
                Step::Get => {
                    let got = self.task_request("tasks/get", polling.id(), None, timeout, cancel, on_message).await;
                    polling.got(got, &self.0.config.answerers);
                    if let Some(message) = polling.take_message() {
                        let progress = f64::from(polling.polls());
                        on_message(Message::Progress(Progress { progress, total: None, message: Some(message) }));
                    }
                }
                Step::Update(sent) => {
                    let id = polling.id();
                    let updated = self.task_request("tasks/update", id, Some(&sent), timeout, cancel, on_message).await;
                    polling.updated(sent, updated.map(|_| ()));
                }
                Step::Result => {
                    let result =
                        self.task_request("tasks/result", polling.id(), None, timeout, cancel, on_message).await;
                    polling.resulted(result);
                }
                Step::Done(result) => return Ok(result),
                Step::Failed(error) => return Err(*error),
            }
        }
    }

    async fn task_request(
        &self,
        method: &str,
        id: &str,
        responses: Option<&Value>,
        timeout: Millis,
        cancel: &Cancel,
        on_message: &mut dyn FnMut(Message),
    ) -> std::result::Result<Map<String, Value>, Failure> {
        let id = Value::from(id);
        let mut params = vec![("taskId", &id)];
        params.extend(responses.map(|responses| ("inputResponses", responses)));
        let call = Call::new(method, &params);
        match self.once(&call, timeout, cancel, on_message).await? {
            Answer::Complete(result) => Ok(result),
            _ => {
                let what = call.label(&self.0.config.name);
                Err(Error::new(Code::Protocol, [&what, ": answered without a result"].concat()).into())
            }
        }
    }

    /// Takes up a task by its id, such as after a reload, and follows it to the result of its call.
    ///
    /// # Errors
    ///
    /// As a call that became a task; `protocol` when the server does not know the task any more.
    pub async fn resume_task(
        &self,
        id: &str,
        timeout: Option<Millis>,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Map<String, Value>> {
        self.connect(cancel).await?;
        let what = ["task ", id, " on ", &self.0.config.name].concat();
        let polling = Polling::resume(self.era(), &what, id);
        let known = self.tasks().await;
        let tool = known.iter().find(|task| task["taskId"] == id).and_then(|task| task["tool"].as_str()).unwrap_or("");
        let mut on_message = |message| {
            if let Message::Progress(progress) = message {
                on_progress(progress);
            }
        };
        self.follow(polling, tool, timeout.unwrap_or(self.0.config.timeout), cancel, &mut on_message).await
    }

    /// Cancels a task by its id, and forgets it.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn cancel_task(&self, id: &str, cancel: &Cancel) -> Result<()> {
        let timeout = self.0.config.timeout;
        let cancelled = self.task_request("tasks/cancel", id, None, timeout, cancel, &mut |_| {}).await;
        self.remember(id, None).await;
        cancelled.map(|_| ()).map_err(|failure| failure.error)
    }

    /// The tasks of this server that are remembered: `{ taskId, tool, startedAt }` each, the oldest first.
    pub async fn tasks(&self) -> Vec<Value> {
        let stored = self.0.platform.load(Space::Servers, &self.place()).await;
        let parsed = stored.and_then(|stored| serde_json::from_slice(&stored).ok());
        let mut tasks: Vec<Value> = match parsed {
            Some(Value::Array(tasks)) => tasks,
            _ => Vec::new(),
        };
        tasks.retain(|task| task.get("taskId").is_some_and(Value::is_string));
        tasks
    }

    /// Remembers a task of that tool, or forgets it.
    async fn remember(&self, id: &str, tool: Option<&str>) {
        let _turn = self.0.ledger.lock().await;
        let mut tasks = self.tasks().await;
        let known = tasks.iter().position(|task| task["taskId"] == id);
        match (known, tool) {
            (Some(_), Some(_)) | (None, None) => return,
            (Some(place), None) => {
                tasks.remove(place);
            }
            (None, Some(tool)) => {
                if tasks.len() >= MOST_REMEMBERED {
                    tasks.remove(0);
                }
                tasks.push(json!({ "taskId": id, "tool": tool, "startedAt": self.0.platform.now().0 }));
            }
        }
        let text = crate::json::text(&Value::Array(tasks));
        let value = Some(text.into_bytes()).filter(|text| text != b"[]");
        // Best effort: a task that is not remembered cannot be taken up by another page.
        let _ = self.0.platform.write(vec![Write::set(Space::Servers, self.place(), value)]).await;
    }

    fn place(&self) -> String {
        platform::key(&[&self.0.config.identity(), "tasks"])
    }
}
