//! What is kept, as a part: how much of it there is, and taking it along, bringing it back, and removing it.
//!
//! ```text
//! {"do":"sizes","waiting":[...]}                                      {"spaces":{...},"conversations":[...],"entries":...,"bytes":...}
//! {"do":"export","spaces":[...],"conversation":...,"waiting":[...]}   {"text":"..."}
//! {"do":"import","text":"..."}                                        {"records":...}
//! {"do":"remove","spaces":[...],"conversation":...}                   {}
//! ```
//!
//! Without `spaces` all of them are meant; with `conversation`, what is kept of that one: its messages, the logs of its runs, and
//! the big results that it speaks of, which are removed with it unless another conversation speaks of them too. `waiting` is what
//! the agent that asks could not store ([`archive::read_change`]); it is read as if it were stored. A request that cannot be met
//! is answered `{"error":{"code":...,"message":...,"path":...}}`.

use serde_json::{Map, Value, json};

use crate::agent::kept;
use crate::json;
use crate::platform::{PartResult, Platform, Space, StoreFailure, Stored, Write, key};
use crate::store::Waiting;
use crate::store::archive::{self, Archive};

pub(super) async fn answer<P: Platform>(platform: &P, request: &str) -> PartResult {
    let mut request: Value = serde_json::from_slice(request.as_bytes()).map_err(|_| "the request cannot be read")?;
    let text = request.get_mut("text").map(Value::take);
    let view = View::new(platform, &request);
    let conversation = request.get("conversation").and_then(Value::as_str);
    let chosen = match conversation {
        Some(id) => vec![(Space::Conversations, key(&[id, ""]))],
        None => match spaces(&request) {
            Ok(spaces) => spaces.into_iter().map(|space| (space, String::new())).collect(),
            Err(words) => return Ok(json::text(&refused("config", "spaces", &words))),
        },
    };
    let done = match (request.get("do").and_then(Value::as_str), text) {
        (Some("sizes"), _) => sizes(&view).await,
        (Some("export"), _) => {
            let mut all = Archive::new(platform.now());
            for (space, prefix) in &chosen {
                view.add(&mut all, *space, prefix).await;
            }
            if let Some(id) = conversation {
                let own = view.belongings(id).await;
                for (space, prefix) in own.logs.iter().chain(&own.results) {
                    view.add(&mut all, *space, prefix).await;
                }
            }
            json!({ "text": all.finish() })
        }
        (Some("import"), Some(Value::String(text))) => bring(platform, &text).await,
        (Some("remove"), _) => {
            let mut writes = Vec::new();
            if let Some(id) = conversation {
                let own = view.belongings(id).await;
                writes.extend(own.logs.into_iter().map(|(space, prefix)| Write::remove_prefix(space, prefix)));
                let free = own.results.into_iter().filter(|(_, handle)| !own.others.contains(handle));
                writes.extend(free.map(|(space, handle)| Write::remove(space, handle)));
            }
            writes.extend(chosen.into_iter().map(|(space, prefix)| Write::remove_prefix(space, prefix)));
            match platform.write(writes).await {
                Ok(()) => json!({}),
                Err(failure) => failed(failure),
            }
        }
        _ => return Err("the request cannot be read".into()),
    };
    Ok(json::text(&done))
}

/// What is kept, with what waits to be.
struct View<'a, P> {
    platform: &'a P,
    waiting: Waiting,
}

/// What belongs to a conversation beside its messages: where it lies, and how the keys begin.
struct Belongings {
    logs: Vec<(Space, String)>,
    /// Big results that it speaks of.
    results: Vec<(Space, String)>,
    /// Those of them that others speak of too.
    others: Vec<String>,
}

