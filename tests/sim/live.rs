//! Stories of sources that change while conversations go on, drawn by seed, against a reference model: a plain list of what each
//! source said when, and to whom.
//!
//! Two users at one computer, three tabs, two servers, and a network and a disk that fail. In some stories tabs are killed and
//! opened again, in some they cannot hear each other. Whatever happens:
//!
//! - What is answered from the cache was right within its time, or is marked; it is what its own user may see, and no older than
//!   what the same tab was told of. What a tool gives is from after each write that was sent from this computer and carried
//!   out by then, also where nobody was left to see its end.
//! - Once it is quiet, whoever follows a source knows its last content: the app by the changes that it was told, the model by
//!   what it was shown. No update is lost.
//! - However a source flaps, it is read, told of and shown a bounded number of times.
//! - What a model was sent stays the beginning of all that it is sent.

#[path = "live/library.rs"]
mod library;
#[path = "live/tools.rs"]
mod tools;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use edgewise::agent::config::{AgentConfig, RunOptions};
use edgewise::cache::Mode;
use edgewise::drive::agent::Agent;
use edgewise::drive::wait::{Cancel, unless_cancelled};
use edgewise::mcp::call_options::CallOptions;
use edgewise::platform::Platform;
use edgewise::sim::{Faults, Rng, SimPlatform};
use edgewise::time::Millis;
use serde_json::{Value, json};

use crate::model;
use library::{Library, Source};

/// Everything changes within so many milliseconds; after it there is time for what was missed.
const RESTLESS: u64 = 150_000;
const QUIET: u64 = 500_000;

/// What came of one seed.
pub struct Story {
    /// The simulation, with its event log.
    pub sim: SimPlatform,
    /// Every law that was broken.
    pub wrong: Vec<String>,
}

/// A tab with its user, its conversation, and what came of it.
struct Tab {
    user: &'static str,
    name: String,
    /// Over when it is killed.
    killed: Cancel,
    conversation: &'static str,
    platform: SimPlatform,
    agent: Agent<SimPlatform>,
    /// Watches of changes, with what each was told.
    watches: RefCell<Vec<Watch>>,
    /// Sessions that watched, be it for a run or for the app.
    sessions: Cell<u64>,
    /// Resources that the app itself has read or subscribed to.
    reads: Cell<u64>,
}

struct Watch {
    over: Cancel,
    told: Rc<RefCell<Vec<Value>>>,
}

struct Stage {
    sim: SimPlatform,
    rng: Rng,
    libraries: Vec<Rc<RefCell<Library>>>,
    tabs: Vec<Rc<Tab>>,
    /// Those that were killed.
    buried: Vec<Rc<Tab>>,
    /// Who is killed and when; in so many of 1,000 steps of the story.
    fate: Rng,
    deaths: u32,
    wrong: Rc<RefCell<Vec<String>>>,
    faults: Faults,
    /// Who calls tools and when, where there are any.
    calls: Option<Rng>,
    /// The disk fails now and then: two tabs then keep in memory what the other one cannot know.
    disk: bool,
}

/// Plays the story of that seed.
pub fn play(seed: u64) -> Story {
    let sim = SimPlatform::new(seed);
    let mut rng = Rng::new(seed).fork("live");
    let asked = model::host(&sim, |_, _| Vec::new());
    let calm = rng.chance(300);
    // What swallows a stream without a word cannot be told from a quiet one; so that is not among it.
    let faults = match calm {
        true => Faults::default(),
        false => Faults {
            refused: 30,
            lost_answer: 20,
            rate_limited: 20,
            overloaded: 20,
            server_error: 30,
            reset: 120,
            truncated: 80,
            ..Faults::default()
        },
    };
    let mut fate = Rng::new(seed).fork("fate");
    sim.set_alone(fate.chance(200));
    let libraries: Vec<Rc<RefCell<Library>>> = (0..2)
        .map(|index| {
            let host = sim.host(&format!("https://s{index}.test"), Library::draw(index, &mut rng, RESTLESS));
            sim.faults(&format!("https://s{index}.test"), faults);
            host
        })
        .collect();
    let tabs = [("a", "one"), ("a", "one"), ("b", "two")].into_iter().enumerate();
    let tabs =
        tabs.map(|(number, (user, conversation))| Rc::new(Tab::open(&sim, number, user, conversation))).collect();
    // Half of the stories; those that were told before there were tools stay as they are.
    let calls = (seed % 2 == 1).then(|| Rng::new(seed).fork("calls"));
    libraries.iter().for_each(|library| library.borrow_mut().has_tools = calls.is_some());
    let disk = !calm && rng.chance(300);
    let deaths = if fate.chance(300) { 60 } else { 0 };
    let buried = Vec::new();
    let mut stage = Stage {
        sim: sim.clone(),
        rng,
        fate,
        deaths,
        libraries,
        tabs,
        buried,
        wrong: Rc::default(),
        faults,
        calls,
        disk,
    };
    stage.restless(calm);
    stage.quiet();
    stage.judge(&asked.borrow());
    stage.end();
    let mut wrong = stage.wrong.take();
    wrong.extend(sim.violations());
    Story { sim, wrong }
}

