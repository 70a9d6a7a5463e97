//! The laws of what a platform stores: whatever it is stored in must pass them. Included as `laws.rs` is.

use edgewise::platform::{Platform, Space, Write, key};
use edgewise::time::{Millis, UnixMillis};
use futures_util::future::join;

/// An owner that nobody else has.
fn owner<P: Platform>(p: &P) -> String {
    format!("law-{:x}", p.random())
}

async fn put<P: Platform>(p: &P, space: Space, key: &str, value: &[u8]) {
    p.write(vec![Write::put(space, key, value)]).await.expect("there is room");
}

async fn keys<P: Platform>(p: &P, space: Space, prefix: &str) -> Vec<String> {
    p.list(space, prefix).await.into_iter().map(|stored| stored.key).collect()
}

/// `load` gives what the last finished `write` of that key has left; keys do not touch each other.
pub async fn law_the_store_keeps_what_was_written<P: Platform>(p: &P) {
    let one = key(&[&owner(p), "\u{2713}"]);
    let other = format!("{one}2");
    assert_eq!(p.load(Space::Cache, &one).await, None);
    put(p, Space::Cache, &one, b"one").await;
    put(p, Space::Cache, &other, b"").await;
    put(p, Space::Cache, &one, &[0, 255, 10]).await;
    assert_eq!(p.load(Space::Cache, &one).await.as_deref(), Some(&[0, 255, 10][..]));
    assert_eq!(p.load(Space::Cache, &other).await.as_deref(), Some(&b""[..]));
    for _ in 0..2 {
        p.write(vec![Write::remove(Space::Cache, &one)]).await.expect("it is removed");
        assert_eq!(p.load(Space::Cache, &one).await, None);
    }
    assert_eq!(p.load(Space::Cache, &other).await.as_deref(), Some(&b""[..]));
    p.write(Vec::new()).await.expect("nothing is easily stored");
}

/// The changes of a batch happen in their order.
pub async fn law_a_batch_is_in_order<P: Platform>(p: &P) {
    let mine = owner(p);
    let at = |name: &str| key(&[&mine, name]);
    put(p, Space::Journal, &at("before"), b"1").await;
    let batch = vec![
        Write::put(Space::Journal, at("a"), b"1"),
        Write::put(Space::Journal, at("b"), b"2"),
        Write::remove_prefix(Space::Journal, at("")),
        Write::put(Space::Journal, at("b"), b"3"),
        Write::put(Space::Journal, at("c"), b"4"),
        Write::remove(Space::Journal, at("c")),
    ];
    p.write(batch).await.expect("there is room");
    assert_eq!(keys(p, Space::Journal, &at("")).await, [at("b")]);
    assert_eq!(p.load(Space::Journal, &at("b")).await.as_deref(), Some(&b"3"[..]));
    p.write(vec![Write::remove_prefix(Space::Journal, at(""))]).await.expect("it is removed");
    assert_eq!(keys(p, Space::Journal, &at("")).await, [""; 0]);
}

/// The same key in two spaces is two values; a prefix removes those of one owner in one space.
pub async fn law_spaces_and_owners_are_apart<P: Platform>(p: &P) {
    let mine = owner(p);
    let owners = [mine.clone(), format!("{mine}0"), format!("{mine}/x")].map(|owner| key(&[&owner, "k"]));
    for space in Space::ALL {
        for key in &owners {
            put(p, space, key, space.as_str().as_bytes()).await;
        }
    }
    p.write(vec![Write::remove_prefix(Space::Handles, key(&[&mine, ""]))]).await.expect("it is removed");
    for space in Space::ALL {
        for (at, key) in owners.iter().enumerate() {
            let expected = (space != Space::Handles || at > 0).then(|| space.as_str().as_bytes().to_vec());
            assert_eq!(p.load(space, key).await, expected, "{space:?} {key}");
        }
    }
    let all = Space::ALL.map(|space| Write::remove_prefix(space, &mine));
    p.write(all.into()).await.expect("it is removed");
    for space in Space::ALL {
        assert_eq!(keys(p, space, &mine).await, [""; 0]);
    }
}

