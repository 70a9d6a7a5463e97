//! What a run offers its model: all tools, or where those would cost too much, the ones that fit; and the agent's own.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::agent::catalog::{Builtin, ToolEntry};
use crate::agent::event::Outcome;
use crate::agent::fact::{Call, Fact, ToolOutput};
use crate::agent::flow::shows_private;
use crate::agent::goal;
use crate::agent::kept;
use crate::agent::run::Run;
use crate::agent::selection::{Adds, Before, Choice, MOST_FOUND, MOST_NEW, choose, go_on};
use crate::drive::agent::Agent;
use crate::drive::context::{PATIENCE, Prompt};
use crate::drive::handle::RunHandle;
use crate::drive::kept::BYTES;
use crate::drive::live::{Inbox, Watch};
use crate::drive::model::Model;
use crate::drive::plan::offer_builtin;
use crate::drive::server::Server;
use crate::drive::wait::{Cancel, unless_cancelled, within};
use crate::llm::found;
use crate::llm::types::{Block, Message, ToolDefinition};
use crate::mcp::config::Labels;
use crate::platform::Platform;

/// What has to be waited for before a model can be offered its tools.
pub(crate) struct Wish {
    /// Context is to be gathered for it.
    prompt: Option<Prompt>,
    /// The run pursues a goal.
    pursues: bool,
    /// Results may be, or have been, kept.
    reads: bool,
    /// Only some tools are offered.
    narrow: Option<Narrow>,
    /// Sources may be followed as long as the run goes on.
    follows: bool,
}

/// What is known of a conversation whose model is offered only some tools.
struct Narrow {
    /// What the user says.
    prompt: String,
    before: Before,
    /// The model may have been asked with what is offered: the run is taken up again.
    settled: bool,
}

/// The definitions to offer in front, those behind that were added later, and one that is not offered.
type Offer = (Vec<ToolDefinition>, Vec<ToolDefinition>, Option<ToolDefinition>);

/// Whether a run can have results that are too long to be shown: then its model can read them from the first request on, since
/// a tool that came with the first of them would cost the provider's cache of all that was said before.
pub(crate) fn reads<P: Platform>(agent: &Agent<P>, run: &Run) -> bool {
    let tells = |block: &Block| matches!(block, Block::ToolResult { .. } | Block::Compaction { .. });
    agent.catalog().bytes() > 0 || run.messages().iter().flat_map(|message| &message.content).any(tells)
}

impl Wish {
    /// What a run wants; `None` where all tools are offered at once.
    pub(crate) fn of<P: Platform>(agent: &Agent<P>, run: &Run, conversation: bool) -> Option<Wish> {
        let messages = run.messages();
        let narrow = (agent.catalog().bytes() > agent.tool_room()).then(|| {
            // A run that is taken up again has more behind its prompt, or has said already what it offers.
            let (prompt, behind) = messages[run.begun_with().min(messages.len())..].split_first().unzip();
            let marked = |prompt: &Message| prompt.content.iter().any(|block| matches!(block, Block::Tools { .. }));
            let settled = behind.is_some_and(|behind: &[Message]| !behind.is_empty()) || prompt.is_some_and(marked);
            Narrow { prompt: prompt.map(Message::text).unwrap_or_default(), before: Before::of(messages), settled }
        });
        let follows = agent.may_follow(conversation);
        let run_id = || follows.then(|| run.id().to_owned());
        let prompt = (agent.has_context() && !run.has_context()).then(|| Prompt::of(messages, run.view(), run_id()));
        let any = prompt.is_some() || narrow.is_some() || follows || agent.offers_plans();
        any.then(|| Wish { prompt, pursues: run.has_goal(), reads: reads(agent, run), narrow, follows })
    }
}

