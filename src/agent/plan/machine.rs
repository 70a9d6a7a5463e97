//! The decision machine of a plan: told what came of calls and waits, says which calls and waits are next.

use serde_json::{Map, Value, json};

use super::read::{OnError, Plan, Tool};
use super::template::{Found, Missing, Scope, Template, kind};
use super::types;
use crate::json;
use crate::json::text;

/// Most elements that one step is done for.
const MAX_ITEMS: usize = 1_000;
/// Longest wait before a call is made again, in milliseconds.
const MAX_DELAY: u64 = 600_000;

/// A plan at work.
#[derive(Debug)]
pub(super) struct Machine {
    /// What the ids of its calls begin with.
    prefix: String,
    plan: Plan,
    tools: Vec<Tool>,
    steps: Vec<Progress>,
    results: Vec<Option<Found>>,
    /// The step whose failure is that of the plan.
    failed: Option<usize>,
    done: bool,
}

#[derive(Debug, Default)]
struct Progress {
    state: State,
    items: Vec<Item>,
    calls: u64,
    began: u64,
    took: u64,
    why: Option<String>,
    /// An element has failed, and that is not to be got over.
    broken: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    Waiting,
    Running,
    Ok,
    Failed,
    Skipped,
    /// Failed, and its default stands in.
    Defaulted,
}

#[derive(Debug)]
struct Item {
    input: Value,
    attempt: u64,
    state: ItemState,
}

#[derive(Debug, PartialEq)]
enum ItemState {
    Calling,
    Resting,
    Done(Found),
    Skipped,
}

/// What came of a call.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) content: Vec<Value>,
    pub(super) structured: Option<Value>,
    pub(super) is_error: bool,
    /// Trying again is of no use: it was refused or cancelled.
    pub(super) is_final: bool,
}

/// What is to be done now.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// `{ id, state, ... }` of each step that changed.
    pub(super) events: Vec<Value>,
    /// Calls to make: id, tool, arguments, id of the step.
    pub(super) calls: Vec<(String, String, Value, String)>,
    /// Waits, by the id of the call that follows, in milliseconds.
    pub(super) waits: Vec<(String, u64)>,
    /// Calls that have not begun are not wanted any more.
    pub(super) withdraw: bool,
    /// The end: `{ ok, value, steps, text }`.
    pub(super) done: Option<Value>,
}

impl Machine {
    pub(super) fn new(prefix: String, plan: Plan, tools: Vec<Tool>) -> Machine {
        let steps = plan.steps.iter().map(|_| Progress::default()).collect();
        let results = vec![None; plan.steps.len()];
        Machine { prefix, plan, tools, steps, results, failed: None, done: false }
    }

    /// A call ended. One that is not open is ignored.
    pub(super) fn ended(&mut self, id: &str, outcome: Outcome, now: u64, orders: &mut Orders) {
        let Some((place, at)) = self.find(id, &ItemState::Calling) else { return };
        if !outcome.is_error {
            let found = self.plan.steps[place].shape.narrow(data_of(outcome));
            return match found {
                Ok(found) => self.settle(place, at, Ok(found), now, orders),
                Err(why) => self.settle(place, at, Err(why), now, orders),
            };
        }
        let step = &self.plan.steps[place];
        let item = &mut self.steps[place].items[at];
        if !outcome.is_final && item.attempt < step.attempts && self.failed.is_none() {
            let delay = (step.delay << (item.attempt - 1)).min(MAX_DELAY);
            item.attempt += 1;
            item.state = ItemState::Resting;
            let attempt = item.attempt;
            let words = words_of(&outcome);
            orders.waits.push((self.call_id(place, at), delay));
            let more = json!({ "attempt": attempt, "delayMs": delay, "reason": words });
            orders.events.push(self.event(place, "retrying", more));
            return;
        }
        self.settle(place, at, Err(words_of(&outcome)), now, orders);
    }

    /// The wait before a call is over.
    pub(super) fn rested(&mut self, id: &str, now: u64, orders: &mut Orders) {
        let Some((place, at)) = self.find(id, &ItemState::Resting) else { return };
        if self.failed.is_some() {
            return self.settle(place, at, Err("the plan has failed".to_owned()), now, orders);
        }
        self.call(place, at, orders);
    }

    /// Starts whatever can start, until nothing changes.
    pub(super) fn go_on(&mut self, now: u64, orders: &mut Orders) {
        while let Some(place) = self.ready() {
            self.start(place, now, orders);
        }
        let busy = self.steps.iter().any(|step| step.state == State::Running);
        if !busy && !self.done {
            self.done = true;
            orders.done = Some(self.end());
        }
    }

