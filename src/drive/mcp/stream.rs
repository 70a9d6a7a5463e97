//! Reads a request's answer to its end, over as many connections as that takes.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::Inner;
use super::answers::{Asked, Desk};
use super::inbox::Slot;
use super::single::beside;
use super::transfer::Job;
use crate::drive::share::Share;
use crate::error::{Code, Error, Retry};
use crate::http::retry_after;
use crate::jsonrpc;
use crate::mcp::era::Era;
use crate::mcp::exchange::{Answer, Exchange, Failure, Message};
use crate::mcp::legacy;
use crate::mcp::legacy::resume::{self, Next, Resume};
use crate::mcp::listen::Change;
use crate::mcp::reconnect::Reconnect;
use crate::platform::{Body, NetworkError, Platform};
use crate::time::Millis;

/// Takes what comes for one request.
pub(super) struct Taker<'a, P: Platform> {
    pub(super) inner: &'a Inner<P>,
    pub(super) job: &'a Job<'a>,
    pub(super) exchange: Exchange,
    /// Where messages arrive that come on other streams.
    pub(super) slot: Option<Slot<'a>>,
    /// Tells the clock of the silence that something came, and how long nothing need come now.
    pub(super) heard: &'a Cell<Option<Millis>>,
    pub(super) resume: Resume,
    /// What the server asks meanwhile.
    pub(super) desk: Desk<'a>,
    pub(super) on_message: &'a mut dyn FnMut(Message),
}

/// What came first.
enum First<T> {
    Work(T),
    Posted(jsonrpc::Message),
}

