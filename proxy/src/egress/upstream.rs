//! The upstreams of one connector, as the operator configured them. They outlive the connector's component: a swap resets nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::{HttpClient, tls_config};
use super::resolve::resolve;
use super::sql::{Login, LoginSource, SqlSettings, SqlUpstream};
use crate::config::{self, BaseUrl, SqlTls, SqlUrl};
use crate::credential::{Credentials, Material};
use crate::fault::{Fault, FaultKind};

/// A system that a connector may reach.
pub enum Upstream {
    Http(Box<Http>),
    Sql(SqlUpstream),
}

/// A system that speaks HTTP.
pub struct Http {
    pub name: Arc<str>,
    base: BaseUrl,
    pub client: HttpClient,
}

impl Http {
    /// The error is a sentence for the operator.
    pub fn new(name: &str, config: &config::Upstream) -> Result<Self, String> {
        let base = BaseUrl::parse(&config.url)?;
        let tls = tls_config(config.ca.as_deref())?;
        let client = HttpClient::new(tls, config.connect.0, config.max_response.0);
        Ok(Self { name: name.into(), base, client })
    }

    /// Where requests go: the configured base, or the one that a login assigned within the operator's pattern.
    pub fn base<'a>(
        &self,
        materials: impl Iterator<Item = &'a Arc<Material>>,
    ) -> Result<Cow<'_, BaseUrl>, Fault> {
        if !self.base.is_pattern() {
            return Ok(Cow::Borrowed(&self.base));
        }
        let assigned = materials.filter_map(|m| m.base_urls.get(&*self.name)).next();
        let unknown = || {
            let message =
                format!("The host of the upstream `{}` comes from a login, and none has said it.", self.name);
            Fault::new(FaultKind::CredentialDead, message)
        };
        self.assigned(assigned.ok_or_else(unknown)?).map(Cow::Owned).map_err(|why| {
            Fault::new(FaultKind::CredentialDead, format!("A login named a host that cannot be: {why}."))
        })
    }

    /// Judges a base URL that a login brought.
    pub fn assigned(&self, url: &str) -> Result<BaseUrl, String> {
        let assigned = BaseUrl::parse(url)?;
        if self.base.admits(&assigned) {
            Ok(assigned)
        } else {
            Err(format!("`{url}` is outside what the operator configured for `{}`", self.name))
        }
    }
}

/// All upstreams of one connector, by name.
#[derive(Default)]
pub struct Upstreams(BTreeMap<String, Upstream>);

impl Upstreams {
    /// The error is a sentence for the operator.
    pub fn from_config(config: &config::Connector, credentials: &Arc<Credentials>) -> Result<Self, String> {
        let upstream = |(name, upstream): (&String, &config::Upstream)| {
            let made = if upstream.is_sql() {
                sql_upstream(name, upstream, credentials).map(Upstream::Sql)
            } else {
                Http::new(name, upstream).map(|http| Upstream::Http(Box::new(http)))
            };
            made.map(|u| (name.clone(), u)).map_err(|e| format!("upstream `{name}`: {e}"))
        };
        config.upstreams.iter().map(upstream).collect::<Result<_, _>>().map(Self)
    }

    pub fn get(&self, name: &str) -> Option<&Upstream> {
        self.0.get(name)
    }
}

fn sql_upstream(
    name: &str,
    config: &config::Upstream,
    credentials: &Arc<Credentials>,
) -> Result<SqlUpstream, String> {
    let url = SqlUrl::parse(&config.url)?;
    let sql = config.sql.clone().unwrap_or_default();
    let tls = match sql.tls {
        SqlTls::Require => Some(Arc::new(tls_config(config.ca.as_deref())?)),
        SqlTls::Disable => None,
    };
    let settings = SqlSettings {
        resolver: Arc::new(|host, port| Box::pin(async move { resolve(&host, port).await })),
        role: sql.role,
        read_only: sql.read_only,
        statement_timeout: sql.statement_timeout.0,
        connect_timeout: config.connect.0,
        max_rows: sql.max_rows,
        max_bytes: sql.max_bytes.0,
        max_cost: sql.max_cost,
        pool_size: sql.pool,
        ..SqlSettings::new(url.hosts, url.database, sql_login(name, credentials)?, tls)
    };
    SqlUpstream::new(name, settings).map_err(|fault| fault.message.clone())
}

/// The credential that is for this upstream; its fields are `user` and `password`.
fn sql_login(upstream: &str, credentials: &Arc<Credentials>) -> Result<LoginSource, String> {
    let for_it = credentials.iter().find(|c| c.upstreams.iter().any(|u| u == upstream));
    let name = for_it.map(|c| Arc::clone(&c.name)).ok_or("the manifest names no credential for it")?;
    let credentials = Arc::clone(credentials);
    Ok(Arc::new(move |refused| {
        let lost = || Fault::internal(format!("the credential `{name}` is gone"));
        let credential = credentials.get(&name).ok_or_else(lost)?;
        let material = match refused {
            None => credential.configured()?,
            Some(version) => credential.other_than(version)?,
        };
        let (version, names) = (material.version, (Arc::clone(&credentials), Arc::clone(&name)));
        let field = |field: &str| {
            let why = format!("The credential `{name}` has no field `{field}`.");
            material.fields.get(field).ok_or_else(|| Fault::new(FaultKind::CredentialDead, why))
        };
        Ok(Login {
            user: String::from_utf8_lossy(field("user")?.expose()).into_owned(),
            password: zeroize::Zeroizing::new(field("password")?.expose().to_vec()),
            version,
            accepted: Box::new(move || {
                let (credentials, name) = &names;
                credentials.get(name).into_iter().for_each(|credential| credential.note_accepted(version));
            }),
        })
    }))
}
