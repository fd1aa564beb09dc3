//! Logins at the token endpoints of Salesforce and Slack, as the stand-ins have them: neither keeps to OAuth's letter.

use std::net::SocketAddr;
use std::time::Duration;

use ferrata_sandbox::salesforce::{self, Salesforce, TIMEOUT};
use ferrata_sandbox::slack::{Slack, seed};
use ferrata_sandbox::{Clock, Failure, Sandbox, System};
use ferrata_tests::artifacts;
use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::Outcome;
use ferrata_tests::setup::Setup;
use ferrata_tests::tunnel::Tunnel;
use ferrata_tests::wait;
use serde_json::{Value, json};

use crate::hostile_upstreams::certificate;
use crate::{done, fault};

/// How long one of Slack's tokens lasts where they are rotated.
const TWELVE_HOURS: Duration = Duration::from_hours(12);

/// Requests of which the path ends so.
fn asked<S: System>(sandbox: &Sandbox<S>, path_end: &str) -> usize {
    sandbox.requests().iter().filter(|seen| seen.request.path.ends_with(path_end)).count()
}

/// An org on a host of its own, behind TLS, and a sidecar that knows only the pattern of that host.
struct Org {
    sandbox: Sandbox<Salesforce>,
    _tunnel: Tunnel,
    ferrata: Ferrata,
}

impl Org {
    async fn start(rotation: bool, credential: impl FnOnce(&Setup, &Salesforce) -> Value) -> Self {
        let sandbox = Sandbox::start(Salesforce::org(Clock::real(), rotation)).await.unwrap();
        let (tls, authority) = certificate("*.my.localhost", &[]);
        let address: SocketAddr = sandbox.url().trim_start_matches("http://").parse().unwrap();
        let tunnel = Tunnel::start(tls, address).await.unwrap();
        let host = |name: &str| format!("https://{name}.my.localhost:{}", tunnel.port());
        sandbox.system().moves_to(&host("acme"));
        let setup = Setup::new().unwrap();
        let credential = credential(&setup, sandbox.system());
        let key = setup.file("secrets/state", "07".repeat(32)).unwrap();
        let state = json!({ "file": setup.folder().join("state.redb"), "key": key });
        let connector = json!({
            "component": artifacts::guest("ferrata-instance").unwrap(),
            "upstreams": {
                "login": { "url": sandbox.url() },
                "api": { "url": host("*"), "ca": setup.file("authority.pem", authority).unwrap() },
            },
            "credentials": { "account": credential },
        });
        let ferrata =
            Ferrata::start(setup.connector("crm", connector).with(&["state"], state)).await.unwrap();
        Self { sandbox, _tunnel: tunnel, ferrata }
    }

    async fn with_consent(rotation: bool) -> Self {
        Self::start(rotation, consent).await
    }

    async fn calls_left(&self) -> Outcome {
        self.ferrata.mcp().call("crm_calls_left", json!({})).await.unwrap()
    }

    fn logins(&self) -> usize {
        asked(&self.sandbox, "/token")
    }

    async fn credential(&self) -> Value {
        let status = self.ferrata.control().get("/status").await.unwrap().json();
        status["connectors"]["crm"]["credentials"]["account"].clone()
    }
}

/// The credential that a user's consent gives.
fn consent(setup: &Setup, org: &Salesforce) -> Value {
    json!({
        "kind": "refresh-token", "client_id": { "value": salesforce::CLIENT_ID },
        "client_secret": setup.file("secrets/client", salesforce::CLIENT_SECRET).unwrap(),
        "refresh_token": setup.file("secrets/refresh", org.consent()).unwrap(),
    })
}

#[tokio::test]
async fn the_host_that_a_login_names_is_where_requests_go_and_a_life_that_it_does_not_name_is_the_connectors_to_know()
 {
    let org = Org::with_consent(true).await;
    let left = salesforce::DAILY_CALLS - 1;
    assert_eq!(done(org.calls_left().await), json!({ "calls": left }));
    let expires: jiff::Timestamp = org.credential().await["expires_at"].as_str().unwrap().parse().unwrap();
    let life = expires.duration_since(jiff::Timestamp::now()).unsigned_abs();
    assert!(life <= TIMEOUT && life + Duration::from_secs(300) > TIMEOUT, "{life:?}");
    // A session that ended early is known by a 401 that is a list, and the org may have moved meanwhile.
    org.sandbox.system().end_sessions();
    assert_eq!(done(org.calls_left().await), json!({ "calls": left - 1 }));
    assert_eq!((org.logins(), org.credential().await["version"].clone()), (2, json!(2)));
}

#[tokio::test]
async fn a_host_outside_of_what_the_operator_wrote_gets_no_token() {
    let org = Org::with_consent(false).await;
    done(org.calls_left().await);
    org.sandbox.system().moves_to("https://evil.example");
    org.sandbox.system().end_sessions();
    let refused = org.calls_left().await;
    assert_ne!(refused.kind(), "ok", "{refused:?}");
    let seen = org.sandbox.requests();
    assert!(seen.iter().all(|seen| seen.request.header("host") != Some("evil.example")));
}

#[tokio::test]
async fn an_org_that_moved_out_of_what_the_operator_wrote_costs_no_consent() {
    let org = Org::start(true, |setup, org| {
        // Before the sidecar's first login, which nobody need ask for.
        org.moves_to("https://elsewhere.example");
        consent(setup, org)
    })
    .await;
    let refused = fault(org.calls_left().await, "credential_dead");
    assert!(refused.sentence.contains("host"), "{}", refused.sentence);
    assert_eq!(org.logins(), 1, "what was spent is not sent again");
    assert_eq!(org.credential().await["state"], "insufficient");
}

