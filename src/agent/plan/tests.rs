//! Plans, whole: read, checked, and run against tools that are closures.

use serde_json::{Value, json};

use super::*;

fn world() -> Value {
    let issue = json!({ "type": "object", "additionalProperties": false,
        "properties": { "number": { "type": "integer" }, "title": { "type": "string" } } });
    json!([
        { "name": "t.search", "wireName": "t__search", "server": "t", "repeatable": true,
          "inputSchema": { "type": "object", "properties": { "query": { "type": "string" }, "limit": { "type": "integer", "maximum": 50 } },
                           "required": ["query"], "additionalProperties": false },
          "outputSchema": { "type": "object", "additionalProperties": false, "$defs": { "issue": issue },
                            "properties": { "total": { "type": "integer" }, "issues": { "type": "array", "items": { "$ref": "#/$defs/issue" } } } } },
        { "name": "t.close", "wireName": "t__close", "server": "t", "asks": "it writes",
          "inputSchema": { "type": "object", "properties": { "number": { "type": "integer" }, "note": { "type": "string" } }, "required": ["number"] } },
        { "name": "echo", "wireName": "echo", "repeatable": true, "inputSchema": { "type": "object" } },
    ])
}

fn ask(plans: &mut Plans, request: Value) -> Value {
    serde_json::from_str(&plans.answer(&request.to_string()).unwrap()).unwrap()
}

fn request(what: &str, plan: &Value) -> Value {
    json!({ "do": what, "plan": plan, "tools": world(), "names": ["t.search", "t.close", "echo"], "call": "c" })
}

fn problems(plan: Value) -> Vec<String> {
    let answer = ask(&mut Plans::default(), request("check", &plan));
    let opened = ask(&mut Plans::default(), request("open", &plan));
    if answer["ok"] == false {
        assert_eq!(opened["problems"], answer["problems"]);
    }
    serde_json::from_value(answer["problems"].clone()).unwrap()
}

/// What a run of a plan came to.
struct Ran {
    done: Value,
    events: Vec<String>,
    /// Ids of the calls of each round: all of one round are at work at once.
    rounds: Vec<Vec<String>>,
}

/// Runs a plan: `tool` answers each call by name, arguments and id with data, or with why it failed.
fn run(plan: Value, tool: impl Fn(&str, &Value, &str) -> Result<Value, String>) -> Ran {
    let mut plans = Plans::default();
    let mut orders = ask(&mut plans, request("open", &plan));
    let id = orders["plan"].clone();
    assert!(id.is_u64(), "{orders}");
    let mut ran = Ran { done: Value::Null, events: Vec::new(), rounds: Vec::new() };
    let mut now = 0;
    loop {
        for event in orders["events"].as_array().unwrap() {
            ran.events.push(format!("{} {}", event["id"].as_str().unwrap(), event["state"].as_str().unwrap()));
        }
        if orders["done"].is_object() {
            assert!(plans.is_empty(), "a plan that is done is forgotten");
            ran.done = orders["done"].clone();
            return ran;
        }
        let calls = orders["calls"].as_array().unwrap();
        let rested: Vec<&Value> = orders["waits"].as_array().unwrap().iter().map(|wait| &wait["id"]).collect();
        assert!(!calls.is_empty() || !rested.is_empty(), "stuck: {orders}");
        ran.rounds.push(calls.iter().map(|call| call["id"].as_str().unwrap().to_owned()).collect());
        let ended: Vec<Value> = calls
            .iter()
            .map(|call| {
                let (name, id) = (call["tool"].as_str().unwrap(), call["id"].as_str().unwrap());
                match tool(name, &call["input"], id) {
                    Ok(Value::String(text)) => json!({ "id": id, "content": [{ "type": "text", "text": text }] }),
                    Ok(data) => json!({ "id": id, "content": [], "structuredContent": data }),
                    Err(why) => json!({ "id": id, "content": [{ "type": "text", "text": why }], "isError": true,
                        "isFinal": why == "denied" }),
                }
            })
            .collect();
        now += 10;
        let next = json!({ "do": "next", "plan": id, "ended": ended, "rested": rested, "now": now });
        orders = ask(&mut plans, next);
    }
}

fn search() -> Value {
    json!({ "total": 3, "issues": [
        { "number": 1, "title": "one" }, { "number": 2, "title": "two" }, { "number": 3, "title": "three" } ] })
}

fn well(name: &str, input: &Value, _: &str) -> Result<Value, String> {
    Ok(match name {
        "t.search" => search(),
        "t.close" => json!({ "closed": input["number"] }),
        _ => input.clone(),
    })
}

