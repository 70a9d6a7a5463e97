//! Everything a change must pass besides the tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::build::{self, TARGET};
use crate::run::{Outcome, cargo, output, root, timed};
use crate::{budget, layers, npm, test};

/// Runs every part, also after one has failed, and prints `part: ok` or `part: failed` for each.
///
/// # Errors
///
/// Names the parts that failed.
pub(crate) fn everything() -> Outcome {
    build::install_target()?;
    let parts = [
        ("format", (|| quietly(cargo(&["fmt", "--all", "--check"]))) as fn() -> Outcome),
        ("layers", layer_rules),
        ("clippy", || clippy(&["--workspace", "--all-targets"])),
        ("clippy wasm32", clippy_wasm),
        ("clippy core", || clippy_module("face,split")),
        ("clippy parts", || clippy_module("parts")),
        ("docs", || quietly(cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"))),
        ("types", types),
        ("size", budget::report),
    ];
    let mut failed = Vec::new();
    for (name, part) in parts {
        match timed(name, part) {
            Ok(()) => println!("{name}: ok"),
            Err(why) => {
                eprintln!("{why}");
                println!("{name}: failed");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        println!("check: all {} parts ok", parts.len());
        return Ok(());
    }
    Err(format!("check: {} of {} parts failed: {}", failed.len(), parts.len(), failed.join(", ")))
}

fn quietly(mut command: impl std::borrow::BorrowMut<Command>) -> Outcome {
    output(command.borrow_mut()).map(drop)
}

fn clippy(args: &[&str]) -> Outcome {
    quietly(cargo(&["clippy", "--quiet"]).args(args).args(["--", "-D", "warnings"]))
}

/// The library as it ships, and the tests that run in a browser.
fn clippy_wasm() -> Outcome {
    let mut args = vec!["--package", "edgewise", "--target", TARGET, "--lib"];
    let tests = test::browser_targets();
    args.extend(tests.iter().map(String::as_str).filter(|arg| *arg != "--lib"));
    clippy(&args)
}

/// One of the package's two wasm files, by its feature.
fn clippy_module(feature: &str) -> Outcome {
    clippy(&["--package", "edgewise", "--target", TARGET, "--lib", "--no-default-features", "--features", feature])
}

fn layer_rules() -> Outcome {
    let src = root().join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source =
                    fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                found.extend(layers::violations(&relative(&src, &path), &source));
            }
        }
    }
    found.sort();
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

fn relative(base: &Path, path: &Path) -> String {
    let path = path.strip_prefix(base).unwrap_or(path);
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The hand-written types against the examples, by the TypeScript compiler.
fn types() -> Outcome {
    build::package(false)?;
    quietly(npm::script("typescript/bin/tsc")?.args(["--project", "tests/tsconfig.json"]))
}
