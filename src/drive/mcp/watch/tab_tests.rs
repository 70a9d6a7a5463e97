//! Several tabs of one browser that watch the same server.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;

use futures_util::future::{Either, join, join_all, select};
use serde_json::{Value, json};

use super::tests::{ORIGIN, Told, changed, filter, short, wait};
use crate::drive::mcp::Connection;
use crate::drive::wait::Cancel;
use crate::mcp::config::ServerConfig;
use crate::mcp::era::Era;
use crate::mcp::listen::Change;
use crate::platform::Platform;
use crate::sim::{SimPlatform, Step};
use crate::time::Millis;

struct Browser {
    sim: SimPlatform,
    server: Rc<RefCell<Told>>,
}

/// How a tab ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Cancels,
    Dies,
}

/// What a tab was told, and when.
type Log = Vec<(u64, String)>;

impl Browser {
    fn new(seed: u64, era: Era, changes: &[u64]) -> Browser {
        let sim = SimPlatform::new(seed);
        let server = sim.host(ORIGIN, Told::new(era, vec![]));
        server.borrow_mut().changes = changes.to_vec();
        Browser { sim, server }
    }

    /// A tab that watches from one instant to another.
    async fn tab(&self, wanted: Value, token: &str, from: u64, to: u64, end: End) -> Log {
        let tab = self.sim.tab();
        let options = json!({ "name": "calc", "url": "https://calc.test/mcp", "headers": { "authorization": token } });
        let config = ServerConfig::read(&options, "servers[0]").unwrap();
        let connection = Connection::new(Rc::new(tab.clone()), config);
        self.sim.sleep(Millis(from + 1)).await;
        let (cancel, log) = (Cancel::new(), RefCell::new(Log::new()));
        let mut on_change = |change: Change| log.borrow_mut().push((self.sim.elapsed().0, short(&change)));
        let mut watch: Pin<Box<_>> = Box::pin(connection.watch(filter(wanted), &cancel, &mut on_change));
        let until = Box::pin(self.sim.sleep(Millis(to - from)));
        if let Either::Left((outcome, _)) = select(watch.as_mut(), until).await {
            panic!("a watch ended by itself: {outcome:?}\n{}", self.sim.report());
        }
        match end {
            End::Dies => tab.kill(),
            End::Cancels => {
                cancel.cancel();
                watch.as_mut().await.unwrap_err();
            }
        }
        drop(watch);
        log.into_inner()
    }

    /// Streams that are open now.
    fn open(&self) -> usize {
        self.server.borrow().opened.len() - self.server.borrow().aborted as usize
    }
}

fn names(log: &Log) -> Vec<&str> {
    log.iter().map(|(_, name)| name.as_str().split(' ').next().unwrap()).collect()
}

#[test]
fn one_stream_tells_all_tabs_what_each_wants() {
    for era in [Era::Modern, Era::Legacy] {
        let browser = Browser::new(1, era, &[9_000, 12_000]);
        let tools = || json!({ "tools": true });
        let (logs, ()) = browser.sim.run(join(
            join_all([
                browser.tab(tools(), "", 0, 20_000, End::Cancels),
                browser.tab(tools(), "", 100, 20_000, End::Cancels),
                browser.tab(json!({ "uris": ["r:1"] }), "", 200, 20_000, End::Cancels),
            ]),
            async {
                browser.sim.sleep(Millis(10_000)).await;
                assert_eq!(browser.open(), 1, "{era:?}\n{}", browser.sim.report());
            },
        ));
        for log in &logs[..2] {
            assert_eq!(names(log), ["watching", "tools_changed", "tools_changed"], "{era:?}\n{}", browser.sim.report());
        }
        assert_eq!(names(&logs[2]), ["watching"]);
        if era == Era::Legacy {
            let seen = browser.server.borrow().seen.clone();
            assert_eq!(seen.iter().filter(|call| *call == "resources/subscribe r:1").count(), 1, "{seen:?}");
        }
    }
}

#[test]
fn whoever_is_next_listens_when_the_one_at_it_goes_or_is_killed() {
    for end in [End::Cancels, End::Dies] {
        for era in [Era::Modern, Era::Legacy] {
            let browser = Browser::new(2, era, &[9_000, 15_000]);
            let tab = |from, to, end| browser.tab(json!({ "tools": true }), "", from, to, end);
            let logs = browser.sim.run(join_all([
                tab(0, 12_000, end),
                tab(100, 20_000, End::Cancels),
                tab(200, 19_000, End::Cancels),
            ]));
            assert_eq!(names(&logs[0]), ["watching", "tools_changed"]);
            for log in &logs[1..] {
                let told = ["watching", "tools_changed", "gap", "tools_changed"];
                assert_eq!(names(log), told, "{era:?} {end:?}\n{}", browser.sim.report());
                assert!(log[2].0 < 16_000 && log[2].0 >= 12_000, "{log:?}");
            }
            assert_eq!(browser.server.borrow().opened.len(), 2);
        }
    }
}

