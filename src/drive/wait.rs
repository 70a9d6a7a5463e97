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
    pub fn cancelled(&self) -> Cancelled<'_> {
        Cancelled { state: &self.0, id: self.0.next.replace(self.0.next.get() + 1) }
    }
}

/// Waits for a cancel.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Cancelled<'a> {
    state: &'a CancelState,
    id: u64,
}

impl Future for Cancelled<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.state.cancelled.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.state.waiting.borrow_mut();
        match waiting.iter_mut().find(|(known, _)| *known == self.id) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => waiting.push((self.id, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Cancelled<'_> {
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

    /// Waits for `work`, while they go on.
    pub(crate) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|task| {
            let _ = self.poll(task);
            work.as_mut().poll(task)
        })
        .await
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
/// [`Stop`] says which of the two came first; a result that is there already always wins.
pub fn within<'a, P: Platform, T>(
    platform: &'a P,
    limit: Millis,
    cancel: &'a Cancel,
    future: impl Future<Output = T> + 'a,
) -> Until<'a, T> {
    Until { work: Box::pin(future), timer: Some(Box::pin(platform.sleep(limit))), cancelled: cancel.cancelled() }
}

/// Waits for `future`, but not past a cancel. The future is dropped when it loses.
///
/// The only error is [`Stop::Cancelled`]; a result that is there already always wins.
pub fn unless_cancelled<'a, T>(cancel: &'a Cancel, future: impl Future<Output = T> + 'a) -> Until<'a, T> {
    Until { work: Box::pin(future), timer: None, cancelled: cancel.cancelled() }
}

/// A wait with a way out. Boxed, because an own kind of it for each future was 8 kB of the wasm.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Until<'a, T> {
    work: Pin<Box<dyn Future<Output = T> + 'a>>,
    timer: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    cancelled: Cancelled<'a>,
}

impl<T> Future for Until<'_, T> {
    type Output = Result<T, Stop>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, Stop>> {
        match self.work.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Ok(result)),
            Poll::Pending => {
                let Until { timer, cancelled, .. } = &mut *self;
                halted(timer.as_mut().map(Pin::as_mut), cancelled, context).map(Err)
            }
        }
    }
}

fn halted(
    timer: Option<Pin<&mut (dyn Future<Output = ()> + '_)>>,
    cancelled: &mut Cancelled<'_>,
    context: &mut Context<'_>,
) -> Poll<Stop> {
    if timer.is_some_and(|timer| timer.poll(context).is_ready()) {
        return Poll::Ready(Stop::TimedOut);
    }
    Pin::new(cancelled).poll(context).map(|()| Stop::Cancelled)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use futures_util::FutureExt;

    use super::*;

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
    fn a_cancel_wakes_each_task_that_waits() {
        struct Woken(AtomicUsize);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let cancel = Cancel::new();
        let tasks = [(); 3].map(|()| Arc::new(Woken(AtomicUsize::new(0))));
        let mut waits = [(); 3].map(|()| Box::pin(cancel.cancelled()));
        for (wait, task) in waits.iter_mut().zip(&tasks) {
            let waker = Waker::from(task.clone());
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        cancel.cancel();
        assert_eq!(tasks.map(|task| task.0.load(Ordering::Relaxed)), [1, 1, 1]);
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
