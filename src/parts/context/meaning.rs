//! Where meanings come from: the table of the package, a function of the app, or a provider's endpoint.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::context::embed::{Table, Vector};
use crate::http::{Headers, Method, Request};
use crate::json;
use crate::options::FunctionId;
use crate::platform::{AppCall, Asset, Body, Platform, Space, Write};
use crate::rank::content_hash;

/// Texts that a function or an endpoint is given at a time.
const BATCH: usize = 64;

/// Meanings that are remembered of those that somebody else told.
const MOST_KNOWN: usize = 50_000;

/// Longest answer of an endpoint that is read, in bytes.
const MOST_BYTES: usize = 32 << 20;

/// Who tells what a text is about.
#[derive(Clone, Debug)]
pub(super) enum Embed {
    /// Nobody: words alone count.
    Nobody,
    /// The table of the package.
    Table,
    /// A function of the app.
    Function(FunctionId),
    /// `POST {baseUrl}/embeddings`, as OpenAI has it.
    Endpoint { url: String, model: String, headers: Headers },
}

impl Embed {
    /// Reads the option `context.embed`, which the core has checked; `None` when it is none.
    pub(super) fn read(value: &Value) -> Option<Embed> {
        if let Some(function) = FunctionId::from_marker(value) {
            return Some(Embed::Function(function));
        }
        let fields = match value {
            Value::Null | Value::Bool(true) => return Some(Embed::Table),
            Value::Bool(false) => return Some(Embed::Nobody),
            value => value.as_object()?,
        };
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let mut headers = Headers::new();
        headers.set("Content-Type", "application/json");
        if let Some(key) = text("apiKey") {
            headers.set("Authorization", ["Bearer ", key].concat());
        }
        for (name, value) in fields.get("headers").and_then(Value::as_object).into_iter().flatten() {
            headers.set(name, value.as_str()?);
        }
        let url = [text("baseUrl")?.trim_end_matches('/'), "/embeddings"].concat();
        Some(Embed::Endpoint { url, model: text("id")?.to_owned(), headers })
    }

    /// Whether somebody is asked, who may tell later what cannot be told now.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self, Embed::Function(_) | Embed::Endpoint { .. })
    }

    /// Tells apart those whose meanings cannot be compared.
    fn name(&self) -> String {
        match self {
            Embed::Nobody | Embed::Table => String::new(),
            Embed::Function(function) => ["function ", &function.0.to_string()].concat(),
            Embed::Endpoint { url, model, .. } => [url, " ", model].concat(),
        }
    }
}

/// Where the store keeps what an endpoint told of a text. What the table tells is sooner made than loaded, and what stands
/// behind a function of the app may be another model tomorrow.
fn key(embed: &Embed, hash: u64) -> Option<String> {
    let Embed::Endpoint { .. } = embed else { return None };
    Some([&content_hash([embed.name().as_str()]).to_string(), "/", &hash.to_string()].concat())
}

/// The table once it is loaded, and what others told.
#[derive(Default)]
pub(super) struct Meanings {
    table: RefCell<Option<Option<Rc<Table>>>>,
    /// By hash of who told it and the text.
    known: RefCell<Vec<(u64, Vector)>>,
}

