//! One connection's way to its server: opening it, moving its bytes, and asking the server over a second one to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::tls::{MakeTlsConnect, NoTls};
use tokio_postgres::{CancelToken, Client, Config, Connection};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::{End, Reporter};
use super::guard::{Guarded, GuardedTls};
use super::settings::SqlSettings;

/// A peer that does not answer for so long is gone: the operating system then ends the connection, and whoever waits is told.
const PEER_TIMEOUT: Duration = Duration::from_secs(15);
/// When an idle connection is probed first, and how often after that.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Room for messages that are no rows: descriptions of columns, error reports.
const MESSAGE_OVERHEAD: usize = 64 << 10;
/// A row on the wire is at most so many times as long as its JSON: `[0,0,…]` as an array of four-byte integers, each
/// behind a length of four bytes.
const WIRE_BYTES_PER_JSON_BYTE: usize = 4;

/// Where a connection goes to, and for whom.
pub(super) struct Line {
    pub(super) settings: Arc<SqlSettings>,
    pub(super) reporter: Arc<Reporter>,
    pub(super) end: End,
    host: String,
    address: SocketAddr,
}

impl Line {
    pub(super) fn new(
        settings: &Arc<SqlSettings>,
        reporter: &Arc<Reporter>,
        host: &str,
        address: SocketAddr,
    ) -> Self {
        Self {
            settings: Arc::clone(settings),
            reporter: Arc::clone(reporter),
            end: Arc::new(OnceLock::new()),
            host: host.to_owned(),
            address,
        }
    }

    pub(super) async fn open(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY))?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(PEER_TIMEOUT))?;
        Ok(stream)
    }

    /// Speaks the protocol's opening, with TLS if the operator does not do without, and starts to move bytes.
    pub(super) async fn log_in(
        &self,
        stream: TcpStream,
        config: &Config,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let bound = self.settings.max_bytes * WIRE_BYTES_PER_JSON_BYTE + MESSAGE_OVERHEAD;
        let end = Arc::clone(&self.end);
        if let Some(tls) = &self.settings.tls {
            let tls = GuardedTls { tls: self.tls(tls), max_message_bytes: bound };
            let (client, connection) = config.connect_raw(stream, tls).await?;
            return Ok((client, tokio::spawn(drive(connection, end))));
        }
        let (client, connection) = config.connect_raw(Guarded::new(stream, bound), NoTls).await?;
        Ok((client, tokio::spawn(drive(connection, end))))
    }

    /// Asks the server to stop what the session is doing, over a connection of its own and within `limit`.
    pub(super) async fn cancel(&self, token: &CancelToken, limit: Duration) {
        let asking = async {
            let stream = self.open().await.map_err(|error| self.reporter.describe(&error))?;
            let asked = match &self.settings.tls {
                Some(tls) => token.cancel_query_raw(stream, self.tls(tls)).await,
                None => token.cancel_query_raw(stream, NoTls).await,
            };
            asked.map_err(|error| self.reporter.describe(&error))
        };
        let problem = match timeout(limit, asking).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => "no answer in time".to_owned(),
        };
        let database = &self.reporter.name;
        tracing::warn!(%database, problem, "a statement could not be cancelled; the server's own timeout ends it");
    }

    fn tls(&self, config: &ClientConfig) -> <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::TlsConnect {
        let mut config = config.clone();
        // The registered name: a server of another protocol then refuses, and newer servers of this one expect it.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        let mut make = MakeRustlsConnect::new(config);
        let Ok(connect) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut make, &self.host);
        connect
    }
}

/// Moves a connection's bytes until it ends, and keeps the reason. Notices and notifications are dropped: nobody asked.
async fn drive<S, T>(mut connection: Connection<S, T>, end: End)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
        if let Err(error) = message {
            // Before the connection is dropped: whoever waits on it looks for the reason as soon as it is.
            let _ = end.set(error);
            return;
        }
    }
}
