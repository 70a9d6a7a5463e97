//! Runs that were put away, or whose page is gone: from their logs to where they stood, and on from there.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use serde_json::{Map, Value};

use crate::agent::event::Event;
use crate::agent::fact::{Decision, Fact};
use crate::agent::log::{Header, Log, Replay, Told, seal};
use crate::agent::run::Run;
use crate::drive::agent::Agent;
use crate::drive::handle::RunHandle;
use crate::drive::keep::{Journal, Keeper};
use crate::drive::model::Model;
use crate::drive::run::drive;
use crate::error::{Code, Error, Result};
use crate::llm::types::Usage;
use crate::options::Fields;
use crate::platform::{Platform, Space, Write, key};

/// What a run is taken up from.
enum From {
    /// The store, by the run's id.
    Store(String),
    /// A snapshot, or a log that was saved.
    Text(String),
}

/// A run that can go on.
struct Resumed<P: Platform> {
    run: Run,
    model: Model,
    keeper: Keeper<P>,
}

/// Ends a run that cannot be taken up.
pub fn refuse(handle: &RunHandle, error: Error) {
    let (run_id, messages, usage) = (String::new(), Vec::new(), Usage::default());
    let start = Event::RunStart { run_id: run_id.clone(), resumed: true };
    handle.publish(vec![start, Event::Error { run_id, error, messages, usage }]);
}

impl<P: Platform> Agent<P> {
    /// Takes up a run: one that was put away, from its snapshot, or one whose page is gone, by its id from the store. Calls that
    /// were at work are made again where twice is once; of others nobody knows. The caller polls the future as with
    /// [`Agent::run`]; what keeps the run from going on is its `error` event.
    pub fn resume(&self, from: String, decisions: Vec<Decision>) -> (RunHandle, impl Future<Output = ()> + 'static) {
        let handle = RunHandle::default();
        (handle.clone(), self.clone().resume_into(from, decisions, handle))
    }

    /// The same, for a handle that the app has already.
    pub async fn resume_into(self, from: String, decisions: Vec<Decision>, handle: RunHandle) {
        let from = if from.starts_with("run_") && !from.contains('\n') { From::Store(from) } else { From::Text(from) };
        if self.is_closed() {
            handle.cancel();
        }
        let taken = {
            // Another tab may have the run, for however long.
            let mut taken = pin!(self.take_up(from, decisions, &handle));
            poll_fn(|task| {
                if handle.is_cancelled() {
                    return Poll::Ready(Err(Error::cancelled("resume")));
                }
                handle.wait(task.waker());
                taken.as_mut().poll(task)
            })
            .await
        };
        match taken {
            Ok(Resumed { run, model, keeper }) => drive(self, run, model, handle, Map::new(), keeper).await,
            Err(error) => refuse(&handle, error),
        }
    }

    async fn take_up(&self, from: From, decisions: Vec<Decision>, handle: &RunHandle) -> Result<Resumed<P>> {
        let platform = &**self.platform();
        let (text, lock) = match from {
            From::Text(text) => (seal::unseal(&text, self.config().snapshot_secret.as_ref())?.to_owned(), None),
            From::Store(id) => {
                // Waits for the tab that has it.
                let lock = platform.lock(&key(&["run", &id])).await;
                (self.stored_log(&id).await.ok_or_else(|| misuse("no run of that id is stored"))?, Some(lock))
            }
        };
        let replay = Replay::read(&text)?;
        let Header { at, mut setup, inline, plan, mut conversation } = replay.header.clone();
        let lock = match lock {
            None if self.config().journal => Some(platform.lock(&key(&["run", &setup.id])).await),
            lock => lock,
        };
        let (mut entered, mut said) = (None, Vec::new());
        if let Some(Told { id, .. }) = &conversation {
            let conversation = self.conversations().get(id)?;
            let place = conversation.join();
            let turn = conversation.enter(platform, place, handle).await;
            let (turn, _) = turn.ok_or_else(|| Error::cancelled("resume"))?;
            said = turn.messages(platform).await;
            entered = Some(turn);
        }
        let (from, count) = conversation.as_ref().map_or((0, 0), |told| (told.from as usize, told.count as usize));
        let history = match inline {
            true => None,
            false => Some(said.get(from..from + count).ok_or_else(|| misuse("its conversation was cleared"))?.to_vec()),
        };
        let (log, output, goal) = (replay.lines().to_owned(), setup.output.clone(), setup.goal);
        let mut run = replay.run(history);
        if run.is_over() {
            return Err(misuse("the run has ended"));
        }
        run.take_events();
        // Elsewhere a conversation may begin with what this run knows of it.
        let fits = |from: &usize| match said.get(*from..) {
            Some([]) => *from == 0,
            Some(known) => run.messages().starts_with(known),
            None => false,
        };
        let Some(from) = [from, 0].into_iter().find(fits) else {
            return Err(misuse("its conversation has gone on without it"));
        };
        let settled = said.len() - from;
        conversation.iter_mut().for_each(|told| told.from = from as u64);
        setup.messages.clear();
        let limits = setup.limits;
        let header = Header { at, setup, inline: false, plan, conversation };
        let keeper = Keeper::new(
            entered,
            settled,
            Some(Journal::new(header, Log::new(log), lock, &self.conversations().removals)),
        );
        let (fact, now) = (Fact::Resumed { approval: self.approval(), decisions }, platform.now());
        keeper.fact(&fact, now);
        run.apply(fact, now)?;
        let system = self.system(goal, output.as_ref());
        let mut model = Model::new(self.model_config(), &limits, system, output);
        model.threads = self.threads();
        handle.set_recorded();
        Ok(Resumed { run, model, keeper })
    }

