//! Model and tool calls that fail, fact by fact.

use super::tests::Scenario;
use super::*;
use crate::agent::event::{Outcome, RetryOf};
use crate::agent::recovery::{Ask, Candidate};
use crate::error::{Code, Error, Retry};
use crate::llm::structured::Takes;
use crate::llm::types::{Delta, Role};
use serde_json::json;

fn reset() -> Fact {
    Fact::ModelFailed(Error::new(Code::Network, "reset").retry(Retry::Backoff))
}

fn text(text: &str) -> Fact {
    Fact::Deltas(vec![Delta::Text(text.into())])
}

impl Scenario {
    /// Waits, and gives how the model is asked then.
    fn asked_again(&mut self) -> Ask {
        assert!(matches!(self.next(), Step::Sleep(_)));
        self.apply(Fact::Slept);
        match self.next() {
            Step::CallModel(ask) => ask,
            other => panic!("expected a model call, got {other:?}"),
        }
    }

    fn shown(&self) -> String {
        let texts = self.events.iter().filter_map(|event| match event {
            Event::TextDelta { text } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    fn last_message(&self) -> &Message {
        self.run.messages().last().unwrap()
    }
}

#[test]
fn an_answer_that_broke_off_is_gone_on_with_and_nothing_is_shown_twice() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.apply(text("It will rain in Os"));
    scenario.apply(Fact::Deltas(vec![Delta::Usage(Usage { input_tokens: 9, output_tokens: 4, ..Usage::default() })]));
    scenario.apply(reset());
    let ask = scenario.asked_again();
    let (standing, tail) = ask.messages(scenario.run.messages());
    assert_eq!((standing, tail.len()), (1, 2));
    assert_eq!((tail[0].role, tail[0].text().as_str()), (Role::Assistant, "It will rain in Os"));
    assert!(tail[1].text().contains("its last words, \"It will rain in Os\""), "{}", tail[1].text());
    for piece in ["It will", " rain in ", "Oslo", " tonight."] {
        scenario.apply(text(piece));
    }
    // It breaks once more.
    scenario.apply(reset());
    let ask = scenario.asked_again();
    assert_eq!(ask.said.as_deref(), Some("It will rain in Oslo tonight."));
    scenario.answer("in Oslo tonight. Take an umbrella.", &[]);
    assert_eq!(scenario.shown(), "It will rain in Oslo tonight. Take an umbrella.");
    assert_eq!(scenario.last_message().text(), scenario.shown());
    let Some(Event::Done { usage, text, .. }) = scenario.events.last() else { panic!("not done") };
    assert_eq!((usage.input_tokens, usage.output_tokens, text), (19, 6, &scenario.shown()));
    // Nothing of it stays in the history.
    assert_eq!(scenario.run.messages().len(), 2);
}

#[test]
fn a_repetition_that_breaks_off_in_its_middle_is_not_shown() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.apply(text("It will rain in Oslo"));
    scenario.apply(reset());
    for repeated in ["It", "It will rain"] {
        scenario.asked_again();
        scenario.apply(text(repeated));
        scenario.apply(reset());
    }
    let ask = scenario.asked_again();
    assert_eq!(ask.said.as_deref(), Some("It will rain in Oslo"));
    scenario.answer("It will rain in Oslo tonight.", &[]);
    assert_eq!(scenario.shown(), "It will rain in Oslo tonight.");
}

#[test]
fn a_wire_that_goes_on_by_itself_is_given_the_beginning_until_it_refuses() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.run.recovery = Recovery::new(vec![Candidate { id: "m".into(), prefill: true, ..Candidate::default() }]);
    let beginning = "It will rain in Oslo tonight, about four millimetres un";
    scenario.apply(text(beginning));
    scenario.apply(reset());
    let ask = scenario.asked_again();
    assert_eq!((ask.prefill, ask.said.as_deref(), &ask.note), (true, Some(beginning), &None));
    assert_eq!(ask.messages(scenario.run.messages()), (1, Vec::new()));
    scenario.apply(Fact::ModelFailed(Error::new(Code::Provider, "400: no prefill")));
    let ask = scenario.asked_again();
    assert!(!ask.prefill && ask.note.is_some(), "{ask:?}");
    scenario.answer([beginning, "til midnight."].concat().as_str(), &[]);
    assert_eq!(scenario.shown(), "It will rain in Oslo tonight, about four millimetres until midnight.");
}

