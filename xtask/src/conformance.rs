//! The official MCP conformance suite, with the built package as the client.
//!
//! The suite itself is content with whatever happens to pass, and a client that does nothing passes some scenarios: what
//! counts here is the number of checks of each scenario, against `tests/conformance/expected.txt`.

use std::fs;
use std::process::Command;

use crate::run::{Outcome, captured, root, say, timed};
use crate::summary::Counts;
use crate::{build, npm};

/// The suite's program, below the folder where it is installed.
const PROGRAM: &str = "node_modules/@modelcontextprotocol/conformance/dist/index.js";

/// What the suite starts as the client. It splits the words at spaces, so there is no absolute path in it.
const CLIENT: &str = "node tests/conformance/client.mjs";

/// The same for the client inside a Worker, whose URL is in `EDGEWISE_WORKER`.
const THROUGH_WORKER: &str = "node tests/conformance/through-worker.mjs";

/// Measures milliseconds, so it cannot share the machine with thirty others.
const TIMED: &str = "sse-retry";

/// Checks of one scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Checks {
    passed: u64,
    failed: u64,
}

impl std::fmt::Display for Checks {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.failed {
            0 => write!(out, "{} passed", self.passed),
            failed => write!(out, "{} passed and {failed} failed", self.passed),
        }
    }
}

/// A line of the table: a scenario, whether it counts for conformance, and what is expected on each wire.
#[derive(Debug, PartialEq)]
struct Row {
    scenario: String,
    scored: bool,
    expected: Vec<Option<Checks>>,
}

/// Runs everything; for `cargo xtask conformance`.
///
/// # Errors
///
/// When a scenario does not come out as the table says, or the suite cannot be run.
pub(crate) fn everything() -> Outcome {
    let counts = suite()?;
    println!("{counts}");
    if counts.failed == 0 { Ok(()) } else { Err(format!("{} scenarios are not as expected", counts.failed)) }
}

/// Runs everything; each scenario on each wire is one test.
///
/// # Errors
///
/// When the package cannot be built, the suite not be installed, or the table not be read.
pub(crate) fn suite() -> Outcome<Counts> {
    build::package(false)?;
    npm::install_in("conformance")?;
    let path = npm::tests_dir().join("conformance/expected.txt");
    let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let (wires, rows) = table(&text)?;
    let mut counts = Counts::default();
    for (at, wire) in wires.iter().enumerate() {
        let expected: Vec<(&Row, Checks)> = rows.iter().filter_map(|row| Some((row, row.expected[at]?))).collect();
        counts += one_wire(wire, &expected)?;
    }
    counts += timed("conformance of the client inside workerd", || inside_workerd(&wires, &rows))?;
    Ok(counts)
}

/// Runs the scenarios without authorization once more, with the client in a Worker.
fn inside_workerd(wires: &[String], rows: &[Row]) -> Outcome<Counts> {
    let worker = npm::Service::start("../conformance/workerd.mjs")?;
    let client = Client { command: THROUGH_WORKER, worker: Some(&worker.url) };
    let mut counts = Counts::default();
    for row in rows.iter().filter(|row| !row.scenario.starts_with("auth/")) {
        for (wire, expected) in wires.iter().zip(&row.expected) {
            let Some(expected) = expected else { continue };
            let checks = one(&client, &row.scenario, wire)?;
            counts += judge(&format!("{wire} in workerd"), &row.scenario, checks, *expected);
        }
    }
    say(&format!("conformance in workerd: {} scenarios as expected, {} not", counts.passed, counts.failed));
    Ok(counts)
}

fn judge(place: &str, scenario: &str, checks: Checks, expected: Checks) -> Counts {
    if checks == expected {
        return Counts { passed: 1, failed: 0 };
    }
    eprintln!("conformance {place}: {scenario}: {checks}; expected are {expected}");
    Counts { passed: 0, failed: 1 }
}

