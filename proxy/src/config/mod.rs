//! `ferrata.yaml`: its shape, which is also its published JSON Schema.
//!
//! Owns the operator's words and their defaults. Reading the file is `yaml`'s and `load`'s, judging what a
//! schema cannot say is `check`'s. What is not built yet has its place here and is refused by `check`, so that
//! nothing an operator writes is ever ignored.

mod access;
mod audit;
mod auth;
mod check;
mod credential;
mod limits;
mod load;
mod policies;
mod position;
mod salvage;
mod sandbox;
mod units;
mod url;
pub mod yaml;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::policy::{Mode, Priority};
pub use access::Access;
pub use audit::{Audit, AuditConsole, AuditFile, AuditHttp, AuditQueue, AuditSink, OnAuditFailure};
pub use auth::{Auth, Jwt, JwtAlgorithm, OneOrMore, key_address};
pub use credential::{Credential, CredentialKind, EnvField, Field, PUBLIC_FIELDS, PlainField};
pub use limits::{Limits, LimitsSection, ScopedWall, Wall};
pub use load::{ConfigError, Mistake, load, parse};
pub use policies::{Breaker, Bulkhead, Queue, Retry};
pub use position::Position;
pub use sandbox::{MAX_CALL_SANDBOXES, MAX_MEMORY_BYTES, Sandbox};
pub use units::{ByteSize, Days, Period};
pub use url::{BaseUrl, SqlUrl};

/// Everything that `ferrata.yaml` may say.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where agents connect.
    #[serde(default)]
    pub agent: Agent,
    /// Where the platform connects: probes and metrics, and the control socket.
    #[serde(default)]
    pub admin: Admin,
    /// Where it is kept how much of the walls is used.
    #[serde(default)]
    pub state: State,
    /// How many sidecars spend from the same accounts without a shared `state`: each gets its part of every wall.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100_000))]
    pub replicas: u32,
    #[serde(default)]
    pub defaults: Defaults,
    /// Bounds of every sandbox; a connector may set its own.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// The connectors by name; the name is the first part of each of their tools' names.
    #[serde(default)]
    pub connectors: BTreeMap<String, Connector>,
    /// What each agent may see and call; one that is not named here, nothing. Without this section every known agent may call everything.
    #[serde(default)]
    pub access: Option<BTreeMap<String, Access>>,
    /// What is written down of every call; nothing when absent.
    #[serde(default)]
    pub audit: Option<Audit>,
}

/// The listener for agents.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Address and port; port 0 takes a free one.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// How agents prove who they are.
    pub auth: Auth,
    /// Whose tokens agents may bring along in `Ferrata-Subject-Token`, to act for a user. With `jwt`, the agent's own token names the user.
    pub users: Option<Jwt>,
    /// Values of the `Host` header that are accepted beside loopback names and the listener's own address.
    pub hosts: Vec<String>,
    /// Browser origins that may call; loopback origins always may.
    pub origins: Vec<String>,
    /// Connections at once; one more is refused.
    #[schemars(range(min = 1, max = 65536))]
    pub max_connections: usize,
    /// Largest request body.
    pub max_body: ByteSize,
    /// How long calls in flight may go on after SIGTERM.
    pub drain: Period,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4180)),
            auth: Auth::default(),
            users: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            max_connections: 1024,
            max_body: ByteSize::mebibytes(4),
            // Kubernetes kills after 30 s by default; leave it time for the rest of the pod.
            drain: Period::seconds(25),
        }
    }
}

/// The listener for the platform.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address of `/livez`, `/readyz` and `/metrics`; none when absent.
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
    /// Where `/status` is: the path of a unix socket, or a loopback address and port; none when absent.
    pub control: Option<String>,
}

fn one() -> u32 {
    1
}

/// `memory`, `{ file: … }` or `{ redis: … }`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum State {
    Memory(InMemory),
    File(StateFile),
    Redis(StateRedis),
}

impl State {
    /// The file with the key that credentials are sealed with.
    pub fn key(&self) -> Option<&PathBuf> {
        match self {
            Self::Memory(_) => None,
            Self::File(state) => state.key.as_ref(),
            Self::Redis(state) => state.key.as_ref(),
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Memory(InMemory::Memory)
    }
}

/// Forgotten when the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InMemory {
    Memory,
}

/// A file that survives restarts and `kill -9`, on a volume of this sidecar alone.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateFile {
    pub file: PathBuf,
    /// File with the key that credentials are sealed with: 32 random bytes in base64 (`head -c 32 /dev/urandom | base64`). Needed where a
    /// refresh token is kept.
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// A Redis that all sidecars share: `redis://`, `rediss://` or `redis+unix://`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateRedis {
    pub redis: String,
    /// PEM file of certificate authorities that are trusted instead of the public ones.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// As of a `file`; the same for all sidecars.
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// What holds for a call unless it says otherwise, and the most that it may say.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// How long a call may take when its agent does not say.
    pub deadline: Period,
    /// What the process may hold for agents at once: requests, answers, sandboxes. Beyond it new calls are refused. Three quarters of the container's memory
    /// when absent, or 1 GiB where there is no container.
    pub memory: Option<ByteSize>,
    /// The longest that an agent may ask for; as long as `deadline` when absent.
    pub max_deadline: Option<Period>,
    /// Who goes first at a wall, when the agent does not say.
    pub priority: Priority,
}

