//! Plans: many tool calls in one round trip of the model, written down as data.
//!
//! A plan is a JSON document of steps. References to results of other steps say what waits for what; what does not wait
//! runs at once. Nothing is evaluated: references, conditions and selections are data that is looked up and compared.
//!
//! ```json
//! { "steps": [
//!     { "id": "find", "tool": "tracker.search", "input": { "query": "open bugs" }, "select": "/issues", "take": 20 },
//!     { "id": "notes", "tool": "tracker.comments", "forEach": { "$from": "find" },
//!       "input": { "issue": "{{item.number}}" }, "onError": "skip" },
//!     { "id": "mail", "tool": "mail.send", "when": { "value": { "$from": "find" }, "exists": true },
//!       "input": { "subject": "{{find.0.title}}", "body": { "$from": "notes" } } } ],
//!   "return": { "sent": { "$from": "mail", "path": "/id" } } }
//! ```
//!
//! # In scope
//!
//! - Reading and checking: every mistake at once, before anything runs ([`Plans::answer`] with `check`).
//! - Running: [`Plans::answer`] with `open` and `next` says which calls are to be made and is told what came of them. Who may make
//!   them, and how many at once, is the run's business.
//!
//! # Out of scope
//!
//! - Loops without an end, arithmetic, code.

mod condition;
mod machine;
mod preview;
mod read;
mod shape;
mod template;
#[cfg(test)]
mod tests;
mod tool;
mod types;

use serde_json::{Value, json};

use machine::{Machine, Orders, Outcome};
use read::Tool;

use crate::json::text;

/// The plans at work in one wasm.
#[derive(Debug, Default)]
pub struct Plans {
    next: u64,
    open: Vec<(u64, Machine)>,
}

impl Plans {
    /// Answers what the core asks of [`Part::Plan`](crate::platform::Part::Plan):
    ///
    /// ```text
    /// {"do":"check","plan":...,"tools":[...],"names":[...]}             {"problems":[...]} or {"waves":[...],"steps":[...]}
    /// {"do":"open","plan":...,"tools":[...],"names":[...],"call":"c1"}  {"problems":[...]} or {"plan":7,...orders}
    /// {"do":"next","plan":7,"ended":[...],"rested":[...],"now":...}     orders
    /// {"do":"close","plan":7}                                           {}
    /// {"do":"tool"}                                                     the definition of `run_plan`
    /// ```
    ///
    /// Orders are `{ events, calls, waits, withdraw, done }`. A plan that is done is forgotten.
    ///
    /// # Errors
    ///
    /// Words for people when the request cannot be read, or the plan is not there.
    pub fn answer(&mut self, request: &str) -> Result<String, String> {
        let asked: Value = serde_json::from_slice(request.as_bytes()).map_err(|_| "is nested too deeply".to_owned())?;
        let answer = match asked.get("do").and_then(Value::as_str) {
            Some("check") => check(&asked),
            Some("open") => self.open(&asked),
            Some("next") => self.next(&asked)?,
            Some("close") => {
                let id = asked.get("plan").and_then(Value::as_u64);
                self.open.retain(|(known, _)| Some(*known) != id);
                json!({})
            }
            Some("tool") => tool::definition(),
            _ => return Err("the request cannot be read".to_owned()),
        };
        Ok(text(&answer))
    }

    fn open(&mut self, asked: &Value) -> Value {
        let tools = tools(asked);
        let plan = match read::read(asked.get("plan").unwrap_or(&Value::Null), &tools, &names(asked)) {
            Ok(plan) => plan,
            Err(problems) => return json!({ "problems": problems }),
        };
        let prefix = asked.get("call").and_then(Value::as_str).unwrap_or("plan").to_owned();
        let (mut machine, mut orders) = (Machine::new(prefix, plan, tools), Orders::default());
        machine.go_on(number(asked, "now"), &mut orders);
        self.next += 1;
        let mut answer = orders.to_json();
        answer["plan"] = json!(self.next);
        if orders.done.is_none() {
            self.open.push((self.next, machine));
        }
        answer
    }

