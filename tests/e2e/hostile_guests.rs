//! Connectors that break their contract, tried by the probe: refused and counted, or ended; the next call works.

use ferrata_tests::connectors::{self, GUEST_TOKEN};
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::wait;
use http::StatusCode;
use serde_json::{Value, json};

use crate::deeds::Deed;
use crate::{done, fault, idle};

async fn start(sandbox: Value) -> (Upstream, Ferrata) {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap().with(&["sandbox"], sandbox);
    let connector = connectors::probe(&setup, &upstream).unwrap();
    (upstream, Ferrata::start(setup.connector("probe", connector)).await.unwrap())
}

/// How often that rule has refused the probe a request.
async fn refusals(ferrata: &Ferrata, rule: &str) -> u64 {
    counted(ferrata, &format!("ferrata_guest_refusals_total{{connector=\"probe\",rule=\"{rule}\"}}")).await
}

/// The value of that series, as `/metrics` writes it.
async fn counted(ferrata: &Ferrata, series: &str) -> u64 {
    let metrics = ferrata.admin().get("/metrics").await.unwrap().text();
    let line = format!("{series} ");
    metrics.lines().find_map(|text| text.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
}

async fn all_is_well(ferrata: &Ferrata) {
    done(Deed::Read.call(ferrata, json!({})).await);
    idle(ferrata).await;
}

/// Each deed fails, counts against its rule, and sends nothing.
async fn refused_and_counted(deeds: &[(Deed, &str)]) {
    let (upstream, ferrata) = start(json!({})).await;
    for (deed, rule) in deeds {
        let before = refusals(&ferrata, rule).await;
        fault(deed.call(&ferrata, json!({})).await, "connector_failed");
        assert_eq!(refusals(&ferrata, rule).await, before + 1, "{deed:?}");
    }
    assert_eq!(upstream.seen().len(), 0, "something was sent");
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn what_would_show_a_secret_is_refused_and_counted() {
    refused_and_counted(&[
        (Deed::SecretInBody, "secret"),
        (Deed::SecretInHeader, "secret"),
        (Deed::SecretElsewhere, "secret"),
        (Deed::Digest, "sign"),
        (Deed::Vouch, "sign"),
    ])
    .await;
}

#[tokio::test]
async fn a_secret_that_a_system_repeats_is_counted_and_in_nothing_that_a_guest_says() {
    let (upstream, ferrata) = start(json!({})).await;
    let echo = format!("you are Bearer {GUEST_TOKEN}");
    let leading = format!("https://elsewhere.example/?token={GUEST_TOKEN}").leak();
    upstream.reply(Reply::Answer(StatusCode::OK, vec![("x-link", leading)], echo));
    let said = fault(Deed::Blab.call(&ferrata, json!({})).await, "rejected");
    assert!(said.sentence.contains("you are Bearer [redacted]"), "{said:?}");
    wait::until("the guest's log", async || ferrata.log().contains("you are Bearer").then_some(()))
        .await
        .unwrap();
    assert!(!format!("{said:?}").contains(GUEST_TOKEN) && !ferrata.log().contains(GUEST_TOKEN));
    let redacted = "ferrata_redactions_total{connector=\"probe\",upstream=\"api\"}";
    assert_eq!(counted(&ferrata, redacted).await, 2);
    // A path holds no secrets: a name in it is a name.
    done(Deed::Path.call(&ferrata, json!({ "path": "/read/bot.token" })).await);
    assert_eq!(upstream.seen()[1].path, "/read/bot.token");
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn a_path_stays_below_its_upstream() {
    let (upstream, ferrata) = start(json!({})).await;
    let paths = [
        "//evil.example/read/x",
        "@evil.example/read/x",
        "http://evil.example/read/x",
        ":80@evil.example/read/x",
        "\\\\evil.example\\read\\x",
        "/read/x HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        "/read/x\ny",
        "/read/../admin",
        "/read/%2e%2e/admin",
        "/read/x#y",
        "",
    ];
    for path in paths {
        fault(Deed::Path.call(&ferrata, json!({ "path": path })).await, "connector_failed");
    }
    assert_eq!(refusals(&ferrata, "path").await, paths.len() as u64);
    assert_eq!(upstream.seen().len(), 0, "something was sent");
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn headers_are_whole_and_the_hosts_are_the_hosts() {
    let (upstream, ferrata) = start(json!({})).await;
    let headers = [
        ("host", "evil.example"),
        ("Host", "evil.example"),
        ("accept-encoding", "gzip"),
        ("content-length", "100"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
        ("range", "bytes=0-1"),
        ("proxy-authorization", "Basic eDp5"),
        ("x-torn", "a\r\nhost: evil.example"),
        ("x-torn", "a\nb"),
        ("x-torn", "a\u{0}b"),
        ("x-torn\r\nhost", "evil.example"),
        ("x torn", "a"),
        (":authority", "evil.example"),
        ("", "a"),
    ];
    for (name, value) in headers {
        let arguments = json!({ "name": name, "value": value });
        fault(Deed::Header.call(&ferrata, arguments).await, "connector_failed");
    }
    assert_eq!(refusals(&ferrata, "header").await, headers.len() as u64);
    assert_eq!(upstream.seen().len(), 0, "something was sent");
    done(Deed::Header.call(&ferrata, json!({ "name": "x-whole", "value": "a b" })).await);
    assert_eq!(upstream.seen()[0].header("x-whole"), "a b");
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn an_operation_is_what_the_manifest_says_it_is() {
    refused_and_counted(&[
        (Deed::Stray, "upstream"),
        (Deed::Invent, "operation"),
        (Deed::Undeclared, "operation"),
        (Deed::Disguise, "effect"),
        (Deed::Stronger, "effect"),
    ])
    .await;
}

#[tokio::test]
async fn a_result_is_bounded_where_memory_is_not_the_bound() {
    let (_upstream, ferrata) = start(json!({ "memory": "512MiB" })).await;
    let large = Deed::Overflow.call(&ferrata, json!({ "bytes": 100_000_000 })).await;
    fault(large, "connector_failed");
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn recursion_has_an_end() {
    let (_upstream, ferrata) = start(json!({})).await;
    fault(Deed::Descend.call(&ferrata, json!({})).await, "connector_failed");
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn what_is_never_settled_is_judged_by_its_status() {
    let (upstream, ferrata) = start(json!({})).await;
    upstream.reply(Reply::Answer(StatusCode::SERVICE_UNAVAILABLE, Vec::new(), String::new()));
    let told = done(Deed::Unsettled.call(&ferrata, json!({})).await);
    assert_eq!(told, json!({ "text": "503" }));
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn a_sandbox_that_keeps_something_is_not_kept() {
    let (_upstream, ferrata) = start(json!({ "reuse": true })).await;
    let memory = async || {
        let told = done(Deed::Remember.call(&ferrata, json!({})).await);
        told["text"].as_str().unwrap().split(',').next().unwrap().to_owned()
    };
    assert_eq!(memory().await, "probe: memory 1");
    assert_eq!(memory().await, "probe: memory 2", "sandboxes are not kept: this test proves nothing");
    done(Deed::Leak.call(&ferrata, json!({})).await);
    assert_eq!(memory().await, "probe: memory 1");
    all_is_well(&ferrata).await;
}

#[tokio::test]
async fn exchanges_are_held_up_to_a_bound() {
    let (upstream, ferrata) = start(json!({})).await;
    fault(Deed::Hoard.call(&ferrata, json!({})).await, "connector_failed");
    let sent = upstream.seen().len();
    assert!(sent < 300, "{sent}");
    all_is_well(&ferrata).await;
}
