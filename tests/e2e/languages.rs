//! Connectors in Python and JavaScript, built by `tests/guests/build`.

use ferrata_tests::connectors::{self, GUEST_TOKEN};
use ferrata_tests::ferrata::{Ferrata, cli};
use ferrata_tests::mcp::{CAPABILITIES, Mcp, messages};
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::{artifacts, needs};
use http::StatusCode;
use serde_json::json;

use crate::{done, fault};

#[tokio::test]
async fn a_connector_in_python() {
    speaks("python").await;
}

#[tokio::test]
async fn a_connector_in_javascript() {
    speaks("javascript").await;
}

async fn speaks(language: &str) {
    let Some(component) = needs("a guest of tests/guests/build", artifacts::foreign_guest(language)) else {
        return;
    };
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    // Ahead, as the size of these components advises: it takes seconds, and on a busy machine minutes.
    let compiled = cli(setup.folder(), ["compile".as_ref(), component.as_os_str()]).await.unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let connector = connectors::guest(&setup, &component, &upstream).unwrap();
    let ferrata = Ferrata::start(setup.connector("guest", connector)).await.unwrap();
    let mcp = ferrata.mcp();

    let echoed = done(mcp.call("guest_echo", json!({ "text": "grüß Gott" })).await.unwrap());
    assert_eq!(echoed, json!({ "text": "grüß Gott" }));

    let fetch = async || mcp.call("guest_fetch", json!({ "path": "/hello?a=1" })).await.unwrap();
    let fetched = done(fetch().await);
    let seen = upstream.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("GET", "/hello?a=1"));
    assert_eq!(seen[0].header("authorization"), format!("Bearer {GUEST_TOKEN}"));
    assert!(!fetched.to_string().contains(GUEST_TOKEN), "{fetched}");

    greets(&mcp).await;

    let answer = |status, headers| Reply::Answer(status, headers, String::new());
    upstream.reply(answer(StatusCode::NOT_FOUND, vec![]));
    fault(fetch().await, "not_found");
    // As often as a read is tried.
    (0..3).for_each(|_| upstream.reply(answer(StatusCode::SERVICE_UNAVAILABLE, vec![])));
    fault(fetch().await, "unavailable");
    done(fetch().await);
    // Longer than the call may take: it is not waited for.
    upstream.reply(answer(StatusCode::TOO_MANY_REQUESTS, vec![("retry-after", "90")]));
    fault(fetch().await, "rate_limited");
}

/// Progress, a question with a state, and content.
async fn greets(mcp: &Mcp) {
    let meta = json!({ "progressToken": "t", CAPABILITIES: { "elicitation": {} } });
    let params = json!({ "name": "guest_greet", "_meta": meta });
    let said = messages(&mcp.post("tools/call", params.clone()).await.unwrap());
    assert_eq!(said[0]["params"]["message"], "asking", "{said:?}");
    let asked = &said[1]["result"];
    assert_eq!(asked["inputRequests"]["who"]["method"], "elicitation/create", "{asked}");

    let mut params = params;
    params["inputResponses"] = json!({ "who": { "action": "accept", "content": { "name": "Ada" } } });
    params["requestState"] = asked["requestState"].clone();
    let greeted = mcp.request("tools/call", params).await.unwrap();
    assert_eq!(greeted["content"][0]["text"], r#"Ada, asked, {"elicitation":{"form":{}}}"#);
}
