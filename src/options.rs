//! Reads the app's options, with the path of every field that is wrong.
//!
//! Options arrive as JSON. Functions cannot be JSON: the JavaScript shell keeps them in a table and puts
//! `{"$function": n}` in their place, so that the whole configuration is plain data and can be tested here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// A function of the app, by its place in the table that the platform keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FunctionId(pub u32);

impl FunctionId {
    /// Key of the marker object that stands for a function.
    pub const MARKER: &'static str = "$function";

    /// The function a marker stands for, or `None` when `value` is no marker.
    pub fn from_marker(value: &Value) -> Option<FunctionId> {
        let map = value.as_object()?;
        let id = map.get(Self::MARKER)?.as_u64()?;
        (map.len() == 1).then_some(FunctionId(u32::try_from(id).ok()?))
    }
}

/// The fields of one options object; remembers which were asked for, so that [`Fields::finish`] finds typing
/// mistakes. `undefined` and `null` count as absent.
#[derive(Debug)]
pub struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Opens an object. `path` is empty for the outermost one.
    ///
    /// # Errors
    ///
    /// `config` when `value` is not a plain object.
    pub fn open(value: &'a Value, path: &str) -> Result<Fields<'a>> {
        match value.as_object() {
            Some(map) if FunctionId::from_marker(value).is_none() => {
                Ok(Fields { path: path.to_owned(), map, known: Vec::new() })
            }
            _ => {
                let path = if path.is_empty() { "options" } else { path };
                Err(expected(path, "an object", value))
            }
        }
    }

    /// Path of the field `name` of this object.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { [self.path.as_str(), ".", name].concat() }
    }

    /// The field as it is; `None` when absent or null.
    pub fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn typed<T>(
        &mut self,
        name: &'static str,
        what: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(expected(&self.path(name), what, value)),
        }
    }

    /// A string.
    ///
    /// # Errors
    ///
    /// `config` when it is there and is something else; so for all readers below.
    pub fn string(&mut self, name: &'static str) -> Result<Option<&'a str>> {
        self.typed(name, "a string", Value::as_str)
    }

    /// A string that must be there and not be empty.
    ///
    /// # Errors
    ///
    /// `config` also when it is missing or empty.
    pub fn required(&mut self, name: &'static str) -> Result<&'a str> {
        match self.string(name)? {
            Some("") => Err(Error::config(self.path(name), "must not be empty")),
            Some(text) => Ok(text),
            None => Err(Error::config(self.path(name), "is required (a string)")),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    ///
    /// `config` for another type.
    pub fn boolean(&mut self, name: &'static str) -> Result<Option<bool>> {
        self.typed(name, "true or false", Value::as_bool)
    }

    /// A whole number within `range`, for counts, bytes and milliseconds.
    ///
    /// # Errors
    ///
    /// `config` for another type, a fraction, or a number out of range.
    pub fn whole(&mut self, name: &'static str, range: std::ops::RangeInclusive<u64>) -> Result<Option<u64>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        // JavaScript has one number type: 5.0 is 5.
        let number = value
            .as_u64()
            .or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..9.0e15).contains(n)).map(|n| n as u64));
        match number {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let what = format!("a whole number from {} to {}", range.start(), range.end());
                Err(expected(&self.path(name), &what, value))
            }
        }
    }

    /// Any finite number.
    ///
    /// # Errors
    ///
    /// `config` for another type.
    pub fn number(&mut self, name: &'static str) -> Result<Option<f64>> {
        self.typed(name, "a number", Value::as_f64)
    }

    /// A function.
    ///
    /// # Errors
    ///
    /// `config` for another type.
    pub fn function(&mut self, name: &'static str) -> Result<Option<FunctionId>> {
        self.typed(name, "a function", FunctionId::from_marker)
    }

    /// An array with the path of each element.
    ///
    /// # Errors
    ///
    /// `config` for another type.
    pub fn array(&mut self, name: &'static str) -> Result<Vec<(String, &'a Value)>> {
        let path = self.path(name);
        let items = self.typed(name, "an array", Value::as_array)?;
        let items = items.into_iter().flatten().enumerate();
        Ok(items.map(|(index, item)| (format!("{path}[{index}]"), item)).collect())
    }

    /// An object whose values are all strings, such as headers, in the app's order.
    ///
    /// # Errors
    ///
    /// `config` for another type, or when one of the values is no string; the message does not show the value.
    pub fn strings(&mut self, name: &'static str) -> Result<Vec<(String, String)>> {
        let path = self.path(name);
        let Some(map) = self.typed(name, "an object of strings", Value::as_object)? else { return Ok(Vec::new()) };
        let read = |(key, value): (&String, &Value)| match value.as_str() {
            Some(text) => Ok((key.clone(), text.to_owned())),
            None => Err(expected(&[path.as_str(), ".", key].concat(), "a string", value)),
        };
        map.iter().map(read).collect()
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// `config` when the object has a field that nobody asked for; names the nearest known one.
    pub fn finish(self) -> Result<()> {
        for key in self.map.keys() {
            if !self.known.contains(&key.as_str()) {
                let nearest = self.known.iter().filter(|known| is_near(known, key)).max_by_key(|known| known.len());
                let message = match nearest {
                    Some(known) => ["unknown option; did you mean `", known, "`?"].concat(),
                    None => ["unknown option; known are ", &self.known.join(", ")].concat(),
                };
                return Err(Error::config(self.path(key), &message));
            }
        }
        Ok(())
    }
}

