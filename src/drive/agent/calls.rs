//! Calls of an agent's tools, and the tasks that servers make of them.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::agent::catalog::{Target, ToolEntry};
use crate::cache::{CALL, Mode};
use crate::drive::cache::Question;
use crate::drive::mcp::Attendant;
use crate::drive::tool::call_app;
use crate::drive::wait::Cancel;
use crate::error::{Code, Error, Result};
use crate::mcp::config::ServerConfig;
use crate::mcp::server::State as ServerState;
use crate::mcp::tools::read_call_result;
use crate::mcp::types::{CallToolResult, Progress};
use crate::platform::Platform;
use crate::schema::Outcome;

use super::{Agent, unknown_server};

/// What a tool takes and what it promises.
pub(crate) struct Schemas {
    pub(crate) input: Value,
    pub(crate) output: Option<Value>,
}

impl<P: Platform> Agent<P> {
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
                let connection = server.connection.attended(attendant);
                let config = self.0.cache.config();
                let (ttl, writes) =
                    (config.ttl_of(name, &tool.annotations), config.invalidates(name, &tool.annotations));
                // Only a cache looks at them, and arguments may be large.
                let mut params = Map::new();
                if ttl.is_some() {
                    params.insert("name".to_owned(), tool.name.as_str().into());
                    params.insert("arguments".to_owned(), input.clone());
                }
                let (connection, method) = (&connection, CALL);
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
        let connection = server.connection.attended(attendant);
        let timeout = self.0.config.limits.tool_timeout;
        let result = connection.resume_task(task, timeout, cancel, on_progress).await;
        if self.0.cache.config().is_enabled() {
            // Which may have changed what the server's tools give.
            self.0.cache.forget(&server.config.identity(), CALL).await;
        }
        result.map(read_call_result)
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
}
