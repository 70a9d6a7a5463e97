//! Lexical ranking (BM25) over short and long texts: which of these documents is the query about?
//!
//! The one place that knows what a word is: tool selection, context ranking and the offline model all use it, so
//! that they agree. It needs no model, no network and no tables worth mentioning.
//!
//! # In scope
//!
//! - [`words`]: Unicode words, lower-case; `camelCase`, `snake_case`, `kebab-case` and `dotted.names` split.
//! - [`stem`]: light English stemming, so that `creates`, `created` and `creating` meet.
//! - [`Index`]: an inverted index that documents are added to and removed from.
//! - [`Terms`]: numbers for texts, the dictionary under it.
//!
//! # Out of scope
//!
//! - Meaning. `car` does not find `automobile`: callers add synonyms to the query, or use embeddings.
//!
//! # Example
//!
//! ```
//! use edgewise::rank::Index;
//!
//! let mut index = Index::default();
//! index.add(&[(3.0, "get_weather"), (1.0, "Current weather and forecast for a city")]);
//! index.add(&[(3.0, "sendMail"), (1.0, "Sends a mail")]);
//! let hits = index.search("forecasts for Oslo", 5);
//! assert_eq!(hits.len(), 1);
//! assert_eq!(hits[0].document, 0);
//! ```

mod index;
mod terms;

pub use index::{Hit, Index};
pub use terms::{Terms, content_hash};

/// Calls `each` with every word of `text`, in lower case and in order.
///
/// A word is a run of letters and digits. A name in camel case gives its parts and then the whole (`GitHub`:
/// `git`, `hub`, `github`), because people write it either way. Ideographs and kana stand alone, for want of
/// spaces. An English `'s` is dropped, and so are accents, of whatever encoding: `Zürich` is `zurich`. Linear in `text.len()`.
pub fn words(text: &str, each: &mut dyn FnMut(&str)) {
    walk(text, true, each);
}

/// Calls `each` with the parts of a name, in lower case and in order: [`words`] without the wholes.
pub fn parts(name: &str, each: &mut dyn FnMut(&str)) {
    walk(name, false, each);
}

fn walk(text: &str, wholes: bool, each: &mut dyn FnMut(&str)) {
    let mut whole = String::new();
    let mut part = 0; // where in `whole` the current part of a camel-case name starts
    let mut previous = ' ';
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if matches!(char, '\u{300}'..='\u{36f}') {
            continue;
        }
        let alone = matches!(char, '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}');
        if alone || !char.is_alphanumeric() {
            flush(&mut whole, &mut part, wholes, each);
            let mut ahead = chars.clone();
            if matches!(char, '\'' | '’')
                && previous.is_alphanumeric()
                && matches!(ahead.next(), Some('s' | 'S'))
                && !ahead.next().is_some_and(char::is_alphanumeric)
            {
                chars.next();
            }
            if alone {
                whole.push(char);
                flush(&mut whole, &mut part, wholes, each);
            }
        } else {
            let humps = lower(char) != char
                && whole.len() > part
                && (lower(previous) == previous
                    || chars.clone().next().is_some_and(|next| next.is_alphabetic() && lower(next) == next));
            if humps {
                each(&whole[part..]);
                part = whole.len();
            }
            whole.push(plain(lower(char)));
        }
        previous = char;
    }
    flush(&mut whole, &mut part, wholes, each);
}

fn flush(whole: &mut String, part: &mut usize, wholes: bool, each: &mut dyn FnMut(&str)) {
    if *part > 0 && *part < whole.len() {
        each(&whole[*part..]);
    }
    if !whole.is_empty() && (wholes || *part == 0) {
        each(whole);
    }
    whole.clear();
    *part = 0;
}

/// Letters without their accents, `.` for those that have none: U+00C0 to U+017F, and U+1E00 to U+1EFF.
const LATIN: &[u8; 192] = b"\
    aaaaaa.ceeeeiiii.nooooo..uuuuy..aaaaaa.ceeeeiiii.nooooo..uuuuy.y\
    aaaaaaccccccccdd..eeeeeeeeeegggggggghh..iiiiiiiii...jjkk.llllll.\
    ...nnnnnn...oooooo..rrrrrrsssssssstttt..uuuuuuuuuuuuwwyyyzzzzzz.";
