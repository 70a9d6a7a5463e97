//! Static embeddings: what a text is about, as the mean of what its word pieces are about.
//!
//! No network runs here: a table gives each word piece a vector, and a text is the direction of their sum. That knows that
//! `forecast` is near `weather`, which no stemming finds, and takes microseconds.
//!
//! # Format of a table
//!
//! Little endian: `u32` rows, `u32` dimensions, rows times an `f32` scale, rows times dimensions an `i8`, then the
//! vocabulary, one word piece a line, `##` before those that go on a word.

use crate::rank::{self, Terms};

/// Longest run of letters that is cut into pieces; longer ones are no words of a language.
const MAX_WORD: usize = 100;

/// Most pieces of one text that count. What comes later hardly changes the direction.
const MAX_PIECES: usize = 2000;

/// A direction in some number of dimensions, each part from -127 to 127: a quarter of the memory of floats, and what is
/// lost by it is below what such vectors can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector(pub Vec<i8>);

impl Vector {
    /// The direction of these numbers; all zero if they have none.
    pub fn new(numbers: &[f32]) -> Vector {
        let norm = numbers.iter().map(|number| number * number).sum::<f32>();
        if !norm.is_finite() || norm <= 0.0 {
            return Vector(vec![0; numbers.len()]);
        }
        let scale = 127.0 / root(norm);
        // A float-to-integer cast saturates.
        Vector(numbers.iter().map(|number| (number * scale + if *number < 0.0 { -0.5 } else { 0.5 }) as i8).collect())
    }

    /// The cosine of the angle between two directions: 1 for the same, 0 for nothing in common or other dimensions.
    pub fn near(&self, other: &[i8]) -> f32 {
        if self.0.len() != other.len() {
            return 0.0;
        }
        let dot: i32 = self.0.iter().zip(other).map(|(one, two)| i32::from(*one) * i32::from(*two)).sum();
        dot as f32 / (127.0 * 127.0)
    }
}

/// The square root of a positive number by Newton's way, the same on every platform.
fn root(number: f32) -> f32 {
    let mut root = f32::from_bits((number.to_bits() >> 1) + 0x1fc0_0000);
    for _ in 0..4 {
        root = (root + number / root) / 2.0;
    }
    root
}

/// A table of word pieces and their vectors.
#[derive(Clone, Debug)]
pub struct Table {
    pieces: Terms,
    scales: Vec<f32>,
    rows: Vec<i8>,
    dimensions: usize,
}

impl Table {
    /// Reads a table; `None` for bytes that are none.
    pub fn read(bytes: &[u8]) -> Option<Table> {
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (rows, dimensions) = (word(0)? as usize, word(4)? as usize);
        if rows == 0 || !(1..=4096).contains(&dimensions) {
            return None;
        }
        let vectors = 8 + rows.checked_mul(4)?;
        let vocabulary = vectors.checked_add(rows.checked_mul(dimensions)?)?;
        let scales = bytes.get(8..vectors)?.chunks_exact(4);
        let scales: Vec<f32> =
            scales.map(|scale| f32::from_le_bytes([scale[0], scale[1], scale[2], scale[3]])).collect();
        let text = std::str::from_utf8(bytes.get(vocabulary..)?).ok()?;
        let mut pieces = Terms::default();
        for (row, piece) in text.lines().enumerate() {
            if pieces.add(piece) as usize != row {
                return None;
            }
        }
        let whole = pieces.len() == rows && scales.iter().all(|scale| scale.is_finite());
        let rows = bytes[vectors..vocabulary].iter().map(|byte| *byte as i8).collect();
        whole.then_some(Table { pieces, scales, rows, dimensions })
    }

    /// Tells this table from others of its size.
    pub fn mark(&self) -> u64 {
        let sum = |sum: u64, row: &i8| sum.wrapping_mul(31).wrapping_add(*row as u8 as u64);
        self.rows.iter().step_by(97).fold(self.rows.len() as u64, sum)
    }

