//! Who of the app can answer what, as its options say; the declared capabilities follow from it.

use serde_json::{Map, Value};

use super::Wrong;
use crate::error::{Error, Result};
use crate::mcp::era::Era;
use crate::options::{Fields, FunctionId, expected};

/// Where the roots come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Roots {
    /// Given once: an array of `{ uri, name? }`.
    Fixed(Value),
    /// Asked of the app each time.
    Function(FunctionId),
}

/// Who of the app can answer what a server asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answerers {
    /// Forms and URLs.
    pub input: Option<FunctionId>,
    /// Requests for a model's answer.
    pub sampling: Option<FunctionId>,
    /// Roots.
    pub roots: Option<Roots>,
    /// Forms and URLs are put to the user in another way when there is no function for them, as the runs of an agent do.
    pub attended: bool,
}

impl Answerers {
    /// Reads `onInput`, `onSampling` and `roots` of the options of a server.
    ///
    /// # Errors
    ///
    /// `config` with the path of the first field that is wrong.
    pub fn read(fields: &mut Fields<'_>) -> Result<Answerers> {
        let roots = match fields.value("roots") {
            None => None,
            Some(value) => match FunctionId::from_marker(value) {
                Some(function) => Some(Roots::Function(function)),
                None if value.is_array() => match listed(value.clone()) {
                    Ok(_) => Some(Roots::Fixed(value.clone())),
                    Err(wrong) => {
                        let path = [fields.path("roots"), wrong.path].concat();
                        return Err(Error::config(path, &wrong.words));
                    }
                },
                None => return Err(expected(&fields.path("roots"), "an array or a function", value)),
            },
        };
        let (input, sampling) = (fields.function("onInput")?, fields.function("onSampling")?);
        Ok(Answerers { input, sampling, roots, attended: false })
    }

    /// The app has a function, or roots, for something that servers ask.
    pub fn has_function(&self) -> bool {
        self.input.is_some() || self.sampling.is_some() || self.roots.is_some()
    }

    /// Somebody can be asked for input.
    pub fn elicits(&self) -> bool {
        self.attended || self.input.is_some()
    }

    /// Whether that method was declared, so that servers may ask for it.
    pub fn declares(&self, method: &str) -> bool {
        match method {
            "elicitation/create" => self.elicits(),
            "sampling/createMessage" => self.sampling.is_some(),
            "roots/list" => self.roots.is_some(),
            _ => false,
        }
    }

    /// The client's capabilities, as JSON text: only what can be answered.
    pub fn capabilities(&self, era: Era) -> String {
        let modern = era == Era::Modern;
        let parts = [
            (self.elicits(), r#""elicitation":{"form":{},"url":{}}"#),
            (self.sampling.is_some(), r#""sampling":{}"#),
            (self.roots.is_some() && modern, r#""roots":{}"#),
            (self.roots.is_some() && !modern, r#""roots":{"listChanged":true}"#),
            // Tasks of 2025-11-25 are declared by those who take them, which a client does not.
            (modern, r#""extensions":{"io.modelcontextprotocol/tasks":{}}"#),
        ];
        let declared: Vec<&str> = parts.into_iter().filter(|(can, _)| *can).map(|(_, part)| part).collect();
        ["{", &declared.join(","), "}"].concat()
    }
}

/// The result of `roots/list` for an array of roots, each `{ uri: "file://...", name? }`.
pub(super) fn listed(roots: Value) -> std::result::Result<Value, Wrong> {
    let Some(array) = roots.as_array() else { return Err(Wrong::at("", "expected an array of roots")) };
    for (at, root) in array.iter().enumerate() {
        let place = |name: &str| ["[", &at.to_string(), "].", name].concat();
        if !root.get("uri").and_then(Value::as_str).is_some_and(|uri| uri.starts_with("file://")) {
            return Err(Wrong::at(&place("uri"), "expected a URI that starts with file://"));
        }
        if root.get("name").is_some_and(|name| !name.is_string()) {
            return Err(Wrong::at(&place("name"), "expected a string"));
        }
    }
    Ok(Value::Object(Map::from_iter([("roots".to_owned(), roots)])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Answerers> {
        let mut fields = Fields::open(&value, "servers[0]").unwrap();
        let answerers = Answerers::read(&mut fields);
        fields.finish()?;
        answerers
    }

    #[test]
    fn declares_what_can_be_answered() {
        let none = Answerers::default();
        assert_eq!(none.capabilities(Era::Legacy), "{}");
        let tasks = r#""extensions":{"io.modelcontextprotocol/tasks":{}}"#;
        assert_eq!(none.capabilities(Era::Modern), ["{", tasks, "}"].concat());
        let all = read(json!({
            "onInput": { "$function": 1 }, "onSampling": { "$function": 2 }, "roots": [{ "uri": "file:///a", "name": "A" }]
        }));
        let all = all.unwrap();
        assert_eq!((all.input, all.sampling), (Some(FunctionId(1)), Some(FunctionId(2))));
        let elicitation = r#""elicitation":{"form":{},"url":{}}"#;
        assert_eq!(
            all.capabilities(Era::Legacy),
            ["{", elicitation, r#","sampling":{},"roots":{"listChanged":true}}"#].concat()
        );
        assert_eq!(
            all.capabilities(Era::Modern),
            ["{", elicitation, r#","sampling":{},"roots":{},"#, tasks, "}"].concat()
        );
        for method in ["elicitation/create", "sampling/createMessage", "roots/list"] {
            assert!(all.declares(method) && !none.declares(method));
        }
        assert!(!all.declares("tools/call"));
        assert!(Answerers { attended: true, ..none }.capabilities(Era::Legacy).contains("elicitation"));
        let asked = read(json!({ "roots": { "$function": 3 } })).unwrap();
        assert_eq!(asked.roots, Some(Roots::Function(FunctionId(3))));
    }

    #[test]
    fn names_what_is_wrong() {
        let message = |value| read(value).unwrap_err().message.clone();
        assert_eq!(
            message(json!({ "roots": [{ "uri": "file:///a" }, { "uri": "https://a.test" }] })),
            "servers[0].roots[1].uri: expected a URI that starts with file://"
        );
        assert_eq!(
            message(json!({ "roots": [{ "uri": "file:///a", "name": 7 }] })),
            "servers[0].roots[0].name: expected a string"
        );
        assert_eq!(message(json!({ "roots": "x" })), "servers[0].roots: expected an array or a function, got a string");
        assert_eq!(message(json!({ "onInput": true })), "servers[0].onInput: expected a function, got a boolean");
    }

    #[test]
    fn roots_of_a_function_are_checked_too() {
        assert_eq!(listed(json!([])), Ok(json!({ "roots": [] })));
        assert!(listed(json!([7])).is_err());
        assert!(listed(Value::Null).is_err());
    }
}
