//! How the operator wants one database to be used.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use zeroize::Zeroizing;

use crate::fault::Fault;

/// As whom a new connection logs in.
pub struct Login {
    pub user: String,
    pub password: Zeroizing<Vec<u8>>,
    pub version: u64,
    /// To be called when the database has accepted it.
    pub accepted: Box<dyn Fn() + Send + Sync>,
}

/// Where a login comes from: the one that is current, or another one than that version, which the database refused. Asked again for every new
/// connection, so that a rotated password (or user) needs no restart.
pub type LoginSource = Arc<dyn Fn(Option<u64>) -> Result<Login, Fault> + Send + Sync>;

/// Turns a configured host and port into the addresses to try, in order. Asked again for every new connection, so that
/// a failover by name service needs no restart; also the place to refuse addresses that the host must not have.
pub type Resolver = Arc<
    dyn Fn(String, u16) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> + Send + Sync,
>;

/// Asks the operating system, and refuses nothing.
pub fn system_resolver() -> Resolver {
    Arc::new(|host, port| {
        Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) })
    })
}

/// One database, and the bounds of its use.
#[derive(Clone)]
pub struct SqlSettings {
    /// Tried in order; TLS certificates are checked against these names.
    pub hosts: Vec<(String, u16)>,
    pub resolver: Resolver,
    pub database: String,
    pub login: LoginSource,
    /// `None`: the operator does without TLS. There is no "TLS if the server likes".
    pub tls: Option<Arc<ClientConfig>>,
    /// A role that each transaction takes on. It narrows what statements may touch by mistake; a statement that means it can
    /// step back to the login's own rights, so the login itself must not have more than it needs.
    pub role: Option<String>,
    /// Refuses everything but reads. Otherwise only hosts that accept writes are connected to.
    pub read_only: bool,
    /// Longest run of one statement.
    pub statement_timeout: Duration,
    /// Longest wait for a lock that somebody else holds.
    pub lock_timeout: Duration,
    /// Longest attempt to connect and log in at one address.
    pub connect_timeout: Duration,
    /// Longest wait for a session while all are busy.
    pub pool_wait: Duration,
    /// Most rows of one answer.
    pub max_rows: u32,
    /// Most bytes of one answer's rows, as JSON.
    pub max_bytes: usize,
    /// Highest planner's estimate of a read that may run. `None`: no check.
    pub max_cost: Option<f64>,
    /// Most connections at once.
    pub pool_size: usize,
}

impl SqlSettings {
    /// Read-only, with bounds for answers that a model can use.
    pub fn new(
        hosts: Vec<(String, u16)>,
        database: impl Into<String>,
        login: LoginSource,
        tls: Option<Arc<ClientConfig>>,
    ) -> Self {
        Self {
            hosts,
            resolver: system_resolver(),
            database: database.into(),
            login,
            tls,
            role: None,
            read_only: true,
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(5),
            pool_wait: Duration::from_secs(1),
            max_rows: 1_000,
            max_bytes: 512 << 10,
            max_cost: None,
            pool_size: 8,
        }
    }

    /// What no default can mend.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let wrong = if self.hosts.is_empty() {
            "no host"
        } else if self.pool_size == 0 {
            "a pool of no connections"
        } else if self.max_rows == 0 || self.max_bytes < MIN_MAX_BYTES {
            "bounds that let no row through"
        } else if self.max_cost.is_some_and(|cost| !cost.is_finite() || cost <= 0.0) {
            "a cost cap that is not a positive number"
        } else {
            return Ok(());
        };
        Err(Fault::internal(format!("a database is configured with {wrong}")))
    }
}

/// Below this not even the brackets of a few empty rows fit.
const MIN_MAX_BYTES: usize = 64;

impl fmt::Debug for SqlSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlSettings")
            .field("hosts", &self.hosts)
            .field("database", &self.database)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}
