//! Calls that need something of the agent's user or model before they can be answered.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::{self, CAPABILITIES, Mcp, Outcome};
use ferrata_tests::pipe::Pipe;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use serde_json::{Value, json};

use crate::deeds::Deed;
use crate::{fault, idle};

const ONE: &str = "token-of-the-one";
const OTHER: &str = "token-of-the-other";

async fn start() -> (Upstream, Ferrata) {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    setup.file("agents/one", ONE).unwrap();
    setup.file("agents/other", OTHER).unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let setup = setup
        .connector("probe", connector.clone())
        .connector("twin", connector)
        .with(&["agent", "auth"], json!({ "tokens": "agents" }));
    (upstream, Ferrata::start(setup).await.unwrap())
}

fn agent(ferrata: &Ferrata, token: &str) -> Mcp {
    Mcp::new(ferrata.agent().with("authorization", &format!("Bearer {token}")).unwrap())
}

fn ask() -> String {
    Deed::Ask.tool()
}

fn question() -> Value {
    json!({ "who": { "method": "elicitation/create",
        "params": { "message": "Who?", "requestedSchema": { "type": "object", "properties": {} } } } })
}

fn asking() -> Value {
    json!({ "requests": question(), "state": "step 1" })
}

/// A call of a client that can be asked everything, with more parameters; the whole message.
async fn call(client: &Mcp, tool: &str, arguments: Value, more: Value) -> Value {
    let all = json!({ "elicitation": { "form": {} }, "sampling": {}, "roots": {} });
    let mut params = json!({ "name": tool, "arguments": arguments, "_meta": { CAPABILITIES: all } });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.exchange("tools/call", params).await.unwrap()
}

fn answered(state: &Value) -> Value {
    json!({ "inputResponses": { "who": { "action": "accept", "content": { "name": "Ada" } } }, "requestState": state })
}

