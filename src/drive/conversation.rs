//! Conversations: histories that outlive their runs, one record for each message.
//!
//! ```text
//! conversations/<id>/head      {"count":12,"epoch":"9f...","held":["mail"],"first":0,"before":0}
//! conversations/<id>/000000    {"role":"user","content":[...]}
//! ```
//!
//! A message is written when its turn is settled, together with the head; so what is stored can always be gone on from. Who
//! knows the head's epoch and less than its count reads what is new; after [`Conversation::clear`] there is another epoch.
//! `held` names the servers whose private data are in it: a summary hides who was asked for what, a plan never told, and a server
//! may be gone.
//!
//! In memory are only the messages from the first one on that the model is still shown (`first` is the number of its record, and
//! `before` how many messages come before it), and only of the conversations that were asked for last. The others are read when
//! somebody asks for them, so that a conversation of thousands of turns costs no more at its end than at its beginning.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use serde_json::{Value, json};

use crate::agent::view::{is_mark, needed};
use crate::drive::handle::RunHandle;
use crate::drive::line::{Line, Place};
use crate::drive::wait::{Cancel, Jobs, unless_cancelled};
use crate::error::{Error, Result};
use crate::json;
use crate::llm::types::{Block, Message};
use crate::platform::{Platform, Space, StoreFailure, Write, key};

/// Longest id of a conversation, in bytes.
const MAX_ID: usize = 256;
/// Records that are read at once.
const AT_ONCE: u64 = 32;
/// Conversations that are remembered although nobody is in them.
const MOST_IDLE: usize = 8;

/// One conversation, as all of an agent's runs in it share it.
pub(crate) struct Conversation {
    id: String,
    line: Line,
    kept: RefCell<Kept>,
}

/// What is known of it.
#[derive(Default)]
struct Kept {
    /// The messages from the first one on that the model is still shown, each with the number of its record.
    messages: Vec<(u64, Message)>,
    /// How many there are before them.
    before: u64,
    /// Number of records; there may be more than messages, should one be broken.
    count: u64,
    epoch: String,
    /// Servers whose private data are in it.
    held: Vec<String>,
    /// A run of ours is in it: what it says may not be stored yet.
    open: bool,
    /// What the store did not take in time: it goes with what is said next.
    owed: Vec<Write>,
    /// Counts how often it was forgotten: what was begun to be read before is not known.
    turn: u64,
    /// All of it was removed while a run is in it: nothing that the run says is kept.
    removed: bool,
}

/// A run's turn in a conversation. Nobody else says anything in it until this is dropped.
pub(crate) struct Entered<P: Platform> {
    conversation: Rc<Conversation>,
    _held: (Place, P::Lock),
}

/// All conversations that were asked for.
#[derive(Default)]
pub(crate) struct Conversations {
    all: RefCell<Vec<Rc<Conversation>>>,
    /// How often the logs of all runs were removed.
    pub(crate) removals: Rc<Cell<u64>>,
}

impl Conversations {
    /// The conversation of that id.
    ///
    /// # Errors
    ///
    /// `config` for an id that is none.
    pub(crate) fn get(&self, id: &str) -> Result<Rc<Conversation>> {
        if id.is_empty() || id.len() > MAX_ID {
            return Err(Error::config("id", "expected 1 to 256 bytes of text"));
        }
        let mut all = self.all.borrow_mut();
        let known = all.iter().position(|known| known.id == id).map(|place| all.remove(place));
        let conversation = known.unwrap_or_else(|| {
            Rc::new(Conversation { id: id.to_owned(), line: Line::default(), kept: RefCell::default() })
        });
        // The last one is the one that was asked for last.
        all.push(conversation.clone());
        let mut idle = all.iter().filter(|known| known.is_idle()).count();
        all.retain(|known| {
            let goes = idle > MOST_IDLE && known.is_idle();
            idle -= usize::from(goes);
            !goes
        });
        Ok(conversation)
    }

