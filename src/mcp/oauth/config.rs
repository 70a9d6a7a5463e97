//! How the app wants to be authorized: the option `oauth` of a server.

use serde_json::Value;

use super::scope;
use super::url::Url;
use crate::error::{Error, Result};
use crate::options::{Fields, FunctionId};
use crate::secret::Secret;

/// How a token is come by.
#[derive(Clone, Debug, PartialEq)]
pub enum Grant {
    /// A user signs in and is sent back to us.
    Code {
        /// Where to; `https`, or `http` on this machine.
        redirect_url: String,
        /// Opens the authorization URL that it is given, and resolves to the URL that the user was sent back to.
        /// Without it the app is told the URL, and hands over where the user came back to when it comes to that.
        authorize: Option<FunctionId>,
    },
    /// The app itself is the user (extension `oauth-client-credentials`).
    ClientCredentials,
    /// The platform that runs the app vouches for it (workload identity federation).
    Assertion(FunctionId),
    /// The user's company vouches for the user (extension `enterprise-managed-authorization`).
    Enterprise(Idp),
}

/// An identity provider that exchanges a user's ID token for a statement to other authorization servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Idp {
    /// Its token endpoint.
    pub token_endpoint: String,
    /// The app's client id there.
    pub client_id: String,
    /// The app's client secret there.
    pub client_secret: Option<Secret>,
    /// Gives the user's ID token.
    pub id_token: FunctionId,
}

/// Signs statements about the client with a key that only the app holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Signer {
    /// Algorithm by its JOSE name, such as `ES256`.
    pub algorithm: String,
    /// Which of the client's keys it is.
    pub key_id: Option<String>,
    /// Signs the text that it is given and resolves to the signature in base64url.
    pub sign: FunctionId,
}

/// A key of the app that tokens are bound to, so that a stolen one is of no use ([RFC 9449]).
///
/// [RFC 9449]: https://www.rfc-editor.org/rfc/rfc9449
#[derive(Clone, Debug, PartialEq)]
pub struct Dpop {
    /// Algorithm by its JOSE name, such as `ES256`.
    pub algorithm: String,
    /// The public key as a JWK; goes along with each proof.
    pub jwk: Value,
    /// As [`Signer::sign`].
    pub sign: FunctionId,
}

/// Functions of the app that keep tokens, client secrets and sign-ins that were begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    /// Gives the text that was saved under the key that it is given.
    pub load: FunctionId,
    /// Is given `{ key, text }`; a text of null removes.
    pub save: FunctionId,
}

/// The option `oauth` of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct OauthConfig {
    /// How a token is come by.
    pub grant: Grant,
    /// Client id that the app registered itself.
    pub client_id: Option<String>,
    /// Secret of that client.
    pub client_secret: Option<Secret>,
    /// Issuer that `client_id` belongs to; without it, the first that the server names.
    pub issuer: Option<String>,
    /// Address of a document about the client, which serves as client id.
    pub client_metadata_url: Option<String>,
    /// What users are shown when the client registers itself.
    pub client_name: String,
    /// Scopes to ask for in place of those that the server's metadata names.
    pub scopes: Vec<String>,
    /// Signs statements about the client, instead of a secret.
    pub signer: Option<Signer>,
    /// Binds tokens to a key.
    pub dpop: Option<Dpop>,
    /// Where tokens are kept; else where the platform keeps secrets.
    pub store: Option<Store>,
}

impl OauthConfig {
    /// Reads the option.
    ///
    /// # Errors
    ///
    /// `config` with the path of the first field that is wrong.
    pub fn read(value: &Value, path: &str) -> Result<OauthConfig> {
        let mut fields = Fields::open(value, path)?;
        let secret = |text: Option<&str>| text.map(Secret::new);
        let client_id = fields.string("clientId")?.map(str::to_owned);
        let client_secret = secret(fields.string("clientSecret")?);
        let issuer = fields.string("issuer")?.map(str::to_owned);
        let client_metadata_url = fields.string("clientMetadataUrl")?.map(str::to_owned);
        let client_name = fields.string("clientName")?.unwrap_or("Edgewise").to_owned();
        let mut scopes = Vec::new();
        for (path, scope) in fields.array("scopes")? {
            let known = scopes.len();
            scope::add(&mut scopes, scope.as_str());
            if scopes.len() == known {
                return Err(Error::config(path, "must be a scope: text without blanks and quotes, each once"));
            }
        }
        let signer = match fields.value("sign") {
            None => None,
            Some(value) => Some(read_signer(value, &fields.path("sign"))?),
        };
        let dpop = match fields.value("dpop") {
            None => None,
            Some(value) => Some(read_dpop(value, &fields.path("dpop"))?),
        };
        let store = match fields.value("store") {
            None => None,
            Some(value) => Some(read_store(value, &fields.path("store"))?),
        };
        let grant = read_grant(&mut fields)?;
        if client_metadata_url.as_deref().is_some_and(|url| !is_client_document(url)) {
            return Err(Error::config(fields.path("clientMetadataUrl"), "must be an https URL with a path"));
        }
        if client_id.is_none() {
            if issuer.is_some() {
                return Err(Error::config(fields.path("issuer"), "only goes with `clientId`, which belongs to it"));
            }
            let needs = match grant {
                Grant::Code { .. } if client_secret.is_some() => Some("is required with `clientSecret`"),
                Grant::Code { .. } => None,
                _ => Some("is required where no user signs in"),
            };
            if let Some(needs) = needs {
                return Err(Error::config(fields.path("clientId"), needs));
            }
        }
        fields.finish()?;
        Ok(OauthConfig {
            grant,
            client_id,
            client_secret,
            issuer,
            client_metadata_url,
            client_name,
            scopes,
            signer,
            dpop,
            store,
        })
    }
}

