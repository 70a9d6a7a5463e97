//! Runs decision machines against a [`Platform`](crate::platform::Platform): the only part that waits.
//!
//! No policy lives here. A driver asks its machine for the next step, does it, and reports the fact back.
pub mod agent;
mod approvals;
pub(crate) mod authorizer;
mod cache;
mod check;
pub mod client;
mod compact;
mod context;
mod conversation;
mod count;
pub mod diagnose;
pub mod handle;
mod keep;
mod kept;
mod line;
mod live;
pub mod mcp;
mod model;
#[cfg(feature = "parts")]
pub(crate) mod oauth;
mod offer;
mod plan;
mod question;
pub mod resume;
mod run;
mod server;
mod share;
mod stored;
pub mod tool;
mod tools_changed;
mod trace;
mod trust;
pub mod wait;
