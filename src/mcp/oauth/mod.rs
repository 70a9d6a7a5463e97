//! OAuth 2.1 for MCP servers ([MCP 2026-07-28, Authorization]), as data and decisions.
//!
//! Tokens are bound to the issuer that made them and to the resource they were made for; clients to
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
//! [MCP 2026-07-28, Authorization]: https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization

mod challenge;
mod client;
mod config;
mod metadata;
mod redirect;
mod scope;
mod sha256;
mod token;
mod url;

pub use challenge::{Challenge, Refusal};
pub use client::{AuthMethod, Client, Origin};
pub use config::{Grant, Idp, OauthConfig, Signer};
pub use sha256::{base64url, sha256};
pub use token::Tokens;
pub use url::Url;
