//! Big results as a part: what [`crate::agent::kept`] knows, over the store.
//!
//! ```text
//! {"do":"keep","from":"s.t","content":[...],"structuredContent":...,"most":40000}   {"handle":"result:...","content":[...]}, or {}
//! {"do":"read","input":{"handle":...,"path":...},"most":40000}                     {"text":...,"failed":true?}
//! {"do":"expand","input":{...},"schema":{...}}                                     {"input":{...}}, or {"problem":...}
//! {"do":"get","handle":...}                                                       {"content":[...],"structuredContent":...}, or {}
//! {"do":"tool"}                                                                 name, description and schema of find_tools
//! ```

use std::rc::Rc;

use serde_json::{Value, json};

use crate::agent::kept::{self, Kept, expand};
use crate::agent::selection;
use crate::json;
use crate::platform::{PartResult, Platform, Space, Write};
use crate::time::UnixMillis;

pub(super) async fn answer<P: Platform>(platform: &P, request: &str) -> PartResult {
    let request: Value = json::read(request).unwrap_or_default();
    let answer = match request.get("do").and_then(Value::as_str) {
        Some("keep") => keep(platform, request).await,
        Some("read") => read(platform, &request).await,
        Some("expand") => put_in(platform, request).await,
        Some("get") => {
            let handle = request.get("handle").and_then(Value::as_str).unwrap_or("");
            let kept = find(platform, handle).await;
            Some(kept.map_or_else(|| json!({}), |kept| kept.to_json()))
        }
        Some("tool") => Some(selection::definition()),
        _ => None,
    };
    answer.map(|answer| json::text(&answer)).ok_or_else(|| "the request cannot be read".to_owned())
}

fn most(request: &Value) -> usize {
    request.get("most").and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX)
}

async fn keep<P: Platform>(platform: &P, mut request: Value) -> Option<Value> {
    let most = most(&request);
    let content = match request.get_mut("content").map(Value::take) {
        Some(Value::Array(content)) => content,
        _ => return None,
    };
    let structured = request.get_mut("structuredContent").map(Value::take).filter(|data| !data.is_null());
    let Some((kept, others)) = Kept::take(content, structured) else { return Some(json!({})) };
    let (handle, value) = kept.to_record();
    let expires = Some(UnixMillis(platform.now().0.saturating_add(kept::KEPT_FOR.0)));
    let put = Write::Put { space: Space::Handles, key: handle.clone(), value, expires };
    // What does not outlive this agent is in memory, unless there is no room for it.
    if platform.write(vec![put]).await.is_err() && platform.load(Space::Handles, &handle).await.is_none() {
        return Some(json!({}));
    }
    let from = request.get("from").and_then(Value::as_str).unwrap_or("a tool");
    let mut content = vec![json!({ "type": "text", "text": kept.summary(&handle, from, most) })];
    content.extend(others);
    Some(json!({ "handle": handle, "content": content }))
}

async fn find<P: Platform>(platform: &P, handle: &str) -> Option<Kept> {
    if !kept::is_handle(handle) {
        return None;
    }
    Kept::read(platform.load(Space::Handles, handle).await?)
}

async fn read<P: Platform>(platform: &P, request: &Value) -> Option<Value> {
    let input = request.get("input")?;
    let handle = input.get("handle").and_then(Value::as_str).unwrap_or("");
    let read = match find(platform, handle).await {
        Some(kept) => kept::read::read(&kept, input, most(request)),
        None => Err(expand::gone(handle)),
    };
    Some(match read {
        Ok(text) => json!({ "text": text }),
        Err(why) => json!({ "text": why, "failed": true }),
    })
}

async fn put_in<P: Platform>(platform: &P, mut request: Value) -> Option<Value> {
    let input = request.get_mut("input")?.take();
    let mut found = Vec::new();
    for handle in expand::handles(&input) {
        if let Some(kept) = find(platform, &handle).await {
            found.push((handle, Rc::new(kept)));
        }
    }
    let find = |handle: &str| found.iter().find(|(known, _)| known == handle).map(|(_, kept)| kept.clone());
    Some(match expand::expand(input, request.get("schema").unwrap_or(&Value::Null), &find) {
        Ok(input) => json!({ "input": input }),
        Err(problem) => json!({ "problem": problem }),
    })
}
