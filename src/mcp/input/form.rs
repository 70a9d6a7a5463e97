//! Forms: whether a server's flat schema can be shown, and whether what a user gave fits it.
//!
//! The schema is an object whose properties are strings, numbers, booleans, or choices of one or several strings
//! ([MCP 2026-07-28, Elicitation, "Requested Schema"]); nothing deeper. What a user leaves out gets its default
//! (SEP-1034).
//!
//! ```
//! # use edgewise::mcp::input::form::complete;
//! # use serde_json::json;
//! let schema = json!({ "type": "object", "properties": {
//!     "city": { "type": "string", "default": "Oslo" }, "days": { "type": "integer", "maximum": 14 } } });
//! assert_eq!(complete(&schema, Some(json!({ "days": 3 }))).unwrap()["city"], "Oslo");
//! assert_eq!(complete(&schema, Some(json!({ "days": 30 }))).unwrap_err().path, "content.days");
//! ```
//!
//! [MCP 2026-07-28, Elicitation, "Requested Schema"]: https://modelcontextprotocol.io/specification/2026-07-28/client/elicitation#requested-schema

use serde_json::{Map, Value};

/// What is wrong with an answer of the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where, such as `content.age`; empty for the answer itself.
    pub path: String,
    /// What is wrong. Never holds what the user gave.
    pub words: String,
}

impl Wrong {
    pub(crate) fn at(path: &str, words: impl Into<String>) -> Wrong {
        Wrong { path: path.to_owned(), words: words.into() }
    }
}

/// Says whether a form can be made of a schema.
///
/// # Errors
///
/// Why not.
pub(super) fn check_schema(schema: &Value) -> Result<(), &'static str> {
    let Some(schema) = schema.as_object() else { return Err("requestedSchema is no object") };
    if schema.get("type").is_some_and(|kind| kind != "object") {
        return Err("requestedSchema is not of type object");
    }
    match schema.get("properties") {
        None => Ok(()),
        Some(Value::Object(fields)) if fields.values().all(|field| kind(field).is_some()) => Ok(()),
        Some(_) => Err("requestedSchema is no flat object of strings, numbers, booleans and choices"),
    }
}

/// The content of an accepted form: what the user gave, with defaults where nothing was given, in the schema's order.
///
/// A field that is given as null stays empty. A default that does not fit its own field is none.
///
/// # Errors
///
/// [`Wrong`] for a field that does not fit, is missing though required, or is not in the form.
pub fn complete(schema: &Value, given: Option<Value>) -> Result<Map<String, Value>, Wrong> {
    let mut given = match given {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(Wrong::at("content", "expected an object")),
    };
    let required = schema.get("required").and_then(Value::as_array);
    let mut content = Map::new();
    let fields = schema.get("properties").and_then(Value::as_object);
    for (name, field) in fields.into_iter().flatten() {
        let wrong = |words: String| Wrong { path: ["content.", name].concat(), words };
        let value = match given.remove(name) {
            Some(Value::Null) => None,
            Some(value) => match misfit(field, &value) {
                Some(words) => return Err(wrong(words)),
                None => Some(value),
            },
            None => field.get("default").filter(|default| misfit(field, default).is_none()).cloned(),
        };
        match value {
            Some(value) => {
                content.insert(name.clone(), value);
            }
            None if required.is_some_and(|required| required.iter().any(|known| known == name)) => {
                return Err(wrong("is required".to_owned()));
            }
            None => {}
        }
    }
    match given.keys().next() {
        None => Ok(content),
        Some(name) => Err(Wrong { path: ["content.", name].concat(), words: "the form has no such field".into() }),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Number,
    Whole,
    Boolean,
    /// One of some strings.
    One,
    /// Several of some strings.
    Many,
}

fn kind(field: &Value) -> Option<Kind> {
    let field = field.as_object()?;
    let chosen = options(field, "oneOf").is_some();
    match field.get("type").map_or(Some("string"), Value::as_str)? {
        "string" if chosen => Some(Kind::One),
        "string" if field.contains_key("type") => Some(Kind::Text),
        "number" => Some(Kind::Number),
        "integer" => Some(Kind::Whole),
        "boolean" => Some(Kind::Boolean),
        "array" => options(field.get("items")?.as_object()?, "anyOf").map(|_| Kind::Many),
        _ => None,
    }
}

/// The strings to choose from: `enum`, or the constants of `oneOf` or `anyOf`.
fn options<'a>(field: &'a Map<String, Value>, titled: &str) -> Option<Vec<&'a str>> {
    match (field.get("enum"), field.get(titled)) {
        (Some(Value::Array(options)), _) => options.iter().map(Value::as_str).collect(),
        (None, Some(Value::Array(options))) => options.iter().map(|option| option.get("const")?.as_str()).collect(),
        _ => None,
    }
}

