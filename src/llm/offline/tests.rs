use serde_json::{Value, json};

use super::*;
use crate::llm::turn::Turn;

fn tools(text: &str) -> Vec<ToolDefinition> {
    let Value::Array(list) = serde_json::from_str(text).unwrap() else { panic!("a list of tools") };
    let text = |tool: &Value, field: &str| tool[field].as_str().unwrap().to_owned();
    let read = |tool: &Value| ToolDefinition {
        name: text(tool, "name"),
        description: text(tool, "description"),
        input_schema: tool["inputSchema"].clone(),
    };
    list.iter().map(read).collect()
}

/// The tools that `@modelcontextprotocol/server-everything` 2026 lists, as recorded.
fn everything() -> Vec<ToolDefinition> {
    tools(include_str!("../../../tests/data/everything-tools.json"))
}

/// A made-up office: mail, calendar, tracker, files, weather, web, math.
fn office() -> Vec<ToolDefinition> {
    tools(include_str!("../../../tests/data/office-tools.json"))
}

fn reply(messages: &[Message], tools: &[ToolDefinition]) -> Message {
    let deltas = answer(OfflineRequest { system: None, messages, tools });
    let mut turn = Turn::default();
    deltas.iter().for_each(|delta| turn.apply(delta));
    let stop = turn.finish();
    let asks = stop.message.content.iter().any(|block| matches!(block, Block::ToolUse { .. }));
    assert_eq!(stop.stop_reason == StopReason::ToolUse, asks);
    stop.message
}

fn show(message: &Message) -> String {
    let show = |block: &Block| match block {
        Block::ToolUse { name, input, .. } => [name.as_str(), &input.to_string()].concat(),
        Block::Text { text } => text.replace(say::NOTE, "").trim().to_owned(),
        other => panic!("{other:?}"),
    };
    message.content.iter().map(show).collect::<Vec<_>>().join(" & ")
}

fn first(prompt: &str, tools: &[ToolDefinition]) -> String {
    show(&reply(&[Message::user(prompt)], tools))
}

/// Runs a prompt to its end, answering each tool use through `serve`, and returns what was asked and said.
fn run(prompt: &str, tools: &[ToolDefinition], serve: &dyn Fn(&str, &Value) -> (String, bool)) -> Vec<String> {
    let mut messages = vec![Message::user(prompt)];
    go_on(&mut messages, tools, serve)
}

fn go_on(
    messages: &mut Vec<Message>,
    tools: &[ToolDefinition],
    serve: &dyn Fn(&str, &Value) -> (String, bool),
) -> Vec<String> {
    let mut log = Vec::new();
    for _ in 0..10 {
        let message = reply(messages, tools);
        log.push(show(&message));
        let mut results = Vec::new();
        for block in &message.content {
            if let Block::ToolUse { id, name, input, .. } = block {
                let (text, is_error) = serve(name, input);
                let content = vec![json!({ "type": "text", "text": text })];
                results.push(Block::ToolResult { tool_use_id: id.clone(), content, is_error });
            }
        }
        messages.push(message);
        if results.is_empty() {
            return log;
        }
        messages.push(Message { role: Role::User, content: results });
    }
    panic!("no end: {log:?}");
}

