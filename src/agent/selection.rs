//! Which tools a model is offered where all of them would cost too much: those that fit what is asked, and `find_tools`.
//!
//! A provider's prompt cache begins with the tools. So what was offered stays, in the order in which it came, and what is
//! found later stands behind it.

use serde_json::{Value, json};

/// Most tools that one prompt adds.
pub const MOST_NEW: usize = 24;

/// Most tools that one call of `find_tools` adds.
pub const MOST_FOUND: usize = 8;

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

/// The places of the tools to offer, in the order of the offer, that fit into `most` bytes.
///
/// `offered` are the names that were offered last, in their order; `used` those, wire names, that the history has calls of;
/// `ranked` finds out what fits the prompt, best first.
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
    if all <= most / 4 * 3 {
        before.iter().for_each(|place| add(*place, &mut chosen));
    }
    // The app's own are few, or to be chosen from like the others.
    let own: usize = tools.iter().filter(|tool| tool.own).map(|tool| tool.bytes).sum();
    for (place, tool) in tools.iter().enumerate() {
        if tool.own && own <= most / 2 || used.iter().any(|used| used == tool.wire_name) {
            add(place, &mut chosen);
        }
    }
    let mut new: Vec<usize> = ranked.iter().filter_map(named).filter(|place| !chosen.contains(place)).collect();
    new.truncate(MOST_NEW);
    // What fits best has its place for sure; among each other they stand in the canonical order.
    let mut fitting = chosen.clone();
    new.iter().for_each(|place| add(*place, &mut fitting));
    let mut fitting = fitting.split_off(chosen.len());
    fitting.sort_unstable();
    chosen.extend(fitting);
    chosen
}

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
}
