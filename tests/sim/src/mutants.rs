//! Policies with one mistake each, which the judge must find. A module of the build script too, which builds them.

// Named, because they stand elsewhere as seen from the build script.
#[path = "mutants/credentials.rs"]
mod credentials;
#[path = "mutants/walls.rs"]
mod walls;

pub use credentials::CREDENTIAL_MUTANTS;
pub use walls::MUTANTS;

/// Names the mutant to build.
pub const VARIABLE: &str = "FERRATA_SIM_MUTANT";

/// One mistake.
pub struct Mutant {
    pub name: &'static str,
    /// In words, for the report.
    #[allow(dead_code, reason = "the build script reports nothing")]
    pub mistake: &'static str,
    /// The first seed that found it, which is tried before the others.
    #[allow(dead_code, reason = "the build script runs nothing")]
    pub seed: u64,
    /// Each a file below the sidecar's sources, a text that stands in it once, and what stands there instead.
    #[allow(dead_code, reason = "only the build script reads it")]
    pub edits: &'static [(&'static str, &'static str, &'static str)],
}

const fn mutant(
    name: &'static str,
    mistake: &'static str,
    seed: u64,
    edits: &'static [(&'static str, &'static str, &'static str)],
) -> Mutant {
    Mutant { name, mistake, seed, edits }
}