impl Tab {
    fn open(sim: &SimPlatform, number: usize, user: &'static str, conversation: &'static str) -> Tab {
        let name = format!("tab {number}");
        let server = |index: usize| json!({ "name": format!("s{index}"), "url": format!("https://s{index}.test/mcp"), "token": user });
        let options = json!({
            "model": model::options(), "servers": [server(0), server(1)], "context": { "embed": false }, "system": name,
            "approval": "never",
        });
        let platform = sim.tab();
        let agent =
            Agent::new(Rc::new(platform.clone()), AgentConfig::read(&options).expect("the story writes valid options"));
        let (watches, sessions, reads) = (RefCell::default(), Cell::new(0), Cell::new(0));
        let killed = Cancel::new();
        Tab { user, name, killed, conversation, platform, agent, watches, sessions, reads }
    }

    /// Starts what ends with the tab.
    fn spawn(&self, what: &str, work: impl Future<Output = ()> + 'static) {
        let killed = self.killed.clone();
        self.platform.spawn(what, async move {
            let _ = unless_cancelled(&killed, work).await;
        });
    }

    fn watch(&self) {
        let (over, told) = (Cancel::new(), Rc::new(RefCell::new(Vec::new())));
        let (agent, cancel, noted, of) = (self.agent.clone(), over.clone(), told.clone(), self.conversation);
        let world = self.platform.clone();
        self.sessions.set(self.sessions.get() + 1);
        self.watches.borrow_mut().push(Watch { over, told });
        self.spawn(&format!("changes in {}", self.name), async move {
            let tell = |mut change: Value| {
                world.note(format!("told {change}"));
                change["at"] = world.elapsed().0.into();
                noted.borrow_mut().push(change);
            };
            let _ = agent.changes(of, &cancel, &tell).await;
        });
    }
}

impl Stage {
    /// All tabs that there ever were.
    fn all(&self) -> impl Iterator<Item = &Rc<Tab>> {
        self.buried.iter().chain(&self.tabs)
    }

    fn wrong(&self, text: impl Into<String>) {
        self.wrong.borrow_mut().push(text.into());
    }

    fn wait(&self, ms: u64) {
        let waited = self.sim.block_on(self.sim.sleep(Millis(ms)));
        if let Err(stuck) = waited {
            self.wrong(format!("stuck: {stuck:?}"));
        }
    }

    /// Apps and users do what they like, while sources change.
    fn restless(&mut self, calm: bool) {
        while self.sim.elapsed().0 < RESTLESS {
            let tab = self.tabs[self.rng.below(self.tabs.len())].clone();
            let library = self.rng.below(2);
            match self.rng.below(12) {
                0 | 1 => {
                    let ms = self.rng.within(0..=15_000);
                    self.wait(ms);
                }
                what @ 2..=4 => {
                    let cancelled = !calm && self.rng.chance(300);
                    self.say(&tab, if what < 4 { "What of the rain and the wind?" } else { "Thank you." }, cancelled);
                }
                5 => tab.watch(),
                6 => {
                    let mut watches = tab.watches.borrow_mut();
                    if !watches.is_empty() {
                        watches.remove(0).over.cancel();
                    }
                }
                7 => self.subscribe(&tab, library),
                8 if self.disk => {
                    self.sim.note("the disk changes its mind");
                    self.sim.set_store_full(self.rng.chance(300));
                    self.sim.set_store_gone(self.rng.chance(150));
                }
                _ => self.read(&tab, library),
            }
            self.use_tools();
            let ms = self.rng.within(0..=3_000);
            self.wait(ms);
            if self.fate.chance(self.deaths) {
                let number = self.fate.below(self.tabs.len());
                self.kill(number);
            }
        }
    }

