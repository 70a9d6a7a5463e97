//! The decisions of connecting to a server.
//!
//! ```text
//!              nothing known, or modern               legacy
//!                       │                               │
//!                       v       no modern server        v
//!                   Discover ─────────────────────> Initialize ──> Announce ──> Ready
//!                    │    ^                             │
//!                    │    └── a remembered verdict that │
//!                    v        no longer holds ──────────┘
//!                  Ready
//! ```
//!
//! Where tabs share what they can, a session that another one has is looked for before `initialize` (Adopt); with one there is
//! nothing more to be asked.
//!
//! Where `initialize` is refused, a server of 2024-11-05 may have an event stream that names where it has to go
//! (FindEndpoint); then it is sent there.
//!
//! # Examples
//!
//! ```
//! # use edgewise::mcp::connect::{Connect, Step};
//! # use edgewise::mcp::era::Era;
//! let mut connect = Connect::new("weather", None);
//! assert_eq!(connect.next(), &Step::Discover("2026-07-28"));
//! let result = serde_json::json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {} });
//! connect.discovered(Ok(result.as_object().unwrap().clone()));
//! let Step::Ready(link) = connect.next() else { panic!() };
//! assert_eq!(link.era, Era::Modern);
//! ```

use serde_json::{Map, Value};

use crate::error::{Code, Error};
use crate::mcp::era::{Era, FirstAnswer, Verdict, classify};
use crate::mcp::exchange::Failure;
use crate::mcp::legacy::{self, Session};
use crate::mcp::request::MODERN;
use crate::mcp::server::Link;
use crate::mcp::text::clean;

/// What to do next to be connected.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send a modern `server/discover` in this revision; report with [`Connect::discovered`].
    Discover(&'static str),
    /// Look for a session that another tab has; report with [`Connect::adopted`].
    Adopt,
    /// Send `initialize`, to the endpoint that was [found](Connect::endpoint) or to the server's URL; report with [`Connect::initialized`].
    Initialize,
    /// Open the event stream of a server of 2024-11-05; report with [`Connect::found`].
    FindEndpoint,
    /// Send `notifications/initialized` on this link; report with [`Connect::announced`].
    Announce(Box<Link>),
    /// Connected.
    Ready(Box<Link>),
    /// Given up.
    Failed(Box<Error>),
}

/// The decisions of one attempt to connect. Ask [`next`](Connect::next), do it, report back.
#[derive(Clone, Debug)]
pub struct Connect {
    name: String,
    /// An earlier attempt, perhaps in another page load, found this era.
    remembered: Option<Era>,
    /// Why the probe was taken for an older server's answer; goes along when `initialize` fails too.
    probe: Option<Error>,
    /// The probe's method was unknown, with the status of a modern server.
    unknown: bool,
    /// How often `server/discover` was answered.
    probes: u8,
    /// Where a server of 2024-11-05 wants its messages.
    endpoint: Option<String>,
    /// Why the server's URL did not take `initialize`, once the event stream was looked for.
    refusal: Option<Failure>,
    /// A session of another tab is still to be looked for.
    shares: bool,
    step: Step,
}

impl Connect {
    /// Begins an attempt. `name` is the server's, for errors; `remembered` what an earlier attempt found out.
    pub fn new(name: &str, remembered: Option<Era>) -> Connect {
        let step = match remembered {
            Some(Era::Legacy) => Step::Initialize,
            _ => Step::Discover(MODERN[0]),
        };
        Connect {
            name: name.to_owned(),
            remembered,
            probe: None,
            unknown: false,
            probes: 0,
            endpoint: None,
            refusal: None,
            shares: false,
            step,
        }
    }

    /// The same attempt where another tab may have a session already.
    pub fn sharing(mut self) -> Connect {
        self.shares = true;
        if self.step == Step::Initialize {
            self.step = self.initialize();
        }
        self
    }

    /// Reports the session of another tab, if there is one.
    pub fn adopted(&mut self, link: Option<Link>) {
        self.step = match link {
            Some(link) => Step::Ready(Box::new(link)),
            None => Step::Initialize,
        };
    }

    fn initialize(&mut self) -> Step {
        if std::mem::take(&mut self.shares) { Step::Adopt } else { Step::Initialize }
    }

