//! The index in the store: what was made of long lists, loaded as far as it is needed and written where it changed.

use super::embed::Embed;
use super::meaning::Meanings;
use crate::context::library::{Document, Library};
use crate::context::sheet::{Prepared, Sheet, sheet_of, sheets};
use crate::platform::{Platform, Space, Write, key};
use crate::rank::content_hash;

/// Fewer new documents than this are sooner made than loaded.
const WORTH: usize = 256;

/// What the store has of a list.
#[derive(Default)]
pub(super) struct Stored {
    /// How the list is kept; `None` when it is not.
    place: Option<String>,
    count: u64,
    /// What is told now has so many numbers; `None` where that does not matter.
    dimensions: Option<usize>,
    /// By the number of the sheet.
    sheets: Vec<(u64, Sheet)>,
}

impl Stored {
    /// Loads the sheets on which new documents would be.
    pub(super) async fn load<P: Platform>(
        meanings: &Meanings,
        platform: &P,
        embed: &Embed,
        list: &str,
        documents: &[Document],
        new: &[usize],
    ) -> Stored {
        if documents.len() < WORTH {
            return Stored::default();
        }
        let Some(mark) = meanings.mark(platform, embed).await else { return Stored::default() };
        let place = key(&[&content_hash([mark.as_str()]).to_string(), list]);
        let count = sheets(documents.len());
        let mut wanted: Vec<u64> = new.iter().map(|place| sheet_of(documents[*place].hash(), count)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut loaded = Vec::new();
        for number in if new.len() < WORTH { Vec::new() } else { wanted } {
            let bytes = platform.load(Space::Index, &sheet_key(&place, count, number)).await;
            loaded.extend(bytes.and_then(|bytes| Sheet::read(&bytes)).map(|sheet| (number, sheet)));
        }
        Stored { place: Some(place), count, dimensions: meanings.dimensions(embed), sheets: loaded }
    }

    /// What is known of the document of that hash.
    pub(super) fn find(&self, hash: u64) -> Option<Prepared<'_>> {
        self.sheet(hash)?.find(hash).filter(|document| self.fits(document))
    }

    /// Whether it can be compared with what is told now.
    fn fits(&self, document: &Prepared<'_>) -> bool {
        let own = document.vector.as_ref().map(|vector| vector.0.len());
        own.is_none() || self.dimensions.is_none() || own == self.dimensions
    }

    fn sheet(&self, hash: u64) -> Option<&Sheet> {
        let number = sheet_of(hash, self.count.max(1));
        let place = self.sheets.binary_search_by_key(&number, |(known, _)| *known).ok()?;
        Some(&self.sheets[place].1)
    }

    /// Whether the document of that hash is known.
    pub(super) fn has(&self, hash: u64) -> bool {
        self.find(hash).is_some()
    }

    /// The sheets that are to be written because these documents are on them, which were not known.
    pub(super) fn writes(&self, library: &Library, list: &str, documents: &[Document], new: &[usize]) -> Vec<Write> {
        let Some(place) = &self.place else { return Vec::new() };
        let mut wanted: Vec<u64> = new.iter().map(|place| sheet_of(documents[*place].hash(), self.count)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut made: Vec<(u64, Sheet)> = wanted.iter().map(|number| (*number, Sheet::default())).collect();
        let is_wanted = |hash: u64| wanted.binary_search(&sheet_of(hash, self.count)).is_ok();
        for document in library.prepared(list, &is_wanted) {
            if let Ok(place) = wanted.binary_search(&sheet_of(document.hash, self.count)) {
                made[place].1.add(&document);
            }
        }
        let put = |(number, sheet): &(u64, Sheet)| {
            Write::put(Space::Index, sheet_key(place, self.count, *number), sheet.to_bytes())
        };
        made.iter().map(put).collect()
    }
}

fn sheet_key(place: &str, count: u64, number: u64) -> String {
    [place, "/", &count.to_string(), "-", &number.to_string()].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::json;
    use crate::parts::{State, answer};
    use crate::platform::Part;
    use crate::sim::SimPlatform;

    /// Ranks so many documents, one of which is other than it was, by a page of its own; what was found first.
    fn rank(sim: &SimPlatform, count: usize, changed: usize, query: &str) -> u64 {
        let text = |place: usize| if place == changed { "snow".to_owned() } else { format!("about number {place}") };
        let documents: Vec<Value> = (0..count).map(|place| json!([format!("thing{place}"), text(place)])).collect();
        let lists = json!([{ "name": "a", "version": changed.to_string(), "documents": documents }]);
        let request = json!({ "do": "rank", "owner": "o", "embed": false, "query": query, "limit": 3, "lists": lists });
        let (state, platform) = (State::default(), std::rc::Rc::new(sim.clone()));
        let told = sim.block_on(answer(&state, &platform, Part::Context, &json::text(&request))).unwrap().unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        told["found"][0]["place"].as_u64().unwrap()
    }

    fn sheets(sim: &SimPlatform) -> Vec<(String, Vec<u8>)> {
        sim.block_on(async {
            let mut all = Vec::new();
            for stored in sim.list(Space::Index, "").await {
                all.push((stored.key.clone(), sim.load(Space::Index, &stored.key).await.unwrap()));
            }
            all
        })
        .unwrap()
    }

    #[test]
    fn another_page_makes_only_what_is_new() {
        let sim = SimPlatform::new(1);
        assert_eq!(rank(&sim, 100, 7, "snow"), 7);
        assert_eq!(sheets(&sim).len(), 0, "short lists are sooner made");
        assert_eq!(rank(&sim, 5_000, 7, "snow"), 7);
        let before = sheets(&sim);
        assert_eq!(before.len(), 16);
        assert_eq!(rank(&sim, 5_000, 9, "snow"), 9);
        let after = sheets(&sim);
        let written = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert!((1..=2).contains(&written) && after.len() == 16, "{written}");
        // What the store says of a document is believed.
        let document = Document { name: "thing4711".into(), text: "about number 4711".into() };
        let number = sheet_of(document.hash(), 16);
        let mut sheet = Sheet::default();
        let terms = vec![("elephant", 1.0)];
        sheet.add(&Prepared { hash: document.hash(), length: 1.0, terms, vector: None });
        let (key, _) = after.iter().find(|(key, _)| key.ends_with(&format!("/16-{number}"))).unwrap();
        let put = |value: Vec<u8>| sim.block_on(sim.write(vec![Write::put(Space::Index, key.as_str(), value)]));
        put(sheet.to_bytes()).unwrap().unwrap();
        assert_eq!(rank(&sim, 5_000, 9, "elephant"), 4711);
        put(vec![1, 2, 3]).unwrap().unwrap();
        assert_eq!(rank(&sim, 5_000, 9, "thing4711"), 4711, "what cannot be read is made anew");
    }
}
