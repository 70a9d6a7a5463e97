//! One piece of work that any number of callers wait for.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

/// A share of a future. It goes on as long as somebody waits for it, whoever that is, and gives each a copy of its outcome.
///
/// As `Shared` of futures-util, without its slab and its waker for threads: 5 kB of the wasm.
pub(crate) struct Share<T> {
    state: Rc<State<T>>,
    id: u32,
}

/// Finds the future again while somebody waits for it.
pub(crate) struct WeakShare<T>(Weak<State<T>>);

struct State<T> {
    work: RefCell<Work<T>>,
    queue: RefCell<Queue>,
}

enum Work<T> {
    Running(Pin<Box<dyn Future<Output = T>>>),
    Ended(T),
}

#[derive(Default)]
struct Queue {
    last: u32,
    waiting: Vec<(u32, Waker)>,
}

impl Queue {
    fn number(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.last
    }

    fn wait(&mut self, id: u32, waker: &Waker) {
        self.forget(id);
        self.waiting.push((id, waker.clone()));
    }

    fn forget(&mut self, id: u32) {
        self.waiting.retain(|(known, _)| *known != id);
    }
}

/// Wakes everybody: the future itself knows only the waker of whoever polled it last.
fn wake_all(queue: &RefCell<Queue>) {
    let waiting = std::mem::take(&mut queue.borrow_mut().waiting);
    for (_, waker) in waiting {
        waker.wake();
    }
}

impl<T> Share<T> {
    /// The first share of that work; nothing starts before somebody waits.
    pub(crate) fn new(work: impl Future<Output = T> + 'static) -> Share<T> {
        let work = RefCell::new(Work::Running(Box::pin(work)));
        Share { state: Rc::new(State { work, queue: RefCell::default() }), id: 0 }
    }

    pub(crate) fn downgrade(&self) -> WeakShare<T> {
        WeakShare(Rc::downgrade(&self.state))
    }

    /// The outcome is known.
    #[cfg(feature = "parts")]
    pub(crate) fn is_over(&self) -> bool {
        // It is borrowed only while the work is at it.
        self.state.work.try_borrow().is_ok_and(|work| matches!(*work, Work::Ended(_)))
    }
}

impl<T> WeakShare<T> {
    /// Another share, unless everybody has left.
    pub(crate) fn upgrade(&self) -> Option<Share<T>> {
        let state = self.0.upgrade()?;
        let id = state.queue.borrow_mut().number();
        Some(Share { state, id })
    }
}

impl<T: Clone> Future for Share<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let State { work, queue } = &*self.state;
        let mut at = work.borrow_mut();
        let outcome = match &mut *at {
            Work::Ended(outcome) => return Poll::Ready(outcome.clone()),
            Work::Running(future) => future.as_mut().poll(context),
        };
        match outcome {
            Poll::Ready(outcome) => {
                let before = std::mem::replace(&mut *at, Work::Ended(outcome.clone()));
                drop(at);
                // What the work owned may come back here when it goes.
                drop(before);
                queue.borrow_mut().forget(self.id);
                wake_all(queue);
                Poll::Ready(outcome)
            }
            Poll::Pending => {
                queue.borrow_mut().wait(self.id, context.waker());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Share<T> {
    fn drop(&mut self) {
        let mut queue = self.state.queue.borrow_mut();
        queue.forget(self.id);
        drop(queue);
        // It may have been the one whom the work would wake: somebody else has to go on with it.
        wake_all(&self.state.queue);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use futures_util::FutureExt;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls a share for a task of its own, and counts how often that one was woken.
    struct Task(Share<u32>, Arc<Count>);

    impl Task {
        fn new(share: Share<u32>) -> Task {
            Task(share, Arc::default())
        }

        fn poll(&mut self) -> Poll<u32> {
            self.0.poll_unpin(&mut Context::from_waker(&Waker::from(self.1.clone())))
        }

        fn woken(&self) -> u32 {
            self.1.0.load(Ordering::Relaxed)
        }
    }

    type LastWaker = Rc<Cell<Option<Waker>>>;

    /// Work that a test ends, and what wakes whoever is at it.
    fn work() -> (Share<u32>, Rc<Cell<bool>>, LastWaker) {
        let (done, waker) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(None::<Waker>)));
        let share = Share::new(poll_fn({
            let (done, waker) = (done.clone(), waker.clone());
            move |context| {
                if done.get() {
                    return Poll::Ready(7);
                }
                waker.set(Some(context.waker().clone()));
                Poll::Pending
            }
        }));
        (share, done, waker)
    }

    #[test]
    fn all_have_the_outcome_and_the_last_one_that_polled_drives() {
        let (share, done, waker) = work();
        let weak = share.downgrade();
        let mut first = Task::new(share);
        let mut second = Task::new(weak.upgrade().unwrap());
        assert!(first.poll().is_pending() && second.poll().is_pending() && !second.0.is_over());
        done.set(true);
        waker.take().unwrap().wake();
        assert_eq!((first.woken(), second.woken()), (0, 1));
        assert_eq!(second.poll(), Poll::Ready(7));
        assert_eq!(first.woken(), 1, "the outcome wakes whoever else waits");
        assert_eq!(first.poll(), Poll::Ready(7));
        assert!(first.0.is_over());
    }

    #[test]
    fn another_goes_on_when_the_one_at_work_leaves() {
        let (share, done, waker) = work();
        let weak = share.downgrade();
        let mut first = Task::new(share);
        let mut second = Task::new(weak.upgrade().unwrap());
        assert!(first.poll().is_pending() && second.poll().is_pending());
        drop(second);
        assert_eq!(first.woken(), 1);
        assert!(first.poll().is_pending());
        done.set(true);
        waker.take().unwrap().wake();
        assert_eq!(first.woken(), 2);
        assert_eq!(first.poll(), Poll::Ready(7));
        drop(first);
        assert!(weak.upgrade().is_none());
    }
}
