//! What the scripted model says, before any wire puts it into bytes.

use serde_json::{Value, json};

use crate::sim::mcp::ToolKind;
use crate::sim::rng::Rng;

/// A tool as the request offered it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Offered {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) schema: Value,
}

/// A tool call that the model asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct SpokenCall {
    /// Id on the wire; empty on wires and dialects that give none.
    pub id: String,
    /// Wire name.
    pub name: String,
    /// The arguments' text as it was sent.
    pub json: String,
    /// The parsed arguments; `None` when the text is no JSON object.
    pub input: Option<Value>,
    /// Which tool of the scripted MCP server it means; `None` for others.
    pub kind: Option<ToolKind>,
    /// No tool of that name was offered.
    pub unknown: bool,
}

/// Why the scripted model stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is done.
    End,
    /// It asks for tools.
    Tools,
    /// It ran into its limit of tokens.
    Length,
    /// It declines.
    Refusal,
}

/// One answer of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// Number of the exchange.
    pub exchange: u64,
    /// Reasoning, in pieces; empty for none.
    pub thinking: Vec<String>,
    /// Text, in pieces.
    pub text: Vec<String>,
    /// Tool calls, in order.
    pub calls: Vec<SpokenCall>,
    /// Why it stops.
    pub ending: Ending,
    /// The stream breaks off with an error of the provider.
    pub fails: bool,
}

impl Spoken {
    /// The text in one piece.
    pub fn text(&self) -> String {
        self.text.concat()
    }
}

/// Makes up an answer. `talk` is the chance in 1,000 of asking for tools.
pub(super) fn make_up(exchange: u64, tools: &[Offered], talk: u32, rng: &mut Rng) -> Spoken {
    let mut calls = Vec::new();
    if rng.chance(talk) {
        for index in 0..rng.pick(&[1, 1, 2, 3, 5]) {
            calls.push(make_call(exchange, index, tools, rng));
        }
    }
    let silent = rng.chance(if calls.is_empty() { 30 } else { 300 });
    let text = if silent { Vec::new() } else { prose(rng) };
    let thinking = if rng.chance(200) { prose(rng) } else { Vec::new() };
    let ending = match calls.is_empty() {
        false => Ending::Tools,
        true => rng.pick(&[Ending::End, Ending::End, Ending::End, Ending::Length, Ending::Refusal]),
    };
    Spoken { exchange, thinking, text, calls, ending, fails: false }
}

/// Pieces with everything that decoders and encoders trip over: characters of one to four bytes, quotes, line
/// breaks, what looks like an event stream, surrogate pairs in need of escapes.
fn prose(rng: &mut Rng) -> Vec<String> {
    const WORDS: [&str; 16] = [
        "The ",
        "answer ",
        "is ",
        "42. ",
        "h\u{e9}llo ",
        "\u{65e5}\u{672c} ",
        "\u{1f642} ",
        "e\u{301} ",
        "\"quoted\" ",
        "\\ ",
        "\n",
        "\r\n",
        "\n\ndata: [DONE]\n\n",
        "\u{2028}",
        "</html>",
        "\u{0}\t",
    ];
    (0..rng.within(1..=12)).map(|_| (0..rng.within(1..=4)).map(|_| rng.pick(&WORDS)).collect()).collect()
}

fn make_call(exchange: u64, index: u32, tools: &[Offered], rng: &mut Rng) -> SpokenCall {
    let id = format!("call_{exchange}_{index}");
    // Writes that are done twice are the dearest mistake: they are asked for more often than the rest.
    let mut notes = tools.iter().filter(|tool| ToolKind::described(&tool.description) == Some(ToolKind::Note));
    let note = rng.chance(250);
    let offered = match tools.len() {
        0 => None,
        _ if rng.chance(80) => None,
        count => notes.next().filter(|_| note).or(Some(&tools[rng.below(count)])),
    };
    let Some(tool) = offered else {
        let json = r#"{"why":"nobody knows"}"#.to_owned();
        let input = serde_json::from_str(&json).ok();
        return SpokenCall { id, name: "no_such_tool".to_owned(), json, input, kind: None, unknown: true };
    };
    let kind = ToolKind::described(&tool.description);
    let mut input = json!({});
    if let Some(properties) = tool.schema.get("properties").and_then(Value::as_object) {
        for (name, schema) in properties {
            input[name.as_str()] = match (name.as_str(), schema.get("type").and_then(Value::as_str)) {
                // Names the call among all calls of a run, so that a second execution shows.
                ("key", _) => json!(format!("{exchange}/{index}")),
                (_, Some("number")) => json!(rng.within(0..=100) as f64 / 4.0),
                (_, Some("integer")) => json!(rng.within(0..=5)),
                (_, Some("boolean")) => json!(rng.chance(500)),
                _ => json!(prose(rng).concat()),
            };
        }
    }
    let pretty = rng.chance(200);
    let mut json = if pretty { format!("{input:#}") } else { input.to_string() };
    let mut parsed = Some(input);
    match rng.below(20) {
        0 => {
            json.pop();
            parsed = None;
        }
        1 => {
            json = "[1, 2]".to_owned();
            parsed = None;
        }
        // A call without arguments; several providers send no text at all.
        2 if parsed == Some(json!({})) => json.clear(),
        _ => {}
    }
    SpokenCall { id, name: tool.name.clone(), json, input: parsed, kind, unknown: false }
}

/// Cuts a text into pieces at character boundaries; none is empty.
pub(super) fn pieces(text: &str, rng: &mut Rng) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for character in text.chars() {
        match pieces.last_mut() {
            Some(last) if last.is_empty() || !rng.chance(200) => last.push(character),
            _ => pieces.push(character.to_string()),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}
