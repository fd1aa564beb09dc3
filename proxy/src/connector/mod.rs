//! Connectors: components, loaded, checked against their grants, and run in sandboxes.
//!
//! The only room that knows WebAssembly. Owns loading and calling guests; what they may do outside is `egress`'s.

mod answer;
mod ask;
mod batch;
mod bindings;
mod bounds;
mod compiled;
mod component;
mod content;
mod convert;
mod engine;
mod host;
mod idle;
mod load;
mod login;
mod manifest;
mod mirror;
mod prompt;
mod question;
mod redact;
mod resource;
mod sandbox;
pub mod schema;
mod tool;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

pub use ask::{Asked, Typed};
pub use batch::Done;
pub use bounds::Bounds;
pub use compiled::CompiledCache;
pub use engine::Engine;
pub use load::{compile, load};
pub use manifest::Manifest;
pub use mirror::Mirror;
pub use prompt::PromptSpec;
pub use redact::Redaction;
pub use resource::{ResourceSpec, Resources, Variables, check_path};
pub use tool::{ToolSpec, check_name};

use crate::call::{Caller, Client, Deadline, Inputs, ToolResult, Trail};
use crate::config;
use crate::credential::Credentials;
use crate::egress::First;
use crate::egress::account::Account;
use crate::egress::scope::{Purpose, Scope};
use crate::egress::upstream::Upstreams;
use crate::fault::{Fault, FaultKind, Outcome};
use crate::policy::Priority;
use crate::policy::limit::Owner;
use crate::telemetry::TraceContext;
use bindings::tools::{self, Invocation};
use bindings::types;
use host::Tickets;
use sandbox::Sandboxes;

/// One generation of a connector: immutable, and pinned by every call that it serves.
pub struct Connector {
    pub name: Arc<str>,
    /// Grows with everything that is loaded in this process: tells one generation from the next.
    pub generation: u64,
    pub manifest: Manifest,
    /// Sorted by name.
    pub tools: Vec<ToolSpec>,
    pub resources: Resources,
    /// Sorted by name.
    pub prompts: Vec<PromptSpec>,
    sandboxes: Arc<Sandboxes>,
    config: config::Connector,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connector({} {})", self.name, self.manifest.version)
    }
}

/// A call that the gate has let through.
#[derive(Debug)]
pub struct Admitted {
    pub arguments: Box<RawValue>,
    pub caller: Caller,
    pub deadline: Deadline,
    pub priority: Priority,
    /// Which task of the agent's it is part of.
    pub workflow: Option<Arc<str>>,
    pub trace: TraceContext,
    pub idempotency_key: String,
    /// Whether an earlier call with that key may have been done: what would do it twice is not sent.
    pub resumes: bool,
    pub inputs: Option<Inputs>,
    pub client: Client,
    /// Where it is noted what is sent.
    pub trail: Trail,
}

impl Admitted {
    /// The same call once more, which can neither ask nor report.
    pub fn again(&self) -> Self {
        Self {
            arguments: self.arguments.clone(),
            caller: self.caller.clone(),
            deadline: self.deadline,
            priority: self.priority,
            workflow: self.workflow.clone(),
            trace: self.trace,
            idempotency_key: self.idempotency_key.clone(),
            resumes: self.resumes,
            inputs: None,
            client: Client::default(),
            trail: self.trail.clone(),
        }
    }
}

impl Connector {
    /// Makes one call of one tool. Dropping the future stops the guest and what it has under way.
    pub async fn call(&self, tool: &ToolSpec, call: Admitted) -> Result<ToolResult, Fault> {
        let purpose = Purpose::Call { ceiling: tool.effect };
        let scope = Scope::new(purpose, call.caller, call.deadline, call.trace).noting(call.trail);
        // Only where a wall is about what an argument names.
        let named = self.sandboxes.runtime.egress.has_resources().then(|| call.arguments.clone());
        let scope = scope.of_call(named, call.priority, call.workflow).resuming(call.resumes);
        let scope = Arc::new(scope);
        let invocation = Invocation {
            id: "1".to_owned(),
            arguments: String::from(Box::<str>::from(call.arguments)),
            idempotency_key: call.idempotency_key,
            inputs: call.inputs.map(types::Inputs::from),
        };
        let can_be_asked = call.client.can_bring.is_some();
        scope.bring(self.enter_first(tool, &scope).await?);
        let ran = self.run(Arc::clone(&scope), tool, vec![invocation], call.client).await;
        let result = ran.and_then(|(mut answers, mut invocations)| {
            // As many as there were invocations.
            let (Some(answer), Some(invocation)) = (answers.pop(), invocations.pop()) else {
                return Err(Fault::internal("a call without an answer"));
            };
            let result = tool.accept(&self.name, answer?, self.sandboxes.runtime.bounds.result)?;
            self.check_question(tool, result, invocation, &scope, can_be_asked)
        });
        result.map_err(|fault| stamp(fault, &scope))
    }

    /// Waits for the permit of the operation that the tool's calls begin with.
    async fn enter_first(&self, tool: &ToolSpec, scope: &Scope) -> Result<Option<First>, Fault> {
        let egress = &self.sandboxes.runtime.egress;
        egress.enter_first(scope, &tool.first_operation).await.map_err(|fault| stamp(fault, scope))
    }

