//! Taking up a stream again that ended before its answer ([MCP 2025-11-25, Transports, "Resumability and
//! Redelivery"]).
//!
//! Servers close the connection of a stream on purpose and expect to be polled (`retry` says when), and networks
//! break it. Where the stream had event ids, a GET that names the last one brings what was missed. The request
//! itself is never sent again.
//!
//! ```
//! # use edgewise::mcp::legacy::resume::{Resume, Next};
//! # use edgewise::time::Millis;
//! let mut resume = Resume::default();
//! resume.noted(Some("e7"), Some(Millis(500)), false);
//! assert_eq!(resume.ended(0), Next::Open { after: Millis(500), id: "e7".into() });
//! ```
//!
//! [MCP 2025-11-25, Transports, "Resumability and Redelivery"]: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#resumability-and-redelivery

use crate::http::{Method, Request};
use crate::mcp::config::ServerConfig;
use crate::mcp::legacy::{Session, mark};
use crate::mcp::reconnect::Reconnect;
use crate::mcp::request::base_headers;
use crate::secret::Secret;
use crate::time::Millis;

/// What to do about a stream that has no answer yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// After that long, ask by GET for what came after the event of that id.
    Open {
        /// The wait.
        after: Millis,
        /// For `Last-Event-ID`.
        id: String,
    },
    /// It cannot be taken up.
    GiveUp,
}

/// Attempts in a row that may fail before any event came.
const FAILURES: u32 = 5;

/// One request's stream over all its connections.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    id: Option<String>,
    retry: Option<Millis>,
    failures: u32,
    reconnect: Reconnect,
}

impl Resume {
    /// Reports what the connection has shown since the last report: the last event id and the `retry` in force, if
    /// any, and whether a message came.
    pub fn noted(&mut self, id: Option<&str>, retry: Option<Millis>, message: bool) {
        // One that no header can carry is none.
        let id = id.filter(|id| id.bytes().all(|b| matches!(b, b' '..=b'~')) && self.id.as_deref() != Some(*id));
        let news = id.is_some();
        if let Some(id) = id {
            self.id = Some(id.to_owned());
            self.failures = 0;
        }
        self.retry = retry.or(self.retry);
        // What comes under an old id is a replay.
        if message && news {
            self.thrived();
        }
    }

