//! Which model to ask, and how to reach it.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::http::TRANSPORT;
use crate::llm::types::Prices;
use crate::options::{Fields, FunctionId, expected};
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
    /// A function of the app, `generate`, in place of a network.
    App,
    /// The browser's own model, behind a function of the shell.
    Browser,
    /// A binding of Workers AI: Chat Completions behind a function of the shell.
    WorkersAi,
}

impl Provider {
    const ALL: [(&'static str, Provider); 8] = [
        ("anthropic", Provider::Anthropic),
        ("openai", Provider::OpenAi),
        ("openai-responses", Provider::OpenAiResponses),
        ("gemini", Provider::Gemini),
        ("offline", Provider::Offline),
        ("app", Provider::App),
        ("browser", Provider::Browser),
        ("workers-ai", Provider::WorkersAi),
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
    /// Further fields of each request's body, as the provider names them; they win over ours.
    pub body: Map<String, Value>,
    /// Most tokens of one answer. Sent when given; Anthropic demands one and gets 8,192 by default.
    pub max_tokens: Option<u64>,
    /// Tokens that the model takes at once, with its answer; `None` where the app does not say.
    pub context_window: Option<u64>,
    /// Sampling temperature, sent when given.
    pub temperature: Option<f64>,
    /// The provider is to hold conversations, so that only what is new is sent; see [`crate::llm::thread`].
    pub threads: bool,
    /// A function of the app that counts the tokens of what `generate` would be asked.
    pub count_tokens: Option<FunctionId>,
    /// What its tokens cost; none without prices.
    pub prices: Prices,
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
            body: Map::new(),
            max_tokens: None,
            context_window: None,
            temperature: None,
            threads: false,
            count_tokens: None,
            prices: Prices::default(),
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
        let (generate, binding) = (fields.function("generate")?, fields.function("binding")?);
        let name = match generate {
            Some(_) => fields.string("provider")?.unwrap_or("app"),
            None => fields.required("provider")?,
        };
        let Some((_, provider)) = Provider::ALL.into_iter().find(|(known, _)| *known == name) else {
            let known = Provider::ALL.map(|(known, _)| known).join(", ");
            return Err(Error::config(fields.path("provider"), &["unknown provider; known are ", &known].concat()));
        };
        let id = match provider {
            Provider::Offline | Provider::App | Provider::Browser => fields.string("id")?.unwrap_or(name),
            _ => fields.required("id")?,
        };
        let base_url = fields.string("baseUrl")?.unwrap_or(match provider {
            Provider::Anthropic => "https://api.anthropic.com",
            Provider::OpenAi | Provider::OpenAiResponses => "https://api.openai.com/v1",
            Provider::Gemini => "https://generativelanguage.googleapis.com",
            _ => "",
        });
        // A function of the app stands in place of a network.
        let function = match provider {
            Provider::App | Provider::Browser => ("generate", generate),
            Provider::WorkersAi => ("binding", binding),
            _ => ("", None),
        };
        let base_url = match function {
            ("", _) => base_url.trim_end_matches('/').to_owned(),
            (_, Some(function)) => [TRANSPORT, &function.0.to_string()].concat(),
            (name, None) => return Err(Error::config(fields.path(name), "is required")),
        };
        let headers = fields.strings("headers")?;
        let config = ModelConfig {
            provider,
            id: id.to_owned(),
            api_key: fields.string("apiKey")?.filter(|key| !key.is_empty()).map(Secret::new),
            base_url,
            headers: headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            body: fields.value("body").map_or(Ok(Map::new()), |value| body(value, provider, &fields.path("body")))?,
            max_tokens: fields.whole("maxTokens", 1..=10_000_000)?,
            context_window: fields.whole("contextWindow", 1..=100_000_000)?,
            temperature: fields.number("temperature")?,
            threads: fields.boolean("threads")?.unwrap_or(false),
            count_tokens: fields.function("countTokens")?,
            prices: fields
                .value("prices")
                .map_or(Ok(Prices::default()), |value| prices(value, &fields.path("prices")))?,
            fallbacks: Vec::new(),
        };
        if config.threads && !matches!(provider, Provider::Anthropic | Provider::OpenAiResponses) {
            return Err(Error::config(fields.path("threads"), "is only for anthropic and openai-responses"));
        }
        if config.count_tokens.is_some() && provider != Provider::App {
            return Err(Error::config(fields.path("countTokens"), "is only for a model with `generate`"));
        }
        if first {
            fields.array("fallbacks")?;
        }
        fields.finish()?;
        Ok(config)
    }
}

/// What an encoder writes, and nobody else.
const OURS: [&str; 11] = [
    "model",
    "messages",
    "input",
    "contents",
    "tools",
    "system",
    "systemInstruction",
    "instructions",
    "stream",
    "thread",
    "previous_response_id",
];

fn body(value: &Value, provider: Provider, path: &str) -> Result<Map<String, Value>> {
    if matches!(provider, Provider::App | Provider::Browser | Provider::Offline) {
        return Err(Error::config(path, "is only for a model behind a provider's wire"));
    }
    let Value::Object(fields) = value else { return Err(expected(path, "an object", value)) };
    match fields.keys().find(|name| OURS.contains(&name.as_str())) {
        Some(name) => Err(Error::config([path, ".", name].concat(), "is what the agent writes itself")),
        None => Ok(fields.clone()),
    }
}

/// Reads prices, which are given for a million tokens.
fn prices(value: &Value, path: &str) -> Result<Prices> {
    let mut fields = Fields::open(value, path)?;
    let mut price = |name| match fields.number(name)? {
        // A price of 1 for a million tokens is 1,000 billionths for one.
        Some(price) if (0.0..1e9).contains(&price) => Ok(Some((price * 1000.0 + 0.5) as u64)),
        Some(_) => Err(Error::config([path, ".", name].concat(), "must not be negative")),
        None => Ok(None),
    };
    let (input, output) = (price("input")?.unwrap_or(0), price("output")?.unwrap_or(0));
    let (cache_read, cache_write) = (price("cacheRead")?.unwrap_or(input), price("cacheWrite")?.unwrap_or(input));
    fields.finish()?;
    Ok(Prices { input, output, cache_read, cache_write })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_a_model_and_trims_its_base_url() {
        let value = json!({ "provider": "openai", "id": "m", "baseUrl": "/llm/v1/", "apiKey": "sk-secret", "maxTokens": 100, "contextWindow": 8000 });
        let config = ModelConfig::read(&value, "model").unwrap();
        assert_eq!(config.context_window, Some(8000));
        assert_eq!((config.base_url.as_str(), config.max_tokens), ("/llm/v1", Some(100)));
        assert!(!format!("{config:?}").contains("sk-secret"));
    }

    #[test]
    fn further_fields_are_those_that_nobody_else_writes() {
        let read = |provider: &str, body: Value| {
            let value = json!({ "provider": provider, "id": "m", "body": body });
            ModelConfig::read(&value, "model").map(|config| config.body)
        };
        let thinks = json!({ "thinking": { "type": "adaptive" } });
        assert_eq!(read("anthropic", thinks.clone()).unwrap(), *thinks.as_object().unwrap());
        assert_eq!(read("openai", Value::Null).unwrap(), Map::new());
        for (provider, body, path) in [
            ("anthropic", json!({ "messages": [] }), "model.body.messages"),
            ("openai-responses", json!({ "a": 1, "tools": [] }), "model.body.tools"),
            ("openai", json!("no"), "model.body"),
            ("browser", thinks, "model.body"),
        ] {
            let mut value = json!({ "provider": provider, "id": "m", "body": body });
            if provider == "browser" {
                value["generate"] = json!({ "$function": 1 });
            }
            assert_eq!(ModelConfig::read(&value, "model").unwrap_err().path.as_deref(), Some(path));
        }
    }

    #[test]
    fn only_a_model_of_the_app_counts_by_itself() {
        let function = |number| json!({ "$function": number });
        let read = |value| ModelConfig::read(&value, "model").map(|config| config.count_tokens);
        let mine = read(json!({ "generate": function(1), "countTokens": function(2) }));
        assert_eq!(mine, Ok(Some(FunctionId(2))));
        assert_eq!(read(json!({ "generate": function(1) })), Ok(None));
        for other in [
            json!({ "provider": "anthropic", "id": "m", "countTokens": function(2) }),
            json!({ "generate": function(1), "countTokens": 2 }),
        ] {
            assert_eq!(read(other).unwrap_err().path.as_deref(), Some("model.countTokens"));
        }
    }

    #[test]
    fn threads_are_for_the_providers_that_have_them() {
        let read = |provider: &str| {
            let value = json!({ "provider": provider, "id": "m", "threads": true });
            ModelConfig::read(&value, "model").map(|config| config.threads)
        };
        assert_eq!((read("anthropic"), read("openai-responses")), (Ok(true), Ok(true)));
        assert_eq!(read("openai").unwrap_err().path.as_deref(), Some("model.threads"));
        assert!(!ModelConfig::read(&json!({ "provider": "anthropic", "id": "m" }), "model").unwrap().threads);
    }

    #[test]
    fn prices_are_for_a_million_tokens() {
        let value = json!({ "provider": "offline", "prices": { "input": 3, "output": 15.5, "cacheRead": 0.02 } });
        let prices = ModelConfig::read(&value, "model").unwrap().prices;
        assert_eq!(prices, Prices { input: 3_000, output: 15_500, cache_read: 20, cache_write: 3_000 });
        for (prices, path) in [(json!({ "input": -1 }), "model.prices.input"), (json!({ "in": 1 }), "model.prices.in")]
        {
            let value = json!({ "provider": "offline", "prices": prices });
            assert_eq!(ModelConfig::read(&value, "model").unwrap_err().path.as_deref(), Some(path));
        }
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
            let function = json!({ "$function": 7 });
            let mut model = json!({ "provider": name, "id": "m" });
            match provider {
                Provider::App | Provider::Browser => model["generate"] = function,
                Provider::WorkersAi => model["binding"] = function,
                _ => {}
            }
            let config = ModelConfig::read(&model, "model").unwrap();
            assert_eq!((config.provider, provider.as_str()), (provider, name));
            let base = match provider {
                Provider::Offline => "",
                Provider::App | Provider::Browser | Provider::WorkersAi => "transport:7",
                _ => "https://",
            };
            assert!(config.base_url.starts_with(base), "{}", config.base_url);
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let message = |value| ModelConfig::read(&value, "model").unwrap_err().message.clone();
        assert_eq!(
            message(json!({ "provider": "openia", "id": "m" })),
            "model.provider: unknown provider; known are anthropic, openai, openai-responses, gemini, offline, app, browser, workers-ai"
        );
        assert_eq!(message(json!({ "provider": "openai" })), "model.id: is required (a string)");
        assert_eq!(
            message(json!({ "provider": "offline", "baseURL": "x" })),
            "model.baseURL: unknown option; did you mean `baseUrl`?"
        );
    }
}
