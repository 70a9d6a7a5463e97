//! What of a step's result goes on: a part of it, some of its elements, some of their members.

use serde_json::{Map, Value};

use super::condition::Condition;
use super::read::Reader;
use super::template::{Found, Scope, kind, pointer, walk};

/// `select`, `filter` and `take` of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shape {
    /// The part of the result that is meant.
    pub(super) path: Vec<String>,
    pub(super) filter: Option<Condition>,
    /// How many elements: from the start, or if negative from the end.
    pub(super) take: Option<i64>,
    /// Members of each element, or of the one object, by their new names.
    pub(super) fields: Vec<(String, Vec<String>)>,
}

impl Shape {
    /// Reads the three members of a step. What is wrong with them is noted at `path`.
    pub(super) fn read(step: &Map<String, Value>, path: &str, reader: &mut Reader<'_>) -> Shape {
        let mut shape = Shape::default();
        let at = [path, "select"].concat();
        match step.get("select") {
            None => {}
            Some(Value::Object(select)) => {
                reader.only(select, &["path", "fields"], &at);
                shape.path = select.get("path").map_or_else(Vec::new, |path| read_pointer(path, &at, reader));
                shape.fields = select.get("fields").map_or_else(Vec::new, |fields| read_fields(fields, &at, reader));
            }
            Some(path) => shape.path = read_pointer(path, &at, reader),
        }
        if let Some(filter) = step.get("filter") {
            let outside = std::mem::replace(&mut reader.in_loop, true);
            shape.filter = Some(Condition::read(filter, &[path, "filter"].concat(), reader));
            reader.in_loop = outside;
        }
        if let Some(take) = step.get("take") {
            shape.take = take.as_i64();
            if shape.take.is_none() {
                reader.wrong(&[path, "take"].concat(), "must be a whole number");
            }
        }
        shape
    }

    /// The part that is meant.
    pub(super) fn narrow(&self, found: Found) -> Result<Found, String> {
        if self.path.is_empty() {
            return Ok(found);
        }
        match walk(&found.value, &self.path) {
            Ok(value) => Ok(Found { value: value.clone(), content: Vec::new() }),
            Err(from) => {
                let words = ["select: there is no `/", &self.path.join("/"), "` in the result: what it leads to is "];
                Err([words.concat(), kind(from)].concat())
            }
        }
    }

    /// Elements and members.
    pub(super) fn reduce(&self, mut found: Found, scope: Scope<'_>) -> Result<Found, String> {
        if self.filter.is_none() && self.take.is_none() && self.fields.is_empty() {
            return Ok(found);
        }
        found.content.clear();
        let elements = self.filter.is_some() || self.take.is_some();
        found.value = match found.value {
            Value::Array(mut items) => {
                if let Some(filter) = &self.filter {
                    let mut place = 0;
                    items.retain(|item| {
                        place += 1;
                        filter.holds(Scope { item: Some((item, place - 1)), ..scope })
                    });
                }
                match self.take {
                    Some(first @ 0..) => items.truncate(first as usize),
                    Some(last) => drop(items.drain(..items.len().saturating_sub(last.unsigned_abs() as usize))),
                    None => {}
                }
                items.into_iter().map(|item| self.pick(item)).collect()
            }
            other if elements => return Err(["filter and take want an array; the result is ", &kind(&other)].concat()),
            other => self.pick(other),
        };
        Ok(found)
    }

    fn pick(&self, value: Value) -> Value {
        if self.fields.is_empty() || !value.is_object() {
            return value;
        }
        let found =
            self.fields.iter().filter_map(|(name, path)| Some((name.clone(), walk(&value, path).ok()?.clone())));
        Value::Object(found.collect())
    }
}

fn read_pointer(value: &Value, path: &str, reader: &mut Reader<'_>) -> Vec<String> {
    let pointer = value.as_str().and_then(pointer);
    if pointer.is_none() {
        reader.wrong(path, "must be a JSON Pointer such as `/items`, or `{ path, fields }`");
    }
    pointer.unwrap_or_default()
}

fn read_fields(value: &Value, path: &str, reader: &mut Reader<'_>) -> Vec<(String, Vec<String>)> {
    let fields: Option<Vec<(String, Vec<String>)>> = match value {
        Value::Array(names) => {
            names.iter().map(|name| Some((name.as_str()?.into(), vec![name.as_str()?.into()]))).collect()
        }
        Value::Object(fields) => {
            fields.iter().map(|(name, path)| Some((name.clone(), pointer(path.as_str()?)?))).collect()
        }
        _ => None,
    };
    if fields.is_none() {
        let words = "`fields` must be an array of names, or an object of JSON Pointers by the new name";
        reader.wrong(path, words);
    }
    fields.unwrap_or_default()
}
