//! Cuts a long text into passages at its natural boundaries: headings, code blocks, paragraphs, members of JSON.

use std::ops::Range;

/// A passage is filled up to about this many bytes with what stands together.
const TARGET: usize = 1200;

/// No passage is longer, in bytes.
const MAX: usize = 2400;

/// Longest line with the names of columns, in bytes, that is told with the rows.
const MOST_COLUMNS: usize = 300;

/// A part of a text that is worth reading alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Where in the text it is, in bytes.
    pub range: Range<usize>,
    /// The headings above it, or the path to a member of JSON, outermost first, with ` > ` between, and the names of the columns
    /// of the rows of a table that are not its first; may be empty.
    pub heading: String,
}

/// Cuts a text. `mime` is what its server calls it, if it does.
///
/// Every character that is no white space is in exactly one passage, in the order of the text; a passage begins and ends
/// with such a character and has at most 2,400 bytes. Linear in the text.
pub fn passages(text: &str, mime: Option<&str>) -> Vec<Passage> {
    let start = text.trim_start();
    let json = mime.is_some_and(|mime| mime.contains("json"));
    let blocks = if (json || mime.is_none()) && start.starts_with(['{', '[']) {
        members(text)
    } else {
        let code = mime.is_some_and(|mime| !mime.starts_with("text/plain") && !mime.contains("markdown"));
        blocks(text, !code)
    };
    let mut passages: Vec<Passage> = Vec::new();
    let csv = mime.is_some_and(|mime| mime.contains("csv"));
    for Block { range, mut heading, begins } in blocks {
        let columns = columns(&text[range.clone()], csv);
        for (number, range) in pieces(text, range).into_iter().enumerate() {
            if let (1, Some(columns)) = (number, columns) {
                // Rows are read under the names of their columns.
                heading = [heading.as_str(), if heading.is_empty() { "" } else { " > " }, columns].concat();
            }
            match passages.last_mut() {
                Some(last) if last.heading == heading && !begins && range.end - last.range.start <= TARGET => {
                    last.range.end = range.end;
                }
                _ => passages.push(Passage { range, heading: heading.clone() }),
            }
        }
    }
    passages
}

/// The names of the columns of a table of Markdown or CSV.
fn columns(block: &str, csv: bool) -> Option<&str> {
    let (first, rest) = block.trim_start().split_once('\n')?;
    let first = first.trim();
    let ruled = |line: &str| line.contains('-') && line.bytes().all(|byte| b"|-: \r".contains(&byte));
    let table = first.contains('|') && rest.lines().next().is_some_and(ruled);
    ((table || csv) && first.len() <= MOST_COLUMNS).then_some(first)
}

/// What is not cut without need.
struct Block {
    range: Range<usize>,
    heading: String,
    /// It is not put together with what stands before it.
    begins: bool,
}

/// Paragraphs, code blocks and headings. `markdown` says whether a `#` makes a heading.
fn blocks(text: &str, markdown: bool) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut headings: Vec<(usize, &str)> = Vec::new();
    let mut heading = String::new();
    let mut fence: Option<(char, usize)> = None;
    // Whether the last block is still open, how many lines it has, and whether what comes next stands under a new heading.
    let (mut open, mut lines, mut begins) = (false, 0, false);
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.len();
        at = range.end;
        let bare = line.trim();
        let mark = fence_of(bare);
        let mut extend = |begins: bool, open: bool| match blocks.last_mut() {
            Some(last) if open => last.range.end = range.end,
            _ => blocks.push(Block { range: range.clone(), heading: heading.clone(), begins }),
        };
        if let Some((begun, long)) = fence {
            extend(false, true);
            // A shorter fence, or one that says a language, is shown by the code.
            let ends = mark.is_some_and(|(char, own)| char == begun && own >= long && bare.chars().count() == own);
            if ends {
                (fence, open) = (None, false);
            }
        } else if mark.is_some() && markdown {
            // What introduces a code block is read with it.
            extend(std::mem::take(&mut begins), open);
            (fence, open, lines) = (mark, true, usize::MAX);
        } else if let (Some(level), true) = (underline(bare), markdown && open && lines == 1) {
            let Some(last) = blocks.last_mut() else { continue };
            let title = text[last.range.clone()].trim();
            headings.retain(|(above, _)| *above < level);
            headings.push((level, title));
            heading = headings.iter().map(|(_, title)| *title).collect::<Vec<_>>().join(" > ");
            (last.range.end, last.heading, last.begins) = (range.end, heading.clone(), true);
            begins = false;
            lines = 2;
        } else if bare.is_empty() {
            open = false;
        } else if let Some((level, title)) = title(bare).filter(|_| markdown) {
            headings.retain(|(above, _)| *above < level);
            headings.push((level, title));
            heading = headings.iter().map(|(_, title)| *title).collect::<Vec<_>>().join(" > ");
            blocks.push(Block { range, heading: heading.clone(), begins: true });
            (open, lines, begins) = (true, 2, false);
        } else {
            extend(std::mem::take(&mut begins), open);
            lines = if open { lines.saturating_add(1) } else { 1 };
            open = true;
        }
    }
    blocks
}

