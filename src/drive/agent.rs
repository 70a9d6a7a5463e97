//! The agent as the app holds it: servers, tools, and runs.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::agent::catalog::{Catalog, Target, ToolEntry};
use crate::agent::config::{AgentConfig, Approval, RunOptions};
use crate::agent::context::ContextConfig;
use crate::agent::goal;
use crate::agent::log::{Header, Log, Told};
use crate::agent::run::output::instructions;
use crate::agent::run::{Run, Setup};
use crate::agent::view::Rate;
use crate::cache::{Mode, READ};
use crate::drive::cache::{Cache, Question};
use crate::drive::context::Lists;
use crate::drive::conversation::{Conversation, Conversations};
use crate::drive::count::Counted;
use crate::drive::handle::RunHandle;
use crate::drive::keep::{Journal, Keeper};
use crate::drive::live::Watchers;
use crate::drive::mcp::Attendant;
use crate::drive::model::Model;
use crate::drive::run::drive;
use crate::drive::server::Server;
use crate::drive::tool::call_app;
use crate::drive::wait::{Cancel, Jobs};
use crate::error::{Code, Error, Result};
use crate::json;
use crate::llm::config::{ModelConfig, Provider};
use crate::llm::thread::Threads;
use crate::llm::tools::tool_definitions;
use crate::llm::types::Message;
use crate::mcp::call_options::CallOptions;
use crate::mcp::config::ServerConfig;
use crate::mcp::lists::{List, Listing};
use crate::mcp::server::State as ServerState;
use crate::mcp::tools::read_call_result;
use crate::mcp::types::{CallToolResult, Progress, Tool};
use crate::options::FunctionId;
use crate::platform::{Platform, key};
use crate::schema::Outcome;
use crate::time::Millis;

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

