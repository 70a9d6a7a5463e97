//! Joins the second half of an answer to the first: what a model repeats of it is not shown twice.
//!
//! A model that goes on with an answer of its own begins where it broke off, with the last words, or from the start.
//! White space is not compared: models and chat templates trim it.

use serde::{Deserialize, Serialize};

/// Fewest characters (white space apart) that count as a repetition when they are less than what the model was told to
/// repeat. Shorter ones happen by chance.
const LEAST: usize = 12;

/// How far back the repetition may begin, in characters without white space, unless it begins at the very start.
const REACH: usize = 300;

/// Most characters of an answer that a model is told to begin with.
const ANCHOR: usize = 60;

/// The last words of what was shown, for the model to repeat.
pub(crate) fn anchor(shown: &str) -> &str {
    let shown = shown.trim_end();
    let Some((from, _)) = shown.char_indices().rev().nth(ANCHOR - 1) else { return shown.trim_start() };
    let tail = &shown[from..];
    // From the beginning of a word, where there is one.
    tail.split_once(char::is_whitespace).map_or(tail, |(_, words)| words.trim_start())
}

/// What was shown of an answer, and what came of its second half as long as it may still be a repetition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seam {
    shown: String,
    held: String,
    /// The wire lets the model go on right behind `shown`: only the whole of it counts as repeated.
    exact: bool,
    /// White space at the end of `shown` that may still be repeated; set once the seam is found.
    rest: Option<String>,
    repeated: bool,
}

/// Where what is new begins.
#[derive(Debug, PartialEq)]
enum Found {
    /// It may still be all repeated.
    Open,
    At(usize),
}

impl Seam {
    pub(crate) fn new(shown: String, exact: bool) -> Seam {
        // Of nothing but white space, that alone can be repeated.
        let rest = shown.trim().is_empty().then(|| shown.clone());
        Seam { rest, ..Seam::open_at(shown, exact) }
    }

    fn open_at(shown: String, exact: bool) -> Seam {
        Seam { shown, held: String::new(), exact, rest: None, repeated: false }
    }

    /// Something was repeated.
    pub(crate) fn repeated(&self) -> bool {
        self.repeated
    }

    /// Takes the next piece; gives what of all that came is new.
    pub(crate) fn feed(&mut self, piece: &str) -> String {
        if self.rest.is_none() {
            self.held.push_str(piece);
            let Found::At(at) = self.find(false) else { return String::new() };
            return self.open(at);
        }
        self.trim(piece)
    }

    /// No more will come: gives what is new of what was held.
    pub(crate) fn end(&mut self) -> String {
        if self.rest.is_some() || self.held.is_empty() {
            return String::new();
        }
        match self.find(true) {
            Found::At(at) => self.open(at),
            Found::Open => String::new(),
        }
    }

    fn open(&mut self, at: usize) -> String {
        let held = std::mem::take(&mut self.held);
        self.repeated = at > 0;
        let blank = if at > 0 { &self.shown[self.shown.trim_end().len()..] } else { "" };
        self.rest = Some(blank.to_owned());
        self.trim(&held[at..])
    }

    /// Takes off the white space that was shown already.
    fn trim(&mut self, piece: &str) -> String {
        let Some(rest) = &mut self.rest else { return piece.to_owned() };
        let mut new = piece.chars();
        while let Some(blank) = rest.chars().next() {
            match new.clone().next() {
                Some(next) if next == blank => {
                    new.next();
                    rest.remove(0);
                }
                Some(_) => rest.clear(),
                None => break,
            }
        }
        new.as_str().to_owned()
    }

