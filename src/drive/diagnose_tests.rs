//! The probes are sent as they are asked for, and nothing is left open.

use super::*;
use crate::sim::{Answer, Peer, SimPlatform, Step};

const ORIGIN: &str = "https://mcp.test";

fn run(sim: &SimPlatform, options: Value) -> Value {
    let patient = Patient::read(&options).unwrap();
    let found = sim.block_on(diagnose(sim, &patient, &Cancel::new())).unwrap().unwrap();
    assert_eq!(sim.leftovers(), "");
    found
}

fn options(more: Value) -> Value {
    let mut options = json!({ "url": format!("{ORIGIN}/mcp"), "page": "https://app.test" });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

fn broken() -> Answer {
    Answer::Broken { after: Millis(1), message: "TypeError: Failed to fetch".into() }
}

#[test]
fn a_refused_header_is_found_as_a_browser_would_refuse_it() {
    let sim = SimPlatform::new(1);
    sim.set_cors(true);
    sim.host(ORIGIN, |request: &Request, _: &mut Peer<'_>| {
        let body = r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}"#;
        match request.headers.get("mcp-method") {
            Some(_) => broken(),
            None if request.body.as_deref().is_some_and(|body| body.contains("initialize")) => {
                Answer::text(400, "", "")
            }
            None => Answer::text(200, "application/json", body),
        }
    });
    let found = run(&sim, options(json!({ "token": "s3cret", "headers": { "X-Team": "1" } })));
    assert_eq!(found["findings"][0]["code"], "cors_header");
    assert!(found["findings"][0]["message"].as_str().unwrap().contains("the header mcp-method is not"), "{found}");
    assert!(found["findings"][0]["fix"].as_str().unwrap().contains(", x-team\n"), "{found}");
    assert!(!found.to_string().contains("s3cret"));
}

#[test]
fn a_server_that_is_silent_or_never_ends_is_left() {
    let sim = SimPlatform::new(1);
    sim.host(ORIGIN, |_: &Request, _: &mut Peer<'_>| Answer::Never);
    let found = run(&sim, options(json!({ "timeoutMs": 3000 })));
    assert_eq!((&found["findings"][0]["code"], sim.elapsed()), (&json!("unreachable"), Millis(3000)));
    sim.host(ORIGIN, |request: &Request, _: &mut Peer<'_>| {
        let text: &[u8] = if request.method == Method::Get { b"event: endpoint\ndata: /m\n\n" } else { b"" };
        let answer = Answer::text(if request.method == Method::Get { 200 } else { 405 }, "text/event-stream", text);
        match answer {
            Answer::Head { after, head, mut body } => {
                body.push(Step::Hang);
                Answer::Head { after, head, body }
            }
            other => other,
        }
    });
    let found = run(&sim, options(json!({})));
    assert_eq!((&found["findings"][0]["code"], &found["usable"]), (&json!("old_transport"), &json!(true)));
}

#[test]
fn tokens_go_to_the_server_alone() {
    let sim = SimPlatform::new(1);
    sim.host(ORIGIN, |request: &Request, peer: &mut Peer<'_>| {
        if request.url.contains(".well-known") && request.headers.get("x-key").is_some() {
            peer.violation("a header of the app went along");
        }
        Answer::text(if request.method == Method::Post { 401 } else { 404 }, "text/html", "<p>")
    });
    let found = run(&sim, options(json!({ "headers": { "x-key": "1" } })));
    assert_eq!(found["findings"][1]["code"], "no_resource_metadata", "{found}");
    assert_eq!(sim.violations(), [""; 0]);
}

#[test]
fn a_cancel_ends_it_and_a_missing_part_is_an_error() {
    let sim = SimPlatform::new(1);
    sim.host(ORIGIN, |_: &Request, _: &mut Peer<'_>| Answer::Never);
    let patient = Patient::read(&options(json!({}))).unwrap();
    let cancel = Cancel::new();
    let outcome = sim.block_on(async {
        let stop = async {
            sim.sleep(Millis(5)).await;
            cancel.cancel();
        };
        futures_util::future::join(diagnose(&sim, &patient, &cancel), stop).await.0
    });
    assert_eq!(outcome.unwrap().unwrap_err().code, Code::Cancelled);
    assert_eq!(sim.leftovers(), "");
    sim.set_parts_missing(true);
    assert_eq!(sim.block_on(diagnose(&sim, &patient, &Cancel::new())).unwrap().unwrap_err().code, Code::Network);
    assert!(Patient::read(&json!({ "url": "" })).is_err());
    assert!(
        Patient::read(&json!({ "url": "/mcp", "tok": "x" })).unwrap_err().message.contains("did you mean `token`?")
    );
}
