//! For the platform: probes and metrics on one listener, status on the control socket.
//!
//! Readiness says whether this process can take calls, and never anything about an upstream or a credential: those are said in the
//! status, they do not evict the agent.

mod status;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use crate::app::{AppError, bind};
use crate::config;
use crate::gate::Gate;
use crate::server::{self, Body, Drain, Limits};

/// Connections of probes and scrapers at once.
const MAX_CONNECTIONS: usize = 64;

/// A probe that is being answered while everything ends may take so long.
const DRAIN: Duration = Duration::from_secs(1);

/// Upper bounds of the histograms' buckets, in seconds: from a cached answer to the longest deadlines.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

/// Makes this process count. Once per process.
pub fn install_metrics() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    PrometheusBuilder::new().set_buckets(&BUCKETS)?.install_recorder()
}

/// Whether calls can be taken, and the gate that takes them.
#[derive(Clone, Default)]
pub struct Readiness(Arc<(OnceLock<Arc<Gate>>, AtomicBool)>);

impl Readiness {
    pub fn ready(&self, gate: Arc<Gate>) {
        let _ = self.0.0.set(gate);
    }

    pub fn gone(&self) {
        self.0.1.store(true, Ordering::Relaxed);
    }

    fn gate(&self) -> Option<&Arc<Gate>> {
        self.0.0.get().filter(|_| !self.0.1.load(Ordering::Relaxed))
    }
}

/// What answers requests here.
#[derive(Clone)]
struct Admin {
    metrics: PrometheusHandle,
    readiness: Readiness,
    drain: Drain,
}

/// The listeners, started.
pub struct Running {
    pub address: Option<SocketAddr>,
    /// A path or an address.
    pub control: Option<String>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Ends the listeners. They outlive the agents' one, so that the last probes are answered.
    pub async fn stop(self) {
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

/// Starts what is configured.
pub async fn start(
    config: &config::Admin,
    metrics: PrometheusHandle,
    readiness: Readiness,
    drain: Drain,
) -> Result<Running, AppError> {
    let admin = Admin { metrics, readiness, drain };
    let mut running = Running { address: None, control: None, tasks: Vec::new() };
    if let Some(address) = config.listen {
        let listener = bind(address).await?;
        running.address = Some(listener.local_addr().map_err(AppError::internal)?);
        running.tasks.push(serve(listener, admin.clone(), Admin::probe));
    }
    if let Some(control) = &config.control {
        if let Ok(address) = control.parse::<SocketAddr>() {
            let listener = bind(address).await?;
            running.control = Some(listener.local_addr().map_err(AppError::internal)?.to_string());
            running.tasks.push(serve(listener, admin, Admin::control));
        } else {
            running.tasks.push(serve_socket(Path::new(control), admin)?);
            running.control = Some(control.clone());
        }
    }
    Ok(running)
}

type Answer = fn(&Admin, &Request<hyper::body::Incoming>) -> Response<Body>;

fn serve(listener: TcpListener, admin: Admin, answer: Answer) -> JoinHandle<()> {
    let limits = Limits { connections: MAX_CONNECTIONS, drain: DRAIN };
    let handler = move |request| {
        let admin = admin.clone();
        async move { answer(&admin, &request) }
    };
    // Never drained by signal: it is aborted last.
    tokio::spawn(async move {
        let (_never, drain) = server::drain();
        server::serve(listener, handler, limits, drain).await;
    })
}

/// A unix socket that only Ferrata's user can open. A socket that an earlier process left is replaced.
fn serve_socket(path: &Path, admin: Admin) -> Result<JoinHandle<()>, AppError> {
    let at = |e: std::io::Error| AppError::Config(format!("cannot listen on {}: {e}", path.display()));
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).map_err(at)?;
    let only_owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path, only_owner).map_err(at)?;
    Ok(tokio::spawn(async move {
        let open = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
        while let Ok((stream, _)) = listener.accept().await {
            // One too many is closed at once.
            let Ok(place) = Arc::clone(&open).try_acquire_owned() else { continue };
            let admin = admin.clone();
            tokio::spawn(async move {
                let _place = place;
                let service = service_fn(move |request| {
                    let answer = admin.control(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new()).keep_alive(false);
                if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                    tracing::debug!(%error, "a control connection ended in an error");
                }
            });
        }
    }))
}

impl Admin {
    /// `/livez`, `/readyz`, `/metrics`.
    fn probe(&self, request: &Request<hyper::body::Incoming>) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/livez") => text(StatusCode::OK, "alive\n"),
            (&Method::GET, "/readyz") if self.drain.has_begun() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
            }
            (&Method::GET, "/readyz") => match self.readiness.gate() {
                Some(_) => text(StatusCode::OK, "ready\n"),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "connectors are being loaded\n"),
            },
            (&Method::GET, "/metrics") => {
                self.metrics.run_upkeep();
                answer(StatusCode::OK, "text/plain; version=0.0.4", self.metrics.render())
            }
            (&Method::GET, _) => text(StatusCode::NOT_FOUND, "here are /livez, /readyz and /metrics\n"),
            _ => not_allowed(),
        }
    }

    /// `/status`: JSON, or a page for who asks for HTML.
    fn control(&self, request: &Request<hyper::body::Incoming>) -> Response<Body> {
        if request.method() != Method::GET {
            return not_allowed();
        }
        if request.uri().path() != "/status" {
            return text(StatusCode::NOT_FOUND, "here is /status\n");
        }
        let status = status::status(self.readiness.gate(), self.drain.has_begun());
        let accept = request.headers().get(http::header::ACCEPT).and_then(|a| a.to_str().ok()).unwrap_or("");
        if accept.contains("text/html") {
            answer(StatusCode::OK, "text/html; charset=utf-8", status::page(&status))
        } else {
            answer(StatusCode::OK, "application/json", format!("{status:#}\n"))
        }
    }
}

fn not_allowed() -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", text.to_owned())
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
