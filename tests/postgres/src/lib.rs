//! Throw-away PostgreSQL servers: each in a temporary folder, on a free loopback port, gone when it is dropped.
//!
//! Owns starting, stopping, copying and cleaning up. A shell of its own watches each server and ends it when the
//! process that started it is gone, however that ended: a crashed test leaves nothing behind.
//! What is in the database is the caller's.

#![deny(unsafe_code)]

mod install;
mod server;

pub use install::Installation;
pub use server::{Options, Server};

/// Set when a test that cannot run is a failed test (`CI` has the same meaning).
pub const REQUIRE_ALL: &str = "FERRATA_TESTS_REQUIRE_ALL";

/// The superuser of every server started here.
pub const USER: &str = "app";
/// That user's first password.
pub const PASSWORD: &str = "a-password-for-tests";
/// The database that `initdb` makes.
pub const DATABASE: &str = "postgres";
/// The only address that servers listen on.
pub const HOST: &str = "127.0.0.1";

/// The installation to test with. `None`, after saying so, when the machine has none and nothing demands one.
///
/// # Panics
/// When there is none and `CI` or [`REQUIRE_ALL`] is set: a test that cannot run must not look like one that passed.
pub fn installation_or_skip() -> Option<Installation> {
    let found = Installation::find();
    if found.is_none() {
        let required = ["CI", REQUIRE_ALL].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!required, "no PostgreSQL on this machine, and the environment demands every test");
        eprintln!("skipped: no PostgreSQL on this machine (Debian: postgresql)");
    }
    found
}

/// A server to test with, started with `options`; see [`installation_or_skip`].
///
/// # Panics
/// When it does not start, or when there is no PostgreSQL and the environment demands every test.
pub fn server_or_skip(options: &Options) -> Option<Server> {
    let installation = installation_or_skip()?;
    Some(
        Server::start(&installation, options)
            .unwrap_or_else(|error| panic!("PostgreSQL does not start: {error}")),
    )
}
