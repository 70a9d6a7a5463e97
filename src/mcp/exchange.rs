//! One request's answer, from status and bytes to messages; both eras.
//!
//! ```text
//! head ──> JSON body ───────────────> finish ──> Answer | Failure
//!      ├─> event stream ──> feed ──> Progress, Notification, Request, Answer
//!      ├─> 202 ────────────────────> Answer::Accepted
//!      └─> 4xx, 5xx ───────────────> finish ──> Failure
//! ```
//!
//! # In scope
//!
//! - Both content types, limits, ids, result types; every way in which an answer can be wrong, with its error.
//!
//! # Out of scope
//!
//! - Waiting, retrying, and what a result means.
//!
//! # Examples
//!
//! ```
//! # use edgewise::mcp::{era::Era, exchange::{Answer, Exchange, Message}};
//! # use edgewise::http::{Head, Headers};
//! let mut headers = Headers::new();
//! headers.set("content-type", "text/event-stream");
//! let mut exchange = Exchange::new(Era::Modern, "tools/list on weather", Some(1));
//! exchange.head(&Head { status: 200, headers }).unwrap();
//! let mut messages = Vec::new();
//! exchange.feed(b"data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[]}}\n\n", &mut messages).unwrap();
//! let Some(Message::Answer(Answer::Complete(result))) = messages.pop() else { panic!() };
//! assert!(result.contains_key("tools"));
//! assert!(exchange.is_done());
//! ```

mod failure;
mod pieces;

use serde_json::{Map, Value};

use crate::error::{Code, Error, Retry};
use crate::http::Head;
use crate::jsonrpc::{self, Malformed, RequestId, same_number};
use crate::mcp::era::Era;
use crate::mcp::text::{MAX_QUOTE, clean};
use crate::mcp::types::Progress;
use crate::sse::{Decoder, Event};
use crate::time::Millis;

pub use failure::Failure;
use pieces::Pieces;

/// How a request was answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The result.
    Complete(Map<String, Value>),
    /// The server asks for input before it goes on ([MCP 2026-07-28, Multi Round-Trip Requests]).
    ///
    /// [MCP 2026-07-28, Multi Round-Trip Requests]: https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr
    InputRequired {
        /// What it asks, by keys of its own.
        requests: Map<String, Value>,
        /// To be sent back byte for byte.
        state: Option<String>,
    },
    /// The server made a task of it (tasks extension); its fields.
    Task(Map<String, Value>),
    /// Taken without an answer (202), as notifications and our answers are.
    Accepted,
}

/// What an answer brings, in order. At most one [`Message::Answer`], and nothing after it.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// The request is still worked on.
    Progress(Progress),
    /// Any other notification.
    Notification {
        /// Method, such as `notifications/message`.
        method: String,
        /// Its parameters.
        params: Option<Value>,
    },
    /// The server wants something of us; only in the legacy era.
    Request {
        /// To be echoed.
        id: RequestId,
        /// Method, such as `ping`.
        method: String,
        /// Its parameters.
        params: Option<Value>,
    },
    /// The end.
    Answer(Answer),
}

/// Longest body of an HTTP error that is looked at.
const MAX_ERROR_BODY: usize = 64 << 10;

enum State {
    /// No status yet.
    Waiting,
    /// Collecting a body; `media` is empty when the server named no type.
    Json {
        body: Pieces,
        untyped: bool,
    },
    Events(Box<Decoder>),
    Refused {
        head: Head,
        body: Vec<u8>,
    },
    Done,
}

/// Reads one request's answer. Feed [`head`](Exchange::head), then bytes, then [`finish`](Exchange::finish).
pub struct Exchange {
    era: Era,
    what: String,
    id: Option<u64>,
    limit: usize,
    safe: bool,
    state: State,
    status: u16,
    /// An answer to another request came along; remembered for the message if ours never comes.
    stranger: Option<String>,
    /// What came along for other requests of a legacy server.
    strays: Vec<jsonrpc::Message>,
    /// What an `endpoint` event named, on a stream that is no answer.
    endpoint: Option<String>,
    events: Vec<Event>,
}

impl Exchange {
    /// Bytes that a JSON body or one event may have unless told otherwise: 64 MiB.
    pub const DEFAULT_LIMIT: usize = 64 << 20;

