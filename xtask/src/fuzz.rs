//! Runs the fuzz targets of `fuzz/`, one after the other.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Outcome, cargo, root, run, say, target_dir, timed};

/// Of `cargo-fuzz`, installed into `target/tools/` when it is not there.
const VERSION: &str = "0.13.1";

/// Seconds for each target unless `--seconds` says otherwise.
const SECONDS: u32 = 60;

/// Runs the named targets, or all, each for a minute or as long as `--seconds N` says.
///
/// What is found stays in `fuzz/artifacts/`, what was learned in `fuzz/corpus/`; `fuzz/seeds/` is where it begins.
///
/// # Errors
///
/// When a target fails; the others still run.
pub(crate) fn targets(args: &[String]) -> Outcome {
    let (seconds, names) = options(args)?;
    let known = known()?;
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(format!("no fuzz target `{unknown}`; there are: {}", known.join(", ")));
    }
    let tool = install()?;
    let mut failed = Vec::new();
    for name in if names.is_empty() { &known } else { &names } {
        let folder = root().join("fuzz");
        let corpus = folder.join("corpus").join(name);
        fs::create_dir_all(&corpus).map_err(|error| format!("cannot create {}: {error}", corpus.display()))?;
        let mut command = cargo(&[]);
        command.env("PATH", with(&tool)?);
        // No sanitizer: the crate has no unsafe code, and sanitizers want a nightly compiler.
        command.args(["fuzz", "run", "--sanitizer", "none", name.as_str()]);
        command.arg(&corpus).arg(folder.join("seeds").join(name));
        command.args(["--", "-max_len=4096", "-timeout=10", &format!("-max_total_time={seconds}")]);
        if let Err(why) = timed(&format!("fuzzing {name} for {seconds} s"), || run(&mut command)) {
            eprintln!("xtask: {name}: {why}");
            failed.push(name.as_str());
        }
    }
    match failed[..] {
        [] => Ok(()),
        _ => Err(format!("failed: {}; what broke them is in fuzz/artifacts/", failed.join(", "))),
    }
}

fn options(args: &[String]) -> Outcome<(u32, Vec<String>)> {
    let Some(at) = args.iter().position(|arg| arg == "--seconds") else { return Ok((SECONDS, args.to_vec())) };
    let seconds = args.get(at + 1).and_then(|text| text.parse().ok()).ok_or("--seconds wants a whole number")?;
    Ok((seconds, [&args[..at], &args[at + 2..]].concat()))
}

/// One for each file in `fuzz/fuzz_targets/`.
fn known() -> Outcome<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let stem = |path: PathBuf| path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| stem(entry.path())).collect();
    names.sort();
    Ok(names)
}

/// The folder with `cargo-fuzz`.
fn install() -> Outcome<PathBuf> {
    let tools = target_dir().join("tools").join(format!("cargo-fuzz-{VERSION}"));
    let bin = tools.join("bin");
    if !bin.join(format!("cargo-fuzz{}", env::consts::EXE_SUFFIX)).exists() {
        say("cargo-fuzz (the first time takes a minute or two)");
        let mut command = cargo(&["install", "cargo-fuzz", "--version", VERSION, "--locked", "--quiet", "--root"]);
        run(command.arg(&tools))?;
    }
    Ok(bin)
}

fn with(folder: &Path) -> Outcome<std::ffi::OsString> {
    let old = env::var_os("PATH").unwrap_or_default();
    env::join_paths([folder.to_path_buf()].into_iter().chain(env::split_paths(&old)))
        .map_err(|error| format!("cannot put cargo-fuzz on the path: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{known, options};

    #[test]
    fn seconds_and_names_in_any_order() {
        let parsed = |text: &str| options(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parsed(""), Ok((60, vec![])));
        assert_eq!(parsed("sse --seconds 5 challenge"), Ok((5, vec!["sse".into(), "challenge".into()])));
        assert!(parsed("--seconds").is_err() && parsed("--seconds soon").is_err());
    }

    #[test]
    fn each_target_has_a_program_and_seeds() {
        let manifest = std::fs::read_to_string(crate::run::root().join("fuzz/Cargo.toml")).unwrap();
        let known = known().unwrap();
        assert!(known.len() >= 4);
        for name in known {
            assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
            assert!(crate::run::root().join("fuzz/seeds").join(&name).is_dir(), "{name}");
        }
    }
}
