//! Reads a plan document: everything that is wrong with it at once, before anything runs.

use serde_json::{Map, Value};

use super::condition::Condition;
use super::shape::Shape;
use super::template::{Source, Template};
use super::types;
use crate::agent::kept::is_reference;
use crate::schema::nearest;

/// Most steps of a plan.
pub(super) const MAX_STEPS: usize = 200;
/// Most problems that are listed.
const MAX_PROBLEMS: usize = 30;
/// Most calls of one item, the first included.
const MAX_ATTEMPTS: u64 = 10;
/// Longest wait before a call is made again, in milliseconds.
const MAX_DELAY: u64 = 600_000;
/// The wait before a call is made again where the plan names none, in milliseconds.
const DELAY: u64 = 500;

/// A plan that makes sense.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) ids: Vec<String>,
    pub(super) steps: Vec<Step>,
    /// What the whole plan gives; without it, the results of the steps that no other waits for.
    pub(super) gives: Option<Template>,
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Name of the tool, as the app knows it.
    pub(super) tool: String,
    pub(super) input: Template,
    /// Places of the steps that have to be over before.
    pub(super) after: Vec<usize>,
    pub(super) for_each: Option<Template>,
    pub(super) when: Option<Condition>,
    pub(super) shape: Shape,
    /// Most calls, the first included.
    pub(super) attempts: u64,
    /// Wait before the second, doubled each time, in milliseconds.
    pub(super) delay: u64,
    pub(super) on_error: OnError,
}

/// What a failure of a step means.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum OnError {
    /// The plan has failed: nothing more is started.
    Fail,
    /// As if the step's condition did not hold.
    Skip,
    /// This stands in for its result.
    Default(Value),
}

/// What a plan needs to know of a tool.
#[derive(Clone, Debug, Default)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) wire_name: String,
    pub(super) server: Option<String>,
    pub(super) input: Value,
    pub(super) output: Option<Value>,
    /// It only reads, or doing it twice is like doing it once.
    pub(super) repeatable: bool,
    /// Why the user would be asked before it is called.
    pub(super) asks: Option<String>,
    /// What it gives is private.
    pub(super) private: bool,
    /// What it gets may end up anywhere.
    pub(super) outside: bool,
    /// Digests of arguments that were allowed for good.
    pub(super) allowed: Vec<String>,
}

/// Notes what is wrong, and what depends on what.
pub(super) struct Reader<'a> {
    ids: &'a [String],
    problems: Vec<String>,
    /// Step that is being read, for people.
    label: String,
    /// Steps that it refers to.
    after: Vec<usize>,
    /// There is an element at hand.
    pub(super) in_loop: bool,
}

impl Reader<'_> {
    /// Notes a problem.
    pub(super) fn wrong(&mut self, path: &str, words: &str) {
        let colon = if path.is_empty() { "" } else { ": " };
        let problem = [&self.label, path, colon, words].concat();
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Notes every member that is not known.
    pub(super) fn only(&mut self, fields: &Map<String, Value>, known: &[&str], path: &str) {
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let meant = match nearest(name, known.iter().copied()) {
                Some(meant) => ["; did you mean `", meant, "`?"].concat(),
                None => ["; there are: ", &known.join(", ")].concat(),
            };
            self.wrong(path, &["`", name.as_str(), "` is unknown", &meant].concat());
        }
    }

    /// What a reference means, and that the step waits for it.
    pub(super) fn source(&mut self, id: &str, path: &str) -> Option<Source> {
        if matches!(id, "item" | "index") {
            if !self.in_loop {
                self.wrong(path, &["`", id, "` is known within `forEach` and `filter` only"].concat());
                return None;
            }
            return Some(if id == "item" { Source::Item } else { Source::Index });
        }
        match self.step(id, path) {
            Some(place) => {
                self.after.push(place);
                Some(Source::Step(place))
            }
            None => None,
        }
    }

    fn step(&mut self, id: &str, path: &str) -> Option<usize> {
        let place = self.ids.iter().position(|known| known == id);
        if place.is_none() {
            let meant = match nearest(id, self.ids.iter().map(String::as_str)) {
                Some(meant) => ["; did you mean `", meant, "`?"].concat(),
                None => String::new(),
            };
            self.wrong(path, &["there is no step `", id, "`", &meant].concat());
        }
        place
    }
}

