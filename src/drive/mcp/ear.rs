//! Listens on the stream of an older session where nobody need watch anything: for what the server asks, and for its log.
//!
//! Such a server may ask there what belongs to a call, and whoever does not listen is not asked. The stream is the one
//! of the watches, so that a session never has two.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Connection;
use crate::drive::share::Share;
use crate::drive::wait::unless_cancelled;
use crate::error::Result;
use crate::mcp::era::Era;
use crate::mcp::server::Link;
use crate::platform::Platform;
use crate::time::Millis;

/// How long a request waits for the stream to be there. Servers need not say so before they have something to say.
const READY: Millis = Millis(500);

impl<P: Platform> Connection<P> {
    /// Does `work` with an ear on the stream of the session, where a function of the app, or whoever stands by, could
    /// answer what is asked there.
    ///
    /// For a function the work waits until the stream is there. Each call of a run has somebody who stands by, and few
    /// servers ever ask: those calls do not wait.
    pub(super) async fn listening<T>(&self, link: &Rc<Link>, work: impl Future<Output = T>) -> T {
        // The one stream of a server of 2024-11-05 is read in any case.
        let asks_functions = self.0.config.answerers.has_function();
        let asked = asks_functions || self.1.as_ref().is_some_and(|attendant| attendant.is_asked());
        if !asked || link.session.endpoint.is_some() || !self.has_stream(link) {
            return work.await;
        }
        let hub = &self.0.hub;
        let _ear = hub.lend_ear(true, self.1.clone());
        let mut pump = Some(self.pump());
        let (mut work, mut ready) = (pin!(work), pin!(self.0.platform.sleep(READY)));
        let mut waiting = asks_functions;
        poll_fn(|context| {
            self.hear(&mut pump, link, context);
            waiting = waiting && pump.is_some() && !hub.is_open() && ready.as_mut().poll(context).is_pending();
            if waiting { Poll::Pending } else { work.as_mut().poll(context) }
        })
        .await
    }

    /// Whether the app has something to hear from its server between requests: it answers what is asked, or listens to
    /// the log.
    pub fn has_ears(&self) -> bool {
        self.0.config.answerers.has_function() || self.0.config.log.listener.is_some()
    }

    /// Keeps an ear on the stream of the session, if there is one and [`has_ears`](Connection::has_ears), until the session
    /// or the connection ends or the server refuses. At once for modern servers: they ask and log only in answers.
    pub async fn stand_by(&self) {
        let heard = || self.0.status.borrow().link.clone().filter(|link| self.has_stream(link));
        let Some(link) = heard().filter(|_| self.has_ears()) else { return };
        let _ear = self.0.hub.lend_ear(false, None);
        let mut pump = Some(self.pump());
        let up = poll_fn(|context| {
            self.hear(&mut pump, &link, context);
            if pump.is_none() || heard().is_none() { Poll::Ready(()) } else { Poll::Pending }
        });
        let _ = unless_cancelled(&self.0.closed, up).await;
    }

    /// The session may have a stream.
    fn has_stream(&self, link: &Rc<Link>) -> bool {
        link.era == Era::Legacy && !self.0.hub.is_mute(link) && !self.0.hub.is_refused(link)
    }

    /// Lets the stream go on. One that was refused for good is not asked for again.
    fn hear(&self, pump: &mut Option<Share<Result<()>>>, link: &Rc<Link>, context: &mut Context<'_>) {
        if pump.as_mut().is_some_and(|pump| Pin::new(pump).poll(context).is_ready()) {
            *pump = None;
            self.0.hub.note_refused(link);
        }
    }
}
