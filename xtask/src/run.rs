//! Where the repository is, how a step is announced, and how a program is run.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The outcome of a step; the error is a sentence for a person.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies one folder below the root")
}

/// Cargo's target directory, which `CARGO_TARGET_DIR` may have moved.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Where xtask keeps fingerprints and intermediate files.
pub(crate) fn scratch_dir() -> Outcome<PathBuf> {
    let dir = target_dir().join("xtask");
    std::fs::create_dir_all(&dir).map_err(|error| format!("cannot create {}: {error}", dir.display()))?;
    Ok(dir)
}

/// Announces a step. Everything for people goes to standard error; standard output carries results.
pub(crate) fn say(text: &str) {
    eprintln!("=> {text}");
}

/// The cargo that runs us, working in the root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    // These describe xtask's own package and would make build scripts of others look changed.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a program to its end; its output goes where ours goes.
///
/// # Errors
///
/// When it cannot be started or ends with a failure; the message names the program.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|error| cannot_start(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", name(command))) }
}

/// Runs a program quietly and returns what it printed; prints both streams when it fails.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    eprint!("{text}{}", String::from_utf8_lossy(&output.stderr));
    Err(format!("{} failed ({})", name(command), output.status))
}

/// Runs a program quietly and returns what it printed, first to standard output and then to standard error, also when
/// it fails.
///
/// # Errors
///
/// When it cannot be started.
pub(crate) fn captured(command: &mut Command) -> Outcome<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    Ok([output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
}

/// Runs a program, hands each line of its standard output to `line` as it comes, and tells whether it succeeded.
pub(crate) fn stream(command: &mut Command, mut line: impl FnMut(&str)) -> Outcome<bool> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|error| cannot_start(command, &error))?;
    let stdout = child.stdout.take().expect("standard output was piped");
    // Test programs may print bytes that are not UTF-8.
    for bytes in BufReader::new(stdout).split(b'\n') {
        let bytes = bytes.map_err(|error| format!("cannot read from {}: {error}", name(command)))?;
        line(String::from_utf8_lossy(&bytes).trim_end_matches('\r'));
    }
    let status = child.wait().map_err(|error| format!("cannot wait for {}: {error}", name(command)))?;
    Ok(status.success())
}

/// Measures a step and announces how long it took.
pub(crate) fn timed<T>(what: &str, step: impl FnOnce() -> T) -> T {
    say(what);
    let start = Instant::now();
    let result = step();
    let seconds = start.elapsed().as_secs_f32();
    if seconds > 2.0 {
        eprintln!("   {seconds:.1} s");
    }
    result
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for arg in command.get_args().take(2) {
        name.push(' ');
        name.push_str(&arg.to_string_lossy());
    }
    name
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("cannot start `{}`: {error}", command.get_program().to_string_lossy())
}
