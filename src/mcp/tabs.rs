//! What the tabs of one origin tell each other, so that one of them listens to a server for all.
//!
//! Whoever holds the lock of the server leads: it listens for what all want, and tells them what it hears. Each says what it
//! wants when it comes, when that changes, and when somebody begins to lead. All words are one line of JSON.
//!
//! ```
//! # use edgewise::mcp::listen::{Change, Filter};
//! # use edgewise::mcp::tabs::{Tabs, Word};
//! let (mut first, mut second) = (Tabs::new("a".into()), Tabs::new("b".into()));
//! let told = first.write(&Word::Changed(Change::Tools));
//! assert_eq!(second.hear(&told).unwrap().word, Word::Changed(Change::Tools));
//! let wants = second.write(&Word::Wants(Filter { tools: true, ..Filter::default() }));
//! first.hear(&wants);
//! assert_eq!(first.others(), ["b"]);
//! assert!(first.wanted().tools);
//! ```

use serde_json::{Value, json};

use super::listen::{Change, Filter};
use crate::json;

/// What one tab says to the others.
#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// It is here, and wants to be told that much.
    Wants(Filter),
    /// It goes.
    Gone,
    /// It leads from now on. What was told by another is over.
    Leads,
    /// Its stream is there: what it was asked for, and how much of that is honoured.
    Open(Filter, Filter),
    /// Its stream is gone.
    Lost,
    /// The server told of a change.
    Changed(Change),
    /// Whether it listens for what the server asks or logs on the stream of the session, and whether it has just begun a
    /// call, or has one still.
    Ears(bool, bool),
    /// The server asks something that the tab of that name is to answer: a message of JSON-RPC.
    Ask(String, Value),
    /// Anything else that came on the stream: a message of JSON-RPC.
    Heard(Value),
}

/// What a tab heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Who said it.
    pub from: String,
    /// What.
    pub word: Word,
    /// Somebody else leads than before: what changed between the two was told to nobody.
    pub moved: bool,
}

/// One tab's view of who is there and who leads.
#[derive(Clone, Debug)]
pub struct Tabs {
    me: String,
    /// Who leads, and who did before.
    leader: Option<String>,
    former: Vec<String>,
    others: Vec<(String, Filter)>,
    /// Who listens for what the server asks, and has a call under way; whoever began one last comes last.
    ears: Vec<(String, bool)>,
}

/// How many leaders are remembered whose late words are not believed.
const FORMER: usize = 8;

impl Tabs {
    /// The view of a tab that nobody else has named so.
    pub fn new(me: String) -> Tabs {
        Tabs { me, leader: None, former: Vec::new(), others: Vec::new(), ears: Vec::new() }
    }

    /// Its own name.
    pub fn me(&self) -> &str {
        &self.me
    }

    /// A word of ours as it is said.
    pub fn write(&self, word: &Word) -> String {
        let (kind, value) = match word {
            Word::Wants(filter) => ("wants", filter.to_params()),
            Word::Gone => ("gone", Value::Null),
            Word::Leads => ("leads", Value::Null),
            Word::Open(asked, honoured) => ("open", json!([asked.to_params(), honoured.to_params()])),
            Word::Lost => ("lost", Value::Null),
            Word::Changed(change) => ("changed", change.to_notification()),
            Word::Ears(open, call) => ("ears", json!([open, call])),
            Word::Ask(to, message) => ("ask", json!([to, message])),
            Word::Heard(message) => ("heard", message.clone()),
        };
        json::text(&json!([self.me, kind, value]))
    }