    /// What to do next. Stays the same until a report changes it.
    pub fn next(&self) -> &Step {
        &self.step
    }

    /// Reports how `server/discover` was answered.
    pub fn discovered(&mut self, outcome: Result<Map<String, Value>, Failure>) {
        self.probes = self.probes.saturating_add(1);
        let verdict = match &outcome {
            Ok(result) => classify(&FirstAnswer::Result(result)),
            Err(failure) => evidence(failure).map_or(Verdict::Unclear, |answer| classify(&answer)),
        };
        self.step = match (verdict, outcome) {
            // A network failure must not demote a server that is known to be modern.
            (Verdict::Legacy, Err(failure))
                if failure.error.code == Code::Network && self.remembered == Some(Era::Modern) =>
            {
                failed(failure)
            }
            (Verdict::Legacy, outcome) => {
                self.unknown = outcome.as_ref().err().is_some_and(is_unknown);
                self.probe = outcome.err().map(|failure| failure.error);
                self.initialize()
            }
            // Once, even when it names the revision that it just refused; more could go on for ever.
            (Verdict::RetryWith(version), _) if self.probes == 1 => match known(&version) {
                Some(version) => Step::Discover(version),
                None => self.no_common_version(&version),
            },
            (Verdict::RetryWith(_), Err(failure)) => failed(failure),
            (Verdict::Modern(version) | Verdict::RetryWith(version), outcome) => {
                let session = Session { version, id: None, endpoint: None };
                Step::Ready(Box::new(Link::new(Era::Modern, session, &mut outcome.unwrap_or_default())))
            }
            (Verdict::NoCommonVersion(offered), _) => self.no_common_version(&offered),
            (Verdict::Unclear, Err(failure)) => failed(failure),
            (Verdict::Unclear, Ok(_)) => self.refuse("the answer to server/discover makes no sense"),
        };
    }

    /// Reports how `initialize` was answered, with the session id that came in the headers.
    pub fn initialized(&mut self, outcome: Result<Map<String, Value>, Failure>, session: Option<String>) {
        self.step = match outcome {
            Ok(mut result) => match legacy::negotiated(&result) {
                Ok(version) => {
                    let session = Session { version: version.to_owned(), id: session, endpoint: self.endpoint.clone() };
                    Step::Announce(Box::new(Link::new(Era::Legacy, session, &mut result)))
                }
                Err(offered) => self.no_common_version(&offered),
            },
            // It knows neither greeting, and says so in the way of the modern revision. Every modern server has to know
            // `server/discover`, but one that does not can still be used: each request stands alone.
            Err(failure) if self.unknown && is_unknown(&failure) => {
                let session = Session { version: MODERN[0].to_owned(), ..Session::default() };
                Step::Ready(Box::new(Link::new(Era::Modern, session, &mut Map::new())))
            }
            Err(failure) if self.endpoint.is_none() && self.refusal.is_none() && may_be_oldest(&failure) => {
                self.refusal = Some(failure);
                Step::FindEndpoint
            }
            Err(failure) => self.not_initialized(failure),
        };
    }

    /// Reports the URL that the event stream named for messages, or why there is none.
    pub fn found(&mut self, outcome: Result<String, Failure>) {
        self.step = match (outcome, self.refusal.clone()) {
            (Ok(endpoint), _) => {
                self.endpoint = Some(endpoint);
                Step::Initialize
            }
            // What it said to `initialize` tells more than that it has no stream.
            (Err(_), Some(refusal)) => self.not_initialized(refusal),
            (Err(failure), None) => failed(failure),
        };
    }

