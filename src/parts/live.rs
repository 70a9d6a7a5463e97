//! Sources that stay fresh as a part: what is followed is stored beside its conversation, and [`Session`] decides.
//!
//! ```text
//! {"do":"begin","run":...,"conversation":...}                       {"session":3,"watch":[...],"waits":[...],"reads":[...],
//!                                                                   "changes":[...],"ready":false}
//! {"do":"facts","session":3,"facts":[...]}                          the same, or {"lost":true}
//! {"do":"end","session":3,"facts":[...]}                            {}
//! {"do":"subscribe","conversation":...,"server":...,"uri":...,"result":{...}}   {"ok":true}, or false for what is no text
//! {"do":"unsubscribe","conversation":...,"server":...,"uri":...}                {"ok":true}, or false when there was none
//! {"do":"list","conversation":...}                                              {"sources":[{"server","uri","asked"}]}
//! ```
//!
//! Facts are those of [`Session::take`], but that `read` has the `uri` and the server's `result`, and `{"look":true}` says that somebody
//! else has changed what is stored.

use std::cell::{Cell, RefCell};

use serde_json::{Value, json};

use super::State;
use crate::agent::live::{Content, Known, Read, Session};
use crate::json;
use crate::platform::{PartResult, Platform, Space, StoreFailure, Write, key};

/// Sessions at a time; the oldest is given up for one more, as whoever began it may be gone.
const MOST_SESSIONS: usize = 64;

/// The sessions of one wasm.
#[derive(Default)]
pub(super) struct Lives {
    sessions: RefCell<Vec<Open>>,
    last: Cell<u64>,
}

struct Open {
    number: u64,
    conversation: Option<String>,
    session: Session,
    /// What is followed no longer.
    gone: Vec<Known>,
    /// The history did not get what the model was shown.
    lost: bool,
}

pub(super) async fn answer<P: Platform>(state: &State<P>, platform: &P, request: &str) -> PartResult {
    let request: Value = json::read(request).unwrap_or_default();
    let conversation = request.get("conversation").and_then(Value::as_str);
    let answer = match (request.get("do").and_then(Value::as_str), conversation) {
        (Some("begin"), _) => Some(begin(state, platform, &request, conversation).await),
        (Some("facts"), _) => facts(&state.lives, platform, &request, false).await,
        (Some("end"), _) => facts(&state.lives, platform, &request, true).await,
        (Some("subscribe"), Some(id)) => subscribe(platform, id, &request).await,
        (Some("unsubscribe"), Some(id)) => unsubscribe(platform, id, &request).await,
        (Some("list"), Some(id)) => {
            let sources: Vec<Value> = stored(platform, id).await.iter().map(Known::told).collect();
            Some(json!({ "sources": sources }))
        }
        _ => None,
    };
    answer.map(|answer| json::text(&answer)).ok_or_else(|| "the request cannot be read".to_owned())
}

/// Where a source is kept: behind its conversation, so that it goes with it, and never where a message would be.
fn place(conversation: &str, server: &str, uri: &str) -> String {
    key(&[conversation, "live", &[server, " ", uri].concat()])
}

async fn stored<P: Platform>(platform: &P, conversation: &str) -> Vec<Known> {
    let mut all = Vec::new();
    for stored in platform.list(Space::Conversations, &key(&[conversation, "live", ""])).await {
        let bytes = platform.load(Space::Conversations, &stored.key).await;
        all.extend(bytes.and_then(|bytes| Known::read(&bytes)));
    }
    all
}

/// The store can be read. What is missing in one that cannot be was not given up.
async fn is_there<P: Platform>(platform: &P) -> bool {
    platform.write(Vec::new()).await != Err(StoreFailure::Absent)
}

fn put(conversation: &str, known: &Known) -> Write {
    Write::put(Space::Conversations, place(conversation, &known.server, &known.uri), known.to_bytes())
}

async fn begin<P: Platform>(state: &State<P>, platform: &P, request: &Value, conversation: Option<&str>) -> Value {
    let mut session = Session::new();
    if let Some(id) = conversation {
        session.remember(stored(platform, id).await);
    }
    if let Some(run) = request.get("run").and_then(Value::as_str) {
        session.follow(state.contexts.take_read(run));
    }
    let lives = &state.lives;
    let number = lives.last.get() + 1;
    lives.last.set(number);
    let mut open =
        Open { number, conversation: conversation.map(str::to_owned), session, gone: Vec::new(), lost: false };
    let mut orders = open.orders();
    orders["session"] = number.into();
    let mut sessions = lives.sessions.borrow_mut();
    sessions.push(open);
    if sessions.len() > MOST_SESSIONS {
        sessions.remove(0);
    }
    orders
}

