//! Drives a run: starts what the machine says, and reports back what came of it.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use serde_json::{Map, Value, json};

use crate::agent::catalog::{Builtin, ToolEntry};
use crate::agent::event::{Event, Outcome};
use crate::agent::fact::{Call, Fact, Step, ToolOutput};
use crate::agent::goal;
use crate::agent::kept;
use crate::agent::log::seal::seal;
use crate::agent::policy::gather_limit;
use crate::agent::run::Run;
use crate::drive::agent::Agent;
use crate::drive::check::check;
use crate::drive::compact::{Work, compact};
use crate::drive::count::count_instead;
use crate::drive::handle::RunHandle;
use crate::drive::keep::Keeper;
use crate::drive::live::Inbox;
use crate::drive::mcp::Attendant;
use crate::drive::model::{Model, Prepared};
use crate::drive::offer::{Wish, find_more, hold_result, offer, private_in, reads, tell_fixed};
use crate::drive::plan::{Returns, Stage};
use crate::drive::question::{Questions, StandingBy};
use crate::drive::server::Server;
use crate::drive::tool::output_of;
use crate::drive::trace::Trace;
use crate::drive::wait::{Cancel, Jobs, unless_cancelled};
use crate::mcp::server::State as ServerState;
use crate::mcp::types::Progress;
use crate::options::FunctionId;
use crate::platform::{AppCall, Platform};
use crate::time::Millis;

/// Everything the jobs of one run share.
struct Context<P: Platform> {
    agent: Agent<P>,
    handle: RunHandle,
    model: Model,
    /// Set when the run is over: whatever is in flight is not wanted any more.
    over: Cancel,
    /// Servers that the run still waits for.
    connecting: Cell<usize>,
    questions: Questions,
    /// Results on their way to plans.
    returns: Returns,
    /// The run consists of a plan of the app.
    own_plan: bool,
    /// What the requests of its tool calls carry in `_meta` besides.
    meta: Rc<Map<String, Value>>,
    trace: Trace,
    keeper: Keeper<P>,
    /// For whoever watches the sources that the model is shown.
    inbox: Rc<Inbox>,
}

/// One thing that takes time.
enum Job<P: Platform> {
    Connect(Rc<Server<P>>),
    /// Lists the tools of a connected server anew.
    Renew(Rc<Server<P>>),
    /// Reads what users have allowed for good.
    Recall,
    StandBy(Rc<Server<P>>),
    Follow(Rc<Server<P>>),
    GatherLimit(Millis),
    Offer(Wish),
    Compact(Work),
    CallModel(Prepared),
    Check(Value, Value),
    /// For that long; then this is reported.
    Sleep(Millis, Fact),
    Judge(FunctionId, Call),
    CallTool(Call),
    /// An approval, under that key.
    KeepApproval(String),
    Trace,
    Keep,
}

impl<P: Platform> Context<P> {
    /// Whoever puts questions of servers to the reader of this run, for a call of that id.
    fn standing_by(self: Rc<Self>, call: String) -> Rc<dyn Attendant> {
        let questions = self.questions.clone();
        let meta = self.trace.called(&**self.agent.platform(), &call, &self.meta);
        Rc::new(StandingBy { handle: self.handle.clone(), questions, call, meta })
    }
}

impl<P: Platform> Context<P> {
    /// One server less to wait for.
    fn gathered_one(&self) {
        self.connecting.set(self.connecting.get() - 1);
        if self.connecting.get() == 0 {
            self.handle.push(Fact::Gathered);
        }
    }
}

