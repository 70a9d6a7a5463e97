//! Proves that the tests find bugs: each patch of `tests/planted/` plants one, and a suite must turn red.
//!
//! A patch is a unified diff against the repository's root. Lines `# ...` before it say what the bug is; one of them
//! may be `# suite: NAME` (a suite of `cargo xtask test`, `native` when absent).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::npm;
use crate::run::{Outcome, cargo, output, root, say, target_dir};

/// How long one build or test run in the copy may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Plants the named bugs, or all, one after the other in a copy of the work tree.
///
/// The copy keeps its own target directory, so that only what a patch touches is compiled again. Its tests must be
/// green without a patch, and a patched tree must compile: a bug that the compiler finds proves nothing about tests.
pub(crate) fn all(names: &[String]) -> Outcome {
    let patches = patches(names)?;
    let copy = Copy { root: target_dir().join("planted/tree"), target: target_dir().join("planted/target") };
    copy.refresh()?;
    let suites: BTreeSet<&str> = patches.iter().map(|patch| patch.suite.as_str()).collect();
    for suite in suites {
        say(&format!("suite {suite} without a planted bug"));
        if let Err(why) = copy.build(suite).and_then(|()| copy.test(suite)) {
            return Err(format!("suite {suite} is red before anything is planted: {why}"));
        }
    }
    let mut faults = Vec::new();
    for patch in &patches {
        say(&format!("planting {}", patch.name));
        match copy.find(patch) {
            Ok(()) => println!("{}: found by {}", patch.name, patch.suite),
            Err(why) => {
                println!("{}: {why}", patch.name);
                faults.push(patch.name.as_str());
            }
        }
    }
    if faults.is_empty() {
        println!("all {} planted bugs found", patches.len());
        return Ok(());
    }
    Err(format!("{} of {} planted bugs: {}", faults.len(), patches.len(), faults.join(", ")))
}

struct Patch {
    name: String,
    path: PathBuf,
    suite: String,
}

