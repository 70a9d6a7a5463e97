//! The methods of MCP as an app asks for them: lists with all their pages, tool calls, and any other request.

use std::future::Future;
use std::pin::Pin;

use serde_json::{Map, Value};

use super::Connection;
use crate::drive::cache::{Question, nothing};
use crate::drive::wait::Cancel;
use crate::error::{Code, Error, Result};
use crate::mcp::call_options::{CallOptions, Mode, check_meta};
use crate::mcp::era::Era;
use crate::mcp::exchange::{Answer, Message};
use crate::mcp::lists::{Age, Freshness, List, Listing};
use crate::mcp::log;
use crate::mcp::param_headers;
use crate::mcp::request::Call;
use crate::mcp::tools::{Pages, check_call_result, read_call_result, read_tools, sift_tools};
use crate::mcp::types::{CallToolResult, Progress, Tool};
use crate::platform::Platform;
use crate::time::Millis;

/// HeaderMismatch ([MCP 2026-07-28, Streamable HTTP, "Server Validation"]).
const HEADER_MISMATCH: i64 = -32020;

impl<P: Platform> Connection<P> {
    /// The elements of a list as the server sent them, all pages together.
    ///
    /// A server that does not declare the list and does not know the method has an empty one. Tools that cannot be used
    /// are left out and named in [`ServerInfo::warnings`](crate::mcp::server::ServerInfo::warnings); the others are known from
    /// then on to [`ask`](Connection::ask).
    ///
    /// # Errors
    ///
    /// As [`request`](Connection::request), and `protocol` or `limit` for pages that lead nowhere.
    pub async fn list(&self, list: List, options: &CallOptions, cancel: &Cancel) -> Result<Listing> {
        let mut listing = self.pages(list, options, cancel).await?;
        if list == List::Tools {
            let (mut tools, mut warnings) = (Vec::new(), Vec::new());
            sift_tools(&mut listing.elements, self.era(), &mut tools, &mut warnings);
            let mut status = self.0.status.borrow_mut();
            status.tools = tools.into();
            status.warnings = warnings;
        }
        Ok(listing)
    }

    /// The server's tools, all pages, without those that cannot be used; see [`list`](Connection::list).
    ///
    /// # Errors
    ///
    /// As [`list`](Connection::list).
    pub async fn list_tools(&self, cancel: &Cancel) -> Result<Vec<Tool>> {
        self.tools(Mode::Default, cancel).await.map(|(tools, _)| tools)
    }

    /// The same as what is kept may answer; with how much longer they are fresh, if the server says so.
    pub(crate) async fn tools(&self, mode: Mode, cancel: &Cancel) -> Result<(Vec<Tool>, Option<Millis>)> {
        let options = CallOptions { cache: mode, ..CallOptions::default() };
        let listing = self.pages(List::Tools, &options, cancel).await?;
        let (mut tools, mut warnings) = (Vec::new(), Vec::new());
        read_tools(listing.elements, self.era(), &mut tools, &mut warnings);
        self.0.status.borrow_mut().warnings = warnings;
        Ok((tools, listing.left))
    }

    async fn pages(&self, list: List, options: &CallOptions, cancel: &Cancel) -> Result<Listing> {
        let mut kept = false;
        match self.walk(list, options, cancel, &mut kept).await {
            // A page that is kept leads to one that there is no more.
            Err(error) if kept && (error.rpc_code.is_some() || error.code == Code::Protocol) => {
                let options = CallOptions { cache: Mode::Reload, ..options.clone() };
                self.walk(list, &options, cancel, &mut kept).await
            }
            walked => walked,
        }
    }

    /// Page by page, each as long as it is fresh from what is `kept`.
    async fn walk(&self, list: List, options: &CallOptions, cancel: &Cancel, kept: &mut bool) -> Result<Listing> {
        let mut pages = Pages::new(Call::new(list.method(), &[]).label(&self.0.config.name));
        let mut listing = Listing { list, elements: Vec::new(), freshness: None, left: None, stale: false };
        while !pages.is_done() {
            let mut params = Map::new();
            if let Some(cursor) = pages.cursor() {
                params.insert("cursor".to_owned(), cursor.clone());
            }
            let asked = self.ask_kept(list.method(), &params, options, cancel, &mut |_| {}).await;
            let (mut page, age) = match asked {
                Ok(asked) => asked,
                Err(error) if error.rpc_code == Some(-32601) && !self.declares(list.capability()) => break,
                Err(error) => return Err(error),
            };
            *kept |= age.is_some();
            listing.stale |= age.is_some_and(|age| age.stale);
            if page.contains_key("ttlMs") {
                let left = Freshness::read(&page).ttl_ms.saturating_sub(age.map_or(0, |age| age.age_ms.0));
                listing.left = Some(listing.left.map_or(Millis(left), |before| before.min(Millis(left))));
            }
            listing.elements.append(&mut pages.turn(&mut page, list.key())?);
        }
        listing.freshness = pages.freshness().filter(|_| self.era() == Era::Modern);
        Ok(listing)
    }

