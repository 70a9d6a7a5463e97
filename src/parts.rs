//! What few pages need at once, behind one function from text to text.
//!
//! The core asks for it through [`Platform::call_part`]. In the package, parts lie
//! in a second wasm that the shell loads when the first one is asked; in the simulator they are linked in.
//!
//! # In scope
//!
//! - Which part answers; nothing of what they do.

mod archive;
mod context;
mod kept;
mod live;
mod oauth;
mod spans;

use std::cell::RefCell;
use std::rc::Rc;

use crate::agent::compact;
use crate::agent::plan::Plans;
use crate::agent::spans::Spans;
use crate::drive::oauth::Authorizer;
use crate::llm::{offline_wire, prompt_api};
use crate::mcp::diagnose;
use crate::platform::{Part, PartResult, Platform};
use crate::schema;

/// What the parts of one wasm remember between requests.
pub struct State<P: Platform> {
    /// By the id that their connection gave them.
    authorizers: RefCell<Vec<(String, Authorizer<P>)>>,
    contexts: context::Contexts,
    lives: live::Lives,
    /// By the id of the run that they are of.
    spans: RefCell<Vec<(String, Spans)>>,
    plans: RefCell<Plans>,
}

impl<P: Platform> Default for State<P> {
    fn default() -> State<P> {
        State {
            authorizers: RefCell::default(),
            contexts: context::Contexts::default(),
            lives: live::Lives::default(),
            spans: RefCell::default(),
            plans: RefCell::default(),
        }
    }
}

impl<P: Platform> State<P> {
    /// How many plans are at work.
    pub fn open_plans(&self) -> usize {
        self.plans.borrow().len()
    }
}

/// Answers a request to a part, which does on `platform` what it has to do.
///
/// # Errors
///
/// Words for people when the request cannot be read.
pub async fn answer<P: Platform>(state: &State<P>, platform: &Rc<P>, part: Part, request: &str) -> PartResult {
    match part {
        Part::Offline => offline_wire::answer(request),
        Part::Schema => schema::answer(request),
        Part::Prompt => prompt_api::answer(request),
        Part::Diagnose => diagnose::answer(request),
        Part::Oauth => oauth::answer(state, platform, request).await,
        Part::Context => context::answer(&state.contexts, &**platform, request).await,
        Part::Live => live::answer(state, &**platform, request).await,
        Part::Spans => spans::answer(state, request),
        Part::Archive => archive::answer(&**platform, request).await,
        Part::Plan => state.plans.borrow_mut().answer(request),
        Part::Handles => kept::answer(&**platform, request).await,
        Part::Compact => compact::answer(request),
    }
}

/// The part of that name.
pub fn find(name: &str) -> Option<Part> {
    Part::ALL.into_iter().find(|part| part.as_str() == name)
}