    /// The last event id.
    pub fn point(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The last `retry`.
    pub fn retry(&self) -> Option<Millis> {
        self.retry
    }

    /// The connection lasted for [`Reconnect::LASTING`].
    pub fn thrived(&mut self) {
        self.reconnect.thrived();
    }

    /// The connection ended, or broke.
    pub fn ended(&mut self, random: u64) -> Next {
        let wait = self.reconnect.wait(self.retry, random);
        self.open(wait)
    }

    /// An attempt to take it up failed: refused with that status, or `None` for no answer at all. `named` is the
    /// time of a `Retry-After`.
    pub fn failed(&mut self, status: Option<u16>, named: Option<Millis>, random: u64) -> Next {
        self.failures += 1;
        let passing = matches!(status, None | Some(429 | 500..));
        if !passing || self.failures >= FAILURES {
            return Next::GiveUp;
        }
        let wait = self.reconnect.wait(named, random).max(self.retry.unwrap_or_default());
        self.open(wait)
    }

    fn open(&self, after: Millis) -> Next {
        match &self.id {
            Some(id) => Next::Open { after, id: id.clone() },
            None => Next::GiveUp,
        }
    }
}

/// Builds the GET that opens the stream of a session, or takes one up after the event of that id.
pub fn get(last: Option<&str>, session: &Session, config: &ServerConfig, token: Option<&Secret>) -> Request {
    let mut headers = base_headers(config, token);
    headers.set("Accept", "text/event-stream");
    if let Some(last) = last {
        headers.set("Last-Event-ID", last);
    }
    let mut request = Request { method: Method::Get, url: config.url.clone(), headers, body: None };
    mark(&mut request, session);
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn open(after: u64, id: &str) -> Next {
        Next::Open { after: Millis(after), id: id.into() }
    }

    #[test]
    fn without_an_id_there_is_nothing_to_take_up() {
        let mut resume = Resume::default();
        assert_eq!(resume.ended(0), Next::GiveUp);
        resume.noted(None, Some(Millis(5)), true);
        assert_eq!(resume.ended(0), Next::GiveUp);
    }

    #[test]
    fn the_last_id_and_the_last_retry_count_over_all_connections() {
        let mut resume = Resume::default();
        resume.noted(Some("a"), Some(Millis(500)), false);
        assert_eq!(resume.ended(9), open(500, "a"));
        // The next connection named neither.
        resume.noted(None, None, true);
        assert_eq!(resume.ended(9), open(500, "a"));
        resume.noted(Some("b"), Some(Millis(20)), true);
        resume.noted(Some("é\u{1}"), None, true);
        assert_eq!(resume.ended(9), open(20, "b"));
    }

    #[test]
    fn without_retry_the_wait_is_a_second_at_most() {
        for random in [0, 333, 500, u64::MAX] {
            let mut resume = Resume::default();
            resume.noted(Some("a"), None, true);
            let Next::Open { after, .. } = resume.ended(random) else { panic!() };
            assert!((500..=1_000).contains(&after.0), "{after:?}");
        }
    }

    #[test]
    fn a_server_that_only_primes_is_asked_ever_more_rarely() {
        let mut resume = Resume::default();
        let mut waits = Vec::new();
        for n in 0..8 {
            resume.noted(Some(&n.to_string()), Some(Millis(10)), false);
            let Next::Open { after, .. } = resume.ended(0) else { panic!() };
            waits.push(after.0);
        }
        assert_eq!(waits, [10, 10, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000]);
        resume.thrived();
        assert_eq!(resume.ended(0), open(10, "7"));
    }

    #[test]
    fn outages_pass_and_refusals_do_not() {
        for status in [400, 401, 404, 405, 406] {
            let mut resume = Resume::default();
            resume.noted(Some("a"), None, true);
            assert_eq!(resume.failed(Some(status), None, 0), Next::GiveUp, "{status}");
        }
        let mut resume = Resume::default();
        resume.noted(Some("a"), Some(Millis(300)), true);
        resume.ended(0);
        assert!(matches!(resume.failed(Some(503), Some(Millis(7_000)), 0), Next::Open { after: Millis(7_000), .. }));
        assert!(matches!(resume.failed(None, None, 0), Next::Open { after, .. } if after >= Millis(300)));
        resume.failed(None, None, 0);
        resume.noted(Some("a"), None, false);
        resume.failed(Some(500), None, 0);
        assert_eq!(resume.failed(None, None, 0), Next::GiveUp, "five in a row, since an old id is no news");
    }

    #[test]
    fn the_request_names_session_and_event() {
        let config = ServerConfig::read(&json!({ "name": "c", "url": "https://a.test/mcp" }), "s").unwrap();
        let session = Session { version: "2025-11-25".into(), id: Some("s1".into()), endpoint: None };
        let request = get(Some("e 1"), &session, &config, Some(&Secret::new("t")));
        let shown = |name: &str| request.headers.get(name);
        assert_eq!((request.method, request.body.as_deref()), (Method::Get, None));
        assert_eq!((shown("accept"), shown("last-event-id")), (Some("text/event-stream"), Some("e 1")));
        assert_eq!((shown("mcp-session-id"), shown("mcp-protocol-version")), (Some("s1"), Some("2025-11-25")));
        assert_eq!((shown("authorization"), shown("content-type")), (Some("Bearer t"), None));
        let first = get(None, &Session { version: "2025-03-26".into(), id: None, endpoint: None }, &config, None);
        for name in ["last-event-id", "mcp-session-id", "mcp-protocol-version"] {
            assert_eq!(first.headers.get(name), None, "{name}");
        }
    }
}
