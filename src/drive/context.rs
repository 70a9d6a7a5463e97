//! Context for a query: does what [`Part::Context`] wants done with the servers, until it has its block of context.

use std::cell::{Cell, RefCell};

use serde_json::{Map, Value, json};

use crate::agent::config::Approval;
use crate::agent::context::ContextConfig;
use crate::agent::view::{MEDIA, View, size};
use crate::cache::READ;
use crate::drive::agent::Agent;
use crate::drive::kept::BYTES;
use crate::drive::model::room;
use crate::drive::server::Server;
use crate::drive::wait::{Cancel, Jobs, Stop, within};
use crate::error::{Code, Error, Result};
use crate::json;
use crate::llm::types::{Block, Message};
use crate::mcp::call_options::CallOptions;
use crate::mcp::lists::{List, Until};
use crate::mcp::server::State as ServerState;
use crate::platform::{Part, Platform};
use crate::rank::content_hash;
use crate::time::Millis;

/// More rounds no query needs: a template has a handful of variables.
const MOST_ROUNDS: usize = 60;

/// Longest wait of a run for one answer of a server. A query of the app waits as long as any request.
pub(crate) const PATIENCE: Millis = Millis::from_secs(10);

/// Shortest wait for an answer, once twice as long was waited for all of them together.
const LEAST_PATIENCE: Millis = Millis::from_secs(1);

/// What an agent remembers from one query to the next.
pub(crate) struct Lists {
    /// Names this agent to the part.
    owner: u64,
    last: Cell<u64>,
    known: RefCell<Vec<Known>>,
}

/// A list that the part has.
struct Known {
    server: String,
    list: List,
    version: u64,
    until: Until,
    /// What was told of the server until then, see [`Cache::turn`](crate::drive::cache::Cache::turn).
    turn: u64,
}

impl Lists {
    pub(crate) fn new(owner: u64) -> Lists {
        Lists { owner, last: Cell::new(0), known: RefCell::default() }
    }
}

/// Something to be ranked: a list with its version, and what is called what.
pub(crate) struct RankedList<'a> {
    pub(crate) name: &'a str,
    /// Another one for another content.
    pub(crate) version: String,
    /// Name and description of each thing; asked for only if this version is not known.
    pub(crate) documents: &'a dyn Fn() -> Vec<(String, String)>,
}

/// A thing that was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ranked {
    /// Number of its list.
    pub(crate) list: usize,
    /// Its place in that list.
    pub(crate) place: usize,
    /// From above 0 to 1.
    pub(crate) score: f64,
}

/// What context is gathered for.
#[derive(Debug, Default)]
pub(crate) struct Prompt {
    pub(crate) query: String,
    /// Blocks of context that the model was shown before.
    shown: Vec<String>,
    /// The run, where the sources are to be followed.
    pub(crate) run: Option<String>,
    /// How long what the model is shown of the history is, the prompt included.
    pub(crate) length: Length,
}

/// How long a request is, in the two ways in which tokens are estimated.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Length {
    pub(crate) bytes: u64,
    pub(crate) chars: u64,
}

impl Length {
    /// The same with so many characters that are a byte each.
    pub(crate) fn and(self, more: u64) -> Length {
        Length { bytes: self.bytes + more, chars: self.chars + more }
    }
}

impl Prompt {
    /// The last message of a history, and what the model is shown of those before it.
    pub(crate) fn of(messages: &[Message], view: &View, run: Option<String>) -> Prompt {
        let query = messages.last().map(Message::text).unwrap_or_default();
        let mut prompt = Prompt { query, run, ..Prompt::default() };
        for (_, message) in view.shown(messages) {
            prompt.length.chars += size(&message);
            for block in &message.content {
                prompt.length.bytes += match block {
                    Block::Text { text } => {
                        if text.starts_with("<context>\n") {
                            prompt.shown.push(text.clone());
                        }
                        text.len() as u64
                    }
                    // Providers count them by their size on the screen or their length in time.
                    Block::Image { .. } | Block::Audio { .. } => MEDIA,
                    Block::Tools { .. } => 0,
                    other => json::text(&json::tree(other)).len() as u64,
                };
            }
        }
        prompt
    }
}

