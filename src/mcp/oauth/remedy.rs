//! What to do about a refusal.

use serde_json::{Value, json};

use super::challenge::Refusal;
use super::scope;
use super::token::Tokens;
use crate::secret::Secret;

/// What may help a request that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Send it again: meanwhile there is another token.
    Again,
    /// Use the refresh token.
    Refresh,
    /// Get a token from the start, with what the refusal says.
    Authorize,
    /// Nothing, and in words why.
    Nothing(&'static str),
}

/// What was already done for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// A refresh token was used.
    pub refreshed: bool,
    /// How often a token was got from the start.
    pub authorized: u8,
    /// How often the request was sent again only because there was another token.
    pub again: u8,
}

impl Tries {
    /// Reads what [`Tries::to_value`] wrote; nothing was done where there is nothing.
    pub fn read(value: Option<&Value>) -> Tries {
        let count = |name: &str| value.and_then(|value| value.get(name)).and_then(Value::as_u64).unwrap_or(0);
        // Saturating: what cannot be would end the tries.
        let small = |name: &str| u8::try_from(count(name)).unwrap_or(u8::MAX);
        Tries { refreshed: count("refreshed") > 0, authorized: small("authorized"), again: small("again") }
    }

    /// As JSON.
    pub fn to_value(self) -> Value {
        json!({ "refreshed": u8::from(self.refreshed), "authorized": self.authorized, "again": self.again })
    }
}

/// Most times that one request leads a user to sign in.
const MAX_AUTHORIZED: u8 = 2;

