//! Whether what a plan puts together can be right, by the schemas of the tools: before anything runs, so only what is
//! plainly wrong is said.

use serde_json::{Map, Value, json};

use super::read::{Step, Tool};
use super::template::{Reference, Source, Template, plainly};
use crate::agent::kept::{is_reference, mentions};
use crate::json;
use crate::schema;

/// Kinds of JSON values, as bits.
type Kinds = u8;

const KINDS: [(&str, Kinds); 6] =
    [("null", 1), ("boolean", 2), ("number", 4), ("string", 8), ("array", 16), ("object", 32)];
const ARRAY: Kinds = 16;
const ANY: Kinds = 63;
/// Most references that are followed at one place.
const MAX_HOPS: usize = 16;

/// What is known of a value before it is there.
#[derive(Clone, Copy)]
enum Known<'a> {
    /// It is what the schema says; the second is the document that the schema is part of.
    Schema(&'a Value, &'a Value),
    Kinds(Kinds),
    Nothing,
}

/// What is wrong with the step at `place`: paths and words.
pub(super) fn check(steps: &[Step], place: usize, tools: &[Tool]) -> Vec<(String, String)> {
    let step = &steps[place];
    let mut found = Vec::new();
    let checker = Checker { steps, tools, place };
    if let Some(Template::From(reference)) = &step.for_each {
        let kinds = checker.look(reference, "forEach", &mut found);
        if kinds & ARRAY == 0 {
            found.push(("forEach".into(), ["wants an array, but that is ", &words(kinds)].concat()));
        }
    }
    if let Some(tool) = checker.tool(place) {
        checker.fits(&step.input, &tool.input, &tool.input, "input", &mut found);
    }
    found
}

struct Checker<'a> {
    steps: &'a [Step],
    tools: &'a [Tool],
    place: usize,
}

type Problems = Vec<(String, String)>;

