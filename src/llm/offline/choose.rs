//! Which tool a clause asks for.

use super::schema::{self, Kind as Takes, Parameter};
use super::text::{Kind, Token};
use super::texts;
use super::words;
use crate::llm::types::ToolDefinition;
use crate::rank::{self, Index};

/// Tools looked at closely for one clause.
const CANDIDATES: usize = 8;

/// Evidence (see [`Catalog::judge`]) from which a tool is called.
const ENOUGH: f32 = 0.55;

/// Second-best tools with at least this share of the best score make the choice unclear.
const TOO_CLOSE: f32 = 0.93;

/// Values of one choice that count as words of the tool.
const MAX_VALUES: usize = 50;

/// Words of a clause that count for the choice.
const MAX_CONTENT: usize = 40;

/// A tool, prepared for matching.
pub(super) struct Entry<'t> {
    pub(super) tool: &'t ToolDefinition,
    pub(super) parameters: Vec<Parameter<'t>>,
    /// Parts of the name in lower case.
    parts: Vec<String>,
    /// How many leading parts only name the server or topic.
    prefix: usize,
}

/// The tools at hand.
pub(super) struct Catalog<'t> {
    pub(super) entries: Vec<Entry<'t>>,
    index: Index,
}

/// What a clause asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    /// No tool.
    None,
    /// One of these; which one is unclear.
    Unclear(Vec<usize>),
    /// This tool.
    Tool(usize),
}

/// A word of the clause and the stems it may stand for.
struct Content {
    stem: String,
    also: Vec<&'static str>,
    weight: f32,
}

impl Content {
    fn is(&self, stem: &str) -> bool {
        self.stem == stem || self.also.contains(&stem)
    }
}

fn parts(name: &str) -> Vec<String> {
    let mut all = Vec::new();
    rank::parts(name, &mut |part| all.push(part.to_owned()));
    all
}

