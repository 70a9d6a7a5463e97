//! Why a server cannot be used from here: facts in, the next probes or the findings out.
//!
//! A browser tells a page nothing but "Failed to fetch". What is behind it is found by asking in several ways: without
//! CORS, to learn whether somebody is there at all; as a simple request, to learn whether the page's origin is let in; then
//! with one header at a time, to learn which one the preflight refuses. What answers is looked at like any other answer.
//!
//! The whole state is the facts: [`next`] is a function of them. The core reaches it through
//! [`Part::Diagnose`](crate::platform::Part::Diagnose) and does nothing but send what it is told.
//!
//! # Examples
//!
//! ```
//! # use edgewise::mcp::diagnose::{Facts, Step, next};
//! # use serde_json::json;
//! let facts = Facts::new("http://mcp.test/mcp", Some("https://app.test"));
//! let Step::Done(report) = next(&facts) else { panic!() };
//! assert_eq!(report["findings"][0]["code"], "mixed_content");
//! ```

mod authorization;
mod look;
mod words;

use serde_json::{Map, Value, json};

use crate::json;
use crate::mcp::oauth::Url;
use look::{Seen, look};

/// What is known so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The server's endpoint, absolute.
    pub url: String,
    /// Origin of the page; `None` where there is none, so that CORS does not matter.
    pub page: Option<String>,
    /// Names of the headers that the app adds, in lower case; `authorization` for a token.
    pub headers: Vec<String>,
    /// What came of each probe: `{ status, headers, body }` or `{ error, maybeCors }`.
    pub answers: Map<String, Value>,
}

impl Facts {
    /// Before the first probe.
    pub fn new(url: &str, page: Option<&str>) -> Facts {
        Facts { url: url.to_owned(), page: page.map(str::to_owned), headers: Vec::new(), answers: Map::new() }
    }

    /// As text for the part.
    pub fn text(&self) -> String {
        let facts = json!({ "url": self.url, "page": self.page, "headers": self.headers, "answers": self.answers });
        crate::json::text(&facts)
    }

    fn read(text: &str) -> Option<Facts> {
        let mut value: Value = json::read(text)?;
        let names = value.get("headers").and_then(Value::as_array).into_iter().flatten();
        let headers = names.filter_map(Value::as_str).map(str::to_owned).collect();
        let page = value.get("page").and_then(Value::as_str).map(str::to_owned);
        let url = value.get("url")?.as_str()?.to_owned();
        let Value::Object(answers) = value.get_mut("answers")?.take() else { return None };
        Some(Facts { url, page, headers, answers })
    }

    fn seen(&self, probe: &str) -> Option<Seen<'_>> {
        self.answers.get(probe).map(Seen::of)
    }

    /// The browser asks the server before it lets a page's request through.
    fn crosses(&self) -> bool {
        let own = Url::parse(&self.url);
        self.page.as_deref().is_some_and(|page| own.as_ref().is_none_or(|url| url.origin() != page))
    }

    fn has(&self, header: &str) -> bool {
        self.headers.iter().any(|name| name == header)
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send these, in any order, and add what comes of each to the facts.
    Probe(Vec<Probe>),
    /// The report: `{ url, usable, era?, findings }`.
    Done(Value),
}

/// One request to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// Name of its answer in the facts.
    pub name: String,
    /// `GET`, `POST`, or `KNOCK` for a `GET` whose answer nobody may read.
    pub method: &'static str,
    /// Where to.
    pub url: String,
    /// Headers of the probe.
    pub headers: Vec<(String, String)>,
    /// Body, if any.
    pub body: Option<String>,
    /// The app's own headers go along: all of them, or one by its name.
    pub own: Option<String>,
}

/// Answers a request to the part.
///
/// # Errors
///
/// Words when the facts cannot be read.
pub fn answer(facts: &str) -> Result<String, String> {
    let facts = Facts::read(facts).ok_or_else(|| "the facts cannot be read".to_owned())?;
    let step = match next(&facts) {
        Step::Done(report) => json!({ "done": report }),
        Step::Probe(probes) => json!({ "probe": probes.iter().map(Probe::to_value).collect::<Vec<Value>>() }),
    };
    Ok(crate::json::text(&step))
}

impl Probe {
    fn to_value(&self) -> Value {
        let headers: Vec<Value> = self.headers.iter().map(|(name, value)| json!([name, value])).collect();
        json!({ "name": self.name, "method": self.method, "url": self.url, "headers": headers, "body": self.body, "own": self.own })
    }
}