fn read_grant(fields: &mut Fields<'_>) -> Result<Grant> {
    let authorize = fields.function("authorize")?;
    let redirect_url = fields.string("redirectUrl")?;
    let assertion = fields.function("assertion")?;
    let idp = fields.value("idp");
    let named = fields.string("grant")?;
    if named.is_some_and(|name| name != "client_credentials") {
        return Err(Error::config(fields.path("grant"), "must be \"client_credentials\" or absent"));
    }
    let is_user = authorize.is_some() || redirect_url.is_some();
    let ways = [is_user, assertion.is_some(), idp.is_some(), named.is_some()];
    if ways.into_iter().filter(|way| *way).count() != 1 {
        let message = "is required where a user signs in; else exactly one of `grant`, `assertion` and `idp`";
        return Err(Error::config(fields.path("redirectUrl"), message));
    }
    match (redirect_url, assertion, idp) {
        (Some(url), ..) if Url::parse(url).is_some_and(|url| url.is_secure()) => {
            Ok(Grant::Code { redirect_url: url.to_owned(), authorize })
        }
        _ if is_user => {
            let message = "must be an https URL, or an http URL on this machine, that users are sent back to";
            Err(Error::config(fields.path("redirectUrl"), message))
        }
        (_, Some(function), _) => Ok(Grant::Assertion(function)),
        (.., Some(idp)) => Ok(Grant::Enterprise(read_idp(idp, &fields.path("idp"))?)),
        _ => Ok(Grant::ClientCredentials),
    }
}

fn read_idp(value: &Value, path: &str) -> Result<Idp> {
    let mut fields = Fields::open(value, path)?;
    let token_endpoint = fields.required("tokenEndpoint")?;
    if !Url::parse(token_endpoint).is_some_and(|url| url.is_secure()) {
        return Err(Error::config(fields.path("tokenEndpoint"), "must be an https URL"));
    }
    let idp = Idp {
        token_endpoint: token_endpoint.to_owned(),
        client_id: fields.required("clientId")?.to_owned(),
        client_secret: fields.string("clientSecret")?.map(Secret::new),
        id_token: required_function(&mut fields, "idToken")?,
    };
    fields.finish()?;
    Ok(idp)
}

/// The name of an algorithm with a public and a private key.
fn read_algorithm(fields: &mut Fields<'_>) -> Result<String> {
    let algorithm = fields.required("algorithm")?;
    let symmetric = algorithm == "none" || algorithm.starts_with("HS");
    if symmetric || !algorithm.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Error::config(fields.path("algorithm"), "must be an algorithm such as \"ES256\""));
    }
    Ok(algorithm.to_owned())
}

fn read_store(value: &Value, path: &str) -> Result<Store> {
    let mut fields = Fields::open(value, path)?;
    let store = Store { load: required_function(&mut fields, "load")?, save: required_function(&mut fields, "save")? };
    fields.finish()?;
    Ok(store)
}

fn read_dpop(value: &Value, path: &str) -> Result<Dpop> {
    let mut fields = Fields::open(value, path)?;
    let algorithm = read_algorithm(&mut fields)?;
    let jwk = fields.value("jwk").cloned().unwrap_or(Value::Null);
    // It is sent to servers, so that a private key must never get this far.
    if jwk.get("kty").is_none() || ["d", "k", "p", "q"].iter().any(|secret| jwk.get(secret).is_some()) {
        return Err(Error::config(fields.path("jwk"), "must be the public key, as a JSON Web Key"));
    }
    let dpop = Dpop { algorithm, jwk, sign: required_function(&mut fields, "sign")? };
    fields.finish()?;
    Ok(dpop)
}

