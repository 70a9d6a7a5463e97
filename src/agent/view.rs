//! What of a history the model is shown once it has been compacted, and how much that is.
//!
//! The history itself only grows. A message of its own ([`Block::Compaction`]) says that what is before it is shown as a
//! summary, and which results are shown as less than they were; so whoever has the history has all of it, and whoever goes on
//! from it shows the model the same.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{self, length};
use crate::llm::types::{Block, Message, Role};
use crate::rank::content_hash;

/// What a block of context begins with that was put before a prompt; see [`crate::context::fill`].
const CONTEXT: &str = "<context>\nRead from";

/// Stands before the number of a block of context that is shown as less than it was.
const CONTEXT_ID: &str = "context:";

/// A text is a block of context that was put before a prompt.
pub(crate) fn is_context(text: &str) -> bool {
    text.starts_with(CONTEXT)
}

/// The place behind the last answer of the model.
pub(crate) fn answered(messages: &[Message]) -> usize {
    messages.iter().rposition(|message| message.role == Role::Assistant).map_or(0, |last| last + 1)
}

/// Names a block of context among what is shown as less than it was.
pub(crate) fn context_id(text: &str) -> String {
    [CONTEXT_ID, &content_hash([text]).to_string()].concat()
}

/// Stands for the characters of an image or a recording: what is sent of them says nothing of the tokens that they cost.
pub(crate) const MEDIA: u64 = 6_000;

/// How a model sees a history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// Place of the first message that is shown as it is.
    from: usize,
    /// Stands for those before it.
    summary: Option<String>,
    /// Ids of tool uses, and what is shown in place of their results; and the same of blocks of context.
    results: Vec<(String, String)>,
    /// How often the history was compacted.
    count: usize,
}

impl View {
    /// How that history is seen.
    pub fn of(messages: &[Message]) -> View {
        let mut view = View::default();
        messages.iter().enumerate().for_each(|(place, message)| view.note(place, message));
        view.prune(messages);
        view
    }

    /// Forgets what stands in place of results that are not shown any more: else each result that is shown would be looked for
    /// among all that ever were taken out.
    pub(crate) fn prune(&mut self, messages: &[Message]) {
        let shown = messages.get(self.from..).unwrap_or_default().iter().flat_map(|message| &message.content);
        let mut ids: Vec<Cow<'_, str>> = Vec::new();
        for block in shown {
            match block {
                Block::ToolResult { tool_use_id, .. } => ids.push(tool_use_id.into()),
                Block::Text { text } => {
                    self.less(text, &mut |id| ids.push(id.into()));
                }
                _ => {}
            }
        }
        let kept: Vec<bool> = self.results.iter().map(|(id, _)| ids.iter().any(|known| known == id)).collect();
        let mut kept = kept.into_iter();
        self.results.retain(|_| kept.next().unwrap_or(false));
    }

    /// What is shown in place of a text that is a block of context; `passed` is told the numbers that led there.
    fn less(&self, text: &str, passed: &mut dyn FnMut(String)) -> Option<&str> {
        if !is_context(text) || !self.results.iter().any(|(id, _)| id.starts_with(CONTEXT_ID)) {
            return None;
        }
        let mut shown = None;
        loop {
            // What was made less of may have been made less of again.
            let id = context_id(shown.unwrap_or(text));
            let Some((_, less)) = self.results.iter().rev().find(|(known, _)| *known == id) else { return shown };
            passed(id);
            shown = Some(less.as_str());
            if !is_context(less) {
                return shown;
            }
        }
    }

    /// Takes the message of that place into account.
    pub(crate) fn note(&mut self, place: usize, message: &Message) {
        let Some(Block::Compaction { keeps, summary, results }) = message.content.first() else { return };
        self.count += 1;
        if summary.is_some() {
            self.from = place.saturating_sub(*keeps);
            self.summary.clone_from(summary);
        }
        let shown = results.iter().filter_map(|(id, text)| Some((id.clone(), text.as_str()?.to_owned())));
        self.results.extend(shown);
    }

    /// How often the history was compacted: with each time, what was sent before is not the beginning any more of what is sent.
    pub fn count(&self) -> usize {
        self.count
    }

    /// What is shown: each message with the place in the history that it stands for.
    pub fn shown<'m>(&'m self, messages: &'m [Message]) -> impl Iterator<Item = (usize, Cow<'m, Message>)> {
        let first = messages.get(self.from).filter(|message| message.role == Role::User && !is_mark(message));
        let head = self.summary.as_ref().map(|summary| {
            let mut head = Message::user([summary.as_str(), if first.is_some() { "\n\n" } else { "" }].concat());
            // Not a message of its own: some providers refuse two of the user in a row.
            head.content.extend(first.into_iter().flat_map(|message| message.content.clone()));
            (self.from, Cow::Owned(head))
        });
        let from = self.from + usize::from(head.is_some() && first.is_some());
        head.into_iter().chain(self.after(messages, from))
    }

    /// The same of the messages from a place on that is behind the first one shown.
    pub fn after<'m>(
        &'m self,
        messages: &'m [Message],
        from: usize,
    ) -> impl Iterator<Item = (usize, Cow<'m, Message>)> {
        let rest = messages.iter().enumerate().skip(from).filter(|(_, message)| !is_mark(message));
        rest.map(|(place, message)| (place, self.seen(message)))
    }

    /// A message with its results as they are shown.
    fn seen<'m>(&self, message: &'m Message) -> Cow<'m, Message> {
        let instead = |block: &Block| match block {
            Block::ToolResult { tool_use_id, .. } => {
                self.results.iter().rev().find(|(id, _)| id == tool_use_id).map(|(_, text)| text.clone())
            }
            Block::Text { text } => self.less(text, &mut |_| ()).map(str::to_owned),
            _ => None,
        };
        if self.results.is_empty() || !message.content.iter().any(|block| instead(block).is_some()) {
            return Cow::Borrowed(message);
        }
        let mut message = message.clone();
        for block in &mut message.content {
            match (instead(block), block) {
                (Some(text), Block::ToolResult { content, .. }) => *content = vec![text_block(text)],
                (Some(less), Block::Text { text }) => *text = less,
                _ => {}
            }
        }
        Cow::Owned(message)
    }
}