#[test]
fn every_mistake_is_told_at_once() {
    let plan = json!({ "step": 1, "steps": [
        { "id": "a", "tool": "t.serch", "input": { "query": "x" } },
        { "id": "a b", "tool": "echo", "dependson": [] },
        { "id": "c", "tool": "echo", "input": { "x": { "$from": "d" } } },
        { "id": "d", "tool": "echo", "input": { "x": "{{c.y}} and {{nobody.z}}" }, "dependsOn": ["b", 7] },
        { "id": "c", "tool": "echo", "input": { "x": { "$from": "item" } }, "take": "2" },
        { "id": "e", "tool": "t.close", "input": { "number": 1 }, "retry": 3, "onError": "ignore" },
        { "id": "f", "tool": "echo", "forEach": 5, "when": { "value": 1, "gt": 0, "lt": 2 } },
        { "id": "g", "tool": "echo", "input": { "x": { "$from": "g", "path": "x" } } },
    ], "return": { "$from": "z" } });
    assert_eq!(
        problems(plan),
        [
            "plan: `step` is unknown; did you mean `steps`?",
            "step `a`: tool: there is no tool `t.serch`; did you mean `t.search`?",
            "step `a b`: id: must be 1 to 64 letters, digits, `_` or `-`",
            "step `a b`: `dependson` is unknown; did you mean `dependsOn`?",
            "step `d`: dependsOn: there is no step `b`",
            "step `d`: dependsOn: must be an array of ids of steps",
            "step `d`: input.x: there is no step `nobody`",
            "step `c`: id: another step has it already",
            "step `c`: input.x: `item` is known within `forEach` and `filter` only",
            "step `c`: take: must be a whole number",
            "step `e`: retry: `t.close` may change something and is not marked as idempotent, so that it is not called again by itself",
            "step `e`: onError: must be \"fail\", \"skip\" or { \"default\": value }",
            "step `f`: when: compares twice: put each comparison into `all` or `any`",
            "step `f`: forEach: must be an array, or refer to one",
            "step `g`: input.x: `path` must be a JSON Pointer such as `/items/0/name`",
            "plan: return: there is no step `z`",
            "plan: these steps wait for each other: c -> d -> c",
        ]
    );
    assert_eq!(problems(json!(7)), ["plan: must be an object `{ steps: [...] }`"]);
    assert_eq!(problems(json!({ "steps": [] })), ["plan: steps: must be an array of at least one step"]);
}

#[test]
fn every_circle_is_found_and_what_leads_to_one_is_none() {
    let step = |id: &str, after: &[&str]| json!({ "id": id, "tool": "echo", "dependsOn": after });
    let plan = json!({ "steps": [
        step("a", &["a"]), step("b", &["a"]), step("c", &["d"]), step("d", &["e", "b"]), step("e", &["c"]), step("f", &[]),
    ] });
    assert_eq!(
        problems(plan),
        ["plan: these steps wait for each other: a -> a", "plan: these steps wait for each other: c -> d -> e -> c"]
    );
}

#[test]
fn what_cannot_fit_is_told_before_anything_runs() {
    let one = |step: Value| {
        problems(json!({ "steps": [{ "id": "s", "tool": "t.search", "input": { "query": "x" } }, step] }))
    };
    let close = |input: Value| one(json!({ "id": "c", "tool": "t.close", "input": input }));
    assert_eq!(close(json!({ "number": { "$from": "s", "path": "/total" } })), [""; 0]);
    assert_eq!(
        close(json!({ "number": { "$from": "s", "path": "/issues" }, "note": "{{s.total}}" })),
        ["step `c`: input.number: must be number, but what it refers to is array"]
    );
    assert_eq!(
        close(json!({ "number": { "$from": "s", "path": "/issues/0/titel" }, "note": "x {{s.totl}}" })),
        [
            "step `c`: input.number: `/issues/0/titel` is not in the result of `t.search`: it has number, title",
            "step `c`: input.note: `/totl` is not in the result of `t.search`: it has total, issues",
        ]
    );
    assert_eq!(
        close(json!({ "note": 5 })),
        ["step `c`: input: `number` is missing", "step `c`: input: note: must be a string, not a number"]
    );
    // The whole result, as MCP has it, and what a default stands in for.
    let fine = json!({ "number": { "$from": "s", "path": "/nr", "default": 1 }, "note": { "$from": "s", "path": "/content/0/text" } });
    assert_eq!(close(fine), [""; 0]);
    let each =
        |items: Value, input: Value| one(json!({ "id": "c", "tool": "t.close", "forEach": items, "input": input }));
    let issues = json!({ "$from": "s", "path": "/issues" });
    assert_eq!(each(issues.clone(), json!({ "number": "{{item.number}}" })), [""; 0]);
    assert_eq!(
        each(issues, json!({ "number": "{{item.title}}" })),
        ["step `c`: input.number: must be number, but what it refers to is string"]
    );
    assert_eq!(
        each(json!("{{s.total}}"), json!({ "number": 1 })),
        ["step `c`: forEach: wants an array, but that is number"]
    );
    let search = |input: Value| one(json!({ "id": "c", "tool": "t.search", "input": input }));
    assert_eq!(
        search(json!({ "qery": "{{s.total}}", "limit": 99 })),
        [
            "step `c`: input: `query` is missing",
            "step `c`: input.qery: is unknown; did you mean `query`?",
            "step `c`: input.limit: must be at most 50",
        ]
    );
}

