//! The laws of a run's events, as the app sees them: JSON in, what is broken out.

use serde_json::Value;

/// Checks the events of one run from first to last; gives one line per broken law.
pub fn broken(events: &[Value]) -> Vec<String> {
    let mut checker = Checker::default();
    for (place, event) in events.iter().enumerate() {
        checker.event(event, place, events.len());
    }
    if checker.terminals != 1 {
        checker.wrong(format!("{} terminal events", checker.terminals));
    }
    checker.wrong
}

/// An open tool call of the current turn.
struct Open {
    id: String,
    results: u32,
    requests: u32,
    progress: f64,
    /// A plan asks for it, not the model.
    planned: bool,
}

#[derive(Default)]
struct Checker {
    wrong: Vec<String>,
    terminals: u32,
    turn: u64,
    in_turn: bool,
    text: String,
    thinking: String,
    calls: Vec<Open>,
    last_text: String,
    output_tokens: u64,
    compacted: bool,
}

/// The type of an event or a block.
pub fn kind(event: &Value) -> &str {
    event["type"].as_str().unwrap_or("")
}

/// The joined texts of a message's blocks of that type.
pub fn texts(message: &Value, block: &str) -> String {
    let blocks = message["content"].as_array().map_or(&[][..], Vec::as_slice);
    blocks.iter().filter(|b| kind(b) == block).filter_map(|b| b["text"].as_str()).collect()
}

/// Ids of a message's blocks of that type.
fn ids<'a>(message: &'a Value, block: &str, field: &str) -> Vec<&'a str> {
    let blocks = message["content"].as_array().map_or(&[][..], Vec::as_slice);
    blocks.iter().filter(|b| kind(b) == block).filter_map(|b| b[field].as_str()).collect()
}

impl Checker {
    fn wrong(&mut self, text: impl Into<String>) {
        self.wrong.push(text.into());
    }

    fn is_open(&self, id: &str) -> bool {
        self.calls.iter().any(|call| call.id == id && call.results == 0)
    }

    fn open(&mut self, event: &Value) -> Option<&mut Open> {
        let id = event["id"].as_str().unwrap_or("");
        if !self.calls.iter().any(|call| call.id == id) {
            self.wrong(format!("{} for {id:?}, which was not called in this turn", kind(event)));
        }
        self.calls.iter_mut().find(|call| call.id == id)
    }

