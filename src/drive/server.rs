//! One MCP server of an agent: its connection and the tools it lists.

mod follow;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_util::lock::Mutex;
use serde_json::Value;

use crate::cache::is_outage;
use crate::drive::cache::Cache;
use crate::drive::mcp::Connection;
use crate::drive::trust::{changed_tools, compare};
use crate::drive::wait::{Cancel, unless_cancelled, within};
use crate::error::{Code, Error, Result};
use crate::json;
use crate::mcp::call_options::{CallOptions, Mode};
use crate::mcp::config::ServerConfig;
use crate::mcp::lists::{List, Listing, Until};
use crate::mcp::server::State as ServerState;
use crate::mcp::text::clean;
use crate::mcp::types::Tool;
use crate::platform::Platform;
use crate::time::Millis;

/// How long a list of tools that is there and over is waited for.
const RENEWAL: Millis = Millis::from_secs(1);

/// One MCP server of an agent.
pub(crate) struct Server<P: Platform> {
    pub(crate) name: String,
    pub(crate) config: ServerConfig,
    pub(crate) connection: Connection<P>,
    pub(super) platform: Rc<P>,
    tools: RefCell<Rc<[Tool]>>,
    /// What could not be checked.
    warnings: RefCell<Vec<String>>,
    state: Cell<ServerState>,
    error: RefCell<Option<Error>>,
    /// Held while somebody connects: any number of runs share one attempt and its outcome, and when the one that
    /// makes it is cancelled the next in line makes its own.
    connecting: Mutex<()>,
    /// Attempts that came to an end, well or not.
    attempts: Cell<u64>,
    /// From when on the tools are to be listed anew.
    until: Cell<Until>,
    /// A run gave up waiting for it.
    slow: Cell<bool>,
    /// The tools were just listed, so that nothing can have been missed.
    fresh: Cell<bool>,
}

impl<P: Platform> Server<P> {
    pub(super) fn new(platform: Rc<P>, config: ServerConfig, cache: Rc<Cache<P>>) -> Server<P> {
        Server {
            name: config.name.clone(),
            connection: Connection::over(platform.clone(), config.clone(), Some(cache)),
            platform,
            config,
            tools: RefCell::new(Rc::from([])),
            warnings: RefCell::default(),
            state: Cell::new(ServerState::Idle),
            error: RefCell::new(None),
            connecting: Mutex::new(()),
            attempts: Cell::new(0),
            until: Cell::default(),
            slow: Cell::new(false),
            fresh: Cell::new(false),
        }
    }

    pub(crate) fn state(&self) -> ServerState {
        self.state.get()
    }

    /// A run waited for it as long as runs do.
    pub(crate) fn give_up_waiting(&self) {
        if self.state.get() == ServerState::Connecting {
            self.slow.set(true);
        }
    }

    fn is_down(&self) -> bool {
        matches!(self.state.get(), ServerState::Failed | ServerState::AuthRequired)
    }

    /// Notes that a call failed, if that is because a user has to sign in anew.
    pub(crate) fn note_failure(&self, error: &Error) {
        if error.authorization_url.is_some() && self.state.get() == ServerState::Ready {
            *self.error.borrow_mut() = Some(error.clone());
            self.state.set(ServerState::AuthRequired);
        }
    }

