//! Secrets that are replaced while they are used: files, as Kubernetes swaps them, and refresh tokens, as providers replace them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use ferrata_sandbox::slack::Slack;
use ferrata_sandbox::{Clock, Failure, Sandbox};
use ferrata_tests::ferrata::{Ferrata, cli};
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::{artifacts, connectors, wait};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{done, fault};

/// Agents that call at once while secrets are swapped.
const CALLERS: usize = 4;

/// What Kubernetes does when a Secret changes: the files are links through `..data`, and that is replaced as a whole.
fn project(folder: &Path, generation: &str, token: &str) {
    let data = folder.join(format!("..{generation}"));
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("token"), token).unwrap();
    let aside = folder.join("..data_tmp");
    symlink(format!("..{generation}"), &aside).unwrap();
    fs::rename(aside, folder.join("..data")).unwrap();
    let _ = symlink("..data/token", folder.join("token"));
}

/// A sidecar whose secret stands in a folder as Kubernetes mounts it, and that folder.
async fn with_mounted_secret(upstream: &Upstream) -> (Ferrata, PathBuf) {
    let setup = Setup::new().unwrap();
    let folder = setup.folder().join("mounted");
    project(&folder, "first", "token-of-the-first-generation");
    let mut probe = connectors::probe(&setup, upstream).unwrap();
    probe["credentials"]["bot"]["token"] = json!(folder.join("token"));
    (Ferrata::start(setup.connector("probe", probe)).await.unwrap(), folder)
}

/// Waits until somebody has used the token, and returns how many requests there were then.
async fn used(upstream: &Upstream, token: &str) -> usize {
    let look = async || {
        let seen = upstream.seen();
        seen.iter().position(|request| request.header("authorization").contains(token))
    };
    wait::until(token, look).await.unwrap()
}

#[tokio::test]
async fn a_secret_that_is_swapped_twice_under_load_fails_no_call_and_the_old_one_is_gone() {
    let upstream = Upstream::start().await.unwrap();
    let (ferrata, folder) = with_mounted_secret(&upstream).await;

    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (mcp, over) = (ferrata.mcp(), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    done(mcp.call("probe_read", json!({})).await.unwrap());
                }
            })
        })
        .collect();
    used(&upstream, "first-generation").await;
    for (old, new) in [("first", "second"), ("second", "third")] {
        project(&folder, new, &format!("token-of-the-{new}-generation"));
        // Those that were being written at that moment still arrive.
        let settled = used(&upstream, &format!("{new}-generation")).await + CALLERS;
        let more = async || (upstream.seen().len() > settled + 50).then_some(());
        wait::until("more requests", more).await.unwrap();
        let late = upstream.seen().split_off(settled);
        assert!(late.iter().all(|request| !request.header("authorization").contains(old)));
    }
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test]
async fn a_secret_that_is_torn_is_said_before_anybody_uses_it() {
    let upstream = Upstream::start().await.unwrap();
    let (ferrata, folder) = with_mounted_secret(&upstream).await;
    done(ferrata.mcp().call("probe_read", json!({})).await.unwrap());

    project(&folder, "torn", "");
    let said = async || ferrata.log().contains("a secret cannot be read").then_some(());
    wait::until("the warning", said).await.unwrap();
    done(ferrata.mcp().call("probe_read", json!({})).await.unwrap());
    assert!(
        upstream.seen().iter().all(|request| request.header("authorization").contains("first-generation"))
    );
}

const CLIENT: &str = "the-client";

/// The connector with a login, with a refresh token whose successors are kept.
fn refreshing(setup: Setup, upstream: &Upstream, seed: &str) -> Setup {
    let connector = json!({
        "component": artifacts::guest("ferrata-login").unwrap(),
        "upstreams": { "api": { "url": upstream.url() } },
        "credentials": { "account": {
            "kind": "refresh-token",
            "client_id": { "value": CLIENT },
            "client_secret": setup.file("secrets/client", "client-s3cr3t-of-the-refresh").unwrap(),
            "refresh_token": setup.file("secrets/refresh", seed).unwrap(),
        } },
    });
    setup.connector("id", connector)
}

fn durable(setup: Setup, at: &Path) -> Setup {
    let key = at.join("key");
    fs::write(&key, "07".repeat(32)).unwrap();
    setup.with(&["state"], json!({ "file": at.join("state.redb"), "key": key }))
}

