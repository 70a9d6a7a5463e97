use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};

#[path = "context_window_tests.rs"]
mod window;

use super::*;
use crate::agent::config::{AgentConfig, RunOptions};
use crate::http::Request;
use crate::options::FunctionId;
use crate::sim::{Answer, AppAnswer, Peer, Server, SimPlatform};

/// A modern server with resources, and what it was asked.
#[derive(Default)]
struct Docs {
    resources: Vec<Value>,
    templates: Vec<Value>,
    ttl: u64,
    /// What it never answers.
    stuck: Option<&'static str>,
    /// What stands in each resource besides.
    words: String,
    /// How long it takes to complete an argument.
    completing: Millis,
    /// It answers nothing.
    down: bool,
    asked: Vec<(String, Value)>,
}

impl Server for Docs {
    fn answer(&mut self, request: &Request, _: &mut Peer<'_>) -> Answer {
        if self.down {
            return Answer::text(503, "text/plain", "");
        }
        let message: Value = serde_json::from_slice(request.body.as_deref().unwrap_or_default().as_bytes()).unwrap();
        let method = message["method"].as_str().unwrap().to_owned();
        let params = message["params"].clone();
        let mut result = match method.as_str() {
            "server/discover" => json!({
                "supportedVersions": ["2026-07-28"], "capabilities": { "resources": {}, "completions": {} },
                "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "docs", "version": "1" } },
            }),
            "tools/list" => json!({ "tools": [] }),
            "resources/list" => json!({ "resources": self.resources }),
            "resources/templates/list" => json!({ "resourceTemplates": self.templates }),
            "completion/complete" => json!({ "completion": { "values": ["Bergen", "Oslo"] } }),
            _ => {
                let uri = params["uri"].clone();
                let text = format!("This is the text of {}. {}", uri.as_str().unwrap(), self.words);
                json!({ "contents": [{ "uri": uri, "text": text }] })
            }
        };
        let completes = method == "completion/complete";
        let stuck = self.stuck.is_some_and(|stuck| params["uri"] == stuck);
        self.asked.push((method, params));
        result["resultType"] = json!("complete");
        result["ttlMs"] = json!(self.ttl);
        result["cacheScope"] = json!("private");
        if stuck {
            return Answer::text(200, "application/json", "").after(Millis::from_secs(3000));
        }
        Answer::text(
            200,
            "application/json",
            json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string(),
        )
        .after(if completes { self.completing } else { Millis(0) })
    }
}

fn resource(uri: &str, name: &str) -> Value {
    json!({ "uri": uri, "name": name })
}

fn agent(sim: &SimPlatform, docs: Docs, more: Value) -> (Agent<SimPlatform>, Rc<RefCell<Docs>>) {
    let docs = sim.host("https://docs.test", docs);
    let mut options = json!({
        "model": { "provider": "offline" }, "servers": [{ "name": "docs", "url": "https://docs.test/mcp" }], "context": more,
    });
    if more.is_null() {
        options.as_object_mut().unwrap().remove("context");
    }
    (Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap()), docs)
}

fn build(sim: &SimPlatform, agent: &Agent<SimPlatform>, query: &str) -> Value {
    let config = agent.context_config();
    sim.block_on(agent.build_context(query, &config, &Cancel::new())).unwrap().unwrap()
}

fn uris(context: &Value) -> Vec<&str> {
    context["sources"].as_array().unwrap().iter().map(|source| source["uri"].as_str().unwrap()).collect()
}

fn count(docs: &Rc<RefCell<Docs>>, method: &str) -> usize {
    docs.borrow().asked.iter().filter(|(asked, _)| asked == method).count()
}

fn weather() -> Docs {
    Docs {
        resources: vec![resource("docs://rain", "rain"), resource("docs://mail", "mail")],
        templates: vec![json!({ "uriTemplate": "docs://weather/{city}", "name": "weather of a city" })],
        ttl: 1000,
        ..Docs::default()
    }
}

