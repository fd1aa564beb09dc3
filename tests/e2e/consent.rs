//! Calls that a person must agree to.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::{Ferrata, cli};
use ferrata_tests::mcp::{self, CAPABILITIES};
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use http::Method;
use serde_json::{Value, json};

use crate::deeds::Deed;

async fn start() -> (Upstream, Ferrata) {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let rules = json!({ "allow": ["probe_*"], "confirm": ["write", Deed::Ask.tool()] });
    let setup = setup.connector("probe", connector).with(&["access", "default"], rules);
    (upstream, Ferrata::start(setup).await.unwrap())
}

/// A call of a client that can show forms, with more parameters; the whole message.
async fn call(ferrata: &Ferrata, tool: &str, arguments: Value, more: &Value) -> Value {
    let meta = json!({ CAPABILITIES: { "elicitation": { "form": {} } } });
    let mut params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    ferrata.mcp().exchange("tools/call", params).await.unwrap()
}

/// The question that a call is answered with, and its state.
async fn asked(ferrata: &Ferrata, tool: &str, arguments: Value) -> (Value, Value) {
    let mut message = call(ferrata, tool, arguments, &json!({})).await;
    assert_eq!(message["result"]["resultType"], "input_required", "{message}");
    let params = message["result"]["inputRequests"]["ferrata-confirm"]["params"].take();
    (params, message["result"]["requestState"].take())
}

fn answer(action: &str, confirm: bool, state: &Value) -> Value {
    let answer = json!({ "action": action, "content": { "confirm": confirm } });
    json!({ "inputResponses": { "ferrata-confirm": answer }, "requestState": state })
}

