//! Reads the stream of the Responses wire: items that begin, come in pieces, and end.
//!
//! By the book every event names its item by `output_index` and `item_id`. Other servers leave out one, both, or all
//! of the pieces, so what an item says is taken from its end, or that of the answer, where no piece came.

use std::borrow::Cow;

use serde_json::Value;

use super::decoder;
use super::failure::{Fault, Report, told};
use super::json;
use super::openai_responses::VENDOR;
use super::scan::Scan;
use super::types::{Delta, StopReason, Usage};
use super::wire::{MAX_CALLS, TOO_MANY_CALLS, made_up_id};

/// Reads the events of one answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    items: Vec<Item>,
    calls: u32,
    usage: Usage,
    refused: bool,
    done: bool,
    id: Option<String>,
}

/// An item of the output.
#[derive(Clone, Debug)]
struct Item {
    id: String,
    /// The provider's `output_index`.
    place: Option<u64>,
    kind: Kind,
    /// Something of it came in pieces, so its end need not be read.
    fed: bool,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Message,
    Reasoning,
    /// A function call; ours is the index.
    Call(u32),
}

/// What a piece is for, by the event's type.
fn piece_of(event: &str) -> Option<Kind> {
    Some(match event {
        "response.output_text.delta" | "response.refusal.delta" => Kind::Message,
        "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => Kind::Reasoning,
        "response.function_call_arguments.delta" => Kind::Call(0),
        _ => return None,
    })
}

impl decoder::Stream for Stream {
    fn plain(&mut self, name: &str, data: &str, out: &mut Vec<Delta>) -> bool {
        let Some(piece) = plain(data).filter(|_| name != "error") else { return false };
        self.piece(&piece.event, piece.place, &piece.item, piece.text.into_owned(), out).is_ok()
    }

    fn event(&mut self, name: &str, value: Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let mut value = told(name, value)?;
        let kind = json::take(&mut value, "type").unwrap_or_else(|| name.to_owned());
        let place = value.get("output_index").and_then(Value::as_u64);
        match kind.as_str() {
            "response.output_item.added" => {
                let mut item = value.get_mut("item").map(Value::take).unwrap_or_default();
                if self.known(place, &item).is_none() {
                    self.begin(place, &mut item, out)?;
                }
            }
            "response.output_item.done" => {
                self.end_item(place, value.get_mut("item").unwrap_or(&mut Value::Null), out)?
            }
            "response.reasoning_summary_part.added" => {
                let id = json::take(&mut value, "item_id").unwrap_or_default();
                if self.item(Kind::Reasoning, place, &id).is_some_and(|at| self.items[at].fed) {
                    out.push(Delta::Thinking("\n\n".into()));
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                let response = value.get_mut("response").map(Value::take).unwrap_or_default();
                return self.end(&kind["response.".len()..], response, out);
            }
            event => {
                let id = json::take(&mut value, "item_id").unwrap_or_default();
                if let Some(text) = json::take(&mut value, "delta") {
                    self.piece(event, place, &id, text, out)?;
                }
            }
        }
        Ok(())
    }

    fn whole(&mut self, mut value: Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if let Some(report) = Report::find(&mut value) {
            return Err(Fault::Reported(report));
        }
        if !value.get("output").is_some_and(Value::is_array) {
            return Err(Fault::Malformed("a JSON answer without `output`"));
        }
        let status = json::take(&mut value, "status");
        self.end(status.as_deref().unwrap_or("completed"), value, out)
    }

    fn id(&mut self) -> Option<String> {
        self.id.take()
    }

    /// True once the response is completed, incomplete or failed.
    fn is_done(&self) -> bool {
        self.done
    }
}

/// A small piece of an item, as most events are.
struct Piece<'a> {
    event: Cow<'a, str>,
    place: Option<u64>,
    item: Cow<'a, str>,
    text: Cow<'a, str>,
}

fn plain(data: &str) -> Option<Piece<'_>> {
    let mut place = None;
    let [mut event, mut item, mut text] = [const { Cow::Borrowed("") }; 3];
    Scan::fields(data, &mut |scan, key| {
        match key {
            "type" => event = scan.string()?,
            "output_index" => place = Some(scan.count()?),
            "item_id" => item = scan.string()?,
            "delta" => text = scan.string()?,
            "error" | "object" => return None,
            _ => scan.skip()?,
        }
        Some(())
    })?;
    let plain = !text.is_empty() && piece_of(&event).is_some();
    plain.then_some(Piece { event, place, item, text })
}

