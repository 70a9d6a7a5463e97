//! Tool arguments that a server wants mirrored into `Mcp-Param-*` headers ([MCP 2026-07-28, Streamable HTTP, "Custom Headers from Tool Parameters"]).
//!
//! ```
//! # use edgewise::mcp::param_headers;
//! # use serde_json::json;
//! let schema = json!({ "type": "object", "properties": { "region": { "type": "string", "x-mcp-header": "Region" } } });
//! let headers = param_headers::mirrored(&schema, &json!({ "region": "us-west1" })).unwrap();
//! assert_eq!(headers, [("Mcp-Param-Region".to_string(), "us-west1".to_string())]);
//! ```
//!
//! [MCP 2026-07-28, Streamable HTTP, "Custom Headers from Tool Parameters"]: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http#custom-headers-from-tool-parameters

use serde_json::{Map, Value};

use crate::mcp::header_value::encode;

const ANNOTATION: &str = "x-mcp-header";

/// Keywords whose value is a schema or an array of schemas.
const SCHEMAS: [&str; 16] = [
    "items",
    "prefixItems",
    "contains",
    "additionalItems",
    "unevaluatedItems",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "contentSchema",
    "oneOf",
    "anyOf",
    "allOf",
    "not",
    "if",
    "then",
    "else",
];

/// Keywords whose value is an object of schemas.
const SCHEMA_MAPS: [&str; 5] = ["patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];

/// The headers that mirror `arguments`, as a tool's input schema asks for; values are encoded.
///
/// An argument that is absent or null has no header.
///
/// # Errors
///
/// Why the schema's annotations are invalid; clients must then not offer the tool. An annotation has to be a
/// header token, unique without regard to case, on a property that is an integer, a string or a boolean, and
/// that is reached through `properties` alone.
pub fn mirrored(schema: &Value, arguments: &Value) -> Result<Vec<(String, String)>, &'static str> {
    let mut found = Vec::new();
    if let Value::Object(schema) = schema {
        walk(schema, Some(arguments), true, false, &mut found)?;
    }
    Ok(found.into_iter().filter_map(|(name, value)| Some((["Mcp-Param-", name].concat(), value?))).collect())
}

/// Whether the annotations of a tool's input schema are valid.
///
/// # Errors
///
/// See [`mirrored`].
pub fn check(schema: &Value) -> Result<(), &'static str> {
    mirrored(schema, &Value::Null).map(|_| ())
}

