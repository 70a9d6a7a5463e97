//! The classes that the JavaScript shell (`pkg/agent.js`, `pkg/run.js`) calls: thin, everything crosses as JSON text.
//!
//! An error is thrown, or handed to a promise, as the JSON text of [`Error`].

use std::rc::Rc;

use serde_json::{Map, Value, json};
use wasm_bindgen::prelude::*;

use super::WebPlatform;
use super::client::{Teller, call_options, params_of};
use super::door;
use super::work::{thrown, work};
use crate::agent::config::{AgentConfig, RunOptions};
use crate::drive;
use crate::drive::agent::Agent;
use crate::drive::diagnose::Patient;
use crate::drive::handle::RunHandle;
use crate::drive::mcp::Attendant;
use crate::error::Error;
use crate::json;
use crate::llm::config::Provider;
use crate::mcp::call_options::CallOptions;
use crate::mcp::config::ServerConfig;
use crate::mcp::lists::List;
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

    /// Connects every server; answers with the state of each.
    pub fn connect(&self, ticket: u32) {
        let agent = self.agent.clone();
        work(ticket, |cancel| async move {
            agent.connect(&cancel).await?;
            Ok(json::text(&agent.servers()))
        });
    }

    /// Goes on with a sign-in; answers with the state of the server that it was for.
    #[wasm_bindgen(js_name = finishAuthorization)]
    pub fn finish_authorization(&self, ticket: u32, callback: String) {
        let agent = self.agent.clone();
        work(ticket, |cancel| async move { Ok(json::text(&agent.finish_authorization(&callback, &cancel).await?)) });
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

    /// Closes a server and forgets it.
    #[wasm_bindgen(js_name = removeServer)]
    pub fn remove_server(&self, ticket: u32, name: String) {
        let agent = self.agent.clone();
        work(ticket, |_| async move {
            agent.remove_server(&name).await?;
            Ok("null".to_owned())
        });
    }

    /// Calls a tool; answers with its result.
    #[wasm_bindgen(js_name = callTool)]
    pub fn call_tool(&self, ticket: u32, name: String, input: &str, options: &str) -> std::result::Result<(), String> {
        let input = parse(input, "input")?;
        let CallOptions { meta, .. } = call_options(options)?;
        let agent = self.agent.clone();
        work(ticket, |cancel| async move {
            let mut report = |progress: Progress| door::progress(ticket, &json::text(&progress_json(progress)));
            let attendant = Some(Rc::new(Teller(ticket, meta)) as Rc<dyn Attendant>);
            let result = agent.call_attended(&name, input, &cancel, &mut report, attendant).await?;
            Ok(json::text(&result_json(result)))
        });
        Ok(())
    }

    /// Tells that the roots are others now; answers null.
    #[wasm_bindgen(js_name = rootsChanged)]
    pub fn roots_changed(&self, ticket: u32) {
        let agent = self.agent.clone();
        work(ticket, |_| async move {
            agent.roots_changed().await;
            Ok("null".to_owned())
        });
    }

    /// Answers with the tasks that are remembered.
    pub fn tasks(&self, ticket: u32) {
        let agent = self.agent.clone();
        work(ticket, |_| async move { Ok(json::text(&agent.tasks().await)) });
    }

    /// Takes up a task; answers with the result of its call.
    #[wasm_bindgen(js_name = resumeTask)]
    pub fn resume_task(&self, ticket: u32, server: String, task: String) {
        let agent = self.agent.clone();
        work(ticket, |cancel| async move {
            let mut report = |progress: Progress| door::progress(ticket, &json::text(&progress_json(progress)));
            let result = agent.resume_task(&server, &task, &cancel, &mut report).await?;
            Ok(json::text(&result_json(result)))
        });
    }

    /// Takes the definition of a tool that has changed for approved.
    #[wasm_bindgen(js_name = acceptTool)]
    pub fn accept_tool(&self, ticket: u32, name: String) {
        let agent = self.agent.clone();
        work(ticket, |_| async move {
            agent.accept_tool(&name).await?;
            Ok("null".to_owned())
        });
    }

    /// Answers with the elements of a list over all servers.
    pub fn list(&self, ticket: u32, key: &str) -> std::result::Result<(), String> {
        let list = List::of(key).ok_or_else(|| thrown(&Error::config("list", "there is no such list")))?;
        let agent = self.agent.clone();
        work(ticket, |cancel| async move { Ok(json::text(&agent.list(list, &cancel).await?)) });
        Ok(())
    }

    /// Sends a request to one server; answers with its result.
    pub fn ask(
        &self,
        ticket: u32,
        server: String,
        method: String,
        params: &str,
        options: &str,
    ) -> std::result::Result<(), String> {
        let params = params_of(params)?;
        let options = call_options(options)?;
        let agent = self.agent.clone();
        work(ticket, |cancel| async move {
            let mut report = |progress: Progress| door::progress(ticket, &json::text(&progress_json(progress)));
            let result = agent.ask(&server, &method, &params, &options, &cancel, &mut report).await?;
            Ok(json::text(&Value::Object(result)))
        });
        Ok(())
    }

    /// Starts a run.
    pub fn run(&self, prompt: String, options: &str) -> std::result::Result<RunCore, String> {
        let options = RunOptions::read(&parse(options, "options")?).map_err(|error| thrown(&error))?;
        let (handle, driven) = self.agent.run(prompt, options);
        door::spawn(driven);
        Ok(RunCore { handle })
    }

    /// Closes every connection.
    pub fn close(&self, ticket: u32) {
        let agent = self.agent.clone();
        work(ticket, |_| async move {
            agent.close().await;
            Ok("null".to_owned())
        });
    }
}

/// Looks at a server from here; answers with the report.
#[wasm_bindgen]
pub fn diagnose(ticket: u32, options: &str) -> std::result::Result<(), String> {
    let patient = Patient::read(&parse(options, "options")?).map_err(|error| thrown(&error))?;
    work(ticket, |cancel| async move {
        let platform = WebPlatform::new(0);
        Ok(json::text(&drive::diagnose::diagnose(&platform, &patient, &cancel).await?))
    });
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

fn result_json(result: CallToolResult) -> Value {
    let mut json = Map::new();
    json.insert("content".into(), Value::Array(result.content));
    if let Some(structured) = result.structured_content {
        json.insert("structuredContent".into(), structured);
    }
    json.insert("isError".into(), Value::Bool(result.is_error));
    if let Some(meta) = result.meta {
        json.insert("_meta".into(), Value::Object(meta));
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
    /// Answers with every event since the last call, null after the last one.
    pub fn next(&self, ticket: u32) {
        let handle = self.handle.clone();
        work(ticket, |_| async move { Ok(handle.next_events().await.unwrap_or_else(|| "null".to_owned())) });
    }

    /// Answers with the terminal event.
    pub fn terminal(&self, ticket: u32) {
        let handle = self.handle.clone();
        work(ticket, |_| async move { Ok(handle.terminal().await.as_ref().to_owned()) });
    }

    /// Answers null once the run is over.
    pub fn over(&self, ticket: u32) {
        let handle = self.handle.clone();
        work(ticket, |_| async move {
            handle.terminal().await;
            Ok("null".to_owned())
        });
    }

    /// Somebody reads the events who can answer approval requests.
    pub fn attend(&self) {
        self.handle.set_answerable(true);
    }

    /// Lets a call go ahead.
    pub fn approve(&self, id: &str) -> std::result::Result<(), String> {
        self.handle.approve(id).map_err(|error| thrown(&error))
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

    /// Cancels the run.
    pub fn cancel(&self) {
        self.handle.cancel();
    }
}
