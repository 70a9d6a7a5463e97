//! One MCP server as the app holds it, without an agent: for those who bring their own loop.

use std::rc::Rc;

use serde_json::{Map, Value};

use crate::cache::{CALL, CacheConfig, Mode, READ};
use crate::drive::cache::{Cache, Question};
use crate::drive::mcp::{Attendant, Connection};
use crate::drive::trust::{changed_tools, compare};
use crate::drive::wait::Cancel;
use crate::error::Result;
use crate::json;
use crate::mcp::call_options::CallOptions;
use crate::mcp::config::ServerConfig;
use crate::mcp::listen::{Change, Filter};
use crate::mcp::lists::{List, Listing};
use crate::mcp::types::Progress;
use crate::platform::Platform;

/// A client of one MCP server. Clones share it.
pub struct Client<P: Platform>(Connection<P>, Option<Rc<Cache<P>>>);

impl<P: Platform> Clone for Client<P> {
    fn clone(&self) -> Client<P> {
        Client(self.0.clone(), self.1.clone())
    }
}

impl<P: Platform> Client<P> {
    /// A client that has sent nothing yet.
    pub fn new(platform: Rc<P>, config: ServerConfig) -> Client<P> {
        Client(Connection::new(platform, config), None)
    }

    /// The same, which keeps lists and resources as long as they are fresh.
    pub fn caching(platform: Rc<P>, config: ServerConfig) -> Client<P> {
        let cache = Rc::new(Cache::new(platform.clone(), CacheConfig::default()));
        Client(Connection::over(platform, config, Some(cache.clone())), Some(cache))
    }

    /// What is cached of the server, and what came of it; null for a client that caches nothing.
    pub async fn cache_stats(&self) -> Value {
        let config = self.0.config();
        match &self.1 {
            Some(cache) => cache.stats(&[(config.name.clone(), config.identity())]).await,
            None => Value::Null,
        }
    }

    /// Forgets what is cached of the server.
    pub async fn clear_cache(&self) {
        if let Some(cache) = &self.1 {
            cache.clear(Some(&[self.0.config().identity()])).await;
        }
    }

    /// Connects, unless that is done; every other method does so by itself. Gives [`Client::info`].
    ///
    /// # Errors
    ///
    /// As [`Connection::connect`].
    pub async fn connect(&self, cancel: &Cancel) -> Result<Value> {
        self.0.connect(cancel).await?;
        // It may log before anything is asked.
        let _ = self.0.tell_log_level(cancel).await;
        Ok(self.info())
    }

    /// Goes on with a sign-in, with the URL that the user came back to, and connects. Gives [`Client::info`].
    ///
    /// # Errors
    ///
    /// As [`Connection::finish_authorization`] and [`Connection::connect`].
    pub async fn finish_authorization(&self, callback: &str, cancel: &Cancel) -> Result<Value> {
        self.0.finish_authorization(callback, cancel).await?;
        self.connect(cancel).await
    }

    /// What is known of the server now; the TypeScript type `ServerInfo`.
    pub fn info(&self) -> Value {
        let mut info = self.0.info().to_value();
        if let (Some(map), Some(changed)) = (info.as_object_mut(), changed_tools(&self.0.listed())) {
            map.insert("changedTools".into(), changed);
        }
        info
    }

    pub(super) fn connection(&self) -> &Connection<P> {
        &self.0
    }

    /// A list with all its pages, its elements as the server sent them. Tools are compared with what they were.
    ///
    /// # Errors
    ///
    /// As [`Connection::list`].
    pub async fn list(&self, list: List, options: &CallOptions, cancel: &Cancel) -> Result<Listing> {
        let listing = self.0.list(list, options, cancel).await?;
        if list == List::Tools {
            let mut tools = self.0.listed().to_vec();
            compare(self.0.platform(), self.0.config(), &mut tools).await;
            self.0.set_listed(Rc::from(tools));
        }
        Ok(listing)
    }

