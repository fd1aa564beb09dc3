//! A connector: everything that the host asks a component for, put together.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::base::exports::ferrata::connector::tools as wire;
use crate::credential::{Credential, Upstream};
use crate::cx::Cx;
use crate::fault::Fault;
use crate::limit::Observe;
use crate::login::{Login, Session};
use crate::operation::Operation;
use crate::tool::Tool;
use crate::verdict::{Classify, Reading, Verdict};
use crate::{decode, host, schema};

/// A connector without a login of its own.
#[derive(Debug)]
pub enum NoLogin {}

/// A connector whose system has a login of its own.
#[derive(Debug)]
pub enum WithLogin {}

/// What the system's login dance is: one function.
pub type Authenticate<S> = fn(&Cx<S>, &Login) -> Result<Session, Fault>;

/// A connector whose settings are `S`. [`export!`](crate::export) makes a component of it.
pub struct Connector<S, L = NoLogin> {
    name: &'static str,
    version: &'static str,
    description: Option<&'static str>,
    upstreams: Vec<Upstream>,
    credentials: Vec<Credential>,
    operations: Vec<Operation>,
    tools: Vec<Tool<S>>,
    reading: Reading,
    authenticate: Option<Authenticate<S>>,
    login: PhantomData<L>,
}

/// Settings of a connector that has none.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

impl<S> Connector<S> {
    /// A connector that answers are read for by their status ([`Verdict::by_status`]) until
    /// [`classify`](Self::classify) says otherwise. `version` is `env!("CARGO_PKG_VERSION")`.
    pub fn new(name: &'static str, version: &'static str) -> Self {
        Self {
            name,
            version,
            description: None,
            upstreams: Vec::new(),
            credentials: Vec::new(),
            operations: Vec::new(),
            tools: Vec::new(),
            reading: Reading { classify: Verdict::by_status, observe: None },
            authenticate: None,
            login: PhantomData,
        }
    }

    /// The system's own login. The component is then exported with `export!(connector, login)`.
    pub fn login(self, authenticate: Authenticate<S>) -> Connector<S, WithLogin> {
        let Self { name, version, description, upstreams, credentials, operations, tools, reading, .. } =
            self;
        let (authenticate, login) = (Some(authenticate), PhantomData);
        Connector {
            name,
            version,
            description,
            upstreams,
            credentials,
            operations,
            tools,
            reading,
            authenticate,
            login,
        }
    }
}

impl<S, L> Connector<S, L> {
    /// One sentence for the operator.
    pub fn describe(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// A system that requests name.
    pub fn upstream(mut self, upstream: Upstream) -> Self {
        self.upstreams.push(upstream);
        self
    }

    /// A credential that the operator configures.
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credentials.push(credential);
        self
    }

    /// Operations besides those that tools name as their first.
    pub fn operations(mut self, operations: &[Operation]) -> Self {
        operations.iter().for_each(|operation| self.declare(operation));
        self
    }

    /// A tool, and its first operation.
    pub fn tool(mut self, tool: Tool<S>) -> Self {
        self.declare(tool.first());
        self.tools.push(tool);
        self
    }

    /// How answers are read for their meaning.
    pub fn classify(mut self, classify: Classify) -> Self {
        self.reading.classify = classify;
        self
    }

    /// How answers are read for what they tell of the system's limits, in headers of its own. The standard ones the host reads itself.
    pub fn observe(mut self, observe: Observe) -> Self {
        self.reading.observe = Some(observe);
        self
    }

    fn declare(&mut self, operation: &Operation) {
        let known = self.operations.iter().any(|known| known.label == operation.label);
        if !known {
            self.operations.push(*operation);
        }
    }

    pub(crate) fn tools(&self) -> Vec<wire::Tool> {
        self.tools.iter().map(Tool::to_wire).collect()
    }
}

impl<S: DeserializeOwned, L> Connector<S, L> {
    pub(crate) fn call(
        &self,
        tool: &str,
        invocations: Vec<wire::Invocation>,
    ) -> Vec<Result<wire::Answer, Fault>> {
        let ready = self.find(tool).and_then(|tool| Ok((tool, self.cx()?)));
        match ready {
            Ok((tool, mut cx)) => tool.run(&mut cx, invocations),
            Err(fault) => invocations.iter().map(|_| Err(fault.clone())).collect(),
        }
    }

    pub(crate) fn authenticate(&self, credential: String, grant: &str) -> Result<Session, Fault> {
        let authenticate = self.authenticate.ok_or_else(|| Fault::broken("The connector has no login."))?;
        authenticate(&self.cx()?, &Login::new(credential, grant)?)
    }

    fn find(&self, name: &str) -> Result<&Tool<S>, Fault> {
        let tool = self.tools.iter().find(|tool| tool.name() == name);
        tool.ok_or_else(|| Fault::broken(format!("The connector has no tool `{name}`.")))
    }

    pub(crate) fn cx(&self) -> Result<Cx<S>, Fault> {
        let settings = decode::text(&host::settings()).map_err(|mismatch| {
            mismatch.into_fault("The connector's configuration (`settings`)", Fault::broken)
        })?;
        Ok(Cx::new(settings, self.reading))
    }
}

/// What `describe` returns; `wit/manifest.schema.json` is its schema.
#[derive(Serialize)]
struct Manifest<'a> {
    name: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    settings: Value,
    upstreams: &'a [Upstream],
    credentials: &'a [Credential],
    operations: &'a [Operation],
}

impl<S: JsonSchema, L> Connector<S, L> {
    /// The manifest, as JSON. Empty text, which no host accepts, if it cannot be written.
    pub(crate) fn manifest(&self) -> String {
        let manifest = Manifest {
            name: self.name,
            version: self.version,
            description: self.description,
            settings: schema::input::<S>(),
            upstreams: &self.upstreams,
            credentials: &self.credentials,
            operations: &self.operations,
        };
        serde_json::to_string(&manifest).unwrap_or_default()
    }
}
