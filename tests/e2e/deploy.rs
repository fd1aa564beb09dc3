//! What the kustomize component makes of Deployments of different shape. That it is valid is `tests/deploy/validate`'s.

use std::net::SocketAddr;
use std::path::PathBuf;

use ferrata_tests::kubernetes::{self, SIDECAR, configuration, others, pod, sidecar};
use ferrata_tests::{artifacts, needs};
use serde_json::{Value, json};

/// Overlay and Deployment.
const AGENTS: [(&str, &str); 3] =
    [("deploy/example", "support-agent"), ("tests/deploy/bare", "bare"), ("tests/deploy/busy", "busy")];

/// What a sidecar needs beside its sandboxes: the process itself, compiled code, bodies on their way.
const BASE_BYTES: u64 = 128 << 20;

fn installed() -> Option<PathBuf> {
    needs("what tests/deploy/install installs", kubernetes::tools())
}

/// Looks at the pod of each Deployment that gets a sidecar.
fn each_pod(look: impl Fn(&Value)) {
    let Some(tools) = installed() else { return };
    for (overlay, name) in AGENTS {
        println!("{overlay}");
        look(pod(&kubernetes::render(&tools, overlay).unwrap(), name).unwrap());
    }
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str()).collect()
}

/// The mounts of a container that are the sidecar's.
fn mounts(container: &Value) -> Vec<&Value> {
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    mounts.filter(|mount| mount["name"].as_str().is_some_and(|name| name.starts_with(SIDECAR))).collect()
}

#[test]
fn the_sidecar_is_native_and_starts_before_all_others() {
    each_pod(|pod| {
        assert_eq!(pod["initContainers"][0]["name"], SIDECAR);
        assert_eq!(sidecar(pod).unwrap()["restartPolicy"], "Always");
        assert!(!names(&pod["containers"]).contains(&SIDECAR), "{pod}");
    });
}

#[test]
fn what_a_deployment_has_already_is_left_as_it_was() {
    let Some(tools) = installed() else { return };
    let rendered = kubernetes::render(&tools, "tests/deploy/busy").unwrap();
    let busy = pod(&rendered, "busy").unwrap();
    assert_eq!(names(&busy["initContainers"]), [SIDECAR, "migrate", "log-shipper"]);
    assert_eq!(names(&busy["containers"]), ["agent", "browser"]);
    let volumes = names(&busy["volumes"]);
    let own: Vec<_> = volumes.iter().filter(|name| !name.starts_with(SIDECAR)).collect();
    assert_eq!(own, [&"work", &"own"]);
    assert_eq!(busy["containers"][0]["volumeMounts"].as_array().unwrap().len(), 2);
    assert_eq!(busy["securityContext"], json!({ "runAsUser": 1000, "fsGroup": 2000 }));
    assert_eq!(busy["terminationGracePeriodSeconds"], 300, "the overlay's own patch comes last");
}

#[test]
fn a_deployment_can_stay_without() {
    let Some(tools) = installed() else { return };
    let rendered = kubernetes::render(&tools, "tests/deploy/busy").unwrap();
    let without = pod(&rendered, "without").unwrap();
    assert_eq!(*without, json!({ "containers": [{ "name": "web", "image": "web:1" }] }));
}

#[test]
fn only_the_sidecar_sees_secrets_state_and_control() {
    each_pod(|pod| {
        for other in others(pod) {
            assert!(mounts(other).is_empty(), "{other}");
        }
        let sidecar = sidecar(pod).unwrap();
        let mounts = mounts(sidecar);
        let mount = |name: &str| *mounts.iter().find(|mount| mount["name"] == name).unwrap();
        for name in ["ferrata-config", "ferrata-secrets"] {
            assert_eq!(mount(name)["readOnly"], true, "{name}");
        }
        for name in ["ferrata-state", "ferrata-cache", "ferrata-control"] {
            assert_eq!(mount(name)["readOnly"], Value::Null, "{name}");
        }
        let folder_alone = |mount: &&Value| mount["subPath"].is_null() && mount["subPathExpr"].is_null();
        assert!(mounts.iter().all(folder_alone), "what is mounted by subPath never changes: {sidecar}");
        let volumes = pod["volumes"].as_array().unwrap();
        let volume = |name: &str| volumes.iter().find(|volume| volume["name"] == name).unwrap();
        for name in ["ferrata-state", "ferrata-cache", "ferrata-control"] {
            assert!(volume(name)["emptyDir"]["sizeLimit"].is_string(), "{name} may fill the node");
        }
        assert_eq!(pod["shareProcessNamespace"], false);
    });
}

