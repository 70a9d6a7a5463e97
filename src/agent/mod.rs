//! The agent loop as data: configuration, events, policy, and the decision machine of a run.
pub mod config;
pub mod event;
