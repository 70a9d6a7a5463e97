//! JSON Schema 2020-12: whether a tool's arguments, or its structured result, are what its schema says.
//!
//! Written here and not taken from a library, because what servers send is hostile until shown otherwise: a check has a
//! budget of steps, patterns take time linear in the text, references are never fetched. A schema that is no schema,
//! refers to what is not there, or takes too long is no reason to refuse a value: it is let pass, and the doubt is told.
//! The core reaches all of this through [`Part::Schema`](crate::platform::Part::Schema), for what does not
//! [plainly fit](plainly_fits).
//!
//! # In scope
//!
//! - All assertions and applicators of the draft; older drafts as far as their keywords differ in spelling.
//!
//! # Out of scope
//!
//! - `format` and `content*`, which are annotations by default; vocabularies of a schema's own; meta-schemas.
//!
//! # Examples
//!
//! ```
//! # use edgewise::schema::{Outcome, check};
//! # use serde_json::json;
//! let schema = json!({
//!     "type": "object", "properties": { "city": { "type": "string" }, "days": { "type": "integer", "maximum": 7 } },
//!     "required": ["city"], "additionalProperties": false
//! });
//! let outcome = check(&schema, &json!({ "citty": "Oslo", "days": 9 }), &[]);
//! assert_eq!(outcome.problems, [
//!     "`city` is missing; is it what you called `citty`?",
//!     "`citty` is unknown; did you mean `city`?",
//!     "days: must be at most 7",
//! ]);
//! ```

mod check;
mod pattern;
mod plain;
mod registry;
#[cfg(test)]
mod tests;
mod words;

use serde_json::{Value, json};

use crate::json;
use check::{Check, MAX_PROBLEMS, Stop};
use registry::Registry;

pub use pattern::Pattern;
pub use plain::plainly_fits;
pub(crate) use words::nearest;

/// What came of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What is wrong, each with its path; none when the value is what the schema says. At most ten, then `and more`.
    pub problems: Vec<String>,
    /// What could not be checked, and was let pass.
    pub unsure: Vec<String>,
}

/// Checks a value. `documents` are further schemas that references may mean, by their URI.
pub fn check(schema: &Value, value: &Value, documents: &[(&str, &Value)]) -> Outcome {
    let mut registry = Registry::default();
    let root = registry.add("", schema);
    for (uri, document) in documents {
        registry.add(uri, document);
    }
    let tracks = check::tracks(schema) || documents.iter().any(|(_, document)| check::tracks(document));
    let mut check = Check::new(registry, root, tracks);
    let checked = check.run(schema, value);
    let mut outcome = Outcome { problems: Vec::new(), unsure: check.unsure };
    match checked {
        Ok(true) => {}
        Ok(false) => {
            for (path, words) in check.problems {
                let colon = if path.is_empty() { "" } else { ": " };
                let line = [&path, colon, &words].concat();
                if !outcome.problems.contains(&line) {
                    outcome.problems.push(line);
                }
            }
            if outcome.problems.len() > MAX_PROBLEMS {
                outcome.problems.truncate(MAX_PROBLEMS);
                outcome.problems.push("and more".into());
            }
            if outcome.problems.is_empty() {
                outcome.problems.push("is not what the schema says".into());
            }
        }
        Err(Stop::Budget) => outcome.unsure.push("the schema takes too long to check".into()),
        Err(Stop::Depth) => outcome.unsure.push("the schema refers to itself too deeply".into()),
    }
    outcome
}

/// What the core asks of [`Part::Schema`](crate::platform::Part::Schema).
pub fn request(schema: &Value, value: &Value) -> String {
    ["{\"schema\":", &crate::json::text(schema), ",\"value\":", &crate::json::text(value), "}"].concat()
}

/// Answers a [`request`].
///
/// # Errors
///
/// Words for people when it cannot be read.
pub fn answer(request: &str) -> Result<String, String> {
    let asked: Value = serde_json::from_slice(request.as_bytes()).map_err(|_| "is nested too deeply".to_owned())?;
    let part = |name: &str| asked.get(name).unwrap_or(&Value::Null);
    let outcome = check(part("schema"), part("value"), &[]);
    Ok(crate::json::text(&json!({ "problems": outcome.problems, "unsure": outcome.unsure })))
}

/// Reads an [`answer`].
pub fn read(answer: &str) -> Outcome {
    let answer: Value = json::read(answer).unwrap_or_default();
    let texts = |name: &str| {
        let texts = answer.get(name).and_then(Value::as_array).into_iter().flatten();
        texts.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Outcome { problems: texts("problems"), unsure: texts("unsure") }
}
