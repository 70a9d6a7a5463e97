use serde_json::json;

use super::*;

fn config(value: Value) -> CacheConfig {
    CacheConfig::read(Some(&value)).unwrap()
}

fn annotations(read_only: bool, idempotent: bool, open_world: bool) -> Annotations {
    Annotations { read_only, idempotent, open_world, ..Annotations::default() }
}

#[test]
fn tools_that_read_or_may_be_called_twice_are_cached_and_the_app_has_the_last_word() {
    let minute = Some(Millis(60_000));
    let default = CacheConfig::read(None).unwrap();
    assert_eq!(default.ttl_of("s.t", &annotations(true, false, false)), minute);
    assert_eq!(default.ttl_of("s.t", &annotations(false, true, false)), minute);
    assert_eq!(default.ttl_of("s.t", &annotations(false, false, false)), None);
    assert_eq!(default.ttl_of("s.t", &annotations(true, true, true)), None);
    assert!(default.invalidates("s.t", &annotations(false, true, false)));
    assert!(!default.invalidates("s.t", &annotations(true, false, true)));
    let tools = json!({ "s.open": true, "s.never": false, "s.long": { "ttlMs": 9_000 }, "s.zero": { "ttlMs": 0 }, "s.quiet": { "invalidates": false } });
    let own = config(json!({ "ttlMs": 5, "tools": tools }));
    let any = annotations(false, false, true);
    assert_eq!(own.ttl_of("s.open", &any), Some(Millis(5)));
    assert_eq!(own.ttl_of("s.never", &annotations(true, true, false)), None);
    assert_eq!(own.ttl_of("s.long", &any), Some(Millis(9_000)));
    assert_eq!(own.ttl_of("s.zero", &any), None);
    assert!(own.invalidates("s.long", &any) && !own.invalidates("s.quiet", &any));
    let (write, reset) = (annotations(false, false, false), annotations(false, true, false));
    assert_eq!((own.ttl_of("s.quiet", &write), own.ttl_of("s.quiet", &any)), (None, None), "a write is made each time");
    assert_eq!(own.ttl_of("s.quiet", &reset), Some(Millis(5)));
    let off = config(json!(false));
    assert!(off.ttl_of("s.t", &annotations(true, true, false)).is_none() && !off.invalidates("s.t", &any));
}

#[test]
fn names_what_is_wrong() {
    let message = |value: Value| CacheConfig::read(Some(&value)).unwrap_err().message.clone();
    assert_eq!(message(json!({ "ttlMs": -1 })), "cache.ttlMs: expected a whole number from 0 to 86400000, got -1");
    assert_eq!(message(json!({ "tools": [] })), "cache.tools: expected an object, got an array");
    assert_eq!(
        message(json!({ "tools": { "a.b": 7 } })),
        "cache.tools[\"a.b\"]: expected a boolean or an object, got 7"
    );
    assert!(
        message(json!({ "tools": { "a.b": { "ttl": 7 } } })).starts_with("cache.tools[\"a.b\"].ttl: unknown option")
    );
    let modes = ["reload", "only-if-cached", "no-store", "default"].map(|mode| Mode::read(&json!(mode)).unwrap());
    assert_eq!(modes, [Mode::Reload, Mode::OnlyIfCached, Mode::NoStore, Mode::Default]);
    assert!(Mode::read(&json!("force-cache")).is_err() && Mode::read(&json!(7)).is_err());
}

#[test]
fn what_may_be_kept_and_for_how_long() {
    let now = UnixMillis(1_000_000);
    let record = |result: Value, ttl| Record::new(result.as_object().unwrap(), Millis(ttl), now);
    let stale = |record: Option<Record>, later| record.unwrap().age(UnixMillis(now.0 + later)).stale;
    assert!(!stale(record(json!({ "content": [] }), 50), 49) && stale(record(json!({ "content": [] }), 50), 50));
    assert!(!stale(record(json!({ "ttlMs": 99 }), 50), 98), "the server's word comes first");
    assert!(stale(record(json!({ "ttlMs": u64::MAX }), 0), MAX_TTL), "a day at most");
    for never in [json!({ "isError": true }), json!({ "resultType": "input_required" })] {
        assert_eq!(record(never, 50), None);
    }
    assert!(stale(record(json!({ "ttlMs": 0 }), 50), 0), "over at once");
    let kept = record(json!({ "resources": [] }), 0).unwrap();
    assert!(kept.age(now).stale, "only for when the server cannot be reached");
    assert_eq!(kept.expires(), now + STALE_FOR);
    let early = kept.age(UnixMillis(1));
    assert!(early.stale && early.age_ms == Millis(0), "a clock that was set back");
    assert_eq!(Record::read(&kept.to_bytes().unwrap()), Some(kept));
    for bad in ["", "[]", "{}", r#"{"at":1,"ttl":2,"result":3}"#, r#"{"at":-1,"ttl":2,"result":{}}"#] {
        assert_eq!(Record::read(bad.as_bytes()), None);
    }
    let big = record(json!({ "content": "x".repeat(MAX_BYTES) }), 50).unwrap();
    assert_eq!(big.to_bytes(), None);
}

#[test]
fn principals_and_parameters_are_told_apart() {
    let principal = |pairs: &[(&'static str, &'static str)]| super::principal(pairs.iter().copied());
    assert_eq!(principal(&[]), "");
    let all = [
        principal(&[("authorization", "a")]),
        principal(&[("authorization", "b")]),
        principal(&[("authorizationa", "")]),
        principal(&[("x", "1"), ("y", "2")]),
        principal(&[("x", "1y"), ("", "2")]),
        principal(&[]),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(all[..at].iter().all(|other| other != one) && !one.contains("authorization"));
    }
    let digest = |value: Value| super::digest(value.as_object().unwrap());
    assert_eq!(
        digest(json!({ "a": 1, "b": { "c": 2.0, "d": 3 } })),
        digest(json!({ "b": { "d": 3.0, "c": 2 }, "a": 1.0 }))
    );
    assert_ne!(digest(json!({ "a": "1" })), digest(json!({ "a": 1 })));
}