impl Stream {
    /// The item that a piece belongs to: by place, by id, or the last one of its kind that is open.
    fn item(&self, kind: Kind, place: Option<u64>, id: &str) -> Option<usize> {
        let open = |item: &Item| !item.ended && std::mem::discriminant(&item.kind) == std::mem::discriminant(&kind);
        let find = |right: &dyn Fn(&Item) -> bool| self.items.iter().rposition(|item| open(item) && right(item));
        let placed = place.and_then(|_| find(&|item| item.place == place));
        placed.or_else(|| find(&|item| !id.is_empty() && item.id == id)).or_else(|| find(&|_| true))
    }

    fn piece(
        &mut self,
        event: &str,
        place: Option<u64>,
        id: &str,
        text: String,
        out: &mut Vec<Delta>,
    ) -> Result<(), Fault> {
        let Some(kind) = piece_of(event) else { return Ok(()) };
        let at = match self.item(kind, place, id) {
            Some(at) => at,
            None if matches!(kind, Kind::Call(_)) => {
                return Err(Fault::Malformed("tool arguments before any tool call"));
            }
            None => self.add(id.to_owned(), place, kind)?,
        };
        let item = &mut self.items[at];
        item.fed = true;
        self.refused |= event == "response.refusal.delta";
        out.push(match item.kind {
            Kind::Message => Delta::Text(text),
            Kind::Reasoning => Delta::Thinking(text),
            Kind::Call(index) => Delta::ToolInput { index, json: text },
        });
        Ok(())
    }

    fn add(&mut self, id: String, place: Option<u64>, kind: Kind) -> Result<usize, Fault> {
        if self.items.len() >= 4 * MAX_CALLS as usize {
            return Err(Fault::TooMany("more than 1,024 items in one answer"));
        }
        self.items.push(Item { id, place, kind, fed: false, ended: false });
        Ok(self.items.len() - 1)
    }

    /// The item that an event about a whole one means, ended or not; without place and id the last one of its kind.
    fn known(&self, place: Option<u64>, item: &Value) -> Option<usize> {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
        let kind = match text("type") {
            "message" => Kind::Message,
            "reasoning" => Kind::Reasoning,
            "function_call" => Kind::Call(0),
            _ => return None,
        };
        let same = |known: &Item| std::mem::discriminant(&known.kind) == std::mem::discriminant(&kind);
        let id = text("id");
        let find = |right: &dyn Fn(&Item) -> bool| self.items.iter().rposition(|known| same(known) && right(known));
        match place {
            Some(_) => find(&|known| known.place == place),
            None if !id.is_empty() => find(&|known| known.id == id),
            None => find(&|known| !known.ended),
        }
    }

