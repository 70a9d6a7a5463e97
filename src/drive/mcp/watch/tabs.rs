//! One stream for all tabs of an origin that watch the same server as the same principal.
//!
//! A browser has six connections to a server of HTTP/1.1, for all its tabs together: with a stream for each, the seventh tab
//! would hang. So the tabs ask for one lock. Whoever has it listens for all, and the others hear from it; when it goes, or is
//! killed, the lock goes to the next one, and all are told of the gap. A tab that holds a lock is not frozen by the browser.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use serde_json::Value;

use super::Connection;
use super::hub::Hub;
use crate::drive::mcp::Inner;
use crate::drive::mcp::answers::{Asked, MOST_AT_ONCE};
use crate::drive::wait::Cancel;
use crate::error::Result;
use crate::json;
use crate::jsonrpc::{self, Message, RequestId};
use crate::mcp::era::Era;
use crate::mcp::listen::Filter;
use crate::mcp::server::Link;
use crate::mcp::tabs::{Tabs, Word};
use crate::platform::{self, Circle, Platform};

/// How a tab's own lock is called, by its name: who gets it knows that the tab is gone.
const TAB: &str = "tab ";

/// Something to wait for.
type Wait<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A place among the tabs; it says goodbye when dropped.
struct Place<'a, P: Platform> {
    hub: &'a Hub,
    circle: &'a P::Circle,
    hearing: Wait<'a, String>,
    tabs: Tabs,
    /// What we said last that we want.
    said: Option<Filter>,
    /// The same of what the server asks or logs, with our last call.
    listened: Option<(bool, Option<u64>)>,
    /// What we are to answer, and what else came for us.
    asks: Vec<Message>,
}

impl<P: Platform> Connection<P> {
    /// The work of all watches: listens, or hears what another tab is told.
    pub(super) async fn keep_told(&self) -> Result<()> {
        let outcome = async {
            let link = self.link(&Cancel::new()).await?;
            match self.take_turns(&link).await {
                Some(outcome) => outcome,
                None => self.keep_listening(false).await,
            }
        };
        let outcome = outcome.await;
        // Whoever watches anew begins anew.
        *self.0.hub.pump.borrow_mut() = None;
        outcome
    }