/// Offers the tools, and puts context before the prompt; reports both. Ends without doing so when the run is over. Where
/// sources are followed, it goes on telling of their changes; `about` is the conversation that the run is in, and what comes
/// in for it.
pub(crate) async fn offer<P: Platform>(
    agent: &Agent<P>,
    model: &Model,
    handle: &RunHandle,
    over: &Cancel,
    wish: Wish,
    about: (Option<String>, &Rc<Inbox>),
) {
    let catalog = agent.catalog();
    let mut entries = catalog.entries();
    let finds = wish.narrow.is_some();
    let (front, more, other) = match wish.narrow {
        Some(narrow) => agent.chosen((model, handle), narrow, over).await,
        None => (catalog.definitions(), Vec::new(), None),
    };
    if over.is_cancelled() {
        return;
    }
    let mut own = Vec::new();
    if agent.offers_plans() {
        let offered = offer_builtin(&**agent.platform(), &mut entries, &mut own);
        if unless_cancelled(over, offered).await.is_err() {
            return;
        }
    }
    if wish.reads {
        kept::offer(&mut entries, &mut own);
    }
    if finds && let Some((entry, definition)) = agent.finder(&entries, over).await {
        entries.push(entry);
        own.push(definition);
    }
    if wish.pursues {
        goal::offer(&mut entries, &mut own);
    }
    model.offer(front, own, other);
    model.offer_more(more);
    tell_fixed(model, handle);
    let run_id = wish.prompt.as_ref().and_then(|prompt| prompt.run.clone());
    if let Some(prompt) = wish.prompt {
        let mut config = agent.context_config();
        let room = agent.context_room(prompt.length.and(model.fixed().unwrap_or(0)));
        config.max_tokens = config.max_tokens.min(room);
        let built = agent.gather_context(&prompt, &config, PATIENCE, over).await;
        if let Some(text) = built.as_ref().ok().and_then(|built| built.get("text")?.as_str()) {
            hold(agent, handle, text);
        }
        handle.push(Fact::Context(built));
    }
    let offered = Cell::new(Some(entries));
    let ready = || offered.take().into_iter().for_each(|entries| handle.push(Fact::Tools(entries)));
    let (id, inbox) = about;
    if wish.follows && (run_id.is_some() || agent.follows(id.as_deref()).await) {
        let tell = |change: Value| {
            hold(agent, handle, change.get("note").and_then(Value::as_str).unwrap_or(""));
            handle.push(Fact::SourceChanged(change));
        };
        let watch = Watch { run: run_id.as_deref(), conversation: id.as_deref(), inbox, tell: &tell, ready: &ready };
        // Without the part nothing is followed.
        let _ = agent.keep_fresh(watch, over).await;
    }
    ready();
}

/// Tells the run whose private data a block of context shows, before the model is shown it.
fn hold<P: Platform>(agent: &Agent<P>, handle: &RunHandle, text: &str) {
    let private = private_of(agent, text);
    if !private.is_empty() {
        handle.push(Fact::Private(private));
    }
}

/// Tells the run that a result shows private resources of a server which is not private as a whole, before the model is
/// shown it or a plan goes on with it.
pub(crate) fn hold_result<P: Platform>(agent: &Agent<P>, handle: &RunHandle, tool: &ToolEntry, output: &ToolOutput) {
    if let Some(server) = tool.server.as_ref().and_then(|name| agent.server_named(name))
        && server.config.labels.in_result(&output.content)
    {
        handle.push(Fact::Private(vec![server.name.clone()]));
    }
}

/// The servers of which a block of context shows something private.
fn private_of<P: Platform>(agent: &Agent<P>, text: &str) -> Vec<String> {
    let shows = |name: &String, labels: &Labels| labels.in_context(name, text);
    let servers = agent.servers_now();
    let servers = servers.iter().filter(|server| shows(&server.name, &server.config.labels));
    servers.map(|server| server.name.clone()).collect()
}

/// The servers of which a history shows something private.
pub(crate) fn private_in<P: Platform>(agent: &Agent<P>, messages: &[Message]) -> Vec<String> {
    let servers = agent.servers_now();
    let shows = |server: &&Rc<Server<P>>| shows_private(&server.name, &server.config.labels, messages);
    servers.iter().filter(shows).map(|server| server.name.clone()).collect()
}

/// Says how long the system prompt and the definitions are, where a window has to hold them.
pub(crate) fn tell_fixed(model: &Model, handle: &RunHandle) {
    if let Some(chars) = model.fixed() {
        handle.push(Fact::Fixed(chars));
    }
}

