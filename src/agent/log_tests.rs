//! Logs: each fact as it is written and read, and runs that are told their logs again.

use serde_json::json;

use super::*;
use crate::agent::catalog::{Builtin, ToolEntry};
use crate::agent::config::{Approval, Limits};
use crate::agent::event::{Event, Outcome};
use crate::agent::fact::{Compacted, Decision, PlannedCall, ToolOutput};
use crate::agent::recovery::Candidate;
use crate::agent::run::Setup;
use crate::agent::view::Rate;
use crate::error::Retry;
use crate::llm::types::{StopReason, Usage};
use crate::mcp::lists::Age;
use crate::mcp::trust::Change;
use crate::options::FunctionId;
use crate::time::Millis;

fn header(approval: Approval) -> Header {
    let setup = Setup {
        id: "run_1".into(),
        prompt: Message::user("hi"),
        messages: vec![Message::user("before"), Message::assistant("yes")],
        limits: Limits { tool_timeout: Some(Millis(7)), ..Limits::default() },
        approval,
        models: vec![Candidate { id: "m".into(), prefill: true, room: Some(9_000), ..Candidate::default() }],
        output: Some(json!({ "type": "object" })),
        random: u64::MAX,
        goal: true,
        conversation: true,
        rate: Rate::of(7, 2),
    };
    let conversation = Some(Told { id: "c".into(), from: 3, count: 2 });
    Header { at: UnixMillis(1_000), setup, inline: true, plan: None, conversation }
}

fn tool(name: &str, read_only: bool) -> ToolEntry {
    ToolEntry {
        wire_name: ["s__", name].concat(),
        name: ["s.", name].concat(),
        server: Some("s".into()),
        read_only,
        ..ToolEntry::default()
    }
}

/// One fact of each kind that a log has.
fn facts() -> Vec<Fact> {
    let error = Error::new(Code::Http, "it broke").retry(Retry::After(Millis(9))).status(503);
    let change = Change { parts: vec!["description".into()], fingerprint: "f".into(), asks: true };
    let own = ToolEntry { builtin: Some(Builtin::Plan), changed: Some(change), ..tool("own", true) };
    let output = ToolOutput {
        content: vec![json!({ "type": "text", "text": "3" })],
        structured_content: Some(json!({ "sum": 3 })),
        is_error: false,
        outcome: Outcome::Cached,
        cached: Some(Age { age_ms: Millis(5), stale: true }),
        handle: Some("h".into()),
    };
    let guarded = ToolEntry { limit: Some(2), private: true, outside: true, ..tool("mail", false) };
    let own_of = |builtin| ToolEntry { builtin: Some(builtin), ..tool("own", true) };
    let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    let compacted = Compacted {
        keeps: 2,
        summary: Some("in short".into()),
        results: vec![pair("t0", "less")],
        usage: Usage { input_tokens: 9, reasoning_tokens: 4, ..Usage::default() },
    };
    let id = || "t1".to_owned();
    let call = PlannedCall { id: "p/1".into(), tool: "s.read".into(), input: json!({ "a": [1] }), step: "one".into() };
    let decision = |approve, why: Option<&str>| Decision {
        id: id(),
        approve,
        why: why.map(str::to_owned),
        always: approve.then_some(true),
    };
    vec![
        Fact::Gathered,
        Fact::Context(Ok(json!({ "text": "context" }))),
        Fact::Context(Err(error.clone())),
        Fact::SourceChanged(json!({ "uri": "u" })),
        Fact::Tools(vec![tool("read", true), own, ToolEntry { server: None, idempotent: true, ..tool("app", false) }]),
        Fact::Tools([Builtin::Goal, Builtin::Read, Builtin::Find].map(own_of).into()),
        Fact::Tools(vec![guarded]),
        Fact::Offered { names: vec!["s__read".into(), "mail".into()], anew: true },
        Fact::Offered { names: vec!["s__send".into()], anew: false },
        Fact::Fixed(77),
        Fact::Compacted(compacted),
        Fact::Compacted(Compacted::default()),
        Fact::ModelEnded,
        Fact::ModelFailed(error.clone()),
        Fact::Slept,
        Fact::Checked(vec!["it is wrong".into()]),
        Fact::Judged { id: id(), ask: Ok(true) },
        Fact::Judged { id: id(), ask: Err("thrown".into()) },
        Fact::Private(vec!["mail".into()]),
        Fact::Remembered(vec![pair("s.read", "digest")]),
        Fact::Remember { id: id(), always: true },
        Fact::Approved { id: id() },
        Fact::Denied { id: id(), why: None },
        Fact::Denied { id: id(), why: Some("no".into()) },
        Fact::ToolTask { id: id(), task: "task".into() },
        Fact::ToolEnded { id: id(), output },
        Fact::ToolEnded { id: id(), output: ToolOutput::failed(Outcome::Unknown, "who knows") },
        Fact::ToolFailed { id: id(), error: error.clone() },
        Fact::Rested { id: id() },
        Fact::Planned { call: id(), calls: vec![call] },
        Fact::Withdrawn { call: id() },
        Fact::PlanRefused(error),
        Fact::Steered { text: "also that".into(), follow_up: true },
        Fact::Listening(true),
        Fact::Suspending,
        Fact::Resumed {
            approval: Approval::Always,
            decisions: vec![decision(true, None), decision(false, Some("no"))],
        },
        Fact::Cancelled,
    ]
}