    /// Has the guest make calls; one answer for each.
    async fn run(
        &self,
        scope: Arc<Scope>,
        tool: &ToolSpec,
        invocations: Vec<Invocation>,
        client: Client,
    ) -> Result<(Vec<Result<tools::Answer, Fault>>, Vec<Invocation>), Fault> {
        let indices = &self.sandboxes.loaded.tools;
        let answer = self.sandboxes.run(scope, async |sandbox| {
            sandbox.store.data_mut().run.client = client;
            let guest = indices.load(&mut sandbox.store, &sandbox.instance)?;
            let answers = guest.call_call(&mut sandbox.store, &tool.name, &invocations).await?;
            let run = &mut sandbox.store.data_mut().run;
            // The sandbox may be kept; the client is gone.
            run.client = Client::default();
            let (calls, count) = (invocations.len(), answers.len());
            if count != calls {
                let message = format!("The connector `{}` gave {count} answers to {calls} calls.", self.name);
                return Ok(Err(Fault::new(FaultKind::ConnectorFailed, message)));
            }
            let answers = answers.into_iter().map(|answer| answer.map_err(|fault| run.host_view(fault)));
            Ok(Ok((answers.collect(), invocations)))
        });
        answer.await?
    }

    /// A question is for those who can answer it, and comes before anything is done: the call is made again from its beginning.
    fn check_question(
        &self,
        tool: &ToolSpec,
        mut result: ToolResult,
        invocation: Invocation,
        scope: &Scope,
        can_be_asked: bool,
    ) -> Result<ToolResult, Fault> {
        let ToolResult::Question(question) = &mut result else { return Ok(result) };
        let full = format!("{}_{}", self.name, tool.name);
        if scope.may_have_written() {
            let message = format!("`{full}` asked for more after it had written something.");
            return Err(Fault::new(FaultKind::ConnectorFailed, message));
        }
        if !can_be_asked {
            return Err(no_way_to_ask(&full));
        }
        question.idempotency_key = invocation.idempotency_key;
        Ok(result)
    }

    /// Whether a next generation would use the same upstreams with the same credentials.
    fn is_for_the_same(&self, manifest: &Manifest, config: &config::Connector) -> bool {
        let same = |(name, upstream): (&String, &config::Upstream)| {
            config.upstreams.get(name).is_some_and(|other| upstream.is_the_same_system(other))
        };
        self.config.upstreams.len() == config.upstreams.len()
            && self.config.upstreams.iter().all(same)
            && self.config.credentials == config.credentials
            && self.manifest.needs_the_same_credentials(manifest)
    }

    /// What belongs to the upstreams, for the next generation.
    fn hand_on(&self) -> (Arc<Credentials>, Arc<Upstreams>) {
        let egress = &self.sandboxes.runtime.egress;
        (Arc::new(egress.credentials.handed_on()), Arc::clone(&egress.upstreams))
    }

    /// The walls before the operation that a tool's calls begin with, and what such a call takes of them; none where that depends on the call.
    pub fn first_walls(&self, tool: &ToolSpec) -> Option<(&Arc<Account>, &Arc<str>, u64)> {
        let (account, operation) = self.sandboxes.runtime.egress.first_walls(&tool.first_operation)?;
        Some((account, &operation.label, operation.cost))
    }

    /// Whether the workflow of a call has reserved it.
    pub fn has_booked(&self, tool: &ToolSpec, call: &Admitted) -> bool {
        let Some(workflow) = &call.workflow else { return false };
        let owner = Owner { agent: &call.caller.agent, workflow };
        self.first_walls(tool)
            .is_some_and(|(account, operation, cost)| account.has_booked(owner, operation, cost))
    }

    /// The walls before each of its upstreams.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.sandboxes.runtime.egress.accounts()
    }

    /// Whether identical reads of one caller that are under way at once are made as one.
    pub fn coalesces(&self) -> bool {
        self.config.coalesce
    }

    /// What the operator wants when a read fails, by the tool's own name.
    pub fn fallback(&self) -> &BTreeMap<String, Vec<config::Fallback>> {
        &self.config.fallback
    }

    /// What is wrong with its credentials as the operator configured them, by name; a sentence each.
    pub fn credential_problems(&self) -> BTreeMap<String, String> {
        let credentials = self.sandboxes.runtime.egress.credentials.iter();
        let problem = credentials.filter_map(|c| Some((c.name.to_string(), c.problem()?)));
        problem.collect()
    }

    /// Its credentials, as the operator granted them.
    pub fn credentials(&self) -> &Credentials {
        &self.sandboxes.runtime.egress.credentials
    }

    /// Sandboxes that are in use now.
    pub fn sandboxes_in_use(&self) -> usize {
        self.sandboxes.in_use()
    }
}

impl From<Inputs> for types::Inputs {
    fn from(Inputs { responses, state }: Inputs) -> Self {
        Self { responses: String::from(Box::<str>::from(responses)), state }
    }
}

fn no_way_to_ask(what: &str) -> Fault {
    let message = format!(
        "`{what}` must ask something before it can go on, and the protocol that it was called with has no way \
         to ask (MCP has, from revision 2026-07-28 on)."
    );
    Fault::new(FaultKind::Rejected, message)
}

/// Whether a call ended before its last answer was read.
fn cut_short(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::DeadlineExceeded | FaultKind::ConnectorFailed)
}

/// What the end of every failed call knows: how often something was sent, and that a call that sent something may have had an effect.
fn stamp(mut fault: Fault, scope: &Scope) -> Fault {
    fault.attempts = scope.attempts();
    if scope.may_have_written() {
        fault.outcome = Outcome::Unknown;
        // "Try again" or "nothing was done" would be a lie.
        if fault.is_retryable() || fault.kind == FaultKind::ConnectorFailed {
            fault.kind = FaultKind::OutcomeUnknown;
            fault.retry_at = None;
        }
    } else if fault.attempts > 0 && fault.outcome == Outcome::NotSent && cut_short(fault.kind) {
        fault.outcome = Outcome::Unknown;
    }
    fault
}