#[tokio::test]
async fn an_assertion_is_believed_by_its_certificate_and_audience() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    for (audience, expected) in
        [(salesforce::AUDIENCE, "ok"), ("https://elsewhere.example", "credential_dead")]
    {
        let credential = |setup: &Setup, org: &Salesforce| {
            org.certify(&pair.public_key_pem());
            json!({
                "kind": "jwt-bearer", "client_id": { "value": salesforce::CLIENT_ID },
                "subject": salesforce::USERNAME, "audience": audience,
                "key": setup.file("secrets/key", pair.serialize_pem()).unwrap(),
            })
        };
        let org = Org::start(false, credential).await;
        let outcome = org.calls_left().await;
        assert_eq!(outcome.kind(), expected, "{outcome:?}");
        if let Outcome::Fault(fault) = outcome {
            assert_eq!(fault.data["code"], "invalid_grant");
        }
    }
}

#[tokio::test]
async fn a_limit_in_the_dress_of_a_permission_costs_no_login_and_a_consent_taken_back_is_dead_once() {
    let org = Org::with_consent(true).await;
    done(org.calls_left().await);
    org.sandbox.system().buys(1);
    let limited = org.calls_left().await;
    assert!(["rate_limited", "quota_exhausted"].contains(&limited.kind()), "{limited:?}");
    assert_eq!(org.logins(), 1);

    let org = Org::with_consent(true).await;
    done(org.calls_left().await);
    org.sandbox.system().revoke();
    let dead = fault(org.calls_left().await, "credential_dead");
    assert!(dead.sentence.contains("consent again"), "{}", dead.sentence);
    fault(org.calls_left().await, "credential_dead");
    assert_eq!((org.logins(), org.credential().await["state"].clone()), (2, json!("dead")));
}

/// The Slack connector where token rotation is on.
async fn slack() -> (Sandbox<Slack>, Ferrata) {
    let slack = Sandbox::start(Slack::acme(Clock::real())).await.unwrap();
    let setup = Setup::new().unwrap();
    let mut connector = connectors::slack(&setup, &slack).unwrap();
    connector["credentials"]["bot"] = json!({
        "kind": "refresh-token", "client_id": { "value": seed::CLIENT_ID },
        "client_secret": setup.file("secrets/client", seed::CLIENT_SECRET).unwrap(),
        "refresh_token": setup.file("secrets/refresh", seed::REFRESH_TOKEN).unwrap(),
    });
    let key = setup.file("secrets/state", "07".repeat(32)).unwrap();
    let state = json!({ "file": setup.folder().join("state.redb"), "key": key });
    let ferrata = Ferrata::start(setup.connector("chat", connector).with(&["state"], state)).await.unwrap();
    (slack, ferrata)
}

async fn channels(ferrata: &Ferrata) -> Outcome {
    ferrata.mcp().call("chat_list_channels", json!({})).await.unwrap()
}

const LOGIN: &str = "/oauth.v2.access";

#[tokio::test]
async fn slacks_tokens_are_rotated_and_one_that_ends_is_known_by_a_200() {
    let (slack, ferrata) = slack().await;
    done(channels(&ferrata).await);
    assert_eq!(asked(&slack, LOGIN), 1);
    // By Slack's clock the token is over, and the sidecar cannot know it.
    slack.system().clock().advance(TWELVE_HOURS);
    done(channels(&ferrata).await);
    assert_eq!(asked(&slack, LOGIN), 2);
    let status = ferrata.control().get("/status").await.unwrap().json();
    let bot = &status["connectors"]["chat"]["credentials"]["bot"];
    assert_eq!((&bot["state"], &bot["version"]), (&json!("good"), &json!(2)), "{bot}");
    let log = ferrata.log();
    assert!(!log.contains("xoxe"), "{log}");
}

#[tokio::test]
async fn slacks_too_fast_at_a_login_is_no_death_and_a_spent_refresh_token_is() {
    for under_200 in [false, true] {
        let (slack, ferrata) = slack().await;
        done(channels(&ferrata).await);
        slack.system().throttle_under_200(under_200);
        slack.force_at(LOGIN, Failure::RateLimited { retry_after: Some(1) }, 1);
        slack.system().clock().advance(TWELVE_HOURS);
        let again = async || Some(channels(&ferrata).await).filter(|outcome| outcome.kind() == "ok");
        done(wait::until("a login that is not too fast", again).await.unwrap());
    }
    let (slack, ferrata) = slack().await;
    done(channels(&ferrata).await);
    // What stands in the file is spent: an operator who gives it back to a new sidecar has to install the app again.
    drop(ferrata);
    let setup = Setup::new().unwrap();
    let mut connector = connectors::slack(&setup, &slack).unwrap();
    connector["credentials"]["bot"] = json!({
        "kind": "refresh-token", "rotates": false, "client_id": { "value": seed::CLIENT_ID },
        "client_secret": setup.file("secrets/client", seed::CLIENT_SECRET).unwrap(),
        "refresh_token": setup.file("secrets/refresh", seed::REFRESH_TOKEN).unwrap(),
    });
    let ferrata = Ferrata::start(setup.connector("chat", connector)).await.unwrap();
    let dead = fault(channels(&ferrata).await, "credential_dead");
    assert!(dead.sentence.contains("consent again"), "{}", dead.sentence);
    fault(channels(&ferrata).await, "credential_dead");
    assert_eq!(asked(&slack, LOGIN), 2, "no loop");
}