    fn ready(&self) -> Option<usize> {
        if self.failed.is_some() {
            return None;
        }
        let over = |place: &usize| !matches!(self.steps[*place].state, State::Waiting | State::Running);
        (0..self.steps.len())
            .find(|place| self.steps[*place].state == State::Waiting && self.plan.steps[*place].after.iter().all(over))
    }

    fn scope(&self) -> Scope<'_> {
        Scope { results: &self.results, ids: &self.plan.ids, item: None }
    }

    fn start(&mut self, place: usize, now: u64, orders: &mut Orders) {
        self.steps[place].began = now;
        let step = &self.plan.steps[place];
        if step.when.as_ref().is_some_and(|when| !when.holds(self.scope())) {
            return self.skip(place, "its `when` does not hold".to_owned(), orders);
        }
        let elements = match &step.for_each {
            None => None,
            Some(items) => match items.fill(self.scope()) {
                Ok(Value::Array(items)) if items.len() <= MAX_ITEMS => Some(items),
                Ok(Value::Array(items)) => {
                    let count = items.len().to_string();
                    let most = MAX_ITEMS.to_string();
                    let why = ["forEach: ", &count, " elements; at most ", &most, " can be done, so take fewer"];
                    return self.fail(place, why.concat(), now, orders);
                }
                Ok(other) => {
                    let why = ["forEach: wants an array, not ", &kind(&other)].concat();
                    return self.fail(place, why, now, orders);
                }
                Err(missing) => return self.lacks(place, missing, now, orders),
            },
        };
        // All inputs first: what cannot be put together is known before anything is called.
        let schema = self.tools.iter().find(|tool| tool.name == step.tool).map(|tool| &tool.input);
        let fill = |item: Option<(&Value, usize)>| {
            let mut input = step.input.fill(Scope { item, ..self.scope() })?;
            if let Some(schema) = schema {
                types::adapt(&mut input, schema);
            }
            Ok(input)
        };
        let inputs: Vec<Result<Value, Missing>> = match &elements {
            None => vec![fill(None)],
            Some(items) => items.iter().enumerate().map(|(at, item)| fill(Some((item, at)))).collect(),
        };
        if let [Err(missing)] = &inputs[..]
            && elements.is_none()
        {
            return self.lacks(place, missing.clone(), now, orders);
        }
        let mut bad = Vec::new();
        for (at, input) in inputs.into_iter().enumerate() {
            let input = input.unwrap_or_else(|missing| {
                bad.push((at, missing));
                Value::Null
            });
            self.steps[place].items.push(Item { input, attempt: 1, state: ItemState::Calling });
        }
        self.steps[place].state = State::Running;
        let items = elements.is_some().then_some(self.steps[place].items.len());
        let event = self.event(place, "running", items.map_or(json!({}), |items| json!({ "items": items })));
        orders.events.push(event);
        for at in 0..self.steps[place].items.len() {
            if !bad.iter().any(|(known, _)| *known == at) {
                self.call(place, at, orders);
            }
        }
        if self.steps[place].items.is_empty() {
            return self.finish(place, now, orders);
        }
        for (at, missing) in bad {
            let why = match missing {
                Missing::Skipped(id) => ["it needs `", &id, "`, which was skipped"].concat(),
                Missing::Nowhere(why) => why,
            };
            self.settle(place, at, Err(why), now, orders);
        }
    }

    /// The step cannot start, since something that it refers to is not there.
    fn lacks(&mut self, place: usize, missing: Missing, now: u64, orders: &mut Orders) {
        match missing {
            Missing::Skipped(id) => self.skip(place, ["it needs `", &id, "`, which was skipped"].concat(), orders),
            Missing::Nowhere(why) => self.fail(place, why, now, orders),
        }
    }

    fn call(&mut self, place: usize, at: usize, orders: &mut Orders) {
        let id = self.call_id(place, at);
        let progress = &mut self.steps[place];
        progress.calls += 1;
        let item = &mut progress.items[at];
        item.state = ItemState::Calling;
        let (tool, step) = (self.plan.steps[place].tool.clone(), self.plan.ids[place].clone());
        orders.calls.push((id, tool, item.input.clone(), step));
    }

    /// Unique for each try of each element.
    fn call_id(&self, place: usize, at: usize) -> String {
        let mut id = [&self.prefix, "/", &self.plan.ids[place]].concat();
        if self.plan.steps[place].for_each.is_some() {
            id.push_str(&["/", &at.to_string()].concat());
        }
        if self.steps[place].items[at].attempt > 1 {
            id.push_str(&["~", &self.steps[place].items[at].attempt.to_string()].concat());
        }
        id
    }

    fn find(&self, id: &str, state: &ItemState) -> Option<(usize, usize)> {
        let rest = id.strip_prefix(&*self.prefix)?.strip_prefix('/')?;
        let step = rest.split(['/', '~']).next()?;
        let place = self.plan.ids.iter().position(|known| known == step)?;
        let items = &self.steps[place].items;
        (0..items.len()).find(|at| items[*at].state == *state && self.call_id(place, *at) == id).map(|at| (place, at))
    }

    /// One element of a step is over.
    fn settle(&mut self, place: usize, at: usize, result: Result<Found, String>, now: u64, orders: &mut Orders) {
        let single = self.plan.steps[place].for_each.is_none();
        let state = match result {
            Ok(found) => ItemState::Done(found),
            Err(why) if single => return self.fail(place, why, now, orders),
            Err(why) => {
                let why = ["element ", &at.to_string(), ": ", &why].concat();
                match &self.plan.steps[place].on_error {
                    OnError::Fail => {
                        self.give_up(place, orders);
                        self.steps[place].broken = true;
                        self.steps[place].why.get_or_insert(why);
                        ItemState::Skipped
                    }
                    OnError::Skip => {
                        self.steps[place].why.get_or_insert(why);
                        ItemState::Skipped
                    }
                    OnError::Default(value) => {
                        let value = value.clone();
                        self.steps[place].why.get_or_insert(why);
                        ItemState::Done(Found { value, content: Vec::new() })
                    }
                }
            }
        };
        self.steps[place].items[at].state = state;
        self.finish(place, now, orders);
    }

    /// Ends a step when all its elements are over.
    fn finish(&mut self, place: usize, now: u64, orders: &mut Orders) {
        let open = |item: &Item| matches!(item.state, ItemState::Calling | ItemState::Resting);
        if self.steps[place].state != State::Running || self.steps[place].items.iter().any(open) {
            return;
        }
        if self.steps[place].broken {
            let why = self.steps[place].why.clone().unwrap_or_default();
            return self.over(place, State::Failed, Some(why), now, orders);
        }
        let items = std::mem::take(&mut self.steps[place].items);
        let mut found = items.into_iter().filter_map(|item| match item.state {
            ItemState::Done(found) => Some(found),
            _ => None,
        });
        let found = if self.plan.steps[place].for_each.is_some() {
            Found { value: found.map(|found| found.value).collect(), content: Vec::new() }
        } else {
            found.next_back().unwrap_or_default()
        };
        match self.plan.steps[place].shape.reduce(found, self.scope()) {
            Ok(found) => {
                self.results[place] = Some(found);
                let why = self.steps[place].why.clone();
                self.over(place, State::Ok, why, now, orders);
            }
            Err(why) => self.fail(place, why, now, orders),
        }
    }

    fn give_up(&mut self, place: usize, orders: &mut Orders) {
        if self.failed.is_none() {
            self.failed = Some(place);
            orders.withdraw = true;
        }
    }

    /// A step has failed as a whole.
    fn fail(&mut self, place: usize, why: String, now: u64, orders: &mut Orders) {
        self.steps[place].items.clear();
        match self.plan.steps[place].on_error.clone() {
            OnError::Fail => {
                self.give_up(place, orders);
                self.over(place, State::Failed, Some(why), now, orders);
            }
            OnError::Skip => self.skip(place, why, orders),
            OnError::Default(value) => {
                self.results[place] = Some(Found { value, content: Vec::new() });
                self.over(place, State::Defaulted, Some(why), now, orders);
            }
        }
    }

    fn skip(&mut self, place: usize, why: String, orders: &mut Orders) {
        let now = self.steps[place].began;
        self.over(place, State::Skipped, Some(why), now, orders);
    }

    fn over(&mut self, place: usize, state: State, why: Option<String>, now: u64, orders: &mut Orders) {
        let step = &mut self.steps[place];
        step.state = state;
        step.took = now.saturating_sub(step.began);
        step.why = why;
        let more = step.why.as_ref().map_or(json!({}), |why| json!({ "reason": why }));
        let event = self.event(place, state.word(), more);
        orders.events.push(event);
    }

    fn event(&self, place: usize, state: &str, more: Value) -> Value {
        let mut event = json!({ "id": self.plan.ids[place], "state": state });
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        event
    }

    fn end(&self) -> Value {
        let steps: Vec<Value> = (0..self.steps.len()).map(|place| self.row(place)).collect();
        let mut failed = self.failed.map(|place| {
            let why = self.steps[place].why.as_deref().unwrap_or_default();
            ["the plan failed at step `", &self.plan.ids[place], "`: ", why].concat()
        });
        let mut value = Value::Null;
        if failed.is_none() {
            match self.value() {
                Ok(given) => value = given,
                Err(Missing::Skipped(id)) => {
                    failed = Some(["return: it needs `", &id, "`, which was skipped"].concat());
                }
                Err(Missing::Nowhere(why)) => failed = Some(["return: ", &why].concat()),
            }
        }
        let words = match &failed {
            Some(why) => self.report(why),
            None => {
                let mut words = if let Value::String(text) = &value { text.clone() } else { text(&value) };
                for (place, step) in self.steps.iter().enumerate() {
                    if let Some(why) = &step.why {
                        let line = ["\nstep `", &self.plan.ids[place], "` ", step.state.word(), ": ", why];
                        words.push_str(&line.concat());
                    }
                }
                words
            }
        };
        json!({ "ok": failed.is_none(), "value": value, "steps": steps, "text": words })
    }

    fn value(&self) -> Result<Value, Missing> {
        if let Some(gives) = &self.plan.gives {
            return gives.fill(self.scope());
        }
        let waited_for = |place: &usize| self.plan.steps.iter().any(|step| step.after.contains(place));
        let ends: Vec<usize> = (0..self.steps.len()).filter(|place| !waited_for(place)).collect();
        let value = |place: usize| self.results[place].as_ref().map(|found| found.value.clone());
        if let [only] = ends[..] {
            return Ok(value(only).unwrap_or_default());
        }
        let values = ends.into_iter().filter_map(|place| Some((self.plan.ids[place].clone(), value(place)?)));
        Ok(Value::Object(values.collect::<Map<String, Value>>()))
    }

    fn row(&self, place: usize) -> Value {
        let step = &self.steps[place];
        let mut row = json!({
            "id": self.plan.ids[place],
            "tool": self.plan.steps[place].tool,
            "state": step.state.word(),
            "calls": step.calls,
            "durationMs": step.took,
        });
        if let Some(why) = &step.why {
            row["reason"] = json!(why);
        }
        row
    }

    /// What a model is told of a plan that failed: why, and what was done, so that it is not done again.
    fn report(&self, why: &str) -> String {
        let mut words = why.to_owned();
        for (place, step) in self.steps.iter().enumerate() {
            let done = match &self.results[place] {
                Some(found) if step.state == State::Ok => [": ", &cut(&text(&found.value))].concat(),
                _ if step.state == State::Running || step.calls == 0 => String::new(),
                _ => [" after ", &step.calls.to_string(), " calls"].concat(),
            };
            words.push_str(&["\n- ", &self.plan.ids[place], " ", step.state.word(), &done].concat());
        }
        words
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Waiting => "not_run",
            State::Running => "running",
            State::Ok => "ok",
            State::Failed => "failed",
            State::Skipped => "skipped",
            State::Defaulted => "defaulted",
        }
    }
}

