//! HTTP requests and answers as plain data.

use std::fmt;

/// Request methods in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// DELETE
    Delete,
    /// A GET whose answer nobody may read: a page learns whether somebody is there, whatever CORS says.
    Knock,
}

impl Method {
    /// Upper-case name, as it goes on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get | Method::Knock => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }

    /// The method of that upper-case name.
    pub fn parse(name: &str) -> Option<Method> {
        [Method::Get, Method::Post, Method::Delete].into_iter().find(|method| method.as_str() == name)
    }
}

/// Header fields in order; names compare without regard to ASCII case.
///
/// `Debug` shows the values of credentials as `***`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// No fields.
    pub const fn new() -> Headers {
        Headers(Vec::new())
    }

    /// First value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Sets the field, replacing every earlier one of that name.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.0.push((name.to_owned(), value.into()));
    }

    /// Adds a field beside any earlier one of that name.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// Every field in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(key, value)| (key, if is_secret(key) { "***" } else { value }));
        f.debug_map().entries(shown).finish()
    }
}

/// Header names whose values are never shown. Apps choose names freely, so anything that sounds like a
/// credential counts.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "key", "token", "cookie", "secret"].iter().any(|word| name.contains(word))
}

/// One request, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Absolute URL, or one that the platform resolves against its own location (pages: `/llm/v1/messages`), or
    /// `transport:7` for what the app's function 7 does in place of a network.
    pub url: String,
    /// Fields beyond those the platform adds.
    pub headers: Headers,
    /// Body, if any; always UTF-8 in this crate, and JSON but for requests for tokens.
    pub body: Option<String>,
}

/// Scheme of the URLs that stand for a function of the app.
pub const TRANSPORT: &str = "transport:";

impl Request {
    /// Number of the app's function that answers this request in place of a network.
    pub fn function(&self) -> Option<u32> {
        self.url.strip_prefix(TRANSPORT)?.parse().ok()
    }

    /// False for a form: that is a request for a token, and its body holds what opens one. Whoever redirects it would
    /// pass that on; `fetch` drops only `Authorization` on the way to another origin. The redirect itself is then the
    /// answer (status 300 to 399, or 0 where the platform hides it).
    pub fn follows_redirects(&self) -> bool {
        self.headers.get("content-type") != Some("application/x-www-form-urlencoded")
    }

    /// Where an answer sends this request, if it may be sent there as it is, token and all: by a status that keeps
    /// method and body (307, 308), and within its origin. `None` for every other answer.
    pub fn redirected(&self, head: &Head) -> Option<String> {
        if !matches!(head.status, 307 | 308) || !self.follows_redirects() {
            return None;
        }
        let to = head.headers.get("location")?;
        let scheme = self.url.find("://")? + 3;
        let end = self.url[scheme..].find(['/', '?']).map_or(self.url.len(), |end| scheme + end);
        let origin = &self.url[..end];
        if to.starts_with('/') && !to.starts_with("//") && !to.contains('\\') {
            return Some([origin, to].concat());
        }
        to.strip_prefix(origin)?.starts_with(['/', '?']).then(|| to.to_owned())
    }
}

/// Status and fields of an answer whose body is still to come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Status code, 200 to 599.
    pub status: u16,
    /// Fields that the platform lets us see; in browsers CORS hides most.
    pub headers: Headers,
}

impl Head {
    /// True for 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Media type in lower case without parameters, or an empty string.
    pub fn media_type(&self) -> String {
        let value = self.headers.get("content-type").unwrap_or("");
        value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
    }
}

/// The wait that a `Retry-After` field asks for: seconds, or a date (RFC 9110, 10.2.3). `None` for absent or malformed, and
/// for a date where the answer does not say by its `Date` what time it is there: our clock may be another one.
///
/// Also reads `retry-after-ms`, which is finer.
pub fn retry_after(headers: &Headers) -> Option<crate::time::Millis> {
    if let Some(ms) = headers.get("retry-after-ms").and_then(thousandths) {
        return Some(crate::time::Millis(ms / 1000));
    }
    let told = headers.get("retry-after")?;
    thousandths(told).map(crate::time::Millis).or_else(|| {
        let seconds = date(told)?.saturating_sub(date(headers.get("date")?)?);
        Some(crate::time::Millis(seconds * 1000))
    })
}