    /// Where `initialize` has to be sent, if not to the server's URL.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    fn not_initialized(&mut self, failure: Failure) -> Step {
        // The server was legacy once. If it refuses now, it may have been replaced.
        if self.probes == 0 && is_refusal(&failure) {
            return Step::Discover(MODERN[0]);
        }
        let mut error = failure.error;
        if let Some(probe) = self.probe.take().filter(|probe| probe.code != error.code) {
            error = error.cause(probe);
        }
        Step::Failed(Box::new(error))
    }

    /// Reports how `notifications/initialized` was taken.
    ///
    /// A refusal that has nothing to do with credentials is let pass: servers written by hand often do not know
    /// this notification, and the next request shows whether it mattered.
    pub fn announced(&mut self, outcome: Result<(), Failure>) {
        let Step::Announce(link) = &self.step else { return };
        self.step = match outcome {
            Err(failure) if !is_refusal(&failure) => failed(failure),
            _ => Step::Ready(link.clone()),
        };
    }

    fn no_common_version(&self, offered: &str) -> Step {
        let offered = clean(offered, 80);
        let offered = if offered.is_empty() { "no revision that it names" } else { &offered };
        let ours = [MODERN.as_slice(), legacy::VERSIONS.as_slice()].concat().join(", ");
        self.refuse(&["the server speaks ", offered, ", this client ", &ours].concat())
    }

    fn refuse(&self, words: &str) -> Step {
        let message = ["connecting to ", &self.name, ": ", words].concat();
        Step::Failed(Box::new(Error::new(Code::Protocol, message)))
    }
}

fn known(version: &str) -> Option<&'static str> {
    MODERN.into_iter().find(|known| *known == version)
}

fn failed(failure: Failure) -> Step {
    Step::Failed(Box::new(failure.error))
}

/// True when the server does not know the method, in the words and with the status of the modern revision.
fn is_unknown(failure: &Failure) -> bool {
    failure.error.status == Some(404) && failure.rpc.as_ref().is_some_and(|rpc| rpc.code == -32601)
}

/// True when the server answered, and said no for a reason other than credentials, load or an outage.
fn is_refusal(failure: &Failure) -> bool {
    match failure.error.status {
        Some(status) => matches!(status, 400 | 404 | 405 | 406 | 410 | 415 | 422),
        None => failure.rpc.is_some(),
    }
}

/// True when `initialize` was refused as a server of the first transport does ([MCP 2025-11-25, Transports, "Backwards
/// Compatibility"]), and not by a modern one.
///
/// [MCP 2025-11-25, Transports, "Backwards Compatibility"]: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#backwards-compatibility
fn may_be_oldest(failure: &Failure) -> bool {
    let modern = failure.rpc.as_ref().is_some_and(|rpc| matches!(rpc.code, -32022..=-32020));
    matches!(failure.error.status, Some(400 | 404 | 405)) && !modern
}

