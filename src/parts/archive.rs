//! What is kept, as a part: how much of it there is, and taking it along, bringing it back, and removing it.
//!
//! ```text
//! {"do":"sizes"}                                      {"spaces":{...},"conversations":[...],"entries":...,"bytes":...}
//! {"do":"export","spaces":[...],"conversation":...}   {"text":"..."}
//! {"do":"import","text":"..."}                        {"records":...}
//! {"do":"remove","spaces":[...],"conversation":...}   {}
//! ```
//!
//! Without `spaces` all of them are meant; with `conversation`, what is kept of that one. A request that cannot be met is
//! answered `{"error":{"code":...,"message":...,"path":...}}`.

use serde_json::{Map, Value, json};

use crate::json;
use crate::platform::{PartResult, Platform, Space, StoreFailure, Stored, Write, key};
use crate::store::archive::{self, Archive};

pub(super) async fn answer<P: Platform>(platform: &P, request: &str) -> PartResult {
    let mut request: Value = serde_json::from_slice(request.as_bytes()).map_err(|_| "the request cannot be read")?;
    let text = request.get_mut("text").map(Value::take);
    let (spaces, prefix) = match chosen(&request) {
        Ok(chosen) => chosen,
        Err(words) => return Ok(json::text(&refused("config", "spaces", &words))),
    };
    let done = match (request.get("do").and_then(Value::as_str), text) {
        (Some("sizes"), _) => sizes(platform).await,
        (Some("export"), _) => {
            let mut all = Archive::new(platform.now());
            for space in spaces {
                for Stored { key, expires, .. } in platform.list(space, &prefix).await {
                    // What went meanwhile is not taken along.
                    if let Some(value) = platform.load(space, &key).await {
                        all.add(space, &key, &value, expires);
                    }
                }
            }
            json!({ "text": all.finish() })
        }
        (Some("import"), Some(Value::String(text))) => bring(platform, &text).await,
        (Some("remove"), _) => {
            let removal = |space| Write::remove_prefix(space, prefix.clone());
            match platform.write(spaces.into_iter().map(removal).collect()).await {
                Ok(()) => json!({}),
                Err(failure) => failed(failure),
            }
        }
        _ => return Err("the request cannot be read".into()),
    };
    Ok(json::text(&done))
}

/// The spaces that are meant, and how the keys in them begin.
fn chosen(request: &Value) -> Result<(Vec<Space>, String), String> {
    if let Some(id) = request.get("conversation").and_then(Value::as_str) {
        return Ok((vec![Space::Conversations], key(&[id, ""])));
    }
    let Some(names) = request.get("spaces").and_then(Value::as_array) else {
        return Ok((Space::ALL.to_vec(), String::new()));
    };
    let find = |name: &Value| {
        let space = Space::ALL.into_iter().find(|space| name == space.as_str());
        space.ok_or_else(|| ["there is no space ", &json::text(name)].concat())
    };
    Ok((names.iter().map(find).collect::<Result<_, _>>()?, String::new()))
}

async fn sizes<P: Platform>(platform: &P) -> Value {
    let (mut spaces, mut all) = (Map::new(), (0, 0));
    let mut conversations: Vec<(String, u64, u64)> = Vec::new();
    for space in Space::ALL {
        let (mut entries, mut bytes) = (0, 0);
        for stored in platform.list(space, "").await {
            entries += 1;
            bytes += stored.bytes;
            if space != Space::Conversations {
                continue;
            }
            let id = stored.key.split('/').next().unwrap_or("");
            // They come in the order of their keys.
            match conversations.last_mut().filter(|(last, _, _)| last == id) {
                Some((_, entries, bytes)) => (*entries, *bytes) = (*entries + 1, *bytes + stored.bytes),
                None => conversations.push((id.to_owned(), 1, stored.bytes)),
            }
        }
        all = (all.0 + entries, all.1 + bytes);
        spaces.insert(space.as_str().to_owned(), json!({ "entries": entries, "bytes": bytes }));
    }
    let told =
        |(id, entries, bytes): (String, u64, u64)| json!({ "id": part(&id), "entries": entries, "bytes": bytes });
    let conversations: Vec<Value> = conversations.into_iter().map(told).collect();
    json!({ "spaces": spaces, "conversations": conversations, "entries": all.0, "bytes": all.1 })
}

