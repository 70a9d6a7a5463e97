//! One seed, one story: an agent with its model, servers, user and weather, all drawn by seed, and what must hold
//! whatever happened.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use edgewise::agent::config::{AgentConfig, RunOptions};
use edgewise::agent::log::Replay;
use edgewise::drive::agent::Agent;
use edgewise::drive::handle::RunHandle;
use edgewise::drive::wait::Cancel;
use edgewise::mcp::config::ServerConfig;
use edgewise::platform::Platform;
use edgewise::sim::{Clock, Rng, ScriptedMcp, ScriptedModel, SimPlatform, same_words};
use edgewise::time::Millis;
use serde_json::{Value, json};

use crate::cast::{APP_ADD, APP_NOTE, Plan, SECRET, TOKEN, add_functions, add_model, add_server, options};
use crate::laws::{broken, kind, texts};

/// Longest virtual time from the terminal event, or from a cancel, until nothing of a run is left.
const AFTERMATH: Millis = Millis(30_000);

/// What came of one seed.
pub struct Story {
    /// The simulation, with its event log.
    pub sim: SimPlatform,
    /// Every law that was broken.
    pub wrong: Vec<String>,
}

/// A run as it is watched.
struct Watched {
    prompt: String,
    handle: RunHandle,
    events: RefCell<Vec<Value>>,
    /// What the user said on the way and the run took.
    steered: RefCell<Vec<String>>,
    ended_at: Cell<Option<Millis>>,
    cancelled_at: Cell<Option<Millis>>,
}

/// Plays the story of that seed. With `stored`, every run is stored as JSON and loaded again before each wait.
pub fn play(seed: u64, stored: bool) -> Story {
    let mut rng = Rng::new(seed).fork("plan");
    let plan = Plan::draw(&mut rng);
    let sim = SimPlatform::new(seed);
    sim.set_time_limit(Millis::from_secs(24 * 3600));
    sim.set_clock(rng.pick(&[Clock::Normal, Clock::Still, Clock::Jumping]));
    sim.set_cors(!plan.calm && rng.chance(200));
    sim.set_store_full(rng.chance(200));
    let model = add_model(&sim, &plan, &mut rng);
    let mut servers = Vec::new();
    for index in 0..plan.servers {
        servers.push(add_server(&sim, &plan, index, &mut rng));
    }
    add_functions(&sim, &plan);
    let mut options = options(&plan, &mut rng);
    if Rng::new(seed).fork("journal").chance(400) {
        options["journal"] = true.into();
    }
    let config = AgentConfig::read(&options).expect("the scenario writes valid options");
    let agent = Agent::new(Rc::new(sim.clone()), config);
    if stored {
        agent.set_checkpoint(|run| {
            let text = serde_json::to_string(&run).expect("a run can be stored");
            assert!(!text.contains(SECRET), "a credential in a stored run");
            serde_json::from_str(&text).expect("a stored run can be loaded")
        });
    }
    let mut stage = Stage { sim: sim.clone(), plan, agent, rng, wrong: Vec::new() };
    let (earlier, watched) = stage.play_runs(&model);
    stage.check_servers(&servers);
    stage.end();
    for run in earlier.iter().chain(&watched) {
        stage.judge_events(run);
    }
    for run in &watched {
        stage.judge_texts(run, &model.borrow());
    }
    for server in &servers {
        for key in server.borrow().written_twice() {
            stage.wrong(format!("the write {key} was made twice"));
        }
        if server.borrow().open_sessions() > 0 && stage.plan.calm {
            stage.wrong("a session was left behind");
        }
        let (asked, answered) = server.borrow().asks;
        if answered > asked {
            stage.wrong(format!("{asked} forms of the server, {answered} answers"));
        }
        let (asked, answered) = server.borrow().pings;
        // The end of each run may come while one is on its way.
        let lost = (earlier.len() + watched.len()) as u32;
        if answered > asked || stage.plan.calm && asked > answered + lost {
            stage.wrong(format!("{asked} pings of the server, {answered} answers"));
        }
    }
    if stage.plan.runs == 1 && !stage.plan.direct_call {
        let most = most_calls_at_once(&sim.log(), &servers);
        if most > stage.plan.max_parallel {
            stage.wrong(format!("{most} tool calls at once, {} allowed", stage.plan.max_parallel));
        }
    }
    let mut wrong = stage.wrong;
    wrong.extend(sim.violations());
    if sim.log().iter().any(|line| line.contains(SECRET)) {
        wrong.push("a credential in the event log".to_owned());
    }
    Story { sim, wrong }
}

