//! Files change under a running sidecar: the configuration and the components.

use ferrata_tests::ferrata::Ferrata;
use ferrata_tests::setup::Setup;
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::{artifacts, connectors, wait};
use serde_json::{Value, json};

use crate::done;

const COMPONENT: &str = "component.wasm";
/// The description of the probe's tool `trap`, and one of the same length.
const OLD: &[u8] = b"Panics.";
const NEW: &[u8] = b"Faints.";

async fn start(upstream: &Upstream) -> Ferrata {
    let setup = Setup::new().unwrap();
    setup.file(COMPONENT, std::fs::read(artifacts::probe().unwrap()).unwrap()).unwrap();
    let mut connector = connectors::probe(&setup, upstream).unwrap();
    connector["component"] = json!(COMPONENT);
    Ferrata::start(setup.connector("probe", connector)).await.unwrap()
}

/// Puts a file in place as a whole, as an operator's tools do.
fn replace(ferrata: &Ferrata, name: &str, content: impl AsRef<[u8]>) {
    let aside = ferrata.setup().file("aside", content).unwrap();
    std::fs::rename(aside, ferrata.setup().folder().join(name)).unwrap();
}

/// The probe with another description.
fn another_probe() -> Vec<u8> {
    let mut component = std::fs::read(artifacts::probe().unwrap()).unwrap();
    let at = component.windows(OLD.len()).position(|window| window == OLD).unwrap();
    component[at..at + NEW.len()].copy_from_slice(NEW);
    component
}

async fn description(ferrata: &Ferrata) -> Value {
    let tools = ferrata.mcp().tools().await.unwrap();
    let trap = tools.iter().find(|tool| tool["name"] == "probe_trap").unwrap();
    trap["description"].clone()
}

async fn status_says(ferrata: &Ferrata, words: &str) {
    let said = async || ferrata.control().get("/status").await.unwrap().text().contains(words).then_some(());
    wait::until(&format!("{words:?} in /status"), said).await.unwrap();
}

#[tokio::test]
async fn a_component_is_swapped_and_calls_in_flight_finish_on_the_old_one() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream).await;
    assert_eq!(description(&ferrata).await, "Panics.");
    upstream.reply(Reply::Held);
    let mcp = ferrata.mcp();
    let in_flight = tokio::spawn(async move { mcp.call("probe_read", json!({})).await.unwrap() });
    upstream.holds(1).await.unwrap();

    replace(&ferrata, COMPONENT, another_probe());
    let swapped = async || (description(&ferrata).await == "Faints.").then_some(());
    wait::until("the new component", swapped).await.unwrap();
    upstream.release();
    done(in_flight.await.unwrap());
    done(ferrata.mcp().call("probe_read", json!({})).await.unwrap());
}

#[tokio::test]
async fn a_component_that_cannot_be_loaded_leaves_the_old_one_in_force_and_says_so() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream).await;
    replace(&ferrata, COMPONENT, "not a component");
    status_says(&ferrata, "not a").await;
    done(ferrata.mcp().call("probe_read", json!({})).await.unwrap());
    replace(&ferrata, COMPONENT, another_probe());
    let swapped = async || (description(&ferrata).await == "Faints.").then_some(());
    wait::until("the new component", swapped).await.unwrap();
}

#[tokio::test]
async fn a_configuration_that_is_not_valid_leaves_the_old_one_in_force_and_says_so() {
    let upstream = Upstream::start().await.unwrap();
    let ferrata = start(&upstream).await;
    let config = ferrata.setup().folder().join("ferrata.yaml");
    let good = std::fs::read_to_string(&config).unwrap();
    replace(&ferrata, "ferrata.yaml", "connectors: {}\ncolour: red\n");
    status_says(&ferrata, "colour").await;
    done(ferrata.mcp().call("probe_read", json!({})).await.unwrap());

    let mut changed: Value = serde_json::from_str(&good).unwrap();
    changed["access"] = json!({ "default": { "allow": ["probe_read"] } });
    replace(&ferrata, "ferrata.yaml", changed.to_string());
    let narrowed = async || (ferrata.mcp().tools().await.unwrap().len() == 1).then_some(());
    wait::until("the new configuration", narrowed).await.unwrap();
}

/// A tool of the probe's, and a name of the same length that it does not have.
const TOOL: &[u8] = b"write_then_ask";
const OTHER_TOOL: &[u8] = b"write_then_axe";

#[tokio::test]
async fn what_fits_again_is_no_problem_any_more() {
    let upstream = Upstream::start().await.unwrap();
    let setup = Setup::new().unwrap();
    let probe = std::fs::read(artifacts::probe().unwrap()).unwrap();
    setup.file(COMPONENT, &probe).unwrap();
    let mut connector = connectors::probe(&setup, &upstream).unwrap();
    connector["component"] = json!(COMPONENT);
    let rules = json!({ "allow": ["probe_*"], "confirm": ["probe_write_then_ask"] });
    let setup = setup.connector("probe", connector).with(&["access", "default"], rules);
    let ferrata = Ferrata::start(setup).await.unwrap();
    let mut renamed = probe.clone();
    let places: Vec<_> = (0..renamed.len()).filter(|at| renamed[*at..].starts_with(TOOL)).collect();
    places.into_iter().for_each(|at| renamed[at..at + TOOL.len()].copy_from_slice(OTHER_TOOL));
    replace(&ferrata, COMPONENT, renamed);
    status_says(&ferrata, "nothing fits these rules").await;
    replace(&ferrata, COMPONENT, probe);
    let is_well = async || {
        let status = ferrata.control().get("/status").await.unwrap().json();
        status["configuration_problem"].is_null().then_some(())
    };
    wait::until("nothing wrong in /status", is_well).await.unwrap();
}
