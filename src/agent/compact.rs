//! What is to become of a history that fills the model's window: which results are told of only, and what is summarised.
//!
//! Behind [`Part::Compact`](crate::platform::Part::Compact), since only long runs need it.

use serde_json::{Map, Value, json};

use crate::agent::kept::told_in;
use crate::agent::view::{Rate, answered, context_id, is_context, size};
use crate::context::fill::shorten;
use crate::llm::types::{Block, Message, Role};

/// Results of fewer tokens are left as they are: what tells of one that is kept is about as long.
const LEAST: u64 = 500;
/// Most characters of a result's beginning and end that are still shown.
const BEGINNING: usize = 300;
const END: usize = 100;
/// Most characters of what the user asked for that are shown beside a summary.
const MOST_WORDS: usize = 4_000;

/// Said to the model that is to summarise.
pub const ASK: &str = "Summarise our conversation up to here, for yourself: your summary will stand in its place, and you will \
go on from it without seeing the messages again. Keep what the user wants and every decision, fact, name, number and \
link that is still needed, and every handle (`result:...`) to the letter; say what was done with which outcome, and what is left to do. Leave out what has become \
irrelevant. Answer with the summary alone, and call no tool.";

const NO_CONTEXT: &str = "(Left out to save room: what was read from MCP servers for what follows.)";
const SUMMARY: &str = "(Earlier messages of this conversation are left out. This is a summary of them:)\n\n";
const NO_SUMMARY: &str = "(Earlier messages of this conversation are left out, and there is no summary of them.)";
const WORDS: &str = "\n\n(What the user said last, word for word:)\n\n";

/// Answers a request of the core.
///
/// ```text
/// { "messages": [...], "unseen": 12, "tokens": 9000, "limit": 8000, "million": 4000000 }
/// { "results": { "t1": "..." }, "keep": ["t1"], "cut": 7, "ask": "...", "before": "...", "after": "...", "without": "..." }
/// ```
///
/// `messages` are those that the model is shown, `unseen` is the first that it was not asked with yet, `tokens` what they all
/// come to, `limit` what they may come to, and `million` how many
/// characters are a million tokens. `results` has what is
/// to be shown in place of results; those in `keep` are to be kept under handles first, and that is shown only where they
/// cannot be. A block of context is among `results` under a number of its own: one that the model has answered to is told of,
/// of one that it has not the sources stay that there is room for. Where there is a `cut`, the messages before it are to be summarised, by saying `ask` behind them; `before`
/// and `after` go around the summary, and `without` stands in the place of one that cannot be had.
///
/// # Errors
///
/// Words for people when the request cannot be read.
pub fn answer(request: &str) -> Result<String, String> {
    let asked: Value = serde_json::from_slice(request.as_bytes()).map_err(|_| "is nested too deeply".to_owned())?;
    let number = |name: &str| asked.get(name).and_then(Value::as_u64).unwrap_or(0);
    let read: Option<Vec<Message>> = asked["messages"].as_array().into_iter().flatten().map(Message::read).collect();
    let messages = read.ok_or("the messages cannot be read")?;
    let rate = Rate::observed(number("million"), 1_000_000).unwrap_or_default();
    let unseen = (number("unseen") as usize).min(messages.len());
    let plan = Plan { messages: &messages, rate, unseen };
    Ok(crate::json::text(&plan.orders(number("tokens"), number("limit"))))
}

struct Plan<'m> {
    messages: &'m [Message],
    rate: Rate,
    unseen: usize,
}

