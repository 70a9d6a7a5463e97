//! Which scopes to ask for ([MCP 2026-07-28, Authorization, "Scope Selection Strategy"]).
//!
//! [MCP 2026-07-28, Authorization, "Scope Selection Strategy"]: https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization#scope-selection-strategy

/// Lets an authorization server know that a refresh token is wanted.
pub(crate) const OFFLINE: &str = "offline_access";

/// The scopes of a blank-separated list, each once.
pub(crate) fn split(list: &str) -> Vec<String> {
    let mut scopes = Vec::new();
    add(&mut scopes, list.split_ascii_whitespace());
    scopes
}

/// Adds what is not there yet, in order. What is no scope token (RFC 6749, section 3.3) is left out.
pub(crate) fn add<'a>(scopes: &mut Vec<String>, more: impl IntoIterator<Item = &'a str>) {
    for scope in more {
        let valid = !scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if valid && !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
}

/// True when every one of `wanted` is among `held`.
pub(crate) fn covers(held: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|scope| held.contains(scope))
}

/// What the scopes of a request are chosen from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources<'a> {
    /// What the refusal names; authoritative for the request that was refused.
    pub(crate) challenge: Option<&'a [String]>,
    /// What the app wants.
    pub(crate) app: &'a [String],
    /// What the resource's metadata names.
    pub(crate) resource: Option<&'a [String]>,
    /// What was asked for before; kept, so that a step up loses nothing.
    pub(crate) previous: &'a [String],
    /// What the authorization server's metadata names.
    pub(crate) server: &'a [String],
    /// A refresh token would be of use.
    pub(crate) offline: bool,
}

impl Sources<'_> {
    /// The scopes to ask for; empty means that the parameter is left out.
    pub(crate) fn select(&self) -> Vec<String> {
        fn words(scopes: &[String]) -> impl Iterator<Item = &str> {
            scopes.iter().map(String::as_str)
        }
        let mut scopes = Vec::new();
        add(&mut scopes, words(self.previous));
        add(&mut scopes, words(self.app));
        match (self.challenge, self.resource) {
            (Some(challenge), _) => add(&mut scopes, words(challenge)),
            (None, Some(resource)) if self.app.is_empty() => add(&mut scopes, words(resource)),
            _ => {}
        }
        // Alone it would replace whatever the server grants by default.
        if self.offline && !scopes.is_empty() && self.server.iter().any(|scope| scope == OFFLINE) {
            add(&mut scopes, [OFFLINE]);
        }
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        split(text)
    }

    #[test]
    fn the_challenge_comes_first_then_the_metadata_then_nothing() {
        let (challenge, resource) = (list("files:read"), list("a b"));
        let sources = Sources { challenge: Some(&challenge), resource: Some(&resource), ..Sources::default() };
        assert_eq!(sources.select(), ["files:read"]);
        assert_eq!(Sources { resource: Some(&resource), ..Sources::default() }.select(), ["a", "b"]);
        assert_eq!(Sources::default().select(), [""; 0]);
    }

    #[test]
    fn a_step_up_keeps_what_was_asked_before() {
        let (challenge, previous, resource) = (list("write"), list("basic"), list("profile"));
        let sources = Sources {
            challenge: Some(&challenge),
            previous: &previous,
            resource: Some(&resource),
            ..Sources::default()
        };
        assert_eq!(sources.select(), ["basic", "write"]);
    }

    #[test]
    fn the_apps_scopes_replace_the_metadata_but_not_the_challenge() {
        let (challenge, app, resource) = (list("write"), list("mine"), list("all of it"));
        let sources = Sources { app: &app, resource: Some(&resource), ..Sources::default() };
        assert_eq!(sources.select(), ["mine"]);
        assert_eq!(Sources { challenge: Some(&challenge), ..sources }.select(), ["mine", "write"]);
    }

    #[test]
    fn offline_access_is_added_only_where_the_server_lists_it() {
        let (app, server) = (list("a"), list("a offline_access"));
        let sources = Sources { app: &app, offline: true, server: &server, ..Sources::default() };
        assert_eq!(sources.select(), ["a", "offline_access"]);
        assert_eq!(Sources { server: &app, ..sources.clone() }.select(), ["a"]);
        assert_eq!(Sources { offline: false, ..sources.clone() }.select(), ["a"]);
        assert_eq!(Sources { app: &[], ..sources }.select(), [""; 0]);
    }

    #[test]
    fn what_is_no_scope_is_left_out() {
        assert_eq!(list(" a\tb  a c\"d é \\x "), ["a", "b"]);
        assert!(covers(&list("a b c"), &list("c a")));
        assert!(!covers(&list("a"), &list("a b")));
    }
}
