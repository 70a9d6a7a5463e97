//! Whole flows against a table of addresses.

use super::super::client::AuthMethod;
use super::super::url::pairs;
use super::*;

const NOW: UnixMillis = UnixMillis(1_000_000);
const SERVER: &str = "https://a.test/v1/mcp";
const PRM: &str = "https://a.test/.well-known/oauth-protected-resource/v1/mcp";
const AS: &str = "https://as.test/.well-known/oauth-authorization-server";

fn config(options: Value) -> OauthConfig {
    OauthConfig::read(&options, "oauth").unwrap()
}

fn user(extra: Value) -> OauthConfig {
    let mut options = json!({ "authorize": { "$function": 1 }, "redirectUrl": "https://app.test/cb" });
    options.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    config(options)
}

fn prm() -> Value {
    json!({ "resource": SERVER, "authorization_servers": ["https://as.test"] })
}

fn authority(issuer: &str) -> Value {
    json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"), "registration_endpoint": format!("{issuer}/register"),
        "code_challenge_methods_supported": ["S256"], "authorization_response_iss_parameter_supported": true
    })
}

fn token() -> Value {
    json!({ "access_token": "t1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r1" })
}

/// Answers requests from a table and remembers them.
#[derive(Default)]
struct Net {
    pages: Vec<(String, u16, String)>,
    silent: Vec<String>,
    sent: Vec<Request>,
    nonce: Option<&'static str>,
}

impl Net {
    fn usual() -> Net {
        let mut net = Net::default();
        net.page(PRM, 200, prm());
        net.page(AS, 200, authority("https://as.test"));
        net.page("https://as.test/register", 201, json!({ "client_id": "dyn" }));
        net.page("https://as.test/token", 200, token());
        net
    }

    /// A later page of an address takes the place of the earlier.
    fn page(&mut self, url: &str, status: u16, body: Value) {
        self.pages.retain(|(known, ..)| known != url);
        self.pages.push((url.to_owned(), status, body.to_string()));
    }

    /// Goes on until the world outside of the network is needed.
    fn drive(&mut self, flow: &mut Flow) {
        for _ in 0..20 {
            let Step::Fetch(request) = flow.next().clone() else { return };
            let silent = self.silent.contains(&request.url);
            let page = self.pages.iter().find(|(url, ..)| *url == request.url);
            let (status, body) = page.map_or((404, "<html>".to_owned()), |(_, status, body)| (*status, body.clone()));
            self.sent.push(request);
            if silent {
                flow.apply(Fact::NoAnswer { maybe_cors: true }, NOW);
            } else {
                flow.apply(Fact::Answer { status, body: body.as_bytes(), nonce: self.nonce }, NOW);
            }
        }
        panic!("no end");
    }

    fn urls(&self) -> Vec<&str> {
        self.sent.iter().map(|request| request.url.as_str()).collect()
    }

    fn form(&self, url: &str) -> Vec<(String, String)> {
        let request = self.sent.iter().rfind(|request| request.url == url).expect(url);
        pairs(request.body.as_deref().unwrap())
    }
}

fn get<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn begin_with(config: &OauthConfig, refusal: Refusal, known: Known) -> Flow {
    Flow::new(config, "weather", &Url::parse(SERVER).unwrap(), &refusal, known, [9; 48])
}

fn begin(config: &OauthConfig) -> Flow {
    begin_with(config, Refusal { status: 401, ..Refusal::default() }, Known::default())
}

fn opened(flow: &Flow) -> Vec<(String, String)> {
    let Step::Authorize { url, .. } = flow.next() else { panic!("{:?}", flow.next()) };
    pairs(url.split_once('?').unwrap().1)
}

/// The user says yes.
fn consent(flow: &mut Flow, issuer: &str) {
    let Step::Authorize { state, .. } = flow.next().clone() else { panic!("{:?}", flow.next()) };
    flow.apply(Fact::Redirected(&format!("https://app.test/cb?code=c0de&state={state}&iss={issuer}")), NOW);
}

