//! Asks the control socket of a running Ferrata: a container without a shell has no other client.

use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// How long a living process may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Largest answer: a few kilobytes for each of a thousand connectors.
const MAX_BYTES: usize = 16 << 20;

/// What stands at `path` of the control listener, a socket's path or an address; the error is a sentence for the operator.
pub async fn ask(control: &str, path: &str) -> Result<String, String> {
    let asked = async {
        match control.parse::<std::net::SocketAddr>() {
            Ok(address) => get(TcpStream::connect(address).await.map_err(|e| e.to_string())?, path).await,
            Err(_) => get(UnixStream::connect(control).await.map_err(|e| e.to_string())?, path).await,
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asked);
    let answer = answer.await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
    answer.map_err(|reason| format!("{control} does not answer: {reason}"))
}

async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
) -> Result<String, String> {
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    tokio::spawn(connection);
    let request = http::Request::get(path).header(HOST, "localhost").body(Empty::<Bytes>::new());
    let response =
        client.send_request(request.map_err(|e| e.to_string())?).await.map_err(|e| e.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await.map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    if status.is_success() { Ok(text) } else { Err(format!("{status}: {text}")) }
}
