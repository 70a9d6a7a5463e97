//! The run machine, fact by fact.

use super::*;
use crate::agent::event::Outcome;
use crate::agent::fact::{Call, ToolOutput};
use crate::agent::goal;
use crate::agent::recovery::Ask;
use crate::error::{Code, Error, Retry};
use crate::llm::types::{Delta, Role};
use crate::options::FunctionId;
use serde_json::json;

const NOW: UnixMillis = UnixMillis(1_000);

#[test]
fn what_a_private_server_says_of_a_failure_is_held_too() {
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.run.tools[0].private = true;
    let other = scenario.run.tools[1].clone();
    scenario.run.tools.push(ToolEntry {
        wire_name: "w__send".into(),
        name: "w.send".into(),
        server: Some("w".into()),
        outside: true,
        ..other
    });
    scenario.answer("", &[("a", "s__read", "{}")]);
    scenario.call_tool();
    scenario.apply(Fact::ToolFailed { id: "a".into(), error: Error::new(Code::Provider, "Bob's mailbox is full") });
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    scenario.answer("", &[("b", "w__send", "{}")]);
    assert_eq!(scenario.outcome("b").0, Outcome::Denied);
    assert_eq!(scenario.run.held(), ["s"]);
}

/// Drives a run to a state, and remembers its events.
pub(super) struct Scenario {
    pub(super) run: Run,
    pub(super) events: Vec<Event>,
}

impl Scenario {
    pub(super) fn new(approval: Approval, limits: Limits) -> Scenario {
        Scenario::of(limits, approval, false)
    }

    fn of(limits: Limits, approval: Approval, goal: bool) -> Scenario {
        let (id, prompt, messages, random) = ("r1".into(), Message::user("hi"), Vec::new(), 7);
        let models = Vec::new();
        let (output, conversation, rate) = (None, false, Rate::default());
        let setup = Setup { id, prompt, messages, limits, approval, models, output, random, goal, conversation, rate };
        let run = Run::new(setup);
        Scenario { run, events: Vec::new() }
    }

    /// At the first model call of a run that pursues a goal.
    pub(super) fn pursuing(max_turns: u32) -> Scenario {
        Scenario::of(Limits { max_turns, ..Limits::default() }, Approval::Never, true).begun()
    }

    /// At the first model call, with a reading tool `s__read` and a writing tool `s__write`.
    pub(super) fn asking(approval: Approval) -> Scenario {
        Scenario::asking_within(approval, Limits::default())
    }

    pub(super) fn asking_within(approval: Approval, limits: Limits) -> Scenario {
        Scenario::new(approval, limits).begun()
    }

    /// The same with another tool.
    pub(super) fn asking_beside(approval: Approval, another: ToolEntry) -> Scenario {
        Scenario::new(approval, Limits::default()).begun_with(vec![another])
    }

    fn begun(self) -> Scenario {
        self.begun_with(Vec::new())
    }

    fn begun_with(self, others: Vec<ToolEntry>) -> Scenario {
        let mut scenario = self;
        assert_eq!(scenario.next(), Step::Gather);
        scenario.apply(Fact::Gathered);
        assert_eq!(scenario.next(), Step::OfferTools);
        let tool = |name: &str, read_only| ToolEntry {
            wire_name: ["s__", name].concat(),
            name: ["s.", name].concat(),
            server: Some("s".into()),
            read_only,
            ..ToolEntry::default()
        };
        let mut tools = vec![tool("read", true), tool("write", false)];
        tools.extend(others);
        if scenario.run.has_goal() {
            goal::offer(&mut tools, &mut Vec::new());
        }
        scenario.apply(Fact::Tools(tools));
        assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
        scenario
    }

    pub(super) fn next(&mut self) -> Step {
        let step = self.run.next(NOW);
        self.events.extend(self.run.take_events());
        // A stored and reloaded run is the same run.
        self.run = serde_json::from_str(&serde_json::to_string(&self.run).unwrap()).unwrap();
        step
    }

