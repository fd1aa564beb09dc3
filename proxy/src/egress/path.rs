//! The path of a guest's request: parsed and judged, never pasted.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;

/// Longest path with its query, in bytes. Servers commonly refuse request lines beyond 8 KiB.
pub const MAX_PATH_BYTES: usize = 8 << 10;

/// A path and query that can only ever be below an upstream's base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestPath(String);

impl GuestPath {
    /// Judges a guest's text; the error says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_PATH_BYTES {
            return Err("it is too long");
        }
        if !text.starts_with('/') || text.starts_with("//") {
            return Err("it must start with exactly one `/`");
        }
        if !text.bytes().all(|b| matches!(b, 0x21..=0x7e)) {
            return Err("it holds a space, a control character or a byte outside ASCII: percent-encode it");
        }
        if text.contains(['#', '\\']) {
            return Err("it holds `#` or `\\`");
        }
        if text.parse::<PathAndQuery>().is_err() {
            return Err("it holds a character that must be percent-encoded");
        }
        let path = Self(text.to_owned());
        if path.segments().any(is_dot_segment) {
            return Err("it holds a `.` or `..` segment");
        }
        Ok(path)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments of the path, without the query, as written.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('?').next().unwrap_or_default().split('/').skip(1)
    }
}

/// Also when written with percent signs, or hidden behind an encoded slash.
fn is_dot_segment(segment: &str) -> bool {
    let decoded = Cow::<[u8]>::from(percent_decode_str(segment));
    // Servlet containers cut a segment at `;` before they look at it.
    let parts = decoded.split(|b| matches!(b, b'/' | b'\\')).map(|part| part.split(|b| *b == b';').next());
    parts.flatten().any(|part| part == b"." || part == b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_path_passes() {
        for good in ["/", "/a/b.json?q=x%20y&z=/../", "/services/data/v67.0/query?q=SELECT+Id", "/a@b:c"] {
            assert!(GuestPath::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn every_way_out_is_refused() {
        for bad in [
            "",
            "a",
            "//evil.example/x",
            "/a b",
            "/a\r\nHost: evil",
            "/a#b",
            "/a\\b",
            "/../admin",
            "/a/./b",
            "/%2e%2E/admin",
            "/a/%2e./b",
            "/a%2f..%2fb",
            "/a/..;/b",
            "/a/%2e%2e;x=y/b",
            "/ä",
        ] {
            assert!(GuestPath::parse(bad).is_err(), "{bad:?}");
        }
        assert!(GuestPath::parse(&format!("/{}", "a".repeat(MAX_PATH_BYTES))).is_err());
    }
}
