//! Changes that could not be stored: read as if they were, and stored with the next ones.

use crate::platform::{Space, StoreFailure, Stored, Write};
use crate::time::UnixMillis;

/// Most bytes of values that wait; beyond it the oldest go.
const MOST_BYTES: usize = 32 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Each with its number and when it was made, in order.
    writes: Vec<(u64, UnixMillis, Write)>,
    last: u64,
    bytes: usize,
}

impl Waiting {
    /// What waits for that key: `None` when nothing does, `Some(None)` when it is to be removed.
    pub(crate) fn find(&self, space: Space, key: &str, now: UnixMillis) -> Option<Option<&[u8]>> {
        let (_, _, write) = self.writes.iter().rev().find(|(_, _, write)| touches(write, space, key))?;
        Some(match write {
            Write::Put { value, expires, .. } if expires.is_none_or(|at| at > now) => Some(value),
            _ => None,
        })
    }

    /// Puts what waits into a listing of what is stored.
    pub(crate) fn merge(&self, space: Space, prefix: &str, now: UnixMillis, found: &mut Vec<Stored>) {
        for (_, used, write) in &self.writes {
            found.retain(|stored| !touches(write, space, &stored.key));
            match write {
                Write::Put { space: its, key, value, expires }
                    if *its == space && key.starts_with(prefix) && expires.is_none_or(|at| at > now) =>
                {
                    let bytes = value.len() as u64;
                    found.push(Stored { key: key.clone(), bytes, expires: *expires, used: *used });
                }
                _ => {}
            }
        }
    }

    pub(super) fn writes(&self) -> impl Iterator<Item = &Write> {
        self.writes.iter().map(|(_, _, write)| write)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Names what waits now, for [`Waiting::stored`].
    pub(super) fn turn(&self) -> u64 {
        self.last
    }

    /// What waited at that turn is stored.
    pub(super) fn stored(&mut self, turn: u64) {
        self.writes.retain(|(number, _, _)| *number > turn);
        self.weigh();
    }

    /// Keeps what could not be stored. Where there is no room, what may be evicted is not kept: it would never fit.
    pub(crate) fn keep(&mut self, batch: Vec<Write>, now: UnixMillis, failure: StoreFailure) {
        for write in batch {
            let write = match write {
                Write::Put { space, key, .. } if failure == StoreFailure::Full && space.is_evictable() => {
                    Write::Remove { space, key }
                }
                write => write,
            };
            self.writes.retain(|(_, _, older)| !supersedes(&write, older));
            self.last += 1;
            self.writes.push((self.last, now, write));
        }
        self.weigh();
        while self.bytes > MOST_BYTES {
            let puts =
                |write: &Write, any: bool| matches!(write, Write::Put { space, .. } if any || space.is_evictable());
            let place =
                [false, true].into_iter().find_map(|any| self.writes.iter().position(|(_, _, write)| puts(write, any)));
            let Some(place) = place else { break };
            if let Write::Put { space, key, .. } = &self.writes[place].2 {
                self.writes[place].2 = Write::Remove { space: *space, key: key.clone() };
            }
            self.weigh();
        }
    }

    fn weigh(&mut self) {
        let size = |write: &Write| if let Write::Put { value, .. } = write { value.len() } else { 0 };
        self.bytes = self.writes().map(size).sum();
    }
}

/// Whether a change is about that key.
fn touches(write: &Write, in_space: Space, of: &str) -> bool {
    match write {
        Write::Put { space, key, .. } | Write::Remove { space, key } => *space == in_space && key == of,
        Write::RemovePrefix { space, prefix } => *space == in_space && of.starts_with(prefix.as_str()),
    }
}

/// Whether after a change an older one makes no difference.
pub(super) fn supersedes(write: &Write, older: &Write) -> bool {
    match older {
        Write::Put { space, key, .. } | Write::Remove { space, key } => touches(write, *space, key),
        Write::RemovePrefix { space, prefix } => {
            matches!(write, Write::RemovePrefix { space: its, prefix: longer } if its == space && prefix.starts_with(longer.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000);

    fn put(key: &str, value: &[u8]) -> Write {
        Write::put(Space::Cache, key, value)
    }

    #[test]
    fn the_newest_change_of_a_key_counts() {
        let mut waiting = Waiting::default();
        waiting.keep(vec![put("a/1", b"x"), put("b/1", b"y")], NOW, StoreFailure::Absent);
        waiting.keep(vec![Write::remove_prefix(Space::Cache, "a/")], NOW, StoreFailure::Absent);
        assert_eq!(waiting.find(Space::Cache, "a/1", NOW), Some(None));
        assert_eq!(waiting.find(Space::Cache, "b/1", NOW), Some(Some(&b"y"[..])));
        assert_eq!(waiting.find(Space::Cache, "c/1", NOW), None);
        assert_eq!(waiting.find(Space::Index, "b/1", NOW), None);
        waiting.keep(vec![put("a/1", b"zz")], NOW, StoreFailure::Absent);
        assert_eq!(waiting.find(Space::Cache, "a/1", NOW), Some(Some(&b"zz"[..])));
        assert_eq!(waiting.bytes(), 3);
        let stored = |key: &str| Stored { key: key.to_owned(), bytes: 9, expires: None, used: NOW };
        let mut found = vec![stored("a/1"), stored("a/2"), stored("c")];
        waiting.merge(Space::Cache, "", NOW, &mut found);
        let keys: Vec<&str> = found.iter().map(|stored| stored.key.as_str()).collect();
        assert_eq!(keys, ["c", "b/1", "a/1"]);
    }

    #[test]
    fn what_was_kept_while_others_were_stored_still_waits() {
        let mut waiting = Waiting::default();
        waiting.keep(vec![put("a", b"x")], NOW, StoreFailure::Absent);
        let turn = waiting.turn();
        waiting.keep(vec![put("a", b"newer")], NOW, StoreFailure::Absent);
        waiting.stored(turn);
        assert_eq!(waiting.find(Space::Cache, "a", NOW), Some(Some(&b"newer"[..])));
        waiting.stored(waiting.turn());
        assert_eq!((waiting.find(Space::Cache, "a", NOW), waiting.bytes()), (None, 0));
    }

    #[test]
    fn what_may_be_evicted_does_not_wait_for_room() {
        let mut waiting = Waiting::default();
        let journal = Write::put(Space::Journal, "j", b"fact".to_vec());
        waiting.keep(vec![put("a", b"x"), journal], NOW, StoreFailure::Full);
        assert_eq!(waiting.find(Space::Cache, "a", NOW), Some(None), "what is stored is older than what was to be");
        assert_eq!(waiting.find(Space::Journal, "j", NOW), Some(Some(&b"fact"[..])));
    }

    #[test]
    fn memory_is_bounded() {
        let mut waiting = Waiting::default();
        for round in 0..5 {
            let big = Write::put(Space::Conversations, round.to_string(), vec![0; 10 * 1024 * 1024]);
            waiting.keep(vec![big, put(&round.to_string(), &[0; 1024])], NOW, StoreFailure::Absent);
        }
        assert_eq!(waiting.bytes(), 30 * 1024 * 1024);
        assert_eq!(waiting.find(Space::Conversations, "0", NOW), Some(None));
        assert!(waiting.find(Space::Conversations, "4", NOW).flatten().is_some());
    }
}
