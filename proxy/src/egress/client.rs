//! The HTTP client of one upstream: connections, TLS, bounds; one exchange at a time, whole.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::connect::Connector;

/// Most bytes of an answer's status line and headers; twice what common servers send at most.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Most headers of an answer.
const MAX_HEADERS: usize = 128;

/// How long an idle connection is kept; below the 60 s after which common load balancers drop it.
const IDLE: Duration = Duration::from_secs(50);

/// Idle connections kept per host; as many as one connector has sandboxes by default.
const MAX_IDLE_PER_HOST: usize = 64;

/// How often the peer of an HTTP/2 connection with calls on it is asked whether it is still there: all calls share the connection, and one
/// that died unseen would take them all along.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// How long it may take to answer that.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A client with its own trust and bounds.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: Client<Connector, Full<Bytes>>,
    max_body: usize,
}

/// What an upstream answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientError {
    /// No connection: nothing was sent.
    Connect(String),
    /// A connection, and no complete answer.
    Broken(String),
    /// A connection, and the peer says that it did not look at the request (RFC 9113 section 8.7).
    NotTaken(String),
    /// The answer is larger than the bound, in bytes.
    TooLarge(usize),
}

impl HttpClient {
    pub fn new(tls: ClientConfig, connect: Duration, max_body: usize) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(MAX_HEAD_BYTES as u32)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(Connector::new(tls, connect));
        Self { client, max_body }
    }

    /// Sends and reads the whole answer. Follows no redirect: a 3xx is an answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let response = self.client.request(request).await.map_err(|e| match causes(&e) {
            why if e.is_connect() => ClientError::Connect(why),
            why if was_not_taken(&e) => ClientError::NotTaken(why),
            why => ClientError::Broken(why),
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, self.max_body).collect().await.map_err(|e| {
            if e.is::<LengthLimitError>() {
                ClientError::TooLarge(self.max_body)
            } else {
                ClientError::Broken(causes(e.as_ref()))
            }
        })?;
        Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
    }
}

/// Whether an HTTP/2 peer said that it did nothing about a request: it refused the stream, or left and named a last stream before it. h2 ends no
/// other stream with a GOAWAY of the peer.
fn was_not_taken(error: &(dyn std::error::Error + 'static)) -> bool {
    let stream =
        std::iter::successors(Some(error), |e| e.source()).find_map(|e| e.downcast_ref::<h2::Error>());
    stream.is_some_and(|e| {
        e.is_remote() && (e.is_go_away() || e.is_reset() && e.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// An error with everything behind it, which is where hyper says what happened.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Trust for one upstream: the public authorities, and those of a PEM file. The error is a sentence for the operator.
pub fn tls_config(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca {
        let at = |e: String| format!("the CA file {} cannot be used: {e}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).map_err(|e| at(e.to_string()))?;
        let mut count = 0;
        for certificate in certificates {
            let certificate = certificate.map_err(|e| at(e.to_string()))?;
            roots.add(certificate).map_err(|e| at(e.to_string()))?;
            count += 1;
        }
        if count == 0 {
            return Err(at("it holds no certificate".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::server::TlsStream;

    /// An empty SETTINGS frame: all that a server must say for an HTTP/2 connection to stand.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

    /// The type byte of a HEADERS frame, with which a request begins.
    const HEADERS: u8 = 1;

    /// Longer than anything may take; clocks are paused wherever it passes.
    const FOR_EVER: Duration = Duration::from_secs(3600);

    fn request(listener: &TcpListener) -> Request<Full<Bytes>> {
        let url = format!("https://{}/", listener.local_addr().unwrap());
        Request::get(url).body(Full::default()).unwrap()
    }

    #[tokio::test]
    async fn a_peer_that_never_shakes_hands_is_no_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = HttpClient::new(tls_config(None).unwrap(), Duration::from_millis(50), 1);
        let both = futures_util::future::join(client.send(request(&listener)), listener.accept());
        // The connection stays open and silent until the end of the test.
        let (answer, _silent) =
            tokio::time::timeout(Duration::from_secs(60), both).await.expect("it waits for the handshake");
        assert!(matches!(answer, Err(ClientError::Connect(why)) if why.contains("no connection within")));
    }

    /// A server's side of TLS for 127.0.0.1 that speaks HTTP/2, and its certificate as PEM.
    fn acceptor() -> (TlsAcceptor, String) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
    }

    /// Reads frames until a request has come.
    async fn read_request(peer: &mut TlsStream<TcpStream>) {
        let mut preface = [0; 24];
        peer.read_exact(&mut preface).await.unwrap();
        loop {
            let mut head = [0; 9];
            peer.read_exact(&mut head).await.unwrap();
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            peer.read_exact(&mut vec![0; length]).await.unwrap();
            if head[3] == HEADERS {
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_dead_http2_connection_is_noticed() {
        let (acceptor, pem) = acceptor();
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = HttpClient::new(tls_config(Some(ca.path())).unwrap(), FOR_EVER, 1);
        let sent = tokio::spawn({
            let request = request(&listener);
            async move { client.send(request).await.map(drop) }
        });
        let mut peer = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        peer.write_all(&SETTINGS).await.unwrap();
        read_request(&mut peer).await;
        // From here on the peer is silent: nothing happens but time.
        tokio::time::pause();
        let ended = tokio::time::timeout(FOR_EVER, sent).await.expect("it waits for ever");
        assert!(matches!(ended.unwrap(), Err(ClientError::Broken(_))));
    }
}
