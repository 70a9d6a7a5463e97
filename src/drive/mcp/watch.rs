//! Being told of changes: any number of watches share one stream, which is opened again whenever it ends.
//!
//! The stream is driven by whoever watches, as attempts to connect are by whoever waits.

mod hub;
mod legacy;
mod tabs;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

pub(super) use hub::Hub;
use hub::Keeper;

use super::transfer::{Job, Track};
use super::{Connection, Inner};
use crate::drive::share::{Share, WeakShare};
use crate::drive::wait::{Cancel, unless_cancelled};
use crate::error::{Code, Error, Result, Retry};
use crate::mcp::era::Era;
use crate::mcp::exchange::{Failure, Message};
use crate::mcp::listen::{Change, Filter, Heard, Listening};
use crate::mcp::reconnect::Reconnect;
use crate::mcp::request::{self, Call};
use crate::mcp::server::Link;
use crate::platform::Platform;
use crate::secret::Secret;
use crate::time::Millis;

/// Watches that begin or end together change the stream once.
const SETTLE: Millis = Millis(20);

/// How a stream ended.
type Ended = std::result::Result<(), Failure>;

impl<P: Platform> Connection<P> {
    /// Tells of changes on the server until cancelled; connects first if need be.
    ///
    /// `on_change` is told [`Change::Watching`] once, with as much of `filter` as the server honours, then every
    /// change. One stream serves all watches of a connection, with all that they want together: that of
    /// `subscriptions/listen`, or for older servers the stream of the session and `resources/subscribe`. A stream
    /// that ends is opened again, after waits that grow up to a minute; then comes a [`Change::Gap`], since nothing
    /// that was missed is told later. Equal changes that were not taken yet are told once.
    ///
    /// No stream is opened to an older server that declares none of what is wanted.
    ///
    /// # Errors
    ///
    /// `cancelled`; why the server cannot be connected to or refuses to be listened to. An outage after the
    /// beginning is none.
    pub async fn watch(&self, filter: Filter, cancel: &Cancel, on_change: &mut dyn FnMut(Change)) -> Result<()> {
        let inner = &*self.0;
        let seat = inner.hub.join(filter);
        let watched = async {
            let mut pump = self.pump();
            loop {
                let told = poll_fn(|context| {
                    if let Some(change) = seat.take(context) {
                        return Poll::Ready(Ok(change));
                    }
                    Pin::new(&mut pump).poll(context).map(Err)
                });
                match told.await {
                    Ok(change) => {
                        // Whoever is told and asks gets what is new.
                        if let Some(cache) = &inner.cache {
                            let watched = inner.hub.union().uris;
                            cache.changed(&inner.config.identity(), &change, &watched).await;
                        }
                        on_change(change);
                    }
                    Err(outcome) => return outcome,
                }
            }
        };
        let what = || ["watching ", &inner.config.name].concat();
        let outcome = match unless_cancelled(cancel, unless_cancelled(&inner.closed, watched)).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(_)) => {
                return Err(Error::new(Code::Cancelled, [&what(), ": the connection was closed"].concat()));
            }
            Err(_) => Err(Error::cancelled(&what())),
        };
        drop(seat);
        self.unsubscribe_rest().await;
        outcome
    }

    /// True when the server declares that it tells of something that the filter wants; false before it is connected.
    pub fn tells(&self, filter: &Filter) -> bool {
        let status = self.0.status.borrow();
        status.link.as_ref().is_some_and(|link| !filter.declared(&link.capabilities, false).is_empty())
    }

    /// The shared work of all watches.
    pub(super) fn pump(&self) -> Share<Result<()>> {
        let mut known = self.0.hub.pump.borrow_mut();
        if let Some(pump) = known.as_ref().and_then(WeakShare::upgrade) {
            return pump;
        }
        let connection = self.clone();
        let pump = Share::new(async move { connection.keep_told().await });
        *known = Some(pump.downgrade());
        pump
    }

    /// Keeps a stream open until the server refuses for good. An outage is one only after the beginning, which may have been
    /// in another tab.
    async fn keep_listening(&self, mut established: bool) -> Result<()> {
        let inner = &*self.0;
        let _keeper = Keeper(&inner.hub);
        let mut reconnect = Reconnect::default();
        let mut refuted = false;
        let track = Track::default();
        loop {
            let asked = match self.link(&Cancel::new()).await {
                Ok(link) => {
                    let ended = match link.era {
                        Era::Modern => inner.listen(&link, &track, &mut reconnect).await,
                        Era::Legacy => inner.listen_by_session(&link, &track, &mut reconnect).await,
                    };
                    if inner.hub.lost() {
                        established = true;
                        refuted = false;
                    }
                    track.opened.set(false);
                    track.catching_up.set(false);
                    track.pulse.take();
                    match ended {
                        Ok(()) => None,
                        // Once more with a new session, or in the other era.
                        Err(failure) if (!refuted || inner.has_joined(&link)) && link.is_refuted_by(&failure) => {
                            refuted = true;
                            inner.forget(&link);
                            None
                        }
                        Err(failure) if passes(&failure.error) => named(&failure.error),
                        Err(failure) => return Err(failure.error),
                    }
                }
                Err(error) if established && passes(&error) => named(&error),
                Err(error) => return Err(error),
            };
            let asked = asked.or(track.resume.borrow().retry());
            let wait = reconnect.wait(asked, inner.platform.random());
            inner.platform.sleep(wait).await;
        }
    }
}

