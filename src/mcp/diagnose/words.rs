//! The findings: a stable code, how bad it is, words for people, and what to paste into the server's configuration.

use serde_json::{Value, json};

use super::look::{Kind, Seen};
use crate::mcp::oauth::Url;
use crate::mcp::text::clean;

/// What pages need a server to let through. CORS has no pattern for `mcp-param-…`.
const ALLOW: &str =
    "content-type, authorization, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id, last-event-id";
const EXPOSE: &str = "Access-Control-Expose-Headers: mcp-session-id, mcp-protocol-version, www-authenticate";

fn finding(level: &str, code: &str, message: &[&str], fix: Option<String>) -> Value {
    let mut finding = json!({ "code": code, "level": level, "message": message.concat() });
    if let Some(fix) = fix {
        finding["fix"] = fix.into();
    }
    finding
}

fn error(code: &str, message: &[&str], fix: Option<String>) -> Value {
    finding("error", code, message, fix)
}

fn cors(page: &str, headers: &[String]) -> String {
    let mut allow = ALLOW.to_owned();
    for name in headers.iter().filter(|name| !ALLOW.split(", ").any(|known| known == *name)) {
        allow.push_str(&[", ", name].concat());
    }
    let lines = [
        ["Access-Control-Allow-Origin: ", page].concat(),
        "Access-Control-Allow-Methods: GET, POST, DELETE, OPTIONS".into(),
        ["Access-Control-Allow-Headers: ", &allow].concat(),
        EXPOSE.into(),
    ];
    lines.join("\n")
}

pub(super) fn invalid_url() -> Value {
    error("invalid_url", &["This is no absolute http or https URL."], None)
}

pub(super) fn mixed_content(url: &str) -> Value {
    let secure = ["https://", url.strip_prefix("http://").unwrap_or(url)].concat();
    let secure = secure.split('?').next().unwrap_or_default().to_owned();
    let words = "This page was loaded over https, so the browser blocks every request to an address that begins with http. Serve the server over https.";
    error("mixed_content", &[words], Some(secure))
}

pub(super) fn unreachable(words: &str) -> Value {
    let hint = "Nobody answers at this address: wrong host or port, the server is not running, its certificate is not accepted, or something between blocks it. What the platform says: ";
    error("unreachable", &[hint, &clean(words, 200)], None)
}

pub(super) fn origin(page: &str) -> Value {
    let words = "The server answers, but does not let pages of this origin read what it says: the answer to a POST has no Access-Control-Allow-Origin for it. The lines belong on every answer, errors included, and OPTIONS has to be answered with 204.";
    error("cors_origin", &[words], Some(cors(page, &[])))
}

pub(super) fn headers(refused: &[&str], wanted: &[String], page: &str, fatal: bool) -> Value {
    let (are, them) = if refused.len() == 1 { ("header ", " is") } else { ("headers ", " are") };
    let words = "The server lets this page in, but refuses its preflight: the ";
    let more = " not among Access-Control-Allow-Headers. Tools that mirror arguments need their mcp-param-… headers listed too, one by one.";
    let level = if fatal { "error" } else { "warning" };
    let message = [words, are, &refused.join(", "), them, more];
    finding(level, "cors_header", &message, Some(cors(page, wanted)))
}

pub(super) fn preflight(wanted: &[String], page: &str) -> Value {
    let words = "The server lets each header through alone but not all of them together. Something in front of it may limit or rewrite preflights.";
    error("cors_preflight", &[words], Some(cors(page, wanted)))
}

pub(super) fn session_hidden() -> Value {
    let words = "The server began a session and does not show its id to pages, so that every request after the first one is refused.";
    error("session_hidden", &[words], Some(EXPOSE.into()))
}

pub(super) fn challenge_hidden() -> Value {
    let words = "The server wants a sign-in and hides from pages what it says about that. It is looked for at the well-known addresses instead, which costs requests and fails where the metadata is elsewhere.";
    finding("warning", "challenge_hidden", &[words], Some(EXPOSE.into()))
}

pub(super) fn redirect(location: Option<&str>) -> Value {
    let words = "The address redirects, and a redirect loses the request. Use the address that it leads to";
    match location {
        Some(location) => {
            let target = clean(location.split('?').next().unwrap_or_default(), 200);
            error("redirect", &[words, "."], Some(target))
        }
        None => error("redirect", &[words, "; open it in a new tab to see which that is."], None),
    }
}

pub(super) fn busy(status: u16) -> Value {
    let words = if status == 429 { "The server asks to slow down" } else { "The server fails" };
    error("server_error", &[words, " (status ", &status.to_string(), "). That may pass; its log says more."], None)
}

pub(super) fn revisions(seen: &Seen<'_>) -> Value {
    let words = "This is a server of the modern era that refused the request for its form (status ";
    error("revision", &[words, &seen.status().to_string(), ")."], None)
}

pub(super) fn revision_gap(versions: Option<&Vec<Value>>) -> Value {
    let versions: Vec<String> =
        versions.into_iter().flatten().filter_map(Value::as_str).map(|version| clean(version, 20)).take(10).collect();
    error(
        "revision",
        &["The server speaks ", &versions.join(", "), ", and this client 2026-07-28 and the revisions of 2025."],
        None,
    )
}

