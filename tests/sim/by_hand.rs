//! Stories that chance tells too seldom.

use std::cell::RefCell;
use std::rc::Rc;

use edgewise::agent::config::{AgentConfig, RunOptions};
use edgewise::drive::agent::Agent;
use edgewise::http::Request;
use edgewise::platform::Platform;
use edgewise::sim::{Answer, Peer, SimPlatform, Step};
use edgewise::time::Millis;
use serde_json::{Value, json};

const MODEL: &str = "https://model.test";

fn agent(sim: &SimPlatform, limits: Value) -> Agent<SimPlatform> {
    let model = json!({ "provider": "anthropic", "id": "m", "baseUrl": MODEL });
    let config = AgentConfig::read(&json!({ "model": model, "limits": limits })).unwrap();
    Agent::new(Rc::new(sim.clone()), config)
}

fn event(data: Value) -> Vec<u8> {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap()).into_bytes()
}

fn text_event(text: &str) -> Vec<u8> {
    let delta = json!({ "type": "text_delta", "text": text });
    event(json!({ "type": "content_block_delta", "index": 0, "delta": delta }))
}

/// The beginning of an answer, up to where text may come.
fn opening() -> Vec<u8> {
    let message = json!({ "role": "assistant", "content": [], "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let mut bytes = event(json!({ "type": "message_start", "message": message }));
    let block = json!({ "type": "text", "text": "" });
    bytes.extend(event(json!({ "type": "content_block_start", "index": 0, "content_block": block })));
    bytes
}

/// Starts a run that nobody reads unless the test does.
fn start(sim: &SimPlatform, agent: &Agent<SimPlatform>) -> edgewise::drive::handle::RunHandle {
    let (handle, driver) = agent.run("go".into(), RunOptions::default());
    sim.spawn("driver", driver);
    handle
}

fn terminal(sim: &SimPlatform, handle: &edgewise::drive::handle::RunHandle) -> Value {
    let text = sim.block_on(handle.terminal()).unwrap_or_else(|stuck| panic!("{stuck}\n{}", sim.report()));
    serde_json::from_str(&text).unwrap()
}

/// A page that stops reading, as `break` in `for await` does, leaves nothing behind once it has cancelled.
#[test]
fn a_reader_that_stops_in_the_middle_of_a_long_answer_and_cancels_leaves_nothing_open() {
    let sim = SimPlatform::new(1);
    sim.set_recut(false);
    sim.host(MODEL, |_: &Request, _: &mut Peer<'_>| {
        let piece = text_event(&"x".repeat(10_000));
        let pieces = (0..100).flat_map(|_| [Step::Bytes(piece.clone()), Step::Wait(Millis(10))]);
        Answer::events([Step::Bytes(opening())].into_iter().chain(pieces).chain([Step::Hang]).collect())
    });
    let agent = agent(&sim, json!({}));
    let handle = start(&sim, &agent);
    sim.block_on(async {
        handle.next_events().await.unwrap();
        // Nobody reads on: the run reads no further ahead than it may.
        sim.sleep(Millis(5_000)).await;
        handle.cancel();
        sim.sleep(Millis(5_000)).await;
    })
    .unwrap();
    assert_eq!(sim.leftovers(), "", "{}", sim.report());
}

/// Silence costs exactly the idle timeout, once per attempt, and the waits between the attempts.
#[test]
fn a_model_that_never_answers_is_given_up_after_the_idle_timeout() {
    for body in [None, Some(vec![Step::Hang]), Some(vec![Step::Bytes(b": hello\n\n".to_vec()), Step::Hang])] {
        let sim = SimPlatform::new(1);
        let asked = Rc::new(RefCell::new(Vec::new()));
        let times = asked.clone();
        sim.host(MODEL, move |_: &Request, peer: &mut Peer<'_>| {
            times.borrow_mut().push(peer.now.0);
            body.clone().map_or(Answer::Never, Answer::events)
        });
        let agent = agent(&sim, json!({ "turnTimeoutMs": 7_000, "maxAttempts": 2 }));
        let handle = start(&sim, &agent);
        let end = terminal(&sim, &handle);
        assert_eq!(end["error"]["code"], "timeout", "{end}");
        let asked = asked.borrow();
        assert_eq!(asked.len(), 2, "{}", sim.report());
        assert!((7_250..=7_550).contains(&asked[1]), "{asked:?}");
        assert!((7_000..=7_050).contains(&(sim.elapsed().0 - asked[1])), "{}", sim.report());
    }
}