/// The most tool calls that were at work at one instant, by the event log.
fn most_calls_at_once(log: &[String], servers: &[Rc<RefCell<ScriptedMcp>>]) -> u64 {
    let calls = servers.iter().flat_map(|server| server.borrow().calls.clone());
    let mut names: Vec<String> = calls.map(|call| format!("#{}", call.exchange)).collect();
    names.extend([APP_ADD, APP_NOTE].map(|id| format!("function {id}")));
    let (mut most, mut now) = (0_u64, 0_u64);
    for line in log {
        // After the time stands the name of what the line is about.
        let Some((_, rest)) = line.trim_start().split_once(' ') else { continue };
        let Some(what) = names.iter().find_map(|name| rest.strip_prefix(name.as_str())?.strip_prefix(' ')) else {
            continue;
        };
        if what.starts_with("POST") || what == "called" {
            now += 1;
            most = most.max(now);
        }
        let ends = ["body ended", "aborted", "connection reset", "no answer", "returned", "threw"];
        if ends.iter().any(|end| what.starts_with(end)) {
            now = now.saturating_sub(1);
        }
    }
    most
}

struct Stage {
    sim: SimPlatform,
    plan: Plan,
    agent: Agent<SimPlatform>,
    rng: Rng,
    wrong: Vec<String>,
}

impl Stage {
    fn wrong(&mut self, text: impl Into<String>) {
        self.wrong.push(text.into());
    }

    /// Everything that the app does. Gives the runs that it watched: first those whose texts cannot be compared any
    /// more with what the model said, then the others.
    fn play_runs(&mut self, model: &Rc<RefCell<ScriptedModel>>) -> (Vec<Rc<Watched>>, Vec<Rc<Watched>>) {
        self.connect();
        if self.plan.direct_call {
            self.call_directly();
        }
        self.interfere();
        let first: Vec<Rc<Watched>> = (0..self.plan.runs).map(|index| self.start(index, Vec::new())).collect();
        let terminals = self.wait_for(&first);
        if !self.plan.goes_on || terminals.is_empty() {
            return (Vec::new(), first);
        }
        match serde_json::from_value(terminals[0]["messages"].clone()) {
            Ok(messages) => {
                // A cut answer is in the history as far as it came: there is nothing to compare it with.
                model.borrow_mut().forget();
                let run = self.start(9, messages);
                self.wait_for(std::slice::from_ref(&run));
                (first, vec![run])
            }
            Err(_) => {
                self.wrong("the history of a terminal event cannot be read back");
                (Vec::new(), first)
            }
        }
    }

    fn connect(&mut self) {
        if !self.plan.connect_first {
            return;
        }
        let (agent, cancel) = (self.agent.clone(), Cancel::new());
        if !self.plan.calm && self.rng.chance(500) {
            let (sim, cancel, delay) = (self.sim.clone(), cancel.clone(), self.rng.within(0..=2_000));
            self.sim.spawn("canceller of connect", async move {
                sim.sleep(Millis(delay)).await;
                cancel.cancel();
            });
        }
        self.sim.spawn("connect", async move {
            let _ = agent.connect(&cancel).await;
        });
    }

    /// The app changes its mind about servers while runs go on.
    fn interfere(&mut self) {
        if self.plan.closes {
            let (sim, agent, delay) = (self.sim.clone(), self.agent.clone(), Millis(self.rng.within(0..=5_000)));
            self.sim.spawn("closer", async move {
                sim.sleep(delay).await;
                sim.note("the app closes the agent");
                agent.close().await;
            });
        }
        if self.plan.removes && self.plan.servers > 0 {
            let (sim, agent, delay) = (self.sim.clone(), self.agent.clone(), Millis(self.rng.within(0..=5_000)));
            self.sim.spawn("remover", async move {
                sim.sleep(delay).await;
                sim.note("the app removes a server and adds it again");
                let removed = agent.remove_server("s0").await;
                let server = json!({ "name": "s0", "url": "https://mcp0.test/mcp", "token": { "$function": TOKEN } });
                let config = ServerConfig::read(&server, "").expect("the scenario writes valid options");
                if removed.is_ok()
                    && let Err(error) = agent.add_server(config)
                    && error.code.as_str() != "misuse"
                {
                    sim.violation(format!("a removed server cannot be added: {error}"));
                }
            });
        }
    }

