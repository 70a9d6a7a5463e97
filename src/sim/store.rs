//! The records of [`SimPlatform`]: a disk that all tabs of a world share, with room, faults and bit rot.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use super::platform::{SimPlatform, World};
use crate::platform::{Space, StoreFailure};
use crate::store::{Backing, Change, Store};
use crate::time::{Millis, UnixMillis};

/// Most bytes of values that the simulator's stores keep of what may be evicted.
pub const STORE_LIMIT: u64 = 1024 * 1024;

/// What is stored, beneath everything.
pub(super) struct Disk {
    records: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Bytes that fit, keys included; nothing when it is full whatever is on it.
    pub(super) room: Cell<u64>,
    gone: Cell<bool>,
    /// How long a change takes.
    slow: Cell<Millis>,
    /// Records that were read or changed.
    work: Cell<u64>,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk {
            records: RefCell::default(),
            room: Cell::new(u64::MAX),
            gone: Cell::new(false),
            slow: Cell::default(),
            work: Cell::default(),
        }
    }
}

/// The way of one tab to the disk.
pub(super) struct Records(Weak<World>);

impl Records {
    pub(super) fn store(world: &Rc<World>) -> Rc<Store<Records>> {
        Rc::new(Store::new(Records(Rc::downgrade(world)), STORE_LIMIT))
    }

    /// Each access takes a moment, so that others come between.
    async fn world(&self, work: usize) -> Result<Rc<World>, StoreFailure> {
        let world = self.0.upgrade().ok_or(StoreFailure::Absent)?;
        let now = world.executor.time();
        world.disk.work.set(world.disk.work.get() + work as u64);
        world.executor.sleep_until(now).await;
        if world.disk.gone.get() { Err(StoreFailure::Absent) } else { Ok(world) }
    }
}

impl Backing for Records {
    fn now(&self) -> UnixMillis {
        self.0.upgrade().map_or_else(UnixMillis::default, |world| world.now())
    }

    async fn read(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, StoreFailure> {
        let world = self.world(keys.len()).await?;
        let records = world.disk.records.borrow();
        Ok(keys.iter().map(|key| records.get(key).cloned()).collect())
    }

    async fn list(&self, prefix: String) -> Result<Vec<(String, Vec<u8>)>, StoreFailure> {
        let world = self.world(1).await?;
        let records = world.disk.records.borrow();
        let found = records.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        Ok(found.map(|(key, record)| (key.clone(), record.clone())).collect())
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreFailure> {
        let world = self.world(changes.len()).await?;
        let slow = world.disk.slow.get();
        if slow > Millis(0) {
            let then = Millis(world.executor.time().0 + slow.0);
            world.executor.sleep_until(then).await;
        }
        let disk = &world.disk;
        let bounded = disk.room.get() < u64::MAX && changes.iter().any(|change| matches!(change, Change::Put(..)));
        let before = bounded.then(|| disk.records.borrow().clone());
        let mut records = disk.records.borrow_mut();
        for change in changes {
            match change {
                Change::Put(key, record) => drop(records.insert(key, record)),
                Change::Remove(key) => drop(records.remove(&key)),
                Change::RemovePrefix(prefix) => records.retain(|key, _| !key.starts_with(&prefix)),
            }
        }
        if let Some(before) = before
            && size(&records) > disk.room.get()
        {
            *records = before;
            return Err(StoreFailure::Full);
        }
        Ok(())
    }
}

fn size(records: &BTreeMap<String, Vec<u8>>) -> u64 {
    records.iter().map(|(key, record)| (key.len() + record.len()) as u64).sum()
}

impl SimPlatform {
    /// Another tab of the same browser: the same world and records, a store of its own over them.
    pub fn tab(&self) -> SimPlatform {
        SimPlatform { world: self.world.clone(), store: Records::store(&self.world), dead: Rc::default() }
    }

    /// Whether the store refuses to take anything; off by default.
    pub fn set_store_full(&self, full: bool) {
        self.set_store_room(if full { 0 } else { u64::MAX });
    }

    /// Sets how many bytes the store takes, keys and what is noted beside the values included; as many as it gets by
    /// default.
    pub fn set_store_room(&self, bytes: u64) {
        self.world.disk.room.set(bytes);
    }

    /// Whether the store cannot be used at all; off by default.
    pub fn set_store_gone(&self, gone: bool) {
        self.world.disk.gone.set(gone);
    }

    /// Sets how long a change of the store takes; no time by default.
    pub fn set_store_slow(&self, by: Millis) {
        self.world.disk.slow.set(by);
    }

    /// Records that were read or changed so far, lists as one.
    pub fn store_work(&self) -> u64 {
        self.world.disk.work.get()
    }

    /// The values that are stored, by `<space>/<key>`, over or not, for tests.
    pub fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        let records = self.world.disk.records.borrow();
        let value = |(key, value): (&String, &Vec<u8>)| Some((key.strip_prefix("v/")?.to_owned(), value.clone()));
        records.iter().filter_map(value).collect()
    }

    /// The records beneath the values, for tests.
    pub fn records(&self) -> BTreeMap<String, Vec<u8>> {
        self.world.disk.records.borrow().clone()
    }

    /// Sets a record beneath the values, or removes it, as an earlier version of the package or a failing disk would.
    pub fn set_record(&self, key: &str, record: Option<Vec<u8>>) {
        let mut records = self.world.disk.records.borrow_mut();
        match record {
            Some(record) => drop(records.insert(key.to_owned(), record)),
            None => drop(records.remove(key)),
        }
    }

    /// Bytes that this tab keeps in memory because they could not be stored.
    pub fn store_waiting(&self) -> u64 {
        self.store.waiting_bytes()
    }

    /// Bytes of values in spaces that may be evicted, for tests.
    pub fn evictable_bytes(&self) -> u64 {
        let evictable = |key: &str| {
            Space::ALL.iter().any(|space| space.is_evictable() && key.split('/').next() == Some(space.as_str()))
        };
        self.stored().iter().filter(|(key, _)| evictable(key)).map(|(_, value)| value.len() as u64).sum()
    }
}
