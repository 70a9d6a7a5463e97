//! What several tabs share, and what an app keeps itself.

use super::*;

/// Another tab of the same browser.
fn tab(world: &World) -> Connection<SimPlatform> {
    // Its requests begin their ids anew.
    world.server.borrow_mut().many = true;
    connect(&world.sim, json!({}))
}

#[test]
fn tabs_refresh_once_between_them() {
    for seed in 0..100 {
        let world = World::new(seed, Era::Modern);
        let other = tab(&world);
        assert_eq!(world.list(), Ok(1));
        assert_eq!(world.run(list(&other)), Ok(1), "what the first tab has kept serves the second");
        assert_eq!(world.grants(), ["authorization_code"]);
        for _ in 0..3 {
            world.authority.borrow_mut().revoke();
            let connections = [&world.connection, &other, &world.connection, &other];
            let listed = world.run(join_all(connections.map(list)));
            assert!(listed.iter().all(|listed| *listed == Ok(1)), "seed {seed}");
            assert_eq!(world.grants(), ["refresh_token"], "seed {seed}");
        }
        assert_eq!(world.asked().len(), 1);
    }
}

#[test]
fn tabs_refresh_once_before_the_token_ends() {
    for seed in 0..30 {
        let world = World::new(seed, Era::Modern);
        world.authority.borrow_mut().lifetime = Millis(60_000);
        let other = tab(&world);
        assert_eq!(world.run(join(list(&world.connection), world.sim.sleep(Millis(0)))).0, Ok(1));
        assert_eq!(world.run(list(&other)), Ok(1));
        world.run(world.sim.sleep(Millis(50_000)));
        assert_eq!(world.run(join(list(&world.connection), list(&other))), (Ok(1), Ok(1)));
        assert_eq!(world.grants(), ["authorization_code", "refresh_token"], "seed {seed}");
    }
}

#[test]
fn a_tab_that_holds_the_lock_for_ever_stops_nobody() {
    let world = World::new(1, Era::Modern);
    assert_eq!(world.list(), Ok(1));
    let held = world.sim.block_on(world.sim.lock(&["oauth/", RESOURCE].concat())).unwrap();
    world.authority.borrow_mut().revoke();
    assert_eq!(world.sim.block_on(list(&world.connection)).unwrap(), Ok(1));
    drop(held);
    assert_eq!(world.grants(), ["authorization_code", "refresh_token"]);
}

#[test]
fn a_tab_takes_up_what_another_has_signed_in_to_meanwhile() {
    let world = World::new(3, Era::Modern);
    let other = tab(&world);
    assert_eq!(world.list(), Ok(1));
    assert_eq!(world.run(list(&other)), Ok(1));
    world.authority.borrow_mut().revoke();
    world.authority.borrow_mut().revoke_refresh();
    assert_eq!(world.list(), Ok(1));
    assert_eq!(world.run(list(&other)), Ok(1));
    assert_eq!(world.asked().len(), 2, "one sign-in for both");
}

#[test]
fn a_store_that_is_full_costs_no_token() {
    let world = World::new(1, Era::Modern);
    assert_eq!(world.list(), Ok(1));
    world.sim.set_store_full(true);
    for _ in 0..3 {
        world.authority.borrow_mut().revoke();
        assert_eq!(world.list(), Ok(1), "the store holds an older refresh token, which is not used again");
    }
    assert_eq!(world.grants(), ["authorization_code", "refresh_token", "refresh_token", "refresh_token"]);
}

type Kept = Rc<RefCell<Vec<(String, String)>>>;

/// The app's functions 7 and 8 keep things.
fn app_store(sim: &SimPlatform, kept: &Kept) -> Value {
    let (load, save) = (kept.clone(), kept.clone());
    sim.function(FunctionId(7), move |key, _| {
        let kept = load.borrow();
        let found = kept.iter().find(|(known, _)| known == key.as_str().unwrap());
        AppAnswer::value(Millis(3), found.map(|(_, text)| text.as_str().into()).unwrap_or(Value::Null))
    });
    sim.function(FunctionId(8), move |argument, _| {
        let mut kept = save.borrow_mut();
        let key = argument["key"].as_str().unwrap();
        kept.retain(|(known, _)| known != key);
        if let Some(text) = argument["text"].as_str() {
            kept.push((key.to_owned(), text.to_owned()));
        }
        AppAnswer::value(Millis(3), Value::Null)
    });
    json!({ "store": { "load": { "$function": 7 }, "save": { "$function": 8 } } })
}

#[test]
fn an_app_keeps_tokens_itself() {
    let mut world = World::new(1, Era::Modern);
    let kept: Kept = Rc::default();
    let options = app_store(&world.sim, &kept);
    world.connection = connect(&world.sim, options.clone());
    assert_eq!(world.list(), Ok(1));
    assert!(world.sim.secrets().is_empty());
    let keys: Vec<String> = kept.borrow().iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(keys, ["oauth/https://mcp.test/v1/mcp"], "the sign-in that was begun is over");
    world.host();
    assert_eq!(world.run(list(&connect(&world.sim, options))), Ok(1));
    assert_eq!(world.grants(), ["authorization_code"]);

    // An issuer that the app names is part of the key.
    let world = World::new(2, Era::Modern);
    let kept: Kept = Rc::default();
    let mut options = app_store(&world.sim, &kept);
    options["clientId"] = "mine".into();
    options["issuer"] = ISSUER.into();
    assert_eq!(world.run(list(&connect(&world.sim, options))), Ok(1));
    assert_eq!(kept.borrow()[0].0, "oauth/https://mcp.test/v1/mcp https://as.test");
}

#[test]
fn a_store_of_the_app_that_fails_or_hangs_fails_no_call() {
    for answer in
        [|| AppAnswer::throws(Millis(1), "no luck"), AppAnswer::never, || AppAnswer::value(Millis(1), 7.into())]
    {
        let mut world = World::new(1, Era::Modern);
        let options = app_store(&world.sim, &Kept::default());
        world.sim.function(FunctionId(7), move |_, _| answer());
        world.sim.function(FunctionId(8), move |_, _| answer());
        world.connection = connect(&world.sim, options);
        assert_eq!(world.list(), Ok(1));
        assert_eq!(world.list(), Ok(1));
        assert_eq!(world.grants(), ["authorization_code"], "as long as the page lives, memory does");
    }
}

#[test]
fn what_is_kept_may_be_anything() {
    for left in ["", "{", "[]", "7", r#"{"turn":9,"tokens":{},"client":[]}"#, r#"{"turn":-1}"#, r#"{"turn":"x"}"#] {
        let world = World::new(1, Era::Modern);
        for kind in ["oauth/", "oauth-begun/"] {
            world.sim.leave_secret(&[kind, RESOURCE].concat(), Secret::new(left));
        }
        assert_eq!(world.list(), Ok(1), "{left}");
    }
}
