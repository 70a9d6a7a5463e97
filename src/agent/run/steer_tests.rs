//! What joins a run on its way, and when a goal ends.

use serde_json::json;

use super::*;
use crate::agent::config::{Approval, Limits};
use crate::agent::fact::{Fact, Step};
use crate::agent::run::output::Wanted;
use crate::agent::run::tests::Scenario;
use crate::error::Code;
use crate::llm::types::Role;

fn say(scenario: &mut Scenario, text: &str, follow_up: bool) {
    scenario.apply(Fact::Steered { text: text.into(), follow_up });
}

/// Role and text of every message.
fn history(scenario: &Scenario) -> Vec<(Role, String)> {
    scenario.run.messages().iter().map(|message| (message.role, message.text())).collect()
}

fn end(scenario: &Scenario) -> (&str, &GoalEnd) {
    match scenario.events.last() {
        Some(Event::Done { text, goal: Some(goal), .. }) => (text, goal),
        other => panic!("expected the end of a goal, got {other:?}"),
    }
}

#[test]
fn what_the_user_says_joins_behind_the_results_of_the_turn() {
    let mut scenario = Scenario::asking(Approval::Never);
    say(&mut scenario, "one", false);
    scenario.answer("", &[("a", "s__read", "{}")]);
    say(&mut scenario, "two", false);
    scenario.call_tool();
    scenario.ended("a");
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    // In the message with the results, since two of the user in a row are refused by some.
    let texts: Vec<String> = history(&scenario).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["hi", "", "one\n\ntwo"]);
    let content = &scenario.run.messages()[2].content;
    assert!(matches!(content[..], [Block::ToolResult { .. }, Block::Text { .. }]));
    let order = ["turn_end", "steered", "steered", "turn_start"];
    assert!(scenario.types().windows(4).any(|types| types == order), "{:?}", scenario.types());
    // A model that was done has to hear it as well.
    say(&mut scenario, "three", false);
    scenario.answer("hello", &[]);
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    assert_eq!(history(&scenario).last().unwrap().1, "three");
}

#[test]
fn a_follow_up_waits_until_the_model_is_done_and_each_has_its_answer() {
    let mut scenario = Scenario::asking(Approval::Never);
    say(&mut scenario, "then this", true);
    say(&mut scenario, "then that", true);
    scenario.answer("", &[("a", "s__read", "{}")]);
    scenario.call_tool();
    scenario.ended("a");
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    assert!(!scenario.types().contains(&"steered".to_owned()));
    scenario.answer("first", &[]);
    assert_eq!(history(&scenario).last().unwrap().1, "then this");
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    scenario.answer("second", &[]);
    assert_eq!(history(&scenario).last().unwrap().1, "then that");
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    scenario.answer("third", &[]);
    assert_eq!(scenario.next(), Step::Done);
    let Some(Event::Done { text, .. }) = scenario.events.last() else { panic!() };
    assert_eq!(text, "third");
}

