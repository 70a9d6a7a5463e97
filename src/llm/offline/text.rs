//! A prompt as tokens and clauses.

use serde_json::{Deserializer, Number, Value};

use super::words;
use crate::rank;

/// Tokens that are told apart in one prompt; what follows is taken as one last word, so that time stays bounded.
const MAX_TOKENS: usize = 2_000;

/// Clauses of one prompt; what follows stays in the last one.
const MAX_CLAUSES: usize = 32;

/// Bytes that one word or quotation may have; keeps prompts without white space or closing quotes linear.
const MAX_SPAN: usize = 100_000;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A word, name, address, date or path.
    Word,
    /// A quoted text: where its inside begins and ends.
    Quoted(usize, usize),
    /// A number, its unit included in the span.
    Number(Number),
    /// A JSON object or array.
    Json(Value),
    /// A single other character.
    Sign(char),
    /// "the result", "it": stands for what an earlier tool gave. `true` when it can mean nothing else.
    Reference(bool),
}

/// A piece of the prompt.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    /// First byte in the prompt.
    pub(super) start: usize,
    /// Byte behind the last one.
    pub(super) end: usize,
    /// What it is.
    pub(super) kind: Kind,
    /// The word in lower case, without `'s`; empty for what is no word.
    pub(super) word: String,
}

impl Token {
    fn new(start: usize, end: usize, kind: Kind) -> Token {
        Token { start, end, kind, word: String::new() }
    }

    fn word(text: &str, start: usize, end: usize) -> Token {
        let straight = |char| if char == '’' { '\'' } else { rank::lower(char) };
        let lower: String = text[start..end].chars().map(straight).collect();
        let word = lower.strip_suffix("'s").unwrap_or(&lower).to_owned();
        Token { start, end, kind: Kind::Word, word }
    }

    /// Whether it is this sign.
    pub(super) fn is(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }
}

/// Cuts a prompt into tokens.
pub(super) fn scan(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut at = 0;
    while let Some(char) = text[at..].chars().next() {
        if char.is_whitespace() {
            at += char.len_utf8();
            continue;
        }
        let token = if tokens.len() >= MAX_TOKENS {
            Token::new(at, text.len(), Kind::Word)
        } else {
            let after_number = tokens.last().is_some_and(|last| matches!(last.kind, Kind::Number(_)) && last.end == at);
            quoted(text, at, char)
                .or_else(|| json(text, at, char))
                .or_else(|| number(text, at, char, after_number))
                .or_else(|| word(text, at, char, after_number))
                .unwrap_or_else(|| Token::new(at, at + char.len_utf8(), Kind::Sign(char)))
        };
        at = token.end;
        tokens.push(token);
    }
    tokens
}

fn quoted(text: &str, at: usize, open: char) -> Option<Token> {
    let closers: &[char] = match open {
        '"' => &['"'],
        '\'' => &['\''],
        '`' => &['`'],
        '“' => &['”', '“'],
        '„' => &['“', '”'],
        '‘' => &['’'],
        '«' => &['»'],
        '»' => &['«'],
        _ => return None,
    };
    let before = text[..at].chars().next_back();
    if before.is_some_and(char::is_alphanumeric) {
        return None;
    }
    let inside = at + open.len_utf8();
    for (offset, char) in text[inside..text.floor_char_boundary(inside + MAX_SPAN)].char_indices() {
        let end = inside + offset + char.len_utf8();
        // An apostrophe inside a word closes nothing.
        let closes = closers.contains(&char) && !text[end..].chars().next().is_some_and(char::is_alphanumeric);
        if closes {
            return Some(Token::new(at, end, Kind::Quoted(inside, inside + offset)));
        }
    }
    None
}

fn json(text: &str, at: usize, open: char) -> Option<Token> {
    if !matches!(open, '{' | '[') {
        return None;
    }
    let mut values = Deserializer::from_slice(&text.as_bytes()[at..]).into_iter::<Value>();
    let value = values.next()?.ok()?;
    Some(Token::new(at, at + values.byte_offset(), Kind::Json(value)))
}

