//! Wires against recorded and reconstructed byte streams.
//!
//! `recordings/` are answers of real servers, byte for byte. `made/` are written by hand after the documentation and
//! the bug reports of a provider; see the file beside them. Next to each stream stands what it says, as text.

mod dialects;
mod encode;
mod fuzz;
mod refuse;
mod speed;
mod streams;
mod support;
