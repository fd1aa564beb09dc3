//! What a connector sees of the answer to a login: what it needs to know that the login succeeded, for how long, for what and where; and why it failed.
//! Everything else may be a secret, under whatever name, and can only be captured.

use http::StatusCode;
use serde_json::Value;

use super::exchange::MAX_CAPTURED_BYTES;
use super::scrub::{REDACTED, Scrubber};
use crate::credential::SecretValue;

/// Members whose text and numbers are shown: those of RFC 6749, 7662, 8693 and 9457, and what systems write in their places. Compared in lower case
/// and without `_`, `-` and `.`.
const SHOWN_MEMBERS: [&str; 37] = [
    "detail",
    "details",
    "error",
    "errorcode",
    "errorcodes",
    "errordescription",
    "errormessage",
    "errors",
    "errorsummary",
    "erroruri",
    "exp",
    "expires",
    "expiresat",
    "expiresin",
    "expiresinseconds",
    "expiry",
    "extexpiresin",
    "iat",
    "interval",
    "issuedat",
    "issuedtokentype",
    "leaseduration",
    "message",
    "needed",
    "notbefore",
    "provided",
    "refreshexpiresin",
    "refreshtokenexpiresin",
    "scope",
    "scopes",
    "status",
    "title",
    "tokentype",
    "ttl",
    "type",
    "warning",
    "xrefreshtokenexpiresin",
];

/// The same where the answer is a refusal. Where it is not, this is what a session is traded for.
const SHOWN_IN_A_REFUSAL: [&str; 2] = ["code", "reason"];

/// Ends of the names of members that say where a system is. An address there is shown if there is no room in it for a secret.
const PLACES: [&str; 5] = ["url", "uri", "host", "domain", "endpoint"];

/// Longest path of an address that is shown, in bytes: shorter than any token.
const MAX_SHOWN_PATH_BYTES: usize = 16;

/// Ends of the names of members that are secrets: whatever else repeats them is scrubbed.
const TOKENS: [&str; 11] = [
    "token",
    "jwt",
    "assertion",
    "secret",
    "password",
    "key",
    "sessionid",
    "sid",
    "code",
    "ticket",
    "cookie",
];

/// Most hidden tokens that are looked for elsewhere in the answer too; a login brings three.
const MAX_HIDDEN_SCRUBBED: usize = 16;

/// Headers that are shown: when to come again, what was allowed, whom to ask.
const SHOWN_HEADERS: [&str; 6] =
    ["content-type", "date", "retry-after", "x-request-id", "x-oauth-scopes", "x-accepted-oauth-scopes"];

/// Begins of the names of headers that tell of walls.
const WALL_HEADERS: [&str; 3] = ["ratelimit", "x-ratelimit-", "x-rate-limit-"];

/// Whether a login's answer shows that header, which is named in lower case.
pub fn shows_header(name: &str) -> bool {
    SHOWN_HEADERS.contains(&name) || WALL_HEADERS.iter().any(|start| name.starts_with(start))
}

/// Hides all text and numbers that are not known to be harmless. `scrubber` learns the tokens among them.
pub fn hide(body: &mut Value, status: StatusCode, scrubber: &mut Scrubber) {
    let refused = status.is_client_error() || status.is_server_error();
    Hiding { refused, scrubber, found: 0 }.hide(body, Member::Hidden);
}

/// What the name of a member says of its value.
#[derive(Clone, Copy)]
enum Member {
    Shown,
    Place,
    Hidden,
    Token,
}

struct Hiding<'a> {
    refused: bool,
    scrubber: &'a mut Scrubber,
    found: usize,
}

impl Hiding<'_> {
    /// Items of an array are what the array is called; members of an object what they are called.
    fn hide(&mut self, value: &mut Value, named: Member) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let named = self.named(name);
                    self.hide(member, named);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide(item, named)),
            Value::String(text) => {
                if !is_shown(named, text) {
                    let hidden = std::mem::replace(text, REDACTED.to_owned());
                    self.learn(hidden, named);
                }
            }
            Value::Number(_) if !matches!(named, Member::Shown) => *value = REDACTED.into(),
            Value::Number(_) | Value::Bool(_) | Value::Null => {}
        }
    }

    fn named(&self, name: &str) -> Member {
        let plain: String =
            name.chars().filter(|c| !matches!(c, '_' | '-' | '.')).map(|c| c.to_ascii_lowercase()).collect();
        let shown = SHOWN_MEMBERS.contains(&plain.as_str())
            || (self.refused && SHOWN_IN_A_REFUSAL.contains(&plain.as_str()));
        match plain.as_str() {
            _ if shown => Member::Shown,
            plain if PLACES.iter().any(|end| plain.ends_with(end)) => Member::Place,
            plain if TOKENS.iter().any(|end| plain.ends_with(end)) => Member::Token,
            _ => Member::Hidden,
        }
    }

    fn learn(&mut self, hidden: String, named: Member) {
        let is_token = matches!(named, Member::Token) && hidden.len() <= MAX_CAPTURED_BYTES;
        if is_token && self.found < MAX_HIDDEN_SCRUBBED {
            self.found += 1;
            self.scrubber.add(&SecretValue::new(hidden.into_bytes()));
        }
    }
}

