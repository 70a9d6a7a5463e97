//! Arguments for a tool from the words of a clause: what stands there by name, by type or in quotes.
//!
//! Texts without quotes are the business of `texts`.

use serde_json::{Map, Number, Value};

use super::choose::Entry;
use super::schema::{Kind as Takes, Parameter};
use super::text::{Kind, Token, number_of, whole};
use super::words::{self, Role};
use crate::rank;

/// Longest text that is passed on from an earlier result, in bytes.
const MAX_EARLIER: usize = 100_000;

/// Values of one choice that are looked for in the text.
const MAX_VALUES: usize = 200;

/// What a clause gives for a tool.
pub(super) struct Filled {
    /// The arguments.
    pub(super) input: Map<String, Value>,
    /// Places of the required parameters that nothing was found for.
    pub(super) missing: Vec<usize>,
}

/// Fills the parameters of a tool from a clause; `earlier` is what "the result" stands for.
///
/// In this order, and no token twice: a JSON object, `name: value` and `name=value`, choices by their values, truth
/// values, numbers (beside the parameter's name or unit, then in order), quoted texts, texts by shape (addresses,
/// dates, paths) or announced by a word ("in", "about", "saying"), and for one text the rest of the clause.
pub(super) fn fill(prompt: &str, tokens: &[Token], entry: &Entry<'_>, earlier: Option<&str>) -> Filled {
    let mut filler = Filler { prompt, tokens, entry, earlier, used: vec![false; tokens.len()], input: Map::new() };
    filler.json();
    filler.pairs();
    filler.choices();
    filler.booleans();
    filler.numbers();
    filler.quotes(true, false);
    filler.quotes(false, true);
    filler.lists();
    filler.quotes(false, false);
    filler.shapes();
    filler.announced();
    filler.rest();
    filler.finish()
}

/// The state of filling: which tokens are spent, and what was found.
pub(super) struct Filler<'a> {
    pub(super) prompt: &'a str,
    pub(super) tokens: &'a [Token],
    pub(super) entry: &'a Entry<'a>,
    earlier: Option<&'a str>,
    pub(super) used: Vec<bool>,
    pub(super) input: Map<String, Value>,
}

impl<'a> Filler<'a> {
    /// The parameters without a value, required ones first, each kind in the order of the schema.
    fn open(&self) -> Vec<&'a Parameter<'a>> {
        let parameters = &self.entry.parameters;
        let mut all: Vec<&Parameter<'_>> = parameters.iter().filter(|parameter| parameter.required).collect();
        all.extend(parameters.iter().filter(|parameter| !parameter.required));
        all.retain(|parameter| !self.input.contains_key(parameter.name));
        all
    }

    pub(super) fn open_texts(&self) -> Vec<&'a Parameter<'a>> {
        let mut all = self.open();
        all.retain(|parameter| parameter.kind == Takes::Text);
        all
    }

    pub(super) fn take(&mut self, parameter: &Parameter<'_>, value: Value, from: usize, to: usize) {
        self.input.insert(parameter.name.to_owned(), value);
        self.used[from..to].fill(true);
    }

    pub(super) fn free(&self, at: usize) -> bool {
        self.used.get(at) == Some(&false)
    }

