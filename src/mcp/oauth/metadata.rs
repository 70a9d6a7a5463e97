//! What servers publish about themselves: where it is looked for, and what makes it count.
//!
//! Two documents: the protected resource's ([RFC 9728]), which names authorization servers, and an authorization
//! server's ([RFC 8414], OpenID Connect Discovery), which names endpoints. Both come from strangers.
//!
//! [RFC 9728]: https://www.rfc-editor.org/rfc/rfc9728
//! [RFC 8414]: https://www.rfc-editor.org/rfc/rfc8414

use serde_json::{Map, Value};

use super::scope;
use super::url::Url;

/// Why a document is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// No such document, such as the HTML page of an app that answers to everything.
    NotMetadata,
    /// Metadata, but of somebody else.
    Mismatch,
}

/// Metadata of a protected resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Its identifier, letter by letter; goes into `resource` of later requests.
    pub(crate) resource: String,
    /// Issuers of its authorization servers.
    pub(crate) servers: Vec<String>,
    /// Scopes for basic use.
    pub(crate) scopes: Option<Vec<String>>,
}

impl Resource {
    /// Reads the document for the MCP server at `server`.
    ///
    /// Its `resource` has to be that server or something above it on the same origin: else somebody could have
    /// tokens made for another server ([RFC 9728, section 3.3]).
    ///
    /// [RFC 9728, section 3.3]: https://www.rfc-editor.org/rfc/rfc9728#section-3.3
    pub(crate) fn read(body: &[u8], server: &Url) -> Result<Resource, Unfit> {
        let map = object(body)?;
        let resource = text(&map, "resource").ok_or(Unfit::NotMetadata)?;
        if !Url::parse(resource).is_some_and(|url| url.covers(server) && !resource.contains('#')) {
            return Err(Unfit::Mismatch);
        }
        let servers = texts(&map, "authorization_servers").unwrap_or_default();
        let scopes = texts(&map, "scopes_supported").map(|texts| valid_scopes(&texts));
        Ok(Resource { resource: resource.to_owned(), servers, scopes })
    }
}

/// Where the metadata of the MCP server may be: what its refusal names, then the well-known addresses of its path
/// and of its origin. An address that would travel in the clear to another origin is left out.
pub(crate) fn resource_urls(server: &Url, named: Option<&str>) -> Vec<String> {
    const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
    let mut urls = Vec::new();
    if let Some(named) = named
        && Url::parse(named).is_some_and(|url| url.is_secure() || url.origin() == server.origin())
    {
        urls.push(named.split('#').next().unwrap_or(named).to_owned());
    }
    for path in [server.bare_path(), ""] {
        let url = [server.origin(), WELL_KNOWN, path].concat();
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

/// Metadata of an authorization server, or what stands for it where a server of 2025-03-26 has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuthorizationServer {
    pub(crate) issuer: String,
    pub(crate) authorization_endpoint: Option<String>,
    pub(crate) token_endpoint: String,
    pub(crate) registration_endpoint: Option<String>,
    pub(crate) scopes: Vec<String>,
    /// How clients may authenticate; `None` when it does not say.
    pub(crate) auth_methods: Option<Vec<String>>,
    /// It says `iss` in every answer, so that one without is forged ([RFC 9207, section 3]).
    ///
    /// [RFC 9207, section 3]: https://www.rfc-editor.org/rfc/rfc9207#section-3
    pub(crate) says_issuer: bool,
    /// It takes the URL of a metadata document as client id.
    pub(crate) client_documents: bool,
    /// It checks S256 code challenges.
    pub(crate) pkce: bool,
}

impl AuthorizationServer {
    /// Reads the document of `issuer`, which has to call itself exactly that ([RFC 8414, section 3.3]).
    ///
    /// `derived`: no document named the issuer, it was made of the MCP server's origin; then a slash at its end
    /// makes no difference, since it makes none to the address either.
    ///
    /// Endpoints have to be `https`, except on this machine; without a token endpoint it is of no use.
    ///
    /// [RFC 8414, section 3.3]: https://www.rfc-editor.org/rfc/rfc8414#section-3.3
    pub(crate) fn read(body: &[u8], issuer: &str, derived: bool) -> Result<AuthorizationServer, Unfit> {
        let map = object(body)?;
        let said = text(&map, "issuer").ok_or(Unfit::NotMetadata)?;
        if said != issuer && !(derived && said.strip_suffix('/') == Some(issuer)) {
            return Err(Unfit::Mismatch);
        }
        let methods = texts(&map, "code_challenge_methods_supported");
        Ok(AuthorizationServer {
            issuer: said.to_owned(),
            authorization_endpoint: endpoint(&map, "authorization_endpoint"),
            token_endpoint: endpoint(&map, "token_endpoint").ok_or(Unfit::NotMetadata)?,
            registration_endpoint: endpoint(&map, "registration_endpoint"),
            scopes: valid_scopes(&texts(&map, "scopes_supported").unwrap_or_default()),
            auth_methods: texts(&map, "token_endpoint_auth_methods_supported"),
            says_issuer: flag(&map, "authorization_response_iss_parameter_supported"),
            client_documents: flag(&map, "client_id_metadata_document_supported"),
            pkce: methods.is_some_and(|methods| methods.iter().any(|method| method == "S256")),
        })
    }

    /// The endpoints that a server of 2025-03-26 has when it publishes nothing ([MCP 2025-03-26, Authorization,
    /// "Fallbacks for Servers without Metadata Discovery"]).
    ///
    /// [MCP 2025-03-26, Authorization, "Fallbacks for Servers without Metadata Discovery"]: https://modelcontextprotocol.io/specification/2025-03-26/basic/authorization#fallbacks-for-servers-without-metadata-discovery
    pub(crate) fn fallback(origin: &str) -> AuthorizationServer {
        AuthorizationServer {
            issuer: origin.to_owned(),
            authorization_endpoint: Some([origin, "/authorize"].concat()),
            token_endpoint: [origin, "/token"].concat(),
            registration_endpoint: Some([origin, "/register"].concat()),
            // That revision demands PKCE of every server; there is nowhere to look it up.
            pkce: true,
            ..AuthorizationServer::default()
        }
    }
}

/// Where the metadata of an issuer may be, in the order of [MCP 2026-07-28, "Authorization Server Metadata
/// Discovery"]; `None` for what is no issuer: insecure, or with a query.
///
/// [MCP 2026-07-28, "Authorization Server Metadata Discovery"]: https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization/authorization-server-discovery#authorization-server-metadata-discovery
pub(crate) fn server_urls(issuer: &str) -> Option<Vec<String>> {
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let url = Url::parse(issuer).filter(|url| url.is_secure() && url.query().is_none() && !issuer.contains('#'))?;
    let (origin, path) = (url.origin(), url.bare_path());
    let mut urls = vec![[origin, OAUTH, path].concat(), [origin, OPENID, path].concat()];
    if !path.is_empty() {
        urls.push([origin, path, OPENID].concat());
    }
    Some(urls)
}

pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, Unfit> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Unfit::NotMetadata),
    }
}

