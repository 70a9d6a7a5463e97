//! Facts as JSON arrays: the name of the fact, then its fields in order.

use serde_json::Value;

use super::header::{read_approval, write_approval};
use crate::agent::catalog::{Builtin, ToolEntry};
use crate::agent::event::Outcome;
use crate::agent::fact::{Compacted, Decision, Fact, PlannedCall, ToolOutput};
use crate::error::Error;
use crate::json;
use crate::llm::types::{Delta, StopReason, Usage};
use crate::mcp::lists::Age;
use crate::mcp::trust::Change;
use crate::time::Millis;

/// A JSON array of these. Not `json!`, which brings a serializer of its own for each type.
macro_rules! row {
    ($($item:expr),* $(,)?) => { Value::Array(vec![$(Value::from($item)),*]) };
}

/// The fact; `None` for one that changes nothing of a run.
pub(super) fn write(fact: &Fact) -> Option<Value> {
    Some(match fact {
        // What servers wanted of the user is gone with the connection that they asked by.
        Fact::Server { .. }
        | Fact::Warning { .. }
        | Fact::ToolProgress { .. }
        | Fact::PlanStep(_)
        | Fact::InputAsked { .. }
        | Fact::Answered { .. } => return None,
        Fact::Gathered => row!("gathered"),
        Fact::Context(Ok(context)) => row!("context", context.clone()),
        Fact::Context(Err(error)) => row!("no_context", json::tree(error)),
        Fact::SourceChanged(change) => row!("source_changed", change.clone()),
        Fact::Tools(tools) => row!("tools", tools.iter().map(write_tool).collect::<Vec<Value>>()),
        Fact::Offered { names, anew } => row!("offered", names.clone(), *anew),
        Fact::Fixed(chars) => row!("fixed", *chars),
        Fact::Compacted(Compacted { keeps, summary, results, usage }) => {
            row!("compacted", *keeps, summary.clone(), write_pairs(results), write_usage(usage))
        }
        Fact::Deltas(all) => deltas(all),
        Fact::ModelEnded => row!("model_ended"),
        Fact::ModelFailed(error) => row!("model_failed", json::tree(error)),
        Fact::TooLong { error, room, tokens } => row!("too_long", json::tree(error), *room, *tokens),
        Fact::Slept => row!("slept"),
        Fact::Checked(problems) => row!("checked", problems.clone()),
        Fact::Judged { id, ask: Ok(ask) } => row!("judged", id.as_str(), *ask),
        Fact::Judged { id, ask: Err(thrown) } => row!("not_judged", id.as_str(), thrown.as_str()),
        Fact::Private(servers) => row!("private", servers.clone()),
        Fact::Remembered(known) => row!("remembered", write_pairs(known)),
        Fact::Remember { id, always } => row!("remember", id.as_str(), *always),
        Fact::Approved { id } => row!("approved", id.as_str()),
        Fact::Denied { id, why } => row!("denied", id.as_str(), why.clone()),
        Fact::ToolTask { id, task } => row!("tool_task", id.as_str(), task.as_str()),
        Fact::ToolEnded { id, output } => row!("tool_ended", id.as_str(), write_output(output)),
        Fact::ToolFailed { id, error } => row!("tool_failed", id.as_str(), json::tree(error)),
        Fact::Rested { id } => row!("rested", id.as_str()),
        Fact::Planned { call, calls } => {
            let calls = calls
                .iter()
                .map(|call| row!(call.id.as_str(), call.tool.as_str(), call.input.clone(), call.step.as_str()));
            row!("planned", call.as_str(), calls.collect::<Vec<Value>>())
        }
        Fact::Withdrawn { call } => row!("withdrawn", call.as_str()),
        Fact::PlanRefused(error) => row!("plan_refused", json::tree(error)),
        Fact::Steered { text, follow_up } => row!("steered", text.as_str(), *follow_up),
        Fact::Listening(listening) => row!("listening", *listening),
        Fact::Suspending => row!("suspending"),
        Fact::Suspended(_) => return None,
        Fact::Resumed { approval, decisions } => {
            let decisions = decisions
                .iter()
                .map(|decision| row!(decision.id.as_str(), decision.approve, decision.why.clone(), decision.always));
            row!("resumed", write_approval(*approval), decisions.collect::<Vec<Value>>())
        }
        Fact::Cancelled => row!("cancelled"),
    })
}

