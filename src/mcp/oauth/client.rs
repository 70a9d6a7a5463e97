//! Who we are to an authorization server: registration, and how the token endpoint learns it.

use serde_json::{Value, json};

use super::config::{Grant, OauthConfig};
use super::metadata::{self, AuthorizationServer};
use super::url::Url;
use crate::http::{Headers, Method, Request};

use crate::mcp::text::{MAX_QUOTE, clean};
use crate::secret::Secret;
use crate::time::{Millis, UnixMillis};

/// How a client authenticates at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    /// It does not; only its id is sent.
    None,
    /// Id and secret in `Authorization`.
    Basic,
    /// Id and secret in the body.
    Post,
    /// A signed statement.
    PrivateKeyJwt,
}

impl AuthMethod {
    /// Name in metadata and registrations.
    pub const fn as_str(self) -> &'static str {
        match self {
            AuthMethod::None => "none",
            AuthMethod::Basic => "client_secret_basic",
            AuthMethod::Post => "client_secret_post",
            AuthMethod::PrivateKeyJwt => "private_key_jwt",
        }
    }

    /// The method of that name, if it is one of ours.
    pub fn parse(name: &str) -> Option<AuthMethod> {
        let all = [AuthMethod::None, AuthMethod::Basic, AuthMethod::Post, AuthMethod::PrivateKeyJwt];
        all.into_iter().find(|method| method.as_str() == name)
    }

    /// The method to use: the one of the registration, else the safest that the server lists and we can do.
    fn choose(named: Option<&str>, listed: Option<&[String]>, secret: bool, signer: bool) -> AuthMethod {
        let possible = |method: &AuthMethod| match method {
            AuthMethod::None => true,
            AuthMethod::Basic | AuthMethod::Post => secret,
            AuthMethod::PrivateKeyJwt => signer,
        };
        if let Some(method) = named.and_then(AuthMethod::parse).filter(possible) {
            return method;
        }
        let order = [AuthMethod::PrivateKeyJwt, AuthMethod::Basic, AuthMethod::Post, AuthMethod::None];
        let mut able = order.into_iter().filter(possible);
        match listed {
            // Whoever lists nothing takes the default (RFC 8414, section 2).
            None => able.next(),
            Some(listed) => {
                let fits = |method: &AuthMethod| listed.iter().any(|name| name == method.as_str());
                able.clone().find(fits).or(able.next())
            }
        }
        .unwrap_or(AuthMethod::None)
    }
}

/// Where a client id comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Given by the app.
    Given,
    /// The address of a document about the client.
    Document,
    /// Registered by us.
    Registered,
}

/// A client of one authorization server. Its id and secret go to no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Issuer that knows it.
    pub issuer: String,
    /// Client id.
    pub id: String,
    /// Client secret.
    pub secret: Option<Secret>,
    /// How it authenticates.
    pub method: AuthMethod,
    /// Where it comes from.
    pub origin: Origin,
    /// Where users are sent back to, as registered.
    pub redirect_url: Option<String>,
    /// When the secret ceases to hold.
    pub expires_at: Option<UnixMillis>,
}

/// What to do to be a client of a server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Choice {
    Use(Client),
    Register(Request),
    /// In words, why neither is possible.
    Stuck(&'static str),
}

impl Client {
    /// Chooses by priority: given by the app, a document, an earlier registration, a new one ([MCP 2026-07-28,
    /// Client Registration]).
    ///
    /// `known` is the client that was used with this MCP server before; the app's own id stays with the issuer that
    /// it was first used with, unless the app names another.
    ///
    /// [MCP 2026-07-28, Client Registration]: https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization/client-registration
    pub(crate) fn choose(
        config: &OauthConfig,
        server: &AuthorizationServer,
        known: Option<&Client>,
        now: UnixMillis,
    ) -> Choice {
        let listed = server.auth_methods.as_deref();
        let redirect_url = match &config.grant {
            Grant::Code { redirect_url, .. } => Some(redirect_url.clone()),
            _ => None,
        };
        let client = |id: &str, secret: Option<&Secret>, signer: bool, origin: Origin| Client {
            issuer: server.issuer.clone(),
            id: id.to_owned(),
            secret: secret.cloned(),
            method: AuthMethod::choose(None, listed, secret.is_some(), signer),
            origin,
            redirect_url: redirect_url.clone(),
            expires_at: None,
        };
        if let Some(id) = &config.client_id {
            let first = known.filter(|known| known.origin == Origin::Given && known.id == *id);
            let bound = config.issuer.as_deref().or(first.map(|known| known.issuer.as_str()));
            if bound.is_some_and(|bound| bound != server.issuer) {
                return Choice::Stuck("its authorization server is not the one that the client id belongs to");
            }
            return Choice::Use(client(id, config.client_secret.as_ref(), config.signer.is_some(), Origin::Given));
        }
        if let Some(url) = config.client_metadata_url.as_ref().filter(|_| server.client_documents) {
            return Choice::Use(client(url, None, config.signer.is_some(), Origin::Document));
        }
        let fits = |known: &&Client| {
            known.origin == Origin::Registered
                && known.issuer == server.issuer
                && known.redirect_url == redirect_url
                && known.expires_at.is_none_or(|at| now < at)
        };
        if let Some(known) = known.filter(fits) {
            return Choice::Use(known.clone());
        }
        match (&server.registration_endpoint, &redirect_url) {
            (Some(endpoint), Some(redirect_url)) => Choice::Register(register(endpoint, config, server, redirect_url)),
            _ => Choice::Stuck(
                "its authorization server registers no clients; register one there and give its id as `oauth.clientId`",
            ),
        }
    }

