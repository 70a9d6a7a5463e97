//! Connections to protected servers, end to end in the simulator.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use super::*;
use crate::drive::mcp::Connection;
use crate::mcp::config::ServerConfig;
use crate::mcp::request::Call;
use crate::sim::{AppAnswer, Era, Faults, Protected, ScriptedMcp, ScriptedOauth, SimPlatform, ToolKind};

mod handed_over;
mod tabs;

const RESOURCE: &str = "https://mcp.test/v1/mcp";
const ISSUER: &str = "https://as.test";
const AUTHORIZE: FunctionId = FunctionId(1);

struct World {
    sim: SimPlatform,
    authority: Rc<RefCell<ScriptedOauth>>,
    server: Rc<RefCell<Protected<ScriptedMcp>>>,
    connection: Connection<SimPlatform>,
}

/// A user who takes five seconds to sign in.
fn user(sim: &SimPlatform, authority: &Rc<RefCell<ScriptedOauth>>) {
    let authority = authority.clone();
    sim.function(AUTHORIZE, move |url, _| {
        let back = authority.borrow_mut().sign_in(url.as_str().unwrap());
        AppAnswer::value(Millis(5_000), back.into())
    });
}

impl World {
    fn new(seed: u64, era: Era) -> World {
        let sim = SimPlatform::new(seed);
        let authority = sim.host(ISSUER, ScriptedOauth::new(ISSUER));
        let mcp = ScriptedMcp::new(era, &[ToolKind::ALL[0]]);
        let server = sim.host("https://mcp.test", Protected::new(mcp, RESOURCE, authority.clone()));
        user(&sim, &authority);
        let connection = connect(&sim, json!({}));
        World { sim, authority, server, connection }
    }

    /// A new server in the place of the old, with the same authority.
    fn host(&self) {
        let mcp = ScriptedMcp::new(Era::Modern, &[ToolKind::ALL[0]]);
        self.sim.host("https://mcp.test", Protected::new(mcp, RESOURCE, self.authority.clone()));
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let done = self.sim.block_on(future).unwrap_or_else(|stuck| panic!("{stuck:?}\n{}", self.sim.report()));
        assert_eq!(self.sim.leftovers(), "", "{}", self.sim.report());
        let many = self.server.borrow().many;
        // Each tab has ids of its own.
        let repeated = |text: &String| many && text.contains(" was used before, in #");
        let violations: Vec<String> = self.sim.violations().into_iter().filter(|text| !repeated(text)).collect();
        assert_eq!(violations, [""; 0], "{}", self.sim.report());
        assert!(!self.sim.log().concat().contains("s3cret"), "{}", self.sim.report());
        assert!(self.sim.stored().values().all(|value| !String::from_utf8_lossy(value).contains("s3cret")));
        done
    }

    fn list(&self) -> Result<usize> {
        self.run(list(&self.connection))
    }

    fn asked(&self) -> Vec<String> {
        self.authority.borrow().asked.clone()
    }

    fn grants(&self) -> Vec<String> {
        std::mem::take(&mut self.authority.borrow_mut().grants)
    }
}

fn connect(sim: &SimPlatform, extra: Value) -> Connection<SimPlatform> {
    let mut oauth = json!({ "authorize": { "$function": 1 }, "redirectUrl": "https://app.test/cb" });
    oauth.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let options = json!({ "name": "calc", "url": RESOURCE, "timeoutMs": 2_000, "oauth": oauth });
    let config = ServerConfig::read(&options, "servers[0]").unwrap();
    Connection::new(Rc::new(sim.clone()), config)
}

async fn list(connection: &Connection<SimPlatform>) -> Result<usize> {
    connection.list_tools(&Cancel::new()).await.map(|tools| tools.len())
}

async fn call(connection: &Connection<SimPlatform>) -> Result<()> {
    let (name, arguments) = (json!("add"), json!({ "a": 1, "b": 2 }));
    let params = [("name", &name), ("arguments", &arguments)];
    let call = Call::new("tools/call", &params);
    connection.request(&call, Millis(2_000), &Cancel::new(), &mut |_| {}).await.map(|_| ())
}

#[test]
fn a_user_signs_in_once_whatever_the_era_and_whether_headers_can_be_read() {
    for era in [Era::Modern, Era::Legacy] {
        for explains in [true, false] {
            for seed in 0..20 {
                let world = World::new(seed, era);
                world.server.borrow_mut().explains = explains;
                assert_eq!(world.list(), Ok(1), "the user may take longer than a request");
                assert_eq!(world.list(), Ok(1));
                assert_eq!(world.grants(), ["authorization_code"]);
                assert_eq!((world.asked().len(), world.server.borrow().refused), (1, 1));
            }
        }
    }
}

