//! The ways over which the same exchange is made.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use ferrata_tests::{Result, connectors, mcp};

/// One request, and where it goes.
#[derive(Clone, Debug)]
pub struct Route {
    pub name: &'static str,
    address: SocketAddr,
    path: &'static str,
    headers: HeaderMap,
    body: Bytes,
    /// Whose processor time counts.
    pub process: u32,
}

impl Route {
    /// The exchange itself, to the upstream or to a proxy before it.
    ///
    /// # Errors
    /// When the secret cannot stand in a header.
    pub fn plain(name: &'static str, address: SocketAddr, process: u32, arguments: &Value) -> Result<Self> {
        let mut headers = common(address)?;
        let bearer = format!("Bearer {}", connectors::GUEST_TOKEN);
        headers.insert(AUTHORIZATION, HeaderValue::try_from(bearer)?);
        Ok(Self { name, address, path: "/echo", headers, body: arguments.to_string().into(), process })
    }

    /// The call of the tool that makes the exchange.
    ///
    /// # Errors
    /// When the name of the tool cannot stand in a header.
    pub fn tool(
        name: &'static str,
        address: SocketAddr,
        process: u32,
        tool: &str,
        arguments: &Value,
    ) -> Result<Self> {
        let (said, message) = mcp::request("tools/call", json!({ "name": tool, "arguments": arguments }));
        let mut headers = common(address)?;
        for (name, value) in said {
            headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value)?);
        }
        Ok(Self { name, address, path: mcp::PATH, headers, body: message.to_string().into(), process })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = http::Uri::from_static(self.path);
        *request.headers_mut() = self.headers.clone();
        request
    }
}

fn common(address: SocketAddr) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::try_from(address.to_string())?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(headers)
}

/// Arguments that are about so many bytes of JSON: a little structure, and text with what has to be escaped.
pub fn arguments(bytes: usize) -> Value {
    const SENTENCE: &str = "The pump \"P-7\" lost pressure again.\n";
    let note = |text: &str| json!({ "subject": "Pump P-7", "tags": ["pump", "night shift", "urgent"], "text": text });
    let room = bytes.saturating_sub(note("").to_string().len());
    // Three characters of the sentence take two bytes.
    note(&SENTENCE.repeat(room / (SENTENCE.len() + 3)))
}
