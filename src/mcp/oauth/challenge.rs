//! `WWW-Authenticate`: what a server says when it refuses credentials ([RFC 9110, section 11.6.1]).
//!
//! [RFC 9110, section 11.6.1]: https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1

use crate::http::Headers;

/// Longest field that is looked at; the rest is ignored.
const MAX_FIELD: usize = 16 << 10;

/// Most challenges in a field, and parameters in a challenge.
const MAX_PARTS: usize = 32;

/// One challenge: a scheme and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// In lower case: `bearer`, `dpop`, `basic`.
    pub scheme: String,
    /// Names in lower case, values unquoted. Of a name that comes twice, the first counts.
    params: Vec<(String, String)>,
}

impl Challenge {
    /// Every challenge of a field, in order.
    ///
    /// Total: what cannot be read is skipped, an open quote ends with the field.
    ///
    /// ```
    /// # use edgewise::mcp::oauth::Challenge;
    /// let field = r#"Basic realm="x, y", Bearer error="insufficient_scope", scope="files:write""#;
    /// let challenges = Challenge::parse(field);
    /// assert_eq!(challenges[1].scheme, "bearer");
    /// assert_eq!(challenges[1].get("scope"), Some("files:write"));
    /// ```
    pub fn parse(field: &str) -> Vec<Challenge> {
        let field = field.as_bytes();
        let mut reader = Reader { rest: &field[..field.len().min(MAX_FIELD)] };
        let mut challenges: Vec<Challenge> = Vec::new();
        while reader.skip_separators() {
            if let Some((name, value)) = reader.param() {
                // A parameter before any scheme belongs to nothing.
                if let Some(challenge) = challenges.last_mut() {
                    challenge.add(name, value);
                }
            } else if let Some(scheme) = reader.token() {
                if challenges.len() == MAX_PARTS {
                    break;
                }
                challenges.push(Challenge { scheme, params: Vec::new() });
                reader.skip_token68();
            } else {
                reader.skip(1);
            }
        }
        challenges
    }

    /// The value of a parameter, by its lower-case name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    fn add(&mut self, name: String, value: String) {
        if self.params.len() < MAX_PARTS && self.get(&name).is_none() {
            self.params.push((name, value));
        }
    }
}

/// What a server said when it refused a request for its credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// 401 or 403.
    pub status: u16,
    /// Where the server's metadata is, if it says so.
    pub resource_metadata: Option<String>,
    /// Scopes that this request needs.
    pub scopes: Option<Vec<String>>,
    /// Such as `invalid_token` or `insufficient_scope`.
    pub error: Option<String>,
    /// A nonce that the next DPoP proof has to carry.
    pub dpop_nonce: Option<String>,
}

impl Refusal {
    /// Reads a refusal off status and headers; `None` for any other status.
    ///
    /// In a page the headers are mostly hidden: then only the status is known, and discovery goes by well-known
    /// addresses.
    pub fn read(status: u16, headers: &Headers) -> Option<Refusal> {
        if status != 401 && status != 403 {
            return None;
        }
        let fields: Vec<&str> =
            headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate")).map(|(_, v)| v).collect();
        let mut challenges = Challenge::parse(&fields.join(", "));
        challenges.retain(|challenge| challenge.scheme == "bearer" || challenge.scheme == "dpop");
        let challenge = challenges.iter().find(|challenge| challenge.scheme == "bearer").or(challenges.first());
        let get = |name: &str| challenge.and_then(|challenge| challenge.get(name)).filter(|value| !value.is_empty());
        // Servers that support both schemes may say only in one of them that they want a nonce.
        let nonce = challenges.iter().find(|challenge| challenge.get("error") == Some("use_dpop_nonce"));
        Some(Refusal {
            status,
            resource_metadata: get("resource_metadata").map(str::to_owned),
            scopes: get("scope").map(super::scope::split),
            error: nonce.and_then(|challenge| challenge.get("error")).or(get("error")).map(str::to_owned),
            dpop_nonce: headers.get("dpop-nonce").map(str::to_owned),
        })
    }

