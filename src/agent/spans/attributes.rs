//! What the attributes are called, and the conventions' words for ours.

use serde_json::{Map, Value};

use super::Header;

/// Hosts of providers that speak another one's wire and have a name of their own in the conventions.
const HOSTS: [(&str, &str); 8] = [
    ("groq.com", "groq"),
    ("mistral.ai", "mistral_ai"),
    ("deepseek.com", "deepseek"),
    ("x.ai", "x_ai"),
    ("perplexity.ai", "perplexity"),
    ("cohere.com", "cohere"),
    ("openai.azure.com", "azure.ai.openai"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
];

/// Who gives the model, as far as the address tells.
pub(super) fn provider_name(header: &Header) -> &str {
    let host = server(&header.base_url).map(|(host, _)| host).unwrap_or_default();
    let is_of = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if let Some((_, name)) = HOSTS.iter().find(|(domain, _)| is_of(domain)) {
        return name;
    }
    match header.provider.as_str() {
        "openai-responses" => "openai",
        "gemini" => "gcp.gemini",
        "offline" => "edgewise",
        other => other,
    }
}

/// Host and port of a URL.
pub(super) fn server(url: &str) -> Option<(String, u64)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let standard = if scheme == "http" { 80 } else { 443 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(standard)),
        _ => (authority, standard),
    };
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

pub(super) fn chat_attributes(header: &Header) -> Map<String, Value> {
    let mut attributes = Map::new();
    let mut put = |name: &str, value: Value| attributes.insert(name.to_owned(), value);
    put("gen_ai.operation.name", "chat".into());
    put("gen_ai.provider.name", provider_name(header).into());
    put("gen_ai.request.model", header.model.as_str().into());
    put("gen_ai.request.stream", true.into());
    if let Some((host, port)) = server(&header.base_url) {
        put("server.address", host.into());
        put("server.port", port.into());
    }
    attributes
}

/// The name of the tool as its server knows it, and the attributes of its call.
pub(super) fn tool_attributes(
    name: &str,
    server: Option<&str>,
    id: &str,
    outcome: &str,
) -> (String, Map<String, Value>) {
    let own = server.and_then(|server| name.strip_prefix(server)?.strip_prefix('.')).unwrap_or(name);
    let mut attributes = Map::new();
    let mut put = |name: &str, value: &str| attributes.insert(name.to_owned(), value.into());
    put("gen_ai.operation.name", "execute_tool");
    put("gen_ai.tool.name", own);
    put("gen_ai.tool.call.id", id);
    put("edgewise.outcome", outcome);
    match server {
        Some(server) => {
            put("gen_ai.tool.type", "extension");
            put("mcp.method.name", "tools/call");
            put("edgewise.server", server);
        }
        None => {
            put("gen_ai.tool.type", "function");
        }
    }
    (own.to_owned(), attributes)
}

pub(super) fn usage_attributes(usage: Option<&Value>, attributes: &mut Map<String, Value>) {
    let Some(usage) = usage else { return };
    for (ours, theirs, always) in [
        ("inputTokens", "gen_ai.usage.input_tokens", true),
        ("outputTokens", "gen_ai.usage.output_tokens", true),
        ("cacheReadTokens", "gen_ai.usage.cache_read.input_tokens", false),
        ("cacheWriteTokens", "gen_ai.usage.cache_creation.input_tokens", false),
        ("reasoningTokens", "gen_ai.usage.reasoning.output_tokens", false),
    ] {
        let tokens = usage.get(ours).and_then(Value::as_u64).unwrap_or(0);
        if always || tokens > 0 {
            attributes.insert(theirs.to_owned(), tokens.into());
        }
    }
}

/// The conventions' word for why a model stopped; ours where they have none.
pub(super) fn finish_reason(ours: &str) -> &str {
    match ours {
        "end_turn" | "stop_sequence" => "stop",
        "tool_use" => "tool_call",
        "max_tokens" => "length",
        "refusal" => "content_filter",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let of = |url| server(url).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(of("https://API.openai.com/v1").as_deref(), Some("api.openai.com 443"));
        assert_eq!(of("http://localhost:11434/v1").as_deref(), Some("localhost 11434"));
        assert_eq!(of("http://[::1]/v1").as_deref(), Some("[::1] 80"));
        assert_eq!(of("http://[::1]:8080").as_deref(), Some("[::1] 8080"));
        assert_eq!(of("https://user:secret@a.test:1/x").as_deref(), Some("a.test 1"));
        assert_eq!((of("/llm"), of("")), (None, None));
    }

    #[test]
    fn providers() {
        let of = |provider: &str, url: &str| {
            let header = Header { provider: provider.into(), base_url: url.into(), ..Header::default() };
            provider_name(&header).to_owned()
        };
        assert_eq!(of("openai", "https://api.groq.com/openai/v1"), "groq");
        assert_eq!(of("openai", "https://x.ai/v1"), "x_ai");
        assert_eq!(of("openai", "https://notx.ai/v1"), "openai");
        assert_eq!(of("openai-responses", "/llm"), "openai");
        assert_eq!(of("anthropic", "https://api.anthropic.com"), "anthropic");
        assert_eq!(of("gemini", ""), "gcp.gemini");
    }
}
