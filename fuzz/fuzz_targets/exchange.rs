//! One request's answer: at most one, last, the same for every cut; nothing of the body in an error but a short quote.
#![no_main]

use edgewise::http::{Head, Headers};
use edgewise::mcp::era::Era;
use edgewise::mcp::exchange::{Answer, Exchange, Message};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 512;
const STATUS: [u16; 8] = [200, 200, 202, 400, 401, 404, 500, 204];
const MEDIA: [&str; 5] = ["application/json", "text/event-stream", "", "text/html", "application/json; charset=utf-8"];

fn run<'a>(setup: u8, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Message>, Result<(), String>) {
    let era = if setup & 1 == 0 { Era::Modern } else { Era::Legacy };
    let id = (setup & 2 == 0).then_some(3);
    let mut headers = Headers::new();
    headers.set("content-type", MEDIA[usize::from(setup >> 2) % MEDIA.len()]);
    let head = Head { status: STATUS[usize::from(setup >> 5)], headers };
    let mut exchange = Exchange::new(era, "tools/call add on calc", id).limit(LIMIT);
    let mut out = Vec::new();
    let read = || {
        exchange.head(&head)?;
        for piece in pieces {
            exchange.feed(piece, &mut out)?;
        }
        exchange.finish(&mut out)
    };
    let outcome = read().map_err(|failure| {
        assert!(failure.error.message.len() < 2_000, "a quote is short");
        failure.error.message
    });
    assert!(exchange.is_done());
    (out, outcome)
}

fuzz_target!(|input: &[u8]| {
    let [setup, cut, bytes @ ..] = input else { return };
    let (messages, outcome) = run(*setup, [bytes].into_iter());
    let pieces = run(*setup, bytes.chunks(usize::from(cut % 16) + 1));
    assert_eq!((&messages, &outcome), (&pieces.0, &pieces.1));
    let answers = messages.iter().filter(|message| matches!(message, Message::Answer(_))).count();
    assert!(answers <= 1);
    if answers == 1 {
        assert!(matches!(messages.last(), Some(Message::Answer(_))), "nothing comes after the answer");
    } else {
        assert!(outcome.is_err(), "no answer is an error");
    }
    if let Some(Message::Answer(Answer::InputRequired { requests, state })) = messages.last() {
        assert!(!requests.is_empty() || state.is_some());
    }
});