fn kind(message: &Value) -> &str {
    message["result"]["_meta"]["dev.ferrata/fault"]["kind"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn what_somebody_agreed_to_is_done_once() {
    let (upstream, ferrata) = start().await;
    let tool = Deed::Write.tool();
    let arguments = json!({ "to": "bob", "login": [{ "password": "hunter2" }] });
    let (question, state) = asked(&ferrata, &tool, arguments.clone()).await;
    let message = question["message"].as_str().unwrap();
    assert!(message.contains(&tool) && message.contains("bob") && !message.contains("hunter2"), "{message}");
    assert_eq!(upstream.seen().len(), 0);
    let yes = answer("accept", true, &state);
    // It is for these arguments, of this tool.
    let other = call(&ferrata, &tool, json!({ "to": "eve" }), &yes).await;
    assert_eq!(other["error"]["code"], -32602, "{other}");
    let done = call(&ferrata, &tool, arguments.clone(), &yes).await;
    assert_eq!(done["result"]["resultType"], "complete", "{done}");
    let again = call(&ferrata, &tool, arguments, &yes).await;
    assert_eq!(again["error"]["code"], -32602, "{again}");
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn without_consent_nothing_is_done() {
    let (upstream, ferrata) = start().await;
    let tool = Deed::Write.tool();
    for (action, confirm) in [("decline", true), ("cancel", true), ("accept", false)] {
        let (_, state) = asked(&ferrata, &tool, json!({})).await;
        let refused = call(&ferrata, &tool, json!({}), &answer(action, confirm, &state)).await;
        assert_eq!(kind(&refused), "permission_denied", "{refused}");
        // A no is not changed into a yes afterwards.
        let changed = call(&ferrata, &tool, json!({}), &answer("accept", true, &state)).await;
        assert_eq!(changed["error"]["code"], -32602, "{changed}");
    }
    // Consent without having been asked is none.
    let unasked = json!({ "inputResponses": answer("accept", true, &json!(""))["inputResponses"] });
    let unasked = call(&ferrata, &tool, json!({}), &unasked).await;
    assert_eq!(unasked["result"]["resultType"], "input_required", "{unasked}");
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn reserving_can_need_consent_too() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let rules = json!({ "allow": ["*"], "confirm": ["ferrata_reserve"] });
    let setup = setup.connector("probe", connector).with(&["access", "default"], rules);
    let ferrata = Ferrata::start(setup).await.unwrap();
    let nothing = json!({ "calls": [] });
    let more =
        json!({ "_meta": { "dev.ferrata/workflow": "w", CAPABILITIES: { "elicitation": { "form": {} } } } });
    let mut question = call(&ferrata, "ferrata_reserve", nothing.clone(), &more).await;
    assert_eq!(question["result"]["resultType"], "input_required", "{question}");
    let mut yes = answer("accept", true, &question["result"]["requestState"].take());
    yes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let agreed = call(&ferrata, "ferrata_reserve", nothing, &yes).await;
    assert_eq!(agreed["result"]["structuredContent"]["given_back"], 0, "{agreed}");
}

#[tokio::test]
async fn where_nobody_can_be_asked_nothing_is_done() {
    let (upstream, ferrata) = start().await;
    let tool = Deed::Write.tool();
    let legacy = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool } });
    let refused = ferrata.agent().post("/mcp", &legacy).await.unwrap().json();
    assert_eq!(kind(&refused), "permission_denied", "{refused}");
    assert!(refused["result"]["content"][0]["text"].as_str().unwrap().contains("a person's consent"));
    let plain = ferrata.agent().post(&format!("/v1/tools/{tool}"), &json!({})).await.unwrap();
    assert_eq!((plain.status.as_u16(), &plain.json()["kind"]), (403, &json!("permission_denied")));
    // A client that shows no forms is told that it would have to.
    let params = json!({ "name": tool, "arguments": {}, "_meta": { CAPABILITIES: {} } });
    let unable = ferrata.mcp().exchange("tools/call", params).await.unwrap();
    assert_eq!(unable["error"]["data"], json!({ "requiredCapabilities": { "elicitation": { "form": {} } } }));
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn a_connector_may_still_ask_what_was_agreed_to() {
    let (_upstream, ferrata) = start().await;
    let form = json!({ "message": "Who?", "requestedSchema": { "type": "object", "properties": {} } });
    let requests = json!({ "who": { "method": "elicitation/create", "params": form } });
    let arguments = json!({ "requests": requests, "state": "step 1" });
    let (_, state) = asked(&ferrata, &Deed::Ask.tool(), arguments.clone()).await;
    let question =
        call(&ferrata, &Deed::Ask.tool(), arguments.clone(), &answer("accept", true, &state)).await;
    assert!(question["result"]["inputRequests"]["who"].is_object(), "{question}");
    let told = json!({ "inputResponses": { "who": { "action": "accept", "content": { "name": "Ada" } } },
        "requestState": question["result"]["requestState"] });
    let answered = call(&ferrata, &Deed::Ask.tool(), arguments.clone(), &told).await;
    let text = answered["result"]["structuredContent"]["text"].as_str().unwrap();
    assert!(text.contains("Ada") && text.contains("step 1"), "{text}");
    let again = call(&ferrata, &Deed::Ask.tool(), arguments, &told).await;
    assert_eq!(again["error"]["code"], -32602, "one consent, one call: {again}");
}

#[tokio::test]
async fn a_rule_that_fits_nothing_is_a_mistake_and_leaves_nothing_open() {
    let upstream = Upstream::start().await.unwrap();
    for (confirm, is_mistake) in
        [("write", false), ("*_write", false), ("*_wriet", true), ("idempotent_write", true), ("wriet", true)]
    {
        let setup = Setup::new().unwrap();
        let connector = connectors::probe(&setup, &upstream).unwrap();
        let rules = json!({ "allow": ["probe_*"], "confirm": [confirm] });
        let setup = setup.connector("probe", connector).with(&["access", "default"], rules);
        setup.write().unwrap();
        let checked = cli(setup.folder(), ["check"]).await.unwrap();
        let said = String::from_utf8(checked.stderr).unwrap() + &String::from_utf8(checked.stdout).unwrap();
        assert_eq!(!checked.status.success() && said.contains(confirm), is_mistake, "{confirm}: {said}");
    }
}

#[tokio::test]
async fn what_somebody_agreed_to_cannot_be_said_in_two_ways() {
    let (upstream, ferrata) = start().await;
    let tool = Deed::Write.tool();
    let (_, state) = asked(&ferrata, &tool, json!({ "to": "bob" })).await;
    let mut params = answer("accept", true, &state);
    params["name"] = json!(tool);
    params["arguments"] = json!({ "to": "bob" });
    let (headers, body) = mcp::request("tools/call", params);
    let twice = body.to_string().replace(r#"{"to":"bob"}"#, r#"{"to":"eve","to":"bob"}"#);
    let mut client = ferrata.agent();
    for (name, value) in &headers {
        client = client.with(name, value).unwrap();
    }
    let refused = client.send(Method::POST, mcp::PATH, twice.into()).await.unwrap().json();
    assert_eq!(kind(&refused), "invalid_arguments", "{refused}");
    assert_eq!(upstream.seen().len(), 0);
}
