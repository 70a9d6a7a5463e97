//! A library: what there is to choose from, such as the resources or the tools of all servers, kept ready to be ranked.
//!
//! Its things come in groups, one for each list of a server. A list that was fetched anew is compared with what is known:
//! only what changed is read again. What a ranking costs is in the rustdoc of [`Library::search`].

use super::embed::Vector;
use super::fuse::{Ranking, fuse};
use super::query::Query;
use super::sheet::Prepared;
use crate::rank::{Index, content_hash};

/// How much words in common count beside [`MEANING`]; both chosen with `bench/retrieval.rs`.
pub const WORDS: f32 = 1.0;

/// How much nearness in meaning counts.
pub const MEANING: f32 = 1.0;

/// So many of the best of each ranking are put together.
const DEPTH: usize = 200;

/// Below this nearness two texts have nothing in common; chosen with `bench/retrieval.rs`.
pub const NEAR: f32 = 0.2;

/// A thing that can be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// What it is called; its words count twice.
    pub name: String,
    /// What it is about.
    pub text: String,
}

impl Document {
    /// A number for its content.
    pub fn hash(&self) -> u64 {
        content_hash([self.name.as_str(), &self.text])
    }
}

/// Where a thing is, and why it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Number of its group, in the order of the first [`Library::set`].
    pub group: usize,
    /// Its place in the list that its group was last set to.
    pub place: usize,
    /// From above 0 to 1; comparable within one answer.
    pub score: f32,
}

#[derive(Clone, Debug)]
struct Entry {
    group: u32,
    place: u32,
    hash: u64,
}

#[derive(Clone, Debug)]
struct Group {
    name: String,
    /// Numbers of its things in the index, in the order of the list.
    numbers: Vec<u32>,
}

/// Everything there is to choose from.
#[derive(Clone, Debug, Default)]
pub struct Library {
    groups: Vec<Group>,
    index: Index,
    /// By number in the index.
    entries: Vec<Entry>,
    /// By number in the index; `None` for what is not known or says nothing.
    vectors: Vec<Option<Vector>>,
}

impl Library {
    /// How many things there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The name of a group by its number.
    pub fn group(&self, number: usize) -> &str {
        self.groups.get(number).map_or("", |group| &group.name)
    }

    /// The places of those documents that the group does not have yet.
    ///
    /// With `meaning`, those too of which nobody has told yet what they are about.
    pub fn unknown(&self, group: &str, documents: &[Document], meaning: bool) -> Vec<usize> {
        let known = self.groups.iter().find(|known| known.name == group);
        let numbers = known.into_iter().flat_map(|group| &group.numbers);
        let numbers = numbers.filter(|number| !meaning || self.vectors[**number as usize].is_some());
        let mut hashes: Vec<u64> = numbers.map(|number| self.entries[*number as usize].hash).collect();
        hashes.sort_unstable();
        let is_new = |place: &usize| hashes.binary_search(&documents[*place].hash()).is_err();
        (0..documents.len()).filter(is_new).collect()
    }

    /// Makes `documents` the content of a group. What was there before is kept, with what is known of it; `about` is asked
    /// for what is new.
    ///
    /// Linear in what is new and in the length of the list.
    pub fn set(&mut self, group: &str, documents: &[Document], about: &mut dyn FnMut(&Document) -> Option<Vector>) {
        self.set_prepared(group, documents, &|_| None, about);
    }

