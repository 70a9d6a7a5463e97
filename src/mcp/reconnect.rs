//! How long to wait before a stream that ended is opened again, so that no server is stormed.

use crate::time::Millis;

/// The waits between the connections of one stream.
///
/// What the server asks for is kept to the millisecond. Only for one that closes connection after connection
/// without having brought anything are the waits longer than that: from two seconds, doubling, to a minute at most.
/// So a server that closes at once costs at most eight requests in the first minute, and two in each after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconnect {
    /// Connections in a row that brought nothing.
    barren: u32,
}

/// Waits in a row that are as long as the server asks for, whatever it brings.
const TRUSTED: u32 = 2;

/// Wait when the server asks for none.
const DEFAULT: Millis = Millis::from_secs(1);

const LONGEST: Millis = Millis::from_secs(60);

impl Reconnect {
    /// How long a connection has to last to count as one that brought something.
    pub const LASTING: Millis = Millis::from_secs(20);

    /// The connection brought something, or lasted for [`Reconnect::LASTING`].
    pub fn thrived(&mut self) {
        self.barren = 0;
    }

    /// The connection ended, or there was none: how long to wait before the next.
    ///
    /// `asked` is what the server said, by `retry` or `Retry-After`; `random` spreads the waits that are ours to
    /// choose, so that the clients of a server that restarts do not come back all at once.
    pub fn wait(&mut self, asked: Option<Millis>, random: u64) -> Millis {
        let extra = self.barren.checked_sub(TRUSTED);
        self.barren = self.barren.saturating_add(1);
        let own = match (extra, asked) {
            (None, Some(_)) => Millis(0),
            (None, None) => jittered(DEFAULT, random),
            (Some(extra), _) => jittered(Millis(LONGEST.0.min(2_000 << extra.min(5))), random),
        };
        own.max(asked.unwrap_or_default()).min(Millis::MAX_TIMER)
    }
}

/// Between half of `wait` and all of it.
fn jittered(wait: Millis, random: u64) -> Millis {
    let half = wait.0 / 2;
    Millis(wait.0 - random % (half + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_asks_for_is_kept_exactly() {
        let mut reconnect = Reconnect::default();
        for _ in 0..50 {
            assert_eq!(reconnect.wait(Some(Millis(500)), 12_345), Millis(500));
            reconnect.thrived();
        }
        assert_eq!(reconnect.wait(Some(Millis(0)), 1), Millis(0));
        assert_eq!(reconnect.wait(Some(Millis(u64::MAX)), 1), Millis::MAX_TIMER);
    }

    #[test]
    fn a_server_that_closes_at_once_is_asked_ever_more_rarely() {
        for asked in [None, Some(Millis(0)), Some(Millis(10))] {
            for random in [0, 7, u64::MAX] {
                let mut reconnect = Reconnect::default();
                let (mut now, mut opened) = (0, Vec::new());
                while now < 600_000 {
                    opened.push(now);
                    now += reconnect.wait(asked, random).0;
                }
                let within = |from: u64, to: u64| opened.iter().filter(|at| (from..to).contains(*at)).count();
                assert!(within(0, 60_000) <= 9, "{asked:?} {random}: {opened:?}");
                for minute in 1..10 {
                    assert!(within(minute * 60_000, (minute + 1) * 60_000) <= 3, "{asked:?} {random}: {opened:?}");
                }
            }
        }
    }

    #[test]
    fn long_waits_that_the_server_asks_for_are_not_cut() {
        let mut reconnect = Reconnect::default();
        for _ in 0..9 {
            assert!(reconnect.wait(Some(Millis(600_000)), 3) >= Millis(600_000));
        }
    }
}