#[test]
fn what_servers_have_on_a_query_is_read_and_named() {
    let sim = SimPlatform::new(1);
    let (agent, docs) = agent(&sim, weather(), Value::Null);
    let context = build(&sim, &agent, "Does it rain? How is the weather in Oslo?");
    assert_eq!(uris(&context), ["docs://weather/Oslo", "docs://rain"]);
    assert!(context["text"].as_str().unwrap().contains("This is the text of docs://rain."));
    assert_eq!(context["meaning"], false);
    let first = context["sources"][0].clone();
    assert_eq!((&first["server"], &first["passages"]), (&json!("docs"), &json!(1)));
    assert!(first["readAt"].as_u64().unwrap() >= crate::sim::EPOCH.0);
    assert_eq!(count(&docs, "resources/list"), 1);
    build(&sim, &agent, "Does it rain?");
    assert_eq!(count(&docs, "resources/list"), 1, "within its time a list is not asked for again");
    sim.block_on(sim.sleep(Millis(2000))).unwrap();
    docs.borrow_mut().resources.push(resource("docs://rain2", "rain of tomorrow"));
    let context = build(&sim, &agent, "Does it rain tomorrow?");
    assert_eq!((count(&docs, "resources/list"), uris(&context)[0]), (2, "docs://rain2"));
    assert_eq!(sim.leftovers(), "");
}

#[test]
fn nothing_is_loaded_where_no_server_has_resources() {
    let sim = SimPlatform::new(2);
    sim.set_parts_missing(true);
    let agent =
        Agent::new(Rc::new(sim.clone()), AgentConfig::read(&json!({ "model": { "provider": "offline" } })).unwrap());
    let context = build(&sim, &agent, "rain");
    assert_eq!(
        context,
        json!({ "text": "", "sources": [], "tokens": 0, "dropped": [], "omitted": 0, "meaning": false })
    );
}

#[test]
fn one_that_does_not_answer_is_left_out() {
    let sim = SimPlatform::new(3);
    let docs = Docs {
        stuck: Some("docs://rain"),
        resources: vec![resource("docs://rain", "rain"), resource("docs://r", "more rain")],
        ..weather()
    };
    let (agent, _) = agent(&sim, docs, Value::Null);
    let started = sim.elapsed();
    let context = sim.block_on(async {
        agent.connect(&Cancel::new()).await.unwrap();
        let prompt = Prompt { query: "rain".into(), ..Prompt::default() };
        agent.gather_context(&prompt, &agent.context_config(), PATIENCE, &Cancel::new()).await.unwrap()
    });
    let context = context.unwrap();
    assert_eq!(uris(&context), ["docs://r"]);
    assert_eq!(
        (&context["dropped"][0]["reason"], &context["dropped"][0]["message"]),
        (&json!("failed"), &json!("took too long"))
    );
    assert!(sim.elapsed().0 - started.0 < 15_000);
    assert_eq!(sim.leftovers(), "");
}

#[test]
fn cancel_at_any_instant_leaves_nothing_open() {
    for poll in 1..120 {
        let sim = SimPlatform::new(poll);
        let (agent, _) = agent(&sim, weather(), Value::Null);
        let cancel = Cancel::new();
        let later = cancel.clone();
        sim.at_poll(poll, move || later.cancel());
        let built = sim.block_on(agent.build_context("weather in Oslo", &agent.context_config(), &cancel)).unwrap();
        if let Err(error) = built {
            assert_eq!(error.code, Code::Cancelled);
        }
        sim.block_on(agent.close()).unwrap();
        assert_eq!(sim.leftovers(), "", "{}", sim.report());
    }
}

