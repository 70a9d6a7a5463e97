//! The sets of the retrieval benchmark: things to be found, and queries that are each right for one of them.

/// What a query has in common with the thing that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Shares words with it.
    Overlap,
    /// Says it in other words.
    Paraphrase,
    /// Names an identifier or a rare word.
    Identifier,
}

/// A thing that can be found.
pub(crate) struct Thing {
    /// What it is called.
    pub(crate) name: String,
    /// What it is about.
    pub(crate) text: String,
}

/// A query and the number of the thing that it is right for.
pub(crate) struct Asked {
    /// What it has in common with the thing.
    pub(crate) kind: Kind,
    /// Its text.
    pub(crate) text: String,
    /// Number of the thing.
    pub(crate) right: usize,
}

/// Things and queries.
pub(crate) struct Set {
    /// What can be found.
    pub(crate) things: Vec<Thing>,
    /// What is asked.
    pub(crate) queries: Vec<Asked>,
}

/// Reads a set; the form is told at the top of `tools.txt`.
pub(crate) fn read(text: &str) -> Set {
    let mut set = Set { things: Vec::new(), queries: Vec::new() };
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let kind = match line.as_bytes()[0] {
            b'=' => Kind::Overlap,
            b'~' => Kind::Paraphrase,
            b'!' => Kind::Identifier,
            _ => {
                let (name, text) = line.split_once(" | ").expect("a thing has a name and a description");
                set.things.push(Thing { name: name.to_owned(), text: text.to_owned() });
                continue;
            }
        };
        let right = set.things.len() - 1;
        set.queries.push(Asked { kind, text: line[1..].trim().to_owned(), right });
    }
    set
}

/// How good the places were on which the right things stood.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quality {
    count: f64,
    first: f64,
    third: f64,
    tenth: f64,
    gain: f64,
}

impl Quality {
    /// Notes a query whose right thing stood at that place, from 0, or nowhere.
    pub(crate) fn note(&mut self, place: Option<usize>) {
        self.count += 1.0;
        let Some(place) = place.filter(|place| *place < 10) else { return };
        self.first += f64::from(u8::from(place == 0));
        self.third += f64::from(u8::from(place < 3));
        self.tenth += 1.0;
        self.gain += 1.0 / (place as f64 + 2.0).log2();
    }

    /// How many queries there were.
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    /// Recall at 1, 3 and 10, and nDCG at 10.
    pub(crate) fn scores(&self) -> [f64; 4] {
        [self.first, self.third, self.tenth, self.gain].map(|sum| sum / self.count.max(1.0))
    }
}
