//! What a tool may answer beside an object: content, checked, in every protocol.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::http::Answer;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use serde_json::{Value, json};

use crate::deeds::Deed;
use crate::{done, fault, idle};

async fn start() -> (Upstream, Ferrata) {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    (upstream, Ferrata::start(setup.connector("probe", connector)).await.unwrap())
}

/// The result of a call, as MCP has it.
async fn result(ferrata: &Ferrata, deed: Deed, arguments: Value) -> Value {
    ferrata.mcp().request("tools/call", json!({ "name": deed.tool(), "arguments": arguments })).await.unwrap()
}

async fn plain(ferrata: &Ferrata, deed: Deed, arguments: Value) -> Answer {
    ferrata.agent().post(&format!("/v1/tools/{}", deed.tool()), &arguments).await.unwrap()
}

fn image() -> Value {
    json!({ "type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png" })
}

#[tokio::test]
async fn content_reaches_the_agent_as_it_was_written() {
    let (_upstream, ferrata) = start().await;
    let blocks = json!([
        { "type": "text", "text": "two\nlines", "annotations": { "audience": ["user"] } },
        image(),
        { "type": "resource", "resource": { "uri": "test://a", "text": "a" } },
        { "type": "resource_link", "uri": "https://desk.example/1", "name": "1" },
    ]);
    let said = result(&ferrata, Deed::Say, json!({ "blocks": blocks })).await;
    assert_eq!(
        (&said["content"], &said["isError"], said.get("structuredContent")),
        (&blocks, &json!(false), None)
    );

    let legacy = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": Deed::Say.tool(), "arguments": { "blocks": blocks } } });
    assert_eq!(ferrata.agent().post("/mcp", &legacy).await.unwrap().json()["result"]["content"], blocks);

    let answer = plain(&ferrata, Deed::Say, json!({ "blocks": blocks })).await;
    assert_eq!(answer.header("content-type"), "application/vnd.ferrata.content+json");
    assert_eq!(answer.json(), json!({ "content": blocks }));
}

#[tokio::test]
async fn an_object_beside_content_keeps_its_promise_and_stands_as_text() {
    let (_upstream, ferrata) = start().await;
    let object = json!({ "text": "a" });
    let beside = json!({ "blocks": [image()], "object": object });
    let said = result(&ferrata, Deed::SayPromised, beside.clone()).await;
    assert_eq!((&said["structuredContent"], &said["content"][1]), (&object, &image()));
    assert_eq!(said["content"][0], json!({ "type": "text", "text": object.to_string() }));

    let answer = plain(&ferrata, Deed::SayPromised, beside).await.json();
    assert_eq!((&answer["structuredContent"], &answer["content"][1]), (&object, &image()));

    let wrong = json!({ "blocks": [image()], "object": { "text": 7 } });
    fault(Deed::SayPromised.call(&ferrata, wrong).await, "schema_mismatch");
    let without = json!({ "blocks": [image()] });
    fault(Deed::SayPromised.call(&ferrata, without).await, "connector_failed");
    fault(Deed::Say.call(&ferrata, json!({ "blocks": [image()], "object": [1] })).await, "connector_failed");
}

#[tokio::test]
async fn a_tool_may_promise_nothing_and_answer_an_object() {
    let (_upstream, ferrata) = start().await;
    let listed = ferrata.mcp().tools().await.unwrap();
    let schema =
        |deed: Deed| listed.iter().find(|tool| tool["name"] == deed.tool()).unwrap().get("outputSchema");
    assert!(schema(Deed::Bare).is_none() && schema(Deed::SayPromised).is_some());
    let any = json!({ "any": [1, null] });
    assert_eq!(done(Deed::Bare.call(&ferrata, json!({ "object": any })).await), any);
    assert_eq!(plain(&ferrata, Deed::Bare, json!({ "object": any })).await.json(), any);
    for wrong in ["[]", "7", "{", ""] {
        fault(Deed::Bare.call(&ferrata, json!({ "object": wrong })).await, "connector_failed");
    }
}

#[tokio::test]
async fn what_is_no_content_ends_as_a_fault() {
    let (_upstream, ferrata) = start().await;
    let text = json!({ "type": "text", "text": "a" });
    for blocks in [
        json!([]),
        json!("["),
        json!("{}"),
        json!(vec![text.clone(); 257]),
        json!([{ "type": "image", "data": "not base64", "mimeType": "image/png" }]),
        json!([{ "type": "image", "data": "iVBORw0KGgo=", "mimeType": "text/html" }]),
        json!([{ "type": "script", "text": "a" }]),
        json!([text, { "type": "resource", "resource": { "uri": "no address", "text": "a" } }]),
        // More than a result may have.
        json!([{ "type": "text", "text": "x".repeat(3 << 20) }, { "type": "text", "text": "x" }]),
    ] {
        fault(Deed::Say.call(&ferrata, json!({ "blocks": blocks })).await, "connector_failed");
    }
    // Of a member that stands there twice, what was checked is what is passed on.
    let twice = r#"[{"type":"script","type":"text","text":"a"}]"#;
    let said = result(&ferrata, Deed::Say, json!({ "blocks": twice })).await;
    assert_eq!(said["content"], json!([{ "type": "text", "text": "a" }]));
    idle(&ferrata).await;
}
