//! Checks what goes to a tool and what comes back against its schemas.
//!
//! A check never stands in the way: what cannot be checked, for whatever reason, is let pass.

use std::rc::Rc;

use serde_json::{Map, Value, json};

use crate::agent::fact::Call;
use crate::drive::agent::Agent;
use crate::drive::mcp::{Attendant, Connection};
use crate::drive::wait::{Cancel, within};
use crate::error::{Code, Error, Result};
use crate::mcp::types::{CallToolResult, Progress};
use crate::platform::{Part, Platform};
use crate::schema::{self, Outcome};
use crate::time::Millis;

/// How long a check may hold up a call. Nearly all of it is the time to load the part that checks, once.
const PATIENCE: Millis = Millis::from_secs(5);

/// Checks a value; what is wrong, and what could not be checked.
pub(crate) async fn check<P: Platform>(platform: &P, schema: &Value, value: &Value, cancel: &Cancel) -> Outcome {
    if schema::plainly_fits(schema, value) {
        return Outcome::default();
    }
    let asked = platform.call_part(Part::Schema, schema::request(schema, value));
    match within(platform, PATIENCE, cancel, asked).await {
        Ok(Ok(answer)) => schema::read(&answer),
        Ok(Err(words)) => unsure(["schemas are not checked: ", &words].concat()),
        Err(_) => unsure("schemas are not checked: the part that does so was not loaded in time".into()),
    }
}

fn unsure(words: String) -> Outcome {
    Outcome { problems: Vec::new(), unsure: vec![words] }
}

/// What is wrong with the structured content of a result that the tool does not call an error itself: it has to be there.
async fn structured<P: Platform>(platform: &P, schema: &Value, content: Option<&Value>, cancel: &Cancel) -> Outcome {
    match content {
        None => Outcome { problems: vec!["there is none".into()], unsure: Vec::new() },
        Some(value) => check(platform, schema, value, cancel).await,
    }
}

impl<P: Platform> Connection<P> {
    /// Checks what a tool that was listed gave against its `outputSchema` ([MCP 2026-07-28, Tools, "Output Schema"]: clients
    /// should).
    ///
    /// # Errors
    ///
    /// `protocol`, with the paths of what is wrong and no values.
    ///
    /// [MCP 2026-07-28, Tools, "Output Schema"]: https://modelcontextprotocol.io/specification/2026-07-28/server/tools#output-schema
    pub(crate) async fn keeps_promise(
        &self,
        params: &Map<String, Value>,
        result: &Map<String, Value>,
        cancel: &Cancel,
    ) -> Result<()> {
        let name = params.get("name").and_then(Value::as_str).unwrap_or("");
        let failed = result.get("isError") == Some(&Value::Bool(true));
        let Some(schema) = self.promise(name).filter(|_| !failed) else { return Ok(()) };
        let outcome = structured(self.platform(), &schema, result.get("structuredContent"), cancel).await;
        if outcome.problems.is_empty() {
            return Ok(());
        }
        let words = ["tools/call ", name, ": structuredContent is not what outputSchema says: "];
        Err(Error::new(Code::Protocol, [words.concat(), outcome.problems.join("; ")].concat()))
    }
}

impl<P: Platform> Agent<P> {
    /// Makes a call that a model asked for. Arguments that are not what the schema says go nowhere: the model is told
    /// what is wrong. A structured result that is not gets a note.
    ///
    /// # Errors
    ///
    /// As [`Agent::call_tool`].
    pub(crate) async fn call_checked(
        &self,
        call: &Call,
        cancel: &Cancel,
        on_progress: &mut dyn FnMut(Progress),
        attendant: Option<Rc<dyn Attendant>>,
    ) -> Result<CallToolResult> {
        let name = call.tool.name.as_str();
        let schemas = self.schemas(name);
        let refused = |why: String| {
            let content = vec![json!({ "type": "text", "text": why })];
            Ok(CallToolResult { content, is_error: true, ..Default::default() })
        };
        let mut output = match (&call.task, &call.tool.server) {
            // It was made already.
            (Some(task), Some(server)) => self.follow_task(server, task, cancel, on_progress, attendant).await,
            _ => {
                // The handles of big results stand for them.
                let schema = schemas.as_ref().map(|schemas| &schemas.input);
                let input = match self.put_in(&call.input, schema, cancel).await {
                    None => call.input.clone(),
                    Some(Ok(input)) => input,
                    Some(Err(why)) => return refused(["not called: ", &why].concat()),
                };
                if let Some(schemas) = &schemas {
                    let outcome = check(&**self.platform(), &schemas.input, &input, cancel).await;
                    self.warn(name, &outcome);
                    if !outcome.problems.is_empty() {
                        let lines = outcome.problems.join("\n- ");
                        let why = ["not called: the arguments are not what the tool takes:\n- ", &lines];
                        return refused(why.concat());
                    }
                }
                self.call_attended(name, input, cancel, on_progress, attendant).await
            }
        };
        if let (Ok(result), Some(schema)) = (&mut output, schemas.and_then(|schemas| schemas.output))
            && !result.is_error
        {
            let outcome = structured(&**self.platform(), &schema, result.structured_content.as_ref(), cancel).await;
            self.warn(name, &outcome);
            if !outcome.problems.is_empty() {
                // The model is shown the structured content where there is no other.
                if let (true, Some(data)) = (result.content.is_empty(), &result.structured_content) {
                    result.content.push(json!({ "type": "text", "text": crate::json::text(data) }));
                }
                let lines = outcome.problems.join("\n- ");
                let note =
                    ["Note: the structured content is not what the tool promised in its outputSchema:\n- ", &lines];
                result.content.push(json!({ "type": "text", "text": note.concat() }));
            }
        }
        output
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
