//! Every finding, from made-up answers.

use super::*;

const PAGE: &str = "https://app.test";
const URL: &str = "https://mcp.test/mcp";

/// Plays a server: what it says to each probe. Gives the report and the names of the probes.
fn report(facts: Facts, say: impl Fn(&Probe) -> Value) -> (Value, Vec<String>) {
    let (mut facts, mut asked) = (facts, Vec::new());
    for _ in 0..20 {
        // By way of the text, as the part does it.
        let step: Value = serde_json::from_str(&answer(&facts.text()).unwrap()).unwrap();
        match next(&facts) {
            Step::Done(report) => {
                assert_eq!(step["done"], report);
                return (report, asked);
            }
            Step::Probe(probes) => {
                for probe in probes {
                    assert!(!facts.answers.contains_key(&probe.name), "{} again", probe.name);
                    facts.answers.insert(probe.name.clone(), say(&probe));
                    asked.push(probe.name);
                }
            }
        }
    }
    panic!("no end: {asked:?}");
}

fn codes(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

fn page() -> Facts {
    Facts::new(URL, Some(PAGE))
}

fn node() -> Facts {
    Facts::new(URL, None)
}

fn blocked() -> Value {
    json!({ "error": "TypeError: Failed to fetch", "maybeCors": true })
}

fn http(status: u16, media: &str, body: &str) -> Value {
    json!({ "status": status, "headers": { "content-type": media }, "body": body })
}

fn rpc(result: Value) -> Value {
    http(200, "application/json", &json!({ "jsonrpc": "2.0", "id": 1, "result": result }).to_string())
}

fn discovered() -> Value {
    rpc(json!({ "supportedVersions": ["2026-07-28"], "capabilities": {} }))
}

fn initialized() -> Value {
    rpc(json!({ "protocolVersion": "2025-06-18", "capabilities": {} }))
}

#[test]
fn a_good_server_takes_one_request() {
    let (found, asked) = report(page(), |_| discovered());
    assert_eq!((codes(&found), asked), (vec!["works"], vec!["discover".to_owned()]));
    assert_eq!((&found["usable"], &found["era"]), (&json!(true), &json!("modern")));
    let (found, _) = report(node(), |probe| match probe.name.as_str() {
        "initialize" => {
            let body = initialized()["body"].as_str().unwrap().to_owned();
            http(200, "text/event-stream", &["event: message\r\ndata: ", &body, "\r\n\r\n"].concat())
        }
        _ => http(
            400,
            "application/json",
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}"#,
        ),
    });
    assert_eq!((codes(&found), &found["era"]), (vec!["works"], &json!("legacy")));
}

#[test]
fn addresses_that_lead_nowhere() {
    let (found, asked) = report(Facts::new("http://mcp.test/mcp?key=1", Some(PAGE)), |_| blocked());
    assert_eq!((codes(&found), asked.len()), (vec!["mixed_content"], 0));
    assert_eq!(found["findings"][0]["fix"], "https://mcp.test/mcp");
    assert_eq!(codes(&report(Facts::new("http://localhost:3000/mcp", Some(PAGE)), |_| discovered()).0), ["works"]);
    assert_eq!(codes(&report(Facts::new("mcp.test", None), |_| blocked()).0), ["invalid_url"]);
    assert_eq!(codes(&report(page(), |_| blocked()).0), ["unreachable"]);
    let refused = json!({ "error": "TypeError: fetch failed (ECONNREFUSED)", "maybeCors": false });
    let (found, asked) = report(node(), |_| refused.clone());
    assert_eq!((codes(&found), asked.len()), (vec!["unreachable"], 1));
    assert!(found["findings"][0]["message"].as_str().unwrap().ends_with("(ECONNREFUSED)"));
}

#[test]
fn an_origin_that_is_not_let_in() {
    let (found, _) = report(page(), |probe| if probe.name == "reach" { http(0, "", "") } else { blocked() });
    assert_eq!(codes(&found), ["cors_origin"]);
    assert!(
        found["findings"][0]["fix"].as_str().unwrap().starts_with("Access-Control-Allow-Origin: https://app.test\n")
    );
}

/// A server that lets through only these headers.
fn behind(allowed: &[&str], probe: &Probe, answer: Value) -> Value {
    let safe = |name: &str, value: &str| name == "accept" || (name == "content-type" && value != "application/json");
    let good = probe.headers.iter().all(|(name, value)| safe(name, value) || allowed.contains(&name.as_str()));
    let own = probe.own.as_deref().is_none_or(|own| own == "*" || allowed.contains(&own));
    match probe.name.as_str() {
        "reach" => http(0, "", ""),
        _ if good && own => answer,
        _ => blocked(),
    }
}