impl Meanings {
    /// What each text is about; `None` for those of which nobody knows.
    pub(super) async fn of<P: Platform>(&self, platform: &P, embed: &Embed, texts: &[&str]) -> Vec<Option<Vector>> {
        if texts.is_empty() {
            return Vec::new();
        }
        let name = embed.name();
        match embed {
            Embed::Nobody => return vec![None; texts.len()],
            Embed::Table => {
                let table = self.table(platform).await;
                return texts.iter().map(|text| table.as_ref()?.embed([*text])).collect();
            }
            Embed::Function(_) | Embed::Endpoint { .. } => {}
        }
        let hashes: Vec<u64> = texts.iter().map(|text| content_hash([name.as_str(), text])).collect();
        let is_known = |hash: &u64| self.known.borrow().binary_search_by_key(hash, |(known, _)| *known).is_ok();
        let mut asked: Vec<usize> = (0..texts.len()).filter(|place| !is_known(&hashes[*place])).collect();
        asked.sort_by_key(|place| hashes[*place]);
        asked.dedup_by_key(|place| hashes[*place]);
        let mut stored = Vec::new();
        for place in &asked {
            let Some(key) = key(embed, hashes[*place]) else { break };
            if let Some(bytes) = platform.load(Space::Embeddings, &key).await {
                stored.push((hashes[*place], Vector(bytes.into_iter().map(|byte| byte as i8).collect())));
            }
        }
        asked.retain(|place| !stored.iter().any(|(hash, _)| *hash == hashes[*place]));
        self.learn(stored);
        for batch in asked.chunks(BATCH) {
            let texts: Vec<&str> = batch.iter().map(|place| texts[*place]).collect();
            // Without an answer the words alone count, this time.
            let Some(vectors) = ask(platform, embed, &texts).await else { break };
            let told: Vec<(u64, Vector)> = batch.iter().map(|place| hashes[*place]).zip(vectors).collect();
            let put = |(hash, vector): &(u64, Vector)| {
                let value = vector.0.iter().map(|number| *number as u8).collect();
                Some(Write::Put { space: Space::Embeddings, key: key(embed, *hash)?, value, expires: None })
            };
            let writes: Vec<Write> = told.iter().filter_map(put).collect();
            if !writes.is_empty() {
                // What cannot be kept is asked for again by the next page.
                let _ = platform.write(writes).await;
            }
            self.learn(told);
        }
        let known = self.known.borrow();
        let find = |hash: &u64| {
            let place = known.binary_search_by_key(hash, |(known, _)| *known).ok()?;
            Some(known[place].1.clone())
        };
        hashes.iter().map(find).collect()
    }

    /// Tells apart those whose meanings cannot be compared, also when another page has them; `None` where that is not known.
    pub(super) async fn mark<P: Platform>(&self, platform: &P, embed: &Embed) -> Option<String> {
        match embed {
            Embed::Nobody => Some("words".to_owned()),
            Embed::Table => match self.table(platform).await {
                Some(table) => Some(["table ", &table.mark().to_string()].concat()),
                None => Some("words".to_owned()),
            },
            Embed::Function(_) => None,
            Embed::Endpoint { .. } => Some(embed.name()),
        }
    }

    fn learn(&self, told: Vec<(u64, Vector)>) {
        let mut known = self.known.borrow_mut();
        if known.len() > MOST_KNOWN {
            known.clear();
        }
        known.extend(told);
        known.sort_by_key(|(hash, _)| *hash);
    }

    async fn table<P: Platform>(&self, platform: &P) -> Option<Rc<Table>> {
        if let Some(table) = &*self.table.borrow() {
            return table.clone();
        }
        let bytes = platform.asset(Asset::Embeddings).await;
        let table = bytes.as_deref().and_then(Table::read).map(Rc::new);
        *self.table.borrow_mut() = Some(table.clone());
        table
    }
}

/// The meanings of a batch of texts, all or none.
async fn ask<P: Platform>(platform: &P, embed: &Embed, texts: &[&str]) -> Option<Vec<Vector>> {
    let vectors = match embed {
        Embed::Nobody | Embed::Table => return None,
        Embed::Function(function) => {
            let answer = platform.call_app(AppCall { function: *function, argument: json!(texts) }).await.ok()?;
            answer.as_array()?.iter().map(vector).collect::<Option<Vec<Vector>>>()?
        }
        Embed::Endpoint { url, model, headers } => {
            let body = json::text(&json!({ "model": model, "input": texts }));
            let (method, url, headers) = (Method::Post, url.clone(), headers.clone());
            let request = Request { method, url, headers, body: Some(body) };
            let mut response = platform.fetch(request).await.ok().filter(|response| response.head.status == 200)?;
            let mut bytes = Vec::new();
            while let Some(chunk) = response.body.chunk().await {
                bytes.extend(chunk.ok()?);
                if bytes.len() > MOST_BYTES {
                    return None;
                }
            }
            let answer: Value = serde_json::from_slice(&bytes).ok()?;
            let mut data: Vec<(u64, Vector)> = Vec::new();
            for (place, item) in answer.get("data")?.as_array()?.iter().enumerate() {
                let index = item.get("index").and_then(Value::as_u64).unwrap_or(place as u64);
                data.push((index, vector(item.get("embedding")?)?));
            }
            data.sort_by_key(|(index, _)| *index);
            data.into_iter().map(|(_, vector)| vector).collect()
        }
    };
    (vectors.len() == texts.len()).then_some(vectors)
}

