//! The cheap way to read an event against the tolerant one, on every event of the wire tests' streams.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use super::*;

/// The events of every recorded or made stream of a wire: the first word of the file's name.
fn streams(wire: &str) -> Vec<Vec<sse::Event>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    let files = ["recordings", "made"].into_iter().flat_map(|folder| fs::read_dir(root.join(folder)).unwrap());
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let ours = paths.iter().filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.split('-').next() == Some(wire) && name.ends_with(".sse")
    });
    let decoded = ours.map(|path| {
        let mut events = Vec::new();
        sse::Decoder::new().feed(&fs::read(path).unwrap(), &mut events).unwrap();
        events
    });
    decoded.collect()
}

/// Reads `data` both ways from the same state; true if it was plain.
fn agrees<S: Stream + Clone + Debug>(state: &S, name: &str, data: &str) -> bool {
    let (mut cheap, mut tolerant) = (state.clone(), state.clone());
    let (mut said, mut expected) = (Vec::new(), Vec::new());
    if !cheap.plain(name, data, &mut said) {
        assert!(said.is_empty(), "not plain, and yet {said:?}: {data}");
        assert_eq!(format!("{cheap:?}"), format!("{state:?}"), "{data}");
        return false;
    }
    let value = serde_json::from_str(data).unwrap_or_else(|error| panic!("plain, but no JSON ({error}): {data}"));
    tolerant.event(name, value, &mut expected).unwrap_or_else(|fault| panic!("plain, but {fault:?}: {data}"));
    assert_eq!(said, expected, "{name} {data}");
    assert_eq!(format!("{cheap:?}"), format!("{tolerant:?}"), "{data}");
    true
}

fn never_disagree<S: Stream + Clone + Debug + Default>(wire: &str, least: usize) {
    const PIECES: [&str; 22] = [
        "null",
        "{}",
        "[]",
        "0",
        "1",
        "1e9",
        "\"\"",
        "\"a\"",
        "true",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ",",
        ":",
        "\\u0041",
        "\"error\":",
        "\"content\":",
        "\"type\":",
        "\"delta\":",
    ];
    let mut state = 0x5EED_u32;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % bound
    };
    let (mut plain, mut mutated) = (0, 0);
    for events in streams(wire) {
        let mut stream = S::default();
        for event in events {
            let data = event.data.trim();
            plain += usize::from(agrees(&stream, &event.event, data));
            agrees(&stream, "error", data);
            for _ in 0..60 {
                let mut bytes = data.as_bytes().to_vec();
                for _ in 0..1 + random(3) {
                    let at = random(bytes.len() + 1);
                    let end = (at + random(3)).min(bytes.len());
                    let with = if random(3) == 0 { "" } else { PIECES[random(PIECES.len())] };
                    drop(bytes.splice(at..end, with.bytes()));
                }
                let text = String::from_utf8_lossy(&bytes);
                mutated += usize::from(agrees(&stream, &event.event, &text));
            }
            if let Ok(value) = serde_json::from_str(data)
                && stream.event(&event.event, value, &mut Vec::new()).is_err()
            {
                break;
            }
        }
    }
    assert!(plain >= least, "only {plain} events of {wire} are plain");
    assert!(mutated >= least, "only {mutated} mutated events of {wire} are plain");
}

#[test]
fn the_cheap_way_and_the_tolerant_way_read_the_same() {
    never_disagree::<anthropic::Stream>("anthropic", 15);
    never_disagree::<openai_chat::Stream>("openai", 20);
    never_disagree::<responses_stream::Stream>("responses", 15);
}

#[test]
fn keys_that_come_twice_and_values_of_another_kind_are_read_the_same() {
    let chunk = |choice: &str| format!(r#"{{"object":"chat.completion.chunk","choices":[{{{choice}}}]}}"#);
    let (mut plain, mut total) = (0, 0);
    let values = ["null", "\"a\"", "\"\"", "7", "{}", "[]", "{\"content\":\"b\"}", "\"text_delta\"", "0", "true"];
    for key in ["index", "delta", "message", "finish_reason", "content", "refusal", "reasoning", "tool_calls", "error"]
    {
        for (first, second) in values.iter().flat_map(|first| values.iter().map(move |second| (first, second))) {
            for text in [
                chunk(&format!(r#""delta":{{"content":"x","{key}":{first},"{key}":{second}}}"#)),
                chunk(&format!(r#""delta":{{"content":"x"}},"{key}":{first},"{key}":{second}"#)),
                format!(r#"{{"choices":[{{"delta":{{"reasoning":"x"}}}}],"{key}":{first},"{key}":{second}}}"#),
                format!(r#"{{"choices":{first},"choices":[{{"delta":{{"content":"x"}},"{key}":{second}}}]}}"#),
            ] {
                total += 1;
                plain += u32::from(agrees(&openai_chat::Stream::default(), "", &text));
            }
        }
    }
    for key in ["type", "index", "delta", "text", "thinking", "partial_json", "error", "object"] {
        for (first, second) in values.iter().flat_map(|first| values.iter().map(move |second| (first, second))) {
            let start = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x""#;
            for text in [
                format!(r#"{start},"{key}":{first},"{key}":{second}}}}}"#),
                format!(r#"{start}}},"{key}":{first},"{key}":{second}}}"#),
            ] {
                total += 1;
                plain += u32::from(agrees(&anthropic::Stream::default(), "content_block_delta", &text));
            }
        }
    }
    assert!(plain > 100 && plain < total / 2, "{plain} of {total}");
}
