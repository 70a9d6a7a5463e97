//! Canonical messages, requests and deltas; every wire translates from and to these.
//!
//! The JSON of [`Message`] is public: it is what `turn_end.message` and `done.messages` carry, what is stored,
//! and what an app hands back to go on. Field names are camelCase, `type` values snake_case.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person, and the results of tools.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub content: Vec<Block>,
}

/// Stands in a history for an answer of nothing, where two messages of the user in a row would be refused.
pub const NO_ANSWER: &str = "(no answer)";

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Block {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture that the user shows.
    Image {
        /// In base64.
        data: String,
        /// Such as `image/png`.
        mime_type: String,
    },
    /// A recording that the user plays.
    Audio {
        /// In base64.
        data: String,
        /// Such as `audio/wav`.
        mime_type: String,
    },
    /// The model's reasoning, returned to the provider as it came.
    Thinking {
        /// The reasoning, or a summary of it; may be empty.
        text: String,
        /// Proof of origin that some providers demand back.
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// Reasoning that the provider shows to nobody; returned to it as it came.
    RedactedThinking {
        /// The provider's sealed text.
        data: String,
    },
    /// The model asks for a tool.
    ToolUse {
        /// Id that the result carries too.
        id: String,
        /// Name as the model wrote it: the wire name, not `server.tool`.
        name: String,
        /// Parsed arguments; `{}` when they were no JSON object.
        input: Value,
        /// The arguments as they came, only when they could not be parsed.
        #[serde(skip_serializing_if = "Option::is_none")]
        invalid_input: Option<String>,
    },
    /// What the tool gave.
    ToolResult {
        /// Id of the tool use.
        tool_use_id: String,
        /// Content blocks in MCP's shape (`{"type":"text","text":...}`, `image`, `audio`, `resource`,
        /// `resource_link`), as they came.
        content: Vec<Value>,
        /// The call failed; the content says how.
        is_error: bool,
    },
    /// Nothing that was said: from here on the model is shown less of what stands before. Alone in a message of the user.
    Compaction {
        /// How many of the messages before this one the summary does not stand for.
        keeps: usize,
        /// What is shown in place of the others, once they are not shown any more.
        #[serde(skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
        /// Texts that are shown in place of results, by the id of their tool use.
        results: Map<String, Value>,
    },
    /// Nothing that was said: tools that the model is offered from this prompt on, where not all are. No model is shown it.
    Tools {
        /// Their wire names, in the order of the offer.
        names: Vec<String>,
        /// In place of those that were offered before; else behind them.
        anew: bool,
    },
}

impl Message {
    /// A user message of one text.
    pub fn user(text: impl Into<String>) -> Message {
        Message { role: Role::User, content: vec![Block::Text { text: text.into() }] }
    }

    /// An assistant message of one text.
    pub fn assistant(text: impl Into<String>) -> Message {
        Message { role: Role::Assistant, content: vec![Block::Text { text: text.into() }] }
    }

    /// The message carries results of tools.
    pub fn has_results(&self) -> bool {
        self.content.iter().any(|block| matches!(block, Block::ToolResult { .. }))
    }

    /// The texts of the message, joined.
    pub fn text(&self) -> String {
        Message::joined(&self.content)
    }

    /// The texts among the blocks, joined.
    pub(super) fn joined(content: &[Block]) -> String {
        let texts = content.iter().filter_map(|block| match block {
            Block::Text { text } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }
}

impl Message {
    /// Reads a message of the app's; `None` when it is none.
    // By hand, because serde's derived readers bring 10 kB of wasm: for words of errors, and for floats in them.
    pub(crate) fn read(value: &Value) -> Option<Message> {
        let role = match value.get("role")?.as_str()? {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => return None,
        };
        let blocks = value.get("content")?.as_array()?.iter();
        let content = blocks.map(|block| Block::read(block.as_object()?.clone())).collect::<Option<_>>()?;
        Some(Message { role, content })
    }
}

impl Block {
    /// Reads a block of the app's; `None` when it is none.
    pub(crate) fn read(mut map: Map<String, Value>) -> Option<Block> {
        let mut text = |name: &str| match map.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let kind = text("type").unwrap_or_default();
        match kind.as_str() {
            "text" => text("text").map(|text| Block::Text { text }),
            "image" => Some(Block::Image { data: text("data")?, mime_type: text("mimeType")? }),
            "audio" => Some(Block::Audio { data: text("data")?, mime_type: text("mimeType")? }),
            "thinking" => text("text").map(|content| Block::Thinking { text: content, signature: text("signature") }),
            "redacted_thinking" => text("data").map(|data| Block::RedactedThinking { data }),
            "tool_use" => match (text("id"), text("name"), text("invalidInput")) {
                (Some(id), Some(name), invalid_input) => {
                    let input = map.remove("input").unwrap_or_else(|| Value::Object(Map::new()));
                    Some(Block::ToolUse { id, name, input, invalid_input })
                }
                _ => None,
            },
            "tool_result" => text("toolUseId").and_then(|tool_use_id| {
                let is_error = map.get("isError").and_then(Value::as_bool).unwrap_or(false);
                match map.remove("content") {
                    Some(Value::Array(content)) => Some(Block::ToolResult { tool_use_id, content, is_error }),
                    _ => None,
                }
            }),
            "compaction" => {
                let keeps = map.get("keeps").and_then(Value::as_u64)? as usize;
                let results = match map.remove("results") {
                    Some(Value::Object(results)) => results,
                    _ => Map::new(),
                };
                let summary = map.get("summary").and_then(Value::as_str).map(str::to_owned);
                Some(Block::Compaction { keeps, summary, results })
            }
            "tools" => {
                let names =
                    map.get("names").and_then(Value::as_array)?.iter().map(|name| Some(name.as_str()?.to_owned()));
                Some(Block::Tools {
                    names: names.collect::<Option<_>>()?,
                    anew: map.get("anew") == Some(&Value::Bool(true)),
                })
            }
            _ => None,
        }
    }
}

// By hand: serde's derive for internally tagged enums buffers into a tree of its own. `Value` is in the binary anyway.
impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Block, D::Error> {
        Block::read(Map::deserialize(deserializer)?).ok_or_else(|| {
            serde::de::Error::custom(
                "a content block needs a known type (text, image, audio, thinking, redacted_thinking, tool_use, tool_result, compaction, tools) and its fields",
            )
        })
    }
}

/// A tool as the model is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolDefinition {
    /// Wire name: 1 to 64 of `[A-Za-z0-9_-]`, unique in the request.
    pub name: String,
    /// What it does; may be empty.
    pub description: String,
    /// JSON Schema of its arguments, as the server gave it.
    pub input_schema: Value,
}

/// Tokens that a model call took, as far as the provider says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Tokens of the request, those read from or written to the prompt cache included.
    pub input_tokens: u64,
    /// Tokens of the answer, reasoning included.
    pub output_tokens: u64,
    /// Part of the input that was read from the provider's prompt cache.
    pub cache_read_tokens: u64,
    /// Part of the input that was written to the provider's prompt cache.
    pub cache_write_tokens: u64,
    /// Part of the output that was reasoning.
    pub reasoning_tokens: u64,
    /// What they cost by the app's prices, in billionths of the currency; 0 without prices.
    #[serde(with = "cost", skip_serializing_if = "cost::is_none")]
    pub cost: u64,
}

