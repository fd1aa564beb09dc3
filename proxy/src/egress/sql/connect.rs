//! A new connection: whom to log in as, which address to try next, and whether the server there will do.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use super::fault::Reporter;
use super::line::Line;
use super::settings::{Login, SqlSettings};
use crate::fault::{Fault, FaultKind, Outcome};

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A connection that is logged in.
pub(super) struct Connected {
    pub(super) client: Client,
    /// Moves bytes; ends with the connection.
    pub(super) driver: JoinHandle<()>,
    pub(super) line: Line,
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
    let login = (settings.login)(None)?;
    match log_in(settings, reporter, &login).await {
        Err(fault) if fault.kind == FaultKind::CredentialDead => {
            // It was replaced a moment ago, or the database does not know the new one yet.
            let other = (settings.login)(Some(login.version)).map_err(|_| fault)?;
            log_in(settings, reporter, &other).await
        }
        tried => tried,
    }
}

async fn log_in(
    settings: &Arc<SqlSettings>,
    reporter: &Arc<Reporter>,
    login: &Login,
) -> Result<Connected, Fault> {
    reporter.learn(&login.password);
    let attempt = Attempt { settings, reporter, login };
    let mut last = None;
    for (host, port) in &settings.hosts {
        match attempt.at_host(host, *port).await {
            Ok(connected) => {
                (login.accepted)();
                return Ok(connected);
            }
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
        let line = Line::new(self.settings, self.reporter, host, address);
        let stream = line.open().await.map_err(|error| self.failed(host, address.port(), &error))?;
        let (client, driver) = line.log_in(stream, &self.config()).await.map_err(refused)?;
        let server = Server::ask(&client).await.map_err(refused)?;
        self.judge(host, &server)?;
        Ok(Connected { client, driver, line })
    }

    /// Holds what the password is, so it lives no longer than an attempt.
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

    fn judge(&self, host: &str, server: &Server) -> Result<(), Refused> {
        if server.is_superuser && self.reporter.warns_of_superuser() {
            tracing::warn!(
                database = %self.reporter.name,
                "the login is a superuser: functions that reach files and other sessions are not held back by a read-only \
                 transaction; use a login with no more rights than it needs"
            );
        }
        if !server.is_read_only || self.settings.read_only {
            return Ok(());
        }
        let message =
            format!("{host} takes no writes at the moment (it is a replica, or a failover is under way).");
        Err(Refused { fault: self.reporter.fault(FaultKind::Unavailable, message), everywhere: false })
    }

    fn unreachable(&self, host: &str, port: u16, why: &str) -> Refused {
        let message = format!("{host}:{port} could not be reached ({why}).");
        Refused { fault: self.reporter.fault(FaultKind::Unavailable, message), everywhere: false }
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
