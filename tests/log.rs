//! Logs of real runs, as `run.log` and the demo page save them, told again: the same run comes of them, natively.
//!
//! `LOG=run.jsonl cargo test --test log -- --nocapture` tells one of yours and prints its events.

use std::path::{Path, PathBuf};

use edgewise::agent::log::Replay;
use serde_json::Value;

#[allow(dead_code, reason = "the simulator uses the rest")]
#[path = "sim/laws.rs"]
mod laws;

fn told(text: &str) -> Vec<Value> {
    let replay = Replay::read(text).unwrap_or_else(|error| panic!("{}", error.message));
    let events = replay.run(None).take_events();
    events.iter().map(|event| serde_json::to_value(event).unwrap()).collect()
}

fn saved() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/logs");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect()
}

#[test]
fn a_saved_log_is_the_run_that_it_was() {
    let files = saved();
    assert!(!files.is_empty());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let events = told(&text);
        assert_eq!(laws::broken(&events), [""; 0], "{}", path.display());
        assert_eq!(events, told(&text), "{}: told twice it is another one", path.display());
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        let shown: String = events.iter().map(|event| format!("{event}\n")).collect();
        assert_eq!(shown, expected, "{}", path.display());
        // However much of it was saved: whole lines count.
        let header = text.find('\n').unwrap() + 1;
        for end in (header..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let part = told(&text[..end]);
            assert!(part.len() <= events.len() && part[0]["type"] == "run_start", "{} at byte {end}", path.display());
        }
    }
}

#[test]
fn a_log_of_yours() {
    let Some(path) = std::env::var_os("LOG") else {
        println!("skipped: LOG names no log");
        return;
    };
    let events = told(&std::fs::read_to_string(path).unwrap());
    events.iter().for_each(|event| println!("{event}"));
    assert!(!events.is_empty());
}
