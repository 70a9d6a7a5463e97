//! One stream for all tabs of an origin that watch the same server as the same principal.
//!
//! A browser has six connections to a server of HTTP/1.1, for all its tabs together: with a stream for each, the seventh tab
//! would hang. So the tabs ask for one lock. Whoever has it listens for all, and the others hear from it; when it goes, or is
//! killed, the lock goes to the next one, and all are told of the gap. A tab that holds a lock is not frozen by the browser.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Connection;
use super::hub::Hub;
use crate::drive::mcp::Inner;
use crate::drive::wait::Cancel;
use crate::error::Result;
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
        let mut place: Place<'_, P> = Place { hub: &inner.hub, circle, hearing, tabs, said: None };
        let _me = inner.platform.lock(&[TAB, place.tabs.me()].concat()).await;
        let mut turn: Wait<'_, P::Lock> = Box::pin(inner.platform.lock(&name));
        let mut listening: Option<(P::Lock, Wait<'_, Result<()>>)> = None;
        let mut lives: Vec<(String, Wait<'_, P::Lock>)> = Vec::new();
        poll_fn(|context| {
            place.hear(listening.is_some(), context);
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
        let principal = self.principal().await.ok()?;
        Some(["watch ", &platform::key(&[&self.0.config.identity(), &principal])].concat())
    }
}

impl<P: Platform> Inner<P> {
    /// No other tab could listen for us: only this one reaches the server, or what it asks on the stream is for this one.
    fn listens_alone(&self, link: &Link) -> bool {
        let asked = link.era == Era::Legacy && (self.hub.has_ears() || link.session.endpoint.is_some());
        asked || self.config.is_transport()
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
                // There is one lock, so what is still told comes from before it was ours.
                _ if leads => {}
                Word::Wants(_) | Word::Gone => {}
                Word::Leads => {
                    self.hub.lost();
                    self.said = None;
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

impl<P: Platform> Drop for Place<'_, P> {
    fn drop(&mut self) {
        self.hub.lead(false);
        self.hub.lost();
        self.say(&Word::Gone);
    }
}
