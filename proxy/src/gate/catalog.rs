//! All tools, resources and prompts of all connectors, and what each agent sees of them: rendered when something changes, not when somebody asks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::access::{AccessRules, Overlay, glob, may_fit_below};
use super::record::Meters;
use super::{fallbacks, reserve};
use crate::call::Caller;
use crate::config;
use crate::connector::{Connector, Mirror, PromptSpec, ResourceSpec, Variables, check_name, check_path};
use crate::egress::operation::Effect;
use crate::flow::{Route, Step};
use crate::policy::Priority;

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
    Ready {
        route: Route,
        fallback: Vec<Step>,
    },
    Broken {
        connector: Arc<str>,
        reason: String,
    },
    /// To Ferrata itself: calls are reserved.
    Reserve {
        system: Arc<str>,
    },
}

impl Tool {
    /// What metrics call it. The tools of a connector that is not loaded are whatever agents ask for, and share one.
    pub fn metric_label(&self) -> String {
        match &self.target {
            Target::Ready { .. } | Target::Reserve { .. } => self.name.to_string(),
            Target::Broken { connector, .. } => format!("{connector}_*"),
        }
    }

    /// Arguments that clients repeat in headers.
    pub fn mirrors(&self) -> &[Mirror] {
        match &self.target {
            Target::Ready { route, .. } => &route.spec().mirrors,
            Target::Broken { .. } | Target::Reserve { .. } => &[],
        }
    }

    /// None of a tool of which nothing is known, or that reaches no system.
    pub fn effect(&self) -> Option<Effect> {
        match &self.target {
            Target::Ready { route, .. } => Some(route.spec().effect),
            Target::Broken { .. } | Target::Reserve { .. } => None,
        }
    }

    /// The connector's name.
    pub fn connector(&self) -> &Arc<str> {
        match &self.target {
            Target::Ready { route, .. } => &route.connector.name,
            Target::Broken { connector: system, .. } | Target::Reserve { system } => system,
        }
    }

    /// As MCP lists it; none for one that nobody lists.
    fn definition(&self) -> Option<&str> {
        match &self.target {
            Target::Ready { route, .. } => Some(route.spec().definition.get()),
            Target::Reserve { .. } => Some(reserve::DEFINITION),
            Target::Broken { .. } => None,
        }
    }
}

/// Where anything else goes that an agent asks for. Pins the generation, as a call does.
#[derive(Debug)]
pub enum Found<T> {
    Ready { connector: Arc<Connector>, what: T },
    Broken { connector: Arc<str>, reason: String },
}

/// What resources and prompts do.
const READS: Option<Effect> = Some(Effect::Read);

/// A list of nothing.
const EMPTY: &str = "[]";

/// What one agent may see. Each list is a JSON array of MCP definitions, in a stable order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Of the tools.
    pub names: Vec<Arc<str>>,
    /// The tools.
    pub mcp: Bytes,
    pub resources: Bytes,
    pub resource_templates: Bytes,
    pub prompts: Bytes,
    /// Whether values for any argument can be asked for.
    pub completes: bool,
}

impl Listing {
    /// Whether there is anything to read.
    pub fn has_resources(&self) -> bool {
        self.resources != EMPTY || self.resource_templates != EMPTY
    }

    pub fn has_prompts(&self) -> bool {
        self.prompts != EMPTY
    }
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
    defaults: config::Defaults,
    /// No two catalogues of a process have the same.
    pub version: u64,
    /// What the operator wrote about tools that cannot be so; a sentence each.
    pub problems: Vec<String>,
}

/// The next catalogue's version.
static VERSION: AtomicU64 = AtomicU64::new(0);

