//! How well, and how fast, a query finds the tool or resource that it is right for: `cargo bench --bench retrieval`.
//!
//! Compares keyword overlap (how many different words are shared, the naive baseline), BM25, static embeddings and their
//! fusion on `tools.txt` and `resources.txt`; then ranks 100,000 descriptions, and does so as pages do one after the other, over
//! one store. A file given as argument is another table of embeddings.

#[path = "retrieval/set.rs"]
mod set;

use std::time::Instant;

use edgewise::context::embed::Table;
use edgewise::context::library::{Document, Library, MEANING, WORDS};
use edgewise::context::query::{Query, is_silent};
use edgewise::platform::{Part, Platform};
use edgewise::rank;
use edgewise::sim::SimPlatform;
use serde_json::{Value, json};

use set::{Kind, Quality, Set};

fn main() {
    let table = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let table = table.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/pkg/embeddings.bin").into());
    let table =
        Table::read(&std::fs::read(&table).expect("the table of embeddings can be read")).expect("it is a table");
    let sets = [include_str!("retrieval/tools.txt"), include_str!("retrieval/resources.txt")].map(set::read);
    println!(
        "{:<26}{:>9}{:>7}{:>7}{:>7}{:>9}{:>12}",
        "ranking, kind of query", "queries", "R@1", "R@3", "R@10", "nDCG@10", "us a query"
    );
    let weights = [(WORDS, MEANING), (1.0, 0.25), (1.0, 0.5), (1.0, 1.0), (1.0, 1.5), (1.0, 2.0), (1.0, 3.0)];
    let mut methods: Vec<(String, Method)> = vec![
        ("overlap".into(), Method::Overlap),
        ("BM25".into(), Method::Fusion(1.0, 0.0)),
        ("embeddings".into(), Method::Fusion(0.0, 1.0)),
    ];
    methods
        .extend(weights.map(|(words, meaning)| (format!("fusion {words}:{meaning}"), Method::Fusion(words, meaning))));
    for (name, method) in methods {
        measure(&name, method, &sets, &table);
    }
    let documents = descriptions();
    scale(&table, &documents);
    stored(&documents);
}

#[derive(Clone, Copy)]
enum Method {
    Overlap,
    Fusion(f32, f32),
}

fn measure(name: &str, method: Method, sets: &[Set], table: &Table) {
    let mut all = Quality::default();
    let kinds = [Kind::Overlap, Kind::Paraphrase, Kind::Identifier];
    let mut by_kind = kinds.map(|kind| (kind, Quality::default()));
    let mut nanos = 0;
    for set in sets {
        let documents: Vec<Document> =
            set.things.iter().map(|thing| Document { name: thing.name.clone(), text: thing.text.clone() }).collect();
        let mut library = Library::default();
        library.set("all", &documents, &mut |document| table.embed([document.name.as_str(), &document.text]));
        let words: Vec<Vec<String>> =
            documents.iter().map(|document| words_of(&[&document.name, " ", &document.text].concat())).collect();
        for asked in &set.queries {
            let start = Instant::now();
            let order: Vec<usize> = match method {
                Method::Overlap => overlap(&words, &asked.text),
                Method::Fusion(by_words, by_meaning) => {
                    let vector = if by_meaning > 0.0 { table.embed([asked.text.as_str()]) } else { None };
                    let mut query = Query::new(&asked.text, vector);
                    if by_words == 0.0 {
                        query.terms.clear();
                    }
                    library.weighed(&query, 10, by_words, by_meaning).iter().map(|found| found.place).collect()
                }
            };
            nanos += start.elapsed().as_nanos();
            let place = order.iter().position(|place| *place == asked.right);
            all.note(place);
            by_kind.iter_mut().filter(|(kind, _)| *kind == asked.kind).for_each(|(_, quality)| quality.note(place));
        }
    }
    let print = |label: &str, quality: &Quality, time: String| {
        let [first, third, tenth, gain] = quality.scores();
        println!("{label:<26}{:>9}{first:>7.3}{third:>7.3}{tenth:>7.3}{gain:>9.3}{time:>12}", quality.count());
    };
    print(name, &all, format!("{:.1}", nanos as f64 / all.count() as f64 / 1000.0));
    for (kind, quality) in by_kind {
        print(&format!("  {kind:?}").to_lowercase(), &quality, String::new());
    }
}

fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    rank::words(text, &mut |word| words.push(word.to_owned()));
    words.sort();
    words.dedup();
    words
}

