//! Whole requests against a gate whose one connector is not loaded: every shape of answer but a good result.

use std::collections::BTreeMap;

use ::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE};
use ::http::request::Builder;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex, split};

use super::mcp::version::MODERN;
use super::*;
use crate::audit::Audit;
use crate::config::{Agent, Auth, Defaults};
use crate::gate::{AccessRules, Authenticator, Catalog, Slot};
use crate::server::{DrainTrigger, drain};

fn gate(auth: &Auth) -> Arc<Gate> {
    gate_with(auth, Audit::default())
}

pub(super) fn gate_with(auth: &Auth, audit: Audit) -> Arc<Gate> {
    let slots = BTreeMap::from([("crm".to_owned(), Slot::Broken("it is a test".to_owned()))]);
    let catalog = Catalog::new(slots, Arc::new(AccessRules::new(None).unwrap()), Defaults::default());
    let agent = Agent { auth: auth.clone(), ..Agent::default() };
    Arc::new(Gate::new(Authenticator::new(&agent).unwrap(), catalog, audit))
}

fn endpoint_with(auth: &Auth) -> (DrainTrigger, Endpoint) {
    let (trigger, drain) = drain();
    let settings = Settings { listeners: 1, ..Settings::default() };
    (trigger, Endpoint::new(gate(auth), settings, "127.0.0.1:4180".parse().unwrap(), drain))
}

fn endpoint() -> Endpoint {
    endpoint_with(&Auth::None).1
}

fn post(path: &str) -> Builder {
    let request = Request::post(path).header(HOST, "localhost").header(CONTENT_TYPE, "application/json");
    request.header(ACCEPT, "application/json, text/event-stream")
}

async fn send(endpoint: &Endpoint, request: Builder, body: impl ToString) -> (u16, Value) {
    let response = endpoint.handle(request.body(Full::from(body.to_string())).unwrap()).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() })
}

fn request(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

async fn legacy(method: &str, params: Value) -> (u16, Value) {
    send(&endpoint(), post("/mcp"), request(method, &params)).await
}

/// A modern request with the headers that a client derives from its body.
fn modern(method: &str, mut params: Value) -> (Builder, Value) {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(MODERN);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let mut builder = post("/mcp").header("mcp-protocol-version", MODERN).header("mcp-method", method);
    if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
        builder = builder.header("mcp-name", name);
    }
    (builder, request(method, &params))
}

async fn send_modern(method: &str, params: Value) -> (u16, Value) {
    let (builder, body) = modern(method, params);
    send(&endpoint(), builder, body).await
}

#[tokio::test]
async fn a_failed_call_is_a_result_in_both_eras_and_a_problem_in_plain_http() {
    let call = json!({"name": "crm_find", "arguments": {}});
    for (status, answer) in
        [legacy("tools/call", call.clone()).await, send_modern("tools/call", call.clone()).await]
    {
        let result = &answer["result"];
        assert_eq!((status, &answer["id"], &result["isError"]), (200, &json!(7), &json!(true)));
        assert_eq!(result["_meta"]["dev.ferrata/fault"]["kind"], "unavailable");
        assert!(result["content"][0]["text"].as_str().unwrap().contains("unknown, not empty"));
    }
    let (status, problem) = send(&endpoint(), post("/v1/tools/crm_find"), "{}").await;
    assert_eq!((status, &problem["kind"]), (503, &json!("unavailable")));
}

#[tokio::test]
async fn an_unknown_tool_is_a_mistake_in_the_message() {
    let call = json!({"name": "nobody_knows", "arguments": {}});
    for (status, answer) in
        [legacy("tools/call", call.clone()).await, send_modern("tools/call", call.clone()).await]
    {
        assert_eq!((status, &answer["error"]["code"]), (200, &json!(jsonrpc::INVALID_PARAMS)));
    }
    assert_eq!(send(&endpoint(), post("/v1/tools/nobody_knows"), "{}").await.0, 404);
    for wrong in [json!({}), json!({"name": 5}), json!({"name": "crm_find", "arguments": []})] {
        assert_eq!(legacy("tools/call", wrong).await.1["error"]["code"], jsonrpc::INVALID_PARAMS);
    }
}

