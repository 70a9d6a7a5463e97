//! What is to go from histories of all kinds.

use super::*;

fn call(id: &str, length: usize) -> [Message; 2] {
    let input = json!({});
    let called = Block::ToolUse { id: id.into(), name: "t".into(), input, invalid_input: None };
    let content = vec![json!({ "type": "text", "text": "r".repeat(length) })];
    let result = Block::ToolResult { tool_use_id: id.into(), content, is_error: false };
    [Message { role: Role::Assistant, content: vec![called] }, Message { role: Role::User, content: vec![result] }]
}

fn ids(orders: &Value) -> Vec<&str> {
    orders["results"].as_object().unwrap().keys().map(String::as_str).collect()
}

fn orders(messages: &[Message], unseen: usize, tokens: u64, limit: u64) -> Value {
    let request =
        json!({ "messages": messages, "unseen": unseen, "tokens": tokens, "limit": limit, "million": 4_000_000 });
    serde_json::from_str(&answer(&request.to_string()).unwrap()).unwrap()
}

/// A prompt with a block of context of so many sources, 100 tokens each.
fn informed(sources: usize) -> Message {
    let source = |number: usize| format!("<source n=\"{number}\">\n{}\n</source>\n", "s".repeat(370));
    let sources: String = (0..sources).map(source).collect();
    let mut message = Message::user("go");
    let text = ["<context>\nRead from MCP servers.\n", &sources, "</context>"].concat();
    message.content.insert(0, Block::Text { text });
    message
}

fn context_of(message: &Message) -> &str {
    let Block::Text { text } = &message.content[0] else { panic!("no text") };
    text
}

#[test]
fn context_goes_before_words_do_and_what_is_new_is_shown_as_far_as_there_is_room() {
    let history = [informed(20), Message::assistant("x".repeat(8_000)), informed(60)];
    // 2,000 tokens were asked with, 6,000 are new; with the words they are 10,000.
    let told = orders(&history, 2, 10_000, 8_000);
    let new = told["results"].as_object().unwrap();
    assert!(new.len() == 2 && told.get("cut").is_none(), "{told}");
    assert_eq!(new[&context_id(context_of(&history[0]))], NO_CONTEXT);
    // 5,600 are to be left, 2,000 are words.
    let shown = new[&context_id(context_of(&history[2]))].as_str().unwrap();
    assert!((30..=36).contains(&shown.matches("</source>").count()), "{shown}");
    assert!(shown.starts_with("<context>\nRead") && shown.ends_with("</source>\n</context>"));
    // Where there is no room for a single source, none is shown, and no word is summarised for its sake.
    let told = orders(&history[1..], 1, 8_000, 2_950);
    let shown: Vec<&Value> = told["results"].as_object().unwrap().values().collect();
    assert_eq!((shown, told.get("cut")), (vec![&json!(NO_CONTEXT)], None));
}

#[test]
fn the_oldest_results_go_first_and_what_the_model_has_not_seen_stays() {
    let mut history = vec![Message::user("go")];
    for id in ["a", "b", "c", "d"] {
        history.extend(call(id, 8_000));
    }
    let unseen = history.len() - 1;
    // 8,100 tokens, 10,000 are the room: down to 5,000 takes two results of 2,000.
    assert_eq!(ids(&orders(&history, unseen, 8_100, 10_000)), ["a", "b"]);
    assert_eq!(orders(&history, unseen, 8_100, 10_000).get("cut"), None);
    let told = orders(&history, unseen, 8_100, 10_000)["results"]["a"].as_str().unwrap().to_owned();
    assert!(told.contains("8000 characters") && told.len() < 600, "{told}");
    assert_eq!(orders(&history, unseen, 8_100, 10_000)["keep"], json!(["a", "b"]));
    // One that is told of already is short, and one that is no text is left alone.
    let picture = json!({ "type": "image", "data": "AAAA", "mimeType": "image/png" });
    for (place, block) in [(2, json!({ "type": "text", "text": told })), (4, picture)] {
        let Block::ToolResult { content, .. } = &mut history[place].content[0] else { panic!() };
        *content = vec![block];
    }
    assert_eq!(ids(&orders(&history, unseen, 8_100, 10_000)), ["c"]);
    let asked = orders(&history, unseen, 9_500, 10_000);
    // Without enough of them, what is before is summarised.
    assert_eq!((&asked["cut"], &asked["ask"]), (&json!(7), &json!(ASK)));
    assert!(asked["after"].as_str().unwrap().ends_with("\n\ngo"), "{asked}");
}

