//! Who watches what, and what they have still to be told.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use serde_json::{Map, Value};

use crate::drive::mcp::answers::Attendant;
use crate::drive::share::WeakShare;
use crate::error::Result;
use crate::jsonrpc::Message;
use crate::mcp::input::Ask;
use crate::mcp::listen::{Change, Filter};
use crate::mcp::server::Link;
use crate::mcp::tabs::Word;

/// All watches of a connection.
#[derive(Default)]
pub(in crate::drive::mcp) struct Hub {
    seats: RefCell<Vec<Seat>>,
    last: Cell<u64>,
    /// What the stream that is open was asked for, and what of it is honoured.
    standing: RefCell<Option<(Filter, Filter)>>,
    pub(super) pump: RefCell<Option<WeakShare<Result<()>>>>,
    /// Waits for another filter or another session.
    waker: RefCell<Option<Waker>>,
    /// The legacy session that had a stream of its own, and the resources that it was told to watch.
    session: RefCell<Option<Rc<Link>>>,
    mute: RefCell<Option<Rc<Link>>>,
    refused: RefCell<Option<Rc<Link>>>,
    /// Who wants the stream of an older session whatever is watched, by number, and who stands by each.
    ears: RefCell<Vec<Lent>>,
    /// Other tabs want it, for whom we listen; and which of them is to answer what the server asks.
    others_listen: Cell<bool>,
    asked: RefCell<Option<String>>,
    pub(super) subscribed: RefCell<Vec<String>>,
    /// What was honoured of what another tab listened for, before us, in a session that tabs share.
    heard_of: RefCell<Filter>,
    /// What other tabs want, for whom we listen.
    others: RefCell<Filter>,
    /// What they are still to be told; `None` where we do not listen for them.
    outbox: RefCell<Option<Vec<Word>>>,
    /// The stream is nobody's call.
    no_meta: Map<String, Value>,
}

/// An ear by its number; whether it is a call's, and who stands by.
type Lent = (u64, bool, Option<Rc<dyn Attendant>>);

struct Seat {
    id: u64,
    filter: Filter,
    queue: VecDeque<Change>,
    waker: Option<Waker>,
    /// It was told that it is watching.
    begun: bool,
    /// Nobody can have told it of changes since.
    missed: bool,
}

/// One watch; over when dropped.
pub(super) struct Watch<'a> {
    hub: &'a Hub,
    id: u64,
}