fn done(flow: &Flow) -> Tokens {
    let Step::Done(tokens) = flow.next() else { panic!("{:?}", flow.next()) };
    (**tokens).clone()
}

fn failed(flow: &Flow) -> Error {
    let Step::Failed(error) = flow.next() else { panic!("{:?}", flow.next()) };
    assert!(error.message.starts_with("authorization for weather: "), "{error}");
    (**error).clone()
}

#[test]
fn a_user_signs_in() {
    let mut net = Net::usual();
    let mut flow = begin(&user(json!({})));
    net.drive(&mut flow);
    assert_eq!(net.urls(), [PRM, AS, "https://as.test/register"]);
    for request in &net.sent[..2] {
        assert_eq!(request.headers.iter().collect::<Vec<_>>(), [("Accept", "application/json")], "no preflight");
    }
    let query = opened(&flow);
    assert_eq!((get(&query, "client_id"), get(&query, "resource")), (Some("dyn"), Some(SERVER)));
    assert_eq!(get(&query, "scope"), None);
    consent(&mut flow, "https://as.test");
    net.drive(&mut flow);
    let form = net.form("https://as.test/token");
    assert_eq!(get(&form, "grant_type"), Some("authorization_code"));
    assert_eq!((get(&form, "code"), get(&form, "redirect_uri")), (Some("c0de"), Some("https://app.test/cb")));
    assert_eq!((get(&form, "resource"), get(&form, "client_id")), (Some(SERVER), Some("dyn")));
    let challenge = base64url(&sha256(get(&form, "code_verifier").unwrap().as_bytes()));
    assert_eq!(get(&query, "code_challenge"), Some(challenge.as_str()));
    let tokens = done(&flow);
    assert_eq!((tokens.issuer.as_str(), tokens.resource.as_str()), ("https://as.test", SERVER));
    assert_eq!((tokens.access.reveal(), tokens.refresh.unwrap().reveal().to_owned()), ("t1", "r1".to_owned()));
    assert_eq!(tokens.stale_at, Some(UnixMillis(1_000_000 + 3_570_000)));
}

#[test]
fn the_resource_is_found_in_the_header_at_the_path_or_at_the_root() {
    let named =
        Refusal { status: 401, resource_metadata: Some("https://a.test/custom.json".into()), ..Refusal::default() };
    let mut net = Net::usual();
    net.page("https://a.test/custom.json", 200, prm());
    let mut flow = begin_with(&user(json!({})), named, Known::default());
    net.drive(&mut flow);
    assert_eq!(net.urls()[..2], ["https://a.test/custom.json", AS]);

    let mut net = Net::usual();
    net.pages.retain(|(url, ..)| url != PRM);
    net.silent.push(PRM.to_owned());
    let root = "https://a.test/.well-known/oauth-protected-resource";
    net.page(root, 200, json!({ "resource": "https://a.test", "authorization_servers": ["https://as.test"] }));
    let mut flow = begin(&user(json!({})));
    net.drive(&mut flow);
    assert_eq!(net.urls()[..3], [PRM, root, AS], "an opaque failure counts as not found");
    assert_eq!(get(&opened(&flow), "resource"), Some("https://a.test"), "as the document says it");
}

#[test]
fn an_issuer_with_a_path_is_asked_at_three_addresses() {
    let mut net = Net::usual();
    net.page(PRM, 200, json!({ "resource": SERVER, "authorization_servers": ["https://as.test/t1"] }));
    net.page("https://as.test/t1/.well-known/openid-configuration", 200, authority("https://as.test/t1"));
    net.page("https://as.test/t1/register", 201, json!({ "client_id": "dyn" }));
    let mut flow = begin(&user(json!({})));
    net.drive(&mut flow);
    assert_eq!(
        net.urls()[1..4],
        [
            "https://as.test/.well-known/oauth-authorization-server/t1",
            "https://as.test/.well-known/openid-configuration/t1",
            "https://as.test/t1/.well-known/openid-configuration",
        ]
    );
    opened(&flow);
}

