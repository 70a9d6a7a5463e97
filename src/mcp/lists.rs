//! The lists that servers keep, and for how long what they answer may be taken as fresh.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::time::{Millis, UnixMillis};

/// A list that a server keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `tools/list`.
    Tools,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    ResourceTemplates,
    /// `prompts/list`.
    Prompts,
}

impl List {
    /// Its method.
    pub const fn method(self) -> &'static str {
        match self {
            List::Tools => "tools/list",
            List::Resources => "resources/list",
            List::ResourceTemplates => "resources/templates/list",
            List::Prompts => "prompts/list",
        }
    }

    /// Field of a result that holds its elements.
    pub const fn key(self) -> &'static str {
        match self {
            List::Tools => "tools",
            List::Resources => "resources",
            List::ResourceTemplates => "resourceTemplates",
            List::Prompts => "prompts",
        }
    }

    /// The capability that a server declares if it keeps this list.
    pub const fn capability(self) -> &'static str {
        match self {
            List::Tools => "tools",
            List::Resources | List::ResourceTemplates => "resources",
            List::Prompts => "prompts",
        }
    }

    /// The list whose elements are in the field `key`.
    pub fn of(key: &str) -> Option<List> {
        let all = [List::Tools, List::Resources, List::ResourceTemplates, List::Prompts];
        all.into_iter().find(|list| list.key() == key)
    }
}

/// How long a result may be taken as fresh, and by whom ([MCP 2026-07-28, Caching, "Cacheable Model"]).
///
/// [MCP 2026-07-28, Caching, "Cacheable Model"]: https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/caching#cacheable-model
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Milliseconds from the moment the result came; 0 where the server names none, or a negative number.
    pub ttl_ms: u64,
    /// Every caller would get the same. False where the server does not say so.
    pub public: bool,
}

impl Freshness {
    /// Reads the hints of a result.
    pub fn read(result: &Map<String, Value>) -> Freshness {
        let ttl = result.get("ttlMs");
        // A float-to-integer cast saturates: negative gives 0.
        let ttl_ms = ttl.and_then(|ttl| ttl.as_u64().or_else(|| ttl.as_f64().map(|ttl| ttl as u64)));
        let public = result.get("cacheScope").is_some_and(|scope| scope == "public");
        Freshness { ttl_ms: ttl_ms.unwrap_or(0), public }
    }

    /// The hints that hold for both together.
    pub fn and(self, other: Freshness) -> Freshness {
        Freshness { ttl_ms: self.ttl_ms.min(other.ttl_ms), public: self.public && other.public }
    }

    /// Name of the scope, as the protocol has it.
    pub const fn scope(self) -> &'static str {
        if self.public { "public" } else { "private" }
    }
}

/// How old an answer is that was not fetched for the call that got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Age {
    /// Since it came from the server; 0 where the clock was set back since.
    pub age_ms: Millis,
    /// It is over, and was taken because the server could not be asked, or was not to be.
    pub stale: bool,
}

/// A whole list, all pages together.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// Which list it is.
    pub list: List,
    /// Its elements as the server sent them.
    pub elements: Vec<Value>,
    /// Smallest time and narrowest scope over the pages; `None` in the legacy era, which has no such hints.
    pub freshness: Option<Freshness>,
    /// How much longer it is fresh: until the first of the pages that say how long is over; `None` where none says.
    pub left: Option<Millis>,
    /// Some of it is over, and was taken because the server could not be asked, or was not to be.
    pub stale: bool,
}

/// How long a list that an agent holds is taken as it is where its server says nothing.
const UNTOLD: Millis = Millis::from_secs(60);
/// Longest time that a server's word is taken for.
const MOST: Millis = Millis::from_secs(24 * 3600);

/// From when on a list is to be asked for again, for whoever holds one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Until(UnixMillis);

impl Until {
    /// For a list that came now and is fresh for that long, or where its server says nothing, a minute.
    pub fn new(left: Option<Millis>, now: UnixMillis) -> Until {
        Until(now + left.unwrap_or(UNTOLD).min(MOST))
    }

    /// Whether it is over. A clock that was set back makes no list fresh for longer than any is.
    pub fn is_over(self, now: UnixMillis) -> bool {
        self.0 <= now || self.0.since(now) > MOST
    }
}

impl Listing {
    /// As JavaScript sees it: `{ tools: [...], ttlMs, cacheScope }`, the field named after the list.
    pub fn into_value(self) -> Value {
        let mut value = Map::new();
        value.insert(self.list.key().to_owned(), Value::Array(self.elements));
        if let Some(freshness) = self.freshness {
            value.insert("ttlMs".to_owned(), freshness.ttl_ms.into());
            value.insert("cacheScope".to_owned(), freshness.scope().into());
        }
        Value::Object(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(result: Value) -> (u64, &'static str) {
        let freshness = Freshness::read(result.as_object().unwrap());
        (freshness.ttl_ms, freshness.scope())
    }

    #[test]
    fn hints_of_a_result() {
        assert_eq!(read(json!({ "ttlMs": 5000, "cacheScope": "public" })), (5000, "public"));
        assert_eq!(read(json!({ "ttlMs": 5000.0, "cacheScope": "private" })), (5000, "private"));
        for odd in [json!({}), json!({ "ttlMs": -1, "cacheScope": "all" }), json!({ "ttlMs": "5", "cacheScope": true })]
        {
            assert_eq!(read(odd), (0, "private"));
        }
    }

    #[test]
    fn the_shortest_time_and_the_narrowest_scope_hold() {
        let long = Freshness { ttl_ms: 9, public: true };
        assert_eq!(long.and(Freshness { ttl_ms: 3, public: true }), Freshness { ttl_ms: 3, public: true });
        assert_eq!(Freshness { ttl_ms: 3, public: false }.and(long), Freshness { ttl_ms: 3, public: false });
    }

    #[test]
    fn a_list_is_over_when_its_server_says_or_after_a_minute() {
        let now = UnixMillis(1_000_000_000);
        let over = |left: Option<u64>, later: u64| Until::new(left.map(Millis), now).is_over(now + Millis(later));
        assert!(over(Some(0), 0) && over(Some(5), 5) && over(None, 60_000) && Until::default().is_over(now));
        assert!(!over(Some(5), 4) && !over(None, 59_999));
        assert!(over(Some(u64::MAX), 24 * 3_600_000), "a day at most");
        assert!(Until::new(None, now).is_over(UnixMillis(0)), "the clock was set back");
    }

    #[test]
    fn lists_go_by_their_field() {
        for list in [List::Tools, List::Resources, List::ResourceTemplates, List::Prompts] {
            assert_eq!(List::of(list.key()), Some(list));
            assert!(list.method().starts_with(list.capability()));
        }
        assert_eq!(List::of("tasks"), None);
    }

    #[test]
    fn a_listing_as_javascript_sees_it() {
        let mut listing = Listing {
            list: List::Prompts,
            elements: vec![json!({ "name": "a", "x": 1 })],
            freshness: None,
            left: None,
            stale: false,
        };
        assert_eq!(listing.clone().into_value(), json!({ "prompts": [{ "name": "a", "x": 1 }] }));
        listing.freshness = Some(Freshness { ttl_ms: 7, public: true });
        let expected = json!({ "prompts": [{ "name": "a", "x": 1 }], "ttlMs": 7, "cacheScope": "public" });
        assert_eq!(listing.into_value(), expected);
    }
}