/// Answers a call of `find_tools`: what is found is offered from now on.
pub(crate) async fn find_more<P: Platform>(agent: &Agent<P>, model: &Model, call: &Call, over: &Cancel) -> ToolOutput {
    let query = call.input.get("query").and_then(Value::as_str).unwrap_or("");
    let found = match agent.find_tools(query, MOST_FOUND, over).await {
        Ok(found) => found,
        Err(error) => return ToolOutput::failed(Outcome::Failed, error.message.clone()),
    };
    let catalog = agent.catalog();
    let (mut told, mut known) = (String::new(), String::new());
    let (mut more, mut names) = (Vec::new(), Vec::new());
    for tool in found.iter().filter_map(|name| catalog.find(name)) {
        let definition = tool.definition();
        let first = definition.description.lines().next().unwrap_or("");
        let first = &first[..first.floor_char_boundary(200)];
        let line = ["- ", &definition.name, ": ", first, "\n"].concat();
        if model.offers(&definition.name) {
            known.push_str(&line);
        } else {
            told.push_str(&line);
            names.push(definition.name.clone());
            more.push(definition);
        }
    }
    model.offer_more(more);
    let mut content = Vec::new();
    if !told.is_empty() {
        content.push(found::block(["These tools can be called from now on:\n", &told].concat(), names));
    }
    if !known.is_empty() {
        content.push(found::block(["You have these already:\n", &known].concat(), Vec::new()));
    }
    if content.is_empty() {
        let text = "No tool fits. Try other words, or go on without.";
        content.push(found::block(text.to_owned(), Vec::new()));
    }
    ToolOutput { content, structured_content: None, is_error: false, outcome: Outcome::Ok, cached: None, handle: None }
}

impl<P: Platform> Agent<P> {
    /// The bytes that there are for the definitions of tools.
    fn tool_room(&self) -> usize {
        (self.config().limits.max_tool_tokens as usize).saturating_mul(BYTES)
    }

    /// The definitions that a prompt goes on with, or that fit it; all of them where nobody knows. What is new is reported.
    async fn chosen(&self, (model, handle): (&Model, &RunHandle), narrow: Narrow, over: &Cancel) -> Offer {
        let Narrow { prompt, before, settled } = narrow;
        let begun = !before.front.is_empty();
        let mut ranked = None;
        if !begun || !settled && model.adds_at_prompts() {
            let asked = self.find_tools(&prompt, MOST_NEW, over);
            ranked = within(&**self.platform(), PATIENCE, over, asked).await.ok().and_then(Result::ok);
        }
        let catalog = self.catalog();
        let tools = catalog.candidates();
        let most = if settled { usize::MAX } else { self.tool_room() };
        let choice = match go_on(&tools, &before, Adds { ranked: ranked.as_deref().unwrap_or_default(), most }) {
            Some(choice) => choice,
            None => {
                if begun && ranked.is_none() {
                    let asked = self.find_tools(&prompt, MOST_NEW, over);
                    ranked = within(&**self.platform(), PATIENCE, over, asked).await.ok().and_then(Result::ok);
                }
                let Some(ranked) = ranked else { return (catalog.definitions(), Vec::new(), None) };
                let standing = if begun { Vec::new() } else { self.offered() };
                let front = choose(&tools, &standing, &before.used, &ranked, self.tool_room());
                self.set_offered(front.iter().map(|place| tools[*place].name.to_owned()).collect());
                Choice { new: front.len(), front, more: Vec::new() }
            }
        };
        let Choice { front, more, new } = choice;
        let anew = more.is_empty();
        if new > 0 && !settled {
            let marked = if anew { &front[..] } else { &more[more.len() - new..] };
            let names = marked.iter().map(|place| tools[*place].wire_name.to_owned()).collect();
            handle.push(Fact::Offered { names, anew });
        }
        let definition = |place: usize| catalog.tools()[place].definition();
        let other = (0..tools.len()).find(|place| !front.contains(place)).map(definition);
        (front.into_iter().map(definition).collect(), more.into_iter().map(definition).collect(), other)
    }

    /// The tool that finds others, as the run and as its model have to know it; `None` when the part that knows is not there.
    async fn finder(&self, others: &[ToolEntry], over: &Cancel) -> Option<(ToolEntry, ToolDefinition)> {
        let entry = ToolEntry::builtin(Builtin::Find, others);
        let tool = self.ask_kept(&json!({ "do": "tool" }), over).await.ok()?;
        let definition = ToolDefinition {
            name: entry.wire_name.clone(),
            description: tool.get("description")?.as_str()?.to_owned(),
            input_schema: tool.get("inputSchema")?.clone(),
        };
        Some((entry, definition))
    }
}
