//! The little that authorization needs to know of URLs: origin, path, query. Only `http` and `https`.
//!
//! Not a general parser: what a browser would repair (backslashes, user names, blanks, names that are not ASCII)
//! is refused, because a repaired URL may lead elsewhere than the one that was checked.

/// An absolute `http` or `https` URL without user name and fragment.
///
/// Scheme and host are in lower case and the default port is gone; path and query stay as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    origin: String,
    /// Empty, or starts with `/`.
    path: String,
    /// Without the `?`.
    query: Option<String>,
}

/// Longest URL that is looked at.
const MAX_URL: usize = 8 << 10;

impl Url {
    /// Reads a URL; a fragment is cut off. `None` for whatever is not plainly one.
    pub fn parse(text: &str) -> Option<Url> {
        if text.len() > MAX_URL || !text.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&b)) {
            return None;
        }
        let text = text.split('#').next().unwrap_or("");
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (host, port) = split_authority(authority)?;
        let mut origin = [&scheme, "://", &host].concat();
        if let Some(port) = port.filter(|port| *port != default_port) {
            origin.push(':');
            origin.push_str(&port.to_string());
        }
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        // A path that climbs would be a different one once it is sent.
        let climbs = path.split('/').any(|part| {
            let part = part.to_ascii_lowercase().replace("%2e", ".");
            part == "." || part == ".."
        });
        (!climbs).then(|| Url { origin, path: path.to_owned(), query })
    }

    /// `https://host`, with the port unless it is the scheme's default.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The path; empty, or starts with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query without its `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The path without a slash at its end; empty for the root.
    pub fn bare_path(&self) -> &str {
        self.path.strip_suffix('/').unwrap_or(&self.path)
    }

    /// True for `https`, and for `http` that does not leave this machine (`localhost`, `127.0.0.0/8`, `[::1]`).
    pub fn is_secure(&self) -> bool {
        self.origin.starts_with("https://") || self.is_loopback()
    }

    /// True when the host is this machine.
    pub fn is_loopback(&self) -> bool {
        let authority = self.origin.split("://").nth(1).unwrap_or("");
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(""),
            None => authority.split(':').next().unwrap_or(""),
        };
        let v4 = || {
            let parts: Vec<&str> = host.split('.').collect();
            parts.len() == 4 && parts[0] == "127" && parts.iter().all(|part| part.parse::<u8>().is_ok())
        };
        host == "localhost" || host.ends_with(".localhost") || host == "::1" || v4()
    }

    /// The URL as a resource identifier: no fragment, no slash for the root, no query, since that may hold
    /// credentials ([MCP 2026-07-28, Authorization, "Canonical Server URI"]).
    ///
    /// [MCP 2026-07-28, Authorization, "Canonical Server URI"]: https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization#canonical-server-uri
    pub fn resource(&self) -> String {
        let path = if self.path == "/" { "" } else { &self.path };
        [&self.origin, path].concat()
    }

    /// True when `server` lies at or below this URL: equal origins, and this path is a whole-segment prefix.
    pub fn covers(&self, server: &Url) -> bool {
        let (mine, theirs) = (self.bare_path(), server.bare_path());
        let below = theirs.strip_prefix(mine).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.origin == server.origin && below
    }
}

/// Host in lower case, and the port if one is named.
fn split_authority(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            let valid = !host.is_empty() && host.bytes().all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.');
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            (valid.then(|| ["[", host, "]"].concat())?, port)
        }
        None => {
            let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            let valid = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
            (valid.then(|| host.to_owned())?, port)
        }
    };
    let port = match port {
        None | Some("") => None,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
    };
    Some((host.to_ascii_lowercase(), port))
}

/// Adds `name=value` to a form or query, percent-encoded; a blank becomes `%20`, which both readings understand.
pub(crate) fn push_pair(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() && !out.ends_with(['?', '&']) {
        out.push('&');
    }
    push_encoded(out, name);
    out.push('=');
    push_encoded(out, value);
}

