//! Several messages in one array: all are served at the same time and answered in one array.
//!
//! Revision 2025-03-26 had them, the next one took them away, and only there are they served.

use std::sync::Arc;

use futures_util::future::join_all;
use http::HeaderMap;
use serde_json::value::RawValue;

use super::params::Params;
use super::refused::{self, Claim};
use super::{Answer, Request, legacy};
use crate::call::Caller;
use crate::gate::{Gate, MALFORMED};
use crate::protocol::jsonrpc::{self, Error, Message};

/// Messages in one batch. Clients that batch at all send a handful.
const MAX_BATCH: usize = 32;

pub fn not_in_this_revision() -> Error {
    Error::invalid_request("Batches belong to revision 2025-03-26 only")
}

/// Whether the text of a message is a batch.
pub fn is_batch(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"[")
}

/// The array of answers; none when no message wanted one.
pub async fn answer(
    gate: &Arc<Gate>,
    caller: &Caller,
    headers: Option<&HeaderMap>,
    text: &[u8],
) -> Result<Option<Vec<u8>>, Error> {
    let messages = open(text).inspect_err(|_| refused::count())?;
    let answers = messages.iter().map(|message| answer_one(gate, caller, headers, message.get().as_bytes()));
    let answers: Vec<_> = join_all(answers).await.into_iter().flatten().collect();
    Ok((!answers.is_empty()).then(|| [b"[", answers.join(&b","[..]).as_slice(), b"]"].concat()))
}

fn open(text: &[u8]) -> Result<Vec<&RawValue>, Error> {
    let messages: Vec<&RawValue> = serde_json::from_slice(text)
        .map_err(|error| Error::new(jsonrpc::PARSE_ERROR, format!("The batch is not JSON: {error}")))?;
    match messages.len() {
        1..=MAX_BATCH => Ok(messages),
        _ => Err(Error::invalid_request(format!("A batch holds 1 to {MAX_BATCH} messages"))),
    }
}

async fn answer_one(
    gate: &Arc<Gate>,
    caller: &Caller,
    headers: Option<&HeaderMap>,
    text: &[u8],
) -> Option<Vec<u8>> {
    let (id, method, params) = match jsonrpc::parse(text) {
        Ok(Message::Request { id, method, params }) => (id, method, params),
        Ok(Message::Notification { method, params }) => {
            refused::note(gate, caller, Claim { method: &method, params, headers }, MALFORMED);
            return None;
        }
        Ok(Message::Response) => return None,
        Err(malformed) => {
            refused::malformed(gate, caller, &malformed, headers);
            return Some(jsonrpc::error(malformed.id, &malformed.error));
        }
    };
    let request = Request { id, method: &method, params, headers, session: None };
    let params = match Params::read(params) {
        Ok(params) => params,
        Err(error) => {
            refused::note(gate, caller, request.into(), MALFORMED);
            return Some(jsonrpc::error(Some(id), &error));
        }
    };
    match legacy::answer(gate, caller, request, &params).await {
        Answer::Message { body, .. } => Some(body),
        // Its place in the batch is the only one that it has.
        Answer::Reporting(reporting) => reporting.last().await,
        Answer::Initialized { .. } | Answer::Listen(_) => {
            let error = Error::invalid_request(format!("{method} cannot be part of a batch"));
            Some(jsonrpc::error(Some(id), &error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_an_array_of_some_but_not_many() {
        assert!(is_batch(b" \n[") && !is_batch(b"{}"));
        assert_eq!(open(b"[{}, 1]").unwrap().len(), 2);
        let many = format!("[{}1]", "1,".repeat(MAX_BATCH));
        for (text, code) in [
            ("[]", jsonrpc::INVALID_REQUEST),
            (many.as_str(), jsonrpc::INVALID_REQUEST),
            ("[1", jsonrpc::PARSE_ERROR),
        ] {
            assert_eq!(open(text.as_bytes()).unwrap_err().code, code);
        }
    }
}
