//! JSON Schemas as Gemini takes them.
//!
//! The API has two fields for the parameters of a function. `parameters` is a protocol buffer after OpenAPI 3.0 and
//! refuses the whole request for any keyword it does not know; `parametersJsonSchema` takes a subset of JSON Schema,
//! listed in the documentation of `responseJsonSchema`. This writes for the latter.

use serde_json::{Map, Value};

/// Keywords of the subset whose value stays as it is.
const PLAIN: [&str; 13] = [
    "$id",
    "$anchor",
    "type",
    "title",
    "description",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "required",
    "propertyOrdering",
    "format",
    "enum",
];

/// Keywords that say nothing about which arguments are right.
const SILENT: [&str; 9] =
    ["$schema", "$comment", "$vocabulary", "id", "deprecated", "readOnly", "writeOnly", "examples", "example"];

/// The schema in the subset.
///
/// What the subset cannot say moves to the `description` of the same schema as JSON, where the model reads it.
pub(super) fn subset(schema: &Value) -> Value {
    let Value::Object(fields) = schema else {
        // `true` and `false` stand for "anything" and "nothing".
        return Value::Object(Map::new());
    };
    let mut out = Map::new();
    let mut moved = Map::new();
    // "If `$ref` is set on a sub-schema, no other properties, except for those starting with a `$`, may be set."
    if let Some(Value::String(target)) = fields.get("$ref") {
        let target = target.replacen("#/definitions/", "#/$defs/", 1);
        out.insert("$ref".into(), target.into());
        return Value::Object(out);
    }
    for (name, value) in fields {
        let name = name.as_str();
        let kept = match (name, value) {
            ("format", value) => {
                let known = ["date-time", "date", "time", "int32", "int64", "float", "double"];
                value.as_str().filter(|format| known.contains(format)).map(|_| value.clone())
            }
            ("enum", Value::Array(values)) => {
                values.iter().all(|value| value.is_string() || value.is_number()).then(|| value.clone())
            }
            ("const", Value::String(_) | Value::Number(_)) if !fields.contains_key("enum") => {
                out.insert("enum".into(), Value::Array(vec![value.clone()]));
                continue;
            }
            ("$defs" | "definitions", Value::Object(schemas)) => {
                let schemas = each(schemas);
                match out.get_mut("$defs").and_then(Value::as_object_mut) {
                    Some(known) => known.extend(schemas),
                    None => drop(out.insert("$defs".into(), Value::Object(schemas))),
                }
                continue;
            }
            ("properties", Value::Object(schemas)) => Some(Value::Object(each(schemas))),
            ("items" | "additionalProperties", Value::Object(_)) => Some(subset(value)),
            ("additionalProperties", Value::Bool(_)) => Some(value.clone()),
            ("items", Value::Bool(_)) => continue,
            ("prefixItems" | "anyOf" | "oneOf", Value::Array(schemas)) => {
                Some(Value::Array(schemas.iter().map(subset).collect()))
            }
            _ if PLAIN.contains(&name) => Some(value.clone()),
            _ => None,
        };
        match kept {
            Some(value) => drop(out.insert(name.to_owned(), value)),
            None if SILENT.contains(&name) => {}
            None => drop(moved.insert(name.to_owned(), value.clone())),
        }
    }
    if !moved.is_empty() {
        let said = out.get("description").and_then(Value::as_str).unwrap_or_default();
        let gap = if said.is_empty() { "" } else { "\n" };
        let text = [said, gap, "JSON Schema: ", &crate::json::text(&Value::Object(moved))].concat();
        out.insert("description".into(), text.into());
    }
    Value::Object(out)
}

fn each(schemas: &Map<String, Value>) -> Map<String, Value> {
    schemas.iter().map(|(name, schema)| (name.clone(), subset(schema))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_subset_has_stays() {
        let schema = json!({
            "type": "object", "title": "T", "description": "D", "required": ["a"], "additionalProperties": false,
            "properties": {
                "a": { "type": ["string", "null"], "enum": ["x", "y"], "format": "date-time" },
                "b": { "type": "array", "items": { "$ref": "#/$defs/n" }, "minItems": 1, "maxItems": 3 },
                "c": { "anyOf": [{ "type": "integer", "minimum": 0, "maximum": 9 }, { "type": "null" }] },
                "format": { "type": "string" },
            },
            "$defs": { "n": { "type": "number" } },
        });
        assert_eq!(subset(&schema).to_string(), schema.to_string());
    }

    #[test]
    fn what_it_has_not_is_said_in_words_or_left_out() {
        let schema = json!({
            "$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
            "properties": {
                "a": { "type": "string", "description": "An a.", "pattern": "^a+$", "minLength": 1, "examples": ["a"] },
                "b": { "type": "string", "format": "email" },
                "c": { "const": 7 },
                "d": { "enum": ["x", null] },
                "e": { "$ref": "#/definitions/n", "description": "An e.", "default": 3 },
                "f": true,
                "g": { "type": "array", "items": true },
                "$schema": { "type": "string" },
            },
            "definitions": { "n": { "type": "number", "exclusiveMinimum": 0, "$comment": "x" } },
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "a": { "type": "string", "description": "An a.\nJSON Schema: {\"pattern\":\"^a+$\",\"minLength\":1}" },
                "b": { "type": "string", "description": "JSON Schema: {\"format\":\"email\"}" },
                "c": { "enum": [7] },
                "d": { "description": "JSON Schema: {\"enum\":[\"x\",null]}" },
                "e": { "$ref": "#/$defs/n" },
                "f": {},
                "g": { "type": "array" },
                "$schema": { "type": "string" },
            },
            "$defs": { "n": { "type": "number", "description": "JSON Schema: {\"exclusiveMinimum\":0}" } },
        });
        assert_eq!(subset(&schema), expected);
        for odd in [json!(null), json!(7), json!([])] {
            assert_eq!(subset(&odd), json!({}));
        }
    }
}
