//! Arguments that name kept results: what the handles stand for is put in, on the way to the tool.

use serde_json::Value;

use super::read::picked;
use super::{Kept, reference};
use crate::json;

/// Begins a handle that stands inside a longer text; `}}` ends it.
pub(super) const OPENING: &str = "{{result:";

/// The handles that stand in arguments, each once.
pub fn handles(value: &Value) -> Vec<String> {
    let mut all = Vec::new();
    collect(value, &mut all);
    all
}

fn collect(value: &Value, all: &mut Vec<String>) {
    let mut add = |handle: &str| {
        if !all.iter().any(|known| known == handle) {
            all.push(handle.to_owned());
        }
    };
    match value {
        Value::String(text) => match reference(text) {
            Some((handle, _)) => add(handle),
            None => pieces(text).for_each(|piece| {
                if let Piece::Named(handle, _) = piece {
                    add(handle);
                }
            }),
        },
        Value::Array(items) => items.iter().for_each(|item| collect(item, all)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, all)),
        _ => {}
    }
}

/// Puts in what the handles stand for. A string that is a handle becomes the result: its text, to the letter, where `schema`
/// wants a string; else its data where it has some. `{{handle}}` inside a longer string becomes text.
///
/// # Errors
///
/// Words for the model: a result that is not kept any more, or a pointer to nothing.
pub fn expand(
    input: Value,
    schema: &Value,
    find: &impl Fn(&str) -> Option<std::rc::Rc<Kept>>,
) -> Result<Value, String> {
    within(input, schema, schema, find)
}

fn within(
    input: Value,
    root: &Value,
    schema: &Value,
    find: &impl Fn(&str) -> Option<std::rc::Rc<Kept>>,
) -> Result<Value, String> {
    let schema = resolved(root, schema);
    let below = |name: &str| schema.get(name).unwrap_or(&Value::Null);
    Ok(match input {
        Value::String(text) => match reference(&text) {
            Some((handle, pointer)) => one(handle, pointer, wants_text(schema), find)?,
            None if text.contains(OPENING) => Value::String(inside(&text, find)?),
            None => Value::String(text),
        },
        Value::Array(items) => {
            let items = items.into_iter().map(|item| within(item, root, below("items"), find));
            Value::Array(items.collect::<Result<_, String>>()?)
        }
        Value::Object(fields) => {
            let other = below("additionalProperties");
            let properties = below("properties");
            let field = |(name, field): (String, Value)| {
                let schema = properties.get(&name).unwrap_or(other);
                Ok((name, within(field, root, schema, find)?))
            };
            Value::Object(fields.into_iter().map(field).collect::<Result<_, String>>()?)
        }
        other => other,
    })
}

/// The schema that a reference within the same document leads to.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

/// Whether only text fits there.
fn wants_text(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => {
            let has = |kind: &str| kinds.iter().any(|known| known == kind);
            has("string") && !has("object") && !has("array")
        }
        _ => false,
    }
}

fn one(
    handle: &str,
    pointer: &str,
    text: bool,
    find: &impl Fn(&str) -> Option<std::rc::Rc<Kept>>,
) -> Result<Value, String> {
    let kept = find(handle).ok_or_else(|| gone(handle))?;
    if pointer.is_empty() {
        let data = if text { None } else { kept.value() };
        return Ok(data.unwrap_or_else(|| Value::String(kept.letter())));
    }
    let part = picked(&kept, pointer).map_err(|why| [handle, ": ", &why].concat())?;
    Ok(if text && !part.is_string() { Value::String(json::text(&part)) } else { part })
}

fn inside(text: &str, find: &impl Fn(&str) -> Option<std::rc::Rc<Kept>>) -> Result<String, String> {
    let mut out = String::new();
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Named(handle, pointer) => {
                if let Value::String(text) = one(handle, pointer, true, find)? {
                    out.push_str(&text);
                }
            }
        }
    }
    Ok(out)
}

enum Piece<'a> {
    Text(&'a str),
    Named(&'a str, &'a str),
}

/// A text in pieces: what stands for itself, and handles in double braces.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let braces = "{{".len();
        let mut from = 0;
        while let Some(at) = rest[from..].find(OPENING).map(|at| from + at) {
            let end = rest[at..].find("}}").map(|length| at + length);
            let Some((end, (handle, pointer))) = end.and_then(|end| Some((end, reference(&rest[at + braces..end])?)))
            else {
                from = at + braces;
                continue;
            };
            if at > 0 {
                let piece = Piece::Text(&rest[..at]);
                rest = &rest[at..];
                return Some(piece);
            }
            rest = &rest[end + braces..];
            return Some(Piece::Named(handle, pointer));
        }
        Some(Piece::Text(std::mem::take(&mut rest)))
    })
}

/// What a model is told of a handle that stands for nothing any more.
pub fn gone(handle: &str) -> String {
    [
        handle,
        " is not kept any more, or was never: results last a week and give way to newer ones. Call the tool again that gave it.",
    ]
    .concat()
}
