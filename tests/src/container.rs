//! The sidecar of a rendered pod, run as a kubelet has it run: from the image's root, read only, by its user and without
//! privileges, with its volumes and bounds and the default filter of system calls, in a network of its own.
//!
//! Needs root, `runc`, and the image that `tests/deploy/image` makes.

mod bundle;

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Result, wait};

/// Names the folder of the image.
pub const IMAGE: &str = "FERRATA_TEST_IMAGE";

/// Where the image is, if it has been built.
pub fn image() -> Option<PathBuf> {
    std::env::var_os(IMAGE).map(PathBuf::from)
}

/// What the cluster has for the pod.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// `ferrata.yaml` of the ConfigMap.
    pub configuration: String,
    /// Keys of the Secret and what is in them.
    pub secrets: Vec<(&'static str, String)>,
}

/// A running container. Dropping it removes it.
#[derive(Debug)]
pub struct Container {
    runc: Child,
    id: String,
    folder: TempDir,
}

impl Container {
    /// Starts the sidecar of that pod.
    ///
    /// # Errors
    /// When the pod asks for what this does not know, or `runc` cannot be started.
    pub fn start(image: &Path, pod: &Value, cluster: &Cluster) -> Result<Self> {
        let folder = TempDir::with_prefix("ferrata-pod-")?;
        bundle::write(folder.path(), image, pod, cluster)?;
        let id =
            folder.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let log = File::create(folder.path().join("log"))?;
        let mut runc = Command::new("runc");
        runc.current_dir(folder.path()).args(["run", "--pid-file", "pid", &id]);
        runc.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Self { runc: runc.spawn()?, id, folder })
    }

    /// Runs `work` in the container's network, where its loopback is, and returns its result.
    ///
    /// # Panics
    /// When the container does not start, or `work` panics.
    pub fn inside<T: Send>(&self, work: impl AsyncFnOnce() -> T + Send) -> T {
        let enter = || -> Result<tokio::runtime::Runtime> {
            // The thread's own network; those that the runtime starts inherit it.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let pid = runtime.block_on(wait::until("the container's process", async || self.pid()))?;
            let network = File::open(format!("/proc/{pid}/ns/net"))?;
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(runtime)
        };
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let runtime = enter().unwrap_or_else(|error| panic!("{error}: {}", self.log()));
                runtime.block_on(work())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The number of its first process, as seen from outside.
    pub fn pid(&self) -> Option<u32> {
        std::fs::read_to_string(self.folder.path().join("pid")).ok()?.parse().ok()
    }

    /// What it has written to standard output and error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What is in a volume of the pod.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.folder.path().join("volumes").join(name)
    }

    /// Runs a command in it, as `kubectl exec` does.
    ///
    /// # Errors
    /// When it cannot be run or does not succeed; the text is what it said.
    pub fn exec(&self, command: &[&str]) -> Result<String> {
        let done = Command::new("runc").args(["exec", &self.id]).args(command).output()?;
        if !done.status.success() {
            return Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr)).into());
        }
        Ok(String::from_utf8(done.stdout)?)
    }

    /// Sends SIGTERM to its first process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn terminate(&self) -> Result<()> {
        let sent = Command::new("runc").args(["kill", &self.id, "TERM"]).output()?;
        if sent.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&sent.stderr).into()) }
    }

    /// Waits for its end; the status is its first process's.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        wait::until("the container to end", async || self.runc.try_wait().ok().flatten()).await
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("runc").args(["delete", "--force", &self.id]).output();
        let _ = self.runc.wait();
    }
}