/// Drives `run` to its terminal event, and whatever it started to its end.
pub(crate) async fn drive<P: Platform>(
    agent: Agent<P>,
    mut run: Run,
    model: Model,
    handle: RunHandle,
    mut meta: Map<String, Value>,
    keeper: Keeper<P>,
) {
    let (over, connecting, questions) = (Cancel::new(), Cell::new(0), Questions::default());
    let platform = agent.platform().clone();
    let trace = match model.counted {
        None => Trace::new(&*platform, agent.config(), &run, keeper.conversation(), &mut meta),
        Some(_) => Trace::none(),
    };
    let (returns, own_plan, meta) = (Returns::default(), run.is_plan(), Rc::new(meta));
    let inbox = Rc::<Inbox>::default();
    let context =
        Context { agent, handle, model, over, connecting, questions, returns, own_plan, meta, trace, keeper, inbox };
    let context = Rc::new(context);
    let mut jobs = Jobs::default();
    loop {
        // One moment for all of them, and for the steps that follow: the log has no finer.
        let now = platform.now();
        while let Some(fact) = context.handle.take_fact() {
            if let Fact::Remember { id, always: true } = &fact
                && let Some(key) = context.agent.approval_of(&run, id)
            {
                jobs.push(perform(context.clone(), Job::KeepApproval(key)));
            }
            context.trace.fact(&fact, now);
            context.keeper.fact(&fact, now);
            // Fails only for an answer of the app that came too late, and the handle told the app so.
            let _ = run.apply(fact, now);
        }
        context.keeper.end_line();
        let done = loop {
            match run.next(now) {
                Step::Wait => break false,
                Step::Done => break true,
                step => {
                    for job in start(&context, &run, step) {
                        jobs.push(perform(context.clone(), job));
                    }
                }
            }
        };
        if done {
            context.handle.set_over();
        }
        let events = run.take_events();
        if context.trace.events(&events, platform.now()) && !done {
            jobs.push(perform(context.clone(), Job::Trace));
        }
        let put_away = matches!(events.last(), Some(Event::Suspended { .. }));
        let keeps = context.keeper.note(&platform, &run, !done || put_away);
        if keeps && !done {
            jobs.push(perform(context.clone(), Job::Keep));
        }
        if done && (keeps || context.keeper.is_behind() || context.inbox.is_open() || context.trace.is_wanted()) {
            // Whoever waits for the end has all spans then, and finds in the store what was said.
            if run.messages().len() <= run.begun_with() + 1 {
                context.inbox.push(json!({ "lost": true }));
            }
            context.over.cancel();
            let last = async {
                context.keeper.flush(&platform).await;
                context.inbox.closed().await;
                context.trace.finish(&*platform).await;
            };
            jobs.beside(last).await;
        }
        let asks = events.iter().any(|event| matches!(event, Event::ApprovalRequest { .. }));
        if asks && !done && context.keeper.records() {
            // What a user was shown to decide on is there again, whatever becomes of this page.
            jobs.beside(context.keeper.flush(&platform)).await;
        }
        if done {
            context.handle.set_log(context.keeper.log(&run));
        }
        context.handle.publish(events);
        if done {
            break;
        }
        #[cfg(not(target_arch = "wasm32"))]
        context.agent.checkpoint(&mut run);
        let told = poll_fn(|task| {
            if context.handle.has_facts() {
                return Poll::Ready(());
            }
            context.handle.wait(task.waker());
            Poll::Pending
        });
        jobs.beside(told).await;
    }
    context.agent.note_rate(run.rate());
    context.agent.note_rooms(run.rooms());
    context.over.cancel();
    context.keeper.leave();
    jobs.finish().await;
}