/// Costs are whole billionths here, so that sums are exact, and a number of the currency outside.
mod cost {
    use serde::{Deserialize, Deserializer, Serializer};

    const BILLION: f64 = 1e9;

    pub(super) fn is_none(cost: &u64) -> bool {
        *cost == 0
    }

    pub(super) fn serialize<S: Serializer>(cost: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(*cost as f64 / BILLION)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        Ok((f64::deserialize(deserializer)? * BILLION + 0.5) as u64)
    }
}

/// What a model costs, in billionths of the currency for each token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Input that was not read from or written to the prompt cache.
    pub input: u64,
    /// Output.
    pub output: u64,
    /// Input from the prompt cache.
    pub cache_read: u64,
    /// Input into the prompt cache.
    pub cache_write: u64,
}

impl Prices {
    /// What those tokens cost.
    pub fn cost(&self, usage: &Usage) -> u64 {
        let Usage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, .. } = *usage;
        let plain = input_tokens.saturating_sub(cache_read_tokens).saturating_sub(cache_write_tokens);
        let parts = [
            (plain, self.input),
            (output_tokens, self.output),
            (cache_read_tokens, self.cache_read),
            (cache_write_tokens, self.cache_write),
        ];
        parts.iter().fold(0, |sum: u64, (tokens, price)| sum.saturating_add(tokens.saturating_mul(*price)))
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cache_read_tokens += other.cache_read_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
        self.cost = self.cost.saturating_add(other.cost);
    }
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It had said what it wanted to say.
    EndTurn,
    /// It wants tools to be called.
    ToolUse,
    /// `maxTokens` was reached.
    MaxTokens,
    /// A stop sequence was met.
    StopSequence,
    /// The provider or the model declined to answer.
    Refusal,
    /// The provider paused a long turn; asking again goes on.
    PauseTurn,
    /// Something this version does not know.
    Other,
}