    /// Listens when it is our turn. `None` where nothing is shared, or no longer.
    async fn take_turns(&self, link: &Link) -> Option<Result<()>> {
        let inner = &*self.0;
        if inner.listens_alone(link) {
            return None;
        }
        let name = self.circle_name().await?;
        let circle = &inner.platform.circle(&name)?;
        let tabs = Tabs::new(inner.platform.random().to_string());
        let hearing: Wait<'_, String> = Box::pin(circle.hear());
        let mut place: Place<'_, P> =
            Place { hub: &inner.hub, circle, hearing, tabs, said: None, listened: None, asks: Vec::new() };
        let mut desk: Vec<(RequestId, Wait<'_, ()>)> = Vec::new();
        let _me = inner.platform.lock(&[TAB, place.tabs.me()].concat()).await;
        let mut turn: Wait<'_, P::Lock> = Box::pin(inner.platform.lock(&name));
        let mut listening: Option<(P::Lock, Wait<'_, Result<()>>)> = None;
        let mut lives: Vec<(String, Wait<'_, P::Lock>)> = Vec::new();
        poll_fn(|context| {
            place.hear(listening.is_some(), context);
            place.mind(listening.is_some());
            place.asks.drain(..).for_each(|message| inner.attend_to(message, &mut desk));
            desk.retain_mut(|(_, work)| work.as_mut().poll(context).is_pending());
            if listening.is_none() {
                if inner.listens_alone(inner.status.borrow().link.as_deref().unwrap_or(link)) {
                    inner.hub.lost();
                    return Poll::Ready(None);
                }
                if let Poll::Ready(lock) = turn.as_mut().poll(context) {
                    let told = inner.hub.lost();
                    if inner.status.borrow().link.as_ref().is_some_and(|link| inner.is_shared(link)) {
                        inner.hub.unlearn();
                    }
                    inner.hub.lead(true);
                    place.tabs.begin();
                    place.listened = None;
                    place.say(&Word::Leads);
                    inner.hub.set_others(place.tabs.wanted());
                    listening = Some((lock, Box::pin(self.keep_listening(told))));
                }
            }
            let Some((_, work)) = &mut listening else {
                place.want();
                inner.hub.wait(context);
                return Poll::Pending;
            };
            inner.note_deaths(&mut place, &mut lives, context);
            place.mind(true);
            let ended = work.as_mut().poll(context);
            inner.hub.take_outbox().iter().for_each(|word| place.say(word));
            inner.hub.wait(context);
            ended.map(Some)
        })
        .await
    }
}

impl<P: Platform> Connection<P> {
    /// How the circle of those is called for whom one listens, and the lock of whoever does. `None` where the app's function
    /// for the token failed.
    pub(super) async fn circle_name(&self) -> Option<String> {
        // Only on the stream of one's own session is one asked.
        if let Some(terms) = self.0.agreed().filter(|_| self.0.may_be_asked()) {
            return Some(["listen ", &terms].concat());
        }
        let principal = self.principal().await.ok()?;
        Some(["watch ", &platform::key(&[&self.0.config.identity(), &principal])].concat())
    }
}

impl<P: Platform> Inner<P> {
    /// No other tab could listen for us: only this one reaches the server, or what it asks on the stream is for this one.
    fn listens_alone(&self, link: &Link) -> bool {
        let alone = || link.session.endpoint.is_some() || self.hub.has_ears() && !self.is_shared(link);
        self.config.is_transport() || link.era == Era::Legacy && alone()
    }

    /// Takes what another tab heard for us on the stream of the session.
    fn attend_to<'a>(&'a self, message: Message, desk: &mut Vec<(RequestId, Wait<'a, ()>)>) {
        match message {
            Message::Request { id, method, params } => {
                let Some(link) = self.status.borrow().link.clone().filter(|_| desk.len() < MOST_AT_ONCE) else {
                    return;
                };
                let asked = Asked { id: id.clone(), method, params };
                let work = async move {
                    self.serve(asked, &link.session, Some(&self.hub), &Cell::new(false)).await;
                };
                desk.push((id, Box::pin(work)));
            }
            Message::Notification { method, params } if method == "notifications/progress" => {
                let _ = self.inbox.deliver(Message::Notification { method, params });
            }
            Message::Notification { method, params } => {
                self.note_log(&method, params.as_ref());
                if method == "notifications/cancelled"
                    && let Some(over) = params.as_ref().and_then(|params| params.get("requestId"))
                {
                    desk.retain(|(id, _)| !id.equals(over));
                }
            }
            answer => {
                let _ = self.inbox.deliver(answer);
            }
        }
    }

    /// Waits for the end of every tab for which we listen, since one that is killed does not say goodbye.
    fn note_deaths<'a>(
        &'a self,
        place: &mut Place<'_, P>,
        lives: &mut Vec<(String, Wait<'a, P::Lock>)>,
        context: &mut Context<'_>,
    ) {
        let others = place.tabs.others();
        lives.retain(|(id, _)| others.contains(&id.as_str()));
        for id in others {
            if !lives.iter().any(|(known, _)| known == id) {
                let name = [TAB, id].concat();
                lives.push((id.to_owned(), Box::pin(async move { self.platform.lock(&name).await })));
            }
        }
        let before = lives.len();
        lives.retain_mut(|(id, life)| {
            let gone = life.as_mut().poll(context).is_ready();
            if gone {
                place.tabs.leave(id);
            }
            !gone
        });
        if lives.len() < before {
            self.hub.set_others(place.tabs.wanted());
        }
    }
}

impl<P: Platform> Place<'_, P> {
    fn say(&self, word: &Word) {
        self.circle.say(&self.tabs.write(word));
    }

    /// Says what we want, if it is something else than before.
    fn want(&mut self) {
        let wanted = self.hub.own();
        if self.said.as_ref() != Some(&wanted) {
            self.say(&Word::Wants(wanted.clone()));
            self.said = Some(wanted);
        }
    }

    /// Says whether we listen for what the server asks, and have begun a call; whoever leads sees who is asked.
    fn mind(&mut self, leads: bool) {
        let own = self.hub.own_ears();
        if self.listened.unwrap_or_default() != own {
            if !leads {
                self.say(&Word::Ears(own.0, own.1.is_some()));
            }
            let me = self.tabs.me().to_owned();
            self.tabs.note_ears(&me, own.0, own.1.is_some());
        }
        self.listened = Some(own);
        if leads {
            self.hub.set_ears(self.tabs.others_listen(), self.tabs.asked());
        }
    }

    /// Takes what was said since.
    fn hear(&mut self, leads: bool, context: &mut Context<'_>) {
        loop {
            let Poll::Ready(text) = self.hearing.as_mut().poll(context) else { return };
            self.hearing = Box::pin(self.circle.hear());
            let Some(heard) = self.tabs.hear(&text) else { continue };
            match heard.word {
                Word::Wants(_) | Word::Gone if leads => {
                    self.hub.set_others(self.tabs.wanted());
                    if let Some(open) = self.hub.standing() {
                        self.say(&open);
                    }
                }
                Word::Ask(to, message) => {
                    if to == self.tabs.me() {
                        self.asks.extend(read(&message));
                    }
                }
                // There is one lock, so what is still told comes from before it was ours.
                _ if leads => {}
                Word::Wants(_) | Word::Gone | Word::Ears(..) => {}
                Word::Heard(message) => self.asks.extend(read(&message)),
                Word::Leads => {
                    self.hub.lost();
                    self.said = None;
                    self.listened = None;
                }
                Word::Lost => {
                    self.hub.lost();
                }
                Word::Open(asked, honoured) => {
                    if heard.moved {
                        self.hub.lost();
                    }
                    self.hub.hear_of(&honoured);
                    self.hub.established(&asked, &honoured);
                }
                Word::Changed(change) => self.hub.tell(change),
            }
        }
    }
}

/// A message that another tab handed on.
fn read(message: &Value) -> Option<Message> {
    jsonrpc::parse(json::text(message).as_bytes()).ok()
}

impl<P: Platform> Drop for Place<'_, P> {
    fn drop(&mut self) {
        self.hub.lead(false);
        self.hub.lost();
        self.say(&Word::Gone);
    }
}