fn read_signer(value: &Value, path: &str) -> Result<Signer> {
    let mut fields = Fields::open(value, path)?;
    let signer = Signer {
        algorithm: read_algorithm(&mut fields)?,
        key_id: fields.string("keyId")?.map(str::to_owned),
        sign: required_function(&mut fields, "sign")?,
    };
    fields.finish()?;
    Ok(signer)
}

fn required_function(fields: &mut Fields<'_>, name: &'static str) -> Result<FunctionId> {
    let function = fields.function(name)?;
    function.ok_or_else(|| Error::config(fields.path(name), "is required (a function)"))
}

fn is_client_document(url: &str) -> bool {
    let https = url.starts_with("https://");
    https && !url.contains('#') && Url::parse(url).is_some_and(|url| !url.bare_path().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<OauthConfig> {
        OauthConfig::read(&value, "servers[0].oauth")
    }

    #[test]
    fn reads_the_four_ways() {
        let f = json!({ "$function": 3 });
        let code = read(json!({ "authorize": f, "redirectUrl": "http://localhost:3000/callback", "scopes": ["a"] }));
        let code = code.unwrap();
        let redirect_url = "http://localhost:3000/callback".to_owned();
        assert_eq!(code.grant, Grant::Code { redirect_url, authorize: Some(FunctionId(3)) });
        assert!(matches!(
            read(json!({ "redirectUrl": "https://a.test/" })).unwrap().grant,
            Grant::Code { authorize: None, .. }
        ));
        assert_eq!((code.client_name.as_str(), code.scopes.len()), ("Edgewise", 1));
        let machine =
            read(json!({ "grant": "client_credentials", "clientId": "c", "clientSecret": "s3cret" })).unwrap();
        assert_eq!(machine.grant, Grant::ClientCredentials);
        assert!(!format!("{machine:?}").contains("s3cret"));
        let workload = read(json!({ "assertion": f, "clientId": "c" })).unwrap();
        assert_eq!(workload.grant, Grant::Assertion(FunctionId(3)));
        let idp = json!({ "tokenEndpoint": "https://idp.test/token", "clientId": "i", "idToken": f });
        assert!(matches!(read(json!({ "idp": idp, "clientId": "c" })).unwrap().grant, Grant::Enterprise(_)));
        let sign = json!({ "algorithm": "ES256", "sign": f });
        let signed = read(json!({ "grant": "client_credentials", "clientId": "c", "sign": sign })).unwrap();
        assert_eq!(signed.signer.unwrap().algorithm, "ES256");
    }

    #[test]
    fn names_what_is_wrong() {
        let f = json!({ "$function": 3 });
        let path = |value| read(value).unwrap_err().path.clone().unwrap_or_default().replace("servers[0].oauth", "");
        assert_eq!(path(json!({})), ".redirectUrl");
        assert_eq!(path(json!({ "authorize": f, "assertion": f, "redirectUrl": "https://a.test/" })), ".redirectUrl");
        assert_eq!(path(json!({ "assertion": f, "redirectUrl": "https://a.test/" })), ".redirectUrl");
        for url in [json!(null), json!("http://a.test/cb"), json!("/cb"), json!("myapp://cb")] {
            assert_eq!(path(json!({ "authorize": f, "redirectUrl": url })), ".redirectUrl");
        }
        let code = |extra: Value| {
            let mut all = json!({ "authorize": f, "redirectUrl": "https://a.test/cb" });
            all.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            path(all)
        };
        assert_eq!(code(json!({ "clientSecret": "x" })), ".clientId");
        assert_eq!(code(json!({ "issuer": "https://as.test" })), ".issuer");
        assert_eq!(code(json!({ "scopes": ["a", "b c"] })), ".scopes[1]");
        for url in ["http://a.test/c.json", "https://a.test", "https://a.test/", "https://a.test/c#x"] {
            assert_eq!(code(json!({ "clientMetadataUrl": url })), ".clientMetadataUrl");
        }
        assert_eq!(code(json!({ "clientID": "x" })), ".clientID");
        assert_eq!(code(json!({ "store": { "load": f } })), ".store.save");
        assert_eq!(path(json!({ "grant": "password" })), ".grant");
        assert_eq!(path(json!({ "grant": "client_credentials" })), ".clientId");
        let none = json!({ "algorithm": "none", "sign": f });
        assert_eq!(path(json!({ "grant": "client_credentials", "sign": none })), ".sign.algorithm");
        for jwk in [json!(null), json!({}), json!({ "kty": "EC", "d": "private" })] {
            assert_eq!(code(json!({ "dpop": { "algorithm": "ES256", "jwk": jwk, "sign": f } })), ".dpop.jwk");
        }
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": "x", "y": "y" });
        assert_eq!(code(json!({ "dpop": { "algorithm": "HS256", "jwk": jwk, "sign": f } })), ".dpop.algorithm");
        assert_eq!(path(json!({ "assertion": f, "redirectUrl": "https://a.test" })), ".redirectUrl");
    }
}