impl Catalog {
    pub fn new(slots: BTreeMap<String, Slot>, access: Arc<AccessRules>, defaults: config::Defaults) -> Self {
        let routes: BTreeMap<Arc<str>, Route> = slots.values().flat_map(routes_of).collect();
        let mut problems = Vec::new();
        let mut tool = |route: &Route| {
            let fallback = fallbacks::resolve(route, &routes, &slots, &mut problems);
            let target = Target::Ready { route: route.clone(), fallback };
            let tool = Tool { name: Arc::clone(&route.name), target, meters: Meters::default() };
            (Arc::clone(&route.name), Arc::new(tool))
        };
        let mut tools: BTreeMap<Arc<str>, Arc<Tool>> = routes.values().map(&mut tool).collect();
        if !tools.is_empty() {
            let own = Arc::new(reserve::tool());
            tools.insert(Arc::clone(&own.name), own);
        }
        fallbacks::of_unknown_tools(&slots, &mut problems);
        let listing = |agent: &str| {
            let tools = tools.values().filter(|tool| access.allows(agent, &tool.name, tool.effect()));
            let connectors = || slots.values().filter_map(Slot::connector);
            let resources = connectors().flat_map(|connector| connector.resources.iter());
            let resources = resources.filter(|resource| access.allows(agent, &resource.uri, READS));
            let prompts = connectors().flat_map(|connector| &connector.prompts);
            let prompts = prompts.filter(|prompt| access.allows(agent, &prompt.full_name, READS));
            Arc::new(render(tools, resources, prompts))
        };
        let listings = access.agents().map(|agent| (Arc::clone(agent), listing(agent))).collect();
        // No agent has an empty name: what remains is what everybody may see.
        let general = listing("");
        let version = VERSION.fetch_add(1, Ordering::Relaxed);
        let tools = tools.into_iter().collect();
        Self { tools, slots, access, listings, general, defaults, version, problems }
    }

    /// How long a call may take whose caller is willing to wait for so long.
    pub fn time(&self, asked: Option<Duration>) -> Duration {
        asked.map_or(self.defaults.deadline.0, |asked| asked.min(self.defaults.longest()))
    }

    /// The priority of a call whose caller asks for that: no higher than its agent may have.
    pub fn priority(&self, caller: &Caller, asked: Option<Priority>) -> Priority {
        // The order is that of the queue: the later waits longer.
        asked.unwrap_or(self.defaults.priority).max(self.access.max_priority(&caller.agent))
    }

    /// What the rules name that is neither an effect nor fits a tool: a mistake that would open what the operator meant to close. A connector
    /// that is not loaded may have anything below its name.
    pub fn unknown_in_rules(&self) -> Vec<String> {
        let known = |tool: &str| self.tools.contains_key(tool) || self.tool_of_broken(tool).is_some();
        let overlaid = self.access.overlaid().map(|(agent, tool)| (agent, "arguments", tool));
        let overlaid = overlaid.filter(|(.., tool)| !known(tool));
        let confirmed = self.access.confirmed_by_name().map(|(agent, tool)| (agent, "confirm", tool));
        let unknown = overlaid.chain(confirmed.filter(|(.., pattern)| !self.fits_a_tool(pattern)));
        unknown.map(|(agent, rule, tool)| format!("access.{agent}.{rule}.{tool}")).collect()
    }

    fn fits_a_tool(&self, pattern: &str) -> bool {
        let broken = self.slots.iter().filter(|(_, slot)| slot.connector().is_none());
        self.tools.keys().any(|tool| glob(pattern, tool))
            || broken.into_iter().any(|(name, _)| may_fit_below(pattern, &format!("{name}_")))
    }

    pub fn slots(&self) -> &BTreeMap<String, Slot> {
        &self.slots
    }

    pub fn listing(&self, agent: &str) -> Arc<Listing> {
        Arc::clone(self.listings.get(agent).unwrap_or(&self.general))
    }

    pub fn tool(&self, agent: &str, name: &str) -> Option<Arc<Tool>> {
        let tool = self.tool_of_anybody(name)?;
        self.access.allows(agent, name, tool.effect()).then_some(tool)
    }

    /// The tool of that name, whoever may see it.
    pub fn tool_of_anybody(&self, name: &str) -> Option<Arc<Tool>> {
        self.tools.get(name).cloned().or_else(|| self.tool_of_broken(name))
    }