#[test]
fn the_header_that_is_refused_is_named() {
    let modern = ["content-type", "mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id", "last-event-id"];
    for missing in ["content-type", "mcp-method", "mcp-protocol-version"] {
        let allowed: Vec<&str> = modern.into_iter().filter(|name| *name != missing).collect();
        let (found, _) = report(page(), |probe| match probe.name.as_str() {
            "initialize" => http(400, "application/json", r#"{"error":{"code":-32601,"message":"no"}}"#),
            _ => behind(&allowed, probe, discovered()),
        });
        assert_eq!(codes(&found), ["cors_header"], "{missing}");
        let finding = &found["findings"][0];
        assert!(finding["message"].as_str().unwrap().contains(&format!("the header {missing} is not")), "{finding}");
        assert_eq!((&finding["level"], &found["usable"]), (&json!("error"), &json!(false)));
    }
    let mut facts = page();
    facts.headers = vec!["authorization".into(), "x-team".into()];
    let mut allowed = modern.to_vec();
    allowed.push("authorization");
    let (found, _) = report(facts, |probe| {
        let answer = behind(&allowed, probe, discovered());
        // The app's own headers go along with this one.
        if probe.name == "discover" { blocked() } else { answer }
    });
    let finding = &found["findings"][0];
    assert!(finding["message"].as_str().unwrap().contains("the header x-team is not"), "{finding}");
    assert!(finding["fix"].as_str().unwrap().contains("last-event-id, x-team\n"), "{finding}");
}

#[test]
fn an_older_server_need_not_know_the_new_headers() {
    let allowed = ["content-type", "mcp-session-id", "mcp-protocol-version", "last-event-id"];
    let (found, _) = report(page(), |probe| {
        let answer = if probe.name == "list" { rpc(json!({ "tools": [] })) } else { initialized() };
        behind(&allowed, probe, answer)
    });
    assert_eq!((codes(&found), &found["usable"], &found["era"]), (vec!["works"], &json!(true), &json!("legacy")));
}

#[test]
fn a_session_that_pages_cannot_see() {
    let (found, _) = report(page(), |probe| match probe.name.as_str() {
        "initialize" => initialized(),
        _ => http(400, "application/json", r#"{"error":{"code":-32000,"message":"no session"}}"#),
    });
    assert_eq!((codes(&found), &found["usable"]), (vec!["session_hidden"], &json!(false)));
    assert!(found["findings"][0]["fix"].as_str().unwrap().contains("mcp-session-id"));
}

#[test]
fn what_is_no_mcp_server_is_told_apart() {
    let to_all = |status, media: &str, body: &str| {
        let answer = http(status, media, body);
        report(node(), |_| answer.clone()).0
    };
    assert_eq!(codes(&to_all(200, "text/html", "<!doctype html><title>x</title>")), ["html"]);
    assert_eq!(codes(&to_all(200, "", "")), ["empty"]);
    assert_eq!(codes(&to_all(404, "text/plain", "no")), ["not_found"]);
    assert_eq!(codes(&to_all(200, "application/json", r#"{"hello":1}"#)), ["not_mcp"]);
    assert_eq!(codes(&to_all(200, "text/plain", "hello")), ["not_mcp"]);
    assert_eq!(codes(&to_all(503, "text/plain", "")), ["server_error"]);
    assert_eq!(codes(&to_all(403, "text/plain", "")), ["forbidden"]);
    assert_eq!(
        codes(&to_all(400, "application/json", r#"{"error":{"code":-32602,"message":"bad\u202E"}}"#)),
        ["refused"]
    );
    let moved = json!({ "status": 307, "headers": { "location": "https://new.test/mcp?code=1" }, "body": "" });
    let (found, _) =
        report(node(), |probe| if probe.name == "simple" { moved.clone() } else { http(200, "text/html", "<p>") });
    assert_eq!((codes(&found), &found["findings"][0]["fix"]), (vec!["redirect"], &json!("https://new.test/mcp")));
    let (found, _) = report(node(), |probe| match probe.method {
        "GET" => http(200, "text/event-stream", "event: endpoint\ndata: /messages?session=1\n\n"),
        _ => http(405, "", ""),
    });
    assert_eq!((codes(&found), &found["usable"]), (vec!["old_transport"], &json!(true)));
    let (found, _) = report(node(), |_| rpc(json!({ "supportedVersions": ["2030-01-01"] })));
    assert_eq!((codes(&found), &found["usable"]), (vec!["revision"], &json!(false)));
}

#[test]
fn metadata_that_is_missing_or_inconsistent() {
    let resource = json!({ "resource": URL, "authorization_servers": ["https://as.test"] });
    let server = json!({
        "issuer": "https://as.test", "token_endpoint": "https://as.test/token", "code_challenge_methods_supported": ["S256"]
    });
    let with = |resource: Option<Value>, server: Option<Value>| {
        let (found, _) = report(node(), |probe| {
            let document = if probe.name.starts_with("resource ") { &resource } else { &server };
            match document {
                _ if probe.method == "POST" => http(401, "", ""),
                Some(document) => http(200, "application/json", &document.to_string()),
                None => http(404, "text/html", "<p>no"),
            }
        });
        assert_eq!(found["usable"], false);
        codes(&found).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut other = resource.clone();
    let mut none = resource.clone();
    other["resource"] = json!("https://other.test/mcp");
    none["authorization_servers"] = json!([]);
    assert_eq!(with(Some(resource.clone()), Some(server.clone())), ["sign_in"]);
    assert_eq!(with(Some(other), Some(server.clone())), ["resource_mismatch"]);
    assert_eq!(with(Some(none), Some(server.clone())), ["no_issuer"]);
    assert_eq!(with(Some(resource.clone()), None), ["no_server_metadata"]);
    assert_eq!(with(None, None), ["no_resource_metadata", "no_server_metadata"]);
    let (mut wrong, mut weak) = (server.clone(), server);
    wrong["issuer"] = json!("https://evil.test");
    weak["code_challenge_methods_supported"] = json!(["plain"]);
    assert_eq!(with(Some(resource.clone()), Some(wrong)), ["issuer_mismatch"]);
    assert_eq!(with(Some(resource), Some(weak)), ["no_pkce"]);
    let mut facts = page();
    facts.headers = vec!["authorization".into()];
    assert_eq!(codes(&report(facts, |_| http(401, "", "")).0), ["challenge_hidden", "token_refused"]);
}
