//! Values of a plan in which results of earlier steps are to be put: `{"$from": step, "path": pointer}` anywhere, and
//! `{{step.path}}` inside of texts.

use serde_json::{Map, Value};

use super::read::Reader;
use crate::agent::kept::is_reference;
use crate::json::text;

/// A value as a plan writes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Template {
    /// Nothing to be put in.
    Plain(Value),
    /// Stands for a value of any type.
    From(Reference),
    /// A text with values in it.
    Text(Vec<Piece>),
    Array(Vec<Template>),
    Object(Vec<(String, Template)>),
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    From(Reference),
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reference {
    pub(super) source: Source,
    pub(super) path: Vec<String>,
    /// Stands in when the step was skipped, or the path leads nowhere.
    pub(super) default: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Source {
    /// The result of the step at that place.
    Step(usize),
    /// The element that a `forEach` or a `filter` is at.
    Item,
    /// Its place, from 0.
    Index,
}

/// What a step came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Its data: the structured content, else the text, read where it is JSON.
    pub(super) value: Value,
    /// Its content blocks; empty once the result has another shape.
    pub(super) content: Vec<Value>,
}

/// What references can see.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// Results by the step's place; `None` when it was skipped.
    pub(super) results: &'a [Option<Found>],
    /// Ids of the steps.
    pub(super) ids: &'a [String],
    pub(super) item: Option<(&'a Value, usize)>,
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Missing {
    /// The step of that id was skipped.
    Skipped(String),
    /// The path leads nowhere; words for people and models.
    Nowhere(String),
}

impl Template {
    /// Reads a value. What is wrong with it is noted at `path`.
    pub(super) fn read(value: &Value, path: &str, reader: &mut Reader<'_>) -> Template {
        match value {
            Value::String(text) => read_text(text, path, reader),
            Value::Array(items) => {
                let items = items.iter().enumerate();
                let items: Vec<Template> = items
                    .map(|(place, item)| Template::read(item, &[path, "[", &place.to_string(), "]"].concat(), reader))
                    .collect();
                match items.iter().map(plain).collect::<Option<Vec<Value>>>() {
                    Some(all) => Template::Plain(Value::Array(all)),
                    None => Template::Array(items),
                }
            }
            Value::Object(fields) if fields.contains_key("$from") => match read_reference(fields, path, reader) {
                Some(reference) => Template::From(reference),
                None => Template::Plain(Value::Null),
            },
            Value::Object(fields) if fields.len() == 1 && fields.contains_key("$literal") => {
                Template::Plain(fields["$literal"].clone())
            }
            Value::Object(fields) => {
                let fields: Vec<(String, Template)> = fields
                    .iter()
                    .map(|(name, field)| {
                        (name.clone(), Template::read(field, &[path, ".", name.as_str()].concat(), reader))
                    })
                    .collect();
                let all = fields.iter().map(|(name, field)| Some((name.clone(), plain(field)?)));
                match all.collect::<Option<Map<String, Value>>>() {
                    Some(all) => Template::Plain(Value::Object(all)),
                    None => Template::Object(fields),
                }
            }
            other => Template::Plain(other.clone()),
        }
    }

    /// Puts in what the references stand for.
    pub(super) fn fill(&self, scope: Scope<'_>) -> Result<Value, Missing> {
        match self {
            Template::Plain(value) => Ok(value.clone()),
            Template::From(reference) => reference.find(scope),
            Template::Text(pieces) => {
                let mut whole = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => whole.push_str(text),
                        Piece::From(reference) => match reference.find(scope)? {
                            Value::String(found) => whole.push_str(&found),
                            other => whole.push_str(&plainly(other)),
                        },
                    }
                }
                Ok(Value::String(whole))
            }
            Template::Array(items) => items.iter().map(|item| item.fill(scope)).collect(),
            Template::Object(fields) => {
                let filled = fields.iter().map(|(name, field)| Ok((name.clone(), field.fill(scope)?)));
                Ok(Value::Object(filled.collect::<Result<Map<String, Value>, Missing>>()?))
            }
        }
    }
}

/// The value as a text: JSON, but whole numbers without a fraction.
pub(super) fn plainly(value: Value) -> String {
    match value.as_f64().filter(|number| value.is_f64() && number.fract() == 0.0 && number.abs() < 9.0e15) {
        Some(whole) => (whole as i64).to_string(),
        None => text(&value),
    }
}

fn plain(template: &Template) -> Option<Value> {
    match template {
        Template::Plain(value) => Some(value.clone()),
        _ => None,
    }
}

fn read_reference(fields: &Map<String, Value>, path: &str, reader: &mut Reader<'_>) -> Option<Reference> {
    reader.only(fields, &["$from", "path", "default"], path);
    let Some(step) = fields["$from"].as_str() else {
        reader.wrong(path, "`$from` must be the id of a step");
        return None;
    };
    let pointer = match fields.get("path") {
        None => Some(Vec::new()),
        Some(value) => value.as_str().and_then(pointer),
    };
    let Some(pointer) = pointer else {
        reader.wrong(path, "`path` must be a JSON Pointer such as `/items/0/name`");
        return None;
    };
    let source = reader.source(step, path)?;
    Some(Reference { source, path: pointer, default: fields.get("default").cloned() })
}

