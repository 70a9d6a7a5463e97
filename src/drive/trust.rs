//! Remembers how a server's tools were defined when they were first seen or approved.

use std::rc::Rc;

use crate::drive::server::Server;
use crate::mcp::trust::{Change, Known, OnChange, store_key};
use crate::mcp::types::Tool;
use crate::platform::Platform;

impl<P: Platform> Server<P> {
    /// Notes on each tool of a fresh listing whether it is what it was, and remembers what is new.
    pub(super) async fn compare(&self, tools: &mut [Tool]) {
        let on_change = self.config.on_change;
        if on_change == OnChange::Ignore {
            return;
        }
        let mut known = self.known().await;
        let mut news = false;
        for tool in tools {
            news |= known.is_new(&tool.name);
            let Some(parts) = known.judge(&tool.name, &tool.fingerprint) else { continue };
            let asks = on_change == OnChange::Approve;
            if !asks {
                known.accept(&tool.name, &tool.fingerprint);
                news = true;
            }
            tool.changed = Some(Change { parts, fingerprint: tool.fingerprint.clone(), asks });
        }
        if news {
            self.remember(&known).await;
        }
    }

    /// Takes the definition with that fingerprint for the one that was approved. False when it is none of ours.
    pub(super) async fn accept(&self, name: &str, fingerprint: &str) -> bool {
        let listed = self.tools();
        let Some(place) = listed.iter().position(|tool| tool.name == name && tool.fingerprint == fingerprint) else {
            return false;
        };
        if listed[place].changed.as_ref().is_some_and(|change| change.asks) {
            let mut tools = listed.to_vec();
            tools[place].changed = None;
            self.set_tools(Rc::from(tools));
            let mut known = self.known().await;
            known.accept(name, fingerprint);
            self.remember(&known).await;
        }
        true
    }

    async fn known(&self) -> Known {
        let stored = self.platform.load(&store_key(&self.config.store_name())).await;
        stored.map_or_else(Known::default, |text| Known::read(&text))
    }

    async fn remember(&self, known: &Known) {
        self.platform.save(&store_key(&self.config.store_name()), Some(known.text().as_bytes())).await;
    }
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
