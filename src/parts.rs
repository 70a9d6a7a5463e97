//! What few pages need at once, behind one function from text to text.
//!
//! The core asks for it through [`Platform::call_part`](crate::platform::Platform::call_part). In the package, parts lie
//! in a second wasm that the shell loads when the first one is asked; in the simulator they are linked in.
//!
//! # In scope
//!
//! - Which part answers; nothing of what they do.

use crate::llm::offline_wire;
use crate::mcp::diagnose;
use crate::platform::{Part, PartResult};
use crate::schema;

/// Answers a request to a part.
///
/// # Errors
///
/// Words for people when the request cannot be read.
pub async fn answer(part: Part, request: &str) -> PartResult {
    match part {
        Part::Offline => offline_wire::answer(request),
        Part::Schema => schema::answer(request),
        Part::Diagnose => diagnose::answer(request),
    }
}

/// The part of that name.
pub fn find(name: &str) -> Option<Part> {
    Part::ALL.into_iter().find(|part| part.as_str() == name)
}
