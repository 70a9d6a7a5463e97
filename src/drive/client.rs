//! One MCP server as the app holds it, without an agent: for those who bring their own loop.

use std::rc::Rc;

use serde_json::{Map, Value};

use crate::drive::mcp::Connection;
use crate::drive::wait::Cancel;
use crate::error::Result;
use crate::mcp::call_options::CallOptions;
use crate::mcp::config::ServerConfig;
use crate::mcp::listen::{Change, Filter};
use crate::mcp::lists::{List, Listing};
use crate::mcp::types::Progress;
use crate::platform::Platform;

/// A client of one MCP server. Clones share it.
pub struct Client<P: Platform>(Connection<P>);

impl<P: Platform> Clone for Client<P> {
    fn clone(&self) -> Client<P> {
        Client(self.0.clone())
    }
}

impl<P: Platform> Client<P> {
    /// A client that has sent nothing yet.
    pub fn new(platform: Rc<P>, config: ServerConfig) -> Client<P> {
        Client(Connection::new(platform, config))
    }

    /// Connects, unless that is done; every other method does so by itself. Gives [`Client::info`].
    ///
    /// # Errors
    ///
    /// As [`Connection::connect`].
    pub async fn connect(&self, cancel: &Cancel) -> Result<Value> {
        self.0.connect(cancel).await?;
        Ok(self.info())
    }

    /// What is known of the server now; the TypeScript type `ServerInfo`.
    pub fn info(&self) -> Value {
        self.0.info().to_value()
    }

    /// A list with all its pages, its elements as the server sent them.
    ///
    /// # Errors
    ///
    /// As [`Connection::list`].
    pub async fn list(&self, list: List, options: &CallOptions, cancel: &Cancel) -> Result<Listing> {
        self.0.list(list, options, cancel).await
    }

    /// Sends a request of any method and gives its result as the server sent it.
    ///
    /// # Errors
    ///
    /// As [`Connection::ask`].
    pub async fn ask(
        &self,
        method: &str,
        params: &Map<String, Value>,
        options: &CallOptions,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
    ) -> Result<Map<String, Value>> {
        self.0.ask(method, params, options, cancel, on_progress).await
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

    /// Ends the connection, and with it every request; again does nothing.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

#[cfg(test)]
mod tests;