const DISCOVER: &str = r#"{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"edgewise-diagnose","version":"0.1.0"}}}}"#;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"edgewise-diagnose","version":"0.1.0"}}}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}"#;
const ACCEPT: &str = "application/json, text/event-stream";

/// Headers that a page may need, one at a time: name, and a value that harms nothing.
const ONE_BY_ONE: [(&str, &str); 6] = [
    ("content-type", "application/json"),
    ("mcp-protocol-version", "2026-07-28"),
    ("mcp-method", "server/discover"),
    ("mcp-name", "probe"),
    ("mcp-session-id", "probe"),
    ("last-event-id", "probe"),
];

/// The next probes, or the report.
pub fn next(facts: &Facts) -> Step {
    let Some(url) = Url::parse(&facts.url) else { return done(facts, None, vec![words::invalid_url()]) };
    let secure_page = facts.page.as_deref().is_some_and(|page| page.starts_with("https:"));
    if secure_page && !url.is_secure() {
        return done(facts, None, vec![words::mixed_content(&facts.url)]);
    }
    let Some(seen) = facts.seen("discover") else { return probe(facts, "discover") };
    match seen.failure() {
        None => answered(facts, &url, "discover", Vec::new()),
        Some(words) if !facts.crosses() || !seen.maybe_cors() => done(facts, None, vec![words::unreachable(&words)]),
        Some(words) => refused(facts, &url, &words),
    }
}

/// The browser said no more than that it failed.
fn refused(facts: &Facts, url: &Url, words: &str) -> Step {
    let Some(knock) = facts.seen("reach") else { return probe(facts, "reach") };
    if knock.failure().is_some() {
        return done(facts, None, vec![words::unreachable(words)]);
    }
    let Some(simple) = facts.seen("simple") else { return probe(facts, "simple") };
    if simple.is_redirect() {
        return done(facts, None, vec![words::redirect(simple.header("location"))]);
    }
    let page = facts.page.as_deref().unwrap_or("*");
    if simple.failure().is_some() {
        return done(facts, None, vec![words::origin(page)]);
    }
    let mut wanted: Vec<String> = ONE_BY_ONE.iter().map(|(name, _)| (*name).to_owned()).collect();
    wanted.extend(facts.headers.iter().cloned());
    wanted.dedup();
    let open: Vec<&String> = wanted.iter().filter(|name| facts.seen(&header_probe(name)).is_none()).collect();
    if !open.is_empty() {
        return Step::Probe(open.iter().map(|name| with_header(facts, name)).collect());
    }
    let is_refused = |name: &&String| facts.seen(&header_probe(name)).is_some_and(|seen| seen.failure().is_some());
    let refused: Vec<&str> = wanted.iter().filter(is_refused).map(String::as_str).collect();
    if refused.is_empty() {
        return done(facts, None, vec![words::preflight(&wanted, page)]);
    }
    let finding = |fatal: bool| words::headers(&refused, &wanted, page, fatal);
    // What a server of the older era needs may be let through: then it can be used.
    let needed = |name: &&str| *name == "content-type" || facts.has(name);
    if refused.iter().any(needed) {
        return done(facts, None, vec![finding(true)]);
    }
    match facts.seen("initialize") {
        None => probe(facts, "initialize"),
        Some(seen) if seen.failure().is_some() => done(facts, None, vec![finding(true)]),
        Some(seen) => {
            let legacy = matches!(look(&seen, "protocolVersion"), look::Kind::Result(_));
            // An older server does not need the new headers.
            let harmless = legacy && !refused.contains(&"mcp-session-id");
            let finding = if harmless { Vec::new() } else { vec![finding(true)] };
            // What a modern server says to an older greeting is beside the point.
            if !legacy && !matches!(seen.status(), 401 | 403) {
                return done(facts, None, finding);
            }
            answered(facts, url, "initialize", finding)
        }
    }
}