/// The jobs that a step asks for. What needs no waiting is answered at once.
fn start<P: Platform>(context: &Context<P>, run: &Run, step: Step) -> Vec<Job<P>> {
    let handle = &context.handle;
    match step {
        Step::Gather => {
            let is_ready = |server: &Rc<Server<P>>| server.state() == ServerState::Ready;
            let waiting = |server: &Rc<Server<P>>| match server.state() {
                ServerState::Closed => false,
                ServerState::Ready => server.is_over(),
                _ => true,
            };
            let servers: Vec<Rc<Server<P>>> = context.agent.servers_now().into_iter().filter(waiting).collect();
            let recalls = context.agent.must_recall_approvals();
            if servers.is_empty() && !recalls {
                handle.push(Fact::Gathered);
                return Vec::new();
            }
            context.connecting.set(servers.len() + usize::from(recalls));
            let any_new = servers.iter().any(|server| !is_ready(server) && !server.is_doubtful());
            let mut jobs = vec![Job::GatherLimit(gather_limit(any_new))];
            if recalls {
                jobs.push(Job::Recall);
            }
            jobs.extend(servers.into_iter().map(|server| match is_ready(&server) {
                true => Job::Renew(server),
                false => Job::Connect(server),
            }));
            jobs
        }
        Step::OfferTools => {
            let servers = context.agent.servers_now().into_iter();
            let mut jobs: Vec<Job<P>> =
                servers.flat_map(|server| [Job::StandBy(server.clone()), Job::Follow(server)]).collect();
            let decided = run.decided_for_good();
            let kept = decided.iter().filter_map(|(tool, input)| context.agent.approval_of_call(tool, input));
            jobs.extend(kept.map(Job::KeepApproval));
            let known = context.agent.known_approvals();
            let mut private = private_in(&context.agent, run.messages());
            private.extend(context.keeper.held());
            if !known.is_empty() {
                handle.push(Fact::Remembered(known));
            }
            if !private.is_empty() {
                handle.push(Fact::Private(private));
            }
            let catalog = context.agent.catalog();
            let mut entries = catalog.entries();
            let conversation = context.keeper.conversation().is_some();
            if context.own_plan {
                entries.push(ToolEntry::builtin(Builtin::Plan, &entries));
            } else if let Some(wish) = Wish::of(&context.agent, run, conversation) {
                jobs.push(Job::Offer(wish));
                return jobs;
            } else {
                let mut own = Vec::new();
                if reads(&context.agent, run) {
                    kept::offer(&mut entries, &mut own);
                }
                if run.has_goal() {
                    goal::offer(&mut entries, &mut own);
                }
                context.model.offer(catalog.definitions(), own, None);
                tell_fixed(&context.model, handle);
            }
            handle.push(Fact::Tools(entries));
            jobs
        }
        Step::Noted(noted) => {
            context.inbox.push(json!({ "noted": noted }));
            Vec::new()
        }
        Step::Compact(_) | Step::CallModel(_) if context.model.counted.is_some() => {
            count_instead(&context.model, run, &step, handle);
            Vec::new()
        }
        Step::Compact(squeeze) => vec![Job::Compact(Work::of(squeeze, run))],
        Step::CallModel(ask) => vec![Job::CallModel(context.model.prepare(run.messages(), run.view(), &ask))],
        Step::Check(schema, value) => vec![Job::Check(schema, value)],
        Step::Sleep(delay) => vec![Job::Sleep(delay, Fact::Slept)],
        Step::Rest(id, delay) => vec![Job::Sleep(delay, Fact::Rested { id })],
        Step::Judge(function, call) => vec![Job::Judge(function, call)],
        Step::CallTool(call) => vec![Job::CallTool(call)],
        Step::HandBack { call, id, output } => {
            context.returns.push(call, id, output);
            Vec::new()
        }
        Step::Reply(id, answer) => {
            context.questions.answer(&id, answer);
            Vec::new()
        }
        Step::Suspend => {
            let snapshot = context.keeper.log(run).unwrap_or_default();
            handle.push(Fact::Suspended(seal(snapshot, context.agent.config().snapshot_secret.as_ref())));
            Vec::new()
        }
        Step::Wait | Step::Done => Vec::new(),
    }
}

/// Reports a result that goes before the model: one that is too long is kept.
async fn end_call<P: Platform>(context: &Context<P>, id: String, output: ToolOutput, from: &str) {
    let Context { agent, handle, over, .. } = context;
    let output = agent.keep_big(output, from, over).await;
    handle.push(Fact::ToolEnded { id, output });
}

