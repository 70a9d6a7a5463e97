//! Where data may go: conversations at random, with plans, histories that outgrow the window, pages that are loaded anew, and
//! servers that are down or gone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use edgewise::agent::config::{AgentConfig, RunOptions};
use edgewise::drive::agent::Agent;
use edgewise::http::Request;
use edgewise::sim::{Answer, Era, Faults, Peer, Rng, ScriptedMcp, SimPlatform, ToolKind};
use serde_json::{Value, json};

use crate::laws::{broken, kind, texts};
use crate::model;

/// Names of the servers, and what they are labelled.
const SERVERS: [(&str, &[&str]); 4] =
    [("mail", &["private"]), ("health", &["private"]), ("web", &["untrusted"]), ("plain", &[])];

const PRIVATE: [&str; 2] = ["mail", "health"];

/// What the user said of a call that waited: yes or no, why it was asked for, and whether it is remembered.
type Said = BTreeMap<String, (bool, String, Option<bool>)>;

/// What somebody has allowed for all calls that are alike: the tool, the arguments or any, and the reason that was given.
type Allowed = (String, Option<Value>, String);

/// What a conversation holds, recomputed from the events alone.
#[derive(Default)]
struct Held {
    /// Whoever goes by the labels knows of them.
    surely: BTreeSet<String>,
    /// A history does not tell calls that were denied, or of plans that were refused, from others.
    perhaps: BTreeSet<String>,
}

/// The server that a tool is of, by any name that a model may use for it.
fn server_of(name: &str) -> &str {
    name.split(['.', '_']).next().unwrap_or("")
}

/// Notes and whatever is on the web reach beyond their server; what echoes or fails does not.
fn is_outside(name: &str) -> bool {
    server_of(name) == "web" || name.ends_with("note")
}

/// One call at random: a tool and its arguments.
fn draw(rng: &mut Rng) -> (&'static str, &'static str, Value) {
    let (server, _) = SERVERS[rng.below(4)];
    let tool = rng.pick(&["fail", "echo_text", "note", "note"]);
    let input = if tool == "fail" { json!({}) } else { json!({ "text": rng.below(3).to_string(), "key": "k" }) };
    (server, tool, input)
}

/// A plan of up to three calls.
fn draw_plan(rng: &mut Rng) -> Value {
    let mut steps = Vec::new();
    for place in 0..rng.within(1..=3) {
        let (server, tool, input) = draw(rng);
        let between = rng.pick(&[".", "__"]);
        let tool = format!("{server}{between}{tool}");
        let mut step = json!({ "id": format!("p{place}"), "tool": tool, "input": input, "onError": "skip" });
        if place > 0 && rng.chance(500) {
            step["dependsOn"] = json!([format!("p{}", place - 1)]);
        }
        steps.push(step);
    }
    json!({ "steps": steps, "return": "done" })
}

/// What breaks the law in the events of one run. `seen` counts how often each side of it had something to say.
fn judge(events: &[Value], said: &Said, held: &mut Held, seen: &mut BTreeMap<&'static str, u32>) -> (Vec<String>, u32) {
    let (mut wrong, mut made) = (Vec::new(), 0);
    let mut allowed: Vec<Allowed> = Vec::new();
    // The call of that id: its server, name and arguments, and whose data it might have taken out when it was judged.
    let mut calls: BTreeMap<String, (String, String, Value, Vec<String>)> = BTreeMap::new();
    for event in events {
        let id = event["id"].as_str().unwrap_or("").to_owned();
        let name = event["name"].as_str().unwrap_or("").to_owned();
        match kind(event) {
            "tool_call" => {
                let planned = event["input"]["steps"].as_array().into_iter().flatten();
                let planned = planned.filter_map(|step| step["tool"].as_str()).map(server_of);
                let named = [server_of(&name)].into_iter().chain(planned).filter(|server| PRIVATE.contains(server));
                held.perhaps.extend(named.map(str::to_owned));
                if let Some(server) = event["server"].as_str() {
                    let foreign = held.surely.iter().filter(|held| is_outside(&name) && *held != server);
                    let foreign: Vec<String> = foreign.cloned().collect();
                    calls.insert(id, (server.to_owned(), name, event["input"].clone(), foreign));
                }
            }
            "approval_request" => {
                let reason = event["reason"].as_str().unwrap();
                let (server, name, input, foreign) = &calls[&id];
                if let Some((true, _, Some(always))) = said.get(&id) {
                    allowed.push((name.clone(), always.then(|| input.clone()), reason.to_owned()));
                }
                let names = |name: &&str| reason.split(" may leave").next().unwrap().contains(*name);
                let named: Vec<&str> = PRIVATE.into_iter().filter(names).collect();
                if foreign.iter().any(|held| !named.contains(&held.as_str())) {
                    wrong.push(format!("{event} does not name all of {foreign:?}"));
                }
                if named.is_empty() || named.iter().any(|name| name == server || !held.perhaps.contains(*name)) {
                    wrong.push(format!("{event} is asked for while {:?} are held", held.perhaps));
                }
            }
            "tool_result" => {
                let Some((server, name, input, foreign)) = calls.remove(&id) else { continue };
                let called = event["outcome"] != "denied" && event["outcome"] != "cancelled";
                made += u32::from(called);
                let says_so = |reason: &str| foreign.iter().all(|held| reason.contains(held.as_str()));
                let known = |(tool, of, reason): &Allowed| {
                    *tool == name && of.as_ref().is_none_or(|of| *of == input) && says_so(reason)
                };
                let law = match said.get(&id) {
                    None if foreign.is_empty() => "free",
                    None if called && allowed.iter().any(known) => "remembered",
                    None if !called => "withdrawn",
                    Some((true, reason, _)) if called && says_so(reason) => "allowed",
                    Some((false, ..)) if !called => "denied",
                    said => {
                        wrong.push(format!("{event} of {name} after {said:?}, while {foreign:?} are held"));
                        continue;
                    }
                };
                *seen.entry(law).or_insert(0) += 1;
                if called && PRIVATE.contains(&server.as_str()) {
                    held.perhaps.insert(server.clone());
                    held.surely.insert(server);
                }
            }
            "compacted" if event["summary"].is_string() => *seen.entry("summary").or_insert(0) += 1,
            _ => {}
        }
    }
    (wrong, made)
}

