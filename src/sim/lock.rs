//! Locks by name, as tabs of one browser share them.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use super::platform::SimPlatform;

/// Somebody who holds a lock or waits for it.
pub(super) struct Queued {
    name: String,
    ticket: u64,
    waker: Option<Waker>,
}

/// Locks that somebody forgot: what says that a session is used is held as long as its connection is there.
pub(super) fn left(locks: &[Queued]) -> usize {
    locks.iter().filter(|queued| !queued.name.starts_with("session ")).count()
}

/// A lock that is held, or waited for; dropping it lets the next one in.
pub struct SimLock {
    sim: SimPlatform,
    name: String,
    ticket: u64,
}

impl SimLock {
    pub(super) async fn wait(sim: &SimPlatform, name: &str) -> SimLock {
        let ticket = sim.world.locks.borrow().last().map_or(0, |last| last.ticket + 1);
        sim.world.locks.borrow_mut().push(Queued { name: name.to_owned(), ticket, waker: None });
        // Leaves the queue wherever this future is dropped.
        let lock = SimLock { sim: sim.clone(), name: name.to_owned(), ticket };
        poll_fn(|context| {
            let mut locks = lock.sim.world.locks.borrow_mut();
            let first = locks.iter_mut().find(|queued| queued.name == lock.name);
            if first.is_some_and(|first| first.ticket == lock.ticket) {
                return Poll::Ready(());
            }
            if let Some(mine) = locks.iter_mut().find(|queued| queued.ticket == lock.ticket) {
                mine.waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
        lock
    }

    /// Somebody holds a lock whose name begins so, other than that one. Whoever holds one has it from the moment of asking,
    /// where nobody was before it.
    pub(super) fn is_held(sim: &SimPlatform, prefix: &str, but: &str) -> bool {
        sim.world.locks.borrow().iter().any(|queued| queued.name.starts_with(prefix) && queued.name != but)
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut locks = self.sim.world.locks.borrow_mut();
        locks.retain(|queued| queued.ticket != self.ticket);
        let next = locks.iter_mut().find(|queued| queued.name == self.name).and_then(|next| next.waker.take());
        drop(locks);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}