impl StopReason {
    /// The reason of that name.
    pub(crate) fn read(name: &str) -> StopReason {
        match name {
            "end_turn" => StopReason::EndTurn,
            "tool_use" => StopReason::ToolUse,
            "max_tokens" => StopReason::MaxTokens,
            "stop_sequence" => StopReason::StopSequence,
            "refusal" => StopReason::Refusal,
            "pause_turn" => StopReason::PauseTurn,
            _ => StopReason::Other,
        }
    }
}

/// One step of a model's answer, in the order of arrival.
///
/// Laws that every wire keeps: `ToolStart` with an index comes before every `ToolInput` of that index and comes
/// once; indices ascend in order of start; after `Stop` come at most `Usage`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delta {
    /// More text.
    Text(String),
    /// More reasoning.
    Thinking(String),
    /// Signature of the reasoning block that just ended; without one, of an empty block of its own.
    Signature(String),
    /// A whole block of reasoning that the provider shows to nobody.
    RedactedThinking(String),
    /// The model begins to ask for a tool.
    ToolStart {
        /// Place among the tool uses of this answer, from 0.
        index: u32,
        /// The provider's id; made up by the wire from the index where the provider gives none.
        id: String,
        /// Wire name as the model wrote it.
        name: String,
    },
    /// More of the arguments' JSON text.
    ToolInput {
        /// Place among the tool uses of this answer.
        index: u32,
        /// The next piece; pieces join to one JSON text.
        json: String,
    },
    /// The arguments of that tool use are complete.
    ToolEnd {
        /// Place among the tool uses of this answer.
        index: u32,
    },
    /// Tokens so far; the last one counts.
    Usage(Usage),
    /// Why the model stopped.
    Stop(StopReason),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_survive_being_stored() {
        let message = Message {
            role: Role::Assistant,
            content: vec![
                Block::Thinking { text: "hm".into(), signature: Some("sig".into()) },
                Block::RedactedThinking { data: "sealed".into() },
                Block::Text { text: "I will look.".into() },
                Block::Image { data: "AA==".into(), mime_type: "image/png".into() },
                Block::Audio { data: "AA==".into(), mime_type: "audio/wav".into() },
                Block::ToolUse {
                    id: "t1".into(),
                    name: "add".into(),
                    input: json!({ "b": 1, "a": 2 }),
                    invalid_input: None,
                },
                Block::ToolResult {
                    tool_use_id: "t1".into(),
                    content: vec![json!({ "type": "text", "text": "3" })],
                    is_error: false,
                },
            ],
        };
        let text = serde_json::to_string(&message).unwrap();
        assert!(text.contains(r#""toolUseId":"t1""#), "{text}");
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
    }

    #[test]
    fn costs_go_by_the_kind_of_token_and_survive_being_stored() {
        let usage = Usage {
            input_tokens: 1_000,
            output_tokens: 100,
            cache_read_tokens: 600,
            cache_write_tokens: 100,
            ..Usage::default()
        };
        let prices = Prices { input: 3_000, output: 15_000, cache_read: 300, cache_write: 3_750 };
        let cost = 300 * 3_000 + 100 * 15_000 + 600 * 300 + 100 * 3_750;
        assert_eq!(prices.cost(&usage), cost);
        let mut usage = Usage { cost, ..usage };
        let text = serde_json::to_string(&usage).unwrap();
        assert!(text.contains("\"cost\":0.002955"), "{text}");
        assert_eq!(serde_json::from_str::<Usage>(&text).unwrap(), usage);
        usage += usage;
        assert_eq!(usage.cost, 2 * cost);
        assert!(!serde_json::to_string(&Usage::default()).unwrap().contains("cost"));
    }

    #[test]
    fn a_block_of_unknown_type_or_without_its_fields_is_refused() {
        for text in [r#"{"type":"video"}"#, r#"{"type":"text"}"#, r#"{"type":"tool_use","id":"1"}"#, r#"{}"#, r#"[]"#] {
            assert!(serde_json::from_str::<Block>(text).is_err(), "{text}");
        }
    }
}
