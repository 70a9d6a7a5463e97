//! The classes that the JavaScript shell (`pkg/agent.js`, `pkg/run.js`) calls: thin, everything crosses as JSON text.
//!
//! An error is thrown, or handed to a promise, as the JSON text of [`Error`].

use std::rc::Rc;

use serde_json::{Map, Value, json};
use wasm_bindgen::prelude::*;

use super::WebPlatform;
use super::arguments::Arguments;
use super::client::Teller;
use super::door;
use super::rest::rest;
use super::work::{thrown, work};
use crate::agent::config::{AgentConfig, RunOptions};
use crate::drive::agent::Agent;
use crate::drive::diagnose::Patient;
use crate::drive::handle::RunHandle;
use crate::drive::mcp::Attendant;
use crate::drive::resume::{read_decisions, refuse};
use crate::drive::wait::Cancel;
use crate::error::{Code, Error, Result};
use crate::json;
use crate::llm::config::Provider;
use crate::mcp::config::ServerConfig;
use crate::mcp::types::{CallToolResult, Progress};

/// Options as the shell sends them.
pub(super) fn parse(json: &str, path: &str) -> std::result::Result<Value, String> {
    serde_json::from_slice(json.as_bytes()).map_err(|_| thrown(&Error::config(path, "is nested too deeply")))
}

/// The core of `Agent`.
#[wasm_bindgen]
pub struct AgentCore {
    agent: Agent<WebPlatform>,
}

#[wasm_bindgen]
impl AgentCore {
    /// An agent whose functions the shell keeps under `table`.
    #[wasm_bindgen(constructor)]
    pub fn new(table: u32, options: &str) -> std::result::Result<AgentCore, String> {
        let config = AgentConfig::read(&parse(options, "options")?).map_err(|error| thrown(&error))?;
        Ok(AgentCore { agent: Agent::new(Rc::new(WebPlatform::new(table)), config) })
    }

    /// Does what is asked for under `ticket` and answers with what comes of it. One door for all that takes time: a
    /// future of its own for each would be most of this class.
    pub fn call(&self, ticket: u32, method: String, arguments: &str) -> std::result::Result<(), String> {
        let arguments = Arguments::read(&method, arguments).map_err(|error| thrown(&error))?;
        let agent = self.agent.clone();
        work(ticket, |cancel| perform(agent, ticket, method, arguments, cancel));
        Ok(())
    }

    /// The state of every server.
    pub fn servers(&self) -> String {
        json::text(&self.agent.servers())
    }

    /// Every tool that is known.
    pub fn tools(&self) -> String {
        json::text(&self.agent.tools())
    }

    /// The tools as a provider takes them.
    pub fn definitions(&self, format: &str) -> std::result::Result<String, String> {
        let format = match format {
            "anthropic" => Provider::Anthropic,
            "openai" => Provider::OpenAi,
            _ => return Err(thrown(&Error::config("format", "expected \"anthropic\" or \"openai\""))),
        };
        Ok(json::text(&self.agent.tool_definitions(format)))
    }

    /// Adds a server.
    #[wasm_bindgen(js_name = addServer)]
    pub fn add_server(&self, server: &str) -> std::result::Result<(), String> {
        let config = ServerConfig::read(&parse(server, "server")?, "server");
        config.and_then(|config| self.agent.add_server(config)).map_err(|error| thrown(&error))
    }

    /// Starts a run, in a conversation if one is named.
    pub fn run(
        &self,
        prompt: String,
        options: &str,
        conversation: Option<String>,
    ) -> std::result::Result<RunCore, String> {
        let options = RunOptions::read(&parse(options, "options")?).map_err(|error| thrown(&error))?;
        let (handle, driven) =
            self.agent.send(conversation.as_deref(), prompt, options).map_err(|error| thrown(&error))?;
        door::spawn(driven);
        Ok(RunCore { handle })
    }

    /// Takes up a run, from its snapshot or, by its id, from the store.
    pub fn resume(&self, from: String, decisions: &str) -> std::result::Result<RunCore, String> {
        let decisions = read_decisions(&parse(decisions, "decisions")?).map_err(|error| thrown(&error))?;
        let (agent, handle) = (self.agent.clone(), RunHandle::default());
        let driven = handle.clone();
        door::spawn(async move {
            match rest().await {
                Ok(rest) => (rest.resume)(agent, from, decisions, driven).await,
                Err(error) => refuse(&driven, error),
            }
        });
        Ok(RunCore { handle })
    }

    /// Starts a run of a plan.
    #[wasm_bindgen(js_name = runPlan)]
    pub fn run_plan(
        &self,
        plan: &str,
        options: &str,
        conversation: Option<String>,
    ) -> std::result::Result<RunCore, String> {
        let options = RunOptions::read(&parse(options, "options")?).map_err(|error| thrown(&error))?;
        let run = self.agent.run_plan(conversation.as_deref(), parse(plan, "plan")?, options);
        let (handle, driven) = run.map_err(|error| thrown(&error))?;
        door::spawn(driven);
        Ok(RunCore { handle })
    }
}