/// What a line has of a code fence: its character, and how many of them.
fn fence_of(line: &str) -> Option<(char, usize)> {
    let char = line.chars().next().filter(|char| matches!(char, '`' | '~'))?;
    let long = line.chars().take_while(|next| *next == char).count();
    (long >= 3).then_some((char, long))
}

/// The level of the heading that a line makes of the one before it.
fn underline(line: &str) -> Option<usize> {
    let all = |byte: u8| line.len() >= 3 && line.bytes().all(|own| own == byte);
    if all(b'=') { Some(1) } else { all(b'-').then_some(2) }
}

/// Level and words of a heading of Markdown.
fn title(line: &str) -> Option<(usize, &str)> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    let title = rest.strip_prefix([' ', '\t'])?.trim().trim_end_matches('#').trim_end();
    ((1..=6).contains(&level) && !title.is_empty()).then_some((level, title))
}

/// Members of an object or elements of an array, those of the inner ones where they are too long. Text that only looks like
/// JSON is cut somewhere, but never lost.
fn members(text: &str) -> Vec<Block> {
    let (mut blocks, mut start) = (Vec::new(), 0);
    // One after the other, as in JSON Lines.
    while start < text.len() {
        let end = start + value(&text[start..]);
        descend(text, start..end, String::new(), 0, &mut blocks);
        start = end;
    }
    blocks
}

/// Where the first object or array of a text ends; at its end where it has none.
fn value(text: &str) -> usize {
    let bytes = text.as_bytes();
    let opening = bytes.iter().position(|byte| !byte.is_ascii_whitespace());
    let Some(opening) = opening.filter(|place| matches!(bytes[*place], b'{' | b'[')) else { return text.len() };
    let (mut level, mut quoted, mut place) = (0usize, false, opening);
    while place < bytes.len() {
        match bytes[place] {
            b'\\' if quoted => place += 1,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => level += 1,
            b'}' | b']' => {
                level -= 1;
                if level == 0 {
                    return place + 1;
                }
            }
            _ => {}
        }
        place += 1;
    }
    text.len()
}

fn descend(text: &str, range: Range<usize>, heading: String, depth: usize, blocks: &mut Vec<Block>) {
    let bytes = text.as_bytes();
    let opening = (range.start..range.end).find(|place| !bytes[*place].is_ascii_whitespace());
    let whole = range.end - range.start <= TARGET;
    let Some(opening) = opening.filter(|place| !whole && depth < 20 && matches!(bytes[*place], b'{' | b'[')) else {
        blocks.push(Block { range, heading, begins: false });
        return;
    };
    let is_array = bytes[opening] == b'[';
    let mut element = 0;
    // Each member reaches from the end of the one before to its comma; the brackets go with the first and the last one.
    let (mut level, mut start, mut quoted, mut place) = (0usize, range.start, false, opening);
    // The first string at this level is the name of the member, and after the colon comes its value.
    let (mut name, mut value): (Option<Range<usize>>, Option<usize>) = (None, is_array.then_some(opening + 1));
    let mut opened = 0;
    let mut push = |start: usize, end: usize, name: &Option<Range<usize>>, value: Option<usize>, element: usize| {
        let own = match name {
            Some(name) => text[name.clone()].to_owned(),
            None if is_array => element.to_string(),
            None => String::new(),
        };
        let joint = if heading.is_empty() || own.is_empty() { "" } else { " > " };
        let label = [&heading, joint, &own].concat();
        // Small neighbours stand together under the name of the whole.
        let Some(value) = value.filter(|_| end - start > TARGET) else {
            let heading = if end - start > TARGET / 4 && !is_array { label } else { heading.clone() };
            blocks.push(Block { range: start..end, heading, begins: false });
            return;
        };
        blocks.push(Block { range: start..value, heading: label.clone(), begins: true });
        descend(text, value..end, label, depth + 1, blocks);
    };
    while place < range.end {
        match bytes[place] {
            b'\\' if quoted => place += 1,
            b'"' => {
                quoted = !quoted;
                if quoted {
                    opened = place + 1;
                } else if level == 1 && name.is_none() && !is_array {
                    name = Some(opened..place);
                }
            }
            _ if quoted => {}
            b'{' | b'[' => level += 1,
            b'}' | b']' => {
                level = level.saturating_sub(1);
                if level == 0 {
                    break;
                }
            }
            b':' if level == 1 && value.is_none() => value = Some(place + 1),
            b',' if level == 1 => {
                push(start, place + 1, &name, value, element);
                element += 1;
                start = place + 1;
                (name, value) = (None, is_array.then_some(start));
            }
            _ => {}
        }
        place += 1;
    }
    push(start, range.end, &name, value, element);
}

