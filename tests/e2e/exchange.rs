//! Sessions of users: the token of the user for whom an agent calls is exchanged for one that the system knows (RFC 8693).

use ferrata_tests::artifacts;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::{Mcp, Outcome};
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use http::StatusCode;
use serde_json::{Value, json};

use crate::issuer::Issuer;
use crate::logins::{CLIENT_SECRET, token};
use crate::{done, fault};

pub async fn start(upstream: &Upstream, issuer: &Issuer, credential: Value) -> Ferrata {
    start_in(Setup::new().unwrap(), upstream, issuer, credential).await
}

pub async fn start_in(setup: Setup, upstream: &Upstream, issuer: &Issuer, credential: Value) -> Ferrata {
    setup.file("keys.json", issuer.keys()).unwrap();
    setup.file("client", CLIENT_SECRET).unwrap();
    let connector = json!({
        "component": artifacts::guest("ferrata-login").unwrap(),
        "upstreams": { "api": { "url": upstream.url() } },
        "credentials": { "account": credential },
    });
    let setup = setup.connector("id", connector).with(&["agent", "users"], Issuer::config());
    Ferrata::start(setup).await.unwrap()
}

pub fn exchange() -> Value {
    json!({ "kind": "token-exchange", "client_id": { "value": "the-client" }, "client_secret": "./client" })
}

/// What the system says of who calls.
pub async fn whoami(ferrata: &Ferrata, user: Option<&str>) -> Outcome {
    let client = match user {
        Some(token) => ferrata.agent().with("ferrata-subject-token", token).unwrap(),
        None => ferrata.agent(),
    };
    Mcp::new(client).call("id_whoami", json!({})).await.unwrap()
}

fn answer(status: StatusCode, body: &Value) -> Reply {
    Reply::Answer(status, vec![("content-type", "application/json")], body.to_string())
}

fn identity(name: &str) -> Reply {
    answer(StatusCode::OK, &json!({ "name": name }))
}

#[tokio::test]
async fn each_user_has_a_session_of_the_systems_own() {
    let (upstream, issuer) = (Upstream::start().await.unwrap(), Issuer::new());
    let ferrata = start(&upstream, &issuer, exchange()).await;
    let (ann, bob) = (issuer.token("ann", "app"), issuer.token("bob", "app"));
    for reply in
        [token("session-of-ann"), identity("ann"), identity("ann"), token("session-of-bob"), identity("bob")]
    {
        upstream.reply(reply);
    }
    assert_eq!(done(whoami(&ferrata, Some(&ann)).await), json!({ "name": "ann" }));
    assert_eq!(done(whoami(&ferrata, Some(&ann)).await), json!({ "name": "ann" }));
    assert_eq!(done(whoami(&ferrata, Some(&bob)).await), json!({ "name": "bob" }));
    let seen = upstream.seen();
    let paths: Vec<_> = seen.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/token", "/whoami", "/whoami", "/token", "/whoami"]);
    let form = |index: usize| String::from_utf8(seen[index].body.to_vec()).unwrap();
    assert!(form(0).contains("grant-type%3Atoken-exchange") && form(0).contains(&ann), "{}", form(0));
    assert!(form(3).contains(&bob) && !form(3).contains(&ann), "{}", form(3));
    assert_eq!(seen[2].header("authorization"), "Bearer session-of-ann");
    assert_eq!(seen[4].header("authorization"), "Bearer session-of-bob");
    let log = ferrata.log();
    for secret in [&ann, &bob, "session-of", CLIENT_SECRET] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn a_call_for_no_user_has_nobodys_session() {
    let (upstream, issuer) = (Upstream::start().await.unwrap(), Issuer::new());
    let ferrata = start(&upstream, &issuer, exchange()).await;
    let refused = fault(whoami(&ferrata, None).await, "permission_denied");
    assert!(refused.sentence.contains("for no user"), "{}", refused.sentence);
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn what_the_system_refuses_to_one_user_it_may_give_to_another() {
    let (upstream, issuer) = (Upstream::start().await.unwrap(), Issuer::new());
    let ferrata = start(&upstream, &issuer, exchange()).await;
    upstream.reply(answer(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_grant" })));
    fault(whoami(&ferrata, Some(&issuer.token("eve", "app"))).await, "permission_denied");
    upstream.reply(token("session-of-ann"));
    upstream.reply(identity("ann"));
    done(whoami(&ferrata, Some(&issuer.token("ann", "app"))).await);
}

#[tokio::test]
async fn an_assertion_may_be_for_the_user() {
    let (upstream, issuer) = (Upstream::start().await.unwrap(), Issuer::new());
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let setup = Setup::new().unwrap();
    let key = setup.file("key", key.serialize_pem()).unwrap();
    let credential = json!({
        "kind": "jwt-bearer", "per_user": true, "key": key,
        "client_id": { "value": "the-client" }, "audience": "https://login.example",
    });
    let ferrata = start(&upstream, &issuer, credential).await;
    fault(whoami(&ferrata, None).await, "permission_denied");
    upstream.reply(token("session-of-ann"));
    upstream.reply(identity("ann"));
    done(whoami(&ferrata, Some(&issuer.token("ann", "app"))).await);
    let form = String::from_utf8(upstream.seen()[0].body.to_vec()).unwrap();
    let assertion = form.split('&').find_map(|field| field.strip_prefix("assertion=")).unwrap();
    let claims = assertion.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("the-client"), &json!("ann")));
}
