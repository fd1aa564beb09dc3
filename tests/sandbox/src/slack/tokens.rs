//! Grants: who a token is, what it may, when it dies, and how it is renewed.
//!
//! With rotation an access token lives 12 hours and its refresh token is good for one use; the access token that it
//! replaces serves until its own end.

use std::collections::HashMap;
use std::time::Duration;

use super::answer::Refusal;
use super::methods::{Access, Method};

/// Life of an access token under rotation.
pub(super) const ROTATED_LIFE: Duration = Duration::from_hours(12);

/// The two kinds of token that the methods here distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bot,
    User,
}

/// What an app was granted by whom. Outlives the tokens that stand for it.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// The app's installation, whose walls these are; rotation does not change it.
    pub(super) installation: String,
    pub(super) kind: Kind,
    /// Whose messages its messages are.
    pub(super) user: String,
    /// For a bot.
    pub(super) bot: Option<String>,
    pub(super) scopes: Vec<&'static str>,
}

#[derive(Debug)]
struct Token {
    grant: Grant,
    /// `None` lives for ever.
    expires_at: Option<Duration>,
    /// Why it is dead.
    dead: Option<&'static str>,
}

/// All tokens of the workspace.
#[derive(Debug, Default)]
pub(super) struct Grants {
    access: HashMap<String, Token>,
    /// Refresh tokens that have not been used.
    refresh: HashMap<String, Grant>,
    rotations: u64,
}

/// A pair from a rotation.
#[derive(Debug)]
pub(super) struct Rotated {
    pub(super) access: String,
    pub(super) refresh: String,
    pub(super) grant: Grant,
}

impl Grants {
    /// A token without rotation.
    pub(super) fn add(&mut self, token: &str, grant: Grant) {
        self.access.insert(token.to_owned(), Token { grant, expires_at: None, dead: None });
    }

    /// A token that answers with this error.
    pub(super) fn add_dead(&mut self, token: &str, grant: Grant, error: &'static str) {
        self.access.insert(token.to_owned(), Token { grant, expires_at: None, dead: Some(error) });
    }

    /// A token with rotation, and its refresh token.
    pub(super) fn add_rotating(&mut self, token: &str, refresh: &str, grant: Grant, now: Duration) {
        self.refresh.insert(refresh.to_owned(), grant.clone());
        let expires_at = Some(now + ROTATED_LIFE);
        self.access.insert(token.to_owned(), Token { grant, expires_at, dead: None });
    }

    pub(super) fn revoke(&mut self, token: &str) -> bool {
        let access = self.access.get_mut(token).map(|token| token.dead = Some("token_revoked"));
        access.is_some() || self.refresh.remove(token).is_some()
    }

    /// Who calls, if this token may call this method.
    pub(super) fn authorize(
        &self,
        method: &Method,
        token: Option<&str>,
        now: Duration,
    ) -> Result<Grant, Refusal> {
        if method.access == Access::Anyone {
            return Ok(Grant::nobody());
        }
        let token = self.access.get(token.ok_or("not_authed")?).ok_or("invalid_auth")?;
        if let Some(error) = token.dead {
            return Err(Refusal::from(error));
        }
        if token.expires_at.is_some_and(|at| at <= now) {
            return Err(Refusal::from("token_expired"));
        }
        if method.access == Access::UserOnly && token.grant.kind == Kind::Bot {
            return Err(Refusal::from("not_allowed_token_type"));
        }
        for scope in method.scopes {
            token.grant.require(scope)?;
        }
        Ok(token.grant.clone())
    }

    /// Trades a refresh token for a new pair; the old one is used up.
    pub(super) fn rotate(&mut self, refresh: &str, now: Duration) -> Result<Rotated, Refusal> {
        let grant = self.refresh.remove(refresh).ok_or("invalid_refresh_token")?;
        self.rotations += 1;
        let letter = if grant.kind == Kind::Bot { 'b' } else { 'p' };
        let access = format!("xoxe.xox{letter}-1-sandbox-{}", self.rotations);
        let refresh = format!("xoxe-1-sandbox-{}", self.rotations);
        self.add_rotating(&access, &refresh, grant.clone(), now);
        Ok(Rotated { access, refresh, grant })
    }
}

impl Grant {
    /// Who calls a method that asks for no token.
    fn nobody() -> Self {
        let (installation, user) = ("nobody".to_owned(), String::new());
        Self { installation, kind: Kind::User, user, bot: None, scopes: Vec::new() }
    }

    pub(super) fn has(&self, scope: &str) -> bool {
        self.scopes.contains(&scope)
    }

    /// Refuses as Slack does when a scope was not granted: with what is needed and what is there.
    pub(super) fn require(&self, scope: &str) -> Result<(), Refusal> {
        if self.has(scope) {
            return Ok(());
        }
        let refusal = Refusal::from("missing_scope").with("needed", scope);
        Err(refusal.with("provided", self.scopes.join(",")))
    }
}
