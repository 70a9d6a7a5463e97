//! Everything that is kept, as one text: to take along, and to bring back.
//!
//! ```text
//! {"edgewise":"archive","version":1,"at":1760000000000}
//! {"space":"conversations","key":"c1/000001","text":"..."}
//! {"space":"embeddings","key":"3f...","base64":"...","expires":1760000060000}
//! {"records":2,"sum":"..."}
//! ```
//!
//! The sum is over all lines before it: half a file is none. What is over is left out. Secrets are kept elsewhere and never
//! in here.

use serde_json::{Map, Value};

use crate::json;
use crate::mcp::header_value::base64;
use crate::mcp::sha256::{base64url, sha256};
use crate::platform::{Space, Write};
use crate::time::UnixMillis;

const VERSION: u64 = 1;
/// Largest archive that is read, in bytes.
const MOST: usize = 512 * 1024 * 1024;

/// Writes an archive.
#[derive(Debug)]
pub struct Archive {
    text: String,
    records: u64,
}

impl Archive {
    /// An archive of that time, with nothing in it.
    pub fn new(at: UnixMillis) -> Archive {
        let mut header = Map::new();
        header.insert("edgewise".to_owned(), "archive".into());
        header.insert("version".to_owned(), VERSION.into());
        header.insert("at".to_owned(), at.0.into());
        let mut archive = Archive { text: String::new(), records: 0 };
        archive.line(header);
        archive
    }

    fn line(&mut self, fields: Map<String, Value>) {
        self.text.push_str(&json::text(&Value::Object(fields)));
        self.text.push('\n');
    }

    /// Adds a value.
    pub fn add(&mut self, space: Space, key: &str, value: &[u8], expires: Option<UnixMillis>) {
        let mut record = Map::new();
        record.insert("space".to_owned(), space.as_str().into());
        record.insert("key".to_owned(), key.into());
        match std::str::from_utf8(value) {
            Ok(text) => record.insert("text".to_owned(), text.into()),
            Err(_) => record.insert("base64".to_owned(), base64(value).into()),
        };
        if let Some(at) = expires {
            record.insert("expires".to_owned(), at.0.into());
        }
        self.line(record);
        self.records += 1;
    }

    /// The whole text.
    pub fn finish(mut self) -> String {
        let sum = base64url(&sha256(self.text.as_bytes()));
        let mut end = Map::new();
        end.insert("records".to_owned(), self.records.into());
        end.insert("sum".to_owned(), sum.into());
        self.line(end);
        self.text
    }
}

/// What an archive puts into a store, but for what is over by now.
///
/// # Errors
///
/// Words for people, with the number of the line and without any content: it is no archive, of a newer version, damaged, or
/// not whole.
pub fn read(archive: &str, now: UnixMillis) -> Result<Vec<Write>, String> {
    if archive.len() > MOST {
        return Err("it is larger than 512 MiB".to_owned());
    }
    let mut lines = archive.split_inclusive('\n').enumerate();
    let none = || "it is no archive of this package".to_owned();
    let header = lines.next().and_then(|(_, line)| parse(line)).ok_or_else(none)?;
    if header.get("edgewise").is_none_or(|kind| kind != "archive") {
        return Err(none());
    }
    if header.get("version").and_then(Value::as_u64) != Some(VERSION) {
        return Err("it is of another version of this package".to_owned());
    }
    let (mut writes, mut records, mut place) = (Vec::new(), 0, 0);
    let mut ended = false;
    for (number, line) in lines {
        if place == 0 {
            place = archive.find('\n').map_or(0, |end| end + 1);
        }
        let damaged = || ["it is damaged in line ", &(number + 1).to_string()].concat();
        let fields = parse(line).filter(|_| !ended).ok_or_else(damaged)?;
        if let Some(sum) = fields.get("sum") {
            let whole = fields.get("records").and_then(Value::as_u64) == Some(records);
            if !whole || sum != &Value::from(base64url(&sha256(&archive.as_bytes()[..place]))) {
                return Err(damaged());
            }
            ended = true;
        } else {
            records += 1;
            let (write, expires) = record(&fields).ok_or_else(damaged)?;
            if expires.is_none_or(|at| at > now) {
                writes.push(write);
            }
        }
        place += line.len();
    }
    if ended { Ok(writes) } else { Err("it is not whole".to_owned()) }
}

