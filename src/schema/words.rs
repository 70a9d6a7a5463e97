//! Says what is wrong with a value, so that a model can do better: which is missing, unknown, or of the wrong kind.

use serde_json::{Map, Value};

use crate::options::is_near;

/// Longest quotation from a schema, in characters.
const MAX_QUOTE: usize = 120;
/// Most names or values that are listed.
const MAX_LISTED: usize = 20;

/// The text, cut.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => [&text[..end], "…"].concat(),
        None => text.to_owned(),
    }
}

/// A member's name in a path.
pub(super) fn key(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    if plain { cut(name) } else { crate::json::text(&Value::from(cut(name))) }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

/// The type, and the limits of numbers, strings and sizes.
pub(super) fn plain(fields: &Map<String, Value>, value: &Value) -> Option<String> {
    let wrong = match fields.get("type") {
        Some(Value::String(name)) => (!is_type(name, value)).then(|| article(name)),
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            (!names.is_empty() && !names.iter().any(|name| is_type(name, value))).then(|| names.join(" or "))
        }
        _ => None,
    };
    if let Some(wanted) = wrong {
        let got = match value {
            Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() != 0.0) => "a fraction",
            _ => kind(value),
        };
        return Some(["must be ", &wanted, ", not ", got].concat());
    }
    let limit = |name: &str| fields.get(name).and_then(Value::as_f64);
    let bounds = |size: f64, least: &str, most: &str, unit: &str| {
        let (least, most) = (limit(least).filter(|least| size < *least), limit(most).filter(|most| size > *most));
        let words = least.map(|least| ("at least ", least)).or(most.map(|most| ("at most ", most)));
        words.map(|(words, number)| ["must have ", words, &shown(number), unit].concat())
    };
    match value {
        Value::Number(number) => {
            let number = number.as_f64()?;
            // In draft 4 these say whether the bound itself is out.
            let open = |name: &str| fields.get(name) == Some(&Value::Bool(true));
            let least = |bound: f64| number < bound || (open("exclusiveMinimum") && number == bound);
            let most = |bound: f64| number > bound || (open("exclusiveMaximum") && number == bound);
            let said = |words: &str, bound: f64| Some(["must be ", words, " ", &shown(bound)].concat());
            if let Some(bound) = limit("minimum").filter(|bound| least(*bound)) {
                return said("at least", bound);
            }
            if let Some(bound) = limit("maximum").filter(|bound| most(*bound)) {
                return said("at most", bound);
            }
            if let Some(bound) = limit("exclusiveMinimum").filter(|bound| number <= *bound) {
                return said("more than", bound);
            }
            if let Some(bound) = limit("exclusiveMaximum").filter(|bound| number >= *bound) {
                return said("less than", bound);
            }
            limit("multipleOf").filter(|unit| !is_multiple(number, *unit)).and_then(|unit| said("a multiple of", unit))
        }
        Value::String(text) if limit("minLength").is_some() || limit("maxLength").is_some() => {
            bounds(text.chars().count() as f64, "minLength", "maxLength", " characters")
        }
        Value::Array(items) => bounds(items.len() as f64, "minItems", "maxItems", " elements"),
        Value::Object(members) => bounds(members.len() as f64, "minProperties", "maxProperties", " members"),
        _ => None,
    }
}

fn article(name: &str) -> String {
    [
        if name.starts_with(['a', 'i', 'o']) {
            "an "
        } else if name == "null" {
            ""
        } else {
            "a "
        },
        name,
    ]
    .concat()
}

fn shown(number: f64) -> String {
    let whole = number.fract() == 0.0 && number.abs() < 9.0e15;
    crate::json::text(&if whole { Value::from(number as i64) } else { Value::from(number) })
}

fn is_multiple(number: f64, unit: f64) -> bool {
    if unit <= 0.0 {
        return true;
    }
    let times = number / unit;
    if !times.is_finite() {
        return number % unit == 0.0;
    }
    (times - times.round()).abs() <= 1e-9 * times.abs().clamp(1.0, 1e6)
}

