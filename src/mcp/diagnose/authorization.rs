//! The server wants to know who asks: is what it publishes about that complete and consistent?

use serde_json::{Map, Value};

use super::look::Seen;
use super::{Facts, Probe, Step, done, words};
use crate::http::Headers;
use crate::mcp::oauth::metadata::{AuthorizationServer, Resource, Unfit, resource_urls, server_urls};
use crate::mcp::oauth::{Refusal, Url};

pub(super) fn refused(facts: &Facts, url: &Url, seen: &Seen<'_>, mut findings: Vec<Value>) -> Step {
    let field = seen.header("www-authenticate");
    let mut headers = Headers::new();
    if let Some(field) = field {
        headers.set("www-authenticate", field);
    }
    if seen.status() == 403 && field.is_none() && !facts.has("authorization") {
        findings.push(words::forbidden());
        return done(facts, None, findings);
    }
    if facts.crosses() && field.is_none() {
        findings.push(words::challenge_hidden());
    }
    if facts.has("authorization") {
        findings.push(words::token_refused(seen.status()));
        return done(facts, None, findings);
    }
    let named = Refusal::read(seen.status(), &headers).and_then(|refusal| refusal.resource_metadata);
    let addresses = resource_urls(url, named.as_deref());
    let resource = match first(facts, "resource", &addresses, |body| Resource::read(body, url)) {
        Ok(found) => found,
        Err(step) => return step,
    };
    let issuer = match resource {
        Some((_, Ok(resource))) => match resource.servers.first() {
            Some(issuer) => issuer.clone(),
            None => {
                findings.push(words::no_issuer());
                return done(facts, None, findings);
            }
        },
        Some((address, Err(_))) => {
            findings.push(words::resource_mismatch(&address, &facts.url));
            return done(facts, None, findings);
        }
        None => {
            findings.push(words::no_resource_metadata(&addresses, url));
            url.origin().to_owned()
        }
    };
    let Some(addresses) = server_urls(&issuer) else {
        findings.push(words::bad_issuer(&issuer));
        return done(facts, None, findings);
    };
    match first(facts, "issuer", &addresses, |body| AuthorizationServer::read(body, &issuer, false)) {
        Err(step) => return step,
        Ok(None) => findings.push(words::no_server_metadata(&issuer, &addresses)),
        Ok(Some((address, Err(_)))) => findings.push(words::issuer_mismatch(&address, &issuer)),
        Ok(Some((_, Ok(server)))) if !server.pkce => findings.push(words::no_pkce(&issuer)),
        Ok(Some(_)) => findings.push(words::sign_in(&issuer)),
    }
    done(facts, None, findings)
}

/// A document with the address that it was found at, or why it is not used.
type Found<T> = Option<(String, Result<T, Unfit>)>;

/// The first of the addresses with such a document; `Err` asks for those that were not tried.
fn first<T>(
    facts: &Facts,
    what: &str,
    addresses: &[String],
    read: impl Fn(&[u8]) -> Result<T, Unfit>,
) -> Result<Found<T>, Step> {
    let name = |address: &String| [what, " ", address].concat();
    let open: Vec<&String> = addresses.iter().filter(|address| !facts.answers.contains_key(&name(address))).collect();
    if !open.is_empty() {
        let probe = |address: &&String| Probe {
            name: name(address),
            method: "GET",
            url: (*address).clone(),
            headers: vec![("accept".into(), "application/json".into())],
            ..Probe::default()
        };
        return Err(Step::Probe(open.iter().map(probe).collect()));
    }
    let mut odd = None;
    for address in addresses {
        let Some(seen) = facts.seen(&name(address)).filter(|seen| seen.status() == 200) else { continue };
        match read(seen.body().as_bytes()) {
            Ok(document) => return Ok(Some((address.clone(), Ok(document)))),
            // Metadata, if not the right one; a page for people is none.
            Err(unfit) if serde_json::from_str::<Map<String, Value>>(seen.body()).is_ok() => {
                odd.get_or_insert((address.clone(), Err(unfit)));
            }
            Err(_) => {}
        }
    }
    Ok(odd)
}
