//! What providers report as errors, and what that means for us.

use serde_json::Value;

use super::json;
use crate::error::{Code, Retry};
use crate::secret::Secret;

/// Most characters of a provider's own message that we repeat.
const SHOWN: usize = 300;

/// What a model wrote as a call is none, or of no tool that it was offered: by Groq's code for it. Asked again it may do better.
pub(super) const NO_CALL: &str = "tool_use_failed";

/// Why a wire cannot go on; the decoder adds who and what.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    /// The provider says so itself.
    Reported(Report),
    /// Well-formed JSON that makes no sense here.
    Malformed(&'static str),
    /// More parts than any honest answer has.
    TooMany(&'static str),
}

/// An error object of a provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Report {
    /// `type` or `code`, such as `overloaded_error`.
    pub(super) kind: String,
    /// The provider's words.
    pub(super) message: String,
    /// HTTP status, where the object carries one.
    pub(super) status: Option<u16>,
}

/// The object of an event, unless it tells of an error: by what it holds, or by the event's name, whatever its shape.
pub(super) fn told(name: &str, mut value: Value) -> Result<Value, Fault> {
    match Report::find(&mut value) {
        Some(report) => Err(Fault::Reported(report)),
        None if name == "error" => Err(Fault::Reported(Report::find_any(value))),
        None if !value.is_object() => Err(Fault::Malformed("an event that is no object")),
        None => Ok(value),
    }
}

impl Report {
    /// The error in a stream event or an answer with status 200; `None` when it holds none.
    ///
    /// Knows `error` as object and as string, and objects that are an error themselves (`object` or `type` is
    /// `error`).
    pub(super) fn find(value: &mut Value) -> Option<Report> {
        match value.get_mut("error") {
            Some(Value::String(text)) if !text.is_empty() => {
                return Some(Report { message: std::mem::take(text), ..Report::default() });
            }
            Some(error @ Value::Object(_)) => return Some(Report::read(error)),
            _ => {}
        }
        let names_error =
            |key: &str| value.get(key).and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("error"));
        (names_error("object") || names_error("type")).then(|| Report::read(value))
    }

    /// The error in something that is known to be one, in whatever shape.
    ///
    /// Also knows an array around it (Google), `detail` (FastAPI), and `errors` (Cloudflare).
    pub(super) fn find_any(mut value: Value) -> Report {
        if let Value::Array(items) = &mut value {
            value = items.first_mut().map(Value::take).unwrap_or_default();
        }
        if let Some(report) = Report::find(&mut value) {
            return report;
        }
        match value.get_mut("errors") {
            Some(Value::Array(errors)) if !errors.is_empty() => Report::read(&mut errors[0]),
            _ => Report::read(&mut value),
        }
    }

    fn read(error: &mut Value) -> Report {
        let number = error.get("code").or_else(|| error.get("status")).and_then(Value::as_u64);
        let status = number.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
        let kind = json::take(error, "type").filter(|kind| !kind.eq_ignore_ascii_case("error"));
        // Groq's word for calls that it could not read; its type says that the request is at fault, which it is not.
        let kind = kind.filter(|_| error.get("code").and_then(Value::as_str) != Some(NO_CALL));
        // OpenAI's `insufficient_quota` comes as both; elsewhere only one of these holds a word.
        let kind = kind.or_else(|| json::take(error, "code")).or_else(|| json::take(error, "status"));
        // llama.cpp tells its window beside the words.
        let window = error.get("n_ctx").and_then(Value::as_u64);
        let mut message = words(error).unwrap_or_default();
        if let Some(window) = window.filter(|_| !message.contains("(n_ctx ") && message.len() < SHOWN) {
            message += &[" (n_ctx ", &window.to_string(), ")"].concat();
        }
        Report { kind: kind.unwrap_or_default(), message, status }
    }

    /// What it means, when the HTTP status says nothing.
    ///
    /// Whatever is not known to be our own fault may be tried again: the request was accepted once.
    pub(super) fn verdict(&self) -> (Code, Retry) {
        let has = |word: &str| self.kind.contains(word);
        if has("insufficient_quota") {
            (Code::RateLimited, Retry::Never)
        } else if has("overloaded") || has("unavailable") || has("UNAVAILABLE") {
            (Code::Overloaded, Retry::Backoff)
        } else if has("rate_limit") || has("RESOURCE_EXHAUSTED") {
            (Code::RateLimited, Retry::Backoff)
        } else if has("authentication") || has("permission") || has("api_key") {
            (Code::AuthRequired, Retry::Never)
        } else if has("timeout") {
            (Code::Timeout, Retry::Backoff)
        } else if has("invalid")
            || has("not_found")
            || has("billing")
            || has("too_large")
            || has("context_length")
            || has("exceed_context")
        {
            (Code::Provider, Retry::Never)
        } else {
            self.status.map_or((Code::Provider, Retry::Backoff), verdict)
        }
    }
}

/// What an HTTP status other than 2xx means.
pub(super) fn verdict(status: u16) -> (Code, Retry) {
    match status {
        401 | 403 => (Code::AuthRequired, Retry::Never),
        408 | 504 => (Code::Timeout, Retry::Backoff),
        429 => (Code::RateLimited, Retry::Backoff),
        503 | 529 => (Code::Overloaded, Retry::Backoff),
        500..600 => (Code::Provider, Retry::Backoff),
        400..500 => (Code::Provider, Retry::Never),
        _ => (Code::Http, Retry::Never),
    }
}

