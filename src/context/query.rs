//! A query as rankings take it: its telling words, and what it is about.

use super::embed::Vector;
use crate::rank::{self, Terms};

/// Most different stems of a query that count.
const MOST_TERMS: usize = 256;

/// Words that say nothing about what a query is about. In a small library they may be rare, and would then count for much.
const SILENT: &str = "a about again all also am an and any anybody anyone anything are around as at be because been being but by \
    can could did do does done for from get give go going got had has have he hello her here hey hi him his how i if in into is \
    it its just know last let like long look made make many may me might more most much must my need no nobody not now of off on \
    one only or other our out over own please put s shall she should so some somebody something t tell than thank thanks that \
    the their them then there these they thing this those to too up us use want was way we well were what when where which \
    while who whom whose why will with would yes yet you your";

/// A query.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Stems of its telling words, each once, with their weights; of all its words where none is telling. At most 256.
    pub terms: Vec<(String, f32)>,
    /// What it is about, where that is known.
    pub vector: Option<Vector>,
}

impl Query {
    /// Reads a query; `vector` is what it is about, all zero where that is not known.
    pub fn new(text: &str, vector: Option<Vector>) -> Query {
        let mut terms = terms(text, &|word| !is_silent(word));
        if terms.is_empty() {
            terms = self::terms(text, &|_| true);
        }
        let vector = vector.filter(|vector| vector.0.iter().any(|number| *number != 0));
        Query { terms, vector }
    }
}

/// The stems of the words that count, each once with how often it is there. Of a very long text only the stems that it begins
/// and ends with: who hands in a log asks about it before it or behind it.
fn terms(text: &str, counts: &dyn Fn(&str) -> bool) -> Vec<(String, f32)> {
    let mut terms: Vec<(String, f32)> = Vec::new();
    let mut numbers = Terms::default();
    rank::words(text, &mut |word| {
        if counts(word) {
            let stem = rank::stem(word);
            let number = numbers.add(stem) as usize;
            match terms.get_mut(number) {
                Some((_, often)) => *often += 1.0,
                None => terms.push((stem.to_owned(), 1.0)),
            }
        }
    });
    if terms.len() > MOST_TERMS {
        terms.drain(MOST_TERMS / 2..terms.len() - MOST_TERMS / 2);
    }
    terms
}

/// True for a word that says nothing about what a text is about: `the`, `please`, `how`. English, lower case.
pub fn is_silent(word: &str) -> bool {
    !word.is_empty() && SILENT.split(' ').any(|silent| silent == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_words_count() {
        let terms = |text: &str| Query::new(text, None).terms.into_iter().map(|(term, _)| term).collect::<Vec<_>>();
        assert_eq!(terms("What is the weather in Oslo?"), ["weather", "oslo"]);
        assert_eq!(terms("who are you"), ["who", "are", "you"], "better than nothing");
        assert!(terms("").is_empty());
        assert_eq!(Query::new("rain, rain and rains", None).terms, [("rain".to_owned(), 3.0)]);
        let log: String = (0..10_000).map(|number| format!("line{number} ")).collect();
        let asked = Query::new(&["Oslo? ", &log, "What is the weather?"].concat(), None).terms;
        let has = |wanted: &str| asked.iter().any(|(term, _)| term == wanted);
        assert!(asked.len() == MOST_TERMS && has("oslo") && has("weather") && !has("line5000"));
        assert!(Query::new("rain", Some(Vector(vec![0, 0]))).vector.is_none());
        assert!(is_silent("a") && is_silent("your") && !is_silent("ll") && !is_silent("") && !is_silent(" a "));
    }
}
