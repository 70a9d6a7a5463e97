//! Decides whether a step can be skipped: a stamp file holds a hash of what went in and what came out.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Outcome, scratch_dir};

/// A hash of bytes, fed piece by piece (FNV-1a, 64 bits: against change, not against malice).
#[derive(Clone, Copy)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds one piece; its length is part of it, so that "ab" + "c" and "a" + "bc" differ.
    pub(crate) fn add(mut self, bytes: &[u8]) -> Self {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        self
    }

    /// Adds a file's content; a missing file counts as such.
    pub(crate) fn file(self, path: &Path) -> Self {
        match fs::read(path) {
            Ok(bytes) => self.add(&bytes),
            Err(_) => self.add(b"missing"),
        }
    }

    fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// The stamp of one step.
pub(crate) struct Stamp {
    path: PathBuf,
    input: Fingerprint,
    outputs: Vec<PathBuf>,
}

impl Stamp {
    /// The stamp `name` for a step that turns `input` into the files `outputs`.
    pub(crate) fn new(name: &str, input: Fingerprint, outputs: Vec<PathBuf>) -> Outcome<Self> {
        Ok(Self { path: scratch_dir()?.join(format!("{name}.stamp")), input, outputs })
    }

    /// Whether the step was done with this input and its outputs are still what it made.
    pub(crate) fn is_fresh(&self) -> bool {
        self.outputs.iter().all(|path| path.exists())
            && fs::read_to_string(&self.path).is_ok_and(|text| text == self.text())
    }

    /// Records that the step is done.
    pub(crate) fn write(&self) -> Outcome {
        fs::write(&self.path, self.text()).map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }

    fn text(&self) -> String {
        let outputs = self.outputs.iter().fold(Fingerprint::new(), |hash, path| hash.file(path));
        format!("{} {}\n", self.input.text(), outputs.text())
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn pieces_and_their_borders_count() {
        let text =
            |pieces: &[&str]| pieces.iter().fold(Fingerprint::new(), |hash, piece| hash.add(piece.as_bytes())).text();
        assert_eq!(text(&["ab", "c"]), text(&["ab", "c"]));
        assert_ne!(text(&["ab", "c"]), text(&["a", "bc"]));
        assert_ne!(text(&["ab"]), text(&["ab", ""]));
    }
}
