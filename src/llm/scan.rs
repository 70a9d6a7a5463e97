//! Reads the plainest of stream events without building a tree of them.
//!
//! Nearly all events of a stream are one small piece of text in a wrapping that is always the same. As a
//! [`serde_json::Value`] each costs some twenty allocations; here it costs one, for the piece. What these functions
//! do not take (`None`) is not wrong, only not plain: it goes the tolerant way. So they are strict: all that they take,
//! serde_json takes too, and reads the same in it.

use std::borrow::Cow;

/// Deepest nesting that is plain. serde_json takes 127, but recursion costs stack.
const DEPTH: u32 = 16;
/// Longest number that is plain; shorter ones never overflow.
const DIGITS: usize = 18;

/// A place in a JSON text.
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Scan<'a> {
    /// Reads `text` as one object whose every field `field` takes: it reads or skips the value that follows.
    pub(super) fn fields(text: &'a str, field: &mut dyn FnMut(&mut Scan<'a>, &'a str) -> Option<()>) -> Option<()> {
        let mut scan = Scan { text, at: 0, depth: 0 };
        scan.object(field)?;
        scan.next().is_none().then_some(())
    }

    /// The next byte that is no white space, not yet taken.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.next() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn open(&mut self, byte: u8) -> Option<()> {
        self.depth += 1;
        if self.depth > DEPTH { None } else { self.expect(byte) }
    }

    /// An object. Keys with escapes are not plain.
    pub(super) fn object(&mut self, field: &mut dyn FnMut(&mut Scan<'a>, &'a str) -> Option<()>) -> Option<()> {
        self.open(b'{')?;
        if !self.take(b'}') {
            loop {
                let (key, escaped) = self.raw()?;
                if escaped {
                    return None;
                }
                self.expect(b':')?;
                field(self, key)?;
                if !self.take(b',') {
                    break;
                }
            }
            self.expect(b'}')?;
        }
        self.depth -= 1;
        Some(())
    }

    /// An array; its items are read or skipped by `item`.
    pub(super) fn array(&mut self, item: &mut dyn FnMut(&mut Scan<'a>) -> Option<()>) -> Option<()> {
        self.open(b'[')?;
        if !self.take(b']') {
            loop {
                item(self)?;
                if !self.take(b',') {
                    break;
                }
            }
            self.expect(b']')?;
        }
        self.depth -= 1;
        Some(())
    }

    /// A string. Surrogate pairs, as JSON in ASCII has them for emoji, are not plain.
    pub(super) fn string(&mut self) -> Option<Cow<'a, str>> {
        let (raw, escaped) = self.raw()?;
        if !escaped {
            return Some(Cow::Borrowed(raw));
        }
        let mut out = String::with_capacity(raw.len());
        let mut pieces = raw.split('\\');
        out.push_str(pieces.next()?);
        while let Some(piece) = pieces.next() {
            let Some(&kind) = piece.as_bytes().first() else {
                // Two backslashes: an empty piece, and then the text up to the next escape.
                out.push('\\');
                out.push_str(pieces.next()?);
                continue;
            };
            let (char, len) = match kind {
                b'n' => ('\n', 1),
                b'r' => ('\r', 1),
                b't' => ('\t', 1),
                b'"' | b'/' => (char::from(kind), 1),
                b'u' => {
                    let digits = piece.get(1..5)?;
                    // `from_str_radix` would take a sign.
                    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                        return None;
                    }
                    (char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, 5)
                }
                _ => return None,
            };
            out.push(char);
            out.push_str(&piece[len..]);
        }
        Some(Cow::Owned(out))
    }

    /// A string, or `null`, which reads as the empty one.
    pub(super) fn string_or_null(&mut self) -> Option<Cow<'a, str>> {
        if self.next()? == b'"' { self.string() } else { self.null().map(|()| Cow::Borrowed("")) }
    }

    /// What stands between two quotes, and whether it has escapes.
    fn raw(&mut self) -> Option<(&'a str, bool)> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            self.at += rest.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'))?;
            match self.text.as_bytes()[self.at] {
                b'"' => break,
                // The byte after it ends nothing. If it begins a longer character, `string` refuses the escape.
                b'\\' => self.at += 2,
                _ => return None,
            }
            escaped = true;
        }
        let raw = self.text.get(start..self.at)?;
        self.at += 1;
        Some((raw, escaped))
    }

    /// `null`.
    pub(super) fn null(&mut self) -> Option<()> {
        self.word("null")
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.next()?;
        let found = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        found.then_some(())
    }

    /// A whole number, not negative.
    pub(super) fn count(&mut self) -> Option<u64> {
        let digits = self.number()?;
        digits.parse().ok()
    }

    /// A number without exponent.
    fn number(&mut self) -> Option<&'a str> {
        self.next()?;
        let start = self.at;
        self.at += usize::from(self.text[start..].starts_with('-'));
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        if self.text[self.at..].starts_with('.') {
            self.at += 1;
            self.digits()?;
        }
        let after = self.text.as_bytes().get(self.at);
        if matches!(after, Some(b'e' | b'E')) { None } else { Some(&self.text[start..self.at]) }
    }

    fn digits(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let len = rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += len;
        (1..=DIGITS).contains(&len).then_some(&rest[..len])
    }

    /// Passes over any value.
    pub(super) fn skip(&mut self) -> Option<()> {
        match self.next()? {
            b'"' => self.string().map(|_| ()),
            b'{' => self.object(&mut |scan, _| scan.skip()),
            b'[' => self.array(&mut Scan::skip),
            b'n' => self.null(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            _ => self.number().map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// All strings of the text's objects and arrays, if it is plain.
    fn strings(text: &str) -> Option<Vec<String>> {
        fn value<'a>(scan: &mut Scan<'a>, out: &mut Vec<String>) -> Option<()> {
            match scan.next()? {
                b'"' => out.push(scan.string()?.into_owned()),
                b'[' => scan.array(&mut |scan| value(scan, out))?,
                b'{' => scan.object(&mut |scan, _| value(scan, out))?,
                _ => scan.skip()?,
            }
            Some(())
        }
        let mut out = Vec::new();
        Scan::fields(text, &mut |scan, _| value(scan, &mut out))?;
        Some(out)
    }

    fn expected(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::String(text) => out.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| expected(item, out)),
            Value::Object(fields) => fields.values().for_each(|item| expected(item, out)),
            _ => {}
        }
    }

    fn agrees(text: &str) -> bool {
        let Some(strings) = strings(text) else { return false };
        let mut wanted = Vec::new();
        expected(&serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")), &mut wanted);
        // Of a key that comes twice serde_json keeps one; the caller knows.
        if wanted.len() == strings.len() {
            assert_eq!(strings, wanted, "{text}");
        }
        Scan::fields(text, &mut |scan, _| scan.skip()).unwrap_or_else(|| panic!("{text}: cannot be skipped"));
        true
    }

    #[test]
    fn plain_texts_are_taken() {
        for text in [
            "{}",
            " { \"a\" : [ ] , \"b\":{ } } ",
            r#"{"a":"x","b":["y",{"c":"z"}],"d":null,"e":true,"f":false,"g":[0,-0,1,-12,3.50,0.1]}"#,
            r#"{"a":"\n\r\t\"\/\\","b":"\\\\n","c":"\\","d":"\u00e9\u0000A\\u0041","e":"Größe 😀"}"#,
            "{\"a\":\"\u{7f}\u{2028}\"}",
        ] {
            assert!(agrees(text), "{text}");
        }
    }

    #[test]
    fn all_else_is_left_to_others() {
        for text in [
            "",
            "{",
            "[]",
            "7",
            "{}x",
            "{}{}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":[1,]}",
            "{\"a\":[,1]}",
            "{\"a\":01}",
            "{\"a\":-}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":1e5}",
            "{\"a\":+1}",
            "{\"a\":1234567890123456789}",
            "{\"a\":nul}",
            "{\"a\":nulll}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\",
            "{\"a\":\"\\u00\"}",
            "{\"a\":\"\\u+123\"}",
            "{\"a\":\"\\ud83d\\ude00\"}",
            "{\"a\":\"\\é\"}",
            "{\"a\":\"\\u00é\"}",
            "{\"\\u0061\":1}",
            "{\"a\":\"x}",
            "{a:1}",
        ] {
            assert!(!agrees(text), "{text}");
        }
        let deep = |depth: usize| ["{\"a\":", &"[".repeat(depth), &"]".repeat(depth), "}"].concat();
        assert!(agrees(&deep(15)));
        assert!(!agrees(&deep(16)));
        assert!(!agrees(&deep(100_000)));
    }

    #[test]
    fn whatever_is_taken_is_json() {
        let seed = r#"{"a":"x\n\u00e9\"","b":[1,-2.5,null,{"c":"\\"}],"d":true}"#;
        let mut state = 7_u32;
        let mut random = |bound: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % bound
        };
        let mut taken = 0;
        for _ in 0..50_000 {
            let mut bytes = seed.as_bytes().to_vec();
            for _ in 0..1 + random(3) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes[at] = br#"{}[]",:\0e-.un "#[random(15)],
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, br#"{}[]",:\0e-.un "#[random(15)]),
                }
            }
            if let Ok(text) = String::from_utf8(bytes) {
                taken += u32::from(agrees(&text));
            }
        }
        assert!(taken > 1000, "{taken}");
    }
}
