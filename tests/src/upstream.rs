//! An HTTP upstream that answers what a test told it to, and remembers what it was asked.
//!
//! For what no stand-in has: reflections, silence, answers that must come late.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::{Result, wait};

/// An answer to come.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Status, headers and body.
    Answer(StatusCode, Vec<(&'static str, &'static str)>, String),
    /// The request's headers as the body, one per line, under status 200.
    Reflection,
    /// Nothing until [`Upstream::release`], then a reflection.
    Held,
    /// Nothing until [`Upstream::release`], then this as the body under status 200.
    HeldThen(String),
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// When all of it was there.
    pub at: Instant,
}

impl Seen {
    /// A header's value, empty when it is absent or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A running upstream; it ends when this is dropped. Without instructions it reflects.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    seen: Mutex<Vec<Seen>>,
    /// Requests that are being held.
    held: Mutex<usize>,
    release: Notify,
}

impl Upstream {
    /// Starts on a free port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> Result<Self> {
        Self::start_on(0).await
    }

    /// Starts on that port: for a network in which nobody else is.
    ///
    /// # Errors
    /// When it is taken.
    pub async fn start_on(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let (address, shared) = (listener.local_addr()?, Arc::<Shared>::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Appends to the answers to come.
    pub fn reply(&self, reply: Reply) {
        lock(&self.shared.replies).push_back(reply);
    }

    /// Requests so far, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Waits until so many requests are held; 0 is also reached when clients go away.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn holds(&self, requests: usize) -> Result<()> {
        let what = format!("{requests} held requests");
        wait::until(&what, async || (*lock(&self.shared.held) == requests).then_some(())).await
    }

    /// Lets the held requests be answered.
    pub fn release(&self) {
        self.shared.release.notify_waiters();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Counts a held request as long as its connection lives: hyper drops the service's future when the client goes away.
struct Held<'a>(&'a Mutex<usize>);

impl<'a> Held<'a> {
    fn new(count: &'a Mutex<usize>) -> Self {
        *lock(count) += 1;
        Self(count)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *lock(self.0) -= 1;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    // How a connection ends is the peer's business.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let at = Instant::now();
    let seen = Seen { method: head.method.to_string(), path, headers: head.headers, body, at };
    lock(&shared.seen).push(seen.clone());
    let reply = lock(&shared.replies).pop_front().unwrap_or(Reply::Reflection);
    if matches!(reply, Reply::Held | Reply::HeldThen(_)) {
        let released = shared.release.notified();
        let _held = Held::new(&shared.held);
        released.await;
    }
    Ok(match reply {
        Reply::Answer(status, headers, body) => {
            let mut response = Response::new(Full::from(body));
            *response.status_mut() = status;
            for (name, value) in headers {
                response.headers_mut().insert(name, http::HeaderValue::from_static(value));
            }
            response
        }
        Reply::HeldThen(body) => Response::new(Full::from(body)),
        Reply::Reflection | Reply::Held => Response::new(Full::from(reflection(&seen.headers))),
    })
}

fn reflection(headers: &HeaderMap) -> String {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
    };
    headers.iter().map(line).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
