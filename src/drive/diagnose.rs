//! Finds out why a server cannot be used from here: sends what the part asks for and tells it what came.

use std::cell::RefCell;

use serde_json::{Map, Value, json};

use crate::drive::wait::{Cancel, Jobs, Stop, unless_cancelled, within};
use crate::error::{Code, Error, Result};
use crate::http::{Headers, Method, Request};
use crate::json;
use crate::mcp::diagnose::Facts;
use crate::options::Fields;
use crate::platform::{Body, Part, Platform};
use crate::secret::Secret;
use crate::time::Millis;

/// Longest wait for one answer, by default.
const TIMEOUT: Millis = Millis::from_secs(10);
/// How long a body is read; a stream need not end.
const BODY: Millis = Millis::from_secs(2);
/// Bytes of a body that are looked at.
const MAX_BODY: usize = 64 * 1024;
/// Most rounds of probes; the longest way takes eight.
const MAX_ROUNDS: usize = 20;

/// What to look at.
#[derive(Clone, Debug)]
pub struct Patient {
    url: String,
    page: Option<String>,
    /// The app's own headers, `authorization` among them.
    headers: Vec<(String, Secret)>,
    timeout: Millis,
}

impl Patient {
    /// Reads the arguments of `diagnose(url, { token, headers, timeoutMs })`; `page` is the origin of the page.
    ///
    /// # Errors
    ///
    /// `config` with the path of what is wrong.
    pub fn read(options: &Value) -> Result<Patient> {
        let mut fields = Fields::open(options, "")?;
        let (url, page) = (fields.required("url")?, fields.string("page")?.map(str::to_owned));
        let mut headers: Vec<(String, Secret)> = Vec::new();
        if let Some(token) = fields.string("token")? {
            headers.push(("authorization".into(), Secret::new(["Bearer ", token].concat())));
        }
        for (name, value) in fields.strings("headers")? {
            headers.push((name.to_ascii_lowercase(), Secret::new(value)));
        }
        let timeout = fields.whole("timeoutMs", 1..=Millis::MAX_TIMER.0)?.map_or(TIMEOUT, Millis);
        fields.finish()?;
        let url = match &page {
            Some(page) if url.starts_with('/') => [page, url].concat(),
            _ => url.to_owned(),
        };
        Ok(Patient { url, page, headers, timeout })
    }
}

/// Looks at a server from here and gives the report: `{ url, usable, era?, findings: [{ code, level, message, fix? }] }`.
///
/// What is wrong with the server is in the report and no error.
///
/// # Errors
///
/// `cancelled`, and `network` when the part that decides cannot be loaded.
pub async fn diagnose<P: Platform>(platform: &P, patient: &Patient, cancel: &Cancel) -> Result<Value> {
    let mut facts = Facts::new(&patient.url, patient.page.as_deref());
    facts.headers = patient.headers.iter().map(|(name, _)| name.clone()).collect();
    for _ in 0..MAX_ROUNDS {
        let asked = unless_cancelled(cancel, platform.call_part(Part::Diagnose, facts.text())).await;
        let answer = asked.map_err(|_| Error::cancelled("diagnose"))?;
        let answer = answer.map_err(|words| Error::new(Code::Network, ["diagnose: ", &words].concat()))?;
        let step: Value = json::read(&answer).unwrap_or_default();
        if let Some(report) = step.get("done") {
            return Ok(report.clone());
        }
        let probes = step.get("probe").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let answers = RefCell::new(Map::new());
        let mut jobs = Jobs::default();
        for probe in probes {
            jobs.push(async {
                let answer = send(platform, patient, probe).await;
                answers.borrow_mut().insert(text(probe, "name").to_owned(), answer);
            });
        }
        unless_cancelled(cancel, jobs.finish()).await.map_err(|_| Error::cancelled("diagnose"))?;
        facts.answers.extend(answers.into_inner());
    }
    Err(Error::new(Code::Limit, "diagnose: no end of questions"))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

/// What came of one probe, as the facts hold it.
async fn send<P: Platform>(platform: &P, patient: &Patient, probe: &Value) -> Value {
    let mut headers = Headers::new();
    for pair in probe.get("headers").and_then(Value::as_array).into_iter().flatten() {
        if let (Some(name), Some(value)) = (pair[0].as_str(), pair[1].as_str()) {
            headers.set(name, value);
        }
    }
    let own = text(probe, "own");
    for (name, value) in patient.headers.iter().filter(|(name, _)| own == "*" || own == name) {
        headers.set(name, value.reveal());
    }
    let method = match text(probe, "method") {
        "POST" => Method::Post,
        "KNOCK" => Method::Knock,
        _ => Method::Get,
    };
    let body = probe.get("body").and_then(Value::as_str).map(str::to_owned);
    let request = Request { method, url: text(probe, "url").to_owned(), headers, body };
    let never = Cancel::new();
    let mut response = match within(platform, patient.timeout, &never, platform.fetch(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return json!({ "error": error.message, "maybeCors": error.maybe_cors }),
        Err(Stop::Cancelled | Stop::TimedOut) => {
            let words = ["no answer within ", &patient.timeout.0.to_string(), " ms"].concat();
            return json!({ "error": words, "maybeCors": false });
        }
    };
    let mut bytes = Vec::new();
    let read = async {
        while bytes.len() < MAX_BODY {
            match response.body.chunk().await {
                Some(Ok(chunk)) => bytes.extend(chunk),
                _ => break,
            }
        }
    };
    // What has come by then is enough.
    let _ = within(platform, BODY, &never, read).await;
    bytes.truncate(MAX_BODY);
    let mut fields = Map::new();
    for (name, value) in response.head.headers.iter() {
        fields.insert(name.to_ascii_lowercase(), value.into());
    }
    json!({ "status": response.head.status, "headers": fields, "body": String::from_utf8_lossy(&bytes) })
}

#[cfg(test)]
#[path = "diagnose_tests.rs"]
mod tests;
