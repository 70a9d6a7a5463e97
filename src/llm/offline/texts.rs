//! Texts without quotes: by their shape, by the word that announces them, or what is left of the clause.

use serde_json::Value;

use super::choose::counts;
use super::fill::Filler;
use super::schema::Parameter;
use super::text::Kind;
use super::words::{self, Role};

/// Whether a lower-case word looks like a value of a role.
pub(super) fn shaped(role: Role, word: &str) -> bool {
    match role {
        Role::Recipient => word.len() > 2 && word.contains('@'),
        Role::Link => word.contains("://") || word.starts_with("www.") || word.starts_with("data:"),
        Role::Path => {
            let name = word.rsplit('/').next().unwrap_or("");
            let ending = name.rsplit_once('.').is_some_and(|(stem, ending)| {
                !stem.is_empty() && (1..=5).contains(&ending.len()) && ending.starts_with(char::is_alphabetic)
            });
            !word.contains("://") && !word.contains('@') && (word.contains('/') || ending)
        }
        Role::When => {
            let digits = word.starts_with(|char: char| char.is_ascii_digit());
            digits && word.contains(['-', ':', '/', '.']) || words::among("today tomorrow tonight yesterday", word)
        }
        _ => false,
    }
}

fn is_sign(kind: &Kind) -> bool {
    matches!(kind, Kind::Sign(_))
}

