//! What providers say of a request that does not fit the model's window, and how large that is.
//!
//! There is no common code: OpenAI says `context_length_exceeded`, llama.cpp `exceed_context_size_error`, and most say it only
//! in words. Those, as far as they are known, of Anthropic, Amazon Bedrock, Google, xAI, Groq, Mistral, OpenRouter, vLLM, Ollama,
//! LM Studio and Workers AI are recognised; numbers are read where the words have them.

use crate::error::{Code, Error};

/// What a refusal that is one for the window's sake has in it, in small letters.
const SIGNS: [&str; 14] = [
    "context length",
    "context_length",
    "context window",
    "context_window",
    "context size",
    "context_size",
    "context limit",
    "prompt is too long",
    "input is too long",
    "input token count",
    "maximum prompt length",
    "reduce the length of the messages",
    "model token limit",
    "too many input tokens",
];

/// What stands before the size of the window.
const BEFORE: [&str; 12] = [
    "context length is ",
    "prompt length is ",
    "tokens allowed (",
    "context size (",
    "context size of ",
    "context length of ",
    "window limit (",
    "window of ",
    "token limit: ",
    "n_ctx ",
    "than the context length (",
    " > ",
];

/// What stands before the size of the request.
const ASKED: [&str; 8] = [
    "too long: ",
    "you requested ",
    "you requested about ",
    "messages resulted in ",
    "request contains ",
    "prompt contains ",
    "token count (",
    "request (",
];

/// A request was too long for its model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overflow {
    /// Tokens of the window, where that is told.
    pub(crate) window: Option<u64>,
    /// Tokens of the request, where that is told.
    pub(crate) asked: Option<u64>,
}

/// What a failed model call tells of the window; `None` when it failed for something else.
pub(crate) fn told(error: &Error) -> Option<Overflow> {
    if !matches!(error.code, Code::Provider | Code::Http | Code::Limit) {
        return None;
    }
    // The signs are ASCII, and the letters of all other scripts would be a table of 12 kB.
    let words = error.message.to_ascii_lowercase();
    if !SIGNS.iter().any(|sign| words.contains(sign)) {
        return None;
    }
    let find = |anchors: &[&str]| anchors.iter().find_map(|anchor| behind(&words, anchor));
    // "... too large for model with 32768 maximum context length"
    let before =
        words.split_once(" maximum context length").and_then(|(text, _)| text.rsplit(' ').next()).and_then(number);
    let (window, asked) = (find(&BEFORE).or(before), find(&ASKED));
    Some(Overflow { window, asked: asked.filter(|asked| window.is_none_or(|window| *asked > window)) })
}

/// The number right behind the first place where those words have one.
fn behind(words: &str, anchor: &str) -> Option<u64> {
    words.match_indices(anchor).find_map(|(at, _)| number(&words[at + anchor.len()..]))
}

/// The number that a text begins with. One of a few tokens is none of a window.
fn number(text: &str) -> Option<u64> {
    let mut number: u64 = 0;
    for char in text.chars() {
        match char.to_digit(10) {
            Some(digit) => number = number.checked_mul(10)?.checked_add(digit.into())?,
            None if char == ',' => {}
            None => break,
        }
    }
    (128..=1_000_000_000).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Option<(Option<u64>, Option<u64>)> {
        told(&Error::new(Code::Provider, words)).map(|Overflow { window, asked }| (window, asked))
    }

    #[test]
    fn what_providers_say_of_a_request_that_is_too_long() {
        for (words, window, asked) in [
            // Anthropic
            (
                "a: 400: invalid_request_error: prompt is too long: 213462 tokens > 200000 maximum",
                Some(200_000),
                Some(213_462),
            ),
            (
                "a: 400: invalid_request_error: input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, \
                 decrease input length or `max_tokens` and try again",
                Some(200_000),
                None,
            ),
            // OpenAI, Chat Completions and Responses
            (
                "o: 400: invalid_request_error: This model's maximum context length is 8192 tokens. However, your messages \
                 resulted in 8545 tokens. Please reduce the length of the messages.",
                Some(8_192),
                Some(8_545),
            ),
            (
                "o: 400: context_length_exceeded: Your input exceeds the context window of this model. Please adjust your input \
                 and try again.",
                None,
                None,
            ),
            // Google
            (
                "g: 400: INVALID_ARGUMENT: The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
                Some(1_048_576),
                Some(1_200_293),
            ),
            // llama.cpp, as it was and as it is; `n_ctx` is a member of its own
            (
                "l: 400: exceed_context_size_error: the request exceeds the available context size. try increasing the context \
                 size or enable context shift (n_ctx 8192)",
                Some(8_192),
                None,
            ),
            (
                "l: 400: exceed_context_size_error: request (14429 tokens) exceeds the available context size (8192 tokens), try \
                 increasing it",
                Some(8_192),
                Some(14_429),
            ),
            // vLLM
            (
                "v: 400: BadRequestError: This model's maximum context length is 4096 tokens. However, you requested 5000 tokens \
                 (4800 in the messages, 200 in the completion). Please reduce the length of the messages or completion.",
                Some(4_096),
                Some(5_000),
            ),
            // OpenRouter
            (
                "r: 400: This endpoint's maximum context length is 131,072 tokens. However, you requested about 140,000 tokens \
                 (132,000 of text input, 8,000 in the output).",
                Some(131_072),
                Some(140_000),
            ),
            // Groq
            ("q: 400: context_length_exceeded: Please reduce the length of the messages or completion.", None, None),
            // xAI
            (
                "x: 400: This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
                Some(131_072),
                Some(537_812),
            ),
            // Mistral
            (
                "m: 400: invalid_request_error: Prompt contains 34567 tokens and 0 draft tokens, too large for model with 32768 \
                 maximum context length",
                Some(32_768),
                Some(34_567),
            ),
            // Ollama
            ("ol: 400: the input length exceeds the context length", None, None),
            // LM Studio
            (
                "lm: 400: The number of tokens to keep from the initial prompt is greater than the context length (n_keep: 5000>= \
                 n_ctx: 4096).",
                None,
                None,
            ),
            // Workers AI
            (
                "w: 413: The estimated number of input and maximum output tokens (9000) exceeded this model context window limit \
                 (8000).",
                Some(8_000),
                None,
            ),
        ] {
            assert_eq!(of(words), Some((window, asked)), "{words}");
        }
    }

    #[test]
    fn what_has_another_reason_is_left_alone() {
        for words in [
            "o: 400: invalid_request_error: messages[2].content: field required",
            "o: 400: max_tokens: must be less than 8192",
            "o: 500: internal error",
            "o: 400: no text here is too long for the tool name",
        ] {
            assert_eq!(of(words), None, "{words}");
        }
        // What is said of rates is about many requests.
        let words = "q: 429: rate_limit_exceeded: tokens per minute, reduce the length of the messages";
        assert_eq!(told(&Error::new(Code::RateLimited, words)), None);
        assert_eq!(of("context length is 99999999999999999999999"), Some((None, None)));
    }
}
