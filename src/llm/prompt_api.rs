//! The browser's own model (`LanguageModel`, the Prompt API), which knows no tools: it is told of them in words, and
//! what it writes is constrained to a JSON Schema that is either words or calls.
//!
//! A request of the app's wire in (see `app_stream`), what the browser is given out:
//! `{ initialPrompts, prompt, responseConstraint, pieces }`. Without tools only an answer that has to satisfy a schema is
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
    for message in &messages {
        let (role, content) = match message.role {
            Role::User => ("user", heard(message, &names)),
            Role::Assistant => ("assistant", said(message, constrained, &mut names)),
        };
        match prompts.last_mut() {
            // The last one is what is asked, and roles alternate.
            Some(last) if last["role"] == role => {
                last["content"] = [last["content"].as_str().unwrap_or(""), "\n\n", &content].concat().into();
            }
            _ => prompts.push(json!({ "role": role, "content": content })),
        }
    }
    let prompt = prompts.pop().map_or(Value::Null, |prompt| prompt["content"].clone());
    let (constraint, pieces) = match request.get("output") {
        _ if constrained => (constraint(tools), "json"),
        output => (output.cloned().unwrap_or_default(), "text"),
    };
    let asked =
        json!({ "initialPrompts": prompts, "prompt": prompt, "responseConstraint": constraint, "pieces": pieces });
    Ok(crate::json::text(&asked))
}

const TOLD: &str = "You can call tools. Answer with a JSON object: \"say\" is what you tell the user, \"calls\" the tools \
                    to call. Call a tool when you need what it gives; then \"say\" is empty or one short sentence, and \
                    you get the results. When you know the answer, put it into \"say\" and leave \"calls\" empty. The tools:";

fn heard(message: &Message, names: &[(String, String)]) -> String {
    let mut parts = Vec::new();
    for block in &message.content {
        match block {
            Block::Text { text } => parts.push(text.clone()),
            Block::ToolResult { tool_use_id, content, is_error } => {
                let name = names.iter().find(|(id, _)| id == tool_use_id).map_or("a tool", |(_, name)| name);
                let texts = content.iter().map(|block| match block.get("text").and_then(Value::as_str) {
                    Some(text) => text.to_owned(),
                    None => "(something that is no text)".to_owned(),
                });
                let verb = if *is_error { " failed:\n" } else { " gave:\n" };
                parts.push([name, verb, &texts.collect::<Vec<_>>().join("\n")].concat());
            }
            Block::Image { .. } | Block::Audio { .. } => parts.push("(something that is no text)".to_owned()),
            _ => {}
        }
    }
    parts.join("\n\n")
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
