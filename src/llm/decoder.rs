//! Answers, to canonical deltas and typed errors.

use serde_json::Value;

use super::config::{ModelConfig, Provider};
use super::failure::{Fault, NO_CALL, Report, shown, verdict};
use super::types::Delta;
use super::wire::label;
use super::{anthropic, app_stream, count, gemini, openai_chat, responses_stream};
use crate::error::{Code, Error, Result, Retry};
use crate::http::{Head, retry_after};
use crate::secret::Secret;
use crate::sse;
use crate::time::Millis;

/// Most bytes of an answer.
const MAX_ANSWER: usize = 64 << 20;
/// Most bytes read of an answer that is an error.
const MAX_REFUSAL: usize = 64 << 10;

/// Reads the answer to one request.
///
/// An answer is a stream of events, one JSON object (servers that ignore `stream`), or an error; which one is seen
/// from status, media type and first byte. At most 64 MiB of an answer are read, 64 KiB of an error.
pub struct Decoder {
    /// `POST host/path (model id)`
    who: String,
    secrets: Vec<Secret>,
    status: u16,
    media_type: String,
    retry_after: Option<Millis>,
    may_retry: bool,
    mode: Mode,
    /// What is collected: an error, a JSON answer.
    body: Vec<u8>,
    total: usize,
    sse: sse::Decoder,
    stream: Box<dyn Stream>,
    failed: Option<Error>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// Nothing but white space came yet.
    Begin,
    Events,
    Json,
    Refused,
    /// A success of a media type that no model API sends.
    Foreign,
    Finished,
}

/// What a wire makes of the events of one answer.
pub(super) trait Stream {
    /// Reads one of the plain events that streams are full of, at a fraction of the usual cost.
    ///
    /// `false` when the event is not plain; nothing was done then. Else it did what [`Stream::event`] would have.
    fn plain(&mut self, name: &str, data: &str, out: &mut Vec<Delta>) -> bool;

    /// Reads one event; `name` is the SSE event's, for servers that leave the type out of the data.
    fn event(&mut self, name: &str, value: Value, out: &mut Vec<Delta>) -> std::result::Result<(), Fault>;

    /// Reads an answer that came as one JSON text.
    fn whole(&mut self, value: Value, out: &mut Vec<Delta>) -> std::result::Result<(), Fault>;

    /// Reads `[DONE]`. Gateways add it to the events of wires where it means nothing.
    fn done(&mut self, _out: &mut Vec<Delta>) -> std::result::Result<(), Fault> {
        Ok(())
    }

    /// Ends the answer with the body, if it is complete without an end mark; else does nothing.
    fn close(&mut self, _out: &mut Vec<Delta>) -> std::result::Result<(), Fault> {
        Ok(())
    }

    /// True once the answer is complete.
    fn is_done(&self) -> bool;

    /// What the provider calls the answer, once.
    fn id(&mut self) -> Option<String> {
        None
    }
}

impl Decoder {
    /// A decoder for the body that follows this head.
    pub fn new(config: &ModelConfig, head: &Head) -> Decoder {
        let stream: Box<dyn Stream> = match config.provider {
            Provider::Anthropic => Box::new(anthropic::Stream::default()),
            Provider::Gemini => Box::new(gemini::Stream::default()),
            Provider::App | Provider::Browser => Box::new(app_stream::Stream::default()),
            Provider::OpenAiResponses => Box::new(responses_stream::Stream::default()),
            _ => Box::new(openai_chat::Stream::default()),
        };
        Decoder::with(config, head, label(config), stream)
    }

    /// A decoder for the answer to a [request that counts](super::count::request), which messages call `who`. All that it
    /// gives is one [`Delta::Usage`] with the tokens of the input; nothing where the answer has no number.
    pub fn counting(config: &ModelConfig, head: &Head, who: &str) -> Decoder {
        Decoder::with(config, head, who.to_owned(), Box::new(count::Stream::default()))
    }

