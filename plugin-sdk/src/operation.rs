//! What a connector may send: operations, and the walls known for them.
//!
//! An operation is a constant. Requests are built from it, tools name it as their first, and the manifest lists it, so that
//! method, path, effect and label are written once.

use serde::Serialize;

pub use crate::bindings::base::ferrata::connector::types::Effect;

/// Something that can be asked of an upstream.
///
/// ```
/// use ferrata_sdk::prelude::*;
///
/// const POST_MESSAGE: Operation = Operation::post("api", "messages.post", "/channels/{channel}/messages")
///     .walls(&[Wall::new("1/s", "https://chat.example/docs/limits").per("channel")]);
/// ```
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Operation {
    pub(crate) label: &'static str,
    pub(crate) upstream: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    #[serde(serialize_with = "effect_name")]
    pub(crate) effect: Effect,
    pub(crate) cost: u32,
    #[serde(skip_serializing_if = "<[Wall]>::is_empty")]
    pub(crate) walls: &'static [Wall],
}

/// A limit that the system documents.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Wall {
    limit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    per: Option<&'static str>,
    source: &'static str,
}

impl Wall {
    /// `limit` is `COUNT/PERIOD` (a rolling window: `1/s`, `50/min`, `100000/24h`) or `COUNT concurrent`; `source` is where the
    /// limit is documented.
    pub const fn new(limit: &'static str, source: &'static str) -> Self {
        Self { limit, per: None, source }
    }

    /// The tool's argument whose value names what the wall is about: Slack's is per *channel*.
    pub const fn per(mut self, argument: &'static str) -> Self {
        self.per = Some(argument);
        self
    }
}

impl Operation {
    /// Any method. The path is a pattern over segments: `{name}` stands for one segment, `{name...}`, at the end, for one or more.
    pub const fn new(
        method: &'static str,
        upstream: &'static str,
        label: &'static str,
        path: &'static str,
        effect: Effect,
    ) -> Self {
        Self { label, upstream, method, path, effect, cost: 1, walls: &[] }
    }

    /// `GET`: a read.
    pub const fn get(upstream: &'static str, label: &'static str, path: &'static str) -> Self {
        Self::new("GET", upstream, label, path, Effect::Read)
    }

    /// `POST`: a write, unless [`effect`](Self::effect) says that it only reads.
    pub const fn post(upstream: &'static str, label: &'static str, path: &'static str) -> Self {
        Self::new("POST", upstream, label, path, Effect::Write)
    }

    /// `PUT`: an idempotent write.
    pub const fn put(upstream: &'static str, label: &'static str, path: &'static str) -> Self {
        Self::new("PUT", upstream, label, path, Effect::IdempotentWrite)
    }

    /// `PATCH`: a write.
    pub const fn patch(upstream: &'static str, label: &'static str, path: &'static str) -> Self {
        Self::new("PATCH", upstream, label, path, Effect::Write)
    }

    /// `DELETE`: destructive.
    pub const fn delete(upstream: &'static str, label: &'static str, path: &'static str) -> Self {
        Self::new("DELETE", upstream, label, path, Effect::Destructive)
    }

    /// A statement sent to an upstream of kind `sql`: a read.
    pub const fn sql(upstream: &'static str, label: &'static str) -> Self {
        Self::new("SQL", upstream, label, "*", Effect::Read)
    }

    /// What repeating it would do, where the method does not say.
    pub const fn effect(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// What one request charges the walls; 1 if nothing is said.
    pub const fn cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }

    /// The limits that the system documents for it.
    pub const fn walls(mut self, walls: &'static [Wall]) -> Self {
        self.walls = walls;
        self
    }

    /// What requests, limits and metrics call it.
    pub const fn label(&self) -> &'static str {
        self.label
    }
}

fn effect_name<S: serde::Serializer>(effect: &Effect, serializer: S) -> Result<S::Ok, S::Error> {
    let name = EFFECTS.iter().find(|(known, _)| known == effect).map_or("destructive", |(_, name)| name);
    serializer.serialize_str(name)
}

/// The names that the manifest has for effects.
const EFFECTS: [(Effect, &str); 4] = [
    (Effect::Read, "read"),
    (Effect::IdempotentWrite, "idempotent-write"),
    (Effect::Write, "write"),
    (Effect::Destructive, "destructive"),
];

#[cfg(not(target_family = "wasm"))]
pub(crate) fn effect_from_name(name: &str) -> Option<Effect> {
    EFFECTS.iter().find(|(_, known)| *known == name).map(|(effect, _)| *effect)
}
