use super::*;

fn known(uri: &str, text: &str, shown: &str) -> Known {
    let mut known = Known { server: "s".into(), uri: uri.into(), base: Content::of(text), ..Known::default() };
    if !shown.is_empty() {
        known.show(shown);
    }
    known
}

fn fresh(uri: &str, text: &str) -> Read {
    Read { known: known(uri, text, text), vouched: 0 }
}

fn take(session: &mut Session, fact: Value) -> Value {
    session.take(&fact);
    session.orders().0
}

fn read(session: &mut Session, text: &str) -> Value {
    take(session, json!({ "read": 1, "text": text, "at": 5 }))
}

/// A session whose only source was compared once after the watch began, and has rested.
fn settled() -> Session {
    let mut session = Session::new();
    session.follow(vec![fresh("a", "one\ntwo\n")]);
    let (orders, _) = session.orders();
    assert_eq!((&orders["watch"][0]["uri"], &orders["ready"]), (&json!("a"), &json!(true)));
    let orders = take(&mut session, json!({ "watching": 1 }));
    assert_eq!(orders["reads"][0]["uri"], "a", "what changed before somebody told is found");
    let orders = read(&mut session, "one\ntwo\n");
    assert_eq!((&orders["changes"], &orders["waits"]), (&json!([]), &json!([{ "id": 1, "ms": 1000, "turn": 1 }])));
    for ms in [MOST_PACE, 0] {
        let waits = take(&mut session, json!({ "rested": 1 }))["waits"].clone();
        assert_eq!(waits.as_array().unwrap().first().map_or(0, |wait| wait["ms"].as_u64().unwrap()), ms);
    }
    session
}

#[test]
fn a_change_is_read_compared_and_told() {
    let mut session = settled();
    assert_eq!(take(&mut session, json!({ "changed": 1 }))["waits"], json!([{ "id": 1, "ms": SETTLE, "turn": 3 }]));
    assert_eq!(take(&mut session, json!({ "changed": 1 }))["waits"], json!([]), "told while it settles");
    assert_eq!(take(&mut session, json!({ "rested": 1 }))["reads"].as_array().unwrap().len(), 1);
    let orders = read(&mut session, "one\nthree\n");
    let change = &orders["changes"][0];
    assert_eq!(
        (&change["difference"], &change["cited"], &change["readAt"]),
        (&json!("- two\n+ three\n"), &json!(true), &json!(5))
    );
    assert!(change["note"].as_str().unwrap().contains("- two\n+ three\n"));
    // As before again, and told so; and what was never noted is compared with what the model knows.
    take(&mut session, json!({ "changed": 1 }));
    take(&mut session, json!({ "rested": 1 }));
    let back = read(&mut session, "one\ntwo\n");
    assert_eq!((&back["changes"][0]["same"], &back["changes"][0]["note"]), (&json!(true), &json!("")));
}

#[test]
fn what_the_model_was_shown_is_what_the_next_change_is_compared_with() {
    let mut session = settled();
    let version = |session: &mut Session, text: &str| {
        for fact in ["changed", "rested", "rested"] {
            take(session, json!({ fact: 1 }));
        }
        let told = read(session, text);
        take(session, json!({ "rested": 1 }));
        told["changes"][0].clone()
    };
    let first = version(&mut session, "one\nthree\n");
    let second = version(&mut session, "one\nfour\n");
    assert_eq!(second["difference"], "- two\n+ four\n", "nothing was shown yet");
    session.to_store();
    let noted = json!({ "noted": [{ "server": "s", "uri": "a", "version": first["version"] }] });
    let orders = take(&mut session, noted.clone());
    assert_eq!(orders["changes"][0]["difference"], "- three\n+ four\n", "what came since is news");
    assert_eq!(session.to_store()[0].base, Content::of("one\nthree\n"));
    assert_eq!(take(&mut session, noted)["changes"], json!([]), "once");
    let third = version(&mut session, "one\n");
    assert_eq!((&third["difference"], &third["cited"]), (&json!("- three\n"), &json!(true)));
}

