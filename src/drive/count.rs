//! Counts what a run would ask the model with, without asking it.
//!
//! The run is a run, up to the moment in which it would call the model: so nothing counts otherwise than it is sent.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::agent::config::RunOptions;
use crate::agent::fact::{Compacted, Fact, Step};
use crate::agent::run::Run;
use crate::agent::view::Rate;
use crate::drive::agent::{Agent, Purpose};
use crate::drive::handle::RunHandle;
use crate::drive::model::{Model, Prepared};
use crate::drive::wait::{Cancel, unless_cancelled};
use crate::error::{Error, Result};
use crate::json;
use crate::platform::Platform;

/// What a run would have sent, and how many characters that is.
#[derive(Default)]
pub(crate) struct Counted(RefCell<Option<(Prepared, u64)>>);

/// Does in a run that only counts what such a step asks for: the history is not compacted, and the run ends when it would
/// ask the model.
pub(super) fn count_instead(model: &Model, run: &Run, step: &Step, handle: &RunHandle) {
    let (Some(counted), Step::CallModel(ask)) = (&model.counted, step) else {
        return handle.push(Fact::Compacted(Compacted::default()));
    };
    let (messages, view) = (run.messages(), run.view());
    *counted.0.borrow_mut() = Some((model.prepare(messages, view, ask), model.weight(messages, view)));
    handle.cancel();
}

impl<P: Platform> Agent<P> {
    /// How many tokens a run with that prompt would first ask the model with, as `{ inputTokens, estimated }`: with its
    /// system prompt, tools, context and history, that of a conversation where one is named. By the provider's own count where
    /// it counts; else estimated, at the rate that it counted before. Asks no model and leaves nothing in the conversation.
    ///
    /// # Errors
    ///
    /// `config` for an id that is none of a conversation, `misuse` after [`Agent::close`], `cancelled`, and what went wrong with
    /// the provider that counts: it is asked once.
    pub async fn count_tokens(
        &self,
        conversation: Option<&str>,
        prompt: String,
        options: RunOptions,
        cancel: &Cancel,
    ) -> Result<Value> {
        self.check_open()?;
        let conversation = conversation.map(|id| self.conversations().get(id)).transpose()?;
        let cancelled = |_| Error::cancelled("countTokens");
        let limits = self.config().limits;
        let counted = Rc::new(Counted::default());
        let (handle, driven) = self.begin_in(conversation, prompt, options, Purpose::Count(counted.clone()));
        unless_cancelled(cancel, driven).await.map_err(cancelled)?;
        let Some((prepared, chars)) = counted.0.take() else {
            let end: Value = json::read(&handle.terminal().await).unwrap_or_default();
            return Err(Error::read(&end["error"]).unwrap_or_else(|| Error::cancelled("countTokens")));
        };
        let mut model = Model::new(self.model_config(), &limits, None, None);
        model.counted = Some(counted);
        let known = model.count(&**self.platform(), prepared, cancel).await?;
        // So what compaction and context go by is right before the first answer.
        if let Some(rate) = known.and_then(|tokens| Rate::observed(chars, tokens)) {
            self.note_rate(rate);
        }
        let tokens = known.unwrap_or_else(|| self.rate().tokens(chars));
        Ok(json!({ "inputTokens": tokens, "estimated": known.is_none() }))
    }
}

#[cfg(test)]
#[path = "count_tests.rs"]
mod tests;
