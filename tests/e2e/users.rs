//! Agents, and the users behind them, by tokens of an identity provider.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::{Ferrata, cli};
use ferrata_tests::http::Client;
use ferrata_tests::mcp::Mcp;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use ferrata_tests::wait;
use http::StatusCode;
use serde_json::{Value, json};

use crate::deeds::Deed;
use crate::issuer::{AUDIENCE, ISSUER, Issuer, in_seconds};
use crate::{done, fault};

async fn start(upstream: &Upstream, issuer: &Issuer, agent: Value) -> Ferrata {
    let setup = Setup::new().unwrap();
    setup.file("keys.json", issuer.keys()).unwrap();
    setup.file("agents/support", "token-of-support").unwrap();
    let connector = connectors::probe(&setup, upstream).unwrap();
    let mut setup = setup
        .connector("probe", connector)
        .with(&["access", "support"], json!({ "allow": [Deed::ForWhom.tool(), Deed::Read.tool()] }));
    for (member, value) in agent.as_object().unwrap() {
        setup = setup.with(&["agent", member], value.clone());
    }
    Ferrata::start(setup.with(&["audit"], json!({ "to": { "file": "audit.jsonl" } }))).await.unwrap()
}

fn bearer(ferrata: &Ferrata, token: &str) -> Client {
    ferrata.agent().with("authorization", &format!("Bearer {token}")).unwrap()
}

async fn for_whom(client: &Client) -> Value {
    done(Mcp::new(client.clone()).call(&Deed::ForWhom.tool(), json!({})).await.unwrap())["text"].take()
}

#[tokio::test]
async fn a_token_says_which_agent_calls_for_which_user() {
    let (upstream, issuer) = (Upstream::start().await.unwrap(), Issuer::new());
    let ferrata = start(&upstream, &issuer, json!({ "auth": { "jwt": Issuer::config() } })).await;
    let token = issuer.token("ann", "support");
    assert_eq!(for_whom(&bearer(&ferrata, &token)).await, "ann");
    assert_eq!(for_whom(&bearer(&ferrata, &issuer.token("support", "support"))).await, "nobody");
    // An agent that is not in the rules has nothing, whoever vouches for it.
    let stranger = Mcp::new(bearer(&ferrata, &issuer.token("ann", "stranger")));
    assert_eq!(stranger.tools().await.unwrap().len(), 0);
    done(Mcp::new(bearer(&ferrata, &token)).call(&Deed::Read.tool(), json!({})).await.unwrap());
    let file = ferrata.setup().folder().join("audit.jsonl");
    let written = async || std::fs::read_to_string(&file).ok().filter(|text| text.lines().count() == 3);
    let audit = wait::until("the audit's lines", written).await.unwrap();
    let lines: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let who = |line: &Value| json!([line["agent"], line["subject"], line["issuer"]]);
    assert_eq!(who(&lines[0]), json!(["support", "ann", ISSUER]));
    assert_eq!(who(&lines[1]), json!(["support", null, null]));
    let log = ferrata.log();
    for secret in [&token, token.rsplit('.').next().unwrap()] {
        assert!(!log.contains(secret) && !audit.contains(secret), "{log}");
        assert!(upstream.seen().iter().all(|seen| !format!("{seen:?}").contains(secret)));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_said_and_where_to_get_a_better_one() {
    let (upstream, issuer) = (Upstream::start().await.unwrap(), Issuer::new());
    let ferrata = start(&upstream, &issuer, json!({ "auth": { "jwt": Issuer::config() } })).await;
    let expired =
        json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "azp": "support", "exp": in_seconds(-60) });
    for (token, why) in [
        (issuer.sign(&expired), "it has expired"),
        (Issuer::new().token("ann", "support"), "signature"),
        ("nonsense".to_owned(), "no signed JWT"),
    ] {
        for path in ["/mcp", "/v1/tools"] {
            let refused = bearer(&ferrata, &token).get(path).await.unwrap();
            let challenge = refused.header("www-authenticate");
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
            assert!(challenge.contains("error=\"invalid_token\"") && challenge.contains(why), "{challenge}");
            assert!(refused.text().contains(why) && !refused.text().contains(&token), "{}", refused.text());
        }
    }
    let challenged = ferrata.agent().get("/mcp").await.unwrap();
    let challenge = challenged.header("www-authenticate").to_owned();
    let (_, metadata) = challenge.split_once("resource_metadata=\"").unwrap();
    let (_, path) = metadata.trim_end_matches('"').split_once("/.well-known").unwrap();
    let metadata = ferrata.agent().get(&format!("/.well-known{path}")).await.unwrap().json();
    assert_eq!(
        (&metadata["resource"], &metadata["authorization_servers"]),
        (&json!(ferrata.agent_url()), &json!([ISSUER]))
    );
}

