//! `http`: requests into `egress`, answers out of it.

use std::time::Duration;

use futures_util::future::join_all;
use wasmtime::component::Resource;

use super::Guest;
use super::fault::Tickets;
use crate::connector::bindings::{http, types};
use crate::connector::convert::effect;
use crate::egress::Refusal;
use crate::egress::exchange::{Directive, Exchange, Place, Verdict};
use crate::egress::part::{Atom, Encoding, Part};
use crate::egress::request::Request;
use crate::egress::said;
use crate::fault::Fault;

/// Most requests of one `send-all`, as the interface promises.
const MAX_PARALLEL: usize = 16;

type Sent = Result<Resource<Exchange>, types::Fault>;

impl Guest {
    fn keep(&mut self, sent: Result<Exchange, Fault>) -> wasmtime::Result<Sent> {
        Ok(match sent {
            Ok(exchange) => Ok(self.table.push(exchange)?),
            Err(fault) => Err(self.run.guest_view(fault)),
        })
    }
}

impl http::Host for Guest {
    async fn send(&mut self, request: http::Request) -> wasmtime::Result<Sent> {
        let sent = match self.run.park() {
            Ok(_parked) => self.run.runtime.egress.send(&self.run.scope, native(request)).await,
            Err(fault) => Err(fault),
        };
        self.keep(sent)
    }

    async fn send_all(&mut self, requests: Vec<http::Request>) -> wasmtime::Result<Vec<Sent>> {
        if requests.len() > MAX_PARALLEL {
            let why = format!("{} requests at once; at most {MAX_PARALLEL}", requests.len());
            let fault = self.run.runtime.egress.refuse(Refusal::new("send-all", why));
            return requests.iter().map(|_| self.keep(Err(fault.clone()))).collect();
        }
        let sent: Vec<_> = match self.run.park() {
            Ok(_parked) => {
                let (egress, scope) = (&self.run.runtime.egress, &self.run.scope);
                join_all(requests.into_iter().map(|r| egress.send(scope, native(r)))).await
            }
            Err(fault) => requests.iter().map(|_| Err(fault.clone())).collect(),
        };
        sent.into_iter().map(|s| self.keep(s)).collect()
    }
}

impl http::HostExchange for Guest {
    async fn status(&mut self, this: Resource<Exchange>) -> wasmtime::Result<u16> {
        Ok(self.table.get(&this)?.status().as_u16())
    }

    async fn header(&mut self, this: Resource<Exchange>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&this)?.header(&name))
    }

    async fn headers(&mut self, this: Resource<Exchange>) -> wasmtime::Result<Vec<(String, Vec<u8>)>> {
        Ok(self.table.get(&this)?.headers())
    }

    async fn body(&mut self, this: Resource<Exchange>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get_mut(&this)?.body().to_vec())
    }

    async fn capture(
        &mut self,
        this: Resource<Exchange>,
        place: http::Place,
    ) -> wasmtime::Result<Result<Option<String>, types::Fault>> {
        let place = match place {
            http::Place::Body(pointer) => Place::Body(pointer),
            http::Place::Header(name) => Place::Header(name),
        };
        let captured = self.table.get_mut(&this)?.capture(&place, &self.run.scope);
        Ok(captured.map_err(|fault| self.run.guest_view(fault)))
    }

    async fn observe(
        &mut self,
        this: Resource<Exchange>,
        limits: String,
    ) -> wasmtime::Result<Result<(), types::Fault>> {
        let observed = said::observe(self.table.get(&this)?, &limits);
        Ok(observed.map_err(|refusal| self.run.guest_view(self.run.runtime.egress.refuse(refusal))))
    }

    async fn settle(
        &mut self,
        this: Resource<Exchange>,
        verdict: http::Verdict,
    ) -> wasmtime::Result<Result<http::Directive, types::Fault>> {
        let exchange = self.table.get_mut(&this)?;
        let settled = match self.run.park() {
            Ok(_parked) => self.run.runtime.egress.settle(&self.run.scope, exchange, meaning(verdict)).await,
            Err(fault) => Err(fault),
        };
        Ok(match settled {
            Ok(Directive::Accepted) => Ok(http::Directive::Accepted),
            Ok(Directive::SentAgain) => Ok(http::Directive::SentAgain),
            Err(fault) => Err(self.run.guest_view(fault)),
        })
    }

    async fn drop(&mut self, this: Resource<Exchange>) -> wasmtime::Result<()> {
        let mut exchange = self.table.delete(this)?;
        self.run.runtime.egress.judge_dropped(&self.run.scope, &mut exchange);
        Ok(())
    }
}

fn native(request: http::Request) -> Request {
    let headers = request.headers.into_iter().map(|h| (h.name, parts(h.value))).collect();
    Request {
        upstream: request.upstream,
        operation: request.operation,
        effect: effect(request.effect),
        method: request.method,
        path: request.path,
        headers,
        body: parts(request.body),
        options: request.options,
    }
}

fn parts(parts: Vec<types::Part>) -> Vec<Part> {
    let part = |p: types::Part| Part {
        encoding: match p.encoding {
            types::Encoding::Raw => Encoding::Raw,
            types::Encoding::Base64 => Encoding::Base64,
            types::Encoding::Base64url => Encoding::Base64Url,
            types::Encoding::Form => Encoding::Form,
            types::Encoding::Json => Encoding::Json,
        },
        atoms: p.atoms.into_iter().map(atom).collect(),
    };
    parts.into_iter().map(part).collect()
}

fn atom(atom: types::Atom) -> Atom {
    match atom {
        types::Atom::Bytes(bytes) => Atom::Bytes(bytes),
        types::Atom::Secret(name) => Atom::Secret(name),
    }
}

fn meaning(verdict: http::Verdict) -> Verdict {
    match verdict {
        http::Verdict::Ok => Verdict::Ok,
        http::Verdict::Throttled(t) => {
            Verdict::Throttled { retry_after: t.retry_after_ms.map(Duration::from_millis), scope: t.scope }
        }
        http::Verdict::Unauthenticated => Verdict::Unauthenticated,
        http::Verdict::Transient => Verdict::Transient,
        http::Verdict::Rejected => Verdict::Rejected,
    }
}