fn granted(number: u32, seconds: u32) -> Reply {
    let tokens = json!({
        "access_token": format!("access-token-number-{number}"),
        "refresh_token": format!("refresh-token-number-{number}"),
        "token_type": "Bearer", "expires_in": seconds, "scope": "read",
    });
    Reply::Answer(StatusCode::OK, vec![("content-type", "application/json")], tokens.to_string())
}

fn identity() -> Reply {
    let body = json!({ "name": "robot" }).to_string();
    Reply::Answer(StatusCode::OK, vec![("content-type", "application/json")], body)
}

fn refused() -> Reply {
    let body = json!({ "error": "invalid_grant" }).to_string();
    Reply::Answer(StatusCode::BAD_REQUEST, vec![("content-type", "application/json")], body)
}

/// The refresh tokens that the provider was asked with.
fn spent(upstream: &Upstream) -> Vec<String> {
    let field = |body: &[u8]| {
        let text = String::from_utf8_lossy(body).into_owned();
        let fields =
            text.split('&').find_map(|field| field.strip_prefix("refresh_token=").map(str::to_owned));
        fields.unwrap_or_default()
    };
    let seen = upstream.seen();
    seen.iter().filter(|request| request.path == "/token").map(|request| field(&request.body)).collect()
}

async fn whoami(ferrata: &Ferrata) -> ferrata_tests::mcp::Outcome {
    ferrata.mcp().call("id_whoami", json!({})).await.unwrap()
}

async fn credential(ferrata: &Ferrata) -> Value {
    let status = ferrata.control().get("/status").await.unwrap().json();
    status["connectors"]["id"]["credentials"]["account"].clone()
}

#[tokio::test]
async fn a_refresh_token_is_spent_once_over_restarts_and_the_newest_is_kept() {
    let (upstream, kept) = (Upstream::start().await.unwrap(), tempfile::tempdir().unwrap());
    let start = async || {
        let setup = refreshing(Setup::new().unwrap(), &upstream, "the-first-refresh-token\n");
        Ferrata::start(durable(setup, kept.path())).await.unwrap()
    };
    // Won at the start, before anybody asks.
    upstream.reply(granted(1, 3600));
    let ferrata = start().await;
    let won = async || (credential(&ferrata).await["version"] == 1).then_some(());
    wait::until("the first token", won).await.unwrap();
    upstream.reply(identity());
    done(whoami(&ferrata).await);
    let log = ferrata.log();
    assert!(ferrata.stop().await.unwrap().success());

    // The same token serves after a restart; a refusal makes the next, with the newest refresh token.
    let ferrata = start().await;
    upstream.reply(identity());
    done(whoami(&ferrata).await);
    upstream.reply(Reply::Answer(StatusCode::UNAUTHORIZED, Vec::new(), "{}".to_owned()));
    upstream.reply(granted(2, 3600));
    upstream.reply(identity());
    done(whoami(&ferrata).await);
    assert_eq!(spent(&upstream), ["the-first-refresh-token", "refresh-token-number-1"]);
    let stored = fs::read(kept.path().join("state.redb")).unwrap();
    let all = format!("{log}{}{}", ferrata.log(), String::from_utf8_lossy(&stored));
    assert!(!all.contains("refresh-token-number") && !all.contains("access-token-number"));
}

#[tokio::test]
async fn a_login_under_way_is_waited_for_at_the_end_though_its_connector_was_taken_out() {
    let (upstream, kept) = (Upstream::start().await.unwrap(), tempfile::tempdir().unwrap());
    let start = async || {
        let setup = refreshing(Setup::new().unwrap(), &upstream, "the-first-refresh-token");
        // Its place in the status is empty once nobody is served any more.
        let audit = json!({ "to": { "file": kept.path().join("audit") } });
        Ferrata::start(durable(setup, kept.path()).with(&["audit"], audit)).await.unwrap()
    };
    let Reply::Answer(.., tokens) = granted(1, 3600) else { unreachable!() };
    upstream.reply(Reply::HeldThen(tokens));
    let mut ferrata = start().await;
    upstream.holds(1).await.unwrap();
    let file = ferrata.setup().folder().join("ferrata.yaml");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["connectors"] = json!({});
    fs::write(file, config.to_string()).unwrap();
    let gone = async || {
        let status = ferrata.control().get("/status").await.unwrap().json();
        (status["connectors"] == json!({})).then_some(())
    };
    wait::until("the connector's end", gone).await.unwrap();
    upstream.holds(1).await.unwrap();

    ferrata.terminate().unwrap();
    let drained = async || {
        let answer = ferrata.control().get("/status").await.ok()?;
        (answer.json()["audit"] == Value::Null).then_some(())
    };
    wait::until("the end of the drain", drained).await.unwrap();
    upstream.release();
    assert!(ferrata.ended().await.unwrap().success());

    let ferrata = start().await;
    upstream.reply(identity());
    done(whoami(&ferrata).await);
    assert_eq!(spent(&upstream), ["the-first-refresh-token"]);
}

