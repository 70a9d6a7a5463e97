//! Context as a part: what [`Builder`] decides and [`Library`] ranks, asked and answered as text.
//!
//! ```text
//! {"do":"begin","owner":...,"embed":...,"query":...,"maxTokens":...,"maxResources":...,"servers":[...]}   {"session":3,"steps":[...]}
//! {"do":"facts","session":3,"facts":[...]}                                           {"done":{...}}, or more steps
//! {"do":"rank","owner":...,"embed":...,"query":...,"limit":5,"lists":[{"name","version","documents"?}]}
//!                                        {"stale":["name"]}, or {"found":[{"list","place","score"}],"meaning":true}
//! ```
//!
//! What is known of an owner is kept from one request to the next; what is not known (any more) is asked for again.

mod embed;
mod meaning;
mod stored;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::{Value, json};

use crate::agent::live::Read;
use crate::context::build::{Builder, Fetched, Wish};
use crate::context::embed::Vector;
use crate::context::fill::Filler;
use crate::context::history::History;
use crate::context::library::{Document, Library};
use crate::context::query::Query;
use crate::context::shelf::Shelf;
use crate::json;
use crate::platform::{PartResult, Platform};
use embed::Embed;
use meaning::Meanings;
use stored::Stored;

/// Queries on their way at the same time; the oldest is given up for one more, as whoever asked it may be gone.
const MOST_SESSIONS: usize = 64;

/// Owners that are remembered; the one that was not heard of for the longest time is forgotten for one more.
const MOST_OWNERS: usize = 16;

/// What is remembered between requests.
#[derive(Default)]
pub(super) struct Contexts {
    shelves: Owners<Shelf>,
    libraries: Owners<Ranked>,
    sessions: RefCell<Vec<(u64, Session)>>,
    last: Cell<u64>,
    meanings: Meanings,
    /// What was put before the model of a run, until somebody follows it.
    read: RefCell<Vec<(String, Vec<Read>)>>,
}

/// What is kept for each owner, the last one that was heard of at the end.
struct Owners<T>(RefCell<Vec<(String, Rc<RefCell<T>>)>>);

impl<T> Default for Owners<T> {
    fn default() -> Owners<T> {
        Owners(RefCell::default())
    }
}

impl<T> Owners<T> {
    fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

impl<T: Default> Owners<T> {
    fn of(&self, owner: &str) -> Rc<RefCell<T>> {
        let mut known = self.0.borrow_mut();
        let own = match known.iter().position(|(known, _)| known == owner) {
            Some(place) => known.remove(place),
            None => (owner.to_owned(), Rc::default()),
        };
        let shared = own.1.clone();
        known.push(own);
        if known.len() > MOST_OWNERS {
            known.remove(0);
        }
        shared
    }
}

impl Contexts {
    fn keep_read(&self, run: String, filler: &Filler, filled: &Value) {
        let blocks = [filled.get("text").and_then(Value::as_str).unwrap_or("").to_owned()];
        let history = History::read(&blocks);
        let read = filler.texts().iter().filter_map(|text| {
            let shown = history.of(text).words()?;
            Some(super::live::read(&text.server, &text.uri, &text.text, &shown, text.vouched))
        });
        let mut kept = self.read.borrow_mut();
        kept.push((run, read.collect()));
        if kept.len() > MOST_SESSIONS {
            kept.remove(0);
        }
    }