#[test]
fn a_source_that_flaps_is_read_ever_more_rarely() {
    let mut session = settled();
    take(&mut session, json!({ "changed": 1 }));
    take(&mut session, json!({ "rested": 1 }));
    let mut paces = Vec::new();
    for round in 0..9 {
        take(&mut session, json!({ "changed": 1 }));
        let orders = read(&mut session, &format!("one\n{round}\n"));
        paces.push(orders["waits"][0]["ms"].as_u64().unwrap());
        assert_eq!(take(&mut session, json!({ "changed": 1 }))["reads"], json!([]));
        assert_eq!(take(&mut session, json!({ "rested": 1 }))["reads"].as_array().unwrap().len(), 1, "but it is read");
    }
    assert_eq!(paces, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    // Quiet for a minute, it is read at once again.
    read(&mut session, "one\nlast\n");
    take(&mut session, json!({ "rested": 1 }));
    assert_eq!(take(&mut session, json!({ "rested": 1 }))["waits"], json!([]));
    take(&mut session, json!({ "changed": 1 }));
    take(&mut session, json!({ "rested": 1 }));
    assert_eq!(read(&mut session, "one\nnew\n")["waits"][0]["ms"], 1_000);
}

/// However it times its changes.
#[test]
fn no_rhythm_of_changes_is_read_more_often_than_another() {
    for period in [700, 1_300, 2_600, 5_000, 20_000, 45_000] {
        let mut session = settled();
        let (mut now, mut rest, mut reads, mut told) = (0u64, None::<(u64, Value)>, 0, 0);
        for round in 1..=2_400_000 / period {
            let at = round * period;
            while let Some((until, fact)) = rest.clone().filter(|(until, _)| *until <= at) {
                now = until;
                let mut orders = take(&mut session, fact);
                if !orders["reads"].as_array().unwrap().is_empty() {
                    reads += 1;
                    orders = read(&mut session, &format!("one\n{until}\n"));
                    told += orders["changes"].as_array().unwrap().len();
                }
                rest = next_wait(&orders, now);
            }
            now = now.max(at);
            let orders = take(&mut session, json!({ "changed": 1 }));
            rest = next_wait(&orders, now).or(rest);
        }
        assert!((38..=48).contains(&reads) && told <= reads, "{period}: {reads} readings, {told} told");
    }
}

/// When the wait that was ordered is over, and what is told then.
fn next_wait(orders: &Value, now: u64) -> Option<(u64, Value)> {
    let wait = orders["waits"].as_array()?.last()?;
    Some((now + wait["ms"].as_u64()?, json!({ "rested": 1, "turn": wait["turn"] })))
}

/// A text that is too long to be kept is compared line by line all the same, and what was shown of it is known by its words.
#[test]
fn a_long_text_has_a_difference_too() {
    let text = |seven: &str, last: &str| {
        let mut lines: Vec<String> = (0..6_000).map(|line| format!("row number {line}\n")).collect();
        (lines[7], lines[5_999]) = (format!("{seven}\n"), format!("{last}\n"));
        lines.concat()
    };
    let mut session = Session::new();
    session.follow(vec![Read { known: known("a", &text("calm", "end"), "calm\nrow number 8"), vouched: 0 }]);
    session.orders();
    take(&mut session, json!({ "watching": 1 }));
    let told = read(&mut session, &text("wild", "end"))["changes"][0].clone();
    assert_eq!((&told["difference"], &told["cited"]), (&json!("- calm\n+ wild\n"), &json!(true)));
    let noted = json!({ "noted": [{ "server": "s", "uri": "a", "version": told["version"] }] });
    take(&mut session, noted);
    // As after a reload.
    let stored: Vec<Known> = session.to_store().iter().map(|known| Known::read(&known.to_bytes()).unwrap()).collect();
    let mut session = Session::new();
    session.remember(stored);
    session.orders();
    take(&mut session, json!({ "watching": 1 }));
    let told = read(&mut session, &text("calm again", "over"))["changes"][0].clone();
    assert_eq!(told["difference"], "- wild\n+ calm again\n- [lines that were not shown: 1]\n+ over\n");
    let told = {
        take(&mut session, json!({ "changed": 1 }));
        take(&mut session, json!({ "rested": 1 }));
        read(&mut session, &"x".repeat(3 << 20))["changes"][0].clone()
    };
    assert_eq!((&told["cited"], &told["same"]), (&json!(true), &json!(false)));
}

#[test]
fn what_cannot_be_read_is_read_again() {
    let mut session = settled();
    take(&mut session, json!({ "gap": 1 }));
    take(&mut session, json!({ "rested": 1 }));
    assert_eq!(take(&mut session, json!({ "read": 1 }))["changes"], json!([]));
    assert_eq!(take(&mut session, json!({ "rested": 1 }))["reads"].as_array().unwrap().len(), 1);
    assert_eq!(read(&mut session, "new")["changes"].as_array().unwrap().len(), 1);
}

#[test]
fn a_model_waits_for_what_was_followed_before() {
    let mut session = Session::new();
    session.remember(vec![known("a", "old", "old"), known("b", "same", "same")]);
    session.follow(vec![fresh("c", "x")]);
    assert_eq!(session.orders().0["ready"], false);
    for id in [1, 2] {
        assert_eq!(take(&mut session, json!({ "watching": id }))["reads"].as_array().unwrap().len(), 1);
    }
    assert_eq!(read(&mut session, "new")["changes"][0]["difference"], "- old\n+ new\n");
    let orders = take(&mut session, json!({ "read": 2, "text": "same" }));
    assert_eq!((&orders["ready"], &orders["changes"]), (&json!(true), &json!([])));
    assert_eq!(session.orders().0["ready"], false, "once");
    let mut session = Session::new();
    session.remember(vec![known("a", "old", "")]);
    assert_eq!(session.orders().0["ready"], false);
    assert_eq!(take(&mut session, json!({ "patience": true }))["ready"], true);
    // Nobody tells of it: its content is compared.
    assert_eq!(take(&mut session, json!({ "deaf": 1 }))["reads"].as_array().unwrap().len(), 1);
}

#[test]
fn a_server_s_word_holds_until_it_says_otherwise() {
    let mut session = Session::new();
    session.follow(vec![Read { vouched: 5_000, ..fresh("a", "x") }]);
    let orders = take(&mut session, json!({ "watching": 1 }));
    assert_eq!((&orders["reads"], &orders["waits"]), (&json!([]), &json!([{ "id": 1, "ms": 5000, "turn": 1 }])));
    let waits = take(&mut session, json!({ "changed": 1 }))["waits"].clone();
    assert_eq!(waits, json!([{ "id": 1, "ms": SETTLE, "turn": 2 }]));
    assert_eq!(take(&mut session, json!({ "rested": 1, "turn": 1 }))["reads"], json!([]), "an old wait");
    assert_eq!(take(&mut session, json!({ "rested": 1 }))["reads"].as_array().unwrap().len(), 1);
    assert_eq!(read(&mut session, "y")["changes"].as_array().unwrap().len(), 1);
}

#[test]
fn only_so_many_are_followed_by_themselves() {
    let mut session = Session::new();
    let mut asked = fresh("asked", "x");
    asked.known.asked = true;
    session.follow(vec![asked]);
    session.follow((0..40).map(|number| fresh(&number.to_string(), "x")).collect());
    let (_, gone) = session.orders();
    assert_eq!(gone.len(), 8);
    assert!(gone.iter().all(|known| !known.asked && known.uri.parse::<u32>().unwrap() < 8));
    assert_eq!(session.to_store().len(), 33);
    take(&mut session, json!({ "deaf": 5 }));
    assert_eq!(session.to_store().len(), 0);
    take(&mut session, json!({ "deaf": 1 }));
    session.follow(vec![Read { known: known("39", "y", "y"), vouched: 9 }]);
    assert_eq!(session.to_store()[0].shown, "x\ny\n");
}

#[test]
fn facts_about_nothing_change_nothing() {
    let mut session = settled();
    for fact in [json!({ "read": 1, "text": "x" }), json!({ "rested": 9 }), json!({ "changed": 9 }), json!(7)] {
        let orders = take(&mut session, fact);
        assert_eq!((&orders["reads"], &orders["changes"], &orders["waits"]), (&json!([]), &json!([]), &json!([])));
    }
}
