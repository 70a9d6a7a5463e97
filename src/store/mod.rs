//! [`Store`]: everything that is kept, over any ordered list of records that changes whole batches at once.
//!
//! What a browser, a Durable Object or the app itself provides is a [`Backing`]: records by key, nothing more. Expiry,
//! sums, migration, eviction and what happens when there is no room are here, the same for all of them.
//!
//! # In scope
//!
//! - Nothing that is stored can fail a run: what cannot be read is not there, what cannot be written is kept in memory.
//! - A record that is broken is dropped, and counted.
//! - When there is no room, what was not used for longest goes, of what may go at all ([`Space::is_evictable`]).

#[cfg(feature = "parts")]
pub mod archive;
mod evict;
mod migrate;
mod record;
mod waiting;

use std::cell::{Cell, RefCell};

use crate::platform::{Space, StoreCounts, StoreFailure, Stored, Write};
use crate::time::{Millis, UnixMillis};
use evict::Entry;
use record::{Meta, SCHEMA, SCHEMA_KEY, at, path};
pub(crate) use waiting::Waiting;

/// How exactly the last use is known: noting each use would make each reading a writing.
const USE_STEP: Millis = Millis(60_000);
/// After how many uses they are noted without waiting for a change.
const MOST_TOUCHED: usize = 64;

/// Records by key: what a runtime provides.
///
/// 1. [`apply`](Backing::apply) does all of it or nothing, in the given order; two at a time do not mix.
/// 2. [`read`](Backing::read) sees one state of all its keys.
/// 3. Dropping a future may or may not have stopped what it asked for, as a whole.
pub trait Backing {
    /// Wall-clock time, see [`Platform::now`](crate::platform::Platform::now).
    fn now(&self) -> UnixMillis;

    /// The records of these keys, in their order.
    ///
    /// # Errors
    ///
    /// [`StoreFailure::Absent`].
    async fn read(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, StoreFailure>;

    /// All records whose key begins so, in any order.
    ///
    /// # Errors
    ///
    /// [`StoreFailure::Absent`].
    async fn list(&self, prefix: String) -> Result<Vec<(String, Vec<u8>)>, StoreFailure>;

    /// Changes records.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`]; then nothing has changed.
    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreFailure>;
}

/// A change of one record, or of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a record.
    Put(String, Vec<u8>),
    /// Removes a record.
    Remove(String),
    /// Removes all whose keys begin so.
    RemovePrefix(String),
}

/// Values in spaces, over records.
pub struct Store<B> {
    backing: B,
    /// Schema read, older records brought over.
    ready: Cell<bool>,
    /// Our schema is noted there.
    marked: Cell<bool>,
    /// What could not be stored; it is newer than what is.
    waiting: RefCell<Waiting>,
    /// Paths that were read since their use was noted last.
    touched: RefCell<Vec<(String, UnixMillis)>>,
    /// Most bytes of values that may be evicted.
    limit: u64,
    /// How many there are as far as we know, once we have counted them.
    bytes: Cell<Option<u64>>,
    counts: RefCell<StoreCounts>,
}

impl<B: Backing> Store<B> {
    /// A store over those records. Of what may be evicted it keeps at most `limit` bytes.
    pub fn new(backing: B, limit: u64) -> Store<B> {
        Store {
            backing,
            ready: Cell::new(false),
            marked: Cell::new(false),
            waiting: RefCell::default(),
            touched: RefCell::default(),
            limit,
            bytes: Cell::new(None),
            counts: RefCell::default(),
        }
    }

    /// What this is over.
    pub fn backing(&self) -> &B {
        &self.backing
    }

    /// What has happened since it was made.
    pub fn counts(&self) -> StoreCounts {
        self.counts.borrow().clone()
    }

    /// What is kept in memory because it could not be stored, in its order.
    pub fn waiting_writes(&self) -> Vec<Write> {
        self.waiting.borrow().writes().cloned().collect()
    }

    /// Bytes that are kept in memory because they could not be stored.
    pub fn waiting_bytes(&self) -> u64 {
        self.waiting.borrow().bytes()
    }

    /// See [`Platform::load`](crate::platform::Platform::load).
    pub async fn load(&self, space: Space, key: &str) -> Option<Vec<u8>> {
        let now = self.backing.now();
        if let Some(known) = self.waiting.borrow().find(space, key, now) {
            return known.map(<[u8]>::to_vec);
        }
        self.prepare().await.ok()?;
        let path = path(space, key);
        // A reading that finds no fitting pair may have come between two changes where records are not read together.
        for last in [false, true] {
            let records = self.backing.read(vec![at("m/", &path), at("v/", &path)]).await.ok()?;
            let [meta, value] = <[Option<Vec<u8>>; 2]>::try_from(records).ok()?;
            if meta.is_none() && value.is_none() {
                return None;
            }
            if let Some(meta) = meta.and_then(|meta| Meta::read(&meta))
                && let Some(value) = value.filter(|value| meta.fits(&path, value))
            {
                if meta.is_over(now) {
                    return None;
                }
                if space.is_evictable() && now.since(meta.used) > USE_STEP {
                    self.touch(path, now).await;
                }
                return Some(value);
            }
            if last {
                self.count(|counts| counts.broken += 1);
                // Best effort: it is found broken again.
                let _ = self.backing.apply(removal(&path)).await;
            }
        }
        None
    }

