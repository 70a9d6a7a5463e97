//! What a run keeps in the store, in the order in which it happened: its log, and what it has said in its conversation.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::agent::fact::Fact;
use crate::agent::log::{Header, Log};
use crate::agent::run::Run;
use crate::agent::view::is_mark;
use crate::drive::conversation::Entered;
use crate::drive::line::Line;
use crate::drive::wait::{Cancel, within};
use crate::platform::{Platform, Space, Write, key};
use crate::time::{Millis, UnixMillis};

/// How long a store may hold a run up.
const PATIENCE: Millis = Millis::from_secs(5);
/// Bytes of an answer from which on its beginning is stored while it is coming; then whenever it has doubled.
const WORTH_KEEPING: usize = 1024;

/// What one run has to keep.
pub(crate) struct Keeper<P: Platform> {
    /// The conversation that it is in, until it has ended.
    entered: RefCell<Option<Entered<P>>>,
    /// How many messages of its history are in the conversation.
    settled: Cell<usize>,
    journal: Option<Journal<P>>,
    pending: RefCell<Vec<Write>>,
    /// What the store did not take in time.
    late: RefCell<Vec<Write>>,
    /// What was found to be removed, see [`Keeper::removed`].
    cleared: Cell<(bool, bool)>,
    /// It is asked to take something.
    busy: Cell<bool>,
    line: Line,
}

/// The log of a run that is recorded.
pub(crate) struct Journal<P: Platform> {
    /// Without its history.
    header: Header,
    log: RefCell<Log>,
    /// Where it is stored, and the lock of the run; `None` for one that is in memory only.
    stored: Option<Records<P>>,
}

struct Records<P: Platform> {
    /// The first record is there.
    begun: Cell<bool>,
    /// Number of the next record.
    number: Cell<u64>,
    /// Bytes of the log that are in records which do not change any more.
    written: Cell<usize>,
    /// Bytes of the open answer at which it is stored.
    enough: Cell<usize>,
    lock: RefCell<Option<P::Lock>>,
    /// How often the agent has removed logs, and how often when this one began.
    removals: (Rc<Cell<u64>>, u64),
}

impl<P: Platform> Journal<P> {
    /// Goes on with a log of that many lines. With a lock it is stored, until the agent has removed logs once more.
    pub(crate) fn new(header: Header, log: Log, lock: Option<P::Lock>, removals: &Rc<Cell<u64>>) -> Journal<P> {
        let stored = lock.map(|lock| Records {
            begun: Cell::new(false),
            number: Cell::new(1),
            written: Cell::new(0),
            enough: Cell::new(WORTH_KEEPING),
            lock: RefCell::new(Some(lock)),
            removals: (removals.clone(), removals.get()),
        });
        Journal { header, log: RefCell::new(log), stored }
    }

    /// The whole log, with the history that the run began with.
    fn text(&self, run: &Run) -> String {
        let mut header = self.header.clone();
        header.setup.messages = run.messages().get(..run.begun_with()).unwrap_or_default().to_vec();
        [&header.write(true), self.log.borrow().text()].concat()
    }

    /// Changes of the store that bring it up to the log.
    fn writes(&self, run: &Run, writes: &mut Vec<Write>) {
        let (Some(stored), log) = (&self.stored, self.log.borrow()) else { return };
        let id = &self.header.setup.id;
        let record = |number: u64, text: String| {
            let digits = number.to_string();
            let name = [&"000000"[digits.len().min(6)..], &digits].concat();
            Write::put(Space::Journal, key(&[id, &name]), text)
        };
        if !stored.begun.replace(true) {
            writes.push(Write::remove_prefix(Space::Journal, key(&[id, ""])));
            let header = match self.header.conversation {
                Some(_) => self.header.write(false),
                None => {
                    let mut header = self.header.clone();
                    header.setup.messages = run.messages().get(..run.begun_with()).unwrap_or_default().to_vec();
                    header.write(true)
                }
            };
            writes.push(record(0, header));
        }
        let (whole, number) = (log.text().len(), stored.number.get());
        if whole > stored.written.get() {
            writes.push(record(number, log.text()[stored.written.replace(whole)..].to_owned()));
            stored.number.set(number + 1);
            stored.enough.set(WORTH_KEEPING);
        } else if log.open_bytes() >= stored.enough.get() {
            writes.push(record(number, log.open_line()));
            stored.enough.set(2 * log.open_bytes());
        }
    }
}

impl<P: Platform> Keeper<P> {
    /// For a run of which `settled` messages are in the conversation.
    pub(crate) fn new(entered: Option<Entered<P>>, settled: usize, journal: Option<Journal<P>>) -> Keeper<P> {
        let (pending, late, cleared) = (RefCell::default(), RefCell::default(), Cell::default());
        let (busy, line) = (Cell::new(false), Line::default());
        Keeper {
            entered: RefCell::new(entered),
            settled: Cell::new(settled),
            journal,
            pending,
            late,
            cleared,
            busy,
            line,
        }
    }