const LATIN_ADDITIONAL: &[u8; 256] = b"\
    aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmm\
    mmmmnnnnnnnnoooooooopppprrrrrrrrssssssssssttttttttuuuuuuuuuuvvvv\
    wwwwwwwwwwxxxxyyzzzzzzhtwy......aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeee\
    eeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy......";

/// A small letter without its accents: what is left of its decomposed form when the combining marks go. Latin, Greek and
/// Cyrillic.
fn plain(char: char) -> char {
    let code = char as u32;
    let of = |table: &[u8], from: u32| match table[(code - from) as usize] {
        b'.' => char,
        letter => letter as char,
    };
    match code {
        0xc0..=0x17f => of(LATIN, 0xc0),
        0x1e00..=0x1eff => of(LATIN_ADDITIONAL, 0x1e00),
        0x1a1 => 'o',
        0x1b0 => 'u',
        0x218 | 0x219 => 's',
        0x21a | 0x21b => 't',
        0x3ac => 'α',
        0x3ad => 'ε',
        0x3ae => 'η',
        0x390 | 0x3af | 0x3ca => 'ι',
        0x3cc => 'ο',
        0x3b0 | 0x3cb | 0x3cd => 'υ',
        0x3ce => 'ω',
        0x439 => 'и',
        0x450 | 0x451 => 'е',
        0x453 => 'г',
        0x457 => 'і',
        0x45c => 'к',
        0x45d => 'и',
        0x45e => 'у',
        _ => char,
    }
}

/// The lower case of a letter of the Latin, Greek, Cyrillic and Armenian scripts; everything else as it is.
///
/// Other scripts have no case, or hardly anybody uses it. By rules, because the standard library's table would be
/// 12 kB of the wasm.
pub fn lower(char: char) -> char {
    let code = char as u32;
    let lower = match code {
        0x41..=0x5a | 0xc0..=0xd6 | 0xd8..=0xde | 0x391..=0x3a1 | 0x3a3..=0x3ab | 0x410..=0x42f => code + 32,
        0x400..=0x40f => code + 80,
        0x531..=0x556 => code + 48,
        0x130 => 0x69,
        0x178 => 0xff,
        0x386 => 0x3ac,
        0x388..=0x38a => code + 37,
        0x38c => 0x3cc,
        0x38e | 0x38f => code + 63,
        0x1e9e => 0xdf,
        // Capital and small letter alternate.
        0x100..=0x137
        | 0x14a..=0x177
        | 0x460..=0x481
        | 0x48a..=0x4bf
        | 0x4d0..=0x52f
        | 0x1e00..=0x1e95
        | 0x1ea0..=0x1eff => code | 1,
        0x139..=0x148 | 0x179..=0x17e => code + code % 2,
        _ => code,
    };
    char::from_u32(lower).unwrap_or(char)
}

