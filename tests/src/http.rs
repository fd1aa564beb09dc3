//! A small HTTP/1.1 client: whole bodies, no redirects, a bound on every exchange.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::Result;

/// Longest exchange. Above every deadline that a test gives to Ferrata.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(90);

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value, empty when it is absent or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A client with a base URL, and headers that go with every request.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    headers: HeaderMap,
    inner: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Client {
    pub fn new(base: impl Into<String>) -> Self {
        let inner = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { base: base.into(), headers: HeaderMap::new(), inner }
    }

    /// The same client, with a header more.
    ///
    /// # Errors
    /// When name or value cannot stand in a header.
    pub fn with(&self, name: &str, value: &str) -> Result<Self> {
        let mut client = self.clone();
        client.headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        Ok(client)
    }

    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(Method::POST, path, body.to_string().into()).await
    }

    /// Sends anything; a body is announced as JSON unless the client's headers say otherwise.
    ///
    /// # Errors
    /// When there is no answer within [`EXCHANGE_TIMEOUT`].
    pub async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(headers) = request.headers_mut() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.extend(self.headers.clone());
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            let (head, body) = self.inner.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(EXCHANGE_TIMEOUT, exchange).await?
    }
}