    /// Begins an item; `None` for one of unknown kind, or whose name has not come.
    fn begin(&mut self, place: Option<u64>, item: &mut Value, out: &mut Vec<Delta>) -> Result<Option<usize>, Fault> {
        let kind = match json::take(item, "type").as_deref() {
            Some("message") => Kind::Message,
            Some("reasoning") => Kind::Reasoning,
            Some("function_call") => {
                let Some(name) = json::take(item, "name") else { return Ok(None) };
                let index = self.calls;
                if index >= MAX_CALLS {
                    return Err(Fault::TooMany(TOO_MANY_CALLS));
                }
                self.calls += 1;
                let id = json::take(item, "call_id").or_else(|| Some(item.get("id")?.as_str()?.to_owned()));
                let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| made_up_id(index));
                out.push(Delta::ToolStart { index, id, name });
                Kind::Call(index)
            }
            _ => return Ok(None),
        };
        let id = item.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.add(id, place, kind).map(Some)
    }

    /// Ends an item, and reads what did not come in pieces.
    fn end_item(&mut self, place: Option<u64>, item: &mut Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let at = match self.known(place, item) {
            Some(at) => at,
            None if item.get("type").and_then(Value::as_str) == Some("function_call")
                && item.get("name").and_then(Value::as_str).is_none_or(str::is_empty) =>
            {
                return Err(Fault::Malformed("a tool call without a name"));
            }
            None => match self.begin(place, item, out)? {
                Some(at) => at,
                None => return Ok(()),
            },
        };
        let Item { kind, fed, ended, .. } = &mut self.items[at];
        if std::mem::replace(ended, true) {
            return Ok(());
        }
        match *kind {
            Kind::Call(index) => {
                let arguments = match item.get_mut("arguments") {
                    Some(Value::String(text)) => std::mem::take(text),
                    Some(fields @ Value::Object(_)) => crate::json::text(fields),
                    _ => String::new(),
                };
                if !*fed && !arguments.is_empty() {
                    out.push(Delta::ToolInput { index, json: arguments });
                }
                out.push(Delta::ToolEnd { index });
            }
            Kind::Message if !*fed => {
                for part in parts(item, "content") {
                    out.extend(json::take(part, "text").map(Delta::Text));
                    if let Some(text) = json::take(part, "refusal") {
                        self.refused = true;
                        out.push(Delta::Text(text));
                    }
                }
            }
            Kind::Message => {}
            Kind::Reasoning => {
                if !*fed {
                    let summary: Vec<_> =
                        parts(item, "summary").iter_mut().filter_map(|part| json::take(part, "text")).collect();
                    let bare: Vec<_> =
                        parts(item, "content").iter_mut().filter_map(|part| json::take(part, "text")).collect();
                    let text = if summary.is_empty() { bare.concat() } else { summary.join("\n\n") };
                    if !text.is_empty() {
                        out.push(Delta::Thinking(text));
                    }
                }
                if let Some(sealed) = json::take(item, "encrypted_content") {
                    let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
                    out.push(Delta::Signature([VENDOR, id, ":", &sealed].concat()));
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, status: &str, mut response: Value, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if let Some(report) = Report::find(&mut response) {
            return Err(Fault::Reported(report));
        }
        if status == "failed" {
            return Err(Fault::Reported(Report::default()));
        }
        self.id = json::take(&mut response, "id");
        if self.items.is_empty() {
            for (place, item) in parts(&mut response, "output").iter_mut().enumerate() {
                self.end_item(Some(place as u64), item, out)?;
            }
        }
        let open = |item: &Item| match item.kind {
            Kind::Call(index) if !item.ended => Some(Delta::ToolEnd { index }),
            _ => None,
        };
        out.extend(self.items.iter().filter_map(open));
        self.count(response.get("usage"), out);
        let reason = response.get("incomplete_details").and_then(|details| details.get("reason"));
        let stop = match (status, reason.and_then(Value::as_str)) {
            _ if self.refused => StopReason::Refusal,
            ("completed", _) => StopReason::EndTurn,
            ("incomplete", Some("content_filter")) => StopReason::Refusal,
            ("incomplete", Some("max_output_tokens" | "max_tokens")) => StopReason::MaxTokens,
            _ => StopReason::Other,
        };
        out.push(Delta::Stop(stop));
        self.done = true;
        Ok(())
    }

    fn count(&mut self, usage: Option<&Value>, out: &mut Vec<Delta>) {
        let Some(usage) = usage.filter(|usage| usage.is_object()) else { return };
        let detail = |of: &str, key: &str| usage.get(of).map_or(0, |details| json::count(details, key));
        let usage = Usage {
            input_tokens: json::count(usage, "input_tokens"),
            output_tokens: json::count(usage, "output_tokens"),
            cache_read_tokens: detail("input_tokens_details", "cached_tokens"),
            cache_write_tokens: detail("input_tokens_details", "cache_write_tokens"),
            reasoning_tokens: detail("output_tokens_details", "reasoning_tokens"),
            cost: 0,
        };
        if usage != self.usage {
            self.usage = usage;
            out.push(Delta::Usage(usage));
        }
    }
}

/// The items of an array; none if it is no array.
fn parts<'a>(value: &'a mut Value, key: &str) -> &'a mut [Value] {
    value.get_mut(key).and_then(Value::as_array_mut).map_or(&mut [], |parts| parts.as_mut_slice())
}
