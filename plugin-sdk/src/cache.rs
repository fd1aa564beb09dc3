//! A small memory that outlives a call: of use for name → id lookups that would cost the wall each time.
//!
//! Scoped by the host to the connector and to who calls; bounded, and lost on restart.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault::{Fault, millis};
use crate::{host, log};

/// What was put under this key, if it is still there and of this type.
pub fn get<T: DeserializeOwned>(key: &str) -> Option<T> {
    serde_json::from_slice(&host::cache_get(key)?).ok()
}

/// Keeps a value for at most `ttl`. A value that the host has no room for is not kept, which the operator's log says.
pub fn put<T: Serialize>(key: &str, value: &T, ttl: Duration) {
    let kept = serde_json::to_vec(value)
        .map_err(|error| Fault::broken(error.to_string()))
        .and_then(|bytes| host::cache_put(key, &bytes, millis(ttl)));
    if let Err(fault) = kept {
        log::debug(format!("not cached under {key:?}: {fault}"));
    }
}

/// What is cached under this key, or what `fetch` finds, which is then cached. A failure is not.
///
/// ```
/// # use ferrata_sdk::prelude::*;
/// # const CHANNELS: Operation = Operation::get("api", "channels.find", "/channels");
/// fn channel_id(cx: &Cx<NoSettings>, name: &str) -> Result<String, Fault> {
///     cache::through(&format!("channel:{name}"), Duration::from_secs(600), || {
///         cx.request(&CHANNELS).query("name", name).bearer("bot.token").send()?.json()
///     })
/// }
/// ```
///
/// # Errors
/// Those of `fetch`.
pub fn through<T: Serialize + DeserializeOwned>(
    key: &str,
    ttl: Duration,
    fetch: impl FnOnce() -> Result<T, Fault>,
) -> Result<T, Fault> {
    if let Some(value) = get(key) {
        return Ok(value);
    }
    let value = fetch()?;
    put(key, &value, ttl);
    Ok(value)
}