fn deltas() -> Vec<Delta> {
    vec![
        Delta::Thinking("hm".into()),
        Delta::Signature("sealed".into()),
        Delta::RedactedThinking("secret".into()),
        Delta::Text("It".into()),
        Delta::Text(" is\n".into()),
        Delta::ToolStart { index: 0, id: "t1".into(), name: "s__read".into() },
        Delta::ToolInput { index: 0, json: "{\"a\"".into() },
        Delta::ToolInput { index: 0, json: ":1}".into() },
        Delta::ToolEnd { index: 0 },
        Delta::Usage(Usage { input_tokens: 1, output_tokens: 2, cost: 3, ..Usage::default() }),
        Delta::Stop(StopReason::PauseTurn),
    ]
}

#[test]
fn what_is_read_is_what_was_written() {
    let mut log = Log::default();
    for (at, fact) in (1..).zip(facts()) {
        log.note(&fact, UnixMillis(at));
        assert!(log.end_line(), "{fact:?}");
    }
    log.note(&Fact::Deltas(deltas()), UnixMillis(98));
    assert!(log.end_line(), "a call may start");
    for piece in ["on", "ward"] {
        log.note(&Fact::Deltas(vec![Delta::Text(piece.into())]), UnixMillis(99));
        assert!(!log.end_line(), "an answer that is coming is no line");
    }
    log.note(&Fact::Slept, UnixMillis(100));
    log.end_line();
    let header = header(Approval::Writes);
    let replay = Replay::read(&[&header.write(true), log.text()].concat()).unwrap();
    assert_eq!(format!("{:?}", replay.header), format!("{header:?}"));
    assert_eq!(replay.lines(), log.text());
    let read: Vec<Fact> = replay.lines.iter().flat_map(|(_, facts)| facts.clone()).collect();
    let mut written = facts();
    // Pieces of one thing are one.
    let mut joined = deltas();
    joined[3] = Delta::Text("It is\n".into());
    joined[6] = Delta::ToolInput { index: 0, json: "{\"a\":1}".into() };
    joined.drain(7..8);
    joined.remove(4);
    written.extend([Fact::Deltas(joined), Fact::Deltas(vec![Delta::Text("onward".into())]), Fact::Slept]);
    assert_eq!(read, written);
}

#[test]
fn a_function_of_the_app_and_keys_are_in_no_log() {
    let text = header(Approval::Function(FunctionId(3))).write(false);
    let replay = Replay::read(&text).unwrap();
    assert!(matches!(replay.header.setup.approval, Approval::Function(FunctionId(u32::MAX))));
    assert!(replay.header.setup.messages.is_empty() && !replay.header.inline && !text.contains("before"));
}