    /// True when the token is good but does not suffice.
    pub fn is_insufficient_scope(&self) -> bool {
        self.status == 403 && self.error.as_deref() == Some("insufficient_scope")
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

impl<'a> Reader<'a> {
    fn skip(&mut self, count: usize) {
        self.rest = &self.rest[count.min(self.rest.len())..];
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|b| !wanted(*b)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// False at the end.
    fn skip_separators(&mut self) -> bool {
        self.take_while(|b| is_blank(b) || b == b',');
        !self.rest.is_empty()
    }

    fn token(&mut self) -> Option<String> {
        let token = self.take_while(is_tchar);
        // Only ASCII got through.
        (!token.is_empty()).then(|| String::from_utf8_lossy(token).to_ascii_lowercase())
    }

    /// `name = value`; takes nothing when something else comes.
    fn param(&mut self) -> Option<(String, String)> {
        let before = self.rest;
        let read = self.read_param();
        if read.is_none() {
            self.rest = before;
        }
        read
    }

    fn read_param(&mut self) -> Option<(String, String)> {
        let name = self.token()?;
        self.take_while(is_blank);
        if self.rest.first() != Some(&b'=') {
            return None;
        }
        self.skip(1);
        self.take_while(is_blank);
        match self.rest.first() {
            Some(b'"') => {
                self.skip(1);
                Some((name, self.quoted()))
            }
            // Unquoted values hold more than the grammar allows, URLs for instance.
            Some(byte) if *byte != b'=' && *byte != b',' => {
                let value = self.take_while(|b| !is_blank(b) && b != b',');
                Some((name, String::from_utf8_lossy(value).into_owned()))
            }
            _ => None,
        }
    }

    /// The rest of a quoted string; its end, or the end of the field, is taken too.
    fn quoted(&mut self) -> String {
        let mut value = Vec::new();
        while let Some((byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'"' => break,
                b'\\' => {
                    value.extend(rest.first());
                    self.skip(1);
                }
                byte => value.push(*byte),
            }
        }
        String::from_utf8_lossy(&value).into_owned()
    }

    /// Skips the single value that schemes such as `Negotiate` have instead of parameters.
    fn skip_token68(&mut self) {
        let before = self.rest;
        self.take_while(is_blank);
        let value = self.take_while(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b));
        self.take_while(|b| b == b'=');
        let ends = self.rest.first().is_none_or(|b| *b == b',')
            || (self.rest.iter().copied().find(|b| !is_blank(*b)).is_none_or(|b| b == b','));
        if value.is_empty() || !ends {
            self.rest = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(field: &str) -> Challenge {
        let mut challenges = Challenge::parse(field);
        assert_eq!(challenges.len(), 1, "{field}: {challenges:?}");
        challenges.remove(0)
    }

    #[test]
    fn reads_the_examples_of_the_specification() {
        let challenge = one(
            "Bearer resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource\",\n                         scope=\"files:read\"",
        );
        assert_eq!(
            challenge.get("resource_metadata"),
            Some("https://mcp.example.com/.well-known/oauth-protected-resource")
        );
        let challenge = one("Bearer error=\"insufficient_scope\", scope=\"a b\", error_description=\"x \\\"y\\\", z\"");
        assert_eq!(challenge.get("scope"), Some("a b"));
        assert_eq!(challenge.get("error_description"), Some("x \"y\", z"));
    }

    #[test]
    fn reads_several_challenges_of_one_field() {
        let field = "Negotiate YWJj==, Basic realm=\"a, Bearer scope=x\",Bearer , DPoP algs=\"ES256\" , scope=read";
        let challenges = Challenge::parse(field);
        let schemes: Vec<&str> = challenges.iter().map(|c| c.scheme.as_str()).collect();
        assert_eq!(schemes, ["negotiate", "basic", "bearer", "dpop"]);
        assert_eq!(challenges[1].get("realm"), Some("a, Bearer scope=x"));
        assert_eq!(challenges[2].get("scope"), None);
        assert_eq!((challenges[3].get("algs"), challenges[3].get("scope")), (Some("ES256"), Some("read")));
    }

    #[test]
    fn reads_what_real_servers_send() {
        let challenge = one("bearer realm = x , SCOPE=a:b,scope=second, resource_metadata=https://a.test/x?y=1");
        assert_eq!((challenge.get("realm"), challenge.get("scope")), (Some("x"), Some("a:b")));
        assert_eq!(challenge.get("resource_metadata"), Some("https://a.test/x?y=1"));
        assert_eq!(one("Bearer").params, []);
        assert_eq!(one("Bearer scope=\"open").get("scope"), Some("open"));
        assert_eq!(one("Bearer scope=\"\\").get("scope"), Some(""));
    }

    #[test]
    fn hostile_fields_end_and_stay_small() {
        for field in ["=", "\"\"\"", ",,,;;;", "Bearer =x", "\u{0}\u{7f}é", "a=b", "Bearer \"x\"=y", "Basic ==="] {
            let _ = Challenge::parse(field);
        }
        assert_eq!(Challenge::parse("a=b, c=d"), []);
        let many = "x,".repeat(10_000);
        assert_eq!(Challenge::parse(&many).len(), MAX_PARTS);
        let wide: String = (0..2_000).map(|n| format!("p{n}=1,")).collect();
        assert_eq!(one(&format!("Bearer {wide}")).params.len(), MAX_PARTS);
        let mut seed = 7_u32;
        for _ in 0..2_000 {
            let next = |seed: &mut u32| {
                *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b"Bearer =\",\\scope DPoP\tx=;"[(*seed >> 16) as usize % 25]
            };
            let field: Vec<u8> = (0..40).map(|_| next(&mut seed)).collect();
            for challenge in Challenge::parse(std::str::from_utf8(&field).unwrap()) {
                assert!(!challenge.scheme.is_empty() && challenge.params.len() <= MAX_PARTS);
            }
        }
    }

    #[test]
    fn a_refusal_prefers_bearer_and_survives_hidden_headers() {
        let mut headers = Headers::new();
        assert_eq!(Refusal::read(401, &headers), Some(Refusal { status: 401, ..Refusal::default() }));
        assert_eq!(Refusal::read(500, &headers), None);
        headers.push("WWW-Authenticate", "DPoP algs=\"ES256\", scope=\"d\"");
        headers.push("www-authenticate", "Bearer error=\"insufficient_scope\", scope=\"a  b a\"");
        let refusal = Refusal::read(403, &headers).unwrap();
        assert_eq!(refusal.scopes, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert!(refusal.is_insufficient_scope());
        assert!(!Refusal::read(401, &headers).unwrap().is_insufficient_scope());
        headers.push("www-authenticate", "DPoP error=\"use_dpop_nonce\"");
        headers.set("DPoP-Nonce", "n1");
        let refusal = Refusal::read(401, &headers).unwrap();
        assert_eq!((refusal.error.as_deref(), refusal.dpop_nonce.as_deref()), (Some("use_dpop_nonce"), Some("n1")));
        let mut headers = Headers::new();
        headers.set("WWW-Authenticate", "Digest error=use_dpop_nonce, scope=x");
        assert_eq!(Refusal::read(401, &headers), Some(Refusal { status: 401, ..Refusal::default() }), "not for us");
    }
}