/// A listing is in the order of the keys' bytes and tells sizes; it holds what begins with the prefix and nothing else.
pub async fn law_a_listing_is_in_order<P: Platform>(p: &P) {
    let mine = owner(p);
    // In UTF-16 the last two are the other way round.
    let names =
        ["000002", "000010", "1", "a b", "z", "\u{e9}", "\u{ff5e}", "\u{1f600}"].map(|name| key(&[&mine, name]));
    for (bytes, key) in names.iter().enumerate().rev() {
        put(p, Space::Conversations, key, &vec![7; bytes]).await;
    }
    put(p, Space::Conversations, &format!("{mine}-other"), b"x").await;
    let listed = p.list(Space::Conversations, &key(&[&mine, ""])).await;
    assert_eq!(listed.iter().map(|stored| stored.key.as_str()).collect::<Vec<_>>(), names);
    assert_eq!(listed.iter().map(|stored| stored.bytes).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(listed.iter().all(|stored| stored.expires.is_none()));
    assert_eq!(keys(p, Space::Conversations, &key(&[&mine, "0000"])).await, names[..2]);
    p.write(vec![Write::remove_prefix(Space::Conversations, &mine)]).await.expect("it is removed");
}

/// What is over is not there; what is not over yet is.
pub async fn law_what_is_over_is_gone<P: Platform>(p: &P) {
    let mine = owner(p);
    let at = |name: &str| key(&[&mine, name]);
    let far = UnixMillis(p.now().0 + 48 * 3_600_000);
    let write = |name: &str, expires| Write::Put { space: Space::Cache, key: at(name), value: vec![1], expires };
    p.write(vec![write("past", Some(UnixMillis(1_000))), write("far", Some(far))]).await.expect("there is room");
    assert_eq!(p.load(Space::Cache, &at("past")).await, None);
    assert_eq!(p.load(Space::Cache, &at("far")).await, Some(vec![1]));
    let listed = p.list(Space::Cache, &at("")).await;
    assert_eq!(
        listed.iter().map(|stored| (&stored.key, stored.expires)).collect::<Vec<_>>(),
        [(&at("far"), Some(far))]
    );
    p.write(vec![write("far", None)]).await.expect("there is room");
    assert_eq!(p.list(Space::Cache, &at("")).await[0].expires, None);
    p.write(vec![Write::remove_prefix(Space::Cache, at(""))]).await.expect("it is removed");
}

/// Values of a megabyte and odd sizes come back as they were.
pub async fn law_big_values_come_back<P: Platform>(p: &P) {
    let mine = owner(p);
    for size in [1, 127, 65_536, 131_073, 1_048_576] {
        let value: Vec<u8> = (0..size).map(|at: usize| ((at * 31) >> 3) as u8).collect();
        put(p, Space::Conversations, &mine, &value).await;
        assert_eq!(p.load(Space::Conversations, &mine).await.map(|loaded| loaded == value), Some(true), "{size}");
    }
    put(p, Space::Conversations, &mine, b"small again").await;
    assert_eq!(p.load(Space::Conversations, &mine).await.as_deref(), Some(&b"small again"[..]));
    p.write(vec![Write::remove(Space::Conversations, &mine)]).await.expect("it is removed");
}

/// Batches that are written at once do not mix, and each is seen as a whole.
pub async fn law_batches_do_not_mix<P: Platform>(p: &P) {
    let mine = owner(p);
    let at = |name: &str| key(&[&mine, name]);
    for round in 0..10u8 {
        let batch = |value: u8| {
            let put = |name: &str| Write::put(Space::Conversations, at(name), vec![value; 100]);
            p.write(vec![put("a"), Write::remove_prefix(Space::Conversations, at("x")), put("b")])
        };
        let (one, other) = join(batch(2 * round), batch(2 * round + 1)).await;
        assert_eq!((one, other), (Ok(()), Ok(())));
        let (a, b) = join(p.load(Space::Conversations, &at("a")), p.load(Space::Conversations, &at("b"))).await;
        assert!(a.is_some() && a == b, "{round}");
    }
    p.write(vec![Write::remove_prefix(Space::Conversations, &mine)]).await.expect("it is removed");
}

/// A change whose future is dropped happens or does not, and nothing waits for it.
pub async fn law_a_dropped_write_is_whole_or_nothing<P: Platform>(p: &P) {
    let mine = owner(p);
    let at = |name: &str| key(&[&mine, name]);
    for _ in 0..5 {
        let put = |name: &str| Write::put(Space::Journal, at(name), b"x");
        drop(
            futures_util::future::select(Box::pin(p.write(vec![put("a"), put("b")])), Box::pin(p.sleep(Millis(0))))
                .await,
        );
        let there = keys(p, Space::Journal, &at("")).await.len();
        assert!(there == 0 || there == 2, "{there}");
        p.write(vec![Write::remove_prefix(Space::Journal, at(""))]).await.expect("it is removed");
    }
}

/// Calls `$with!(law_name)` for every law.
#[macro_export]
macro_rules! for_every_store_law {
    ($with:ident) => {
        $with!(law_the_store_keeps_what_was_written);
        $with!(law_a_batch_is_in_order);
        $with!(law_spaces_and_owners_are_apart);
        $with!(law_a_listing_is_in_order);
        $with!(law_what_is_over_is_gone);
        $with!(law_big_values_come_back);
        $with!(law_batches_do_not_mix);
        $with!(law_a_dropped_write_is_whole_or_nothing);
    };
}
