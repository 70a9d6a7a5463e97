//! What an agent is told about context: which resources go before its model, and how much of them.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::options::{Fields, FunctionId, expected};

/// What context is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextConfig {
    /// Most tokens of one block of context; default 100,000.
    pub max_tokens: u64,
    /// Most resources that are read for one query, 1 to 200; default 12.
    pub max_resources: u64,
    /// The resources to use, by URI; `None` for those that fit the query.
    pub resources: Option<Vec<String>>,
    /// Where meanings come from, as `crate::parts` reads it: null for the table of the package, false for nowhere, a function,
    /// or `{ baseUrl, id, apiKey?, headers? }`.
    pub embed: Value,
    /// What was put before the model is followed, so that it and the app are told of changes; default true.
    pub live: bool,
}

impl Default for ContextConfig {
    fn default() -> ContextConfig {
        ContextConfig { max_tokens: 100_000, max_resources: 12, resources: None, embed: Value::Null, live: true }
    }
}

impl ContextConfig {
    /// Reads the option `context`.
    ///
    /// # Errors
    ///
    /// `config` with the path of the first field that is wrong.
    pub fn read(value: &Value, path: &str) -> Result<ContextConfig> {
        let mut fields = Fields::open(value, path)?;
        let mut config = ContextConfig::default();
        config.read_choice(&mut fields)?;
        if let Some(embed) = fields.value("embed") {
            config.embed = read_embed(embed, &fields.path("embed"))?;
        }
        config.live = fields.boolean("live")?.unwrap_or(true);
        fields.finish()?;
        Ok(config)
    }

    /// Reads `maxTokens`, `maxResources` and `resources`, which one query may be told besides.
    ///
    /// # Errors
    ///
    /// `config` with the path of the first field that is wrong.
    pub fn read_choice(&mut self, fields: &mut Fields<'_>) -> Result<()> {
        if let Some(most) = fields.whole("maxTokens", 1..=10_000_000)? {
            self.max_tokens = most;
        }
        if let Some(most) = fields.whole("maxResources", 1..=200)? {
            self.max_resources = most;
        }
        match fields.value("resources") {
            None => {}
            Some(Value::String(word)) if word == "auto" => self.resources = None,
            Some(Value::Array(uris)) => {
                let mut all = Vec::new();
                for (place, uri) in uris.iter().enumerate() {
                    let path = [&fields.path("resources"), "[", &place.to_string(), "]"].concat();
                    all.push(uri.as_str().ok_or_else(|| expected(&path, "a URI", uri))?.to_owned());
                }
                self.resources = Some(all);
            }
            Some(other) => return Err(expected(&fields.path("resources"), "\"auto\" or an array of URIs", other)),
        }
        Ok(())
    }
}

fn read_embed(value: &Value, path: &str) -> Result<Value> {
    if value == &Value::Bool(false) || FunctionId::from_marker(value).is_some() {
        return Ok(value.clone());
    }
    if !value.is_object() {
        return Err(expected(path, "false, a function or `{ baseUrl, id, apiKey?, headers? }`", value));
    }
    let mut fields = Fields::open(value, path)?;
    for name in ["baseUrl", "id"] {
        if fields.required(name)?.is_empty() {
            return Err(Error::config(fields.path(name), "must not be empty"));
        }
    }
    fields.string("apiKey")?;
    fields.strings("headers")?;
    fields.finish()?;
    Ok(value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_of_context() {
        let read = |value: Value| ContextConfig::read(&value, "context");
        assert_eq!(read(json!({})).unwrap(), ContextConfig::default());
        let config =
            read(json!({ "maxTokens": 500, "maxResources": 40, "resources": ["a://b"], "embed": { "$function": 3 } }))
                .unwrap();
        assert_eq!((config.max_tokens, config.max_resources), (500, 40));
        assert_eq!(config.resources, Some(vec!["a://b".to_owned()]));
        assert_eq!(read(json!({ "resources": "auto", "embed": false })).unwrap().embed, json!(false));
        assert!(read(json!({ "embed": { "baseUrl": "https://a.test/v1", "id": "m", "apiKey": "k" } })).is_ok());
        for (value, path) in [
            (json!({ "maxTokens": 0 }), "context.maxTokens"),
            (json!({ "maxResources": 201 }), "context.maxResources"),
            (json!({ "resources": "all" }), "context.resources"),
            (json!({ "resources": ["a", 7] }), "context.resources[1]"),
            (json!({ "embed": "openai" }), "context.embed"),
            (json!({ "embed": { "id": "m" } }), "context.embed.baseUrl"),
            (json!({ "embed": { "id": "", "baseUrl": "a" } }), "context.embed.id"),
            (json!({ "embed": { "id": "m", "baseUrl": "a", "key": "x" } }), "context.embed.key"),
            (json!({ "live": 1 }), "context.live"),
            (json!({ "tokens": 5 }), "context.tokens"),
        ] {
            assert_eq!(read(value).unwrap_err().path.as_deref(), Some(path));
        }
    }
}
