//! Tool definitions in the providers' formats.

use serde_json::{Map, Value, json};

use super::config::Provider;
use super::gemini_schema::subset;
use super::types::ToolDefinition;

/// The tools as an array in the format of `provider`; the embedded model's is that of OpenAI's Chat Completions.
///
/// Providers refuse a whole request for one schema that they cannot take: without `type: "object"` or
/// `properties`, or with a combinator (`oneOf`, `anyOf`, `allOf`, `not`, `enum`) at the top level. MCP servers have
/// such schemas, so the former are added, and the latter move to the end of the description, as JSON.
pub fn tool_definitions<'t>(provider: Provider, tools: impl IntoIterator<Item = &'t ToolDefinition>) -> Value {
    let definitions = tools.into_iter().map(|tool| {
        let mut definition = Map::new();
        definition.insert("name".into(), Value::String(tool.name.clone()));
        let (schema, moved) = object_schema(&tool.input_schema);
        let mut description = tool.description.clone();
        if let Some(moved) = moved {
            let gap = if description.is_empty() { "" } else { "\n\n" };
            description +=
                &[gap, "The arguments must also match this JSON Schema: ", &crate::json::text(&moved)].concat();
        }
        if !description.is_empty() {
            definition.insert("description".into(), Value::String(description));
        }
        match provider {
            Provider::Anthropic => {
                definition.insert("input_schema".into(), schema);
                Value::Object(definition)
            }
            Provider::OpenAiResponses => {
                definition.insert("type".into(), "function".into());
                definition.insert("parameters".into(), schema);
                // Strict by default, which would ask for schemas that servers do not have.
                definition.insert("strict".into(), false.into());
                Value::Object(definition)
            }
            Provider::Gemini => {
                definition.insert("parametersJsonSchema".into(), subset(&schema));
                Value::Object(definition)
            }
            _ => {
                definition.insert("parameters".into(), schema);
                json!({ "type": "function", "function": definition })
            }
        }
    });
    let definitions: Value = definitions.collect();
    if provider == Provider::Gemini { json!([{ "functionDeclarations": definitions }]) } else { definitions }
}

/// The schema with what providers demand, and what they do not take.
fn object_schema(schema: &Value) -> (Value, Option<Value>) {
    let mut fields = schema.as_object().cloned().unwrap_or_default();
    let mut moved = Map::new();
    for name in ["oneOf", "anyOf", "allOf", "not", "enum"] {
        if let Some(value) = fields.shift_remove(name) {
            moved.insert(name.into(), value);
        }
    }
    if fields.get("type").and_then(Value::as_str) != Some("object") {
        fields.insert("type".into(), "object".into());
    }
    if !fields.get("properties").is_some_and(Value::is_object) {
        fields.insert("properties".into(), json!({}));
    }
    (Value::Object(fields), (!moved.is_empty()).then_some(Value::Object(moved)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(description: &str, input_schema: Value) -> ToolDefinition {
        ToolDefinition { name: "add".into(), description: description.into(), input_schema }
    }

    #[test]
    fn both_formats() {
        let schema = json!({ "type": "object", "properties": { "a": { "type": "number" } }, "required": ["a"] });
        let tools = [tool("Adds.", schema.clone())];
        assert_eq!(
            tool_definitions(Provider::Anthropic, &tools).to_string(),
            json!([{ "name": "add", "description": "Adds.", "input_schema": schema }]).to_string()
        );
        assert_eq!(
            tool_definitions(Provider::OpenAi, &tools).to_string(),
            json!([{ "type": "function", "function": { "name": "add", "description": "Adds.", "parameters": schema } }])
                .to_string()
        );
    }

    #[test]
    fn schemas_that_providers_refuse_are_made_acceptable() {
        let any_of = json!([{ "required": ["a"] }, { "required": ["b"] }]);
        let schema = json!({ "type": ["object", "null"], "anyOf": any_of });
        let definition = &tool_definitions(Provider::Anthropic, &[tool("Adds.", schema)])[0];
        assert_eq!(definition["input_schema"], json!({ "type": "object", "properties": {} }));
        assert_eq!(
            definition["description"],
            format!("Adds.\n\nThe arguments must also match this JSON Schema: {}", json!({ "anyOf": any_of }))
        );
        for odd in [json!(true), json!(null), json!({}), json!({ "type": "string", "properties": 7 })] {
            let definition = &tool_definitions(Provider::OpenAi, &[tool("", odd)])[0]["function"];
            assert_eq!(definition["parameters"], json!({ "type": "object", "properties": {} }));
            assert_eq!(definition.get("description"), None);
        }
    }
}
