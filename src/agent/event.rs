//! What a run tells the app: one flat union, discriminated by `type`.
//!
//! Laws, for every run: exactly one terminal event ([`Event::Done`], [`Event::Error`] or [`Event::Suspended`]), and it is last. Between a
//! `tool_call` and the end of its turn there is exactly one `tool_result` with its id. The `text_delta`s of a turn
//! join to the text of its `turn_end.message`. Readers ignore types they do not know.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::goal::GoalEnd;
use crate::error::{Code, Error};
use crate::llm::types::{Message, StopReason, Usage};
use crate::mcp::lists::Age;
use crate::mcp::server::State as ServerState;
use crate::time::Millis;

/// How a tool call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The tool gave a result and does not call it an error.
    Ok,
    /// Anything that went wrong: unknown tool, invalid input, an error of the protocol or of the tool.
    Failed,
    /// The call was sent and no answer came, so that nobody knows whether it was done.
    Unknown,
    /// The user, or the policy, said no.
    Denied,
    /// The run was cancelled before the tool was done.
    Cancelled,
    /// The tool was not called: it gave this to an equal call before.
    Cached,
}

impl Outcome {
    /// The outcome of that name.
    pub(crate) fn read(name: &str) -> Option<Outcome> {
        Some(match name {
            "ok" => Outcome::Ok,
            "failed" => Outcome::Failed,
            "unknown" => Outcome::Unknown,
            "denied" => Outcome::Denied,
            "cancelled" => Outcome::Cancelled,
            "cached" => Outcome::Cached,
            _ => return None,
        })
    }
}

