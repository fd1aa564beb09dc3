//! All tools of all connectors, and what each agent sees of them: rendered when something changes, not when somebody asks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jsonschema::Validator;

use super::access::AccessRules;
use super::fallbacks;
use super::record::Meters;
use crate::connector::{Connector, Mirror, check_name};
use crate::flow::{Route, Step};

/// One configured connector.
#[derive(Clone, Debug)]
pub enum Slot {
    Ready {
        connector: Arc<Connector>,
        /// Why a newer one is not in force.
        problem: Option<String>,
    },
    /// Why it is not loaded: a sentence for the operator.
    Broken(String),
}

impl Slot {
    /// What is in force.
    pub fn connector(&self) -> Option<&Arc<Connector>> {
        match self {
            Self::Ready { connector, .. } => Some(connector),
            Self::Broken(_) => None,
        }
    }

    /// Why what the operator put there is not in force.
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Ready { problem, .. } => problem.as_deref(),
            Self::Broken(reason) => Some(reason),
        }
    }
}

/// One tool as an agent knows it.
#[derive(Debug)]
pub struct Tool {
    /// `<connector>_<tool>`.
    pub name: Arc<str>,
    pub target: Target,
    pub meters: Meters,
}

/// Where a call of a tool goes. A call pins the generation of the connector that it started on.
#[derive(Debug)]
pub enum Target {
    Ready { route: Route, fallback: Vec<Step> },
    Broken { connector: Arc<str>, reason: String },
}

impl Tool {
    /// What metrics call it. The tools of a connector that is not loaded are whatever agents ask for, and share one.
    pub fn metric_label(&self) -> String {
        match &self.target {
            Target::Ready { .. } => self.name.to_string(),
            Target::Broken { connector, .. } => format!("{connector}_*"),
        }
    }

    /// Arguments that clients repeat in headers.
    pub fn mirrors(&self) -> &[Mirror] {
        match &self.target {
            Target::Ready { route, .. } => &route.spec().mirrors,
            Target::Broken { .. } => &[],
        }
    }

    /// The connector's name.
    pub fn connector(&self) -> &Arc<str> {
        match &self.target {
            Target::Ready { route, .. } => &route.connector.name,
            Target::Broken { connector, .. } => connector,
        }
    }
}

/// The tools that one agent may see.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// In a stable order.
    pub names: Vec<Arc<str>>,
    /// The MCP `tools` array: a JSON array of tool definitions.
    pub mcp: Bytes,
}

/// Everything that can be called at one moment. Immutable.
pub struct Catalog {
    slots: BTreeMap<String, Slot>,
    tools: HashMap<Arc<str>, Arc<Tool>>,
    access: Arc<AccessRules>,
    /// For agents with rules of their own.
    listings: HashMap<Arc<str>, Arc<Listing>>,
    /// For every other agent.
    general: Arc<Listing>,
    /// The longest that a call may take.
    pub deadline: Duration,
    /// No two catalogues of a process have the same.
    pub version: u64,
    /// What the operator wrote about tools that cannot be so; a sentence each.
    pub problems: Vec<String>,
}

/// The next catalogue's version.
static VERSION: AtomicU64 = AtomicU64::new(0);

impl Catalog {
    pub fn new(slots: BTreeMap<String, Slot>, access: Arc<AccessRules>, deadline: Duration) -> Self {
        let routes: BTreeMap<Arc<str>, Route> = slots.values().flat_map(routes_of).collect();
        let mut problems = Vec::new();
        let mut tool = |route: &Route| {
            let fallback = fallbacks::resolve(route, &routes, &slots, &mut problems);
            let target = Target::Ready { route: route.clone(), fallback };
            let tool = Tool { name: Arc::clone(&route.name), target, meters: Meters::default() };
            (Arc::clone(&route.name), Arc::new(tool))
        };
        let tools: BTreeMap<Arc<str>, Arc<Tool>> = routes.values().map(&mut tool).collect();
        fallbacks::of_unknown_tools(&slots, &mut problems);
        let listing =
            |agent: &str| Arc::new(render(tools.values().filter(|t| access.allows(agent, &t.name))));
        let listings = access.agents().map(|agent| (Arc::clone(agent), listing(agent))).collect();
        // No agent has an empty name: what remains is what everybody may see.
        let general = listing("");
        let version = VERSION.fetch_add(1, Ordering::Relaxed);
        let tools = tools.into_iter().collect();
        Self { tools, slots, access, listings, general, deadline, version, problems }
    }

    /// What the rules name and no connector has: a mistake that would open what the operator meant to close. A connector that is not
    /// loaded may have anything below its name.
    pub fn unknown_in_rules(&self) -> Vec<String> {
        let known = |tool: &str| self.tools.contains_key(tool) || self.tool_of_broken(tool).is_some();
        self.access
            .overlaid()
            .filter(|(_, tool)| !known(tool))
            .map(|(agent, tool)| format!("access.{agent}.arguments.{tool}"))
            .collect()
    }

    pub fn slots(&self) -> &BTreeMap<String, Slot> {
        &self.slots
    }

    pub fn listing(&self, agent: &str) -> Arc<Listing> {
        Arc::clone(self.listings.get(agent).unwrap_or(&self.general))
    }

    pub fn tool(&self, agent: &str, name: &str) -> Option<Arc<Tool>> {
        if !self.access.allows(agent, name) {
            return None;
        }
        self.tools.get(name).cloned().or_else(|| self.tool_of_broken(name))
    }

    pub fn overlay(&self, agent: &str, tool: &str) -> Option<&Validator> {
        self.access.overlay(agent, tool)
    }

    /// Whether every agent sees the same as with `other`.
    pub fn lists_the_same(&self, other: &Self) -> bool {
        self.general == other.general && self.listings == other.listings
    }

    /// Which tools a connector has that is not loaded nobody knows; that they are unavailable is known.
    fn tool_of_broken(&self, name: &str) -> Option<Arc<Tool>> {
        let (connector, tool) = name.split_once('_')?;
        check_name(connector, tool).ok()?;
        match self.slots.get(connector)? {
            Slot::Broken(reason) => {
                let target = Target::Broken { connector: connector.into(), reason: reason.clone() };
                Some(Arc::new(Tool { name: name.into(), target, meters: Meters::default() }))
            }
            Slot::Ready { .. } => None,
        }
    }
}

fn routes_of(slot: &Slot) -> Vec<(Arc<str>, Route)> {
    let Some(connector) = slot.connector() else { return Vec::new() };
    let route = |(index, spec): (usize, &crate::connector::ToolSpec)| {
        let name: Arc<str> = format!("{}_{}", connector.name, spec.name).into();
        (Arc::clone(&name), Route { name, connector: Arc::clone(connector), index })
    };
    connector.tools.iter().enumerate().map(route).collect()
}

fn render<'a>(tools: impl Iterator<Item = &'a Arc<Tool>>) -> Listing {
    let (mut names, mut definitions) = (Vec::new(), Vec::new());
    for tool in tools {
        if let Target::Ready { route, .. } = &tool.target {
            names.push(Arc::clone(&tool.name));
            definitions.push(route.spec().definition.get());
        }
    }
    Listing { names, mcp: Bytes::from(format!("[{}]", definitions.join(","))) }
}
