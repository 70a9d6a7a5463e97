//! One model call: request out, bytes in, deltas to the run.

use std::cell::RefCell;
use std::rc::Rc;

use crate::agent::fact::Fact;
use crate::drive::handle::RunHandle;
use crate::drive::wait::{Cancel, Stop, unless_cancelled, within};
use crate::error::{Code, Error, Result, Retry};
use crate::llm::config::{ModelConfig, Provider};
use crate::llm::offline_wire;
use crate::llm::types::{Delta, Message, ToolDefinition};
use crate::llm::wire::{Decoder, Encoder, label};
use crate::platform::{Body, NetworkError, Part, Platform};
use crate::time::Millis;

/// How long a stream may stay open after the model's own end mark before it is aborted. Waiting for the last bytes
/// lets the connection be used again.
const LINGER: Millis = Millis(1000);

/// What a run asks, over and over, with a growing history.
pub(crate) struct Model {
    config: Rc<ModelConfig>,
    idle: Millis,
    system: Option<String>,
    /// Set once the tools are known; for the model on the network.
    encoder: RefCell<Option<Encoder>>,
    /// The same for the embedded model.
    tools: RefCell<Vec<ToolDefinition>>,
}

impl Model {
    pub(crate) fn new(config: Rc<ModelConfig>, idle: Millis, system: Option<String>) -> Model {
        Model { config, idle, system, encoder: RefCell::new(None), tools: RefCell::new(Vec::new()) }
    }

    /// Says which tools the model is offered; they are serialised once.
    pub(crate) fn offer(&self, tools: Vec<ToolDefinition>) {
        match self.config.provider {
            Provider::Offline => *self.tools.borrow_mut() = tools,
            _ => {
                let encoder = Encoder::new(&self.config, self.system.as_deref(), &tools);
                *self.encoder.borrow_mut() = Some(encoder);
            }
        }
    }

    /// Builds what [`Model::call`] sends. Apart from it, since it borrows the history and must not wait.
    pub(crate) fn prepare(&self, messages: &[Message]) -> Prepared {
        if let Some(encoder) = &mut *self.encoder.borrow_mut() {
            for message in &messages[encoder.messages()..] {
                encoder.push(message);
            }
            return Prepared::Request(encoder.request());
        }
        Prepared::Embedded(offline_wire::request(self.system.as_deref(), messages, &self.tools.borrow()))
    }

    /// Asks, and reports deltas and the end to `run`.
    pub(crate) async fn call<P: Platform>(&self, platform: &P, prepared: Prepared, run: &RunHandle, cancel: &Cancel) {
        let request = match prepared {
            Prepared::Request(request) => request,
            Prepared::Embedded(request) => {
                return match self.embedded(platform, request, cancel).await {
                    Ok(deltas) => {
                        run.push(Fact::Deltas(deltas));
                        run.push(Fact::ModelEnded);
                    }
                    Err(error) => run.push(Fact::ModelFailed(error)),
                };
            }
        };
        let what = label(&self.config);
        match self.stream(platform, request, &what, run, cancel).await {
            Ok(mut body) => {
                run.push(Fact::ModelEnded);
                // The answer is complete; what follows is only the end of the stream, also after the end of the run.
                let rest = async { while let Some(Ok(_)) = body.chunk().await {} };
                let _ = within(platform, LINGER, &Cancel::new(), rest).await;
            }
            Err(error) => run.push(Fact::ModelFailed(error)),
        }
    }

    async fn embedded<P: Platform>(&self, platform: &P, request: String, cancel: &Cancel) -> Result<Vec<Delta>> {
        const WHAT: &str = "the offline model";
        let answer = within(platform, self.idle, cancel, platform.call_part(Part::Offline, request)).await;
        let text = answer.map_err(|stop| self.stopped(stop, WHAT))?.map_err(|words| {
            // It could not be loaded: as good as a model that does not answer.
            Error::new(Code::Network, [WHAT, ": ", &words].concat()).retry(Retry::Backoff)
        })?;
        offline_wire::deltas(&text).ok_or_else(|| Error::new(Code::Protocol, [WHAT, ": gave no answer"].concat()))
    }

    async fn stream<P: Platform>(
        &self,
        platform: &P,
        request: crate::http::Request,
        what: &str,
        run: &RunHandle,
        cancel: &Cancel,
    ) -> Result<P::Body> {
        let stopped = |stop: Stop| self.stopped(stop, what);
        let answer = within(platform, self.idle, cancel, platform.fetch(request)).await.map_err(stopped)?;
        let mut response = answer.map_err(|error| network(what, "no answer", error))?;
        let mut decoder = Decoder::new(&self.config, &response.head);
        let mut deltas = Vec::new();
        loop {
            // A reader that went away never catches up.
            unless_cancelled(cancel, run.ready()).await.map_err(stopped)?;
            let chunk = within(platform, self.idle, cancel, response.body.chunk()).await.map_err(stopped)?;
            let fed = match chunk {
                Some(Ok(bytes)) => decoder.feed(&bytes, &mut deltas).map(|()| decoder.is_done()),
                Some(Err(error)) => Err(network(what, "the answer broke off", error)),
                None => decoder.finish(&mut deltas).map(|()| true),
            };
            // What was decoded before a failure was really said.
            if !deltas.is_empty() {
                run.push(Fact::Deltas(std::mem::take(&mut deltas)));
            }
            if fed? {
                return Ok(response.body);
            }
        }
    }

    fn stopped(&self, stop: Stop, what: &str) -> Error {
        match stop {
            Stop::Cancelled => Error::cancelled(what),
            Stop::TimedOut => {
                let message = format!("{what}: no sign of life for {} ms (limits.turnTimeoutMs)", self.idle.0);
                Error::new(Code::Timeout, message).retry(Retry::Backoff)
            }
        }
    }
}

/// What a model call sends: over the network, or to the embedded model.
pub(crate) enum Prepared {
    Request(crate::http::Request),
    Embedded(String),
}

fn network(what: &str, happened: &str, error: NetworkError) -> Error {
    let mut result = Error::new(Code::Network, format!("{what}: {happened}: {}", error.message)).retry(Retry::Backoff);
    result.maybe_cors = error.maybe_cors;
    result
}
