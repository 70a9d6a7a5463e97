//! Conditions of a plan: data that is compared, never code that is run.

use std::cmp::Ordering;

use serde_json::Value;

use super::read::Reader;
use super::template::{Reference, Scope, Source, Template, pointer};

/// What `when` and `filter` say.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// The value is something: not null, false, 0 or empty.
    Is(Template),
    Compare(Template, Compare, Template),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Compare {
    Equals,
    NotEquals,
    In,
    Contains,
    Above,
    AtLeast,
    Below,
    AtMost,
    Exists,
}

const COMPARES: [(&str, Compare); 9] = [
    ("equals", Compare::Equals),
    ("notEquals", Compare::NotEquals),
    ("in", Compare::In),
    ("contains", Compare::Contains),
    ("gt", Compare::Above),
    ("gte", Compare::AtLeast),
    ("lt", Compare::Below),
    ("lte", Compare::AtMost),
    ("exists", Compare::Exists),
];

impl Condition {
    /// Reads a condition. What is wrong with it is noted at `path`.
    pub(super) fn read(value: &Value, path: &str, reader: &mut Reader<'_>) -> Condition {
        let Some(fields) = value.as_object().filter(|fields| !fields.contains_key("$from")) else {
            return Condition::Is(Template::read(value, path, reader));
        };
        let several = |name: &str, reader: &mut Reader<'_>| -> Option<Vec<Condition>> {
            let conditions = fields.get(name)?;
            reader.only(fields, &[name], path);
            let Some(conditions) = conditions.as_array() else {
                reader.wrong(&[path, ".", name].concat(), "must be an array of conditions");
                return Some(Vec::new());
            };
            let at = |place: usize| [path, ".", name, "[", &place.to_string(), "]"].concat();
            Some(conditions.iter().enumerate().map(|(n, value)| Condition::read(value, &at(n), reader)).collect())
        };
        if let Some(all) = several("all", reader) {
            return Condition::All(all);
        }
        if let Some(any) = several("any", reader) {
            return Condition::Any(any);
        }
        if let Some(not) = fields.get("not") {
            reader.only(fields, &["not"], path);
            return Condition::Not(Box::new(Condition::read(not, &[path, ".not"].concat(), reader)));
        }
        let names: Vec<&str> = ["value", "path"].into_iter().chain(COMPARES.map(|(name, _)| name)).collect();
        reader.only(fields, &names, path);
        let value = match (fields.get("value"), fields.get("path")) {
            (Some(value), None) => Template::read(value, &[path, ".value"].concat(), reader),
            (None, given) => {
                // A path alone is one in the element at hand.
                let path_of = given.map_or(Some(Vec::new()), |given| given.as_str().and_then(pointer));
                match path_of {
                    Some(path_of) if reader.in_loop => {
                        Template::From(Reference { source: Source::Item, path: path_of, default: None })
                    }
                    Some(_) => {
                        reader.wrong(path, "has no `value` to look at");
                        Template::Plain(Value::Null)
                    }
                    None => {
                        reader.wrong(path, "`path` must be a JSON Pointer such as `/state`");
                        Template::Plain(Value::Null)
                    }
                }
            }
            (Some(_), Some(_)) => {
                reader.wrong(path, "has both `value` and `path`: a path goes with `$from`");
                Template::Plain(Value::Null)
            }
        };
        let mut compares = COMPARES.iter().filter_map(|(name, compare)| Some((name, *compare, fields.get(*name)?)));
        match (compares.next(), compares.next()) {
            (None, _) => Condition::Is(value),
            (Some((name, compare, with)), None) => {
                Condition::Compare(value, compare, Template::read(with, &[path, ".", name].concat(), reader))
            }
            (Some(_), Some(_)) => {
                reader.wrong(path, "compares twice: put each comparison into `all` or `any`");
                Condition::Is(value)
            }
        }
    }

    /// Whether it holds. What is missing counts as null.
    pub(super) fn holds(&self, scope: Scope<'_>) -> bool {
        match self {
            Condition::All(all) => all.iter().all(|condition| condition.holds(scope)),
            Condition::Any(any) => any.iter().any(|condition| condition.holds(scope)),
            Condition::Not(not) => !not.holds(scope),
            Condition::Is(value) => is_something(&value.fill(scope).unwrap_or_default()),
            Condition::Compare(value, compare, with) => {
                let (value, with) = (value.fill(scope), with.fill(scope).unwrap_or_default());
                compares(value.as_ref().unwrap_or(&Value::Null), *compare, &with)
            }
        }
    }
}

fn compares(value: &Value, compare: Compare, with: &Value) -> bool {
    match compare {
        Compare::Equals => equal(value, with),
        Compare::NotEquals => !equal(value, with),
        Compare::In => with.as_array().is_some_and(|choices| choices.iter().any(|choice| equal(choice, value))),
        Compare::Contains => match (value, with) {
            (Value::Array(items), _) => items.iter().any(|item| equal(item, with)),
            (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
            (Value::Object(fields), Value::String(name)) => fields.contains_key(name),
            _ => false,
        },
        Compare::Above => order(value, with) == Some(Ordering::Greater),
        Compare::AtLeast => matches!(order(value, with), Some(Ordering::Greater | Ordering::Equal)),
        Compare::Below => order(value, with) == Some(Ordering::Less),
        Compare::AtMost => matches!(order(value, with), Some(Ordering::Less | Ordering::Equal)),
        Compare::Exists => value.is_null() != is_something(with),
    }
}

/// 1 and 1.0 are the same.
fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) if !(a.is_u64() && b.is_u64() || a.is_i64() && b.is_i64()) => x == y,
        _ => a == b,
    }
}

fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}