/// What is wrong with the value of a field, if anything is.
fn misfit(field: &Value, value: &Value) -> Option<String> {
    let limit = |name: &str| field.get(name).and_then(Value::as_f64);
    let fields = field.as_object()?;
    let bounds = |size: f64, least: &str, most: &str, unit: &str| {
        let number = |limit: f64| crate::json::text(&number(limit));
        match (limit(least), limit(most)) {
            (Some(least), _) if size < least => Some(["must be at least ", &number(least), unit].concat()),
            (_, Some(most)) if size > most => Some(["must be at most ", &number(most), unit].concat()),
            _ => None,
        }
    };
    let one_of = |options: Vec<&str>, text: &str| {
        (!options.contains(&text)).then(|| ["must be one of: ", &options.join(", ")].concat())
    };
    match kind(field)? {
        Kind::Boolean => (!value.is_boolean()).then(|| "expected true or false".to_owned()),
        Kind::Whole if !value.as_f64().is_some_and(|number| number.fract() == 0.0) => {
            Some("expected a whole number".to_owned())
        }
        Kind::Number | Kind::Whole => match value.as_f64() {
            Some(size) => bounds(size, "minimum", "maximum", ""),
            None => Some("expected a number".to_owned()),
        },
        Kind::Many => {
            let Some(chosen) = value.as_array() else { return Some("expected an array of strings".to_owned()) };
            let options = options(field.get("items")?.as_object()?, "anyOf")?;
            let wrong = chosen.iter().find(|item| !item.as_str().is_some_and(|item| options.contains(&item)));
            match wrong {
                Some(_) => Some(["must be strings out of: ", &options.join(", ")].concat()),
                None => bounds(chosen.len() as f64, "minItems", "maxItems", " items"),
            }
        }
        kind => {
            let Some(text) = value.as_str() else { return Some("expected a string".to_owned()) };
            if kind == Kind::One {
                return one_of(options(fields, "oneOf")?, text);
            }
            let length = bounds(text.chars().count() as f64, "minLength", "maxLength", " characters");
            length.or_else(|| misformat(field.get("format").and_then(Value::as_str)?, text))
        }
    }
}

/// A limit as JSON shows it: without a fraction where it has none.
fn number(limit: f64) -> Value {
    if limit.fract() == 0.0 && limit.abs() < 9e15 { Value::from(limit as i64) } else { Value::from(limit) }
}

/// A coarse check of the four formats, against slips of the keyboard; the server has the last word.
fn misformat(format: &str, text: &str) -> Option<String> {
    let fits = match format {
        "email" => {
            matches!(text.split_once('@'), Some((name, host)) if !name.is_empty() && !host.is_empty() && !text.contains(' '))
        }
        "uri" => matches!(text.split_once(':'), Some((scheme, rest)) if !rest.is_empty() && is_scheme(scheme)),
        "date" => is_date(text),
        "date-time" => matches!(text.split_once(['T', 't', ' ']), Some((date, time)) if is_date(date) && is_time(time)),
        _ => true,
    };
    (!fits).then(|| ["is no ", format].concat())
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

fn is_date(text: &str) -> bool {
    let part = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<u8>().ok());
    text.len() == 10
        && text.bytes().enumerate().all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() })
        && part(5..7).is_some_and(|month| (1..=12).contains(&month))
        && part(8..10).is_some_and(|day| (1..=31).contains(&day))
}