fn parse(line: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(line.as_bytes()) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    }
}

/// Reads a change that waits to be stored: `{ space, key, base64, expires? }`, `{ space, key }`, `{ space, prefix }`.
pub fn read_change(value: &Value) -> Option<Write> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if text("base64").is_some() {
        return value.as_object().and_then(record).map(|(write, _)| write);
    }
    let space = Space::ALL.into_iter().find(|space| Some(space.as_str()) == text("space"))?;
    match (text("key"), text("prefix")) {
        (Some(key), _) => Some(Write::remove(space, key)),
        (None, prefix) => Some(Write::remove_prefix(space, prefix?)),
    }
}

fn record(fields: &Map<String, Value>) -> Option<(Write, Option<UnixMillis>)> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let name = text("space")?;
    let space = Space::ALL.into_iter().find(|space| space.as_str() == name)?;
    let value = match (text("text"), text("base64")) {
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(coded)) => decode(coded)?,
        _ => return None,
    };
    let expires = match fields.get("expires") {
        None => None,
        Some(at) => Some(UnixMillis(at.as_u64()?)),
    };
    Some((Write::Put { space, key: text("key")?.to_owned(), value, expires }, expires))
}

/// Reads base64 as [`base64`] writes it.
fn decode(coded: &str) -> Option<Vec<u8>> {
    if !coded.len().is_multiple_of(4) {
        return None;
    }
    let plain = coded.trim_end_matches('=');
    if coded.len() - plain.len() > 2 {
        return None;
    }
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(plain.len() / 4 * 3 + 2), 0u32, 0);
    for character in plain.bytes() {
        let six = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000);

    fn sample() -> String {
        let mut archive = Archive::new(NOW);
        archive.add(Space::Conversations, "c1/000001", "{\"a\":\"\u{2713}\\n\"}\n".as_bytes(), None);
        archive.add(Space::Embeddings, "k", &[0, 255, 7, 128], Some(UnixMillis(9_000)));
        archive.add(Space::Cache, "over", b"", Some(UnixMillis(2_000)));
        archive.finish()
    }

    #[test]
    fn what_was_written_is_read() {
        let writes = read(&sample(), UnixMillis(5_000)).unwrap();
        let put = |space, key: &str, value: &[u8], expires| Write::Put {
            space,
            key: key.to_owned(),
            value: value.to_vec(),
            expires,
        };
        let first = put(Space::Conversations, "c1/000001", "{\"a\":\"\u{2713}\\n\"}\n".as_bytes(), None);
        let second = put(Space::Embeddings, "k", &[0, 255, 7, 128], Some(UnixMillis(9_000)));
        assert_eq!(writes, [first, second]);
        assert_eq!(read(&sample(), NOW).unwrap().len(), 3);
        assert_eq!(read(&Archive::new(NOW).finish(), NOW).unwrap(), []);
    }

    #[test]
    fn bytes_of_every_length_come_back() {
        for length in 0..40u8 {
            let bytes: Vec<u8> = (0..length).map(|at| at.wrapping_mul(41) | 0x80).collect();
            assert_eq!(decode(&base64(&bytes)), Some(bytes));
        }
        for broken in ["A", "AA=A", "A===", "????", "AAA\u{e9}"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn half_an_archive_or_a_damaged_one_is_none() {
        let whole = sample();
        for end in 0..whole.len() - 1 {
            if whole.is_char_boundary(end) {
                assert!(read(&whole[..end], NOW).is_err(), "{end}");
            }
        }
        for (at, byte) in whole.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_alphanumeric()) {
            let mut damaged = whole.clone().into_bytes();
            damaged[at] = if byte == b'1' { b'2' } else { b'1' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert!(read(&damaged, NOW).is_err(), "{at}");
        }
        assert!(read(&[whole.as_str(), "{}\n"].concat(), NOW).is_err());
        assert_eq!(read("hello", NOW).unwrap_err(), "it is no archive of this package");
        let newer = whole.replacen("\"version\":1", "\"version\":2", 1);
        assert_eq!(read(&newer, NOW).unwrap_err(), "it is of another version of this package");
    }
}
