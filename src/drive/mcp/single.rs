//! The one stream of a server of 2024-11-05, on which all answers come; read on by whoever waits for one.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::Poll;

use super::Inner;
use super::answers::Asked;
use crate::drive::share::Share;
use crate::drive::wait::{Jobs, Stop, within};
use crate::error::{Code, Error};
use crate::mcp::era::Era;
use crate::mcp::exchange::{Exchange, Failure, Message};
use crate::mcp::legacy::{Session, endpoint};
use crate::platform::{Body, Platform};

/// The stream in force, if there is one. It is aborted when it is taken out.
pub(super) type Single = RefCell<Option<(String, Share<()>)>>;

impl<P: Platform> Inner<P> {
    /// Opens the stream, and gives the URL to which it says that messages go.
    pub(super) async fn find_endpoint(self: &Rc<Inner<P>>) -> Result<String, Failure> {
        let what = ["the event stream of ", &self.config.name].concat();
        let mut exchange = Exchange::new(Era::Legacy, what.as_str(), None).safe(true);
        let found =
            within(&*self.platform, self.config.timeout, &self.closed, self.await_endpoint(&mut exchange)).await;
        let (named, body) = match found {
            Ok(found) => found?,
            Err(stop) => {
                let code = if stop == Stop::TimedOut { Code::Timeout } else { Code::Cancelled };
                return Err(Error::new(code, [&what, ": it names no endpoint"].concat()).into());
            }
        };
        let Some(url) = endpoint::resolve(&self.config.url, &named) else {
            let message = [&what, ": the endpoint that it names is on another origin, or is no URL"].concat();
            return Err(Error::new(Code::Protocol, message).into());
        };
        let work = keep_reading(Rc::downgrade(self), url.clone(), exchange, body);
        *self.single.borrow_mut() = Some((url.clone(), Share::new(work)));
        Ok(url)
    }

    async fn await_endpoint(&self, exchange: &mut Exchange) -> Result<(String, P::Body), Failure> {
        let opened = self.open_stream(None, &Session::default()).await;
        let response = opened.map_err(|error| exchange.broken(&error.message, error.maybe_cors))?;
        exchange.head(&response.head)?;
        let mut body = response.body;
        loop {
            let fed = match body.chunk().await {
                Some(Ok(bytes)) => exchange.feed(&bytes, &mut Vec::new()),
                Some(Err(error)) => Err(exchange.broken(&error.message, error.maybe_cors)),
                None => match exchange.finish(&mut Vec::new()) {
                    Ok(()) => Err(exchange.broken("it ended without naming an endpoint", false)),
                    refused => refused,
                },
            };
            if let Some(named) = exchange.take_endpoint() {
                return Ok((named, body));
            }
            fed?;
        }
    }

    /// The stream on which the answer to a request to that URL will come.
    pub(super) fn single(&self, url: &str) -> Option<Share<()>> {
        let single = self.single.borrow();
        single.as_ref().filter(|(endpoint, _)| endpoint == url).and_then(|(_, work)| work.downgrade().upgrade())
    }

    /// What comes along on the one stream beside answers.
    async fn aside(&self, message: Message, session: &Session) {
        match message {
            Message::Request { id, method, params } => {
                self.serve(Asked { id, method, params }, session, None, &Cell::new(false)).await;
            }
            Message::Notification { method, params } => {
                self.note_log(&method, params.as_ref());
                self.hub.notice(&method, params.as_ref());
            }
            Message::Progress(_) | Message::Answer(_) => {}
        }
    }
}

/// Reads the stream to its end; then the link that stands on it is none any more.
async fn keep_reading<P: Platform>(inner: Weak<Inner<P>>, url: String, mut exchange: Exchange, mut body: P::Body) {
    let session = Session { endpoint: Some(url.clone()), ..Session::default() };
    // An answer to the server may take a user's time, and the stream is read on meanwhile.
    let mut asides = Jobs::default();
    loop {
        let chunk = {
            let mut chunk = pin!(body.chunk());
            poll_fn(|context| {
                let _ = asides.poll(context);
                chunk.as_mut().poll(context)
            })
            .await
        };
        let Some(inner) = inner.upgrade() else { return };
        let mut messages = Vec::new();
        let over = match chunk {
            Some(Ok(bytes)) => exchange.feed(&bytes, &mut messages).is_err(),
            _ => true,
        };
        for stray in exchange.take_strays() {
            let _ = inner.inbox.deliver(stray);
        }
        for message in messages {
            let (inner, session) = (inner.clone(), session.clone());
            asides.push(async move { inner.aside(message, &session).await });
        }
        if over {
            let mut status = inner.status.borrow_mut();
            if status.link.as_ref().is_some_and(|link| link.session.endpoint.as_deref() == Some(&url)) {
                status.link = None;
            }
            return;
        }
    }
}

/// Waits for `work`, and reads the stream meanwhile.
pub(super) async fn beside<T>(single: Option<&mut Share<()>>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut single = single;
    poll_fn(|context| {
        if let Some(single) = &mut single {
            let _: Poll<()> = Pin::new(&mut **single).poll(context);
        }
        work.as_mut().poll(context)
    })
    .await
}
