//! Lexical ranking (BM25) over short and long texts: which of these documents is the query about?
//!
//! The one place that knows what a word is: tool selection, context ranking and the offline model all use it, so
//! that they agree. It needs no model, no network and no tables worth mentioning.
//!
//! # In scope
//!
//! - [`words`]: Unicode words, lower-case; `camelCase`, `snake_case`, `kebab-case` and `dotted.names` split.
//! - [`stem`]: light English stemming, so that `creates`, `created` and `creating` meet.
//! - [`Index`]: an inverted index; build once, query many times.
//!
//! # Out of scope
//!
//! - Meaning. `car` does not find `automobile`: callers add synonyms to the query, or use embeddings.
//! - Removing documents: an index is cheap enough to be built anew.
//!
//! # Example
//!
//! ```
//! use edgewise::rank::Index;
//!
//! let mut index = Index::default();
//! index.add(&[(3.0, "get_weather"), (1.0, "Current weather and forecast for a city")]);
//! index.add(&[(3.0, "sendMail"), (1.0, "Sends a mail")]);
//! let hits = index.search("forecasts for Oslo", 5);
//! assert_eq!(hits.len(), 1);
//! assert_eq!(hits[0].document, 0);
//! ```

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use serde_json::{Map, Value};

/// How soon more of the same word stops to matter; the usual value.
const K1: f32 = 1.2;

/// How much long documents are held back, from 0 (not at all) to 1; the usual value.
const B: f32 = 0.75;

/// Calls `each` with every word of `text`, in lower case and in order.
///
/// A word is a run of letters and digits. A name in camel case gives its parts and then the whole (`GitHub`:
/// `git`, `hub`, `github`), because people write it either way. Ideographs and kana stand alone, for want of
/// spaces. An English `'s` is dropped, and so are combining accents. Linear in `text.len()`.
pub fn words(text: &str, each: &mut dyn FnMut(&str)) {
    walk(text, true, each);
}

/// Calls `each` with the parts of a name, in lower case and in order: [`words`] without the wholes.
pub fn parts(name: &str, each: &mut dyn FnMut(&str)) {
    walk(name, false, each);
}

fn walk(text: &str, wholes: bool, each: &mut dyn FnMut(&str)) {
    let mut whole = String::new();
    let mut part = 0; // where in `whole` the current part of a camel-case name starts
    let mut previous = ' ';
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if matches!(char, '\u{300}'..='\u{36f}') {
            continue;
        }
        let alone = matches!(char, '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}');
        if alone || !char.is_alphanumeric() {
            flush(&mut whole, &mut part, wholes, each);
            let mut ahead = chars.clone();
            if matches!(char, '\'' | '’')
                && previous.is_alphanumeric()
                && matches!(ahead.next(), Some('s' | 'S'))
                && !ahead.next().is_some_and(char::is_alphanumeric)
            {
                chars.next();
            }
            if alone {
                whole.push(char);
                flush(&mut whole, &mut part, wholes, each);
            }
        } else {
            let humps = lower(char) != char
                && whole.len() > part
                && (lower(previous) == previous
                    || chars.clone().next().is_some_and(|next| next.is_alphabetic() && lower(next) == next));
            if humps {
                each(&whole[part..]);
                part = whole.len();
            }
            whole.push(lower(char));
        }
        previous = char;
    }
    flush(&mut whole, &mut part, wholes, each);
}

fn flush(whole: &mut String, part: &mut usize, wholes: bool, each: &mut dyn FnMut(&str)) {
    if *part > 0 && *part < whole.len() {
        each(&whole[*part..]);
    }
    if !whole.is_empty() && (wholes || *part == 0) {
        each(whole);
    }
    whole.clear();
    *part = 0;
}

