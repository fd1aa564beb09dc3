//! How far a call is: heard by those who asked, and bounded by nobody's good will.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::http::Answer;
use ferrata_tests::mcp::{self, messages};
use ferrata_tests::pipe::Pipe;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deeds::Deed;
use crate::{done, idle};

/// Calls at a time that are given up: as many as there are sandboxes.
const STREAMS: usize = 64;

fn setup(upstream: &Upstream) -> Setup {
    // No call that a test gives up ends by itself.
    connectors::probe_alone(upstream).unwrap().with(&["defaults", "deadline"], json!("600s"))
}

async fn start() -> (Upstream, Ferrata) {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = Ferrata::start(setup(&upstream)).await.unwrap();
    (upstream, ferrata)
}

fn params(deed: Deed, arguments: Value) -> Value {
    json!({ "name": deed.tool(), "arguments": arguments, "_meta": { "progressToken": "t" } })
}

fn legacy(deed: Deed, arguments: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params(deed, arguments) })
}

/// The reports of an answer, which is a stream that ends with a result.
fn reports(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.header("content-type"), "text/event-stream", "{}", answer.text());
    let mut messages = messages(answer);
    let result = messages.pop().unwrap();
    assert_eq!(result["result"]["isError"], false, "{result}");
    let params = messages.into_iter().map(|mut message| {
        assert_eq!(message["method"], "notifications/progress");
        assert_eq!(message["params"]["progressToken"], "t");
        message["params"].take()
    });
    params.collect()
}

#[tokio::test]
async fn whoever_asks_hears_of_progress_in_both_eras() {
    let (_upstream, ferrata) = start().await;
    let arguments = json!({ "reports": [
        { "done": 0, "total": 4 },
        { "done": 2, "total": 4, "message": "half\nof it" },
        // Neither of these goes on.
        { "done": 1, "total": 4 },
        { "done": 2, "total": 4 },
        { "done": 4, "total": 4 },
    ] });
    let modern = ferrata.mcp().post("tools/call", params(Deed::Advance, arguments.clone())).await.unwrap();
    let events = ferrata.agent().with("accept", "application/json, text/event-stream").unwrap();
    let legacy = events.post(mcp::PATH, &legacy(Deed::Advance, arguments)).await.unwrap();
    for answer in [modern, legacy] {
        let reports = reports(&answer);
        let done: Vec<_> = reports.iter().map(|report| report["progress"].as_f64().unwrap()).collect();
        assert_eq!(done, [0.0, 2.0, 4.0]);
        assert_eq!((&reports[1]["total"], &reports[1]["message"]), (&json!(4.0), &json!("half of it")));
    }
}

#[tokio::test]
async fn whoever_does_not_ask_or_cannot_hear_gets_an_answer() {
    let (_upstream, ferrata) = start().await;
    let arguments = json!({ "reports": [{ "done": 1 }] });
    let unasked = json!({ "name": Deed::Advance.tool(), "arguments": arguments });
    let deaf = ferrata.agent().with("accept", "application/json").unwrap();
    for answer in [
        ferrata.mcp().post("tools/call", unasked).await.unwrap(),
        // Nothing was reported.
        ferrata.mcp().post("tools/call", params(Deed::Read, json!({}))).await.unwrap(),
        deaf.post(mcp::PATH, &legacy(Deed::Advance, arguments)).await.unwrap(),
    ] {
        assert_eq!(answer.header("content-type"), "application/json", "{}", answer.text());
        assert_eq!(answer.json()["result"]["isError"], false, "{}", answer.text());
    }
}

#[tokio::test]
async fn a_flood_is_thinned_out() {
    let (_upstream, ferrata) = start().await;
    let answer = ferrata.mcp().post("tools/call", params(Deed::Flood, json!({}))).await.unwrap();
    let reports = reports(&answer);
    assert!(answer.body.len() < 100_000, "{} bytes of 100 MB", answer.body.len());
    assert!(reports.iter().all(|report| report["message"].as_str().unwrap().len() <= 256));
    idle(&ferrata).await;
}

#[tokio::test]
async fn a_stream_that_is_closed_ends_its_call() {
    let (upstream, ferrata) = start().await;
    upstream.reply(Reply::Held);
    let (headers, body) =
        mcp::request("tools/call", params(Deed::Advance, json!({ "reports": [{ "done": 1 }] })));
    let body = body.to_string();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let url = ferrata.agent_url();
    let address = url.trim_start_matches("http://").trim_end_matches(mcp::PATH);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}");
    stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).await.unwrap();
    upstream.holds(1).await.unwrap();
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("notifications/progress") {
        assert_ne!(stream.read_buf(&mut heard).await.unwrap(), 0, "{heard:?}");
    }
    drop(stream);
    upstream.holds(0).await.unwrap();
    idle(&ferrata).await;
    done(Deed::Read.call(&ferrata, json!({})).await);
}

