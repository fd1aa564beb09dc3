//! Configurations of the connectors against stand-ins.

use std::path::Path;

use ferrata_sandbox::Sandbox;
use ferrata_sandbox::slack::{Slack, seed};
use ferrata_test_postgres::Server;
use serde_json::{Value, json};

use crate::setup::Setup;
use crate::upstream::Upstream;
use crate::{Result, artifacts, company};

/// The planner's estimate above which a query is refused: an index look-up is far below it, a scan of all orders far above.
pub const MAX_COST: f64 = 5_000.0;
/// Most rows of one answer.
pub const MAX_ROWS: u32 = 200;

/// Where the Slack tokens are in the folder of the configuration.
pub const SLACK_BOT_TOKEN: &str = "secrets/slack-bot";
pub const SLACK_USER_TOKEN: &str = "secrets/slack-user";

/// The secret of [`guest`]. No part of it is anywhere else.
pub const GUEST_TOKEN: &str = "s3cr3t-that-no-guest-sees";

/// The Slack connector with the stand-in's tokens, in files.
///
/// # Errors
/// When it does not compile or a file cannot be written.
pub fn slack(setup: &Setup, sandbox: &Sandbox<Slack>) -> Result<Value> {
    Ok(json!({
        "component": artifacts::connector("ferrata-slack")?,
        "upstreams": { "api": { "url": sandbox.url() } },
        "credentials": {
            "bot": { "kind": "static", "token": setup.file(SLACK_BOT_TOKEN, seed::BOT_TOKEN)? },
            "user": { "kind": "static", "token": setup.file(SLACK_USER_TOKEN, seed::USER_TOKEN)? },
        },
    }))
}

/// The PostgreSQL connector as the reader of [`company`]'s tables.
///
/// # Errors
/// When it does not compile or a file cannot be written.
pub fn postgres(setup: &Setup, server: &Server) -> Result<Value> {
    Ok(json!({
        "component": artifacts::connector("ferrata-postgres")?,
        "upstreams": { "db": {
            "url": company::url(server),
            "sql": { "tls": "disable", "max_cost": MAX_COST, "max_rows": MAX_ROWS },
        } },
        "credentials": { "db": {
            "kind": "static",
            "user": { "value": company::READER },
            "password": setup.file("secrets/postgres-password", company::READER_PASSWORD)?,
        } },
    }))
}

/// A connector with an upstream `api` and a credential `bot` whose token is [`GUEST_TOKEN`]: the probe, and the guests in
/// other languages. Each call is made for itself, however alike.
///
/// # Errors
/// When the file cannot be written.
pub fn guest(setup: &Setup, component: &Path, upstream: &Upstream) -> Result<Value> {
    Ok(json!({
        "component": component,
        "upstreams": { "api": { "url": upstream.url() } },
        "credentials": { "bot": { "kind": "static", "token": setup.file("secrets/guest", GUEST_TOKEN)? } },
        "coalesce": false,
    }))
}

/// The probe: [`guest`] with a second upstream that its credential is not for.
///
/// # Errors
/// When it does not compile or a file cannot be written.
pub fn probe(setup: &Setup, upstream: &Upstream) -> Result<Value> {
    let mut connector = guest(setup, &artifacts::probe()?, upstream)?;
    connector["upstreams"]["other"] = json!({ "url": upstream.url() });
    Ok(connector)
}

/// A configuration with the probe alone.
///
/// # Errors
/// As [`probe`].
pub fn probe_alone(upstream: &Upstream) -> Result<Setup> {
    let setup = Setup::new()?;
    let connector = probe(&setup, upstream)?;
    Ok(setup.connector("probe", connector))
}

/// A configuration with the conformance connector twice, as `desk` and as `shop`.
///
/// # Errors
/// When it does not compile.
pub fn desk_and_shop(upstream: &Upstream) -> Result<Setup> {
    let component = artifacts::guest("ferrata-conformance")?;
    let connector = json!({ "component": component, "upstreams": { "api": { "url": upstream.url() } } });
    Ok(Setup::new()?.connector("desk", connector.clone()).connector("shop", connector))
}
