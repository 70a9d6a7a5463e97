//! What a server tells of by itself: changed lists and resources, in both eras.
//!
//! Modern servers tell it on the stream of `subscriptions/listen` ([MCP 2026-07-28, Subscriptions]), which begins
//! with an acknowledgement of what they will tell. Older ones tell it on the stream of the session.
//!
//! ```
//! # use edgewise::mcp::listen::{Change, Filter, Heard, Listening};
//! # use serde_json::json;
//! let filter = Filter { tools: true, ..Filter::default() };
//! let mut listening = Listening::new(4, filter);
//! let about = |more: serde_json::Value| {
//!     let mut params = json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": 4 } });
//!     params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
//!     Some(params)
//! };
//! let honoured = about(json!({ "notifications": { "toolsListChanged": true } }));
//! assert!(matches!(listening.heard("notifications/subscriptions/acknowledged", honoured), Some(Heard::Honoured(_))));
//! let changed = listening.heard("notifications/tools/list_changed", about(json!({})));
//! assert_eq!(changed, Some(Heard::Change(Change::Tools)));
//! ```
//!
//! [MCP 2026-07-28, Subscriptions]: https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/subscriptions

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::jsonrpc::same_number;
use crate::options::{Fields, expected};
use crate::time::{Millis, UnixMillis};

/// What is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// That the list of tools changed.
    pub tools: bool,
    /// That the list of prompts changed.
    pub prompts: bool,
    /// That the list of resources changed.
    pub resources: bool,
    /// That one of these resources changed.
    pub uris: Vec<String>,
    /// That one of these tasks changed; only modern servers with the tasks extension tell it.
    pub tasks: Vec<String>,
}

/// The member of `_meta` that names the subscription.
const ID: &str = "io.modelcontextprotocol/subscriptionId";

impl Filter {
    /// Reads what the app wants to be told: `{ tools, prompts, resources, uris, tasks }`.
    ///
    /// # Errors
    ///
    /// `config` with the path of the first field that is wrong, or when nothing is wanted.
    pub fn read(value: &Value, path: &str) -> Result<Filter> {
        let mut fields = Fields::open(value, path)?;
        let mut filter = Filter::default();
        for (name, wanted) in
            [("tools", &mut filter.tools), ("prompts", &mut filter.prompts), ("resources", &mut filter.resources)]
        {
            *wanted = fields.boolean(name)?.unwrap_or(false);
        }
        for (name, list) in [("uris", &mut filter.uris), ("tasks", &mut filter.tasks)] {
            for (path, item) in fields.array(name)? {
                let item = item.as_str().ok_or_else(|| expected(&path, "a string", item))?;
                add(list, item);
            }
        }
        fields.finish()?;
        match filter == Filter::default() {
            true => Err(crate::error::Error::config(path, "names nothing to be told of")),
            false => Ok(filter),
        }
    }

    /// Adds what `other` wants.
    pub fn join(&mut self, other: &Filter) {
        self.tools |= other.tools;
        self.prompts |= other.prompts;
        self.resources |= other.resources;
        other.uris.iter().for_each(|uri| add(&mut self.uris, uri));
        other.tasks.iter().for_each(|task| add(&mut self.tasks, task));
    }

    /// What both want.
    pub fn common(&self, other: &Filter) -> Filter {
        let common = |ours: &[String], theirs: &[String]| {
            ours.iter().filter(|item| theirs.contains(item)).cloned().collect::<Vec<_>>()
        };
        Filter {
            tools: self.tools && other.tools,
            prompts: self.prompts && other.prompts,
            resources: self.resources && other.resources,
            uris: common(&self.uris, &other.uris),
            tasks: common(&self.tasks, &other.tasks),
        }
    }

    /// True when it wants everything that `other` wants.
    pub fn covers(&self, other: &Filter) -> bool {
        other.common(self) == *other
    }

    /// True when nothing is wanted.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// What of it a server declares that it can tell; `modern` servers also tell of tasks.
    pub fn declared(&self, capabilities: &Map<String, Value>, modern: bool) -> Filter {
        let says = |list: &str, what: &str| {
            capabilities.get(list).and_then(|list| list.get(what)).and_then(Value::as_bool) == Some(true)
        };
        Filter {
            tools: self.tools && says("tools", "listChanged"),
            prompts: self.prompts && says("prompts", "listChanged"),
            resources: self.resources && says("resources", "listChanged"),
            uris: if says("resources", "subscribe") { self.uris.clone() } else { Vec::new() },
            tasks: if modern { self.tasks.clone() } else { Vec::new() },
        }
    }

