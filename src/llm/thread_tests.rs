use super::*;
use crate::http::Request;
use crate::llm::types::{Block, Delta, ToolDefinition};
use crate::llm::wire::Encoder;
use serde_json::{Value, json};

fn config(provider: Provider) -> ModelConfig {
    let base_url = match provider {
        Provider::Anthropic => "https://api.anthropic.com".to_owned(),
        _ => "https://api.openai.com/v1".to_owned(),
    };
    let id = "m1".to_owned();
    ModelConfig { provider, id, base_url, threads: true, ..ModelConfig::offline() }
}

fn tool(name: &str) -> ToolDefinition {
    ToolDefinition { name: name.into(), description: String::new(), input_schema: json!({ "type": "object" }) }
}

fn body(request: &Request) -> Value {
    serde_json::from_str(request.body.as_deref().unwrap()).unwrap()
}

fn encoder(config: &ModelConfig, tools: &[&str], messages: &[Message]) -> Encoder {
    let tools: Vec<ToolDefinition> = tools.iter().map(|name| tool(name)).collect();
    let mut encoder = Encoder::new(config, Some("be kind"), &tools);
    messages.iter().for_each(|message| encoder.push(message));
    encoder
}

/// An answer of those deltas.
fn turn(deltas: &[Delta]) -> Turn {
    let mut turn = Turn::default();
    deltas.iter().for_each(|delta| turn.apply(delta));
    turn
}

fn said(text: &str) -> Turn {
    turn(&[Delta::Text(text.into()), Delta::Stop(StopReason::EndTurn)])
}

/// The answer that a request goes on from.
fn previous(asked: &Asked) -> Option<&str> {
    match &asked.way {
        Way::GoOn(id) => Some(id),
        _ => None,
    }
}

/// A request of that encoder is answered so.
fn leave(threads: &mut Threads, encoder: &Encoder, config: &ModelConfig, id: Option<&str>, answer: Turn) {
    let asked = encoder.ask(threads, config).unwrap();
    threads.settle(&asked, config, id.map(str::to_owned), answer);
}

fn refused(status: u16) -> Error {
    Error::new(Code::Provider, "no").status(status)
}

/// The parts of a request that tell of threads.
fn of_thread(request: &Request) -> (Value, Value, Value) {
    let body = body(request);
    (body["thread"].clone(), body["previous_response_id"].clone(), body["store"].clone())
}

const BOTH: [Provider; 2] = [Provider::Anthropic, Provider::OpenAiResponses];

#[test]
fn only_what_is_new_is_sent_behind_an_answer() {
    for provider in BOTH {
        let config = config(provider);
        let mut threads = Threads::default();
        let mut history = vec![Message::user("one")];
        let first = encoder(&config, &["add"], &history);
        let asked = first.ask(&mut threads, &config).unwrap();
        let create = first.request_in(&asked).unwrap();
        threads.settle(&asked, &config, Some("id1".into()), said("two"));

        history.extend([said("two").finish().message, Message::user("three")]);
        let second = encoder(&config, &["add"], &history);
        let asked = second.ask(&mut threads, &config).unwrap();
        assert_eq!(previous(&asked), Some("id1"));
        let goes_on = second.request_in(&asked).unwrap();
        let (all, new) = (body(&second.request()), body(&goes_on));
        if provider == Provider::Anthropic {
            assert_eq!(of_thread(&create).0, json!({ "type": "create" }));
            assert_eq!(new["thread"], json!({ "type": "continue", "previous_message_id": "id1" }));
            assert_eq!((&new["system"], &new["tools"]), (&Value::Null, &Value::Null));
            assert_eq!(create.headers.get("anthropic-beta"), Some(BETA));
            assert_eq!(goes_on.headers.get("anthropic-beta"), Some(BETA));
            assert_eq!(second.request().headers.get("anthropic-beta"), None);
            assert_eq!(new["messages"], json!([all["messages"][2]]));
            for name in ["model", "max_tokens", "stream"] {
                assert_eq!(new[name], all[name]);
            }
        } else {
            assert_eq!(of_thread(&create), (Value::Null, Value::Null, json!(true)));
            assert_eq!(of_thread(&goes_on), (Value::Null, json!("id1"), json!(true)));
            assert_eq!((&new["instructions"], &new["tools"]), (&all["instructions"], &all["tools"]));
            assert_eq!(new["input"], json!([all["input"][2]]));
        }
    }
}

