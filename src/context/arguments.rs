//! The arguments of a resource template, found in a query with what its server would complete them to.

use super::query::is_silent;
use crate::rank;

/// Most words of a query that a server is asked about for one variable.
const MAX_TRIES: usize = 5;

/// What a server completed, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    /// The variable.
    pub name: String,
    /// What was there to be completed.
    pub value: String,
    /// What it may be completed to.
    pub values: Vec<String>,
}

/// What is to be done about a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the server what this variable may be, with what is known of those before it.
    Ask {
        /// The variable.
        name: String,
        /// What is there to be completed.
        value: String,
        /// The variables before it with their values.
        known: Vec<(String, String)>,
    },
    /// Every variable has a value.
    Fill(Vec<(String, String)>),
    /// The query does not say what it should be.
    Nothing,
}

/// Decides about a template with those variables from what was completed so far. It asks for everything first, then for
/// what begins with a word of the query: servers show no more than a hundred values at a time.
pub fn next(variables: &[String], query: &str, completed: &[Completed]) -> Next {
    let mut words = Vec::new();
    rank::words(query, &mut |word| words.push(word.to_owned()));
    let stems: Vec<&str> = words.iter().map(|word| rank::stem(word)).collect();
    let mut known: Vec<(String, String)> = Vec::new();
    for name in variables {
        let own: Vec<&Completed> = completed.iter().filter(|completed| completed.name == *name).collect();
        let ask = |value: &str| Next::Ask { name: name.clone(), value: value.to_owned(), known: known.clone() };
        let Some(all) = own.first() else { return ask("") };
        let best = own.iter().flat_map(|completed| &completed.values).map(|value| (said(value, &stems), value));
        let best = best.fold(None, |best: Option<(usize, &String)>, new| match best {
            Some(best) if best.0 >= new.0 => Some(best),
            _ => Some(new),
        });
        if let Some((1.., value)) = best {
            known.push((name.clone(), value.clone()));
            continue;
        }
        if let [only] = &all.values[..] {
            known.push((name.clone(), only.clone()));
            continue;
        }
        let telling = words.iter().filter(|word| !is_silent(word)).take(MAX_TRIES);
        let untried = telling.into_iter().find(|word| !own.iter().any(|completed| completed.value == **word));
        return untried.map_or(Next::Nothing, |word| ask(word));
    }
    Next::Fill(known)
}

/// How many words a value has, if the query has them all; else 0.
fn said(value: &str, stems: &[&str]) -> usize {
    let (mut count, mut all) = (0, true);
    rank::parts(value, &mut |word| {
        count += 1;
        all &= stems.contains(&rank::stem(word));
    });
    if all { count } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(name: &str, value: &str, values: &[&str]) -> Completed {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Completed { name: name.to_owned(), value: value.to_owned(), values }
    }

    fn ask(name: &str, value: &str, known: &[(&str, &str)]) -> Next {
        let known = known.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Next::Ask { name: name.to_owned(), value: value.to_owned(), known }
    }

    #[test]
    fn what_the_query_names_is_taken() {
        let variables = ["city".to_owned(), "day".to_owned()];
        let query = "Will it rain in New York on Monday?";
        assert_eq!(next(&variables, query, &[]), ask("city", "", &[]));
        let mut facts = vec![completed("city", "", &["Oslo", "York", "New York"])];
        assert_eq!(next(&variables, query, &facts), ask("day", "", &[("city", "New York")]));
        facts.push(completed("day", "", &["monday", "tuesday"]));
        let filled = [("city", "New York"), ("day", "monday")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(next(&variables, query, &facts), Next::Fill(filled.to_vec()));
        assert_eq!(next(&[], query, &[]), Next::Fill(vec![]));
    }

    #[test]
    fn a_long_list_is_asked_for_by_the_words_of_the_query() {
        let variables = ["city".to_owned()];
        let query = "the weather in Oslo";
        let mut facts = vec![completed("city", "", &["Aachen", "Aalborg"])];
        assert_eq!(next(&variables, query, &facts), ask("city", "weather", &[]));
        facts.push(completed("city", "weather", &[]));
        assert_eq!(next(&variables, query, &facts), ask("city", "oslo", &[]));
        let mut good = facts.clone();
        good.push(completed("city", "oslo", &["Oslo"]));
        assert_eq!(next(&variables, query, &good), Next::Fill(vec![("city".into(), "Oslo".into())]));
        facts.push(completed("city", "oslo", &[]));
        assert_eq!(next(&variables, query, &facts), Next::Nothing, "nothing is made up");
    }

    #[test]
    fn the_only_value_needs_not_be_named() {
        let facts = [completed("branch", "", &["main"])];
        assert_eq!(next(&["branch".to_owned()], "readme", &facts), Next::Fill(vec![("branch".into(), "main".into())]));
    }
}
