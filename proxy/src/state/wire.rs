//! The connection to a Redis that sidecars share, and running one script over it.

use std::path::Path;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, RedisError, ScriptInvocation, TlsCertificates,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Longest wait for an answer: a store that takes longer is away.
pub const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);

/// Longest wait for a connection, TLS included: meanwhile the store is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// One Redis. Connects when it is needed first, and again when a connection has failed.
pub struct Wire {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Wire {
    /// `url` is `redis://…`, `rediss://…` or `redis+unix://…`; `roots` are PEM certificates to trust instead of the public ones. The error
    /// is a sentence for the operator.
    pub fn new(url: &str, roots: Option<&Path>) -> Result<Self, String> {
        // What the library says of a URL may repeat the password in it.
        let invalid = |_: RedisError| {
            "the URL of the shared state is not valid: redis://HOST:PORT/DATABASE or rediss://…".to_owned()
        };
        let client = match roots {
            None => Client::open(url).map_err(invalid)?,
            Some(path) => {
                let pem =
                    std::fs::read(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
                let trusted = TlsCertificates { client_tls: None, root_cert: Some(pem) };
                Client::build_with_tls(url, trusted).map_err(invalid)?
            }
        };
        Ok(Self { client, connection: Mutex::default() })
    }

    /// Runs a script. Whatever fails, it may have run.
    pub async fn invoke<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, String> {
        let mut connection = self.connect().await?;
        match timeout(ANSWER_TIMEOUT, call.invoke_async(&mut connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(self.failed(&e).await),
            Err(_) => {
                // An answer that comes late must not be taken for the next one's.
                *self.connection.lock().await = None;
                Err(format!("the shared state did not answer within {} ms", ANSWER_TIMEOUT.as_millis()))
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT));
        let config = config.set_response_timeout(Some(ANSWER_TIMEOUT));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let connection =
            connection.map_err(|e| format!("the shared state cannot be reached: {}", e.category()))?;
        Ok(kept.insert(connection).clone())
    }

    /// A connection that failed is not used again; one over which the store said something is well.
    async fn failed(&self, error: &RedisError) -> String {
        if !matches!(error.kind(), ErrorKind::Server(_)) {
            *self.connection.lock().await = None;
        }
        format!("the shared state failed: {error}")
    }
}