/// Adds the text percent-encoded: only letters, digits and `-._~` stay.
pub(crate) fn push_encoded(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// The pairs of a query in order, decoded as a form. What is no UTF-8 after decoding is left out.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    let split = query.split('&').filter(|pair| !pair.is_empty());
    let decode = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    };
    split.filter_map(decode).collect()
}

fn decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn reads_origin_path_and_query() {
        let read = url("HTTPS://MCP.Example.com:443/Server/mcp?key=a/b?c#part");
        assert_eq!(read.origin(), "https://mcp.example.com");
        assert_eq!((read.path(), read.query()), ("/Server/mcp", Some("key=a/b?c")));
        assert_eq!(url("http://a.test:8080").origin(), "http://a.test:8080");
        assert_eq!(url("http://a.test:80?x").query(), Some("x"));
        assert_eq!(url("http://[::1]:3000/cb").origin(), "http://[::1]:3000");
    }

    #[test]
    fn refuses_what_a_browser_would_repair() {
        for text in [
            "",
            "a.test",
            "/mcp",
            "//a.test",
            "ftp://a.test",
            "https://",
            "https:///x",
            "https://u@a.test",
            "https://u:p@a.test",
            "https://a.test\\@evil.test",
            "https://a.test/\n",
            "https://a b",
            "https://ä.test",
            "https://a.test:x",
            "https://a.test:99999",
            "https://a.test/../x",
            "https://a.test/%2E%2e/x",
            "https://[::1",
            "https://[x]/",
            "javascript://a.test",
            "https://a%2etest",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
        assert_eq!(Url::parse(&format!("https://a.test/{}", "x".repeat(MAX_URL))), None);
    }

    #[test]
    fn plain_http_is_secure_only_on_this_machine() {
        for text in
            ["https://a.test", "http://localhost:3000/cb", "http://127.0.0.1/", "http://[::1]:1/", "http://a.localhost"]
        {
            assert!(url(text).is_secure(), "{text}");
        }
        for text in ["http://a.test", "http://127.0.0.1.evil.test", "http://localhost.evil.test", "http://127.evil.0.1"]
        {
            assert!(!url(text).is_secure(), "{text}");
        }
    }

    #[test]
    fn the_resource_has_no_fragment_no_query_and_no_lone_slash() {
        assert_eq!(url("https://Mcp.example.com/").resource(), "https://mcp.example.com");
        assert_eq!(url("https://mcp.example.com:8443/mcp?key=1#x").resource(), "https://mcp.example.com:8443/mcp");
        assert_eq!(url("https://mcp.example.com/mcp/").resource(), "https://mcp.example.com/mcp/");
    }

    #[test]
    fn a_resource_covers_whole_segments_of_its_own_origin() {
        let server = url("https://a.test/v1/mcp");
        for text in [
            "https://a.test",
            "https://a.test/",
            "https://a.test/v1",
            "https://a.test/v1/mcp/",
            "https://A.test:443/v1",
        ] {
            assert!(url(text).covers(&server), "{text}");
        }
        for text in [
            "https://a.test/v",
            "https://a.test/v1/mcp/x",
            "http://a.test/v1",
            "https://evil.test/v1/mcp",
            "https://a.test:1",
        ] {
            assert!(!url(text).covers(&server), "{text}");
        }
    }

    #[test]
    fn forms_are_encoded_and_decoded() {
        let mut form = String::new();
        push_pair(&mut form, "resource", "https://a.test/mcp");
        push_pair(&mut form, "scope", "a b+c~ü");
        assert_eq!(form, "resource=https%3A%2F%2Fa.test%2Fmcp&scope=a%20b%2Bc~%C3%BC");
        assert_eq!(pairs(&form)[1], ("scope".to_owned(), "a b+c~ü".to_owned()));
        let read = pairs("&a=1+2&b&c=%zz%2&d=%FF&e=x=y");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read, [pair("a", "1 2"), pair("b", ""), pair("c", "%zz%2"), pair("e", "x=y")]);
    }
}