/// The text up to the next white space, without punctuation at its end.
fn chunk(text: &str, at: usize) -> &str {
    let limit = text.floor_char_boundary(at + MAX_SPAN);
    let end = text[at..limit].find(char::is_whitespace).map_or(limit, |offset| at + offset);
    words::trim_end(&text[at..end], ".,;:!?)]}>\"'”’")
}

fn number(text: &str, at: usize, first: char, after_number: bool) -> Option<Token> {
    let negative = matches!(first, '-' | '−') && !after_number;
    let from = if negative { at + first.len_utf8() } else { at };
    let bytes = text.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let fraction = bytes.get(from) == Some(&b'.') && digit(from + 1);
    if !digit(from) && !fraction {
        return None;
    }
    if negative && text[..at].chars().next_back().is_some_and(char::is_alphanumeric) {
        return None;
    }
    // Dates, times, addresses and versions are words.
    let chunk = chunk(text, from);
    let joints = |joint: char| chunk.matches(joint).count();
    if joints('-') > 1 || joints('/') > 1 || joints('.') > 1 || joints(':') > 0 && !chunk.contains(['{', '[']) {
        return None;
    }
    let mut end = digits(from);
    let mut plain = text[from..end].to_owned();
    let grouped = end - from <= 3;
    while grouped && bytes.get(end) == Some(&b',') && digits(end + 1) == end + 4 {
        plain.push_str(&text[end + 1..end + 4]);
        end += 4;
    }
    if bytes.get(end) == Some(&b'.') && digit(end + 1) {
        let fraction = digits(end + 1);
        plain.push_str(&text[end..fraction]);
        end = fraction;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign && !text[exponent..].starts_with(char::is_alphanumeric) {
            plain.push_str(&text[end..exponent]);
            end = exponent;
        }
    }
    let rest = &chunk[(end - from).min(chunk.len())..];
    let unit = rest.trim_start_matches(|char: char| char.is_alphabetic() || matches!(char, '%' | '°' | '€' | '$'));
    let unit_length = rest.len() - unit.len();
    if unit_length > 0
        && !(unit_length == 1 && rest.starts_with(['x', 'X']) && unit.starts_with(|c: char| c.is_ascii_digit()))
    {
        let ordinal = words::among("st nd rd th", &rest[..unit_length]);
        if ordinal || unit_length > 5 || unit.starts_with(|char: char| char.is_alphanumeric() || char == '_') {
            return None;
        }
        end += unit_length;
    } else if unit.starts_with(['_', '@', '#']) {
        return None;
    }
    let number = if negative { ["-", &plain].concat() } else { plain };
    number_of(&number).map(|number| Token::new(at, end, Kind::Number(number)))
}

/// The number a text spells: whole ones stay whole.
pub(super) fn number_of(text: &str) -> Option<Number> {
    // JSON's reader is in the binary anyway; the standard library's would bring its own tables.
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let digits = digits.trim_start_matches('0');
    let zero = if digits.starts_with(|char: char| char.is_ascii_digit()) { "" } else { "0" };
    let Ok(Value::Number(number)) = serde_json::from_slice([sign, zero, digits].concat().as_bytes()) else {
        return None;
    };
    match number.as_f64().filter(|_| number.is_f64()).and_then(whole) {
        Some(whole) => Some(Number::from(whole)),
        None => Some(number),
    }
}

/// The whole number that a float is, if it is one that floats hold exactly.
pub(super) fn whole(number: f64) -> Option<i64> {
    (number == number.trunc() && number.abs() < 9e15).then_some(number as i64)
}

fn word(text: &str, at: usize, first: char, after_number: bool) -> Option<Token> {
    let path = matches!(first, '/' | '~')
        && !after_number
        && text[at + 1..].starts_with(|c: char| c.is_alphanumeric() || c == '/');
    let times = after_number && matches!(first, 'x' | 'X');
    if times || !(first.is_alphanumeric() || matches!(first, '_' | '@') || path) {
        return None;
    }
    let chunk = chunk(text, at);
    let address = chunk.find("://").is_some_and(|at| at < 20)
        || chunk.starts_with("www.")
        || chunk.trim_start_matches('@').contains('@');
    let length = if address {
        chunk.len()
    } else {
        let timely = first.is_ascii_digit();
        let stops = |char: char| {
            matches!(
                char,
                '"' | ',' | ';' | '?' | '!' | '(' | ')' | '=' | '[' | ']' | '{' | '}' | '“' | '”' | '«' | '»'
            ) || char == ':' && !timely
        };
        chunk.find(stops).unwrap_or(chunk.len())
    };
    let length = length.max(first.len_utf8());
    Some(Token::word(text, at, at + length))
}