#[test]
fn the_breakpoint_of_the_cache_stands_in_what_is_new() {
    let config = config(Provider::Anthropic);
    let mut threads = Threads::default();
    let mut history = vec![Message::user("one")];
    let first = encoder(&config, &[], &history);
    leave(&mut threads, &first, &config, Some("id1"), said("two"));
    history.extend([said("two").finish().message, Message::user("three")]);
    let second = encoder(&config, &[], &history);
    let goes_on = second.request_in(&second.ask(&mut threads, &config).unwrap()).unwrap();
    assert_eq!(goes_on.body.unwrap().matches("cache_control").count(), 1);
}

#[test]
fn results_of_tools_go_on_with_the_answer_that_called_them() {
    for provider in BOTH {
        let config = config(provider);
        let mut threads = Threads::default();
        let mut history = vec![Message::user("one")];
        let first = encoder(&config, &["add"], &history);
        let asked = first.ask(&mut threads, &config).unwrap();
        let called = turn(&[
            Delta::Thinking("hm".into()),
            Delta::Signature(if provider == Provider::Anthropic { "sig".into() } else { "openai:rs_1:sealed".into() }),
            Delta::Text("I add.".into()),
            Delta::ToolStart { index: 0, id: "c1".into(), name: "add".into() },
            Delta::ToolInput { index: 0, json: "{ \"a\": 1".into() },
            Delta::ToolEnd { index: 0 },
            Delta::Stop(StopReason::ToolUse),
        ]);
        history.push(called.clone().finish().message);
        threads.settle(&asked, &config, Some("id1".into()), called);
        let content = vec![json!({ "type": "text", "text": "2" })];
        let result = Block::ToolResult { tool_use_id: "c1".into(), content, is_error: false };
        history.push(Message { role: Role::User, content: vec![result] });
        let second = encoder(&config, &["add"], &history);
        assert_eq!(previous(&second.ask(&mut threads, &config).unwrap()), Some("id1"), "{provider:?}");
    }
}

#[test]
fn whatever_is_not_the_beginning_to_the_letter_goes_on_with_no_thread() {
    for provider in BOTH {
        let plain = config(provider);
        let long = [Message::user("one"), said("two").finish().message, Message::user("three")];
        let goes_on = |config: &ModelConfig, tools: &[&str], messages: &[Message]| {
            let mut threads = Threads::default();
            let first = encoder(&plain, &["add"], &long[..1]);
            leave(&mut threads, &first, &plain, Some("id1"), said("two"));
            previous(&encoder(config, tools, messages).ask(&mut threads, config).unwrap()).is_some()
        };
        assert!(goes_on(&plain, &["add"], &long));
        assert!(!goes_on(&ModelConfig { id: "m2".into(), ..plain.clone() }, &["add"], &long), "another model");
        assert!(!goes_on(&ModelConfig { base_url: "https://b.test".into(), ..plain.clone() }, &["add"], &long), "host");
        assert!(!goes_on(&ModelConfig { temperature: Some(1.0), ..plain.clone() }, &["add"], &long), "other options");
        assert!(!goes_on(&plain, &["add", "more"], &long), "more tools");
        let edited = |place: usize, text: &str| {
            let mut messages = long.clone();
            messages[place].content = vec![Block::Text { text: text.into() }];
            goes_on(&plain, &["add"], &messages)
        };
        assert!(!edited(0, "One"), "an edited prompt");
        assert!(!edited(1, "two."), "an answer that was mended");
        assert!(edited(2, "anything"));
        assert!(!goes_on(&plain, &["add"], &long[..2]), "nothing is new");
        let more = [&long[..], &[said("four").finish().message, Message::user("five")]].concat();
        assert!(!goes_on(&plain, &["add"], &more), "an answer that the thread has not");
        assert!(!goes_on(&plain, &["add"], &long[1..]), "the beginning is gone");
    }
}

