//! The JavaScript side: exported classes and the [`Platform`](crate::platform::Platform) of every JS runtime.
//!
//! The only place for JavaScript types. [`door`] is how wasm and shell talk, [`WebPlatform`] what the drivers run on.
pub mod door;
mod face;
mod fetch;
mod platform;
mod store;

pub use face::{AgentCore, RunCore, cancel};
pub use fetch::WebBody;
pub use platform::WebPlatform;
