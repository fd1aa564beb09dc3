//! Tokens of an identity provider: signature, issuer, audience and time are checked, once for each token.

use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::Unauthorized;
use super::keys::{Keys, NoKey};
use crate::call::{Subject, UserToken};
use crate::config::{Jwt, JwtAlgorithm};

/// Longest token, in bytes: what the common servers take as a header.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// Longest name of an agent, a user or a tenant, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// By how much the issuer's clock may be wrong, in seconds.
const LEEWAY_SECS: u64 = 10;

/// Most tokens that are remembered as good: some per user of the agents of one pod.
const MAX_REMEMBERED: usize = 4_096;

/// Claims without which a token counts for nothing.
const REQUIRED: [&str; 4] = ["exp", "iss", "aud", "sub"];

/// Checks the tokens of one issuer.
pub struct Verifier {
    config: Jwt,
    validation: Validation,
    keys: Arc<Keys>,
    /// By their digest: checking a signature takes some hundred times as long.
    good: Cache<[u8; 32], Arc<Verified>>,
}

/// What a token says that is good.
pub struct Verified {
    pub subject: Subject,
    /// The client that it was made for.
    pub client: Option<Arc<str>>,
    /// Seconds since 1970.
    expires: u64,
    /// Of the keys by which it was checked.
    keys: u64,
}

#[derive(Deserialize)]
struct Claims {
    iss: Option<String>,
    sub: Option<String>,
    exp: Option<f64>,
    azp: Option<String>,
    client_id: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Verifier {
    /// The error is a sentence for the operator.
    pub fn new(config: &Jwt) -> Result<Self, String> {
        // The algorithm is compared before; here it only must not be empty.
        let mut validation = Validation::new(Algorithm::RS256);
        validation.leeway = LEEWAY_SECS;
        validation.validate_nbf = true;
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(config.audience.as_slice());
        validation.set_required_spec_claims(&REQUIRED);
        let (keys, good) = (Arc::new(Keys::new(config)?), Cache::new(MAX_REMEMBERED));
        Ok(Self { config: config.clone(), validation, keys, good })
    }

    /// Whether what it needs of this machine is there. The error is a sentence for the operator.
    pub async fn judge(&self) -> Result<(), String> {
        self.keys.judge().await
    }

    pub fn config(&self) -> &Jwt {
        &self.config
    }

    /// What the token says, if it is good.
    pub async fn verify(&self, token: &str) -> Result<Arc<Verified>, Unauthorized> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(refused(format!("it is longer than {MAX_TOKEN_BYTES} bytes")));
        }
        let digest = Sha256::digest(token.as_bytes()).into();
        let version = self.keys.version().await;
        if let Some(known) = self.good.get(&digest).filter(|known| known.holds(version)) {
            return Ok(known);
        }
        let verified = Arc::new(self.check(token).await?);
        self.good.insert(digest, Arc::clone(&verified));
        Ok(verified)
    }

    async fn check(&self, token: &str) -> Result<Verified, Unauthorized> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| refused("it is no signed JWT"))?;
        let algorithm = self.algorithm(&header)?;
        let key = self.keys.find(header.kid.as_deref(), algorithm).await.map_err(no_key)?;
        // After the key was found: a newer set than that of the key only makes this be checked once more.
        let keys = self.keys.version().await;
        let validation = Validation { algorithms: vec![algorithm], ..self.validation.clone() };
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.verifying, &validation);
        let claims = decoded.map_err(|error| refused(mistake(error.kind())))?.claims;
        self.read(claims, token, keys)
    }

    /// The header is the token's own to write: only what the operator allows counts.
    fn algorithm(&self, header: &Header) -> Result<Algorithm, Unauthorized> {
        if header.crit.is_some() {
            return Err(refused("it demands extensions (`crit`) that are not known here"));
        }
        let allowed = self.config.algorithms.iter().any(|allowed| native(*allowed) == header.alg);
        if allowed {
            Ok(header.alg)
        } else {
            Err(refused("it is signed by an algorithm that is not allowed"))
        }
    }

    fn read(&self, claims: Claims, token: &str, keys: u64) -> Result<Verified, Unauthorized> {
        let tenant = match &self.config.tenant {
            None => None,
            Some(claim) => match claims.others.get(claim).and_then(Value::as_str) {
                Some(tenant) => Some(tenant),
                None => return Err(refused("it does not say of which tenant its user is")),
            },
        };
        // They are there: without them it would not have passed.
        let (Some(issuer), Some(name), Some(expires)) = (claims.iss, claims.sub, claims.exp) else {
            return Err(refused("it cannot be read"));
        };
        let client = claims.azp.or(claims.client_id);
        let names = [Some(name.as_str()), client.as_deref(), tenant];
        if !names.into_iter().flatten().all(is_name) {
            return Err(refused("a name in it is empty, too long, or no text"));
        }
        let expires = expires.max(0.0) as u64;
        let token = UserToken { text: Zeroizing::new(token.to_owned()), expires };
        let subject = Subject::verified(&issuer, &name, tenant, token);
        Ok(Verified { subject, client: client.map(Arc::from), expires, keys })
    }
}

impl Verified {
    fn holds(&self, keys: u64) -> bool {
        self.keys == keys && jsonwebtoken::get_current_timestamp() <= self.expires.saturating_add(LEEWAY_SECS)
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.contains(char::is_control)
}

/// The end of a sentence, without anything from the token.
fn mistake(error: &ErrorKind) -> String {
    let what = match error {
        ErrorKind::InvalidSignature => "its signature is not that of the key that it names",
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidIssuer => "it is from another issuer",
        ErrorKind::InvalidAudience => "it is meant for another audience",
        ErrorKind::MissingRequiredClaim(claim) if REQUIRED.contains(&claim.as_str()) => {
            return format!("it has no `{claim}`");
        }
        _ => "it cannot be read",
    };
    what.to_owned()
}

fn no_key(why: NoKey) -> Unauthorized {
    match why {
        NoKey::Unknown => refused("its issuer has no key of the name and kind that it was signed with"),
        NoKey::Ambiguous => refused("it does not say by which of its issuer's keys it is signed"),
        // The reason names addresses.
        NoKey::Unreachable(_) => Unauthorized::Unavailable,
    }
}

fn refused(why: impl Into<String>) -> Unauthorized {
    Unauthorized::Refused(why.into())
}

fn native(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::RS256 => Algorithm::RS256,
        JwtAlgorithm::RS384 => Algorithm::RS384,
        JwtAlgorithm::RS512 => Algorithm::RS512,
        JwtAlgorithm::PS256 => Algorithm::PS256,
        JwtAlgorithm::PS384 => Algorithm::PS384,
        JwtAlgorithm::PS512 => Algorithm::PS512,
        JwtAlgorithm::ES256 => Algorithm::ES256,
        JwtAlgorithm::ES384 => Algorithm::ES384,
        JwtAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}
