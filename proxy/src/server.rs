//! Accepts connections, runs one task for each, and drains them.
//!
//! Owns sockets: how many there may be, how long a peer may keep one waiting, and what becomes of
//! them at the end. What a request means is the handler's, which is any async function from a request
//! to a response; a handler whose client goes away is dropped where it waits.

mod drain;
mod repoll;
mod stall;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, error, warn};

pub use drain::{Drain, DrainTrigger, drain};
use repoll::Repoll;
use stall::StallGuard;

/// Request line and headers of one request. Room for a long token and trace state, not for a body.
pub const MAX_HEADER_BYTES: u32 = 64 * 1024;

/// How long a connection may take to bring (the rest of) a request's head. It is the idle time of a kept-alive
/// connection too, so it is longer than the few seconds for which clients' pools keep theirs.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a peer may take none of the bytes that wait for it.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests at a time on one HTTP/2 connection.
pub const MAX_STREAMS: u32 = 128;

/// How often an HTTP/2 peer is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Rest after an accept that failed for want of something (file descriptors), instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection beyond the cap is told. Best effort: the peer may not speak HTTP/1.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A whole body for almost every answer, a boxed stream for those that stay open.
pub type Body = Either<Full<Bytes>, UnsyncBoxBody<Bytes, Infallible>>;

/// What an operator may change about a listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; one more is refused, because to queue it would only hide the shortage.
    pub connections: usize,
    /// How long requests under way may take to finish once the drain has begun.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1024, drain: Duration::from_secs(25) }
    }
}

/// What became of the connections that were open when the drain began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be cut, because [`Limits::drain`] was over.
    pub cut: usize,
}

/// Serves `listener` until the drain begins, then finishes what is under way. Dropping the future cuts
/// every connection.
pub async fn serve<H, F>(listener: TcpListener, handler: H, limits: Limits, mut drain: Drain) -> Drained
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = drain.begun() => break,
            Some(ended) = connections.join_next() => note_end(ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if connections.len() < limits.connections => {
                    connections.spawn(Repoll::new(connection(stream, peer, handler.clone(), drain.clone())));
                }
                Ok((stream, peer)) => refuse(&stream, peer),
                Err(error) => rest_after(error).await,
            },
        }
    }
    drop(listener);
    finish(connections, limits.drain).await
}

/// Waits for the connections as long as `patience` lasts and cuts the rest.
async fn finish(mut connections: JoinSet<()>, patience: Duration) -> Drained {
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            note_end(ended);
        }
    };
    if tokio::time::timeout(patience, all_ended).await.is_ok() {
        return Drained { cut: 0 };
    }
    let cut = connections.len();
    warn!(cut, "connections were cut: their requests did not finish in time");
    connections.shutdown().await;
    Drained { cut }
}

/// One connection from its first byte to its last.
async fn connection<H, F>(stream: TcpStream, peer: SocketAddr, handler: H, mut drain: Drain)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "TCP_NODELAY could not be set");
    }
    let spoke = Arc::new(AtomicBool::new(false));
    let heard = spoke.clone();
    let service = service_fn(move |request| {
        heard.store(true, Ordering::Relaxed);
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let io = TokioIo::new(StallGuard::new(stream, WRITE_STALL_TIMEOUT));
    let builder = builder();
    let mut served = pin!(builder.serve_connection(io, service));
    // hyper's own timeout starts once it knows which HTTP this is; until then a silent peer is ours to bound.
    let mut first_request = pin!(tokio::time::sleep(HEADER_READ_TIMEOUT));
    let (mut draining, mut waiting) = (false, true);
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                if let Err(error) = ended {
                    debug!(%peer, error, "a connection ended in an error");
                }
                return;
            }
            () = drain.begun(), if !draining => {
                draining = true;
                served.as_mut().graceful_shutdown();
            }
            () = first_request.as_mut(), if waiting => {
                waiting = false;
                if !spoke.load(Ordering::Relaxed) {
                    debug!(%peer, "a connection brought no request in time");
                    return;
                }
            }
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_INTERVAL);
    builder
}

fn refuse(stream: &TcpStream, peer: SocketAddr) {
    warn!(%peer, "a connection was refused: as many as are allowed are open");
    // A fresh socket has room for this little; if not, the peer learns it from the close.
    stream.try_write(FULL).ok();
}

/// After an accept that failed: waits, unless it was the peer's doing.
pub(crate) async fn rest_after(error: std::io::Error) {
    let peers_doing =
        [ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset, ErrorKind::ConnectionRefused];
    if !peers_doing.contains(&error.kind()) {
        warn!(%error, "a connection could not be accepted");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

fn note_end(ended: Result<(), JoinError>) {
    if let Err(failure) = ended {
        error!(%failure, "a connection's task failed");
    }
}

#[cfg(test)]
mod tests;
