//! Tools of the story: one reads a number, one counts it up a while after it was called.

use edgewise::drive::wait::Cancel;
use serde_json::json;

use super::{Faults, Stage};

impl Stage {
    /// Now and then an app calls a tool, and may think better of it.
    pub(super) fn use_tools(&mut self) {
        let Some(calls) = &mut self.calls else { return };
        if !calls.chance(600) {
            return;
        }
        let (tab, index) = (self.tabs[calls.below(self.tabs.len())].clone(), calls.below(2));
        let library = self.libraries[index].clone();
        let (sim, wrong, cancel) = (self.sim.clone(), self.wrong.clone(), Cancel::new());
        let is_write = calls.chance(300);
        if is_write && calls.chance(500) {
            let late = cancel.clone();
            sim.at_poll(sim.polls() + calls.within(1..=300), move || late.cancel());
        }
        let failing = self.faults != Faults::default() || library.borrow().forgets > 0;
        // What a tab could not store, no other tab knows of.
        let sure = !self.disk;
        let of = tab.clone();
        let name = format!("s{index}.{}", if is_write { "count" } else { "look" });
        sim.note(format!("{} calls {name}", tab.name));
        tab.spawn("call", async move {
            let begun = sim.elapsed().0;
            let answer = of.agent.call_tool(&name, json!({}), &cancel, &mut |_| ()).await;
            let Ok(result) = answer else {
                if !failing && !cancel.is_cancelled() {
                    wrong.borrow_mut().push(format!("{}: {name} failed: {}", of.name, answer.unwrap_err()));
                }
                return;
            };
            if is_write {
                return;
            }
            let number = result.content[0]["text"].as_str().and_then(|text| text.parse::<u64>().ok());
            let floor = match result.cached {
                Some(age) if age.stale => 0,
                _ => library.borrow().count(begun),
            };
            let is_stale = result.cached.is_some_and(|age| age.stale);
            if sure && number < Some(floor) || is_stale && !failing {
                let words = format!("{}: {name} at {begun}: {number:?}, it was {floor}: {:?}", of.name, result.cached);
                wrong.borrow_mut().push(words);
            }
        });
    }
}
