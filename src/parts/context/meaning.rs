//! Where meanings come from: the table of the package, a function of the app, or a provider's endpoint.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::embed::{Embed, Failure};
use crate::context::embed::{Table, Vector};
use crate::drive::wait::{Cancel, within};
use crate::platform::{Asset, Platform, Space, Write};
use crate::rank::content_hash;
use crate::time::{Millis, UnixMillis};

/// Texts that a function or an endpoint is given at a time; fewer where it refuses so many.
const BATCH: usize = 64;

/// Meanings that are remembered of those that somebody else told.
const MOST_KNOWN: usize = 50_000;

/// Those who tell that are remembered.
const MOST_TELLERS: usize = 16;

/// Longest wait for one batch. Whoever takes longer is not waited for again before that time is over once more.
const PATIENCE: Millis = Millis::from_secs(30);

/// A table that could not be loaded is not asked for again before.
const RETRY: Millis = Millis::from_secs(60);

/// Where the store keeps what an endpoint told of a text. What the table tells is sooner made than loaded, and what stands
/// behind a function of the app may be another model tomorrow.
fn key(embed: &Embed, hash: u64) -> Option<String> {
    let Embed::Endpoint { .. } = embed else { return None };
    Some([&content_hash([embed.name().as_str()]).to_string(), "/", &hash.to_string()].concat())
}

/// What is known of somebody who tells what texts are about.
#[derive(Clone, Debug)]
struct Teller {
    name: String,
    /// How many numbers it gives for a text, as far as that is known.
    dimensions: Option<usize>,
    /// How many texts it takes at a time.
    batch: usize,
    /// It is not waited for until then.
    paused: Option<UnixMillis>,
    /// It told the last time it was asked.
    told: bool,
    /// Why it did not.
    trouble: Option<String>,
}

/// The table once it is loaded, and what others told.
#[derive(Default)]
pub(super) struct Meanings {
    table: RefCell<Option<Rc<Table>>>,
    /// When it is tried again to load the table.
    again: Cell<Option<UnixMillis>>,
    /// By hash of who told it and the text.
    known: RefCell<Vec<(u64, Vector)>>,
    tellers: RefCell<Vec<Teller>>,
    /// What was told before can no more be compared with what is told now.
    changed: Cell<bool>,
}

impl Meanings {
    /// What each text is about; `None` for those of which nobody knows.
    pub(super) async fn of<P: Platform>(&self, platform: &P, embed: &Embed, texts: &[&str]) -> Vec<Option<Vector>> {
        if texts.is_empty() {
            return Vec::new();
        }
        match embed {
            Embed::Nobody => return vec![None; texts.len()],
            Embed::Table => {
                let table = self.table(platform).await;
                return texts.iter().map(|text| table.as_ref()?.embed([*text])).collect();
            }
            Embed::Function(..) | Embed::Endpoint { .. } => {}
        }
        let name = embed.name();
        let hashes: Vec<u64> = texts.iter().map(|text| content_hash([name.as_str(), text])).collect();
        let mut asked: Vec<usize> = (0..texts.len()).collect();
        asked.sort_by_key(|place| hashes[*place]);
        asked.dedup_by_key(|place| hashes[*place]);
        let (mut told, mut left) = (Vec::new(), Vec::new());
        for place in asked {
            let hash = hashes[place];
            match self.remembered(platform, embed, &name, hash).await {
                Some(vector) => told.push((hash, vector)),
                None => left.push((hash, texts[place])),
            }
        }
        self.ask(platform, embed, &name, &left, &mut told).await;
        // What was told before may be of another length than what was told just now.
        let dimensions = self.dimensions(embed);
        told.retain(|(_, vector)| Some(vector.0.len()) == dimensions);
        told.sort_by_key(|(hash, _)| *hash);
        let find = |hash: &u64| {
            let place = told.binary_search_by_key(hash, |(known, _)| *known).ok()?;
            Some(told[place].1.clone())
        };
        hashes.iter().map(find).collect()
    }

