//! One block of calls over one route.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use ferrata_tests::Result;

use crate::plan::Block;
use crate::process;
use crate::route::Route;

/// What a block came to.
#[derive(Debug)]
pub struct Measured {
    /// Of each call.
    pub latencies: Vec<Duration>,
    /// From the first call's beginning to the last one's end.
    pub took: Duration,
    /// Processor time of the route's process.
    pub cpu: Duration,
}

/// Makes the calls of a block, each connection one after the other. Every answer must be the one that a first call got, which is
/// not measured.
///
/// # Errors
/// When a call fails.
pub async fn run(route: &Arc<Route>, block: Block) -> Result<Measured> {
    let mut connections = Vec::new();
    for _ in 0..block.connections {
        connections.push(connect(route).await?);
    }
    let mut expected = Bytes::new();
    for connection in &mut connections {
        expected = call(route, connection).await?;
    }
    let (cpu, began) = (process::cpu(route.process)?, Instant::now());
    let mut workers = JoinSet::new();
    for connection in connections {
        let calls = block.calls / block.connections;
        workers.spawn(work(Arc::clone(route), connection, calls, expected.clone()));
    }
    let mut latencies = Vec::with_capacity(block.calls);
    while let Some(worked) = workers.join_next().await {
        latencies.extend(worked??);
    }
    Ok(Measured { latencies, took: began.elapsed(), cpu: process::cpu(route.process)?.saturating_sub(cpu) })
}

async fn connect(route: &Route) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(route.address()).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn work(
    route: Arc<Route>,
    mut connection: SendRequest<Full<Bytes>>,
    calls: usize,
    expected: Bytes,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(calls);
    for _ in 0..calls {
        let began = Instant::now();
        let answer = call(&route, &mut connection).await?;
        latencies.push(began.elapsed());
        if answer != expected {
            return Err(format!("{}: {}", route.name, String::from_utf8_lossy(&answer)).into());
        }
    }
    Ok(latencies)
}

/// One call; the whole answer.
///
/// # Errors
/// When there is none, or its status is not 200.
pub async fn call(route: &Route, connection: &mut SendRequest<Full<Bytes>>) -> Result<Bytes> {
    connection.ready().await?;
    let response = connection.send_request(route.request()).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if status != StatusCode::OK {
        return Err(format!("{}: {status}: {}", route.name, String::from_utf8_lossy(&body)).into());
    }
    Ok(body)
}
