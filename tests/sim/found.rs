//! Tools that are found while a conversation goes on: where the provider takes them behind their results, nothing in front of the
//! conversation changes; where it does not, or refuses, they stand in front and the run goes on.

use std::cell::RefCell;
use std::rc::Rc;

use edgewise::agent::config::{AgentConfig, RunOptions};
use edgewise::drive::agent::Agent;
use edgewise::drive::handle::RunHandle;
use edgewise::drive::wait::Cancel;
use edgewise::options::FunctionId;
use edgewise::platform::Platform;
use edgewise::sim::{Answer, AppAnswer, SimPlatform};
use edgewise::time::Millis;
use serde_json::{Value, json};

use crate::laws::{broken, kind};
use crate::model::{host, host_at, offered, results};

const ANTHROPIC: &str = "https://api.anthropic.com";

fn agent(sim: &SimPlatform, model: Value, more: Value) -> Agent<SimPlatform> {
    sim.function(FunctionId(0), |_, _| AppAnswer::value(Millis(5), json!("seen ".repeat(600))));
    let schema = json!({ "type": "object", "properties": { "to": { "type": "string" } } });
    let others =
        (0..30).map(|at| (format!("tool_{at}"), format!("Does number {at} of the things that nobody asks for")));
    let named = [("weather", "Tells the weather of a city"), ("send_mail", "Sends an email to a person")];
    let named = named.map(|(name, words)| (name.to_owned(), words.to_owned()));
    let tools: Vec<Value> = others
        .chain(named)
        .map(|(name, words)| {
            json!({
                "name": name, "description": words, "inputSchema": schema, "execute": { "$function": 0 },
                "annotations": { "readOnlyHint": true },
            })
        })
        .collect();
    let mut options = json!({ "model": model, "tools": tools, "limits": { "maxToolTokens": 300 } });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap())
}

fn claude() -> Value {
    json!({ "provider": "anthropic", "id": "claude-sonnet-4-6" })
}

fn call(name: &str) -> Vec<(String, Value)> {
    let input = if name == "find_tools" { json!({ "query": "send an email" }) } else { json!({ "to": "Ann" }) };
    vec![(name.to_owned(), input)]
}

async fn read(handle: RunHandle) -> Vec<Value> {
    handle.all_events().await
}