#[tokio::test]
async fn an_agents_own_token_and_its_users_are_two() {
    let (upstream, issuer) = (Upstream::start().await.unwrap(), Issuer::new());
    let agent = json!({ "auth": { "tokens": "agents" }, "users": Issuer::config() });
    let ferrata = start(&upstream, &issuer, agent).await;
    let support = bearer(&ferrata, "token-of-support");
    assert_eq!(for_whom(&support).await, "nobody");
    // Whoever the token was made for: the agent is who it says it is.
    let token = issuer.token("ann", "app");
    let for_ann = support.with("ferrata-subject-token", &token).unwrap();
    assert_eq!(for_whom(&for_ann).await, "ann");
    let lost = ferrata.agent().with("ferrata-subject-token", &token).unwrap();
    assert_eq!(lost.get("/v1/tools").await.unwrap().status, StatusCode::UNAUTHORIZED, "a user is no agent");
    let wrong = support.with("ferrata-subject-token", "nonsense").unwrap().get("/v1/tools").await.unwrap();
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(wrong.text().contains("user's token"), "{}", wrong.text());
}

#[tokio::test]
async fn a_command_may_be_for_a_user_by_their_token() {
    let (upstream, issuer) = (Upstream::start().await.unwrap(), Issuer::new());
    let setup = Setup::new().unwrap();
    setup.file("keys.json", issuer.keys()).unwrap();
    setup.file("ann.jwt", format!("{}\n", issuer.token("ann", "app"))).unwrap();
    setup.file("eve.jwt", Issuer::new().token("ann", "app")).unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let setup = setup.connector("probe", connector).with(&["agent", "users"], Issuer::config());
    setup.write().unwrap();
    let call = async |token: &str| {
        let tool = Deed::ForWhom.tool();
        cli(setup.folder(), ["call", tool.as_str(), "--subject-token", token]).await.unwrap()
    };
    let good = call("ann.jwt").await;
    assert_eq!(String::from_utf8_lossy(&good.stdout).trim(), r#"{"text":"ann"}"#);
    let wrong = call("eve.jwt").await;
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(65) && said.contains("signature"), "{said}");
}

#[tokio::test]
async fn a_users_token_that_nobody_expects_is_not_passed_over() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let ferrata = Ferrata::start(setup.connector("probe", connector)).await.unwrap();
    let client = ferrata.agent().with("ferrata-subject-token", &Issuer::new().token("ann", "app")).unwrap();
    assert_eq!(client.get("/v1/tools").await.unwrap().status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_agent_that_reads_has_no_tool_that_writes() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let reads = json!({ "allow": ["probe_*"], "effects": ["read"] });
    let setup = setup.connector("probe", connector).with(&["access", "default"], reads);
    let ferrata = Ferrata::start(setup).await.unwrap();
    let names: Vec<_> =
        ferrata.mcp().tools().await.unwrap().iter().map(|tool| tool["name"].clone()).collect();
    assert!(names.contains(&json!(Deed::Read.tool())) && !names.contains(&json!(Deed::Write.tool())));
    assert!(ferrata.mcp().call(&Deed::Write.tool(), json!({})).await.is_err());
    // Nor does a tool write that says that it reads.
    fault(Deed::Stronger.call(&ferrata, json!({})).await, "connector_failed");
    assert_eq!(upstream.seen().len(), 0);
}
