//! Reads `tools/list` and `tools/call` results, and walks through the pages of any list.

use serde_json::{Map, Value};

use crate::error::{Code, Error, Result};
use crate::json::Names;
use crate::mcp::era::Era;
use crate::mcp::lists::Freshness;
use crate::mcp::param_headers;
use crate::mcp::text::clean;
use crate::mcp::trust::{self, code_points, free_text, hidden, visible};
use crate::mcp::types::{Annotations, CallToolResult, Tool};

/// Walks through the pages of a list ([MCP 2026-07-28, Pagination]).
///
/// A missing `nextCursor` ends the list; an empty one is a cursor like any other.
///
/// ```
/// # use edgewise::mcp::tools::Pages;
/// # use serde_json::json;
/// let mut pages = Pages::new("tools/list on weather");
/// assert_eq!(pages.cursor(), None);
/// let mut first = json!({ "tools": [1], "nextCursor": "" }).as_object().unwrap().clone();
/// assert_eq!(pages.turn(&mut first, "tools").unwrap(), [1]);
/// assert_eq!(pages.cursor(), Some(&json!("")));
/// ```
///
/// [MCP 2026-07-28, Pagination]: https://modelcontextprotocol.io/specification/2026-07-28/server/utilities/pagination
#[derive(Clone, Debug)]
pub struct Pages {
    what: String,
    cursor: Option<Value>,
    seen: Names,
    done: bool,
    freshness: Option<Freshness>,
}

impl Pages {
    /// Most pages of one list: 1,000.
    pub const MAX: usize = 1_000;

    /// Before the first page. `what` names the list in errors.
    pub fn new(what: impl Into<String>) -> Pages {
        Pages { what: what.into(), cursor: None, seen: Names::default(), done: false, freshness: None }
    }

    /// Parameter `cursor` of the next request; `None` for the first page.
    pub fn cursor(&self) -> Option<&Value> {
        self.cursor.as_ref()
    }

    /// True after the last page.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What all pages so far say about how long they hold; `None` before the first.
    pub fn freshness(&self) -> Option<Freshness> {
        self.freshness
    }

    /// Takes a page: gives the elements of its field `key`, and remembers where to go on.
    ///
    /// # Errors
    ///
    /// `protocol` when the field is no array, the cursor no string, or a cursor comes again; `limit` past
    /// [`Pages::MAX`] pages.
    pub fn turn(&mut self, page: &mut Map<String, Value>, key: &str) -> Result<Vec<Value>> {
        let Some(Value::Array(elements)) = page.remove(key) else {
            return Err(self.error(Code::Protocol, &["the result has no array ", key].concat()));
        };
        self.cursor = match page.remove("nextCursor") {
            None | Some(Value::Null) => None,
            Some(Value::String(cursor)) => {
                if self.seen.len() + 1 >= Pages::MAX {
                    return Err(self.error(Code::Limit, "more than 1000 pages"));
                }
                if !self.seen.insert(&cursor) {
                    return Err(self.error(Code::Protocol, "a cursor comes again, so the list would never end"));
                }
                Some(Value::String(cursor))
            }
            Some(_) => return Err(self.error(Code::Protocol, "nextCursor is no string")),
        };
        self.done = self.cursor.is_none();
        let freshness = Freshness::read(page);
        self.freshness = Some(self.freshness.map_or(freshness, |before| before.and(freshness)));
        Ok(elements)
    }

    fn error(&self, code: Code, words: &str) -> Error {
        Error::new(code, [&self.what, ": ", words].concat())
    }
}

/// Reads the elements of `tools`, appends the usable ones to `tools`, and says of each other why it was left out.
///
/// One malformed tool never spoils the others: no name, a schema that is no object, a name that came before, or
/// in the modern era an invalid `x-mcp-header`. A missing `inputSchema` counts as one that takes anything.
///
/// Characters that nobody sees are taken out of titles and descriptions, and named wherever they are; of names that
/// differ in nothing else, the first counts.
pub fn read_tools(elements: Vec<Value>, era: Era, tools: &mut Vec<Tool>, warnings: &mut Vec<String>) {
    let mut known = names(tools);
    for element in elements {
        admit(element, era, &mut known, tools, warnings);
    }
}

/// The same, and keeps of `elements` those that became tools, as they came.
pub fn sift_tools(elements: &mut Vec<Value>, era: Era, tools: &mut Vec<Tool>, warnings: &mut Vec<String>) {
    let mut known = names(tools);
    elements.retain(|element| admit(element.clone(), era, &mut known, tools, warnings));
}

fn names(tools: &[Tool]) -> Names {
    let mut known = Names::default();
    for tool in tools {
        known.insert(visible(&tool.name).as_ref().unwrap_or(&tool.name));
    }
    known
}