#[test]
fn a_result_that_is_kept_already_stays_under_its_handle() {
    let handle = "result:0123456789abcdef0123";
    let first = format!(
        "The result of t is too long to be shown whole. All of it is kept under the handle {handle} (JSON, 9 bytes, 1 lines)."
    );
    let mut history = vec![Message::user("go")];
    for id in ["a", "b", "c"] {
        history.extend(call(id, 8_000));
    }
    let text = format!("{first}\nShape: [3 × number]\nIt begins:\n{}", "x".repeat(8_000));
    let Block::ToolResult { content, .. } = &mut history[2].content[0] else { panic!() };
    *content = vec![json!({ "type": "text", "text": text })];
    let asked = orders(&history, 6, 8_100, 10_000);
    assert_eq!((ids(&asked), &asked["keep"]), (vec!["a", "b"], &json!(["b"])));
    let told = asked["results"]["a"].as_str().unwrap();
    assert_eq!(
        told,
        format!("{first}\nShape: [3 × number]\n(Left out to save room. Read it with read_result: {handle})")
    );
}

#[test]
fn words_of_the_user_are_not_summarised_away() {
    let mut history = vec![Message::user("first"), Message::assistant("x".repeat(30_000)), Message::user("second")];
    let asked = orders(&history, 2, 8_000, 10_000);
    assert_eq!((&asked["cut"], &asked["after"]), (&json!(2), &json!("")));
    history.extend(call("a", 20_000));
    let asked = orders(&history, 4, 13_000, 10_000);
    assert_eq!(asked["cut"], 3);
    let head = [asked["before"].as_str().unwrap(), "the summary", asked["after"].as_str().unwrap()].concat();
    assert!(head.ends_with("\n\nsecond"), "{head}");
    // A summary of a summary repeats the words, and nothing else of it.
    let mut history = vec![Message::user(head)];
    history.extend(call("b", 40_000));
    history.extend(call("c", 40_000));
    assert_eq!(orders(&history, 4, 20_000, 10_000)["after"], [WORDS, "second"].concat());
    let long = "w".repeat(MOST_WORDS + 1);
    let mut history = vec![Message::user(long)];
    history.extend(call("b", 40_000));
    history.extend(call("c", 40_000));
    let after = orders(&history, 4, 20_000, 10_000)["after"].as_str().unwrap().to_owned();
    assert!(after.ends_with("w (...)") && after.len() < MOST_WORDS + 100);
}

#[test]
fn a_history_that_is_all_unseen_is_left_alone_and_nonsense_is_refused() {
    assert_eq!(orders(&[Message::user("x".repeat(40_000))], 0, 10_000, 5_000), json!({ "keep": [], "results": {} }));
    assert_eq!(orders(&[], 0, 10_000, 5_000), json!({ "keep": [], "results": {} }));
    assert!(answer("{\"messages\":[{}]}").is_err());
    assert!(answer("[").is_err());
}

#[test]
fn every_cut_leaves_a_history_that_can_be_gone_on_from() {
    let mut random = 7_u64;
    let mut draw = move |most: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % most
    };
    let mut cuts = 0;
    for _ in 0..2_000 {
        let mut history = vec![Message::user("go")];
        let mut seen = 0;
        for turn in 0..draw(12) {
            seen = history.len();
            match draw(3) {
                0 => history.extend([Message::assistant("a".repeat(draw(9_000) as usize)), Message::user("more")]),
                _ => history.extend(call(&turn.to_string(), draw(20_000) as usize)),
            }
        }
        let unseen = if seen == 0 { 0 } else { seen + 1 };
        let tokens = history.iter().map(|message| size(message) / 4).sum();
        let asked = orders(&history, unseen, tokens, 1 + draw(6_000));
        let Some(cut) = asked.get("cut").and_then(Value::as_u64) else { continue };
        let cut = cut as usize;
        cuts += 1;
        assert!(0 < cut && cut <= unseen.min(history.len() - 1), "{cut} of {unseen} in {}", history.len());
        assert!(!history[cut].has_results(), "a result without its call");
        for id in ids(&asked) {
            let place = history.iter().position(
                |message| matches!(&message.content[0], Block::ToolResult { tool_use_id, .. } if id == tool_use_id),
            );
            assert!(place.is_some_and(|place| cut <= place && place < unseen), "{id} at {place:?}, cut {cut}");
        }
    }
    assert!(cuts > 500, "{cuts}");
}
