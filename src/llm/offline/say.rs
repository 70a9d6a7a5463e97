//! Words for the person: results, questions, and what there is to ask for.

use serde_json::Value;

use super::choose::{Catalog, Entry};
use super::schema::{Kind as Takes, Parameter};
use super::words::push;

/// Characters of one result that are shown.
const MAX_RESULT: usize = 2_000;

/// Lines that one JSON result is shown as.
const MAX_LINES: usize = 40;

/// Tools that are named at most.
const MAX_TOOLS: usize = 8;

/// Values of a choice that are named at most.
const MAX_VALUES: usize = 12;

/// What the first answer of a conversation ends with.
pub(super) const NOTE: &str = "(I am Edgewise's offline keyword matcher, not a language model: I only match your words \
    to tools. For real answers, connect a model by setting its provider to `anthropic` or `openai`, with its id and \
    your key.)";

/// The content of a tool result in words: texts as they are, JSON as `key: value` lines, the rest by name.
///
/// Shows at most 2,000 characters and says how many were left out.
pub(super) fn result(content: &[Value]) -> String {
    let mut all = plain(content, true);
    if all.trim().is_empty() {
        return "done, without any output.".to_owned();
    }
    if let Some((at, _)) = all.char_indices().nth(MAX_RESULT) {
        let left_out = all[at..].chars().count();
        all.truncate(at);
        push(&mut all, &[" … (", &left_out.to_string(), " more characters are not shown here)"]);
    }
    all
}

/// The content of a tool result as text; `tidy` shows JSON as lines, else it stays as it came.
pub(super) fn plain(content: &[Value], tidy: bool) -> String {
    let mut all = String::new();
    for block in content {
        let field = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or("");
        if !all.is_empty() {
            all.push('\n');
        }
        match field("type") {
            "text" => text(field("text"), tidy, &mut all),
            "resource_link" => {
                let name = if field("title").is_empty() { field("name") } else { field("title") };
                push(&mut all, &[name, " (", field("uri"), ")"]);
            }
            "resource" => {
                let inner = |name: &str| block["resource"].get(name).and_then(Value::as_str).unwrap_or("");
                match inner("text") {
                    "" => push(&mut all, &["[resource ", inner("uri"), " ", inner("mimeType"), "]"]),
                    content => text(content, tidy, &mut all),
                }
            }
            kind => {
                let kind = if kind.is_empty() { "content of unknown type" } else { kind };
                all.extend(["[", kind, " ", field("mimeType")]);
                all.truncate(all.trim_end().len());
                all.push(']');
            }
        }
    }
    all
}

fn text(text: &str, tidy: bool, all: &mut String) {
    let trimmed = text.trim();
    let json = if tidy && trimmed.starts_with(['{', '[']) {
        serde_json::from_slice::<Value>(trimmed.as_bytes()).ok()
    } else {
        None
    };
    if let Some(value) = json {
        let mut lines = 0;
        flatten(&value, &mut String::new(), &mut lines, all);
        if lines > MAX_LINES {
            push(all, &["\n… (", &(lines - MAX_LINES).to_string(), " more lines are not shown here)"]);
        }
        return;
    }
    all.push_str(trimmed);
}

fn flatten(value: &Value, path: &mut String, lines: &mut usize, all: &mut String) {
    let inner: Option<Vec<(String, &Value)>> = match value {
        Value::Object(map) => Some(map.iter().map(|(name, value)| (name.clone(), value)).collect()),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            Some(items.iter().enumerate().map(|(at, value)| ((at + 1).to_string(), value)).collect())
        }
        _ => None,
    };
    if let Some(inner) = inner.filter(|inner| !inner.is_empty()) {
        for (name, value) in inner {
            let length = path.len();
            if length > 0 {
                path.push('.');
            }
            path.push_str(&name);
            flatten(value, path, lines, all);
            path.truncate(length);
        }
        return;
    }
    *lines += 1;
    if *lines > MAX_LINES {
        return;
    }
    if *lines > 1 {
        all.push('\n');
    }
    if !path.is_empty() {
        push(all, &[path.as_str(), ": "]);
    }
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            all.push_str(&items.join(", "));
        }
        other => all.push_str(&scalar(other)),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => crate::json::text(other),
    }
}

