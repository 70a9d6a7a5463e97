//! Whether a value is what a schema wants: an interpreter of JSON Schema 2020-12 with a budget.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::pattern::Pattern;
use super::registry::{Registry, below};
use super::words;
use crate::json::canonical;

/// Steps of one check; a real schema takes hundreds.
const BUDGET: u64 = 2_000_000;
/// Deepest nesting of schemas in schemas, references included.
const MAX_DEPTH: usize = 300;
/// Most problems that are told.
pub(super) const MAX_PROBLEMS: usize = 10;

/// Why a check was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It takes too many steps.
    Budget,
    /// Schemas refer to each other too deeply, or in a circle.
    Depth,
}

/// One check of one value.
pub(super) struct Check<'a> {
    registry: Registry<'a>,
    /// The resources that were entered on the way here.
    scope: Vec<usize>,
    /// Some schema asks what others have looked at.
    tracks: bool,
    steps: u64,
    depth: usize,
    /// Above zero where a failure is no problem by itself.
    quiet: usize,
    patterns: Vec<(&'a str, Option<Rc<Pattern>>)>,
    /// What is wrong: where, and what.
    pub(super) problems: Vec<(String, String)>,
    /// What could not be checked and was let pass.
    pub(super) unsure: Vec<String>,
}

/// Where in the value: the steps from here back to its root.
#[derive(Clone, Copy)]
struct At<'p> {
    up: Option<&'p At<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Key(&'p str),
    Index(usize),
}

impl At<'_> {
    fn path(&self) -> String {
        let mut path = self.up.map(At::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&words::key(key));
            }
            Step::Index(index) => path.push_str(&["[", &index.to_string(), "]"].concat()),
        }
        path
    }
}

/// Which members or elements of a value some schema has looked at.
type Marks = Vec<bool>;

fn merge(marks: &mut Marks, others: &Marks) {
    marks.iter_mut().zip(others).for_each(|(mark, other)| *mark |= *other);
}

type Checked = Result<bool, Stop>;

impl<'a> Check<'a> {
    /// A check with that schema, given as its number in the registry.
    pub(super) fn new(registry: Registry<'a>, root: usize, tracks: bool) -> Check<'a> {
        Check {
            registry,
            scope: vec![root],
            tracks,
            steps: 0,
            depth: 0,
            quiet: 0,
            patterns: Vec::new(),
            problems: Vec::new(),
            unsure: Vec::new(),
        }
    }

    /// Checks the value; problems are collected.
    pub(super) fn run(&mut self, schema: &'a Value, value: &Value) -> Checked {
        let mut marks = self.marks(value);
        self.schema(schema, value, &At { up: None, step: Step::Root }, &mut marks)
    }

    fn marks(&self, value: &Value) -> Marks {
        let length = match value {
            Value::Object(fields) if self.tracks => fields.len(),
            Value::Array(items) if self.tracks => items.len(),
            _ => 0,
        };
        vec![false; length]
    }

    fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        self.steps += steps as u64;
        if self.steps > BUDGET { Err(Stop::Budget) } else { Ok(()) }
    }

    fn problem(&mut self, at: &At<'_>, words: impl FnOnce() -> String) {
        if self.quiet == 0 && self.problems.len() <= MAX_PROBLEMS {
            self.problems.push((at.path(), words()));
        }
    }

    fn doubt(&mut self, words: String) {
        if self.unsure.len() < MAX_PROBLEMS && !self.unsure.contains(&words) {
            self.unsure.push(words);
        }
    }

    fn schema(&mut self, schema: &'a Value, value: &Value, at: &At<'_>, marks: &mut Marks) -> Checked {
        self.spend(1)?;
        let fields = match schema {
            Value::Object(fields) => fields,
            Value::Bool(false) => {
                self.problem(at, || "is not allowed here".into());
                return Ok(false);
            }
            _ => return Ok(true),
        };
        if self.depth >= MAX_DEPTH {
            return Err(Stop::Depth);
        }
        self.depth += 1;
        let entered = fields.contains_key("$id").then(|| self.registry.own(schema)).flatten();
        self.scope.extend(entered);
        let checked = self.fields(fields, value, at, marks);
        if entered.is_some() {
            self.scope.pop();
        }
        self.depth -= 1;
        checked
    }

