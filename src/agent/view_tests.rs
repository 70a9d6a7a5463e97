//! Histories as models see them.

use super::*;
use serde_json::json;

fn mark(keeps: usize, summary: Option<&str>, results: Value) -> Message {
    let Value::Object(results) = results else { panic!("no object") };
    let content = vec![Block::Compaction { keeps, summary: summary.map(str::to_owned), results }];
    Message { role: Role::User, content }
}

fn call(id: &str) -> [Message; 2] {
    let input = json!({});
    let called = Block::ToolUse { id: id.into(), name: "t".into(), input, invalid_input: None };
    let content = vec![json!({ "type": "text", "text": format!("result of {id}") })];
    let result = Block::ToolResult { tool_use_id: id.into(), content, is_error: false };
    [Message { role: Role::Assistant, content: vec![called] }, Message { role: Role::User, content: vec![result] }]
}

fn texts(messages: &[Message]) -> Vec<(usize, String)> {
    let view = View::of(messages);
    let text = |message: &Message| {
        let results = message.content.iter().filter_map(|block| match block {
            Block::ToolResult { content, .. } => content[0]["text"].as_str(),
            _ => None,
        });
        [message.text(), results.collect()].concat()
    };
    view.shown(messages).map(|(place, message)| (place, text(&message))).collect()
}

fn shown(places: &[(usize, &str)]) -> Vec<(usize, String)> {
    places.iter().map(|(place, text)| (*place, (*text).to_owned())).collect()
}

#[test]
fn a_summary_stands_for_what_is_before_it_and_results_are_told_of() {
    let [use_a, result_a] = call("a");
    let [use_b, result_b] = call("b");
    let mut history = vec![Message::user("one"), use_a, result_a, Message::assistant("two"), Message::user("three")];
    assert_eq!(texts(&history).len(), 5);
    history.push(mark(1, None, json!({ "a": "kept" })));
    assert_eq!(texts(&history), shown(&[(0, "one"), (1, ""), (2, "kept"), (3, "two"), (4, "three")]));
    // In front of what the user said, since two messages of the user in a row are refused by some.
    history.push(mark(2, Some("sum"), json!({})));
    assert_eq!(texts(&history), shown(&[(4, "sum\n\nthree")]));
    history.extend([use_b, result_b]);
    assert_eq!(texts(&history), shown(&[(4, "sum\n\nthree"), (7, ""), (8, "result of b")]));
    history.push(mark(2, Some("sum of sums"), json!({ "b": "kept, too" })));
    assert_eq!(texts(&history), shown(&[(7, "sum of sums"), (7, ""), (8, "kept, too")]));
    let view = View::of(&history);
    assert_eq!((view.count(), needed(history.iter())), (3, 3));
    // Whoever has only what is needed sees the same.
    let tail = &history[history.len() - needed(history.iter())..];
    let texts_only = |messages: &[Message]| texts(messages).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    assert_eq!(texts_only(tail), texts_only(&history));
    assert_eq!(View::of(tail).after(tail, 3).count(), 0);
}

#[test]
fn a_block_of_context_is_shown_as_less_and_as_less_again() {
    let block = |words: &str| ["<context>\nRead from MCP servers.\n", words, "</context>"].concat();
    let (whole, half) = (block("one two"), block("one"));
    let mut prompt = Message::user("go");
    prompt.content.insert(0, Block::Text { text: whole.clone() });
    let first = |history: &[Message]| {
        let view = View::of(history);
        let (_, message) = view.shown(history).next().unwrap();
        let Block::Text { text } = &message.content[0] else { panic!() };
        (text.clone(), view.results.len())
    };
    let mut history = vec![prompt, Message::assistant("yes")];
    assert_eq!(first(&history), (whole.clone(), 0));
    history.push(mark(0, None, json!({ (context_id(&whole)): half })));
    assert_eq!(first(&history), (half.clone(), 1));
    history.push(mark(0, None, json!({ (context_id(&half)): "gone" })));
    assert_eq!(first(&history), ("gone".to_owned(), 2));
    history.push(mark(0, Some("sum"), json!({})));
    assert_eq!(first(&history), ("sum".to_owned(), 0), "what is not shown any more is forgotten");
}

#[test]
fn a_mark_survives_the_store() {
    for message in [mark(3, Some("sum"), json!({ "a": "b" })), mark(0, None, json!({}))] {
        let text = serde_json::to_string(&message).unwrap();
        assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message, "{text}");
    }
    let none = json!({ "role": "user", "content": [{ "type": "compaction" }] });
    assert!(Message::read(&none).is_none());
}

#[test]
fn the_guess_is_as_good_as_what_the_provider_said_last() {
    let mut history = vec![Message::user("x".repeat(3_992))];
    let mut meter = Meter::at(Rate::default());
    meter.fixed = 400;
    assert_eq!(meter.count(&View::default(), &history), 1_100);
    // Two characters are a token here.
    meter.learn(2_200);
    history.push(Message::assistant("y".repeat(192)));
    assert_eq!(meter.count(&View::default(), &history), 2_300);
    assert_eq!(meter.rate.chars(100), 200);
    // Less is shown.
    history.push(mark(1, Some(&"s".repeat(92)), json!({})));
    assert_eq!(meter.count(&View::of(&history), &history), 350);
    // What counted something else is not believed.
    for tokens in [0, 1, 10_000_000] {
        meter.learn(tokens);
        assert_eq!(meter.rate.chars(100), 200, "{tokens}");
    }
    let picture = Block::Image { data: "A".repeat(1_000_000), mime_type: "image/png".into() };
    assert_eq!(size(&Message { role: Role::User, content: vec![picture] }), MEDIA + 8);
}