/// Answers as the server "everything" does.
fn serve(name: &str, input: &Value) -> (String, bool) {
    match name.rsplit('_').next().unwrap_or(name) {
        "get-sum" => {
            let (a, b) = (&input["a"], &input["b"]);
            let sum = a.as_f64().unwrap() + b.as_f64().unwrap();
            (format!("The sum of {a} and {b} is {sum}."), false)
        }
        "echo" => (format!("Echo: {}", input["message"].as_str().unwrap()), false),
        "get-structured-content" => (r#"{"temperature":33,"sky":{"clouds":["few","high"]}}"#.into(), false),
        "get-env" => ("no environment here".into(), true),
        other => (format!("{other} is done"), false),
    }
}

#[test]
fn phrases_lead_to_calls() {
    let cases = [
        ("What is 17 + 25?", r#"get-sum{"a":17,"b":25}"#),
        ("17+25", r#"get-sum{"a":17,"b":25}"#),
        ("add 5 and 7", r#"get-sum{"a":5,"b":7}"#),
        ("the sum of -3 and 4.5", r#"get-sum{"a":-3,"b":4.5}"#),
        ("What is the sum of 3 and 4?", r#"get-sum{"a":3,"b":4}"#),
        ("3 plus four", r#"get-sum{"a":3,"b":4}"#),
        ("get-sum 1 2", r#"get-sum{"a":1,"b":2}"#),
        (r#"get-sum {"a": 1, "b": 2}"#, r#"get-sum{"a":1,"b":2}"#),
        ("get-sum b=1, a: 2", r#"get-sum{"a":2,"b":1}"#),
        ("add 1,000 km and 20kg", r#"get-sum{"a":1000,"b":20}"#),
        ("echo hello world", r#"echo{"message":"hello world"}"#),
        ("say \"hi there; then go\"", r#"echo{"message":"hi there; then go"}"#),
        ("please repeat after me: it is what it is", r#"echo{"message":"it is what it is"}"#),
        ("echo salt and pepper", r#"echo{"message":"salt and pepper"}"#),
        ("Echo the message grüße, 世界 🌍!", r#"echo{"message":"grüße, 世界 🌍!"}"#),
        ("echo hello and add 2 and 3", r#"echo{"message":"hello"} & get-sum{"a":2,"b":3}"#),
        ("use echo with message: bye", r#"echo{"message":"bye"}"#),
        (
            "show me an annotated message of type error with image",
            r#"get-annotated-message{"messageType":"error","includeImage":true}"#,
        ),
        (
            "get an annotated success message without an image",
            r#"get-annotated-message{"messageType":"success","includeImage":false}"#,
        ),
        ("list the environment variables", "get-env{}"),
        ("give me 4 resource links", r#"get-resource-links{"count":4}"#),
        ("structured content for new york", r#"get-structured-content{"location":"New York"}"#),
        ("show a tiny image", "get-tiny-image{}"),
        ("compress https://x.org/a.txt", r#"gzip-file-as-resource{"data":"https://x.org/a.txt"}"#),
        (
            "run a long running operation for 3 seconds with 2 steps",
            r#"trigger-long-running-operation{"duration":3,"steps":2}"#,
        ),
        ("toggle logging", "toggle-simulated-logging{}"),
        (
            "simulate a research query about quantum computing",
            r#"simulate-research-query{"topic":"quantum computing"}"#,
        ),
        (
            "trigger-sampling-request with prompt tell me a joke",
            r#"trigger-sampling-request{"prompt":"tell me a joke"}"#,
        ),
        ("get a Blob resource reference 7", r#"get-resource-reference{"resourceType":"Blob","resourceId":7}"#),
        ("list roots", "get-roots-list{}"),
    ];
    for (prompt, expected) in cases {
        assert_eq!(first(prompt, &everything()), expected, "{prompt}");
    }
}

#[test]
fn phrases_lead_to_calls_among_many_servers() {
    let cases = [
        ("weather in Oslo", r#"weather__get_forecast{"city":"Oslo"}"#),
        ("What will the weather be like in Oslo tomorrow?", r#"weather__get_forecast{"city":"Oslo"}"#),
        ("will it rain in New York?", r#"weather__get_forecast{"city":"New York"}"#),
        ("Oslo's weather for 3 days", r#"weather__get_forecast{"city":"Oslo","days":3}"#),
        ("forecast for Bergen, Norway in metric", r#"weather__get_forecast{"city":"Bergen, Norway","units":"metric"}"#),
        (
            "weather in Oslo and weather in Bergen",
            r#"weather__get_forecast{"city":"Oslo"} & weather__get_forecast{"city":"Bergen"}"#,
        ),
        ("search the web for rust wasm", r#"web__search{"query":"rust wasm"}"#),
        ("search for sushi", r#"web__search{"query":"sushi"}"#),
        (
            "send a mail to bob@example.com about lunch saying see you at noon",
            r#"mail__send_message{"to":"bob@example.com","subject":"lunch","body":"see you at noon"}"#,
        ),
        ("email bob@x.org \"see you\"", r#"mail__send_message{"to":"bob@x.org","body":"see you"}"#),
        ("send a message saying hello to bob", r#"mail__send_message{"to":"bob","body":"hello"}"#),
        (
            "send a mail to bob saying hello. See you soon",
            r#"mail__send_message{"to":"bob","body":"hello. See you soon"}"#,
        ),
        (
            "create an issue titled \"Crash on start\" with priority HIGH",
            r#"tracker__create_issue{"title":"Crash on start","priority":"high"}"#,
        ),
        ("file a bug: the page is blank", r#"tracker__create_issue{"title":"the page is blank"}"#),
        ("open an issue titled broken link", r#"tracker__create_issue{"title":"broken link"}"#),
        (
            "create issue with labels: ui, bug and title: Broken button",
            r#"tracker__create_issue{"title":"Broken button","labels":["ui","bug"]}"#,
        ),
        ("what are my open issues?", r#"tracker__list_issues{"state":"open"}"#),
        ("list closed issues, limit 5", r#"tracker__list_issues{"state":"closed","limit":5}"#),
        ("close issue #42 because it is done", r#"tracker__close_issue{"number":42,"comment":"it is done"}"#),
        ("read /etc/hosts", r#"files__read_file{"path":"/etc/hosts"}"#),
        ("read the file notes.txt", r#"files__read_file{"path":"notes.txt"}"#),
        ("delete the file /tmp/x.txt", r#"files__delete_file{"path":"/tmp/x.txt"}"#),
        ("list the files in /docs recursively", r#"files__list_directory{"path":"/docs"}"#),
        ("list the directory /docs, recursive: yes", r#"files__list_directory{"path":"/docs","recursive":true}"#),
        ("3 * 4", r#"math__multiply{"numbers":[3,4]}"#),
        ("multiply 2, 3 and 4", r#"math__multiply{"numbers":[2,3,4]}"#),
        ("convert 100 EUR to USD", r#"math__convert_currency{"amount":100,"from":"EUR","to":"USD"}"#),
        (
            "create an event titled Standup on 2026-07-28 with bob@x.org and eve@x.org",
            r#"calendar__create_event{"title":"Standup","date":"2026-07-28","attendees":["bob@x.org","eve@x.org"]}"#,
        ),
        ("what events are there on 2026-08-01?", r#"calendar__list_events{"date":"2026-08-01"}"#),
        ("search mail for invoices", r#"mail__search_messages{"query":"invoices"}"#),
        ("find unread messages about taxes", r#"mail__search_messages{"query":"taxes","unread":true}"#),
    ];
    for (prompt, expected) in cases {
        assert_eq!(first(prompt, &office()), expected, "{prompt}");
    }
}

#[test]
fn what_no_tool_is_for_is_not_called() {
    let cases = [
        (false, "What is the meaning of life?"),
        (false, "tell me a joke"),
        (false, "I love New York"),
        (false, "add an event to the calendar"),
        (false, "everything is fine"),
        (false, "I had a great message from my mom"),
        (false, "multiply 3 by 4"),
        (true, "who is the king of Norway?"),
        (true, "send it to the moon"),
        (true, "delete everything"),
    ];
    for (in_office, prompt) in cases {
        let tools = if in_office { office() } else { everything() };
        let text = first(prompt, &tools);
        assert!(text.starts_with("I found no tool for that. I can use these tools:\n- `"), "{prompt}: {text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("- `")).count(), 8, "{text}");
        assert!(text.contains(&format!("… and {} more.", tools.len() - 8)), "{text}");
    }
    assert!(first("Hello", &everything()).starts_with("Hello! I can use these tools:"));
    assert!(first("what can you do?", &office()).starts_with("I can use these tools:"));
    assert!(first("help", &[]).starts_with("No tools are connected yet."));
}

#[test]
fn it_asks_for_what_is_missing_or_unclear_and_takes_the_answer() {
    let cases = [
        (false, "add 5", "`b` (Second number). What should it be?", "7", r#"get-sum{"a":5,"b":7}"#),
        (
            false,
            "echo",
            "`message` (Message to echo). What should it be?",
            "hello there",
            r#"echo{"message":"hello there"}"#,
        ),
        (
            false,
            "annotated message",
            "one of error, success, debug). What should it be?",
            "debug",
            r#"get-annotated-message{"messageType":"debug"}"#,
        ),
        (false, "toggle", "- `toggle-subscriber-updates`", "the logging", "toggle-simulated-logging{}"),
        (true, "weather", "`city` (Name of the city)", "Oslo", r#"weather__get_forecast{"city":"Oslo"}"#),
        (
            true,
            "send a mail to bob@x.org",
            "`body` (Text of the message)",
            "saying see you",
            r#"mail__send_message{"to":"bob@x.org","body":"see you"}"#,
        ),
        (
            true,
            "create an event titled Review tomorrow",
            "`date` (Day, as 2026-07-28)",
            "2026-08-02",
            r#"calendar__create_event{"title":"Review tomorrow","date":"2026-08-02"}"#,
        ),
    ];
    for (in_office, prompt, question, said, expected) in cases {
        let tools = if in_office { office() } else { everything() };
        let mut messages = vec![Message::user(prompt)];
        let asked = go_on(&mut messages, &tools, &serve);
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert!(asked[0].contains(question), "{prompt}: {asked:?}");
        messages.push(Message::user(said));
        assert_eq!(go_on(&mut messages, &tools, &serve)[0], expected, "{prompt} / {said}");
    }
}

#[test]
fn a_chain_passes_results_on() {
    let log = run("What is 17 + 25? Then echo the result", &everything(), &serve);
    let expected = [
        r#"get-sum{"a":17,"b":25}"#,
        r#"echo{"message":"The sum of 17 and 25 is 42."}"#,
        "What is 17 + 25: The sum of 17 and 25 is 42.\necho the result: Echo: The sum of 17 and 25 is 42.",
    ];
    assert_eq!(log, expected);
    let log = run("add 2 and 3, then add 10 to it; echo the sum", &everything(), &serve);
    assert_eq!(log[1], r#"get-sum{"a":10,"b":5}"#);
    assert_eq!(log[2], r#"echo{"message":"The sum of 10 and 5 is 15."}"#);
    let log = run("add 2 and 3 and echo the result", &everything(), &serve);
    assert_eq!(log[..2], [r#"get-sum{"a":2,"b":3}"#, r#"echo{"message":"The sum of 2 and 3 is 5."}"#]);
    let log = run("read notes.txt then send it to bob@x.org", &office(), &serve);
    assert_eq!(log[1], r#"mail__send_message{"to":"bob@x.org","body":"file is done"}"#);
}

#[test]
fn wire_names_with_a_server_in_front_are_understood() {
    for joint in ["_", "__", "-"] {
        let mut tools = everything();
        tools.iter_mut().for_each(|tool| tool.name = ["everything", joint, &tool.name].concat());
        let log = run("What is 17 + 25? Then echo the result", &tools, &serve_any);
        assert_eq!(log[0], ["everything", joint, r#"get-sum{"a":17,"b":25}"#].concat());
        assert_eq!(log[1], ["everything", joint, r#"echo{"message":"17 25 42"}"#].concat());
        let named = ["use everything", joint, "echo with message hi"].concat();
        assert_eq!(first(&named, &tools), ["everything", joint, r#"echo{"message":"hi"}"#].concat());
    }
}

fn serve_any(_: &str, _: &Value) -> (String, bool) {
    ("17 25 42".into(), false)
}

#[test]
fn a_later_prompt_may_refer_to_an_earlier_result() {
    let tools = everything();
    let mut messages = vec![Message::user("17 + 25")];
    assert_eq!(go_on(&mut messages, &tools, &serve)[1], "The sum of 17 and 25 is 42.");
    messages.push(Message::user("Now echo that"));
    let log = go_on(&mut messages, &tools, &serve);
    assert_eq!(log[0], r#"echo{"message":"The sum of 17 and 25 is 42."}"#);
    let ids: Vec<&String> = messages
        .iter()
        .flat_map(|message| &message.content)
        .filter_map(|block| match block {
            Block::ToolUse { id, .. } => Some(id),
            _ => None,
        })
        .collect();
    assert_eq!(ids, ["off_1_0", "off_5_0"]);
}

#[test]
fn failures_end_the_chain_and_are_told() {
    let log = run("list the environment variables, then echo hello", &everything(), &serve);
    assert_eq!(log, ["get-env{}", "`get-env` failed: no environment here\nI stopped there."]);
    let log = run("add 2 and 3, then make coffee, then echo", &everything(), &serve);
    assert!(
        log[1].starts_with("The sum of 2 and 3 is 5.\nI found no tool for \"make coffee\".\nTo call `echo`"),
        "{log:?}"
    );
}

#[test]
fn results_are_shown_short_and_readable() {
    let log = run("structured content for Chicago", &everything(), &serve);
    assert_eq!(log[1], "temperature: 33\nsky.clouds: few, high");
    let blocks = [
        json!({ "type": "text", "text": "Here" }),
        json!({ "type": "image", "mimeType": "image/png", "data": "AAAA" }),
        json!({ "type": "resource_link", "name": "Notes", "uri": "demo://n" }),
        json!({ "type": "resource", "resource": { "uri": "demo://t", "text": "inside" } }),
        json!({ "type": "resource", "resource": { "uri": "demo://b", "mimeType": "x/y", "blob": "AA" } }),
        json!(7),
    ];
    let expected =
        "Here\n[image image/png]\nNotes (demo://n)\ninside\n[resource demo://b x/y]\n[content of unknown type]";
    assert_eq!(say::result(&blocks), expected);
    let long = say::result(&[json!({ "type": "text", "text": "ü".repeat(5_000) })]);
    assert!(long.ends_with("… (3000 more characters are not shown here)"), "{long}");
    let many = say::result(&[
        json!({ "type": "text", "text": json!((0..50).map(|n| json!({ "n": n })).collect::<Vec<_>>()).to_string() }),
    ]);
    assert!(many.ends_with("40.n: 39\n… (10 more lines are not shown here)"), "{many}");
    assert_eq!(say::result(&[]), "done, without any output.");
}

#[test]
fn it_says_once_what_it_is() {
    let tools = everything();
    let mut messages = vec![Message::user("17 + 25")];
    go_on(&mut messages, &tools, &serve);
    messages.push(Message::user("echo hi"));
    go_on(&mut messages, &tools, &serve);
    messages.push(Message::user("hello"));
    go_on(&mut messages, &tools, &serve);
    let told: Vec<usize> = (0..messages.len()).filter(|at| messages[*at].text().contains(say::NOTE)).collect();
    assert_eq!(told, [3], "the first answer in words");
    for word in ["offline", "not a language model", "`anthropic`", "`openai`"] {
        assert!(say::NOTE.contains(word));
    }
}

#[test]
fn text_streams_in_words_and_usage_is_told() {
    let deltas =
        answer(OfflineRequest { system: Some("Be brief."), messages: &[Message::user("hello")], tools: &everything() });
    let words = deltas.iter().filter(|delta| matches!(delta, Delta::Text(_))).count();
    assert!(words > 50, "{words}");
    let [.., Delta::Usage(usage), Delta::Stop(StopReason::EndTurn)] = deltas.as_slice() else { panic!("{deltas:?}") };
    assert!(usage.input_tokens > 500 && usage.output_tokens > 50, "{usage:?}");
}

/// A small generator; the seed is in the failure's message.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 64] = [
            "echo",
            "then",
            "and",
            ",",
            ";",
            ".",
            "?",
            "\n",
            "add",
            "17",
            "-3.5",
            "+",
            "x",
            "the result",
            "it",
            "\"",
            "'",
            "“",
            "”",
            "{",
            "}",
            "[1,2]",
            "{\"a\":1}",
            ":",
            "=",
            "a=",
            "b:",
            "message:",
            "to",
            "in",
            "saying",
            "about",
            "ü",
            "🌍",
            "世界",
            "e\u{301}",
            "\u{200d}",
            "İ",
            "1e999",
            "9999999999999999999999",
            "1,000,",
            "--",
            "get-sum",
            "mail",
            "send",
            "search",
            "for",
            "with",
            "without",
            "image",
            "true",
            "bob@x.org",
            "@",
            "://",
            "/",
            "/a.b",
            "2026-07-28",
            "12:30",
            "'s",
            "’s",
            "-",
            "$ref",
            "weather",
            "all",
        ];
        let mut text = String::new();
        for _ in 0..self.roll(24) {
            text.push_str(PIECES[self.roll(PIECES.len())]);
            if self.roll(3) > 0 {
                text.push(' ');
            }
        }
        text
    }

    fn schema(&mut self, depth: usize) -> Value {
        let words = [
            "type",
            "properties",
            "required",
            "enum",
            "$ref",
            "anyOf",
            "items",
            "default",
            "format",
            "const",
            "description",
            "a",
            "message",
        ];
        let leaf = [
            "string",
            "number",
            "integer",
            "boolean",
            "array",
            "object",
            "null",
            "#",
            "#/properties/a",
            "date",
            "email",
            "odd",
        ];
        match self.roll(if depth > 4 { 4 } else { 8 }) {
            0 => Value::Null,
            1 => json!(self.roll(9)),
            2 | 3 => json!(leaf[self.roll(leaf.len())]),
            4 => (0..self.roll(4)).map(|_| self.schema(depth + 1)).collect(),
            _ => {
                let mut map = serde_json::Map::new();
                for _ in 0..self.roll(6) {
                    map.insert(words[self.roll(words.len())].into(), self.schema(depth + 1));
                }
                Value::Object(map)
            }
        }
    }
}

#[test]
fn no_text_schema_or_history_breaks_it() {
    let (everything, office) = (everything(), office());
    for seed in 0..200u64 {
        let mut dice = Dice(seed);
        let mut tools = if seed % 2 == 0 { everything.clone() } else { office.clone() };
        for _ in 0..dice.roll(3) {
            let input_schema = json!({ "type": "object", "properties": { "a": dice.schema(0), "message": dice.schema(0) }, "required": ["a", dice.schema(3)] });
            tools.push(ToolDefinition {
                name: dice.text().chars().filter(|char| char.is_ascii_alphanumeric()).collect(),
                description: dice.text(),
                input_schema,
            });
        }
        let mut messages = Vec::new();
        for _ in 0..1 + dice.roll(3) {
            messages.push(Message::user(dice.text()));
            let serve = |_: &str, input: &Value| (input.to_string(), seed % 7 == 0);
            // Ends within ten turns, or `go_on` panics; every call must be valid to `Turn`.
            if messages[messages.len() - 1].text().matches("then").count()
                + messages[messages.len() - 1].text().matches(['.', ';', '?', '\n', ',']).count()
                < 5
            {
                go_on(&mut messages, &tools, &serve);
            }
        }
        messages.rotate_left(seed as usize % 2);
        let request = OfflineRequest { system: None, messages: &messages, tools: &tools };
        let deltas = answer(request);
        assert_eq!(deltas, answer(request), "seed {seed}");
        let mut joined = String::new();
        for delta in &deltas {
            match delta {
                Delta::ToolInput { json, .. } => {
                    assert!(serde_json::from_str::<Value>(json).unwrap().is_object(), "seed {seed}");
                }
                Delta::Text(text) => joined.push_str(text),
                _ => {}
            }
        }
        assert!(joined.len() < 120_000, "seed {seed}");
    }
}

#[test]
fn huge_prompts_and_catalogues_take_bounded_time() {
    let mut tools = office();
    for number in 0..100 {
        let values: Vec<String> = (0..200).map(|value| format!("value {value}")).collect();
        tools.push(ToolDefinition {
            name: format!("tool{number}_frobnicate"),
            description: "frobnicates value by value".into(),
            input_schema: json!({ "properties": { "x": { "enum": values } } }),
        });
    }
    let prompt = "value and weather in Oslo, ".repeat(10_000);
    let deltas = answer(OfflineRequest { system: None, messages: &[Message::user(prompt)], tools: &tools });
    assert!(deltas.len() > 3);
    for text in ["世，".repeat(100_000), "« \" [{ ".repeat(50_000), "a".repeat(300_000)] {
        let deltas = answer(OfflineRequest { system: None, messages: &[Message::user(text)], tools: &tools[..20] });
        assert!(deltas.len() > 3);
    }
}
