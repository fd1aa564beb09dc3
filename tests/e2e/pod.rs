//! The image's own binary as the example's pod runs it: user, privileges, read-only root, volumes, bounds, signals.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ferrata_sandbox::slack::{Slack, seed};
use ferrata_sandbox::{Clock, Sandbox};
use ferrata_tests::container::{self, Cluster, Container};
use ferrata_tests::http::Client;
use ferrata_tests::kubernetes;
use ferrata_tests::mcp::Mcp;
use ferrata_tests::upstream::{Reply, Upstream};
use ferrata_tests::{needs, wait};
use http::StatusCode;
use serde_json::{Value, json};

use crate::done;

const SLACK: &str = "https://slack.com";
/// Where the stand-in listens in the pod's network, where nobody else does.
const STAND_IN: u16 = 8080;
const AGENT: &str = "http://127.0.0.1:4180";
const ADMIN: &str = "http://127.0.0.1:4181";
const USER: u32 = 64180;

/// The example's sidecar, with a stand-in in Slack's place.
fn start() -> Option<Container> {
    let tools = needs("what tests/deploy/install installs", kubernetes::tools())?;
    let image = needs("the image that tests/deploy/image makes", container::image())?;
    let rendered = kubernetes::render(&tools, "deploy/example").unwrap();
    let config = kubernetes::resource(&rendered, "ConfigMap", kubernetes::SIDECAR).unwrap();
    let config = config["data"]["ferrata.yaml"].as_str().unwrap();
    assert!(config.contains(SLACK));
    let cluster = Cluster {
        configuration: config.replace(SLACK, &format!("http://127.0.0.1:{STAND_IN}")),
        secrets: vec![("slack-bot", seed::BOT_TOKEN.to_owned())],
    };
    let pod = kubernetes::pod(&rendered, "support-agent").unwrap();
    Some(Container::start(&image, pod, &cluster).unwrap())
}

/// As the startup probe waits.
async fn ready() {
    let admin = Client::new(ADMIN);
    let ready =
        async || admin.get("/readyz").await.is_ok_and(|answer| answer.status == StatusCode::OK).then_some(());
    wait::until("/readyz", ready).await.unwrap();
}

#[test]
#[cfg(target_arch = "x86_64")]
fn its_binary_copies_memory_by_code_of_its_own() {
    let Some(image) = needs("the image that tests/deploy/image makes", container::image()) else { return };
    let binary = std::fs::read(image.join("rootfs/ferrata")).unwrap();
    assert!(memchr::memmem::find(&binary, b"ferrata_memmove").is_some(), "it is not linked: copying is slow");
}

fn message() -> Value {
    json!({ "channel": "#support", "text": "hello" })
}

/// Paths of the files in a volume.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { BTreeSet::from([path]) }).collect()
}

#[test]
fn it_serves_an_agent_and_writes_only_to_its_volumes() {
    let Some(container) = start() else { return };
    container.inside(async || {
        ready().await;
        let slack = Sandbox::start_on(Slack::acme(Clock::real()), STAND_IN).await.unwrap();
        let posted = Mcp::new(Client::new(AGENT)).call("chat_post_message", message()).await.unwrap();
        assert!(done(posted)["ts"].is_string());
        assert_eq!(slack.system().posted().len(), 1);
        assert_eq!(Client::new(ADMIN).get("/livez").await.unwrap().status, StatusCode::OK);
    });

    let status: Value = serde_json::from_str(&container.exec(&["/ferrata", "status"]).unwrap()).unwrap();
    assert_eq!(status["connectors"]["chat"]["state"], "ready", "{status}");

    assert_eq!(
        files(&container.volume("ferrata-control")),
        [container.volume("ferrata-control/control.sock")].into()
    );
    let compiled = files(&container.volume("ferrata-cache"));
    assert!(
        compiled.len() == 1 && compiled.iter().all(|file| file.extension().unwrap() == "cwasm"),
        "{compiled:?}"
    );
    let log = container.log();
    let complaints: Vec<_> = log.lines().filter(|line| !line.contains(r#""level":"INFO""#)).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn it_runs_as_its_user_without_any_privilege() {
    let Some(container) = start() else { return };
    container.inside(ready);
    let process = Path::new("/proc").join(container.pid().unwrap().to_string());
    let status = std::fs::read_to_string(process.join("status")).unwrap();
    let says = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name}")).split_whitespace().collect::<Vec<_>>()
    };
    let user = USER.to_string();
    assert_eq!((says("Uid"), says("Gid")), (vec![user.as_str(); 4], vec![user.as_str(); 4]));
    assert_eq!(says("Groups"), Vec::<&str>::new());
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(says(set), ["0000000000000000"], "{set}");
    }
    assert_eq!((says("NoNewPrivs"), says("Seccomp")), (vec!["1"], vec!["2"]));
    let mounts = std::fs::read_to_string(process.join("mounts")).unwrap();
    let root = mounts.lines().find_map(|line| line.split_once(" / ")?.1.split(' ').nth(1)).unwrap();
    assert!(root.split(',').any(|option| option == "ro"), "{root}");
}

#[test]
fn sigterm_in_mid_call_lets_it_end_well_refuses_others_and_exits_in_order() {
    let Some(mut container) = start() else { return };
    let answered = container.inside(async || {
        ready().await;
        let slack = Upstream::start_on(STAND_IN).await.unwrap();
        slack.reply(Reply::HeldThen(
            json!({ "ok": true, "channel": "C1", "ts": "1795132800.000100", "message": { "text": "hello" } })
                .to_string(),
        ));
        let mcp = Mcp::new(Client::new(AGENT));
        let call = async {
            mcp.call("chat_post_message", json!({ "channel": "C024BE91L", "text": "hello" })).await.unwrap()
        };
        let end = async {
            slack.holds(1).await.unwrap();
            container.terminate().unwrap();
            let late = Client::new(AGENT);
            let refused = async || late.get("/v1/tools").await.is_err().then_some(());
            wait::until("new calls to be refused", refused).await.unwrap();
            let ready = Client::new(ADMIN).get("/readyz").await.unwrap();
            assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
            slack.release();
        };
        tokio::join!(call, end).0
    });
    assert_eq!(done(answered)["ts"], "1795132800.000100");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(container.ended()).unwrap().code(), Some(0), "{}", container.log());
}
