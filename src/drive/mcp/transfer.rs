//! One request and its answer, under all the clocks that may end it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use serde_json::{Value, json};

use super::answers::{Asked, Attendant, Desk};
use super::single::beside;
use super::stream::Taker;
use super::{COURTESY, Inner};
use crate::drive::authorizer::{Authorizer, Hopeless, Refused};
use crate::drive::wait::{Cancel, unless_cancelled, within};
use crate::error::{Code, Error, Retry};
use crate::http::Request;
use crate::mcp::config::Token;
use crate::mcp::era::Era;
use crate::mcp::exchange::{Answer, Exchange, Failure, Message};
use crate::mcp::legacy::resume::Resume;
use crate::mcp::legacy::{self, Session};
use crate::mcp::listen::Pulse;
use crate::platform::{AppCall, Platform};
use crate::secret::Secret;
use crate::time::Millis;

/// Builds the request once its id and the token are known.
pub(super) type Build<'a> = &'a dyn Fn(u64, Option<&Secret>) -> Request;

/// How long the delivery of an answer to a request of the server may take.
pub(super) const REPLY: Millis = Millis::from_secs(10);

/// The longest time of one request is that many timeouts.
const RESTARTS: u64 = 10;

/// One request to be sent.
pub(super) struct Job<'a> {
    pub(super) era: Era,
    /// Name of the request in errors.
    pub(super) what: String,
    /// It expects an answer, so that it gets an id; notifications do not.
    pub(super) expects: bool,
    /// It may be sent twice.
    pub(super) safe: bool,
    /// The legacy session that it belongs to; then the server is told when the answer is no longer wanted.
    pub(super) session: Option<&'a Session>,
    pub(super) build: Build<'a>,
    /// Who stands by, for what the server asks meanwhile.
    pub(super) attendant: Option<&'a dyn Attendant>,
    /// Somebody is being asked, so no clock runs.
    pub(super) thinking: Cell<bool>,
    /// Longest silence.
    pub(super) timeout: Millis,
    pub(super) cancel: &'a Cancel,
    /// It is a stream that stays open for whatever may come.
    pub(super) track: Option<&'a Track>,
}

/// What becomes of a stream that stays open.
#[derive(Default)]
pub(super) struct Track {
    /// It is there: from now on it may be silent for any time.
    pub(super) opened: Cell<bool>,
    pub(super) resume: RefCell<Resume>,
    pub(super) pulse: RefCell<Pulse>,
    /// What the server asked on it and somebody thought about when it broke off: asked again on the next one.
    pub(super) left: RefCell<Vec<Asked>>,
    /// It is only to bring what was missed, and silence ends it.
    pub(super) brief: bool,
    /// Such a one is under way before this one.
    pub(super) catching_up: Cell<bool>,
    /// The server said last that there is one already; and whether that was behind such a one.
    pub(super) refused: Cell<(bool, bool)>,
}

impl Job<'_> {
    /// Something came, and for that long nothing will.
    pub(super) fn hear(&self, heard: &Cell<Option<Millis>>, announced: Millis) {
        heard.set(Some(Millis(self.timeout.0.saturating_add(announced.0))));
    }
}

/// The answer, and the session id that came in its headers.
pub(super) struct Reply {
    pub(super) answer: Answer,
    pub(super) session: Option<String>,
}

/// Why a request was given up.
#[derive(Clone, Copy, PartialEq)]
enum Halt {
    Cancelled,
    Closed,
    /// Nothing came for the timeout.
    Silence,
    /// It went on for too long, although messages came.
    Overlong,
}

impl<P: Platform> Inner<P> {
    /// Sends a request and reads its answer to the end. If the server wants other credentials and the app lets us
    /// come by them, it is sent again with those, under a new id; it was not executed.
    pub(super) async fn run(&self, job: &Job<'_>, on_message: &mut dyn FnMut(Message)) -> Result<Reply, Failure> {
        let Some(authorizer) = &self.authorizer else {
            return self.attempt_once(job, None, &RefCell::default(), on_message).await;
        };
        let mut tries = Value::Null;
        loop {
            let token = self.patiently(job, authorizer.token()).await??;
            let refusal = RefCell::default();
            let outcome = self.attempt_once(job, token.as_ref(), &refusal, on_message).await;
            let (mut failure, refusal) = match (outcome, refusal.take()) {
                (Err(failure), Some(refusal)) => (failure, refusal),
                (outcome, _) => return outcome,
            };
            match self.patiently(job, authorizer.remedy(&refusal, token.as_ref(), &mut tries)).await? {
                Ok(()) => {}
                Err(Hopeless::Refused(words)) => {
                    failure.error.message.push_str("; ");
                    failure.error.message.push_str(&words);
                    return Err(failure);
                }
                Err(Hopeless::Failed(error)) => return Err(error.cause(failure.error).into()),
            }
        }
    }