#[test]
fn the_app_tells_what_texts_are_about() {
    let sim = SimPlatform::new(4);
    let told = Rc::new(RefCell::new(Vec::new()));
    let noted = told.clone();
    sim.function(FunctionId(1), move |texts, _| {
        let texts = texts.as_array().unwrap();
        noted.borrow_mut().push(texts.len());
        // A typed array has become an object.
        let about = |text: &Value| {
            if text.as_str().unwrap().contains("rain") || text == "umbrella" {
                json!({ "0": 1.0, "1": 0.0 })
            } else {
                json!([0.0, 1.0])
            }
        };
        AppAnswer::value(Millis(5), texts.iter().map(about).collect())
    });
    let (agent, _) = agent(&sim, Docs { templates: vec![], ..weather() }, json!({ "embed": { "$function": 1 } }));
    let context = build(&sim, &agent, "umbrella");
    assert_eq!((uris(&context), &context["meaning"]), (vec!["docs://rain"], &json!(true)));
    let first = told.borrow().len();
    build(&sim, &agent, "umbrella");
    assert_eq!(told.borrow().len(), first, "what is known is not asked again: {told:?}");
}

#[test]
fn the_table_of_the_package_finds_by_meaning() {
    let sim = SimPlatform::new(5);
    sim.set_embeddings(Some(include_bytes!("../../pkg/embeddings.bin").to_vec()));
    let resources = vec![
        resource("docs://forecast", "weather forecast: rain and wind"),
        resource("docs://invoice", "unpaid invoices"),
    ];
    let (agent, _) = agent(&sim, Docs { resources, templates: vec![], ..weather() }, Value::Null);
    let context = build(&sim, &agent, "will I need an umbrella");
    assert_eq!((uris(&context).first(), &context["meaning"]), (Some(&"docs://forecast"), &json!(true)), "{context}");
}

#[test]
fn anything_can_be_ranked() {
    let sim = SimPlatform::new(6);
    let (agent, _) = agent(&sim, weather(), json!({ "embed": false }));
    let handed = Cell::new(0);
    let rank = |version: &str, names: &[&str], query: &str| {
        let documents = || {
            handed.set(handed.get() + 1);
            names.iter().map(|name| ((*name).to_owned(), "does it".to_owned())).collect()
        };
        let lists = [RankedList { name: "a", version: version.to_owned(), documents: &documents }];
        let ranked = sim.block_on(agent.rank("tools", &lists, query, 5, &Cancel::new())).unwrap().unwrap();
        ranked.into_iter().map(|ranked| ranked.place).collect::<Vec<_>>()
    };
    assert_eq!(rank("1", &["send mail", "read mail", "forecast"], "read"), [1]);
    assert_eq!(rank("1", &["send mail", "read mail", "forecast"], "forecast"), [2]);
    assert_eq!(handed.get(), 1, "a version is handed over once");
    assert_eq!(rank("2", &["forecast", "send mail"], "forecast"), [0]);
    assert_eq!(handed.get(), 2);
}

#[test]
fn tools_are_found_by_what_they_do() {
    let sim = SimPlatform::new(7);
    let tool = |name: &str, description: &str| json!({ "name": name, "description": description, "execute": { "$function": 1 } });
    let tools =
        [tool("send", "Sends a mail"), tool("forecast", "Weather of the next days"), tool("add", "Adds numbers")];
    let options = json!({ "model": { "provider": "offline" }, "tools": tools });
    let agent = Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap());
    let find = |query: &str| sim.block_on(agent.find_tools(query, 2, &Cancel::new())).unwrap().unwrap();
    assert_eq!(find("what is the weather"), ["forecast"]);
    assert_eq!(find("mail the numbers").len(), 2);
    sim.set_parts_missing(true);
    let failed = sim.block_on(agent.find_tools("x", 2, &Cancel::new())).unwrap().unwrap_err();
    assert_eq!(failed.code, Code::Network);
}

/// Runs a prompt and gives its events.
fn run(sim: &SimPlatform, agent: &Agent<SimPlatform>, prompt: &str) -> Vec<Value> {
    run_on(sim, agent, prompt, RunOptions::default())
}

fn run_on(sim: &SimPlatform, agent: &Agent<SimPlatform>, prompt: &str, options: RunOptions) -> Vec<Value> {
    let (handle, driven) = agent.run(prompt.into(), options);
    sim.spawn("run", driven);
    sim.block_on(handle.all_events()).unwrap()
}

