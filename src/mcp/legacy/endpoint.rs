//! The transport of 2024-11-05 ([MCP 2024-11-05, Transports, "HTTP with SSE"]): one stream, opened by GET, on which
//! everything comes, and whose first event says where to POST.
//!
//! [MCP 2024-11-05, Transports, "HTTP with SSE"]: https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse

use crate::mcp::oauth::Url;

/// The absolute URL, or the path that the page resolves, to which an `endpoint` event leads from the server's own URL.
///
/// `None` for one that is none, or that leads to another origin: tokens and conversations stay with their server.
pub fn resolve(server: &str, endpoint: &str) -> Option<String> {
    let endpoint = endpoint.trim().split('#').next().unwrap_or("");
    let plain = endpoint.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if endpoint.is_empty() || !plain || endpoint.starts_with("//") {
        return None;
    }
    // Where the path of the server begins; a page's own servers have nothing before it.
    let root = match server.find("://") {
        Some(at) => server[at + 3..].find(['/', '?']).map_or(server.len(), |end| at + 3 + end),
        None => 0,
    };
    let (origin, rest) = server.split_at(root);
    let path = rest.split('?').next().unwrap_or("");
    let scheme = endpoint.split(['/', '?']).next().is_some_and(|first| first.contains(':'));
    let url = if scheme {
        let (ours, theirs) = (Url::parse(server)?, Url::parse(endpoint)?);
        (ours.origin() == theirs.origin()).then(|| endpoint.to_owned())?
    } else if endpoint.starts_with('/') {
        [origin, endpoint].concat()
    } else if endpoint.starts_with('?') {
        [origin, path, endpoint].concat()
    } else {
        let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
        [origin, folder, endpoint].concat()
    };
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_relative_or_of_the_same_origin() {
        let at = |server: &str, endpoint: &str| resolve(server, endpoint);
        let server = "https://a.test:8443/v1/sse?key=1";
        for (endpoint, url) in [
            ("/messages?sessionId=7", "https://a.test:8443/messages?sessionId=7"),
            ("messages/7", "https://a.test:8443/v1/messages/7"),
            ("?s=a:b", "https://a.test:8443/v1/sse?s=a:b"),
            ("/m?next=https://b.test/", "https://a.test:8443/m?next=https://b.test/"),
            ("https://a.test:8443/m#x", "https://a.test:8443/m"),
            ("HTTPS://A.test:8443/m", "HTTPS://A.test:8443/m"),
        ] {
            assert_eq!(at(server, endpoint).as_deref(), Some(url), "{endpoint}");
        }
        assert_eq!(at("http://a.test", "m").as_deref(), Some("http://a.test/m"));
        assert_eq!(at("http://a.test?k=1", "/m").as_deref(), Some("http://a.test/m"));
        assert_eq!(at("/sse", "/m").as_deref(), Some("/m"));
        assert_eq!(at("/v1/sse", "m?x").as_deref(), Some("/v1/m?x"));
    }

    #[test]
    fn nothing_leads_to_another_origin() {
        for endpoint in [
            "https://b.test/m",
            "http://a.test/m",
            "https://a.test:1/m",
            "https://a.test@b.test/m",
            "//b.test/m",
            "/\\b.test/m",
            "\\\\b.test",
            "javascript:alert(1)",
            "data:,x",
            "ht\ttps://b.test",
            "",
            " ",
            "/m\n",
            "#x",
        ] {
            let resolved = resolve("https://a.test/sse", endpoint);
            assert!(resolved.is_none() || endpoint == "/m\n", "{endpoint:?}: {resolved:?}");
        }
        assert_eq!(resolve("/sse", "https://a.test/m"), None, "the page's own origin is not known here");
    }
}
