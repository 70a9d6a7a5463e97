use super::*;
use crate::platform::Platform;
use crate::sim::{STORE_LIMIT, SimPlatform};

fn run<T>(sim: &SimPlatform, future: impl Future<Output = T>) -> T {
    sim.block_on(future).unwrap_or_else(|stuck| panic!("{stuck:?}"))
}

fn put(sim: &SimPlatform, space: Space, key: &str, value: &[u8]) -> Result<(), StoreFailure> {
    run(sim, sim.write(vec![Write::put(space, key, value)]))
}

fn load(sim: &SimPlatform, space: Space, key: &str) -> Option<Vec<u8>> {
    run(sim, sim.load(space, key))
}

#[test]
fn what_version_1_stored_is_brought_over_once() {
    let sim = SimPlatform::new(1);
    sim.set_record("era/https://a.test/mcp", Some(b"legacy".to_vec()));
    sim.set_record("tools/https://a.test/mcp", Some(b"{}".to_vec()));
    sim.set_record("tasks/transport:local", Some(b"[]".to_vec()));
    sim.set_record("of/nobody", Some(b"?".to_vec()));
    let server = "https:%2F%2Fa.test%2Fmcp/";
    // Two tabs at once.
    let tab = sim.tab();
    let era = [server, "era"].concat();
    let (one, other) =
        run(&sim, futures_util::future::join(sim.load(Space::Servers, &era), tab.load(Space::Servers, &era)));
    assert_eq!((one.as_deref(), other.as_deref()), (Some(&b"legacy"[..]), Some(&b"legacy"[..])));
    let keys: Vec<String> = run(&sim, sim.list(Space::Servers, "")).into_iter().map(|stored| stored.key).collect();
    assert_eq!(keys, [era, [server, "tools"].concat(), "transport:local/tasks".to_owned()]);
    let left: Vec<String> = sim
        .records()
        .into_keys()
        .filter(|key| !key.contains("/servers/") && !key.starts_with("v/") && !key.starts_with("m/"))
        .collect();
    assert_eq!(left, ["of/nobody", "schema"]);
    assert_eq!(sim.records()["schema"], b"2");
}

#[test]
fn what_a_newer_version_stored_is_left_alone() {
    let sim = SimPlatform::new(1);
    sim.set_record("schema", Some(b"3".to_vec()));
    sim.set_record("v/servers/k", Some(b"theirs".to_vec()));
    let before = sim.records();
    assert_eq!(put(&sim, Space::Servers, "k", b"ours"), Err(StoreFailure::Absent));
    assert_eq!(load(&sim, Space::Servers, "k").as_deref(), Some(&b"ours"[..]));
    assert_eq!(sim.records(), before);
}

#[test]
fn a_broken_record_is_dropped_and_counted() {
    for spoil in [
        |sim: &SimPlatform| sim.set_record("v/cache/k", Some(b"vblue".to_vec())),
        |sim: &SimPlatform| sim.set_record("v/cache/k", None),
        |sim: &SimPlatform| sim.set_record("m/cache/k", None),
        |sim: &SimPlatform| sim.set_record("m/cache/k", Some(b"x".to_vec())),
        // The value of another key, whole as it is.
        |sim: &SimPlatform| sim.set_record("m/cache/k", sim.records().get("m/cache/other").cloned()),
    ] {
        let sim = SimPlatform::new(1);
        put(&sim, Space::Cache, "k", b"value").unwrap();
        put(&sim, Space::Cache, "other", b"value").unwrap();
        spoil(&sim);
        assert_eq!(load(&sim, Space::Cache, "k"), None);
        assert_eq!(sim.store_counts().broken, 1);
        assert!(!sim.records().keys().any(|key| key.ends_with("/k")), "{:?}", sim.records());
        put(&sim, Space::Cache, "k", b"new").unwrap();
        assert_eq!(load(&sim, Space::Cache, "k").as_deref(), Some(&b"new"[..]));
        assert_eq!(load(&sim, Space::Cache, "other").as_deref(), Some(&b"value"[..]));
    }
}

/// Writes and uses values of a tenth of the limit, a minute or two apart.
#[test]
fn what_was_not_used_for_longest_goes_and_what_may_not_go_stays() {
    let sim = SimPlatform::new(1);
    let tenth = vec![1; STORE_LIMIT as usize / 10];
    put(&sim, Space::Conversations, "c", &tenth).unwrap();
    for number in 0..10 {
        put(&sim, Space::Cache, &number.to_string(), &tenth).unwrap();
        run(&sim, sim.sleep(Millis(61_000)));
    }
    // The first one is used again, by this tab alone.
    assert!(load(&sim, Space::Cache, "0").is_some());
    put(&sim, Space::Cache, "new", &tenth).unwrap();
    let left: Vec<String> = sim.stored().into_keys().collect();
    let expected = [
        "cache/0",
        "cache/2",
        "cache/3",
        "cache/4",
        "cache/5",
        "cache/6",
        "cache/7",
        "cache/8",
        "cache/9",
        "cache/new",
    ];
    assert_eq!(left[..left.len() - 1], expected);
    assert_eq!(left.last().map(String::as_str), Some("conversations/c"));
    let counts = sim.store_counts();
    assert_eq!((counts.evicted, counts.evicted_bytes, counts.failed), (1, tenth.len() as u64, 0));
    // Another tab sees the use, which was noted with the last change.
    let used = |key: &str| run(&sim, sim.tab().list(Space::Cache, key))[0].used;
    assert!(used("0") > used("9"));
}