impl Hub {
    pub(super) fn join(&self, filter: Filter) -> Watch<'_> {
        let id = self.last.replace(self.last.get() + 1);
        let seat = Seat { id, filter, queue: VecDeque::new(), waker: None, begun: false, missed: false };
        self.seats.borrow_mut().push(seat);
        let standing = self.standing.borrow().clone();
        if let Some((asked, honoured)) = standing {
            self.begin(&asked, &honoured);
        }
        Watch { hub: self, id }
    }

    /// Wants the stream of an older session even if nobody watches. What the server asks there, the attendant may be
    /// asked.
    pub(in crate::drive::mcp) fn lend_ear(&self, call: bool, attendant: Option<Rc<dyn Attendant>>) -> Ear<'_> {
        let id = self.last.replace(self.last.get() + 1);
        self.ears.borrow_mut().push((id, call, attendant));
        self.wake();
        Ear(self, id)
    }

    /// Whether this tab has ears, and the number of the last one that is a call's.
    pub(super) fn own_ears(&self) -> (bool, Option<u64>) {
        let ears = self.ears.borrow();
        (!ears.is_empty(), ears.iter().rev().find(|(_, call, _)| *call).map(|(id, ..)| *id))
    }

    /// What other tabs want of the stream, for whom we listen, and which of them is asked.
    pub(super) fn set_ears(&self, others_listen: bool, asked: Option<&str>) {
        if self.asked.borrow().as_deref() != asked {
            *self.asked.borrow_mut() = asked.map(str::to_owned);
        }
        if self.others_listen.replace(others_listen) != others_listen {
            self.wake();
        }
    }

    /// Hands what the server asks to the tab that is to answer; true when that is another one.
    pub(in crate::drive::mcp) fn hand_on(&self, asked: &Message) -> bool {
        let Some(to) = self.asked.borrow().clone().filter(|_| self.leads()) else { return false };
        self.pass_on(|| Word::Ask(to, asked.to_value()));
        true
    }

    /// Tells the tabs for whom we listen what came on the stream beside changes.
    pub(in crate::drive::mcp) fn spread(&self, message: impl FnOnce() -> Message) {
        self.pass_on(|| Word::Heard(message().to_value()));
    }

    /// Somebody in this tab wants the stream of an older session even if nobody watches.
    pub(super) fn has_ears(&self) -> bool {
        !self.ears.borrow().is_empty()
    }

    /// Somebody in any tab for which we listen does.
    pub(super) fn is_listened_to(&self) -> bool {
        self.has_ears() || self.others_listen.get()
    }

    /// The stream is there, or it is known that there will be none.
    pub(in crate::drive::mcp) fn is_open(&self) -> bool {
        self.standing.borrow().is_some()
    }

    /// What all watches want together, and those of the tabs for whom we listen.
    pub(super) fn union(&self) -> Filter {
        let mut union = self.own();
        union.join(&self.others.borrow());
        union
    }

    /// What all watches of this tab want together.
    pub(super) fn own(&self) -> Filter {
        let mut union = Filter::default();
        self.seats.borrow().iter().for_each(|seat| union.join(&seat.filter));
        union
    }

    /// Listens for other tabs, or no longer.
    pub(super) fn lead(&self, leads: bool) {
        *self.outbox.borrow_mut() = leads.then(Vec::new);
        *self.others.borrow_mut() = Filter::default();
        self.set_ears(false, None);
    }

    /// We listen for other tabs.
    pub(super) fn leads(&self) -> bool {
        self.outbox.borrow().is_some()
    }

    /// Another tab listens for us, and that much is honoured.
    pub(super) fn hear_of(&self, honoured: &Filter) {
        *self.heard_of.borrow_mut() = honoured.clone();
    }

    /// Another tab had a stream before us.
    pub(super) fn has_heard_of(&self) -> bool {
        !self.heard_of.borrow().is_empty()
    }

    /// The session is told to watch what another tab had it watch, too.
    pub(super) fn inherit(&self) {
        let uris = self.heard_of.take().uris;
        let mut subscribed = self.subscribed.borrow_mut();
        for uri in uris {
            if !subscribed.contains(&uri) {
                subscribed.push(uri);
            }
        }
    }

    /// Knows no session any more: others may have changed since what it is told to watch.
    pub(super) fn unlearn(&self) {
        self.session.take();
        self.subscribed.take();
    }

    /// Other tabs want that much together.
    pub(super) fn set_others(&self, wanted: Filter) {
        *self.others.borrow_mut() = wanted;
        self.wake();
    }

    /// What other tabs are to be told since the last time.
    pub(super) fn take_outbox(&self) -> Vec<Word> {
        self.outbox.borrow_mut().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The stream that is there, as other tabs are told of it.
    pub(super) fn standing(&self) -> Option<Word> {
        self.standing.borrow().clone().map(|(asked, honoured)| Word::Open(asked, honoured))
    }

    fn pass_on(&self, word: impl FnOnce() -> Word) {
        if let Some(outbox) = self.outbox.borrow_mut().as_mut() {
            outbox.push(word());
            self.wake();
        }
    }

    /// A stream is open that was asked for `asked` and tells of `honoured`.
    pub(super) fn established(&self, asked: &Filter, honoured: &Filter) {
        *self.standing.borrow_mut() = Some((asked.clone(), honoured.clone()));
        self.pass_on(|| Word::Open(asked.clone(), honoured.clone()));
        self.begin(asked, honoured);
    }

    fn begin(&self, asked: &Filter, honoured: &Filter) {
        for seat in self.seats.borrow_mut().iter_mut().filter(|seat| asked.covers(&seat.filter)) {
            if !seat.begun {
                seat.queue.push_front(Change::Watching(seat.filter.common(honoured)));
                seat.wake();
            } else if seat.missed {
                seat.tell(Change::Gap);
            }
            (seat.begun, seat.missed) = (true, false);
        }
    }

    /// The stream is gone; true when there was one.
    pub(super) fn lost(&self) -> bool {
        self.seats.borrow_mut().iter_mut().for_each(|seat| seat.missed = seat.begun);
        self.pass_on(|| Word::Lost);
        self.standing.take().is_some()
    }

    pub(super) fn tell(&self, change: Change) {
        if self.others.borrow().wants(&change) {
            self.pass_on(|| Word::Changed(change.clone()));
        }
        for seat in self.seats.borrow_mut().iter_mut().filter(|seat| seat.filter.wants(&change)) {
            seat.tell(change.clone());
        }
    }

    /// A notification of a legacy server, on whichever stream it came.
    pub(in crate::drive::mcp) fn notice(&self, method: &str, params: Option<&Value>) {
        if !self.union().is_empty()
            && let Some(change) = Change::read(method, params.cloned())
        {
            self.tell(change);
        }
    }

    /// That session was listened to before.
    pub(super) fn is_known(&self, link: &Rc<Link>) -> bool {
        self.session.borrow().as_ref().is_some_and(|known| Rc::ptr_eq(known, link))
    }

    /// Notes that the session is listened to, if it has a stream. A new one knows nothing of what the last one was
    /// told.
    pub(super) fn know(&self, link: &Rc<Link>, streams: bool) {
        if !self.is_known(link) {
            self.subscribed.borrow_mut().clear();
            *self.session.borrow_mut() = streams.then(|| link.clone());
        }
    }

    /// That session has no stream.
    pub(in crate::drive::mcp) fn is_mute(&self, link: &Rc<Link>) -> bool {
        self.mute.borrow().as_ref().is_some_and(|known| Rc::ptr_eq(known, link))
    }

    /// Notes that the session has no stream, so that it is not asked for again.
    pub(super) fn note_mute(&self, link: &Rc<Link>) {
        *self.mute.borrow_mut() = Some(link.clone());
    }

    /// The stream of that session was refused to those who do not watch.
    pub(in crate::drive::mcp) fn is_refused(&self, link: &Rc<Link>) -> bool {
        self.refused.borrow().as_ref().is_some_and(|known| Rc::ptr_eq(known, link))
    }

    /// Notes that the stream of that session was refused.
    pub(in crate::drive::mcp) fn note_refused(&self, link: &Rc<Link>) {
        *self.refused.borrow_mut() = Some(link.clone());
    }

    /// Wakes the shared work: there is another session.
    pub(in crate::drive::mcp) fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Has the shared work woken at the next change of what is wanted.
    pub(super) fn wait(&self, context: &Context<'_>) {
        *self.waker.borrow_mut() = Some(context.waker().clone());
    }
}

