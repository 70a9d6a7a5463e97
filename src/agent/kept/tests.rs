use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::*;

fn kept(text: &str) -> Kept {
    Kept::take(vec![json!({ "type": "text", "text": text })], None).unwrap().0
}

fn issues(count: usize) -> Value {
    let issue = |id: usize| json!({ "id": id, "title": format!("Issue {id}"), "closed": null, "labels": ["bug"] });
    json!({ "items": (0..count).map(issue).collect::<Vec<_>>(), "next": "2" })
}

#[test]
fn a_record_comes_back_and_its_handle_says_what_it_is() {
    for kept in [kept("one\ntwo {"), kept("{\"a\":1}"), kept("é\u{1f600}")] {
        let (handle, record) = kept.to_record();
        assert!(is_handle(&handle), "{handle}");
        assert_eq!(Kept::read(record), Some(kept.clone()));
        assert_eq!(kept.to_record().0, handle);
    }
    assert_ne!(kept("a").to_record().0, kept("b").to_record().0);
    // The same data beside the text is not kept twice; other data are.
    let text = || vec![json!({ "type": "text", "text": "{\"a\": 1}" })];
    assert_eq!(Kept::take(text(), Some(json!({ "a": 1 }))).unwrap().0.structured, None);
    let other = Kept::take(text(), Some(json!({ "a": 2 }))).unwrap().0;
    assert_eq!(Kept::read(other.to_record().1).unwrap().structured, Some(json!({ "a": 2 })));
    for broken in [&b""[..], b"{}", b"{}\n", b"{\"v\":1,\"text\":9}\nabc", b"{\"v\":1,\"text\":1}\na{"] {
        assert_eq!(Kept::read(broken.to_vec()), None);
    }
}

#[test]
fn only_what_is_read_is_counted_and_kept() {
    let image = json!({ "type": "image", "data": "x".repeat(1000), "mimeType": "image/png" });
    let page = json!({ "type": "resource", "resource": { "uri": "a:b", "text": "page" } });
    let content = vec![json!({ "type": "text", "text": "said" }), image.clone(), page];
    // Data that the texts do not tell are sent behind them.
    assert_eq!(size(&content, Some(&json!([1]))), 8 + 3);
    assert_eq!(size(&content, Some(&json!({ "what": "said" }))), 8);
    assert_eq!(size(std::slice::from_ref(&image), Some(&json!([1]))), 3);
    assert_eq!(size(&[], Some(&json!([1]))), 3);
    let (kept, others) = Kept::take(content, None).unwrap();
    assert_eq!((kept.text.as_str(), others), ("said\npage", vec![image.clone()]));
    assert_eq!(Kept::take(vec![image], None), None);
    assert_eq!(Kept::take(Vec::new(), Some(json!([1, 2]))).unwrap().0.text, "[1,2]");
}

#[test]
fn a_summary_tells_handle_shape_size_beginning_and_end() {
    let kept = kept(&issues(1200).to_string());
    let (handle, _) = kept.to_record();
    let told = kept.summary(&handle, "git.issues", 4000);
    assert!(told.starts_with(&format!(
        "The result of git.issues is too long to be shown whole. All of it is kept under the handle {handle} (JSON, "
    )));
    assert!(
        told.contains(
            "Shape: { items: [1200 × { id: number, title: string, closed: null, labels: [1 × string] }], next: string }"
        ),
        "{told}"
    );
    assert!(
        told.contains("It begins:\n{\n  \"items\": [\n    {\n      \"id\": 0,")
            && told.contains("\"next\": \"2\"\n}\n"),
        "{told}"
    );
    assert!(told.len() < 4000, "{}", told.len());
    // What is left out is exactly what neither the beginning nor the end shows.
    let text = "ü".repeat(9_000) + &"z".repeat(9_000);
    let told = super::tests::kept(&text).summary(&handle, "t", 100_000);
    assert!(told.contains("text, 27000 bytes, 1 lines") && told.contains("\n[13500 characters left out]\n"), "{told}");
}

