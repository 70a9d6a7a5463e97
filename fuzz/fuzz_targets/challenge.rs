//! `WWW-Authenticate`: total, bounded, and the same however often the field is sent.
#![no_main]

use edgewise::http::Headers;
use edgewise::mcp::oauth::{Challenge, Refusal};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let (forbidden, field) = (input.starts_with(' '), input);
    let challenges = Challenge::parse(field);
    assert!(challenges.len() <= 32);
    for challenge in &challenges {
        assert!(!challenge.scheme.is_empty());
        assert_eq!(challenge.scheme, challenge.scheme.to_ascii_lowercase());
    }
    let mut headers = Headers::new();
    headers.push("WWW-Authenticate", field);
    let refusal = Refusal::read(if forbidden { 403 } else { 401 }, &headers).expect("both statuses refuse");
    let bearer = challenges.iter().any(|challenge| ["bearer", "dpop"].contains(&challenge.scheme.as_str()));
    assert!(bearer || (refusal.error.is_none() && refusal.scopes.is_none() && refusal.resource_metadata.is_none()));
    assert!(refusal.scopes.iter().flatten().all(|scope| !scope.is_empty() && !scope.contains(' ')));
    assert_eq!(Refusal::read(200, &headers), None);
});