/// The naive way: the more different words are shared, the better.
fn overlap(things: &[Vec<String>], query: &str) -> Vec<usize> {
    let query = words_of(query);
    let shared = |words: &Vec<String>| query.iter().filter(|word| words.contains(word)).count();
    let mut order: Vec<(usize, usize)> =
        things.iter().map(shared).enumerate().filter(|(_, shared)| *shared > 0).collect();
    order.sort_by_key(|(_, shared)| std::cmp::Reverse(*shared));
    order.into_iter().map(|(place, _)| place).collect()
}

/// 100,000 descriptions made of the words of the sets.
fn descriptions() -> Vec<Document> {
    let texts = [include_str!("retrieval/tools.txt"), include_str!("retrieval/resources.txt")].concat();
    let vocabulary = words_of(&texts);
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Some words are much more frequent than others.
        let uniform = (state >> 11) as f64 / (1u64 << 53) as f64;
        (uniform * uniform * below as f64) as usize
    };
    (0..100_000)
        .map(|number| Document {
            name: format!("item{number} {} {}", vocabulary[next(vocabulary.len())], vocabulary[next(vocabulary.len())]),
            text: (0..14).map(|_| vocabulary[next(vocabulary.len())].as_str()).collect::<Vec<_>>().join(" "),
        })
        .collect()
}

const QUERIES: [&str; 4] = [
    "will it rain in Oslo tomorrow",
    "merge the pull request of the customer",
    "item77777",
    "database backup of the month and the year",
];

/// What pages pay for them that come one after the other: the first one makes the index and stores it, the next ones load it.
fn stored(documents: &[Document]) {
    let table =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/pkg/embeddings.bin")).expect("the table can be read");
    for (name, embed) in [("words", json!(false)), ("words and meaning", Value::Null)] {
        let sim = SimPlatform::new(1);
        sim.set_embeddings(Some(table.clone()));
        let ask = |page: &str, version: u64, documents: Option<&[Document]>, query: &str| {
            let rows = documents.map(|all| all.iter().map(|one| json!([one.name, one.text])).collect::<Vec<Value>>());
            let mut list = json!({ "name": "all", "version": version.to_string() });
            if let Some(rows) = rows {
                list["documents"] = rows.into();
            }
            let request =
                json!({ "do": "rank", "owner": page, "embed": embed, "query": query, "limit": 20, "lists": [list] });
            let request = request.to_string();
            let start = Instant::now();
            let answer =
                sim.block_on(sim.call_part(Part::Context, request)).expect("nothing is stuck").expect("it answers");
            let took = start.elapsed().as_secs_f64() * 1000.0;
            assert!(answer.contains("\"found\":["), "{answer}");
            took
        };
        let kept = || {
            let all = sim.stored();
            let bytes: usize = all.values().map(Vec::len).sum();
            (all, bytes)
        };
        let first = ask("page 1", 1, Some(documents), QUERIES[0]);
        let (before, bytes) = kept();
        let second = ask("page 2", 1, Some(documents), QUERIES[0]);
        let mut changed = documents.to_vec();
        changed[7].text.push_str(" elephant");
        let change = ask("page 2", 2, Some(&changed), "elephant");
        let written: Vec<usize> = kept()
            .0
            .iter()
            .filter(|(key, value)| before.get(*key) != Some(value))
            .map(|(_, value)| value.len())
            .collect();
        let worst = QUERIES.map(|query| ask("page 2", 2, None, query)).into_iter().fold(0.0, f64::max);
        println!(
            "100,000 descriptions over a store by {name}: made and stored in {first:.0} ms ({} records, {:.1} MB), by the next page loaded \
             in {second:.0} ms; one changed in {change:.0} ms ({} records, {:.0} kB written); slowest query {worst:.1} ms",
            before.len(),
            bytes as f64 / 1e6,
            written.len(),
            written.iter().sum::<usize>() as f64 / 1e3,
        );
    }
}

fn scale(table: &Table, documents: &[Document]) {
    for (name, meaning) in [("words", false), ("words and meaning", true)] {
        let mut library = Library::default();
        let start = Instant::now();
        let mut about =
            |document: &Document| if meaning { table.embed([document.name.as_str(), &document.text]) } else { None };
        library.set("all", documents, &mut about);
        let built = start.elapsed();
        let start = Instant::now();
        library.set("all", &documents[1..], &mut about);
        let again = start.elapsed();
        let mut worst = 0.0f64;
        for query in QUERIES {
            let start = Instant::now();
            let vector = if meaning { table.embed([query]) } else { None };
            assert!(!library.search(&Query::new(query, vector), 20).is_empty() || is_silent(query));
            worst = worst.max(start.elapsed().as_secs_f64() * 1000.0);
        }
        println!(
            "100,000 descriptions by {name}: built in {:.0} ms, one removed in {:.0} ms, slowest query {worst:.1} ms",
            built.as_secs_f64() * 1000.0,
            again.as_secs_f64() * 1000.0
        );
    }
}
