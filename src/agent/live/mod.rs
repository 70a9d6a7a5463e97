//! Sources that stay fresh: what a conversation was shown of resources, and what has become of it since.
//!
//! A [`Session`] belongs to whoever watches: a run, or an app that reads changes between runs. It is told what servers tell
//! and what was read, and says what to watch, what to read, and what has changed. It holds no clock: waits are orders, and
//! their ends are facts.
//!
//! ```text
//!                     acknowledged                    told of a change
//!  Unwatched ----------------------> Reading / Idle --------------------> Settling
//!                                        ^    |                             |
//!              told of a change meanwhile |    | read, compared              | waited
//!                                        |    v                             v
//!                                        +- Resting <------------------- Reading
//! ```
//!
//! Every notice leads to a reading that begins after it, so no update is lost; a source is read no more often than its pace
//! allows, which slows down as long as it keeps changing, so none floods a conversation. After a gap, and for what was followed
//! in an earlier run, the contents are compared.
//!
//! # Out of scope
//!
//! - Watching, reading and storing: see `crate::drive::live` and `crate::parts`.

mod known;
mod session;

pub use known::{Content, Known};
pub use session::{Read, Session};
