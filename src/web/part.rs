//! The entry of the wasm with the parts: [`crate::parts`] for the shell.

use wasm_bindgen::prelude::*;

use super::work::{text, work};
use crate::drive::wait::unless_cancelled;
use crate::error::{Code, Error};
use crate::parts;

/// Asks a part by its name; answers with its text as a JSON string. Cancelled like everything that has a ticket.
#[wasm_bindgen]
pub fn ask(ticket: u32, name: &str, request: String) {
    let part = parts::find(name);
    work(ticket, |cancel| async move {
        let answer = async {
            match part {
                Some(part) => parts::answer(part, &request).await,
                None => Err("there is no such part".to_owned()),
            }
        };
        let answer = unless_cancelled(&cancel, answer).await;
        let answer = answer.unwrap_or_else(|_| Err("cancelled".to_owned()));
        answer.map(|answer| text(&answer)).map_err(|words| Error::new(Code::Misuse, words))
    });
}
