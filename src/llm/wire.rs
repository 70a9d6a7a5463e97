//! One face for all wires: [`Encoder`] writes requests, [`Decoder`] reads answers.
//!
//! Both are pure: bytes and plain data in, bytes and plain data out. An encoder lives as long as its run, a decoder
//! as long as one answer.
//!
//! ```text
//! Message ---push---> Encoder ---request---> http::Request ~~~ fetch ~~~> Head + bytes
//!                                                                           |
//! Turn <---apply--- Delta <------------------- Decoder <------feed----------+
//! ```

use super::config::{ModelConfig, Provider};
use super::dialect::{place, prefill};
use super::json;

pub use super::decoder::Decoder;
pub use super::encoder::Encoder;

/// Most tool calls of one answer; no honest model comes near.
pub(super) const MAX_CALLS: u32 = 256;
pub(super) const TOO_MANY_CALLS: &str = "more than 256 tool calls in one answer";

/// Where the requests go.
pub(super) fn url(config: &ModelConfig) -> String {
    let base = &config.base_url;
    match config.provider {
        Provider::Anthropic => [base, "/v1/messages"].concat(),
        Provider::OpenAiResponses => [base, "/responses"].concat(),
        Provider::Gemini => {
            // Tuned models bring a folder of their own.
            let folder = if config.id.contains('/') { "/v1beta/" } else { "/v1beta/models/" };
            [base, folder, &config.id, ":streamGenerateContent?alt=sse"].concat()
        }
        Provider::App | Provider::Browser | Provider::WorkersAi => base.clone(),
        _ => [base, "/chat/completions"].concat(),
    }
}

/// What messages call a model call: `POST host/path (model id)`. No query, no user, no key.
pub fn label(config: &ModelConfig) -> String {
    label_at(config, &url(config))
}

/// The same of a request to another URL of the provider.
pub fn label_at(config: &ModelConfig, url: &str) -> String {
    let place = match config.provider {
        Provider::App if url != config.base_url => "countTokens()".to_owned(),
        Provider::App => "generate()".to_owned(),
        Provider::Browser => "the browser's model".to_owned(),
        Provider::WorkersAi => "binding.run()".to_owned(),
        _ => ["POST ", &place(url)].concat(),
    };
    [&place, " (model ", &config.id, ")"].concat()
}

/// Whether the wire lets a model go on right behind the beginning of an answer.
pub fn goes_on(config: &ModelConfig) -> bool {
    prefill(config).is_some()
}

/// Arguments that were no JSON object, for the history: an object that shows the model what it wrote.
///
/// Not the text itself: Anthropic takes only objects, and llama.cpp and vLLM parse the arguments of a history for
/// their chat templates, so one slip of the model would make every later request fail.
pub(super) fn invalid_input(text: &str) -> String {
    let mut out = String::from("{");
    json::field(&mut out, "invalid_json", text);
    out.push('}');
    out
}

/// An id for a call that came without one: nine letters and digits, which is what Mistral demands of ids.
pub(super) fn made_up_id(index: u32) -> String {
    let digits = index.to_string();
    ["call", &"00000"[digits.len().min(5)..], &digits].concat()
}
