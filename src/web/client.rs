//! The class behind `McpClient`, as [`AgentCore`](super::AgentCore) is behind `Agent`.

use std::rc::Rc;

use serde_json::{Map, Value};
use wasm_bindgen::prelude::*;

use super::WebPlatform;
use super::door;
use super::face::{parse, progress_json};
use super::work::{thrown, work};
use crate::drive::client::Client;
use crate::error::{Code, Error};
use crate::json;
use crate::mcp::call_options::CallOptions;
use crate::mcp::config::ServerConfig;
use crate::mcp::listen::{Change, Filter};
use crate::mcp::lists::List;
use crate::mcp::types::Progress;

/// The core of `McpClient`.
#[wasm_bindgen]
pub struct ClientCore {
    client: Client<WebPlatform>,
}

#[wasm_bindgen]
impl ClientCore {
    /// A client whose functions the shell keeps under `table`.
    #[wasm_bindgen(constructor)]
    pub fn new(table: u32, options: &str) -> Result<ClientCore, String> {
        let config = ServerConfig::read_alone(&parse(options, "options")?).map_err(|error| thrown(&error))?;
        Ok(ClientCore { client: Client::new(Rc::new(WebPlatform::new(table)), config) })
    }

    /// Connects; answers with what is known of the server.
    pub fn connect(&self, ticket: u32) {
        let client = self.client.clone();
        work(ticket, |cancel| async move { Ok(json::text(&client.connect(&cancel).await?)) });
    }

    /// What is known of the server.
    pub fn info(&self) -> String {
        json::text(&self.client.info())
    }

    /// Answers with the list whose elements are in the field `key`.
    pub fn list(&self, ticket: u32, key: &str, options: &str) -> Result<(), String> {
        let list = List::of(key).ok_or_else(|| thrown(&Error::config("list", "there is no such list")))?;
        let options = call_options(options)?;
        let client = self.client.clone();
        work(ticket, |cancel| async move { Ok(json::text(&client.list(list, &options, &cancel).await?.into_value())) });
        Ok(())
    }

    /// Sends a request; answers with its result.
    pub fn ask(&self, ticket: u32, method: String, params: &str, options: &str) -> Result<(), String> {
        let params = params_of(params)?;
        let options = call_options(options)?;
        let client = self.client.clone();
        work(ticket, |cancel| async move {
            let mut report = |progress: Progress| door::progress(ticket, &json::text(&progress_json(progress)));
            let result = client.ask(&method, &params, &options, &cancel, &mut report).await?;
            Ok(json::text(&Value::Object(result)))
        });
        Ok(())
    }

    /// Answers null once the server gave a sign of life.
    pub fn ping(&self, ticket: u32, options: &str) -> Result<(), String> {
        let options = call_options(options)?;
        let client = self.client.clone();
        work(ticket, |cancel| async move {
            client.ping(&options, &cancel).await?;
            Ok("null".to_owned())
        });
        Ok(())
    }

    /// Tells of changes as progress on the ticket, and answers null once that was cancelled.
    pub fn watch(&self, ticket: u32, filter: &str) -> Result<(), String> {
        let filter = Filter::read(&parse(filter, "filter")?, "filter").map_err(|error| thrown(&error))?;
        let client = self.client.clone();
        work(ticket, |cancel| async move {
            let mut tell = |change: Change| door::progress(ticket, &json::text(&change.to_value()));
            match client.watch(filter, &cancel, &mut tell).await {
                Err(error) if error.code == Code::Cancelled => Ok("null".to_owned()),
                outcome => outcome.map(|()| "null".to_owned()),
            }
        });
        Ok(())
    }

    /// Ends the connection.
    pub fn close(&self, ticket: u32) {
        let client = self.client.clone();
        work(ticket, |_| async move {
            client.close().await;
            Ok("null".to_owned())
        });
    }
}

pub(super) fn call_options(json: &str) -> Result<CallOptions, String> {
    CallOptions::read(&parse(json, "options")?).map_err(|error| thrown(&error))
}

pub(super) fn params_of(json: &str) -> Result<Map<String, Value>, String> {
    match parse(json, "params")? {
        Value::Object(params) => Ok(params),
        Value::Null => Ok(Map::new()),
        other => Err(thrown(&crate::options::expected("params", "an object", &other))),
    }
}
