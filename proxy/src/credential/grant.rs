//! What a login is made with, and what comes of it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::lifecycle::Exchanged;
use super::{Material, SecretValue};
use crate::call::Deadline;
use crate::config::CredentialKind;
use crate::fault::Fault;

/// The field of a grant, and of a login's answer, that the host keeps for itself.
pub const REFRESH_TOKEN: &str = "refresh_token";

/// The code of a fault for a token that is not accepted any more (RFC 6749, 5.2).
pub const INVALID_GRANT: &str = "invalid_grant";

/// A grant, as it is for one login. Its secrets may be written and used for signing in that login, and nowhere else.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The credential's name, as the manifest has it.
    pub credential: Arc<str>,
    pub kind: CredentialKind,
    /// What of the configuration is no secret.
    pub public: BTreeMap<String, String>,
    /// The secrets by field: the operator's, and those that the host knows better, as the newest refresh token or a user's own token.
    pub material: Arc<Material>,
}

/// The outcome of one login.
#[derive(Debug, Default)]
pub struct Session {
    pub fields: BTreeMap<String, SecretValue>,
    pub expires_in: Option<Duration>,
    pub refresh_expires_in: Option<Duration>,
    /// By upstream; already checked against the operator's patterns.
    pub base_urls: BTreeMap<String, String>,
    /// Why it cannot be used though it was granted, as the end of a sentence. Its refresh token is kept all the same.
    pub lacks: Option<String>,
}

/// How a login failed: for whoever waits, and for the credential's life.
#[derive(Clone, Debug)]
pub struct LoginFailed {
    pub fault: Fault,
    /// Anything but `Granted`.
    pub how: Exchanged,
}

/// Runs the system's own login. Implemented over the connector's guest.
pub trait Login: Send + Sync {
    /// Whether the one who runs it is still there.
    fn is_alive(&self) -> bool;

    fn login<'a>(
        &'a self,
        grant: &'a Arc<Grant>,
        deadline: Deadline,
    ) -> Pin<Box<dyn Future<Output = Result<Session, LoginFailed>> + Send + 'a>>;
}
