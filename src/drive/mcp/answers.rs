//! Answers what servers ask: between the rounds of a modern request, and while a legacy one is still open.
//!
//! What is asked, who may be asked, and what goes back is decided in [`crate::mcp::input`]; here it is waited for. Nobody
//! is hurried: while somebody thinks, no clock of a request runs.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use serde_json::{Map, Value};

use super::transfer::REPLY;
use super::{Connection, Inner};
use crate::drive::wait::{Cancel, Jobs, unless_cancelled};
use crate::error::{Code, Error, Result};
use crate::jsonrpc::{self, RequestId};
use crate::mcp::era::Era;
use crate::mcp::exchange::{Answer, Message};
use crate::mcp::input::rounds::Rounds;
use crate::mcp::input::{Ask, Roots, required_urls};
use crate::mcp::legacy::{self, Session};
use crate::mcp::request::Call;
use crate::mcp::tasks::Polling;
use crate::platform::{AppCall, Platform};
use crate::time::Millis;

/// Who stands by a call and can put questions to the user, such as a run with a reader.
pub trait Attendant {
    /// Puts a form or URL to the user: `{ action, content? }` that fits it, or `None` when nobody is there to be asked.
    fn ask<'a>(&'a self, server: &'a str, ask: &'a Ask) -> Pin<Box<dyn Future<Output = Option<Value>> + 'a>>;

    /// Whether there is anybody to put questions to; an older server is listened to for their sake.
    fn is_asked(&self) -> bool;

    /// Is told that the server made a task of the call, by the id with which it can be resumed.
    fn task(&self, id: &str);

    /// What every request for the call carries in `_meta` besides, such as the context of a trace; the members of a
    /// request's own win.
    fn meta(&self) -> &Map<String, Value>;
}

/// Most requests of a legacy server that are answered at once for one request of ours; more are refused.
pub(super) const MOST_AT_ONCE: usize = 32;
/// Ids of its requests that are remembered for one stream.
const MOST_KNOWN: usize = 128;

impl<P: Platform> Connection<P> {
    /// The same connection with whoever stands by its calls.
    pub fn attended(&self, attendant: Option<Rc<dyn Attendant>>) -> Connection<P> {
        Connection(self.0.clone(), attendant)
    }

    /// Sends any request and waits for its answer; connects first if need be.
    ///
    /// `timeout` is the longest silence: each message of this request starts it anew, up to ten times the timeout in
    /// all. `on_message` gets progress and other notices as they come. What the server asks meanwhile is answered by
    /// the functions of the app and by whoever stands by; that time does not count.
    ///
    /// Nothing is repeated, with one exception: a server that does not know our session any more, has changed its era,
    /// or wants input first, did not execute the request. Then it is sent again, with what was missing.
    ///
    /// # Errors
    ///
    /// `cancelled`, `timeout`, what [`connect`](Connection::connect) says, every way in which an answer can be wrong,
    /// see [`crate::mcp::exchange`], and in which it can be asked for too much, see [`Rounds::turn`].
    pub async fn request(
        &self,
        call: &Call<'_>,
        timeout: Millis,
        cancel: &Cancel,
        on_message: &mut dyn FnMut(Message),
    ) -> Result<Answer> {
        let what = call.label(&self.0.config.name);
        let mut rounds = Rounds::new(call.method, what.as_str());
        let mut visits = 0;
        loop {
            let mut params: Vec<(&str, &Value)> = call.params.to_vec();
            if rounds.has_begun() {
                params.retain(|(name, _)| !matches!(*name, "inputResponses" | "requestState"));
                for (name, value) in rounds.extras() {
                    params.push((name, value));
                }
            }
            let call = Call { params: &params, ..call.clone() };
            match self.once(&call, timeout, cancel, on_message).await {
                Ok(Answer::InputRequired { requests, state }) => {
                    self.0.asked.set(self.0.asked.get() + 1);
                    let asks = rounds.turn(requests, state, &self.0.config.answerers)?;
                    for (key, result) in self.answer_all(&what, asks, cancel).await? {
                        rounds.answer(&key, result);
                    }
                }
                Ok(answer) => match self.announced(&call, &what, answer)? {
                    Ok(answer) => return Ok(answer),
                    Err(polling) => {
                        let tool = call.subject().unwrap_or("");
                        let followed: Pin<Box<dyn Future<Output = _>>> =
                            Box::pin(self.follow(polling, tool, timeout, cancel, on_message));
                        return followed.await.map(Answer::Complete);
                    }
                },
                Err(failure) => {
                    // Of 2025-11-25: the user is to visit these pages before the request can be executed.
                    let urls = failure.rpc.as_deref().and_then(required_urls).unwrap_or_default();
                    if urls.is_empty() || visits == Rounds::MAX || !self.0.config.answerers.elicits() {
                        return Err(failure.error);
                    }
                    visits += 1;
                    let results = self.answer_all(&what, urls, cancel).await?;
                    if results.iter().any(|(_, result)| result.get("action") != Some(&Value::from("accept"))) {
                        return Err(failure.error);
                    }
                }
            }
        }
    }

