//! The user's way to the authorization server and back.

use super::metadata::AuthorizationServer;
use super::url::{pairs, push_pair};
use crate::error::Code;
use crate::mcp::sha256::{base64url, sha256};
use crate::mcp::text::{MAX_QUOTE, clean};

/// What has to be known again when the user comes back. The verifier is secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) verifier: String,
    pub(crate) state: String,
}

impl Pending {
    /// Verifier and state of 43 and 22 characters, made of 48 random bytes.
    pub(crate) fn new(random: &[u8; 48]) -> Pending {
        Pending { verifier: base64url(&random[..32]), state: base64url(&random[32..]) }
    }

    /// The URL to open ([RFC 6749, section 4.1.1], with PKCE and a resource indicator).
    ///
    /// [RFC 6749, section 4.1.1]: https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1
    pub(crate) fn url(&self, request: &Request<'_>) -> String {
        let mut url = request.endpoint.to_owned();
        url.push(if url.contains('?') { '&' } else { '?' });
        let challenge = base64url(&sha256(self.verifier.as_bytes()));
        let scope = request.scopes.join(" ");
        for (name, value) in [
            ("response_type", "code"),
            ("client_id", request.client_id),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("redirect_uri", request.redirect_url),
            ("state", &self.state),
            ("resource", request.resource),
        ] {
            push_pair(&mut url, name, value);
        }
        if !scope.is_empty() {
            push_pair(&mut url, "scope", &scope);
        }
        if request.scopes.iter().any(|scope| scope == super::scope::OFFLINE) {
            // OpenID Connect Core, section 11: without it the scope is to be ignored.
            push_pair(&mut url, "prompt", "consent");
        }
        url
    }

    /// Checks what the user came back with and gives the code.
    ///
    /// `answer` is the whole URL, or its query. The state comes first, then the issuer by [RFC 9207, section 2.4],
    /// compared letter by letter; before both hold, nothing of the answer is believed or shown, its error neither.
    ///
    /// # Errors
    ///
    /// Why there is no code, with words that never hold one.
    ///
    /// [RFC 9207, section 2.4]: https://www.rfc-editor.org/rfc/rfc9207#section-2.4
    pub(crate) fn check(&self, answer: &str, server: &AuthorizationServer) -> Result<String, (Code, String)> {
        let pairs = pairs(query(answer));
        let unbelievable = |words: &str| Err((Code::Protocol, words.to_owned()));
        let get = |name: &str| {
            let mut found = pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
            (found.next(), found.next().is_some())
        };
        let ((code, c), (state, s), (issuer, i), (error, e)) = (get("code"), get("state"), get("iss"), get("error"));
        if c || s || i || e {
            return unbelievable("the redirect says something twice");
        }
        if state != Some(self.state.as_str()) {
            return unbelievable("the redirect does not belong to this sign-in: its state is another");
        }
        match issuer {
            Some(issuer) if issuer != server.issuer => {
                return unbelievable("the redirect comes from another authorization server than the one asked");
            }
            None if server.says_issuer => {
                return unbelievable("the redirect does not say which authorization server it comes from");
            }
            _ => {}
        }
        if let Some(error) = error {
            let mut words = ["the authorization server refused: ", &clean(error, 60)].concat();
            if let (Some(description), _) = get("error_description") {
                words.push_str(": ");
                words.push_str(&clean(description, MAX_QUOTE));
            }
            return Err((Code::AuthRequired, words));
        }
        match code {
            Some(code) if !code.is_empty() => Ok(code.to_owned()),
            _ => unbelievable("the redirect brings no code"),
        }
    }
}

#[cfg(feature = "parts")]
/// The state in what a user came back with: which sign-in it belongs to, if to any.
pub(crate) fn state_of(answer: &str) -> Option<String> {
    let pairs = pairs(query(answer));
    pairs.into_iter().find(|(name, _)| name == "state").map(|(_, state)| state)
}

/// The query of a URL, or of a query itself.
fn query(answer: &str) -> &str {
    let answer = answer.split('#').next().unwrap_or("");
    answer.split_once('?').map_or(answer, |(_, query)| query)
}