/// The words of an error object: `message`, `msg`, `detail` or `error`, as text or one level deeper.
fn words(error: &mut Value) -> Option<String> {
    for _ in 0..4 {
        let key = ["message", "msg", "detail", "error"].into_iter().find(|key| error.get(key).is_some())?;
        if let Some(text) = json::take(error, key) {
            return Some(text);
        }
        let mut inner = error.get_mut(key)?.take();
        if let Value::Array(items) = &mut inner {
            inner = items.first_mut()?.take();
        }
        *error = inner;
    }
    None
}

/// A provider's text, fit to be shown: no secret of ours, one line, at most 300 characters.
///
/// The secrets go first: a key that the cut splits would no longer be found.
pub(super) fn shown(text: &str, secrets: &[Secret]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        // A header may hold a scheme before the token (`Bearer ...`), and words such as `true` are no secrets.
        let token = secret.reveal().rsplit(' ').next().unwrap_or("");
        if token.len() >= 6 {
            text = text.replace(token, "***");
        }
    }
    let mut out = String::new();
    for (at, char) in text.trim().chars().enumerate() {
        if at == SHOWN {
            out.push('…');
            break;
        }
        out.push(if char.is_control() { ' ' } else { char });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(mut value: Value) -> Option<(String, String, Option<u16>)> {
        Report::find(&mut value).map(|report| (report.kind, report.message, report.status))
    }

    fn any(value: Value) -> (String, String, Option<u16>) {
        let report = Report::find_any(value);
        (report.kind, report.message, report.status)
    }

    fn report(kind: &str, message: &str, status: Option<u16>) -> (String, String, Option<u16>) {
        (kind.into(), message.into(), status)
    }

    #[test]
    fn errors_of_every_shape() {
        let anthropic = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "busy" } });
        assert_eq!(found(anthropic), Some(report("overloaded_error", "busy", None)));
        let openai = json!({ "error": { "message": "bad", "type": "invalid_request_error", "code": null } });
        assert_eq!(found(openai), Some(report("invalid_request_error", "bad", None)));
        let openrouter = json!({ "error": { "code": 502, "message": "down" }, "choices": [] });
        assert_eq!(found(openrouter), Some(report("", "down", Some(502))));
        assert_eq!(found(json!({ "error": "broken" })), Some(report("", "broken", None)));
        let vllm = json!({ "object": "error", "message": "no", "type": "NotFoundError", "code": 404 });
        assert_eq!(found(vllm), Some(report("NotFoundError", "no", Some(404))));
        let llama = json!({ "error": { "code": 400, "message": "no room", "type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 4096 } });
        assert_eq!(found(llama), Some(report("exceed_context_size_error", "no room (n_ctx 4096)", Some(400))));
        assert_eq!(found(json!({ "error": null, "choices": [] })), None);
        assert_eq!(found(json!([1])), None);

        let google = json!([{ "error": { "code": 400, "message": "no", "status": "INVALID_ARGUMENT" } }]);
        assert_eq!(any(google), report("INVALID_ARGUMENT", "no", Some(400)));
        assert_eq!(any(json!({ "detail": "Not Found" })), report("", "Not Found", None));
        let mistral =
            json!({ "object": "error", "message": { "detail": [{ "type": "x", "msg": "extra" }] }, "type": "y" });
        assert_eq!(any(mistral), report("y", "extra", None));
        let cloudflare = json!({ "success": false, "errors": [{ "code": 7003, "message": "no route" }] });
        assert_eq!(any(cloudflare), report("", "no route", None));
        for odd in [json!(null), json!([]), json!("text"), json!({ "error": {} }), json!({ "message": [[]] })] {
            assert_eq!(any(odd), report("", "", None));
        }
    }

    #[test]
    fn verdicts_in_a_stream() {
        let of = |kind: &str, status| Report { kind: kind.into(), message: String::new(), status }.verdict();
        assert_eq!(of("overloaded_error", None), (Code::Overloaded, Retry::Backoff));
        assert_eq!(of("rate_limit_error", None), (Code::RateLimited, Retry::Backoff));
        assert_eq!(of("insufficient_quota", Some(429)), (Code::RateLimited, Retry::Never));
        assert_eq!(of("authentication_error", None), (Code::AuthRequired, Retry::Never));
        assert_eq!(of("invalid_request_error", None), (Code::Provider, Retry::Never));
        assert_eq!(of("api_error", None), (Code::Provider, Retry::Backoff));
        assert_eq!(of("", Some(503)), (Code::Overloaded, Retry::Backoff));
        assert_eq!(of("", None), (Code::Provider, Retry::Backoff));
    }

    #[test]
    fn shown_text_has_no_secret_even_at_the_cut() {
        let secrets = [Secret::new("sk-0123456789"), Secret::new("Bearer tok-999999"), Secret::new("true")];
        let text = shown("bad\nkey sk-0123456789, tok-999999, true", &secrets);
        assert_eq!(text, "bad key ***, ***, true");
        let long = "x".repeat(295) + "sk-0123456789 and more";
        let text = shown(&long, &secrets);
        assert!(text.ends_with("*** …") || text.ends_with('…'), "{text}");
        assert!(!text.contains("sk-"), "{text}");
        assert_eq!(text.chars().count(), 301);
    }
}