    fn event(&mut self, event: &Value, place: usize, count: usize) {
        if (place == 0) != (kind(event) == "run_start") {
            self.wrong(format!("event {place} is {}", kind(event)));
        }
        if self.terminals > 0 {
            self.wrong(format!("{} after the terminal event", kind(event)));
        }
        match kind(event) {
            "run_start" => {}
            "steered" => {
                if self.in_turn {
                    self.wrong("steered within a turn");
                }
            }
            // A slow server may become ready when the first turn has long begun.
            "server_status" => {}
            "turn_start" => {
                if self.in_turn || event["turn"].as_u64() != Some(self.turn + 1) {
                    self.wrong(format!("turn {} starts after turn {}", event["turn"], self.turn));
                }
                self.turn += 1;
                self.in_turn = true;
                self.text.clear();
                self.thinking.clear();
                self.calls.clear();
            }
            "text_delta" | "thinking_delta" => {
                // A call may begin before the answer ends.
                if !self.in_turn {
                    self.wrong("a delta outside of an answer");
                }
                let text = event["text"].as_str().unwrap_or("");
                if text.is_empty() {
                    self.wrong("an empty delta");
                }
                let whole = if kind(event) == "text_delta" { &mut self.text } else { &mut self.thinking };
                whole.push_str(text);
            }
            "compacted" => {
                // A summary costs tokens of its own.
                self.compacted = true;
                if !self.in_turn || !self.calls.is_empty() || !self.text.is_empty() {
                    self.wrong("compacted in the middle of a turn");
                }
            }
            "retry" if event["of"] == "tool" => {
                if let Some(call) = self.open(event) {
                    let ended = call.results > 0;
                    call.progress = f64::NEG_INFINITY;
                    if ended {
                        self.wrong("a call is made again after its result");
                    }
                }
            }
            "retry" => {
                // What has begun cannot be asked for again.
                if !self.in_turn || !self.calls.is_empty() {
                    self.wrong("asked again outside of an answer, or after a call of it has begun");
                }
            }
            "tool_call" => {
                let id = event["id"].as_str().unwrap_or("").to_owned();
                if !self.in_turn || self.calls.iter().any(|call| call.id == id) {
                    self.wrong(format!("tool_call {id:?} twice, or outside of a turn"));
                }
                if !event["input"].is_object() {
                    self.wrong("a tool_call whose input is no object");
                }
                let planned = event["callId"].is_string();
                if planned && !self.is_open(event["callId"].as_str().unwrap_or("")) {
                    self.wrong(format!("tool_call {id:?} of a plan that is not at work"));
                }
                self.calls.push(Open { id, results: 0, requests: 0, progress: f64::NEG_INFINITY, planned });
            }
            "plan_step" => {
                if !self.is_open(event["callId"].as_str().unwrap_or("")) {
                    self.wrong("plan_step of a plan that is not at work");
                }
            }
            "approval_request" => {
                if let Some(call) = self.open(event) {
                    call.requests += 1;
                    if call.requests > 1 || call.results > 0 {
                        self.wrong("approval_request twice, or after the result");
                    }
                }
            }
            "approved" => {
                if self.open(event).is_none_or(|call| call.requests != 1 || call.results > 0) {
                    self.wrong("approved without having been asked for, or after the result");
                }
            }
            "input_request" => {
                let call = event["callId"].as_str().unwrap_or("");
                if !self.calls.iter().any(|open| open.id == call && open.results == 0) {
                    self.wrong(format!("input_request for {call:?}, which is not at work"));
                }
                if !event["schema"].is_object() {
                    self.wrong("an input_request without its form");
                }
            }
            "tool_progress" => {
                let progress = event["progress"].as_f64().unwrap_or(f64::NAN);
                if let Some(call) = self.open(event) {
                    let grows = progress > call.progress;
                    call.progress = progress;
                    if call.results > 0 || !grows {
                        self.wrong("tool_progress after the result, or going backwards");
                    }
                }
            }
            "tool_result" => self.tool_result(event),
            "turn_end" => self.turn_end(event),
            "done" | "error" => self.terminal(event, place, count),
            other => self.wrong(format!("unknown event {other}")),
        }
    }

    fn tool_result(&mut self, event: &Value) {
        let outcome = event["outcome"].as_str().unwrap_or("");
        if event["isError"].as_bool() != Some(!matches!(outcome, "ok" | "cached")) {
            self.wrong(format!("isError {} with outcome {outcome}", event["isError"]));
        }
        if let Some(call) = self.open(event) {
            call.results += 1;
            if call.results > 1 {
                self.wrong("two results of one call");
            }
        }
    }

    fn turn_end(&mut self, event: &Value) {
        if !self.in_turn {
            self.wrong("turn_end outside of a turn");
        }
        self.in_turn = false;
        let message = &event["message"];
        if texts(message, "text") != self.text {
            self.wrong(format!("the text deltas of turn {} do not join to its message", self.turn));
        }
        if texts(message, "thinking") != self.thinking {
            self.wrong(format!("the thinking deltas of turn {} do not join to its message", self.turn));
        }
        let called: Vec<&str> = self.calls.iter().filter(|call| !call.planned).map(|call| call.id.as_str()).collect();
        if ids(message, "tool_use", "id") != called {
            self.wrong(format!("the calls of turn {} are not those of its message", self.turn));
        }
        if self.calls.iter().any(|call| call.results != 1) {
            self.wrong(format!("turn {} ends with a call that has no result", self.turn));
        }
        self.calls.clear();
        self.last_text = texts(message, "text");
        self.output_tokens += event["usage"]["outputTokens"].as_u64().unwrap_or(0);
    }

