//! A service that takes lines over HTTP.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;

use crate::config::AuditHttp;
use crate::egress::client::{ClientError, HttpClient, tls_config};

/// Lines of JSON.
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// How long a connection may take to be made, and a request to be answered.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

/// Largest answer that is read, in bytes; nobody looks at it.
const MAX_ANSWER_BYTES: usize = 64 << 10;

pub struct Service {
    client: HttpClient,
    url: Uri,
    /// The URL without what may be secret in it.
    name: String,
    token: Option<PathBuf>,
}

impl Service {
    /// The error is a sentence for the operator.
    pub fn new(config: &AuditHttp) -> Result<Self, String> {
        let url: Uri = config.url.parse().map_err(|e| format!("audit: `{}`: {e}", config.url))?;
        let (Some("http" | "https"), Some(host)) = (url.scheme_str(), url.host()) else {
            return Err(format!("audit: `{}` is no address of the web", config.url));
        };
        let name = format!("{host}{}", url.path());
        let tls = tls_config(config.ca.as_deref()).map_err(|e| format!("audit: {e}"))?;
        let client = HttpClient::new(tls, CONNECT, MAX_ANSWER_BYTES);
        Ok(Self { client, url, name, token: config.token.clone() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// All of it or, as far as anybody knows, nothing.
    pub async fn send(&self, lines: &[u8]) -> Result<(), String> {
        let name = &self.name;
        let request = self.request(lines).map_err(|e| format!("{name}: {e}"))?;
        let sent = tokio::time::timeout(ANSWER, self.client.send(request)).await;
        match sent.map_err(|_| format!("{name} did not answer within {ANSWER:?}"))? {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(format!("{name} answered with status {}", answer.status.as_u16())),
            // It has the lines: of what it says of them, only the status counts.
            Err(ClientError::TooLarge(_)) => Err(format!("{name} answered at length")),
            Err(ClientError::Connect(why) | ClientError::NotTaken(why) | ClientError::Broken(why)) => {
                Err(format!("{name}: {why}"))
            }
        }
    }

    fn request(&self, lines: &[u8]) -> Result<Request<Full<Bytes>>, String> {
        let body = Full::new(Bytes::copy_from_slice(lines));
        let mut request = Request::post(self.url.clone()).body(body).map_err(|e| e.to_string())?;
        request.headers_mut().insert(CONTENT_TYPE, NDJSON);
        if let Some(path) = &self.token {
            let token = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                .map_err(|_| format!("{}: holds no token", path.display()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}