#[test]
fn what_does_not_wait_runs_at_once() {
    let step = |id: &str, input: Value| json!({ "id": id, "tool": "echo", "input": input });
    let plan = json!({ "steps": [
        step("sum", json!({ "of": [{ "$from": "a", "path": "/x" }, "{{b.x}}"] })),
        step("a", json!({ "x": 1 })), step("b", json!({ "x": 2 })),
        { "id": "last", "tool": "echo", "dependsOn": ["a"] },
    ] });
    let waves = &ask(&mut Plans::default(), request("check", &plan))["waves"];
    assert_eq!(*waves, json!([["a", "b"], ["sum", "last"]]));
    let ran = run(plan, well);
    assert_eq!(ran.rounds, [vec!["c/a", "c/b"], vec!["c/sum", "c/last"]]);
    assert_eq!(ran.done["value"], json!({ "sum": { "of": [1, 2] }, "last": {} }));
    assert_eq!(
        ran.events,
        ["a running", "b running", "a ok", "b ok", "sum running", "last running", "sum ok", "last ok"]
    );
}

#[test]
fn one_step_is_done_for_each_element_of_another() {
    let plan = json!({ "steps": [
        { "id": "find", "tool": "t.search", "input": { "query": "bugs" }, "select": "/issues",
          "filter": { "path": "/number", "gt": 1 }, "take": 5 },
        { "id": "close", "tool": "t.close", "forEach": { "$from": "find" },
          "input": { "number": "{{item.number}}", "note": "{{index}}: {{ item.title }} of {{find.1.title}}" } },
    ], "return": { "closed": { "$from": "close" }, "first": "{{close[0].closed}}!", "raw": { "$literal": { "$from": 1 } } } });
    let ran = run(plan, |name, input, id| {
        if id == "c/close/1" {
            assert_eq!(*input, json!({ "number": 3, "note": "1: three of three" }));
        }
        well(name, input, id)
    });
    assert_eq!(ran.rounds[1], ["c/close/0", "c/close/1"]);
    let value = json!({ "closed": [{ "closed": 2 }, { "closed": 3 }], "first": "2!", "raw": { "$from": 1 } });
    assert_eq!((&ran.done["ok"], &ran.done["value"]), (&json!(true), &value));
    assert_eq!(ran.done["text"], value.to_string());
    let row = json!({ "id": "close", "tool": "t.close", "state": "ok", "calls": 2, "durationMs": 10 });
    assert_eq!(ran.done["steps"][1], row);
}

#[test]
fn results_are_narrowed_to_what_matters() {
    let find = |more: Value| {
        let mut step = json!({ "id": "a", "tool": "t.search", "input": { "query": "x" } });
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        run(json!({ "steps": [step] }), well).done
    };
    let value = |more: Value| find(more)["value"].clone();
    assert_eq!(
        value(json!({ "select": { "path": "/issues", "fields": ["title"] }, "take": -1 })),
        json!([{ "title": "three" }])
    );
    assert_eq!(value(json!({ "select": { "fields": { "n": "/issues/1/number", "x": "/gone" } } })), json!({ "n": 2 }));
    let wanted = json!({ "any": [{ "path": "/title", "contains": "w" }, { "all": [{ "path": "/number", "in": [3.0] }, { "not": { "path": "/gone", "exists": true } }] }] });
    assert_eq!(
        value(json!({ "select": "/issues", "filter": wanted, "take": 1 })),
        json!([{ "number": 2, "title": "two" }])
    );
    let failed = find(json!({ "take": 1 }));
    assert_eq!(failed["ok"], false);
    let why = "the plan failed at step `a`: filter and take want an array; the result is an object with the members total, issues";
    assert!(failed["text"].as_str().unwrap().starts_with(why), "{failed}");
    assert_eq!(find(json!({ "select": "/isues" }))["ok"], false);
}