/// Visits a schema. `value` is what the arguments hold at this place; `reachable` is false once the way led
/// through anything but `properties`; `named` is true for the schema of a property.
fn walk<'a>(
    schema: &'a Map<String, Value>,
    value: Option<&Value>,
    reachable: bool,
    named: bool,
    found: &mut Vec<(&'a str, Option<String>)>,
) -> Result<(), &'static str> {
    if let Some(annotation) = schema.get(ANNOTATION) {
        let name = annotation.as_str().ok_or("x-mcp-header is no string")?;
        if name.is_empty() || !name.bytes().all(is_token_char) {
            return Err("x-mcp-header is no header name");
        }
        if !reachable || !named {
            return Err("x-mcp-header on what is not reached through properties alone");
        }
        if !is_primitive(schema.get("type")) {
            return Err("x-mcp-header on what is no integer, string or boolean");
        }
        if found.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err("the same x-mcp-header twice");
        }
        found.push((name, value.and_then(text)));
    }
    for (keyword, inner) in schema {
        match inner {
            Value::Object(properties) if keyword == "properties" => {
                for (name, property) in properties {
                    let value = value.and_then(|value| value.get(name));
                    if let Value::Object(property) = property {
                        walk(property, value, reachable, true, found)?;
                    }
                }
            }
            Value::Object(schemas) if SCHEMA_MAPS.contains(&keyword.as_str()) => {
                for schema in schemas.values().filter_map(Value::as_object) {
                    walk(schema, None, false, true, found)?;
                }
            }
            Value::Object(schema) if SCHEMAS.contains(&keyword.as_str()) => walk(schema, None, false, true, found)?,
            Value::Array(schemas) if SCHEMAS.contains(&keyword.as_str()) => {
                for schema in schemas.iter().filter_map(Value::as_object) {
                    walk(schema, None, false, true, found)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token_char(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// True for one of the three types, also when `null` is allowed beside it.
fn is_primitive(kind: Option<&Value>) -> bool {
    let allowed = |kind: &Value| matches!(kind.as_str(), Some("integer" | "string" | "boolean"));
    match kind {
        Some(Value::Array(kinds)) => {
            kinds.iter().any(allowed) && kinds.iter().all(|kind| allowed(kind) || kind == "null")
        }
        Some(kind) => allowed(kind),
        None => false,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(encode(text)),
        Value::Bool(_) => Some(crate::json::text(value)),
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64()?;
            (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then(|| (number as i64).to_string())
        }
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(property: Value) -> Result<(), &'static str> {
        check(&json!({ "type": "object", "properties": { "a": property } }))
    }

    #[test]
    fn values_are_mirrored_at_their_exact_place() {
        let schema = json!({
            "type": "object",
            "properties": {
                "region": { "type": "string", "x-mcp-header": "Region" },
                "count": { "type": "integer", "x-mcp-header": "Count" },
                "dry": { "type": ["boolean", "null"], "x-mcp-header": "Dry" },
                "empty": { "type": "string", "x-mcp-header": "Empty" },
                "deep": { "type": "object", "properties": { "x": { "type": "string", "x-mcp-header": "X" } } },
                "none": { "type": "string", "x-mcp-header": "None" },
                "absent": { "type": "string", "x-mcp-header": "Absent" },
                "x-mcp-header": { "type": "number" },
                "query": { "type": "string" }
            }
        });
        let arguments = json!({
            "region": "Zürich", "count": -7.0, "dry": true, "empty": "", "deep": { "x": "y" },
            "none": null, "query": "q", "x-mcp-header": 1.5
        });
        let headers = mirrored(&schema, &arguments).unwrap();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            headers,
            [
                ("Mcp-Param-Region", "=?base64?WsO8cmljaA==?="),
                ("Mcp-Param-Count", "-7"),
                ("Mcp-Param-Dry", "true"),
                ("Mcp-Param-Empty", ""),
                ("Mcp-Param-X", "y"),
            ]
        );
    }

    #[test]
    fn invalid_annotations() {
        assert_eq!(with(json!({ "type": "string", "x-mcp-header": "A" })), Ok(()));
        for name in [json!(""), json!("a b"), json!("a\r\nb"), json!("a:b"), json!("ä"), json!(7)] {
            assert!(with(json!({ "type": "string", "x-mcp-header": name })).is_err(), "{name}");
        }
        for kind in [json!("number"), json!("object"), json!("array"), json!("null"), json!(["string", "number"])] {
            assert!(with(json!({ "type": kind, "x-mcp-header": "A" })).is_err(), "{kind}");
        }
        assert!(with(json!({ "x-mcp-header": "A" })).is_err());
        let inner = json!({ "type": "string", "x-mcp-header": "A" });
        for schema in [
            json!({ "type": "array", "items": inner }),
            json!({ "anyOf": [{ "type": "null" }, inner] }),
            json!({ "not": inner }),
            json!({ "additionalProperties": { "properties": { "b": inner } } }),
            json!({ "patternProperties": { "^b": inner } }),
        ] {
            assert!(with(schema.clone()).is_err(), "{schema}");
        }
        assert!(check(&json!({ "type": "object", "$defs": { "d": inner } })).is_err());
        assert!(check(&json!({ "type": "string", "x-mcp-header": "A" })).is_err());
        let twice = json!({ "properties": { "a": { "type": "string", "x-mcp-header": "A" }, "b": { "type": "string", "x-mcp-header": "a" } } });
        assert_eq!(check(&twice), Err("the same x-mcp-header twice"));
    }

    #[test]
    fn annotations_within_plain_data_are_none() {
        let data = json!({ "type": "object", "default": { "x-mcp-header": 7 }, "examples": [{ "x-mcp-header": "" }] });
        assert_eq!(with(data), Ok(()));
        assert_eq!(check(&json!(true)), Ok(()));
    }
}
