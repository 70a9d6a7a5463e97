//! What can go wrong on the way, drawn by seed for each request.

use super::net::{Answer, Step};
use super::rng::Rng;
use crate::time::Millis;

/// Chances, each in 1,000 requests. [`Faults::default`] is a network without faults.
///
/// The kinds in the first group replace the answer, and the server never sees the request, except for
/// `lost_answer`, where it does and its work is done. Those in the second group spoil an answer of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The connection is refused.
    pub refused: u32,
    /// The server takes the request and does its work, then the connection breaks before the status.
    pub lost_answer: u32,
    /// 429, half of them with `Retry-After`.
    pub rate_limited: u32,
    /// 529 or 503, half of them with `Retry-After`.
    pub overloaded: u32,
    /// 500 with a text.
    pub server_error: u32,
    /// A gateway's HTML page with status 200.
    pub html: u32,
    /// The request is swallowed, no answer ever comes.
    pub silent: u32,

    /// The connection breaks somewhere in the body.
    pub reset: u32,
    /// The body ends early without any sign.
    pub truncated: u32,
    /// The body stops somewhere and never ends.
    pub stalled: u32,
    /// Everything takes up to 50 times as long.
    pub slow: u32,
}

impl Faults {
    /// Some of everything: about one request in four meets a fault.
    pub fn some() -> Faults {
        Faults {
            refused: 25,
            lost_answer: 20,
            rate_limited: 30,
            overloaded: 30,
            server_error: 20,
            html: 15,
            silent: 10,
            reset: 40,
            truncated: 30,
            stalled: 15,
            slow: 50,
        }
    }

    /// The answer that takes the server's place, if one does, and its name for the log.
    pub(super) fn instead(&self, rng: &mut Rng) -> Option<(&'static str, Answer)> {
        let broken = |rng: &mut Rng, message: &str| Answer::Broken {
            after: Millis(rng.within(0..=200)),
            message: message.to_owned(),
        };
        // All drawn always: raising one chance does not shift the others.
        let [refused, limited, overloaded, error, html, silent] =
            [self.refused, self.rate_limited, self.overloaded, self.server_error, self.html, self.silent]
                .map(|permille| rng.chance(permille));
        if refused {
            return Some(("refused", broken(rng, "connection refused")));
        }
        if limited {
            let body = r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#;
            return Some(("429", retry_after(Answer::text(429, "application/json", body), rng)));
        }
        if overloaded {
            let status = rng.pick(&[529, 503]);
            let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
            return Some(("overloaded", retry_after(Answer::text(status, "application/json", body), rng)));
        }
        if error {
            return Some(("500", Answer::text(500, "text/plain", "internal error")));
        }
        if html {
            let page = "<!doctype html><html><body><h1>Please sign in</h1></body></html>";
            return Some(("html", Answer::text(200, "text/html; charset=utf-8", page)));
        }
        silent.then_some(("silent", Answer::Never))
    }

    /// Spoils an answer of the server; the names of what was done, for the log.
    pub(super) fn spoil(&self, mut answer: Answer, rng: &mut Rng) -> (Answer, Vec<&'static str>) {
        let mut done = Vec::new();
        let [lost, reset, truncated, stalled, slow] =
            [self.lost_answer, self.reset, self.truncated, self.stalled, self.slow]
                .map(|permille| rng.chance(permille));
        if lost {
            let message = "connection reset before the status".to_owned();
            return (Answer::Broken { after: Millis(rng.within(0..=500)), message }, vec!["lost_answer"]);
        }
        if let Answer::Head { after, body, .. } = &mut answer {
            if reset {
                cut_short(body, rng);
                body.push(Step::Reset);
                done.push("reset");
            } else if truncated && cut_short(body, rng) {
                done.push("truncated");
            } else if stalled {
                cut_short(body, rng);
                body.push(Step::Hang);
                done.push("stalled");
            }
            if slow {
                let factor = rng.within(2..=50);
                after.0 = after.0.saturating_mul(factor);
                for step in body.iter_mut() {
                    if let Step::Wait(wait) = step {
                        wait.0 = wait.0.saturating_mul(factor);
                    }
                }
                done.push("slow");
            }
        }
        (answer, done)
    }
}

fn retry_after(answer: Answer, rng: &mut Rng) -> Answer {
    match rng.below(4) {
        0 => answer.header("retry-after", rng.within(0..=20).to_string()),
        1 => answer.header("retry-after-ms", rng.within(0..=3000).to_string()),
        _ => answer,
    }
}

/// Keeps a random part, shorter by at least one byte; false when there was nothing to cut.
fn cut_short(body: &mut Vec<Step>, rng: &mut Rng) -> bool {
    let length = |step: &Step| if let Step::Bytes(bytes) = step { bytes.len() } else { 0 };
    let total: usize = body.iter().map(length).sum();
    if total == 0 {
        return false;
    }
    let mut keep = rng.below(total);
    let mut steps = 0;
    for step in body.iter_mut() {
        if let Step::Bytes(bytes) = step {
            if bytes.len() > keep {
                bytes.truncate(keep);
                steps += usize::from(keep > 0);
                break;
            }
            keep -= bytes.len();
        }
        steps += 1;
    }
    body.truncate(steps);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_chances_nothing_happens() {
        let answer = Answer::text(200, "text/plain", "hello");
        for seed in 0..500 {
            let mut rng = Rng::new(seed);
            assert_eq!(Faults::default().instead(&mut rng), None);
            assert_eq!(Faults::default().spoil(answer.clone(), &mut rng), (answer.clone(), Vec::new()));
        }
    }

    #[test]
    fn every_kind_is_drawn_sometimes() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..4000 {
            let mut rng = Rng::new(seed);
            seen.extend(Faults::some().instead(&mut rng).map(|(name, _)| name));
            let body = vec![Step::Bytes(b"abc".to_vec()), Step::Wait(Millis(1)), Step::Bytes(b"def".to_vec())];
            seen.extend(Faults::some().spoil(Answer::events(body), &mut rng).1);
        }
        let all = [
            "429",
            "500",
            "html",
            "lost_answer",
            "overloaded",
            "refused",
            "reset",
            "silent",
            "slow",
            "stalled",
            "truncated",
        ];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
    }

    #[test]
    fn a_truncated_body_is_a_true_prefix() {
        for seed in 0..300 {
            let mut body = vec![Step::Bytes(b"abc".to_vec()), Step::Wait(Millis(1)), Step::Bytes(b"def".to_vec())];
            assert!(cut_short(&mut body, &mut Rng::new(seed)));
            let left: Vec<u8> =
                body.iter().flat_map(|s| if let Step::Bytes(b) = s { b.clone() } else { vec![] }).collect();
            assert!(left.len() < 6 && b"abcdef".starts_with(&left), "{left:?}");
        }
    }
}
