//! How a caller proves who it is, and for whom it acts.
//!
//! | file | owns |
//! |---|---|
//! | `tokens` | bearer tokens from the operator's files: which agent |
//! | `jwt` | tokens of an identity provider: which agent, which user |
//! | `keys` | the provider's public keys |

mod jwt;
mod keys;
mod tokens;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::call::{Caller, Subject};
use crate::config::{self, Auth};
use jwt::Verifier;
use tokens::Tokens;

/// Why a caller is not known. The sentences say nothing of the token but what is wrong with it.
#[derive(Debug, PartialEq, Eq)]
pub enum Unauthorized {
    /// There is no token.
    Missing,
    /// It is none that this listener knows.
    Unknown,
    /// It is no good: the end of a sentence.
    Refused(String),
    /// The same of the user's token.
    SubjectRefused(String),
    /// Nobody can say: the identity provider's keys cannot be had.
    Unavailable,
}

impl Unauthorized {
    /// Metric label.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Refused(_) => "refused",
            Self::SubjectRefused(_) => "subject_refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What a request brings along to say who it comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presented<'a> {
    /// Of `Authorization: Bearer`.
    pub bearer: Option<&'a str>,
    /// Of `Ferrata-Subject-Token`: for whom the agent acts.
    pub subject: Option<&'a str>,
}

/// Decides who a request comes from.
pub struct Authenticator {
    agents: Agents,
    users: Option<Verifier>,
}

/// Who may call at all.
enum Agents {
    /// Everybody is the agent `default`.
    Open,
    Tokens(Tokens),
    /// Agent and user are named by one token.
    Jwt(Box<Verifier>),
}

impl Authenticator {
    /// From the configuration; the error is a sentence for the operator.
    pub fn new(config: &config::Agent) -> Result<Self, String> {
        let agents = match &config.auth {
            Auth::None => Agents::Open,
            Auth::Tokens(path) => Agents::Tokens(Tokens::at(path)?),
            Auth::Jwt(jwt) => Agents::Jwt(Box::new(Verifier::new(jwt)?)),
        };
        let users = config.users.as_ref().map(Verifier::new).transpose()?;
        Ok(Self { agents, users })
    }

    /// Whether what it needs of this machine is there; nobody is asked. The error is a sentence for the operator.
    pub async fn judge(&self) -> Result<(), String> {
        if let Agents::Jwt(agents) = &self.agents {
            agents.judge().await?;
        }
        match &self.users {
            Some(users) => users.judge().await,
            None => Ok(()),
        }
    }

    /// For a command that works for whoever can run it.
    pub fn open() -> Self {
        Self { agents: Agents::Open, users: None }
    }

    /// Who a request comes from, and for whom.
    pub async fn identify(&self, presented: Presented<'_>) -> Result<Caller, Unauthorized> {
        let agent = match &self.agents {
            Agents::Open => Caller::anonymous(),
            Agents::Tokens(tokens) => {
                let token = presented.bearer.ok_or(Unauthorized::Missing)?;
                Caller::agent(tokens.agent(token).await.ok_or(Unauthorized::Unknown)?)
            }
            Agents::Jwt(verifier) => by_jwt(verifier, presented.bearer.ok_or(Unauthorized::Missing)?).await?,
        };
        match presented.subject {
            None => Ok(agent),
            Some(token) => Ok(Caller { subject: Some(self.subject(token).await?), ..agent }),
        }
    }

    /// Whose token an agent brings along. That it brings one where none is expected must not be passed over: it believes to act for somebody.
    async fn subject(&self, token: &str) -> Result<Subject, Unauthorized> {
        let unexpected = || Unauthorized::SubjectRefused("tokens of users are not taken here".to_owned());
        let verifier = self.users.as_ref().ok_or_else(unexpected)?;
        match verifier.verify(token).await {
            Ok(verified) => Ok(verified.subject.clone()),
            Err(Unauthorized::Refused(why)) => Err(Unauthorized::SubjectRefused(why)),
            Err(other) => Err(other),
        }
    }

    /// What this endpoint says of itself to clients that look for whoever can give them a token (RFC 9728); none if no token of an issuer is
    /// wanted. `here` is its address.
    pub fn metadata(&self, here: &str) -> Option<Value> {
        let Agents::Jwt(verifier) = &self.agents else { return None };
        let config = verifier.config();
        Some(json!({
            "resource": config.resource.as_deref().unwrap_or(here),
            "authorization_servers": [config.issuer],
            "bearer_methods_supported": ["header"],
        }))
    }
}

/// An agent that is named by whoever may run a command, for the user whose token that is. The error is a sentence's end for them.
pub async fn named(config: &config::Agent, agent: &str, user: Option<&str>) -> Result<Caller, String> {
    let Some(token) = user else { return Ok(Caller::agent(agent)) };
    let trusted = match (&config.users, &config.auth) {
        (Some(users), _) => users,
        (None, Auth::Jwt(jwt)) => jwt,
        _ => return Err("neither `agent.users` nor `agent.auth` says whose tokens are good".to_owned()),
    };
    let verified = Verifier::new(trusted)?.verify(token).await;
    let verified = verified.map_err(|unauthorized| match unauthorized {
        Unauthorized::Refused(why) => why,
        _ => "the issuer's keys cannot be had".to_owned(),
    })?;
    Ok(Caller { subject: Some(verified.subject.clone()), ..Caller::agent(agent) })
}

/// A token that was made for its client itself is for no user.
async fn by_jwt(verifier: &Verifier, token: &str) -> Result<Caller, Unauthorized> {
    let verified = verifier.verify(token).await?;
    let nobody = || Unauthorized::Refused("it names no agent (`azp` or `client_id`)".to_owned());
    let agent = Arc::clone(verified.client.as_ref().ok_or_else(nobody)?);
    let subject = Some(&verified.subject).filter(|subject| subject.name() != &*agent).cloned();
    Ok(Caller { agent, subject })
}

#[cfg(test)]
mod tests;
