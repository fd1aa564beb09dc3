//! Each grant of OAuth, through a sidecar and a connector's login, against a real identity provider.

use ferrata_tests::artifacts;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::identity::IdentityProvider;
use ferrata_tests::mcp::Outcome;
use ferrata_tests::setup::Setup;
use serde_json::{Value, json};

use crate::{clients, done, fault};

pub const CLIENT: &str = "ferrata";
pub const SECRET: &str = "the-clients-own-s3cr3t";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// A key pair in PEM.
struct Pair {
    private: String,
    public: String,
}

impl Pair {
    fn new() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self { private: pair.serialize_pem(), public: pair.public_key_pem() }
    }
}

/// A client that authenticates by that method, and may use every grant.
fn client(method: &str, more: Value) -> Value {
    let grants = ["client_credentials", "refresh_token", JWT_BEARER, TOKEN_EXCHANGE];
    let mut client =
        json!({ "client_id": CLIENT, "grant_types": grants, "token_endpoint_auth_method": method });
    for (name, value) in more.as_object().unwrap() {
        client[name] = value.clone();
    }
    client
}

/// A provider with that client, unless what it needs is not installed.
pub async fn provider(client: Value, configuration: Value) -> Option<IdentityProvider> {
    let installed = clients::installed()?;
    let mut whole = json!({ "scope": "read write", "clients": [client] });
    for (name, value) in configuration.as_object().unwrap() {
        whole[name] = value.clone();
    }
    Some(IdentityProvider::start(&installed, &whole).await.unwrap())
}

pub fn connector(provider: &IdentityProvider, credential: &Value) -> Value {
    json!({
        "component": artifacts::guest("ferrata-login").unwrap(),
        "upstreams": { "api": { "url": provider.url() } },
        "credentials": { "account": credential },
    })
}

/// Asks who the provider's tokens are for.
async fn whoami(provider: &IdentityProvider, setup: Setup, credential: Value) -> Outcome {
    let ferrata = Ferrata::start(setup.connector("id", connector(provider, &credential))).await.unwrap();
    ferrata.mcp().call("id_whoami", json!({})).await.unwrap()
}

/// Every kind of character that a secret may have (RFC 6749, A.2), most of which form-encoding changes.
const STRANGE_SECRET: &str = "50% more + a:colon/or=two & \"more\"~";

#[tokio::test]
async fn a_secret_of_any_characters_is_what_the_provider_takes_it_for() {
    for method in ["client_secret_basic", "client_secret_post"] {
        let registered = client(method, json!({ "client_secret": STRANGE_SECRET }));
        let Some(provider) = provider(registered, json!({})).await else { return };
        let setup = Setup::new().unwrap();
        let credential = json!({
            "kind": "client-credentials", "scope": "read",
            "client_id": { "value": CLIENT }, "client_auth": method,
            "client_secret": setup.file("secrets/client", STRANGE_SECRET).unwrap(),
        });
        assert_eq!(done(whoami(&provider, setup, credential).await), json!({ "name": CLIENT }), "{method}");
    }
}

#[tokio::test]
async fn client_credentials_with_each_way_to_authenticate() {
    let pair = Pair::new();
    for method in ["client_secret_basic", "client_secret_post", "private_key_jwt"] {
        let is_key = method == "private_key_jwt";
        let registered =
            if is_key { json!({ "key": pair.public }) } else { json!({ "client_secret": SECRET }) };
        let Some(provider) = provider(client(method, registered), json!({})).await else { return };
        let setup = Setup::new().unwrap();
        let mut credential = json!({
            "kind": "client-credentials", "scope": "read",
            "client_id": { "value": CLIENT }, "client_auth": method,
        });
        if is_key {
            credential["client_key"] = json!(setup.file("secrets/key", &pair.private).unwrap());
            credential["client_audience"] = json!(provider.url());
        } else {
            credential["client_secret"] = json!(setup.file("secrets/client", SECRET).unwrap());
        }
        assert_eq!(done(whoami(&provider, setup, credential).await), json!({ "name": CLIENT }), "{method}");
        assert_eq!(provider.seen().await.unwrap()["granted"], json!({ "client_credentials": 1 }));
    }
}

#[tokio::test]
async fn an_assertion_for_a_subject_by_a_client_that_authenticates_with_a_key_of_its_own() {
    let (grant, own) = (Pair::new(), Pair::new());
    let registered = json!({ "key": own.public, "grant_key": grant.public });
    let Some(provider) = provider(client("private_key_jwt", registered), json!({})).await else { return };
    let setup = Setup::new().unwrap();
    let credential = json!({
        "kind": "jwt-bearer", "scope": "read",
        "client_id": { "value": CLIENT }, "subject": "bot@acme.example", "audience": provider.url(),
        "key": setup.file("secrets/grant", &grant.private).unwrap(),
        "client_auth": "private_key_jwt", "client_audience": provider.url(),
        "client_key": setup.file("secrets/own", &own.private).unwrap(),
    });
    let name = done(whoami(&provider, setup, credential).await);
    assert_eq!(name, json!({ "name": "bot@acme.example" }));
}

