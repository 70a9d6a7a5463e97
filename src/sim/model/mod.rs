//! A scripted language model on both wires, which checks the history that it is given.
//!
//! It knows no more of this crate's wires than the providers do: it reads requests and writes bytes by the
//! providers' documents, so an error in one of the two implementations shows as a disagreement.

mod anthropic;
mod openai;
mod resume;
mod script;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub use script::{Ending, Spoken, SpokenCall};

use super::net::{Answer, Peer, Server};
use crate::agent::goal::TOO_LATE;
use crate::http::{Method, Request};
use crate::llm::types::NO_ANSWER;
use crate::time::Millis;
use script::Offered;

/// Which wire the model is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions.
    OpenAi,
}

/// A request, whatever its wire.
struct Asked {
    key: Option<String>,
    said: Vec<Said>,
    tools: Vec<Offered>,
}

/// A part of the history.
enum Said {
    User(String),
    Model {
        text: String,
        calls: Vec<(String, String, Value)>,
    },
    /// Id, text, whether it is marked as an error (never on the OpenAI wire, which has no such mark).
    Results(Vec<(String, String, bool)>),
}

/// A scripted model. Public fields are the script; set them before the first request.
pub struct ScriptedModel {
    /// Wire that it speaks.
    pub wire: Wire,
    /// Key that it demands.
    pub key: String,
    /// Chance in 1,000 answers that it asks for tools.
    pub talk: u32,
    /// Chance in 1,000 answers that the stream ends with an error of the provider.
    pub fails: u32,
    /// It may deviate from the reference as compatible servers do.
    pub dialects: bool,
    /// Longest delay before the head.
    pub latency: Millis,
    /// Every call of a known tool with good arguments must have succeeded: no faults, denials or cancels.
    pub strict: bool,
    /// A conversation may go on after a cancelled run: two user messages in a row are no violation.
    pub continued: bool,
    /// Its answers, by the first words of the user and by turn: how many answers of the model the request held. The
    /// last answer of a turn counts.
    pub spoken: BTreeMap<(String, usize), Spoken>,
    /// What the user said, as far as the last request told.
    pub heard: Vec<String>,
}

impl ScriptedModel {
    /// A model that demands `key`, talks much and has no quirks.
    pub fn new(wire: Wire, key: &str) -> ScriptedModel {
        ScriptedModel {
            wire,
            key: key.to_owned(),
            talk: 600,
            fails: 0,
            dialects: false,
            latency: Millis(500),
            strict: false,
            continued: false,
            spoken: BTreeMap::new(),
            heard: Vec::new(),
        }
    }

    /// Forgets what it said: the next request begins a conversation of its own.
    pub fn forget(&mut self) {
        self.spoken.clear();
    }

    /// The laws of a history: results follow their calls at once, in order, one for each; what the model is said
    /// to have said is what it said; results are those of the calls they belong to.
    fn check_history(&self, said: &[Said], peer: &mut Peer<'_>) -> usize {
        let mut turn = 0;
        let first = first_words(said);
        let mut open: Vec<(String, Option<String>, bool)> = Vec::new();
        let mut before = "";
        for part in said {
            match part {
                Said::User(_) if before == "user" && !self.continued => peer.violation("two user messages in a row"),
                Said::User(_) => {}
                Said::Model { text, calls } => {
                    if before == "model" || before.is_empty() {
                        peer.violation(format!("an answer of the model after {before:?}"));
                    }
                    let spoken = self.spoken.get(&(first.clone(), turn));
                    open = self.check_answer(turn, text, calls, spoken, peer);
                    turn += 1;
                }
                Said::Results(results) => {
                    if results.len() != open.len() {
                        peer.violation(format!("{} results for {} calls", results.len(), open.len()));
                    }
                    for ((id, text, is_error), (called, expected, known)) in results.iter().zip(&open) {
                        if id != called {
                            peer.violation("a result does not stand in the place of its call");
                        }
                        self.check_result(text, *is_error, expected.as_deref(), *known, peer);
                    }
                    open.clear();
                }
            }
            if !open.is_empty() && !matches!(part, Said::Model { .. }) {
                peer.violation("a call without result");
                open.clear();
            }
            before = match part {
                Said::User(_) => "user",
                Said::Model { .. } => "model",
                Said::Results(_) => "results",
            };
        }
        if before != "user" && before != "results" {
            peer.violation(format!("the history ends with {before:?}"));
        }
        turn
    }

