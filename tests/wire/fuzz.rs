//! No bytes make a decoder panic, break the laws, or end in anything but success or a typed error.

use edgewise::llm::config::Provider;

use crate::streams::all;
use crate::support::{Random, answer, check_laws, decode, head};

/// Decodes in pieces of random size, and whole; both must agree.
fn survives(provider: Provider, media_type: &str, status: u16, bytes: &[u8], random: &mut Random) {
    let head = head(status, media_type);
    let whole = decode(provider, &head, [bytes]);
    check_laws(&whole);
    answer(&whole.deltas);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(1 + random.below(rest.len().min(40)));
        pieces.push(piece);
        rest = tail;
    }
    assert_eq!(whole, decode(provider, &head, pieces), "{}", String::from_utf8_lossy(bytes));
    if let Err(error) = whole.end {
        let who = if provider == Provider::App { "generate() (model m1)" } else { "POST llm.test/base/" };
        assert!(error.message.starts_with(who), "{error}");
        assert!(error.message.len() < 2000, "{error}");
    }
}

#[test]
fn mutated_streams() {
    let mut random = Random(0x5EED);
    let words: &[&[u8]] = &[
        b"null",
        b"{}",
        b"[]",
        b"0",
        b"-1",
        b"1e999",
        b"\"\"",
        b"\"a\"",
        b"true",
        b"\n\n",
        b"data: ",
        b"\"index\":",
        b"\"id\":\"x\",",
        b"\"error\":",
        b"\"error\"",
        b"\"name\":\"y\",",
        b"[DONE]",
        b"\"finish_reason\":\"stop\",",
        b"\"output_index\":",
        b"\"thoughtSignature\":\"s\",",
        b"\"type\":\"function_call\",",
        b"\xFF",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\\",
    ];
    for (_, provider, media_type, bytes) in all() {
        for _ in 0..150 {
            let mut bytes = bytes.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len());
                let end = (at + random.below(30)).min(bytes.len());
                match random.below(5) {
                    0 => bytes[at] = random.below(256) as u8,
                    1 => drop(bytes.drain(at..end)),
                    2 => {
                        let copy = bytes[at..end].to_vec();
                        let to = random.below(bytes.len());
                        drop(bytes.splice(to..to, copy));
                    }
                    3 => drop(bytes.splice(at..at, words[random.below(words.len())].iter().copied())),
                    _ => drop(bytes.splice(at..end, words[random.below(words.len())].iter().copied())),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            survives(provider, media_type, 200, &bytes, &mut random);
        }
    }
}

#[test]
fn lines_of_one_stream_in_another_order() {
    let mut random = Random(0xCAFE);
    for (_, provider, media_type, bytes) in all() {
        for _ in 0..40 {
            let mut events: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            for _ in 0..1 + random.below(events.len()) {
                let (a, b) = (random.below(events.len()), random.below(events.len()));
                events.swap(a, b);
            }
            survives(provider, media_type, 200, &events.concat(), &mut random);
        }
    }
}

#[test]
fn arbitrary_bytes() {
    let mut random = Random(0xBEEF);
    for round in 0..20_000 {
        let bytes: Vec<u8> = (0..random.below(120)).map(|_| random.below(256) as u8).collect();
        let provider = [Provider::Anthropic, Provider::OpenAi, Provider::OpenAiResponses, Provider::Gemini][round % 4];
        let media_type = ["text/event-stream", "application/json", "", "text/plain", "image/png"][random.below(5)];
        let status = [200, 204, 301, 400, 401, 429, 500, 529][random.below(8)];
        survives(provider, media_type, status, &bytes, &mut random);
    }
}

#[test]
fn deep_nesting_is_refused_without_a_stack_overflow() {
    for open in ["[", "{\"a\":"] {
        let data = format!("data: {}\n\n", open.repeat(100_000));
        let outcome = decode(Provider::OpenAi, &head(200, "text/event-stream"), [data.as_bytes()]);
        assert_eq!(outcome.end.unwrap_err().code.as_str(), "protocol");
        let outcome = decode(Provider::OpenAi, &head(400, "application/json"), [open.repeat(30_000).as_bytes()]);
        assert_eq!(outcome.end.unwrap_err().code.as_str(), "provider");
    }
}