/// A list of numbers; a typed array has become an object on its way through JSON, its members in order.
fn vector(value: &Value) -> Option<Vector> {
    let number = |value: &Value| value.as_f64().map(|number| number as f32);
    let numbers: Vec<f32> = match value {
        Value::Array(numbers) => numbers.iter().map(number).collect::<Option<_>>()?,
        Value::Object(numbers) => numbers.values().map(number).collect::<Option<_>>()?,
        _ => return None,
    };
    (!numbers.is_empty()).then(|| Vector::new(&numbers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Answer, Peer, Server, SimPlatform};

    /// An endpoint that knows one direction for each text, and how many texts it was asked about.
    #[derive(Default)]
    struct Endpoint {
        asked: Vec<usize>,
        fails: bool,
    }

    impl Server for Endpoint {
        fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
            if request.headers.get("authorization") != Some("Bearer secret") || !request.url.ends_with("/v1/embeddings")
            {
                peer.violation("not what the provider wants");
            }
            let body: Value = serde_json::from_slice(request.body.as_deref().unwrap_or("").as_bytes()).unwrap();
            let texts = body["input"].as_array().unwrap();
            self.asked.push(texts.len());
            if self.fails {
                return Answer::text(500, "text/plain", "no");
            }
            // The last one first: what counts is the index.
            let item = |place: usize| json!({ "index": place, "embedding": [place as f64 + 1.0, 0.5] });
            Answer::json(&json!({ "data": (0..texts.len()).rev().map(item).collect::<Vec<Value>>() }))
        }
    }

    fn endpoint(id: &str) -> Embed {
        Embed::read(&json!({ "baseUrl": "https://llm.test/v1/", "id": id, "apiKey": "secret" })).unwrap()
    }

    #[test]
    fn an_endpoint_is_asked_once_for_each_text_and_the_store_keeps_it() {
        let sim = SimPlatform::new(1);
        let server = sim.host("https://llm.test", Endpoint::default());
        let ask = |meanings: &Meanings, id: &str, texts: &[&str]| {
            sim.block_on(meanings.of(&sim, &endpoint(id), texts)).unwrap()
        };
        let meanings = Meanings::default();
        let first = ask(&meanings, "m", &["a", "b", "a"]);
        assert!(first[0].is_some() && first[0] == first[2] && first[0] != first[1]);
        assert_eq!(ask(&meanings, "m", &["b"]), [first[1].clone()]);
        assert_eq!(server.borrow().asked, [2]);
        // Another page.
        assert_eq!(ask(&Meanings::default(), "m", &["b", "a"]), [first[1].clone(), first[0].clone()]);
        assert_eq!(server.borrow().asked, [2]);
        ask(&Meanings::default(), "other", &["a"]);
        assert_eq!(server.borrow().asked, [2, 1], "meanings of two models cannot be compared");
        let many: Vec<String> = (0..BATCH * 2).map(|number| number.to_string()).collect();
        ask(&meanings, "m", &many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(server.borrow().asked, [2, 1, BATCH, BATCH]);
        assert_eq!((sim.violations(), sim.leftovers()), (vec![], String::new()));
    }

    #[test]
    fn words_alone_count_where_the_endpoint_fails() {
        let sim = SimPlatform::new(2);
        sim.host("https://llm.test", Endpoint { fails: true, ..Endpoint::default() });
        let told = sim.block_on(Meanings::default().of(&sim, &endpoint("m"), &["a", "b"])).unwrap();
        assert_eq!(told, [None, None]);
        let told = sim.block_on(Meanings::default().of(&sim, &Embed::Table, &["a"])).unwrap();
        assert_eq!(told, [None], "there is no table");
    }
}