/// Something answered that can be read.
fn answered(facts: &Facts, url: &Url, name: &str, mut findings: Vec<Value>) -> Step {
    let Some(seen) = facts.seen(name) else { return probe(facts, name) };
    let status = seen.status();
    if matches!(status, 401 | 403) {
        return authorization::refused(facts, url, &seen, findings);
    }
    let key = if name == "discover" { "supportedVersions" } else { "protocolVersion" };
    match look(&seen, key) {
        look::Kind::Result(result) if name == "discover" => modern(facts, &result, findings),
        look::Kind::Result(result) => legacy(facts, &result, &seen, findings),
        // The words of a modern server that wants something else.
        look::Kind::Error(code, _) if name == "discover" && matches!(code, -32022..=-32020) => {
            findings.push(words::revisions(&seen));
            done(facts, Some("modern"), findings)
        }
        kind => {
            if seen.is_redirect() {
                findings.push(words::redirect(seen.header("location")));
                return done(facts, None, findings);
            }
            if status == 429 || status >= 500 {
                findings.push(words::busy(status));
                return done(facts, None, findings);
            }
            // Following a redirect makes a GET of it and loses the request, without a word.
            let Some(simple) = facts.seen("simple") else { return probe(facts, "simple") };
            if simple.is_redirect() {
                findings.push(words::redirect(simple.header("location")));
                return done(facts, None, findings);
            }
            if name == "discover" {
                return answered(facts, url, "initialize", findings);
            }
            let Some(stream) = facts.seen("sse") else { return probe(facts, "sse") };
            if stream.media_type() == "text/event-stream" && stream.body().contains("event: endpoint") {
                findings.push(words::old_transport());
                return done(facts, Some("legacy"), findings);
            }
            findings.push(words::no_mcp(&kind, &seen, url));
            done(facts, None, findings)
        }
    }
}

fn modern(facts: &Facts, result: &Map<String, Value>, mut findings: Vec<Value>) -> Step {
    let versions = result.get("supportedVersions").and_then(Value::as_array);
    if versions.is_some_and(|versions| !versions.iter().any(|version| version == "2026-07-28")) {
        findings.push(words::revision_gap(versions));
    } else {
        findings.push(words::works("modern", "2026-07-28"));
    }
    done(facts, Some("modern"), findings)
}

fn legacy(facts: &Facts, result: &Map<String, Value>, seen: &Seen<'_>, mut findings: Vec<Value>) -> Step {
    let version = result.get("protocolVersion").and_then(Value::as_str).unwrap_or("");
    if facts.crosses() && seen.header("mcp-session-id").is_none() {
        // There may be no session, or one that the page is not shown.
        let Some(list) = facts.seen("list") else { return probe(facts, "list") };
        if list.failure().is_some() || !matches!(look(&list, "tools"), look::Kind::Result(_)) {
            findings.push(words::session_hidden());
        }
    }
    if findings.is_empty() {
        findings.push(words::works("legacy", version));
    }
    done(facts, Some("legacy"), findings)
}

fn done(facts: &Facts, era: Option<&str>, findings: Vec<Value>) -> Step {
    let usable = era.is_some() && !findings.iter().any(|finding| finding["level"] == "error");
    let mut report = json!({ "url": facts.url, "usable": usable });
    if let Some(era) = era {
        report["era"] = era.into();
    }
    report["findings"] = Value::Array(findings);
    Step::Done(report)
}

fn header_probe(name: &str) -> String {
    ["header ", name].concat()
}

/// A request that would be simple but for that header.
fn with_header(facts: &Facts, name: &str) -> Probe {
    let known = ONE_BY_ONE.iter().find(|(known, _)| *known == name);
    let mut headers = vec![("accept".to_owned(), ACCEPT.to_owned())];
    if name != "content-type" {
        headers.push(("content-type".into(), "text/plain".into()));
    }
    headers.extend(known.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let own = known.is_none().then(|| name.to_owned());
    Probe {
        name: header_probe(name),
        method: "POST",
        url: facts.url.clone(),
        headers,
        body: Some(DISCOVER.into()),
        own,
    }
}

fn probe(facts: &Facts, name: &str) -> Step {
    let with =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let json = [("accept", ACCEPT), ("content-type", "application/json")];
    let (method, headers, body) = match name {
        "discover" => {
            let modern = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "server/discover")];
            ("POST", with(&[json.as_slice(), &modern].concat()), Some(DISCOVER))
        }
        "initialize" => ("POST", with(&json), Some(INITIALIZE)),
        "list" => ("POST", with(&json), Some(LIST)),
        "sse" => ("GET", with(&[("accept", "text/event-stream")]), None),
        // A form needs no preflight, and a redirect of it is not followed.
        "simple" => {
            ("POST", with(&[("accept", ACCEPT), ("content-type", "application/x-www-form-urlencoded")]), Some(DISCOVER))
        }
        _ => ("KNOCK", Vec::new(), None),
    };
    let own = matches!(name, "discover" | "initialize" | "list" | "sse").then(|| "*".to_owned());
    Step::Probe(vec![Probe {
        name: name.into(),
        method,
        url: facts.url.clone(),
        headers,
        body: body.map(str::to_owned),
        own,
    }])
}

#[cfg(test)]
mod tests;
