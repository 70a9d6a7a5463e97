//! What servers log for their clients: who of the app listens, and from which level on.
//!
//! Modern servers log only what belongs to a request, and only if it says from which level on ([MCP 2026-07-28, Logging]);
//! older ones are told once for each session.
//!
//! [MCP 2026-07-28, Logging]: https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/logging

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::options::{Fields, FunctionId};

/// Member of `_meta` that says from which level on a modern server may log.
pub const META: &str = "io.modelcontextprotocol/logLevel";

/// The notification that carries an entry.
pub const NOTICE: &str = "notifications/message";

/// The levels, the least important first (RFC 5424).
const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// Who listens, and from which level on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Gets each entry.
    pub listener: Option<FunctionId>,
    /// One of the protocol's levels; `None` while nobody listens.
    pub level: Option<&'static str>,
}

impl Log {
    /// Reads `onLog` and `logLevel` of the options of a server. The level is `info` unless given.
    ///
    /// # Errors
    ///
    /// `config` with the path of the one that is wrong; a level makes sense only where somebody listens.
    pub fn read(fields: &mut Fields<'_>) -> Result<Log> {
        let listener = fields.function("onLog")?;
        let level = match fields.string("logLevel")? {
            None => listener.map(|_| "info"),
            Some(_) if listener.is_none() => {
                return Err(Error::config(fields.path("logLevel"), "makes sense only together with `onLog`"));
            }
            Some(name) => Some(level(name, &fields.path("logLevel"))?),
        };
        Ok(Log { listener, level })
    }
}

/// The level of that name.
///
/// # Errors
///
/// `config` when there is none; `path` names the option.
pub fn level(name: &str, path: &str) -> Result<&'static str> {
    let found = LEVELS.into_iter().find(|known| *known == name);
    found.ok_or_else(|| Error::config(path, &["expected one of ", &LEVELS.join(", ")].concat()))
}

/// How much a level lets through: the higher, the more. One that there is not lets all through.
pub fn openness(name: &str) -> usize {
    let at = LEVELS.into_iter().position(|known| known == name);
    LEVELS.len() - at.unwrap_or(0)
}

/// Whether an entry is for whoever listens from that level on. One without a level is.
pub fn is_for(level: &str, params: Option<&Value>) -> bool {
    let named = params.and_then(|params| params.get("level")).and_then(Value::as_str);
    named.is_none_or(|named| openness(named) <= openness(level) || !LEVELS.contains(&named))
}

/// An entry as the app gets it: what the server sent, and which server it was. `None` for what is no object.
pub fn entry(server: &str, params: Option<&Value>) -> Option<Value> {
    let mut entry = Map::new();
    entry.insert("server".to_owned(), server.into());
    for (name, value) in params?.as_object()? {
        if name != "server" {
            entry.insert(name.clone(), value.clone());
        }
    }
    Some(Value::Object(entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(options: Value) -> Result<Log> {
        Log::read(&mut Fields::open(&options, "").unwrap())
    }

    #[test]
    fn a_level_where_somebody_listens() {
        let listener = Some(FunctionId(1));
        assert_eq!(read(json!({})).unwrap(), Log::default());
        assert_eq!(read(json!({ "onLog": { "$function": 1 } })).unwrap(), Log { listener, level: Some("info") });
        let options = json!({ "onLog": { "$function": 1 }, "logLevel": "emergency" });
        assert_eq!(read(options).unwrap(), Log { listener, level: Some("emergency") });
        let message = |options| read(options).unwrap_err().message.clone();
        assert_eq!(message(json!({ "logLevel": "info" })), "logLevel: makes sense only together with `onLog`");
        let wrong = message(json!({ "onLog": { "$function": 1 }, "logLevel": "loud" }));
        assert!(wrong.starts_with("logLevel: expected one of debug, info,"), "{wrong}");
    }

    #[test]
    fn entries_below_the_level_are_for_others() {
        let is_for = |level: &str, named: Value| super::is_for(level, Some(&json!({ "level": named, "data": 1 })));
        assert!(is_for("info", json!("info")) && is_for("info", json!("alert")) && is_for("debug", json!("debug")));
        assert!(!is_for("info", json!("debug")) && !is_for("error", json!("warning")));
        assert!(is_for("error", json!("strange")) && is_for("error", Value::Null) && super::is_for("error", None));
        assert!(openness("debug") > openness("info") && openness("alert") > openness("emergency"));
    }

    #[test]
    fn an_entry_names_its_server() {
        let params = json!({ "level": "info", "data": [1], "server": "another" });
        assert_eq!(entry("calc", Some(&params)), Some(json!({ "server": "calc", "level": "info", "data": [1] })));
        assert_eq!(entry("calc", None), None);
        assert_eq!(entry("calc", Some(&json!([1]))), None);
    }
}
