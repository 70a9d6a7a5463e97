//! Builds, tests, checks and serves Edgewise.
//!
//! | command | what it does |
//! |---|---|
//! | `cargo xtask build [--dev]` | crate to wasm to `pkg/wasm/`: cargo, wasm-bindgen, `wasm-opt -Oz` |
//! | `cargo xtask test [suite ...] [-- filter]` | builds and runs the suites; last line `N passed, N failed` |
//! | `cargo xtask check` | format, clippy (native, wasm32), layers, docs, types, size |
//! | `cargo xtask conformance` | the official MCP conformance suite, against `tests/conformance/expected.txt` |
//! | `cargo xtask size` | raw, gzip and brotli bytes of what a page loads, against `size-budget.txt` |
//! | `cargo xtask sim [--live] --seed N` | replays one seed of the simulator and prints its event log |
//! | `cargo xtask planted [name ...]` | applies each bug of `tests/planted/` and demands a red suite |
//! | `cargo xtask fuzz [target ...]` | fuzzes what reads bytes from outside, each for a minute |
//! | `cargo xtask bench [scenario ...]` | CPU and memory beside peers, from `bench/speed/`; `bench cache`: hits of the cache |
//! | `cargo xtask dev [port]` | serves `www/` and `pkg/`, rebuilds on change |
//! | `cargo xtask demo [port]` | local MCP server, edge worker and demo page; prints the URL |
//!
//! Needed beforehand: rustup, Node 20 or newer with npm, and git. The wasm target, the pinned npm tools (`tests/package.json`,
//! a newer Node among them) and, as root on a Debian-like system, Chromium are installed when first needed. Whatever is
//! already built is skipped: cargo decides for Rust, a content fingerprint in `target/xtask/` for the rest.
//!
//! In scope: the order of things and their outcome. Out of scope: anything the crate or the package does at run time.
//! No dependencies, so that every command starts within seconds; wasm-bindgen is linked into the second binary, `bindgen`.

#![forbid(unsafe_code)]

use std::env;
use std::process::{Command, ExitCode};

mod budget;
mod build;
mod check;
mod chromium;
mod conformance;
mod fingerprint;
mod fuzz;
mod layers;
mod npm;
mod planted;
mod run;
mod serve;
mod site;
mod source;
mod summary;
mod test;
mod wasm;

const HELP: &str = "\
cargo xtask <command>

  build [--dev]               build the wasm into pkg/wasm/ and the site into target/site/ (--dev: unoptimised)
  test [suite ...] [-- ARGS]  build and run the test suites; the last line is `N passed, N failed`
                              native, browser, servers, package, workerd, e2e, conformance, ...; ARGS go to the runner
  check                       format, clippy native and wasm32, layers, docs, types, size
  conformance                 the official MCP conformance suite against tests/conformance/expected.txt
  size                        raw, gzip and brotli bytes of what a page loads, against size-budget.txt
  sim [--live] --seed N       replay one seed of the simulator and print its event log
  planted [name ...]          apply each bug of tests/planted/ and demand that the suite turns red
  fuzz [--seconds N] [target ...]
                              fuzz what reads bytes from outside, each target for a minute, with cargo-fuzz
  bench [--runs N] [--only CONTENDER,...] [scenario ...]
                              CPU and memory beside peers and a hand-written loop: start, deltas, loop, tools, big
  dev [port]                  serve www/ and pkg/ on localhost, rebuild on change
  demo [port]                 local MCP server, edge worker and demo page; prints the URL, Ctrl-C stops all
  help                        this text

Needs rustup, Node >= 20 with npm, and git; installs the rest when first needed.
CHROME and CHROMEDRIVER name the browser and its driver when they are not in a usual place.
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let outcome = match command {
        "build" => only(rest, &["--dev"]).and_then(|()| build::package(rest.iter().any(|arg| arg == "--dev"))),
        "test" => return test::suites(rest),
        "check" => only(rest, &[]).and_then(|()| check::everything()),
        "conformance" => only(rest, &[]).and_then(|()| conformance::everything()),
        "size" => only(rest, &[]).and_then(|()| budget::report()),
        "sim" => serve::sim(rest),
        "planted" => planted::all(rest),
        "fuzz" => fuzz::targets(rest),
        "bench" => bench(rest),
        "dev" => serve::dev(rest),
        "demo" => serve::demo(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => Err(format!("unknown command `{other}`\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the released build; the numbers are for people, and no check depends on them.
fn bench(args: &[String]) -> run::Outcome {
    build::package(false)?;
    let folder = run::root().join("bench");
    if let Some((first, rest)) = args.split_first()
        && first == "cache"
    {
        npm::install()?;
        return run::run(Command::new(npm::node()?).current_dir(&folder).arg("cache/hits.mjs").args(rest));
    }
    npm::install_at(&folder, "npm-bench")?;
    run::run(Command::new(npm::node()?).current_dir(&folder).arg("speed/speed.mjs").args(args))
}

/// Refuses arguments that a command does not know, rather than ignoring a mistyped one.
fn only(args: &[String], known: &[&str]) -> run::Outcome {
    match args.iter().find(|arg| !known.contains(&arg.as_str())) {
        Some(arg) => Err(format!("unknown argument `{arg}`\n\n{HELP}")),
        None => Ok(()),
    }
}
