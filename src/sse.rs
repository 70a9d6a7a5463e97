//! Decoder of `text/event-stream`, from bytes to events.
//!
//! # In scope
//!
//! - The rules of WHATWG HTML, "Parsing an event stream" and "Interpreting an event stream".
//! - What resumption needs: the last event id and the `retry` time, also from events without data.
//!
//! # Out of scope
//!
//! - What events mean; reconnecting; media types.
//!
//! # Examples
//!
//! ```
//! # use edgewise::sse::Decoder;
//! let mut decoder = Decoder::new();
//! let mut events = Vec::new();
//! decoder.feed(b": hi\nid: 7\ndata: one\r", &mut events).unwrap();
//! decoder.feed(b"\ndata: two\n\ndata: cut", &mut events).unwrap();
//! assert_eq!(events.len(), 1);
//! assert_eq!((events[0].name(), events[0].data.as_str()), ("message", "one\ntwo"));
//! assert_eq!(decoder.last_event_id(), Some("7"));
//! assert!(decoder.is_pending());
//! ```

use std::fmt;

use crate::time::Millis;

/// One dispatched event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Value of the `event` field; empty when there was none, see [`Event::name`].
    pub event: String,
    /// Values of the `data` fields, joined by line feeds.
    pub data: String,
    /// Value of the `id` field of this very event; [`Decoder::last_event_id`] also knows earlier ones.
    pub id: Option<String>,
    /// Value of the `retry` field of this very event.
    pub retry: Option<Millis>,
}

impl Event {
    /// The event's type: `message` unless the `event` field says otherwise.
    pub fn name(&self) -> &str {
        if self.event.is_empty() { "message" } else { &self.event }
    }
}

/// One event outgrew the decoder's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The limit in bytes.
    pub limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event is longer than ")?;
        fmt::Display::fmt(&self.limit, f)?;
        f.write_str(" bytes")
    }
}

impl std::error::Error for TooLong {}

/// Turns bytes of an event stream into [`Event`]s.
#[derive(Clone, Debug)]
pub struct Decoder {
    limit: usize,
    spent: bool,
    /// No line was finished yet, so a byte order mark may still stand before the first one.
    first_line: bool,
    /// The last byte was a CR; an LF right after it belongs to the same line end.
    after_cr: bool,
    /// Bytes of the unfinished line.
    line: Vec<u8>,
    /// Data of the unfinished event. Bytes, because UTF-8 is checked once for the whole.
    data: Vec<u8>,
    has_data: bool,
    /// The unfinished event has any field that means something.
    has_field: bool,
    event: String,
    id: Option<String>,
    event_retry: Option<Millis>,
    last_event_id: Option<String>,
    retry: Option<Millis>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder::new()
    }
}

impl Decoder {
    /// Bytes that one event may have unless told otherwise: 4 MiB.
    pub const DEFAULT_LIMIT: usize = 4 << 20;

    /// A decoder at the beginning of a stream, with the default limit.
    pub const fn new() -> Decoder {
        Decoder::with_limit(Decoder::DEFAULT_LIMIT)
    }

    /// A decoder that holds at most `limit` bytes of one event.
    pub const fn with_limit(limit: usize) -> Decoder {
        Decoder {
            limit,
            spent: false,
            first_line: true,
            after_cr: false,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            has_field: false,
            event: String::new(),
            id: None,
            event_retry: None,
            last_event_id: None,
            retry: None,
        }
    }

    /// Appends bytes from the network and pushes every event they complete to `out`.
    ///
    /// Chunk boundaries carry no meaning: byte by byte gives the same events as all at once, also when a
    /// boundary splits `\r\n`, the byte order mark or a UTF-8 sequence. Invalid UTF-8 becomes U+FFFD. Comment
    /// lines (`:`) give no event, nor do events without a `data` field, though these still set
    /// [`last_event_id`](Decoder::last_event_id) and [`retry`](Decoder::retry).
    ///
    /// Linear in `bytes.len()`. Holds at most the limit (default 4 MiB, counting `data` and the unfinished line).
    ///
    /// # Errors
    ///
    /// [`TooLong`] when one event outgrows the limit; the decoder is then spent and repeats the error. Malformed
    /// lines are no error: they are ignored, as WHATWG HTML, "Interpreting an event stream", requires.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), TooLong> {
        if self.spent {
            return Err(TooLong { limit: self.limit });
        }
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = line_end(rest) {
            self.check(end)?;
            if self.line.is_empty() {
                self.finish_line(&rest[..end], out);
            } else {
                self.line.extend_from_slice(&rest[..end]);
                let line = std::mem::take(&mut self.line);
                self.finish_held_line(line, out);
            }
            let cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if cr {
                self.after_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        self.check(rest.len())?;
        self.line.extend_from_slice(rest);
        Ok(())
    }

    /// The id to resume from: that of the last finished event that carried one, with or without data.
    ///
    /// `None` until an id was seen; an empty `id` field takes it back.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref().filter(|id| !id.is_empty())
    }

