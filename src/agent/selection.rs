//! Which tools a model is offered where all of them would cost too much: those that fit what is asked, and `find_tools`.
//!
//! A provider's prompt cache begins with the tools, and whatever changes there costs all of the conversation behind it. So what
//! was offered in a conversation stays, in the order in which it came, and what is added stands behind it. The history says
//! in marks which tools that are, so that it is so wherever the conversation goes on. A later prompt adds tools only where one of
//! those that fit it best is missing; where tools that are found cost no cache, none at all: the model finds them.

use serde_json::{Value, json};

use crate::llm::found;
use crate::llm::types::{Block, Message};

/// Most tools that one prompt adds.
pub const MOST_NEW: usize = 24;

/// Most tools that one call of `find_tools` adds.
pub const MOST_FOUND: usize = 8;

/// As long as that many tools which fit a prompt best are offered, it adds none.
const BEST: usize = 3;

/// A tool that could be offered.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Name, as the app knows it.
    pub name: &'a str,
    /// Name that the model uses.
    pub wire_name: &'a str,
    /// About the bytes of its definition.
    pub bytes: usize,
    /// The app gave it itself.
    pub own: bool,
}

/// What a history says of the tools that models were offered: wire names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// Those that stand in front, in their order.
    pub front: Vec<String>,
    /// Those that were added later, by prompts or by `find_tools`, in their order.
    pub more: Vec<String>,
    /// Those that were called, the last one last.
    pub used: Vec<String>,
}

impl Before {
    /// Reads a history.
    pub fn of(messages: &[Message]) -> Before {
        let (mut before, mut finders) = (Before::default(), Vec::new());
        for block in messages.iter().flat_map(|message| &message.content) {
            match block {
                Block::Tools { names, anew: true } => (before.front, before.more) = (names.clone(), Vec::new()),
                Block::Tools { names, .. } => names.iter().for_each(|name| before.add(name)),
                Block::ToolUse { id, name, .. } => {
                    if name.starts_with(FIND) {
                        finders.push(id);
                    }
                    before.used.retain(|used| used != name);
                    before.used.push(name.clone());
                }
                Block::ToolResult { tool_use_id, content, is_error: false } if finders.contains(&tool_use_id) => {
                    content.iter().flat_map(found::names).for_each(|name| before.add(name));
                }
                _ => {}
            }
        }
        before
    }

    fn add(&mut self, name: &str) {
        if !self.front.iter().chain(&self.more).any(|known| known == name) {
            self.more.push(name.to_owned());
        }
    }
}

/// The tools to offer: their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// In front.
    pub front: Vec<usize>,
    /// Behind them, added later.
    pub more: Vec<usize>,
    /// How many of `more` are new with this prompt. With nothing in front before, all in front is new.
    pub new: usize,
}

/// What a prompt that goes on may add.
#[derive(Clone, Copy, Debug)]
pub struct Adds<'a> {
    /// What fits the prompt, best first: names, as the app knows them. None where nothing is to be added.
    pub ranked: &'a [String],
    /// The room for all definitions, in bytes.
    pub most: usize,
}

