//! [`SimPlatform`]: the simulated surroundings, and its books.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, pending};
use std::rc::Rc;

use serde_json::Value;

use super::exec::{Executor, Stuck};
use super::faults::Faults;
use super::net::{Answer, Peer, Server, Step, origin, recut};
use super::rng::Rng;
use crate::http::Request;
use crate::options::FunctionId;
use crate::platform::{AppCall, AppResult, Body, NetworkError, Platform, Response};
use crate::time::{Millis, UnixMillis};

/// How `now()` behaves. Timers are exact in every mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// Moves with virtual time.
    #[default]
    Normal,
    /// Always shows the first instant, as in a Worker between two I/O operations.
    Still,
    /// Jumps by up to two hours, either way, at random instants.
    Jumping,
}

/// What a registered function of the app does with one call.
pub struct AppAnswer {
    /// How long it takes.
    pub after: Millis,
    /// What it returns or throws; `None`: it never settles.
    pub result: Option<AppResult>,
}

impl AppAnswer {
    /// Returns that value after a while.
    pub fn value(after: Millis, value: Value) -> AppAnswer {
        AppAnswer { after, result: Some(Ok(value)) }
    }

    /// Throws after a while.
    pub fn throws(after: Millis, text: &str) -> AppAnswer {
        AppAnswer { after, result: Some(Err(text.to_owned())) }
    }

    /// Never settles.
    pub fn never() -> AppAnswer {
        AppAnswer { after: Millis(0), result: None }
    }
}

type AppFunction = Rc<RefCell<dyn FnMut(&Value, &mut Rng) -> AppAnswer>>;

struct Host {
    origin: String,
    server: Rc<RefCell<dyn Server>>,
    faults: Faults,
}

struct World {
    seed: u64,
    executor: Executor,
    network: RefCell<Rng>,
    random: RefCell<Rng>,
    app: RefCell<Rng>,
    clock: Cell<Clock>,
    clock_rng: RefCell<Rng>,
    clock_offset: Cell<i64>,
    cors: Cell<bool>,
    recut: Cell<bool>,
    store_full: Cell<bool>,
    exchanges: Cell<u64>,
    fetches: Cell<usize>,
    bodies: Cell<usize>,
    app_calls: Cell<usize>,
    log: RefCell<Vec<String>>,
    violations: RefCell<Vec<String>>,
    hosts: RefCell<Vec<Host>>,
    functions: RefCell<BTreeMap<FunctionId, AppFunction>>,
    store: RefCell<BTreeMap<String, Vec<u8>>>,
}

/// The native [`Platform`]: a simulated network, virtual time and seeded chance. Clones share one world.
///
/// Strict where a browser is: a request leaves at the first poll of `fetch`, a timer never fires at once, and
/// reading on after a pending `chunk()` was dropped is a violation, because the chunk may be lost there.
#[derive(Clone)]
pub struct SimPlatform {
    world: Rc<World>,
}

/// First instant of every simulation: 2026-01-01T00:00:00Z.
pub const EPOCH: UnixMillis = UnixMillis(1_767_225_600_000);

impl SimPlatform {
    /// A world without hosts, functions or faults, whose every choice follows from `seed`.
    pub fn new(seed: u64) -> SimPlatform {
        let rng = Rng::new(seed);
        let world = World {
            seed,
            executor: Executor::new(rng.fork("executor")),
            network: RefCell::new(rng.fork("network")),
            random: RefCell::new(rng.fork("random")),
            app: RefCell::new(rng.fork("app")),
            clock: Cell::default(),
            clock_rng: RefCell::new(rng.fork("clock")),
            clock_offset: Cell::new(0),
            cors: Cell::new(false),
            recut: Cell::new(true),
            store_full: Cell::new(false),
            exchanges: Cell::new(0),
            fetches: Cell::new(0),
            bodies: Cell::new(0),
            app_calls: Cell::new(0),
            log: RefCell::default(),
            violations: RefCell::default(),
            hosts: RefCell::default(),
            functions: RefCell::default(),
            store: RefCell::default(),
        };
        SimPlatform { world: Rc::new(world) }
    }

    /// The seed of this world.
    pub fn seed(&self) -> u64 {
        self.world.seed
    }

