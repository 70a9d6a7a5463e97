//! The decoder of event streams: whatever the cuts, the same events; never more memory than the limit allows.
#![no_main]

use edgewise::sse::{Decoder, Event};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 256;

/// Feeds pieces; gives the events up to the end or the error, and what is remembered for resumption.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, bool, Option<String>) {
    let mut decoder = Decoder::with_limit(LIMIT);
    let mut events = Vec::new();
    let mut failed = false;
    for piece in pieces {
        let fed = decoder.feed(piece, &mut events).is_err();
        assert!(fed || !failed, "an error is for ever");
        failed = fed;
    }
    (events, failed, decoder.last_event_id().map(str::to_owned))
}

fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first() else { return };
    let whole = decode([bytes].into_iter());
    let pieces = decode(bytes.chunks(usize::from(cut % 16) + 1));
    assert_eq!(whole, pieces);
    for event in &whole.0 {
        // The byte that does not belong to UTF-8 becomes one of three.
        assert!(event.data.len() <= 3 * LIMIT && event.event.len() <= 3 * LIMIT);
        assert!(!event.data.contains('\r'), "an end of line is a line feed");
        assert!(event.id.as_ref().is_none_or(|id| !id.contains(['\0', '\n', '\r'])));
    }
});
