//! Changes on older servers: the stream of the session, and `resources/subscribe`.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use serde_json::Value;

use super::super::transfer::{Job, Track};
use super::super::{COURTESY, Connection, Inner};
use super::{Ended, passes};
use crate::drive::wait::{Cancel, within};
use crate::error::Code;
use crate::mcp::era::Era;
use crate::mcp::exchange::Failure;
use crate::mcp::legacy::resume;
use crate::mcp::listen::Filter;
use crate::mcp::reconnect::Reconnect;
use crate::mcp::request::Call;
use crate::mcp::server::Link;
use crate::platform::Platform;
use crate::secret::Secret;
use crate::time::Millis;

/// How often a subscription that did not get through is tried again, each time a second later than the time before.
const TRIES: u64 = 3;

/// Servers need not say that the stream is there before they have something to say.
const ASSUMED: Millis = Millis::from_secs(3);

/// After that long without a word, a server has nothing more to say of what was missed.
const REPLAYED: Millis = Millis::from_secs(2);

/// In that time a server learns that we have left a stream; many let a session have one only.
const PARTED: Millis = Millis(300);

impl<P: Platform> Inner<P> {
    /// Listens on the stream of the session until it ends. A server that has none leaves us waiting for what comes
    /// on the streams of requests.
    pub(super) async fn listen_by_session(&self, link: &Rc<Link>, track: &Track, reconnect: &mut Reconnect) -> Ended {
        let absent = Cell::new(false);
        let mut stream = Box::pin(self.session_stream(link, track, &absent));
        let mut subscriptions = Box::pin(self.subscriptions(link, track, &absent));
        let mut lasting = Box::pin(self.platform.sleep(Reconnect::LASTING));
        let mut lasts = false;
        poll_fn(|context| {
            if let Poll::Ready(ended) = stream.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            if let Poll::Ready(ended) = subscriptions.as_mut().poll(context) {
                return Poll::Ready(ended);
            }
            if !lasts && lasting.as_mut().poll(context).is_ready() {
                lasts = true;
                reconnect.thrived();
            }
            self.hub.wait(context);
            // Whoever renewed the session has its stream closed; servers do not always.
            if self.status.borrow().link.as_ref().is_some_and(|now| !Rc::ptr_eq(now, link)) {
                return Poll::Ready(Ok(()));
            }
            Poll::Pending
        })
        .await
    }

    /// The stream of the session.
    async fn session_stream(&self, link: &Rc<Link>, track: &Track, absent: &Cell<bool>) -> Ended {
        let declared = || self.hub.union().declared(&link.capabilities, false);
        let idle = || declared().is_empty() && !self.hub.is_listened_to();
        if idle() {
            absent.set(true);
            poll_fn(|_| if idle() { Poll::Pending } else { Poll::Ready(()) }).await;
            absent.set(false);
        }
        if let Some(endpoint) = &link.session.endpoint {
            let single = self.single(endpoint);
            track.opened.set(true);
            if let Some(single) = single {
                single.await;
            }
            // It was all that there was to the session.
            self.forget(link);
            return Ok(());
        }
        if self.hub.is_mute(link) {
            absent.set(true);
            return pending().await;
        }
        let known = self.hub.is_known(link);
        if !known {
            track.left.take();
        }
        let (refused, behind) = track.refused.take();
        let point = track.resume.borrow().point().map(str::to_owned);
        // Not twice in a row: the server may still have been at the end of the first one.
        let point = point.filter(|_| known && !behind && (refused || self.hub.is_listened_to()));
        if let Some(point) = &point {
            track.catching_up.set(true);
            self.catch_up(link, point, track).await;
            self.platform.sleep(PARTED).await;
            track.catching_up.set(false);
        }
        // Some say nothing, not even a status, until there is something to tell.
        match self.session_get(link, None, track, Millis::MAX_TIMER).await {
            Ok(_) => Ok(()),
            Err(failure) => {
                let error = &failure.error;
                track.refused.set((error.status == Some(409), error.status == Some(409) && point.is_some()));
                let none = error.status.is_some_and(has_none) || error.code == Code::Protocol;
                // If it had a stream before, or says so in words, it is the session that is gone.
                let had = known || self.is_shared(link) && self.hub.has_heard_of();
                let lost = link.is_refuted_by(&failure) && (had || error.status == Some(400));
                if !none || lost {
                    return Err(failure);
                }
                self.hub.note_mute(link);
                absent.set(true);
                pending().await
            }
        }
    }

    /// Hears what was missed since that event, which a comparison does not find: questions, log entries, progress.
    ///
    /// The stream is not gone on with there ([MCP 2025-11-25, Transports, "Resumability and Redelivery"] leaves that to the
    /// client): some servers register it under another name than that of the session's stream, and then tell nothing on it that
    /// comes later. server-everything 2026.8.31 does, whose store gives the SDK an event's id for that of its stream. Where a
    /// server holds a broken connection for the stream that it may have once, this one takes its place, and makes room.
    ///
    /// [MCP 2025-11-25, Transports, "Resumability and Redelivery"]: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#resumability-and-redelivery
    async fn catch_up(&self, link: &Rc<Link>, point: &str, track: &Track) {
        let missed = Track { brief: true, ..Track::default() };
        // Whatever is wrong with the session, the stream tells as well.
        let _ = self.session_get(link, Some(point), &missed, REPLAYED).await;
        track.resume.borrow_mut().noted(missed.resume.borrow().point(), None, false);
        track.left.borrow_mut().append(&mut missed.left.borrow_mut());
    }

