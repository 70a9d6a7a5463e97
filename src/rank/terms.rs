//! Numbers for texts: the dictionary under an index or a vocabulary.

/// Gives each different text a number, from 0 in the order of adding.
///
/// All texts lie in one string, and the table of places holds nothing but numbers: a fraction of the memory and the
/// time of a map of strings.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    text: String,
    ends: Vec<u32>,
    /// Number of a term plus 1 at the place of its hash or after it, 0 where there is none. A power of two long.
    slots: Vec<u32>,
}

impl Terms {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The text of that number; empty for a number that was not given out.
    pub fn text(&self, number: u32) -> &str {
        let number = number as usize;
        let start = if number == 0 { 0 } else { self.ends.get(number - 1).copied().unwrap_or(0) as usize };
        let end = self.ends.get(number).map_or(start, |end| *end as usize);
        self.text.get(start..end).unwrap_or("")
    }

    /// The number of that text.
    pub fn find(&self, term: &str) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        match self.slots[self.place(term)] {
            0 => None,
            number => Some(number - 1),
        }
    }

    /// The number of that text, a new one if it is new.
    pub fn add(&mut self, term: &str) -> u32 {
        if (self.ends.len() + 1) * 3 > self.slots.len() * 2 {
            self.grow();
        }
        let place = self.place(term);
        if self.slots[place] != 0 {
            return self.slots[place] - 1;
        }
        let number = self.ends.len() as u32;
        self.text.push_str(term);
        self.ends.push(self.text.len() as u32);
        self.slots[place] = number + 1;
        number
    }

    /// Where the term is, or would be put.
    fn place(&self, term: &str) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = hash(term) as usize & mask;
        loop {
            match self.slots[place] {
                0 => return place,
                number if self.text(number - 1) == term => return place,
                _ => place = (place + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        self.slots = vec![0; (self.slots.len() * 2).max(64)];
        for number in 0..self.ends.len() as u32 {
            let place = self.place(self.text(number));
            self.slots[place] = number + 1;
        }
    }
}

/// FNV-1a of 64 bits, folded.
fn hash(term: &str) -> u32 {
    let hash = content_hash([term]);
    (hash ^ (hash >> 32)) as u32
}

/// A number for the content of some texts: FNV-1a of 64 bits. Equal contents have equal numbers; that different ones have
/// different numbers is likely, but not where somebody wants them equal.
pub fn content_hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut take = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    for text in texts {
        text.bytes().for_each(&mut take);
        // No text has this byte, so that two texts side by side are not one.
        take(0xff);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number() {
        let mut terms = Terms::default();
        assert_eq!((terms.find("a"), terms.text(0)), (None, ""));
        for round in 0..2 {
            for number in 0..1000u32 {
                assert_eq!(terms.add(&format!("term{number}")), number, "round {round}");
            }
        }
        assert_eq!(terms.len(), 1000);
        assert_eq!((terms.find("term999"), terms.find("term1000"), terms.find("")), (Some(999), None, None));
        assert_eq!((terms.text(0), terms.text(999), terms.text(1000)), ("term0", "term999", ""));
        assert_eq!(terms.add(""), 1000);
        assert_eq!((terms.find(""), terms.text(1000)), (Some(1000), ""));
    }

    #[test]
    fn a_hash_knows_where_a_text_ends() {
        assert_eq!(content_hash(["ab", "c"]), content_hash(["ab", "c"]));
        assert_ne!(content_hash(["ab", "c"]), content_hash(["a", "bc"]));
        assert_ne!(content_hash(["a"]), content_hash(["a", ""]));
    }
}
