//! What each agent may see and call, as the operator wrote it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jsonschema::Validator;

use super::spelling::Names;
use crate::config;
use crate::connector::schema;
use crate::egress::operation::Effect;
use crate::policy::Priority;

/// The rules of all agents. Without a section `access`, every known agent may call everything.
#[derive(Default)]
pub struct AccessRules(Option<HashMap<Arc<str>, Rules>>);

struct Rules {
    allow: Vec<String>,
    /// All, if none.
    effects: Option<Vec<Effect>>,
    confirm: Vec<String>,
    overlays: HashMap<String, Overlay>,
    max_priority: Priority,
}

/// A schema laid over a tool's own.
pub struct Overlay {
    pub schema: Validator,
    /// What it is about.
    pub names: Names,
}

impl AccessRules {
    /// The error is a sentence for the operator.
    pub fn new(access: Option<&BTreeMap<String, config::Access>>) -> Result<Self, String> {
        let Some(access) = access else { return Ok(Self(None)) };
        let rules = access.iter().map(|(agent, access)| {
            let overlays = access.arguments.iter().map(|(tool, json)| {
                let compiled = schema::compile(json);
                compiled
                    .map(|schema| (tool.clone(), Overlay { schema, names: Names::of(json) }))
                    .map_err(|e| format!("access.{agent}.arguments.{tool}: {e}"))
            });
            Ok((
                agent.as_str().into(),
                Rules {
                    allow: access.allow.clone(),
                    effects: access.effects.clone(),
                    confirm: access.confirm.clone(),
                    overlays: overlays.collect::<Result<_, String>>()?,
                    max_priority: access.max_priority,
                },
            ))
        });
        rules.collect::<Result<_, String>>().map(|rules| Self(Some(rules)))
    }

    /// Whether the agent may see and use something of that effect; none if nobody knows which it has, which then does not matter.
    pub fn allows(&self, agent: &str, name: &str, effect: Option<Effect>) -> bool {
        let Some(rules) = &self.0 else { return true };
        rules.get(agent).is_some_and(|rules| {
            let in_effects = |allowed: &Vec<Effect>| effect.is_none_or(|effect| allowed.contains(&effect));
            rules.effects.as_ref().is_none_or(in_effects) && any(&rules.allow, name)
        })
    }

    /// Whether somebody must agree to the agent's calls of a tool, which may have no effect on any system.
    pub fn must_confirm(&self, agent: &str, tool: &str, effect: Option<Effect>) -> bool {
        let rules = self.0.as_ref().and_then(|rules| rules.get(agent));
        // No tool has the name of an effect: they all have an underscore.
        rules.is_some_and(|rules| {
            let by_effect = |effect: Effect| rules.confirm.iter().any(|c| c == effect.name());
            any(&rules.confirm, tool) || effect.is_some_and(by_effect)
        })
    }

    /// Every agent, and what its calls are to be confirmed by that is no effect: tools' names, also with `*`.
    pub fn confirmed_by_name(&self) -> impl Iterator<Item = (&Arc<str>, &String)> {
        let rules = self.0.iter().flatten();
        let names = rules.flat_map(|(agent, rules)| rules.confirm.iter().map(move |name| (agent, name)));
        names.filter(|(_, name)| Effect::ALL.iter().all(|effect| effect.name() != name.as_str()))
    }

    /// The highest priority that this agent's calls may have.
    pub fn max_priority(&self, agent: &str) -> Priority {
        self.0.as_ref().and_then(|rules| rules.get(agent)).map_or(Priority::Interactive, |r| r.max_priority)
    }

    /// The schema laid over the tool's own, for this agent.
    pub fn overlay(&self, agent: &str, tool: &str) -> Option<&Overlay> {
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

fn any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| glob(pattern, text))
}

/// Whether anything that begins with `start` may fit a pattern.
pub fn may_fit_below(pattern: &str, start: &str) -> bool {
    let head = pattern.split('*').next().unwrap_or_default();
    head.starts_with(start) || (head.len() < pattern.len() && start.starts_with(head))
}

/// Whether `text` fits a pattern in which `*` stands for any run of characters.
pub fn glob(pattern: &str, text: &str) -> bool {
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
    fn an_agent_has_what_it_was_given_and_no_more() {
        let access = |json: &str| serde_json::from_str::<config::Access>(json).unwrap();
        let reader = access(r#"{"allow": ["crm_*"], "effects": ["read"]}"#);
        let clerk = access(r#"{"allow": ["crm_*"], "confirm": ["destructive", "crm_send*"]}"#);
        let rules = BTreeMap::from([("reader".to_owned(), reader), ("clerk".to_owned(), clerk)]);
        let rules = AccessRules::new(Some(&rules)).unwrap();
        assert!(rules.allows("reader", "crm_find", Some(Effect::Read)));
        assert!(!rules.allows("reader", "crm_find", Some(Effect::IdempotentWrite)));
        assert!(rules.allows("clerk", "crm_delete", Some(Effect::Destructive)));
        assert!(!rules.allows("clerk", "erp_find", Some(Effect::Read)));
        assert!(!rules.allows("stranger", "crm_find", Some(Effect::Read)));
        for (agent, tool, effect, must) in [
            ("clerk", "crm_delete", Some(Effect::Destructive), true),
            ("clerk", "crm_send_mail", Some(Effect::Write), true),
            ("clerk", "crm_note", Some(Effect::Write), false),
            ("clerk", "crm_send_later", None, true),
            ("clerk", "crm_reserve", None, false),
            ("reader", "crm_delete", Some(Effect::Destructive), false),
        ] {
            assert_eq!(rules.must_confirm(agent, tool, effect), must, "{agent} {tool}");
        }
        let open = AccessRules::new(None).unwrap();
        assert!(
            open.allows("x", "y_z", Some(Effect::Destructive))
                && !open.must_confirm("x", "y_z", Some(Effect::Destructive))
        );
    }

    #[test]
    fn what_nobody_knows_yet_may_fit() {
        for pattern in ["*", "crm_delete", "crm_*", "c*_delete"] {
            assert!(may_fit_below(pattern, "crm_"), "{pattern}");
        }
        for pattern in ["crm", "erp_*", "crmm*", "destructve"] {
            assert!(!may_fit_below(pattern, "crm_"), "{pattern}");
        }
    }

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