    /// The same, where of some documents is known what an index would make of them, by hash.
    pub fn set_prepared<'a>(
        &mut self,
        group: &str,
        documents: &[Document],
        prepared: &dyn Fn(u64) -> Option<Prepared<'a>>,
        about: &mut dyn FnMut(&Document) -> Option<Vector>,
    ) {
        let number = match self.groups.iter().position(|known| known.name == group) {
            Some(number) => number,
            None => {
                self.groups.push(Group { name: group.to_owned(), numbers: Vec::new() });
                self.groups.len() - 1
            }
        };
        let mut before: Vec<(u64, u32)> = std::mem::take(&mut self.groups[number].numbers)
            .into_iter()
            .map(|document| (self.entries[document as usize].hash, document))
            .collect();
        before.sort_unstable();
        let mut numbers = Vec::with_capacity(documents.len());
        for (place, document) in documents.iter().enumerate() {
            let hash = document.hash();
            let place = place as u32;
            let start = before.partition_point(|(known, _)| *known < hash);
            // Each is taken once: a list may have the same thing twice.
            let same =
                before[start..].iter_mut().take_while(|(known, _)| *known == hash).find(|(_, old)| *old != u32::MAX);
            let kept = same.map(|(_, old)| std::mem::replace(old, u32::MAX));
            if let Some(kept) = kept {
                self.entries[kept as usize].place = place;
                numbers.push(kept);
                continue;
            }
            let (number_of, vector) = match prepared(hash) {
                Some(Prepared { length, terms, vector, .. }) => (self.index.add_parts(length, terms), vector),
                None => (self.index.add(&[(2.0, &document.name), (1.0, &document.text)]), about(document)),
            };
            numbers.push(number_of);
            self.entries.push(Entry { group: number as u32, place, hash });
            self.vectors.push(vector);
        }
        for (_, gone) in before.into_iter().filter(|(_, old)| *old != u32::MAX) {
            self.index.remove(gone);
        }
        self.groups[number].numbers = numbers;
        self.tidy();
    }

    /// Learns what documents of a group are about of which nobody has told before: vectors by hash, in its order.
    pub fn learn(&mut self, group: &str, told: &[(u64, Vector)]) {
        let known = self.groups.iter().find(|known| known.name == group);
        for number in known.into_iter().flat_map(|group| &group.numbers) {
            let (vector, hash) = (&mut self.vectors[*number as usize], self.entries[*number as usize].hash);
            if vector.is_none() {
                let place = told.binary_search_by_key(&hash, |(hash, _)| *hash);
                *vector = place.ok().map(|place| told[place].1.clone());
            }
        }
    }

    /// What the index made of the documents of a group, of those whose hash is wanted.
    pub fn prepared(&self, group: &str, wanted: &dyn Fn(u64) -> bool) -> Vec<Prepared<'_>> {
        let group = self.groups.iter().find(|known| known.name == group);
        let numbers = group.into_iter().flat_map(|group| &group.numbers);
        let one = |number: &u32| {
            let hash = self.entries[*number as usize].hash;
            wanted(hash).then(|| {
                let (length, terms) = self.index.parts(*number);
                Prepared { hash, length, terms, vector: self.vectors[*number as usize].clone() }
            })
        };
        numbers.filter_map(one).collect()
    }

    /// Keeps memory in proportion to what there is.
    fn tidy(&mut self) {
        if self.index.removed() <= self.index.len() + 100 {
            return;
        }
        let renamed = self.index.compact();
        let mut kept = renamed.iter().map(Option::is_some);
        self.entries.retain(|_| kept.next().unwrap_or(false));
        let mut kept = renamed.iter().map(Option::is_some);
        self.vectors.retain(|_| kept.next().unwrap_or(false));
        for group in &mut self.groups {
            for number in &mut group.numbers {
                *number = renamed[*number as usize].unwrap_or_default();
            }
        }
    }

    /// Finds the `limit` best things, the best first. What has neither a word of the query nor anything to do with it is not
    /// found.
    ///
    /// Takes time in the number of things that have one of the words, and, where meanings are known, one product of two
    /// short vectors for each thing there is.
    pub fn search(&self, query: &Query, limit: usize) -> Vec<Found> {
        self.weighed(query, limit, WORDS, MEANING)
    }

    /// The same with other weights, for measuring.
    pub fn weighed(&self, query: &Query, limit: usize, words: f32, meaning: f32) -> Vec<Found> {
        let depth = DEPTH.max(limit);
        let by_words: Vec<u32> = self.index.search_terms(&query.terms, depth).iter().map(|hit| hit.document).collect();
        let by_meaning = query.vector.as_ref().map_or_else(Vec::new, |vector| self.nearest(vector, depth));
        let rankings = [Ranking { weight: words, order: &by_words }, Ranking { weight: meaning, order: &by_meaning }];
        // A library without meanings is ranked by words alone, and its best still has a score of 1.
        let used = if by_meaning.is_empty() { &rankings[..1] } else { &rankings[..] };
        let found = fuse(used).into_iter().take(limit).map(|(number, score)| {
            let Entry { group, place, .. } = self.entries[number as usize];
            Found { group: group as usize, place: place as usize, score }
        });
        found.collect()
    }

    /// The numbers of the `limit` things nearest in meaning.
    fn nearest(&self, vector: &Vector, limit: usize) -> Vec<u32> {
        let mut near: Vec<(f32, u32)> = Vec::new();
        for group in &self.groups {
            for number in &group.numbers {
                let Some(own) = &self.vectors[*number as usize] else { continue };
                let nearness = vector.near(&own.0);
                if nearness >= NEAR {
                    near.push((nearness, *number));
                }
            }
        }
        let best = |one: &(f32, u32), two: &(f32, u32)| two.0.total_cmp(&one.0).then(one.1.cmp(&two.1));
        if near.len() > limit && limit > 0 {
            near.select_nth_unstable_by(limit - 1, best);
            near.truncate(limit);
        }
        near.sort_unstable_by(best);
        near.into_iter().map(|(_, number)| number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str, text: &str) -> Document {
        Document { name: name.to_owned(), text: text.to_owned() }
    }

    fn places(library: &Library, query: &str) -> Vec<(String, usize)> {
        let found = library.search(&Query::new(query, None), 9);
        found.into_iter().map(|found| (library.group(found.group).to_owned(), found.place)).collect()
    }

    #[test]
    fn a_list_that_changed_is_read_where_it_changed() {
        let mut library = Library::default();
        let mut read = Vec::new();
        let mut set = |library: &mut Library, group: &str, names: &[&str]| {
            let documents: Vec<Document> = names.iter().map(|name| document(name, "text")).collect();
            let unknown: Vec<&str> =
                library.unknown(group, &documents, false).into_iter().map(|place| names[place]).collect();
            read.clear();
            library.set(group, &documents, &mut |document| {
                read.push(document.name.clone());
                None
            });
            assert!(read.iter().all(|name| unknown.contains(&name.as_str())), "{unknown:?}");
            read.clone()
        };
        assert_eq!(set(&mut library, "a", &["one", "two", "two", "three"]).len(), 4);
        assert_eq!(set(&mut library, "b", &["two"]), ["two"]);
        assert_eq!(set(&mut library, "a", &["three", "two", "four"]), ["four"]);
        let mut found = places(&library, "two");
        found.sort();
        assert_eq!(found, [("a".to_owned(), 1), ("b".to_owned(), 0)]);
        assert_eq!(places(&library, "three"), [("a".to_owned(), 0)]);
        assert!(places(&library, "one").is_empty());
        set(&mut library, "a", &[]);
        assert_eq!(library.len(), 1);
        assert_eq!(places(&library, "text"), [("b".to_owned(), 0)]);
    }

    #[test]
    fn a_list_that_keeps_changing_takes_no_more_memory() {
        let mut library = Library::default();
        for round in 0..200 {
            let documents: Vec<Document> =
                (0..10).map(|number| document(&format!("n{}", number * round), "x")).collect();
            library.set("a", &documents, &mut |_| Some(Vector(vec![1])));
            assert_eq!(library.len(), 10);
            assert_eq!(
                places(&library, &format!("n{}", 9 * round)).last(),
                Some(&("a".to_owned(), if round == 0 { 8 } else { 9 }))
            );
        }
        assert!(library.entries.len() <= 130 && library.entries.len() == library.vectors.len());
    }

    #[test]
    fn meaning_finds_what_words_do_not() {
        let mut library = Library::default();
        let documents = [document("forecast", "rain"), document("mail", "letters"), document("umbrella", "shop")];
        let vectors = [vec![127, 0], vec![0, 127], vec![-127, 0]];
        let mut next = vectors.into_iter().map(Vector);
        library.set("a", &documents, &mut |_| next.next());
        let query = Query::new("umbrella", Some(Vector(vec![120, 40])));
        let places = |words, meaning| {
            let found = library.weighed(&query, 9, words, meaning);
            found.into_iter().map(|found| found.place).collect::<Vec<_>>()
        };
        assert_eq!(places(2.0, 1.0), [2, 0, 1]);
        assert_eq!(places(1.0, 2.0), [0, 1, 2]);
        let found = library.search(&Query::new("letters", None), 9);
        assert_eq!(found, [Found { group: 0, place: 1, score: 1.0 }]);
    }

    /// The benchmark's sets with the table of the package. `bench/retrieval.rs` prints more.
    #[test]
    fn the_quality_that_was_measured_is_kept() {
        use crate::context::embed::Table;
        use crate::context::set::{Kind, Quality, read};
        let table = Table::read(include_bytes!("../../pkg/embeddings.bin")).unwrap();
        let sets =
            [include_str!("../../bench/retrieval/tools.txt"), include_str!("../../bench/retrieval/resources.txt")];
        let [mut fused, mut paraphrases, mut words] = [Quality::default(); 3];
        for set in sets.map(read) {
            let documents: Vec<Document> = set.things.iter().map(|thing| document(&thing.name, &thing.text)).collect();
            let mut library = Library::default();
            library.set("all", &documents, &mut |document| table.embed([document.name.as_str(), &document.text]));
            for asked in &set.queries {
                let query = Query::new(&asked.text, table.embed([asked.text.as_str()]));
                let place = |found: Vec<Found>| found.iter().position(|found| found.place == asked.right);
                let found = place(library.search(&query, 10));
                fused.note(found);
                words.note(place(library.search(&Query::new(&asked.text, None), 10)));
                if asked.kind == Kind::Paraphrase {
                    paraphrases.note(found);
                }
            }
        }
        assert!(fused.count() >= 200);
        let ([first, third, tenth, gain], [.., by_words]) = (fused.scores(), words.scores());
        assert!(first > 0.70 && third > 0.80 && tenth > 0.90 && gain > 0.80, "{:?}", fused.scores());
        assert!(paraphrases.scores()[2] > 0.70, "{:?}", paraphrases.scores());
        assert!(gain > by_words + 0.1, "{gain} {by_words}");
    }
}