    #[cfg(not(target_arch = "wasm32"))]
    /// How many conversations are known, and how many messages of them are in memory.
    pub(crate) fn size(&self) -> (usize, usize) {
        let all = self.all.borrow();
        (all.len(), all.iter().map(|known| known.kept.borrow().messages.len()).sum())
    }
}

impl Kept {
    /// The messages in memory.
    fn shown(&self) -> Vec<Message> {
        self.messages.iter().map(|(_, message)| message.clone()).collect()
    }

    /// Number of the record that the messages in memory begin with.
    fn first(&self) -> u64 {
        self.messages.first().map_or(self.count, |(number, _)| *number)
    }

    /// Forgets what a summary stands for: it is in the store.
    fn trim(&mut self) {
        if self.owed.is_empty() && self.messages.iter().any(|(_, message)| is_mark(message)) {
            let gone = self.messages.len() - needed(self.messages.iter().map(|(_, message)| message));
            self.messages.drain(..gone);
            self.before += gone as u64;
        }
    }
}

impl Conversations {
    /// What is stored of that conversation, or of all, is another than it was. With `removed` there is nothing any more, and what
    /// a run that goes on in it still says is not kept.
    pub(crate) fn forget(&self, id: Option<&str>, removed: bool) {
        for conversation in self.all.borrow().iter().filter(|known| id.is_none_or(|id| known.id == id)) {
            let mut kept = conversation.kept.borrow_mut();
            if removed || !kept.open {
                *kept = Kept { open: kept.open, removed: kept.open, turn: kept.turn + 1, ..Kept::default() };
            }
        }
    }
}

