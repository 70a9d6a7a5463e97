//! One answer of the model: deltas in, assistant message out.
//!
//! Only plain data, so a run can be stored while its model is still talking.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::types::{Block, Delta, Message, Role, StopReason, Usage};

/// The answer so far.
///
/// Feed every [`Delta`] in order to [`Turn::apply`], then take the message with [`Turn::finish`], or what can be
/// kept of a cut answer with [`Turn::partial`]. Deltas that break the laws of [`Delta`] are ignored. Ids of tool
/// uses are made different from each other, since some providers repeat them.
///
/// # Examples
///
/// ```
/// # use edgewise::llm::{turn::Turn, types::{Delta, StopReason}};
/// let mut turn = Turn::default();
/// turn.apply(&Delta::Text("I will ".into()));
/// turn.apply(&Delta::Text("look.".into()));
/// turn.apply(&Delta::ToolStart { index: 0, id: "t1".into(), name: "add".into() });
/// turn.apply(&Delta::ToolInput { index: 0, json: "{\"a\":1}".into() });
/// turn.apply(&Delta::ToolEnd { index: 0 });
/// turn.apply(&Delta::Stop(StopReason::EndTurn));
/// let answer = turn.finish();
/// assert_eq!(answer.message.text(), "I will look.");
/// assert_eq!(answer.stop_reason, StopReason::ToolUse);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Turn {
    content: Vec<Block>,
    calls: Vec<Call>,
    usage: Usage,
    /// Of tries that broke off.
    earlier: Usage,
    /// The last block is reasoning that broke off; what comes next is none of it.
    apart: bool,
    stop_reason: Option<StopReason>,
}

/// A tool use whose arguments may still be coming.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Call {
    index: u32,
    /// Place of its block in the content.
    block: usize,
    /// Arguments so far; empty again once parsed.
    json: String,
    ended: bool,
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The assistant message. Its content may be empty.
    pub message: Message,
    /// Why the model stopped; always [`StopReason::ToolUse`] for a complete answer that asks for tools.
    pub stop_reason: StopReason,
    /// Tokens of the call, as far as the provider said.
    pub usage: Usage,
}