fn one_wire(wire: &str, expected: &[(&Row, Checks)]) -> Outcome<Counts> {
    // What is asked of older revisions runs by name.
    let frozen = is_frozen(wire);
    let client = Client { command: CLIENT, worker: None };
    let found = match frozen {
        true => {
            timed(&format!("conformance {wire}"), || run(&client, &["--requirements", wire]).map(|text| of_set(&text)))?
        }
        false => Vec::new(),
    };
    let (mut counts, mut scored, mut others) = (Counts::default(), 0, 0);
    for (row, expected) in expected {
        let scenario = row.scenario.as_str();
        let mut checks = found.iter().find(|(known, _)| known == scenario).map(|(_, checks)| *checks);
        if frozen && checks.is_none() {
            eprintln!("conformance {wire}: {scenario}: the suite does not run it");
        } else if checks != Some(*expected) || scenario == TIMED {
            // All of a set run at once, which on a small machine takes longer than some of them wait.
            checks = Some(one(&client, scenario, wire)?);
        }
        let checks = checks.unwrap_or_default();
        *if row.scored { &mut scored } else { &mut others } += checks.passed;
        counts += judge(wire, scenario, checks, *expected);
    }
    for (scenario, checks) in &found {
        if !expected.iter().any(|(row, _)| row.scenario == *scenario) {
            counts.failed += 1;
            eprintln!("conformance {wire}: {scenario}: {checks}; the table does not know it");
        }
    }
    say(&format!("conformance {wire}: {scored} scored checks passed, {others} others"));
    Ok(counts)
}

/// Whether the suite has a set of scenarios for the revision.
fn is_frozen(wire: &str) -> bool {
    wire >= "2025-11-25"
}

/// What the suite starts as the client.
struct Client<'a> {
    command: &'a str,
    worker: Option<&'a str>,
}

/// Runs one scenario by itself; nothing passes where the suite breaks off.
fn one(client: &Client<'_>, scenario: &str, wire: &str) -> Outcome<Checks> {
    let version = if is_frozen(wire) { &["--spec-version", wire][..] } else { &[] };
    let text = run(client, &[&["--scenario", scenario], version].concat())?;
    Ok(of_one(&text).unwrap_or_default())
}

/// What the suite prints, whether it is content or not.
fn run(client: &Client<'_>, args: &[&str]) -> Outcome<String> {
    let program = npm::tests_dir().join("conformance").join(PROGRAM);
    let mut command = Command::new(npm::node()?);
    command.current_dir(root()).env("PATH", npm::path_with(&npm::node()?)?).env("NO_COLOR", "1");
    if let Some(worker) = client.worker {
        command.env("EDGEWISE_WORKER", worker);
    }
    command.arg(program).args(["client", "--command", client.command]).args(args);
    captured(&mut command)
}

/// The lines `✓ tools_call: 2 passed, 0 failed` at the end of a set; warnings count as failed.
fn of_set(text: &str) -> Vec<(String, Checks)> {
    let summary = text.split("=== SUITE SUMMARY ===").nth(1).unwrap_or_default();
    let read = |line: &str| {
        let line = line.strip_prefix(['✓', '✗'])?.trim();
        let (scenario, counts) = line.split_once(": ")?;
        Some((scenario.to_owned(), read_counts(counts)?))
    };
    summary.lines().filter_map(read).collect()
}

/// The line `Passed: 3/3, 0 failed, 0 warnings` of a scenario by itself.
fn of_one(text: &str) -> Option<Checks> {
    let line = text.lines().rev().find_map(|line| line.strip_prefix("Passed: "))?;
    let (passed, rest) = line.split_once('/')?;
    let (_, rest) = rest.split_once(", ")?;
    read_counts(&format!("{passed} passed, {rest}"))
}