impl Filler<'_> {
    /// Texts that show by their form what they are: addresses, links, paths, dates.
    pub(super) fn shapes(&mut self) {
        for parameter in self.open_texts() {
            let fits =
                |at: usize| self.free(at) && shaped(parameter.role, self.word(at)) && parameter.takes(self.word(at));
            let Some(at) = (0..self.tokens.len()).find(|at| fits(*at)) else { continue };
            // A date may be followed by a time; both belong together, unless the format says otherwise.
            let timed = parameter.role == Role::When && parameter.format.is_empty() && fits(at + 1);
            let to = at + 1 + usize::from(timed);
            let announced = |at: usize| parameter.role.announced_by(self.word(at)) || parameter.named_by(self.word(at));
            let from = if at > 0 && self.free(at - 1) && announced(at - 1) { at - 1 } else { at };
            let value = self.text(at, to);
            if parameter.takes(&value) {
                self.take(parameter, Value::String(value), from, to);
            }
        }
    }

    /// Texts behind a word that announces them: the parameter's own name, or one like "in", "about", "saying".
    pub(super) fn announced(&mut self) {
        let open = self.open_texts();
        let prose = |parameter: &&&Parameter<'_>| parameter.role == Role::Prose;
        // Prose runs to the end of the clause, so it is cut off first.
        for parameter in open.iter().filter(prose).chain(open.iter().filter(|parameter| !prose(parameter))) {
            let cue = |at: &usize| {
                let own = parameter.named_by(self.word(*at)) && !self.entry.means(&self.tokens[*at], false);
                self.free(*at) && self.free(*at + 1) && (own || parameter.role.announced_by(self.word(*at)))
            };
            let Some(at) = (1..self.tokens.len()).find(cue) else { continue };
            let end = self.tokens.len();
            let mut from = at + 1;
            while from < end && (is_sign(&self.tokens[from].kind) || self.word(from) == "is") {
                from += 1;
            }
            let mut to = (from..end).find(|at| !self.free(*at)).unwrap_or(end);
            // The next parameter's announcement ends this text; prose is ended only by a recipient at its end.
            let ends = |at: &usize| {
                let word = self.word(*at);
                at + 1 < to
                    && open.iter().any(|other| {
                        let waits = other.name != parameter.name && !self.input.contains_key(other.name);
                        waits
                            && match parameter.role {
                                Role::Prose => {
                                    other.required && other.role == Role::Recipient && word == "to" && to - at <= 4
                                }
                                _ => other.named_by(word) || other.role.announced_by(word),
                            }
                    })
            };
            to = (from + 1..to).find(ends).unwrap_or(to);
            let (from, to) = self.trim(parameter, from, to);
            let value = if from < to { self.text(from, to) } else { String::new() };
            if parameter.takes(&value) && !value.is_empty() {
                self.take(parameter, Value::String(value), at, to);
            }
        }
    }

    /// The rest of the clause for the text that waits for it.
    ///
    /// That is the first required text; of a tool that requires nothing and got nothing, the first text that one
    /// would ask for in words.
    pub(super) fn rest(&mut self) {
        let open = self.open_texts();
        let idle = self.input.is_empty() && !self.entry.parameters.iter().any(|parameter| parameter.required);
        let waits = |parameter: &&&Parameter<'_>| {
            let asked = matches!(parameter.role, Role::Query | Role::Prose | Role::Title | Role::Place);
            parameter.default.is_none() && (parameter.required || idle && asked)
        };
        let Some(parameter) = open.iter().find(waits) else { return };
        let (from, to) = self.bare(parameter);
        let value = if from < to { self.text(from, to) } else { String::new() };
        if parameter.takes(&value) && !value.is_empty() {
            self.take(parameter, Value::String(value), from, to);
        }
    }

    /// The first run of free tokens that is no mere mention of the tool.
    pub(super) fn bare(&self, parameter: &Parameter<'_>) -> (usize, usize) {
        let end = self.tokens.len();
        let counting = self.tokens.iter().any(counts);
        let means = |at: usize| self.entry.means(&self.tokens[at], counting);
        let idle = |at: usize| words::is_stop(self.word(at)) || is_sign(&self.tokens[at].kind) || !self.free(at);
        let mut from = 0;
        if parameter.role == Role::Prose {
            // "please echo back: it is what it is": only what leads up to the verb goes, the text stays whole.
            let verb = (0..end).find(|at| !idle(*at)).filter(|at| means(*at));
            from = verb.map_or(0, |at| at + 1);
            while from < end {
                match self.introduction(parameter, from) {
                    0 => break,
                    length => from += length,
                }
            }
        } else {
            let reference = |at: usize| matches!(self.tokens[at].kind, Kind::Reference(_));
            // "file a bug", "open an issue"
            let made = |at: usize| words::among("file open", self.word(at)) && words::among("a an", self.word(at + 1));
            while from < end && (idle(from) || means(from) || made(from)) && !reference(from) {
                from += 1;
                // Behind a colon comes the text itself, whatever it begins with.
                if self.tokens[from - 1].is(':') {
                    break;
                }
            }
        }
        while from < end && !self.free(from) {
            from += 1;
        }
        let to = (from..end).find(|at| !self.free(*at)).unwrap_or(end);
        self.trim(parameter, from, to)
    }

    /// How many tokens from here stand between the verb and a text and belong to neither: "back", "the following",
    /// "a mail", ":".
    fn introduction(&self, parameter: &Parameter<'_>, at: usize) -> usize {
        let noun = |word: &str| {
            words::among("text word words phrase sentence string following", word) || parameter.named_by(word)
        };
        let word = self.word(at);
        let sign = matches!(self.tokens[at].kind, Kind::Sign(':' | '-' | ',' | '=' | '–'));
        let filler = words::among("back out after me tool", word);
        if !self.free(at) || sign || filler || noun(word) {
            return 1;
        }
        let article = words::among("the a an", word) && self.free(at + 1);
        let named = article && (noun(self.word(at + 1)) || self.entry.means(&self.tokens[at + 1], false));
        if named { 2 } else { 0 }
    }

    /// Takes off the end of a text what does not belong to it.
    pub(super) fn trim(&self, parameter: &Parameter<'_>, from: usize, mut to: usize) -> (usize, usize) {
        let prose = parameter.role == Role::Prose;
        while to > from {
            let token = &self.tokens[to - 1];
            let word = token.word.as_str();
            let more = to > from + 1;
            let off = match &token.kind {
                Kind::Sign('.' | ',' | ';') => true,
                Kind::Sign('?' | '!') => !prose,
                // Left over where a value was taken out behind it.
                Kind::Word if to < self.tokens.len() && more => {
                    words::among("to and with in for from at on of by the", word)
                }
                _ => false,
            };
            let late =
                parameter.role == Role::Place && words::among("today tomorrow tonight now right like there be", word);
            let polite = word == "please" && more;
            let mention = !prose && more && self.entry.means(token, false);
            if !(off || late || polite || mention) {
                break;
            }
            to -= 1;
        }
        (from, to)
    }
}