    /// A call of a tool beside the runs.
    fn call_directly(&mut self) {
        let (sim, agent, calm) = (self.sim.clone(), self.agent.clone(), self.plan.calm);
        self.sim.spawn("direct call", async move {
            let input = json!({ "a": 1.5, "b": 2 });
            let result = agent.call_tool("s0.add", input, &Cancel::new(), &mut |_| ()).await;
            match result {
                Ok(result) if !result.is_error && result.content[0]["text"] != "3.5" => {
                    sim.violation("a direct call has another result");
                }
                // The tool may not be there, and the agent may be closed meanwhile.
                Err(error) if calm && !["misuse", "cancelled"].contains(&error.code.as_str()) => {
                    sim.violation(format!("a direct call failed: {error}"));
                }
                _ => {}
            }
        });
    }

    /// Starts a run with its driver, its reader and whoever cancels it.
    fn start(&mut self, index: usize, messages: Vec<edgewise::llm::types::Message>) -> Rc<Watched> {
        let prompt = format!("prompt {index}");
        let options = RunOptions { messages, goal: self.plan.goal, ..RunOptions::default() };
        let (handle, driver) = self.agent.run(prompt.clone(), options);
        let watched = Rc::new(Watched {
            prompt,
            handle,
            events: RefCell::default(),
            steered: RefCell::default(),
            ended_at: Cell::default(),
            cancelled_at: Cell::default(),
        });
        let delay = Millis(self.rng.pick(&[0, 0, 500]));
        let sim = self.sim.clone();
        self.sim.spawn(&format!("driver {index}"), async move {
            sim.sleep(delay).await;
            driver.await;
        });
        if self.plan.answers {
            watched.handle.set_answerable(true);
        }
        let user = User { sim: self.sim.clone(), watched: watched.clone(), denies: self.plan.denies };
        let (reads, mut rng) = (self.plan.reads, self.rng.fork("user"));
        self.rng.next_u64();
        self.sim.spawn(&format!("reader {index}"), async move { user.read(reads, &mut rng).await });
        let (sim, end) = (self.sim.clone(), watched.clone());
        self.sim.spawn(&format!("watcher {index}"), async move {
            end.handle.terminal().await;
            end.ended_at.set(Some(sim.elapsed()));
        });
        if self.plan.steers {
            self.steer_sometime(&watched);
        }
        if !self.plan.calm && self.rng.chance(500) {
            self.cancel_sometime(&watched);
        }
        watched
    }

    /// The user says something at instants that nobody foresees, or follows up.
    fn steer_sometime(&mut self, watched: &Rc<Watched>) {
        for number in 0..self.rng.within(1..=3) {
            let (watched, follow_up) = (watched.clone(), self.rng.chance(300));
            let steer = move || {
                let text = format!("also {number}");
                if watched.handle.steer(text.clone(), follow_up).is_ok() {
                    watched.steered.borrow_mut().push(text);
                }
            };
            self.sim.at_poll(self.sim.polls() + self.rng.within(1..=150), steer);
        }
    }

    fn cancel_sometime(&mut self, watched: &Rc<Watched>) {
        let times = self.rng.pick(&[1, 1, 2]);
        for _ in 0..times {
            let (sim, watched) = (self.sim.clone(), watched.clone());
            let cancel = move || {
                sim.note("the app cancels");
                if watched.cancelled_at.get().is_none() && watched.ended_at.get().is_none() {
                    watched.cancelled_at.set(Some(sim.elapsed()));
                }
                watched.handle.cancel();
            };
            // An instant in time, or the instant before some step of some task: the latter finds what happens
            // between two things that take no time.
            if self.rng.chance(400) {
                let (sim, delay) = (self.sim.clone(), Millis(self.rng.within(0..=15_000)));
                self.sim.spawn("canceller", async move {
                    sim.sleep(delay).await;
                    cancel();
                });
            } else {
                self.sim.at_poll(self.sim.polls() + self.rng.within(1..=150), cancel);
            }
        }
    }

    /// Lets the world run until those runs have ended; gives their terminal events, none when it is stuck.
    fn wait_for(&mut self, runs: &[Rc<Watched>]) -> Vec<Value> {
        let outcome = self.sim.block_on(async {
            let mut terminals = Vec::new();
            for run in runs {
                let terminal = run.handle.terminal().await;
                terminals.push(serde_json::from_str(&terminal).expect("the terminal event is JSON"));
            }
            terminals
        });
        outcome.unwrap_or_else(|stuck| {
            self.wrong(format!("stuck: {stuck}"));
            Vec::new()
        })
    }

