//! What joins a run on its way, and when a goal ends.

use super::*;
use crate::agent::config::Approval;
use crate::agent::fact::{Fact, Step};
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
    let limits = crate::agent::config::Limits { max_turns: 1, ..Default::default() };
    let mut scenario = Scenario::asking_within(Approval::Never, limits);
    say(&mut scenario, "more", false);
    scenario.answer("hello", &[]);
    assert_eq!(scenario.next(), Step::Done);
    assert_eq!(scenario.error().code, Code::Limit);
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
