//! A new connection: whom to log in as, which address to try next, TLS, and whether the server takes writes.

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
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::tls::{MakeTlsConnect, NoTls};
use tokio_postgres::{CancelToken, Client, Config, Connection, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::{End, Reporter};
use super::guard::{Guarded, GuardedTls};
use super::settings::{Login, SqlSettings};
use crate::fault::{Fault, FaultKind, Outcome};

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

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

/// A connection that is logged in.
pub(super) struct Connected {
    pub(super) client: Client,
    /// Moves bytes; ends with the connection.
    pub(super) driver: JoinHandle<()>,
    pub(super) line: Line,
}

/// Where a connection goes to, and for whom.
pub(super) struct Line {
    pub(super) settings: Arc<SqlSettings>,
    pub(super) reporter: Arc<Reporter>,
    pub(super) end: End,
    host: String,
    address: SocketAddr,
}

/// Why a host was of no use.
struct Refused {
    fault: Fault,
    /// Whether another host would say the same.
    everywhere: bool,
}

/// Connects to the first host that will do.
pub(super) async fn connect(
    settings: &Arc<SqlSettings>,
    reporter: &Arc<Reporter>,
) -> Result<Connected, Fault> {
    let login = (settings.login)()?;
    reporter.learn(&login.password);
    let attempt = Attempt { settings, reporter, login: &login };
    let mut last = None;
    for (host, port) in &settings.hosts {
        match attempt.at_host(host, *port).await {
            Ok(connected) => return Ok(connected),
            Err(Refused { fault, everywhere: true }) => return Err(fault),
            Err(Refused { fault, .. }) => {
                tracing::warn!(database = %reporter.name, %host, port, %fault, "no connection");
                last = Some(fault);
            }
        }
    }
    Err(last.unwrap_or_else(|| Fault::internal("a database has no host")))
}

struct Attempt<'a> {
    settings: &'a Arc<SqlSettings>,
    reporter: &'a Arc<Reporter>,
    login: &'a Login,
}

impl Attempt<'_> {
    async fn at_host(&self, host: &str, port: u16) -> Result<Connected, Refused> {
        let addresses = self.resolve(host, port).await.map_err(|error| self.failed(host, port, &error))?;
        let mut last = self.unreachable(host, port, "the name has no address");
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            match timeout(self.settings.connect_timeout, self.at_address(host, address)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(refused)) if refused.everywhere => return Err(refused),
                Ok(Err(refused)) => last = refused,
                Err(_) => last = self.unreachable(host, port, "no answer in time"),
            }
        }
        Err(last)
    }

    /// The one place where a name becomes addresses.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let resolving = (self.settings.resolver)(host.to_owned(), port);
        timeout(self.settings.connect_timeout, resolving)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn at_address(&self, host: &str, address: SocketAddr) -> Result<Connected, Refused> {
        let refused = |error: tokio_postgres::Error| self.refused(host, address.port(), &error);
        let stream = open(address).await.map_err(|error| self.failed(host, address.port(), &error))?;
        let line = Line {
            settings: Arc::clone(self.settings),
            reporter: Arc::clone(self.reporter),
            end: Arc::new(OnceLock::new()),
            host: host.to_owned(),
            address,
        };
        let bound = self.settings.max_bytes * WIRE_BYTES_PER_JSON_BYTE + MESSAGE_OVERHEAD;
        let (client, driver) = match &self.settings.tls {
            Some(tls) => {
                let tls = GuardedTls { tls: tls_to(tls, host), max_message_bytes: bound };
                let (client, connection) = self.config().connect_raw(stream, tls).await.map_err(refused)?;
                (client, tokio::spawn(drive(connection, Arc::clone(&line.end))))
            }
            None => {
                let stream = Guarded::new(stream, bound);
                let (client, connection) = self.config().connect_raw(stream, NoTls).await.map_err(refused)?;
                (client, tokio::spawn(drive(connection, Arc::clone(&line.end))))
            }
        };
        let server = Server::ask(&client).await.map_err(refused)?;
        if server.is_superuser && self.reporter.warns_of_superuser() {
            tracing::warn!(
                database = %self.reporter.name,
                "the login is a superuser: functions that reach files and other sessions are not held back by a read-only \
                 transaction; use a login with no more rights than it needs"
            );
        }
        if server.is_read_only && !self.settings.read_only {
            let message = format!(
                "{host} takes no writes at the moment (it is a replica, or a failover is under way)."
            );
            return Err(Refused {
                fault: self.reporter.fault(FaultKind::Unavailable, message),
                everywhere: false,
            });
        }
        Ok(Connected { client, driver, line })
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .user(&self.login.user)
            .password(self.login.password.as_slice())
            .dbname(&self.settings.database)
            .application_name(format!("ferrata/{}", self.reporter.name))
            .ssl_mode(if self.settings.tls.is_some() { SslMode::Require } else { SslMode::Disable })
            .channel_binding(ChannelBinding::Prefer);
        config
    }

    fn unreachable(&self, host: &str, port: u16, why: &str) -> Refused {
        let fault = self
            .reporter
            .fault(FaultKind::Unavailable, format!("{host}:{port} could not be reached ({why})."));
        Refused { fault, everywhere: false }
    }

    fn failed(&self, host: &str, port: u16, error: &(dyn std::error::Error + 'static)) -> Refused {
        self.unreachable(host, port, &self.reporter.describe(error))
    }

    fn refused(&self, host: &str, port: u16, error: &tokio_postgres::Error) -> Refused {
        let Some(db) = error.as_db_error() else { return self.failed(host, port, error) };
        let fault = self.reporter.server_fault(db, false).with_outcome(Outcome::NotSent);
        // A wrong password or a missing database is wrong everywhere, and guessing on would lock the account.
        let everywhere = matches!(fault.kind, FaultKind::CredentialDead | FaultKind::PermissionDenied)
            || fault.code.as_deref() == Some("3D000");
        Refused { fault, everywhere }
    }
}

impl Line {
    /// Asks the server to stop what the session is doing, over a connection of its own and within `limit`.
    pub(super) async fn cancel(&self, token: &CancelToken, limit: Duration) {
        let asking = async {
            let stream = open(self.address).await.map_err(|error| self.reporter.describe(&error))?;
            let asked = match &self.settings.tls {
                Some(tls) => token.cancel_query_raw(stream, tls_to(tls, &self.host)).await,
                None => token.cancel_query_raw(stream, NoTls).await,
            };
            asked.map_err(|error| self.reporter.describe(&error))
        };
        let problem = match timeout(limit, asking).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(database = %self.reporter.name, problem, "a statement could not be cancelled; the server's own timeout ends it");
    }
}

fn tls_to(
    tls: &Arc<ClientConfig>,
    host: &str,
) -> <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::TlsConnect {
    let mut config = ClientConfig::clone(tls);
    // The registered name: a server of another protocol then refuses, and newer servers of this one expect it.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let mut make = MakeRustlsConnect::new(config);
    let Ok(connect) = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut make, host);
    connect
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(PEER_TIMEOUT))?;
    Ok(stream)
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

/// What a new connection asks the server about itself.
struct Server {
    is_read_only: bool,
    is_superuser: bool,
}

impl Server {
    async fn ask(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let messages = client.simple_query("SHOW transaction_read_only; SHOW is_superuser").await?;
        let mut answers = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.try_get(0).ok().flatten().map(|value| value == "on"),
            _ => None,
        });
        let mut is_on = || answers.next().unwrap_or(false);
        Ok(Self { is_read_only: is_on(), is_superuser: is_on() })
    }
}
