//! Statements that a client signs to authenticate itself (RFC 7523, section 3).

use serde_json::json;

use super::config::Signer;
use super::sha256::base64url;
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
    [base64url(header.to_string().as_bytes()), base64url(claims.to_string().as_bytes())].join(".")
}

/// True when the text can be a signature: base64url, and not empty.
pub(crate) fn is_signature(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::FunctionId;

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
