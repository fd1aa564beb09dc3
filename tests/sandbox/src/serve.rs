//! Connections and requests: bodies in, answers, broken connections and silence out.
//!
//! There is no timer here: the peers are tests, some under a paused clock, and whatever is open ends with the sandbox.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::control;
use crate::failure::Failure;
use crate::sandbox::Shared;
use crate::system::{Answer, Request, System};

/// Connections held at once; further ones wait in the listener's backlog. Several times what a load test opens.
const MAX_CONNECTIONS: usize = 512;

/// Largest request body, in bytes. Above what the systems themselves take, so that their own refusal is seen.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Accepts until it is aborted; the connections end with it.
pub(crate) async fn accept<S: System>(listener: TcpListener, shared: Arc<Shared<S>>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(stream, Arc::clone(&shared))); }
                // A peer that went away before it was accepted; the next one has nothing to do with it.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The request was read and gets no answer, only a reset.
#[derive(Debug)]
struct ResetAsked;

impl std::fmt::Display for ResetAsked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a reset was asked for")
    }
}

impl std::error::Error for ResetAsked {}

async fn connection<S: System>(stream: TcpStream, shared: Arc<Shared<S>>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        Box::pin(async move { respond(request, &shared).await })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    let stream = connection.into_parts().io.into_inner();
    // The peer may be gone already: how a finished connection closes interests nobody.
    let _: io::Result<()> = match ended {
        Ok(()) => close(stream).await,
        Err(_) => stream.set_zero_linger(),
    };
}

async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await
}

async fn respond<S: System>(
    request: hyper::Request<Incoming>,
    shared: &Shared<S>,
) -> Result<Response<Full<Bytes>>, ResetAsked> {
    let Some(request) = read(request).await else {
        return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "too large").map(Full::new));
    };
    if let Some(answer) = control::answer(&request, shared) {
        return Ok(answer.map(Full::new));
    }
    let answer = match shared.arrive(&request) {
        None => shared.system.answer(&request),
        Some(Failure::Reset) => return Err(ResetAsked),
        Some(Failure::Hang) => match pending::<Infallible>().await {},
        Some(Failure::Html) => plain(StatusCode::OK, "text/html; charset=utf-8", WEB_PAGE),
        Some(Failure::Body(text)) => plain(StatusCode::OK, "application/json; charset=utf-8", &text),
        Some(failure) => shared.system.refuse(&failure),
    };
    Ok(answer.map(Full::new))
}

/// What stands between a client and a system says it in HTML.
const WEB_PAGE: &str =
    "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>";

/// The whole request, or `None` if its body breaks off or is longer than [`MAX_BODY_BYTES`].
async fn read(request: hyper::Request<Incoming>) -> Option<Request> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await.ok()?.to_bytes();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    Some(Request { method: head.method, path, query, headers: head.headers, body })
}

/// An answer of one content type and nothing else.
pub(crate) fn plain(status: StatusCode, content_type: &'static str, body: &str) -> Answer {
    let mut answer = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    answer
}