    /// The word at a place in lower case; empty where there is none.
    pub(super) fn word(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| &token.word)
    }

    /// The word before a place.
    fn word_before(&self, at: usize, back: usize) -> &'a str {
        at.checked_sub(back).map_or("", |at| self.word(at))
    }

    /// The text of some tokens as it was written, references replaced.
    ///
    /// "it" and "that" are replaced only where they are all there is; elsewhere they are ordinary words.
    pub(super) fn text(&self, from: usize, to: usize) -> String {
        let alone = to == from + 1;
        let mut all = String::new();
        for at in from..to {
            let token = &self.tokens[at];
            if at > from {
                all.push_str(&self.prompt[self.tokens[at - 1].end..token.start]);
            }
            match (&token.kind, self.earlier) {
                (Kind::Reference(strong), Some(earlier)) if *strong || alone => {
                    let cut = earlier.floor_char_boundary(MAX_EARLIER);
                    all.push_str(&earlier[..cut]);
                    if cut < earlier.len() {
                        all.push_str(" … (cut here)");
                    }
                }
                (Kind::Quoted(from, to), _) if alone => all.push_str(&self.prompt[*from..*to]),
                _ => {
                    let raw = &self.prompt[token.start..token.end];
                    let owner = raw.strip_suffix("'s").or_else(|| raw.strip_suffix("’s")).filter(|_| alone);
                    all.push_str(owner.unwrap_or(raw));
                }
            }
        }
        all
    }

    /// The number at a token: digits, a number word, or the last number of the earlier result.
    fn number(&self, at: usize) -> Option<Number> {
        let token = self.tokens.get(at)?;
        match &token.kind {
            Kind::Number(number) => Some(number.clone()),
            Kind::Reference(_) => last_number(self.earlier?),
            Kind::Word => words::number_word(&token.word).map(Number::from),
            _ => None,
        }
    }

    /// The value of one token for a kind that a single token can fill.
    fn scalar(&self, takes: &Takes<'_>, at: usize) -> Option<Value> {
        match takes {
            Takes::Number { whole } => self.number(at).and_then(|number| fit(number, *whole)),
            Takes::Boolean => words::truth(self.word(at)).map(Value::Bool),
            Takes::Text => Some(Value::String(self.text(at, at + 1))),
            Takes::Choice(values) => self.choice(values, at).map(|(value, _)| value.clone()),
            _ => None,
        }
    }

    fn json(&mut self) {
        let entry = self.entry;
        let known = |name: &str| entry.parameters.iter().any(|parameter| parameter.name == name);
        for (at, token) in self.tokens.iter().enumerate() {
            let Kind::Json(Value::Object(given)) = &token.kind else { continue };
            for (name, value) in given.iter().filter(|(name, _)| known(name)) {
                self.input.insert(name.clone(), value.clone());
                self.used[at] = true;
            }
        }
    }

    /// The parameter whose name stands at a token before `:` or `=`, and the place behind the sign.
    fn pair(&self, at: usize) -> Option<(&'a Parameter<'a>, usize)> {
        let mut said = String::new();
        for length in 1..=4 {
            let token = self.tokens.get(at + length - 1).filter(|token| !token.word.is_empty())?;
            said.extend(token.word.chars().filter(|char| char.is_alphanumeric()));
            let sign = self.tokens.get(at + length)?;
            if sign.is(':') || sign.is('=') {
                let same = |parameter: &&Parameter<'_>| {
                    let mut name = String::new();
                    rank::parts(parameter.name, &mut |part| name.push_str(part));
                    name == said
                };
                return Some((self.entry.parameters.iter().find(same)?, at + length + 1));
            }
        }
        None
    }

    fn pairs(&mut self) {
        let found = |at| self.pair(at).map(|(parameter, from)| (at, parameter, from));
        let starts: Vec<(usize, &Parameter<'_>, usize)> = (0..self.tokens.len()).filter_map(found).collect();
        for (number, (at, parameter, from)) in starts.iter().enumerate() {
            let (at, from) = (*at, *from);
            let limit = starts.get(number + 1).map_or(self.tokens.len(), |next| next.0);
            if self.used[at] || from >= limit || self.input.contains_key(parameter.name) {
                continue;
            }
            let listed = matches!(parameter.kind, Takes::List(_));
            let ends = |at: &usize| self.tokens[*at].is(';') || !listed && self.tokens[*at].is(',');
            let mut to = (from..limit).find(ends).unwrap_or(limit);
            while to > from && (self.tokens[to - 1].is(',') || self.word(to - 1) == "and") {
                to -= 1;
            }
            if to == from {
                continue;
            }
            let value = match (&parameter.kind, &self.tokens[from].kind) {
                (Takes::List(_) | Takes::Any, Kind::Json(value)) => Some((value.clone(), from + 1)),
                (Takes::List(items), _) => Some((Value::Array(self.items(items, from, to)), to)),
                (Takes::Text, Kind::Quoted(..)) => Some((Value::String(self.text(from, from + 1)), from + 1)),
                (Takes::Text, _) => {
                    let (from, to) = self.trim(parameter, from, to);
                    Some((Value::String(self.text(from, to)), to))
                }
                (Takes::Choice(values), _) => {
                    self.choice(values, from).map(|(value, length)| (value.clone(), from + length))
                }
                (kind, _) => self.scalar(kind, from).map(|value| (value, from + 1)),
            };
            if let Some((value, to)) = value {
                self.take(parameter, value, at, to);
            }
        }
    }

    /// The texts or numbers between commas and "and".
    fn items(&self, items: &Takes<'_>, from: usize, to: usize) -> Vec<Value> {
        let mut all = Vec::new();
        let mut start = from;
        for at in from..=to {
            if at == to || self.tokens[at].is(',') || self.word(at) == "and" {
                if start < at {
                    all.extend(match items {
                        Takes::Text => Some(Value::String(self.text(start, at))),
                        other => self.scalar(other, start),
                    });
                }
                start = at + 1;
            }
        }
        all
    }

    /// The longest of the values that is written at a token, and how many tokens it takes.
    fn choice<'v>(&self, values: &[&'v Value], at: usize) -> Option<(&'v Value, usize)> {
        let mut best: Option<(&Value, usize)> = None;
        for value in values.iter().take(MAX_VALUES) {
            let wanted = match value {
                Value::String(text) => squash(text),
                other => squash(&crate::json::text(other)),
            };
            let mut said = String::new();
            for (length, token) in self.tokens.iter().skip(at).enumerate() {
                let raw = match token.kind {
                    Kind::Quoted(from, to) => &self.prompt[from..to],
                    Kind::Word | Kind::Number(_) => &self.prompt[token.start..token.end],
                    _ => break,
                };
                said.push_str(&squash(raw.strip_suffix("'s").unwrap_or(raw)));
                if said == wanted && !wanted.is_empty() && best.is_none_or(|(_, known)| length + 1 > known) {
                    best = Some((value, length + 1));
                }
                if !wanted.starts_with(&said) {
                    break;
                }
            }
        }
        best
    }

    fn choices(&mut self) {
        for parameter in self.open() {
            let (values, listed) = match &parameter.kind {
                Takes::Choice(values) => (values, false),
                Takes::List(items) => match &**items {
                    Takes::Choice(values) => (values, true),
                    _ => continue,
                },
                _ => continue,
            };
            let mut found = Vec::new();
            for at in 0..self.tokens.len() {
                let hit = if self.free(at) { self.choice(values, at) } else { None };
                let Some((value, length)) = hit else { continue };
                found.push(value.clone());
                // The parameter's own name beside the value belongs to it: "error type", "priority high".
                let named = |at: usize| self.free(at) && parameter.named_by(self.word(at));
                let from = if at > 0 && named(at - 1) { at - 1 } else { at };
                let to = at + length + usize::from(named(at + length));
                self.used[from..to].fill(true);
                if !listed {
                    break;
                }
            }
            if listed && !found.is_empty() {
                self.input.insert(parameter.name.to_owned(), Value::Array(found));
            } else if let Some(value) = found.pop() {
                self.input.insert(parameter.name.to_owned(), value);
            }
        }
    }

    fn booleans(&mut self) {
        const FILLERS: &str = "include is has use enable with should allow show";
        const REFUSING: &str = "without no not don't never exclude excluding";
        const ASKING: &str = "with include including set enable";
        for parameter in self.open() {
            if parameter.kind != Takes::Boolean {
                continue;
            }
            let filler = |word: &str| FILLERS.split(' ').any(|filler| rank::stem(filler) == rank::stem(word));
            for at in 0..self.tokens.len() {
                let word = self.word(at);
                if !self.free(at) || !parameter.named_by(word) || filler(word) {
                    continue;
                }
                let before = |list: &str| (1..=3).any(|back| words::among(list, self.word_before(at, back)));
                let (refused, asked) = (before(REFUSING), before(ASKING));
                let skip = usize::from(words::among("is to", self.word(at + 1)));
                let said = words::truth(self.word(at + 1 + skip));
                if !(refused || asked || said.is_some()) && self.entry.means(&self.tokens[at], false) {
                    continue;
                }
                let from = if refused || asked { at.saturating_sub(1) } else { at };
                let to = if said.is_some() { at + 2 + skip } else { at + 1 };
                self.take(parameter, Value::Bool(said.unwrap_or(!refused)), from, to);
                break;
            }
        }
    }

    fn numbers(&mut self) {
        let numeric = |parameter: &&Parameter<'_>| matches!(parameter.kind, Takes::Number { .. });
        // First what stands beside the name ("3 steps", "limit of 5"), then beside its unit ("5 seconds").
        for by_name in [true, false] {
            for parameter in self.open().into_iter().filter(numeric) {
                let near = |at: usize| self.beside(parameter, at, by_name);
                let hit = (0..self.tokens.len()).filter(|at| self.free(*at)).find_map(|at| {
                    let (from, to) = near(at)?;
                    self.scalar(&parameter.kind, at).map(|value| (value, from, to))
                });
                if let Some((value, from, to)) = hit {
                    self.take(parameter, value, from, to);
                }
            }
        }
        // What is left goes in order; to optional ones only when no text waits for the rest of the clause.
        let texts = self.open_texts().iter().any(|parameter| parameter.required);
        for parameter in self.open().into_iter().filter(numeric) {
            if !parameter.required && texts {
                continue;
            }
            let plain =
                |at: &usize| self.free(*at) && (parameter.required || matches!(self.tokens[*at].kind, Kind::Number(_)));
            let value = |at| self.scalar(&parameter.kind, at).map(|value| (value, at));
            if let Some((value, at)) = (0..self.tokens.len()).filter(plain).find_map(value) {
                self.take(parameter, value, at, at + 1);
            }
        }
    }

    /// The span of a number and the name or unit beside it.
    fn beside(&self, parameter: &Parameter<'_>, at: usize, by_name: bool) -> Option<(usize, usize)> {
        let told = |at: usize| {
            let word = self.word(at);
            if by_name || word.is_empty() || words::is_stop(word) {
                return by_name && parameter.named_by(word);
            }
            let mut unit = false;
            rank::words(parameter.description, &mut |known| unit |= rank::stem(known) == rank::stem(word));
            unit
        };
        if told(at + 1) {
            return Some((at, at + 2));
        }
        let mut back = at.checked_sub(1).filter(|_| by_name)?;
        while back > 0 && (words::among("of is to at", self.word(back)) || self.tokens[back].is('#')) {
            back -= 1;
        }
        told(back).then_some((back, at + 1))
    }

    fn lists(&mut self) {
        for parameter in self.open() {
            let Takes::List(items) = &parameter.kind else { continue };
            let array = |(at, token): (usize, &'a Token)| match &token.kind {
                Kind::Json(value @ Value::Array(_)) if self.free(at) => Some((at, value)),
                _ => None,
            };
            if let Some((at, value)) = self.tokens.iter().enumerate().find_map(array) {
                self.take(parameter, value.clone(), at, at + 1);
                continue;
            }
            let fits = |at: &usize| {
                let token = &self.tokens[*at];
                self.free(*at)
                    && match **items {
                        Takes::Number { .. } => matches!(token.kind, Kind::Number(_)),
                        Takes::Text if parameter.role == Role::Recipient => token.word.contains('@'),
                        Takes::Text => matches!(token.kind, Kind::Quoted(..)),
                        _ => false,
                    }
            };
            let places: Vec<usize> = (0..self.tokens.len()).filter(fits).collect();
            let mut values: Vec<Value> = places.iter().filter_map(|at| self.scalar(items, *at)).collect();
            if values.is_empty() && parameter.required && **items == Takes::Text {
                let (from, to) = self.bare(parameter);
                values = self.items(items, from, to);
                self.used[from..to].fill(true);
            }
            if !values.is_empty() {
                places.into_iter().for_each(|at| self.used[at] = true);
                self.input.insert(parameter.name.to_owned(), Value::Array(values));
            }
        }
    }

    /// Gives quoted texts to texts: where they are announced by a word before them, or in order.
    fn quotes(&mut self, announced: bool, required: bool) {
        for parameter in self.open_texts() {
            let told = |word: &str| parameter.named_by(word) || parameter.role.announced_by(word);
            // Nobody quotes an address or a date without saying whose or when.
            let shy = matches!(parameter.role, Role::Recipient | Role::When);
            if required && !parameter.required || shy && !announced {
                continue;
            }
            let fits = |at: &usize| {
                let Kind::Quoted(from, to) = self.tokens[*at].kind else { return false };
                let told = told(self.word_before(*at, 1)) || told(self.word_before(*at, 2));
                self.free(*at) && parameter.takes(&self.prompt[from..to]) && (told || !announced)
            };
            if let Some(at) = (0..self.tokens.len()).find(fits) {
                let named = announced && told(self.word_before(at, 1)) && self.free(at - 1);
                let value = self.text(at, at + 1);
                self.take(parameter, Value::String(value), if named { at - 1 } else { at }, at + 1);
            }
        }
    }

    /// Adds defaults, notes what is missing, and brings the arguments into the order of the schema.
    fn finish(mut self) -> Filled {
        let mut missing = Vec::new();
        let mut input = Map::new();
        for (place, parameter) in self.entry.parameters.iter().enumerate() {
            let found = self.input.remove(parameter.name);
            match found.or_else(|| parameter.default.filter(|_| parameter.required).cloned()) {
                Some(value) => drop(input.insert(parameter.name.to_owned(), value)),
                None if parameter.required => missing.push(place),
                None => {}
            }
        }
        Filled { input, missing }
    }
}

/// Letters and digits in lower case.
fn squash(text: &str) -> String {
    text.chars().filter(|char| char.is_alphanumeric()).map(rank::lower).collect()
}

/// A number as a parameter takes it; `None` when it must be whole and is not.
fn fit(number: Number, wants_whole: bool) -> Option<Value> {
    if !wants_whole || number.is_i64() || number.is_u64() {
        return Some(Value::Number(number));
    }
    number.as_f64().and_then(whole).map(Value::from)
}

/// The last number in a text: "The sum of 17 and 25 is 42." ends with what matters.
fn last_number(text: &str) -> Option<Number> {
    let tail = &text[text.ceil_char_boundary(text.len().saturating_sub(10_000))..];
    let ends = |char: char| char.is_whitespace() || ":={}[]()\";".contains(char);
    let part = |char: char| char.is_ascii_digit() || char == '-';
    tail.rsplit(ends)
        .map(|piece| piece.trim_matches(|char| !part(char)))
        .find_map(|piece| number_of(&piece.chars().filter(|char| *char != ',').collect::<String>()))
}
