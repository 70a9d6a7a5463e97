//! The parameters of a tool, as far as a matcher can fill them.

use serde_json::Value;

use super::words::{self, Role};
use crate::rank;

/// Parameters of one tool that are looked at.
const MAX_PARAMETERS: usize = 64;

/// Steps through `$ref`, `anyOf` and the like before a schema counts as "anything".
const MAX_HOPS: usize = 8;

/// What a parameter takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind<'s> {
    Text,
    Number {
        whole: bool,
    },
    Boolean,
    /// One of these values.
    Choice(Vec<&'s Value>),
    List(Box<Kind<'s>>),
    /// An object or something unknown: taken only when it is given by name.
    Any,
}

/// One parameter of a tool.
#[derive(Clone, Debug)]
pub(super) struct Parameter<'s> {
    pub(super) name: &'s str,
    pub(super) description: &'s str,
    pub(super) kind: Kind<'s>,
    pub(super) required: bool,
    pub(super) default: Option<&'s Value>,
    pub(super) format: &'s str,
    pub(super) role: Role,
    /// Stems of the words of the name.
    pub(super) stems: Vec<String>,
}

impl Parameter<'_> {
    /// Whether a lower-case word belongs to the name.
    pub(super) fn named_by(&self, word: &str) -> bool {
        !word.is_empty() && self.stems.iter().any(|known| known == rank::stem(word))
    }

    /// Whether a text may be its value, as far as the format tells.
    pub(super) fn takes(&self, text: &str) -> bool {
        match self.format {
            "email" | "idn-email" => text.contains('@') && !text.contains(' '),
            "uri" | "url" | "iri" => text.contains(':') && !text.contains(' '),
            // "tomorrow" is no date: the matcher has no clock to make it one.
            "date" | "date-time" | "time" => text.contains(|char: char| char.is_ascii_digit()),
            _ => !text.is_empty(),
        }
    }
}

fn text<'s>(schema: &'s Value, field: &str) -> &'s str {
    schema.get(field).and_then(Value::as_str).unwrap_or("")
}

/// The parameters of a tool in the order of its schema. Total: a schema of any shape gives a list, maybe an empty one.
pub(super) fn parameters(schema: &Value) -> Vec<Parameter<'_>> {
    let top = resolve(schema, schema);
    let Some(properties) = top.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let required = top.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known.as_str() == Some(name)));
    let mut all = Vec::new();
    for (name, raw) in properties.iter().take(MAX_PARAMETERS) {
        let own = resolve(schema, raw);
        let mut parts = Vec::new();
        rank::parts(name, &mut |part| parts.push(part.to_owned()));
        let format = text(own, "format");
        let role = match format {
            "email" | "idn-email" => Role::Recipient,
            "uri" | "url" | "iri" => Role::Link,
            "date" | "date-time" | "time" => Role::When,
            _ => Role::of(&parts),
        };
        let described = text(raw, "description");
        all.push(Parameter {
            name,
            description: if described.is_empty() { text(own, "description") } else { described },
            kind: kind(schema, own, 0),
            required: is_required(name),
            default: raw.get("default").or_else(|| own.get("default")),
            format,
            role,
            stems: parts
                .iter()
                .map(|part| rank::stem(part).to_owned())
                .filter(|part| !words::is_stop(part) || parts.len() == 1)
                .collect(),
        });
    }
    all
}

/// Follows local references and takes the first useful branch of a choice.
fn resolve<'s>(root: &'s Value, mut schema: &'s Value) -> &'s Value {
    for _ in 0..MAX_HOPS {
        let target = text(schema, "$ref");
        let next = if let Some(pointer) = target.strip_prefix('#') {
            root.pointer(pointer)
        } else if schema.get("type").is_some() || schema.get("enum").is_some() || schema.get("properties").is_some() {
            None
        } else {
            let branches =
                ["anyOf", "oneOf", "allOf"].iter().find_map(|word| schema.get(*word).and_then(Value::as_array));
            let constants =
                branches.is_some_and(|branches| branches.iter().all(|branch| branch.get("const").is_some()));
            branches
                .filter(|_| !constants)
                .and_then(|branches| branches.iter().find(|branch| text(branch, "type") != "null"))
        };
        match next {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

fn kind<'s>(root: &'s Value, schema: &'s Value, depth: usize) -> Kind<'s> {
    let array = |field: &str| schema.get(field).and_then(Value::as_array);
    if let Some(values) = array("enum") {
        return Kind::Choice(values.iter().filter(|value| !value.is_null()).collect());
    }
    if let Some(value) = schema.get("const") {
        return Kind::Choice(vec![value]);
    }
    let constants = array("anyOf").or_else(|| array("oneOf"));
    if let Some(branches) = constants.filter(|branches| branches.iter().all(|branch| branch.get("const").is_some())) {
        return Kind::Choice(branches.iter().filter_map(|branch| branch.get("const")).collect());
    }
    let types = array("type").map_or_else(Vec::new, |types| types.iter().filter_map(Value::as_str).collect());
    let name = types.iter().find(|name| **name != "null").copied().unwrap_or_else(|| text(schema, "type"));
    match name {
        "string" => Kind::Text,
        "number" => Kind::Number { whole: false },
        "integer" => Kind::Number { whole: true },
        "boolean" => Kind::Boolean,
        "array" if depth < 2 => {
            let items = schema.get("items").map(|items| kind(root, resolve(root, items), depth + 1));
            Kind::List(Box::new(items.unwrap_or(Kind::Text)))
        }
        "" if schema.get("properties").is_none() && schema.get("items").is_none() => Kind::Text,
        _ => Kind::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kinds_are_read_through_references_and_unions() {
        let schema = json!({
            "type": "object",
            "$defs": { "Size": { "enum": ["s", "l"] }, "Loop": { "$ref": "#/$defs/Loop" } },
            "properties": {
                "size": { "$ref": "#/$defs/Size", "description": "How big" },
                "loop": { "$ref": "#/$defs/Loop" },
                "count": { "type": ["integer", "null"] },
                "either": { "anyOf": [{ "type": "null" }, { "type": "number" }] },
                "mode": { "oneOf": [{ "const": "a" }, { "const": 2 }] },
                "tags": { "type": "array", "items": { "type": "string" } },
                "more": { "type": "object" },
                "free": {},
                "odd": 7
            },
            "required": ["size", 3]
        });
        let all = parameters(&schema);
        let kinds: Vec<Kind<'_>> = all.iter().map(|parameter| parameter.kind.clone()).collect();
        let (s, l, a, two) = (json!("s"), json!("l"), json!("a"), json!(2));
        let expected = [
            Kind::Choice(vec![&s, &l]),
            Kind::Text,
            Kind::Number { whole: true },
            Kind::Number { whole: false },
            Kind::Choice(vec![&a, &two]),
            Kind::List(Box::new(Kind::Text)),
            Kind::Any,
            Kind::Text,
            Kind::Text,
        ];
        assert_eq!(kinds, expected);
        assert!(all[0].required && !all[1].required);
        assert_eq!(all[0].description, "How big");
    }

    #[test]
    fn schemas_of_any_shape_give_a_list() {
        for schema in [
            json!(null),
            json!([]),
            json!("x"),
            json!({ "properties": 3 }),
            json!({ "$ref": "#" }),
            json!({ "$ref": "http://x" }),
        ] {
            assert_eq!(parameters(&schema).len(), 0, "{schema}");
        }
    }
}