/// Parts of an authorization request.
pub(crate) struct Request<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) redirect_url: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) scopes: &'a [String],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> Pending {
        let mut random = [7; 48];
        random[0] = 0xFF;
        Pending::new(&random)
    }

    fn server(says_issuer: bool) -> AuthorizationServer {
        AuthorizationServer { issuer: "https://as.test".into(), says_issuer, ..AuthorizationServer::default() }
    }

    fn url(endpoint: &str, scopes: &[&str]) -> String {
        let scopes: Vec<String> = scopes.iter().map(|scope| scope.to_string()).collect();
        pending().url(&Request {
            endpoint,
            client_id: "https://app.test/c.json",
            redirect_url: "https://app.test/cb?x=1",
            resource: "https://a.test/mcp",
            scopes: &scopes,
        })
    }

    #[test]
    fn the_url_field_by_field() {
        let url = url("https://as.test/authorize", &["a", "b"]);
        let (endpoint, query) = url.split_once('?').unwrap();
        assert_eq!(endpoint, "https://as.test/authorize");
        let challenge = base64url(&sha256(pending().verifier.as_bytes()));
        let pairs = pairs(query);
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("response_type", "code"),
                ("client_id", "https://app.test/c.json"),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
                ("redirect_uri", "https://app.test/cb?x=1"),
                ("state", &pending().state),
                ("resource", "https://a.test/mcp"),
                ("scope", "a b"),
            ]
        );
        assert!(!url.contains(&pending().verifier));
    }

    #[test]
    fn an_endpoint_keeps_its_query_and_no_scope_means_no_parameter() {
        let plain = url("https://as.test/authorize?tenant=1", &[]);
        assert!(plain.starts_with("https://as.test/authorize?tenant=1&response_type=code&"), "{plain}");
        assert!(!plain.contains("scope=") && !plain.contains("prompt="));
        assert!(
            url("https://as.test/a", &["a", "offline_access"]).ends_with("&scope=a%20offline_access&prompt=consent")
        );
    }

    #[test]
    fn verifier_and_state_are_long_enough_and_differ() {
        let pending = pending();
        assert_eq!((pending.verifier.len(), pending.state.len()), (43, 22));
        assert!(pending.verifier.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }

    fn check(says_issuer: bool, query: &str) -> Result<String, (Code, String)> {
        let query = query.replace("STATE", &pending().state);
        pending().check(&query, &server(says_issuer))
    }

    #[test]
    fn the_table_of_rfc_9207() {
        let code = Ok("c1".to_owned());
        assert_eq!(check(true, "code=c1&state=STATE&iss=https%3A%2F%2Fas.test"), code);
        assert_eq!(check(false, "code=c1&state=STATE&iss=https://as.test"), code);
        assert_eq!(check(false, "code=c1&state=STATE"), code);
        assert!(check(true, "code=c1&state=STATE").unwrap_err().1.contains("does not say which"));
        for says_issuer in [true, false] {
            for wrong in ["https://evil.test", "https://as.test/", "https://AS.test", "https://as.test:443", ""] {
                let (code, words) = check(says_issuer, &format!("code=c1&state=STATE&iss={wrong}")).unwrap_err();
                assert_eq!(code, Code::Protocol);
                assert!(words.contains("another authorization server") && !words.contains("evil"), "{words}");
            }
        }
    }

    #[test]
    fn errors_are_shown_only_after_state_and_issuer_hold() {
        let refused = check(true, "error=access_denied&error_description=no%0Away&state=STATE&iss=https://as.test");
        assert_eq!(
            refused,
            Err((Code::AuthRequired, "the authorization server refused: access_denied: no way".to_owned()))
        );
        for query in
            ["error=shown&state=STATE&iss=https://evil.test", "error=shown&state=other", "error=shown&state=STATE"]
        {
            assert!(!check(true, query).unwrap_err().1.contains("shown"), "{query}");
        }
    }

    #[test]
    fn only_the_answer_to_this_request_counts() {
        assert_eq!(check(false, "https://app.test/cb?x=1&code=c1&state=STATE#frag"), Ok("c1".to_owned()));
        for query in [
            "",
            "code=c1",
            "code=c1&state=",
            "code=c1&state=STATEx",
            "state=STATE",
            "code=&state=STATE",
            "code=c1&code=c2&state=STATE",
            "code=c1&state=STATE&state=STATE",
            "https://app.test/cb#code=c1&state=STATE",
        ] {
            let (_, words) = check(false, query).unwrap_err();
            assert!(!words.contains("c1"), "{query}: {words}");
        }
    }
}