    /// Adds a host for every URL of that origin (`https://a.test`). The handle lets a test look into the server.
    /// A later host of the same origin takes the place of the earlier.
    pub fn host<S: Server + 'static>(&self, origin: &str, server: S) -> Rc<RefCell<S>> {
        let server = Rc::new(RefCell::new(server));
        let mut hosts = self.world.hosts.borrow_mut();
        hosts.retain(|host| host.origin != origin);
        hosts.push(Host { origin: origin.to_owned(), server: server.clone(), faults: Faults::default() });
        server
    }

    /// Sets the faults on the way to one host, which must have been added.
    pub fn faults(&self, origin: &str, faults: Faults) {
        for host in self.world.hosts.borrow_mut().iter_mut().filter(|host| host.origin == origin) {
            host.faults = faults;
        }
    }

    /// Registers a function of the app under its id.
    pub fn function(&self, id: FunctionId, function: impl FnMut(&Value, &mut Rng) -> AppAnswer + 'static) {
        self.world.functions.borrow_mut().insert(id, Rc::new(RefCell::new(function)));
    }

    /// Sets how `now()` behaves; normal by default.
    pub fn set_clock(&self, clock: Clock) {
        self.world.clock.set(clock);
    }

    /// Whether failures look as in a browser, which cannot say whether CORS was the reason; off by default.
    pub fn set_cors(&self, on: bool) {
        self.world.cors.set(on);
    }

    /// Whether the network cuts bodies anew at random; on by default.
    pub fn set_recut(&self, on: bool) {
        self.world.recut.set(on);
    }

    /// Whether the store refuses to take anything; off by default.
    pub fn set_store_full(&self, full: bool) {
        self.world.store_full.set(full);
    }

    /// Sets the longest virtual time of the simulation; 30 days by default.
    pub fn set_time_limit(&self, limit: Millis) {
        self.world.executor.set_limit(limit);
    }

    /// Runs `future`, and every spawned task beside it, until `future` is done.
    ///
    /// # Errors
    ///
    /// [`Stuck`] when nothing can go on, or goes on for ever.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, Stuck> {
        self.world.executor.block_on(future, &|| self.time_moved())
    }

    /// Starts a task of its own. It runs while [`SimPlatform::block_on`] does.
    pub fn spawn(&self, name: &str, future: impl Future<Output = ()> + 'static) {
        self.world.executor.spawn(name, Box::pin(future));
    }

    /// Drops every task that is not done, as closing the page would.
    pub fn drop_tasks(&self) {
        self.world.executor.drop_tasks();
    }

    /// Calls `hook` just before that poll, counted from 1 over the whole simulation: an instant between any two
    /// steps of any task.
    pub fn at_poll(&self, poll: u64, hook: impl FnOnce() + 'static) {
        self.world.executor.at_poll(poll, Box::new(hook));
    }

    /// Polls so far.
    pub fn polls(&self) -> u64 {
        self.world.executor.polls()
    }

    /// Virtual time since the start; what `now()` shows may differ.
    pub fn elapsed(&self) -> Millis {
        self.world.executor.time()
    }

    /// Requests that left so far.
    pub fn exchanges(&self) -> u64 {
        self.world.exchanges.get()
    }

    /// Requests that wait for their status.
    pub fn open_fetches(&self) -> usize {
        self.world.fetches.get()
    }

    /// Bodies that neither ended nor were dropped.
    pub fn open_bodies(&self) -> usize {
        self.world.bodies.get()
    }

    /// Calls of app functions that neither returned nor were dropped.
    pub fn open_app_calls(&self) -> usize {
        self.world.app_calls.get()
    }

    /// Timers that run.
    pub fn pending_timers(&self) -> usize {
        self.world.executor.timers()
    }

    /// Names of the tasks that are not done.
    pub fn tasks(&self) -> Vec<String> {
        self.world.executor.tasks()
    }

    /// What is still open, in words; empty when everything was put away.
    pub fn leftovers(&self) -> String {
        let counts = [
            (self.open_fetches(), "open fetches"),
            (self.open_bodies(), "open bodies"),
            (self.open_app_calls(), "open app calls"),
            (self.pending_timers(), "pending timers"),
            (self.tasks().len(), "tasks"),
        ];
        let left = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        left.collect::<Vec<_>>().join(", ")
    }

    /// Adds a line to the event log.
    pub fn note(&self, text: impl AsRef<str>) {
        let line = format!("{:>9} {}", self.elapsed().0, text.as_ref());
        self.world.log.borrow_mut().push(line);
    }

    /// The event log: one line per event, each begins with the virtual time in milliseconds. Holds sizes and
    /// headers' names, no contents.
    pub fn log(&self) -> Vec<String> {
        self.world.log.borrow().clone()
    }

    /// Reports that a law was broken.
    pub fn violation(&self, text: impl Into<String>) {
        let text = text.into();
        self.note(format!("VIOLATION {text}"));
        self.world.violations.borrow_mut().push(text);
    }

    /// Laws that were broken so far.
    pub fn violations(&self) -> Vec<String> {
        self.world.violations.borrow().clone()
    }

    /// Seed, virtual time and event log, to be printed by a failing test.
    pub fn report(&self) -> String {
        format!("seed {}, {} ms, event log:\n{}", self.seed(), self.elapsed().0, self.log().join("\n"))
    }

    /// What is stored, for tests.
    pub fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        self.world.store.borrow().clone()
    }

    fn time_moved(&self) {
        let mut rng = self.world.clock_rng.borrow_mut();
        if self.world.clock.get() == Clock::Jumping && rng.chance(125) {
            const TWO_HOURS: i64 = 2 * 3600 * 1000;
            let jump = rng.within(0..=2 * TWO_HOURS as u64) as i64 - TWO_HOURS;
            self.world.clock_offset.set(self.world.clock_offset.get() + jump);
        }
    }

    /// Lets the request travel: asks the host and draws the faults. Gives the number and the answer.
    fn send(&self, request: &Request) -> (u64, Option<Rc<RefCell<dyn Server>>>, Answer) {
        let exchange = self.world.exchanges.get() + 1;
        self.world.exchanges.set(exchange);
        let size = request.body.as_ref().map_or(0, String::len);
        let path = request.url.split('?').next().unwrap_or("");
        self.note(format!("#{exchange} {} {path}, {size} bytes", request.method.as_str()));
        let host = {
            let hosts = self.world.hosts.borrow();
            let host = hosts.iter().find(|host| host.origin == origin(&request.url));
            host.map(|host| (host.server.clone(), host.faults))
        };
        let Some((server, faults)) = host else {
            let after = Millis(self.world.network.borrow_mut().within(0..=50));
            return (exchange, None, Answer::Broken { after, message: "no such host".to_owned() });
        };
        // One generator per exchange: what this one draws does not depend on who else is on the wire.
        let mut rng = Rng::new(self.world.network.borrow_mut().next_u64());
        let [mut instead, mut spoil, mut cut] = ["instead", "spoil", "recut"].map(|purpose| rng.fork(purpose));
        let mut host = None;
        let mut answer = match faults.instead(&mut instead) {
            Some((name, answer)) => {
                self.note(format!("#{exchange} fault: {name}"));
                answer
            }
            None => {
                let mut violations = Vec::new();
                let mut peer = Peer { exchange, now: self.elapsed(), rng: &mut rng, violations: &mut violations };
                let answer = server.borrow_mut().answer(request, &mut peer);
                for text in violations {
                    self.violation(format!("#{exchange} {text}"));
                }
                host = Some(server);
                let (answer, names) = faults.spoil(answer, &mut spoil);
                for name in names {
                    self.note(format!("#{exchange} fault: {name}"));
                }
                answer
            }
        };
        if let Answer::Head { body, .. } = &mut answer
            && self.world.recut.get()
        {
            *body = recut(std::mem::take(body), &mut cut);
        }
        (exchange, host, answer)
    }

    fn network_error(&self, message: &str) -> NetworkError {
        match self.world.cors.get() {
            true => NetworkError { message: "TypeError: Failed to fetch".to_owned(), maybe_cors: true },
            false => NetworkError { message: message.to_owned(), maybe_cors: false },
        }
    }

    async fn wait(&self, duration: Millis) {
        let until = Millis(self.elapsed().0.saturating_add(duration.0));
        self.world.executor.sleep_until(until).await;
    }
}

