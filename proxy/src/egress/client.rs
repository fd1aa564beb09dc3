//! The HTTP client of one upstream: connections, TLS, bounds; one exchange at a time, whole.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::resolve::Resolver;

/// Most bytes of an answer's status line and headers; twice what common servers send at most.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Most headers of an answer.
const MAX_HEADERS: usize = 128;

/// How long an idle connection is kept; below the 60 s after which common load balancers drop it.
const IDLE: Duration = Duration::from_secs(50);

/// Idle connections kept per host; as many as one connector has sandboxes by default.
const MAX_IDLE_PER_HOST: usize = 64;

/// A client with its own trust and bounds.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
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
    /// The answer is larger than the bound, in bytes.
    TooLarge(usize),
}

impl HttpClient {
    pub fn new(tls: ClientConfig, connect: Duration, max_body: usize) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(MAX_HEAD_BYTES as u32)
            .build(https);
        Self { client, max_body }
    }

    /// Sends and reads the whole answer. Follows no redirect: a 3xx is an answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let response = self.client.request(request).await.map_err(|e| {
            if e.is_connect() { ClientError::Connect(causes(&e)) } else { ClientError::Broken(causes(&e)) }
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