    /// Reads the answer to a registration (RFC 7591, section 3.2).
    ///
    /// # Errors
    ///
    /// Why there is no client, in words.
    pub(crate) fn registered(
        status: u16,
        body: &[u8],
        server: &AuthorizationServer,
        redirect_url: &str,
    ) -> Result<Client, String> {
        let map = metadata::object(body).ok();
        let text = |name: &str| map.as_ref()?.get(name)?.as_str().filter(|text| !text.is_empty());
        let Some(id) = text("client_id").filter(|_| (200..300).contains(&status)) else {
            let mut words =
                ["the authorization server did not register this client (", &status.to_string(), ")"].concat();
            // Nothing secret was sent, so the reason can be shown; it is for developers.
            for part in [text("error"), text("error_description")].into_iter().flatten() {
                words.push_str(": ");
                words.push_str(&clean(part, MAX_QUOTE));
            }
            return Err(words);
        };
        let secret = text("client_secret").map(Secret::new);
        let expires = map.as_ref().and_then(|map| map.get("client_secret_expires_at")?.as_u64());
        let named = text("token_endpoint_auth_method");
        Ok(Client {
            issuer: server.issuer.clone(),
            id: id.to_owned(),
            method: AuthMethod::choose(named, server.auth_methods.as_deref(), secret.is_some(), false),
            secret,
            origin: Origin::Registered,
            redirect_url: Some(redirect_url.to_owned()),
            expires_at: expires.filter(|at| *at > 0).map(|at| UnixMillis(0) + Millis::from_secs(at)),
        })
    }

    /// For the store; holds the secret.
    pub fn to_value(&self) -> Value {
        json!({
            "issuer": self.issuer, "id": self.id, "secret": self.secret.as_ref().map(Secret::reveal),
            "method": self.method.as_str(), "redirectUrl": self.redirect_url,
            "origin": match self.origin { Origin::Given => "given", Origin::Document => "document", Origin::Registered => "registered" },
            "expiresAt": self.expires_at.map(|at| at.0),
        })
    }

    /// Back from the store.
    pub fn from_value(value: &Value) -> Option<Client> {
        let text = |name: &str| value.get(name)?.as_str();
        Some(Client {
            issuer: text("issuer")?.to_owned(),
            id: text("id")?.to_owned(),
            secret: text("secret").map(Secret::new),
            method: AuthMethod::parse(text("method")?)?,
            origin: match text("origin")? {
                "given" => Origin::Given,
                "document" => Origin::Document,
                "registered" => Origin::Registered,
                _ => return None,
            },
            redirect_url: text("redirectUrl").map(str::to_owned),
            expires_at: value.get("expiresAt").and_then(Value::as_u64).map(UnixMillis),
        })
    }
}

fn register(endpoint: &str, config: &OauthConfig, server: &AuthorizationServer, redirect_url: &str) -> Request {
    // Code in a page keeps no secret, so that none is asked for where the server allows it.
    let lists = |method: AuthMethod| {
        server.auth_methods.as_ref().is_none_or(|listed| listed.iter().any(|name| name == method.as_str()))
    };
    let order = [AuthMethod::None, AuthMethod::Basic, AuthMethod::Post];
    let method = order.into_iter().find(|method| lists(*method)).unwrap_or(AuthMethod::None);
    let native = Url::parse(redirect_url).is_some_and(|url| url.is_loopback());
    let mut body = json!({
        "client_name": config.client_name,
        "redirect_uris": [redirect_url],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method.as_str(),
        "application_type": if native { "native" } else { "web" },
    });
    if !config.scopes.is_empty() {
        body["scope"] = config.scopes.join(" ").into();
    }
    let mut headers = Headers::new();
    headers.set("Content-Type", "application/json");
    headers.set("Accept", "application/json");
    Request { method: Method::Post, url: endpoint.to_owned(), headers, body: Some(crate::json::text(&body)) }
}

#[cfg(test)]
mod tests;
