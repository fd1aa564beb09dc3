//! What a connector cannot do with what its logins are made with, and with what they win, tried by the thief (`tests/guests/thief`).

use ferrata_tests::artifacts;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::Outcome;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use http::StatusCode;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use crate::done;

const REFRESH_TOKEN: &str = "r3fr3sh-t0k3n-that-is-nobodys-to-take";
const NEXT_REFRESH_TOKEN: &str = "n3xt-r3fr3sh-t0k3n-that-is-nobodys-to-take";
const ACCESS_TOKEN: &str = "4cc3ss-t0k3n-that-is-nobodys-to-take";

/// What an answer may bring under other names, and elsewhere.
const ELSEWHERE: [&str; 5] = [
    "t0k3n-of-a-header-that-is-nobodys-to-take",
    "t0k3n-of-a-vault-that-is-nobodys-to-take",
    "t0k3n-of-a-session-that-is-nobodys-to-take",
    "t0k3n-of-a-list-that-is-nobodys-to-take",
    "t0k3n-of-an-address-that-is-nobodys-to-take",
];

/// What a login is answered with.
fn granted() -> Value {
    json!({
        "access_token": ACCESS_TOKEN, "refresh_token": NEXT_REFRESH_TOKEN, "expires_in": 3600,
        "auth": { "client_token": ELSEWHERE[1] }, "sessionToken": ELSEWHERE[2], "others": [[ELSEWHERE[3]]],
        "next_url": format!("https://login.example/{}", ELSEWHERE[4]),
    })
}

struct Scene {
    upstream: Upstream,
    other: Upstream,
    ferrata: Ferrata,
    /// All that is not the thief's.
    secrets: Vec<String>,
}

impl Scene {
    /// With a login by that grant, in which it tries that.
    async fn start(kind: &str, deed: &str) -> Self {
        let (upstream, other) = (Upstream::start().await.unwrap(), Upstream::start().await.unwrap());
        let setup = Setup::new().unwrap();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem();
        let mut credential = json!({ "kind": kind, "client_id": { "value": "the-client" }, "scope": deed });
        if kind == "refresh-token" {
            credential["refresh_token"] = json!(setup.file("refresh", REFRESH_TOKEN).unwrap());
            (credential["rotates"], credential["client_auth"]) = (json!(false), json!("none"));
        } else {
            credential["key"] = json!(setup.file("key", &key).unwrap());
            credential["audience"] = json!("https://login.example");
        }
        let connector = json!({
            "component": artifacts::guest("ferrata-thief").unwrap(),
            "upstreams": { "api": { "url": upstream.url() }, "other": { "url": other.url() } },
            "credentials": { "account": credential },
        });
        let json = vec![("content-type", "application/json"), ("x-auth-token", ELSEWHERE[0])];
        upstream.reply(Reply::Answer(StatusCode::OK, json, granted().to_string()));
        let ferrata = Ferrata::start(setup.connector("thief", connector)).await.unwrap();
        let key = key.lines().nth(1).unwrap();
        let secrets = [REFRESH_TOKEN, NEXT_REFRESH_TOKEN, ACCESS_TOKEN, key].into_iter().chain(ELSEWHERE);
        let secrets = secrets.map(str::to_owned).collect();
        Self { upstream, other, ferrata, secrets }
    }

    async fn call(&self, tool: &str, arguments: Value) -> Outcome {
        self.ferrata.mcp().call(&format!("thief_{tool}"), arguments).await.unwrap()
    }

    /// Neither the agent nor the operator has read one, nor has a system that it is not for.
    fn nothing_is_taken(&self, outcome: &Outcome, deed: &str) {
        let told = format!("{outcome:?}\n{}", self.ferrata.log());
        for secret in &self.secrets {
            assert!(!told.contains(secret.as_str()), "{deed}: {secret} was told in {told}");
        }
        assert_eq!(self.other.seen().len(), 0, "{deed}: something was sent elsewhere");
    }
}

#[tokio::test]
async fn a_login_cannot_take_its_refresh_token_elsewhere_or_write_it_where_it_does_not_belong() {
    for deed in ["header", "authorization", "elsewhere"] {
        let scene = Scene::start("refresh-token", deed).await;
        let outcome = scene.call("whoami", json!({})).await;
        assert_ne!(outcome.kind(), "ok", "{deed}");
        scene.nothing_is_taken(&outcome, deed);
        assert_eq!(scene.upstream.seen().len(), 0, "{deed}: it was sent");
    }
}

#[tokio::test]
async fn a_login_does_not_see_what_it_wins_and_makes_a_session_of_nothing_else() {
    for deed in ["look", "name"] {
        let scene = Scene::start("refresh-token", deed).await;
        let outcome = scene.call("whoami", json!({})).await;
        assert_ne!(outcome.kind(), "ok", "{deed}: {outcome:?}");
        scene.nothing_is_taken(&outcome, deed);
        assert!(scene.upstream.seen().iter().all(|seen| seen.path == "/token"), "{deed}");
    }
}

#[tokio::test]
async fn a_signing_key_signs_what_the_host_claims_and_is_written_nowhere() {
    for deed in ["claim", "sign", "key"] {
        let scene = Scene::start("jwt-bearer", deed).await;
        let outcome = scene.call("whoami", json!({})).await;
        assert_ne!(outcome.kind(), "ok", "{deed}: {outcome:?}");
        scene.nothing_is_taken(&outcome, deed);
        assert_eq!(scene.upstream.seen().len(), 0, "{deed}: something was sent");
    }
}

#[tokio::test]
async fn outside_of_a_login_only_what_the_session_has_can_be_named() {
    for (kind, fields) in
        [("refresh-token", ["refresh_token", "client_id"]), ("jwt-bearer", ["key", "assertion"])]
    {
        let scene = Scene::start(kind, "honest").await;
        assert_eq!(
            done(scene.call("whoami", json!({})).await)["text"].as_str().map(str::is_empty),
            Some(false)
        );
        let sent = scene.upstream.seen().len();
        for field in fields {
            let outcome = scene.call("take", json!({ "field": field })).await;
            assert_ne!(outcome.kind(), "ok", "{field}: {outcome:?}");
            scene.nothing_is_taken(&outcome, field);
        }
        assert_eq!(scene.upstream.seen().len(), sent);
    }
}

#[tokio::test]
async fn the_search_for_what_was_told_finds_what_is() {
    let scene = Scene::start("refresh-token", "honest").await;
    // The system answers with the token in its headers, and that is redacted; what the agent itself says is not.
    let reflected = scene.call("whoami", json!({})).await;
    assert!(format!("{reflected:?}").contains("[redacted]"), "{reflected:?}");
    scene.nothing_is_taken(&reflected, "reflection");
    let told = scene.call("take", json!({ "field": ACCESS_TOKEN })).await;
    assert!(format!("{told:?}\n{}", scene.ferrata.log()).contains(ACCESS_TOKEN), "{told:?}");
}