    /// The last reconnection time that the stream asked for.
    pub fn retry(&self) -> Option<Millis> {
        self.retry
    }

    /// True while an event has begun and is not finished; at the end of the body this means that it was cut.
    ///
    /// An unfinished comment does not count.
    pub fn is_pending(&self) -> bool {
        let line = self.without_bom(&self.line);
        self.has_field || !line.is_empty() && line[0] != b':'
    }

    fn check(&mut self, more: usize) -> Result<(), TooLong> {
        if self.data.len() + self.line.len() + more > self.limit {
            self.spent = true;
            self.line = Vec::new();
            self.data = Vec::new();
            return Err(TooLong { limit: self.limit });
        }
        Ok(())
    }

    fn without_bom<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        if self.first_line { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line }
    }

    /// A line that came in several chunks. Its buffer becomes the event's data, so that a large event exists once.
    fn finish_held_line(&mut self, mut line: Vec<u8>, out: &mut Vec<Event>) {
        if self.has_data || self.first_line || !line.starts_with(b"data:") {
            self.finish_line(&line, out);
            line.clear();
            self.line = line;
            return;
        }
        let skip = if line.get(5) == Some(&b' ') { 6 } else { 5 };
        line.drain(..skip);
        self.data = line;
        self.has_data = true;
        self.has_field = true;
    }

    fn finish_line(&mut self, line: &[u8], out: &mut Vec<Event>) {
        let line = self.without_bom(line);
        self.first_line = false;
        if let Some(value) = line.strip_prefix(b"data:") {
            return self.push_data(value.strip_prefix(b" ").unwrap_or(value));
        }
        if line.is_empty() {
            return self.dispatch(out);
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => self.push_data(value),
            b"event" => {
                self.event = text(value.to_vec());
                self.has_field = true;
            }
            b"id" if !value.contains(&0) => {
                self.id = Some(text(value.to_vec()));
                self.has_field = true;
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let digit = |sum: u64, byte: &u8| sum.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                self.event_retry = Some(Millis(value.iter().fold(0, digit)));
                self.retry = self.event_retry;
                self.has_field = true;
            }
            _ => {}
        }
    }

    fn push_data(&mut self, value: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        self.has_data = true;
        self.has_field = true;
    }

    fn dispatch(&mut self, out: &mut Vec<Event>) {
        if !self.has_field {
            return;
        }
        self.has_field = false;
        let event = std::mem::take(&mut self.event);
        let id = self.id.take();
        if id.is_some() {
            self.last_event_id.clone_from(&id);
        }
        let retry = self.event_retry.take();
        if std::mem::take(&mut self.has_data) {
            let data = text(std::mem::take(&mut self.data));
            out.push(Event { event, data, id, retry });
        }
    }
}

/// Index of the first CR or LF. Eight bytes at a time: streams are read byte for byte nowhere else.
fn line_end(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const LF: u64 = u64::from_ne_bytes([b'\n'; 8]);
    const CR: u64 = u64::from_ne_bytes([b'\r'; 8]);
    let is_end = |byte: &u8| *byte == b'\n' || *byte == b'\r';
    let mut at = 0;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_ne_bytes(word.try_into().unwrap_or_default());
        let (lf, cr) = (word ^ LF, word ^ CR);
        // A byte of `x` is zero exactly if this leaves a bit in some byte: the old test for a zero byte in a word.
        let zero = (lf.wrapping_sub(ONES) & !lf) | (cr.wrapping_sub(ONES) & !cr);
        if zero & HIGH != 0 {
            break;
        }
        at += 8;
    }
    bytes[at..].iter().position(is_end).map(|end| at + end)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests;
