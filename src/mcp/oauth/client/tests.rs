//! Which client is used where.

use super::*;
use serde_json::json;

fn config(extra: Value) -> OauthConfig {
    let mut options = json!({ "authorize": { "$function": 1 }, "redirectUrl": "https://app.test/cb" });
    options.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    OauthConfig::read(&options, "oauth").unwrap()
}

fn server() -> AuthorizationServer {
    AuthorizationServer {
        issuer: "https://as.test".into(),
        token_endpoint: "https://as.test/token".into(),
        registration_endpoint: Some("https://as.test/register".into()),
        ..AuthorizationServer::default()
    }
}

fn registered(issuer: &str) -> Client {
    Client {
        issuer: issuer.into(),
        id: "dynamic".into(),
        secret: Some(Secret::new("s")),
        method: AuthMethod::Post,
        origin: Origin::Registered,
        redirect_url: Some("https://app.test/cb".into()),
        expires_at: Some(UnixMillis(1_000)),
    }
}

fn chosen(choice: Choice) -> Client {
    match choice {
        Choice::Use(client) => client,
        other => panic!("{other:?}"),
    }
}

fn body(choice: Choice) -> Value {
    match choice {
        Choice::Register(request) => {
            assert_eq!((request.method, request.url.as_str()), (Method::Post, "https://as.test/register"));
            serde_json::from_str(request.body.as_deref().unwrap()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

const NOW: UnixMillis = UnixMillis(500);

#[test]
fn the_apps_client_comes_first_then_a_document_then_a_registration() {
    let documents = AuthorizationServer { client_documents: true, ..server() };
    let all = config(json!({ "clientId": "mine", "clientMetadataUrl": "https://app.test/client.json" }));
    let client = chosen(Client::choose(&all, &documents, None, NOW));
    assert_eq!((client.id.as_str(), client.origin), ("mine", Origin::Given));
    let document = config(json!({ "clientMetadataUrl": "https://app.test/client.json" }));
    let client = chosen(Client::choose(&document, &documents, Some(&registered("https://as.test")), NOW));
    assert_eq!((client.id.as_str(), client.method), ("https://app.test/client.json", AuthMethod::None));
    assert!(matches!(Client::choose(&document, &server(), None, NOW), Choice::Register(_)));
    let closed = AuthorizationServer { registration_endpoint: None, ..server() };
    let Choice::Stuck(words) = Client::choose(&document, &closed, None, NOW) else { panic!() };
    assert!(words.contains("`oauth.clientId`"));
}

#[test]
fn a_registration_is_used_again_only_where_it_was_made() {
    let config = config(json!({}));
    let choose = |known: &Client, now| Client::choose(&config, &server(), Some(known), now);
    let known = registered("https://as.test");
    assert_eq!(chosen(choose(&known, NOW)), known);
    assert!(matches!(choose(&registered("https://other.test"), NOW), Choice::Register(_)), "another issuer");
    assert!(matches!(choose(&known, UnixMillis(1_000)), Choice::Register(_)), "an expired secret");
    let moved = Client { redirect_url: Some("https://app.test/old".into()), ..known };
    assert!(matches!(choose(&moved, NOW), Choice::Register(_)), "another redirect URL");
}

#[test]
fn the_apps_client_stays_with_its_issuer() {
    let free = config(json!({ "clientId": "mine", "clientSecret": "s" }));
    let first = chosen(Client::choose(&free, &server(), None, NOW));
    let moved = AuthorizationServer { issuer: "https://evil.test".into(), ..server() };
    assert!(matches!(Client::choose(&free, &moved, Some(&first), NOW), Choice::Stuck(_)));
    assert!(matches!(Client::choose(&free, &server(), Some(&first), NOW), Choice::Use(_)));
    let named = config(json!({ "clientId": "mine", "clientSecret": "s", "issuer": "https://as.test" }));
    assert!(matches!(Client::choose(&named, &moved, None, NOW), Choice::Stuck(_)));
    assert!(matches!(Client::choose(&named, &server(), None, NOW), Choice::Use(_)));
}

#[test]
fn a_registration_says_what_kind_of_application_it_is() {
    let web = body(Client::choose(&config(json!({ "scopes": ["a", "b"] })), &server(), None, NOW));
    assert_eq!(
        web,
        json!({
            "client_name": "Edgewise", "redirect_uris": ["https://app.test/cb"],
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "token_endpoint_auth_method": "none", "application_type": "web", "scope": "a b"
        })
    );
    let local = config(json!({ "redirectUrl": "http://127.0.0.1:3000/cb", "clientName": "Mine" }));
    let strict = AuthorizationServer { auth_methods: Some(vec!["client_secret_post".into()]), ..server() };
    let native = body(Client::choose(&local, &strict, None, NOW));
    assert_eq!((&native["application_type"], &native["client_name"]), (&json!("native"), &json!("Mine")));
    assert_eq!(native["token_endpoint_auth_method"], "client_secret_post");
    assert_eq!(native.get("scope"), None);
}

#[test]
fn a_refused_registration_says_why() {
    let body = json!({ "error": "invalid_redirect_uri", "error_description": "no\u{202E} http\n for web" }).to_string();
    let words = Client::registered(400, body.as_bytes(), &server(), "https://app.test/cb").unwrap_err();
    assert!(words.ends_with("(400): invalid_redirect_uri: no http for web"), "{words}");
    for answer in [&b"<html>"[..], b"{}", b"{\"client_id\":\"\"}"] {
        assert!(Client::registered(200, answer, &server(), "https://app.test/cb").is_err());
    }
}

#[test]
fn the_method_is_the_registrations_or_one_that_the_server_lists() {
    let method = |answer: Value, listed: &[&str]| {
        let auth_methods =
            if listed.is_empty() { None } else { Some(listed.iter().map(|name| name.to_string()).collect()) };
        let server = AuthorizationServer { auth_methods, ..server() };
        let mut body = json!({ "client_id": "x" });
        body.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
        Client::registered(201, body.to_string().as_bytes(), &server, "https://app.test/cb").unwrap().method
    };
    let secret = || json!({ "client_secret": "s" });
    assert_eq!(method(json!({}), &[]), AuthMethod::None);
    assert_eq!(method(secret(), &[]), AuthMethod::Basic, "the default");
    assert_eq!(method(secret(), &["none"]), AuthMethod::None);
    assert_eq!(method(secret(), &["client_secret_post", "none"]), AuthMethod::Post);
    assert_eq!(method(secret(), &["client_secret_post", "client_secret_basic"]), AuthMethod::Basic);
    assert_eq!(method(json!({}), &["client_secret_basic"]), AuthMethod::None, "without a secret");
    let named = json!({ "client_secret": "s", "token_endpoint_auth_method": "client_secret_post" });
    assert_eq!(method(named, &["client_secret_basic"]), AuthMethod::Post);
    let odd = json!({ "client_secret": "s", "token_endpoint_auth_method": "tls_client_auth" });
    assert_eq!(method(odd, &["client_secret_basic"]), AuthMethod::Basic);
}

#[test]
fn a_client_survives_being_stored() {
    let client = registered("https://as.test");
    assert_eq!(Client::from_value(&client.to_value()), Some(client));
    assert_eq!(Client::from_value(&json!({ "issuer": "x", "id": "y", "method": "none", "origin": "z" })), None);
    let body = json!({ "client_id": "x", "client_secret": "s", "client_secret_expires_at": 0 }).to_string();
    let forever = Client::registered(201, body.as_bytes(), &server(), "https://app.test/cb").unwrap();
    assert_eq!(forever.expires_at, None);
}