#[test]
fn what_is_no_log_is_refused_by_its_line_and_a_cut_line_is_none() {
    let head = header(Approval::Writes).write(true);
    let line = |text: &str| Replay::read(text).unwrap_err().message.clone();
    for text in ["", "{}", "{}\n", "{\"edgewise\":2}\n", head.trim_end()] {
        assert!(line(text).contains("line 1 "), "{text}");
    }
    for wrong in
        ["[]", "[1,[\"unheard\"]]", "[1,[\"approved\"]]", "[\"x\",[\"slept\"]]", "7", "[1,[\"deltas\",[\"video\",1]]]"]
    {
        assert!(line(&[&head, "[1,[\"gathered\"]]\n", wrong, "\n"].concat()).contains("line 3 "), "{wrong}");
    }
    let cut = [&head, "[1,[\"gathered\"]]\n[2,[\"appro"].concat();
    assert_eq!(Replay::read(&cut).unwrap().lines(), "[1,[\"gathered\"]]\n");
}

/// A run that is recorded as its driver records it.
struct Recorded {
    run: Run,
    log: Log,
    events: Vec<Event>,
    header: Header,
    now: u64,
}

impl Recorded {
    fn new() -> Recorded {
        let mut header = header(Approval::Writes);
        (header.setup.output, header.setup.goal) = (None, false);
        let mut run = header.clone().run(None);
        pump(&mut run, header.at);
        let events = run.take_events();
        Recorded { run, log: Log::default(), events, header, now: 1_000 }
    }

    /// At a turn with calls: one that reads, one that writes and is approved, one that waits for the user.
    fn calling() -> Recorded {
        let mut recorded = Recorded::new();
        recorded.tell(vec![Fact::Listening(true), Fact::Gathered]);
        recorded.tell(vec![Fact::Tools(vec![tool("read", true), tool("write", false)])]);
        recorded.tell(vec![Fact::Deltas(vec![Delta::Text("Let me ".into())])]);
        let mut deltas = vec![Delta::Text("look.".into())];
        for (index, (id, name)) in (0..).zip([("r", "s__read"), ("w", "s__write"), ("v", "s__write")]) {
            deltas.push(Delta::ToolStart { index, id: id.into(), name: name.into() });
            deltas.push(Delta::ToolInput { index, json: "{}".into() });
            deltas.push(Delta::ToolEnd { index });
        }
        recorded.tell(vec![Fact::Deltas(deltas), Fact::ModelEnded]);
        recorded.tell(vec![Fact::Approved { id: "w".into() }]);
        recorded
    }

    fn tell(&mut self, facts: Vec<Fact>) -> Vec<Step> {
        self.now += 10;
        let now = UnixMillis(self.now);
        for fact in facts {
            self.log.note(&fact, now);
            let _ = self.run.apply(fact, now);
        }
        let mut steps = Vec::new();
        loop {
            match self.run.next(now) {
                Step::Wait | Step::Done => break,
                step => steps.push(step),
            }
        }
        self.log.end_line();
        self.events.extend(self.run.take_events());
        steps
    }

    fn text(&self) -> String {
        [&self.header.write(true), self.log.text()].concat()
    }
}

fn kinds(events: &[Event]) -> Vec<String> {
    let kind = |event: &Event| serde_json::to_value(event).unwrap()["type"].as_str().unwrap().to_owned();
    events.iter().map(kind).collect()
}

fn state(run: &Run) -> Value {
    serde_json::to_value(run).unwrap()
}

#[test]
fn a_run_that_is_told_its_log_is_the_run_that_it_was_and_tells_the_same() {
    let mut recorded = Recorded::calling();
    let mut replayed = Replay::read(&recorded.text()).unwrap().run(None);
    assert_eq!(state(&replayed), state(&recorded.run));
    // All but how the text came.
    let texts = |events: &[Event]| -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        for event in events.iter().map(|event| serde_json::to_value(event).unwrap()) {
            match all.last_mut() {
                Some(last) if last["type"] == "text_delta" && event["type"] == "text_delta" => {
                    last["text"] = [last["text"].as_str().unwrap(), event["text"].as_str().unwrap()].concat().into();
                }
                _ => all.push(event),
            }
        }
        all
    };
    assert_eq!(texts(&replayed.take_events()), texts(&recorded.events));
    recorded.tell(vec![Fact::Cancelled]);
    assert!(Replay::read(&recorded.text()).unwrap().run(None).is_over());
}