#[tokio::test]
async fn a_refresh_token_that_is_refused_is_dead_once_and_is_told_everywhere() {
    let (upstream, kept) = (Upstream::start().await.unwrap(), tempfile::tempdir().unwrap());
    let setup = refreshing(Setup::new().unwrap(), &upstream, "a-refresh-token-of-yesterday");
    upstream.reply(refused());
    let ferrata = Ferrata::start(durable(setup, kept.path())).await.unwrap();
    let dead = async || (credential(&ferrata).await["state"] == "dead").then_some(());
    wait::until("its death", dead).await.unwrap();
    for _ in 0..3 {
        let fault = fault(whoami(&ferrata).await, "credential_dead");
        assert!(fault.sentence.contains("consent again"), "{}", fault.sentence);
    }
    assert_eq!(spent(&upstream).len(), 1, "no loop");
    let ready = ferrata.admin().get("/readyz").await.unwrap();
    assert_eq!((ready.status, ready.text().contains("id/account: dead")), (StatusCode::OK, true));
    let metrics = ferrata.admin().get("/metrics").await.unwrap().text();
    assert!(
        metrics.contains(r#"ferrata_credential_dead{connector="id",credential="account"} 1"#),
        "{metrics}"
    );
    assert!(metrics.contains(r#"alarm="dead""#) && ferrata.log().contains("the credential is dead"));

    // What the operator does about it.
    upstream.reply(granted(1, 3600));
    upstream.reply(identity());
    fs::write(ferrata.setup().folder().join("secrets/refresh"), "consented-to-again").unwrap();
    let revived = async || Some(whoami(&ferrata).await).filter(|outcome| outcome.kind() != "credential_dead");
    done(wait::until("the new token", revived).await.unwrap());
    let control = ferrata.status_url();
    let control = control.trim_start_matches("http://").trim_end_matches("/status").to_owned();
    let table = cli(ferrata.setup().folder(), ["credentials", "--control", &control]).await.unwrap();
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(
        table.contains("id/account") && table.contains("refresh-token") && table.contains("good"),
        "{table}"
    );
    assert!(!table.contains("access-token") && !table.contains("consented"), "{table}");
}

/// What is told everywhere of a credential: in the status, to whoever asks whether all is well, in the metrics and in the log.
pub async fn told(ferrata: &Ferrata, connector: &str, credential: &str, state: &str, alarm: &str) {
    let everywhere = async || {
        let status = ferrata.control().get("/status").await.unwrap().json();
        let seen = &status["connectors"][connector]["credentials"][credential];
        let ready = ferrata.admin().get("/readyz").await.unwrap().text();
        let metrics = ferrata.admin().get("/metrics").await.unwrap().text();
        let counted = |line: &str| line.contains(credential) && line.contains(&format!("alarm=\"{alarm}\""));
        (seen["state"] == state
            && seen["alarms"].as_array()?.iter().any(|said| said == alarm)
            && ready.contains(&format!("credential {connector}/{credential}: {state}"))
            && metrics.lines().any(counted)
            && ferrata.log().contains(&format!("\"alarm\":\"{alarm}\"")))
        .then_some(())
    };
    wait::until(alarm, everywhere).await.unwrap();
}

#[tokio::test]
async fn a_key_that_the_system_refuses_is_said_everywhere_until_it_is_accepted() {
    let slack = Sandbox::start(Slack::acme(Clock::frozen(Duration::from_secs(1_795_132_800)))).await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::slack(&setup, &slack).unwrap();
    let ferrata = Ferrata::start(setup.connector("chat", connector)).await.unwrap();
    let post = async || {
        let message = json!({ "channel": "#support", "text": "hello" });
        ferrata.mcp().call("chat_post_message", message).await.unwrap()
    };
    slack.force(Failure::Code("invalid_auth".to_owned()), 1);
    fault(post().await, "credential_dead");
    told(&ferrata, "chat", "bot", "refused", "refused").await;
    done(post().await);
    let status = ferrata.control().get("/status").await.unwrap().json();
    let bot = &status["connectors"]["chat"]["credentials"]["bot"];
    assert_eq!((&bot["state"], &bot["alarms"]), (&json!("good"), &json!([])));
}

#[tokio::test]
async fn what_cannot_be_read_from_the_start_and_what_is_too_old_are_said_before_anybody_calls() {
    let (upstream, kept) = (Upstream::start().await.unwrap(), tempfile::tempdir().unwrap());
    let setup = durable(refreshing(Setup::new().unwrap(), &upstream, "to-be-gone"), kept.path());
    let mut probe = connectors::probe(&setup, &upstream).unwrap();
    probe["credentials"]["bot"]["rotate"] = json!("1d");
    probe["credentials"]["bot"]["issued"] = json!("2020-02-02");
    fs::remove_file(setup.folder().join("secrets/refresh")).unwrap();
    let ferrata = Ferrata::start(setup.connector("probe", probe)).await.unwrap();
    told(&ferrata, "id", "account", "unreadable", "unreadable").await;
    told(&ferrata, "probe", "bot", "good", "rotation_due").await;
}

#[tokio::test]
async fn a_key_is_as_old_in_a_new_pod_as_it_was_in_the_one_before() {
    let (upstream, kept) = (Upstream::start().await.unwrap(), tempfile::tempdir().unwrap());
    let start = async |key: &str, days: u64| {
        let setup = durable(Setup::new().unwrap(), kept.path());
        let mut probe = connectors::probe(&setup, &upstream).unwrap();
        let file = setup.file("mounted/token", key).unwrap();
        let written = SystemTime::now() - Duration::from_secs(days * 86_400);
        fs::File::options().write(true).open(&file).unwrap().set_modified(written).unwrap();
        probe["credentials"]["bot"]["token"] = json!(file);
        Ferrata::start(setup.connector("probe", probe)).await.unwrap()
    };
    let aged = async |ferrata: &Ferrata, days: u64| {
        let look = async || {
            let status = ferrata.control().get("/status").await.unwrap().json();
            let bot = &status["connectors"]["probe"]["credentials"]["bot"];
            (bot["secrets_age_doubt"].is_null() && bot["secrets_age_days"] == days).then_some(())
        };
        wait::until("its age", look).await.unwrap();
    };
    let ferrata = start("a-key-of-last-summer", 100).await;
    aged(&ferrata, 100).await;
    assert!(ferrata.stop().await.unwrap().success());

    let ferrata = start("a-key-of-last-summer", 0).await;
    aged(&ferrata, 100).await;
    told(&ferrata, "probe", "bot", "good", "rotation_due").await;
    // Replaced at last.
    fs::write(ferrata.setup().folder().join("mounted/token"), "a-key-of-this-autumn").unwrap();
    aged(&ferrata, 0).await;
    assert!(ferrata.stop().await.unwrap().success());
    let stored = fs::read(kept.path().join("state.redb")).unwrap();
    let stored = String::from_utf8_lossy(&stored);
    assert!(!stored.contains("a-key-of") && !stored.contains("probe/bot"));
}

#[tokio::test]
async fn a_refresh_token_that_would_die_with_the_pod_is_refused_beforehand() {
    let upstream = Upstream::start().await.unwrap();
    let setup = refreshing(Setup::new().unwrap(), &upstream, "seed");
    setup.write().unwrap();
    let check = cli(setup.folder(), ["check"]).await.unwrap();
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(said.contains("dies with the pod") && said.contains("rotates: false"), "{said}");

    let state = setup.folder().join("state.redb");
    let setup = setup.with(&["state"], json!({ "file": state }));
    setup.write().unwrap();
    let check = cli(setup.folder(), ["check"]).await.unwrap();
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(said.contains("needs a `key`"), "{said}");
    assert_eq!(check.status.code(), Some(65));
}