#[test]
fn metadata_of_somebody_else_is_refused() {
    let mut net = Net::usual();
    net.page(PRM, 200, json!({ "resource": "https://evil.test/mcp", "authorization_servers": ["https://as.test"] }));
    let mut flow = begin(&user(json!({})));
    net.drive(&mut flow);
    assert!(failed(&flow).message.ends_with("the resource metadata is that of another server"));
    assert_eq!(net.urls(), [PRM]);

    let mut net = Net::usual();
    net.page(AS, 200, authority("https://honest.test"));
    let mut flow = begin(&user(json!({})));
    net.drive(&mut flow);
    assert!(failed(&flow).message.ends_with("is that of another issuer"));
    assert_eq!(net.sent.len(), 3, "nothing beyond the addresses of its metadata");
}

#[test]
fn a_server_of_2025_03_26_is_its_own_authorization_server() {
    let own = "https://a.test/.well-known/oauth-authorization-server";
    let mut net = Net::default();
    net.page(own, 200, authority("https://a.test"));
    net.page("https://a.test/register", 201, json!({ "client_id": "dyn" }));
    let mut flow = begin(&user(json!({})));
    net.drive(&mut flow);
    assert_eq!(net.urls()[2..], [own, "https://a.test/register"]);
    assert_eq!(get(&opened(&flow), "resource"), Some(SERVER));

    let mut net = Net::default();
    net.page("https://a.test/register", 201, json!({ "client_id": "dyn", "client_secret": "s" }));
    net.page("https://a.test/token", 200, token());
    let mut flow = begin(&user(json!({})));
    net.drive(&mut flow);
    let Step::Authorize { url, state } = flow.next().clone() else { panic!() };
    assert!(url.starts_with("https://a.test/authorize?"));
    flow.apply(Fact::Redirected(&format!("?code=c&state={state}")), NOW);
    net.drive(&mut flow);
    assert_eq!(done(&flow).client.method, AuthMethod::Basic);
}

#[test]
fn an_outage_is_no_evidence_for_an_older_server() {
    for (url, status) in [(PRM, 503), (AS, 500), (AS, 429)] {
        let mut net = Net::usual();
        net.page(url, status, json!({}));
        let mut flow = begin(&user(json!({})));
        net.drive(&mut flow);
        let error = failed(&flow);
        assert_eq!((error.status, error.retry), (Some(status), Retry::Backoff));
    }
    let mut net = Net::default();
    for name in ["oauth-authorization-server", "openid-configuration"] {
        net.silent.push(format!("https://a.test/.well-known/{name}"));
    }
    let mut flow = begin(&user(json!({})));
    net.drive(&mut flow);
    let error = failed(&flow);
    assert_eq!((error.code, error.maybe_cors), (Code::Network, true));
}

#[test]
fn a_server_without_pkce_is_refused_before_anything_is_registered() {
    for methods in [json!(null), json!([]), json!(["plain"])] {
        let mut net = Net::usual();
        let mut plain = authority("https://as.test");
        plain["code_challenge_methods_supported"] = methods;
        net.page(AS, 200, plain.clone());
        let mut flow = begin(&user(json!({})));
        net.drive(&mut flow);
        assert!(failed(&flow).message.contains("PKCE"));
        assert_eq!(net.urls(), [PRM, AS]);
        // Where no user signs in, there is nothing to protect with it.
        let mut flow = begin(&config(json!({ "grant": "client_credentials", "clientId": "c", "clientSecret": "s" })));
        net.drive(&mut flow);
        done(&flow);
    }
}

