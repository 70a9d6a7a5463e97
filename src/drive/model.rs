//! One model call: request out, bytes in, deltas to the run.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::Value;

use crate::agent::config::Limits;
use crate::agent::fact::Fact;
use crate::agent::recovery::{Ask, Candidate};
use crate::agent::selection::FIND;
use crate::agent::view::{View, size};
use crate::drive::count::Counted;
use crate::drive::handle::RunHandle;
use crate::drive::wait::{Cancel, Stop, unless_cancelled, within};
use crate::error::{Code, Error, Result, Retry};
use crate::http::Request;
use crate::llm::config::{ModelConfig, Provider};
use crate::llm::count;
use crate::llm::found::{self, Found};
use crate::llm::offline_wire;
use crate::llm::overflow::{self, Overflow};
use crate::llm::structured::{Takes, takes};
use crate::llm::thread::{Asked, Threads};
use crate::llm::turn::Turn;
use crate::llm::types::{Block, Delta, Message, Role, ToolDefinition};
use crate::llm::wire::{Decoder, Encoder, goes_on, label, label_at};
use crate::platform::{Body, NetworkError, Part, Platform};
use crate::time::Millis;

/// How long a stream may stay open after the model's own end mark before it is aborted. Waiting for the last bytes
/// lets the connection be used again.
const LINGER: Millis = Millis(1000);

/// What a run asks, over and over, with a growing history.
pub(crate) struct Model {
    config: Rc<ModelConfig>,
    idle: Millis,
    longest: Millis,
    system: Option<String>,
    /// JSON Schema that the final answer has to satisfy; the system prompt tells of it, too.
    output: Option<Value>,
    /// Set once the tools are known, for the model on the network that is asked.
    encoder: RefCell<Option<Standing>>,
    /// The same as they were given, for the embedded model, for fallbacks, and for more tools.
    tools: RefCell<Vec<ToolDefinition>>,
    /// Names of those that are the agent's own.
    own: RefCell<Vec<String>>,
    /// A tool that is not offered, where not all are.
    other: RefCell<Option<ToolDefinition>>,
    /// Tools were offered, or refused where they stood, and it has yet to be seen which of them the history tells of.
    unsure: Cell<bool>,
    /// The threads that may be gone on with.
    pub(crate) threads: Rc<RefCell<Threads>>,
    /// Where what it would be asked goes, if it is only counted.
    pub(crate) counted: Option<Rc<Counted>>,
}

/// The beginning of the next request.
struct Standing {
    /// The model's place among them, and whether its provider is left out of the matter of `output`.
    which: (usize, bool),
    /// How often the history had been compacted.
    compacted: usize,
    /// Place in the history of the next message to push.
    next: usize,
    /// Bytes that it had without any message.
    fixed: u64,
    encoder: Encoder,
}

impl Model {
    pub(crate) fn new(
        config: Rc<ModelConfig>,
        limits: &Limits,
        system: Option<String>,
        output: Option<Value>,
    ) -> Model {
        let (idle, longest) = (limits.turn_timeout, limits.turn_max);
        let (encoder, tools, own) = (RefCell::new(None), RefCell::default(), RefCell::default());
        let other = RefCell::default();
        let unsure = Cell::new(false);
        Model {
            config,
            idle,
            longest,
            system,
            output,
            encoder,
            tools,
            own,
            other,
            unsure,
            threads: Rc::default(),
            counted: None,
        }
    }

    /// The model and its fallbacks, as far as a run decides on them.
    pub(crate) fn candidates(config: &ModelConfig, output: Option<&Value>) -> Vec<Candidate> {
        let models = (0..config.count()).map(|place| config.at(place));
        let candidate = |model: &ModelConfig| Candidate {
            id: model.id.clone(),
            prefill: goes_on(model),
            room: room(model),
            schema: output.map_or(Takes::No, |schema| takes(model, schema)),
        };
        models.map(candidate).collect()
    }

    /// Says which tools the models are offered, those of the agent itself behind the others; they are serialised once. Where not
    /// all are, `other` is one of the rest.
    pub(crate) fn offer(
        &self,
        mut tools: Vec<ToolDefinition>,
        own: Vec<ToolDefinition>,
        other: Option<ToolDefinition>,
    ) {
        *self.own.borrow_mut() = own.iter().map(|tool| tool.name.clone()).collect();
        *self.other.borrow_mut() = other;
        tools.extend(own);
        *self.encoder.borrow_mut() = self.standing((0, false), &tools, 0, Found::default());
        self.unsure.set(true);
        *self.tools.borrow_mut() = tools;
    }