/// Reads a plan, or says everything that is wrong with it. `names` are the names of all tools there are, `tools` those
/// that the plan names.
pub(super) fn read(document: &Value, tools: &[Tool], names: &[String]) -> Result<Plan, Vec<String>> {
    let none = Vec::new();
    let listed = document.get("steps").and_then(Value::as_array);
    let steps = listed.unwrap_or(&none);
    let ids: Vec<String> =
        steps.iter().map(|step| step.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()).collect();
    let (label, after) = ("plan: ".to_owned(), Vec::new());
    let mut reader = Reader { ids: &ids, problems: Vec::new(), label, after, in_loop: false };
    match document.as_object() {
        Some(fields) => reader.only(fields, &["steps", "return"], ""),
        None => reader.wrong("", "must be an object `{ steps: [...] }`"),
    }
    if document.is_object() && steps.is_empty() {
        reader.wrong("steps", "must be an array of at least one step");
    }
    if steps.len() > MAX_STEPS {
        reader.wrong("steps", &["are too many: at most ", &MAX_STEPS.to_string()].concat());
        return Err(reader.problems);
    }
    let mut plan = Plan::default();
    for (place, step) in steps.iter().enumerate() {
        reader.label = match &*ids[place] {
            "" => ["steps[", &place.to_string(), "]: "].concat(),
            id => ["step `", id, "`: "].concat(),
        };
        reader.after.clear();
        check_id(&ids, place, &mut reader);
        let read = read_step(step, tools, names, &mut reader);
        plan.steps.push(read);
    }
    reader.label = "plan: ".to_owned();
    reader.after.clear();
    plan.gives = document.get("return").map(|gives| Template::read(gives, "return", &mut reader));
    note_cycles(&ids, &plan.steps, &mut reader);
    if reader.problems.is_empty() {
        // Only now is it known where each reference leads.
        for (place, id) in ids.iter().enumerate() {
            reader.label = ["step `", id, "`: "].concat();
            for (path, words) in types::check(&plan.steps, place, tools) {
                reader.wrong(&path, &words);
            }
        }
    }
    let mut problems = reader.problems;
    if problems.is_empty() {
        plan.ids = ids;
        return Ok(plan);
    }
    if problems.len() > MAX_PROBLEMS {
        problems.truncate(MAX_PROBLEMS);
        problems.push("and more".to_owned());
    }
    Err(problems)
}

fn check_id(ids: &[String], place: usize, reader: &mut Reader<'_>) {
    let id = &ids[place];
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if id.is_empty() || id.len() > 64 || !id.bytes().all(allowed) {
        reader.wrong("id", "must be 1 to 64 letters, digits, `_` or `-`");
    } else if matches!(id.as_str(), "item" | "index") {
        reader.wrong("id", "is the name of something else in a `forEach`");
    } else if ids[..place].contains(id) {
        reader.wrong("id", "another step has it already");
    }
}

fn read_step(step: &Value, tools: &[Tool], names: &[String], reader: &mut Reader<'_>) -> Step {
    const KNOWN: [&str; 11] =
        ["id", "tool", "input", "dependsOn", "forEach", "when", "select", "filter", "take", "retry", "onError"];
    let empty = Map::new();
    let fields = step.as_object().unwrap_or_else(|| {
        reader.wrong("", "must be an object `{ id, tool, input }`");
        &empty
    });
    reader.only(fields, &KNOWN, "");
    let named = fields.get("tool").and_then(Value::as_str).unwrap_or_default();
    let tool = tools.iter().find(|tool| tool.name == named || tool.wire_name == named);
    if tool.is_none() {
        let meant = match nearest(named, names.iter().map(String::as_str)) {
            Some(meant) => ["there is no tool `", named, "`; did you mean `", meant, "`?"].concat(),
            None if named.is_empty() => "is required (the name of a tool)".to_owned(),
            None => ["there is no tool `", named, "`"].concat(),
        };
        reader.wrong("tool", &meant);
    }
    if let Some(names) = fields.get("dependsOn") {
        let mut wrong = !names.is_array();
        for name in names.as_array().into_iter().flatten() {
            match name.as_str() {
                Some(name) => {
                    let place = reader.step(name, "dependsOn");
                    reader.after.extend(place);
                }
                None => wrong = true,
            }
        }
        if wrong {
            reader.wrong("dependsOn", "must be an array of ids of steps");
        }
    }
    let when = fields.get("when").map(|when| Condition::read(when, "when", reader));
    let for_each = fields.get("forEach").map(|items| Template::read(items, "forEach", reader));
    if let Some(Template::Plain(value)) = &for_each
        && !value.is_array()
        && !value.is_null()
        && !value.as_str().is_some_and(is_reference)
    {
        reader.wrong("forEach", "must be an array, or refer to one");
    }
    reader.in_loop = for_each.is_some();
    let input = match fields.get("input") {
        None => Template::Plain(Value::Object(Map::new())),
        Some(input) => {
            let template = Template::read(input, "input", reader);
            if !input.is_object() {
                reader.wrong("input", "must be an object: the arguments of the tool");
            }
            template
        }
    };
    reader.in_loop = false;
    let shape = Shape::read(fields, "", reader);
    let (attempts, delay) = fields.get("retry").map_or((1, DELAY), |retry| read_retry(retry, reader));
    if let Some(tool) = tool.filter(|tool| attempts > 1 && !tool.repeatable) {
        let words = [
            "`",
            &tool.name,
            "` may change something and is not marked as idempotent, so that it is not called again by itself",
        ];
        reader.wrong("retry", &words.concat());
    }
    let on_error = match fields.get("onError") {
        None => OnError::Fail,
        Some(Value::String(word)) if word == "fail" => OnError::Fail,
        Some(Value::String(word)) if word == "skip" => OnError::Skip,
        Some(Value::Object(given)) if given.len() == 1 && given.contains_key("default") => {
            OnError::Default(given["default"].clone())
        }
        Some(_) => {
            reader.wrong("onError", "must be \"fail\", \"skip\" or { \"default\": value }");
            OnError::Fail
        }
    };
    let mut after = reader.after.clone();
    after.sort_unstable();
    after.dedup();
    let tool = tool.map(|tool| tool.name.clone()).unwrap_or_default();
    Step { tool, input, after, for_each, when, shape, attempts, delay, on_error }
}

