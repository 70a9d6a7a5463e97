//! Puts the tool calls of a Chat Completions stream together from their fragments.
//!
//! By the book every fragment has an `index`, and the first of each also `id` and `function.name`. In the wild the
//! index is missing or always 0, the id is missing, empty or the same for all, the name comes with every fragment,
//! and the arguments come as an object. Where the fields do not say whether a fragment goes on or begins anew, the
//! arguments do: a JSON object that is closed is not gone on with.

use serde_json::Value;

use super::failure::Fault;
use super::json;
use super::types::Delta;
use super::wire::{MAX_CALLS, TOO_MANY_CALLS, made_up_id};

/// Vendors whose tool calls carry a signature in `extra_content`, which they demand back.
const VENDORS: [&str; 2] = ["google", "vertex"];

/// The vendor and the bare signature, of one that [`Calls`] made; `None` for those of other wires.
pub(super) fn split_signature(signature: &str) -> Option<(&str, &str)> {
    signature.split_once(':').filter(|(vendor, _)| VENDORS.contains(vendor))
}

/// The calls of one answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    calls: Vec<Call>,
    started: u32,
}

#[derive(Clone, Debug, Default)]
struct Call {
    /// The provider's `index`.
    key: Option<u64>,
    id: String,
    name: String,
    /// Ours; set once the name is known and the call was told of.
    index: Option<u32>,
    /// Arguments that came before the name.
    held: String,
    signature: Option<String>,
    shape: Shape,
    /// Was told to be complete.
    ended: bool,
}

/// How far a JSON text has come, as far as needed to see its end.
#[derive(Clone, Debug, Default)]
struct Shape {
    depth: u32,
    in_string: bool,
    escaped: bool,
    closed: bool,
    /// There is something in it: some servers begin with an empty object and mean nothing by it.
    filled: bool,
}

impl Shape {
    fn started(&self) -> bool {
        self.depth > 0 || self.closed
    }

    fn feed(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => {
                    self.in_string = !self.in_string;
                    self.filled = true;
                }
                b'{' | b'[' if !self.in_string => self.depth += 1,
                b'}' | b']' if !self.in_string => {
                    self.depth = self.depth.saturating_sub(1);
                    self.closed |= self.depth == 0;
                }
                _ => {}
            }
        }
    }
}

impl Calls {
    /// Reads the fragments of one chunk.
    pub(super) fn fragments(&mut self, fragments: &mut [Value], out: &mut Vec<Delta>) -> Result<(), Fault> {
        let known = self.calls.len();
        fragments.iter_mut().try_for_each(|fragment| self.fragment(fragment, known, out))
    }

    /// Something is called.
    pub(super) fn any(&self) -> bool {
        !self.calls.is_empty()
    }

    /// Ends every call; none may have stayed without a name.
    pub(super) fn end(&mut self, out: &mut Vec<Delta>) -> Result<(), Fault> {
        if self.calls.iter().any(|call| call.index.is_none()) {
            return Err(Fault::Malformed("a tool call without a name"));
        }
        self.end_calls(&|_| true, out);
        Ok(())
    }

    /// Ends, in their order, the calls that have not ended, up to the first that `which` does not name.
    fn end_calls(&mut self, which: &dyn Fn(&Call) -> bool, out: &mut Vec<Delta>) {
        for index in 0..self.started {
            let mut open = self.calls.iter_mut().filter(|call| call.index == Some(index) && !call.ended);
            let Some(call) = open.next() else { continue };
            if !which(call) {
                return;
            }
            call.ended = true;
            out.push(Delta::ToolEnd { index });
        }
    }

    /// `known` is the number of calls before this chunk.
    fn fragment(&mut self, fragment: &mut Value, known: usize, out: &mut Vec<Delta>) -> Result<(), Fault> {
        let key = fragment.get("index").and_then(Value::as_u64);
        let id = json::take(fragment, "id");
        let signature = VENDORS.iter().find_map(|vendor| {
            let proof = fragment.get("extra_content")?.get(vendor)?.get("thought_signature")?.as_str()?;
            Some([vendor, ":", proof].concat())
        });
        // Some leave the inner object out.
        let nested = fragment.get("function").is_some_and(Value::is_object);
        let function = if nested { &mut fragment["function"] } else { fragment };
        let name = json::take(function, "name");
        let arguments = match function.get_mut("arguments") {
            Some(Value::String(text)) => std::mem::take(text),
            Some(Value::Object(fields)) if fields.is_empty() => String::new(),
            Some(Value::Null) | None => String::new(),
            Some(other) => crate::json::text(other),
        };

        let found = match (key, id.as_deref()) {
            (Some(_), _) => self.calls.iter().rposition(|call| call.key == key),
            // A new id on every fragment, without a name: it goes on.
            (None, Some(id)) => {
                let same = self.calls.iter().rposition(|call| call.id == id);
                same.or(if name.is_none() { self.calls.len().checked_sub(1) } else { None })
            }
            (None, None) => self.calls.len().checked_sub(1),
        };
        let goes_on = found.filter(|at| {
            let call = &self.calls[*at];
            let other_id = id.as_deref().is_some_and(|id| !call.id.is_empty() && id != call.id);
            let begins = name.is_some()
                && (other_id && (call.shape.closed || !call.shape.started())
                    || call.shape.closed && !arguments.trim().is_empty()
                    || key.is_none() && *at >= known
                    || key.is_none() && id.is_none() && name.as_deref() != Some(&call.name));
            !begins
        });
        let at = match goes_on {
            Some(at) => at,
            None if name.is_none() && id.is_none() && key.is_none() => {
                if arguments.trim().is_empty() {
                    return Ok(());
                }
                return Err(Fault::Malformed("tool arguments before any tool call"));
            }
            None if self.calls.len() >= MAX_CALLS as usize => return Err(Fault::TooMany(TOO_MANY_CALLS)),
            None => {
                // A call behind them says that those before are complete.
                self.end_calls(&|call| call.shape.closed && call.shape.filled, out);
                self.calls.push(Call { key, ..Call::default() });
                self.calls.len() - 1
            }
        };

        let call = &mut self.calls[at];
        call.shape.feed(&arguments);
        if let Some(index) = call.index {
            if !arguments.is_empty() && !call.ended {
                out.push(Delta::ToolInput { index, json: arguments });
            }
            return Ok(());
        }
        call.held.push_str(&arguments);
        call.signature = call.signature.take().or(signature);
        if let (true, Some(id)) = (call.id.is_empty(), id) {
            call.id = id;
        }
        let Some(name) = name else { return Ok(()) };
        let index = self.started;
        self.started += 1;
        call.index = Some(index);
        call.name.clone_from(&name);
        out.extend(call.signature.take().map(Delta::Signature));
        let id = if call.id.is_empty() { made_up_id(index) } else { call.id.clone() };
        out.push(Delta::ToolStart { index, id, name });
        let json = std::mem::take(&mut call.held);
        if !json.is_empty() {
            out.push(Delta::ToolInput { index, json });
        }
        Ok(())
    }
}