/// What a failure says about the server's era; `None` when no complete answer came.
fn evidence(failure: &Failure) -> Option<FirstAnswer<'_>> {
    let error = &failure.error;
    match (&failure.rpc, error.status) {
        (Some(rpc), status) => Some(FirstAnswer::Error { status: status.unwrap_or(200), error: rpc }),
        (None, Some(status)) if status >= 300 => Some(FirstAnswer::Http { status, body: b"" }),
        (None, None) if error.code == Code::Network => Some(FirstAnswer::Network { maybe_cors: error.maybe_cors }),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::ErrorObject;
    use serde_json::json;

    fn http(status: u16) -> Failure {
        Error::new(Code::Http, "status").status(status).into()
    }

    fn rpc(status: Option<u16>, code: i64, data: Value) -> Failure {
        let mut error = Error::new(Code::Protocol, "rpc");
        error.status = status;
        let rpc = ErrorObject { code, message: "m".into(), data: Some(data) };
        Failure { error, rpc: Some(Box::new(rpc)) }
    }

    fn network(maybe_cors: bool) -> Failure {
        let mut error = Error::new(Code::Network, "network");
        error.maybe_cors = maybe_cors;
        error.into()
    }

    fn result(value: Value) -> Result<Map<String, Value>, Failure> {
        Ok(value.as_object().unwrap().clone())
    }

    fn hello() -> Result<Map<String, Value>, Failure> {
        result(
            json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} }, "serverInfo": { "name": "s" } }),
        )
    }

    fn after_probe(remembered: Option<Era>, outcome: Result<Map<String, Value>, Failure>) -> Connect {
        let mut connect = Connect::new("calc", remembered);
        assert_eq!(connect.next(), &Step::Discover("2026-07-28"));
        connect.discovered(outcome);
        connect
    }

    fn message(connect: &Connect) -> &str {
        match connect.next() {
            Step::Failed(error) => &error.message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_older_server_is_initialized_and_told_so() {
        let refusals = [Err(http(400)), Err(http(405)), Err(network(true)), Err(rpc(Some(400), -32000, Value::Null))];
        for refusal in refusals.into_iter().chain([Err(rpc(None, -32601, Value::Null)), result(json!({}))]) {
            let mut connect = after_probe(None, refusal);
            assert_eq!(connect.next(), &Step::Initialize);
            connect.initialized(hello(), Some("s1".into()));
            let Step::Announce(link) = connect.next().clone() else { panic!() };
            let session = Session { version: "2025-06-18".into(), id: Some("s1".into()), endpoint: None };
            assert_eq!((link.era, &link.session), (Era::Legacy, &session));
            connect.announced(Ok(()));
            assert_eq!(connect.next(), &Step::Ready(link));
        }
    }

    #[test]
    fn a_session_of_another_tab_saves_both_round_trips() {
        let mut connect = Connect::new("calc", Some(Era::Legacy)).sharing();
        assert_eq!(connect.next(), &Step::Adopt);
        let session = Session { version: "2025-06-18".into(), id: Some("s1".into()), endpoint: None };
        let link = Link::new(Era::Legacy, session, &mut Map::new());
        connect.adopted(Some(link.clone()));
        assert_eq!(connect.next(), &Step::Ready(Box::new(link)));
        // Without one it is begun; and it is looked for once.
        let mut connect = Connect::new("calc", Some(Era::Legacy)).sharing();
        connect.adopted(None);
        assert_eq!(connect.next(), &Step::Initialize);
        connect.initialized(Err(http(400)), None);
        connect.found(Err(http(405)));
        assert_eq!(connect.next(), &Step::Discover("2026-07-28"));
        connect.discovered(Err(http(400)));
        assert_eq!(connect.next(), &Step::Initialize);
        let mut connect = Connect::new("calc", None).sharing();
        connect.discovered(Err(http(400)));
        assert_eq!(connect.next(), &Step::Adopt);
    }

    #[test]
    fn what_proves_nothing_is_reported() {
        for failure in [http(401), http(503), network(false), Error::new(Code::Protocol, "html").status(200).into()] {
            let connect = after_probe(None, Err(failure.clone()));
            assert_eq!(connect.next(), &Step::Failed(Box::new(failure.error)));
        }
        let timeout: Failure = Error::new(Code::Timeout, "timeout").into();
        assert_eq!(message(&after_probe(None, Err(timeout))), "timeout");
    }

    #[test]
    fn a_network_failure_does_not_demote_a_modern_server() {
        assert_eq!(message(&after_probe(Some(Era::Modern), Err(network(true)))), "network");
        assert_eq!(after_probe(Some(Era::Modern), Err(http(400))).next(), &Step::Initialize, "a stale verdict heals");
    }

    #[test]
    fn another_revision_is_tried_once() {
        let unsupported = || Err(rpc(Some(400), -32022, json!({ "supported": ["2026-07-28"] })));
        let mut connect = after_probe(None, unsupported());
        assert_eq!(connect.next(), &Step::Discover("2026-07-28"));
        connect.discovered(unsupported());
        assert_eq!(message(&connect), "rpc");
        let connect = after_probe(None, Err(rpc(Some(400), -32022, json!({ "supported": ["2030-01-01"] }))));
        assert_eq!(
            message(&connect),
            "connecting to calc: the server speaks 2030-01-01, this client 2026-07-28, 2025-11-25, 2025-06-18, 2025-03-26, 2024-11-05"
        );
    }

    #[test]
    fn a_modern_server_that_does_not_describe_itself_is_still_modern() {
        let connect = after_probe(None, Err(rpc(Some(400), -32021, json!({}))));
        assert!(matches!(connect.next(), Step::Ready(link) if link.era == Era::Modern));
    }

    #[test]
    fn a_server_that_knows_neither_greeting_is_modern_only_if_both_are_unknown_in_its_way() {
        let unknown = || Err(rpc(Some(404), -32601, Value::Null));
        let mut connect = after_probe(None, unknown());
        assert_eq!(connect.next(), &Step::Initialize);
        connect.initialized(unknown(), None);
        assert!(matches!(connect.next(), Step::Ready(link) if link.era == Era::Modern));
        for (probe, answer) in [(Err(http(404)), unknown()), (unknown(), Err(http(404)))] {
            let mut connect = after_probe(None, probe);
            connect.initialized(answer, None);
            connect.found(Err(http(405)));
            assert!(matches!(connect.next(), Step::Failed(_)));
        }
        let mut connect = after_probe(None, unknown());
        connect.initialized(hello(), Some("s1".into()));
        assert!(matches!(connect.next(), Step::Announce(_)), "a gateway in front of an older server");
    }

    #[test]
    fn a_remembered_legacy_server_skips_the_probe_until_it_refuses() {
        let mut connect = Connect::new("calc", Some(Era::Legacy));
        assert_eq!(connect.next(), &Step::Initialize);
        connect.initialized(Err(rpc(Some(400), -32022, Value::Null)), None);
        assert_eq!(connect.next(), &Step::Discover("2026-07-28"));
        connect.discovered(result(json!({ "supportedVersions": ["2026-07-28"] })));
        assert!(matches!(connect.next(), Step::Ready(link) if link.era == Era::Modern));

        let mut connect = Connect::new("calc", Some(Era::Legacy));
        connect.initialized(Err(network(true)), None);
        assert_eq!(message(&connect), "network");
    }

    #[test]
    fn a_server_of_the_first_transport_is_initialized_where_it_says() {
        for remembered in [None, Some(Era::Legacy)] {
            let mut connect = Connect::new("calc", remembered);
            if remembered.is_none() {
                connect.discovered(Err(http(404)));
            }
            connect.initialized(Err(http(405)), None);
            assert_eq!((connect.next(), connect.endpoint()), (&Step::FindEndpoint, None));
            connect.found(Ok("https://a.test/m".into()));
            assert_eq!((connect.next(), connect.endpoint()), (&Step::Initialize, Some("https://a.test/m")));
            let mut refused = connect.clone();
            refused.initialized(hello(), None);
            assert!(matches!(refused.next(), Step::Announce(link) if link.session.endpoint.is_some()));
            // It is not looked for twice.
            connect.initialized(Err(http(404)), None);
            assert_ne!(connect.next(), &Step::FindEndpoint);
        }
    }

    #[test]
    fn a_refusal_without_an_event_stream_is_judged_as_before() {
        let mut connect = Connect::new("calc", Some(Era::Legacy));
        connect.initialized(Err(http(404)), None);
        connect.found(Err(http(405)));
        assert_eq!(connect.next(), &Step::Discover("2026-07-28"), "it may have been replaced");
        connect.discovered(Err(http(404)));
        connect.initialized(Err(http(404)), None);
        assert!(matches!(connect.next(), Step::Failed(error) if error.status == Some(404)));
    }

    #[test]
    fn a_server_of_no_era_fails_with_both_reasons() {
        let mut connect = after_probe(None, Err(network(true)));
        connect.initialized(Err(http(404)), None);
        assert_eq!(connect.next(), &Step::FindEndpoint);
        connect.found(Err(http(405)));
        let Step::Failed(error) = connect.next() else { panic!() };
        assert_eq!((error.status, error.cause.as_ref().unwrap().code), (Some(404), Code::Network));
        let mut connect = after_probe(None, Err(http(404)));
        connect.initialized(result(json!({ "protocolVersion": "1.0" })), None);
        assert!(message(&connect).starts_with("connecting to calc: the server speaks 1.0, this client"));
    }

    #[test]
    fn a_refused_announcement_is_let_pass_but_a_lost_one_is_not() {
        let announce = || {
            let mut connect = Connect::new("calc", Some(Era::Legacy));
            connect.initialized(hello(), None);
            connect
        };
        let mut connect = announce();
        connect.announced(Err(http(404)));
        assert!(matches!(connect.next(), Step::Ready(_)));
        for failure in [http(401), network(false)] {
            let mut connect = announce();
            connect.announced(Err(failure));
            assert!(matches!(connect.next(), Step::Failed(_)));
        }
    }
}
