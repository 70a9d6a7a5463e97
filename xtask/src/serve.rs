//! Commands that run something for as long as a person looks at it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use crate::build;
use crate::npm;
use crate::run::{Outcome, cargo, root, run, say};

/// How often `dev` looks for changes.
const POLL: Duration = Duration::from_millis(500);

/// Hands all arguments to the simulator's example program.
pub(crate) fn sim(args: &[String]) -> Outcome {
    run(cargo(&["run", "--quiet", "--package", "edgewise", "--example", "sim", "--"]).args(args))
}

/// Builds for development, serves `www/` with `pkg/` at `/edgewise/`, and builds again whenever a source changes.
///
/// The port is 8080 unless given. A failing build is reported and the last good one stays.
pub(crate) fn dev(args: &[String]) -> Outcome {
    let port = port(args, 8080)?;
    build::package(true)?;
    let mut server = Command::new(npm::node()?)
        .current_dir(root())
        .args(["xtask/js/dev.mjs", &port.to_string()])
        // The server ends when this pipe does, so it cannot outlive us.
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start the server: {error}"))?;
    let mut built = newest_source();
    loop {
        sleep(POLL);
        if let Some(status) = server.try_wait().map_err(|error| format!("cannot watch the server: {error}"))? {
            return Err(format!("the server ended ({status})"));
        }
        let newest = newest_source();
        if newest != built {
            built = newest;
            if let Err(why) = build::package(true) {
                say(&why);
            }
        }
    }
}

/// Builds the package and runs MCP server, edge worker and demo page until Ctrl-C.
pub(crate) fn demo(args: &[String]) -> Outcome {
    let port = port(args, 8787)?;
    build::package(false)?;
    let node = npm::node()?;
    let mut command = Command::new(&node);
    command.current_dir(root()).args(["xtask/js/demo.mjs", &port.to_string()]);
    command.env("PATH", npm::path_with(&node)?).env("WRANGLER_SEND_METRICS", "false");
    replace_with(command)
}

/// Becomes the program, so that signals reach it and nothing stands between it and its children.
#[cfg(unix)]
fn replace_with(mut command: Command) -> Outcome {
    use std::os::unix::process::CommandExt;
    Err(format!("cannot start Node: {}", command.exec()))
}

#[cfg(not(unix))]
fn replace_with(mut command: Command) -> Outcome {
    run(&mut command)
}

fn port(args: &[String], default: u16) -> Outcome<u16> {
    match args {
        [] => Ok(default),
        [port] => port.parse().map_err(|_| format!("expected a port, got `{port}`")),
        _ => Err("expected at most a port".into()),
    }
}

/// When the newest file that the wasm is made of was changed.
fn newest_source() -> Option<SystemTime> {
    let mut paths: Vec<PathBuf> = ["src", "Cargo.toml", "Cargo.lock"].iter().map(|name| root().join(name)).collect();
    let mut newest = None;
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
        // A folder's own time changes when a file in it is removed.
        newest = newest.max(path.metadata().and_then(|metadata| metadata.modified()).ok());
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::{newest_source, port};

    #[test]
    fn ports() {
        assert_eq!(port(&[], 8080), Ok(8080));
        assert_eq!(port(&["99".to_owned()], 8080), Ok(99));
        assert!(port(&["70000".to_owned()], 8080).is_err());
        assert!(port(&["1".to_owned(), "2".to_owned()], 8080).is_err());
    }

    #[test]
    fn sources_are_seen() {
        assert!(newest_source().is_some());
    }
}
