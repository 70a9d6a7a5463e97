//! Every stream of `recordings/` and `made/`, in every way of cutting it.

use std::fs;
use std::path::{Path, PathBuf};

use edgewise::llm::config::Provider;

use crate::support::{Outcome, check_laws, decode, every_way, head, shown};

/// The streams, their wire (the first word of the file's name), and their media type (by the extension).
pub(crate) fn all() -> Vec<(PathBuf, Provider, &'static str, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    let mut streams = Vec::new();
    for folder in ["recordings", "made"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let media_type = match path.extension().and_then(|extension| extension.to_str()) {
                Some("sse") => "text/event-stream",
                Some("json") => "application/json",
                _ => continue,
            };
            let name = path.file_name().unwrap().to_str().unwrap();
            let provider = match name.split('-').next().unwrap() {
                "anthropic" => Provider::Anthropic,
                "openai" => Provider::OpenAi,
                "gemini" => Provider::Gemini,
                "responses" => Provider::OpenAiResponses,
                "app" => Provider::App,
                other => panic!("{name}: no wire is called {other}"),
            };
            let bytes = fs::read(&path).unwrap();
            streams.push((path, provider, media_type, bytes));
        }
    }
    streams.sort_by(|a, b| a.0.cmp(&b.0));
    streams
}

#[test]
fn each_stream_says_what_stands_beside_it() {
    let streams = all();
    assert!(streams.len() >= 45, "only {} streams found", streams.len());
    let mut wrong = String::new();
    for (path, provider, media_type, bytes) in streams {
        let said = shown(&every_way(provider, &head(200, media_type), &bytes));
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        if said != expected {
            wrong += &format!("--- {}\nexpected\n{expected}\ngot\n{said}\n", path.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn line_ends_and_comments_change_nothing() {
    for (path, provider, media_type, bytes) in all() {
        if media_type != "text/event-stream" {
            continue;
        }
        let head = head(200, media_type);
        let plain = decode(provider, &head, [&bytes[..]]);
        let text = String::from_utf8(bytes).unwrap();
        let crlf = text.replace('\n', "\r\n");
        let commented = format!(": hello\n\n{}", text.replace("\n\n", "\n\n: keep-alive\n\n"));
        assert_eq!(plain, decode(provider, &head, [crlf.as_bytes()]), "{}", path.display());
        for chunk in [1, 7] {
            let Outcome { deltas, end } = decode(provider, &head, commented.as_bytes().chunks(chunk));
            assert_eq!((&plain.deltas, plain.end.is_ok()), (&deltas, end.is_ok()), "{}", path.display());
        }
    }
}

#[test]
fn a_stream_cut_anywhere_is_truncated_or_says_the_same() {
    for (path, provider, media_type, bytes) in all() {
        let head = head(200, media_type);
        let whole = decode(provider, &head, [&bytes[..]]);
        // A function of the app that has no more to give has said all.
        if whole.end.is_err() || provider == Provider::App {
            continue;
        }
        // All cuts inside of a line are alike, so every seventh byte is enough, and a second of everybody's time.
        for at in (0..bytes.len()).step_by(7) {
            let cut = decode(provider, &head, [&bytes[..at]]);
            check_laws(&cut);
            match &cut.end {
                Ok(()) => {
                    // The end mark, or the usage that follows the finish reason, is all that may be missing.
                    let without_usage = |outcome: &Outcome| {
                        shown(outcome)
                            .lines()
                            .filter(|line| !line.starts_with("usage"))
                            .map(str::to_owned)
                            .collect::<Vec<_>>()
                    };
                    assert_eq!(without_usage(&cut), without_usage(&whole), "{} cut at {at}", path.display());
                }
                Err(error) => assert_eq!(error.code.as_str(), "truncated", "{} cut at {at}: {error}", path.display()),
            }
        }
    }
}