fn is_time(text: &str) -> bool {
    let start = text.get(..8).unwrap_or("").bytes().enumerate();
    text.len() > 8
        && start.into_iter().all(|(at, b)| if at == 2 || at == 5 { b == b':' } else { b.is_ascii_digit() })
        && text.ends_with(|last: char| last.is_ascii_digit() || last == 'Z' || last == 'z')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({ "type": "object", "required": ["name"], "properties": {
            "name": { "type": "string", "minLength": 2, "maxLength": 5, "default": "Mona" },
            "age": { "type": "integer", "minimum": 18, "default": 30 },
            "score": { "type": "number", "maximum": 99.5, "default": 95.5 },
            "news": { "type": "boolean", "default": true },
            "status": { "type": "string", "enum": ["active", "idle"], "default": "active" },
            "colour": { "type": "string", "oneOf": [{ "const": "#f00", "title": "Red" }, { "const": "#0f0" }] },
            "days": { "type": "array", "maxItems": 2, "items": { "enum": ["mo", "tu", "we"] }, "default": ["tu"] },
            "pets": { "type": "array", "minItems": 1, "items": { "anyOf": [{ "const": "cat" }, { "const": "dog" }] } },
            "mail": { "type": "string", "format": "email" }
        } })
    }

    #[test]
    fn what_is_not_given_gets_its_default() {
        let expected =
            json!({ "name": "Mona", "age": 30, "score": 95.5, "news": true, "status": "active", "days": ["tu"] });
        for given in [None, Some(Value::Null), Some(json!({}))] {
            assert_eq!(Value::Object(complete(&schema(), given).unwrap()), expected);
        }
        let given = json!({ "age": null, "score": 1, "name": "Otto", "pets": ["dog"], "colour": "#f00" });
        let content = Value::Object(complete(&schema(), Some(given)).unwrap());
        assert_eq!(
            content,
            json!({ "name": "Otto", "score": 1, "news": true, "status": "active", "colour": "#f00", "days": ["tu"], "pets": ["dog"] })
        );
        let bad = json!({ "properties": { "a": { "type": "integer", "default": "x" } } });
        assert_eq!(complete(&bad, None), Ok(Map::new()), "a default that does not fit is none");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let wrong = |given: Value| {
            let wrong = complete(&schema(), Some(given)).unwrap_err();
            [wrong.path, ": ".to_owned(), wrong.words].concat()
        };
        for (given, expected) in [
            (json!([]), "content: expected an object"),
            (json!({ "name": null }), "content.name: is required"),
            (json!({ "name": "ä" }), "content.name: must be at least 2 characters"),
            (json!({ "name": "äääääö" }), "content.name: must be at most 5 characters"),
            (json!({ "name": 7 }), "content.name: expected a string"),
            (json!({ "age": 17 }), "content.age: must be at least 18"),
            (json!({ "age": 18.5 }), "content.age: expected a whole number"),
            (json!({ "score": "1" }), "content.score: expected a number"),
            (json!({ "score": 100 }), "content.score: must be at most 99.5"),
            (json!({ "news": "yes" }), "content.news: expected true or false"),
            (json!({ "status": "gone" }), "content.status: must be one of: active, idle"),
            (json!({ "colour": "Red" }), "content.colour: must be one of: #f00, #0f0"),
            (json!({ "days": ["mo", "tu", "we"] }), "content.days: must be at most 2 items"),
            (json!({ "days": ["so"] }), "content.days: must be strings out of: mo, tu, we"),
            (json!({ "days": "mo" }), "content.days: expected an array of strings"),
            (json!({ "pets": [] }), "content.pets: must be at least 1 items"),
            (json!({ "mail": "nobody" }), "content.mail: is no email"),
            (json!({ "other": 1 }), "content.other: the form has no such field"),
        ] {
            assert_eq!(wrong(given), expected);
        }
        assert!(complete(&schema(), Some(json!({ "age": 18.0 }))).is_ok());
    }

    #[test]
    fn formats() {
        let fits = |format: &str, text: &str| misformat(format, text).is_none();
        for (format, good, bad) in [
            ("email", "a@b.c", "a b@c"),
            ("uri", "urn:x", "//a"),
            ("date", "2026-11-23", "2026-13-01"),
            ("date", "2026-01-31", "23.11.2026"),
            ("date-time", "2026-11-23T10:30:00Z", "2026-11-23"),
            ("date-time", "2026-11-23T10:30:00.5+01:00", "2026-11-23T10.30"),
            ("colour", "anything", ""),
        ] {
            assert!(fits(format, good), "{format} {good}");
            assert!(!fits(format, bad) || format == "colour", "{format} {bad}");
        }
    }

    #[test]
    fn only_flat_schemas_make_a_form() {
        assert_eq!(check_schema(&schema()), Ok(()));
        assert_eq!(check_schema(&json!({ "type": "object" })), Ok(()));
        let field = |field: Value| check_schema(&json!({ "type": "object", "properties": { "a": field } }));
        for field_schema in [
            json!({ "type": "object" }),
            json!({ "type": "array", "items": { "type": "object" } }),
            json!({ "type": "array" }),
            json!({ "type": ["string", "null"] }),
            json!({}),
            json!(true),
        ] {
            assert!(field(field_schema.clone()).is_err(), "{field_schema}");
        }
        assert!(check_schema(&json!("x")).is_err());
        assert!(check_schema(&json!({ "type": "string" })).is_err());
        assert!(check_schema(&json!({ "properties": [] })).is_err());
    }
}