    /// Characters of the system prompt and the tools; `None` for the embedded model.
    pub(crate) fn fixed(&self) -> Option<u64> {
        self.encoder.borrow().as_ref().map(|standing| standing.fixed)
    }

    /// Offers further tools behind the others. The next request is written anew, and its tools begin as those of the last.
    pub(crate) fn offer_more(&self, more: Vec<ToolDefinition>) {
        let mut tools = self.tools.borrow_mut();
        let before = tools.len();
        for tool in more {
            if !tools.iter().any(|known| known.name == tool.name) {
                tools.push(tool);
            }
        }
        let mut encoder = self.encoder.borrow_mut();
        if let (true, Some(Standing { which, compacted, .. })) = (tools.len() > before, &*encoder) {
            let (which, compacted) = (*which, *compacted);
            *encoder = self.standing(which, &tools, compacted, Found::default());
            self.unsure.set(true);
        }
    }

    /// Whether a tool of that name is offered.
    pub(crate) fn offers(&self, name: &str) -> bool {
        self.tools.borrow().iter().any(|tool| tool.name == name)
    }

    /// The tools that a model is told of behind the results that found them.
    fn found<'m>(&self, place: usize, shown: impl Iterator<Item = Cow<'m, Message>>) -> Found {
        let config = self.config.at(place);
        if self.threads.borrow().wants_in_front(config) {
            return Found::default();
        }
        let mut finders = self.own.borrow().clone();
        finders.retain(|name| name.starts_with(FIND));
        Found::of(config, shown, &self.tools.borrow(), &finders).beside(config, self.other.borrow().as_ref())
    }

    /// Whether tools that fit a later prompt are added with it. Where the model can find them at no cost to what was said before,
    /// but a prompt cannot add them so, they are not.
    pub(crate) fn adds_at_prompts(&self) -> bool {
        let config = self.config.at(0);
        self.threads.borrow().wants_in_front(config) || !found::only_in_results(config)
    }

    /// Characters of what a model is asked with: of the system prompt, the tools and those messages.
    pub(crate) fn weight(&self, messages: &[Message], view: &View) -> u64 {
        let fixed = match self.encoder_of((0, false), &self.tools.borrow(), Found::default()) {
            Some(encoder) => encoder.bytes(),
            None => self.system.as_ref().map_or(0, String::len),
        };
        fixed as u64 + view.shown(messages).map(|(_, message)| size(&message)).sum::<u64>()
    }

    /// How many tokens a request is by the count of its provider; `None` where that does not count.
    pub(crate) async fn count<P: Platform>(
        &self,
        platform: &P,
        prepared: Prepared,
        cancel: &Cancel,
    ) -> Result<Option<u64>> {
        let config = self.config.at(prepared.model);
        let Way::Request(mut request) = prepared.way else { return Ok(None) };
        if config.provider == Provider::Browser {
            request = self.worded(platform, request, &label(config), cancel).await?;
        }
        let Some(request) = count::request(config, request) else { return Ok(None) };
        let aside = RunHandle::default();
        let what = label_at(config, &request.url);
        let line = Line { platform, config, what: &what, run: &aside, cancel };
        match self.answer(&line, request, None, prepared.late).await {
            Ok(_) => {}
            // There is no such endpoint, or it is none that counts.
            Err(error) if error.code == Code::Protocol || matches!(error.status, Some(404 | 405 | 501)) => {}
            Err(error) => return Err(error),
        }
        let mut counted = None;
        while let Some(fact) = aside.take_fact() {
            if let Fact::Deltas(deltas) = fact {
                counted = deltas.iter().rev().find_map(|delta| match delta {
                    Delta::Usage(usage) => Some(usage.input_tokens),
                    _ => None,
                });
            }
        }
        Ok(counted)
    }

    /// The tools that the embedded model knows what to do with: none of the agent's own.
    fn foreign(&self) -> Vec<ToolDefinition> {
        let own = self.own.borrow();
        let tools = self.tools.borrow();
        tools.iter().filter(|tool| !own.contains(&tool.name)).cloned().collect()
    }

    /// `None` for the embedded model, which has no wire.
    fn encoder_of(&self, (place, loose): (usize, bool), tools: &[ToolDefinition], found: Found) -> Option<Encoder> {
        let config = self.config.at(place);
        let output = self.output.as_ref().filter(|_| !loose);
        let encoder = || Encoder::telling(config, self.system.as_deref(), tools, output, found);
        (config.provider != Provider::Offline).then(encoder)
    }

    fn standing(
        &self,
        which: (usize, bool),
        tools: &[ToolDefinition],
        compacted: usize,
        found: Found,
    ) -> Option<Standing> {
        let encoder = self.encoder_of(which, tools, found)?;
        Some(Standing { which, compacted, next: 0, fixed: encoder.bytes() as u64, encoder })
    }

    /// Builds what [`Model::call`] sends. Apart from it, since it borrows the history and must not wait.
    pub(crate) fn prepare(&self, messages: &[Message], view: &View, ask: &Ask) -> Prepared {
        let config = self.config.at(ask.model);
        let mut current = self.encoder.borrow_mut();
        // A constraint would begin anew where words are gone on with.
        let loose = self.output.is_some() && (ask.loose || ask.said.is_some());
        let (model, which) = (ask.model, (ask.model, loose));
        let known = |standing: &Standing| standing.which == which && standing.compacted == view.count();
        let fits = current.as_ref().is_some_and(known);
        if self.unsure.replace(false) || !fits {
            let found = self.found(model, view.shown(messages).map(|(_, message)| message));
            if !fits || current.as_ref().is_some_and(|standing| *standing.encoder.found() != found) {
                *current = self.standing(which, &self.tools.borrow(), view.count(), found);
            }
        }
        let plain = *ask == (Ask { model, loose: ask.loose, ..Ask::default() });
        if let (true, Some(Standing { next, encoder, .. })) = (plain, &mut *current) {
            // All but the first message shown stand for themselves.
            let push = |(_, message): (usize, Cow<'_, Message>)| encoder.push(&message);
            match *next {
                0 => view.shown(messages).for_each(push),
                from => view.after(messages, from).for_each(push),
            }
            *next = messages.len();
            let asked = match self.counted {
                None => encoder.ask(&mut self.threads.borrow_mut(), config),
                Some(_) => None,
            };
            let request = asked.as_ref().and_then(|asked| encoder.request_in(asked));
            let late = !encoder.found().is_empty();
            return Prepared { model, way: Way::Request(request.unwrap_or_else(|| encoder.request())), asked, late };
        }
        let shown: Vec<Message> = view.shown(messages).map(|(_, message)| message.into_owned()).collect();
        let (standing, rest) = ask.messages(&shown);
        let said = shown[..standing].iter().chain(&rest);
        let Some(Standing { encoder, .. }) = &mut *current else {
            let said: Vec<Message> = said.cloned().collect();
            let text = offline_wire::request(self.system.as_deref(), &said, &self.foreign());
            return Prepared { model, way: Way::Embedded(text), asked: None, late: false };
        };
        let mut once = encoder.anew(config);
        said.for_each(|message| once.push(message));
        if let (true, Some(said)) = (ask.prefill, &ask.said) {
            once.push_said(said);
        }
        let late = !once.found().is_empty();
        Prepared { model, way: Way::Request(once.request()), asked: None, late }
    }

    /// What asks a model, with those messages alone, for something that the user did not want; `None` for the embedded model.
    pub(crate) fn prepare_aside(&self, model: usize, shown: &[Message], words: &str) -> Option<Prepared> {
        let found = self.found(model, shown.iter().map(Cow::Borrowed));
        let late = !found.is_empty();
        let mut encoder = self.encoder_of((model, true), &self.tools.borrow(), found)?;
        let mut words = Message::user(words);
        let (last, before) = shown.split_last()?;
        before.iter().for_each(|message| encoder.push(message));
        if last.role == Role::User {
            // Not a message of its own: some providers refuse two of the user in a row.
            let gap = if last.has_results() { "" } else { "\n\n" };
            let text = [gap, &words.text()].concat();
            words.content = last.content.clone();
            words.content.push(Block::Text { text });
        } else {
            encoder.push(last);
        }
        encoder.push(&words);
        Some(Prepared { model, way: Way::Request(encoder.request()), asked: None, late })
    }

    /// Asks, and reports deltas and the end to `run`.
    pub(crate) async fn call<P: Platform>(&self, platform: &P, prepared: Prepared, run: &RunHandle, cancel: &Cancel) {
        let config = self.config.at(prepared.model);
        let request = match prepared.way {
            Way::Request(request) => request,
            Way::Embedded(request) => {
                return match self.embedded(platform, request, cancel).await {
                    Ok(deltas) => {
                        run.push(Fact::Deltas(deltas));
                        run.push(Fact::ModelEnded);
                    }
                    Err(error) => run.push(Fact::ModelFailed(error)),
                };
            }
        };
        let what = label(config);
        let request = match config.provider {
            Provider::Browser => self.worded(platform, request, &what, cancel).await,
            _ => Ok(request),
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => return run.push(Fact::ModelFailed(error)),
        };
        let line = Line { platform, config, what: &what, run, cancel };
        let answer = self.answer(&line, request, prepared.asked, prepared.late);
        // A stream that goes on and on restarts the idle timeout with every byte.
        let answer = match within(platform, self.longest, cancel, answer).await {
            Ok(answer) => answer,
            Err(Stop::Cancelled) => Err(Error::cancelled(&what)),
            Err(Stop::TimedOut) => {
                let limit = self.longest.0.to_string();
                let message = [&what, ": still not done after ", &limit, " ms (limits.turnMaxMs)"].concat();
                Err(Error::new(Code::Timeout, message))
            }
        };
        match answer {
            Ok(mut body) => {
                run.push(Fact::ModelEnded);
                // The answer is complete; what follows is only the end of the stream, also after the end of the run.
                let rest = async { while let Some(Ok(_)) = body.chunk().await {} };
                let _ = within(platform, LINGER, &Cancel::new(), rest).await;
            }
            Err(error) => run.push(match overflow::told(&error) {
                Some(Overflow { window, asked }) => {
                    let room = window.map(|window| beside_answer(config, window));
                    Fact::TooLong { error, room, tokens: asked }
                }
                None => Fact::ModelFailed(error),
            }),
        }
    }

    /// The request in the words of the browser's own model.
    async fn worded<P: Platform>(
        &self,
        platform: &P,
        mut request: Request,
        what: &str,
        cancel: &Cancel,
    ) -> Result<Request> {
        let asked = platform.call_part(Part::Prompt, request.body.take().unwrap_or_default());
        let words = within(platform, self.idle, cancel, asked).await.map_err(|stop| self.stopped(stop, what))?;
        let words = words.map_err(|why| Error::new(Code::Network, [what, ": ", &why].concat()).retry(Retry::Backoff));
        request.body = Some(words?);
        Ok(request)
    }

    async fn embedded<P: Platform>(&self, platform: &P, request: String, cancel: &Cancel) -> Result<Vec<Delta>> {
        const WHAT: &str = "the offline model";
        let answer = within(platform, self.idle, cancel, platform.call_part(Part::Offline, request)).await;
        let text = answer.map_err(|stop| self.stopped(stop, WHAT))?.map_err(|words| {
            // It could not be loaded: as good as a model that does not answer.
            Error::new(Code::Network, [WHAT, ": ", &words].concat()).retry(Retry::Backoff)
        })?;
        offline_wire::deltas(&text).ok_or_else(|| Error::new(Code::Protocol, [WHAT, ": gave no answer"].concat()))
    }

    /// Asks, and asks in another way where a thread, or tools behind results, are refused: the run need not know of either.
    async fn answer<P: Platform>(
        &self,
        line: &Line<'_, P>,
        mut request: Request,
        mut asked: Option<Asked>,
        behind: bool,
    ) -> Result<P::Body> {
        let (mut late, mut refused) = (behind, false);
        loop {
            let mut heard = asked.is_some().then(Heard::default);
            let instead = late.then(|| request.clone());
            let answer = self.stream(line, request, &mut heard).await;
            if let (Err(error), Some(sent)) = (&answer, instead)
                && found::refused(error, asked.is_some())
                && overflow::told(error).is_none()
                && let Some(another) = found::in_front(sent)
            {
                (late, refused, request) = (false, true, another);
                continue;
            }
            if refused && answer.is_ok() {
                self.threads.borrow_mut().note_in_front(line.config);
                self.unsure.set(true);
            }
            let (Some(asked), Some(Heard { turn, id })) = (&mut asked, heard) else { return answer };
            let error = match answer {
                Ok(body) => {
                    self.threads.borrow_mut().settle(asked, line.config, id, turn);
                    return Ok(body);
                }
                Err(error) => error,
            };
            let again = turn.is_empty() && self.threads.borrow_mut().refuse(asked, line.config, &error);
            let standing = self.encoder.borrow();
            match standing.as_ref().filter(|_| again).and_then(|standing| standing.encoder.request_in(asked)) {
                Some(another) => (late, refused, request) = (behind, false, another),
                None => return Err(error),
            }
        }
    }

    async fn stream<P: Platform>(
        &self,
        line: &Line<'_, P>,
        request: Request,
        heard: &mut Option<Heard>,
    ) -> Result<P::Body> {
        let Line { platform, config, what, run, cancel } = *line;
        let stopped = |stop: Stop| self.stopped(stop, what);
        let answer = within(platform, self.idle, cancel, platform.fetch(request)).await.map_err(stopped)?;
        let mut response = answer.map_err(|error| network(what, "no answer", error))?;
        let mut decoder = match self.counted {
            None => Decoder::new(config, &response.head),
            Some(_) => Decoder::counting(config, &response.head, what),
        };
        let mut deltas = Vec::new();
        loop {
            // A reader that went away never catches up.
            unless_cancelled(cancel, run.ready()).await.map_err(stopped)?;
            let chunk = within(platform, self.idle, cancel, response.body.chunk()).await.map_err(stopped)?;
            let fed = match chunk {
                Some(Ok(bytes)) => decoder.feed(&bytes, &mut deltas).map(|()| decoder.is_done()),
                Some(Err(error)) => Err(network(what, "the answer broke off", error)),
                None => decoder.finish(&mut deltas).map(|()| true),
            };
            // What was decoded before a failure was really said.
            if !deltas.is_empty() {
                for delta in &mut deltas {
                    if let Delta::Usage(usage) = delta {
                        usage.cost = config.prices.cost(usage);
                    }
                }
                if let Some(heard) = heard {
                    deltas.iter().for_each(|delta| heard.turn.apply(delta));
                }
                run.push(Fact::Deltas(std::mem::take(&mut deltas)));
            }
            if fed? {
                if let Some(heard) = heard {
                    heard.id = decoder.id();
                }
                return Ok(response.body);
            }
        }
    }

    fn stopped(&self, stop: Stop, what: &str) -> Error {
        match stop {
            Stop::Cancelled => Error::cancelled(what),
            Stop::TimedOut => {
                let message = format!("{what}: no sign of life for {} ms (limits.turnTimeoutMs)", self.idle.0);
                Error::new(Code::Timeout, message).retry(Retry::Backoff)
            }
        }
    }
}

