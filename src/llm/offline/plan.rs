//! A prompt as steps: which tools to call, in which order, which at once.

use super::choose::{Catalog, Choice};
use super::fill::{Filled, fill};
use super::text::{self, Kind, Token};
use super::words::{self, Role};

/// Calls that one step may hold.
const MAX_CALLS: usize = 8;

/// One tool call of a plan.
pub(super) struct Call {
    /// Place of the tool in the catalog.
    pub(super) tool: usize,
    tokens: Vec<Token>,
    /// Where the clause begins and ends in the prompt.
    span: (usize, usize),
}

/// What a clause of the prompt came to.
pub(super) enum Part {
    /// Calls that are made at once.
    Calls(Vec<Call>),
    /// One of these tools, but which?
    Unclear(Vec<usize>),
    /// No tool; whether it was asked for as a step of its own.
    Nothing {
        /// Where the clause begins and ends in the prompt.
        span: (usize, usize),
        /// It began with "then" or ";".
        chained: bool,
    },
}

/// Plans a prompt; `earlier` says whether results of an earlier prompt are there to be referred to.
///
/// Depends on the prompt and the tools only, never on results, so that every turn of one run finds the same plan
/// and needs to know only how many steps are done.
pub(super) fn plan(prompt: &str, catalog: &Catalog<'_>, earlier: bool) -> Vec<Part> {
    let tokens = text::scan(prompt);
    let mut parts: Vec<Part> = Vec::new();
    let mut earlier = earlier;
    for clause in text::clauses(prompt, &tokens) {
        let own = &tokens[clause.from..clause.to];
        for part in split(prompt, catalog, own, clause.chained, earlier) {
            earlier |= matches!(part, Part::Calls(_));
            // A sentence without a tool of its own goes on with the text of the one before.
            if let (Part::Nothing { span, chained: false }, Some(Part::Calls(calls))) = (&part, parts.last_mut())
                && let Some(call) = calls.last_mut()
                && takes_prose(catalog, call)
            {
                call.tokens.extend(own.iter().cloned());
                call.span.1 = span.1;
                continue;
            }
            parts.push(part);
        }
    }
    parts
}

fn takes_prose(catalog: &Catalog<'_>, call: &Call) -> bool {
    let prose = catalog.entries[call.tool].parameters.iter().any(|parameter| parameter.role == Role::Prose);
    // Only where the text has begun: "echo. Hello" is two sentences, "saying hi. Bye" is one text.
    prose && call.tokens.iter().skip(1).any(|token| Role::Prose.announced_by(&token.word))
}

/// One clause as one part, or as several where "and" joins things that stand on their own.
fn split(prompt: &str, catalog: &Catalog<'_>, tokens: &[Token], chained: bool, earlier: bool) -> Vec<Part> {
    let marked = if earlier { text::mark_references(tokens) } else { tokens.to_vec() };
    let complete = |tokens: &[Token]| match catalog.choose(tokens) {
        Choice::Tool(tool) => {
            fill(prompt, tokens, &catalog.entries[tool], Some("0")).missing.is_empty().then_some(tool)
        }
        _ => None,
    };
    let mut parts = Vec::new();
    let mut calls: Vec<Call> = Vec::new();
    let mut from = 0;
    let mut at = 1;
    let mut tried = 0;
    while at + 1 < marked.len() && tried < MAX_CALLS {
        let left = &marked[from..at];
        let joint = marked[at].word == "and" || marked[at].is(',');
        // Behind "saying" everything is text.
        let prose = left.iter().skip(1).any(|token| Role::Prose.announced_by(&token.word));
        if joint && at > from && !prose {
            tried += 1;
            let also = 1 + usize::from(marked[at].is(',') && marked[at + 1].word == "and");
            // The right side may refer to what the left side gives.
            let right = text::mark_references(&marked[at + also..]);
            let leading = right.iter().find(|token| !token.word.is_empty() && !words::is_stop(&token.word));
            let opens = |tool: usize| {
                leading.is_some_and(|token| catalog.entries[tool].means(token, true))
                    || right.first().is_some_and(|token| matches!(token.kind, Kind::Number(_)))
            };
            if let (Some(tool), Some(next)) = (complete(left), whole_or_first(&right, &complete))
                && opens(next)
            {
                calls.push(call(tool, left.to_vec()));
                let refers = right.iter().any(|token| matches!(token.kind, Kind::Reference(_)));
                if refers {
                    parts.push(Part::Calls(std::mem::take(&mut calls)));
                    parts.extend(split(prompt, catalog, &tokens_of(&right, tokens), false, true));
                    return parts;
                }
                from = at + also;
                at = from;
            }
        }
        at += 1;
    }
    let last = &marked[from..];
    let span = (tokens.first().map_or(0, |token| token.start), tokens.last().map_or(0, |token| token.end));
    match catalog.choose(last) {
        Choice::Tool(tool) => calls.push(call(tool, last.to_vec())),
        Choice::Unclear(tools) => {
            if !calls.is_empty() {
                parts.push(Part::Calls(std::mem::take(&mut calls)));
            }
            parts.push(Part::Unclear(tools));
        }
        Choice::None if calls.is_empty() => parts.push(Part::Nothing { span, chained }),
        Choice::None => {}
    }
    if !calls.is_empty() {
        parts.push(Part::Calls(calls));
    }
    parts
}

/// The tool of a text, or of its piece before the next "and".
fn whole_or_first(tokens: &[Token], complete: &dyn Fn(&[Token]) -> Option<usize>) -> Option<usize> {
    complete(tokens).or_else(|| {
        let joint = tokens.iter().position(|token| token.word == "and" || token.is(','))?;
        complete(&tokens[..joint])
    })
}

/// The plain tokens under marked ones, by their place in the prompt.
fn tokens_of(marked: &[Token], plain: &[Token]) -> Vec<Token> {
    let from = marked.first().map_or(0, |token| token.start);
    plain.iter().filter(|token| token.start >= from).cloned().collect()
}

fn call(tool: usize, tokens: Vec<Token>) -> Call {
    let span = (tokens.first().map_or(0, |token| token.start), tokens.last().map_or(0, |token| token.end));
    Call { tool, tokens, span }
}

impl Call {
    /// The arguments, as far as the clause gives them.
    pub(super) fn fill(&self, prompt: &str, catalog: &Catalog<'_>, earlier: Option<&str>) -> Filled {
        fill(prompt, &self.tokens, &catalog.entries[self.tool], earlier)
    }

    /// The clause as it was written, without punctuation at its end.
    pub(super) fn label<'p>(&self, prompt: &'p str) -> &'p str {
        label(prompt, self.span)
    }
}

/// A span of the prompt without punctuation at its end.
pub(super) fn label(prompt: &str, span: (usize, usize)) -> &str {
    words::trim_end(prompt.get(span.0..span.1).unwrap_or(""), ".?!,; ")
}
