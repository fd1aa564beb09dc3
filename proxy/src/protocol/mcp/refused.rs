//! Messages that are turned away before they mean anything: counted, and written down if they name themselves calls.
//!
//! Owns what is remembered of them. What they are answered with is for whoever turns them away.

use std::borrow::Cow;

use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::params::is_object;
use super::{Params, Request};
use crate::call::{Ask, Caller};
use crate::gate::{Gate, MALFORMED};
use crate::protocol::hints::Hints;
use crate::protocol::jsonrpc::{self, Malformed};
use crate::protocol::refusal;

/// The method of a call.
const CALL: &str = "tools/call";

/// What a message says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub method: &'a str,
    pub params: Option<&'a RawValue>,
    /// Over HTTP.
    pub headers: Option<&'a HeaderMap>,
}

impl<'a> From<Request<'a>> for Claim<'a> {
    fn from(request: Request<'a>) -> Self {
        Self { method: request.method, params: request.params, headers: request.headers }
    }
}

/// Writes the message down if it names itself a call.
pub fn note(gate: &Gate, caller: &Caller, claim: Claim<'_>, outcome: &'static str) {
    if claim.method != CALL {
        return;
    }
    let params = Params::read(claim.params).unwrap_or_default();
    let trace = Hints::trace(params.hints(), claim.headers);
    let ask = Ask { caller: caller.clone(), timeout: None, trace };
    gate.note_turned_away(name(claim.params).as_deref(), &ask, outcome);
}

/// Counts text that is no message, and writes it down if it names itself a call.
pub fn malformed(gate: &Gate, caller: &Caller, malformed: &Malformed<'_>, headers: Option<&HeaderMap>) {
    count();
    if let Some((method, params)) = &malformed.claim {
        note(gate, caller, Claim { method, params: *params, headers }, MALFORMED);
    }
}

/// Counts what cannot be read at all.
pub fn count() {
    refusal::count(MALFORMED);
}

/// The tool that is named, however wrong the rest is.
fn name(params: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: &'a RawValue,
    }
    let params = params.filter(|params| is_object(params))?;
    jsonrpc::text(serde_json::from_str::<Named<'_>>(params.get()).ok()?.name)
}
