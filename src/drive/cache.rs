//! Asks servers by way of what they said before.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};

use futures_util::lock::Mutex;
use serde_json::{Map, Value, json};

use crate::cache::{self, CacheConfig, Mode, Record};
use crate::drive::mcp::Connection;
use crate::drive::wait::{Cancel, unless_cancelled};
use crate::error::{Code, Error, Result};
use crate::mcp::listen::Change;
use crate::mcp::lists::{Age, Freshness};
use crate::platform::{self, Platform, Space, Write};
use crate::time::Millis;

const DISCOVER: &str = "server/discover";

/// Where it stands, for each server, when answers of it were made worthless last.
const TURNS: &str = "turns";
/// So long that stays: no answer takes longer.
const TURN_STAYS: Millis = Millis::from_secs(3_600);
/// How long a write may still be carried out whose end nobody has seen, counted from when it was sent or given up.
const WRITE_LASTS: Millis = Millis::from_secs(300);

/// Everything that an agent's servers said and that may be used again. Shared with other tabs, where the store is.
pub(super) struct Cache<P: Platform> {
    platform: Rc<P>,
    config: CacheConfig,
    lanes: RefCell<Vec<(String, Rc<Lane>)>>,
}

/// What is known of one server's answers beside the answers.
#[derive(Default)]
struct Lane {
    /// Counts what made earlier answers worthless: what was asked before is not kept when it comes after.
    turn: Cell<u64>,
    tally: Cell<Tally>,
    /// Held while somebody asks; equal calls wait and find the answer.
    asking: RefCell<Vec<(String, Weak<Mutex<()>>)>>,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    hits: u64,
    misses: u64,
    stale: u64,
}

/// One question to a server.
pub(super) struct Question<'a, P: Platform> {
    pub(super) connection: &'a Connection<P>,
    pub(super) method: &'a str,
    pub(super) params: &'a Map<String, Value>,
    /// How long an answer is fresh that does not say so; `None`: it is not cached.
    pub(super) ttl: Option<Millis>,
    pub(super) mode: Mode,
    /// Asking it makes worthless what the server's tools gave before.
    pub(super) writes: bool,
}

type Answer = Result<Map<String, Value>>;

impl<P: Platform> Cache<P> {
    pub(super) fn new(platform: Rc<P>, config: CacheConfig) -> Cache<P> {
        Cache { platform, config, lanes: RefCell::default() }
    }

    pub(super) fn config(&self) -> &CacheConfig {
        &self.config
    }

    fn lane(&self, server: &str) -> Rc<Lane> {
        let mut lanes = self.lanes.borrow_mut();
        if let Some((_, lane)) = lanes.iter().find(|(known, _)| known == server) {
            return lane.clone();
        }
        let lane = Rc::<Lane>::default();
        lanes.push((server.to_owned(), lane.clone()));
        lane
    }

