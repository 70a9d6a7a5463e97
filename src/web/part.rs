//! The entry of the wasm with the parts: [`crate::parts`] for the shell.

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen::prelude::*;

use super::WebPlatform;
use super::work::{text, work};
use crate::drive::wait::unless_cancelled;
use crate::error::{Code, Error};
use crate::parts::{self, State};
use crate::platform::{Part, PartResult};

/// Agents whose platforms are kept; the one that asked longest ago goes for one more.
const MOST_PLATFORMS: usize = 32;

thread_local! {
    static STATE: Rc<State<WebPlatform>> = Rc::default();
    /// By the number of the agent's functions. Kept, since a platform holds what could not be stored.
    static PLATFORMS: RefCell<Vec<(u32, Rc<WebPlatform>)>> = RefCell::default();
}

fn platform(table: u32) -> Rc<WebPlatform> {
    PLATFORMS.with_borrow_mut(|platforms| {
        let known = platforms.iter().position(|(of, _)| *of == table).map(|place| platforms.remove(place).1);
        let platform = known.unwrap_or_else(|| Rc::new(WebPlatform::new(table)));
        platforms.push((table, platform.clone()));
        platforms.drain(..platforms.len().saturating_sub(MOST_PLATFORMS));
        platform
    })
}

/// Answers for the agent whose functions the shell keeps under `table`.
pub(super) async fn answer(table: u32, part: Part, request: &str) -> PartResult {
    let state = STATE.with(Rc::clone);
    parts::answer(&state, &platform(table), part, request).await
}

/// Asks a part by its name; answers with its text as a JSON string. Cancelled like everything that has a ticket. `table` is
/// the shell's number for the functions of the agent that asks.
#[wasm_bindgen]
pub fn ask(ticket: u32, name: &str, table: u32, request: String) {
    let part = parts::find(name);
    work(ticket, |cancel| async move {
        let answer = async {
            match part {
                Some(part) => self::answer(table, part, &request).await,
                None => Err("there is no such part".to_owned()),
            }
        };
        let answer = unless_cancelled(&cancel, answer).await;
        let answer = answer.unwrap_or_else(|_| Err("cancelled".to_owned()));
        answer.map(|answer| text(&answer)).map_err(|words| Error::new(Code::Misuse, words))
    });
}