/// True for what is over sooner or later.
fn passes(error: &Error) -> bool {
    match error.code {
        Code::Network | Code::Timeout | Code::Truncated | Code::Overloaded | Code::RateLimited | Code::Limit => true,
        Code::Http => matches!(error.status, Some(408 | 409 | 425 | 500..)),
        _ => false,
    }
}

fn named(error: &Error) -> Option<Millis> {
    match error.retry {
        Retry::After(wait) => Some(wait),
        _ => None,
    }
}

/// One `subscriptions/listen` that is under way.
struct Subscription<'a> {
    asked: Filter,
    work: Pin<Box<dyn Future<Output = Ended> + 'a>>,
    track: Rc<Track>,
}

impl<P: Platform> Inner<P> {
    /// Listens to a modern server until the stream ends. When more is wanted, a stream for all of it is opened
    /// before the one so far is given up, so that nothing is missed between them.
    async fn listen(&self, link: &Rc<Link>, track: &Track, reconnect: &mut Reconnect) -> Ended {
        let mut current = self.subscription(link, self.hub.union());
        let mut before: Option<Subscription<'_>> = None;
        let mut settle = None;
        let mut lasting = Box::pin(self.platform.sleep(Reconnect::LASTING));
        let mut lasts = false;
        let ended = poll_fn(|context| {
            loop {
                if let Poll::Ready(ended) = current.work.as_mut().poll(context) {
                    return Poll::Ready(ended);
                }
                if current.track.opened.get()
                    || before.as_mut().is_some_and(|before| before.work.as_mut().poll(context).is_ready())
                {
                    before = None;
                }
                if !lasts && lasting.as_mut().poll(context).is_ready() {
                    lasts = true;
                    reconnect.thrived();
                }
                self.hub.wait(context);
                let wanted = self.hub.union();
                if current.asked.covers(&wanted) {
                    settle = None;
                    return Poll::Pending;
                }
                let settled = settle.get_or_insert_with(|| Box::pin(self.platform.sleep(SETTLE)));
                if settled.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                settle = None;
                let next = self.subscription(link, wanted);
                let last = std::mem::replace(&mut current, next);
                before = before.take().or_else(|| last.track.opened.get().then_some(last));
            }
        })
        .await;
        *track.resume.borrow_mut() = current.track.resume.take();
        ended
    }

    fn subscription<'a>(&'a self, link: &'a Link, asked: Filter) -> Subscription<'a> {
        let track = Rc::new(Track::default());
        let work = Box::pin(self.subscribed(link, asked.clone(), track.clone()));
        Subscription { asked, work, track }
    }

    async fn subscribed(&self, link: &Link, asked: Filter, track: Rc<Track>) -> Ended {
        let params = asked.to_params();
        let params = [("notifications", &params)];
        let call = Call::new("subscriptions/listen", &params);
        let listening = RefCell::new(Listening::new(0, Filter::default()));
        let build = |id: u64, token: Option<&Secret>| {
            listening.replace(Listening::new(id, asked.clone()));
            request::modern(&call, id, &link.session.version, &self.config, token)
        };
        let mut on_message = |message| {
            let Message::Notification { method, params } = message else { return };
            match listening.borrow_mut().heard(&method, params) {
                Some(Heard::Honoured(honoured)) => {
                    track.opened.set(true);
                    self.hub.established(&asked, &honoured);
                }
                Some(Heard::Change(change)) => self.hub.tell(change),
                None => {}
            }
        };
        let job = Job {
            era: Era::Modern,
            what: call.label(&self.config.name),
            expects: true,
            safe: true,
            session: None,
            build: &build,
            attendant: None,
            thinking: Cell::new(false),
            timeout: self.config.timeout,
            cancel: &Cancel::new(),
            track: Some(&track),
        };
        self.run(&job, &mut on_message).await.map(|_| ())
    }
}

#[cfg(test)]
mod tab_tests;
#[cfg(test)]
mod tests;
