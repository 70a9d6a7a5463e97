//! Helpers of the wire tests: decode in many ways, check the laws, show the outcome as text.

use edgewise::error::Result;
use edgewise::http::{Head, Headers};
use edgewise::llm::config::{ModelConfig, Provider};
use edgewise::llm::turn::{Answer, Turn};
use edgewise::llm::types::{Block, Delta};
use edgewise::llm::wire::Decoder;
use edgewise::secret::Secret;

pub(crate) const KEY: &str = "sk-test-0123456789";

pub(crate) fn config(provider: Provider) -> ModelConfig {
    ModelConfig {
        provider,
        id: "m1".into(),
        api_key: Some(Secret::new(KEY)),
        base_url: "https://user:pw@llm.test/base".into(),
        headers: Vec::new(),
        body: serde_json::Map::new(),
        max_tokens: None,
        context_window: None,
        temperature: None,
        threads: false,
        count_tokens: None,
        prices: Default::default(),
        fallbacks: Vec::new(),
    }
}

pub(crate) fn head(status: u16, media_type: &str) -> Head {
    let mut headers = Headers::new();
    if !media_type.is_empty() {
        headers.set("content-type", media_type);
    }
    Head { status, headers }
}

/// Everything that came of an answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) deltas: Vec<Delta>,
    pub(crate) end: Result<()>,
}

pub(crate) fn decode<'a>(provider: Provider, head: &Head, chunks: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::new(&config(provider), head);
    let mut deltas = Vec::new();
    for chunk in chunks {
        if let Err(error) = decoder.feed(chunk, &mut deltas) {
            assert_eq!(decoder.feed(b"data: {}\n\n", &mut deltas), Err(error.clone()), "an error is for ever");
            assert_eq!(decoder.finish(&mut deltas), Err(error.clone()), "an error is for ever");
            return Outcome { deltas, end: Err(error) };
        }
    }
    let end = decoder.finish(&mut deltas);
    if end.is_ok() {
        assert!(decoder.is_done());
        let before = deltas.len();
        decoder.feed(b"data: what comes after the end is not ours\n\n", &mut deltas).unwrap();
        assert_eq!(deltas.len(), before);
    }
    Outcome { deltas, end }
}

/// Decodes whole, byte by byte, and cut at every position, checks that all agree and keep the laws.
pub(crate) fn every_way(provider: Provider, head: &Head, bytes: &[u8]) -> Outcome {
    let whole = decode(provider, head, [bytes]);
    check_laws(&whole);
    assert_eq!(whole, decode(provider, head, bytes.chunks(1)), "byte by byte");
    for at in 0..=bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(whole, decode(provider, head, [left, right]), "cut at {at}");
    }
    whole
}

/// The laws of `Delta`, as its documentation states them.
pub(crate) fn check_laws(outcome: &Outcome) {
    let mut started = 0;
    let mut ended = Vec::new();
    let mut stopped = false;
    for delta in &outcome.deltas {
        assert!(!stopped || matches!(delta, Delta::Usage(_)), "after Stop: {delta:?}");
        match delta {
            Delta::Text(text) | Delta::Thinking(text) | Delta::Signature(text) | Delta::RedactedThinking(text) => {
                assert!(!text.is_empty(), "an empty delta says nothing");
            }
            Delta::ToolStart { index, id, name } => {
                assert_eq!(*index, started, "indices ascend from 0");
                assert!(!id.is_empty() && !name.is_empty());
                started += 1;
            }
            Delta::ToolInput { index, json } => {
                assert!(*index < started && !ended.contains(index), "input outside of a tool use");
                assert!(!json.is_empty());
            }
            Delta::ToolEnd { index } => {
                assert!(*index < started && !ended.contains(index), "a tool use ends once");
                ended.push(*index);
            }
            Delta::Usage(_) => {}
            Delta::Stop(_) => stopped = true,
        }
    }
    if outcome.end.is_ok() {
        assert!(stopped, "a complete answer has a stop reason");
        assert_eq!(ended.len(), started as usize, "in a complete answer every tool use ends");
    }
}

pub(crate) fn answer(deltas: &[Delta]) -> Answer {
    let mut turn = Turn::default();
    deltas.iter().for_each(|delta| turn.apply(delta));
    turn.finish()
}

/// The answer as lines of text, to be compared with a file that people read.
pub(crate) fn shown(outcome: &Outcome) -> String {
    if let Err(error) = &outcome.end {
        return format!("error {} {:?} {}\n", error.code, error.retry, error.message);
    }
    let answer = answer(&outcome.deltas);
    let mut out = String::new();
    for block in &answer.message.content {
        out += &match block {
            Block::Image { data, mime_type } | Block::Audio { data, mime_type } => {
                format!("media {mime_type} {data}\n")
            }
            Block::Text { text } => format!("text {text:?}\n"),
            Block::Thinking { text, signature } => format!("thinking {text:?} {signature:?}\n"),
            Block::RedactedThinking { data } => format!("redacted {data:?}\n"),
            Block::ToolUse { id, name, input, invalid_input: None } => format!("tool {id} {name} {input}\n"),
            Block::ToolUse { id, name, invalid_input: Some(text), .. } => {
                format!("tool {id} {name} invalid {text:?}\n")
            }
            Block::ToolResult { .. } | Block::Compaction { .. } | Block::Tools { .. } => "no answer\n".into(),
        };
    }
    let usage = answer.usage;
    out += &format!("stop {:?}\n", answer.stop_reason);
    out += &format!(
        "usage in {} out {} read {} write {} reasoning {}\n",
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens
    );
    out
}

/// Small numbers from a seed, the same on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}
