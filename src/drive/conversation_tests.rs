//! Conversations in the simulator.

use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::join;
use serde_json::json;

use super::*;
use crate::agent::config::{AgentConfig, RunOptions};
use crate::drive::agent::Agent;
use crate::llm::types::Role;
use crate::options::FunctionId;
use crate::sim::{AppAnswer, SimPlatform};
use crate::time::Millis;

fn agent(sim: &SimPlatform) -> Agent<SimPlatform> {
    sim.function(FunctionId(4), |input, _| AppAnswer::value(Millis(3_000), json!({ "said": input["argument"] })));
    let tool = json!({
        "name": "shout", "description": "Shout a text", "execute": { "$function": 4 },
        "inputSchema": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
    });
    let options = json!({ "model": { "provider": "offline" }, "tools": [tool], "approval": "never" });
    Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap())
}

/// Says it, and gives the terminal event.
async fn say(agent: &Agent<SimPlatform>, id: &str, prompt: &str) -> Value {
    let (handle, driven) = agent.send(Some(id), prompt.into(), RunOptions::default()).unwrap();
    let (_, terminal) = join(driven, handle.terminal()).await;
    serde_json::from_str(&terminal).unwrap()
}

fn prompts(messages: &[Message]) -> Vec<String> {
    let prompts = messages.iter().filter(|message| message.role == Role::User);
    prompts.map(Message::text).filter(|text| !text.is_empty()).collect()
}

#[test]
fn the_same_id_later_is_the_same_history_and_events_tell_only_what_is_new() {
    let sim = SimPlatform::new(1);
    let first = agent(&sim);
    sim.run(async {
        say(&first, "c/1", "shout \"hello\"").await;
        let second = say(&first, "c/1", "What is 17 + 25?").await;
        assert_eq!(second["messages"][0]["content"][0]["text"], "What is 17 + 25?");
        say(&first, "c", "another one").await;
    });
    let keys: Vec<String> = sim.stored().into_keys().filter(|key| key.contains("c%2F1")).collect();
    assert_eq!(keys[0], "conversations/c%2F1/000000");
    // Two prompts, two answers, a call and its result.
    assert_eq!(keys.len(), 7, "{keys:?}");
    let second = agent(&sim.tab());
    sim.run(async {
        let messages = second.messages("c/1").await.unwrap();
        assert_eq!(prompts(&messages), ["shout \"hello\"", "What is 17 + 25?"]);
        assert_eq!(messages, first.messages("c/1").await.unwrap());
        say(&second, "c/1", "third").await;
        assert_eq!(prompts(&first.messages("c/1").await.unwrap()).len(), 3, "another tab has said something");
        first.clear_conversation("c/1", &Cancel::new()).await.unwrap();
        assert_eq!(second.messages("c/1").await.unwrap(), []);
        say(&second, "c/1", "anew").await;
        assert_eq!(prompts(&first.messages("c/1").await.unwrap()), ["anew"]);
        assert_eq!(prompts(&first.messages("c").await.unwrap()), ["another one"]);
    });
    assert_eq!(first.messages("").now_or_never().unwrap().unwrap_err().path.as_deref(), Some("id"));
}

#[test]
fn runs_of_a_conversation_come_one_after_the_other() {
    let sim = SimPlatform::new(1);
    let (here, there) = (agent(&sim), agent(&sim.tab()));
    sim.run(async {
        let (one, two) = (say(&here, "c", "shout \"one\""), say(&here, "c", "shout \"two\""));
        let three = say(&there, "c", "shout \"three\"");
        futures_util::future::join3(one, two, three).await;
        let messages = here.messages("c").await.unwrap();
        // Each has taken its three seconds alone: prompt, call, result, answer.
        assert!(sim.elapsed().0 >= 9_000, "{:?}", sim.elapsed());
        assert_eq!(messages.len(), 12);
        let said = prompts(&messages);
        assert!(said.iter().position(|text| text.contains("one")) < said.iter().position(|text| text.contains("two")));
        assert_eq!(messages, there.messages("c").await.unwrap());
    });
}

