//! The examples of the specification, revision 2026-07-28, through the readers and writers of the client: nothing is lost.
//!
//! `tests/data/mcp-2026-07-28-examples.json` holds the files of `schema/2026-07-28/examples` of the specification's
//! repository (github.com/modelcontextprotocol/modelcontextprotocol, Apache-2.0 and MIT), by path. Each folder is named
//! after a type of the schema; [`check`] says what is done with it, so a type that it does not know fails.

use edgewise::http::{Head, Headers};
use edgewise::jsonrpc;
use edgewise::mcp::config::ServerConfig;
use edgewise::mcp::connect::{Connect, Step};
use edgewise::mcp::era::Era;
use edgewise::mcp::exchange::{Answer, Exchange, Failure, Message};
use edgewise::mcp::input::{Answerers, Ask};
use edgewise::mcp::request::{self, Call};
use edgewise::mcp::tools::{check_call_result, read_call_result, read_tools};
use edgewise::options::FunctionId;
use serde_json::{Map, Value, json};

const ID: u64 = 7;

fn examples() -> Map<String, Value> {
    serde_json::from_str(include_str!("data/mcp-2026-07-28-examples.json")).unwrap()
}

fn config() -> ServerConfig {
    ServerConfig::read(&json!({ "name": "calc", "url": "https://calc.test/mcp" }), "server").unwrap()
}

/// Both have the same members in the same order, and the same numbers to the digit.
fn same(what: &str, ours: &Value, theirs: &Value) {
    assert_eq!(ours.to_string(), theirs.to_string(), "{what}");
}

/// Sends a message as a server would, with the answer's id set to ours, and reads what comes of it.
fn receive(mut message: Value) -> Result<Vec<Message>, Failure> {
    if message.get("id").is_some_and(|id| !id.is_null()) {
        message["id"] = json!(ID);
    }
    let mut headers = Headers::new();
    headers.set("content-type", "text/event-stream");
    let mut exchange = Exchange::new(Era::Modern, "a request to calc", Some(ID));
    let mut messages = Vec::new();
    exchange.head(&Head { status: 200, headers })?;
    exchange.feed(format!("data: {message}\n\n").as_bytes(), &mut messages)?;
    Ok(messages)
}

