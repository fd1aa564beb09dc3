//! What an answer says of the system's limits, in headers of the system's own.

use std::time::Duration;

use serde::Serialize;

use crate::fault::millis;
use crate::response::Response;

/// The connector's function that reads an answer for the limits that it tells of.
pub type Observe = fn(&Response) -> Vec<Limit>;

/// What an answer says of one wall. It makes walls stricter and never looser: somebody else may use the same quota.
///
/// ```
/// use std::time::Duration;
///
/// use ferrata_sdk::prelude::*;
///
/// /// `Desk-Usage: 10018/100000`, over 24 hours, for the whole account.
/// fn limits(response: &Response) -> Vec<Limit> {
///     let header = response.header("desk-usage").unwrap_or_default();
///     let Some((used, limit)) = header.split_once('/') else { return Vec::new() };
///     let day = Limit::of_upstream().window(Duration::from_secs(24 * 60 * 60));
///     match (used.parse(), limit.parse()) {
///         (Ok(used), Ok(limit)) => vec![day.used(used).limit(limit)],
///         _ => Vec::new(),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    about: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resets_in_ms: Option<u64>,
}

impl Limit {
    fn of(about: &'static str) -> Self {
        Self { about, window_ms: None, limit: None, used: None, remaining: None, resets_in_ms: None }
    }

    /// About everything that goes to the upstream.
    pub fn of_upstream() -> Self {
        Self::of("upstream")
    }

    /// About the operation.
    pub fn of_operation() -> Self {
        Self::of("operation")
    }

    /// About the request's [resource](crate::Request::resource).
    pub fn of_resource() -> Self {
        Self::of("resource")
    }

    /// Length of the window that is meant; not needed where there is only one.
    pub fn window(self, window: Duration) -> Self {
        Self { window_ms: Some(millis(window)), ..self }
    }

    /// What the window lets through.
    pub fn limit(self, limit: u64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// What is used of it, by everybody.
    pub fn used(self, used: u64) -> Self {
        Self { used: Some(used), ..self }
    }

    /// What is left of it.
    pub fn remaining(self, remaining: u64) -> Self {
        Self { remaining: Some(remaining), ..self }
    }

    /// How long until it is free again.
    pub fn resets_in(self, wait: Duration) -> Self {
        Self { resets_in_ms: Some(millis(wait)), ..self }
    }
}