#[test]
fn a_server_of_2025_03_26_is_signed_in_to_at_its_own_origin() {
    let sim = SimPlatform::new(3);
    let authority = Rc::new(RefCell::new(ScriptedOauth::new("https://mcp.test")));
    let mcp = ScriptedMcp::new(Era::Legacy, &[ToolKind::ALL[0]]);
    let mut door = Protected::new(mcp, RESOURCE, authority.clone());
    (door.describes, door.explains) = (false, false);
    let (both, inner) = (Rc::new(RefCell::new(door)), authority.clone());
    sim.host("https://mcp.test", move |request: &Request, peer: &mut crate::sim::Peer<'_>| {
        use crate::sim::Server;
        match request.url.as_str() {
            RESOURCE => both.borrow_mut().answer(request, peer),
            _ => inner.borrow_mut().answer(request, peer),
        }
    });
    user(&sim, &authority);
    let connection = connect(&sim, json!({}));
    assert_eq!(sim.block_on(list(&connection)).unwrap(), Ok(1));
    assert_eq!(sim.violations(), [""; 0]);
}

#[test]
fn parallel_refusals_lead_to_one_sign_in_and_one_refresh() {
    for seed in 0..50 {
        let world = World::new(seed, Era::Modern);
        let all = || world.run(join_all((0..8).map(|_| list(&world.connection))));
        assert!(all().iter().all(|listed| *listed == Ok(1)));
        assert_eq!(world.grants(), ["authorization_code"]);
        // The server takes them back without a warning.
        world.authority.borrow_mut().revoke();
        assert!(all().iter().all(|listed| *listed == Ok(1)), "seed {seed}");
        assert_eq!(world.grants(), ["refresh_token"], "seed {seed}");
        assert_eq!(world.asked().len(), 1);
    }
}

#[test]
fn a_token_is_refreshed_before_it_ends() {
    let world = World::new(1, Era::Modern);
    world.authority.borrow_mut().lifetime = Millis(60_000);
    assert_eq!(world.list(), Ok(1));
    let refused = world.server.borrow().refused;
    for _ in 0..5 {
        world.run(world.sim.sleep(Millis(50_000)));
        let listed = world.run(join(list(&world.connection), list(&world.connection)));
        assert_eq!(listed, (Ok(1), Ok(1)));
    }
    assert_eq!(
        world.grants(),
        ["authorization_code", "refresh_token", "refresh_token", "refresh_token", "refresh_token", "refresh_token"]
    );
    assert_eq!(world.server.borrow().refused, refused, "no request was sent with a token that had ended");
}

#[test]
fn a_refresh_token_that_is_not_good_any_more_leads_to_a_sign_in() {
    let world = World::new(1, Era::Modern);
    assert_eq!(world.list(), Ok(1));
    world.authority.borrow_mut().revoke();
    world.authority.borrow_mut().revoke_refresh();
    assert_eq!(world.list(), Ok(1));
    assert_eq!(world.grants(), ["authorization_code", "refresh_token", "authorization_code"]);
    assert_eq!(world.authority.borrow().registered, 1, "the client is still known");
}

#[test]
fn an_outage_while_refreshing_costs_neither_the_token_nor_a_sign_in() {
    let world = World::new(1, Era::Modern);
    assert_eq!(world.list(), Ok(1));
    world.authority.borrow_mut().revoke();
    world.authority.borrow_mut().outages = vec![503];
    let error = world.list().unwrap_err();
    assert_eq!((error.code, error.status), (Code::Http, Some(503)));
    assert!(error.message.starts_with("authorization for calc: "), "{error}");
    assert_eq!(error.cause.clone().unwrap().status, Some(401));
    assert_eq!(world.list(), Ok(1));
    assert_eq!(world.asked().len(), 1);
}

#[test]
fn a_step_up_asks_for_the_union_and_repeats_the_call() {
    for seed in 0..20 {
        let world = World::new(seed, Era::Modern);
        world.server.borrow_mut().needs = vec![("tools/call", "write"), ("", "basic")];
        assert_eq!(world.list(), Ok(1));
        let both = world.run(join(call(&world.connection), call(&world.connection)));
        assert_eq!(both, (Ok(()), Ok(())), "seed {seed}");
        assert_eq!(world.server.borrow().inner.calls.len(), 2);
        assert_eq!(world.asked(), ["basic", "basic write"]);
        assert_eq!(world.list(), Ok(1));
    }
}

