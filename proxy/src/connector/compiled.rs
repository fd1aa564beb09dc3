//! Compiled components on disk, by content and engine. One of the two places with unsafe code: what is read here is run as machine code.
//!
//! The folder is Ferrata's alone: it is made for its user, and one that others can write is not used.

mod tidy;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use uuid::Uuid;
use wasmtime::component::Component;

use super::Engine;
use crate::memory::trim;

/// A folder of compiled components, or none: then everything is compiled anew.
#[derive(Clone, Default)]
pub struct CompiledCache {
    folder: Option<PathBuf>,
    flights: Arc<Mutex<HashMap<String, Weak<Flight>>>>,
}

/// What those who want the same component at the same time share: one of them makes it.
type Flight = Mutex<Option<Component>>;

impl CompiledCache {
    /// Without a folder.
    pub fn none() -> Self {
        Self::default()
    }

    /// In that folder, which is made if need be; the error says why it cannot be trusted.
    pub fn at(folder: &Path) -> Result<Self, String> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
        check_is_ours_alone(folder)?;
        tidy::sweep(folder, SystemTime::now());
        tidy::prune(folder, tidy::MAX_BYTES);
        Ok(Self { folder: Some(folder.to_owned()), ..Self::default() })
    }

    /// The compiled component: from the folder, or compiled and put there. Blocks for up to seconds.
    pub fn component(&self, engine: &Engine, bytes: &[u8]) -> Result<Component, String> {
        let key = key(&engine.inner, bytes);
        let flight = self.flight(&key);
        let mut shared = flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = &*shared {
            return Ok(component.clone());
        }
        let component = self.load_or_compile(engine, &key, bytes)?;
        Ok(shared.insert(component).clone())
    }

    /// The flight that is under way for that component, or a new one. It lasts as long as somebody holds it.
    fn flight(&self, key: &str) -> Arc<Flight> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(key).and_then(Weak::upgrade) {
            return flight;
        }
        flights.retain(|_, flight| flight.strong_count() > 0);
        let flight = Arc::default();
        flights.insert(key.to_owned(), Arc::downgrade(&flight));
        flight
    }

    fn load_or_compile(&self, engine: &Engine, key: &str, bytes: &[u8]) -> Result<Component, String> {
        let Some(folder) = &self.folder else { return compile(engine, bytes) };
        let path = folder.join(key);
        if let Some(component) = read(engine, &path) {
            tidy::used(&path);
            return Ok(component);
        }
        let component = Self::compile_into(engine, &path, bytes);
        trim::thread();
        component
    }

    /// Compiles it into a file. From there it is read again: what is mapped takes none of the heap, after a first start as after others.
    fn compile_into(engine: &Engine, path: &Path, bytes: &[u8]) -> Result<Component, String> {
        let component = compile(engine, bytes)?;
        match component.serialize().map_err(|e| e.to_string()).and_then(|c| store(path, &c)) {
            Ok(()) => {
                path.parent().into_iter().for_each(|folder| tidy::prune(folder, tidy::MAX_BYTES));
                Ok(read(engine, path).unwrap_or(component))
            }
            Err(reason) => {
                tracing::warn!(path = %path.display(), %reason, "a compiled component could not be kept");
                Ok(component)
            }
        }
    }
}

/// On the threads for it. A flight's lock is never taken on those: while one of them waits for the others, it takes on other work.
fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, String> {
    engine
        .aside(|| Component::from_binary(&engine.inner, bytes))
        .map_err(|e| format!("it does not compile: {e:#}"))
}

/// Content, and everything about the engine that the code depends on.
fn key(engine: &wasmtime::Engine, bytes: &[u8]) -> String {
    let mut compatibility = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut compatibility);
    let digest: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    format!("{digest}-{:016x}.{}", compatibility.finish(), tidy::COMPILED)
}

/// Written aside and renamed, so that nobody reads half a component. Each writer has a file of its own: in containers that share the folder,
/// every process has the same number.
fn store(path: &Path, compiled: &[u8]) -> Result<(), String> {
    let aside = path.with_extension(format!("{}.{}", Uuid::new_v4().simple(), tidy::ASIDE));
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(compiled)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)
    };
    write().map_err(|e: std::io::Error| {
        let _ = std::fs::remove_file(&aside);
        e.to_string()
    })
}

/// `None` if it is not there, or cannot be used; it is then made anew and replaced.
fn read(engine: &Engine, path: &Path) -> Option<Component> {
    match read_trusted(engine, path) {
        Ok(found) => found,
        Err(reason) => {
            tracing::warn!(path = %path.display(), %reason, "a compiled component cannot be used; compiling anew");
            None
        }
    }
}

#[allow(unsafe_code)]
fn read_trusted(engine: &Engine, path: &Path) -> Result<Option<Component>, String> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
        Ok(meta) if !meta.is_file() => return Err("it is not a file".to_owned()),
        Ok(_) => check_is_ours_alone(path)?,
    }
    // SAFETY: the file must be what `Component::serialize` wrote. It stands in a folder that only our user can write, belongs to our user, is
    // no link, and its name says content and engine; wasmtime itself refuses the output of another version or configuration.
    unsafe { Component::deserialize_file(&engine.inner, path) }.map(Some).map_err(|e| format!("{e:#}"))
}

fn check_is_ours_alone(path: &Path) -> Result<(), String> {
    let meta = std::fs::metadata(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
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
        assert!(CompiledCache::at(&folder).err().unwrap().contains("written by others"));
    }

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn files(folder: &Path) -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_is_not_ours_alone_is_compiled_anew_and_replaced() {
        let (dir, engine) = (tempfile::tempdir().unwrap(), Engine::new().unwrap());
        let folder = dir.path().join("cache");
        let cache = CompiledCache::at(&folder).unwrap();
        cache.component(&engine, COMPONENT).unwrap();
        let kept = files(&folder);
        assert_eq!(kept.len(), 1, "{kept:?}");
        std::fs::write(&kept[0], "what somebody else wrote").unwrap();
        std::fs::set_permissions(&kept[0], std::fs::Permissions::from_mode(0o666)).unwrap();
        cache.component(&engine, COMPONENT).unwrap();
        assert_eq!(files(&folder), kept);
        assert!(
            check_is_ours_alone(&kept[0]).is_ok() && std::fs::read(&kept[0]).unwrap().starts_with(b"\x7fELF")
        );
    }

    #[test]
    fn a_start_takes_away_what_a_writer_left_behind() {
        let (dir, engine) = (tempfile::tempdir().unwrap(), Engine::new().unwrap());
        CompiledCache::at(dir.path()).unwrap().component(&engine, COMPONENT).unwrap();
        let kept = files(dir.path());
        let left = std::fs::File::create(kept[0].with_extension("0.tmp")).unwrap();
        left.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        CompiledCache::at(dir.path()).unwrap();
        assert_eq!(files(dir.path()), kept);
    }

    #[test]
    fn one_component_is_compiled_once_for_all_who_wait_for_it() {
        let engine = Engine::new().unwrap();
        let cache = CompiledCache::none();
        let wanted = cache.flight(&key(&engine.inner, COMPONENT));
        let code = |cache: &CompiledCache| cache.component(&engine, COMPONENT).unwrap().image_range();
        let (one, other) = (code(&cache), code(&cache.clone()));
        assert_eq!(one, other);
        drop(wanted);
        assert!(
            cache.flight(&key(&engine.inner, COMPONENT)).lock().unwrap().is_none(),
            "nobody holds it any more"
        );
    }
}