#[test]
fn every_beginning_of_a_log_is_a_run_that_can_go_on() {
    let mut recorded = Recorded::calling();
    let output = ToolOutput::failed(Outcome::Ok, "done");
    recorded.tell(vec![Fact::ToolEnded { id: "r".into(), output: output.clone() }]);
    recorded.tell(vec![Fact::ToolEnded { id: "w".into(), output }]);
    recorded.tell(vec![Fact::Denied { id: "v".into(), why: None }]);
    recorded.tell(vec![Fact::Deltas(vec![Delta::Text("All done.".into())]), Fact::ModelEnded]);
    let text = recorded.text();
    let header = text.find('\n').unwrap() + 1;
    for end in header..=text.len() {
        if !text.is_char_boundary(end) {
            continue;
        }
        let mut run = Replay::read(&text[..end]).unwrap().run(None);
        if run.is_over() {
            continue;
        }
        run.take_events();
        let now = UnixMillis(9_000);
        let told = |run: &mut Run, fact: Fact| {
            run.apply(fact, now).unwrap();
            let mut steps = Vec::new();
            loop {
                match run.next(now) {
                    Step::Wait | Step::Done => return steps,
                    step => steps.push(step),
                }
            }
        };
        let decisions = ["w", "v"].map(|id| Decision { id: id.into(), approve: true, why: None, always: None });
        let resumed = Fact::Resumed { approval: Approval::Writes, decisions: decisions.into() };
        assert_eq!(told(&mut run, resumed), [Step::Gather], "at byte {end}");
        assert_eq!(told(&mut run, Fact::Gathered), [Step::OfferTools], "at byte {end}");
        let steps = told(&mut run, Fact::Tools(vec![tool("other", true), tool("write", false), tool("read", true)]));
        assert!(!steps.is_empty(), "at byte {end}: {:?}", state(&run));
        let events = run.take_events();
        // Whatever is told again is whole: as many results as calls, for those that are settled.
        let kinds = kinds(&events);
        assert_eq!(kinds[0], "run_start");
        let lines = text[..end].matches('\n').count();
        let asked = |wanted: &str| steps.iter().any(|step| matches!(step, Step::CallTool(call) if call.id == wanted));
        // The write that was at work is never made again.
        if lines >= 5 {
            assert!(!asked("w"), "at byte {end}: {steps:?}");
        }
        if lines == 5 {
            assert!(asked("r") && asked("v"), "at byte {end}: {steps:?}");
            let unknown = events
                .iter()
                .any(|event| matches!(event, Event::ToolResult { id, outcome: Outcome::Unknown, .. } if id == "w"));
            assert!(unknown, "{events:?}");
        }
    }
}

#[test]
fn the_open_turn_is_told_again_and_the_user_is_asked_again() {
    let recorded = Recorded::calling();
    let mut run = Replay::read(&recorded.text()).unwrap().run(None);
    run.take_events();
    let now = UnixMillis(9_000);
    for fact in [
        Fact::Resumed { approval: Approval::Writes, decisions: vec![] },
        Fact::Listening(true),
        Fact::Gathered,
        Fact::Tools(vec![tool("read", true), tool("write", false)]),
    ] {
        run.apply(fact, now).unwrap();
        pump(&mut run, now);
    }
    let events = run.take_events();
    let told = [
        "run_start",
        "turn_start",
        "text_delta",
        "tool_call",
        "tool_call",
        "tool_call",
        "tool_result",
        "approval_request",
    ];
    assert_eq!(kinds(&events), told);
    assert!(matches!(&events[2], Event::TextDelta { text } if text == "Let me look."));
    assert!(matches!(&events[7], Event::ApprovalRequest { id, .. } if id == "v"));
}

