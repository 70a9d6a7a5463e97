//! The inverted index: which documents have the words of a query, and how much that says.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Terms, stem, words};

/// How soon more of the same word stops to matter; the usual value.
const K1: f32 = 1.2;

/// How much long documents are held back, from 0 (not at all) to 1; the usual value.
const B: f32 = 0.75;

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
/// scores to the last bit. Documents that are removed leave no trace in the scores of the others.
#[derive(Clone, Debug, Default)]
pub struct Index {
    terms: Terms,
    /// By term, in the order of documents; those of removed documents are still in there.
    postings: Vec<Vec<Posting>>,
    /// How many documents have the term, by term.
    counts: Vec<u32>,
    /// By document; below 0 for those that were removed.
    lengths: Vec<f32>,
    /// The terms of all documents, one after the other, each once per document.
    forward: Vec<u32>,
    /// Where in `forward` the terms of a document end.
    ends: Vec<u32>,
    live: usize,
    total_length: f64,
}

#[derive(Clone, Copy, Debug)]
struct Posting {
    document: u32,
    weight: f32,
}

impl Index {
    /// Adds a document, given as fields with their weights, and returns its number.
    ///
    /// Linear in the text.
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
        self.ends.push(self.forward.len() as u32);
        self.total_length += f64::from(length);
        self.live += 1;
        document
    }

    /// Adds a document by what [`Index::parts`] told of it, in this index or another, and returns its number.
    pub fn add_parts<'a>(&mut self, length: f32, terms: impl IntoIterator<Item = (&'a str, f32)>) -> u32 {
        let document = self.lengths.len() as u32;
        for (term, weight) in terms {
            self.count(term, document, weight);
        }
        self.lengths.push(length);
        self.ends.push(self.forward.len() as u32);
        self.total_length += f64::from(length);
        self.live += 1;
        document
    }

    /// The length of a document, and its terms with their weights.
    pub fn parts(&self, document: u32) -> (f32, Vec<(&str, f32)>) {
        let place = document as usize;
        let start = if place == 0 { 0 } else { self.ends[place - 1] as usize };
        let terms = self.forward[start..self.ends[place] as usize].iter().map(|term| {
            let postings = &self.postings[*term as usize];
            let found = postings.binary_search_by_key(&document, |posting| posting.document);
            (self.terms.text(*term), found.map_or(0.0, |found| postings[found].weight))
        });
        (self.lengths[place], terms.collect())
    }

    fn count(&mut self, term: &str, document: u32, weight: f32) {
        let number = self.terms.add(term);
        let place = number as usize;
        if place == self.postings.len() {
            self.postings.push(Vec::new());
            self.counts.push(0);
        }
        let postings = &mut self.postings[place];
        match postings.last_mut() {
            Some(last) if last.document == document => last.weight += weight,
            _ => {
                postings.push(Posting { document, weight });
                self.counts[place] += 1;
                self.forward.push(number);
            }
        }
    }

    /// Removes a document; again, or for a number that there is not, does nothing. Its number is not given out again
    /// before [`Index::compact`], and its memory is kept until then.
    pub fn remove(&mut self, document: u32) {
        let document = document as usize;
        let Some(length) = self.lengths.get_mut(document).filter(|length| **length >= 0.0) else { return };
        self.total_length -= f64::from(*length);
        *length = -1.0;
        self.live -= 1;
        let start = if document == 0 { 0 } else { self.ends[document - 1] as usize };
        for term in &self.forward[start..self.ends[document] as usize] {
            self.counts[*term as usize] -= 1;
        }
    }

    /// Forgets what was removed and numbers the others anew, in the order that they have. Gives the new number of each old
    /// one, `None` for what was removed. Linear in everything that the index holds.
    pub fn compact(&mut self) -> Vec<Option<u32>> {
        let mut last = 0;
        let mut number = |length: &f32| {
            let number = (*length >= 0.0).then_some(last);
            last += u32::from(number.is_some());
            number
        };
        let numbers: Vec<Option<u32>> = self.lengths.iter().map(&mut number).collect();
        let mut terms = Terms::default();
        let (mut postings, mut counts) = (Vec::new(), Vec::new());
        let mut renamed = vec![0; self.postings.len()];
        for (term, old) in self.postings.iter().enumerate().filter(|(term, _)| self.counts[*term] > 0) {
            renamed[term] = terms.add(self.terms.text(term as u32));
            let moved =
                |posting: &Posting| numbers[posting.document as usize].map(|document| Posting { document, ..*posting });
            postings.push(old.iter().filter_map(moved).collect());
            counts.push(self.counts[term]);
        }
        let (mut forward, mut ends, mut start) = (Vec::new(), Vec::new(), 0);
        for (document, end) in self.ends.iter().enumerate() {
            if numbers[document].is_some() {
                forward.extend(self.forward[start..*end as usize].iter().map(|term| renamed[*term as usize]));
                ends.push(forward.len() as u32);
            }
            start = *end as usize;
        }
        let lengths = self.lengths.iter().copied().filter(|length| *length >= 0.0).collect();
        let (live, total_length) = (self.live, self.total_length);
        *self = Index { terms, postings, counts, lengths, forward, ends, live, total_length };
        numbers
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there are no documents.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many documents were removed since the last [`Index::compact`].
    pub fn removed(&self) -> usize {
        self.lengths.len() - self.live
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
        let mean_length = ((self.total_length / self.live as f64) as f32).max(f32::MIN_POSITIVE);
        let mut scores = vec![0.0f32; self.lengths.len()];
        for (term, weight) in terms {
            let Some(number) = self.terms.find(term) else { continue };
            let rarity = rarity(self.live, self.counts[number as usize] as usize) * weight;
            for posting in &self.postings[number as usize] {
                let document = posting.document as usize;
                let held_back = K1 * (1.0 - B + B * self.lengths[document] / mean_length);
                scores[document] += rarity * posting.weight * (K1 + 1.0) / (posting.weight + held_back);
            }
        }
        let mut best = BinaryHeap::with_capacity(limit.min(self.live) + 1);
        for (document, score) in scores.into_iter().enumerate() {
            if score > 0.0 && self.lengths[document] >= 0.0 {
                best.push(Worse(Hit { document: document as u32, score }));
                if best.len() > limit {
                    best.pop();
                }
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_document_is_added_by_its_parts() {
        let texts = ["the cat sat on the cat", "rain", "cat and rain"];
        let whole = index(&texts);
        let mut parts = Index::default();
        for document in 0..3 {
            let (length, terms) = whole.parts(document);
            parts.add_parts(length, terms);
        }
        for query in ["cat", "rain", "the"] {
            assert_eq!(parts.search(query, 9), whole.search(query, 9));
        }
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

    /// Texts of words that come again and again, by a seed.
    fn texts(seed: u64, count: usize) -> Vec<String> {
        let mut state = seed;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        (0..count).map(|_| (0..1 + next(9)).map(|_| format!("w{} ", next(20))).collect()).collect()
    }

    #[test]
    fn what_was_removed_leaves_no_trace() {
        for seed in 0..50 {
            let texts = texts(seed, 40);
            let mut grown = Index::default();
            for text in &texts {
                grown.add(&[(1.0, text)]);
            }
            let kept: Vec<usize> = (0..40).filter(|number| !(number * 7 + seed as usize).is_multiple_of(3)).collect();
            for number in (0..40).filter(|number| !kept.contains(number)) {
                grown.remove(number as u32);
                grown.remove(number as u32);
            }
            grown.remove(999);
            let fresh = index(&kept.iter().map(|number| texts[*number].as_str()).collect::<Vec<_>>());
            assert_eq!((grown.len(), grown.removed()), (kept.len(), 40 - kept.len()));
            let query = "w1 w2 w3 w19";
            let expected = fresh.search(query, 99);
            let renumbered: Vec<Hit> = grown.search(query, 99);
            let renumbered: Vec<Hit> = renumbered
                .into_iter()
                .map(|hit| Hit {
                    document: kept.iter().position(|kept| *kept == hit.document as usize).unwrap() as u32,
                    ..hit
                })
                .collect();
            assert_eq!(renumbered, expected, "seed {seed}");
            let numbers = grown.compact();
            assert_eq!(numbers.iter().flatten().count(), kept.len());
            assert_eq!(numbers[kept[1]], Some(1));
            assert_eq!((grown.search(query, 99), grown.removed()), (expected, 0), "seed {seed}");
            // It goes on as if nothing had been.
            grown.remove(0);
            grown.add(&[(1.0, "w1 new")]);
            let hits = grown.search("new", 9);
            assert_eq!(order(&hits), [kept.len() as u32]);
        }
    }
}