#[test]
fn complete_calls_of_an_answer_that_broke_off_are_made_and_nothing_is_asked_again() {
    let mut scenario = Scenario::asking(Approval::Never);
    let start = |index: u32, id: &str| Delta::ToolStart { index, id: id.into(), name: "s__read".into() };
    let deltas = vec![
        Delta::Text("Let me see.".into()),
        start(0, "a"),
        start(1, "b"),
        Delta::ToolInput { index: 0, json: r#"{"x":1"#.into() },
        Delta::ToolInput { index: 1, json: "{}".into() },
        Delta::ToolEnd { index: 1 },
    ];
    scenario.apply(Fact::Deltas(deltas));
    scenario.apply(reset());
    assert_eq!(scenario.call_tool().id, "b");
    scenario.ended("b");
    assert!(!scenario.types().contains(&"retry".to_owned()));
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    let content = &scenario.run.messages()[1].content;
    assert!(matches!(&content[..], [Block::Text { .. }, Block::ToolUse { id, .. }] if id == "b"), "{content:?}");
}

#[test]
fn reasoning_that_broke_off_is_not_mixed_with_what_is_thought_next() {
    let thinking = |text: &str| Delta::Thinking(text.into());
    for (again, blocks, shown) in [
        // The same again: one block, which its signature fits.
        ("The user wants the weather.", vec![("The user wants the weather.", true)], "The user wants the weather."),
        ("Hm, rain.", vec![("The user wants", false), ("Hm, rain.", true)], "The user wantsHm, rain."),
    ] {
        let mut scenario = Scenario::asking(Approval::Writes);
        scenario.apply(Fact::Deltas(vec![thinking("The user wants")]));
        scenario.apply(reset());
        assert_eq!(scenario.asked_again(), Ask::default());
        let (one, two) = again.split_at(5);
        let deltas = vec![thinking(one), thinking(two), Delta::Signature("s".into()), Delta::Text("Rain.".into())];
        scenario.apply(Fact::Deltas(deltas));
        scenario.apply(Fact::ModelEnded);
        let thought = scenario.last_message().content.iter().filter_map(|block| match block {
            Block::Thinking { text, signature } => Some((text.as_str(), signature.is_some())),
            _ => None,
        });
        assert_eq!(thought.collect::<Vec<_>>(), blocks);
        let events = scenario.events.iter().filter_map(|event| match event {
            Event::ThinkingDelta { text } => Some(text.as_str()),
            _ => None,
        });
        assert_eq!(events.collect::<String>(), shown);
    }
}

#[test]
fn a_made_up_tool_that_breaks_the_server_is_answered_with_the_names() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.apply(Fact::ModelFailed(Error::new(Code::Provider, "error in the answer").retry(Retry::Backoff)));
    let ask = scenario.asked_again();
    let (standing, tail) = ask.messages(scenario.run.messages());
    assert_eq!((standing, tail.len(), tail[0].role), (0, 1, Role::User));
    assert_eq!(tail[0].text(), "hi\n\n(Call only these tools, by exactly these names: s__read, s__write.)");
    scenario.answer("", &[("a", "s__read", "{}")]);
    assert_eq!(scenario.call_tool().id, "a");
    scenario.ended("a");
    // The next turn is asked as ever.
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
}

