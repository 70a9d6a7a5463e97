//! Final answers held to a JSON Schema by the provider itself, where host and wire can.
//!
//! The schema stands in the system prompt as well: some servers pass over a field that they do not know, and a model
//! that was told the names of the members finds its words more easily within the constraint. A server that refuses the
//! field is asked again without it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::{ModelConfig, Provider};
use super::dialect::{Dialect, host};
use super::gemini_schema::subset;
use super::json;

/// When a model is held to a schema by its provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Takes {
    /// Never.
    #[default]
    No,
    /// Only in requests without tools: the constraint would forbid the calls, or the server refuses both together.
    Alone,
    /// Always.
    BesideTools,
}

impl Takes {
    /// Whether a request is to demand the schema.
    pub fn holds(self, has_tools: bool) -> bool {
        match self {
            Takes::No => false,
            Takes::Alone => !has_tools,
            Takes::BesideTools => true,
        }
    }
}

/// When that model is held to that schema. Only schemas of objects: most providers take no others.
///
/// Groq streams no constrained answers, DeepSeek and Moonshot know `json_object` alone, Workers AI does not stream them
/// either, and Anthropic refuses objects that are not closed by `additionalProperties: false`.
pub fn takes(config: &ModelConfig, schema: &Value) -> Takes {
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Takes::No;
    }
    match config.provider {
        Provider::Anthropic if config.id.contains("claude") && closed(schema, false) => Takes::BesideTools,
        Provider::Anthropic | Provider::App | Provider::Offline | Provider::WorkersAi => Takes::No,
        Provider::OpenAiResponses => Takes::BesideTools,
        Provider::Gemini if config.id.contains("gemini-3") => Takes::BesideTools,
        Provider::Gemini | Provider::Browser => Takes::Alone,
        Provider::OpenAi => match Dialect::of(config) {
            Dialect::OpenAi => Takes::BesideTools,
            Dialect::Reasoning | Dialect::WorkersAi => Takes::No,
            _ if host(&config.base_url).is_some_and(|host| host.ends_with(".groq.com")) => Takes::No,
            Dialect::Mistral | Dialect::Common => Takes::Alone,
        },
    }
}

/// Appends the fields of a request that demand the schema; for Gemini those of its `generationConfig`.
pub(super) fn demand(out: &mut String, config: &ModelConfig, schema: &Value) {
    let text = crate::json::text(schema);
    // Without "strict" the schema is a hint; with it OpenAI refuses one that leaves anything open.
    let named = |out: &mut String| {
        json::field(out, "name", "answer");
        if closed(schema, true) {
            out.push_str(r#","strict":true"#);
        }
    };
    match config.provider {
        Provider::Anthropic => {
            out.push_str(r#","output_config":{"format":{"type":"json_schema","schema":"#);
            out.push_str(&text);
            out.push_str("}}");
        }
        Provider::OpenAiResponses => {
            out.push_str(r#","text":{"format":{"type":"json_schema""#);
            named(out);
            out.push_str(r#","schema":"#);
            out.push_str(&text);
            out.push_str("}}");
        }
        Provider::Gemini => {
            json::field(out, "responseMimeType", "application/json");
            json::key(out, "responseJsonSchema");
            out.push_str(&crate::json::text(&subset(schema)));
        }
        Provider::App | Provider::Browser => {
            json::key(out, "output");
            out.push_str(&text);
        }
        Provider::OpenAi | Provider::Offline | Provider::WorkersAi => {
            out.push_str(r#","response_format":{"type":"json_schema","json_schema":{"#);
            named(out);
            out.push_str(r#","schema":"#);
            out.push_str(&text);
            out.push_str("}}");
        }
    }
}

/// No object in the schema lets further members in; with `all`, each demands all that it has.
fn closed(schema: &Value, all: bool) -> bool {
    let fields = match schema {
        Value::Object(fields) => fields,
        Value::Array(items) => return items.iter().all(|item| closed(item, all)),
        _ => return true,
    };
    let members = fields.get("properties").and_then(Value::as_object);
    if members.is_some() || fields.get("type").and_then(Value::as_str) == Some("object") {
        let required = fields.get("required").and_then(Value::as_array);
        let demanded =
            |name: &String| required.is_some_and(|required| required.iter().any(|item| item.as_str() == Some(name)));
        let is_closed = fields.get("additionalProperties") == Some(&Value::Bool(false));
        if !is_closed || (all && !members.is_none_or(|members| members.keys().all(demanded))) {
            return false;
        }
    }
    fields.values().all(|value| closed(value, all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn closed_schemas_name_all_their_members() {
        let inner =
            json!({ "type": "object", "properties": { "b": {} }, "required": ["b"], "additionalProperties": false });
        let of = |inner: &Value, required: Value| json!({ "type": "object", "properties": { "a": { "items": [inner] } }, "required": required, "additionalProperties": false });
        assert!(closed(&of(&inner, json!(["a"])), true));
        assert!(!closed(&of(&inner, json!([])), true) && closed(&of(&inner, json!([])), false));
        assert!(!closed(&of(&json!({ "type": "object" }), json!(["a"])), false));
        assert!(!closed(&json!({ "properties": {} }), false));
    }

    #[test]
    fn hosts_decide_whether_tools_stand_against_a_schema() {
        let schema = json!({ "type": "object", "properties": {}, "additionalProperties": false });
        let of = |provider, base_url: &str, id: &str| {
            let config = ModelConfig { provider, base_url: base_url.into(), id: id.into(), ..ModelConfig::offline() };
            takes(&config, &schema)
        };
        for (base_url, expected) in [
            ("https://api.openai.com/v1", Takes::BesideTools),
            ("https://me.openai.azure.com/openai", Takes::BesideTools),
            ("http://localhost:11434/v1", Takes::Alone),
            ("http://127.0.0.1:8080/v1", Takes::Alone),
            ("https://openrouter.ai/api/v1", Takes::Alone),
            ("https://api.mistral.ai/v1", Takes::Alone),
            ("https://generativelanguage.googleapis.com/v1beta/openai", Takes::Alone),
            ("https://vllm.test/v1", Takes::Alone),
            ("https://api.groq.com/openai/v1", Takes::No),
            ("https://api.deepseek.com", Takes::No),
            ("https://api.cloudflare.com/client/v4/accounts/a/ai/v1", Takes::No),
        ] {
            assert_eq!(of(Provider::OpenAi, base_url, "m"), expected, "{base_url}");
        }
        assert_eq!(of(Provider::OpenAiResponses, "", "m"), Takes::BesideTools);
        assert_eq!(of(Provider::Gemini, "", "gemini-2.5-flash"), Takes::Alone);
        assert_eq!(of(Provider::Gemini, "", "gemini-3-pro"), Takes::BesideTools);
        assert_eq!(of(Provider::Anthropic, "", "claude-opus-4-6"), Takes::BesideTools);
        assert_eq!(of(Provider::Anthropic, "http://localhost:8080", "qwen"), Takes::No);
        let open = json!({ "type": "object" });
        let claude = ModelConfig { provider: Provider::Anthropic, id: "claude-x".into(), ..ModelConfig::offline() };
        assert_eq!(takes(&claude, &open), Takes::No);
        let gpt = ModelConfig { provider: Provider::OpenAiResponses, ..ModelConfig::offline() };
        assert_eq!((takes(&gpt, &open), takes(&gpt, &json!({ "type": "array" }))), (Takes::BesideTools, Takes::No));
        assert_eq!([false, true].map(|tools| Takes::Alone.holds(tools)), [true, false]);
    }
}
