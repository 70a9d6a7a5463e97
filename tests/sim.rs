//! The simulator's own servers, and whole runs against them by the thousand.
//!
//! `SIM_SEEDS=100000` plays more seeds than the usual 2,000; `SEED=7` plays that one and prints its event log.

#[path = "sim/by_hand.rs"]
mod by_hand;
#[path = "sim/cast.rs"]
mod cast;
#[path = "sim/compact.rs"]
mod compact;
#[path = "sim/early.rs"]
mod early;
#[path = "sim/found.rs"]
mod found;
#[path = "sim/handles.rs"]
mod handles;
#[path = "sim/laws.rs"]
mod laws;
#[path = "sim/live.rs"]
mod live;
#[path = "sim/long.rs"]
mod long;
#[path = "sim/model.rs"]
mod model;
#[path = "sim/plans.rs"]
mod plans;
#[path = "sim/policy.rs"]
mod policy;
#[path = "sim/scenario.rs"]
mod scenario;
#[path = "sim/servers.rs"]
mod servers;
#[path = "sim/threads.rs"]
mod threads;
#[path = "sim/tools.rs"]
mod tools;

use std::collections::BTreeMap;
use std::thread;

use edgewise::sim::SimPlatform;

const SEEDS: u64 = 2_000;
const THREADS: u64 = 2;

/// Fails with everything one needs to see what happened.
fn fail(sim: &SimPlatform, wrong: &[String], flag: &str) -> ! {
    let (report, wrong, seed) = (sim.report(), wrong.join("\n"), sim.seed());
    panic!("{report}\n\n{wrong}\nreplay with: cargo xtask sim {flag}--seed {seed}");
}

/// How often each word of [`WORDS`] stands in the logs.
type Counts = BTreeMap<&'static str, u64>;

/// What the stories are about. A simulation that never gets there proves nothing.
const WORDS: [&str; 37] = [
    "fault: refused",
    "fault: lost_answer",
    "fault: 429",
    "fault: overloaded",
    "fault: 500",
    "fault: html",
    "fault: silent",
    "fault: reset",
    "fault: truncated",
    "fault: stalled",
    "fault: slow",
    "the app cancels",
    "a log is told again",
    "aborted by the client",
    "DELETE https://mcp",
    "\"type\":\"server_status\"",
    "\"type\":\"text_delta\"",
    "\"type\":\"thinking_delta\"",
    "\"type\":\"tool_call\"",
    "\"type\":\"approval_request\"",
    "\"type\":\"tool_progress\"",
    "\"of\":\"model\"",
    "\"of\":\"tool\"",
    "\"outcome\":\"unknown\"",
    "\"type\":\"steered\"",
    "\"goal\":{\"met\":true",
    "\"type\":\"done\"",
    "\"outcome\":\"ok\"",
    "\"outcome\":\"failed\"",
    "\"outcome\":\"denied\"",
    "\"outcome\":\"cancelled\"",
    "\"code\":\"cancelled\"",
    "\"code\":\"truncated\"",
    "\"code\":\"network\"",
    "\"code\":\"timeout\"",
    "\"code\":\"limit\"",
    "\"stopReason\":\"max_tokens\"",
];

/// Plays those seeds twice, the second time with every run stored and loaded at each step: no law is broken, and
/// both times the event log is the same.
fn play_all(seeds: impl Iterator<Item = u64>) -> Counts {
    let mut counts = Counts::new();
    for seed in seeds {
        let story = scenario::play(seed, false);
        if !story.wrong.is_empty() {
            fail(&story.sim, &story.wrong, "");
        }
        let again = scenario::play(seed, true);
        let (log, log_again) = (story.sim.log(), again.sim.log());
        if log != log_again {
            let place = log.iter().zip(&log_again).position(|(one, two)| one != two).unwrap_or(log.len());
            fail(&again.sim, &[format!("stored and loaded, the log differs from line {place} on")], "--stored ");
        }
        for line in &log {
            for word in WORDS {
                *counts.entry(word).or_default() += u64::from(line.contains(word));
            }
        }
    }
    counts
}

#[test]
fn every_law_holds_for_every_seed() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("SEED") {
        let story = scenario::play(seed, false);
        println!("{}", story.sim.report());
        assert_eq!(story.wrong, [""; 0]);
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let share = |thread: u64| (thread..seeds).step_by(THREADS as usize);
    let shares = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || play_all(share(thread)))).collect();
        // A panic in a thread has been printed there; this one makes the test fail.
        threads.into_iter().map(|thread| thread.join().expect("a seed failed, see above")).collect::<Vec<_>>()
    });
    let mut counts = Counts::new();
    for (word, count) in shares.into_iter().flatten() {
        *counts.entry(word).or_default() += count;
    }
    for word in WORDS {
        assert!(counts.get(word).is_some_and(|count| *count >= 5), "hardly ever seen: {word}: {counts:?}");
    }
}

/// What the stories of sources that change are about.
const LIVE_WORDS: [&str; 15] = [
    "fault: refused",
    "fault: reset",
    "fault: truncated",
    "fault: 500",
    "the disk changes its mind",
    "is killed",
    "calls s0.look",
    "calls s1.count",
    "told {",
    "\"same\":true",
    "\"cited\":true",
    "GET https://s1.test",
    "DELETE https://s1.test",
    "text/event-stream",
    "aborted by the client",
];

/// Seeds beyond the usual ones that broke a law once: 226 read what its server had sent before a change, and received after
/// it, 1,837 ms after that; it is fresh for 2,000 ms from then (MCP 2026-07-28, Caching, "Time-to-Live (TTL) Field"). In 4592
/// a tab that could not store an answer did so later, when another tab had been told that it is over.
const LIVE_FOUND: [u64; 2] = [226, 4592];

#[test]
fn what_changes_is_told_and_what_is_cached_is_right_for_every_seed() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    if let Some(seed) = number("SEED") {
        let story = live::play(seed);
        println!("{}", story.sim.report());
        assert_eq!(story.wrong, [""; 0]);
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS) / 20;
    let share = |thread: u64| {
        let mut counts = Counts::new();
        let found = LIVE_FOUND.into_iter().filter(|seed| *seed >= seeds && seed % THREADS == thread);
        for seed in (thread..seeds).step_by(THREADS as usize).chain(found) {
            let story = live::play(seed);
            if !story.wrong.is_empty() {
                fail(&story.sim, &story.wrong, "--live ");
            }
            for line in story.sim.log() {
                for word in LIVE_WORDS {
                    *counts.entry(word).or_default() += u64::from(line.contains(word));
                }
            }
        }
        counts
    };
    let shares = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || share(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a seed failed, see above")).collect::<Vec<_>>()
    });
    let mut counts = Counts::new();
    for (word, count) in shares.into_iter().flatten() {
        *counts.entry(word).or_default() += count;
    }
    for word in LIVE_WORDS {
        assert!(counts.get(word).is_some_and(|count| *count >= 5), "hardly ever seen: {word}: {counts:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_log_and_another_one_does_not() {
    let mut logs = Vec::new();
    for seed in 0..50 {
        let log = scenario::play(seed, false).sim.log();
        assert_eq!(scenario::play(seed, false).sim.log(), log, "seed {seed}");
        assert!(!logs.contains(&log), "seed {seed} is another one again");
        logs.push(log);
    }
}
