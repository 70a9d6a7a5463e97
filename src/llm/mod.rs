//! Model wires: canonical messages to a provider's request, and its stream to canonical deltas.
//!
//! ```text
//! wire = encoder + decoder                     what the rest of the crate uses
//! anthropic                                    one wire each: messages out, events in
//! openai_chat + openai_calls
//! openai_responses + responses_stream
//! gemini + gemini_schema
//! app_stream + prompt_api                      the app's own functions; the browser's model
//! offline + offline_wire                       the embedded keyword matcher: no network, asked as text
//! structured   answers held to a schema by the provider
//! count        tokens of a request, before it is sent
//! thread       conversations that the provider holds
//! found        tools that are told of behind the results that found them
//! tools  dialect  failure  content  json  scan  what the wires share
//! turn         deltas to a message
//! types  config
//! ```
pub mod config;
pub mod count;
pub mod found;
#[cfg(feature = "parts")]
pub mod offline;
pub mod offline_wire;
#[cfg(feature = "parts")]
pub mod prompt_api;
pub mod structured;
pub mod thread;
pub mod tools;
pub mod turn;
pub mod types;
pub mod wire;

mod anthropic;
mod app_stream;
mod content;
mod decoder;
mod dialect;
mod encoder;
mod failure;
mod gemini;
mod gemini_schema;
mod json;
mod openai_calls;
mod openai_chat;
mod openai_responses;
mod openrouter;
pub(crate) mod overflow;
mod responses_stream;
mod scan;

pub use tools::tool_definitions;
