//! One session of an older server for all tabs of an origin: who begins it, who joins it, and who ends it.
//!
//! Tabs that say the same to `initialize`, as the same principal, agree on a session. Whoever wants one looks at what is
//! kept of it while it holds a lock, so that they do so one after the other; and whoever uses one holds a lock of its own
//! all the while, so that the others know by its locks whether a session is still used. Nothing is relayed: each tab sends
//! its own requests with the id of the session.
//!
//! ```
//! # use edgewise::mcp::era::Era;
//! # use edgewise::mcp::legacy::Session;
//! # use edgewise::mcp::server::Link;
//! # use edgewise::mcp::shared::{Shared, Use};
//! # let session = Session { version: "2025-11-25".into(), id: Some("s1".into()), endpoint: None };
//! # let link = Link { era: Era::Legacy, session, capabilities: Default::default(), server_info: None, instructions: None };
//! // The first tab has begun a session, and keeps what the others have to know. Its next request has the id 4.
//! let (kept, first) = Shared::begun("a".into(), link, 4);
//! assert_eq!(first.limit, Shared::BLOCK);
//! // The next one, which has sent nothing so far, finds it in use: it joins, with ids that nobody else uses.
//! let mut kept = Shared::read(&kept.to_text()).unwrap();
//! assert_eq!(kept.join(Use::Others, 1).unwrap().first, first.limit);
//! ```

use serde_json::{Map, Value, json};

use super::config::ServerConfig;
use super::era::Era;
use super::input::Roots;
use super::legacy::Session;
use super::request::CLIENT_INFO;
use super::server::Link;
use crate::json;

/// What is kept of a session for other tabs.
#[derive(Clone, Debug, PartialEq)]
pub struct Shared {
    /// A name that its locks have; its id is for the server alone.
    pub name: String,
    /// What `initialize` gave.
    pub link: Link,
    /// The first block of request ids that nobody has claimed.
    next: u64,
    /// From which level on the server was told to log.
    pub level: Option<String>,
}

/// Request ids that one tab may use in a session: from `first` on, below `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The next one.
    pub first: u64,
    /// The first one that is not its own any more.
    pub limit: u64,
}

/// Who uses a session that is kept, as far as the tab knows that wants one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Nobody: whoever did is gone, and a page that is killed cannot say goodbye.
    Nobody,
    /// Another tab.
    Others,
    /// This one, which has used up its ids.
    Mine,
    /// This one, whose last request the server refused because it did not know the session.
    Lost,
}

impl Shared {
    /// How many ids one tab may use. Small, since servers exist that keep an id in 32 bits: 2,048 tabs may join before one
    /// gets ids past them.
    pub const BLOCK: u64 = 1 << 20;

    /// What is to be kept of a session that a tab has begun whose next request would have the id `next`, and the ids that
    /// are its own.
    pub fn begun(name: String, link: Link, next: u64) -> (Shared, Ids) {
        let mut shared = Shared { name, link, next: 0, level: None };
        let ids = shared.claim(next);
        (shared, ids)
    }

    /// Joins the session, if it can be joined: whoever uses it answers for its being alive. `next` is the id that the tab's
    /// next request would have. What is kept is others then.
    pub fn join(&mut self, used: Use, next: u64) -> Option<Ids> {
        matches!(used, Use::Others | Use::Mine).then(|| self.claim(next))
    }

    fn claim(&mut self, next: u64) -> Ids {
        let first = next.max(self.next * Shared::BLOCK);
        // A block of which a part is behind is good for what is left of it.
        self.next = first / Shared::BLOCK + 1;
        Ids { first, limit: self.next * Shared::BLOCK }
    }

    /// As it is kept.
    pub fn to_text(&self) -> String {
        let Link { session, capabilities, server_info, instructions, .. } = &self.link;
        let mut result = json!({ "capabilities": capabilities });
        if let Some(info) = server_info {
            result["serverInfo"] = json!({ "name": info.name, "version": info.version, "title": info.title });
        }
        if let Some(text) = instructions {
            result["instructions"] = text.as_str().into();
        }
        json::text(&json!([self.name, session.id, session.version, self.next, self.level, result]))
    }