#[test]
fn an_answer_that_was_cut_is_gone_on_with() {
    let mut recorded = Recorded::new();
    recorded.tell(vec![Fact::Gathered]);
    recorded.tell(vec![Fact::Tools(vec![])]);
    let words = "The first half of a long answer, which has been shown.";
    recorded.tell(vec![Fact::Deltas(vec![Delta::Text(words.into())])]);
    let text = [&recorded.text(), recorded.log.open_line().as_str()].concat();
    let mut run = Replay::read(&text).unwrap().run(None);
    run.take_events();
    let now = UnixMillis(9_000);
    let mut steps = Vec::new();
    for fact in [Fact::Resumed { approval: Approval::Never, decisions: vec![] }, Fact::Gathered, Fact::Tools(vec![])] {
        run.apply(fact, now).unwrap();
        loop {
            match run.next(now) {
                Step::Wait => break,
                step => steps.push(step),
            }
        }
    }
    let Some(Step::CallModel(ask)) = steps.last() else { panic!("{steps:?}") };
    assert_eq!((ask.said.as_deref(), ask.prefill), (Some(words), true));
    run.apply(Fact::Deltas(vec![Delta::Text(" And the second.".into())]), now).unwrap();
    run.apply(Fact::ModelEnded, now).unwrap();
    let said: String = run
        .take_events()
        .iter()
        .filter_map(|event| if let Event::TextDelta { text } = event { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(said, [words, " And the second."].concat());
}

#[test]
fn a_call_that_began_before_its_answer_ended_is_known_to_have_begun() {
    let mut recorded = Recorded::new();
    recorded.header.setup.approval = Approval::Never;
    recorded.run = recorded.header.clone().run(None);
    pump(&mut recorded.run, recorded.header.at);
    recorded.tell(vec![Fact::Gathered]);
    recorded.tell(vec![Fact::Tools(vec![tool("write", false), tool("read", true)])]);
    let call = |index, id: &str, name: &str| {
        vec![
            Delta::ToolStart { index, id: id.into(), name: name.into() },
            Delta::ToolInput { index, json: "{}".into() },
            Delta::ToolEnd { index },
        ]
    };
    let steps = recorded.tell(vec![Fact::Deltas(call(0, "w", "s__write"))]);
    assert!(matches!(&steps[..], [Step::CallTool(call)] if call.id == "w"), "{steps:?}");
    recorded.tell(vec![Fact::Deltas(call(1, "r", "s__read"))]);
    recorded.tell(vec![Fact::Deltas(vec![Delta::ToolStart { index: 2, id: "x".into(), name: "s__write".into() }])]);
    let mut run = Replay::read(&recorded.text()).unwrap().run(None);
    run.take_events();
    let mut steps = Vec::new();
    for fact in [
        Fact::Resumed { approval: Approval::Never, decisions: vec![] },
        Fact::Gathered,
        Fact::Tools(vec![tool("read", true), tool("write", false)]),
    ] {
        run.apply(fact, UnixMillis(9_000)).unwrap();
        loop {
            match run.next(UnixMillis(9_000)) {
                Step::Wait => break,
                step => steps.push(step),
            }
        }
    }
    // The answer ends with the calls that had begun: what may be made twice is, and of the other nobody knows.
    assert!(matches!(&steps[2..], [Step::CallTool(call)] if call.id == "r"), "{steps:?}");
    let events = run.take_events();
    assert_eq!(kinds(&events), ["run_start", "turn_start", "tool_call", "tool_call", "tool_result"]);
    assert!(matches!(&events[4], Event::ToolResult { id, outcome: Outcome::Unknown, .. } if id == "w"));
}

#[test]
fn of_a_call_that_was_at_work_nobody_knows_the_outcome_also_where_its_server_is_gone() {
    let recorded = Recorded::calling();
    let mut run = Replay::read(&recorded.text()).unwrap().run(None);
    run.take_events();
    for fact in [
        Fact::Resumed { approval: Approval::Writes, decisions: vec![] },
        Fact::Gathered,
        // Nothing of the server is there after the reload.
        Fact::Tools(vec![tool("other", true)]),
    ] {
        run.apply(fact, UnixMillis(9_000)).unwrap();
        pump(&mut run, UnixMillis(9_000));
    }
    let told: Vec<(String, Outcome, String)> = run
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::ToolResult { id, outcome, content, .. } => Some((id, outcome, content[0]["text"].to_string())),
            _ => None,
        })
        .collect();
    let of = |id: &str| told.iter().find(|(known, ..)| known == id).unwrap();
    assert_eq!([of("r").1, of("w").1, of("v").1], [Outcome::Failed, Outcome::Unknown, Outcome::Failed], "{told:?}");
    assert!(of("w").2.contains("The outcome is unknown"), "{told:?}");
    assert!(!of("r").2.contains("unknown") && !of("v").2.contains("unknown"), "{told:?}");
}

