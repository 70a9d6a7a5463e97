//! Characters that people do not see and models read: hidden instructions, and text that shows in another order.

use serde_json::{Map, Value};

/// Characters of `text` that have no business there, in order, each once.
///
/// What a script or an emoji needs is let pass: joiners between letters of scripts that use them and between parts of
/// an emoji, one variation selector after a character that has variants, direction marks in text that runs from right
/// to left, the flags of England, Scotland and Wales. The same characters elsewhere, or one more of them, are found.
///
/// ```
/// # use edgewise::mcp::trust::hidden;
/// assert_eq!(hidden("Weather\u{E0069}\u{E0067}"), ['\u{E0069}', '\u{E0067}']);
/// assert_eq!(hidden("می\u{200C}خواهم 👩\u{200D}🚀 ❤\u{FE0F}"), []);
/// ```
pub fn hidden(text: &str) -> Vec<char> {
    let mut found = Vec::new();
    sift(text, |c, hidden| {
        if hidden && !found.contains(&c) {
            found.push(c);
        }
    });
    found
}

/// The text without what [`hidden`] finds; `None` when that is nothing.
pub fn visible(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut any = false;
    sift(text, |c, hidden| {
        any |= hidden;
        if !hidden {
            out.push(c);
        }
    });
    any.then_some(out)
}

