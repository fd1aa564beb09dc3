//! What Ferrata is compared with, each in a process of its own: an upstream that sends back what it gets, and a reverse proxy
//! that does nothing but forward.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::runtime::Builder;

use ferrata_tests::{Error, Result};

/// The arguments that make this program one of them.
pub const UPSTREAM: &str = "serve-upstream";
pub const PROXY: &str = "serve-proxy";

/// One of them, running; dropping it ends it.
#[derive(Debug)]
pub struct Baseline {
    child: Child,
    pub address: SocketAddr,
}

impl Baseline {
    /// Starts this program anew and reads the address that it serves.
    ///
    /// # Errors
    /// When it says none.
    pub async fn start(arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("a child without standard output")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        Ok(Self { child, address: line.ok_or("a baseline server said no address")?.parse()? })
    }

    /// # Errors
    /// When it has ended.
    pub fn id(&self) -> Result<u32> {
        self.child.id().ok_or_else(|| "a baseline server ended".into())
    }
}

/// Serves until standard input ends: an echo.
pub fn upstream() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(async |request: Request<Incoming>| {
        let body = request.into_body().collect().await?.to_bytes();
        let response = Response::builder().header("content-type", "application/json");
        Ok(response.body(Full::new(body))?)
    }))
}

/// Serves until standard input ends: a reverse proxy, with as many threads as Ferrata.
pub fn proxy(upstream: &str) -> Result<()> {
    let upstream: Authority = upstream.parse()?;
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(tcp);
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(move |request| forward(client.clone(), upstream.clone(), request)))
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    upstream: Authority,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    (parts.scheme, parts.authority) = (Some(Scheme::HTTP), Some(upstream));
    *request.uri_mut() = Uri::from_parts(parts)?;
    Ok(client.request(request).await?)
}

async fn serve<H, F, B>(handler: H) -> Result<()>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    let accepting = async {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, handler.clone()));
        }
    };
    tokio::select! {
        () = accepting => Err("a baseline server can accept no more".into()),
        _ = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])) => Ok(()),
    }
}

async fn connection<H, F, B>(stream: TcpStream, handler: H)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<B>>>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Error>,
{
    // A failure ends the connection, and with it the measurement.
    let _ = stream.set_nodelay(true);
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(handler)).await;
}
