//! A line to stand in: one at a time, in the order in which they came.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Where one stands in line. Clones are the same line.
#[derive(Clone, Default)]
pub(crate) struct Line(Rc<State>);

#[derive(Default)]
struct State {
    last: Cell<u32>,
    waiting: RefCell<Vec<(u32, Option<Waker>)>>,
}

impl Line {
    /// Takes the last place.
    pub(crate) fn join(&self) -> Place {
        let number = self.0.last.get().wrapping_add(1);
        self.0.last.set(number);
        self.0.waiting.borrow_mut().push((number, None));
        Place { line: self.clone(), number }
    }
}

/// A place in line. Ready once it is the first; leaving it, at whatever time, lets the next one on.
pub(crate) struct Place {
    line: Line,
    number: u32,
}

impl Future for &Place {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.line.0.waiting.borrow_mut();
        if waiting.first().is_some_and(|(first, _)| *first == self.number) {
            return Poll::Ready(());
        }
        if let Some((_, waker)) = waiting.iter_mut().find(|(number, _)| *number == self.number) {
            *waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.line.0.waiting.borrow_mut();
        waiting.retain(|(number, _)| *number != self.number);
        let next = waiting.first_mut().and_then(|(_, waker)| waker.take());
        drop(waiting);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn one_at_a_time_in_the_order_of_coming_whoever_leaves() {
        let line = Line::default();
        let (first, second, third) = (line.join(), line.join(), line.join());
        assert!((&first).now_or_never().is_some());
        assert!((&second).now_or_never().is_none() && (&third).now_or_never().is_none());
        drop(second);
        assert!((&third).now_or_never().is_none(), "the first one is still there");
        drop(first);
        assert!((&third).now_or_never().is_some());
    }
}
