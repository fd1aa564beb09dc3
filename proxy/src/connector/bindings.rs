//! The plugin interface as Rust: generated from `wit/`.
//!
//! The larger world is generated; whether a component exports the optional interfaces is asked when it is loaded.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "full-connector",
    imports: { default: async | trappable },
    exports: { default: async },
    with: {
        "ferrata:connector/http.exchange": crate::egress::exchange::Exchange,
    },
});

pub use self::ferrata::connector::{agent, cache, context, http, log, secrets, sql, types};
pub use exports::ferrata::connector::{authenticator, manifest, prompts, resources, tools};