impl<'a, P: Platform> View<'a, P> {
    fn new(platform: &'a P, request: &Value) -> View<'a, P> {
        let rows = request.get("waiting").and_then(Value::as_array).into_iter().flatten();
        let mut waiting = Waiting::default();
        waiting.keep(rows.filter_map(archive::read_change).collect(), platform.now(), StoreFailure::Absent);
        View { platform, waiting }
    }

    async fn list(&self, space: Space, prefix: &str) -> Vec<Stored> {
        let mut found = self.platform.list(space, prefix).await;
        self.waiting.merge(space, prefix, self.platform.now(), &mut found);
        found.sort_by(|one, other| one.key.cmp(&other.key));
        found
    }

    async fn load(&self, space: Space, key: &str) -> Option<Vec<u8>> {
        if let Some(known) = self.waiting.find(space, key, self.platform.now()) {
            return known.map(<[u8]>::to_vec);
        }
        self.platform.load(space, key).await
    }

    /// Takes along what begins so.
    async fn add(&self, all: &mut Archive, space: Space, prefix: &str) {
        for Stored { key, expires, .. } in self.list(space, prefix).await {
            // What went meanwhile is not taken along.
            if let Some(value) = self.load(space, &key).await {
                all.add(space, &key, &value, expires);
            }
        }
    }

    async fn belongings(&self, id: &str) -> Belongings {
        let (own, mut logs) = (key(&[id, ""]), Vec::new());
        for stored in self.list(Space::Journal, "").await {
            let Some((run, "000000")) = stored.key.rsplit_once('/') else { continue };
            let log = self.load(Space::Journal, &stored.key).await.unwrap_or_default();
            let end = log.iter().position(|byte| *byte == b'\n').unwrap_or(log.len());
            let header: Value = serde_json::from_slice(&log[..end]).unwrap_or_default();
            if header.get("conversation").and_then(|told| told.get(0)).is_some_and(|of| of == id) {
                logs.push((Space::Journal, [run, "/"].concat()));
            }
        }
        let (mut named, mut others): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for space in [Space::Conversations, Space::Journal] {
            for stored in self.list(space, "").await {
                let Some(value) = self.load(space, &stored.key).await else { continue };
                let is_own = match space {
                    Space::Conversations => stored.key.starts_with(&own),
                    _ => logs.iter().any(|(_, run)| stored.key.starts_with(run.as_str())),
                };
                let found = if is_own { &mut named } else { &mut others };
                found.extend(kept::named(&String::from_utf8_lossy(&value)).into_iter().map(str::to_owned));
            }
        }
        named.sort_unstable();
        named.dedup();
        Belongings { logs, results: named.into_iter().map(|handle| (Space::Handles, handle)).collect(), others }
    }
}

/// The spaces that are meant.
fn spaces(request: &Value) -> Result<Vec<Space>, String> {
    let Some(names) = request.get("spaces").and_then(Value::as_array) else {
        return Ok(Space::ALL.to_vec());
    };
    let find = |name: &Value| {
        let space = Space::ALL.into_iter().find(|space| name == space.as_str());
        space.ok_or_else(|| ["there is no space ", &json::text(name)].concat())
    };
    names.iter().map(find).collect()
}

async fn sizes<P: Platform>(view: &View<'_, P>) -> Value {
    let (mut spaces, mut all) = (Map::new(), (0, 0));
    let mut conversations: Vec<(String, u64, u64)> = Vec::new();
    for space in Space::ALL {
        let (mut entries, mut bytes) = (0, 0);
        for stored in view.list(space, "").await {
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
    match platform.write_now(&writes).await {
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
    fn what_belongs_to_a_conversation_goes_along_and_goes_with_it() {
        let sim = SimPlatform::new(1);
        let [one, both] = ["0", "1"].map(|digit| format!("result:{}", digit.repeat(20)));
        let said = |text: &str| json!({ "role": "user", "content": [{ "type": "text", "text": text }] }).to_string();
        let log = |id: &str| format!("{}\n{{}}\n", json!({ "edgewise": 1, "conversation": [id, 0, 2] }));
        let put = |space, key: &str, value: String| Write::put(space, key, value);
        let batch = vec![
            put(Space::Conversations, "c/000001", said(&format!("see {one}#/a and {both}"))),
            put(Space::Conversations, "d/000001", said(&both)),
            put(Space::Journal, "r1/000000", log("c")),
            put(Space::Journal, "r1/000001", "{}\n".into()),
            put(Space::Journal, "r2/000000", log("d")),
            put(Space::Handles, &one, "1".into()),
            put(Space::Handles, &both, "2".into()),
            put(Space::Handles, &format!("result:{}", "2".repeat(20)), "nobody's".into()),
        ];
        sim.block_on(sim.write(batch)).unwrap().unwrap();
        let file = ask(&sim, json!({ "do": "export", "conversation": "c" }))["text"].as_str().unwrap().to_owned();
        let other = SimPlatform::new(2);
        assert_eq!(ask(&other, json!({ "do": "import", "text": file })), json!({ "records": 5 }));
        assert_eq!(ask(&sim, json!({ "do": "remove", "conversation": "c" })), json!({}));
        let left: Vec<String> = sim.stored().into_keys().collect();
        let nobody = format!("handles/result:{}", "2".repeat(20));
        assert_eq!(left, ["conversations/d/000001", &format!("handles/{both}"), &nobody, "journal/r2/000000"]);
    }

    #[test]
    fn what_waits_to_be_stored_is_taken_along() {
        let sim = filled();
        let waiting = json!([
            { "space": "conversations", "prefix": "a/" },
            { "space": "conversations", "key": "b/000001", "base64": "YQ==", "expires": u64::MAX },
            { "space": "conversations", "key": "a%2Fb/000001" },
            { "space": "nowhere", "key": "x" },
        ]);
        let sizes = ask(&sim, json!({ "do": "sizes", "waiting": waiting }));
        assert_eq!(sizes["spaces"]["conversations"], json!({ "entries": 2, "bytes": 5 }));
        let file = ask(&sim, json!({ "do": "export", "waiting": waiting }))["text"].as_str().unwrap().to_owned();
        let other = SimPlatform::new(2);
        assert_eq!(ask(&other, json!({ "do": "import", "text": file })), json!({ "records": 3 }));
        let kept: Vec<String> = other.stored().into_keys().collect();
        assert_eq!(kept, ["conversations/a%2Fb/000002", "conversations/b/000001", "embeddings/x"]);
    }

    #[test]
    fn what_does_not_fit_is_refused_as_a_whole() {
        let file = ask(&filled(), json!({ "do": "export" }))["text"].clone();
        let small = SimPlatform::new(2);
        small.set_store_room(150);
        let refused = ask(&small, json!({ "do": "import", "text": file }));
        assert_eq!(refused["error"]["code"], "limit");
        assert_eq!(small.store_waiting(), 0, "nothing of it is brought back later");
        small.set_store_room(u64::MAX);
        small.block_on(small.write(vec![Write::put(Space::Index, "x", "y")])).unwrap().unwrap();
        assert_eq!(ask(&small, json!({ "do": "sizes" }))["entries"], 1);
    }
}