    /// What was put before the model of that run; once.
    pub(super) fn take_read(&self, run: &str) -> Vec<Read> {
        let mut kept = self.read.borrow_mut();
        let place = kept.iter().position(|(known, _)| known == run);
        place.map(|place| kept.remove(place).1).unwrap_or_default()
    }
}

/// A library with the versions of its lists.
#[derive(Default)]
struct Ranked {
    library: Library,
    versions: Vec<(String, String)>,
}

struct Session {
    builder: Builder,
    shelf: Rc<RefCell<Shelf>>,
    embed: Embed,
    /// Set once the lists are there.
    query: Option<Query>,
    /// The run whose sources are to be followed.
    run: Option<String>,
}

const UNREADABLE: &str = "the request cannot be read";

pub(super) async fn answer<P: Platform>(state: &Contexts, platform: &P, request: &str) -> PartResult {
    let mut request: Value = json::read(request).unwrap_or_default();
    if state.meanings.take_changed() {
        // What was made with other meanings, or without any, is made anew. What is on its way holds what it has.
        state.shelves.clear();
        state.libraries.clear();
    }
    let answer = match request.get("do").and_then(Value::as_str) {
        Some("begin") => begin(state, &request),
        Some("facts") => facts(state, platform, &mut request).await,
        Some("rank") => rank(state, platform, &request).await,
        _ => None,
    };
    answer.map(|answer| json::text(&answer)).ok_or_else(|| UNREADABLE.to_owned())
}

fn begin(state: &Contexts, request: &Value) -> Option<Value> {
    let owner = request.get("owner")?.as_str()?;
    let shelf = state.shelves.of(owner);
    let embed = Embed::read(request.get("embed").unwrap_or(&Value::Null), owner)?;
    let mut builder = Builder::new(Wish::read(request)?);
    let steps = builder.lists(&mut shelf.borrow_mut());
    let run = request.get("run").and_then(Value::as_str).map(str::to_owned);
    Some(keep(state, Session { builder, shelf, embed, query: None, run }, steps))
}

/// Puts a session aside until its steps are done.
fn keep(state: &Contexts, session: Session, steps: Vec<Value>) -> Value {
    let number = state.last.get() + 1;
    state.last.set(number);
    let mut sessions = state.sessions.borrow_mut();
    sessions.push((number, session));
    if sessions.len() > MOST_SESSIONS {
        sessions.remove(0);
    }
    json!({ "session": number, "steps": steps })
}

async fn facts<P: Platform>(state: &Contexts, platform: &P, request: &mut Value) -> Option<Value> {
    let number = request.get("session")?.as_u64()?;
    let place = state.sessions.borrow().iter().position(|(known, _)| *known == number);
    // It was given up, or this is another instance than it was begun in.
    let Some(place) = place else { return Some(json!({ "lost": true })) };
    let (_, mut session) = state.sessions.borrow_mut().remove(place);
    let facts = request.get_mut("facts")?.as_array_mut()?;
    let Session { builder, shelf, embed, query, run } = &mut session;
    let fetched = builder.take(facts);
    if !fetched.is_empty() {
        // First, so that it is known what stored meanings have to be like.
        state.meanings.of(platform, embed, &[builder.query()]).await;
    }
    for fetched in fetched {
        let Fetched { list, version, items, documents } = fetched;
        let mut new: Vec<usize> = shelf.borrow().library().unknown(&list, &documents, embed.is_asked());
        let stored = Stored::load(&state.meanings, platform, embed, &list, &documents, &new).await;
        new.retain(|place| !stored.has(documents[*place].hash()));
        let known = about(state, platform, embed, &documents, &new).await;
        let is_told = !embed.is_asked() || known.len() == new.len();
        // Of what was not told of yet, it is asked again the next time.
        let version = if is_told { version.as_str() } else { "" };
        let mut meaning = |document: &Document| find(&known, document);
        shelf.borrow_mut().set(&list, version, items, &documents, &|hash| stored.find(hash), &mut meaning);
        shelf.borrow_mut().learn(&list, &known);
        let writes = stored.writes(shelf.borrow().library(), &list, &documents, &new);
        if !writes.is_empty() && is_told {
            // What is not kept is made again by the next page.
            let _ = platform.write(writes).await;
        }
    }
    let mut steps = Vec::new();
    if query.is_none() && builder.is_settled() {
        let text = builder.query().to_owned();
        let vector = state.meanings.of(platform, embed, &[text.as_str()]).await.pop().flatten();
        let query = query.insert(Query::new(&text, vector));
        steps = builder.choose(&shelf.borrow(), query);
    }
    steps.extend(builder.go_on());
    let done = steps.is_empty() && builder.is_settled();
    let Some(query) = (if done { query.take() } else { None }) else {
        return Some(keep(state, session, steps));
    };
    let filler = builder.filler(&query);
    let meant = filler.meant();
    let texts: Vec<String> = meant.iter().map(|(_, words)| words.join("\n")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = if query.vector.is_some() { state.meanings.of(platform, embed, &texts).await } else { Vec::new() };
    let meanings: Vec<(u32, Vector)> =
        meant.iter().zip(vectors).filter_map(|((number, _), vector)| Some((*number, vector?))).collect();
    let filled = filler.fill(&query, &meanings, builder.most());
    if let Some(run) = run.take() {
        state.keep_read(run, &filler, &filled);
    }
    let trouble = state.meanings.trouble(embed);
    let mut done = session.builder.finish(filled);
    done["meaning"] = query.vector.is_some().into();
    if let Some(words) = trouble {
        done["meaningError"] = words.into();
    }
    Some(json!({ "done": done }))
}

/// What new documents are about, by the hash of each, in its order.
async fn about<P: Platform>(
    state: &Contexts,
    platform: &P,
    embed: &Embed,
    documents: &[Document],
    new: &[usize],
) -> Vec<(u64, Vector)> {
    let texts: Vec<String> =
        new.iter().map(|place| [&documents[*place].name, "\n", &documents[*place].text].concat()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = state.meanings.of(platform, embed, &texts).await;
    let mut known: Vec<(u64, Vector)> =
        new.iter().zip(vectors).filter_map(|(place, vector)| Some((documents[*place].hash(), vector?))).collect();
    known.sort_by_key(|(hash, _)| *hash);
    known
}

fn find(known: &[(u64, Vector)], document: &Document) -> Option<Vector> {
    let place = known.binary_search_by_key(&document.hash(), |(hash, _)| *hash).ok()?;
    Some(known[place].1.clone())
}

async fn rank<P: Platform>(state: &Contexts, platform: &P, request: &Value) -> Option<Value> {
    let owner = request.get("owner")?.as_str()?;
    let ranked = state.libraries.of(owner);
    // What is ranked stands before the agent.
    let agent = owner.rsplit(' ').next().unwrap_or(owner);
    let embed = Embed::read(request.get("embed").unwrap_or(&Value::Null), agent)?;
    let limit = usize::try_from(request.get("limit")?.as_u64()?).ok()?;
    let text = request.get("query")?.as_str()?;
    let lists = request.get("lists")?.as_array()?;
    let named =
        |list: &Value| Some((list.get("name")?.as_str()?.to_owned(), list.get("version")?.as_str()?.to_owned()));
    let wanted: Vec<(String, String)> = lists.iter().map(named).collect::<Option<_>>()?;
    // First, so that it is known what stored meanings have to be like.
    let vector = state.meanings.of(platform, &embed, &[text]).await.pop().flatten();
    let mut untold = Vec::new();
    for (list, (name, version)) in lists.iter().zip(&wanted) {
        let Some(documents) = list.get("documents").and_then(Value::as_array) else { continue };
        let part =
            |document: &Value, place: usize| document.get(place).and_then(Value::as_str).unwrap_or("").to_owned();
        let documents: Vec<Document> =
            documents.iter().map(|document| Document { name: part(document, 0), text: part(document, 1) }).collect();
        let mut new = ranked.borrow().library.unknown(name, &documents, embed.is_asked());
        let stored = Stored::load(&state.meanings, platform, &embed, name, &documents, &new).await;
        new.retain(|place| !stored.has(documents[*place].hash()));
        let known = about(state, platform, &embed, &documents, &new).await;
        let is_told = !embed.is_asked() || known.len() == new.len();
        if !is_told {
            untold.push(name.as_str());
        }
        let writes = {
            let mut ranked = ranked.borrow_mut();
            let Ranked { library, versions } = &mut *ranked;
            library.set_prepared(name, &documents, &|hash| stored.find(hash), &mut |document| find(&known, document));
            library.learn(name, &known);
            versions.retain(|(known, _)| known != name);
            versions.push((name.clone(), version.clone()));
            stored.writes(library, name, &documents, &new)
        };
        if !writes.is_empty() && is_told {
            let _ = platform.write(writes).await;
        }
    }
    let mut ranked = ranked.borrow_mut();
    let Ranked { library, versions } = &mut *ranked;
    for (gone, _) in versions.iter().filter(|(known, _)| !wanted.iter().any(|(name, _)| name == known)) {
        library.set(gone, &[], &mut |_| None);
    }
    versions.retain(|(known, _)| wanted.iter().any(|(name, _)| name == known));
    let stale: Vec<&str> =
        wanted.iter().filter(|list| !versions.contains(list)).map(|(name, _)| name.as_str()).collect();
    if !stale.is_empty() {
        return Some(json!({ "stale": stale }));
    }
    // What nobody has told of yet is asked for again the next time.
    versions.retain(|(name, _)| !untold.contains(&name.as_str()));
    let query = Query::new(text, vector);
    let found = library.search(&query, limit).into_iter();
    let found =
        found.map(|found| json!({ "list": library.group(found.group), "place": found.place, "score": found.score }));
    Some(json!({ "found": found.collect::<Vec<Value>>(), "meaning": query.vector.is_some() }))
}