    /// The run is recorded.
    pub(crate) fn records(&self) -> bool {
        self.journal.is_some()
    }

    /// The run is about to be told that.
    pub(crate) fn fact(&self, fact: &Fact, now: UnixMillis) {
        if let Some(journal) = &self.journal {
            journal.log.borrow_mut().note(fact, now);
        }
    }

    /// It was told all of this moment, and is asked for its next steps.
    pub(crate) fn end_line(&self) {
        if let Some(journal) = &self.journal {
            journal.log.borrow_mut().end_line();
        }
    }

    /// The log so far.
    pub(crate) fn log(&self, run: &Run) -> Option<String> {
        self.journal.as_ref().map(|journal| journal.text(run))
    }

    /// Looks at what the run has come to, when it has taken its steps. True when there is something to be written.
    pub(crate) fn note(&self, platform: &P, run: &Run, keeps_log: bool) -> bool {
        // What says how the history is shown belongs to the answer behind it.
        let said = run.messages().iter().rposition(|message| !is_mark(message)).map_or(0, |last| last + 1);
        let messages = &run.messages()[..said];
        let mut pending = self.pending.borrow_mut();
        // A prompt that nothing was answered to is none of the conversation.
        if let Some(entered) = &*self.entered.borrow()
            && messages.len() > self.settled.get().max(run.begun_with() + 1)
        {
            let news = &messages[self.settled.replace(messages.len())..];
            pending.extend(entered.append(platform, news, run.held()));
        }
        if let Some(journal) = &self.journal {
            if keeps_log {
                journal.writes(run, &mut pending);
            } else if journal.stored.is_some() {
                pending.push(Write::remove_prefix(Space::Journal, key(&[run.id(), ""])));
            }
        }
        !pending.is_empty()
    }

    /// Whether the user has removed what was said in the conversation, and the log.
    fn removed(&self) -> (bool, bool) {
        let said = self.entered.borrow().as_ref().is_some_and(Entered::is_removed);
        let stored = self.journal.as_ref().and_then(|journal| journal.stored.as_ref());
        (said, said || stored.is_some_and(|stored| stored.removals.0.get() != stored.removals.1))
    }

    /// Nothing is kept any more of what was removed, and what was stored meanwhile goes too.
    fn without_removed(&self, batch: &mut Vec<Write>) -> (bool, bool) {
        let removed @ (said, log) = self.removed();
        batch.retain(|write| match write {
            Write::Put { space: Space::Conversations, .. } => !said,
            Write::Put { space: Space::Journal, .. } => !log,
            _ => true,
        });
        if self.cleared.replace(removed) != removed {
            let of = self.conversation().filter(|_| said);
            batch.extend(of.map(|id| Write::remove_prefix(Space::Conversations, key(&[&id, ""]))));
            let of = self.journal.as_ref().filter(|_| log);
            batch.extend(of.map(|journal| Write::remove_prefix(Space::Journal, key(&[&journal.header.setup.id, ""]))));
        }
        removed
    }

    /// Writes what was noted so far. What could not be stored is kept in memory, so nothing fails by it.
    pub(crate) async fn flush(&self, platform: &P) {
        let place = self.line.join();
        (&place).await;
        let mut batch = self.late.take();
        batch.append(&mut self.pending.borrow_mut());
        loop {
            let removed = self.without_removed(&mut batch);
            if batch.is_empty() {
                return;
            }
            self.busy.set(true);
            let written = within(platform, PATIENCE, &Cancel::new(), platform.write(batch.clone())).await;
            self.busy.set(false);
            if written.is_err() {
                // Whether it was stored nobody knows. It goes with what comes next, since a second time does no harm.
                *self.late.borrow_mut() = batch;
            }
            if self.removed() == removed {
                return;
            }
            // Removed while this was on its way: nobody knows which came first.
            batch = self.late.take();
        }
    }

    /// Something that was noted before is not stored yet.
    pub(crate) fn is_behind(&self) -> bool {
        self.busy.get() || !self.late.borrow().is_empty()
    }

    /// Id of the conversation that it is in.
    pub(crate) fn conversation(&self) -> Option<String> {
        self.entered.borrow().as_ref().map(|entered| entered.id().to_owned())
    }

    /// Servers whose private data its conversation held before.
    pub(crate) fn held(&self) -> Vec<String> {
        self.entered.borrow().as_ref().map(Entered::held).unwrap_or_default()
    }

    /// Lets the next run into the conversation, and others take up this one.
    pub(crate) fn leave(&self) {
        if let Some(entered) = self.entered.take() {
            entered.owe(self.late.take());
        }
        if let Some(Journal { stored: Some(stored), .. }) = &self.journal {
            stored.lock.take();
        }
    }
}
