//! Walls of one upstream, as operators write them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Mode;

/// A list of walls, each at least as tight as what the connector ships; or a section that may replace that.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Limits {
    Tighten(Vec<Wall>),
    Section(LimitsSection),
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsSection {
    pub walls: Vec<Wall>,
    /// Whether the walls that the connector ships for this upstream are dropped. Otherwise the tighter one of each kind holds.
    #[serde(default)]
    pub replace: bool,
    /// Of all walls of this upstream, shipped ones included; a wall may say otherwise.
    #[serde(default)]
    pub mode: Mode,
}

/// One wall: `100000/24h` and `20/min` (any window of that length), `500000/day Europe/Berlin` (until midnight there),
/// `8 concurrent`, `5/s paced` (evenly, without bursts).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Wall {
    /// About everything that goes to the upstream.
    Plain(String),
    Scoped(ScopedWall),
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScopedWall {
    pub wall: String,
    /// Only this operation of the connector's manifest; without it, everything that goes to the upstream.
    #[serde(default)]
    pub operation: Option<String>,
    /// The argument of the tool that names the resource which the wall is about, such as `channel`: one count for each. Only with
    /// `operation`.
    #[serde(default)]
    pub per: Option<String>,
    #[serde(default)]
    pub mode: Option<Mode>,
}

impl Limits {
    pub fn walls(&self) -> &[Wall] {
        match self {
            Self::Tighten(walls) => walls,
            Self::Section(section) => &section.walls,
        }
    }

    /// JSON Pointer of the list, from the section's.
    pub fn list_pointer(&self) -> &'static str {
        match self {
            Self::Tighten(_) => "",
            Self::Section(_) => "/walls",
        }
    }

    pub fn replaces(&self) -> bool {
        matches!(self, Self::Section(section) if section.replace)
    }

    pub fn mode(&self) -> Mode {
        match self {
            Self::Tighten(_) => Mode::Enforce,
            Self::Section(section) => section.mode,
        }
    }
}

impl Wall {
    pub fn text(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Scoped(scoped) => &scoped.wall,
        }
    }

    /// Whether it is written with members of its own.
    pub fn is_scoped(&self) -> bool {
        matches!(self, Self::Scoped(_))
    }

    pub fn operation(&self) -> Option<&str> {
        match self {
            Self::Plain(_) => None,
            Self::Scoped(scoped) => scoped.operation.as_deref(),
        }
    }

    pub fn per(&self) -> Option<&str> {
        match self {
            Self::Plain(_) => None,
            Self::Scoped(scoped) => scoped.per.as_deref(),
        }
    }

    pub fn mode(&self) -> Option<Mode> {
        match self {
            Self::Plain(_) => None,
            Self::Scoped(scoped) => scoped.mode,
        }
    }
}
