//! Who waits for which answer: messages that come on another stream than that of their request find it by id.
//!
//! Older servers replay messages of other streams after a reconnect, and the oldest answer everything on one stream.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use crate::jsonrpc::{Message, same_number};

/// Every request of a connection that waits for its answer.
#[derive(Default)]
pub(super) struct Inbox(RefCell<Vec<Waiting>>);

struct Waiting {
    id: u64,
    messages: VecDeque<Message>,
    waker: Option<Waker>,
}

/// One request's place in the inbox; given up when dropped.
pub(super) struct Slot<'a> {
    inbox: &'a Inbox,
    id: u64,
}

impl Inbox {
    /// A place for what comes for the request of that id.
    pub(super) fn open(&self, id: u64) -> Slot<'_> {
        self.0.borrow_mut().push(Waiting { id, messages: VecDeque::new(), waker: None });
        Slot { inbox: self, id }
    }

    /// Hands an answer or a progress notice to the request that it belongs to; gives it back when there is none.
    pub(super) fn deliver(&self, message: Message) -> Option<Message> {
        let mut all = self.0.borrow_mut();
        let found = all.iter_mut().find(|waiting| match &message {
            Message::Response { id: Some(id), .. } => id.is(waiting.id),
            Message::Notification { method, params: Some(params) } if method == "notifications/progress" => {
                params.get("progressToken").is_some_and(|token| same_number(token, waiting.id))
            }
            _ => false,
        });
        let Some(waiting) = found else { return Some(message) };
        waiting.messages.push_back(message);
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
        None
    }
}

impl Slot<'_> {
    /// The next message that came.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Message> {
        let mut all = self.inbox.0.borrow_mut();
        let Some(waiting) = all.iter_mut().find(|waiting| waiting.id == self.id) else { return Poll::Pending };
        match waiting.messages.pop_front() {
            Some(message) => Poll::Ready(message),
            None => {
                waiting.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.inbox.0.borrow_mut().retain(|waiting| waiting.id != self.id);
    }
}
