//! Values that plainly fit: the answer to most checks, without the part that knows all of JSON Schema.

use serde_json::{Map, Value};

/// True if the value is what the schema says and everything in the schema that bears on it is plain: types, properties,
/// items, choices, lengths, limits. False if it is not, or if that takes more to find out: patterns, references, conditions.
///
/// Reads each member of the schema at most once for each part of the value, so no schema makes it slow.
///
/// # Examples
///
/// ```
/// # use edgewise::schema::plainly_fits;
/// # use serde_json::json;
/// let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
/// assert!(plainly_fits(&schema, &json!({ "city": "Oslo" })));
/// assert!(!plainly_fits(&schema, &json!({ "city": 7 })));
/// assert!(!plainly_fits(&json!({ "pattern": "^O" }), &json!("Oslo")));
/// ```
pub fn plainly_fits(schema: &Value, value: &Value) -> bool {
    match schema {
        Value::Bool(fits) => *fits,
        Value::Object(members) => members.iter().all(|(keyword, wanted)| keeps(members, keyword, wanted, value)),
        _ => false,
    }
}

fn keeps(schema: &Map<String, Value>, keyword: &str, wanted: &Value, value: &Value) -> bool {
    match keyword {
        "type" => match wanted {
            Value::String(name) => is_of(name, value),
            Value::Array(names) => names.iter().any(|name| name.as_str().is_some_and(|name| is_of(name, value))),
            _ => false,
        },
        "enum" => wanted.as_array().is_some_and(|choices| choices.contains(value)),
        "const" => wanted == value,
        "anyOf" => wanted.as_array().is_some_and(|schemas| schemas.iter().any(|schema| plainly_fits(schema, value))),
        "allOf" => wanted.as_array().is_some_and(|schemas| schemas.iter().all(|schema| plainly_fits(schema, value))),
        "properties" => match (wanted, value) {
            (Value::Object(schemas), Value::Object(fields)) => {
                schemas.iter().all(|(name, schema)| fields.get(name).is_none_or(|field| plainly_fits(schema, field)))
            }
            (Value::Object(_), _) => true,
            _ => false,
        },
        "required" => match (wanted, value) {
            (Value::Array(names), Value::Object(fields)) => {
                names.iter().all(|name| name.as_str().is_some_and(|name| fields.contains_key(name)))
            }
            (Value::Array(_), _) => true,
            _ => false,
        },
        "additionalProperties" => match value {
            Value::Object(fields) => {
                // With patterns there are more properties than these.
                let known = schema.get("properties").and_then(Value::as_object);
                let further = |name: &String| known.is_none_or(|known| !known.contains_key(name));
                fields.iter().all(|(name, field)| !further(name) || plainly_fits(wanted, field))
            }
            _ => true,
        },
        "patternProperties" => wanted.as_object().is_some_and(Map::is_empty),
        "items" => match value {
            // The older form, an array, has a schema for each place.
            Value::Array(items) => !wanted.is_array() && items.iter().all(|item| plainly_fits(wanted, item)),
            _ => true,
        },
        "minItems" | "maxItems" => value.as_array().is_none_or(|items| within(keyword, wanted, items.len() as f64)),
        "minLength" | "maxLength" => {
            value.as_str().is_none_or(|text| within(keyword, wanted, text.chars().count() as f64))
        }
        "minProperties" | "maxProperties" => {
            value.as_object().is_none_or(|fields| within(keyword, wanted, fields.len() as f64))
        }
        "minimum" | "maximum" => {
            value.as_number().is_none_or(|_| number(value).is_some_and(|is| within(keyword, wanted, is)))
        }
        "exclusiveMinimum" | "exclusiveMaximum" => value.as_number().is_none_or(|_| {
            number(value).is_some_and(|is| number(wanted) != Some(is) && within(&keyword[9..], wanted, is))
        }),
        "title" | "description" | "default" | "examples" | "format" | "deprecated" | "readOnly" | "writeOnly"
        | "$schema" | "$comment" | "$defs" | "definitions" => true,
        _ => keyword.starts_with("x-"),
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        _ => false,
    }
}

/// A number that `f64` holds exactly.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.abs() < 9_007_199_254_740_992.0)
}

/// `keyword` begins with `min`, `Min`, `max` or `Max`.
fn within(keyword: &str, limit: &Value, is: f64) -> bool {
    let least = keyword[1..].starts_with("in");
    number(limit).is_some_and(|limit| if least { limit <= is } else { is <= limit })
}