#[test]
fn the_sidecar_runs_as_the_images_user_and_as_nobody_elses() {
    let containerfile = std::fs::read_to_string(artifacts::workspace().join("deploy/Containerfile")).unwrap();
    let user = containerfile.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    each_pod(|pod| {
        let own = &sidecar(pod).unwrap()["securityContext"];
        assert_eq!(format!("{}:{}", own["runAsUser"], own["runAsGroup"]), user);
        assert_ne!(own["runAsUser"], 0);
        assert_eq!(own["runAsNonRoot"], true);
        assert_ne!(pod["securityContext"]["runAsUser"], own["runAsUser"]);
        for other in others(pod) {
            assert_ne!(other["securityContext"]["runAsUser"], own["runAsUser"]);
        }
    });
}

#[test]
fn the_sidecar_can_do_no_more_than_it_must() {
    each_pod(|pod| {
        let context = &sidecar(pod).unwrap()["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["privileged"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"], json!({ "drop": ["ALL"] }));
        assert_eq!(context["seccompProfile"], json!({ "type": "RuntimeDefault" }));
        for bound in ["requests", "limits"] {
            for resource in ["cpu", "memory", "ephemeral-storage"] {
                assert!(
                    sidecar(pod).unwrap()["resources"][bound][resource].is_string(),
                    "{bound} {resource}"
                );
            }
        }
    });
}

#[test]
fn probes_ask_the_admin_port_and_agents_find_theirs_on_loopback() {
    let Some(tools) = installed() else { return };
    let config = configuration(&kubernetes::render(&tools, "deploy/example").unwrap()).unwrap();
    let address = |of: &str| config[of]["listen"].as_str().unwrap().parse::<SocketAddr>().unwrap();
    let (agent, admin) = (address("agent"), address("admin"));
    assert!(agent.ip().is_loopback() && admin.ip().is_unspecified());
    each_pod(|pod| {
        let sidecar = sidecar(pod).unwrap();
        let ports = sidecar["ports"].as_array().unwrap();
        assert_eq!(ports.len(), 1, "the agents' port is no business of the cluster");
        assert_eq!(ports[0]["containerPort"], admin.port());
        for (probe, path) in
            [("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")]
        {
            let get = &sidecar[probe]["httpGet"];
            assert_eq!((&get["path"], &get["port"]), (&json!(path), &ports[0]["name"]), "{probe}");
            assert!(get["host"].is_null(), "the kubelet asks the pod's address");
        }
    });
}

#[test]
fn the_examples_configuration_names_what_is_mounted_and_fits_the_bounds() {
    let Some(tools) = installed() else { return };
    let rendered = kubernetes::render(&tools, "deploy/example").unwrap();
    let config = configuration(&rendered).unwrap();
    let pod = pod(&rendered, "support-agent").unwrap();
    let sidecar = sidecar(pod).unwrap();
    let mounted = |path: &Value| {
        let path = path.as_str().unwrap();
        mounts(sidecar).iter().any(|mount| path.starts_with(mount["mountPath"].as_str().unwrap()))
    };
    assert!(mounted(&config["admin"]["control"]));
    assert!(mounted(&config["connectors"]["chat"]["credentials"]["bot"]["token"]));

    let drain = config["agent"]["drain"].as_str().and_then(|d| d.strip_suffix('s')?.parse::<u64>().ok());
    assert!(drain.unwrap() < pod["terminationGracePeriodSeconds"].as_u64().unwrap());

    let connectors = config["connectors"].as_object().unwrap().len() as u64;
    let sandboxes = connectors * config["sandbox"]["concurrent"].as_u64().unwrap();
    let limit = bytes(&sidecar["resources"]["limits"]["memory"]);
    assert!(sandboxes * bytes(&config["sandbox"]["memory"]) + BASE_BYTES <= limit);
}

/// `512Mi`, or `32MiB` as Ferrata writes it.
fn bytes(text: &Value) -> u64 {
    let text = text.as_str().unwrap();
    let mebibytes = text.strip_suffix("MiB").or_else(|| text.strip_suffix("Mi")).unwrap();
    mebibytes.parse::<u64>().unwrap() << 20
}
