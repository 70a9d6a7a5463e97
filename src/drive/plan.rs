//! Runs plans: asks the machine behind [`Part::Plan`] what is next, has the run make the calls, and waits.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use serde_json::{Map, Value, json};

use crate::agent::catalog::{Builtin, ToolEntry};
use crate::agent::event::Outcome;
use crate::agent::fact::{Call, Fact, PlanStep, PlannedCall, ToolOutput};
use crate::agent::kept::is_reference;
use crate::agent::policy::asks;
use crate::drive::agent::Agent;
use crate::drive::handle::RunHandle;
use crate::drive::wait::{Cancel, Jobs, unless_cancelled};
use crate::error::{Code, Error, Result};
use crate::json;
use crate::llm::types::ToolDefinition;
use crate::platform::{Part, Platform};
use crate::time::Millis;

/// Results on their way to the plans of a run. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Returns(Rc<Inbox>);

#[derive(Default)]
struct Inbox {
    /// Id of the call of `run_plan`, id of the call that ended, what came of it.
    waiting: RefCell<Vec<(String, String, ToolOutput)>>,
    wakers: RefCell<Vec<Waker>>,
}

impl Returns {
    /// Hands a result to a plan.
    pub(crate) fn push(&self, call: String, id: String, output: ToolOutput) {
        self.0.waiting.borrow_mut().push((call, id, output));
        self.0.wakers.take().into_iter().for_each(Waker::wake);
    }

    fn take(&self, call: &str) -> Vec<(String, ToolOutput)> {
        let mut waiting = self.0.waiting.borrow_mut();
        let (ours, others) = waiting.drain(..).partition(|(of, _, _)| of == call);
        *waiting = others;
        let ours: Vec<(String, String, ToolOutput)> = ours;
        ours.into_iter().map(|(_, id, output)| (id, output)).collect()
    }
}

/// What runs a plan needs of the run that it is in.
pub(crate) struct Stage<'a, P: Platform> {
    pub(crate) agent: &'a Agent<P>,
    pub(crate) handle: &'a RunHandle,
    pub(crate) returns: &'a Returns,
    pub(crate) over: &'a Cancel,
    /// The plan is the app's own: it wants to know as an error what is wrong with it.
    pub(crate) own: bool,
}

