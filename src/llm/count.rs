//! Counting the tokens of a request before it is sent: the request that asks a provider for it, and what it answers.
//!
//! ```text
//! anthropic          POST {baseUrl}/v1/messages/count_tokens             { "input_tokens": 12 }
//! openai-responses   POST {baseUrl}/responses/input_tokens               { "input_tokens": 12 }
//! openai             POST {baseUrl}/chat/completions/input_tokens        { "input_tokens": 12 }
//! gemini             POST {baseUrl}/v1beta/models/{id}:countTokens       { "totalTokens": 12 }
//! browser            measureContextUsage() of a session, by the shell    data: {"type":"usage","inputTokens":12}
//! app                countTokens() of the app, by the shell              { "inputTokens": 12 }
//! ```
//!
//! That of Chat Completions is llama.cpp's, so only servers on this computer are asked for it: elsewhere the path may lead to
//! whatever a proxy makes of it.

use serde_json::{Map, Value};

use super::config::{ModelConfig, Provider};
use super::decoder;
use super::dialect::host;
use super::failure::{Fault, Report};
use super::types::{Delta, Usage};
use crate::http::{Request, TRANSPORT};

/// What is asked for beside the input, none of which a counting endpoint takes.
const NO_INPUT: [&str; 8] = [
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "temperature",
    "stream",
    "stream_options",
    "store",
    "include",
];

/// What an app may have added that is counted, or changes the count.
const INPUT: [&str; 4] = ["thinking", "reasoning", "tool_choice", "text"];

/// The request that counts the tokens of `asked`, which an encoder of that model has written. `None` where nobody counts.
///
/// For the browser's model, `asked` has to be in its own words already (`prompt_api`).
pub fn request(config: &ModelConfig, mut asked: Request) -> Option<Request> {
    if let Some(function) = config.count_tokens {
        // It is asked what `generate` would be.
        asked.url = [TRANSPORT, &function.0.to_string()].concat();
        return Some(asked);
    }
    let Ok(Value::Object(mut body)) = serde_json::from_slice(asked.body.as_deref()?.as_bytes()) else { return None };
    let path = match config.provider {
        Provider::Anthropic => "/count_tokens",
        Provider::OpenAiResponses => "/input_tokens",
        Provider::OpenAi if matches!(host(&config.base_url), Some("localhost" | "127.0.0.1")) => "/input_tokens",
        Provider::Gemini => ":countTokens",
        Provider::Browser => "",
        _ => return None,
    };
    match config.provider {
        Provider::Gemini => {
            asked.url.truncate(asked.url.rfind(':')?);
            let folder = if config.id.contains('/') { "" } else { "models/" };
            body.insert("model".to_owned(), [folder, &config.id].concat().into());
            let mut outer = Map::new();
            outer.insert("generateContentRequest".to_owned(), Value::Object(body));
            body = outer;
        }
        Provider::Browser => {
            body.insert("count".to_owned(), true.into());
        }
        _ => {
            let more = config.body.keys().map(String::as_str).filter(|name| !INPUT.contains(name));
            for name in NO_INPUT.into_iter().chain(more) {
                body.remove(name);
            }
        }
    }
    asked.url.push_str(path);
    asked.body = Some(crate::json::text(&Value::Object(body)));
    Some(asked)
}

/// Reads the number, as usage. An answer without one ends without any.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    done: bool,
}

impl decoder::Stream for Stream {
    fn plain(&mut self, _: &str, _: &str, _: &mut Vec<Delta>) -> bool {
        false
    }

    fn event(&mut self, _: &str, mut value: Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if let Some(report) = Report::find(&mut value) {
            return Err(Fault::Reported(report));
        }
        let number = |name| value.get(name).and_then(Value::as_u64);
        let counted = number("input_tokens").or_else(|| number("totalTokens")).or_else(|| number("inputTokens"));
        out.extend(counted.map(|input_tokens| Delta::Usage(Usage { input_tokens, ..Usage::default() })));
        Ok(())
    }

    fn whole(&mut self, value: Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        self.done = true;
        self.event("", value, out)
    }

    fn close(&mut self, _: &mut Vec<Delta>) -> Result<(), Fault> {
        self.done = true;
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

#[cfg(test)]
#[path = "count_tests.rs"]
mod tests;