impl Open {
    fn orders(&mut self) -> Value {
        let (orders, gone) = self.session.orders();
        self.gone.extend(gone);
        orders
    }

    /// Stores what has become of the sources. Not before the end, when it is sure that what the model was shown is in the
    /// history: what is not stored is told again.
    async fn store<P: Platform>(&mut self, platform: &P) {
        let Some(id) = &self.conversation else { return };
        let removal = |known: &Known| Write::remove(Space::Conversations, place(id, &known.server, &known.uri));
        let mut writes: Vec<Write> = self.gone.iter().map(removal).collect();
        writes.extend(self.session.to_store().iter().map(|known| put(id, known)));
        if !writes.is_empty() {
            // Kept in memory where there is no room.
            let _ = platform.write(writes).await;
        }
    }
}

async fn facts<P: Platform>(lives: &Lives, platform: &P, request: &Value, last: bool) -> Option<Value> {
    let number = request.get("session")?.as_u64()?;
    let place = lives.sessions.borrow().iter().position(|open| open.number == number);
    // It was given up, or this is another instance than it was begun in.
    let Some(place) = place else { return Some(json!({ "lost": true })) };
    let mut open = lives.sessions.borrow_mut().remove(place);
    for fact in request.get("facts").and_then(Value::as_array).into_iter().flatten() {
        if fact.get("look").is_some() {
            if let Some(id) = &open.conversation {
                let mut kept = stored(platform, id).await;
                if open.session.has_others(&kept) && is_there(platform).await {
                    kept = stored(platform, id).await;
                    open.session.forget_others(&kept);
                }
                open.session.remember(kept);
            }
            continue;
        }
        open.lost |= fact.get("lost").is_some();
        let mut fact = fact.clone();
        if let Some(text) = text_of(&fact) {
            fact["text"] = text.into();
        }
        open.session.take(&fact);
    }
    let orders = open.orders();
    if !last {
        lives.sessions.borrow_mut().push(open);
    } else if !open.lost {
        open.store(platform).await;
    }
    Some(orders)
}

/// The text of what was read, `{ uri, result }`; `None` when there is none.
fn text_of(read: &Value) -> Option<String> {
    let contents = read.get("result")?.get("contents")?.as_array()?;
    let own = contents.iter().find(|content| content.get("uri") == read.get("uri") && content.get("text").is_some());
    let texts: Vec<&str> = match own {
        Some(own) => own.get("text").and_then(Value::as_str).into_iter().collect(),
        None => contents.iter().filter_map(|content| content.get("text")?.as_str()).collect(),
    };
    (!texts.is_empty()).then(|| texts.join("\n"))
}

async fn subscribe<P: Platform>(platform: &P, conversation: &str, request: &Value) -> Option<Value> {
    let (server, uri) = (request.get("server")?.as_str()?, request.get("uri")?.as_str()?);
    let Some(text) = text_of(request) else { return Some(json!({ "ok": false })) };
    let before = platform.load(Space::Conversations, &place(conversation, server, uri)).await;
    let mut known = before.and_then(|bytes| Known::read(&bytes)).unwrap_or_else(|| Known {
        server: server.to_owned(),
        uri: uri.to_owned(),
        base: Content::of(&text),
        ..Known::default()
    });
    known.asked = true;
    // Kept in memory where there is no room.
    let _ = platform.write(vec![put(conversation, &known)]).await;
    Some(json!({ "ok": true }))
}

async fn unsubscribe<P: Platform>(platform: &P, conversation: &str, request: &Value) -> Option<Value> {
    let place = place(conversation, request.get("server")?.as_str()?, request.get("uri")?.as_str()?);
    let was = platform.load(Space::Conversations, &place).await.is_some();
    let _ = platform.write(vec![Write::remove(Space::Conversations, place)]).await;
    Some(json!({ "ok": was }))
}

/// What was put before the model, as it is followed from there.
pub(super) fn read(server: &str, uri: &str, text: &str, shown: &str, vouched: u64) -> Read {
    let mut known =
        Known { server: server.to_owned(), uri: uri.to_owned(), base: Content::of(text), ..Known::default() };
    known.show(shown);
    Read { known, vouched }
}