    /// What is to be read for a URI, if this agent may: its index, and what stands for the variables. That of a connector that is not loaded
    /// is found too.
    pub fn resource(&self, agent: &str, uri: &str) -> Option<Found<(usize, Variables)>> {
        self.find(agent, uri, |connector, path| connector.resources.find(path))
    }

    /// The family of resources that is listed with that template.
    pub fn family(&self, agent: &str, template: &str) -> Option<Found<usize>> {
        self.find(agent, template, |connector, path| connector.resources.family(path))
    }

    /// The prompt of that name, if this agent may see it: its index. That of a connector that is not loaded is found too.
    pub fn prompt(&self, agent: &str, name: &str) -> Option<Found<usize>> {
        if !self.access.allows(agent, name, READS) {
            return None;
        }
        let (connector, prompt) = name.split_once('_')?;
        match self.slots.get(connector)? {
            Slot::Ready { connector, .. } => {
                let what = connector.prompts.iter().position(|known| known.name == prompt)?;
                Some(Found::Ready { connector: Arc::clone(connector), what })
            }
            Slot::Broken(reason) => {
                check_name(connector, prompt).ok()?;
                Some(Found::Broken { connector: connector.into(), reason: reason.clone() })
            }
        }
    }

    fn find<T>(
        &self,
        agent: &str,
        uri: &str,
        find: impl FnOnce(&Connector, &str) -> Option<T>,
    ) -> Option<Found<T>> {
        if !self.access.allows(agent, uri, READS) {
            return None;
        }
        let (name, path) = uri.split_once("://")?;
        match self.slots.get(name)? {
            Slot::Ready { connector, .. } => {
                let what = find(connector, path)?;
                Some(Found::Ready { connector: Arc::clone(connector), what })
            }
            Slot::Broken(reason) => {
                // Which resources it has nobody knows; that they are unavailable is known.
                check_path(path).ok()?;
                Some(Found::Broken { connector: name.into(), reason: reason.clone() })
            }
        }
    }

    /// Whether somebody must agree to that agent's calls of a tool.
    pub fn must_confirm(&self, agent: &str, tool: &Tool) -> bool {
        self.access.must_confirm(agent, &tool.name, tool.effect())
    }

    pub fn overlay(&self, agent: &str, tool: &str) -> Option<&Overlay> {
        self.access.overlay(agent, tool)
    }

    /// Whether every agent sees the same as with `other`, as far as `same` looks.
    pub fn lists_the_same(&self, other: &Self, same: impl Fn(&Listing, &Listing) -> bool) -> bool {
        let agents = || self.listings.keys().chain(other.listings.keys());
        same(&self.general, &other.general) && agents().all(|a| same(&self.listing(a), &other.listing(a)))
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

fn render<'a>(
    tools: impl Iterator<Item = &'a Arc<Tool>>,
    resources: impl Iterator<Item = &'a ResourceSpec>,
    prompts: impl Iterator<Item = &'a PromptSpec>,
) -> Listing {
    let (mut names, mut definitions) = (Vec::new(), Vec::new());
    for tool in tools {
        if let Some(definition) = tool.definition() {
            names.push(Arc::clone(&tool.name));
            definitions.push(definition);
        }
    }
    let (families, single): (Vec<_>, Vec<_>) = resources.partition(|resource| resource.is_family());
    let definitions_of = |resources: &[&ResourceSpec]| {
        array(&resources.iter().map(|resource| resource.definition.get()).collect::<Vec<_>>())
    };
    let prompts: Vec<_> = prompts.collect();
    let resources_complete = families.iter().any(|family| family.completes_any());
    Listing {
        names,
        mcp: array(&definitions),
        resources: definitions_of(&single),
        resource_templates: definitions_of(&families),
        prompts: array(&prompts.iter().map(|prompt| prompt.definition.get()).collect::<Vec<_>>()),
        completes: resources_complete || prompts.iter().any(|prompt| prompt.completes_any()),
    }
}

fn array(definitions: &[&str]) -> Bytes {
    Bytes::from(format!("[{}]", definitions.join(",")))
}