impl<'a> Checker<'a> {
    fn tool(&self, place: usize) -> Option<&'a Tool> {
        self.tools.iter().find(|tool| tool.name == self.steps[place].tool)
    }

    /// Compares a template with the schema that its value has to fit.
    fn fits(&self, template: &Template, schema: &Value, root: &Value, path: &str, found: &mut Problems) {
        let schema = follow(schema, root);
        match template {
            Template::Plain(value) if mentions(value) => self.fits_expanded(value, schema, root, path, found),
            Template::Plain(value) => {
                // What the schema refers to has to be found from a part of it as well.
                let outcome = schema::check(&with_definitions(schema, root), value, &[]);
                found.extend(outcome.problems.into_iter().map(|problem| (path.to_owned(), problem)));
            }
            Template::From(reference) => {
                let (is, wanted) = (self.look(reference, path, found), kinds(schema, root));
                // A number or truth value becomes a text where only a text is taken.
                if is & wanted == 0 && !(wanted == 8 && is & 6 != 0) {
                    let words = ["must be ", &words(wanted), ", but what it refers to is ", &words(is)];
                    found.push((path.to_owned(), words.concat()));
                }
            }
            Template::Text(pieces) => {
                for piece in pieces {
                    if let super::template::Piece::From(reference) = piece {
                        self.look(reference, path, found);
                    }
                }
                self.is_kind(8, schema, root, path, found);
            }
            Template::Array(items) => {
                self.is_kind(ARRAY, schema, root, path, found);
                let of_items = schema.get("items").unwrap_or(&Value::Null);
                for (place, item) in items.iter().enumerate() {
                    self.fits(item, of_items, root, &[path, "[", &place.to_string(), "]"].concat(), found);
                }
            }
            Template::Object(fields) => {
                self.is_kind(32, schema, root, path, found);
                let empty = Map::new();
                let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
                for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
                    if let Some(name) = name.as_str().filter(|name| fields.iter().all(|(field, _)| field != name)) {
                        found.push((path.to_owned(), ["`", name, "` is missing"].concat()));
                    }
                }
                let closed = schema.get("additionalProperties") == Some(&Value::Bool(false))
                    && schema.get("patternProperties").is_none();
                for (name, field) in fields {
                    let at = [path, ".", name.as_str()].concat();
                    match known.get(name) {
                        Some(property) => self.fits(field, property, root, &at, found),
                        None if closed => {
                            let meant = schema::nearest(name, known.keys().map(String::as_str));
                            let meant = meant.map(|meant| ["; did you mean `", meant, "`?"].concat());
                            found.push((at, ["is unknown", &meant.unwrap_or_default()].concat()));
                        }
                        None => self.fits(field, &Value::Null, root, &at, found),
                    }
                }
            }
        }
    }

    /// The same for a value in which handles stand for results: what those are, is known when the call is made.
    fn fits_expanded(&self, value: &Value, schema: &Value, root: &Value, path: &str, found: &mut Problems) {
        let plain = |value: &Value| Template::Plain(value.clone());
        let template = match value {
            Value::Array(items) => Template::Array(items.iter().map(plain).collect()),
            Value::Object(fields) => {
                Template::Object(fields.iter().map(|(name, field)| (name.clone(), plain(field))).collect())
            }
            Value::String(text) if is_reference(text) => return,
            _ => return self.is_kind(8, schema, root, path, found),
        };
        self.fits(&template, schema, root, path, found);
    }

    fn is_kind(&self, is: Kinds, schema: &Value, root: &Value, path: &str, found: &mut Problems) {
        let wanted = kinds(schema, root);
        if wanted & is == 0 {
            found.push((path.to_owned(), ["must be ", &words(wanted), ", not ", &words(is)].concat()));
        }
    }

    /// What a reference may turn out to be. A path that plainly leads nowhere is noted.
    fn look(&self, reference: &Reference, path: &str, found: &mut Problems) -> Kinds {
        let (known, of) = match reference.source {
            Source::Index => (Known::Kinds(4), String::new()),
            Source::Item => (self.item(), "the element".to_owned()),
            Source::Step(place) => (self.result(place), ["the result of `", &self.steps[place].tool, "`"].concat()),
        };
        let whole = matches!(reference.source, Source::Step(_))
            && reference.path.first().is_some_and(|first| matches!(first.as_str(), "content" | "structuredContent"));
        match at(known, &reference.path) {
            // The path may mean the whole result, as MCP has it.
            _ if whole => ANY,
            Ok(known) => {
                let default = reference.default.as_ref().map_or(0, kind_of);
                known.kinds() | default
            }
            Err(_) if reference.default.is_some() => ANY,
            Err(words) => {
                let pointer = ["`/", &reference.path.join("/"), "` is not in ", &of, ": "];
                found.push((path.to_owned(), [pointer.concat(), words].concat()));
                ANY
            }
        }
    }

    /// What is known of the element of the `forEach`.
    fn item(&self) -> Known<'a> {
        let elements = match &self.steps[self.place].for_each {
            Some(Template::From(reference)) => match reference.source {
                Source::Step(place) if reference.default.is_none() => at(self.result(place), &reference.path),
                _ => Ok(Known::Nothing),
            },
            _ => Ok(Known::Nothing),
        };
        match elements {
            Ok(Known::Schema(schema, root)) => match follow(schema, root).get("items") {
                Some(items) => Known::Schema(items, root),
                None => Known::Nothing,
            },
            _ => Known::Nothing,
        }
    }

    /// What is known of a step's result.
    fn result(&self, place: usize) -> Known<'a> {
        let step = &self.steps[place];
        if step.for_each.is_some() {
            return Known::Kinds(ARRAY);
        }
        let shape = &step.shape;
        let elements = shape.filter.is_some() || shape.take.is_some();
        let default = matches!(step.on_error, super::read::OnError::Default(_));
        match self.tool(place).and_then(|tool| tool.output.as_ref()) {
            _ if default => Known::Nothing,
            _ if !shape.fields.is_empty() => Known::Nothing,
            Some(schema) => at(Known::Schema(schema, schema), &shape.path).unwrap_or(Known::Nothing),
            None if elements => Known::Kinds(ARRAY),
            None => Known::Nothing,
        }
    }
}

impl Known<'_> {
    fn kinds(self) -> Kinds {
        match self {
            Known::Schema(schema, root) => kinds(schema, root),
            Known::Kinds(kinds) => kinds,
            Known::Nothing => ANY,
        }
    }
}