/// What a retry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryOf {
    /// The model call of this turn.
    Model,
    /// A tool call.
    Tool,
}

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Event {
    /// The run begins.
    RunStart {
        /// Unique id of the run.
        run_id: String,
        /// It began earlier and goes on from its log; the turn that was open is told again.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        resumed: bool,
    },
    /// A server's state changed while this run was looking for tools.
    ServerStatus {
        /// Name of the server.
        server: String,
        /// Its new state.
        state: ServerState,
        /// Why, when it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Error>,
    },
    /// The definition of a tool is not the one that was seen first or approved.
    ToolChanged {
        /// Name of the server.
        server: String,
        /// `server.tool`.
        name: String,
        /// Which parts differ: `description`, `inputSchema`, `outputSchema`, `annotations`.
        parts: Vec<String>,
        /// Its next call waits for an approval.
        needs_approval: bool,
    },
    /// A part of what a server offers had to be left out, such as a tool with an invalid schema.
    Warning {
        /// Name of the server.
        server: String,
        /// What was left out and why, for people.
        message: String,
    },
    /// What was put before the model besides the prompt, and what was found and left out.
    Context {
        /// The resources, the best first: `{ server, uri, name, tokens, score, passages, ofPassages, readAt, ... }`.
        sources: Value,
        /// About how many tokens they have.
        tokens: u64,
        /// What was left out: `{ server, uri, reason, ... }`.
        dropped: Value,
        /// How many resources there are besides.
        omitted: u64,
        /// Whether what texts are about counted, or their words alone.
        meaning: bool,
        /// Why nobody told what texts are about.
        #[serde(skip_serializing_if = "Option::is_none")]
        meaning_error: Option<String>,
        /// Why there is none.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Error>,
    },
    /// A source that the model was shown, or that the conversation is subscribed to, has changed. The model is told before its
    /// next turn.
    ContextChanged {
        /// Name of the server.
        server: String,
        /// URI of the resource.
        uri: String,
        /// The lines that went and came, in comparison with what the model was shown; empty when the text is too long to be
        /// compared, or the `same` again.
        difference: String,
        /// How many lines came.
        added: u64,
        /// How many lines went.
        removed: u64,
        /// It touches passages that the model was shown: what was answered may be outdated.
        cited: bool,
        /// It is again as the model was shown it, after it was another.
        same: bool,
        /// When it was read, in milliseconds since 1970.
        #[serde(skip_serializing_if = "Option::is_none")]
        read_at: Option<u64>,
    },
    /// The model is about to be asked.
    TurnStart {
        /// Number of the turn, from 1.
        turn: u32,
    },
    /// More of the answer; only the new part.
    TextDelta {
        /// The new part.
        text: String,
    },
    /// More of the model's reasoning; only the new part.
    ThinkingDelta {
        /// The new part.
        text: String,
    },
    /// The model asks for a tool; once per call, complete.
    ToolCall {
        /// Id that the result carries too.
        id: String,
        /// `server.tool` for MCP tools, the plain name for the app's own, the model's word for unknown ones.
        name: String,
        /// Name of the server, for MCP tools.
        #[serde(skip_serializing_if = "Option::is_none")]
        server: Option<String>,
        /// Parsed arguments.
        input: Value,
        /// Id of the call of `run_plan` whose plan asks for it, not the model itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        call_id: Option<String>,
        /// Id of the step of that plan.
        #[serde(skip_serializing_if = "Option::is_none")]
        step: Option<String>,
    },
    /// A step of a plan has another state.
    PlanStep {
        /// Id of the step.
        id: String,
        /// Id of the call of `run_plan`.
        call_id: String,
        /// `running`, `retrying`, then `ok`, `failed`, `skipped` or `defaulted`.
        state: String,
        /// For how many elements it is done, with `forEach`.
        #[serde(skip_serializing_if = "Option::is_none")]
        items: Option<u64>,
        /// Number of the coming try, when it is `retrying`.
        #[serde(skip_serializing_if = "Option::is_none")]
        attempt: Option<u64>,
        /// Why.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The call waits until the app answers with `approve(id)` or `deny(id, why)`.
    ApprovalRequest {
        /// Id of the tool call.
        id: String,
        /// As in `tool_call`.
        name: String,
        /// Parsed arguments.
        input: Value,
        /// Why the user is asked.
        reason: String,
    },
    /// A call that waited for the user waits no longer: one like it was allowed for this run, or for good.
    Approved {
        /// Id of the tool call.
        id: String,
    },
    /// The server made a task of the call. It goes on when the run is gone, unless the run is cancelled; `resumeTask` takes
    /// it up by this id.
    ToolTask {
        /// Id of the tool call.
        id: String,
        /// Name of the server.
        server: String,
        /// Id of the task.
        task_id: String,
    },
    /// A server wants something of the user before a call goes on: a form (`schema`) or a visit to a page (`url`). It
    /// waits until the app answers with `answer(id, { action, content? })`.
    InputRequest {
        /// Id of the request, for the answer.
        id: String,
        /// Id of the tool call.
        call_id: String,
        /// Name of the server that asks.
        server: String,
        /// Why it asks; written by the server.
        message: String,
        /// JSON Schema of the form: an object of strings, numbers, booleans and choices.
        #[serde(skip_serializing_if = "Option::is_none")]
        schema: Option<Value>,
        /// The page, to be opened only after the user has seen the whole URL and agreed.
        #[serde(skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// A tool that is still at work says how far it is.
    ToolProgress {
        /// Id of the tool call.
        id: String,
        /// Grows with every notice.
        progress: f64,
        /// How far it has to go, when known.
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<f64>,
        /// For people.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// The call ended; once per call.
    ToolResult {
        /// Id of the tool call.
        id: String,
        /// Content blocks in MCP's shape.
        content: Vec<Value>,
        /// The same as data, when the tool gave it.
        #[serde(skip_serializing_if = "Option::is_none")]
        structured_content: Option<Value>,
        /// The model is told that it failed.
        is_error: bool,
        /// How it ended.
        outcome: Outcome,
        /// Milliseconds from start to end by the platform's clock; 0 for calls that never started.
        duration_ms: Millis,
        /// How old it is, where the tool was not called for it.
        #[serde(flatten)]
        cached: Option<Age>,
        /// Names all of it, where it was too long for the model: then the content only tells of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        handle: Option<String>,
    },
    /// A model or tool call is made again.
    Retry {
        /// What is made again.
        of: RetryOf,
        /// Id of the tool call.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Id of the model that is asked, where there are fallbacks.
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<String>,
        /// Number of the coming try, from 2.
        attempt: u32,
        /// Wait before it, in milliseconds.
        delay_ms: Millis,
        /// What went wrong.
        code: Code,
    },
    /// The model's answer is complete and its tools have answered.
    TurnEnd {
        /// Why the model stopped.
        stop_reason: StopReason,
        /// Tokens of this turn.
        usage: Usage,
        /// What goes into the history.
        message: Message,
    },
    /// What the user said meanwhile has joined the conversation; between two turns.
    Steered {
        /// What the user said.
        text: String,
    },
    /// The history filled the model's window: from now on the model is shown less of it. At the beginning of a turn.
    Compacted {
        /// About how many tokens the next request would have been.
        tokens_before: u64,
        /// About how many it is.
        tokens_after: u64,
        /// How many results are shown by what tells of them only.
        results: usize,
        /// Stands for the messages that are not shown any more.
        #[serde(skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
    },
    /// The run ended well. Terminal.
    Done {
        /// Unique id of the run.
        run_id: String,
        /// Text of the last answer.
        text: String,
        /// The answer as data, where the run was given a schema for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        output: Option<Value>,
        /// The whole history, the prompt included; in a conversation what this run has added to it.
        messages: Vec<Message>,
        /// Tokens of all turns.
        usage: Usage,
        /// What the plan gave, when the app ran one: `{ ok, value, steps }`.
        #[serde(skip_serializing_if = "Option::is_none")]
        plan: Option<Value>,
        /// How the goal ended, for a run that pursues one.
        #[serde(skip_serializing_if = "Option::is_none")]
        goal: Option<GoalEnd>,
    },
    /// The run waits for approvals alone and was put away; `agent.resume` goes on with it, here or elsewhere. Terminal.
    Suspended {
        /// Unique id of the run.
        run_id: String,
        /// Its log, sealed where the agent has a secret for it.
        snapshot: String,
        /// The calls that wait: `{ id, name, input }`.
        waiting_for: Value,
        /// The history of the turns that are over; in a conversation what this run has added to it.
        messages: Vec<Message>,
        /// Tokens of those turns.
        usage: Usage,
    },
    /// The run cannot go on. Terminal. Cancelling gives code `cancelled`.
    Error {
        /// Unique id of the run.
        run_id: String,
        /// What went wrong.
        error: Error,
        /// The history so far, ready to be continued from; in a conversation what this run has added to it.
        messages: Vec<Message>,
        /// Tokens of all turns.
        usage: Usage,
    },
}

impl Event {
    /// True for the last event of a run.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Event::Done { .. } | Event::Error { .. } | Event::Suspended { .. })
    }
}