#[test]
fn data_that_the_text_only_announces_are_shown_read_and_passed_on() {
    let announced = |data: Value| {
        let text = json!({ "type": "text", "text": "Found 1200 rows" });
        Kept::take(vec![text], Some(data)).unwrap().0
    };
    let kept = announced(issues(1200));
    let (handle, record) = kept.to_record();
    assert_eq!(Kept::read(record), Some(kept.clone()));
    let told = kept.summary(&handle, "t", 4000);
    assert!(told.contains(" lines).\nShape: { items: [1200 × {"), "{told}");
    assert!(told.contains("It begins:\nFound 1200 rows\n{\n  \"items\": ["), "{told}");
    assert!(told.contains("\"next\": \"2\"\n}\n"), "{told}");
    let size = "Found 1200 rows\n".len() + issues(1200).to_string().len();
    assert!(told.contains(&format!("(JSON, {size} bytes, ")), "{told}");
    let found = read::read(&kept, &json!({ "grep": "Issue 11\\b" }), 300).unwrap();
    assert!(found.ends_with("\"title\": \"Issue 11\",\n"), "{found}");
    // A tool that wants a text gets the data, not what announces them.
    let find = |_: &str| Some(Rc::new(kept.clone()));
    let schema = json!({ "properties": { "text": { "type": "string" } } });
    let expanded = expand::expand(json!({ "text": handle, "any": handle }), &schema, &find).unwrap();
    assert_eq!(expanded, json!({ "text": issues(1200).to_string(), "any": issues(1200) }));
    // A file with a few words about it stays what it is.
    let file = "line\n".repeat(50);
    let text = json!({ "type": "text", "text": file });
    let kept = Kept::take(vec![text], Some(json!({ "lines": 50 }))).unwrap().0;
    let find = |_: &str| Some(Rc::new(kept.clone()));
    assert_eq!(expand::expand(json!({ "text": handle }), &schema, &find).unwrap(), json!({ "text": file }));
}

#[test]
fn a_text_tells_of_a_result_only_with_a_whole_handle() {
    let handle = "result:0123456789abcdef0123";
    for text in [format!("kept under {handle} (JSON)"), handle.to_owned(), format!("result: {handle}#/a/0")] {
        assert_eq!(told_in(&text), Some(handle), "{text}");
    }
    for text in [
        "result: 3",
        "result:",
        "result:0123456789abcdef012",
        "result:0123456789abcdef01234",
        "result:0123456789ABCDEF0123",
        "é result:é",
    ] {
        assert_eq!(told_in(text), None, "{text}");
    }
}

#[test]
fn shapes_of_odd_values() {
    let of = outline::of;
    assert_eq!(of(&json!([])), "[0]");
    assert_eq!(of(&json!([1, "a", null])), "[3 × null | number | string]");
    assert_eq!(of(&json!([{ "a": 1 }, { "a": true, "b": [[]] }])), "[2 × { a: boolean | number, b?: [1 × [0]] }]");
    let many: Value = (0..500).map(|at| (format!("name{at}"), json!(at))).collect::<Map<_, _>>().into();
    assert!(of(&many).ends_with("name29: number, and more }"));
    let mut deep = json!(1);
    for _ in 0..50 {
        deep = json!({ "in": [deep] });
    }
    assert!(of(&deep).len() < 60, "{}", of(&deep));
    let wide: Map<String, Value> = (0..30).map(|at| (format!("{at}").repeat(100), json!("x"))).collect();
    assert!(of(&Value::Object(wide)).len() < 1510);
}

