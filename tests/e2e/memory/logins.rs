//! What logins are made with, and what they win: keys, refresh tokens, users' tokens, assertions. Each search is shown to find what is there by
//! a copy in a public field, which a guest does read.

use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Seen, Upstream};
use ferrata_tests::wait;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use super::{guest_memory, holds, holds_none_of};
use crate::issuer::Issuer;
use crate::logins::CLIENT_SECRET;
use crate::{done, exchange};

/// What the login wins, and what it was made with. No part of them is anywhere else.
const ACCESS_TOKEN: &str = "4cc355-t0k3n-that-no-guest-sees";
const NEXT_REFRESH_TOKEN: &str = "n3xt-r3fr3sh-t0k3n+that/no=guest-sees";
const REFRESH_TOKEN: &str = "f1rst-r3fr3sh-t0k3n-that-no-guest-sees";

/// The fields of a login's request that no guest may know.
const SECRET_FIELDS: [&str; 5] =
    ["assertion", "client_assertion", "client_secret", "refresh_token", "subject_token"];

/// A login, the secrets that belong to it, and the user for whom it is.
struct Case {
    credential: Value,
    secrets: Vec<String>,
    user: Option<String>,
    issuer: Issuer,
}

impl Case {
    fn new(credential: Value, secrets: &[&str]) -> Self {
        let secrets = [secrets, &[ACCESS_TOKEN, NEXT_REFRESH_TOKEN]].concat();
        let secrets = secrets.into_iter().map(str::to_owned).collect();
        Self { credential, secrets, user: None, issuer: Issuer::new() }
    }

    /// With a copy of every secret in a field that is public.
    fn planted(mut self) -> Self {
        self.credential["scope"] = json!({ "value": self.secrets.join(" ") });
        self
    }

    /// What sandboxes hold while the login waits for its answer, while the call behind it does, and after that.
    async fn memories(&self, setup: Setup) -> ([Vec<u8>; 3], Vec<Seen>) {
        let upstream = Upstream::start().await.unwrap();
        let granted = json!({
            "access_token": ACCESS_TOKEN, "refresh_token": NEXT_REFRESH_TOKEN, "expires_in": 3600, "scope": "read",
        });
        upstream.reply(Reply::HeldThen(granted.to_string()));
        upstream.reply(Reply::HeldThen(json!({ "name": "ann" }).to_string()));
        let setup = setup.with(&["sandbox"], json!({ "reuse": true }));
        let ferrata = exchange::start_in(setup, &upstream, &self.issuer, self.credential.clone()).await;
        let looking = async {
            upstream.holds(1).await.unwrap();
            let in_login = guest_memory(ferrata.pid());
            upstream.release();
            let next = async || (upstream.seen().len() == 2).then_some(());
            wait::until("the request behind the login", next).await.unwrap();
            upstream.holds(1).await.unwrap();
            let in_call = guest_memory(ferrata.pid());
            upstream.release();
            (in_login, in_call)
        };
        let (outcome, (in_login, in_call)) =
            tokio::join!(exchange::whoami(&ferrata, self.user.as_deref()), looking);
        done(outcome);
        let after = guest_memory(ferrata.pid());
        ([in_login, in_call, after], upstream.seen())
    }

    async fn search_finds_only_what_was_planted(self, files: impl Fn() -> Setup) {
        let (memories, seen) = self.memories(files()).await;
        assert_eq!(seen[1].header("authorization"), format!("Bearer {ACCESS_TOKEN}"));
        assert!(holds(&memories[0], b"grant_type") && holds(&memories[1], b"account.access_token"));
        let sent = secrets_of(&seen[0]);
        assert!(!sent.is_empty(), "{:?}", seen[0]);
        for memory in &memories {
            self.secrets.iter().chain(&sent).for_each(|secret| holds_none_of(secret, memory));
        }
        let planted = self.planted();
        let ([in_login, ..], _) = planted.memories(files()).await;
        for secret in &planted.secrets {
            assert!(holds(&in_login, secret.as_bytes()), "the search does not find {secret}");
        }
    }
}

/// What the request carried that no guest may know; of a JWT, its signature.
fn secrets_of(login: &Seen) -> Vec<String> {
    let body = String::from_utf8(login.body.to_vec()).unwrap();
    let fields = body.split('&').filter_map(|field| field.split_once('='));
    let secret = fields.filter(|(name, _)| SECRET_FIELDS.contains(name));
    secret.map(|(_, value)| value.rsplit('.').next().unwrap().to_owned()).collect()
}

/// Files with those contents, as a configuration beside them names them.
fn files(contents: &[(&str, String)]) -> Setup {
    let setup = Setup::new().unwrap();
    for (name, content) in contents {
        setup.file(name, content).unwrap();
    }
    setup
}

#[tokio::test]
async fn a_clients_secret_and_what_it_wins() {
    let credential = json!({
        "kind": "client-credentials", "client_id": { "value": "the-client" }, "client_secret": "./client",
    });
    Case::new(credential, &[CLIENT_SECRET]).search_finds_only_what_was_planted(|| files(&[])).await;
}

#[tokio::test]
async fn refresh_tokens_before_and_after() {
    let credential = json!({
        "kind": "refresh-token", "rotates": false, "client_id": { "value": "the-client" },
        "client_secret": "./client", "refresh_token": "./refresh",
    });
    let files = || files(&[("refresh", REFRESH_TOKEN.to_owned())]);
    let case = Case::new(credential, &[CLIENT_SECRET, REFRESH_TOKEN]);
    case.search_finds_only_what_was_planted(files).await;
}

/// A line of a key's PEM that is all key.
fn line(pem: &str) -> &str {
    pem.lines().nth(1).unwrap()
}

#[tokio::test]
async fn signing_keys_and_what_they_sign() {
    let [grant, client] =
        [(); 2].map(|()| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().serialize_pem());
    let credential = json!({
        "kind": "jwt-bearer", "client_id": { "value": "the-client" }, "audience": "https://login.example",
        "subject": "bot", "key": "./grant.pem", "client_auth": "private_key_jwt", "client_key": "./client.pem",
        "client_audience": "https://login.example",
    });
    let case = Case::new(credential, &[line(&grant), line(&client)]);
    let files = || files(&[("grant.pem", grant.clone()), ("client.pem", client.clone())]);
    case.search_finds_only_what_was_planted(files).await;
}

#[tokio::test]
async fn a_users_token_and_what_it_is_exchanged_for() {
    let issuer = Issuer::new();
    let user = issuer.token("ann", "app");
    let (_, signature) = user.rsplit_once('.').unwrap();
    let case = Case::new(exchange::exchange(), &[signature, CLIENT_SECRET]);
    let case = Case { user: Some(user.clone()), issuer, ..case };
    case.search_finds_only_what_was_planted(|| files(&[])).await;
}
