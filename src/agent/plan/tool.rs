//! `run_plan` as models see it.

use serde_json::{Value, json};

/// Name, description and schema of the tool.
pub(super) fn definition() -> Value {
    let description = "Runs a plan of several tool calls at once, without asking you in between. Steps that do not wait \
        for each other run in parallel. Use it when later calls need results of earlier ones, or one call is to be made \
        for many items.\n\
        A value from an earlier step: {\"$from\": \"step\", \"path\": \"/json/pointer\"} anywhere in `input`, or \
        \"{{step.path}}\" inside a string; whoever refers to a step waits for it. A step's result is its structured \
        content, else its text (read as JSON where it is). With `forEach`, {\"$from\": \"item\"} and {\"$from\": \
        \"index\"} stand for the element, and the result is the array of results.\n\
        Conditions: {\"value\": ..., \"equals\" | \"notEquals\" | \"in\" | \"contains\" | \"gt\" | \"gte\" | \"lt\" | \
        \"lte\" | \"exists\": ...}, {\"all\": [...]}, {\"any\": [...]}, {\"not\": ...}; in `filter`, {\"path\": \
        \"/member\", ...} looks into the element.";
    let step = json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "description": "Letters, digits, `_`, `-`" },
            "tool": { "type": "string", "description": "Name of a tool that you have" },
            "input": { "type": "object", "description": "Its arguments" },
            "dependsOn": { "type": "array", "items": { "type": "string" }, "description": "Further steps to wait for" },
            "forEach": { "description": "An array, or a reference to one: the step is done for each element" },
            "when": { "description": "A condition; the step is skipped where it does not hold" },
            "select": { "description": "JSON Pointer to the part of the result that matters, or {path, fields: [names]}" },
            "filter": { "description": "A condition for each element of the result" },
            "take": { "type": "integer", "description": "How many elements; negative: from the end" },
            "retry": { "type": "integer", "description": "Attempts, for tools that may be called twice" },
            "onError": { "description": "\"fail\" (the default), \"skip\", or {\"default\": value}" },
        },
        "required": ["id", "tool"],
    });
    json!({
        "name": "run_plan",
        "description": description,
        "inputSchema": {
            "type": "object",
            "properties": {
                "steps": { "type": "array", "items": step },
                "return": { "description": "What the plan gives, with references; default: what the last steps gave" },
            },
            "required": ["steps"],
        },
    })
}