    /// A server that is ready shows all its tools.
    fn check_servers(&mut self, servers: &[Rc<RefCell<ScriptedMcp>>]) {
        let infos = self.agent.servers();
        for info in infos.as_array().map_or(&[][..], Vec::as_slice) {
            let name = info["name"].as_str().unwrap_or("");
            let index: Option<usize> = name.strip_prefix('s').and_then(|index| index.parse().ok());
            let Some(server) = index.and_then(|index| servers.get(index)) else { continue };
            let (shown, has) = (info["tools"].as_u64(), server.borrow().tools.len() as u64);
            if info["state"] == "ready" && shown != Some(has) {
                self.wrong(format!("{name} is ready with {shown:?} of {has} tools"));
            }
            if info["state"] == "failed" && self.plan.calm {
                self.wrong(format!("{name} failed, but nothing went wrong: {}", info["error"]));
            }
        }
    }

    /// Closes the agent; soon after, nothing may be left.
    fn end(&mut self) {
        let (sim, agent) = (self.sim.clone(), self.agent.clone());
        let outcome = self.sim.block_on(async {
            let began = sim.elapsed();
            agent.close().await;
            while !sim.tasks().is_empty() && sim.elapsed().0 < began.0 + AFTERMATH.0 {
                sim.sleep(Millis(100)).await;
            }
        });
        if let Err(stuck) = outcome {
            self.wrong(format!("stuck while closing: {stuck}"));
        }
        let left = self.sim.leftovers();
        if !left.is_empty() {
            self.wrong(format!("left after the end: {left} ({})", self.sim.tasks().join(", ")));
        }
        self.sim.drop_tasks();
    }

    fn judge_events(&mut self, run: &Watched) {
        let events = run.events.borrow();
        for law in broken(&events) {
            self.wrong(format!("{}: {law}", run.prompt));
        }
        let terminal = events.last().cloned().unwrap_or_default();
        if let Some(log) = run.handle.log() {
            self.sim.note("a log is told again");
            let again = Replay::read(&log).map(|replay| replay.run(None).take_events());
            let last = again.ok().and_then(|events| serde_json::to_value(events.last()?).ok());
            if last.as_ref() != Some(&terminal) {
                self.wrong(format!("{}: its log, told again, ends otherwise: {last:?}", run.prompt));
            }
        }
        let code = terminal["error"]["code"].as_str().unwrap_or("");
        if ["crashed", "misuse", "config"].contains(&code) {
            self.wrong(format!("{}: ended with {code}", run.prompt));
        }
        if let (Some(cancelled), Some(ended)) = (run.cancelled_at.get(), run.ended_at.get()) {
            // At the same instant the end may have been on its way.
            if ended > cancelled && code != "cancelled" {
                self.wrong(format!("{}: cancelled, but ended with {code:?}", run.prompt));
            }
            if ended.0 > cancelled.0 + 1_000 {
                self.wrong(format!("{}: went on for {} ms after the cancel", run.prompt, ended.0 - cancelled.0));
            }
        } else if code == "cancelled" && !self.plan.closes {
            self.wrong(format!("{}: cancelled by nobody", run.prompt));
        }
        if self.plan.calm && kind(&terminal) != "done" && code != "limit" {
            self.wrong(format!("{}: nothing went wrong, but it ended with {code:?}", run.prompt));
        }
        let heard = events.iter().filter(|event| kind(event) == "steered").filter_map(|event| event["text"].as_str());
        let (mut heard, mut said): (Vec<&str>, Vec<String>) = (heard.collect(), run.steered.borrow().clone());
        heard.sort_unstable();
        said.sort_unstable();
        let all = heard == said;
        let once =
            heard.windows(2).all(|two| two[0] != two[1]) && heard.iter().all(|text| said.iter().any(|s| s == text));
        if !once || kind(&terminal) == "done" && !all {
            self.wrong(format!("{}: heard {heard:?} of {said:?}", run.prompt));
        }
        if (kind(&terminal) == "done" && self.plan.goal) != terminal["goal"].is_object() {
            self.wrong(format!("{}: ended with the goal {}", run.prompt, terminal["goal"]));
        }
        // What the user has said may have turns of its own.
        let stretches = events.split(|event| kind(event) == "steered");
        let turns = stretches.map(|events| events.iter().filter(|event| kind(event) == "turn_start").count());
        let turns = turns.max().unwrap_or(0);
        if turns as u64 > self.plan.max_turns {
            self.wrong(format!("{}: {turns} turns, {} allowed", run.prompt, self.plan.max_turns));
        }
    }