/// The lower case of a letter of the Latin, Greek, Cyrillic and Armenian scripts; everything else as it is.
///
/// Other scripts have no case, or hardly anybody uses it. By rules, because the standard library's table would be
/// 12 kB of the wasm.
pub fn lower(char: char) -> char {
    let code = char as u32;
    let lower = match code {
        0x41..=0x5a | 0xc0..=0xd6 | 0xd8..=0xde | 0x391..=0x3a1 | 0x3a3..=0x3ab | 0x410..=0x42f => code + 32,
        0x400..=0x40f => code + 80,
        0x531..=0x556 => code + 48,
        0x130 => 0x69,
        0x178 => 0xff,
        0x386 => 0x3ac,
        0x388..=0x38a => code + 37,
        0x38c => 0x3cc,
        0x38e | 0x38f => code + 63,
        0x1e9e => 0xdf,
        // Capital and small letter alternate.
        0x100..=0x137
        | 0x14a..=0x177
        | 0x460..=0x481
        | 0x48a..=0x4bf
        | 0x4d0..=0x52f
        | 0x1e00..=0x1e95
        | 0x1ea0..=0x1eff => code | 1,
        0x139..=0x148 | 0x179..=0x17e => code + code % 2,
        _ => code,
    };
    char::from_u32(lower).unwrap_or(char)
}

/// Takes the commonest English endings off a lower-case word: plural, `-ed`, `-ing`, a final `e`.
///
/// The result is a key for comparing, not a word: `issues` and `issue` both give `issu`. Words with other letters
/// than `a` to `z`, and those of up to 3 letters, stay as they are.
pub fn stem(word: &str) -> &str {
    let bytes = word.as_bytes();
    if word.len() <= 3 || !bytes.iter().all(u8::is_ascii_lowercase) {
        return word;
    }
    let has_vowel = |text: &str| text.bytes().any(|byte| matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y'));
    let mut rest = word;
    if let Some(base) = rest.strip_suffix("ies").filter(|base| base.len() > 1) {
        // `queries` must meet `query`: both lose the ending.
        rest = base;
    } else if let Some(base) = rest
        .strip_suffix("es")
        .filter(|base| base.ends_with(['s', 'x', 'z', 'o']) || base.ends_with("ch") || base.ends_with("sh"))
    {
        rest = base;
    } else if let Some(base) = rest.strip_suffix('s').filter(|base| !base.ends_with(['s', 'u', 'i'])) {
        rest = base;
    }
    for ending in ["ing", "ed"] {
        if let Some(base) = rest.strip_suffix(ending).filter(|base| base.len() > 2 && has_vowel(base)) {
            let doubled = base.len() > 3 && base.as_bytes()[base.len() - 1] == base.as_bytes()[base.len() - 2];
            return if doubled && !base.ends_with(['l', 's', 'z']) { &base[..base.len() - 1] } else { base };
        }
    }
    if rest.len() > 3 { rest.strip_suffix(['e', 'y']).unwrap_or(rest) } else { rest }
}

/// A document that a query found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Number of the document: how many were added before it.
    pub document: u32,
    /// BM25 score, above 0; comparable only within one index.
    pub score: f32,
}

/// An inverted index over documents of weighted fields.
///
/// Scores are BM25 with `k1` = 1.2 and `b` = 0.75; a word in a field of weight 3 counts as three words (the simple
/// form of BM25F). Only additions, multiplications and divisions are used, so every platform computes the same
/// scores to the last bit.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// The place of each term in `postings`; JSON's map, since that is in the wasm anyway.
    terms: Map<String, Value>,
    postings: Vec<Vec<Posting>>,
    lengths: Vec<f32>,
    total_length: f32,
}

#[derive(Clone, Copy, Debug)]
struct Posting {
    document: u32,
    weight: f32,
}

impl Index {
    /// Adds a document, given as fields with their weights, and returns its number.
    ///
    /// Linear in the text, with a logarithmic look-up per word.
    pub fn add(&mut self, fields: &[(f32, &str)]) -> u32 {
        let document = self.lengths.len() as u32;
        let mut length = 0.0;
        for (weight, text) in fields {
            words(text, &mut |word| {
                length += weight;
                self.count(stem(word), document, *weight);
            });
        }
        self.lengths.push(length);
        self.total_length += length;
        document
    }

