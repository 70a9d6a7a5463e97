//! Plays the stories of the simulation suite by seed.
//!
//! `cargo run --example sim -- --seed N` prints the event log of one seed; `-- --check N [--from M]` plays N seeds
//! and prints those that break a law. `--stored` stores and loads every run at each step; `--live` plays the stories of
//! sources that change instead.

#[path = "../tests/sim/cast.rs"]
mod cast;
#[path = "../tests/sim/laws.rs"]
mod laws;
#[path = "../tests/sim/live.rs"]
mod live;
#[allow(dead_code, reason = "the suite asks more of it")]
#[path = "../tests/sim/model.rs"]
mod model;
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
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let play = |seed: u64| match flag("--live") {
        true => {
            let live::Story { sim, wrong } = live::play(seed);
            (sim, wrong)
        }
        false => {
            let scenario::Story { sim, wrong, .. } = scenario::play(seed, flag("--stored"));
            (sim, wrong)
        }
    };
    if let Some(seed) = number("--seed") {
        let (sim, wrong) = play(seed);
        println!("{}", sim.report());
        return verdict(seed, &wrong);
    }
    let Some(count) = number("--check") else {
        eprintln!("usage: sim --seed N | --check N [--from M], either with --stored or --live");
        return ExitCode::from(2);
    };
    let from = number("--from").unwrap_or(0);
    let began = Instant::now();
    let mut virtual_ms = 0;
    let mut failed = 0_u64;
    for seed in from..from + count {
        let (sim, wrong) = play(seed);
        virtual_ms += sim.elapsed().0;
        if !wrong.is_empty() {
            failed += 1;
            verdict(seed, &wrong);
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
