//! What the shell waits for: asked for under a ticket, a number of the shell's, and answered through [`door::answer`].

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;

use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::door;
use crate::drive::wait::Cancel;
use crate::error::{Error, Result};

thread_local! {
    /// What is at work and can be cancelled, by ticket.
    static AT_WORK: RefCell<Vec<(u32, Cancel)>> = const { RefCell::new(Vec::new()) };
}

/// Cancels what was asked for under that ticket; one that is answered already is left alone.
#[wasm_bindgen]
pub fn cancel(ticket: u32) {
    let found = AT_WORK.with_borrow(|at_work| at_work.iter().find(|(known, _)| *known == ticket).cloned());
    if let Some((_, cancel)) = found {
        cancel.cancel();
    }
}

/// Does `work` on its own and answers the ticket with what comes of it.
pub(super) fn work<F: Future<Output = Result<String>> + 'static>(ticket: u32, work: impl FnOnce(Cancel) -> F) {
    let cancel = Cancel::new();
    work_boxed(ticket, cancel.clone(), Box::pin(work(cancel)));
}

/// One copy for all kinds of work.
fn work_boxed(ticket: u32, cancel: Cancel, work: Pin<Box<dyn Future<Output = Result<String>>>>) {
    AT_WORK.with_borrow_mut(|at_work| at_work.push((ticket, cancel)));
    door::spawn(async move {
        let result = work.await;
        AT_WORK.with_borrow_mut(|at_work| at_work.retain(|(known, _)| *known != ticket));
        door::answer(ticket, result.map_err(|error| thrown(&error)));
    });
}

pub(super) fn text<T: Serialize>(value: &T) -> String {
    // Everything that crosses has string keys, and serde_json writes a number that is not finite as null.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

pub(super) fn thrown(error: &Error) -> String {
    text(error)
}