impl Plan<'_> {
    fn orders(&self, tokens: u64, limit: u64) -> Value {
        // Down to half, so that it is not done again at once: each time, the provider's prompt cache is lost.
        let (mut results, left) = self.results(0, tokens, limit / 2);
        let (fresh, left) = self.fresh(left, limit / 10 * 7);
        results.extend(fresh.clone());
        if left <= limit / 10 * 7 {
            return json!({ "keep": self.kept(&results), "results": results });
        }
        let Some(cut) = self.cut(limit / 10 * 3) else {
            return json!({ "keep": self.kept(&results), "results": results });
        };
        let tail = self.sizes(cut).sum::<u64>();
        let (mut results, _) = self.results(cut, tail, limit / 10 * 3);
        results.extend(fresh);
        let after = self.last_words(cut).map_or_else(String::new, |words| [WORDS, &words].concat());
        let without = [NO_SUMMARY, &after].concat();
        json!({
            "keep": self.kept(&results),
            "results": results,
            "cut": cut,
            "ask": ASK,
            "before": SUMMARY,
            "without": without,
            "after": after,
        })
    }

    fn sizes(&self, from: usize) -> impl Iterator<Item = u64> {
        self.messages[from..].iter().map(|message| self.rate.tokens(size(message)))
    }

    /// What is shown in place of the oldest results from a place on, as many as bring so many tokens down to so many, and what is
    /// left then. What the model has not seen yet stays.
    fn results(&self, from: usize, mut tokens: u64, target: u64) -> (Map<String, Value>, u64) {
        let mut results = Map::new();
        let fresh = answered(self.messages);
        for (place, message) in self.messages.iter().enumerate().take(self.unseen).skip(from) {
            for block in &message.content {
                if tokens <= target {
                    return (results, tokens);
                }
                let alone = Message { role: Role::User, content: vec![block.clone()] };
                let size = self.rate.tokens(size(&alone));
                let (id, told) = match block {
                    _ if size < LEAST => continue,
                    Block::ToolResult { tool_use_id, content, .. } => {
                        let Some(text) = text_of(content) else { continue };
                        (tool_use_id.clone(), told(&text))
                    }
                    Block::Text { text } if place < fresh && is_context(text) => {
                        (context_id(text), NO_CONTEXT.to_owned())
                    }
                    _ => continue,
                };
                tokens -= (size - self.rate.tokens(told.chars().count() as u64).min(size)).min(tokens);
                results.insert(id, told.into());
            }
        }
        (results, tokens)
    }

    /// What is to be shown of the context that the model has not answered to yet, so that so many tokens come down to so
    /// many, and what is left then. It comes before a summary: nobody said these words.
    fn fresh(&self, mut tokens: u64, target: u64) -> (Map<String, Value>, u64) {
        let mut shown = Map::new();
        for block in self.messages[answered(self.messages)..].iter().flat_map(|message| &message.content) {
            let Block::Text { text } = block else { continue };
            if tokens <= target || !is_context(text) {
                continue;
            }
            let count = |text: &str| self.rate.tokens(text.chars().count() as u64);
            let others = tokens.saturating_sub(count(text));
            let room = self.rate.chars(target.saturating_sub(others));
            let less = shorten(text, room as usize).unwrap_or_else(|| NO_CONTEXT.to_owned());
            tokens = others + count(&less);
            shown.insert(context_id(text), less.into());
        }
        (shown, tokens)
    }

    /// Ids of the results that nothing keeps yet.
    fn kept(&self, results: &Map<String, Value>) -> Vec<&str> {
        let blocks = self.messages.iter().flat_map(|message| &message.content);
        let new = blocks.filter_map(|block| match block {
            Block::ToolResult { tool_use_id, content, .. } if results.contains_key(tool_use_id) => {
                text_of(content).filter(|text| of_kept(text).is_none()).map(|_| tool_use_id.as_str())
            }
            _ => None,
        });
        new.collect()
    }

    /// Where the messages begin that stay: as many as so many tokens hold, and at least those that the model has not seen. A
    /// result never goes without its call.
    fn cut(&self, room: u64) -> Option<usize> {
        let whole = |place: &usize| !self.messages[*place].has_results();
        let latest = (1..=self.unseen.min(self.messages.len().checked_sub(1)?)).rev().find(whole)?;
        let mut tokens: u64 = self.sizes(latest).sum();
        let mut cut = latest;
        for place in (1..latest).rev() {
            tokens += self.rate.tokens(size(&self.messages[place]));
            if tokens > room {
                break;
            }
            if whole(&place) {
                cut = place;
            }
        }
        Some(cut)
    }

    /// What the user said last, unless it stays anyway.
    fn last_words(&self, cut: usize) -> Option<String> {
        let said = |message: &Message| match message.role {
            Role::User => message.content.iter().rev().find_map(|block| match block {
                Block::Text { text } if !text.trim().is_empty() => Some(text.clone()),
                _ => None,
            }),
            Role::Assistant => None,
        };
        if self.messages[cut..].iter().any(|message| said(message).is_some()) {
            return None;
        }
        let words = self.messages[..cut].iter().rev().find_map(said)?;
        // Of a summary, only what was said word for word.
        let words = words.rsplit(WORDS).next().unwrap_or_default();
        let end = words.char_indices().nth(MOST_WORDS).map_or(words.len(), |(at, _)| at);
        let more = if end < words.len() { " (...)" } else { "" };
        Some([&words[..end], more].concat())
    }
}

/// The text of a result; `None` where there is more to it, such as an image.
fn text_of(content: &[Value]) -> Option<String> {
    let text = |block: &Value| match block.get("type").and_then(Value::as_str) {
        Some("text") => block.get("text").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    content.iter().map(text).collect::<Option<Vec<String>>>().map(|texts| texts.join("\n"))
}

/// The handle that a text tells of which stands for a result: see [`crate::agent::kept::Kept::summary`].
fn of_kept(text: &str) -> Option<&str> {
    let (first, _) = text.split_once('\n')?;
    first.starts_with("The result of ").then(|| told_in(first))?
}

/// What is shown in place of a long result. Nothing is cut without saying so.
fn told(text: &str) -> String {
    if let (Some(handle), Some((first, rest))) = (of_kept(text), text.split_once('\n')) {
        let shape: String = rest.lines().next().filter(|line| line.starts_with("Shape: ")).unwrap_or("").into();
        let shape = shape.chars().take(BEGINNING).collect::<String>();
        let first: String = first.chars().take(2 * BEGINNING).collect();
        return [&first, "\n", &shape, "\n(Left out to save room. Read it with read_result: ", handle, ")"].concat();
    }
    let length = text.chars().count();
    let beginning: String = text.chars().take(BEGINNING).collect();
    let end: String = text.chars().skip(length.saturating_sub(END)).collect();
    let length = length.to_string();
    let words = ["(Left out to save room: this result of ", &length, " characters. It began with:)\n"].concat();
    [&words, &beginning, "\n(...)\n", &end, "\n(Call the tool again if you need the rest.)"].concat()
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