    /// `params.notifications` of `subscriptions/listen`.
    pub fn to_params(&self) -> Value {
        let mut params = Map::new();
        for (name, wanted) in [("tools", self.tools), ("prompts", self.prompts), ("resources", self.resources)] {
            if wanted {
                params.insert([name, "ListChanged"].concat(), true.into());
            }
        }
        for (name, list) in [("resourceSubscriptions", &self.uris), ("taskIds", &self.tasks)] {
            if !list.is_empty() {
                params.insert(name.to_owned(), list.clone().into());
            }
        }
        Value::Object(params)
    }

    /// What a server says that it will tell.
    pub(super) fn from_params(params: &Value) -> Filter {
        let flag = |name: &str| params.get(name).and_then(Value::as_bool) == Some(true);
        let list = |name: &str| {
            let list = params.get(name).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Filter {
            tools: flag("toolsListChanged"),
            prompts: flag("promptsListChanged"),
            resources: flag("resourcesListChanged"),
            uris: list("resourceSubscriptions"),
            tasks: list("taskIds"),
        }
    }

    /// True when whoever has this filter is to be told of that change.
    pub fn wants(&self, change: &Change) -> bool {
        match change {
            Change::Tools => self.tools,
            Change::Prompts => self.prompts,
            Change::Resources => self.resources,
            // What is watched may also be the place that holds the resource that changed.
            Change::Resource(uri) => self.uris.iter().any(|watched| is_below(uri, watched)),
            Change::Task(task) => {
                let id = task.get("taskId").and_then(Value::as_str);
                id.is_some_and(|id| self.tasks.iter().any(|watched| watched == id))
            }
            Change::Watching(_) | Change::Gap => true,
        }
    }
}

/// Whether a URI is that of a resource or of something that it holds.
pub fn is_below(uri: &str, resource: &str) -> bool {
    let below = uri.strip_prefix(resource);
    below.is_some_and(|rest| rest.is_empty() || resource.ends_with('/') || rest.starts_with(['/', '?', '#']))
}

fn add(list: &mut Vec<String>, item: &str) {
    if !list.iter().any(|known| known == item) {
        list.push(item.to_owned());
    }
}

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// From now on the server tells of this much of what was asked for; first of all and once.
    Watching(Filter),
    /// The list of tools changed.
    Tools,
    /// The list of prompts changed.
    Prompts,
    /// The list of resources changed.
    Resources,
    /// The resource of this URI changed. It may be one below a URI that is watched.
    Resource(String),
    /// A task changed; its fields.
    Task(Map<String, Value>),
    /// For a while nobody could tell of changes, from now on somebody can again: list and read anew.
    Gap,
}

impl Change {
    /// Reads a notification; `None` when it tells of no change.
    pub fn read(method: &str, params: Option<Value>) -> Option<Change> {
        Some(match method {
            "notifications/tools/list_changed" => Change::Tools,
            "notifications/prompts/list_changed" => Change::Prompts,
            "notifications/resources/list_changed" => Change::Resources,
            "notifications/resources/updated" => Change::Resource(params?.get("uri")?.as_str()?.to_owned()),
            "notifications/tasks" => match params? {
                Value::Object(mut task) => {
                    task.remove("_meta");
                    Change::Task(task)
                }
                _ => return None,
            },
            _ => return None,
        })
    }

    /// The notification that it is [read](Change::read) from, `{ method, params }`; nothing of interest for what only a watcher is told.
    pub(super) fn to_notification(&self) -> Value {
        let (method, params) = match self {
            Change::Tools => ("notifications/tools/list_changed", Value::Null),
            Change::Prompts => ("notifications/prompts/list_changed", Value::Null),
            Change::Resources => ("notifications/resources/list_changed", Value::Null),
            Change::Resource(uri) => ("notifications/resources/updated", json!({ "uri": uri })),
            Change::Task(task) => ("notifications/tasks", Value::Object(task.clone())),
            Change::Watching(_) | Change::Gap => return Value::Null,
        };
        json!({ "method": method, "params": params })
    }

    /// The TypeScript type `Change`.
    pub fn to_value(&self) -> Value {
        let kind = match self {
            Change::Watching(filter) => {
                let mut value = json!({ "type": "watching" });
                for (name, told) in
                    [("tools", filter.tools), ("prompts", filter.prompts), ("resources", filter.resources)]
                {
                    value[name] = told.into();
                }
                value["uris"] = filter.uris.clone().into();
                value["tasks"] = filter.tasks.clone().into();
                return value;
            }
            Change::Resource(uri) => return json!({ "type": "resource_updated", "uri": uri }),
            Change::Task(task) => return json!({ "type": "task_updated", "task": task }),
            Change::Tools => "tools_changed",
            Change::Prompts => "prompts_changed",
            Change::Resources => "resources_changed",
            Change::Gap => "gap",
        };
        json!({ "type": kind })
    }
}

