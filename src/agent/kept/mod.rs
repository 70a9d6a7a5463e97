//! Big results, kept under a handle: the model sees what kind of thing it is, how it begins and how it ends, reads on piece
//! by piece, and passes it to other tools by naming it.
//!
//! # In scope
//!
//! - What a handle is ([`is_handle`]), and where arguments name one ([`mentions`]); both are in the core.
//! - What is kept ([`Kept`]), what the model is told of it ([`Kept::summary`]), reading it ([`read`]), and putting it into
//!   arguments ([`expand`]). The part [`Part::Handles`](crate::platform::Part::Handles) does these.
//!
//! A handle is the hash of what it stands for, so that it never means something else, and the same result has the same
//! handle wherever it comes up: what a model has been sent stays a prefix of what it will be sent.

pub mod expand;
mod outline;
pub mod read;

use serde_json::{Value, json};

use crate::agent::catalog::{Builtin, ToolEntry};
use crate::agent::told::{tells, tells_text};
use crate::json;
use crate::llm::types::ToolDefinition;
use crate::mcp::sha256::sha256;
use crate::time::Millis;

/// How long a result is kept, if there is room.
pub const KEPT_FOR: Millis = Millis(7 * 24 * 3600 * 1000);

/// What every handle begins with.
const PREFIX: &str = "result:";

/// Hexadecimal digits of a handle: 80 bits of SHA-256.
const DIGITS: usize = 20;

/// Bytes of the beginning and of the end that the model is shown at most.
const HEAD: usize = 6000;
const TAIL: usize = 1500;

/// Whether `text` begins with a handle.
fn begins(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX).map(str::as_bytes).and_then(|rest| rest.get(..DIGITS));
    digits.is_some_and(|digits| digits.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)))
}

/// Whether the text is a handle and nothing else.
pub fn is_handle(text: &str) -> bool {
    text.len() == PREFIX.len() + DIGITS && begins(text)
}

/// A handle alone, or with `#` and a JSON Pointer behind it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (handle, pointer) = text.split_once('#').unwrap_or((text, ""));
    (is_handle(handle) && (pointer.is_empty() || pointer.starts_with('/'))).then_some((handle, pointer))
}

/// Whether a handle stands somewhere in arguments, where [`expand`] would put in what it stands for.
pub fn mentions(value: &Value) -> bool {
    match value {
        Value::String(text) => begins(text) || text.contains(expand::OPENING),
        Value::Array(items) => items.iter().any(mentions),
        Value::Object(fields) => fields.values().any(mentions),
        _ => false,
    }
}

/// Whether the text is a handle, or a part of what one stands for, and nothing else.
pub fn is_reference(text: &str) -> bool {
    reference(text).is_some()
}

/// The first handle in a text; `None` where there is none, whatever it says of results.
pub fn told_in(text: &str) -> Option<&str> {
    let places = text.match_indices(PREFIX).map(|(at, _)| at);
    let whole = |at: usize| text.get(at..at + PREFIX.len() + DIGITS).filter(|handle| is_handle(handle));
    let ends = |handle: &&str| {
        let end = handle.as_ptr() as usize - text.as_ptr() as usize + handle.len();
        !text[end..].starts_with(|next: char| next.is_ascii_alphanumeric())
    };
    places.filter_map(whole).find(ends)
}

/// The handles that stand in a text, wherever.
pub fn named(text: &str) -> Vec<&str> {
    let after = |(at, _): (usize, &str)| text.get(at..at + PREFIX.len() + DIGITS).filter(|handle| is_handle(handle));
    text.match_indices(PREFIX).filter_map(after).collect()
}

/// The text of a block that is text to a model, and may be kept apart. Images and recordings are seen, not read, and
/// binary data reach no model.
fn text_of(block: &Value) -> Option<&str> {
    match block.get("type")?.as_str()? {
        "text" => block.get("text")?.as_str(),
        "resource" => block.get("resource")?.get("text")?.as_str(),
        _ => None,
    }
}

/// About how many bytes of text the model would be sent: the texts, and the data where the texts do not tell them.
pub fn size(content: &[Value], structured: Option<&Value>) -> usize {
    let untold = structured.filter(|data| !tells(content, data));
    let texts: usize = content.iter().filter_map(text_of).map(str::len).sum();
    texts + untold.map_or(0, |data| json::text(data).len())
}

/// What a handle stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The texts, to the letter; the data as text where there were none.
    text: String,
    /// The structured content, where it says more than the text.
    structured: Option<Value>,
}

impl Kept {
    /// Takes the texts and the structured content of a result; gives what else there was in it, such as images. `None` when
    /// there is nothing to keep.
    pub fn take(content: Vec<Value>, structured: Option<Value>) -> Option<(Kept, Vec<Value>)> {
        let (texts, others): (Vec<Value>, Vec<Value>) = content.into_iter().partition(|block| text_of(block).is_some());
        let texts: Vec<&str> = texts.iter().filter_map(text_of).collect();
        let text = match &structured {
            Some(data) if texts.is_empty() => json::text(data),
            _ => texts.join("\n"),
        };
        if text.is_empty() {
            return None;
        }
        let same = |data: &Value| tree(&text).as_ref() == Some(data);
        let structured = structured.filter(|data| !same(data));
        Some((Kept { text, structured }, others))
    }

