//! The documents of authorization: whatever they say, the flow ends, never leaves TLS, and gives its secrets to nobody but
//! the issuer that it checked.
#![no_main]

use edgewise::mcp::oauth::{Fact, Flow, Known, OauthConfig, Refusal, Step, Url};
use edgewise::time::UnixMillis;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const SERVER: &str = "https://mcp.test/v1/mcp";

// A letter for the kind of flow, then answers: a letter for the status and a document each, a NUL between them.
fuzz_target!(|input: &[u8]| {
    let Some((kind, answers)) = input.split_first() else { return };
    let with_secret = kind % 2 == 1;
    let options = if with_secret {
        json!({ "grant": "client_credentials", "clientId": "c", "clientSecret": "s3cret", "issuer": "https://as.test" })
    } else {
        json!({ "authorize": { "$function": 0 }, "redirectUrl": "https://app.test/cb" })
    };
    let config = OauthConfig::read(&options, "oauth").expect("the options are good");
    let server = Url::parse(SERVER).expect("the URL is good");
    let refusal = Refusal { status: 401, ..Refusal::default() };
    let mut flow = Flow::new(&config, "calc", &server, &refusal, Known::default(), [7; 48]);
    let mut answers = answers.split(|byte| *byte == 0);
    let mut documents = Vec::new();
    let mut steps = 0;
    loop {
        steps += 1;
        assert!(steps < 64, "a flow ends");
        let now = UnixMillis(1_000_000);
        match flow.next() {
            Step::Fetch(request) => {
                assert!(is_tls(&request.url), "{}", request.url);
                let says_secret = format!("{:?}{:?}", request.body, request.headers.get("authorization"));
                // Basic credentials of `c:s3cret`, or the form field: to nobody but whom the issuer names.
                if with_secret && (says_secret.contains("s3cret") || says_secret.contains("YzpzM2NyZXQ")) {
                    let named = |document: &Value| {
                        document["issuer"] == "https://as.test" && document["token_endpoint"] == request.url.as_str()
                    };
                    assert!(documents.iter().any(named), "{}", request.url);
                }
                match answers.next().and_then(<[u8]>::split_first) {
                    None => flow.apply(Fact::NoAnswer { maybe_cors: false }, now),
                    Some((status, body)) => {
                        let status = [200, 201, 400, 404][usize::from(status % 4)];
                        documents.extend(serde_json::from_slice::<Value>(body));
                        flow.apply(Fact::Answer { status, body, nonce: None }, now);
                    }
                }
            }
            Step::Authorize { url, state } => {
                assert!(is_tls(url), "{url}");
                let callback = format!("https://app.test/cb?code=c0de&state={state}");
                flow.apply(Fact::Redirected(&callback), now);
            }
            Step::Ask(_) | Step::Sign { .. } => flow.apply(Fact::Declined, now),
            Step::Done(tokens) => {
                assert!(!tokens.access.reveal().is_empty());
                assert!(server_is_covered(&tokens.resource));
                return;
            }
            Step::Failed(error) => {
                assert!(error.message.len() < 2_000);
                assert!(!error.message.contains("s3cret") && !error.message.contains("c0de"));
                return;
            }
        }
    }
});

fn is_tls(url: &str) -> bool {
    url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

fn server_is_covered(resource: &str) -> bool {
    let server = Url::parse(SERVER).expect("the URL is good");
    Url::parse(resource).is_some_and(|resource| resource.covers(&server))
}
