//! What the host would refuse to load, and what the harness holds a connector and its script to.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ferrata_sdk::prelude::*;
use ferrata_sdk::testing::{Answer, Harness, check, get};

const PING: Operation = Operation::get("api", "ping", "/ping");

#[settings]
struct Settings {
    /// Which answer is right.
    answer: String,
}

/// Asks whether the system is there.
#[input]
struct Ping {}

#[output]
struct Pong {
    #[schemars(length(min = 1))]
    answer: String,
}

fn ping(cx: &Cx<Settings>, _: Ping) -> Result<Pong, Fault> {
    let answer = cache::through("answer", Duration::from_secs(60), || Ok(cx.request(&PING).send()?.text()))?;
    if answer == cx.settings().answer { Ok(Pong { answer }) } else { Err(Fault::rejected("Another answer.")) }
}

fn connector() -> Connector<Settings> {
    Connector::new("pinger", "1.0.0").upstream(Upstream::http("api")).tool(tool("ping", &PING, ping))
}

/// What a panic said.
fn complaint<T>(guilty: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(guilty)) else { panic!("it was accepted") };
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}

#[test]
fn a_manifest_that_the_host_refuses_is_refused_here() {
    check(&connector());
    let elsewhere = Operation::get("elsewhere", "x", "/x");
    assert!(complaint(|| check(&connector().operations(&[elsewhere]))).contains("no upstream \"elsewhere\""));
    const WALLED: Operation =
        Operation::get("api", "walled", "/x").walls(&[Wall::new("often", "https://x.example")]);
    assert!(complaint(|| check(&connector().operations(&[WALLED]))).contains("/walls/0/limit"));
    assert!(complaint(|| check(&Connector::<Settings>::new("No Name", "1"))).contains("/name"));
    assert!(complaint(|| check(&connector().tool(tool("ping", &PING, ping)))).contains("two tools"));
}

#[test]
fn settings_must_satisfy_their_schema() {
    let mut pinger = Harness::new(connector());
    assert!(complaint(|| pinger.settings(json!({})).call("ping", json!({}))).contains("answer"));
    assert!(
        complaint(|| pinger.settings(json!({ "answer": "a", "extra": 1 })).call("ping", json!({})))
            .contains("extra")
    );
}

#[test]
fn a_cached_value_saves_the_request() {
    let mut pinger = Harness::new(connector());
    pinger.settings(json!({ "answer": "here" })).expect(get("/ping").answer(Answer::text(200, "here")));
    pinger.call("ping", json!({})).unwrap();
    assert_eq!(pinger.call("ping", json!({})).unwrap(), json!({ "answer": "here" }));
}

#[test]
fn arguments_are_held_to_the_schema() {
    let fault = Harness::new(connector()).call("ping", json!({ "loud": true })).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::InvalidArguments);
}

#[test]
fn a_result_that_breaks_its_promise_is_found() {
    let mut pinger = Harness::new(connector());
    pinger.settings(json!({ "answer": "" })).expect(get("/ping").answer(Answer::text(200, "")));
    assert!(complaint(|| pinger.call("ping", json!({}))).contains("the result at \"/answer\""));
}

#[test]
fn a_connector_that_strays_from_the_script_is_found() {
    let pinger = || {
        let mut pinger = Harness::new(connector());
        pinger.settings(json!({ "answer": "here" }));
        pinger
    };
    let mut unexpected = pinger();
    assert!(complaint(|| unexpected.call("ping", json!({}))).contains("unexpected request: GET /ping"));

    let mut another = pinger();
    another.expect(get("/pong").answer(Answer::status(200)));
    assert!(complaint(|| another.call("ping", json!({}))).contains("GET /pong"));

    let mut idle = pinger();
    idle.expect(get("/ping").answer(Answer::text(200, "here")))
        .expect(get("/again").answer(Answer::status(200)));
    assert!(complaint(|| idle.call("ping", json!({}))).contains("did not happen: GET /again"));

    let mut settled = pinger();
    settled.expect(get("/ping").answer(Answer::text(200, "here")).sent_again(Answer::text(200, "here")));
    assert!(complaint(|| settled.call("ping", json!({}))).contains("1 further answers"));
}

/// A tool whose one request is what the host refuses.
fn strays(send: fn(&Cx<NoSettings>) -> Result<Response, Fault>) -> String {
    let connector = Connector::new("strays", "1.0.0")
        .upstream(Upstream::http("api"))
        .upstream(Upstream::http("files"))
        .credential(Credential::fixed("bot", "api").field("token"))
        .operations(&[WRITE, FILE])
        .tool(tool("stray", &PING, move |cx: &Cx<NoSettings>, _: Ping| send(cx)?.json::<Page<u32>>()));
    let mut strays = Harness::new(connector);
    complaint(|| strays.call("stray", json!({})))
}

const WRITE: Operation = Operation::post("api", "write", "/write");
const FILE: Operation = Operation::get("files", "file", "/files/{id}");
const UNDECLARED: Operation = Operation::get("api", "undeclared", "/undeclared");

#[test]
fn what_the_host_would_refuse_to_send_is_refused_here() {
    assert!(strays(|cx| cx.request(&UNDECLARED).send()).contains("\"undeclared\" is not declared"));
    assert!(strays(|cx| cx.request(&WRITE).send()).contains("its tool only"));
    assert!(strays(|cx| cx.request(&PING).effect(Effect::Destructive).send()).contains("its tool only"));
    assert!(strays(|cx| cx.request(&FILE).at("/elsewhere/7").send()).contains("does not match"));
    assert!(strays(|cx| cx.request(&PING).bearer("bot.password").send()).contains("no field \"password\""));
    assert!(strays(|cx| cx.request(&PING).bearer("user.token").send()).contains("no credential \"user\""));
    let elsewhere = |cx: &Cx<NoSettings>| cx.request(&FILE).segment("id", 7).bearer("bot.token").send();
    assert!(strays(elsewhere).contains("not for the upstream \"files\""));
}
