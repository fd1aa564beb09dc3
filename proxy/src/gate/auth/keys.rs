//! An issuer's public keys: from a file or an address, kept, and looked up anew when they may have changed. An issuer that cannot be reached takes no
//! known key away.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::{Jwt, key_address};
use crate::egress::client::{HttpClient, tls_config};

/// How often a token with an unknown key makes the keys be fetched: whoever makes up key names must not reach the issuer with each.
pub const REFETCH_UNKNOWN: Duration = Duration::from_secs(30);

/// The same while no key is known at all.
const REFETCH_WITHOUT_KEYS: Duration = Duration::from_secs(1);

/// How old keys from an address and from a file may be: a key that was taken away counts no longer than that.
const MAX_AGE_FETCHED: Duration = Duration::from_secs(600);
const MAX_AGE_READ: Duration = Duration::from_secs(1);

/// How long a connection may take to be made, and all of a fetch.
const CONNECT: Duration = Duration::from_secs(2);
pub const FETCH: Duration = Duration::from_secs(5);

/// Largest set of keys, in bytes, and most keys of one: issuers have a handful.
const MAX_SET_BYTES: usize = 256 << 10;
const MAX_KEYS: usize = 64;

/// Where an OpenID provider says where its keys are, below the issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// A key that checks signatures.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    pub verifying: DecodingKey,
}

/// All keys at one moment.
#[derive(Clone, Default)]
struct Set {
    keys: Vec<Key>,
    digest: [u8; 32],
    /// Grows with every change.
    version: u64,
}

/// Why there is no key for a token.
#[derive(Debug, PartialEq, Eq)]
pub enum NoKey {
    /// The issuer has none of that name.
    Unknown,
    /// It names none, and there are several.
    Ambiguous,
    /// Nobody knows which keys the issuer has. For the operator.
    Unreachable(String),
}

/// An issuer's keys.
pub struct Keys {
    source: Source,
    held: ArcSwap<Set>,
    /// Locked while they are fetched, so that everybody waits for the same.
    attempts: Mutex<Attempts>,
    /// When those that are known must be looked at again, in milliseconds after `made`.
    due: AtomicU64,
    made: Instant,
}

#[derive(Default)]
struct Attempts {
    tried: Option<Instant>,
    /// Why the last one failed.
    problem: Option<String>,
}

enum Source {
    File(PathBuf),
    Address {
        client: HttpClient,
        keys: Uri,
    },
    /// Where the keys are is asked first.
    Discovery {
        client: HttpClient,
        issuer: String,
        document: Uri,
    },
}

#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Keys {
    /// Nothing is fetched yet. The error is a sentence for the operator.
    pub fn new(config: &Jwt) -> Result<Self, String> {
        let (held, attempts) = (ArcSwap::default(), Mutex::default());
        let (source, due) = (Source::new(config)?, AtomicU64::new(0));
        Ok(Self { source, held, attempts, due, made: Instant::now() })
    }

    /// Whether what is on this machine is good: a file must hold keys. The error is a sentence for the operator.
    pub async fn judge(&self) -> Result<(), String> {
        let Source::File(path) = &self.source else { return Ok(()) };
        let at = |why: String| format!("{}: {why}", path.display());
        read(&self.source.fetch().await.map_err(at)?).map(drop).map_err(at)
    }

    /// Grows when the keys become others. Sees to it that they are not too old.
    pub async fn version(self: &Arc<Self>) -> u64 {
        let version = self.held.load().version;
        if version == 0 || !self.is_due() {
            return version;
        }
        if matches!(self.source, Source::File(_)) {
            self.refresh().await;
        } else {
            let keys = Arc::clone(self);
            tokio::spawn(async move { keys.refresh().await });
        }
        self.held.load().version
    }

    /// The key for a token that names `id` and is signed by `algorithm`.
    pub async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, NoKey> {
        match self.held.load().find(id, algorithm) {
            Err(NoKey::Unknown) => {}
            found => return found,
        }
        let mut attempts = self.attempts.lock().await;
        // Whoever held the lock may have brought it.
        let found = self.held.load().find(id, algorithm);
        let rest = if self.held.load().keys.is_empty() { REFETCH_WITHOUT_KEYS } else { REFETCH_UNKNOWN };
        let may_fetch = attempts.tried.is_none_or(|tried| tried.elapsed() >= rest);
        let found = match found {
            Err(NoKey::Unknown) if may_fetch => {
                self.fetch(&mut attempts).await;
                self.held.load().find(id, algorithm)
            }
            found => found,
        };
        match (found, &attempts.problem) {
            (Err(NoKey::Unknown), Some(problem)) => Err(NoKey::Unreachable(problem.clone())),
            (found, _) => found,
        }
    }

    /// Whether they are so old that they must be looked at again. True once for each time.
    fn is_due(&self) -> bool {
        let (due, next) = (self.due.load(Ordering::Relaxed), self.next_due());
        let is_due = self.since_made(Duration::ZERO) >= due;
        is_due && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn next_due(&self) -> u64 {
        self.since_made(self.source.max_age())
    }

    /// Milliseconds from when this was made to that time from now.
    fn since_made(&self, more: Duration) -> u64 {
        u64::try_from((self.made.elapsed() + more).as_millis()).unwrap_or(u64::MAX)
    }

    async fn refresh(&self) {
        self.fetch(&mut *self.attempts.lock().await).await;
    }

    async fn fetch(&self, attempts: &mut Attempts) {
        attempts.tried = Some(Instant::now());
        self.due.store(self.next_due(), Ordering::Relaxed);
        let fetched = tokio::time::timeout(FETCH, self.source.fetch()).await;
        let text = fetched.unwrap_or_else(|_| Err(format!("no answer within {FETCH:?}")));
        let put = text.and_then(|text| self.put(&text));
        if let Err(reason) = &put {
            tracing::warn!(source = %self.source, %reason, "the issuer's keys cannot be had; the known ones stay");
        }
        attempts.problem = put.err();
        // Whoever waited for this one does not begin one of its own, however long it took.
        attempts.tried = Some(Instant::now());
    }

    fn put(&self, text: &[u8]) -> Result<(), String> {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let held = self.held.load();
        if held.digest != digest || held.version == 0 {
            let set = Set { keys: read(text)?, digest, version: held.version + 1 };
            tracing::info!(source = %self.source, keys = set.keys.len(), "the issuer's keys are known");
            self.held.store(Arc::new(set));
        }
        Ok(())
    }
}