    /// Takes what another tab has said. `None` for what cannot be read, which another version may have said, and for
    /// what whoever led before says of its stream, which is over.
    pub fn hear(&mut self, text: &str) -> Option<Heard> {
        let said = json::read(text)?;
        let from = said.get(0)?.as_str()?.to_owned();
        let value = said.get(2)?;
        let mut moved = false;
        let word = match said.get(1)?.as_str()? {
            "wants" => {
                let filter = Filter::from_params(value);
                self.leave(&from);
                self.others.push((from.clone(), filter.clone()));
                Word::Wants(filter)
            }
            "gone" => {
                self.leave(&from);
                Word::Gone
            }
            "leads" => {
                moved = self.follow(&from);
                Word::Leads
            }
            "open" if !self.former.contains(&from) => {
                moved = self.follow(&from);
                Word::Open(Filter::from_params(value.get(0)?), Filter::from_params(value.get(1)?))
            }
            "lost" if self.leader.as_ref() == Some(&from) => Word::Lost,
            "changed" => {
                let method = value.get("method")?.as_str()?;
                Word::Changed(Change::read(method, value.get("params").cloned())?)
            }
            "ears" => {
                let (open, call) = (value.get(0)?.as_bool()?, value.get(1)?.as_bool()?);
                self.note_ears(&from, open, call);
                Word::Ears(open, call)
            }
            "ask" => Word::Ask(value.get(0)?.as_str()?.to_owned(), value.get(1)?.clone()),
            "heard" => Word::Heard(value.clone()),
            _ => return None,
        };
        Some(Heard { from, word, moved })
    }

    /// Notes who leads; true when it was somebody else.
    fn follow(&mut self, from: &str) -> bool {
        if self.leader.as_deref() == Some(from) {
            return false;
        }
        self.former.retain(|known| known != from);
        let before = self.leader.replace(from.to_owned());
        let moved = before.is_some();
        self.former.extend(before);
        let over = self.former.len().saturating_sub(FORMER);
        self.former.drain(..over);
        moved
    }

    /// A tab is gone, whether it said so or not.
    pub fn leave(&mut self, id: &str) {
        self.others.retain(|(known, _)| known != id);
        self.ears.retain(|(known, _)| known != id);
    }

    /// Somebody, perhaps this tab, listens for what the server asks, or no longer; and has begun a call, or none under way.
    pub fn note_ears(&mut self, id: &str, open: bool, call: bool) {
        self.ears.retain(|(known, _)| known != id);
        if open {
            self.ears.push((id.to_owned(), call));
        }
    }

    /// This tab leads from now on: whoever is there will say again what it listens for.
    pub fn begin(&mut self) {
        self.ears.clear();
    }

    /// Another tab listens for what the server asks.
    pub fn others_listen(&self) -> bool {
        self.ears.iter().any(|(id, _)| *id != self.me)
    }

    /// Which other tab is to answer what the server asks: the one that began a call last. `None` when that is this tab, or
    /// nobody has one under way: then whoever leads answers.
    pub fn asked(&self) -> Option<&str> {
        let last = self.ears.iter().rev().find(|(_, call)| *call);
        last.map(|(id, _)| id.as_str()).filter(|id| *id != self.me)
    }

    /// Who else is there and wants something.
    pub fn others(&self) -> Vec<&str> {
        self.others.iter().map(|(id, _)| id.as_str()).collect()
    }

