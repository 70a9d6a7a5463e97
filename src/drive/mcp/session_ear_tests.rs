//! What a server says on the one stream of a session that several tabs share.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::future::{Either, join, join3, select};
use serde_json::{Value, json};

use super::session_tests::{ORIGIN, Strict};
use super::*;
use crate::options::FunctionId;
use crate::sim::{AppAnswer, SimPlatform};

struct Browser {
    sim: SimPlatform,
    server: Rc<RefCell<Strict>>,
}

impl Browser {
    fn new() -> Browser {
        let sim = SimPlatform::new(11);
        let server = sim.host(ORIGIN, Strict::default());
        Browser { sim, server }
    }

    /// A tab whose function says which one it is.
    fn tab(&self, number: u32, more: Value) -> Connection<SimPlatform> {
        self.sim.function(FunctionId(number), move |_, _| {
            AppAnswer::value(Millis(30), json!({ "action": "accept", "content": { "tab": number } }))
        });
        let mut options = json!({ "name": "calc", "url": "https://calc.test/mcp" });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Connection::new(Rc::new(self.sim.tab()), ServerConfig::read(&options, "servers[0]").unwrap())
    }

    fn asked(&self, number: u32) -> Connection<SimPlatform> {
        self.tab(number, json!({ "onInput": { "$function": number } }))
    }

    async fn until(&self, at: u64) {
        self.sim.sleep(Millis(at - self.sim.elapsed().0)).await;
    }

    /// A call that takes so long.
    async fn call(&self, connection: &Connection<SimPlatform>, wait: u64) {
        let (name, arguments) = (json!("echo"), json!({ "say": "x", "wait": wait }));
        let params = [("name", &name), ("arguments", &arguments)];
        let call = Call::new("tools/call", &params);
        connection.request(&call, Millis(60_000), &Cancel::new(), &mut |_| {}).await.unwrap();
    }

    /// Which tab answered which question.
    fn answered(&self) -> Vec<(usize, u64)> {
        let replies = &self.server.borrow().replies;
        replies.iter().map(|(number, result)| (*number, result["content"]["tab"].as_u64().unwrap())).collect()
    }
}

#[test]
fn what_is_asked_on_the_stream_is_answered_by_the_tab_whose_call_began_last() {
    let browser = Browser::new();
    browser.server.borrow_mut().asks = vec![4_000, 7_000, 10_000, 13_000];
    let (one, two) = (browser.asked(1), browser.asked(2));
    browser.sim.run(async {
        one.connect(&Cancel::new()).await.unwrap();
        two.connect(&Cancel::new()).await.unwrap();
        let leader = async {
            browser.until(6_000).await;
            browser.call(&one, 3_000).await;
        };
        let other = async {
            browser.until(3_000).await;
            // One ends before the second question, which belongs to the leader's call then.
            browser.call(&two, 2_000).await;
            browser.until(9_500).await;
            browser.call(&two, 2_000).await;
            browser.until(15_000).await;
            join(one.close(), two.close()).await;
        };
        let standing = join(one.stand_by(), async {
            browser.until(1_000).await;
            two.stand_by().await;
        });
        join3(standing, leader, other).await;
    });
    // With no call under way, whoever listens answers.
    assert_eq!(browser.answered(), [(0, 2), (1, 1), (2, 2), (3, 1)], "{}", browser.sim.report());
    assert_eq!(browser.server.borrow().sessions.len(), 1);
}

#[test]
fn when_the_tab_that_listens_is_killed_the_next_one_is_asked() {
    let browser = Browser::new();
    browser.server.borrow_mut().asks = vec![4_000, 9_000];
    let (one, two) = (browser.asked(1), browser.asked(2));
    browser.sim.run(async {
        one.connect(&Cancel::new()).await.unwrap();
        two.connect(&Cancel::new()).await.unwrap();
        let killed = async {
            let until = Box::pin(browser.until(6_000));
            let outcome = select(Box::pin(one.stand_by()), until).await;
            one.platform().kill();
            assert!(matches!(outcome, Either::Right(_)));
            drop(outcome);
            drop(one);
        };
        let other = async {
            browser.until(1_000).await;
            join(two.stand_by(), async {
                browser.until(8_000).await;
                browser.call(&two, 2_000).await;
                two.close().await;
            })
            .await;
        };
        join(killed, other).await;
    });
    assert_eq!(browser.answered(), [(0, 1), (1, 2)], "{}", browser.sim.report());
    assert_eq!((browser.server.borrow().sessions.len(), browser.sim.leftovers()), (1, String::new()));
}

#[test]
fn a_server_logs_for_the_tab_that_wants_most_and_each_hears_what_it_wants() {
    let browser = Browser::new();
    browser.server.borrow_mut().logs = vec![(4_000, "debug"), (5_000, "error")];
    let heard = Rc::new(RefCell::new(Vec::new()));
    let tab = |number: u32, level: &str| {
        let tab = browser.tab(number, json!({ "onLog": { "$function": number }, "logLevel": level }));
        let heard = heard.clone();
        browser.sim.function(FunctionId(number), move |entry, _| {
            heard.borrow_mut().push((number, entry["level"].clone()));
            AppAnswer::value(Millis(0), Value::Null)
        });
        tab
    };
    let (one, two, three) = (tab(1, "error"), tab(2, "debug"), tab(3, "warning"));
    browser.sim.run(async {
        for tab in [&one, &two, &three] {
            tab.tell_log_level(&Cancel::new()).await.unwrap();
        }
        let closing = async {
            browser.until(8_000).await;
            join3(one.close(), two.close(), three.close()).await;
        };
        join(join3(one.stand_by(), two.stand_by(), three.stand_by()), closing).await;
    });
    assert_eq!(browser.server.borrow().levels, ["error", "debug"], "the third one is content with that");
    let mut heard = heard.take();
    heard.sort_by_key(|(number, _)| *number);
    assert_eq!(heard, [(1, json!("error")), (2, json!("debug")), (2, json!("error")), (3, json!("error"))]);
}