impl Conversation {
    /// Nobody is in it, and everything of it is in the store.
    fn is_idle(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) == 1 && self.kept.borrow().owed.is_empty()
    }

    /// Takes a place among those who want to say something.
    pub(crate) fn join(&self) -> Place {
        self.line.join()
    }

    /// Waits until it is one's turn, here and among the tabs; it is as long as both are held.
    async fn turn<P: Platform>(&self, platform: &P, place: Place) -> (Place, P::Lock) {
        (&place).await;
        let lock = platform.lock(&key(&["conversation", &self.id])).await;
        (place, lock)
    }

    /// Waits for a run's turn, and gives what was said before; `None` when the run is cancelled meanwhile.
    pub(crate) async fn enter<P: Platform>(
        self: Rc<Self>,
        platform: &P,
        place: Place,
        run: &RunHandle,
    ) -> Option<(Entered<P>, Vec<Message>)> {
        let mut turn = pin!(self.turn(platform, place));
        let held = poll_fn(|task| {
            if run.is_cancelled() {
                return Poll::Ready(None);
            }
            run.wait(task.waker());
            turn.as_mut().poll(task).map(Some)
        });
        let held = held.await?;
        self.refresh(platform).await;
        let mut kept = self.kept.borrow_mut();
        kept.open = true;
        // What a summary stands for is not shown to the model any more.
        kept.trim();
        let messages = kept.shown();
        drop(kept);
        Some((Entered { conversation: self.clone(), _held: held }, messages))
    }

    /// Everything that was said, from the store as far as it is new.
    pub(crate) async fn messages<P: Platform>(&self, platform: &P) -> Vec<Message> {
        if !self.kept.borrow().open {
            self.refresh(platform).await;
        }
        self.all(platform).await
    }

    /// What is in memory, behind what is not.
    async fn all<P: Platform>(&self, platform: &P) -> Vec<Message> {
        let (first, shown) = {
            let kept = self.kept.borrow();
            (if kept.before > 0 { kept.first() } else { 0 }, kept.shown())
        };
        let older = self.read(platform, 0, first).await;
        older.into_iter().map(|(_, message)| message).chain(shown).collect()
    }

    /// The messages of the records from one number to before another, as far as they can be gone on from.
    async fn read<P: Platform>(&self, platform: &P, from: u64, to: u64) -> Vec<(u64, Message)> {
        let records: Vec<RefCell<Option<Message>>> = (from..to).map(|_| RefCell::default()).collect();
        for (from, some) in (from..).step_by(AT_ONCE as usize).zip(records.chunks(AT_ONCE as usize)) {
            let mut jobs = Jobs::default();
            for (number, place) in (from..).zip(some) {
                jobs.push(async move {
                    let record = platform.load(Space::Conversations, &self.numbered(number)).await;
                    let message = record.and_then(|record| serde_json::from_slice::<Value>(&record).ok());
                    *place.borrow_mut() = message.as_ref().and_then(Message::read);
                });
            }
            jobs.finish().await;
        }
        let read = records.into_iter().map(RefCell::into_inner);
        whole((from..).zip(read).filter_map(|(number, message)| Some((number, message?))).collect())
    }

    async fn refresh<P: Platform>(&self, platform: &P) {
        loop {
            let turn = self.kept.borrow().turn;
            self.read_on(platform).await;
            if self.kept.borrow().turn == turn {
                return;
            }
        }
    }

    async fn read_on<P: Platform>(&self, platform: &P) {
        let turn = self.kept.borrow().turn;
        let head = platform.load(Space::Conversations, &self.key("head")).await;
        let head: Value = head.and_then(|head| serde_json::from_slice(&head).ok()).unwrap_or_default();
        let epoch = head.get("epoch").and_then(Value::as_str).unwrap_or("");
        let held = head.get("held").and_then(Value::as_array).into_iter().flatten();
        let held: Vec<String> = held.filter_map(|name| Some(name.as_str()?.to_owned())).collect();
        let count = match head.get("count").and_then(Value::as_u64) {
            Some(count) => count,
            // Nothing was said, or the head was broken and the messages are still there.
            None => {
                let listed = platform.list(Space::Conversations, &self.key("")).await;
                let numbers = listed.iter().filter_map(|stored| stored.key.rsplit('/').next()?.parse::<u64>().ok());
                let count = numbers.max().map_or(0, |last| last + 1);
                // A store that cannot be read says nothing of what was said.
                let known = self.kept.borrow().count > 0;
                if count == 0 && known && platform.write(Vec::new()).await == Err(StoreFailure::Absent) {
                    return;
                }
                count
            }
        };
        let number = |name: &str| head.get(name).and_then(Value::as_u64).unwrap_or(0);
        let known = Some(self.kept.borrow()).filter(|kept| kept.epoch == epoch).map_or(0, |kept| kept.count);
        let from = if known == 0 { number("first").min(count) } else { known };
        let news = self.read(platform, from, count).await;
        let mut kept = self.kept.borrow_mut();
        // Somebody else here may have read on, or begun to write, meanwhile.
        if kept.open || kept.turn != turn || kept.epoch == epoch && kept.count != known {
            return;
        }
        if known == 0 {
            kept.messages.clear();
            kept.before = number("before");
        }
        kept.messages.extend(news);
        kept.count = known.max(count);
        kept.held = held;
        epoch.clone_into(&mut kept.epoch);
    }

    /// Forgets everything, once those who are saying something are done.
    ///
    /// # Errors
    ///
    /// `cancelled`.
    pub(crate) async fn clear<P: Platform>(&self, platform: &P, cancel: &Cancel) -> Result<()> {
        let turn = self.turn(platform, self.join());
        let held = unless_cancelled(cancel, turn).await.map_err(|_| Error::cancelled("clear"))?;
        // What could not be stored is kept in memory and read as if it were.
        let _ = platform.write(vec![Write::remove_prefix(Space::Conversations, self.key(""))]).await;
        let turn = self.kept.borrow().turn;
        *self.kept.borrow_mut() = Kept { turn, ..Kept::default() };
        drop(held);
        Ok(())
    }

    fn key(&self, part: &str) -> String {
        key(&[&self.id, part])
    }

    fn numbered(&self, number: u64) -> String {
        let digits = number.to_string();
        let zeros = &"000000"[digits.len().min(6)..];
        self.key(&[zeros, &digits].concat())
    }
}

