//! Waiting with a way out: cancel tokens and deadlines.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::platform::Platform;
use crate::time::Millis;

/// A wish to stop that any number of futures can wait for. Clones share it; it cannot be taken back.
#[derive(Clone, Default)]
pub struct Cancel(Rc<CancelState>);

#[derive(Default)]
struct CancelState {
    cancelled: Cell<bool>,
    next: Cell<u64>,
    waiting: RefCell<Vec<(u64, Waker)>>,
}

impl Cancel {
    /// A token that nobody has cancelled yet.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Cancels; again does nothing.
    pub fn cancel(&self) {
        if !self.0.cancelled.replace(true) {
            for (_, waker) in self.0.waiting.take() {
                waker.wake();
            }
        }
    }

    /// True once cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.get()
    }

    /// Ends when cancelled, at once if it is already. Dropping it forgets the waiter.
    pub async fn cancelled(&self) {
        let id = self.0.next.replace(self.0.next.get() + 1);
        let _forget = Forget { state: &self.0, id };
        poll_fn(|context| {
            if self.0.cancelled.get() {
                return Poll::Ready(());
            }
            let mut waiting = self.0.waiting.borrow_mut();
            match waiting.iter_mut().find(|(known, _)| *known == id) {
                Some((_, waker)) => waker.clone_from(context.waker()),
                None => waiting.push((id, context.waker().clone())),
            }
            Poll::Pending
        })
        .await
    }
}

struct Forget<'a> {
    state: &'a CancelState,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.state.waiting.borrow_mut().retain(|(id, _)| *id != self.id);
    }
}

/// Futures that are at work together. A handful at a time, so each wake-up polls all of them: in wasm that is 10 kB
/// smaller than a set that knows which of them woke.
#[derive(Default)]
pub(crate) struct Jobs<'a>(Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>);

impl<'a> Jobs<'a> {
    pub(crate) fn push(&mut self, job: impl Future<Output = ()> + 'a) {
        self.0.push(Box::pin(job));
    }

    /// Lets every job go on as far as it can. Ready once there is none left.
    pub(crate) fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        self.0.retain_mut(|job| job.as_mut().poll(task).is_pending());
        if self.0.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits for all of them.
    pub(crate) async fn finish(mut self) {
        poll_fn(|task| self.poll(task)).await;
    }
}

/// Why a wait ended without its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Somebody cancelled.
    Cancelled,
    /// The time was up.
    TimedOut,
}

/// Waits for `future`, but no longer than `limit` and not past a cancel. The future is dropped when it loses.
///
/// # Errors
///
/// [`Stop`] says which of the two came first; a result that is there already always wins.
pub async fn within<P: Platform, T>(
    platform: &P,
    limit: Millis,
    cancel: &Cancel,
    future: impl Future<Output = T>,
) -> Result<T, Stop> {
    let mut timer = pin!(platform.sleep(limit));
    let mut future = pin!(future);
    let timed = poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Ok(result)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| Err(Stop::TimedOut)),
    });
    unless_cancelled(cancel, timed).await?
}

/// Waits for `future`, but not past a cancel. The future is dropped when it loses.
///
/// # Errors
///
/// [`Stop::Cancelled`]; a result that is there already always wins.
pub async fn unless_cancelled<T>(cancel: &Cancel, future: impl Future<Output = T>) -> Result<T, Stop> {
    let mut cancelled = pin!(cancel.cancelled());
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Ok(result)),
        Poll::Pending => cancelled.as_mut().poll(context).map(|()| Err(Stop::Cancelled)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn every_waiter_is_woken_and_forgotten() {
        let cancel = Cancel::new();
        let mut first = Box::pin(cancel.cancelled());
        let mut second = Box::pin(cancel.cancelled());
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(cancel.0.waiting.borrow().len(), 2);
        drop(second);
        assert_eq!(cancel.0.waiting.borrow().len(), 1);
        cancel.clone().cancel();
        assert!(cancel.is_cancelled());
        assert!(first.now_or_never().is_some());
        assert!(cancel.0.waiting.borrow().is_empty());
    }

    #[test]
    fn a_result_that_is_there_beats_a_cancel() {
        let cancel = Cancel::new();
        cancel.cancel();
        assert_eq!(unless_cancelled(&cancel, async { 7 }).now_or_never(), Some(Ok(7)));
        let never = std::future::pending::<()>();
        assert_eq!(unless_cancelled(&cancel, never).now_or_never(), Some(Err(Stop::Cancelled)));
    }
}
