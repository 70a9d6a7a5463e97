//! An LLM agent core with MCP over Streamable HTTP, compiled to WebAssembly.
//!
//! One crate, built once to wasm and shipped as the npm package `edgewise`. It finds tools on any number of
//! MCP servers, lets a language model use them, and streams what happens as events. The same binary runs in
//! pages, Web Workers, Node and Cloudflare Workers.
//!
//! # In scope
//!
//! - The MCP client: Streamable HTTP, revision 2026-07-28 ("modern") and the 2025 revisions ("legacy"), down to the
//!   HTTP+SSE of 2024-11-05.
//! - Model wires over `fetch`: Anthropic Messages, OpenAI Chat Completions, and the embedded `offline` model.
//! - The agent loop: turns, parallel tool calls, approvals, retries, cancel.
//!
//! # Out of scope
//!
//! - A model of our own, a hosted service, stdio servers inside a page.
//! - Anything that needs `eval`, threads, or a Node built-in.
//!
//! # Map
//!
//! Decisions are data, waiting is async, the outside world is one trait. Floors import downwards only:
//!
//! ```text
//! web                        exported classes, fetch, timers, store      (wasm32 only)
//! parts                      what is loaded when first used: a wasm of its own
//! drive                      async: runs a decision machine against a Platform
//! agent        store         decisions of a run; what is kept
//! cache                      what may be answered from what was said before
//! context  llm  mcp          what goes in front of the model; model wires; the protocol
//! sse  jsonrpc  http  rank   codecs and plain data, with limits; words and BM25
//! error  time                Error, Code; UnixMillis, Millis
//! ```
//!
//! [`platform`] is the one seam between the pure part and the world; [`sim`] is its native implementation with
//! virtual time and seeded faults, `web` the other one.
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// Nothing here is `Send`: browser, Worker and simulator are single-threaded, so the usual reason for the lint
// (a caller cannot demand `Send`) does not arise.
#![allow(async_fn_in_trait)]

pub mod error;
mod json;
pub mod options;
pub mod secret;
pub mod time;

pub mod http;
pub mod jsonrpc;
pub mod rank;
pub mod sse;

pub mod context;
pub mod llm;
pub mod mcp;
pub mod schema;

pub mod cache;

pub mod agent;

pub mod platform;

pub mod store;

pub mod drive;

#[cfg(feature = "parts")]
pub mod parts;

#[cfg(not(target_arch = "wasm32"))]
pub mod sim;

#[cfg(target_arch = "wasm32")]
pub mod web;
