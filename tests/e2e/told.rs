//! What is told of a system, by its answers or by those who run it, holds for every caller.

use std::time::Duration;

use ferrata_tests::connectors;
use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::Outcome;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use http::StatusCode;
use serde_json::json;

use crate::deeds::Deed;
use crate::{done, fault, within};

/// Too short to wait for anything that is told here.
const HASTY: Duration = Duration::from_secs(2);

type Headers = Vec<(&'static str, &'static str)>;

async fn start(limits: &[&str]) -> (Upstream, Ferrata) {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let mut connector = connectors::probe(&setup, &upstream).unwrap();
    connector["limits"] = json!({ "api": limits });
    (upstream, Ferrata::start(setup.connector("probe", connector)).await.unwrap())
}

async fn look_up(ferrata: &Ferrata) -> Outcome {
    ferrata.mcp().call_with(&Deed::Lookup.tool(), json!({}), within(HASTY)).await.unwrap()
}

#[tokio::test]
async fn of_a_wall_that_others_use_no_more_is_used_than_is_left() {
    let standard = vec![("ratelimit-policy", r#""minute";q=20;w=60"#), ("ratelimit", r#""minute";r=1;t=50"#)];
    // Of these the host knows nothing: their connectors read them.
    let salesforce = vec![("sforce-limit-info", "api-usage=19/20")];
    let hubspot = vec![
        ("x-hubspot-ratelimit-interval-milliseconds", "60000"),
        ("x-hubspot-ratelimit-max", "20"),
        ("x-hubspot-ratelimit-remaining", "1"),
    ];
    for headers in [standard, salesforce, hubspot] {
        let (upstream, ferrata) = start(&["20/min"]).await;
        upstream.reply(Reply::Answer(StatusCode::OK, headers.clone(), String::new()));
        done(look_up(&ferrata).await);
        done(look_up(&ferrata).await);
        let refused = fault(look_up(&ferrata).await, "rate_limited");
        let limit = &refused.data["limit"];
        assert_eq!(
            (&limit["name"], &limit["used"]),
            (&json!("20/min"), &json!(20)),
            "{headers:?}: {refused:?}"
        );
        assert!(refused.data["retry_at"].is_string(), "{headers:?}: {refused:?}");
        assert_eq!(upstream.seen().len(), 2, "{headers:?}");
    }
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_kept_by_every_caller() {
    let (upstream, ferrata) = start(&[]).await;
    let pause: Headers = vec![("retry-after", "30")];
    upstream.reply(Reply::Answer(StatusCode::TOO_MANY_REQUESTS, pause, String::new()));
    let first = fault(look_up(&ferrata).await, "rate_limited");
    let second = fault(look_up(&ferrata).await, "rate_limited");
    assert!(first.data["retry_at"].is_string(), "{first:?}");
    assert_eq!(first.data["retry_at"], second.data["retry_at"]);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn during_declared_maintenance_nobody_is_asked_and_everybody_is_told_its_end() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let mut connector = connectors::probe(&setup, &upstream).unwrap();
    // Always: each begins before the other ends.
    connector["upstreams"]["api"]["maintenance"] = json!(["daily 00:00-13:00 UTC", "daily 12:00-01:00 UTC"]);
    let ferrata = Ferrata::start(setup.connector("probe", connector)).await.unwrap();
    let refused = fault(look_up(&ferrata).await, "unavailable");
    assert!(refused.sentence.contains("declared maintenance"), "{}", refused.sentence);
    assert!(refused.data["retry_at"].is_string(), "{refused:?}");
    assert_eq!(upstream.seen().len(), 0);
}
