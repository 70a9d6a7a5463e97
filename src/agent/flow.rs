//! Whose private data a conversation holds, and where they may not go without somebody saying so.
//!
//! A server is labelled `private` where what it gives is nobody else's business, and `untrusted` where what it gets may end
//! up anywhere. What a model has read it may write into any call, in words of its own. So it is not looked at what a call
//! says, but at what the conversation holds: once it holds private data, each call that may take them out (to an untrusted
//! server, or by a tool that reaches beyond its server) is asked for, and the question names whose data they are.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::catalog::{ToolEntry, wire_prefix};
use crate::agent::config::Approval;
use crate::agent::policy::{Verdict, verdict};
use crate::cache::digest;
use crate::llm::types::{Block, Message};
use crate::mcp::config::Labels;

/// What somebody has allowed once for all calls that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Allowed {
    tool: String,
    /// Digest of the arguments; `None` for any.
    input: Option<String>,
    /// Whose private data it was said to take out.
    #[serde(default)]
    out: Vec<String>,
}

/// The rules of one run: what the conversation holds, and what was allowed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rules {
    /// Servers whose private data the conversation holds.
    private: Vec<String>,
    allowed: Vec<Allowed>,
}

impl Rules {
    /// What is said of a call.
    pub(crate) fn verdict(&self, approval: Approval, tool: &ToolEntry, input: &Value) -> Verdict {
        let usual = verdict(approval, tool);
        if tool.builtin.is_some() || is_another(tool) {
            return usual;
        }
        let foreign = self.foreign(tool);
        if (!foreign.is_empty() || usual != Verdict::Allow) && self.remembers(tool, input) {
            return Verdict::Allow;
        }
        self.objection(tool).map_or(usual, Verdict::Ask)
    }

    /// Whose private data a call may take out.
    fn foreign(&self, tool: &ToolEntry) -> Vec<&str> {
        let foreign = |server: &&String| tool.outside && tool.server.as_ref() != Some(*server);
        self.private.iter().filter(foreign).map(String::as_str).collect()
    }

    /// Why a call may take private data out; `None` for one that takes none.
    pub(crate) fn objection(&self, tool: &ToolEntry) -> Option<String> {
        let foreign = self.foreign(tool);
        if foreign.is_empty() {
            return None;
        }
        let words = ["private data of ", &foreign.join(", "), " may leave through ", &tool.name];
        Some([&words.concat(), ": it belongs to an untrusted server or reaches beyond its own"].concat())
    }

    /// Servers whose private data the conversation holds.
    pub(crate) fn held(&self) -> &[String] {
        &self.private
    }

    /// The conversation holds what a private server gave.
    pub(crate) fn hold(&mut self, server: &str) {
        if !self.private.iter().any(|known| known == server) {
            self.private.push(server.to_owned());
        }
    }

    /// What that tool gives goes into the conversation.
    pub(crate) fn hold_of(&mut self, tool: &ToolEntry) {
        if let (true, Some(server)) = (tool.private, &tool.server) {
            self.hold(server);
        }
    }

    /// Calls of a tool with the arguments of that digest were allowed in an earlier run, whatever the policy; but nobody
    /// knew then what this conversation holds.
    pub(crate) fn recall(&mut self, tool: String, input: String) {
        let allowed = Allowed { tool, input: Some(input), out: Vec::new() };
        // A run that is taken up again is told so again.
        if !self.allowed.contains(&allowed) {
            self.allowed.push(allowed);
        }
    }

    /// A call that is asked for is allowed, and with it all that are alike: with the same arguments, or with any.
    pub(crate) fn allow(&mut self, tool: &ToolEntry, input: &Value, same: bool) {
        let out = self.foreign(tool).into_iter().map(str::to_owned).collect();
        let input = same.then(|| digest_of(input));
        self.allowed.push(Allowed { tool: tool.name.clone(), input, out });
    }

