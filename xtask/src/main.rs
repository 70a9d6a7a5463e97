//! Builds, tests, checks and serves Edgewise.
//!
//! | command | what it does |
//! |---|---|
//! | `cargo xtask build [--dev]` | crate to wasm to `pkg/wasm/`: cargo, wasm-bindgen, `wasm-opt -Oz` |
//! | `cargo xtask test [suite ...] [-- filter]` | builds and runs the suites; last line `N passed, N failed` |
//!
//! Needed beforehand: rustup, Node 20 or newer with npm, and git. The wasm target, the pinned npm tools (`tests/package.json`,
//! a newer Node among them) and, as root on a Debian-like system, Chromium are installed when first needed. Whatever is
//! already built is skipped: cargo decides for Rust, a content fingerprint in `target/xtask/` for the rest.
//!
//! In scope: the order of things and their outcome. Out of scope: anything the crate or the package does at run time.
//! No dependencies, so that every command starts within seconds; wasm-bindgen is linked into the second binary, `bindgen`.

#![forbid(unsafe_code)]

use std::env;
use std::process::ExitCode;

mod build;
mod chromium;
mod fingerprint;
mod npm;
mod run;
mod summary;
mod test;
mod wasm;

const HELP: &str = "\
cargo xtask <command>

  build [--dev]               build the npm package's wasm into pkg/wasm/ (--dev: fast, unoptimised, with names)
  test [suite ...] [-- ARGS]  build and run the test suites; the last line is `N passed, N failed`
                              native, browser, servers, package, e2e, workerd; ARGS go to the test runner
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

/// Refuses arguments that a command does not know, rather than ignoring a mistyped one.
fn only(args: &[String], known: &[&str]) -> run::Outcome {
    match args.iter().find(|arg| !known.contains(&arg.as_str())) {
        Some(arg) => Err(format!("unknown argument `{arg}`\n\n{HELP}")),
        None => Ok(()),
    }
}
