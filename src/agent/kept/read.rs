//! Reading a kept result piece by piece: `read_result`.

use serde_json::Value;

use super::{Kept, cut, outline};
use crate::json;
use crate::schema::Pattern;

/// Longest line that is shown whole, in bytes; `range` shows all of it.
const LINE: usize = 2000;

/// Most states of a search: patterns times text.
const MOST_STATES: u64 = 1_000_000_000;

/// What is read of `kept` for these arguments of a model, in at most `most` bytes or so.
///
/// # Errors
///
/// Words for the model.
pub fn read(kept: &Kept, input: &Value, most: usize) -> Result<String, String> {
    let text = match input.get("path").and_then(Value::as_str) {
        None | Some("") => kept.view(),
        Some(path) => match picked(kept, path)? {
            Value::String(text) => text,
            part => serde_json::to_string_pretty(&part).unwrap_or_default(),
        },
    };
    if let Some(pattern) = input.get("grep").and_then(Value::as_str) {
        return grep(&text, pattern, most);
    }
    if let Some(lines) = input.get("lines").filter(|lines| !lines.is_null()) {
        let (first, last) = pair(lines).ok_or("`lines` is [first, last], both whole numbers from 1")?;
        return lines_of(&text, first, last, most);
    }
    let count = text.chars().count();
    let (first, last) = match input.get("range").filter(|range| !range.is_null()) {
        Some(range) => pair(range).ok_or("`range` is [first, last], both whole numbers from 1")?,
        None if text.len() <= most => return Ok(text),
        None => (1, usize::MAX),
    };
    if first > count {
        return Err(["there are only ", &count.to_string(), " characters"].concat());
    }
    let from = text.char_indices().nth(first - 1).map_or(text.len(), |(at, _)| at);
    let to = last.checked_sub(first).and_then(|more| text[from..].char_indices().nth(more + 1));
    let wanted = to.map_or(&text[from..], |(length, _)| &text[from..from + length]);
    let shown = cut(wanted, most);
    let end = first + shown.chars().count() - 1;
    let place = ["characters ", &first.to_string(), " to ", &end.to_string(), " of ", &count.to_string()].concat();
    Ok([&place, ":\n", shown].concat())
}

/// The part of a result that a pointer names.
pub(super) fn picked(kept: &Kept, path: &str) -> Result<Value, String> {
    let value = kept.value().ok_or("this result is text, so that it has no paths; use `lines`, `grep` or `range`")?;
    if let Some(part) = value.pointer(path) {
        return Ok(part.clone());
    }
    // Where the way ends.
    let mut known = if path.starts_with('/') { path } else { "" };
    let there = loop {
        match value.pointer(known) {
            Some(there) => break there,
            None => known = &known[..known.rfind('/').unwrap_or(0)],
        }
    };
    let place = if known.is_empty() { "the whole" } else { known };
    Err(["there is nothing at ", path, "; ", place, " is ", &outline::of(there)].concat())
}

/// Two numbers from 1, as `[1, 2]` or, since models write that too, `"1-2"`.
fn pair(value: &Value) -> Option<(usize, usize)> {
    let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
    let (first, last) = match value {
        Value::Array(both) if both.len() == 2 => (number(&both[0])?, number(&both[1])?),
        Value::String(text) => {
            let (first, last) = text.split_once(['-', ','])?;
            (first.trim().parse().ok()?, last.trim().parse().ok()?)
        }
        _ => return None,
    };
    (first >= 1 && last >= first).then_some((first, last))
}

fn push_line(out: &mut String, line: &str) {
    let shown = cut(line, LINE);
    out.push_str(shown);
    if shown.len() < line.len() {
        let left = line[shown.len()..].chars().count().to_string();
        out.push_str(&[" [", &left, " more characters on this line]"].concat());
    }
    out.push('\n');
}

fn lines_of(text: &str, first: usize, last: usize, most: usize) -> Result<String, String> {
    let count = text.lines().count();
    if first > count {
        return Err(["there are only ", &count.to_string(), " lines"].concat());
    }
    let (mut out, mut end) = (String::new(), first - 1);
    for line in text.lines().skip(first - 1).take(last - first + 1) {
        if !out.is_empty() && out.len() + line.len().min(LINE) > most {
            break;
        }
        push_line(&mut out, line);
        end += 1;
    }
    let place = ["lines ", &first.to_string(), " to ", &end.to_string(), " of ", &count.to_string(), ":\n"].concat();
    Ok(place + &out)
}

/// The lines that match, each with its number. A pattern that is none is looked for as it is.
fn grep(text: &str, pattern: &str, most: usize) -> Result<String, String> {
    let (fold, pattern) = match pattern.strip_prefix("(?i)") {
        Some(pattern) => (true, pattern.to_lowercase()),
        None => (false, pattern.to_owned()),
    };
    let compiled = Pattern::new(&pattern);
    let matches = |line: &str| {
        let folded = if fold { line.to_lowercase() } else { String::new() };
        let line = if fold { &folded } else { line };
        let found = compiled.as_ref().and_then(|compiled| compiled.is_in(line));
        found.unwrap_or_else(|| line.contains(&pattern))
    };
    let cost: u64 = compiled.as_ref().map_or(0, |compiled| text.lines().map(|line| compiled.cost(line)).sum());
    if cost > MOST_STATES {
        return Err(
            "this pattern takes too long on a text of that size; take a simpler one, or choose a part by `path`".into(),
        );
    }
    let (mut out, mut shown, mut found) = (String::new(), 0, 0);
    for (at, line) in text.lines().enumerate() {
        if !matches(line) {
            continue;
        }
        found += 1;
        if found == shown + 1 && (out.is_empty() || out.len() + line.len().min(LINE) <= most) {
            out.push_str(&(at + 1).to_string());
            out.push_str(": ");
            push_line(&mut out, line);
            shown += 1;
        }
    }
    if found == 0 {
        let count = text.lines().count().to_string();
        return Ok(["none of ", &count, " lines matches ", &json::text(&Value::from(pattern))].concat());
    }
    if shown < found {
        out.push_str(&["[", &(found - shown).to_string(), " more lines match]\n"].concat());
    }
    Ok(out)
}
