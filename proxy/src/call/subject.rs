//! For whom an agent acts.

use std::sync::Arc;

/// A user, as a verified token named them. Two issuers' users of one name are two users.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(Arc<Identity>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Identity {
    issuer: Box<str>,
    name: Box<str>,
}

impl Subject {
    /// `issuer` and `name` are the token's `iss` and `sub`.
    pub fn new(issuer: &str, name: &str) -> Self {
        Self(Arc::new(Identity { issuer: issuer.into(), name: name.into() }))
    }

    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }
}