#[test]
fn scopes_that_are_not_granted_are_asked_for_once() {
    let world = World::new(1, Era::Modern);
    world.server.borrow_mut().needs = vec![("tools/call", "write"), ("", "basic")];
    world.authority.borrow_mut().withheld = vec!["write".into()];
    assert_eq!(world.list(), Ok(1));
    for _ in 0..3 {
        let error = world.run(call(&world.connection)).unwrap_err();
        assert_eq!((error.code, error.status), (Code::AuthRequired, Some(403)));
        assert!(error.message.ends_with("does not grant the scopes that the server asks for"), "{error}");
    }
    assert_eq!(world.asked(), ["basic", "basic write"]);
    assert_eq!(world.list(), Ok(1), "the rest still works");
}

#[test]
fn a_server_that_moves_to_another_issuer_gets_a_new_client() {
    let world = World::new(1, Era::Modern);
    world.authority.borrow_mut().refreshes = false;
    assert_eq!(world.list(), Ok(1));
    let other = world.sim.host("https://as2.test", ScriptedOauth::new("https://as2.test"));
    world.server.borrow_mut().authority = other.clone();
    user(&world.sim, &other);
    // The token request would be a violation with the id or token of the first.
    assert_eq!(world.list(), Ok(1));
    assert_eq!((other.borrow().registered, world.authority.borrow().registered), (1, 1));
}

#[test]
fn tokens_outlive_the_connection_and_a_sign_in_the_page() {
    let world = World::new(1, Era::Modern);
    assert_eq!(world.list(), Ok(1));
    // Another page: ids begin anew.
    world.host();
    let next = connect(&world.sim, json!({}));
    assert_eq!(world.run(list(&next)), Ok(1));
    assert_eq!(world.grants(), ["authorization_code"]);

    // What is kept for another client, issuer or resource is not used.
    let key = ["oauth/", RESOURCE].concat();
    let kept = world.sim.secrets()[&key].clone();
    let elsewhere =
        Secret::new(kept.reveal().replace("\"resource\":\"https://mcp.test", "\"resource\":\"https://other.test"));
    assert_ne!(kept, elsewhere);
    for (options, stored) in
        [(json!({ "clientId": "mine" }), &kept), (json!({}), &elsewhere), (json!({}), &Secret::new("{\"tokens\":7}"))]
    {
        world.sim.leave_secret(&key, stored.clone());
        world.host();
        let _ = world.run(list(&connect(&world.sim, options.clone())));
        assert_eq!(world.grants(), ["authorization_code"], "{options}");
    }

    // The page is left while the user signs in: the function never settles, the connection is gone.
    let world = World::new(2, Era::Modern);
    let url = Rc::new(RefCell::new(String::new()));
    let seen = url.clone();
    world.sim.function(AUTHORIZE, move |url, _| {
        *seen.borrow_mut() = url.as_str().unwrap().to_owned();
        AppAnswer::never()
    });
    let cancel = Cancel::new();
    let leave = async {
        world.sim.sleep(Millis(60_000)).await;
        cancel.cancel();
    };
    let (left, ()) = world.run(join(world.connection.list_tools(&cancel), leave));
    assert_eq!(left.unwrap_err().code, Code::Cancelled);
    let back = world.authority.borrow_mut().sign_in(&url.borrow());
    world.host();
    let next = connect(&world.sim, json!({}));
    world.run(next.finish_authorization(&back, &Cancel::new())).unwrap();
    assert_eq!(world.run(list(&next)), Ok(1));
    let again = world.run(next.finish_authorization(&back, &Cancel::new())).unwrap_err();
    assert_eq!(again.code, Code::Misuse, "a redirect counts once");
    assert_eq!(world.asked().len(), 1);
}

#[test]
fn a_user_who_declines_is_asked_once_for_all_who_wait() {
    let world = World::new(1, Era::Modern);
    let asked = Rc::new(RefCell::new(0));
    let count = asked.clone();
    world.sim.function(AUTHORIZE, move |_, _| {
        *count.borrow_mut() += 1;
        AppAnswer::throws(Millis(1_000), "popup closed; s3cret")
    });
    for listed in world.run(join_all((0..4).map(|_| list(&world.connection)))) {
        let error = listed.unwrap_err();
        assert_eq!(error.code, Code::AuthRequired);
        assert_eq!(error.message, "authorization for calc: the user did not sign in");
    }
    assert_eq!(*asked.borrow(), 1);
    // So it is among requests of a connection that stands.
    for seed in 0..20 {
        let world = World::new(seed, Era::Modern);
        world.authority.borrow_mut().refreshes = seed % 2 == 0;
        assert_eq!(world.list(), Ok(1));
        world.authority.borrow_mut().revoke();
        world.authority.borrow_mut().revoke_refresh();
        let asked = Rc::new(RefCell::new(0));
        let count = asked.clone();
        world.sim.function(AUTHORIZE, move |_, _| {
            *count.borrow_mut() += 1;
            AppAnswer::throws(Millis(5_000), "popup closed")
        });
        let listed = world.run(join_all((0..4).map(|_| list(&world.connection))));
        assert!(listed.iter().all(|outcome| outcome.as_ref().is_err_and(|error| error.code == Code::AuthRequired)));
        assert_eq!(*asked.borrow(), 1, "seed {seed}");
    }
}

