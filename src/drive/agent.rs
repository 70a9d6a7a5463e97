//! The agent as the app holds it: servers, tools, and runs.

mod begin;
mod calls;
mod lists;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::Value;

use crate::agent::catalog::Catalog;
use crate::agent::config::{AgentConfig, Approval};
use crate::agent::context::ContextConfig;
#[cfg(not(target_arch = "wasm32"))]
use crate::agent::run::Run;
use crate::agent::view::Rate;
use crate::drive::cache::Cache;
use crate::drive::context::Lists;
use crate::drive::conversation::Conversations;
use crate::drive::live::Watchers;
use crate::drive::server::Server;
use crate::drive::wait::{Cancel, Jobs};
use crate::error::{Code, Error, Result};
use crate::llm::config::{ModelConfig, Provider};
use crate::llm::thread::Threads;
use crate::llm::tools::tool_definitions;
use crate::mcp::config::ServerConfig;
use crate::mcp::server::State as ServerState;
use crate::mcp::types::Tool;
use crate::options::FunctionId;
use crate::platform::Platform;

pub(crate) use begin::Purpose;

/// An agent: a model, MCP servers, the app's tools, and what binds them. Clones share it.
pub struct Agent<P: Platform>(Rc<Inner<P>>);

impl<P: Platform> Clone for Agent<P> {
    fn clone(&self) -> Agent<P> {
        Agent(self.0.clone())
    }
}

struct Inner<P: Platform> {
    platform: Rc<P>,
    model: Rc<ModelConfig>,
    /// Everything but the servers, which come and go.
    config: AgentConfig,
    servers: RefCell<Vec<Rc<Server<P>>>>,
    cache: Rc<Cache<P>>,
    /// Rebuilt after a server's tools changed.
    catalog: RefCell<Option<Rc<Catalog>>>,
    /// Keys of what users have allowed for good, once they are read.
    approved: RefCell<Option<Vec<String>>>,
    /// Names of the tools that models were offered last, where not all are.
    offered: RefCell<Vec<String>>,
    closed: Cell<bool>,
    lists: Lists,
    conversations: Conversations,
    watchers: Watchers,
    /// Conversations that providers hold.
    threads: Rc<RefCell<Threads>>,
    /// How many characters are how many tokens, as far as the last run knew.
    rate: Cell<Rate>,
    /// How many tokens a request to each model may be, as far as their providers have told.
    rooms: RefCell<Vec<Option<u64>>>,
    #[cfg(not(target_arch = "wasm32"))]
    checkpoint: Cell<Option<Checkpoint>>,
}

/// What a test does to a run between two facts: store it and load it again.
#[cfg(not(target_arch = "wasm32"))]
pub type Checkpoint = fn(Run) -> Run;

impl<P: Platform> Agent<P> {
    /// An agent that has not spoken to anybody yet.
    pub fn new(platform: Rc<P>, mut config: AgentConfig) -> Agent<P> {
        let servers = std::mem::take(&mut config.servers);
        let on_input = config.on_input;
        let cache = Rc::new(Cache::new(platform.clone(), config.cache.clone()));
        let server = |server| Rc::new(Server::new(platform.clone(), asking(server, on_input), cache.clone()));
        let servers = servers.into_iter().map(server).collect();
        let owner = platform.random();
        Agent(Rc::new(Inner {
            lists: Lists::new(owner),
            rate: Cell::new(Rate::default()),
            rooms: RefCell::default(),
            cache,
            platform,
            model: Rc::new(config.model.clone()),
            config,
            servers: RefCell::new(servers),
            catalog: RefCell::new(None),
            approved: RefCell::default(),
            offered: RefCell::default(),
            closed: Cell::new(false),
            conversations: Conversations::default(),
            watchers: Watchers::default(),
            threads: Rc::default(),
            #[cfg(not(target_arch = "wasm32"))]
            checkpoint: Cell::new(None),
        }))
    }

    /// Connects every server that is not ready, all at once, and waits for them; lists the tools of the others anew where
    /// their list is over. One that cannot be used says why in [`Agent::servers`]; it never stops the others.
    ///
    /// # Errors
    ///
    /// `cancelled`, and `misuse` after [`Agent::close`].
    pub async fn connect(&self, cancel: &Cancel) -> Result<()> {
        self.connect_all(true, cancel).await
    }

