//! One who watches: which sources, how far each is, and what to tell of them.

use serde_json::{Value, json};

use super::known::{Content, Known};
use crate::context::difference::{Difference, difference, note};

/// Changes that come together are read together, in milliseconds.
const SETTLE: u64 = 250;

/// Shortest and longest time from one reading of a source to the next, in milliseconds. It doubles with each reading, until
/// nothing was told for the longest one.
const PACE: u64 = 1_000;
const MOST_PACE: u64 = 60_000;

/// So many contents that were told and not shown yet are remembered of a source.
const MOST_NEWS: usize = 4;

/// Most sources that are followed because they were put before the model; those of the longest ago go first. What the app has
/// subscribed to does not count.
const MOST_FOLLOWED: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Nobody tells of it yet.
    Unwatched,
    Idle,
    Settling,
    Reading,
    Resting,
}

/// A followed source and where it is.
#[derive(Clone, Debug)]
struct Seat {
    id: u64,
    known: Known,
    /// The content of `known.base` was read before this session: what happened between is not known.
    older: bool,
    /// For so many milliseconds the server vouches for what was read.
    vouched: u64,
    phase: Phase,
    /// It was told of since it was last begun to be read.
    dirty: bool,
    pace: u64,
    /// Counts what is waited for: only the last wait counts.
    turn: u64,
    /// The text that was read last, however long, with its hash.
    latest: (u64, String),
    /// Hash of what the reader was told last.
    told: u64,
    /// What was told and not yet shown to the model, the latest last.
    news: Vec<Content>,
    /// The model waits for it.
    awaited: bool,
}

/// Somebody who watches the sources of one conversation, or of one run.
#[derive(Clone, Debug, Default)]
pub struct Session {
    seats: Vec<Seat>,
    last: u64,
    /// Which sources' records are to be stored.
    touched: Vec<u64>,
    patient: bool,
    ready: bool,
    orders: Orders,
}

/// A source that was just put before the model, or read for the app.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// The source, with the content that was read.
    pub known: Known,
    /// For so many milliseconds, as its server says, it stays so.
    pub vouched: u64,
}

impl Session {
    /// A session that knows of nothing.
    pub fn new() -> Session {
        Session { patient: true, ..Session::default() }
    }

    /// Takes in what was followed before this session, or by another one meanwhile, as it was stored.
    pub fn remember(&mut self, known: Vec<Known>) {
        for known in known {
            match self.seats.iter_mut().find(|seat| seat.known.is(&known.server, &known.uri)) {
                // Another session has shown it to the model meanwhile.
                Some(seat) if seat.older => {
                    seat.news.retain(|news| news.hash != known.base.hash);
                    seat.known = known;
                }
                Some(_) => {}
                None => self.add(known, true, 0),
            }
        }
    }

    /// Something was stored and is not among these.
    pub fn has_others(&self, kept: &[Known]) -> bool {
        self.seats.iter().any(|seat| seat.is_other(kept))
    }

    /// Forgets those that were stored and are no longer.
    pub fn forget_others(&mut self, kept: &[Known]) {
        self.seats.retain(|seat| !seat.is_other(kept));
    }

    /// Takes in sources that were just read.
    pub fn follow(&mut self, read: Vec<Read>) {
        for Read { mut known, vouched } in read {
            match self.seats.iter().position(|seat| seat.known.is(&known.server, &known.uri)) {
                // What the model was shown now is what counts.
                Some(place) => {
                    let mut seat = self.seats.remove(place);
                    known.asked |= seat.known.asked;
                    let words = std::mem::take(&mut known.shown);
                    known.shown = std::mem::take(&mut seat.known.shown);
                    known.show(words.trim_end());
                    (seat.told, seat.news, seat.awaited) = (known.base.hash, Vec::new(), false);
                    seat.known = known;
                    self.touched.push(seat.id);
                    self.seats.push(seat);
                }
                None => self.add(known, false, vouched),
            }
        }
        let spare = self.seats.iter().filter(|seat| !seat.known.asked).count().saturating_sub(MOST_FOLLOWED);
        for _ in 0..spare {
            if let Some(place) = self.seats.iter().position(|seat| !seat.known.asked) {
                let gone = self.seats.remove(place);
                self.orders.gone.push(gone.known);
            }
        }
    }

