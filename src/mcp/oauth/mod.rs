//! OAuth 2.1 for MCP servers ([MCP 2026-07-28, Authorization]), as data and decisions.
//!
//! A [`Refusal`] is read off an answer, a [`Remedy`] chosen, and a [`Flow`] says step by step how to come by
//! [`Tokens`]. Tokens are bound to the issuer that made them and to the resource they were made for; clients to
//! the issuer that knows them.
//!
//! # In scope
//!
//! - Discovery, registration, PKCE, scopes and stepping up, refresh; grants with and without a user.
//!
//! # Out of scope
//!
//! - Sending, storing, asking people, and signatures: those are steps for a driver.
//!
//! # Examples
//!
//! ```
//! # use edgewise::mcp::oauth::{Fact, Flow, Known, OauthConfig, Refusal, Step, Url};
//! # use edgewise::time::UnixMillis;
//! let options = serde_json::json!({ "authorize": { "$function": 0 }, "redirectUrl": "https://app.test/cb" });
//! let config = OauthConfig::read(&options, "servers[0].oauth").unwrap();
//! let server = Url::parse("https://mcp.test/mcp").unwrap();
//! let refusal = Refusal { status: 401, ..Refusal::default() };
//! let mut flow = Flow::new(&config, "weather", &server, &refusal, Known::default(), [0; 48]);
//! let Step::Fetch(request) = flow.next() else { panic!() };
//! assert_eq!(request.url, "https://mcp.test/.well-known/oauth-protected-resource/mcp");
//! let body = br#"{"resource":"https://evil.test","authorization_servers":["https://as.test"]}"#;
//! flow.apply(Fact::Answer { status: 200, body, nonce: None }, UnixMillis(0));
//! assert!(matches!(flow.next(), Step::Failed(_)));
//! ```
//!
//! [MCP 2026-07-28, Authorization]: https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization

mod challenge;
mod client;
mod config;
mod flow;
mod jwt;
pub(crate) mod metadata;
mod redirect;
mod remedy;
mod scope;

mod token;
mod url;

pub use super::sha256::{base64url, sha256};
pub use challenge::{Challenge, Refusal};
pub use client::{AuthMethod, Client, Origin};
pub use config::{Dpop, Grant, Idp, OauthConfig, Signer, Store};
pub use flow::{Ask, Fact, Flow, Key, Known, Step};
#[cfg(feature = "parts")]
pub(crate) use jwt::{dpop_proof, is_signature};
#[cfg(feature = "parts")]
pub(crate) use redirect::state_of;
pub use remedy::{Remedy, Tries};
pub use token::Tokens;
pub use url::Url;