    /// Waits for what may take a user's time: without a timeout, but not past a cancel or the close.
    async fn patiently<T>(&self, job: &Job<'_>, work: impl Future<Output = T>) -> Result<T, Failure> {
        let halt = match unless_cancelled(job.cancel, unless_cancelled(&self.closed, work)).await {
            Ok(Ok(outcome)) => return Ok(outcome),
            Ok(Err(_)) => Halt::Closed,
            Err(_) => Halt::Cancelled,
        };
        Err(halted(halt, job).into())
    }

    async fn attempt_once(
        &self,
        job: &Job<'_>,
        token: Option<&Secret>,
        refusal: &RefCell<Option<Refused>>,
        on_message: &mut dyn FnMut(Message),
    ) -> Result<Reply, Failure> {
        let heard = Cell::new(None);
        let id = job.expects.then(|| self.take_id());
        let work = self.exchange(job, id, token, &heard, refusal, on_message);
        let halt = match self.supervise(job, &heard, work).await {
            Ok(outcome) => return outcome,
            Err(halt) => halt,
        };
        if let (Some(session), Some(id)) = (job.session, id)
            && !session.version.is_empty()
            && halt != Halt::Closed
        {
            let reason = if halt == Halt::Cancelled { "cancelled by the client" } else { "timeout" };
            self.post(legacy::cancelled(id, reason), session, COURTESY).await;
        }
        Err(halted(halt, job).into())
    }

    async fn exchange(
        &self,
        job: &Job<'_>,
        id: Option<u64>,
        authorized: Option<&Secret>,
        heard: &Cell<Option<Millis>>,
        refusal: &RefCell<Option<Refused>>,
        on_message: &mut dyn FnMut(Message),
    ) -> Result<Reply, Failure> {
        let token = match authorized {
            Some(token) => Some(token.clone()),
            None => self.token().await.map_err(|words| {
                let message = [&job.what, ": ", words].concat();
                Failure::from(Error::new(Code::AuthRequired, message))
            })?,
        };
        let mut request = (job.build)(id.unwrap_or(0), token.as_ref());
        self.prove(&mut request, token.as_ref()).await.map_err(|words| {
            let message = [&job.what, ": ", &words].concat();
            Failure::from(Error::new(Code::AuthRequired, message))
        })?;
        let mut exchange = Exchange::new(job.era, job.what.as_str(), id).safe(job.safe);
        // The answer may come on another stream, and before this request's own is there.
        let slot = id.filter(|_| job.era == Era::Legacy).map(|id| self.inbox.open(id));
        let mut single = self.single(&request.url);
        let response = match beside(single.as_mut(), self.platform.fetch(request)).await {
            Ok(response) => response,
            Err(error) => return Err(exchange.broken(&error.message, error.maybe_cors)),
        };
        job.hear(heard, Millis(0));
        if let Some(authorizer) = &self.authorizer {
            authorizer.note_nonce(&response.head);
            refusal.replace(Refused::read(&response.head));
        }
        let (resume, desk) = (Resume::default(), Desk::default());
        if let Some(single) = single.filter(|_| response.head.is_success()) {
            let mut taker = Taker { inner: self, job, exchange, slot, heard, resume, desk, on_message };
            let expected = id.is_some();
            let answer = if expected { taker.answer_on(single, response.body).await? } else { Answer::Accepted };
            return Ok(Reply { answer, session: None });
        }
        exchange.head(&response.head)?;
        if let Some(track) = job.track.filter(|_| job.era == Era::Legacy) {
            let streams = response.head.media_type() == "text/event-stream";
            if response.head.is_success() && !streams {
                let message = [&job.what, ": the answer is no event stream"].concat();
                return Err(Error::new(Code::Protocol, message).into());
            }
            track.opened.set(streams);
        }
        let session = legacy::session_id(&response.head);
        let mut taker = Taker { inner: self, job, exchange, slot, heard, resume, desk, on_message };
        for asked in job.track.filter(|track| track.opened.get()).map(|track| track.left.take()).unwrap_or_default() {
            taker.ask(asked);
        }
        let answer = taker.answer(response.body).await;
        let left = taker.desk.close().await;
        if let Some(track) = job.track {
            track.left.borrow_mut().extend(left);
        }
        let answer = answer?;
        Ok(Reply { answer, session })
    }