#[test]
fn a_forged_redirect_never_reaches_the_token_endpoint() {
    for query in [
        "code=c0de&state=STATE",
        "code=c0de&state=STATE&iss=https://evil.test",
        "code=c0de&state=x&iss=https://as.test",
    ] {
        let mut net = Net::usual();
        let mut flow = begin(&user(json!({})));
        net.drive(&mut flow);
        let Step::Authorize { state, .. } = flow.next().clone() else { panic!() };
        flow.apply(Fact::Redirected(&query.replace("STATE", &state)), NOW);
        let error = failed(&flow);
        assert_eq!(error.code, Code::Protocol);
        assert!(!error.message.contains("c0de") && !error.message.contains(&state));
        flow.apply(Fact::Redirected(&format!("code=c0de&state={state}&iss=https://as.test")), NOW);
        failed(&flow);
    }
}

#[test]
fn scopes_come_from_the_challenge_and_add_up() {
    let mut net = Net::usual();
    let mut document = prm();
    document["scopes_supported"] = json!(["profile"]);
    net.page(PRM, 200, document);
    let asked = |net: &mut Net, refusal: Refusal, known: Known| {
        let mut flow = begin_with(&user(json!({})), refusal, known);
        net.drive(&mut flow);
        get(&opened(&flow), "scope").map(str::to_owned)
    };
    assert_eq!(asked(&mut net, Refusal::default(), Known::default()).as_deref(), Some("profile"));
    let challenge = Refusal { status: 403, scopes: Some(vec!["write".into()]), ..Refusal::default() };
    let known = Known { client: None, requested: vec!["basic".into(), "offline_access".into()] };
    assert_eq!(asked(&mut net, challenge.clone(), known.clone()).as_deref(), Some("basic write"));
    let mut offline = authority("https://as.test");
    offline["scopes_supported"] = json!(["basic", "offline_access"]);
    net.page(AS, 200, offline);
    assert_eq!(asked(&mut net, challenge, known).as_deref(), Some("basic write offline_access"));
}

#[test]
fn a_new_issuer_means_a_new_client() {
    let mut net = Net::usual();
    let mut flow = begin(&user(json!({})));
    net.drive(&mut flow);
    let first = flow.client().unwrap().clone();
    assert_eq!(first.issuer, "https://as.test");
    net.page(PRM, 200, json!({ "resource": SERVER, "authorization_servers": ["https://as2.test"] }));
    net.page("https://as2.test/.well-known/oauth-authorization-server", 200, authority("https://as2.test"));
    net.page("https://as2.test/register", 201, json!({ "client_id": "dyn2" }));
    net.sent.clear();
    let mut flow =
        begin_with(&user(json!({})), Refusal::default(), Known { client: Some(first.clone()), requested: vec![] });
    net.drive(&mut flow);
    assert_eq!(get(&opened(&flow), "client_id"), Some("dyn2"));
    assert!(!net.sent.iter().any(|request| format!("{request:?}").contains("\"dyn\"")));
    // Among several, the one that knows us is stayed with.
    net.page(PRM, 200, json!({ "resource": SERVER, "authorization_servers": ["https://as2.test", "https://as.test"] }));
    let mut flow = begin_with(&user(json!({})), Refusal::default(), Known { client: Some(first), requested: vec![] });
    net.drive(&mut flow);
    assert_eq!(get(&opened(&flow), "client_id"), Some("dyn"));
}

#[test]
fn a_sign_in_survives_a_new_page() {
    let config = user(json!({ "clientId": "mine", "clientSecret": "s3cret", "scopes": ["a"] }));
    let mut net = Net::usual();
    let mut flow = begin(&config);
    assert_eq!(flow.snapshot(), None);
    net.drive(&mut flow);
    let Step::Authorize { state, .. } = flow.next().clone() else { panic!() };
    let snapshot: Value = serde_json::from_str(&flow.snapshot().unwrap().to_string()).unwrap();
    drop(flow);
    let here = Url::parse(SERVER).unwrap();
    let mut flow = Flow::resume(&config, "weather", &here, &snapshot, [1; 48]).unwrap();
    consent(&mut flow, "https://as.test");
    net.drive(&mut flow);
    let tokens = done(&flow);
    assert_eq!((tokens.requested, tokens.client.id), (vec!["a".to_owned()], "mine".to_owned()));
    // Neither for another server, nor with another state, nor without the issuer that was recorded.
    let there = Url::parse("https://b.test/mcp").unwrap();
    assert_eq!(Flow::resume(&config, "weather", &there, &snapshot, [1; 48]).err().unwrap().code, Code::Misuse);
    let mut flow = Flow::resume(&config, "weather", &here, &snapshot, [1; 48]).unwrap();
    flow.apply(Fact::Redirected(&format!("code=c&state={state}")), NOW);
    assert!(failed(&flow).message.contains("does not say which"));
    assert!(Flow::resume(&config, "weather", &here, &json!({}), [1; 48]).is_err());
}