    /// Tells a server of an older revision that the roots are others now, so that it asks for them again. Modern servers
    /// ask whenever they need them: nothing is sent to those, nor where there is no connection yet.
    pub async fn roots_changed(&self) {
        let link = self.0.status.borrow().link.clone();
        if let Some(link) = link.filter(|link| link.era == Era::Legacy && self.0.config.answerers.roots.is_some()) {
            let notice = jsonrpc::notification("notifications/roots/list_changed", &[]);
            self.0.post(notice, &link.session, REPLY).await;
        }
    }

    /// The answer, or the task that the server made of the call.
    fn announced(&self, call: &Call<'_>, what: &str, answer: Answer) -> Result<std::result::Result<Answer, Polling>> {
        match answer {
            Answer::Task(task) if call.method == "tools/call" => Polling::new(Era::Modern, what, &task).map(Err),
            Answer::Task(_) => {
                Err(Error::new(Code::Protocol, [what, ": the server made a task of what cannot be one"].concat()))
            }
            Answer::Complete(result) if call.task && result.contains_key("task") => {
                Polling::new(Era::Legacy, what, &result).map(Err)
            }
            answer => Ok(Ok(answer)),
        }
    }

    /// Answers everything that is asked at once, by the server's keys.
    ///
    /// # Errors
    ///
    /// `cancelled`; `misuse` when a function of the app failed or answered what does not fit. The others are then not
    /// waited for.
    pub(super) async fn answer_all(
        &self,
        what: &str,
        asks: Vec<(String, Ask)>,
        cancel: &Cancel,
    ) -> Result<Vec<(String, Value)>> {
        let answers = RefCell::new(Vec::new());
        let failed = RefCell::new(None);
        let mut jobs = Jobs::default();
        for (key, ask) in &asks {
            jobs.push(async {
                match self.0.answer(ask, self.1.as_deref()).await {
                    Ok(answer) => answers.borrow_mut().push((key.clone(), answer)),
                    Err(words) => *failed.borrow_mut() = Some(words),
                }
            });
        }
        let all = poll_fn(|context| {
            let over = jobs.poll(context).is_ready() || failed.borrow().is_some();
            if over { Poll::Ready(()) } else { Poll::Pending }
        });
        match unless_cancelled(cancel, unless_cancelled(&self.0.closed, all)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Error::new(Code::Cancelled, [what, ": the connection was closed"].concat())),
            Err(_) => return Err(Error::cancelled(what)),
        }
        drop(jobs);
        match failed.into_inner() {
            Some(words) => Err(Error::new(Code::Misuse, [what, ": ", &words].concat())),
            None => Ok(answers.into_inner()),
        }
    }
}

impl<P: Platform> Inner<P> {
    /// The result that the server gets for what it asks.
    ///
    /// A function of the app comes before whoever stands by: an app that gave one wants to be asked that way.
    ///
    /// # Errors
    ///
    /// Which function of the app failed, and how.
    async fn answer(&self, ask: &Ask, attendant: Option<&dyn Attendant>) -> std::result::Result<Value, String> {
        self.asked.set(self.asked.get() + 1);
        let answerers = &self.config.answerers;
        let (name, function) = match (ask, &answerers.roots) {
            (Ask::Form { .. } | Ask::Url { .. }, _) => ("onInput", answerers.input),
            (Ask::Sampling(_), _) => ("onSampling", answerers.sampling),
            (Ask::Roots, Some(Roots::Function(function))) => ("roots", Some(*function)),
            (Ask::Roots, Some(Roots::Fixed(_)) | None) => ("roots", None),
        };
        let answer = match (function, ask, &answerers.roots) {
            (Some(function), ..) => {
                let argument = ask.to_value(&self.config.name);
                let called = self.platform.call_app(AppCall { function, argument }).await;
                called.map_err(|thrown| [name, " failed: ", &thrown].concat())?
            }
            (None, Ask::Roots, Some(Roots::Fixed(roots))) => roots.clone(),
            _ => match attendant {
                Some(attendant) => attendant.ask(&self.config.name, ask).await.unwrap_or(Value::Null),
                None => Value::Null,
            },
        };
        ask.result(answer).map_err(|wrong| {
            let separator = if wrong.path.is_empty() { " answered wrongly: " } else { " answered wrongly: `" };
            let end = if wrong.path.is_empty() { "" } else { "`: " };
            [name, separator, &wrong.path, end, &wrong.words].concat()
        })
    }