    /// Kills a tab between two steps of whatever it does, and opens it again.
    fn kill(&mut self, number: usize) {
        let tab = self.tabs[number].clone();
        let again = Tab::open(&self.sim, number, tab.user, tab.conversation);
        self.buried.push(std::mem::replace(&mut self.tabs[number], Rc::new(again)));
        self.sim.at_poll(self.sim.polls() + self.fate.within(1..=400), move || {
            tab.platform.note(format!("{} is killed", tab.name));
            tab.platform.kill();
            tab.killed.cancel();
        });
    }

    /// A run in the tab's conversation; it goes on by itself.
    fn say(&mut self, tab: &Rc<Tab>, prompt: &str, cancelled: bool) {
        let Ok((handle, driver)) = tab.agent.send(Some(tab.conversation), prompt.to_owned(), RunOptions::default())
        else {
            return self.wrong("a conversation refused a run");
        };
        tab.sessions.set(tab.sessions.get() + 1);
        self.sim.note(format!("{} says {prompt:?}", tab.name));
        tab.spawn("run", driver);
        if cancelled {
            let handle = handle.clone();
            self.sim.at_poll(self.sim.polls() + self.rng.within(1..=400), move || handle.cancel());
        }
        let reader = handle.clone();
        tab.spawn("reader", async move { while reader.next_events().await.is_some() {} });
    }

    fn subscribe(&mut self, tab: &Rc<Tab>, library: usize) {
        let uri = self.libraries[library].borrow().sources[self.rng.below(2)].uri.clone();
        tab.reads.set(tab.reads.get() + 1);
        let (of, server) = (tab.clone(), format!("s{library}"));
        tab.spawn("subscribe", async move {
            // The network may be down.
            let _ = of.agent.subscribe(of.conversation, &server, &uri, &Cancel::new()).await;
        });
    }

    /// The app reads a resource, as the cache allows.
    fn read(&mut self, tab: &Rc<Tab>, library: usize) {
        let modes = [Mode::Default, Mode::Default, Mode::Default, Mode::Reload, Mode::OnlyIfCached, Mode::NoStore];
        let mode = self.rng.pick(&modes);
        let at = self.rng.below(2);
        let source = self.libraries[library].borrow().sources[at].clone();
        // An answer is fresh from when it was received, and then it has been on its way.
        let fresh = self.libraries[library].borrow().ttl + self.libraries[library].borrow().latency;
        let (of, sim, wrong, failing) = (
            tab.clone(),
            self.sim.clone(),
            self.wrong.clone(),
            self.faults != Faults::default() || self.libraries[library].borrow().forgets > 0,
        );
        tab.reads.set(tab.reads.get() + 1);
        tab.spawn("read", async move {
            let tab = of;
            let begun = sim.elapsed().0;
            let options = CallOptions { cache: mode, ..CallOptions::default() };
            let params = json!({ "uri": source.uri });
            let params = params.as_object().expect("an object");
            let server = format!("s{library}");
            let answer = tab.agent.ask(&server, "resources/read", params, &options, &Cancel::new(), &mut |_| ()).await;
            let Ok(result) = answer else {
                if !failing && mode != Mode::OnlyIfCached {
                    wrong.borrow_mut().push(format!("a reading failed: {}", answer.unwrap_err()));
                }
                return;
            };
            let told = result["contents"][0]["text"].as_str().unwrap_or("").to_owned();
            let says = |text: String| {
                wrong.borrow_mut().push(format!("{} {} {mode:?} at {begun}: {text}: {result:?}", tab.name, source.uri))
            };
            let Some(number) = source.number(&told, tab.user) else {
                return says("what another user may see, or another source".into());
            };
            let stale = result.get("cached").map(|cached| cached["stale"] == true);
            let oldest = match stale {
                None => begun,
                Some(false) => begun.saturating_sub(fresh),
                Some(true) if mode == Mode::OnlyIfCached || failing => 0,
                Some(true) => return says("over, and not for need".into()),
            };
            if number < source.at(oldest) {
                says(format!("{number} was over at {oldest}"));
            }
            if stale.is_some() && !matches!(mode, Mode::Default | Mode::OnlyIfCached) && !failing {
                says("from the cache, against the app's will".into());
            }
            // What this tab was told of before it asked, it is not told otherwise.
            for watch in &*tab.watches.borrow() {
                for change in &*watch.told.borrow() {
                    let same = change["server"] == server.as_str() && change["uri"] == source.uri.as_str();
                    if same && change["at"].as_u64() < Some(begun) && stale == Some(false) {
                        let known = news(change).and_then(|line| source.number(&line, tab.user));
                        if known.is_some_and(|known| known > number) {
                            says(format!("{number}, after {known:?} was told"));
                        }
                    }
                }
            }
        });
    }

