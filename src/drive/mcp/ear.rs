//! Listens on the stream of an older session while requests of the app are open.
//!
//! Such a server may ask on that stream what belongs to a call, and whoever does not listen is not asked.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::Inner;
use super::transfer::{Job, Track};
use crate::drive::share::{Share, WeakShare};
use crate::drive::wait::Cancel;
use crate::mcp::era::Era;
use crate::mcp::legacy::resume;
use crate::mcp::server::Link;
use crate::platform::Platform;
use crate::secret::Secret;
use crate::time::Millis;

/// How long a request waits for the stream to be there. Servers need not say so before they have something to say.
const READY: Millis = Millis(500);

/// The stream of one session, as long as somebody waits for an answer.
pub(super) struct Ear {
    link: Rc<Link>,
    track: Rc<Track>,
    work: WeakShare<()>,
    /// The server has no such stream.
    refused: Rc<Cell<bool>>,
}

impl<P: Platform> Inner<P> {
    /// Does `work` with an ear on the stream of the session, where a function of the app could answer what is asked
    /// there, and nobody watches: a watch listens already.
    pub(super) async fn listening<T>(self: &Rc<Inner<P>>, link: &Rc<Link>, work: impl Future<Output = T>) -> T {
        let Some((track, ear)) = self.ear(link) else { return work.await };
        let (mut work, mut ear, mut ready) = (pin!(work), pin!(ear), pin!(self.platform.sleep(READY)));
        let (mut waiting, mut deaf) = (true, false);
        poll_fn(|context| {
            deaf = deaf || ear.as_mut().poll(context).is_ready();
            waiting = waiting && !deaf && !track.opened.get() && ready.as_mut().poll(context).is_pending();
            if waiting { Poll::Pending } else { work.as_mut().poll(context) }
        })
        .await
    }

    /// The ear in force, or a new one.
    fn ear(self: &Rc<Inner<P>>, link: &Rc<Link>) -> Option<(Rc<Track>, Share<()>)> {
        let answers = &self.config.answerers;
        let asked = answers.input.is_some() || answers.sampling.is_some() || answers.roots.is_some();
        if link.era == Era::Modern || link.session.endpoint.is_some() || !asked || self.hub.is_watched() {
            return None;
        }
        let mut known = self.ear.borrow_mut();
        if let Some(ear) = known.as_ref().filter(|ear| Rc::ptr_eq(&ear.link, link)) {
            if ear.refused.get() {
                return None;
            }
            if let Some(work) = ear.work.upgrade() {
                return Some((ear.track.clone(), work));
            }
        }
        let (track, refused) = (Rc::new(Track::default()), Rc::new(Cell::new(false)));
        let work = Share::new(listen(self.clone(), link.clone(), track.clone(), refused.clone()));
        *known = Some(Ear { link: link.clone(), track: track.clone(), work: work.downgrade(), refused });
        Some((track, work))
    }
}

/// Reads the stream to its end.
async fn listen<P: Platform>(inner: Rc<Inner<P>>, link: Rc<Link>, track: Rc<Track>, refused: Rc<Cell<bool>>) {
    let build = |_, token: Option<&Secret>| resume::get(None, &link.session, &inner.config, token);
    let job = Job {
        era: Era::Legacy,
        what: ["the stream of ", &inner.config.name].concat(),
        expects: false,
        safe: true,
        session: Some(&link.session),
        build: &build,
        attendant: None,
        thinking: Cell::new(false),
        timeout: Millis::MAX_TIMER,
        cancel: &Cancel::new(),
        track: Some(&track),
    };
    let ended = inner.run(&job, &mut |_| {}).await;
    refused.set(ended.is_err_and(|failure| failure.error.status.is_some_and(|status| (400..500).contains(&status))));
}