#[test]
fn a_run_that_is_cancelled_in_line_holds_nobody_and_says_nothing() {
    let sim = SimPlatform::new(1);
    let agent = agent(&sim);
    sim.run(async {
        let (first, driven) = agent.send(Some("c"), "shout \"one\"".into(), RunOptions::default()).unwrap();
        let (second, also) = agent.send(Some("c"), "shout \"two\"".into(), RunOptions::default()).unwrap();
        let third = say(&agent, "c", "hello");
        let user = async {
            sim.sleep(Millis(1_000)).await;
            second.cancel();
            let terminal: Value = serde_json::from_str(&second.terminal().await).unwrap();
            assert_eq!((&terminal["error"]["code"], sim.elapsed().0), (&json!("cancelled"), 1_000));
            // It has not begun, so that the first one goes on.
            assert!(first.terminal().now_or_never().is_none());
        };
        futures_util::future::join4(driven, also, third, user).await;
        assert_eq!(prompts(&agent.messages("c").await.unwrap()), ["shout \"one\"", "hello"]);
    });
}

#[test]
fn what_was_settled_is_kept_when_the_tab_goes() {
    let sim = SimPlatform::new(1);
    let here = agent(&sim);
    let (_, driven) = here.send(Some("c"), "shout \"one\"".into(), RunOptions::default()).unwrap();
    sim.spawn("run", driven);
    sim.block_on(sim.sleep(Millis(1_000))).unwrap();
    let there = agent(&sim.tab());
    let now = || sim.block_on(there.messages("c")).unwrap().unwrap();
    assert_eq!(now(), [], "no turn is settled");
    // The call is done; the model is asked again, and then the tab is gone.
    while now().is_empty() && !sim.tasks().is_empty() {
        sim.block_on(sim.sleep(Millis(1))).unwrap();
    }
    sim.drop_tasks();
    let messages = now();
    assert!(messages.len() >= 3 && messages[2].role == Role::User, "{messages:?}");
}

#[test]
fn a_broken_record_takes_with_it_what_cannot_stand_alone() {
    let sim = SimPlatform::new(1);
    sim.run(async { say(&agent(&sim), "c", "shout \"one\"").await });
    sim.run(async { say(&agent(&sim), "c", "What is 1 + 2?").await });
    let all = sim.run(agent(&sim.tab()).messages("c")).unwrap();
    assert_eq!(all.len(), 6);
    // The result of the call: its call cannot be sent either.
    sim.set_record("v/conversations/c/000002", Some(b"rot".to_vec()));
    let messages = sim.run(agent(&sim.tab()).messages("c")).unwrap();
    assert_eq!(messages, [all[0].clone(), all[3].clone(), all[4].clone(), all[5].clone()]);
    // The head: everything is still found.
    sim.set_record("v/conversations/c/head", Some(b"rot".to_vec()));
    assert_eq!(sim.run(agent(&sim.tab()).messages("c")).unwrap(), messages);
    sim.run(async { say(&agent(&sim.tab()), "c", "third").await });
    assert_eq!(prompts(&sim.run(agent(&sim.tab()).messages("c")).unwrap()).len(), 3);
    assert!(sim.stored().contains_key("conversations/c/000007"));
}

#[test]
fn a_store_that_takes_nothing_stops_no_conversation() {
    let sim = SimPlatform::new(1);
    sim.set_store_gone(true);
    let agent = agent(&sim);
    sim.run(async {
        say(&agent, "c", "one").await;
        assert_eq!(say(&agent, "c", "two").await["type"], "done");
        assert_eq!(prompts(&agent.messages("c").await.unwrap()), ["one", "two"]);
    });
}

#[test]
fn what_a_slow_store_did_not_take_in_time_is_stored_with_the_next_turn() {
    let sim = SimPlatform::new(1);
    let here = agent(&sim);
    sim.run(async {
        say(&here, "c", "shout \"one\"").await;
        sim.set_store_slow(Millis(6_000));
        say(&here, "c", "shout \"two\"").await;
        // Nor does a run wait for ever.
        assert!(sim.elapsed().0 < 60_000, "{:?}", sim.elapsed());
        sim.set_store_slow(Millis(0));
        say(&here, "c", "shout \"three\"").await;
        let there = agent(&sim.tab()).messages("c").await.unwrap();
        assert_eq!(there, here.messages("c").await.unwrap());
        assert_eq!(there.len(), 12);
    });
}