/// Takes the commonest English endings off a lower-case word: plural, `-ed`, `-ing`, a final `e`.
///
/// The result is a key for comparing, not a word: `issues` and `issue` both give `issu`. Words with other letters
/// than `a` to `z`, and those of up to 3 letters, stay as they are.
pub fn stem(word: &str) -> &str {
    let bytes = word.as_bytes();
    if word.len() <= 3 || !bytes.iter().all(u8::is_ascii_lowercase) {
        return word;
    }
    let has_vowel = |text: &str| text.bytes().any(|byte| matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y'));
    let mut rest = word;
    if let Some(base) = rest.strip_suffix("ies").filter(|base| base.len() > 1) {
        // `queries` must meet `query`: both lose the ending.
        rest = base;
    } else if let Some(base) = rest
        .strip_suffix("es")
        .filter(|base| base.ends_with(['s', 'x', 'z', 'o']) || base.ends_with("ch") || base.ends_with("sh"))
    {
        rest = base;
    } else if let Some(base) = rest.strip_suffix('s').filter(|base| !base.ends_with(['s', 'u', 'i'])) {
        rest = base;
    }
    for ending in ["ing", "ed"] {
        if let Some(base) = rest.strip_suffix(ending).filter(|base| base.len() > 2 && has_vowel(base)) {
            let doubled = base.len() > 3 && base.as_bytes()[base.len() - 1] == base.as_bytes()[base.len() - 2];
            return if doubled && !base.ends_with(['l', 's', 'z']) { &base[..base.len() - 1] } else { base };
        }
    }
    if rest.len() > 3 { rest.strip_suffix(['e', 'y']).unwrap_or(rest) } else { rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        words(text, &mut |word| all.push(word.to_owned()));
        all
    }

    #[test]
    fn names_split_at_their_joints() {
        assert_eq!(split("get-sum_of.two"), ["get", "sum", "of", "two"]);
        assert_eq!(split("includeImage"), ["include", "image", "includeimage"]);
        assert_eq!(split("HTTPServer2Go"), ["http", "server2", "go", "httpserver2go"]);
        assert_eq!(split("What's the GitHub URL?"), ["what", "the", "git", "hub", "github", "url"]);
        assert_eq!(split("don't 3.5"), ["don", "t", "3", "5"]);
    }

    #[test]
    fn parts_leave_the_whole_out() {
        let mut all = Vec::new();
        parts("everything__getTinyImage-2x", &mut |part| all.push(part.to_owned()));
        assert_eq!(all, ["everything", "get", "tiny", "image", "2x"]);
    }

    #[test]
    fn words_of_other_scripts_are_words() {
        assert_eq!(split("Ærlig ÜBER-gang İ"), ["ærlig", "uber", "gang", "i"]);
        assert_eq!(split("cafe\u{301}s 天気予報 は"), ["cafes", "天", "気", "予", "報", "は"]);
        assert_eq!(split("погода, 날씨 🌧"), ["погода", "날씨"]);
    }

    #[test]
    fn a_letter_is_the_same_with_its_accent_and_without_however_that_is_written() {
        for (composed, decomposed, plain) in [
            ("Zürich", "Zu\u{308}rich", "zurich"),
            ("Łódź", "Ło\u{301}dz\u{301}", "łodz"),
            ("Đà Nẵng", "Đa\u{300} Na\u{306}\u{303}ng", "đa nang"),
            ("Αθήνα", "Αθη\u{301}να", "αθηνα"),
            ("Йошкар", "И\u{306}ошкар", "иошкар"),
            ("ёлка", "е\u{308}лка", "елка"),
        ] {
            assert_eq!((split(composed), split(decomposed)), (split(plain), split(plain)), "{composed}");
        }
        assert_eq!(split("Straße øl œuvre"), ["straße", "øl", "œuvre"]);
        assert_eq!(stem(&split("Verträge")[0]), stem("vertrag"));
    }

    #[test]
    fn lower_case_agrees_with_the_standard_library() {
        for char in (0..0x3000).filter_map(char::from_u32) {
            let ours = lower(char);
            assert!(ours == char || Some(ours) == char.to_lowercase().next(), "{char:?} {ours:?}");
            let script =
                matches!(char, 'A'..='Z' | 'À'..='ž' | 'Ά'..='Ϋ' | 'Ѐ'..='ҿ' | 'Ա'..='Ֆ' | 'Ḁ'..='ẕ' | 'Ạ'..='ỹ');
            assert!(!script || Some(ours) == char.to_lowercase().next(), "{char:?} {ours:?}");
        }
    }

    #[test]
    fn forms_of_a_word_share_a_stem() {
        for family in [
            &["create", "creates", "created", "creating"][..],
            &["query", "queries"],
            &["run", "runs", "running"],
            &["issue", "issues"],
            &["add", "adds", "added", "adding"],
            &["compress", "compresses", "compressed"],
            &["echo", "echoes", "echoing"],
            &["box", "boxes"],
            &["log", "logs", "logging"],
            &["file", "files", "filing"],
        ] {
            for word in family {
                assert_eq!(stem(word), stem(family[0]), "{word}");
            }
        }
        for word in ["is", "gas", "this", "status", "sing", "über", "x2s", "news"] {
            assert!(stem(word).len() >= 2 && word.starts_with(stem(word)), "{word}");
        }
        assert_ne!(stem("sing"), stem("s"));
    }
}