    /// An exchange whose answer is still to come. `what` names it in errors; `id` is `None` for what expects no
    /// answer but 202.
    pub fn new(era: Era, what: impl Into<String>, id: Option<u64>) -> Exchange {
        Exchange {
            era,
            what: what.into(),
            id,
            limit: Exchange::DEFAULT_LIMIT,
            safe: false,
            state: State::Waiting,
            status: 0,
            stranger: None,
            strays: Vec::new(),
            endpoint: None,
            events: Vec::new(),
        }
    }

    /// The same exchange with another limit in bytes.
    pub fn limit(mut self, bytes: usize) -> Exchange {
        self.limit = bytes;
        self
    }

    /// The same exchange for a request that may be sent twice: errors then advise to retry.
    pub fn safe(mut self, safe: bool) -> Exchange {
        self.safe = safe;
        self
    }

    /// True once the answer came, or the exchange failed; nothing more needs to be read.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// True while a message has begun and is not complete: bytes that arrive now are no mere keep-alive.
    pub fn is_mid_message(&self) -> bool {
        match &self.state {
            State::Events(decoder) => decoder.is_pending(),
            State::Json { .. } | State::Refused { .. } => true,
            State::Waiting | State::Done => false,
        }
    }

    /// The last event id and the `retry` in force, while an event stream is read that has not brought its answer:
    /// what is needed to take it up again.
    pub fn position(&self) -> Option<(Option<&str>, Option<Millis>)> {
        match &self.state {
            State::Events(decoder) => Some((decoder.last_event_id(), decoder.retry())),
            _ => None,
        }
    }

    /// The event stream goes on over another connection; an event that was cut is gone.
    pub fn reopened(&mut self) {
        if let State::Events(decoder) = &mut self.state {
            **decoder = Decoder::with_limit(self.limit);
        }
    }

    /// Takes a message that came on another stream.
    ///
    /// # Errors
    ///
    /// The server's own, and a result that is none. The exchange is then done.
    pub fn deliver(&mut self, message: jsonrpc::Message, out: &mut Vec<Message>) -> Result<(), Failure> {
        if self.is_done() { Ok(()) } else { self.message(message, out) }
    }

    /// The answers and progress notices that a legacy server sent along for other requests.
    pub fn take_strays(&mut self) -> Vec<jsonrpc::Message> {
        std::mem::take(&mut self.strays)
    }

    /// What the first `endpoint` event named, on the stream of a server of 2024-11-05.
    pub fn take_endpoint(&mut self) -> Option<String> {
        self.endpoint.take()
    }

    /// Takes status and headers.
    ///
    /// # Errors
    ///
    /// When they alone show that no result can follow: a type that is neither JSON nor an event stream, or a
    /// declared length over the limit.
    pub fn head(&mut self, head: &Head) -> Result<(), Failure> {
        self.status = head.status;
        if !head.is_success() {
            self.state = State::Refused { head: head.clone(), body: Vec::new() };
            return Ok(());
        }
        let media = head.media_type();
        match media.as_str() {
            "text/event-stream" => self.state = State::Events(Box::new(Decoder::with_limit(self.limit))),
            // Whether it has a body shows at the end; 202 and 204 come without a type.
            "application/json" | "" => {
                let announced = head.headers.get("content-length").and_then(|length| length.parse::<usize>().ok());
                if announced > Some(self.limit) {
                    return Err(self.too_long());
                }
                self.state = State::Json { body: Pieces::default(), untyped: media.is_empty() };
            }
            // Some servers say `text/plain` beside an empty 202.
            _ if head.status == 202 => self.state = State::Json { body: Pieces::default(), untyped: true },
            media => {
                let got = ["expected application/json or text/event-stream, got ", &clean(media, 60)].concat();
                return Err(self.protocol(&got));
            }
        }
        Ok(())
    }

