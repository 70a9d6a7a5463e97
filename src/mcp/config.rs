//! Which server to talk to, and how.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::http::TRANSPORT;
use crate::json;
use crate::mcp::input::Answerers;
use crate::mcp::log::Log;
use crate::mcp::oauth::{OauthConfig, Url};
use crate::mcp::trust::OnChange;
use crate::options::{Fields, FunctionId, expected};
use crate::secret::Secret;
use crate::time::Millis;

/// Where the bearer token of a server comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// Given once.
    Fixed(Secret),
    /// Asked of the app before each request; the app caches.
    Callback(FunctionId),
}

/// An MCP server and how to reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Name that the app chose: 1 to 64 of `[A-Za-z0-9_-]`, unique among the servers of an agent.
    pub name: String,
    /// The server's MCP endpoint, or `transport:7` for what the app's function 7 does in place of a network.
    pub url: String,
    /// Bearer token for `Authorization`.
    pub token: Option<Token>,
    /// How to come by a token; instead of `token`.
    ///
    /// JSON text of the option, which was checked ([`OauthConfig::read`]); secret, since it may hold a client's.
    pub oauth: Option<Secret>,
    /// Further headers on each request. Values may be credentials.
    pub headers: Vec<(String, Secret)>,
    /// Longest silence within one request before it fails; default 60,000 ms. Progress starts it anew.
    pub timeout: Millis,
    /// What happens when the definition of a tool changes.
    pub on_change: OnChange,
    /// Who of the app answers what the server asks.
    pub answerers: Answerers,
    /// Arguments and structured results are checked against the schemas of the tools; default true.
    pub validate: bool,
    /// Who gets what the server logs.
    pub log: Log,
    /// Most calls of its tools at work at once, in each run.
    pub max_parallel: Option<u32>,
    /// What may become of its data.
    pub labels: Labels,
    /// No other tab takes part in its session, where it is an older server with sessions.
    pub own_session: bool,
}

/// What the app says of a server's data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// What it gives is private: it does not go to tools of other servers that could take it out, unless somebody says so.
    pub private: bool,
    /// What it is given may end up anywhere.
    pub untrusted: bool,
    /// Resources with URIs that begin so are private, where the server as a whole is not.
    pub private_resources: Vec<String>,
}

impl Labels {
    fn read(fields: &mut Fields<'_>) -> Result<Labels> {
        let mut labels = Labels::default();
        for (path, item) in fields.array("labels")? {
            match item.as_str() {
                Some("private") => labels.private = true,
                Some("untrusted") => labels.untrusted = true,
                _ => return Err(expected(&path, "\"private\" or \"untrusted\"", item)),
            }
        }
        for (path, item) in fields.array("privateResources")? {
            match item.as_str() {
                Some(prefix) if !prefix.is_empty() => labels.private_resources.push(prefix.to_owned()),
                _ => return Err(expected(&path, "how URIs begin", item)),
            }
        }
        Ok(labels)
    }

    /// Whether the content of a tool's result shows a private resource, or links to one.
    pub fn in_result(&self, content: &[Value]) -> bool {
        let is_private = |uri: &str| self.private_resources.iter().any(|prefix| uri.starts_with(prefix.as_str()));
        let uri_of = |block: &'_ Value| -> Option<bool> {
            let uri = block.get("resource").unwrap_or(block).get("uri")?.as_str()?;
            Some(is_private(uri))
        };
        content.iter().any(|block| uri_of(block) == Some(true))
    }

    /// Whether a block of context shows something private of the server of that name.
    pub fn in_context(&self, server: &str, text: &str) -> bool {
        let of_it = [" server=\"", server, "\""].concat();
        let begins = |prefix: &String| {
            // Such characters are written otherwise there.
            let plain = prefix.split(['"', '&', '<', '>']).next().unwrap_or("");
            text.contains(&[&of_it, " uri=\"", plain].concat())
        };
        self.private && text.contains(&of_it) || self.private_resources.iter().any(begins)
    }
}

impl ServerConfig {
    /// Default of `timeoutMs`.
    pub const DEFAULT_TIMEOUT: Millis = Millis::from_secs(60);

    /// Reads one element of the option `servers`.
    ///
    /// # Errors
    ///
    /// `config` with the path of the first field that is wrong.
    pub fn read(value: &Value, path: &str) -> Result<ServerConfig> {
        ServerConfig::read_named(value, path, false)
    }

    /// Reads the options of a client of one server: as [`ServerConfig::read`], with the host of the URL as the name
    /// where none is given.
    ///
    /// # Errors
    ///
    /// As [`ServerConfig::read`].
    pub fn read_alone(value: &Value) -> Result<ServerConfig> {
        ServerConfig::read_named(value, "", true)
    }

