//! Statements that a client signs: who it is (RFC 7523, section 3), and that it holds a key (RFC 9449, section 4).

use serde_json::{Value, json};

use super::config::{Dpop, Signer};
use crate::http::Request;
use crate::mcp::sha256::{base64url, sha256};
use crate::time::UnixMillis;

/// How long a statement holds, in seconds.
const LIFETIME: u64 = 300;

/// What is to be signed: header and claims, joined by a dot. The audience is the issuer itself, so that no other
/// server can use the statement.
pub(crate) fn client_assertion(signer: &Signer, client: &str, issuer: &str, id: &str, now: UnixMillis) -> String {
    let mut header = json!({ "alg": signer.algorithm, "typ": "JWT" });
    if let Some(key) = &signer.key_id {
        header["kid"] = key.as_str().into();
    }
    let seconds = now.0 / 1000;
    let claims = json!({
        "iss": client, "sub": client, "aud": issuer, "jti": id, "iat": seconds, "exp": seconds + LIFETIME,
    });
    joined(&header, &claims)
}

/// What is to be signed to send `request` with a token that is bound to the key, or to ask for one: `token` is then
/// `None`. `nonce` is what the server last gave.
pub(crate) fn dpop_proof(
    dpop: &Dpop,
    request: &Request,
    token: Option<&str>,
    nonce: Option<&str>,
    id: &str,
    now: UnixMillis,
) -> String {
    let header = json!({ "typ": "dpop+jwt", "alg": dpop.algorithm, "jwk": dpop.jwk });
    let url = request.url.split(['?', '#']).next().unwrap_or("");
    let mut claims = json!({ "jti": id, "htm": request.method.as_str(), "htu": url, "iat": now.0 / 1000 });
    if let Some(token) = token {
        claims["ath"] = base64url(&sha256(token.as_bytes())).into();
    }
    if let Some(nonce) = nonce {
        claims["nonce"] = nonce.into();
    }
    joined(&header, &claims)
}

fn joined(header: &Value, claims: &Value) -> String {
    [base64url(crate::json::text(header).as_bytes()), base64url(crate::json::text(claims).as_bytes())].join(".")
}

/// True when the text can be a signature: base64url, and not empty.
pub(crate) fn is_signature(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Headers, Method};
    use crate::options::FunctionId;

    #[test]
    fn a_proof_is_for_one_request() {
        let dpop = Dpop { algorithm: "ES256".into(), jwk: json!({ "kty": "EC" }), sign: FunctionId(1) };
        let (url, headers) = ("https://a.test/mcp?key=1".to_owned(), Headers::new());
        let request = Request { method: Method::Post, url, headers, body: None };
        let header = base64url(br#"{"typ":"dpop+jwt","alg":"ES256","jwk":{"kty":"EC"}}"#);
        let claims = base64url(br#"{"jti":"j","htm":"POST","htu":"https://a.test/mcp","iat":1}"#);
        assert_eq!(dpop_proof(&dpop, &request, None, None, "j", UnixMillis(1_999)), [&*header, &claims].join("."));
        // The hash of the token is that of RFC 9449, section 7.1.
        let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
        let ath = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
        let claims =
            format!(r#"{{"jti":"j","htm":"POST","htu":"https://a.test/mcp","iat":1,"ath":"{ath}","nonce":"n"}}"#);
        let proof = dpop_proof(&dpop, &request, Some(token), Some("n"), "j", UnixMillis(1_999));
        assert_eq!(proof, [header, base64url(claims.as_bytes())].join("."));
    }

    #[test]
    fn says_who_to_whom_and_for_how_long() {
        let signer = Signer { algorithm: "ES256".into(), key_id: Some("k1".into()), sign: FunctionId(1) };
        let input = client_assertion(&signer, "me", "https://as.test", "j1", UnixMillis(1_500_500));
        let header = base64url(br#"{"alg":"ES256","typ":"JWT","kid":"k1"}"#);
        let claims = base64url(br#"{"iss":"me","sub":"me","aud":"https://as.test","jti":"j1","iat":1500,"exp":1800}"#);
        assert_eq!(input, [header, claims].join("."));
        assert!(is_signature("aB-_9") && !is_signature("a.b") && !is_signature("") && !is_signature("a="));
    }
}
