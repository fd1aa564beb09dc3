//! The connection to a Redis that sidecars share, and running one script over it.

use std::path::Path;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, RedisError, ScriptInvocation, TlsCertificates,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// Longest wait for an answer: a store that takes longer is away.
pub const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);

/// Longest wait for a connection, TLS included: meanwhile the store is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long nobody tries again after a connection could not be made: all who ask hear of it, and not each of them after a wait of its own.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// One Redis. Connects when it is needed first, and again when a connection has failed.
pub struct Wire {
    client: Client,
    line: Mutex<Line>,
}

/// The way there.
#[derive(Default)]
struct Line {
    connection: Option<MultiplexedConnection>,
    /// When the last attempt failed to make one.
    failed_at: Option<Instant>,
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
        Ok(Self { client, line: Mutex::default() })
    }

    /// Runs a script. Whatever fails, it may have run.
    pub async fn invoke<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, String> {
        let mut connection = self.connect().await?;
        match timeout(ANSWER_TIMEOUT, call.invoke_async(&mut connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(e)) => Err(self.failed(&e).await),
            Err(_) => {
                // An answer that comes late must not be taken for the next one's.
                self.hang_up().await;
                Err(format!("the shared state did not answer within {} ms", ANSWER_TIMEOUT.as_millis()))
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        // While one connects, the others need not wait for as long as that may take.
        let line = timeout(ANSWER_TIMEOUT, self.line.lock()).await;
        let mut line = line.map_err(|_| "the shared state is not connected yet".to_owned())?;
        if let Some(connection) = &line.connection {
            return Ok(connection.clone());
        }
        if line.failed_at.is_some_and(|at| at.elapsed() < FAILED_FOR) {
            return Err("the shared state could not be reached a moment ago".to_owned());
        }
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_TIMEOUT));
        let config = config.set_response_timeout(Some(ANSWER_TIMEOUT));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await;
        line.failed_at = connection.is_err().then(Instant::now);
        let connection =
            connection.map_err(|e| format!("the shared state cannot be reached: {}", e.category()))?;
        Ok(line.connection.insert(connection).clone())
    }

    async fn hang_up(&self) {
        // Whoever connects anew has done so already.
        if let Ok(mut line) = timeout(ANSWER_TIMEOUT, self.line.lock()).await {
            line.connection = None;
        }
    }

    /// A connection that failed is not used again; one over which the store said something is well.
    async fn failed(&self, error: &RedisError) -> String {
        if !matches!(error.kind(), ErrorKind::Server(_)) {
            self.hang_up().await;
        }
        format!("the shared state failed: {error}")
    }
}

#[cfg(test)]
mod tests {
    use redis::Script;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_takes_connections_and_says_nothing_is_away_for_all_at_once() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Wire::new(&format!("redis://{}", silent.local_addr().unwrap()), None).unwrap();
        let (script, start) = (Script::new("return 1"), Instant::now());
        let asks = (0..16).map(async |_| {
            let answer: Result<i64, String> = wire.invoke(&script.prepare_invoke()).await;
            assert!(answer.is_err());
        });
        futures_util::future::join_all(asks).await;
        let answer: Result<i64, String> = wire.invoke(&script.prepare_invoke()).await;
        assert!(answer.is_err());
        assert!(start.elapsed() < CONNECT_TIMEOUT * 2, "{:?}", start.elapsed());
    }
}