impl Turn {
    /// Adds the next piece of the answer.
    pub fn apply(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(piece) => match self.content.last_mut() {
                _ if piece.is_empty() => {}
                Some(Block::Text { text }) => text.push_str(piece),
                _ => self.content.push(Block::Text { text: piece.clone() }),
            },
            Delta::Thinking(piece) => match self.content.last_mut() {
                _ if piece.is_empty() => {}
                Some(Block::Thinking { text, signature: None }) if !self.apart => text.push_str(piece),
                _ => {
                    self.apart = false;
                    self.content.push(Block::Thinking { text: piece.clone(), signature: None });
                }
            },
            Delta::Signature(proof) => match self.content.last_mut() {
                Some(Block::Thinking { signature: signature @ None, .. }) if !self.apart => {
                    *signature = Some(proof.clone());
                }
                _ => self.content.push(Block::Thinking { text: String::new(), signature: Some(proof.clone()) }),
            },
            Delta::RedactedThinking(data) => self.content.push(Block::RedactedThinking { data: data.clone() }),
            Delta::ToolStart { index, id, name } => self.start(*index, id, name),
            Delta::ToolInput { index, json } => {
                if let Some(call) = self.calls.iter_mut().find(|call| call.index == *index && !call.ended) {
                    call.json.push_str(json);
                }
            }
            Delta::ToolEnd { index } => {
                if let Some(at) = self.calls.iter().position(|call| call.index == *index && !call.ended) {
                    self.end(at);
                }
            }
            Delta::Usage(usage) => self.usage = *usage,
            Delta::Stop(reason) => self.stop_reason = Some(*reason),
        }
    }

    /// True while nothing of the answer came, so that asking again repeats nothing.
    pub fn is_empty(&self) -> bool {
        self.content.is_empty()
    }

    /// Tokens so far, those of tries that broke off included.
    pub fn usage(&self) -> Usage {
        let mut usage = self.earlier;
        usage += self.usage;
        usage
    }

    /// True when the provider or the model declined to answer.
    pub fn is_refusal(&self) -> bool {
        self.stop_reason == Some(StopReason::Refusal)
    }

    /// The text so far.
    pub fn text(&self) -> String {
        Message::joined(&self.content)
    }

    /// True when a tool use is complete.
    pub fn has_complete_call(&self) -> bool {
        self.calls.iter().any(|call| call.ended)
    }

    /// Takes out the tool uses whose arguments are not complete.
    pub fn drop_open_calls(&mut self) {
        self.drop_calls(|_, ended| !ended);
    }

    /// Takes out all tool uses but the first `count`.
    pub fn keep_calls(&mut self, count: usize) {
        self.drop_calls(|at, _| at >= count);
    }

    fn drop_calls(&mut self, goes: impl Fn(usize, bool) -> bool) {
        for at in (0..self.calls.len()).rev() {
            if !goes(at, self.calls[at].ended) {
                continue;
            }
            let block = self.calls.remove(at).block;
            if block < self.content.len() {
                self.content.remove(block);
            }
            self.calls.iter_mut().filter(|call| call.block > block).for_each(|call| call.block -= 1);
        }
    }

    /// Makes the turn ready for another try that goes on with its words: tool uses go, the tokens stay counted. Gives
    /// the reasoning at its end, if it broke off there; what is thought next is a block of its own unless
    /// [`rejoin`](Turn::rejoin) says that it goes on with this one.
    pub fn reopen(&mut self) -> String {
        self.earlier = self.usage();
        self.usage = Usage::default();
        self.stop_reason = None;
        self.calls.clear();
        self.content.retain(|block| !matches!(block, Block::ToolUse { .. }));
        let thought = match self.content.last() {
            Some(Block::Thinking { text, signature: None }) => text.clone(),
            _ => String::new(),
        };
        self.apart = !thought.is_empty();
        thought
    }

    /// What is thought next goes on with the reasoning that broke off.
    pub fn rejoin(&mut self) {
        self.apart = false;
    }

    /// The tool use at that place among all of the answer, once its arguments are complete.
    pub fn complete_call(&mut self, at: usize) -> Option<&mut Block> {
        let call = self.calls.get(at).filter(|call| call.ended)?;
        self.content.get_mut(call.block)
    }

    /// The complete answer.
    ///
    /// Providers disagree about the stop reason of an answer that asks for tools (`stop`, `end_turn`, none): with
    /// a tool use it is [`StopReason::ToolUse`], without any it is not. A limit or refusal stays what it is.
    pub fn finish(mut self) -> Answer {
        for at in 0..self.calls.len() {
            self.end(at);
        }
        let stop_reason = match (self.stop_reason, self.calls.is_empty()) {
            (None | Some(StopReason::EndTurn | StopReason::StopSequence | StopReason::Other), false) => {
                StopReason::ToolUse
            }
            (Some(StopReason::ToolUse), true) => StopReason::EndTurn,
            (reason, _) => reason.unwrap_or(StopReason::Other),
        };
        let usage = self.usage();
        Answer { message: Message { role: Role::Assistant, content: self.content }, stop_reason, usage }
    }

    /// What can stay in the history of an answer that was cut: its text and reasoning.
    ///
    /// Tool uses go, because they will never have results. `None` when no text is left.
    pub fn partial(self) -> Option<Message> {
        let mut content = self.content;
        content.retain(|block| !matches!(block, Block::ToolUse { .. }));
        let has_text = content.iter().any(|block| matches!(block, Block::Text { .. }));
        has_text.then_some(Message { role: Role::Assistant, content })
    }

    fn start(&mut self, index: u32, id: &str, name: &str) {
        if self.calls.iter().any(|call| call.index == index) {
            return;
        }
        let mut unique = id.to_owned();
        while self.content.iter().any(|block| matches!(block, Block::ToolUse { id, .. } if *id == unique)) {
            unique = [&unique, "_", &index.to_string()].concat();
        }
        self.calls.push(Call { index, block: self.content.len(), json: String::new(), ended: false });
        let input = Value::Object(Map::new());
        self.content.push(Block::ToolUse { id: unique, name: name.to_owned(), input, invalid_input: None });
    }

    /// Parses the arguments. Models may write anything here, so what is no object is kept as text.
    fn end(&mut self, at: usize) {
        let call = &mut self.calls[at];
        if std::mem::replace(&mut call.ended, true) {
            return;
        }
        let json = std::mem::take(&mut call.json);
        // A stored turn may have been tampered with, hence no indexing.
        let Some(Block::ToolUse { input, invalid_input, .. }) = self.content.get_mut(call.block) else { return };
        if json.trim().is_empty() {
            return;
        }
        match serde_json::from_slice(json.as_bytes()) {
            Ok(value @ Value::Object(_)) => *input = value,
            _ => *invalid_input = Some(json),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn start(index: u32, id: &str) -> Delta {
        Delta::ToolStart { index, id: id.into(), name: "add".into() }
    }

    fn input(index: u32, json: &str) -> Delta {
        Delta::ToolInput { index, json: json.into() }
    }

    fn answer(deltas: &[Delta]) -> Answer {
        let mut turn = Turn::default();
        for delta in deltas {
            turn.apply(delta);
            // Storing it at any moment changes nothing.
            turn = serde_json::from_str(&serde_json::to_string(&turn).unwrap()).unwrap();
        }
        turn.finish()
    }

    fn tool_use(id: &str, input: Value, invalid_input: Option<&str>) -> Block {
        Block::ToolUse { id: id.into(), name: "add".into(), input, invalid_input: invalid_input.map(str::to_owned) }
    }

    #[test]
    fn blocks_keep_their_order_and_reasoning_its_signature() {
        let answer = answer(&[
            Delta::Thinking("a".into()),
            Delta::Thinking("b".into()),
            Delta::Signature("s1".into()),
            Delta::Thinking("c".into()),
            Delta::RedactedThinking("x".into()),
            Delta::Signature("s2".into()),
            Delta::Text("".into()),
            Delta::Text("d".into()),
            Delta::Text("e".into()),
            start(0, "t"),
            Delta::ToolEnd { index: 0 },
            Delta::Text("f".into()),
            Delta::Usage(Usage { input_tokens: 1, ..Usage::default() }),
            Delta::Usage(Usage { input_tokens: 2, ..Usage::default() }),
            Delta::Stop(StopReason::ToolUse),
        ]);
        let thinking = |text: &str, signature: Option<&str>| Block::Thinking {
            text: text.into(),
            signature: signature.map(str::to_owned),
        };
        assert_eq!(
            answer.message.content,
            [
                thinking("ab", Some("s1")),
                thinking("c", None),
                Block::RedactedThinking { data: "x".into() },
                thinking("", Some("s2")),
                Block::Text { text: "de".into() },
                tool_use("t", json!({}), None),
                Block::Text { text: "f".into() },
            ]
        );
        assert_eq!(answer.usage.input_tokens, 2);
    }

    #[test]
    fn arguments_are_parsed_once_and_kept_as_text_when_they_are_no_object() {
        let answer = answer(&[
            start(0, "a"),
            start(1, "b"),
            input(1, "{\"x\""),
            input(0, " "),
            input(1, ":[1]}"),
            start(2, "c"),
            input(2, "[1]"),
            start(3, "d"),
            input(3, "{\"x\":"),
            Delta::ToolEnd { index: 1 },
            input(1, "late"),
        ]);
        assert_eq!(
            answer.message.content,
            [
                tool_use("a", json!({}), None),
                tool_use("b", json!({ "x": [1] }), None),
                tool_use("c", json!({}), Some("[1]")),
                tool_use("d", json!({}), Some("{\"x\":")),
            ]
        );
        assert_eq!(answer.stop_reason, StopReason::ToolUse);
    }

    #[test]
    fn a_tool_use_is_seen_only_when_complete() {
        let mut turn = Turn::default();
        turn.apply(&start(0, "a"));
        turn.apply(&input(0, "{}"));
        assert_eq!(turn.complete_call(0), None);
        turn.apply(&Delta::ToolEnd { index: 0 });
        assert_eq!(turn.complete_call(0), Some(&mut tool_use("a", json!({}), None)));
        assert_eq!(turn.complete_call(1), None);
        turn.apply(&start(1, "b"));
        turn.apply(&Delta::Text("behind".into()));
        turn.keep_calls(1);
        let content = turn.finish().message.content;
        assert_eq!(content, [tool_use("a", json!({}), None), Block::Text { text: "behind".into() }]);
    }

    #[test]
    fn ids_are_unique_in_the_answer() {
        let mut turn = Turn::default();
        for index in 0..3 {
            turn.apply(&start(index, if index < 2 { "a" } else { "a_1" }));
        }
        let blocks = turn.finish().message.content.into_iter();
        let ids: Vec<_> = blocks
            .map(|block| match block {
                Block::ToolUse { id, .. } => id,
                _ => String::new(),
            })
            .collect();
        assert_eq!(ids, ["a", "a_1", "a_1_2"]);
    }

    #[test]
    fn the_stop_reason_fits_the_content() {
        let reason = |reason: Option<StopReason>, tool: bool| {
            let mut deltas = vec![Delta::Text("x".into())];
            if tool {
                deltas.push(start(0, "a"));
            }
            deltas.extend(reason.map(Delta::Stop));
            answer(&deltas).stop_reason
        };
        assert_eq!(reason(Some(StopReason::EndTurn), true), StopReason::ToolUse);
        assert_eq!(reason(None, true), StopReason::ToolUse);
        assert_eq!(reason(Some(StopReason::ToolUse), false), StopReason::EndTurn);
        assert_eq!(reason(Some(StopReason::MaxTokens), true), StopReason::MaxTokens);
        assert_eq!(reason(Some(StopReason::Refusal), true), StopReason::Refusal);
        assert_eq!(reason(Some(StopReason::EndTurn), false), StopReason::EndTurn);
        assert_eq!(reason(None, false), StopReason::Other);
    }

    #[test]
    fn a_cut_answer_keeps_its_text_but_no_tool_uses() {
        let mut turn = Turn::default();
        assert!(turn.is_empty());
        turn.apply(&start(0, "a"));
        assert!(!turn.is_empty());
        assert_eq!(turn.clone().partial(), None);
        turn.apply(&Delta::Text("half".into()));
        let content = vec![Block::Text { text: "half".into() }];
        assert_eq!(turn.partial(), Some(Message { role: Role::Assistant, content }));
    }

    #[test]
    fn deltas_that_break_the_laws_and_stored_turns_that_lie_do_no_harm() {
        let answer = answer(&[
            input(7, "{}"),
            Delta::ToolEnd { index: 7 },
            start(0, "a"),
            start(0, "b"),
            Delta::ToolEnd { index: 0 },
            Delta::ToolEnd { index: 0 },
        ]);
        assert_eq!(answer.message.content.len(), 1);
        let lie = json!({ "calls": [{ "block": 9, "json": "{}" }], "content": [{ "type": "text", "text": "a" }] });
        let mut turn: Turn = serde_json::from_value(lie).unwrap();
        assert_eq!(turn.complete_call(0), None);
        assert_eq!(turn.finish().message.text(), "a");
    }
}
