//! What the sandboxes of a connector may use, and how many a connector may have.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ByteSize, Config, Connector, Period};

/// Largest linear memory of a sandbox that an operator can grant, in bytes.
pub const MAX_MEMORY_BYTES: usize = 1 << 30;

/// Sandboxes that the calls of all connectors may have together: what the operator divides among the connectors.
pub const MAX_CALL_SANDBOXES: usize = 960;

/// Sandboxes that a connector has at once when the operator does not say: many times what an agent has under way with one system.
const DEFAULT_CONCURRENT: usize = 64;

/// Bounds of one connector's sandboxes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// Linear memory of one sandbox.
    pub memory: ByteSize,
    /// Time on the processor for one call; waiting does not count.
    pub cpu: Period,
    /// Sandboxes of one connector at once, those that are kept for reuse included. All connectors together have 960. When absent 64, or with many
    /// connectors so much less that all have as many.
    #[schemars(range(min = 1, max = 512))]
    pub concurrent: Option<usize>,
    /// Sandboxes of one connector that may wait for an upstream at once; a call that would be one more is refused rather than queued.
    /// As many as `concurrent` when absent.
    #[schemars(range(min = 1, max = 512))]
    pub parked: Option<usize>,
    /// Calls that may wait for a sandbox of one connector; one more is refused.
    #[schemars(range(max = 100000))]
    pub waiting: usize,
    /// Largest result of one call.
    pub result: ByteSize,
    /// Log text of one call.
    pub log: ByteSize,
    /// Keep sandboxes for the next call of the same caller. Faster, and a connector can then remember things.
    pub reuse: bool,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            memory: ByteSize::mebibytes(128),
            cpu: Period::seconds(5),
            concurrent: None,
            parked: None,
            waiting: 1024,
            result: ByteSize::mebibytes(1),
            log: ByteSize::kibibytes(64),
            reuse: false,
        }
    }
}

impl Config {
    /// How many sandboxes each connector may have at once whose operator does not say: 64, or half, a quarter and so on of that where there
    /// are too many connectors. In such steps, so that one more connector seldom changes the bounds of the others.
    fn default_concurrent(&self) -> usize {
        let said = || self.connectors.values().map(|c| self.sandbox_of(c).concurrent);
        let (given, silent) = (said().flatten().sum::<usize>(), said().filter(Option::is_none).count());
        let halves = std::iter::successors(Some(DEFAULT_CONCURRENT), |places| Some(places / 2));
        let fits = |places: &usize| given + silent * places <= MAX_CALL_SANDBOXES;
        halves.take_while(|places| *places > 0).find(fits).unwrap_or(1)
    }

    fn sandbox_of<'a>(&'a self, connector: &'a Connector) -> &'a Sandbox {
        connector.sandbox.as_ref().unwrap_or(&self.sandbox)
    }

    /// The bounds of one connector's sandboxes, and how many it may have at once.
    pub fn sandboxes(&self, connector: &Connector) -> (Sandbox, usize) {
        let sandbox = self.sandbox_of(connector);
        (sandbox.clone(), sandbox.concurrent.unwrap_or_else(|| self.default_concurrent()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A configuration with one connector that asks for `own` sandboxes, and `silent` others.
    fn config(own: usize, silent: usize) -> Config {
        let connector = |sandbox| json!({ "component": "a.wasm", "sandbox": sandbox });
        let mut connectors: serde_json::Map<_, _> =
            (0..silent).map(|i| (format!("c{i}"), json!({ "component": "a.wasm" }))).collect();
        connectors.insert("own".to_owned(), connector(json!({ "concurrent": own })));
        serde_json::from_value(json!({ "connectors": connectors })).unwrap()
    }

    #[test]
    fn many_connectors_have_fewer_sandboxes_each_and_a_few_have_what_they_are_given() {
        for (own, silent, each) in [(64, 1, 64), (64, 14, 64), (64, 15, 32), (8, 100, 8), (1, 959, 1)] {
            let config = config(own, silent);
            let concurrent = |name: &str| config.sandboxes(&config.connectors[name]).1;
            assert_eq!((concurrent("own"), concurrent("c0")), (own, each), "{silent} others");
        }
    }
}