/// Whatever comes starts the idle timeout anew, but no answer goes on for ever.
#[test]
fn a_slow_answer_may_take_its_time_up_to_the_hard_maximum() {
    for (pieces, ends) in [(15, true), (40, false)] {
        let sim = SimPlatform::new(1);
        sim.host(MODEL, move |_: &Request, _: &mut Peer<'_>| {
            let drip = (0..pieces).flat_map(|_| [Step::Wait(Millis(6_000)), Step::Bytes(text_event("drip "))]);
            let stop = [json!({ "type": "content_block_stop", "index": 0 }), json!({ "type": "message_stop" })];
            let end = stop.into_iter().map(|data| Step::Bytes(event(data)));
            Answer::events([Step::Bytes(opening())].into_iter().chain(drip).chain(end).collect())
        });
        let agent = agent(&sim, json!({ "turnTimeoutMs": 7_000, "turnMaxMs": 120_000 }));
        let handle = start(&sim, &agent);
        let end = terminal(&sim, &handle);
        if ends {
            assert_eq!(end["text"], "drip ".repeat(15), "{end}");
            assert!(sim.elapsed().0 >= 90_000);
            continue;
        }
        assert_eq!(end["error"]["code"], "timeout", "{end}");
        assert!(end["error"]["message"].as_str().unwrap().contains("limits.turnMaxMs"), "{end}");
        assert!((120_000..121_500).contains(&sim.elapsed().0), "{}", sim.report());
    }
}

/// The delay that the provider names is kept to the millisecond, whatever the clock shows.
#[test]
fn retry_after_is_kept_exactly() {
    for (name, value, delay) in [("retry-after", "3", 3_000), ("retry-after-ms", "1234", 1_234)] {
        let sim = SimPlatform::new(1);
        sim.set_clock(edgewise::sim::Clock::Still);
        let asked = Rc::new(RefCell::new(Vec::new()));
        let times = asked.clone();
        sim.host(MODEL, move |_: &Request, peer: &mut Peer<'_>| {
            times.borrow_mut().push(peer.now.0);
            Answer::text(429, "application/json", "{}").header(name, value)
        });
        let agent = agent(&sim, json!({ "maxAttempts": 3 }));
        let handle = start(&sim, &agent);
        assert_eq!(terminal(&sim, &handle)["error"]["code"], "rate_limited");
        assert_eq!(*asked.borrow(), [0, delay, 2 * delay]);
    }
}

/// An answer without a word is an answer; its text is not that of somebody else.
#[test]
fn an_empty_answer_ends_the_run_with_an_empty_text() {
    let sim = SimPlatform::new(1);
    sim.host(MODEL, |_: &Request, _: &mut Peer<'_>| {
        let message = json!({ "role": "assistant", "content": [], "usage": { "input_tokens": 1, "output_tokens": 1 } });
        let mut bytes = event(json!({ "type": "message_start", "message": message }));
        bytes.extend(event(json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" } })));
        bytes.extend(event(json!({ "type": "message_stop" })));
        Answer::events(vec![Step::Bytes(bytes)])
    });
    let agent = agent(&sim, json!({}));
    let handle = start(&sim, &agent);
    let end = terminal(&sim, &handle);
    assert_eq!((&end["type"], &end["text"]), (&json!("done"), &json!("")), "{end}");
}