impl Remedy {
    /// Chooses. `used` is the token that was refused, `tokens` what there is now, `in_vain` the scopes of challenges
    /// for which a step up was made that did not help.
    ///
    /// A challenge for scopes that the token has, or that were asked for in vain, is final: asking again would ask
    /// the user for ever.
    pub fn choose(
        refusal: &Refusal,
        used: Option<&Secret>,
        tokens: Option<&Tokens>,
        tries: Tries,
        in_vain: &[Vec<String>],
    ) -> Remedy {
        let fresh_nonce = refusal.error.as_deref() == Some("use_dpop_nonce") && refusal.dpop_nonce.is_some();
        if fresh_nonce && used.is_some() && tries.again < MAX_AUTHORIZED {
            return Remedy::Again;
        }
        let step_up = refusal.is_insufficient_scope();
        if refusal.status != 401 && !step_up {
            return Remedy::Nothing(match refusal.error {
                Some(_) => "it is not for want of scopes",
                None => {
                    "why, it does not say; a page can read it only with Access-Control-Expose-Headers: WWW-Authenticate"
                }
            });
        }
        if tokens.is_some_and(|tokens| used != Some(&tokens.access)) && tries.again < MAX_AUTHORIZED {
            return Remedy::Again;
        }
        if tries.authorized >= MAX_AUTHORIZED {
            return Remedy::Nothing("the server refuses new tokens too");
        }
        if !step_up {
            return match tokens {
                Some(tokens) if tokens.refresh.is_some() && !tries.refreshed => Remedy::Refresh,
                _ if tries.authorized == 0 => Remedy::Authorize,
                _ => Remedy::Nothing("the server refuses a token that was just made for it"),
            };
        }
        match (&refusal.scopes, tokens) {
            (None, _) => Remedy::Nothing("the server wants further scopes, but does not say which"),
            (Some(wanted), Some(tokens)) if scope::covers(&tokens.scopes, wanted) => {
                Remedy::Nothing("the server refuses a token that has the scopes it asks for")
            }
            (Some(wanted), _) if in_vain.contains(wanted) => {
                Remedy::Nothing("the authorization server does not grant the scopes that the server asks for")
            }
            _ => Remedy::Authorize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::{AuthMethod, Client, Origin};
    use super::*;

    fn tokens(scopes: &[&str], refresh: bool) -> Tokens {
        let scopes: Vec<String> = scopes.iter().map(|scope| scope.to_string()).collect();
        Tokens {
            issuer: "https://as.test".into(),
            token_endpoint: "https://as.test/token".into(),
            resource: "https://a.test/mcp".into(),
            client: Client {
                issuer: "https://as.test".into(),
                id: "c".into(),
                secret: None,
                method: AuthMethod::None,
                origin: Origin::Given,
                redirect_url: None,
                expires_at: None,
            },
            access: Secret::new("t1"),
            refresh: refresh.then(|| Secret::new("r1")),
            stale_at: None,
            requested: scopes.clone(),
            scopes,
            dpop: false,
        }
    }

    fn refusal(status: u16, scopes: Option<&str>) -> Refusal {
        let error = (status == 403).then(|| "insufficient_scope".to_owned());
        Refusal { status, error, scopes: scopes.map(scope::split), ..Refusal::default() }
    }

    fn choose(refusal: &Refusal, tokens: Option<&Tokens>, tries: Tries) -> Remedy {
        Remedy::choose(refusal, Some(&Secret::new("t1")), tokens, tries, &[])
    }

    #[test]
    fn a_refused_token_is_refreshed_once_then_made_anew_once() {
        let (plain, with_refresh) = (tokens(&[], false), tokens(&[], true));
        let none = Tries::default();
        assert_eq!(choose(&refusal(401, None), None, none), Remedy::Authorize);
        assert_eq!(choose(&refusal(401, None), Some(&plain), none), Remedy::Authorize);
        assert_eq!(choose(&refusal(401, None), Some(&with_refresh), none), Remedy::Refresh);
        let refreshed = Tries { refreshed: true, ..none };
        assert_eq!(choose(&refusal(401, None), Some(&with_refresh), refreshed), Remedy::Authorize);
        let both = Tries { authorized: 1, ..refreshed };
        assert!(matches!(choose(&refusal(401, None), Some(&with_refresh), both), Remedy::Nothing(_)));
    }

    #[test]
    fn a_token_that_came_meanwhile_is_tried_first() {
        let tokens = tokens(&[], true);
        let old = Secret::new("t0");
        let choose = |used, again| {
            Remedy::choose(&refusal(401, None), used, Some(&tokens), Tries { again, ..Tries::default() }, &[])
        };
        assert_eq!(choose(Some(&old), 0), Remedy::Again);
        assert_eq!(choose(None, 1), Remedy::Again);
        assert_eq!(choose(Some(&old), 2), Remedy::Refresh, "not for ever");
    }

    #[test]
    fn a_nonce_is_used_but_not_for_ever() {
        let held = tokens(&[], false);
        let wanted = Refusal {
            status: 401,
            error: Some("use_dpop_nonce".into()),
            dpop_nonce: Some("n".into()),
            ..Refusal::default()
        };
        assert_eq!(choose(&wanted, Some(&held), Tries::default()), Remedy::Again);
        let tired = Tries { again: 2, ..Tries::default() };
        assert_eq!(choose(&wanted, Some(&held), tired), Remedy::Authorize);
        let unnamed = Refusal { dpop_nonce: None, ..wanted };
        assert_eq!(choose(&unnamed, Some(&held), Tries::default()), Remedy::Authorize);
    }

    #[test]
    fn a_step_up_is_made_only_where_it_can_help() {
        let held = tokens(&["basic"], true);
        let none = Tries::default();
        let write = refusal(403, Some("write"));
        assert_eq!(choose(&write, Some(&held), none), Remedy::Authorize);
        assert!(matches!(choose(&refusal(403, Some("basic")), Some(&held), none), Remedy::Nothing(_)));
        assert!(matches!(choose(&refusal(403, None), Some(&held), none), Remedy::Nothing(_)));
        assert!(matches!(choose(&write, Some(&held), Tries { authorized: 2, ..none }), Remedy::Nothing(_)));
        let in_vain = [scope::split("write")];
        let used = Secret::new("t1");
        assert!(matches!(Remedy::choose(&write, Some(&used), Some(&held), none, &in_vain), Remedy::Nothing(_)));
        let forbidden = Refusal { error: Some("invalid_request".into()), ..write.clone() };
        assert_eq!(choose(&forbidden, Some(&held), none), Remedy::Nothing("it is not for want of scopes"));
        let Remedy::Nothing(words) = choose(&Refusal { error: None, ..write }, Some(&held), none) else { panic!() };
        assert!(words.contains("WWW-Authenticate"));
    }
}
