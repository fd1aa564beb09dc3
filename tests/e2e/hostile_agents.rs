//! Agents that misbehave: nothing is lost by it, and the next call works.

use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::deeds::Deed;
use crate::{done, idle};

const TOOL: &str = "/v1/tools/probe_read";
const LARGE: usize = 10 << 20;
/// Sandboxes of a connector at once, and calls that are given up at once: most of them wait for a sandbox.
const SANDBOXES: usize = 64;
const CALLS: usize = 200;
const ROUNDS: usize = 5;

async fn start() -> (Upstream, Ferrata) {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let connector = connectors::probe(&setup, &upstream).unwrap();
    (upstream, Ferrata::start(setup.connector("probe", connector)).await.unwrap())
}

async fn connect(ferrata: &Ferrata) -> TcpStream {
    let url = ferrata.agent_url();
    let address = url.trim_start_matches("http://").trim_end_matches("/mcp");
    TcpStream::connect(address).await.unwrap()
}

fn head(path: &str, length: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{length}\r\n\r\n")
}

async fn all_is_well(ferrata: &Ferrata) {
    done(Deed::Read.call(ferrata, json!({})).await);
    idle(ferrata).await;
}

#[tokio::test]
async fn a_large_body_is_refused_before_it_is_read() {
    let (_upstream, ferrata) = start().await;
    for path in ["/mcp", TOOL] {
        let mut stream = connect(&ferrata).await;
        stream.write_all(head(path, &format!("content-length: {LARGE}")).as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 413", "{path}");
    }
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn a_large_body_without_a_length_is_cut() {
    let (upstream, ferrata) = start().await;
    let mut stream = connect(&ferrata).await;
    stream.write_all(head(TOOL, "transfer-encoding: chunked").as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let mut written = 0;
    while written < LARGE && stream.write_all(chunk.as_bytes()).await.is_ok() {
        written += chunk.len();
    }
    // Whether the answer survives is the kernel's to say; a call it is not.
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 413"), "{answer:?}");
    assert_eq!(upstream.seen().len(), 0);
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn deep_nesting_is_refused() {
    let (upstream, ferrata) = start().await;
    let deep = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let refused = ferrata.agent().send(Method::POST, TOOL, deep.clone().into()).await.unwrap();
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text());
    let refused = ferrata.agent().send(Method::POST, "/mcp", deep.into()).await.unwrap();
    assert!(refused.status.is_client_error(), "{}", refused.status);
    assert_eq!(upstream.seen().len(), 0);
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn what_is_not_said_to_be_json_is_not_read() {
    let (upstream, ferrata) = start().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let agent = ferrata.agent().with("content-type", kind).unwrap();
        for path in ["/mcp", TOOL] {
            let refused = agent.post(path, &json!({})).await.unwrap();
            assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}, {kind}");
        }
    }
    assert_eq!(upstream.seen().len(), 0);
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn a_thousand_calls_that_are_given_up_leave_nothing_behind() {
    let (upstream, ferrata) = start().await;
    for _ in 0..ROUNDS {
        for _ in 0..SANDBOXES {
            upstream.reply(Reply::Held);
        }
        let mut calls = JoinSet::new();
        for _ in 0..CALLS {
            let mcp = ferrata.mcp();
            calls.spawn(async move { mcp.call(&Deed::Read.tool(), json!({})).await.map(drop) });
        }
        upstream.holds(SANDBOXES).await.unwrap();
        calls.shutdown().await;
        upstream.holds(0).await.unwrap();
    }
    idle(&ferrata).await;
    // As many as there are sandboxes: none is lost.
    for _ in 0..SANDBOXES {
        upstream.reply(Reply::Held);
    }
    let mut calls = JoinSet::new();
    for _ in 0..SANDBOXES {
        let mcp = ferrata.mcp();
        calls.spawn(async move { mcp.call(&Deed::Read.tool(), json!({})).await.unwrap() });
    }
    upstream.holds(SANDBOXES).await.unwrap();
    upstream.release();
    calls.join_all().await.into_iter().for_each(|outcome| drop(done(outcome)));
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let (upstream, ferrata) = start().await;
    let mut stream = connect(&ferrata).await;
    let request = |tool: &str, more: &str| {
        head(&format!("/v1/tools/probe_{tool}"), &format!("content-length: 2{more}")) + "{}"
    };
    let together = request("read", "") + &request("nothing", "") + &request("read", "\r\nconnection: close");
    stream.write_all(together.as_bytes()).await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let statuses: Vec<_> =
        answers.match_indices("HTTP/1.1 ").map(|(at, start)| &answers[at + start.len()..][..3]).collect();
    assert_eq!(statuses, ["200", "404", "200"], "{answers}");
    assert_eq!(upstream.seen().len(), 2);
    all_is_well(&ferrata).await;
}