    /// Somebody has allowed all calls that are like this one, whatever it may take out by now.
    pub(crate) fn remembers(&self, tool: &ToolEntry, input: &Value) -> bool {
        if is_another(tool) {
            return false;
        }
        let out = self.foreign(tool);
        let says_so = |allowed: &&Allowed| out.iter().all(|server| allowed.out.iter().any(|known| known == server));
        let of_it = self.allowed.iter().filter(|allowed| allowed.tool == tool.name);
        let mut alike = of_it.filter(says_so).peekable();
        if alike.peek().is_none() {
            return false;
        }
        let input = digest_of(input);
        alike.any(|allowed| allowed.input.as_ref().is_none_or(|known| *known == input))
    }
}

/// A definition that has changed is another tool than the one that was allowed.
fn is_another(tool: &ToolEntry) -> bool {
    tool.changed.as_ref().is_some_and(|change| change.asks)
}

/// Whether a history shows, or may show, something private of a server: what it was asked for by name, what a plan called,
/// and what context showed. That its tools are known is not needed: it may be down. Each call of a tool counts, also a denied
/// one, and of what plans did with a server that keeps some resources private nobody knows.
pub(crate) fn shows_private(server: &str, labels: &Labels, messages: &[Message]) -> bool {
    if !labels.private && labels.private_resources.is_empty() {
        return false;
    }
    let (wire, plain) = (wire_prefix(server), [server, "."].concat());
    let is_of_it = |tool: &str| tool.starts_with(&wire) || tool.starts_with(&plain);
    let plans = |name: &str| name.trim_end_matches('_') == "run_plan";
    let mut calls = Vec::new();
    messages.iter().flat_map(|message| &message.content).any(|block| match block {
        Block::Text { text } => text.starts_with("<context>\n") && labels.in_context(server, text),
        Block::ToolUse { name, input, .. } if plans(name) => {
            let steps = input.get("steps").and_then(Value::as_array).into_iter().flatten();
            steps.filter_map(|step| step.get("tool")?.as_str()).any(is_of_it)
        }
        Block::ToolUse { id, name, .. } if is_of_it(name) => {
            calls.push(id);
            labels.private
        }
        Block::ToolResult { tool_use_id, content, .. } => calls.contains(&tool_use_id) && labels.in_result(content),
        _ => false,
    })
}