#[test]
fn reading_by_path_lines_range_and_pattern() {
    let read = |kept: &Kept, input: Value| read::read(kept, &input, 300);
    let lines: String = (1..=100).map(|at| format!("line {at} of it\n")).collect();
    let text = kept(&lines);
    assert_eq!(read(&text, json!({ "lines": [3, 4] })).unwrap(), "lines 3 to 4 of 100:\nline 3 of it\nline 4 of it\n");
    assert!(read(&text, json!({ "lines": "99-200" })).unwrap().starts_with("lines 99 to 100 of 100:\nline 99"));
    let most = read(&text, json!({ "lines": [1, 100] })).unwrap();
    assert!(most.starts_with("lines 1 to 22 of 100:\n") && most.len() < 340, "{most}");
    assert_eq!(
        read(&text, json!({ "range": [6, 11] })).unwrap(),
        format!("characters 6 to 11 of {}:\n1 of i", lines.len())
    );
    assert!(read(&text, json!({})).unwrap().starts_with(&format!("characters 1 to 300 of {}:\nline 1", lines.len())));
    assert_eq!(read(&text, json!({ "grep": "e 1?7 " })).unwrap(), "7: line 7 of it\n17: line 17 of it\n");
    assert_eq!(read(&text, json!({ "grep": "(?i)LINE 42 " })).unwrap(), "42: line 42 of it\n");
    let many = read(&text, json!({ "grep": "^line" })).unwrap();
    assert!(many.contains("\n17: line 17 of it\n") && many.ends_with(" more lines match]\n"), "{many}");
    let shown = many.lines().count() - 1;
    assert!(many.ends_with(&format!("[{} more lines match]\n", 100 - shown)));
    assert_eq!(read(&text, json!({ "grep": "(" })).unwrap(), "none of 100 lines matches \"(\"");
    for (input, why) in [
        (json!({ "lines": [5, 4] }), "`lines` is"),
        (json!({ "lines": [101, 104] }), "there are only 100 lines"),
        (json!({ "range": [0, 4] }), "`range` is"),
        (json!({ "range": [100_000, 100_001] }), "there are only"),
        (json!({ "path": "/a" }), "this result is text"),
    ] {
        assert!(read(&text, input).unwrap_err().starts_with(why), "{why}");
    }
    let json = kept(&issues(1200).to_string());
    assert_eq!(read(&json, json!({ "path": "/items/7/title" })).unwrap(), "Issue 7");
    assert_eq!(read(&json, json!({ "path": "/items/7/labels" })).unwrap(), "[\n  \"bug\"\n]");
    assert_eq!(read(&json, json!({ "grep": "Issue 11\\b" })).unwrap(), "93:       \"title\": \"Issue 11\",\n");
    let wrong = read(&json, json!({ "path": "/items/1200/title" })).unwrap_err();
    assert!(wrong.starts_with("there is nothing at /items/1200/title; /items is [1200 × { id: number,"), "{wrong}");
    assert!(read(&json, json!({ "path": "items" })).unwrap_err().contains("; the whole is { items: [1200 × "));
    // A pattern cannot stop the page.
    let long = kept(&"ab\n".repeat(100_000));
    let slow = read::read(&long, &json!({ "grep": "(a|b){4000}c" }), 300).unwrap_err();
    assert!(slow.starts_with("this pattern takes too long"), "{slow}");
}

#[test]
fn a_handle_as_an_argument_becomes_what_it_stands_for() {
    let table = kept(&issues(3).to_string());
    let letter = kept("Dear all,\n{not json");
    let ((table_name, _), (letter_name, _)) = (table.to_record(), letter.to_record());
    let all = [(table_name.clone(), Rc::new(table.clone())), (letter_name.clone(), Rc::new(letter.clone()))];
    let find = |handle: &str| all.iter().find(|(known, _)| known == handle).map(|(_, kept)| kept.clone());
    let expand = |input: Value, schema: Value| expand::expand(input, &schema, &find);
    let part = [&table_name, "#/items/1/title"].concat();
    let schema = json!({
        "properties": {
            "body": { "type": ["string", "null"] }, "list": { "type": "array" }, "rows": { "$ref": "#/$defs/rows" },
        },
        "$defs": { "rows": { "items": { "properties": { "id": { "type": "string" } } } } },
    });
    let input = json!({
        "body": table_name, "any": table_name, "text": letter_name, "title": part,
        "rows": [{ "id": format!("{table_name}#/items/2/id") }],
        "mail": format!("See {{{{{part}}}}} and {{{{{table_name}#/next}}}}. {{{{result:no}}}}"),
        "list": format!("{table_name}#/items/0/labels"), "count": 3, "plain": "result: none",
    });
    assert!(mentions(&input) && !mentions(&json!({ "plain": ["result: none", 3] })));
    assert_eq!(expand::handles(&input), [table_name.clone(), letter_name.clone()]);
    let expanded = expand(input, schema).unwrap();
    let expected = json!({
        "body": issues(3).to_string(), "any": issues(3), "text": "Dear all,\n{not json", "title": "Issue 1",
        "rows": [{ "id": "2" }], "mail": "See Issue 1 and 2. {{result:no}}", "list": ["bug"], "count": 3, "plain": "result: none",
    });
    assert_eq!(expanded, expected);
    let stale = format!("{}0", &"result:00000000000000000000"[..26]);
    let why = expand(json!([stale]), Value::Null).unwrap_err();
    assert!(why.starts_with("result:00000000000000000000 is not kept any more, or was never"), "{why}");
    let why = expand(json!(format!("{table_name}#/items/9")), Value::Null).unwrap_err();
    assert!(why.contains("there is nothing at /items/9; /items is [3 × "), "{why}");
    assert!(expand(json!(format!("{letter_name}#/a")), Value::Null).unwrap_err().contains("is text"));
}
