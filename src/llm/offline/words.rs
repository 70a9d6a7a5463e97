//! The few words that the matcher knows.

use crate::rank::stem;

/// Words that say nothing about which tool is meant.
const STOP: &str = "a an the this that these those i me my mine we us our you your he she it its they them their \
    is are am was were be been being will would shall should can could may might must do does did done have has had \
    of to in on at by for from with without into onto over under about as than like up out off back via per \
    and or but if so not no yes please kindly just also too now then finally first next \
    what who whom whose which where when why how there here some any all each every much many more most \
    hi hello hey ok okay thanks thank want need wish let help tell give show s t re ll m d don want's what's \
    use using call run tool tools now today tomorrow tonight one";

/// Verbs that many tools share: they help to choose among tools, but prove nothing.
const GENERIC: &str = "get list create make new set update fetch return do run give show put delete remove change \
    edit start stop open close read write send trigger tool call use query";

/// Words that stand for each other. Groups with `#` count only beside a number or an earlier result.
const GROUPS: &[&str] = &[
    "# sum add plus addition total",
    "# subtract minus difference subtraction less",
    "# multiply times product multiplication multiplied",
    "# divide quotient division divided over",
    "say repeat echo print parrot",
    "mail email message inbox e-mail",
    "weather forecast temperature rain sunny snow umbrella cold warm wind meteo",
    "calendar event meeting appointment schedule",
    "issue bug ticket",
    "file document",
    "folder directory",
    "image picture photo logo",
    "find search lookup google seek",
    "create add new make",
    "delete remove erase discard",
    "list show enumerate",
    "read open show display",
    "send write compose reply",
    "update change edit modify",
    "close finish resolve",
    "env environment variable setting",
    "gzip compress zip",
    "log logging logger",
    "translate translation",
    "time clock hour",
    "user person people contact",
];

/// Whether a word is one of a list, which is written with single spaces.
///
/// One function for all lists: an array of texts compared in place costs far more wasm.
pub(super) fn among(list: &str, word: &str) -> bool {
    list.split(' ').any(|known| known == word)
}

/// Whether a known word has this stem; a stem begins like its word, which is checked first because it is cheap.
fn has_stem(word: &str, stemmed: &str) -> bool {
    word.as_bytes().first() == stemmed.as_bytes().first() && stem(word) == stemmed
}

/// Whether a lower-case word says nothing about which tool is meant.
pub(super) fn is_stop(word: &str) -> bool {
    among(STOP, word)
}

/// Whether a stem is a verb that proves nothing.
pub(super) fn is_generic(stemmed: &str) -> bool {
    GENERIC.split(' ').any(|verb| has_stem(verb, stemmed))
}

/// The stems that may stand for a stem, itself left out; `counting` when numbers are at hand.
pub(super) fn alternatives(stemmed: &str, counting: bool) -> Vec<&'static str> {
    let mut all = Vec::new();
    for group in GROUPS {
        let (words, arithmetic) = match group.strip_prefix("# ") {
            Some(words) => (words, true),
            None => (*group, false),
        };
        if (counting || !arithmetic) && words.split(' ').any(|word| has_stem(word, stemmed)) {
            all.extend(words.split(' ').map(stem).filter(|other| *other != stemmed));
        }
    }
    all
}

/// What an operator between two numbers is called.
pub(super) fn operator(sign: char) -> Option<&'static str> {
    match sign {
        '+' => Some("sum"),
        '-' | '−' => Some("subtract"),
        '*' | '×' | 'x' | 'X' | '·' => Some("multipl"),
        '/' | '÷' => Some("divid"),
        _ => None,
    }
}

/// The value of a number word.
pub(super) fn number_word(word: &str) -> Option<u32> {
    let words =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    words.iter().position(|known| *known == word).map(|value| value as u32)
}

/// Yes or no, as a word of its own.
pub(super) fn truth(word: &str) -> Option<bool> {
    match word {
        "true" | "yes" | "on" | "enabled" => Some(true),
        "false" | "no" | "off" | "disabled" => Some(false),
        _ => None,
    }
}

/// Appends some pieces.
pub(super) fn push(text: &mut String, pieces: &[&str]) {
    pieces.iter().for_each(|piece| text.push_str(piece));
}

/// Takes signs off the end of a text.
pub(super) fn trim_end<'t>(text: &'t str, signs: &str) -> &'t str {
    text.trim_end_matches(|char| signs.contains(char))
}

/// What a text parameter is for, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Free text: a message, a comment, a prompt.
    Prose,
    /// A short heading or topic.
    Title,
    /// A city or another place.
    Place,
    /// Who gets something.
    Recipient,
    /// Where something comes from.
    Source,
    /// What to look for.
    Query,
    /// A day or a time.
    When,
    /// A file or folder.
    Path,
    /// An address on the web.
    Link,
    /// Something else.
    Other,
}

const ROLES: &[(Role, &str, &str)] = &[
    (Role::Link, "url uri link href website", "at from"),
    (Role::When, "date day when time start end due deadline until since", "on at by"),
    (Role::Path, "path file filename folder directory", "in from at named called"),
    (Role::Place, "city location place region country town address", "in for at near around"),
    (Role::Recipient, "to recipient recipients attendee attendees email assignee cc", "to with for"),
    (Role::Source, "from source origin sender", "from"),
    (Role::Query, "query q search keyword keywords term terms filter pattern", "for about matching containing"),
    (Role::Title, "subject title topic summary name label", "about titled called named regarding on"),
    (
        Role::Prose,
        "message text body content contents comment description note prompt data input string words phrase sentence",
        "saying says reading because",
    ),
];

impl Role {
    /// The role of a parameter with this name, given as its parts in lower case; the last part counts most.
    pub(super) fn of(parts: &[String]) -> Role {
        let known = |part: &String| ROLES.iter().find(|(_, names, _)| among(names, part)).map(|(role, _, _)| *role);
        parts.iter().rev().find_map(known).unwrap_or(Role::Other)
    }

    /// Whether a word announces a value of this role.
    pub(super) fn announced_by(self, word: &str) -> bool {
        !word.is_empty() && ROLES.iter().any(|(role, _, cues)| *role == self && among(cues, word))
    }
}