    /// It failed, or was too slow, the last time: not worth a long wait.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.slow.get() || self.is_down()
    }

    /// The tools of the last listing that worked.
    pub(crate) fn tools(&self) -> Rc<[Tool]> {
        self.tools.borrow().clone()
    }

    /// Adds a warning to those of the connection; the first fifty, each once.
    pub(crate) fn warn(&self, words: String) {
        let words = clean(&words, 300);
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() < 50 && !warnings.contains(&words) {
            warnings.push(words);
        }
    }

    pub(super) fn set_tools(&self, tools: Rc<[Tool]>) {
        *self.tools.borrow_mut() = tools;
    }

    /// Connects and lists the tools, unless that is done. `changed` is told of each change of state.
    ///
    /// # Errors
    ///
    /// Why the server cannot be used; [`Server::to_json`] shows it until it works, but for a cancel, which is no fault of the server.
    pub(crate) async fn ensure(
        &self,
        cancel: &Cancel,
        changed: &mut dyn FnMut(ServerState, Option<Error>),
    ) -> Result<()> {
        let cancelled = || Error::cancelled(&["connecting to ", self.name.as_str()].concat());
        let before = self.attempts.get();
        let _turn = unless_cancelled(cancel, self.connecting.lock()).await.map_err(|_| cancelled())?;
        match self.state.get() {
            ServerState::Ready => {
                if self.attempts.get() != before {
                    changed(ServerState::Ready, None);
                }
                return Ok(());
            }
            ServerState::Closed => {
                return Err(Error::new(Code::Misuse, [&self.name, ": the server was closed"].concat()));
            }
            state if self.is_down() && self.attempts.get() != before => {
                let error = self.error.borrow().clone().unwrap_or_else(cancelled);
                changed(state, Some(error.clone()));
                return Err(error);
            }
            ServerState::Idle | ServerState::Connecting | ServerState::Failed | ServerState::AuthRequired => {}
        }
        // Also when this future is dropped half way: then nobody is connecting any more.
        let back = Back { server: self };
        self.state.set(ServerState::Connecting);
        changed(ServerState::Connecting, None);
        let listed = match self.connection.connect(cancel).await {
            Ok(()) => self.look(Mode::Default, cancel).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &listed
            && is_outage(error)
        {
            self.recall(cancel).await;
        }
        drop(back);
        if self.state.get() == ServerState::Closed {
            return Err(cancelled());
        }
        self.attempts.set(self.attempts.get() + 1);
        match listed {
            Ok(tools) => {
                self.set_tools(tools);
                *self.error.borrow_mut() = None;
                self.state.set(ServerState::Ready);
                self.slow.set(false);
                self.fresh.set(true);
                changed(ServerState::Ready, None);
                Ok(())
            }
            Err(error) if error.code == Code::Cancelled => Err(error),
            Err(error) => {
                let state = ServerState::after(&error);
                *self.error.borrow_mut() = Some(error.clone());
                self.state.set(state);
                changed(state, Some(error.clone()));
                Err(error)
            }
        }
    }

    /// The tools as they are listed now, or as far as `mode` allows were a while ago; compared with what they were before.
    async fn look(&self, mode: Mode, cancel: &Cancel) -> Result<Rc<[Tool]>> {
        let (mut tools, left) = self.connection.tools(mode, cancel).await?;
        compare(&*self.platform, &self.config, &mut tools).await;
        self.until.set(Until::new(left, self.platform.now()));
        Ok(tools.into())
    }

    /// Knows the tools of a server that was not asked, or cannot be, from what it said before, if that is kept. What is
    /// cached of their results can answer then.
    pub(crate) async fn recall(&self, cancel: &Cancel) {
        if self.tools.borrow().is_empty()
            && let Ok(tools) = self.look(Mode::OnlyIfCached, cancel).await
        {
            self.set_tools(tools);
        }
    }

    /// The list of tools is over: its server said so, or says nothing and a minute has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.state.get() == ServerState::Ready && self.until.get().is_over(self.platform.now())
    }

    /// Lists the tools anew, unless somebody did while this waited; true when they are there. What cannot be had within a
    /// second leaves the tools as they are, for a minute.
    pub(crate) async fn renew(&self, cancel: &Cancel) -> bool {
        let before = self.attempts.get();
        let Ok(_turn) = unless_cancelled(cancel, self.connecting.lock()).await else { return false };
        if self.attempts.get() != before || self.state.get() != ServerState::Ready {
            return self.state.get() == ServerState::Ready;
        }
        self.until.set(Until::new(None, self.platform.now()));
        let looked = within(&*self.platform, RENEWAL, cancel, self.look(Mode::Default, cancel)).await;
        self.attempts.set(self.attempts.get() + 1);
        let Ok(Ok(tools)) = looked else { return false };
        if self.state.get() == ServerState::Ready {
            self.set_tools(tools);
            self.fresh.set(true);
        }
        true
    }

    /// The elements of a list, as far as `mode` allows as they were a while ago; `None` when the server does not declare the
    /// list.
    ///
    /// # Errors
    ///
    /// Why the list could not be had; [`Server::to_json`] shows it, but for a cancel.
    pub(crate) async fn list(&self, list: List, mode: Mode, cancel: &Cancel) -> Result<Option<Listing>> {
        let mut options = CallOptions { cache: mode, ..CallOptions::default() };
        match self.state.get() {
            ServerState::Ready if self.connection.declares(list.capability()) => {}
            ServerState::Ready => return Ok(None),
            _ if mode == Mode::OnlyIfCached => {}
            _ => {
                let error = self.error.borrow().clone();
                let error = error.unwrap_or_else(|| Error::cancelled(&["connecting to ", &self.name].concat()));
                // What is kept answers while it cannot be asked.
                options.cache = Mode::OnlyIfCached;
                if mode != Mode::Default || !is_outage(&error) {
                    return Err(error);
                }
                return self.connection.list(list, &options, cancel).await.map(Some).map_err(|_| error);
            }
        }
        let listed = self.connection.list(list, &options, cancel).await;
        if let Err(error) = &listed
            && mode != Mode::OnlyIfCached
            && error.code != Code::Cancelled
        {
            *self.error.borrow_mut() = Some(error.clone());
        }
        listed.map(Some)
    }

    /// Ends the connection for good.
    pub(crate) async fn close(&self) {
        self.state.set(ServerState::Closed);
        *self.tools.borrow_mut() = Rc::from([]);
        self.connection.close().await;
    }

    /// `ServerInfo` as the app sees it.
    pub(crate) fn to_json(&self) -> Value {
        let mut info = self.connection.info();
        info.warnings.extend(self.warnings.borrow().iter().cloned());
        let mut info = info.to_value();
        if let Some(map) = info.as_object_mut() {
            map.insert("state".into(), json::tree(&self.state.get()));
            let tools = self.tools.borrow();
            map.insert("tools".into(), Value::from(tools.len()));
            if let Some(changed) = changed_tools(&tools) {
                map.insert("changedTools".into(), changed);
            }
            if let Some(error) = &*self.error.borrow() {
                map.insert("error".into(), json::tree(error));
            }
        }
        info
    }
}

struct Back<'a, P: Platform> {
    server: &'a Server<P>,
}

impl<P: Platform> Drop for Back<'_, P> {
    fn drop(&mut self) {
        if self.server.state.get() == ServerState::Connecting {
            self.server.state.set(ServerState::Idle);
        }
    }
}
