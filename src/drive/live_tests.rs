use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde_json::{Value, json};

use super::*;
use crate::agent::config::{AgentConfig, RunOptions};
use crate::http::Request;
use crate::options::FunctionId;
use crate::sim::{Answer, AppAnswer, Peer, Server, SimPlatform, Step};

/// A modern server whose one resource changes at instants that are known beforehand.
#[derive(Default)]
struct Docs {
    /// When, in milliseconds of the clock, and what it is from then on; the first one from the beginning.
    contents: Vec<(u64, String)>,
    /// How long each stream lasts, first ones first; then they last.
    streams: Vec<u64>,
    /// When each stream began.
    began: Vec<u64>,
    /// Which readings fail, by number.
    fails: Vec<u32>,
    /// How long each reading takes.
    takes: u64,
    reads: u32,
    ttl: u64,
    deaf: bool,
}

impl Docs {
    fn now(&self, now: u64) -> &str {
        let found = self.contents.iter().rev().find(|(from, _)| *from <= now);
        found.map_or("", |(_, text)| text.as_str())
    }

    fn stream(&mut self, id: &Value, wanted: &Value, now: u64) -> Answer {
        let notice = |method: &str, params: Value| {
            let text = json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string();
            Step::Bytes(format!("data: {text}\n\n").into_bytes())
        };
        self.began.push(now);
        let meta = json!({ "io.modelcontextprotocol/subscriptionId": id });
        let mut steps = vec![
            Step::Wait(Millis(30)),
            notice("notifications/subscriptions/acknowledged", json!({ "_meta": meta, "notifications": wanted })),
        ];
        let end = if self.streams.is_empty() { u64::MAX } else { now + self.streams.remove(0) };
        let mut at = now + 30;
        for (from, _) in self.contents.iter().filter(|(from, _)| *from > now + 30 && *from < end) {
            steps.push(Step::Wait(Millis(from - at)));
            at = *from;
            steps.push(notice("notifications/resources/updated", json!({ "_meta": meta, "uri": "docs://rain" })));
        }
        match end {
            u64::MAX => steps.push(Step::Hang),
            end => steps.push(Step::Wait(Millis(end.saturating_sub(at)))),
        }
        Answer::events(steps)
    }
}

impl Server for Docs {
    fn answer(&mut self, request: &Request, peer: &mut Peer<'_>) -> Answer {
        let message: Value = serde_json::from_slice(request.body.as_deref().unwrap_or_default().as_bytes()).unwrap();
        let params = &message["params"];
        let mut result = match message["method"].as_str().unwrap() {
            "server/discover" => json!({
                "supportedVersions": ["2026-07-28"], "capabilities": { "resources": { "subscribe": !self.deaf } },
            }),
            "tools/list" => json!({ "tools": [] }),
            "subscriptions/listen" => {
                return self.stream(&message["id"], &params["notifications"], peer.now.0);
            }
            "resources/list" => json!({ "resources": [{ "uri": "docs://rain", "name": "rain" }] }),
            "resources/templates/list" => json!({ "resourceTemplates": [] }),
            _ => {
                self.reads += 1;
                if self.fails.contains(&self.reads) {
                    return Answer::text(500, "", "").after(Millis(self.takes));
                }
                json!({ "contents": [{ "uri": params["uri"], "text": self.now(peer.now.0) }] })
            }
        };
        result["resultType"] = json!("complete");
        result["ttlMs"] = json!(self.ttl);
        Answer::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })).after(Millis(self.takes))
    }
}

/// When the server's clock begins.
const EPOCH: u64 = 0;

fn agent(sim: &SimPlatform, docs: Docs, more: Value) -> (Agent<SimPlatform>, Rc<RefCell<Docs>>) {
    let docs = sim.host("https://docs.test", docs);
    let mut options = json!({
        "model": { "provider": "offline" }, "servers": [{ "name": "docs", "url": "https://docs.test/mcp" }],
    });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    (Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap()), docs)
}

fn contents(texts: &[(u64, &str)]) -> Vec<(u64, String)> {
    texts.iter().map(|(at, text)| (EPOCH + at, (*text).to_owned())).collect()
}

