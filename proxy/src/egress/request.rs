//! From a guest's request to bytes on the wire: what is judged once, and what is written at each sending.
//!
//! A request is judged (operation, effect, path, header names, which secret stands where) when it arrives, without any secret at hand.
//! It is written, secrets included, each time that it is sent, so that a renewed credential is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use http_body_util::Full;

use super::Refusal;
use super::operation::{Effect, Operation};
use super::options::Options;
use super::part::{Atom, Encoding, MAX_PARTS, Part, encode};
use super::path::GuestPath;
use super::scope::{Purpose, Scope};
use super::scrub::{MIN_SCRUBBED_BYTES, Scrubber};
use super::sending::Claim;
use crate::config::{BaseUrl, Position};
use crate::credential::{Credential, Credentials, Material, SecretValue, assertion};
use crate::fault::Fault;

/// Most headers of a request.
const MAX_HEADERS: usize = 100;

/// Largest body of a request, in bytes, before secrets are written into it.
const MAX_BODY_BYTES: usize = 4 << 20;

/// Most bytes that secrets may add to one header or body.
const MAX_SECRETS_BYTES: usize = 256 << 10;

/// The header that asks a system to do the same request once however often it comes.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Headers that are the host's alone; `proxy-*` too.
const HOSTS_HEADERS: [&str; 13] = [
    "host",
    // The host must be able to read an answer: whole and as it is.
    "accept-encoding",
    "range",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "keep-alive",
    "expect",
    "traceparent",
    "tracestate",
];

/// A request as a guest wrote it.
#[derive(Clone, Debug)]
pub struct Request {
    pub upstream: String,
    pub operation: String,
    pub effect: Effect,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, Vec<Part>)>,
    pub body: Vec<Part>,
    /// JSON.
    pub options: Option<String>,
}

/// A request that may be sent, as often as policy says.
#[derive(Debug)]
pub struct Judged {
    /// Who sends it.
    pub connector: Arc<str>,
    pub upstream: Arc<str>,
    pub operation: Arc<str>,
    pub effect: Effect,
    method: Method,
    path: GuestPath,
    headers: Vec<(HeaderName, Vec<Part>)>,
    body: Vec<Part>,
    /// The configured credentials that it is written with.
    pub credentials: Vec<Arc<str>>,
    /// What it charges, and of which resource's walls.
    cost: u64,
    resource: Option<Arc<str>>,
    /// Whether it carries a key by which the system knows that it is the same once more.
    keyed: bool,
}