/// How many tokens a request may be so that there is room for the answer; `None` where the window is not known.
pub(crate) fn room(config: &ModelConfig) -> Option<u64> {
    Some(beside_answer(config, config.context_window?))
}

/// The same for a window of that size.
fn beside_answer(config: &ModelConfig, window: u64) -> u64 {
    let answer = config.max_tokens.unwrap_or((window / 4).min(8192));
    // With an answer as long as the window nothing could be asked for at all.
    window.saturating_sub(answer).max(window / 10)
}

/// A model call that is ready to be made.
pub(crate) struct Prepared {
    model: usize,
    way: Way,
    /// The thread that it is part of.
    asked: Option<Asked>,
    /// Tools are told of behind the results that found them.
    late: bool,
}

/// Who asks which model, and who is told of it.
struct Line<'a, P: Platform> {
    platform: &'a P,
    config: &'a ModelConfig,
    what: &'a str,
    run: &'a RunHandle,
    cancel: &'a Cancel,
}

/// An answer that a thread may be gone on with behind.
#[derive(Default)]
struct Heard {
    turn: Turn,
    id: Option<String>,
}

/// Over the network, or to the embedded model.
enum Way {
    Request(Request),
    Embedded(String),
}

fn network(what: &str, happened: &str, error: NetworkError) -> Error {
    let mut result = Error::new(Code::Network, format!("{what}: {happened}: {}", error.message)).retry(Retry::Backoff);
    result.maybe_cors = error.maybe_cors;
    result
}