/// Does one job and reports it. Ends soon after `over`.
async fn perform<P: Platform>(context: Rc<Context<P>>, job: Job<P>) {
    let Context { agent, handle, model, over, .. } = &*context;
    let platform = &**agent.platform();
    if let Job::CallTool(Call { id, tool: ToolEntry { builtin: Some(_), .. }, .. }) = &job {
        // No server is told of it.
        context.trace.called(platform, id, &context.meta);
    }
    match job {
        Job::Connect(server) => {
            let mut changed = |state, reason| handle.push(Fact::Server { server: server.name.clone(), state, reason });
            // The failure was told through `changed`.
            if agent.ensure(&server, over, &mut changed).await.is_ok() {
                for message in server.connection.info().warnings {
                    handle.push(Fact::Warning { server: server.name.clone(), message });
                }
            }
            context.gathered_one();
        }
        Job::Recall => {
            agent.recall_approvals().await;
            context.gathered_one();
        }
        Job::Renew(server) => {
            agent.renew(&server, over).await;
            context.gathered_one();
        }
        // A new list serves calls at once; the model is offered it in the next run.
        Job::StandBy(server) => {
            let _ = unless_cancelled(over, server.connection.stand_by()).await;
        }
        Job::Follow(server) => server.follow(over, &|| agent.forget_catalog()).await,
        Job::GatherLimit(limit) => {
            if unless_cancelled(over, platform.sleep(limit)).await.is_ok() {
                agent.servers_now().iter().for_each(|server| server.give_up_waiting());
                handle.push(Fact::Gathered);
            }
        }
        Job::Offer(wish) => {
            let about = (context.keeper.conversation(), &context.inbox);
            offer(agent, model, handle, over, wish, about).await;
        }
        Job::Compact(work) => {
            context.trace.compacting(platform.now());
            if let Some(compacted) = compact(agent, model, over, work).await {
                handle.push(Fact::Compacted(compacted));
            }
        }
        Job::CallModel(prepared) => model.call(platform, prepared, handle, over).await,
        Job::Check(schema, value) => {
            let outcome = check(platform, &schema, &value, over).await;
            handle.push(Fact::Checked(outcome.problems));
        }
        Job::Sleep(delay, fact) => {
            if unless_cancelled(over, platform.sleep(delay)).await.is_ok() {
                handle.push(fact);
            }
        }
        Job::Judge(function, call) => {
            let argument = json!({
                "id": call.id,
                "name": call.tool.name,
                "server": call.tool.server,
                "input": call.input,
                "readOnly": call.tool.read_only,
            });
            let asked = unless_cancelled(over, platform.call_app(AppCall { function, argument })).await;
            let ask = match asked {
                Err(_) => return,
                Ok(Ok(Value::Bool(ask))) => Ok(ask),
                Ok(Ok(_)) => Err("it did not return true or false".into()),
                Ok(Err(thrown)) => Err(thrown),
            };
            handle.push(Fact::Judged { id: call.id, ask });
        }
        Job::KeepApproval(key) => agent.keep_approval(key).await,
        Job::Trace => context.trace.tell(platform).await,
        Job::Keep => context.keeper.flush(platform).await,
        Job::CallTool(call) if call.tool.builtin == Some(Builtin::Read) => {
            let output = agent.read_kept(&call.input, over).await;
            handle.push(Fact::ToolEnded { id: call.id, output });
        }
        Job::CallTool(call) if call.tool.builtin == Some(Builtin::Find) => {
            let output = find_more(agent, model, &call, over).await;
            tell_fixed(model, handle);
            handle.push(Fact::ToolEnded { id: call.id, output });
        }
        Job::CallTool(call) if call.tool.builtin == Some(Builtin::Plan) => {
            let Context { returns, own_plan: own, .. } = &*context;
            let fact = Stage { agent, handle, returns, over, own: *own }.run_plan(call).await;
            match fact {
                Some(Fact::ToolEnded { id, output }) if !own => end_call(&context, id, output, "run_plan").await,
                Some(fact) => handle.push(fact),
                None => {}
            }
        }
        Job::CallTool(call) => {
            let id = call.id.clone();
            let mut on_progress = |progress: Progress| {
                let Progress { progress, total, message } = progress;
                handle.push(Fact::ToolProgress { id: id.clone(), progress, total, message });
            };
            if context.keeper.records() && !(call.tool.read_only || call.tool.idempotent) {
                // Should this page go now, it has to be known that the call may have been made.
                context.keeper.flush(platform).await;
            }
            let fact = match agent.confirm(&call.tool).await {
                Some(why) => Fact::ToolEnded { id, output: ToolOutput::failed(Outcome::Failed, why) },
                None => {
                    let attendant = Some(context.clone().standing_by(id.clone()));
                    let result = agent.call_checked(&call, over, &mut on_progress, attendant).await;
                    if let (Err(error), Some(server)) = (&result, &call.tool.server)
                        && error.authorization_url.is_some()
                    {
                        let (server, state) = (server.clone(), ServerState::after(error));
                        handle.push(Fact::Server { server, state, reason: Some(error.clone()) });
                    }
                    match result.map(output_of) {
                        Ok(output) => {
                            hold_result(agent, handle, &call.tool, &output);
                            if !call.planned {
                                return end_call(&context, id, output, &call.tool.name).await;
                            }
                            Fact::ToolEnded { id, output }
                        }
                        Err(error) => Fact::ToolFailed { id, error },
                    }
                }
            };
            handle.push(fact);
        }
    }
}