#[tokio::test]
async fn an_assertion_that_the_provider_does_not_believe_is_a_dead_credential() {
    let (known, other) = (Pair::new(), Pair::new());
    let registered = json!({ "client_secret": SECRET, "grant_key": known.public });
    let Some(provider) = provider(client("client_secret_post", registered), json!({})).await else { return };
    for (key, audience) in [(&other, provider.url()), (&known, "https://elsewhere.example")] {
        let setup = Setup::new().unwrap();
        let credential = json!({
            "kind": "jwt-bearer", "scope": "read", "client_id": { "value": CLIENT }, "audience": audience,
            "client_auth": "client_secret_post", "client_secret": setup.file("client", SECRET).unwrap(),
            "key": setup.file("grant", &key.private).unwrap(),
        });
        let dead = fault(whoami(&provider, setup, credential).await, "credential_dead");
        assert_eq!(dead.data["code"], "invalid_grant", "{dead:?}");
    }
}

/// The token of another client, for one of this client's.
async fn exchanged(provider: &IdentityProvider, subject: &str, kind: &str) -> Outcome {
    let setup = Setup::new().unwrap();
    let credential = json!({
        "kind": "token-exchange", "scope": "read", "audience": "crm",
        "client_id": { "value": CLIENT }, "client_auth": "client_secret_basic",
        "client_secret": setup.file("secrets/client", SECRET).unwrap(),
        "subject_token": setup.file("secrets/subject", subject).unwrap(),
        "subject_token_type": format!("urn:ietf:params:oauth:token-type:{kind}"),
    });
    whoami(provider, setup, credential).await
}

#[tokio::test]
async fn a_token_for_another() {
    let registered = client("client_secret_basic", json!({ "client_secret": SECRET }));
    let Some(provider) = provider(registered, json!({})).await else { return };
    for algorithm in ["RS256", "ES256"] {
        let subject = provider.token(CLIENT, "ada@acme.example", "desk", algorithm).await.unwrap();
        let name = done(exchanged(&provider, &subject, "jwt").await);
        assert_eq!(name, json!({ "name": "ada@acme.example@crm" }), "{algorithm}");
        let (unsigned, _) = subject.rsplit_once('.').unwrap();
        let refused = exchanged(&provider, &format!("{unsigned}.AAAA"), "jwt").await;
        assert_eq!(fault(refused, "credential_dead").data["code"], "invalid_grant");
    }
    let opaque = provider.seed(CLIENT, "ada@acme.example").await.unwrap();
    let refused = exchanged(&provider, &opaque, "access_token").await;
    assert_eq!(fault(refused, "credential_dead").data["code"], "invalid_grant", "a refresh token is none");
}

/// A refresh token of that client, and where its successors are kept if it has any.
async fn refreshing(provider: &IdentityProvider, setup: Setup, rotates: bool) -> (Setup, Value) {
    let seed = provider.seed(CLIENT, "ada@acme.example").await.unwrap();
    let credential = json!({
        "kind": "refresh-token", "rotates": rotates, "client_id": { "value": CLIENT },
        "client_secret": setup.file("secrets/client", SECRET).unwrap(),
        "refresh_token": setup.file("secrets/refresh", seed).unwrap(),
    });
    let key = setup.file("secrets/key", "07".repeat(32)).unwrap();
    let state = setup.folder().join("state.redb");
    let setup = if rotates { setup.with(&["state"], json!({ "file": state, "key": key })) } else { setup };
    (setup, credential)
}

#[tokio::test]
async fn a_refresh_token_that_is_replaced_with_each_use_and_one_that_is_not() {
    for rotates in [true, false] {
        let registered = client("client_secret_basic", json!({ "client_secret": SECRET }));
        let behaviour = json!({ "rotate": rotates, "access_life": 1 });
        let Some(provider) = provider(registered, behaviour).await else { return };
        let (setup, credential) = refreshing(&provider, Setup::new().unwrap(), rotates).await;
        let ferrata = Ferrata::start(setup.connector("id", connector(&provider, &credential))).await.unwrap();
        let mut refreshed = 0;
        while refreshed < 3 {
            let name = done(ferrata.mcp().call("id_whoami", json!({})).await.unwrap());
            assert_eq!(name, json!({ "name": "ada@acme.example" }));
            refreshed = provider.seen().await.unwrap()["granted"]["refresh_token"].as_u64().unwrap_or(0);
        }
        let seen = provider.seen().await.unwrap();
        assert_eq!((&seen["refused"], &seen["again"], &seen["revoked"]), (&json!([]), &json!(0), &json!(0)));
    }
}

#[tokio::test]
async fn a_client_with_the_wrong_secret_is_a_dead_credential_that_says_why() {
    let registered = client("client_secret_post", json!({ "client_secret": SECRET }));
    let Some(provider) = provider(registered, json!({})).await else { return };
    let setup = Setup::new().unwrap();
    let wrong = setup.file("secrets/client", "another secret").unwrap();
    let credential = json!({
        "kind": "client-credentials", "client_id": { "value": CLIENT }, "client_secret": wrong,
    });
    let dead = fault(whoami(&provider, setup, credential).await, "credential_dead");
    assert_eq!(dead.data["code"], "invalid_client", "{dead:?}");
    assert_eq!(provider.seen().await.unwrap()["refused"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_scope_that_was_not_granted_is_said_at_the_login() {
    let registered = client("client_secret_post", json!({ "client_secret": SECRET }));
    let Some(provider) = provider(registered, json!({})).await else { return };
    let setup = Setup::new().unwrap();
    let credential = json!({
        "kind": "client-credentials", "scope": "write",
        "client_id": { "value": CLIENT }, "client_secret": setup.file("secrets/client", SECRET).unwrap(),
    });
    let dead = fault(whoami(&provider, setup, credential).await, "credential_dead");
    assert!(dead.sentence.contains("`read`"), "{dead:?}");
    assert_eq!(provider.seen().await.unwrap()["served"], 0);
}
