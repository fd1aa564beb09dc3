//! What `wit-bindgen` makes of `wit/`. Nothing else in the SDK is generated, and nothing outside of `host`, `guest` and
//! the export macro refers to it, apart from the words that the crate root re-exports.

#![allow(unsafe_code, missing_docs, clippy::all, reason = "generated")]

/// World `connector`: every import, and the required exports.
pub mod base {
    wit_bindgen::generate!({
        path: "../wit",
        world: "ferrata:connector/connector",
        pub_export_macro: true,
        export_macro_name: "export_connector",
        default_bindings_module: "ferrata_sdk::bindings::base",
        runtime_path: "::ferrata_sdk::wit_bindgen::rt",
        generate_all,
    });
}

/// The export that world `authenticating-connector` adds. The worlds of a component are merged when it is linked, so that
/// one that exports both halves implements that world.
pub mod login {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package ferrata:sdk; world login { export ferrata:connector/authenticator@0.1.0; }",
        world: "ferrata:sdk/login",
        with: { "ferrata:connector/types@0.1.0": crate::bindings::base::ferrata::connector::types },
        pub_export_macro: true,
        export_macro_name: "export_login",
        default_bindings_module: "ferrata_sdk::bindings::login",
        runtime_path: "::ferrata_sdk::wit_bindgen::rt",
    });
}

/// The export that world `connector-with-resources` adds, in the same way.
pub mod resources {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package ferrata:sdk; world resources { export ferrata:connector/resources@0.1.0; }",
        world: "ferrata:sdk/resources",
        with: { "ferrata:connector/types@0.1.0": crate::bindings::base::ferrata::connector::types },
        pub_export_macro: true,
        export_macro_name: "export_resources",
        default_bindings_module: "ferrata_sdk::bindings::resources",
        runtime_path: "::ferrata_sdk::wit_bindgen::rt",
    });
}

/// The export that world `connector-with-prompts` adds, in the same way.
pub mod prompts {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package ferrata:sdk; world prompts { export ferrata:connector/prompts@0.1.0; }",
        world: "ferrata:sdk/prompts",
        with: { "ferrata:connector/types@0.1.0": crate::bindings::base::ferrata::connector::types },
        pub_export_macro: true,
        export_macro_name: "export_prompts",
        default_bindings_module: "ferrata_sdk::bindings::prompts",
        runtime_path: "::ferrata_sdk::wit_bindgen::rt",
    });
}
