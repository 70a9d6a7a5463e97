//! The browser's own model (`LanguageModel`, the Prompt API), which knows no tools: it is told of them in words, and
//! what it writes is constrained to a JSON Schema that is either words or calls.
//!
//! A request of the app's wire in (see `app_stream`), what the browser is given out:
//! `{ initialPrompts, prompt, responseConstraint, pieces, expects }`. Where images or recordings go with a message, its content
//! is a list: `{ type: "text", value }`, and `{ type: "image" | "audio", mimeType, data }` in base64, of which the shell makes
//! what the browser takes; `expects` has the types that there are. Without tools only an answer that has to satisfy a schema is
//! constrained; what comes then is the answer itself (`pieces` is `text`).

use serde_json::{Value, json};

use super::types::{Block, Message, Role};

/// Answers with what the browser's model is to be asked.
///
/// # Errors
///
/// Words, when the text is no request.
pub fn answer(request: &str) -> Result<String, String> {
    let request: Value = serde_json::from_slice(request.as_bytes()).unwrap_or_default();
    let list = |name: &str| request.get(name).and_then(Value::as_array);
    let messages: Option<Vec<Message>> = list("messages").and_then(|list| list.iter().map(Message::read).collect());
    let (Some(messages), Some(tools)) = (messages, list("tools")) else {
        return Err("the request cannot be read".to_owned());
    };
    let mut system = request.get("system").and_then(Value::as_str).unwrap_or("").to_owned();
    if !tools.is_empty() {
        if !system.is_empty() {
            system.push_str("\n\n");
        }
        system.push_str(TOLD);
        for tool in tools {
            let text = |name: &str| tool.get(name).and_then(Value::as_str).unwrap_or("");
            let schema = tool.get("inputSchema").map(crate::json::text).unwrap_or_default();
            system.push_str(&["\n- ", text("name"), ": ", text("description"), "\n  input: ", &schema].concat());
        }
    }
    let constrained = !tools.is_empty();
    let mut prompts: Vec<Value> = Vec::new();
    if !system.is_empty() {
        prompts.push(json!({ "role": "system", "content": system }));
    }
    let mut names: Vec<(String, String)> = Vec::new();
    let mut said_last: Option<Said> = None;
    let mut expects: Vec<&str> = Vec::new();
    for message in &messages {
        let mut said = match message.role {
            Role::User => heard(message, &names),
            Role::Assistant => {
                let text = said(message, constrained, &mut names);
                Said { role: "assistant", text, media: Vec::new() }
            }
        };
        for kind in ["image", "audio"] {
            if !expects.contains(&kind) && said.media.iter().any(|part| part["type"] == kind) {
                expects.push(kind);
            }
        }
        // The last one is what is asked, and roles alternate.
        if let Some(last) = said_last.take() {
            if last.role == said.role {
                said.text = [&last.text, "\n\n", &said.text].concat();
                said.media.splice(0..0, last.media);
            } else {
                prompts.push(last.prompt());
            }
        }
        said_last = Some(said);
    }
    prompts.extend(said_last.map(Said::prompt));
    let prompt = prompts.pop().map_or(Value::Null, |prompt| prompt["content"].clone());
    let (constraint, pieces) = match request.get("output") {
        _ if constrained => (constraint(tools), "json"),
        output => (output.cloned().unwrap_or_default(), "text"),
    };
    let mut asked =
        json!({ "initialPrompts": prompts, "prompt": prompt, "responseConstraint": constraint, "pieces": pieces });
    if !expects.is_empty() {
        asked["expects"] = json!(expects);
    }
    Ok(crate::json::text(&asked))
}

/// A message in the browser's form.
struct Said {
    role: &'static str,
    text: String,
    media: Vec<Value>,
}

impl Said {
    fn prompt(self) -> Value {
        if self.media.is_empty() {
            return json!({ "role": self.role, "content": self.text });
        }
        let mut parts = self.media;
        parts.push(json!({ "type": "text", "value": self.text }));
        json!({ "role": self.role, "content": parts })
    }
}

/// An image or a recording, if the block is one.
fn media(kind: &str, data: Option<&str>, mime_type: Option<&str>) -> Option<Value> {
    let (data, mime_type) = (data?, mime_type?);
    matches!(kind, "image" | "audio").then(|| json!({ "type": kind, "mimeType": mime_type, "data": data }))
}

const TOLD: &str = "You can call tools. Answer with a JSON object: \"say\" is what you tell the user, \"calls\" the tools \
                    to call. Call a tool when you need what it gives; then \"say\" is empty or one short sentence, and \
                    you get the results. When you know the answer, put it into \"say\" and leave \"calls\" empty. The tools:";

fn heard(message: &Message, names: &[(String, String)]) -> Said {
    let (mut parts, mut seen) = (Vec::new(), Vec::new());
    for block in &message.content {
        match block {
            Block::Text { text } => parts.push(text.clone()),
            Block::ToolResult { tool_use_id, content, is_error } => {
                let name = names.iter().find(|(id, _)| id == tool_use_id).map_or("a tool", |(_, name)| name);
                let texts = content.iter().map(|block| {
                    let field = |name| block.get(name).and_then(Value::as_str);
                    let kind = field("type").unwrap_or_default();
                    match (field("text"), media(kind, field("data"), field("mimeType"))) {
                        (Some(text), _) => text.to_owned(),
                        (None, Some(part)) => {
                            seen.push(part);
                            ["(", if kind == "image" { "an image" } else { "a recording" }, ", given here)"].concat()
                        }
                        (None, None) => "(something that is no text)".to_owned(),
                    }
                });
                let verb = if *is_error { " failed:\n" } else { " gave:\n" };
                parts.push([name, verb, &texts.collect::<Vec<_>>().join("\n")].concat());
            }
            Block::Image { data, mime_type } => seen.extend(media("image", Some(data), Some(mime_type))),
            Block::Audio { data, mime_type } => seen.extend(media("audio", Some(data), Some(mime_type))),
            _ => {}
        }
    }
    Said { role: "user", text: parts.join("\n\n"), media: seen }
}

