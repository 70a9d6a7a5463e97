//! What one small delta costs to decode. Prints; judges nothing, for clocks differ.
//!
//! ```text
//! cargo test --release --test wire speed -- --ignored --nocapture --test-threads=1
//! ```
//!
//! Instructions are the same in every run, unlike time. There are 2,000 deltas in each stream, and `ONCE` reads it once:
//!
//! ```text
//! ONCE=1 valgrind --tool=callgrind --toggle-collect='*speed*decoded*' \
//!     target/release/deps/wire-... speed::openai --ignored
//! ```

use std::hint::black_box;
use std::time::Instant;

use edgewise::llm::config::Provider;
use edgewise::llm::types::Delta;
use edgewise::llm::wire::Decoder;

use crate::support::{config, head};

/// Deltas of one measured stream.
const PIECES: usize = 2000;
const WORDS: [&str; 8] = [" the", " weather", " in", " Oslo", ",", " \\\"rain\\\"", "\\n\\n", " blåbær"];

fn stream(before: &str, after: &str) -> Vec<u8> {
    let event = |at: usize| [before, WORDS[at % WORDS.len()], after].concat();
    (0..PIECES).map(event).collect::<String>().into_bytes()
}

/// Feeds the stream in chunks of four events, about what networks deliver. A function of its own to be counted.
#[inline(never)]
fn decoded(decoder: &mut Decoder, bytes: &[u8], piece: usize, out: &mut Vec<Delta>) {
    for chunk in bytes.chunks(piece) {
        decoder.feed(chunk, out).unwrap();
    }
}

fn measure(name: &str, provider: Provider, before: &str, after: &str) {
    let bytes = stream(before, after);
    let mut best = f64::INFINITY;
    let rounds = if std::env::var_os("ONCE").is_some() { 1 } else { 50 };
    for _ in 0..rounds {
        let mut decoder = Decoder::new(&config(provider), &head(200, "text/event-stream"));
        let mut out = Vec::with_capacity(PIECES);
        let start = Instant::now();
        decoded(&mut decoder, &bytes, 4 * bytes.len() / PIECES, &mut out);
        best = best.min(start.elapsed().as_secs_f64());
        // Gemini counts tokens in every chunk; the first count is told, the others say the same.
        assert!((PIECES..=PIECES + 1).contains(&black_box(out).len()));
    }
    println!("{name}: {:.2} us a delta of {} bytes", best * 1e6 / PIECES as f64, bytes.len() / PIECES);
}

#[test]
#[ignore = "measures"]
fn openai() {
    let before = concat!(
        r#"data: {"id":"chatcmpl-BzTWqvYz8sPbmAqDH4vO8Lr1mTn2k","object":"chat.completion.chunk","created":1795335562,"#,
        r#""model":"gpt-4.1-mini-2025-04-14","service_tier":"default","system_fingerprint":"fp_6f2eabb9a5","#,
        r#""choices":[{"index":0,"delta":{"content":""#
    );
    let after = "\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"aZ3kQ0\"}\n\n";
    measure("openai", Provider::OpenAi, before, after);
}

#[test]
#[ignore = "measures"]
fn anthropic() {
    let before = concat!(
        "event: content_block_delta\n",
        r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""#
    );
    measure("anthropic", Provider::Anthropic, before, "\"}}\n\n");
}

#[test]
#[ignore = "measures"]
fn responses() {
    let before = concat!(
        "event: response.output_text.delta\n",
        r#"data: {"type":"response.output_text.delta","sequence_number":117,"#,
        r#""item_id":"msg_67c9fdcf37fc8190ba82116e33fb28c501b8b0ad29eddba2","output_index":0,"content_index":0,"delta":""#
    );
    measure("responses", Provider::OpenAiResponses, before, "\",\"logprobs\":[],\"obfuscation\":\"aZ3kQ0\"}\n\n");
}

#[test]
#[ignore = "measures"]
fn gemini() {
    let before = r#"data: {"candidates":[{"content":{"parts":[{"text":""#;
    let after = concat!(
        r#""}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":8,"totalTokenCount":8,"#,
        r#""promptTokensDetails":[{"modality":"TEXT","tokenCount":8}]},"modelVersion":"gemini-2.5-flash","#,
        r#""responseId":"mTnJaPqRGvWU7M8P5dTV8QE"}"#,
        "\n\n"
    );
    measure("gemini", Provider::Gemini, before, after);
}
