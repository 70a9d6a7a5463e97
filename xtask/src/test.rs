//! Runs the test suites and counts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::build::{self, TARGET};
use crate::run::{Outcome, cargo, root, say, scratch_dir, stream, timed};
use crate::summary::{Counts, node_tap, rust_line};
use crate::{chromium, conformance, npm};

/// The order of the suites under `tests/`: what others build on comes first. Further folders with tests follow.
const NODE_SUITES: [&str; 4] = ["servers", "package", "workerd", "e2e"];

/// Seconds after which one browser test program, or one test file under Node, counts as hung.
const PATIENCE_S: u32 = 300;

/// Runs the named suites, or all; prints a line for each and `N passed, N failed` as the last one.
///
/// A suite that cannot start counts as one failed test and says why; the others still run.
pub(crate) fn suites(args: &[String]) -> ExitCode {
    let (names, runner_args) = match args.iter().position(|arg| arg == "--") {
        Some(at) => (&args[..at], &args[at + 1..]),
        None => (args, &[][..]),
    };
    let known = known_suites();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        eprintln!("xtask: no suite `{unknown}`; there are: {}", known.join(", "));
        return ExitCode::FAILURE;
    }
    let chosen = if names.is_empty() { &known[..] } else { names };

    let mut lines = Vec::new();
    let mut total = Counts::default();
    for suite in chosen {
        let counts = timed(&format!("suite {suite}"), || one(suite, runner_args)).unwrap_or_else(|why| {
            eprintln!("xtask: suite {suite}: {why}");
            Counts { passed: 0, failed: 1 }
        });
        say(&format!("suite {suite}: {counts}"));
        lines.push(format!("{suite}: {counts}"));
        total += counts;
    }
    if lines.len() > 1 {
        lines.iter().for_each(|line| println!("{line}"));
    }
    println!("{total}");
    if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(suite: &str, runner_args: &[String]) -> Outcome<Counts> {
    match suite {
        "native" => native(runner_args),
        "browser" => browser(runner_args),
        "conformance" => conformance::suite(),
        _ => node(suite, runner_args),
    }
}

fn known_suites() -> Vec<String> {
    let mut names = vec!["native".to_owned()];
    if !browser_targets().is_empty() {
        names.push("browser".to_owned());
    }
    let mut folders: Vec<String> = entries(&npm::tests_dir())
        .into_iter()
        .filter(|path| path.is_dir() && !node_files(path).is_empty())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    folders.sort_by_key(|name| {
        let at = NODE_SUITES.iter().position(|known| known == name);
        (at.unwrap_or(NODE_SUITES.len()), name.clone())
    });
    names.extend(folders);
    names.push("conformance".to_owned());
    names
}

fn native(runner_args: &[String]) -> Outcome<Counts> {
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
    if !runner_args.is_empty() {
        command.arg("--").args(runner_args);
    }
    rust(&mut command)
}

/// Runs every test target that uses wasm-bindgen's harness in headless Chromium.
fn browser(runner_args: &[String]) -> Outcome<Counts> {
    build::install_target()?;
    let (browser, driver) = (chromium::browser()?, chromium::driver()?);
    let bindgen = build::bindgen()?;
    let _laws = serve_laws()?;
    let mut command = cargo(&["test", "--package", "edgewise", "--target", TARGET, "--no-fail-fast"]);
    command.arg("--config").arg(format!("target.{TARGET}.runner=[{bindgen:?}, \"test-runner\"]"));
    command.args(browser_targets());
    if !runner_args.is_empty() {
        command.arg("--").args(runner_args);
    }
    command.env("CHROMEDRIVER", driver);
    command.env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", chromium::capabilities(&browser)?);
    command.env("WASM_BINDGEN_TEST_TIMEOUT", PATIENCE_S.to_string());
    // A loaded machine may take longer than the runner's 5 s to start the driver.
    command.env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "60");
    rust(&mut command)
}

/// The server that the laws of `Platform` ask, beside the browser.
///
/// Its URLs are in `test-artefacts/laws.json`, which the test runner serves to the tests.
fn serve_laws() -> Outcome<npm::Service> {
    let service = npm::Service::start("../servers/laws.mjs")?;
    let folder = root().join("test-artefacts");
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("laws.json"), &service.url));
    written.map_err(|error| format!("cannot write test-artefacts/laws.json: {error}"))?;
    Ok(service)
}

fn rust(command: &mut Command) -> Outcome<Counts> {
    let mut counts = Counts::default();
    let succeeded = stream(command, |line| {
        if let Some(found) = rust_line(line) {
            counts += found;
        }
        // Passed tests are many and say nothing.
        let passed = line.starts_with("test ") && line.ends_with("... ok");
        if !passed && !line.is_empty() {
            eprintln!("{line}");
        }
    })?;
    if !succeeded && counts.failed == 0 {
        // A program that does not compile or breaks off prints no result of its own.
        counts.failed = 1;
    }
    Ok(counts)
}

/// The cargo arguments that select the targets with wasm tests: files of `tests/`, and the library itself.
pub(crate) fn browser_targets() -> Vec<String> {
    let is_wasm_test = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.contains("#[wasm_bindgen_test"));
    let mut targets = Vec::new();
    for path in entries(&npm::tests_dir()) {
        if path.extension().is_some_and(|extension| extension == "rs") && is_wasm_test(&path) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            targets.extend(["--test".to_owned(), name]);
        }
    }
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if is_wasm_test(&path) {
                targets.push("--lib".to_owned());
                return targets;
            }
        }
    }
    targets
}

/// Runs all `tests/<suite>/*.test.mjs` with the pinned Node.
///
/// They see `EDGEWISE_ROOT` (the repository), `CHROME` (a Chromium) and the pinned Node first on the path.
fn node(suite: &str, runner_args: &[String]) -> Outcome<Counts> {
    if suite != "servers" {
        build::package(false)?;
    }
    let report = scratch_dir()?.join(format!("{suite}.tap"));
    let _ = fs::remove_file(&report);
    let node = npm::node()?;
    let mut command = Command::new(&node);
    command.current_dir(root()).env("PATH", npm::path_with(&node)?).env("WRANGLER_SEND_METRICS", "false");
    command.env("EDGEWISE_ROOT", root());
    if ["package", "e2e"].contains(&suite) {
        command.env("CHROME", chromium::browser()?);
    }
    command.args(["--test", "--test-reporter=spec", "--test-reporter-destination=stderr", "--test-reporter=tap"]);
    command.arg(format!("--test-reporter-destination={}", report.display()));
    // Files wait for browsers and servers more than they compute; Node's own choice on two cores is one at a time.
    command.arg("--test-concurrency=2");
    command.arg(format!("--test-timeout={}", PATIENCE_S * 1000)).args(runner_args);
    command.args(node_files(&npm::tests_dir().join(suite)));
    let succeeded = stream(&mut command, |line| eprintln!("{line}"))?;
    let mut counts = fs::read_to_string(&report)
        .ok()
        .and_then(|text| node_tap(&text))
        .ok_or("`node --test` broke off without a report")?;
    if !succeeded && counts.failed == 0 {
        counts.failed = 1;
    }
    Ok(counts)
}

fn node_files(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.to_string_lossy().ends_with(".test.mjs")).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
