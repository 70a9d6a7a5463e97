//! An answer that broke off is gone on with, as models do it: from the words that they were told to repeat, or from the
//! start.

use super::Said;
use super::script::{Spoken, pieces};
use crate::sim::net::Peer;

const INTERRUPTED: &str = "(The connection broke while you were answering.";
const NAMES: &str = "(Call only these tools, by exactly these names:";

/// What a request says besides the history.
#[derive(Default)]
pub(super) struct Wish {
    /// The beginning of the answer, and the words to begin with; none where it stands at the end to be gone on with.
    pub(super) resume: Option<(String, Option<String>)>,
}

/// Takes out of the history what does not stay in it.
pub(super) fn take_wish(said: &mut Vec<Said>) -> Wish {
    let mut wish = Wish::default();
    let note = match said.last_mut() {
        Some(Said::User(text)) if text.starts_with(INTERRUPTED) || text.starts_with(NAMES) => {
            let note = std::mem::take(text);
            said.pop();
            Some(note)
        }
        Some(Said::User(text)) => {
            if let Some(at) = text.find(&["\n\n", NAMES].concat()) {
                text.truncate(at);
            }
            None
        }
        _ => None,
    };
    let told = note.filter(|note| note.starts_with(INTERRUPTED));
    let anchor = told.as_ref().and_then(|note| {
        let (_, rest) = note.split_once("its last words, \"")?;
        Some(rest.rsplit_once("\", and go on")?.0.to_owned())
    });
    if let Some(Said::Model { text, calls }) = said.last()
        && calls.is_empty()
    {
        wish.resume = Some((text.clone(), anchor));
        said.pop();
    }
    wish
}

/// The rest of an answer of which the client has `shown`.
pub(super) fn resume(whole: &Spoken, shown: &str, anchor: Option<&str>, peer: &mut Peer<'_>) -> Spoken {
    let text = whole.text();
    if !text.starts_with(shown) || shown.is_empty() {
        peer.violation(format!("asked to go on from {shown:?}, which was not said"));
    }
    let from = match anchor {
        Some(anchor) => {
            let from = shown.trim_end().len().saturating_sub(anchor.len());
            if shown.trim_end().get(from..) != Some(anchor) {
                peer.violation(format!("{anchor:?} are not the last words of {shown:?}"));
            }
            if peer.rng.chance(300) { 0 } else { from }
        }
        None => shown.len(),
    };
    let rest = text.get(from..).unwrap_or("").to_owned();
    Spoken { text: pieces(&rest, peer.rng), thinking: Vec::new(), fails: false, ..whole.clone() }
}