/// Plays a conversation of three runs with calls at random; gives how often each law had something to say.
fn play(seed: u64, seen: &mut BTreeMap<&'static str, u32>) {
    let rng = Rng::new(seed);
    let mut draw_story = rng.fork("story");
    let sim = SimPlatform::new(seed);
    let origin = |name: &str| format!("https://{name}.test");
    let tools = [ToolKind::Echo, ToolKind::Fail, ToolKind::Note];
    let hosted = SERVERS.map(|(name, _)| sim.host(&origin(name), ScriptedMcp::new(Era::Modern, &tools)));
    let mut draw_calls = rng.fork("model");
    let plans = draw_story.chance(500);
    model::host(&sim, move |_, request| {
        if texts(request["messages"].as_array().unwrap().last().unwrap(), "text").contains("Summarise our conversation")
        {
            return Vec::new();
        }
        let count = draw_calls.below(4);
        let mut call = |_| {
            if plans && draw_calls.chance(300) {
                return ("run_plan".to_owned(), draw_plan(&mut draw_calls));
            }
            let (server, tool, input) = draw(&mut draw_calls);
            (format!("{server}__{tool}"), input)
        };
        (0..count).map(&mut call).collect()
    });
    let (kept, small) = (draw_story.chance(600), draw_story.chance(600));
    let make = |sim: &SimPlatform, without: Option<&str>| {
        let servers = SERVERS
            .iter()
            .filter(|(name, _)| Some(*name) != without)
            .map(|(name, labels)| json!({ "name": name, "url": format!("{}/mcp", origin(name)), "labels": labels }));
        let mut model = model::options();
        if small {
            // A prompt takes half of it.
            model["contextWindow"] = json!(4_500);
            model["maxTokens"] = json!(300);
        }
        let servers: Vec<Value> = servers.collect();
        let options =
            json!({ "model": model, "servers": servers, "approval": "never", "cache": false, "plans": plans });
        Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap())
    };
    let mut agent = make(&sim, None);
    let (mut history, mut held, mut all_made, mut any_down) = (json!([]), Held::default(), 0, false);
    for number in 0..3 {
        if number > 0 && draw_story.chance(600) {
            // The page is loaded anew, and one of the servers may not be there.
            let absent = SERVERS[draw_story.below(4)].0;
            let down = draw_story.chance(500);
            // What only a label tells, no history does.
            let gone = kept && !down && draw_story.chance(500);
            // Another page counts its requests anew, which the servers here take for a mistake.
            sim.block_on(agent.close()).unwrap();
            for (name, _) in SERVERS {
                let refused = if down && name == absent { 1_000 } else { 0 };
                sim.faults(&origin(name), Faults { refused, ..Faults::default() });
            }
            agent = make(&sim, gone.then_some(absent));
            any_down |= down;
            *seen.entry("absent").or_insert(0) += u32::from(down || gone);
        }
        let prompt = format!("go {}", "on and on ".repeat(800));
        let options = RunOptions::read(&json!({ "messages": history })).unwrap();
        let (handle, driver) = agent.send(kept.then_some("c"), prompt, options).unwrap();
        handle.set_answerable(true);
        sim.spawn("driver", driver);
        let said = Rc::new(RefCell::new(Said::new()));
        let (note, mut draw) = (said.clone(), rng.fork("user"));
        let read = async move {
            let mut events = Vec::new();
            while let Some(batch) = handle.next_events().await {
                for event in serde_json::from_str::<Vec<Value>>(&batch).unwrap() {
                    if kind(&event) == "approval_request" {
                        let id = event["id"].as_str().unwrap();
                        let (yes, remember) = (draw.chance(500), draw.chance(300).then(|| draw.chance(500)));
                        let answered = match remember {
                            Some(always) if yes => handle.approve_alike(id, always),
                            _ if yes => handle.approve(id),
                            _ => handle.deny(id, Some("not today")),
                        };
                        // It may have been answered with another one.
                        if answered.is_ok() {
                            let reason = event["reason"].as_str().unwrap().to_owned();
                            note.borrow_mut().insert(id.to_owned(), (yes, reason, remember.filter(|_| yes)));
                        }
                    }
                    events.push(event);
                }
            }
            events
        };
        let events = sim.block_on(read).unwrap();
        let wrong = broken(&events);
        // A summary that came to nothing costs tokens, too, and no event tells of it.
        let wrong = wrong.into_iter().filter(|wrong| wrong != "done.usage is not the sum of the turns");
        let (unlawful, made) = judge(&events, &said.borrow(), &mut held, seen);
        let wrong: Vec<String> = wrong.chain(unlawful).collect();
        assert!(wrong.is_empty(), "seed {seed}: {}\n{}", wrong.join("\n"), sim.report());
        all_made += made;
        history = if kept { json!([]) } else { events.last().unwrap()["messages"].clone() };
    }
    let calls: usize = hosted.iter().map(|server| server.borrow().calls.len()).sum();
    assert!(
        any_down || calls == all_made as usize,
        "{calls} calls went out, events tell of {all_made}\n{}",
        sim.report()
    );
}

