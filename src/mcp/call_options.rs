//! How one request of the app is to be made.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::options::{Fields, expected};
use crate::time::Millis;

/// How one request of the app is to be made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallOptions {
    /// Longest silence; the server's own timeout unless given.
    pub timeout: Option<Millis>,
    /// Further members of `_meta`.
    pub meta: Map<String, Value>,
    /// Asks for progress notices.
    pub progress: bool,
    /// Whether what is cached may answer.
    pub cache: Mode,
}

/// How one call wants to use what is cached, as `cache` of `fetch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// What is fresh is taken, else the server is asked.
    #[default]
    Default,
    /// The server is asked, and its answer kept.
    Reload,
    /// The server is not asked; what is over is taken as well.
    OnlyIfCached,
    /// The server is asked, and nothing is kept.
    NoStore,
}

impl Mode {
    /// Reads the option `cache` of a call; null means none.
    ///
    /// # Errors
    ///
    /// `config` with its path.
    pub fn read(value: &Value) -> Result<Mode> {
        match value.as_str() {
            None if value.is_null() => Ok(Mode::Default),
            Some("default") => Ok(Mode::Default),
            Some("reload") => Ok(Mode::Reload),
            Some("only-if-cached") => Ok(Mode::OnlyIfCached),
            Some("no-store") => Ok(Mode::NoStore),
            _ => Err(expected("cache", "\"default\", \"reload\", \"only-if-cached\" or \"no-store\"", value)),
        }
    }
}

impl CallOptions {
    /// Reads the options of a call: `timeoutMs`, `meta`, `progress`, `cache`.
    ///
    /// # Errors
    ///
    /// `config` with the path of the first field that is wrong. Members of `meta` that the client sets itself, such as
    /// `progressToken`, are wrong too.
    pub fn read(value: &Value) -> Result<CallOptions> {
        if value.is_null() {
            return Ok(CallOptions::default());
        }
        let mut fields = Fields::open(value, "")?;
        let timeout = fields.whole("timeoutMs", 1..=Millis::MAX_TIMER.0)?.map(Millis);
        let meta = read_meta(&mut fields)?;
        let progress = fields.boolean("progress")?.unwrap_or(false);
        let cache = Mode::read(fields.value("cache").unwrap_or(&Value::Null))?;
        fields.finish()?;
        Ok(CallOptions { timeout, meta, progress, cache })
    }
}

/// Reads the option `meta`: further members of `_meta`, such as `traceparent`.
///
/// # Errors
///
/// `config` when it is no object or holds what the client sets itself.
pub(crate) fn read_meta(fields: &mut Fields<'_>) -> Result<Map<String, Value>> {
    let meta = match fields.value("meta") {
        None => Map::new(),
        Some(Value::Object(meta)) => meta.clone(),
        Some(other) => return Err(expected(&fields.path("meta"), "an object", other)),
    };
    check_meta(&meta, &fields.path("meta"))?;
    Ok(meta)
}

/// Refuses members of `_meta` that only the client can set rightly: `path` names the object.
pub(crate) fn check_meta(meta: &Map<String, Value>, path: &str) -> Result<()> {
    let ours = [
        "progressToken",
        "io.modelcontextprotocol/protocolVersion",
        "io.modelcontextprotocol/clientCapabilities",
        "io.modelcontextprotocol/clientInfo",
    ];
    match ours.into_iter().find(|name| meta.contains_key(*name)) {
        Some(name) => Err(Error::config([path, ".", name].concat(), "is set by the client itself")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_is_there() {
        let read = CallOptions::read(&json!({ "timeoutMs": 5, "meta": { "traceparent": "00-1" }, "progress": true }));
        let options = read.unwrap();
        assert_eq!((options.timeout, options.progress), (Some(Millis(5)), true));
        assert_eq!(options.meta["traceparent"], "00-1");
        assert_eq!(CallOptions::read(&Value::Null).unwrap(), CallOptions::default());
    }

    #[test]
    fn names_what_is_wrong() {
        let message = |value| CallOptions::read(&value).unwrap_err().message.clone();
        assert_eq!(message(json!({ "meta": 7 })), "meta: expected an object, got 7");
        assert_eq!(
            message(json!({ "meta": { "progressToken": 7 } })),
            "meta.progressToken: is set by the client itself"
        );
        assert!(message(json!({ "timeoutms": 7 })).contains("did you mean `timeoutMs`?"));
    }
}