    fn add(&mut self, known: Known, older: bool, vouched: u64) {
        self.last += 1;
        let id = self.last;
        self.orders.watch.push(json!({ "id": id, "server": known.server, "uri": known.uri }));
        if !older {
            self.touched.push(id);
        }
        let (told, phase, latest) = (known.base.hash, Phase::Unwatched, (0, String::new()));
        let (dirty, pace, turn, news) = (false, PACE, 0, Vec::new());
        self.seats.push(Seat {
            id,
            known,
            older,
            vouched,
            phase,
            dirty,
            pace,
            turn,
            latest,
            told,
            news,
            awaited: older,
        });
    }

    /// Takes in a fact:
    ///
    /// ```text
    /// {"watching":id}  {"deaf":id}  {"unheard":id}, when nobody tells for a while  {"changed":id}  {"gap":id}  {"rested":id,"turn":...}, with the wait's turn
    /// {"read":id,"text":...,"at":ms} or {"read":id}, when that failed
    /// {"noted":[{"server","uri","version"}]}  {"patience":true}
    /// ```
    ///
    /// What fits nothing is ignored.
    pub fn take(&mut self, fact: &Value) {
        let Session { seats, orders, .. } = self;
        let id = |name: &str| fact.get(name).and_then(Value::as_u64);
        let mut on = |name: &str, act: &mut dyn FnMut(&mut Seat, &mut Orders)| {
            if let Some(id) = id(name)
                && let Some(seat) = seats.iter_mut().find(|seat| seat.id == id)
            {
                act(seat, orders);
            }
        };
        on("watching", &mut |seat, orders| seat.watched(orders));
        on("unheard", &mut |seat, orders| seat.deaf(orders));
        on("deaf", &mut |seat, orders| seat.deaf(orders));
        on("changed", &mut |seat, orders| seat.changed(orders));
        on("gap", &mut |seat, orders| seat.changed(orders));
        let turn = id("turn");
        on("rested", &mut |seat, orders| {
            if turn.is_none_or(|turn| turn == seat.turn) {
                seat.rested(orders);
            }
        });
        let (text, at) = (fact.get("text").and_then(Value::as_str), id("at").unwrap_or(0));
        on("read", &mut |seat, orders| seat.read(text, at, orders));
        // What was put before the model by itself is followed as far as its server tells of it.
        let deaf = id("deaf");
        self.seats
            .retain(|seat| Some(seat.id) != deaf || seat.phase != Phase::Unwatched || seat.older || seat.known.asked);
        if fact.get("patience").is_some() {
            self.patient = false;
        }
        for noted in fact.get("noted").and_then(Value::as_array).into_iter().flatten() {
            self.noted(noted);
        }
    }

    /// The model was shown a change.
    fn noted(&mut self, noted: &Value) {
        let text = |name: &str| noted.get(name).and_then(Value::as_str).unwrap_or("");
        let Some(seat) = self.seats.iter_mut().find(|seat| seat.known.is(text("server"), text("uri"))) else { return };
        let hash = text("version").parse().ok();
        let Some(place) = seat.news.iter().position(|news| Some(news.hash) == hash) else { return };
        let shown = seat.news.remove(place);
        seat.news.drain(..place);
        let whole = shown.text.as_deref().or((seat.latest.0 == shown.hash).then_some(seat.latest.1.as_str()));
        if let Some((before, now)) = seat.known.base.before().zip(whole) {
            let words = difference(before, now, "").text;
            seat.known.show(&words.replace("\n+ ", "\n"));
        }
        seat.known.base = shown;
        self.touched.push(seat.id);
        // What came since is news in comparison with what was shown now.
        if let Some(latest) = seat.news.last().cloned() {
            seat.tell(&latest, 0, &mut self.orders);
        }
    }

    /// The sources whose records are to be stored.
    pub fn to_store(&mut self) -> Vec<Known> {
        let touched = std::mem::take(&mut self.touched);
        self.seats.iter().filter(|seat| touched.contains(&seat.id)).map(|seat| seat.known.clone()).collect()
    }

    /// What is to be done, `{ watch, waits, reads }`, what is to be told, `{ changes }`, whether the model may be asked from now
    /// on, `{ ready }`, and what is followed no longer.
    pub fn orders(&mut self) -> (Value, Vec<Known>) {
        let waits = self.patient && self.seats.iter().any(|seat| seat.awaited);
        let ready = !waits && !std::mem::replace(&mut self.ready, !waits);
        let Orders { watch, waits, reads, changes, gone } = std::mem::take(&mut self.orders);
        (json!({ "watch": watch, "waits": waits, "reads": reads, "changes": changes, "ready": ready }), gone)
    }
}