/// What a message on the stream of `subscriptions/listen` says.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The server will tell of this much. Comes once, before anything else.
    Honoured(Filter),
    /// Something changed.
    Change(Change),
}

/// The stream of one `subscriptions/listen`.
#[derive(Clone, Debug)]
pub struct Listening {
    id: u64,
    asked: Filter,
    acknowledged: bool,
}

impl Listening {
    /// A stream that was just asked for, by the request of that id.
    pub fn new(id: u64, asked: Filter) -> Listening {
        Listening { id, asked, acknowledged: false }
    }

    /// True once the server has said what it will tell.
    pub fn is_acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// Takes a notification. `None` for one of another subscription, one before the acknowledgement, one that was
    /// not asked for, and one that tells nothing.
    pub fn heard(&mut self, method: &str, params: Option<Value>) -> Option<Heard> {
        let id = params.as_ref().and_then(|params| params.get("_meta")?.get(ID));
        // The stream is this subscription's alone, so an id that is missing does no harm; another one does.
        if id.is_some_and(|id| !same_number(id, self.id)) {
            return None;
        }
        if method == "notifications/subscriptions/acknowledged" {
            let told = Filter::from_params(params?.get("notifications")?);
            let first = !std::mem::replace(&mut self.acknowledged, true);
            return first.then(|| Heard::Honoured(self.asked.common(&told)));
        }
        let change = Change::read(method, params).filter(|change| self.acknowledged && self.asked.wants(change))?;
        Some(Heard::Change(change))
    }
}

/// Learns from the keep-alives of a stream how long it may be silent.
///
/// Silence alone is no death: many servers send nothing until something changes. One that has shown a pulse and
/// shows none any more is given up after four times its longest pause, between one and ten minutes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pulse {
    last: Option<UnixMillis>,
    longest: Option<Millis>,
}

impl Pulse {
    const LEAST: Millis = Millis::from_secs(60);
    const MOST: Millis = Millis::from_secs(600);