fn read_retry(retry: &Value, reader: &mut Reader<'_>) -> (u64, u64) {
    let (attempts, delay) = match retry {
        Value::Object(fields) => {
            reader.only(fields, &["attempts", "delayMs"], "retry");
            (fields.get("attempts"), fields.get("delayMs"))
        }
        other => (Some(other), None),
    };
    let attempts = attempts.and_then(Value::as_u64).filter(|attempts| (1..=MAX_ATTEMPTS).contains(attempts));
    let delay = delay.map_or(Some(DELAY), |delay| delay.as_u64().filter(|delay| (1..=MAX_DELAY).contains(delay)));
    match (attempts, delay) {
        (Some(attempts), Some(delay)) => (attempts, delay),
        _ => {
            let words =
                "must be a number of attempts from 1 to 10, or { attempts, delayMs } with a wait of 1 to 600000 ms";
            reader.wrong("retry", words);
            (1, DELAY)
        }
    }
}

/// Takes away, again and again, what waits for nothing; what stays waits in a circle, or for one.
fn note_cycles(ids: &[String], steps: &[Step], reader: &mut Reader<'_>) {
    let mut left: Vec<usize> = (0..steps.len()).collect();
    loop {
        let before = left.len();
        let waiting = left.clone();
        left.retain(|place| steps[*place].after.iter().any(|after| waiting.contains(after)));
        if left.len() == before {
            break;
        }
    }
    while let Some(start) = left.first().copied() {
        // Following what each waits for leads into a circle.
        let mut way = vec![start];
        let circle = loop {
            let at = way[way.len() - 1];
            let Some(next) = steps[at].after.iter().copied().find(|after| left.contains(after)) else { break None };
            if let Some(from) = way.iter().position(|known| *known == next) {
                break Some(way.split_off(from));
            }
            way.push(next);
        };
        let gone = match circle {
            Some(circle) => {
                let mut names: Vec<&str> = circle.iter().map(|place| ids[*place].as_str()).collect();
                names.push(names[0]);
                reader.wrong("", &["these steps wait for each other: ", &names.join(" -> ")].concat());
                circle
            }
            // It only led to a circle that was found before.
            None => way,
        };
        left.retain(|place| !gone.contains(place));
    }
}

impl Plan {
    /// Steps that could start at once, then those that could start once these are over, and so on.
    pub(super) fn waves(&self) -> Vec<Vec<usize>> {
        let mut wave_of: Vec<Option<usize>> = vec![None; self.steps.len()];
        let mut waves: Vec<Vec<usize>> = Vec::new();
        while wave_of.iter().any(Option::is_none) {
            let mut wave = Vec::new();
            for (place, step) in self.steps.iter().enumerate() {
                if wave_of[place].is_none() && step.after.iter().all(|after| wave_of[*after].is_some()) {
                    wave.push(place);
                }
            }
            for place in &wave {
                wave_of[*place] = Some(waves.len());
            }
            waves.push(wave);
        }
        waves
    }
}
