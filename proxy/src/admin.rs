//! For the platform: probes and metrics on one listener, status on the control socket.
//!
//! Readiness says whether this process can take calls, and never anything about an upstream or a credential: those are said in the
//! status, they do not evict the agent.

mod ask;
pub mod credentials;
mod socket;
mod status;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::app::{AppError, bind};
use crate::config;
use crate::egress::account::{Account, Accounts};
use crate::gate::Gate;
use crate::server::{self, Body, Drain, Limits};
use crate::telemetry::metric;

pub use ask::ask;

/// Connections of probes and scrapers at once.
const MAX_CONNECTIONS: usize = 64;

/// A probe that is being answered while everything ends may take so long.
const DRAIN: Duration = Duration::from_secs(1);

/// How often what was measured is sorted into the histograms: a few thousand numbers of 8 bytes at the busiest.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds of the histograms' buckets, in seconds: from a cached answer to the longest deadlines.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

/// The same for the sizes of batches.
const BATCH_BUCKETS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0];

/// Makes this process count. Once per process.
pub fn install_metrics() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let batches = Matcher::Full(metric::BATCH_CALLS.to_owned());
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS)?;
    let handle = builder.set_buckets_for_metric(batches, &BATCH_BUCKETS)?.install_recorder()?;
    metric::describe();
    Ok(handle)
}

/// Whether calls can be taken, and the gate that takes them.
#[derive(Clone, Default)]
pub struct Readiness(Arc<(OnceLock<Serving>, AtomicBool)>);

/// The gate, and the walls behind it.
type Serving = (Arc<Gate>, Arc<Accounts>);

impl Readiness {
    pub fn ready(&self, gate: Arc<Gate>, accounts: Arc<Accounts>) {
        let _ = self.0.0.set((gate, accounts));
    }

    pub fn gone(&self) {
        self.0.1.store(true, Ordering::Relaxed);
    }

    fn gate(&self) -> Option<&Arc<Gate>> {
        self.0.0.get().map(|(gate, _)| gate).filter(|_| !self.0.1.load(Ordering::Relaxed))
    }

    /// The walls in front of the upstreams; none before they are known.
    fn accounts(&self) -> Vec<Arc<Account>> {
        self.0.0.get().map(|(_, accounts)| accounts.in_use()).unwrap_or_default()
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
    let upkeep = tokio::spawn(keep_up({
        let metrics = metrics.clone();
        move || metrics.run_upkeep()
    }));
    let mut running = Running { address: None, control: None, tasks: vec![upkeep] };
    let admin = Admin { metrics, readiness, drain };
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
            let at = |e: String| AppError::Config(format!("cannot listen on {control}: {e}"));
            let listener = socket::bind(Path::new(control)).await.map_err(at)?;
            let answer = move |request: &Request<hyper::body::Incoming>| admin.control(request);
            running.tasks.push(tokio::spawn(socket::serve(listener, answer)));
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

/// Brings the histograms up to date, so that what was measured does not pile up where nobody scrapes.
async fn keep_up(run: impl Fn()) {
    let mut due = tokio::time::interval(UPKEEP);
    loop {
        due.tick().await;
        run();
    }
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
                // It can take calls. What cannot be reached with which credential is said, and evicts nobody.
                Some(_) => answer(
                    StatusCode::OK,
                    "text/plain; charset=utf-8",
                    format!("ready\n{}", credentials::worries(&self.status())),
                ),
                None => text(StatusCode::SERVICE_UNAVAILABLE, "connectors are being loaded\n"),
            },
            (&Method::GET, "/metrics") => {
                self.readiness.accounts().iter().for_each(|account| account.measure());
                self.readiness.gate().into_iter().for_each(|gate| status::measure(gate));
                self.metrics.run_upkeep();
                answer(StatusCode::OK, "text/plain; version=0.0.4", self.metrics.render())
            }
            (&Method::GET, _) => text(StatusCode::NOT_FOUND, "here are /livez, /readyz and /metrics\n"),
            _ => not_allowed(),
        }
    }

    fn status(&self) -> serde_json::Value {
        status::status(self.readiness.gate(), &self.readiness.accounts(), self.drain.has_begun())
    }

    /// `/status`: JSON, or a page for who asks for HTML.
    fn control(&self, request: &Request<hyper::body::Incoming>) -> Response<Body> {
        if request.method() != Method::GET {
            return not_allowed();
        }
        if request.uri().path() != "/status" {
            return text(StatusCode::NOT_FOUND, "here is /status\n");
        }
        let status = self.status();
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn what_was_measured_is_sorted_though_nobody_scrapes() {
        let (runs, hours) = (Cell::new(0), Duration::from_secs(3600));
        let never_ends = keep_up(|| runs.set(runs.get() + 1));
        assert!(tokio::time::timeout(hours, never_ends).await.is_err());
        assert!(runs.get() >= hours.as_secs() / UPKEEP.as_secs());
    }
}
