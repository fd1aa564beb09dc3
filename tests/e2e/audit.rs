//! What is written down of calls, and what happens when it cannot be.

use std::path::Path;

use ferrata_tests::connectors;
use ferrata_tests::ferrata::{Ferrata, cli};
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::wait;
use serde_json::{Value, json};

use crate::deeds::Deed;
use crate::{done, fault};

/// A probe whose calls are written down, and which has a wall.
fn audited(upstream: &Upstream, audit: Value) -> Setup {
    let setup = Setup::new().unwrap();
    let mut connector = connectors::probe(&setup, upstream).unwrap();
    connector["limits"] = json!({ "api": ["1000/h"] });
    connector["upstreams"]["api"]["account"] = json!("acme");
    setup.connector("probe", connector).with(&["audit"], audit)
}

async fn lines(file: &Path, count: usize) -> Vec<Value> {
    let read = async || {
        let text = std::fs::read_to_string(file).ok()?;
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines.len() >= count).then_some(lines)
    };
    wait::until("the audit's lines", read).await.unwrap()
}

#[tokio::test]
async fn a_line_says_who_did_what_and_what_it_cost() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata =
        Ferrata::start(audited(&upstream, json!({ "to": { "file": "audit.jsonl" } }))).await.unwrap();
    let file = ferrata.setup().folder().join("audit.jsonl");
    let meta = json!({ "dev.ferrata/workflow": "onboarding" }).as_object().unwrap().clone();
    let arguments = json!({ "path": "a", "note": "a\nb", "login": [{ "password": "hunter2" }] });
    done(ferrata.mcp().call_with(&Deed::Read.tool(), arguments, meta).await.unwrap());
    let line = &lines(&file, 1).await[0];
    assert_eq!((&line["agent"], &line["name"]), (&json!("default"), &json!("probe_read")));
    assert_eq!((&line["method"], &line["connector"]), (&json!("tools/call"), &json!("probe")));
    assert_eq!((&line["effect"], &line["outcome"]), (&json!("read"), &json!("ok")));
    let shown = json!({ "path": "a", "note": "a\nb", "login": [{ "password": "[redacted]" }] });
    assert_eq!(line["arguments"], shown);
    assert_eq!((&line["workflow"], line["trace"].as_str().unwrap().len()), (&json!("onboarding"), 32));
    assert!(line["ms"].as_f64().unwrap() > 0.0);
    let exchange = &line["exchanges"][0];
    assert_eq!((&exchange["account"], &exchange["upstream"]), (&json!("acme"), &json!("api")));
    assert_eq!((&exchange["operation"], &exchange["status"]), (&json!("read"), &json!(200)));
    assert_eq!((&exchange["cost"], &exchange["walls"]), (&json!(1), &json!(["1000/h"])));
    assert_eq!(ferrata.control().get("/status").await.unwrap().json()["audit"]["written"], 1);
}

#[tokio::test]
async fn whatever_becomes_of_a_call_there_is_a_line() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata =
        Ferrata::start(audited(&upstream, json!({ "to": { "file": "audit.jsonl" } }))).await.unwrap();
    let file = ferrata.setup().folder().join("audit.jsonl");
    // Where something to hide stands in what the schema does not allow, nobody knows.
    let misplaced = json!({ "login": { "password": "hunter2" } });
    fault(Deed::Read.call(&ferrata, misplaced).await, "invalid_arguments");
    fault(Deed::Trap.call(&ferrata, json!({})).await, "connector_failed");
    upstream.reply(Reply::Held);
    let (mcp, tool) = (ferrata.mcp(), Deed::Read.tool());
    let impatient = tokio::spawn(async move { mcp.call(&tool, json!({})).await.map(|_| ()).ok() });
    upstream.holds(1).await.unwrap();
    impatient.abort();
    let resource = json!({ "uri": "nobody://nothing" });
    let _ = ferrata.mcp().exchange("resources/read", resource).await.unwrap();
    let lines = lines(&file, 4).await;
    let outcome = |outcome: &str| lines.iter().find(|line| line["outcome"] == outcome);
    let invalid = outcome("invalid_arguments").unwrap();
    assert_eq!((&invalid["arguments"], &invalid["arguments_left_out"]), (&Value::Null, &json!(true)));
    assert_eq!(outcome("connector_failed").unwrap()["sent"], "not_sent");
    let cancelled = outcome("cancelled").unwrap();
    assert_eq!(cancelled["exchanges"][0]["ended"], "under_way");
    assert_eq!(outcome("not_found").unwrap()["name"], "nobody://nothing");
    assert!(!std::fs::read_to_string(&file).unwrap().contains("hunter2"));
}