    /// Opens the stream by GET, or asks for what came after an event, and reads it to its end.
    async fn session_get(&self, link: &Rc<Link>, last: Option<&str>, track: &Track, silence: Millis) -> Ended {
        let build = |_, token: Option<&Secret>| resume::get(last, &link.session, &self.config, token);
        let job = Job {
            era: Era::Legacy,
            what: ["the stream of ", &self.config.name].concat(),
            expects: false,
            safe: true,
            session: Some(&link.session),
            build: &build,
            attendant: Some(&self.hub),
            thinking: Cell::new(false),
            timeout: silence,
            cancel: &Cancel::new(),
            track: Some(track),
        };
        self.run(&job, &mut |_| {}).await.map(|_| ())
    }

    /// Keeps the session's subscriptions to resources what the watches want them to be.
    async fn subscriptions(&self, link: &Rc<Link>, track: &Track, absent: &Cell<bool>) -> Ended {
        let mut assumed = pin!(self.platform.sleep(ASSUMED));
        poll_fn(|context| {
            if track.catching_up.get() {
                assumed.set(self.platform.sleep(ASSUMED));
                return Poll::Pending;
            }
            let over = track.opened.get() || absent.get() || assumed.as_mut().poll(context).is_ready();
            if over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.hub.know(link, track.opened.get());
        let mut refused: Vec<String> = Vec::new();
        loop {
            let wanted = self.hub.union();
            let mut honoured = wanted.declared(&link.capabilities, false);
            if absent.get() {
                honoured = Filter::default();
            }
            for uri in &honoured.uris {
                if refused.contains(uri) || self.hub.subscribed.borrow().contains(uri) {
                    continue;
                }
                let mut tries = 0;
                loop {
                    match self.resource("resources/subscribe", uri, link).await {
                        Ok(()) => self.hub.subscribed.borrow_mut().push(uri.clone()),
                        Err(failure) if link.is_refuted_by(&failure) => return Err(failure),
                        // An outage is no refusal. If it lasts, the stream is opened anew as well.
                        Err(failure) if passes(&failure.error) => {
                            tries += 1;
                            if tries > TRIES {
                                return Err(failure);
                            }
                            self.platform.sleep(Millis::from_secs(tries)).await;
                            continue;
                        }
                        Err(_) => refused.push(uri.clone()),
                    }
                    break;
                }
            }
            if self.is_shared(link) {
                self.hub.inherit();
            }
            self.unsubscribe(link).await;
            honoured.uris.retain(|uri| !refused.contains(uri));
            let was_absent = absent.get();
            self.hub.established(&wanted, &honoured);
            poll_fn(|_| {
                let same = self.hub.union() == wanted && absent.get() == was_absent;
                if same { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
        }
    }

    async fn resource(&self, method: &str, uri: &str, link: &Rc<Link>) -> Ended {
        let uri = Value::from(uri);
        let params = [("uri", &uri)];
        let (call, cancel) = (Call::new(method, &params), Cancel::new());
        let mut ignore = |_| {};
        // Boxed: it is a request within the stream's own work.
        let sent: Pin<Box<dyn Future<Output = Result<_, Failure>> + '_>> =
            Box::pin(self.send(link, &call, self.config.timeout, &cancel, None, &mut ignore));
        sent.await.map(|_| ())
    }

    /// Ends the subscriptions that nobody wants any more.
    async fn unsubscribe(&self, link: &Rc<Link>) {
        let wanted = self.hub.union();
        let rest: Vec<String> =
            self.hub.subscribed.borrow().iter().filter(|uri| !wanted.uris.contains(uri)).cloned().collect();
        for uri in rest {
            self.hub.subscribed.borrow_mut().retain(|known| *known != uri);
            // If it goes wrong, something is told that nobody asked for.
            let _ = self.resource("resources/unsubscribe", &uri, link).await;
        }
    }
}

impl<P: Platform> Connection<P> {
    /// Ends the subscriptions that nobody wants any more after a watch ended, as a courtesy.
    pub(super) async fn unsubscribe_rest(&self) {
        let inner = &*self.0;
        let link = inner.status.borrow().link.clone();
        let Some(link) = link.filter(|link| link.era == Era::Legacy && inner.hub.is_known(link)) else { return };
        let work = async {
            let _turn = if inner.is_shared(&link) && !inner.hub.leads() {
                // Another tab may listen by now, and what it subscribed to is the same to the server. If none does, none
                // begins to meanwhile.
                let name = self.circle_name().await?;
                if inner.platform.is_held(&name, "").await != Some(false) {
                    return None;
                }
                Some(inner.platform.lock(&name).await)
            } else {
                None
            };
            inner.unsubscribe(&link).await;
            Some(())
        };
        let _ = within(&*inner.platform, COURTESY, &inner.closed, work).await;
    }
}

/// What servers answer that have no stream to offer.
fn has_none(status: u16) -> bool {
    matches!(status, 400 | 404 | 405 | 406 | 501)
}
