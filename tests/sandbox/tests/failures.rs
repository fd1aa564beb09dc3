//! Failures on demand, seen from the wire.

use std::time::Duration;

use ferrata_sandbox::slack::{Slack, seed};
use ferrata_sandbox::{Clock, Failure, Sandbox};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const START: Duration = Duration::from_secs(1_792_065_600);

async fn slack() -> Sandbox<Slack> {
    Sandbox::start(Slack::acme(Clock::frozen(START))).await.unwrap()
}

/// Sends one request and reads until the connection ends.
async fn send(sandbox: &Sandbox<Slack>, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let url = sandbox.url();
    let address = url.trim_start_matches("http://").trim_end_matches("/api");
    let mut stream = TcpStream::connect(address).await?;
    let (token, length) = (seed::BOT_TOKEN, body.len());
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n");
    let kind = "content-type: application/json; charset=utf-8\r\nconnection: close\r\n";
    stream.write_all(format!("{head}{kind}content-length: {length}\r\n\r\n{body}").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn get(sandbox: &Sandbox<Slack>) -> String {
    send(sandbox, "GET", "/api/auth.test", "").await.unwrap()
}

fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn a_failure_hits_as_many_requests_as_asked_and_then_no_more() {
    let sandbox = slack().await;
    sandbox.force(Failure::Unavailable, 2);
    assert!(get(&sandbox).await.starts_with("HTTP/1.1 503"));
    assert!(get(&sandbox).await.starts_with("HTTP/1.1 503"));
    assert_eq!(body(&get(&sandbox).await)["ok"], true);
    assert_eq!(sandbox.requests().len(), 3);
}

#[tokio::test]
async fn a_failure_can_be_meant_for_one_method() {
    let sandbox = slack().await;
    sandbox.force_at("chat.postMessage", Failure::InternalError, 1);
    assert_eq!(body(&get(&sandbox).await)["ok"], true);
    let post = send(&sandbox, "POST", "/api/chat.postMessage", "{}").await.unwrap();
    assert!(post.starts_with("HTTP/1.1 500"), "{post}");
}

#[tokio::test]
async fn too_fast_is_429_or_200_as_set() {
    let sandbox = slack().await;
    sandbox.force(Failure::RateLimited { retry_after: Some(7) }, 2);
    let documented = get(&sandbox).await;
    assert!(
        documented.starts_with("HTTP/1.1 429") && documented.contains("retry-after: 7\r\n"),
        "{documented}"
    );
    assert_eq!(body(&documented)["error"], "ratelimited");
    sandbox.system().throttle_under_200(true);
    let disguised = get(&sandbox).await;
    assert!(disguised.starts_with("HTTP/1.1 200") && !disguised.contains("retry-after"), "{disguised}");
    assert_eq!(body(&disguised)["error"], "rate_limited");
}

#[tokio::test]
async fn a_web_page_and_a_strange_body_come_with_status_200() {
    let sandbox = slack().await;
    sandbox.force(Failure::Html, 1);
    assert!(get(&sandbox).await.contains("content-type: text/html"));
    sandbox.force(Failure::Body("{\"ok\":true,\"surprise\":1}".to_owned()), 1);
    assert_eq!(body(&get(&sandbox).await)["surprise"], 1);
}

#[tokio::test]
async fn a_reset_is_a_reset_and_not_an_end() {
    let sandbox = slack().await;
    sandbox.force(Failure::Reset, 1);
    let error = send(&sandbox, "GET", "/api/auth.test", "").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn silence_lasts_until_the_sandbox_ends() {
    let sandbox = slack().await;
    sandbox.force(Failure::Hang, 1);
    let url = sandbox.url();
    let address = url.trim_start_matches("http://").trim_end_matches("/api");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /api/auth.test HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    while sandbox.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(sandbox);
    let mut rest = Vec::new();
    // Either way of ending a connection will do; what counts is that nothing was answered.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn the_same_powers_are_there_over_http() {
    let sandbox = slack().await;
    let force = r#"{"failure":{"code":"fatal_error"},"at":"auth.test"}"#;
    send(&sandbox, "POST", "/_sandbox/force", force).await.unwrap();
    assert_eq!(body(&get(&sandbox).await)["error"], "fatal_error");
    let revoke = format!(r#"{{"token":"{}"}}"#, seed::BOT_TOKEN);
    let revoked = send(&sandbox, "POST", "/_sandbox/revoke", &revoke).await.unwrap();
    assert_eq!(body(&revoked)["done"], true);
    assert_eq!(body(&get(&sandbox).await)["error"], "token_revoked");
    let nonsense = send(&sandbox, "POST", "/_sandbox/force", "{}").await.unwrap();
    assert!(nonsense.starts_with("HTTP/1.1 400"), "{nonsense}");
    let seen = body(&send(&sandbox, "GET", "/_sandbox/requests", "").await.unwrap());
    assert_eq!(seen.as_array().unwrap().len(), 2);
}