#[test]
fn uses_are_noted_many_at_a_time_also_where_nothing_is_written() {
    let sim = SimPlatform::new(1);
    let keys: Vec<String> = (0..MOST_TOUCHED).map(|number| number.to_string()).collect();
    keys.iter().for_each(|key| put(&sim, Space::Index, key, b"x").unwrap());
    run(&sim, sim.sleep(Millis(61_000)));
    let reader = sim.tab();
    let noted = || sim.records().keys().filter(|key| key.starts_with("u/")).count();
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(noted(), 0, "{at}");
        assert!(load(&reader, Space::Index, key).is_some());
    }
    assert_eq!(noted(), MOST_TOUCHED);
    run(&sim, sim.write(vec![Write::remove(Space::Index, "0"), Write::remove_prefix(Space::Index, "1")])).unwrap();
    assert_eq!(noted(), MOST_TOUCHED - 12, "a use goes with its value");
}

#[test]
fn a_use_that_is_noted_late_harms_nothing_that_another_tab_wrote() {
    let sim = SimPlatform::new(1);
    put(&sim, Space::Cache, "k", b"old").unwrap();
    run(&sim, sim.sleep(Millis(61_000)));
    assert!(load(&sim, Space::Cache, "k").is_some());
    let other = sim.tab();
    put(&other, Space::Cache, "k", b"newer and longer").unwrap();
    put(&sim, Space::Cache, "elsewhere", b"x").unwrap();
    assert_eq!(load(&sim, Space::Cache, "k").as_deref(), Some(&b"newer and longer"[..]));
    assert_eq!(sim.store_counts().broken, 0);
}

#[test]
fn where_the_disk_is_full_the_least_used_goes_and_the_write_goes_on() {
    let sim = SimPlatform::new(1);
    for number in 0..100 {
        put(&sim, Space::Cache, &format!("{number:02}"), &[0; 1_000]).unwrap();
        run(&sim, sim.sleep(Millis(10)));
    }
    sim.set_store_room(110_000);
    put(&sim, Space::Conversations, "c", &[0; 50_000]).unwrap();
    assert_eq!(load(&sim, Space::Conversations, "c").map(|value| value.len()), Some(50_000));
    assert!(load(&sim, Space::Cache, "99").is_some() && load(&sim, Space::Cache, "00").is_none());
    assert!(sim.store_counts().evicted > 0);
    // Now more than all that may go.
    assert_eq!(put(&sim, Space::Conversations, "d", &[0; 70_000]), Err(StoreFailure::Full));
    assert_eq!(sim.evictable_bytes(), 0);
    assert_eq!(load(&sim, Space::Conversations, "d").map(|value| value.len()), Some(70_000), "in memory");
    assert_eq!(sim.store_waiting(), 70_000);
    // It is made up for as soon as there is room.
    run(&sim, sim.write(vec![Write::remove(Space::Conversations, "c")])).unwrap();
    assert_eq!((sim.store_waiting(), sim.stored().len()), (0, 1));
}

#[test]
fn what_may_be_evicted_does_not_hide_behind_what_was_stored_before() {
    let sim = SimPlatform::new(1);
    put(&sim, Space::Cache, "k", b"old").unwrap();
    sim.set_store_full(true);
    assert_eq!(put(&sim, Space::Cache, "k", b"new"), Err(StoreFailure::Full));
    assert_eq!(load(&sim, Space::Cache, "k"), None);
}

#[test]
fn a_store_that_is_gone_for_a_while_loses_nothing() {
    let sim = SimPlatform::new(1);
    put(&sim, Space::Journal, "run/1", b"a").unwrap();
    put(&sim, Space::Journal, "run/2", b"b").unwrap();
    sim.set_store_gone(true);
    assert_eq!(run(&sim, sim.write(vec![Write::remove_prefix(Space::Journal, "run/")])), Err(StoreFailure::Absent));
    assert_eq!(put(&sim, Space::Journal, "run/3", b"c"), Err(StoreFailure::Absent));
    assert_eq!(load(&sim, Space::Journal, "run/1"), None);
    assert_eq!(load(&sim, Space::Journal, "run/3").as_deref(), Some(&b"c"[..]));
    sim.set_store_gone(false);
    let keys = |sim: &SimPlatform| -> Vec<String> {
        run(sim, sim.list(Space::Journal, "run/")).into_iter().map(|stored| stored.key).collect()
    };
    assert_eq!(keys(&sim), ["run/3"], "before it was stored");
    put(&sim, Space::Journal, "run/4", b"d").unwrap();
    assert_eq!(
        (keys(&sim), keys(&sim.tab())),
        (vec!["run/3".into(), "run/4".into()], vec!["run/3".into(), "run/4".into()])
    );
}

#[test]
fn an_answer_that_could_not_be_kept_in_time_is_not_kept_late() {
    let sim = SimPlatform::new(1);
    let other = sim.tab();
    sim.set_store_gone(true);
    assert_eq!(put(&sim, Space::Cache, "a", b"old"), Err(StoreFailure::Absent));
    assert_eq!(put(&sim, Space::Embeddings, "a", b"of its text"), Err(StoreFailure::Absent));
    assert_eq!(load(&sim, Space::Cache, "a").as_deref(), Some(&b"old"[..]), "until then it serves");
    sim.set_store_gone(false);
    // The other tab learns that it is over, before this one stores anything again.
    run(&other, other.write(vec![Write::remove_prefix(Space::Cache, "")])).unwrap();
    put(&sim, Space::Journal, "run/1", b"a").unwrap();
    assert_eq!((load(&other, Space::Cache, "a"), load(&sim, Space::Cache, "a")), (None, None));
    assert!(load(&other, Space::Embeddings, "a").is_some(), "what is right for ever is made up for");
}
