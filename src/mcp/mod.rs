//! The Model Context Protocol over HTTP, client side, as data and decisions.
//!
//! Two eras, chosen once per server by [`era`]: the modern one, where every request stands alone
//! ([`request`]), and the handshake era before it, walled off in [`legacy`]. Both read answers with
//! [`exchange`].
pub mod config;
pub mod era;
pub mod exchange;
pub mod header_value;
pub mod legacy;
pub mod request;
mod text;
pub mod types;
