//! Keeps big results under handles, reads them, and puts them into arguments: asks the part that knows how.

use serde_json::{Map, Value, json};

use crate::agent::event::Outcome;
use crate::agent::fact::ToolOutput;
use crate::agent::kept;
use crate::drive::agent::Agent;
use crate::drive::wait::{Cancel, unless_cancelled};
use crate::error::{Code, Error, Result};
use crate::json;
use crate::platform::{Part, Platform};

/// About how many bytes a token is.
pub(crate) const BYTES: usize = 4;

impl<P: Platform> Agent<P> {
    /// What the run is told of a result: itself, or, where it is longer than `limits.maxResultTokens`, what it is like and
    /// the handle under which it is kept. `from` names the tool.
    pub(crate) async fn keep_big(&self, mut output: ToolOutput, from: &str, cancel: &Cancel) -> ToolOutput {
        let most = self.config().limits.max_result_tokens as usize;
        if kept::size(&output.content, output.structured_content.as_ref()) > most.saturating_mul(BYTES) {
            let (content, structured) = (std::mem::take(&mut output.content), output.structured_content.take());
            (output.content, output.structured_content, output.handle) =
                self.keep(content, structured, from, most, cancel).await;
        }
        output
    }

    /// Puts a result into the store, whatever its size, and gives what a model is to be told instead, in about `most` tokens
    /// at most, with the handle. Gives the result back, without a handle, when it cannot be kept.
    pub(crate) async fn keep(
        &self,
        content: Vec<Value>,
        structured: Option<Value>,
        from: &str,
        most: usize,
        cancel: &Cancel,
    ) -> (Vec<Value>, Option<Value>, Option<String>) {
        let mut request = Map::new();
        request.insert("do".into(), "keep".into());
        request.insert("from".into(), from.into());
        request.insert("most".into(), most.saturating_mul(BYTES).into());
        request.insert("content".into(), Value::Array(content));
        request.insert("structuredContent".into(), structured.unwrap_or_default());
        let mut request = Value::Object(request);
        let answer = self.ask_kept(&request, cancel).await;
        if let Ok(mut answer) = answer
            && let (Value::String(handle), Value::Array(content)) = (answer["handle"].take(), answer["content"].take())
        {
            return (content, None, Some(handle));
        }
        let structured = Some(request["structuredContent"].take()).filter(|data| !data.is_null());
        let content = match request["content"].take() {
            Value::Array(content) => content,
            _ => Vec::new(),
        };
        (content, structured, None)
    }

    /// Answers a call of `read_result`.
    pub(crate) async fn read_kept(&self, input: &Value, cancel: &Cancel) -> ToolOutput {
        let most = (self.config().limits.max_result_tokens as usize).saturating_mul(BYTES);
        let request = json!({ "do": "read", "input": input, "most": most });
        let (text, failed) = match self.ask_kept(&request, cancel).await {
            Ok(mut answer) => (answer["text"].take(), answer.get("failed").is_some()),
            Err(error) => (error.message.as_str().into(), true),
        };
        let content = vec![json!({ "type": "text", "text": text })];
        let outcome = if failed { Outcome::Failed } else { Outcome::Ok };
        ToolOutput { content, structured_content: None, is_error: failed, outcome, cached: None, handle: None }
    }

    /// Arguments with what the handles in them stand for, or why that is not possible, for the model. `None` when there are
    /// none.
    pub(crate) async fn put_in(
        &self,
        input: &Value,
        schema: Option<&Value>,
        cancel: &Cancel,
    ) -> Option<std::result::Result<Value, String>> {
        if !kept::mentions(input) {
            return None;
        }
        let request = json!({ "do": "expand", "input": input, "schema": schema });
        Some(match self.ask_kept(&request, cancel).await {
            Ok(mut answer) => match answer["problem"].take() {
                Value::String(problem) => Err(problem),
                _ => Ok(answer["input"].take()),
            },
            Err(error) => Err(error.message.clone()),
        })
    }

    /// What a handle of a `tool_result` stands for: `{ content, structuredContent? }`.
    ///
    /// # Errors
    ///
    /// `misuse` when it is not kept (any more), `network` when the part that knows cannot be loaded, `cancelled`.
    pub async fn kept_result(&self, handle: &str, cancel: &Cancel) -> Result<Value> {
        let answer = self.ask_kept(&json!({ "do": "get", "handle": handle }), cancel).await?;
        if answer.get("content").is_none() {
            return Err(Error::new(Code::Misuse, "readResult: this result is not kept any more, or was never"));
        }
        Ok(answer)
    }

    pub(crate) async fn ask_kept(&self, request: &Value, cancel: &Cancel) -> Result<Value> {
        let asked = self.platform().call_part(Part::Handles, json::text(request));
        match unless_cancelled(cancel, asked).await {
            Ok(Ok(answer)) => Ok(json::read(&answer).unwrap_or_default()),
            Ok(Err(words)) => Err(Error::new(Code::Network, ["kept results: ", &words].concat())),
            Err(_) => Err(Error::cancelled("kept results")),
        }
    }
}
