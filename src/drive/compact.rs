//! Makes less of a history that fills the model's window: asks the part that knows what is to go, and has the model summarise.

use serde_json::Value;

use crate::agent::fact::{Compacted, Fact, Squeeze};
use crate::agent::policy::retry_delay;
use crate::agent::run::Run;
use crate::drive::agent::Agent;
use crate::drive::handle::RunHandle;
use crate::drive::model::Model;
use crate::drive::wait::{Cancel, unless_cancelled};
use crate::error::{Code, Error, Result, Retry};
use crate::json;
use crate::llm::turn::Turn;
use crate::llm::types::{Block, Message, Usage};
use crate::platform::{Part, Platform};

/// Most tries of a summary, the first included.
const TRIES: u32 = 2;

/// About how many tokens are shown of a result that is kept under a handle.
const SHOWN: usize = 200;

/// A history as the model sees it, and what is to be done with it.
pub(crate) struct Work {
    squeeze: Squeeze,
    /// The place in the history that each message stands for.
    places: Vec<usize>,
    shown: Vec<Message>,
    /// How long the history is.
    len: usize,
}

impl Work {
    pub(crate) fn of(squeeze: Squeeze, run: &Run) -> Work {
        let shown = run.view().shown(run.messages()).map(|(place, message)| (place, message.into_owned()));
        let (places, shown) = shown.unzip();
        Work { squeeze, places, shown, len: run.messages().len() }
    }

    /// The result of that call as it is shown, and the name of the tool.
    fn result(&self, id: &str) -> Option<(&str, &[Value])> {
        let blocks = || self.shown.iter().flat_map(|message| &message.content);
        let content = blocks().find_map(|block| match block {
            Block::ToolResult { tool_use_id, content, .. } if tool_use_id == id => Some(content.as_slice()),
            _ => None,
        })?;
        let name = blocks().find_map(|block| match block {
            Block::ToolUse { id: known, name, .. } if known == id => Some(name.as_str()),
            _ => None,
        });
        Some((name.unwrap_or("a tool"), content))
    }

    /// The request to the part, see [`crate::agent::compact::answer`].
    fn request(&self) -> String {
        let Squeeze { tokens, room, rate, unseen, .. } = self.squeeze;
        let unseen = self.places.iter().position(|place| *place >= unseen).unwrap_or(self.places.len());
        let messages = serde_json::to_vec(&self.shown).ok().and_then(|text| String::from_utf8(text).ok());
        let mut text = String::from("{\"messages\":");
        text.push_str(messages.as_deref().unwrap_or("[]"));
        let numbers =
            [("unseen", unseen as u64), ("tokens", tokens), ("limit", room), ("million", rate.chars(1_000_000))];
        for (name, number) in numbers {
            text.push_str(&[",\"", name, "\":", &number.to_string()].concat());
        }
        text.push('}');
        text
    }
}

/// Does it. `None` when the run is over.
pub(crate) async fn compact<P: Platform>(
    agent: &Agent<P>,
    model: &Model,
    over: &Cancel,
    work: Work,
) -> Option<Compacted> {
    let mut compacted = Compacted::default();
    let asked = agent.platform().call_part(Part::Compact, work.request());
    // Without the part, the model is asked with all of it.
    let Ok(orders) = unless_cancelled(over, asked).await.ok()? else { return Some(compacted) };
    let orders: Value = json::read(&orders).unwrap_or_default();
    let results = orders.get("results").and_then(Value::as_object).into_iter().flatten();
    compacted.results = results.filter_map(|(id, told)| Some((id.clone(), told.as_str()?.to_owned()))).collect();
    for id in orders.get("keep").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        let Some((from, content)) = work.result(id) else { continue };
        let (kept, _, handle) = agent.keep(content.to_vec(), None, from, SHOWN, over).await;
        let text = kept.first().and_then(|block| block.get("text")?.as_str());
        let place = compacted.results.iter_mut().find(|(known, _)| known == id);
        if let (Some(_), Some(text), Some((_, told))) = (handle, text, place) {
            text.clone_into(told);
        }
    }
    if over.is_cancelled() {
        return None;
    }
    if let Some(cut) = orders.get("cut").and_then(Value::as_u64) {
        let cut = cut as usize;
        let text = |name: &str| orders.get(name).and_then(Value::as_str).unwrap_or_default();
        let said = summarise(agent, model, over, &work, (cut, text("ask")), &mut compacted.usage).await;
        compacted.summary = match said {
            Ok(said) => Some([text("before"), said.trim(), text("after")].concat()),
            Err(error) if error.code == Code::Cancelled => return None,
            // What surely fits may be summarised the next time.
            Err(_) => (work.squeeze.tokens > work.squeeze.room / 10 * 9).then(|| text("without").to_owned()),
        };
        compacted.keeps = work.len - work.places.get(cut).copied().unwrap_or(work.len);
    }
    Some(compacted)
}

/// Has the model summarise the messages before `cut`.
async fn summarise<P: Platform>(
    agent: &Agent<P>,
    model: &Model,
    over: &Cancel,
    work: &Work,
    (cut, words): (usize, &str),
    usage: &mut Usage,
) -> Result<String> {
    let platform = &**agent.platform();
    let mut attempt = 1;
    loop {
        let nothing = || Error::new(Code::Provider, "the summary: the model gave none").retry(Retry::Backoff);
        let shown = &work.shown[..cut.min(work.shown.len())];
        let prepared = model.prepare_aside(work.squeeze.model, shown, words).ok_or_else(nothing)?;
        // Nobody is shown it as it comes.
        let aside = RunHandle::default();
        model.call(platform, prepared, &aside, over).await;
        let (mut turn, mut error) = (Turn::default(), None);
        while let Some(fact) = aside.take_fact() {
            match fact {
                Fact::Deltas(deltas) => deltas.iter().for_each(|delta| turn.apply(delta)),
                Fact::ModelFailed(failed) | Fact::TooLong { error: failed, .. } => error = Some(failed),
                _ => {}
            }
        }
        *usage += turn.usage();
        let said = turn.text();
        let error = match error {
            None if !said.trim().is_empty() => return Ok(said),
            None => nothing(),
            Some(error) => error,
        };
        attempt += 1;
        let Some(delay) = retry_delay(&error, attempt, TRIES, platform.random()) else { return Err(error) };
        unless_cancelled(over, platform.sleep(delay)).await.map_err(|_| Error::cancelled("the summary"))?;
    }
}