/// An answer in the form that the model is to keep to.
fn said(message: &Message, constrained: bool, names: &mut Vec<(String, String)>) -> String {
    if !constrained {
        return message.text();
    }
    let calls = message.content.iter().filter_map(|block| match block {
        Block::ToolUse { id, name, input, .. } => {
            names.push((id.clone(), name.clone()));
            Some(json!({ "name": name, "input": input }))
        }
        _ => None,
    });
    let calls: Vec<Value> = calls.collect();
    crate::json::text(&json!({ "say": message.text(), "calls": calls }))
}

fn constraint(tools: &[Value]) -> Value {
    let call = |tool: &Value| {
        let input = tool.get("inputSchema").filter(|schema| schema.is_object()).cloned();
        json!({
            "type": "object",
            "properties": {
                "name": { "const": tool.get("name") },
                "input": input.unwrap_or_else(|| json!({ "type": "object" })),
            },
            "required": ["name", "input"],
            "additionalProperties": false,
        })
    };
    let calls: Vec<Value> = tools.iter().map(call).collect();
    json!({
        "type": "object",
        "properties": {
            "say": { "type": "string" },
            "calls": { "type": "array", "items": { "anyOf": calls }, "maxItems": 8 },
        },
        "required": ["say", "calls"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: Value) -> Value {
        serde_json::from_str(&answer(&request.to_string()).unwrap()).unwrap()
    }

    #[test]
    fn tools_are_told_in_words_and_the_answer_is_constrained() {
        let schema = json!({ "type": "object", "properties": { "a": { "type": "number" } } });
        let tools = json!([{ "name": "add", "description": "Adds.", "inputSchema": schema }]);
        let call = json!({ "type": "tool_use", "id": "t", "name": "add", "input": { "a": 1 } });
        let result = json!({ "type": "tool_result", "toolUseId": "t", "content": [{ "type": "text", "text": "2" }], "isError": false });
        let messages = json!([
            { "role": "user", "content": [{ "type": "text", "text": "add" }] },
            { "role": "assistant", "content": [{ "type": "text", "text": "Well." }, call] },
            { "role": "user", "content": [result] },
        ]);
        let given = asked(json!({ "system": "Be brief.", "tools": tools, "messages": messages }));
        let prompts = given["initialPrompts"].as_array().unwrap();
        assert!(prompts[0]["content"].as_str().unwrap().starts_with("Be brief.\n\nYou can call tools."));
        assert!(prompts[0]["content"].as_str().unwrap().contains("- add: Adds.\n  input: {\"type\""));
        assert_eq!(prompts[2]["content"], r#"{"say":"Well.","calls":[{"name":"add","input":{"a":1}}]}"#);
        assert_eq!((prompts.len(), &given["prompt"]), (3, &json!("add gave:\n2")));
        let one = &given["responseConstraint"]["properties"]["calls"]["items"]["anyOf"][0];
        assert_eq!(given["pieces"], "json");
        assert_eq!((&one["properties"]["name"], &one["properties"]["input"]), (&json!({ "const": "add" }), &schema));
    }

    #[test]
    fn images_and_recordings_go_with_their_message() {
        let image = json!({ "type": "image", "data": "iVBO", "mimeType": "image/png" });
        let audio = json!({ "type": "audio", "data": "UklG", "mimeType": "audio/wav" });
        let call = json!({ "type": "tool_use", "id": "t", "name": "look", "input": {} });
        let content = json!([{ "type": "text", "text": "a lake" }, audio, { "type": "resource_link" }]);
        let result = json!({ "type": "tool_result", "toolUseId": "t", "content": content, "isError": false });
        let messages = json!([
            { "role": "user", "content": [image, { "type": "text", "text": "What is this?" }] },
            { "role": "assistant", "content": [call] },
            { "role": "user", "content": [result] },
            { "role": "user", "content": [{ "type": "text", "text": "Well?" }, image] },
        ]);
        let given = asked(json!({ "tools": [{ "name": "look" }], "messages": messages }));
        let text = |text: &str| json!({ "type": "text", "value": text });
        assert_eq!(given["initialPrompts"][1]["content"], json!([image, text("What is this?")]));
        let told = "look gave:\na lake\n(a recording, given here)\n(something that is no text)\n\nWell?";
        assert_eq!(given["prompt"], json!([audio, image, text(told)]));
        assert_eq!(given["expects"], json!(["image", "audio"]));
    }

    #[test]
    fn without_tools_only_a_demanded_answer_is_constrained() {
        let messages = json!([{ "role": "user", "content": [{ "type": "text", "text": "hi" }] }]);
        let given = asked(json!({ "tools": [], "messages": messages }));
        assert_eq!(
            given,
            json!({ "initialPrompts": [], "prompt": "hi", "responseConstraint": null, "pieces": "text" })
        );
        let schema = json!({ "type": "object" });
        let given = asked(json!({ "tools": [], "messages": messages, "output": schema }));
        assert_eq!((&given["responseConstraint"], &given["pieces"]), (&schema, &json!("text")));
        assert!(answer("{}").is_err());
    }
}
