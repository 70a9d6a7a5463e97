//! Whether the content of a tool result says what its structured content says.
//!
//! Servers are told to send both with one meaning ([MCP 2026-07-28, Tools, "Structured Content"]); many send the data as
//! JSON or as prose beside it, and some a summary alone. What is said already is not put before the model twice, and
//! what is not is not kept from it.
//!
//! [MCP 2026-07-28, Tools, "Structured Content"]: https://modelcontextprotocol.io/specification/2026-07-28/server/tools

use serde_json::Value;

/// Most values that are looked for: a text that says so many of them says the rest as well.
const MOST: usize = 64;

/// Whether each text and each whole number of `data`, as far as it is looked at, stands in the texts of `content`.
pub(crate) fn tells(content: &[Value], data: &Value) -> bool {
    let texts: Vec<&str> = content.iter().filter_map(|block| block.get("text")?.as_str()).collect();
    let mut left = MOST;
    !texts.is_empty() && stands(data, &texts, &mut left)
}

/// The same of one text.
pub(crate) fn tells_text(text: &str, data: &Value) -> bool {
    stands(data, &[text], &mut { MOST })
}

fn stands(data: &Value, texts: &[&str], left: &mut usize) -> bool {
    if *left == 0 {
        return true;
    }
    let wanted = match data {
        Value::Object(fields) => return fields.values().all(|value| stands(value, texts, left)),
        Value::Array(items) => return items.iter().all(|item| stands(item, texts, left)),
        // Up to where JSON, Markdown and prose write it differently.
        Value::String(text) => text.split(|c: char| c.is_control() || "\"\\*_<>&|`".contains(c)).next().unwrap_or(""),
        Value::Number(number) if !number.is_f64() => &crate::json::text(data),
        _ => return true,
    };
    *left -= 1;
    texts.iter().any(|text| text.contains(wanted.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::event::Outcome;
    use crate::agent::fact::ToolOutput;
    use serde_json::json;

    #[test]
    fn the_model_sees_each_thing_once() {
        let seen = |content: &[&str], data: Value| -> Vec<String> {
            let content = content.iter().map(|text| json!({ "type": "text", "text": text })).collect();
            let mut output = ToolOutput::failed(Outcome::Ok, "");
            (output.content, output.structured_content) = (content, Some(data));
            output.into_model_content().iter().map(|block| block["text"].as_str().unwrap().to_owned()).collect()
        };
        let data = json!({ "city": "Oslo" });
        assert_eq!(seen(&[r#"{ "city": "Oslo" }"#], data.clone()), [r#"{ "city": "Oslo" }"#]);
        assert_eq!(seen(&["In Oslo."], data.clone()), ["In Oslo."]);
        assert_eq!(seen(&["One city."], data.clone()), ["One city.", r#"{"city":"Oslo"}"#]);
        assert_eq!(seen(&[], data), [r#"{"city":"Oslo"}"#]);
    }

    #[test]
    fn what_the_texts_say_already_is_found_however_they_put_it() {
        let data = json!({ "city": "Oslo", "note": "a \"wet\"\nday", "days": [{ "mm": 4, "p": 0.25, "sure": true }] });
        let told = |texts: &[&str]| {
            let blocks: Vec<Value> = texts.iter().map(|text| json!({ "type": "text", "text": text })).collect();
            tells(&blocks, &data)
        };
        assert!(told(&[&data.to_string()]) && told(&[&format!("{data:#}")]));
        assert!(told(&["# Oslo", "4 mm (25 %), a 'wet' day"]));
        assert!(!told(&["Found one city."]) && !told(&["Oslo, 5 mm, a wet day"]) && !told(&[]));
        let image = json!({ "type": "image", "data": "Oslo", "mimeType": "image/png" });
        assert!(!tells(&[image], &data));
        // A long list is looked at where it begins.
        let many: Vec<usize> = (1000..9000).collect();
        let text = json!({ "type": "text", "text": json!(many[..MOST]).to_string() });
        assert!(tells(&[text], &json!(many)));
    }
}
