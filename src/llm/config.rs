//! Which model to ask, and how to reach it.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::options::Fields;
use crate::secret::Secret;

/// The wires that this version speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Anthropic Messages: `POST {baseUrl}/v1/messages`.
    Anthropic,
    /// OpenAI Chat Completions and its dialects: `POST {baseUrl}/chat/completions`.
    OpenAi,
    /// OpenAI Responses: `POST {baseUrl}/responses`.
    OpenAiResponses,
    /// Google Gemini: `POST {baseUrl}/v1beta/models/{id}:streamGenerateContent?alt=sse`.
    Gemini,
    /// The embedded keyword matcher; no network.
    Offline,
}

impl Provider {
    const ALL: [(&'static str, Provider); 5] = [
        ("anthropic", Provider::Anthropic),
        ("openai", Provider::OpenAi),
        ("openai-responses", Provider::OpenAiResponses),
        ("gemini", Provider::Gemini),
        ("offline", Provider::Offline),
    ];

    /// The name in the options.
    pub fn as_str(self) -> &'static str {
        Provider::ALL.iter().find(|(_, provider)| *provider == self).map_or("", |(name, _)| name)
    }
}

/// A model and how to reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Which wire to speak.
    pub provider: Provider,
    /// The provider's name of the model; `offline` for the embedded one.
    pub id: String,
    /// Key, if the endpoint wants one.
    pub api_key: Option<Secret>,
    /// Endpoint without trailing slash, as the providers' own SDKs take it.
    pub base_url: String,
    /// Further headers; they win over ours. Values may be credentials.
    pub headers: Vec<(String, Secret)>,
    /// Most tokens of one answer. Sent when given; Anthropic demands one and gets 8,192 by default.
    pub max_tokens: Option<u64>,
    /// Sampling temperature, sent when given.
    pub temperature: Option<f64>,
    /// Who is asked when this one is down or declines, in order; none of them has fallbacks of its own.
    pub fallbacks: Vec<ModelConfig>,
}

impl ModelConfig {
    /// The embedded model.
    pub fn offline() -> ModelConfig {
        ModelConfig {
            provider: Provider::Offline,
            id: "offline".into(),
            api_key: None,
            base_url: String::new(),
            headers: Vec::new(),
            max_tokens: None,
            temperature: None,
            fallbacks: Vec::new(),
        }
    }

    /// The model of that place: 0 is this one, 1 its first fallback. One that there is not is this one.
    pub fn at(&self, place: usize) -> &ModelConfig {
        place.checked_sub(1).and_then(|place| self.fallbacks.get(place)).unwrap_or(self)
    }

    /// How many models there are with the fallbacks.
    pub fn count(&self) -> usize {
        1 + self.fallbacks.len()
    }

    /// Reads the option `model`.
    ///
    /// # Errors
    ///
    /// `config` with the path of the first field that is wrong.
    pub fn read(value: &Value, path: &str) -> Result<ModelConfig> {
        let mut config = ModelConfig::read_one(value, path, true)?;
        if let Some(Value::Array(list)) = value.get("fallbacks") {
            for (place, item) in list.iter().enumerate() {
                let path = [path, ".fallbacks[", &place.to_string(), "]"].concat();
                config.fallbacks.push(ModelConfig::read_one(item, &path, false)?);
            }
        }
        Ok(config)
    }

    fn read_one(value: &Value, path: &str, first: bool) -> Result<ModelConfig> {
        let mut fields = Fields::open(value, path)?;
        let name = fields.required("provider")?;
        let Some((_, provider)) = Provider::ALL.into_iter().find(|(known, _)| *known == name) else {
            let known = Provider::ALL.map(|(known, _)| known).join(", ");
            return Err(Error::config(fields.path("provider"), &["unknown provider; known are ", &known].concat()));
        };
        let id = match provider {
            Provider::Offline => fields.string("id")?.unwrap_or("offline"),
            _ => fields.required("id")?,
        };
        let base_url = fields.string("baseUrl")?.unwrap_or(match provider {
            Provider::Anthropic => "https://api.anthropic.com",
            Provider::OpenAi | Provider::OpenAiResponses => "https://api.openai.com/v1",
            Provider::Gemini => "https://generativelanguage.googleapis.com",
            Provider::Offline => "",
        });
        let headers = fields.strings("headers")?;
        let config = ModelConfig {
            provider,
            id: id.to_owned(),
            api_key: fields.string("apiKey")?.filter(|key| !key.is_empty()).map(Secret::new),
            base_url: base_url.trim_end_matches('/').to_owned(),
            headers: headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            max_tokens: fields.whole("maxTokens", 1..=10_000_000)?,
            temperature: fields.number("temperature")?,
            fallbacks: Vec::new(),
        };
        if first {
            fields.array("fallbacks")?;
        }
        fields.finish()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_a_model_and_trims_its_base_url() {
        let value =
            json!({ "provider": "openai", "id": "m", "baseUrl": "/llm/v1/", "apiKey": "sk-secret", "maxTokens": 100 });
        let config = ModelConfig::read(&value, "model").unwrap();
        assert_eq!((config.base_url.as_str(), config.max_tokens), ("/llm/v1", Some(100)));
        assert!(!format!("{config:?}").contains("sk-secret"));
    }

    #[test]
    fn fallbacks_are_models_without_fallbacks() {
        let offline = json!({ "provider": "offline" });
        let value =
            json!({ "provider": "openai", "id": "m", "fallbacks": [{ "provider": "gemini", "id": "g" }, offline] });
        let config = ModelConfig::read(&value, "model").unwrap();
        let ids = [0, 1, 2, 3].map(|place| config.at(place).id.as_str());
        assert_eq!((config.count(), ids), (3, ["m", "g", "offline", "m"]));
        let path = |value| ModelConfig::read(&value, "model").unwrap_err().path.clone().unwrap();
        assert_eq!(path(json!({ "provider": "offline", "fallbacks": 7 })), "model.fallbacks");
        let nested = json!({ "provider": "offline", "fallbacks": [offline, { "provider": "openai" }] });
        assert_eq!(path(nested), "model.fallbacks[1].id");
        let nested = json!({ "provider": "offline", "fallbacks": [{ "provider": "offline", "fallbacks": [] }] });
        assert_eq!(path(nested), "model.fallbacks[0].fallbacks");
    }

    #[test]
    fn every_provider_is_known_by_its_name_and_has_an_endpoint() {
        for (name, provider) in Provider::ALL {
            let config = ModelConfig::read(&json!({ "provider": name, "id": "m" }), "model").unwrap();
            assert_eq!((config.provider, provider.as_str()), (provider, name));
            assert_eq!(config.base_url.starts_with("https://"), provider != Provider::Offline);
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let message = |value| ModelConfig::read(&value, "model").unwrap_err().message.clone();
        assert_eq!(
            message(json!({ "provider": "openia", "id": "m" })),
            "model.provider: unknown provider; known are anthropic, openai, openai-responses, gemini, offline"
        );
        assert_eq!(message(json!({ "provider": "openai" })), "model.id: is required (a string)");
        assert_eq!(
            message(json!({ "provider": "offline", "baseURL": "x" })),
            "model.baseURL: unknown option; did you mean `baseUrl`?"
        );
    }
}