/// Asks for the parameters that nothing was found for.
pub(super) fn missing(entry: &Entry<'_>, missing: &[usize]) -> String {
    let mut all = ["To call `", &entry.tool.name, "` I still need "].concat();
    let wanted: Vec<&Parameter<'_>> = missing.iter().filter_map(|place| entry.parameters.get(*place)).collect();
    for (at, parameter) in wanted.iter().enumerate() {
        all.push_str(match at {
            0 => "",
            _ if at + 1 == wanted.len() => " and ",
            _ => ", ",
        });
        push(&mut all, &["`", parameter.name, "`"]);
        let description = first_sentence(parameter.description);
        let values = match &parameter.kind {
            Takes::Choice(values) => {
                let named: Vec<String> = values.iter().take(MAX_VALUES).map(|value| scalar(value)).collect();
                let more = if values.len() > MAX_VALUES { ", …" } else { "" };
                ["one of ", &named.join(", "), more].concat()
            }
            _ => String::new(),
        };
        let joint = if description.is_empty() || values.is_empty() { "" } else { ": " };
        if !description.is_empty() || !values.is_empty() {
            push(&mut all, &[" (", &description, joint, &values, ")"]);
        }
    }
    all.push_str(if wanted.len() == 1 { ". What should it be?" } else { ". What should they be?" });
    all
}

/// Asks which of a few tools is meant.
pub(super) fn unclear(catalog: &Catalog<'_>, tools: &[usize]) -> String {
    let mut all = String::from("I am not sure which tool you mean:\n");
    list(catalog, tools, &mut all);
    all.push_str("Which one?");
    all
}

/// Says which tools there are: those given first, then one of each topic in turn, 8 at most.
pub(super) fn tools(catalog: &Catalog<'_>, first: &[usize]) -> String {
    let entries = &catalog.entries;
    if entries.is_empty() {
        return "No tools are connected yet. Add an MCP server and I can use its tools.".to_owned();
    }
    let mut chosen: Vec<usize> = first.to_vec();
    chosen.truncate(MAX_TOOLS);
    let mut round = 0;
    while chosen.len() < MAX_TOOLS.min(entries.len()) {
        // The nth tool of each topic, topic by topic, so that no server hides the others.
        let mut seen: Vec<(&str, usize)> = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            let place = match seen.iter_mut().find(|(topic, _)| *topic == entry.topic()) {
                Some((_, place)) => {
                    *place += 1;
                    *place
                }
                None => {
                    seen.push((entry.topic(), 0));
                    0
                }
            };
            if place == round && !chosen.contains(&number) && chosen.len() < MAX_TOOLS {
                chosen.push(number);
            }
        }
        round += 1;
    }
    let chosen: Vec<usize> = (0..entries.len()).filter(|number| chosen.contains(number)).collect();
    let mut all = String::from("I can use these tools:\n");
    list(catalog, &chosen, &mut all);
    let more = entries.len() - chosen.len();
    if more > 0 {
        push(&mut all, &["… and ", &more.to_string(), " more.\n"]);
    }
    all.push_str("Ask for one in your own words or by its name.");
    all
}

fn list(catalog: &Catalog<'_>, tools: &[usize], all: &mut String) {
    for entry in tools.iter().filter_map(|number| catalog.entries.get(*number)) {
        push(all, &["- `", &entry.tool.name, "`"]);
        let description = first_sentence(&entry.tool.description);
        if !description.is_empty() {
            push(all, &[": ", &description]);
        }
        all.push('\n');
    }
}

/// The first sentence or line, 100 characters at most.
fn first_sentence(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or("");
    let sentence = line.split_once(". ").map_or(line, |(sentence, _)| sentence).trim_end_matches('.');
    match sentence.char_indices().nth(100) {
        Some((at, _)) => [sentence[..at].trim_end(), "…"].concat(),
        None => sentence.to_owned(),
    }
}
