//! For whom an agent acts.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use zeroize::Zeroizing;

/// A user, as a verified token named them. Two issuers' users of one name are two users, and so are two tenants'; two tokens of one user are one.
#[derive(Clone)]
pub struct Subject(Arc<Verified>);

struct Verified {
    who: Who,
    token: Option<UserToken>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Who {
    issuer: Box<str>,
    tenant: Option<Box<str>>,
    name: Box<str>,
}

/// The token itself: for whoever exchanges it, and never for a guest.
pub struct UserToken {
    pub text: Zeroizing<String>,
    /// Seconds since 1970.
    pub expires: u64,
}

impl Subject {
    /// `issuer` and `name` are the token's `iss` and `sub`.
    pub fn new(issuer: &str, name: &str) -> Self {
        let who = Who { issuer: issuer.into(), tenant: None, name: name.into() };
        Self(Arc::new(Verified { who, token: None }))
    }

    /// The same, of a tenant, with the token that said so.
    pub fn verified(issuer: &str, name: &str, tenant: Option<&str>, token: UserToken) -> Self {
        let who = Who { issuer: issuer.into(), tenant: tenant.map(Into::into), name: name.into() };
        Self(Arc::new(Verified { who, token: Some(token) }))
    }

    pub fn issuer(&self) -> &str {
        &self.0.who.issuer
    }

    pub fn tenant(&self) -> Option<&str> {
        self.0.who.tenant.as_deref()
    }

    pub fn name(&self) -> &str {
        &self.0.who.name
    }

    pub fn token(&self) -> Option<&UserToken> {
        self.0.token.as_ref()
    }
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        self.0.who == other.0.who
    }
}

impl Eq for Subject {}

impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.who.hash(state);
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.who.fmt(f)
    }
}