/// Subscribes, watches for so long, and gives what was told.
fn watch(sim: &SimPlatform, agent: &Agent<SimPlatform>, millis: u64) -> Vec<Value> {
    let told = Rc::new(RefCell::new(Vec::new()));
    let cancel = Cancel::new();
    sim.block_on(agent.subscribe("c", "docs", "docs://rain", &Cancel::new())).unwrap().unwrap();
    let (watched, noted, over) = (agent.clone(), told.clone(), cancel.clone());
    sim.spawn("changes", async move {
        let failed = watched.changes("c", &over, &|change| noted.borrow_mut().push(change)).await.unwrap_err();
        assert_eq!(failed.code, Code::Cancelled);
    });
    sim.block_on(sim.sleep(Millis(millis))).unwrap();
    cancel.cancel();
    sim.block_on(agent.close()).unwrap();
    sim.block_on(sim.sleep(Millis(10))).unwrap();
    assert_eq!(sim.leftovers(), "", "{}", sim.report());
    told.take()
}

/// What an app that reads the changes believes is there, beginning with what it read itself.
fn believed(first: &str, told: &[Value]) -> String {
    let Some(last) = told.last() else { return first.to_owned() };
    if last["same"] == true {
        return first.to_owned();
    }
    let difference = last["difference"].as_str().unwrap();
    difference.lines().find_map(|line| line.strip_prefix("+ ")).unwrap().to_owned()
}

#[test]
fn no_update_is_lost_whatever_the_connection_does() {
    for seed in 0..300 {
        let sim = SimPlatform::new(seed);
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut at = 0;
        let mut all = vec![(EPOCH, "value 0".to_owned())];
        for _ in 0..next(12) {
            at += 1 + if next(3) == 0 { next(200) } else { next(15_000) };
            all.push((EPOCH + at, format!("value {}", next(4))));
        }
        let streams = (0..next(5)).map(|_| next(30_000)).collect();
        let fails = (0..next(4)).map(|_| 2 + next(8) as u32).collect();
        let docs = Docs { contents: all.clone(), streams, fails, takes: next(3_000), ..Docs::default() };
        let (agent, docs) = agent(&sim, docs, json!({}));
        let told = watch(&sim, &agent, at + 400_000);
        // What was read when it was subscribed to is where it began.
        let known = agent_base(&sim);
        assert_eq!(believed(&known, &told), all.last().unwrap().1, "seed {seed}: {told:?}");
        assert!(docs.borrow().reads <= 60, "seed {seed}");
    }
}

#[test]
fn what_changes_between_two_streams_is_found_by_comparing() {
    let mut between = 0;
    for at in (4_900..7_000).step_by(50) {
        let sim = SimPlatform::new(at);
        let docs = Docs { contents: contents(&[(0, "a"), (at, "b")]), streams: vec![5_000], ..Docs::default() };
        let (agent, docs) = agent(&sim, docs, json!({}));
        let told = watch(&sim, &agent, 60_000);
        assert_eq!(told.len(), 1, "{at}: {told:?}");
        assert_eq!((&told[0]["difference"], told[0]["same"].as_bool()), (&json!("- a\n+ b\n"), Some(false)), "{at}");
        let began = &docs.borrow().began;
        between += usize::from(at >= began[0] + 5_000 && at <= began[1] + 30);
    }
    assert!(between > 5, "hardly ever between two streams: {between}");
}

/// What is stored as read first.
fn agent_base(sim: &SimPlatform) -> String {
    let place = key(&["c", "live", "docs docs://rain"]);
    let bytes = sim.block_on(sim.load(Space::Conversations, &place)).unwrap().unwrap();
    serde_json::from_slice::<Value>(&bytes).unwrap()["text"].as_str().unwrap().to_owned()
}

#[test]
fn a_flapping_resource_floods_nobody() {
    let sim = SimPlatform::new(1);
    let texts = (0..6_000).map(|number| (EPOCH + 1_000 + 20 * number, format!("value {number}"))).collect();
    let (agent, docs) = agent(&sim, Docs { contents: texts, ..Docs::default() }, json!({}));
    let told = watch(&sim, &agent, 400_000);
    assert!(docs.borrow().reads <= 12 && told.len() <= 10, "{} {}", docs.borrow().reads, told.len());
    assert_eq!(told.last().unwrap()["difference"].as_str().unwrap().lines().last(), Some("+ value 5999"));
}

