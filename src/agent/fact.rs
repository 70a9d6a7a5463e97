//! The vocabulary between a run and its driver: what to do next, and what came of it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agent::catalog::ToolEntry;
use crate::agent::config::Approval;
use crate::agent::event::Outcome;
use crate::agent::recovery::Ask;
use crate::agent::told::tells;
use crate::agent::view::Rate;
use crate::error::Error;
use crate::llm::types::{Delta, Usage};
use crate::mcp::lists::Age;
use crate::mcp::server::State as ServerState;
use crate::options::FunctionId;
use crate::time::Millis;

/// What the driver is to start. Each step is given out once; its end is reported as a [`Fact`].
///
/// Deliberately exhaustive: a new step must break every driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Connect every server that is not connected, and wait no longer than
    /// [`gather_limit`](crate::agent::policy::gather_limit). Report each change as [`Fact::Server`], the end as
    /// [`Fact::Gathered`].
    Gather,
    /// Say what the servers have on the prompt, if that is wanted: [`Fact::Context`]; then which tools there are: [`Fact::Tools`].
    OfferTools,
    /// Ask the model so: [`Fact::Deltas`], then [`Fact::ModelEnded`], [`Fact::ModelFailed`] or
    /// [`Fact::TooLong`].
    CallModel(Ask),
    /// Make less of a history that fills the model's window: [`Fact::Compacted`].
    Compact(Squeeze),
    /// Check the value against the schema: [`Fact::Checked`].
    Check(Value, Value),
    /// Wait that long: [`Fact::Slept`].
    Sleep(Millis),
    /// Ask this function of the app about this call: [`Fact::Judged`].
    Judge(FunctionId, Call),
    /// Call the tool: any number of [`Fact::ToolProgress`] and [`Fact::InputAsked`], then [`Fact::ToolEnded`] or
    /// [`Fact::ToolFailed`].
    CallTool(Call),
    /// Wait that long before the call of that id is made again: [`Fact::Rested`].
    Rest(String, Millis),
    /// Give the plan of that call what came of one of its calls.
    HandBack {
        /// Id of the call of `run_plan`.
        call: String,
        /// Id of the call that ended.
        id: String,
        /// What came of it.
        output: ToolOutput,
    },
    /// Give the server that asked under this id the answer; null when nobody is there to answer.
    Reply(String, Value),
    /// Note that the model is shown these changes: `[{ server, uri, version }]`.
    Noted(Value),
    /// Put the run away: [`Fact::Suspended`]. It waits for approvals alone, and somebody wants that.
    Suspend,
    /// Nothing to start; wait for a fact.
    Wait,
    /// The run is over. Whatever is still in flight is to be dropped.
    Done,
}

/// How much less is to be made of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Squeeze {
    /// The model that is asked next.
    pub model: usize,
    /// About how many tokens the request would be.
    pub tokens: u64,
    /// How many tokens it may be.
    pub room: u64,
    /// How many characters are how many tokens.
    pub rate: Rate,
    /// Place of the first message that the model was not asked with yet.
    pub unseen: usize,
}

/// What was made of a history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Compacted {
    /// How many messages at its end the summary does not stand for.
    pub keeps: usize,
    /// What is shown in place of the others.
    pub summary: Option<String>,
    /// Ids of tool uses, and what is shown in place of their results.
    pub results: Vec<(String, String)>,
    /// Tokens of the call that made the summary.
    pub usage: Usage,
}

/// A tool call as the driver sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Id that the model gave.
    pub id: String,
    /// The tool.
    pub tool: ToolEntry,
    /// Parsed arguments, always an object.
    pub input: Value,
    /// A plan asks for it: its result goes to the plan, whole.
    pub planned: bool,
    /// It was made already, and the server has a task of this id of it: that is to be followed.
    pub task: Option<String>,
}