impl Platform for SimPlatform {
    type Body = SimBody;

    fn now(&self) -> UnixMillis {
        let true_time = EPOCH + self.elapsed();
        match self.world.clock.get() {
            Clock::Normal => true_time,
            Clock::Still => EPOCH,
            Clock::Jumping => UnixMillis(true_time.0.saturating_add_signed(self.world.clock_offset.get())),
        }
    }

    fn random(&self) -> u64 {
        self.world.random.borrow_mut().next_u64()
    }

    async fn sleep(&self, duration: Millis) {
        self.wait(duration.min(Millis::MAX_TIMER)).await;
    }

    async fn fetch(&self, request: Request) -> Result<Response<SimBody>, NetworkError> {
        let (exchange, server, answer) = self.send(&request);
        let mut open = Open::new(self, exchange, server, Kind::Fetch);
        match answer {
            Answer::Never => pending().await,
            Answer::Broken { after, message } => {
                self.wait(after).await;
                open.close(&format!("no answer: {message}"));
                Err(self.network_error(&message))
            }
            Answer::Head { after, head, body } => {
                self.wait(after).await;
                self.note(format!("#{exchange} {} {}", head.status, head.media_type()));
                let open = open.into_body();
                Ok(Response { head, body: SimBody { open, steps: body.into(), wait_until: None, reading: false } })
            }
        }
    }

