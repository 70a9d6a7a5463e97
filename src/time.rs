//! Instants and durations as plain milliseconds.
//!
//! `std::time::Instant` panics on `wasm32-unknown-unknown`, and a machine that can be stored must not hold one.

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, as the platform's clock tells them.
///
/// May stand still (a Worker's clock moves only across I/O) or jump either way; differences therefore saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// The longest wait a JavaScript timer keeps: 2^31 - 1 ms, about 24.8 days. Longer ones fire at once.
    pub const MAX_TIMER: Millis = Millis(0x7FFF_FFFF);

    /// That many whole seconds.
    pub const fn from_secs(secs: u64) -> Millis {
        Millis(secs.saturating_mul(1000))
    }
}

impl UnixMillis {
    /// Time passed since `earlier`; zero when the clock went backwards.
    pub fn since(self, earlier: UnixMillis) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Millis> for UnixMillis {
    type Output = UnixMillis;
    fn add(self, rhs: Millis) -> UnixMillis {
        UnixMillis(self.0.saturating_add(rhs.0))
    }
}