/// A run to its end, which has to be a good one.
fn run(sim: &SimPlatform, (handle, driver): (RunHandle, impl Future<Output = ()> + 'static)) -> Vec<Value> {
    let events = finish(sim, (handle, driver));
    assert_eq!(broken(&events), [""; 0], "{}", sim.report());
    events
}

/// The same of one that is taken up again.
fn finish(sim: &SimPlatform, (handle, driver): (RunHandle, impl Future<Output = ()> + 'static)) -> Vec<Value> {
    handle.set_answerable(true);
    sim.spawn("driver", driver);
    let events = sim.block_on(read(handle)).unwrap();
    assert_eq!(kind(events.last().unwrap()), "done", "{}", sim.report());
    events
}

fn messages(events: &[Value]) -> RunOptions {
    RunOptions::read(&json!({ "messages": events.last().unwrap()["messages"] })).unwrap()
}

/// The names of the tools that are left to results, and told of in one.
fn late(request: &Value) -> Vec<&str> {
    let told = request["messages"].to_string();
    let told = |name: &&str| told.contains(&format!(r#""tool_name":"{name}""#));
    let tools = request["tools"].as_array().unwrap().iter();
    tools.filter(|tool| tool["defer_loading"] == true).map(|tool| tool["name"].as_str().unwrap()).filter(told).collect()
}

/// What a provider caches before the conversation: it knows nothing of tools that are left to results.
fn front(request: &Value) -> String {
    let tools = request["tools"].as_array().unwrap().iter().filter(|tool| tool["defer_loading"] != true);
    json!([tools.collect::<Vec<_>>(), request["system"]]).to_string()
}

/// What Anthropic refuses of tools that are left to results.
fn wrong(request: &Value) -> Option<&'static str> {
    let late = late(request);
    if request["tools"].as_array().unwrap().len() == late.len() {
        return Some("All tools have defer_loading set");
    }
    let blocks =
        request["messages"].as_array().unwrap().iter().flat_map(|message| message["content"].as_array().unwrap());
    for block in blocks {
        let content = block["content"].as_array().map_or(&[][..], Vec::as_slice);
        let references: Vec<&Value> = content.iter().filter(|item| item["type"] == "tool_reference").collect();
        if !references.is_empty() && references.len() < content.len() {
            return Some("a reference beside other content");
        }
        if references.iter().any(|item| !late.contains(&item["tool_name"].as_str().unwrap())) {
            return Some("a reference to no tool");
        }
    }
    let text = request["tools"].to_string();
    text.contains(r#""defer_loading":true,"cache_control""#).then_some("a breakpoint on a tool that is left out")
}

fn refuse(words: &str) -> Answer {
    let error = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": words } });
    Answer::text(400, "application/json", error.to_string())
}

#[test]
fn what_is_found_changes_nothing_in_front_of_the_conversation() {
    let sim = SimPlatform::new(1);
    let agent = agent(&sim, claude(), json!({}));
    let asked = host_at(&sim, ANTHROPIC, |turn, request| match (wrong(request), turn) {
        (Some(words), _) => Err(refuse(words)),
        (None, 0 | 4) => Ok(call("find_tools")),
        (None, 1) => Ok(call("send_mail")),
        _ => Ok(Vec::new()),
    });
    let events = run(&sim, agent.run("What will the weather be?".into(), RunOptions::default()));
    run(&sim, agent.run("And tomorrow?".into(), messages(&events)));
    let asked = asked.borrow();
    let names: Vec<Vec<&str>> = asked.iter().map(late).collect();
    assert_eq!(names, [vec![], vec!["send_mail"], vec!["send_mail"], vec!["send_mail"]]);
    asked.iter().for_each(|request| assert_eq!(front(request), front(&asked[0])));
    let found = &asked[1]["messages"].as_array().unwrap().last().unwrap()["content"][0]["content"];
    assert_eq!(found[0], json!({ "type": "tool_reference", "tool_name": "send_mail" }));
}

#[test]
fn who_refuses_is_asked_in_the_old_way_and_not_refused_again() {
    for words in ["tools.7.defer_loading: Extra inputs are not permitted", "unexpected input"] {
        let sim = SimPlatform::new(1);
        let agent = agent(&sim, claude(), json!({}));
        let refused = Rc::new(RefCell::new(0));
        let count = refused.clone();
        let answered = Rc::new(RefCell::new(0));
        let asked = host_at(&sim, ANTHROPIC, move |_, request| {
            if request.to_string().contains("defer_loading") || request.to_string().contains("tool_reference") {
                *count.borrow_mut() += 1;
                return Err(refuse(words));
            }
            *answered.borrow_mut() += 1;
            Ok(match *answered.borrow() {
                1 => call("find_tools"),
                2 => call("send_mail"),
                _ => Vec::new(),
            })
        });
        let events = run(&sim, agent.run("What will the weather be?".into(), RunOptions::default()));
        assert!(!events.iter().any(|event| kind(event) == "retry"), "the run need not know");
        run(&sim, agent.run("And tomorrow?".into(), messages(&events)));
        assert_eq!(*refused.borrow(), 1, "{words}");
        let asked = asked.borrow();
        assert_eq!(offered(&asked[2]).last().unwrap(), "send_mail");
        assert_eq!(offered(&asked[3]), offered(&asked[2]));
        assert!(asked[3].to_string().contains("These tools can be called from now on"));
    }
}

#[test]
fn a_tool_whose_result_was_taken_out_is_offered_in_front() {
    let sim = SimPlatform::new(1);
    let model = json!({ "provider": "anthropic", "id": "claude-sonnet-4-6", "contextWindow": 3_000, "maxTokens": 100 });
    let agent = agent(&sim, model, json!({}));
    let mut left = vec!["send_mail", "weather", "weather", "weather", "weather", "find_tools"];
    let asked = host_at(&sim, ANTHROPIC, move |_, request| match wrong(request) {
        Some(words) => Err(refuse(words)),
        None if request["messages"].as_array().unwrap().last().unwrap().to_string().contains("ummar") => Ok(Vec::new()),
        None => Ok(left.pop().map_or_else(Vec::new, call)),
    });
    let events = run(&sim, agent.run("What will the weather be?".into(), RunOptions::default()));
    assert!(events.iter().any(|event| kind(event) == "compacted"), "{}", sim.report());
    let asked = asked.borrow();
    assert!(asked.iter().any(|request| late(request) == ["send_mail"]));
    let last = asked.last().unwrap();
    assert!(!last.to_string().contains("tool_reference"), "{last}");
    assert!(late(last).is_empty() && offered(last).contains(&"send_mail".to_owned()), "{:?}", offered(last));
}

#[test]
fn a_fallback_is_told_of_all_tools_in_front() {
    let sim = SimPlatform::new(1);
    let mut model = claude();
    model["fallbacks"] = json!([{ "provider": "anthropic", "id": "m", "baseUrl": crate::model::MODEL }]);
    let agent = agent(&sim, model, json!({}));
    host_at(&sim, ANTHROPIC, |turn, _| match turn {
        0 => Ok(call("find_tools")),
        _ => Err(Answer::text(401, "application/json", "{}")),
    });
    let spare = host(&sim, |turn, _| if turn == 0 { call("send_mail") } else { Vec::new() });
    run(&sim, agent.run("What will the weather be?".into(), RunOptions::default()));
    let spare = spare.borrow();
    assert_eq!((late(&spare[0]), offered(&spare[0]).last().unwrap().as_str()), (vec![], "send_mail"));
    assert!(results(&spare[0])[0].starts_with("These tools can be called from now on:\n- send_mail"), "{}", spare[0]);
}

#[test]
fn a_run_that_is_taken_up_again_has_what_it_found() {
    for conversation in [None, Some("c")] {
        taken_up_again(conversation);
    }
}

fn taken_up_again(conversation: Option<&str>) {
    let sim = SimPlatform::new(1);
    let here = agent(&sim, claude(), json!({ "journal": true }));
    let asked = host_at(&sim, ANTHROPIC, |turn, request| match (wrong(request), turn) {
        (Some(words), _) => Err(refuse(words)),
        (None, 0) => Ok(call("find_tools")),
        // The page is gone before this one is answered.
        (None, 1) => Err(Answer::text(200, "", "").after(Millis(60_000))),
        (None, 2) => Ok(call("send_mail")),
        _ => Ok(Vec::new()),
    });
    let (handle, driven) = here.send(conversation, "What will the weather be?".into(), RunOptions::default()).unwrap();
    handle.set_answerable(true);
    sim.spawn("page", driven);
    sim.spawn("reader", async move { drop(read(handle).await) });
    sim.block_on(sim.sleep(Millis(10_000))).unwrap();
    sim.drop_tasks();
    let tab = sim.tab();
    let there = agent(&tab, claude(), json!({ "journal": true }));
    let open = sim.block_on(there.open_runs()).unwrap();
    let id = open[0]["runId"].as_str().unwrap().to_owned();
    let events = finish(&sim, there.resume(id, Vec::new()));
    assert!(events.iter().any(|event| kind(event) == "tool_result" && event["outcome"] == "ok"));
    if let Some(id) = conversation {
        // The next prompt goes on with the same.
        run(&tab, there.send(Some(id), "And tomorrow?".into(), RunOptions::default()).unwrap());
        assert_eq!(front(asked.borrow().last().unwrap()), front(&asked.borrow()[1]));
    }
    let asked = asked.borrow();
    assert_eq!((late(&asked[1]), late(&asked[2])), (vec!["send_mail"], vec!["send_mail"]));
    assert_eq!(front(&asked[2]), front(&asked[1]));
}

#[test]
fn what_is_counted_is_what_would_be_sent_also_where_only_the_count_refuses_it() {
    for refuses in [false, true] {
        let sim = SimPlatform::new(1);
        let agent = agent(&sim, claude(), json!({}));
        let mut left = vec!["send_mail", "find_tools"];
        let asked = host_at(&sim, ANTHROPIC, move |_, request| match (wrong(request), request["stream"] == true) {
            (Some(words), _) => Err(refuse(words)),
            (None, true) => Ok(left.pop().map_or_else(Vec::new, call)),
            (None, false) if refuses && !late(request).is_empty() => Err(refuse("tools.7.defer_loading: no")),
            (None, false) => Err(Answer::json(&json!({ "input_tokens": 77 }))),
        });
        let options = RunOptions::default;
        run(&sim, agent.send(Some("c"), "What will the weather be?".into(), options()).unwrap());
        let cancel = Cancel::new();
        let counted = agent.count_tokens(Some("c"), "And tomorrow?".into(), options(), &cancel);
        assert_eq!(sim.block_on(counted).unwrap().unwrap(), json!({ "inputTokens": 77, "estimated": false }));
        run(&sim, agent.send(Some("c"), "And tomorrow?".into(), options()).unwrap());
        let asked = asked.borrow();
        let (first, sent) = (&asked[3], asked.last().unwrap());
        assert_eq!((&first["tools"], &first["messages"]), (&sent["tools"], &sent["messages"]));
        assert_eq!((late(first), late(sent)), (vec!["send_mail"], vec!["send_mail"]));
        assert_eq!(asked.len(), if refuses { 6 } else { 5 });
    }
}

/// Where a wire takes tools that a later prompt adds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Adds {
    /// Not at all: the model finds them.
    Never,
    /// Before the prompt.
    Late,
    /// Behind the other tools.
    Last,
}

/// The prompts of the next story. The second one needs what is there, the third one something else.
const PROMPTS: [&str; 4] =
    ["What will the weather be?", "And what will the weather in the city be?", "Does number 17", "Which weather?"];

/// A conversation whose model finds a tool in the first run and never calls it; each run in another tab. Gives the requests.
fn conversation(provider: &str, url: &str, base: &str) -> Vec<Value> {
    let sim = SimPlatform::new(1);
    let asked = host_at(&sim, url, |turn, _| Ok(if turn == 0 { call("find_tools") } else { Vec::new() }));
    for prompt in PROMPTS {
        let tab = sim.tab();
        let model = json!({ "provider": provider, "id": "gpt-5.6", "baseUrl": base });
        let agent = agent(&tab, model, json!({ "limits": { "maxToolTokens": 800 } }));
        run(&tab, agent.send(Some("c"), prompt.into(), RunOptions::default()).unwrap());
    }
    let asked = asked.borrow();
    assert_eq!(asked.len(), 5, "{}", sim.report());
    asked.clone()
}

#[test]
fn later_prompts_leave_the_front_as_it_is_and_what_was_found_stays_over_a_reload() {
    for (provider, url, path, adds) in [
        ("anthropic", ANTHROPIC, "", Adds::Never),
        ("openai-responses", "https://api.openai.com", "/v1", Adds::Late),
        ("openai", "https://api.openai.com", "/v1", Adds::Last),
        ("anthropic", crate::model::MODEL, "", Adds::Last),
    ] {
        let asked = conversation(provider, url, &format!("{url}{path}"));
        let [first, found, again, other, last] = &asked[..] else { panic!("{provider}") };
        // What a provider caches: all that stands in front of what is said, but for what it leaves to be found.
        let fronts: Vec<String> = asked.iter().map(front).collect();
        let has = |request: &Value, name: &str| request.to_string().contains(&format!(r#""name":"{name}""#));
        assert!(!has(first, "tool_17") && !has(first, "send_mail"), "{provider}: {first}");
        for request in [found, again, other, last] {
            assert!(has(request, "send_mail"), "{provider}: what was found is offered: {request}");
        }
        // Where the wire knows no other way, what is found stands behind, once.
        assert_eq!(fronts[0] == fronts[1], adds != Adds::Last, "{provider}");
        assert_eq!(fronts[1], fronts[2], "{provider}: nothing that fits better is missing");
        assert_eq!(
            (has(other, "tool_17"), has(last, "tool_17")),
            (adds != Adds::Never, adds != Adds::Never),
            "{provider}"
        );
        assert_eq!(fronts[2] == fronts[3], adds != Adds::Last, "{provider}");
        assert_eq!(fronts[3], fronts[4], "{provider}");
        // Behind what there was, each time.
        for pair in asked.windows(2) {
            let (before, after) = (offered(&pair[0]), offered(&pair[1]));
            assert_eq!(before, after[..before.len()], "{provider}");
        }
        if adds == Adds::Late {
            let items: Vec<&Value> = other["input"].as_array().unwrap().iter().collect();
            let at = items.iter().rposition(|item| item["type"] == "additional_tools").unwrap();
            assert_eq!((at + 2, has(items[at], "tool_17")), (items.len(), true), "{other}");
            let before = again.to_string();
            assert!(other.to_string().starts_with(before.strip_suffix("]}").unwrap()), "the request only grows");
        }
    }
}

#[test]
fn a_conversation_with_ever_new_wishes_is_not_offered_ever_more() {
    let sim = SimPlatform::new(1);
    let asked = host(&sim, |_, _| Vec::new());
    let agent = agent(&sim, crate::model::options(), json!({ "limits": { "maxToolTokens": 500 } }));
    for at in 0..30 {
        run(&sim, agent.send(Some("c"), format!("Does number {at}"), RunOptions::default()).unwrap());
    }
    let asked = asked.borrow();
    let tokens: Vec<usize> = asked.iter().map(|request| request["tools"].to_string().len() / 4).collect();
    assert!(tokens.iter().all(|tokens| *tokens < 900), "{tokens:?}");
    for (at, request) in asked.iter().enumerate() {
        assert!(offered(request).contains(&format!("tool_{at}")), "{at}: {:?}", offered(request));
    }
    // It begins anew only where there is no more room: else each list begins as the last one did.
    let kept = asked.windows(2).filter(|pair| offered(&pair[1]).starts_with(&offered(&pair[0]))).count();
    assert!(kept >= 15, "{kept} of 29: {:?}", asked.iter().map(offered).collect::<Vec<_>>());
}
