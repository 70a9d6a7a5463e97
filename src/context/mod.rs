//! What goes in front of the model: which resources and tools a query is about, and what of them fits a budget.
//!
//! Everything here is pure and lies in the second wasm; the core reaches it through
//! [`Part::Context`](crate::platform::Part::Context).
//!
//! # In scope
//!
//! - [`library`]: what there is to choose from, ranked by words ([`rank`](crate::rank)) and by meaning ([`embed`]), put
//!   together by [`fuse`]; [`sheet`] is how it is stored.
//! - [`passages`], [`fill`], [`budget`]: from texts that were read to the best of them that fits.
//! - [`history`]: what the model was shown before; [`difference`]: what has changed of it since.
//! - [`template`], [`arguments`]: resources that a query has to name a part of.
//! - [`build`]: all of it from a query to a block of context.
//!
//! # Out of scope
//!
//! - Reading anything: the driver does, see `crate::drive`.

mod align;
pub mod arguments;
pub mod budget;
pub mod build;
pub mod difference;
pub mod embed;
pub mod fill;
pub mod fuse;
pub mod history;
pub mod library;
pub mod passages;
pub mod query;
pub mod sheet;
pub mod shelf;
pub mod template;

#[cfg(test)]
#[path = "../../bench/retrieval/set.rs"]
mod set;
