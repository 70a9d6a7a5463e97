//! Where a run stands in somebody else's trace: `traceparent` and its companions ([W3C Trace Context]), carried in the
//! `_meta` of MCP requests without a prefix ([MCP, SEP-414]).
//!
//! [W3C Trace Context]: https://www.w3.org/TR/trace-context/
//! [MCP, SEP-414]: https://modelcontextprotocol.io/community/seps/414-request-meta

/// What a valid `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent<'a> {
    /// Id of the trace: 32 hexadecimal digits.
    pub trace: &'a str,
    /// Id of the span that is the parent: 16 hexadecimal digits.
    pub span: &'a str,
    /// Two hexadecimal digits; the last bit says that somebody records the trace.
    pub flags: &'a str,
}

impl<'a> TraceParent<'a> {
    /// Reads the header's text; `None` for what is no valid one, and the trace then begins anew.
    pub fn read(text: &'a str) -> Option<TraceParent<'a>> {
        let mut pieces = text.split('-');
        let [version, trace, span, flags] = [pieces.next()?, pieces.next()?, pieces.next()?, pieces.next()?];
        let hex = |piece: &str, len: usize| {
            piece.len() == len && piece.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let zero = |piece: &str| piece.bytes().all(|byte| byte == b'0');
        let whole = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
        // Later versions may append further pieces, this one has none; `ff` is no version.
        let ends = version != "00" || pieces.next().is_none();
        (whole && ends && version != "ff" && !zero(trace) && !zero(span)).then_some(TraceParent { trace, span, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn what_is_a_traceparent() {
        let text = format!("00-{TRACE}-b7ad6b7169203331-01");
        let wanted = TraceParent { trace: TRACE, span: "b7ad6b7169203331", flags: "01" };
        assert_eq!(TraceParent::read(&text), Some(wanted));
        let later = format!("cc-{TRACE}-b7ad6b7169203331-01-what-comes-later");
        assert_eq!(TraceParent::read(&later), Some(wanted));
    }

    #[test]
    fn what_is_none() {
        for text in [
            String::new(),
            "00".into(),
            format!("00-{TRACE}-b7ad6b7169203331-01-more"),
            format!("ff-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}-b7ad6b716920333-01"),
            format!("00-{TRACE}-b7ad6b7169203331-1"),
        ] {
            assert_eq!(TraceParent::read(&text), None, "{text}");
        }
    }
}