    /// Compares what the app saw with what the model said.
    fn judge_texts(&mut self, run: &Watched, model: &ScriptedModel) {
        let events = run.events.borrow();
        let history = events.last().map(|event| event["messages"].clone()).unwrap_or_default();
        let history = history.as_array().cloned().unwrap_or_default();
        let first = history.first().map(|message| texts(message, "text")).unwrap_or_default();
        let ended: Vec<&Value> = events.iter().filter(|event| kind(event) == "turn_end").collect();
        // Turns before the first that was spoken belong to earlier runs.
        let before = model.spoken.keys().filter(|(words, _)| *words == first).map(|(_, turn)| *turn).min();
        let before = before.unwrap_or(0);
        for (place, turn) in ended.iter().enumerate() {
            let Some(spoken) = model.spoken.get(&(first.clone(), before + place)) else {
                self.wrong(format!("{}: turn {place} was never spoken", run.prompt));
                continue;
            };
            let message = &turn["message"];
            if !same_words(&texts(message, "text"), &spoken.text(), self.plan.calm) {
                self.wrong(format!("{}: turn {place} has another text than the model spoke", run.prompt));
            }
            let uses = message["content"].as_array().map_or(&[][..], Vec::as_slice).iter();
            let uses: Vec<&Value> = uses.filter(|block| kind(block) == "tool_use").collect();
            let said: Vec<&str> = spoken.calls.iter().map(|call| call.name.as_str()).collect();
            let got: Vec<&str> = uses.iter().filter_map(|block| block["name"].as_str()).collect();
            // Of an answer that broke off, the calls that were complete.
            let cut = !self.plan.calm && !got.is_empty() && said.starts_with(&got);
            if said != got && !cut {
                self.wrong(format!("{}: turn {place} has the calls {got:?}, spoken were {said:?}", run.prompt));
            }
            for (block, call) in uses.iter().zip(&spoken.calls) {
                if call.input.as_ref().is_some_and(|input| *input != block["input"]) {
                    self.wrong(format!("{}: turn {place}: the arguments of {} changed", run.prompt, call.name));
                }
            }
        }
    }
}

/// Who reads the events and answers what is asked.
struct User {
    sim: SimPlatform,
    watched: Rc<Watched>,
    denies: bool,
}

impl User {
    /// Answers a form after a while, now and then twice or wrongly first.
    fn give(&self, id: String, rng: &mut Rng) {
        let (sim, handle) = (self.sim.clone(), self.watched.handle.clone());
        let (delay, wrong, twice) = (Millis(rng.within(0..=3_000)), rng.chance(200), rng.chance(200));
        let action = rng.pick(&["accept", "decline", "cancel"]);
        self.sim.spawn("answerer of forms", async move {
            sim.sleep(delay).await;
            if wrong {
                let answer = handle.answer(&id, json!({ "action": "accept", "content": { "days": 0 } }));
                if answer.is_ok() {
                    sim.violation("an answer that does not fit was taken");
                }
            }
            for _ in 0..=u32::from(twice) {
                // Too late is misuse, and harmless.
                if let Err(error) = handle.answer(&id, json!({ "action": action }))
                    && error.code.as_str() != "misuse"
                {
                    sim.violation(format!("a right answer was refused: {error}"));
                }
            }
        });
    }

    async fn read(self, reads: bool, rng: &mut Rng) {
        if !reads {
            self.watched.handle.terminal().await;
        }
        while let Some(batch) = self.watched.handle.next_events().await {
            let batch: Vec<Value> = serde_json::from_str(&batch).expect("a batch is a JSON array");
            for event in batch {
                self.sim.note(format!("{} {event}", self.watched.prompt));
                if kind(&event) == "approval_request" {
                    self.answer(event["id"].as_str().unwrap_or("").to_owned(), rng);
                }
                if kind(&event) == "input_request" {
                    self.give(event["id"].as_str().unwrap_or("").to_owned(), rng);
                }
                self.watched.events.borrow_mut().push(event);
            }
            if reads && rng.chance(100) {
                self.sim.sleep(Millis(rng.within(0..=50))).await;
            }
        }
    }

    fn answer(&self, id: String, rng: &mut Rng) {
        let denied = self.denies && rng.chance(400);
        let twice = rng.chance(100);
        let delay = Millis(rng.pick(&[0, 10, 5_000]));
        let (sim, handle) = (self.sim.clone(), self.watched.handle.clone());
        self.sim.spawn("answer", async move {
            sim.sleep(delay).await;
            // After the end of the run nobody waits any more: misuse, which is right.
            let answered = if denied { handle.deny(&id, Some("no")) } else { handle.approve(&id) };
            if twice && answered.is_ok() && handle.approve(&id).is_ok() {
                sim.violation("a request was answered twice");
            }
        });
    }
}
