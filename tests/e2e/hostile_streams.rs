//! Systems that end HTTP/2 streams and connections in mid-call: what is said of a write is true, and the next call works.

use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::frames::{CANCEL, Frames, INTERNAL_ERROR, Manner, NO_ERROR, REFUSED_STREAM};
use ferrata_tests::mcp::Outcome;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::Upstream;
use ferrata_tests::{artifacts, connectors, wait};
use serde_json::json;

use crate::deeds::Deed;
use crate::hostile_upstreams::certificate;
use crate::{done, fault, idle};

/// Calls that the departing connection still answers.
const TAKEN: usize = 3;

struct Scene {
    frames: Frames,
    ferrata: Ferrata,
}

impl Scene {
    /// The probe reads, and the Slack connector writes.
    async fn start() -> Self {
        let (tls, authority) = certificate("localhost", &["h2"]);
        let frames = Frames::start(tls).await.unwrap();
        let other = Upstream::start().await.unwrap();
        let setup = Setup::new().unwrap();
        let authority = setup.file("authority.pem", authority).unwrap();
        // What one exchange comes to: a second one, or none, would hide it.
        let (retry, breaker) = (json!({ "attempts": 1 }), json!({ "mode": "observe" }));
        let api = json!({ "url": frames.url(), "ca": authority, "retry": retry, "breaker": breaker });
        let mut probe = connectors::probe(&setup, &other).unwrap();
        probe["upstreams"]["api"] = api.clone();
        let chat = json!({
            "component": artifacts::connector("ferrata-slack").unwrap(),
            "upstreams": { "api": api },
            "credentials": { "bot": { "kind": "static", "token": setup.file("bot", "xoxb-of-nobody").unwrap() } },
        });
        let ferrata = Ferrata::start(setup.connector("probe", probe).connector("chat", chat)).await.unwrap();
        Self { frames, ferrata }
    }

    async fn read(&self) -> Outcome {
        Deed::Read.call(&self.ferrata, json!({})).await
    }

    async fn write(&self) -> Outcome {
        let message = json!({ "channel": "C0ACME001", "text": "hello" });
        self.ferrata.mcp().call("chat_post_message", message).await.unwrap()
    }

    /// What a read and a write come to in the face of that: their kinds and outcomes.
    async fn meet(&self, manner: Manner) -> [(String, String); 2] {
        let mut met = Vec::new();
        for writes in [false, true] {
            self.frames.next(manner);
            let outcome = if writes { self.write().await } else { self.read().await };
            let Outcome::Fault(fault) = outcome else { panic!("{manner:?}: {outcome:?}") };
            met.push((fault.kind().to_owned(), fault.data["outcome"].as_str().unwrap().to_owned()));
            assert_eq!(done(self.read().await), json!({ "text": "fine" }), "after {manner:?}");
            idle(&self.ferrata).await;
        }
        met.try_into().unwrap()
    }
}

fn said(kind: &str, outcome: &str) -> (String, String) {
    (kind.to_owned(), outcome.to_owned())
}

#[tokio::test]
async fn a_request_that_was_not_taken_was_not_sent() {
    let scene = Scene::start().await;
    let not_sent = || said("unavailable", "not_sent");
    for manner in [Manner::Reset(REFUSED_STREAM), Manner::GoAwayBefore] {
        assert_eq!(scene.meet(manner).await, [not_sent(), not_sent()], "{manner:?}");
    }
}

#[tokio::test]
async fn a_request_that_may_have_been_taken_is_an_open_question_if_it_writes() {
    let scene = Scene::start().await;
    let open = [said("unavailable", "unknown"), said("outcome_unknown", "unknown")];
    for manner in [
        Manner::Reset(INTERNAL_ERROR),
        Manner::Reset(CANCEL),
        Manner::Reset(NO_ERROR),
        Manner::GoAwayAfter,
        // What has begun to answer has looked at the request.
        Manner::ResetInBody(CANCEL),
        Manner::ResetInBody(REFUSED_STREAM),
    ] {
        assert_eq!(scene.meet(manner).await, open, "{manner:?}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_in_order_takes_no_call_along_that_it_took() {
    let scene = Scene::start().await;
    scene.frames.next(Manner::GoAwayAndAnswer);
    assert_eq!(done(scene.read().await), json!({ "text": "fine" }));
    // One connection stands, for all of these.
    done(scene.read().await);
    let calls: Vec<_> = (0..TAKEN)
        .map(|_| {
            scene.frames.next(Manner::Hold);
            let mcp = scene.ferrata.mcp();
            tokio::spawn(async move { mcp.call(&Deed::Read.tool(), json!({})).await.unwrap() })
        })
        .collect();
    wait::until("the calls to arrive", async || (scene.frames.left() == 0).then_some(())).await.unwrap();
    scene.frames.next(Manner::Retire);
    let last = fault(scene.read().await, "unavailable");
    assert_eq!(last.data["outcome"], "not_sent", "{last:?}");
    for call in calls {
        assert_eq!(done(call.await.unwrap()), json!({ "text": "fine" }));
    }
    assert_eq!(done(scene.read().await), json!({ "text": "fine" }));
    idle(&scene.ferrata).await;
}