/// The tools that a conversation goes on with; `None` where it has none yet, or where what fits the prompt best has no room
/// beside them. Then they are [chosen](choose).
pub fn go_on(tools: &[Candidate<'_>], before: &Before, Adds { ranked, most }: Adds<'_>) -> Option<Choice> {
    let named = |name: &String| tools.iter().position(|tool| tool.wire_name == name);
    let places = |names: &[String]| -> Vec<usize> { names.iter().filter_map(named).collect() };
    let (front, mut more) = (places(&before.front), places(&before.more));
    let mut size: usize = front.iter().chain(&more).map(|place| tools[*place].bytes).sum();
    let known = |place: &usize| front.contains(place) || more.contains(place);
    let ranked = ranked.iter().filter_map(|name| tools.iter().position(|tool| tool.name == name));
    let ranked: Vec<usize> = ranked.collect();
    let mut new: Vec<usize> = ranked.iter().take(BEST).copied().filter(|place| !known(place)).collect();
    size += new.iter().map(|place| tools[*place].bytes).sum::<usize>();
    if front.is_empty() || size > most {
        return None;
    }
    if !new.is_empty() {
        // As it has to be another offer, it may be one for a while.
        for place in before.used.iter().filter_map(named).chain(ranked).filter(|place| !known(place)) {
            let fits = size + tools[place].bytes <= most / 4 * 3 && new.len() < MOST_NEW;
            if fits && !new.contains(&place) {
                size += tools[place].bytes;
                new.push(place);
            }
        }
    }
    new.sort_unstable();
    let count = new.len();
    more.extend(new);
    Some(Choice { front, more, new: count })
}

/// The places of the tools to offer in front, in the order of the offer, that fit into `most` bytes.
///
/// `offered` are the names that another conversation of the agent begins with, in their order; `used` the wire names that the
/// history has calls of, the last one last; `ranked` finds out what fits the prompt, best first.
pub fn choose(
    tools: &[Candidate<'_>],
    offered: &[String],
    used: &[String],
    ranked: &[String],
    most: usize,
) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    let mut left = most;
    let mut add = |place: usize, chosen: &mut Vec<usize>| {
        if !chosen.contains(&place) && tools[place].bytes <= left {
            left -= tools[place].bytes;
            chosen.push(place);
        }
    };
    let named = |name: &String| tools.iter().position(|tool| tool.name == name);
    let before: Vec<usize> = offered.iter().filter_map(named).collect();
    let all: usize = before.iter().map(|place| tools[*place].bytes).sum();
    // Once there is hardly room for more, the offer begins anew.
    let stands = !before.is_empty() && all <= most / 4 * 3;
    if stands {
        before.iter().for_each(|place| add(*place, &mut chosen));
    }
    // The app's own are few, or to be chosen from like the others. Of what was used, the last has half of the room: a long
    // conversation has used more than there is room for.
    let own: usize = tools.iter().filter(|tool| tool.own).map(|tool| tool.bytes).sum();
    let mut room = most / 2;
    let called = |name: &String| tools.iter().position(|tool| tool.wire_name == name);
    let used = used.iter().rev().filter_map(called).filter(|place| {
        let fits = tools[*place].bytes <= room;
        room -= if fits { tools[*place].bytes } else { 0 };
        fits
    });
    let used: Vec<usize> = used.collect();
    for (place, tool) in tools.iter().enumerate() {
        if tool.own && own <= most / 2 || used.contains(&place) {
            add(place, &mut chosen);
        }
    }
    let ranked: Vec<usize> = ranked.iter().filter_map(named).collect();
    if stands && ranked.iter().take(BEST).all(|place| chosen.contains(place)) {
        return chosen;
    }
    // What fits best has its place for sure, and a quarter of the room is left for later prompts; among each other they stand
    // in the canonical order.
    let mut fitting = chosen.clone();
    for (rank, place) in ranked.iter().enumerate().take(MOST_NEW) {
        let size: usize = fitting.iter().map(|place| tools[*place].bytes).sum();
        if rank < BEST || size + tools[*place].bytes <= most / 4 * 3 {
            add(*place, &mut fitting);
        }
    }
    let mut fitting = fitting.split_off(chosen.len());
    fitting.sort_unstable();
    chosen.extend(fitting);
    chosen
}

/// How the names of `find_tools` begin.
pub const FIND: &str = "find_tools";

/// `find_tools` as models see it.
pub fn definition() -> Value {
    let query = json!({ "type": "string", "description": "What the tool should do, in a few words" });
    json!({
        "name": "find_tools",
        "description": "There are more tools than you see. This finds those that fit a description; you can call them from then \
            on. Use it before you say that something cannot be done.",
        "inputSchema": { "type": "object", "properties": { "query": query }, "required": ["query"] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(places: &[usize]) -> Vec<String> {
        places.iter().map(|place| NAMES[*place].to_owned()).collect()
    }

    const NAMES: [&str; 8] = ["own", "s.a", "s.b", "s.c", "s.d", "s.e", "s.f", "s.g"];

    fn tools() -> Vec<Candidate<'static>> {
        let tool = |name: &'static str| Candidate { name, wire_name: name, bytes: 100, own: name == "own" };
        NAMES.map(tool).to_vec()
    }

    fn chosen(offered: &[&str], used: &[&str], ranked: &[&str], most: usize) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        names(&choose(&tools(), &owned(offered), &owned(used), &owned(ranked), most))
    }

    #[test]
    fn the_apps_own_what_was_used_and_what_fits_in_the_canonical_order() {
        assert_eq!(chosen(&[], &["s.c"], &["s.f", "s.b", "s.c"], 1000), ["own", "s.c", "s.b", "s.f"]);
        assert_eq!(chosen(&[], &[], &["s.f", "s.b", "s.e"], 300), ["own", "s.b", "s.f"], "the best ones have the room");
        assert_eq!(chosen(&[], &[], &["s.b"], 150), ["s.b"], "too many of the app's own are none");
        assert_eq!(chosen(&[], &[], &[], 50), [""; 0]);
    }

    #[test]
    fn what_was_offered_stays_in_front_until_there_is_no_room() {
        let first = chosen(&[], &[], &["s.f", "s.b"], 1000);
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        let second = chosen(&first, &["s.b"], &["s.a", "s.f"], 1000);
        assert_eq!(second, ["own", "s.b", "s.f", "s.a"]);
        // A tool that is gone leaves no gap.
        assert_eq!(chosen(&["own", "s.gone", "s.g"], &[], &["s.a"], 1000), ["own", "s.g", "s.a"]);
        // 400 of 500 bytes: begun anew with what is in use.
        assert_eq!(chosen(&["own", "s.b", "s.f", "s.a"], &["s.f"], &["s.c"], 500), ["own", "s.f", "s.c"]);
    }

    #[test]
    fn what_was_used_last_has_half_of_the_room() {
        let used = ["s.a", "s.b", "s.c", "s.d"];
        assert_eq!(chosen(&[], &used, &["s.g", "s.f"], 500), ["own", "s.c", "s.d", "s.f", "s.g"]);
    }

    #[test]
    fn another_conversation_begins_alike_while_what_fits_best_is_there() {
        let standing = ["own", "s.g", "s.b", "s.f"];
        assert_eq!(chosen(&standing, &[], &["s.f", "s.b", "s.g", "s.a"], 1000), standing);
        assert_eq!(chosen(&standing, &[], &["s.f", "s.b", "s.a"], 1000), ["own", "s.g", "s.b", "s.f", "s.a"]);
    }

    fn before(front: &[&str], more: &[&str], used: &[&str]) -> Before {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Before { front: owned(front), more: owned(more), used: owned(used) }
    }

    /// The names in front, those behind, and how many are new.
    fn gone_on(before: &Before, ranked: &[&str], most: usize) -> Option<(Vec<String>, Vec<String>, usize)> {
        let ranked: Vec<String> = ranked.iter().map(|name| (*name).to_owned()).collect();
        let Choice { front, more, new } = go_on(&tools(), before, Adds { ranked: &ranked, most })?;
        Some((names(&front), names(&more), new))
    }

    #[test]
    fn a_conversation_goes_on_with_what_it_has_and_adds_behind_it() {
        let has = before(&["own", "s.f"], &["s.c"], &["s.e"]);
        let same = |most| gone_on(&has, &["s.f", "s.c", "own", "s.a"], most);
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(same(1000), Some((owned(&["own", "s.f"]), owned(&["s.c"]), 0)), "the three that fit best are there");
        // One of the best is missing: it comes, with what was called, behind all others.
        let more = gone_on(&has, &["s.f", "s.b"], 1000).unwrap();
        assert_eq!(more, (owned(&["own", "s.f"]), owned(&["s.c", "s.b", "s.e"]), 2));
        assert_eq!(
            gone_on(&has, &["s.b", "s.a"], 500).unwrap().1,
            ["s.c", "s.a", "s.b"],
            "and there is room for no more"
        );
        // What fits best has no room, or nothing was offered: it begins anew.
        assert_eq!(gone_on(&has, &["s.b", "s.a"], 400), None);
        assert_eq!((same(290), gone_on(&before(&[], &[], &[]), &["s.a"], 1000)), (None, None));
        // What is gone leaves no gap.
        let gone = before(&["s.gone", "s.f"], &["s.gone too"], &[]);
        assert_eq!(gone_on(&gone, &[], 1000), Some((owned(&["s.f"]), Vec::new(), 0)));
    }

    #[test]
    fn a_history_says_what_was_offered_in_it() {
        let text = |words: &str| Block::Text { text: words.into() };
        let offers =
            |names: &[&str], anew| Block::Tools { names: names.iter().map(|name| (*name).to_owned()).collect(), anew };
        let user = |content| Message { role: crate::llm::types::Role::User, content };
        let call = |id: &str, name: &str| Message {
            role: crate::llm::types::Role::Assistant,
            content: vec![Block::ToolUse { id: id.into(), name: name.into(), input: json!({}), invalid_input: None }],
        };
        let result = |id: &str, names: &[&str], is_error| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            user(vec![Block::ToolResult {
                tool_use_id: id.into(),
                content: vec![found::block("found".into(), names)],
                is_error,
            }])
        };
        let history = [
            user(vec![offers(&["old"], true), text("one")]),
            user(vec![offers(&["own", "s.f"], true), text("two")]),
            call("a", "find_tools"),
            result("a", &["s.c", "s.f"], false),
            call("b", "s.f"),
            // Whatever a server says there, it is none that finds tools.
            result("b", &["s.d"], false),
            call("c", "find_tools_"),
            result("c", &["s.g"], true),
            user(vec![offers(&["s.b", "s.c"], false), text("three")]),
        ];
        let mut used = before(&["own", "s.f"], &["s.c", "s.b"], &["find_tools", "s.f", "find_tools_"]);
        assert_eq!(Before::of(&history), used);
        let later = [&history[..], &[user(vec![offers(&["s.e"], true)])]].concat();
        (used.front, used.more) = (vec!["s.e".into()], Vec::new());
        assert_eq!(Before::of(&later), used);
        // Stored and loaded it is the same.
        let stored = serde_json::to_value(&later).unwrap();
        let loaded: Vec<Message> =
            stored.as_array().unwrap().iter().map(|message| Message::read(message).unwrap()).collect();
        assert_eq!(loaded, later);
    }
}
