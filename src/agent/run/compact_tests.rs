//! When a history is made less of, and what becomes of the run.

use super::*;
use crate::agent::config::Approval;
use crate::agent::fact::{Fact, Step};
use crate::agent::recovery::{Ask, Candidate, Recovery};
use crate::agent::run::tests::Scenario;
use crate::agent::view::is_mark;
use crate::error::{Code, Error, Retry};

fn candidate(id: &str, room: Option<u64>) -> Candidate {
    Candidate { id: id.into(), room, ..Candidate::default() }
}

/// At a model call of a run whose history is about 1,000 tokens.
fn long(candidates: Vec<Candidate>) -> Scenario {
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.run.recovery = Recovery::new(candidates);
    scenario.answer(&"x".repeat(4_000), &[("a", "s__read", "{}")]);
    scenario.call_tool();
    scenario.ended("a");
    scenario
}

fn squeeze(step: Step) -> Squeeze {
    match step {
        Step::Compact(squeeze) => squeeze,
        other => panic!("expected a compaction, got {other:?}"),
    }
}

#[test]
fn a_history_past_the_window_is_made_less_of_once_before_the_model_is_asked() {
    let mut scenario = long(vec![candidate("m", Some(1_200))]);
    let asked = squeeze(scenario.next());
    assert_eq!((asked.model, asked.room, asked.unseen), (0, 1_200, 1));
    assert!((1_000..1_100).contains(&asked.tokens), "{asked:?}");
    assert_eq!(scenario.next(), Step::Wait);
    // What the user says meanwhile waits for the next turn.
    scenario.apply(Fact::Steered { text: "also Bergen".into(), follow_up: false });
    let usage = crate::llm::types::Usage { input_tokens: 7, ..Default::default() };
    let summary = Some("sum".to_owned());
    scenario.apply(Fact::Compacted(Compacted { keeps: 1, summary: summary.clone(), results: Vec::new(), usage }));
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    let Some(Event::Compacted { tokens_before, tokens_after, results: 0, summary: told }) = scenario.events.last()
    else {
        panic!("{:?}", scenario.types())
    };
    assert!(*tokens_before == asked.tokens && *tokens_after < 50 && *told == summary, "{tokens_after}");
    // All of it stays in the history.
    assert_eq!(scenario.run.messages().len(), 4);
    assert!(is_mark(&scenario.run.messages()[3]) && scenario.run.messages()[1].text().len() == 4_000);
    scenario.answer("done", &[]);
    assert!(matches!(scenario.next(), Step::CallModel(_)), "the user was not heard");
    scenario.answer("done", &[]);
    let Some(Event::Done { messages, usage, .. }) = scenario.events.last() else { panic!("{:?}", scenario.types()) };
    assert_eq!((messages.len(), usage.input_tokens), (7, 37));
}

#[test]
fn what_cannot_be_made_less_of_is_asked_with() {
    let mut scenario = long(vec![candidate("m", Some(1_200))]);
    squeeze(scenario.next());
    scenario.apply(Fact::Compacted(Compacted::default()));
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    assert!(!scenario.types().contains(&"compacted".to_owned()));
    // A second report comes too late.
    let compacted = Compacted { summary: Some("sum".into()), ..Compacted::default() };
    scenario.apply(Fact::Compacted(compacted));
    assert!(!scenario.types().contains(&"compacted".to_owned()));
    // The next turn tries again.
    scenario.answer("more", &[("b", "s__read", "{}")]);
    scenario.call_tool();
    scenario.ended("b");
    squeeze(scenario.next());
}

#[test]
fn without_a_known_window_nothing_is_done_and_a_smaller_one_counts_when_its_model_is_asked() {
    let mut scenario = long(vec![candidate("m", None), candidate("small", Some(1_000))]);
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    scenario.apply(Fact::ModelFailed(Error::new(Code::Provider, "down").retry(Retry::Never)));
    assert!(matches!(scenario.next(), Step::Sleep(_)));
    scenario.apply(Fact::Slept);
    let asked = squeeze(scenario.next());
    assert_eq!((asked.model, asked.unseen), (1, 3));
    let results = vec![("a".to_owned(), "kept".to_owned())];
    scenario.apply(Fact::Compacted(Compacted { results, ..Compacted::default() }));
    assert!(matches!(scenario.next(), Step::CallModel(Ask { model: 1, .. })));
}

#[test]
fn a_cancel_meanwhile_ends_the_run() {
    let mut scenario = long(vec![candidate("m", Some(1_200))]);
    squeeze(scenario.next());
    scenario.apply(Fact::Cancelled);
    scenario.apply(Fact::Compacted(Compacted { summary: Some("sum".into()), ..Compacted::default() }));
    assert_eq!((scenario.next(), scenario.error().code), (Step::Done, Code::Cancelled));
    assert_eq!(scenario.run.messages().len(), 3);
}

fn too_long(room: Option<u64>, tokens: Option<u64>) -> Fact {
    Fact::TooLong { error: Error::new(Code::Provider, "too long").retry(Retry::Never), room, tokens }
}

#[test]
fn a_request_that_turns_out_too_long_is_made_less_of_and_asked_again() {
    let mut scenario = long(vec![candidate("m", None)]);
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    // About 1,000 tokens as we count; the provider counts more than twice as many.
    scenario.apply(too_long(Some(1_500), Some(2_400)));
    let asked = squeeze(scenario.next());
    assert_eq!((asked.room, asked.tokens), (1_500, 2_400));
    let results = vec![("a".to_owned(), "kept".to_owned())];
    scenario.apply(Fact::Compacted(Compacted { results, ..Compacted::default() }));
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    assert_eq!(scenario.run.rooms(), [Some(1_500)]);
    // Nothing more can be made of it.
    scenario.apply(too_long(Some(1_500), Some(2_300)));
    assert_eq!((scenario.next(), scenario.error().code), (Step::Done, Code::Provider));
}

#[test]
fn an_untold_window_is_guessed_and_an_answer_that_has_begun_is_not_asked_for_again() {
    let mut scenario = long(vec![candidate("m", None)]);
    scenario.next();
    scenario.apply(too_long(None, None));
    let asked = squeeze(scenario.next());
    assert_eq!(asked.room, asked.tokens / 4 * 3);
    assert_eq!(scenario.run.rooms(), []);
    let mut scenario = long(vec![candidate("m", None)]);
    scenario.next();
    scenario.apply(Fact::Deltas(vec![crate::llm::types::Delta::Text("It is".into())]));
    scenario.apply(too_long(Some(1_500), None));
    assert_eq!((scenario.next(), scenario.error().code), (Step::Done, Code::Provider));
}