impl<'t> Catalog<'t> {
    /// Prepares tools for matching; linear in their texts.
    pub(super) fn new(tools: &'t [ToolDefinition]) -> Catalog<'t> {
        let mut index = Index::default();
        let mut entries: Vec<Entry<'t>> = Vec::with_capacity(tools.len());
        for tool in tools {
            let parameters = schema::parameters(&tool.input_schema);
            let mut details = String::new();
            for parameter in &parameters {
                words::push(&mut details, &[parameter.name, " ", parameter.description, " "]);
                if let Takes::Choice(values) = &parameter.kind {
                    for value in values.iter().take(MAX_VALUES).filter_map(|value| value.as_str()) {
                        words::push(&mut details, &[value, " "]);
                    }
                }
            }
            index.add(&[(3.0, &tool.name), (1.0, &tool.description), (0.5, &details)]);
            entries.push(Entry { tool, parameters, parts: parts(&tool.name), prefix: 0 });
        }
        let mut topics: Vec<(&str, usize)> = Vec::new();
        for entry in entries.iter().filter(|entry| entry.parts.len() > 1) {
            match topics.iter_mut().find(|(topic, _)| *topic == entry.parts[0]) {
                Some((_, count)) => *count += 1,
                None => topics.push((&entry.parts[0], 1)),
            }
        }
        let shared = |topic: &str| topics.iter().any(|(known, count)| *known == topic && *count > 1);
        let prefixes: Vec<usize> = entries
            .iter()
            .map(|entry| {
                let topic = entry.parts.len() > 1 && !words::is_generic(rank::stem(&entry.parts[0]));
                let divided = entry.tool.name.contains("__");
                usize::from(topic && (divided || shared(&entry.parts[0])))
            })
            .collect();
        for (entry, prefix) in entries.iter_mut().zip(prefixes) {
            entry.prefix = prefix;
        }
        Catalog { entries, index }
    }

    /// Chooses the tool for a clause.
    ///
    /// A name with all its parts (`get-sum`, `everything_get-sum`, `getSum`) decides at once. Otherwise BM25 over
    /// names (weight 3), descriptions (1) and parameters (0.5) proposes, and [`Catalog::judge`] decides whether the
    /// evidence is enough.
    pub(super) fn choose(&self, tokens: &[Token]) -> Choice {
        if let Some(named) = self.named(tokens) {
            return named;
        }
        let (content, asks) = content(tokens);
        let mut terms = Vec::new();
        for word in &content {
            terms.push((word.stem.clone(), word.weight));
            terms.extend(word.also.iter().map(|stem| ((*stem).to_owned(), word.weight * 0.6)));
        }
        if asks {
            // A question about things that are there wants them shown, not made.
            terms.extend(["list", "get", "search"].map(|verb| (verb.to_owned(), 0.4)));
        }
        let mut good: Vec<(f32, usize)> = Vec::new();
        for hit in self.index.search_terms(&terms, CANDIDATES) {
            let number = hit.document as usize;
            if let Some(factor) = self.judge(&self.entries[number], &content, tokens, asks) {
                // Best first; equal ones in the order of their hits.
                let score = hit.score * factor;
                let place = good.iter().position(|(known, _)| *known < score).unwrap_or(good.len());
                good.insert(place, (score, number));
            }
        }
        let Some(best) = good.first().map(|(score, _)| *score) else { return Choice::None };
        good.retain(|(score, _)| *score >= best * TOO_CLOSE);
        match good.len() {
            1 => Choice::Tool(good[0].1),
            2..=3 => Choice::Unclear(good.into_iter().map(|(_, number)| number).collect()),
            _ => Choice::None,
        }
    }

    /// Weighs a proposed tool: `None` if it is noise, else a factor for its score.
    ///
    /// Evidence is 0.6 times the share of the tool's name that the clause mentions (verbs such as `get` and the
    /// server's name not counted) plus 0.6 times the share of the clause that the tool's texts know. Without any
    /// word of the name, two known words are needed.
    fn judge(&self, entry: &Entry<'_>, content: &[Content], tokens: &[Token], asks: bool) -> Option<f32> {
        let telling = |part: &&String| !words::is_generic(rank::stem(part));
        let own = &entry.parts[entry.prefix..];
        let said = |part: &&String| content.iter().any(|word| word.is(rank::stem(part)));
        let mut important: Vec<&String> = own.iter().filter(telling).collect();
        if important.is_empty() {
            // `mail_send`, `search`: the topic or the verb is all there is.
            important = entry.parts.iter().filter(telling).collect();
        }
        if important.is_empty() {
            important = own.iter().collect();
        }
        let hits = important.iter().filter(|part| said(part)).count();
        let name = hits as f32 / important.len().max(1) as f32;

        let mut known: Vec<String> = Vec::new();
        let mut learn = |text: &str| rank::words(text, &mut |word| known.push(rank::stem(word).to_owned()));
        learn(&entry.tool.name);
        learn(&entry.tool.description);
        for parameter in &entry.parameters {
            learn(parameter.name);
            learn(parameter.description);
            if let Takes::Choice(values) = &parameter.kind {
                values.iter().take(MAX_VALUES).filter_map(|value| value.as_str()).for_each(&mut learn);
            }
        }
        let explained = |word: &&Content| known.iter().any(|stem| word.is(stem));
        let counted = content.iter().filter(explained).filter(|word| !words::is_generic(&word.stem)).count();
        let share = content.iter().filter(explained).count() as f32 / content.len().max(1) as f32;
        let topic = entry.parts[..entry.prefix].iter().any(|part| said(&part));
        let verb = agrees(entry, own, content, asks);
        if hits == 0 && !topic && counted + usize::from(verb > 1.0) < 2 {
            return None;
        }
        if name * 0.6 + share * 0.6 < ENOUGH {
            return None;
        }
        let numbers = tokens.iter().filter(|token| counts(token)).count();
        let number = |parameter: &&Parameter<'_>| parameter.required && matches!(parameter.kind, Takes::Number { .. });
        let fits = if entry.parameters.iter().filter(number).count() > numbers { 0.7 } else { 1.0 };
        let first = content.first().is_some_and(|word| own.len() == 1 && rank::stem(&own[0]) == word.stem);
        Some((1.0 + name) * fits * verb * if first { 1.5 } else { 1.0 })
    }

    /// Tools that the clause calls by a name of two parts or more, or by their full name after "use", "call", "run".
    fn named(&self, tokens: &[Token]) -> Option<Choice> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        for (at, token) in tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| token.kind == Kind::Word || matches!(token.kind, Kind::Quoted(..)))
        {
            let asked = at > 0 && words::among("use call run tool using", &tokens[at - 1].word)
                || at > 1 && words::among("use call run", &tokens[at - 2].word);
            let said = squash(&token.word);
            if said.is_empty() {
                continue;
            }
            let joined = token.word.contains(['-', '_', '.']);
            for (number, entry) in self.entries.iter().enumerate() {
                for from in 0..entry.parts.len() {
                    let whole = from == 0 || from == entry.prefix;
                    let parts = entry.parts.len() - from;
                    if entry.parts[from..].concat() == said && (parts > 1 && (joined || whole) || asked && whole) {
                        found.push((parts, number));
                        break;
                    }
                }
            }
            if !found.is_empty() {
                break;
            }
        }
        let longest = found.iter().map(|(parts, _)| *parts).max()?;
        found.retain(|(parts, _)| *parts == longest);
        Some(match found[..] {
            [(_, number)] => Choice::Tool(number),
            _ => Choice::Unclear(found.iter().take(3).map(|(_, number)| *number).collect()),
        })
    }

    /// The numbers of the tools that have most to do with a text, however little.
    pub(super) fn nearest(&self, text: &str) -> Vec<usize> {
        let mut terms = Vec::new();
        rank::words(text, &mut |word| {
            if !words::is_stop(word) && terms.len() < MAX_CONTENT {
                terms.push((rank::stem(word).to_owned(), 1.0));
            }
        });
        self.index.search_terms(&terms, CANDIDATES).into_iter().map(|hit| hit.document as usize).collect()
    }
}

