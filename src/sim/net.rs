//! Servers as the simulated network sees them: a request in, a script of the answer out.

use super::rng::Rng;
use crate::http::{Head, Headers, Request};
use crate::time::Millis;

/// A host of the simulated network. Closures `FnMut(&Request, &mut Peer) -> Answer` are servers too.
pub trait Server {
    /// Takes a request as it arrives and says how it will be answered.
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer;

    /// Is told that the client went away before the answer with that number was through.
    fn aborted(&mut self, exchange: u64) {
        let _ = exchange;
    }
}

impl<F: FnMut(&Request, &mut Peer<'_>) -> Answer> Server for F {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
        self(request, peer)
    }
}

/// What a server may know and say while it answers.
pub struct Peer<'a> {
    /// Number of this exchange; the same as in the event log.
    pub exchange: u64,
    /// Virtual time since the start.
    pub now: Millis,
    /// The network's generator.
    pub rng: &'a mut Rng,
    pub(super) violations: &'a mut Vec<String>,
}

impl Peer<'_> {
    /// Reports that the client broke a law; the test fails with this text.
    pub fn violation(&mut self, text: impl Into<String>) {
        self.violations.push(text.into());
    }
}

/// How a request will be answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The connection breaks before a status came.
    Broken {
        /// How long it takes.
        after: Millis,
        /// What the platform says about it.
        message: String,
    },
    /// No answer, ever.
    Never,
    /// A status, headers, then the body step by step.
    Head {
        /// How long the head takes.
        after: Millis,
        /// Status and headers.
        head: Head,
        /// The body; after the last step it ends well.
        body: Vec<Step>,
    },
}

/// One step of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing comes for that long.
    Wait(Millis),
    /// Bytes arrive. The network may cut them anew: chunk boundaries carry no meaning.
    Bytes(Vec<u8>),
    /// The connection breaks.
    Reset,
    /// Nothing comes any more, and the body never ends.
    Hang,
}

impl Answer {
    /// A head with that status and media type (none when empty), and a body in one piece, at once.
    pub fn text(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Answer {
        let mut headers = Headers::new();
        if !media_type.is_empty() {
            headers.set("content-type", media_type);
        }
        let body = body.into();
        let body = if body.is_empty() { Vec::new() } else { vec![Step::Bytes(body)] };
        Answer::Head { after: Millis(0), head: Head { status, headers }, body }
    }

    /// Status 200 and a JSON body.
    pub fn json(body: &serde_json::Value) -> Answer {
        Answer::text(200, "application/json", body.to_string())
    }

    /// Status 200 and an event stream.
    pub fn events(body: Vec<Step>) -> Answer {
        let mut headers = Headers::new();
        headers.set("content-type", "text/event-stream");
        Answer::Head { after: Millis(0), head: Head { status: 200, headers }, body }
    }

    /// The same answer with the head that much later.
    pub fn after(mut self, delay: Millis) -> Answer {
        match &mut self {
            Answer::Broken { after, .. } | Answer::Head { after, .. } => *after = delay,
            Answer::Never => {}
        }
        self
    }

    /// The same answer with one more header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Answer {
        if let Answer::Head { head, .. } = &mut self {
            head.headers.set(name, value);
        }
        self
    }
}

/// Cuts the bytes of a body anew: whole, byte by byte, or at random places, by seed. Between pieces time may pass.
///
/// Favours cuts inside CRLF and inside UTF-8 sequences, the two places where decoders break.
pub(super) fn recut(body: Vec<Step>, rng: &mut Rng) -> Vec<Step> {
    let style = rng.below(10);
    let mut steps = Vec::new();
    for step in body {
        let Step::Bytes(bytes) = step else {
            steps.push(step);
            continue;
        };
        let longest = match style {
            0..=2 => bytes.len(),
            3 if bytes.len() < 2_000 => 1,
            _ => rng.pick(&[7, 60, 400]),
        };
        let mut start = 0;
        while start < bytes.len() {
            let rest = bytes.len() - start;
            let mut length = if longest >= rest && style <= 2 { rest } else { 1 + rng.below(longest.min(rest)) };
            if style > 2 && rng.chance(300) {
                length = nasty_cut(&bytes[start..]).unwrap_or(length);
            }
            steps.push(Step::Bytes(bytes[start..start + length].to_vec()));
            start += length;
            if start < bytes.len() && rng.chance(50) {
                steps.push(Step::Wait(Millis(rng.within(0..=20))));
            }
        }
    }
    steps
}

/// Length up to the next place inside CRLF or inside a character.
fn nasty_cut(bytes: &[u8]) -> Option<usize> {
    let inside = |pair: &[u8]| pair == b"\r\n" || pair[1] & 0xC0 == 0x80;
    bytes.windows(2).position(inside).map(|before| before + 1)
}

/// The part of a URL up to the path; relative ones belong to the page at `https://app.test`.
pub(super) fn origin(url: &str) -> &str {
    let Some(authority) = url.find("://").map(|at| at + 3) else { return PAGE };
    let end = url[authority..].find(['/', '?', '#']).map_or(url.len(), |at| authority + at);
    &url[..end]
}

/// Where relative URLs lead.
pub const PAGE: &str = "https://app.test";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_changes_no_byte_and_leaves_no_empty_piece() {
        let text = "data: héllo ✓ 🙂\r\n\r\n".repeat(9).into_bytes();
        let mut split_crlf = false;
        for seed in 0..200 {
            let body = vec![Step::Bytes(text.clone()), Step::Wait(Millis(5)), Step::Reset];
            let steps = recut(body, &mut Rng::new(seed));
            let mut joined = Vec::new();
            for step in &steps {
                if let Step::Bytes(bytes) = step {
                    assert!(!bytes.is_empty());
                    split_crlf |= bytes.ends_with(b"\r");
                    joined.extend_from_slice(bytes);
                }
            }
            assert_eq!(joined, text);
            assert_eq!(steps.last(), Some(&Step::Reset));
        }
        assert!(split_crlf);
    }

    #[test]
    fn the_origin_ends_before_the_path() {
        assert_eq!(origin("https://a.test:8080/mcp?x=1"), "https://a.test:8080");
        assert_eq!(origin("http://a.test"), "http://a.test");
        assert_eq!(origin("/llm/v1/messages"), PAGE);
    }
}
