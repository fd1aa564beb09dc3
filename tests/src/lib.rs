//! What the end-to-end tests and the demonstration share: the real `ferrata` binary, started on free ports with a
//! configuration of the caller's, and clients to talk to it.
//!
//! | file | owns |
//! |---|---|
//! | `artifacts` | building the binary and the connectors with cargo, and where they are |
//! | `setup` | a `ferrata.yaml` and the files beside it, in a folder of its own |
//! | `ferrata` | one running sidecar: start, addresses, log, signals, end |
//! | `http` | a small HTTP client |
//! | `mcp` | a small MCP client (2026-07-28) |
//! | `pipe` | `ferrata stdio`, seen from its agent |
//! | `upstream` | an HTTP upstream that answers as told and remembers what it was asked |
//! | `rude` | an HTTP upstream that breaks the rules of HTTP |
//! | `identity` | a real identity provider, with an API that takes its tokens |
//! | `redis` | a real `redis-server` |
//! | `frames` | an HTTP/2 upstream that ends streams and connections as it likes |
//! | `wait` | waiting for a condition, with a bound |
//! | `kubernetes` | what kustomize makes of an overlay, and the sidecar in it |
//! | `container` | the sidecar of such a pod, run from the image |
//! | `company` | the database of the company that the tests and the demonstration play in |
//! | `connectors` | configurations of the connectors against stand-ins |
//!
//! Stand-ins are `ferrata-sandbox` and `ferrata-test-postgres`.

#![deny(unsafe_code)]

pub mod artifacts;
pub mod company;
pub mod connectors;
pub mod container;
pub mod ferrata;
pub mod frames;
pub mod http;
pub mod identity;
pub mod kubernetes;
pub mod mcp;
pub mod pipe;
pub mod redis;
pub mod rude;
pub mod setup;
pub mod tunnel;
pub mod upstream;
pub mod wait;

/// A failure of the harness is for a person to read.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;

/// What a test needs and the machine may lack; after saying so, the test is over.
///
/// # Panics
/// When it is missing and the environment demands every test: a test that cannot run must not look like one that passed.
pub fn needs<T>(what: &str, found: Option<T>) -> Option<T> {
    if found.is_none() {
        let required =
            ["CI", ferrata_test_postgres::REQUIRE_ALL].iter().any(|name| std::env::var_os(name).is_some());
        assert!(!required, "{what}: missing, and the environment demands every test");
        eprintln!("skipped: needs {what}");
    }
    found
}