/// What happened. The only way into a run; recorded facts replay it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A server's state changed.
    Server {
        /// Its name.
        server: String,
        /// Its new state.
        state: ServerState,
        /// Why, when it failed.
        reason: Option<Error>,
    },
    /// A part of what a server offers had to be left out.
    Warning {
        /// Its name.
        server: String,
        /// What and why, for people.
        message: String,
    },
    /// Every server is connected or has failed, or the time for it is up.
    Gathered,
    /// What the servers have on the prompt: `{ text, sources, tokens, dropped, meaning }`, or why nobody knows. Comes before the
    /// tools, if at all.
    Context(Result<Value, Error>),
    /// A source that the model was shown has changed; see `crate::agent::live`.
    SourceChanged(Value),
    /// The tools that the model will be offered, in the order of the offer.
    Tools(Vec<ToolEntry>),
    /// Which tools the model is offered from this prompt on, where not all are: a mark for the history. Comes before the tools.
    Offered {
        /// Their wire names.
        names: Vec<String>,
        /// In place of those before; else behind them.
        anew: bool,
    },
    /// About how many characters the system prompt and the definitions of the tools are. Comes before the tools, where a model's
    /// window is known.
    Fixed(u64),
    /// What was made of the history.
    Compacted(Compacted),
    /// More of the model's answer.
    Deltas(Vec<Delta>),
    /// The model's answer is complete.
    ModelEnded,
    /// The model call failed; what came before stands.
    ModelFailed(Error),
    /// The model call failed, because the request does not fit the model's window.
    TooLong {
        /// What the provider said.
        error: Error,
        /// How many tokens a request may be, where the provider told its window.
        room: Option<u64>,
        /// How many this one was, where it told that.
        tokens: Option<u64>,
    },
    /// The wait is over.
    Slept,
    /// What is wrong with the answer.
    Checked(Vec<String>),
    /// The app's approval function has spoken: whether the user is asked, or the text of what it threw.
    Judged {
        /// Id of the call.
        id: String,
        /// True asks the user.
        ask: Result<bool, String>,
    },
    /// The conversation holds private data of these servers.
    Private(Vec<String>),
    /// What users have allowed for good: tools, and digests of the arguments.
    Remembered(Vec<(String, String)>),
    /// The user is about to say yes to a call, and to all that are alike. [`Fact::Approved`] follows.
    Remember {
        /// Id of the call.
        id: String,
        /// True: those with the same arguments, also in other runs. False: all of this tool, in this run.
        always: bool,
    },
    /// The user said yes.
    Approved {
        /// Id of the call.
        id: String,
    },
    /// The user said no.
    Denied {
        /// Id of the call.
        id: String,
        /// Why, for the model.
        why: Option<String>,
    },
    /// A tool is still at work.
    ToolProgress {
        /// Id of the call.
        id: String,
        /// Grows with every notice.
        progress: f64,
        /// How far it has to go.
        total: Option<f64>,
        /// For people.
        message: Option<String>,
    },
    /// The server made a task of a call.
    ToolTask {
        /// Id of the call.
        id: String,
        /// Id of the task.
        task: String,
    },
    /// A server wants something of the user before a call goes on.
    InputAsked {
        /// Id of the request; not used before in this run.
        id: String,
        /// Id of the call.
        call: String,
        /// Name of the server.
        server: String,
        /// Why it asks.
        message: String,
        /// Schema of the form, if it is one.
        schema: Option<Value>,
        /// The page, if it is one.
        url: Option<String>,
    },
    /// The user answered a server.
    Answered {
        /// Id of the request.
        id: String,
        /// `{ action, content? }`.
        answer: Value,
    },
    /// A tool call failed on the way: there is no result.
    ToolFailed {
        /// Id of the call.
        id: String,
        /// Why.
        error: Error,
    },
    /// The wait before a tool call is over.
    Rested {
        /// Id of the call.
        id: String,
    },
    /// A tool call ended.
    ToolEnded {
        /// Id of the call.
        id: String,
        /// What it gave.
        output: ToolOutput,
    },
    /// A plan asks for calls; each is answered by [`Step::HandBack`].
    Planned {
        /// Id of the call of `run_plan`.
        call: String,
        /// The calls, all of which may be made at once.
        calls: Vec<PlannedCall>,
    },
    /// A step of a plan has another state.
    PlanStep(PlanStep),
    /// A plan has failed: calls of it that have not begun are not wanted any more.
    Withdrawn {
        /// Id of the call of `run_plan`.
        call: String,
    },
    /// The plan that the app wants to be run cannot be run.
    PlanRefused(Error),
    /// The user says something while the run is under way.
    Steered {
        /// What.
        text: String,
        /// It waits until the model has no more to say, instead of joining at the next turn.
        follow_up: bool,
    },
    /// The app wants the run to be put away when it waits for approvals alone.
    Suspending,
    /// It was put away; this is all that it takes to go on.
    Suspended(String),
    /// It goes on after its driver was gone: what was in flight is not any more.
    Resumed {
        /// When the user is asked from now on.
        approval: Approval,
        /// What the user has said meanwhile.
        decisions: Vec<Decision>,
    },
    /// Whether anyone is there who could answer an approval request.
    Listening(bool),
    /// The app or the user cancelled the run.
    Cancelled,
}

