//! What the shell says with a call: the fields of one JSON object. The shell has looked at their types already.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::mcp::call_options::CallOptions;
use crate::options::expected;

/// The arguments of one call.
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    /// Reads the arguments of a call of that name.
    ///
    /// # Errors
    ///
    /// `config` when they are nested more deeply than JSON is read.
    pub(super) fn read(call: &str, json: &str) -> Result<Arguments> {
        match serde_json::from_slice(json.as_bytes()) {
            Ok(Value::Object(fields)) => Ok(Arguments(fields)),
            _ => Err(Error::config(call, "what it was given is nested too deeply")),
        }
    }

    /// The argument of that name, null when it is not there.
    pub(super) fn take(&mut self, name: &str) -> Value {
        self.0.get_mut(name).map_or(Value::Null, Value::take)
    }

    /// The text of that name.
    pub(super) fn text(&mut self, name: &str) -> Result<String> {
        match self.take(name) {
            Value::String(text) => Ok(text),
            other => Err(expected(name, "a string", &other)),
        }
    }

    /// The object of that name, empty when it is not there.
    pub(super) fn object(&mut self, name: &str) -> Result<Map<String, Value>> {
        match self.take(name) {
            Value::Object(fields) => Ok(fields),
            Value::Null => Ok(Map::new()),
            other => Err(expected(name, "an object", &other)),
        }
    }

    /// How the request is to be made.
    pub(super) fn options(&mut self) -> Result<CallOptions> {
        CallOptions::read(&self.take("options"))
    }
}