#[test]
fn a_step_whose_condition_does_not_hold_is_skipped_with_whoever_needs_it() {
    let step = |id: &str, input: Value| json!({ "id": id, "tool": "echo", "input": input });
    let plan = json!({ "steps": [
        step("a", json!({ "n": 0 })),
        { "id": "b", "tool": "t.close", "input": { "number": 1 }, "when": { "$from": "a", "path": "/n" } },
        step("needs", json!({ "x": { "$from": "b" } })),
        step("copes", json!({ "x": { "$from": "b", "path": "/y", "default": "none" } })),
        { "id": "instead", "tool": "echo", "when": { "value": { "$from": "b" }, "exists": false } },
        { "id": "later", "tool": "echo", "dependsOn": ["b"] },
    ] });
    let ran = run(plan, well);
    let states: Vec<&str> =
        ran.done["steps"].as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["ok", "skipped", "skipped", "ok", "ok", "ok"]);
    assert_eq!(ran.done["steps"][2]["reason"], "it needs `b`, which was skipped");
    assert_eq!(ran.done["value"], json!({ "copes": { "x": "none" }, "instead": {}, "later": {} }));
}

#[test]
fn a_failure_ends_the_plan_unless_it_says_otherwise() {
    let tool = |name: &str, input: &Value, id: &str| {
        if name == "t.close" && input["number"] == 2 { Err("no such issue".to_owned()) } else { well(name, input, id) }
    };
    let plan = |on_error: Value| {
        json!({ "steps": [
            { "id": "close", "tool": "t.close", "forEach": [1, 2, 3], "input": { "number": "{{item}}" }, "onError": on_error },
            { "id": "after", "tool": "echo", "input": { "all": { "$from": "close" } } },
        ] })
    };
    let value = |on_error: Value| run(plan(on_error), tool).done["value"]["all"].clone();
    assert_eq!(value(json!("skip")), json!([{ "closed": 1 }, { "closed": 3 }]));
    assert_eq!(value(json!({ "default": null })), json!([{ "closed": 1 }, null, { "closed": 3 }]));
    let failed = run(plan(json!("fail")), tool);
    assert_eq!(failed.events, ["close running", "close failed"]);
    assert_eq!(
        failed.done["text"],
        "the plan failed at step `close`: element 1: no such issue\n- close failed after 3 calls\n- after not_run"
    );
    // A whole step, and its stand-in.
    let one = json!({ "steps": [
        { "id": "a", "tool": "t.close", "input": { "number": 2 }, "onError": { "default": { "closed": 9 } } },
        { "id": "b", "tool": "echo", "input": { "x": "{{a.closed}}" } },
    ] });
    let ran = run(one, tool);
    assert_eq!((&ran.done["value"], &ran.done["steps"][0]["state"]), (&json!({ "x": 9 }), &json!("defaulted")));
    assert_eq!(ran.done["text"], "{\"x\":9}\nstep `a` defaulted: no such issue");
}

#[test]
fn a_call_is_made_again_only_as_often_as_the_plan_says() {
    let plan = |attempts: u64| json!({ "steps": [{ "id": "a", "tool": "echo", "retry": { "attempts": attempts, "delayMs": 100 } }] });
    let busy = |_: &str, _: &Value, id: &str| if id.ends_with("~3") { Ok(json!(7)) } else { Err("busy".to_owned()) };
    let ran = run(plan(3), busy);
    assert_eq!(ran.rounds.concat(), ["c/a", "c/a~2", "c/a~3"]);
    assert_eq!(ran.events, ["a running", "a retrying", "a retrying", "a ok"]);
    assert_eq!(ran.done["steps"][0]["calls"], 3);
    assert_eq!(run(plan(2), busy).done["ok"], false);
    let denied = run(plan(3), |_, _, _| Err("denied".to_owned()));
    assert_eq!(denied.rounds.len(), 1, "what was refused is not asked for again");
}

#[test]
fn the_waits_before_another_try_grow() {
    let mut plans = Plans::default();
    let plan = json!({ "steps": [{ "id": "a", "tool": "echo", "retry": { "attempts": 4, "delayMs": 100 } }] });
    let mut orders = ask(&mut plans, request("open", &plan));
    let mut waits = Vec::new();
    for _ in 0..3 {
        let id = orders["calls"][0]["id"].clone();
        let failed = json!([{ "id": id, "content": [], "isError": true }]);
        let orders_then = ask(&mut plans, json!({ "do": "next", "plan": 1, "ended": failed }));
        waits.push(orders_then["waits"][0]["ms"].as_u64().unwrap());
        // What came twice, or is of nobody, changes nothing.
        let again = ask(&mut plans, json!({ "do": "next", "plan": 1, "ended": [{ "id": id }, { "id": "c/zz" }] }));
        assert_eq!((&again["calls"], &again["done"]), (&json!([]), &Value::Null));
        orders = ask(&mut plans, json!({ "do": "next", "plan": 1, "rested": [orders_then["waits"][0]["id"]] }));
    }
    assert_eq!(waits, [100, 200, 400]);
    assert_eq!(plans.len(), 1);
    ask(&mut plans, json!({ "do": "close", "plan": 1 }));
    assert!(plans.is_empty());
    assert!(plans.answer("{\"do\":\"next\",\"plan\":1}").is_err());
}