    /// The answer from what is kept, or else from `fetch`, which is not polled before that is decided; with how old it is
    /// where it was kept.
    ///
    /// # Errors
    ///
    /// Those of `fetch`; `network` where nothing is kept and the server is not to be asked; `cancelled`.
    pub(super) async fn ask(
        &self,
        question: Question<'_, P>,
        cancel: &Cancel,
        fetch: Pin<Box<dyn Future<Output = Answer> + '_>>,
    ) -> Result<(Map<String, Value>, Option<Age>)> {
        let Question { connection, method, params, ttl, mode, writes } = question;
        let offline = mode == Mode::OnlyIfCached;
        let server = connection.config().identity();
        let Some(ttl) = ttl.filter(|_| mode != Mode::NoStore && self.config.is_enabled()) else {
            if offline {
                return Err(nothing(method));
            }
            let write = if writes { Some(self.begin_write(&server, method).await) } else { None };
            let result = fetch.await;
            if let Some(write) = write {
                self.end_write(&server, method, write, &result).await;
            }
            return result.map(|result| (result, None));
        };
        let principal = connection.principal().await?;
        let digest = cache::digest(params);
        let key = |principal: &str| platform::key(&[&server, method, principal, &digest]);
        let (own, public) = (key(&principal), key("public"));
        let lane = self.lane(&server);
        let cancelled = || Error::cancelled(method);
        let gate = lane.gate(&own);
        let _turn = match offline {
            true => None,
            false => Some(unless_cancelled(cancel, gate.lock()).await.map_err(|_| cancelled())?),
        };
        let found = if mode == Mode::Reload { None } else { self.find(&own, &public).await };
        let aged = found.map(|record| (record.age(self.platform.now()), record));
        if let Some((age, record)) = &aged
            && (!age.stale || offline)
        {
            lane.count(|tally| if age.stale { tally.stale += 1 } else { tally.hits += 1 });
            return Ok((record.result.clone(), Some(*age)));
        }
        if offline {
            return Err(nothing(method));
        }
        let unsure = self.is_being_written(&server, method).await;
        let write = if writes { Some(self.begin_write(&server, method).await) } else { None };
        let told = self.told(&server).await;
        let (turn, asked) = (lane.turn.get(), connection.asked());
        let answer = fetch.await;
        let mut same = lane.turn.get() == turn && connection.asked() == asked;
        if let Some(write) = write {
            same &= self.told(&server).await == told;
            self.end_write(&server, method, write, &answer).await;
        }
        match answer {
            Ok(result) => {
                lane.count(|tally| tally.misses += 1);
                let record = Record::new(&result, ttl, self.platform.now()).filter(|_| same);
                // Worth something only while the server cannot be asked.
                let record = record.map(|record| if unsure { record.over() } else { record });
                if let Some(record) = record
                    && let Some(value) = record.to_bytes()
                    // Whoever signed in meanwhile is somebody else.
                    && connection.principal().await.is_ok_and(|now| now == principal)
                {
                    let key = if record.is_public() { public } else { own };
                    let removal = Write::remove(Space::Cache, key.clone());
                    let put = Write::Put { space: Space::Cache, key, value, expires: Some(record.expires()) };
                    // What is not kept is fetched again.
                    let _ = self.platform.write(vec![put]).await;
                    // Another tab removed what there was before this came.
                    if !writes && self.told(&server).await != told {
                        let _ = self.platform.write(vec![removal]).await;
                    }
                }
                Ok((result, None))
            }
            Err(error) => match aged {
                Some((_, record)) if cache::is_outage(&error) => {
                    lane.count(|tally| tally.stale += 1);
                    let age = record.age(self.platform.now());
                    Ok((record.result, Some(Age { stale: true, ..age })))
                }
                _ => Err(error),
            },
        }
    }

    /// What the server said of itself, if that is fresh by its own word ([MCP 2026-07-28, Caching, "Cacheable Results"] has
    /// `server/discover` among them).
    ///
    /// [MCP 2026-07-28, Caching, "Cacheable Results"]: https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/caching
    pub(super) async fn greeting(&self, connection: &Connection<P>) -> Option<Map<String, Value>> {
        let server = connection.config().identity();
        let all = platform::key(&[&server, DISCOVER, ""]);
        // Most servers vouch for no time; who asks is found out only where something is kept.
        if !self.config.is_enabled() || self.platform.list(Space::Cache, &all).await.is_empty() {
            return None;
        }
        let principal = connection.principal().await.ok()?;
        let record = self.find(&[all.as_str(), &principal].concat(), &[all.as_str(), "public"].concat()).await?;
        (!record.age(self.platform.now()).stale).then_some(record.result)
    }

    /// Keeps what the server said of itself, if it vouches for it; `principal` is who asked.
    pub(super) async fn keep_greeting(&self, connection: &Connection<P>, principal: &str, result: &Map<String, Value>) {
        if !self.config.is_enabled() || Freshness::read(result).ttl_ms == 0 {
            return;
        }
        // Whoever signed in meanwhile is somebody else.
        if connection.principal().await.is_ok_and(|now| now == principal)
            && let Some(record) = Record::new(result, Millis(0), self.platform.now())
            && let Some(value) = record.to_bytes()
        {
            let principal = if record.is_public() { "public" } else { principal };
            let key = platform::key(&[&connection.config().identity(), DISCOVER, principal]);
            let put = Write::Put { space: Space::Cache, key, value, expires: Some(record.expires()) };
            // What is not kept is asked for again.
            let _ = self.platform.write(vec![put]).await;
        }
    }