#[test]
fn a_refresh_goes_where_the_token_came_from_and_keeps_what_is_not_said_again() {
    let mut net = Net::usual();
    let mut flow = begin(&user(json!({ "scopes": ["a"] })));
    net.drive(&mut flow);
    consent(&mut flow, "https://as.test");
    net.drive(&mut flow);
    let tokens = done(&flow);
    net.page("https://as.test/token", 200, json!({ "access_token": "t2", "token_type": "Bearer" }));
    net.sent.clear();
    let here = Url::parse(SERVER).unwrap();
    let refresh = || Flow::refresh(&user(json!({})), "weather", &here, &tokens, [2; 48], NOW);
    let mut flow = refresh();
    net.drive(&mut flow);
    assert_eq!(net.urls(), ["https://as.test/token"]);
    let form = net.form("https://as.test/token");
    assert_eq!((get(&form, "grant_type"), get(&form, "refresh_token")), (Some("refresh_token"), Some("r1")));
    assert_eq!((get(&form, "resource"), get(&form, "client_id")), (Some(SERVER), Some("dyn")));
    let next = done(&flow);
    assert_eq!((next.access.reveal(), next.refresh.as_ref().unwrap().reveal()), ("t2", "r1"));
    assert_eq!((&next.requested, next.stale_at), (&tokens.requested, None));

    net.page("https://as.test/token", 200, json!({ "access_token": "t3", "refresh_token": "r2" }));
    let mut flow = refresh();
    net.drive(&mut flow);
    assert_eq!(done(&flow).refresh.unwrap().reveal(), "r2", "rotated");

    net.page("https://as.test/token", 400, json!({ "error": "invalid_grant", "error_description": "r1 unknown" }));
    let mut flow = refresh();
    net.drive(&mut flow);
    assert_eq!((failed(&flow).code, flow.is_client_rejected()), (Code::AuthRequired, false));
    assert!(!failed(&flow).message.contains("r1"));
    net.page("https://as.test/token", 401, json!({ "error": "invalid_client" }));
    let mut flow = refresh();
    net.drive(&mut flow);
    assert!(flow.is_client_rejected());
    net.page("https://as.test/token", 502, json!({}));
    let mut flow = refresh();
    net.drive(&mut flow);
    assert_eq!((failed(&flow).code, failed(&flow).retry), (Code::Http, Retry::Backoff));
}