    fn count(&mut self, term: &str, document: u32, weight: f32) {
        let number = match self.terms.get(term) {
            Some(number) => place(number),
            None => {
                let number = self.postings.len();
                self.terms.insert(term.into(), Value::from(number));
                self.postings.push(Vec::new());
                number
            }
        };
        let postings = &mut self.postings[number];
        match postings.last_mut() {
            Some(last) if last.document == document => last.weight += weight,
            _ => postings.push(Posting { document, weight }),
        }
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there are no documents.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Finds the `limit` best documents for a text; see [`Index::search_terms`].
    pub fn search(&self, query: &str, limit: usize) -> Vec<Hit> {
        let mut terms = Vec::new();
        words(query, &mut |word| terms.push((stem(word).to_owned(), 1.0)));
        self.search_terms(&terms, limit)
    }

    /// Finds the `limit` best documents for stems with weights, best first.
    ///
    /// Equal scores stand in the order of adding. Documents without any of the terms are left out. Takes time in
    /// the number of postings of the terms, and 4 bytes per document of the index.
    pub fn search_terms(&self, terms: &[(String, f32)], limit: usize) -> Vec<Hit> {
        if limit == 0 || self.is_empty() {
            return Vec::new();
        }
        let mean_length = (self.total_length / self.len() as f32).max(f32::MIN_POSITIVE);
        let mut scores = vec![0.0f32; self.len()];
        for (term, weight) in terms {
            let Some(number) = self.terms.get(term.as_str()) else { continue };
            let postings = &self.postings[place(number)];
            let rarity = rarity(self.len(), postings.len()) * weight;
            for posting in postings {
                let document = posting.document as usize;
                let held_back = K1 * (1.0 - B + B * self.lengths[document] / mean_length);
                scores[document] += rarity * posting.weight * (K1 + 1.0) / (posting.weight + held_back);
            }
        }
        let mut best = BinaryHeap::with_capacity(limit.min(self.len()) + 1);
        for (document, score) in scores.into_iter().enumerate().filter(|(_, score)| *score > 0.0) {
            best.push(Worse(Hit { document: document as u32, score }));
            if best.len() > limit {
                best.pop();
            }
        }
        best.into_sorted_vec().into_iter().map(|Worse(hit)| hit).collect()
    }
}

/// The inverse document frequency: near 0 for a word that all documents have.
fn rarity(documents: usize, with_term: usize) -> f32 {
    let (all, with) = (documents as f32, with_term as f32);
    ln(1.0 + (all - with + 0.5) / (with + 0.5))
}

/// The natural logarithm of a number of at least 1, without the platform's libm, whose last bits differ.
fn ln(number: f32) -> f32 {
    // number = mantissa * 2^exponent with a mantissa from 1 to 2; ln(mantissa) = 2 artanh((m - 1) / (m + 1)).
    let bits = number.to_bits();
    let exponent = (bits >> 23) as i32 - 127;
    let mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000);
    let x = (mantissa - 1.0) / (mantissa + 1.0);
    let square = x * x;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0 + square / 9.0)));
    exponent as f32 * std::f32::consts::LN_2 + 2.0 * x * series
}

/// Orders hits so that the worst is the greatest: lowest score, then latest document.
#[derive(PartialEq)]
struct Worse(Hit);

impl Eq for Worse {}

impl PartialOrd for Worse {
    fn partial_cmp(&self, other: &Worse) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Worse {
    fn cmp(&self, other: &Worse) -> Ordering {
        other.0.score.total_cmp(&self.0.score).then(self.0.document.cmp(&other.0.document))
    }
}

fn place(number: &Value) -> usize {
    number.as_u64().unwrap_or_default() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        words(text, &mut |word| all.push(word.to_owned()));
        all
    }

    #[test]
    fn names_split_at_their_joints() {
        assert_eq!(split("get-sum_of.two"), ["get", "sum", "of", "two"]);
        assert_eq!(split("includeImage"), ["include", "image", "includeimage"]);
        assert_eq!(split("HTTPServer2Go"), ["http", "server2", "go", "httpserver2go"]);
        assert_eq!(split("What's the GitHub URL?"), ["what", "the", "git", "hub", "github", "url"]);
        assert_eq!(split("don't 3.5"), ["don", "t", "3", "5"]);
    }

    #[test]
    fn parts_leave_the_whole_out() {
        let mut all = Vec::new();
        parts("everything__getTinyImage-2x", &mut |part| all.push(part.to_owned()));
        assert_eq!(all, ["everything", "get", "tiny", "image", "2x"]);
    }

    #[test]
    fn words_of_other_scripts_are_words() {
        assert_eq!(split("Ærlig ÜBER-gang İ"), ["ærlig", "über", "gang", "i"]);
        assert_eq!(split("cafe\u{301}s 天気予報 は"), ["cafes", "天", "気", "予", "報", "は"]);
        assert_eq!(split("погода, 날씨 🌧"), ["погода", "날씨"]);
    }

