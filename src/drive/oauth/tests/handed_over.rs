//! An app without a window of its own: it gets the address, and says where the user came back to.

use super::*;
use crate::drive::client::Client;

/// A world whose app names no `authorize`.
fn world(seed: u64, era: Era) -> World {
    let mut world = World::new(seed, era);
    world.connection = connect(&world.sim, json!({ "authorize": null }));
    world
}

fn asked_url(error: &Error) -> String {
    assert_eq!(error.code, Code::AuthRequired, "{error}");
    assert_eq!(error.cause.as_ref().unwrap().status, Some(401));
    error.authorization_url.as_deref().expect("an address").to_owned()
}

#[test]
fn the_app_gets_the_address_and_hands_the_code_back() {
    for (seed, era) in (0..20).flat_map(|seed| [(seed, Era::Modern), (seed, Era::Legacy)]) {
        let world = world(seed, era);
        let error = world.list().unwrap_err();
        let url = asked_url(&error);
        assert!(!error.message.contains("https"), "{error}");
        assert_eq!(world.connection.info().state, crate::mcp::server::State::AuthRequired);
        assert_eq!(world.connection.info().to_value()["error"]["authorizationUrl"], url.as_str());
        let back = world.authority.borrow_mut().sign_in(&url);
        world.run(world.connection.finish_authorization(&back, &Cancel::new())).unwrap();
        assert_eq!(world.list(), Ok(1));
        let again = world.run(world.connection.finish_authorization(&back, &Cancel::new())).unwrap_err();
        assert_eq!(again.code, Code::Misuse);
        assert_eq!((world.grants(), world.asked().len()), (vec!["authorization_code".to_owned()], 1));
    }
}

#[test]
fn addresses_that_were_given_before_still_lead_to_a_token() {
    let world = world(1, Era::Modern);
    let urls: Vec<String> = (0..3).map(|_| asked_url(&world.list().unwrap_err())).collect();
    assert_eq!(world.authority.borrow().registered, 1);
    // Elsewhere, such as in another isolate; and the oldest of them.
    let elsewhere = connect(&world.sim, json!({ "authorize": null }));
    let back = world.authority.borrow_mut().sign_in(&urls[0]);
    world.run(elsewhere.finish_authorization(&back, &Cancel::new())).unwrap();
    assert_eq!(world.list(), Ok(1), "the first one reads what the other has kept");
    assert_eq!(world.grants(), ["authorization_code"]);
}

#[test]
fn a_redirect_that_nobody_asked_for_changes_nothing() {
    let world = world(1, Era::Modern);
    let url = asked_url(&world.list().unwrap_err());
    for forged in ["https://app.test/cb?code=s3cret&state=other", "https://app.test/cb", "", "?code=x&state="] {
        let error = world.run(world.connection.finish_authorization(forged, &Cancel::new())).unwrap_err();
        assert_eq!(error.code, Code::Misuse);
        assert!(!error.message.contains("s3cret"));
    }
    let back = world.authority.borrow_mut().sign_in(&url);
    let state = back.split("state=").nth(1).unwrap().split('&').next().unwrap();
    let other = format!("https://app.test/cb?code=s3cret-other&state={state}&iss=https://evil.test");
    let error = world.run(world.connection.finish_authorization(&other, &Cancel::new())).unwrap_err();
    assert_eq!(error.code, Code::Protocol);
    let error = world.run(world.connection.finish_authorization(&back, &Cancel::new())).unwrap_err();
    assert_eq!(error.code, Code::Misuse, "a state counts once, whatever becomes of it");
}

#[test]
fn a_client_connects_as_soon_as_the_user_is_back() {
    let world = world(1, Era::Modern);
    let oauth = json!({ "redirectUrl": "https://app.test/cb" });
    let options = json!({ "name": "calc", "url": RESOURCE, "oauth": oauth });
    let config = ServerConfig::read(&options, "options").unwrap();
    let client = Client::new(Rc::new(world.sim.clone()), config);
    let error = world.run(client.connect(&Cancel::new())).unwrap_err();
    assert_eq!(client.info()["state"], "auth_required");
    let back = world.authority.borrow_mut().sign_in(&asked_url(&error));
    let info = world.run(client.finish_authorization(&back, &Cancel::new())).unwrap();
    assert_eq!(info["state"], "ready");
}