    pub(super) fn apply(&mut self, fact: Fact) {
        self.run.apply(fact, NOW + Millis(5)).unwrap();
        self.events.extend(self.run.take_events());
    }

    /// The model says `text` and asks for these tools, given as id, name and arguments.
    pub(super) fn answer(&mut self, text: &str, uses: &[(&str, &str, &str)]) {
        let mut deltas = vec![Delta::Text(text.into())];
        for (index, (id, name, json)) in (0..).zip(uses) {
            deltas.push(Delta::ToolStart { index, id: (*id).into(), name: (*name).into() });
            deltas.push(Delta::ToolInput { index, json: (*json).into() });
            deltas.push(Delta::ToolEnd { index });
        }
        deltas.push(Delta::Usage(Usage { input_tokens: 10, output_tokens: 2, ..Usage::default() }));
        self.apply(Fact::Deltas(deltas));
        self.apply(Fact::ModelEnded);
    }

    pub(super) fn ended(&mut self, id: &str) {
        let content = vec![json!({ "type": "text", "text": id })];
        let output = ToolOutput {
            content,
            structured_content: None,
            is_error: false,
            outcome: Outcome::Ok,
            cached: None,
            handle: None,
        };
        self.apply(Fact::ToolEnded { id: id.into(), output });
    }

    pub(super) fn call_tool(&mut self) -> Call {
        match self.next() {
            Step::CallTool(call) => call,
            other => panic!("expected a tool call, got {other:?}"),
        }
    }

    pub(super) fn types(&self) -> Vec<String> {
        let kind = |event: &Event| serde_json::to_value(event).unwrap()["type"].as_str().unwrap().to_owned();
        self.events.iter().map(kind).collect()
    }

    pub(super) fn outcome(&self, wanted: &str) -> (Outcome, String) {
        let results = self.events.iter().filter_map(|event| match event {
            Event::ToolResult { id, outcome, content, .. } if id == wanted => {
                Some((*outcome, content[0]["text"].as_str().unwrap().to_owned()))
            }
            _ => None,
        });
        let results: Vec<_> = results.collect();
        assert_eq!(results.len(), 1, "results of {wanted}");
        results.into_iter().next().unwrap()
    }

    pub(super) fn error(&self) -> &Error {
        match self.events.last() {
            Some(Event::Error { error, .. }) => error,
            other => panic!("expected an error at the end, got {other:?}"),
        }
    }
}

#[test]
fn an_answer_without_tools_ends_the_run() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.answer("hello", &[]);
    assert_eq!(scenario.next(), Step::Done);
    assert_eq!(scenario.types(), ["run_start", "turn_start", "text_delta", "turn_end", "done"]);
    let Some(Event::Done { text, messages, usage, .. }) = scenario.events.last() else { panic!() };
    assert_eq!((text.as_str(), messages.len(), usage.input_tokens), ("hello", 2, 10));
}

