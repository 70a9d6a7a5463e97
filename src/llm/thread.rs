//! Conversations that the provider holds, so that only what is new is sent.
//!
//! ```text
//! anthropic          "thread":{"type":"create"}, with all of it
//!                    "thread":{"type":"continue","previous_message_id":"msg_1"}, without system prompt and tools
//! openai-responses   "previous_response_id":"resp_1", with instructions and tools; "store":true in every request
//! ```
//!
//! A thread is gone on with only if what is in it is, byte for byte, the beginning of what would be sent without it: the
//! fingerprint of a [`Place`] covers URL, model, options, system prompt, tools and each message up to the answer behind which
//! the thread was left. Whatever changes any of it (another model, more tools, a compacted or edited history, an answer that was
//! mended after it broke off) has another one, and all of it is sent. So it is after any failure: each thread is gone on with
//! once. The provider may forget it at any time; then all of it is sent in its place.
//!
//! Some hosts of a wire pass over fields that they do not know (llama.cpp does): gone on with there, a model would know nothing of
//! what was said before. So whoever is not the provider itself is first sent all of it as if behind an answer that there never
//! was. A host with threads refuses that; one that answers has answered all of it, and is not asked in threads again.
//!
//! Message threads as of the beta of 2026-08-12.

use std::collections::VecDeque;

use super::config::{ModelConfig, Provider};
use super::dialect::host;
use super::found::Found;
use super::turn::Turn;
use super::types::{Message, Role, StopReason};
use super::{anthropic, openai_responses};
use crate::error::{Code, Error, Retry};

/// The value that Anthropic's header `anthropic-beta` has to have for it.
pub(super) const BETA: &str = "message-threads-2026-08-12";

/// A host that has forgotten so many in a row is not asked for more.
const MOST_LOSSES: u32 = 3;

/// Most threads that are remembered; of more, the ones left longest ago are forgotten.
const MOST: usize = 16;

/// How far a conversation has come, and what was said until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes of the messages as they are sent.
    pub(super) bytes: usize,
    /// FNV-1a over these and whatever is sent before them.
    sum: u64,
}

impl Place {
    /// The beginning of a conversation whose requests have these parts.
    pub(super) fn beginning(parts: &[&str]) -> Place {
        let start = Place { bytes: 0, sum: 0xcbf2_9ce4_8422_2325 };
        // Each part has an end, so that none reaches into the next.
        let sum = parts.iter().fold(start, |place, part| place.then(part).then("\0")).sum;
        Place { bytes: 0, sum }
    }

    /// The place behind further text.
    pub(super) fn then(self, text: &str) -> Place {
        let sum = text.bytes().fold(self.sum, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Place { bytes: self.bytes + text.len(), sum }
    }
}

/// Where the conversation of an encoder has come to.
pub(super) struct Track {
    /// The beginning of a request that goes on with a thread, up to the bracket that opens the messages.
    pub(super) head: String,
    /// Behind all that was pushed.
    pub(super) end: Place,
    /// Behind the last message of the model.
    answered: Option<Place>,
}

impl Track {
    pub(super) fn new(head: String, beginning: Place) -> Track {
        Track { head, end: beginning, answered: None }
    }

    /// Goes on by a message that was written so; `text` is empty if nothing of it is sent.
    pub(super) fn push(&mut self, role: Role, text: &str) {
        self.end = self.end.then(text);
        if role == Role::Assistant && !text.is_empty() {
            self.answered = Some(self.end);
        }
    }

    /// The place behind the model's last message, if something follows it.
    pub(super) fn answered(&self) -> Option<Place> {
        self.answered.filter(|place| place.bytes < self.end.bytes)
    }
}

/// Whether requests to that model are part of threads.
pub(super) fn wanted(config: &ModelConfig) -> bool {
    config.threads && matches!(config.provider, Provider::Anthropic | Provider::OpenAiResponses)
}

/// The threads that an agent has left and may go on with.
#[derive(Debug, Default)]
pub struct Threads {
    held: VecDeque<(Place, String)>,
    hosts: Vec<Host>,
    /// Hosts and models that want all tools in front, whatever was [found](super::found) later.
    in_front: Vec<(String, String)>,
}

/// What is known of a host.
#[derive(Debug)]
struct Host {
    url: String,
    /// It has threads.
    takes: bool,
    /// How often it has had forgotten one since one was gone on with.
    losses: u32,
}

/// How a request is part of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// All of it, as if behind an answer that there never was: only who has no threads answers that.
    Probe,
    /// What is new behind the answer of that id.
    GoOn(String),
    /// All of it, to begin with.
    Begin,
    /// All of it, and no word of threads.
    Alone,
}