/// A part of the prompt that asks for one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Clause {
    /// First token.
    pub(super) from: usize,
    /// Token behind the last one.
    pub(super) to: usize,
    /// It began with "then" or ";" rather than with a new sentence.
    pub(super) chained: bool,
}

/// Cuts tokens into clauses: at "then", "after that", "afterwards", ";" and the ends of sentences.
pub(super) fn clauses(text: &str, tokens: &[Token]) -> Vec<Clause> {
    let mut all: Vec<Clause> = Vec::new();
    let mut from = 0;
    let mut chained = false;
    let mut at = 0;
    while at < tokens.len() {
        let next = tokens.get(at + 1);
        let gap = next.map_or("", |next| &text[tokens[at].end..next.start]);
        let token = &tokens[at];
        let link = match token.word.as_str() {
            "then" | "afterwards" => 1,
            "after" if next.is_some_and(|next| next.word == "that") => 2,
            _ => usize::from(token.is(';')),
        };
        let full_stop =
            matches!(token.kind, Kind::Sign('.' | '?' | '!' | '。' | '？')) && (next.is_none() || !gap.is_empty());
        if link > 0 {
            push(&mut all, tokens, Clause { from, to: at, chained });
            from = at + link;
            chained = true;
            at += link;
        } else if full_stop || gap.contains('\n') {
            let before = all.len();
            push(&mut all, tokens, Clause { from, to: at + 1, chained });
            from = at + 1;
            // "; . then": nothing stood between the two, the first one still holds.
            chained = chained && all.len() == before;
            at += 1;
        } else {
            at += 1;
        }
    }
    push(&mut all, tokens, Clause { from, to: tokens.len(), chained });
    if all.len() > MAX_CLAUSES {
        all[MAX_CLAUSES - 1].to = tokens.len();
        all.truncate(MAX_CLAUSES);
    }
    all
}

/// Takes connecting words and punctuation off both ends and keeps the clause if a token is left.
fn push(all: &mut Vec<Clause>, tokens: &[Token], mut clause: Clause) {
    let joint = |token: &Token| token.word == "and" || token.is(',') || token.is(':') || token.is('.');
    while clause.from < clause.to && joint(&tokens[clause.from]) {
        clause.from += 1;
    }
    while clause.from < clause.to && (tokens[clause.to - 1].word == "and" || tokens[clause.to - 1].is(',')) {
        clause.to -= 1;
    }
    if tokens[clause.from..clause.to].iter().any(|token| !matches!(token.kind, Kind::Sign(_))) {
        all.push(clause);
    }
}

