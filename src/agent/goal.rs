//! Goal mode: a run that goes on until the model says that the goal is met, or that it cannot be.
//!
//! The model says so by calling a tool of ours, since words like "done" are said long before anything is. The last turn
//! of the run is kept for a report: what was done and what is left.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agent::catalog::{Builtin, ToolEntry};
use crate::llm::types::ToolDefinition;

/// How a goal ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GoalEnd {
    /// The model says that the goal is met.
    pub met: bool,
    /// What was done, in the model's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What is left to do, in the model's words; where it was not asked for that in so many words, its last answer, unless that
    /// is the `output`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

impl GoalEnd {
    /// Reads the arguments of the tool. Models leave things out; only `met: true` is met.
    pub(crate) fn read(input: &Value) -> GoalEnd {
        let text =
            |name: &str| input.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let met = input.get("met") == Some(&Value::Bool(true));
        GoalEnd { met, summary: text("summary"), left: text("left").filter(|_| !met) }
    }
}

/// How far a run is with its goal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Goal {
    /// What the model said, as long as the user has said nothing since.
    pub(crate) end: Option<GoalEnd>,
    /// Answers in a row that called nothing and ended nothing.
    pub(crate) idle: u32,
    /// The turn that is open, or comes next, is the one for the report.
    pub(crate) last: bool,
}

/// Answers in a row without any call after which a model will not go on however often it is told to.
pub(crate) const MOST_IDLE: u32 = 2;

/// Said to a model that stopped without a word on the goal.
pub(crate) const GO_ON: &str = "Go on until the goal is met. When it is met, or cannot be, call the tool that ends it.";

/// Said before the last turn.
pub(crate) const REPORT: &str =
    "This is the last turn, and no more tools can be called. Say briefly what was done and what is left to do.";

/// The same where the answer has to satisfy a schema.
pub(crate) const REPORT_AS_DATA: &str = "This is the last turn, and no more tools can be called. Answer with the JSON that is asked for, \
as far as you have come.";

/// What a call in the last turn is told.
pub(crate) const TOO_LATE: &str = "not called: no turn is left";

/// What the model is told of its task, before or without what the app tells it.
pub(crate) fn system(app: Option<&str>) -> String {
    const OURS: &str = "Work on the user's goal by yourself, over as many turns as it takes, without asking back. When it is met, or when it \
cannot be met, call `end_goal`.";
    match app {
        Some(app) => [app, "\n\n", OURS].concat(),
        None => OURS.into(),
    }
}

/// Adds the tool to what is offered. It stands last, so that the prompt up to it is that of other runs.
pub(crate) fn offer(entries: &mut Vec<ToolEntry>, definitions: &mut Vec<ToolDefinition>) {
    let entry = ToolEntry::builtin(Builtin::Goal, entries);
    let text = |description: &str| json!({ "type": "string", "description": description });
    definitions.push(ToolDefinition {
        name: entry.wire_name.clone(),
        description: "Ends the work on the goal. Call it once the goal is met, or when it cannot be met.".into(),
        input_schema: json!({
            "type": "object",
            "properties": {
                "met": { "type": "boolean", "description": "whether the goal is met" },
                "summary": text("what was done"),
                "left": text("what is left to do, when the goal is not met"),
            },
            "required": ["met"],
        }),
    });
    entries.push(entry);
}
