//! What stands in for a failed read, from the operator's words to tools that exist: checked whenever the catalogue changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Slot;
use crate::config::Fallback;
use crate::flow::{Route, Step, fallback};

/// What the operator wants when a tool fails. What cannot be so is left out and said; a tool of a connector that is not loaded is only left out.
pub fn resolve(
    route: &Route,
    routes: &BTreeMap<Arc<str>, Route>,
    slots: &BTreeMap<String, Slot>,
    problems: &mut Vec<String>,
) -> Vec<Step> {
    let spec = route.spec();
    let words = route.connector.fallback().get(&spec.name);
    let mut steps = Vec::new();
    for word in words.into_iter().flatten() {
        let step = match word {
            Fallback::Stale(stale) => {
                fallback::check_read(spec).map(|()| Some(Step::Stale { within: stale.stale.0 }))
            }
            Fallback::Tool(other) => match routes.get(other.tool.as_str()) {
                Some(found) => fallback::check(spec, found.spec()).map(|()| Some(Step::Tool(found.clone()))),
                None if is_of_broken(&other.tool, slots) => Ok(None),
                None => Err(format!("there is no tool `{}`", other.tool)),
            },
        };
        match step {
            Ok(step) => steps.extend(step),
            Err(why) => {
                problems.push(format!("connectors.{}.fallback.{}: {why}", route.connector.name, spec.name));
            }
        }
    }
    steps
}

/// Words about tools that their connector does not have.
pub fn of_unknown_tools(slots: &BTreeMap<String, Slot>, problems: &mut Vec<String>) {
    for connector in slots.values().filter_map(Slot::connector) {
        let unknown = connector
            .fallback()
            .keys()
            .filter(|name| !connector.tools.iter().any(|tool| tool.name == **name));
        let say =
            |name: &String| format!("connectors.{}.fallback.{name}: it has no such tool", connector.name);
        problems.extend(unknown.map(say));
    }
}

fn is_of_broken(tool: &str, slots: &BTreeMap<String, Slot>) -> bool {
    let connector = tool.split_once('_').and_then(|(connector, _)| slots.get(connector));
    matches!(connector, Some(Slot::Broken(_)))
}
