//! Keeps sources fresh that were put before a model: does what [`Part::Live`] wants watched, read and waited for.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use serde_json::{Map, Value, json};

use crate::cache::is_outage;
use crate::drive::agent::Agent;
use crate::drive::wait::{Cancel, Jobs, Stop, unless_cancelled, within};
use crate::error::{Code, Error, Result};
use crate::json;
use crate::mcp::call_options::CallOptions;
use crate::mcp::listen::{Change, Filter};
use crate::mcp::server::State as ServerState;
use crate::platform::{Part, Platform, Space, key};
use crate::time::Millis;

/// Longest wait of a run for what may have changed since the last one.
const PATIENCE: Millis = Millis::from_secs(5);

/// Shortest and longest wait before a server that could not be reached is asked again to tell of a source.
const RETRY: Millis = Millis::from_secs(1);
const MOST_RETRY: Millis = Millis::from_secs(60);

/// So often in a row a server may refuse for another reason.
const MOST_REFUSALS: u32 = 4;

/// Longest wait for a source that is read again.
const READING: Millis = Millis::from_secs(30);

/// Facts for somebody who watches.
#[derive(Default)]
pub(crate) struct Inbox {
    facts: RefCell<Vec<Value>>,
    waker: RefCell<Option<Waker>>,
    open: Cell<bool>,
}

impl Inbox {
    /// Somebody watches, or is about to end doing so.
    pub(crate) fn is_open(&self) -> bool {
        self.open.get()
    }