    fn find(&self, ended: bool) -> Found {
        let solid =
            |text: &str| -> Vec<(usize, char)> { text.char_indices().filter(|(_, c)| !c.is_whitespace()).collect() };
        let (shown, held) = (solid(&self.shown), solid(&self.held));
        if held.is_empty() {
            // White space alone says nothing yet.
            return if ended { Found::At(0) } else { Found::Open };
        }
        let anchored = solid(anchor(&self.shown)).len();
        for start in 0..shown.len() {
            let tail = &shown[start..];
            let from_start = start == 0;
            let word = from_start || shown[start - 1].0 + shown[start - 1].1.len_utf8() < shown[start].0;
            if !from_start && (self.exact || !word || tail.len() > REACH.max(anchored)) {
                continue;
            }
            let counts = if self.exact { tail.len() >= LEAST } else { tail.len() >= LEAST.min(anchored) };
            if !counts || tail.iter().zip(&held).any(|((_, said), (_, new))| said != new) {
                continue;
            }
            if held.len() >= tail.len() {
                let (at, last) = held[tail.len() - 1];
                return Found::At(at + last.len_utf8());
            }
            // It is on the way to repeat this much.
            if !ended {
                return Found::Open;
            }
            if held.len() >= LEAST {
                return Found::At(self.held.len());
            }
        }
        Found::At(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the text whole, byte by byte and cut at every place; the same comes out.
    fn joined(shown: &str, more: &str, exact: bool) -> String {
        let run = |pieces: &[&str]| {
            let mut seam = Seam::new(shown.to_owned(), exact);
            let mut out: String = pieces.iter().map(|piece| seam.feed(piece)).collect();
            out += &seam.end();
            out
        };
        let whole = run(&[more]);
        for (at, _) in more.char_indices() {
            let (one, two) = more.split_at(at);
            assert_eq!(run(&[one, two]), whole, "{shown:?} + {one:?} + {two:?}");
        }
        let characters: Vec<String> = more.chars().map(String::from).collect();
        assert_eq!(run(&characters.iter().map(String::as_str).collect::<Vec<_>>()), whole);
        [shown, &whole].concat()
    }

    #[test]
    fn every_way_to_go_on_gives_the_same_text_wherever_it_was_cut() {
        let text =
            "Oslo: it will rain tonight,\n\nabout 4 mm until 23:00. \u{1f642} Take an umbrella; it is 11 degrees.";
        for (at, _) in text.char_indices().skip(1) {
            let (shown, rest) = text.split_at(at);
            let told = anchor(shown);
            for exact in [true, false] {
                if exact {
                    assert_eq!(joined(shown, rest, exact), text);
                }
                if !exact || shown.chars().filter(|c| !c.is_whitespace()).count() >= LEAST {
                    assert_eq!(joined(shown, text, exact), text, "from the start");
                }
            }
            // What the model was told to repeat, as it stands in the text.
            let begin = shown.trim_end().len() - told.len();
            assert_eq!(joined(shown, &text[begin..], false), text, "from {told:?}");
            assert_eq!(joined(shown, &["\n", &text[begin..]].concat(), false).trim_start(), text);
        }
    }

    #[test]
    fn what_only_looks_alike_is_kept() {
        // Chance: a digit, a short word.
        assert_eq!(
            joined("There are more than a few lights: 1", "1 of them", true),
            "There are more than a few lights: 11 of them"
        );
        assert_eq!(joined("I said that this is the", " the end", false), "I said that this is the the end");
        // A model that does not do as told says something else.
        assert_eq!(joined("It will rain in Oslo", " tonight.", false), "It will rain in Oslo tonight.");
        assert_eq!(joined("ha ha", "ha ha ha", true), "ha haha ha ha");
        assert_eq!(joined("", "all", false), "all");
        assert_eq!(joined("\n ", "\n all", false), "\n all");
    }

    #[test]
    fn a_repetition_that_ends_early_shows_nothing_twice() {
        let shown = "It will rain in Oslo tonight, and tomorrow";
        assert_eq!(joined(shown, "It will rain in Oslo", false), shown);
        assert_eq!(joined(shown, shown, false), shown);
        assert_eq!(joined(shown, "It will", false), [shown, "It will"].concat());
    }

    #[test]
    fn the_anchor_is_short_and_begins_with_a_word() {
        assert_eq!(anchor("  short \n"), "short");
        let long = "word ".repeat(100);
        assert!(anchor(&long).len() <= ANCHOR && anchor(&long).starts_with("word"));
        assert_eq!(anchor(&"x".repeat(100)).len(), ANCHOR);
    }
}