#[test]
fn a_run_puts_context_before_its_model_and_tells_so() {
    let sim = SimPlatform::new(8);
    let (agent, _) = agent(&sim, weather(), json!({ "embed": false }));
    let events = run(&sim, &agent, "Does it rain?");
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let place = |wanted: &str| types.iter().position(|found| *found == wanted).unwrap();
    assert!(place("context") < place("turn_start"));
    assert_eq!(events[place("context")]["sources"][0]["uri"], "docs://rain");
    let prompt = &events.last().unwrap()["messages"][0]["content"];
    assert!(prompt[0]["text"].as_str().unwrap().contains("This is the text of docs://rain."), "{prompt}");
    assert_eq!(prompt[1], json!({ "type": "text", "text": "Does it rain?" }));
    assert!(
        events.last().unwrap()["text"].as_str().unwrap().contains("docs://rain"),
        "the offline model answers from it"
    );
    sim.block_on(agent.close()).unwrap();
    assert_eq!(sim.leftovers(), "");
}

#[test]
fn what_an_earlier_prompt_brought_is_not_sent_again() {
    let sim = SimPlatform::new(11);
    let (agent, _) = agent(&sim, weather(), json!({ "embed": false }));
    let first = run(&sim, &agent, "Does it rain?");
    let messages = first.last().unwrap()["messages"].clone();
    let options = RunOptions::read(&json!({ "messages": messages })).unwrap();
    let second = run_on(&sim, &agent, "Is there rain or mail?", options);
    let context = second.iter().find(|event| event["type"] == "context").unwrap();
    assert_eq!(uris(context), ["docs://mail"]);
    let known = json!({ "server": "docs", "uri": "docs://rain", "reason": "in_history", "passages": 1 });
    assert!(context["dropped"].as_array().unwrap().contains(&known), "{context}");
    let told = second.last().unwrap()["messages"].to_string();
    assert_eq!(told.matches(r#"uri=\"docs://rain\""#).count(), 1);
}

#[test]
fn the_window_of_the_model_bounds_the_budget() {
    let sim = SimPlatform::new(12);
    let docs = sim.host("https://docs.test", weather());
    for (window, sources) in [(20_000, 1), (400, 0)] {
        let options = json!({
            "model": { "provider": "offline", "contextWindow": window }, "context": { "embed": false },
            "servers": [{ "name": "docs", "url": "https://docs.test/mcp" }],
        });
        let agent = Agent::new(Rc::new(sim.clone()), AgentConfig::read(&options).unwrap());
        let long = Message::user("So far. ".repeat(200));
        let options = RunOptions { messages: vec![long, Message::assistant("Yes.")], ..RunOptions::default() };
        let events = run_on(&sim, &agent, "Does it rain?", options);
        let context = events.iter().find(|event| event["type"] == "context").unwrap();
        assert_eq!(uris(context).len(), sources, "{context}");
    }
    assert_eq!(count(&docs, "resources/read"), 2, "the second agent takes what is fresh");
}

#[test]
fn without_the_option_no_resource_is_read() {
    let sim = SimPlatform::new(9);
    let (agent, docs) = agent(&sim, weather(), Value::Null);
    let events = run(&sim, &agent, "Does it rain?");
    assert!(events.iter().all(|event| event["type"] != "context"));
    assert_eq!((count(&docs, "resources/list"), count(&docs, "resources/read")), (0, 0));
}

#[test]
fn a_run_goes_on_without_context_where_the_part_is_missing() {
    let sim = SimPlatform::new(10);
    sim.set_parts_missing(true);
    let (agent, _) = agent(&sim, weather(), json!({}));
    let events = run(&sim, &agent, "Does it rain?");
    let context = events.iter().find(|event| event["type"] == "context").unwrap();
    assert_eq!((&context["sources"], &context["reason"]["code"]), (&json!([]), &json!("network")));
    assert!(events.iter().any(|event| event["type"] == "turn_start"));
}
