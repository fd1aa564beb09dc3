//! Connections to one upstream: name, TCP and TLS, all within one time.

use std::future::Future;
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use tower_service::Service;

use super::resolve::Resolver;

type Https = HttpsConnector<HttpConnector<Resolver>>;

/// Makes connections. TCP's own timeout would let a peer that accepts and never shakes hands hold a call.
#[derive(Clone, Debug)]
pub struct Connector {
    https: Https,
    within: Duration,
}

impl Connector {
    pub fn new(tls: ClientConfig, within: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        Self { https, within }
    }
}

impl Service<Uri> for Connector {
    type Response = <Https as Service<Uri>>::Response;
    type Error = <Https as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, within) = (self.https.call(uri), self.within);
        Box::pin(async move {
            tokio::time::timeout(within, connecting).await.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::TimedOut, format!("no connection within {within:?}")).into())
            })
        })
    }
}
