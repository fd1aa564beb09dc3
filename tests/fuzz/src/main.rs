//! The fuzzer: libFuzzer's own `main`, with the target that `FERRATA_FUZZ` names.
//!
//! One binary for all targets, because each would link the whole of Ferrata.

#![no_main]

use std::sync::OnceLock;

use ferrata_fuzz::{TARGETS, Target};

libfuzzer_sys::fuzz_target!(|input: &[u8]| target()(input));

fn target() -> Target {
    static TARGET: OnceLock<Target> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let wanted = std::env::var("FERRATA_FUZZ").unwrap_or_default();
        let found = TARGETS.iter().find(|(name, _)| *name == wanted);
        found.unwrap_or_else(|| panic!("FERRATA_FUZZ must name a target, not {wanted:?}")).1
    })
}