fn has_resources<P: Platform>(server: &Server<P>) -> bool {
    server.state() == ServerState::Ready && server.connection.declares("resources")
}

impl<P: Platform> Agent<P> {
    /// A run puts context before its model, and there is a server that may have some.
    pub(crate) fn has_context(&self) -> bool {
        self.puts_context() && self.servers_now().iter().any(|server| has_resources(server))
    }

    /// Sources may be followed: those that are put before the model, or those of a conversation.
    pub(crate) fn may_follow(&self, conversation: bool) -> bool {
        (self.puts_context() && self.context_config().live || conversation)
            && self.servers_now().iter().any(|server| has_resources(server))
    }

    /// What the servers have on a query: `{ text, sources, tokens, dropped, omitted, meaning }`. Servers are connected first if need be.
    ///
    /// # Errors
    ///
    /// `cancelled`, `misuse` after [`Agent::close`], and `network` when the part that decides cannot be loaded. What a server
    /// fails to give is named among `dropped`.
    pub async fn build_context(&self, query: &str, config: &ContextConfig, cancel: &Cancel) -> Result<Value> {
        self.connect_all(false, cancel).await?;
        let prompt = Prompt { query: query.to_owned(), ..Prompt::default() };
        let most_tools = (self.config().limits.max_tool_tokens as usize).saturating_mul(BYTES);
        let fixed = self.config().system.as_ref().map_or(0, String::len) + self.catalog().bytes().min(most_tools);
        let room = self.context_room(Length::default().and((fixed + query.len()) as u64));
        let config = ContextConfig { max_tokens: config.max_tokens.min(room), ..config.clone() };
        self.gather_context(&prompt, &config, Millis(Millis::MAX_TIMER.0), cancel).await
    }

    /// How many tokens of context fit every model's window beside a request of that length; as many as one likes where no
    /// window is known.
    pub(crate) fn context_room(&self, length: Length) -> u64 {
        let (models, told, rate) = (self.model_config(), self.told_rooms(), self.rate());
        let known = |place: usize| room(models.at(place)).into_iter().chain(told.get(place).copied().flatten()).min();
        let Some(room) = (0..models.count()).filter_map(known).min() else { return u64::MAX };
        // What is more than that a run makes less of, so it would be put there in vain: see `Run::overfull`.
        let left = (room / 10 * 8).saturating_sub((length.bytes / 4).max(rate.tokens(length.chars)));
        // Context is counted by four characters for a token, whatever they are here.
        left.min(rate.chars(left) / 4)
    }