fn read_counts(text: &str) -> Option<Checks> {
    let mut checks = Checks::default();
    for part in text.split(", ") {
        let (number, what) = part.trim().split_once(' ')?;
        let number: u64 = number.parse().ok()?;
        match what {
            "passed" => checks.passed += number,
            "failed" | "warnings" => checks.failed += number,
            _ => return None,
        }
    }
    Some(checks)
}

/// Reads the table: the wires of its columns, and its rows.
fn table(text: &str) -> Outcome<(Vec<String>, Vec<Row>)> {
    let (mut wires, mut rows, mut scored) = (Vec::new(), Vec::new(), true);
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("tests/conformance/expected.txt, line {}: {what}", number + 1);
        let (data, reason) = line.split_once('#').unwrap_or((line, ""));
        let mut words = data.split_whitespace();
        let Some(first) = words.next() else { continue };
        let words: Vec<&str> = words.collect();
        match data.trim() {
            "[scored]" => scored = true,
            "[not scored]" => scored = false,
            _ if first == "wire" => wires = words.iter().map(|word| (*word).to_owned()).collect(),
            _ if words.len() != wires.len() => return Err(wrong("as many columns as wires are due")),
            _ => {
                let expected: Option<Vec<_>> = words.iter().map(|word| cell(word)).collect();
                let expected = expected.ok_or_else(|| wrong("expected -, a number, or passed/failed"))?;
                if expected.iter().flatten().any(|checks| checks.failed > 0) && reason.trim().is_empty() {
                    return Err(wrong("an expected failure needs a reason"));
                }
                rows.push(Row { scenario: first.to_owned(), scored, expected });
            }
        }
    }
    Ok((wires, rows))
}

fn cell(word: &str) -> Option<Option<Checks>> {
    if word == "-" {
        return Some(None);
    }
    let (passed, failed) = word.split_once('/').unwrap_or((word, "0"));
    Some(Some(Checks { passed: passed.parse().ok()?, failed: failed.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn checks(passed: u64, failed: u64) -> Checks {
        Checks { passed, failed }
    }

    #[test]
    fn a_set_is_read() {
        let text = "✓ not yet: 1 passed, 0 failed\n=== SUITE SUMMARY ===\n\n✓ tools_call: 2 passed, 0 failed\n\
                    ✗ auth/dpop: 1 passed, 3 failed, 2 warnings\n\nTotal: 3 passed, 3 failed, 0 warnings\n\
                    Not scored: 1 run\n  ✓ auth/dpop (extension)\n";
        assert_eq!(of_set(text), [("tools_call".to_owned(), checks(2, 0)), ("auth/dpop".to_owned(), checks(1, 5))]);
        assert_eq!(of_set("broke off"), []);
    }

    #[test]
    fn a_scenario_by_itself_is_read() {
        assert_eq!(of_one("Test Results:\nPassed: 3/4, 1 failed, 0 warnings\n"), Some(checks(3, 1)));
        assert_eq!(of_one("Passed: all"), None);
    }

    #[test]
    fn the_table_is_read() {
        let (wires, rows) = table("# x\nwire a b\n[scored]\none 2 -\n[not scored]\ntwo 0/8 1 # because\n").unwrap();
        assert_eq!(wires, ["a", "b"]);
        assert_eq!((rows[0].scored, rows[1].scored), (true, false));
        assert_eq!(rows[0].expected, [Some(checks(2, 0)), None]);
        assert_eq!(rows[1].expected, [Some(checks(0, 8)), Some(checks(1, 0))]);
        for wrong in ["wire a\none 1 2\n", "wire a\none x\n", "wire a\none 0/1\n", "wire a\none 0/1 #  \n"] {
            assert!(table(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_line_of_the_table_makes_sense() {
        let (wires, rows) = table(include_str!("../../tests/conformance/expected.txt")).unwrap();
        assert_eq!(wires, ["2026-07-28", "2025-11-25", "2025-03-26"]);
        assert!(rows.len() > 40);
    }
}
