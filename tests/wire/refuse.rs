//! Answers that are errors: the right code, the right advice, nothing secret.

use edgewise::error::{Code, Error, Retry};
use edgewise::http::Head;
use edgewise::llm::config::Provider;
use edgewise::time::Millis;

use crate::support::{KEY, Outcome, decode, every_way, head};

fn refused(provider: Provider, head: &Head, body: &str) -> Error {
    let Outcome { deltas, end } = every_way(provider, head, body.as_bytes());
    assert!(deltas.is_empty(), "{deltas:?}");
    end.unwrap_err()
}

fn status(status: u16, body: &str) -> Error {
    let error = refused(Provider::OpenAi, &head(status, "application/json"), body);
    assert_eq!(error.status, Some(status));
    error
}

#[test]
fn a_code_and_an_advice_for_every_status() {
    let cases = [
        (302, Code::Http, Retry::Never),
        (400, Code::Provider, Retry::Never),
        (401, Code::AuthRequired, Retry::Never),
        (403, Code::AuthRequired, Retry::Never),
        (404, Code::Provider, Retry::Never),
        (408, Code::Timeout, Retry::Backoff),
        (413, Code::Provider, Retry::Never),
        (429, Code::RateLimited, Retry::Backoff),
        (500, Code::Provider, Retry::Backoff),
        (502, Code::Provider, Retry::Backoff),
        (503, Code::Overloaded, Retry::Backoff),
        (504, Code::Timeout, Retry::Backoff),
        (529, Code::Overloaded, Retry::Backoff),
    ];
    for (number, code, retry) in cases {
        let error = status(number, r#"{"error":{"type":"some_error","message":"some words"}}"#);
        assert_eq!((error.code, error.retry), (code, retry), "{number}");
        let expected = format!("POST llm.test/base/chat/completions (model m1): {number}: some_error: some words");
        assert_eq!(error.message, expected);
    }
}

#[test]
fn the_providers_own_advice_counts() {
    let with = |name: &str, value: &str, body: &str| {
        let mut head = head(429, "application/json");
        head.headers.set(name, value);
        refused(Provider::OpenAi, &head, body).retry
    };
    assert_eq!(with("retry-after", "7", "{}"), Retry::After(Millis(7000)));
    assert_eq!(with("retry-after-ms", "70", "{}"), Retry::After(Millis(70)));
    assert_eq!(with("x-should-retry", "false", "{}"), Retry::Never);
    let no_money =
        r#"{"error":{"message":"Pay.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
    assert_eq!(with("retry-after", "7", no_money), Retry::Never);
    // Groq says "bad request" of what its model wrote: the model is asked again, and the run tells it the names.
    let no_call = r#"{"error":{"message":"attempted to call tool 'ad' which was not in request.tools","type":"invalid_request_error","code":"tool_use_failed"}}"#;
    let error = status(400, no_call);
    assert_eq!((error.code, error.retry), (Code::Provider, Retry::Backoff));
    // A bad request stays bad however long one waits.
    let mut bad = head(400, "application/json");
    bad.headers.set("retry-after", "7");
    assert_eq!(refused(Provider::OpenAi, &bad, "{}").retry, Retry::Never);
}

#[test]
fn bodies_of_every_kind() {
    let words = |media_type: &str, body: &str| {
        let message = refused(Provider::Anthropic, &head(500, media_type), body).message.clone();
        message.strip_prefix("POST llm.test/base/v1/messages (model m1): 500").unwrap().to_owned()
    };
    let anthropic = r#"{"type":"error","error":{"type":"api_error","message":"Internal"},"request_id":"r"}"#;
    assert_eq!(words("application/json", anthropic), ": api_error: Internal");
    assert_eq!(words("text/plain; charset=utf-8", "upstream\nreset"), ": upstream reset");
    assert_eq!(words("text/html", "<html>secret things</html>"), " (text/html, 26 bytes)");
    assert_eq!(words("application/json", "{\"error\":"), " (application/json, 9 bytes)");
    assert_eq!(words("", ""), " (no media type, 0 bytes)");
    assert_eq!(words("application/json", r#"{"unheard":"of"}"#), " (application/json, 16 bytes)");
}

#[test]
fn long_words_are_cut_and_keys_never_shown() {
    let body = format!(r#"{{"error":{{"type":"{KEY}","message":"{}{KEY}{}"}}}}"#, "x".repeat(290), "y".repeat(1000));
    let message = status(401, &body).message.clone();
    assert!(!message.contains(KEY) && !message.contains(&KEY[..8]), "{message}");
    assert!(message.contains(": ***: x") && message.ends_with('…'), "{message}");
    assert!(message.chars().count() < 400);
    assert!(!message.contains("pw@"), "the user of the URL is a secret too: {message}");
}

#[test]
fn an_endless_error_is_not_read_to_its_end() {
    let chunk = [b'x'; 1000];
    let outcome = decode(Provider::OpenAi, &head(500, "text/html"), std::iter::repeat_n(&chunk[..], 100));
    assert_eq!(outcome.end.unwrap_err().message.split(": ").nth(1), Some("500 (text/html, 65536 bytes)"));
}

#[test]
fn a_success_of_another_kind_is_named_not_shown() {
    for provider in [Provider::Anthropic, Provider::OpenAi, Provider::OpenAiResponses, Provider::Gemini] {
        let error = refused(provider, &head(200, "text/html; charset=utf-8"), "<html>captive portal</html>");
        assert_eq!((error.code, error.status), (Code::Protocol, Some(200)));
        let (_, what) = error.message.split_once("): ").unwrap();
        assert_eq!(what, "expected text/event-stream or application/json, got text/html (200)");
        let error = refused(provider, &head(200, ""), " <html></html>");
        assert!(error.message.ends_with("got markup (200)"), "{error}");
    }
}

#[test]
fn data_that_is_no_json_is_counted_not_shown() {
    for provider in [Provider::Anthropic, Provider::OpenAi, Provider::OpenAiResponses, Provider::Gemini] {
        let error = refused(provider, &head(200, "text/event-stream"), "data: {\"secret\": things}\n\n");
        assert_eq!(error.code, Code::Protocol);
        assert!(error.message.ends_with(": an event of 18 bytes that is no JSON"), "{error}");
        let error = refused(provider, &head(200, "application/json"), "{\"a\": things}");
        assert!(error.message.ends_with(": a JSON answer of 13 bytes that is no JSON"), "{error}");
        for odd in ["data: null\n\n", "data: 7\n\n", "data: []\n\n", "data: \"text\"\n\n"] {
            let error = refused(provider, &head(200, "text/event-stream"), odd);
            assert!(error.message.ends_with(": an event that is no object"), "{error}");
        }
        for odd in ["{}", "[]", "7", "{\"choices\":[],\"content\":7}"] {
            let error = refused(provider, &head(200, "application/json"), odd);
            assert!(error.message.contains(": a JSON answer without `"), "{error}");
        }
    }
}

#[test]
fn an_empty_answer_is_truncated() {
    for (media_type, body) in
        [("text/event-stream", ""), ("application/json", ""), ("", "\n\n"), ("text/event-stream", ": hi\n\n")]
    {
        let error = refused(Provider::OpenAi, &head(200, media_type), body);
        assert_eq!((error.code, error.retry), (Code::Truncated, Retry::Backoff), "{media_type}");
    }
}

#[test]
fn limits_of_an_answer() {
    let chunk = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "x".repeat(1 << 20));
    let sse = head(200, "text/event-stream");
    let outcome = decode(Provider::OpenAi, &sse, std::iter::repeat_n(chunk.as_bytes(), 70));
    let error = outcome.end.unwrap_err();
    assert_eq!((error.code, outcome.deltas.len()), (Code::Limit, 63), "{error}");
    let json = decode(Provider::OpenAi, &head(200, "application/json"), std::iter::repeat_n(chunk.as_bytes(), 70));
    assert_eq!(json.end.unwrap_err().code, Code::Limit);
    let event = decode(Provider::OpenAi, &sse, std::iter::repeat_n(&[b'x'; 1 << 16][..], 70));
    assert_eq!(event.end.unwrap_err().code, Code::Limit);
    let call = r#"{"function":{"name":"a","arguments":"{}"}},"#.repeat(300);
    let calls =
        format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{}]}}}}]}}\n\n", call.trim_end_matches(','));
    let calls = decode(Provider::OpenAi, &sse, [calls.as_bytes()]);
    assert_eq!(calls.end.unwrap_err().code, Code::Limit);
}
