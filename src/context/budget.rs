//! What fits: an estimate of tokens, and the fullest choice below a bound.

/// About how many tokens a text is: a quarter of its ASCII characters, and two thirds of the others, rounded up.
///
/// The sum over parts of a text is never below that of the whole.
pub fn tokens(text: &str) -> usize {
    let mut sixths = 0;
    for char in text.chars() {
        sixths += if char.is_ascii() { 3 } else { 8 };
    }
    usize::div_ceil(sixths, 12)
}

/// What stands together: a resource, with a price for naming it.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Tokens for naming it, once.
    pub head: usize,
}

/// A part of a source that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Number of its source.
    pub source: usize,
    /// Tokens that it takes.
    pub tokens: usize,
}

/// Chooses from `offers`, the best first, as many as fit into `most` tokens; what does not fit is passed over for what
/// comes later and does. Gives the places of those that were chosen.
pub fn choose(offers: &[Offer], sources: &[Source], most: usize) -> Vec<usize> {
    let mut left = most;
    let mut named = vec![false; sources.len()];
    let mut chosen = Vec::new();
    for (place, offer) in offers.iter().enumerate() {
        let Some(source) = sources.get(offer.source) else { continue };
        let head = if named[offer.source] { 0 } else { source.head };
        if let Some(rest) = left.checked_sub(head + offer.tokens) {
            left = rest;
            named[offer.source] = true;
            chosen.push(place);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_texts() {
        assert_eq!((tokens(""), tokens("abcd"), tokens("abcde"), tokens("天気予報")), (0, 1, 2, 3));
        for (one, two) in [("a", "b"), ("abc", "défg"), ("天", "x")] {
            assert!(tokens(&[one, two].concat()) <= tokens(one) + tokens(two));
        }
    }

    #[test]
    fn the_best_that_fit() {
        let sources = [Source { head: 5 }, Source { head: 1 }];
        let offers = [(0, 10), (1, 50), (0, 10), (1, 4), (0, 1)].map(|(source, tokens)| Offer { source, tokens });
        assert_eq!(choose(&offers, &sources, 30), [0, 2, 3]);
        assert_eq!(choose(&offers, &sources, 31), [0, 2, 3, 4]);
        assert_eq!(choose(&offers, &sources, 4), [] as [usize; 0]);
        assert_eq!(choose(&offers, &sources, 5), [3]);
    }
}