/// Marks what stands for an earlier result, joining "the last result" to one token.
pub(super) fn mark_references(tokens: &[Token]) -> Vec<Token> {
    let noun = |token: &Token| {
        words::among("result results answer output outcome response reply sum total product value", &token.word)
    };
    let mut all = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let article = words::among("the that this its their", &tokens[at].word);
        let adjective = |token: &Token| words::among("last previous first above earlier", &token.word);
        let middle = usize::from(article && tokens.get(at + 1).is_some_and(adjective));
        let last = at + 1 + middle;
        // "the sum of 3 and 4" and "the answer to life" are no references.
        let open = tokens.get(last + 1).is_some_and(|next| words::among("of to for from", &next.word))
            && tokens.get(last).is_some_and(|noun| noun.word != "result" && noun.word != "output");
        if article && tokens.get(last).is_some_and(noun) && !open {
            all.push(Token::new(tokens[at].start, tokens[last].end, Kind::Reference(true)));
            at = last + 1;
            continue;
        }
        let pronoun = words::among("it that this them result results", &tokens[at].word);
        if pronoun && !tokens[at].word.is_empty() {
            all.push(Token::new(tokens[at].start, tokens[at].end, Kind::Reference(false)));
        } else {
            all.push(tokens[at].clone());
        }
        at += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> Vec<String> {
        let show = |token: &Token| match &token.kind {
            Kind::Word => ["w:", &text[token.start..token.end]].concat(),
            Kind::Quoted(from, to) => ["q:", &text[*from..*to]].concat(),
            Kind::Number(number) => ["n:", &number.to_string()].concat(),
            Kind::Json(value) => ["j:", &crate::json::text(value)].concat(),
            Kind::Sign(sign) => sign.to_string(),
            Kind::Reference(_) => "ref".into(),
        };
        scan(text).iter().map(show).collect()
    }

    #[test]
    fn numbers_are_told_from_dates_versions_and_names() {
        assert_eq!(show("17+25"), ["n:17", "+", "n:25"]);
        assert_eq!(show("17 - -2.50 -3"), ["n:17", "-", "n:-2.5", "n:-3"]);
        assert_eq!(show("5-3, 6/2 3x4"), ["n:5", "-", "n:3", ",", "n:6", "/", "n:2", "n:3", "x", "n:4"]);
        assert_eq!(
            show("1,000,000 and 1,2 (3) $4"),
            ["n:1000000", "w:and", "n:1", ",", "n:2", "(", "n:3", ")", "$", "n:4"]
        );
        assert_eq!(show("20km 50% 17°C 1e3 .5."), ["n:20", "n:50", "n:17", "n:1000", "n:0.5", "."]);
        assert_eq!(
            show("2026-07-28 12:30 1.2.3 2nd v2 1/2/2026"),
            ["w:2026-07-28", "w:12:30", "w:1.2.3", "w:2nd", "w:v2", "w:1/2/2026"]
        );
    }

    #[test]
    fn quotes_addresses_paths_and_json_stay_whole() {
        assert_eq!(show(r#"say "it's; then" 'don't stop' “ja”"#), ["w:say", "q:it's; then", "q:don't stop", "q:ja"]);
        assert_eq!(
            show("to bob@x.org, see https://x.org/a?b=c."),
            ["w:to", "w:bob@x.org", ",", "w:see", "w:https://x.org/a?b=c", "."]
        );
        assert_eq!(
            show("read /tmp/notes.txt city:Oslo n=3"),
            ["w:read", "w:/tmp/notes.txt", "w:city", ":", "w:Oslo", "w:n", "=", "n:3"]
        );
        assert_eq!(show(r#"add {"a": [1]} [2, 3] {x"#), ["w:add", r#"j:{"a":[1]}"#, "j:[2,3]", "{", "w:x"]);
        assert_eq!(show("Oslo's"), ["w:Oslo's"]);
        assert_eq!(scan("Oslo's")[0].word, "oslo");
    }

    fn cut(text: &str) -> Vec<String> {
        let tokens = scan(text);
        let show = |clause: &Clause| {
            let text = &text[tokens[clause.from].start..tokens[clause.to - 1].end];
            if clause.chained { ["> ", text].concat() } else { text.to_owned() }
        };
        clauses(text, &tokens).iter().map(show).collect()
    }

    #[test]
    fn clauses_end_at_then_semicolons_and_sentences() {
        assert_eq!(cut("What is 17 + 25? Then echo the result"), ["What is 17 + 25?", "> echo the result"]);
        assert_eq!(cut("a, and then b; c and after that d. E"), ["a", "> b", "> c", "> d.", "E"]);
        assert_eq!(cut(r#"echo "now; then." afterwards b"#), [r#"echo "now; then.""#, "> b"]);
        assert_eq!(cut("see v1.2 at x.org\nnext"), ["see v1.2 at x.org", "next"]);
        assert_eq!(cut("then ; . ?"), [""; 0]);
    }

    #[test]
    fn long_prompts_stay_bounded() {
        let text = "then x; ".repeat(5_000);
        let tokens = scan(&text);
        assert_eq!(tokens.len(), MAX_TOKENS + 1);
        let clauses = clauses(&text, &tokens);
        assert_eq!(clauses.len(), MAX_CLAUSES);
        assert_eq!(clauses[MAX_CLAUSES - 1].to, tokens.len());
    }
}