#[test]
fn a_stream_that_breaks_is_a_gap_for_every_tab() {
    for era in [Era::Modern, Era::Legacy] {
        let browser = Browser::new(5, era, &[9_000]);
        browser.server.borrow_mut().streams = vec![vec![wait(4_000), changed("tools"), Step::Reset]];
        let tab = |from, to| browser.tab(json!({ "tools": true }), "", from, to, End::Cancels);
        let logs = browser.sim.run(join_all([tab(0, 20_000), tab(100, 19_000), tab(200, 18_000)]));
        for log in &logs {
            let told = ["watching", "tools_changed", "gap", "tools_changed"];
            assert_eq!(names(log), told, "{era:?}\n{}", browser.sim.report());
        }
        assert_eq!(browser.server.borrow().opened.len(), 2);
    }
}

#[test]
fn principals_share_nothing_and_neither_do_tabs_that_cannot_hear_each_other() {
    let browser = Browser::new(3, Era::Modern, &[9_000]);
    let tab = |token| browser.tab(json!({ "tools": true }), token, 0, 20_000, End::Cancels);
    let logs = browser.sim.run(join(tab("Bearer a"), tab("Bearer b")));
    assert_eq!(
        (names(&logs.0), names(&logs.1)),
        (vec!["watching", "tools_changed"], vec!["watching", "tools_changed"])
    );
    assert_eq!(browser.server.borrow().opened.len(), 2);

    let browser = Browser::new(3, Era::Modern, &[9_000]);
    browser.sim.set_alone(true);
    let tab = || browser.tab(json!({ "tools": true }), "", 0, 20_000, End::Cancels);
    let logs = browser.sim.run(join(tab(), tab()));
    assert_eq!(
        (names(&logs.0), names(&logs.1)),
        (vec!["watching", "tools_changed"], vec!["watching", "tools_changed"])
    );
    assert_eq!(browser.server.borrow().opened.len(), 2);
}

#[test]
fn the_dead_are_not_listened_for() {
    // The second tab is killed; what it alone wanted is not asked for when the stream is opened anew.
    let browser = Browser::new(4, Era::Modern, &[]);
    browser.sim.run(join_all([
        browser.tab(json!({ "tools": true }), "", 0, 30_000, End::Cancels),
        browser.tab(json!({ "uris": ["r:1"] }), "", 100, 10_000, End::Dies),
        browser.tab(json!({ "uris": ["r:2"] }), "", 15_000, 25_000, End::Cancels),
    ]));
    let opened = browser.server.borrow().opened.last().unwrap().1.clone();
    assert_eq!(
        opened,
        json!({ "toolsListChanged": true, "resourceSubscriptions": ["r:2"] }),
        "{}",
        browser.sim.report()
    );
}

/// Tabs come, go and are killed at random: none of those that are there misses a change.
#[test]
fn no_change_is_lost_whoever_comes_and_goes() {
    const END: u64 = 60_000;
    let changes: Vec<u64> = (1..19).map(|n| n * 3_000 + 7).collect();
    for seed in 0..600 {
        let era = if seed % 3 == 2 { Era::Legacy } else { Era::Modern };
        let browser = Browser::new(seed, era, &changes);
        let draw = |most: u64| browser.sim.random() % most;
        let plans: Vec<(u64, u64, End)> = (0..2 + draw(4))
            .map(|_| {
                let from = draw(END / 2);
                (from, from + 1 + draw(END - from), [End::Cancels, End::Dies][draw(2) as usize])
            })
            .collect();
        let tabs = plans.iter().map(|(from, to, end)| browser.tab(json!({ "tools": true }), "", *from, *to, *end));
        let logs = browser.sim.run(join_all(tabs));
        for ((from, to, _), log) in plans.iter().zip(&logs) {
            for change in &changes {
                // Once it watches, it is told soon, of the change or that something may have changed.
                let soon = change + 2_900;
                if log.first().is_some_and(|(begun, _)| begun < change) && soon < *to {
                    let told = log.iter().any(|(at, _)| (*change..=soon).contains(at));
                    assert!(
                        told,
                        "seed {seed}: the tab of {from} was not told of {change}: {log:?}\n{}",
                        browser.sim.report()
                    );
                }
            }
        }
        let opened = browser.server.borrow().opened.len();
        assert!(
            opened <= plans.len() + 1,
            "seed {seed}: {opened} streams for {} tabs\n{}",
            plans.len(),
            browser.sim.report()
        );
    }
}
