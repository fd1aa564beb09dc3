//! A call that runs by itself: its client wants to hear how far it is, or can give it up by another request.
//!
//! The call runs by itself, so that a client which reads slowly holds up neither it nor its deadline. Dropping this gives the call up.

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::StatusCode;
use serde_json::value::RawValue;
use tokio::task::JoinSet;
use tracing::error;

use super::cancel::Noted;
use super::{Request, events, notifications};
use crate::call::{Caller, Reports};
use crate::protocol::jsonrpc::{self, Error, Id};

/// A call under way.
#[derive(Debug)]
pub struct Reporting {
    id: Box<Id>,
    progress: Option<Expected>,
    call: JoinSet<(StatusCode, Vec<u8>)>,
    _noted: Option<Noted>,
}

/// Reports to come, and the token that their client chose for them.
#[derive(Debug)]
pub struct Expected {
    pub token: Box<RawValue>,
    pub reports: Reports,
}

/// What comes of it, one after the other.
#[derive(Debug)]
pub enum Said {
    /// A notification.
    Progress(Vec<u8>),
    /// The response, and the status under which HTTP sends it if it is all that there is. Nothing follows.
    Answer { status: StatusCode, body: Vec<u8> },
    /// It was given up, and nobody expects an answer. Nothing follows.
    Nothing,
}

impl Reporting {
    /// Starts `call`, which ends with the response to the request.
    pub fn start(
        caller: &Caller,
        request: &Request<'_>,
        progress: Option<Expected>,
        call: impl Future<Output = (StatusCode, Vec<u8>)> + Send + 'static,
    ) -> Self {
        let mut set = JoinSet::new();
        let handle = set.spawn(call);
        let noted = request.session.and_then(|session| session.note(caller, request.id, handle));
        Self { id: request.id.to_owned(), progress, call: set, _noted: noted }
    }

    /// What was reported comes before the answer. Safe to cancel.
    pub async fn next(&mut self) -> Said {
        let progress = &mut self.progress;
        let report = async {
            let Expected { token, reports } = progress.as_mut()?;
            let report = reports.recv().await?;
            Some(notifications::progress(token, &report))
        };
        tokio::select! {
            biased;
            Some(message) = report => Said::Progress(message),
            ended = self.call.join_next() => match ended {
                Some(Ok((status, body))) => Said::Answer { status, body },
                Some(Err(given_up)) if given_up.is_cancelled() => Said::Nothing,
                failed => self.failed(&failed),
            },
        }
    }

    fn failed(&self, how: &impl std::fmt::Debug) -> Said {
        error!(?how, "a call's task failed");
        let error = Error::new(jsonrpc::INTERNAL_ERROR, "Ferrata failed");
        Said::Answer { status: StatusCode::OK, body: jsonrpc::error(Some(&self.id), &error) }
    }

    /// The answer alone, if there is one.
    pub async fn last(mut self) -> Option<Vec<u8>> {
        loop {
            match self.next().await {
                Said::Progress(_) => {}
                Said::Answer { body, .. } => return Some(body),
                Said::Nothing => return None,
            }
        }
    }

    /// The messages as server-sent events, from one that has come already on.
    pub fn into_events(self, first: Vec<u8>) -> impl Stream<Item = Bytes> + Send {
        let rest = stream::unfold(Some(self), async |reporting| {
            let mut reporting = reporting?;
            match tokio::time::timeout(events::PING_INTERVAL, reporting.next()).await {
                Err(_) => Some((events::PING, Some(reporting))),
                Ok(Said::Progress(message)) => Some((events::event(message), Some(reporting))),
                Ok(Said::Answer { body, .. }) => Some((events::event(body), None)),
                Ok(Said::Nothing) => None,
            }
        });
        futures_util::StreamExt::chain(stream::iter([events::event(first)]), rest)
    }
}
