//! Slack's own Python SDK as the judge of the shapes: `tests/clients/slack_sdk_proof.py` against a sandbox.
//!
//! `FERRATA_TEST_PYTHON` names a Python that has `slack_sdk`. Without it the test says that it was skipped; where nothing
//! may be skipped (`CI`, `FERRATA_TESTS_REQUIRE_ALL`), it fails.

use std::path::Path;
use std::time::Duration;

use ferrata_sandbox::slack::{Slack, seed};
use ferrata_sandbox::{Clock, Sandbox};
use tokio::process::Command;

/// Noon of 15 October 2026, UTC.
const START: Duration = Duration::from_secs(1_792_065_600);

#[tokio::test]
async fn slacks_own_sdk_understands_every_shape() {
    let Ok(python) = std::env::var("FERRATA_TEST_PYTHON") else {
        let required =
            ["CI", "FERRATA_TESTS_REQUIRE_ALL"].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!required, "FERRATA_TEST_PYTHON is not set, and nothing may be skipped");
        eprintln!("skipped: FERRATA_TEST_PYTHON names no Python with slack_sdk");
        return;
    };
    let sandbox = Sandbox::start(Slack::acme(Clock::frozen(START))).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/slack_sdk_proof.py");
    let output =
        Command::new(python).arg(script).arg(sandbox.url()).kill_on_drop(true).output().await.unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    let posted = sandbox.system().posted();
    assert!(posted.iter().any(|post| post.channel == seed::SUPPORT && post.text == "Order 4711 has shipped"));
    assert!(sandbox.requests().iter().all(|seen| seen.request.path.starts_with("/api/")));
}