fn patches(names: &[String]) -> Outcome<Vec<Patch>> {
    let folder = npm::tests_dir().join("planted");
    let mut found = Vec::new();
    for path in fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if names.is_empty() || names.contains(&name) {
            let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            found.push(Patch { name, path, suite: suite(&text).to_owned() });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    match names.iter().find(|name| !found.iter().any(|patch| patch.name == **name)) {
        Some(missing) => Err(format!("tests/planted/{missing}.patch does not exist")),
        None if found.is_empty() => Err("tests/planted/ has no patches".into()),
        None => Ok(found),
    }
}

fn suite(patch: &str) -> &str {
    let header = patch.lines().take_while(|line| line.starts_with('#'));
    header.filter_map(|line| line.strip_prefix("# suite:")).map(str::trim).next().unwrap_or("native")
}

/// The copy of the work tree in which bugs are planted.
struct Copy {
    root: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// Plants one bug, demands that its suite turns red, and takes it out again.
    fn find(&self, patch: &Patch) -> Outcome {
        self.git(&["apply", "--whitespace=nowarn", &patch.path.to_string_lossy()])
            .map_err(|_| "the patch no longer applies".to_owned())?;
        let outcome = self.build(&patch.suite).map_err(|_| "the patched tree does not build".to_owned());
        let outcome = outcome.and_then(|()| match self.test(&patch.suite) {
            Ok(()) => Err(format!("NOT FOUND, suite {} stays green", patch.suite)),
            Err(_) => Ok(()),
        });
        self.refresh()?;
        outcome
    }

    /// Makes the copy equal to the work tree. A file that is equal already keeps its time, so cargo leaves it alone.
    fn refresh(&self) -> Outcome {
        fs::create_dir_all(&self.root).map_err(|error| format!("cannot create {}: {error}", self.root.display()))?;
        if !self.root.join(".git").exists() {
            // A repository of its own: inside of another one, `git apply` would skip every file as not its business.
            self.git(&["init", "--quiet"])?;
        }
        let list = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
        let ours = output(Command::new("git").current_dir(root()).args(list))?;
        let ours: BTreeSet<&str> = ours.split('\0').filter(|name| root().join(name).is_file()).collect();
        let theirs = self.git(&list)?;
        for stale in theirs.split('\0').filter(|name| !name.is_empty() && !ours.contains(name)) {
            let _ = fs::remove_file(self.root.join(stale));
        }
        for name in &ours {
            copy_if_changed(&root().join(name), &self.root.join(name))
                .map_err(|error| format!("cannot copy {name}: {error}"))?;
        }
        self.link_tools()
    }

    /// The npm tools are the same for every copy, and large.
    fn link_tools(&self) -> Outcome {
        #[cfg(unix)]
        {
            let link = self.root.join("tests/node_modules");
            if !link.exists() {
                npm::install()?;
                std::os::unix::fs::symlink(npm::tests_dir().join("node_modules"), &link)
                    .map_err(|error| format!("cannot link {}: {error}", link.display()))?;
            }
        }
        Ok(())
    }

    fn build(&self, suite: &str) -> Outcome {
        match suite {
            "native" => self.cargo(&["test", "--package", "edgewise", "--no-run"]),
            _ => self.cargo(&["xtask", "build"]),
        }
    }

    fn test(&self, suite: &str) -> Outcome {
        match suite {
            // The first failure is enough.
            "native" => self.cargo(&["test", "--package", "edgewise"]),
            _ => self.cargo(&["xtask", "test", suite]),
        }
    }

    /// Runs cargo in the copy; the error holds the end of what it printed. A bug may make a test loop for ever, so
    /// after [`PATIENCE`] everything is killed, which counts as a failure.
    fn cargo(&self, args: &[&str]) -> Outcome {
        let log = self.target.with_extension("log");
        let file = fs::File::create(&log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let errors = file.try_clone().map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let mut command = cargo(args);
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|error| format!("cannot start cargo: {error}"))?;
        let start = Instant::now();
        let status = loop {
            match child.try_wait().map_err(|error| format!("cannot wait for cargo: {error}"))? {
                Some(status) => break status,
                None if start.elapsed() > PATIENCE => {
                    kill_group(&mut child);
                    return Err(format!("cargo {} was killed after {} s", args.join(" "), PATIENCE.as_secs()));
                }
                None => sleep(Duration::from_millis(50)),
            }
        };
        if status.success() {
            return Ok(());
        }
        let text = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        Err(format!("cargo {} failed:\n{}", args.join(" "), lines[lines.len().saturating_sub(60)..].join("\n")))
    }

    fn git(&self, args: &[&str]) -> Outcome<String> {
        output(Command::new("git").current_dir(&self.root).args(args))
    }
}

/// Kills cargo and the test programs that it started, which are one process group.
///
/// Node makes the system call: `kill` programs differ in how they read a negative number, and one of them takes a group
/// given without `--` for "every process".
fn kill_group(child: &mut Child) {
    let script = "process.kill(-Number(process.argv[1]), 'SIGKILL')";
    if cfg!(unix)
        && let Ok(node) = npm::node()
    {
        let _ = Command::new(node).args(["-e", script, &child.id().to_string()]).status();
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn copy_if_changed(from: &Path, to: &Path) -> std::io::Result<()> {
    let content = fs::read(from)?;
    if fs::read(to).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    // Keeps the permissions, and gives the copy a new time: cargo compares by it.
    fs::remove_file(to).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    fs::write(to, content)?;
    fs::set_permissions(to, from.metadata()?.permissions())
}

#[cfg(test)]
mod tests {
    use super::suite;

    #[test]
    fn the_header_names_the_suite() {
        assert_eq!(suite("# Forgets the last event.\n# suite: browser\n--- a/x\n"), "browser");
        assert_eq!(suite("# Forgets.\n--- a/x\n+# suite: e2e\n"), "native");
        assert_eq!(suite(""), "native");
    }
}