    /// What all others want together.
    pub fn wanted(&self) -> Filter {
        let mut union = Filter::default();
        self.others.iter().for_each(|(_, filter)| union.join(filter));
        union
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Filter {
        Filter { tools: true, uris: vec!["a:1".into()], ..Filter::default() }
    }

    fn pair() -> (Tabs, Tabs) {
        (Tabs::new("a".into()), Tabs::new("b".into()))
    }

    #[test]
    fn every_word_arrives_as_it_was_said() {
        let task = json!({ "taskId": "t", "status": "working" }).as_object().unwrap().clone();
        let changes =
            [Change::Tools, Change::Prompts, Change::Resources, Change::Resource("a:1".into()), Change::Task(task)];
        let words = [
            Word::Wants(Filter { prompts: true, resources: true, tasks: vec!["t".into()], ..tools() }),
            Word::Leads,
            Word::Open(tools(), Filter::default()),
            Word::Lost,
            Word::Ears(true, false),
            Word::Ask("b".into(), json!({ "jsonrpc": "2.0", "id": 1, "method": "roots/list" })),
            Word::Heard(json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": {} })),
            Word::Gone,
        ];
        let (one, mut other) = pair();
        for word in words.into_iter().chain(changes.map(Word::Changed)) {
            let heard = other.hear(&one.write(&word));
            assert_eq!(heard, Some(Heard { from: "a".into(), word, moved: false }));
        }
        for strange in [
            "",
            "7",
            "[]",
            "[1,\"gone\",null]",
            "[\"a\",\"sings\",null]",
            "[\"a\",\"open\",[]]",
            "[\"a\",\"changed\",{}]",
            "[\"a\",\"ears\",[true]]",
            "[\"a\",\"ask\",[7,{}]]",
        ] {
            assert_eq!(other.hear(strange), None, "{strange}");
        }
    }

    #[test]
    fn what_others_want_follows_who_is_there() {
        let (one, mut other) = pair();
        let third = Tabs::new("c".into());
        other.hear(&one.write(&Word::Wants(tools())));
        other.hear(&third.write(&Word::Wants(Filter { prompts: true, ..Filter::default() })));
        assert_eq!(other.wanted(), Filter { prompts: true, ..tools() });
        other.hear(&one.write(&Word::Wants(Filter::default())));
        assert_eq!((other.wanted().tools, other.others()), (false, vec!["c", "a"]));
        other.leave("c");
        other.hear(&one.write(&Word::Gone));
        assert!(other.others().is_empty() && other.wanted().is_empty());
    }

    #[test]
    fn whoever_began_a_call_last_is_asked() {
        let (one, mut leader) = pair();
        let third = Tabs::new("c".into());
        let mut says = |tab: &Tabs, open, call| drop(leader.hear(&tab.write(&Word::Ears(open, call))));
        says(&one, true, true);
        says(&third, true, true);
        assert_eq!((leader.asked(), leader.others_listen()), (Some("c"), true));
        let mut says = |tab: &Tabs, open, call| drop(leader.hear(&tab.write(&Word::Ears(open, call))));
        // Another call of the first one; the third has none any more.
        says(&one, true, true);
        says(&third, true, false);
        assert_eq!(leader.asked(), Some("a"));
        leader.note_ears("b", true, true);
        assert_eq!(leader.asked(), None, "the leader's own call is the last");
        leader.note_ears("b", true, false);
        assert_eq!(leader.asked(), Some("a"));
        leader.leave("a");
        assert_eq!((leader.asked(), leader.others_listen()), (None, true));
        leader.hear(&third.write(&Word::Gone));
        assert_eq!((leader.asked(), leader.others_listen()), (None, false));
    }

    #[test]
    fn late_words_of_a_former_leader_are_not_believed() {
        let (one, mut other) = pair();
        let third = Tabs::new("c".into());
        let open = Word::Open(tools(), tools());
        assert!(!other.hear(&one.write(&Word::Leads)).unwrap().moved, "there was nobody before");
        assert!(other.hear(&one.write(&open)).is_some());
        assert!(other.hear(&third.write(&Word::Leads)).unwrap().moved);
        assert_eq!(other.hear(&one.write(&open)), None);
        assert_eq!(other.hear(&one.write(&Word::Lost)), None);
        assert!(other.hear(&one.write(&Word::Changed(Change::Tools))).is_some(), "a change is one whoever tells it");
        assert!(other.hear(&third.write(&Word::Lost)).is_some());
        // A tab that came late may hear of them in any order.
        let mut late = Tabs::new("d".into());
        assert!(!late.hear(&third.write(&open)).unwrap().moved);
        assert!(late.hear(&one.write(&open)).unwrap().moved);
        assert!(late.hear(&third.write(&Word::Leads)).unwrap().moved);
        for id in 0..20 {
            late.hear(&Tabs::new(id.to_string()).write(&Word::Leads));
        }
        assert_eq!(late.former.len(), FORMER);
    }
}