    /// What is stored, and the handle of it.
    pub fn to_record(&self) -> (String, Vec<u8>) {
        let structured = self.structured.as_ref().map(json::text).unwrap_or_default();
        let mut record = json::text(&json!({ "v": 1, "text": self.text.len() })).into_bytes();
        record.push(b'\n');
        record.extend_from_slice(self.text.as_bytes());
        record.extend_from_slice(structured.as_bytes());
        let mut handle = PREFIX.to_owned();
        for byte in &sha256(&record)[..DIGITS / 2] {
            for digit in [byte >> 4, byte & 15] {
                handle.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
            }
        }
        (handle, record)
    }

    /// Reads what was stored; `None` when it is something else.
    pub fn read(record: Vec<u8>) -> Option<Kept> {
        let line = record.iter().position(|byte| *byte == b'\n')?;
        let head: Value = serde_json::from_slice(&record[..line]).ok()?;
        let length = usize::try_from(head.get("text")?.as_u64()?).ok()?;
        let mut text = String::from_utf8(record).ok()?;
        let structured = text.get(line + 1 + length..)?;
        let structured = if structured.is_empty() { None } else { Some(json::read(structured)?) };
        text.truncate(line + 1 + length);
        text.drain(..=line);
        Some(Kept { text, structured })
    }

    /// The result as data; `None` for text that is none.
    fn value(&self) -> Option<Value> {
        self.structured.clone().or_else(|| tree(&self.text))
    }

    /// The data that the text does not tell: the model would have been sent them as well.
    fn untold(&self) -> Option<&Value> {
        self.structured.as_ref().filter(|data| !tells_text(&self.text, data))
    }

    /// What a tool gets that wants a text: the text, but the data where it only announces them.
    fn letter(&self) -> String {
        let data = self.untold().map(json::text).filter(|data| data.len() > self.text.len());
        data.unwrap_or_else(|| self.text.clone())
    }

    /// The text that lines and characters are counted in: as it is, but JSON that stands on one endless line is set out. Behind
    /// it are the data that it does not tell.
    fn view(&self) -> String {
        let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
        let endless = self.text.lines().any(|line| line.len() > 2000);
        let mut view = match if endless { tree(&self.text) } else { None } {
            Some(value) => pretty(&value),
            None => self.text.clone(),
        };
        if let Some(data) = self.untold() {
            view += &["\n", &pretty(data)].concat();
        }
        view
    }

    /// What an app gets for a handle: the members of a tool result.
    pub fn to_json(&self) -> Value {
        let mut result = json!({ "content": [{ "type": "text", "text": self.text }] });
        if let Some(value) = self.value() {
            result["structuredContent"] = value;
        }
        result
    }

    /// What the model is told instead: handle, kind, size, shape, beginning and end, in no more than `most` bytes or so.
    pub fn summary(&self, handle: &str, from: &str, most: usize) -> String {
        let value = self.value();
        let view = self.view();
        let kind = if value.is_some() { "JSON" } else { "text" };
        let bytes = self.text.len() + self.untold().map_or(0, |data| json::text(data).len() + 1);
        let size = [&bytes.to_string(), " bytes, ", &view.lines().count().to_string(), " lines"].concat();
        let mut told = [
            "The result of ",
            from,
            " is too long to be shown whole. All of it is kept under the handle ",
            handle,
            " (",
            kind,
            ", ",
            &size,
            ").\n",
        ]
        .concat();
        if let Some(value) = &value {
            let shape = outline::of(value);
            let shown = cut(&shape, most / 2);
            told += &["Shape: ", shown, if shown.len() < shape.len() { "...\n" } else { "\n" }].concat();
        }
        let head = cut(&view, (most / 2).min(HEAD));
        let tail = cut_end(&view[head.len()..], (most / 8).min(TAIL));
        let left = view[head.len()..view.len() - tail.len()].chars().count().to_string();
        told += &["It begins:\n", head, "\n[", &left, " characters left out]\nIt ends:\n", tail, "\n"].concat();
        told += "Read on with read_result: `path` chooses a part of JSON, and `lines`, `grep` or `range` what is shown. Better \
                 where another tool needs it: that one gets all of it when you give it the handle as an argument, as the \
                 string \"";
        told += &[handle, "\"; \"", handle, "#/json/pointer\" is a part of it."].concat();
        told
    }
}

/// The text as JSON, where it is an object or an array.
fn tree(text: &str) -> Option<Value> {
    let value = text.trim_start().starts_with(['{', '[']).then(|| json::read(text))?;
    value.filter(|value: &Value| value.is_object() || value.is_array())
}

/// The beginning of a text in at most that many bytes.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// The end of a text in at most that many bytes.
fn cut_end(text: &str, most: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(most))..]
}

/// The arguments of `read_result`, as JSON. Every request that offers tools has them, so they are short; what a model has to know
/// besides, it is told with the handle.
const ARGUMENTS: &str = r#"{"type":"object","properties":{"handle":{"type":"string"},"path":{"type":"string","description":"JSON Pointer"},"lines":{"type":"array","items":{"type":"integer"},"description":"[first, last]"},"grep":{"type":"string","description":"regular expression"},"range":{"type":"array","items":{"type":"integer"},"description":"[first, last] character"}},"required":["handle"]}"#;

/// Adds `read_result` to what is offered.
pub(crate) fn offer(entries: &mut Vec<ToolEntry>, definitions: &mut Vec<ToolDefinition>) {
    let entry = ToolEntry::builtin(Builtin::Read, entries);
    definitions.push(ToolDefinition {
        name: entry.wire_name.clone(),
        description: "Reads on in a result that was too long to be shown whole".into(),
        input_schema: serde_json::from_slice(ARGUMENTS.as_bytes()).unwrap_or_default(),
    });
    entries.push(entry);
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
