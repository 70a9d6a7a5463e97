//! Seals a log that passes through other hands: HMAC-SHA-256 ([RFC 2104]) with a secret of the app, in a line before it.
//!
//! [RFC 2104]: https://www.rfc-editor.org/rfc/rfc2104

use crate::error::{Code, Error, Result};
use crate::mcp::sha256::{base64url, sha256};
use crate::secret::Secret;

const MARK: &str = "hmac-sha256 ";

/// The log with its seal, or as it is without a secret.
pub fn seal(log: String, secret: Option<&Secret>) -> String {
    match secret {
        Some(secret) => [MARK, &mac(secret, &log), "\n", &log].concat(),
        None => log,
    }
}

/// The log without its seal.
///
/// # Errors
///
/// `protocol` when there is a secret and the seal is not of it.
pub fn unseal<'a>(text: &'a str, secret: Option<&Secret>) -> Result<&'a str> {
    let sealed = text.strip_prefix(MARK).and_then(|rest| rest.split_once('\n'));
    match (sealed, secret) {
        (Some((given, log)), Some(secret)) if same(given, &mac(secret, log)) => Ok(log),
        (_, Some(_)) => {
            let words = "resume: the snapshot is not sealed with this agent's `snapshotSecret`, or was changed since";
            Err(Error::new(Code::Protocol, words))
        }
        (Some((_, log)), None) => Ok(log),
        (None, None) => Ok(text),
    }
}

/// In a time that does not tell where they differ.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

fn mac(secret: &Secret, text: &str) -> String {
    const BLOCK: usize = 64;
    let mut key = secret.reveal().as_bytes().to_vec();
    if key.len() > BLOCK {
        key = sha256(&key).to_vec();
    }
    key.resize(BLOCK, 0);
    let padded = |with: u8| key.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let inner = sha256(&[&padded(0x36), text.as_bytes()].concat());
    base64url(&sha256(&[&padded(0x5c)[..], &inner].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_of_one_secret_and_one_text() {
        // RFC 4231, test case 2.
        let case_2 = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM";
        assert_eq!(mac(&Secret::new("Jefe"), "what do ya want for nothing?"), case_2);
        let (one, other) = (Secret::new("one"), Secret::new("another"));
        let sealed = seal("log\n".into(), Some(&one));
        assert_eq!(unseal(&sealed, Some(&one)), Ok("log\n"));
        assert_eq!(unseal(&sealed, None), Ok("log\n"));
        for broken in [sealed.replace("log", "lag"), sealed.replace(MARK, ""), "log\n".into(), String::new()] {
            assert_eq!(unseal(&broken, Some(&one)).unwrap_err().code, Code::Protocol, "{broken}");
        }
        assert!(unseal(&sealed, Some(&other)).is_err());
        assert_eq!(unseal("log\n", None), Ok("log\n"));
    }
}