    /// Compares an answer in the history with what was said; gives for each call its id, the result that a working
    /// tool gives, and whether we know what the call was.
    fn check_answer(
        &self,
        turn: usize,
        text: &str,
        calls: &[(String, String, Value)],
        spoken: Option<&Spoken>,
        peer: &mut Peer<'_>,
    ) -> Vec<(String, Option<String>, bool)> {
        let Some(spoken) = spoken else {
            return calls.iter().map(|(id, ..)| (id.clone(), None, false)).collect();
        };
        // A text of nothing but white space may be left out: providers refuse it.
        let nothing = spoken.text().trim().is_empty() && (text.is_empty() || text == NO_ANSWER);
        if !same_words(text, &spoken.text(), self.strict) && !nothing {
            peer.violation(format!("turn {turn}: the text of the history is not what was said"));
        }
        // Of an answer that broke off, the calls that were complete.
        let cut = !self.strict && !calls.is_empty() && calls.len() < spoken.calls.len();
        if spoken.calls.len() != calls.len() && !cut {
            peer.violation(format!("turn {turn}: {} calls said, {} in the history", spoken.calls.len(), calls.len()));
        }
        let pair = |((id, name, input), said): (&(String, String, Value), &SpokenCall)| {
            if (id, name) != (&said.id, &said.name) {
                peer.violation(format!("turn {turn}: a call has another id or name in the history"));
            }
            if said.input.as_ref().is_some_and(|said| said != input) {
                peer.violation(format!("turn {turn}: the arguments of {name} changed"));
            }
            let expected = match (said.kind, &said.input) {
                (Some(kind), Some(input)) => kind.result(input),
                _ => None,
            };
            (id.clone(), expected, said.kind.is_some() || said.unknown || said.input.is_none())
        };
        calls.iter().zip(&spoken.calls).map(pair).collect()
    }

    fn check_result(&self, text: &str, is_error: bool, expected: Option<&str>, known: bool, peer: &mut Peer<'_>) {
        // A text of nothing but white space may be left out here too.
        let blank = expected.is_some_and(|expected| expected.trim().is_empty());
        let good = expected == Some(text) || blank && text.is_empty();
        if !known {
            return;
        }
        // In the report of a goal; who then says more has turns again.
        let too_late = text.contains(TOO_LATE);
        if self.strict && expected.is_some() && (!good || is_error) && !too_late {
            peer.violation("a call that must succeed has another result");
        }
        if expected.is_none() && self.wire == Wire::Anthropic && !is_error {
            peer.violation("a call that cannot succeed has a result that is no error");
        }
        if self.wire == Wire::Anthropic && !is_error && !good {
            peer.violation("a good result is not the one of its call");
        }
        if text.is_empty() && !blank {
            peer.violation("an error result without a word of what went wrong");
        }
    }
}

impl Server for ScriptedModel {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
        let body: Option<Value> = request.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
        let Some(body) = body.filter(|_| request.method == Method::Post) else {
            peer.violation("a model is asked with POST and JSON");
            return Answer::text(400, "", "");
        };
        let mut asked = match self.wire {
            Wire::Anthropic => anthropic::read(request, &body, peer),
            Wire::OpenAi => openai::read(request, &body, peer),
        };
        if asked.key.as_deref() != Some(&self.key) {
            peer.violation("the key is missing or wrong");
            return Answer::text(401, "application/json", json!({ "error": { "message": "no" } }).to_string());
        }
        if body["stream"] != true {
            peer.violation("not asked to stream");
        }
        check_tools(&asked.tools, peer);
        let wish = resume::take_wish(&mut asked.said);
        let turn = self.check_history(&asked.said, peer);
        let first = first_words(&asked.said);
        let heard =
            asked.said.into_iter().filter_map(|said| if let Said::User(text) = said { Some(text) } else { None });
        self.heard = heard.collect();
        let begun = wish.resume.and_then(|resume| Some((self.spoken.get(&(first.clone(), turn))?, resume)));
        let goes_on = begun.is_some();
        let mut spoken = match begun {
            Some((whole, (shown, anchor))) => resume::resume(whole, &shown, anchor.as_deref(), peer),
            None => script::make_up(peer.exchange, &asked.tools, self.talk, peer.rng),
        };
        spoken.fails = peer.rng.chance(self.fails);
        let whole = self.dialects
            && peer.rng.chance(50)
            && spoken.thinking.is_empty()
            && !spoken.fails
            && spoken.calls.iter().all(|call| call.input.is_some());
        let answer = match (self.wire, whole) {
            (Wire::Anthropic, false) => anthropic::stream(&spoken, peer.rng),
            (Wire::Anthropic, true) => anthropic::whole(&spoken),
            (Wire::OpenAi, false) => openai::stream(&spoken, self.dialects, peer.rng),
            (Wire::OpenAi, true) => openai::whole(&spoken),
        };
        if !goes_on {
            self.spoken.insert((first, turn), spoken);
        }
        answer.after(Millis(peer.rng.within(0..=self.latency.0)))
    }
}

/// The text that was shown is the one that was spoken. Of an answer that broke off when nothing but white space had come,
/// that is shown and not sent back, so that another one begins behind it.
pub fn same_words(shown: &str, spoken: &str, strict: bool) -> bool {
    shown == spoken || !strict && shown.trim_start() == spoken.trim_start()
}

/// What the user said first: the name of the conversation.
fn first_words(said: &[Said]) -> String {
    let text = said.iter().find_map(|said| if let Said::User(text) = said { Some(text.clone()) } else { None });
    text.unwrap_or_default()
}

/// Names that the providers accept, each once.
fn check_tools(tools: &[Offered], peer: &mut Peer<'_>) {
    for (index, tool) in tools.iter().enumerate() {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if !(1..=64).contains(&tool.name.len()) || !tool.name.bytes().all(legal) {
            peer.violation(format!("the provider refuses the tool name {:?}", tool.name));
        }
        if tools[..index].iter().any(|other| other.name == tool.name) {
            peer.violation(format!("two tools are named {:?}", tool.name));
        }
        if tool.schema.get("type") != Some(&json!("object")) {
            peer.violation(format!("the schema of {:?} is no object schema", tool.name));
        }
    }
}
