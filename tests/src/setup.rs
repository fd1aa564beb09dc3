//! A `ferrata.yaml` and the files beside it, in a folder that goes when the test ends.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Result;

const FILE: &str = "ferrata.yaml";

/// A configuration in the making. Listeners are on free ports.
#[derive(Debug)]
pub struct Setup {
    folder: TempDir,
    config: Value,
}

impl Setup {
    /// No connectors yet.
    ///
    /// # Errors
    /// When no temporary folder can be made.
    pub fn new() -> Result<Self> {
        let config = json!({
            "agent": { "listen": "127.0.0.1:0" },
            "admin": { "listen": "127.0.0.1:0", "control": "127.0.0.1:0" },
            "connectors": {},
        });
        Ok(Self { folder: TempDir::with_prefix("ferrata-")?, config })
    }

    /// Adds a connector.
    #[must_use]
    pub fn connector(mut self, name: &str, connector: Value) -> Self {
        self.config["connectors"][name] = connector;
        self
    }

    /// Sets a member of the configuration by its path (`agent`, `auth`).
    #[must_use]
    pub fn with(mut self, path: &[&str], value: Value) -> Self {
        let place = path.iter().fold(&mut self.config, |at, member| &mut at[*member]);
        *place = value;
        self
    }

    /// Writes a file into the folder, with its parents, and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content)?;
        Ok(path)
    }

    /// Writes `ferrata.yaml` (JSON is YAML) and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self) -> Result<PathBuf> {
        self.file(FILE, serde_json::to_vec_pretty(&self.config)?)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
