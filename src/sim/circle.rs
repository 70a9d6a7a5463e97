//! Circles of tabs, in which each hears what the others say a little later.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use super::platform::SimPlatform;
use crate::platform::{Circle, Platform};
use crate::time::Millis;

/// Longest that words take from one tab to another.
const SLOWEST: Millis = Millis(20);

/// Somebody who has joined.
pub(super) struct Member {
    name: String,
    id: u64,
    /// What it has still to hear, and when.
    words: VecDeque<(Millis, String)>,
    waker: Option<Waker>,
}

/// A place in a circle; dropping it leaves.
pub struct SimCircle {
    sim: SimPlatform,
    id: u64,
}

impl SimCircle {
    pub(super) fn join(sim: &SimPlatform, name: &str) -> SimCircle {
        let members = &sim.world.circles;
        let id = members.borrow().last().map_or(0, |last| last.id + 1);
        let member = Member { name: name.to_owned(), id, words: VecDeque::new(), waker: None };
        members.borrow_mut().push(member);
        SimCircle { sim: sim.clone(), id }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Member) -> T) -> Option<T> {
        self.sim.world.circles.borrow_mut().iter_mut().find(|member| member.id == self.id).map(look)
    }
}

impl Circle for SimCircle {
    fn say(&self, text: &str) {
        if self.sim.is_dead() {
            return;
        }
        let Some(name) = self.with(|member| member.name.clone()) else { return };
        let mut network = self.sim.world.network.borrow_mut();
        let now = self.sim.elapsed();
        let mut members = self.sim.world.circles.borrow_mut();
        for member in members.iter_mut().filter(|member| member.name == name && member.id != self.id) {
            let due = Millis(now.0 + network.within(1..=SLOWEST.0));
            let last = member.words.back().map_or(Millis(0), |(due, _)| *due);
            member.words.push_back((due.max(last), text.to_owned()));
            if let Some(waker) = member.waker.take() {
                waker.wake();
            }
        }
    }

    async fn hear(&self) -> String {
        loop {
            let due = poll_fn(|context| {
                let due = self.with(|member| {
                    member.waker = Some(context.waker().clone());
                    member.words.front().map(|(due, _)| *due)
                });
                due.flatten().map_or(Poll::Pending, Poll::Ready)
            });
            let due = due.await;
            let now = self.sim.elapsed();
            if due > now {
                self.sim.sleep(Millis(due.0 - now.0)).await;
            }
            if let Some(Some((_, text))) = self.with(|member| member.words.pop_front()) {
                return text;
            }
        }
    }
}

impl Drop for SimCircle {
    fn drop(&mut self) {
        self.sim.world.circles.borrow_mut().retain(|member| member.id != self.id);
    }
}

pub(super) type Circles = RefCell<Vec<Member>>;