    fn read_named(value: &Value, path: &str, alone: bool) -> Result<ServerConfig> {
        let mut fields = Fields::open(value, path)?;
        let name = fields.string("name")?;
        if name.is_none() && !alone {
            fields.required("name")?;
        }
        if name.is_some_and(|name| !is_name(name)) {
            return Err(Error::config(fields.path("name"), "must be 1 to 64 letters, digits, `_` or `-`"));
        }
        let transport = transport(&mut fields)?;
        let url = match &transport {
            Some(url) => url.as_str(),
            None => fields.required("url")?,
        };
        if transport.is_none() && !is_http_url(url) {
            let message =
                "must be an absolute http or https URL without user name or fragment, or a path that starts with `/`";
            return Err(Error::config(fields.path("url"), message));
        }
        let token = match fields.value("token") {
            None => None,
            Some(Value::String(token)) if !token.is_empty() => Some(Token::Fixed(Secret::new(token.as_str()))),
            Some(value) => match FunctionId::from_marker(value) {
                Some(function) => Some(Token::Callback(function)),
                None => return Err(expected(&fields.path("token"), "a non-empty string or a function", value)),
            },
        };
        let oauth = match fields.value("oauth") {
            None => None,
            Some(_) if token.is_some() => {
                return Err(Error::config(fields.path("oauth"), "cannot go with `token`; give one of the two"));
            }
            Some(_) if Url::parse(url).is_none() => {
                return Err(Error::config(fields.path("url"), "must be absolute where `oauth` is given"));
            }
            Some(value) => {
                OauthConfig::read(value, &fields.path("oauth"))?;
                Some(Secret::new(json::text(value)))
            }
        };
        let headers = fields.strings("headers")?;
        let timeout = fields.whole("timeoutMs", 1..=Millis::MAX_TIMER.0)?;
        let config = ServerConfig {
            name: name.unwrap_or_else(|| host(url)).to_owned(),
            url: url.to_owned(),
            token,
            oauth,
            headers: headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
            timeout: timeout.map_or(ServerConfig::DEFAULT_TIMEOUT, Millis),
            validate: fields.boolean("validate")?.unwrap_or(true),
            on_change: OnChange::read(fields.value("trust"), &fields.path("trust"))?,
            answerers: Answerers::read(&mut fields)?,
            log: Log::read(&mut fields)?,
            max_parallel: fields.whole("maxParallelTools", 1..=1000)?.map(|most| most as u32),
            labels: Labels::read(&mut fields)?,
            own_session: match fields.value("session").map(|value| (value.as_str(), value)) {
                None | Some((Some("shared"), _)) => false,
                Some((Some("own"), _)) => true,
                Some((_, value)) => return Err(expected(&fields.path("session"), "\"shared\" or \"own\"", value)),
            },
        };
        fields.finish()?;
        Ok(config)
    }

    /// True when a transport of the app's stands in place of a network.
    pub fn is_transport(&self) -> bool {
        self.url.starts_with(TRANSPORT)
    }

    /// Who this server is in what is stored: origin and path, since a query may hold credentials; its name where it has
    /// no URL.
    pub fn identity(&self) -> String {
        if self.is_transport() {
            return [TRANSPORT, &self.name].concat();
        }
        self.url.split('?').next().unwrap_or(&self.url).to_owned()
    }
}

