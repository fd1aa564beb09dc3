//! What `kubectl kustomize` makes of an overlay, and the sidecar in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{Result, artifacts};

/// Names the folder of `kubectl`, which `tests/deploy/install` prints.
pub const TOOLS: &str = "FERRATA_TEST_KUBERNETES";

/// The sidecar's name among the containers, and the start of its volumes' names.
pub const SIDECAR: &str = "ferrata";

/// Where `kubectl` is, if it has been installed.
pub fn tools() -> Option<PathBuf> {
    std::env::var_os(TOOLS).map(PathBuf::from)
}

/// The resources of an overlay, a path from the root of the repository.
///
/// # Errors
/// When it cannot be rendered; the text is kubectl's.
pub fn render(tools: &Path, overlay: &str) -> Result<Vec<Value>> {
    let mut kubectl = Command::new(tools.join("kubectl"));
    let rendered = kubectl.current_dir(artifacts::workspace()).args(["kustomize", overlay]).output()?;
    if !rendered.status.success() {
        return Err(format!("{overlay}: {}", String::from_utf8_lossy(&rendered.stderr)).into());
    }
    Ok(serde_saphyr::from_multiple(&String::from_utf8(rendered.stdout)?)?)
}

/// The resource of that kind and name.
///
/// # Errors
/// When there is none.
pub fn resource<'a>(resources: &'a [Value], kind: &str, name: &str) -> Result<&'a Value> {
    let found = resources.iter().find(|r| r["kind"] == kind && r["metadata"]["name"] == name);
    found.ok_or_else(|| format!("no {kind} {name} was rendered").into())
}

/// The pod of a Deployment.
///
/// # Errors
/// When there is none.
pub fn pod<'a>(resources: &'a [Value], name: &str) -> Result<&'a Value> {
    Ok(&resource(resources, "Deployment", name)?["spec"]["template"]["spec"])
}

/// The containers of a pod that are not the sidecar, those that run before it starts included.
pub fn others(pod: &Value) -> impl Iterator<Item = &Value> {
    let containers = [&pod["initContainers"], &pod["containers"]];
    containers.into_iter().filter_map(Value::as_array).flatten().filter(|c| c["name"] != SIDECAR)
}

/// The sidecar of a pod.
///
/// # Errors
/// When it has none.
pub fn sidecar(pod: &Value) -> Result<&Value> {
    let containers = pod["initContainers"].as_array();
    let found = containers.and_then(|all| all.iter().find(|c| c["name"] == SIDECAR));
    found.ok_or_else(|| "the pod has no sidecar".into())
}

/// `ferrata.yaml` of the overlay's ConfigMap.
///
/// # Errors
/// When there is none, or it is no YAML.
pub fn configuration(resources: &[Value]) -> Result<Value> {
    let text = resource(resources, "ConfigMap", SIDECAR)?["data"]["ferrata.yaml"].as_str();
    Ok(serde_saphyr::from_str(text.ok_or("the ConfigMap has no ferrata.yaml")?)?)
}
