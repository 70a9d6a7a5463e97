//! Values of `Mcp-Name` and `Mcp-Param-*` headers ([MCP 2026-07-28, Streamable HTTP, "Value Encoding"]).
//!
//! [MCP 2026-07-28, Streamable HTTP, "Value Encoding"]: https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http#value-encoding

/// Encodes a value for a header: as it is when that is safe, else as `=?base64?…?=` of its UTF-8.
///
/// Also wraps a value that looks wrapped already, so that decoding is unambiguous, and one with blanks at its
/// ends, which HTTP would strip. The empty string stays empty: the header is present, its value is not.
///
/// ```
/// use edgewise::mcp::header_value::encode;
///
/// assert_eq!(encode("us-west1"), "us-west1");
/// assert_eq!(encode("Hello, 世界"), "=?base64?SGVsbG8sIOS4lueVjA==?=");
/// assert_eq!(encode("=?base64?literal?="), "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=");
/// ```
pub fn encode(value: &str) -> String {
    let plain = value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b));
    let padded = value.starts_with([' ', '\t']) || value.ends_with([' ', '\t']);
    let wrapped = value.starts_with("=?base64?") && value.ends_with("?=");
    if plain && !padded && !wrapped {
        return value.to_owned();
    }
    ["=?base64?", &base64(value.as_bytes()), "?="].concat()
}

/// Standard base64 with padding (RFC 4648, section 4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xFB, 0xFF, 0xFE]), "+//+");
    }

    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(encode(" padded "), "=?base64?IHBhZGRlZCA=?=");
        assert_eq!(encode("line1\nline2"), "=?base64?bGluZTEKbGluZTI=?=");
        assert_eq!(encode(""), "");
        assert_eq!(encode("a\tb c"), "a\tb c");
        assert_eq!(encode("\ta"), "=?base64?CWE=?=");
        assert_eq!(encode("=?base64?"), "=?base64?");
        assert_eq!(encode("a\u{7f}"), "=?base64?YX8=?=");
    }
}