/// Somebody who wants the stream; no longer when dropped.
pub(in crate::drive::mcp) struct Ear<'a>(&'a Hub, u64);

impl Drop for Ear<'_> {
    fn drop(&mut self) {
        self.0.ears.borrow_mut().retain(|(id, ..)| *id != self.1);
        self.0.wake();
    }
}

/// A server does not say which call its question belongs to: it goes to whoever stands by the latest one.
impl Attendant for Hub {
    fn ask<'a>(&'a self, server: &'a str, ask: &'a Ask) -> Pin<Box<dyn Future<Output = Option<Value>> + 'a>> {
        let attendant = self.ears.borrow().iter().rev().find_map(|(.., attendant)| attendant.clone());
        Box::pin(async move { attendant?.ask(server, ask).await })
    }

    fn task(&self, _: &str) {}

    fn is_asked(&self) -> bool {
        true
    }

    fn meta(&self) -> &Map<String, Value> {
        &self.no_meta
    }
}

/// Notes that the stream is gone when whoever kept it open is.
pub(super) struct Keeper<'a>(pub(super) &'a Hub);

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        self.0.lost();
    }
}

impl Seat {
    fn tell(&mut self, change: Change) {
        if !self.queue.contains(&change) {
            self.queue.push_back(change);
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Watch<'_> {
    /// The next change, if there is one.
    pub(super) fn take(&self, context: &Context<'_>) -> Option<Change> {
        let mut seats = self.hub.seats.borrow_mut();
        let seat = seats.iter_mut().find(|seat| seat.id == self.id)?;
        // What came already waits until it can be said what will come.
        let change = if seat.begun { seat.queue.pop_front() } else { None };
        if change.is_none() {
            seat.waker = Some(context.waker().clone());
        }
        change
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.hub.seats.borrow_mut().retain(|seat| seat.id != self.id);
        self.hub.wake();
    }
}