#[tokio::test]
async fn a_question_goes_out_and_its_answer_and_state_come_back() {
    let (_upstream, ferrata) = start().await;
    let client = agent(&ferrata, ONE);
    let asked = call(&client, &ask(), asking(), json!({})).await["result"].take();
    assert_eq!((&asked["resultType"], &asked["inputRequests"]), (&json!("input_required"), &question()));
    let state = &asked["requestState"];
    assert!(!state.as_str().unwrap().contains("step"), "the state is nobody's to read");
    let round = async || {
        let told = call(&client, &ask(), asking(), answered(state)).await;
        told["result"]["structuredContent"]["text"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned()
    };
    let told = round().await;
    assert!(told.contains(r#""name":"Ada""#) && told.contains(r#"Some("step 1")"#), "{told}");
    assert_eq!(told, round().await, "the idempotency key is the call's, however often it is made");
}

#[tokio::test]
async fn a_question_comes_through_a_pipe_too() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    let setup = setup.connector("probe", connector);
    let mut pipe = Pipe::start(&setup).unwrap();
    let meta = json!({ CAPABILITIES: { "elicitation": {} } });
    let (_, mut call) =
        mcp::request("tools/call", json!({ "name": ask(), "arguments": asking(), "_meta": meta }));
    pipe.say(&call).await.unwrap();
    let asked = pipe.hear().await.unwrap()["result"].take();
    assert_eq!(asked["inputRequests"], question());
    call["id"] = json!(2);
    call["params"]
        .as_object_mut()
        .unwrap()
        .extend(answered(&asked["requestState"]).as_object().unwrap().clone());
    pipe.say(&call).await.unwrap();
    assert_eq!(pipe.hear().await.unwrap()["result"]["resultType"], "complete");
}

#[tokio::test]
async fn a_state_is_for_its_call_its_arguments_and_its_agent() {
    let (_upstream, ferrata) = start().await;
    let client = agent(&ferrata, ONE);
    let asked = call(&client, &ask(), asking(), json!({})).await;
    let state = asked["result"]["requestState"].clone();
    let forged = json!(format!("{}-TAMPERED", state.as_str().unwrap()));
    let (ask, say) = (ask(), Deed::Say.tool());
    let mut more = asking();
    more["more"] = json!(true);
    for (client, tool, arguments, state) in [
        (&client, &ask, asking(), &forged),
        (&client, &ask, asking(), &json!("")),
        (&client, &ask, asking(), &json!(7)),
        (&client, &ask, more, &state),
        (&client, &say, asking(), &state),
        (&client, &"twin_ask".to_owned(), asking(), &state),
        (&agent(&ferrata, OTHER), &ask, asking(), &state),
    ] {
        let refused = call(client, tool, arguments.clone(), answered(state)).await;
        assert_eq!(refused["error"]["code"], -32602, "{tool} {arguments}: {refused}");
    }
    let told = call(&client, &ask, asking(), answered(&state)).await;
    assert_eq!(told["result"]["resultType"], "complete", "{told}");
    idle(&ferrata).await;
}

#[tokio::test]
async fn responses_have_a_shape() {
    let (_upstream, ferrata) = start().await;
    let client = agent(&ferrata, ONE);
    for responses in [json!(null), json!([]), json!("x"), json!({ "who": 7 }), json!({ "who": null })] {
        let refused = call(&client, &ask(), asking(), json!({ "inputResponses": responses })).await;
        assert_eq!(refused["error"]["code"], -32602, "{responses}: {refused}");
    }
}

#[tokio::test]
async fn nobody_is_asked_for_what_it_cannot_bring() {
    let (_upstream, ferrata) = start().await;
    let client = agent(&ferrata, ONE);
    let post = async |capabilities: Value, requests: Value| {
        let arguments = json!({ "requests": requests });
        let params =
            json!({ "name": ask(), "arguments": arguments, "_meta": { CAPABILITIES: capabilities } });
        client.post("tools/call", params).await.unwrap()
    };
    let refused = post(json!({ "sampling": {} }), question()).await;
    assert_eq!(refused.status.as_u16(), 400);
    let error = refused.json()["error"].take();
    assert_eq!(error["code"], -32021);
    assert_eq!(error["data"], json!({ "requiredCapabilities": { "elicitation": { "form": {} } } }));
    assert_eq!(post(json!({ "elicitation": {} }), question()).await.status.as_u16(), 200);
}

#[tokio::test]
async fn where_nobody_can_be_asked_the_call_fails_and_says_so() {
    let (_upstream, ferrata) = start().await;
    let legacy = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": ask(), "arguments": asking() } });
    let client = ferrata.agent().with("authorization", &format!("Bearer {ONE}")).unwrap();
    let failed = client.post("/mcp", &legacy).await.unwrap().json()["result"].take();
    let sentence = failed["content"][0]["text"].as_str().unwrap();
    assert!(failed["isError"] == true && sentence.contains("has no way to ask"), "{failed}");
    let plain = client.post("/v1/tools/probe_ask", &asking()).await.unwrap();
    assert_eq!((plain.status.as_u16(), &plain.json()["kind"]), (422, &json!("rejected")));
}

#[tokio::test]
async fn what_no_client_could_answer_is_not_asked() {
    let (_upstream, ferrata) = start().await;
    for requests in [
        json!({}),
        json!("["),
        json!({ "a": { "method": "tools/call", "params": {} } }),
        json!({ "a": { "method": "elicitation/create",
            "params": { "mode": "url", "message": "Look!", "url": "file:///etc/passwd" } } }),
        json!(
            (0..17)
                .map(|i| (i.to_string(), json!({ "method": "roots/list" })))
                .collect::<serde_json::Map<_, _>>()
        ),
    ] {
        let arguments = json!({ "requests": requests });
        let message = call(&agent(&ferrata, ONE), &ask(), arguments, json!({})).await;
        assert_eq!(message["result"]["_meta"]["dev.ferrata/fault"]["kind"], "connector_failed", "{message}");
    }
}

/// The call is made again from its beginning: what was written would be written twice.
#[tokio::test]
async fn nothing_is_asked_after_something_was_written() {
    let (upstream, ferrata) = start().await;
    let client = agent(&ferrata, ONE);
    let outcome: Outcome = client.call(&Deed::WriteThenAsk.tool(), asking()).await.unwrap();
    let told = fault(outcome, "outcome_unknown");
    assert_eq!(told.data["outcome"], "unknown", "{}", told.sentence);
    assert_eq!(upstream.seen().len(), 1);
}
