//! Prompts: filled in as a tool is called, named below their connector, and seen by those who may.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::Mcp;
use ferrata_tests::upstream::Upstream;
use serde_json::{Value, json};

async fn names(mcp: &Mcp) -> Vec<String> {
    let listed = mcp.request("prompts/list", json!({})).await.unwrap();
    let name = |prompt: &Value| prompt["name"].as_str().unwrap().to_owned();
    listed["prompts"].as_array().unwrap().iter().map(name).collect()
}

async fn get(mcp: &Mcp, name: &str, arguments: Value) -> Value {
    mcp.exchange("prompts/get", json!({ "name": name, "arguments": arguments })).await.unwrap()
}

#[tokio::test]
async fn a_prompt_is_filled_in_with_the_arguments_that_it_has() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = Ferrata::start(connectors::desk_and_shop(&upstream).unwrap()).await.unwrap();
    let mcp = ferrata.mcp();
    assert_eq!(names(&mcp).await.len(), 10);
    let filled = get(&mcp, "desk_prompt_with_arguments", json!({ "arg1": "a", "arg2": "b" })).await;
    let content = json!({ "type": "text", "text": "Prompt with arguments: arg1='a', arg2='b'" });
    assert_eq!(filled["result"]["messages"], json!([{ "role": "user", "content": content }]));
    for (name, arguments) in [
        ("desk_prompt_with_arguments", json!({ "arg1": "a" })),
        ("desk_prompt_with_arguments", json!({ "arg1": "a", "arg2": 2 })),
        ("desk_prompt_with_arguments", json!({ "arg1": "a", "arg2": "b", "arg3": "c" })),
        ("desk_nothing", json!({})),
        ("nobody_simple_prompt", json!({})),
        ("simple_prompt", json!({})),
    ] {
        assert_eq!(get(&mcp, name, arguments).await["error"]["code"], -32602, "{name}");
    }
    let reference = json!({ "type": "ref/prompt", "name": "desk_prompt_with_arguments" });
    let complete = async |argument: &str| {
        let argument = json!({ "name": argument, "value": "PAR" });
        mcp.exchange("completion/complete", json!({ "ref": reference, "argument": argument })).await.unwrap()
    };
    assert_eq!(complete("arg1").await["result"]["completion"]["values"], json!(["paris", "park", "party"]));
    assert_eq!(complete("arg2").await["result"]["completion"]["values"], json!([]));
    assert_eq!(complete("arg3").await["error"]["code"], -32602);
    let metrics = ferrata.admin().get("/metrics").await.unwrap().text();
    let counted =
        r#"ferrata_requests_total{method="prompts/get",name="desk_prompt_with_arguments",outcome="ok"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn an_agent_sees_the_prompts_that_it_was_given() {
    let upstream = Upstream::start().await.unwrap();
    let setup =
        connectors::desk_and_shop(&upstream).unwrap().with(&["agent", "auth"], json!({ "tokens": "agents" }));
    setup.file("agents/one", "token-of-the-agent-one").unwrap();
    let setup = setup.with(&["access", "one"], json!({ "allow": ["desk_simple_*", "shop://*"] }));
    let ferrata = Ferrata::start(setup).await.unwrap();
    let mcp = Mcp::new(ferrata.agent().with("authorization", "Bearer token-of-the-agent-one").unwrap());
    assert_eq!(names(&mcp).await, ["desk_simple_prompt"]);
    assert!(get(&mcp, "desk_simple_prompt", json!({})).await.get("result").is_some());
    assert_eq!(get(&mcp, "shop_simple_prompt", json!({})).await["error"]["code"], -32602);
}

#[tokio::test]
async fn a_question_goes_only_to_those_who_can_answer_it_and_its_state_only_where_it_was_given() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = Ferrata::start(connectors::desk_and_shop(&upstream).unwrap()).await.unwrap();
    let mcp = ferrata.mcp();
    let name = "desk_input_required_result_prompt";
    let cannot = get(&mcp, name, json!({})).await;
    assert_eq!(cannot["error"]["code"], -32021, "{cannot}");
    let ask = async |more: Value| {
        let mut params = json!({ "name": name, "_meta": {
            "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
        } });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        mcp.exchange("prompts/get", params).await.unwrap()
    };
    let asked = ask(json!({})).await["result"].take();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let filled = json!({ "user_context": { "action": "accept", "content": { "context": "ferns" } } });
    let state = &asked["requestState"];
    let told = ask(json!({ "inputResponses": filled, "requestState": state })).await["result"].take();
    assert_eq!(told["messages"][0]["content"]["text"], "It is about ferns.", "{told}");
    let forged = format!("{}x", state.as_str().unwrap());
    let refused = ask(json!({ "inputResponses": filled, "requestState": forged })).await;
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}