    pub(crate) async fn connect_all(&self, renew: bool, cancel: &Cancel) -> Result<()> {
        self.check_open()?;
        let servers = self.servers_now();
        // What went wrong with each is kept by it.
        let mut jobs = Jobs::default();
        for server in &servers {
            jobs.push(async {
                if renew && server.is_over() {
                    self.renew(server, cancel).await;
                } else {
                    let _ = self.ensure(server, cancel, &mut |_, _| ()).await;
                }
            });
        }
        jobs.finish().await;
        if cancel.is_cancelled() { Err(Error::cancelled("connect")) } else { Ok(()) }
    }

    /// Array of `ServerInfo`, in the app's order.
    pub fn servers(&self) -> Value {
        self.0.servers.borrow().iter().map(|server| server.to_json()).collect()
    }

    /// Array of `ToolInfo` of every tool known now, in canonical order.
    pub fn tools(&self) -> Value {
        self.catalog().to_json(self.0.config.approval)
    }

    /// The tools in a provider's own form, as its API takes them in `tools`.
    pub fn tool_definitions(&self, format: Provider) -> Value {
        tool_definitions(format, &self.catalog().definitions())
    }

    /// Adds a server; it is connected by the next run or by [`Agent::connect`].
    ///
    /// # Errors
    ///
    /// `config` when there is a server of that name, `misuse` after [`Agent::close`].
    pub fn add_server(&self, config: ServerConfig) -> Result<()> {
        self.check_open()?;
        let mut servers = self.0.servers.borrow_mut();
        if servers.iter().any(|server| server.name == config.name) {
            return Err(Error::config("name", &["another server is named `", &config.name, "` already"].concat()));
        }
        let (platform, cache) = (self.0.platform.clone(), self.0.cache.clone());
        servers.push(Rc::new(Server::new(platform, asking(config, self.0.config.on_input), cache)));
        Ok(())
    }

    /// Closes a server's connection and forgets it. Calls of it that are still open fail.
    ///
    /// # Errors
    ///
    /// `misuse` when there is no server of that name.
    pub async fn remove_server(&self, name: &str) -> Result<()> {
        let removed = {
            let mut servers = self.0.servers.borrow_mut();
            let place = servers.iter().position(|server| server.name == name);
            place.map(|place| servers.remove(place))
        };
        let Some(server) = removed else {
            return Err(unknown_server(name));
        };
        *self.0.catalog.borrow_mut() = None;
        server.close().await;
        Ok(())
    }

    /// Tells every server that the roots are others now.
    pub async fn roots_changed(&self) {
        let servers = self.servers_now();
        let mut jobs = Jobs::default();
        for server in &servers {
            jobs.push(server.connection.roots_changed());
        }
        jobs.finish().await;
    }

    /// The conversations that providers hold.
    pub(crate) fn threads(&self) -> Rc<RefCell<Threads>> {
        self.0.threads.clone()
    }

    /// How many characters are how many tokens, as far as is known.
    pub(super) fn rate(&self) -> Rate {
        self.0.rate.get()
    }

    /// A run has learned how many characters are how many tokens.
    pub(crate) fn note_rate(&self, rate: Rate) {
        self.0.rate.set(rate);
    }

    /// A run has been told how much fits its models.
    pub(crate) fn note_rooms(&self, told: &[Option<u64>]) {
        let mut rooms = self.0.rooms.borrow_mut();
        if rooms.len() < told.len() {
            rooms.resize(told.len(), None);
        }
        for (room, told) in rooms.iter_mut().zip(told) {
            *room = told.or(*room);
        }
    }

    /// What runs were told, by model.
    pub(super) fn told_rooms(&self) -> Vec<Option<u64>> {
        self.0.rooms.borrow().clone()
    }

    pub(crate) fn model_config(&self) -> Rc<ModelConfig> {
        self.0.model.clone()
    }