impl Defaults {
    /// The longest that any call may take.
    pub fn longest(&self) -> std::time::Duration {
        self.max_deadline.map_or(self.deadline.0, |longest| longest.0.max(self.deadline.0))
    }
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            deadline: Period::seconds(30),
            memory: None,
            max_deadline: None,
            priority: Priority::Interactive,
        }
    }
}

/// A component with a configuration and a name.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connector {
    /// Path of the component's file, relative to the configuration file.
    pub component: PathBuf,
    /// Satisfies the settings schema of the component's manifest.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// The systems that it may reach, by the names of its manifest.
    #[serde(default)]
    pub upstreams: BTreeMap<String, Upstream>,
    /// The credentials that it may use, by the names of its manifest.
    #[serde(default)]
    pub credentials: BTreeMap<String, Credential>,
    /// Its own sandbox bounds, in place of the general ones.
    #[serde(default)]
    pub sandbox: Option<Sandbox>,
    /// Walls by upstream, beside those that its manifest knows.
    #[serde(default)]
    pub limits: BTreeMap<String, Limits>,
    /// Overrides of its mapping tables. Not built yet.
    #[serde(default)]
    pub mapping: Option<Value>,
    /// What to answer when a read cannot be had, by the tool's own name: tried in this order.
    #[serde(default)]
    pub fallback: BTreeMap<String, Vec<Fallback>>,
    /// Whether identical reads of one caller that are under way at once are made as one.
    #[serde(default = "Connector::default_coalesce")]
    pub coalesce: bool,
}

impl Connector {
    fn default_coalesce() -> bool {
        true
    }
}

/// What stands in for a read that cannot be had: because the system is down, too slow or takes no more calls. Never after "not found", "not
/// allowed" or a dead credential.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Fallback {
    Stale(StaleFallback),
    Tool(ToolFallback),
}

/// An earlier answer to the same call of the same caller, which has written nothing since. It says that it is one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaleFallback {
    /// How old it may be.
    pub stale: Period,
}

/// Another tool.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolFallback {
    /// Its whole name, `<connector>_<tool>`: a read whose results have the same schema.
    pub tool: String,
}

/// A system that a connector may reach.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// `https://host[:port][/base]`, `http://…` or `postgres://host[:port][,host…]/database`. One label of an https host may be
    /// `*`; a login then says which host it is.
    pub url: String,
    /// Whose quota it is. Connectors that name the same account for an upstream of the same name share its walls, its breaker and
    /// what it takes at once. Without one, the quota is this connector's own.
    #[serde(default)]
    pub account: Option<String>,
    #[serde(default)]
    pub breaker: Breaker,
    #[serde(default)]
    pub retry: Retry,
    #[serde(default)]
    pub queue: Queue,
    #[serde(default)]
    pub bulkhead: Bulkhead,
    /// When it is known to be down: `Sat 02:00-04:00 Europe/Berlin`, `Mon,Thu 23:30-00:15 UTC`, `daily 03:00-03:10 UTC`, or once,
    /// `2026-12-24T20:00/2026-12-25T02:00 Europe/Berlin`. Calls are answered with the time it ends.
    #[serde(default)]
    pub maintenance: Vec<String>,
    /// PEM file of certificate authorities that are trusted beside the public ones.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// How long a connection may take to be made.
    #[serde(default = "Upstream::default_connect")]
    pub connect: Period,
    /// Largest answer.
    #[serde(default = "Upstream::default_max_response")]
    pub max_response: ByteSize,
    /// Only with a `postgres:` URL.
    #[serde(default)]
    pub sql: Option<Sql>,
}

impl Upstream {
    /// Whether the URL is one of PostgreSQL.
    pub fn is_sql(&self) -> bool {
        self.url.starts_with("postgres:") || self.url.starts_with("postgresql:")
    }

    /// Whether it is the same system reached in the same way, whatever its policies are.
    pub fn is_the_same_system(&self, other: &Self) -> bool {
        let way = |u: &Self| (u.url.clone(), u.ca.clone(), u.connect, u.max_response, u.sql.clone());
        way(self) == way(other)
    }

    fn default_connect() -> Period {
        Period::seconds(5)
    }

    fn default_max_response() -> ByteSize {
        ByteSize::mebibytes(4)
    }
}

/// How a PostgreSQL upstream is used.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sql {
    /// `require` (the default: encrypted, and the certificate is checked) or `disable`.
    pub tls: SqlTls,
    /// Role to take on in each transaction. Defence in depth: give the login role no more rights than it needs.
    pub role: Option<String>,
    /// Whether every transaction is read only.
    pub read_only: bool,
    /// Longest run time of one statement on the server.
    pub statement_timeout: Period,
    /// Most rows of one answer.
    #[schemars(range(min = 1))]
    pub max_rows: u32,
    /// Largest answer.
    pub max_bytes: ByteSize,
    /// Highest planner's estimate for a read; no check when absent.
    pub max_cost: Option<f64>,
    /// Sessions at once.
    #[schemars(range(min = 1, max = 1000))]
    pub pool: usize,
}

impl Default for Sql {
    fn default() -> Self {
        Self {
            tls: SqlTls::Require,
            role: None,
            read_only: true,
            statement_timeout: Period::seconds(10),
            max_rows: 1000,
            max_bytes: ByteSize::kibibytes(512),
            max_cost: None,
            pool: 8,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SqlTls {
    Require,
    Disable,
}

/// The JSON Schema of the file, for editors and for `ferrata schema`.
pub fn schema() -> Value {
    schemars::schema_for!(Config).to_value()
}