#[test]
fn client_credentials_with_a_secret_and_with_a_signature() {
    let mut net = Net::usual();
    let mut flow = begin(&config(json!({ "grant": "client_credentials", "clientId": "c", "clientSecret": "s" })));
    net.drive(&mut flow);
    assert_eq!(net.urls(), [PRM, AS, "https://as.test/token"]);
    let form = net.form("https://as.test/token");
    assert_eq!((get(&form, "grant_type"), get(&form, "resource")), (Some("client_credentials"), Some(SERVER)));
    assert!(net.sent[2].headers.get("authorization").unwrap().starts_with("Basic "));
    done(&flow);

    let sign = json!({ "algorithm": "ES256", "sign": { "$function": 2 } });
    let signed = config(json!({ "grant": "client_credentials", "clientId": "c", "sign": sign }));
    let mut flow = begin(&signed);
    net.drive(&mut flow);
    let Step::Sign { algorithm, input, .. } = flow.next().clone() else { panic!("{:?}", flow.next()) };
    assert_eq!((algorithm.as_str(), input.split('.').count()), ("ES256", 2));
    flow.apply(Fact::Told(Secret::new("c2ln")), NOW);
    net.drive(&mut flow);
    let form = net.form("https://as.test/token");
    assert_eq!(get(&form, "client_assertion"), Some(format!("{input}.c2ln").as_str()));
    let tokens = done(&flow);

    // A refresh is signed too, and still a refresh.
    let mut flow = Flow::refresh(&signed, "weather", &Url::parse(SERVER).unwrap(), &tokens, [3; 48], NOW);
    assert!(matches!(flow.next(), Step::Sign { input: again, .. } if *again != input));
    flow.apply(Fact::Told(Secret::new("c2ln")), NOW);
    net.page("https://as.test/token", 200, json!({ "access_token": "t2" }));
    net.drive(&mut flow);
    assert_eq!(done(&flow).refresh.unwrap().reveal(), "r1");

    let mut flow = begin(&signed);
    net.drive(&mut flow);
    flow.apply(Fact::Told(Secret::new("no signature")), NOW);
    assert_eq!(failed(&flow).code, Code::AuthRequired);
}

#[test]
fn a_bound_token_is_asked_for_with_a_proof_and_the_nonce_that_is_wanted() {
    let jwk = json!({ "kty": "EC" });
    let dpop = json!({ "algorithm": "ES256", "jwk": jwk, "sign": { "$function": 4 } });
    let options = json!({ "grant": "client_credentials", "clientId": "c", "clientSecret": "s", "dpop": dpop });
    let mut net = Net::usual();
    net.page("https://as.test/token", 400, json!({ "error": "use_dpop_nonce" }));
    net.nonce = Some("n1");
    let mut flow = begin(&config(options.clone()));
    net.drive(&mut flow);
    let sign = |flow: &mut Flow| {
        let Step::Sign { key: Key::Dpop, input, .. } = flow.next().clone() else { panic!("{:?}", flow.next()) };
        flow.apply(Fact::Told(Secret::new("c2ln")), NOW);
        input
    };
    let first = sign(&mut flow);
    net.drive(&mut flow);
    assert_eq!(net.sent.last().unwrap().headers.get("dpop"), Some(format!("{first}.c2ln").as_str()));
    net.page("https://as.test/token", 200, json!({ "access_token": "t", "token_type": "DPoP" }));
    let second = sign(&mut flow);
    net.drive(&mut flow);
    assert!(done(&flow).dpop && first != second);
    // Once is enough: whoever asks again and again gets no more.
    net.page("https://as.test/token", 400, json!({ "error": "use_dpop_nonce" }));
    let mut flow = begin(&config(options));
    for _ in 0..2 {
        net.drive(&mut flow);
        sign(&mut flow);
    }
    net.drive(&mut flow);
    assert!(failed(&flow).message.ends_with("use_dpop_nonce"));
    // A token that is bound to a key which we do not have is of no use.
    net.page("https://as.test/token", 200, json!({ "access_token": "t", "token_type": "DPoP" }));
    let mut flow = begin(&config(json!({ "grant": "client_credentials", "clientId": "c", "clientSecret": "s" })));
    net.drive(&mut flow);
    assert!(failed(&flow).message.ends_with("bound to a key"));
}

