//! The host of a component: calls go to the imports.

use crate::bindings::base::ferrata::connector as wit;
use crate::fault::Fault;
use wit::http::{Directive, Place, Request, Verdict};
use wit::sql;

pub(crate) fn settings() -> String {
    wit::context::settings()
}

pub(crate) fn remaining_ms() -> u64 {
    wit::context::remaining_ms()
}

pub(crate) fn subject() -> Option<String> {
    wit::context::subject()
}

pub(crate) fn connector_name() -> String {
    wit::context::connector_name()
}

pub(crate) fn can_bring() -> String {
    wit::agent::can_bring()
}

pub(crate) fn report_progress(done: f64, total: Option<f64>, message: Option<&str>) {
    wit::agent::report_progress(done, total, message);
}

pub(crate) struct Exchange(wit::http::Exchange);

pub(crate) fn send(request: Request) -> Result<Exchange, Fault> {
    Ok(Exchange(wit::http::send(&request)?))
}

pub(crate) fn send_all(requests: Vec<Request>) -> Vec<Result<Exchange, Fault>> {
    wit::http::send_all(&requests).into_iter().map(|answer| Ok(Exchange(answer?))).collect()
}

impl Exchange {
    pub(crate) fn status(&self) -> u16 {
        self.0.status()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.0.header(name)
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.0.headers()
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.0.body()
    }

    pub(crate) fn capture(&self, place: &Place) -> Result<Option<String>, Fault> {
        Ok(self.0.capture(place)?)
    }

    pub(crate) fn observe(&self, limits: &str) -> Result<(), Fault> {
        Ok(self.0.observe(limits)?)
    }

    pub(crate) fn settle(&self, verdict: &Verdict) -> Result<Directive, Fault> {
        Ok(self.0.settle(verdict)?)
    }
}

pub(crate) fn sql_query(request: &sql::Request) -> Result<sql::Rows, Fault> {
    Ok(sql::query(request)?)
}

pub(crate) fn sql_explain(request: &sql::Request) -> Result<String, Fault> {
    Ok(sql::explain(request)?)
}

pub(crate) fn cache_get(key: &str) -> Option<Vec<u8>> {
    wit::cache::get(key)
}

pub(crate) fn cache_put(key: &str, value: &[u8], ttl_ms: u64) -> Result<(), Fault> {
    Ok(wit::cache::put(key, value, ttl_ms)?)
}

pub(crate) fn log(level: wit::log::Level, message: &str) {
    wit::log::write(level, message);
}

pub(crate) fn sign_jwt(secret: &str, claims: &str) -> Result<String, Fault> {
    Ok(wit::secrets::sign_jwt(secret, claims)?)
}

pub(crate) fn sign_hmac(secret: &str, hash: wit::secrets::Hash, message: &[u8]) -> Result<Vec<u8>, Fault> {
    Ok(wit::secrets::sign_hmac(secret, hash, message)?)
}