#[test]
fn no_private_data_leave_without_an_approval_that_says_so() {
    let mut seen = BTreeMap::new();
    let seeds = std::env::var("SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300_u64);
    for seed in 0..seeds {
        play(seed, &mut seen);
    }
    for law in ["free", "allowed", "denied", "remembered", "summary", "absent"] {
        assert!(seen.get(law).is_some_and(|count| *count > 30), "{law} was hardly ever seen: {seen:?}");
    }
}

/// A server of one tool, which gives the resource that it is asked for.
fn files(request: &Request, _: &mut Peer<'_>) -> Answer {
    let message: Value = serde_json::from_str(request.body.as_deref().unwrap_or("{}")).unwrap();
    let uri = &message["params"]["arguments"]["uri"];
    let schema = json!({ "type": "object", "properties": { "uri": { "type": "string" } } });
    let hints = json!({ "readOnlyHint": true, "openWorldHint": false });
    let mut result = match message["method"].as_str().unwrap_or("") {
        "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
        "tools/list" => {
            json!({ "tools": [{ "name": "open", "inputSchema": schema, "annotations": hints }], "ttlMs": 0 })
        }
        _ => json!({ "content": [{ "type": "resource", "resource": { "uri": uri, "text": "something" } }] }),
    };
    result["resultType"] = json!("complete");
    Answer::json(&json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
}

#[test]
fn private_resources_are_held_from_the_results_that_show_them() {
    let open = |uri: &str| ("files__open".to_owned(), json!({ "uri": uri }));
    let note = || ("web__note".to_owned(), json!({ "text": "x", "key": "k" }));
    let plan = |uri: &str| {
        let steps = json!([{ "id": "a", "tool": "files.open", "input": { "uri": uri } }]);
        ("run_plan".to_owned(), json!({ "steps": steps, "return": "done" }))
    };
    for (first, second) in
        [(open("file:///etc/x"), open("file:///home/x")), (plan("file:///etc/x"), plan("file:///home/x"))]
    {
        let sim = SimPlatform::new(1);
        sim.host("https://files.test", files);
        sim.host("https://web.test", ScriptedMcp::new(Era::Modern, &[ToolKind::Note]));
        let turns = [first, note(), second, note()];
        model::host(&sim, move |turn, _| turns.get(turn).cloned().into_iter().collect());
        let options = json!({
            "model": model::options(), "approval": "never", "plans": true,
            "servers": [
                { "name": "files", "url": "https://files.test/mcp", "privateResources": ["file:///home"] },
                { "name": "web", "url": "https://web.test/mcp", "labels": ["untrusted"] },
            ],
        });
        let agent = Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap());
        let (handle, driver) = agent.run("go".into(), RunOptions::default());
        sim.spawn("driver", driver);
        let read = async move {
            let mut events = Vec::new();
            while let Some(batch) = handle.next_events().await {
                events.extend(serde_json::from_str::<Vec<Value>>(&batch).unwrap());
            }
            events
        };
        let events = sim.block_on(read).unwrap();
        // Nobody is there to be asked, so what would be asked for is denied.
        let noted = events.iter().filter(|event| {
            kind(event) == "tool_result" && ["toolu_1_0", "toolu_3_0"].contains(&event["id"].as_str().unwrap())
        });
        let outcomes: Vec<&str> = noted.map(|event| event["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["ok", "denied"], "{}", sim.report());
    }
}