impl Judged {
    /// Judges everything that needs no secret. `effect` and `operation` come from the granted manifest.
    pub fn new(
        request: Request,
        (connector, upstream): (Arc<str>, Arc<str>),
        (operation, scope): (&Operation, &Scope),
        effect: Effect,
        path: GuestPath,
    ) -> Result<Self, Refusal> {
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| Refusal::new("method", format!("`{}` is not a method", request.method)))?;
        if request.headers.len() > MAX_HEADERS {
            return Err(Refusal::new("headers", format!("more than {MAX_HEADERS} headers")));
        }
        let headers = request.headers.into_iter().map(header).collect::<Result<Vec<_>, _>>()?;
        parts_are_bounded(&request.body)?;
        let options = Options::read(request.options.as_deref())?;
        let keyed = options.idempotent || headers.iter().any(|(name, _)| name == IDEMPOTENCY_KEY);
        Ok(Self {
            connector,
            upstream,
            operation: Arc::clone(&operation.label),
            effect,
            method,
            path,
            headers,
            body: request.body,
            credentials: Vec::new(),
            cost: operation.cost,
            resource: options.resource(operation, scope),
            keyed,
        })
    }

    /// What it asks of the walls.
    pub fn claim(&self) -> Claim {
        Claim {
            operation: Arc::clone(&self.operation),
            resource: self.resource.clone(),
            cost: self.cost,
            effect: self.effect,
            keyed: self.keyed,
            bytes: self.body_bytes(),
        }
    }

    /// Bytes of the body, as the guest wrote it.
    pub fn body_bytes(&self) -> usize {
        self.body.iter().map(bytes_of).sum()
    }

    #[cfg(test)]
    pub(super) fn for_tests(upstream: &str) -> Self {
        let path = GuestPath::parse("/").expect("a path");
        let (connector, upstream, operation) = ("test".into(), upstream.into(), "test".into());
        let (headers, body, credentials) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            connector,
            upstream,
            operation,
            effect: Effect::Read,
            method: Method::GET,
            path,
            headers,
            body,
            credentials,
            cost: 1,
            resource: None,
            keyed: false,
        }
    }

    /// Checks that each secret may stand where the guest put it, and notes whose they are.
    pub fn check_secrets(&mut self, scope: &Scope, credentials: &Credentials) -> Result<(), Refusal> {
        let mut used = Vec::new();
        let in_headers = self.headers.iter().flat_map(|(name, parts)| {
            parts.iter().flat_map(Part::secrets).map(move |s| (s, Position::Header(name.clone())))
        });
        let in_body = self.body.iter().flat_map(Part::secrets).map(|s| (s, Position::Body));
        for (secret, position) in in_headers.chain(in_body) {
            if let Some(credential) = may_stand(secret, &position, &self.upstream, scope, credentials)?
                && !used.contains(&credential.name)
            {
                used.push(Arc::clone(&credential.name));
            }
        }
        self.credentials = used;
        Ok(())
    }

    /// Whether a configured secret of that field is written into it.
    pub fn carries(&self, field: &str) -> bool {
        let parts = self.headers.iter().flat_map(|(_, parts)| parts).chain(&self.body);
        parts.flat_map(Part::secrets).any(|secret| configured(secret).is_some_and(|(_, of, _)| of == field))
    }

    /// Writes the request, with the secrets of `materials` (by credential).
    pub fn write(
        &self,
        base: &BaseUrl,
        scope: &Scope,
        materials: &BTreeMap<Arc<str>, Arc<Material>>,
        scrubber: &mut Scrubber,
    ) -> Result<http::Request<Full<Bytes>>, Fault> {
        let secrets = self.secret_values(scope, materials)?;
        let lookup = |name: &str| {
            secrets
                .get(name)
                .ok_or_else(|| Fault::internal(format!("the secret `{name}` was checked and is gone")))
        };
        let mut builder = http::Request::builder()
            .method(self.method.clone())
            .uri(base.join(self.path.as_str()).map_err(Fault::internal)?)
            .header(http::header::ACCEPT_ENCODING, "identity")
            .header("traceparent", scope.trace.child().to_string());
        if !self.headers.iter().any(|(name, _)| *name == http::header::USER_AGENT) {
            builder =
                builder.header(http::header::USER_AGENT, concat!("ferrata/", env!("CARGO_PKG_VERSION")));
        }
        for (name, parts) in &self.headers {
            let written = Bytes::from(self.written(parts, &lookup, scrubber)?);
            let mut value = HeaderValue::from_maybe_shared(written).map_err(|_| {
                Refusal::new("header", format!("the value of `{name}` is not one"))
                    .into_fault(&self.connector)
            })?;
            value.set_sensitive(parts.iter().any(|p| p.secrets().next().is_some()));
            builder = builder.header(name, value);
        }
        let body = Full::new(Bytes::from(self.written(&self.body, &lookup, scrubber)?));
        builder.body(body).map_err(Fault::internal)
    }

    fn secret_values(
        &self,
        scope: &Scope,
        materials: &BTreeMap<Arc<str>, Arc<Material>>,
    ) -> Result<BTreeMap<&str, SecretValue>, Fault> {
        let parts = self.headers.iter().flat_map(|(_, parts)| parts).chain(&self.body);
        let mut values = BTreeMap::new();
        for name in parts.flat_map(Part::secrets) {
            let value = match configured(name) {
                None => scope.captured(name).map(|c| c.value),
                Some((credential, field, in_form)) => {
                    let value = materials.get(credential).and_then(|m| m.fields.get(field));
                    value.map(|value| if in_form { form_encoded(value) } else { value.clone() })
                }
            };
            let missing =
                || Refusal::new("secret", format!("there is no secret `{name}`")).into_fault(&self.connector);
            values.insert(name, value.ok_or_else(missing)?);
        }
        Ok(values)
    }

    /// The parts, encoded. What they hide an upstream may echo.
    fn written<'a>(
        &self,
        parts: &[Part],
        lookup: &impl Fn(&str) -> Result<&'a SecretValue, Fault>,
        scrubber: &mut Scrubber,
    ) -> Result<Vec<u8>, Fault> {
        // Sized first: what grows leaves copies of secrets behind.
        let size = parts.iter().map(|part| part.written_bytes(lookup)).sum::<Result<usize, Fault>>()?;
        let mut out = Vec::with_capacity(size.min(MAX_BODY_BYTES + MAX_SECRETS_BYTES));
        for part in parts {
            let from = out.len();
            part.write(&mut out, lookup)?;
            if out.len() > MAX_BODY_BYTES + MAX_SECRETS_BYTES {
                let why = format!("more than {MAX_SECRETS_BYTES} bytes of secrets");
                return Err(Refusal::new("secret", why).into_fault(&self.connector));
            }
            hide(part, &out[from..], lookup, scrubber)?;
        }
        Ok(out)
    }
}

/// Looks for a part's secrets from now on, and for all of it unless it shows them as they are: what stands beside a secret may be seen.
fn hide<'a>(
    part: &Part,
    written: &[u8],
    lookup: &impl Fn(&str) -> Result<&'a SecretValue, Fault>,
    scrubber: &mut Scrubber,
) -> Result<(), Fault> {
    let mut shows_them = part.encoding == Encoding::Raw;
    for secret in part.secrets() {
        let secret = lookup(secret)?;
        shows_them &= secret.expose().len() >= MIN_SCRUBBED_BYTES;
        scrubber.add(secret);
    }
    if !shows_them && part.secrets().next().is_some() {
        scrubber.add_text(written.to_vec());
    }
    Ok(())
}

