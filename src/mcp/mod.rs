//! The Model Context Protocol over HTTP, client side, as data and decisions.
//!
//! Two eras, chosen once per server by [`era`] and [`connect`]: the modern one, where every request stands alone
//! ([`request`]), and the handshake era before it, walled off in [`legacy`]. Both read answers with
//! [`exchange`]. What comes out is in [`types`] and [`server`].
pub mod call_options;
pub mod config;
pub mod connect;
pub mod diagnose;
pub mod era;
pub mod exchange;
pub mod header_value;
pub mod input;
pub mod legacy;
pub mod listen;
pub mod lists;
pub mod log;
pub mod oauth;
pub mod param_headers;
pub mod reconnect;
pub mod request;
pub mod server;
pub mod sha256;
pub mod shared;
pub mod tabs;
pub mod tasks;
pub(crate) mod text;
pub mod tools;
pub mod trust;
pub mod types;
