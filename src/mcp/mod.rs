//! The Model Context Protocol over HTTP, client side, as data and decisions.
pub mod config;
pub mod types;