#[tokio::test]
async fn many_streams_that_are_closed_leave_nothing_behind() {
    let (upstream, ferrata) = start().await;
    for _ in 0..3 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..STREAMS {
            upstream.reply(Reply::Held);
            let client = ferrata.mcp();
            let params = params(Deed::Advance, json!({ "reports": [{ "done": 1 }] }));
            calls.spawn(async move { client.post("tools/call", params).await.map(drop) });
        }
        upstream.holds(STREAMS).await.unwrap();
        calls.shutdown().await;
        upstream.holds(0).await.unwrap();
    }
    idle(&ferrata).await;
    done(Deed::Read.call(&ferrata, json!({})).await);
}

#[tokio::test]
async fn progress_comes_through_a_pipe_and_a_call_can_be_cancelled_there() {
    let upstream = Upstream::start().await.unwrap();
    let setup = setup(&upstream);
    let mut pipe = Pipe::start(&setup).unwrap();
    let mut call = legacy(Deed::Advance, json!({ "reports": [{ "done": 1 }] }));
    pipe.say(&call).await.unwrap();
    assert_eq!(pipe.hear().await.unwrap()["params"], json!({ "progressToken": "t", "progress": 1.0 }));
    assert_eq!(pipe.hear().await.unwrap()["result"]["isError"], false);

    upstream.reply(Reply::Held);
    call["id"] = json!("held");
    pipe.say(&call).await.unwrap();
    assert_eq!(pipe.hear().await.unwrap()["method"], "notifications/progress");
    upstream.holds(1).await.unwrap();
    pipe.say(&cancelled("held")).await.unwrap();
    pipe.say(&json!({ "jsonrpc": "2.0", "id": 2, "method": "ping" })).await.unwrap();
    upstream.holds(0).await.unwrap();
    assert_eq!(pipe.hear().await.unwrap()["id"], 2, "what was cancelled is not answered");
}

fn cancelled(id: impl Into<Value>) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id.into() } })
}

/// Most legacy clients do not close anything when they give up.
#[tokio::test]
async fn a_legacy_client_gives_its_call_up_by_another_request() {
    let (upstream, ferrata) = start().await;
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    let session = async || {
        let answer = ferrata.agent().post(mcp::PATH, &initialize).await.unwrap();
        ferrata.agent().with("mcp-session-id", answer.header("mcp-session-id")).unwrap()
    };
    let (client, stranger) = (session().await, session().await);
    let cancelled = cancelled(1);
    for (accept, kind) in
        [("application/json", ""), ("application/json, text/event-stream", "text/event-stream")]
    {
        upstream.reply(Reply::Held);
        let client = client.with("accept", accept).unwrap();
        let caller = client.clone();
        let call = legacy(Deed::Advance, json!({ "reports": [{ "done": 1 }] }));
        let call = tokio::spawn(async move { caller.post(mcp::PATH, &call).await.unwrap() });
        upstream.holds(1).await.unwrap();
        assert_eq!(stranger.post(mcp::PATH, &cancelled).await.unwrap().status.as_u16(), 202);
        assert!(!call.is_finished());
        assert_eq!(client.post(mcp::PATH, &cancelled).await.unwrap().status.as_u16(), 202);
        upstream.holds(0).await.unwrap();
        let end = call.await.unwrap();
        assert_eq!(end.header("content-type"), kind);
        assert!(messages(&end).iter().all(|message| message.get("id").is_none()), "{}", end.text());
    }
    idle(&ferrata).await;
}

/// A sandbox that is kept knows nothing of the client before.
#[tokio::test]
async fn progress_is_one_calls_own() {
    let upstream = Upstream::start().await.unwrap();
    let setup = setup(&upstream).with(&["sandbox"], json!({ "reuse": true }));
    let ferrata = Ferrata::start(setup).await.unwrap();
    for _ in 0..3 {
        let far = json!({ "reports": [{ "done": 9 }] });
        let answer = ferrata.mcp().post("tools/call", params(Deed::Advance, far)).await.unwrap();
        assert_eq!(reports(&answer).len(), 1);
        done(Deed::Advance.call(&ferrata, json!({ "reports": [{ "done": 1 }] })).await);
    }
}
