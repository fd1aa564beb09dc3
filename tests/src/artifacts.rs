//! Builds what is tested, as a user would, and says where it is.
//!
//! The build runs once per process; cargo decides what there is to do. `tests/run` has built everything before and says where:
//! [`BINARY`] and [`COMPONENTS`] then stand in for the build.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::{Error, Result};

/// What connectors are compiled to.
pub const GUEST_TARGET: &str = "wasm32-wasip2";

/// Names the `ferrata` binary to use.
pub const BINARY: &str = "FERRATA_TEST_BINARY";
/// Names the folder of the components to use.
pub const COMPONENTS: &str = "FERRATA_TEST_COMPONENTS";

/// The tests' own Node.js, in the folder that `tests/clients/install` prints: what runs JavaScript here must not depend on the machine's.
pub const NODE: &str = "node/node_modules/.bin/node";

/// Packages of the connectors that come with Ferrata.
const CONNECTORS: [&str; 2] = ["ferrata-postgres", "ferrata-slack"];

/// Connectors for tests.
const GUESTS: [&str; 6] = [
    "ferrata-conformance",
    "ferrata-instance",
    "ferrata-login",
    "ferrata-measured",
    "ferrata-probe",
    "ferrata-thief",
];

/// The `ferrata` binary, built when needed: for release if this program was, so that what is measured is what is shipped.
///
/// # Errors
/// When it does not compile; cargo has then said why on standard error.
pub fn ferrata() -> Result<&'static Path> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    once(&BUILT, || {
        if let Some(binary) = std::env::var_os(BINARY) {
            return Ok(binary.into());
        }
        program("ferrata", "ferrata")
    })
}

/// The program that measures the policies by themselves, built as [`ferrata`] is.
///
/// # Errors
/// As [`ferrata`].
pub fn cost() -> Result<&'static Path> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    once(&BUILT, || program("ferrata-cost", "cost"))
}

/// For release the package by itself, with the features that are shipped; else as everything else was built, so that no crate is compiled twice.
fn program(package: &str, name: &str) -> Result<PathBuf> {
    let mut arguments = vec!["build", "--bin", name];
    if !cfg!(debug_assertions) {
        arguments.extend(["--release", "--package", package]);
    }
    let built = cargo(&arguments)?;
    let executable = built.iter().find_map(|artifact| artifact["executable"].as_str());
    executable.map(PathBuf::from).ok_or_else(|| format!("cargo named no program `{name}`").into())
}

/// Compiles the connectors that come with Ferrata, when needed.
///
/// # Errors
/// When the target is missing and cannot be added, or when a connector does not compile.
pub fn connectors() -> Result<&'static Path> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    once(&BUILT, || components(&CONNECTORS))
}

/// The component of a connector that comes with Ferrata, by the name of its package.
///
/// # Errors
/// As [`connectors`].
pub fn connector(package: &str) -> Result<PathBuf> {
    Ok(connectors()?.join(file_name(package)))
}

/// The component of one of the connectors for tests (`tests/guests`), by the name of its package.
///
/// # Errors
/// As [`connectors`].
pub fn guest(package: &str) -> Result<PathBuf> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    Ok(once(&BUILT, || components(&GUESTS))?.join(file_name(package)))
}

/// The connector that misbehaves on request.
///
/// # Errors
/// As [`connectors`].
pub fn probe() -> Result<PathBuf> {
    guest("ferrata-probe")
}

/// A connector in another language, if `tests/guests/build` has built it.
pub fn foreign_guest(language: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("FERRATA_TEST_GUESTS")?;
    Some(Path::new(&folder).join(format!("{language}.wasm")))
}

fn file_name(package: &str) -> String {
    format!("{}.wasm", package.replace('-', "_"))
}

/// The folder with the components of these packages.
fn components(packages: &[&str]) -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(COMPONENTS) {
        return Ok(folder.into());
    }
    add_guest_target()?;
    let mut arguments = vec!["build", "--profile", "component", "--target", GUEST_TARGET];
    arguments.extend(packages.iter().flat_map(|name| ["--package", name]));
    let built = cargo(&arguments)?;
    let files = built.iter().filter_map(|artifact| artifact["filenames"][0].as_str());
    let component = files.map(Path::new).find(|file| file.extension().is_some_and(|e| e == "wasm"));
    Ok(component.and_then(Path::parent).ok_or("cargo named no component")?.to_owned())
}

/// Whether connectors can be compiled without adding anything to the toolchain.
pub fn has_guest_target() -> bool {
    let printed = Command::new("rustc").args(["--print", "target-libdir", "--target", GUEST_TARGET]).output();
    printed.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists())
}

fn add_guest_target() -> Result<()> {
    if has_guest_target() {
        return Ok(());
    }
    eprintln!("adding the target {GUEST_TARGET} to the toolchain");
    let added = Command::new("rustup").args(["target", "add", GUEST_TARGET]).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!(
            "connectors need the target {GUEST_TARGET}: `rustup target add {GUEST_TARGET}` failed"
        )
        .into()),
    }
}

/// Runs a cargo build in the workspace and returns its artifacts (cargo's JSON messages). What cargo says to people goes to
/// standard error.
fn cargo(arguments: &[&str]) -> Result<Vec<Value>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).args(arguments).arg("--message-format=json-render-diagnostics");
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("cargo {} failed", arguments.join(" ")).into());
    }
    let messages = output.stdout.split(|byte| *byte == b'\n');
    Ok(messages
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .collect())
}

/// The root of the repository.
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

fn once(
    cell: &'static OnceLock<std::result::Result<PathBuf, String>>,
    build: impl FnOnce() -> Result<PathBuf>,
) -> Result<&'static Path> {
    let built = cell.get_or_init(|| build().map_err(|error| error.to_string()));
    built.as_deref().map_err(|error| Error::from(error.clone()))
}
