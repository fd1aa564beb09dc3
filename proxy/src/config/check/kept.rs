//! What must outlive the pod must have a place that does, and a key to be sealed with.

use super::Found;
use crate::config::{Config, Credential, CredentialKind, State};

/// Keys that say something about one kind of credential only.
pub(super) fn of_its_kind(at: &str, credential: &Credential, found: &mut Found) {
    let is_static = credential.kind == CredentialKind::Static;
    if credential.rotates.is_some() && credential.kind != CredentialKind::RefreshToken {
        found.add(format!("{at}/rotates"), "only a refresh token is replaced with each use");
    }
    if credential.overlap.is_some() && !is_static {
        found.add(format!("{at}/overlap"), "only fields that are used as they are can overlap");
    }
    match credential.login_timeout {
        Some(_) if is_static => found.add(format!("{at}/login_timeout"), "a static credential has no login"),
        Some(time) if time.0.is_zero() => found.add(format!("{at}/login_timeout"), "no time is no login"),
        _ => {}
    }
}

/// Refresh tokens that are replaced with each use.
pub(super) fn refresh_tokens(config: &Config, found: &mut Found) {
    let connectors = config.connectors.iter();
    let all = connectors.flat_map(|(name, c)| c.credentials.iter().map(move |(cred, c)| (name, cred, c)));
    let mut kept = all.filter(|(.., credential)| credential.must_be_kept()).peekable();
    if kept.peek().is_some() && !matches!(config.state, State::Memory(_)) && config.state.key().is_none() {
        found.add(
            "/state",
            "needs a `key`, the file that refresh tokens are sealed with here: `head -c 32 /dev/urandom | base64` makes one",
        );
    }
    for (connector, credential, _) in kept.filter(|_| matches!(config.state, State::Memory(_))) {
        found.add(
            format!("/connectors/{connector}/credentials/{credential}/kind"),
            "a refresh token that is replaced with each use dies with the pod in `state: memory`: give `state` a file on a volume or a Redis, and a `key`; or say `rotates: false` if the provider does not replace it",
        );
    }
}