impl Entry<'_> {
    /// Whether a token only says which tool is meant, so that it is no part of an argument.
    pub(super) fn means(&self, token: &Token, counting: bool) -> bool {
        if token.word.is_empty() {
            return false;
        }
        let squashed = squash(&token.word);
        if (0..self.parts.len()).any(|from| self.parts[from..].concat() == squashed) {
            return true;
        }
        let stem = rank::stem(&token.word);
        let also = words::alternatives(stem, counting);
        self.parts.iter().map(|part| rank::stem(part)).any(|part| part == stem || also.contains(&part))
    }

    /// The leading part of the name, which tells the server or the topic.
    pub(super) fn topic(&self) -> &str {
        self.parts.first().map_or("", String::as_str)
    }
}

/// How well the verbs of a clause and of a tool's name agree, as a factor.
fn agrees(entry: &Entry<'_>, own: &[String], content: &[Content], asks: bool) -> f32 {
    let verbs: Vec<&str> = own.iter().map(|part| rank::stem(part)).filter(|part| words::is_generic(part)).collect();
    let said = |verb: &str| content.iter().any(|word| word.is(verb)) || asks && words::among("list get", verb);
    let destroys =
        ["delet", "remov", "eras"].iter().any(|verb| entry.parts.iter().any(|part| rank::stem(part) == *verb));
    let speaks = asks || content.iter().any(|word| words::is_generic(&word.stem));
    match verbs.iter().any(|verb| said(verb)) {
        true => 1.4,
        // Nothing is destroyed because its name came up.
        false if destroys => 0.5,
        false if speaks && !verbs.is_empty() => 0.7,
        false => 1.0,
    }
}

/// Letters and digits only.
fn squash(name: &str) -> String {
    name.chars().filter(|char| char.is_alphanumeric()).collect()
}

/// Whether a token can be a number.
pub(super) fn counts(token: &Token) -> bool {
    matches!(token.kind, Kind::Number(_) | Kind::Reference(_)) || words::number_word(&token.word).is_some()
}

/// The words of a clause that tell what is wanted, the first one weighing most; and whether it is a question.
fn content(tokens: &[Token]) -> (Vec<Content>, bool) {
    let counting = tokens.iter().any(|token| {
        matches!(token.kind, Kind::Number(_) | Kind::Reference(_))
            || words::number_word(&token.word).is_some_and(|value| value != 1)
    });
    let mut all: Vec<Content> = Vec::new();
    let mut add = |stem: &str, also: Vec<&'static str>, position: usize| {
        if all.len() < MAX_CONTENT && !all.iter().any(|known| known.stem == stem) {
            let weight = if all.is_empty() { 1.5 } else { (1.0 - 0.06 * position as f32).max(0.3) };
            all.push(Content { stem: stem.to_owned(), also, weight });
        }
    };
    let mut asks = false;
    for (at, token) in tokens.iter().enumerate() {
        match &token.kind {
            Kind::Sign(sign) => {
                let between = at > 0 && counts(&tokens[at - 1]) && tokens.get(at + 1).is_some_and(counts);
                if let Some(stem) = words::operator(*sign).filter(|_| between) {
                    add(stem, words::alternatives(stem, true), 0);
                }
            }
            Kind::Word if at > 0 && words::Role::Prose.announced_by(&token.word) => break,
            Kind::Word => {
                asks |= words::among("what which who any my", &token.word);
                let between = at > 0 && counts(&tokens[at - 1]) && tokens.get(at + 1).is_some_and(counts);
                let article = tokens.get(at + 1).is_some_and(|next| words::among("a an", &next.word));
                let made = article && words::among("file open", &token.word);
                if between && token.word == "x" {
                    add("multipl", words::alternatives("multipl", true), 0);
                } else if made {
                    // "file a bug", "open an issue"
                    add("creat", words::alternatives("creat", counting), at);
                } else if texts::shaped(words::Role::Path, &token.word) && token.word.len() > 2 {
                    add("path", vec!["fil", "director", "document"], at);
                } else if !token.word.contains('@') && !token.word.contains("://") {
                    rank::words(&token.word, &mut |word| {
                        if !words::is_stop(word) && words::number_word(word).is_none() {
                            let stem = rank::stem(word);
                            add(stem, words::alternatives(stem, counting), at);
                        }
                    });
                }
            }
            _ => {}
        }
    }
    // "send it to bob@x.org" speaks of mail, if of anything.
    let addressed = tokens.iter().any(|token| token.word.contains('@') && !token.word.contains("://"));
    if addressed && !all.is_empty() && all.iter().all(|word| words::is_generic(&word.stem)) {
        all.push(Content { stem: "mail".into(), also: words::alternatives("mail", false), weight: 0.5 });
    }
    (all, asks && !counting)
}
