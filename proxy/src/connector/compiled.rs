//! Compiled components on disk, by content and engine. The one place with unsafe code: what is read here is run as machine code.
//!
//! The folder is Ferrata's alone: it is made for its user, and one that others can write is not used.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// A folder of compiled components, or none: then everything is compiled anew.
#[derive(Clone, Debug)]
pub struct CompiledCache(Option<PathBuf>);

impl CompiledCache {
    /// Without a folder.
    pub fn none() -> Self {
        Self(None)
    }

    /// In that folder, which is made if need be; the error says why it cannot be trusted.
    pub fn at(folder: &Path) -> Result<Self, String> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
        check_is_ours_alone(folder)?;
        Ok(Self(Some(folder.to_owned())))
    }

    /// The compiled component: from the folder, or compiled and put there.
    pub fn component(&self, engine: &Engine, bytes: &[u8]) -> Result<Component, String> {
        let Some(folder) = &self.0 else { return compile(engine, bytes) };
        let path = folder.join(key(engine, bytes));
        if let Some(component) = read_trusted(engine, &path)? {
            return Ok(component);
        }
        let component = compile(engine, bytes)?;
        if let Err(reason) = component.serialize().map_err(|e| e.to_string()).and_then(|c| store(&path, &c)) {
            tracing::warn!(path = %path.display(), %reason, "a compiled component could not be kept");
        }
        Ok(component)
    }
}

fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, String> {
    Component::from_binary(engine, bytes).map_err(|e| format!("it does not compile: {e:#}"))
}

/// Content, and everything about the engine that the code depends on.
fn key(engine: &Engine, bytes: &[u8]) -> String {
    let mut compatibility = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut compatibility);
    let digest: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("{digest}-{:016x}.cwasm", compatibility.finish())
}

/// Written aside and renamed, so that nobody reads half a component.
fn store(path: &Path, compiled: &[u8]) -> Result<(), String> {
    let aside = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(compiled)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    };
    write().map_err(|e: std::io::Error| {
        let _ = std::fs::remove_file(&aside);
        e.to_string()
    })
}

/// `None` if it is not there or is for another engine.
#[allow(unsafe_code)]
fn read_trusted(engine: &Engine, path: &Path) -> Result<Option<Component>, String> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(format!("{} cannot be read: {e}", path.display())),
        Ok(meta) if !meta.is_file() => return Err(format!("{} is not a file", path.display())),
        Ok(_) => check_is_ours_alone(path)?,
    }
    // SAFETY: the file must be what `Component::serialize` wrote. It stands in a folder that only our user can write, belongs to our user, is
    // no link, and its name says content and engine; wasmtime itself refuses the output of another version or configuration.
    match unsafe { Component::deserialize_file(engine, path) } {
        Ok(component) => Ok(Some(component)),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a compiled component cannot be used; compiling anew");
            Ok(None)
        }
    }
}

fn check_is_ours_alone(path: &Path) -> Result<(), String> {
    let meta = std::fs::metadata(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    // The owner of a file of this process is this process's user.
    let own = std::fs::metadata("/proc/self").map_err(|e| format!("/proc/self cannot be read: {e}"))?.uid();
    if meta.uid() != own {
        return Err(format!("{} belongs to another user", path.display()));
    }
    if meta.permissions().mode() & 0o022 != 0 {
        return Err(format!("{} can be written by others: chmod go-w", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cache");
        assert!(CompiledCache::at(&folder).is_ok());
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(CompiledCache::at(&folder).unwrap_err().contains("written by others"));
    }
}
