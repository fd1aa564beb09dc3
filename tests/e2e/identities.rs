//! Agents and users by the tokens of a real identity provider, npm `oidc-provider`: its keys, found by its OpenID configuration, its JWTs, and
//! sessions that it gives for them.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::http::Client;
use ferrata_tests::identity::{IdentityProvider, resource};
use ferrata_tests::mcp::Mcp;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use ferrata_tests::wait;
use http::StatusCode;
use serde_json::{Value, json};

use crate::deeds::Deed;
use crate::grants::{self, SECRET};
use crate::{done, exchange};

/// The agent, as the provider knows it, and what tokens for its sidecar are for.
const AGENT: &str = "support";
const AUDIENCE: &str = "ferrata";

/// Life of an access token, in seconds, where one must end within the test.
const SHORT: u64 = 2;

async fn provider(configuration: Value) -> Option<IdentityProvider> {
    let agent = json!({
        "client_id": AGENT, "client_secret": SECRET, "token_endpoint_auth_method": "client_secret_post",
        "grant_types": ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"],
    });
    grants::provider(agent, configuration).await
}

/// What `ferrata.yaml` says of it.
fn trusted(provider: &IdentityProvider) -> Value {
    json!({ "issuer": provider.url(), "audience": AUDIENCE, "algorithms": ["RS256", "ES256"] })
}

async fn start(provider: &IdentityProvider, upstream: &Upstream) -> Ferrata {
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, upstream).unwrap();
    let setup = setup
        .connector("probe", connector)
        .with(&["access", AGENT], json!({ "allow": [Deed::ForWhom.tool()] }))
        .with(&["agent", "auth"], json!({ "jwt": trusted(provider) }));
    Ferrata::start(setup).await.unwrap()
}

fn bearer(ferrata: &Ferrata, token: &str) -> Client {
    ferrata.agent().with("authorization", &format!("Bearer {token}")).unwrap()
}

async fn for_whom(ferrata: &Ferrata, token: &str) -> Value {
    let mcp = Mcp::new(bearer(ferrata, token));
    done(mcp.call(&Deed::ForWhom.tool(), json!({})).await.unwrap())["text"].take()
}

async fn status(ferrata: &Ferrata, token: &str) -> StatusCode {
    bearer(ferrata, token).get("/v1/tools").await.unwrap().status
}

#[tokio::test]
async fn a_providers_token_says_which_agent_calls_for_which_user_whichever_key_has_signed_it() {
    let (Some(provider), upstream) = (provider(json!({})).await, Upstream::start().await.unwrap()) else {
        return;
    };
    let ferrata = start(&provider, &upstream).await;
    for algorithm in ["RS256", "ES256"] {
        let resource = resource(AUDIENCE, algorithm);
        let own = provider.own_token(AGENT, SECRET, Some(&resource)).await.unwrap();
        assert_eq!(for_whom(&ferrata, &own).await, "nobody", "{algorithm}");
        let users = provider.token(AGENT, "ann", AUDIENCE, algorithm).await.unwrap();
        assert_eq!(for_whom(&ferrata, &users).await, "ann", "{algorithm}");
        let for_others = provider.token(AGENT, "ann", "somewhere-else", algorithm).await.unwrap();
        assert_eq!(status(&ferrata, &for_others).await, StatusCode::UNAUTHORIZED);
    }
    let opaque = provider.own_token(AGENT, SECRET, None).await.unwrap();
    assert_eq!(status(&ferrata, &opaque).await, StatusCode::UNAUTHORIZED);
    assert_eq!(provider.seen().await.unwrap()["keys"], 1, "the keys are kept");
}

#[tokio::test]
async fn keys_that_the_provider_replaces_are_asked_for_again_and_not_with_every_token() {
    let (Some(provider), upstream) = (provider(json!({})).await, Upstream::start().await.unwrap()) else {
        return;
    };
    let ferrata = start(&provider, &upstream).await;
    let token = async || provider.token(AGENT, "ann", AUDIENCE, "ES256").await.unwrap();
    let before = token().await;
    assert_eq!(for_whom(&ferrata, &before).await, "ann");
    provider.rotate_keys().await.unwrap();
    let after = token().await;
    for _ in 0..20 {
        assert_eq!(status(&ferrata, &after).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(
        provider.seen().await.unwrap()["keys"],
        1,
        "within half a minute they are not asked for again"
    );
    assert_eq!(for_whom(&ferrata, &before).await, "ann", "nor forgotten");
    let accepted = async || (status(&ferrata, &after).await == StatusCode::OK).then_some(());
    wait::until("the new keys", accepted).await.unwrap();
    assert_eq!(for_whom(&ferrata, &after).await, "ann");
    assert_eq!(status(&ferrata, &before).await, StatusCode::UNAUTHORIZED, "a key that was taken away");
    assert_eq!(provider.seen().await.unwrap()["keys"], 2);
}

#[tokio::test]
async fn a_users_session_that_ends_is_exchanged_for_again_while_the_users_token_lives() {
    let Some(provider) = provider(json!({ "access_life": SHORT })).await else { return };
    let setup = Setup::new().unwrap();
    let credential = json!({
        "kind": "token-exchange", "scope": "read", "client_id": { "value": AGENT },
        "client_secret": setup.file("client", SECRET).unwrap(), "audience": "crm",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    });
    let setup = setup
        .connector("id", grants::connector(&provider, &credential))
        .with(&["agent", "users"], trusted(&provider));
    let ferrata = Ferrata::start(setup).await.unwrap();
    let calls = async |user: &str| {
        let token = provider.token(AGENT, user, AUDIENCE, "RS256").await.unwrap();
        while exchanges(&provider).await < EXCHANGES {
            let name = done(exchange::whoami(&ferrata, Some(&token)).await);
            assert_eq!(name, json!({ "name": format!("{user}@crm") }));
        }
    };
    tokio::join!(calls("ann"), calls("bob"));
    let seen = provider.seen().await.unwrap();
    assert_eq!((&seen["refused"], &seen["unserved"]), (&json!([]), &json!([])), "{seen}");
}

/// So many, of two users: each session was won, and won again at least once.
const EXCHANGES: u64 = 5;

async fn exchanges(provider: &IdentityProvider) -> u64 {
    provider.seen().await.unwrap()["granted"][grants::TOKEN_EXCHANGE].as_u64().unwrap_or(0)
}