#[test]
fn whoever_cancels_leaves_the_sign_in_to_the_others() {
    let world = World::new(1, Era::Modern);
    let cancel = Cancel::new();
    let first = world.connection.list_tools(&cancel);
    let second = list(&world.connection);
    let leave = async {
        world.sim.sleep(Millis(2_000)).await;
        cancel.cancel();
    };
    let (first, (second, ())) = world.run(join(first, join(second, leave)));
    assert_eq!(first.unwrap_err().code, Code::Cancelled);
    assert_eq!((second, world.asked().len()), (Ok(1), 1));

    // The last one takes it along: the app's function is told.
    let world = World::new(2, Era::Modern);
    let cancel = Cancel::new();
    let leave = async {
        world.sim.sleep(Millis(2_000)).await;
        world.connection.close().await;
    };
    let (left, ()) = world.run(join(world.connection.list_tools(&cancel), leave));
    assert_eq!(left.unwrap_err().code, Code::Cancelled);
}

#[test]
fn a_token_that_is_bound_to_a_key_is_proven_with_every_request() {
    for (seed, nonce) in (0..20).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut world = World::new(seed, if seed % 2 == 0 { Era::Modern } else { Era::Legacy });
        world.sim.function(FunctionId(4), |of, _| {
            assert_eq!((&of["server"], &of["algorithm"]), (&json!("calc"), &json!("ES256")));
            let digest = crate::mcp::oauth::sha256(of["input"].as_str().unwrap().as_bytes());
            AppAnswer::value(Millis(3), base64url(&digest).into())
        });
        if nonce {
            world.authority.borrow_mut().nonce = Some("as-1".into());
            world.server.borrow_mut().nonce = Some("rs-1".into());
        }
        let dpop = json!({ "algorithm": "ES256", "jwk": { "kty": "EC" }, "sign": { "$function": 4 } });
        world.connection = connect(&world.sim, json!({ "dpop": dpop }));
        assert_eq!(world.list(), Ok(1), "seed {seed}");
        let tries = if nonce { 2 } else { 1 };
        assert_eq!((world.grants().len(), world.server.borrow().refused), (tries, tries as u32));
        // The nonce changes, the token ends: both are repaired.
        if nonce {
            world.server.borrow_mut().nonce = Some("rs-2".into());
        }
        world.authority.borrow_mut().revoke();
        assert_eq!(world.list(), Ok(1), "seed {seed}");
        assert_eq!(world.asked().len(), 1);
        world.run(world.connection.close());
    }
}

#[test]
fn a_bad_network_never_hangs_reuses_or_leaks() {
    let mut listed = 0;
    for seed in 0..300 {
        let world = World::new(seed, if seed % 2 == 0 { Era::Modern } else { Era::Legacy });
        world.authority.borrow_mut().lifetime = Millis(20_000);
        world.sim.faults(ISSUER, Faults::some());
        for _ in 0..4 {
            let both = world.sim.block_on(join(list(&world.connection), list(&world.connection)));
            let both = both.unwrap_or_else(|stuck| panic!("{stuck:?}\n{}", world.sim.report()));
            listed += [&both.0, &both.1].into_iter().filter(|outcome| outcome.is_ok()).count();
            for outcome in [both.0, both.1] {
                if let Err(error) = outcome {
                    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
                }
            }
            assert_eq!(world.sim.leftovers(), "", "{}", world.sim.report());
            // Of a refresh whose answer was lost nobody here can know.
            let broken =
                world.sim.violations().into_iter().find(|text| !text.ends_with(" a refresh token was used twice"));
            assert_eq!(broken, None, "{}", world.sim.report());
            world.sim.block_on(world.sim.sleep(Millis(15_000))).unwrap();
        }
    }
    assert!(listed > 100, "{listed}");
}

#[test]
fn without_the_part_a_request_fails_in_words_and_the_next_one_may_succeed() {
    let world = World::new(1, Era::Modern);
    world.sim.set_parts_missing(true);
    let error = world.list().unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::Network, "authorization for calc: could not be loaded"));
    world.sim.set_parts_missing(false);
    assert_eq!(world.list(), Ok(1));
}