#[test]
fn calls_run_at_once_and_are_recorded_in_call_order() {
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.answer("", &[("a", "s__read", "{}"), ("b", "s__write", r#"{"x":1}"#)]);
    assert_eq!(scenario.call_tool().id, "a");
    let call = scenario.call_tool();
    assert_eq!((call.id.as_str(), &call.input), ("b", &json!({ "x": 1 })));
    assert_eq!(scenario.next(), Step::Wait);
    scenario.ended("b");
    assert_eq!(scenario.next(), Step::Wait);
    scenario.ended("a");
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    let results: Vec<&str> = scenario.run.messages()[2]
        .content
        .iter()
        .map(|block| match block {
            Block::ToolResult { tool_use_id, .. } => tool_use_id.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(results, ["a", "b"]);
    let Some(Event::ToolResult { duration_ms, .. }) =
        scenario.events.iter().find(|event| matches!(event, Event::ToolResult { .. }))
    else {
        panic!()
    };
    assert_eq!(*duration_ms, Millis(5));
}

#[test]
fn one_call_that_fails_leaves_the_others_at_work() {
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.answer("", &[("a", "s__read", "{}"), ("b", "s__write", "{}")]);
    scenario.call_tool();
    scenario.call_tool();
    let error = Error::new(Code::Protocol, "s.read: gave nonsense");
    scenario.apply(Fact::ToolFailed { id: "a".into(), error });
    assert_eq!(scenario.next(), Step::Wait);
    scenario.ended("b");
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    assert_eq!(scenario.outcome("a").0, Outcome::Failed);
    assert_eq!(scenario.outcome("b"), (Outcome::Ok, "b".into()));
}

#[test]
fn no_more_calls_than_the_limit_are_at_work() {
    let limits = Limits { max_parallel_tools: 1, ..Limits::default() };
    let mut scenario = Scenario::asking_within(Approval::Never, limits);
    scenario.answer("", &[("a", "s__read", "{}"), ("b", "s__read", "{}")]);
    assert_eq!(scenario.call_tool().id, "a");
    assert_eq!(scenario.next(), Step::Wait);
    scenario.ended("a");
    assert_eq!(scenario.call_tool().id, "b");
}

#[test]
fn an_unknown_tool_and_invalid_arguments_are_told_to_the_model_and_nothing_is_called() {
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.answer("", &[("a", "s__gone", "{}"), ("b", "s__read", "{oops"), ("c", "s__read", "[1]")]);
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    let (outcome, text) = scenario.outcome("a");
    assert_eq!(outcome, Outcome::Failed);
    assert_eq!(text, "there is no tool `s__gone`; call one of: s__read, s__write");
    for id in ["b", "c"] {
        assert!(scenario.outcome(id).1.contains("not a JSON object"), "{id}");
    }
}

#[test]
fn a_tool_that_is_called_nearly_so_is_named() {
    let mut scenario = Scenario::asking(Approval::Never);
    let wrong = ["read", "s.read", "s__raed", "S__Write", "s-write", "fetch"];
    let calls: Vec<(&str, &str, &str)> = wrong.iter().map(|name| (*name, *name, "{}")).collect();
    scenario.answer("", &calls);
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    for (name, meant) in wrong.iter().zip(["s__read", "s__read", "s__read", "s__write", "s__write"]) {
        assert_eq!(scenario.outcome(name).1, format!("there is no tool `{name}`; did you mean `{meant}`?"));
    }
    assert_eq!(scenario.outcome("fetch").1, "there is no tool `fetch`; call one of: s__read, s__write");
}

#[test]
fn no_more_calls_than_its_server_takes_are_at_work() {
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.run.tools.iter_mut().for_each(|tool| tool.limit = Some(1));
    scenario.run.tools.push(ToolEntry {
        wire_name: "t__read".into(),
        server: Some("t".into()),
        ..ToolEntry::default()
    });
    scenario.answer("", &[("a", "s__read", "{}"), ("b", "s__write", "{}"), ("c", "t__read", "{}")]);
    assert_eq!([scenario.call_tool().id, scenario.call_tool().id], ["a", "c"]);
    assert_eq!(scenario.next(), Step::Wait);
    scenario.ended("c");
    assert_eq!(scenario.next(), Step::Wait);
    scenario.ended("a");
    assert_eq!(scenario.call_tool().id, "b");
}

#[test]
fn what_is_alike_is_asked_for_once() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.apply(Fact::Listening(true));
    scenario.answer("", &[("a", "s__write", r#"{"n":1}"#)]);
    assert_eq!(scenario.next(), Step::Wait);
    // An id that does not wait changes nothing.
    scenario.apply(Fact::Remember { id: "z".into(), always: false });
    scenario.apply(Fact::Remember { id: "a".into(), always: true });
    scenario.apply(Fact::Approved { id: "a".into() });
    assert_eq!(scenario.call_tool().id, "a");
    scenario.ended("a");
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    scenario.answer("", &[("b", "s__write", r#"{"n":1}"#), ("c", "s__write", r#"{"n":2}"#)]);
    assert_eq!(scenario.call_tool().id, "b");
    assert_eq!(scenario.next(), Step::Wait);
    scenario.apply(Fact::Remember { id: "c".into(), always: false });
    scenario.apply(Fact::Approved { id: "c".into() });
    assert_eq!(scenario.call_tool().id, "c");
    scenario.ended("b");
    scenario.ended("c");
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    scenario.answer("", &[("d", "s__write", r#"{"n":3}"#)]);
    assert_eq!(scenario.call_tool().id, "d");
}

#[test]
fn a_write_waits_for_the_user_while_reads_go_on() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.apply(Fact::Listening(true));
    scenario.answer("", &[("w", "s__write", "{}"), ("r", "s__read", "{}")]);
    assert_eq!(scenario.call_tool().id, "r");
    assert_eq!(scenario.next(), Step::Wait);
    scenario.ended("r");
    assert_eq!(scenario.next(), Step::Wait);
    scenario.apply(Fact::Approved { id: "w".into() });
    assert_eq!(scenario.call_tool().id, "w");
    let late = scenario.run.apply(Fact::Denied { id: "w".into(), why: None }, NOW);
    assert_eq!(late.unwrap_err().code, Code::Misuse);
    scenario.ended("w");
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
}

#[test]
fn a_denial_reaches_the_model_with_its_reason() {
    let mut scenario = Scenario::asking(Approval::Always);
    scenario.apply(Fact::Listening(true));
    scenario.answer("", &[("r", "s__read", "{}")]);
    assert_eq!(scenario.next(), Step::Wait);
    scenario.apply(Fact::Denied { id: "r".into(), why: Some("not now".into()) });
    assert_eq!(scenario.outcome("r"), (Outcome::Denied, "the user denied this call: not now".into()));
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
}

#[test]
fn with_nobody_there_a_call_that_needs_approval_is_denied_at_once() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.answer("", &[("w", "s__write", "{}")]);
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    let (outcome, text) = scenario.outcome("w");
    assert_eq!(outcome, Outcome::Denied);
    assert!(text.ends_with("nobody is there to approve it"), "{text}");
}

#[test]
fn the_apps_function_decides_whether_the_user_is_asked() {
    let function = FunctionId(3);
    let mut scenario = Scenario::asking(Approval::Function(function));
    scenario.apply(Fact::Listening(true));
    scenario.answer("", &[("a", "s__write", "{}"), ("b", "s__read", "{}"), ("c", "s__read", "{}")]);
    for id in ["a", "b", "c"] {
        let step = scenario.next();
        assert!(matches!(&step, Step::Judge(asked, call) if *asked == function && call.id == id), "{step:?}");
    }
    assert_eq!(scenario.next(), Step::Wait);
    scenario.apply(Fact::Judged { id: "a".into(), ask: Ok(false) });
    scenario.apply(Fact::Judged { id: "b".into(), ask: Ok(true) });
    scenario.apply(Fact::Judged { id: "c".into(), ask: Err("boom".into()) });
    assert_eq!(scenario.call_tool().id, "a");
    assert_eq!(scenario.next(), Step::Wait);
    assert_eq!(scenario.outcome("c").1, "not called: the app's approval function failed: boom");
    assert!(scenario.types().contains(&"approval_request".to_owned()));
}

#[test]
fn a_refused_model_call_is_made_again_after_a_wait() {
    let mut scenario = Scenario::asking(Approval::Writes);
    let overloaded = Error::new(Code::Overloaded, "529").retry(Retry::After(Millis(1500)));
    scenario.apply(Fact::ModelFailed(overloaded));
    assert_eq!(scenario.next(), Step::Sleep(Millis(1500)));
    assert_eq!(scenario.next(), Step::Wait);
    scenario.apply(Fact::Slept);
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    scenario.answer("ok", &[]);
    assert_eq!(scenario.types(), ["run_start", "turn_start", "retry", "text_delta", "turn_end", "done"]);
}

#[test]
fn what_was_shown_is_kept_and_never_shown_twice() {
    let mut scenario = Scenario::asking(Approval::Writes);
    let start = Delta::ToolStart { index: 0, id: "a".into(), name: "s__read".into() };
    scenario.apply(Fact::Deltas(vec![Delta::Text("half an ans".into()), start]));
    scenario.apply(Fact::ModelFailed(Error::new(Code::AuthRequired, "403")));
    assert_eq!(scenario.next(), Step::Done);
    assert_eq!(scenario.error().code, Code::AuthRequired);
    let last = scenario.run.messages().last().unwrap();
    assert_eq!((last.role, last.text().as_str(), last.content.len()), (Role::Assistant, "half an ans", 1));
}

#[test]
fn retries_end_after_the_last_attempt() {
    let limits = Limits { max_attempts: 2, ..Limits::default() };
    let mut scenario = Scenario::asking_within(Approval::Writes, limits);
    let failed = || Fact::ModelFailed(Error::new(Code::Network, "refused").retry(Retry::Backoff));
    scenario.apply(failed());
    assert!(matches!(scenario.next(), Step::Sleep(_)));
    scenario.apply(Fact::Slept);
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    scenario.apply(failed());
    assert_eq!(scenario.next(), Step::Done);
    assert_eq!(scenario.error().message, "refused");
}

#[test]
fn a_model_that_never_stops_calling_is_stopped_with_a_consistent_history() {
    let limits = Limits { max_turns: 2, ..Limits::default() };
    let mut scenario = Scenario::asking_within(Approval::Never, limits);
    scenario.answer("", &[("a", "s__read", "{}")]);
    scenario.call_tool();
    scenario.ended("a");
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    scenario.answer("", &[("a", "s__read", "{}")]);
    let again = scenario.call_tool();
    assert_ne!(again.id, "a", "an id names one call of a conversation");
    scenario.ended(&again.id);
    assert_eq!(scenario.next(), Step::Done);
    assert_eq!(scenario.error().code, Code::Limit);
    assert_eq!(scenario.run.messages().len(), 5);
}

#[test]
fn cancel_settles_every_open_call() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.apply(Fact::Listening(true));
    scenario.answer("", &[("r", "s__read", "{}"), ("w", "s__write", "{}"), ("d", "s__read", "{}")]);
    scenario.call_tool();
    scenario.call_tool();
    scenario.ended("d");
    scenario.apply(Fact::Cancelled);
    scenario.apply(Fact::Cancelled);
    assert_eq!(scenario.next(), Step::Done);
    scenario.ended("r");
    assert_eq!(scenario.outcome("r").0, Outcome::Cancelled);
    assert_eq!(scenario.outcome("w").0, Outcome::Cancelled);
    assert_eq!(scenario.outcome("d").0, Outcome::Ok);
    assert_eq!(scenario.error().code, Code::Cancelled);
    assert_eq!(scenario.events.iter().filter(|event| event.is_terminal()).count(), 1);
    assert_eq!(scenario.run.messages().len(), 3);
}

#[test]
fn cancel_at_any_stage_ends_the_run_once() {
    let stages: [fn(&mut Scenario); 4] = [
        |_| {},
        |scenario| assert_eq!(scenario.next(), Step::Gather),
        |scenario| {
            scenario.next();
            scenario.apply(Fact::Gathered);
        },
        |scenario| {
            scenario.next();
            scenario.apply(Fact::Gathered);
            scenario.next();
            scenario.apply(Fact::Tools(Vec::new()));
            scenario.next();
            scenario.apply(Fact::ModelFailed(Error::new(Code::Network, "x").retry(Retry::Backoff)));
        },
    ];
    for stage in stages {
        let mut scenario = Scenario::new(Approval::Writes, Limits::default());
        stage(&mut scenario);
        scenario.apply(Fact::Cancelled);
        assert_eq!(scenario.next(), Step::Done);
        assert_eq!(scenario.error().code, Code::Cancelled);
        for late in [Fact::Gathered, Fact::Tools(Vec::new()), Fact::Slept, Fact::ModelEnded] {
            scenario.apply(late);
        }
        assert_eq!(scenario.events.iter().filter(|event| event.is_terminal()).count(), 1);
    }
}

#[test]
fn a_paused_turn_is_gone_on_with() {
    let mut scenario = Scenario::asking(Approval::Writes);
    scenario.apply(Fact::Deltas(vec![Delta::Text("still ".into()), Delta::Stop(StopReason::PauseTurn)]));
    scenario.apply(Fact::ModelEnded);
    assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
    scenario.answer("there", &[]);
    assert_eq!(scenario.next(), Step::Done);
}

#[test]
fn the_same_facts_give_the_same_events() {
    let play = || {
        let mut scenario = Scenario::asking(Approval::Never);
        scenario.apply(Fact::ModelFailed(Error::new(Code::Network, "x").retry(Retry::Backoff)));
        scenario.next();
        scenario.apply(Fact::Slept);
        scenario.next();
        scenario.answer("x", &[("a", "s__read", "{}")]);
        scenario.call_tool();
        scenario.ended("a");
        scenario.events
    };
    assert_eq!(play(), play());
}

/// A run whose only call, `t1`, is at work.
fn calling(listening: bool) -> Scenario {
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.apply(Fact::Listening(listening));
    scenario.answer("", &[("t1", "s__write", "{}")]);
    assert!(matches!(scenario.next(), Step::CallTool(_)));
    scenario
}

fn asked(id: &str, call: &str) -> Fact {
    let (server, message) = ("s".to_owned(), "Days?".to_owned());
    Fact::InputAsked { id: id.into(), call: call.into(), server, message, schema: Some(json!({})), url: None }
}

#[test]
fn what_a_server_wants_of_the_user_waits_for_the_answer() {
    let mut scenario = calling(true);
    scenario.apply(asked("t1/1", "t1"));
    scenario.apply(asked("t1/2", "t1"));
    scenario.apply(asked("t9/3", "t9"));
    let requests = scenario.events.iter().filter(|event| matches!(event, Event::InputRequest { .. })).count();
    assert_eq!(requests, 2, "one of them belongs to no call");
    assert_eq!(scenario.next(), Step::Wait);
    let answer = json!({ "action": "decline" });
    scenario.apply(Fact::Answered { id: "t1/2".into(), answer: answer.clone() });
    assert_eq!(scenario.next(), Step::Reply("t1/2".into(), answer.clone()));
    assert_eq!(scenario.next(), Step::Wait);
    let again = Fact::Answered { id: "t1/2".into(), answer: answer.clone() };
    assert_eq!(scenario.run.apply(again, NOW).unwrap_err().code, Code::Misuse);
    scenario.ended("t1");
    let late = Fact::Answered { id: "t1/1".into(), answer };
    assert_eq!(scenario.run.apply(late, NOW).unwrap_err().code, Code::Misuse, "its call is over");
}

#[test]
fn nobody_is_waited_for_who_is_not_there() {
    let mut scenario = calling(false);
    scenario.apply(asked("t1/1", "t1"));
    assert!(!scenario.events.iter().any(|event| matches!(event, Event::InputRequest { .. })));
    assert_eq!(scenario.next(), Step::Reply("t1/1".into(), Value::Null));
}

#[test]
fn a_cancel_forgets_what_was_asked() {
    let mut scenario = calling(true);
    scenario.apply(asked("t1/1", "t1"));
    scenario.apply(Fact::Cancelled);
    assert_eq!(scenario.next(), Step::Done);
    let late = Fact::Answered { id: "t1/1".into(), answer: Value::Null };
    assert_eq!(scenario.run.apply(late, NOW).unwrap_err().code, Code::Misuse);
}
