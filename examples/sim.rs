//! Plays the stories of the simulation suite by seed.
//!
//! `cargo run --example sim -- --seed N` prints the event log of one seed; `-- --check N [--from M]` plays N seeds
//! and prints those that break a law. `--stored` stores and loads every run at each step.

#[path = "../tests/sim/cast.rs"]
mod cast;
#[path = "../tests/sim/laws.rs"]
mod laws;
#[path = "../tests/sim/scenario.rs"]
mod scenario;

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1)?.parse::<u64>().ok()
    };
    let stored = arguments.iter().any(|argument| argument == "--stored");
    if let Some(seed) = number("--seed") {
        let story = scenario::play(seed, stored);
        println!("{}", story.sim.report());
        return verdict(seed, &story.wrong);
    }
    let Some(count) = number("--check") else {
        eprintln!("usage: sim --seed N | --check N [--from M], either with --stored");
        return ExitCode::from(2);
    };
    let from = number("--from").unwrap_or(0);
    let began = Instant::now();
    let mut virtual_ms = 0;
    let mut failed = 0_u64;
    for seed in from..from + count {
        let story = scenario::play(seed, stored);
        virtual_ms += story.sim.elapsed().0;
        if !story.wrong.is_empty() {
            failed += 1;
            verdict(seed, &story.wrong);
        }
    }
    let hours = virtual_ms as f64 / 3_600_000.0;
    println!("{count} seeds, {hours:.0} virtual hours in {:.1} s, {failed} failed", began.elapsed().as_secs_f64());
    ExitCode::from(u8::from(failed > 0))
}

fn verdict(seed: u64, wrong: &[String]) -> ExitCode {
    for law in wrong {
        println!("seed {seed}: {law}");
    }
    ExitCode::from(u8::from(!wrong.is_empty()))
}
