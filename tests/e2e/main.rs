//! End-to-end tests: the real binary, real connectors, stand-ins for the systems.
//!
//! | file | proves |
//! |---|---|
//! | `chat` | the Slack connector: what Slack's manners become |
//! | `database` | the PostgreSQL connector: caps, cost, failover |
//! | `containment` | what a connector cannot do |
//! | `memory` | what is in a guest's memory, and what is not |
//! | `batches` | calls that travel as one |
//! | `exchange` | sessions of users |
//! | `fleet` | sidecars that share a quota, and sidecars that die |
//! | `flow` | what calls have to do with each other, and what stands in for a failed one |
//! | `languages` | connectors in Python and JavaScript |
//! | `logins` | credentials that are won by a login |
//! | `resources` | what agents read without calling a tool |
//! | `prompts` | what a person can begin a conversation with |
//! | `plain_http` | `/v1/tools` for agents without MCP |
//! | `alarms` | what is told of credentials that somebody must look after |
//! | `agents` | who may call what, and from where |
//! | `audit` | what is written down of calls |
//! | `clients` | MCP clients of others |
//! | `conformance` | the official MCP suite |
//! | `changes` | a changed list of tools is heard |
//! | `commands` | the command line and its exit codes |
//! | `reload` | changed files under a running sidecar |
//! | `consent` | calls that a person must agree to |
//! | `grants` | each grant of OAuth, against a real identity provider |
//! | `families` | a fleet that shares one refresh token |
//! | `identities` | agents and users by tokens of a real identity provider |
//! | `users` | agents and users by tokens of an identity provider |
//! | `content` | what a tool may answer beside an object |
//! | `progress` | how far a call is, and its end before it is done |
//! | `asking` | calls that ask before they answer |
//! | `outcomes` | what is said of a write that may have been done |
//! | `rotation` | secrets that are replaced while they are used |
//! | `swap` | a connector replaced under load |
//! | `thief` | what a connector cannot do with what its logins are made with |
//! | `deeds` | that each misdeed of the probe is tried by a test |
//! | `hostile_agents` | what an agent cannot break |
//! | `hostile_guests` | what a connector cannot break |
//! | `hostile_resources` | what a connector's resources cannot break |
//! | `hostile_streams` | what a system that speaks HTTP/2 cannot break |
//! | `hostile_upstreams` | what a system cannot break |
//! | `deploy` | what the kustomize component makes of Deployments |
//! | `pod` | the image as the example's pod runs it |
//! | `vendors` | logins at systems with manners of their own |
//! | `walls` | limits, queue, retry, breaker: what an agent's haste comes to |
//! | `isolation` | a sick system beside a healthy one |
//! | `workflows` | what tasks of several steps spend and reserve |
//! | `lifecycle` | start, faulty connectors, cancellation, drain |

#![deny(unsafe_code)]

mod agents;
mod alarms;
mod asking;
mod audit;
mod batches;
mod changes;
mod chat;
mod clients;
mod commands;
mod conformance;
mod consent;
mod containment;
mod content;
mod database;
mod deeds;
mod deploy;
mod exchange;
mod families;
mod fleet;
mod flow;
mod grants;
mod hostile_agents;
mod hostile_guests;
mod hostile_resources;
mod hostile_streams;
mod hostile_upstreams;
mod identities;
mod isolation;
mod issuer;
mod languages;
mod lifecycle;
mod logins;
mod memory;
mod outcomes;
mod plain_http;
mod pod;
mod progress;
mod prompts;
mod reload;
mod resources;
mod rotation;
mod swap;
mod thief;
mod told;
mod users;
mod vendors;
mod walls;
mod workflows;

use std::time::Duration;

use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::mcp::{Fault, Outcome};
use ferrata_tests::wait;
use serde_json::{Map, Value, json};

/// What a call gave.
#[track_caller]
fn done(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Done(value) => value,
        Outcome::Fault(fault) => panic!("{}: {}", fault.kind(), fault.sentence),
    }
}

/// The fault that a call ended as.
#[track_caller]
fn fault(outcome: Outcome, kind: &str) -> Fault {
    match outcome {
        Outcome::Fault(fault) if fault.kind() == kind => fault,
        other => panic!("not {kind}: {other:?}"),
    }
}

/// The deadline of a call, for its `_meta`.
fn within(time: Duration) -> Map<String, Value> {
    Map::from_iter([("dev.ferrata/timeoutMs".to_owned(), json!(time.as_millis()))])
}

/// Waits until no call holds a sandbox.
async fn idle(ferrata: &Ferrata) {
    let empty = async || {
        let status = ferrata.control().get("/status").await.ok()?.json();
        let connectors = status["connectors"].as_object()?;
        connectors.values().all(|connector| connector["sandboxes_in_use"] == 0).then_some(())
    };
    wait::until("the sandboxes to be given back", empty).await.unwrap();
}
