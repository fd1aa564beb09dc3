//! The exports: what [`export!`](crate::export) calls. No part of the interface for authors.

#![allow(clippy::result_large_err, reason = "the faults of the interface are records")]

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::bindings::base::exports::ferrata::connector::tools;
use crate::bindings::base::ferrata::connector::types;
use crate::bindings::login::exports::ferrata::connector::authenticator;
use crate::connector::{Connector, NoLogin, WithLogin};
use crate::log;

pub fn describe<S: JsonSchema, L>(connector: &Connector<S, L>) -> String {
    connector.manifest()
}

pub fn list_tools<S, L>(connector: &Connector<S, L>) -> Result<Vec<tools::Tool>, types::Fault> {
    report_panics();
    Ok(connector.tools())
}

pub fn call<S: DeserializeOwned, L>(
    connector: &Connector<S, L>,
    tool: &str,
    invocations: Vec<tools::Invocation>,
) -> Vec<Result<tools::Answer, types::Fault>> {
    report_panics();
    connector.call(tool, invocations).into_iter().map(|outcome| Ok(outcome?)).collect()
}

pub fn authenticate<S: DeserializeOwned>(
    connector: &Connector<S, WithLogin>,
    credential: String,
    grant: &str,
) -> Result<authenticator::Session, types::Fault> {
    report_panics();
    Ok(connector.authenticate(credential, grant)?.into())
}

/// That `export!` is used with the arguments that fit the connector.
pub fn without_login<S>(connector: Connector<S, NoLogin>) -> Connector<S, NoLogin> {
    connector
}

/// That `export!` is used with the arguments that fit the connector.
pub fn with_login<S>(connector: Connector<S, WithLogin>) -> Connector<S, WithLogin> {
    connector
}

/// A panic ends the sandbox; its text goes to the operator, since a component has no standard error.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| log::error(panic.to_string())));
}