/// What a run is for.
pub(super) enum Purpose {
    /// The model's answer to the prompt.
    Answer,
    /// How many tokens it would be asked with: it ends there.
    Count(Rc<Counted>),
    /// What a plan of the app gives.
    Plan(Value),
}

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

    /// Calls a tool by the name that [`Agent::tools`] gives it, without asking anybody. Its server is connected first
    /// if need be.
    ///
    /// # Errors
    ///
    /// `misuse` for a tool that there is not; else what went wrong on the way. A tool that says itself that it failed
    /// is a result with `is_error`.
    pub async fn call_tool(
        &self,
        name: &str,
        input: Value,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<CallToolResult> {
        self.call_attended(name, input, cancel, on_progress, None).await
    }

    /// The same with somebody who stands by, for what the server asks meanwhile.
    pub(crate) async fn call_attended(
        &self,
        name: &str,
        input: Value,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
        attendant: Option<Rc<dyn Attendant>>,
    ) -> Result<CallToolResult> {
        self.call_cached(name, input, Mode::Default, cancel, on_progress, attendant).await
    }

    /// The same, where the app says how what is cached is to be used.
    pub(crate) async fn call_cached(
        &self,
        name: &str,
        input: Value,
        mode: Mode,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
        attendant: Option<Rc<dyn Attendant>>,
    ) -> Result<CallToolResult> {
        // Boxed: it holds the futures of the connection and of all its exchanges, and many hold it.
        let call: Pin<Box<dyn Future<Output = Result<CallToolResult>> + '_>> =
            Box::pin(self.call_found(name, input, mode, cancel, on_progress, attendant));
        let result = call.await;
        self.note_outcome(name, &result);
        result
    }

    async fn call_found(
        &self,
        name: &str,
        input: Value,
        mode: Mode,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
        attendant: Option<Rc<dyn Attendant>>,
    ) -> Result<CallToolResult> {
        self.check_open()?;
        let mut target = self.catalog().find(name).map(|tool| tool.target.clone());
        if target.is_none()
            && let Some(server) = self.server_of(name)
        {
            let connected = match mode {
                Mode::OnlyIfCached => {
                    server.recall(cancel).await;
                    self.forget_catalog();
                    Ok(())
                }
                _ => self.ensure(&server, cancel, &mut |_, _| ()).await,
            };
            target = self.catalog().find(name).map(|tool| tool.target.clone());
            // What is cached answers without it.
            if target.is_none() {
                connected?;
            }
        }
        match target {
            None => Err(Error::new(Code::Misuse, ["there is no tool `", name, "`; tools() lists them"].concat())),
            Some(Target::App(function)) => {
                let timeout = self.0.config.limits.tool_timeout.unwrap_or(ServerConfig::DEFAULT_TIMEOUT);
                call_app(&*self.0.platform, function, name, input, timeout, cancel).await
            }
            Some(Target::Server { server, tool }) => {
                let gone = || Error::new(Code::Misuse, ["`", name, "` is gone: its server was removed"].concat());
                let server = self.server_named(&server).ok_or_else(gone)?;
                let timeout = self.0.config.limits.tool_timeout.unwrap_or(server.config.timeout);
                let tools = server.tools();
                let tool = tools.iter().find(|known| known.name == tool).ok_or_else(gone)?;
                let connection = match attendant {
                    Some(attendant) => server.connection.attended(attendant),
                    None => server.connection.clone(),
                };
                let config = self.0.cache.config();
                let (ttl, writes) =
                    (config.ttl_of(name, &tool.annotations), config.invalidates(name, &tool.annotations));
                // Only a cache looks at them, and arguments may be large.
                let mut params = Map::new();
                if ttl.is_some() {
                    params.insert("name".to_owned(), tool.name.as_str().into());
                    params.insert("arguments".to_owned(), input.clone());
                }
                let (connection, method) = (&connection, "tools/call");
                let question = Question { connection, method, params: &params, ttl, mode, writes };
                let fetch = Box::pin(async {
                    if server.state() != ServerState::Ready {
                        self.ensure(&server, cancel, &mut |_, _| ()).await?;
                    }
                    connection.call_tool_raw(tool, &input, timeout, cancel, on_progress).await
                });
                let (result, cached) = self.0.cache.ask(question, cancel, fetch).await?;
                Ok(CallToolResult { cached, ..read_call_result(result) })
            }
        }
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

    /// Every task that is remembered: calls that a server made tasks of and whose end nobody has seen, as an array of
    /// `{ server, taskId, tool, startedAt }`.
    pub async fn tasks(&self) -> Value {
        let mut all = Vec::new();
        for server in self.servers_now() {
            for mut task in server.connection.tasks().await {
                task["server"] = server.name.as_str().into();
                all.push(task);
            }
        }
        Value::Array(all)
    }

    /// Takes up a task of a server by its id, such as after a reload, and follows it to the result of its call.
    ///
    /// # Errors
    ///
    /// `misuse` when there is no server of that name; as [`Agent::call_tool`].
    pub async fn resume_task(
        &self,
        server: &str,
        task: &str,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<CallToolResult> {
        self.follow_task(server, task, cancel, on_progress, None).await
    }

    /// The same with somebody who stands by, for what the server asks meanwhile.
    pub(crate) async fn follow_task(
        &self,
        server: &str,
        task: &str,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
        attendant: Option<Rc<dyn Attendant>>,
    ) -> Result<CallToolResult> {
        self.check_open()?;
        let server = self.server_named(server).ok_or_else(|| unknown_server(server))?;
        self.ensure(&server, cancel, &mut |_, _| ()).await?;
        let connection = match attendant {
            Some(attendant) => server.connection.attended(attendant),
            None => server.connection.clone(),
        };
        let timeout = self.0.config.limits.tool_timeout;
        connection.resume_task(task, timeout, cancel, on_progress).await.map(read_call_result)
    }

    /// Takes the definition of a tool that has changed for approved, as a user would by approving its next call.
    ///
    /// # Errors
    ///
    /// `misuse` when there is no MCP tool of that name.
    pub async fn accept_tool(&self, name: &str) -> Result<()> {
        let found = self.catalog().find(name).map(|tool| (tool.target.clone(), tool.entry.changed.clone()));
        let Some((Target::Server { server, tool }, change)) = found else {
            return Err(Error::new(Code::Misuse, ["there is no tool `", name, "` of a server"].concat()));
        };
        if let (Some(server), Some(change)) = (self.server_named(&server), change) {
            server.accept(&tool, &change.fingerprint).await;
            *self.0.catalog.borrow_mut() = None;
        }
        Ok(())
    }

    /// The schemas of a tool as its server gave them; `None` where they are not to be checked.
    pub(crate) fn schemas(&self, name: &str) -> Option<Schemas> {
        let catalog = self.catalog();
        let tool = catalog.find(name).filter(|_| self.0.config.validate)?;
        match &tool.target {
            Target::App(_) => Some(Schemas { input: tool.input_schema.clone(), output: None }),
            Target::Server { server, tool } => {
                let server = self.server_named(server).filter(|server| server.config.validate)?;
                let tools = server.tools();
                let tool = tools.iter().find(|known| known.name == *tool)?;
                Some(Schemas { input: tool.input_schema.clone(), output: tool.output_schema.clone() })
            }
        }
    }

    /// Notes at the tool's server what could not be checked.
    pub(crate) fn warn(&self, name: &str, outcome: &Outcome) {
        if outcome.unsure.is_empty() {
            return;
        }
        let catalog = self.catalog();
        if let Some(Target::Server { server, tool }) = catalog.find(name).map(|tool| &tool.target)
            && let Some(server) = self.server_named(server)
        {
            for words in &outcome.unsure {
                server.warn(["tool ", tool, ": ", words].concat());
            }
        }
    }

    /// Notes what the user approved of, before the call of a run is made. Gives the reason not to make it when the tool is
    /// no longer what the user or the model saw.
    pub(crate) async fn confirm(&self, tool: &ToolEntry) -> Option<String> {
        let catalog = self.catalog();
        let now = catalog.find(&tool.name)?;
        let Target::Server { server: name, tool: own } = &now.target else { return None };
        let server = self.server_named(name)?;
        let approved = match &tool.changed {
            Some(change) => server.accept(own, &change.fingerprint).await,
            None => false,
        };
        if approved {
            *self.0.catalog.borrow_mut() = None;
            return None;
        }
        let withheld = now.entry.changed.as_ref().is_some_and(|change| change.asks);
        withheld.then(|| [&tool.name, ": not called: its definition has just changed and is not approved"].concat())
    }

    /// The elements of a list over all servers that declare it, each as its server sent it and with the member `server`; with
    /// `stale` where the list is over and was taken because the server could not be asked, or was not to be.
    /// Servers are connected first if need be. One that fails is left out and says why in [`Agent::servers`].
    ///
    /// # Errors
    ///
    /// `cancelled`, `misuse` after [`Agent::close`], and the first error where no server could be asked.
    pub async fn list(&self, list: List, mode: Mode, cancel: &Cancel) -> Result<Value> {
        match mode {
            Mode::OnlyIfCached => self.check_open()?,
            _ => self.connect_all(false, cancel).await?,
        }
        let servers = self.servers_now();
        let outcomes: Vec<RefCell<Option<Result<Listing>>>> = servers.iter().map(|_| RefCell::default()).collect();
        let mut jobs = Jobs::default();
        for (server, outcome) in servers.iter().zip(&outcomes) {
            jobs.push(async {
                *outcome.borrow_mut() = server.list(list, mode, cancel).await.transpose();
            });
        }
        jobs.finish().await;
        let (mut all, mut error, mut any) = (Vec::new(), None, false);
        for (server, outcome) in servers.iter().zip(outcomes) {
            match outcome.into_inner() {
                None => any = true,
                Some(Err(failed)) => error = error.or(Some(failed)),
                Some(Ok(listing)) => {
                    any = true;
                    for mut element in listing.elements {
                        if let Value::Object(fields) = &mut element {
                            fields.insert("server".to_owned(), server.name.as_str().into());
                            if listing.stale {
                                fields.insert("stale".to_owned(), true.into());
                            }
                        }
                        all.push(element);
                    }
                }
            }
        }
        match error {
            Some(error) if !any || error.code == Code::Cancelled => Err(error),
            _ => Ok(Value::Array(all)),
        }
    }

    /// Forgets what a server answered to a method, because it says that its answer has changed.
    pub async fn forget_cached(&self, server: &str, method: &str) {
        if let Some(server) = self.server_named(server) {
            self.0.cache.forget(&server.config.identity(), method).await;
        }
    }

    /// Another number than before when a server has told of a change, or a tool of it has written.
    pub(crate) fn told(&self, server: &Server<P>) -> u64 {
        self.0.cache.turn(&server.config.identity())
    }

    /// What is cached, and what came of it since the agent was made: `{ entries, bytes, hits, misses, stale, evictions,
    /// broken, servers: [{ server, entries, bytes, hits, misses, stale, evictions }] }`.
    pub async fn cache_stats(&self) -> Value {
        let identity = |server: &Rc<Server<P>>| (server.name.clone(), server.config.identity());
        let servers: Vec<(String, String)> = self.servers_now().iter().map(identity).collect();
        self.0.cache.stats(&servers).await
    }

    /// Forgets what is cached: of one server, or all of it, also what other agents of this origin have cached.
    ///
    /// # Errors
    ///
    /// `misuse` when there is no server of that name.
    pub async fn clear_cache(&self, server: Option<&str>) -> Result<()> {
        let servers = match server {
            Some(name) => Some([self.server_named(name).ok_or_else(|| unknown_server(name))?.config.identity()]),
            None => None,
        };
        self.0.cache.clear(servers.as_ref().map(|servers| &servers[..])).await;
        Ok(())
    }

    /// Sends a request of any method to one server and gives its result as the server sent it; with the member `cached:
    /// { ageMs, stale }` where it was not sent, because it was answered before.
    ///
    /// # Errors
    ///
    /// `misuse` when there is no server of that name, and whatever [`Connection::ask`] says.
    ///
    /// [`Connection::ask`]: crate::drive::mcp::Connection::ask
    pub async fn ask(
        &self,
        server: &str,
        method: &str,
        params: &Map<String, Value>,
        options: &CallOptions,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Map<String, Value>> {
        self.check_open()?;
        let server = self.server_named(server).ok_or_else(|| unknown_server(server))?;
        let connection = &server.connection;
        let fetch = Box::pin(async {
            self.ensure(&server, cancel, &mut |_, _| ()).await?;
            connection.ask(method, params, options, cancel, on_progress).await
        });
        // What `_meta` says may change what the server answers.
        if method != READ || !options.meta.is_empty() || params.contains_key("_meta") {
            return fetch.await;
        }
        let (ttl, mode, writes) = (Some(Millis(0)), options.cache, false);
        let question = Question { connection, method, params, ttl, mode, writes };
        let (mut result, age) = self.0.cache.ask(question, cancel, fetch).await?;
        if let Some(age) = age {
            result.insert("cached".to_owned(), json::tree(&age));
        }
        Ok(result)
    }

    /// Goes on with a sign-in, with the URL that the user came back to, and connects the server that it was for. Which
    /// one that is, the URL's `state` tells. Gives its `ServerInfo`, which says whether it works now.
    ///
    /// # Errors
    ///
    /// `misuse` when none of the servers has begun this sign-in or it was finished before, and why it failed.
    pub async fn finish_authorization(&self, callback: &str, cancel: &Cancel) -> Result<Value> {
        self.check_open()?;
        for server in self.servers_now() {
            match server.connection.finish_authorization(callback, cancel).await {
                Ok(()) => {
                    // What is wrong now is shown by its state.
                    let _ = self.ensure(&server, cancel, &mut |_, _| ()).await;
                    return Ok(server.to_json());
                }
                Err(error) if error.code == Code::Misuse => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(Code::Misuse, "finishAuthorization: no server of this agent has begun this sign-in"))
    }

    /// Notes that a call failed because a user has to sign in anew.
    fn note_outcome(&self, name: &str, result: &Result<CallToolResult>) {
        let Err(error) = result else { return };
        let catalog = self.catalog();
        if let Some(Target::Server { server, .. }) = catalog.find(name).map(|tool| &tool.target)
            && let Some(server) = self.server_named(server)
        {
            server.note_failure(error);
        }
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

    /// Starts a run. The caller polls the future until it ends, which is soon after the terminal event; the handle
    /// is for the app.
    pub fn run(&self, prompt: String, options: RunOptions) -> (RunHandle, impl Future<Output = ()> + 'static) {
        self.begin_in(None, prompt, options, Purpose::Answer)
    }

    /// Starts a run in the conversation of that id, behind those that are in it: it goes on from what was said there, and what is
    /// said in it becomes part of it, turn by turn. `messages` of the options do not count. Without an id, like
    /// [`Agent::run`].
    ///
    /// # Errors
    ///
    /// `config` for an id that is none: it has 1 to 256 bytes.
    pub fn send(
        &self,
        conversation: Option<&str>,
        prompt: String,
        options: RunOptions,
    ) -> Result<(RunHandle, impl Future<Output = ()> + 'static)> {
        let conversation = conversation.map(|id| self.0.conversations.get(id)).transpose()?;
        Ok(self.begin_in(conversation, prompt, options, Purpose::Answer))
    }

    /// Starts a run.
    pub(super) fn begin_in(
        &self,
        conversation: Option<Rc<Conversation>>,
        prompt: String,
        options: RunOptions,
        purpose: Purpose,
    ) -> (RunHandle, impl Future<Output = ()> + 'static) {
        let config = &self.0.config;
        let mut limits = config.limits;
        limits.max_turns = options.max_turns.unwrap_or(limits.max_turns);
        let id = run_id(self.0.platform.random(), self.0.platform.random());
        let random = self.0.platform.random();
        let RunOptions { messages, attachments, output, meta, goal, .. } = options;
        let (counted, plan) = match purpose {
            Purpose::Answer => (None, None),
            Purpose::Count(counted) => (Some(counted), None),
            Purpose::Plan(plan) => (None, Some(plan)),
        };
        let mut models = if plan.is_none() { Model::candidates(&self.0.model, output.as_ref()) } else { Vec::new() };
        for (model, told) in models.iter_mut().zip(&*self.0.rooms.borrow()) {
            // The smaller one is right: who gives too large a window is told so.
            model.room = model.room.into_iter().chain(*told).min();
        }
        let approval = config.approval;
        let mut prompt = Message::user(prompt);
        prompt.content.splice(0..0, attachments);
        let system = self.system(goal, output.as_ref());
        let handle = RunHandle::default();
        let mut model = Model::new(self.0.model.clone(), &limits, system, output.clone());
        (model.threads, model.counted) = (self.threads(), counted);
        if self.0.closed.get() {
            handle.cancel();
        }
        let conversation = conversation.map(|conversation| (conversation.join(), conversation));
        let (agent, run_handle) = (self.clone(), handle.clone());
        let (rate, in_it) = (self.0.rate.get(), conversation.is_some());
        let mut setup =
            Setup { id, prompt, messages, limits, approval, models, output, random, goal, conversation: in_it, rate };
        let driven = async move {
            let platform = agent.platform().clone();
            let mut entered = None;
            if let Some((place, conversation)) = conversation {
                setup.conversation = true;
                if let Some((turn, messages)) = conversation.enter(&*platform, place, &run_handle).await {
                    (entered, setup.messages) = (Some(turn), messages);
                }
            }
            let mut journal = None;
            if model.counted.is_none() && (run_handle.begin() || agent.0.config.journal) {
                run_handle.set_recorded();
                let conversation = entered.as_ref().map(|turn| {
                    let count = setup.messages.len();
                    Told { id: turn.id().to_owned(), from: (turn.count() - count) as u64, count: count as u64 }
                });
                let setup = Setup { messages: Vec::new(), ..setup.clone() };
                let header = Header { at: platform.now(), setup, inline: false, plan: plan.clone(), conversation };
                let name = key(&["run", &header.setup.id]);
                let lock = if agent.0.config.journal { Some(platform.lock(&name).await) } else { None };
                journal = Some(Journal::new(header, Log::default(), lock));
            }
            let run = match plan {
                Some(plan) => Run::of_plan(setup, plan),
                None => Run::new(setup),
            };
            let keeper = Keeper::new(entered, run.begun_with(), journal);
            drive(agent, run, model, run_handle, meta, keeper).await;
        };
        (handle, driven)
    }

    /// Everything that was said in the conversation of that id and is settled.
    ///
    /// # Errors
    ///
    /// `config` for an id that is none.
    pub async fn messages(&self, conversation: &str) -> Result<Vec<Message>> {
        Ok(self.0.conversations.get(conversation)?.messages(&**self.platform()).await)
    }

    /// Forgets a conversation, once the runs that are in it have ended.
    ///
    /// # Errors
    ///
    /// `config` for an id that is none, `cancelled`.
    pub async fn clear_conversation(&self, conversation: &str, cancel: &Cancel) -> Result<()> {
        self.0.conversations.get(conversation)?.clear(&**self.platform(), cancel).await?;
        self.0.watchers.look(conversation, None);
        Ok(())
    }

    /// Runs a plan of the app: the calls are made as if a model had asked for them, under the same policy, and the run ends
    /// with what the plan gave. No model is asked. In a conversation it is part of it, like [`Agent::send`]. The caller polls the
    /// future as with [`Agent::run`].
    ///
    /// # Errors
    ///
    /// As [`Agent::send`].
    pub fn run_plan(
        &self,
        conversation: Option<&str>,
        plan: Value,
        options: RunOptions,
    ) -> Result<(RunHandle, impl Future<Output = ()> + 'static)> {
        let conversation = conversation.map(|id| self.0.conversations.get(id)).transpose()?;
        let options = RunOptions { attachments: Vec::new(), output: None, goal: false, ..options };
        Ok(self.begin_in(conversation, "Run this plan.".into(), options, Purpose::Plan(plan)))
    }

    /// What the model is told first, with what is demanded of the final answer.
    pub(crate) fn system(&self, goal: bool, output: Option<&Value>) -> Option<String> {
        let mut system = self.0.config.system.clone();
        if goal {
            system = Some(goal::system(system.as_deref()));
        }
        match (system, output.map(instructions)) {
            (Some(system), Some(told)) => Some([&system, "\n\n", &told].concat()),
            (system, told) => told.or(system),
        }
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

    /// The tools that models were offered last, where not all are.
    pub(crate) fn offered(&self) -> Vec<String> {
        self.0.offered.borrow().clone()
    }

    pub(crate) fn set_offered(&self, names: Vec<String>) {
        *self.0.offered.borrow_mut() = names;
    }

    pub(crate) fn note_offered(&self, name: &str) {
        let mut offered = self.0.offered.borrow_mut();
        if !offered.iter().any(|known| known == name) {
            offered.push(name.to_owned());
        }
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

/// What a tool takes and what it promises.
pub(crate) struct Schemas {
    pub(crate) input: Value,
    pub(crate) output: Option<Value>,
}

/// 128 random bits in hexadecimal.
fn run_id(high: u64, low: u64) -> String {
    format!("run_{high:016x}{low:016x}")
}

#[cfg(test)]
#[path = "agent_tests.rs"]
mod tests;