/// A part of a key as it was given to [`key`].
fn part(part: &str) -> String {
    part.replace("%2F", "/").replace("%00", "\0").replace("%25", "%")
}

/// All of an archive or, where it does not fit, nothing.
async fn bring<P: Platform>(platform: &P, text: &str) -> Value {
    let writes = match archive::read(text, platform.now()) {
        Ok(writes) => writes,
        Err(words) => return refused("config", "file", &words),
    };
    let records = writes.len();
    match platform.write(writes).await {
        Ok(()) => json!({ "records": records }),
        Err(failure) => failed(failure),
    }
}

fn failed(failure: StoreFailure) -> Value {
    match failure {
        StoreFailure::Full => refused("limit", "storage", "there is no room for it"),
        StoreFailure::Absent => refused("network", "storage", "the store cannot be used now"),
    }
}

fn refused(code: &str, path: &str, words: &str) -> Value {
    let message = [path, ": ", words].concat();
    json!({ "error": { "code": code, "message": message, "path": path } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Part;
    use crate::sim::SimPlatform;

    fn ask(sim: &SimPlatform, request: Value) -> Value {
        let answer = sim.block_on(sim.call_part(Part::Archive, json::text(&request))).unwrap().unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    fn filled() -> SimPlatform {
        let sim = SimPlatform::new(1);
        let put = |space, parts: &[&str], value: &[u8]| Write::put(space, key(parts), value);
        let batch = vec![
            put(Space::Conversations, &["a/b", "000001"], b"one"),
            put(Space::Conversations, &["a/b", "000002"], b"two!"),
            put(Space::Conversations, &["a", "000001"], b""),
            put(Space::Embeddings, &["x"], &[255; 9]),
        ];
        sim.block_on(sim.write(batch)).unwrap().unwrap();
        sim
    }

    #[test]
    fn sizes_are_of_each_kind_and_conversation() {
        let sizes = ask(&filled(), json!({ "do": "sizes" }));
        assert_eq!(sizes["spaces"]["conversations"], json!({ "entries": 3, "bytes": 7 }));
        assert_eq!(sizes["spaces"]["journal"], json!({ "entries": 0, "bytes": 0 }));
        assert_eq!((&sizes["entries"], &sizes["bytes"]), (&json!(4), &json!(16)));
        let told = [("a/b", 2, 7), ("a", 1, 0)]
            .map(|(id, entries, bytes)| json!({ "id": id, "entries": entries, "bytes": bytes }));
        let mut conversations = sizes["conversations"].as_array().unwrap().clone();
        conversations.sort_by_key(|one| one["id"] == "a");
        assert_eq!(conversations, told);
    }

    #[test]
    fn what_is_taken_along_comes_back_and_only_what_is_meant_goes() {
        let sim = filled();
        let file = ask(&sim, json!({ "do": "export" }))["text"].clone();
        assert_eq!(ask(&sim, json!({ "do": "remove", "conversation": "a" })), json!({}));
        assert_eq!(ask(&sim, json!({ "do": "sizes" }))["entries"], 3, "not that whose id begins so");
        ask(&sim, json!({ "do": "remove", "spaces": ["embeddings"] }));
        assert_eq!(ask(&sim, json!({ "do": "sizes" }))["bytes"], 7);
        ask(&sim, json!({ "do": "remove" }));
        assert_eq!(ask(&sim, json!({ "do": "sizes" }))["entries"], 0);
        assert_eq!(ask(&sim, json!({ "do": "import", "text": file })), json!({ "records": 4 }));
        assert_eq!(ask(&sim, json!({ "do": "export" }))["text"].as_str().map(str::len), file.as_str().map(str::len));
        let error = ask(&sim, json!({ "do": "remove", "spaces": ["all"] }))["error"].clone();
        assert_eq!((&error["code"], &error["path"]), (&json!("config"), &json!("spaces")));
    }

    #[test]
    fn what_does_not_fit_is_refused_as_a_whole() {
        let file = ask(&filled(), json!({ "do": "export" }))["text"].clone();
        let small = SimPlatform::new(2);
        small.set_store_room(150);
        // In the package, each request to a part is made on a platform of its own.
        let refused = ask(&small.tab(), json!({ "do": "import", "text": file }));
        assert_eq!(refused["error"]["code"], "limit");
        small.set_store_room(u64::MAX);
        assert_eq!(ask(&small, json!({ "do": "sizes" }))["entries"], 0);
    }
}