    /// What was told before and is comparable with what is told now.
    async fn remembered<P: Platform>(&self, platform: &P, embed: &Embed, name: &str, hash: u64) -> Option<Vector> {
        let dimensions = self.dimensions(embed);
        let fits = |vector: &Vector| dimensions.is_none_or(|dimensions| dimensions == vector.0.len());
        {
            let known = self.known.borrow();
            if let Ok(place) = known.binary_search_by_key(&hash, |(known, _)| *known)
                && fits(&known[place].1)
            {
                return Some(known[place].1.clone());
            }
        }
        let bytes = platform.load(Space::Embeddings, &key(embed, hash)?).await?;
        let vector = Vector(bytes.into_iter().map(|byte| byte as i8).collect());
        let sound = !vector.0.is_empty() && fits(&vector);
        sound.then(|| {
            self.teller(name, |teller| teller.dimensions = Some(vector.0.len()));
            self.learn(&[(hash, vector.clone())]);
            vector
        })
    }

    /// Asks about texts with their hashes; what is told comes to `told`.
    async fn ask<P: Platform>(
        &self,
        platform: &P,
        embed: &Embed,
        name: &str,
        texts: &[(u64, &str)],
        told: &mut Vec<(u64, Vector)>,
    ) {
        let (mut size, paused) = self.teller(name, |teller| (teller.batch, teller.paused));
        if paused.is_some_and(|until| platform.now() < until) {
            return;
        }
        let mut rest = texts;
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(size.min(rest.len()));
            let asked: Vec<&str> = batch.iter().map(|(_, text)| *text).collect();
            let trouble = match within(platform, PATIENCE, &Cancel::new(), embed.ask(platform, &asked)).await {
                Ok(Ok(vectors)) => {
                    let new: Vec<(u64, Vector)> = batch.iter().map(|(hash, _)| *hash).zip(vectors).collect();
                    self.keep(platform, embed, name, &new).await;
                    self.teller(name, |teller| (teller.batch, teller.told, teller.trouble) = (size, true, None));
                    told.extend(new);
                    rest = behind;
                    continue;
                }
                Ok(Err(Failure::Refused(_))) if batch.len() > 1 => {
                    size = batch.len().div_ceil(2);
                    continue;
                }
                // This one alone is not taken: it is about nothing, and is not asked about again.
                Ok(Err(Failure::Refused(_))) if self.teller(name, |teller| teller.told) => {
                    let dimensions = self.dimensions(embed).unwrap_or(0);
                    let nothing: Vec<(u64, Vector)> =
                        batch.iter().map(|(hash, _)| (*hash, Vector(vec![0; dimensions]))).collect();
                    self.learn(&nothing);
                    told.extend(nothing);
                    rest = behind;
                    continue;
                }
                Ok(Err(Failure::Refused(words) | Failure::Other(words))) => words,
                Err(_) => {
                    let until = platform.now() + PATIENCE;
                    self.teller(name, |teller| teller.paused = Some(until));
                    "what embeds took longer than 30 s".to_owned()
                }
            };
            // Without an answer the words alone count, this time.
            self.teller(name, |teller| (teller.told, teller.trouble) = (false, Some(trouble)));
            return;
        }
    }

    /// Remembers what was told.
    async fn keep<P: Platform>(&self, platform: &P, embed: &Embed, name: &str, new: &[(u64, Vector)]) {
        let put = |(hash, vector): &(u64, Vector)| {
            let value = vector.0.iter().map(|number| *number as u8).collect();
            Some(Write::Put { space: Space::Embeddings, key: key(embed, *hash)?, value, expires: None })
        };
        let writes: Vec<Write> = new.iter().filter_map(put).collect();
        if !writes.is_empty() {
            // What cannot be kept is asked for again by the next page.
            let _ = platform.write(writes).await;
        }
        let dimensions = new.first().map(|(_, vector)| vector.0.len());
        let before = self.teller(name, |teller| std::mem::replace(&mut teller.dimensions, dimensions));
        if before.is_some() && before != dimensions {
            self.changed.set(true);
        }
        self.learn(new);
    }

    /// How many numbers what is told of a text has; `None` where that is not known, or nobody is asked.
    pub(super) fn dimensions(&self, embed: &Embed) -> Option<usize> {
        if embed.is_asked() { self.teller(&embed.name(), |teller| teller.dimensions) } else { None }
    }

    /// Why the last who was asked did not tell.
    pub(super) fn trouble(&self, embed: &Embed) -> Option<String> {
        if embed.is_asked() { self.teller(&embed.name(), |teller| teller.trouble.clone()) } else { None }
    }

    /// Whether what was told before cannot be compared any more with what is told now, or there is something to compare
    /// since; once.
    pub(super) fn take_changed(&self) -> bool {
        self.changed.replace(false)
    }

    fn teller<T>(&self, name: &str, look: impl FnOnce(&mut Teller) -> T) -> T {
        let mut tellers = self.tellers.borrow_mut();
        let teller = match tellers.iter().position(|teller| teller.name == name) {
            Some(place) => tellers.remove(place),
            None => {
                let (dimensions, paused, trouble) = (None, None, None);
                Teller { name: name.to_owned(), dimensions, batch: BATCH, paused, told: false, trouble }
            }
        };
        tellers.push(teller);
        if tellers.len() > MOST_TELLERS {
            tellers.remove(0);
        }
        let last = tellers.len() - 1;
        look(&mut tellers[last])
    }

    /// Tells apart those whose meanings cannot be compared, also when another page has them; `None` where that is not known.
    pub(super) async fn mark<P: Platform>(&self, platform: &P, embed: &Embed) -> Option<String> {
        match embed {
            Embed::Nobody => Some("words".to_owned()),
            Embed::Table => match self.table(platform).await {
                Some(table) => Some(["table ", &table.mark().to_string()].concat()),
                None => Some("words".to_owned()),
            },
            Embed::Function(..) => None,
            Embed::Endpoint { .. } => Some(embed.name()),
        }
    }

    fn learn(&self, told: &[(u64, Vector)]) {
        let mut known = self.known.borrow_mut();
        if known.len() > MOST_KNOWN {
            known.clear();
        }
        known.extend_from_slice(told);
        // Stable, so that what was told last stays.
        known.sort_by_key(|(hash, _)| *hash);
        known.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                std::mem::swap(next, kept);
            }
            same
        });
    }

    async fn table<P: Platform>(&self, platform: &P) -> Option<Rc<Table>> {
        if let Some(table) = &*self.table.borrow() {
            return Some(table.clone());
        }
        if self.again.get().is_some_and(|again| platform.now() < again) {
            return None;
        }
        let bytes = platform.asset(Asset::Embeddings).await;
        let table = bytes.as_deref().and_then(Table::read).map(Rc::new);
        if table.is_some() && self.again.get().is_some() {
            // What was read meanwhile was read for its words only.
            self.changed.set(true);
        }
        self.again.set(Some(platform.now() + RETRY));
        self.table.borrow_mut().clone_from(&table);
        table
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::{Value, json};

    use super::*;
    use crate::http::Request;
    use crate::options::FunctionId;
    use crate::sim::{Answer, AppAnswer, Peer, Server, SimPlatform};

    /// An endpoint that knows one direction for each text, and how many texts it was asked about.
    #[derive(Default)]
    struct Endpoint {
        asked: Vec<usize>,
        fails: bool,
        /// Texts that it takes at a time.
        most: Option<usize>,
        /// A text that it does not take.
        refused: &'static str,
        /// More numbers than two.
        more: usize,
    }

    impl Server for Endpoint {
        fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
            if request.headers.get("authorization") != Some("Bearer secret") || !request.url.ends_with("/v1/embeddings")
            {
                peer.violation("not what the provider wants");
            }
            let body: Value = serde_json::from_slice(request.body.as_deref().unwrap_or("").as_bytes()).unwrap();
            let texts = body["input"].as_array().unwrap();
            self.asked.push(texts.len());
            if self.fails {
                return Answer::text(500, "text/plain", "no");
            }
            if self.most.is_some_and(|most| texts.len() > most) || texts.iter().any(|text| text == self.refused) {
                return Answer::text(422, "text/plain", "no");
            }
            // The last one first: what counts is the index.
            let item = |place: usize| {
                let first = texts[place].as_str().unwrap().as_bytes()[0];
                let mut numbers = vec![f64::from(first) - 96.0, 0.5];
                numbers.resize(2 + self.more, 0.25);
                json!({ "index": place, "embedding": numbers })
            };
            Answer::json(&json!({ "data": (0..texts.len()).rev().map(item).collect::<Vec<Value>>() }))
        }
    }

    fn endpoint(id: &str) -> Embed {
        Embed::read(&json!({ "baseUrl": "https://llm.test/v1/", "id": id, "apiKey": "secret" }), "1").unwrap()
    }

    fn function(id: u32, agent: &str) -> Embed {
        Embed::read(&json!({ "$function": id }), agent).unwrap()
    }

    #[test]
    fn an_endpoint_is_asked_once_for_each_text_and_the_store_keeps_it() {
        let sim = SimPlatform::new(1);
        let server = sim.host("https://llm.test", Endpoint::default());
        let ask = |meanings: &Meanings, id: &str, texts: &[&str]| {
            sim.block_on(meanings.of(&sim, &endpoint(id), texts)).unwrap()
        };
        let meanings = Meanings::default();
        let first = ask(&meanings, "m", &["a", "b", "a"]);
        let [one, two] = [1.0, 2.0].map(|number| Some(Vector::new(&[number, 0.5])));
        assert_eq!(first, [one.clone(), two, one], "each text has its own, whatever the order of the answer");
        assert_eq!(ask(&meanings, "m", &["b"]), [first[1].clone()]);
        assert_eq!(server.borrow().asked, [2]);
        // Another page.
        assert_eq!(ask(&Meanings::default(), "m", &["b", "a"]), [first[1].clone(), first[0].clone()]);
        assert_eq!(server.borrow().asked, [2]);
        ask(&Meanings::default(), "other", &["a"]);
        assert_eq!(server.borrow().asked, [2, 1], "meanings of two models cannot be compared");
        let many: Vec<String> = (0..BATCH * 2).map(|number| number.to_string()).collect();
        ask(&meanings, "m", &many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(server.borrow().asked, [2, 1, BATCH, BATCH]);
        assert_eq!((sim.violations(), sim.leftovers()), (vec![], String::new()));
    }

    #[test]
    fn words_alone_count_where_the_endpoint_fails() {
        let sim = SimPlatform::new(2);
        sim.host("https://llm.test", Endpoint { fails: true, ..Endpoint::default() });
        let told = sim.block_on(Meanings::default().of(&sim, &endpoint("m"), &["a", "b"])).unwrap();
        assert_eq!(told, [None, None]);
        let told = sim.block_on(Meanings::default().of(&sim, &Embed::Table, &["a"])).unwrap();
        assert_eq!(told, [None], "there is no table");
    }
    fn texts(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("text {number}")).collect()
    }

    fn of(sim: &SimPlatform, meanings: &Meanings, embed: &Embed, texts: &[String]) -> Vec<Option<Vector>> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        sim.block_on(meanings.of(sim, embed, &texts)).unwrap()
    }

    #[test]
    fn who_takes_fewer_texts_at_a_time_is_given_fewer() {
        let sim = SimPlatform::new(3);
        let server = sim.host("https://llm.test", Endpoint { most: Some(20), ..Endpoint::default() });
        let meanings = Meanings::default();
        let told = of(&sim, &meanings, &endpoint("m"), &texts(100));
        assert!(told.iter().all(Option::is_some));
        assert_eq!(server.borrow().asked, [64, 32, 16, 16, 16, 16, 16, 16, 4]);
        server.borrow_mut().asked.clear();
        of(&sim, &meanings, &endpoint("m"), &texts(120));
        assert_eq!(server.borrow().asked, [16, 4], "that is remembered");
    }

    #[test]
    fn one_text_that_is_not_taken_costs_only_itself() {
        let sim = SimPlatform::new(4);
        let server = sim.host("https://llm.test", Endpoint { refused: "text 5", ..Endpoint::default() });
        let meanings = Meanings::default();
        let told = of(&sim, &meanings, &endpoint("m"), &texts(40));
        let about_nothing = Vector(vec![0, 0]);
        let unknown: Vec<usize> = (0..40).filter(|place| *told[*place].as_ref().unwrap() == about_nothing).collect();
        assert_eq!(unknown, [5]);
        let before = server.borrow().asked.len();
        assert_eq!(of(&sim, &meanings, &endpoint("m"), &texts(40)), told);
        assert_eq!(server.borrow().asked.len(), before);
        // Who takes nothing is not asked about every text.
        let sim = SimPlatform::new(5);
        let server = sim.host("https://llm.test", Endpoint { most: Some(0), ..Endpoint::default() });
        assert!(of(&sim, &meanings, &endpoint("other"), &texts(40)).iter().all(Option::is_none));
        assert_eq!(server.borrow().asked, [40, 20, 10, 5, 3, 2, 1]);
        let trouble = meanings.trouble(&endpoint("other")).unwrap();
        assert!(trouble.contains("422") && !trouble.contains("secret"), "{trouble}");
    }

    #[test]
    fn a_long_list_is_told_of_whole() {
        let sim = SimPlatform::new(6);
        let told = Rc::new(Cell::new(0));
        let counted = told.clone();
        sim.function(FunctionId(1), move |texts, _| {
            let count = texts.as_array().unwrap().len();
            counted.set(counted.get() + count);
            AppAnswer::value(Millis(0), (0..count).map(|_| json!([1.0, 0.5])).collect())
        });
        let all = texts(MOST_KNOWN + 2 * BATCH);
        let answer = of(&sim, &Meanings::default(), &function(1, "a"), &all);
        assert!(answer.iter().all(Option::is_some));
        assert_eq!(told.get(), all.len());
    }

    #[test]
    fn what_one_agents_function_told_is_not_believed_of_anothers() {
        let sim = SimPlatform::new(7);
        let next = Rc::new(Cell::new(0.0));
        let asked = next.clone();
        // Each agent counts its functions by itself: the number is the same, the function is not.
        sim.function(FunctionId(1), move |texts, _| {
            asked.set(asked.get() + 1.0);
            AppAnswer::value(Millis(0), texts.as_array().unwrap().iter().map(|_| json!([1.0, asked.get()])).collect())
        });
        let meanings = Meanings::default();
        let one = of(&sim, &meanings, &function(1, "a"), &texts(1));
        let other = of(&sim, &meanings, &function(1, "b"), &texts(1));
        assert!(one != other && next.get() == 2.0);
        assert_eq!(of(&sim, &meanings, &function(1, "a"), &texts(1)), one);
        assert_eq!(next.get(), 2.0);
    }

    #[test]
    fn who_does_not_answer_is_waited_for_once() {
        let sim = SimPlatform::new(8);
        let calls = Rc::new(Cell::new(0));
        let counted = calls.clone();
        sim.function(FunctionId(1), move |_, _| {
            counted.set(counted.get() + 1);
            AppAnswer::value(Millis::from_secs(if counted.get() == 1 { 100_000 } else { 1 }), json!([[1.0]]))
        });
        let (meanings, embed) = (Meanings::default(), function(1, "a"));
        let started = sim.elapsed();
        assert_eq!(of(&sim, &meanings, &embed, &texts(1)), [None]);
        assert_eq!(of(&sim, &meanings, &embed, &texts(1)), [None]);
        assert!(sim.elapsed().0 - started.0 < 35_000 && calls.get() == 1);
        assert!(meanings.trouble(&embed).unwrap().contains("30 s"));
        sim.block_on(sim.sleep(PATIENCE)).unwrap();
        assert!(of(&sim, &meanings, &embed, &texts(1))[0].is_some());
        assert_eq!((meanings.trouble(&embed), sim.leftovers()), (None, String::new()));
    }

    #[test]
    fn what_has_another_length_than_before_is_asked_for_again() {
        let sim = SimPlatform::new(9);
        let server = sim.host("https://llm.test", Endpoint::default());
        let (meanings, embed) = (Meanings::default(), endpoint("m"));
        of(&sim, &meanings, &embed, &texts(3));
        assert!(!meanings.take_changed());
        server.borrow_mut().more = 3;
        let told = of(&sim, &meanings, &embed, &texts(4));
        assert_eq!(told.iter().flatten().count(), 1, "only the new one can be compared with what comes");
        assert!(meanings.take_changed() && !meanings.take_changed());
        let told = of(&sim, &meanings, &embed, &texts(4));
        assert!(told.iter().all(|vector| vector.as_ref().unwrap().0.len() == 5));
        // And so for the next page.
        let told = of(&sim, &Meanings::default(), &embed, &texts(4));
        assert!(told.iter().all(|vector| vector.as_ref().unwrap().0.len() == 5));
        assert_eq!(server.borrow().asked, [3, 1, 3]);
    }

    #[test]
    fn a_table_that_could_not_be_loaded_is_asked_for_again() {
        let sim = SimPlatform::new(10);
        let meanings = Meanings::default();
        assert_eq!(of(&sim, &meanings, &Embed::Table, &texts(1)), [None]);
        sim.set_embeddings(Some(include_bytes!("../../../pkg/embeddings.bin").to_vec()));
        assert_eq!(of(&sim, &meanings, &Embed::Table, &texts(1)), [None], "not at once");
        sim.block_on(sim.sleep(RETRY)).unwrap();
        assert!(of(&sim, &meanings, &Embed::Table, &texts(1))[0].is_some());
        assert!(meanings.take_changed());
    }
}