    fn next(&mut self, asked: &Value) -> Result<Value, String> {
        let (id, now) = (asked.get("plan").and_then(Value::as_u64), number(asked, "now"));
        let place = self.open.iter().position(|(known, _)| Some(*known) == id);
        let place = place.ok_or("the plan is gone: what ran it has crashed")?;
        let machine = &mut self.open[place].1;
        let mut orders = Orders::default();
        for ended in items(asked, "ended") {
            let flag = |name: &str| ended.get(name) == Some(&Value::Bool(true));
            let outcome = Outcome {
                content: items(ended, "content").to_vec(),
                structured: ended.get("structuredContent").cloned(),
                is_error: flag("isError"),
                is_final: flag("isFinal"),
            };
            machine.ended(ended.get("id").and_then(Value::as_str).unwrap_or_default(), outcome, now, &mut orders);
        }
        for id in items(asked, "rested").iter().filter_map(Value::as_str) {
            machine.rested(id, now, &mut orders);
        }
        machine.go_on(now, &mut orders);
        if orders.done.is_some() {
            self.open.remove(place);
        }
        Ok(orders.to_json())
    }

    /// How many are at work.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is at work.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

impl Orders {
    fn to_json(&self) -> Value {
        let call = |(id, tool, input, step): &(String, String, Value, String)| json!({ "id": id, "tool": tool, "input": input, "step": step });
        let wait = |(id, delay): &(String, u64)| json!({ "id": id, "ms": delay });
        json!({
            "events": self.events,
            "calls": self.calls.iter().map(call).collect::<Vec<Value>>(),
            "waits": self.waits.iter().map(wait).collect::<Vec<Value>>(),
            "withdraw": self.withdraw,
            "done": self.done,
        })
    }
}

/// What a plan would do: its waves, and for each step its tool, what it waits for, and why the user would be asked.
fn check(asked: &Value) -> Value {
    let tools = tools(asked);
    let plan = match read::read(asked.get("plan").unwrap_or(&Value::Null), &tools, &names(asked)) {
        Ok(plan) => plan,
        Err(problems) => return json!({ "ok": false, "problems": problems, "waves": [], "steps": [] }),
    };
    let ids = |places: &[usize]| places.iter().map(|place| plan.ids[*place].as_str()).collect::<Vec<&str>>();
    let waves: Vec<Vec<&str>> = plan.waves().iter().map(|wave| ids(wave)).collect();
    let steps = plan.steps.iter().zip(&plan.ids).enumerate().map(|(place, (step, id))| {
        let tool = tools.iter().find(|tool| tool.name == step.tool);
        let mut row = json!({ "id": id, "tool": step.tool, "dependsOn": ids(&step.after) });
        if let Some(server) = tool.and_then(|tool| tool.server.as_ref()) {
            row["server"] = json!(server);
        }
        if let Some(why) = preview::asks(&plan, place, &tools) {
            row["approval"] = json!(why);
        }
        for (name, is) in [("forEach", step.for_each.is_some()), ("when", step.when.is_some())] {
            if is {
                row[name] = json!(true);
            }
        }
        if machine::is_plain(&step.input)
            && let Ok(input) = step.input.fill(template::Scope { results: &[], ids: &[], item: None })
        {
            row["input"] = input;
        }
        row
    });
    json!({ "ok": true, "problems": [], "waves": waves, "steps": steps.collect::<Vec<Value>>() })
}

fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn names(asked: &Value) -> Vec<String> {
    items(asked, "names").iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn tools(asked: &Value) -> Vec<Tool> {
    let text = |tool: &Value, name: &str| tool.get(name).and_then(Value::as_str).map(str::to_owned);
    let read = |tool: &Value| Tool {
        name: text(tool, "name").unwrap_or_default(),
        wire_name: text(tool, "wireName").unwrap_or_default(),
        server: text(tool, "server"),
        input: tool.get("inputSchema").cloned().unwrap_or_default(),
        output: tool.get("outputSchema").cloned(),
        repeatable: tool.get("repeatable") == Some(&Value::Bool(true)),
        asks: text(tool, "asks"),
        private: tool.get("private") == Some(&Value::Bool(true)),
        outside: tool.get("outside") == Some(&Value::Bool(true)),
        allowed: items(tool, "allowed").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    };
    items(asked, "tools").iter().map(read).collect()
}