#[test]
fn where_not_all_tools_are_offered_the_names_are_those_that_are() {
    let mut scenario = Scenario::asking(Approval::Writes);
    let mark = Block::Tools { names: vec!["s__write".into()], anew: true };
    scenario.run.messages[0].content.insert(0, mark);
    scenario.apply(Fact::ModelFailed(Error::new(Code::Provider, "error in the answer").retry(Retry::Backoff)));
    let (_, tail) = scenario.asked_again().messages(scenario.run.messages());
    assert_eq!(tail[0].text(), "hi\n\n(Call only these tools, by exactly these names: s__write.)");
}

fn with_fallback() -> Scenario {
    let mut scenario = Scenario::asking(Approval::Never);
    let candidate = |id: &str| Candidate { id: id.into(), ..Candidate::default() };
    scenario.run.recovery = Recovery::new(vec![candidate("big"), candidate("small")]);
    scenario
}

#[test]
fn the_next_model_takes_over_where_one_is_down_and_stays() {
    for error in
        [Error::new(Code::AuthRequired, "401"), Error::new(Code::Overloaded, "x").retry(Retry::After(Millis(30_000)))]
    {
        let mut scenario = with_fallback();
        scenario.apply(text("It will rain in Os"));
        scenario.apply(Fact::ModelFailed(error));
        let ask = scenario.asked_again();
        assert_eq!((ask.model, ask.said.as_deref()), (1, Some("It will rain in Os")));
        let retry = scenario.events.iter().rev().find_map(|event| match event {
            Event::Retry { model, of, .. } => Some((model.as_deref(), *of)),
            _ => None,
        });
        assert_eq!(retry, Some((Some("small"), RetryOf::Model)));
        scenario.answer("It will rain in Oslo.", &[("a", "s__read", "{}")]);
        assert_eq!(scenario.shown(), "It will rain in Oslo.");
        assert_eq!(scenario.call_tool().id, "a");
        scenario.ended("a");
        assert_eq!(scenario.next(), Step::CallModel(Ask { model: 1, ..Ask::default() }));
    }
    // Passing trouble is waited out once.
    let mut scenario = with_fallback();
    let models: Vec<usize> = (0..3)
        .map(|_| {
            scenario.apply(reset());
            scenario.asked_again().model
        })
        .collect();
    assert_eq!(models, [0, 1, 1]);
}

#[test]
fn the_next_model_is_asked_where_one_declines() {
    let mut scenario = with_fallback();
    scenario.apply(Fact::Deltas(vec![Delta::Text("I cannot.".into()), Delta::Stop(StopReason::Refusal)]));
    scenario.apply(Fact::ModelEnded);
    assert_eq!(scenario.asked_again(), Ask { model: 1, ..Ask::default() });
    scenario.apply(Fact::Deltas(vec![Delta::Text("But I can.".into()), Delta::Stop(StopReason::Refusal)]));
    scenario.apply(Fact::ModelEnded);
    assert_eq!(scenario.shown(), "I cannot.\n\nBut I can.");
    assert_eq!(scenario.next(), Step::Done);
    assert!(matches!(scenario.events.last(), Some(Event::Done { .. })));
}

#[test]
fn a_run_makes_no_more_calls_again_than_its_budget_allows() {
    let limits = Limits { max_attempts: 100, max_retries: 3, ..Limits::default() };
    let mut scenario = Scenario::asking_within(Approval::Writes, limits);
    for _ in 0..3 {
        scenario.apply(reset());
        scenario.asked_again();
    }
    scenario.apply(reset());
    assert_eq!((scenario.next(), scenario.error().code), (Step::Done, Code::Network));
}

#[test]
fn a_cancel_while_the_rest_is_waited_for_keeps_what_was_shown() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.apply(text("half"));
    scenario.apply(reset());
    assert!(matches!(scenario.next(), Step::Sleep(_)));
    scenario.apply(Fact::Cancelled);
    assert_eq!((scenario.next(), scenario.last_message().text()), (Step::Done, "half".to_owned()));
}