#[test]
fn who_cannot_tell_is_not_subscribed_to() {
    let sim = SimPlatform::new(2);
    let (agent, _) = agent(&sim, Docs { deaf: true, ..Docs::default() }, json!({}));
    let subscribe = |conversation: &str, server: &str| {
        sim.block_on(agent.subscribe(conversation, server, "docs://rain", &Cancel::new())).unwrap().unwrap_err().code
    };
    assert_eq!((subscribe("c", "docs"), subscribe("c", "none")), (Code::Misuse, Code::Misuse));
    assert_eq!(subscribe("", "docs"), Code::Config);
}

#[test]
fn what_is_followed_is_listed_and_can_be_given_up() {
    let sim = SimPlatform::new(3);
    let (agent, _) = agent(&sim, Docs { contents: contents(&[(0, "a"), (9_000, "b")]), ..Docs::default() }, json!({}));
    let list = || sim.block_on(agent.subscriptions("c")).unwrap().unwrap();
    assert_eq!(list(), json!([]));
    let told = Rc::new(Cell::new(0));
    let (watched, noted) = (agent.clone(), told.clone());
    sim.spawn("changes", async move {
        let _ = watched.changes("c", &Cancel::new(), &|_| noted.set(noted.get() + 1)).await;
    });
    // Who watches already is told of what is subscribed to later.
    sim.block_on(agent.subscribe("c", "docs", "docs://rain", &Cancel::new())).unwrap().unwrap();
    assert_eq!(list(), json!([{ "server": "docs", "uri": "docs://rain", "asked": true }]));
    sim.block_on(sim.sleep(Millis(20_000))).unwrap();
    assert_eq!(told.get(), 1);
    let given_up = || sim.block_on(agent.unsubscribe("c", "docs", "docs://rain")).unwrap().unwrap();
    assert_eq!((given_up(), given_up(), list()), (true, false, json!([])));
}

/// Says something in a conversation and gives the run's events.
fn send(sim: &SimPlatform, agent: &Agent<SimPlatform>, prompt: &str) -> Vec<Value> {
    let (handle, driven) = agent.send(Some("c"), prompt.into(), RunOptions::default()).unwrap();
    sim.spawn("run", driven);
    sim.block_on(handle.all_events()).unwrap()
}

fn of_type<'a>(events: &'a [Value], wanted: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == wanted).collect()
}

#[test]
fn what_changed_between_two_prompts_is_told_with_the_second() {
    let sim = SimPlatform::new(4);
    let docs = Docs {
        contents: contents(&[(0, "# Oslo\nIt rains.\n"), (60_000, "# Oslo\nThe sun shines.\n")]),
        ttl: 1,
        ..Docs::default()
    };
    let (agent, _) = agent(&sim, docs, json!({ "context": { "embed": false } }));
    let first = send(&sim, &agent, "Does it rain?");
    assert_eq!((of_type(&first, "context").len(), of_type(&first, "context_changed").len()), (1, 0));
    sim.block_on(sim.sleep(Millis(100_000))).unwrap();
    // Nothing of the resource is about this, so only the comparison finds it.
    let second = send(&sim, &agent, "Thank you!");
    let changed = of_type(&second, "context_changed");
    assert_eq!(changed.len(), 1, "{second:?}");
    assert_eq!(
        (&changed[0]["difference"], &changed[0]["cited"]),
        (&json!("@ # Oslo\n- It rains.\n+ The sun shines.\n"), &json!(true))
    );
    let prompt = &second.last().unwrap()["messages"][0]["content"];
    let texts: Vec<&str> = prompt.as_array().unwrap().iter().map(|block| block["text"].as_str().unwrap()).collect();
    assert!(texts[0].starts_with("<context>\nA source") && texts[0].contains("+ The sun shines."), "{texts:?}");
    assert_eq!(texts.last(), Some(&"Thank you!"));
    let third = send(&sim, &agent, "Thank you again!");
    assert_eq!(of_type(&third, "context_changed").len(), 0, "it was told: {third:?}");
    sim.block_on(agent.close()).unwrap();
    assert_eq!(sim.leftovers(), "");
}