    /// The weather clears up, nothing changes any more, and somebody still watches.
    fn quiet(&mut self) {
        self.sim.note("it is quiet");
        for index in 0..2 {
            self.sim.faults(&format!("https://s{index}.test"), Faults::default());
            self.libraries[index].borrow_mut().forgets = 0;
        }
        self.sim.set_store_full(false);
        self.sim.set_store_gone(false);
        for tab in self.tabs.clone() {
            tab.watch();
        }
        self.wait(QUIET);
        for tab in [0, 2] {
            let tab = self.tabs[tab].clone();
            self.say(&tab, "Thank you for all.", false);
            self.wait(60_000);
        }
    }

    fn judge(&self, asked: &[Value]) {
        for tab in &self.tabs {
            let followed = self.sim.block_on(tab.agent.subscriptions(tab.conversation));
            let Ok(Ok(followed)) = followed else {
                self.wrong("what is followed cannot be told");
                continue;
            };
            for entry in followed.as_array().into_iter().flatten() {
                let (server, source) = self.source(entry);
                let last = source.at(u64::MAX);
                // The app: what each watch was told last, if it was told anything.
                for watch in &*tab.watches.borrow() {
                    let told = watch.told.borrow();
                    let of = |change: &&Value| change["server"] == entry["server"] && change["uri"] == entry["uri"];
                    let changes: Vec<&Value> = told.iter().filter(of).collect();
                    let most = 14 + (RESTLESS + QUIET) / 60_000;
                    if changes.len() as u64 > most {
                        self.wrong(format!("{}: {} was told {} times", tab.name, source.uri, changes.len()));
                    }
                    let Some(change) = changes.last() else { continue };
                    let known = news(change).and_then(|line| source.number(&line, tab.user));
                    if change["same"] != true && known != Some(last) {
                        self.wrong(format!(
                            "{}: the app knows {known:?} of {server} {}, it is {last}",
                            tab.name, source.uri
                        ));
                    }
                }
                // The model: the last that it was sent.
                let sent =
                    asked.iter().rev().find(|request| of_tab(request, tab) && said(request, "Thank you for all."));
                if let Some(shown) = sent.and_then(|request| shown(request, &server, &source.uri))
                    && self.is_sure(tab.conversation)
                    && source.number(&shown, tab.user) != Some(last)
                {
                    self.wrong(format!(
                        "{}: the model knows {shown:?} of {server} {}, it is {last}",
                        tab.name, source.uri
                    ));
                }
            }
        }
        self.judge_prefixes(asked);
        // However many watch, each is bounded for itself.
        let sessions: u64 = self.all().map(|tab| tab.sessions.get()).sum();
        let reads: u64 = self.all().map(|tab| tab.reads.get()).sum();
        let whole = (RESTLESS + QUIET) / 60_000;
        for library in &self.libraries {
            let library = library.borrow();
            for source in &library.sources {
                let count = library.reads.iter().filter(|uri| **uri == source.uri).count() as u64;
                // Each session reads for its pace, and once more to gather; what got lost is asked for again.
                let most = 3 * reads + sessions * (12 + whole);
                if count > most {
                    self.wrong(format!("{} was read {count} times, {most} allowed", source.uri));
                }
            }
        }
    }