    fn fields(&mut self, fields: &'a Map<String, Value>, value: &Value, at: &At<'_>, marks: &mut Marks) -> Checked {
        let mut good = self.references(fields, value, at, marks)?;
        good &= self.combinations(fields, value, at, marks)?;
        if let Some(words) = words::plain(fields, value) {
            self.problem(at, || words);
            good = false;
        }
        good &= self.listed(fields, value, at)?;
        match value {
            Value::Object(members) => good &= self.object(fields, members, at, marks)?,
            Value::Array(items) => good &= self.array(fields, items, at, marks)?,
            Value::String(text) => {
                if let Some(pattern) = fields.get("pattern").and_then(Value::as_str)
                    && !self.matches(pattern, text)?
                {
                    self.problem(at, || ["must match the pattern ", &words::cut(pattern)].concat());
                    good = false;
                }
            }
            _ => {}
        }
        Ok(good)
    }

    fn references(&mut self, fields: &'a Map<String, Value>, value: &Value, at: &At<'_>, marks: &mut Marks) -> Checked {
        let mut good = true;
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            let Some(reference) = fields.get(keyword).and_then(Value::as_str) else { continue };
            let from = self.scope.last().copied().unwrap_or(0);
            let Some((mut resource, mut target)) = self.registry.find(from, reference) else {
                self.doubt(["the reference ", &words::cut(reference), " leads nowhere, and none is fetched"].concat());
                continue;
            };
            let name = reference.rsplit_once('#').map_or("", |(_, name)| name);
            if keyword == "$dynamicRef" && !name.is_empty() && self.registry.dynamic(resource, name).is_some() {
                let outermost = self.scope.iter().find_map(|at| Some((*at, self.registry.dynamic(*at, name)?)));
                (resource, target) = outermost.unwrap_or((resource, target));
            }
            self.scope.push(resource);
            let checked = self.beside(target, value, at, marks);
            self.scope.pop();
            good &= checked?;
        }
        Ok(good)
    }

    /// Another schema on the same value; what it looked at counts when it holds.
    fn beside(&mut self, schema: &'a Value, value: &Value, at: &At<'_>, marks: &mut Marks) -> Checked {
        let mut own = self.marks(value);
        let good = self.schema(schema, value, at, &mut own)?;
        if good {
            merge(marks, &own);
        }
        Ok(good)
    }

    /// The same without a word.
    fn quietly(&mut self, schema: &'a Value, value: &Value, at: &At<'_>, marks: &mut Marks) -> Checked {
        self.quiet += 1;
        let checked = self.beside(schema, value, at, marks);
        self.quiet -= 1;
        checked
    }

    fn combinations(
        &mut self,
        fields: &'a Map<String, Value>,
        value: &Value,
        at: &At<'_>,
        marks: &mut Marks,
    ) -> Checked {
        let mut good = true;
        for schema in list(fields, "allOf") {
            good &= self.beside(schema, value, at, marks)?;
        }
        for keyword in ["anyOf", "oneOf"] {
            let Some(Value::Array(choices)) = fields.get(keyword) else { continue };
            let mut matching = 0;
            for schema in choices {
                matching += usize::from(self.quietly(schema, value, at, marks)?);
            }
            if matching == 0 {
                good = false;
                self.nearest(choices, value, at)?;
            } else if keyword == "oneOf" && matching > 1 {
                good = false;
                self.problem(at, || {
                    ["matches ", &matching.to_string(), " of the choices, but must match one"].concat()
                });
            }
        }
        if let Some(schema) = fields.get("not") {
            let mut own = self.marks(value);
            if self.quietly(schema, value, at, &mut own)? {
                good = false;
                self.problem(at, || "is one of the values that are ruled out".into());
            }
        }
        if let Some(condition) = fields.get("if") {
            let branch = if self.quietly(condition, value, at, marks)? { "then" } else { "else" };
            if let Some(schema) = fields.get(branch) {
                good &= self.beside(schema, value, at, marks)?;
            }
        }
        if let Value::Object(members) = value {
            for keyword in ["dependentSchemas", "dependencies"] {
                for (name, schema) in map(fields, keyword) {
                    if !schema.is_array() && members.contains_key(name) {
                        good &= self.beside(schema, value, at, marks)?;
                    }
                }
            }
        }
        Ok(good)
    }

    /// None of the choices holds: tells what is wrong with the one that comes nearest.
    fn nearest(&mut self, choices: &'a [Value], value: &Value, at: &At<'_>) -> Result<(), Stop> {
        if self.quiet > 0 || self.problems.len() >= MAX_PROBLEMS {
            return Ok(());
        }
        let told = self.problems.len();
        let mut best: Option<Vec<(String, String)>> = None;
        for schema in choices {
            let mut own = self.marks(value);
            self.schema(schema, value, at, &mut own)?;
            let found = self.problems.split_off(told);
            // A choice of another type altogether is far.
            let here = at.path();
            let far = |found: &[(String, String)]| {
                found.len()
                    + 100 * found.iter().filter(|(path, words)| *path == here && words.starts_with("must be a")).count()
            };
            if best.as_ref().is_none_or(|best| far(&found) < far(best)) {
                best = Some(found);
            }
        }
        match best {
            Some(found) if choices.len() == 1 => self.problems.extend(found),
            Some(mut found) if !found.is_empty() => {
                let first = &mut found[0].1;
                *first =
                    [first, " (none of the ", &choices.len().to_string(), " choices fits; this one is the nearest)"]
                        .concat();
                self.problems.extend(found);
            }
            _ => self.problem(at, || "fits none of the choices".into()),
        }
        Ok(())
    }

    fn listed(&mut self, fields: &'a Map<String, Value>, value: &Value, at: &At<'_>) -> Checked {
        let choices = match (fields.get("const"), fields.get("enum")) {
            (None, None) => return Ok(true),
            (Some(only), _) => std::slice::from_ref(only),
            (None, Some(Value::Array(choices))) => choices,
            (None, Some(_)) => return Ok(true),
        };
        let text = |value: &Value| {
            let mut text = Vec::new();
            canonical(value, &mut text);
            text
        };
        let wanted = text(value);
        self.spend(choices.len() + wanted.len() / 64)?;
        for choice in choices {
            let choice = text(choice);
            self.spend(choice.len() / 64)?;
            if choice == wanted {
                return Ok(true);
            }
        }
        self.problem(at, || words::choices(choices, value));
        Ok(false)
    }

    fn object(
        &mut self,
        fields: &'a Map<String, Value>,
        members: &Map<String, Value>,
        at: &At<'_>,
        marks: &mut Marks,
    ) -> Checked {
        let mut good = true;
        for words in words::members(fields, members) {
            self.problem(at, || words);
            good = false;
        }
        self.spend(members.len())?;
        if let Some(schema) = fields.get("propertyNames") {
            for name in members.keys() {
                let mut own = Marks::new();
                if !self.quietly(schema, &Value::from(name.as_str()), at, &mut own)? {
                    self.problem(at, || ["`", &words::cut(name), "` is no name that is allowed here"].concat());
                    good = false;
                }
            }
        }
        let patterns: Vec<(&'a String, &'a Value)> = map(fields, "patternProperties").collect();
        for (index, (name, member)) in members.iter().enumerate() {
            let below = At { up: Some(at), step: Step::Key(name) };
            let mut looked = false;
            if let Some(schema) = fields.get("properties").and_then(|known| known.get(name)) {
                good &= self.child(schema, member, &below)?;
                looked = true;
            }
            for (pattern, schema) in &patterns {
                if self.matches(pattern, name)? {
                    good &= self.child(schema, member, &below)?;
                    looked = true;
                }
            }
            if let Some(schema) = fields.get("additionalProperties").filter(|_| !looked) {
                good &= self.extra(schema, member, &below, fields, members)?;
                looked = true;
            }
            if let Some(mark) = marks.get_mut(index).filter(|_| looked) {
                *mark = true;
            }
        }
        if let Some(schema) = fields.get("unevaluatedProperties") {
            for (index, (name, member)) in members.iter().enumerate() {
                if !marks.get(index).copied().unwrap_or(true) {
                    let below = At { up: Some(at), step: Step::Key(name) };
                    good &= self.extra(schema, member, &below, fields, members)?;
                    marks[index] = true;
                }
            }
        }
        Ok(good)
    }

    /// A member that no schema names.
    fn extra(
        &mut self,
        schema: &'a Value,
        member: &Value,
        at: &At<'_>,
        fields: &'a Map<String, Value>,
        members: &Map<String, Value>,
    ) -> Checked {
        if schema != &Value::Bool(false) {
            return self.child(schema, member, at);
        }
        if let (Some(up), Step::Key(name)) = (at.up, at.step) {
            self.problem(up, || words::unknown(name, fields, members));
        }
        Ok(false)
    }

    fn child(&mut self, schema: &'a Value, value: &Value, at: &At<'_>) -> Checked {
        let mut own = self.marks(value);
        self.schema(schema, value, at, &mut own)
    }

    fn array(&mut self, fields: &'a Map<String, Value>, items: &[Value], at: &At<'_>, marks: &mut Marks) -> Checked {
        let mut good = true;
        self.spend(items.len())?;
        // An array of schemas in `items` is how older drafts wrote `prefixItems`.
        let old = fields.get("items").and_then(Value::as_array);
        let first: &'a [Value] = match fields.get("prefixItems").and_then(Value::as_array).or(old) {
            Some(schemas) => schemas,
            None => &[],
        };
        let rest = if old.is_some() { fields.get("additionalItems") } else { fields.get("items") };
        for (index, item) in items.iter().enumerate() {
            let below = At { up: Some(at), step: Step::Index(index) };
            let Some(schema) = first.get(index).or(rest) else { break };
            good &= self.child(schema, item, &below)?;
            if let Some(mark) = marks.get_mut(index) {
                *mark = true;
            }
        }
        if let Some(schema) = fields.get("contains") {
            let mut found = 0;
            for (index, item) in items.iter().enumerate() {
                let mut own = self.marks(item);
                if self.quietly(schema, item, at, &mut own)? {
                    found += 1;
                    if let Some(mark) = marks.get_mut(index) {
                        *mark = true;
                    }
                }
            }
            let limit = |name: &str| fields.get(name).and_then(Value::as_f64);
            if (found as f64) < limit("minContains").unwrap_or(1.0)
                || limit("maxContains").is_some_and(|most| found as f64 > most)
            {
                self.problem(at, || {
                    ["has ", &found.to_string(), " elements of the wanted kind, which is too few or too many"].concat()
                });
                good = false;
            }
        }
        if fields.get("uniqueItems") == Some(&Value::Bool(true)) {
            let mut texts: Vec<Vec<u8>> = Vec::new();
            for item in items {
                let mut text = Vec::new();
                canonical(item, &mut text);
                self.spend(1 + text.len() / 64)?;
                texts.push(text);
            }
            texts.sort();
            if texts.windows(2).any(|pair| pair[0] == pair[1]) {
                self.problem(at, || "has an element twice".into());
                good = false;
            }
        }
        if let Some(schema) = fields.get("unevaluatedItems") {
            for (index, item) in items.iter().enumerate() {
                if !marks.get(index).copied().unwrap_or(true) {
                    let below = At { up: Some(at), step: Step::Index(index) };
                    good &= self.child(schema, item, &below)?;
                    marks[index] = true;
                }
            }
        }
        Ok(good)
    }

    /// Whether the pattern is in the text; one that we do not know is let pass.
    fn matches(&mut self, pattern: &'a str, text: &str) -> Checked {
        self.spend(1 + text.len() / 16)?;
        let known = self.patterns.iter().find(|(known, _)| *known == pattern).map(|(_, program)| program.clone());
        let program = known.unwrap_or_else(|| {
            let program = Pattern::new(pattern).map(Rc::new);
            self.patterns.push((pattern, program.clone()));
            program
        });
        let found = program.and_then(|program| {
            self.steps += program.cost(text) / 64;
            program.is_in(text)
        });
        if found.is_none() {
            self.doubt(["the pattern ", &words::cut(pattern), " cannot be checked here"].concat());
        }
        Ok(found.unwrap_or(true))
    }
}

fn list<'a>(fields: &'a Map<String, Value>, keyword: &str) -> std::slice::Iter<'a, Value> {
    match fields.get(keyword) {
        Some(Value::Array(items)) => items.iter(),
        _ => [].iter(),
    }
}

fn map<'a>(fields: &'a Map<String, Value>, keyword: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    fields.get(keyword).and_then(Value::as_object).into_iter().flatten()
}

/// Whether some schema in it asks what others have looked at.
pub(super) fn tracks(schema: &Value) -> bool {
    let own = ["unevaluatedProperties", "unevaluatedItems"].iter().any(|keyword| schema.get(keyword).is_some());
    let mut any = own;
    below(schema, &mut |child| any |= tracks(child));
    any
}
