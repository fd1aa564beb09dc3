//! What an answer's standard headers say of limits: `Retry-After`, `RateLimit` and `RateLimit-Policy`.
//!
//! What a system's own headers mean is its connector's to say (`exchange.observe`).

use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;

use super::client::Answer;
use super::exchange::Exchange;
use super::sending::Sending;
use super::{Egress, Refusal};
use crate::policy::limit::{About, Observation};
use crate::policy::time::Moment;

/// Most items of a `RateLimit` field that are read: a system has a handful of policies.
const MAX_ITEMS: usize = 8;

/// What a `Retry-After` header asks for (RFC 9110 section 10.2.3): seconds or a date.
pub fn retry_after(header: &str) -> Option<Duration> {
    let text = header.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than can be counted is for ever.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = date.as_second().saturating_sub(jiff::Timestamp::now().as_second());
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}

/// What an answer says of one wall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Said {
    #[serde(default)]
    pub about: Scope,
    /// Length of the window in milliseconds; without it, the only window there.
    pub window_ms: Option<u64>,
    pub limit: Option<u64>,
    pub used: Option<u64>,
    pub remaining: Option<u64>,
    pub resets_in_ms: Option<u64>,
}

/// What a wall is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    Upstream,
    #[default]
    Operation,
    Resource,
}

impl Egress {
    /// Learns what the standard headers say.
    pub(super) fn learn(&self, sending: &Sending, answer: &Answer, sent_at: Moment) {
        if !answer.headers.contains_key("ratelimit") {
            return;
        }
        for mut said in rate_limits(&answer.headers) {
            let window = said.window_ms.map(Duration::from_millis);
            if window.is_some_and(|window| sending.account.has_wall_over(window)) {
                said.about = Scope::Upstream;
            }
            learn(sending, said, sent_at);
        }
    }
}

/// Most bytes of what a connector says of limits: eight objects, with room.
const MAX_OBSERVED_BYTES: usize = 8 << 10;

/// Learns what the connector read out of an answer's own headers.
pub fn observe(exchange: &Exchange, json: &str) -> Result<(), Refusal> {
    let refuse = |why: String| Refusal::new("observe", why);
    if json.len() > MAX_OBSERVED_BYTES {
        return Err(refuse(format!("more than {MAX_OBSERVED_BYTES} bytes about limits")));
    }
    let said: Vec<Said> =
        serde_json::from_str(json).map_err(|e| refuse(format!("no list of limits: {e}")))?;
    if said.len() > MAX_ITEMS {
        return Err(refuse(format!("{} limits; at most {MAX_ITEMS}", said.len())));
    }
    let sent_at = exchange.sent_at().ok_or_else(|| refuse("limits after the verdict".to_owned()))?;
    said.into_iter().for_each(|said| learn(&exchange.sending, said, sent_at));
    Ok(())
}

/// Tells the limiter. A word about more than we know of makes walls stricter, never looser.
pub(super) fn learn(sending: &Sending, said: Said, asked_at: Moment) {
    let (account, asks) = (&sending.account, &sending.asks);
    let operation: &str = &asks.operation;
    let about = match (said.about, asks.resource.as_deref()) {
        (Scope::Upstream, _) => About::Upstream,
        (Scope::Resource, Some(resource)) => About::Resource { operation, resource },
        (Scope::Operation | Scope::Resource, _) => About::Operation(operation),
    };
    let now = account.clock().now().mono;
    account.learn(&Observation {
        about,
        window: said.window_ms.map(Duration::from_millis),
        limit: said.limit,
        remaining: said.remaining,
        used: said.used,
        resets_at: said.resets_in_ms.map(|wait| now + Duration::from_millis(wait)),
        asked_at,
    });
}

/// `RateLimit: "name";r=REMAINING;t=SECONDS`, with limit and window from the policy of that name: `RateLimit-Policy: "name";q=LIMIT;w=SECONDS`.
fn rate_limits(headers: &HeaderMap) -> Vec<Said> {
    let policies = items(headers, "ratelimit-policy");
    let limit = |item: Item<'_>| {
        let policy = policies.iter().find(|policy| policy.name == item.name);
        let of_policy = |key| policy.and_then(|policy| policy.number(key));
        Said {
            window_ms: of_policy("w").map(|seconds| seconds.saturating_mul(1000)),
            limit: of_policy("q"),
            remaining: item.number("r"),
            resets_in_ms: item.number("t").map(|seconds| seconds.saturating_mul(1000)),
            ..Said::default()
        }
    };
    items(headers, "ratelimit").into_iter().map(limit).filter(|said| said.remaining.is_some()).collect()
}

/// An item of a structured field's list: a name and parameters.
struct Item<'a> {
    name: &'a str,
    parameters: &'a str,
}

impl Item<'_> {
    /// A parameter that is a whole number.
    fn number(&self, key: &str) -> Option<u64> {
        let parameter = |text: &str| {
            let (name, value) = text.trim().split_once('=')?;
            (name == key).then(|| value.parse().ok())?
        };
        self.parameters.split(';').find_map(parameter)
    }
}

fn items<'a>(headers: &'a HeaderMap, name: &str) -> Vec<Item<'a>> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    let items = lines.flat_map(|line| line.split(',')).take(MAX_ITEMS).map(|item| {
        let (name, parameters) = item.trim().split_once(';').unwrap_or((item.trim(), ""));
        Item { name: name.trim().trim_matches('"'), parameters }
    });
    items.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("30"), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
        assert_eq!((retry_after("soon"), retry_after("+5"), retry_after("")), (None, None, None));
    }

    #[test]
    fn the_standard_headers_say_what_is_left_of_which_window() {
        let mut headers = HeaderMap::new();
        headers.insert("ratelimit-policy", "\"burst\";q=100;w=60, \"daily\";q=1000;w=86400".parse().unwrap());
        headers.insert("ratelimit", "\"burst\";r=50;t=30".parse().unwrap());
        headers.append("ratelimit", "\"daily\";r=7".parse().unwrap());
        headers.append("ratelimit", "\"odd\";x=7".parse().unwrap());
        let burst = Said {
            window_ms: Some(60_000),
            limit: Some(100),
            remaining: Some(50),
            resets_in_ms: Some(30_000),
            ..Said::default()
        };
        let daily =
            Said { window_ms: Some(86_400_000), limit: Some(1000), remaining: Some(7), ..Said::default() };
        assert_eq!(rate_limits(&headers), [burst, daily]);
    }
}