fn admit(element: Value, era: Era, known: &mut Names, tools: &mut Vec<Tool>, warnings: &mut Vec<String>) -> bool {
    let name = element.get("name").and_then(Value::as_str).map(|name| clean(name, 80)).unwrap_or_default();
    let warning = match read_tool(element, era) {
        Ok((tool, found)) if known.insert(visible(&tool.name).as_ref().unwrap_or(&tool.name)) => {
            warnings.extend(found.warning(&name));
            tools.push(tool);
            return true;
        }
        Ok(_) => "its name came before",
        Err(why) => why,
    };
    warnings.push(["tool ", if name.is_empty() { "without a name" } else { &name }, " left out: ", warning].concat());
    false
}

/// Where a tool's definition holds characters that nobody sees, and which.
#[derive(Default)]
struct Found {
    places: Vec<&'static str>,
    characters: Vec<char>,
}

impl Found {
    fn note(&mut self, place: &'static str, characters: Vec<char>) {
        if !characters.is_empty() {
            self.places.push(place);
        }
        for c in characters {
            if !self.characters.contains(&c) {
                self.characters.push(c);
            }
        }
    }

    fn warning(&self, name: &str) -> Option<String> {
        let places = self.places.join(", ");
        let words = ["tool ", name, ": invisible characters in its ", &places, ": ", &code_points(&self.characters)];
        (!self.places.is_empty()).then(|| words.concat())
    }
}

fn read_tool(element: Value, era: Era) -> std::result::Result<(Tool, Found), &'static str> {
    let Value::Object(mut fields) = element else { return Err("it is no object") };
    let fingerprint = trust::fingerprint(&fields);
    let mut text = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let name = text("name").filter(|name| !name.is_empty()).ok_or("it has no name")?;
    let title = text("title").filter(|title| !title.is_empty());
    let description = text("description").unwrap_or_default();
    let input_schema = match fields.remove("inputSchema") {
        None | Some(Value::Null) => serde_json::json!({ "type": "object" }),
        Some(schema @ Value::Object(_)) => schema,
        Some(_) => return Err("its inputSchema is no object"),
    };
    if era == Era::Modern {
        param_headers::check(&input_schema)?;
    }
    let annotations = fields.get("annotations");
    let named = annotations.and_then(|annotations| annotations.get("title")).and_then(Value::as_str);
    let title = title.or_else(|| named.filter(|title| !title.is_empty()).map(str::to_owned));
    let annotations = Annotations::read(annotations);
    let output_schema = fields.remove("outputSchema").filter(Value::is_object);
    let mut found = Found::default();
    found.note("name", hidden(&name));
    let mut freed = |place: &'static str, mut text: String| {
        let mut characters = Vec::new();
        free_text(&mut text, &mut characters);
        found.note(place, characters);
        text
    };
    let title = title.map(|title| freed("title", title));
    let description = freed("description", description);
    for (place, schema) in [("inputSchema", Some(&input_schema)), ("outputSchema", output_schema.as_ref())] {
        let mut characters = Vec::new();
        schema.into_iter().for_each(|schema| trust::hidden_in(schema, &mut characters));
        found.note(place, characters);
    }
    let execution = fields.get("execution").and_then(|execution| execution.get("taskSupport"));
    let task = execution.and_then(Value::as_str) == Some("required");
    let changed = None;
    Ok((Tool { name, title, description, input_schema, output_schema, annotations, task, fingerprint, changed }, found))
}

/// Says whether a result of `tools/call` is one.
///
/// # Errors
///
/// `protocol` when `content` is no array, or missing without `structuredContent`; `what` names the call.
pub fn check_call_result(result: &Map<String, Value>, what: &str) -> Result<()> {
    match result.get("content") {
        Some(Value::Array(_)) => Ok(()),
        None if result.contains_key("structuredContent") => Ok(()),
        _ => Err(Error::new(Code::Protocol, [what, ": the result has no array content"].concat())),
    }
}