    /// The same with the servers that are connected, waiting no longer than that for any answer.
    pub(crate) async fn gather_context(
        &self,
        prompt: &Prompt,
        config: &ContextConfig,
        patience: Millis,
        cancel: &Cancel,
    ) -> Result<Value> {
        let has = |name: &str| self.servers_now().iter().any(|server| server.name == name);
        self.lists().known.borrow_mut().retain(|known| has(&known.server));
        let servers: Vec<Value> = self
            .servers_now()
            .iter()
            .filter(|server| has_resources(server))
            .map(|server| json!({ "name": server.name, "completions": server.connection.declares("completions") }))
            .collect();
        if servers.is_empty() {
            return Ok(
                json!({ "text": "", "sources": [], "tokens": 0, "dropped": [], "omitted": 0, "meaning": false }),
            );
        }
        let started = self.platform().now();
        let begin = json::text(&json!({
            "do": "begin", "owner": self.lists().owner.to_string(), "query": prompt.query, "servers": servers,
            "maxTokens": config.max_tokens, "maxResources": config.max_resources, "resources": config.resources, "embed": config.embed, "shown": prompt.shown,
            "run": prompt.run,
        }));
        let mut request = begin.clone();
        for _ in 0..MOST_ROUNDS {
            let mut answer = self.ask_context(request, cancel).await?;
            if let Some(done) = answer.get_mut("done") {
                return Ok(done.take());
            }
            if answer.get("lost").is_some() {
                request = begin.clone();
                continue;
            }
            let facts = RefCell::new(Vec::new());
            // Who answers each time just before its time is up must not keep a run waiting for long.
            let left = patience.0.saturating_mul(2).saturating_sub(self.platform().now().since(started).0);
            let patience = Millis(left.max(LEAST_PATIENCE.0).min(patience.0));
            let mut jobs = Jobs::default();
            for step in answer.get("steps").and_then(Value::as_array).into_iter().flatten() {
                jobs.push(async {
                    let mut fact = self.step(step, patience, cancel).await;
                    fact.insert("id".into(), step.get("id").cloned().unwrap_or_default());
                    facts.borrow_mut().push(Value::Object(fact));
                });
            }
            jobs.finish().await;
            if cancel.is_cancelled() {
                return Err(Error::cancelled("context"));
            }
            let session = answer.get("session").cloned().unwrap_or_default();
            request = json::text(&json!({ "do": "facts", "session": session, "facts": facts.into_inner() }));
        }
        Err(Error::new(Code::Limit, "context: it took too many rounds"))
    }

    /// Asks the part; its answer as a tree.
    async fn ask_context(&self, request: String, cancel: &Cancel) -> Result<Value> {
        let platform = &**self.platform();
        let asked = platform.call_part(Part::Context, request);
        match within(platform, Millis(Millis::MAX_TIMER.0), cancel, asked).await {
            Ok(Ok(answer)) => Ok(json::read(&answer).unwrap_or_default()),
            Ok(Err(words)) => Err(Error::new(Code::Network, ["context: ", &words].concat())),
            Err(_) => Err(Error::cancelled("context")),
        }
    }

    /// Does what the part wants of a server. What fails is said in words, without content.
    async fn step(&self, step: &Value, patience: Millis, cancel: &Cancel) -> Map<String, Value> {
        let done = within(&**self.platform(), patience, cancel, self.answer_step(step, cancel)).await;
        let (member, value) = match done {
            Ok(Ok(Some(result))) => ("result", result),
            Ok(Ok(None)) => ("same", Value::Bool(true)),
            Ok(Err(error)) => ("error", error.message.clone().into()),
            Err(Stop::TimedOut) => ("error", "took too long".into()),
            Err(Stop::Cancelled) => ("error", "was cancelled".into()),
        };
        let mut fact = Map::new();
        fact.insert(member.to_owned(), value);
        fact
    }

    /// The result of a step; `None` for a list that the part has.
    async fn answer_step(&self, step: &Value, cancel: &Cancel) -> Result<Option<Value>> {
        let text = |name: &str| step.get(name).and_then(Value::as_str).unwrap_or("");
        let gone = || Error::new(Code::Misuse, ["`", text("server"), "` was removed"].concat());
        let server = self.server_named(text("server")).ok_or_else(gone)?;
        let options = CallOptions::default();
        let Some(list) = List::of(text("list")) else {
            let empty = Map::new();
            let params = step.get("params").and_then(Value::as_object).unwrap_or(&empty);
            let (method, asked) = (text("method"), &mut |_| ());
            let (mut result, age) = match method {
                READ => server.connection.ask_kept(method, params, &options, cancel, asked).await?,
                _ => (server.connection.ask(method, params, &options, cancel, asked).await?, None),
            };
            let read_at = self.platform().now().0.saturating_sub(age.map_or(0, |age| age.age_ms.0));
            result.insert("readAt".into(), read_at.into());
            // Ours to say, not the server's.
            result.insert("stale".into(), age.is_some_and(|age| age.stale).into());
            return Ok(Some(Value::Object(result)));
        };
        let lists = self.lists();
        let (now, turn) = (self.platform().now(), self.told(&server));
        let is = |known: &Known| known.server == server.name && known.list == list;
        let fresh = |known: &Known| {
            is(known) && !known.until.is_over(now) && known.turn == turn && text("known") == known.version.to_string()
        };
        if lists.known.borrow().iter().any(fresh) {
            return Ok(None);
        }
        let listing = match server.connection.list(list, &options, cancel).await {
            // Who has resources need not have templates, and no capability tells.
            Err(error) if error.rpc_code == Some(-32601) => return Ok(Some(json!({ "elements": [], "version": "" }))),
            listing => listing?,
        };
        let version = lists.last.get() + 1;
        lists.last.set(version);
        let mut known = lists.known.borrow_mut();
        known.retain(|known| !is(known));
        known.push(Known { server: server.name.clone(), list, version, until: Until::new(listing.left, now), turn });
        Ok(Some(json!({ "elements": listing.elements, "version": version.to_string() })))
    }