#[test]
fn a_thread_is_gone_on_with_once_and_only_behind_a_whole_answer() {
    let config = config(Provider::Anthropic);
    let long = [Message::user("one"), said("two").finish().message, Message::user("three")];
    let first = encoder(&config, &[], &long[..1]);
    let second = encoder(&config, &[], &long);
    let mut threads = Threads::default();
    leave(&mut threads, &first, &config, Some("id1"), said("two"));
    assert!(previous(&second.ask(&mut threads, &config).unwrap()).is_some());
    assert!(previous(&second.ask(&mut threads, &config).unwrap()).is_none());
    for stop in [StopReason::Refusal, StopReason::MaxTokens, StopReason::PauseTurn, StopReason::Other] {
        let answer = turn(&[Delta::Text("two".into()), Delta::Stop(stop)]);
        leave(&mut threads, &first, &config, Some("id1"), answer);
        assert!(previous(&second.ask(&mut threads, &config).unwrap()).is_none(), "{stop:?}");
    }
    leave(&mut threads, &first, &config, None, said("two"));
    assert!(previous(&second.ask(&mut threads, &config).unwrap()).is_none(), "an answer without an id");
    // Old ones are forgotten.
    for number in 0..40 {
        let other = encoder(&config, &[], &[Message::user(format!("{number}"))]);
        leave(&mut threads, &other, &config, Some("id"), said("yes"));
    }
    assert_eq!(threads.held.len(), MOST);
}

#[test]
fn what_is_refused_is_asked_with_all_of_it_and_then_without_a_thread() {
    let long = [Message::user("one"), said("two").finish().message, Message::user("three")];
    for provider in BOTH {
        let config = config(provider);
        let (first, second) = (encoder(&config, &["add"], &long[..1]), encoder(&config, &["add"], &long));
        let mut threads = Threads::default();
        leave(&mut threads, &first, &config, Some("id1"), said("two"));
        let mut asked = second.ask(&mut threads, &config).unwrap();
        for error in [refused(503).retry(Retry::Backoff), Error::new(Code::RateLimited, "slow down")] {
            assert!(!threads.refuse(&mut asked.clone(), &config, &error), "{error}");
        }
        assert!(threads.refuse(&mut asked, &config, &refused(404)));
        let all = second.request_in(&asked).unwrap();
        let plain = body(&second.request());
        for name in ["messages", "input", "system", "tools"] {
            assert_eq!(body(&all)[name], plain[name]);
        }
        if provider == Provider::OpenAiResponses {
            assert_eq!(body(&all), plain);
            assert!(!threads.refuse(&mut asked, &config, &refused(400)), "there is no other way");
            continue;
        }
        assert_eq!(of_thread(&all).0, json!({ "type": "create" }));
        assert!(threads.refuse(&mut asked, &config, &refused(400)));
        let without = second.request_in(&asked).unwrap();
        assert_eq!((body(&without), without.headers.get("anthropic-beta")), (plain, None));
        assert!(!threads.refuse(&mut asked.clone(), &config, &refused(400)));
        // It may have been something else, until it works so.
        assert!(second.ask(&mut threads, &config).is_some());
        threads.settle(&asked, &config, Some("id2".into()), said("four"));
        assert!(second.ask(&mut threads, &config).is_none());
    }
}