    /// Something came, `alive` when it was a mere sign of life. How long silence may last from here.
    pub fn beat(&mut self, now: UnixMillis, alive: bool) -> Millis {
        let pause = self.last.replace(now).map_or(Millis(0), |last| now.since(last));
        if alive {
            self.longest = Some(pause.max(self.longest.unwrap_or_default()));
        }
        match self.longest {
            Some(longest) => Millis(longest.0.saturating_mul(4)).clamp(Pulse::LEAST, Pulse::MOST),
            None => Millis::MAX_TIMER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(tools: bool, uris: &[&str]) -> Filter {
        Filter { tools, uris: uris.iter().map(|uri| (*uri).to_owned()).collect(), ..Filter::default() }
    }

    #[test]
    fn filters_are_read_joined_and_compared() {
        let value = json!({ "tools": true, "prompts": false, "uris": ["a:1", "a:1", "a:2"], "tasks": ["t"] });
        let read = Filter::read(&value, "filter").unwrap();
        assert_eq!(read, Filter { tasks: vec!["t".into()], ..filter(true, &["a:1", "a:2"]) });
        assert_eq!(
            read.to_params(),
            json!({
                "toolsListChanged": true, "resourceSubscriptions": ["a:1", "a:2"], "taskIds": ["t"]
            })
        );
        let message = |value: Value| Filter::read(&value, "filter").unwrap_err().message.clone();
        assert_eq!(message(json!({})), "filter: names nothing to be told of");
        assert_eq!(message(json!({ "uris": [7] })), "filter.uris[0]: expected a string, got 7");
        assert!(message(json!({ "tool": true })).starts_with("filter.tool: unknown option"));

        let (small, large) = (filter(false, &["a:2"]), filter(true, &["a:1", "a:2"]));
        assert!(large.covers(&small) && large.covers(&large) && !small.covers(&large));
        assert!(!filter(true, &["a:1"]).covers(&filter(true, &["a:2"])));
        assert!(small.covers(&Filter::default()) && !Filter::default().covers(&small));
        let mut joined = filter(true, &["a:1"]);
        joined.join(&small);
        assert_eq!(joined, large);
    }

    #[test]
    fn only_what_is_declared_can_be_honoured() {
        let wanted = Filter { prompts: true, resources: true, tasks: vec!["t".into()], ..filter(true, &["a:1"]) };
        let capabilities = json!({ "tools": { "listChanged": true }, "prompts": { "listChanged": false },
            "resources": { "subscribe": true } });
        let capabilities = capabilities.as_object().unwrap();
        assert_eq!(wanted.declared(capabilities, false), filter(true, &["a:1"]));
        assert_eq!(wanted.declared(capabilities, true).tasks, ["t"]);
        assert!(wanted.declared(&Map::new(), false).is_empty());
    }

    fn params(id: Value, more: Value) -> Option<Value> {
        let mut params = more;
        params["_meta"] = json!({ ID: id });
        Some(params)
    }

    const ACK: &str = "notifications/subscriptions/acknowledged";
    const UPDATED: &str = "notifications/resources/updated";

    #[test]
    fn the_acknowledgement_comes_first_and_says_how_much() {
        let mut listening = Listening::new(7, filter(true, &["a:1", "a:2"]));
        let updated = || params(json!(7), json!({ "uri": "a:1/x" }));
        assert_eq!(listening.heard(UPDATED, updated()), None, "too early");
        let told = json!({ "notifications": { "toolsListChanged": false, "resourceSubscriptions": ["a:1", "a:9"],
            "promptsListChanged": true } });
        assert_eq!(listening.heard(ACK, params(json!(8), told.clone())), None, "of another subscription");
        assert!(!listening.is_acknowledged());
        let honoured = Heard::Honoured(filter(false, &["a:1"]));
        assert_eq!(listening.heard(ACK, params(json!("7"), told.clone())), Some(honoured));
        assert_eq!(listening.heard(ACK, params(json!(7), told)), None, "once");
        let change = Heard::Change(Change::Resource("a:1/x".into()));
        assert_eq!(listening.heard(UPDATED, updated()), Some(change));
    }

    #[test]
    fn strange_notices_tell_nothing() {
        let mut listening = Listening::new(7, filter(true, &["a:1"]));
        listening.heard(ACK, params(json!(7), json!({ "notifications": {} })));
        for (method, params) in [
            ("notifications/tools/list_changed", params(json!(6), json!({}))),
            ("notifications/prompts/list_changed", params(json!(7), json!({}))),
            (UPDATED, params(json!(7), json!({ "uri": "b:1" }))),
            (UPDATED, params(json!(7), json!({ "uri": "a:10" }))),
            (UPDATED, params(json!(7), json!({ "uri": 1 }))),
            (UPDATED, None),
            ("notifications/unheard", params(json!(7), json!({}))),
            (ACK, None),
        ] {
            assert_eq!(listening.heard(method, params), None, "{method}");
        }
        let bare = listening.heard("notifications/tools/list_changed", None);
        assert_eq!(bare, Some(Heard::Change(Change::Tools)), "the stream says whose it is");
    }

    #[test]
    fn changes_as_javascript_sees_them() {
        let task = json!({ "taskId": "t", "status": "working", "_meta": {} });
        let task = Change::read("notifications/tasks", Some(task)).unwrap();
        assert_eq!(task.to_value(), json!({ "type": "task_updated", "task": { "taskId": "t", "status": "working" } }));
        assert!(Filter { tasks: vec!["t".into()], ..Filter::default() }.wants(&task));
        assert!(!filter(true, &[]).wants(&task));
        assert_eq!(Change::Resource("a".into()).to_value(), json!({ "type": "resource_updated", "uri": "a" }));
        assert_eq!(Change::Gap.to_value(), json!({ "type": "gap" }));
        assert_eq!(
            Change::Watching(filter(true, &["a"])).to_value(),
            json!({ "type": "watching", "tools": true, "prompts": false, "resources": false, "uris": ["a"], "tasks": [] })
        );
    }

    #[test]
    fn only_who_has_shown_a_pulse_can_lose_it() {
        let mut pulse = Pulse::default();
        let at = |secs: u64| UnixMillis(secs * 1_000);
        assert_eq!(pulse.beat(at(0), false), Millis::MAX_TIMER);
        assert_eq!(pulse.beat(at(5_000), false), Millis::MAX_TIMER, "messages are no keep-alives");
        assert_eq!(pulse.beat(at(5_005), true), Millis::from_secs(60));
        assert_eq!(pulse.beat(at(5_035), true), Millis::from_secs(120));
        assert_eq!(pulse.beat(at(5_036), false), Millis::from_secs(120));
        assert_eq!(pulse.beat(at(0), true), Millis::from_secs(120), "a clock that jumps back");
        assert_eq!(pulse.beat(at(900_000), true), Millis::from_secs(600));
    }
}