fn text<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    map.get(name)?.as_str()
}

/// The strings of an array; `None` when there is no array.
fn texts(map: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    Some(map.get(name)?.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn flag(map: &Map<String, Value>, name: &str) -> bool {
    map.get(name) == Some(&Value::Bool(true))
}

fn endpoint(map: &Map<String, Value>, name: &str) -> Option<String> {
    let endpoint = text(map, name)?;
    let fit = Url::parse(endpoint).is_some_and(|url| url.is_secure()) && !endpoint.contains('#');
    fit.then(|| endpoint.to_owned())
}

fn valid_scopes(texts: &[String]) -> Vec<String> {
    let mut scopes = Vec::new();
    scope::add(&mut scopes, texts.iter().map(String::as_str));
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn server(url: &str) -> Url {
        Url::parse(url).unwrap()
    }

    fn resource(document: Value) -> Result<Resource, Unfit> {
        Resource::read(document.to_string().as_bytes(), &server("https://a.test/v1/mcp"))
    }

    #[test]
    fn the_resource_is_looked_for_in_the_header_then_at_the_path_then_at_the_root() {
        let here = server("https://a.test/v1/mcp?key=1");
        let path = "https://a.test/.well-known/oauth-protected-resource/v1/mcp";
        let root = "https://a.test/.well-known/oauth-protected-resource";
        assert_eq!(resource_urls(&here, None), [path, root]);
        assert_eq!(resource_urls(&here, Some("https://b.test/x#y")), ["https://b.test/x", path, root]);
        assert_eq!(resource_urls(&here, Some(path)), [path, root]);
        for named in ["http://b.test/x", "file:///etc", "no url"] {
            assert_eq!(resource_urls(&here, Some(named)), [path, root], "{named}");
        }
        let intranet = server("http://10.0.0.5/");
        let root = "http://10.0.0.5/.well-known/oauth-protected-resource";
        assert_eq!(resource_urls(&intranet, None), [root]);
        assert_eq!(resource_urls(&intranet, Some("http://10.0.0.5/m")), ["http://10.0.0.5/m", root]);
    }

    #[test]
    fn a_resource_has_to_be_the_server_itself() {
        let read = resource(json!({
            "resource": "https://A.test/v1/mcp/", "authorization_servers": ["https://as.test", 7],
            "scopes_supported": ["a", "b c", "a"]
        }));
        let read = read.unwrap();
        assert_eq!((read.resource.as_str(), read.servers.len()), ("https://A.test/v1/mcp/", 1));
        assert_eq!(read.scopes, Some(vec!["a".to_owned()]));
        let root = resource(json!({ "resource": "https://a.test" })).unwrap();
        assert_eq!((root.servers.len(), root.scopes), (0, None));
        for other in [
            "https://evil.test/v1/mcp",
            "https://a.test/v1/mc",
            "https://a.test/v1/mcp#x",
            "http://a.test/v1/mcp",
            "mcp",
        ] {
            assert_eq!(resource(json!({ "resource": other })), Err(Unfit::Mismatch), "{other}");
        }
    }

    #[test]
    fn what_is_no_metadata_is_passed_over() {
        for body in [&b"<!doctype html>"[..], b"", b"[]", b"{}", b"{\"resource\":7}", b"{\"resource\":"] {
            assert_eq!(Resource::read(body, &server("https://a.test")), Err(Unfit::NotMetadata));
            assert_eq!(AuthorizationServer::read(body, "https://as.test", false), Err(Unfit::NotMetadata));
        }
    }

    #[test]
    fn the_order_of_an_issuers_addresses() {
        assert_eq!(
            server_urls("https://auth.example.com/tenant1").unwrap(),
            [
                "https://auth.example.com/.well-known/oauth-authorization-server/tenant1",
                "https://auth.example.com/.well-known/openid-configuration/tenant1",
                "https://auth.example.com/tenant1/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            server_urls("https://auth.example.com/").unwrap(),
            [
                "https://auth.example.com/.well-known/oauth-authorization-server",
                "https://auth.example.com/.well-known/openid-configuration",
            ]
        );
        for issuer in ["http://auth.example.com", "https://as.test?x", "https://as.test#x", "as.test", ""] {
            assert_eq!(server_urls(issuer), None, "{issuer}");
        }
    }

    fn document(issuer: &str) -> Value {
        json!({
            "issuer": issuer, "authorization_endpoint": "https://as.test/authorize",
            "token_endpoint": "https://as.test/token", "registration_endpoint": "https://as.test/register",
            "scopes_supported": ["a", "offline_access"], "code_challenge_methods_supported": ["plain", "S256"],
            "token_endpoint_auth_methods_supported": ["none"], "client_id_metadata_document_supported": true,
            "authorization_response_iss_parameter_supported": true
        })
    }

    fn read(document: &Value, issuer: &str, derived: bool) -> Result<AuthorizationServer, Unfit> {
        AuthorizationServer::read(document.to_string().as_bytes(), issuer, derived)
    }

    #[test]
    fn the_issuer_is_compared_letter_by_letter() {
        assert!(read(&document("https://as.test"), "https://as.test", false).is_ok());
        for said in ["https://as.test/", "https://AS.test", "https://as.test:443", "https://honest.test", ""] {
            assert_eq!(read(&document(said), "https://as.test", false), Err(Unfit::Mismatch), "{said}");
        }
        let derived = read(&document("https://as.test/"), "https://as.test", true).unwrap();
        assert_eq!(derived.issuer, "https://as.test/", "as it calls itself");
        assert_eq!(read(&document("https://b.test"), "https://as.test", true), Err(Unfit::Mismatch));
    }

    #[test]
    fn reads_what_it_supports() {
        let full = read(&document("https://as.test"), "https://as.test", false).unwrap();
        assert!(full.pkce && full.says_issuer && full.client_documents);
        assert_eq!(full.auth_methods, Some(vec!["none".to_owned()]));
        let bare = json!({ "issuer": "https://as.test", "token_endpoint": "https://as.test/t" });
        let bare = read(&bare, "https://as.test", false).unwrap();
        assert!(!bare.pkce && !bare.says_issuer && !bare.client_documents);
        assert_eq!((bare.auth_methods, bare.registration_endpoint), (None, None));
    }

    #[test]
    fn endpoints_in_the_clear_do_not_count() {
        let mut plain = document("https://as.test");
        plain["registration_endpoint"] = json!("http://as.test/register");
        plain["authorization_endpoint"] = json!("javascript:alert(1)");
        let read_plain = read(&plain, "https://as.test", false).unwrap();
        assert_eq!((read_plain.registration_endpoint, read_plain.authorization_endpoint), (None, None));
        plain["token_endpoint"] = json!("http://as.test/token");
        assert_eq!(read(&plain, "https://as.test", false), Err(Unfit::NotMetadata));
        plain["token_endpoint"] = json!("http://localhost:9/token");
        assert!(read(&plain, "https://as.test", false).is_ok());
    }

    #[test]
    fn without_metadata_the_endpoints_are_at_the_root() {
        let fallback = AuthorizationServer::fallback("https://api.example.com");
        assert_eq!(fallback.authorization_endpoint.as_deref(), Some("https://api.example.com/authorize"));
        assert_eq!(fallback.token_endpoint, "https://api.example.com/token");
        assert_eq!(fallback.registration_endpoint.as_deref(), Some("https://api.example.com/register"));
    }
}