    /// Waits for the end of the watch, which whoever waits polls too.
    pub(crate) async fn closed(&self) {
        poll_fn(|_| if self.open.get() { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    pub(crate) fn push(&self, fact: Value) {
        self.facts.borrow_mut().push(fact);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Everybody who watches the sources of a conversation.
#[derive(Default)]
pub(crate) struct Watchers(RefCell<Vec<(String, Rc<Inbox>)>>);

impl Watchers {
    /// What is followed in that conversation has changed; `by` knows of it.
    pub(crate) fn look(&self, conversation: &str, by: Option<&Rc<Inbox>>) {
        for (of, inbox) in &*self.0.borrow() {
            if of == conversation && by.is_none_or(|by| !Rc::ptr_eq(by, inbox)) {
                inbox.push(json!({ "look": true }));
            }
        }
    }
}

impl Watchers {
    /// What was followed in that conversation was removed, or in all: what they know is not stored.
    pub(crate) fn forget(&self, conversation: Option<&str>) {
        for (of, inbox) in &*self.0.borrow() {
            if conversation.is_none_or(|id| id == of) {
                inbox.push(json!({ "lost": true }));
                inbox.push(json!({ "look": true }));
            }
        }
    }
}

/// Takes a watcher off the list.
struct Leaving<'a>(&'a Watchers, &'a Rc<Inbox>);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.0.borrow_mut().retain(|(_, inbox)| !Rc::ptr_eq(inbox, self.1));
        self.1.open.set(false);
    }
}

/// Who watches what, and whom to tell.
pub(crate) struct Watch<'a> {
    /// The run whose context is to be followed.
    pub(crate) run: Option<&'a str>,
    /// The conversation whose sources are followed.
    pub(crate) conversation: Option<&'a str>,
    pub(crate) inbox: &'a Rc<Inbox>,
    /// Told of each change.
    pub(crate) tell: &'a dyn Fn(Value),
    /// Told once that what was shown before is compared with what is there now, or that it took too long.
    pub(crate) ready: &'a dyn Fn(),
}

impl<P: Platform> Agent<P> {
    /// Whether anything of a conversation is followed.
    pub(crate) async fn follows(&self, conversation: Option<&str>) -> bool {
        let Some(id) = conversation else { return false };
        !self.platform().list(Space::Conversations, &key(&[id, "live", ""])).await.is_empty()
    }

    /// Watches until cancelled.
    ///
    /// # Errors
    ///
    /// `network` when the part that decides cannot be loaded.
    pub(crate) async fn keep_fresh(&self, watch: Watch<'_>, over: &Cancel) -> Result<()> {
        let Watch { run, conversation, inbox, tell, ready } = watch;
        if let Some(id) = conversation {
            self.watchers().0.borrow_mut().push((id.to_owned(), inbox.clone()));
        }
        let _leaving = Leaving(self.watchers(), inbox);
        inbox.open.set(true);
        let platform = &**self.platform();
        let begin = json!({ "do": "begin", "run": run, "conversation": conversation });
        let Ok(begun) = unless_cancelled(over, self.ask_live(begin)).await else { return Ok(()) };
        let mut orders = begun?;
        let session = orders.get("session").cloned().unwrap_or_default();
        {
            let mut jobs = Jobs::default();
            jobs.push(async {
                platform.sleep(PATIENCE).await;
                inbox.push(json!({ "patience": true }));
            });
            loop {
                let list = |name: &str| orders.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
                for change in list("changes") {
                    let server = change.get("server").and_then(Value::as_str).unwrap_or("").to_owned();
                    tell(change);
                    // What is kept of it is outdated.
                    self.forget_cached(&server, "resources/read").await;
                }
                if orders.get("ready") == Some(&Value::Bool(true)) {
                    ready();
                }
                for source in list("watch") {
                    jobs.push(self.watch_source(source, inbox, run.is_none(), over));
                }
                for source in list("reads") {
                    jobs.push(self.read_source(source, inbox, over));
                }
                for wait in list("waits") {
                    let ms = wait.get("ms").and_then(Value::as_u64).unwrap_or(0);
                    jobs.push(async move {
                        platform.sleep(Millis(ms)).await;
                        inbox.push(json!({ "rested": wait["id"], "turn": wait["turn"] }));
                    });
                }
                let news = poll_fn(|context| {
                    let _ = jobs.poll(context);
                    let facts = inbox.facts.take();
                    if !facts.is_empty() {
                        return Poll::Ready(facts);
                    }
                    *inbox.waker.borrow_mut() = Some(context.waker().clone());
                    Poll::Pending
                });
                let Ok(facts) = unless_cancelled(over, news).await else { break };
                orders = self.ask_live(json!({ "do": "facts", "session": session, "facts": facts })).await?;
            }
        }
        // What the model was shown last is not to be shown again.
        let facts = inbox.facts.take();
        let end = self.ask_live(json!({ "do": "end", "session": session, "facts": facts }));
        let _ = within(platform, PATIENCE, &Cancel::new(), end).await;
        if let Some(id) = conversation.filter(|_| run.is_some()) {
            self.watchers().look(id, Some(inbox));
        }
        Ok(())
    }

    async fn ask_live(&self, request: Value) -> Result<Value> {
        match self.platform().call_part(Part::Live, json::text(&request)).await {
            Ok(answer) => Ok(json::read(&answer).unwrap_or_default()),
            Err(words) => Err(Error::new(Code::Network, ["live context: ", &words].concat())),
        }
    }

    /// Has the server tell of a source, and again whenever it can be reached again. With `patient` also of one that is not
    /// connected.
    async fn watch_source(&self, source: Value, inbox: &Inbox, patient: bool, over: &Cancel) {
        let fact = |name: &str| inbox.push(json!({ name: source["id"] }));
        let (unheard, mut pause, mut refusals) = (Cell::new(false), RETRY, 0);
        while let Some(error) = self.watch_once(&source, &fact, &unheard, patient, over).await
            && !over.is_cancelled()
        {
            if !unheard.replace(true) {
                (pause, refusals) = (RETRY, 0);
                fact("unheard");
            }
            // Such as a session that was lost once more.
            refusals += u32::from(!is_outage(&error));
            if refusals > MOST_REFUSALS || matches!(error.code, Code::Misuse | Code::AuthRequired) {
                break;
            }
            self.platform().sleep(pause).await;
            pause = Millis(pause.0 * 2).min(MOST_RETRY);
        }
        if !over.is_cancelled() {
            fact("deaf");
        }
    }

    /// Watches a source until the server tells of nothing any more; why not, if there is a reason.
    async fn watch_once(
        &self,
        source: &Value,
        fact: &dyn Fn(&str),
        unheard: &Cell<bool>,
        patient: bool,
        over: &Cancel,
    ) -> Option<Error> {
        let text = |name: &str| source.get(name).and_then(Value::as_str).unwrap_or("");
        let filter = Filter { uris: vec![text("uri").to_owned()], ..Filter::default() };
        let server = self.server_named(text("server"))?;
        if server.state() != ServerState::Ready {
            if !patient {
                return None;
            }
            if let Err(error) = self.ensure(&server, over, &mut |_, _| ()).await {
                return Some(error);
            }
        }
        // A session that was lost leaves nobody to say what the server tells of.
        if let Err(error) = server.connection.connect(over).await {
            return Some(error);
        }
        if !server.connection.tells(&filter) {
            return None;
        }
        let mut told = |change| match change {
            Change::Watching(honoured) if honoured.uris.is_empty() => {
                unheard.set(true);
                fact("deaf");
            }
            Change::Watching(_) => {
                fact("watching");
                if unheard.take() {
                    fact("gap");
                }
            }
            Change::Resource(_) => fact("changed"),
            Change::Gap => fact("gap"),
            _ => {}
        };
        server.connection.watch(filter, over, &mut told).await.err()
    }

    async fn read_source(&self, source: Value, inbox: &Inbox, over: &Cancel) {
        let text = |name: &str| source.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        let mut fact = json!({ "read": source["id"], "uri": source["uri"], "at": self.platform().now().0 });
        if let Ok(Ok(result)) =
            within(&**self.platform(), READING, over, self.read_now(&text("server"), &text("uri"), over)).await
        {
            fact["result"] = Value::Object(result);
        }
        inbox.push(fact);
    }

    /// Reads a resource past what is cached.
    async fn read_now(&self, server: &str, uri: &str, cancel: &Cancel) -> Result<Map<String, Value>> {
        let gone = || Error::new(Code::Misuse, ["there is no server named `", server, "`"].concat());
        let server = self.server_named(server).ok_or_else(gone)?;
        let mut params = Map::new();
        params.insert("uri".to_owned(), uri.into());
        server.connection.ask("resources/read", &params, &CallOptions::default(), cancel, &mut |_| ()).await
    }

    /// Follows a resource in a conversation: from now on the app and the model are told of what changes in it.
    ///
    /// # Errors
    ///
    /// `misuse` when there is no such server, it does not tell of changes of its resources, or the resource is no text; `config`
    /// for an id that is none; why it cannot be read.
    pub async fn subscribe(&self, conversation: &str, server: &str, uri: &str, cancel: &Cancel) -> Result<()> {
        self.conversation_exists(conversation)?;
        self.connect(cancel).await?;
        let result = self.read_now(server, uri, cancel).await?;
        let filter = Filter { uris: vec![uri.to_owned()], ..Filter::default() };
        let misuse = |words: &str| Error::new(Code::Misuse, ["subscribe: `", server, "` ", words].concat());
        if !self.server_named(server).is_some_and(|server| server.connection.tells(&filter)) {
            return Err(misuse("does not tell of changes of its resources"));
        }
        let request = json!({
            "do": "subscribe", "conversation": conversation, "server": server, "uri": uri, "result": result,
        });
        let answer = unless_cancelled(cancel, self.ask_live(request)).await;
        let answer = answer.map_err(|_: Stop| Error::cancelled("subscribe"))??;
        if answer.get("ok") != Some(&Value::Bool(true)) {
            return Err(misuse("has no text there"));
        }
        self.watchers().look(conversation, None);
        Ok(())
    }

    /// Follows a resource no longer; false when it was not followed.
    ///
    /// # Errors
    ///
    /// `network` when the part that decides cannot be loaded.
    pub async fn unsubscribe(&self, conversation: &str, server: &str, uri: &str) -> Result<bool> {
        let request = json!({ "do": "unsubscribe", "conversation": conversation, "server": server, "uri": uri });
        let answer = self.ask_live(request).await?;
        self.watchers().look(conversation, None);
        Ok(answer.get("ok") == Some(&Value::Bool(true)))
    }

    /// What is followed in a conversation: an array of `{ server, uri, asked }`.
    ///
    /// # Errors
    ///
    /// `network` when the part that decides cannot be loaded.
    pub async fn subscriptions(&self, conversation: &str) -> Result<Value> {
        let mut answer = self.ask_live(json!({ "do": "list", "conversation": conversation })).await?;
        let mut sources = answer.get_mut("sources").map(Value::take).unwrap_or_default();
        // What was put before the model by itself is not followed where the server turns out to tell nothing, or where the app
        // does not want it.
        let live = self.context_config().live;
        let mute = |source: &Value| {
            let text = |name: &str| source.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
            let filter = Filter { uris: vec![text("uri")], ..Filter::default() };
            let server = self.server_named(&text("server")).filter(|server| server.state() == ServerState::Ready);
            server.is_some_and(|server| !server.connection.tells(&filter))
        };
        if let Some(sources) = sources.as_array_mut() {
            sources.retain(|source| source.get("asked") == Some(&Value::Bool(true)) || live && !mute(source));
        }
        Ok(sources)
    }

    /// Tells of changes of what is followed in a conversation until cancelled; at first of what has changed since the model
    /// was shown it.
    ///
    /// # Errors
    ///
    /// `cancelled`; as [`Agent::connect`]; `network` when the part that decides cannot be loaded.
    pub async fn changes(&self, conversation: &str, cancel: &Cancel, tell: &dyn Fn(Value)) -> Result<()> {
        self.conversation_exists(conversation)?;
        self.connect(cancel).await?;
        let told = |mut change: Value| {
            if let Some(fields) = change.as_object_mut() {
                fields.remove("note");
                fields.remove("version");
                fields.insert("type".to_owned(), "context_changed".into());
            }
            tell(change);
        };
        let inbox = Rc::<Inbox>::default();
        let watch = Watch { run: None, conversation: Some(conversation), inbox: &inbox, tell: &told, ready: &|| () };
        self.keep_fresh(watch, cancel).await?;
        Err(Error::cancelled("changes"))
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
