//! What a run keeps in the store, in the order in which it happened.

use std::cell::{Cell, RefCell};

use crate::agent::run::Run;
use crate::agent::view::is_mark;
use crate::drive::conversation::Entered;
use crate::drive::line::Line;
use crate::drive::wait::{Cancel, within};
use crate::platform::{Platform, Write};
use crate::time::Millis;

/// How long a store may hold a run up.
const PATIENCE: Millis = Millis::from_secs(5);

/// What one run has to keep.
pub(crate) struct Keeper<P: Platform> {
    /// The conversation that it is in, until it has ended.
    entered: RefCell<Option<Entered<P>>>,
    /// How many messages of its history are in the conversation.
    settled: Cell<usize>,
    pending: RefCell<Vec<Write>>,
    line: Line,
}

impl<P: Platform> Keeper<P> {
    pub(crate) fn new(entered: Option<Entered<P>>, run: &Run) -> Keeper<P> {
        let settled = Cell::new(run.begun_with());
        Keeper { entered: RefCell::new(entered), settled, pending: RefCell::default(), line: Line::default() }
    }

    /// Looks at what the run has come to. True when there is something to be written.
    pub(crate) fn note(&self, platform: &P, run: &Run) -> bool {
        // What says how the history is shown belongs to the answer behind it.
        let said = run.messages().iter().rposition(|message| !is_mark(message)).map_or(0, |last| last + 1);
        let messages = &run.messages()[..said];
        // A prompt that nothing was answered to is none of the conversation.
        if let Some(entered) = &*self.entered.borrow()
            && messages.len() > self.settled.get().max(run.begun_with() + 1)
        {
            let news = &messages[self.settled.replace(messages.len())..];
            self.pending.borrow_mut().extend(entered.append(platform, news));
        }
        !self.pending.borrow().is_empty()
    }

    /// Writes what was noted so far. What could not be stored is kept in memory, so nothing fails by it.
    pub(crate) async fn flush(&self, platform: &P) {
        let place = self.line.join();
        (&place).await;
        let batch = self.pending.take();
        if !batch.is_empty() {
            let _ = within(platform, PATIENCE, &Cancel::new(), platform.write(batch)).await;
        }
    }

    /// Id of the conversation that it is in.
    pub(crate) fn conversation(&self) -> Option<String> {
        self.entered.borrow().as_ref().map(|entered| entered.id().to_owned())
    }

    /// Lets the next run into the conversation.
    pub(crate) fn leave(&self) {
        self.entered.take();
    }
}