    #[test]
    fn lower_case_agrees_with_the_standard_library() {
        for char in (0..0x3000).filter_map(char::from_u32) {
            let ours = lower(char);
            assert!(ours == char || Some(ours) == char.to_lowercase().next(), "{char:?} {ours:?}");
            let script =
                matches!(char, 'A'..='Z' | 'À'..='ž' | 'Ά'..='Ϋ' | 'Ѐ'..='ҿ' | 'Ա'..='Ֆ' | 'Ḁ'..='ẕ' | 'Ạ'..='ỹ');
            assert!(!script || Some(ours) == char.to_lowercase().next(), "{char:?} {ours:?}");
        }
    }

    #[test]
    fn forms_of_a_word_share_a_stem() {
        for family in [
            &["create", "creates", "created", "creating"][..],
            &["query", "queries"],
            &["run", "runs", "running"],
            &["issue", "issues"],
            &["add", "adds", "added", "adding"],
            &["compress", "compresses", "compressed"],
            &["echo", "echoes", "echoing"],
            &["box", "boxes"],
            &["log", "logs", "logging"],
            &["file", "files", "filing"],
        ] {
            for word in family {
                assert_eq!(stem(word), stem(family[0]), "{word}");
            }
        }
        for word in ["is", "gas", "this", "status", "sing", "über", "x2s", "news"] {
            assert!(stem(word).len() >= 2 && word.starts_with(stem(word)), "{word}");
        }
        assert_ne!(stem("sing"), stem("s"));
    }

    fn index(documents: &[&str]) -> Index {
        let mut index = Index::default();
        for document in documents {
            index.add(&[(1.0, document)]);
        }
        index
    }

    fn order(hits: &[Hit]) -> Vec<u32> {
        hits.iter().map(|hit| hit.document).collect()
    }

    #[test]
    fn rare_words_and_short_documents_win() {
        let index = index(&[
            "the cat sat on the mat with the other cat and a dog and a bird and a fish",
            "the cat",
            "the dog",
            "the bird",
        ]);
        assert_eq!(order(&index.search("the cats", 9)), [1, 0, 2, 3]);
        assert_eq!(order(&index.search("unheard", 9)), [0u32; 0]);
        assert_eq!(order(&index.search("cat", 1)), [1]);
        assert!(index.search("cat", 0).is_empty());
        assert!(Index::default().search("cat", 9).is_empty());
    }

    #[test]
    fn ties_keep_the_order_of_adding() {
        let index = index(&["same text", "other", "same text", "same text"]);
        assert_eq!(order(&index.search("same", 2)), [0, 2]);
        assert_eq!(order(&index.search("same", 3)), [0, 2, 3]);
    }

    #[test]
    fn a_heavier_field_wins() {
        let mut index = Index::default();
        index.add(&[(3.0, "list"), (1.0, "shows mail")]);
        index.add(&[(3.0, "mail"), (1.0, "shows list")]);
        assert_eq!(order(&index.search("mail", 2)), [1, 0]);
        assert_eq!(order(&index.search_terms(&[("list".into(), 1.0), ("mail".into(), 0.1)], 2)), [0, 1]);
    }

    #[test]
    fn the_scores_are_those_of_the_formula() {
        let index = index(&["a b b", "a c", "d"]);
        let by_hand = |tf: f64, length: f64, with: f64| {
            let idf = (1.0 + (3.0 - with + 0.5) / (with + 0.5)).ln();
            idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * length / 2.0))
        };
        for (query, document, expected) in [("b", 0, by_hand(2.0, 3.0, 1.0)), ("a", 1, by_hand(1.0, 2.0, 2.0))] {
            let hit = index.search(query, 1)[0];
            assert_eq!(hit.document, document);
            assert!((f64::from(hit.score) - expected).abs() < 1e-5, "{hit:?} {expected}");
        }
        for number in [1.0f32, 1.1, 1.999, 2.0, 3.5, 1e3, 2e8] {
            assert!((ln(number) - number.ln()).abs() < 2e-5 * number.ln().max(1.0), "{number}");
        }
    }
}