/// The range without the white space around it, cut where it is too long: at the last line, sentence or word that fits.
fn pieces(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut rest = trimmed(text, range);
    while rest.end - rest.start > MAX {
        let mut end = rest.start + TARGET;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let part = &text[rest.start..end];
        let least = part.len() / 3;
        let cut = ["\n", ". ", "。", " "]
            .into_iter()
            .find_map(|joint| part.rfind(joint).map(|place| place + joint.len()).filter(|place| *place > least));
        let cut = rest.start + cut.unwrap_or(part.len());
        let piece = trimmed(text, rest.start..cut);
        if !piece.is_empty() {
            pieces.push(piece);
        }
        rest = trimmed(text, cut..rest.end);
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + part.len() - part.trim_start().len();
    start..start + part.trim().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the laws, and gives headings and texts.
    fn cut<'a>(text: &'a str, mime: Option<&str>) -> Vec<(String, &'a str)> {
        let passages = passages(text, mime);
        let mut at = 0;
        for Passage { range, .. } in &passages {
            assert!(text[at..range.start].trim().is_empty(), "{:?} is lost", &text[at..range.start]);
            assert!(range.len() <= MAX && !range.is_empty());
            assert_eq!(text[range.clone()].trim(), &text[range.clone()]);
            at = range.end;
        }
        assert!(text[at..].trim().is_empty(), "{:?} is lost", &text[at..]);
        passages.into_iter().map(|passage| (passage.heading, &text[passage.range])).collect()
    }

    fn headings(text: &str, mime: &str) -> Vec<String> {
        cut(text, Some(mime)).into_iter().map(|(heading, _)| heading).collect()
    }

    #[test]
    fn markdown_is_cut_at_its_headings() {
        let text = "intro\n\n# Use\none\ntwo\n\nthree\n## Deep ##\nfour\n# Other\n####### none\n#tag";
        let expected = [
            ("", "intro"),
            ("Use", "# Use\none\ntwo\n\nthree"),
            ("Use > Deep", "## Deep ##\nfour"),
            ("Other", "# Other\n####### none\n#tag"),
        ];
        assert_eq!(cut(text, Some("text/markdown")), expected.map(|(heading, text)| (heading.to_owned(), text)));
        assert_eq!(headings("# include <a.h>\nint x;", "text/x-c"), [""]);
    }

    #[test]
    fn a_code_block_is_not_cut_at_what_looks_like_a_heading() {
        let code = "# Run\nLike so:\n```sh\n# a comment\n\nls\n```\nafter";
        assert_eq!(cut(code, None).len(), 1);
        let open = "```\n# never closed\n\n# still code";
        assert_eq!(headings(open, "text/markdown"), [""]);
    }

    #[test]
    fn a_code_block_ends_with_a_fence_like_its_own() {
        let nested = "# Doc\n````md\n```sh\nls\n```\n# no heading\n````\n# Next\nend";
        assert_eq!(headings(nested, "text/markdown"), ["Doc", "Next"]);
        let other = "```\n~~~\n# no heading\n```js\n# none\n```\n# Next";
        assert_eq!(headings(other, "text/markdown"), ["", "Next"]);
    }

    #[test]
    fn a_line_may_make_a_heading_of_the_one_before() {
        let text = "Guide\n=====\nintro\n\nUse\n---\nhow\nto\n---\nend\n\n---\n\nlast";
        let expected =
            [("Guide", "Guide\n=====\nintro"), ("Guide > Use", "Use\n---\nhow\nto\n---\nend\n\n---\n\nlast")];
        assert_eq!(cut(text, Some("text/markdown")), expected.map(|(heading, text)| (heading.to_owned(), text)));
        assert_eq!(headings("Guide\n=====\nintro", "text/plain"), ["Guide"], "what is plain is often Markdown");
        assert_eq!(headings("a\n---\nb", "text/yaml"), [""]);
    }

    #[test]
    fn rows_stand_under_the_names_of_their_columns() {
        let rows: String = (0..200).map(|number| format!("| city {number} | {number} mm |\n")).collect();
        let table = ["# Rain\n\n| City | Rain |\n|---|---:|\n", &rows, "\nThe end."].concat();
        let passages = cut(&table, Some("text/markdown"));
        assert!(passages.len() > 3 && passages[0].0 == "Rain");
        assert!(passages[1..].iter().any(|(heading, _)| heading == "Rain > | City | Rain |"));
        assert!(passages.iter().all(|(_, text)| !text.contains("mm") || text.ends_with("mm |")), "cut at rows");
        assert_eq!(passages.last().unwrap(), &("Rain".to_owned(), "The end."));
        let rows: String = (0..300).map(|number| format!("city {number},{number}\n")).collect();
        let headings = headings(&["city,rain\n", &rows].concat(), "text/csv");
        assert!(headings.len() > 2 && headings[0].is_empty());
        assert!(headings[1..].iter().all(|heading| heading == "city,rain"), "{headings:?}");
    }

    #[test]
    fn lines_of_json_are_values_of_their_own() {
        let line = |number: usize| format!("{{\"id\": {number}, \"text\": \"{}\"}}\n", "rain ] } ".repeat(30));
        let lines: String = (0..20).map(line).collect();
        let passages = cut(&lines, Some("application/x-ndjson"));
        assert!(passages.len() >= 5);
        for (heading, text) in passages {
            assert!(heading.is_empty() && text.starts_with("{\"id\"") && text.ends_with('}'), "{heading} {text}");
        }
    }

    #[test]
    fn text_without_spaces_is_cut_at_its_sentences() {
        let japanese = "今日は雨が降ります。明日は晴れるでしょう。".repeat(60);
        assert!(cut(&japanese, None).iter().all(|(_, text)| text.ends_with('。')));
        let minified = format!("{{\"a\":\"{}\",\"b\":[{}]}}", "x".repeat(9_000), "1,".repeat(4_000));
        assert!(cut(&minified, Some("application/json")).len() > 8);
    }

    #[test]
    fn paragraphs_stand_together_up_to_a_length() {
        let paragraph = "A sentence of some length. ".repeat(20);
        let text = format!("{paragraph}\n\n{paragraph}\n\n{paragraph}");
        let passages = cut(&text, Some("text/plain"));
        assert_eq!(passages.len(), 2);
        assert!(passages[0].1.contains("\n\n"));
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_sentence_or_somewhere() {
        let sentences = "A sentence of some length. ".repeat(200);
        assert!(cut(&sentences, None).iter().all(|(_, text)| text.ends_with('.')));
        assert!(cut(&"é".repeat(5000), None).len() > 4);
        assert_eq!(cut("", None), []);
        assert_eq!(cut(" \n\n ", Some("text/markdown")), []);
    }

    #[test]
    fn json_is_cut_at_its_members() {
        let long = "x, \\\" } ] { ".repeat(120);
        let text = format!(r#"{{"a": 1, "b": [2, {{"c": "{long}"}}], "d": {{"e": "{long}", "f": "{long}"}}, "g": 3}}"#);
        let headings = headings(&text, "application/json");
        assert!(headings.contains(&"d > e".to_owned()) && headings.contains(&"d > f".to_owned()), "{headings:?}");
        let rows: Vec<String> =
            (0..200).map(|number| format!(r#"{{"id": {number}, "name": "row {number}"}}"#)).collect();
        let rows = format!("[{}]", rows.join(",\n"));
        let passages = cut(&rows, Some("application/json"));
        assert!(passages.len() > 3);
        assert!(passages.iter().all(|(_, text)| text.ends_with("},") || text.ends_with("}]")), "{passages:?}");
        assert_eq!(cut(r#"{"a": 1}"#, None).len(), 1);
    }

    #[test]
    fn nothing_is_lost_of_what_only_looks_like_json() {
        for text in ["{", "[1, 2", "{\"a\": \"", "]]]]", "{}}}, x", "[\"\\", "{,,:,}", "[}{"] {
            let longer = [text, &" filler".repeat(400), text, "\"", text].concat();
            cut(text, Some("application/json"));
            cut(&longer, Some("application/json"));
        }
        let deep = "[".repeat(5000);
        cut(&deep, Some("application/json"));
        let nested = "{\"a\":".repeat(3000);
        cut(&nested, Some("application/json"));
    }
}
