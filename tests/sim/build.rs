//! Copies the policies from the sidecar's sources, with one of them broken if a mutant is asked for: what is simulated is what runs.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "src/mutants.rs"]
mod mutants;
use mutants::{CREDENTIAL_MUTANTS, MUTANTS, VARIABLE};

/// What is taken, below the sidecar's sources.
const TAKEN: &[&str] = &[
    "policy",
    "egress/account/core.rs",
    "credential/lifecycle",
    "state/exchange.lua",
    "state/exchange.rs",
    "state/lease.rs",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/mutants.rs");
    println!("cargo::rerun-if-changed=src/mutants");
    let sources = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proxy/src");
    let out = PathBuf::from(env::var("OUT_DIR")?).join("sidecar");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    for taken in TAKEN {
        println!("cargo::rerun-if-changed={}", sources.join(taken).display());
        copy(&sources.join(taken), &out.join(taken))?;
    }
    if let Some(name) = env::var(VARIABLE).ok().filter(|name| !name.is_empty()) {
        break_it(&out, &name)?;
    }
    let module = |path: &str, name: &str| {
        format!("#[allow(dead_code, unused)] #[path = {:?}] pub mod {name};\n", out.join(path))
    };
    let modules = [
        module("policy/mod.rs", "policy"),
        "pub mod egress { pub mod account {\n".to_owned(),
        module("egress/account/core.rs", "core"),
        "} }\npub mod state {\n".to_owned(),
        module("state/exchange.rs", "exchange"),
        module("state/lease.rs", "lease"),
        "}\npub mod credential {\n".to_owned(),
        module("credential/lifecycle/mod.rs", "lifecycle"),
        "}\n".to_owned(),
    ];
    Ok(fs::write(out.join("modules.rs"), modules.concat())?)
}

fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    if from.is_dir() {
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    fs::create_dir_all(to.parent().ok_or("no folder")?)?;
    let source = fs::read_to_string(from).map_err(|e| format!("{}: {e}", from.display()))?;
    // Their unit tests are run where they stand.
    Ok(fs::write(to, source.replace("#[cfg(test)]", "#[cfg(any())]"))?)
}

/// A mutant that no longer fits the source is an error: it would prove nothing.
fn break_it(out: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    let mutant = MUTANTS
        .iter()
        .chain(CREDENTIAL_MUTANTS)
        .find(|m| m.name == name)
        .ok_or(format!("there is no mutant `{name}`"))?;
    for (file, was, is) in mutant.edits {
        let path = out.join(file);
        let source = fs::read_to_string(&path)?;
        let times = source.matches(was).count();
        if times != 1 {
            return Err(format!("mutant `{name}`: `{was}` stands {times} times in {file}, not once").into());
        }
        fs::write(&path, source.replace(was, is))?;
    }
    Ok(())
}
