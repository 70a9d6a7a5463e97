use serde_json::json;

use crate::agent::config::{Approval, Limits};
use crate::agent::event::Event;
use crate::agent::fact::{Fact, Step};
use crate::agent::run::tests::Scenario;
use crate::llm::types::{Block, Message};

fn change(uri: &str, version: &str, note: &str) -> Fact {
    let change = json!({
        "server": "s", "uri": uri, "version": version, "difference": "- a\n+ b\n", "added": 1, "removed": 1, "cited": true,
        "same": note.is_empty(), "note": note, "readAt": 7,
    });
    Fact::SourceChanged(change)
}

fn texts(message: &Message) -> Vec<String> {
    let text = |block: &Block| match block {
        Block::Text { text } => text.clone(),
        _ => "result".to_owned(),
    };
    message.content.iter().map(text).collect()
}

fn told(scenario: &Scenario) -> usize {
    scenario.events.iter().filter(|event| matches!(event, Event::ContextChanged { .. })).count()
}

#[test]
fn what_changed_before_the_first_turn_stands_before_the_prompt() {
    let mut scenario = Scenario::new(Approval::Never, Limits::default());
    scenario.next();
    scenario.apply(Fact::Gathered);
    scenario.next();
    for fact in [change("a", "1", "old news"), change("b", "2", "b"), change("a", "3", "a")] {
        scenario.apply(fact);
    }
    scenario.apply(Fact::Tools(vec![]));
    assert_eq!(texts(&scenario.run.messages()[0]), ["a", "b", "hi"], "the newest of each, and the prompt last");
    let noted = json!([{ "server": "s", "uri": "b", "version": "2" }, { "server": "s", "uri": "a", "version": "3" }]);
    assert_eq!(scenario.next(), Step::Noted(noted));
    assert!(matches!(scenario.next(), Step::CallModel(_)));
    assert_eq!(told(&scenario), 3, "the app is told of each at once");
}

#[test]
fn what_changes_meanwhile_stands_behind_the_results() {
    let mut scenario = Scenario::asking(Approval::Never);
    scenario.apply(change("a", "1", "first"));
    assert_eq!(scenario.run.messages()[0].content.len(), 1, "what was sent stays as it is");
    scenario.answer("", &[("t1", "none", "{}")]);
    assert_eq!(texts(scenario.run.messages().last().unwrap()), ["result", "first"]);
    assert!(matches!(scenario.next(), Step::Noted(_)));
    scenario.next();
    // As it was: nothing is to be shown.
    scenario.apply(change("a", "2", "second"));
    scenario.apply(change("a", "0", ""));
    scenario.answer("", &[("t2", "none", "{}")]);
    assert_eq!(texts(scenario.run.messages().last().unwrap()), ["result"]);
    let before = told(&scenario);
    scenario.apply(Fact::Cancelled);
    scenario.apply(change("a", "3", "late"));
    assert_eq!((before, told(&scenario)), (3, 3), "nothing comes after the end");
}
