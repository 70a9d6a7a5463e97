//! Who goes when there is no room.

use super::record::Meta;
use crate::platform::Space;
use crate::time::UnixMillis;

/// A value that may go.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) meta: Meta,
    pub(super) used: UnixMillis,
}

/// The paths of those that go so that `bytes` are freed, and how many bytes that are: first what is over, then what was
/// not used for longest, and handles last, since nobody can make them again.
pub(super) fn choose(mut all: Vec<Entry>, bytes: u64, now: UnixMillis) -> (Vec<String>, u64) {
    let handles = [Space::Handles.as_str(), "/"].concat();
    // A use that lies ahead was noted by a clock that has been set back since.
    all.sort_by_cached_key(|entry| {
        let over = entry.meta.is_over(now);
        (!over, entry.path.starts_with(&handles), entry.used.min(now), entry.path.clone())
    });
    let (mut victims, mut freed) = (Vec::new(), 0);
    for entry in all {
        if freed >= bytes && !entry.meta.is_over(now) {
            break;
        }
        freed += u64::from(entry.meta.bytes);
        victims.push(entry.path);
    }
    (victims, freed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_goes_first_then_what_was_not_used_for_longest_and_handles_last() {
        let entry = |path: &str, expires: Option<u64>, used: u64| Entry {
            path: path.to_owned(),
            meta: Meta::of(path, &[0; 10], expires.map(UnixMillis), UnixMillis(1)),
            used: UnixMillis(used),
        };
        let all = vec![
            entry("cache/new", None, 90),
            entry("handles/oldest", None, 1),
            entry("cache/old", Some(500), 10),
            entry("cache/ahead", None, 9_000),
            entry("index/over", Some(100), 99),
            entry("embeddings/older", None, 5),
        ];
        let chosen = |bytes| choose(all.clone(), bytes, UnixMillis(100));
        let order = ["index/over", "embeddings/older", "cache/old", "cache/new", "cache/ahead", "handles/oldest"];
        for count in 1..=6 {
            let (victims, freed) = chosen(count * 10);
            assert_eq!(
                (victims, freed),
                (order[..count as usize].iter().map(|path| (*path).to_owned()).collect(), count * 10)
            );
        }
        assert_eq!(chosen(0).0, ["index/over"], "what is over goes in any case");
        assert_eq!(chosen(1).0.len(), 1);
        assert_eq!(chosen(1_000).0.len(), 6);
    }
}