#[tokio::test]
async fn what_is_turned_away_has_a_line_too() {
    let upstream = Upstream::start().await.unwrap();
    let rules = json!({ "allow": ["probe_write"], "confirm": ["write"] });
    let setup = audited(&upstream, json!({ "to": { "file": "audit.jsonl" } }));
    let ferrata = Ferrata::start(setup.with(&["access", "default"], rules)).await.unwrap();
    let file = ferrata.setup().folder().join("audit.jsonl");
    let forbidden = json!({ "path": "a", "login": [{ "password": "hunter2" }] });
    ferrata.mcp().call(&Deed::Read.tool(), forbidden).await.unwrap_err();
    let plain = ferrata.agent().post("/v1/tools/probe_read", &json!({ "path": "b" })).await.unwrap();
    assert_eq!(plain.status, 404);
    ferrata.mcp().call("nobody_has", json!({ "token": "hunter2" })).await.unwrap_err();
    let forged = json!({ "name": Deed::Write.tool(), "arguments": {}, "requestState": "forged", "inputResponses": {} });
    assert_eq!(ferrata.mcp().exchange("tools/call", forged).await.unwrap()["error"]["code"], -32602);
    let lines = lines(&file, 4).await;
    let expected = [
        ("probe_read", "not_allowed"),
        ("probe_read", "not_allowed"),
        ("nobody_has", "not_found"),
        ("probe_write", "unusable_state"),
    ];
    assert_eq!(lines.iter().map(said).collect::<Vec<_>>(), expected);
    assert_eq!((&lines[0]["agent"], &lines[0]["effect"]), (&json!("default"), &json!("read")));
    assert!(!std::fs::read_to_string(&file).unwrap().contains("hunter2"));
    assert_eq!(upstream.seen().len(), 0);
}

/// What a line is about and what became of it.
fn said(line: &Value) -> (&str, &str) {
    (line["name"].as_str().unwrap(), line["outcome"].as_str().unwrap())
}

/// What names itself a call of [`Deed::Read`], and is none.
fn no_calls() -> [Value; 8] {
    let call = |params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let read = || json!({ "name": Deed::Read.tool(), "arguments": { "note": "hunter2" } });
    let with = |mut message: Value, member: &str, value: Value| {
        message[member] = value;
        message
    };
    let meta = |meta: Value| call(with(read(), "_meta", meta));
    let mut without_id = call(read());
    without_id.as_object_mut().unwrap().remove("id");
    [
        with(call(read()), "jsonrpc", json!("1.0")),
        with(call(read()), "id", Value::Null),
        without_id,
        call(with(read(), "arguments", json!("hunter2"))),
        meta(json!("hunter2")),
        meta(json!({ "dev.ferrata/timeoutMs": "soon" })),
        meta(json!({ "progressToken": {} })),
        meta(json!({ "io.modelcontextprotocol/protocolVersion": "hunter2" })),
    ]
}