/// Reads the option `transport`; gives the URL that stands for it.
fn transport(fields: &mut Fields<'_>) -> Result<Option<String>> {
    let Some(value) = fields.value("transport") else { return Ok(None) };
    let Some(function) = FunctionId::from_marker(value) else {
        return Err(expected(&fields.path("transport"), "an object with `start`, `send` and `close`", value));
    };
    for name in ["url", "token", "oauth", "headers", "session"] {
        if fields.value(name).is_some() {
            return Err(Error::config(fields.path(name), "cannot go with `transport`"));
        }
    }
    Ok(Some([TRANSPORT, &function.0.to_string()].concat()))
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// What messages call a server that the app gave no name: its host and port, or `server` for a path.
fn host(url: &str) -> &str {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.and_then(|rest| rest.split(['/', '?']).next()).unwrap_or("server")
}

/// A cheap check against mistakes; the platform's own URL parser has the last word.
fn is_http_url(url: &str) -> bool {
    if url.bytes().any(|b| b <= b' ' || b == b'#' || b == b'\\') {
        return false;
    }
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return url.starts_with('/') && !url.starts_with("//");
    };
    let host = rest.split(['/', '?']).next().unwrap_or("");
    !host.is_empty() && !host.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_a_server() {
        let value = json!({ "name": "weather", "url": "https://a.test/mcp", "token": { "$function": 0 } });
        let config = ServerConfig::read(&value, "servers[0]").unwrap();
        assert_eq!(config.token, Some(Token::Callback(FunctionId(0))));
        assert_eq!(config.timeout, Millis(60_000));
        let own = |session: Value| {
            let options = json!({ "name": "s", "url": "/mcp", "session": session });
            ServerConfig::read(&options, "servers[0]").map(|config| config.own_session)
        };
        assert!(!config.own_session && !own(json!("shared")).unwrap() && own(json!("own")).unwrap());
        let error = own(json!("mine")).unwrap_err();
        assert_eq!(error.message, "servers[0].session: expected \"shared\" or \"own\", got a string");
    }

    #[test]
    fn labels_tell_what_is_private_in_a_result() {
        let labels = Labels { private_resources: vec!["file:///home".into()], ..Labels::default() };
        let link = json!({ "type": "resource_link", "uri": "file:///home/me", "name": "me" });
        let whole = json!({ "type": "resource", "resource": { "uri": "file:///home/me", "text": "secret" } });
        let other = json!({ "type": "resource", "resource": { "uri": "file:///etc/x", "text": "file:///home/me" } });
        let text = json!({ "type": "text", "text": "file:///home/me" });
        let shows = |content: &[Value]| labels.in_result(content);
        assert!(shows(&[text.clone(), link]) && shows(&[whole]) && !shows(&[other, text, json!(7)]) && !shows(&[]));
    }

    #[test]
    fn labels_tell_what_is_private_in_a_block_of_context() {
        let value = json!({ "name": "s", "url": "/mcp", "labels": ["untrusted"], "privateResources": ["mail://a&b", "file:///h"] });
        let labels = ServerConfig::read(&value, "servers[0]").unwrap().labels;
        assert!(labels.untrusted && !labels.private);
        let shown = |uri: &str| ["<context>\n<source n=\"1\" server=\"s\" uri=\"", uri, "\" version=\"1\">"].concat();
        let in_context = |server: &str, uri: &str| labels.in_context(server, &shown(uri));
        assert!(in_context("s", "mail://a&amp;b/1") && in_context("s", "file:///home") && !in_context("s", "web:x"));
        assert!(!in_context("t", "file:///home"));
        assert!(Labels { private: true, ..Labels::default() }.in_context("s", &shown("web:x")));
        let wrong = json!({ "name": "s", "url": "/mcp", "labels": ["secret"] });
        let error = ServerConfig::read(&wrong, "servers[0]").unwrap_err();
        assert_eq!(error.message, "servers[0].labels[0]: expected \"private\" or \"untrusted\", got a string");
    }

    #[test]
    fn a_transport_takes_the_place_of_a_url() {
        let transport = json!({ "$function": 7 });
        let read = |value: Value| ServerConfig::read(&value, "servers[0]");
        let config = read(json!({ "name": "local", "transport": transport })).unwrap();
        assert_eq!((config.url.as_str(), config.identity().as_str()), ("transport:7", "transport:local"));
        let with_query = read(json!({ "name": "s", "url": "https://a.test/mcp?key=1" })).unwrap();
        assert_eq!(with_query.identity(), "https://a.test/mcp");
        assert_eq!(ServerConfig::read_alone(&json!({ "transport": transport })).unwrap().name, "server");
        let message = |value| read(value).unwrap_err().message.clone();
        assert_eq!(
            message(json!({ "name": "local", "transport": transport, "url": "/mcp" })),
            "servers[0].url: cannot go with `transport`"
        );
        assert_eq!(
            message(json!({ "name": "local", "transport": { "send": transport } })),
            "servers[0].transport: expected an object with `start`, `send` and `close`, got an object"
        );
        assert!(message(json!({ "name": "local", "url": "transport:7" })).starts_with("servers[0].url: must be"));
    }

    #[test]
    fn a_server_alone_is_called_after_its_host() {
        let name = |value| ServerConfig::read_alone(&value).unwrap().name;
        assert_eq!(name(json!({ "url": "https://a.test:8443/mcp?key=1" })), "a.test:8443");
        assert_eq!(name(json!({ "url": "/mcp" })), "server");
        assert_eq!(name(json!({ "url": "/mcp", "name": "own" })), "own");
        let error = ServerConfig::read_alone(&json!({ "url": "/mcp", "name": "a.b" })).unwrap_err();
        assert_eq!(error.path.as_deref(), Some("name"));
    }

    #[test]
    fn names_what_is_wrong() {
        let message = |value| ServerConfig::read(&value, "servers[0]").unwrap_err().message.clone();
        assert!(
            message(json!({ "name": "a.b", "url": "https://a.test" })).starts_with("servers[0].name: must be 1 to 64")
        );
        for url in [
            "a.test/mcp",
            "ftp://a.test",
            "https://",
            "https://user@a.test",
            "http://a.test/#x",
            "//a.test",
            "http://a b",
        ] {
            let message = message(json!({ "name": "a", "url": url }));
            assert!(message.starts_with("servers[0].url: must be"), "{url}: {message}");
        }
        assert_eq!(
            message(json!({ "name": "a", "url": "/mcp", "token": 7 })),
            "servers[0].token: expected a non-empty string or a function, got 7"
        );
        let oauth = json!({ "authorize": { "$function": 0 }, "redirectUrl": "https://app.test/cb" });
        assert_eq!(
            message(json!({ "name": "a", "url": "/mcp", "oauth": oauth })),
            "servers[0].url: must be absolute where `oauth` is given"
        );
        assert_eq!(
            message(json!({ "name": "a", "url": "https://a.test", "token": "t", "oauth": oauth })),
            "servers[0].oauth: cannot go with `token`; give one of the two"
        );
        assert_eq!(
            message(json!({ "name": "a", "url": "https://a.test", "oauth": {} })),
            "servers[0].oauth.redirectUrl: is required where a user signs in; else exactly one of `grant`, `assertion` and `idp`"
        );
    }
}
