//! The JavaScript side: exported classes and the [`Platform`](crate::platform::Platform) of every JS runtime.
//!
//! The only place for JavaScript types. [`door`] is how wasm and shell talk, [`WebPlatform`] what the drivers run on.
#[cfg(feature = "face")]
mod arguments;
#[cfg(feature = "face")]
mod client;
pub mod door;
#[cfg(feature = "face")]
mod face;
mod fetch;
#[cfg(feature = "parts")]
mod part;
mod platform;
#[cfg(feature = "face")]
mod rest;
mod store;
mod work;

#[cfg(feature = "face")]
pub use client::ClientCore;
#[cfg(feature = "face")]
pub use face::{AgentCore, RunCore, diagnose};
pub use fetch::WebBody;
#[cfg(feature = "parts")]
pub use part::ask;
pub use platform::{WebLock, WebPlatform};
pub use work::cancel;
