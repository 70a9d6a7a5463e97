//! What an index knows of documents, as it is stored: so that another page need not read and embed them again.
//!
//! A list is stored in sheets of some hundred documents, by the hash of each document's content: who changes one
//! document writes one sheet, and what a sheet says of a document holds wherever its content stands.
//!
//! # Format
//!
//! Little endian. A `u8` of the version, 2; `u32` terms, each a `u8` of its length and its text; `u32` documents, each a `u64`
//! hash, `f32` length, `u16` terms, each a `u32` number and an `f32` weight, a `u16` of dimensions and as many `i8`.

use super::embed::Vector;
use crate::rank::Terms;

/// Another one whenever words are other words: those of 1 had accents.
const VERSION: u8 = 2;

/// About so many documents make a sheet.
const DOCUMENTS: usize = 512;

/// Longest term that is stored, in bytes; a document with a longer one is not.
const MAX_TERM: usize = 255;

/// In how many sheets a list of so many documents is stored; a power of two.
pub fn sheets(documents: usize) -> u64 {
    (documents / DOCUMENTS).max(1).next_power_of_two() as u64
}

/// The sheet, of so many, that a document of that hash is on.
pub fn sheet_of(hash: u64, sheets: u64) -> u64 {
    // The lower bits of FNV-1a are the better ones.
    (hash ^ (hash >> 32)) & (sheets - 1)
}

/// What is known of one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared<'a> {
    /// Hash of its content.
    pub hash: u64,
    /// How many words it has, each as often as its field counts.
    pub length: f32,
    /// Its terms with their weights.
    pub terms: Vec<(&'a str, f32)>,
    /// What it is about.
    pub vector: Option<Vector>,
}

/// Hash, length, numbers of terms with their weights, and what it is about.
type Kept = (u64, f32, Vec<(u32, f32)>, Option<Vector>);

/// Some documents.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    terms: Terms,
    /// In the order of their hashes.
    documents: Vec<Kept>,
}

impl Sheet {
    /// Adds a document, unless it cannot be stored.
    pub fn add(&mut self, document: &Prepared<'_>) {
        let fits = document.terms.len() <= usize::from(u16::MAX)
            && document.terms.iter().all(|(term, _)| term.len() <= MAX_TERM)
            && document.vector.as_ref().is_none_or(|vector| vector.0.len() <= usize::from(u16::MAX));
        let Err(place) = self.documents.binary_search_by_key(&document.hash, |(hash, ..)| *hash) else { return };
        if fits {
            let terms = document.terms.iter().map(|(term, weight)| (self.terms.add(term), *weight)).collect();
            self.documents.insert(place, (document.hash, document.length, terms, document.vector.clone()));
        }
    }

    /// What is known of the document of that hash.
    pub fn find(&self, hash: u64) -> Option<Prepared<'_>> {
        let place = self.documents.binary_search_by_key(&hash, |(known, ..)| *known).ok()?;
        let (hash, length, terms, vector) = &self.documents[place];
        let terms = terms.iter().map(|(term, weight)| (self.terms.text(*term), *weight)).collect();
        Some(Prepared { hash: *hash, length: *length, terms, vector: vector.clone() })
    }

    /// Whether the document of that hash is there.
    pub fn has(&self, hash: u64) -> bool {
        self.documents.binary_search_by_key(&hash, |(known, ..)| *known).is_ok()
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend((self.terms.len() as u32).to_le_bytes());
        for number in 0..self.terms.len() as u32 {
            let term = self.terms.text(number);
            bytes.push(term.len() as u8);
            bytes.extend(term.as_bytes());
        }
        bytes.extend((self.documents.len() as u32).to_le_bytes());
        for (hash, length, terms, vector) in &self.documents {
            bytes.extend(hash.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend((terms.len() as u16).to_le_bytes());
            for (term, weight) in terms {
                bytes.extend(term.to_le_bytes());
                bytes.extend(weight.to_le_bytes());
            }
            let numbers = vector.as_ref().map_or(&[][..], |vector| &vector.0);
            bytes.extend((numbers.len() as u16).to_le_bytes());
            bytes.extend(numbers.iter().map(|number| *number as u8));
        }
        bytes
    }

    /// Reads what [`Sheet::to_bytes`] wrote; `None` when it is none.
    pub fn read(bytes: &[u8]) -> Option<Sheet> {
        let mut left = Left(bytes);
        if left.take(1)? != [VERSION] {
            return None;
        }
        let mut sheet = Sheet::default();
        for number in 0..left.word()? {
            let length = left.take(1)?[0];
            let term = std::str::from_utf8(left.take(usize::from(length))?).ok()?;
            if sheet.terms.add(term) != number {
                return None;
            }
        }
        let mut before = None;
        for _ in 0..left.word()? {
            let hash = u64::from_le_bytes(left.take(8)?.try_into().ok()?);
            let length = left.float()?;
            let mut terms = Vec::new();
            for _ in 0..left.half()? {
                let (term, weight) = (left.word()?, left.float()?);
                if term as usize >= sheet.terms.len() {
                    return None;
                }
                terms.push((term, weight));
            }
            let dimensions = usize::from(left.half()?);
            let numbers = left.take(dimensions)?.iter().map(|byte| *byte as i8).collect();
            if before >= Some(hash) {
                return None;
            }
            before = Some(hash);
            sheet.documents.push((hash, length, terms, (dimensions > 0).then_some(Vector(numbers))));
        }
        left.0.is_empty().then_some(sheet)
    }
}

/// Bytes that are still to be read.
struct Left<'a>(&'a [u8]);

impl<'a> Left<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn word(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn half(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn float(&mut self) -> Option<f32> {
        let float = f32::from_le_bytes(self.take(4)?.try_into().ok()?);
        (float.is_finite() && float >= 0.0).then_some(float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document<'a>(hash: u64, terms: &[(&'a str, f32)], vector: Option<Vec<i8>>) -> Prepared<'a> {
        Prepared { hash, length: 3.5, terms: terms.to_vec(), vector: vector.map(Vector) }
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let all = [
            document(9, &[("rain", 2.0), ("天", 1.0)], Some(vec![-127, 0, 127])),
            document(3, &[("rain", 1.0)], None),
            document(u64::MAX, &[], Some(vec![1])),
        ];
        let mut sheet = Sheet::default();
        all.iter().for_each(|document| sheet.add(document));
        sheet.add(&document(3, &[("other", 1.0)], None));
        let long = "x".repeat(300);
        sheet.add(&document(4, &[(long.as_str(), 1.0)], None));
        let bytes = sheet.to_bytes();
        let read = Sheet::read(&bytes).unwrap();
        assert_eq!((read.len(), read.find(4), read.is_empty()), (3, None, false));
        for document in &all {
            assert_eq!(read.find(document.hash).as_ref(), Some(document));
        }
        for end in 0..bytes.len() {
            assert!(Sheet::read(&bytes[..end]).is_none(), "{end}");
        }
        for place in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[place] ^= 0xff;
            // Whatever it reads, it does not fail.
            let _ = Sheet::read(&broken);
        }
    }

    #[test]
    fn sheets_of_a_list() {
        assert_eq!([0, 1, 511, 1024, 1025, 100_000].map(sheets), [1, 1, 1, 2, 2, 256]);
        for hash in [0, 7, u64::MAX, 1 << 40] {
            assert!(sheet_of(hash, 256) < 256 && sheet_of(hash, 1) == 0);
        }
    }
}