    /// Sends a request of any method and gives its result as the server sent it.
    ///
    /// # Errors
    ///
    /// As [`Connection::ask`], and `protocol` for a structured result that is not what the tool's `outputSchema` says, if
    /// the tool was listed and the option `validate` is not off.
    pub async fn ask(
        &self,
        method: &str,
        params: &Map<String, Value>,
        options: &CallOptions,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Map<String, Value>> {
        if method == READ {
            let (mut result, age) = self.0.ask_kept(method, params, options, cancel, on_progress).await?;
            if let Some(age) = age {
                result.insert("cached".to_owned(), json::tree(&age));
            }
            return Ok(result);
        }
        if method != CALL {
            return self.0.ask(method, params, options, cancel, on_progress).await;
        }
        let fetch = Box::pin(self.0.ask(method, params, options, cancel, on_progress));
        let result = match self.1.as_ref().filter(|_| !self.only_reads(params)) {
            // Agents may have kept what the server's tools gave.
            Some(cache) => {
                let (connection, ttl, mode, writes) = (&self.0, None, Mode::Default, true);
                cache.ask(Question { connection, method, params, ttl, mode, writes }, cancel, fetch).await?.0
            }
            None => fetch.await?,
        };
        self.0.keeps_promise(params, &result, cancel).await?;
        Ok(result)
    }

    /// The tool that is called was listed, and says that it only reads.
    fn only_reads(&self, params: &Map<String, Value>) -> bool {
        let listed = self.0.listed();
        listed.iter().any(|tool| params.get("name") == Some(&tool.name.as_str().into()) && tool.annotations.read_only)
    }

    /// The same client with somebody who stands by its calls, to be told of tasks.
    pub fn attended(&self, attendant: Rc<dyn Attendant>) -> Client<P> {
        Client(self.0.attended(Some(attendant)), self.1.clone())
    }

    /// Tells the server that the roots are others now; see [`Connection::roots_changed`].
    pub async fn roots_changed(&self) {
        self.0.roots_changed().await;
    }

    /// The tasks that are remembered; see [`Connection::tasks`].
    pub async fn tasks(&self) -> Value {
        Value::Array(self.0.tasks().await)
    }

    /// Takes up a task by its id and follows it to the result of its call.
    ///
    /// # Errors
    ///
    /// As [`Connection::resume_task`].
    pub async fn resume_task(
        &self,
        id: &str,
        options: &CallOptions,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Map<String, Value>> {
        let result = self.0.resume_task(id, options.timeout, cancel, on_progress).await;
        if let Some(cache) = &self.1 {
            cache.forget(&self.0.config().identity(), CALL).await;
        }
        result
    }

    /// Cancels a task by its id.
    ///
    /// # Errors
    ///
    /// As [`Connection::cancel_task`].
    pub async fn cancel_task(&self, id: &str, cancel: &Cancel) -> Result<()> {
        self.0.cancel_task(id, cancel).await
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    ///
    /// As [`Connection::ping`].
    pub async fn ping(&self, options: &CallOptions, cancel: &Cancel) -> Result<()> {
        self.0.ping(options, cancel).await
    }

    /// Tells of changes on the server until cancelled.
    ///
    /// # Errors
    ///
    /// As [`Connection::watch`].
    pub async fn watch(&self, filter: Filter, cancel: &Cancel, on_change: &mut dyn FnMut(Change)) -> Result<()> {
        self.0.watch(filter, cancel, on_change).await
    }

    /// Whether there is something to hear from the server between requests; see [`Connection::has_ears`].
    pub fn has_ears(&self) -> bool {
        self.0.has_ears()
    }

    /// Listens to an older server between requests as well; see [`Connection::stand_by`].
    pub async fn stand_by(&self) {
        self.0.stand_by().await;
    }

    /// Says from which level on the server is to log.
    ///
    /// # Errors
    ///
    /// As [`Connection::set_log_level`].
    pub async fn set_log_level(&self, level: &str, cancel: &Cancel) -> Result<()> {
        self.0.set_log_level(level, cancel).await
    }

    /// Ends the connection, and with it every request; again does nothing.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

#[cfg(test)]
mod tests;