/// A text that is one reference alone stands for the value itself, of whatever type.
fn read_text(whole: &str, path: &str, reader: &mut Reader<'_>) -> Template {
    let mut pieces = Vec::new();
    let mut rest = whole;
    // Behind what is text whatever it looks like.
    let mut from = 0;
    while let Some((before, inner, after)) = next_reference(rest, from) {
        if is_reference(inner) {
            // A result that is kept: put in when the call is made.
            from = rest.len() - after.len();
            continue;
        }
        from = 0;
        let mut names = inner.split(['.', '[', ']']).map(str::trim).filter(|name| !name.is_empty());
        let step = names.next().unwrap_or_default();
        let names = names.map(str::to_owned).collect();
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        match reader.source(step, path) {
            Some(source) => pieces.push(Piece::From(Reference { source, path: names, default: None })),
            None => return Template::Plain(Value::Null),
        }
        rest = after;
    }
    if pieces.is_empty() {
        return Template::Plain(Value::String(whole.to_owned()));
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    match &pieces[..] {
        [Piece::From(reference)] => Template::From(reference.clone()),
        _ => Template::Text(pieces),
    }
}

fn next_reference(text: &str, from: usize) -> Option<(&str, &str, &str)> {
    let at = from + text[from..].find("{{")?;
    let (inner, after) = text[at + "{{".len()..].split_once("}}")?;
    Some((&text[..at], inner, after))
}

/// The members that a JSON Pointer (RFC 6901) names; `None` when it is none.
pub(super) fn pointer(text: &str) -> Option<Vec<String>> {
    let unescape = |name: &str| name.replace("~1", "/").replace("~0", "~");
    match text.strip_prefix('/') {
        Some(rest) => Some(rest.split('/').map(unescape).collect()),
        None => text.is_empty().then(Vec::new),
    }
}

impl Reference {
    fn find(&self, scope: Scope<'_>) -> Result<Value, Missing> {
        match self.look(scope) {
            Err(missing) => self.default.clone().ok_or(missing),
            found => found,
        }
    }

    fn look(&self, scope: Scope<'_>) -> Result<Value, Missing> {
        match self.source {
            Source::Index => scope.item.map(|(_, place)| place.into()).ok_or(Missing::Nowhere(String::new())),
            Source::Item => {
                let (item, _) = scope.item.ok_or(Missing::Nowhere(String::new()))?;
                walk(item, &self.path).cloned().map_err(|from| Missing::Nowhere(self.nowhere("the element", from)))
            }
            Source::Step(place) => {
                let id = &scope.ids[place];
                let Some(found) = &scope.results[place] else { return Err(Missing::Skipped(id.clone())) };
                let from = match walk(&found.value, &self.path) {
                    Ok(value) => return Ok(value.clone()),
                    Err(from) => from,
                };
                // The whole result, as MCP has it, is behind its data.
                let whole = match self.path.split_first() {
                    Some((first, rest)) if first == "structuredContent" => walk(&found.value, rest).ok().cloned(),
                    Some((first, rest)) if first == "content" => match rest.split_first() {
                        None => Some(Value::Array(found.content.clone())),
                        Some((place, rest)) => place
                            .parse::<usize>()
                            .ok()
                            .and_then(|place| found.content.get(place))
                            .and_then(|block| walk(block, rest).ok().cloned()),
                    },
                    _ => None,
                };
                whole.ok_or_else(|| Missing::Nowhere(self.nowhere(&["the result of `", id, "`"].concat(), from)))
            }
        }
    }

    fn nowhere(&self, of: &str, from: &Value) -> String {
        ["there is no `/", &self.path.join("/"), "` in ", of, ": what it leads to is ", &kind(from)].concat()
    }
}

/// The value at that path, or the value below which it ends.
pub(super) fn walk<'v>(value: &'v Value, path: &[String]) -> Result<&'v Value, &'v Value> {
    let mut at = value;
    for name in path {
        let next = match at {
            Value::Object(fields) => fields.get(name),
            Value::Array(items) => name.parse::<usize>().ok().and_then(|place| items.get(place)),
            _ => None,
        };
        at = next.ok_or(at)?;
    }
    Ok(at)
}

/// Most members of an object that are named.
const MAX_NAMES: usize = 12;

/// What kind of value it is, without its content.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "a boolean".into(),
        Value::Number(_) => "a number".into(),
        Value::String(_) => "a text".into(),
        Value::Array(items) => ["an array of ", &items.len().to_string()].concat(),
        Value::Object(fields) => {
            let names: Vec<&str> = fields.keys().take(MAX_NAMES).map(String::as_str).collect();
            let more = if fields.len() > MAX_NAMES { ", ..." } else { "" };
            ["an object with the members ", &names.join(", "), more].concat()
        }
    }
}