    async fn find(&self, own: &str, public: &str) -> Option<Record> {
        for key in [own, public] {
            if let Some(record) = self.platform.load(Space::Cache, key).await.and_then(|bytes| Record::read(&bytes)) {
                return Some(record);
            }
        }
        None
    }

    /// What stands for the last time that answers of a server were made worthless, in whichever tab.
    async fn told(&self, server: &str) -> Option<Vec<u8>> {
        self.platform.load(Space::Cache, &platform::key(&[TURNS, server])).await
    }

    /// Tells the other tabs that what they are being answered is worthless.
    fn tell(&self, server: &str) -> Write {
        Write::Put {
            space: Space::Cache,
            key: platform::key(&[TURNS, server]),
            value: self.platform.random().to_le_bytes().into(),
            expires: Some(self.platform.now() + TURN_STAYS),
        }
    }

    /// A write is about to be sent: what it may change is forgotten, since nobody may be left to see its end. Until that is
    /// known, in whichever tab, what the server answers may be from before it. Gives the key of what says so.
    async fn begin_write(&self, server: &str, method: &str) -> String {
        let key = platform::key(&[TURNS, server, method, &self.platform.random().to_string()]);
        self.forget_with(server, method, Some(self.lasting(key.clone()))).await;
        key
    }

    /// That write has come to its end, or was given up: then the server may still carry it out.
    async fn end_write(&self, server: &str, method: &str, key: String, answer: &Answer) {
        let known = answer.as_ref().err().is_none_or(cache::is_answered);
        let mark = if known { Write::remove(Space::Cache, key) } else { self.lasting(key) };
        self.forget_with(server, method, Some(mark)).await;
    }

    fn lasting(&self, key: String) -> Write {
        let expires = Some(self.platform.now() + WRITE_LASTS);
        Write::Put { space: Space::Cache, key, value: Vec::new(), expires }
    }

    /// The server may be carrying out what changes its answers to a method.
    async fn is_being_written(&self, server: &str, method: &str) -> bool {
        !self.platform.list(Space::Cache, &platform::key(&[TURNS, server, method, ""])).await.is_empty()
    }

    /// Counts what made earlier answers of a server worthless.
    pub(super) fn turn(&self, server: &str) -> u64 {
        self.lane(server).turn.get()
    }

    /// What is under way will not be kept: the server has changed, or is about to.
    pub(super) fn outdate(&self, server: &str) {
        let lane = self.lane(server);
        lane.turn.set(lane.turn.get() + 1);
    }

    /// Forgets what a server answered to a method, whoever asked.
    pub(super) async fn forget(&self, server: &str, method: &str) {
        self.forget_with(server, method, None).await;
    }

    async fn forget_with(&self, server: &str, method: &str, also: Option<Write>) {
        self.outdate(server);
        let removal = Write::remove_prefix(Space::Cache, platform::key(&[server, method, ""]));
        let _ = self.platform.write([removal, self.tell(server)].into_iter().chain(also).collect()).await;
        self.outdate(server);
    }

    /// Forgets what a change on a server made worthless, whoever asked. `watched` are the resources that somebody watches.
    pub(super) async fn changed(&self, server: &str, change: &Change, watched: &[String]) {
        let (methods, resources) = cache::outdated(change, watched);
        if !self.config.is_enabled() || methods.is_empty() && resources.is_empty() {
            return;
        }
        self.outdate(server);
        let of = |method: &str| platform::key(&[server, method, ""]);
        let mut writes: Vec<Write> =
            methods.iter().map(|method| Write::remove_prefix(Space::Cache, of(method))).collect();
        if !resources.is_empty() {
            let digests: Vec<String> = resources.iter().map(|uri| digest_of(uri)).collect();
            for stored in self.platform.list(Space::Cache, &of(cache::READ)).await {
                if digests.iter().any(|digest| stored.key.ends_with(digest.as_str())) {
                    writes.push(Write::remove(Space::Cache, stored.key));
                }
            }
        }
        writes.push(self.tell(server));
        let _ = self.platform.write(writes).await;
        self.outdate(server);
    }

