//! What [`SimPlatform`] does for its callers: fetch, bodies, timers, the store, calls of the app.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::pending;
use std::rc::Rc;

use super::circle::SimCircle;
use super::lock::SimLock;
use super::net::{Answer, Peer, Server, Step, origin, recut};
use super::platform::SimPlatform;
use super::rng::Rng;
use crate::http::Request;
use crate::platform::{
    AppCall, AppResult, Asset, Body, NetworkError, Part, PartResult, Platform, Response, Space, StoreCounts,
    StoreFailure, Stored, Write,
};
use crate::secret::Secret;
use crate::time::{Millis, UnixMillis};

impl Platform for SimPlatform {
    type Body = SimBody;
    type Lock = SimLock;
    type Circle = SimCircle;

    fn now(&self) -> UnixMillis {
        self.world.now()
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

    async fn load(&self, space: Space, key: &str) -> Option<Vec<u8>> {
        self.store.load(space, key).await
    }

    async fn list(&self, space: Space, prefix: &str) -> Vec<Stored> {
        self.store.list(space, prefix).await
    }

    async fn write(&self, batch: Vec<Write>) -> Result<(), StoreFailure> {
        self.store.write(batch).await
    }

    async fn write_now(&self, batch: &[Write]) -> Result<(), StoreFailure> {
        self.store.write_now(batch).await
    }

    fn store_counts(&self) -> StoreCounts {
        self.store.counts()
    }

    fn waiting_writes(&self) -> Vec<Write> {
        self.store.waiting_writes()
    }

    async fn load_secret(&self, key: &str) -> Option<Secret> {
        self.wait(Millis(0)).await;
        self.world.secrets.borrow().get(key).cloned()
    }

    async fn save_secret(&self, key: &str, value: Option<&Secret>) {
        self.wait(Millis(0)).await;
        let mut secrets = self.world.secrets.borrow_mut();
        match value {
            Some(_) if self.world.disk.room.get() == 0 => {}
            Some(value) => {
                secrets.insert(key.to_owned(), value.clone());
            }
            None => {
                secrets.remove(key);
            }
        }
    }

    async fn lock(&self, name: &str) -> SimLock {
        SimLock::wait(self, name).await
    }

    async fn is_held(&self, prefix: &str, but: &str) -> Option<bool> {
        (!self.world.alone.get()).then(|| SimLock::is_held(self, prefix, but))
    }

    fn circle(&self, name: &str) -> Option<SimCircle> {
        (!self.world.alone.get()).then(|| SimCircle::join(self, name))
    }

    fn tell_app(&self, call: AppCall) {
        let function = self.world.functions.borrow().get(&call.function).cloned();
        let Some(function) = function else {
            return self.violation(format!("unknown function {} is told something", call.function.0));
        };
        self.note(format!("function {} is told something", call.function.0));
        let mut rng = Rng::new(self.world.app.borrow_mut().next_u64());
        let _ = function.borrow_mut()(&call.argument, &mut rng);
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

    async fn call_part(&self, part: Part, request: String) -> PartResult {
        self.wait(Millis(0)).await;
        if self.world.parts_missing.get() {
            return Err("could not be loaded".to_owned());
        }
        crate::parts::answer(&self.world.parts, &Rc::new(self.clone()), part, &request).await
    }

    async fn asset(&self, asset: Asset) -> Option<Vec<u8>> {
        self.wait(Millis(0)).await;
        let Asset::Embeddings = asset;
        self.world.embeddings.borrow().clone()
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

impl SimPlatform {
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
