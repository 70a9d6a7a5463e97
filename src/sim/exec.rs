//! A single-threaded executor with virtual time.
//!
//! A task is polled only when it was woken, so that a lost wake-up shows as a deadlock instead of being papered
//! over. Which of several woken tasks goes first is drawn by seed. Time stands still while anything can run, then
//! jumps to the next timer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use super::rng::Rng;
use crate::time::Millis;

/// Why the simulation could not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing is ready and no timer runs: somebody waits for what will never come.
    Deadlock,
    /// More than [`MAX_POLLS`] polls at one instant.
    Livelock,
    /// Virtual time went past the limit.
    TooLong,
}

/// The simulation could not go on: a failure of the test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Why.
    pub why: Why,
    /// Virtual time since the start.
    pub at: Millis,
    /// Names of the tasks that were not done.
    pub tasks: Vec<String>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} ms; not done: {}", self.why, self.at.0, self.tasks.join(", "))
    }
}

/// Most polls without time moving on.
pub const MAX_POLLS: u32 = 200_000;

const MAIN: u64 = 0;

struct Task {
    name: String,
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

struct TaskWaker {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Nobody panics while holding the lock: the two places that take it do nothing but move numbers.
        let mut ready = self.ready.0.lock().unwrap();
        if !ready.contains(&self.task) {
            ready.push(self.task);
        }
    }
}

type Hook = Box<dyn FnOnce()>;

pub(super) struct Executor {
    time: Cell<u64>,
    limit: Cell<u64>,
    polls: Cell<u64>,
    next_id: Cell<u64>,
    rng: RefCell<Rng>,
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    hooks: RefCell<BTreeMap<u64, Vec<Hook>>>,
    ready: Arc<Ready>,
}

impl Executor {
    pub(super) fn new(rng: Rng) -> Executor {
        Executor {
            time: Cell::new(0),
            limit: Cell::new(Millis::from_secs(30 * 24 * 3600).0),
            polls: Cell::new(0),
            next_id: Cell::new(1),
            rng: RefCell::new(rng),
            timers: RefCell::default(),
            tasks: RefCell::default(),
            hooks: RefCell::default(),
            ready: Arc::default(),
        }
    }

    pub(super) fn time(&self) -> Millis {
        Millis(self.time.get())
    }

    pub(super) fn polls(&self) -> u64 {
        self.polls.get()
    }

    pub(super) fn set_limit(&self, limit: Millis) {
        self.limit.set(limit.0);
    }

    pub(super) fn timers(&self) -> usize {
        self.timers.borrow().len()
    }

    pub(super) fn tasks(&self) -> Vec<String> {
        self.tasks.borrow().values().map(|task| task.name.clone()).collect()
    }

    pub(super) fn drop_tasks(&self) {
        // Taken out first: dropping a task may drop what looks at the table again.
        let tasks = self.tasks.take();
        drop(tasks);
    }

    pub(super) fn at_poll(&self, poll: u64, hook: Hook) {
        self.hooks.borrow_mut().entry(poll).or_default().push(hook);
    }

    pub(super) fn spawn(&self, name: &str, future: Pin<Box<dyn Future<Output = ()>>>) {
        let id = self.fresh_id();
        self.tasks.borrow_mut().insert(id, Task { name: name.to_owned(), future: Some(future) });
        self.waker(id).wake();
    }

    /// Runs until `main` is done; other tasks may be left. `moved` is told each time that time moves.
    pub(super) fn block_on<T>(&self, main: impl Future<Output = T>, moved: &dyn Fn()) -> Result<T, Stuck> {
        let mut main = pin!(main);
        let waker = self.waker(MAIN);
        waker.wake_by_ref();
        let mut at_this_instant = 0;
        loop {
            let Some(task) = self.next_ready() else {
                self.advance()?;
                moved();
                at_this_instant = 0;
                continue;
            };
            at_this_instant += 1;
            if at_this_instant > MAX_POLLS {
                return Err(self.stuck(Why::Livelock));
            }
            self.polls.set(self.polls.get() + 1);
            let hooks = self.hooks.borrow_mut().remove(&self.polls.get());
            for hook in hooks.into_iter().flatten() {
                hook();
            }
            if task == MAIN {
                if let Poll::Ready(value) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Ok(value);
                }
            } else {
                self.poll_task(task);
            }
        }
    }

    fn poll_task(&self, id: u64) {
        // The future leaves the table while it is polled: it may spawn.
        let future = self.tasks.borrow_mut().get_mut(&id).and_then(|task| task.future.take());
        let Some(mut future) = future else { return };
        let waker = self.waker(id);
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        if done {
            drop(future);
            self.tasks.borrow_mut().remove(&id);
        } else if let Some(task) = self.tasks.borrow_mut().get_mut(&id) {
            task.future = Some(future);
        }
    }

    fn next_ready(&self) -> Option<u64> {
        let mut ready = self.ready.0.lock().unwrap();
        if ready.is_empty() {
            return None;
        }
        let index = self.rng.borrow_mut().below(ready.len());
        Some(ready.remove(index))
    }

    fn advance(&self) -> Result<(), Stuck> {
        let next = self.timers.borrow().keys().next().copied();
        let Some((at, _)) = next else { return Err(self.stuck(Why::Deadlock)) };
        if at > self.limit.get() {
            return Err(self.stuck(Why::TooLong));
        }
        self.time.set(at);
        let later = self.timers.borrow_mut().split_off(&(at + 1, 0));
        let due = self.timers.replace(later);
        for waker in due.into_values() {
            waker.wake();
        }
        Ok(())
    }

    fn stuck(&self, why: Why) -> Stuck {
        Stuck { why, at: self.time(), tasks: self.tasks() }
    }

    fn waker(&self, task: u64) -> Waker {
        Waker::from(Arc::new(TaskWaker { task, ready: self.ready.clone() }))
    }

    fn fresh_id(&self) -> u64 {
        self.next_id.replace(self.next_id.get() + 1)
    }

    pub(super) fn sleep_until(&self, at: Millis) -> Sleep<'_> {
        Sleep { executor: self, at: at.0, id: None }
    }
}

/// Ends at an instant, never at the first poll, as `setTimeout(0)` does. Dropping it frees the timer.
pub(super) struct Sleep<'a> {
    executor: &'a Executor,
    at: u64,
    id: Option<u64>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut timers = self.executor.timers.borrow_mut();
        if let Some(id) = self.id {
            return match timers.get_mut(&(self.at, id)) {
                Some(waker) => {
                    waker.clone_from(context.waker());
                    Poll::Pending
                }
                // The executor took it out, so it is due.
                None => Poll::Ready(()),
            };
        }
        let id = self.executor.fresh_id();
        let at = self.at.max(self.executor.time.get());
        timers.insert((at, id), context.waker().clone());
        drop(timers);
        self.at = at;
        self.id = Some(id);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.executor.timers.borrow_mut().remove(&(self.at, id));
        }
    }
}