    /// Takes bytes of the body and pushes the messages they complete to `out`.
    ///
    /// Chunk boundaries carry no meaning. Bytes after the answer are ignored.
    ///
    /// # Errors
    ///
    /// `protocol` for what is no JSON-RPC, `limit` for a body or event over the limit, and the server's own
    /// error. The exchange is then done; messages pushed before are valid.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<Message>) -> Result<(), Failure> {
        match &mut self.state {
            State::Waiting | State::Done => Ok(()),
            State::Refused { body, .. } => {
                let room = MAX_ERROR_BODY.saturating_sub(body.len());
                body.extend_from_slice(&bytes[..bytes.len().min(room)]);
                Ok(())
            }
            State::Json { body, .. } => {
                if body.len() + bytes.len() > self.limit {
                    return Err(self.too_long());
                }
                body.push(bytes);
                Ok(())
            }
            State::Events(decoder) => {
                let mut events = std::mem::take(&mut self.events);
                let fed = decoder.feed(bytes, &mut events);
                let mut taken = Ok(());
                for mut event in events.drain(..) {
                    if event.name() == "endpoint" && self.id.is_none() && self.endpoint.is_none() {
                        self.endpoint = Some(event.data);
                        continue;
                    }
                    // An event without data primes resumption; other types are not MCP's.
                    if taken.is_ok() && !self.is_done() && event.name() == "message" && !event.data.is_empty() {
                        // The decoder's buffer may be twice as big, and a copy of a big result comes beside it.
                        event.data.shrink_to_fit();
                        taken = self.text(event.data.as_bytes(), out);
                    }
                }
                self.events = events;
                taken?;
                match fed {
                    Err(_) if !self.is_done() => Err(self.too_long()),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Takes the end of the body.
    ///
    /// # Errors
    ///
    /// Whenever no answer came: the HTTP error, `truncated` for a stream or text that ends too early, and
    /// what [`feed`](Exchange::feed) says of a JSON body.
    pub fn finish(&mut self, out: &mut Vec<Message>) -> Result<(), Failure> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Done => Ok(()),
            State::Waiting => Err(self.protocol("no status")),
            State::Refused { head, body } => Err(failure::refused(&self.what, self.advice(), &head, &body)),
            // What expects no result is content with any success.
            State::Json { .. } | State::Events(_) if self.id.is_none() => {
                out.push(Message::Answer(Answer::Accepted));
                Ok(())
            }
            State::Json { body, untyped } => self.json(&body.join(), untyped, out),
            State::Events(_) => Err(self.missing(Code::Truncated, "the stream ended before the answer")),
        }
    }

    fn json(&mut self, body: &[u8], untyped: bool, out: &mut Vec<Message>) -> Result<(), Failure> {
        if body.trim_ascii().is_empty() {
            if self.status == 202 {
                out.push(Message::Answer(Answer::Accepted));
                return Ok(());
            }
            return Err(self.protocol("an empty answer"));
        }
        if untyped {
            return Err(self.protocol("expected application/json or text/event-stream, got no content type"));
        }
        self.text(body, out)?;
        if self.is_answered(out) { Ok(()) } else { Err(self.missing(Code::Protocol, "no answer in the body")) }
    }

    /// The error of a connection that failed before or within the answer.
    ///
    /// `network` before the status, `truncated` after it: then the server did get the request.
    pub fn broken(&mut self, message: &str, maybe_cors: bool) -> Failure {
        let started = !matches!(self.state, State::Waiting);
        self.state = State::Done;
        let code = if started { Code::Truncated } else { Code::Network };
        let mut error = Error::new(code, [&self.what, ": ", &clean(message, MAX_QUOTE)].concat());
        error.maybe_cors = maybe_cors && !started;
        error.retry = self.advice();
        error.into()
    }

    fn is_answered(&self, out: &[Message]) -> bool {
        matches!(out.last(), Some(Message::Answer(_)))
    }

    fn text(&mut self, bytes: &[u8], out: &mut Vec<Message>) -> Result<(), Failure> {
        let messages = match self.era {
            Era::Modern => jsonrpc::parse(bytes).map(|message| vec![message]),
            Era::Legacy => jsonrpc::parse_batch(bytes),
        };
        let messages = messages.map_err(|malformed| {
            let code = if malformed == Malformed::Truncated { Code::Truncated } else { Code::Protocol };
            self.failed(code, &["got ", &malformed.to_string()].concat())
        })?;
        for message in messages {
            if self.is_answered(out) {
                break;
            }
            self.message(message, out)?;
        }
        Ok(())
    }

    fn message(&mut self, message: jsonrpc::Message, out: &mut Vec<Message>) -> Result<(), Failure> {
        let (id, outcome) = match message {
            jsonrpc::Message::Notification { method, params } => {
                match self.progress(&method, params.as_ref()) {
                    Some(progress) => out.push(Message::Progress(progress)),
                    None if self.era == Era::Legacy && method == "notifications/progress" => {
                        self.strays.push(jsonrpc::Message::Notification { method, params });
                    }
                    None => out.push(Message::Notification { method, params }),
                }
                return Ok(());
            }
            jsonrpc::Message::Request { id, method, params } => {
                // Modern servers must not send requests, and there is no way to answer one.
                if self.era == Era::Legacy {
                    out.push(Message::Request { id, method, params });
                }
                return Ok(());
            }
            jsonrpc::Message::Response { id, outcome } => (id, outcome),
        };
        let ours = match &id {
            Some(id) => self.id.is_some_and(|ours| id.is(ours)),
            // An error without an id answers a request that the server could not read: ours, nothing else is here.
            None => outcome.is_err(),
        };
        if !ours {
            self.stranger = Some(id.as_ref().map_or_else(|| "null".to_owned(), |id| clean(&id.to_string(), 40)));
            if self.era == Era::Legacy {
                self.strays.push(jsonrpc::Message::Response { id, outcome });
            }
            return Ok(());
        }
        self.state = State::Done;
        match outcome {
            Err(error) => Err(failure::answered(&self.what, error)),
            Ok(Value::Object(result)) => {
                out.push(Message::Answer(self.answer(result)?));
                Ok(())
            }
            Ok(_) => Err(self.protocol("the result is no object")),
        }
    }

    fn progress(&self, method: &str, params: Option<&Value>) -> Option<Progress> {
        let params = params.filter(|_| method == "notifications/progress")?;
        let token = params.get("progressToken")?;
        if !same_number(token, self.id?) {
            return None;
        }
        Some(Progress {
            progress: params.get("progress")?.as_f64()?,
            total: params.get("total").and_then(Value::as_f64),
            message: params.get("message").and_then(Value::as_str).map(str::to_owned),
        })
    }

    fn answer(&mut self, mut result: Map<String, Value>) -> Result<Answer, Failure> {
        if self.era == Era::Legacy {
            return Ok(Answer::Complete(result));
        }
        // Servers of earlier revisions name no type: then it is complete.
        let Some(kind) = result.get("resultType") else { return Ok(Answer::Complete(result)) };
        match kind.as_str() {
            Some("complete") => Ok(Answer::Complete(result)),
            Some("task") => Ok(Answer::Task(result)),
            Some("input_required") => {
                let requests = match result.remove("inputRequests") {
                    Some(Value::Object(requests)) => requests,
                    None => Map::new(),
                    Some(_) => return Err(self.protocol("inputRequests is no object")),
                };
                let state = match result.remove("requestState") {
                    Some(Value::String(state)) => Some(state),
                    None => None,
                    Some(_) => return Err(self.protocol("requestState is no string")),
                };
                if requests.is_empty() && state.is_none() {
                    return Err(self.protocol("asks for input without saying which"));
                }
                Ok(Answer::InputRequired { requests, state })
            }
            Some(other) => {
                let got = ["unknown resultType ", &clean(other, 40)].concat();
                Err(self.protocol(&got))
            }
            None => Err(self.protocol("resultType is no string")),
        }
    }

    fn missing(&mut self, code: Code, words: &str) -> Failure {
        match self.stranger.take() {
            Some(id) => {
                let ours = self.id.unwrap_or(0).to_string();
                self.protocol(&["the answer carries id ", &id, ", expected ", &ours].concat())
            }
            None => self.failed(code, words),
        }
    }

    fn protocol(&mut self, words: &str) -> Failure {
        self.failed(Code::Protocol, words)
    }

    fn too_long(&mut self) -> Failure {
        let limit = self.limit.to_string();
        self.failed(Code::Limit, &["the answer is longer than ", &limit, " bytes"].concat())
    }

    /// An error on an answer whose status was a success.
    fn failed(&mut self, code: Code, words: &str) -> Failure {
        self.state = State::Done;
        let status = self.status.to_string();
        let error = Error::new(code, [&self.what, ": ", words, " (", &status, ")"].concat()).status(self.status);
        error.retry(if code == Code::Truncated { self.advice() } else { Retry::Never }).into()
    }

    fn advice(&self) -> Retry {
        if self.safe { Retry::Backoff } else { Retry::Never }
    }
}

#[cfg(test)]
mod tests;