#[test]
fn a_change_while_a_tool_is_at_work_reaches_the_next_turn() {
    let sim = SimPlatform::new(5);
    sim.function(FunctionId(1), |_, _| AppAnswer::value(Millis(20_000), json!("done")));
    let tool = json!({ "name": "forecast", "description": "Weather forecast", "execute": { "$function": 1 } });
    let docs = Docs { contents: contents(&[(0, "Nothing."), (10_000, "Something.")]), ..Docs::default() };
    let (agent, _) = agent(&sim, docs, json!({ "tools": [tool], "approval": "never" }));
    sim.block_on(agent.subscribe("c", "docs", "docs://rain", &Cancel::new())).unwrap().unwrap();
    let events = send(&sim, &agent, "What is the weather forecast?");
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let place = |wanted: &str| types.iter().position(|found| *found == wanted).unwrap();
    assert!(
        place("tool_call") < place("context_changed") && place("context_changed") < place("tool_result"),
        "{types:?}"
    );
    let messages = events.last().unwrap()["messages"].as_array().unwrap();
    let results = messages.iter().find(|message| message["content"][0]["type"] == "tool_result").unwrap();
    // It was shown nothing of it before, so it is shown all of it.
    assert!(results["content"][1]["text"].as_str().unwrap().contains("It is now:\nSomething.\n"), "{results}");
    sim.block_on(agent.close()).unwrap();
    assert_eq!(sim.leftovers(), "");
}

#[test]
fn a_change_of_a_private_source_is_held_from_the_moment_the_model_is_shown_it() {
    let annotations = json!({ "readOnlyHint": true, "openWorldHint": true });
    let tool = json!({
        "name": "forecast", "description": "Weather forecast", "execute": { "$function": 1 }, "annotations": annotations,
    });
    let named = json!({ "name": "docs", "url": "https://docs.test/mcp", "labels": ["private"] });
    let prefixed = json!({ "name": "docs", "url": "https://docs.test/mcp", "privateResources": ["docs://ra"] });
    for server in [named, prefixed] {
        let sim = SimPlatform::new(5);
        sim.function(FunctionId(1), |_, _| AppAnswer::value(Millis(5), json!("done")));
        let docs = Docs { contents: contents(&[(0, "Nothing."), (1_000, "Something.")]), ..Docs::default() };
        let options = json!({ "tools": [tool], "approval": "never", "servers": [server] });
        let (agent, _) = agent(&sim, docs, options);
        sim.block_on(agent.subscribe("c", "docs", "docs://rain", &Cancel::new())).unwrap().unwrap();
        sim.block_on(sim.sleep(Millis(2_000))).unwrap();
        let events = send(&sim, &agent, "What is the weather forecast?");
        assert_eq!(of_type(&events, "context_changed").len(), 1, "{events:?}");
        let result = of_type(&events, "tool_result")[0];
        assert_eq!(result["outcome"], "denied", "{result}");
        let why = result["content"][0]["text"].as_str().unwrap();
        assert!(why.contains("private data of docs may leave through forecast"), "{why}");
        sim.block_on(agent.close()).unwrap();
    }
}

#[test]
fn cancel_at_any_instant_leaves_nothing_open_and_loses_no_update() {
    for poll in 1..150 {
        let sim = SimPlatform::new(poll);
        let docs = Docs { contents: contents(&[(0, "It rains."), (3_000, "It snows.")]), takes: 40, ..Docs::default() };
        let (agent, _) = agent(&sim, docs, json!({ "context": { "embed": false } }));
        send(&sim, &agent, "Does it rain?");
        sim.block_on(sim.sleep(Millis(5_000))).unwrap();
        let (handle, driven) = agent.send(Some("c"), "Thank you!".into(), RunOptions::default()).unwrap();
        sim.spawn("run", driven);
        let polls = sim.polls();
        let later = handle.clone();
        sim.at_poll(polls + poll, move || later.cancel());
        let end: Value = serde_json::from_str(&sim.block_on(handle.terminal()).unwrap()).unwrap();
        let third = send(&sim, &agent, "Thank you again!");
        let kept = sim.block_on(agent.messages("c")).unwrap().unwrap();
        // Of what the cancelled run was shown nothing is in the history, or it is there once.
        let times = json!(kept).to_string().matches("<source change").count();
        assert_eq!(times, 1, "poll {poll}: {end} {third:?}");
        sim.block_on(agent.close()).unwrap();
        assert_eq!(sim.leftovers(), "", "{}", sim.report());
    }
}
