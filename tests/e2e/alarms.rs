//! What somebody must look after at a credential that a login wins, seen where people look.

use ferrata_tests::ferrata::{Ferrata, cli};
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::wait;
use http::StatusCode;
use serde_json::{Value, json};

use crate::exchange::{exchange, whoami};
use crate::issuer::Issuer;
use crate::rotation::told;
use crate::{done, fault, logins};

fn answer(status: StatusCode, body: &Value) -> Reply {
    Reply::Answer(status, vec![("content-type", "application/json")], body.to_string())
}

fn identity() -> Reply {
    answer(StatusCode::OK, &json!({ "name": "robot" }))
}

fn refusal() -> Reply {
    answer(StatusCode::UNAUTHORIZED, &json!({}))
}

async fn start() -> (Upstream, Ferrata) {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = logins::start(&upstream).await;
    (upstream, ferrata)
}

/// The alarm is told everywhere, and `ferrata credentials` says the state.
async fn is_told(ferrata: &Ferrata, state: &str, alarm: &str) {
    told(ferrata, "id", "account", state, alarm).await;
    let control = ferrata.status_url();
    let control = control.trim_start_matches("http://").trim_end_matches("/status");
    let table = cli(ferrata.setup().folder(), ["credentials", "--control", control]).await.unwrap();
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    let row = table.lines().find(|line| line.contains("id/account")).unwrap_or_default();
    assert!(row.contains(state), "{table}");
}

async fn is_over(ferrata: &Ferrata) {
    let status = ferrata.control().get("/status").await.unwrap().json();
    let account = &status["connectors"]["id"]["credentials"]["account"];
    assert_eq!((&account["state"], &account["alarms"]), (&json!("good"), &json!([])));
}

#[tokio::test]
async fn a_token_that_is_refused_fresh_as_it_is_is_said_everywhere_until_it_is_accepted() {
    let (upstream, ferrata) = start().await;
    for reply in
        [logins::token("first-access-token"), refusal(), logins::token("second-access-token"), refusal()]
    {
        upstream.reply(reply);
    }
    let refused = fault(whoami(&ferrata, None).await, "credential_dead");
    assert!(refused.sentence.contains("refused again"), "{}", refused.sentence);
    is_told(&ferrata, "refused", "refused").await;
    upstream.reply(identity());
    done(whoami(&ferrata, None).await);
    is_over(&ferrata).await;
}

#[tokio::test]
async fn a_login_that_is_granted_too_little_is_said_everywhere_and_by_the_name_of_what_is_missing() {
    let (upstream, ferrata) = start().await;
    upstream.reply(answer(
        StatusCode::OK,
        &json!({ "access_token": "a-narrow-access-token", "token_type": "Bearer", "expires_in": 3600, "scope": "look" }),
    ));
    let refused = fault(whoami(&ferrata, None).await, "credential_dead");
    assert!(refused.sentence.contains("not granted the scope `read`"), "{}", refused.sentence);
    is_told(&ferrata, "insufficient", "insufficient").await;
    assert_eq!(upstream.seen().len(), 1, "nothing is sent with it");
}

#[tokio::test]
async fn sessions_of_users_that_fail_for_the_clients_sake_are_said_everywhere() {
    let (upstream, issuer) = (Upstream::start().await.unwrap(), Issuer::new());
    let ferrata = crate::exchange::start(&upstream, &issuer, exchange()).await;
    let refused = |code: &str| answer(StatusCode::BAD_REQUEST, &json!({ "error": code }));
    upstream.reply(refused("invalid_grant"));
    fault(whoami(&ferrata, Some(&issuer.token("eve", "app"))).await, "permission_denied");
    is_over(&ferrata).await;
    upstream.reply(refused("invalid_client"));
    let ann = issuer.token("ann", "app");
    fault(whoami(&ferrata, Some(&ann)).await, "credential_dead");
    is_told(&ferrata, "failing", "users_failing").await;
    upstream.reply(logins::token("session-of-ann"));
    let mended = async || Some(whoami(&ferrata, Some(&ann)).await).filter(|o| o.kind() != "credential_dead");
    wait::until("a session", mended).await.unwrap();
    is_over(&ferrata).await;
}
