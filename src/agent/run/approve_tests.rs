//! Calls that wait for the user, and what becomes of them when one like them is allowed.

use serde_json::{Value, json};

use crate::agent::catalog::{Builtin, ToolEntry};
use crate::agent::config::Approval;
use crate::agent::event::{Event, Outcome};
use crate::agent::fact::{Fact, PlannedCall, Step, ToolOutput};
use crate::agent::run::tests::Scenario;

fn asked(scenario: &Scenario) -> Vec<&str> {
    let ids = scenario.events.iter().filter_map(|event| match event {
        Event::ApprovalRequest { id, .. } => Some(id.as_str()),
        _ => None,
    });
    ids.collect()
}

fn released(scenario: &Scenario) -> Vec<&str> {
    let ids = scenario.events.iter().filter_map(|event| match event {
        Event::Approved { id } => Some(id.as_str()),
        _ => None,
    });
    ids.collect()
}

fn allow(scenario: &mut Scenario, id: &str, always: bool) {
    scenario.apply(Fact::Remember { id: id.into(), always });
    scenario.apply(Fact::Approved { id: id.into() });
}

/// A plan at work, `p`, that asks for writes with these ids and arguments.
fn planning(approval: Approval, calls: &[(&str, Value)]) -> Scenario {
    let mut scenario = Scenario::asking_beside(approval, ToolEntry::builtin(Builtin::Plan, &[]));
    scenario.apply(Fact::Listening(true));
    scenario.answer("", &[("p", "run_plan", "{}")]);
    assert_eq!(scenario.call_tool().id, "p");
    plan_calls(&mut scenario, calls);
    scenario
}

fn plan_calls(scenario: &mut Scenario, calls: &[(&str, Value)]) {
    let call = |(id, input): &(&str, Value)| PlannedCall {
        id: (*id).into(),
        tool: "s.write".into(),
        input: input.clone(),
        step: "w".into(),
    };
    scenario.apply(Fact::Planned { call: "p".into(), calls: calls.iter().map(call).collect() });
}

#[test]
fn what_is_allowed_for_the_run_is_not_asked_for_fifty_times() {
    let ids: Vec<String> = (0..50).map(|at| format!("p/w/{at}")).collect();
    let calls: Vec<(&str, Value)> = ids.iter().map(|id| (id.as_str(), json!({ "to": id }))).collect();
    let mut scenario = planning(Approval::Writes, &calls);
    assert_eq!(asked(&scenario).len(), 50);
    allow(&mut scenario, "p/w/7", false);
    assert_eq!((released(&scenario).len(), released(&scenario).contains(&"p/w/7")), (49, false));
    let mut called = 0;
    loop {
        match scenario.next() {
            Step::CallTool(call) => scenario.ended(&call.id),
            Step::HandBack { .. } => called += 1,
            _ => break,
        }
    }
    assert_eq!(called, 50);
}

#[test]
fn what_is_allowed_for_good_releases_the_same_arguments_alone() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.apply(Fact::Listening(true));
    let (one, two) = (r#"{"a":1}"#, r#"{"a":2}"#);
    scenario.answer("", &[("a", "s__write", one), ("b", "s__write", two), ("c", "s__write", one)]);
    allow(&mut scenario, "a", true);
    assert_eq!(released(&scenario), ["c"]);
    assert_eq!([scenario.call_tool().id, scenario.call_tool().id], ["a", "c"]);
    assert_eq!(scenario.next(), Step::Wait);
    // One that was not remembered is one.
    scenario.apply(Fact::Approved { id: "b".into() });
    assert_eq!(scenario.call_tool().id, "b");
}

#[test]
fn a_denial_that_comes_with_the_release_holds() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.apply(Fact::Listening(true));
    scenario.answer("", &[("a", "s__write", "{}"), ("b", "s__write", "{}")]);
    allow(&mut scenario, "a", false);
    scenario.apply(Fact::Denied { id: "b".into(), why: None });
    assert_eq!((scenario.call_tool().id.as_str(), scenario.outcome("b").0), ("a", Outcome::Denied));
    // What is at work cannot be denied.
    assert!(scenario.run.apply(Fact::Denied { id: "a".into(), why: None }, crate::time::UnixMillis(1)).is_err());
}

#[test]
fn who_has_approved_a_step_has_approved_its_retries() {
    let (same, other) = (json!({ "a": 1 }), json!({ "a": 2 }));
    let mut scenario = planning(Approval::Always, &[("p/w", same.clone())]);
    scenario.apply(Fact::Approved { id: "p/w".into() });
    for (before, id) in [("p/w", "p/w~2"), ("p/w~2", "p/w~3")] {
        assert_eq!(scenario.call_tool().id, before);
        let output = ToolOutput::failed(Outcome::Failed, "busy");
        scenario.apply(Fact::ToolEnded { id: before.into(), output });
        assert!(matches!(scenario.next(), Step::HandBack { .. }));
        plan_calls(&mut scenario, &[(id, same.clone())]);
    }
    assert_eq!(asked(&scenario), ["p/w"]);
    assert_eq!(scenario.call_tool().id, "p/w~3");
    // Other arguments are another call, and so is another step.
    plan_calls(&mut scenario, &[("p/w~4", other), ("p/w2", same)]);
    assert_eq!(asked(&scenario), ["p/w", "p/w~4", "p/w2"]);
}
