//! How runs begin: of prompts and of plans, alone and in conversations.

use std::future::Future;
use std::rc::Rc;

use serde_json::Value;

use crate::agent::config::RunOptions;
use crate::agent::goal;
use crate::agent::log::{Header, Log, Told};
use crate::agent::run::output::instructions;
use crate::agent::run::{Run, Setup};
use crate::drive::conversation::Conversation;
use crate::drive::count::Counted;
use crate::drive::handle::RunHandle;
use crate::drive::keep::{Journal, Keeper};
use crate::drive::model::Model;
use crate::drive::run::drive;
use crate::drive::wait::Cancel;
use crate::error::Result;
use crate::llm::types::Message;
use crate::platform::{Platform, key};

use super::Agent;

/// What a run is for.
pub(crate) enum Purpose {
    /// The model's answer to the prompt.
    Answer,
    /// How many tokens it would be asked with: it ends there.
    Count(Rc<Counted>),
    /// What a plan of the app gives.
    Plan(Value),
}

impl<P: Platform> Agent<P> {
    /// Starts a run. The caller polls the future until it ends, which is soon after the terminal event; the handle
    /// is for the app.
    pub fn run(&self, prompt: String, options: RunOptions) -> (RunHandle, impl Future<Output = ()> + 'static) {
        self.begin_in(None, prompt, options, Purpose::Answer)
    }

    /// Starts a run in the conversation of that id, behind those that are in it: it goes on from what was said there, and what is
    /// said in it becomes part of it, turn by turn. `messages` of the options do not count. Without an id, like
    /// [`Agent::run`].
    ///
    /// # Errors
    ///
    /// `config` for an id that is none: it has 1 to 256 bytes.
    pub fn send(
        &self,
        conversation: Option<&str>,
        prompt: String,
        options: RunOptions,
    ) -> Result<(RunHandle, impl Future<Output = ()> + 'static)> {
        let conversation = conversation.map(|id| self.0.conversations.get(id)).transpose()?;
        Ok(self.begin_in(conversation, prompt, options, Purpose::Answer))
    }

    /// Starts a run.
    pub(crate) fn begin_in(
        &self,
        conversation: Option<Rc<Conversation>>,
        prompt: String,
        options: RunOptions,
        purpose: Purpose,
    ) -> (RunHandle, impl Future<Output = ()> + 'static) {
        let config = &self.0.config;
        let mut limits = config.limits;
        limits.max_turns = options.max_turns.unwrap_or(limits.max_turns);
        let id = run_id(self.0.platform.random(), self.0.platform.random());
        let random = self.0.platform.random();
        let RunOptions { messages, attachments, output, meta, goal, .. } = options;
        let (counted, plan) = match purpose {
            Purpose::Answer => (None, None),
            Purpose::Count(counted) => (Some(counted), None),
            Purpose::Plan(plan) => (None, Some(plan)),
        };
        let mut models = if plan.is_none() { Model::candidates(&self.0.model, output.as_ref()) } else { Vec::new() };
        for (model, told) in models.iter_mut().zip(&*self.0.rooms.borrow()) {
            // The smaller one is right: who gives too large a window is told so.
            model.room = model.room.into_iter().chain(*told).min();
        }
        let approval = config.approval;
        let mut prompt = Message::user(prompt);
        prompt.content.splice(0..0, attachments);
        let system = self.system(goal, output.as_ref());
        let handle = RunHandle::default();
        let mut model = Model::new(self.0.model.clone(), &limits, system, output.clone());
        (model.threads, model.counted) = (self.threads(), counted);
        if self.0.closed.get() {
            handle.cancel();
        }
        let conversation = conversation.map(|conversation| (conversation.join(), conversation));
        let (agent, run_handle) = (self.clone(), handle.clone());
        let (rate, in_it) = (self.0.rate.get(), conversation.is_some());
        let mut setup =
            Setup { id, prompt, messages, limits, approval, models, output, random, goal, conversation: in_it, rate };
        let driven = async move {
            let platform = agent.platform().clone();
            let mut entered = None;
            if let Some((place, conversation)) = conversation {
                setup.conversation = true;
                if let Some((turn, messages)) = conversation.enter(&*platform, place, &run_handle).await {
                    (entered, setup.messages) = (Some(turn), messages);
                }
            }
            let mut journal = None;
            if model.counted.is_none() && (run_handle.begin() || agent.0.config.journal) {
                run_handle.set_recorded();
                let conversation = entered.as_ref().map(|turn| {
                    let count = setup.messages.len();
                    Told { id: turn.id().to_owned(), from: (turn.count() - count) as u64, count: count as u64 }
                });
                let setup = Setup { messages: Vec::new(), ..setup.clone() };
                let header = Header { at: platform.now(), setup, inline: false, plan: plan.clone(), conversation };
                let name = key(&["run", &header.setup.id]);
                let lock = if agent.0.config.journal { Some(platform.lock(&name).await) } else { None };
                journal = Some(Journal::new(header, Log::default(), lock, &agent.conversations().removals));
            }
            let run = match plan {
                Some(plan) => Run::of_plan(setup, plan),
                None => Run::new(setup),
            };
            let keeper = Keeper::new(entered, run.begun_with(), journal);
            drive(agent, run, model, run_handle, meta, keeper).await;
        };
        (handle, driven)
    }

    /// Everything that was said in the conversation of that id and is settled.
    ///
    /// # Errors
    ///
    /// `config` for an id that is none.
    pub async fn messages(&self, conversation: &str) -> Result<Vec<Message>> {
        Ok(self.0.conversations.get(conversation)?.messages(&**self.platform()).await)
    }

    /// Forgets a conversation, once the runs that are in it have ended.
    ///
    /// # Errors
    ///
    /// `config` for an id that is none, `cancelled`.
    pub async fn clear_conversation(&self, conversation: &str, cancel: &Cancel) -> Result<()> {
        self.0.conversations.get(conversation)?.clear(&**self.platform(), cancel).await?;
        self.0.watchers.look(conversation, None);
        Ok(())
    }

    /// Runs a plan of the app: the calls are made as if a model had asked for them, under the same policy, and the run ends
    /// with what the plan gave. No model is asked. In a conversation it is part of it, like [`Agent::send`]. The caller polls the
    /// future as with [`Agent::run`].
    ///
    /// # Errors
    ///
    /// As [`Agent::send`].
    pub fn run_plan(
        &self,
        conversation: Option<&str>,
        plan: Value,
        options: RunOptions,
    ) -> Result<(RunHandle, impl Future<Output = ()> + 'static)> {
        let conversation = conversation.map(|id| self.0.conversations.get(id)).transpose()?;
        let options = RunOptions { attachments: Vec::new(), output: None, goal: false, ..options };
        Ok(self.begin_in(conversation, "Run this plan.".into(), options, Purpose::Plan(plan)))
    }

    /// What the model is told first, with what is demanded of the final answer.
    pub(crate) fn system(&self, goal: bool, output: Option<&Value>) -> Option<String> {
        let mut system = self.0.config.system.clone();
        if goal {
            system = Some(goal::system(system.as_deref()));
        }
        match (system, output.map(instructions)) {
            (Some(system), Some(told)) => Some([&system, "\n\n", &told].concat()),
            (system, told) => told.or(system),
        }
    }
}

/// 128 random bits in hexadecimal.
fn run_id(high: u64, low: u64) -> String {
    format!("run_{high:016x}{low:016x}")
}
