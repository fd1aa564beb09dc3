//! Names that tests use: ids and tokens of the workspace to start with.

use std::time::Duration;

use super::acme::user_id;
use super::tokens::{Grant, Grants, Kind};

pub const TEAM_ID: &str = "T0ACME001";
pub const TEAM_NAME: &str = "Acme";
pub const TEAM_DOMAIN: &str = "acme";
pub const APP_ID: &str = "A0FERRATA";
pub const CLIENT_ID: &str = "1000.2000";
pub const CLIENT_SECRET: &str = "sandbox-client-secret";

/// The app's own user, and its id as a bot.
pub const BOT_USER: &str = "U0BOT0001";
pub const BOT_ID: &str = "B0BOT0001";

/// A bot token with every scope that the methods here know, but `chat:write.public`.
pub const BOT_TOKEN: &str = "xoxb-sandbox-bot";
/// A person's token with `search:read`.
pub const USER_TOKEN: &str = "xoxp-sandbox-user";
/// A bot token that may write and not read.
pub const NARROW_TOKEN: &str = "xoxb-sandbox-narrow";
/// The token of a deactivated account.
pub const INACTIVE_TOKEN: &str = "xoxb-sandbox-inactive";
/// A bot token under rotation, good for 12 hours from the start, and its refresh token.
pub const ROTATING_TOKEN: &str = "xoxe.xoxb-1-sandbox-0";
pub const REFRESH_TOKEN: &str = "xoxe-1-sandbox-0";

/// A public channel that the bot is a member of, and one that it is not.
pub const SUPPORT: &str = "C0ACME001";
pub const GENERAL: &str = "C0ACME000";

const BOT_SCOPES: &[&str] = &[
    "chat:write",
    "channels:read",
    "channels:history",
    "groups:read",
    "groups:history",
    "reactions:write",
    "users:read",
    "users:read.email",
];
const USER_SCOPES: &[&str] = &[
    "chat:write",
    "channels:read",
    "channels:history",
    "groups:read",
    "groups:history",
    "search:read",
    "users:read",
    "users:read.email",
];

/// The tokens as they are at `now`.
pub(super) fn grants(now: Duration) -> Grants {
    let grant = |installation: &str, scopes: &[&'static str]| Grant {
        installation: installation.to_owned(),
        kind: Kind::Bot,
        user: BOT_USER.to_owned(),
        bot: Some(BOT_ID.to_owned()),
        scopes: scopes.to_vec(),
    };
    let mut grants = Grants::default();
    grants.add(BOT_TOKEN, grant("bot", BOT_SCOPES));
    grants.add(NARROW_TOKEN, grant("narrow", &["chat:write"]));
    grants.add_dead(INACTIVE_TOKEN, grant("inactive", BOT_SCOPES), "account_inactive");
    grants.add_rotating(ROTATING_TOKEN, REFRESH_TOKEN, grant("rotating", BOT_SCOPES), now);
    let person = Grant { kind: Kind::User, user: user_id(0), bot: None, ..grant("user", USER_SCOPES) };
    grants.add(USER_TOKEN, person);
    grants
}
