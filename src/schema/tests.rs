//! What a model is told, and what no schema can do to us. The official suite is run by `tests/schema.rs`.

use serde_json::{Value, json};

use super::*;

fn problems(schema: Value, value: Value) -> Vec<String> {
    let outcome = check(&schema, &value, &[]);
    assert_eq!(outcome.unsure, [""; 0]);
    outcome.problems
}

#[test]
fn a_model_is_told_what_to_do_better() {
    let schema = json!({
        "type": "object",
        "properties": {
            "unit": { "enum": ["celsius", "fahrenheit"] },
            "days": { "type": "array", "items": { "type": "object", "properties": { "n": { "type": "integer" } } } },
            "zip": { "type": "string", "pattern": "^\\d{4}$" },
            "at": { "anyOf": [{ "type": "string", "minLength": 3 }, { "type": "object", "required": ["lat"] }] },
        },
    });
    let told = |value: Value| problems(schema.clone(), value);
    assert_eq!(
        told(json!({ "unit": "celcius" })),
        ["unit: must be one of \"celsius\", \"fahrenheit\"; did you mean \"celsius\"?"]
    );
    assert_eq!(told(json!({ "days": [{ "n": 1 }, { "n": "2" }] })), ["days[1].n: must be an integer, not a string"]);
    assert_eq!(told(json!({ "days": [{ "n": 1.5 }] })), ["days[0].n: must be an integer, not a fraction"]);
    assert_eq!(told(json!({ "zip": "12" })), ["zip: must match the pattern ^\\d{4}$"]);
    let nearest = "at: `lat` is missing (none of the 2 choices fits; this one is the nearest)";
    assert_eq!(told(json!({ "at": { "lon": 1 } })), [nearest]);
    assert_eq!(told(json!([])), ["must be an object, not an array"]);
    assert_eq!(told(json!({ "unit": "celsius", "days": [] })), [""; 0]);
    // No more than ten, however much is wrong.
    let many: Vec<Value> = (0..50).map(|_| json!({ "n": "x" })).collect();
    let told = told(json!({ "days": many }));
    assert_eq!((told.len(), told[10].as_str()), (11, "and more"));
}

#[test]
fn what_cannot_be_checked_is_let_pass_and_told() {
    let unsure = |schema: Value, value: Value| {
        let outcome = check(&schema, &value, &[]);
        assert_eq!(outcome.problems, [""; 0]);
        outcome.unsure.concat()
    };
    let remote = "the reference https://evil.test/s.json leads nowhere, and none is fetched";
    assert_eq!(unsure(json!({ "$ref": "https://evil.test/s.json" }), json!(1)), remote);
    assert_eq!(unsure(json!({ "pattern": "(?<=a)b" }), json!("x")), "the pattern (?<=a)b cannot be checked here");
    for no_schema in
        [json!(7), json!({ "type": 7, "required": "x", "properties": [], "enum": {}, "allOf": 3, "minimum": "a" })]
    {
        assert_eq!(unsure(no_schema, json!({})), "");
    }
}

#[test]
fn bombs_end_soon() {
    let unsure = |schema: Value, value: Value| check(&schema, &value, &[]).unsure.concat();
    // Each level asks the next one twice: 2^60 steps.
    let mut defs = json!({ "d60": { "type": "integer" } });
    for level in 0..60 {
        let next = json!({ "$ref": format!("#/$defs/d{}", level + 1) });
        defs[format!("d{level}")] = json!({ "allOf": [next, next] });
    }
    let bomb = json!({ "$ref": "#/$defs/d0", "$defs": defs });
    assert_eq!(unsure(bomb, json!(1)), "the schema takes too long to check");
    assert_eq!(unsure(json!({ "$ref": "#" }), json!(1)), "the schema refers to itself too deeply");
    let ring = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } });
    assert_eq!(unsure(ring, json!(1)), "the schema refers to itself too deeply");
    // A tree that is as deep as JSON may be is no bomb.
    let tree = json!({ "type": "object", "properties": { "next": { "$ref": "#" } } });
    let deep = (0..100).fold(json!({}), |below, _| json!({ "next": below }));
    assert_eq!(check(&tree, &deep, &[]), Outcome::default());
    let words: Vec<String> = (0..200_000).map(|n: u32| n.to_string()).collect();
    let outcome = check(&json!({ "enum": words }), &json!("x"), &[]);
    assert!(outcome.problems[0].ends_with("and more"), "{}", outcome.problems[0]);
    let long: Vec<Value> = (0..100_000).map(|n: u32| json!(n)).collect();
    assert_eq!(check(&json!({ "uniqueItems": true }), &json!(long), &[]), Outcome::default());
    let choices: Vec<Value> =
        (0..300).map(|_| json!({ "anyOf": [{ "type": "integer" }, { "$ref": "#/$defs/d" }] })).collect();
    let wide = json!({ "oneOf": choices, "$defs": { "d": { "anyOf": choices } } });
    check(&wide, &json!("x"), &[]);
}

#[test]
fn request_and_answer_are_text() {
    let schema = json!({ "type": "object", "required": ["a"] });
    assert_eq!(read(&answer(&request(&schema, &json!({}))).unwrap()), check(&schema, &json!({}), &[]));
    assert_eq!(read("nonsense"), Outcome::default());
    assert!(answer("{").is_err());
}

#[test]
fn most_values_plainly_fit() {
    let schema = json!({
        "type": "object", "title": "Search", "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {
            "query": { "type": "string", "minLength": 1, "maxLength": 4, "description": "What." },
            "limit": { "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 10 }, { "type": "null" }], "default": 3 },
            "kind": { "enum": ["a", "b"] }, "tags": { "type": "array", "items": { "type": "string" }, "maxItems": 2 },
            "share": { "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 },
            "more": { "type": "object", "additionalProperties": { "type": "boolean" } },
            "at": { "type": "string", "pattern": "^x", "x-mcp-header": "At" },
        },
        "required": ["query"], "additionalProperties": false,
    });
    for fits in [
        json!({ "query": "Oslo", "limit": null, "kind": "b", "tags": ["x", "y"], "share": 0.5, "more": { "x": true } }),
        json!({ "query": "\u{1f600}\u{1f600}\u{1f600}\u{1f600}", "limit": 10 }),
    ] {
        assert!(plainly_fits(&schema, &fits), "{fits}");
        assert!(check(&schema, &fits, &[]).problems.is_empty(), "{fits}");
    }
    for wrong in [
        json!({}),
        json!({ "query": "" }),
        json!({ "query": "Bergen" }),
        json!({ "query": "x", "limit": 11 }),
        json!({ "query": "x", "kind": "c" }),
        json!({ "query": "x", "tags": ["x", 1] }),
        json!({ "query": "x", "tags": ["x", "y", "z"] }),
        json!({ "query": "x", "share": 1 }),
        json!({ "query": "x", "share": 0 }),
        json!({ "query": "x", "more": { "x": 1 } }),
        json!({ "query": "x", "other": 1 }),
        json!([]),
    ] {
        assert!(!plainly_fits(&schema, &wrong), "{wrong}");
        assert!(!check(&schema, &wrong, &[]).problems.is_empty(), "{wrong}");
    }
    assert!(!plainly_fits(&schema, &json!({ "query": "x", "at": "x" })), "a pattern takes the whole check");
}
