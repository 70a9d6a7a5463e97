//! A final answer that has to satisfy a JSON Schema, with one repair round.
//!
//! The model is told so in the system prompt, since few wires take a schema beside tools. What it wraps around the JSON
//! (a fence, a sentence) is passed over.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::run::{Phase, Run};
use crate::error::{Code, Error};

/// What is demanded of the final answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Wanted {
    schema: Value,
    /// The model was told once what is wrong.
    repaired: bool,
    /// The answer, once it satisfies the schema.
    value: Option<Value>,
}

impl Wanted {
    pub(super) fn new(schema: Value) -> Wanted {
        Wanted { schema, repaired: false, value: None }
    }

    /// Another answer is wanted.
    pub(super) fn begin_anew(&mut self) {
        self.repaired = false;
    }

    pub(super) fn schema(&self) -> &Value {
        &self.schema
    }

    pub(super) fn value(&self) -> Option<Value> {
        self.value.clone()
    }
}

/// What the model is told of the schema, at the end of the system prompt.
pub fn instructions(schema: &Value) -> String {
    let schema = crate::json::text(schema);
    ["When you are done, answer with JSON alone, no other words, that satisfies this JSON Schema:\n", &schema].concat()
}

/// The JSON in an answer: all of it, what is in its last fence, or from its first bracket to its last.
fn found(text: &str) -> Option<Value> {
    let parse = |text: &str| serde_json::from_slice::<Value>(text.trim().as_bytes()).ok();
    let fenced = |text: &str| {
        let (before, _) = text.rsplit_once("```")?;
        let (_, inside) = before.rsplit_once("```")?;
        parse(inside.strip_prefix("json").unwrap_or(inside))
    };
    let bracketed = |text: &str| {
        let from = text.find(['{', '['])?;
        let to = text.rfind(['}', ']'])?;
        parse(text.get(from..=to)?)
    };
    parse(text).or_else(|| fenced(text)).or_else(|| bracketed(text))
}

impl Run {
    /// An answer is demanded, and the last one is none: it only ended the goal.
    pub(super) fn lacks_output(&self) -> bool {
        self.wanted.is_some() && self.last_answer().is_none_or(|message| found(&message.text()).is_none())
    }

    /// Has the last answer looked at. False when nothing is demanded of it.
    pub(super) fn must_check(&mut self) -> bool {
        if self.wanted.is_none() {
            return false;
        }
        match self.last_answer().and_then(|message| found(&message.text())) {
            Some(value) => self.phase = Phase::Checking { asked: false, value },
            None => self.repair(&["it is no JSON".to_owned()]),
        }
        true
    }

    /// The answer was looked at.
    pub(super) fn take_check(&mut self, problems: &[String]) {
        let Phase::Checking { value, .. } = &mut self.phase else { return };
        let value = std::mem::take(value);
        let heard = self.hear();
        if heard {
            self.begin_anew();
        }
        if !problems.is_empty() {
            return self.repair(problems);
        }
        if heard || self.follow_up() {
            return self.go_on();
        }
        if let Some(wanted) = &mut self.wanted {
            wanted.value = Some(value);
        }
        self.end_well();
    }

    /// Tells the model what is wrong, once.
    fn repair(&mut self, problems: &[String]) {
        let first = self.wanted.as_mut().is_some_and(|wanted| !std::mem::replace(&mut wanted.repaired, true));
        if self.goal.is_some() && (!first || self.turns_left() == 0) {
            // How the goal ended is worth more than that there is no answer to it.
            return self.end_well();
        }
        if !first {
            // Problems name paths, and values of the model's own; none is shown.
            let message = "the final answer does not satisfy the JSON Schema of `output`, also after it was told so";
            return self.end_with(Error::new(Code::Provider, message));
        }
        let words = [
            "Your answer is not what was asked for:\n- ",
            &problems.join("\n- "),
            "\nAnswer again, with the corrected JSON alone.",
        ];
        self.add_words(words.concat());
        self.go_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_found_in_what_models_wrap_around_it() {
        let wanted = json!({ "city": "Oslo" });
        for text in [
            r#"{"city":"Oslo"}"#,
            " \n{\"city\": \"Oslo\"}\n",
            "```json\n{\"city\":\"Oslo\"}\n```",
            "Here you are:\n```\n{\"city\":\"Oslo\"}\n```\nEnjoy.",
            "The answer is {\"city\":\"Oslo\"}.",
        ] {
            assert_eq!(found(text), Some(wanted.clone()), "{text}");
        }
        assert_eq!(found("7"), Some(json!(7)));
        for text in ["", "Oslo", "{", "}{", "```", "[1"] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    use crate::agent::config::Approval;
    use crate::agent::event::Event;
    use crate::agent::fact::{Fact, Step};
    use crate::agent::recovery::Ask;
    use crate::agent::run::tests::Scenario;

    fn demanding() -> Scenario {
        let mut scenario = Scenario::asking(Approval::Never);
        scenario.run.wanted = Some(Wanted::new(json!({ "type": "object" })));
        scenario
    }

    #[test]
    fn the_answer_is_checked_and_mended_once() {
        let mut scenario = demanding();
        scenario.answer("7", &[]);
        assert_eq!(scenario.next(), Step::Check(json!({ "type": "object" }), json!(7)));
        assert_eq!(scenario.next(), Step::Wait);
        scenario.apply(Fact::Checked(vec!["is no object".into()]));
        let told = scenario.run.messages().last().unwrap().text();
        assert!(told.contains("- is no object\n"), "{told}");
        assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
        scenario.answer("{\"a\":1}", &[]);
        assert!(matches!(scenario.next(), Step::Check(..)));
        scenario.apply(Fact::Checked(Vec::new()));
        assert_eq!(scenario.next(), Step::Done);
        let Some(Event::Done { output, .. }) = scenario.events.last() else { panic!("{:?}", scenario.types()) };
        assert_eq!(output, &Some(json!({ "a": 1 })));
    }

    #[test]
    fn what_stays_wrong_ends_the_run_and_calls_are_no_answer() {
        let mut scenario = demanding();
        scenario.answer("I look.", &[("a", "s__read", "{}")]);
        assert_eq!(scenario.call_tool().id, "a");
        scenario.ended("a");
        assert_eq!(scenario.next(), Step::CallModel(Ask::default()));
        for _ in 0..2 {
            scenario.answer("no JSON", &[]);
            scenario.next();
        }
        assert_eq!((scenario.next(), scenario.error().code), (Step::Done, Code::Provider));
    }

    #[test]
    fn a_cancel_while_the_answer_is_checked_ends_the_run_once() {
        let mut scenario = demanding();
        scenario.answer("7", &[]);
        scenario.next();
        scenario.apply(Fact::Cancelled);
        scenario.apply(Fact::Checked(Vec::new()));
        assert_eq!((scenario.next(), scenario.error().code), (Step::Done, Code::Cancelled));
    }
}