/// Reads a result of `tools/call` that [`check_call_result`] approves of. Elements of `content` that are no objects are
/// left out.
pub fn read_call_result(mut result: Map<String, Value>) -> CallToolResult {
    let structured_content = result.remove("structuredContent");
    let content = match result.remove("content") {
        Some(Value::Array(content)) => content.into_iter().filter(Value::is_object).collect(),
        _ => Vec::new(),
    };
    let is_error = result.get("isError").and_then(Value::as_bool).unwrap_or(false);
    let meta = match result.remove("_meta") {
        Some(Value::Object(meta)) => Some(meta),
        _ => None,
    };
    CallToolResult { content, structured_content, is_error, meta, cached: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn pages_end_without_a_cursor_and_only_then() {
        let mut pages = Pages::new("tools/list on calc");
        assert_eq!(pages.turn(&mut object(json!({ "tools": [1], "nextCursor": "" })), "tools").unwrap(), [1]);
        assert!(!pages.is_done());
        assert_eq!(pages.turn(&mut object(json!({ "tools": [], "nextCursor": "b" })), "tools").unwrap(), [0; 0]);
        assert_eq!(pages.turn(&mut object(json!({ "tools": [2] })), "tools").unwrap(), [2]);
        assert!(pages.is_done());
    }

    #[test]
    fn pages_hold_as_long_as_the_shortest_of_them() {
        let mut pages = Pages::new("tools/list on calc");
        assert_eq!(pages.freshness(), None);
        for (ttl, public, expected) in
            [(900, "public", (900, true)), (400, "private", (400, false)), (700, "public", (400, false))]
        {
            let page = json!({ "tools": [], "nextCursor": ttl.to_string(), "ttlMs": ttl, "cacheScope": public });
            pages.turn(&mut object(page), "tools").unwrap();
            let freshness = pages.freshness().unwrap();
            assert_eq!((freshness.ttl_ms, freshness.public), expected);
        }
    }

    #[test]
    fn pages_that_lead_nowhere() {
        let turn = |page: Value| {
            Pages::new("tools/list on calc").turn(&mut object(page), "tools").unwrap_err().message.clone()
        };
        assert_eq!(turn(json!({})), "tools/list on calc: the result has no array tools");
        assert_eq!(turn(json!({ "tools": {} })), "tools/list on calc: the result has no array tools");
        assert_eq!(turn(json!({ "tools": [], "nextCursor": 7 })), "tools/list on calc: nextCursor is no string");
        let mut pages = Pages::new("tools/list on calc");
        let page = object(json!({ "tools": [], "nextCursor": "" }));
        pages.turn(&mut page.clone(), "tools").unwrap();
        let error = pages.turn(&mut page.clone(), "tools").unwrap_err();
        assert_eq!(error.message, "tools/list on calc: a cursor comes again, so the list would never end");
    }

    #[test]
    fn no_more_than_a_thousand_pages() {
        let mut pages = Pages::new("tools/list on calc");
        for page in 1..=Pages::MAX {
            let mut fields = object(json!({ "tools": [], "nextCursor": page.to_string() }));
            let turned = pages.turn(&mut fields, "tools");
            assert_eq!(turned.is_ok(), page < Pages::MAX, "{page}");
        }
    }

    #[test]
    fn a_tool_keeps_everything_and_a_bad_one_spoils_nothing() {
        let schema = json!({ "type": "object", "$defs": { "x": {} }, "x-own": 1 });
        let elements = vec![
            json!({
                "name": "add", "title": "Add", "description": "Adds.", "inputSchema": schema,
                "outputSchema": { "type": "object" }, "annotations": { "readOnlyHint": true, "title": "no" }
            }),
            json!({ "name": "bare", "annotations": { "title": "Bare" } }),
            json!({ "description": "nameless" }),
            json!({ "name": "" }),
            json!({ "name": "odd\u{202E}", "inputSchema": [] }),
            json!({ "name": "add" }),
            json!("add"),
            json!({ "name": "h", "inputSchema": { "properties": { "a": { "type": "number", "x-mcp-header": "A" } } } }),
        ];
        let (mut tools, mut warnings) = (Vec::new(), Vec::new());
        read_tools(elements.clone(), Era::Modern, &mut tools, &mut warnings);
        assert_eq!(tools.len(), 2);
        assert_eq!((tools[0].title.as_deref(), tools[0].annotations.read_only), (Some("Add"), true));
        assert_eq!(tools[0].input_schema, schema);
        assert!(tools[0].output_schema.is_some());
        assert_eq!((tools[1].title.as_deref(), &tools[1].input_schema), (Some("Bare"), &json!({ "type": "object" })));
        assert_eq!(
            warnings,
            [
                "tool without a name left out: it has no name",
                "tool without a name left out: it has no name",
                "tool odd left out: its inputSchema is no object",
                "tool add left out: its name came before",
                "tool without a name left out: it is no object",
                "tool h left out: x-mcp-header on what is no integer, string or boolean",
            ]
        );
        let mut kept = elements.clone();
        sift_tools(&mut kept, Era::Modern, &mut Vec::new(), &mut Vec::new());
        assert_eq!(kept, elements[..2], "what is kept is kept as it came");
        tools.clear();
        read_tools(elements, Era::Legacy, &mut tools, &mut warnings);
        assert_eq!(tools.len(), 3, "the annotation means nothing in the legacy era");
    }

    #[test]
    fn call_results() {
        let read = |result: Value| {
            let result = object(result);
            check_call_result(&result, "tools/call add on calc").map(|()| read_call_result(result))
        };
        let result = read(json!({
            "content": [{ "type": "text", "text": "3" }, 7], "structuredContent": [3], "isError": true, "_meta": { "a": 1 }
        }));
        let expected = CallToolResult {
            content: vec![json!({ "type": "text", "text": "3" })],
            structured_content: Some(json!([3])),
            is_error: true,
            meta: Some(object(json!({ "a": 1 }))),
            cached: None,
        };
        assert_eq!(result.unwrap(), expected);
        let null = read(json!({ "structuredContent": null })).unwrap();
        assert_eq!(null, CallToolResult { structured_content: Some(Value::Null), ..CallToolResult::default() });
        for bad in [json!({}), json!({ "content": "text" }), json!({ "toolResult": 3 })] {
            let error = read(bad).unwrap_err();
            assert_eq!(error.message, "tools/call add on calc: the result has no array content");
        }
    }
}
