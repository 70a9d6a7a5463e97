//! Small helpers to write JSON text and to take values out of a tree.

use serde_json::Value;

/// Appends `text` as a JSON string. Runs without escapes are copied whole, for they are most of any text.
pub(super) fn string(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "\\u00",
            _ => continue,
        };
        out.push_str(&text[from..at]);
        out.push_str(escape);
        if escape.len() > 2 {
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
        from = at + 1;
    }
    out.push_str(&text[from..]);
    out.push('"');
}

/// Appends `,"name":` (without the comma right after an opening brace) and the text as a JSON string.
pub(super) fn field(out: &mut String, name: &str, text: &str) {
    key(out, name);
    string(out, text);
}

/// Appends `,"name":`, without the comma right after an opening brace.
pub(super) fn key(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
}

/// Appends a comma unless this is the first item after an opening bracket, or of all.
pub(super) fn comma(out: &mut String) {
    if !out.is_empty() && !out.ends_with('[') {
        out.push(',');
    }
}

/// Moves the string out of the field; `None` when it is absent, empty, or no string.
pub(super) fn take(value: &mut Value, key: &str) -> Option<String> {
    match value.get_mut(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(std::mem::take(text)),
        _ => None,
    }
}

/// A count that may be written as `12` or `12.0`; zero when absent.
pub(super) fn count(value: &Value, key: &str) -> u64 {
    let Some(number) = value.get(key) else { return 0 };
    number.as_u64().unwrap_or_else(|| number.as_f64().map_or(0, |float| float as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_written_as_serde_reads_them() {
        let all: String = (0..0x300_u32).filter_map(char::from_u32).chain("😀 \u{2028}".chars()).collect();
        for text in ["", "plain", "a\"b\\c\nd\re\tf", &all] {
            let mut out = String::new();
            string(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text, "{out}");
        }
    }

    #[test]
    fn counts_may_be_floats_and_never_fail() {
        let value = serde_json::json!({ "a": 3, "b": 3.0, "c": -1, "d": "3", "e": 1e300 });
        let read = ["a", "b", "c", "d", "f"].map(|key| count(&value, key));
        assert_eq!(read, [3, 3, 0, 0, 0]);
        assert_eq!(count(&value, "e"), u64::MAX);
    }
}