/// Members that are missing, in words.
pub(super) fn members(fields: &Map<String, Value>, members: &Map<String, Value>) -> Vec<String> {
    let known = fields.get("properties").and_then(Value::as_object);
    let mut wrong = Vec::new();
    for name in names(fields.get("required")) {
        if !members.contains_key(name) {
            let stray =
                members.keys().find(|key| known.is_some_and(|known| !known.contains_key(*key)) && near(name, key));
            wrong.push(match stray {
                Some(stray) => ["`", &cut(name), "` is missing; is it what you called `", &cut(stray), "`?"].concat(),
                None => ["`", &cut(name), "` is missing"].concat(),
            });
        }
    }
    for keyword in ["dependentRequired", "dependencies"] {
        for (name, needs) in fields.get(keyword).and_then(Value::as_object).into_iter().flatten() {
            for need in names(Some(needs)).filter(|need| members.contains_key(name) && !members.contains_key(*need)) {
                wrong.push(["`", &cut(need), "` is missing; it has to go with `", &cut(name), "`"].concat());
            }
        }
    }
    wrong
}

fn names(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// A member that there is no place for.
pub(super) fn unknown(name: &str, fields: &Map<String, Value>, members: &Map<String, Value>) -> String {
    let known = fields.get("properties").and_then(Value::as_object);
    let known: Vec<&str> = known.into_iter().flatten().map(|(known, _)| known.as_str()).collect();
    let free = known.iter().filter(|known| !members.contains_key(**known));
    let meant = nearest(name, free.copied());
    let advice = match meant {
        Some(meant) => ["; did you mean `", &cut(meant), "`?"].concat(),
        None if known.is_empty() => String::new(),
        None => ["; known are ", &listing(known.into_iter().map(|name| ["`", &cut(name), "`"].concat()))].concat(),
    };
    ["`", &cut(name), "` is unknown", &advice].concat()
}

/// A value that is none of those listed.
pub(super) fn choices(choices: &[Value], value: &Value) -> String {
    let quoted = |choice: &Value| cut(&crate::json::text(choice));
    let meant = value.as_str().and_then(|text| nearest(text, choices.iter().filter_map(Value::as_str)));
    let listed = listing(choices.iter().map(quoted));
    let words = if choices.len() == 1 { "must be " } else { "must be one of " };
    match meant {
        Some(meant) => [words, &listed, "; did you mean ", &quoted(&Value::from(meant)), "?"].concat(),
        None => [words, &listed].concat(),
    }
}

fn listing(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len() > MAX_LISTED;
    let mut listed = items.take(MAX_LISTED).collect::<Vec<_>>().join(", ");
    if more {
        listed.push_str(" and more");
    }
    listed
}

pub(crate) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    known.filter(|known| near(known, name)).min_by_key(|known| distance(known, name))
}

/// Likely the same word, misspelt.
fn near(known: &str, name: &str) -> bool {
    is_near(known, name) || distance(known, name) <= (known.chars().count().saturating_sub(1) / 2).min(2)
}

/// How many letters have to be put in, taken out, changed or swapped with their neighbour; cut for long words.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| text.to_lowercase().chars().take(40).collect::<Vec<char>>();
    let (a, b) = (fold(a), fold(b));
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_near() {
        assert_eq!(nearest("citty", ["country", "city", "date"].into_iter()), Some("city"));
        assert_eq!(nearest("user_id", ["userId", "name"].into_iter()), Some("userId"));
        assert_eq!(nearest("dtae", ["date", "rate"].into_iter()), Some("date"));
        assert_eq!(nearest("colour", ["city"].into_iter()), None);
        assert_eq!((distance("", "abc"), distance("abcd", "acbd"), distance("kitten", "sitting")), (3, 1, 3));
    }

    #[test]
    fn multiples_of_fractions() {
        assert!(is_multiple(0.0075, 0.0001) && !is_multiple(0.00751, 0.0001));
        assert!(is_multiple(12_391_239_123.0, 1e-8) && !is_multiple(1e308, 0.123_456_789));
        assert!(!is_multiple(35.0, 1.5) && is_multiple(4.5, 1.5));
    }
}
