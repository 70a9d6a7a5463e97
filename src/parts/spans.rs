//! Spans as a part: notes in, the spans that ended out.
//!
//! ```text
//! {"header":{"run":...,"trace":...},"begin":[message, ...],"notes":[{"at":...,"event":{...}}, ...]}
//! [{"traceId":...,"spanId":...,"name":"chat ...", ...}, ...]
//! ```
//!
//! `begin` comes with the first notes of a run that is to have content.

use serde_json::Value;

use super::State;
use crate::agent::spans::Spans;
use crate::json;
use crate::platform::{PartResult, Platform};

pub(super) fn answer<P: Platform>(state: &State<P>, request: &str) -> PartResult {
    let request: Value = serde_json::from_slice(request.as_bytes()).map_err(|_| "the request cannot be read")?;
    let (header, notes) = (request.get("header"), request.get("notes").and_then(Value::as_array));
    let (Some(header), Some(notes)) = (header, notes) else { return Err("the request cannot be read".into()) };
    let run = header.get("run").and_then(Value::as_str).unwrap_or("");
    let mut open = state.spans.borrow_mut();
    let place = open.iter().position(|(known, _)| known == run);
    let place = place.unwrap_or_else(|| {
        let mut spans = Spans::new(header);
        spans.begin_with(request.get("begin").unwrap_or(&Value::Null));
        open.push((run.to_owned(), spans));
        open.len() - 1
    });
    let (mut ended, mut over) = (Vec::new(), false);
    for note in notes {
        over |= open[place].1.apply(note, &mut ended);
    }
    if over {
        open.remove(place);
    }
    Ok(json::text(&Value::Array(ended)))
}