    /// How many conversations are remembered, and how many messages of them are in memory, for tests.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn remembered(&self) -> (usize, usize) {
        self.0.conversations.size()
    }

    pub(crate) fn conversations(&self) -> &Conversations {
        &self.0.conversations
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.closed.get()
    }

    /// When the user is asked.
    pub(crate) fn approval(&self) -> Approval {
        self.0.config.approval
    }

    /// Whether models are offered `run_plan`.
    pub(crate) fn offers_plans(&self) -> bool {
        self.0.config.plans
    }

    /// Closes every connection. Runs that are still open find their servers gone.
    pub async fn close(&self) {
        self.0.closed.set(true);
        let servers = self.0.servers.take();
        *self.0.catalog.borrow_mut() = None;
        let mut jobs = Jobs::default();
        for server in &servers {
            jobs.push(server.close());
        }
        jobs.finish().await;
    }

    /// Has every run of this agent pass through `checkpoint` before each wait, as if it were stored and loaded.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn set_checkpoint(&self, checkpoint: Checkpoint) {
        self.0.checkpoint.set(Some(checkpoint));
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn checkpoint(&self, run: &mut Run) {
        if let Some(checkpoint) = self.0.checkpoint.get() {
            *run = checkpoint(run.clone());
        }
    }

    /// Keys of what users have allowed for good.
    pub(crate) fn approved(&self) -> &RefCell<Option<Vec<String>>> {
        &self.0.approved
    }

    /// The tools that the last conversation began with, where not all are offered.
    pub(crate) fn offered(&self) -> Vec<String> {
        self.0.offered.borrow().clone()
    }

    pub(crate) fn set_offered(&self, names: Vec<String>) {
        *self.0.offered.borrow_mut() = names;
    }

    pub(crate) fn config(&self) -> &AgentConfig {
        &self.0.config
    }

    pub(crate) fn platform(&self) -> &Rc<P> {
        &self.0.platform
    }

    /// Who watches the sources of conversations.
    pub(crate) fn watchers(&self) -> &Watchers {
        &self.0.watchers
    }

    /// Fails for an id that is none of a conversation.
    pub(crate) fn conversation_exists(&self, id: &str) -> Result<()> {
        self.0.conversations.get(id).map(|_| ())
    }

    /// What is remembered for context.
    pub(crate) fn lists(&self) -> &Lists {
        &self.0.lists
    }

    /// The app wants context before the model.
    pub(crate) fn puts_context(&self) -> bool {
        self.0.config.context.is_some()
    }

    /// How context is made: as the app said, else by the defaults.
    pub fn context_config(&self) -> ContextConfig {
        self.0.config.context.clone().unwrap_or_default()
    }

    pub(crate) fn servers_now(&self) -> Vec<Rc<Server<P>>> {
        self.0.servers.borrow().clone()
    }

    /// Connects one server, and forgets the catalog when its tools became known.
    pub(crate) async fn ensure(
        &self,
        server: &Server<P>,
        cancel: &Cancel,
        changed: &mut dyn FnMut(ServerState, Option<Error>),
    ) -> Result<()> {
        let mut told = |state, reason| {
            *self.0.catalog.borrow_mut() = None;
            changed(state, reason);
        };
        server.ensure(cancel, &mut told).await
    }

    /// Lists the tools of a server anew, see [`Server::renew`].
    pub(crate) async fn renew(&self, server: &Server<P>, cancel: &Cancel) {
        if server.renew(cancel).await {
            self.forget_catalog();
        }
    }

    /// A server's tools have changed.
    pub(crate) fn forget_catalog(&self) {
        *self.0.catalog.borrow_mut() = None;
    }

    /// Every tool known now.
    pub(crate) fn catalog(&self) -> Rc<Catalog> {
        let mut cached = self.0.catalog.borrow_mut();
        if let Some(catalog) = &*cached {
            return catalog.clone();
        }
        let servers = self.0.servers.borrow();
        let listed: Vec<(&str, Rc<[Tool]>)> =
            servers.iter().map(|server| (server.name.as_str(), server.tools())).collect();
        let mut catalog = Catalog::build(&self.0.config.tools, listed.iter().map(|(name, tools)| (*name, &**tools)));
        for server in servers.iter() {
            catalog.mark(&server.name, server.config.max_parallel, &server.config.labels);
        }
        let catalog = Rc::new(catalog);
        *cached = Some(catalog.clone());
        catalog
    }

    /// The server that a tool called `server.tool` would be on, when it is not connected.
    fn server_of(&self, name: &str) -> Option<Rc<Server<P>>> {
        let (server, _) = name.split_once('.')?;
        self.server_named(server).filter(|server| server.state() != ServerState::Ready)
    }

    pub(crate) fn server_named(&self, name: &str) -> Option<Rc<Server<P>>> {
        self.0.servers.borrow().iter().find(|server| server.name == name).cloned()
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.0.closed.get() { Err(Error::new(Code::Misuse, "the agent was closed")) } else { Ok(()) }
    }
}

pub(crate) fn unknown_server(name: &str) -> Error {
    Error::new(Code::Misuse, ["there is no server named `", name, "`"].concat())
}

/// A server of an agent: its runs can always put a question to the user, or say that nobody is there.
fn asking(mut server: ServerConfig, on_input: Option<FunctionId>) -> ServerConfig {
    server.answerers.attended = true;
    server.answerers.input = server.answerers.input.or(on_input);
    server
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;