/// Removes that conversation, or all, at that poll of a run in it, with a store that takes so long for each thing; gives what
/// was removed and how, and whether it was while the run was under way.
fn removed_at(poll: u64, all: bool, slow: Millis) -> (SimPlatform, Agent<SimPlatform>, bool) {
    let sim = SimPlatform::new(poll);
    let agent = agent(&sim);
    sim.run(async {
        say(&agent, "c", "shout \"first\"").await;
        say(&agent, "d", "another one").await;
    });
    sim.set_store_slow(slow);
    sim.at_poll(sim.polls() + poll, {
        let (sim, agent) = (sim.clone(), agent.clone());
        move || {
            let world = sim.clone();
            sim.spawn("removal", async move {
                agent.forget_kept(Some("c").filter(|_| !all), None).await;
                world.note("removed");
            });
        }
    });
    let is_removed = || sim.log().iter().any(|line| line.ends_with("removed"));
    assert_eq!(sim.block_on(say(&agent, "c", "shout \"second\"")).unwrap()["type"], "done");
    let meanwhile = is_removed() || !sim.tasks().is_empty();
    // It may not even have begun.
    while !is_removed() {
        sim.block_on(sim.sleep(Millis(1))).unwrap();
    }
    (sim, agent, meanwhile)
}

#[test]
fn what_is_removed_stays_removed_whoever_is_in_it() {
    let mut seen = [0, 0, 0, 0];
    for (poll, slow, all) in
        (1..40).flat_map(|poll| [0, 7, 900].map(|slow| [(poll, slow, true), (poll, slow, false)])).flatten()
    {
        let (sim, agent, meanwhile) = removed_at(poll, all, Millis(slow));
        let said = sim.run(agent.messages("c")).unwrap();
        let kept = sim.stored().into_keys().filter(|key| key.starts_with("conversations/c/")).count();
        // Of a run that was in it nothing is left; one that entered after the removal is the first one.
        match prompts(&said).as_slice() {
            [] => assert_eq!(kept, 0, "poll {poll}, {slow} ms"),
            [second] if second == "shout \"second\"" => {
                assert_eq!((said.len(), kept), (4, 5), "poll {poll}, {slow} ms")
            }
            other => panic!("poll {poll}, {slow} ms: {other:?}"),
        }
        seen[2 * usize::from(said.is_empty()) + usize::from(meanwhile)] += 1;
        assert_eq!(prompts(&sim.run(agent.messages("d")).unwrap()).is_empty(), all);
        sim.run(say(&agent, "c", "third"));
        let after = sim.run(agent.messages("c")).unwrap();
        assert_eq!(after.len(), said.len() + 2);
    }
    let [never, anew, late, gone] = seen;
    assert!(never == 0 && anew > 0 && late > 0 && gone > 0, "{seen:?}");
}

#[test]
fn what_waits_for_room_is_told_and_is_removed_with_the_rest() {
    let sim = SimPlatform::new(1);
    let agent = agent(&sim);
    sim.run(say(&agent, "c", "hello"));
    let stored = sim.stored().len();
    sim.set_store_full(true);
    sim.run(say(&agent, "c", "hello again"));
    let waiting = sim.run(agent.waiting_writes());
    let keys: Vec<&str> = waiting.as_array().unwrap().iter().filter_map(|row| row["key"].as_str()).collect();
    assert!(keys.contains(&"c/000002") && keys.contains(&"c/head"), "{waiting}");
    assert!(waiting.as_array().unwrap().iter().all(|row| row["space"].is_string() && row["base64"].is_string()));
    sim.set_store_full(false);
    assert_eq!(sim.run(agent.waiting_writes()), json!([]), "there is room again");
    assert!(sim.stored().len() > stored);
    sim.set_store_full(true);
    sim.run(say(&agent, "c", "a third time"));
    sim.run(agent.forget_kept(None, None));
    sim.set_store_full(false);
    assert_eq!(sim.run(agent.waiting_writes()).to_string().matches("base64").count(), 0);
    assert_eq!(sim.stored().len(), 0);
}