fn text_block(text: String) -> Value {
    let mut block = serde_json::Map::new();
    block.insert("type".into(), "text".into());
    block.insert("text".into(), text.into());
    Value::Object(block)
}

/// The message is none that was said: it tells how others are shown.
pub fn is_mark(message: &Message) -> bool {
    matches!(message.content.first(), Some(Block::Compaction { .. }))
}

/// How many messages from the end of a history a run has to have to go on from it.
pub fn needed<'m>(messages: impl ExactSizeIterator<Item = &'m Message>) -> usize {
    let (len, mut view) = (messages.len(), View::default());
    messages.enumerate().for_each(|(place, message)| view.note(place, message));
    len - view.from
}

/// About how many characters a model reads of a message.
pub(crate) fn size(message: &Message) -> u64 {
    let sizes = message.content.iter().map(|block| match block {
        Block::Text { text } | Block::Thinking { text, .. } => length(text),
        Block::RedactedThinking { data } => length(data),
        Block::Image { .. } | Block::Audio { .. } => MEDIA,
        Block::ToolUse { name, input, .. } => length(name) + weight(input),
        Block::ToolResult { content, .. } => content.iter().map(weight).sum(),
        Block::Compaction { .. } | Block::Tools { .. } => 0,
    });
    sizes.sum::<u64>() + 8
}

fn weight(value: &Value) -> u64 {
    json::weight(value, 5, |fields| match fields.get("type").and_then(Value::as_str) {
        Some("image" | "audio") if fields.contains_key("data") => Some(MEDIA),
        Some("resource") if fields.get("resource").is_some_and(|held| held.get("blob").is_some()) => Some(MEDIA),
        _ => None,
    })
}

/// How many characters are how many tokens: four are one, until the provider says what it counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    chars: u64,
    tokens: u64,
}

impl Default for Rate {
    fn default() -> Rate {
        Rate { chars: 4, tokens: 1 }
    }
}

impl Rate {
    /// The rate at which a request of so many characters was so many tokens. Not to be believed beyond half a character, or
    /// ten, for a token: then something else was counted.
    pub(crate) fn observed(chars: u64, tokens: u64) -> Option<Rate> {
        let sane = tokens > 0 && chars >= tokens / 2 && chars <= tokens.saturating_mul(10);
        sane.then_some(Rate { chars: chars.max(1), tokens })
    }

    /// So many characters are so many tokens.
    pub(crate) fn of(chars: u64, tokens: u64) -> Rate {
        Rate { chars: chars.max(1), tokens: tokens.max(1) }
    }

    /// How many characters are how many tokens.
    pub(crate) fn parts(self) -> (u64, u64) {
        (self.chars, self.tokens)
    }

    /// About how many tokens so many characters are.
    pub fn tokens(self, chars: u64) -> u64 {
        (u128::from(chars) * u128::from(self.tokens) / u128::from(self.chars.max(1))) as u64
    }

    /// About how many characters so many tokens are.
    pub fn chars(self, tokens: u64) -> u64 {
        (u128::from(tokens) * u128::from(self.chars) / u128::from(self.tokens.max(1))) as u64
    }
}

/// Counts what a run sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meter {
    pub(crate) rate: Rate,
    /// Characters of the system prompt and the tools.
    pub(crate) fixed: u64,
    /// Characters of what is shown of the messages that were counted.
    chars: u64,
    counted: usize,
    /// How often the history had been compacted then.
    compacted: usize,
    /// What the provider counted last: so many characters, so many tokens.
    known: Option<(u64, u64)>,
}

impl Meter {
    /// One that guesses at that rate.
    pub(crate) fn at(rate: Rate) -> Meter {
        Meter { rate, ..Meter::default() }
    }

    /// About how many tokens a request with that history is.
    pub(crate) fn count(&mut self, view: &View, messages: &[Message]) -> u64 {
        if self.compacted != view.count() || self.counted == 0 {
            self.compacted = view.count();
            self.chars = view.shown(messages).map(|(_, message)| size(&message)).sum();
        } else {
            self.chars += view.after(messages, self.counted).map(|(_, message)| size(&message)).sum::<u64>();
        }
        self.counted = messages.len();
        let all = self.fixed + self.chars;
        match self.known {
            Some((chars, tokens)) if all >= chars => tokens + self.rate.tokens(all - chars),
            Some((chars, tokens)) => tokens.saturating_sub(self.rate.tokens(chars - all)),
            None => self.rate.tokens(all),
        }
    }

    /// The provider says how many tokens the request was that was counted last.
    pub(crate) fn learn(&mut self, tokens: u64) {
        let all = self.fixed + self.chars;
        if let Some(rate) = Rate::observed(all, tokens).filter(|_| self.counted > 0) {
            self.rate = rate;
            self.known = Some((all, tokens));
        }
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
