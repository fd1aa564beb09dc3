//! The seam to the host: in a component the imports of `wit/`, natively whatever `testing` has put in their place.
//!
//! Everything else in the SDK is the same code in both.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(not(target_family = "wasm"))]
pub(crate) mod native;

#[cfg(target_family = "wasm")]
pub(crate) use component::*;
#[cfg(not(target_family = "wasm"))]
pub(crate) use native::*;