    /// The names of the `limit` tools that fit a query best, the best first.
    ///
    /// # Errors
    ///
    /// `cancelled`, and `network` when the part that ranks cannot be loaded.
    pub async fn find_tools(&self, query: &str, limit: usize, cancel: &Cancel) -> Result<Vec<String>> {
        let definitions = self.catalog().to_json(Approval::Never);
        let tools: Vec<(String, String)> = definitions
            .as_array()
            .into_iter()
            .flatten()
            .map(|tool| {
                let text = |name: &str| tool.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
                (text("name"), text("description"))
            })
            .collect();
        let version = content_hash(tools.iter().flat_map(|(name, text)| [name.as_str(), text])).to_string();
        let lists = [RankedList { name: "tools", version, documents: &|| tools.clone() }];
        let found = self.rank("tools", &lists, query, limit, cancel).await?;
        Ok(found.into_iter().filter_map(|found| Some(tools.get(found.place)?.0.clone())).collect())
    }

    /// Finds the `limit` things that fit a query best, by words and by meaning. `of` names what is ranked, such as `tools`.
    ///
    /// The documents of a list are handed over once for each version.
    ///
    /// # Errors
    ///
    /// `cancelled`, and `network` when the part that ranks cannot be loaded.
    pub(crate) async fn rank(
        &self,
        of: &str,
        lists: &[RankedList<'_>],
        query: &str,
        limit: usize,
        cancel: &Cancel,
    ) -> Result<Vec<Ranked>> {
        let owner = [of, " ", &self.lists().owner.to_string()].concat();
        let mut stale: Vec<String> = Vec::new();
        // Once for what was known before, once with what was not; it may forget all of it in between.
        for _ in 0..3 {
            let lists_json: Vec<Value> = lists
                .iter()
                .map(|list| {
                    let mut json = json!({ "name": list.name, "version": list.version });
                    if stale.iter().any(|name| name == list.name) {
                        let documents = (list.documents)().into_iter().map(|(name, text)| json!([name, text]));
                        json["documents"] = documents.collect();
                    }
                    json
                })
                .collect();
            let request = json!({
                "do": "rank", "owner": owner, "query": query, "limit": limit, "lists": lists_json, "embed": self.context_config().embed,
            });
            let answer = self.ask_context(json::text(&request), cancel).await?;
            let Some(found) = answer.get("found").and_then(Value::as_array) else {
                let names = answer.get("stale").and_then(Value::as_array).into_iter().flatten();
                stale = names.filter_map(Value::as_str).map(str::to_owned).collect();
                continue;
            };
            let ranked = |found: &Value| {
                let list = lists.iter().position(|list| found.get("list").is_some_and(|name| name == list.name))?;
                let place = usize::try_from(found.get("place")?.as_u64()?).ok()?;
                Some(Ranked { list, place, score: found.get("score")?.as_f64()? })
            };
            return Ok(found.iter().filter_map(ranked).collect());
        }
        Err(Error::new(Code::Protocol, "context: the part does not keep what it is given"))
    }
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