/// Seconds since 1970 of a date such as `Wed, 21 Oct 2026 07:28:00 GMT` (RFC 9110, 5.6.7, "IMF-fixdate"); `None` for one before,
/// and for anything else.
fn date(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.trim().strip_suffix(" GMT")?.split([' ', ':']).skip(1);
    let mut number = |least: u64, most: u64| -> Option<u64> {
        let value = thousandths(words.next()?)? / 1000;
        (least..=most).contains(&value).then_some(value)
    };
    let day = number(1, 31)?;
    let name = words.next().filter(|name| name.len() == 3)?;
    let month = MONTHS.find(name).filter(|at| at % 3 == 0)? as u64 / 3;
    let mut number = |least: u64, most: u64| -> Option<u64> {
        let value = thousandths(words.next()?)? / 1000;
        (least..=most).contains(&value).then_some(value)
    };
    let (year, hour, minute, second) = (number(1970, 9999)?, number(0, 23)?, number(0, 59)?, number(0, 60)?);
    // Years from March on, so that the leap day is the last one.
    let (from_march, year) = ((month + 10) % 12, year - u64::from(month < 2));
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (from_march * 153 + 2) / 5 + day - 1;
    Some((days.checked_sub(719_468)?) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// A number such as `30` or `0.25`, in thousandths; further digits are cut. `None` for a sign, an exponent, or a number
/// that is too large.
///
/// By hand, because the tables of the standard library's reader of floats would be 10 kB of the wasm.
pub(crate) fn thousandths(text: &str) -> Option<u64> {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if (whole.is_empty() && part.is_empty()) || !whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = part.bytes().chain([b'0'; 3]).take(3);
    whole.bytes().chain(digits).try_fold(0_u64, |sum, b| sum.checked_mul(10)?.checked_add(u64::from(b - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;

    #[test]
    fn names_compare_without_case() {
        let mut headers = Headers::new();
        headers.set("Content-Type", "text/plain");
        headers.set("content-type", "application/json; charset=utf-8");
        assert_eq!(headers.iter().count(), 1);
        let head = Head { status: 200, headers };
        assert_eq!(head.media_type(), "application/json");
    }

    #[test]
    fn debug_hides_credentials() {
        let mut headers = Headers::new();
        headers.set("Authorization", "Bearer sk-very-secret");
        headers.set("x-api-key", "sk-very-secret");
        headers.set("accept", "text/event-stream");
        let shown = format!("{headers:?}");
        assert!(!shown.contains("very-secret"), "{shown}");
        assert!(shown.contains("text/event-stream"));
    }

    #[test]
    fn a_token_stays_with_its_origin() {
        let request =
            |url: &str| Request { method: Method::Post, url: url.to_owned(), headers: Headers::new(), body: None };
        let to = |status, location: &str| {
            let mut head = Head { status, ..Head::default() };
            head.headers.set("Location", location);
            request("https://a.test/mcp?x=1").redirected(&head)
        };
        assert_eq!(to(307, "/mcp/").as_deref(), Some("https://a.test/mcp/"));
        assert_eq!(to(308, "https://a.test/v2?y=2").as_deref(), Some("https://a.test/v2?y=2"));
        for elsewhere in [
            "https://b.test/mcp",
            "http://a.test/mcp",
            "https://a.test.evil.test/",
            "https://a.test@evil.test/",
            "//evil.test/",
            "/\\evil.test",
            "https://a.test:8443/mcp",
            "mcp/",
            "",
        ] {
            assert_eq!(to(307, elsewhere), None, "{elsewhere}");
        }
        for status in [200, 301, 302, 303, 304, 401] {
            assert_eq!(to(status, "/mcp/"), None, "{status}");
        }
        let mut form = request("https://a.test/token");
        form.headers.set("Content-Type", "application/x-www-form-urlencoded");
        let mut head = Head { status: 307, ..Head::default() };
        head.headers.set("Location", "/elsewhere");
        assert_eq!(form.redirected(&head), None);
    }

    #[test]
    fn forms_are_not_redirected() {
        let follows = |media: &str| {
            let mut headers = Headers::new();
            headers.set("Content-Type", media);
            Request { method: Method::Post, url: "/x".into(), headers, body: None }.follows_redirects()
        };
        assert!(follows("application/json"));
        assert!(!follows("application/x-www-form-urlencoded"));
    }

    #[test]
    fn a_date_to_come_back_at_is_compared_with_the_servers_own_clock() {
        assert_eq!(date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(date("Wed, 21 Oct 2026 07:28:00 GMT"), Some(1_792_567_680));
        assert_eq!(date("Thu, 29 Feb 2024 23:59:60 GMT"), Some(1_709_251_200));
        assert_eq!(date("Fri, 01 Mar 2024 00:00:00 GMT"), Some(1_709_251_200));
        assert_eq!(date("Tue, 01 Mar 2100 00:00:00 GMT"), Some(4_107_542_400));
        for odd in [
            "",
            "GMT",
            " GMT",
            "Wed, 21 Oct 2026 07:28:00",
            "Wed, 32 Oct 2026 07:28:00 GMT",
            "Wed, 21 ctN 2026 07:28:00 GMT",
            "Wed, 21 Oct 1969 07:28:00 GMT",
            "Wed, 21 Oct 2026 07:28 GMT",
            "Wed, 21 Oct 2026 -7:28:00 GMT",
            "Wednesday, 21-Oct-26 07:28:00 GMT",
        ] {
            assert_eq!(date(odd), None, "{odd}");
        }
        let wait = |told: &str, now: &str| {
            let mut headers = Headers::new();
            headers.set("Retry-After", told);
            headers.set("Date", now);
            retry_after(&headers)
        };
        let (now, later) = ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:07 GMT");
        assert_eq!(wait(later, now), Some(Millis(7000)));
        assert_eq!((wait(now, later), wait(later, "yesterday")), (Some(Millis(0)), None));
    }

    #[test]
    fn retry_after_is_read_in_seconds_or_milliseconds() {
        let with = |name: &str, value: &str| {
            let mut headers = Headers::new();
            headers.set(name, value);
            retry_after(&headers)
        };
        assert_eq!(with("Retry-After", "2"), Some(Millis(2000)));
        assert_eq!(with("retry-after", "0.5"), Some(Millis(500)));
        assert_eq!(with("retry-after-ms", "120"), Some(Millis(120)));
        assert_eq!(with("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(with("Retry-After", "-1"), None);
        assert_eq!(with("Retry-After", "NaN"), None);
    }
}