/// Reads one; `None` when it is none.
pub(super) fn read(fact: &Value) -> Option<Fact> {
    let (name, fields) = fact.as_array()?.split_first()?;
    let field = |place: usize| fields.get(place);
    let text = |place: usize| Some(field(place)?.as_str()?.to_owned());
    let list = |place: usize| field(place)?.as_array();
    let error = |place: usize| Error::read(field(place)?);
    Some(match name.as_str()? {
        "gathered" => Fact::Gathered,
        "context" => Fact::Context(Ok(field(0)?.clone())),
        "no_context" => Fact::Context(Err(error(0)?)),
        "source_changed" => Fact::SourceChanged(field(0)?.clone()),
        "tools" => Fact::Tools(list(0)?.iter().map(read_tool).collect::<Option<_>>()?),
        "offered" => Fact::Offered { names: texts(list(0)?)?, anew: field(1)?.as_bool()? },
        "fixed" => Fact::Fixed(field(0)?.as_u64()?),
        "compacted" => Fact::Compacted(Compacted {
            keeps: usize::try_from(field(0)?.as_u64()?).ok()?,
            summary: text(1),
            results: read_pairs(list(2)?)?,
            usage: read_usage(list(3)?)?,
        }),
        "deltas" => Fact::Deltas(fields.iter().map(read_delta).collect::<Option<_>>()?),
        "model_ended" => Fact::ModelEnded,
        "model_failed" => Fact::ModelFailed(error(0)?),
        "too_long" => {
            let number = |place: usize| field(place).and_then(Value::as_u64);
            Fact::TooLong { error: error(0)?, room: number(1), tokens: number(2) }
        }
        "slept" => Fact::Slept,
        "checked" => Fact::Checked(texts(list(0)?)?),
        "judged" => Fact::Judged { id: text(0)?, ask: Ok(field(1)?.as_bool()?) },
        "not_judged" => Fact::Judged { id: text(0)?, ask: Err(text(1)?) },
        "private" => Fact::Private(texts(list(0)?)?),
        "remembered" => Fact::Remembered(read_pairs(list(0)?)?),
        "remember" => Fact::Remember { id: text(0)?, always: field(1)?.as_bool()? },
        "approved" => Fact::Approved { id: text(0)? },
        "denied" => Fact::Denied { id: text(0)?, why: text(1) },
        "tool_task" => Fact::ToolTask { id: text(0)?, task: text(1)? },
        "tool_ended" => Fact::ToolEnded { id: text(0)?, output: read_output(field(1)?)? },
        "tool_failed" => Fact::ToolFailed { id: text(0)?, error: error(1)? },
        "rested" => Fact::Rested { id: text(0)? },
        "planned" => Fact::Planned { call: text(0)?, calls: list(1)?.iter().map(read_planned).collect::<Option<_>>()? },
        "withdrawn" => Fact::Withdrawn { call: text(0)? },
        "plan_refused" => Fact::PlanRefused(error(0)?),
        "steered" => Fact::Steered { text: text(0)?, follow_up: field(1)?.as_bool()? },
        "listening" => Fact::Listening(field(0)?.as_bool()?),
        "suspending" => Fact::Suspending,
        "resumed" => {
            let decisions = list(1)?.iter().map(|decision| {
                let text = |place: usize| Some(decision.get(place)?.as_str()?.to_owned());
                let always = decision.get(3).and_then(Value::as_bool);
                Some(Decision { id: text(0)?, approve: decision.get(1)?.as_bool()?, why: text(2), always })
            });
            Fact::Resumed { approval: read_approval(&text(0)?)?, decisions: decisions.collect::<Option<_>>()? }
        }
        "cancelled" => Fact::Cancelled,
        _ => return None,
    })
}

fn texts(list: &[Value]) -> Option<Vec<String>> {
    list.iter().map(|text| Some(text.as_str()?.to_owned())).collect()
}

fn write_pairs(pairs: &[(String, String)]) -> Vec<Value> {
    pairs.iter().map(|(one, other)| row!(one.as_str(), other.as_str())).collect()
}

fn read_pairs(list: &[Value]) -> Option<Vec<(String, String)>> {
    let text = |pair: &Value, place: usize| Some(pair.get(place)?.as_str()?.to_owned());
    list.iter().map(|pair| Some((text(pair, 0)?, text(pair, 1)?))).collect()
}

fn write_usage(usage: &Usage) -> Vec<Value> {
    let Usage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost } = usage;
    let all = [input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost];
    all.into_iter().map(|number| Value::from(*number)).collect()
}

fn read_usage(list: &[Value]) -> Option<Usage> {
    let number = |place: usize| list.get(place).and_then(Value::as_u64);
    Some(Usage {
        input_tokens: number(0)?,
        output_tokens: number(1)?,
        cache_read_tokens: number(2)?,
        cache_write_tokens: number(3)?,
        reasoning_tokens: number(4)?,
        cost: number(5)?,
    })
}

/// Pieces of an answer.
pub(super) fn deltas(deltas: &[Delta]) -> Value {
    let mut all = vec![Value::from("deltas")];
    all.extend(deltas.iter().map(write_delta));
    Value::Array(all)
}