/// What is known of the value at that path, or why there is none.
fn at<'a>(known: Known<'a>, path: &[String]) -> Result<Known<'a>, String> {
    let Known::Schema(mut schema, root) = known else {
        return Ok(if path.is_empty() { known } else { Known::Nothing });
    };
    for name in path {
        schema = follow(schema, root);
        let kinds = kinds(schema, root);
        if kinds & (ARRAY | 32) == 0 {
            return Err([name, " would be in ", &words(kinds)].concat());
        }
        if let Some(items) = schema.get("items").filter(|_| kinds == ARRAY && schema.get("prefixItems").is_none()) {
            if name.parse::<usize>().is_err() {
                return Err(["`", name, "` is no place in an array"].concat());
            }
            schema = items;
            continue;
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        match properties.and_then(|properties| properties.get(name)) {
            Some(property) => schema = property,
            None => {
                let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
                let Some(properties) = properties.filter(|_| closed) else { return Ok(Known::Nothing) };
                let names: Vec<&str> = properties.keys().map(String::as_str).collect();
                return Err(["it has ", &names.join(", ")].concat());
            }
        }
    }
    Ok(Known::Schema(schema, root))
}

/// The schema that a local reference means.
fn follow<'a>(mut schema: &'a Value, root: &'a Value) -> &'a Value {
    for _ in 0..MAX_HOPS {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
        match target.and_then(|pointer| root.pointer(pointer)) {
            Some(next) => schema = next,
            None => return schema,
        }
    }
    schema
}

fn with_definitions(schema: &Value, root: &Value) -> Value {
    let Some(fields) = schema.as_object().filter(|_| !std::ptr::eq(schema, root)) else {
        return if schema.is_null() { Value::Bool(true) } else { schema.clone() };
    };
    let mut fields = fields.clone();
    for name in ["$defs", "definitions"] {
        if let Some(definitions) = root.get(name) {
            fields.entry(name).or_insert_with(|| definitions.clone());
        }
    }
    Value::Object(fields)
}

/// The kinds of values that a schema allows; all of them where that takes more to find out.
fn kinds(schema: &Value, root: &Value) -> Kinds {
    kinds_within(schema, root, MAX_HOPS)
}

fn kinds_within(schema: &Value, root: &Value, depth: usize) -> Kinds {
    let schema = follow(schema, root);
    let Some(fields) = schema.as_object().filter(|_| depth > 0) else { return ANY };
    let mut allowed = match fields.get("type") {
        Some(Value::String(name)) => named(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).fold(0, |all, name| all | named(name)),
        _ => ANY,
    };
    if let Some(choices) = fields.get("enum").and_then(Value::as_array) {
        allowed &= choices.iter().fold(0, |all, choice| all | kind_of(choice));
    }
    if let Some(only) = fields.get("const") {
        allowed &= kind_of(only);
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(choices) = fields.get(word).and_then(Value::as_array) {
            allowed &= choices.iter().fold(0, |all, choice| all | kinds_within(choice, root, depth - 1));
        }
    }
    if allowed == 0 { ANY } else { allowed }
}

fn named(name: &str) -> Kinds {
    let name = if name == "integer" { "number" } else { name };
    KINDS.iter().find(|(known, _)| *known == name).map_or(ANY, |(_, bit)| *bit)
}

fn kind_of(value: &Value) -> Kinds {
    match value {
        Value::Null => 1,
        Value::Bool(_) => 2,
        Value::Number(_) => 4,
        Value::String(_) => 8,
        Value::Array(_) => ARRAY,
        Value::Object(_) => 32,
    }
}

fn words(kinds: Kinds) -> String {
    let names: Vec<&str> = KINDS.iter().filter(|(_, bit)| kinds & bit != 0).map(|(name, _)| *name).collect();
    names.join(" or ")
}

/// Makes texts of numbers and truth values where the schema takes texts only, as templates in texts do; and numbers of texts
/// that are some, where it takes numbers only: many tools say all in texts.
pub(super) fn adapt(input: &mut Value, schema: &Value) {
    let properties = follow(schema, schema).get("properties").and_then(Value::as_object);
    let (Some(fields), Some(properties)) = (input.as_object_mut(), properties) else { return };
    for (name, field) in fields {
        let Some(wanted) = properties.get(name).map(|property| kinds(property, schema)) else { continue };
        match field {
            Value::Number(_) | Value::Bool(_) if wanted == 8 => *field = json!(plainly(field.take())),
            Value::String(text) if wanted == 4 => {
                let read: Option<Value> = json::read(text.trim());
                if let Some(number) = read.filter(Value::is_number) {
                    *field = number;
                }
            }
            _ => {}
        }
    }
}