/// What [`AgentCore::call`] does: what every agent wants here, the other methods where they are.
async fn perform(
    agent: Agent<WebPlatform>,
    ticket: u32,
    method: String,
    mut given: Arguments,
    cancel: Cancel,
) -> Result<String> {
    let answer = match &*method {
        "connect" => {
            agent.connect(&cancel).await?;
            agent.servers()
        }
        "callTool" => {
            let mut report = |progress: Progress| door::progress(ticket, &json::text(&progress_json(progress)));
            let options = given.options()?;
            let (name, input) = (given.text("name")?, given.take("input"));
            let attendant = Some(Rc::new(Teller(ticket, options.meta)) as Rc<dyn Attendant>);
            result_json(agent.call_cached(&name, input, options.cache, &cancel, &mut report, attendant).await?)
        }
        "close" => {
            agent.close().await;
            Value::Null
        }
        _ => return (rest().await?.agent)(agent, ticket, method, given, cancel).await,
    };
    Ok(json::text(&answer))
}

/// The shell asked for something that this core does not do: the two are not of one version.
pub(super) fn no_method(method: &str) -> Error {
    Error::new(Code::Misuse, [method, ": the wasm is of another version than the scripts"].concat())
}

/// Looks at a server from here; answers with the report.
#[wasm_bindgen]
pub fn diagnose(ticket: u32, options: &str) -> std::result::Result<(), String> {
    let patient = Patient::read(&parse(options, "options")?).map_err(|error| thrown(&error))?;
    work(ticket, |cancel| async move { (rest().await?.diagnose)(patient, cancel).await });
    Ok(())
}

pub(super) fn progress_json(Progress { progress, total, message }: Progress) -> Value {
    let mut json = json!({ "progress": progress });
    if let Some(total) = total {
        json["total"] = json!(total);
    }
    if let Some(message) = message {
        json["message"] = json!(message);
    }
    json
}

pub(super) fn result_json(result: CallToolResult) -> Value {
    let mut json = Map::new();
    json.insert("content".into(), Value::Array(result.content));
    if let Some(structured) = result.structured_content {
        json.insert("structuredContent".into(), structured);
    }
    json.insert("isError".into(), Value::Bool(result.is_error));
    if let Some(meta) = result.meta {
        json.insert("_meta".into(), Value::Object(meta));
    }
    if let Some(age) = result.cached {
        json.insert("cached".into(), json!({ "ageMs": age.age_ms, "stale": age.stale }));
    }
    Value::Object(json)
}

/// The core of `Run`. The run goes on without it.
#[wasm_bindgen]
pub struct RunCore {
    handle: RunHandle,
}

#[wasm_bindgen]
impl RunCore {
    /// Answers with every event since the last call, null after the last one; if it is for the `end`, with the terminal
    /// event.
    pub fn next(&self, ticket: u32, end: bool) {
        let handle = self.handle.clone();
        work(ticket, |_| async move {
            if end {
                return Ok(handle.terminal().await.as_ref().to_owned());
            }
            Ok(handle.next_events().await.unwrap_or_else(|| "null".to_owned()))
        });
    }

    /// Somebody reads the events who can answer approval requests.
    pub fn attend(&self) {
        self.handle.set_answerable(true);
    }

    /// Lets a call go ahead.
    pub fn approve(&self, id: &str, remember: Option<String>) -> std::result::Result<(), String> {
        let approved = match remember {
            Some(scope) => self.handle.approve_alike(id, scope == "always"),
            None => self.handle.approve(id),
        };
        approved.map_err(|error| thrown(&error))
    }

    /// Refuses a call.
    pub fn deny(&self, id: &str, why: Option<String>) -> std::result::Result<(), String> {
        self.handle.deny(id, why.as_deref()).map_err(|error| thrown(&error))
    }

    /// Answers what a server wants of the user.
    pub fn answer(&self, id: &str, value: &str) -> std::result::Result<(), String> {
        let value = parse(value, "value")?;
        self.handle.answer(id, value).map_err(|error| thrown(&error))
    }

    /// Says something while the run is under way.
    pub fn steer(&self, text: String, follow_up: bool) -> std::result::Result<(), String> {
        self.handle.steer(text, follow_up).map_err(|error| thrown(&error))
    }

    /// Has the run put away when it waits for approvals alone.
    pub fn suspend(&self) -> std::result::Result<(), String> {
        self.handle.suspend().map_err(|error| thrown(&error))
    }

    /// The log of a run that has ended.
    pub fn log(&self) -> Option<String> {
        self.handle.log().map(|log| log.as_ref().to_owned())
    }

    /// The run has ended: its events that nobody took, and no more of it stays here.
    pub fn rest(&self) -> Option<String> {
        self.handle.let_go()
    }

    /// Cancels the run.
    pub fn cancel(&self) {
        self.handle.cancel();
    }
}
