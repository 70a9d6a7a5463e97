//! The one writer of JSON text for trees, and a set of names.
//!
//! Both are here because of the wasm's size: each further kind of writer (such as `Value`'s `Display`) would be a copy of
//! serde_json's, and each kind of map a copy of its code.

use serde::Serialize;
use serde_json::{Map, Value};

/// The value as compact JSON text.
pub(crate) fn text(value: &Value) -> String {
    // Fails for keys that are no strings, which a `Value` does not have.
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads JSON text; `None` for what is none.
pub(crate) fn read(text: &str) -> Option<Value> {
    // A reader of `str` is another copy of serde_json's, 8 kB of the wasm.
    serde_json::from_slice(text.as_bytes()).ok()
}

/// About how many bytes [`text`] has: escapes count as what they stand for, and each number as 4.
pub(crate) fn size(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.iter().map(|(name, field)| name.len() + size(field) + 4).sum::<usize>() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 2,
        Value::String(text) => text.len() + 2,
        _ => 4,
    }
}

/// How many characters a text has.
pub(crate) fn length(text: &str) -> u64 {
    text.chars().count() as u64
}

/// About how many characters a value has as text, with `leaf` for each number and the like. What an object counts that is not
/// to be read member by member, `whole` says.
pub(crate) fn weight(value: &Value, leaf: u64, whole: fn(&Map<String, Value>) -> Option<u64>) -> u64 {
    let of = |value: &Value| weight(value, leaf, whole);
    match value {
        Value::String(text) => length(text) + 2,
        Value::Array(items) => items.iter().map(|item| of(item) + 1).sum::<u64>() + 2,
        Value::Object(fields) => whole(fields)
            .unwrap_or_else(|| fields.iter().map(|(name, value)| length(name) + of(value) + 4).sum::<u64>() + 2),
        _ => leaf,
    }
}

/// Writes the value with the members of each object in the order of their names, and whole numbers without a fraction:
/// equal values have equal texts, and no others have. It is no JSON.
pub(crate) fn canonical(value: &Value, out: &mut Vec<u8>) {
    let leaf = |value: &Value, out: &mut Vec<u8>| out.extend_from_slice(text(value).as_bytes());
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                canonical(item, out);
                out.push(b',');
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| name.as_str());
            out.push(b'{');
            for (name, field) in sorted {
                leaf(&Value::from(name.as_str()), out);
                out.push(b':');
                canonical(field, out);
                out.push(b',');
            }
            out.push(b'}');
        }
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 9.2e18 => leaf(&Value::from(whole as i64), out),
            _ => leaf(value, out),
        },
        _ => leaf(value, out),
    }
    // Ends every value, so that two texts side by side are not one.
    out.push(b';');
}

/// What serializes, as a tree: by way of its text, because the way past it is a serializer of its own for each type.
pub(crate) fn tree<T: Serialize>(value: &T) -> Value {
    serde_json::to_vec(value).and_then(|text| serde_json::from_slice(&text)).unwrap_or_default()
}

/// A set of names, in the map that JSON objects are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Names(Map<String, Value>);

impl Names {
    /// Adds a name; false when it is there already.
    pub(crate) fn insert(&mut self, name: &str) -> bool {
        self.0.insert(name.to_owned(), Value::Null).is_none()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_what_display_shows() {
        let value = json!({ "b": [1, -2, 0.5, null, true], "a": { "é\n\"": "\u{1f600}" } });
        assert_eq!(text(&value), value.to_string());
    }

    #[test]
    fn the_size_is_that_of_the_text_or_nearly() {
        let value =
            json!({ "type": "object", "properties": { "a": { "type": "string", "enum": ["b", "c"] } }, "x": [true] });
        let (size, text) = (size(&value), text(&value).len());
        assert!(size.abs_diff(text) <= 6, "{size} {text}");
    }

    #[test]
    fn a_tree_is_what_serializes() {
        let value = (1, "a", Some(0.5), None::<u8>);
        assert_eq!(tree(&value), json!([1, "a", 0.5, null]));
    }

    #[test]
    fn a_name_is_in_the_set_once() {
        let mut names = Names::default();
        assert!(names.insert("a") && names.insert("b") && !names.insert("a"));
        assert_eq!(names.len(), 2);
    }
}