fn header((name, parts): (String, Vec<Part>)) -> Result<(HeaderName, Vec<Part>), Refusal> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Refusal::new("header", format!("{name:?} is not the name of a header")))?;
    if HOSTS_HEADERS.contains(&parsed.as_str()) || parsed.as_str().starts_with("proxy-") {
        return Err(Refusal::new("header", format!("the header `{parsed}` is the host's")));
    }
    parts_are_bounded(&parts)?;
    Ok((parsed, parts))
}

fn parts_are_bounded(parts: &[Part]) -> Result<(), Refusal> {
    let atoms: usize = parts.iter().map(|p| p.atoms.len()).sum();
    let bytes: usize = parts.iter().map(bytes_of).sum();
    if parts.len() > MAX_PARTS || atoms > MAX_PARTS || bytes > MAX_BODY_BYTES {
        return Err(Refusal::new("body", format!("more than {MAX_PARTS} parts or {MAX_BODY_BYTES} bytes")));
    }
    Ok(())
}

/// Bytes of a part that the guest wrote itself.
fn bytes_of(part: &Part) -> usize {
    let atom = |atom: &Atom| match atom {
        Atom::Bytes(bytes) => bytes.len(),
        Atom::Secret(_) => 0,
    };
    part.atoms.iter().map(atom).sum()
}

/// What follows the name of a secret that is form-encoded before a part's own encoding: HTTP Basic towards a token endpoint (RFC 6749, 2.3.1).
const FORM: &str = ";form";

/// A configured secret's credential and field, and whether it is to be form-encoded first. None for one that was captured.
fn configured(secret: &str) -> Option<(&str, &str, bool)> {
    let (credential, field) = secret.split_once('.')?;
    let in_form = field.strip_suffix(FORM);
    Some((credential, in_form.unwrap_or(field), in_form.is_some()))
}

fn form_encoded(value: &SecretValue) -> SecretValue {
    let mut encoded = Vec::with_capacity(value.expose().len() * 3);
    encode(Encoding::Form, value.expose(), &mut encoded);
    SecretValue::new(encoded)
}

/// Whether a secret may be written there, towards that upstream, in this run. Returns the credential of a configured one.
fn may_stand<'a>(
    secret: &str,
    position: &Position,
    upstream: &str,
    scope: &Scope,
    credentials: &'a Credentials,
) -> Result<Option<&'a Credential>, Refusal> {
    let refuse = |why: &str| Err(Refusal::new("secret", format!("the secret `{secret}` {why}")));
    let Some((name, field, _)) = configured(secret) else {
        let Some(captured) = scope.captured(secret) else { return refuse("does not exist in this call") };
        if !captured.upstreams.iter().any(|u| u == upstream) {
            return refuse("did not come from this upstream");
        }
        // A login puts what it captured into its next form; a tool call has no business writing it into a body.
        let in_login = matches!(scope.purpose, Purpose::Login { .. });
        return match position {
            Position::Body if !in_login => refuse("cannot be written into a body"),
            _ => Ok(None),
        };
    };
    let Some(credential) = credentials.get(name) else {
        return if credentials.is_left_out(name) {
            Err(Refusal::left_out(name))
        } else {
            refuse("is not granted")
        };
    };
    let login = match &scope.purpose {
        Purpose::Login { credential } if **credential != *name => return refuse("is no part of this login"),
        purpose => matches!(purpose, Purpose::Login { .. }),
    };
    if login && assertion::signs(field) {
        return refuse("signs, and is written nowhere");
    }
    if !credential.upstreams.iter().any(|u| u == upstream) {
        return refuse(&format!("is not for the upstream `{upstream}`"));
    }
    // A grant's fields go into the token endpoint's form too; everything else only where the operator says.
    let in_form = login && *position == Position::Body;
    if !in_form && !credential.positions.contains(position) {
        return refuse("cannot stand there; the operator decides by `positions`");
    }
    Ok(Some(credential))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::call::{Caller, Deadline};
    use crate::egress::operation::Effect;
    use crate::egress::scope::Purpose;
    use crate::fault::FaultKind;
    use crate::telemetry::TraceContext;

    #[test]
    fn a_credential_left_out_is_the_operators_and_an_unknown_one_the_connectors() {
        let purpose = Purpose::Call { ceiling: Effect::Read };
        let deadline = Deadline::after(Duration::from_secs(1));
        let scope = Scope::new(purpose, Caller::anonymous(), deadline, TraceContext::fresh());
        let credentials = Credentials::new([]).leaving_out(["user".to_owned()]);
        let position = Position::Header(http::header::AUTHORIZATION);
        let refused = |secret| {
            let refusal = may_stand(secret, &position, "api", &scope, &credentials).map(|_| ()).unwrap_err();
            refusal.into_fault("test")
        };
        let fault = refused("user.token");
        assert_eq!(fault.kind, FaultKind::PermissionDenied);
        assert!(fault.message.contains("`user`"), "{}", fault.message);
        assert_eq!(refused("admin.token").kind, FaultKind::ConnectorFailed);
    }
}
