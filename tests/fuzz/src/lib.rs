//! Fuzz targets. Each takes any bytes and panics when what Ferrata makes of them is not what a slow and simple reading of the same bytes says.
//!
//! | target | what is read | what must hold |
//! |---|---|---|
//! | `framing` | messages and lines of agents | the same as `serde_json` and `split` make of them |
//! | `configuration` | the operator's file | a mistake has a place in the file; JSON is read as JSON |
//! | `headers` | what agents and systems say in headers | only our hosts are ours; what is written is read back |
//! | `parts` | what guests write: values, bodies, paths | decodes to what was written; no path leaves its upstream |
//! | `scrubbing` | what systems answer | no secret is left in it, however it is spelled |
//!
//! `tests/fuzz/run` mutates; the test of this crate only tries what is in `corpus`.

#![deny(unsafe_code)]

pub mod configuration;
pub mod framing;
pub mod headers;
pub mod parts;
pub mod scrubbing;

/// Tries one input; panics when something does not hold.
pub type Target = fn(&[u8]);

/// By name.
pub const TARGETS: [(&str, Target); 5] = [
    ("framing", framing::run),
    ("configuration", configuration::run),
    ("headers", headers::run),
    ("parts", parts::run),
    ("scrubbing", scrubbing::run),
];
