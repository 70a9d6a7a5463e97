//! Reads how many tests passed and failed from what test programs print.

use std::ops::AddAssign;

/// Passed and failed tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The counts of one `test result:` line, as cargo's and wasm-bindgen's test harnesses print it.
pub(crate) fn rust_line(line: &str) -> Option<Counts> {
    let line = line.trim().strip_prefix("test result: ")?;
    let (_, counts) = line.split_once(". ")?;
    let mut found = Counts::default();
    for part in counts.split(';') {
        match part.trim().split_once(' ') {
            Some((number, "passed")) => found.passed = number.parse().ok()?,
            Some((number, "failed")) => found.failed = number.parse().ok()?,
            _ => {}
        }
    }
    Some(found)
}

/// The counts of a whole TAP report by `node --test`.
///
/// A cancelled test (its file ended or it ran out of time) has not passed, so it counts as failed. A report without its
/// closing lines is `None`: the run broke off.
pub(crate) fn node_tap(report: &str) -> Option<Counts> {
    let last = |name: &str| {
        let prefix = format!("# {name} ");
        report.lines().rev().find_map(|line| line.strip_prefix(&prefix)?.trim().parse::<u64>().ok())
    };
    Some(Counts { passed: last("pass")?, failed: last("fail")? + last("cancelled")? })
}

#[cfg(test)]
mod tests {
    use super::{Counts, node_tap, rust_line};

    #[test]
    fn rust_results() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s";
        assert_eq!(rust_line(line), Some(Counts { passed: 3, failed: 2 }));
        let line = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 filtered out";
        assert_eq!(rust_line(line), Some(Counts { passed: 12, failed: 0 }));
        assert_eq!(rust_line("test sse::result: ok. 1 passed"), None);
    }

    #[test]
    fn tap_reports() {
        let report = "TAP version 13\n# pass 99\nok 1 - a\n1..1\n# tests 5\n# suites 0\n# pass 3\n# fail 1\n# cancelled 1\n# skipped 0\n# todo 0\n";
        assert_eq!(node_tap(report), Some(Counts { passed: 3, failed: 2 }));
        assert_eq!(node_tap("TAP version 13\nok 1 - a\n"), None);
    }

    #[test]
    fn counts_add_up() {
        let mut sum = Counts { passed: 1, failed: 0 };
        sum += Counts { passed: 2, failed: 3 };
        assert_eq!(sum.to_string(), "3 passed, 3 failed");
    }
}
