//! What each agent may see and call, as the operator wrote it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jsonschema::Validator;

use crate::config;
use crate::connector::schema;
use crate::policy::Priority;

/// The rules of all agents. Without a section `access`, every known agent may call everything.
#[derive(Default)]
pub struct AccessRules(Option<HashMap<Arc<str>, Rules>>);

struct Rules {
    allow: Vec<String>,
    overlays: HashMap<String, Validator>,
    max_priority: Priority,
}

impl AccessRules {
    /// The error is a sentence for the operator.
    pub fn new(access: Option<&BTreeMap<String, config::Access>>) -> Result<Self, String> {
        let Some(access) = access else { return Ok(Self(None)) };
        let rules = access.iter().map(|(agent, access)| {
            let overlays = access.arguments.iter().map(|(tool, json)| {
                let compiled = schema::compile(json);
                compiled
                    .map(|s| (tool.clone(), s))
                    .map_err(|e| format!("access.{agent}.arguments.{tool}: {e}"))
            });
            Ok((
                agent.as_str().into(),
                Rules {
                    allow: access.allow.clone(),
                    overlays: overlays.collect::<Result<_, String>>()?,
                    max_priority: access.max_priority,
                },
            ))
        });
        rules.collect::<Result<_, String>>().map(|rules| Self(Some(rules)))
    }

    pub fn allows(&self, agent: &str, tool: &str) -> bool {
        match &self.0 {
            None => true,
            Some(rules) => {
                rules.get(agent).is_some_and(|r| r.allow.iter().any(|pattern| glob(pattern, tool)))
            }
        }
    }

    /// The highest priority that this agent's calls may have.
    pub fn max_priority(&self, agent: &str) -> Priority {
        self.0.as_ref().and_then(|rules| rules.get(agent)).map_or(Priority::Interactive, |r| r.max_priority)
    }

    /// The schema laid over the tool's own, for this agent.
    pub fn overlay(&self, agent: &str, tool: &str) -> Option<&Validator> {
        self.0.as_ref()?.get(agent)?.overlays.get(tool)
    }

    /// Every agent and tool with a schema of its own.
    pub fn overlaid(&self) -> impl Iterator<Item = (&Arc<str>, &String)> {
        let rules = self.0.iter().flatten();
        rules.flat_map(|(agent, rules)| rules.overlays.keys().map(move |tool| (agent, tool)))
    }

    /// The agents that have rules of their own.
    pub fn agents(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter().flat_map(HashMap::keys)
    }
}

/// Whether `text` fits a pattern in which `*` stands for any run of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (pattern, text) in
            [("crm_find_*", "crm_find_contact"), ("*", "a"), ("a*b*c", "a-b-b-c"), ("x", "x")]
        {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("crm_find_*", "crm_delete"), ("x", "xy"), ("a*b", "a-b-c"), ("", "x"), ("ab*ba", "aba")]
        {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }
}