#[derive(Clone, Debug, Default)]
struct Orders {
    watch: Vec<Value>,
    waits: Vec<Value>,
    reads: Vec<Value>,
    changes: Vec<Value>,
    gone: Vec<Known>,
}

impl Seat {
    /// It was stored and is not among these.
    fn is_other(&self, kept: &[Known]) -> bool {
        self.older && !kept.iter().any(|known| known.is(&self.known.server, &self.known.uri))
    }

    fn watched(&mut self, orders: &mut Orders) {
        if self.phase != Phase::Unwatched {
            return;
        }
        if self.older || self.dirty || self.vouched == 0 {
            return self.begin_reading(orders);
        }
        self.phase = Phase::Settling;
        self.wait(self.vouched, orders);
    }

    /// Nobody will tell. What was followed before is compared once.
    fn deaf(&mut self, orders: &mut Orders) {
        if self.phase == Phase::Unwatched && self.older {
            return self.begin_reading(orders);
        }
        self.awaited = false;
    }

    fn changed(&mut self, orders: &mut Orders) {
        match self.phase {
            Phase::Idle => {
                self.phase = Phase::Settling;
                self.wait(SETTLE, orders);
            }
            // Whatever was said of how long it stays: it did not.
            Phase::Settling if self.vouched > 0 => {
                self.vouched = 0;
                self.wait(SETTLE, orders);
            }
            Phase::Settling => {}
            Phase::Unwatched | Phase::Reading | Phase::Resting => self.dirty = true,
        }
    }

    fn rested(&mut self, orders: &mut Orders) {
        match self.phase {
            Phase::Settling => self.begin_reading(orders),
            Phase::Resting if self.dirty => self.begin_reading(orders),
            Phase::Resting => {
                self.phase = Phase::Idle;
                self.wait(MOST_PACE, orders);
            }
            Phase::Idle => self.pace = PACE,
            Phase::Unwatched | Phase::Reading => {}
        }
    }

    fn begin_reading(&mut self, orders: &mut Orders) {
        (self.phase, self.dirty, self.vouched) = (Phase::Reading, false, 0);
        orders.reads.push(json!({ "id": self.id, "server": self.known.server, "uri": self.known.uri }));
    }

    fn wait(&mut self, ms: u64, orders: &mut Orders) {
        self.turn += 1;
        orders.waits.push(json!({ "id": self.id, "ms": ms, "turn": self.turn }));
    }

    fn read(&mut self, text: Option<&str>, at: u64, orders: &mut Orders) {
        if self.phase != Phase::Reading {
            return;
        }
        (self.phase, self.awaited) = (Phase::Resting, false);
        self.wait(self.pace, orders);
        self.pace = (self.pace * 2).min(MOST_PACE);
        // One that could not be read is to be read again.
        let Some(text) = text else { return self.dirty = true };
        let now = Content::of(text);
        if now.hash == self.told {
            return;
        }
        self.told = now.hash;
        self.latest = (now.hash, text.to_owned());
        if now.hash == self.known.base.hash {
            self.news.clear();
        } else {
            self.news.retain(|news| news.hash != now.hash);
            self.news.push(now.clone());
            self.news.drain(..self.news.len().saturating_sub(MOST_NEWS));
        }
        self.tell(&now, at, orders);
    }

    /// Tells how `now` differs from what the model was shown.
    fn tell(&self, now: &Content, at: u64, orders: &mut Orders) {
        let Known { server, uri, base, shown, .. } = &self.known;
        let same = now.hash == base.hash;
        let text = now.text.as_deref().or((self.latest.0 == now.hash).then_some(self.latest.1.as_str()));
        let found = match base.before().zip(text) {
            _ if same => Difference::default(),
            Some((before, after)) => difference(before, after, shown),
            // Too long to be compared: of what was shown nothing may be left.
            None => Difference { touches: !shown.is_empty(), ..Difference::default() },
        };
        let text = text.unwrap_or("");
        let told = match found.text.is_empty() {
            false => found.clone(),
            true => Difference { text: "It is another text now: read it again.\n".to_owned(), ..found.clone() },
        };
        let words = if same { String::new() } else { note(server, uri, text, &told, !shown.is_empty()) };
        let mut change = json!({
            "server": server, "uri": uri, "version": now.hash.to_string(), "difference": found.text, "added": found.added,
            "removed": found.removed, "cited": found.touches, "same": same, "note": words,
        });
        if at > 0 {
            change["readAt"] = at.into();
        }
        orders.changes.push(change);
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
