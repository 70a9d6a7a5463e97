//! Text that a server wrote, made fit for one of our messages.

/// Longest piece of a server's text in a message of ours, in characters.
pub(crate) const MAX_QUOTE: usize = 200;

/// The text without control, invisible and direction-changing characters, on one line, cut to `max` characters.
///
/// A server's words end up in logs, on terminals and on screens next to ours; they must not be able to rewrite
/// what stands around them.
pub(crate) fn clean(text: &str, max: usize) -> String {
    let mut out = String::new();
    let mut left = max;
    for c in text.chars() {
        let c = if c.is_whitespace() { ' ' } else { c };
        if c.is_control() || is_invisible(c) || (c == ' ' && (out.is_empty() || out.ends_with(' '))) {
            continue;
        }
        if left == 0 {
            out.push('…');
            break;
        }
        left -= 1;
        out.push(c);
    }
    out.truncate(out.trim_end().len());
    out
}

/// The text without invisible, direction-changing and control characters, but with its lines, cut to `max` characters.
pub(crate) fn legible(text: &str, max: usize) -> String {
    text.chars().filter(|c| *c == '\n' || !(c.is_control() || is_invisible(*c))).take(max).collect()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_what_could_disguise_and_cuts() {
        assert_eq!(clean("no\u{202E} such\r\n\ttool\u{0}\u{1b}[31m ", 200), "no such tool[31m");
        assert_eq!(clean("abcdef", 3), "abc…");
        assert_eq!(clean("äöü", 3), "äöü");
        assert_eq!(clean(" \n", 3), "");
        assert_eq!(legible("two\r\n  lines\u{202E}\u{0}", 200), "two\n  lines");
        assert_eq!(legible("abcdef", 3), "abc");
    }
}