fn answer(result: &Value) -> Answer {
    match receive(json!({ "jsonrpc": "2.0", "id": ID, "result": result })).unwrap().pop() {
        Some(Message::Answer(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

fn complete(result: &Value) -> Map<String, Value> {
    match answer(result) {
        Answer::Complete(result) => result,
        other => panic!("{other:?}"),
    }
}

/// Builds the same request and compares all but the id and what the client says of itself.
fn sends(what: &str, method: &str, params: &Value) {
    let mut theirs = params.as_object().unwrap().clone();
    let meta = theirs.shift_remove("_meta");
    let token = meta.as_ref().and_then(|meta| meta.get("progressToken"));
    let params: Vec<(&str, &Value)> = theirs.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let mut call = Call::new(method, &params);
    call.progress = token.is_some();
    let post = request::modern(&call, ID, "2026-07-28", &config(), None);
    let mut body: Value = serde_json::from_str(post.body.as_deref().unwrap()).unwrap();
    let ours = body["params"].as_object_mut().unwrap().shift_remove("_meta").unwrap();
    same(what, &body, &json!({ "jsonrpc": "2.0", "id": ID, "method": method, "params": theirs }));
    for name in meta.as_ref().and_then(Value::as_object).into_iter().flat_map(Map::keys) {
        assert!(ours.get(name).is_some(), "{what}: {name}");
    }
    assert_eq!(post.headers.get("mcp-method"), Some(method), "{what}");
    let subject = theirs.get("name").or(theirs.get("uri")).and_then(Value::as_str);
    assert_eq!(post.headers.get("mcp-name"), subject, "{what}");
}

/// Reads what a server asks; gives the result that goes back for an answer.
fn asked(method: &str, params: &Value) -> Ask {
    let ask = Ask::read(method, Some(params.clone())).unwrap();
    assert_eq!(ask.method(), method);
    let shown = ask.to_value("calc");
    for (ours, theirs) in [("message", "message"), ("schema", "requestedSchema"), ("url", "url")] {
        if let Some(theirs) = params.get(theirs) {
            same(method, &shown[ours], theirs);
        }
    }
    if method == "sampling/createMessage" {
        same(method, &shown, params);
    }
    ask
}

/// A form that has what the answer gives, and no more.
fn form_for(content: Option<&Value>) -> Value {
    let fields = content.and_then(Value::as_object).into_iter().flatten();
    let typed = fields.map(|(name, value)| {
        let kind = if value.is_string() { "string" } else { "number" };
        (name.clone(), json!({ "type": kind }))
    });
    let properties: Map<String, Value> = typed.collect();
    json!({ "message": "m", "requestedSchema": { "type": "object", "properties": properties } })
}

fn refused(what: &str, error: &Value) {
    let failure = receive(json!({ "jsonrpc": "2.0", "id": ID, "error": error })).unwrap_err();
    let rpc = failure.rpc.unwrap();
    assert_eq!((rpc.code, rpc.message.as_str()), (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap()));
    assert_eq!(rpc.data.as_ref(), error.get("data"), "{what}");
    assert_eq!(failure.error.rpc_code, Some(rpc.code), "{what}");
}

fn notified(what: &str, method: &str, params: Option<&Value>) {
    let mut message = json!({ "jsonrpc": "2.0", "method": method });
    if let Some(params) = params {
        message["params"] = params.clone();
    }
    if method == "notifications/progress" {
        message["params"]["progressToken"] = json!(ID);
    }
    match receive(message).unwrap().pop() {
        Some(Message::Notification { method: ours, params: given }) => {
            assert_eq!((ours.as_str(), given.as_ref()), (method, params), "{what}");
        }
        Some(Message::Progress(progress)) => {
            let params = params.unwrap();
            assert_eq!(Some(progress.progress), params["progress"].as_f64(), "{what}");
            assert_eq!(progress.total, params.get("total").and_then(Value::as_f64), "{what}");
            assert_eq!(progress.message.as_deref(), params.get("message").and_then(Value::as_str), "{what}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

/// The tool's name, texts and schemas, as the agent has them.
fn tool(what: &str, theirs: &Value) {
    let (mut tools, mut warnings) = (Vec::new(), Vec::new());
    read_tools(vec![theirs.clone()], Era::Modern, &mut tools, &mut warnings);
    assert_eq!(warnings, Vec::<String>::new(), "{what}");
    let tool = &tools[0];
    assert_eq!(Some(tool.name.as_str()), theirs["name"].as_str(), "{what}");
    assert_eq!(tool.title.as_deref(), theirs.get("title").and_then(Value::as_str), "{what}");
    assert_eq!(tool.description, theirs.get("description").and_then(Value::as_str).unwrap_or(""), "{what}");
    same(what, &tool.input_schema, &theirs["inputSchema"]);
    assert_eq!(tool.output_schema.as_ref(), theirs.get("outputSchema"), "{what}");
}

fn called(what: &str, theirs: &Value) {
    let result = complete(theirs);
    check_call_result(&result, "tools/call").unwrap();
    let result = read_call_result(result);
    same(what, &Value::Array(result.content), &theirs["content"]);
    assert_eq!(result.structured_content.as_ref(), theirs.get("structuredContent"), "{what}");
    assert_eq!(result.is_error, theirs.get("isError").is_some_and(|failed| failed == true), "{what}");
}

fn capabilities(what: &str, theirs: &Value) {
    let result = json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": theirs });
    let mut connect = Connect::new("calc", None);
    connect.discovered(Ok(complete(&result)));
    match connect.next() {
        Step::Ready(link) => same(what, &Value::Object(link.capabilities.clone()), theirs),
        other => panic!("{what}: {other:?}"),
    }
}

/// What the client declares when the app can answer everything; the examples that it may declare are part of it.
fn declared(what: &str, theirs: &Value) {
    let everything = Answerers {
        input: Some(FunctionId(0)),
        sampling: Some(FunctionId(1)),
        roots: Some(edgewise::mcp::input::Roots::Function(FunctionId(2))),
        attended: false,
    };
    let ours: Value = serde_json::from_str(&everything.capabilities(Era::Modern)).unwrap();
    let (name, theirs) = theirs.as_object().unwrap().iter().next().unwrap();
    match what.rsplit('/').next().unwrap() {
        "elicitation-form-and-url-mode-support"
        | "roots-minimum-baseline-support"
        | "sampling-minimum-baseline-support" => {
            same(what, &ours[name], theirs);
        }
        // A form is what an empty object means; both modes are said here.
        "elicitation-form-only-implicit" => assert!(ours[name].get("form").is_some()),
        // Not offered: deprecated, and two that the app's answers would have to keep to.
        "extensions-ui-mime-types" => assert!(ours.pointer("/extensions/io.modelcontextprotocol~1ui").is_none()),
        "sampling-context-inclusion-support-deprecated" => assert!(ours[name].get("context").is_none()),
        "sampling-tool-use-support" => assert!(ours[name].get("tools").is_none()),
        other => panic!("{other}"),
    }
}

fn call_method(of: &str) -> Option<&'static str> {
    Some(match of {
        "CallTool" => "tools/call",
        "Complete" => "completion/complete",
        "Discover" => "server/discover",
        "GetPrompt" => "prompts/get",
        "ListPrompts" => "prompts/list",
        "ListResourceTemplates" => "resources/templates/list",
        "ListResources" => "resources/list",
        "ListTools" | "Paginated" => "tools/list",
        "ReadResource" => "resources/read",
        "SubscriptionsListen" => "subscriptions/listen",
        _ => return None,
    })
}

fn ask_method(of: &str) -> Option<&'static str> {
    Some(match of {
        "CreateMessage" => "sampling/createMessage",
        "Elicit" => "elicitation/create",
        "ListRoots" => "roots/list",
        _ => return None,
    })
}

fn check(path: &str, example: &Value) {
    let (of, _) = path.split_once('/').unwrap();
    let stem = |ending: &str| of.strip_suffix(ending);
    match of {
        "CallToolResult" => return called(path, example),
        "Tool" => return tool(path, example),
        "ClientCapabilities" => return declared(path, example),
        "ServerCapabilities" => return capabilities(path, example),
        "InputRequests" => {
            for request in example.as_object().unwrap().values() {
                asked(request["method"].as_str().unwrap(), &request["params"]);
            }
            return;
        }
        "InputRequiredResult" => match answer(example) {
            Answer::InputRequired { requests, state } => {
                assert_eq!(
                    Some(requests).filter(|all| !all.is_empty()).as_ref(),
                    example.get("inputRequests").and_then(Value::as_object)
                );
                return assert_eq!(state.as_deref(), example.get("requestState").and_then(Value::as_str), "{path}");
            }
            other => panic!("{path}: {other:?}"),
        },
        "InputResponses" => {
            let result = |key: &str, ask: Ask| same(path, &ask.result(example[key].clone()).unwrap(), &example[key]);
            let login = &example["github_login"];
            result("github_login", asked("elicitation/create", &form_for(login.get("content"))));
            return result("capital_of_france", asked("sampling/createMessage", &json!({ "messages": [] })));
        }
        "CreateMessageResult" => {
            let ask = asked("sampling/createMessage", &json!({ "messages": [] }));
            return same(path, &ask.result(example.clone()).unwrap(), example);
        }
        "ElicitResult" => {
            let ask = match example.get("content") {
                Some(content) => asked("elicitation/create", &form_for(Some(content))),
                None => {
                    asked("elicitation/create", &json!({ "mode": "url", "message": "m", "url": "https://a.test/" }))
                }
            };
            return same(path, &ask.result(example.clone()).unwrap(), example);
        }
        "ListRootsResult" => {
            let mut answer = example.clone();
            let given = answer.as_object_mut().unwrap().remove("roots").unwrap();
            return same(path, &Ask::Roots.result(given).unwrap()["roots"], &example["roots"]);
        }
        "Root" => return same(path, &Ask::Roots.result(json!([example])).unwrap()["roots"], &json!([example])),
        "ElicitRequestFormParams" | "ElicitRequestURLParams" => {
            asked("elicitation/create", example);
            return;
        }
        "CreateMessageRequestParams" => {
            asked("sampling/createMessage", example);
            return;
        }
        "SamplingMessage" | "ToolUseContent" | "ToolResultContent" => {
            asked("sampling/createMessage", &json!({ "messages": [example] }));
            return;
        }
        "ModelPreferences" => {
            asked("sampling/createMessage", &json!({ "messages": [], "modelPreferences": example }));
            return;
        }
        "BooleanSchema"
        | "NumberSchema"
        | "StringSchema"
        | "TitledMultiSelectEnumSchema"
        | "TitledSingleSelectEnumSchema"
        | "UntitledMultiSelectEnumSchema"
        | "UntitledSingleSelectEnumSchema" => {
            let schema = json!({ "type": "object", "properties": { "field": example }, "required": ["field"] });
            let ask = asked("elicitation/create", &json!({ "message": "m", "requestedSchema": schema }));
            let default = &example["default"];
            assert!(!default.is_null(), "every example has one");
            let result = ask.result(json!({ "action": "accept" })).unwrap();
            return same(path, &result, &json!({ "action": "accept", "content": { "field": default } }));
        }
        "AudioContent" | "ImageContent" | "TextContent" | "EmbeddedResource" | "ResourceLink" => {
            return called(path, &json!({ "resultType": "complete", "content": [example] }));
        }
        "BlobResourceContents" | "TextResourceContents" => {
            let result = json!({ "resultType": "complete", "contents": [example] });
            return same(path, &Value::Object(complete(&result)), &result);
        }
        "Resource" => {
            let result = json!({ "resultType": "complete", "resources": [example] });
            return same(path, &Value::Object(complete(&result)), &result);
        }
        _ => {}
    }
    if let Some(method) = stem("NotificationParams").and_then(notification_method) {
        return notified(path, method, Some(example));
    }
    if stem("Notification").is_some() {
        return notified(path, example["method"].as_str().unwrap(), example.get("params"));
    }
    if stem("Error").is_some() {
        return refused(path, example.get("error").unwrap_or(example));
    }
    if let Some(method) = stem("RequestParams").and_then(call_method) {
        return sends(path, method, example);
    }
    if let Some(of) = stem("Request") {
        let params = example.get("params").cloned().unwrap_or_else(|| json!({}));
        if let Some(method) = ask_method(of) {
            assert_eq!(example["method"], method, "{path}");
            asked(method, &params);
            return;
        }
        let method = call_method(of).unwrap_or_else(|| panic!("{path}: a request of an unknown type"));
        assert_eq!(example["method"], method, "{path}");
        return sends(path, method, &params);
    }
    if stem("ResultResponse").is_some() {
        return same(path, &Value::Object(complete(&example["result"])), &example["result"]);
    }
    if stem("Result").is_some() {
        return same(path, &Value::Object(complete(example)), example);
    }
    panic!("{path}: nothing is done with this type");
}

fn notification_method(of: &str) -> Option<&'static str> {
    Some(match of {
        "Cancelled" => "notifications/cancelled",
        "LoggingMessage" => "notifications/message",
        "Progress" => "notifications/progress",
        "ResourceUpdated" => "notifications/resources/updated",
        _ => return None,
    })
}

#[test]
fn every_example_passes_without_loss() {
    let examples = examples();
    assert_eq!(examples.len(), 129);
    for (path, example) in &examples {
        check(path, example);
    }
}

#[test]
fn every_message_is_the_same_after_the_parser() {
    for (path, example) in examples() {
        if example.get("jsonrpc").is_none() {
            continue;
        }
        let theirs = |name: &str| example.get(name).cloned();
        match jsonrpc::parse(example.to_string().as_bytes()).unwrap_or_else(|error| panic!("{path}: {error}")) {
            jsonrpc::Message::Request { id, method, params } => {
                assert_eq!(
                    json!(id.to_string().trim_matches('"')),
                    json!(theirs("id").unwrap().to_string().trim_matches('"'))
                );
                assert_eq!((Some(json!(method)), params), (theirs("method"), theirs("params")), "{path}");
            }
            jsonrpc::Message::Notification { method, params } => {
                assert_eq!((Some(json!(method)), params), (theirs("method"), theirs("params")), "{path}");
            }
            jsonrpc::Message::Response { outcome: Ok(result), .. } => {
                assert_eq!(Some(result), theirs("result"), "{path}")
            }
            jsonrpc::Message::Response { outcome: Err(error), .. } => {
                let theirs = theirs("error").unwrap();
                assert_eq!(
                    (json!(error.code), json!(error.message)),
                    (theirs["code"].clone(), theirs["message"].clone())
                );
                assert_eq!(error.data.as_ref(), theirs.get("data"), "{path}");
            }
        }
    }
}
