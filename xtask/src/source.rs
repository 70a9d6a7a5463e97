//! Rust source as tokens: names and punctuation, without comments, strings and character literals.

/// One name or one punctuation character, with its line (from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

/// Splits source into tokens. Numbers count as names; spaces vanish.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        let (length, is_token) = if let Some(length) = not_code(rest) {
            (length, false)
        } else if is_name(first) {
            (rest.find(|c| !is_name(c)).unwrap_or(rest.len()), true)
        } else {
            (first.len_utf8(), !first.is_whitespace())
        };
        if is_token {
            tokens.push(Token { text: &rest[..length], line });
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the comment or literal that `rest` starts with, if it does.
fn not_code(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let prefix = rest.len() - rest.trim_start_matches(['b', 'c', 'r']).len();
    if prefix <= 2 {
        let raw = &rest[prefix..];
        if rest[..prefix].contains('r') {
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            if raw[hashes..].starts_with('"') {
                let end = format!("\"{}", "#".repeat(hashes));
                let body = prefix + hashes + 1;
                return Some(rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len()));
            }
        } else if raw.starts_with('"') {
            return Some(prefix + quoted(raw, '"'));
        }
    }
    let quote = rest.strip_prefix('b').unwrap_or(rest);
    if let Some(body) = quote.strip_prefix('\'') {
        let mut chars = body.chars();
        let first = chars.next()?;
        // Otherwise it is a lifetime.
        if first == '\\' || chars.next() == Some('\'') {
            return Some(rest.len() - quote.len() + quoted(quote, '\''));
        }
    }
    None
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// The length of a literal between two `quote`s, where a backslash keeps the next character from ending it.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::tokens;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_are_left_out() {
        assert_eq!(texts("a // async\nb /* x /* y */ async */ c"), ["a", "b", "c"]);
        assert_eq!(texts(r##"a("async \" x", r#"as"ync"#, b"\\", 'x', '\'', b'"', c)"##).join(""), "a(,,,,,,c)");
        assert_eq!(texts("fn f<'a>(x: &'a str)").join(" "), "fn f < ' a > ( x : & ' a str )");
        assert_eq!(texts("rb crab bar"), ["rb", "crab", "bar"]);
    }

    #[test]
    fn lines_are_counted_through_literals() {
        let found = tokens("a \"x\ny\"\n/*\n*/ b");
        assert_eq!(found.iter().map(|token| token.line).collect::<Vec<_>>(), [1, 4]);
    }
}