impl Set {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Key, NoKey> {
        let fits = |key: &&Key| {
            key.algorithm.is_none_or(|only| only == algorithm)
                && key.verifying.family() == algorithm.family()
                && id.is_none_or(|id| key.id.as_deref() == Some(id))
        };
        let mut fitting = self.keys.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key.clone()),
            (Some(_), Some(_)) => Err(NoKey::Ambiguous),
            (None, _) => Err(NoKey::Unknown),
        }
    }
}

/// The keys of a set that can check signatures; the others are passed over, as the standard wants it.
fn read(text: &[u8]) -> Result<Vec<Key>, String> {
    #[derive(Deserialize)]
    struct Jwks {
        keys: Vec<Value>,
    }
    let set: Jwks = serde_json::from_slice(text).map_err(|e| format!("no set of keys (JWKS): {e}"))?;
    let keys: Vec<Key> = set.keys.into_iter().take(MAX_KEYS).filter_map(key).collect();
    if keys.is_empty() { Err("no key in it checks signatures".to_owned()) } else { Ok(keys) }
}

fn key(jwk: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let signs = jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
    let verifying = DecodingKey::from_jwk(&jwk).ok().filter(|_| signs)?;
    let algorithm = match jwk.common.key_algorithm {
        None => None,
        Some(named) => Some(Algorithm::try_from(named).ok()?),
    };
    Some(Key { id: jwk.common.key_id, algorithm, verifying })
}

impl Source {
    fn new(config: &Jwt) -> Result<Self, String> {
        if let Some(file) = config.jwks_file() {
            return Ok(Self::File(file.into()));
        }
        let client = HttpClient::new(tls_config(config.ca.as_deref())?, CONNECT, MAX_SET_BYTES);
        match &config.jwks {
            Some(address) => Ok(Self::Address { client, keys: key_address(address)? }),
            None => {
                let issuer = config.issuer.clone();
                let document = key_address(&format!("{}{DISCOVERY}", issuer.trim_end_matches('/')))?;
                Ok(Self::Discovery { client, issuer, document })
            }
        }
    }

    fn max_age(&self) -> Duration {
        match self {
            Self::File(_) => MAX_AGE_READ,
            Self::Address { .. } | Self::Discovery { .. } => MAX_AGE_FETCHED,
        }
    }

    async fn fetch(&self) -> Result<Bytes, String> {
        match self {
            Self::File(path) => match std::fs::metadata(path).map_err(|e| e.to_string())?.len() {
                bytes if bytes > MAX_SET_BYTES as u64 => Err(format!("more than {MAX_SET_BYTES} bytes")),
                _ => std::fs::read(path).map(Bytes::from).map_err(|e| e.to_string()),
            },
            Self::Address { client, keys } => get(client, keys).await,
            Self::Discovery { client, issuer, document } => {
                let found = get(client, document).await?;
                let found: Discovered =
                    serde_json::from_slice(&found).map_err(|e| format!("{document}: {e}"))?;
                if found.issuer != *issuer {
                    return Err(format!("{document} is of another issuer"));
                }
                get(client, &key_address(&found.jwks_uri)?).await
            }
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Address { keys, .. } => keys.fmt(f),
            Self::Discovery { document, .. } => document.fmt(f),
        }
    }
}

async fn get(client: &HttpClient, uri: &Uri) -> Result<Bytes, String> {
    let request = Request::get(uri.clone()).body(Full::default()).map_err(|e| e.to_string())?;
    match client.send(request).await {
        Ok(answer) if answer.status.is_success() => Ok(answer.body),
        Ok(answer) => Err(format!("{uri} answered with status {}", answer.status.as_u16())),
        Err(error) => Err(format!("{uri}: {error:?}")),
    }
}
