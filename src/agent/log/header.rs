//! What a run began with, as the first line of its log.

use serde_json::{Map, Value};

use crate::agent::config::{Approval, Limits};
use crate::agent::recovery::Candidate;
use crate::agent::run::{Run, Setup};
use crate::agent::view::Rate;
use crate::json;
use crate::llm::structured::Takes;
use crate::llm::types::Message;
use crate::options::FunctionId;
use crate::time::{Millis, UnixMillis};

/// Version of the format.
const VERSION: u64 = 1;

/// What a run began with.
#[derive(Clone, Debug)]
pub struct Header {
    /// When.
    pub at: UnixMillis,
    /// All that it was given.
    pub setup: Setup,
    /// Its history is in there, not only in the conversation.
    pub inline: bool,
    /// The plan of the app that it consists of.
    pub plan: Option<Value>,
    /// Where in a conversation its history is.
    pub conversation: Option<Told>,
}

/// A part of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Id of the conversation.
    pub id: String,
    /// How many messages are before it: a summary stands for them.
    pub from: u64,
    /// How many messages it has.
    pub count: u64,
}

impl Header {
    /// The first line of a log. With `inline` the history is in there, else it is to be found in the conversation.
    pub fn write(&self, inline: bool) -> String {
        let Setup { id, prompt, messages, limits, approval, models, output, random, goal, conversation, rate } =
            &self.setup;
        let row = |items: Vec<Value>| Value::Array(items);
        let models = models
            .iter()
            .map(|Candidate { id, prefill, room, schema }| {
                row(vec![id.as_str().into(), (*prefill).into(), json::tree(schema), (*room).into()])
            })
            .collect();
        let conversation_of =
            |Told { id, from, count }: &Told| row(vec![id.as_str().into(), (*from).into(), (*count).into()]);
        let (chars, tokens) = rate.parts();
        let mut header = Map::new();
        for (name, value) in [
            ("edgewise", VERSION.into()),
            ("at", self.at.0.into()),
            ("id", id.as_str().into()),
            // As text, since JavaScript would round it.
            ("random", random.to_string().into()),
            ("prompt", json::tree(prompt)),
            ("messages", inline.then(|| json::tree(messages)).into()),
            ("conversation", self.conversation.as_ref().map(conversation_of).into()),
            ("limits", write_limits(limits)),
            ("approval", write_approval(*approval).into()),
            ("models", row(models)),
            ("output", output.clone().into()),
            ("plan", self.plan.clone().into()),
            ("goal", (*goal).into()),
            ("told", (!conversation).into()),
            ("rate", row(vec![chars.into(), tokens.into()])),
        ] {
            header.insert(name.to_owned(), value);
        }
        [&json::text(&Value::Object(header)), "\n"].concat()
    }

    /// Reads it; `None` when it is none of a version that we know.
    pub(super) fn read(header: &Value) -> Option<Header> {
        if header.get("edgewise")?.as_u64()? != VERSION {
            return None;
        }
        let some = |name: &str| header.get(name).filter(|value| !value.is_null());
        let text = |name: &str| Some(header.get(name)?.as_str()?.to_owned());
        let model = |model: &Value| {
            let yes = |place: usize| model.get(place)?.as_bool();
            let (id, room) = (model.get(0)?.as_str()?.to_owned(), model.get(3)?.as_u64());
            Some(Candidate { id, prefill: yes(1)?, room, schema: takes(model.get(2)?)? })
        };
        let conversation = match some("conversation") {
            Some(value) => {
                let (id, from, count) = (value.get(0)?, value.get(1)?, value.get(2)?);
                Some(Told { id: id.as_str()?.to_owned(), from: from.as_u64()?, count: count.as_u64()? })
            }
            None => None,
        };
        let rate = header.get("rate")?;
        let messages = match some("messages") {
            Some(messages) => messages.as_array()?.iter().map(Message::read).collect::<Option<_>>()?,
            None => Vec::new(),
        };
        let setup = Setup {
            id: text("id")?,
            prompt: Message::read(header.get("prompt")?)?,
            messages,
            limits: read_limits(header.get("limits")?)?,
            approval: read_approval(header.get("approval")?.as_str()?)?,
            models: header.get("models")?.as_array()?.iter().map(model).collect::<Option<_>>()?,
            output: some("output").cloned(),
            random: text("random")?.parse().ok()?,
            goal: header.get("goal")? == &Value::Bool(true),
            conversation: header.get("told")? == &Value::Bool(false),
            rate: Rate::of(rate.get(0)?.as_u64()?, rate.get(1)?.as_u64()?),
        };
        let at = UnixMillis(header.get("at")?.as_u64()?);
        Some(Header { at, setup, inline: some("messages").is_some(), plan: some("plan").cloned(), conversation })
    }

    /// A run that begins so.
    pub(super) fn run(self, messages: Option<Vec<Message>>) -> Run {
        let mut setup = self.setup;
        setup.messages = messages.unwrap_or(setup.messages);
        match self.plan {
            Some(plan) => Run::of_plan(setup, plan),
            None => Run::new(setup),
        }
    }
}

fn takes(name: &Value) -> Option<Takes> {
    Some(match name.as_str()? {
        "no" => Takes::No,
        "alone" => Takes::Alone,
        "beside_tools" => Takes::BesideTools,
        _ => return None,
    })
}

fn write_limits(limits: &Limits) -> Value {
    let Limits { max_turns, turn_timeout, tool_timeout, max_parallel_tools, max_attempts, .. } = limits;
    let Limits { max_retries, turn_max, max_result_tokens, max_tool_tokens, .. } = limits;
    Value::Array(vec![
        (*max_turns).into(),
        turn_timeout.0.into(),
        tool_timeout.map(|limit| limit.0).into(),
        (*max_parallel_tools).into(),
        (*max_attempts).into(),
        (*max_retries).into(),
        turn_max.0.into(),
        (*max_result_tokens).into(),
        (*max_tool_tokens).into(),
    ])
}

fn read_limits(value: &Value) -> Option<Limits> {
    let number = |place: usize| value.get(place).and_then(Value::as_u64);
    let count = |place: usize| number(place).and_then(|number| u32::try_from(number).ok());
    Some(Limits {
        max_turns: count(0)?,
        turn_timeout: Millis(number(1)?),
        tool_timeout: number(2).map(Millis),
        max_parallel_tools: count(3)?,
        max_attempts: count(4)?,
        max_retries: count(5)?,
        turn_max: Millis(number(6)?),
        max_result_tokens: count(7)?,
        max_tool_tokens: count(8)?,
    })
}

/// A function of the app is of one page: in a log it is only said that it was one.
pub(super) fn write_approval(approval: Approval) -> &'static str {
    match approval {
        Approval::Never => "never",
        Approval::Writes => "writes",
        Approval::Always => "always",
        Approval::Function(_) => "function",
    }
}

pub(super) fn read_approval(name: &str) -> Option<Approval> {
    Some(match name {
        "never" => Approval::Never,
        "writes" => Approval::Writes,
        "always" => Approval::Always,
        "function" => Approval::Function(FunctionId(u32::MAX)),
        _ => return None,
    })
}