#[test]
fn when_a_plan_has_failed_nothing_more_is_started() {
    let plan = json!({ "steps": [
        { "id": "bad", "tool": "t.close", "input": { "number": 2 } },
        { "id": "good", "tool": "echo", "retry": 3 },
        { "id": "next", "tool": "echo", "dependsOn": ["good"] },
    ] });
    let mut plans = Plans::default();
    ask(&mut plans, request("open", &plan));
    let failed = json!([{ "id": "c/bad", "content": [], "isError": true }]);
    let orders = ask(&mut plans, json!({ "do": "next", "plan": 1, "ended": failed }));
    assert_eq!((&orders["withdraw"], &orders["done"]), (&json!(true), &Value::Null), "what is at work is waited for");
    let ended = json!([{ "id": "c/good", "content": [], "isError": true }]);
    let orders = ask(&mut plans, json!({ "do": "next", "plan": 1, "ended": ended }));
    assert_eq!((&orders["calls"], &orders["done"]["ok"]), (&json!([]), &json!(false)));
    let text = orders["done"]["text"].as_str().unwrap();
    assert!(text.starts_with("the plan failed at step `bad`: it failed without a word\n"), "{text}");
}

#[test]
fn a_path_that_leads_nowhere_says_where_it_ends() {
    let plan = json!({ "steps": [
        { "id": "a", "tool": "echo", "input": { "x": [{ "y": 1 }] } },
        { "id": "b", "tool": "echo", "input": { "z": "{{a.x[0].q}}" } },
    ] });
    let ran = run(plan, well);
    let why = "the plan failed at step `b`: there is no `/x/0/q` in the result of `a`: what it leads to is an object with the members y\n- a ok: {\"x\":[{\"y\":1}]}\n- b failed";
    assert_eq!(ran.done["text"], why);
}

#[test]
fn texts_are_read_as_json_and_numbers_become_texts_where_a_text_is_taken() {
    let plan = json!({ "steps": [
        { "id": "a", "tool": "echo" },
        { "id": "b", "tool": "t.search", "input": { "query": { "$from": "a", "path": "/n" } } },
        { "id": "c", "tool": "echo", "input": { "raw": { "$from": "a", "path": "/content/0/text" } } },
    ] });
    let ran = run(plan, |name, input, id| {
        if name == "t.search" {
            assert_eq!(*input, json!({ "query": "5" }));
        }
        if id == "c/a" { Ok(json!("{\"n\":5}")) } else { well(name, input, id) }
    });
    assert_eq!(ran.done["value"]["c"], json!({ "raw": "{\"n\":5}" }));
}

#[test]
fn no_document_makes_it_panic() {
    let words =
        ["steps", "id", "tool", "input", "forEach", "when", "$from", "path", "item", "echo", "a", "", "/0", "{{", "}}"];
    let mut state = 7_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    fn value(depth: usize, words: &[&str], draw: &mut impl FnMut(usize) -> usize) -> Value {
        match draw(if depth == 0 { 4 } else { 7 }) {
            0 => Value::Null,
            1 => json!(draw(9)),
            2 | 3 => json!([words[draw(words.len())], words[draw(words.len())]].concat()),
            4 => (0..draw(3)).map(|_| value(depth - 1, words, draw)).collect(),
            _ => {
                let fields = (0..draw(4)).map(|_| (words[draw(words.len())].to_owned(), value(depth - 1, words, draw)));
                Value::Object(fields.collect())
            }
        }
    }
    for _ in 0..3_000 {
        let mut step = value(4, &words, &mut draw);
        if let Some(step) = step.as_object_mut() {
            step.insert("id".into(), json!("a"));
            step.insert("tool".into(), json!("echo"));
        }
        let plan = json!({ "steps": [step, value(3, &words, &mut draw)] });
        let answer = ask(&mut Plans::default(), request("open", &plan));
        assert!(answer["problems"].is_array() || answer["plan"].is_u64());
    }
}