/// The error for a value of the wrong type. Names the type that arrived, never the value: it may be a key.
pub fn expected(path: &str, what: &str, got: &Value) -> Error {
    let got = match got {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) => {
            return Error::config(path, &format!("expected {what}, got {number}"));
        }
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) if FunctionId::from_marker(got).is_some() => "a function",
        Value::Object(_) => "an object",
    };
    Error::config(path, &["expected ", what, ", got ", got].concat())
}

/// Same letters but for case and underscores, or one is the start of the other.
pub(crate) fn is_near(known: &str, key: &str) -> bool {
    // No option has other letters, and to know them takes a table.
    let letters = |text: &str| text.bytes().filter(u8::is_ascii_alphanumeric).collect::<Vec<u8>>();
    let fold = |text: &str| letters(text).to_ascii_lowercase();
    let (known, key) = (fold(known), fold(key));
    key.len() >= 3 && (known.starts_with(&key) || key.starts_with(&known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_is_there_and_reports_the_path_of_what_is_wrong() {
        let value = json!({ "url": "https://a.test/mcp", "timeoutMs": 5.0, "token": { "$function": 3 } });
        let mut fields = Fields::open(&value, "servers[0]").unwrap();
        assert_eq!(fields.required("url").unwrap(), "https://a.test/mcp");
        assert_eq!(fields.whole("timeoutMs", 1..=1000).unwrap(), Some(5));
        assert_eq!(fields.function("token").unwrap(), Some(FunctionId(3)));
        fields.finish().unwrap();

        let mut fields = Fields::open(&value, "servers[0]").unwrap();
        let error = fields.string("timeoutMs").unwrap_err();
        assert_eq!(error.message, "servers[0].timeoutMs: expected a string, got 5.0");
        let error = fields.required("name").unwrap_err();
        assert_eq!(error.path.as_deref(), Some("servers[0].name"));
    }

    #[test]
    fn an_unknown_field_is_found_and_a_near_miss_is_named() {
        let value = json!({ "timeoutms": 5 });
        let mut fields = Fields::open(&value, "limits").unwrap();
        fields.whole("timeoutMs", 0..=9).unwrap();
        let error = fields.finish().unwrap_err();
        assert_eq!(error.message, "limits.timeoutms: unknown option; did you mean `timeoutMs`?");
    }

    #[test]
    fn a_wrong_value_is_never_shown() {
        let value = json!({ "headers": { "authorization": ["sk-secret"] }, "id": "sk-secret" });
        let mut fields = Fields::open(&value, "").unwrap();
        let error = fields.strings("headers").unwrap_err();
        assert_eq!(error.message, "headers.authorization: expected a string, got an array");
        assert!(!fields.number("id").unwrap_err().message.contains("secret"));
    }

    #[test]
    fn null_counts_as_absent() {
        let value = json!({ "url": null });
        let mut fields = Fields::open(&value, "").unwrap();
        assert_eq!(fields.string("url").unwrap(), None);
        fields.finish().unwrap();
    }
}
