//! What `runc` is given: the pod's words as an OCI runtime configuration, and the volumes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::{Value, json};

use super::Cluster;
use crate::{Result, kubernetes};

/// What containers get that say nothing of system calls, or `RuntimeDefault`; Debian has it with buildah.
const DEFAULT_FILTER: &str = "/usr/share/containers/seccomp.json";

/// The scheduler's period, in microseconds.
const CPU_PERIOD: u64 = 100_000;

/// What a kubelet's runtime hides of the kernel.
const MASKED: [&str; 6] =
    ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi"];
const READ_ONLY: [&str; 4] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"];

/// Writes `config.json` and the volumes into `folder`.
pub fn write(folder: &Path, image: &Path, pod: &Value, cluster: &Cluster) -> Result<()> {
    let container = kubernetes::sidecar(pod)?;
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] }),
    ];
    for mount in container["volumeMounts"].as_array().into_iter().flatten() {
        let name = text(&mount["name"])?;
        let source = folder.join("volumes").join(name);
        volume(&source, pod, name, cluster)?;
        let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
        mounts.push(json!({
            "destination": mount["mountPath"], "type": "bind", "source": source, "options": ["bind", mode, "nosuid", "nodev"],
        }));
    }
    let image_says: Value = serde_json::from_slice(&fs::read(image.join("config.json"))?)?;
    let said = &image_says["OCIv1"]["config"];
    let arguments = [&said["Entrypoint"], &said["Cmd"]];
    let arguments: Vec<_> = arguments.into_iter().filter_map(Value::as_array).flatten().collect();
    let context = &container["securityContext"];
    // `drop: [ALL]` is what the bundle can express: it names no capability.
    if context["capabilities"] != json!({ "drop": ["ALL"] }) {
        return Err(format!("capabilities that this does not know: {}", context["capabilities"]).into());
    }
    let namespaces = ["pid", "mount", "ipc", "uts", "network"].map(|kind| json!({ "type": kind }));
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": context["runAsUser"], "gid": context["runAsGroup"] },
            "args": arguments,
            "env": said["Env"],
            "cwd": "/",
            "capabilities": {},
            "noNewPrivileges": context["allowPrivilegeEscalation"] == false,
        },
        "root": { "path": image.join("rootfs"), "readonly": context["readOnlyRootFilesystem"] },
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces,
            "resources": resources(&container["resources"]["limits"])?,
            "seccomp": filter(&context["seccompProfile"])?,
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    });
    Ok(fs::write(folder.join("config.json"), config.to_string())?)
}

fn volume(at: &Path, pod: &Value, name: &str, cluster: &Cluster) -> Result<()> {
    fs::create_dir_all(at)?;
    let volumes = pod["volumes"].as_array();
    let volume = volumes.and_then(|all| all.iter().find(|volume| volume["name"] == name));
    match volume
        .and_then(Value::as_object)
        .and_then(|v| v.keys().find(|key| *key != "name"))
        .map(String::as_str)
    {
        Some("configMap") => publish(at, [("ferrata.yaml", &cluster.configuration)]),
        Some("secret") => publish(at, cluster.secrets.iter().map(|(key, value)| (*key, value))),
        // The kubelet leaves it to root, and open to everybody.
        Some("emptyDir") => Ok(fs::set_permissions(at, fs::Permissions::from_mode(0o777))?),
        other => Err(format!("the volume {name} is of a kind that this does not know: {other:?}").into()),
    }
}

/// As the kubelet lays files out that may change: behind a link that is swapped.
fn publish<'a>(at: &Path, files: impl IntoIterator<Item = (&'static str, &'a String)>) -> Result<()> {
    const GENERATION: &str = "..2026_11_23";
    fs::create_dir(at.join(GENERATION))?;
    symlink(GENERATION, at.join("..data"))?;
    for (name, content) in files {
        let file = at.join(GENERATION).join(name);
        fs::write(&file, content)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444))?;
        symlink(Path::new("..data").join(name), at.join(name))?;
    }
    Ok(())
}

fn resources(limits: &Value) -> Result<Value> {
    let cpus: u64 = text(&limits["cpu"])?.parse()?;
    let mebibytes: u64 = text(&limits["memory"])?.strip_suffix("Mi").ok_or("memory is not in Mi")?.parse()?;
    Ok(json!({
        "cpu": { "quota": cpus * CPU_PERIOD, "period": CPU_PERIOD },
        "memory": { "limit": mebibytes << 20 },
    }))
}

/// The rules for a process without capabilities on this machine.
fn filter(profile: &Value) -> Result<Value> {
    if *profile != json!({ "type": "RuntimeDefault" }) {
        return Err(format!("a filter that this does not know: {profile}").into());
    }
    let mut filter: Value = serde_json::from_slice(&fs::read(DEFAULT_FILTER)?)?;
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let applies = |rule: &Value| {
        let without = |condition: &str| rule["includes"][condition].as_array().is_none_or(Vec::is_empty);
        let machines = rule["includes"]["arches"].as_array();
        without("caps") && (without("arches") || machines.is_some_and(|all| all.iter().any(|m| m == machine)))
    };
    let rules = filter["syscalls"].as_array().ok_or("the default filter has no rules")?;
    let rules: Vec<_> = rules.iter().filter(|rule| applies(rule)).map(rule).collect();
    filter["syscalls"] = rules.into();
    filter.as_object_mut().map(|filter| filter.remove("archMap"));
    Ok(filter)
}

/// Without the conditions, which `runc` does not know.
fn rule(rule: &Value) -> Value {
    let mut kept = rule.clone();
    if let Some(members) = kept.as_object_mut() {
        members.retain(|name, value| {
            ["names", "action", "args", "errnoRet"].contains(&name.as_str()) && !value.is_null()
        });
    }
    kept
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or_else(|| "a member of the pod is missing or no text".into())
}