/// What the user has said of a call that waited for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Id of the call.
    pub id: String,
    /// Whether it may be made.
    pub approve: bool,
    /// Why not, for the model.
    pub why: Option<String>,
    /// It is said of all calls that are alike: true for those with the same arguments, also in other runs; false for all of
    /// this tool in this run.
    #[serde(default)]
    pub always: Option<bool>,
}

/// A call that a plan asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedCall {
    /// Id of the call; not used before in this run.
    pub id: String,
    /// Name of the tool, as the app knows it.
    pub tool: String,
    /// Arguments.
    pub input: Value,
    /// Id of the step.
    pub step: String,
}

/// News of a step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    /// Id of the call of `run_plan`.
    pub call: String,
    /// Id of the step.
    pub id: String,
    /// `running`, `retrying`, `ok`, `failed`, `skipped` or `defaulted`.
    pub state: String,
    /// For how many elements it is done.
    pub items: Option<u64>,
    /// Number of the coming try.
    pub attempt: Option<u64>,
    /// Why.
    pub reason: Option<String>,
}

/// What a tool call gave, well or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolOutput {
    /// Content blocks in MCP's shape.
    pub content: Vec<Value>,
    /// The same as data.
    pub structured_content: Option<Value>,
    /// The model is told that it failed.
    pub is_error: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// How old it is, where the tool was not called for it.
    #[serde(default)]
    pub cached: Option<Age>,
    /// Names all of it, where it was too long: then the content only tells of it, see [`crate::agent::kept`].
    #[serde(default)]
    pub handle: Option<String>,
}

impl ToolOutput {
    /// An output of one text that tells the model why there is no better one.
    pub fn failed(outcome: Outcome, why: impl Into<String>) -> ToolOutput {
        let text: String = why.into();
        let content = vec![json!({ "type": "text", "text": text })];
        ToolOutput { content, structured_content: None, is_error: true, outcome, cached: None, handle: None }
    }

    /// An output of one text.
    pub fn text(words: impl Into<String>) -> ToolOutput {
        ToolOutput { is_error: false, ..ToolOutput::failed(Outcome::Ok, words) }
    }

    /// What is put before the model: the content, and the structured content behind it unless the content says it already
    /// ([MCP 2026-07-28, Tools, "Structured Content"]): it would cost the tokens twice.
    pub fn into_model_content(self) -> Vec<Value> {
        let ToolOutput { mut content, structured_content, .. } = self;
        if let Some(data) = structured_content.filter(|data| !tells(&content, data)) {
            content.push(json!({ "type": "text", "text": crate::json::text(&data) }));
        }
        content
    }
}