fn lost(id: &str) -> Fact {
    Fact::ToolFailed { id: id.into(), error: Error::new(Code::Network, "tools/call: reset") }
}

#[test]
fn a_lost_call_is_made_again_if_it_only_reads_and_else_its_outcome_is_unknown() {
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.answer("", &[("a", "s__read", "{}"), ("b", "s__write", "{}")]);
    assert_eq!((scenario.call_tool().id, scenario.call_tool().id), ("a".to_owned(), "b".to_owned()));
    scenario.apply(lost("b"));
    let (outcome, words) = scenario.outcome("b");
    assert!(outcome == Outcome::Unknown && words.contains("outcome is unknown"), "{words}");
    scenario.apply(lost("a"));
    let Step::Rest(id, _) = scenario.next() else { panic!("no wait") };
    assert_eq!((id.as_str(), scenario.next()), ("a", Step::Wait));
    let progress = Fact::ToolProgress { id: "a".into(), progress: 1.0, total: None, message: None };
    scenario.apply(progress);
    assert!(!scenario.types().contains(&"tool_progress".to_owned()), "nothing is at work");
    scenario.apply(Fact::Rested { id: "a".into() });
    assert_eq!(scenario.call_tool().id, "a");
    scenario.ended("a");
    assert_eq!(scenario.outcome("a"), (Outcome::Ok, "a".to_owned()));
    let retries: Vec<_> = scenario.events.iter().filter(|event| matches!(event, Event::Retry { .. })).collect();
    let retry = serde_json::to_value(retries[0]).unwrap();
    assert_eq!(
        (retries.len(), &retry["of"], &retry["id"], &retry["attempt"]),
        (1, &json!("tool"), &json!("a"), &json!(2))
    );
}

#[test]
fn a_cancel_while_a_call_waits_to_be_made_again_settles_it() {
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.answer("", &[("a", "s__read", "{}")]);
    scenario.call_tool();
    scenario.apply(lost("a"));
    scenario.apply(Fact::Cancelled);
    assert_eq!(scenario.outcome("a").0, Outcome::Cancelled);
    assert_eq!(scenario.next(), Step::Done);
}

#[test]
fn a_provider_that_refuses_to_hold_the_answer_to_a_schema_is_asked_without() {
    let held = |schema| Recovery::new(vec![Candidate { id: "m".into(), schema, ..Candidate::default() }]);
    let refused = || Fact::ModelFailed(Error::new(Code::Provider, "400: response_format"));
    let loose = Ask { loose: true, ..Ask::default() };

    let mut scenario = Scenario::asking(Approval::Never);
    scenario.run.recovery = held(Takes::BesideTools);
    scenario.apply(refused());
    assert_eq!(scenario.asked_again(), loose);
    // It stays so in the turns that follow.
    scenario.answer("I look.", &[("a", "s__read", "{}")]);
    assert_eq!(scenario.call_tool().id, "a");
    scenario.ended("a");
    assert_eq!(scenario.next(), Step::CallModel(loose.clone()));
    // There is nothing more to leave out.
    scenario.apply(refused());
    assert_eq!((scenario.next(), scenario.error().code), (Step::Done, Code::Provider));

    // Beside tools nothing was demanded of this one, so there is nothing to leave out.
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.run.recovery = held(Takes::Alone);
    scenario.apply(refused());
    assert_eq!((scenario.next(), scenario.error().code), (Step::Done, Code::Provider));

    // A failure that may pass is waited for, and blamed on the schema as well, unless words came.
    let failed = || Fact::ModelFailed(Error::new(Code::Provider, "500").retry(Retry::Backoff));
    for (said, is_loose) in [("", true), ("It will", false)] {
        let mut scenario = Scenario::asking(Approval::Never);
        scenario.run.recovery = held(Takes::BesideTools);
        scenario.apply(text(said));
        scenario.apply(failed());
        assert_eq!(scenario.asked_again().loose, is_loose);
    }
}