    async fn stored_log(&self, id: &str) -> Option<String> {
        let platform = self.platform();
        let mut text = Vec::new();
        for stored in platform.list(Space::Journal, &key(&[id, ""])).await {
            // What comes after a broken record cannot be told without it.
            match platform.load(Space::Journal, &stored.key).await {
                Some(record) => text.extend(record),
                None => break,
            }
        }
        if text.is_empty() { None } else { String::from_utf8(text).ok() }
    }

    /// The runs whose logs are stored: those that go on somewhere, and those that can be resumed. An array of `{ runId, bytes,
    /// at }`, `at` being when it was last written, to the minute. What has lost its beginning is no log, and is removed.
    pub async fn open_runs(&self) -> Value {
        let mut runs: Vec<Map<String, Value>> = Vec::new();
        let (mut last, mut rests) = (String::new(), Vec::new());
        for stored in self.platform().list(Space::Journal, "").await {
            let (id, number) = stored.key.split_once('/').unwrap_or((&stored.key, ""));
            if number == "000000" {
                id.clone_into(&mut last);
                runs.push(Map::new());
            }
            let Some(run) = runs.last_mut().filter(|_| id == last) else {
                rests.push(Write::remove(Space::Journal, stored.key));
                continue;
            };
            let before = |name: &str| run.get(name).and_then(Value::as_u64).unwrap_or(0);
            let (bytes, at) = (before("bytes") + stored.bytes, before("at").max(stored.used.0));
            run.insert("runId".into(), id.into());
            run.insert("bytes".into(), bytes.into());
            run.insert("at".into(), at.into());
        }
        if !rests.is_empty() {
            // Such a rest was removed with a conversation while its page was about to go.
            let _ = self.platform().write(rests).await;
        }
        runs.into_iter().map(Value::Object).collect()
    }

    /// Forgets the stored log of a run, so that it cannot be resumed.
    pub async fn forget_run(&self, id: &str) {
        // What could not be stored is kept in memory and read as if it were.
        let _ = self.platform().write(vec![Write::remove_prefix(Space::Journal, key(&[id, ""]))]).await;
    }
}

/// Reads what the user has said of calls that wait: `{ id: true | false | "why not" | { approve: true, remember } }`.
///
/// # Errors
///
/// `config`.
pub fn read_decisions(value: &Value) -> Result<Vec<Decision>> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    Fields::open(value, "decisions")?;
    let decisions = value.as_object().into_iter().flatten().map(|(id, decision)| {
        let path = ["decisions.", id].concat();
        let (approve, why, always) = match decision {
            Value::Bool(approve) => (*approve, None, None),
            Value::String(why) => (false, Some(why.clone()), None),
            Value::Object(_) => {
                let mut fields = Fields::open(decision, &path)?;
                let (approve, remember) = (fields.boolean("approve")?, fields.string("remember")?);
                fields.finish()?;
                let wrong = |name: &str, words| Err(Error::config([&path, name].concat(), words));
                match (approve, remember) {
                    (Some(true), Some(scope @ ("run" | "always"))) => (true, None, Some(scope == "always")),
                    (Some(true), _) => return wrong(".remember", "expected \"run\" or \"always\""),
                    _ => return wrong(".approve", "expected true: only a yes is remembered"),
                }
            }
            _ => return Err(Error::config(path, "expected true, false, why not as text, or { approve, remember }")),
        };
        Ok(Decision { id: id.clone(), approve, why, always })
    });
    decisions.collect()
}

fn misuse(words: &str) -> Error {
    Error::new(Code::Misuse, ["resume: ", words].concat())
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
