//! Authorization as a part: what [`Authorizer`] does, asked and answered as text.
//!
//! ```text
//! {"do":"remedy","id":...,"server":...,"url":...,"timeoutMs":...,"options":{...},"refusal":{...},"used":...,"tries":...}
//! {"held":{"access":...,"staleAt":...,"dpop":...},"tries":{...}}
//! ```
//!
//! Each request says everything that its authorizer is made of, so that one which is not known (any more) is made anew.
//! Every answer has `held`, and `failed` where something failed.

use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::State;
use crate::drive::authorizer::Hopeless;
use crate::drive::oauth::Authorizer;
use crate::error::Error;
use crate::http::{Headers, Method, Request};
use crate::json;
use crate::mcp::oauth::{OauthConfig, Refusal, Tries, Url};
use crate::platform::{PartResult, Platform};
use crate::secret::Secret;
use crate::time::Millis;

pub(super) async fn answer<P: Platform>(state: &State<P>, platform: &Rc<P>, request: &str) -> PartResult {
    let request: Value = json::read(request).unwrap_or_default();
    let authorizer = find(state, platform, &request).ok_or("the request cannot be read")?;
    let mut answer = match text(&request, "do") {
        Some("token") => {
            authorizer.token().await;
            Ok(Map::new())
        }
        Some("remedy") => remedy(&authorizer, &request).await,
        Some("prove") => Ok(prove(&authorizer, &request).await?),
        Some("finish") => authorizer.finish(text(&request, "callback").unwrap_or("")).await.map(|()| Map::new()),
        _ => return Err("the request cannot be read".to_owned()),
    }
    .unwrap_or_else(|error| {
        let mut answer = Map::new();
        answer.insert("failed".into(), json::tree(&error));
        answer
    });
    answer.insert("held".into(), authorizer.held());
    Ok(json::text(&Value::Object(answer)))
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

/// The authorizer of that id; made when there is none.
fn find<P: Platform>(state: &State<P>, platform: &Rc<P>, request: &Value) -> Option<Authorizer<P>> {
    let id = text(request, "id")?;
    let mut known = state.authorizers.borrow_mut();
    if let Some((_, authorizer)) = known.iter().find(|(known, _)| known == id) {
        return Some(authorizer.clone());
    }
    let config = OauthConfig::read(request.get("options")?, "oauth").ok()?;
    let (name, url) = (text(request, "server")?, Url::parse(text(request, "url")?)?);
    let timeout = Millis(request.get("timeoutMs")?.as_u64()?);
    let authorizer = Authorizer::new(platform.clone(), config, name, url, timeout);
    known.push((id.to_owned(), authorizer.clone()));
    Some(authorizer)
}

async fn remedy<P: Platform>(authorizer: &Authorizer<P>, request: &Value) -> Result<Map<String, Value>, Error> {
    let refusal = request.get("refusal").unwrap_or(&Value::Null);
    let mut headers = Headers::new();
    headers.set("WWW-Authenticate", text(refusal, "challenges").unwrap_or(""));
    if let Some(nonce) = text(refusal, "nonce") {
        headers.set("DPoP-Nonce", nonce);
    }
    let status = refusal.get("status").and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    let refusal = Refusal::read(status.unwrap_or(401), &headers).unwrap_or_default();
    let used = text(request, "used").map(Secret::new);
    let mut tries = Tries::read(request.get("tries"));
    authorizer.note_nonce(&headers);
    let outcome = authorizer.remedy(&refusal, used.as_ref(), &mut tries).await;
    let mut answer = Map::new();
    answer.insert("tries".into(), tries.to_value());
    match outcome {
        Ok(()) => {}
        Err(Hopeless::Refused(words)) => {
            answer.insert("refused".into(), words.into());
        }
        Err(Hopeless::Failed(error)) => return Err(error),
    }
    Ok(answer)
}

/// The headers of a proof, or words about why there is none.
async fn prove<P: Platform>(authorizer: &Authorizer<P>, request: &Value) -> Result<Map<String, Value>, String> {
    let method = text(request, "method").and_then(Method::parse).ok_or("the request cannot be read")?;
    let mut headers = Headers::new();
    if let Some(nonce) = text(request, "nonce") {
        headers.set("DPoP-Nonce", nonce);
    }
    authorizer.note_nonce(&headers);
    let url = text(request, "url").unwrap_or("").to_owned();
    let mut proven = Request { method, url, headers: Headers::new(), body: None };
    let token = Secret::new(text(request, "token").unwrap_or(""));
    authorizer.prove(&mut proven, &token).await?;
    let mut answer = Map::new();
    for (header, member) in [("Authorization", "authorization"), ("DPoP", "proof")] {
        if let Some(value) = proven.headers.get(header) {
            answer.insert(member.into(), json!(value));
        }
    }
    Ok(answer)
}
