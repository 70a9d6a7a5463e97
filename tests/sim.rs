//! The simulator's own servers, and whole runs against them by the thousand.

#[path = "sim/servers.rs"]
mod servers;

#[path = "sim/laws.rs"]
mod laws;
