//! What an agent may see and call.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::egress::operation::Effect;
use crate::policy::Priority;

/// What one agent may do.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Names of tools and prompts, URIs of resources; `*` stands for any run of characters. What is not named is neither listed nor callable.
    pub allow: Vec<String>,
    /// Of these tools, only those with one of these effects: `[read]` for an agent that changes nothing. Resources and prompts are read.
    #[schemars(length(min = 1))]
    pub effects: Option<Vec<Effect>>,
    /// JSON Schemas laid over the tools' own, by the tool's name.
    pub arguments: BTreeMap<String, Value>,
    /// Tools whose calls a person must agree to first, who is shown the arguments: by name, with `*`, or by effect (`destructive`). Agents are asked by
    /// `input_required`; where their protocol has no way to ask, the call is refused.
    pub confirm: Vec<String>,
    /// The highest priority that its calls may have.
    pub max_priority: Priority,
}