impl<P: Platform> Entered<P> {
    /// Id of the conversation.
    pub(crate) fn id(&self) -> &str {
        &self.conversation.id
    }

    /// Everything that was said.
    pub(crate) async fn messages(&self, platform: &P) -> Vec<Message> {
        self.conversation.all(platform).await
    }

    /// How many messages there are.
    pub(crate) fn count(&self) -> usize {
        let kept = self.conversation.kept.borrow();
        kept.before as usize + kept.messages.len()
    }

    /// Servers whose private data are in it.
    pub(crate) fn held(&self) -> Vec<String> {
        self.conversation.kept.borrow().held.clone()
    }

    /// Remembers changes of the store of which nobody knows whether they were made.
    pub(crate) fn owe(&self, writes: Vec<Write>) {
        let ours = |write: &Write| matches!(write, Write::Put { space: Space::Conversations, .. });
        let mut kept = self.conversation.kept.borrow_mut();
        if !kept.removed {
            kept.owed.extend(writes.into_iter().filter(ours));
        }
    }

    /// It was removed meanwhile.
    pub(crate) fn is_removed(&self) -> bool {
        self.conversation.kept.borrow().removed
    }

    /// Adds messages, and the servers whose private data are in them: here at once, and as changes of the store that are to be
    /// made.
    pub(crate) fn append(&self, platform: &P, messages: &[Message], held: &[String]) -> Vec<Write> {
        let Conversation { kept, .. } = &*self.conversation;
        let mut kept = kept.borrow_mut();
        if kept.removed {
            return Vec::new();
        }
        if kept.epoch.is_empty() {
            kept.epoch = platform.random().to_string();
        }
        let mut writes = std::mem::take(&mut kept.owed);
        for message in messages {
            // Never fails: keys are strings, and a Vec takes all bytes.
            let record = serde_json::to_vec(message).unwrap_or_default();
            let number = kept.count;
            writes.push(Write::put(Space::Conversations, self.conversation.numbered(number), record));
            kept.messages.push((number, message.clone()));
            kept.count += 1;
        }
        for server in held {
            if !kept.held.contains(server) {
                kept.held.push(server.clone());
            }
        }
        let (first, before) = (kept.first(), kept.before);
        let head =
            json!({ "count": kept.count, "epoch": kept.epoch, "held": kept.held, "first": first, "before": before });
        writes.push(Write::put(Space::Conversations, self.conversation.key("head"), json::text(&head)));
        writes
    }
}

impl<P: Platform> Drop for Entered<P> {
    fn drop(&mut self) {
        let mut kept = self.conversation.kept.borrow_mut();
        (kept.open, kept.removed) = (false, false);
        kept.trim();
    }
}

/// What can be gone on from: without calls without results, and results without calls. What was broken is not there.
fn whole(messages: Vec<(u64, Message)>) -> Vec<(u64, Message)> {
    let uses = |message: &Message| message.content.iter().any(|block| matches!(block, Block::ToolUse { .. }));
    let results = |message: &Message| message.content.iter().any(|block| matches!(block, Block::ToolResult { .. }));
    let mut good: Vec<(u64, Message)> = Vec::new();
    let mut messages = messages.into_iter().peekable();
    while let Some((number, message)) = messages.next() {
        // Right behind it, with nothing broken in between.
        let answered = messages.peek().is_some_and(|(next, other)| *next == number + 1 && results(other));
        let asked = good.last().is_some_and(|(last, other)| *last + 1 == number && uses(other));
        if uses(&message) == answered && results(&message) == asked {
            good.push((number, message));
        }
    }
    good
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
