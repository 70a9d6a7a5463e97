//! One session of an older server for all tabs: joined, renewed once for all, and ended by the last one.
//!
//! What is decided is decided in [`crate::mcp::shared`]. There is no background task: tabs find what they agreed on in the
//! store of secrets, one after the other under a lock, and see by each other's locks who is there.

use std::rc::Rc;

use super::{COURTESY, Connection, Inner};
use crate::drive::wait::{Cancel, within};
use crate::mcp::legacy::Session;
use crate::mcp::server::Link;
use crate::mcp::shared::{Ids, Shared, Use, terms};
use crate::platform::{self, Platform};
use crate::secret::Secret;

/// How the locks are called: of whoever begins, joins or ends a session, and of each one that uses one.
const GATE: &str = "begin ";
const USER: &str = "session ";

/// This tab's part in a session that is shared. Whoever drops it does not use it any more.
pub(super) struct Part<P: Platform> {
    /// What the tabs agree on: server, principal, and what is said to `initialize`.
    terms: String,
    /// The session's own.
    name: String,
    session: Session,
    /// The name of our lock.
    mine: String,
    _lock: P::Lock,
    /// The first request id that is not ours.
    pub(super) limit: u64,
    /// Another tab has begun it.
    joined: bool,
    /// The server does not know the session any more.
    lost: bool,
}

/// The right to begin or join a session; the next tab's when dropped.
pub(super) struct Gate<P: Platform> {
    terms: String,
    _lock: P::Lock,
}

/// The locks of all that use a session by these terms, or that one of them, begin so.
fn users(terms: &str, name: &str) -> String {
    let end = if name.is_empty() { "" } else { " " };
    [USER, terms, " ", name, end].concat()
}

impl<P: Platform> Inner<P> {
    /// What this tab agrees on with others; `None` where it shares its session with nobody.
    async fn terms(self: &Rc<Inner<P>>) -> Option<String> {
        if self.config.own_session || self.config.is_transport() {
            return None;
        }
        self.platform.is_held(GATE, "").await?;
        // A token that another page has left belongs to who we are.
        if let Some(authorizer) = &self.authorizer {
            authorizer.token().await.ok()?;
        }
        let principal = Connection(self.clone(), None).principal().await.ok()?;
        Some(platform::key(&[&self.config.identity(), &principal, &terms(&self.config)]))
    }

    /// The server may ask something of this client, or logs for it.
    pub(super) fn may_be_asked(&self) -> bool {
        self.config.answerers.has_function() || self.config.answerers.elicits() || self.config.log.listener.is_some()
    }

    /// Waits until no other tab begins or joins a session. `None` where none is shared, or another tab waits for the
    /// server in vain: then this one asks for itself.
    pub(super) async fn gate(self: &Rc<Inner<P>>) -> Option<Gate<P>> {
        let terms = self.terms().await?;
        let name = [GATE, &terms].concat();
        let lock = within(&*self.platform, self.config.timeout, &self.closed, self.platform.lock(&name)).await.ok()?;
        Some(Gate { terms, _lock: lock })
    }

    /// The session that other tabs use, with ids for this one; the request that lost one is not sent in it again.
    pub(super) async fn join(&self, gate: &Gate<P>) -> Option<Link> {
        let mine = match &*self.part.borrow() {
            Some(part) if part.terms == gate.terms => Some((part.name.clone(), part.lost)),
            _ => None,
        };
        // Nobody is there: what is kept, if anything, is of no use.
        if mine.is_none() && self.platform.is_held(&users(&gate.terms, ""), "").await != Some(true) {
            return None;
        }
        let kept = self.platform.load_secret(&gate.terms).await?;
        let mut shared = Shared::read(kept.reveal())?;
        let used = match mine {
            Some((name, lost)) if name == shared.name => {
                if lost {
                    Use::Lost
                } else {
                    Use::Mine
                }
            }
            _ => match self.platform.is_held(&users(&gate.terms, &shared.name), "").await {
                Some(true) => Use::Others,
                _ => Use::Nobody,
            },
        };
        let ids = shared.join(used, self.next_id.get())?;
        self.keep(gate, shared.clone(), ids, true).await;
        Some(shared.link)
    }

