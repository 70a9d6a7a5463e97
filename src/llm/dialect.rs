//! Where the dialects of the Chat Completions wire contradict each other.
//!
//! Reading is tolerant of all of them at once. For what is sent that is impossible: some servers refuse the very
//! field that others demand.

use super::config::{ModelConfig, Provider};

/// Whose rules a request follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAI itself and Azure: reasoning models refuse `max_tokens` and want `max_completion_tokens`.
    OpenAi,
    /// Mistral: refuses `stream_options` (422) and sends the usage unasked. Also refuses what [`is_strict`] says.
    Mistral,
    /// DeepSeek and Moonshot: refuse a history (400) whose tool calls come without their `reasoning_content`.
    Reasoning,
    /// Workers AI: refuses `content: null`.
    WorkersAi,
    /// All others: know `max_tokens` and not always its successor; may refuse unknown fields in messages.
    Common,
}

impl Dialect {
    /// Goes by the host. A relative base URL is a proxy of the app's own, so there the model's name must do.
    pub(super) fn of(config: &ModelConfig) -> Dialect {
        if config.provider == Provider::WorkersAi {
            return Dialect::WorkersAi;
        }
        let known: &[(&str, Dialect)] = match host(&config.base_url) {
            Some(_) => &[
                ("api.openai.com", Dialect::OpenAi),
                (".openai.azure.com", Dialect::OpenAi),
                (".mistral.ai", Dialect::Mistral),
                (".deepseek.com", Dialect::Reasoning),
                (".moonshot.ai", Dialect::Reasoning),
                (".moonshot.cn", Dialect::Reasoning),
                ("api.cloudflare.com", Dialect::WorkersAi),
            ],
            None => &[
                ("gpt-", Dialect::OpenAi),
                ("o1", Dialect::OpenAi),
                ("o3", Dialect::OpenAi),
                ("o4", Dialect::OpenAi),
                ("mistral-", Dialect::Mistral),
                ("ministral-", Dialect::Mistral),
                ("magistral-", Dialect::Mistral),
                ("codestral-", Dialect::Mistral),
                ("devstral-", Dialect::Mistral),
                ("deepseek-", Dialect::Reasoning),
                ("kimi-", Dialect::Reasoning),
            ],
        };
        let found = known.iter().find(|(name, _)| match host(&config.base_url) {
            Some(host) => host.ends_with(name),
            None => config.id.starts_with(name),
        });
        found.map_or(Dialect::Common, |(_, dialect)| *dialect)
    }
}

/// Whether the model's own format of conversations is as strict as Mistral's: a message of the user right behind results is
/// refused (code 3230), and so is an id of a call that has not nine letters and digits (3280). Others serve these models too.
pub(super) fn is_strict(config: &ModelConfig) -> bool {
    let id = config.id.to_ascii_lowercase();
    Dialect::of(config) == Dialect::Mistral
        || ["mistral", "mixtral", "magistral", "codestral", "devstral", "pixtral", "voxtral"]
            .iter()
            .any(|name| id.contains(name))
}

/// Whose reasoning goes back beside calls, and how, besides [`Dialect::Reasoning`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nobody asks for it; what came with a call goes back with it.
    None,
    /// OpenRouter: as it came.
    Details,
    /// Gemini 3, compatible: a call that it did not make wants a signature, too.
    Demanded,
}

impl Proof {
    /// Goes by the host; behind a proxy of the app's own only models of OpenRouter have names with a slash.
    pub(super) fn of(config: &ModelConfig) -> Proof {
        match host(&config.base_url) {
            Some("openrouter.ai") => Proof::Details,
            None if config.provider == Provider::OpenAi && config.id.contains('/') => Proof::Details,
            Some(host) if host.ends_with(".googleapis.com") && config.id.contains("gemini-3") => Proof::Demanded,
            _ => Proof::None,
        }
    }
}

/// The field that has a server go on with the last message in place of answering it; `None` where it cannot.
///
/// Mistral and Moonshot want it said. OpenRouter and the servers of people's own computers (Ollama, llama.cpp, LM
/// Studio) do so by themselves when the last message is the model's; vLLM there, which does not, repeats the answer.
pub(super) fn prefill(config: &ModelConfig) -> Option<&'static str> {
    if config.provider != Provider::OpenAi {
        return None;
    }
    match host(&config.base_url)? {
        host if host.ends_with(".mistral.ai") => Some(r#","prefix":true"#),
        host if host.ends_with(".moonshot.ai") || host.ends_with(".moonshot.cn") => Some(r#","partial":true"#),
        "openrouter.ai" | "localhost" | "127.0.0.1" => Some(""),
        _ => None,
    }
}

/// Host and path of a URL, for messages: no scheme, no user, no query, which may be secrets.
pub(super) fn place(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let url = &url[..end];
    let Some((_, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    [authority.rsplit('@').next().unwrap_or(""), path].concat()
}

/// Host without port; `None` for a relative URL.
pub(super) fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit('@').next()?.split(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_decide_and_names_stand_in_behind_a_proxy() {
        let of = |base_url: &str, id: &str| {
            let config = ModelConfig { base_url: base_url.into(), id: id.into(), ..ModelConfig::offline() };
            Dialect::of(&ModelConfig { provider: Provider::OpenAi, ..config })
        };
        assert_eq!(of("https://api.openai.com/v1", "x"), Dialect::OpenAi);
        assert_eq!(of("https://me.openai.azure.com:443/openai", "x"), Dialect::OpenAi);
        assert_eq!(of("https://api.mistral.ai/v1", "x"), Dialect::Mistral);
        assert_eq!(of("https://api.deepseek.com", "x"), Dialect::Reasoning);
        assert_eq!(of("http://localhost:11434/v1", "mistral-small"), Dialect::Common);
        assert_eq!(of("https://evil.test/api.openai.com", "gpt-5"), Dialect::Common);
        assert_eq!(of("/llm/v1", "gpt-5"), Dialect::OpenAi);
        assert_eq!(of("/llm/v1", "kimi-k2"), Dialect::Reasoning);
        assert_eq!(of("/llm/v1", "llama"), Dialect::Common);
    }

    #[test]
    fn who_goes_on_with_an_answer_is_known_by_the_host() {
        let of = |provider, base_url: &str| {
            prefill(&ModelConfig { provider, base_url: base_url.into(), ..ModelConfig::offline() })
        };
        assert_eq!(of(Provider::OpenAi, "https://api.mistral.ai/v1"), Some(r#","prefix":true"#));
        assert_eq!(of(Provider::OpenAi, "http://localhost:11434/v1"), Some(""));
        for base in ["https://api.openai.com/v1", "https://x.test/localhost", "/llm/v1"] {
            assert_eq!(of(Provider::OpenAi, base), None, "{base}");
        }
        assert_eq!(of(Provider::Anthropic, "http://localhost:8080"), None);
    }

    #[test]
    fn places_hide_what_may_be_secret() {
        assert_eq!(place("https://me:pw@h.test:8080/v1/x?key=s#f"), "h.test:8080/v1/x");
        assert_eq!(place("https://h.test?key=s"), "h.test");
        assert_eq!(place("/llm/v1/messages?key=s"), "/llm/v1/messages");
    }
}