    /// What is said in that conversation is known to all who are in it: where the disk fails, it is in the memory of a tab, and
    /// gone with it.
    fn is_sure(&self, conversation: &str) -> bool {
        !self.disk || self.all().filter(|tab| tab.conversation == conversation).count() == 1
    }

    /// What a model was sent and has answered to is the beginning of what it is sent next in that conversation.
    fn judge_prefixes(&self, asked: &[Value]) {
        for conversation in ["one", "two"].into_iter().filter(|conversation| self.is_sure(conversation)) {
            let of =
                |request: &&Value| self.tabs.iter().any(|tab| tab.conversation == conversation && of_tab(request, tab));
            let mut before: Vec<Value> = Vec::new();
            for request in asked.iter().filter(of) {
                let messages = plain(&request["messages"]);
                // A prompt whose run came to nothing is none of the conversation.
                let common = before.iter().zip(&messages).take_while(|(one, other)| one == other).count();
                if common + 1 < before.len() {
                    let place = format!("{} against {}", before[common], messages.get(common).unwrap_or(&Value::Null));
                    self.wrong(format!("{conversation}: what was sent has changed: {place}"));
                }
                before = messages;
            }
        }
    }

    fn source(&self, entry: &Value) -> (String, Source) {
        let server = entry["server"].as_str().unwrap_or("").to_owned();
        let index: usize = server[1..].parse().expect("a server of the story");
        let library = self.libraries[index].borrow();
        let found = library.sources.iter().find(|source| entry["uri"] == source.uri.as_str());
        (server, found.expect("a source of the story").clone())
    }

    fn end(&self) {
        for tab in &self.tabs {
            tab.watches.borrow().iter().for_each(|watch| watch.over.cancel());
            if self.sim.block_on(tab.agent.close()).is_err() {
                self.wrong("stuck while closing");
            }
        }
        self.wait(10_000);
        let left = self.sim.leftovers();
        if !left.is_empty() {
            self.wrong(format!("left after the end: {left} ({})", self.sim.tasks().join(", ")));
        }
        self.sim.drop_tasks();
    }
}

/// The new line of a change that the app was told.
fn news(change: &Value) -> Option<String> {
    let difference = change["difference"].as_str()?;
    difference.lines().find_map(|line| line.strip_prefix("+ value ")).map(|rest| ["value ", rest].concat())
}

fn of_tab(request: &Value, tab: &Tab) -> bool {
    request["system"].to_string().contains(&tab.name)
}

fn said(request: &Value, prompt: &str) -> bool {
    request["messages"].as_array().and_then(|all| all.last()).is_some_and(|last| last.to_string().contains(prompt))
}

/// The last line with a value that a request shows of a source.
fn shown(request: &Value, server: &str, uri: &str) -> Option<String> {
    let mut last = None;
    for message in request["messages"].as_array()? {
        for block in message["content"].as_array().into_iter().flatten() {
            let text = block["text"].as_str().unwrap_or("");
            for part in text.split("<source ").skip(1) {
                let head = part.lines().next().unwrap_or("");
                if head.contains(&format!("server=\"{server}\"")) && head.contains(&format!("uri=\"{uri}\"")) {
                    let mut line = part
                        .lines()
                        .filter_map(|line| line.strip_prefix("+ ").or(Some(line)))
                        .filter(|line| line.starts_with("value "));
                    last = line.next_back().map(str::to_owned).or(last);
                }
            }
        }
    }
    last
}

/// Messages without the marks of what is to be cached.
fn plain(messages: &Value) -> Vec<Value> {
    let mut messages = messages.as_array().cloned().unwrap_or_default();
    for message in &mut messages {
        for block in message["content"].as_array_mut().into_iter().flatten() {
            if let Some(fields) = block.as_object_mut() {
                fields.remove("cache_control");
            }
        }
    }
    messages
}
