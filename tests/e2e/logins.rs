//! Credentials that are won by a login of the system's own (`tests/guests/login`).

use ferrata_tests::artifacts;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::wait;
use http::StatusCode;
use serde_json::json;

use crate::{done, fault};

pub const CLIENT_SECRET: &str = "client-s3cr3t-of-the-login";

pub async fn start(upstream: &Upstream) -> Ferrata {
    start_in(Setup::new().unwrap(), upstream).await
}

pub async fn start_in(setup: Setup, upstream: &Upstream) -> Ferrata {
    let connector = json!({
        "component": artifacts::guest("ferrata-login").unwrap(),
        "upstreams": { "api": { "url": upstream.url() } },
        "credentials": { "account": {
            "kind": "client-credentials",
            "client_id": { "value": "the-client" },
            "client_secret": setup.file("secrets/client", CLIENT_SECRET).unwrap(),
        } },
    });
    Ferrata::start(setup.connector("id", connector)).await.unwrap()
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Reply {
    Reply::Answer(status, vec![("content-type", "application/json")], body.to_string())
}

pub fn token(token: &str) -> Reply {
    answer(StatusCode::OK, &json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }))
}

#[tokio::test]
async fn a_login_is_made_once_and_again_when_its_token_is_refused() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream).await;
    let whoami = async || ferrata.mcp().call("id_whoami", json!({})).await.unwrap();
    let identity = answer(StatusCode::OK, &json!({ "name": "robot" }));

    upstream.reply(token("first-access-token"));
    upstream.reply(identity.clone());
    upstream.reply(identity.clone());
    assert_eq!(done(whoami().await), json!({ "name": "robot" }));
    done(whoami().await);

    upstream.reply(answer(StatusCode::UNAUTHORIZED, &json!({})));
    upstream.reply(token("second-access-token"));
    upstream.reply(identity);
    done(whoami().await);

    let seen = upstream.seen();
    let paths: Vec<_> = seen.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/token", "/whoami", "/whoami", "/whoami", "/token", "/whoami"]);
    assert_eq!(seen[3].header("authorization"), "Bearer first-access-token");
    assert_eq!(seen[5].header("authorization"), "Bearer second-access-token");
    let log = ferrata.log();
    assert!(!log.contains("access-token") && !log.contains(CLIENT_SECRET), "{log}");
}

#[tokio::test]
async fn a_refused_login_is_a_dead_credential_and_a_system_that_is_away_is_not() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream).await;
    let whoami = async || ferrata.mcp().call("id_whoami", json!({})).await.unwrap();
    upstream.reply(answer(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_client" })));
    fault(whoami().await, "credential_dead");
    upstream.reply(answer(StatusCode::SERVICE_UNAVAILABLE, &json!({})));
    // The refusal is everybody's answer for a moment, so that nobody tries again at once.
    let other = wait::until("another login", async || {
        Some(whoami().await).filter(|outcome| outcome.kind() != "credential_dead")
    });
    fault(other.await.unwrap(), "unavailable");
    assert_eq!(upstream.seen().len(), 2);
}
