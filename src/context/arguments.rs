//! The arguments of a resource template, found in a query with what its server would complete them to.

use super::query::is_silent;
use super::template::Variable;
use crate::rank;

/// Most words of a query that a server is asked about for one variable.
const MAX_TRIES: usize = 5;

/// Most values of one variable that a query may name.
const MOST_VALUES: usize = 4;

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
    /// The query names several values of a variable, the longest first: each makes a resource of its own.
    Split {
        /// The variable.
        name: String,
        /// Its values, two or more.
        values: Vec<String>,
    },
    /// Every variable that has to have a value has one.
    Fill(Vec<(String, String)>),
    /// The query does not say what it should be.
    Nothing,
}

/// Decides about a template with those variables from what was completed so far. It asks for everything first, then for
/// what begins with a word of the query: servers show no more than a hundred values at a time. A variable that is optional is
/// left out where the query does not name it.
pub fn next(variables: &[Variable], query: &str, completed: &[Completed]) -> Next {
    let mut words = Vec::new();
    rank::words(query, &mut |word| words.push(word.to_owned()));
    let stems: Vec<&str> = words.iter().map(|word| rank::stem(word)).collect();
    let mut known: Vec<(String, String)> = Vec::new();
    for Variable { name, optional } in variables {
        let own: Vec<&Completed> = completed.iter().filter(|completed| completed.name == *name).collect();
        let ask = |value: &str| Next::Ask { name: name.clone(), value: value.to_owned(), known: known.clone() };
        let Some(all) = own.first() else { return ask("") };
        let mut values = named(own.iter().flat_map(|completed| &completed.values), &stems);
        match values.len() {
            0 => {}
            1 => {
                known.push((name.clone(), values.remove(0)));
                continue;
            }
            _ => return Next::Split { name: name.clone(), values },
        }
        if let ([only], false) = (&all.values[..], *optional) {
            known.push((name.clone(), only.clone()));
            continue;
        }
        let telling = words.iter().filter(|word| !is_silent(word)).take(MAX_TRIES);
        let untried = telling.into_iter().find(|word| !own.iter().any(|completed| completed.value == **word));
        match untried {
            Some(word) => return ask(word),
            None if *optional => {}
            None => return Next::Nothing,
        }
    }
    Next::Fill(known)
}

/// The values that a query names, those of the most words first. One whose words another one has too is not meant: who says
/// `New York` does not say `York`.
fn named<'a>(values: impl Iterator<Item = &'a String>, stems: &[&str]) -> Vec<String> {
    let mut said: Vec<(Vec<String>, &String)> = Vec::new();
    for value in values {
        if let Some(own) = said_of(value, stems) {
            said.push((own, value));
        }
    }
    // Stable: the server's order among those of as many words.
    said.sort_by_key(|(own, _)| std::cmp::Reverse(own.len()));
    let mut meant: Vec<(Vec<String>, &String)> = Vec::new();
    for (own, value) in said {
        if meant.len() < MOST_VALUES && !meant.iter().any(|(other, _)| own.iter().all(|word| other.contains(word))) {
            meant.push((own, value));
        }
    }
    meant.into_iter().map(|(_, value)| value.clone()).collect()
}

/// The words of a value as stems, if the query has them all and one of them is telling.
fn said_of(value: &str, stems: &[&str]) -> Option<Vec<String>> {
    let (mut own, mut all, mut tells) = (Vec::new(), true, false);
    rank::parts(value, &mut |word| {
        let stem = rank::stem(word);
        all &= stems.contains(&stem);
        tells |= !is_silent(word);
        own.push(stem.to_owned());
    });
    (all && tells).then_some(own)
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

    fn variables(names: &[&str]) -> Vec<Variable> {
        let variable = |name: &&str| {
            let bare = name.trim_start_matches('?');
            Variable { name: bare.to_owned(), optional: bare.len() < name.len() }
        };
        names.iter().map(variable).collect()
    }

    fn filled(values: &[(&str, &str)]) -> Next {
        Next::Fill(values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn what_the_query_names_is_taken() {
        let variables = variables(&["city", "day"]);
        let query = "Will it rain in New York on Monday?";
        assert_eq!(next(&variables, query, &[]), ask("city", "", &[]));
        let mut facts = vec![completed("city", "", &["Oslo", "York", "New York"])];
        assert_eq!(next(&variables, query, &facts), ask("day", "", &[("city", "New York")]));
        facts.push(completed("day", "", &["monday", "tuesday"]));
        assert_eq!(next(&variables, query, &facts), filled(&[("city", "New York"), ("day", "monday")]));
        assert_eq!(next(&[], query, &[]), filled(&[]));
    }

    #[test]
    fn a_long_list_is_asked_for_by_the_words_of_the_query() {
        let variables = variables(&["city"]);
        let query = "the weather in Oslo";
        let mut facts = vec![completed("city", "", &["Aachen", "Aalborg"])];
        assert_eq!(next(&variables, query, &facts), ask("city", "weather", &[]));
        facts.push(completed("city", "weather", &[]));
        assert_eq!(next(&variables, query, &facts), ask("city", "oslo", &[]));
        let mut good = facts.clone();
        good.push(completed("city", "oslo", &["Oslo"]));
        assert_eq!(next(&variables, query, &good), filled(&[("city", "Oslo")]));
        facts.push(completed("city", "oslo", &[]));
        assert_eq!(next(&variables, query, &facts), Next::Nothing, "nothing is made up");
    }

    #[test]
    fn the_only_value_needs_not_be_named() {
        let facts = [completed("branch", "", &["main"])];
        assert_eq!(next(&variables(&["branch"]), "readme", &facts), filled(&[("branch", "main")]));
    }

    #[test]
    fn several_values_that_are_named_are_several_resources() {
        let variables = variables(&["city"]);
        let facts = [completed("city", "", &["Bergen", "Oslo", "York", "New York", "Rome"])];
        let split = |query: &str| match next(&variables, query, &facts) {
            Next::Split { values, .. } => values,
            other => panic!("{other:?}"),
        };
        assert_eq!(split("Is it warmer in Oslo or in Bergen?"), ["Bergen", "Oslo"]);
        assert_eq!(split("from Oslo to New York"), ["New York", "Oslo"]);
        let many: Vec<String> = (0..9).map(|number| format!("city{number}")).collect();
        let facts = [Completed { name: "city".into(), value: String::new(), values: many.clone() }];
        let Next::Split { values, .. } = next(&variables, &many.join(" "), &facts) else { panic!("not split") };
        assert_eq!(values.len(), MOST_VALUES);
    }

    #[test]
    fn a_word_that_says_nothing_names_nothing() {
        let facts = [completed("country", "", &["is", "in", "no", "it"])];
        assert_eq!(next(&variables(&["country"]), "Is it raining in Oslo?", &facts), ask("country", "raining", &[]));
    }

    #[test]
    fn what_is_optional_is_left_out_unless_it_is_named() {
        let variables = variables(&["service", "?level"]);
        let mut facts = vec![completed("service", "", &["billing", "mail"])];
        let query = "errors of billing";
        let known = [("service", "billing")];
        assert_eq!(next(&variables, query, &facts), ask("level", "", &known));
        facts.push(completed("level", "", &["error", "info"]));
        let both = filled(&[("service", "billing"), ("level", "error")]);
        assert_eq!(next(&variables, query, &facts), both);
        facts[1] = completed("level", "", &["info"]);
        facts.push(completed("level", "errors", &[]));
        facts.push(completed("level", "billing", &[]));
        assert_eq!(next(&variables, query, &facts), filled(&known), "what it is by default, the server knows");
    }
}
