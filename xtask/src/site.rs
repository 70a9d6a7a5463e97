//! Puts the demo page and the package together in `target/site/`, which `wrangler.toml` deploys as static assets.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Outcome, root};

/// Copies `www/` to `target/site/` and `pkg/` to `target/site/edgewise/`; writes and removes only what differs.
pub(crate) fn assemble() -> Outcome {
    let site = root().join("target/site");
    let mut wanted = BTreeSet::new();
    copy(&root().join("www"), &site, &mut wanted)?;
    copy(&root().join("pkg"), &site.join("edgewise"), &mut wanted)?;
    for path in files(&site) {
        if !wanted.contains(&path) {
            fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, wanted: &mut BTreeSet<PathBuf>) -> Outcome {
    for source in files(from) {
        if source.extension().is_some_and(|extension| extension == "tgz") {
            continue;
        }
        let target = to.join(source.strip_prefix(from).expect("listed below `from`"));
        let content = fs::read(&source).map_err(|error| format!("cannot read {}: {error}", source.display()))?;
        if fs::read(&target).is_ok_and(|old| old == content) {
            wanted.insert(target);
            continue;
        }
        let folder = target.parent().expect("a file below a folder");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&target, content))
            .map_err(|error| format!("cannot write {}: {error}", target.display()))?;
        wanted.insert(target);
    }
    Ok(())
}

/// All files below a folder, without `node_modules`; none when there is no such folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if !path.is_dir() {
            found.push(path);
        } else if path.file_name().is_some_and(|name| name != "node_modules") {
            found.extend(files(&path));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{copy, files};
    use std::collections::BTreeSet;
    use std::fs;

    #[test]
    fn copies_what_differs_and_no_packages() {
        let base = std::env::temp_dir().join(format!("edgewise-site-{}", std::process::id()));
        let (from, to) = (base.join("from"), base.join("to"));
        fs::create_dir_all(from.join("a/node_modules")).unwrap();
        for name in ["a/x.js", "a/node_modules/y.js", "old.tgz"] {
            fs::write(from.join(name), name).unwrap();
        }
        let mut wanted = BTreeSet::new();
        copy(&from, &to, &mut wanted).unwrap();
        assert_eq!(files(&to), [to.join("a/x.js")]);
        assert_eq!(wanted.into_iter().collect::<Vec<_>>(), [to.join("a/x.js")]);
        fs::write(to.join("a/x.js"), "changed").unwrap();
        copy(&from, &to, &mut BTreeSet::new()).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/x.js")).unwrap(), "a/x.js");
        fs::remove_dir_all(&base).unwrap();
    }
}