impl Threads {
    /// Begins a request. `answered` is where the conversation stood after the model's last message, `end` where it stands now.
    /// `None` where there are no threads.
    pub(super) fn ask(&mut self, config: &ModelConfig, answered: Option<Place>, end: Place) -> Option<Asked> {
        let known = self.hosts.iter().find(|host| host.url == config.base_url);
        let place = answered.and_then(|answered| self.held.iter().position(|(place, _)| *place == answered));
        let way = match (known, place) {
            (Some(Host { takes: false, .. }), _) => return None,
            (None, _) if !is_known(config) => Way::Probe,
            (_, Some(place)) => {
                // Taken out: if this comes to nothing, the provider may have gone on with it all the same.
                self.held.remove(place).map_or(Way::Begin, |(_, id)| Way::GoOn(id))
            }
            (_, None) => Way::Begin,
        };
        Some(Asked { end, way, proven: false })
    }

    /// The answer to that request is complete, under that id of the provider. It can be gone on with behind it.
    pub fn settle(&mut self, asked: &Asked, config: &ModelConfig, id: Option<String>, turn: Turn) {
        match asked.way {
            Way::Probe | Way::Alone => return self.learn(config, false),
            Way::Begin if asked.proven => self.learn(config, true),
            Way::Begin => {}
            Way::GoOn(_) => self.host(config).losses = 0,
        }
        let Some(id) = id else { return };
        let answer = turn.finish();
        // What was declined is not kept by providers, and what was cut off may be kept otherwise than it was heard.
        let whole = matches!(answer.stop_reason, StopReason::EndTurn | StopReason::ToolUse | StopReason::StopSequence);
        let text = written(config, &answer.message);
        if whole && !text.is_empty() {
            self.held.truncate(MOST - 1);
            self.held.push_front((asked.end.then(&text), id));
        }
    }

    /// The request was refused, with nothing of an answer: whether the next try, in another way, may do.
    pub fn refuse(&mut self, asked: &mut Asked, config: &ModelConfig, error: &Error) -> bool {
        if error.code != Code::Provider || error.retry != Retry::Never {
            return false;
        }
        asked.way = match asked.way {
            Way::Probe => {
                let words = error.message.to_ascii_lowercase();
                asked.proven = words.contains("thread") || words.contains("previous");
                if asked.proven { Way::Begin } else { Way::Alone }
            }
            Way::GoOn(_) => {
                let host = self.host(config);
                host.losses += 1;
                host.takes = host.losses < MOST_LOSSES;
                Way::Begin
            }
            // Elsewhere a thread begins with a request that could as well stand alone.
            Way::Begin if config.provider == Provider::Anthropic => Way::Alone,
            _ => return false,
        };
        true
    }

    /// Whether that model wants all tools in front, whatever was [found](super::found) later.
    pub fn wants_in_front(&self, config: &ModelConfig) -> bool {
        self.in_front.iter().any(|(url, id)| (url, id) == (&config.base_url, &config.id))
    }

    /// It has refused a request that told of them elsewhere, and took the same one with all of them in front.
    pub fn note_in_front(&mut self, config: &ModelConfig) {
        self.in_front.push((config.base_url.clone(), config.id.clone()));
    }

    fn learn(&mut self, config: &ModelConfig, takes: bool) {
        self.host(config).takes = takes;
    }

    fn host(&mut self, config: &ModelConfig) -> &mut Host {
        let place = self.hosts.iter().position(|host| host.url == config.base_url);
        let place = place.unwrap_or_else(|| {
            self.hosts.push(Host { url: config.base_url.clone(), takes: true, losses: 0 });
            self.hosts.len() - 1
        });
        &mut self.hosts[place]
    }
}

/// Whether the host is one of those that have threads. Others may pass over the field, so that the model would know nothing of
/// what was said before.
fn is_known(config: &ModelConfig) -> bool {
    host(&config.base_url).is_some_and(|host| match config.provider {
        Provider::Anthropic => host == "api.anthropic.com",
        _ => host == "api.openai.com" || host.ends_with(".openai.azure.com"),
    })
}

/// The thread that a request is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where the conversation stands with the request.
    pub(super) end: Place,
    pub(super) way: Way,
    /// The host has shown that it knows of threads.
    proven: bool,
}

/// An answer as it is sent back behind other messages.
fn written(config: &ModelConfig, message: &Message) -> String {
    // Commas stand before all messages but the first.
    let mut text = String::from("}");
    match config.provider {
        Provider::Anthropic => anthropic::message(&mut text, message, &Found::default()),
        _ => {
            let reasons = openai_responses::thinks(&config.id);
            openai_responses::message(&mut text, message, reasons, &Found::default());
        }
    }
    text.split_off(1)
}

#[cfg(test)]
#[path = "thread_tests.rs"]
mod tests;
