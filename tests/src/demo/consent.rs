//! Tokens that live for seconds, a refresh token that is good once, and a consent that is taken back: what the agent sees of it, and what the
//! operator sees.

use std::time::Duration;

use ferrata_tests::{Result, wait};
use serde_json::{Value, json};

use crate::page::Page;
use crate::scene::{expect, fails, succeeds};
use crate::stage::{IDENTITY, REFRESH_TOKEN, Stage};

const WHOAMI: &str = "id_whoami";

/// Tokens that follow one another while the agent works.
const ROTATIONS: usize = 2;

/// Between two of the agent's calls.
const PACE: Duration = Duration::from_millis(200);

/// Tokens come and go, and the agent notices nothing.
///
/// # Errors
/// When a call has no outcome at all, or no other token comes.
pub async fn lives(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene(
        "The company's accounts hand out tokens that live ten seconds. The agent works on while they are replaced …",
    );
    succeeds(stage, page, WHOAMI, json!({})).await?;
    let accounts = stage.accounts.system();
    let (mcp, enough) = (stage.ferrata.mcp(), accounts.granted() + ROTATIONS);
    let (mut calls, mut failed) = (0_u32, 0_u32);
    let work = async {
        while accounts.granted() < enough {
            calls += 1;
            failed += u32::from(mcp.call(WHOAMI, json!({})).await?.kind() != "ok");
            tokio::time::sleep(PACE).await;
        }
        Result::Ok(())
    };
    tokio::time::timeout(wait::PATIENCE, work).await.map_err(|_| "no other token came")??;
    page.remark(&format!("{calls} calls, {failed} failed, while {ROTATIONS} tokens were replaced."));
    expect(page, "the failed calls", &json!(failed), &json!(0));
    expect(page, "the refresh tokens that were used twice", &json!(accounts.reused()), &json!(0));
    let credential = credential(stage).await?;
    expect(page, "the credential", &credential["state"], &json!("good"));
    page.remark(&format!(
        "In /status: version {}, good until {}, next refresh at {}.",
        credential["version"], credential["expires_at"], credential["next_refresh_at"]
    ));
    Ok(())
}

/// A consent is taken back: said at once, by its name, without a loop; and given again without a restart.
///
/// # Errors
/// As [`lives`].
pub async fn dies(stage: &Stage, page: &mut Page) -> Result<()> {
    page.scene("… until an administrator takes the consent back. No answer must look like an empty one.");
    stage.accounts.system().revoke();
    fails(stage, page, WHOAMI, json!({}), "credential_dead").await?;
    let asked = logins(stage);
    fails(stage, page, WHOAMI, json!({}), "credential_dead").await?;
    expect(page, "the logins, after the first one was refused,", &json!(logins(stage)), &json!(asked));
    let credential = credential(stage).await?;
    expect(page, "the credential", &credential["state"], &json!("dead"));
    page.remark(&format!("What the operator sees in /status: {}", credential["last_error"]));
    let ready = stage.ferrata.admin().get("/readyz").await?.text();
    page.remark(&format!("And in /readyz: {}", ready.trim().replace('\n', "; ")));

    page.scene(
        "Somebody consents again, and puts the new refresh token into the file. Nothing is restarted.",
    );
    stage.ferrata.setup().file(REFRESH_TOKEN, stage.accounts.system().consent())?;
    let mcp = stage.ferrata.mcp();
    let works =
        async || Some(mcp.call(WHOAMI, json!({})).await.is_ok_and(|o| o.kind() == "ok")).filter(|ok| *ok);
    wait::until("the new consent", works).await?;
    succeeds(stage, page, WHOAMI, json!({})).await.map(drop)
}

/// Requests for a token so far.
fn logins(stage: &Stage) -> usize {
    stage.accounts.requests().iter().filter(|seen| seen.request.path == "/token").count()
}

/// What the status says of the credential.
async fn credential(stage: &Stage) -> Result<Value> {
    let mut status = stage.ferrata.control().get("/status").await?.json();
    Ok(status["connectors"][IDENTITY]["credentials"]["account"].take())
}