    /// How many numbers a vector has.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// What these texts together are about; `None` when no word of them is known.
    pub fn embed<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Option<Vector> {
        let mut sum = vec![0.0f32; self.dimensions];
        let mut pieces = 0;
        for text in texts {
            rank::parts(text, &mut |word| {
                if pieces < MAX_PIECES && word.len() <= MAX_WORD {
                    pieces += self.add_word(word, &mut sum);
                }
            });
        }
        (pieces > 0).then(|| Vector::new(&sum))
    }

    /// Adds the pieces of a word, the longest first; how many they are. One that cannot be made of pieces has none.
    fn add_word(&self, word: &str, sum: &mut [f32]) -> usize {
        let mut found = Vec::new();
        let mut start = 0;
        let mut piece = String::new();
        while start < word.len() {
            let mut end = word.len();
            let row = loop {
                piece.clear();
                if start > 0 {
                    piece.push_str("##");
                }
                piece.push_str(&word[start..end]);
                if let Some(row) = self.pieces.find(&piece) {
                    break row as usize;
                }
                match word[start..end].char_indices().next_back() {
                    Some((last, _)) if last > 0 => end = start + last,
                    _ => return 0,
                }
            };
            found.push(row);
            start = end;
        }
        for row in &found {
            let scale = self.scales[*row];
            let numbers = &self.rows[row * self.dimensions..(row + 1) * self.dimensions];
            for (sum, number) in sum.iter_mut().zip(numbers) {
                *sum += scale * f32::from(*number);
            }
        }
        found.len()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A table whose pieces point where they are told.
    pub(crate) fn table(pieces: &[(&str, [i8; 2])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((pieces.len() as u32).to_le_bytes());
        bytes.extend(2u32.to_le_bytes());
        pieces.iter().for_each(|_| bytes.extend(0.5f32.to_le_bytes()));
        pieces.iter().for_each(|(_, row)| bytes.extend(row.map(|number| number as u8)));
        pieces.iter().for_each(|(piece, _)| bytes.extend([piece.as_bytes(), b"\n"].concat()));
        bytes
    }

    #[test]
    fn a_text_points_where_its_words_do() {
        let bytes = table(&[("rain", [10, 0]), ("##y", [10, 0]), ("sun", [0, 10]), ("##ny", [0, 20])]);
        let table = Table::read(&bytes).unwrap();
        assert_eq!(table.dimensions(), 2);
        assert_eq!(table.embed(["Rainy?"]), Some(Vector(vec![127, 0])));
        assert_eq!(table.embed(["rain, ", "sun"]), Some(Vector(vec![90, 90])));
        assert_eq!(table.embed(["rainSun"]), table.embed(["rain sun"]), "names are split at their joints");
        assert_eq!(table.embed(["sunnx fog ", ""]), None, "a word that cannot be made of pieces is none");
        let (rain, sunny) = (table.embed(["rain"]).unwrap(), table.embed(["sunny"]).unwrap());
        assert_eq!((rain.near(&rain.0), rain.near(&sunny.0), rain.near(&[1])), (1.0, 0.0, 0.0));
    }

    #[test]
    fn bytes_that_are_no_table_are_refused() {
        let good = table(&[("rain", [10, 0]), ("sun", [0, 10])]);
        for end in 0..good.len() - 3 {
            assert!(Table::read(&good[..end]).is_none(), "{end}");
        }
        for (place, byte) in [(0, 0), (0, 3), (3, 255), (4, 0), (7, 255)] {
            let mut bad = good.clone();
            bad[place] = byte;
            assert!(Table::read(&bad).is_none(), "{place}");
        }
        assert!(Table::read(&table(&[("twice", [1, 1]), ("twice", [2, 2])])).is_none());
    }

    #[test]
    fn vectors_of_odd_numbers() {
        assert_eq!(Vector::new(&[0.0, 0.0]), Vector(vec![0, 0]));
        assert_eq!(Vector::new(&[f32::NAN, 1.0]), Vector(vec![0, 0]));
        assert_eq!(Vector::new(&[f32::INFINITY, 1.0]), Vector(vec![0, 0]));
        assert_eq!(Vector::new(&[-3e-8, 4e-8]), Vector(vec![-76, 102]));
        for number in [1e-12f32, 0.5, 2.0, 144.0, 3e20] {
            assert!((root(number) / number.sqrt() - 1.0).abs() < 1e-6);
        }
    }
}