    /// Forgets everything of the servers with these identities, or, without any, of all that ever were.
    pub(super) async fn clear(&self, servers: Option<&[String]>) {
        let prefixes = match servers {
            Some(servers) => servers.iter().map(|server| platform::key(&[server, ""])).collect(),
            None => vec![String::new()],
        };
        let outdate = || self.lanes.borrow().iter().for_each(|(_, lane)| lane.turn.set(lane.turn.get() + 1));
        outdate();
        let removal = |prefix| Write::remove_prefix(Space::Cache, prefix);
        let _ = self.platform.write(prefixes.into_iter().map(removal).collect()).await;
        outdate();
    }

    /// Counts since the agent was made, and what is kept now, in all and for each of these servers, by name and identity.
    pub(super) async fn stats(&self, servers: &[(String, String)]) -> Value {
        let counts = self.platform.store_counts();
        let mut list = Vec::new();
        let mut sum = Sum::default();
        let turns = platform::key(&[TURNS, ""]);
        let answers = self.platform.list(Space::Cache, "").await;
        answers.iter().filter(|stored| !stored.key.starts_with(&turns)).for_each(|stored| sum.add(stored.bytes));
        let mut all = Tally::default();
        for (name, identity) in servers {
            let mut own = Sum::default();
            for stored in self.platform.list(Space::Cache, &platform::key(&[identity, ""])).await {
                own.add(stored.bytes);
            }
            let tally = self.lane(identity).tally.get();
            all = Tally {
                hits: all.hits + tally.hits,
                misses: all.misses + tally.misses,
                stale: all.stale + tally.stale,
            };
            let mut told = own.told(tally, Some(name));
            let of = platform::key(&[identity]);
            let evicted = counts.evicted_of.iter().find(|(known, _)| *known == of);
            told["evictions"] = evicted.map_or(0, |(_, count)| *count).into();
            list.push(told);
        }
        let mut told = sum.told(all, None);
        told["evictions"] = counts.evicted.into();
        told["broken"] = counts.broken.into();
        told["servers"] = Value::Array(list);
        told
    }
}

#[derive(Default)]
struct Sum {
    entries: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.entries += 1;
        self.bytes += bytes;
    }

    fn told(&self, tally: Tally, server: Option<&str>) -> Value {
        let mut told = json!({
            "entries": self.entries,
            "bytes": self.bytes,
            "hits": tally.hits,
            "misses": tally.misses,
            "stale": tally.stale,
        });
        if let Some(server) = server {
            told["server"] = server.into();
        }
        told
    }
}

impl Lane {
    fn count(&self, change: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.get();
        change(&mut tally);
        self.tally.set(tally);
    }

    /// The lock of those who ask the same.
    fn gate(&self, key: &str) -> Rc<Mutex<()>> {
        let mut asking = self.asking.borrow_mut();
        asking.retain(|(_, gate)| gate.strong_count() > 0);
        if let Some(gate) = asking.iter().find(|(known, _)| known == key).and_then(|(_, gate)| gate.upgrade()) {
            return gate;
        }
        let gate = Rc::new(Mutex::new(()));
        asking.push((key.to_owned(), Rc::downgrade(&gate)));
        gate
    }
}

/// How the key of a resource's content ends.
fn digest_of(uri: &str) -> String {
    let mut params = Map::new();
    params.insert("uri".to_owned(), uri.into());
    ["/", &cache::digest(&params)].concat()
}

/// Nothing is kept, and the server is not to be asked.
pub(super) fn nothing(method: &str) -> Error {
    Error::new(Code::Network, [method, ": nothing is cached, and the server was not to be asked"].concat())
}

#[cfg(test)]
#[path = "cache_list_tests.rs"]
mod list_tests;
#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