fn is_shown(named: Member, text: &str) -> bool {
    match named {
        Member::Shown => true,
        Member::Place => is_plain_address(text),
        Member::Hidden | Member::Token => false,
    }
}

/// Scheme, host and port, and no more of a path than where a system's interface begins.
fn is_plain_address(text: &str) -> bool {
    let Ok(url) = text.parse::<http::Uri>() else { return false };
    let has_user = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let is_web = matches!(url.scheme_str(), Some("https" | "http"));
    is_web
        && !has_user
        && url.query().is_none()
        && !text.contains('#')
        && url.path().len() <= MAX_SHOWN_PATH_BYTES
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(mut body: Value, status: u16) -> Value {
        hide(&mut body, StatusCode::from_u16(status).unwrap(), &mut Scrubber::default());
        body
    }

    #[test]
    fn what_logins_need_is_shown() {
        for plain in [
            json!({ "expires_in": 3600, "token_type": "Bearer", "scope": "a b", "ok": true, "x": null }),
            json!({ "instance_url": "https://acme.my.salesforce.com", "api_url": "https://a.example:8443/api/v2" }),
            json!({ "expires_in": "3600", "x_refresh_token_expires_in": 8_726_400, "scopes": ["a", "b"] }),
            json!({ "ok": false, "error": "invalid_refresh_token", "errors": ["no"], "error_codes": [7] }),
        ] {
            assert_eq!(shown(plain.clone(), 200), plain);
        }
        let refusal = json!({ "error": "invalid_grant", "code": "e-17", "error_description": "too old" });
        assert_eq!(shown(refusal.clone(), 400), refusal);
        assert_eq!(shown(refusal, 200)["code"], REDACTED);
    }

    #[test]
    fn the_interface_says_what_is_shown() {
        let said = include_str!("../../../wit/http.wit").replace('_', "");
        let members = SHOWN_MEMBERS.iter().chain(&SHOWN_IN_A_REFUSAL).chain(&PLACES);
        for name in members.chain(&SHOWN_HEADERS).chain(&WALL_HEADERS) {
            assert!(said.contains(&format!("`{name}`")), "{name}");
        }
        assert!(said.contains(&format!("at most {MAX_SHOWN_PATH_BYTES} bytes")));
    }

    #[test]
    fn everything_else_is_hidden_whatever_it_is_called() {
        for (body, pointer) in [
            (json!({ "auth": { "client_token": "hvs.1" } }), "/auth/client_token"),
            (json!({ "sessionToken": "t" }), "/sessionToken"),
            (json!({ "auth_token": "t" }), "/auth_token"),
            (json!({ "x": ["t"] }), "/x/0"),
            (json!(["t"]), "/0"),
            (json!("t"), ""),
            (json!({ "scope": { "of": "t" } }), "/scope/of"),
            (json!({ "url": "https://hooks.example/services/T0/B0/s3cr3t" }), "/url"),
            (json!({ "login_url": "https://a.example/?sid=1" }), "/login_url"),
            (json!({ "login_uri": "https://me:t@a.example/" }), "/login_uri"),
            (json!({ "domain": "t" }), "/domain"),
            (json!({ "pin": 123_456 }), "/pin"),
        ] {
            assert_eq!(shown(body, 200).pointer(pointer).unwrap(), REDACTED, "{pointer}");
        }
    }

    #[test]
    fn a_token_that_is_repeated_is_known() {
        let mut scrubber = Scrubber::default();
        let mut body = json!({ "auth_token": "t0k3n-of-some-length" });
        hide(&mut body, StatusCode::OK, &mut scrubber);
        assert!(scrubber.scrub(b"see t0k3n-of-some-length").is_some());
    }

    #[test]
    fn of_headers_only_the_harmless_are_shown() {
        for (name, is_shown) in [
            ("retry-after", true),
            ("x-ratelimit-reset", true),
            ("set-cookie", false),
            ("x-auth-token", false),
            ("location", false),
        ] {
            assert_eq!(shows_header(name), is_shown, "{name}");
        }
    }
}
