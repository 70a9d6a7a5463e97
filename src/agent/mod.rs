//! The agent loop as data: configuration, events, policy, and the decision machine of a run.
pub mod catalog;
pub mod config;
pub mod context;
pub mod event;
pub mod fact;
pub(crate) mod flow;
pub mod goal;
pub mod kept;
pub mod live;
pub mod plan;
pub mod policy;
pub mod recovery;
mod round;
pub mod run;
mod seam;
pub mod selection;
pub mod spans;
mod told;
