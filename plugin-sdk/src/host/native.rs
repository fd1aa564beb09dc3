//! The host of a native build: one that a test has installed for the current thread.

use std::cell::RefCell;
use std::rc::Rc;

use crate::bindings::base::ferrata::connector as wit;
use crate::fault::Fault;
use wit::http::{Directive, Place, Request, Verdict};
use wit::sql;

/// What stands in for the imports.
pub(crate) trait Host {
    fn settings(&self) -> String;
    fn remaining_ms(&self) -> u64;
    fn subject(&self) -> Option<String>;
    fn connector_name(&self) -> String;
    fn can_bring(&self) -> String;
    fn report_progress(&self, done: f64, total: Option<f64>, message: Option<&str>);
    fn send(&self, request: Request) -> Result<Rc<dyn Answered>, Fault>;
    fn sql_query(&self, request: &sql::Request) -> Result<sql::Rows, Fault>;
    fn sql_explain(&self, request: &sql::Request) -> Result<String, Fault>;
    fn cache_get(&self, key: &str) -> Option<Vec<u8>>;
    fn cache_put(&self, key: &str, value: &[u8], ttl_ms: u64);
    fn log(&self, level: wit::log::Level, message: &str);
    fn sign_jwt(&self, secret: &str, claims: &str) -> String;
    fn sign_hmac(&self, secret: &str, hash: wit::secrets::Hash, message: &[u8]) -> Vec<u8>;
}

/// What stands in for the resource `exchange`.
pub(crate) trait Answered {
    fn status(&self) -> u16;
    fn headers(&self) -> Vec<(String, Vec<u8>)>;
    fn body(&self) -> Vec<u8>;
    fn capture(&self, place: &Place) -> Result<Option<String>, Fault>;
    fn observe(&self, limits: &str) -> Result<(), Fault>;
    fn settle(&self, verdict: &Verdict) -> Result<Directive, Fault>;
}

thread_local! {
    static HOST: RefCell<Option<Rc<dyn Host>>> = const { RefCell::new(None) };
}

/// Runs `guest` with `host` in place, and takes it away afterwards, whatever happens.
pub(crate) fn with<T>(host: Rc<dyn Host>, guest: impl FnOnce() -> T) -> T {
    struct Restore(Option<Rc<dyn Host>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            HOST.set(self.0.take());
        }
    }
    let _restore = Restore(HOST.replace(Some(host)));
    guest()
}

fn host() -> Result<Rc<dyn Host>, Fault> {
    HOST.with_borrow(Clone::clone).ok_or_else(|| {
        Fault::broken(
            "There is no host here: outside of a component, call tools through ferrata_sdk::testing.",
        )
    })
}

pub(crate) fn settings() -> String {
    host().map_or_else(|_| "{}".to_owned(), |host| host.settings())
}

pub(crate) fn remaining_ms() -> u64 {
    host().map_or(0, |host| host.remaining_ms())
}

pub(crate) fn subject() -> Option<String> {
    host().ok()?.subject()
}

pub(crate) fn connector_name() -> String {
    host().map_or_else(|_| String::new(), |host| host.connector_name())
}

pub(crate) fn can_bring() -> String {
    host().map_or_else(|_| "{}".to_owned(), |host| host.can_bring())
}

pub(crate) fn report_progress(done: f64, total: Option<f64>, message: Option<&str>) {
    if let Ok(host) = host() {
        host.report_progress(done, total, message);
    }
}

pub(crate) struct Exchange(Rc<dyn Answered>);

pub(crate) fn send(request: Request) -> Result<Exchange, Fault> {
    Ok(Exchange(host()?.send(request)?))
}

pub(crate) fn send_all(requests: Vec<Request>) -> Vec<Result<Exchange, Fault>> {
    requests.into_iter().map(send).collect()
}

impl Exchange {
    pub(crate) fn status(&self) -> u16 {
        self.0.status()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut headers = self.0.headers().into_iter();
        let (_, value) = headers.find(|(have, _)| have.eq_ignore_ascii_case(name))?;
        String::from_utf8(value).ok()
    }

    pub(crate) fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.0.headers()
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.0.body()
    }

    pub(crate) fn capture(&self, place: &Place) -> Result<Option<String>, Fault> {
        self.0.capture(place)
    }

    pub(crate) fn observe(&self, limits: &str) -> Result<(), Fault> {
        self.0.observe(limits)
    }

    pub(crate) fn settle(&self, verdict: &Verdict) -> Result<Directive, Fault> {
        self.0.settle(verdict)
    }
}

pub(crate) fn sql_query(request: &sql::Request) -> Result<sql::Rows, Fault> {
    host()?.sql_query(request)
}

pub(crate) fn sql_explain(request: &sql::Request) -> Result<String, Fault> {
    host()?.sql_explain(request)
}

pub(crate) fn cache_get(key: &str) -> Option<Vec<u8>> {
    host().ok()?.cache_get(key)
}

pub(crate) fn cache_put(key: &str, value: &[u8], ttl_ms: u64) -> Result<(), Fault> {
    host()?.cache_put(key, value, ttl_ms);
    Ok(())
}

pub(crate) fn log(level: wit::log::Level, message: &str) {
    if let Ok(host) = host() {
        host.log(level, message);
    }
}

pub(crate) fn sign_jwt(secret: &str, claims: &str) -> Result<String, Fault> {
    Ok(host()?.sign_jwt(secret, claims))
}

pub(crate) fn sign_hmac(secret: &str, hash: wit::secrets::Hash, message: &[u8]) -> Result<Vec<u8>, Fault> {
    Ok(host()?.sign_hmac(secret, hash, message))
}
