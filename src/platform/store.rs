//! What is kept between runs: spaces, keys, and changes that happen together or not at all.

use crate::time::UnixMillis;

/// What kind of thing is kept; the keys of one space never meet those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// What is known of servers: era, definitions of tools that were seen, tasks.
    Servers,
    /// Answers of servers. May be evicted.
    Cache,
    /// Big results that a model reads piece by piece. May be evicted, after all that can be made again.
    Handles,
    /// Histories.
    Conversations,
    /// Facts of runs that are not done.
    Journal,
    /// Vectors, by the hash of what they stand for. May be evicted.
    Embeddings,
    /// Parts of the index that ranks. May be evicted.
    Index,
}

impl Space {
    /// Every space.
    pub const ALL: [Space; 7] = [
        Space::Servers,
        Space::Cache,
        Space::Handles,
        Space::Conversations,
        Space::Journal,
        Space::Embeddings,
        Space::Index,
    ];

    /// Its name, which is part of what is stored and never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Space::Servers => "servers",
            Space::Cache => "cache",
            Space::Handles => "handles",
            Space::Conversations => "conversations",
            Space::Journal => "journal",
            Space::Embeddings => "embeddings",
            Space::Index => "index",
        }
    }

    /// Whether what is in there may go when there is no room: it can be made or fetched again, or, for handles, the model
    /// can be told that it is gone.
    pub const fn is_evictable(self) -> bool {
        matches!(self, Space::Cache | Space::Handles | Space::Embeddings | Space::Index)
    }
}

/// What a listing tells of one value, without the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: String,
    /// Bytes of the value.
    pub bytes: u64,
    /// When it ends, if it does.
    pub expires: Option<UnixMillis>,
    /// When it was written, or, in a space that may be evicted, last read; to the minute.
    pub used: UnixMillis,
}

/// One change of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Keeps a value under a key, in place of the one that is there.
    Put {
        /// Where.
        space: Space,
        /// Under which key, see [`key`].
        key: String,
        /// What, at most 4 GiB.
        value: Vec<u8>,
        /// From when on it is no longer there; `None`: it stays.
        expires: Option<UnixMillis>,
    },
    /// Removes the value of a key, if there is one.
    Remove {
        /// Where.
        space: Space,
        /// Its key.
        key: String,
    },
    /// Removes each value whose key begins so; with an empty prefix, the whole space.
    RemovePrefix {
        /// Where.
        space: Space,
        /// How the keys begin; ends with `/` but for a whole space.
        prefix: String,
    },
}

impl Write {
    /// Keeps a value until it is removed.
    pub fn put(space: Space, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Write {
        Write::Put { space, key: key.into(), value: value.into(), expires: None }
    }

    /// Removes the value of a key.
    pub fn remove(space: Space, key: impl Into<String>) -> Write {
        Write::Remove { space, key: key.into() }
    }

    /// Removes all whose keys begin so.
    pub fn remove_prefix(space: Space, prefix: impl Into<String>) -> Write {
        Write::RemovePrefix { space, prefix: prefix.into() }
    }

    /// Keeps a value, or removes what is there.
    pub fn set(space: Space, key: impl Into<String>, value: Option<Vec<u8>>) -> Write {
        match value {
            Some(value) => Write::put(space, key, value),
            None => Write::remove(space, key),
        }
    }
}

/// Why changes will not outlive this agent. They are kept in memory meanwhile, so that it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFailure {
    /// There is no room, also after everything was evicted that may be.
    Full,
    /// The store cannot be used now.
    Absent,
}

/// Counts of a store since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreCounts {
    /// Records that were dropped because they were broken.
    pub broken: u64,
    /// Values that had to go because there was no room.
    pub evicted: u64,
    /// Bytes of them.
    pub evicted_bytes: u64,
    /// How many of them were cached, by the part that their keys begin with.
    pub evicted_of: Vec<(String, u64)>,
    /// Batches that could not be stored for good.
    pub failed: u64,
}

/// A key of these parts: joined by `/`, and none of them holds one, so that a prefix that ends after a part covers what
/// belongs to it and nothing else.
pub fn key(parts: &[&str]) -> String {
    let mut key = String::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            key.push('/');
        }
        for char in part.chars() {
            match char {
                '/' => key.push_str("%2F"),
                '%' => key.push_str("%25"),
                '\0' => key.push_str("%00"),
                _ => key.push(char),
            }
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_key_do_not_run_into_each_other() {
        assert_eq!(key(&["https://a.test/mcp", "era"]), "https:%2F%2Fa.test%2Fmcp/era");
        assert_ne!(key(&["a/b", "c"]), key(&["a", "b/c"]));
        assert_ne!(key(&["a%2Fb"]), key(&["a/b"]));
        assert_eq!((key(&["a", ""]), key(&["a\0"])), ("a/".to_owned(), "a%00".to_owned()));
    }
}
