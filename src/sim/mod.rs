//! The native [`Platform`](crate::platform::Platform): a simulated network, virtual time, seeded faults.
//!
//! Everything that happens follows from one seed: which of two ready tasks runs first, where the network cuts a
//! body, what fails, what the scripted servers say. Equal seeds give equal event logs, so any failure can be
//! replayed. Virtual time jumps from timer to timer: hours of retries take milliseconds.
//!
//! Keeps books: every fetch, body, app call and timer that was opened has to be ended or dropped, see
//! [`SimPlatform::leftovers`].
//!
//! # Example: a request to a scripted server
//!
//! ```
//! use edgewise::http::{Headers, Method, Request};
//! use edgewise::platform::{Body, Platform};
//! use edgewise::sim::{Answer, Peer, SimPlatform};
//!
//! let sim = SimPlatform::new(7);
//! sim.host("https://a.test", |_: &Request, _: &mut Peer<'_>| Answer::text(200, "text/plain", "hello"));
//! let text = sim.block_on(async {
//!     let url = "https://a.test/x".to_owned();
//!     let request = Request { method: Method::Get, url, headers: Headers::new(), body: None };
//!     let mut answer = sim.fetch(request).await.unwrap();
//!     let mut text = Vec::new();
//!     while let Some(chunk) = answer.body.chunk().await {
//!         text.extend(chunk.unwrap());
//!     }
//!     text
//! });
//! assert_eq!(text.unwrap(), b"hello");
//! assert_eq!(sim.leftovers(), "");
//! ```

mod circle;
mod exec;
mod faults;
mod io;
mod lock;
mod mcp;
mod model;
mod net;
mod oauth;
mod platform;
mod rng;
mod store;
mod stream;

pub use circle::SimCircle;
pub use exec::{MAX_POLLS, Stuck, Why};
pub use faults::Faults;
pub use io::SimBody;
pub use lock::SimLock;
pub use mcp::{Call, Era, ScriptedMcp, ToolKind};
pub use model::{Ending, ScriptedModel, Spoken, SpokenCall, Wire, same_words};
pub use net::{Answer, PAGE, Peer, Server, Step};
pub use oauth::{Protected, ScriptedOauth};
pub use platform::{AppAnswer, Clock, EPOCH, SimPlatform};
pub use rng::Rng;
pub use store::STORE_LIMIT;