    /// Reads what is kept; `None` for what cannot be read, which another version may have left.
    pub fn read(text: &str) -> Option<Shared> {
        let kept = json::read(text)?;
        let word = |at: usize| kept.get(at)?.as_str().map(str::to_owned);
        let session = Session { id: Some(word(1)?), version: word(2)?, endpoint: None };
        let mut result: Map<String, Value> = kept.get(5)?.as_object()?.clone();
        let link = Link::new(Era::Legacy, session, &mut result);
        Some(Shared { name: word(0)?, link, next: kept.get(3)?.as_u64()?, level: word(4) })
    }
}

/// What tabs have to agree on to share a session: what they say to `initialize`, and the roots that are given once.
pub fn terms(config: &ServerConfig) -> String {
    let roots = match &config.answerers.roots {
        Some(Roots::Fixed(roots)) => json::text(roots),
        _ => String::new(),
    };
    [CLIENT_INFO, &config.answerers.capabilities(Era::Legacy), &roots].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::server::Implementation;

    const B: u64 = Shared::BLOCK;

    fn link() -> Link {
        let info = |title: Option<&str>| Implementation {
            name: "s".into(),
            version: "1".into(),
            title: title.map(str::to_owned),
        };
        Link {
            era: Era::Legacy,
            session: Session { version: "2025-06-18".into(), id: Some("s 1".into()), endpoint: None },
            capabilities: json!({ "tools": { "listChanged": true } }).as_object().unwrap().clone(),
            server_info: Some(info(Some("S"))),
            instructions: Some("Be brief.".into()),
        }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let (mut shared, _) = Shared::begun("n".into(), link(), 1);
        assert_eq!(Shared::read(&shared.to_text()), Some(shared.clone()));
        shared.level = Some("debug".into());
        (shared.link.server_info, shared.link.instructions) = (None, None);
        assert_eq!(Shared::read(&shared.to_text()), Some(shared));
        for strange in ["", "7", "[]", "{}", r#"["n",null,"2025-06-18",1,null,{}]"#, r#"["n","s","v",-1,null,{}]"#] {
            assert_eq!(Shared::read(strange), None, "{strange}");
        }
    }

    #[test]
    fn whoever_joins_has_ids_of_its_own() {
        let (mut shared, first) = Shared::begun("n".into(), link(), 5);
        assert_eq!(first, Ids { first: 5, limit: B });
        assert_eq!(shared.join(Use::Others, 1), Some(Ids { first: B, limit: 2 * B }));
        // One that has come from another session goes on counting: its ids are its own there too.
        assert_eq!(shared.join(Use::Others, 7 * B + 9), Some(Ids { first: 7 * B + 9, limit: 8 * B }));
        assert_eq!(shared.join(Use::Others, 3), Some(Ids { first: 8 * B, limit: 9 * B }));
        // One that has used up its own.
        assert_eq!(shared.join(Use::Mine, B), Some(Ids { first: 9 * B, limit: 10 * B }));
        // A session that is begun by one that has come far.
        let (mut shared, ids) = Shared::begun("m".into(), link(), 3 * B);
        assert_eq!(ids, Ids { first: 3 * B, limit: 4 * B });
        assert_eq!(shared.join(Use::Others, 1), Some(Ids { first: 4 * B, limit: 5 * B }));
    }

    #[test]
    fn a_session_is_joined_only_while_somebody_uses_it() {
        for used in [Use::Nobody, Use::Lost] {
            let (mut shared, _) = Shared::begun("n".into(), link(), 1);
            let before = shared.clone();
            assert_eq!(shared.join(used, 1), None);
            assert_eq!(shared, before, "{used:?}");
        }
    }

    #[test]
    fn tabs_that_say_something_else_do_not_agree() {
        let terms = |options: Value| terms(&ServerConfig::read_alone(&options).unwrap());
        let plain = terms(json!({ "url": "https://a.test" }));
        assert_eq!(plain, terms(json!({ "url": "https://a.test", "timeoutMs": 7, "name": "other" })));
        let root = |uri: &str| terms(json!({ "url": "https://a.test", "roots": [{ "uri": uri }] }));
        let asked = terms(json!({ "url": "https://a.test", "onInput": { "$function": 1 } }));
        assert_eq!(asked, terms(json!({ "url": "https://a.test", "onInput": { "$function": 2 } })));
        let all = [plain, root("file:///a"), root("file:///b"), asked];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{one}");
        }
    }
}
