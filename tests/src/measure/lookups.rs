//! How many requests a burst of look-ups is, with batches and without, where an upstream takes few at a time.

use ferrata_tests::mcp::Mcp;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use ferrata_tests::{Result, connectors, ferrata};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::plan::Plan;

/// What the upstream takes at once: the others wait, and that is where batches form.
const CONCURRENT: &str = "4 concurrent";

/// Look-ups that are under way at once.
const AT_ONCE: usize = 100;

/// Requests that the upstream got for so many look-ups.
#[derive(Clone, Copy, Debug)]
pub struct Lookups {
    pub made: usize,
    pub together: usize,
    pub alone: usize,
}

/// # Errors
/// When a look-up fails.
pub async fn measure(plan: &Plan) -> Result<Lookups> {
    let together =
        requests(plan.lookups, "probe_collect", |number| json!({ "id": number.to_string() })).await?;
    let alone = requests(plan.lookups, "probe_read", |number| json!({ "path": number.to_string() })).await?;
    Ok(Lookups { made: plan.lookups, together, alone })
}

async fn requests(lookups: usize, tool: &'static str, arguments: fn(usize) -> Value) -> Result<usize> {
    let upstream = Upstream::start().await?;
    let setup = Setup::new()?;
    let mut probe = connectors::probe(&setup, &upstream)?;
    probe["limits"] = json!({ "api": [CONCURRENT] });
    let ferrata = ferrata::Ferrata::start(setup.connector("probe", probe)).await?;
    let mut agents = JoinSet::new();
    for agent in 0..AT_ONCE {
        agents.spawn(look_up(ferrata.mcp(), tool, arguments, (agent..lookups).step_by(AT_ONCE)));
    }
    while let Some(done) = agents.join_next().await {
        done??;
    }
    Ok(upstream.seen().len())
}

async fn look_up(
    mcp: Mcp,
    tool: &str,
    arguments: fn(usize) -> Value,
    numbers: impl Iterator<Item = usize>,
) -> Result<()> {
    for number in numbers {
        let outcome = mcp.call(tool, arguments(number)).await?;
        if outcome.kind() != "ok" {
            return Err(format!("{tool}: {outcome:?}").into());
        }
    }
    Ok(())
}