pub(super) fn works(era: &str, version: &str) -> Value {
    let words = ["The server answers as it should: ", era, " era, revision ", &clean(version, 20), "."];
    finding("info", "works", &words, None)
}

pub(super) fn old_transport() -> Value {
    let words =
        "The server speaks the transport of 2024-11-05 (HTTP with a separate event stream), which is old and works.";
    finding("info", "old_transport", &[words], None)
}

pub(super) fn no_mcp(kind: &Kind, seen: &Seen<'_>, url: &Url) -> Value {
    let status = seen.status().to_string();
    let paths = "The endpoint is often /mcp";
    let elsewhere = (url.bare_path() != "/mcp").then(|| [url.origin(), "/mcp"].concat());
    match kind {
        _ if seen.status() == 404 => error(
            "not_found",
            &["There is something at this host, but nothing at this address (status 404). ", paths, "."],
            elsewhere,
        ),
        Kind::Html => error(
            "html",
            &["This is a web page and no MCP server (status ", &status, ", HTML). ", paths, "."],
            elsewhere,
        ),
        Kind::Empty => error(
            "empty",
            &[
                "The answer is empty (status ",
                &status,
                "). A gateway may answer in place of the server; an MCP server answers a request with a result.",
            ],
            None,
        ),
        Kind::Error(code, words) => error(
            "refused",
            &[
                "The server refuses to begin: ",
                &clean(words, 200),
                " (JSON-RPC ",
                &code.to_string(),
                ", status ",
                &status,
                ").",
            ],
            None,
        ),
        Kind::Result(_) | Kind::OtherJson => error(
            "not_mcp",
            &["This is an HTTP API and no MCP server (status ", &status, ", JSON of another kind). ", paths, "."],
            elsewhere,
        ),
        Kind::Other(media) => {
            let media = if media.is_empty() { "no content type".to_owned() } else { clean(media, 60) };
            error(
                "not_mcp",
                &["What answers here is no MCP server (status ", &status, ", ", &media, "). ", paths, "."],
                elsewhere,
            )
        }
    }
}

pub(super) fn forbidden() -> Value {
    let words = "The server refuses this request (status 403) and does not ask for a sign-in. It may not like the origin of this page, or the address of this machine.";
    error("forbidden", &[words], None)
}

pub(super) fn token_refused(status: u16) -> Value {
    error(
        "token_refused",
        &["The server refuses the token that it was given (status ", &status.to_string(), ")."],
        None,
    )
}

pub(super) fn sign_in(issuer: &str) -> Value {
    let words = "The server wants a sign-in, and what it publishes about that is in order. Give the option `oauth` or `token`. Authorization server: ";
    error("sign_in", &[words, &clean(issuer, 200)], None)
}

pub(super) fn no_resource_metadata(addresses: &[String], url: &Url) -> Value {
    let words =
        "The server wants a sign-in, but publishes no metadata about it (RFC 9728) where this page could read it: ";
    let fix = json!({ "resource": url.resource(), "authorization_servers": ["https://…"] });
    error("no_resource_metadata", &[words, &addresses.join(", ")], Some(crate::json::text(&fix)))
}

pub(super) fn resource_mismatch(address: &str, url: &str) -> Value {
    let words = "The metadata at ";
    let more = " is of another server, or is not complete: its `resource` has to be this server's address.";
    let resource = url.split('?').next().unwrap_or(url);
    error("resource_mismatch", &[words, address, more], Some(["\"resource\": \"", resource, "\""].concat()))
}

pub(super) fn no_issuer() -> Value {
    let fix = "\"authorization_servers\": [\"https://…\"]".to_owned();
    error("no_issuer", &["The server's metadata names no authorization server."], Some(fix))
}

pub(super) fn bad_issuer(issuer: &str) -> Value {
    error("bad_issuer", &["The authorization server is no https address without a query: ", &clean(issuer, 200)], None)
}

pub(super) fn no_server_metadata(issuer: &str, addresses: &[String]) -> Value {
    let words = [
        "The authorization server ",
        &clean(issuer, 200),
        " publishes no usable metadata (RFC 8414) where this page could read it: ",
        &addresses.join(", "),
    ];
    error("no_server_metadata", &words, Some("Access-Control-Allow-Origin: *".into()))
}

pub(super) fn issuer_mismatch(address: &str, issuer: &str) -> Value {
    let issuer = clean(issuer, 200);
    let words = [
        "The metadata at ",
        address,
        " is of another authorization server, or has no token endpoint: its `issuer` has to be ",
        &issuer,
    ];
    error("issuer_mismatch", &words, Some(["\"issuer\": \"", &issuer, "\""].concat()))
}

pub(super) fn no_pkce(issuer: &str) -> Value {
    let fix = "\"code_challenge_methods_supported\": [\"S256\"]".to_owned();
    error(
        "no_pkce",
        &[
            "The authorization server ",
            &clean(issuer, 200),
            " does not say that it takes PKCE with S256, which MCP demands.",
        ],
        Some(fix),
    )
}