#[test]
fn who_wants_no_threads_gets_none() {
    let mut threads = Threads::default();
    for provider in BOTH {
        let config = ModelConfig { threads: false, ..config(provider) };
        let encoder = encoder(&config, &["add"], &[Message::user("one")]);
        assert!(encoder.ask(&mut threads, &config).is_none());
        let store = of_thread(&encoder.request()).2;
        assert!(store.is_null() || store == json!(false));
    }
    let config = ModelConfig { provider: Provider::OpenAi, ..config(Provider::Anthropic) };
    assert!(encoder(&config, &[], &[Message::user("one")]).ask(&mut threads, &config).is_none());
}

#[test]
fn a_host_that_may_pass_over_threads_is_asked_with_all_of_it_until_it_shows_that_it_has_them() {
    let long = [Message::user("one"), said("two").finish().message, Message::user("three")];
    for provider in BOTH {
        let config = ModelConfig { base_url: "https://proxy.test/v1".into(), ..config(provider) };
        let (first, second) = (encoder(&config, &["add"], &long[..1]), encoder(&config, &["add"], &long));
        let probe = |threads: &mut Threads| {
            let asked = first.ask(threads, &config).unwrap();
            let (probe, plain) = (body(&first.request_in(&asked).unwrap()), body(&first.request()));
            for name in ["messages", "input", "system", "instructions", "tools"] {
                assert_eq!(probe[name], plain[name]);
            }
            let behind = [&probe["thread"]["previous_message_id"], &probe["previous_response_id"]];
            assert_eq!(behind.iter().filter(|id| id.is_string()).count(), 1);
            asked
        };
        // One that answers has passed over it.
        let mut threads = Threads::default();
        let asked = probe(&mut threads);
        threads.settle(&asked, &config, Some("id1".into()), said("two"));
        assert!(second.ask(&mut threads, &config).is_none());
        // One that refuses it for something else proves nothing.
        let mut threads = Threads::default();
        let mut asked = probe(&mut threads);
        assert!(threads.refuse(&mut asked, &config, &refused(400)));
        assert_eq!(asked.way, Way::Alone);
        // One that knows what is meant has threads.
        let mut threads = Threads::default();
        let mut asked = probe(&mut threads);
        let error = Error::new(Code::Provider, "404: Previous response with id 'resp_0' not found").status(404);
        assert!(threads.refuse(&mut asked, &config, &error));
        assert_eq!(asked.way, Way::Begin);
        threads.settle(&asked, &config, Some("id1".into()), said("two"));
        assert_eq!(previous(&second.ask(&mut threads, &config).unwrap()), Some("id1"));
    }
}

#[test]
fn a_host_that_always_forgets_is_not_asked_for_threads_any_more() {
    let config = config(Provider::OpenAiResponses);
    let long = [Message::user("one"), said("two").finish().message, Message::user("three")];
    let (first, second) = (encoder(&config, &[], &long[..1]), encoder(&config, &[], &long));
    let mut threads = Threads::default();
    for lost in 1..=MOST_LOSSES {
        leave(&mut threads, &first, &config, Some("id1"), said("two"));
        let mut asked = second.ask(&mut threads, &config).unwrap();
        assert!(previous(&asked).is_some(), "{lost}");
        assert!(threads.refuse(&mut asked, &config, &refused(400)));
    }
    assert!(second.ask(&mut threads, &config).is_none());
}

#[test]
fn other_betas_of_the_app_stay() {
    let headers = vec![("Anthropic-Beta".to_owned(), crate::secret::Secret::new("one-2026-01-01"))];
    let config = ModelConfig { headers, ..config(Provider::Anthropic) };
    let encoder = encoder(&config, &[], &[Message::user("one")]);
    let request = encoder.request_in(&encoder.ask(&mut Threads::default(), &config).unwrap()).unwrap();
    assert_eq!(request.headers.get("anthropic-beta"), Some("one-2026-01-01,message-threads-2026-08-12"));
}