#[test]
fn a_workload_is_vouched_for_by_its_platform() {
    let mut net = Net::usual();
    let mut flow = begin(&config(json!({ "assertion": { "$function": 2 }, "clientId": "w" })));
    net.drive(&mut flow);
    assert_eq!(flow.next(), &Step::Ask(Ask::Assertion { issuer: "https://as.test".into() }));
    flow.apply(Fact::Told(Secret::new("jwt")), NOW);
    net.drive(&mut flow);
    let form = net.form("https://as.test/token");
    assert_eq!(get(&form, "grant_type"), Some("urn:ietf:params:oauth:grant-type:jwt-bearer"));
    assert_eq!((get(&form, "assertion"), get(&form, "client_id")), (Some("jwt"), Some("w")));
    done(&flow);
    // A refusal is final: neither again nor in another way.
    net.page("https://as.test/token", 400, json!({ "error": "invalid_grant" }));
    net.sent.clear();
    let mut flow = begin(&config(json!({ "assertion": { "$function": 2 }, "clientId": "w" })));
    net.drive(&mut flow);
    flow.apply(Fact::Told(Secret::new("jwt")), NOW);
    net.drive(&mut flow);
    assert!(failed(&flow).message.ends_with("gave no token: invalid_grant"));
    assert_eq!(net.urls().iter().filter(|url| url.ends_with("/token")).count(), 1);
}

#[test]
fn a_company_vouches_for_its_user() {
    let idp = json!({ "tokenEndpoint": "https://idp.test/token", "clientId": "i", "idToken": { "$function": 2 } });
    let config = config(json!({ "idp": idp, "clientId": "c", "clientSecret": "s" }));
    let mut net = Net::usual();
    let id_jag = json!({ "access_token": "jag", "issued_token_type": "urn:ietf:params:oauth:token-type:id-jag", "token_type": "N_A" });
    net.page("https://idp.test/token", 200, id_jag);
    let mut flow = begin(&config);
    net.drive(&mut flow);
    assert_eq!(flow.next(), &Step::Ask(Ask::IdToken));
    flow.apply(Fact::Told(Secret::new("id-token")), NOW);
    net.drive(&mut flow);
    let form = net.form("https://idp.test/token");
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:id-jag"),
        ("audience", "https://as.test"),
        ("resource", SERVER),
        ("subject_token", "id-token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("client_id", "i"),
    ] {
        assert_eq!(get(&form, name), Some(value), "{name}");
    }
    assert_eq!(get(&net.form("https://as.test/token"), "assertion"), Some("jag"));
    done(&flow);
    let leaked = |url: &str, secret: &str| {
        let request = net.sent.iter().find(|request| request.url == url).unwrap();
        request.body.as_ref().unwrap().contains(secret)
    };
    assert!(!leaked("https://as.test/token", "id-token"), "the ID token is for its provider only");
}

#[test]
fn the_app_may_decline_and_wrong_facts_change_nothing() {
    let mut net = Net::usual();
    let mut flow = begin(&user(json!({})));
    for fact in [Fact::Redirected("code=1"), Fact::Told(Secret::new("x")), Fact::Declined] {
        flow.apply(fact, NOW);
        assert!(matches!(flow.next(), Step::Fetch(request) if request.url == PRM));
    }
    net.drive(&mut flow);
    flow.apply(Fact::NoAnswer { maybe_cors: false }, NOW);
    opened(&flow);
    flow.apply(Fact::Declined, NOW);
    assert_eq!(failed(&flow).code, Code::AuthRequired);
}

#[test]
fn hostile_documents_end_in_an_error_and_never_in_a_panic() {
    let texts = [
        "",
        "null",
        "[]",
        "{}",
        "<html>",
        "{\"resource\":\"https://a.test/v1/mcp\",\"authorization_servers\":[\"file:///x\"]}",
        "{\"resource\":\"https://a.test/v1/mcp\",\"authorization_servers\":[\"http://as.test\"]}",
        "{\"issuer\":\"https://as.test\",\"token_endpoint\":\"javascript:1\"}",
        "\u{0}",
        "{\"client_id\":7}",
    ];
    for (first, second) in texts.iter().flat_map(|first| texts.iter().map(move |second| (first, second))) {
        let mut flow = begin(&user(json!({})));
        for answer in [first, second].into_iter().cycle().take(12) {
            for status in [200, 302] {
                flow.apply(Fact::Answer { status, body: answer.as_bytes(), nonce: None }, NOW);
            }
        }
        failed(&flow);
    }
}
