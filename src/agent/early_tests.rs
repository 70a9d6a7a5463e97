//! Calls that begin while the answer is still coming, fact by fact.

use super::tests::Scenario;
use super::*;
use crate::agent::event::Outcome;
use crate::agent::recovery::{Ask, Candidate};
use crate::error::{Code, Error, Retry};
use crate::llm::types::Delta;

/// A call in the answer, complete or not.
fn call(index: u32, id: &str, name: &str, json: &str, ends: bool) -> Vec<Delta> {
    let mut deltas = vec![
        Delta::ToolStart { index, id: id.into(), name: ["s__", name].concat() },
        Delta::ToolInput { index, json: json.into() },
    ];
    deltas.extend(ends.then_some(Delta::ToolEnd { index }));
    deltas
}

fn says(scenario: &mut Scenario, parts: &[Vec<Delta>]) {
    scenario.apply(Fact::Deltas(parts.concat()));
}

fn ids(message: &Message) -> Vec<&str> {
    let ids = message.content.iter().filter_map(|block| match block {
        Block::ToolUse { id, .. } | Block::ToolResult { tool_use_id: id, .. } => Some(id.as_str()),
        _ => None,
    });
    ids.collect()
}

#[test]
fn a_complete_call_is_made_while_the_answer_goes_on_and_results_keep_their_order() {
    let mut scenario = Scenario::asking(Approval::Never);
    says(&mut scenario, &[call(0, "a", "read", "{}", true), call(1, "b", "write", r#"{"x":"#, false)]);
    assert_eq!(scenario.call_tool().id, "a");
    assert_eq!(scenario.next(), Step::Wait);
    scenario.ended("a");
    assert_eq!(scenario.next(), Step::Wait, "the answer is not complete");
    says(&mut scenario, &[vec![Delta::ToolInput { index: 1, json: "1}".into() }, Delta::ToolEnd { index: 1 }]]);
    assert_eq!(scenario.call_tool().id, "b");
    scenario.apply(Fact::ModelEnded);
    assert_eq!(scenario.next(), Step::Wait);
    scenario.ended("b");
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    let [_, asked, told] = scenario.run.messages() else { panic!("three messages") };
    assert_eq!((ids(asked), ids(told)), (vec!["a", "b"], vec!["a", "b"]));
    let expected =
        ["run_start", "turn_start", "tool_call", "tool_result", "tool_call", "tool_result", "turn_end", "turn_start"];
    assert_eq!(scenario.types(), expected);
}

#[test]
fn a_call_waits_for_those_before_it_and_for_a_name_that_is_known() {
    let mut scenario = Scenario::asking(Approval::Never);
    says(&mut scenario, &[call(0, "a", "read", "{}", false), call(1, "b", "read", "{}", true)]);
    assert_eq!(scenario.next(), Step::Wait);
    says(&mut scenario, &[vec![Delta::ToolEnd { index: 0 }]]);
    // The second one ended before, and is looked at again.
    assert_eq!((scenario.call_tool().id, scenario.call_tool().id), ("a".into(), "b".into()));
    for odd in [call(2, "c", "made_up", "{}", true), call(2, "c", "read", "[1]", true)] {
        let mut scenario = Scenario::asking(Approval::Never);
        says(&mut scenario, &[odd]);
        assert_eq!(scenario.next(), Step::Wait);
        assert_eq!(scenario.types(), ["run_start", "turn_start"]);
        scenario.apply(Fact::ModelEnded);
        assert_eq!(scenario.outcome("c").0, Outcome::Failed);
    }
}

#[test]
fn the_user_is_asked_before_the_answer_is_complete_and_may_answer_then() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.apply(Fact::Listening(true));
    says(&mut scenario, &[call(0, "w", "write", "{}", true), call(1, "v", "write", "{}", true)]);
    assert_eq!(scenario.next(), Step::Wait);
    scenario.apply(Fact::Denied { id: "v".into(), why: None });
    scenario.apply(Fact::Approved { id: "w".into() });
    assert_eq!(scenario.call_tool().id, "w");
    scenario.apply(Fact::ModelEnded);
    scenario.ended("w");
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    assert_eq!((scenario.outcome("w").0, scenario.outcome("v").0), (Outcome::Ok, Outcome::Denied));
}

#[test]
fn what_has_begun_is_never_asked_for_again_whatever_the_failure() {
    for error in [
        Error::new(Code::Network, "reset").retry(Retry::Backoff),
        Error::new(Code::Provider, "400"),
        Error::new(Code::Protocol, "no JSON"),
    ] {
        let mut scenario = Scenario::asking(Approval::Never);
        let another = || Candidate { id: "m".into(), ..Candidate::default() };
        scenario.run.recovery = Recovery::new(vec![another(), another()]);
        says(&mut scenario, &[call(0, "a", "write", "{}", true), call(1, "b", "write", r#"{"x"#, false)]);
        assert_eq!(scenario.call_tool().id, "a");
        scenario.apply(Fact::ModelFailed(error));
        assert_eq!(scenario.next(), Step::Wait);
        scenario.ended("a");
        assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
        assert_eq!((ids(&scenario.run.messages()[1]), scenario.run.messages().len()), (vec!["a"], 3));
        assert!(!scenario.types().contains(&"retry".to_owned()));
    }
}

#[test]
fn a_call_that_begins_early_has_an_id_of_its_own() {
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.answer("", &[("a", "s__read", "{}")]);
    scenario.call_tool();
    scenario.ended("a");
    scenario.next();
    says(&mut scenario, &[call(0, "a", "read", "{}", true)]);
    let id = scenario.call_tool().id;
    assert_ne!(id, "a");
    scenario.ended(&id);
    scenario.apply(Fact::ModelEnded);
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    assert_eq!(ids(&scenario.run.messages()[3]), [id.as_str()]);
}

#[test]
fn a_cancel_in_the_middle_of_the_answer_keeps_what_has_begun_with_its_results() {
    let mut scenario = Scenario::asking(Approval::Never);
    let text = vec![Delta::Text("I look.".into())];
    let calls = [call(0, "a", "read", "{}", true), call(1, "b", "write", "{}", true)];
    says(&mut scenario, &[text, calls.concat(), call(2, "c", "read", "{", false)]);
    scenario.call_tool();
    scenario.ended("a");
    scenario.apply(Fact::Cancelled);
    scenario.ended("b");
    assert_eq!((scenario.next(), scenario.error().code), (Step::Done, Code::Cancelled));
    assert_eq!((scenario.outcome("a").0, scenario.outcome("b").0), (Outcome::Ok, Outcome::Cancelled));
    let [_, asked, told] = scenario.run.messages() else { panic!("three messages") };
    assert_eq!((ids(asked), ids(told), asked.text()), (vec!["a", "b"], vec!["a", "b"], "I look.".into()));
}
