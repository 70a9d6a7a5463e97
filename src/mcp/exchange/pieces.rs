//! A body that grows without being copied.

/// Largest piece that is begun for bytes to come.
const PIECE: usize = 256 << 10;

/// Bytes of a body in pieces, joined once at the end.
///
/// One vector that doubles would hold up to three times a big body while it grows; this holds it once, and twice
/// for the moment of joining.
#[derive(Default)]
pub(super) struct Pieces {
    pieces: Vec<Vec<u8>>,
    len: usize,
}

impl Pieces {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        if let Some(last) = self.pieces.last_mut() {
            let (now, later) = bytes.split_at(bytes.len().min(last.capacity() - last.len()));
            last.extend_from_slice(now);
            bytes = later;
        }
        if !bytes.is_empty() {
            // As much again as there is, so that single bytes do not make a piece each.
            let mut piece = Vec::with_capacity(bytes.len().max(self.len.min(PIECE)));
            piece.extend_from_slice(bytes);
            self.pieces.push(piece);
        }
    }

    pub(super) fn join(mut self) -> Vec<u8> {
        if self.pieces.len() <= 1 {
            return self.pieces.pop().unwrap_or_default();
        }
        let mut whole = Vec::with_capacity(self.len);
        for piece in self.pieces {
            whole.extend_from_slice(&piece);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_whatever_the_cuts() {
        let whole: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
        for cut in [7, 4_096, 300_000, 1_000_000] {
            let mut pieces = Pieces::default();
            for bytes in whole.chunks(cut) {
                pieces.push(bytes);
            }
            assert_eq!(pieces.len(), whole.len());
            assert!(pieces.pieces.len() <= 25, "{} pieces for cuts of {cut}", pieces.pieces.len());
            assert!(pieces.join() == whole, "cuts of {cut}");
        }
        assert_eq!(Pieces::default().join(), b"");
    }
}