    /// Waits for `work`, but not past a cancel, not past the close of the connection, no longer than the timeout
    /// without hearing anything, and not for ever. Whatever ends first, `work` is gone when this returns.
    async fn supervise<T>(
        &self,
        job: &Job<'_>,
        heard: &Cell<Option<Millis>>,
        work: impl Future<Output = T>,
    ) -> Result<T, Halt> {
        let mut work = pin!(work);
        let mut silence = pin!(self.platform.sleep(job.timeout));
        let stays = job.track.is_some_and(|track| !track.brief);
        let longest = if stays { Millis::MAX_TIMER } else { longest(job.timeout) };
        let mut overlong = pin!(self.platform.sleep(longest));
        let mut cancelled = pin!(job.cancel.cancelled());
        let mut closed = pin!(self.closed.cancelled());
        let mut stood = false;
        poll_fn(|context| {
            if let Poll::Ready(outcome) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(outcome));
            }
            let stands = job.thinking.get();
            if std::mem::replace(&mut stood, stands) && !stands {
                job.hear(heard, Millis(0));
                overlong.set(self.platform.sleep(longest));
            }
            if let Some(patience) = heard.take() {
                silence.set(self.platform.sleep(patience));
            }
            let halt = if cancelled.as_mut().poll(context).is_ready() {
                Halt::Cancelled
            } else if closed.as_mut().poll(context).is_ready() {
                Halt::Closed
            } else if stands {
                return Poll::Pending;
            } else if silence.as_mut().poll(context).is_ready() {
                Halt::Silence
            } else if overlong.as_mut().poll(context).is_ready() {
                Halt::Overlong
            } else {
                return Poll::Pending;
            };
            Poll::Ready(Err(halt))
        })
        .await
    }

    /// Delivers a message of the legacy era that expects no result, as well as it goes within `limit`.
    pub(super) async fn post(&self, message: String, session: &Session, limit: Millis) {
        let send = async {
            let token = self.token().await.ok()?;
            let mut request = legacy::send(message, session, &self.config, token.as_ref());
            self.prove(&mut request, token.as_ref()).await.ok()?;
            self.platform.fetch(request).await.ok()
        };
        let _ = within(&*self.platform, limit, &self.closed, send).await;
    }

    /// Adds a proof where the token is bound to a key of the app.
    pub(super) async fn prove(&self, request: &mut Request, token: Option<&Secret>) -> Result<(), String> {
        match (&self.authorizer, token) {
            (Some(authorizer), Some(token)) => authorizer.prove(request, token).await,
            _ => Ok(()),
        }
    }

    /// The bearer token for the next request.
    ///
    /// # Errors
    ///
    /// What is wrong with the app's callback. Never says what it returned or threw: that may hold the token.
    pub(super) async fn token(&self) -> Result<Option<Secret>, &'static str> {
        let function = match &self.config.token {
            None => return Ok(self.authorizer.as_ref().and_then(Authorizer::current)),
            Some(Token::Fixed(token)) => return Ok(Some(token.clone())),
            Some(Token::Callback(function)) => *function,
        };
        let argument = json!({ "server": self.config.name });
        let token = match self.platform.call_app(AppCall { function, argument }).await {
            Ok(token) if token.is_null() => return Ok(None),
            Ok(token) => token,
            Err(_) => return Err("the token callback failed"),
        };
        match token.as_str() {
            Some(token) if !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()) => {
                Ok(Some(Secret::new(token)))
            }
            _ => Err("the token callback returned no usable token"),
        }
    }
}

fn longest(timeout: Millis) -> Millis {
    Millis(timeout.0.saturating_mul(RESTARTS)).min(Millis::MAX_TIMER)
}

fn halted(halt: Halt, job: &Job<'_>) -> Error {
    let (words, limit) = match halt {
        Halt::Cancelled => return Error::cancelled(&job.what),
        Halt::Closed => return Error::new(Code::Cancelled, [&job.what, ": the connection was closed"].concat()),
        Halt::Silence => (": nothing came for ", job.timeout),
        Halt::Overlong => (": still not done after ", longest(job.timeout)),
    };
    let message = [&job.what, words, &limit.0.to_string(), " ms"].concat();
    Error::new(Code::Timeout, message).retry(if job.safe { Retry::Backoff } else { Retry::Never })
}