#[test]
fn a_run_is_put_away_when_all_that_is_left_waits() {
    let mut recorded = Recorded::calling();
    recorded.tell(vec![Fact::Suspending]);
    let output = ToolOutput::failed(Outcome::Ok, "done");
    assert_eq!(recorded.tell(vec![Fact::ToolEnded { id: "r".into(), output: output.clone() }]), []);
    assert_eq!(recorded.tell(vec![Fact::ToolEnded { id: "w".into(), output }]), [Step::Suspend]);
    recorded.tell(vec![Fact::Suspended("snapshot".into())]);
    let Some(Event::Suspended { snapshot, waiting_for, .. }) = recorded.events.last() else { panic!() };
    assert_eq!((snapshot.as_str(), &waiting_for[0]["id"]), ("snapshot", &json!("v")));
    // What is in the log is the run before it was put away.
    assert!(!Replay::read(&recorded.text()).unwrap().run(None).is_over());
}

#[test]
fn a_history_that_was_being_made_less_of_is_looked_at_anew() {
    let mut recorded = Recorded::new();
    recorded.header.setup.models[0].room = Some(3);
    recorded.run = recorded.header.clone().run(None);
    pump(&mut recorded.run, recorded.header.at);
    recorded.tell(vec![Fact::Gathered]);
    let steps = recorded.tell(vec![Fact::Fixed(8), Fact::Tools(vec![tool("read", true)])]);
    assert!(matches!(steps[..], [Step::Compact(_)]), "{steps:?}");
    let resumed = || {
        let mut run = Replay::read(&recorded.text()).unwrap().run(None);
        run.take_events();
        let resumed = Fact::Resumed { approval: Approval::Writes, decisions: vec![] };
        run.apply(resumed, UnixMillis(9_000)).unwrap();
        pump(&mut run, UnixMillis(9_000));
        run
    };
    let mut run = resumed();
    let now = UnixMillis(9_000);
    run.apply(Fact::Gathered, now).unwrap();
    assert_eq!([run.next(now), run.next(now)], [Step::OfferTools, Step::Wait]);
    run.apply(Fact::Tools(vec![tool("read", true)]), now).unwrap();
    assert!(matches!(run.next(now), Step::Compact(_)));
    let compacted = Compacted { summary: Some("in short".into()), keeps: 1, ..Compacted::default() };
    run.apply(Fact::Compacted(compacted), now).unwrap();
    assert!(matches!(run.next(now), Step::CallModel(_)));
    assert_eq!(kinds(&run.take_events()), ["run_start", "turn_start", "compacted"]);
    // Or nobody wants it any more.
    let mut run = resumed();
    run.apply(Fact::Cancelled, now).unwrap();
    assert_eq!(kinds(&run.take_events()), ["run_start", "turn_start", "error"]);
}