    /// Answers one request of a legacy server. `thinking` is true while somebody is asked, so that clocks can stand.
    pub(super) async fn serve(
        &self,
        asked: Asked,
        session: &Session,
        attendant: Option<&dyn Attendant>,
        thinking: &Cell<bool>,
    ) {
        let Asked { id, method, params } = asked;
        let reply = if !self.config.answerers.declares(&method) {
            legacy::reply(&id, &method)
        } else {
            match Ask::read(&method, params) {
                Err(unfit) => jsonrpc::error(&id, unfit.code, unfit.words),
                Ok(ask) => {
                    thinking.set(true);
                    let answer = self.answer(&ask, attendant).await;
                    thinking.set(false);
                    match answer {
                        Ok(result) => jsonrpc::result(&id, &result),
                        // What went wrong is the app's own business.
                        Err(_) => jsonrpc::error(&id, -32603, "the client could not answer"),
                    }
                }
            }
        };
        self.post(reply, session, REPLY).await;
    }
}

/// A request of a legacy server.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) id: RequestId,
    pub(super) method: String,
    pub(super) params: Option<Value>,
}

impl Asked {
    fn message(&self) -> jsonrpc::Message {
        jsonrpc::Message::Request { id: self.id.clone(), method: self.method.clone(), params: self.params.clone() }
    }
}

/// The requests of a legacy server that are being answered while a request of ours, or a stream, is open. They end with
/// it.
#[derive(Default)]
pub(super) struct Desk<'a> {
    open: Vec<Serving<'a>>,
    /// Those that came already: a stream that is taken up again may bring them twice.
    known: Vec<RequestId>,
}

struct Serving<'a> {
    asked: Asked,
    thinking: Rc<Cell<bool>>,
    work: Pin<Box<dyn Future<Output = ()> + 'a>>,
}

impl<'a> Desk<'a> {
    /// Takes a request to be answered. One that came before is left alone; one on the stream of a session that tabs share
    /// is for the tab that has a call under way.
    pub(super) fn take<P: Platform>(
        &mut self,
        inner: &'a Inner<P>,
        asked: Asked,
        session: &'a Session,
        attendant: Option<&'a dyn Attendant>,
        streams: bool,
    ) {
        if self.known.contains(&asked.id) {
            return;
        }
        if self.known.len() == MOST_KNOWN {
            self.known.remove(0);
        }
        self.known.push(asked.id.clone());
        let again = asked.clone();
        if streams && inner.config.answerers.declares(&asked.method) && inner.hub.hand_on(&asked.message()) {
            return;
        }
        let thinking = Rc::new(Cell::new(false));
        let shared = thinking.clone();
        let work: Pin<Box<dyn Future<Output = ()> + 'a>> = if self.open.len() < MOST_AT_ONCE {
            Box::pin(async move { inner.serve(asked, session, attendant, &shared).await })
        } else {
            let refusal = jsonrpc::error(&asked.id, -32603, "too many requests at once");
            Box::pin(inner.post(refusal, session, REPLY))
        };
        self.open.push(Serving { asked: again, thinking, work });
    }

    /// Drops what the server no longer wants to know, if that is what the notification says.
    pub(super) fn withdraw(&mut self, method: &str, params: Option<&Value>) {
        if let Some(id) =
            params.filter(|_| method == "notifications/cancelled").and_then(|params| params.get("requestId"))
        {
            self.open.retain(|serving| !serving.asked.id.equals(id));
        }
    }

    /// Lets every answer go on as far as it can.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        self.open.retain_mut(|serving| serving.work.as_mut().poll(context).is_pending());
    }

    /// Somebody is being asked.
    pub(super) fn is_thinking(&self) -> bool {
        self.open.iter().any(|serving| serving.thinking.get())
    }

    /// Something is not answered yet, or its answer is on its way.
    pub(super) fn is_busy(&self) -> bool {
        !self.open.is_empty()
    }

    /// Ends: what somebody still thinks about is given up, and given back; what is on its way arrives.
    pub(super) async fn close(&mut self) -> Vec<Asked> {
        let mut left = Vec::new();
        poll_fn(|context| {
            self.poll(context);
            let thought_about = self.open.extract_if(.., |serving| serving.thinking.get());
            left.extend(thought_about.map(|serving| serving.asked));
            if self.open.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        left
    }
}