/// What arguments are called where they are remembered.
pub(crate) fn digest_of(input: &Value) -> String {
    input.as_object().map(digest).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(server: &str, private: bool, outside: bool) -> ToolEntry {
        let (name, server) = ([server, ".t"].concat(), Some(server.to_owned()));
        ToolEntry { name, server, private, outside, read_only: true, ..ToolEntry::default() }
    }

    #[test]
    fn private_data_leave_only_where_somebody_says_so() {
        let (mail, web, own) = (tool("mail", true, true), tool("web", false, true), tool("own", false, false));
        let mut rules = Rules::default();
        let ask = |rules: &Rules, tool: &ToolEntry| rules.verdict(Approval::Never, tool, &json!({ "q": 1 }));
        assert_eq!(ask(&rules, &web), Verdict::Allow);
        rules.hold_of(&web);
        assert_eq!(ask(&rules, &web), Verdict::Allow, "what is public may go anywhere");
        rules.hold_of(&mail);
        let Verdict::Ask(why) = ask(&rules, &web) else { panic!("data left") };
        assert!(why.starts_with("private data of mail may leave through web.t: "), "{why}");
        assert_eq!((ask(&rules, &mail), ask(&rules, &own)), (Verdict::Allow, Verdict::Allow));
        // Two private servers are strangers to each other, where their tools reach beyond them.
        rules.hold("notes");
        assert!(
            matches!(ask(&rules, &mail), Verdict::Ask(why) if why.contains("data of notes may leave through mail.t"))
        );
    }

    #[test]
    fn what_was_allowed_holds_for_what_is_alike_and_not_for_more() {
        let (writes, web) = (ToolEntry { read_only: false, ..tool("s", false, true) }, tool("web", false, true));
        let (one, two) = (json!({ "a": 1, "b": 2 }), json!({ "a": 1, "b": 3 }));
        let mut rules = Rules::default();
        let allowed = |rules: &Rules, tool: &ToolEntry, input: &Value| {
            rules.verdict(Approval::Writes, tool, input) == Verdict::Allow
        };
        assert!(!allowed(&rules, &writes, &one));
        rules.allow(&writes, &one, true);
        assert!(allowed(&rules, &writes, &json!({ "b": 2, "a": 1 })) && !allowed(&rules, &writes, &two));
        let other = ToolEntry { name: "s.u".into(), ..writes.clone() };
        assert!(!allowed(&rules, &other, &one));
        // Nobody who said so before knew of the private data.
        rules.hold("mail");
        assert!(!allowed(&rules, &writes, &one));
        rules.allow(&web, &one, false);
        assert!(allowed(&rules, &web, &two) && !allowed(&rules, &writes, &one));
        rules.recall("s.t".into(), digest_of(&two));
        assert!(!allowed(&rules, &writes, &two));
    }

    #[test]
    fn an_approval_holds_for_the_data_that_it_names() {
        let (web, mut rules) = (tool("web", false, true), Rules::default());
        let asks = |rules: &Rules| matches!(rules.verdict(Approval::Never, &web, &json!({})), Verdict::Ask(_));
        rules.hold("mail");
        rules.allow(&web, &json!({}), false);
        assert!(!asks(&rules));
        rules.hold("health");
        assert!(asks(&rules), "nobody was asked about the data of health");
        rules.allow(&web, &json!({}), false);
        assert!(!asks(&rules));
    }

    #[test]
    fn a_history_tells_whose_data_it_holds_without_any_list_of_tools() {
        let labels = Labels { private: true, ..Labels::default() };
        let some = Labels { private_resources: vec!["mail://".into()], ..Labels::default() };
        let used = |name: &str, input: Value| {
            let block = Block::ToolUse { id: "a".into(), name: name.into(), input, invalid_input: None };
            vec![Message { role: crate::llm::types::Role::Assistant, content: vec![block] }]
        };
        let plan =
            |tool: &str| used("run_plan_", json!({ "steps": [{ "id": "a", "tool": "web.t" }, { "tool": tool }] }));
        for (history, all, part) in [
            (used("mail__read", json!({})), true, false),
            (used("web__read", json!({ "steps": [{ "tool": "mail.read" }] })), false, false),
            (plan("mail.read"), true, true),
            (plan("mail__read"), true, true),
            (plan("mails.read"), false, false),
            (vec![Message::user("<context>\n<source server=\"mail\" uri=\"mail://1\">")], true, true),
            (vec![Message::user("<context>\n<source server=\"mail\" uri=\"web://1\">")], true, false),
            (vec![Message::user("<source server=\"mail\" uri=\"mail://1\">")], false, false),
        ] {
            let found = [&labels, &some, &Labels::default()].map(|labels| shows_private("mail", labels, &history));
            assert_eq!(found, [all, part, false], "{history:?}");
        }
        // What a result shows, of a server that keeps only some of it private.
        let answered = |name: &str, uri: &str| {
            let mut history = used(name, json!({}));
            let content = vec![json!({ "type": "resource", "resource": { "uri": uri, "text": "x" } })];
            let block = Block::ToolResult { tool_use_id: "a".into(), content, is_error: false };
            history.push(Message { role: crate::llm::types::Role::User, content: vec![block] });
            shows_private("mail", &some, &history)
        };
        assert!(answered("mail__read", "mail://1") && !answered("mail__read", "web://1"));
        assert!(!answered("web__read", "mail://1"), "another server's");
        // As the names that models use are written.
        let long = "x".repeat(64);
        assert!(shows_private("3d", &labels, &used("_3d__read", json!({}))));
        assert!(shows_private(&long, &labels, &used(&long, json!({}))));
    }

    #[test]
    fn a_changed_tool_is_another_one_than_was_allowed() {
        let mut rules = Rules::default();
        let mut writes = tool("s", false, true);
        rules.allow(&writes, &json!({}), false);
        let change =
            crate::mcp::trust::Change { parts: vec!["description".into()], fingerprint: "f".into(), asks: true };
        writes.changed = Some(change);
        assert!(matches!(rules.verdict(Approval::Never, &writes, &json!({})), Verdict::Ask(_)));
    }
}
