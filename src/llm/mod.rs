//! Model wires: canonical messages to a provider's request, and its stream to canonical deltas.
pub mod config;
pub mod turn;
pub mod types;
