//! What may be answered from what a server said before, for how long, and to whom: the decisions, without waiting.
//!
//! # In scope
//!
//! - Keys: server, authorization context, method, parameters in canonical JSON. Nobody gets what another principal got,
//!   unless the server says that everybody gets the same (`cacheScope: "public"`).
//! - Lists and resources are fresh as long as the server says (`ttlMs`), results of tools as long as it, the app or, where
//!   neither says anything, a minute.
//! - Tools: only those that read or that may be called twice without harm, and none that reaches into the open world,
//!   unless the app says so.
//! - What is over is kept a while longer, for when the server cannot be reached; it is marked then.

mod canonical;

use serde_json::{Map, Value};

use crate::error::{Code, Error, Result};
use crate::mcp::listen::{Change, is_below};
use crate::mcp::lists::{Age, Freshness, List};
use crate::mcp::sha256::{base64url, sha256};
use crate::mcp::types::Annotations;
use crate::options::{Fields, expected};
use crate::time::{Millis, UnixMillis};

pub use crate::mcp::call_options::Mode;
pub use canonical::canonical;

/// How much longer than it is fresh an answer is kept, for when the server cannot be reached: a week.
pub const STALE_FOR: Millis = Millis(7 * 24 * 3_600_000);
/// Longest time that an answer is taken as fresh, whatever a server says: a day.
const MAX_TTL: u64 = 24 * 3_600_000;
/// Largest answer that is kept, in bytes of JSON.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What the app says of one tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Override {
    /// Whether and how long its results are cached; `None` leaves that to its annotations.
    ttl: Option<Option<Millis>>,
    /// Whether its calls invalidate what its server's tools gave, if it writes.
    invalidates: bool,
}

/// The option `cache` of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheConfig {
    enabled: bool,
    ttl: Millis,
    tools: Vec<(String, Override)>,
}

impl Default for CacheConfig {
    fn default() -> CacheConfig {
        CacheConfig { enabled: true, ttl: Millis(60_000), tools: Vec::new() }
    }
}

impl CacheConfig {
    /// Reads `false`, or `{ ttlMs, tools: { "server.tool": false | { ttlMs, invalidates } } }`.
    ///
    /// # Errors
    ///
    /// `config` with the path of what is wrong.
    pub fn read(value: Option<&Value>) -> Result<CacheConfig> {
        let mut config = CacheConfig::default();
        match value {
            None | Some(Value::Bool(true)) => return Ok(config),
            Some(Value::Bool(false)) => return Ok(CacheConfig { enabled: false, ..config }),
            Some(value) => {
                let mut fields = Fields::open(value, "cache")?;
                config.ttl = fields.whole("ttlMs", 0..=MAX_TTL)?.map_or(config.ttl, Millis);
                match fields.value("tools") {
                    None => {}
                    Some(Value::Object(tools)) => {
                        for (name, value) in tools {
                            config.tools.push((name.clone(), read_override(name, value, config.ttl)?));
                        }
                    }
                    Some(other) => return Err(expected("cache.tools", "an object", other)),
                }
                fields.finish()?;
            }
        }
        Ok(config)
    }

    /// Whether anything is cached at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// How long a result of that tool is fresh where it does not say itself; `None`: it is not kept.
    pub fn ttl_of(&self, tool: &str, annotations: &Annotations) -> Option<Millis> {
        let harmless = (annotations.read_only || annotations.idempotent) && !annotations.open_world;
        match self.of(tool).and_then(|of| of.ttl) {
            _ if !self.enabled => None,
            Some(ttl) => ttl,
            None => harmless.then_some(self.ttl),
        }
    }

    /// Whether a call of that tool makes worthless what the tools of its server gave before.
    pub fn invalidates(&self, tool: &str, annotations: &Annotations) -> bool {
        self.enabled && !annotations.read_only && self.of(tool).is_none_or(|of| of.invalidates)
    }

    fn of(&self, tool: &str) -> Option<Override> {
        self.tools.iter().find(|(name, _)| name == tool).map(|(_, of)| *of)
    }
}

fn read_override(name: &str, value: &Value, default: Millis) -> Result<Override> {
    let path = ["cache.tools[\"", name, "\"]"].concat();
    match value {
        Value::Bool(cached) => Ok(Override { ttl: Some(cached.then_some(default)), invalidates: true }),
        Value::Object(_) => {
            let mut fields = Fields::open(value, &path)?;
            let ttl = fields.whole("ttlMs", 0..=MAX_TTL)?.map(|ttl| (ttl > 0).then_some(Millis(ttl)));
            let invalidates = fields.boolean("invalidates")?.unwrap_or(true);
            fields.finish()?;
            Ok(Override { ttl, invalidates })
        }
        other => Err(expected(&path, "a boolean or an object", other)),
    }
}

/// What parameters are called in a key.
pub fn digest(params: &Map<String, Value>) -> String {
    base64url(&sha256(canonical(params).as_bytes())[..18])
}