#[tokio::test]
async fn what_only_names_itself_a_call_has_a_line_too() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata =
        Ferrata::start(audited(&upstream, json!({ "to": { "file": "audit.jsonl" } }))).await.unwrap();
    let (file, agent) = (ferrata.setup().folder().join("audit.jsonl"), ferrata.agent());
    for message in no_calls() {
        agent.post("/mcp", &message).await.unwrap();
    }
    let nameless = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": [] });
    agent.post("/mcp", &json!([nameless])).await.unwrap();
    let address = format!("/v1/tools/{}", Deed::Read.tool());
    assert_eq!(agent.post(&address, &json!(["hunter2"])).await.unwrap().status, 400);
    let hasty = agent.with("ferrata-timeout-ms", "hunter2").unwrap();
    assert_eq!(hasty.post(&address, &json!({})).await.unwrap().status, 400);
    let typed = agent.with("content-type", "text/plain").unwrap();
    assert_eq!(typed.post(&address, &json!({})).await.unwrap().status, 415);
    // No calls, whatever they were meant to be.
    for bytes in ["hunter2", "{}", r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}"#] {
        agent.send(http::Method::POST, "/mcp", bytes.into()).await.unwrap();
    }
    done(Deed::Read.call(&ferrata, json!({})).await);
    let (tool, lines) = (Deed::Read.tool(), lines(&file, 13).await);
    let mut expected = vec![(tool.as_str(), "malformed"); 12];
    expected[8].0 = "unknown";
    expected.push((tool.as_str(), "ok"));
    assert_eq!(lines.iter().map(said).collect::<Vec<_>>(), expected);
    assert_eq!((&lines[0]["agent"], &lines[0]["effect"]), (&json!("default"), &json!("read")));
    assert!(!std::fs::read_to_string(&file).unwrap().contains("hunter2"));
    let metrics = ferrata.admin().get("/metrics").await.unwrap().text();
    // Two of the calls were no messages either, and two arguments.
    for counted in ["reason=\"malformed\"} 6", "reason=\"not_json\"} 1"] {
        assert!(metrics.contains(&format!("ferrata_refused_messages_total{{{counted}")), "{metrics}");
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn what_is_turned_away_at_the_shell_has_a_line_too() {
    let upstream = Upstream::start().await.unwrap();
    let setup = audited(&upstream, json!({ "to": { "file": "audit.jsonl" } }));
    let setup = setup.with(&["access", "default"], json!({ "allow": ["probe_write"] }));
    setup.write().unwrap();
    for (tool, arguments) in
        [(Deed::Read.tool(), "{}"), ("nobody_has".to_owned(), "{}"), (Deed::Write.tool(), "hunter2")]
    {
        let called = cli(setup.folder(), ["call", &tool, arguments]).await.unwrap();
        assert_eq!(called.status.code(), Some(64), "{}", String::from_utf8_lossy(&called.stderr));
    }
    let lines = lines(&setup.folder().join("audit.jsonl"), 3).await;
    let expected = [("probe_read", "not_allowed"), ("nobody_has", "not_found"), ("probe_write", "malformed")];
    assert_eq!(lines.iter().map(said).collect::<Vec<_>>(), expected);
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn on_a_full_disk_calls_stop_or_lines_are_dropped_as_the_operator_wants() {
    for (on_failure, stops) in [("stop", true), ("drop", false)] {
        let upstream = Upstream::start().await.unwrap();
        let audit =
            json!({ "to": { "file": "/dev/full" }, "on_failure": on_failure, "queue": { "items": 1 } });
        let ferrata = Ferrata::start(audited(&upstream, audit)).await.unwrap();
        // It begins before anybody knows.
        done(Deed::Read.call(&ferrata, json!({})).await);
        let failing = async || {
            let status = ferrata.control().get("/status").await.ok()?.json();
            status["audit"]["failing"].is_string().then_some(())
        };
        wait::until("the audit to fail", failing).await.unwrap();
        let next = Deed::Read.call(&ferrata, json!({})).await;
        let metrics = ferrata.admin().get("/metrics").await.unwrap().text();
        assert!(metrics.contains("ferrata_audit_failing 1"), "{metrics}");
        if stops {
            let refused = fault(next, "unavailable");
            assert!(refused.sentence.contains("written down"), "{}", refused.sentence);
            assert!(metrics.contains("ferrata_audit_refusals_total 1"), "{metrics}");
        } else {
            done(next);
            assert!(metrics.contains("ferrata_audit_lines_total{outcome=\"dropped\"} 1"), "{metrics}");
        }
        assert_eq!(upstream.seen().len(), if stops { 1 } else { 2 });
    }
}

#[tokio::test]
async fn where_answers_are_on_standard_output_the_audit_is_not() {
    let upstream = Upstream::start().await.unwrap();
    let setup = audited(&upstream, json!({ "to": "stdout" }));
    setup.write().unwrap();
    let called = cli(setup.folder(), ["call", &Deed::Read.tool(), "{}"]).await.unwrap();
    serde_json::from_slice::<Value>(&called.stdout).unwrap();
    let said = String::from_utf8(called.stderr).unwrap();
    let line = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    assert_eq!(line.filter(|line| line["method"] == "tools/call").count(), 1, "{said}");
}
