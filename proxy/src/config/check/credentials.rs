//! Credentials: the fields that a login needs and may have, and where secrets may be written.

use std::collections::BTreeMap;

use super::{Found, kept};
use crate::config::{Auth, Config, Credential, CredentialKind, Field, PUBLIC_FIELDS, Position};

/// What every login may have.
const OPTIONAL: [&str; 6] =
    ["scope", "resource", "client_auth", "client_secret", "client_key", "client_audience"];

/// What a login needs, and what it may have beside that.
struct Login {
    needed: &'static [&'static str],
    optional: &'static [&'static str],
}

impl Login {
    fn of(kind: CredentialKind) -> Option<Self> {
        let login = |needed, optional| Some(Self { needed, optional });
        match kind {
            CredentialKind::Static => None,
            CredentialKind::ClientCredentials => login(&["client_id"], &["audience"]),
            CredentialKind::RefreshToken => login(&["client_id", "refresh_token"], &["audience"]),
            CredentialKind::JwtBearer => login(&["client_id", "key", "audience"], &["subject"]),
            CredentialKind::TokenExchange => login(
                &["client_id"],
                // With a `subject_token` of the operator's it is for everybody, without one for each user.
                &["audience", "subject_token", "subject_token_type", "requested_token_type"],
            ),
        }
    }

    fn knows(&self, field: &str) -> bool {
        [self.needed, self.optional, &OPTIONAL].iter().any(|fields| fields.contains(&field))
    }
}

pub(super) fn credentials(at: &str, credentials: &BTreeMap<String, Credential>, found: &mut Found) {
    for (name, credential) in credentials {
        let at = format!("{at}/credentials/{name}");
        let is_assertion = credential.kind == CredentialKind::JwtBearer;
        if credential.per_user && (!is_assertion || credential.fields.contains_key("subject")) {
            found.add(format!("{at}/per_user"), "is for `jwt-bearer`, in the place of a `subject`");
        }
        if let Some(login) = Login::of(credential.kind) {
            login_fields(&at, credential, &login, found);
        }
        kept::of_its_kind(&at, credential, found);
        for (field, source) in &credential.fields {
            let plain = matches!(source, Field::Text(_)) && source.as_file().is_none();
            if plain && !PUBLIC_FIELDS.contains(&field.as_str()) {
                let message = "must be the path of a file, starting with / or ./, or `{ env: NAME }`; what is no secret, `{ value: … }`";
                found.add(format!("{at}/{field}"), message);
            }
        }
        for (i, position) in credential.positions.iter().flatten().enumerate() {
            if let Err(reason) = position.parse::<Position>() {
                found.add(format!("{at}/positions/{i}"), reason);
            }
        }
    }
}

/// The fields of a login are the host's to know, not the manifest's.
fn login_fields(at: &str, credential: &Credential, login: &Login, found: &mut Found) {
    let has = |field: &str| credential.fields.contains_key(field);
    let kind = credential.kind.name();
    for field in login.needed.iter().filter(|field| !has(field)) {
        found.add(at, format!("{kind} needs the field `{field}`"));
    }
    if credential.kind == CredentialKind::ClientCredentials && !has("client_secret") && !has("client_key") {
        found.add(at, format!("{kind} needs the field `client_secret` or `client_key`"));
    }
    if has("client_key") && !has("client_audience") {
        found.add(at, "what is signed with `client_key` needs the field `client_audience`: for whom it is");
    }
    for field in credential.fields.keys().filter(|field| !login.knows(field)) {
        found.add(format!("{at}/{field}"), "unknown key");
    }
}

/// What is each user's own needs users.
pub(super) fn users(config: &Config, found: &mut Found) {
    if config.agent.users.is_some() || matches!(config.agent.auth, Auth::Jwt(_)) {
        return;
    }
    for (connector, name, credential) in config.connectors.iter().flat_map(|(connector, c)| {
        c.credentials.iter().map(move |(name, credential)| (connector, name, credential))
    }) {
        if credential.is_per_user() {
            let message = "is each user's own, and nobody says who the users are: it needs `agent.users`, or `agent.auth.jwt`";
            found.add(format!("/connectors/{connector}/credentials/{name}"), message);
        }
    }
}