    /// See [`Platform::list`](crate::platform::Platform::list).
    pub async fn list(&self, space: Space, prefix: &str) -> Vec<Stored> {
        let now = self.backing.now();
        let mut found = Vec::new();
        let start = path(space, "");
        if self.prepare().await.is_ok() {
            let entries = self.entries(&path(space, prefix), space.is_evictable()).await.unwrap_or_default();
            for Entry { path, meta, used } in entries.into_iter().filter(|entry| !entry.meta.is_over(now)) {
                let key = path[start.len()..].to_owned();
                found.push(Stored { key, bytes: meta.bytes.into(), expires: meta.expires, used });
            }
        }
        self.waiting.borrow().merge(space, prefix, now, &mut found);
        found.sort_by(|one, other| one.key.cmp(&other.key));
        found
    }

    /// See [`Platform::write`](crate::platform::Platform::write).
    ///
    /// # Errors
    ///
    /// [`StoreFailure`] when it is kept in memory only.
    pub async fn write(&self, batch: Vec<Write>) -> Result<(), StoreFailure> {
        let stored = self.write_now(&batch).await;
        if let Err(failure) = stored {
            self.waiting.borrow_mut().keep(batch, self.backing.now(), failure);
        }
        stored
    }

    /// See [`Platform::write_now`](crate::platform::Platform::write_now).
    ///
    /// # Errors
    ///
    /// [`StoreFailure`].
    pub async fn write_now(&self, batch: &[Write]) -> Result<(), StoreFailure> {
        let stored = match self.prepare().await {
            Ok(()) => self.store(batch).await,
            Err(failure) => Err(failure),
        };
        if stored.is_err() {
            self.count(|counts| counts.failed += 1);
        }
        stored
    }

    async fn store(&self, batch: &[Write]) -> Result<(), StoreFailure> {
        let now = self.backing.now();
        let news: u64 = batch.iter().map(|write| evictable_bytes(write, now)).sum();
        if news > 0 {
            self.make_room_for(news).await;
        }
        let (turn, mut changes) = {
            let waiting = self.waiting.borrow();
            let mut changes = Vec::new();
            // What the batch makes worthless needs no room.
            let rest = waiting.writes().filter(|older| !batch.iter().any(|write| waiting::supersedes(write, older)));
            for write in rest {
                match write {
                    // Meanwhile another tab may have been told that it is over, or have a newer one.
                    Write::Put { space: Space::Cache, key, .. } => changes.extend(removal(&path(Space::Cache, key))),
                    write => add(&mut changes, write, now),
                }
            }
            batch.iter().for_each(|write| add(&mut changes, write, now));
            (waiting.turn(), changes)
        };
        let touched = self.touched.take();
        changes.splice(..0, touched.into_iter().map(|(path, used)| use_of(&path, used)));
        if !self.marked.get() {
            changes.push(mark());
        }
        let mut tried = self.backing.apply(changes.clone()).await;
        let mut needed = news.max(64 * 1024);
        while tried == Err(StoreFailure::Full) && self.evict(needed).await {
            tried = self.backing.apply(changes.clone()).await;
            needed = needed.saturating_mul(4);
        }
        tried?;
        self.marked.set(true);
        self.bytes.set(self.bytes.get().map(|bytes| bytes.saturating_add(news)));
        self.waiting.borrow_mut().stored(turn);
        Ok(())
    }

    /// Reads the schema once, and brings over what an older version has stored.
    async fn prepare(&self) -> Result<(), StoreFailure> {
        if self.ready.get() {
            return Ok(());
        }
        let schema = self.backing.read(vec![SCHEMA_KEY.to_owned()]).await?;
        match schema.first().and_then(Option::as_deref) {
            Some(schema) if schema == SCHEMA.as_bytes() => self.marked.set(true),
            // A newer version of the package has been here: what it stored is not ours to read or to change.
            Some(_) => return Err(StoreFailure::Absent),
            None => {
                let now = self.backing.now();
                let mut changes = Vec::new();
                for (old, value) in self.backing.list(String::new()).await? {
                    if let Some((space, key)) = migrate::from_1(&old) {
                        add(&mut changes, &Write::put(space, key, value), now);
                        changes.push(Change::Remove(old));
                    }
                }
                if !changes.is_empty() {
                    changes.push(mark());
                    self.backing.apply(changes).await?;
                }
            }
        }
        self.ready.set(true);
        Ok(())
    }

    /// Notes a use; many of them at a time.
    async fn touch(&self, path: String, now: UnixMillis) {
        let many = {
            let mut touched = self.touched.borrow_mut();
            touched.retain(|(known, _)| *known != path);
            touched.push((path, now));
            touched.len() >= MOST_TOUCHED
        };
        if many {
            let uses = self.touched.take().iter().map(|(path, used)| use_of(path, *used)).collect();
            // Best effort: a use that is forgotten makes a value look older than it is.
            let _ = self.backing.apply(uses).await;
        }
    }