#[test]
fn what_was_allowed_and_whose_data_are_there_is_known_when_a_run_goes_on() {
    let mail = ToolEntry { private: true, ..tool("read", true) };
    let web = ToolEntry { server: Some("web".into()), outside: true, ..tool("send", true) };
    let tools = || vec![mail.clone(), web.clone(), tool("write", false)];
    let mut recorded = Recorded::new();
    recorded.tell(vec![Fact::Listening(true), Fact::Gathered]);
    recorded.tell(vec![Fact::Tools(tools())]);
    let call = |id: &str, name: &str| {
        Fact::Deltas(vec![
            Delta::ToolStart { index: 0, id: id.into(), name: name.into() },
            Delta::ToolInput { index: 0, json: "{}".into() },
            Delta::ToolEnd { index: 0 },
        ])
    };
    let ended = |id: &str| Fact::ToolEnded { id: id.into(), output: ToolOutput::text("done") };
    recorded.tell(vec![call("a", "s__read"), Fact::ModelEnded]);
    recorded.tell(vec![ended("a")]);
    recorded.tell(vec![call("b", "s__write"), Fact::ModelEnded]);
    recorded.tell(vec![Fact::Remember { id: "b".into(), always: false }, Fact::Approved { id: "b".into() }]);
    recorded.tell(vec![ended("b")]);
    let mut run = Replay::read(&recorded.text()).unwrap().run(None);
    run.take_events();
    let now = UnixMillis(9_000);
    let resumed = Fact::Resumed { approval: Approval::Writes, decisions: vec![] };
    let facts = [resumed, Fact::Listening(true), Fact::Gathered, Fact::Tools(tools())];
    for fact in facts.into_iter().chain([call("c", "s__write"), Fact::ModelEnded]) {
        run.apply(fact, now).unwrap();
        pump(&mut run, now);
    }
    for fact in [ended("c"), call("d", "s__send"), Fact::ModelEnded] {
        run.apply(fact, now).unwrap();
        pump(&mut run, now);
    }
    let asked: Vec<String> = run
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::ApprovalRequest { id, reason, .. } => Some([id, reason].join(": ")),
            _ => None,
        })
        .collect();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].starts_with("d: private data of s may leave through s.send"), "{asked:?}");
}

#[test]
fn what_came_of_the_open_turn_is_private_when_its_server_is_by_now() {
    let web = ToolEntry { server: Some("web".into()), outside: true, ..tool("send", false) };
    let mut recorded = Recorded::new();
    recorded.tell(vec![Fact::Listening(true), Fact::Gathered]);
    recorded.tell(vec![Fact::Tools(vec![tool("read", true), web.clone()])]);
    let call = |index, id: &str, name: &str| {
        let (id, name) = (id.to_owned(), name.to_owned());
        let input = Delta::ToolInput { index, json: "{}".into() };
        Fact::Deltas(vec![Delta::ToolStart { index, id, name }, input, Delta::ToolEnd { index }])
    };
    recorded.tell(vec![call(0, "a", "s__read"), call(1, "b", "s__send"), Fact::ModelEnded]);
    recorded.tell(vec![Fact::ToolEnded { id: "a".into(), output: ToolOutput::text("a letter") }]);
    let reasons = |private: bool| -> Vec<String> {
        let mut run = Replay::read(&recorded.text()).unwrap().run(None);
        run.take_events();
        let resumed = Fact::Resumed { approval: Approval::Writes, decisions: vec![] };
        let tools = Fact::Tools(vec![ToolEntry { private, ..tool("read", true) }, web.clone()]);
        for fact in [resumed, Fact::Listening(true), Fact::Gathered, tools] {
            run.apply(fact, UnixMillis(9_000)).unwrap();
            pump(&mut run, UnixMillis(9_000));
        }
        let asked = run.take_events().into_iter().filter_map(|event| match event {
            Event::ApprovalRequest { id, reason, .. } => Some([id, reason].join(": ")),
            _ => None,
        });
        asked.collect()
    };
    let [usual, private] = [false, true].map(reasons);
    assert_eq!((usual.len(), private.len()), (1, 1), "{usual:?} {private:?}");
    assert!(usual[0].starts_with("b: ") && !usual[0].contains("private"), "{usual:?}");
    assert!(private[0].starts_with("b: private data of s may leave through s.send"), "{private:?}");
}