    async fn load(&self, key: &str) -> Option<Vec<u8>> {
        self.wait(Millis(0)).await;
        self.world.store.borrow().get(key).cloned()
    }

    async fn save(&self, key: &str, value: Option<&[u8]>) {
        self.wait(Millis(0)).await;
        let mut store = self.world.store.borrow_mut();
        match value {
            Some(_) if self.world.store_full.get() => {}
            Some(value) => {
                store.insert(key.to_owned(), value.to_vec());
            }
            None => {
                store.remove(key);
            }
        }
    }

    async fn call_app(&self, call: AppCall) -> AppResult {
        let function = self.world.functions.borrow().get(&call.function).cloned();
        let number = call.function.0;
        let Some(function) = function else {
            self.violation(format!("call of unknown function {number}"));
            return Err("no such function".to_owned());
        };
        let mut open = Open::new(self, u64::from(number), None, Kind::AppCall);
        self.note(format!("function {number} called"));
        let mut rng = Rng::new(self.world.app.borrow_mut().next_u64());
        let answer = function.borrow_mut()(&call.argument, &mut rng);
        let Some(result) = answer.result else { return pending().await };
        self.wait(answer.after).await;
        open.close(if result.is_ok() { "returned" } else { "threw" });
        result
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Fetch,
    Body,
    AppCall,
}

/// One entry in the books: something that was opened and must be ended or dropped.
struct Open {
    sim: SimPlatform,
    number: u64,
    server: Option<Rc<RefCell<dyn Server>>>,
    kind: Kind,
    closed: bool,
}

impl Open {
    fn new(sim: &SimPlatform, number: u64, server: Option<Rc<RefCell<dyn Server>>>, kind: Kind) -> Open {
        let open = Open { sim: sim.clone(), number, server, kind, closed: false };
        open.count(true);
        open
    }

    fn count(&self, up: bool) {
        let world = &self.sim.world;
        let counter = match self.kind {
            Kind::Fetch => &world.fetches,
            Kind::Body => &world.bodies,
            Kind::AppCall => &world.app_calls,
        };
        counter.set(if up { counter.get() + 1 } else { counter.get() - 1 });
    }

    fn name(&self) -> String {
        match self.kind {
            Kind::AppCall => format!("function {}", self.number),
            Kind::Fetch | Kind::Body => format!("#{}", self.number),
        }
    }

    fn into_body(mut self) -> Open {
        self.count(false);
        self.closed = true;
        Open::new(&self.sim, self.number, self.server.take(), Kind::Body)
    }

    fn close(&mut self, how: &str) {
        if !self.closed {
            self.closed = true;
            self.count(false);
            self.sim.note(format!("{} {how}", self.name()));
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.closed {
            self.close("aborted by the client");
            // A server that is answering right now is further up the stack; it cannot be told.
            if let Some(mut server) = self.server.as_ref().and_then(|server| server.try_borrow_mut().ok()) {
                server.aborted(self.number);
            }
        }
    }
}

/// Body of a simulated answer.
pub struct SimBody {
    open: Open,
    steps: VecDeque<Step>,
    wait_until: Option<Millis>,
    reading: bool,
}

impl Body for SimBody {
    async fn chunk(&mut self) -> Option<Result<Vec<u8>, NetworkError>> {
        if std::mem::replace(&mut self.reading, true) {
            self.open.sim.violation(format!("{} read again after a pending read was dropped", self.open.name()));
        }
        let chunk = self.next_chunk().await;
        self.reading = false;
        chunk
    }
}

impl SimBody {
    async fn next_chunk(&mut self) -> Option<Result<Vec<u8>, NetworkError>> {
        loop {
            match self.steps.front() {
                None => {
                    self.open.close("body ended");
                    return None;
                }
                Some(Step::Hang) => pending::<()>().await,
                Some(Step::Wait(duration)) => {
                    let sim = &self.open.sim;
                    let until = *self.wait_until.get_or_insert(Millis(sim.elapsed().0.saturating_add(duration.0)));
                    sim.world.executor.sleep_until(until).await;
                    self.wait_until = None;
                }
                Some(Step::Reset) => {
                    self.open.close("connection reset");
                    self.steps.clear();
                    return Some(Err(self.open.sim.network_error("connection reset")));
                }
                Some(Step::Bytes(_)) => {
                    if let Some(Step::Bytes(bytes)) = self.steps.pop_front()
                        && !bytes.is_empty()
                    {
                        return Some(Ok(bytes));
                    }
                    continue;
                }
            }
            self.steps.pop_front();
        }
    }
}
