//! Who tells what a text is about, and asking those who are not of the package.

use serde_json::{Value, json};

use crate::context::embed::Vector;
use crate::http::{Headers, Method, Request};
use crate::json;
use crate::options::FunctionId;
use crate::platform::{AppCall, Body, Platform};

/// Longest answer of an endpoint that is read, in bytes.
const MOST_BYTES: usize = 32 << 20;

/// Longest text that somebody is asked about, in bytes: what comes later hardly changes what it is about, and models refuse
/// what is too long for them.
const MOST_TEXT: usize = 8_000;

/// Who tells what a text is about.
#[derive(Clone, Debug)]
pub(super) enum Embed {
    /// Nobody: words alone count.
    Nobody,
    /// The table of the package.
    Table,
    /// A function of the app, and the agent whose it is: each agent counts its functions by itself.
    Function(FunctionId, String),
    /// `POST {baseUrl}/embeddings`, as OpenAI has it.
    Endpoint { url: String, model: String, headers: Headers },
}

/// Why there is no answer.
pub(super) enum Failure {
    /// It does not take as many texts at a time, or one of them.
    Refused(String),
    /// Anything else, in words for people, without content.
    Other(String),
}

impl Embed {
    /// Reads the option `context.embed`, which the core has checked, of an agent; `None` when it is none.
    pub(super) fn read(value: &Value, agent: &str) -> Option<Embed> {
        if let Some(function) = FunctionId::from_marker(value) {
            return Some(Embed::Function(function, agent.to_owned()));
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
        matches!(self, Embed::Function(..) | Embed::Endpoint { .. })
    }

    /// Tells apart those whose meanings cannot be compared.
    pub(super) fn name(&self) -> String {
        match self {
            Embed::Nobody | Embed::Table => String::new(),
            Embed::Function(function, agent) => ["function ", &function.0.to_string(), " of ", agent].concat(),
            Embed::Endpoint { url, model, .. } => [url, " ", model].concat(),
        }
    }

    /// The meanings of a batch of texts, all of one length; all or none.
    pub(super) async fn ask<P: Platform>(&self, platform: &P, texts: &[&str]) -> Result<Vec<Vector>, Failure> {
        let other = |words: &str| Failure::Other(words.to_owned());
        let texts: Vec<&str> = texts.iter().map(|text| &text[..text.floor_char_boundary(MOST_TEXT)]).collect();
        let vectors = match self {
            Embed::Nobody | Embed::Table => None,
            Embed::Function(function, _) => {
                let answer = platform.call_app(AppCall { function: *function, argument: json!(texts) }).await;
                // What it threw may be about the texts.
                let answer = answer.map_err(|_| other("the function `embed` failed"))?;
                answer.as_array().and_then(|all| all.iter().map(vector).collect::<Option<Vec<Vector>>>())
            }
            Embed::Endpoint { url, model, headers } => {
                let body = json::text(&json!({ "model": model, "input": texts }));
                let (method, url, headers) = (Method::Post, url.clone(), headers.clone());
                let request = Request { method, url, headers, body: Some(body) };
                let failed = |_| other("the endpoint for embeddings could not be reached");
                let mut response = platform.fetch(request).await.map_err(failed)?;
                let status = response.head.status;
                if status != 200 {
                    let words = ["the endpoint for embeddings answered with status ", &status.to_string()].concat();
                    // Providers differ in how many texts they take, and in how they say so.
                    let size = matches!(status, 400 | 413 | 422);
                    return Err(if size { Failure::Refused(words) } else { Failure::Other(words) });
                }
                let mut bytes = Vec::new();
                while let Some(chunk) = response.body.chunk().await {
                    bytes.extend(chunk.map_err(|_| other("the endpoint for embeddings broke off"))?);
                    if bytes.len() > MOST_BYTES {
                        return Err(other("the endpoint for embeddings answered with more than 32 MB"));
                    }
                }
                serde_json::from_slice(&bytes).ok().and_then(|answer| told(&answer))
            }
        };
        let vectors = vectors.ok_or_else(|| other("what embeds gave something else than lists of numbers"))?;
        if vectors.len() != texts.len() {
            return Err(other("what embeds gave another number of lists than it was given texts"));
        }
        if vectors.iter().any(|vector| vector.0.len() != vectors[0].0.len()) {
            return Err(other("what embeds gave lists of different lengths"));
        }
        Ok(vectors)
    }
}

/// The vectors of an endpoint's answer, in the order of the texts.
fn told(answer: &Value) -> Option<Vec<Vector>> {
    let mut data: Vec<(u64, Vector)> = Vec::new();
    for (place, item) in answer.get("data")?.as_array()?.iter().enumerate() {
        let index = item.get("index").and_then(Value::as_u64).unwrap_or(place as u64);
        data.push((index, vector(item.get("embedding")?)?));
    }
    data.sort_by_key(|(index, _)| *index);
    Some(data.into_iter().map(|(_, vector)| vector).collect())
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
