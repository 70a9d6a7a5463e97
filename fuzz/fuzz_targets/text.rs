//! Text that a server wrote: what is freed of hidden characters has none, and nothing that is seen is lost.
#![no_main]

use edgewise::mcp::diagnose;
use edgewise::mcp::trust::{fingerprint, hidden, visible};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let found = hidden(text);
    match visible(text) {
        None => assert!(found.is_empty()),
        Some(seen) => {
            assert!(!found.is_empty());
            let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
            assert_eq!(letters(text), letters(&seen));
            // What stood between two joiners may bring them together; it does not go on for ever.
            let mut seen = seen;
            let mut rounds = 0;
            while let Some(less) = visible(&seen) {
                assert!(less.len() < seen.len());
                (seen, rounds) = (less, rounds + 1);
                assert!(rounds < 3, "{text:?}");
            }
        }
    }
    let print = fingerprint(json!({ "name": "a", "description": text }).as_object().expect("an object"));
    assert_eq!(print.len(), 96);
    // As the answer of a server, and as the facts themselves.
    let _ = diagnose::answer(text);
    let seen = json!({ "status": 200, "headers": { "content-type": "text/event-stream" }, "body": text });
    let facts = json!({ "url": "https://a.test/mcp", "page": null, "headers": [], "answers": {
        "discover": seen, "initialize": seen, "simple": seen, "sse": seen, "list": seen } });
    assert!(diagnose::answer(&facts.to_string()).is_ok());
});
