//! Remembers how a server's tools were defined when they were first seen or approved.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::drive::client::Client;
use crate::drive::server::Server;
use crate::error::{Code, Error, Result};
use crate::mcp::config::ServerConfig;
use crate::mcp::trust::{self, Change, Known, OnChange};
use crate::mcp::types::Tool;
use crate::platform::{self, Platform, Space, Write};

/// Notes on each tool of a fresh listing whether it is what it was, and remembers what is new.
pub(super) async fn compare<P: Platform>(platform: &P, config: &ServerConfig, tools: &mut [Tool]) {
    let on_change = config.on_change;
    if on_change == OnChange::Ignore {
        return;
    }
    let mut known = known(platform, config).await;
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
        remember(platform, config, &known).await;
    }
}

/// Takes the definition of the tool at that place for the one that was approved; gives the tools as they are then.
async fn approve<P: Platform>(platform: &P, config: &ServerConfig, listed: &[Tool], place: usize) -> Rc<[Tool]> {
    let mut tools = listed.to_vec();
    tools[place].changed = None;
    let mut known = known(platform, config).await;
    known.accept(&tools[place].name, &tools[place].fingerprint);
    remember(platform, config, &known).await;
    Rc::from(tools)
}

async fn known<P: Platform>(platform: &P, config: &ServerConfig) -> Known {
    let stored = platform.load(Space::Servers, &place(config)).await;
    stored.map_or_else(Known::default, |text| Known::read(&text))
}

async fn remember<P: Platform>(platform: &P, config: &ServerConfig, known: &Known) {
    // What is not kept is seen for the first time again.
    let _ = platform.write(vec![Write::put(Space::Servers, place(config), known.text())]).await;
}

fn place(config: &ServerConfig) -> String {
    platform::key(&[&config.identity(), "tools"])
}

/// What the app is told of the tools whose definition has changed; `None` when there are none.
pub(super) fn changed_tools(tools: &[Tool]) -> Option<Value> {
    let told = |tool: &Tool| {
        let change = tool.changed.as_ref()?;
        let name = trust::visible(&tool.name).unwrap_or_else(|| tool.name.clone());
        Some(json!({ "name": name, "parts": change.parts, "needsApproval": change.asks }))
    };
    let changed: Vec<Value> = tools.iter().filter_map(told).collect();
    (!changed.is_empty()).then_some(Value::Array(changed))
}

impl<P: Platform> Server<P> {
    /// Takes the definition with that fingerprint for the one that was approved. False when it is none of ours.
    pub(super) async fn accept(&self, name: &str, fingerprint: &str) -> bool {
        let listed = self.tools();
        let Some(place) = listed.iter().position(|tool| tool.name == name && tool.fingerprint == fingerprint) else {
            return false;
        };
        if listed[place].changed.as_ref().is_some_and(|change| change.asks) {
            self.set_tools(approve(&*self.platform, &self.config, &listed, place).await);
        }
        true
    }
}

impl<P: Platform> Client<P> {
    /// Takes the definition of a tool that has changed, see `changedTools` in [`Client::info`], for approved.
    ///
    /// # Errors
    ///
    /// `misuse` for a tool that was not listed.
    pub async fn accept_tool(&self, name: &str) -> Result<()> {
        let connection = self.connection();
        let listed = connection.listed();
        let Some(place) = listed.iter().position(|tool| tool.name == name) else {
            return Err(Error::new(Code::Misuse, ["no tool `", name, "` was listed"].concat()));
        };
        if listed[place].changed.is_some() {
            let tools = approve(connection.platform(), connection.config(), &listed, place).await;
            connection.set_listed(tools);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