/// Frees every string of the value, keys too, of what [`hidden`] finds.
pub fn free(value: &mut Value) {
    match value {
        Value::String(text) => *text = visible(text).unwrap_or_else(|| std::mem::take(text)),
        Value::Array(items) => items.iter_mut().for_each(free),
        Value::Object(fields) => {
            if fields.keys().any(|key| !hidden(key).is_empty()) {
                let mut freed = Map::new();
                for (key, field) in std::mem::take(fields) {
                    freed.insert(visible(&key).unwrap_or(key), field);
                }
                *fields = freed;
            }
            fields.values_mut().for_each(free);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Adds what [`hidden`] finds in any string of the value, keys too, to `found`.
pub fn hidden_in(value: &Value, found: &mut Vec<char>) {
    match value {
        Value::String(text) => note(text, found),
        Value::Array(items) => items.iter().for_each(|item| hidden_in(item, found)),
        Value::Object(fields) => {
            for (key, field) in fields {
                note(key, found);
                hidden_in(field, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn note(text: &str, found: &mut Vec<char>) {
    for c in hidden(text) {
        if !found.contains(&c) {
            found.push(c);
        }
    }
}

/// Frees a text of what [`hidden`] finds, and adds that to `found`.
pub fn free_text(text: &mut String, found: &mut Vec<char>) {
    note(text, found);
    if let Some(freed) = visible(text) {
        *text = freed;
    }
}

/// Shows each character, and whether it is hidden.
fn sift(text: &str, mut show: impl FnMut(char, bool)) {
    if text.is_ascii() && !text.bytes().any(is_odd_ascii) {
        text.chars().for_each(|c| show(c, false));
        return;
    }
    let from_the_right = text.chars().any(is_rtl);
    let mut before = None;
    let mut flag = 0;
    for (at, c) in text.char_indices() {
        let after = text[at + c.len_utf8()..].chars().next();
        if c == '\u{1F3F4}' {
            flag = flag_tags(&text[at + c.len_utf8()..]);
        }
        let hidden = match c {
            '\u{E0020}'..='\u{E007F}' if flag > 0 => {
                flag -= 1;
                false
            }
            '\u{200D}' => {
                let emoji = before.is_some_and(joins_emoji) && after.is_some_and(is_pictograph);
                !emoji && !before.is_some_and(uses_joiners)
            }
            '\u{200C}' => !before.is_some_and(uses_joiners),
            '\u{200B}' => !before.is_some_and(lacks_spaces),
            '\u{200E}' | '\u{200F}' | '\u{61C}' => !from_the_right,
            '\u{FE00}'..='\u{FE0F}' => !before.is_some_and(has_variants),
            '\u{E0100}'..='\u{E01EF}' => !before.is_some_and(is_ideograph),
            _ => is_never_seen(c),
        };
        show(c, hidden);
        before = Some(c);
    }
}

/// How many tag characters follow that make the black flag one of the three that there are.
fn flag_tags(rest: &str) -> usize {
    let flags = ["gbeng", "gbsct", "gbwls"];
    let tags = |name: &str| -> String {
        name.bytes().filter_map(|b| char::from_u32(0xE0000 + u32::from(b))).chain(['\u{E007F}']).collect()
    };
    if flags.iter().any(|name| rest.starts_with(&tags(name))) { 6 } else { 0 }
}

fn is_odd_ascii(b: u8) -> bool {
    b == 0x7F || (b < b' ' && !matches!(b, b'\t' | b'\n' | b'\r'))
}

/// Controls, tags, fillers, separators and switches that no description needs.
fn is_never_seen(c: char) -> bool {
    (c.is_ascii() && is_odd_ascii(c as u8))
        || matches!(c,
            '\u{80}'..='\u{9F}' | '\u{AD}' | '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180E}'
            | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFFB}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Hebrew, Arabic and their neighbours.
fn is_rtl(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8FF}' if c != '\u{61C}')
        || matches!(c, '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFE}' | '\u{10800}'..='\u{10FFF}' | '\u{1E800}'..='\u{1EFFF}')
}

/// Letters of scripts that are written with joiners: Arabic, the scripts of India, Khmer, Mongolian.
fn uses_joiners(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{DFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{18AF}' | '\u{FB50}'..='\u{FDFF}'
        | '\u{FE70}'..='\u{FEFE}' | '\u{11000}'..='\u{11FFF}')
}

/// Scripts without spaces between words, where a line may break at a space of no width.
fn lacks_spaces(c: char) -> bool {
    matches!(c, '\u{E00}'..='\u{EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}')
}

fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{A9}' | '\u{AE}' | '\u{203C}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{21FF}'
        | '\u{2300}'..='\u{23FF}' | '\u{24C2}' | '\u{25A0}'..='\u{27BF}' | '\u{2934}' | '\u{2935}'
        | '\u{2B00}'..='\u{2BFF}' | '\u{3030}' | '\u{303D}' | '\u{3297}' | '\u{3299}' | '\u{1F000}'..='\u{1FAFF}')
}

fn joins_emoji(c: char) -> bool {
    is_pictograph(c) || c == '\u{FE0F}'
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFD}')
}

/// Pictographs, digits of keycaps, ideographs, symbols of mathematics, letters of Burmese and Phags-pa.
fn has_variants(c: char) -> bool {
    is_pictograph(c)
        || is_ideograph(c)
        || matches!(c, '0'..='9' | '#' | '*' | '\u{1000}'..='\u{109F}' | '\u{2200}'..='\u{22FF}' | '\u{2A00}'..='\u{2AFF}'
            | '\u{3001}'..='\u{303F}' | '\u{A840}'..='\u{A87F}' | '\u{FF00}'..='\u{FFEF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_scripts_and_emoji_need_is_no_alarm() {
        for text in [
            "Get the weather.\n\t- for a city\r\n",
            "نمی\u{200C}خواهم",
            "کتاب\u{200C}ها را می\u{200C}خواند",
            "ക്\u{200D}",
            "क\u{94D}\u{200D}ष क\u{94D}\u{200C}ष",
            "👨\u{200D}👩\u{200D}👧\u{200D}👦 👩🏽\u{200D}🚀 🏳\u{FE0F}\u{200D}🌈 ❤\u{FE0F}\u{200D}🔥 1\u{FE0F}\u{20E3}",
            "🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F} Scotland",
            "葛\u{E0100}城市",
            "שלום\u{200F} (MCP)\u{200E}",
            "ภาษา\u{200B}ไทย",
            "naïve façade — “quotes” … 日本語",
        ] {
            assert_eq!(hidden(text), [], "{text:?}");
            assert_eq!(visible(text), None);
        }
    }

    #[test]
    fn what_hides_is_found_and_taken_out() {
        for (text, shown) in [
            ("a\u{E0041}\u{E0042}b", "ab"),
            ("🏴\u{E0041}\u{E007F}", "🏴"),
            (
                "🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}\u{E0041}",
                "🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}",
            ),
            ("de\u{200B}lete", "delete"),
            ("de\u{200D}lete", "delete"),
            ("a\u{200C}\u{200D}b", "ab"),
            ("😀\u{FE0F}\u{FE0E}\u{E0153}\u{E0154}", "😀\u{FE0F}"),
            ("می\u{200C}\u{200D}\u{200C}", "می\u{200C}"),
            ("safe\u{202E}evil", "safeevil"),
            ("x\u{2066}y\u{2069}\u{200E}", "xy"),
            ("co\u{AD}operate\u{FEFF}\u{2062}", "cooperate"),
            ("bell\u{7}\u{1B}[31m", "bell[31m"),
        ] {
            assert_eq!(visible(text).as_deref(), Some(shown), "{text:?}");
            assert_eq!(visible(shown), None);
        }
    }

    #[test]
    fn a_schema_is_freed_in_every_corner() {
        let mut schema = json!({ "properties": { "ci\u{200B}ty": { "description": "a\u{E0041}", "enum": ["\u{202E}x", "👩\u{200D}🚀"] } } });
        let mut found = Vec::new();
        hidden_in(&schema, &mut found);
        free(&mut schema);
        assert_eq!(schema, json!({ "properties": { "city": { "description": "a", "enum": ["x", "👩\u{200D}🚀"] } } }));
        assert_eq!(found, ['\u{200B}', '\u{E0041}', '\u{202E}']);
    }
}
