//! From a component's bytes to something that can be instantiated: version, compilation, imports, exports.

use std::path::Path;

use wasmparser::{ComponentExternalKind, Parser, Payload};
use wasmtime::component::{Component, InstancePre};

use super::bindings::{authenticator, manifest, prompts, resources, tools};
use super::compiled::CompiledCache;
use super::engine::Engine;
use super::host::Guest;

/// Largest component, in bytes: a Python one has about 20 MB.
const MAX_COMPONENT_BYTES: u64 = 128 << 20;

/// The interface that this host speaks: below 1.0, every 0.1.x is one track.
const PACKAGE: &str = "ferrata:connector";
const TRACK: (u64, u64) = (0, 1);

/// The version in which the optional interfaces are looked for.
const INTERFACE_VERSION: &str = "0.1.0";

/// A compiled component whose imports are satisfied and whose exports are found.
#[derive(Clone)]
pub struct Loaded {
    pub pre: InstancePre<Guest>,
    pub engine: Engine,
    pub manifest: manifest::GuestIndices,
    pub tools: tools::GuestIndices,
    pub authenticator: Option<authenticator::GuestIndices>,
    pub resources: Option<resources::GuestIndices>,
    pub prompts: Option<prompts::GuestIndices>,
}

/// Reads a component's file; the error is a sentence for the operator.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let at = |e: std::io::Error| format!("{} cannot be read: {e}", path.display());
    let size = std::fs::metadata(path).map_err(at)?.len();
    if size > MAX_COMPONENT_BYTES {
        return Err(format!(
            "{} has {size} bytes; a component has at most {MAX_COMPONENT_BYTES}",
            path.display()
        ));
    }
    std::fs::read(path).map_err(at)
}

/// Compiles (or takes from the cache) and links; the error is a sentence for the operator.
pub fn load(engine: &Engine, cache: &CompiledCache, bytes: &[u8]) -> Result<Loaded, String> {
    check_version(bytes)?;
    let component = cache.component(engine, bytes)?;
    let pre = engine
        .linker
        .instantiate_pre(&component)
        .map_err(|e| format!("it asks for something that this host does not have: {e:#}"))?;
    let missing = |e: wasmtime::Error| format!("it does not export what every connector must: {e:#}");
    Ok(Loaded {
        manifest: manifest::GuestIndices::new(&pre).map_err(missing)?,
        tools: tools::GuestIndices::new(&pre).map_err(missing)?,
        authenticator: exports(&component, "authenticator")
            .then(|| authenticator::GuestIndices::new(&pre))
            .transpose()
            .map_err(missing)?,
        prompts: exports(&component, "prompts")
            .then(|| prompts::GuestIndices::new(&pre))
            .transpose()
            .map_err(missing)?,
        resources: exports(&component, "resources")
            .then(|| resources::GuestIndices::new(&pre))
            .transpose()
            .map_err(missing)?,
        engine: engine.clone(),
        pre,
    })
}

/// Whether a component has one of the optional interfaces.
fn exports(component: &Component, interface: &str) -> bool {
    component.get_export_index(None, format!("{PACKAGE}/{interface}@{INTERFACE_VERSION}")).is_some()
}

/// Says in plain words which interface a component wants, before it is compiled.
fn check_version(bytes: &[u8]) -> Result<(), String> {
    if !Parser::is_component(bytes) {
        return Err(if Parser::is_core_wasm(bytes) {
            "it is a core WebAssembly module, not a component: build it for wasm32-wasip2".to_owned()
        } else {
            "it is not a WebAssembly component".to_owned()
        });
    }
    let wanted = wanted_interfaces(bytes).map_err(|e| format!("it is not a valid component: {e}"))?;
    if wanted.is_empty() {
        return Err(format!("it is a component, and no connector: it uses no interface of `{PACKAGE}`"));
    }
    for name in &wanted {
        let version = name.split_once('@').map_or("", |(_, v)| v);
        if !on_track(version) {
            let (major, minor) = TRACK;
            return Err(format!("it was built for `{name}`; this host speaks {PACKAGE}@{major}.{minor}.x"));
        }
    }
    Ok(())
}

fn on_track(version: &str) -> bool {
    let mut numbers = version.splitn(3, '.').map(str::parse::<u64>);
    // A pre-release is on no track: its third number does not parse.
    matches!((numbers.next(), numbers.next(), numbers.next()),
        (Some(Ok(major)), Some(Ok(minor)), Some(Ok(_))) if (major, minor) == TRACK)
}

/// Names of the package's interfaces among the imports and instance exports of the outermost component.
fn wanted_interfaces(bytes: &[u8]) -> Result<Vec<String>, wasmparser::BinaryReaderError> {
    let (mut wanted, mut depth) = (Vec::new(), 0usize);
    let mut note = |name: &str| {
        if name.split_once('/').is_some_and(|(package, _)| package == PACKAGE) {
            wanted.push(name.to_owned());
        }
    };
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    note(import?.name.name);
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Instance {
                        note(export.name.name);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_track_is_spoken() {
        for good in ["0.1.0", "0.1.7"] {
            assert!(on_track(good), "{good}");
        }
        for bad in ["0.2.0", "1.0.0", "0.1", "", "0.1.0-rc.1"] {
            assert!(!on_track(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_no_connector_is_said_plainly() {
        assert!(check_version(b"hello").unwrap_err().contains("not a WebAssembly component"));
        assert!(check_version(b"\0asm\x01\0\0\0").unwrap_err().contains("wasm32-wasip2"));
        assert!(check_version(b"\0asm\x0d\0\x01\0").unwrap_err().contains("no connector"));
    }
}
