//! Finds Chromium and its driver, or installs them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Outcome, output, run, scratch_dir, timed};

const BROWSERS: [&str; 5] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

const BROWSER_PLACES: [&str; 6] = [
    "/usr/lib/chromium/chromium",
    "/opt/google/chrome/chrome",
    "/snap/bin/chromium",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Google Chrome for Testing.app/Contents/MacOS/Google Chrome for Testing",
];

const DRIVER_PLACES: [&str; 4] = [
    "/usr/lib/chromium-browser/chromedriver",
    "/usr/lib/chromium/chromedriver",
    "/snap/bin/chromium.chromedriver",
    "/opt/homebrew/bin/chromedriver",
];

/// The path of a Chromium: `CHROME`, the path, the usual places, else installed when root on a Debian-like system.
///
/// # Errors
///
/// When there is none and none can be installed; the message says what to do.
pub(crate) fn browser() -> Outcome<PathBuf> {
    locate("CHROME", "Chromium", &BROWSERS, &BROWSER_PLACES)
}

/// The path of chromedriver, found like [`browser`] with `CHROMEDRIVER`.
pub(crate) fn driver() -> Outcome<PathBuf> {
    locate("CHROMEDRIVER", "chromedriver", &["chromedriver"], &DRIVER_PLACES)
}

/// Writes the WebDriver capabilities for this browser and user and returns the file's path.
pub(crate) fn capabilities(browser: &Path) -> Outcome<PathBuf> {
    let mut flags = vec![
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
    ];
    if is_root() {
        // Chromium refuses to start its sandbox as root.
        flags.push("--no-sandbox");
    }
    let text = format!("{{\"goog:chromeOptions\": {{\"binary\": {browser:?}, \"args\": {flags:?}}}}}\n");
    let path = scratch_dir()?.join("webdriver.json");
    fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}

fn locate(variable: &str, what: &str, names: &[&str], places: &[&str]) -> Outcome<PathBuf> {
    if let Some(path) = env::var_os(variable).map(PathBuf::from) {
        return match path.exists() {
            true => Ok(path),
            false => Err(format!("{variable} names {}, which does not exist", path.display())),
        };
    }
    if let Some(path) = search(names, places) {
        return Ok(path);
    }
    install(what)?;
    search(names, places).ok_or_else(|| format!("{what} was installed but is not in any known place; set {variable}"))
}

fn search(names: &[&str], places: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = names.iter().flat_map(|name| env::split_paths(&path).map(move |dir| dir.join(name)));
    on_path.chain(places.iter().map(PathBuf::from)).find(|candidate| candidate.is_file())
}

fn install(what: &str) -> Outcome {
    let apt = ["/usr/bin/apt-get", "/bin/apt-get"].iter().any(|path| Path::new(path).exists());
    if !apt || !is_root() {
        return Err(format!(
            "{what} was not found. Install Chromium and chromedriver (Debian: apt-get install chromium chromium-driver; \
             macOS: brew install --cask chromium, brew install chromedriver) or set CHROME and CHROMEDRIVER to their paths"
        ));
    }
    let apt_get = |args: &[&str]| run(Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive"));
    timed("installing Chromium with apt-get", || {
        apt_get(&["update", "-q"])?;
        apt_get(&["install", "-q", "-y", "chromium", "chromium-driver"])
    })
}

fn is_root() -> bool {
    cfg!(unix) && output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::search;

    #[test]
    fn finds_by_name_and_by_place() {
        assert!(search(&["cargo"], &[]).is_some() || search(&["sh"], &[]).is_some());
        assert_eq!(search(&["no-such-browser"], &["/no/such/place"]), None);
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(search(&["no-such-browser"], &[here]).unwrap().to_str(), Some(here));
    }
}