    /// What is known of all values whose path begins so, with their last use.
    async fn entries(&self, prefix: &str, uses: bool) -> Result<Vec<Entry>, StoreFailure> {
        let listed = self.backing.list(at("m/", prefix)).await?;
        let read = |(record, meta): (String, Vec<u8>)| {
            let meta = Meta::read(&meta)?;
            Some(Entry { path: record.get(2..)?.to_owned(), meta, used: meta.used })
        };
        let mut entries: Vec<Entry> = listed.into_iter().filter_map(read).collect();
        if uses {
            entries.sort_by(|one, other| one.path.cmp(&other.path));
            let noted = self.backing.list(at("u/", prefix)).await?;
            let noted =
                noted.iter().filter_map(|(record, used)| Some((record.get(2..)?, UnixMillis(record::number(used)?))));
            let touched = self.touched.borrow();
            for (path, used) in noted.chain(touched.iter().map(|(path, used)| (path.as_str(), *used))) {
                if let Ok(place) = entries.binary_search_by(|entry| entry.path.as_str().cmp(path)) {
                    entries[place].used = entries[place].used.max(used);
                }
            }
        }
        Ok(entries)
    }

    /// Evicts what is needed so that the limit is kept.
    async fn make_room_for(&self, news: u64) {
        let known = match self.bytes.get() {
            Some(bytes) => bytes,
            None => self.weigh().await,
        };
        if known.saturating_add(news) > self.limit {
            // Another tab may have made room, or used it.
            let excess = self.weigh().await.saturating_add(news).saturating_sub(self.limit);
            if excess > 0 {
                self.evict(excess.max(self.limit / 10)).await;
            }
        }
    }

    async fn weigh(&self) -> u64 {
        let bytes = self.evictable().await.iter().map(|entry| u64::from(entry.meta.bytes)).sum();
        self.bytes.set(Some(bytes));
        bytes
    }

    async fn evictable(&self) -> Vec<Entry> {
        let mut all = Vec::new();
        for space in Space::ALL.into_iter().filter(|space| space.is_evictable()) {
            all.extend(self.entries(&path(space, ""), true).await.unwrap_or_default());
        }
        all
    }

    /// Evicts that many bytes, if there are so many. False when nothing was left to go.
    async fn evict(&self, bytes: u64) -> bool {
        let (victims, freed) = evict::choose(self.evictable().await, bytes, self.backing.now());
        if victims.is_empty() {
            return false;
        }
        self.touched.borrow_mut().retain(|(path, _)| !victims.contains(path));
        if self.backing.apply(victims.iter().flat_map(|path| removal(path)).collect()).await.is_err() {
            return false;
        }
        self.count(|counts| {
            counts.evicted += victims.len() as u64;
            counts.evicted_bytes += freed;
            let cached = path(Space::Cache, "");
            for victim in &victims {
                let Some((of, _)) = victim.strip_prefix(&cached).and_then(|key| key.split_once('/')) else { continue };
                match counts.evicted_of.iter_mut().find(|(known, _)| known == of) {
                    Some((_, count)) => *count += 1,
                    None => counts.evicted_of.push((of.to_owned(), 1)),
                }
            }
        });
        self.bytes.set(self.bytes.get().map(|known| known.saturating_sub(freed)));
        true
    }

    fn count(&self, change: impl FnOnce(&mut StoreCounts)) {
        change(&mut self.counts.borrow_mut());
    }
}

/// The records that a change is made of.
fn add(changes: &mut Vec<Change>, write: &Write, now: UnixMillis) {
    match write {
        Write::Put { space, key, value, expires } => {
            let path = path(*space, key);
            let meta = Meta::of(&path, value, *expires, now);
            changes.push(Change::Put(at("m/", &path), meta.to_bytes()));
            changes.push(Change::Put(at("v/", &path), value.clone()));
        }
        Write::Remove { space, key } => changes.extend(removal(&path(*space, key))),
        Write::RemovePrefix { space, prefix } => {
            let path = path(*space, prefix);
            changes.extend(["m/", "v/", "u/"].map(|kind| Change::RemovePrefix(at(kind, &path))));
        }
    }
}

fn mark() -> Change {
    Change::Put(SCHEMA_KEY.to_owned(), SCHEMA.as_bytes().to_vec())
}

fn removal(path: &str) -> Vec<Change> {
    ["m/", "v/", "u/"].map(|kind| Change::Remove(at(kind, path))).into()
}

fn use_of(path: &str, used: UnixMillis) -> Change {
    Change::Put(at("u/", path), used.0.to_le_bytes().to_vec())
}

fn evictable_bytes(write: &Write, now: UnixMillis) -> u64 {
    match write {
        Write::Put { space, value, expires, .. } if space.is_evictable() && expires.is_none_or(|at| at > now) => {
            value.len() as u64
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