    /// [`ask`](Connection::ask) for what may be answered from what is kept, as `options.cache` says; with how old the
    /// answer is where it was.
    ///
    /// # Errors
    ///
    /// As [`ask`](Connection::ask), and `network` where nothing is kept and the server is not to be asked.
    pub(crate) async fn ask_kept(
        &self,
        method: &str,
        params: &Map<String, Value>,
        options: &CallOptions,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<(Map<String, Value>, Option<Age>)> {
        let fetch = Box::pin(self.ask(method, params, options, cancel, on_progress));
        // What `_meta` says may change what the server answers.
        let cache = self.0.cache.as_ref().filter(|_| options.meta.is_empty() && !params.contains_key("_meta"));
        let Some(cache) = cache else {
            return match options.cache {
                Mode::OnlyIfCached => Err(nothing(method)),
                _ => fetch.await.map(|result| (result, None)),
            };
        };
        let (ttl, mode, writes) = (Some(Millis(0)), options.cache, false);
        cache.ask(Question { connection: self, method, params, ttl, mode, writes }, cancel, fetch).await
    }

    /// Calls a tool of a listing. `input` is the object of its arguments, or null for none.
    ///
    /// Never repeated once it may have been executed, see [`request`](Connection::request).
    ///
    /// # Errors
    ///
    /// As [`request`](Connection::request). A tool that ran and failed is no error: it gives a result with
    /// `is_error`.
    pub async fn call_tool(
        &self,
        tool: &Tool,
        input: &Value,
        timeout: Millis,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<CallToolResult> {
        self.call_tool_raw(tool, input, timeout, cancel, on_progress).await.map(read_call_result)
    }

    /// [`call_tool`](Connection::call_tool), with the result as the server sent it.
    pub(crate) async fn call_tool_raw(
        &self,
        tool: &Tool,
        input: &Value,
        timeout: Millis,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Map<String, Value>> {
        let options = CallOptions { timeout: Some(timeout), ..CallOptions::default() };
        let name = Value::from(tool.name.as_str());
        let params = [("name", &name), ("arguments", input)];
        let params = if input.is_null() { &params[..1] } else { &params };
        self.ask_of(Some(tool), "tools/call", params, &options, cancel, on_progress).await
    }

    /// Sends a request of any method and gives its result as the server sent it. For `tools/call`, arguments that the
    /// tool wants as headers are sent so too, if it was listed before.
    ///
    /// `_meta` among `params` is merged with that of `options`. Lists give one page; [`list`](Connection::list) gives all.
    ///
    /// # Errors
    ///
    /// As [`request`](Connection::request); `config` for a `_meta` that holds what the client sets itself; `protocol` for
    /// a tool's result without content.
    pub async fn ask(
        &self,
        method: &str,
        params: &Map<String, Value>,
        options: &CallOptions,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Map<String, Value>> {
        let named = params.get("name").and_then(Value::as_str).filter(|_| method == "tools/call");
        let tools = self.0.status.borrow().tools.clone();
        let tool = named.and_then(|name| tools.iter().find(|tool| tool.name == name));
        let params: Vec<(&str, &Value)> = params.iter().map(|(name, value)| (name.as_str(), value)).collect();
        self.ask_of(tool, method, &params, options, cancel, on_progress).await
    }

    async fn ask_of(
        &self,
        tool: Option<&Tool>,
        method: &str,
        params: &[(&str, &Value)],
        options: &CallOptions,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Map<String, Value>> {
        let mut meta: Vec<(&str, &Value)> = options.meta.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let mut rest = Vec::with_capacity(params.len());
        for (name, value) in params {
            match value {
                Value::Object(more) if *name == "_meta" => {
                    check_meta(more, "_meta")?;
                    let new = more.iter().filter(|(name, _)| !options.meta.contains_key(*name));
                    meta.extend(new.map(|(name, value)| (name.as_str(), value)));
                }
                value => rest.push((*name, *value)),
            }
        }
        let params = rest;
        // A server that refuses to be told logs as it likes; that is no reason not to ask it.
        let _ = self.tell_log_level(cancel).await;
        let level = self.log_level().filter(|_| self.era() == Era::Modern).map(Value::from);
        if let Some(level) = &level
            && !meta.iter().any(|(name, _)| *name == log::META)
        {
            meta.push((log::META, level));
        }
        let is_call = method == "tools/call";
        let mut call = Call::new(method, &params);
        call.meta = &meta;
        // A tool that says how far it is may take longer than the timeout.
        call.progress = options.progress || is_call;
        let arguments = params.iter().find(|(name, _)| *name == "arguments").map_or(&Value::Null, |(_, value)| value);
        if let Some(tool) = tool {
            // Tools with invalid annotations were left out of the list, and only the modern era knows them.
            call.param_headers = param_headers::mirrored(&tool.input_schema, arguments).unwrap_or_default();
            self.connect(cancel).await?;
            call.task = tool.task && self.takes_tasks();
        }
        let timeout = options.timeout.unwrap_or(self.0.config.timeout);
        let mut on_message = |message| {
            if let Message::Progress(progress) = message {
                on_progress(progress);
            }
        };
        let mut answered = self.request(&call, timeout, cancel, &mut on_message).await;
        if let Err(error) = &answered
            && is_call
            && error.rpc_code == Some(HEADER_MISMATCH)
        {
            // Nothing was executed: the tool wants other headers than when it was listed, or was never listed.
            let fresh = CallOptions { cache: Mode::Reload, ..CallOptions::default() };
            let listing: Pin<Box<dyn Future<Output = Result<Listing>> + '_>> =
                Box::pin(self.list(List::Tools, &fresh, cancel));
            listing.await.map_err(|failed| failed.cause(error.clone()))?;
            let tools = self.0.status.borrow().tools.clone();
            if let Some(tool) = tools.iter().find(|known| Some(known.name.as_str()) == call.subject()) {
                call.param_headers = param_headers::mirrored(&tool.input_schema, arguments).unwrap_or_default();
                answered = self.request(&call, timeout, cancel, &mut on_message).await;
            }
        }
        let result = self.complete(&call, answered?)?;
        if is_call {
            check_call_result(&result, &call.label(&self.0.config.name))?;
        }
        Ok(result)
    }

    /// Asks the server for a sign of life: `ping` where the revision has it, else what the server can do.
    ///
    /// # Errors
    ///
    /// As [`request`](Connection::request).
    pub async fn ping(&self, options: &CallOptions, cancel: &Cancel) -> Result<()> {
        self.connect(cancel).await?;
        // Modern servers have no `ping` ([MCP 2026-07-28, Key Changes]); this one they all must answer.
        let method = if self.era() == Era::Modern { "server/discover" } else { "ping" };
        self.ask(method, &Map::new(), options, cancel, &mut |_| {}).await.map(|_| ())
    }

    /// The result of an answer that has to be complete.
    fn complete(&self, call: &Call<'_>, answer: Answer) -> Result<Map<String, Value>> {
        let words = match answer {
            Answer::Complete(result) => return Ok(result),
            Answer::InputRequired { .. } | Answer::Task(_) => "answered without a result",
            Answer::Accepted => "accepted without an answer (202)",
        };
        Err(Error::new(Code::Protocol, [&call.label(&self.0.config.name), ": ", words].concat()))
    }

    /// Whether the server declared that capability when it was last connected.
    pub fn declares(&self, capability: &str) -> bool {
        self.0.status.borrow().link.as_ref().is_some_and(|link| link.capabilities.contains_key(capability))
    }

    /// Tools may be called as tasks of revision 2025-11-25.
    fn takes_tasks(&self) -> bool {
        let status = self.0.status.borrow();
        status.link.as_ref().is_some_and(|link| {
            let tasks = link.capabilities.get("tasks").and_then(|tasks| tasks.get("requests"));
            let calls = tasks.and_then(|requests| requests.get("tools")?.get("call"));
            link.era == Era::Legacy && link.session.version == "2025-11-25" && calls.is_some_and(Value::is_object)
        })
    }

    pub(super) fn era(&self) -> Era {
        self.0.status.borrow().era.unwrap_or(Era::Modern)
    }
}
