//! The class behind `McpClient`, as [`AgentCore`](super::AgentCore) is behind `Agent`.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use serde_json::{Map, Value};
use wasm_bindgen::prelude::*;

use super::WebPlatform;
use super::arguments::Arguments;
use super::door;
use super::face::{parse, progress_json};
use super::rest::rest;
use super::work::{thrown, work};
use crate::drive::client::Client;
use crate::drive::mcp::Attendant;
use crate::drive::wait::Cancel;
use crate::error::{Error, Result};
use crate::json;
use crate::mcp::config::ServerConfig;
use crate::mcp::input::Ask;
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
    pub fn new(table: u32, options: &str, lasting: bool) -> std::result::Result<ClientCore, String> {
        let mut options = parse(options, "options")?;
        let caches = options.as_object_mut().and_then(|options| options.remove("cache"));
        let config = ServerConfig::read_alone(&options).map_err(|error| thrown(&error))?;
        let platform = Rc::new(WebPlatform::new(table));
        let client = match caches {
            Some(Value::Bool(true)) => Client::caching(platform, config),
            _ => Client::new(platform, config),
        };
        let wanted = lasting && client.has_ears();
        let ear = Ear { client: client.clone(), wanted, open: Rc::default() };
        Ok(ClientCore { client, ear })
    }

    /// What is known of the server.
    pub fn info(&self) -> String {
        json::text(&self.client.info())
    }

    /// Does what is asked for under `ticket` and answers with what comes of it, as `AgentCore::call`.
    pub fn call(&self, ticket: u32, method: String, arguments: &str) -> std::result::Result<(), String> {
        let arguments = Arguments::read(&method, arguments).map_err(|error| thrown(&error))?;
        let (client, ear) = (self.client.clone(), self.ear.clone());
        work(ticket, |cancel| perform(client, ear, ticket, method, arguments, cancel));
        Ok(())
    }
}

/// What [`ClientCore::call`] does: what every client wants here, the other methods where they are.
async fn perform(
    client: Client<WebPlatform>,
    ear: Ear,
    ticket: u32,
    method: String,
    mut given: Arguments,
    cancel: Cancel,
) -> Result<String> {
    if matches!(&*method, "connect" | "list" | "ask" | "resumeTask" | "ping" | "setLogLevel") {
        ear.open(&cancel).await?;
    }
    let answer = match &*method {
        "connect" => client.connect(&cancel).await?,
        "list" => match List::of(&given.text("key")?) {
            Some(list) => client.list(list, &given.options()?, &cancel).await?.into_value(),
            None => return Err(Error::config("key", "there is no such list")),
        },
        "ask" => {
            let mut report = |progress: Progress| door::progress(ticket, &json::text(&progress_json(progress)));
            let options = given.options()?;
            let (asked, params) = (given.text("method")?, given.object("params")?);
            let client = client.attended(Rc::new(Teller(ticket, options.meta.clone())));
            Value::Object(client.ask(&asked, &params, &options, &cancel, &mut report).await?)
        }
        "close" => {
            client.close().await;
            Value::Null
        }
        _ => return (rest().await?.client)(client, ticket, method, given, cancel).await,
    };
    Ok(json::text(&answer))
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
    async fn open(self, cancel: &Cancel) -> Result<()> {
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