fn write_delta(delta: &Delta) -> Value {
    match delta {
        Delta::Text(text) => row!("text", text.as_str()),
        Delta::Thinking(text) => row!("thinking", text.as_str()),
        Delta::Signature(text) => row!("signature", text.as_str()),
        Delta::RedactedThinking(text) => row!("redacted", text.as_str()),
        Delta::ToolStart { index, id, name } => row!("start", *index, id.as_str(), name.as_str()),
        Delta::ToolInput { index, json } => row!("input", *index, json.as_str()),
        Delta::ToolEnd { index } => row!("end", *index),
        Delta::Usage(usage) => {
            let mut row = write_usage(usage);
            row.insert(0, "usage".into());
            Value::Array(row)
        }
        Delta::Stop(reason) => row!("stop", json::tree(reason)),
    }
}

fn read_delta(delta: &Value) -> Option<Delta> {
    let (name, fields) = delta.as_array()?.split_first()?;
    let text = |place: usize| Some(fields.get(place)?.as_str()?.to_owned());
    let index = || u32::try_from(fields.first()?.as_u64()?).ok();
    Some(match name.as_str()? {
        "text" => Delta::Text(text(0)?),
        "thinking" => Delta::Thinking(text(0)?),
        "signature" => Delta::Signature(text(0)?),
        "redacted" => Delta::RedactedThinking(text(0)?),
        "start" => Delta::ToolStart { index: index()?, id: text(1)?, name: text(2)? },
        "input" => Delta::ToolInput { index: index()?, json: text(1)? },
        "end" => Delta::ToolEnd { index: index()? },
        "usage" => Delta::Usage(read_usage(fields)?),
        "stop" => Delta::Stop(StopReason::read(fields.first()?.as_str()?)),
        _ => return None,
    })
}

fn write_tool(tool: &ToolEntry) -> Value {
    let ToolEntry { wire_name, name, server, read_only, idempotent, changed, builtin, limit, private, outside } = tool;
    let changed = changed.as_ref().map(|change| row!(change.parts.clone(), change.fingerprint.as_str(), change.asks));
    let builtin = builtin.map(|builtin| json::tree(&builtin));
    let (wire_name, name, server) = (wire_name.as_str(), name.as_str(), server.clone());
    row!(wire_name, name, server, *read_only, *idempotent, changed, builtin, *limit, *private, *outside)
}

fn read_tool(tool: &Value) -> Option<ToolEntry> {
    let text = |place: usize| Some(tool.get(place)?.as_str()?.to_owned());
    let yes = |place: usize| tool.get(place)?.as_bool();
    let changed = match tool.get(5)? {
        Value::Null => None,
        change => Some(Change {
            parts: texts(change.get(0)?.as_array()?)?,
            fingerprint: change.get(1)?.as_str()?.to_owned(),
            asks: change.get(2)?.as_bool()?,
        }),
    };
    let builtin = match tool.get(6)? {
        Value::Null => None,
        name => Some(Builtin::read(name.as_str()?)?),
    };
    let (wire_name, name, server) = (text(0)?, text(1)?, text(2));
    Some(ToolEntry {
        wire_name,
        name,
        server,
        read_only: yes(3)?,
        idempotent: yes(4)?,
        changed,
        builtin,
        limit: tool.get(7)?.as_u64().and_then(|limit| u32::try_from(limit).ok()),
        private: yes(8)?,
        outside: yes(9)?,
    })
}

fn write_output(output: &ToolOutput) -> Value {
    let ToolOutput { content, structured_content, is_error, outcome, cached, handle } = output;
    let cached = cached.map(|age| row!(age.age_ms.0, age.stale));
    row!(content.clone(), structured_content.clone(), *is_error, json::tree(outcome), cached, handle.clone())
}

fn read_output(output: &Value) -> Option<ToolOutput> {
    let cached = match output.get(4)? {
        Value::Null => None,
        age => Some(Age { age_ms: Millis(age.get(0)?.as_u64()?), stale: age.get(1)?.as_bool()? }),
    };
    Some(ToolOutput {
        content: output.get(0)?.as_array()?.clone(),
        structured_content: output.get(1).filter(|value| !value.is_null()).cloned(),
        is_error: output.get(2)?.as_bool()?,
        outcome: Outcome::read(output.get(3)?.as_str()?)?,
        cached,
        handle: output.get(5)?.as_str().map(str::to_owned),
    })
}

fn read_planned(call: &Value) -> Option<PlannedCall> {
    let text = |place: usize| Some(call.get(place)?.as_str()?.to_owned());
    Some(PlannedCall { id: text(0)?, tool: text(1)?, input: call.get(2)?.clone(), step: text(3)? })
}