    /// Has other tabs know the session that this one has begun.
    pub(super) async fn share(self: &Rc<Inner<P>>, gate: &Gate<P>, link: &Link) {
        // Whoever signed in meanwhile is somebody else.
        if link.session.id.is_none() || self.terms().await.as_ref() != Some(&gate.terms) {
            self.part.take();
            return;
        }
        let name = self.platform.random().to_string();
        let (shared, ids) = Shared::begun(name, link.clone(), self.next_id.get());
        self.keep(gate, shared, ids, false).await;
    }

    /// Takes part in the session from now on.
    async fn keep(&self, gate: &Gate<P>, shared: Shared, ids: Ids, joined: bool) {
        self.platform.save_secret(&gate.terms, Some(&Secret::new(shared.to_text()))).await;
        let same = self.part.borrow().as_ref().is_some_and(|part| part.terms == gate.terms && part.name == shared.name);
        if !same {
            let mine = [users(&gate.terms, &shared.name), self.platform.random().to_string()].concat();
            let lock = self.platform.lock(&mine).await;
            let session = shared.link.session;
            let (terms, name) = (gate.terms.clone(), shared.name);
            let part = Part { terms, name, session, mine, _lock: lock, limit: 0, joined, lost: false };
            self.part.replace(Some(part));
        }
        self.next_id.set(ids.first);
        if let Some(part) = &mut *self.part.borrow_mut() {
            part.limit = ids.limit;
        }
    }

    /// Notes that the server does not know the session any more.
    pub(super) fn lose(&self, session: &Session) {
        if let Some(part) = self.part.borrow_mut().as_mut().filter(|part| part.session == *session) {
            part.lost = true;
        }
    }

    /// The session of that link is used by other tabs, or may be at any time.
    pub(super) fn is_shared(&self, link: &Link) -> bool {
        self.part.borrow().as_ref().is_some_and(|part| part.session == link.session)
    }

    /// What the tabs agree on that share the session, and listen to its stream together.
    pub(super) fn agreed(&self) -> Option<String> {
        self.part.borrow().as_ref().map(|part| part.terms.clone())
    }

    /// From which level on the server logs in the session, as it was told by any tab; or notes what it was told now.
    pub(super) async fn logged(&self, told: Option<&str>) -> Option<String> {
        let (terms, name) = self.part.borrow().as_ref().map(|part| (part.terms.clone(), part.name.clone()))?;
        let _gate = self.platform.lock(&[GATE, &terms].concat()).await;
        let kept = self.platform.load_secret(&terms).await?;
        let mut shared = Shared::read(kept.reveal()).filter(|shared| shared.name == name)?;
        if let Some(level) = told {
            shared.level = Some(level.to_owned());
            self.platform.save_secret(&terms, Some(&Secret::new(shared.to_text()))).await;
        }
        shared.level
    }

    /// The session of that link was begun by another tab.
    pub(super) fn has_joined(&self, link: &Link) -> bool {
        self.part.borrow().as_ref().is_some_and(|part| part.joined && part.session == link.session)
    }

    /// The ids that are ours are used up.
    pub(super) fn is_spent(&self) -> bool {
        self.part.borrow().as_ref().is_some_and(|part| self.next_id.get() >= part.limit)
    }

    /// Leaves the session, and ends it if nobody else uses it.
    pub(super) async fn leave(&self, part: Part<P>) {
        let farewell = async {
            let _gate = self.platform.lock(&[GATE, &part.terms].concat()).await;
            let others = self.platform.is_held(&users(&part.terms, &part.name), &part.mine).await;
            if part.lost || others != Some(false) {
                return;
            }
            let kept = self.platform.load_secret(&part.terms).await.and_then(|kept| Shared::read(kept.reveal()));
            if kept.is_some_and(|shared| shared.name == part.name) {
                self.platform.save_secret(&part.terms, None).await;
            }
            self.end(&part.session).await;
        };
        let _ = within(&*self.platform, COURTESY, &Cancel::new(), farewell).await;
    }
}