    fn terminal(&mut self, event: &Value, place: usize, count: usize) {
        self.terminals += 1;
        if place + 1 != count {
            self.wrong("the terminal event is not the last");
        }
        if !self.calls.is_empty() {
            self.wrong("the run ends within a turn that has calls");
        }
        self.history(&event["messages"]);
        if kind(event) == "done" {
            if self.in_turn {
                self.wrong("done within a turn");
            }
            if event["plan"].is_null() && event["text"] != self.last_text.as_str() {
                self.wrong("done.text is not the text of the last turn");
            }
            let (all, turns) = (event["usage"]["outputTokens"].as_u64(), Some(self.output_tokens));
            if all < turns || all > turns && !self.compacted {
                self.wrong("done.usage is not the sum of the turns");
            }
        }
    }

    /// Every tool use has its result, in order, in the next message; no message is empty.
    fn history(&mut self, messages: &Value) {
        let messages = messages.as_array().map_or(&[][..], Vec::as_slice);
        if messages.first().is_none_or(|first| first["role"] != "user") {
            self.wrong("the history does not begin with the user");
        }
        for (place, message) in messages.iter().enumerate() {
            if message["content"].as_array().is_none_or(Vec::is_empty) {
                self.wrong(format!("message {place} of the history is empty"));
            }
            let results = ids(message, "tool_result", "toolUseId");
            let calls = match place.checked_sub(1) {
                Some(before) => ids(&messages[before], "tool_use", "id"),
                None => Vec::new(),
            };
            if calls != results {
                self.wrong(format!("message {place} of the history has the results {results:?} for {calls:?}"));
            }
        }
        if messages.last().is_some_and(|last| !ids(last, "tool_use", "id").is_empty()) {
            self.wrong("the history ends with calls");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Vec<Value> {
        let usage = json!({ "outputTokens": 2 });
        let user = json!({ "role": "user", "content": [{ "type": "text", "text": "hi" }] });
        let tool_use = json!({ "type": "tool_use", "id": "a", "name": "t", "input": {} });
        let call = json!({ "role": "assistant", "content": [tool_use] });
        let tool_result = json!({ "type": "tool_result", "toolUseId": "a", "content": [], "isError": false });
        let result = json!({ "role": "user", "content": [tool_result] });
        let answer = json!({ "role": "assistant", "content": [{ "type": "text", "text": "hello" }] });
        let total = json!({ "outputTokens": 4 });
        vec![
            json!({ "type": "run_start", "runId": "r" }),
            json!({ "type": "turn_start", "turn": 1 }),
            json!({ "type": "tool_call", "id": "a", "name": "t", "input": {} }),
            json!({ "type": "tool_progress", "id": "a", "progress": 1 }),
            json!({ "type": "tool_result", "id": "a", "content": [], "isError": false, "outcome": "ok" }),
            json!({ "type": "turn_end", "message": call, "usage": usage }),
            json!({ "type": "turn_start", "turn": 2 }),
            json!({ "type": "text_delta", "text": "hel" }),
            json!({ "type": "text_delta", "text": "lo" }),
            json!({ "type": "turn_end", "message": answer, "usage": usage }),
            json!({ "type": "done", "text": "hello", "usage": total, "messages": [user, call, result, answer] }),
        ]
    }

    #[test]
    fn a_good_run_breaks_no_law_and_no_event_can_be_missing_twice_or_elsewhere() {
        assert_eq!(broken(&good()), [""; 0]);
        for place in 0..good().len() {
            let mut without = good();
            let gone = without.remove(place);
            // Progress is never owed.
            assert_eq!(broken(&without).is_empty(), kind(&gone) == "tool_progress", "without {gone}");
            let mut twice = good();
            twice.insert(place, gone.clone());
            assert!(!broken(&twice).is_empty(), "{gone} twice");
            if place > 0 {
                let mut swapped = good();
                swapped.swap(place - 1, place);
                assert!(!broken(&swapped).is_empty(), "{gone} one earlier");
            }
        }
    }

    #[test]
    fn a_history_with_a_missing_or_wrong_result_is_found() {
        for change in [json!("b"), json!(null)] {
            let mut events = good();
            events[10]["messages"][2]["content"][0]["toolUseId"] = change;
            assert!(!broken(&events).is_empty());
        }
        let mut events = good();
        events[10]["messages"][3]["content"] = json!([]);
        assert!(!broken(&events).is_empty());
    }
}
