//! A query as rankings take it: its telling words, and what it is about.

use super::embed::Vector;
use crate::rank;

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
    /// Stems of its telling words with their weights; of all its words where none is telling.
    pub terms: Vec<(String, f32)>,
    /// What it is about, where that is known.
    pub vector: Option<Vector>,
}

impl Query {
    /// Reads a query; `vector` is what it is about.
    pub fn new(text: &str, vector: Option<Vector>) -> Query {
        let mut terms = Vec::new();
        rank::words(text, &mut |word| {
            if !is_silent(word) {
                terms.push((rank::stem(word).to_owned(), 1.0));
            }
        });
        if terms.is_empty() {
            rank::words(text, &mut |word| terms.push((rank::stem(word).to_owned(), 1.0)));
        }
        Query { terms, vector }
    }
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
        assert!(is_silent("a") && is_silent("your") && !is_silent("ll") && !is_silent("") && !is_silent(" a "));
    }
}