impl<P: Platform> Stage<'_, P> {
    /// Runs the plan of a call to its end, and says what came of it; `None` when the run is over.
    pub(crate) async fn run_plan(&self, call: Call) -> Option<Fact> {
        let output = match self.perform(&call).await {
            Ok(output) => output?,
            Err(error) if self.own => return Some(Fact::PlanRefused(error)),
            Err(error) => ToolOutput::failed(Outcome::Failed, error.message.clone()),
        };
        Some(Fact::ToolEnded { id: call.id, output })
    }

    async fn perform(&self, call: &Call) -> Result<Option<ToolOutput>> {
        let spread = self.spread(&call.input).await?;
        let mut request = self.agent.plan_request("open", spread.as_ref().unwrap_or(&call.input));
        request.insert("call".into(), call.id.as_str().into());
        // Not given up on a cancel: the plan might be open then, and nobody would know under which number.
        let orders = ask(&**self.agent.platform(), request).await?;
        refused(&orders)?;
        let plan = orders.get("plan").cloned().unwrap_or_default();
        let done = self.follow(call, plan.clone(), orders).await;
        if !matches!(done, Ok(Some(_))) {
            let mut request = Map::new();
            request.insert("do".into(), "close".into());
            request.insert("plan".into(), plan);
            let _ = self.agent.platform().call_part(Part::Plan, json::text(&Value::Object(request))).await;
        }
        done
    }

    /// The plan with the elements of each `forEach` that names a kept result; `None` for one that names none. All other handles
    /// are put in when the calls are made.
    async fn spread(&self, plan: &Value) -> Result<Option<Value>> {
        let named = |step: &Value| step.get("forEach").and_then(Value::as_str).is_some_and(is_reference);
        let steps = plan.get("steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if !steps.iter().any(named) {
            return Ok(None);
        }
        let mut plan = plan.clone();
        for step in plan["steps"].as_array_mut().into_iter().flatten().filter(|step| named(step)) {
            let elements = self.agent.put_in(&step["forEach"], None, self.over).await;
            step["forEach"] = match elements {
                // As data: nothing in it is a reference of the plan's.
                Some(Ok(elements)) => json!({ "$literal": elements }),
                Some(Err(why)) => {
                    let problem = ["step `", &text(step, "id"), "`: forEach: ", &why].concat();
                    refused(&json!({ "problems": [problem] }))?;
                    Value::Null
                }
                None => Value::Null,
            };
        }
        Ok(Some(plan))
    }

    /// Does what the machine orders until the plan is done; `None` when the run is over before.
    async fn follow(&self, call: &Call, plan: Value, mut orders: Value) -> Result<Option<ToolOutput>> {
        let rested = RefCell::new(Vec::new());
        let mut jobs = Jobs::default();
        loop {
            if orders.get("done").is_some_and(Value::is_object) {
                self.steps(&call.id, &orders);
                return Ok(Some(output_of(orders["done"].take())));
            }
            self.obey(&call.id, &mut orders);
            for wait in orders.get("waits").and_then(Value::as_array).into_iter().flatten() {
                let (id, delay) = (wait["id"].clone(), Millis(wait["ms"].as_u64().unwrap_or(0)));
                let rested = &rested;
                jobs.push(async move {
                    self.agent.platform().sleep(delay).await;
                    rested.borrow_mut().push(id);
                });
            }
            let ended = Cell::new(Vec::new());
            let news = poll_fn(|context| {
                let _ = jobs.poll(context);
                let results = self.returns.take(&call.id);
                if !results.is_empty() || !rested.borrow().is_empty() {
                    ended.set(results);
                    return Poll::Ready(());
                }
                self.returns.0.wakers.borrow_mut().push(context.waker().clone());
                Poll::Pending
            });
            if unless_cancelled(self.over, news).await.is_err() {
                return Ok(None);
            }
            let mut request = Map::new();
            request.insert("do".into(), "next".into());
            request.insert("plan".into(), plan.clone());
            request.insert("now".into(), self.agent.platform().now().0.into());
            request.insert("rested".into(), Value::Array(rested.take()));
            request.insert("ended".into(), ended.take().into_iter().map(ended_json).collect());
            let Some(next) = self.ask(request).await? else { return Ok(None) };
            orders = next;
        }
    }

    /// `None` when the run is over.
    async fn ask(&self, request: Map<String, Value>) -> Result<Option<Value>> {
        match unless_cancelled(self.over, ask(&**self.agent.platform(), request)).await {
            Ok(answer) => answer.map(Some),
            Err(_) => Ok(None),
        }
    }

    fn steps(&self, call: &str, orders: &Value) {
        for event in orders.get("events").and_then(Value::as_array).into_iter().flatten() {
            self.handle.push(Fact::PlanStep(PlanStep {
                call: call.to_owned(),
                id: text(event, "id"),
                state: text(event, "state"),
                items: event.get("items").and_then(Value::as_u64),
                attempt: event.get("attempt").and_then(Value::as_u64),
                reason: event.get("reason").and_then(Value::as_str).map(str::to_owned),
            }));
        }
    }

    fn obey(&self, call: &str, orders: &mut Value) {
        self.steps(call, orders);
        if orders.get("withdraw") == Some(&Value::Bool(true)) {
            self.handle.push(Fact::Withdrawn { call: call.to_owned() });
        }
        let calls: Vec<PlannedCall> = orders
            .get_mut("calls")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .map(|planned| PlannedCall {
                id: text(planned, "id"),
                tool: text(planned, "tool"),
                step: text(planned, "step"),
                input: planned["input"].take(),
            })
            .collect();
        if !calls.is_empty() {
            self.handle.push(Fact::Planned { call: call.to_owned(), calls });
        }
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn ended_json((id, output): (String, ToolOutput)) -> Value {
    let mut ended = Map::new();
    ended.insert("id".into(), id.into());
    ended.insert("isError".into(), output.is_error.into());
    ended.insert("isFinal".into(), (!matches!(output.outcome, Outcome::Ok | Outcome::Failed)).into());
    ended.insert("content".into(), Value::Array(output.content));
    if let Some(structured) = output.structured_content {
        ended.insert("structuredContent".into(), structured);
    }
    Value::Object(ended)
}

/// What the model, or the app, is told of a plan that is over.
fn output_of(mut done: Value) -> ToolOutput {
    let ok = done.get("ok") == Some(&Value::Bool(true));
    let words = done["text"].take();
    let content = vec![json!({ "type": "text", "text": words })];
    if let Value::Object(done) = &mut done {
        done.shift_remove("text");
    }
    let outcome = if ok { Outcome::Ok } else { Outcome::Failed };
    ToolOutput { content, structured_content: Some(done), is_error: !ok, outcome, cached: None, handle: None }
}

/// The error for a plan that cannot be run, with everything that is wrong with it.
fn refused(answer: &Value) -> Result<()> {
    let problems = answer.get("problems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let problems: Vec<&str> = problems.iter().filter_map(Value::as_str).collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::new(Code::Config, ["the plan cannot be run:\n- ", &problems.join("\n- ")].concat()))
}

async fn ask<P: Platform>(platform: &P, request: Map<String, Value>) -> Result<Value> {
    let answer = platform.call_part(Part::Plan, json::text(&Value::Object(request))).await;
    let answer = answer.map_err(|words| Error::new(Code::Network, ["the plan: ", &words].concat()))?;
    Ok(json::read(&answer).unwrap_or_default())
}

/// Adds the agent's own tools to those that a run is offered.
pub(crate) async fn offer_builtin<P: Platform>(
    platform: &P,
    entries: &mut Vec<ToolEntry>,
    definitions: &mut Vec<ToolDefinition>,
) {
    let entry = ToolEntry::builtin(Builtin::Plan, entries);
    let mut request = Map::new();
    request.insert("do".into(), "tool".into());
    // Without the part there is no plan; the model has its other tools.
    if let Ok(tool) = ask(platform, request).await {
        definitions.push(ToolDefinition {
            name: entry.wire_name.clone(),
            description: text(&tool, "description"),
            input_schema: tool.get("inputSchema").cloned().unwrap_or_default(),
        });
        entries.push(entry);
    }
}

impl<P: Platform> Agent<P> {
    /// Says what a plan would do, without doing anything: `{ ok, problems, waves, steps }`. Servers are connected first if
    /// need be.
    ///
    /// # Errors
    ///
    /// As [`Agent::connect`], and `network` when the part that knows plans cannot be loaded. What is wrong with the plan is
    /// in `problems`.
    pub async fn preview_plan(&self, plan: &Value, cancel: &Cancel) -> Result<Value> {
        self.connect(cancel).await?;
        self.recall_approvals().await;
        let asked = unless_cancelled(cancel, ask(&**self.platform(), self.plan_request("check", plan))).await;
        asked.unwrap_or_else(|_| Err(Error::cancelled("previewPlan")))
    }

    /// What the part has to know: the plan, the tools that it names, and the names of all.
    fn plan_request(&self, what: &str, plan: &Value) -> Map<String, Value> {
        let catalog = self.catalog();
        let steps = plan.get("steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let named = |name: &str| steps.iter().any(|step| step.get("tool").and_then(Value::as_str) == Some(name));
        let allowed = self.known_approvals();
        let mut tools = Vec::new();
        let mut names = Vec::new();
        for tool in catalog.tools() {
            let entry = &tool.entry;
            names.push(Value::from(entry.name.as_str()));
            if !named(&entry.name) && !named(&entry.wire_name) {
                continue;
            }
            let mut info = Map::new();
            info.insert("name".into(), entry.name.as_str().into());
            info.insert("wireName".into(), entry.wire_name.as_str().into());
            if let Some(server) = &entry.server {
                info.insert("server".into(), server.as_str().into());
            }
            info.insert("repeatable".into(), (tool.annotations.read_only || tool.annotations.idempotent).into());
            // As the server gave them, where they are to be checked at all.
            if let Some(schemas) = self.schemas(&entry.name) {
                info.insert("inputSchema".into(), schemas.input);
                if let Some(output) = schemas.output {
                    info.insert("outputSchema".into(), output);
                }
            }
            for (name, is) in [("private", entry.private), ("outside", entry.outside)] {
                if is {
                    info.insert(name.into(), true.into());
                }
            }
            // One whose definition has changed is another than was allowed.
            if entry.changed.as_ref().is_none_or(|change| !change.asks) {
                let digests = allowed.iter().filter(|(name, _)| *name == entry.name).map(|(_, digest)| digest.as_str());
                let digests: Vec<Value> = digests.map(Value::from).collect();
                if !digests.is_empty() {
                    info.insert("allowed".into(), Value::Array(digests));
                }
            }
            if let Some(why) = asks(self.approval(), entry) {
                info.insert("asks".into(), why.into());
            }
            tools.push(Value::Object(info));
        }
        let mut request = Map::new();
        request.insert("do".into(), what.into());
        request.insert("plan".into(), plan.clone());
        request.insert("tools".into(), Value::Array(tools));
        request.insert("names".into(), Value::Array(names));
        request.insert("now".into(), self.platform().now().0.into());
        request
    }
}
