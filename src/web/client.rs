//! The class behind `McpClient`, as [`AgentCore`](super::AgentCore) is behind `Agent`.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use serde_json::{Map, Value};
use wasm_bindgen::prelude::*;

use super::WebPlatform;
use super::door;
use super::face::{parse, progress_json};
use super::work::{thrown, work};
use crate::drive::client::Client;
use crate::drive::mcp::Attendant;
use crate::drive::wait::Cancel;
use crate::error::{Code, Error};
use crate::json;
use crate::mcp::call_options::CallOptions;
use crate::mcp::config::ServerConfig;
use crate::mcp::input::Ask;
use crate::mcp::listen::{Change, Filter};
use crate::mcp::lists::List;
use crate::mcp::types::Progress;

/// The core of `McpClient`.
#[wasm_bindgen]
pub struct ClientCore {
    client: Client<WebPlatform>,
    ear: Ear,
}

#[wasm_bindgen]
impl ClientCore {
    /// A client whose functions the shell keeps under `table`. If it is `lasting`, streams may outlive the request that
    /// opened them.
    #[wasm_bindgen(constructor)]
    pub fn new(table: u32, options: &str, lasting: bool) -> Result<ClientCore, String> {
        let config = ServerConfig::read_alone(&parse(options, "options")?).map_err(|error| thrown(&error))?;
        let client = Client::new(Rc::new(WebPlatform::new(table)), config);
        let wanted = lasting && client.has_ears();
        let ear = Ear { client: client.clone(), wanted, open: Rc::default() };
        Ok(ClientCore { client, ear })
    }

    /// Connects; answers with what is known of the server.
    pub fn connect(&self, ticket: u32) {
        let client = self.client.clone();
        let ear = self.ear.clone();
        work(ticket, |cancel| async move {
            ear.open(&cancel).await?;
            Ok(json::text(&client.connect(&cancel).await?))
        });
    }

    /// Goes on with a sign-in; answers with what is known of the server.
    #[wasm_bindgen(js_name = finishAuthorization)]
    pub fn finish_authorization(&self, ticket: u32, callback: String) {
        let client = self.client.clone();
        work(ticket, |cancel| async move { Ok(json::text(&client.finish_authorization(&callback, &cancel).await?)) });
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
        let ear = self.ear.clone();
        work(ticket, |cancel| async move {
            ear.open(&cancel).await?;
            Ok(json::text(&client.list(list, &options, &cancel).await?.into_value()))
        });
        Ok(())
    }

    /// Sends a request; answers with its result.
    pub fn ask(&self, ticket: u32, method: String, params: &str, options: &str) -> Result<(), String> {
        let params = params_of(params)?;
        let options = call_options(options)?;
        let client = self.client.attended(Rc::new(Teller(ticket, options.meta.clone())));
        let ear = self.ear.clone();
        work(ticket, |cancel| async move {
            ear.open(&cancel).await?;
            let mut report = |progress: Progress| door::progress(ticket, &json::text(&progress_json(progress)));
            let result = client.ask(&method, &params, &options, &cancel, &mut report).await?;
            Ok(json::text(&Value::Object(result)))
        });
        Ok(())
    }

    /// Tells that the roots are others now; answers null.
    #[wasm_bindgen(js_name = rootsChanged)]
    pub fn roots_changed(&self, ticket: u32) {
        let client = self.client.clone();
        work(ticket, |_| async move {
            client.roots_changed().await;
            Ok("null".to_owned())
        });
    }

    /// Answers with the tasks that are remembered.
    pub fn tasks(&self, ticket: u32) {
        let client = self.client.clone();
        work(ticket, |_| async move { Ok(json::text(&client.tasks().await)) });
    }

    /// Takes up a task; answers with the result of its call.
    #[wasm_bindgen(js_name = resumeTask)]
    pub fn resume_task(&self, ticket: u32, id: String, options: &str) -> Result<(), String> {
        let options = call_options(options)?;
        let client = self.client.clone();
        let ear = self.ear.clone();
        work(ticket, |cancel| async move {
            ear.open(&cancel).await?;
            let mut report = |progress: Progress| door::progress(ticket, &json::text(&progress_json(progress)));
            let result = client.resume_task(&id, &options, &cancel, &mut report).await?;
            Ok(json::text(&Value::Object(result)))
        });
        Ok(())
    }

    /// Cancels a task.
    #[wasm_bindgen(js_name = cancelTask)]
    pub fn cancel_task(&self, ticket: u32, id: String) {
        let client = self.client.clone();
        work(ticket, |cancel| async move {
            client.cancel_task(&id, &cancel).await?;
            Ok("null".to_owned())
        });
    }

    /// Takes the definition of a tool that has changed for approved.
    #[wasm_bindgen(js_name = acceptTool)]
    pub fn accept_tool(&self, ticket: u32, name: String) {
        let client = self.client.clone();
        work(ticket, |_| async move {
            client.accept_tool(&name).await?;
            Ok("null".to_owned())
        });
    }

    /// Answers null once the server gave a sign of life.
    pub fn ping(&self, ticket: u32, options: &str) -> Result<(), String> {
        let options = call_options(options)?;
        let client = self.client.clone();
        let ear = self.ear.clone();
        work(ticket, |cancel| async move {
            ear.open(&cancel).await?;
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

    /// Answers null once the server is told from which level on to log.
    #[wasm_bindgen(js_name = setLogLevel)]
    pub fn set_log_level(&self, ticket: u32, level: String) {
        let client = self.client.clone();
        let ear = self.ear.clone();
        work(ticket, |cancel| async move {
            ear.open(&cancel).await?;
            client.set_log_level(&level, &cancel).await?;
            Ok("null".to_owned())
        });
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

/// Listens to an older server from the first request on.
#[derive(Clone)]
struct Ear {
    client: Client<WebPlatform>,
    wanted: bool,
    open: Rc<Cell<bool>>,
}

impl Ear {
    /// Connects and begins to listen, where there is something to hear and nobody listens yet. Goes on until the session
    /// or the client ends.
    async fn open(self, cancel: &Cancel) -> crate::error::Result<()> {
        if !self.wanted {
            return Ok(());
        }
        self.client.connect(cancel).await?;
        if !self.open.replace(true) {
            door::spawn(async move {
                self.client.stand_by().await;
                self.open.set(false);
            });
        }
        Ok(())
    }
}

/// Tells the shell that a call became a task; the user is asked by the functions of the app. All requests for the call
/// carry the same in `_meta`.
pub(super) struct Teller(pub(super) u32, pub(super) Map<String, Value>);

impl Attendant for Teller {
    fn ask<'a>(&'a self, _: &'a str, _: &'a Ask) -> Pin<Box<dyn Future<Output = Option<Value>> + 'a>> {
        Box::pin(async { None })
    }

    fn is_asked(&self) -> bool {
        false
    }

    fn meta(&self) -> &Map<String, Value> {
        &self.1
    }

    fn task(&self, id: &str) {
        door::progress(self.0, &json::text(&serde_json::json!({ "taskId": id })));
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