impl<P: Platform> Taker<'_, P> {
    /// The answer out of that body, or of the connections that take up its stream.
    pub(super) async fn answer(&mut self, body: P::Body) -> Result<Answer, Failure> {
        let platform = &self.inner.platform;
        let mut body = Some(body);
        let (mut next, mut broken) = (None, None);
        loop {
            if let Some(body) = body.take() {
                let opened = platform.now();
                match self.read(body).await? {
                    Ok(answer) => return Ok(answer),
                    Err(how) => broken = how,
                }
                if platform.now().since(opened) >= Reconnect::LASTING {
                    self.resume.thrived();
                }
                next = Some(self.resume.ended(platform.random()));
            }
            let Some(Next::Open { after, id }) = next.take() else { return Err(self.lost(broken)) };
            // The server asked for that silence.
            self.job.hear(self.heard, after);
            if let Some(answer) = self.attend(platform.sleep(after)).await?.err() {
                return Ok(answer);
            }
            match self.reopen(&id).await {
                Ok(reopened) => {
                    self.exchange.reopened();
                    body = Some(reopened);
                }
                Err((status, named)) => next = Some(self.resume.failed(status, named, platform.random())),
            }
        }
    }

    /// The answer, when it comes on the one stream of the server.
    pub(super) async fn answer_on(&mut self, mut single: Share<()>, mut body: P::Body) -> Result<Answer, Failure> {
        let work = async {
            // A few words, read to their end so that the connection can be used again.
            beside(Some(&mut single), async { while let Some(Ok(_)) = body.chunk().await {} }).await;
            single.await;
        };
        match self.attend(work).await? {
            Ok(()) => {
                let message = [&self.job.what, ": the server's event stream ended before the answer"].concat();
                let retry = if self.job.safe { Retry::Backoff } else { Retry::Never };
                Err(Error::new(Code::Truncated, message).retry(retry).into())
            }
            Err(answer) => Ok(answer),
        }
    }

    /// Reads to the answer, or to an end of the connection that need not be the end of the stream: with the error
    /// if it broke.
    async fn read(&mut self, mut body: P::Body) -> Result<Result<Answer, Option<NetworkError>>, Failure> {
        loop {
            let chunk = match self.attend(body.chunk()).await? {
                Ok(chunk) => chunk,
                Err(answer) => return Ok(Ok(answer)),
            };
            let mut messages = Vec::new();
            let fed = match chunk {
                Some(Ok(bytes)) => {
                    let fed = self.exchange.feed(&bytes, &mut messages);
                    if let Some((id, retry)) = self.exchange.position() {
                        let mut tracked = self.job.track.map(|track| track.resume.borrow_mut());
                        tracked.as_deref_mut().unwrap_or(&mut self.resume).noted(id, retry, !messages.is_empty());
                    }
                    fed
                }
                Some(Err(error)) if self.can_resume() => return Ok(Err(Some(error))),
                Some(Err(error)) => Err(self.exchange.broken(&error.message, error.maybe_cors)),
                None if self.can_resume() => return Ok(Err(None)),
                None => self.exchange.finish(&mut messages),
            };
            let silent = messages.is_empty() && !self.exchange.is_mid_message();
            let stays = self.job.track.filter(|track| !track.brief);
            if !silent && stays.is_none() {
                self.job.hear(self.heard, Millis(0));
            }
            if let Some(answer) = self.dispatch(messages) {
                return Ok(Ok(answer));
            }
            if let Some(track) = stays.filter(|track| track.opened.get()) {
                let patience = track.pulse.borrow_mut().beat(self.inner.platform.now(), silent);
                self.heard.set(Some(patience));
            }
            fed?;
        }
    }

    fn can_resume(&self) -> bool {
        self.job.expects
            && self.job.era == Era::Legacy
            && self.exchange.position().is_some()
            && self.resume.point().is_some()
    }

    /// Waits for `work`, and takes what other streams bring for this request meanwhile: that may be the answer.
    async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Result<Result<T, Answer>, Failure> {
        let mut work = pin!(work);
        loop {
            let first = poll_fn(|context| {
                self.desk.poll(context);
                let brief = self.job.track.is_some_and(|track| track.brief);
                self.job.thinking.set(if brief { self.desk.is_busy() } else { self.desk.is_thinking() });
                if let Some(Poll::Ready(message)) = self.slot.as_ref().map(|slot| slot.poll(context)) {
                    return Poll::Ready(First::Posted(message));
                }
                work.as_mut().poll(context).map(First::Work)
            });
            match first.await {
                First::Work(outcome) => return Ok(Ok(outcome)),
                First::Posted(message) => {
                    let mut messages = Vec::new();
                    let taken = self.exchange.deliver(message, &mut messages);
                    self.job.hear(self.heard, Millis(0));
                    if let Some(answer) = self.dispatch(messages) {
                        return Ok(Err(answer));
                    }
                    taken?;
                }
            }
        }
    }

    /// Passes on what came, up to the answer.
    fn dispatch(&mut self, messages: Vec<Message>) -> Option<Answer> {
        for stray in self.exchange.take_strays() {
            // What nobody waits for any more is a replay of what is over, or another tab's.
            if let Some(stray) = self.inner.inbox.deliver(stray).filter(|_| self.job.track.is_some()) {
                self.inner.hub.spread(|| stray);
            }
        }
        for message in messages {
            match message {
                Message::Answer(answer) => return Some(answer),
                Message::Request { id, method, params } => self.ask(Asked { id, method, params }),
                message => {
                    if let Message::Notification { method, params } = &message {
                        self.inner.note_log(method, params.as_ref());
                        if self.job.era == Era::Legacy {
                            self.desk.withdraw(method, params.as_ref());
                            self.inner.hub.notice(method, params.as_ref());
                            if self.job.track.is_some() && Change::read(method, params.clone()).is_none() {
                                let (method, params) = (method.clone(), params.clone());
                                self.inner.hub.spread(|| jsonrpc::Message::Notification { method, params });
                            }
                        }
                    }
                    (self.on_message)(message);
                }
            }
        }
        None
    }

    /// Has what the server asks answered.
    pub(super) fn ask(&mut self, asked: Asked) {
        if let Some(session) = self.job.session {
            self.desk.take(self.inner, asked, session, self.job.attendant, self.job.track.is_some());
        }
    }

    /// Asks for what came after that event. If there is no stream to be had: with which status it was refused, if
    /// any, and when to ask again.
    async fn reopen(&self, id: &str) -> Result<P::Body, (Option<u16>, Option<Millis>)> {
        let session = self.job.session.ok_or((Some(400), None))?;
        let response = self.inner.open_stream(Some(id), session).await.map_err(|_| (None, None))?;
        let status = response.head.status;
        if status == 200 && response.head.media_type() == "text/event-stream" {
            return Ok(response.body);
        }
        // A success that is no stream will be none the next time.
        let status = if response.head.is_success() { 400 } else { status };
        Err((Some(status), retry_after(&response.head.headers)))
    }

    /// Why there will be no answer.
    fn lost(&mut self, broken: Option<NetworkError>) -> Failure {
        match broken {
            Some(error) => self.exchange.broken(&error.message, error.maybe_cors),
            None => match self.exchange.finish(&mut Vec::new()) {
                Err(failure) => failure,
                Ok(()) => self.exchange.broken("no answer", false),
            },
        }
    }
}

impl<P: Platform> Inner<P> {
    /// Opens the stream of a session by GET, or takes one up after the event of that id.
    pub(super) async fn open_stream(
        &self,
        last: Option<&str>,
        session: &legacy::Session,
    ) -> Result<crate::platform::Response<P::Body>, NetworkError> {
        let refused = |message: String| NetworkError { message, maybe_cors: false };
        let token = self.token().await.map_err(|words| refused(words.to_owned()))?;
        let mut request = resume::get(last, session, &self.config, token.as_ref());
        self.prove(&mut request, token.as_ref()).await.map_err(refused)?;
        self.platform.fetch(request).await
    }
}
