//! How a value lies in a store: the value, and beside it what is known of it.
//!
//! ```text
//! schema            the version of all this, in digits
//! m/<space>/<key>   format, bytes, expiry, last use, sum
//! v/<space>/<key>   the value
//! u/<space>/<key>   when it was last read, if that was later
//! ```
//!
//! The use is kept apart, since a tab that only notes that it has read something must not touch what another tab has
//! written meanwhile.

use crate::platform::Space;
use crate::time::UnixMillis;

/// Version of the schema that this code reads and writes. Version 1 is older than this module: plain values under
/// `<kind>/<url>`.
pub(super) const SCHEMA: &str = "2";
/// Where the version lies.
pub(super) const SCHEMA_KEY: &str = "schema";

const FORMAT: u8 = 2;
const LENGTH: usize = 29;

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) bytes: u32,
    pub(super) expires: Option<UnixMillis>,
    pub(super) used: UnixMillis,
    sum: u64,
}

impl Meta {
    pub(super) fn of(path: &str, value: &[u8], expires: Option<UnixMillis>, used: UnixMillis) -> Meta {
        let bytes = u32::try_from(value.len()).unwrap_or(u32::MAX);
        Meta { bytes, expires, used, sum: sum(path, value, expires) }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LENGTH);
        out.push(FORMAT);
        out.extend_from_slice(&self.bytes.to_le_bytes());
        // Nothing can be stored that expired at the epoch.
        for number in [self.expires.map_or(0, |at| at.0.max(1)), self.used.0, self.sum] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    /// `None` for what is none.
    pub(super) fn read(record: &[u8]) -> Option<Meta> {
        if record.len() != LENGTH || record[0] != FORMAT {
            return None;
        }
        let expires = number(&record[5..])?;
        Some(Meta {
            bytes: u32::from_le_bytes(record[1..5].try_into().ok()?),
            expires: (expires > 0).then_some(UnixMillis(expires)),
            used: UnixMillis(number(&record[13..])?),
            sum: number(&record[21..])?,
        })
    }

    /// Whether that is the value that was stored under that path.
    pub(super) fn fits(&self, path: &str, value: &[u8]) -> bool {
        self.bytes as usize == value.len() && self.sum == sum(path, value, self.expires)
    }

    pub(super) fn is_over(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// Reads eight bytes.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?))
}

/// The path of a value, of what is known of it, or of its last use, after the letter that says which.
pub(super) fn path(space: Space, key: &str) -> String {
    [space.as_str(), "/", key].concat()
}

/// The record of that kind at a path.
pub(super) fn at(kind: &str, path: &str) -> String {
    [kind, path].concat()
}

/// FNV-1a of path, expiry and value: against what breaks by accident, not against attackers, who would write the sum too.
fn sum(path: &str, value: &[u8], expires: Option<UnixMillis>) -> u64 {
    let expires = expires.map_or(0, |at| at.0.max(1)).to_le_bytes();
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for part in [path.as_bytes(), &[0], &expires, value] {
        for byte in part {
            sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_seen() {
        let value = b"value of a record".to_vec();
        for expires in [None, Some(UnixMillis(7_000))] {
            let meta = Meta::of("cache/k", &value, expires, UnixMillis(5));
            assert_eq!(Meta::read(&meta.to_bytes()), Some(meta));
            assert!(meta.fits("cache/k", &value) && !meta.fits("cache/other", &value));
            for bit in 0..value.len() * 8 {
                let mut broken = value.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                assert!(!meta.fits("cache/k", &broken), "bit {bit}");
            }
            let record = meta.to_bytes();
            for bit in 0..record.len() * 8 {
                let mut broken = record.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                // All but the time of the last use, which is no part of the value.
                let noticed = Meta::read(&broken).is_none_or(|meta| !meta.fits("cache/k", &value));
                assert_eq!(noticed, !(13 * 8..21 * 8).contains(&bit), "bit {bit}");
            }
        }
        assert_eq!(Meta::read(b""), None);
    }
}
