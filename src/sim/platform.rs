//! [`SimPlatform`]: the simulated surroundings, and its books.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use serde_json::Value;

use super::circle::Circles;
use super::exec::{Executor, Stuck};
use super::faults::Faults;
use super::lock::Queued;
use super::net::Server;
use super::rng::Rng;
use super::store::{Disk, Records};
use crate::options::FunctionId;
use crate::platform::AppResult;
use crate::secret::Secret;
use crate::store::Store;
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

pub(super) type AppFunction = Rc<RefCell<dyn FnMut(&Value, &mut Rng) -> AppAnswer>>;

pub(super) struct Host {
    pub(super) origin: String,
    pub(super) server: Rc<RefCell<dyn Server>>,
    pub(super) faults: Faults,
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) executor: Executor,
    pub(super) network: RefCell<Rng>,
    pub(super) random: RefCell<Rng>,
    pub(super) app: RefCell<Rng>,
    pub(super) clock: Cell<Clock>,
    pub(super) clock_rng: RefCell<Rng>,
    pub(super) clock_offset: Cell<i64>,
    pub(super) cors: Cell<bool>,
    pub(super) recut: Cell<bool>,
    pub(super) parts_missing: Cell<bool>,
    pub(super) embeddings: RefCell<Option<Vec<u8>>>,
    pub(super) parts: crate::parts::State<SimPlatform>,
    pub(super) exchanges: Cell<u64>,
    pub(super) fetches: Cell<usize>,
    pub(super) bodies: Cell<usize>,
    pub(super) app_calls: Cell<usize>,
    pub(super) log: RefCell<Vec<String>>,
    pub(super) violations: RefCell<Vec<String>>,
    pub(super) hosts: RefCell<Vec<Host>>,
    pub(super) functions: RefCell<BTreeMap<FunctionId, AppFunction>>,
    pub(super) disk: Disk,
    pub(super) secrets: RefCell<BTreeMap<String, Secret>>,
    pub(super) locks: RefCell<Vec<Queued>>,
    pub(super) circles: Circles,
    pub(super) alone: Cell<bool>,
}

impl World {
    pub(super) fn now(&self) -> UnixMillis {
        let true_time = EPOCH + self.executor.time();
        match self.clock.get() {
            Clock::Normal => true_time,
            Clock::Still => EPOCH,
            Clock::Jumping => UnixMillis(true_time.0.saturating_add_signed(self.clock_offset.get())),
        }
    }
}

/// The native [`Platform`](crate::platform::Platform): a simulated network, virtual time and seeded chance. Clones share one world.
///
/// Strict where a browser is: a request leaves at the first poll of `fetch`, a timer never fires at once, and
/// reading on after a pending `chunk()` was dropped is a violation, because the chunk may be lost there.
#[derive(Clone)]
pub struct SimPlatform {
    pub(super) world: Rc<World>,
    /// Each tab has one of its own, over the same records.
    pub(super) store: Rc<Store<Records>>,
    /// Nothing that this tab still says is heard.
    pub(super) dead: Rc<Cell<bool>>,
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
            parts_missing: Cell::new(false),
            embeddings: RefCell::default(),
            parts: crate::parts::State::default(),
            exchanges: Cell::new(0),
            fetches: Cell::new(0),
            bodies: Cell::new(0),
            app_calls: Cell::new(0),
            log: RefCell::default(),
            violations: RefCell::default(),
            hosts: RefCell::default(),
            functions: RefCell::default(),
            disk: Disk::default(),
            secrets: RefCell::default(),
            locks: RefCell::default(),
            circles: Circles::default(),
            alone: Cell::new(false),
        };
        let world = Rc::new(world);
        SimPlatform { store: Records::store(&world), world, dead: Rc::default() }
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

    /// Plans that are at work in the part that knows plans.
    pub fn open_plans(&self) -> usize {
        self.world.parts.open_plans()
    }

    /// Whether failures look as in a browser, which cannot say whether CORS was the reason; off by default.
    pub fn set_cors(&self, on: bool) {
        self.world.cors.set(on);
    }

    /// Whether the network cuts bodies anew at random; on by default.
    pub fn set_recut(&self, on: bool) {
        self.world.recut.set(on);
    }

    /// Whether the parts that are loaded when first used cannot be loaded; off by default.
    pub fn set_parts_missing(&self, missing: bool) {
        self.world.parts_missing.set(missing);
    }

    /// The table of embeddings that the package has; none by default.
    pub fn set_embeddings(&self, table: Option<Vec<u8>>) {
        *self.world.embeddings.borrow_mut() = table;
    }

    /// Whether tabs have no circles to hear each other in; off by default.
    pub fn set_alone(&self, alone: bool) {
        self.world.alone.set(alone);
    }

    /// This tab is killed: what it still says on its way out is not heard. Drop what it was doing, too.
    pub fn kill(&self) {
        self.dead.set(true);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.get()
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

    /// The same for a test: the future ends, it leaves nothing open, and no rule was broken on the way.
    ///
    /// # Panics
    ///
    /// When that is not so, with the [report](SimPlatform::report).
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let done = self.block_on(future).unwrap_or_else(|stuck| panic!("{stuck:?}\n{}", self.report()));
        assert_eq!(self.leftovers(), "", "{}", self.report());
        assert_eq!(self.violations(), [""; 0], "{}", self.report());
        done
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
            (super::lock::left(&self.world.locks.borrow()), "locks"),
            (self.world.circles.borrow().len(), "places in circles"),
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

    /// Which secrets are kept, for tests.
    pub fn secrets(&self) -> BTreeMap<String, Secret> {
        self.world.secrets.borrow().clone()
    }

    /// Keeps a secret, as if an earlier page had left it.
    pub fn leave_secret(&self, key: &str, value: Secret) {
        self.world.secrets.borrow_mut().insert(key.to_owned(), value);
    }

    fn time_moved(&self) {
        let mut rng = self.world.clock_rng.borrow_mut();
        if self.world.clock.get() == Clock::Jumping && rng.chance(125) {
            const TWO_HOURS: i64 = 2 * 3600 * 1000;
            let jump = rng.within(0..=2 * TWO_HOURS as u64) as i64 - TWO_HOURS;
            self.world.clock_offset.set(self.world.clock_offset.get() + jump);
        }
    }
}