#[test]
fn a_goal_is_pursued_until_the_model_ends_it() {
    let mut scenario = Scenario::pursuing(10);
    scenario.answer("I have a plan", &[]);
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    assert_eq!(history(&scenario).last().unwrap().1, goal::GO_ON);
    scenario.answer("", &[("a", "s__write", "{}")]);
    scenario.call_tool();
    scenario.ended("a");
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    scenario.answer("all done", &[("b", "s__read", "{}"), ("c", "end_goal", r#"{"met":true,"summary":"wrote it"}"#)]);
    // The other calls of the turn are still made.
    assert_eq!(scenario.call_tool().id, "b");
    scenario.ended("b");
    assert_eq!(scenario.next(), Step::Done);
    assert_eq!(scenario.outcome("c"), (Outcome::Ok, "noted".into()));
    let met = GoalEnd { met: true, summary: Some("wrote it".into()), left: None };
    assert_eq!(end(&scenario), ("all done", &met));
}

#[test]
fn the_last_turn_of_a_goal_is_for_the_report() {
    let mut scenario = Scenario::pursuing(2);
    scenario.answer("", &[("a", "s__read", "{}")]);
    scenario.call_tool();
    scenario.ended("a");
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    assert_eq!(history(&scenario).last().unwrap().1, goal::REPORT);
    scenario.answer("half of it is left", &[("b", "s__read", "{}")]);
    assert_eq!(scenario.next(), Step::Done);
    assert_eq!(scenario.outcome("b"), (Outcome::Failed, goal::TOO_LATE.into()));
    let (text, end) = end(&scenario);
    assert_eq!((text, end.met, end.left.as_deref()), ("half of it is left", false, Some("half of it is left")));
}

#[test]
fn a_model_that_neither_acts_nor_ends_is_not_asked_for_ever() {
    let mut scenario = Scenario::pursuing(100);
    scenario.answer("hm", &[]);
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    scenario.answer("hm again", &[]);
    assert_eq!(scenario.next(), Step::Done);
    assert!(!end(&scenario).1.met);
    let mut scenario = Scenario::pursuing(100);
    scenario.answer("", &[("c", "end_goal", r#"{"left":"everything"}"#)]);
    assert_eq!(scenario.next(), Step::Done);
    let (_, end) = end(&scenario);
    assert_eq!((end.met, end.left.as_deref()), (false, Some("everything")));
}

#[test]
fn what_the_user_says_keeps_a_goal_from_ending() {
    let mut scenario = Scenario::pursuing(10);
    say(&mut scenario, "also Bergen", false);
    scenario.answer("", &[("c", "end_goal", r#"{"met":true}"#)]);
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    scenario.answer("", &[("d", "end_goal", r#"{"met":true}"#)]);
    assert_eq!(scenario.next(), Step::Done);
    assert!(end(&scenario).1.met);
}

#[test]
fn without_a_goal_its_tool_is_unknown_and_turns_end_at_the_limit() {
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.answer("", &[("c", "end_goal", r#"{"met":true}"#)]);
    assert!(scenario.outcome("c").1.contains("there is no tool"));
    let mut scenario = Scenario::asking_within(Approval::Never, one_turn());
    say(&mut scenario, "more", false);
    scenario.answer("", &[("a", "s__read", "{}")]);
    scenario.call_tool();
    scenario.ended("a");
    assert_eq!(scenario.next(), Step::Done);
    assert_eq!(scenario.error().code, Code::Limit);
}

fn one_turn() -> Limits {
    Limits { max_turns: 1, ..Limits::default() }
}

#[test]
fn a_good_answer_in_the_last_turn_is_no_error_whatever_the_user_says_then() {
    for follow_up in [false, true] {
        let mut scenario = Scenario::asking_within(Approval::Never, one_turn());
        for text in ["one", "two"] {
            say(&mut scenario, text, follow_up);
        }
        scenario.answer("first", &[]);
        assert!(matches!(scenario.next(), Step::CallModel(_)));
        scenario.answer("second", &[]);
        if follow_up {
            assert!(matches!(scenario.next(), Step::CallModel(_)));
            scenario.answer("third", &[]);
        }
        assert_eq!(scenario.next(), Step::Done);
        let said = scenario.events.iter().filter(|event| matches!(event, Event::Steered { .. })).count();
        let Some(Event::Done { text, .. }) = scenario.events.last() else { panic!("{:?}", scenario.types()) };
        assert_eq!((said, text.as_str()), (2, if follow_up { "third" } else { "second" }));
    }
    // The report of a goal is not the end when the user says more: then there are turns again.
    let mut scenario = Scenario::pursuing(2);
    scenario.answer("", &[("a", "s__read", "{}")]);
    scenario.call_tool();
    scenario.ended("a");
    say(&mut scenario, "also Bergen", false);
    scenario.answer("half of it", &[]);
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    scenario.answer("", &[("b", "s__read", "{}")]);
    assert_eq!(scenario.call_tool().id, "b");
    scenario.ended("b");
    assert!(history(&scenario).last().unwrap().1.ends_with(goal::REPORT));
    scenario.answer("all of it", &[]);
    assert_eq!(scenario.next(), Step::Done);
    assert_eq!(end(&scenario).0, "all of it");
}

#[test]
fn the_only_turn_of_a_goal_is_for_the_report() {
    let mut scenario = Scenario::pursuing(1);
    assert_eq!(history(&scenario)[0].1, ["hi\n\n", goal::REPORT].concat());
    scenario.answer("all of it is left", &[("a", "s__write", "{}")]);
    assert_eq!((scenario.next(), scenario.outcome("a").0), (Step::Done, Outcome::Failed));
    assert_eq!(end(&scenario).1.left.as_deref(), Some("all of it is left"));
}

/// A goal with an answer as data, after that many turns.
fn demanding(turns: u32) -> Scenario {
    let mut scenario = Scenario::pursuing(turns);
    scenario.run.wanted = Some(Wanted::new(json!({ "type": "object" })));
    scenario
}

fn data(scenario: &Scenario) -> &Option<serde_json::Value> {
    match scenario.events.last() {
        Some(Event::Done { output, .. }) => output,
        other => panic!("expected a good end, got {other:?}"),
    }
}

#[test]
fn a_goal_with_an_answer_as_data_ends_with_both() {
    let work = |scenario: &mut Scenario, id: &str| {
        scenario.answer("", &[(id, "s__read", "{}")]);
        scenario.call_tool();
        scenario.ended(id);
        assert!(matches!(scenario.next(), Step::CallModel(_)));
    };
    // The report is the data.
    let mut scenario = demanding(2);
    work(&mut scenario, "a");
    assert_eq!(history(&scenario).last().unwrap().1, goal::REPORT_AS_DATA);
    scenario.answer("{\"a\":1}", &[]);
    assert!(matches!(scenario.next(), Step::Check(..)));
    scenario.apply(Fact::Checked(Vec::new()));
    assert_eq!(scenario.next(), Step::Done);
    assert_eq!((data(&scenario), end(&scenario).1), (&Some(json!({ "a": 1 })), &GoalEnd::default()));
    // A report that is none, or is wrong, is the end of the goal still.
    for wrong in [false, true] {
        let mut scenario = demanding(2);
        work(&mut scenario, "a");
        scenario.answer(if wrong { "7" } else { "half of it is left" }, &[]);
        if wrong {
            assert!(matches!(scenario.next(), Step::Check(..)));
            scenario.apply(Fact::Checked(vec!["is no object".into()]));
        }
        assert_eq!(scenario.next(), Step::Done);
        let left = if wrong { "7" } else { "half of it is left" };
        assert_eq!((data(&scenario), end(&scenario).1.left.as_deref()), (&None, Some(left)));
    }
    // Met in the last turn, without a turn for the data.
    let mut scenario = demanding(2);
    work(&mut scenario, "a");
    scenario.answer("", &[("b", "end_goal", r#"{"met":true,"summary":"did it"}"#)]);
    assert_eq!(scenario.next(), Step::Done);
    assert_eq!((data(&scenario), end(&scenario).1.met), (&None, true));
    // Met before, and then words in place of the data, twice.
    let mut scenario = demanding(10);
    scenario.answer("", &[("b", "end_goal", r#"{"met":true}"#)]);
    for _ in 0..2 {
        assert!(matches!(scenario.next(), Step::CallModel(_)));
        scenario.answer("I did it!", &[]);
    }
    assert_eq!(scenario.next(), Step::Done);
    assert_eq!((data(&scenario), end(&scenario).1.met), (&None, true));
}

#[test]
fn an_answer_of_nothing_does_not_bring_two_messages_of_the_user_in_a_row() {
    let mut scenario = Scenario::asking(Approval::Never);
    say(&mut scenario, "hello?", false);
    scenario.apply(Fact::ModelEnded);
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    let said = [(Role::User, "hi"), (Role::Assistant, "(no answer)"), (Role::User, "hello?")];
    assert_eq!(history(&scenario), said.map(|(role, text)| (role, text.to_owned())));
}