/// Most characters of a result in the report of a plan that failed.
const MAX_SHOWN: usize = 600;

fn cut(whole: &str) -> String {
    match whole.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => [&whole[..end], " ... (", &whole.len().to_string(), " bytes)"].concat(),
        None => whole.to_owned(),
    }
}

/// The data of a result: its structured content, else its text, read where that is an object or array.
fn data_of(outcome: Outcome) -> Found {
    let Outcome { content, structured, .. } = outcome;
    if let Some(value) = structured {
        return Found { value, content };
    }
    let texts: Vec<&str> = content.iter().filter_map(|block| block.get("text")?.as_str()).collect();
    if texts.is_empty() {
        let value = if content.is_empty() { Value::Null } else { Value::Array(content.clone()) };
        return Found { value, content };
    }
    let whole = texts.join("\n");
    let json = whole.trim_start().starts_with(['{', '[']);
    let read = if json { json::read(&whole) } else { None };
    Found { value: read.unwrap_or(Value::String(whole)), content }
}

fn words_of(outcome: &Outcome) -> String {
    let texts: Vec<&str> = outcome.content.iter().filter_map(|block| block.get("text")?.as_str()).collect();
    if texts.is_empty() { "it failed without a word".to_owned() } else { cut(&texts.join("\n")) }
}

/// Whether a template can be filled in without any step.
pub(super) fn is_plain(template: &Template) -> bool {
    matches!(template, Template::Plain(_))
}