#[tokio::test]
async fn the_list_of_tools_is_one_page() {
    for (_, answer) in
        [legacy("tools/list", json!({})).await, send_modern("tools/list", json!({"cursor": null})).await]
    {
        assert!(answer["result"]["tools"].is_array() && answer["result"].get("nextCursor").is_none());
    }
    for list in ["tools/list", "resources/list", "resources/templates/list"] {
        let (_, answer) = legacy(list, json!({"cursor": "2"})).await;
        assert_eq!(answer["error"]["code"], jsonrpc::INVALID_PARAMS, "{list}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_that_says_why() {
    let read = |uri: &str| json!({"uri": uri});
    for uri in ["crm://a/../b", "nobody://a", "crm", "", "crm://"] {
        let (status, answer) = send_modern("resources/read", read(uri)).await;
        let error = &answer["error"];
        assert_eq!((status, &error["code"], &error["data"]["uri"]), (200, &json!(-32602), &json!(uri)));
        assert_eq!(legacy("resources/read", read(uri)).await.1["error"]["code"], -32002, "{uri}");
    }
    // Nobody knows whether it has that resource.
    for (_, answer) in [
        legacy("resources/read", read("crm://a")).await,
        send_modern("resources/read", read("crm://a")).await,
    ] {
        let error = &answer["error"];
        assert_eq!((&error["code"], &error["data"]["uri"]), (&json!(-32603), &json!("crm://a")));
        assert_eq!(error["data"]["dev.ferrata/fault"]["kind"], "unavailable");
    }
    assert_eq!(legacy("resources/read", json!({})).await.1["error"]["code"], jsonrpc::INVALID_PARAMS);
}

#[tokio::test]
async fn a_completion_says_what_it_is_for() {
    let argument = json!({"name": "id", "value": "7"});
    let template = json!({"type": "ref/resource", "uri": "crm://t/x"});
    let down = legacy("completion/complete", json!({"ref": template, "argument": argument})).await.1;
    assert_eq!(down["error"]["data"]["dev.ferrata/fault"]["kind"], "unavailable");
    for wrong in [
        json!({}),
        json!({"ref": template}),
        json!({"ref": {"type": "ref/x"}, "argument": argument}),
        json!({"ref": template, "argument": {"name": "id"}}),
        json!({"ref": template, "argument": argument, "context": {"arguments": {"a": 1}}}),
        json!({"ref": template, "argument": {"name": "id", "value": "x".repeat(5000)}}),
        json!({"ref": {"type": "ref/resource", "uri": "nobody://x"}, "argument": argument}),
    ] {
        let (_, answer) = send_modern("completion/complete", wrong.clone()).await;
        assert_eq!(answer["error"]["code"], jsonrpc::INVALID_PARAMS, "{wrong}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_served_is_404_only_where_clients_expect_it() {
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "no/such"] {
        let (status, answer) = send_modern(method, json!({})).await;
        assert_eq!((status, &answer["error"]["code"]), (404, &json!(jsonrpc::METHOD_NOT_FOUND)), "{method}");
    }
    let (status, answer) = legacy("resources/subscribe", json!({})).await;
    assert_eq!((status, &answer["error"]["code"]), (200, &json!(jsonrpc::METHOD_NOT_FOUND)));
    assert_eq!(legacy("ping", json!({})).await.1["result"], json!({}));
}

#[tokio::test]
async fn initialize_agrees_on_a_revision_and_gives_a_session_that_nothing_hangs_on() {
    let body =
        request("initialize", &json!({"protocolVersion": "2025-06-18", "capabilities": {}})).to_string();
    let endpoint = endpoint();
    let response = endpoint.handle(post("/mcp").body(Full::from(body)).unwrap()).await;
    assert!(response.headers()["mcp-session-id"].as_bytes().iter().all(u8::is_ascii_graphic));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["result"]["protocolVersion"], "2025-06-18");

    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let stranger = post("/mcp").header("mcp-session-id", "never-given");
    assert_eq!(send(&endpoint, stranger, initialized).await, (202, Value::Null));
    let unheard_of = post("/mcp").header("mcp-protocol-version", "1999-01-01");
    assert_eq!(send(&endpoint, unheard_of, json!({"jsonrpc": "2.0", "method": "m"})).await.0, 400);
}

#[tokio::test]
async fn a_batch_is_answered_in_one_array_and_only_to_those_who_have_batches() {
    let batch = json!([
        request("ping", &json!({})),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        request("initialize", &json!({"protocolVersion": "2025-03-26"})),
    ]);
    let (status, answers) = send(&endpoint(), post("/mcp"), &batch).await;
    assert_eq!((status, answers.as_array().unwrap().len()), (200, 2));
    assert_eq!(answers[0]["result"], json!({}));
    assert_eq!(answers[1]["error"]["code"], jsonrpc::INVALID_REQUEST);
    let newer = post("/mcp").header("mcp-protocol-version", "2025-06-18");
    assert_eq!(send(&endpoint(), newer, &batch).await.0, 400);
    let silent = json!([{"jsonrpc": "2.0", "method": "m"}]);
    assert_eq!(send(&endpoint(), post("/mcp"), silent).await, (202, Value::Null));
}

#[tokio::test]
async fn a_listener_is_acknowledged_told_the_end_and_one_of_few() {
    let (trigger, endpoint) = endpoint_with(&Auth::None);
    let listen = || {
        let (builder, body) =
            modern("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
        builder.body(Full::from(body.to_string())).unwrap()
    };
    let response = endpoint.handle(listen()).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
    assert_eq!(endpoint.handle(listen()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    trigger.begin();
    let events = response.into_body().collect().await.unwrap().to_bytes();
    let events = std::str::from_utf8(&events).unwrap();
    let data: Vec<Value> = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(data.len(), 2);
    assert_eq!(data[0]["method"], "notifications/subscriptions/acknowledged");
    assert_eq!((&data[1]["id"], &data[1]["result"]["resultType"]), (&json!(7), &json!("complete")));
    assert_eq!(endpoint.handle(listen()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_get_is_a_stream_for_legacy_clients_that_ask_for_one() {
    let (_trigger, endpoint) = endpoint_with(&Auth::None);
    let get = |accept: &str, version: &str| {
        let request = Request::get("/mcp").header(HOST, "localhost").header(ACCEPT, accept);
        request.header("mcp-protocol-version", version).body(Full::default()).unwrap()
    };
    let stream = endpoint.handle(get("text/event-stream", "2025-11-25")).await;
    assert_eq!(
        (stream.status(), &stream.headers()[CONTENT_TYPE]),
        (StatusCode::OK, &"text/event-stream".parse().unwrap())
    );
    assert_eq!(
        endpoint.handle(get("application/json", "2025-11-25")).await.status(),
        StatusCode::NOT_ACCEPTABLE
    );
    let modern = endpoint.handle(get("text/event-stream", MODERN)).await;
    assert_eq!(
        (modern.status(), &modern.headers()[ALLOW]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
    );
}

#[tokio::test]
async fn strangers_are_turned_away_before_anything_is_read() {
    let tokens = tempfile::tempdir().unwrap();
    std::fs::write(tokens.path().join("support"), "0123456789abcdef").unwrap();
    let (_trigger, endpoint) = endpoint_with(&Auth::Tokens(tokens.path().to_owned()));
    let known = |path| post(path).header(AUTHORIZATION, "Bearer 0123456789abcdef");
    let ping = request("ping", &json!({}));
    assert_eq!(send(&endpoint, known("/mcp"), &ping).await.0, 200);
    for path in ["/mcp", "/v1/tools/crm_find"] {
        let rebound = known(path).header(ORIGIN, "http://evil.example");
        assert_eq!(send(&endpoint, rebound, &ping).await.0, 403);
        assert_eq!(send(&endpoint, post(path), &ping).await.0, 401);
        let wrong =
            post(path).header(AUTHORIZATION, "Bearer wrong").body(Full::from(ping.to_string())).unwrap();
        assert_eq!(endpoint.handle(wrong).await.headers()[WWW_AUTHENTICATE], "Bearer");
    }
}

#[tokio::test]
async fn wrong_places_methods_and_types_are_said() {
    let endpoint = endpoint();
    let status = async |request: Builder, body: &str| send(&endpoint, request, body).await.0;
    let bare =
        |method: &str, path: &str| Request::builder().method(method).uri(path).header(HOST, "localhost");
    assert_eq!(status(bare("GET", "/v1/tools"), "").await, 200);
    assert_eq!(status(bare("GET", "/"), "").await, 404);
    assert_eq!(status(bare("GET", "/v1/toolshed"), "").await, 404);
    assert_eq!(status(bare("POST", "/v1/tools"), "").await, 405);
    assert_eq!(status(bare("GET", "/v1/tools/crm_find"), "").await, 405);
    assert_eq!(status(bare("DELETE", "/mcp"), "").await, 405);
    assert_eq!(status(bare("POST", "/mcp"), "{}").await, 415);
    assert_eq!(status(post("/mcp"), "nonsense").await, 400);
    assert_eq!(status(post("/v1/tools/crm_find"), "nonsense").await, 400);
    assert_eq!(status(post("/v1/tools/crm_find").header("ferrata-timeout-ms", "soon"), "{}").await, 400);
}

/// Sends lines to a pipe and returns what comes back until it ends.
async fn converse(lines: &[Value]) -> Vec<Value> {
    let (agent, ours) = duplex(1 << 20);
    let (reader, writer) = split(ours);
    let (_trigger, drain) = drain();
    let caller = Caller::agent("test");
    let serving = stdio::serve(gate(&Auth::None), caller, reader, writer, stdio::Bounds::default(), drain);
    let talking = async {
        let (heard, mut say) = split(agent);
        for line in lines {
            say.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        }
        say.shutdown().await.unwrap();
        let (mut heard, mut answers) = (BufReader::new(heard).lines(), Vec::new());
        while let Some(line) = heard.next_line().await.unwrap() {
            answers.push(serde_json::from_str(&line).unwrap());
        }
        answers
    };
    let (served, answers) = tokio::join!(serving, talking);
    served.unwrap();
    answers
}

#[tokio::test]
async fn a_pipe_carries_both_eras_and_ends_with_its_input() {
    let (_, modern_call) = modern("tools/call", json!({"name": "crm_find"}));
    let answers = converse(&[
        request("initialize", &json!({"protocolVersion": "2024-11-05"})),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!("not a message"),
        modern_call,
    ])
    .await;
    assert_eq!(answers[0]["result"]["protocolVersion"], "2024-11-05");
    assert_eq!(answers[1]["error"]["code"], jsonrpc::INVALID_REQUEST);
    let failed = &answers[2]["result"];
    assert_eq!((&failed["isError"], &failed["resultType"]), (&json!(true), &json!("complete")));
}

#[tokio::test]
async fn a_subscription_at_a_pipe_ends_with_an_answer() {
    let (_, listen) = modern("subscriptions/listen", json!({"notifications": {}}));
    let answers = converse(&[listen]).await;
    assert_eq!(answers[0]["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        (&answers[1]["id"], answers[1]["result"]["resultType"].as_str()),
        (&json!(7), Some("complete"))
    );
}

#[tokio::test]
async fn a_batch_at_a_pipe_is_for_the_revision_that_was_agreed_on() {
    let batch = json!([request("ping", &json!({}))]);
    let refused = converse(std::slice::from_ref(&batch)).await;
    assert_eq!(refused[0]["error"]["code"], jsonrpc::INVALID_REQUEST);
    let served = converse(&[request("initialize", &json!({"protocolVersion": "2025-03-26"})), batch]).await;
    assert_eq!(served[1][0]["result"], json!({}));
}

#[test]
fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
    let token = |value: &str| {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        bearer(&headers).map(str::to_owned)
    };
    assert_eq!(token("Bearer abc").as_deref(), Some("abc"));
    assert_eq!(token("bearer  abc").as_deref(), Some("abc"));
    assert_eq!(token("Basic abc"), None);
    assert_eq!(token("Bearer"), None);
}