    fn with(config: &ModelConfig, head: &Head, who: String, stream: Box<dyn Stream>) -> Decoder {
        let media_type = head.media_type();
        let mode = match media_type.as_str() {
            _ if !head.is_success() => Mode::Refused,
            // Some servers send events without a media type, or as plain text.
            "text/event-stream" | "text/plain" | "" => Mode::Begin,
            json if json == "application/json" || json.ends_with("+json") => Mode::Json,
            _ => Mode::Foreign,
        };
        Decoder {
            who,
            secrets: config.api_key.iter().chain(config.headers.iter().map(|(_, value)| value)).cloned().collect(),
            status: head.status,
            media_type,
            retry_after: retry_after(&head.headers),
            // OpenAI and Anthropic know best, and say so where CORS lets it through.
            may_retry: head.headers.get("x-should-retry") != Some("false"),
            mode,
            body: Vec::new(),
            total: 0,
            sse: sse::Decoder::new(),
            stream,
            failed: None,
        }
    }

    /// Appends bytes of the body and pushes what they say to `out`.
    ///
    /// Chunk boundaries carry no meaning. Linear in `bytes.len()`. Bytes after the answer's end are ignored.
    ///
    /// # Errors
    ///
    /// - `auth_required`, `rate_limited`, `overloaded`, `timeout`, `provider`, `http`: the provider said so, by status
    ///   or in the stream. Its own words are in the message, cut to 300 characters and without our keys.
    /// - `protocol`: the bytes are no answer of a model API.
    /// - `limit`: an event over 4 MiB, an answer over 64 MiB, more than 256 tool calls.
    ///
    /// What was pushed before an error is valid. The error is repeated by every later call.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Result<()> {
        let fed = match self.failed.take() {
            Some(error) => Err(error),
            None => self.read(bytes, out),
        };
        self.failed = fed.as_ref().err().cloned();
        fed
    }

    /// Ends the answer at the end of the body.
    ///
    /// # Errors
    ///
    /// `truncated` when the provider's own end mark is missing (for OpenAI's dialects: and no finish reason came
    /// either), else as [`Decoder::feed`].
    pub fn finish(&mut self, out: &mut Vec<Delta>) -> Result<()> {
        let ended = match self.failed.take() {
            Some(error) => Err(error),
            None => self.end(out),
        };
        self.failed = ended.as_ref().err().cloned();
        ended
    }

    /// True once the answer has ended by its own mark: the rest of the body need not be waited for.
    pub fn is_done(&self) -> bool {
        self.mode == Mode::Finished
    }

    /// What the provider calls the answer, for wires where that can be gone on with; once, when it is complete.
    pub fn id(&mut self) -> Option<String> {
        self.stream.id()
    }

    fn read(&mut self, bytes: &[u8], out: &mut Vec<Delta>) -> Result<()> {
        match self.mode {
            Mode::Finished => Ok(()),
            Mode::Refused => {
                let room = MAX_REFUSAL - self.body.len();
                self.body.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if self.body.len() == MAX_REFUSAL { Err(self.refusal()) } else { Ok(()) }
            }
            Mode::Foreign => Err(self.foreign()),
            Mode::Begin => {
                let Some(at) = bytes.iter().position(|byte| !byte.is_ascii_whitespace()) else {
                    return self.grow(bytes.len());
                };
                self.mode = match bytes[at] {
                    b'{' | b'[' => Mode::Json,
                    b'<' => Mode::Foreign,
                    _ => Mode::Events,
                };
                self.grow(at)?;
                self.read(&bytes[at..], out)
            }
            Mode::Json => {
                self.grow(bytes.len())?;
                self.body.extend_from_slice(bytes);
                Ok(())
            }
            Mode::Events => {
                // However the answer is cut, the same bytes are read before the limit is met.
                let over = (self.total + bytes.len()).saturating_sub(MAX_ANSWER);
                let bytes = &bytes[..bytes.len() - over];
                self.total += bytes.len();
                let mut events = Vec::new();
                let fed = self.sse.feed(bytes, &mut events);
                for event in events {
                    self.event(&event, out)?;
                    if self.mode == Mode::Finished {
                        return Ok(());
                    }
                }
                fed.map_err(|long| self.error(Code::Limit, &long.to_string()))?;
                self.grow(over)
            }
        }
    }

    fn grow(&mut self, more: usize) -> Result<()> {
        self.total += more;
        if self.total > MAX_ANSWER { Err(self.error(Code::Limit, "the answer is over 64 MiB")) } else { Ok(()) }
    }

    fn event(&mut self, event: &sse::Event, out: &mut Vec<Delta>) -> Result<()> {
        let data = event.data.trim();
        if data.is_empty() {
            return Ok(());
        }
        if data == "[DONE]" {
            let ended = self.stream.done(out);
            return self.settle(ended);
        }
        if self.stream.plain(&event.event, data, out) {
            return Ok(());
        }
        let Ok(value) = serde_json::from_slice::<Value>(data.as_bytes()) else {
            let what = ["an event of ", &data.len().to_string(), " bytes that is no JSON"].concat();
            return Err(self.error(Code::Protocol, &what));
        };
        let read = self.stream.event(&event.event, value, out);
        self.settle(read)
    }

    fn end(&mut self, out: &mut Vec<Delta>) -> Result<()> {
        match self.mode {
            Mode::Finished => Ok(()),
            Mode::Refused => Err(self.refusal()),
            Mode::Foreign => Err(self.foreign()),
            Mode::Begin => Err(self.truncated()),
            Mode::Json => {
                let body = std::mem::take(&mut self.body);
                let value = match serde_json::from_slice::<Value>(&body) {
                    Ok(value) => value,
                    Err(error) if error.is_eof() => return Err(self.truncated()),
                    Err(_) => {
                        let what = ["a JSON answer of ", &body.len().to_string(), " bytes that is no JSON"].concat();
                        return Err(self.error(Code::Protocol, &what));
                    }
                };
                let read = self.stream.whole(value, out);
                self.settle(read)
            }
            Mode::Events => {
                let closed = self.stream.close(out);
                self.settle(closed)?;
                if self.mode == Mode::Finished { Ok(()) } else { Err(self.truncated()) }
            }
        }
    }

    /// Notes the end of the answer, or words the fault.
    fn settle(&mut self, read: std::result::Result<(), Fault>) -> Result<()> {
        if self.stream.is_done() {
            self.mode = Mode::Finished;
        }
        read.map_err(|fault| match fault {
            Fault::Malformed(what) => self.error(Code::Protocol, what),
            Fault::TooMany(what) => self.error(Code::Limit, what),
            Fault::Reported(report) => {
                let (code, retry) = report.verdict();
                self.error(code, &["error in the answer", &self.words(&report)].concat()).retry(retry)
            }
        })
    }

    /// The error of an answer that is one by its status.
    fn refusal(&mut self) -> Error {
        let body = std::mem::take(&mut self.body);
        let report = match serde_json::from_slice::<Value>(&body) {
            Ok(value) => Report::find_any(value),
            Err(_) if self.media_type == "text/plain" => {
                Report { message: String::from_utf8_lossy(&body).into_owned(), ..Report::default() }
            }
            Err(_) => Report::default(),
        };
        let (code, retry) = verdict(self.status);
        let retry = match (retry, self.retry_after) {
            _ if !self.may_retry => Retry::Never,
            // Too little money is told as "too many requests", but waiting does not help.
            _ if report.verdict() == (Code::RateLimited, Retry::Never) => Retry::Never,
            _ if report.kind == NO_CALL => Retry::Backoff,
            (Retry::Backoff, Some(delay)) => Retry::After(delay),
            _ => retry,
        };
        let mut what = self.status.to_string();
        let words = self.words(&report);
        if words.is_empty() {
            let media_type = if self.media_type.is_empty() { "no media type" } else { &self.media_type };
            let media_type = shown(media_type, &self.secrets);
            what += &[" (", &media_type, ", ", &body.len().to_string(), " bytes)"].concat();
        } else {
            what += &words;
        }
        self.error(code, &what).status(self.status).retry(retry)
    }

    /// The kind and the words of a report, each after a colon, without our secrets.
    fn words(&self, report: &Report) -> String {
        let mut out = String::new();
        for text in [&report.kind, &report.message] {
            if !text.is_empty() {
                out += &[": ", &shown(text, &self.secrets)].concat();
            }
        }
        out
    }

    fn foreign(&self) -> Error {
        let got = match self.media_type.as_str() {
            "" | "text/plain" | "text/event-stream" => "markup",
            media_type => media_type,
        };
        let expected = "expected text/event-stream or application/json, got ";
        let what = [expected, &shown(got, &self.secrets), " (", &self.status.to_string(), ")"].concat();
        self.error(Code::Protocol, &what).status(self.status)
    }

    fn truncated(&self) -> Error {
        let bytes = self.total.to_string();
        let what = ["the answer broke off after ", &bytes, " bytes, before its end mark"].concat();
        self.error(Code::Truncated, &what).retry(Retry::Backoff)
    }

    fn error(&self, code: Code, what: &str) -> Error {
        Error::new(code, [&self.who, ": ", what].concat())
    }
}

#[cfg(test)]
mod tests;