/// The method of a resource's content.
pub const READ: &str = "resources/read";
/// The method of a tool's call.
pub const CALL: &str = "tools/call";

/// What a change on the server makes worthless: all answers to some methods, and what was read of some resources. `watched`
/// are the URIs that somebody asked to be told of; one that holds the resource that changed has changed as well.
pub fn outdated<'a>(change: &'a Change, watched: &'a [String]) -> (&'static [&'static str], Vec<&'a str>) {
    const TOOLS: &str = List::Tools.method();
    const PROMPTS: &str = List::Prompts.method();
    const RESOURCES: &str = List::Resources.method();
    const TEMPLATES: &str = List::ResourceTemplates.method();
    match change {
        Change::Tools => (&[TOOLS], Vec::new()),
        Change::Prompts => (&[PROMPTS], Vec::new()),
        Change::Resources => (&[RESOURCES, TEMPLATES], Vec::new()),
        Change::Resource(uri) => {
            let above = watched.iter().map(String::as_str).filter(|above| *above != uri && is_below(uri, above));
            (&[], above.chain([uri.as_str()]).collect())
        }
        // Whatever was told meanwhile, nobody has heard.
        Change::Gap => (&[TOOLS, PROMPTS, RESOURCES, TEMPLATES, READ], Vec::new()),
        Change::Watching(_) | Change::Task(_) => (&[], Vec::new()),
    }
}

/// Who asks, as far as a server can tell: a digest of what goes with each request. Empty where that is nothing.
pub fn principal<'a>(credentials: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut all = Vec::new();
    for (name, value) in credentials {
        // With lengths, so that two sets are never one text.
        for part in [name, value] {
            all.extend_from_slice(&(part.len() as u64).to_le_bytes());
            all.extend_from_slice(part.as_bytes());
        }
    }
    if all.is_empty() { String::new() } else { base64url(&sha256(&all)[..18]) }
}

/// An answer that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    at: UnixMillis,
    ttl: Millis,
    /// The result as the server sent it.
    pub result: Map<String, Value>,
}

impl Record {
    /// What is kept of a result that came now; `None` where it may not be kept. `ttl` is for results that do not say
    /// themselves. What is fresh for no time at all is kept for when the server cannot be reached, and for nothing else.
    pub fn new(result: &Map<String, Value>, ttl: Millis, now: UnixMillis) -> Option<Record> {
        let says = result.contains_key("ttlMs");
        let ttl = if says { Freshness::read(result).ttl_ms.min(MAX_TTL) } else { ttl.0 };
        let failed = result.get("isError") == Some(&Value::Bool(true));
        let whole = result.get("resultType").is_none_or(|kind| kind == "complete");
        (whole && !failed).then(|| Record { at: now, ttl: Millis(ttl), result: result.clone() })
    }

    /// The same, fresh for no time at all.
    pub fn over(self) -> Record {
        Record { ttl: Millis(0), ..self }
    }

    /// Everybody gets the same, the server says.
    pub fn is_public(&self) -> bool {
        Freshness::read(&self.result).public
    }

    /// What is stored; `None` where it is too big.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut record = Map::new();
        record.insert("at".to_owned(), self.at.0.into());
        record.insert("ttl".to_owned(), self.ttl.0.into());
        record.insert("result".to_owned(), Value::Object(self.result.clone()));
        let bytes = crate::json::text(&Value::Object(record)).into_bytes();
        (bytes.len() <= MAX_BYTES).then_some(bytes)
    }

    /// Reads what was stored; `None` for what is no record.
    pub fn read(bytes: &[u8]) -> Option<Record> {
        let Ok(Value::Object(mut record)) = serde_json::from_slice(bytes) else { return None };
        let number = |name: &str| record.get(name).and_then(Value::as_u64);
        let (at, ttl) = (UnixMillis(number("at")?), Millis(number("ttl")?));
        match record.remove("result") {
            Some(Value::Object(result)) => Some(Record { at, ttl, result }),
            _ => None,
        }
    }

    /// Until when it is kept.
    pub fn expires(&self) -> UnixMillis {
        self.at + self.ttl + STALE_FOR
    }

    /// How old it is now.
    pub fn age(&self, now: UnixMillis) -> Age {
        let age = now.since(self.at);
        // A clock that was set back makes everything from the future; nobody knows how old that is.
        Age { age_ms: age, stale: now < self.at || age >= self.ttl }
    }
}

/// Whether an error says that the server could not be asked, rather than what it answered.
pub fn is_outage(error: &Error) -> bool {
    matches!(error.code, Code::Network | Code::Timeout | Code::Overloaded | Code::RateLimited | Code::Truncated)
        || error.status.is_some_and(|status| status >= 500)
}

/// Whether an error says that the server has answered, or was never asked: nothing is carried out after it.
pub fn is_answered(error: &Error) -> bool {
    error.rpc_code.is_some() || matches!(error.code, Code::AuthRequired | Code::Config | Code::Misuse)
}

#[cfg(test)]
mod tests;
